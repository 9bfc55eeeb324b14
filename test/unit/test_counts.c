// SPDX-License-Identifier: BSD-3-Clause
/* test_counts.c - copies, system calls, allocations and locked instructions on
 * each path of a message: the table in doc/map.md. One more is a failure here.
 *
 * Two nodes (counts.h) and their clients run in this one thread. That the list
 * of wrapped functions is whole is tested too: by what the objects ask for, and
 * by counting the instruction that enters the kernel. */
#include "test/unit/counts.h"

#include "ipc/channel.h"

#include <corosync/evs.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- clients -------------------------------------------------------------- */

static uint8_t payload[MESSAGE_MAX];
static uint64_t received; /* messages, by all handles */

/* At the first node, and at the second, where all others are too. */
static evs_handle_t sender, receiver;

static void on_message(hdb_handle_t h, unsigned int node, const void *message,
                       size_t size)
{
    (void)h, (void)node, (void)message, (void)size;
    received++;
}

/* A client of node `at` that has joined the group `name`. */
static evs_handle_t client(int at, const char *name, size_t event_bytes)
{
    static evs_callbacks_t callbacks = {.evs_deliver_fn = on_message};
    struct evs_group g = {{0}};
    evs_handle_t h = 0;
    setenv(CHANNEL_RUN_DIR_ENV, nodes[at].dir, 1);
    CHECK(evs_initialize_rings(&h, &callbacks, 0, event_bytes) == CS_OK);
    memcpy(g.key, name, strlen(name));
    enum stage before = stage_enter(REQUEST);
    CHECK(evs_join(h, &g, 1) == CS_OK);
    stage = before;
    return h;
}

/* The daemon's side of the first client of a node. */
static struct client *behind(int node)
{
    struct client *c = nodes[node].p->p.server->clients[0];
    CHECK(c != NULL);
    return c;
}

static void burst(uint64_t messages, size_t size)
{
    struct iovec v = {payload, size};
    enum stage before = stage_enter(SUBMIT);
    for (uint64_t i = 0; i < messages; i++)
        CU_ASSERT_EQUAL(evs_mcast_joined(sender, EVS_TYPE_AGREED, &v, 1),
                        CS_OK);
    stage = before;
}

static void dispatch(evs_handle_t h)
{
    enum stage before = stage_enter(DISPATCH);
    place = h == sender ? 0 : 1;
    CHECK(evs_dispatch(h, CS_DISPATCH_ALL) == CS_OK);
    place = 0;
    stage = before;
}

static void finalize(evs_handle_t h)
{
    const struct server_stats *now = server_stats_get(nodes[1].p->p.server);
    uint64_t before = now->clients_now;
    CU_ASSERT_EQUAL(evs_finalize(h), CS_OK);
    while (now->clients_now == before)
        nodes_round();
}

/* Rounds until both nodes have put that many messages into event rings. */
static void deliver(uint64_t first, uint64_t second)
{
    uint64_t end = loop_now_ns() + 60 * second_ns;
    first += stats(0).delivered;
    second += stats(1).delivered;
    while ((stats(0).delivered < first || stats(1).delivered < second) &&
           loop_now_ns() < end)
        nodes_round();
    CU_ASSERT_EQUAL(stats(0).delivered, first);
    CU_ASSERT_EQUAL(stats(1).delivered, second);
}

/* --- what is expected ----------------------------------------------------- */

/* Of the payload `copies` are made in that stage: besides there are headers,
 * tokens and the ends of messages that were cut, less than a half for small
 * messages and less than a tenth for large ones. No allocation, and at most so
 * many calls per 1,000 messages. */
static void expect(const struct run *r, int node, enum stage s, uint64_t copies,
                   uint64_t calls_max)
{
    const struct counts *c = &counts[node][s];
    uint64_t bytes = copies * r->messages * r->size;
    uint64_t slack = r->messages * r->size / (r->size < 1000 ? 2 : 10);
    double n = (double)r->messages;
    printf("    %-22s %-9s node %d: %5.2f copies, %7.1f calls per 1000, "
           "%g allocations\n",
           r->path, stage_names[s], node + 1,
           (double)c->copied / n / (double)r->size, 1000 * (double)c->calls / n,
           (double)c->allocations);
    CU_ASSERT(c->copied >= bytes);
    CU_ASSERT(c->copied < bytes + slack);
    CU_ASSERT(c->calls * 1000 <= calls_max * r->messages);
    CU_ASSERT_EQUAL(c->allocations, 0);
}

/* --- submitting ----------------------------------------------------------- */

/* The daemon looks at the ring without being told. */
static void keep_awake(void)
{
    client_activate(nodes[0].p->p.server, behind(0));
    ring_disarm(&behind(0)->submit);
}

static void fetch(uint64_t messages)
{
    deliver(messages, messages);
    dispatch(sender);
    dispatch(receiver);
}

static void submit_awake(void)
{
    struct run small = {"submit 64 B, awake", 2000, SMALL};
    keep_awake();
    counts_clear();
    burst(small.messages, SMALL);
    expect(&small, 0, SUBMIT, 1, 63); /* at each 16th: is the daemon alive? */
    fetch(small.messages);
    struct run large = {"submit 64 KiB, awake", 30, LARGE};
    keep_awake();
    counts_clear();
    burst(large.messages, LARGE);
    expect(&large, 0, SUBMIT, 1, 67);
    fetch(large.messages);
}

/* Who dozes is rung once: before the client waits itself. */
static void submit_dozing(void)
{
    struct run small = {"submit 64 B, dozing", 2000, SMALL};
    keep_awake();
    CU_ASSERT(ring_doze(&behind(0)->submit));
    counts_clear();
    burst(small.messages, SMALL);
    expect(&small, 0, SUBMIT, 1, 63);
    counts_clear();
    dispatch(sender);
    dispatch(sender);
    CU_ASSERT_EQUAL(counts[0][DISPATCH].calls, 1 + 2); /* and 2 looks */
    fetch(small.messages);
}

static void submit_asleep(void)
{
    struct run small = {"submit 64 B, asleep", 1000, SMALL};
    keep_awake();
    counts_clear();
    for (uint64_t i = 0; i < small.messages; i++) {
        ring_arm(&behind(0)->submit);
        burst(1, SMALL);
    }
    expect(&small, 0, SUBMIT, 1, 2000);
    CU_ASSERT_EQUAL(counts[0][SUBMIT].calls, 2 * small.messages);
    fetch(small.messages);
}

/* --- the whole way -------------------------------------------------------- */

/* Every call is one that is known, and no more. */
static void calls_known(int node, struct figures before)
{
    const struct counts *c = counts[node];
    struct figures now = figures_of(node);
    uint64_t r = now.rounds - before.rounds;
    CU_ASSERT_EQUAL(c[SEND].calls, now.send_calls - before.send_calls);
    CU_ASSERT_EQUAL(c[RECEIVE].calls, now.receive_calls - before.receive_calls);
    CU_ASSERT_EQUAL(c[DELIVER].calls + c[FLUSH].calls,
                    now.wakes - before.wakes);
    /* One wait, and one look at the bells if one rang. */
    CU_ASSERT(c[POLL].calls >= r);
    CU_ASSERT(c[POLL].calls <= r + now.doorbells - before.doorbells);
    CU_ASSERT_EQUAL(c[TAKE].calls + c[SEAL].calls + c[OPEN].calls +
                        c[STORE].calls + c[GROUP].calls,
                    0);
}

static void whole_way(uint64_t batches, uint64_t batch, size_t size)
{
    counts_clear();
    for (int n = 0; n < NODES; n++)
        begun[n] = figures_of(n);
    for (uint64_t i = 0; i < batches; i++) {
        keep_awake();
        burst(batch, size);
        fetch(batch);
    }
    allocations_none();
    for (int n = 0; n < NODES; n++) {
        calls_known(n, begun[n]);
        CU_ASSERT_EQUAL(figures_of(n).wakes - begun[n].wakes, batches);
    }
}

/* Stages in the order of the way: at the first node that of a message sent and
 * delivered, at the second that of one received. */
static const struct {
    int node;
    enum stage stage;
    uint64_t copies_small, copies_large;
    uint64_t calls_small, calls_large; /* at most, for 1,000 messages */
} way[] = {{0, SUBMIT, 1, 1, 63, 80},  {0, TAKE, 1, 1, 0, 0},
           {0, SEAL, 1, 1, 0, 0},      {0, SEND, 0, 0, 8, 1500},
           {0, STORE, 0, 0, 0, 0},     {0, GROUP, 0, 1, 0, 0},
           {0, DELIVER, 1, 1, 1, 40},  {0, FLUSH, 0, 0, 1, 40},
           {0, DISPATCH, 0, 0, 1, 40}, {1, RECEIVE, 0, 0, 20, 3000},
           {1, OPEN, 1, 1, 0, 0},      {1, STORE, 1, 1, 0, 0},
           {1, GROUP, 0, 1, 0, 0},     {1, DELIVER, 1, 1, 1, 40},
           {1, FLUSH, 0, 0, 1, 40},    {1, DISPATCH, 0, 0, 1, 40}};

static void whole_way_small(void)
{
    struct run r = {"64 B", 10000, SMALL};
    whole_way(10, 1000, SMALL);
    for (size_t i = 0; i < sizeof way / sizeof *way; i++)
        expect(&r, way[i].node, way[i].stage, way[i].copies_small,
               way[i].calls_small);
}

static void whole_way_large(void)
{
    struct run r = {"64 KiB", 500, LARGE};
    whole_way(20, 25, LARGE);
    for (size_t i = 0; i < sizeof way / sizeof *way; i++)
        expect(&r, way[i].node, way[i].stage, way[i].copies_large,
               way[i].calls_large);
}

/* --- several clients, and one that does not read ---------------------------
 */

static void eight_clients(void)
{
    enum { MORE = 7 };
    struct run r = {"64 KiB to 8", 100, LARGE};
    evs_handle_t more[MORE];
    for (int i = 0; i < MORE; i++)
        more[i] = client(1, "g", 0);
    for (int i = 0; i < MORE; i++)
        dispatch(more[i]);
    counts_clear();
    begun[1] = figures_of(1);
    for (uint64_t i = 0; i < r.messages / 10; i++) {
        burst(10, LARGE);
        deliver(10, 10 * (1 + MORE));
        dispatch(sender);
        dispatch(receiver);
        for (int k = 0; k < MORE; k++)
            dispatch(more[k]);
    }
    calls_known(1, begun[1]);
    allocations_none();
    /* Each is woken once for what came while it slept. */
    CU_ASSERT_EQUAL(figures_of(1).wakes - begun[1].wakes,
                    r.messages / 10 * (1 + MORE));
    expect(&r, 1, GROUP, 1, 0);
    expect(&r, 1, DELIVER, 1 + MORE, 100 * (1 + MORE));
    expect(&r, 1, DISPATCH, 0, 100 * (1 + MORE));
    for (int i = 0; i < MORE; i++)
        finalize(more[i]);
}

/* What finds no room is copied twice: into the overflow, and out of it. */
static void overflow(void)
{
    enum { MESSAGES = 20 };
    evs_handle_t slow = client(1, "g", 1);
    dispatch(slow);
    received = 0;
    counts_clear();
    burst(MESSAGES, LARGE);
    deliver(MESSAGES, 2 * MESSAGES);
    dispatch(slow);
    uint64_t direct = received;
    CU_ASSERT(direct >= 1 && direct < MESSAGES / 2);
    while (received < MESSAGES) {
        nodes_round();
        dispatch(slow);
    }
    uint64_t want = MESSAGES + direct + 2 * (MESSAGES - direct);
    uint64_t copied = counts[1][POLL].copied + counts[1][DELIVER].copied +
                      counts[1][FLUSH].copied;
    printf("    overflow: %g of %d messages, %.2f copies of each\n",
           (double)(MESSAGES - direct), MESSAGES,
           ((double)copied / LARGE - MESSAGES - (double)direct) /
               (double)(MESSAGES - direct));
    CU_ASSERT(copied >= want * LARGE && copied < want * LARGE + LARGE);
    allocations_none();
    dispatch(sender);
    dispatch(receiver);
    finalize(slow);
}

/* --- requests and queries ------------------------------------------------- */

static void join_and_leave(uint64_t times)
{
    struct evs_group g = {"another"};
    enum stage before = stage_enter(REQUEST);
    place = 1;
    for (uint64_t i = 0; i < times; i++) {
        CU_ASSERT_EQUAL(evs_join(receiver, &g, 1), CS_OK);
        CU_ASSERT_EQUAL(evs_leave(receiver, &g, 1), CS_OK);
    }
    place = 0;
    stage = before;
}

static void requests(void)
{
    enum { REQUESTS = 500 };
    struct run r = {"join or leave", 2 * REQUESTS, 1};
    counts_clear();
    begun[1] = figures_of(1);
    join_and_leave(REQUESTS);
    /* The bell and a look whether it is heard; to sleep, the byte that wakes.
     */
    expect(&r, 1, REQUEST, 0, 4000);
    /* The daemon: that byte, beside what it does in any round. */
    struct figures now = figures_of(1);
    const struct counts *c = counts[1];
    CU_ASSERT(c[POLL].calls + c[FLUSH].calls + c[TAKE].calls <=
              now.rounds - begun[1].rounds + now.doorbells -
                  begun[1].doorbells + r.messages);
    CU_ASSERT_EQUAL(c[POLL].copied + c[TAKE].copied, 0);
    allocations_none();
}

static void query(evs_handle_t h, int at)
{
    unsigned local = 0, members[NODES];
    size_t count = NODES;
    place = at;
    enum stage before = stage_enter(QUERY);
    CU_ASSERT_EQUAL(evs_membership_get(h, &local, members, &count), CS_OK);
    stage = before;
    place = 0;
    CU_ASSERT_EQUAL(local, (unsigned)at + 1);
    CU_ASSERT_EQUAL(count, NODES);
}

/* A query that neither side slept over makes no call at all. Whether they sleep
 * is up to who else wants the processors, so it is asked until enough were
 * answered awake, or for ten seconds; those that were are judged. */
static void query_awake(void)
{
    enum { WANTED = 5 };
    uint64_t quiet = 0, asked = 0, worker_calls = 0;
    if (skips(sysconf(_SC_NPROCESSORS_ONLN) > 1,
              "queries, worker awake: one processor"))
        return;
    uint64_t end = loop_now_ns() + 10 * second_ns;
    counts_clear();
    drives = false;
    while (quiet < WANTED && loop_now_ns() < end) {
        struct server_stats a = stats(0);
        uint64_t client = counts[0][QUERY].calls;
        uint64_t worker = counts[0][WORKER].calls;
        query(sender, 0);
        asked++;
        struct server_stats b = stats(0);
        if (b.query_sleeps != a.query_sleeps ||
            b.query_wakes != a.query_wakes || counts[0][QUERY].calls != client)
            continue;
        quiet++;
        worker_calls += counts[0][WORKER].calls - worker;
    }
    drives = true;
    printf("    query, awake: %g of %g without a call, in which the worker "
           "made %g\n",
           (double)quiet, (double)asked, (double)worker_calls);
    CU_ASSERT_EQUAL(counts[0][QUERY].copies + counts[0][WORKER].copies, 0);
    allocations_none();
    if (skips(quiet > 0, "queries, worker awake: in 10 s one side slept over "
                         "each (busy machine)"))
        return;
    /* It looks for new clients at every 256th turn. */
    CU_ASSERT(worker_calls <= (quiet > 1 ? quiet / 2 : 1));
}

static void query_asleep(void)
{
    enum { QUERIES = 500 };
    struct run r = {"query, asleep", QUERIES, 1};
    struct ring_shared *words = behind(1)->query.shared;
    drives = false;
    counts_clear();
    for (int i = 0; i < QUERIES; i++) {
        while (atomic_load(&words->asleep) != RING_ASLEEP)
            sched_yield();
        query(receiver, 1);
    }
    drives = true;
    expect(&r, 1, QUERY, 0, 3000); /* the bell, to sleep, the byte */
    expect(&r, 1, WORKER, 0, 2500);
    CU_ASSERT(counts[1][QUERY].calls >= QUERIES);
    allocations_none();
}

/* --- instruction by instruction ------------------------------------------- */

static void locked_submit(void)
{
    struct run r = {"submit 64 B, awake", 16, SMALL};
    if (skips(STEPPABLE, steps_why))
        return;
    keep_awake();
    step_begin();
    burst(r.messages, SMALL);
    step_end();
    expect_locked(&r, 0, SUBMIT, 7, 0);
    entries_known();
    fetch(r.messages);
}

static void locked_way(void)
{
    /* Rings are given back, and clients woken, once for all. */
    static const uint64_t once[STAGES] = {[POLL] = 8, [TAKE] = 2, [FLUSH] = 2};
    struct run r = {"64 B", 16, SMALL};
    if (skips(STEPPABLE, steps_why))
        return;
    keep_awake();
    step_begin();
    burst(r.messages, SMALL);
    fetch(r.messages);
    step_end();
    for (int n = 0; n < NODES; n++)
        for (enum stage s = POLL; s < STAGES; s++)
            expect_locked(&r, n, s, 0, once[s]);
    expect_locked(&r, 0, DISPATCH, 0, 6);
    expect_locked(&r, 1, DISPATCH, 0, 6);
    CU_ASSERT(counts[0][SEND].entries > 0 && counts[1][RECEIVE].entries > 0);
    entries_known();
}

static void locked_request(void)
{
    struct run r = {"join or leave", 4, 1};
    if (skips(STEPPABLE, steps_why))
        return;
    step_begin();
    join_and_leave(r.messages / 2);
    step_end();
    expect_locked(&r, 1, REQUEST, 19, 0);
    CU_ASSERT(counts[1][REQUEST].entries >= r.messages);
    entries_known();
}

static void locked_query(void)
{
    struct run r = {"query", 4, 1};
    if (skips(STEPPABLE, steps_why))
        return;
    drives = false;
    step_begin();
    for (uint64_t i = 0; i < r.messages; i++)
        query(receiver, 1);
    step_end();
    drives = true;
    expect_locked(&r, 1, QUERY, 11, 0);
    entries_known();
}

/* --- is the list of wrapped functions whole? -------------------------------
 */

static void list(void)
{
    list_whole(
        "api/client.o api/dispatch.o api/evs.o api/handle.o ipc/ring.o "
        "ipc/spin.o daemon/server/server.o daemon/server/take.o "
        "daemon/server/client.o daemon/server/worker.o "
        "daemon/server/protocol.o daemon/server/mailbox.o "
        "daemon/server/view.o daemon/server/query.o daemon/server/serve_*.o "
        "daemon/group/*.o daemon/totem/*.o daemon/service/*.o "
        "daemon/crypto/*.o daemon/net/send.o daemon/net/receive.o "
        "daemon/loop/loop.o");
}

/* --- running ---------------------------------------------------------------
 */

static void begin(void)
{
    nodes_begin();
    sender = client(0, "g", 0);
    receiver = client(1, "g", 0);
    dispatch(sender);
    dispatch(receiver);
    /* Every page and every path once, before anything is counted. */
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 20; k++)
            burst(1, k % 2 == 0 ? SMALL : LARGE);
        fetch(20);
    }
}

/* Before the nodes go. */
static void end(void)
{
    evs_finalize(sender);
    evs_finalize(receiver);
}

static const struct unit_test tests[] = {
    {"two nodes, a client each", begin},
    {"submit, daemon awake", submit_awake},
    {"submit, daemon dozing", submit_dozing},
    {"submit, daemon asleep", submit_asleep},
    {"the whole way, 64 B", whole_way_small},
    {"the whole way, 64 KiB", whole_way_large},
    {"delivery to 8 clients", eight_clients},
    {"overflow", overflow},
    {"requests", requests},
    {"queries, worker awake", query_awake},
    {"queries, worker asleep", query_asleep},
    {"functions that are wrapped", list},
    {"locked instructions: submit", locked_submit},
    {"locked instructions: the whole way", locked_way},
    {"locked instructions: requests", locked_request},
    {"locked instructions: queries", locked_query}};

int main(void)
{
    return counts_main("counts", tests, sizeof tests / sizeof *tests, end);
}
