/* SPDX-License-Identifier: BSD-3-Clause */
#include "test/unit/replica_world.h"

static uint64_t birth_of(uint32_t id)
{
    return replica_place_get(node(id)->r).birth;
}

/* --- who goes on ---------------------------------------------------------- */

static void test_alone(void)
{
    world_begin(1);
    struct replica *r = node(1)->r;
    CU_ASSERT(!replica_ready(r) && !replica_is_whole(r));
    CU_ASSERT_EQUAL(replica_message_kind(r), REPLICA_NOTHING);
    CONFIGURE(1);
    CU_ASSERT(!replica_ready(r));
    CU_ASSERT_EQUAL(replica_message_kind(r), REPLICA_INFO);
    CU_ASSERT(says(1, REPLICA_INFO));
    CU_ASSERT_EQUAL(replica_message_kind(r), REPLICA_NOTHING);
    CU_ASSERT(!replica_ready(r));
    CU_ASSERT(deliver(1));
    CU_ASSERT(replica_ready(r) && replica_is_whole(r));
    CU_ASSERT_EQUAL(replica_place_get(r).index, 0);
    CU_ASSERT_EQUAL(node(1)->toy.resets, 1);
    CU_ASSERT_EQUAL(node(1)->toy.fulls, 1);
    appends(1, 5);
    CU_ASSERT_EQUAL(node(1)->toy.applied, 0); /* not before its place */
    deliver_all();
    CU_ASSERT_EQUAL(node(1)->toy.applied, 5);
    CU_ASSERT_EQUAL(replica_place_get(r).index, 5);
    CONFIGURE(1);
    CU_ASSERT(!replica_ready(r) && replica_is_whole(r));
    run();
    CU_ASSERT(replica_ready(r));
    CU_ASSERT_EQUAL(node(1)->toy.item_count, 5);
    CU_ASSERT_EQUAL(replica_place_get(r).index, 6); /* and the members */
    CU_ASSERT_EQUAL(stats(1)->plans, 2);
    CU_ASSERT_EQUAL(stats(1)->pieces_sent, 0);
    world_end();
}

static void test_together(void)
{
    world_begin(3);
    CONFIGURE(1, 2, 3);
    run();
    expect_one_state(IDS(1, 2, 3));
    op(2, TOY_APPEND, 0, 1);
    op(3, TOY_APPEND_IF_EVEN, 0, 1); /* fails */
    op(1, TOY_REMOVE, 9, 0);         /* fails */
    op(3, TOY_OPEN, 0, 0);
    run();
    expect_one_state(IDS(1, 2, 3));
    for (uint32_t id = 1; id <= 3; id++) {
        CU_ASSERT_EQUAL(node(id)->toy.applied, 2);
        CU_ASSERT_EQUAL(node(id)->toy.failed, 2);
        CU_ASSERT_EQUAL(replica_place_get(node(id)->r).index, 4);
        CU_ASSERT_EQUAL(stats(id)->pieces_sent, 0);
    }
    CONFIGURE(1, 2); /* what 3 had opened goes with it */
    run();
    CU_ASSERT_EQUAL(node(1)->toy.node_count, 0);
    CU_ASSERT_EQUAL(stats(1)->resets, 0);
    world_end();
}

static void test_fresh_joins(void)
{
    world_begin(2);
    CONFIGURE(2);
    run();
    appends(2, 10);
    op(2, TOY_OPEN, 0, 0);
    deliver_all();
    CONFIGURE(1, 2); /* the lower node id is no reason */
    infos();
    deliver_all();
    CU_ASSERT(replica_ready(node(2)->r)); /* goes on at once */
    CU_ASSERT(!replica_ready(node(1)->r) && !replica_is_whole(node(1)->r));
    CU_ASSERT_EQUAL(replica_message_kind(node(1)->r), REPLICA_NOTHING);
    run();
    expect_one_state(IDS(1, 2));
    CU_ASSERT_EQUAL(node(1)->toy.item_count, 10);
    CU_ASSERT_EQUAL(node(1)->toy.node_count, 1);
    CU_ASSERT_EQUAL(stats(1)->exchanges, 1);
    CU_ASSERT_EQUAL(stats(1)->pieces_read, 4);
    CU_ASSERT_EQUAL(stats(2)->pieces_sent, 4);
    CU_ASSERT_EQUAL(stats(1)->piece_bytes_read, stats(2)->piece_bytes_sent);
    CU_ASSERT_EQUAL(replica_message_kind(node(2)->r), REPLICA_NOTHING);
    op(1, TOY_OPEN, 0, 0);
    run();
    expect_one_state(IDS(1, 2));
    CU_ASSERT_EQUAL(node(2)->toy.node_count, 2);
    world_end();
}

/* Nodes that have been together for long, and have done nothing, or nothing
 * that succeeded, against one that has done a little. */
static void test_operations_count(void)
{
    world_begin(4);
    CONFIGURE(4);
    run();
    appends(4, 1);
    for (int i = 0; i < 5; i++) {
        CONFIGURE(1, 2, 3);
        run();
    }
    for (int i = 0; i < 9; i++)
        op(1, TOY_REMOVE, 0, 0);
    deliver_all();
    uint64_t birth = birth_of(4);
    CU_ASSERT(replica_place_get(node(1)->r).index > 10);
    CONFIGURE(1, 2, 3, 4);
    run();
    expect_one_state(IDS(1, 2, 3, 4));
    CU_ASSERT_EQUAL(birth_of(1), birth);
    CU_ASSERT_EQUAL(node(1)->toy.item_count, 1);
    CU_ASSERT_EQUAL(stats(1)->resets, 1);
    CU_ASSERT_EQUAL(stats(4)->resets, 0);
    world_end();
}

/* A history counts by the most that any of its parts has done, also if that
 * part does not go on. */
static void test_histories(void)
{
    world_begin(6);
    CONFIGURE(1, 2, 3);
    run();
    appends(1, 2);
    uint64_t birth = (deliver_all(), birth_of(1));
    CONFIGURE(4, 5, 6);
    run();
    appends(4, 7);
    CONFIGURE(1);
    run();
    appends(1, 20);
    CONFIGURE(2, 3);
    run();
    appends(2, 1);
    deliver_all();
    CONFIGURE(1, 2, 3, 4, 5, 6);
    run();
    expect_one_state(IDS(1, 2, 3, 4, 5, 6));
    CU_ASSERT_EQUAL(birth_of(4), birth);
    CU_ASSERT_EQUAL(node(4)->toy.item_count, 3);
    CU_ASSERT_EQUAL(stats(2)->resets, 0);
    world_end();
}

/* The same numbers of operations: then as parts of one. */
static void test_equal_histories(void)
{
    world_begin(5);
    CONFIGURE(1);
    CONFIGURE(2, 3);
    CONFIGURE(4, 5);
    run();
    uint64_t birth = birth_of(2);
    CONFIGURE(1, 2, 3, 4, 5);
    run();
    expect_one_state(IDS(1, 2, 3, 4, 5));
    CU_ASSERT_EQUAL(birth_of(1), birth);
    world_end();
}

/* 1, 2 and 3, 4 and 5 have one history, and go apart; then all meet. */
static void parts(uint32_t ops1, uint32_t ops2, uint32_t ops4, uint32_t winner)
{
    world_begin(5);
    CONFIGURE(1, 2, 3, 4, 5);
    run();
    appends(1, 3);
    deliver_all();
    CONFIGURE(1);
    CONFIGURE(2, 3);
    CONFIGURE(4, 5);
    run();
    appends(1, ops1);
    appends(2, ops2);
    appends(4, ops4);
    deliver_all();
    CONFIGURE(1, 2, 3, 4, 5);
    run();
    expect_one_state(IDS(1, 2, 3, 4, 5));
    CU_ASSERT_EQUAL(stats(1)->resets, winner != 1);
    CU_ASSERT_EQUAL(stats(2)->resets, winner != 2);
    CU_ASSERT_EQUAL(stats(3)->resets, winner != 2);
    CU_ASSERT_EQUAL(stats(4)->resets, winner != 4);
    world_end();
}

static void test_parts(void)
{
    parts(9, 0, 0, 2); /* the larger; then the lowest node */
    parts(0, 1, 2, 4); /* more operations */
    parts(5, 2, 1, 2);
    parts(9, 3, 3, 2);
}

/* Members that have but a part of the state do not count. */
static void test_only_whole_ones_count(void)
{
    world_begin(7);
    CONFIGURE(1, 2, 3);
    run();
    appends(1, 30);
    deliver_all();
    CONFIGURE(1, 4, 5, 6, 7);
    infos();
    deliver_all();
    says(1, REPLICA_PIECE);
    deliver_all();
    CONFIGURE(2, 3);
    infos();
    deliver_all();
    CONFIGURE(1, 2, 3, 4, 5, 6, 7);
    run();
    expect_one_state(IDS(1, 2, 3, 4, 5, 6, 7));
    CU_ASSERT_EQUAL(stats(1)->resets, 1);
    CU_ASSERT_EQUAL(stats(2)->resets, 0);
    CU_ASSERT_EQUAL(stats(4)->resumed, 0);
    world_end();
}

/* --- paths ---------------------------------------------------------------- */

static void test_no_plans(void)
{
    world_begin(3);
    CONFIGURE(1, 2, 3);
    run();
    appends(3, 10);
    deliver_all();
    CONFIGURE(1, 2, 3);
    CONFIGURE(1, 2, 3);
    says(1, REPLICA_INFO);
    says(2, REPLICA_INFO);
    deliver_all();
    CONFIGURE(1, 2, 3);
    CU_ASSERT(!replica_ready(node(1)->r) && replica_is_whole(node(1)->r));
    run();
    expect_one_state(IDS(1, 2, 3));
    for (uint32_t id = 1; id <= 3; id++) {
        CU_ASSERT_EQUAL(stats(id)->plans, 2);
        CU_ASSERT_EQUAL(stats(id)->resets, 0);
        CU_ASSERT_EQUAL(stats(id)->pieces_sent, 0);
    }
    world_end();
}

/* Node 3 was elsewhere in between, and was, or was not, in a plan there. */
static void elsewhere(bool here, bool there)
{
    world_begin(3);
    CONFIGURE(1, 2, 3);
    run();
    appends(3, 10);
    deliver_all();
    CONFIGURE(1, 2);
    if (here)
        run();
    CONFIGURE(3);
    if (there)
        run();
    CONFIGURE(1, 2, 3);
    run();
    expect_one_state(IDS(1, 2, 3));
    CU_ASSERT_EQUAL(stats(1)->resets, 0);
    CU_ASSERT_EQUAL(stats(3)->resets, 1);
    world_end();
}

static void test_elsewhere(void)
{
    elsewhere(false, false);
    elsewhere(false, true);
    elsewhere(true, false);
    elsewhere(true, true);
}

/* Of two that leave a configuration, one had its plan, the other had not. */
static void test_half_a_plan(void)
{
    for (uint32_t upto = 0; upto <= 3; upto++) {
        world_begin(3);
        CONFIGURE(1, 2, 3);
        run();
        appends(3, 10);
        deliver_all();
        CONFIGURE(1, 2, 3);
        infos();
        configure(IDS(1, 2), upto);
        CU_ASSERT_EQUAL(stats(1)->plans, upto == 3 ? 2 : 1);
        CONFIGURE(3);
        CU_ASSERT_EQUAL(stats(3)->plans, 2);
        CONFIGURE(1, 2, 3);
        run();
        expect_one_state(IDS(1, 2, 3));
        CU_ASSERT_EQUAL(stats(3)->resets, 1);
        world_end();
    }
}

/* --- exchanges ------------------------------------------------------------ */

static void test_operations_in_flight(void)
{
    exchange_begin();
    uint32_t number = 0;
    while (replica_message_kind(node(1)->r) == REPLICA_PIECE) {
        if (number < 40)
            some_ops(2, number++); /* in front of it: not known to it */
        CU_ASSERT(says(1, REPLICA_PIECE));
        if (number < 40)
            some_ops(2, number++); /* between it and its delivery */
        if (number % 3 == 0)
            says(1, REPLICA_PIECE);
        if (number < 40)
            some_ops(1, number++);
        deliver_all();
    }
    CU_ASSERT(stats(3)->kept_bytes_most > 500);
    run();
    expect_one_state(IDS(1, 2, 3));
    CU_ASSERT_EQUAL(stats(3)->exchanges, 1);
    CU_ASSERT(node(3)->toy.failed < node(2)->toy.failed);
    world_end();
}

/* The last piece and, behind it, more. */
static void test_behind_the_last(void)
{
    exchange_begin();
    while (says(1, REPLICA_PIECE)) {
    }
    some_ops(2, 0);
    CU_ASSERT(!replica_is_whole(node(3)->r));
    for (uint32_t i = 0; i < 3; i++)
        deliver(3);
    some_ops(2, 1);
    run();
    expect_one_state(IDS(1, 2, 3));
    world_end();
}

/* Node 1 crashes when so many pieces have been delivered, and so many more have
 * been sent. */
static void donor_crashes(uint32_t pieces, uint32_t more, bool ops, bool plan)
{
    exchange_begin();
    uint32_t number = 0;
    for (uint32_t i = 0; i < pieces; i++) {
        if (ops)
            some_ops(2, number++);
        CU_ASSERT(says(1, REPLICA_PIECE));
        if (ops)
            some_ops(1, number++);
        deliver_all();
    }
    if (ops)
        some_ops(2, number++);
    uint32_t upto = node(2)->ring->count;
    for (uint32_t i = 0; i < more; i++)
        says(1, REPLICA_PIECE);
    node_crash(1);
    configure(IDS(2, 3), upto); /* what it sent last is lost */
    if (!plan)
        CONFIGURE(2, 3);
    infos();
    deliver_all();
    CU_ASSERT(replica_ready(node(2)->r));
    if (ops)
        some_ops(2, number++);
    run();
    expect_one_state(IDS(2, 3));
    CU_ASSERT_EQUAL(stats(3)->resumed,
                    !replica_is_whole(node(3)->r) || stats(2)->pieces_sent > 0);
    CU_ASSERT_EQUAL(stats(3)->resets, 0);
    CU_ASSERT_EQUAL(stats(3)->exchanges, 1);
    if (!ops)
        CU_ASSERT_EQUAL(stats(2)->pieces_sent, 10 - pieces);
    world_end();
}

static void test_donor_crashes(void)
{
    for (uint32_t pieces = 0; pieces <= 10; pieces++)
        for (uint32_t more = 0; more <= 2 && pieces + more <= 10; more++) {
            donor_crashes(pieces, more, false, true);
            donor_crashes(pieces, more, false, false);
            if (pieces + more < 9) { /* there are always some left */
                donor_crashes(pieces, more, true, true);
                donor_crashes(pieces, more, true, false);
            }
        }
}

/* The node that gets the state crashes; nobody keeps anything for it, and when
 * it is back it begins anew. */
static void test_joiner_crashes(void)
{
    exchange_begin();
    CU_ASSERT(says(1, REPLICA_PIECE));
    some_ops(2, 5);
    CU_ASSERT(says(1, REPLICA_PIECE));
    deliver_all();
    node_crash(3);
    CONFIGURE(1, 2);
    run();
    expect_one_state(IDS(1, 2));
    CU_ASSERT_EQUAL(replica_message_kind(node(1)->r), REPLICA_NOTHING);
    some_ops(2, 6);
    node_start(3);
    CONFIGURE(1, 2, 3);
    run();
    expect_one_state(IDS(1, 2, 3));
    CU_ASSERT_EQUAL(stats(3)->resumed, 0);
    CU_ASSERT_EQUAL(stats(3)->exchanges, 1);
    world_end();
}

/* 3 has some of it when 4 comes, which begins at the beginning. */
static void test_two_joiners(void)
{
    exchange_begin();
    for (uint32_t i = 0; i < 4; i++) {
        CU_ASSERT(says(1, REPLICA_PIECE));
        some_ops(2, i);
    }
    deliver_all();
    uint64_t read = stats(3)->pieces_read;
    CU_ASSERT_EQUAL(read, 4);
    CONFIGURE(1, 2, 3, 4);
    infos();
    deliver_all();
    for (uint32_t i = 4; replica_message_kind(node(1)->r) == REPLICA_PIECE;
         i++) {
        if (i < 30)
            some_ops(2, i);
        CU_ASSERT(says(1, REPLICA_PIECE));
        if (i == 5) { /* and again, with two that have come thus far */
            deliver_all();
            CONFIGURE(1, 2, 3, 4);
            infos();
        }
        deliver_all();
    }
    run();
    expect_one_state(IDS(1, 2, 3, 4));
    CU_ASSERT_EQUAL(stats(3)->resumed, 2);
    CU_ASSERT_EQUAL(stats(4)->resumed, 1);
    CU_ASSERT(stats(4)->pieces_read > 4);
    world_end();
}

/* It keeps what it has also when pieces begin again for another, which then
 * does not want them after all. */
static void test_joiner_in_vain(void)
{
    exchange_begin();
    for (uint32_t i = 0; i < 8; i++)
        CU_ASSERT(says(1, REPLICA_PIECE));
    deliver_all();
    CONFIGURE(1, 2, 3, 4);
    infos();
    deliver_all();
    CU_ASSERT(says(1, REPLICA_PIECE));
    deliver_all();
    node_crash(4);
    CONFIGURE(1, 2, 3);
    run();
    expect_one_state(IDS(1, 2, 3));
    CU_ASSERT_EQUAL(stats(1)->pieces_sent, 8 + 1 + 2);
    world_end();
}

/* A node that was getting the state comes back after it was elsewhere. */
static void test_part_elsewhere(void)
{
    exchange_begin();
    for (uint32_t i = 0; i < 4; i++)
        CU_ASSERT(says(1, REPLICA_PIECE));
    deliver_all();
    CONFIGURE(1, 2);
    some_ops(2, (run(), 3));
    deliver_all();
    CONFIGURE(3); /* without a plan: it still has its part, of no use */
    CONFIGURE(1, 2, 3);
    run();
    expect_one_state(IDS(1, 2, 3));
    CU_ASSERT_EQUAL(stats(3)->resumed, 0);
    CU_ASSERT_EQUAL(stats(3)->resets, 1);
    CU_ASSERT(stats(3)->pieces_read > 10);
    world_end();
}

static void test_nobody_is_whole(void)
{
    exchange_begin();
    says(1, REPLICA_PIECE);
    deliver_all();
    uint64_t birth = birth_of(3);
    node_crash(1);
    node_crash(2);
    CONFIGURE(3, 4);
    run();
    expect_one_state(IDS(3, 4));
    CU_ASSERT_NOT_EQUAL(birth_of(3), birth);
    CU_ASSERT_EQUAL(node(3)->toy.item_count, 0);
    CU_ASSERT_EQUAL(replica_place_get(node(3)->r).index, 0);
    CU_ASSERT_EQUAL(stats(3)->resets, 1);
    world_end();
}

/* A state without anything in it. */
static void test_empty(void)
{
    world_begin(2);
    CONFIGURE(1);
    run();
    op(1, TOY_APPEND, 0, 0);
    op(1, TOY_REMOVE, 0, 0);
    deliver_all();
    CONFIGURE(1, 2);
    run();
    expect_one_state(IDS(1, 2));
    CU_ASSERT_EQUAL(stats(2)->pieces_read, 1);
    world_end();
}

/* More results than a piece carries, twice, before the first piece, and so many
 * that what they stand in wraps. */
static void test_many_results(void)
{
    exchange_begin();
    world.differ = 0;
    for (uint32_t i = 0; i < 300000; i++) {
        if (i % 5 == 0)
            op(1, TOY_CHANGE, i % 30, i);
        else
            op(1, i % 3 == 0 ? TOY_REMOVE : TOY_OPEN, 5000, 0);
        if (i == 1000)
            CU_ASSERT(says(1, REPLICA_PIECE));
        if (i % 10 == 0) /* the checker remembers so many places only */
            for (uint32_t id = 1; id <= 3; id++)
                for (; node(id)->delivered < node(id)->ring->count;
                     node(id)->delivered++) {
                    const struct message *m =
                        &node(id)->ring->messages[node(id)->delivered];
                    CU_ASSERT(replica_message(node(id)->r, m->sender,
                                              (struct bytes){m->p, m->n}));
                }
    }
    deliver_all();
    uint64_t sent = stats(1)->pieces_sent, bytes = stats(1)->piece_bytes_sent;
    CU_ASSERT_EQUAL(sent, 1);
    CU_ASSERT(says(1, REPLICA_PIECE));
    CU_ASSERT(says(1, REPLICA_PIECE));
    CU_ASSERT_EQUAL(stats(1)->piece_bytes_sent, bytes); /* results only */
    deliver_all();
    CU_ASSERT(stats(3)->kept_bytes < stats(3)->kept_bytes_most / 4);
    CU_ASSERT(says(1, REPLICA_PIECE));
    CU_ASSERT(stats(1)->piece_bytes_sent > bytes);
    run();
    expect_one_state(IDS(1, 2, 3));
    world_end();
}

/* A message that was begun in an earlier configuration, and sent in the next
 * one: all leave it out. */
static void test_late_operation(void)
{
    uint8_t head[REPLICA_OP_HEAD_SIZE + TOY_OP_SIZE];
    world_begin(2);
    CONFIGURE(1, 2);
    run();
    replica_op_head(node(1)->r, head);
    toy_op(head + REPLICA_OP_HEAD_SIZE, TOY_APPEND, 0, 0);
    CONFIGURE(1, 2);
    multicast(1, head, sizeof head); /* before the plan */
    run();
    multicast(1, head, sizeof head); /* and after it */
    run();
    CU_ASSERT_EQUAL(node(2)->toy.applied + node(2)->toy.failed, 0);
    expect_one_state(IDS(1, 2));
    world_end();
}

/* --- at random ------------------------------------------------------------ */

static void random_op(void)
{
    uint32_t id = 1 + pick(NODES);
    if (node(id)->r == NULL || !replica_ready(node(id)->r))
        return;
    for (uint32_t count = 1 + pick(4); count > 0; count--)
        op(id, (enum toy_kind)pick(pick(2) == 0 ? TOY_KINDS : 1), pick(60),
           pick(1000));
}

/* Everybody who is up goes to one of up to three rings, or stays. */
static void random_configure(void)
{
    uint32_t rings = 1 + pick(3), go = pick(4) == 0 ? pick(256) : 255;
    uint32_t part[NODES + 1];
    for (uint32_t id = 1; id <= NODES; id++)
        part[id] = pick(rings + 1) % rings;
    for (uint32_t k = 0; k < rings; k++) {
        uint32_t ids[NODES + 1] = {0}, count = 0;
        for (uint32_t id = 1; id <= NODES; id++)
            if (node(id)->r != NULL && part[id] == k && (go >> (id - 1) & 1))
                ids[count++] = id;
        if (count > 0)
            configure(ids, pick(3) == 0 ? ALL : pick(60));
    }
}

static void random_step(void)
{
    uint32_t id = 1 + pick(NODES), what = pick(100);
    struct node *n = node(id);
    if (what < 15) {
        random_op();
    } else if (what < 60) {
        for (uint32_t count = 1 + pick(8); count > 0; count--)
            deliver(id);
    } else if (what < 90) {
        if (n->r != NULL && n->ring != NULL && !says(id, REPLICA_INFO) &&
            pick(3) == 0)
            says(id, REPLICA_PIECE);
    } else if (what < 93) {
        deliver_all();
    } else if (what < 95 && n->r == NULL) {
        node_start(id);
    } else if (what < 96 && n->r != NULL) {
        node_crash(id);
    } else if (what < 99) {
        random_configure();
    } else {
        infos();
        deliver_all();
    }
}

static void test_random(void)
{
    struct replica_stats all = {0};
    for (uint64_t seed = 1; seed <= 600; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15u;
        uint32_t count = 2 + pick(NODES - 1), item_max = 1 + pick(300);
        world_begin_with(count, item_max, 1 + pick(8));
        for (uint32_t i = 0; i < 800; i++)
            random_step();
        uint32_t up[NODES + 1] = {0};
        count = 0;
        for (uint32_t id = 1; id <= NODES; id++)
            if (node(id)->r != NULL)
                up[count++] = id;
        if (count > 0) {
            configure(up, ALL);
            run();
            expect_one_state(up);
        }
        for (uint32_t i = 0; i < count; i++) {
            all.exchanges += stats(up[i])->exchanges;
            all.resumed += stats(up[i])->resumed;
            all.resets += stats(up[i])->resets;
        }
        uint32_t failures = CU_get_number_of_failures();
        world_end();
        if (CU_get_number_of_failures() > failures)
            printf("seed %u fails\n", (unsigned)seed);
    }
    printf("%u exchanges, %u resumed, %u states given up ",
           (unsigned)all.exchanges, (unsigned)all.resumed,
           (unsigned)all.resets);
    CU_ASSERT(all.exchanges > 1000 && all.resumed > 300 && all.resets > 1000);
}

static const struct unit_test tests[] = {
    {"alone", test_alone},
    {"together", test_together},
    {"fresh joins", test_fresh_joins},
    {"operations count", test_operations_count},
    {"histories", test_histories},
    {"equal histories", test_equal_histories},
    {"parts", test_parts},
    {"only whole ones count", test_only_whole_ones_count},
    {"no plans", test_no_plans},
    {"elsewhere", test_elsewhere},
    {"half a plan", test_half_a_plan},
    {"operations in flight", test_operations_in_flight},
    {"behind the last", test_behind_the_last},
    {"donor crashes", test_donor_crashes},
    {"joiner crashes", test_joiner_crashes},
    {"two joiners", test_two_joiners},
    {"joiner in vain", test_joiner_in_vain},
    {"part elsewhere", test_part_elsewhere},
    {"nobody is whole", test_nobody_is_whole},
    {"empty state", test_empty},
    {"many results", test_many_results},
    {"late operation", test_late_operation},
    {"random", test_random},
};

UNIT_MAIN("replica", tests)
