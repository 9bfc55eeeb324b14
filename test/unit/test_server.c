/* SPDX-License-Identifier: BSD-3-Clause */
/* test_server.c - the server and libevs in one process, over an order of one
 * node that is made up here: what clients send is looped back, cut into visits
 * of a given size. */
#include "test/unit/unit.h"

#include "daemon/server/internal.h"
#include "ipc/channel.h"

#include <corosync/evs.h>

#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- the made-up order: take.c compiled in place over a fake group layer ---------- */

static enum group_put_result fake_put(struct group *g, struct totem *t,
                                      const struct group_message *m);
static void fake_flush(struct group *g, struct totem *t);
static void fake_abandon(struct group *g);
void test_take(struct server *s, struct group *g, struct totem *t);
enum head test_client_head(struct server *s, struct client *c,
                           const uint8_t **body);
enum head test_client_answer(struct server *s, struct client *c, uint32_t max);

#define group_put fake_put
#define group_flush fake_flush
#define group_abandon fake_abandon
#define server_take test_take
#define client_head test_client_head
#define client_answer test_client_answer
#include "daemon/server/take.c"
#undef group_put
#undef server_take

enum {
    NODE = 7,
    MESSAGE_MAX = 1 << 20,
    SUBMIT_RING = 1 << 21,
    EVENT_RING = 1 << 21,
    OVERFLOW_SIZE = 1 << 21
};

struct queued {
    struct queued *next;
    size_t size;
    bool safe;
    uint8_t data[];
};

static struct {
    struct server *server;
    char dir[64];
    pthread_t thread;
    _Atomic bool stop, hold; /* hold: no visits, as without a ring */
    _Atomic uint32_t configurations; /* to be delivered */
    _Atomic size_t visit_bytes;
    _Atomic uint64_t visits, safes, abandoned;
    pthread_mutex_t stats_lock;
    struct server_stats stats;
    uint64_t ring_seq;
    bool have_configuration;
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

static enum group_put_result fake_put(struct group *g, struct totem *t,
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
    *q = (struct queued){.size = size, .safe = m->safe};
    memcpy(q->data, m->parts[0].p, size);
    *d.last = q;
    d.last = &q->next;
    return GROUP_PUT_DONE;
}

static void fake_flush(struct group *g, struct totem *t)
{
    (void)g;
    (void)t;
}

static void fake_abandon(struct group *g)
{
    (void)g;
    d.partial_at = NULL;
    d.partial_done = 0;
    d.abandoned++;
}

static void deliver_configuration(void)
{
    struct totem_configuration c = {.transitional = true,
                                    .member_count = 1,
                                    .members = {NODE},
                                    .ring_id = {.seq = d.ring_seq, .rep = NODE}};
    struct group_event e = {.kind = GROUP_EVENT_CONFIGURATION,
                            .configuration = &c};
    if (d.ring_seq > 0)
        server_deliver(d.server, &e);
    c.transitional = false;
    c.ring_id.seq = d.ring_seq += 4;
    c.joined_count = 1;
    c.joined[0] = NODE + 1;
    c.member_count = 2;
    c.members[1] = NODE + 1;
    server_deliver(d.server, &e);
}

static bool visit(void)
{
    bool any = false;
    d.left = d.visit_bytes;
    test_take(d.server, NULL, NULL);
    while (d.first != NULL) {
        struct queued *q = d.first;
        struct group_event e = {.kind = GROUP_EVENT_MESSAGE,
                                .message = {.sender = NODE,
                                            .service = GROUP_SERVICE_EVS,
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
        server_poll(d.server);
        for (; d.configurations > 0; d.configurations--)
            deliver_configuration();
        if (!d.hold)
            busy = visit();
        server_flush(d.server);
        pthread_mutex_lock(&d.stats_lock);
        d.stats = *server_stats_get(d.server);
        pthread_mutex_unlock(&d.stats_lock);
        if (!busy && server_arm(d.server)) {
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
                                  .run_dir = d.dir,
                                  .group_known = true,
                                  .group = 54321,
                                  .client_max = 40,
                                  .submit_ring_bytes = SUBMIT_RING,
                                  .event_ring_bytes = EVENT_RING,
                                  .overflow_bytes = OVERFLOW_SIZE,
                                  .message_size_max = MESSAGE_MAX,
                                  .packet_size = 1400};
}

static void start_with(struct server_config c)
{
    char error[256];
    int rc = server_open(&d.server, &c, error, sizeof error);
    if (rc != 0)
        fprintf(stderr, "server_open: %s\n", error);
    CHECK(rc == 0);
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
    d.server = NULL;
}

/* --- tools --------------------------------------------------------------------------- */

static int open_fds(void)
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
    struct timespec t = {.tv_sec = ms / 1000,
                         .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Waits, up to ten seconds, until the condition holds. */
#define EVENTUALLY(cond)                                                       \
    do {                                                                       \
        for (int i_ = 0; i_ < 2000 && !(cond); i_++)                           \
            pause_ms(5);                                                       \
        CU_ASSERT(cond);                                                       \
    } while (0)

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) > 0;
}

struct box { /* what a handle's callbacks saw */
    _Atomic uint64_t messages, bytes, configurations;
    uint64_t bad;
    uint32_t next[64]; /* expected number, by sender */
    size_t last_size, members, left, joined;
    unsigned int last_node;
    unsigned long long ring_seq;
    uint8_t last[64];
    evs_handle_t finalize, dispatch; /* to be done in the callback */
    cs_error_t result;
};

static void on_message(hdb_handle_t handle, unsigned int node,
                       const void *msg, size_t size)
{
    void *context;
    if (evs_context_get(handle, &context) != CS_OK)
        return;
    struct box *b = context;
    b->last_size = size;
    b->last_node = node;
    memcpy(b->last, msg, size < sizeof b->last ? size : sizeof b->last);
    b->bytes += size;
    b->messages++;
    if (b->finalize != 0) {
        b->result = evs_finalize(b->finalize);
        b->finalize = 0;
    }
    if (b->dispatch != 0) {
        evs_handle_t h = b->dispatch;
        b->dispatch = 0;
        b->result = evs_dispatch(h, CS_DISPATCH_ALL);
    }
}

static void on_configuration(hdb_handle_t handle, const unsigned int *members,
                             size_t member_count, const unsigned int *left,
                             size_t left_count, const unsigned int *joined,
                             size_t joined_count,
                             const struct evs_ring_id *ring)
{
    void *context;
    if (evs_context_get(handle, &context) != CS_OK)
        return;
    struct box *b = context;
    (void)left;
    (void)joined;
    b->members = member_count;
    b->left = left_count;
    b->joined = joined_count;
    b->ring_seq = ring->seq;
    b->bad += member_count > 0 && members[0] != NODE;
    b->bad += b->messages > 0 && b->configurations == 0;
    b->configurations++;
}

static evs_callbacks_t callbacks = {on_message, on_configuration};

static evs_handle_t client(struct box *b)
{
    evs_handle_t h = 0;
    cs_error_t e = evs_initialize(&h, &callbacks);
    CU_ASSERT_EQUAL(e, CS_OK);
    if (e == CS_OK)
        evs_context_set(h, b);
    return h;
}

static struct evs_group group(const char *name)
{
    struct evs_group g = {{0}};
    memcpy(g.key, name, strlen(name));
    return g;
}

static void join(evs_handle_t h, const char *name)
{
    struct evs_group g = group(name);
    CU_ASSERT_EQUAL(evs_join(h, &g, 1), CS_OK);
}

static cs_error_t send_to(evs_handle_t h, const char *name, const void *data,
                          size_t size)
{
    struct evs_group g = group(name);
    struct iovec v = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    cs_error_t e;
    while ((e = evs_mcast_groups(h, EVS_TYPE_AGREED, &g, 1, &v, 1)) ==
           CS_ERR_TRY_AGAIN)
        sched_yield();
    return e;
}

/* Dispatches until `messages` have come, or for five seconds. */
static void gather(evs_handle_t h, struct box *b, uint64_t messages)
{
    int fd = -1;
    CU_ASSERT_EQUAL(evs_fd_get(h, &fd), CS_OK);
    while (b->messages < messages && readable(fd, 5000))
        if (evs_dispatch(h, CS_DISPATCH_ALL) != CS_OK)
            break;
    CU_ASSERT_EQUAL(b->messages, messages);
}

/* --- the library's rules ---------------------------------------------------------------- */

static void test_no_daemon(void)
{
    evs_handle_t h = 0;
    int before = open_fds();
    CU_ASSERT_EQUAL(evs_initialize(&h, NULL), CS_ERR_TRY_AGAIN);
    CU_ASSERT_EQUAL(evs_initialize(NULL, NULL), CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(open_fds(), before);
}

static void test_handles(void)
{
    struct box b = {.bad = 0};
    int before = open_fds(), fd;
    void *context = NULL;
    start();
    evs_handle_t h = client(&b), old = h;
    CU_ASSERT_EQUAL(evs_fd_get(h, &fd), CS_OK);
    CU_ASSERT_EQUAL(evs_fd_get(h, NULL), CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_context_get(h, &context), CS_OK);
    CU_ASSERT_PTR_EQUAL(context, &b);
    CU_ASSERT_EQUAL(evs_context_get(h, NULL), CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_dispatch(h, (cs_dispatch_flags_t)9),
                    CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_finalize(h), CS_OK);
    CU_ASSERT_EQUAL(evs_finalize(h), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_finalize(0), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_finalize(1), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_finalize(UINT64_MAX), CS_ERR_BAD_HANDLE);
    h = client(&b);
    CU_ASSERT_NOT_EQUAL(h, old);
    CU_ASSERT_EQUAL(evs_fd_get(old, &fd), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_dispatch(old, CS_DISPATCH_ALL), CS_ERR_BAD_HANDLE);
    struct evs_group g = group("x");
    size_t n = 1;
    CU_ASSERT_EQUAL(evs_join(old, &g, 1), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_leave(old, &g, 1), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_mcast_joined(old, EVS_TYPE_AGREED, NULL, 0),
                    CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_mcast_groups(old, EVS_TYPE_AGREED, &g, 1, NULL, 0),
                    CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_membership_get(old, NULL, NULL, &n),
                    CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_finalize(h), CS_OK);
    EVENTUALLY(stats().clients_now == 0);
    stop();
    CU_ASSERT_EQUAL(open_fds(), before);
}

static void test_first_configuration(void)
{
    struct box b = {.bad = 0};
    unsigned int local = 0, list[8] = {0};
    size_t n = 8;
    start();
    evs_handle_t h = client(&b);
    CU_ASSERT_EQUAL(evs_membership_get(h, &local, list, &n), CS_OK);
    CU_ASSERT_EQUAL(local, NODE);
    CU_ASSERT_EQUAL(n, 2);
    CU_ASSERT_EQUAL(list[1], NODE + 1);
    n = 1;
    CU_ASSERT_EQUAL(evs_membership_get(h, NULL, NULL, &n), CS_OK);
    CU_ASSERT_EQUAL(n, 1);
    CU_ASSERT_EQUAL(evs_membership_get(h, NULL, list, NULL),
                    CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ONE), CS_OK);
    CU_ASSERT_EQUAL(b.configurations, 1);
    evs_handle_t late = client(&b);
    b = (struct box){.bad = 0};
    join(late, "a");
    CU_ASSERT_EQUAL(send_to(late, "a", "x", 1), CS_OK);
    gather(late, &b, 1);
    CU_ASSERT_EQUAL(b.configurations, 1);
    CU_ASSERT_EQUAL(b.members, 2);
    CU_ASSERT_EQUAL(b.joined, 1);
    CU_ASSERT_EQUAL(b.bad, 0);
    d.configurations = 1; /* a change: transitional, then regular */
    b.configurations = 0;
    CU_ASSERT_EQUAL(evs_dispatch(late, CS_DISPATCH_ONE), CS_OK);
    CU_ASSERT_EQUAL(b.configurations, 1);
    CU_ASSERT_EQUAL(b.joined, 0);
    CU_ASSERT_EQUAL(evs_dispatch(late, CS_DISPATCH_ONE), CS_OK);
    CU_ASSERT_EQUAL(b.joined, 1);
    CU_ASSERT_EQUAL(b.ring_seq, 8);
    evs_finalize(h);
    evs_finalize(late);
    stop();
}

static void test_groups(void)
{
    struct box b = {.bad = 0}, other = {.bad = 0};
    struct evs_group g[60];
    struct iovec v[63];
    start();
    evs_handle_t h = client(&b), o = client(&other);
    for (int i = 0; i < 60; i++) {
        memset(&g[i], 'k', sizeof g[i]);
        g[i].key[31] = (char)i;
    }
    CU_ASSERT_EQUAL(evs_join(h, g, 51), CS_ERR_TOO_MANY_GROUPS);
    CU_ASSERT_EQUAL(evs_join(h, NULL, 1), CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_join(h, NULL, 0), CS_OK);
    CU_ASSERT_EQUAL(evs_join(h, g, 50), CS_OK);
    CU_ASSERT_EQUAL(evs_join(h, g, 50), CS_OK); /* a set */
    CU_ASSERT_EQUAL(evs_join(o, g, 1), CS_OK);
    /* Several groups match, one delivery. */
    v[0] = (struct iovec){.iov_base = (char[]){"ab"}, .iov_len = 2};
    v[1] = (struct iovec){.iov_base = NULL, .iov_len = 0};
    v[2] = (struct iovec){.iov_base = (char[]){"cde"}, .iov_len = 3};
    CU_ASSERT_EQUAL(evs_mcast_joined(h, EVS_TYPE_SAFE, v, 3), CS_OK);
    gather(h, &b, 1);
    gather(o, &other, 1);
    CU_ASSERT_EQUAL(b.last_size, 5);
    CU_ASSERT_EQUAL(b.last_node, NODE);
    CU_ASSERT_EQUAL(memcmp(b.last, "abcde", 5), 0);
    CU_ASSERT_EQUAL(d.safes, 1);
    /* Leaves up to the first that is not joined. */
    struct evs_group some[3] = {g[1], g[55], g[2]};
    CU_ASSERT_EQUAL(evs_leave(h, some, 3), CS_ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(evs_leave(h, &g[1], 1), CS_ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(evs_leave(h, &g[2], 1), CS_OK);
    CU_ASSERT_EQUAL(evs_leave(h, &g[0], 1), CS_OK);
    CU_ASSERT_EQUAL(evs_mcast_groups(h, EVS_TYPE_FIFO, g, 3, v, 3), CS_OK);
    gather(o, &other, 2);
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ALL), CS_OK);
    CU_ASSERT_EQUAL(b.messages, 1);
    CU_ASSERT_EQUAL(evs_mcast_groups(h, EVS_TYPE_AGREED, g, 0, v, 3), CS_OK);
    CU_ASSERT_EQUAL(evs_mcast_groups(h, EVS_TYPE_AGREED, NULL, 1, v, 3),
                    CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_mcast_groups(h, (evs_guarantee_t)4, g, 1, v, 3),
                    CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_mcast_joined(h, EVS_TYPE_AGREED, NULL, 1),
                    CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_mcast_joined(h, EVS_TYPE_AGREED, v, 63),
                    CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_finalize(o), CS_OK);
    o = client(&other); /* nothing joined: OK, and for nobody */
    CU_ASSERT_EQUAL(evs_mcast_joined(o, EVS_TYPE_AGREED, v, 3), CS_OK);
    evs_finalize(o);
    evs_finalize(h);
    stop();
}

static void test_sizes(void)
{
    static const size_t sizes[] = {0,    1,     7,     8,       1399,
                                   1400, 49001, 65536, 1000000, MESSAGE_MAX};
    uint8_t *data = malloc(MESSAGE_MAX + 1);
    struct box b = {.bad = 0};
    uint64_t n = 0;
    start();
    d.visit_bytes = 3000; /* the large ones are PARTIAL for many visits */
    evs_handle_t h = client(&b);
    join(h, "sizes");
    for (size_t i = 0; i < MESSAGE_MAX + 1; i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CU_ASSERT_EQUAL(send_to(h, "sizes", data, sizes[i]), CS_OK);
        gather(h, &b, ++n);
        CU_ASSERT_EQUAL(b.last_size, sizes[i]);
        CU_ASSERT_EQUAL(memcmp(b.last, data,
                               sizes[i] < sizeof b.last ? sizes[i]
                                                        : sizeof b.last),
                        0);
    }
    CU_ASSERT_EQUAL(send_to(h, "sizes", data, MESSAGE_MAX + 1),
                    CS_ERR_TOO_BIG);
    struct iovec v[2] = {{data, SIZE_MAX}, {data, 2}};
    CU_ASSERT_EQUAL(evs_mcast_joined(h, EVS_TYPE_AGREED, v, 2),
                    CS_ERR_TOO_BIG);
    evs_finalize(h);
    stop();
    free(data);
}

static void test_try_again(void)
{
    struct box b = {.bad = 0};
    struct evs_group g = group("full");
    static uint8_t data[100000];
    struct iovec v = {data, sizeof data};
    uint64_t sent = 0;
    cs_error_t e;
    start();
    evs_handle_t h = client(&b);
    join(h, "full");
    d.hold = true;
    pause_ms(50);
    while ((e = evs_mcast_groups(h, EVS_TYPE_AGREED, &g, 1, &v, 1)) == CS_OK)
        sent++;
    CU_ASSERT_EQUAL(e, CS_ERR_TRY_AGAIN);
    CU_ASSERT(sent >= 19 && sent <= 21);
    d.hold = false;
    /* A request waits for room instead. */
    join(h, "other");
    gather(h, &b, sent);
    evs_finalize(h);
    stop();
}

/* --- the descriptor ------------------------------------------------------------------------ */

static void test_descriptor(void)
{
    struct box b = {.bad = 0};
    int fd = -1;
    struct ucred peer;
    socklen_t size = sizeof peer;
    start();
    evs_handle_t h = client(&b);
    evs_fd_get(h, &fd);
    CU_ASSERT_EQUAL(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size), 0);
    CU_ASSERT_EQUAL(peer.pid, getpid());
    CU_ASSERT(readable(fd, 2000)); /* the first configuration */
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ONE), CS_OK);
    CU_ASSERT(!readable(fd, 20));
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING),
                    CS_ERR_TRY_AGAIN);
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ALL), CS_OK);
    join(h, "fd");
    for (int round = 0; round < 300; round++) {
        uint64_t n = b.messages;
        int count = 1 + round % 4;
        for (int i = 0; i < count; i++)
            CU_ASSERT_EQUAL(send_to(h, "fd", &i, sizeof i), CS_OK);
        /* Each time it is readable there is one; with the last it ends. */
        for (int i = 0; i < count; i++) {
            CU_ASSERT(readable(fd, 2000));
            CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING),
                            CS_OK);
        }
        CU_ASSERT_EQUAL(b.messages, n + (uint64_t)count);
        CU_ASSERT(!readable(fd, 0));
    }
    evs_finalize(h);
    stop();
}

struct flood {
    evs_handle_t handle;
    uint32_t count, sender;
};

static void *flood(void *context)
{
    struct flood *f = context;
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t data[2] = {f->sender, i};
        if (send_to(f->handle, "flood", data, sizeof data) != CS_OK)
            break;
        if (i % 64 == 0) /* so that the receiver falls asleep now and then */
            pause_ms(0);
    }
    return NULL;
}

/* poll, then ONE, as test programs do: it must never hang, and never miss. */
static void test_descriptor_stress(void)
{
    struct box b = {.bad = 0};
    struct flood f = {.count = 30000};
    pthread_t t;
    int fd = -1, spurious = 0;
    start();
    evs_handle_t h = client(&b);
    evs_fd_get(h, &fd);
    join(h, "flood");
    f.handle = h;
    pthread_create(&t, NULL, flood, &f);
    while (b.messages < f.count) {
        if (!readable(fd, 5000)) {
            CU_FAIL("a message is pending and the socket is not readable");
            break;
        }
        if (evs_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING) != CS_OK)
            spurious++;
    }
    CU_ASSERT_EQUAL(b.messages, f.count);
    CU_ASSERT(spurious < 5); /* a daemon preempted for more than 10 ms */
    pthread_join(t, NULL);
    evs_finalize(h);
    stop();
}

/* --- threads and ends ------------------------------------------------------------------------ */

static void *dispatch_blocking(void *context)
{
    evs_handle_t h = *(evs_handle_t *)context;
    return (void *)(uintptr_t)evs_dispatch(h, CS_DISPATCH_BLOCKING);
}

static void test_finalize_wakes(void)
{
    struct box b = {.bad = 0};
    pthread_t t[3];
    void *result;
    start();
    for (int round = 0; round < 20; round++) {
        evs_handle_t h = client(&b);
        for (int i = 0; i < 3; i++)
            pthread_create(&t[i], NULL, dispatch_blocking, &h);
        pause_ms(round);
        CU_ASSERT_EQUAL(evs_finalize(h), CS_OK);
        for (int i = 0; i < 3; i++) {
            pthread_join(t[i], &result);
            cs_error_t e = (cs_error_t)(uintptr_t)result;
            CU_ASSERT(e == CS_OK || e == CS_ERR_BAD_HANDLE);
        }
    }
    EVENTUALLY(stats().clients_now == 0);
    stop();
}

static void test_callback_finalizes(void)
{
    struct box b = {.result = 0};
    start();
    evs_handle_t h = client(&b);
    join(h, "own");
    CU_ASSERT_EQUAL(send_to(h, "own", "x", 1), CS_OK);
    CU_ASSERT_EQUAL(send_to(h, "own", "y", 1), CS_OK);
    b.finalize = h;
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_BLOCKING), CS_OK);
    CU_ASSERT_EQUAL(b.result, CS_OK);
    CU_ASSERT_EQUAL(b.messages, 1);
    CU_ASSERT_EQUAL(evs_finalize(h), CS_ERR_BAD_HANDLE);
    h = client(&b);
    join(h, "own");
    for (int i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(send_to(h, "own", "z", 1), CS_OK);
    b.dispatch = h; /* a dispatch within a callback */
    gather(h, &b, 6);
    CU_ASSERT_EQUAL(b.result, CS_OK);
    evs_finalize(h);
    stop();
}

static void check_number(hdb_handle_t handle, unsigned int node,
                         const void *msg, size_t size)
{
    void *context;
    uint32_t data[2] = {0};
    (void)node;
    if (evs_context_get(handle, &context) != CS_OK)
        return;
    struct box *b = context;
    if (size == sizeof data)
        memcpy(data, msg, size);
    if (size != sizeof data || data[0] >= 64 || data[1] != b->next[data[0]])
        b->bad++;
    else
        b->next[data[0]]++;
    b->messages++;
}

/* Four threads send on two handles, two threads dispatch each of them. */
static void test_threads(void)
{
    static struct box b[2];
    evs_callbacks_t numbered = {check_number, NULL};
    struct flood f[4];
    evs_handle_t h[2];
    pthread_t t[4], dispatcher[4];
    start();
    for (uint32_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(evs_initialize(&h[i], &numbered), CS_OK);
        evs_context_set(h[i], &b[i]);
        join(h[i], "flood");
        for (uint32_t k = 0; k < 2; k++)
            pthread_create(&dispatcher[2 * i + k], NULL, dispatch_blocking,
                           &h[i]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        f[i] = (struct flood){.handle = h[i % 2], .count = 5000, .sender = i};
        pthread_create(&t[i], NULL, flood, &f[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < 2; i++)
        EVENTUALLY(b[i].messages == 20000);
    for (int i = 0; i < 2; i++)
        evs_finalize(h[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(dispatcher[i], NULL);
    CU_ASSERT_EQUAL(b[0].bad + b[1].bad, 0);
    stop();
}

static void test_daemon_ends(void)
{
    struct box b = {.bad = 0};
    pthread_t t;
    void *result;
    int fd = -1, before = open_fds();
    size_t n = 1;
    start();
    evs_handle_t h = client(&b);
    evs_fd_get(h, &fd);
    join(h, "end");
    CU_ASSERT_EQUAL(send_to(h, "end", "x", 1), CS_OK);
    EVENTUALLY(stats().delivered == 1);
    evs_handle_t waiting = client(&b);
    pthread_create(&t, NULL, dispatch_blocking, &waiting);
    pause_ms(30);
    stop();
    pthread_join(t, &result);
    CU_ASSERT_EQUAL((cs_error_t)(uintptr_t)result, CS_ERR_LIBRARY);
    CU_ASSERT(readable(fd, 0));
    b = (struct box){.bad = 0};
    /* What had come is still delivered, then the end is told. */
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ALL), CS_OK);
    CU_ASSERT_EQUAL(b.messages, 1);
    CU_ASSERT(readable(fd, 0));
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ALL), CS_ERR_LIBRARY);
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ONE), CS_ERR_LIBRARY);
    CU_ASSERT_EQUAL(send_to(h, "end", "x", 1), CS_ERR_LIBRARY);
    CU_ASSERT_EQUAL(evs_membership_get(h, NULL, NULL, &n), CS_ERR_LIBRARY);
    CU_ASSERT_EQUAL(evs_finalize(h), CS_OK);
    CU_ASSERT_EQUAL(evs_finalize(waiting), CS_OK);
    CU_ASSERT_EQUAL(open_fds(), before);
}

static void test_request_waits_for_ring(void)
{
    struct box b = {.bad = 0};
    pthread_t t;
    void *result = NULL;
    start();
    evs_handle_t h = client(&b);
    join(h, "a");
    d.hold = true;
    pause_ms(30);
    CU_ASSERT_EQUAL(send_to(h, "a", "x", 1), CS_OK);
    uint64_t visits = d.visits;
    pause_ms(30);
    CU_ASSERT_EQUAL(d.visits, visits);
    CU_ASSERT_EQUAL(b.messages, 0);
    evs_handle_t other = client(&b); /* is served meanwhile */
    join(other, "b");
    pthread_create(&t, NULL, dispatch_blocking, &h);
    d.hold = false;
    EVENTUALLY(b.messages == 1);
    evs_finalize(h);
    evs_finalize(other);
    pthread_join(t, &result);
    stop();
}

/* --- fork and death ------------------------------------------------------------------------------ */

/* Runs `body` in a child; its exit status. */
static int in_child(void (*body)(void))
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

static evs_handle_t parents_handle;

static void child_uses_handle(void)
{
    struct evs_group g = group("x");
    evs_handle_t own;
    if (evs_dispatch(parents_handle, CS_DISPATCH_ALL) != CS_ERR_BAD_HANDLE ||
        evs_mcast_groups(parents_handle, EVS_TYPE_AGREED, &g, 1, NULL, 0) !=
            CS_ERR_BAD_HANDLE ||
        evs_finalize(parents_handle) != CS_ERR_BAD_HANDLE)
        _exit(1);
    if (evs_initialize(&own, NULL) != CS_OK || evs_finalize(own) != CS_OK)
        _exit(2);
    _exit(0);
}

static void test_fork(void)
{
    struct box b = {.bad = 0};
    start();
    parents_handle = client(&b);
    join(parents_handle, "x");
    CU_ASSERT_EQUAL(in_child(child_uses_handle), 0);
    CU_ASSERT_EQUAL(send_to(parents_handle, "x", "y", 1), CS_OK);
    gather(parents_handle, &b, 1);
    evs_finalize(parents_handle);
    stop();
}

static void child_sends_and_dies(void)
{
    evs_handle_t h;
    if (evs_initialize(&h, NULL) != CS_OK)
        _exit(1);
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t data[2] = {5, i};
        if (send_to(h, "flood", data, sizeof data) != CS_OK)
            _exit(2);
    }
    kill(getpid(), SIGKILL);
}

static void test_sent_before_death(void)
{
    static struct box b;
    evs_callbacks_t numbered = {check_number, NULL};
    evs_handle_t h;
    int before = open_fds();
    b = (struct box){.bad = 0};
    start();
    d.visit_bytes = 333; /* partial again and again */
    CU_ASSERT_EQUAL(evs_initialize(&h, &numbered), CS_OK);
    evs_context_set(h, &b);
    join(h, "flood");
    for (int i = 0; i < 3; i++) {
        b.next[5] = 0;
        CU_ASSERT_EQUAL(in_child(child_sends_and_dies), 100);
        gather(h, &b, 1000 * ((uint64_t)i + 1));
    }
    CU_ASSERT_EQUAL(b.bad, 0);
    EVENTUALLY(stats().clients_now == 1);
    evs_finalize(h);
    stop();
    CU_ASSERT_EQUAL(open_fds(), before);
}

static uid_t child_uid;
static gid_t child_gid, child_extra;

static void child_connects(void)
{
    evs_handle_t h;
    gid_t extra[1] = {child_extra};
    if (setgroups(child_extra != 0 ? 1 : 0, extra) != 0 ||
        setgid(child_gid) != 0 || setuid(child_uid) != 0)
        _exit(50);
    _exit((int)evs_initialize(&h, NULL));
}

static void test_credentials(void)
{
    if (getuid() != 0) {
        printf("\nSKIP credentials: not root, cannot become someone else\n");
        return;
    }
    start();
    child_uid = 12345;
    child_gid = 12345;
    child_extra = 0;
    CU_ASSERT_EQUAL(in_child(child_connects), CS_ERR_ACCESS);
    child_extra = 54321;
    CU_ASSERT_EQUAL(in_child(child_connects), CS_OK);
    child_extra = 0;
    child_gid = 54321;
    CU_ASSERT_EQUAL(in_child(child_connects), CS_OK);
    EVENTUALLY(stats().refused == 1);
    stop();
}

/* --- limits ------------------------------------------------------------------------------------------ */

static void test_client_limit(void)
{
    struct server_config c = config();
    evs_handle_t h[3], extra;
    c.client_max = 3;
    start_with(c);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(evs_initialize(&h[i], NULL), CS_OK);
    CU_ASSERT_EQUAL(evs_initialize(&extra, NULL), CS_ERR_NO_RESOURCES);
    evs_finalize(h[1]);
    h[1] = 0;
    EVENTUALLY(h[1] != 0 || evs_initialize(&h[1], NULL) == CS_OK);
    for (int i = 0; i < 3; i++)
        evs_finalize(h[i]);
    stop();
}

static void test_slow_reader(void)
{
    static uint8_t data[10000];
    struct box slow = {.bad = 0}, quick = {.bad = 0};
    cs_error_t e;
    start();
    evs_handle_t s = client(&slow), q = client(&quick);
    join(s, "g");
    join(q, "g");
    /* Within ring and overflow nothing is lost ... */
    for (uint64_t i = 0; i < 350; i++) {
        CU_ASSERT_EQUAL(send_to(q, "g", data, sizeof data), CS_OK);
        gather(q, &quick, i + 1);
    }
    CU_ASSERT_EQUAL(stats().overflowed, 0);
    gather(s, &slow, 350);
    /* ... beyond it the reader is sent away, and the other is not held up. */
    for (uint64_t i = 350; i < 1050; i++) {
        CU_ASSERT_EQUAL(send_to(q, "g", data, sizeof data), CS_OK);
        gather(q, &quick, i + 1);
    }
    EVENTUALLY(stats().overflowed == 1);
    while ((e = evs_dispatch(s, CS_DISPATCH_ALL)) == CS_OK)
        ;
    CU_ASSERT_EQUAL(e, CS_ERR_LIBRARY);
    CU_ASSERT(slow.messages > 350 + 200 && slow.messages < 1050);
    EVENTUALLY(stats().clients_now == 1);
    evs_finalize(s);
    evs_finalize(q);
    stop();
}

static void test_second_daemon(void)
{
    struct server *other = NULL;
    struct server_config c = config();
    char error[256] = "", path[128];
    struct stat st;
    start();
    CU_ASSERT_EQUAL(server_open(&other, &c, error, sizeof error),
                    -EADDRINUSE);
    CU_ASSERT(strstr(error, "another daemon") != NULL);
    evs_handle_t h;
    CU_ASSERT_EQUAL(evs_initialize(&h, NULL), CS_OK);
    evs_finalize(h);
    stop();
    snprintf(path, sizeof path, "%s/%s", d.dir, CHANNEL_SOCKET);
    CU_ASSERT_NOT_EQUAL(stat(path, &st), 0); /* nothing is left */
    /* A socket that a dead daemon left is replaced. */
    struct sockaddr_un a;
    channel_address(&a, d.dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    close(fd);
    start();
    stop();
    c.message_size_max = SUBMIT_RING;
    CU_ASSERT_EQUAL(server_open(&other, &c, error, sizeof error), -EINVAL);
    c = config();
    c.event_ring_bytes = 12345;
    CU_ASSERT_EQUAL(server_open(&other, &c, error, sizeof error), -EINVAL);
}

/* --- hostile clients --------------------------------------------------------------------------------- */

static int raw_connect(void)
{
    struct sockaddr_un a;
    channel_address(&a, d.dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

struct raw {
    int socket, fds[IPC_FDS];
    struct segment segment;
    struct ring_producer submit;
};

static void raw_open(struct raw *r)
{
    struct ipc_hello hello = {IPC_MAGIC, IPC_VERSION, sizeof hello,
                              IPC_SERVICE_EVS};
    struct ipc_welcome w = {0};
    size_t n;
    r->socket = raw_connect();
    CHECK(r->socket >= 0);
    channel_send(r->socket, &hello, sizeof hello, NULL, 0, true);
    CU_ASSERT_EQUAL(channel_receive(r->socket, &w, sizeof w, r->fds, IPC_FDS,
                                    &n, true),
                    sizeof w);
    CHECK(n == IPC_FDS);
    uint32_t sizes[] = {w.submit_size, w.reply_size, w.event_size};
    CHECK(segment_map(&r->segment, r->fds[0], sizes) == 0);
    ring_producer_init(&r->submit, &r->segment.shared->rings[SEGMENT_SUBMIT],
                       r->segment.data[SEGMENT_SUBMIT], w.submit_size);
}

static void raw_close(struct raw *r)
{
    segment_unmap(&r->segment);
    for (int i = 0; i < IPC_FDS; i++)
        close(r->fds[i]);
    close(r->socket);
}

static void raw_ring(struct raw *r)
{
    uint64_t one = 1;
    CU_ASSERT_EQUAL(write(r->fds[1], &one, sizeof one), sizeof one);
}

/* Is the raw client sent away? */
static bool raw_ended(struct raw *r)
{
    struct pollfd p = {.fd = r->socket, .events = POLLRDHUP};
    return poll(&p, 1, 3000) > 0 && (p.revents & POLLRDHUP) != 0;
}

static void put_record(struct raw *r, uint32_t type, const void *body,
                       uint32_t size)
{
    void *at = ring_claim(&r->submit, size);
    CHECK(at != NULL);
    memcpy(at, body, size);
    ring_push(&r->submit, type, size);
    ring_publish(&r->submit);
    raw_ring(r);
}

static void hostile_tail(struct raw *r)
{
    r->segment.shared->rings[SEGMENT_SUBMIT].tail = 1 << 30;
}

static void hostile_odd_tail(struct raw *r)
{
    r->segment.shared->rings[SEGMENT_SUBMIT].tail = 13;
}

static void hostile_record_size(struct raw *r)
{
    struct ring_record rec = {UINT32_MAX, IPC_SUBMIT_EVS_MCAST};
    memcpy(r->segment.data[SEGMENT_SUBMIT], &rec, sizeof rec);
    r->segment.shared->rings[SEGMENT_SUBMIT].tail = 64;
}

static void hostile_type(struct raw *r)
{
    put_record(r, 4711, "12345678", 8);
}

static void hostile_short_mcast(struct raw *r)
{
    put_record(r, IPC_SUBMIT_EVS_MCAST, "1234", 4);
}

static void hostile_groups_size(struct raw *r)
{
    struct ipc_evs_mcast m = {.guarantee = 2, .groups_size = UINT32_MAX};
    put_record(r, IPC_SUBMIT_EVS_MCAST, &m, sizeof m);
}

static void hostile_join(struct raw *r)
{
    struct ipc_evs_groups g = {.count = UINT32_MAX};
    put_record(r, IPC_SUBMIT_EVS_JOIN, &g, sizeof g);
}

static void hostile_event_head(struct raw *r)
{
    r->segment.shared->rings[SEGMENT_EVENT].head = 1ull << 60;
    d.configurations = 200; /* enough to have a look at it */
}

static void hostile_bytes(struct raw *r)
{
    CU_ASSERT_EQUAL(send(r->socket, "hi", 2, 0), 2);
}

static void hostile_fds(struct raw *r)
{
    int fds[3] = {0, 1, 2};
    channel_send(r->socket, "x", 1, fds, 3, true);
}

static void test_hostile(void)
{
    static void (*const attacks[])(struct raw *) = {
        hostile_tail,        hostile_odd_tail,    hostile_record_size,
        hostile_type,        hostile_short_mcast, hostile_groups_size,
        hostile_join,        hostile_bytes,       hostile_fds};
    struct box b = {.bad = 0};
    struct raw r;
    uint64_t n = 0;
    start();
    int before = open_fds();
    evs_handle_t h = client(&b);
    join(h, "good");
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        raw_open(&r);
        pause_ms(30); /* until the daemon has armed the ring */
        attacks[i](&r);
        raw_ring(&r);
        CU_ASSERT(raw_ended(&r));
        raw_close(&r);
        CU_ASSERT_EQUAL(send_to(h, "good", "x", 1), CS_OK);
        gather(h, &b, ++n);
    }
    CU_ASSERT_EQUAL(stats().corrupt, 7);
    evs_finalize(h);
    EVENTUALLY(stats().clients_now == 0);
    EVENTUALLY(open_fds() == before);
    /* An event ring whose reader lies about its position: noticed when it is
     * full; never written beyond. */
    struct server_stats was = stats();
    raw_open(&r);
    hostile_event_head(&r);
    pause_ms(50);
    raw_close(&r);
    EVENTUALLY(stats().clients_now == 0);
    CU_ASSERT(stats().corrupt >= was.corrupt);
    stop();
}

#if !defined(__SANITIZE_THREAD__)
#define SCRIBBLE 1
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#undef SCRIBBLE
#endif
#endif
#endif

#ifdef SCRIBBLE
static struct raw scribbled;
static _Atomic bool scribbling;

static void *scribble(void *unused)
{
    unsigned seed = 1;
    uint64_t one = 1;
    struct segment *g = &scribbled.segment;
    (void)unused;
    while (scribbling) {
        seed = seed * 1103515245 + 12345;
        uint32_t *words = (uint32_t *)g->shared;
        /* Plausible small positions at times, noise at others. */
        uint32_t value = seed & 0x10000 ? seed : (seed >> 8 & 0xff8);
        words[(seed >> 4) % 1024] = value;
        uint32_t *data = (uint32_t *)g->data[(seed >> 20) % SEGMENT_RINGS];
        data[(seed >> 6) % 1024] = seed & 0x20000 ? value : seed >> 28;
        ssize_t n = write(scribbled.fds[1], &one, sizeof one);
        (void)n;
    }
    return NULL;
}
#endif

/* A client that writes noise over its whole segment, again and again, while
 * another one is served. Its races are the point: not for the race detector. */
static void test_scribble(void)
{
#ifndef SCRIBBLE
    printf("\nSKIP scribbled segment: races on purpose\n");
#else
    struct box b = {.bad = 0};
    pthread_t t;
    uint64_t n = 0;
    start();
    evs_handle_t h = client(&b);
    join(h, "good");
    for (int round = 0; round < 60; round++) {
        raw_open(&scribbled);
        scribbling = true;
        pthread_create(&t, NULL, scribble, NULL);
        for (int i = 0; i < 5; i++) {
            if (i == 2)
                d.configurations = 1;
            CU_ASSERT_EQUAL(send_to(h, "good", "x", 1), CS_OK);
            gather(h, &b, ++n);
        }
        scribbling = false;
        pthread_join(t, NULL);
        raw_close(&scribbled);
    }
    EVENTUALLY(stats().clients_now == 1);
    CU_ASSERT(stats().corrupt > 0);
    evs_finalize(h);
    stop();
#endif
}

static void test_handshakes(void)
{
    struct ipc_hello hello = {IPC_MAGIC, IPC_VERSION, sizeof hello,
                              IPC_SERVICE_EVS};
    struct ipc_welcome w;
    struct box b = {.bad = 0};
    int silent[200], fd, fds[8];
    size_t n;
    start();
    pause_ms(20);
    int before = open_fds();
    /* Silence keeps nobody out, and ends. */
    for (int i = 0; i < 200; i++)
        silent[i] = raw_connect();
    evs_handle_t h = client(&b);
    join(h, "a");
    EVENTUALLY(stats().refused == 200);
    for (int i = 0; i < 200; i++)
        close(silent[i]);
    /* Wrong hellos are answered with the reason. */
    static const struct {
        struct ipc_hello hello;
        uint32_t result;
    } wrong[] = {
        {{IPC_MAGIC, IPC_VERSION + 1, 16, 1}, IPC_ERR_VERSION},
        {{IPC_MAGIC, IPC_VERSION, 16, 99}, IPC_ERR_NOT_SUPPORTED},
        {{1, IPC_VERSION, 16, 1}, IPC_ERR_INVALID_PARAM},
        {{IPC_MAGIC, IPC_VERSION, 0, 1}, IPC_ERR_INVALID_PARAM},
        {{IPC_MAGIC, IPC_VERSION, 15, 1}, IPC_ERR_INVALID_PARAM},
        {{IPC_MAGIC, IPC_VERSION, UINT32_MAX, 1}, IPC_ERR_INVALID_PARAM}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fd = raw_connect();
        channel_send(fd, &wrong[i].hello, sizeof hello, NULL, 0, true);
        w.result = 0;
        CU_ASSERT_EQUAL(
            channel_receive(fd, &w, sizeof w, fds, 8, &n, true), sizeof w);
        CU_ASSERT_EQUAL(w.result, wrong[i].result);
        CU_ASSERT_EQUAL(n, 0);
        close(fd);
    }
    /* In two pieces, the second with descriptors: they are closed. */
    fd = raw_connect();
    channel_send(fd, &hello, 5, NULL, 0, true);
    pause_ms(20);
    channel_send(fd, (char *)&hello + 5, sizeof hello - 5, (int[]){0, 1, 2},
                 3, true);
    CU_ASSERT_EQUAL(channel_receive(fd, &w, sizeof w, fds, 8, &n, true),
                    sizeof w);
    CU_ASSERT_EQUAL(w.result, IPC_OK);
    while (n > 0)
        close(fds[--n]);
    close(fd);
    evs_finalize(h);
    EVENTUALLY(open_fds() == before);
    stop();
}

/* Children die at every step of the handshake. */
static int die_at;

static void child_dies(void)
{
    struct ipc_hello hello = {IPC_MAGIC, IPC_VERSION, sizeof hello,
                              IPC_SERVICE_EVS};
    struct ipc_welcome w;
    int fds[8], fd = raw_connect();
    size_t n;
    if (die_at == 1)
        channel_send(fd, &hello, 7, NULL, 0, true);
    if (die_at >= 2)
        channel_send(fd, &hello, sizeof hello, NULL, 0, true);
    if (die_at >= 3)
        channel_receive(fd, &w, sizeof w, fds, 8, &n, true);
    if (die_at >= 4) {
        evs_handle_t h;
        if (evs_initialize(&h, NULL) == CS_OK)
            join(h, "x");
    }
    kill(getpid(), SIGKILL);
}

static void test_death_at_every_step(void)
{
    struct box b = {.bad = 0};
    start();
    pause_ms(20);
    int before = open_fds();
    for (int round = 0; round < 5; round++)
        for (die_at = 0; die_at <= 4; die_at++)
            CU_ASSERT_EQUAL(in_child(child_dies), 100);
    EVENTUALLY(stats().clients_now == 0 && open_fds() == before);
    evs_handle_t h = client(&b);
    evs_finalize(h);
    EVENTUALLY(open_fds() == before);
    stop();
}

/* Out of descriptors: refused, not stuck, and it passes. */
static void test_no_descriptors(void)
{
    int held[4096], count = 0;
    evs_handle_t h;
    start();
    pause_ms(20);
    int first = raw_connect();
    struct rlimit was, low;
    getrlimit(RLIMIT_NOFILE, &was);
    low = was;
    low.rlim_cur = 256;
    setrlimit(RLIMIT_NOFILE, &low);
    while (count < 4096 && (held[count] = open("/dev/null", O_RDONLY)) >= 0)
        count++;
    CU_ASSERT(count < 256);
    close(held[--count]);
    int fd = raw_connect(); /* takes the last one */
    CU_ASSERT(fd >= 0);
    CU_ASSERT(readable(fd, 3000)); /* refused, with the spare one */
    close(fd);
    while (count > 0)
        close(held[--count]);
    setrlimit(RLIMIT_NOFILE, &was);
    close(first);
    h = 0;
    EVENTUALLY(h != 0 || evs_initialize(&h, NULL) == CS_OK);
    evs_finalize(h);
    stop();
}

static const struct unit_test tests[] = {
    {"no daemon", test_no_daemon},
    {"handles", test_handles},
    {"first configuration", test_first_configuration},
    {"groups", test_groups},
    {"sizes", test_sizes},
    {"try again", test_try_again},
    {"descriptor", test_descriptor},
    {"descriptor under load", test_descriptor_stress},
    {"finalize wakes", test_finalize_wakes},
    {"callbacks finalize and dispatch", test_callback_finalizes},
    {"threads", test_threads},
    {"daemon ends", test_daemon_ends},
    {"requests without a ring", test_request_waits_for_ring},
    {"fork", test_fork},
    {"sent before death", test_sent_before_death},
    {"credentials", test_credentials},
    {"client limit", test_client_limit},
    {"slow reader", test_slow_reader},
    {"second daemon", test_second_daemon},
    {"hostile records", test_hostile},
    {"scribbled segment", test_scribble},
    {"handshakes", test_handshakes},
    {"death at every step", test_death_at_every_step},
    {"no descriptors", test_no_descriptors}};

int main(void)
{
    int result;
    snprintf(d.dir, sizeof d.dir, "/tmp/openais-test-XXXXXX");
    if (mkdtemp(d.dir) == NULL || chmod(d.dir, 0755) != 0)
        return 2;
    pthread_mutex_init(&d.stats_lock, NULL);
    setenv(CHANNEL_RUN_DIR_ENV, d.dir, 1);
    result = unit_main("server", tests, sizeof tests / sizeof *tests);
    rmdir(d.dir);
    return result;
}
