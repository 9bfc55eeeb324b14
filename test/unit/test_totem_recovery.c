/* SPDX-License-Identifier: BSD-3-Clause */
/* The exchange of an old ring's packets, packet by packet: who sends what, how
 * often, and what is made of it. That all agree in the end is the simulator's
 * business; here it is what the exchange costs, and what it refuses. */
#include "test/unit/ring_world.h"
#include "test/unit/unit.h"

enum { SECOND = 1000000000 };

static struct ring_world *ring(uint32_t count)
{
    struct ring_world *w = world_new(count);
    CU_ASSERT_FATAL(world_settle(w, 5 * (uint64_t)SECOND));
    return w;
}

static uint64_t packets_sent(const struct ring_world *w)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < w->count; i++)
        if (w->nodes[i].totem != NULL)
            sum += totem_stats_get(w->nodes[i].totem)->packets_sent;
    return sum;
}

static void until_delivered(struct ring_world *w, uint32_t at, uint32_t count)
{
    for (int i = 0; i < 10000 && w->nodes[at].delivered < count; i++)
        world_next(w);
    CU_ASSERT_FATAL(w->nodes[at].delivered == count);
}

/* `at` leaves, and the others form a ring. Gives how many packets of the old
 * one they sent each other. */
static uint64_t exchanged(struct ring_world *w, uint32_t at)
{
    world_stop(w, at, true);
    uint64_t before = packets_sent(w);
    for (uint32_t i = 0; i < w->count; i++)
        w->nodes[i].waiting = 0;
    CU_ASSERT(world_settle(w, 5 * (uint64_t)SECOND));
    return packets_sent(w) - before;
}

// --- who sends what
// ----------------------------------------------------------------

/* What all have is not sent, though not all know it yet. */
static void nothing_to_exchange(void)
{
    struct ring_world *w = ring(4);
    world_send(w, 1, 4, false);
    for (uint32_t at = 0; at < 3; at++)
        until_delivered(w, at, 4);
    CU_ASSERT_EQUAL(exchanged(w, 3), 0);
    world_free(w);
}

/* The third lacks the last two of four, the first two have them: the lowest of
 * those sends them, though the second does not hear that. */
static void lowest_sends(void)
{
    struct ring_world *w = ring(4);
    for (uint32_t from = 0; from < 4; from++)
        w->lost_seqs[from][2] = 3 << 3; /* numbers 3 and 4 */
    world_send(w, 1, 4, false);
    until_delivered(w, 0, 4);
    until_delivered(w, 1, 4);
    until_delivered(w, 2, 2);
    w->lost[0][1] = 1 << WIRE_DATA;
    CU_ASSERT_EQUAL(exchanged(w, 3), 2);
    for (uint32_t at = 0; at < 3; at++) {
        CU_ASSERT_EQUAL(w->nodes[at].delivered, 4);
        CU_ASSERT_EQUAL(w->nodes[at].delivered_late, 0);
    }
    world_free(w);
}

/* The fourth sends messages up to number `last`; nobody else gets the one
 * before that, and `has` (bits) get the last. It is sent once, by the first who
 * has it and whose turn it is. */
static void behind_a_gap(struct ring_world *w, uint32_t last, uint32_t has,
                         uint32_t packets)
{
    uint64_t hole = (uint64_t)1 << (last - 1), end = (uint64_t)1 << last;
    uint32_t delivered[3];
    for (uint32_t to = 0; to < 3; to++) {
        delivered[to] = w->nodes[to].delivered;
        for (uint32_t from = 0; from < 4; from++)
            w->lost_seqs[from][to] = (has >> to & 1) != 0 ? hole : hole | end;
    }
    world_send(w, 3, last, false);
    until_delivered(w, 3, w->nodes[3].delivered + last);
    for (uint32_t at = 0; at < 3; at++)
        until_delivered(w, at, delivered[at] + last - 2);
    for (uint32_t i = 0; i < 12; i++) /* all that is on its way arrives */
        world_next(w);
    CU_ASSERT_EQUAL(exchanged(w, 3), packets);
    memset(w->lost_seqs, 0, sizeof w->lost_seqs);
    for (uint32_t at = 0; at < 3; at++)
        CU_ASSERT_EQUAL(w->nodes[at].delivered, delivered[at] + last - 2);
}

/* And so in the next ring, where the numbers are the same. */
static void behind_gaps(void)
{
    for (uint32_t last = 4; last <= 5; last++) {
        struct ring_world *w = ring(4);
        for (uint32_t life = 1; life < 8; life++) {
            behind_a_gap(w, last, life, 1);
            struct totem_config c = world_config(4);
            c.incarnation += life << 16;
            world_start(w, 3, &c);
            CU_ASSERT(world_settle(w, 5 * (uint64_t)SECOND));
        }
        world_free(w);
    }
}

/* A node without others of its old ring has nobody to send to. */
static void alone_behind_a_gap(void)
{
    struct ring_world *w = ring(2);
    w->lost_seqs[1][0] = 1 << 2;
    world_send(w, 1, 3, false);
    until_delivered(w, 1, 3);
    until_delivered(w, 0, 1);
    for (uint32_t i = 0; i < 6; i++)
        world_next(w);
    CU_ASSERT_EQUAL(exchanged(w, 1), 0);
    CU_ASSERT_EQUAL(w->nodes[0].delivered, 1);
    world_free(w);
}

// --- how fast
// -----------------------------------------------------------------------

/* `count` nodes, of which `lacks` gets nothing of the `messages` of the first;
 * then the last one leaves. */
static struct ring_world *backlog(uint32_t count, uint32_t lacks,
                                  uint32_t messages)
{
    struct ring_world *w = ring(count);
    for (uint32_t from = 0; from < count; from++)
        w->lost[from][lacks] = 1 << WIRE_DATA;
    world_send(w, 0, messages, false);
    for (uint32_t at = 0; at < count - 1; at++)
        if (at != lacks)
            until_delivered(w, at, messages);
    for (uint32_t from = 0; from < count; from++)
        w->lost[from][lacks] = 0;
    return w;
}

/* In a visit each sends its part of the window, one packet at least. */
static void pace(uint32_t count, uint32_t each)
{
    struct ring_world *w = backlog(count, 1, 30);
    uint64_t gathers = totem_stats_get(w->nodes[0].totem)->gathers;
    CU_ASSERT_EQUAL(exchanged(w, count - 1), 30);
    CU_ASSERT_EQUAL(w->nodes[1].delivered, 30);
    CU_ASSERT_EQUAL(w->nodes[1].delivered_late, 0);
    CU_ASSERT_EQUAL(w->nodes[0].recovered_most, each);
    CU_ASSERT_EQUAL(totem_stats_get(w->nodes[0].totem)->gathers, gathers + 1);
    world_free(w);
}

static void paces(void)
{
    pace(4, 2); /* three in a window of eight */
    pace(12, 1);
}

/* Tokens that the first takes until the ring is there, when there is nothing to
 * exchange: three quiet visits, whatever the first number is. */
static void quiet_visits(uint64_t first_seq)
{
    struct ring_world *w = world_new(3);
    for (uint32_t at = 0; at < 3; at++) {
        struct totem_config c = world_config(at + 1);
        c.first_seq = first_seq;
        c.incarnation += 1 << 16;
        world_start(w, at, &c);
    }
    CU_ASSERT(world_until(w, 0, TOTEM_RECOVERY));
    uint64_t before = totem_stats_get(w->nodes[0].totem)->tokens_received;
    CU_ASSERT(world_until(w, 0, TOTEM_OPERATIONAL));
    CU_ASSERT_EQUAL(totem_stats_get(w->nodes[0].totem)->tokens_received,
                    before + 2); /* after the one that it makes */
    world_free(w);
}

static void quiet(void)
{
    quiet_visits(0);
    quiet_visits(1000);
}

/* One has two packets to send, another the other 28: who is done with its own
 * does not make the others believe that all are. */
static void one_is_done_first(void)
{
    struct ring_world *w = ring(4);
    for (uint32_t from = 0; from < 4; from++) {
        w->lost_seqs[from][0] = ~(uint64_t)7; /* it has 1 and 2 */
        w->lost[from][2] = 1 << WIRE_DATA;    /* none */
    }
    world_send(w, 1, 30, false);
    until_delivered(w, 1, 30);
    until_delivered(w, 0, 2);
    memset(w->lost, 0, sizeof w->lost);
    CU_ASSERT_EQUAL(exchanged(w, 3), 30);
    for (uint32_t at = 0; at < 3; at++) {
        CU_ASSERT_EQUAL(w->nodes[at].delivered, 30);
        CU_ASSERT_EQUAL(w->nodes[at].delivered_late, 0);
        CU_ASSERT_EQUAL(w->nodes[at].configurations, 4);
    }
    world_free(w);
}

/* Rings of two that meet, each with nearly as many packets to exchange as a
 * ring has room for. `deaf`: one gets none of them for a while. */
static void backlogs(uint32_t rings, bool deaf)
{
    struct ring_world *w = world_new(2 * rings);
    for (uint32_t i = 0; i < w->count; i++)
        for (uint32_t k = 0; k < w->count; k++)
            w->lost[i][k] = i / 2 == k / 2 ? 0 : UINT16_MAX;
    world_run(w, 2 * (uint64_t)SECOND);
    for (uint32_t at = 0; at < w->count; at += 2) {
        CU_ASSERT_EQUAL(w->nodes[at].members, 2);
        w->lost[at][at + 1] = 1 << WIRE_DATA;
        world_send(w, at, 30, false);
        until_delivered(w, at, 30);
    }
    /* They meet, and their old rings exchange nothing more. */
    for (uint32_t i = 0; i < w->count; i++)
        for (uint32_t k = 0; k < w->count; k++)
            w->lost[i][k] = 1 << WIRE_DATA;
    struct world_packet p;
    while (world_take(w, &p))
        free(p.data);
    uint64_t before = packets_sent(w);
    CU_ASSERT(world_until(w, 0, TOTEM_RECOVERY));
    memset(w->lost, 0, sizeof w->lost);
    for (uint32_t i = 0; i < w->count && deaf; i++)
        w->lost[i][0] = 1 << WIRE_DATA;
    world_run(w, SECOND / 10);
    memset(w->lost, 0, sizeof w->lost);
    CU_ASSERT(world_settle(w, 5 * (uint64_t)SECOND));
    CU_ASSERT_EQUAL(packets_sent(w) - before, 30 * rings);
    for (uint32_t at = 0; at < w->count; at++) {
        const struct totem_stats *s = totem_stats_get(w->nodes[at].totem);
        CU_ASSERT_EQUAL(w->nodes[at].delivered, 30);
        CU_ASSERT_EQUAL(s->token_losses, 0);
        CU_ASSERT_EQUAL(s->dropped[TOTEM_DROP_WINDOW], 0);
        CU_ASSERT_EQUAL(w->nodes[at].broken, 0);
    }
    world_free(w);
}

static void several_backlogs(void)
{
    for (uint32_t rings = 2; rings <= 4; rings++) {
        backlogs(rings, false);
        backlogs(rings, true);
    }
}

// --- what no member sends
// -----------------------------------------------------------

static uint8_t packet[TOTEM_CONTROL_SIZE_MAX];

static void give(struct ring_world *w, uint32_t at, size_t size)
{
    wire_stamp(packet, WORLD_PACKET_MAX);
    world_give(w, at, (struct bytes){packet, size});
}

static uint64_t malformed(const struct ring_world *w, uint32_t at)
{
    return totem_stats_get(w->nodes[at].totem)->dropped[TOTEM_DROP_MALFORMED];
}

static void last_read(struct ring_world *w, enum wire_kind kind,
                      struct reader *r, struct wire_head *head)
{
    *r = reader_of((struct bytes){w->last[kind], w->last_size[kind]});
    CU_ASSERT_FATAL(wire_head_read(r, head) && head->kind == kind);
}

/* A recovered packet of what nobody had, or of a node that was no member. */
static void hostile_packets(void)
{
    static struct wire_commit commit;
    struct reader r;
    struct wire_head head;
    struct ring_world *w = backlog(4, 1, 4);
    world_stop(w, 3, true);
    CU_ASSERT(world_until(w, 1, TOTEM_RECOVERY));
    last_read(w, WIRE_COMMIT, &r, &head);
    CU_ASSERT_FATAL(wire_commit_read(&r, &commit));
    static const struct {
        uint64_t old_seq;
        uint32_t old_sender;
        bool malformed;
    } cases[] = {{5, 1, true}, {4, 9, true}, {5, 9, true}, {4, 1, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_data data = {.ring_hash = wire_ring_hash(&commit.ring_id),
                                 .seq = i + 1,
                                 .recovered = true,
                                 .old_seq = cases[i].old_seq,
                                 .old_sender = cases[i].old_sender};
        size_t n = wire_data_head_write(packet, 1, &data);
        uint64_t before = malformed(w, 1);
        packet[n] = 1;
        give(w, 1, n + 1);
        CU_ASSERT_EQUAL(malformed(w, 1), before + cases[i].malformed);
    }
    CU_ASSERT_EQUAL(w->nodes[1].delivered, 0);
    world_free(w);
}

/* A token whose flag nobody has put up, so nobody takes it down. */
static void flag_is_nobodys(uint64_t first_seq)
{
    static struct wire_token token;
    struct reader r;
    struct wire_head head;
    struct ring_world *w = world_new(2);
    for (uint32_t at = 0; at < 2; at++) {
        struct totem_config c = world_config(at + 1);
        c.first_seq = first_seq;
        c.incarnation += 1 << 16;
        world_start(w, at, &c);
    }
    CU_ASSERT(world_until(w, 1, TOTEM_RECOVERY));
    uint64_t none = totem_stats_get(w->nodes[1].totem)->tokens_received;
    while (totem_stats_get(w->nodes[1].totem)->tokens_received == none)
        world_next(w);
    last_read(w, WIRE_TOKEN, &r, &head); /* the second's to the first */
    CU_ASSERT_FATAL(head.sender == 2 && wire_token_read(&r, &head, &token));
    struct world_packet p;
    while (world_take(w, &p))
        free(p.data);
    token.retrans = true;
    uint64_t before = totem_stats_get(w->nodes[0].totem)->tokens_received;
    give(w, 0, wire_token_write(packet, 2, &token));
    while (w->nodes[0].state == TOTEM_RECOVERY &&
           w->nodes[1].state == TOTEM_RECOVERY &&
           w->now_ns < 60 * (uint64_t)SECOND)
        world_next(w);
    uint32_t at = w->nodes[0].state == TOTEM_RECOVERY ? 1 : 0;
    CU_ASSERT_STRING_EQUAL(w->nodes[at].reason, "recovery does not end");
    CU_ASSERT_EQUAL(
        totem_stats_get(w->nodes[0].totem)->tokens_received - before, 9);
    CU_ASSERT(world_settle(w, 5 * (uint64_t)SECOND));
    world_free(w);
}

static void flag_of_nobody(void)
{
    flag_is_nobodys(0);
    flag_is_nobodys(7);
}

/* A member's entry that says it has nothing of what all are known to have. With
 * large numbers, to look for all of it would take for ever. */
static void low_entry(void)
{
    static struct wire_commit commit;
    struct reader r;
    struct wire_head head;
    struct ring_world *w = world_new(2);
    for (uint32_t at = 0; at < 2; at++) {
        struct totem_config c = world_config(at + 1);
        c.first_seq = (uint64_t)1 << 40;
        c.incarnation += 1 << 16;
        world_start(w, at, &c);
    }
    CU_ASSERT(world_settle(w, 5 * (uint64_t)SECOND));
    w->lost[0][1] = w->lost[1][0] = 1 << WIRE_TOKEN | 1 << WIRE_DATA;
    w->lost[0][1] |= 1 << WIRE_COMMIT;
    world_send(w, 0, 1, false);
    CU_ASSERT(world_until(w, 0, TOTEM_COMMIT));
    last_read(w, WIRE_COMMIT, &r, &head);
    CU_ASSERT_FATAL(wire_commit_read(&r, &commit) && commit.count == 2);
    commit.token_seq++;
    commit.entries[1] = commit.entries[0];
    commit.entries[1].node_id = 2;
    commit.entries[1].aru = commit.entries[1].safe = 0;
    give(w, 0, wire_commit_write(packet, 2, &commit));
    CU_ASSERT_EQUAL(w->nodes[0].state, TOTEM_RECOVERY);
    commit.token_seq += 9; /* it makes a token, and looks what to send */
    give(w, 0, wire_commit_write(packet, 2, &commit));
    CU_ASSERT(w->last_size[WIRE_TOKEN] > 0);
    world_free(w);
}

static const struct unit_test tests[] = {
    {"what all have is not sent", nothing_to_exchange},
    {"the lowest that has it sends", lowest_sends},
    {"what is behind a gap is sent once", behind_gaps},
    {"alone behind a gap", alone_behind_a_gap},
    {"how much in a visit", paces},
    {"nothing to exchange takes three visits", quiet},
    {"one is done before the others", one_is_done_first},
    {"several backlogs", several_backlogs},
    {"packets that no member sends", hostile_packets},
    {"a flag of nobody", flag_of_nobody},
    {"an entry that is too low", low_entry},
};

UNIT_MAIN("totem_recovery", tests)
