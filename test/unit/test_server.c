/* SPDX-License-Identifier: BSD-3-Clause */
/* test_server.c - the server and libevs in one process. */
#include "test/unit/evs_box.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/resource.h>

/* --- the library's rules -------------------------------------------------- */

static void test_no_daemon(void)
{
    evs_handle_t h = 0;
    int before = open_fds();
    CU_ASSERT_EQUAL(evs_initialize(&h, NULL), CS_ERR_TRY_AGAIN);
    CU_ASSERT_EQUAL(evs_initialize(NULL, NULL), CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(open_fds(), before);
}

/* A daemon that stands still, with its queue of connections full. */
static void test_daemon_stopped(void)
{
    struct sockaddr_un at;
    int before = open_fds(), filler[8], count = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    evs_handle_t h;
    CU_ASSERT_FATAL(channel_address(&at, channel_run_dir()) == 0);
    unlink(at.sun_path);
    CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CU_ASSERT_FATAL(listen(fd, 0) == 0);
    for (bool full = false; !full && count < 8; count++) {
        filler[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        full = connect(filler[count], (struct sockaddr *)&at, sizeof at) != 0;
    }
    alarm(20); /* instead of waiting for ever */
    CU_ASSERT_EQUAL(evs_initialize(&h, NULL), CS_ERR_TRY_AGAIN);
    alarm(0);
    while (count > 0)
        close(filler[--count]);
    close(fd);
    unlink(at.sun_path);
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
    CU_ASSERT_EQUAL(evs_membership_get(old, NULL, NULL, &n), CS_ERR_BAD_HANDLE);
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
        CU_ASSERT_EQUAL(
            memcmp(b.last, data,
                   sizes[i] < sizeof b.last ? sizes[i] : sizeof b.last),
            0);
    }
    CU_ASSERT_EQUAL(send_to(h, "sizes", data, MESSAGE_MAX + 1), CS_ERR_TOO_BIG);
    struct iovec v[2] = {{data, SIZE_MAX}, {data, 2}};
    CU_ASSERT_EQUAL(evs_mcast_joined(h, EVS_TYPE_AGREED, v, 2), CS_ERR_TOO_BIG);
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
    hold_order();
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

/* --- the descriptor ------------------------------------------------------- */

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

/* --- threads and ends ----------------------------------------------------- */

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
    hold_order();
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

/* --- fork and death ------------------------------------------------------- */

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

/* --- limits --------------------------------------------------------------- */

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
    CU_ASSERT_EQUAL(server_open(&other, &c, error, sizeof error), -EADDRINUSE);
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
    c.overflow_bytes = 1u << 31;
    CU_ASSERT_EQUAL(server_open(&other, &c, error, sizeof error), -EINVAL);
    c = config();
    c.event_ring_bytes = 12345;
    CU_ASSERT_EQUAL(server_open(&other, &c, error, sizeof error), -EINVAL);
}

/* Resident memory of this process, KiB: daemon and clients alike. */
static long resident_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (f != NULL)
        fclose(f);
    return kib;
}

static void test_thousand_idle(void)
{
    enum { CLIENTS = 1000 };
    static evs_handle_t h[CLIENTS];
    struct box b = {.bad = 0};
    struct server_config c = config();
    struct rlimit limit;
    uint32_t idle = 0;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 7 * CLIENTS) {
        printf("\nSKIP thousand idle clients: limit of %lu descriptors\n",
               (unsigned long)limit.rlim_max);
        return;
    }
    struct rlimit more = limit;
    if (more.rlim_cur < 7 * CLIENTS)
        more.rlim_cur = 7 * CLIENTS;
    setrlimit(RLIMIT_NOFILE, &more);
    c.client_max = CLIENTS;
    long before = resident_kib();
    int fds = open_fds();
    start_with(c);
    for (int i = 0; i < CLIENTS; i++) {
        h[i] = client(&b);
        join(h[i], "idle");
    }
    EVENTUALLY(stats().clients_now == CLIENTS);
    printf("\n%ld KiB for %d idle clients and their daemon\n",
           resident_kib() - before, CLIENTS);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    CU_ASSERT(resident_kib() - before < 256 * 1024);
#endif
    /* They cost nothing: no ring is looked at before it is rung. */
    EVENTUALLY(d.active == 0);
    CU_ASSERT_EQUAL(send_to(h[0], "idle", "x", 1), CS_OK);
    EVENTUALLY(stats().delivered == CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        idle += evs_dispatch(h[i], CS_DISPATCH_ALL) == CS_OK;
    CU_ASSERT_EQUAL(idle, CLIENTS);
    CU_ASSERT_EQUAL(b.messages, CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        evs_finalize(h[i]);
    EVENTUALLY(stats().clients_now == 0);
    stop();
    CU_ASSERT_EQUAL(open_fds(), fds);
    setrlimit(RLIMIT_NOFILE, &limit);
}

static const struct unit_test tests[] = {
    {"no daemon", test_no_daemon},
    {"daemon stands still", test_daemon_stopped},
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
    {"thousand idle clients", test_thousand_idle},
    {"second daemon", test_second_daemon}};
FAKE_MAIN("server", tests)
