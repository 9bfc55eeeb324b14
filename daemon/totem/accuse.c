/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/totem/accuse.h"

#include "daemon/base/check.h"

#include <string.h>

enum { ROW_SIZE = TOTEM_NODES_MAX / 8 };

bool accusations_have(const struct accusations *a, uint32_t from, uint32_t to)
{
    return (a->rows[from][to / 8] >> (to % 8) & 1) != 0;
}

void accusations_add(struct accusations *a, uint32_t from, uint32_t to)
{
    CHECK(from < TOTEM_NODES_MAX && to < TOTEM_NODES_MAX && from != to);
    a->rows[from][to / 8] = (uint8_t)(a->rows[from][to / 8] | 1u << (to % 8));
    a->any = true;
}

bool accusations_hit(const struct accusations *a, uint32_t place)
{
    for (uint32_t i = 0; a->any && i < TOTEM_NODES_MAX; i++)
        if (accusations_have(a, i, place))
            return true;
    return false;
}

static void places(uint32_t *place, const struct set *from,
                   const struct set *to)
{
    for (uint32_t i = 0; i < from->count; i++) {
        place[i] = set_place(to, from->ids[i]);
        CHECK(place[i] < to->count);
    }
}

void accusations_move(struct accusations *a, const struct set *from,
                      const struct set *to)
{
    if (!a->any || set_equal(from, to))
        return;
    struct accusations old = *a;
    uint32_t place[TOTEM_NODES_MAX];
    places(place, from, to);
    memset(a, 0, sizeof *a);
    for (uint32_t i = 0; i < from->count; i++)
        for (uint32_t k = 0; k < from->count; k++)
            if (accusations_have(&old, i, k))
                accusations_add(a, place[i], place[k]);
}

void accusations_unite(struct accusations *a, const struct accusations *other)
{
    if (!other->any)
        return;
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++)
        for (uint32_t b = 0; b < ROW_SIZE; b++)
            a->rows[i][b] |= other->rows[i][b];
    a->any = true;
}

bool accusations_equal(const struct accusations *a, const struct accusations *b)
{
    if (a->any != b->any)
        return false;
    return !a->any || memcmp(a->rows, b->rows, sizeof a->rows) == 0;
}

bool accusations_subset(const struct accusations *a,
                        const struct accusations *b)
{
    for (uint32_t i = 0; a->any && i < TOTEM_NODES_MAX; i++)
        for (uint32_t k = 0; k < ROW_SIZE; k++)
            if ((a->rows[i][k] & ~b->rows[i][k]) != 0)
                return false;
    return true;
}

/* --- the choice ----------------------------------------------------------- */

struct candidate {
    uint32_t place;
    uint32_t apart;   /* from so many other candidates */
    uint32_t accused; /* by so many */
};

static bool goes_before(const struct candidate *a, const struct candidate *b)
{
    if (a->apart != b->apart)
        return a->apart < b->apart;
    if (a->accused != b->accused)
        return a->accused < b->accused;
    return a->place < b->place;
}

static bool apart(const struct accusations *a, uint32_t i, uint32_t k)
{
    return accusations_have(a, i, k) || accusations_have(a, k, i);
}

static void count(const struct accusations *a, struct candidate *c,
                  const struct candidate *all, uint32_t n)
{
    c->apart = c->accused = 0;
    for (uint32_t i = 0; i < n; i++) {
        c->apart += apart(a, c->place, all[i].place);
        c->accused += accusations_have(a, all[i].place, c->place);
    }
}

static void sort(struct candidate *c, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct candidate moved = c[i];
        uint32_t k = i;
        for (; k > 0 && goes_before(&moved, &c[k - 1]); k--)
            c[k] = c[k - 1];
        c[k] = moved;
    }
}

/* One ring out of the candidates, which are sorted; the others stay in c. Gives
 * their number. */
static uint32_t take_ring(const struct accusations *a, struct candidate *c,
                          uint32_t n, uint32_t *ring, uint32_t *ring_count)
{
    uint32_t left = 0;
    *ring_count = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool fits = true;
        for (uint32_t k = 0; k < *ring_count; k++)
            fits = fits && !apart(a, c[i].place, ring[k]);
        if (fits)
            ring[(*ring_count)++] = c[i].place;
        else
            c[left++] = c[i];
    }
    return left;
}

bool accusations_choose(const struct accusations *a, const struct set *proc,
                        const struct set *live, uint32_t self, struct set *ring)
{
    struct candidate c[TOTEM_NODES_MAX];
    uint32_t n = live->count, places[TOTEM_NODES_MAX], ring_count;
    uint32_t rings = 0;
    CHECK(set_has(live, self));
    *ring = *live;
    if (!a->any)
        return true;
    for (uint32_t i = 0; i < n; i++)
        c[i].place = set_place(proc, live->ids[i]);
    do {
        CHECK(n > 0);
        for (uint32_t i = 0; i < n; i++)
            count(a, &c[i], c, n);
        sort(c, n);
        n = take_ring(a, c, n, places, &ring_count);
        set_clear(ring);
        for (uint32_t i = 0; i < ring_count; i++)
            CHECK(set_add(ring, proc->ids[places[i]]));
        rings++;
    } while (!set_has(ring, self));
    return rings == 1;
}
