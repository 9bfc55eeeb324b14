/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of accusations, and the rings that are chosen from it: cases by
 * hand first, then what must hold for any table. */
#include "daemon/totem/accuse.h"
#include "test/unit/unit.h"

#include <string.h>

/* A set of the ids 1 to n; a place is the id less one. */
static struct set ids_to(uint32_t n)
{
    struct set s = {.count = n};
    for (uint32_t i = 0; i < n; i++)
        s.ids[i] = i + 1;
    return s;
}

struct pair {
    uint32_t from, to; /* ids; from 0: the end */
};

static struct accusations table(const struct pair *pairs)
{
    struct accusations a = {0};
    for (; pairs->from != 0; pairs++)
        accusations_add(&a, pairs->from - 1, pairs->to - 1);
    return a;
}

#define TABLE(...) table((const struct pair[]){__VA_ARGS__, {0, 0}})

/* --- the table ------------------------------------------------------------ */

static void add_have_hit(void)
{
    struct accusations a = {0};
    CU_ASSERT(!a.any && !accusations_hit(&a, 0));
    accusations_add(&a, 0, TOTEM_NODES_MAX - 1);
    accusations_add(&a, TOTEM_NODES_MAX - 1, 8);
    CU_ASSERT(a.any);
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++) {
        bool hit = i == 8 || i == TOTEM_NODES_MAX - 1;
        CU_ASSERT_EQUAL(accusations_hit(&a, i), hit);
        for (uint32_t k = 0; k < TOTEM_NODES_MAX; k++)
            CU_ASSERT_EQUAL(accusations_have(&a, i, k),
                            (i == 0 && k == TOTEM_NODES_MAX - 1) ||
                                (i == TOTEM_NODES_MAX - 1 && k == 8));
    }
    accusations_add(&a, 0, TOTEM_NODES_MAX - 1); /* again */
    CU_ASSERT(accusations_have(&a, 0, TOTEM_NODES_MAX - 1));
}

static void moved(void)
{
    struct set from = {.count = 3, .ids = {2, 5, 9}};
    struct set to = {.count = 6, .ids = {1, 2, 5, 7, 9, 12}};
    struct accusations a = {0}, none = {0}, want = {0};
    accusations_add(&a, 0, 2); /* 2 accuses 9 */
    accusations_add(&a, 2, 1); /* 9 accuses 5 */
    accusations_add(&want, 1, 4);
    accusations_add(&want, 4, 2);
    struct accusations same = a;
    accusations_move(&same, &from, &from);
    CU_ASSERT(accusations_equal(&same, &a));
    accusations_move(&a, &from, &to);
    CU_ASSERT(accusations_equal(&a, &want));
    accusations_move(&none, &from, &to);
    CU_ASSERT(!none.any);
}

static void united_and_compared(void)
{
    struct accusations none = {0}, a = TABLE({1, 2}, {3, 9}), b = TABLE({3, 9});
    struct accusations c = TABLE({3, 8}), ab = a;
    accusations_unite(&ab, &none);
    CU_ASSERT(accusations_equal(&ab, &a));
    accusations_unite(&ab, &b);
    CU_ASSERT(accusations_equal(&ab, &a));
    CU_ASSERT(!accusations_equal(&a, &b) && !accusations_equal(&b, &c));
    CU_ASSERT(!accusations_equal(&none, &b) && !accusations_equal(&b, &none));
    CU_ASSERT(accusations_equal(&none, &(struct accusations){0}));
    CU_ASSERT(accusations_subset(&none, &none));
    CU_ASSERT(accusations_subset(&none, &a) && !accusations_subset(&a, &none));
    CU_ASSERT(accusations_subset(&b, &a) && !accusations_subset(&a, &b));
    CU_ASSERT(!accusations_subset(&c, &a));
    struct accusations far = TABLE({3, 9}, {3, 100}), farther = TABLE({3, 101});
    CU_ASSERT(!accusations_subset(&far, &b) && accusations_subset(&b, &far));
    accusations_unite(&farther, &far);
    CU_ASSERT(accusations_subset(&far, &farther));
    accusations_unite(&none, &c);
    CU_ASSERT(accusations_equal(&none, &c));
    accusations_unite(&a, &c);
    struct accusations all = TABLE({1, 2}, {3, 9}, {3, 8});
    CU_ASSERT(accusations_equal(&a, &all));
}

/* --- the choice, by hand -------------------------------------------------- */

/* `self` of the ids 1 to n is in this ring (its members, a 0 behind them), and
 * was passed over or not. */
static bool chosen(const struct accusations *a, uint32_t n, uint32_t self,
                   bool passed_over, const uint32_t *members)
{
    struct set all = ids_to(n), ring, want = {0};
    for (; *members != 0; members++)
        set_add(&want, *members);
    bool first = accusations_choose(a, &all, &all, self, &ring);
    return first == !passed_over && set_equal(&ring, &want);
}

#define RING(...) ((const uint32_t[]){__VA_ARGS__, 0})

static void nobody_accused(void)
{
    struct accusations none = {0};
    CU_ASSERT(chosen(&none, 3, 2, false, RING(1, 2, 3)));
    CU_ASSERT(chosen(&none, 1, 1, false, RING(1)));
}

/* Who is in most quarrels goes last, whichever side began them. */
static void culprit_goes_last(void)
{
    struct accusations hit = TABLE({2, 1}, {3, 1}, {4, 1});
    struct accusations hits = TABLE({1, 2}, {1, 3}, {1, 4});
    for (uint32_t self = 2; self <= 4; self++) {
        CU_ASSERT(chosen(&hit, 4, self, false, RING(2, 3, 4)));
        CU_ASSERT(chosen(&hits, 4, self, false, RING(2, 3, 4)));
    }
    CU_ASSERT(chosen(&hit, 4, 1, true, RING(1)));
    CU_ASSERT(chosen(&hits, 4, 1, true, RING(1)));
}

/* One quarrel is one, though both sides tell of it. */
static void mutual_counts_once(void)
{
    struct accusations a = TABLE({1, 2}, {2, 1}, {2, 3}, {4, 3});
    CU_ASSERT(chosen(&a, 4, 1, false, RING(1, 4)));
    CU_ASSERT(chosen(&a, 4, 2, true, RING(2)));
    CU_ASSERT(chosen(&a, 4, 3, true, RING(3)));
}

static void accuser_before_accused(void)
{
    struct accusations a = TABLE({3, 1});
    CU_ASSERT(chosen(&a, 3, 3, false, RING(2, 3)));
    CU_ASSERT(chosen(&a, 3, 2, false, RING(2, 3)));
    CU_ASSERT(chosen(&a, 3, 1, true, RING(1)));
}

/* All in two quarrels, round in a circle: 2 and 4 are accused once, 1 and 3
 * twice. */
static void less_accused_before_more(void)
{
    struct accusations a =
        TABLE({1, 2}, {2, 1}, {2, 3}, {3, 4}, {4, 3}, {4, 1});
    CU_ASSERT(chosen(&a, 4, 2, false, RING(2, 4)));
    CU_ASSERT(chosen(&a, 4, 4, false, RING(2, 4)));
    CU_ASSERT(chosen(&a, 4, 1, true, RING(1, 3)));
}

static void lowest_wins_a_tie(void)
{
    struct accusations a = TABLE({3, 1}, {1, 3});
    CU_ASSERT(chosen(&a, 3, 1, false, RING(1, 2)));
    CU_ASSERT(chosen(&a, 3, 2, false, RING(1, 2)));
    CU_ASSERT(chosen(&a, 3, 3, true, RING(3)));
}

/* Three groups that do not get on: each is a ring, the lowest first. */
static void passed_over(void)
{
    struct accusations a = {0};
    for (uint32_t i = 0; i < 6; i++)
        for (uint32_t k = 0; k < 6; k++)
            if (i % 3 != k % 3)
                accusations_add(&a, i, k);
    CU_ASSERT(chosen(&a, 6, 1, false, RING(1, 4)));
    CU_ASSERT(chosen(&a, 6, 4, false, RING(1, 4)));
    CU_ASSERT(chosen(&a, 6, 5, true, RING(2, 5)));
    CU_ASSERT(chosen(&a, 6, 3, true, RING(3, 6)));
}

/* Those passed over are compared among themselves alone: 1 has more quarrels
 * with the first ring than 2 has, but that ring is gone on without them. */
static void quarrels_with_others_forgotten(void)
{
    struct accusations a = TABLE({3, 1}, {4, 1}, {5, 1}, {3, 2}, {4, 2}, {3, 6},
                                 {4, 6}, {5, 6}, {1, 2}, {2, 1});
    CU_ASSERT(chosen(&a, 6, 3, false, RING(3, 4, 5)));
    CU_ASSERT(chosen(&a, 6, 1, true, RING(1, 6)));
    CU_ASSERT(chosen(&a, 6, 6, true, RING(1, 6)));
    CU_ASSERT(chosen(&a, 6, 2, true, RING(2)));
}

/* Nor does it count what a node that is gone says, or what is said of it. */
static void only_the_living_count(void)
{
    struct accusations a = TABLE({1, 2}, {2, 1}, {3, 1}, {1, 4});
    struct set all = ids_to(4), live = {.count = 2, .ids = {1, 2}}, ring;
    CU_ASSERT(accusations_choose(&a, &all, &live, 1, &ring));
    CU_ASSERT(ring.count == 1 && ring.ids[0] == 1);
    CU_ASSERT(!accusations_choose(&a, &all, &live, 2, &ring));
    CU_ASSERT(ring.count == 1 && ring.ids[0] == 2);
}

/* --- the choice, whatever the accusations --------------------------------- */

static uint32_t random_state = 2005;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1103515245 + 12345;
    return (random_state >> 8) % n;
}

struct any_case {
    struct set proc, live;
    struct accusations a;
};

static void random_case(struct any_case *c)
{
    uint32_t n = 1 + random_below(random_below(3) == 0 ? TOTEM_NODES_MAX : 9);
    uint32_t edges = random_below(2 * n + 1), id = 0;
    memset(c, 0, sizeof *c);
    for (uint32_t i = 0; i < n; i++) {
        id += 1 + random_below(3);
        set_add(&c->proc, id);
        if (random_below(8) > 0)
            set_add(&c->live, id);
    }
    if (c->live.count == 0)
        set_add(&c->live, id);
    for (uint32_t i = 0; i < edges && n > 1; i++) {
        uint32_t from = random_below(n);
        accusations_add(&c->a, from, (from + 1 + random_below(n - 1)) % n);
    }
}

static bool apart(const struct any_case *c, uint32_t x, uint32_t y)
{
    uint32_t i = set_place(&c->proc, x), k = set_place(&c->proc, y);
    return accusations_have(&c->a, i, k) || accusations_have(&c->a, k, i);
}

static bool apart_from_one(const struct any_case *c, uint32_t id,
                           const struct set *ring)
{
    for (uint32_t i = 0; i < ring->count; i++)
        if (apart(c, id, ring->ids[i]))
            return true;
    return false;
}

static bool in_peace(const struct any_case *c, const struct set *ring)
{
    for (uint32_t i = 0; i < ring->count; i++)
        if (apart_from_one(c, ring->ids[i], ring))
            return false;
    return true;
}

/* All members of a ring choose it. */
static bool same_at_all(const struct any_case *c, const struct set *ring,
                        bool first)
{
    struct set other;
    for (uint32_t i = 0; i < ring->count; i++)
        if (accusations_choose(&c->a, &c->proc, &c->live, ring->ids[i],
                               &other) != first ||
            !set_equal(ring, &other))
            return false;
    return true;
}

/* Takes the first ring of `live` out of it, after a look at it. */
static bool first_ring_holds(struct any_case *c, struct set *ring)
{
    struct set left;
    uint32_t k = 0;
    while (k < c->live.count &&
           !accusations_choose(&c->a, &c->proc, &c->live, c->live.ids[k], ring))
        k++;
    if (k == c->live.count || !set_has(ring, c->live.ids[k]) ||
        !set_subset(ring, &c->live) || !in_peace(c, ring) ||
        !same_at_all(c, ring, true))
        return false;
    set_minus(&left, &c->live, ring);
    for (uint32_t i = 0; i < left.count; i++)
        if (!apart_from_one(c, left.ids[i], ring))
            return false;
    c->live = left;
    return true;
}

/* The rings are those that one finds by taking the first ring away, and again,
 * until nobody is left. */
static void random_rings(void)
{
    struct any_case c;
    for (uint32_t i = 0; i < 3000; i++) {
        random_case(&c);
        struct any_case rest = c;
        bool holds = true;
        for (uint32_t rings = 0; holds && rest.live.count > 0; rings++) {
            struct set ring;
            holds = first_ring_holds(&rest, &ring) &&
                    same_at_all(&c, &ring, rings == 0);
        }
        CU_ASSERT_FATAL(holds);
    }
}

/* What else is known of besides the living has no part in it. */
static void random_places(void)
{
    struct any_case c;
    for (uint32_t i = 0; i < 3000; i++) {
        random_case(&c);
        struct set more = c.proc, a, b;
        struct accusations all = c.a;
        for (uint32_t k = 0; k < 20; k++)
            set_add(&more, 1 + random_below(3 * TOTEM_NODES_MAX));
        accusations_move(&all, &c.proc, &more);
        uint32_t self = c.live.ids[random_below(c.live.count)];
        bool first = accusations_choose(&c.a, &c.proc, &c.live, self, &a);
        CU_ASSERT(first == accusations_choose(&all, &more, &c.live, self, &b));
        CU_ASSERT(set_equal(&a, &b));
    }
}

static const struct unit_test tests[] = {
    {"add, have, hit", add_have_hit},
    {"moved to the places of another set", moved},
    {"united, compared", united_and_compared},
    {"nobody accused: one ring", nobody_accused},
    {"the culprit goes last", culprit_goes_last},
    {"a mutual accusation counts once", mutual_counts_once},
    {"the accuser goes before the accused", accuser_before_accused},
    {"the less accused goes before the more", less_accused_before_more},
    {"the lowest wins a tie", lowest_wins_a_tie},
    {"rings of those passed over", passed_over},
    {"quarrels with the first ring are over", quarrels_with_others_forgotten},
    {"only the living count", only_the_living_count},
    {"any accusations: the rings", random_rings},
    {"any accusations: the places", random_places},
};

UNIT_MAIN("accuse", tests)
