/* SPDX-License-Identifier: BSD-3-Clause */
/* test_flow.c - flow control between a program and its daemon: waiting for
 * room, the sizes of rings, slow readers, quotas. */
#include "test/unit/flow_box.h"

#include "api/evs/internal.h"

#include <grp.h>

/* --- blocking sends ------------------------------------------------------- */

static void test_timeout(void)
{
    static const int64_t waits_ns[] = {1, 1000000, 150000000};
    struct box b = {.bad = 0};
    uint64_t sent = 0;
    start();
    evs_handle_t h = small_client(&b);
    hold_order();
    sent += fill(h, 1000);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(evs_send_timeout_set(h, waits_ns[i]), CS_OK);
        uint64_t begin = now_ns();
        CU_ASSERT_EQUAL(send_once(h, 1000), CS_ERR_TIMEOUT);
        uint64_t took = now_ns() - begin;
        CU_ASSERT(took >= (uint64_t)waits_ns[i]);
        CU_ASSERT(took < 5000000000u);
        CU_ASSERT_EQUAL(send_to(h, "flow", zeroes, 1000), CS_ERR_TIMEOUT);
    }
    CU_ASSERT_EQUAL(evs_send_timeout_set(h, 0), CS_OK);
    CU_ASSERT_EQUAL(send_once(h, 1000), CS_ERR_TRY_AGAIN);
    d.hold = false;
    gather(h, &b, sent);
    pause_ms(50);
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ALL), CS_OK);
    CU_ASSERT_EQUAL(b.messages, sent); /* nothing of what timed out */
    evs_finalize(h);
    CU_ASSERT_EQUAL(evs_send_timeout_set(h, 0), CS_ERR_BAD_HANDLE);
    stop();
}

static void test_waits_for_room(void)
{
    static const int64_t waits_ns[] = {-1, INT64_MIN, INT64_MAX, 20000000000};
    struct sender s;
    start();
    for (int i = 0; i < 4; i++) {
        struct box b = {.bad = 0};
        evs_handle_t h = small_client(&b);
        hold_order();
        uint64_t sent = fill(h, 1000);
        evs_send_timeout_set(h, waits_ns[i]);
        sender_start(&s, h, SMALL_MAX); /* room for it once all are gone */
        pause_ms(50);
        CU_ASSERT(!s.done);
        d.hold = false;
        sender_end(&s);
        CU_ASSERT_EQUAL(s.result, CS_OK);
        gather(h, &b, sent + 1);
        CU_ASSERT_EQUAL(b.last_size, SMALL_MAX);
        evs_finalize(h);
    }
    stop();
}

/* Has a send of this handle found no room, and is about to wait? */
static bool asks_for_room(evs_handle_t h)
{
    struct conn *c = handle_get(h, &evs_library);
    bool asks = c != NULL && atomic_load(&c->submit.shared->waiting) != 0;
    handle_put(h);
    return asks;
}

/* Who waits with one size is no obstacle to other callers. */
static void test_others_go_on(void)
{
    struct box b = {.bad = 0};
    struct sender waits, tries;
    size_t room = 0;
    start();
    evs_handle_t h = small_client(&b);
    hold_order();
    uint64_t sent = fill(h, 1000);
    evs_send_timeout_set(h, -1);
    sender_start(&waits, h, 1000);
    EVENTUALLY(asks_for_room(h));
    evs_send_timeout_set(h, 0);
    sender_start(&tries, h, 1000);
    EVENTUALLY(tries.done);
    bool stuck = !tries.done;
    d.hold = false;
    sender_end(&tries);
    sender_end(&waits);
    CU_ASSERT_EQUAL(waits.result, CS_OK);
    if (!stuck)
        CU_ASSERT_EQUAL(tries.result, CS_ERR_TRY_AGAIN);
    CU_ASSERT_EQUAL(evs_room_get(h, &room), CS_OK);
    gather(h, &b, sent + 1 + (tries.result == CS_OK));
    evs_finalize(h);
    stop();
}

/* The deadline of each caller is its own. */
static void test_deadlines_overlap(void)
{
    enum { SENDERS = 8 };
    const uint64_t wait_ns = 1000000000;
    struct box b = {.bad = 0};
    struct sender s[SENDERS];
    start();
    evs_handle_t h = full_client(&b, (int64_t)wait_ns);
    for (int i = 0; i < SENDERS; i++)
        sender_start(&s[i], h, 1000);
    for (int i = 0; i < SENDERS; i++) {
        sender_end(&s[i]);
        CU_ASSERT_EQUAL(s[i].result, CS_ERR_TIMEOUT);
        CU_ASSERT(s[i].took_ns >= wait_ns);
        /* One after the other, the last would take that long. */
        CU_ASSERT(s[i].took_ns < SENDERS * wait_ns);
    }
    evs_finalize(h);
    stop();
}

static void test_daemon_goes(void)
{
    enum { SENDERS = 3 };
    struct box b = {.bad = 0};
    struct sender s[SENDERS];
    start();
    evs_handle_t h = full_client(&b, -1);
    for (size_t i = 0; i < SENDERS; i++)
        sender_start(&s[i], h, 1000 * i);
    pause_ms(50);
    stop();
    for (int i = 0; i < SENDERS; i++) {
        sender_end(&s[i]);
        CU_ASSERT_EQUAL(s[i].result, CS_ERR_LIBRARY);
    }
    CU_ASSERT_EQUAL(send_once(h, 1), CS_ERR_LIBRARY);
    evs_finalize(h);
}

static void test_finalized(void)
{
    enum { SENDERS = 4 };
    struct box b = {.bad = 0};
    struct sender s[SENDERS];
    start();
    for (int round = 0; round < 20; round++) {
        d.hold = false;
        evs_handle_t h = full_client(&b, -1);
        for (size_t i = 0; i < SENDERS; i++)
            sender_start(&s[i], h, 1000 * i);
        pause_ms(round % 10);
        CU_ASSERT_EQUAL(evs_finalize(h), CS_OK);
        for (int i = 0; i < SENDERS; i++) {
            sender_end(&s[i]);
            CU_ASSERT(s[i].result == CS_ERR_BAD_HANDLE ||
                      (s[i].size == 0 && s[i].result == CS_OK));
        }
    }
    stop();
}

static void test_many_sizes(void)
{
    static const size_t sizes[] = {0,     1,     7,     1000,     20000,
                                   40000, 57000, 57001, SMALL_MAX};
    enum { SENDERS = sizeof sizes / sizeof *sizes };
    struct sender s[SENDERS];
    start();
    for (int round = 0; round < 10; round++) {
        struct box b = {.bad = 0};
        uint64_t bytes = 0;
        evs_handle_t h = small_client(&b);
        d.visit_bytes = round % 2 == 0 ? 1 << 20 : 3000;
        hold_order();
        uint64_t sent = fill(h, 3000) + fill(h, 0);
        evs_send_timeout_set(h, -1);
        for (int i = 0; i < SENDERS; i++) {
            sender_start(&s[i], h, sizes[i]);
            bytes += sizes[i];
        }
        pause_ms(20);
        for (int i = 0; i < SENDERS; i++)
            CU_ASSERT(!s[i].done);
        d.hold = false;
        for (int i = 0; i < SENDERS; i++) {
            sender_end(&s[i]);
            CU_ASSERT_EQUAL(s[i].result, CS_OK);
        }
        gather(h, &b, sent + SENDERS);
        CU_ASSERT(b.bytes >= bytes);
        evs_finalize(h);
    }
    stop();
}

/* --- the descriptor of room ----------------------------------------------- */

static void test_room_fd(void)
{
    struct box b = {.bad = 0};
    uint64_t sent = 0;
    int fd = -1;
    start();
    evs_handle_t h = small_client(&b);
    CU_ASSERT_EQUAL(evs_room_fd_get(h, NULL), CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_room_fd_get(h, &fd), CS_OK);
    CU_ASSERT(!readable(fd, 20));
    CU_ASSERT_EQUAL(send_once(h, 1000), CS_OK);
    gather(h, &b, ++sent);
    CU_ASSERT(!readable(fd, 20)); /* no refusal, nothing to tell */
    for (int round = 0; round < 30; round++) {
        hold_order();
        sent += fill(h, (size_t)round * 600);
        CU_ASSERT(!readable(fd, round < 5 ? 50 : 0));
        CU_ASSERT_EQUAL(send_once(h, 20000), CS_ERR_TRY_AGAIN);
        CU_ASSERT(!readable(fd, 0));
        d.hold = false;
        CU_ASSERT(readable(fd, 5000));
        gather(h, &b, sent);
        CU_ASSERT_EQUAL(send_once(h, SMALL_MAX), CS_OK);
        gather(h, &b, ++sent);
    }
    evs_finalize(h);
    CU_ASSERT_EQUAL(evs_room_fd_get(h, &fd), CS_ERR_BAD_HANDLE);
    stop();
}

/* The byte that tells of room may come when the ring is full again. It must not
 * be told for ever, or who polls would not sleep. */
static void test_late_byte(void)
{
    struct box b = {.bad = 0};
    struct sender s;
    struct timespec cpu;
    clockid_t clock;
    int fd = -1;
    start();
    evs_handle_t h = small_client(&b);
    evs_room_fd_get(h, &fd);
    EVENTUALLY(stats().clients_now == 1);
    hold_order();
    uint64_t sent = fill(h, 1000);
    client_send_byte(d.server->clients[0]->room_fd);
    CU_ASSERT(readable(fd, 5000));
    CU_ASSERT_EQUAL(send_once(h, 1000), CS_ERR_TRY_AGAIN);
    CU_ASSERT(!readable(fd, 20));
    evs_send_timeout_set(h, -1);
    sender_start(&s, h, 1000);
    pause_ms(50);
    client_send_byte(d.server->clients[0]->room_fd);
    pause_ms(300);
    CU_ASSERT(!s.done);
    pthread_getcpuclockid(s.thread, &clock);
    CU_ASSERT_EQUAL(clock_gettime(clock, &cpu), 0);
    CU_ASSERT(cpu.tv_sec == 0 && cpu.tv_nsec < 100000000);
    d.hold = false;
    sender_end(&s);
    gather(h, &b, sent + 1);
    evs_finalize(h);
    stop();
}

static void test_room(void)
{
    size_t room = 1;
    int full = 0;
    start();
    for (size_t level = 0; level < 60; level++) {
        struct box b = {.bad = 0};
        struct evs_group g = {{0}};
        uint64_t sent = 0;
        evs_handle_t h = small_client(&b);
        memset(g.key, 'k', 1 + level % 32);
        CU_ASSERT_EQUAL(evs_join(h, &g, 1), CS_OK);
        EVENTUALLY(evs_room_get(h, &room) == CS_OK && room == SMALL_MAX);
        hold_order();
        CU_ASSERT_EQUAL(send_once(h, SMALL_MAX + 1), CS_ERR_TOO_BIG);
        while (sent < level && send_once(h, level * 77) == CS_OK)
            sent++;
        CU_ASSERT_EQUAL(evs_room_get(h, &room), CS_OK);
        full += room < SMALL_MAX;
        CU_ASSERT_EQUAL(send_once(h, room + 1),
                        room < SMALL_MAX ? CS_ERR_TRY_AGAIN : CS_ERR_TOO_BIG);
        cs_error_t e = send_once(h, room);
        CU_ASSERT(e == CS_OK || (room == 0 && e == CS_ERR_TRY_AGAIN));
        sent += e == CS_OK;
        d.hold = false;
        gather(h, &b, sent);
        evs_finalize(h);
    }
    CU_ASSERT(full > 20);
    evs_handle_t h = client(&(struct box){.bad = 0});
    CU_ASSERT_EQUAL(evs_room_get(h, NULL), CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_room_get(h, &room), CS_OK);
    CU_ASSERT_EQUAL(room, MESSAGE_MAX);
    evs_finalize(h);
    CU_ASSERT_EQUAL(evs_room_get(h, &room), CS_ERR_BAD_HANDLE);
    stop();
}

/* --- stress --------------------------------------------------------------- */

/* Many threads, a small ring. The timeout is changed all the time, so that each
 * sends now waiting, now with a refusal and a poll. Whoever is not told of room
 * is stuck for `patience_ms`, and that is noticed. */
enum { STRESS_THREADS = 8, patience_ms = 8000 };

static struct stress {
    evs_handle_t handle;
    int room_fd;
    _Atomic bool stop;
    _Atomic uint64_t sent, sent_bytes, refused, stuck, failed;
    uint32_t next[STRESS_THREADS]; /* what the dispatcher expects */
    _Atomic uint64_t got, got_bytes, bad;
} st;

static void stress_message(hdb_handle_t handle, unsigned int node,
                           const void *msg, size_t size)
{
    const uint8_t *bytes = msg;
    uint32_t head[2];
    (void)handle;
    (void)node;
    if (size < sizeof head) {
        st.bad++;
        return;
    }
    memcpy(head, msg, sizeof head);
    st.bad += head[0] >= STRESS_THREADS ||
              head[1] != st.next[head[0] % STRESS_THREADS]++ ||
              (size > 8 && (bytes[8] != (uint8_t)head[1] ||
                            bytes[size - 1] != (uint8_t)head[1]));
    st.got_bytes += size;
    st.got++;
}

static void stress_send(uint8_t *data, size_t size)
{
    struct iovec v = {.iov_base = data, .iov_len = size};
    cs_error_t e;
    while ((e = evs_mcast_joined(st.handle, EVS_TYPE_AGREED, &v, 1)) ==
           CS_ERR_TRY_AGAIN) {
        st.refused++;
        if (!readable(st.room_fd, patience_ms)) {
            st.stuck++;
            return;
        }
    }
    st.stuck += e == CS_ERR_TIMEOUT;
    st.failed += e != CS_OK && e != CS_ERR_TIMEOUT;
    st.sent_bytes += e == CS_OK ? size : 0;
    st.sent += e == CS_OK;
}

static void *stress_thread(void *context)
{
    uint32_t head[2] = {(uint32_t)(uintptr_t)context, 0};
    unsigned seed = head[0] + 1;
    uint8_t *data = malloc(SMALL_MAX);
    while (!st.stop && st.stuck == 0 && st.failed == 0) {
        uint32_t r = (uint32_t)rand_r(&seed);
        size_t size = 8 + r % (r % 16 == 0  ? SMALL_MAX - 7
                               : r % 3 == 0 ? 8000u
                                            : 50u);
        memcpy(data, head, sizeof head);
        memset(data + 8, (uint8_t)head[1], size - 8);
        stress_send(data, size);
        head[1]++;
    }
    free(data);
    return NULL;
}

/* Changes the timeout, and joins and leaves: requests wait for room too. Each
 * lets go what stands before it, however much the dispatcher has not read yet.
 * If that does not run for long, the client would be disconnected, and this is
 * not a test of that. */
static void *stress_changer(void *unused)
{
    struct evs_group g = group("other");
    uint32_t i = 0;
    (void)unused;
    while (!st.stop) {
        if ((int64_t)(st.sent_bytes - st.got_bytes) > EVENT_RING / 2) {
            pause_ms(1);
            continue;
        }
        evs_send_timeout_set(st.handle,
                             i++ % 2 == 0 ? 0 : patience_ms * 1000000ll);
        st.failed += evs_join(st.handle, &g, 1) != CS_OK;
        st.failed += evs_leave(st.handle, &g, 1) != CS_OK;
    }
    return NULL;
}

static void *stress_dispatcher(void *unused)
{
    (void)unused;
    evs_dispatch(st.handle, CS_DISPATCH_BLOCKING);
    return NULL;
}

static void stress(size_t visit_bytes)
{
    evs_callbacks_t calls = {stress_message, NULL};
    pthread_t t[STRESS_THREADS], changer, dispatcher;
    struct server_config c = config();
    memset(&st, 0, sizeof st);
    /* As in the default settings. With an overflow of no more than a submit
     * ring two requests in a row, while the dispatcher does not run, are its
     * end: server_open() warns of that. */
    c.overflow_bytes = 8 * SUBMIT_RING;
    start_with(c);
    d.visit_bytes = visit_bytes;
    CU_ASSERT_EQUAL_FATAL(
        evs_initialize_rings(&st.handle, &calls, SMALL_RING, 0), CS_OK);
    join(st.handle, "stress");
    evs_room_fd_get(st.handle, &st.room_fd);
    pthread_create(&dispatcher, NULL, stress_dispatcher, NULL);
    pthread_create(&changer, NULL, stress_changer, NULL);
    for (uintptr_t i = 0; i < STRESS_THREADS; i++)
        pthread_create(&t[i], NULL, stress_thread, (void *)i);
    for (int i = 0; i < 200 && st.stuck == 0; i++)
        pause_ms(10);
    st.stop = true;
    for (int i = 0; i < STRESS_THREADS; i++)
        pthread_join(t[i], NULL);
    pthread_join(changer, NULL);
    EVENTUALLY(st.got == st.sent);
    evs_finalize(st.handle);
    pthread_join(dispatcher, NULL);
    CU_ASSERT_EQUAL(st.stuck, 0);
    CU_ASSERT_EQUAL(st.failed, 0);
    CU_ASSERT_EQUAL(st.bad, 0);
    CU_ASSERT_EQUAL(stats().overflowed, 0);
    CU_ASSERT(st.sent > STRESS_THREADS && st.refused > 0);
    printf("\n%llu sent, %llu refusals, ", (unsigned long long)st.sent,
           (unsigned long long)st.refused);
    stop();
}

static void test_stress(void)
{
    stress(1 << 20);
    stress(5000);
}

/* --- the sizes of rings --------------------------------------------------- */

static void test_wishes(void)
{
    enum { K = 1024, M = 1024 * K };
    static const struct {
        size_t wish;
        uint32_t submit, event;
    } cases[] = {{0, 2 * M, 8 * M},
                 {1, 64 * K, 2 * M}, /* a message of 1 MiB must fit */
                 {65535, 64 * K, 2 * M},
                 {65536, 64 * K, 2 * M},
                 {65537, 128 * K, 2 * M},
                 {131072, 128 * K, 2 * M},
                 {131073, 256 * K, 2 * M},
                 {2 * M, 2 * M, 2 * M},
                 {2 * M + 1, 2 * M, 4 * M},
                 {8 * M, 2 * M, 8 * M},
                 {8 * M + 1, 2 * M, 8 * M},
                 {UINT32_MAX, 2 * M, 8 * M},
                 {(size_t)UINT32_MAX + 1, 2 * M, 8 * M},
                 {(size_t)UINT32_MAX + 2, 2 * M, 8 * M},
                 {SIZE_MAX, 2 * M, 8 * M}};
    static struct evs_group g[255];
    struct server_config config_large = config();
    config_large.event_ring_bytes = 8 * M;
    start_with(config_large);
    for (int i = 0; i < 255; i++) {
        memset(&g[i], 'k', sizeof g[i]);
        g[i].key[0] = (char)i;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct box b = {.bad = 0};
        evs_handle_t h = 0;
        CU_ASSERT_EQUAL(
            evs_initialize_rings(&h, &callbacks, cases[i].wish, cases[i].wish),
            CS_OK);
        evs_context_set(h, &b);
        struct conn *c = handle_get(h, &evs_library);
        CU_ASSERT_PTR_NOT_NULL_FATAL(c);
        CU_ASSERT_EQUAL(c->submit.size, cases[i].submit);
        CU_ASSERT_EQUAL(c->event.size, cases[i].event);
        handle_put(h);
        evs_send_timeout_set(h, -1); /* the join may be in the ring yet */
        /* The limit of a message follows, with the longest list of groups. */
        size_t limit = cases[i].submit - RECORD_MAX;
        if (limit > MESSAGE_MAX)
            limit = MESSAGE_MAX;
        struct iovec v = {.iov_base = zeroes, .iov_len = limit};
        CU_ASSERT_EQUAL(evs_join(h, g, 1), CS_OK);
        CU_ASSERT_EQUAL(evs_mcast_groups(h, EVS_TYPE_AGREED, g, 255, &v, 1),
                        CS_OK);
        gather(h, &b, 1);
        CU_ASSERT_EQUAL(b.last_size, limit);
        v.iov_len++;
        CU_ASSERT_EQUAL(evs_mcast_groups(h, EVS_TYPE_AGREED, g, 1, &v, 1),
                        CS_ERR_TOO_BIG);
        /* It receives what it could not send. */
        evs_handle_t other = client(&(struct box){.bad = 0});
        v.iov_len = MESSAGE_MAX;
        CU_ASSERT_EQUAL(evs_mcast_groups(other, EVS_TYPE_AGREED, g, 1, &v, 1),
                        CS_OK);
        gather(h, &b, 2);
        CU_ASSERT_EQUAL(b.last_size, MESSAGE_MAX);
        evs_finalize(other);
        evs_finalize(h);
    }
    CU_ASSERT_EQUAL(evs_initialize_rings(NULL, NULL, 0, 0),
                    CS_ERR_INVALID_PARAM);
    stop();
}

/* --- slow readers --------------------------------------------------------- */

static void number_message(hdb_handle_t handle, unsigned int node,
                           const void *msg, size_t size)
{
    void *context;
    uint32_t number;
    (void)node;
    if (evs_context_get(handle, &context) != CS_OK || size < sizeof number)
        return;
    struct box *b = context;
    memcpy(&number, msg, sizeof number);
    b->bad += number != b->next[0]++;
    b->messages++;
    if (b->dispatch != 0) { /* here: a handle that is to join a group */
        struct evs_group g = group("more");
        evs_handle_t h = b->dispatch;
        b->dispatch = 0;
        b->result = evs_join(h, &g, 1);
    }
}

static cs_error_t send_number(evs_handle_t h, uint32_t number)
{
    uint8_t data[1000] = {0};
    struct iovec v = {.iov_base = data, .iov_len = sizeof data};
    memcpy(data, &number, sizeof number);
    return evs_mcast_joined(h, EVS_TYPE_AGREED, &v, 1);
}

static evs_handle_t numbered_client(struct box *b)
{
    evs_callbacks_t calls = {number_message, NULL};
    evs_handle_t h = 0;
    CU_ASSERT_EQUAL_FATAL(evs_initialize(&h, &calls), CS_OK);
    evs_context_set(h, b);
    join(h, "numbers");
    return h;
}

/* Sends to itself without dispatching, until the daemon takes no more. */
static uint32_t flood_itself(evs_handle_t h)
{
    uint32_t sent = 0;
    uint64_t visits = d.visits;
    cs_error_t e;
    while ((e = send_number(h, sent)) == CS_OK ||
           (e == CS_ERR_TRY_AGAIN && d.visits - visits < 20)) {
        if (e == CS_OK) {
            visits = d.visits;
            sent++;
        } else {
            pause_ms(1);
        }
    }
    CU_ASSERT_EQUAL(e, CS_ERR_TRY_AGAIN);
    return sent;
}

static void test_pressure(void)
{
    struct box b = {.bad = 0}, other = {.bad = 0};
    start();
    evs_handle_t h = numbered_client(&b), o = client(&other);
    join(o, "others");
    uint32_t sent = flood_itself(h);
    CU_ASSERT(sent > (EVENT_RING + SUBMIT_RING) / 1100);
    uint64_t taken = stats().submitted;
    for (uint64_t i = 0; i < 500; i++) { /* the others are not held up */
        CU_ASSERT_EQUAL(send_to(o, "others", "x", 1), CS_OK);
        gather(o, &other, i + 1);
    }
    EVENTUALLY(stats().submitted == taken + 500);
    pause_ms(50);
    CU_ASSERT_EQUAL(stats().submitted, taken + 500);
    CU_ASSERT_EQUAL(send_number(h, 0), CS_ERR_TRY_AGAIN);
    CU_ASSERT_EQUAL(stats().overflowed, 0);
    CU_ASSERT_EQUAL(stats().clients_now, 2);
    gather(h, &b, sent);
    for (uint32_t i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(send_number(h, sent++), CS_OK);
    gather(h, &b, sent);
    CU_ASSERT_EQUAL(b.bad, 0);
    evs_finalize(h);
    evs_finalize(o);
    stop();
}

static void *send_ten(void *context)
{
    struct sender *s = context;
    for (uint32_t i = 0; i < 10 && s->result != CS_ERR_LIBRARY; i++)
        s->result = send_number(s->handle, (uint32_t)s->size + i);
    s->done = true;
    return NULL;
}

/* A blocking send waits as long as nobody dispatches, and a request that stands
 * behind what is held back does not: a callback may make one. */
static void test_pressure_waits(void)
{
    struct box b = {.bad = 0};
    struct sender s = {.result = CS_OK};
    start();
    evs_handle_t h = numbered_client(&b);
    uint32_t sent = flood_itself(h);
    evs_send_timeout_set(h, -1);
    s.handle = h;
    s.size = sent;
    pthread_create(&s.thread, NULL, send_ten, &s);
    pause_ms(100);
    CU_ASSERT(!s.done);
    gather(h, &b, sent + 10);
    sender_end(&s);
    CU_ASSERT_EQUAL(s.result, CS_OK);
    CU_ASSERT_EQUAL(b.bad, 0);
    evs_finalize(h);
    stop();
}

static void *dispatch_all(void *context)
{
    evs_dispatch(*(evs_handle_t *)context, CS_DISPATCH_BLOCKING);
    return NULL;
}

static void test_pressure_and_request(void)
{
    struct server_config c = config();
    struct box b = {.result = 0};
    pthread_t t;
    c.overflow_bytes = 8 * SUBMIT_RING; /* as in the default settings */
    start_with(c);
    evs_handle_t h = numbered_client(&b);
    uint32_t sent = flood_itself(h);
    b.dispatch = h;
    pthread_create(&t, NULL, dispatch_all, &h);
    EVENTUALLY(b.messages == sent);
    evs_finalize(h);
    pthread_join(t, NULL);
    CU_ASSERT_EQUAL(b.result, CS_OK);
    CU_ASSERT_EQUAL(b.bad, 0);
    CU_ASSERT_EQUAL(stats().overflowed, 0);
    stop();
}

static void test_disconnect(void)
{
    struct server_config c = config();
    struct box b = {.bad = 0};
    uint32_t sent = 0;
    cs_error_t e;
    c.slow_reader = SERVER_SLOW_DISCONNECT;
    start_with(c);
    evs_handle_t h = numbered_client(&b);
    while ((e = send_number(h, sent)) == CS_OK || e == CS_ERR_TRY_AGAIN)
        sent += e == CS_OK;
    CU_ASSERT_EQUAL(e, CS_ERR_LIBRARY);
    EVENTUALLY(stats().overflowed == 1 && stats().clients_now == 0);
    while ((e = evs_dispatch(h, CS_DISPATCH_ALL)) == CS_OK)
        ;
    CU_ASSERT_EQUAL(e, CS_ERR_LIBRARY);
    CU_ASSERT(b.messages > 1000 && b.messages < sent);
    CU_ASSERT_EQUAL(b.bad, 0);
    evs_finalize(h);
    stop();
}

/* --- quotas --------------------------------------------------------------- */

static uid_t user;
static gid_t own_group, extra_group;
static size_t small_too; /* clients with small rings that still fit */

/* A client ends in the daemon a while after its program said so, or ended. */
static bool initialize_soon(evs_handle_t *h)
{
    cs_error_t e = evs_initialize(h, NULL);
    for (int i = 0; i < 12000 && e == CS_ERR_NO_RESOURCES; i++) {
        pause_ms(5);
        e = evs_initialize(h, NULL);
    }
    return e == CS_OK;
}

/* Two clients may be had at a time; exits with the line that went wrong. */
static void use_quota(void)
{
    evs_handle_t h[3], more;
    if (setgroups(extra_group != 0, &extra_group) != 0 ||
        setgid(own_group) != 0 || setuid(user) != 0)
        _exit(50);
    for (int i = 0; i < 2; i++)
        if (!initialize_soon(&h[i]))
            _exit(51);
    if (evs_initialize(&more, NULL) != CS_ERR_NO_RESOURCES)
        _exit(52);
    if ((evs_initialize_rings(&h[2], NULL, 1, 1) == CS_OK) != (small_too > 0))
        _exit(53);
    if (small_too > 0)
        evs_finalize(h[2]);
    for (int round = 0; round < 5; round++) {
        evs_finalize(h[round % 2]);
        if (!initialize_soon(&h[round % 2]))
            _exit(54);
        if (evs_initialize(&more, NULL) != CS_ERR_NO_RESOURCES)
            _exit(55);
    }
    _exit(0); /* with both: the daemon takes them back by itself */
}

static void quota(struct server_config c)
{
    evs_handle_t h[5];
    start_with(c);
    for (int i = 0; i < 5; i++) /* root has no quota */
        CU_ASSERT_EQUAL(evs_initialize(&h[i], NULL), CS_OK);
    for (int i = 0; i < 4; i++) {
        user = (uid_t)(12345 + i / 2);
        own_group = i % 2 == 0 ? 54321 : 12345;
        extra_group = i % 2 == 0 ? 0 : 54321;
        CU_ASSERT_EQUAL(in_child(use_quota), 0);
        EVENTUALLY(stats().clients_now == 5);
    }
    for (int i = 0; i < 5; i++)
        evs_finalize(h[i]);
    stop();
}

static void test_quotas(void)
{
    const struct ipc_hello plain = {.magic = 0},
                           small = {.submit_size = 1, .event_size = 1};
    struct server_config c = config();
    if (getuid() != 0) {
        printf("\nSKIP quotas: not root, cannot become someone else\n");
        return;
    }
    c.uid_client_max = 2;
    small_too = 0;
    quota(c);
    c.uid_client_max = 0;
    struct client_sizes sizes = client_sizes(&c, &plain);
    c.uid_bytes_max = 3 * client_charge(&sizes) - 1;
    sizes = client_sizes(&c, &small);
    small_too = 1;
    quota(c);
    small_too = 0;
}

/* A user's client that reads nothing sends to itself until it is sent away. */
static void read_nothing(void)
{
    struct box b = {.bad = 0};
    cs_error_t e;
    if (setgid(54321) != 0 || setuid(12345) != 0)
        _exit(50);
    evs_handle_t h = numbered_client(&b);
    while ((e = send_number(h, 0)) == CS_OK || e == CS_ERR_TRY_AGAIN)
        ;
    _exit(e == CS_ERR_LIBRARY ? 0 : 51);
}

/* What overflows counts as it is used, and no further than the quota. */
static void test_overflow_quota(void)
{
    const struct ipc_hello plain = {.magic = 0};
    struct server_config c = config();
    struct client_sizes sizes = client_sizes(&c, &plain);
    uint64_t got[2];
    if (getuid() != 0) {
        printf("\nSKIP overflow quota: not root, cannot become another one\n");
        return;
    }
    c.slow_reader = SERVER_SLOW_DISCONNECT;
    for (int limited = 0; limited < 2; limited++) {
        c.uid_bytes_max = limited ? client_charge(&sizes) + (1 << 20) : 0;
        start_with(c);
        CU_ASSERT_EQUAL(in_child(read_nothing), 0);
        EVENTUALLY(stats().overflowed == 1 && stats().clients_now == 0);
        got[limited] = stats().delivered;
        stop();
    }
    /* 2 MiB of events, and 2 MiB of overflow or 1, in records of 1 KB. */
    CU_ASSERT(got[0] > 3500 && got[0] < 4200);
    CU_ASSERT(got[1] > 2600 && got[1] < 3150);
}

static const struct unit_test tests[] = {
    {"timeout", test_timeout},
    {"waits for room", test_waits_for_room},
    {"others go on", test_others_go_on},
    {"deadlines overlap", test_deadlines_overlap},
    {"daemon goes", test_daemon_goes},
    {"finalized", test_finalized},
    {"many sizes", test_many_sizes},
    {"room descriptor", test_room_fd},
    {"late byte", test_late_byte},
    {"room", test_room},
    {"stress", test_stress},
    {"wishes for rings", test_wishes},
    {"pressure", test_pressure},
    {"pressure, blocking send", test_pressure_waits},
    {"pressure, request in a callback", test_pressure_and_request},
    {"disconnect", test_disconnect},
    {"quotas", test_quotas},
    {"quota of overflow", test_overflow_quota}};
FAKE_MAIN("flow", tests)
