/* SPDX-License-Identifier: BSD-3-Clause */
/* broken_world.h - a ring_world whose network is half broken, for tests of what
 * the nodes then do: who is together, after how long, with how many rings. */
#ifndef TEST_UNIT_BROKEN_WORLD_H
#define TEST_UNIT_BROKEN_WORLD_H

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
enum { N1 = 1, N2 = 2, N3 = 4, N4 = 8 };

static inline struct ring_world *ring(uint32_t count)
{
    struct ring_world *w = world_new(count);
    CU_ASSERT_FATAL(world_settle(w, 5 * SECOND));
    return w;
}

/* All of them are in one ring, with nobody else. */
static inline bool together(const struct ring_world *w, uint32_t bits)
{
    for (uint32_t i = 0; i < w->count; i++)
        if ((bits >> i & 1) != 0 &&
            (w->nodes[i].state != TOTEM_OPERATIONAL ||
             w->nodes[i].member_bits != bits || w->nodes[i].waiting > 0))
            return false;
    return true;
}

/* How long it takes until they are; the limit: not by then. */
static inline uint64_t until(struct ring_world *w, uint32_t bits,
                             uint64_t limit_ns)
{
    uint64_t begun_ns = w->now_ns;
    while (!together(w, bits) && w->now_ns - begun_ns < limit_ns)
        world_next(w);
    uint64_t took_ns = w->now_ns - begun_ns;
    return took_ns < limit_ns ? took_ns : limit_ns;
}

/* How many rings a node has in that time. */
static inline uint32_t rings(struct ring_world *w, uint32_t at, uint64_t for_ns)
{
    uint32_t before = w->nodes[at].rings;
    world_run(w, for_ns);
    return w->nodes[at].rings - before;
}

/* What the others told of the third. */
static inline uint32_t told_of_third(const struct ring_world *w,
                                     enum totem_link_state state)
{
    uint32_t sum = 0;
    for (uint32_t at = 0; at < w->count; at++)
        sum += at == 2 ? 0 : w->nodes[at].links[2][state];
    return sum;
}

static inline void lose_from(struct ring_world *w, uint32_t from,
                             uint32_t kinds)
{
    for (uint32_t to = 0; to < w->count; to++)
        w->lost[from][to] = kinds;
}

static inline void lose_to(struct ring_world *w, uint32_t to, uint32_t kinds)
{
    for (uint32_t from = 0; from < w->count; from++)
        w->lost[from][to] = kinds;
}

static inline void lose_between(struct ring_world *w, uint32_t a, uint32_t b,
                                uint32_t kinds)
{
    w->lost[a][b] = w->lost[b][a] = kinds;
}

static inline void heal(struct ring_world *w)
{
    memset(w->lost, 0, sizeof w->lost);
    memset(w->lost_above, 0, sizeof w->lost_above);
    memset(w->late_ns, 0, sizeof w->late_ns);
}

static inline uint32_t probes(const struct ring_world *w)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < w->count; i++)
        sum += w->nodes[i].sent_kinds[WIRE_PROBE];
    return sum;
}

#endif
