/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of a file: read, syntax_translate() to one syntax, libconfuse (which
 * knows the sections and keys), on_value() per value with its line, then
 * finish(): what must be set, what is derived, what must fit together. */
#include "config/config.h"

#include "config/schema.h"
#include "config/syntax.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

struct loader {
    struct config *config;
    const char *name; /* of the file */
    char *error;
    size_t error_size;
    int result;                         /* 0, or the first fault's -errno */
    unsigned set_line[SCHEMA_KEYS_MAX]; /* 0: not set */
    unsigned totem_line; /* where the totem section ends; 0: there is none */
    unsigned last_line;
};

/* libconfuse hands its callbacks nothing of ours. */
static struct loader *current;

/* Only the first fault counts; line 0 is the whole file. */
__attribute__((format(printf, 4, 5))) static int
fail(struct loader *l, int result, unsigned line, const char *format, ...)
{
    va_list args;
    int n;
    if (l->result != 0)
        return l->result;
    l->result = result;
    if (line > 0)
        n = snprintf(l->error, l->error_size, "%s:%u: ", l->name, line);
    else
        n = snprintf(l->error, l->error_size, "%s: ", l->name);
    if (n < 0 || (size_t)n >= l->error_size)
        return result;
    va_start(args, format);
    vsnprintf(l->error + n, l->error_size - (size_t)n, format, args);
    va_end(args);
    return result;
}

/* --- libconfuse ----------------------------------------------------------- */

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    struct loader *l = current;
    unsigned line = (unsigned)cfg->line;
    char what[512];
    *(const char **)result = "";
    if (l->result != 0 || cfg->name == NULL)
        return -1;
    unsigned i = schema_find(cfg->name, opt->name);
    if (i == schema_key_count)
        return -1;
    const struct schema_key *key = &schema_keys[i];
    if (l->set_line[i] != 0 && !schema_is_list(key->kind)) {
        fail(l, -EINVAL, line,
             "%s was set on line %u already; it may stand once", key->name,
             l->set_line[i]);
        return -1;
    }
    l->set_line[i] = line;
    int set = schema_set(l->config, key, value, what, sizeof what);
    if (set != 0)
        fail(l, set, line, "%s", what);
    return set != 0 ? -1 : 0;
}

static int on_section_end(cfg_t *cfg, cfg_opt_t *opt)
{
    if (strcmp(schema_section_name(opt->name), "totem") == 0)
        current->totem_line = (unsigned)cfg->line;
    return 0;
}

/* What may stand in a section ("root": in the file), a blank before each. */
static void list_names(const char *section, char *to, size_t size)
{
    size_t used = 0;
    bool top = strcmp(section, "root") == 0;
    for (unsigned i = 0; i < schema_key_count; i++) {
        const struct schema_key *k = &schema_keys[i];
        const char *name = k->name;
        if (top && (name = schema_sections[i]) == NULL)
            return;
        if (!top && strcmp(k->section, schema_section_name(section)) != 0)
            continue;
        int n = snprintf(to + used, size - used, " %s", name);
        if (n < 0 || (size_t)n >= size - used)
            return;
        used += (size_t)n;
    }
}

/* What the translated text can still have wrong is a name, or a key in a
 * section's place: so the names are what helps. */
static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    char text[256], names[512] = "";
    /* Each message is libconfuse's own, in its format. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    vsnprintf(text, sizeof text, format, args);
#pragma GCC diagnostic pop
    if (cfg->name == NULL || cfg->opts == NULL) { /* half made */
        fail(current, -ENOMEM, 0, "out of memory");
        return;
    }
    list_names(cfg->name, names, sizeof names);
    bool top = strcmp(cfg->name, "root") == 0;
    fail(current, -EINVAL, (unsigned)cfg->line, "%s; %s%s%s:%s", text,
         top ? "the sections are" : "the keys of section '",
         top ? "" : cfg->name, top ? "" : "' are", names);
}

static void section_options(const char *section, cfg_opt_t *options)
{
    cfg_opt_t *o = options;
    for (unsigned i = 0; i < schema_key_count; i++) {
        const struct schema_key *k = &schema_keys[i];
        if (strcmp(k->section, schema_section_name(section)) != 0)
            continue;
        if (o == options + SCHEMA_SECTION_KEYS_MAX)
            break;
        *o++ = schema_is_list(k->kind)
                   ? (cfg_opt_t)CFG_STR_LIST_CB(k->name, NULL, CFGF_NODEFAULT,
                                                on_value)
                   : (cfg_opt_t)CFG_STR_CB(k->name, NULL, CFGF_NODEFAULT,
                                           on_value);
    }
    *o = (cfg_opt_t)CFG_END();
}

static void parse(struct loader *l, const char *text)
{
    cfg_opt_t options[SCHEMA_SECTIONS][SCHEMA_SECTION_KEYS_MAX + 1];
    cfg_opt_t top[SCHEMA_SECTIONS + 1];
    unsigned n = 0;
    for (; schema_sections[n] != NULL; n++) {
        section_options(schema_sections[n], options[n]);
        top[n] = (cfg_opt_t)CFG_SEC(schema_sections[n], options[n], CFGF_NONE);
        top[n].validcb = on_section_end;
    }
    top[n] = (cfg_opt_t)CFG_END();

    current = l;
    cfg_t *cfg = cfg_init(top, CFGF_NONE);
    if (cfg == NULL) {
        fail(l, -ENOMEM, 0, "out of memory");
    } else {
        cfg_set_error_function(cfg, on_error);
        if (cfg_parse_buf(cfg, text) != CFG_SUCCESS)
            fail(l, -ENOMEM, 0, "out of memory"); /* any other fault is told */
        /* libconfuse cannot free what it could not finish; we end anyway. */
        if (l->result != -ENOMEM)
            cfg_free(cfg);
    }
    current = NULL;
}

/* --- after the parser ----------------------------------------------------- */

static unsigned line_of(const struct loader *l, const char *section,
                        const char *name)
{
    return l->set_line[schema_find(section, name)];
}

static int set_default(struct loader *l, char **text, const char *value)
{
    if (*text == NULL && (*text = strdup(value)) == NULL)
        return fail(l, -ENOMEM, 0, "out of memory");
    return 0;
}

static void set_defaults(struct config *c)
{
    *c = (struct config){
        .totem = {.window_packets = 1024,
                  .node_max = 128,
                  .receive_buffer_bytes = 8 << 20,
                  .send_buffer_bytes = 4 << 20},
        .logging = {.debug = true, .timestamp = true},
        .timeout = {.token_ns = 200 * NS_PER_MS,
                    .join_ns = 100 * NS_PER_MS,
                    .consensus_ns = 200 * NS_PER_MS,
                    .merge_ns = 200 * NS_PER_MS,
                    .downcheck_ns = 1000 * NS_PER_MS,
                    .retransmits_before_loss = 4,
                    .fail_recv_const = 250},
        .runtime = {.lock_memory = true},
        .ipc = {.client_max = 1024,
                .uid_mib_max = CONFIG_UID_MIB_HALF,
                .workers = 1,
                .spin_us = CONFIG_SPIN_MEASURE,
                .submit_ring_bytes = 4 << 20,
                .event_ring_bytes = 8 << 20,
                .overflow_bytes = 32 << 20,
                .message_size_max = 1 << 20},
        .ckpt = {.checkpoint_max = 4096,
                 .uid_handle_max = 16384,
                 .memory_mib = 2048,
                 .direct = true},
        .event = {.delivery_queue_size = 1000},
    };
}

static int need(struct loader *l, const char *key, const char *example)
{
    bool unicast = l->config->totem.transport == CONFIG_UNICAST;
    if (line_of(l, "totem", key) != 0)
        return 0;
    return fail(l, -EINVAL, l->totem_line,
                "%s is not set in the totem section that ends here; %s must "
                "be set, as in %s: %s",
                key,
                unicast ? "with transport unicast, bindnetaddr, mcastport and "
                          "nodes"
                        : "bindnetaddr, mcastaddr and mcastport",
                key, example);
}

static int finish_totem(struct loader *l)
{
    struct config_totem *t = &l->config->totem;
    bool unicast = t->transport == CONFIG_UNICAST;
    if (l->totem_line == 0)
        return fail(l, -EINVAL, l->last_line,
                    "the file ends without a section 'totem', in which "
                    "bindnetaddr, mcastaddr and mcastport must be set");
    if (need(l, "bindnetaddr", "192.168.1.0") != 0 ||
        (!unicast && need(l, "mcastaddr", "226.94.1.1") != 0) ||
        need(l, "mcastport", "5405") != 0 ||
        (unicast && need(l, "nodes", "{10.0.0.1, 10.0.0.2}") != 0))
        return l->result;
    if (!unicast && t->node_count > 0)
        return fail(l, -EINVAL, line_of(l, "totem", "nodes"),
                    "nodes needs transport: unicast beside it");
    if (t->node_count > t->node_max)
        return fail(l, -EINVAL, line_of(l, "totem", "nodes"),
                    "nodes has %u addresses, but node_max allows %u",
                    t->node_count, t->node_max);
    t->bindnetaddr_line = line_of(l, "totem", "bindnetaddr");
    t->mcastport_line = line_of(l, "totem", "mcastport");
    t->nodes_line = line_of(l, "totem", "nodes");
    if (set_default(l, &t->keyfile, "/etc/ais/authkey") != 0)
        return l->result;
    return set_default(l, &t->statedir, "/var/lib/openais");
}

static int finish_logging(struct loader *l)
{
    struct config_logging *g = &l->config->logging;
    if (!g->to_file && !g->to_stderr && !g->to_syslog)
        g->to_stderr = g->to_syslog = true;
    if (g->to_file && g->logfile == NULL)
        return fail(l, -EINVAL, line_of(l, "logging", "logoutput"),
                    "logoutput file needs the file's name beside it, as in "
                    "logfile: /var/log/aisexec.log");
    return 0;
}

/* The seed's: token_retransmit = token / (retransmits_before_loss + 0.2), hold
 * = token_retransmit * 0.8 - one tick of 10 ms, in whole milliseconds. */
static void derive_timeouts(struct loader *l)
{
    struct config_timeout *t = &l->config->timeout;
    if (line_of(l, "timeout", "token_retransmit") == 0)
        t->token_retransmit_ns = t->token_ns * 10 /
                                 (t->retransmits_before_loss * 10 + 2) /
                                 NS_PER_MS * NS_PER_MS;
    if (line_of(l, "timeout", "hold") == 0) {
        uint64_t share_ns = t->token_retransmit_ns * 8 / 10;
        t->hold_ns = share_ns < 11 * NS_PER_MS
                         ? NS_PER_MS
                         : (share_ns / NS_PER_MS - 10) * NS_PER_MS;
    }
}

static unsigned first_line(const struct loader *l, const char *const *names)
{
    unsigned line = 0;
    for (; line == 0 && *names != NULL; names++)
        line = line_of(l, "timeout", *names);
    return line;
}

static int finish_timeout(struct loader *l)
{
    struct config_timeout *t = &l->config->timeout;
    derive_timeouts(l);
    if (t->token_retransmit_ns < 2 * NS_PER_MS)
        return fail(
            l, -EINVAL,
            first_line(l, (const char *const[]){"retransmits_before_loss",
                                                "token", NULL}),
            "token %" PRIu64 " ms is too short for %u retransmissions "
            "before loss: at least %u ms, or fewer of them",
            t->token_ns / NS_PER_MS, t->retransmits_before_loss,
            t->retransmits_before_loss * 2 + 1);
    if (t->token_retransmit_ns >= t->token_ns)
        return fail(l, -EINVAL,
                    first_line(l, (const char *const[]){"token_retransmit",
                                                        "token", NULL}),
                    "token_retransmit (%" PRIu64 " ms) must be less than "
                    "token (%" PRIu64 " ms)",
                    t->token_retransmit_ns / NS_PER_MS,
                    t->token_ns / NS_PER_MS);
    if (t->hold_ns >= t->token_retransmit_ns)
        return fail(
            l, -EINVAL,
            first_line(l, (const char *const[]){"hold", "token_retransmit",
                                                "token", NULL}),
            "hold (%" PRIu64 " ms) must be less than "
            "token_retransmit (%" PRIu64 " ms)",
            t->hold_ns / NS_PER_MS, t->token_retransmit_ns / NS_PER_MS);
    if (t->join_ns > t->consensus_ns)
        return fail(
            l, -EINVAL,
            first_line(l, (const char *const[]){"join", "consensus", NULL}),
            "join (%" PRIu64 " ms) must not be more than consensus "
            "(%" PRIu64 " ms)",
            t->join_ns / NS_PER_MS, t->consensus_ns / NS_PER_MS);
    return 0;
}

/* What one user may have, unless it is said: not all that there is. */
static void derive_quotas(struct loader *l)
{
    struct config *c = l->config;

    if (line_of(l, "ipc", "uid_client_max") == 0)
        c->ipc.uid_client_max = (c->ipc.client_max + 1) / 2;
    if (line_of(l, "ckpt", "uid_checkpoint_max") == 0)
        c->ckpt.uid_checkpoint_max = (c->ckpt.checkpoint_max + 3) / 4;
}

static int finish_event(struct loader *l)
{
    struct config_event *e = &l->config->event;
    if (line_of(l, "event", "delivery_queue_resume") == 0)
        e->delivery_queue_resume = e->delivery_queue_size / 2;
    if (e->delivery_queue_resume > e->delivery_queue_size)
        return fail(l, -EINVAL, line_of(l, "event", "delivery_queue_resume"),
                    "delivery_queue_resume (%u) must not be more than "
                    "delivery_queue_size (%u)",
                    e->delivery_queue_resume, e->delivery_queue_size);
    return 0;
}

static void finish(struct loader *l)
{
    if (finish_totem(l) == 0 && finish_logging(l) == 0 &&
        finish_timeout(l) == 0 && finish_event(l) == 0) {
        derive_quotas(l);
        set_default(l, &l->config->ipc.group, "ais");
    }
}

/* --- the interface -------------------------------------------------------- */

const char *config_default_path(void)
{
    const char *path = getenv("OPENAIS_CONFIG");
    return path != NULL && *path != '\0' ? path : "/etc/ais/openais.conf";
}

int config_parse(const char *name, const char *text, size_t size,
                 struct config *out, char *error, size_t error_size)
{
    struct loader l = {.config = out,
                       .name = name,
                       .error = error,
                       .error_size = error_size,
                       .last_line = syntax_line_count(text, size)};
    struct syntax_fault fault = {0};
    set_defaults(out);
    if (size > CONFIG_FILE_SIZE_MAX)
        return fail(&l, -EFBIG, 0,
                    "larger than %d bytes, which no "
                    "configuration needs; is it the right file?",
                    CONFIG_FILE_SIZE_MAX);
    char *translated = syntax_translate(text, size, &fault);
    if (translated == NULL)
        return fail(&l, fault.line == 0 ? -ENOMEM : -EINVAL, fault.line, "%s",
                    fault.what);
    parse(&l, translated);
    free(translated);
    if (l.result == 0)
        finish(&l);
    if (l.result != 0)
        config_free(out);
    return l.result;
}

enum { READ_WAIT_MS = 5000 };

/* Reads to the end, or one byte beyond what is allowed. A pipe may have its
 * text a little later, but this process does not wait for it for ever. */
static int read_all(int fd, char *text, size_t room, size_t *size)
{
    struct pollfd more = {.fd = fd, .events = POLLIN};

    *size = 0;
    while (*size < room) {
        ssize_t n = read(fd, text + *size, room - *size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (poll(&more, 1, READ_WAIT_MS) == 0)
                return -ETIMEDOUT;
            continue;
        }
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        *size += (size_t)n;
    }
    return 0;
}

int config_load(const char *path, struct config *out, char *error,
                size_t error_size)
{
    size_t size, room = CONFIG_FILE_SIZE_MAX + 1;
    *out = (struct config){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int result = -errno;
        snprintf(error, error_size,
                 "%s: %s; install the example openais.conf there, or name "
                 "another file with -c or OPENAIS_CONFIG",
                 path, strerror(errno));
        return result;
    }
    char *text = malloc(room);
    int result = text == NULL ? -ENOMEM : read_all(fd, text, room, &size);
    if (result == 0)
        result = config_parse(path, text, size, out, error, error_size);
    else
        snprintf(error, error_size, "%s: %s", path, strerror(-result));
    free(text);
    close(fd);
    return result;
}

void config_free(struct config *c)
{
    free(c->totem.keyfile);
    free(c->totem.nodename);
    free(c->totem.statedir);
    free(c->logging.logfile);
    free(c->ipc.group);
    *c = (struct config){0};
}
