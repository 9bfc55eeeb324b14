/* SPDX-License-Identifier: BSD-3-Clause */
/* A few machines, and packets that are lost or late where it hurts: what the
 * simulator's random faults seldom bring, or its checkers would not miss. */
#include "test/unit/ring_world.h"
#include "test/unit/unit.h"

enum { SECOND = 1000000000 };
enum { DATA = 1 << WIRE_DATA };

static struct ring_world *ring(uint32_t count)
{
    struct ring_world *w = world_new(count);
    CU_ASSERT_FATAL(world_settle(w, 5 * (uint64_t)SECOND));
    return w;
}

static uint64_t tokens(const struct ring_world *w, uint32_t at)
{
    return totem_stats_get(w->nodes[at].totem)->tokens_received;
}

// --- a member that gets the token and no data
// --------------------------------------

/* The third is left out when it has kept the aru where it was for more than so
 * many rotations, and longer than five token timeouts; or for a tenth of the
 * rotations, and longer than fifteen. */
static void fails_to_receive(uint32_t fail_recv_const)
{
    struct ring_world *w = world_new(3);
    for (uint32_t at = 0; at < 3; at++) {
        struct totem_config c = world_config(at + 1);
        c.incarnation += 1 << 16;
        c.fail_recv_const = fail_recv_const;
        world_start(w, at, &c);
    }
    CU_ASSERT_FATAL(world_settle(w, 5 * (uint64_t)SECOND));
    w->lost[0][2] = w->lost[1][2] = DATA;
    world_send(w, 0, 1, false);
    uint64_t begun_ns = w->now_ns, rotations = tokens(w, 0);
    while (w->nodes[0].state == TOTEM_OPERATIONAL &&
           w->nodes[1].state == TOTEM_OPERATIONAL &&
           w->now_ns < begun_ns + 20 * (uint64_t)SECOND)
        world_next(w);
    rotations = tokens(w, 0) - rotations;
    uint32_t who = w->nodes[0].state == TOTEM_OPERATIONAL ? 1 : 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(w->nodes[who].reason);
    CU_ASSERT_STRING_EQUAL(w->nodes[who].reason, "member failed to receive");
    uint64_t took_ns = w->now_ns - begun_ns;
    CU_ASSERT(took_ns > 5 * world_config(1).token_ns);
    bool slow = took_ns > 15 * world_config(1).token_ns;
    uint64_t least = slow ? fail_recv_const / 10 : fail_recv_const;
    uint64_t least_ns = (slow ? 15 : 5) * world_config(1).token_ns;
    CU_ASSERT(rotations > least);
    CU_ASSERT(rotations < least + 5 || took_ns < least_ns + 20000000);

    CU_ASSERT(world_until(w, 0, TOTEM_GATHER));
    CU_ASSERT(world_until(w, 0, TOTEM_OPERATIONAL));
    CU_ASSERT_EQUAL(w->nodes[0].members, 2);
    CU_ASSERT(w->now_ns - begun_ns - took_ns < SECOND / 2);
    CU_ASSERT(w->nodes[0].delivered == 1 && w->nodes[1].delivered == 1);
    CU_ASSERT_EQUAL(w->nodes[2].delivered, 0);
    world_free(w);
}

static void failed_to_receive(void)
{
    fails_to_receive(8);     /* the time is what counts */
    fails_to_receive(2500);  /* the rotations are */
    fails_to_receive(50000); /* a tenth of them are */
}

/* One that is only slow stays: the aru moves, however far it is behind. */
static void slow_to_receive(void)
{
    struct ring_world *w = ring(3);
    for (uint32_t i = 0; i < 40; i++) {
        w->lost[0][2] = w->lost[1][2] = DATA;
        world_send(w, 0, 4, false);
        world_run(w, 4 * world_config(1).token_ns);
        w->lost[0][2] = w->lost[1][2] = 0;
        world_run(w, SECOND / 10);
    }
    for (uint32_t at = 0; at < 3; at++) {
        CU_ASSERT_EQUAL(w->nodes[at].delivered, 160);
        CU_ASSERT_EQUAL(totem_stats_get(w->nodes[at].totem)->rings_formed, 1);
    }
    world_free(w);
}

// --- tokens that are lost
// -----------------------------------------

/* The second's token is lost; the first is to find out by itself. */
static void lose_token(struct ring_world *w)
{
    w->lost[0][1] = 1 << WIRE_TOKEN;
    w->lost[1][0] = w->lost[2][0] = 1 << WIRE_JOIN;
    world_send(w, 0, 1, false);
    for (int i = 0; i < 100000 && w->nodes[0].state == TOTEM_OPERATIONAL; i++)
        world_next(w);
    CU_ASSERT_STRING_EQUAL(w->nodes[0].reason, "token lost");
    w->lost[0][1] = w->lost[1][0] = w->lost[2][0] = 0;
}

/* Tokens that do not arrive may be chance, if it happens seldom. */
static void strikes(void)
{
    struct ring_world *w = ring(3);
    for (uint32_t i = 0; i < 4; i++) {
        lose_token(w);
        CU_ASSERT(world_until(w, 0, TOTEM_OPERATIONAL));
        CU_ASSERT_EQUAL(w->nodes[0].members, 3);
        CU_ASSERT(world_settle(w, SECOND / 2));
        world_run(w, 11 * (uint64_t)SECOND);
    }
    world_free(w);
}

// --- late packets of the old ring
// -----------------------------------------------

/* Node 3 dies with a message that nobody has. A copy of it was late, and comes
 * to one of the others when it has told what it has, so the other will not get
 * it from there. */
static void late_packet(uint32_t at, enum totem_state state, uint32_t delivered)
{
    static uint8_t late[TOTEM_CONTROL_SIZE_MAX];
    struct ring_world *w = ring(3);
    w->lost[2][0] = w->lost[2][1] = DATA;
    world_send(w, 2, 1, false);
    while (w->nodes[2].delivered == 0)
        world_next(w);
    size_t size = w->last_size[WIRE_DATA];
    memcpy(late, w->last[WIRE_DATA], size);
    world_stop(w, 2, false);
    CU_ASSERT(world_until(w, at, state));
    world_give(w, at, (struct bytes){late, size});
    CU_ASSERT(world_settle(w, 10 * (uint64_t)SECOND));
    CU_ASSERT_EQUAL(w->nodes[0].delivered, delivered);
    CU_ASSERT_EQUAL(w->nodes[1].delivered, delivered);
    CU_ASSERT_EQUAL(w->nodes[0].delivered_late, 0);
    CU_ASSERT_EQUAL(w->nodes[1].delivered_late, 0);
    world_free(w);
}

static void late_packets(void)
{
    for (uint32_t at = 0; at < 2; at++) {
        late_packet(at, TOTEM_GATHER, 1);
        late_packet(at, TOTEM_COMMIT, 0);
        late_packet(at, TOTEM_RECOVERY, 0);
    }
}

/* What comes of rings before this one is not of strangers, however late. */
static void packets_of_old_rings(void)
{
    enum { RINGS = 8 };
    static uint8_t old[RINGS][TOTEM_CONTROL_SIZE_MAX];
    size_t sizes[RINGS];
    struct ring_world *w = world_new(3);
    for (uint32_t life = 0; life < RINGS; life++) {
        CU_ASSERT(world_settle(w, 5 * (uint64_t)SECOND));
        world_send(w, 2, 1, false);
        uint32_t delivered = w->nodes[0].delivered;
        while (w->nodes[0].delivered == delivered)
            world_next(w);
        memcpy(old[life], w->last[WIRE_DATA],
               sizes[life] = w->last_size[WIRE_DATA]);
        world_stop(w, 2, true);
        CU_ASSERT(world_settle(w, 5 * (uint64_t)SECOND));
        uint64_t gathers = totem_stats_get(w->nodes[0].totem)->gathers;
        /* Each life of the third gives two rings: with it, and without. */
        for (uint32_t i = life < 3 ? 0 : life - 3; i <= life; i++)
            world_give(w, 0, (struct bytes){old[i], sizes[i]});
        CU_ASSERT_EQUAL(w->nodes[0].state, TOTEM_OPERATIONAL);
        CU_ASSERT_EQUAL(totem_stats_get(w->nodes[0].totem)->gathers, gathers);
        struct totem_config c = world_config(3);
        c.incarnation += (life + 1) << 16;
        world_start(w, 2, &c);
    }
    world_free(w);
}

static const struct unit_test tests[] = {
    {"a member that fails to receive", failed_to_receive},
    {"a member that is slow to receive", slow_to_receive},
    {"lost tokens with rings between", strikes},
    {"packets of the old ring, late", late_packets},
    {"packets of rings before, late", packets_of_old_rings},
};

UNIT_MAIN("totem_faults", tests)
