/* SPDX-License-Identifier: BSD-3-Clause */
/* What nodes tell each other of links, packet by packet: acknowledgements,
 * merge messages, signs of life; and what a node makes of it. */
#include "test/unit/broken_world.h"

static uint8_t packet[TOTEM_CONTROL_SIZE_MAX];

static void give(struct ring_world *w, uint32_t at, size_t size)
{
    wire_stamp(packet, WORLD_PACKET_MAX);
    world_give(w, at, (struct bytes){packet, size});
}

/* --- signs of life -------------------------------------------------------- */

/* It is dead, but somebody is heard who hears it, or its joins still come. */
static void kept_alive(bool by_joins)
{
    struct ring_world *w = ring(3);
    lose_to(w, 2, UNICAST);
    CU_ASSERT(until(w, N1 | N2, SECOND) < SECOND);
    world_stop(w, 2, false);
    struct wire_join join = {.incarnation = world_config(3).incarnation,
                             .proc = {.count = 1, .ids = {3}}};
    struct wire_merge merge = {.ring_id = {.seq = 1, .rep = 1},
                               .heard = {.count = 2, .ids = {1, 3}}};
    uint32_t rings_before = w->nodes[0].rings;
    for (uint32_t i = 0; i < 15; i++) {
        world_run(w, SECOND);
        if (by_joins)
            give(w, 1, wire_join_write(packet, 3, &join));
        else
            give(w, 1, wire_merge_write(packet, 1, &merge, 0));
    }
    uint32_t before = probes(w);
    world_run(w, SECOND);
    CU_ASSERT(probes(w) > before);
    CU_ASSERT_EQUAL(w->nodes[0].rings, rings_before);
    world_run(w, 12 * SECOND);
    before = probes(w);
    world_run(w, SECOND);
    CU_ASSERT_EQUAL(probes(w), before);
    world_free(w);
}

static void signs_of_life(void)
{
    kept_alive(false);
    kept_alive(true);
}

/* --- acknowledgements ------------------------------------------------------
 */

static struct reader last_of(const struct ring_world *w, enum wire_kind kind)
{
    struct wire_head head;
    struct reader r =
        reader_of((struct bytes){w->last[kind], w->last_size[kind]});
    CU_ASSERT_FATAL(wire_head_read(&r, &head));
    return r;
}

static struct wire_token last_token(const struct ring_world *w)
{
    struct wire_head head = {.kind = WIRE_TOKEN};
    struct wire_token token;
    struct reader r = last_of(w, WIRE_TOKEN);
    CU_ASSERT_FATAL(wire_token_read(&r, &head, &token));
    return token;
}

/* The acknowledgements that `at` sends for a packet of node 2. */
static uint32_t acks_for(struct ring_world *w, uint32_t at, size_t size)
{
    uint32_t before = w->nodes[at].sent_kinds[WIRE_ACK];
    give(w, at, size);
    return w->nodes[at].sent_kinds[WIRE_ACK] - before;
}

static uint32_t acks_for_token(struct ring_world *w, struct wire_token token)
{
    return acks_for(w, 0, wire_token_write(packet, 2, &token));
}

/* Of a token that was taken, when it comes again, and of no other. */
static void token_acknowledged(void)
{
    struct ring_world *w = ring(2);
    world_run(w, SECOND);
    struct wire_token token = last_token(w), other = token;
    token.token_seq -= 2;
    CU_ASSERT_EQUAL(acks_for_token(w, token), 1);
    struct wire_echo ack;
    struct reader r = last_of(w, WIRE_ACK);
    CU_ASSERT(wire_echo_read(&r, &ack));
    CU_ASSERT_EQUAL(ack.ring_hash, wire_ring_hash(&token.ring_id));
    CU_ASSERT_EQUAL(ack.number, token.token_seq);
    other.ring_id.nonce++; /* of another ring */
    CU_ASSERT_EQUAL(acks_for_token(w, other), 0);
    other = token;
    other.token_seq += 100; /* taken for the first time */
    CU_ASSERT_EQUAL(acks_for_token(w, other), 0);
    CU_ASSERT_EQUAL(acks_for_token(w, other), 1);
    world_free(w);
}

static struct wire_commit commit;

static uint32_t acks_for_commit(struct ring_world *w, uint64_t hop)
{
    commit.token_seq = hop;
    return acks_for(w, 1, wire_commit_write(packet, 1, &commit));
}

static void commit_token_acknowledged(void)
{
    struct ring_world *w = world_new(2);
    for (int i = 0; i < 10000 && w->nodes[1].state != TOTEM_COMMIT; i++)
        world_next(w);
    CU_ASSERT_FATAL(w->nodes[1].state == TOTEM_COMMIT);
    struct reader r = last_of(w, WIRE_COMMIT);
    CU_ASSERT_FATAL(wire_commit_read(&r, &commit));
    uint64_t hop = commit.token_seq; /* as the second passed it on */
    CU_ASSERT_EQUAL(acks_for_commit(w, hop - 1), 1);
    CU_ASSERT_EQUAL(acks_for_commit(w, hop + 1), 0); /* entries are missing */
    commit.ring_id.nonce++;
    CU_ASSERT_EQUAL(acks_for_commit(w, hop - 1), 0);
    CU_ASSERT(world_settle(w, 5 * SECOND));
    world_free(w);
}

/* Of two nodes the second takes the token, and what it sends on is lost: who is
 * at fault the acknowledgements show. `wrong` makes others of them. */
static uint32_t told_with_acks(bool lost, void (*wrong)(struct wire_echo *))
{
    struct ring_world *w = ring(2);
    w->lost[1][0] = KIND(TOKEN) | (lost ? KIND(ACK) : 0);
    uint64_t end_ns = w->now_ns + 3 * SECOND;
    uint32_t seen = 0;
    while (w->now_ns < end_ns) {
        world_next(w);
        if (wrong == NULL || w->nodes[1].sent_kinds[WIRE_ACK] == seen)
            continue;
        seen = w->nodes[1].sent_kinds[WIRE_ACK];
        struct reader r = last_of(w, WIRE_ACK);
        struct wire_echo ack;
        CU_ASSERT(wire_echo_read(&r, &ack));
        if (ack.ring_hash == 0)
            continue;
        wrong(&ack);
        give(w, 0, wire_echo_write(packet, WIRE_ACK, 2, &ack, 0));
    }
    CU_ASSERT(w->nodes[1].links[0][TOTEM_LINK_TOKEN] > 0);
    uint32_t told = w->nodes[0].links[1][TOTEM_LINK_TOKEN];
    world_free(w);
    return told;
}

static void right_ack(struct wire_echo *ack)
{
    (void)ack;
}

static void other_hop(struct wire_echo *ack)
{
    ack->number--;
}

static void other_ring(struct wire_echo *ack)
{
    ack->ring_hash++;
}

static void acks_of_tokens(void)
{
    CU_ASSERT_EQUAL(told_with_acks(false, NULL), 0);
    CU_ASSERT(told_with_acks(true, NULL) > 0);
    CU_ASSERT_EQUAL(told_with_acks(true, right_ack), 0);
    CU_ASSERT(told_with_acks(true, other_hop) > 0);
    CU_ASSERT(told_with_acks(true, other_ring) > 0);
}

/* A way on which an acknowledgement takes half a token timeout is no good. */
static void slow_acks(void)
{
    struct ring_world *w = ring(3);
    lose_to(w, 2, UNICAST);
    CU_ASSERT(until(w, N1 | N2, SECOND) < SECOND);
    heal(w);
    w->late_ns[2][0] = w->late_ns[2][1] = world_config(1).token_ns / 2;
    CU_ASSERT_EQUAL(rings(w, 0, 60 * SECOND), 0);
    CU_ASSERT_EQUAL(told_of_third(w, TOTEM_LINK_GOOD), 0);
    w->late_ns[2][0] = w->late_ns[2][1] = world_config(1).token_ns * 9 / 20;
    CU_ASSERT(until(w, N1 | N2 | N3, 3 * SECOND) < 3 * SECOND);
    world_free(w);
}

/* --- merge messages --------------------------------------------------------
 */

/* From a stranger, of a ring that is new each time. */
static struct wire_merge merge_of(uint32_t sender)
{
    static uint64_t nonce;
    struct wire_merge merge = {
        .ring_id = {.seq = 100, .nonce = ++nonce, .rep = sender}};
    set_add(&merge.members, sender);
    return merge;
}

static void give_merge(struct ring_world *w, uint32_t at, uint32_t sender,
                       const struct wire_merge *merge)
{
    give(w, at, wire_merge_write(packet, sender, merge, WORLD_PACKET_MAX));
}

static struct wire_merge last_merge(const struct ring_world *w)
{
    static struct wire_merge merge;
    struct reader r = last_of(w, WIRE_MERGE);
    CU_ASSERT_FATAL(wire_merge_read(&r, &merge));
    return merge;
}

static struct ring_world *ring_without_first(void)
{
    struct ring_world *w = ring(3);
    world_stop(w, 0, true);
    CU_ASSERT_FATAL(until(w, N2 | N3, SECOND) < SECOND);
    return w;
}

/* The ring follows a stranger if neither side refuses a member of the other. */
static bool followed(const struct wire_merge *merge)
{
    struct ring_world *w = ring_without_first();
    give_merge(w, 1, merge->ring_id.rep, merge);
    bool follows = w->nodes[1].state == TOTEM_GATHER;
    world_free(w);
    return follows;
}

static void strangers_followed(void)
{
    struct wire_merge merge = merge_of(7);
    CU_ASSERT(followed(&merge));
    set_add(&merge.refused, 1); /* another one */
    set_add(&merge.refused_too, 8);
    CU_ASSERT(followed(&merge));
    set_add(&merge.refused, 3);
    CU_ASSERT(!followed(&merge));
    merge = merge_of(7);
    set_add(&merge.refused_too, 1);
    set_add(&merge.refused_too, 2);
    CU_ASSERT(!followed(&merge));
}

/* Nor one that is in a ring with a node that this ring refuses. */
static void company_of_the_refused(void)
{
    struct ring_world *w = ring(3);
    lose_to(w, 2, UNICAST);
    CU_ASSERT(until(w, N1 | N2, SECOND) < SECOND);
    world_run(w, SECOND);
    for (uint32_t at = 0; at < 2; at++) {
        struct wire_merge merge = merge_of(2 + 1);
        set_add(&merge.members, 7);
        give_merge(w, at, 7, &merge);
        CU_ASSERT_EQUAL(w->nodes[at].state, TOTEM_OPERATIONAL);
        merge = merge_of(7);
        give_merge(w, at, 7, &merge);
        CU_ASSERT_EQUAL(w->nodes[at].state, TOTEM_GATHER);
        CU_ASSERT(until(w, N1 | N2, 2 * SECOND) < 2 * SECOND);
        world_run(w, SECOND);
    }
    world_free(w);
}

/* One that was just left out is not followed, before the member that accuses it
 * has said so again. */
static void left_out_just_now(void)
{
    struct ring_world *w = ring(3);
    lose_between(w, 1, 2, ALL_KINDS);
    uint32_t out = 0;
    while (out == 0) {
        world_next(w);
        for (uint32_t of = 1; of < 3; of++)
            if (w->nodes[0].links[of][TOTEM_LINK_LEFT_OUT] > 0)
                out = of;
    }
    uint32_t ring_of_two = (N1 | N2 | N3) & ~(1u << out);
    CU_ASSERT(until(w, ring_of_two, SECOND / 10) < SECOND / 10);
    struct wire_merge merge = merge_of(out + 1);
    give_merge(w, 0, out + 1, &merge);
    CU_ASSERT_EQUAL(w->nodes[0].state, TOTEM_OPERATIONAL);
    world_free(w);
}

static uint32_t merges(struct ring_world *w, uint32_t at, uint64_t for_ns)
{
    uint32_t before = w->nodes[at].sent_kinds[WIRE_MERGE];
    world_run(w, for_ns);
    return w->nodes[at].sent_kinds[WIRE_MERGE] - before;
}

/* The representative sends them always, others while a ring refuses them. */
static void who_sends_merges(void)
{
    struct ring_world *w = ring_without_first();
    CU_ASSERT_EQUAL(merges(w, 1, SECOND), 5);
    CU_ASSERT_EQUAL(w->nodes[2].sent_kinds[WIRE_MERGE], 0);
    struct wire_merge merge = merge_of(7);
    set_add(&merge.refused, 2);
    give_merge(w, 2, 7, &merge);
    CU_ASSERT_EQUAL(merges(w, 2, SECOND), 0);
    set_add(&merge.refused_too, 3);
    give_merge(w, 2, 7, &merge);
    CU_ASSERT_EQUAL(merges(w, 2, 2 * SECOND), 4); /* while it was just said */
    world_free(w);
}

/* What was heard counts for four intervals. */
static void heard_lately(void)
{
    struct ring_world *w = ring_without_first();
    uint32_t sent = w->nodes[1].sent_kinds[WIRE_MERGE];
    while (w->nodes[1].sent_kinds[WIRE_MERGE] == sent)
        world_next(w);
    world_run(w, SECOND / 100);
    struct wire_merge merge = merge_of(7);
    set_add(&merge.refused, 2);
    give_merge(w, 1, 7, &merge);
    for (uint32_t i = 1; i <= 5; i++) {
        CU_ASSERT_EQUAL(merges(w, 1, world_config(2).merge_ns), 1);
        merge = last_merge(w);
        CU_ASSERT_EQUAL(set_has(&merge.heard, 7), i < 5);
        CU_ASSERT_EQUAL(merge.members.count, 2);
        CU_ASSERT_EQUAL(w->last_size[WIRE_MERGE], WORLD_PACKET_MAX);
    }
    world_free(w);
}

/* Merge messages and probes have the size of the largest packet, and no more
 * than a control packet may have. */
static void sizes(void)
{
    struct ring_world *w = world_new(1);
    struct totem_config c = world_config(1);
    c.packet_size_max = 65535;
    world_start(w, 0, &c);
    CU_ASSERT(merges(w, 0, SECOND) > 3);
    CU_ASSERT_EQUAL(w->last_size[WIRE_MERGE], TOTEM_CONTROL_SIZE_MAX);
    world_free(w);
    w = ring(3);
    lose_to(w, 2, UNICAST);
    world_run(w, 2 * SECOND);
    CU_ASSERT_EQUAL(w->last_size[WIRE_PROBE], WORLD_PACKET_MAX);
    world_free(w);
}

/* More strangers than there is room for: a bad link stays, and those that were
 * heard last. */
static void many_strangers(void)
{
    struct ring_world *w = ring(3);
    lose_to(w, 2, UNICAST);
    CU_ASSERT(until(w, N1 | N2, SECOND) < SECOND);
    for (uint32_t id = 10; id < 310; id++) {
        struct wire_merge merge = merge_of(id);
        set_add(&merge.refused, 1);
        w->now_ns += 1000;
        give_merge(w, 1, id, &merge);
    }
    uint32_t sent = w->nodes[1].sent_kinds[WIRE_MERGE];
    while (w->nodes[1].sent_kinds[WIRE_MERGE] == sent)
        world_next(w);
    struct wire_merge merge = last_merge(w);
    CU_ASSERT(merge.refused.count == 1 && set_has(&merge.refused, 3));
    CU_ASSERT_EQUAL(merge.heard.count, TOTEM_NODES_MAX - 1);
    for (uint32_t id = 310 - TOTEM_NODES_MAX + 1; id < 310; id++)
        CU_ASSERT(set_has(&merge.heard, id));
    world_free(w);
}

/* --- a node that is passed over ------------------------------------------- */

/* The others accuse it. It waits until they have their ring, before it makes
 * its own; longer than a node waits that is started alone. */
static void passed_over_waits(void)
{
    struct ring_world *w = world_new(1);
    struct wire_join join = {.proc = {.count = 3, .ids = {1, 2, 3}}};
    join.heard = join.proc;
    accusations_add(&join.accusations, 1, 0);
    accusations_add(&join.accusations, 2, 0);
    uint64_t begun_ns = w->now_ns;
    for (uint32_t id = 2; id <= 3; id++) {
        join.incarnation = id;
        give(w, 0, wire_join_write(packet, id, &join));
    }
    while (w->nodes[0].rings == 0 && w->now_ns < begun_ns + SECOND)
        world_next(w);
    uint64_t waited_ns = w->now_ns - begun_ns;
    CU_ASSERT(waited_ns >= world_config(1).consensus_ns * 3 / 2);
    CU_ASSERT(waited_ns < world_config(1).consensus_ns * 2 + SECOND / 10);
    CU_ASSERT(together(w, N1));
    world_free(w);
}

static const struct unit_test tests[] = {
    {"signs of life", signs_of_life},
    {"tokens that are acknowledged", token_acknowledged},
    {"commit tokens that are acknowledged", commit_token_acknowledged},
    {"which acknowledgements count", acks_of_tokens},
    {"slow acknowledgements", slow_acks},
    {"strangers that are followed", strangers_followed},
    {"the company of the refused", company_of_the_refused},
    {"a node that was just left out", left_out_just_now},
    {"who sends merge messages", who_sends_merges},
    {"what was heard lately", heard_lately},
    {"sizes of merge messages and probes", sizes},
    {"more strangers than there is room for", many_strangers},
    {"a node that is passed over waits", passed_over_waits},
};

UNIT_MAIN("links_told", tests)
