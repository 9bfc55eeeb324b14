/* SPDX-License-Identifier: BSD-3-Clause */
/* A scenario that fails, made smaller for as long as the same property fails:
 * without one fault after the other, with less load, on a better network. What
 * is left is short enough to be read as a story. */
#include "test/sim/sim.h"

#include <string.h>

enum { RUNS_MAX = 400 };

struct shrink {
    const char *property; /* what failed, up to the colon */
    size_t property_size;
    uint32_t runs;
    char text[1024];
};

static bool fails(struct shrink *k, const struct scenario *s)
{
    static struct results results;
    if (k->runs == RUNS_MAX)
        return false;
    k->runs++;
    return !world_run(s, false, false, &results, k->text, sizeof k->text) &&
           strncmp(k->text, k->property, k->property_size) == 0;
}

static bool try_it(struct shrink *k, struct scenario *s,
                   const struct scenario *smaller)
{
    if (!fails(k, smaller))
        return false;
    *s = *smaller;
    return true;
}

static bool fewer_faults(struct shrink *k, struct scenario *s)
{
    bool any = false;
    for (uint32_t i = s->fault_count; i > 0; i--) {
        struct scenario smaller = *s;
        smaller.fault_count--;
        memmove(&smaller.faults[i - 1], &smaller.faults[i],
                (s->fault_count - i) * sizeof *s->faults);
        any |= try_it(k, s, &smaller);
    }
    return any;
}

static bool less_load(struct shrink *k, struct scenario *s)
{
    bool any = false;
    struct scenario smaller = *s;
    while ((smaller.load_bytes = s->load_bytes / 2) > 0 &&
           try_it(k, s, &smaller))
        any = true;
    smaller = *s;
    while ((smaller.service_ops = s->service_ops / 2) > 0 &&
           try_it(k, s, &smaller))
        any = true;
    smaller = *s;
    smaller.load_senders = 1;
    if (s->load_senders > 1)
        any |= try_it(k, s, &smaller);
    return any;
}

static bool better_network(struct shrink *k, struct scenario *s)
{
    bool any = false;
    const uint32_t now[] = {
        s->loss_ppm,  s->duplicate_ppm,    s->reorder_ppm, s->corrupt_ppm,
        s->clock_ppm, s->bursts.enter_ppm, s->disk_ppm};
    for (size_t i = 0; i < sizeof now / sizeof *now; i++) {
        struct scenario smaller = *s;
        uint32_t *fields[] = {&smaller.loss_ppm,    &smaller.duplicate_ppm,
                              &smaller.reorder_ppm, &smaller.corrupt_ppm,
                              &smaller.clock_ppm,   &smaller.bursts.enter_ppm,
                              &smaller.disk_ppm};
        *fields[i] = 0;
        if (now[i] != 0)
            any |= try_it(k, s, &smaller);
    }
    return any;
}

uint32_t scenario_shrink(struct scenario *s, const char *failure)
{
    struct shrink k = {.property = failure,
                       .property_size = strcspn(failure, ":")};
    bool any;
    do {
        any = fewer_faults(&k, s);
        any |= less_load(&k, s);
        any |= better_network(&k, s);
    } while (any && k.runs < RUNS_MAX);
    return k.runs;
}
