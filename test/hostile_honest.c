/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile_honest.c - the honest clients of the hostile test: users of libevs,
 * each a process, that check that they are served in spite of all. The one of
 * CLM uses the connection of libSaClm, without its structures. */
#include "test/hostile.h"

#include "api/client.h"
#include "ipc/clm.h"

#include <corosync/evs.h>

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- honest clients ------------------------------------------------------- */

struct honest *self;
static evs_handle_t handle;
static unsigned number; /* among the honest */

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(self->why, TEXT_SIZE, format, args);
    va_end(args);
    self->state = FAILED;
    _exit(1);
}

static void must(const char *what, cs_error_t e)
{
    if (e != CS_OK)
        fail("%s: error %d", what, (int)e);
}

static struct conn clm;

/* NULL: as a client of CLM. */
static cs_error_t connect_once(evs_callbacks_t *callbacks)
{
    const struct conn_rings rings = {1 << 18, 1 << 22};

    if (callbacks == NULL)
        return conn_open(&clm, IPC_SERVICE_CLM, rings);
    return evs_initialize_rings(&handle, callbacks, rings.submit_bytes,
                                rings.event_bytes);
}

/* Connects, however many others stand at the door. */
static void come_in(evs_callbacks_t *callbacks)
{
    uint64_t begin = now_ns(), wait;
    cs_error_t e;

    while ((e = connect_once(callbacks)) != CS_OK) {
        if ((e != CS_ERR_TRY_AGAIN && e != CS_ERR_NO_RESOURCES) ||
            now_ns() - begin > CONNECT_PATIENCE * 1000000000ull)
            fail("connecting: error %d after %.1f s", (int)e,
                 seconds(now_ns() - begin));
        pause_us(5000);
    }
    wait = now_ns() - begin;
    if (wait > self->max_ns)
        self->max_ns = wait;
}

static void enter(const char *name)
{
    struct evs_group g = {{0}};
    memcpy(g.key, name, strlen(name));
    must("evs_join", evs_join(handle, &g, 1));
}

static void dispatch(int wait_ms)
{
    struct pollfd p = {.events = POLLIN};
    cs_error_t e;

    must("evs_fd_get", evs_fd_get(handle, &p.fd));
    if (poll(&p, 1, wait_ms) <= 0)
        return;
    e = evs_dispatch(handle, CS_DISPATCH_ALL);
    if (e != CS_OK)
        fail("evs_dispatch: error %d", (int)e);
}

/* What honest clients send; the payload follows from sender and number. */
struct note {
    uint8_t secret[SECRET_SIZE];
    uint64_t sender, number, sum;
};

enum { NOTE_MAX = 24000 };

static uint64_t sum_of(const uint8_t *data, size_t size)
{
    uint64_t sum = 1469598103934665603u;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ data[i]) * 1099511628211u;
    return sum;
}

static size_t write_note(uint8_t *at, uint64_t sender, uint64_t seq)
{
    uint64_t was = chance;
    struct note n = {.sender = sender, .number = seq};

    chance = opt.seed ^ sender << 48 ^ seq;
    size_t size = seq % 50 == 49 ? below(20000) : below(1500);
    memset(at + sizeof n, (int)below(256), size);
    for (size_t i = 0; i + 8 <= size; i += 61) {
        uint64_t r = rnd();
        memcpy(at + sizeof n + i, &r, sizeof r);
    }
    chance = was;
    memcpy(n.secret, shared->secret, SECRET_SIZE);
    n.sum = sum_of(at + sizeof n, size);
    memcpy(at, &n, sizeof n);
    return sizeof n + size;
}

static cs_error_t send_note(const char *name)
{
    static uint8_t buffer[NOTE_MAX];
    struct evs_group g = {{0}};
    struct iovec v = {buffer, write_note(buffer, number, self->sent)};
    cs_error_t e;

    memcpy(g.key, name, strlen(name));
    e = evs_mcast_groups(
        handle, rnd() % 4 == 0 ? EVS_TYPE_SAFE : EVS_TYPE_AGREED, &g, 1, &v, 1);
    if (e == CS_OK)
        self->sent++;
    else if (e != CS_ERR_TRY_AGAIN)
        fail("evs_mcast_groups: error %d", (int)e);
    return e;
}

static uint64_t next_of[HONESTS]; /* by sender */

static void on_note(hdb_handle_t h, unsigned node, const void *msg, size_t size)
{
    static uint8_t expected[NOTE_MAX];
    struct note n;

    (void)h;
    (void)node;
    if (size < sizeof n || memcmp(msg, shared->secret, SECRET_SIZE) != 0) {
        self->foreign++;
        return;
    }
    memcpy(&n, msg, sizeof n);
    if (n.sender >= HONESTS || n.number != next_of[n.sender])
        fail("message %" PRIu64 " of client %" PRIu64 ", expected %" PRIu64,
             n.number, n.sender, n.sender < HONESTS ? next_of[n.sender] : 0);
    if (write_note(expected, n.sender, n.number) != size ||
        memcmp(expected, msg, size) != 0)
        fail("message %" PRIu64 " of client %" PRIu64 " has been changed",
             n.number, n.sender);
    next_of[n.sender]++;
    self->got++;
    /* The order of all senders: the same at every receiver. */
    self->hash = (self->hash ^ (n.sender << 56 ^ n.number)) * 1099511628211u;
}

static uint64_t configurations;

static void on_conf(hdb_handle_t h, const unsigned *members, size_t count,
                    const unsigned *left, size_t left_count,
                    const unsigned *joined, size_t joined_count,
                    const struct evs_ring_id *ring)
{
    (void)h;
    (void)left;
    (void)joined;
    (void)joined_count;
    (void)ring;
    if (count != 1 || left_count != 0 || ++configurations > 1)
        fail("configuration of %zu members, the first is %u", count,
             members[0]);
}

static evs_callbacks_t callbacks = {on_note, on_conf};

static void await_go(void)
{
    self->state = READY;
    while (!shared->go)
        dispatch(10);
}

static bool at_rest(void)
{
    if (!shared->rest)
        self->state = READY;
    else
        self->state = RESTING;
    return shared->rest;
}

static void run_checker(void)
{
    uint64_t total = 0, end;

    come_in(&callbacks);
    enter("h");
    await_go();
    while (!shared->finish) {
        if (self->sent - next_of[number] < CHECKER_WINDOW)
            send_note("h");
        dispatch(2);
        pause_us(1000);
    }
    self->state = DRAINING;
    end = now_ns() + 30000000000;
    for (unsigned i = 0; i < CHECKERS; i++) {
        while (shared->honest[i].state != DRAINING &&
               shared->honest[i].state != DONE && now_ns() < end)
            dispatch(5);
        total += shared->honest[i].sent;
    }
    while (self->got < total && now_ns() < end)
        dispatch(5);
    if (self->got != total)
        fail("%" PRIu64 " of %" PRIu64 " messages", self->got, total);
}

/* How long its own message takes to come back: nobody may stall the daemon. */
static void run_quiet(void)
{
    come_in(&callbacks);
    enter("q");
    await_go();
    self->max_ns = 0;
    while (!shared->finish) {
        uint64_t begin = now_ns();
        while (send_note("q") != CS_OK)
            pause_us(1000);
        while (self->got < self->sent)
            if (dispatch(100), now_ns() - begin > 60000000000)
                fail("its message did not come back within 60 s");
        if (now_ns() - begin > self->max_ns)
            self->max_ns = now_ns() - begin;
        self->rounds++;
        pause_us(20000);
    }
}

static void run_members(void)
{
    unsigned list[8], local;

    come_in(&callbacks);
    await_go();
    self->max_ns = 0;
    while (!shared->finish) {
        uint64_t begin = now_ns();
        size_t n = 8;
        must("evs_membership_get",
             evs_membership_get(handle, &local, list, &n));
        if (n != 1 || list[0] != 1 || local != 1)
            fail("membership: %zu nodes, first %u, own %u", n, list[0], local);
        if (now_ns() - begin > self->max_ns)
            self->max_ns = now_ns() - begin;
        self->rounds++;
        dispatch(0);
        /* At times so long that the worker lets its ring sleep. */
        pause_us(self->rounds % 8 == 0 ? 100000 : 2000);
    }
}

/* Nobody speaks to it: it must be told nothing after its beginning. */
static void run_idle(void)
{
    struct pollfd p = {.events = POLLIN};
    unsigned local;
    size_t n = 0;

    come_in(&callbacks);
    enter("i");
    await_go();
    must("evs_fd_get", evs_fd_get(handle, &p.fd));
    while (configurations == 0)
        dispatch(100);
    while (!shared->finish) {
        if (poll(&p, 1, 200) == 0)
            continue;
        must("evs_dispatch", evs_dispatch(handle, CS_DISPATCH_ALL));
        self->rounds++;
        if (self->got + self->foreign > 0 || self->rounds > 3)
            fail("disturbed: %" PRIu64 " messages, woken %" PRIu64 " times",
                 self->got + self->foreign, self->rounds);
    }
    must("evs_membership_get", evs_membership_get(handle, &local, NULL, &n));
}

static void run_connects(void)
{
    come_in(&callbacks);
    await_go();
    must("evs_finalize", evs_finalize(handle));
    while (!shared->finish) {
        if (at_rest()) {
            pause_us(5000);
            continue;
        }
        configurations = 0;
        come_in(&callbacks);
        enter("c");
        must("evs_finalize", evs_finalize(handle));
        self->rounds++;
        pause_us(20000);
    }
    configurations = 0;
    come_in(&callbacks); /* all of them finalize */
}

/* --- of CLM --------------------------------------------------------------- */

static struct ipc_clm_node own; /* as it was told first */
static uint64_t own_view;       /* 0: not told yet */

static void on_track(const uint8_t *body, uint32_t size)
{
    struct {
        struct ipc_clm_track_event head;
        struct ipc_clm_item item;
    } e;

    if (own_view != 0)
        fail("disturbed: told of the nodes again");
    if (size != sizeof e)
        fail("%u bytes tell of the nodes", size);
    memcpy(&e, body, sizeof e);
    if (e.head.member_count != 1 || e.head.item_count != 1 ||
        e.head.current != 1 || e.item.change != IPC_CLM_NO_CHANGE ||
        e.item.node.node_id != 1 || e.item.node.member != 1 ||
        e.item.node.name_length == 0)
        fail("nodes: %u of %u, the first %u, change %u", e.head.item_count,
             e.head.member_count, e.item.node.node_id, e.item.change);
    own = e.item.node;
    own_view = e.head.view;
}

/* Nobody but itself causes its events; `sent` counts what it asked for. */
static void on_clm(void *context, uint32_t type, const uint8_t *body,
                   uint32_t size)
{
    struct ipc_clm_node_event e;

    (void)context;
    if (type == IPC_EVENT_CLM_TRACK) {
        on_track(body, size);
        return;
    }
    if (type != IPC_EVENT_CLM_NODE || size != sizeof e)
        fail("an event of type %u, %u bytes", type, size);
    memcpy(&e, body, sizeof e);
    self->got++;
    if (self->got > self->sent || e.invocation != self->got ||
        e.result != IPC_OK || memcmp(&e.node, &own, sizeof own) != 0)
        fail("told of node %u by invocation %" PRIu64 ", result %u; %" PRIu64
             " was asked for",
             e.node.node_id, e.invocation, e.result, self->sent);
}

static void clm_dispatch(int wait_ms)
{
    struct pollfd p = {.fd = clm.socket, .events = POLLIN};

    if (poll(&p, 1, wait_ms) > 0)
        must("conn_dispatch",
             conn_dispatch(&clm, CS_DISPATCH_ALL, on_clm, NULL));
}

/* The result; its event can be read when that has come. */
static uint32_t clm_request(uint32_t type, const void *body, uint32_t size)
{
    struct ipc_reply reply = {.result = 0};
    struct conn_call call = {.type = type,
                             .head = CONN_PART(body, size),
                             .answer = {{&reply, sizeof reply}}};

    must("conn_request", conn_request(&clm, &call));
    if (call.answer_size != sizeof reply)
        fail("request %u: %zu bytes", type, call.answer_size);
    clm_dispatch(0);
    return reply.result;
}

static void get_node(void)
{
    const struct ipc_clm_node_query query = {.node_id = UINT32_MAX};
    struct ipc_clm_node_answer a;
    struct conn_call call = {.type = IPC_QUERY_CLM_NODE,
                             .head = CONN_PART(&query, sizeof query),
                             .answer = {{&a, sizeof a}}};

    must("conn_query", conn_query(&clm, &call));
    if (call.answer_size != sizeof a || a.reply.result != IPC_OK ||
        memcmp(&a.node, &own, sizeof own) != 0)
        fail("node: %zu bytes, result %u, node %u", call.answer_size,
             a.reply.result, a.node.node_id);
}

static void get_nodes(void)
{
    const struct ipc_clm_nodes_query query = {.from = 0};
    struct {
        struct ipc_clm_nodes_answer head;
        struct ipc_clm_node node;
    } a;
    struct conn_call call = {.type = IPC_QUERY_CLM_NODES,
                             .head = CONN_PART(&query, sizeof query),
                             .answer = {{&a, sizeof a}}};

    must("conn_query", conn_query(&clm, &call));
    if (call.answer_size != sizeof a || a.head.reply.result != IPC_OK ||
        a.head.reply.done != 1 || a.head.member_count != 1 ||
        a.head.next != 0 || a.head.view != own_view ||
        memcmp(&a.node, &own, sizeof own) != 0)
        fail("nodes: %zu bytes, result %u, %u of %u, next %u", call.answer_size,
             a.head.reply.result, a.head.reply.done, a.head.member_count,
             a.head.next);
}

static void get_node_async(void)
{
    const struct ipc_clm_node_get get = {.invocation = ++self->sent,
                                         .node_id = 1};

    uint32_t result = clm_request(IPC_SUBMIT_CLM_NODE_GET, &get, sizeof get);
    if (result != IPC_OK || self->got != self->sent)
        fail("%" PRIu64 " events of %" PRIu64 ", result %u", self->got,
             self->sent, result);
}

/* Tracks changes, of which there are none, and asks for its node: always the
 * same answer, and nothing that it has not asked for. */
static void run_clm(void)
{
    const struct ipc_clm_track track = {.flags =
                                            IPC_CLM_CURRENT | IPC_CLM_CHANGES};

    uint32_t result = IPC_ERR_TRY_AGAIN; /* there may be no view yet */

    come_in(NULL);
    for (int i = 0; i < 500 && result == IPC_ERR_TRY_AGAIN; i++) {
        pause_us(10000);
        result = clm_request(IPC_SUBMIT_CLM_TRACK, &track, sizeof track);
    }
    if (result != IPC_OK || own_view == 0)
        fail("tracking: result %u, view %" PRIu64, result, own_view);
    self->state = READY;
    while (!shared->go)
        clm_dispatch(10);
    self->max_ns = 0;
    while (!shared->finish) {
        uint64_t begin = now_ns();
        get_node();
        get_nodes();
        get_node_async();
        if (now_ns() - begin > self->max_ns)
            self->max_ns = now_ns() - begin;
        self->rounds++;
        clm_dispatch(self->rounds % 8 == 0 ? 100 : 5);
    }
    result = clm_request(IPC_SUBMIT_CLM_TRACK_STOP, NULL, 0);
    if (result != IPC_OK)
        fail("the end of tracking: result %u", result);
    conn_close(&clm);
}

void honest_run(unsigned which)
{
    static void (*const runs[HONESTS])(void) = {
        run_checker, run_checker,  run_checker, run_quiet,  run_members,
        run_idle,    run_connects, run_clm,     honest_ckpt};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    number = which;
    self = &shared->honest[which];
    chance = opt.seed + which;
    runs[which]();
    if (handle != 0)
        must("evs_finalize", evs_finalize(handle));
    self->state = DONE;
    _exit(0);
}
