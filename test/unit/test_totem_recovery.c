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

/* Of the fourth node's four messages nobody else has number 3; two have number
 * 4, the third does not. It is sent once, by the first whose turn it is. */
static void behind_a_gap(struct ring_world *w)
{
    for (uint32_t to = 0; to < 3; to++)
        w->lost_seqs[3][to] = 1 << 3;
    for (uint32_t from = 0; from < 4; from++)
        w->lost_seqs[from][2] = 3 << 3;
    uint32_t delivered[3];
    for (uint32_t at = 0; at < 3; at++)
        delivered[at] = w->nodes[at].delivered;
    world_send(w, 3, 4, false);
    until_delivered(w, 3, w->nodes[3].delivered + 4);
    for (uint32_t at = 0; at < 3; at++)
        until_delivered(w, at, delivered[at] + 2);
    while (totem_stats_get(w->nodes[0].totem)->retransmits_asked == 0)
        world_next(w);
    CU_ASSERT_EQUAL(exchanged(w, 3), 1);
    memset(w->lost_seqs, 0, sizeof w->lost_seqs);
    for (uint32_t at = 0; at < 3; at++)
        CU_ASSERT_EQUAL(w->nodes[at].delivered, delivered[at] + 2);
}

/* And so in the next ring, where the numbers are the same. */
static void behind_gaps(void)
{
    struct ring_world *w = ring(4);
    for (uint32_t life = 1; life < 4; life++) {
        behind_a_gap(w);
        struct totem_config c = world_config(4);
        c.incarnation += life << 16;
        world_start(w, 3, &c);
        CU_ASSERT(world_settle(w, 5 * (uint64_t)SECOND));
    }
    world_free(w);
}

static const struct unit_test tests[] = {
    {"what all have is not sent", nothing_to_exchange},
    {"the lowest that has it sends", lowest_sends},
    {"what is behind a gap is sent once", behind_gaps},
};

UNIT_MAIN("totem_recovery", tests)
