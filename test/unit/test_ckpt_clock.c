/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ckpt_clock.c - what checkpoints and sections live by when clocks are
 * wrong, are set, or stand: nodes in a made-up order, each with clocks of its
 * own. */
#include "test/unit/ckpt_requests.h"

static const int64_t HOUR = INT64_C(3600) * SECOND;

static struct ipc_ckpt_attributes kept_for(int64_t retention_ns)
{
    struct ipc_ckpt_attributes a = plain;

    a.retention_ns = retention_ns;
    return a;
}

/* A checkpoint that nobody has open, kept for so long from now on. */
static void leave_checkpoint(const char *name, int64_t retention_ns)
{
    struct ipc_ckpt_attributes a = kept_for(retention_ns);

    done(open_request(1, 0, name, all_flags, &a));
    CU_ASSERT_EQUAL(last_result, IPC_OK);
    CU_ASSERT_EQUAL(done(on(1, 0, IPC_SUBMIT_CKPT_CLOSE)), IPC_OK);
    tick_all();
    CU_ASSERT(exists(name));
}

/* A section of the checkpoint "s", which client 1 of node 1 has open. */
static void leave_section(const char *id, int64_t expiration_ns)
{
    struct pend *p;

    if (handle_of_client(1, 1) == UINT32_MAX)
        done(open_request(1, 1, "s", all_flags, &plain));
    p = on(1, 1, IPC_SUBMIT_CKPT_SECTION_CREATE);
    p->r.expiration_ns = expiration_ns;
    element(p, id, strlen(id), 0, 5);
    fill(p);
    CU_ASSERT_EQUAL(done(p), IPC_OK);
}

static bool section_exists(const char *id)
{
    struct bytes name = {(const uint8_t *)"s", 1};
    const struct ckpt_store *s = ckpt_store(world.nodes[1].k);
    struct ckpt_checkpoint *c = ckpt_store_find(s, name);

    return c != NULL &&
           ckpt_section_find(s, c,
                             (struct bytes){(const uint8_t *)id, strlen(id)});
}

static void pass(int64_t ns)
{
    world.now_ns += ns;
    tick_all();
    tick_all(); /* a clock that was set is told of first */
}

static void set_clock(uint32_t id, int64_t by_ns)
{
    world.nodes[id].wall_off_ns += by_ns;
}

/* All nodes say the same of one, once. */
static void expect_news(uint32_t about, bool far, int64_t ahead_ns)
{
    struct ckpt_clock_news news;

    for (uint32_t id = 1; id <= NODES; id++) {
        if (world.nodes[id].k == NULL)
            continue;
        CU_ASSERT_FATAL(ckpt_clock_news(world.nodes[id].k, &news));
        CU_ASSERT_EQUAL(news.node_id, about);
        CU_ASSERT_EQUAL(news.far, far);
        CU_ASSERT(llabs(news.ahead_ns - ahead_ns) < SECOND);
        CU_ASSERT(!ckpt_clock_news(world.nodes[id].k, &news));
    }
}

static void expect_no_news(void)
{
    struct ckpt_clock_news news;

    for (uint32_t id = 1; id <= NODES; id++)
        if (world.nodes[id].k != NULL)
            CU_ASSERT(!ckpt_clock_news(world.nodes[id].k, &news));
}

/* A configuration of nodes 1 .. n, where all introduce themselves anew. */
static void meet(void)
{
    for (uint32_t id = 1; id <= NODES; id++)
        if (world.nodes[id].k != NULL)
            node_time(&world.nodes[id]);
    configure_all();
    settle();
}

/* --- retention ------------------------------------------------------------ */

static void test_all_clocks_set(void)
{
    start(3, 1 << 20, 9);
    leave_checkpoint("long", 600 * (int64_t)SECOND);
    leave_checkpoint("short", 3 * (int64_t)SECOND);
    for (uint32_t id = 1; id <= 3; id++)
        set_clock(id, 2 * HOUR);
    pass(SECOND);
    CU_ASSERT(exists("long") && exists("short"));
    for (uint32_t id = 1; id <= 3; id++)
        set_clock(id, -3 * HOUR);
    pass(2 * (int64_t)SECOND);
    CU_ASSERT(exists("long") && !exists("short"));
    pass(596 * (int64_t)SECOND);
    CU_ASSERT(exists("long"));
    pass(SECOND);
    CU_ASSERT(!exists("long"));
    world_end();
}

/* Whoever sends the ticks, and whoever comes: what has passed has passed, and
 * no more. */
static void test_handed_on(void)
{
    start(2, 1 << 20, 9);
    pass(HOUR); /* nobody has anything to tick for */
    leave_checkpoint("a", 600 * (int64_t)SECOND);
    pass(200 * (int64_t)SECOND);
    node_start(3, 1 << 20, 9);
    world.nodes[3].steady_off_ns += 77 * HOUR;
    set_clock(3, 5 * HOUR);
    meet();
    pass(100 * (int64_t)SECOND);
    node_stop(1);
    meet();
    pass(100 * (int64_t)SECOND);
    node_stop(2);
    meet();
    pass(100 * (int64_t)SECOND);
    node_start(1, 1 << 20, 9);
    set_clock(1, -5 * HOUR);
    meet();
    CU_ASSERT(exists("a"));
    pass(99 * (int64_t)SECOND);
    CU_ASSERT(exists("a"));
    pass(SECOND);
    CU_ASSERT(!exists("a"));
    world_end();
}

/* Parts that were apart: the time of the one that goes on. A machine that stood
 * does not hold the others back, nor itself when it runs again. */
static void test_apart(void)
{
    const uint32_t apart[NODES + 1] = {0, 1, 1, 2, 0};

    start(3, 1 << 20, 9);
    leave_checkpoint("a", 600 * (int64_t)SECOND);
    configure(apart);
    settle();
    world.nodes[3].steady_off_ns -= HOUR;
    pass(HOUR / 12);
    world.nodes[3].steady_off_ns += 2 * HOUR; /* the smaller part */
    pass(SECOND);
    meet();
    CU_ASSERT(exists("a"));
    pass(298 * (int64_t)SECOND);
    CU_ASSERT(exists("a"));
    pass(SECOND);
    CU_ASSERT(!exists("a"));
    world_end();
}

/* Ticks that take their time do not hold up service time. */
static void test_slow_order(void)
{
    start(2, 1 << 20, 9);
    leave_checkpoint("a", 10 * (int64_t)SECOND);
    for (int i = 0; i < 9; i++) {
        struct node *n = &world.nodes[1];
        n->k->tick_due = true;
        begin_to_say(n);
        world.now_ns += SECOND; /* on its way */
        tick_all();
    }
    CU_ASSERT(exists("a"));
    pass(SECOND);
    CU_ASSERT(!exists("a"));
    world_end();
}

/* --- sections ------------------------------------------------------------- */

/* The lowest node's clock goes ahead: it is known by all, and decides nothing.
 */
static void test_far_from_the_start(void)
{
    start(3, 1 << 20, 9);
    set_clock(1, 2 * HOUR);
    meet();
    expect_news(1, true, 2 * HOUR);
    leave_section("x", world.now_ns + HOUR);
    leave_section("y", world.now_ns + 10);
    pass(SECOND);
    CU_ASSERT(section_exists("x") && !section_exists("y"));
    CU_ASSERT_EQUAL(ckpt_wake_ns(world.nodes[1].k), INT64_MAX);
    meet();
    expect_no_news();
    leave_checkpoint("a", SECOND);
    pass(SECOND);
    CU_ASSERT(!exists("a"));
    pass(HOUR);
    CU_ASSERT(!section_exists("x"));
    world_end();
}

static void test_joiner_is_far(void)
{
    start(2, 1 << 20, 9);
    leave_section("x", world.now_ns + HOUR);
    node_start(3, 1 << 20, 9);
    set_clock(3, -7 * HOUR);
    meet();
    expect_news(3, true, -7 * HOUR);
    node_stop(2);
    node_stop(1); /* then it is the only one, and right */
    meet();
    node_start(1, 1 << 20, 9);
    set_clock(1, -7 * HOUR);
    meet();
    CU_ASSERT(section_exists("x"));
    world_end();
}

/* Clocks that are set while all is under way; right again; then all of them. */
static void test_set(void)
{
    start(3, 1 << 20, 9);
    leave_section("x", world.now_ns + HOUR);
    set_clock(1, 2 * HOUR);
    pass(SECOND);
    expect_news(1, true, 2 * HOUR);
    CU_ASSERT(section_exists("x"));
    set_clock(1, -2 * HOUR);
    pass(SECOND);
    expect_news(1, false, 0);
    set_clock(3, CKPT_CLOCK_FAR_NS - SECOND / 4);
    pass(SECOND);
    expect_no_news();
    set_clock(3, -CKPT_CLOCK_FAR_NS);
    pass(SECOND);
    expect_no_news();
    for (uint32_t id = 1; id <= 3; id++)
        set_clock(id, 2 * HOUR);
    pass(SECOND);
    CU_ASSERT(!section_exists("x")); /* as most say so */
    world_end();
}

/* Of two that differ the earlier one is believed. */
static void test_two(void)
{
    start(2, 1 << 20, 9);
    set_clock(1, HOUR);
    meet();
    expect_news(1, true, HOUR);
    leave_section("x", world.now_ns + HOUR / 2);
    pass(SECOND);
    CU_ASSERT(section_exists("x"));
    pass(HOUR / 2);
    CU_ASSERT(!section_exists("x"));
    world_end();
}

/* The only one that has the state is far: nothing expires before others have
 * got it, and checkpoints go on living by time. */
static void test_the_only_one(void)
{
    start(1, 1 << 20, 9);
    leave_section("x", world.now_ns + HOUR);
    leave_checkpoint("a", 10 * (int64_t)SECOND);
    set_clock(1, 2 * HOUR);
    for (uint32_t id = 2; id <= 3; id++)
        node_start(id, 1 << 20, 9);
    meet();
    expect_news(1, true, 2 * HOUR);
    pass(9 * (int64_t)SECOND);
    CU_ASSERT(exists("a") && section_exists("x"));
    pass(SECOND);
    CU_ASSERT(!exists("a") && section_exists("x"));
    pass(HOUR);
    CU_ASSERT(!section_exists("x"));
    world_end();
}

/* --- nonsense ------------------------------------------------------------- */

static uint32_t tick(int64_t time_ns)
{
    struct node *n = &world.nodes[1];
    uint64_t failed = ckpt_stats_get(n->k).failed;
    uint8_t op[CKPT_HEAD_SIZE_MAX];
    struct writer w = ckpt_op_begin(
        n->k, op, &(struct op_head){.op = OP_TICK, .client = NO_CLIENT});

    write_u64(&w, (uint64_t)time_ns);
    CU_ASSERT(ckpt_message(n->k, 1, (struct bytes){op, ckpt_op_end(&w)}));
    return (uint32_t)(ckpt_stats_get(n->k).failed - failed);
}

static void test_nonsense(void)
{
    struct ckpt_clock *c;

    start(1, 1 << 20, 9);
    c = &world.nodes[1].k->clock;
    CU_ASSERT_EQUAL(tick(-1), 1);
    CU_ASSERT_EQUAL(tick(INT64_MIN), 1);
    CU_ASSERT_EQUAL(tick(INT64_MAX), 1);
    CU_ASSERT_EQUAL(tick(SECOND), 0);
    CU_ASSERT_EQUAL(c->time_ns, SECOND);
    CU_ASSERT_EQUAL(tick(SECOND - 1), 0); /* late */
    CU_ASSERT_EQUAL(c->time_ns, SECOND);
    CU_ASSERT_EQUAL(tick(INT64_C(1) << 62), 0);
    CU_ASSERT_EQUAL(ckpt_clock_estimate(c), INT64_C(1) << 62);
    world.now_ns += HOUR;
    node_time(&world.nodes[1]);
    CU_ASSERT_EQUAL(ckpt_clock_estimate(c), INT64_C(1) << 62);
    ckpt_clock_stepped(c, 1, INT64_MAX);
    ckpt_clock_stepped(c, 1, INT64_MAX);
    ckpt_clock_stepped(c, 1, INT64_MIN);
    ckpt_clock_stepped(c, 77, 1);
    CU_ASSERT(!c->far);
    world_end();
}

static const struct unit_test tests[] = {
    {"all clocks set", test_all_clocks_set},
    {"handed on", test_handed_on},
    {"apart", test_apart},
    {"slow order", test_slow_order},
    {"far from the start", test_far_from_the_start},
    {"joiner is far", test_joiner_is_far},
    {"set", test_set},
    {"two", test_two},
    {"the only one", test_the_only_one},
    {"nonsense", test_nonsense}};
UNIT_MAIN("ckpt clock", tests)
