// SPDX-License-Identifier: BSD-3-Clause
// What was seen: state transitions by their reasons, faults, sums.
#include "test/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

void coverage_count(struct results *r, enum totem_state from,
                    enum totem_state to, const char *reason, uint64_t count)
{
    uint32_t i = 0;
    while (i < r->coverage_count &&
           (r->coverage[i].from != from || r->coverage[i].to != to ||
            strncmp(r->coverage[i].reason, reason,
                    sizeof r->coverage[i].reason - 1) != 0))
        i++;
    if (i == COVERAGE_MAX)
        return;
    struct coverage *c = &r->coverage[i];
    if (i == r->coverage_count) {
        r->coverage_count++;
        c->from = from;
        c->to = to;
        snprintf(c->reason, sizeof c->reason, "%s", reason);
    }
    c->count += count;
}

static int compare(const void *a, const void *b)
{
    const struct coverage *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    if (x->to != y->to)
        return x->to < y->to ? -1 : 1;
    return strcmp(x->reason, y->reason);
}

void coverage_print(struct results *r)
{
    qsort(r->coverage, r->coverage_count, sizeof *r->coverage, compare);
    printf("state transitions:\n");
    for (uint32_t i = 0; i < r->coverage_count; i++)
        printf("  %10llu  %-11s -> %-11s  %s\n",
               (unsigned long long)r->coverage[i].count,
               totem_state_name(r->coverage[i].from),
               totem_state_name(r->coverage[i].to), r->coverage[i].reason);
    printf("faults:\n");
    for (uint32_t i = 0; i < FAULT_KINDS; i++)
        printf("  %10llu  %s\n", (unsigned long long)r->faults[i],
               fault_name((enum fault_kind)i));
}

void results_add(struct results *to, const struct results *from)
{
    to->passed += from->passed;
    to->failed += from->failed;
    to->skipped += from->skipped;
    to->virtual_ns += from->virtual_ns;
    to->messages += from->messages;
    to->deliveries += from->deliveries;
    to->configurations += from->configurations;
    to->packets += from->packets;
    to->steps += from->steps;
    for (uint32_t i = 0; i < FAULT_KINDS; i++)
        to->faults[i] += from->faults[i];
    for (uint32_t i = 0; i < from->coverage_count; i++)
        coverage_count(to, from->coverage[i].from, from->coverage[i].to,
                       from->coverage[i].reason, from->coverage[i].count);
}
