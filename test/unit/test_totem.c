// SPDX-License-Identifier: BSD-3-Clause
/* The parts of the core by themselves: sets beside a naive model, the store;
 * then machines that get packets no sane peer sends. The protocol as a whole is
 * the simulator's. */
#include "daemon/totem/set.h"
#include "daemon/totem/ring_id.h"
#include "daemon/totem/store.h"
#include "test/unit/ring_world.h"
#include "test/unit/unit.h"

// --- sets
// ---------------------------------------------------------------------

enum { IDS = 200 }; /* more than a set holds */

static uint32_t random_state = 12345;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1103515245 + 12345;
    return (random_state >> 8) % n;
}

struct model {
    bool has[IDS];
    uint32_t count;
};

static bool model_add(struct model *m, uint32_t id)
{
    if (m->has[id])
        return true;
    if (m->count == TOTEM_NODES_MAX)
        return false;
    m->has[id] = true;
    m->count++;
    return true;
}

static bool same(const struct set *s, const struct model *m)
{
    if (s->count != m->count)
        return false;
    uint32_t at = 0;
    for (uint32_t id = 0; id < IDS; id++)
        if (m->has[id] && s->ids[at++] != id)
            return false;
    return true;
}

static void random_set(struct set *s, struct model *m, uint32_t adds)
{
    *s = (struct set){0};
    *m = (struct model){0};
    for (uint32_t i = 0; i < adds; i++) {
        uint32_t id = random_below(IDS - 1) + 1;
        CU_ASSERT_EQUAL(set_add(s, id), model_add(m, id));
    }
}

static void set_add_and_remove(void)
{
    struct set s = {0};
    struct model m = {0};
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t id = random_below(IDS - 1) + 1;
        if (random_below(5) < 3) {
            CU_ASSERT_EQUAL(set_add(&s, id), model_add(&m, id));
        } else {
            set_remove(&s, id);
            m.count -= m.has[id];
            m.has[id] = false;
        }
        CU_ASSERT_EQUAL(set_has(&s, id), m.has[id]);
        CU_ASSERT(same(&s, &m));
    }
}

static void set_algebra(void)
{
    for (uint32_t i = 0; i < 3000; i++) {
        struct set a, b, out, copy;
        struct model ma, mb, mo = {0};
        random_set(&a, &ma, random_below(i % 2 == 0 ? 8 : 300));
        random_set(&b, &mb, random_below(i % 3 == 0 ? 8 : 300));
        uint32_t both = 0, all = 0;
        for (uint32_t id = 0; id < IDS; id++) {
            both += ma.has[id] && mb.has[id];
            all += ma.has[id] || mb.has[id];
            if (ma.has[id] && !mb.has[id])
                model_add(&mo, id);
        }
        set_minus(&out, &a, &b);
        CU_ASSERT(same(&out, &mo));
        CU_ASSERT_EQUAL(set_subset(&a, &b), both == a.count);
        CU_ASSERT_EQUAL(set_equal(&a, &b), both == a.count && both == b.count);
        copy = a;
        bool fits = all <= TOTEM_NODES_MAX;
        CU_ASSERT_EQUAL(set_unite(&copy, &b), fits);
        CU_ASSERT_EQUAL(copy.count, fits ? all : a.count);
        CU_ASSERT(set_subset(&a, &copy));
        CU_ASSERT(!fits || set_subset(&b, &copy));
    }
}

// --- the store
// ----------------------------------------------------------------

static void add(struct store *s, uint64_t seq, uint8_t fill)
{
    struct store_slot slot = {.seq = seq, .sender = 1, .size_bytes = 4};
    memset(store_room(s, seq), fill, 4);
    store_add(s, &slot);
}

static void store_window(void)
{
    static const uint64_t firsts[] = {0, UINT32_MAX, WIRE_SEQ_MAX};
    for (size_t i = 0; i < 3; i++) {
        uint64_t f = firsts[i];
        struct store s;
        CU_ASSERT(store_init(&s, 8, 4));
        store_reset(&s, f);
        CU_ASSERT(store_look(&s, f) == STORE_DUPLICATE);
        CU_ASSERT(store_look(&s, f + 8) == STORE_ADDED);
        CU_ASSERT(store_look(&s, f + 9) == STORE_BEYOND);
        CU_ASSERT(store_look(&s, UINT64_MAX) == STORE_BEYOND);
        add(&s, f + 2, 2);
        CU_ASSERT(s.aru == f && s.high == f + 2);
        CU_ASSERT(store_find(&s, f + 1) == NULL);
        CU_ASSERT(store_find(&s, f + 2 + 8) == NULL); /* the same slot */
        add(&s, f + 1, 1);
        CU_ASSERT(s.aru == f + 2);
        CU_ASSERT(store_look(&s, f + 2) == STORE_DUPLICATE);
        CU_ASSERT(store_packet(&s, store_find(&s, f + 2)).p[0] == 2);
        store_discard(&s, f + 2);
        CU_ASSERT(store_find(&s, f + 2) == NULL && s.base == f + 2);
        CU_ASSERT(store_look(&s, f + 1) == STORE_DUPLICATE);
        CU_ASSERT(store_look(&s, f + 10) == STORE_ADDED);
        add(&s, f + 10, 3);
        CU_ASSERT(s.aru == f + 2 && s.high == f + 10);
        store_reset(&s, f);
        for (uint64_t seq = f; seq <= f + 10; seq++)
            CU_ASSERT(store_find(&s, seq) == NULL);
        CU_ASSERT(s.high == f && s.aru == f);
        store_deinit(&s);
    }
}

/* All slots, several times round, each packet of the least size. */
static void store_goes_round(void)
{
    struct store s;
    CU_ASSERT(store_init(&s, 8, 4));
    store_reset(&s, 0);
    for (uint64_t base = 0; base < 24; base += 4) {
        for (uint64_t seq = s.high + 1; seq <= base + 8; seq++) {
            struct store_slot slot = {.seq = seq, .sender = 1, .size_bytes = 1};
            store_room(&s, seq)[0] = (uint8_t)seq;
            CU_ASSERT(store_look(&s, seq) == STORE_ADDED);
            store_add(&s, &slot);
            CU_ASSERT(store_look(&s, seq) == STORE_DUPLICATE);
        }
        CU_ASSERT(s.aru == base + 8);
        for (uint64_t seq = base + 1; seq <= base + 8; seq++) {
            const struct store_slot *slot = store_find(&s, seq);
            CU_ASSERT_PTR_NOT_NULL_FATAL(slot);
            CU_ASSERT(store_packet(&s, slot).p[0] == (uint8_t)seq);
            CU_ASSERT(store_packet(&s, slot).n == 1);
        }
        store_discard(&s, base + 4);
        CU_ASSERT(store_find(&s, base + 4) == NULL);
        CU_ASSERT_PTR_NOT_NULL(store_find(&s, base + 5));
    }
    store_deinit(&s);
}

// --- machines
// -----------------------------------------------------------------

static uint8_t packet[TOTEM_CONTROL_SIZE_MAX];
static struct wire_commit commit_in;

static void put_u32(size_t at, uint32_t v)
{
    struct writer w = writer_of(packet + at, 4);
    write_u32(&w, v);
}

static void put_u64(size_t at, uint64_t v)
{
    struct writer w = writer_of(packet + at, 8);
    write_u64(&w, v);
}

static struct ring_world *ring(uint32_t count)
{
    struct ring_world *w = world_new(count);
    CU_ASSERT(world_settle(w, 5000000000));
    return w;
}

/* The packet at hand, as a node of this world sends it. */
static void give(struct ring_world *w, uint32_t at, size_t size)
{
    wire_stamp(packet, WORLD_PACKET_MAX);
    world_give(w, at, (struct bytes){packet, size});
}

static uint64_t malformed(const struct ring_world *w, uint32_t at)
{
    return totem_stats_get(w->nodes[at].totem)->dropped[TOTEM_DROP_MALFORMED];
}

static void pair_delivers(void)
{
    struct ring_world *w = ring(2);
    world_send(w, 0, 100, true);
    world_send(w, 1, 70, false);
    for (int i = 0;
         i < 20000 && w->nodes[0].delivered + w->nodes[1].delivered < 340; i++)
        if (!world_arrive(w))
            world_timer(w);
    CU_ASSERT_EQUAL(w->nodes[0].delivered, 170);
    CU_ASSERT_EQUAL(w->nodes[1].delivered, 170);
    CU_ASSERT_EQUAL(w->nodes[0].delivered_safe, 100);
    CU_ASSERT_EQUAL(w->nodes[1].delivered_safe, 100);
    CU_ASSERT_EQUAL(totem_stats_get(w->nodes[0].totem)->token_losses, 0);
    world_free(w);
}

/* Who next sends gives numbers that are taken. */
static void token_behind_packets(void)
{
    struct ring_world *w = ring(2);
    world_send(w, 0, 3, false);
    while (w->nodes[1].delivered < 3)
        if (!world_arrive(w))
            world_timer(w);
    w->nodes[0].waiting = w->nodes[1].waiting = 5;
    uint64_t before = malformed(w, 0) + malformed(w, 1);
    for (uint32_t at = 0; at < 2; at++) {
        struct wire_token token;
        struct wire_head head;
        struct reader r = reader_of(
            (struct bytes){w->last[WIRE_TOKEN], w->last_size[WIRE_TOKEN]});
        CU_ASSERT(wire_head_read(&r, &head));
        CU_ASSERT(wire_token_read(&r, &head, &token));
        token.token_seq += 100;
        token.seq = token.aru = 1;
        size_t n = wire_token_write(packet, at == 0 ? 2 : 1, &token);
        give(w, at, n);
    }
    CU_ASSERT_EQUAL(malformed(w, 0) + malformed(w, 1), before + 2);
    CU_ASSERT(world_settle(w, 20000000000));
    world_free(w);
}

/* A token that a stranger made; to a ring of one, which passes none on. */
static void token_and_wake_to_one(void)
{
    struct ring_world *w = ring(1);
    world_timer(w); /* merge detection tells the ring's identity */
    struct wire_head head;
    struct wire_token token = {.token_seq = 50, .seq = 9};
    struct reader r = reader_of(
        (struct bytes){w->last[WIRE_MERGE], w->last_size[WIRE_MERGE]});
    CU_ASSERT(wire_head_read(&r, &head));
    CU_ASSERT(wire_ring_id_read(&r, &token.ring_id));
    size_t n = wire_token_write(packet, 2, &token);
    give(w, 0, n);
    CU_ASSERT_EQUAL(malformed(w, 0), 1);
    n = wire_wake_write(packet, 2, wire_ring_hash(&token.ring_id));
    give(w, 0, n);
    world_send(w, 0, 3, false);
    CU_ASSERT_EQUAL(w->nodes[0].delivered, 3);
    world_free(w);
}

/* In the name of a node that has not begun to look for others. */
static void commit_to_its_representative(void)
{
    struct ring_world *w = world_new(1);
    commit_in = (struct wire_commit){.ring_id = {4, 5, 1}, .count = 1};
    commit_in.entries[0].node_id = 1;
    size_t n = wire_commit_write(packet, 2, &commit_in);
    give(w, 0, n);
    CU_ASSERT_EQUAL(w->nodes[0].state, TOTEM_GATHER);
    CU_ASSERT(world_settle(w, 1000000000));
    world_free(w);
}

static bool until_state(struct ring_world *w, uint32_t at, enum totem_state s)
{
    for (int i = 0; i < 10000 && w->nodes[at].state != s; i++)
        if (!world_arrive(w))
            world_timer(w);
    return w->nodes[at].state == s;
}

/* The representative gets a token of the ring for which it is to make one. */
static void token_before_the_first(void)
{
    struct ring_world *w = world_new(2);
    CU_ASSERT(until_state(w, 0, TOTEM_RECOVERY));
    struct wire_head head;
    struct reader r = reader_of(
        (struct bytes){w->last[WIRE_COMMIT], w->last_size[WIRE_COMMIT]});
    CU_ASSERT(wire_head_read(&r, &head) && wire_commit_read(&r, &commit_in));
    struct wire_token token = {.ring_id = commit_in.ring_id, .token_seq = 9};
    size_t n = wire_token_write(packet, 2, &token);
    give(w, 0, n);
    CU_ASSERT(world_settle(w, 20000000000));
    world_free(w);
}

/* A member's entry changed on its way: it does not take what it never said. */
static void commit_forged(void)
{
    struct ring_world *w = world_new(2);
    CU_ASSERT(until_state(w, 1, TOTEM_COMMIT));
    CU_ASSERT(w->nodes[0].state == TOTEM_COMMIT);
    struct wire_head head;
    struct reader r = reader_of(
        (struct bytes){w->last[WIRE_COMMIT], w->last_size[WIRE_COMMIT]});
    CU_ASSERT(wire_head_read(&r, &head) && wire_commit_read(&r, &commit_in));
    commit_in.token_seq += 2;
    commit_in.entries[0].filled = commit_in.entries[1].filled = true;
    commit_in.entries[0].old_ring_id.nonce++;
    commit_in.entries[0].high = WIRE_SEQ_MAX;
    size_t n = wire_commit_write(packet, 2, &commit_in);
    give(w, 0, n);
    CU_ASSERT_EQUAL(w->nodes[0].state, TOTEM_COMMIT);
    CU_ASSERT(world_settle(w, 20000000000));
    world_free(w);
}

/* A packet that could not be carried as a recovered one. */
static void data_too_large(void)
{
    struct ring_world *w = ring(2);
    world_send(w, 0, 1, false);
    while (w->last_size[WIRE_DATA] == 0)
        if (!world_arrive(w))
            world_timer(w);
    memcpy(packet, w->last[WIRE_DATA], w->last_size[WIRE_DATA]);
    put_u64(16, 5);
    uint64_t before = malformed(w, 1);
    give(w, 1, WORLD_PACKET_MAX - 15);
    CU_ASSERT_EQUAL(malformed(w, 1), before + 1);
    give(w, 1, WORLD_PACKET_MAX - 16);
    CU_ASSERT_EQUAL(malformed(w, 1), before + 1);
    put_u32(4, 77); /* of a stranger */
    put_u64(16, 6);
    give(w, 1, 60);
    CU_ASSERT_EQUAL(malformed(w, 1), before + 2);
    CU_ASSERT(world_settle(w, 20000000000));
    world_free(w);
}

/* A node with larger packets: it is named, and nothing comes of it. */
static void other_packet_size(void)
{
    struct ring_world *w = ring(1);
    struct wire_join join = {.incarnation = 9};
    set_add(&join.proc, 2);
    size_t n = wire_join_write(packet, 2, &join);
    wire_stamp(packet, WORLD_PACKET_MAX + 8);
    world_give(w, 0, (struct bytes){packet, n});
    CU_ASSERT_EQUAL(w->nodes[0].state, TOTEM_OPERATIONAL);
    CU_ASSERT_EQUAL(w->nodes[0].mismatches, 1);
    const struct totem_stats *stats = totem_stats_get(w->nodes[0].totem);
    CU_ASSERT_EQUAL(stats->dropped[TOTEM_DROP_PACKET_SIZE], 1);
    give(w, 0, n);
    CU_ASSERT_EQUAL(w->nodes[0].state, TOTEM_GATHER);
    world_free(w);
}

/* The seal proves who sent a packet; one that names another is not acted upon.
 * Data may be another's, sent again. */
static void in_anothers_name(void)
{
    struct ring_world *w = ring(3);
    const struct totem_stats *stats = totem_stats_get(w->nodes[0].totem);
    uint32_t given = 0;
    for (uint32_t kind = 0; kind < WORLD_KINDS; kind++) {
        struct bytes p = {w->last[kind], w->last_size[kind]};
        if (p.n == 0 || kind == WIRE_DATA)
            continue;
        world_give_from(w, 0, p.p[4] == 2 ? 3 : 2, p);
        CU_ASSERT_EQUAL(stats->dropped[TOTEM_DROP_SENDER], ++given);
    }
    CU_ASSERT(given >= 3); /* token, join, commit token */
    struct wire_leave leave = {.incarnation = 9};
    size_t n = wire_leave_write(packet, 2, &leave);
    world_give_from(w, 0, 3, (struct bytes){packet, n});
    CU_ASSERT_EQUAL(stats->dropped[TOTEM_DROP_SENDER], given + 1);
    CU_ASSERT_EQUAL(w->nodes[0].state, TOTEM_OPERATIONAL);
    w->nodes[1].waiting = 1;
    world_settle(w, 1000000);
    struct bytes data = {w->last[WIRE_DATA], w->last_size[WIRE_DATA]};
    world_give_from(w, 0, 3, data);
    CU_ASSERT_EQUAL(stats->dropped[TOTEM_DROP_SENDER], given + 1);
    world_free(w);
}

/* A peer's ring sequence gone mad does not use up ours. */
static void ring_seq_kept(void)
{
    struct ring_world *w = ring(1);
    struct wire_join join = {.incarnation = 9, .ring_seq = WIRE_SEQ_MAX};
    set_add(&join.proc, 2);
    size_t n = wire_join_write(packet, 2, &join);
    give(w, 0, n);
    CU_ASSERT(totem_ring_seq(w->nodes[0].totem) <= (uint64_t)1 << 33);
    CU_ASSERT(world_settle(w, 60000000000));
    world_free(w);
}

/* Asked again and again for a visit that then brings nothing, a holder still
 * passes the token before the others miss it. */
static void hold_is_not_prolonged(void)
{
    struct ring_world *w = ring(2);
    for (uint32_t i = 0; i < 400; i++) {
        w->now_ns += 5000000;
        for (uint32_t at = 0; at < 2; at++) {
            if (w->nodes[at].wake_ns <= w->now_ns)
                world_step(w, at, (struct totem_in){.kind = TOTEM_IN_TIMEOUT});
            if (totem_wants_submit(w->nodes[at].totem) &&
                totem_stats_get(w->nodes[at].totem)->holds > 0)
                world_step(w, at, (struct totem_in){.kind = TOTEM_IN_SUBMIT});
        }
        for (uint32_t k = w->queue_count; k > 0; k--)
            world_arrive(w);
    }
    for (uint32_t at = 0; at < 2; at++) {
        const struct totem_stats *s = totem_stats_get(w->nodes[at].totem);
        CU_ASSERT_EQUAL(s->token_losses, 0);
        CU_ASSERT_EQUAL(s->rings_formed, 1);
    }
    world_free(w);
}

/* Machines of different windows: all send as the smallest can take. */
static void window_differs(uint32_t large)
{
    struct ring_world *w = world_new(3);
    struct totem_config c = world_config(large + 1);
    c.window_packets = 512;
    c.incarnation++;
    world_start(w, large, &c);
    CU_ASSERT(world_settle(w, 5000000000));
    world_send(w, large, 3000, false);
    uint32_t slow = (large + 1) % 3;
    while (w->nodes[slow].delivered + w->nodes[(large + 2) % 3].delivered <
               6000 &&
           w->now_ns < 100000000000) {
        w->now_ns += 10000;
        struct world_packet p;
        /* one gets no data for a while: the window fills */
        if (world_take(w, &p)) {
            if (p.to != slow || p.data[0] != WIRE_DATA ||
                w->queue_count % 3 != 0)
                world_give(w, p.to, (struct bytes){p.data, p.size});
            free(p.data);
        } else {
            world_timer(w);
        }
    }
    for (uint32_t at = 0; at < 3; at++) {
        const struct totem_stats *s = totem_stats_get(w->nodes[at].totem);
        CU_ASSERT_EQUAL(w->nodes[at].delivered, 3000);
        CU_ASSERT_EQUAL(s->dropped[TOTEM_DROP_WINDOW], 0);
    }
    world_free(w);
}

static void windows_differ(void)
{
    for (uint32_t large = 0; large < 3; large++)
        window_differs(large);
}

// --- starts and stops
// ------------------------------------------------------------

enum { NODES = 3, DEPTH = 6, PACES = 8 };

static uint32_t up_count(const struct ring_world *w)
{
    uint32_t up = 0;
    for (uint32_t i = 0; i < NODES; i++)
        up += w->nodes[i].totem != NULL;
    return up;
}

static void toggle(struct ring_world *w, uint32_t at, uint32_t life,
                   bool leaves)
{
    if (w->nodes[at].totem != NULL) {
        world_stop(w, at, leaves);
        return;
    }
    struct totem_config c = world_config(at + 1);
    c.incarnation += life << 16;
    c.ring_seq = life % 4 == 3 ? 0 : w->nodes[at].ring_seq; /* a lost disk */
    world_start(w, at, &c);
}

/* Some of the way to the next ring, or all of it. */
static bool pace(struct ring_world *w, uint32_t how)
{
    static const uint32_t packets[PACES] = {0, 3, 8, 14, 20, 30, 45, 0};
    if (how == PACES - 1)
        return up_count(w) == 0 || world_settle(w, 10000000000);
    for (uint32_t i = packets[how]; i > 0 && up_count(w) > 0; i--) {
        w->now_ns += 200000;
        if (!world_arrive(w))
            world_timer(w);
    }
    return true;
}

/* Which node, DEPTH times, in base NODES; and what comes between, from `seed`.
 */
static bool sequence(uint32_t steps, uint32_t seed)
{
    struct ring_world *w = world_new(NODES);
    bool well = seed % 2 == 0 || world_settle(w, 10000000000);
    random_state = steps * 64 + seed;
    for (uint32_t i = 0; i < DEPTH && well; i++, steps /= NODES) {
        toggle(w, steps % NODES, i + 1, random_below(4) == 0);
        for (uint32_t n = 0; n < NODES; n++)
            if (w->nodes[n].totem != NULL)
                world_send(w, n, 3, n == 1);
        well = pace(w, random_below(PACES));
    }
    /* Who is held for deaf is not listened to for a while. */
    well = well && (up_count(w) == 0 || world_settle(w, 40000000000));
    world_free(w);
    return well;
}

/* Every sequence of starts and stops, each at several paces. */
static void starts_and_stops(void)
{
    uint32_t sequences = 1;
    for (int i = 0; i < DEPTH; i++)
        sequences *= NODES;
    for (uint32_t steps = 0; steps < sequences; steps++)
        for (uint32_t seed = 0; seed < 12; seed++)
            if (!sequence(steps, seed)) {
                printf("sequence %u, seed %u\n", steps, seed);
                CU_FAIL("no ring of all that are up");
                return;
            }
    CU_PASS("all");
}

static const struct unit_test tests[] = {
    {"set: add and remove, beside a model", set_add_and_remove},
    {"set: algebra, beside a model", set_algebra},
    {"store", store_window},
    {"store, round and round", store_goes_round},
    {"two nodes deliver", pair_delivers},
    {"a token behind the packets", token_behind_packets},
    {"token and wake to a ring of one", token_and_wake_to_one},
    {"commit token to its representative", commit_to_its_representative},
    {"a token before the first", token_before_the_first},
    {"a forged commit token", commit_forged},
    {"data too large, of a stranger", data_too_large},
    {"another packet size", other_packet_size},
    {"in another's name", in_anothers_name},
    {"ring sequence gone mad", ring_seq_kept},
    {"a hold is not prolonged", hold_is_not_prolonged},
    {"windows that differ", windows_differ},
    {"every sequence of 6 starts and stops", starts_and_stops},
};

UNIT_MAIN("totem", tests)
