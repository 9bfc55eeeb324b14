/* SPDX-License-Identifier: BSD-3-Clause */
#include "ipc/spin.h"

#include <sys/resource.h>
#include <time.h>

enum {
    SCORE_SPIN = 8, /* from here on */
    SCORE_FIRST = 16,
    SCORE_MAX = 32,
    SCORE_HIT = 8,
    SCORE_VAIN = 16,
    SCORE_LONG = 8,
    SCORE_SHORT = 1,
    LOOKS_PER_CLOCK = 16, /* reading it costs as much as a few looks */
    SHORT_FACTOR = 3      /* a wait of so many max_ns was short */
};

/* A gap between two looks at the clock that another's turn on this processor
 * explains; looks are less than a microsecond apart. */
static const uint64_t gap_ns = 50000;

/* A wait that has taken so long can afford a system call. Who is preempted at
 * all, is so mostly in waits that are longer. */
static const uint64_t count_ns = 5000;

static const uint64_t bar_min_ns = 4000000, bar_max_ns = 512000000;
static const uint64_t bar_forget_ns = 1000000000;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* How often the calling thread was taken off its processor. On a virtual
 * machine the host takes the processor itself away, which is nobody's loss
 * here: there are gaps then without any switch. */
static uint64_t switches(void)
{
    struct rusage u;

    return getrusage(RUSAGE_THREAD, &u) == 0
               ? (uint64_t)u.ru_nivcsw + (uint64_t)u.ru_nvcsw
               : 0;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

void spin_init(struct spin *s, uint32_t max_ns)
{
    *s = (struct spin){.max_ns = max_ns, .score = SCORE_FIRST};
}

static void bar(struct spin *s, uint64_t now)
{
    uint64_t since = now - (s->bar_made_ns + s->bar_ns);

    s->bar_ns = s->bar_ns == 0 || since > bar_forget_ns ? bar_min_ns
                : s->bar_ns < bar_max_ns                ? s->bar_ns * 2
                                                        : bar_max_ns;
    s->bar_made_ns = now;
    s->barred_ns = now + s->bar_ns;
}

bool spin_begin(struct spin *s, struct spin_wait *w)
{
    *w = (struct spin_wait){.begin_ns = 0};
    if (s->max_ns == 0)
        return false;
    /* On the way that is to be fast the clock is not read. */
    if (s->score >= SCORE_SPIN && s->barred_ns == 0)
        return true;
    w->begin_ns = w->seen_ns = now_ns();
    if (w->begin_ns >= s->barred_ns)
        s->barred_ns = 0;
    return s->score >= SCORE_SPIN && s->barred_ns == 0;
}

bool spin_again(struct spin *s, struct spin_wait *w, uint32_t places)
{
    uint64_t now;

    relax();
    w->spun = true;
    w->looks += places > 0 ? places : 1;
    if (w->looks < LOOKS_PER_CLOCK)
        return true;
    w->looks = 0;
    now = now_ns();
    if (w->begin_ns == 0)
        w->begin_ns = w->seen_ns = now;
    if (now - w->seen_ns > gap_ns) {
        if (w->counted && switches() != w->switches) {
            bar(s, now);
            return false;
        }
        w->begin_ns += now - w->seen_ns;
    } else if (!s->costly && !w->counted && now - w->begin_ns >= count_ns) {
        w->counted = true;
        w->switches = switches();
    }
    w->seen_ns = now;
    return now - w->begin_ns < s->max_ns;
}

static void learn(struct spin *s, int32_t change)
{
    int32_t score = (int32_t)s->score + change;

    s->score = (uint32_t)(score < 0           ? 0
                          : score > SCORE_MAX ? SCORE_MAX
                                              : score);
}

void spin_hit(struct spin *s)
{
    learn(s, SCORE_HIT);
}

void spin_slept(struct spin *s, const struct spin_wait *w)
{
    if (s->max_ns == 0)
        return;
    if (w->spun) {
        learn(s, -SCORE_VAIN);
        if (s->costly && s->score == 0) {
            s->barred_ns = now_ns() + bar_min_ns;
            s->score = SCORE_SPIN; /* one try after it */
        }
    } else if (now_ns() - w->begin_ns <= (uint64_t)SHORT_FACTOR * s->max_ns)
        learn(s, SCORE_SHORT);
    else
        learn(s, -SCORE_LONG);
}
