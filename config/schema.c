/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/schema.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct config, member)
#define MIB (UINT64_C(1) << 20)

/* clang-format off */
const struct schema_key schema_keys[] = {
    {"totem", "bindnetaddr", SCHEMA_ADDRESS, AT(totem.bindnetaddr),
        0, 0, NULL, NULL},
    {"totem", "mcastaddr", SCHEMA_MULTICAST, AT(totem.mcastaddr),
        0, 0, NULL, NULL},
    /* The token's port is the next one, so the last port is not allowed. */
    {"totem", "mcastport", SCHEMA_PORT, AT(totem.mcastport),
        1, 65534, NULL, NULL},
    {"totem", "nodeid", SCHEMA_COUNT, AT(totem.nodeid),
        1, UINT32_MAX - 1, NULL, NULL}, /* the highest is CLM's "local" */
    {"totem", "nodename", SCHEMA_TEXT, AT(totem.nodename),
        1, 255, "bytes of name", NULL},
    {"totem", "netmtu", SCHEMA_COUNT, AT(totem.netmtu),
        576, 65535, "bytes", NULL},
    {"totem", "cipher", SCHEMA_CHOICE, AT(totem.cipher),
        0, 0, NULL, "aes256gcm chacha20poly1305"},
    {"totem", "keyfile", SCHEMA_TEXT, AT(totem.keyfile),
        1, 4095, "bytes of path", NULL},
    {"totem", "transport", SCHEMA_CHOICE, AT(totem.transport),
        0, 0, NULL, "multicast unicast"},
    {"totem", "nodes", SCHEMA_NODES, AT(totem.nodes), 0, 0, NULL, NULL},
    {"totem", "window", SCHEMA_COUNT, AT(totem.window_packets),
        8, 8192, "packets", NULL},
    {"totem", "node_max", SCHEMA_COUNT, AT(totem.node_max),
        1, CONFIG_NODES_MAX, "nodes", NULL},
    {"totem", "statedir", SCHEMA_TEXT, AT(totem.statedir),
        1, 4095, "bytes of path", NULL},
    {"totem", "receive_buffer", SCHEMA_COUNT, AT(totem.receive_buffer_bytes),
        65536, 1024 * MIB, "bytes", NULL},
    {"totem", "send_buffer", SCHEMA_COUNT, AT(totem.send_buffer_bytes),
        65536, 1024 * MIB, "bytes", NULL},

    {"logging", "logoutput", SCHEMA_OUTPUTS, AT(logging),
        0, 0, NULL, NULL},
    {"logging", "logfile", SCHEMA_TEXT, AT(logging.logfile),
        1, 4095, "bytes of path", NULL},
    {"logging", "debug", SCHEMA_SWITCH, AT(logging.debug), 0, 0, NULL, NULL},
    {"logging", "timestamp", SCHEMA_SWITCH, AT(logging.timestamp),
        0, 0, NULL, NULL},

    {"timeout", "token", SCHEMA_MS, AT(timeout.token_ns),
        10, 300000, "milliseconds", NULL},
    {"timeout", "token_retransmit", SCHEMA_MS, AT(timeout.token_retransmit_ns),
        2, 300000, "milliseconds", NULL},
    {"timeout", "hold", SCHEMA_MS, AT(timeout.hold_ns),
        1, 300000, "milliseconds", NULL},
    {"timeout", "retransmits_before_loss", SCHEMA_COUNT,
        AT(timeout.retransmits_before_loss), 1, 100, "retransmissions", NULL},
    {"timeout", "join", SCHEMA_MS, AT(timeout.join_ns),
        1, 60000, "milliseconds", NULL},
    {"timeout", "consensus", SCHEMA_MS, AT(timeout.consensus_ns),
        1, 300000, "milliseconds", NULL},
    {"timeout", "merge", SCHEMA_MS, AT(timeout.merge_ns),
        1, 300000, "milliseconds", NULL},
    {"timeout", "downcheck", SCHEMA_MS, AT(timeout.downcheck_ns),
        1, 300000, "milliseconds", NULL},
    {"timeout", "fail_recv_const", SCHEMA_COUNT, AT(timeout.fail_recv_const),
        1, 1000000, "rotations", NULL},

    {"runtime", "policy", SCHEMA_CHOICE, AT(runtime.policy),
        0, 0, NULL, "rr fifo other"},
    {"runtime", "priority", SCHEMA_COUNT, AT(runtime.priority),
        1, 99, NULL, NULL},
    {"runtime", "lock_memory", SCHEMA_SWITCH, AT(runtime.lock_memory),
        0, 0, NULL, NULL},
    {"runtime", "core_dumps", SCHEMA_SWITCH, AT(runtime.core_dumps),
        0, 0, NULL, NULL},

    {"ipc", "client_max", SCHEMA_COUNT, AT(ipc.client_max),
        1, 65536, "clients", NULL},
    {"ipc", "submit_ring", SCHEMA_POWER, AT(ipc.submit_ring_bytes),
        2 * MIB, 1024 * MIB, "bytes", NULL},
    {"ipc", "event_ring", SCHEMA_POWER, AT(ipc.event_ring_bytes),
        2 * MIB, 1024 * MIB, "bytes", NULL},
    {"ipc", "overflow", SCHEMA_COUNT, AT(ipc.overflow_bytes),
        0, 1024 * MIB, "bytes", NULL},
    {"ipc", "message_max", SCHEMA_COUNT, AT(ipc.message_size_max),
        1024, MIB, "bytes", NULL},
    {"ipc", "uid_client_max", SCHEMA_COUNT, AT(ipc.uid_client_max),
        0, 65536, "clients", NULL},
    {"ipc", "uid_memory_max", SCHEMA_COUNT, AT(ipc.uid_mib_max),
        0, 1048576, "MiB", NULL},
    {"ipc", "workers", SCHEMA_COUNT, AT(ipc.workers),
        1, 16, "threads", NULL},
    {"ipc", "spin", SCHEMA_COUNT, AT(ipc.spin_us),
        0, 1000, "microseconds", NULL},
    {"ipc", "slow_reader", SCHEMA_CHOICE, AT(ipc.slow_reader),
        0, 0, NULL, "pressure disconnect"},
    {"ipc", "group", SCHEMA_TEXT, AT(ipc.group),
        1, 32, "bytes of name", NULL},

    {"ckpt", "checkpoint_max", SCHEMA_COUNT, AT(ckpt.checkpoint_max),
        1, 1000000, "checkpoints", NULL},
    {"ckpt", "uid_checkpoint_max", SCHEMA_COUNT, AT(ckpt.uid_checkpoint_max),
        0, 1000000, "checkpoints", NULL},
    {"ckpt", "uid_handle_max", SCHEMA_COUNT, AT(ckpt.uid_handle_max),
        0, 65536, "handles", NULL},
    {"ckpt", "memory_max", SCHEMA_COUNT, AT(ckpt.memory_mib),
        1, 1048576, "MiB", NULL},
    {"ckpt", "safe", SCHEMA_SWITCH, AT(ckpt.safe),
        0, 0, NULL, NULL},
    {"ckpt", "direct", SCHEMA_SWITCH, AT(ckpt.direct),
        0, 0, NULL, NULL},

    {"event", "delivery_queue_size", SCHEMA_COUNT,
        AT(event.delivery_queue_size), 1, 1000000, "events", NULL},
    {"event", "delivery_queue_resume", SCHEMA_COUNT,
        AT(event.delivery_queue_resume), 1, 1000000, "events", NULL},
};
/* clang-format on */

const unsigned schema_key_count = sizeof schema_keys / sizeof *schema_keys;

_Static_assert(sizeof schema_keys / sizeof *schema_keys <= SCHEMA_KEYS_MAX,
               "raise SCHEMA_KEYS_MAX");
_Static_assert(sizeof(enum config_cipher) == sizeof(unsigned) &&
                   sizeof(enum config_transport) == sizeof(unsigned) &&
                   sizeof(enum config_policy) == sizeof(unsigned) &&
                   sizeof(enum config_slow_reader) == sizeof(unsigned),
               "a choice is stored as an unsigned");

const char *const schema_sections[SCHEMA_SECTIONS + 1] = {
    "totem", "network", "logging", "timeout", "runtime",
    "ipc",   "ckpt",    "event",   NULL};

const char *schema_section_name(const char *alias)
{
    return strcmp(alias, "network") == 0 ? "totem" : alias;
}

unsigned schema_find(const char *section, const char *name)
{
    unsigned i;
    section = schema_section_name(section);
    for (i = 0; i < schema_key_count; i++)
        if (strcmp(schema_keys[i].section, section) == 0 &&
            strcmp(schema_keys[i].name, name) == 0)
            break;
    return i;
}

bool schema_is_list(enum schema_kind kind)
{
    return kind == SCHEMA_NODES || kind == SCHEMA_OUTPUTS;
}

/* --- values --------------------------------------------------------------- */

struct setter {
    struct config *config;
    const struct schema_key *key;
    const char *value;
    char *what;
    size_t what_size;
};

static void *target(const struct setter *s)
{
    return (char *)s->config + s->key->offset;
}

__attribute__((format(printf, 2, 3))) static int
refuse(const struct setter *s, const char *allowed, ...)
{
    va_list args;
    int n = snprintf(s->what, s->what_size, "%s is '%.80s%s': ", s->key->name,
                     s->value, strlen(s->value) > 80 ? "..." : "");
    if (n < 0 || (size_t)n >= s->what_size)
        return -EINVAL;
    va_start(args, allowed);
    vsnprintf(s->what + n, s->what_size - (size_t)n, allowed, args);
    va_end(args);
    return -EINVAL;
}

/* Decimal digits and nothing else. */
static bool parse_number(const char *text, uint64_t *number)
{
    uint64_t v = 0;
    if (*text == '\0' || strlen(text) > 18)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        v = v * 10 + (uint64_t)(*text - '0');
    }
    *number = v;
    return true;
}

static int refuse_number(const struct setter *s)
{
    const struct schema_key *k = s->key;
    return refuse(s, "must be a whole number%s%s%s, %" PRIu64 " to %" PRIu64,
                  k->unit != NULL ? " of " : "", k->unit != NULL ? k->unit : "",
                  k->kind == SCHEMA_POWER ? ", a power of two" : "", k->min,
                  k->max);
}

static int set_number(const struct setter *s)
{
    uint64_t v;
    if (!parse_number(s->value, &v) || v < s->key->min || v > s->key->max)
        return refuse_number(s);
    if (s->key->kind == SCHEMA_POWER && (v & (v - 1)) != 0)
        return refuse_number(s);
    if (s->key->kind == SCHEMA_PORT)
        *(uint16_t *)target(s) = (uint16_t)v;
    else if (s->key->kind == SCHEMA_MS)
        *(uint64_t *)target(s) = v * 1000000;
    else
        *(uint32_t *)target(s) = (uint32_t)v;
    return 0;
}

static bool parse_unicast(const char *text, struct in_addr *address)
{
    if (inet_pton(AF_INET, text, address) != 1)
        return false;
    return address->s_addr != 0 && ntohl(address->s_addr) < 0xe0000000;
}

static int set_address(const struct setter *s)
{
    struct in_addr a;
    if (!parse_unicast(s->value, &a))
        return refuse(s, "must be an IPv4 network or interface address, as in "
                         "192.168.1.0");
    *(struct in_addr *)target(s) = a;
    return 0;
}

/* 224.0.0.x belongs to the network's own protocols and is sent to every port
 * of a switch. */
static int set_multicast(const struct setter *s)
{
    struct in_addr a;
    if (inet_pton(AF_INET, s->value, &a) != 1 || ntohl(a.s_addr) < 0xe0000100 ||
        ntohl(a.s_addr) > 0xefffffff)
        return refuse(s, "must be an IPv4 multicast address, 224.0.1.0 to "
                         "239.255.255.255, as in 226.94.1.1");
    *(struct in_addr *)target(s) = a;
    return 0;
}

static int set_switch(const struct setter *s)
{
    static const char *const words[] = {"off", "on",    "no",
                                        "yes", "false", "true"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(s->value, words[i]) == 0) {
            *(bool *)target(s) = i % 2 == 1;
            return 0;
        }
    }
    return refuse(s, "must be on or off");
}

static int set_choice(const struct setter *s)
{
    const char *at = s->key->choices;
    for (unsigned i = 0; *at != '\0'; i++) {
        size_t n = strcspn(at, " ");
        if (strlen(s->value) == n && memcmp(s->value, at, n) == 0) {
            *(unsigned *)target(s) = i;
            return 0;
        }
        at += n + strspn(at + n, " ");
    }
    return refuse(s, "must be one of: %s", s->key->choices);
}

static int set_text(const struct setter *s)
{
    size_t n = strlen(s->value);
    if (n < s->key->min || n > s->key->max)
        return refuse(s, "must have %" PRIu64 " to %" PRIu64 " %s", s->key->min,
                      s->key->max, s->key->unit);
    char *copy = strdup(s->value);
    if (copy == NULL) {
        snprintf(s->what, s->what_size, "out of memory");
        return -ENOMEM;
    }
    free(*(char **)target(s));
    *(char **)target(s) = copy;
    return 0;
}

static int add_node(const struct setter *s)
{
    struct config_totem *t = &s->config->totem;
    struct in_addr a;
    if (!parse_unicast(s->value, &a))
        return refuse(s, "must be the IPv4 address of a node, as in 10.0.0.1");
    for (uint32_t i = 0; i < t->node_count; i++)
        if (t->nodes[i].s_addr == a.s_addr)
            return refuse(s, "this node is in the list already");
    if (t->node_count == CONFIG_NODES_MAX)
        return refuse(s, "there may be %d nodes at most", CONFIG_NODES_MAX);
    t->nodes[t->node_count++] = a;
    return 0;
}

static int add_output(const struct setter *s)
{
    struct config_logging *l = &s->config->logging;
    if (strcmp(s->value, "file") == 0)
        l->to_file = true;
    else if (strcmp(s->value, "stderr") == 0)
        l->to_stderr = true;
    else if (strcmp(s->value, "syslog") == 0)
        l->to_syslog = true;
    else
        return refuse(s, "must be one of: file stderr syslog");
    return 0;
}

int schema_set(struct config *c, const struct schema_key *key,
               const char *value, char *what, size_t what_size)
{
    struct setter s = {c, key, value, what, what_size};
    switch (key->kind) {
    case SCHEMA_ADDRESS:
        return set_address(&s);
    case SCHEMA_MULTICAST:
        return set_multicast(&s);
    case SCHEMA_PORT:
    case SCHEMA_COUNT:
    case SCHEMA_POWER:
    case SCHEMA_MS:
        return set_number(&s);
    case SCHEMA_SWITCH:
        return set_switch(&s);
    case SCHEMA_CHOICE:
        return set_choice(&s);
    case SCHEMA_TEXT:
        return set_text(&s);
    case SCHEMA_NODES:
        return add_node(&s);
    case SCHEMA_OUTPUTS:
        return add_output(&s);
    }
    return -EINVAL;
}
