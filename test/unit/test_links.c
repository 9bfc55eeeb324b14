/* SPDX-License-Identifier: BSD-3-Clause */
/* Networks that are half broken, for ever: some kinds of packets, or large
 * ones, do not pass from some nodes to others. Whoever gets on forms a ring
 * soon, and keeps it; the others are back soon after the fault's end. */
#include "test/unit/broken_world.h"
#include "test/unit/unit.h"

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
    world_run(w, SECOND); /* each bad link is mended once */
    CU_ASSERT_EQUAL(told_of_third(w, TOTEM_LINK_GOOD),
                    told_of_third(w, TOTEM_LINK_UNHEARD) +
                        told_of_third(w, TOTEM_LINK_TOKEN) +
                        told_of_third(w, TOTEM_LINK_DATA));
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

/* The second does not hear the data of the third, the first that would send it
 * again. Others do, and the ring stays. */
static void data_between_neighbours(void)
{
    for (uint32_t count = 3; count <= 6; count++) {
        struct ring_world *w = ring(count);
        w->lost[2][1] = KIND(DATA);
        for (uint32_t at = 0; at < count; at++)
            world_send(w, at, 10, false);
        CU_ASSERT_EQUAL(rings(w, 0, 20 * SECOND), 0);
        for (uint32_t at = 0; at < count; at++)
            CU_ASSERT_EQUAL(w->nodes[at].delivered, 10 * count);
        world_free(w);
    }
}

/* Nobody hears the data of the third. It takes itself for the broken one, and
 * not one after the other of ten for unable to receive. */
static void data_of_a_node(void)
{
    struct ring_world *w = ring(10);
    uint32_t others = ((1u << 10) - 1) & ~(uint32_t)N3;
    lose_from(w, 2, KIND(DATA));
    world_send(w, 2, 3, false);
    CU_ASSERT(until(w, others, 3 * SECOND) < 3 * SECOND);
    for (uint32_t of = 0; of < 10; of++)
        CU_ASSERT_EQUAL(w->nodes[2].links[of][TOTEM_LINK_DATA], of != 2);
    world_free(w);
}

/* The third refuses the second, but the first does not hear it say so. */
static void word_of_the_accuser(void)
{
    struct ring_world *w = ring(3);
    lose_to(w, 1, MULTICAST);
    w->lost[2][0] = KIND(MERGE);
    world_send(w, 0, 3, false);
    world_run(w, 4 * SECOND);
    CU_ASSERT(together(w, N1 | N3));
    CU_ASSERT_EQUAL(rings(w, 0, 10 * SECOND), 0);
    world_free(w);
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
    static const uint64_t seconds[] = {1, 10, 32, 32};
    struct ring_world *w = ring(3);
    for (uint32_t times = 0; times < 2; times++) {
        for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
            uint64_t out_ns = out_for(w);
            CU_ASSERT(out_ns + SECOND >= seconds[i] * SECOND);
            CU_ASSERT(out_ns < (seconds[i] + 2) * SECOND);
            world_run(w, i == 2 ? 0 : 5 * SECOND);
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

/* That probes showed one fault says nothing of the next. */
static void shown_once(void)
{
    struct ring_world *w = ring(3);
    lose_to(w, 2, UNICAST);
    world_run(w, 5 * SECOND);
    heal(w);
    CU_ASSERT(until(w, N1 | N2 | N3, 3 * SECOND) < 3 * SECOND);
    world_run(w, 5 * SECOND);
    CU_ASSERT(out_for(w) > 2 * SECOND);
    world_free(w);
}

/* Probes must arrive for a while, without a break. */
static void on_and_off(void)
{
    struct ring_world *w = ring(3);
    lose_to(w, 2, UNICAST);
    CU_ASSERT(until(w, N1 | N2, SECOND) < SECOND);
    uint32_t before = w->nodes[0].rings;
    for (uint32_t i = 0; i < 20; i++) {
        heal(w);
        world_run(w, world_config(1).merge_ns);
        lose_to(w, 2, UNICAST);
        world_run(w, 2 * SECOND);
    }
    CU_ASSERT_EQUAL(w->nodes[0].rings, before);
    world_free(w);
}

/* --- what looks like a fault, and is none --------------------------------- */

/* Members come and go while the token is under way: nobody is to blame. */
static void comings_and_goings(void)
{
    struct ring_world *w = ring(4);
    for (uint32_t i = 0; i < 10; i++) {
        world_stop(w, 3, i % 2 == 0);
        CU_ASSERT(until(w, N1 | N2 | N3, SECOND) < SECOND);
        struct totem_config c = world_config(4);
        c.incarnation += (i + 1) << 16;
        world_start(w, 3, &c);
        CU_ASSERT(until(w, N1 | N2 | N3 | N4, SECOND) < SECOND);
    }
    for (uint32_t at = 0; at < 4; at++)
        for (uint32_t of = 0; of < 4; of++)
            for (uint32_t why = 0; why <= TOTEM_LINK_GOOD; why++)
                CU_ASSERT_EQUAL(w->nodes[at].links[of][why], 0);
    world_free(w);
}

/* --- two nodes at once ---------------------------------------------------- */

/* 3 and 4 are out, for the second's accusations; they come back one by one. */
static void two_left_out(void)
{
    struct ring_world *w = ring(4);
    lose_to(w, 2, UNICAST);
    lose_to(w, 3, UNICAST);
    CU_ASSERT(until(w, N1 | N2, 2 * SECOND) < 2 * SECOND);
    CU_ASSERT(w->nodes[1].links[2][TOTEM_LINK_TOKEN] == 1);
    CU_ASSERT(w->nodes[1].links[3][TOTEM_LINK_TOKEN] == 1);
    CU_ASSERT_EQUAL(rings(w, 0, 30 * SECOND), 0);
    world_stop(w, 0, false);
    struct totem_config c = world_config(1);
    c.incarnation += 1 << 16;
    world_start(w, 0, &c);
    CU_ASSERT(until(w, N1 | N2, SECOND / 10) < SECOND / 10);
    CU_ASSERT_EQUAL(rings(w, 0, 30 * SECOND), 0);
    lose_to(w, 2, 0);
    CU_ASSERT(until(w, N1 | N2 | N3, 3 * SECOND) < 3 * SECOND);
    CU_ASSERT_EQUAL(rings(w, 0, 30 * SECOND), 0);
    heal(w);
    CU_ASSERT(until(w, N1 | N2 | N3 | N4, 3 * SECOND) < 3 * SECOND);
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
    {"data between neighbours goes nowhere", data_between_neighbours},
    {"word of the accuser goes nowhere", word_of_the_accuser},
    {"data of a node goes nowhere", data_of_a_node},
    {"commit tokens of two go nowhere", commit_tokens_of_two},
    {"tokens of two go nowhere", tokens_of_two},
    {"relapses, and ten seconds without", relapses},
    {"relapses that probes show", shown_by_probes},
    {"a relapse that they do not show", shown_once},
    {"probes that arrive now and then", on_and_off},
    {"nodes that come and go", comings_and_goings},
    {"two nodes at once", two_left_out},
    {"a node that was restarted", restarted_node},
    {"a node that died", dead_node},
    {"a mute node", mute_node},
    {"a deaf node", deaf_node},
};

UNIT_MAIN("links", tests)
