// SPDX-License-Identifier: BSD-3-Clause
// How long nodes that start take until all are in one ring.
#include "test/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

/* A consensus timeout and two join intervals, and a little. */
enum { RUNS_MAX = 101, FORM_BOUND_MS = 500 };

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void print_ms(uint64_t ns)
{
    if (ns == SIM_NEVER)
        printf("never");
    else
        printf("%.1f ms", (double)ns / 1e6);
}

static bool form(uint32_t nodes, uint32_t runs)
{
    uint64_t took_ns[RUNS_MAX];
    struct scenario s;
    for (uint32_t i = 0; i < runs; i++) {
        scenario_make_forming(&s, i + 1, nodes);
        took_ns[i] = world_form(&s);
    }
    qsort(took_ns, runs, sizeof *took_ns, by_size);
    bool good = took_ns[runs - 1] <= FORM_BOUND_MS * SIM_MS;
    printf("%s%3u nodes form a ring after the last has started: %u runs, "
           "median ",
           good ? "" : "FAILED ", nodes, runs);
    print_ms(took_ns[runs / 2]);
    printf(", max ");
    print_ms(took_ns[runs - 1]);
    printf(" (at most %d ms)\n", FORM_BOUND_MS);
    return good;
}

void form_check(uint32_t nodes, uint32_t runs, struct results *results)
{
    static const uint32_t sizes[] = {3, 32, TOTEM_NODES_MAX};
    if (runs > RUNS_MAX)
        runs = RUNS_MAX;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool good = form(nodes != 0 ? nodes : sizes[i], runs);
        *(good ? &results->passed : &results->failed) += 1;
        fflush(stdout);
        if (nodes != 0)
            return;
    }
}
