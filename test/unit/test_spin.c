/* SPDX-License-Identifier: BSD-3-Clause */
/* test_spin.c - when to wait awake. With the real clock, but what is checked
 * holds on a busy machine too: sleeps are only ever longer than asked for. */
#include "test/unit/unit.h"

#include "ipc/spin.h"

#include <sys/resource.h>
#include <time.h>

static const uint64_t ms = 1000000;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_ns(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u),
                         .tv_nsec = (long)(ns % 1000000000u)};
    while (nanosleep(&t, &t) != 0)
        ;
}

static void sleep_until(uint64_t end_ns)
{
    while (now_ns() < end_ns)
        sleep_ns(end_ns - now_ns());
}

/* --- score ---------------------------------------------------------------- */

static void test_never(void)
{
    struct spin s;
    struct spin_wait w;
    spin_init(&s, 0);
    for (int i = 0; i < 100; i++) {
        CU_ASSERT(!spin_begin(&s, &w));
        spin_slept(&s, &w); /* at once: the shortest wait there is */
        spin_hit(&s);
    }
    CU_ASSERT(!spin_begin(&s, &w));
}

/* A whole wait that is ended by sleeping for long. True: it span first. */
static bool long_wait(struct spin *s)
{
    struct spin_wait w;
    bool span = spin_begin(s, &w);
    while (span && spin_again(s, &w, 1))
        ;
    sleep_ns(4ull * s->max_ns);
    spin_slept(s, &w);
    s->barred_ns = 0; /* bars are tested below */
    return span;
}

static void test_long_waits(void)
{
    struct spin s;
    int spans = 0;
    spin_init(&s, 100000);
    for (int i = 0; i < 20; i++)
        spans += long_wait(&s);
    CU_ASSERT(spans > 0 && spans < 10); /* tried, and given up soon */
    CU_ASSERT_EQUAL(s.score, 0);
    CU_ASSERT(!long_wait(&s));
    /* However good it was before. */
    for (int i = 0; i < 1000; i++)
        spin_hit(&s);
    for (spans = 0; spans < 20 && long_wait(&s);)
        spans++;
    CU_ASSERT(spans > 0 && spans < 10);
    CU_ASSERT_EQUAL(s.score, 0);
}

static void give_up(struct spin *s)
{
    for (int i = 0; i < 20 && s->score > 0; i++)
        long_wait(s);
    CU_ASSERT_EQUAL_FATAL(s->score, 0);
}

static void test_short_waits(void)
{
    struct spin s;
    struct spin_wait w;
    int slept = 0;
    spin_init(&s, 100000);
    give_up(&s);
    s.max_ns = 1000000000; /* three seconds are short then */
    while (!spin_begin(&s, &w)) {
        spin_slept(&s, &w);
        CU_ASSERT_FATAL(++slept < 100);
    }
    CU_ASSERT(slept > 1); /* one is not enough */
    uint32_t before = s.score;
    spin_hit(&s);
    CU_ASSERT(s.score > before);
    for (int i = 0; i < 100; i++)
        spin_hit(&s);
    uint32_t best = s.score;
    spin_hit(&s);
    CU_ASSERT_EQUAL(s.score, best); /* so that it can fall again */
}

/* Spun through, and then it came at once: who is waited for may need this very
 * processor. Most waits are slept through then. */
static void test_in_vain(void)
{
    struct spin s;
    struct spin_wait w;
    int spun = 0;
    spin_init(&s, 20000);
    for (int i = 0; i < 200; i++) {
        bool spins = spin_begin(&s, &w);
        spun += spins;
        while (spins && spin_again(&s, &w, 1))
            ;
        spin_slept(&s, &w);
        s.barred_ns = 0;
    }
    CU_ASSERT(spun > 0 && spun < 50);
}

/* --- one wait ------------------------------------------------------------- */

/* The clock is not read at first: what comes at once costs nothing. */
static void test_fast(void)
{
    struct spin s;
    struct spin_wait w;
    int turns = 1;
    spin_init(&s, 1000000000);
    CU_ASSERT(spin_begin(&s, &w));
    CU_ASSERT_EQUAL(w.begin_ns, 0);
    CU_ASSERT(spin_again(&s, &w, 1));
    CU_ASSERT_EQUAL(w.begin_ns, 0);
    while (w.begin_ns == 0 && turns < 1000 && spin_again(&s, &w, 1))
        turns++;
    CU_ASSERT(turns > 1 && turns < 1000);
    /* Who looks at many places reads it after few turns. */
    CU_ASSERT(spin_begin(&s, &w));
    spin_again(&s, &w, 1000);
    CU_ASSERT(w.begin_ns != 0);
}

static void test_ends(void)
{
    struct spin s;
    struct spin_wait w;
    spin_init(&s, 20000);
    for (int i = 0; i < 200; i++) {
        s.barred_ns = 0;
        uint64_t begin = now_ns();
        CU_ASSERT(spin_begin(&s, &w));
        while (spin_again(&s, &w, 1))
            CU_ASSERT_FATAL(now_ns() - begin < 60000 * ms);
        /* For as long as it may, unless it was preempted. */
        CU_ASSERT(s.barred_ns != 0 || now_ns() - begin >= s.max_ns);
    }
}

/* --- bars ----------------------------------------------------------------- */

/* One wait, with a gap after so many turns that the clock was looked at before
 * it. It ends at the next look. */
static void wait_with_gap(struct spin *s)
{
    struct spin_wait w;
    int turns = 0;
    CU_ASSERT_FATAL(spin_begin(s, &w));
    while (!w.counted)
        CU_ASSERT_FATAL(spin_again(s, &w, 1));
    sleep_ns(ms);
    while (spin_again(s, &w, 1))
        CU_ASSERT_FATAL(++turns < 1000);
    CU_ASSERT_FATAL(s->barred_ns != 0);
}

/* Barred means: not before barred_ns, and then again. */
static void wait_barred(struct spin *s)
{
    uint64_t end = s->barred_ns;
    struct spin_wait w;
    bool may;
    do {
        may = spin_begin(s, &w);
    } while (!may && now_ns() < end);
    CU_ASSERT(now_ns() >= end);
    CU_ASSERT(spin_begin(s, &w));
    CU_ASSERT_EQUAL(s->barred_ns, 0);
}

static void test_bar(void)
{
    struct spin s;
    struct spin_wait w;
    spin_init(&s, 1000000000);
    wait_with_gap(&s);
    uint64_t end = s.barred_ns;
    CU_ASSERT(s.bar_ns >= ms);
    CU_ASSERT_EQUAL(s.bar_made_ns + s.bar_ns, end);
    bool may = spin_begin(&s, &w);
    CU_ASSERT(!may || now_ns() >= end);
    s.barred_ns = end;
    wait_barred(&s);
    /* The score has nothing to do with it. */
    CU_ASSERT(s.score > 0);
}

static void test_bars_double(void)
{
    struct spin s;
    uint64_t first, last;
    int doubled = 0, kept = 0;
    spin_init(&s, 1000000000);
    wait_with_gap(&s);
    first = last = s.bar_ns;
    for (int i = 0; i < 20 && kept == 0; i++) {
        sleep_until(s.barred_ns);
        uint64_t end = s.barred_ns;
        wait_with_gap(&s);
        if (s.bar_made_ns - end > 900 * ms) {
            last = s.bar_ns; /* held up for so long that it may be forgotten */
            continue;
        }
        CU_ASSERT(s.bar_ns == 2 * last || s.bar_ns == last);
        doubled += s.bar_ns == 2 * last;
        kept += s.bar_ns == last;
        last = s.bar_ns;
    }
    CU_ASSERT(doubled >= 3);
    CU_ASSERT(kept == 1 && last <= 1000 * ms); /* but not for ever */
    /* After a second without it begins anew. */
    sleep_until(s.barred_ns + 1100 * ms);
    wait_with_gap(&s);
    CU_ASSERT_EQUAL(s.bar_ns, first);
}

static long switches(void)
{
    struct rusage u;
    CU_ASSERT_EQUAL_FATAL(getrusage(RUSAGE_THREAD, &u), 0);
    return u.ru_nivcsw + u.ru_nvcsw;
}

/* A gap in which nobody else had this processor, as when a host takes it away:
 * no bar, and not counted as time that was spun. Here it is time that this
 * thread takes itself. */
static void test_stolen(void)
{
    struct spin s;
    struct spin_wait w;
    int seen = 0;
    for (int i = 0; i < 1000 && seen < 3; i++) {
        spin_init(&s, 500000);
        long before = switches();
        CU_ASSERT_FATAL(spin_begin(&s, &w));
        while (!w.counted)
            CU_ASSERT_FATAL(spin_again(&s, &w, 1));
        uint64_t begin = w.begin_ns, until = now_ns() + ms;
        while (now_ns() < until)
            ;
        bool again = spin_again(&s, &w, 1000);
        if (switches() != before)
            continue; /* there was somebody else */
        seen++;
        CU_ASSERT(again);
        CU_ASSERT_EQUAL(s.barred_ns, 0);
        CU_ASSERT(w.begin_ns - begin >= ms);
    }
    CU_ASSERT_EQUAL(seen, 3);
}

/* --- costly --------------------------------------------------------------- */

/* Spins in vain until it is barred. */
static int vain_until_barred(struct spin *s)
{
    struct spin_wait w;
    int spins = 0;
    do {
        CU_ASSERT_FATAL(++spins < 100);
        CU_ASSERT_FATAL(spin_begin(s, &w));
        while (spin_again(s, &w, 1))
            ;
        spin_slept(s, &w);
    } while (s->barred_ns == 0);
    return spins;
}

static void test_costly(void)
{
    struct spin s;
    struct spin_wait w;
    spin_init(&s, 20000);
    s.costly = true;
    for (int i = 0; i < 100; i++)
        spin_hit(&s);
    CU_ASSERT(vain_until_barred(&s) > 1);
    for (int i = 0; i < 10; i++) {
        uint64_t end = s.barred_ns;
        CU_ASSERT(end <= now_ns() + 4 * ms);
        CU_ASSERT(!spin_begin(&s, &w) || now_ns() >= end);
        sleep_until(end);
        CU_ASSERT_EQUAL(vain_until_barred(&s), 1);
    }
    /* What pays is done for longer again. */
    sleep_until(now_ns() + 5 * ms);
    CU_ASSERT(spin_begin(&s, &w));
    for (int i = 0; i < 3; i++)
        spin_hit(&s);
    CU_ASSERT(vain_until_barred(&s) > 1);
}

static void test_costly_gap(void)
{
    struct spin s;
    struct spin_wait w;
    spin_init(&s, 1000000000);
    s.costly = true;
    CU_ASSERT_FATAL(spin_begin(&s, &w));
    while (w.begin_ns == 0 || now_ns() - w.begin_ns < 20000)
        CU_ASSERT_FATAL(spin_again(&s, &w, 1));
    CU_ASSERT(!w.counted); /* no system call either */
    sleep_ns(ms);
    CU_ASSERT(spin_again(&s, &w, 1000));
    CU_ASSERT_EQUAL(s.barred_ns, 0);
}

static const struct unit_test tests[] = {{"never", test_never},
                                         {"long waits", test_long_waits},
                                         {"short waits", test_short_waits},
                                         {"in vain", test_in_vain},
                                         {"fast way", test_fast},
                                         {"one wait ends", test_ends},
                                         {"bar", test_bar},
                                         {"bars double", test_bars_double},
                                         {"stolen time", test_stolen},
                                         {"costly", test_costly},
                                         {"costly, gap", test_costly_gap}};
UNIT_MAIN("spin", tests)
