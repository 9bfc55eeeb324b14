/* SPDX-License-Identifier: BSD-3-Clause */
/* fake_order.h - a server over an order of one node that is made up here: what
 * clients send is looped back, cut into visits of a given size. The server has
 * a group layer made up here. For the tests of the server and of the client
 * libraries. */
#ifndef TEST_UNIT_FAKE_ORDER_H
#define TEST_UNIT_FAKE_ORDER_H

#include "test/unit/unit.h"

#include "daemon/base/check.h"
#include "daemon/server/internal.h"
#include "ipc/channel.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- the made-up order: server_take() over a fake group layer ------------- */

/* The linker sends what the server asks of the group layer to these (--wrap in
 * the Makefile). */
enum group_put_result __wrap_group_put(struct group *g, struct totem *t,
                                       const struct group_message *m);
void __wrap_group_flush(struct group *g, struct totem *t);
void __wrap_group_abandon(struct group *g);

enum {
    NODE = 7,
    MESSAGE_MAX = 1 << 20,
    SUBMIT_RING = 1 << 21,
    EVENT_RING = 1 << 21,
    OVERFLOW_SIZE = 2000000 /* rounded up to 2 MiB */
};

struct queued {
    struct queued *next;
    size_t size;
    bool safe;
    uint8_t service;
    uint8_t data[];
};

static struct {
    struct server *server;
    char dir[64];
    pthread_t thread;
    _Atomic bool stop, hold;         /* hold: no visits, as without a ring */
    _Atomic uint32_t configurations; /* to be delivered */
    _Atomic size_t visit_bytes;
    _Atomic uint64_t visits, safes, abandoned;
    _Atomic uint32_t active; /* clients that are looked at */
    pthread_mutex_t stats_lock;
    struct server_stats stats;
    uint64_t ring_seq;
    bool have_configuration;
    bool alone;        /* configurations of one member */
    struct clm *other; /* the CLM service of a second node, made up too */
    /* of the visit */
    size_t left, partial_done;
    const uint8_t *partial_at;
    bool partial_safe;
    struct queued *first, **last;
} d;

static size_t parts_size(const struct group_message *m)
{
    size_t n = 0;
    for (uint32_t i = 0; i < m->part_count; i++)
        n += m->parts[i].n;
    return n;
}

enum group_put_result __wrap_group_put(struct group *g, struct totem *t,
                                       const struct group_message *m)
{
    size_t size = parts_size(m), rest = size - d.partial_done;
    (void)g;
    (void)t;
    if (d.partial_at != NULL) { /* the same message as before? */
        CHECK(d.partial_at == m->parts[0].p);
        CHECK(d.partial_safe == m->safe);
    }
    if (rest > d.left) {
        d.partial_done += d.left;
        d.left = 0;
        d.partial_at = m->parts[0].p;
        d.partial_safe = m->safe;
        return GROUP_PUT_PARTIAL;
    }
    d.left -= rest;
    d.partial_done = 0;
    d.partial_at = NULL;
    struct queued *q = malloc(sizeof *q + size);
    CHECK(q != NULL);
    *q = (struct queued){.size = size, .safe = m->safe, .service = m->service};
    for (uint32_t i = 0, at = 0; i < m->part_count; i++) {
        if (m->parts[i].n > 0)
            memcpy(q->data + at, m->parts[i].p, m->parts[i].n);
        at += (uint32_t)m->parts[i].n;
    }
    *d.last = q;
    d.last = &q->next;
    return GROUP_PUT_DONE;
}

void __wrap_group_flush(struct group *g, struct totem *t)
{
    (void)g;
    (void)t;
}

void __wrap_group_abandon(struct group *g)
{
    (void)g;
    d.partial_at = NULL;
    d.partial_done = 0;
    d.abandoned++;
}

static struct ipc_clm_node fake_node(uint32_t id)
{
    struct ipc_clm_node n = {.node_id = id,
                             .boot_ns = id,
                             .incarnation = id,
                             .family = 1,
                             .address_length = 9,
                             .name_length = 5};
    memcpy(n.address, "127.0.0.1", 9);
    memcpy(n.name, "node?", 5);
    n.name[4] = (uint8_t)('0' + id % 10);
    return n;
}

/* The other node tells about itself. */
static void deliver_other(const struct totem_configuration *c)
{
    struct group_event e = {
        .kind = GROUP_EVENT_MESSAGE,
        .message = {.sender = NODE + 1, .service = GROUP_SERVICE_CLM}};
    clm_configuration(d.other, c);
    while (clm_message_next(d.other, &e.message.data)) {
        server_deliver(d.server, &e);
        clm_message_sent(d.other);
    }
}

static void deliver_configuration(void)
{
    struct totem_configuration c = {
        .transitional = true,
        .member_count = 1,
        .members = {NODE},
        .ring_id = {.seq = d.ring_seq, .rep = NODE}};
    struct group_event e = {.kind = GROUP_EVENT_CONFIGURATION,
                            .configuration = &c};
    if (d.ring_seq > 0)
        server_deliver(d.server, &e);
    c.transitional = false;
    c.ring_id.seq = d.ring_seq += 4;
    c.incarnations[0] = NODE;
    if (!d.alone) {
        c.joined_count = 1;
        c.joined[0] = NODE + 1;
        c.member_count = 2;
        c.members[1] = NODE + 1;
        c.incarnations[1] = NODE + 1;
    }
    /* As the group layer: what is half sent begins anew. */
    d.partial_at = NULL;
    d.partial_done = 0;
    server_deliver(d.server, &e);
    if (!d.alone)
        deliver_other(&c);
}

static bool visit(void)
{
    bool any = false;
    d.left = d.visit_bytes;
    server_take(d.server, NULL, NULL);
    while (d.first != NULL) {
        struct queued *q = d.first;
        struct group_event e = {.kind = GROUP_EVENT_MESSAGE,
                                .message = {.sender = NODE,
                                            .service = q->service,
                                            .safe = q->safe,
                                            .data = {q->data, q->size}}};
        server_deliver(d.server, &e);
        d.safes += q->safe;
        d.first = q->next;
        free(q);
        any = true;
    }
    d.last = &d.first;
    d.visits++;
    return any || d.partial_at != NULL;
}

static void *protocol(void *unused)
{
    (void)unused;
    while (!d.stop) {
        bool busy = false;
        server_time(d.server, server_now_ns());
        server_poll(d.server);
        for (; d.configurations > 0; d.configurations--)
            deliver_configuration();
        if (!d.hold)
            busy = visit();
        server_flush(d.server);
        server_time(d.server, server_now_ns());
        server_clean(d.server, server_now_ns());
        pthread_mutex_lock(&d.stats_lock);
        d.stats = *server_stats_get(d.server);
        d.active = d.server->lists[LIST_ACTIVE].count;
        pthread_mutex_unlock(&d.stats_lock);
        if (!busy && server_arm(d.server, false)) {
            struct pollfd p = {.fd = server_fd(d.server), .events = POLLIN};
            poll(&p, 1, 20);
        }
    }
    return NULL;
}

static struct server_stats stats(void)
{
    pthread_mutex_lock(&d.stats_lock);
    struct server_stats s = d.stats;
    pthread_mutex_unlock(&d.stats_lock);
    return s;
}

static struct server_config config(void)
{
    return (struct server_config){.node_id = NODE,
                                  .self = fake_node(NODE),
                                  .run_dir = d.dir,
                                  .group_known = true,
                                  .group = 54321,
                                  .client_max = 40,
                                  .submit_ring_bytes = SUBMIT_RING,
                                  .event_ring_bytes = EVENT_RING,
                                  .overflow_bytes = OVERFLOW_SIZE,
                                  .message_size_max = MESSAGE_MAX,
                                  .packet_size = 1400,
                                  .ckpt_count_max = 100,
                                  .ckpt_bytes_max = 64 << 20,
                                  .ckpt_direct = true,
                                  .worker_count = 2,
                                  .spin_ns = 50000};
}

static void start_with(struct server_config c)
{
    char error[256];
    int rc = server_open(&d.server, &c, error, sizeof error);
    if (rc != 0)
        fprintf(stderr, "server_open: %s\n", error);
    CHECK(rc == 0);
    struct clm_config other = {.self = fake_node(NODE + 1), .client_max = 1};
    d.other = clm_new(&other);
    CHECK(d.other != NULL);
    d.stop = d.hold = false;
    d.visit_bytes = 1 << 20;
    d.first = NULL;
    d.last = &d.first;
    d.partial_at = NULL;
    d.partial_done = 0;
    d.ring_seq = 0;
    d.configurations = 1;
    CHECK(pthread_create(&d.thread, NULL, protocol, NULL) == 0);
}

static void start(void)
{
    start_with(config());
}

static void stop(void)
{
    d.stop = true;
    pthread_join(d.thread, NULL);
    server_close(d.server);
    clm_free(d.other);
    d.server = NULL;
}

/* --- tools ---------------------------------------------------------------- */

static inline int open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Waits, up to a minute, until the condition holds. */
#define EVENTUALLY(cond)                                                       \
    do {                                                                       \
        for (int i_ = 0; i_ < 12000 && !(cond); i_++)                          \
            pause_ms(5);                                                       \
        CU_ASSERT(cond);                                                       \
    } while (0)

/* From its return on there are no visits: the thread of the order has come by
 * once more since `hold` was set. */
static inline void hold_order(void)
{
    d.hold = true;
    d.configurations = 1;
    while (d.configurations > 0)
        pause_ms(1);
}

static inline bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) > 0;
}

/* Runs `body` in a child; its exit status. */
static inline int in_child(void (*body)(void))
{
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        body();
        _exit(99);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

/* Runs the tests in a run directory of their own. */
static inline int fake_main(const char *suite, const struct unit_test *tests,
                            size_t count)
{
    int result;
    snprintf(d.dir, sizeof d.dir, "/tmp/openais-test-XXXXXX");
    if (mkdtemp(d.dir) == NULL || chmod(d.dir, 0755) != 0)
        return 2;
    pthread_mutex_init(&d.stats_lock, NULL);
    setenv(CHANNEL_RUN_DIR_ENV, d.dir, 1);
    result = unit_main(suite, tests, count);
    rmdir(d.dir);
    return result;
}

#define FAKE_MAIN(suite, tests)                                                \
    int main(void)                                                             \
    {                                                                          \
        return fake_main(suite, tests, sizeof(tests) / sizeof *(tests));       \
    }

#endif
