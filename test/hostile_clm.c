/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile_clm.c - attackers that speak of nodes: clients of the CLM service,
 * and those that mix it up with EVS. The daemon is alone in its ring and is
 * node 1, so they know what is true, and say so if they are told otherwise. */
#include "test/hostile_attack.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static bool attach_clm(void)
{
    struct ipc_hello hello = good_hello(1, 1);

    hello.service = IPC_SERVICE_CLM;
    return attach_with(hello);
}

/* --- what they say -------------------------------------------------------- */

/* What no library sends; said here once more, in words of the specification. */
static bool flags_wrong(uint32_t flags)
{
    bool changes = (flags & IPC_CLM_CHANGES) != 0;
    bool changes_only = (flags & IPC_CLM_CHANGES_ONLY) != 0;
    bool any = changes || changes_only || (flags & IPC_CLM_CURRENT) != 0;

    return flags > 15 || (changes && changes_only) || !any;
}

static uint32_t draw_flags(bool wrong)
{
    uint32_t flags;

    do
        flags = below(4) == 0 ? (uint32_t)bad_word() : below(32);
    while (flags_wrong(flags) != wrong);
    return flags;
}

static bool put_track(uint32_t flags)
{
    const struct ipc_clm_track t = {.flags = flags};

    return put(&me.submit, IPC_SUBMIT_CLM_TRACK, &t, sizeof t, sizeof t);
}

static bool put_stop(void)
{
    return put(&me.submit, IPC_SUBMIT_CLM_TRACK_STOP, "", 0, 0);
}

static uint32_t draw_node(void)
{
    switch (below(4)) {
    case 0:
        return 1;
    case 1:
        return UINT32_MAX;
    case 2:
        return below(200);
    default:
        return (uint32_t)bad_word();
    }
}

static bool put_node_get(void)
{
    const struct ipc_clm_node_get get = {.invocation = rnd(),
                                         .node_id = draw_node()};

    return put(&me.submit, IPC_SUBMIT_CLM_NODE_GET, &get, sizeof get,
               sizeof get);
}

/* --- what they are told --------------------------------------------------- */

static uint32_t count_records(struct ring_consumer *ring)
{
    const uint8_t *body;
    uint32_t n = 0;

    for (; ring_peek(ring, &body) == RING_RECORD; n++)
        ring_advance(ring);
    ring_release(ring);
    return n;
}

/* What was said last costs the connection, whatever stands behind it: no more
 * than `answered` came before it. */
static void must_end(struct ring_consumer *ring, uint32_t answered,
                     const char *what, uint32_t number)
{
    for (int i = 0; i < 100 && !sent_away(); i++)
        pause_us(1000);
    uint32_t n = count_records(ring);
    if (n > answered)
        violation("%s %#x was answered", what, number);
}

/* The next answer; NULL: it has not come in a while. */
static const uint8_t *await_answer(const char *what, uint32_t number)
{
    const uint8_t *body;

    for (int i = 0; i < 1000; i++) {
        if (ring_peek(&me.answer, &body) == RING_RECORD)
            return body;
        if (i % 16 == 15 && sent_away()) {
            violation("%s %#x cost the connection", what, number);
            return NULL;
        }
        pause_us(i < 10 ? 50 : 1000);
    }
    return NULL;
}

/* --- attacks -------------------------------------------------------------- */

/* Flags of all kinds: good ones are answered, at most, and no wrong one, nor
 * what stands behind it. */
void attack_clm_flags(void)
{
    for (int round = 0; round < 20 && attach_clm(); round++) {
        uint32_t good = below(4), wrong = draw_flags(true);
        for (uint32_t i = 0; i < good; i++)
            put_track(draw_flags(false));
        put_track(wrong);
        put_track(IPC_CLM_CURRENT);
        must_end(&me.reply, good, "tracking with flags", wrong);
        detach();
    }
}

enum { TRACK_BYTES = 16, IN_A_ROW = 12, CHANGED = 8 /* of those */ };

static void store_often(_Atomic uint32_t *at, uint32_t value, int times)
{
    for (int i = 0; i < times; i++)
        atomic_store_explicit(at, value, memory_order_relaxed);
}

/* Makes the flags of a record that the daemon is to read next good and wrong by
 * turns, as fast as it can: they are to be good when they are judged, and wrong
 * when they are obeyed. */
static void change_flags(void)
{
    const uint64_t mask = me.segment.ring_size[SEGMENT_SUBMIT] - 1;
    const uint64_t row = TRACK_BYTES * IN_A_ROW, end = now_ns() + 1000000000;

    while (now_ns() < end) {
        uint64_t head = atomic_load(&words(SEGMENT_SUBMIT)->head);
        uint64_t record = head - head % row + (uint64_t)CHANGED * TRACK_BYTES;
        uint8_t *flags = me.segment.data[SEGMENT_SUBMIT] + (record & mask) +
                         sizeof(struct ring_record);
        for (int i = 0; i < 100; i++) {
            store_often((void *)flags, IPC_CLM_CHANGES, 300);
            store_often((void *)flags, 15, 60);
        }
    }
}

/* Good ones in a row. */
static void track_in_a_row(void)
{
    const struct ipc_clm_track t = {.flags = IPC_CLM_CHANGES};
    void *at;

    for (int i = 0; i < IN_A_ROW; i++) {
        if ((at = ring_claim(&me.submit, sizeof t)) == NULL)
            break;
        memcpy(at, &t, sizeof t);
        ring_push(&me.submit, IPC_SUBMIT_CLM_TRACK, sizeof t);
    }
    ring_publish(&me.submit);
    ring_bell(IPC_FD_BELL);
}

void attack_clm_changing(void)
{
    for (int round = 0; round < 100 && attach_clm(); round++) {
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            change_flags();
            _exit(0);
        }
        pause_us(200); /* it has begun */
        for (int i = 0; i < 1000 && (i % 8 != 0 || !sent_away()); i++) {
            track_in_a_row();
            pause_us(20);
            skip_all(&me.reply);
        }
        if (child > 0) {
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
        }
        detach();
    }
}

/* Asks for events without end and reads none, or a few at times. */
void attack_clm_unread(void)
{
    if (!attach_clm())
        return;
    for (int i = 0; i < 20000 && (i % 64 != 0 || !sent_away()); i++) {
        bool room = below(4) == 0
                        ? put_node_get()
                        : put_track(IPC_CLM_CURRENT | draw_flags(false));
        if (!room)
            pause_us(200);
        skip_all(&me.reply);
        if (i % 4096 == 4095)
            skip_all(&me.event);
    }
    detach();
}

static void flood(bool (*ask)(void))
{
    for (int round = 0; round < 4 && attach_clm(); round++) {
        bool reads = rnd() % 2 == 0;
        for (int i = 0; i < 5000 && (i % 64 != 0 || !sent_away()); i++) {
            if (!ask())
                pause_us(200);
            if (reads) {
                skip_all(&me.reply);
                skip_all(&me.event);
            }
        }
        detach();
    }
}

void attack_clm_gets(void)
{
    flood(put_node_get);
}

static bool put_track_or_stop(void)
{
    return below(16) == 0 ? put_track(draw_flags(false)) : put_stop();
}

void attack_clm_stops(void)
{
    flood(put_track_or_stop);
}

/* A request or query of EVS, or one of CLM. True: a query. */
static bool put_one(bool clm)
{
    const struct ipc_clm_nodes_query q = {.from = below(4)};
    bool query = below(3) == 0;

    if (!clm && query)
        put_query();
    else if (!clm && below(2) == 0)
        put_groups(below(2) == 0 ? IPC_SUBMIT_EVS_JOIN : IPC_SUBMIT_EVS_LEAVE,
                   below(5));
    else if (!clm)
        put_message('h', below(300)); /* to the honest, if it were taken */
    else if (query)
        put(&me.query, below(2) == 0 ? IPC_QUERY_CLM_NODE : IPC_QUERY_CLM_NODES,
            &q, sizeof q, sizeof q);
    else if (below(2) == 0)
        put_track(draw_flags(false));
    else
        below(2) == 0 ? put_stop() : put_node_get();
    return query;
}

/* What is in order on a connection of the other service. */
void attack_foreign(void)
{
    for (int round = 0; round < 20; round++) {
        bool clm = rnd() % 2 == 0;
        if (!(clm ? attach_clm() : attach_with(good_hello(1, 1))))
            return;
        bool query = put_one(!clm);
        must_end(query ? &me.answer : &me.reply, 0, "the other service",
                 clm ? IPC_SERVICE_EVS : IPC_SERVICE_CLM);
        detach();
    }
}

/* False: no answer in time, so that what comes next may be it. */
static bool ask_node(void)
{
    const struct ipc_clm_node_query q = {.node_id = draw_node()};
    struct ipc_clm_node_answer a;
    const uint8_t *body;

    if (!put(&me.query, IPC_QUERY_CLM_NODE, &q, sizeof q, sizeof q) ||
        (body = await_answer("the query of node", q.node_id)) == NULL)
        return false;
    bool there = q.node_id == 1 || q.node_id == UINT32_MAX;
    if (me.answer.record.size != sizeof a) {
        violation("%u bytes tell of a node", me.answer.record.size);
        return false;
    }
    memcpy(&a, body, sizeof a);
    if (a.reply.result != (there ? IPC_OK : IPC_ERR_NOT_EXIST) ||
        a.node.node_id != (there ? 1 : 0))
        violation("asked for node %u, told %u of node %u", q.node_id,
                  a.reply.result, a.node.node_id);
    skip_all(&me.answer);
    return true;
}

static bool ask_nodes(void)
{
    const struct ipc_clm_nodes_query q = {
        .from = below(3) == 0 ? 0 : (uint32_t)bad_word(),
        .local = below(2) == 0 ? below(2) : (uint32_t)bad_word()};
    struct ipc_clm_nodes_answer a;
    const uint8_t *body;

    if (!put(&me.query, IPC_QUERY_CLM_NODES, &q, sizeof q, sizeof q) ||
        (body = await_answer("the query of nodes from", q.from)) == NULL)
        return false;
    uint32_t done = q.from == 0, size = me.answer.record.size;
    if (size != sizeof a + done * sizeof(struct ipc_clm_node)) {
        violation("%u bytes tell of nodes from %u", size, q.from);
        return false;
    }
    memcpy(&a, body, sizeof a);
    if (a.reply.result != IPC_OK || a.reply.done != done || a.next != 0 ||
        a.member_count != 1)
        violation("asked for nodes from %u, told %u of %u, next %u", q.from,
                  a.reply.done, a.member_count, a.next);
    skip_all(&me.answer);
    return true;
}

/* Wild queries, rightly answered, and in the end one of a wrong size. */
void attack_clm_queries(void)
{
    uint8_t body[64] = {0};

    for (int round = 0; round < 10 && attach_clm(); round++) {
        uint32_t left = below(50), size;
        while (left > 0 && (below(2) == 0 ? ask_node() : ask_nodes()))
            left--;
        do
            size = below(sizeof body);
        while (size == sizeof(struct ipc_clm_nodes_query));
        if (left == 0 &&
            put(&me.query, IPC_QUERY_CLM_NODE + below(2), body, size, size))
            must_end(&me.answer, 0, "a query of size", size);
        detach();
    }
}
