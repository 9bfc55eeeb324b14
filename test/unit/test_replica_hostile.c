/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes of replica.c's messages; and what it does with those of strangers.
 */
#include "test/unit/replica_bytes.h"

/* --- the wire ------------------------------------------------------------- */

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

    uint8_t head[REPLICA_OP_HEAD_SIZE], expected[10] = {2, 2};
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
    REFUSED(good, i.version = 1);
    REFUSED(good, i.version = 3);
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
    CONFIGURE(1, 2, 3);
    CU_ASSERT(says(2, REPLICA_INFO) && deliver(2));
    struct info twice = info_of(3);
    CU_ASSERT(hears_info(2, &twice) && hears_info(2, &twice));
    CU_ASSERT(!replica_ready(node(2)->r)); /* node 1 has said nothing */
    CONFIGURE(2, 3);
    CU_ASSERT(says(2, REPLICA_INFO) && deliver(2));
    good.seq = whole.seq = info_of(3).seq;
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
        {.holds = 1, .index = 5, .settled = 5, .cursor = {5, 0, 0}},
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

/* Only so many operations are believed. */
static void believed(uint64_t index, bool is)
{
    world_begin(3);
    CONFIGURE(2);
    run();
    appends(2, 5);
    deliver_all();
    CONFIGURE(2, 3);
    struct info lie = info_of(3);
    lie.holds = 2;
    lie.birth = lie.path = 9;
    lie.index = lie.operations = lie.settled = index;
    says(2, REPLICA_INFO);
    struct bytes b = info_bytes(&lie);
    multicast(3, b.p, b.n);
    while (deliver(2)) {
    }
    CU_ASSERT_EQUAL(stats(2)->resets, is ? 1 : 0);
    CU_ASSERT_EQUAL(replica_is_whole(node(2)->r), !is);
    world_end();
}

static void test_believed(void)
{
    believed(6, true);
    believed((uint64_t)1 << 62, true);
    believed(((uint64_t)1 << 62) + 1, false);
    believed(UINT64_MAX, false);
}

/* One that has the lowest id, and so would be the donor, says that it has what
 * node 2 has; but it has counted otherwise. Node 3 says it has a part of that.
 */
static void lowest_lies(uint64_t index, uint64_t settled)
{
    world_begin(4);
    CONFIGURE(2);
    run();
    appends(2, 5);
    deliver_all();
    CONFIGURE(1, 2, 3, 4);
    struct replica_place at = replica_place_get(node(2)->r);
    for (uint32_t id = 1; id <= 3; id += 2) {
        struct info lie = info_of(id);
        lie.holds = id == 1 ? 2 : 1;
        lie.birth = at.birth;
        lie.path = at.path;
        lie.index = index;
        lie.operations = index < 5 ? index : 5;
        lie.settled = settled;
        struct bytes b = info_bytes(&lie);
        multicast(id, b.p, b.n);
    }
    says(2, REPLICA_INFO);
    says(4, REPLICA_INFO);
    for (uint32_t id = 2; id <= 4; id += 2)
        while (deliver(id)) {
        }
    CU_ASSERT_EQUAL(stats(2)->plans, 2);
    static struct piece p;
    p = piece_of(1, index == 5 ? settled : index + 1);
    p.count = index == 5 ? 6 : 0;
    p.flags = 1;
    hears(2, 1, piece_bytes(&p));
    hears(4, 1, piece_bytes(&p));
    node_crash(1);
    node_crash(3);
    CONFIGURE(2, 4);
    run();
    expect_one_state(IDS(2, 4));
    world_end();
}

static void test_lowest_lies(void)
{
    for (uint64_t settled = 0; settled <= 5; settled++)
        lowest_lies(5, settled);
    lowest_lies(4, 4);
    lowest_lies(9, 3);
    lowest_lies(9, 5);
    lowest_lies((uint64_t)1 << 62, 0);
}

/* There are as many results, but a message has no room for them. */
static void test_long_piece(void)
{
    exchange_begin();
    for (uint32_t i = 0; i < 14000; i++) {
        for (uint32_t k = 0; k < 10; k++)
            op(1, TOY_OPEN, 0, 0);
        for (uint32_t id = 1; id <= 3; id++)
            for (; node(id)->delivered < node(id)->ring->count;
                 node(id)->delivered++) {
                const struct message *m =
                    &node(id)->ring->messages[node(id)->delivered];
                CU_ASSERT(replica_message(node(id)->r, m->sender,
                                          (struct bytes){m->p, m->n}));
            }
    }
    static struct piece p;
    p = piece_of(1, 32);
    p.count = 131080;
    for (uint32_t id = 2; id <= 3; id++)
        CU_ASSERT(!hears(id, 1, piece_bytes(&p)));
    run();
    expect_one_state(IDS(1, 2, 3));
    world_end();
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
            p.version = 3;
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

/* What carries data must have been written after the plan, also where results
 * of before it are missing still. */
static void test_piece_from_before(void)
{
    exchange_begin();
    CU_ASSERT(says(1, REPLICA_PIECE));
    some_ops(2, 1);
    deliver_all();
    CONFIGURE(1, 2, 3);
    infos();
    deliver_all();
    static struct piece p;
    p = piece_of(1, 32);
    p.flags = 1;
    for (uint32_t id = 2; id <= 3; id++) {
        CU_ASSERT(!hears(id, 1, piece_bytes(&p)));
        CU_ASSERT(!hears(id, 1, piece_bytes(&p)));
    }
    p.flags = 0;
    for (size_t n = 1; n <= 3; n++) {
        p.data = (struct bytes){(const uint8_t *)"abc", n};
        for (uint32_t id = 2; id <= 3; id++)
            CU_ASSERT(!hears(id, 1, piece_bytes(&p)));
    }
    p.data.n = 0; /* results alone, and none of them */
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT(hears(id, 1, piece_bytes(&p)));
    run();
    expect_one_state(IDS(1, 2, 3));
    world_end();
}

static void test_hostile_operations(void)
{
    uint8_t data[REPLICA_OP_HEAD_SIZE + TOY_OP_SIZE];
    world_begin(4);
    CU_ASSERT(replica_message(node(1)->r, 1, (struct bytes){data, 0}) == false);
    memset(data, 0, sizeof data);
    data[0] = 2;
    data[1] = 2;
    CU_ASSERT(
        hears(1, 1, (struct bytes){data, sizeof data})); /* not ours yet */
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
    CONFIGURE(1, 2);
    run();
    w = writer_of(data + 2, 8);
    write_u64(&w, node(1)->ring->conf.ring_id.seq);
    CU_ASSERT(!hears(1, 3, b)); /* it was a member, and whole */
    CU_ASSERT(!hears(2, 3, b));
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

static const struct unit_test tests[] = {
    {"layout", test_layout},
    {"layout of a part", test_layout_of_a_part},
    {"hostile infos", test_hostile_infos},
    {"lies", test_lies},
    {"believed", test_believed},
    {"lowest lies", test_lowest_lies},
    {"long piece", test_long_piece},
    {"hostile pieces", test_hostile_pieces},
    {"piece from before", test_piece_from_before},
    {"hostile operations", test_hostile_operations},
    {"unreadable piece", test_unreadable_piece},
    {"garbage", test_garbage},
};

UNIT_MAIN("replica, hostile", tests)
