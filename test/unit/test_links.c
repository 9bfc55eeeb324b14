/* SPDX-License-Identifier: BSD-3-Clause */
/* Networks that are half broken, for ever: some kinds of packets, or large
 * ones, do not pass from some nodes to others. Whoever gets on forms a ring
 * soon, and keeps it; the others are back soon after the fault's end. */
#include "daemon/totem/ring_id.h"
#include "test/unit/ring_world.h"
#include "test/unit/unit.h"

#define SECOND UINT64_C(1000000000)
#define KIND(k) (1u << WIRE_##k)

enum {
    UNICAST = KIND(TOKEN) | KIND(COMMIT) | KIND(WAKE) | KIND(PROBE) | KIND(ACK),
    MULTICAST = KIND(DATA) | KIND(JOIN) | KIND(MERGE) | KIND(LEAVE),
    ALL_KINDS = UNICAST | MULTICAST
};

/* Places, as bits. */
enum { N1 = 1, N2 = 2, N3 = 4 };

static struct ring_world *ring(uint32_t count)
{
    struct ring_world *w = world_new(count);
    CU_ASSERT_FATAL(world_settle(w, 5 * SECOND));
    return w;
}

/* All of them are in one ring, with nobody else. */
static bool together(const struct ring_world *w, uint32_t bits)
{
    for (uint32_t i = 0; i < w->count; i++)
        if ((bits >> i & 1) != 0 &&
            (w->nodes[i].state != TOTEM_OPERATIONAL ||
             w->nodes[i].member_bits != bits || w->nodes[i].waiting > 0))
            return false;
    return true;
}

/* How long it takes until they are; the limit: not by then. */
static uint64_t until(struct ring_world *w, uint32_t bits, uint64_t limit_ns)
{
    uint64_t begun_ns = w->now_ns;
    while (!together(w, bits) && w->now_ns - begun_ns < limit_ns)
        world_next(w);
    uint64_t took_ns = w->now_ns - begun_ns;
    return took_ns < limit_ns ? took_ns : limit_ns;
}

/* How many rings a node has in that time. */
static uint32_t rings(struct ring_world *w, uint32_t at, uint64_t for_ns)
{
    uint32_t before = w->nodes[at].rings;
    world_run(w, for_ns);
    return w->nodes[at].rings - before;
}

/* What the others told of the third. */
static uint32_t told_of_third(const struct ring_world *w,
                              enum totem_link_state state)
{
    uint32_t sum = 0;
    for (uint32_t at = 0; at < w->count; at++)
        sum += at == 2 ? 0 : w->nodes[at].links[2][state];
    return sum;
}

static void lose_from(struct ring_world *w, uint32_t from, uint32_t kinds)
{
    for (uint32_t to = 0; to < w->count; to++)
        w->lost[from][to] = kinds;
}

static void lose_to(struct ring_world *w, uint32_t to, uint32_t kinds)
{
    for (uint32_t from = 0; from < w->count; from++)
        w->lost[from][to] = kinds;
}

static void lose_between(struct ring_world *w, uint32_t a, uint32_t b,
                         uint32_t kinds)
{
    w->lost[a][b] = w->lost[b][a] = kinds;
}

static void heal(struct ring_world *w)
{
    memset(w->lost, 0, sizeof w->lost);
    memset(w->lost_above, 0, sizeof w->lost_above);
    memset(w->late_ns, 0, sizeof w->late_ns);
}

/* The fault is there: the others soon have a ring, in which nothing happens for
 * a minute; then it ends, and the third is soon back. */
static void third_left_out(struct ring_world *w, uint64_t within_ns,
                           enum totem_link_state why)
{
    uint32_t all = (1u << w->count) - 1, others = all & ~(uint32_t)N3;
    CU_ASSERT(until(w, others, within_ns) < within_ns);
    CU_ASSERT(told_of_third(w, why) > 0);
    CU_ASSERT_EQUAL(rings(w, 0, 60 * SECOND), 0);
    CU_ASSERT(together(w, others) && together(w, N3));
    CU_ASSERT_EQUAL(told_of_third(w, TOTEM_LINK_GOOD), 0);
    for (uint32_t at = 0; at < w->count; at++)
        for (uint32_t of = 0; of < w->count; of++)
            CU_ASSERT(at == 2 || of == 2 ||
                      w->nodes[at].links[of][TOTEM_LINK_LEFT_OUT] == 0);
    heal(w);
    CU_ASSERT(until(w, all, 3 * SECOND) < 3 * SECOND);
    CU_ASSERT(told_of_third(w, TOTEM_LINK_GOOD) > 0);
    world_free(w);
}

/* --- a node whose unicast goes nowhere ------------------------------------ */

static void unicast_of_a_node(void)
{
    for (uint32_t count = 3; count <= WORLD_NODES_MAX; count++) {
        struct ring_world *w = ring(count);
        lose_from(w, 2, UNICAST);
        third_left_out(w, SECOND, TOTEM_LINK_TOKEN);
    }
}

static void unicast_to_a_node(void)
{
    for (uint32_t count = 3; count <= WORLD_NODES_MAX; count++) {
        struct ring_world *w = ring(count);
        lose_to(w, 2, UNICAST);
        third_left_out(w, SECOND, TOTEM_LINK_TOKEN);
    }
}

/* --- two that do not hear each other -------------------------------------- */

/* One of the two has a ring with the first; which, depends on who misses the
 * other first. */
static void pair_apart(struct ring_world *w, uint32_t rings_max)
{
    CU_ASSERT(rings(w, 0, 60 * SECOND) <= rings_max);
    CU_ASSERT((together(w, N1 | N2) && together(w, N3)) ||
              (together(w, N1 | N3) && together(w, N2)));
    uint32_t told = 0;
    for (uint32_t why = TOTEM_LINK_UNHEARD; why <= TOTEM_LINK_TOKEN; why++)
        told += w->nodes[1].links[2][why] + w->nodes[2].links[1][why];
    CU_ASSERT(told > 0);
    CU_ASSERT(w->nodes[0].links[1][TOTEM_LINK_LEFT_OUT] +
                  w->nodes[0].links[2][TOTEM_LINK_LEFT_OUT] >
              0);
    heal(w);
    CU_ASSERT(until(w, N1 | N2 | N3, 3 * SECOND) < 3 * SECOND);
    world_free(w);
}

static void pair_apart_later(void)
{
    struct ring_world *w = ring(3);
    lose_between(w, 1, 2, ALL_KINDS);
    pair_apart(w, 4);
}

static void pair_apart_from_the_start(void)
{
    struct ring_world *w = world_new(3);
    lose_between(w, 1, 2, ALL_KINDS);
    pair_apart(w, 5);
}

/* --- a member that gets the token and no data ------------------------------
 */

static void multicast_to_a_node(void)
{
    struct ring_world *w = ring(3);
    lose_to(w, 2, MULTICAST);
    world_send(w, 0, 3, false);
    third_left_out(w, 3 * SECOND, TOTEM_LINK_DATA);
}

/* Only what is large is lost: a path of another MTU. */
static void large_packets_to_a_node(void)
{
    struct ring_world *w = ring(3);
    w->lost_above[0][2] = w->lost_above[1][2] = 200;
    world_send(w, 0, 20, false);
    third_left_out(w, 3 * SECOND, TOTEM_LINK_DATA);
}

/* --- what probes do not show ---------------------------------------------- */

/* All is well but the kind that a ring needs, so it is tried again and again;
 * ever less often. */
static void seldom_tried(uint32_t kind)
{
    struct ring_world *w = ring(3);
    lose_between(w, 1, 2, kind);
    world_stop(w, 2, false);
    struct totem_config c = world_config(3);
    c.incarnation += 1 << 16;
    world_start(w, 2, &c);
    CU_ASSERT(rings(w, 0, 20 * SECOND) <= 8);
    CU_ASSERT(rings(w, 0, 100 * SECOND) <= 10);
    heal(w);
    CU_ASSERT(until(w, N1 | N2 | N3, 70 * SECOND) < 70 * SECOND);
    world_free(w);
}

static void commit_tokens_of_two(void)
{
    seldom_tried(KIND(COMMIT));
}

static void tokens_of_two(void)
{
    seldom_tried(KIND(TOKEN));
}

/* How long the third stays out when tokens were lost for a while. */
static uint64_t out_for(struct ring_world *w)
{
    lose_between(w, 1, 2, KIND(TOKEN));
    world_run(w, SECOND);
    CU_ASSERT(together(w, N1 | N2));
    heal(w);
    return until(w, N1 | N2 | N3, 100 * SECOND);
}

/* A link that fails again soon has to be well for longer, as probes did not
 * show what was wrong; not if all was well for ten seconds. */
static void relapses(void)
{
    static const uint64_t seconds[] = {1, 4, 16, 32, 32};
    struct ring_world *w = ring(3);
    for (uint32_t times = 0; times < 2; times++) {
        for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
            uint64_t out_ns = out_for(w);
            CU_ASSERT(out_ns + SECOND >= seconds[i] * SECOND);
            CU_ASSERT(out_ns < (seconds[i] + 2) * SECOND);
            world_run(w, 5 * SECOND);
        }
        world_run(w, 5 * SECOND);
    }
    world_free(w);
}

/* What probes show is over when they arrive, however often it comes. */
static void shown_by_probes(void)
{
    struct ring_world *w = ring(3);
    for (uint32_t times = 0; times < 5; times++) {
        lose_to(w, 2, UNICAST);
        world_run(w, 5 * SECOND);
        CU_ASSERT(together(w, N1 | N2));
        heal(w);
        CU_ASSERT(until(w, N1 | N2 | N3, 3 * SECOND) < 3 * SECOND);
    }
    world_free(w);
}

/* --- a node that is another ----------------------------------------------- */

/* What was wrong with it is gone with the process, as far as anybody knows. */
static void restarted_node(void)
{
    struct ring_world *w = ring(3);
    lose_to(w, 2, UNICAST);
    CU_ASSERT(until(w, N1 | N2, SECOND) < SECOND);
    world_run(w, 5 * SECOND);
    world_stop(w, 2, false);
    heal(w);
    struct totem_config c = world_config(3);
    c.incarnation += 1 << 16;
    world_start(w, 2, &c);
    CU_ASSERT(until(w, N1 | N2 | N3, SECOND / 2) < SECOND / 2);
    world_free(w);
}

static uint32_t probes(const struct ring_world *w)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < w->count; i++)
        sum += w->nodes[i].sent_kinds[WIRE_PROBE];
    return sum;
}

/* A node that nobody hears is down: it is not tried any more. */
static void dead_node(void)
{
    struct ring_world *w = ring(3);
    lose_to(w, 2, UNICAST);
    CU_ASSERT(until(w, N1 | N2, SECOND) < SECOND);
    world_stop(w, 2, false);
    uint32_t before = probes(w);
    world_run(w, 9 * SECOND);
    CU_ASSERT(probes(w) > before + 20);
    world_run(w, 2 * SECOND);
    before = probes(w);
    world_run(w, 10 * SECOND);
    CU_ASSERT_EQUAL(probes(w), before);
    heal(w);
    struct totem_config c = world_config(3); /* the same: nothing is known */
    world_start(w, 2, &c);
    CU_ASSERT(until(w, N1 | N2 | N3, SECOND / 2) < SECOND / 2);
    world_free(w);
}

/* --- acknowledgements ------------------------------------------------------
 */

static uint8_t packet[TOTEM_CONTROL_SIZE_MAX];

static void give(struct ring_world *w, uint32_t at, size_t size)
{
    wire_stamp(packet, WORLD_PACKET_MAX);
    world_give(w, at, (struct bytes){packet, size});
}

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
    w->late_ns[2][0] = w->late_ns[2][1] = world_config(1).token_ns / 4;
    CU_ASSERT(until(w, N1 | N2 | N3, 3 * SECOND) < 3 * SECOND);
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
    CU_ASSERT(waited_ns >= world_config(1).consensus_ns);
    CU_ASSERT(waited_ns < world_config(1).consensus_ns + SECOND / 10);
    CU_ASSERT(together(w, N1));
    world_free(w);
}

/* --- a node that is mute, or deaf ------------------------------------------
 */

static void left_alone(struct ring_world *w)
{
    uint32_t before[3];
    CU_ASSERT(until(w, N1 | N2, SECOND) < SECOND);
    CU_ASSERT(until(w, N3, SECOND) < SECOND);
    for (uint32_t at = 0; at < 3; at++)
        before[at] = w->nodes[at].rings;
    world_run(w, 20 * SECOND);
    for (uint32_t at = 0; at < 3; at++) {
        CU_ASSERT(w->nodes[at].rings - before[at] <= 8);
        before[at] = w->nodes[at].rings;
    }
    world_run(w, 100 * SECOND);
    for (uint32_t at = 0; at < 3; at++)
        CU_ASSERT(w->nodes[at].rings - before[at] <= 10);
    CU_ASSERT(together(w, N1 | N2) && together(w, N3));
    heal(w);
    CU_ASSERT(until(w, N1 | N2 | N3, 3 * SECOND) < 3 * SECOND);
    world_free(w);
}

static void mute_node(void)
{
    struct ring_world *w = ring(3);
    lose_from(w, 2, ALL_KINDS);
    left_alone(w);
}

static void deaf_node(void)
{
    struct ring_world *w = ring(3);
    lose_to(w, 2, ALL_KINDS);
    left_alone(w);
}

static const struct unit_test tests[] = {
    {"unicast of a node goes nowhere", unicast_of_a_node},
    {"unicast to a node goes nowhere", unicast_to_a_node},
    {"two do not hear each other", pair_apart_later},
    {"two that never did", pair_apart_from_the_start},
    {"multicast to a node goes nowhere", multicast_to_a_node},
    {"large packets to a node go nowhere", large_packets_to_a_node},
    {"commit tokens of two go nowhere", commit_tokens_of_two},
    {"tokens of two go nowhere", tokens_of_two},
    {"relapses, and ten seconds without", relapses},
    {"relapses that probes show", shown_by_probes},
    {"a node that was restarted", restarted_node},
    {"a node that died", dead_node},
    {"tokens that are acknowledged", token_acknowledged},
    {"commit tokens that are acknowledged", commit_token_acknowledged},
    {"which acknowledgements count", acks_of_tokens},
    {"slow acknowledgements", slow_acks},
    {"a node that is passed over waits", passed_over_waits},
    {"a mute node", mute_node},
    {"a deaf node", deaf_node},
};

UNIT_MAIN("links", tests)
