/* SPDX-License-Identifier: BSD-3-Clause */
/* attack - packets of somebody who is on the network and has no key.
 *
 * Runs as root in a network namespace of its own, beside those of the daemons
 * (test/attack.sh). Knows nothing of what is in a sealed packet but what anyone
 * sees: its header. */
#include "test/attack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: attack record --file F --seconds S      overhear and write\n"
    "       attack icmp --to A --peer B --from X    tell A that B refused\n"
    "           --kind none|random|recorded         what is quoted\n"
    "           [--file F] [--code N] [--mtu N]\n"
    "       attack flood --to A --port P --from X   fill A's port\n"
    "           --kind foreign|salt|tag|recorded [--file F] [--size N]\n"
    "       attack relay --to A --peer B --file F   stand between A and B\n"
    "options of all: --rate N (a second), --count N, --seconds S\n";

void die(const char *what)
{
    fprintf(stderr, "attack: %s: %s\n", what, strerror(errno));
    exit(2);
}

uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void pace(uint64_t start_ns, uint64_t sent, uint64_t rate)
{
    if (rate == 0)
        return;
    uint64_t due = start_ns + sent * 1000000000 / rate, now = clock_ns();
    if (now >= due)
        return;
    struct timespec t = {.tv_sec = (time_t)((due - now) / 1000000000),
                         .tv_nsec = (long)((due - now) % 1000000000)};
    nanosleep(&t, NULL);
}

uint32_t random_next(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

void random_fill(uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)random_next();
}

int socket_from(struct in_addr address)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr = address,
                             .sin_port = htons(PORT_TOKEN)};
    if (fd < 0 ||
        setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        die("socket");
    return fd;
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text) {
        fprintf(stderr, "attack: not a number: %s\n", text);
        exit(2);
    }
    return value;
}

static struct in_addr address(const char *text)
{
    struct in_addr a;
    if (inet_pton(AF_INET, text, &a) != 1) {
        fprintf(stderr, "attack: not an address: %s\n", text);
        exit(2);
    }
    return a;
}

static void option_take(struct attack_options *o, int c)
{
    switch (c) {
    case 't':
        o->to = address(optarg);
        break;
    case 'f':
        o->from = address(optarg);
        break;
    case 'p':
        o->peer = address(optarg);
        break;
    case 'P':
        o->port = (uint16_t)number(optarg);
        break;
    case 's':
        o->seconds = number(optarg);
        break;
    case 'n':
        o->count = number(optarg);
        break;
    case 'r':
        o->rate = number(optarg);
        break;
    case 'z':
        o->size = number(optarg);
        break;
    case 'c':
        o->code = (unsigned)number(optarg);
        break;
    case 'm':
        o->mtu = (unsigned)number(optarg);
        break;
    case 'k':
        o->kind = optarg;
        break;
    case 'F':
        o->file = optarg;
        break;
    default:
        fputs(usage, stderr);
        exit(2);
    }
}

static struct attack_options options_parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"to", 1, NULL, 't'},      {"from", 1, NULL, 'f'},
        {"peer", 1, NULL, 'p'},    {"port", 1, NULL, 'P'},
        {"seconds", 1, NULL, 's'}, {"count", 1, NULL, 'n'},
        {"rate", 1, NULL, 'r'},    {"size", 1, NULL, 'z'},
        {"code", 1, NULL, 'c'},    {"mtu", 1, NULL, 'm'},
        {"kind", 1, NULL, 'k'},    {"file", 1, NULL, 'F'},
        {NULL, 0, NULL, 0}};
    struct attack_options o = {.port = PORT_TOKEN,
                               .seconds = UINT64_MAX / 2000000000,
                               .count = UINT64_MAX,
                               .size = 100,
                               .code = 3,
                               .kind = ""};
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
        option_take(&o, c);
    return o;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct attack_options *);
    } attacks[] = {{"record", attack_record},
                   {"icmp", attack_icmp},
                   {"flood", attack_flood},
                   {"relay", attack_relay}};
    for (size_t i = 0; argc > 1 && i < sizeof attacks / sizeof *attacks; i++)
        if (strcmp(argv[1], attacks[i].name) == 0) {
            struct attack_options o = options_parse(argc - 1, argv + 1);
            return attacks[i].run(&o);
        }
    fputs(usage, stderr);
    return 2;
}
