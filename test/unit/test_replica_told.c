/* SPDX-License-Identifier: BSD-3-Clause */
/* What replicas tell: their service of the members, each other of how far they
 * are, the statistics of what they keep; and that they keep no more. */
#include "daemon/service/replica_backlog.h"
#include "daemon/service/replica_wire.h"
#include "test/unit/replica_bytes.h"

/* --- the members ---------------------------------------------------------- */

/* The service was told last that those go on, and of those hellos: node n says
 * n % 5 bytes, the first of them n. */
static void told(uint32_t id, const uint32_t *going_on, const uint32_t *members)
{
    const struct toy *t = &node(id)->toy;
    uint32_t count = 0;
    for (; going_on[count] != 0; count++)
        CU_ASSERT_EQUAL(t->going_on[count], going_on[count]);
    CU_ASSERT_EQUAL(t->going_on_count, count);
    for (count = 0; members[count] != 0; count++) {
        CU_ASSERT_EQUAL(t->hello_sizes[count], members[count] % 5);
        CU_ASSERT_EQUAL(t->hello_firsts[count],
                        members[count] % 5 == 0 ? 0 : members[count]);
    }
    CU_ASSERT_EQUAL(t->hello_count, count);
}

static void test_members(void)
{
    world_begin(6);
    CONFIGURE(1, 2);
    run();
    told(1, IDS(1, 2), IDS(1, 2)); /* a history begins */
    told(2, IDS(1, 2), IDS(1, 2));
    appends(1, 30);
    deliver_all();
    CONFIGURE(1, 2, 3, 5);
    infos();
    deliver_all();
    told(1, IDS(1, 2), IDS(1, 2, 3, 5));
    told(3, IDS(1, 2), IDS(1, 2, 3, 5));
    told(5, IDS(1, 2), IDS(1, 2, 3, 5));
    CU_ASSERT(says(1, REPLICA_PIECE));
    deliver_all();
    CONFIGURE(1, 3, 4, 5);
    infos();
    deliver_all();
    told(1, IDS(1, 3, 5), IDS(1, 3, 4, 5));
    told(3, IDS(1, 2), IDS(1, 2, 3, 5)); /* kept for later */
    told(4, IDS(1, 3, 5), IDS(1, 3, 4, 5));
    run();
    told(3, IDS(1, 3, 5), IDS(1, 3, 4, 5));
    told(5, IDS(1, 3, 5), IDS(1, 3, 4, 5));
    CONFIGURE(1, 3);
    run();
    told(1, IDS(1, 3), IDS(1, 3));
    told(3, IDS(1, 3), IDS(1, 3));
    CONFIGURE(2, 6); /* 2 is whole, and has been elsewhere */
    run();
    told(2, IDS(2), IDS(2, 6));
    told(6, IDS(2), IDS(2, 6));
    world_end();
}

/* A fresh one in a ring that was larger before. */
static void test_members_of_less(void)
{
    world_begin(4);
    CONFIGURE(1, 2, 3, 4);
    CU_ASSERT(says(1, REPLICA_INFO) && deliver(1));
    CONFIGURE(1, 2);
    run();
    told(1, IDS(1, 2), IDS(1, 2));
    told(2, IDS(1, 2), IDS(1, 2));
    world_end();
}

/* --- how far they are ----------------------------------------------------- */

static struct replica_info info_said(uint32_t id)
{
    struct replica_message m = {0};
    CU_ASSERT_FATAL(says(id, REPLICA_INFO));
    const struct ring *ring = node(id)->ring;
    const struct message *last = &ring->messages[ring->count - 1];
    CU_ASSERT(replica_wire_read((struct bytes){last->p, last->n}, &m));
    CU_ASSERT_EQUAL(m.type, TYPE_INFO);
    return m.info;
}

/* Outside of an exchange everything is settled. */
static void test_settled(void)
{
    world_begin(3);
    CONFIGURE(1, 2);
    run();
    for (uint32_t i = 0; i < 3; i++) {
        appends(1, 7);
        deliver_all();
        if (i < 2)
            CONFIGURE(1, 2); /* all are whole */
        else
            CONFIGURE(1, 2, 3);
        struct replica_info info = info_said(1);
        CU_ASSERT_EQUAL(info.index, 7 + i * 8);
        CU_ASSERT_EQUAL(info.settled, info.index);
        run();
    }
    appends(2, 4); /* the exchange is over */
    deliver_all();
    CONFIGURE(1, 2, 3);
    for (uint32_t id = 1; id <= 3; id++) {
        struct replica_info info = info_said(id);
        CU_ASSERT_EQUAL(info.holds, HOLDS_WHOLE);
        CU_ASSERT_EQUAL(info.settled, info.index);
        CU_ASSERT_EQUAL(info.index, replica_place_get(node(1)->r).index);
    }
    world_end();
}

/* An exchange that ends because its joiner is gone. */
static void test_settled_without_joiner(void)
{
    exchange_begin();
    appends(1, 3);
    deliver_all();
    node_crash(3);
    CONFIGURE(1, 2);
    run();
    appends(1, 3);
    deliver_all();
    CONFIGURE(1, 2);
    struct replica_info info = info_said(1);
    CU_ASSERT_EQUAL(info.settled, info.index);
    CU_ASSERT_EQUAL(info.index, replica_place_get(node(1)->r).index);
    world_end();
}

/* What a member has said in a ring of which nothing came counts no more, also
 * not where it stood. */
static void test_said_before(void)
{
    world_begin(4);
    CONFIGURE(1, 3);
    run();
    appends(1, 10);
    deliver_all();
    CONFIGURE(3);
    run();
    appends(3, 90);
    deliver_all();
    CONFIGURE(4);
    run();
    appends(4, 50);
    deliver_all();
    CONFIGURE(1, 2, 3); /* 2 says nothing: no plan */
    CU_ASSERT(says(1, REPLICA_INFO) && says(3, REPLICA_INFO));
    deliver_all();
    CONFIGURE(1, 4);
    run();
    expect_one_state(IDS(1, 4));
    CU_ASSERT_EQUAL(stats(4)->resets, 0);
    CU_ASSERT_EQUAL(stats(1)->resets, 1);
    world_end();
}

/* --- what is kept --------------------------------------------------------- */

static void test_kept(void)
{
    const uint64_t one = sizeof(struct replica_kept) + TOY_OP_SIZE;
    exchange_begin();
    CU_ASSERT_EQUAL(stats(3)->kept_bytes, 0);
    CU_ASSERT(says(1, REPLICA_PIECE)); /* so that it is not fresh */
    deliver_all();
    appends(1, 4);
    deliver_all();
    CU_ASSERT_EQUAL(stats(3)->kept_bytes, 4 * one);
    CU_ASSERT_EQUAL(stats(1)->kept_bytes, 0);
    CONFIGURE(1, 2, 3);
    infos();
    deliver_all();
    uint64_t most =
        4 * one + sizeof(struct replica_kept) + sizeof(struct replica_change);
    CU_ASSERT_EQUAL(stats(3)->kept_bytes, most);
    CU_ASSERT_EQUAL(stats(3)->kept_bytes_most, most);
    run();
    CU_ASSERT_EQUAL(stats(3)->kept_bytes, 0);
    CU_ASSERT_EQUAL(stats(3)->kept_bytes_most, most);
    expect_one_state(IDS(1, 2, 3));
    world_end();
}

/* Results are kept while somebody needs them, and no longer. */
static void test_no_results(void)
{
    uint8_t data[REPLICA_OP_HEAD_SIZE + TOY_OP_SIZE];
    world_begin(3);
    CONFIGURE(1, 2);
    run();
    int64_t before = heap_count;
    replica_op_head(node(1)->r, data);
    toy_op(data + REPLICA_OP_HEAD_SIZE, TOY_REMOVE, 999, 0);
    for (uint32_t i = 0; i < 2000; i++)
        CU_ASSERT(hears(1, 2, (struct bytes){data, sizeof data}));
    CU_ASSERT_EQUAL(heap_count, before);
    world_end();
}

static void test_no_results_any_more(void)
{
    exchange_begin();
    appends(1, 10);
    run();
    expect_one_state(IDS(1, 2, 3));
    int64_t before = heap_count;
    node_crash(3); /* it has but itself */
    CU_ASSERT_EQUAL(heap_count, before - 1);
    node_crash(2);
    CU_ASSERT_EQUAL(heap_count, before - 2);
    node_crash(1);
    CU_ASSERT_EQUAL(heap_count, before - 3);
    world_end();
}

/* --- messages ------------------------------------------------------------- */

static void test_is_piece(void)
{
    static const uint8_t piece[] = {1, 3, 0}, other[] = {1, 2, 3};
    CU_ASSERT(replica_is_piece((struct bytes){piece, 3}));
    CU_ASSERT(replica_is_piece((struct bytes){piece, 2}));
    CU_ASSERT(!replica_is_piece((struct bytes){piece, 1}));
    CU_ASSERT(!replica_is_piece((struct bytes){piece, 0}));
    CU_ASSERT(!replica_is_piece((struct bytes){other, 3}));
}

static void test_largest_piece(void)
{
    static uint8_t data[REPLICA_PIECE_SIZE_MAX + 1];
    static struct piece p;
    struct replica_message m;
    world_begin(1);
    CONFIGURE(1);
    p = piece_of(1, 0);
    p.data = (struct bytes){data, REPLICA_PIECE_SIZE_MAX};
    CU_ASSERT(replica_wire_read(piece_bytes(&p), &m));
    p.data.n++;
    CU_ASSERT(!replica_wire_read(piece_bytes(&p), &m));
    data[0] = 1;
    data[1] = 4; /* no such type */
    CU_ASSERT(!replica_wire_read((struct bytes){data, 100}, &m));
    world_end();
}

/* The least that a piece can bring is looked at, too. */
static void test_smallest_piece(void)
{
    static struct piece p;
    exchange_begin();
    p = piece_of(1, 32);
    p.data = (struct bytes){(const uint8_t *)"x", 1};
    CU_ASSERT(!hears(3, 1, piece_bytes(&p)));
    p.data.n = 0;
    CU_ASSERT(hears(2, 1, piece_bytes(&p)));
    world_end();
}

/* As many results as a piece carries leave room for what it brings; with one
 * more it brings nothing. */
static void full_of_results(uint32_t more, uint64_t pieces)
{
    uint8_t data[REPLICA_OP_HEAD_SIZE + TOY_OP_SIZE];
    exchange_begin();
    replica_op_head(node(1)->r, data);
    toy_op(data + REPLICA_OP_HEAD_SIZE, TOY_REMOVE, 999, 0);
    for (uint32_t i = 0; i < REPLICA_BITS_MAX + more; i++)
        for (uint32_t id = 1; id <= 3; id++)
            CU_ASSERT(replica_message(node(id)->r, 2,
                                      (struct bytes){data, sizeof data}));
    node(1)->toy.items_in_piece = 1000;
    run();
    expect_one_state(IDS(1, 2, 3));
    CU_ASSERT_EQUAL(stats(1)->pieces_sent, pieces);
    world_end();
}

static void test_full_of_results(void)
{
    full_of_results(0, 1);
    full_of_results(1, 2);
}

static const struct unit_test tests[] = {
    {"members", test_members},
    {"members of less", test_members_of_less},
    {"settled", test_settled},
    {"settled without joiner", test_settled_without_joiner},
    {"said before", test_said_before},
    {"kept", test_kept},
    {"no results", test_no_results},
    {"no results any more", test_no_results_any_more},
    {"is it a piece", test_is_piece},
    {"largest piece", test_largest_piece},
    {"smallest piece", test_smallest_piece},
    {"full of results", test_full_of_results},
};

UNIT_MAIN("replica_told", tests)
