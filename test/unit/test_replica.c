/* SPDX-License-Identifier: BSD-3-Clause */
#include "test/unit/replica_world.h"

static struct node *node(uint32_t id)
{
    return &world.nodes[id];
}

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

/* Every kind of operation, here and there. */
static void some_ops(uint32_t id, uint32_t number)
{
    op(id, TOY_APPEND, 0, number);
    op(id, TOY_APPEND_IF_EVEN, 0, 2 * number + 1);
    op(id, TOY_CHANGE, number, 77);
    op(id, TOY_CHANGE, 1000 + number, 1); /* fails */
    op(id, TOY_REMOVE, number + 1, 0);
    op(id, TOY_REMOVE, number + 1, 0); /* fails */
    op(id, TOY_OPEN, 0, 0);
    op(id, TOY_APPEND_IF_EVEN, 0, 2 * number);
    if (number % 2 == 0)
        op(id, TOY_CHANGE_ALL, 0, number);
    if (number % 3 == 0)
        op(id, TOY_REMOVE_FIRST, 0, 0);
}

/* A world in which 1 and 2 hold 30 items, and 3 is about to get them. */
static void exchange_begin(void)
{
    world_begin(4);
    CONFIGURE(1, 2);
    run();
    appends(1, 30);
    op(2, TOY_OPEN, 0, 0);
    deliver_all();
    CONFIGURE(1, 2, 3);
    infos();
    deliver_all();
}

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

/* --- bytes ---------------------------------------------------------------- */

/* INFO as doc/wire.md has it, written without the service. */
struct info {
    uint8_t version, type, holds;
    uint64_t seq, nonce;
    uint32_t rep;
    uint64_t incarnation, birth, path, index, operations, settled, cursor[3];
    uint8_t hello_size;
    uint8_t hello[255];
};

static struct bytes info_bytes(const struct info *i)
{
    static uint8_t out[512];
    struct writer w = writer_of(out, sizeof out);
    write_u8(&w, i->version);
    write_u8(&w, i->type);
    write_u64(&w, i->seq);
    write_u64(&w, i->nonce);
    write_u32(&w, i->rep);
    write_u64(&w, i->incarnation);
    write_u8(&w, i->holds);
    write_u64(&w, i->birth);
    write_u64(&w, i->path);
    write_u64(&w, i->index);
    write_u64(&w, i->operations);
    write_u64(&w, i->settled);
    for (int k = 0; k < 3; k++)
        write_u64(&w, i->cursor[k]);
    write_u8(&w, i->hello_size);
    write_bytes(&w, (struct bytes){i->hello, i->hello_size});
    CU_ASSERT_FATAL(!w.failed);
    return (struct bytes){out, w.written};
}

static struct info info_of(uint32_t id)
{
    const struct totem_configuration *c = &node(id)->ring->conf;
    return (struct info){.version = 1,
                         .type = 1,
                         .seq = c->ring_id.seq,
                         .nonce = c->ring_id.nonce,
                         .rep = c->ring_id.rep,
                         .incarnation = node(id)->incarnation};
}

struct piece {
    uint8_t version, type, flags;
    uint64_t seq, nonce, first;
    uint32_t rep, count;
    uint64_t cursor[3];
    uint8_t results[70000];
    struct bytes data;
};

static struct bytes piece_bytes(const struct piece *p)
{
    static uint8_t out[200000];
    struct writer w = writer_of(out, sizeof out);
    write_u8(&w, p->version);
    write_u8(&w, p->type);
    write_u64(&w, p->seq);
    write_u64(&w, p->nonce);
    write_u32(&w, p->rep);
    write_u64(&w, p->first);
    write_u32(&w, p->count);
    write_bytes(&w, (struct bytes){p->results, (p->count + 7) / 8});
    for (int k = 0; k < 3; k++)
        write_u64(&w, p->cursor[k]);
    write_u8(&w, p->flags);
    write_bytes(&w, p->data);
    CU_ASSERT_FATAL(!w.failed);
    return (struct bytes){out, w.written};
}

static struct piece piece_of(uint32_t id, uint64_t first)
{
    const struct totem_configuration *c = &node(id)->ring->conf;
    return (struct piece){.version = 1,
                          .type = 3,
                          .seq = c->ring_id.seq,
                          .nonce = c->ring_id.nonce,
                          .rep = c->ring_id.rep,
                          .first = first};
}

static void expect_last_is(uint32_t id, struct bytes expected)
{
    const struct ring *ring = node(id)->ring;
    const struct message *m = &ring->messages[ring->count - 1];
    CU_ASSERT_EQUAL_FATAL(m->n, expected.n);
    CU_ASSERT_EQUAL(memcmp(m->p, expected.p, m->n), 0);
}

/* The function of the wire's format, once more. */
static uint64_t path_mix(uint64_t v, const struct totem_ring_id *id)
{
    const uint64_t words[] = {id->seq, id->nonce, id->rep};
    for (int i = 0; i < 3; i++) {
        uint64_t z = (v ^ words[i]) + 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        v = z ^ (z >> 31);
    }
    return v;
}

static void test_layout(void)
{
    exchange_begin();
    CONFIGURE(1, 2, 3);
    says(1, REPLICA_INFO);
    const struct ring *r3 = node(1)->ring, *r2 = r3->before, *r1 = r2->before;
    struct info j = info_of(1);
    j.holds = 2;
    j.birth = path_mix(0, &r1->conf.ring_id);
    j.path = path_mix(j.birth, &r2->conf.ring_id);
    j.index = 32; /* 31 operations, and the members */
    j.settled = 32;
    j.operations = 31;
    j.hello_size = 1;
    memcpy(j.hello, ((uint8_t[]){1, 1}), 2);
    expect_last_is(1, info_bytes(&j));
    run();
    expect_one_state(IDS(1, 2, 3));

    CONFIGURE(1, 2, 3, 4);
    says(4, REPLICA_INFO);
    struct info i = info_of(4);
    i.hello_size = 4;
    memcpy(i.hello, ((uint8_t[]){4, 4, 7, 7}), 4);
    expect_last_is(4, info_bytes(&i));
    infos();
    deliver_all();
    op(1, TOY_REMOVE, 777, 0); /* fails */
    op(1, TOY_OPEN, 0, 0);
    deliver_all();
    node(1)->toy.items_in_piece = 1000;
    CU_ASSERT(says(1, REPLICA_PIECE));
    uint64_t index = replica_place_get(node(1)->r).index;
    struct piece p = piece_of(1, index - 2);
    p.count = 2;
    p.results[0] = 2;
    p.cursor[0] = 1;
    p.cursor[1] = 30;
    p.flags = 1;
    uint8_t data[4000];
    struct writer w = writer_of(data, sizeof data);
    struct replica_cursor from = {{0, 0, 0}};
    CU_ASSERT(toy_piece_write(&node(1)->toy, &from, &w));
    p.data = (struct bytes){data, w.written};
    expect_last_is(1, piece_bytes(&p));
    deliver_all();
    expect_one_state(IDS(1, 2, 3, 4));

    uint8_t head[REPLICA_OP_HEAD_SIZE], expected[10] = {1, 2};
    struct writer h = writer_of(expected + 2, 8);
    write_u64(&h, node(1)->ring->conf.ring_id.seq);
    replica_op_head(node(1)->r, head);
    CU_ASSERT_EQUAL(memcmp(head, expected, sizeof head), 0);
    world_end();
}

/* What a part says of itself. */
static void test_layout_of_a_part(void)
{
    exchange_begin();
    CU_ASSERT(says(1, REPLICA_PIECE));
    deliver_all();
    some_ops(2, 1); /* kept */
    deliver_all();
    CONFIGURE(1, 2, 3);
    says(3, REPLICA_INFO);
    struct info i = info_of(3);
    struct replica_place at = replica_place_get(node(1)->r);
    i.holds = 1;
    i.birth = at.birth;
    i.path = at.path;
    i.index = at.index;
    i.operations = 31;
    i.settled = 32;
    i.cursor[0] = 1;
    i.cursor[1] = 3;
    i.hello_size = 3;
    memcpy(i.hello, ((uint8_t[]){3, 3, 7}), 3);
    expect_last_is(3, info_bytes(&i));
    run();
    expect_one_state(IDS(1, 2, 3));
    world_end();
}

/* --- strangers ------------------------------------------------------------ */

static bool hears(uint32_t id, uint32_t sender, struct bytes data)
{
    bool good = replica_message(node(id)->r, sender, data);
    place_check(node(id));
    return good;
}

static bool hears_info(uint32_t id, const struct info *i)
{
    return hears(id, 3, info_bytes(i));
}

#define REFUSED(base, change)                                                  \
    do {                                                                       \
        struct info i = base;                                                  \
        change;                                                                \
        CU_ASSERT(!hears_info(2, &i));                                         \
    } while (0)

static void test_hostile_infos(void)
{
    world_begin(3);
    CONFIGURE(2);
    run();
    appends(2, 3);
    deliver_all();
    CONFIGURE(2, 3);
    CU_ASSERT(says(2, REPLICA_INFO) && deliver(2));
    struct info good = info_of(3), part, whole;
    good.hello_size = 64;
    part = good;
    part.holds = 1;
    part.birth = 5;
    part.index = 10;
    part.operations = part.settled = 9;
    part.cursor[2] = 8;
    whole = good;
    whole.holds = 2;
    whole.birth = 5;
    whole.index = whole.operations = 10;

    struct bytes b = info_bytes(&good);
    for (size_t n = 0; n < b.n; n++)
        CU_ASSERT(!hears(2, 3, (struct bytes){b.p, n}));
    CU_ASSERT(!hears(2, 3, (struct bytes){b.p, b.n + 1}));
    CU_ASSERT(!hears(2, 1, b)); /* no member */
    CU_ASSERT(!hears(2, 4000, b));
    CU_ASSERT(!hears(2, 2, b)); /* another's incarnation */
    REFUSED(good, i.version = 0);
    REFUSED(good, i.version = 2);
    REFUSED(good, i.type = 0);
    REFUSED(good, i.type = 4);
    REFUSED(good, i.incarnation++);
    REFUSED(good, i.holds = 3);
    REFUSED(good, i.holds = 255);
    REFUSED(good, i.hello_size = 65);
    REFUSED(good, i.hello_size = 255);
    REFUSED(good, i.birth = 1);
    REFUSED(good, i.path = 1);
    REFUSED(good, i.index = 1);
    REFUSED(good, i.operations = 1);
    REFUSED(good, i.settled = 1);
    REFUSED(good, i.cursor[1] = 1);
    REFUSED(part, i.birth = 0);
    REFUSED(part, i.operations = 11);
    REFUSED(part, i.settled = 11);
    REFUSED(whole, i.birth = 0);
    REFUSED(whole, i.operations = 11);
    REFUSED(whole, i.settled = 11);
    REFUSED(whole, i.cursor[0] = 1);
    struct info late = whole;
    late.seq--;
    CU_ASSERT(hears_info(2, &late)); /* another configuration's */
    CU_ASSERT(!replica_ready(node(2)->r));
    CU_ASSERT(hears_info(2, &good));
    CU_ASSERT(replica_ready(node(2)->r));
    CU_ASSERT(hears_info(2, &whole)); /* the first counts */
    CU_ASSERT_EQUAL(stats(2)->plans, 2);
    CU_ASSERT_EQUAL(replica_message_kind(node(2)->r), REPLICA_PIECE);
    world_end();
}

/* Members that claim what they do not have: of the honest ones, who are of one
 * mind, none comes to harm. */
static void lies(struct info i, bool joiner)
{
    world_begin(4);
    CONFIGURE(2);
    run();
    appends(2, 5);
    deliver_all();
    uint32_t ids[] = {2, 3, 0};
    if (joiner)
        memcpy(ids, IDS(2, 3, 4), sizeof ids);
    uint32_t all[] = {2, 3, 4, 0};
    configure(joiner ? all : ids, ALL);
    struct replica_place at = replica_place_get(node(2)->r);
    struct info lie = info_of(3);
    lie.holds = i.holds;
    lie.birth = i.birth == 0 ? at.birth : i.birth;
    lie.path = i.path == 0 ? at.path : i.path;
    lie.index = i.index;
    lie.operations = i.operations;
    lie.settled = i.settled;
    memcpy(lie.cursor, i.cursor, sizeof lie.cursor);
    says(2, REPLICA_INFO);
    if (joiner)
        says(4, REPLICA_INFO);
    struct bytes b = info_bytes(&lie);
    multicast(3, b.p, b.n);
    for (int k = 0; k < 30; k++) {
        if (k < 5 && replica_ready(node(2)->r))
            some_ops(2, (uint32_t)k);
        says(2, REPLICA_PIECE);
        while (deliver(2)) {
        }
        while (joiner && deliver(4)) {
        }
    }
    if (joiner && replica_is_whole(node(2)->r))
        expect_one_state(IDS(2, 4));
    node(3)->refused = 0;
    node_crash(3);
    configure(joiner ? IDS(2, 4) : IDS(2), ALL);
    run();
    if (joiner)
        expect_one_state(IDS(2, 4));
    world_end();
}

static void test_lies(void)
{
    const struct info some[] = {
        {.holds = 1, .index = 5, .settled = 5},
        {.holds = 1, .index = 5, .settled = 0},
        {.holds = 1, .index = 9, .settled = 9, .cursor = {1, 1000, 0}},
        {.holds = 1, .cursor = {UINT64_MAX, UINT64_MAX, UINT64_MAX}},
        {.holds = 1, .index = 1ull << 62, .settled = 1ull << 62},
        {.holds = 2, .index = 1},
        {.holds = 2, .index = 1ull << 62, .operations = 1ull << 62},
        {.holds = 2, .birth = 9, .index = UINT64_MAX, .operations = 9},
        {.holds = 1, .birth = 9, .index = UINT64_MAX, .settled = 9},
        {.holds = 2, .birth = 9, .index = 1ull << 62, .operations = 1ull << 62},
        {.holds = 2, .birth = 9, .index = 3, .operations = 3},
        {.holds = 1, .birth = 9, .index = 3, .operations = 3},
    };
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        lies(some[i], false);
        lies(some[i], true);
    }
}

static void test_hostile_pieces(void)
{
    exchange_begin();
    some_ops(2, 0);
    deliver_all();
    uint64_t index = replica_place_get(node(2)->r).index, plan = 32;
    struct toy before = node(3)->toy;
    for (int kind = 0; kind < 16; kind++) {
        static struct piece p;
        p = piece_of(1, plan);
        p.count = (uint32_t)(index - plan);
        uint32_t sender = 1;
        switch (kind) {
        case 0:
            sender = 2; /* whole, but not the donor */
            break;
        case 1:
            sender = 3;
            break;
        case 2:
            sender = 4; /* no member */
            break;
        case 3:
            p.version = 2;
            break;
        case 4:
            p.first++;
            break;
        case 5:
            p.first--;
            break;
        case 6:
            p.first = UINT64_MAX;
            break;
        case 7:
            p.count++; /* more than there were */
            break;
        case 8: /* below */
            break;
        case 9:
            p.count = 131073;
            break;
        case 10:
            p.results[1] = 0xff; /* set, and of nothing */
            break;
        case 11:
            p.flags = 2;
            break;
        case 12:
            p.flags = 255;
            break;
        case 13:
            p.data = (struct bytes){(const uint8_t *)&before, 32769};
            break;
        case 14: /* the last, from before the plan */
            p.flags = 1;
            p.first = 0;
            break;
        case 15:
            p.count = 131080;
            break;
        }
        struct bytes b = piece_bytes(&p);
        if (kind == 8)
            memset((uint8_t *)b.p + 30, 0xff, 4);
        if (kind == 10)
            CU_ASSERT(p.count % 8 != 0 && p.count / 8 == 1);
        for (uint32_t id = 2; id <= 3; id++)
            CU_ASSERT(!hears(id, sender, b));
        for (size_t n = 0; n < 59 + (p.count + 7) / 8 && kind == 0; n++)
            CU_ASSERT(!hears(3, 1, (struct bytes){b.p, n}));
    }
    CU_ASSERT_EQUAL(memcmp(&before, &node(3)->toy, sizeof before), 0);
    static struct piece late;
    late = piece_of(1, plan);
    late.nonce++; /* another configuration's */
    late.flags = 1;
    CU_ASSERT(hears(3, 1, piece_bytes(&late)));
    CU_ASSERT(!replica_is_whole(node(3)->r));
    run();
    expect_one_state(IDS(1, 2, 3));
    CU_ASSERT(!hears(3, 1, piece_bytes(&(struct piece){0})));
    late = piece_of(1, index); /* nobody wants one any more */
    late.flags = 1;
    CU_ASSERT(!hears(3, 1, piece_bytes(&late)));
    CU_ASSERT(!hears(2, 1, piece_bytes(&late)));
    world_end();
}

static void test_hostile_operations(void)
{
    uint8_t data[REPLICA_OP_HEAD_SIZE + TOY_OP_SIZE];
    world_begin(4);
    CU_ASSERT(replica_message(node(1)->r, 1, (struct bytes){data, 0}) == false);
    CONFIGURE(1, 2);
    run();
    replica_op_head(node(1)->r, data);
    toy_op(data + REPLICA_OP_HEAD_SIZE, TOY_APPEND, 0, 0);
    struct bytes b = {data, sizeof data};
    for (size_t n = 0; n < REPLICA_OP_HEAD_SIZE; n++)
        CU_ASSERT(!hears(1, 2, (struct bytes){data, n}));
    CU_ASSERT_EQUAL(replica_place_get(node(1)->r).index, 0);
    CU_ASSERT(!hears(1, 3, b)); /* no member */
    CU_ASSERT(hears(1, 2, (struct bytes){data, REPLICA_OP_HEAD_SIZE + 3}));
    CU_ASSERT_EQUAL(node(1)->toy.failed, 1);
    CU_ASSERT(hears(2, 2, (struct bytes){data, REPLICA_OP_HEAD_SIZE + 3}));
    CONFIGURE(1, 2, 3);
    struct writer w = writer_of(data + 2, 8);
    write_u64(&w, node(1)->ring->conf.ring_id.seq);
    CU_ASSERT(!hears(1, 2, b)); /* before the plan */
    infos();
    deliver_all();
    CU_ASSERT(!hears(1, 3, b)); /* of one that is not whole */
    CU_ASSERT(!hears(2, 3, b));
    CU_ASSERT(!hears(3, 3, b));
    CU_ASSERT_EQUAL(node(1)->toy.applied, 0);
    run();
    expect_one_state(IDS(1, 2, 3));
    CU_ASSERT(hears(1, 3, b));
    CU_ASSERT(hears(2, 3, b));
    CU_ASSERT(hears(3, 3, b));
    expect_one_state(IDS(1, 2, 3));
    world_end();
}

/* A donor whose piece the service cannot read. The others do not know. */
static void test_unreadable_piece(void)
{
    exchange_begin();
    CU_ASSERT(says(1, REPLICA_PIECE));
    deliver_all();
    node(3)->toy.pad = 1; /* another version, as it were */
    some_ops(2, 0);
    while (says(1, REPLICA_PIECE))
        some_ops(2, 1);
    deliver_all();
    CU_ASSERT_EQUAL(node(3)->refused, 1);
    CU_ASSERT(!replica_ready(node(3)->r) && !replica_is_whole(node(3)->r));
    CU_ASSERT_EQUAL(node(3)->toy.item_count, 0);
    CU_ASSERT_EQUAL(stats(3)->kept_bytes, 0);
    CU_ASSERT_EQUAL(replica_message_kind(node(3)->r), REPLICA_NOTHING);
    expect_one_state(IDS(1, 2));
    node(3)->refused = 0;
    node(3)->toy.pad = world.pad;
    CONFIGURE(1, 2, 3);
    run();
    expect_one_state(IDS(1, 2, 3));
    CU_ASSERT_EQUAL(stats(3)->resumed, 0);
    world_end();
}

/* Bytes at random, and good messages with some of them changed. */
static void test_garbage(void)
{
    static uint8_t data[REPLICA_MESSAGE_SIZE_MAX];
    exchange_begin();
    for (uint32_t i = 0; i < 100000; i++) {
        size_t n = pick(150);
        for (size_t k = 0; k < n; k++)
            data[k] = (uint8_t)pick(256);
        data[0] = 1;
        data[1] = (uint8_t)(1 + pick(3));
        const struct ring *ring = node(1)->ring;
        if (i % 2 == 0) {
            const struct message *m = &ring->messages[pick(ring->count)];
            n = m->n < sizeof data ? m->n : sizeof data;
            memcpy(data, m->p, n);
            for (uint32_t k = pick(3); k > 0; k--)
                data[2 + pick((uint32_t)n - 2)] ^= (uint8_t)(1u << pick(8));
        }
        /* Node 4 has its own, and may come to think anything. */
        if (node(4)->ring != ring) {
            node(4)->ring = node(1)->ring;
            node(4)->delivered = 0;
            struct totem_configuration conf = ring->conf;
            conf.members[conf.member_count] = 4;
            conf.incarnations[conf.member_count++] = node(4)->incarnation;
            replica_configuration(node(4)->r, &conf);
        }
        replica_message(node(4)->r, 1 + pick(4), (struct bytes){data, n});
    }
    node_crash(4);
    run();
    expect_one_state(IDS(1, 2, 3));
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
    {"no plans", test_no_plans},
    {"elsewhere", test_elsewhere},
    {"half a plan", test_half_a_plan},
    {"operations in flight", test_operations_in_flight},
    {"behind the last", test_behind_the_last},
    {"donor crashes", test_donor_crashes},
    {"joiner crashes", test_joiner_crashes},
    {"two joiners", test_two_joiners},
    {"part elsewhere", test_part_elsewhere},
    {"nobody is whole", test_nobody_is_whole},
    {"empty state", test_empty},
    {"many results", test_many_results},
    {"late operation", test_late_operation},
    {"layout", test_layout},
    {"layout of a part", test_layout_of_a_part},
    {"hostile infos", test_hostile_infos},
    {"lies", test_lies},
    {"hostile pieces", test_hostile_pieces},
    {"hostile operations", test_hostile_operations},
    {"unreadable piece", test_unreadable_piece},
    {"garbage", test_garbage},
    {"random", test_random},
};

UNIT_MAIN("replica", tests)
