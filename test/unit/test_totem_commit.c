// SPDX-License-Identifier: BSD-3-Clause
/* Each visit of the commit token, and what a node refuses of it: one thing is
 * changed of a good token at a time. Nodes 2 to 4 form a ring, as node 1 has
 * left, so that there are ids below theirs. */
#include "daemon/totem/internal.h"
#include "test/unit/ring_world.h"
#include "test/unit/unit.h"

enum { LOWEST = 1, MIDDLE = 2 }; /* places of nodes 2 and 3 */

static uint8_t packet[TOTEM_CONTROL_SIZE_MAX];
static struct wire_commit commit;

/* Goes on until a commit token is on its way to a node, and takes it off. */
static void catch_commit(struct ring_world *w, uint32_t to)
{
    for (uint32_t n = 0; n < 10000; n++) {
        for (uint32_t i = 0; i < w->queue_count; i++) {
            struct world_packet p = w->queue[i];
            if (p.to != to || p.data[0] != WIRE_COMMIT)
                continue;
            struct reader r = reader_of((struct bytes){p.data, p.size});
            struct wire_head head;
            CU_ASSERT_FATAL(wire_head_read(&r, &head));
            CU_ASSERT_FATAL(wire_commit_read(&r, &commit));
            free(p.data);
            w->queue[i] = w->queue[--w->queue_count];
            return;
        }
        world_next(w);
    }
    CU_FAIL_FATAL("no commit token");
}

static void give_commit(struct ring_world *w, uint32_t at)
{
    size_t size = wire_commit_write(packet, 4, &commit);
    wire_stamp(packet, WORLD_PACKET_MAX);
    world_give(w, at, (struct bytes){packet, size});
}

/* Nodes 2 to 4 gather, of which the second lacks a packet; the token has come
 * to one of them so many times, and is about to come again. */
static struct ring_world *before(uint32_t at, uint32_t visits)
{
    struct ring_world *w = world_new(4);
    CU_ASSERT_FATAL(world_settle(w, 5000000000));
    for (uint32_t from = 0; from < 4; from++)
        w->lost_seqs[from][MIDDLE] = 1 << 5;
    world_send(w, LOWEST, 6, false);
    for (uint32_t i = 0; i < 40; i++)
        world_next(w);
    world_stop(w, 0, true);
    CU_ASSERT_FATAL(world_until(w, at, TOTEM_GATHER));
    catch_commit(w, at);
    for (uint32_t i = 0; i < visits; i++) {
        give_commit(w, at);
        catch_commit(w, at);
    }
    return w;
}

static uint64_t stale(const struct ring_world *w, uint32_t at)
{
    return totem_stats_get(w->nodes[at].totem)->dropped[TOTEM_DROP_STALE];
}

/* True when the node takes the token: then it goes on, and nothing counts as
 * dropped. */
static bool taken(struct ring_world *w, uint32_t at, enum totem_state next)
{
    uint64_t stale_before = stale(w, at);
    enum totem_state from = w->nodes[at].state;
    give_commit(w, at);
    bool goes_on = stale(w, at) == stale_before;
    CU_ASSERT_EQUAL(w->nodes[at].state, goes_on ? next : from);
    return goes_on;
}

static uint32_t acks(const struct ring_world *w, uint32_t at)
{
    return w->nodes[at].sent_kinds[WIRE_ACK];
}

/* --- the first visit ------------------------------------------------------ */

static uint64_t ring_seq; /* of the node that is visited */

static void as_it_is(void)
{
}

static void seq_known(void)
{
    commit.ring_id.seq = ring_seq;
}

static void seq_next(void)
{
    commit.ring_id.seq = ring_seq + 1;
}

static void seq_far(void)
{
    commit.ring_id.seq = ring_seq + RING_SEQ_STEP_MAX;
}

static void seq_too_far(void)
{
    commit.ring_id.seq = ring_seq + RING_SEQ_STEP_MAX + 1;
}

static void members(uint32_t count, uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t ids[] = {a, b, c, 9};
    commit.count = count;
    for (uint32_t i = 0; i < count; i++)
        commit.entries[i].node_id = ids[i];
    commit.entries[3] = commit.entries[0];
    commit.entries[3].node_id = ids[3];
    commit.ring_id.rep = a;
}

static void one_more(void)
{
    members(4, 2, 3, 4);
}

static void one_less(void)
{
    members(2, 2, 3, 4);
}

static void other_first(void)
{
    members(3, 1, 3, 4);
}

static void other_last(void)
{
    members(3, 2, 3, 5);
}

static void fill(bool a, bool b, bool c)
{
    const bool filled[] = {a, b, c};
    struct wire_commit_entry full = commit.entries[0];
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t id = commit.entries[i].node_id;
        commit.entries[i] = filled[i] ? full : (struct wire_commit_entry){0};
        commit.entries[i].node_id = id;
    }
}

static void filled_all(void)
{
    fill(true, true, true);
}

static void filled_all_but_first(void)
{
    fill(false, true, true);
}

static void filled_all_but_last(void)
{
    fill(true, true, false);
}

static void first_visit(void)
{
    static const struct {
        void (*change)(void);
        bool good;
    } cases[] = {{as_it_is, true},
                 {seq_known, false},
                 {seq_next, true},
                 {seq_far, true},
                 {seq_too_far, false},
                 {one_more, false},
                 {one_less, false},
                 {other_first, false},
                 {other_last, false},
                 {filled_all, false},
                 {filled_all_but_first, true},
                 {filled_all_but_last, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ring_world *w = before(MIDDLE, 0);
        struct totem *t = w->nodes[MIDDLE].totem;
        ring_seq = totem_ring_seq(t);
        CU_ASSERT_EQUAL(commit.ring_id.seq, ring_seq + 4);
        cases[i].change();
        CU_ASSERT_EQUAL(taken(w, MIDDLE, TOTEM_COMMIT), cases[i].good);
        CU_ASSERT_EQUAL(totem_ring_seq(t),
                        cases[i].good ? commit.ring_id.seq : ring_seq);
        world_free(w);
    }
}

/* --- the second visit ----------------------------------------------------- */

static struct wire_commit_entry *own; /* of the node that is visited */

static void incarnation(void)
{
    own->incarnation++;
}

static void old_ring(void)
{
    own->old_ring_id.nonce++;
}

static void aru(void)
{
    own->aru++;
}

static void high(void)
{
    own->high++;
}

static void safe(void)
{
    own->safe--;
}

static void window(void)
{
    own->window_packets++;
}

static void deliver(void)
{
    own->deliver[15] ^= 0x80;
}

static void hop_known(void)
{
    commit.token_seq = 2;
}

static void hop_next(void)
{
    commit.token_seq = 3;
}

static void second_visit(void)
{
    static const struct {
        void (*change)(void);
        bool good;
        uint32_t acks;
    } cases[] = {{as_it_is, true, 0},
                 {hop_known, false, 1},
                 {hop_next, true, 0},
                 {one_more, false, 0},
                 {one_less, false, 0},
                 {other_last, false, 0},
                 {filled_all_but_first, false, 0},
                 {filled_all_but_last, false, 0},
                 {incarnation, false, 0},
                 {old_ring, false, 0},
                 {aru, false, 0},
                 {high, false, 0},
                 {safe, false, 0},
                 {window, false, 0},
                 {deliver, false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ring_world *w = before(MIDDLE, 1);
        uint32_t acks_before = acks(w, MIDDLE);
        own = &commit.entries[1];
        CU_ASSERT_EQUAL(own->node_id, 3);
        cases[i].change();
        CU_ASSERT_EQUAL(taken(w, MIDDLE, TOTEM_RECOVERY), cases[i].good);
        CU_ASSERT_EQUAL(acks(w, MIDDLE), acks_before + cases[i].acks);
        world_free(w);
    }
}

/* --- the third, and more -------------------------------------------------- */

static uint32_t tokens_sent(const struct ring_world *w, uint32_t at)
{
    return w->nodes[at].sent_kinds[WIRE_TOKEN];
}

static struct wire_token first_token(const struct ring_world *w)
{
    struct reader r = reader_of(
        (struct bytes){w->last[WIRE_TOKEN], w->last_size[WIRE_TOKEN]});
    struct wire_head head;
    struct wire_token token;
    CU_ASSERT_FATAL(wire_head_read(&r, &head));
    CU_ASSERT_FATAL(wire_token_read(&r, &head, &token));
    return token;
}

/* It makes the ring's first token of it, once. */
static void third_visit(void)
{
    struct ring_world *w = before(LOWEST, 0);
    uint32_t sent = tokens_sent(w, LOWEST), acked = acks(w, LOWEST);
    CU_ASSERT(taken(w, LOWEST, TOTEM_RECOVERY));
    uint64_t hop = commit.token_seq + 1; /* as it passed it on */
    catch_commit(w, LOWEST);
    CU_ASSERT_EQUAL(commit.token_seq, hop + 2);
    commit.token_seq = hop;
    CU_ASSERT(!taken(w, LOWEST, TOTEM_RECOVERY));
    CU_ASSERT_EQUAL(acks(w, LOWEST), acked + 1);
    CU_ASSERT_EQUAL(tokens_sent(w, LOWEST), sent);
    commit.token_seq = hop + 2;
    CU_ASSERT(taken(w, LOWEST, TOTEM_RECOVERY));
    CU_ASSERT_EQUAL(tokens_sent(w, LOWEST), sent + 1);
    CU_ASSERT_EQUAL(first_token(w).token_seq, 2); /* as it is passed on */
    CU_ASSERT_EQUAL(first_token(w).backlog_packets, 0);
    CU_ASSERT(!taken(w, LOWEST, TOTEM_RECOVERY));
    CU_ASSERT_EQUAL(acks(w, LOWEST), acked + 2);
    commit.token_seq = hop + 3;
    CU_ASSERT(!taken(w, LOWEST, TOTEM_RECOVERY));
    CU_ASSERT_EQUAL(acks(w, LOWEST), acked + 2);
    CU_ASSERT_EQUAL(tokens_sent(w, LOWEST), sent + 1);
    world_free(w);
}

/* Nobody else does. */
static void third_visit_of_others(void)
{
    struct ring_world *w = before(MIDDLE, 1);
    uint32_t sent = tokens_sent(w, MIDDLE);
    CU_ASSERT(taken(w, MIDDLE, TOTEM_RECOVERY));
    commit.token_seq += 3;
    CU_ASSERT(!taken(w, MIDDLE, TOTEM_RECOVERY));
    CU_ASSERT_EQUAL(tokens_sent(w, MIDDLE), sent);
    world_free(w);
}

/* What a node has of its old ring is what it told, until the exchange brings
 * more; and that is handed up when the new ring is there. */
static void old_ring_kept(void)
{
    for (uint32_t visits = 1; visits <= 2; visits++) {
        struct ring_world *w = before(MIDDLE, 1);
        struct totem *t = w->nodes[MIDDLE].totem;
        if (visits == 2)
            CU_ASSERT(taken(w, MIDDLE, TOTEM_RECOVERY));
        uint64_t hash = t->ring.hash;
        struct wire_data d = {.ring_hash = hash, .seq = 5};
        size_t size = wire_data_head_write(packet, 2, &d) + 10;
        wire_stamp(packet, WORLD_PACKET_MAX);
        uint64_t stale_before = stale(w, MIDDLE);
        uint32_t delivered = w->nodes[MIDDLE].delivered;
        CU_ASSERT_EQUAL(delivered, 4);
        world_give(w, MIDDLE, (struct bytes){packet, size});
        CU_ASSERT_EQUAL(stale(w, MIDDLE), stale_before + 1);
        memset(w->lost_seqs, 0, sizeof w->lost_seqs);
        while (visits == 2 && w->nodes[MIDDLE].state == TOTEM_RECOVERY) {
            CU_ASSERT_EQUAL(w->nodes[MIDDLE].delivered, 4);
            world_next(w);
        }
        CU_ASSERT(world_settle(w, 5000000000));
        CU_ASSERT_EQUAL(w->nodes[MIDDLE].delivered, 6);
        bool known = false;
        for (uint32_t i = 0; i < OLD_RINGS; i++)
            known = known || t->old_hashes[i] == hash;
        CU_ASSERT(known && t->ring.hash != hash);
        world_free(w);
    }
}

static void in_a_ring(void)
{
    struct ring_world *w = before(MIDDLE, 0);
    CU_ASSERT(taken(w, MIDDLE, TOTEM_COMMIT));
    CU_ASSERT(world_settle(w, 5000000000));
    commit.token_seq = 1;
    CU_ASSERT(!taken(w, MIDDLE, TOTEM_OPERATIONAL));
    CU_ASSERT_EQUAL(acks(w, MIDDLE), 1);
    commit.ring_id.nonce++;
    commit.token_seq = 0;
    CU_ASSERT(!taken(w, MIDDLE, TOTEM_OPERATIONAL));
    CU_ASSERT_EQUAL(acks(w, MIDDLE), 1);
    world_free(w);
}

static const struct unit_test tests[] = {
    {"the first visit", first_visit},
    {"the second visit", second_visit},
    {"the third visit", third_visit},
    {"the third visit of others", third_visit_of_others},
    {"what is there of the old ring", old_ring_kept},
    {"in a ring", in_a_ring},
};

UNIT_MAIN("totem_commit", tests)
