// SPDX-License-Identifier: BSD-3-Clause
// What was seen: state transitions by their reasons, faults, sums. And what
// should have been: a scenario generator that no longer reaches a part of the
// core would pass every check there.
#include "test/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

/* Every transition that the code can make, and why one is not to be seen. */
static const struct {
    enum totem_state from, to;
    const char *reason;
    const char *why_not; /* NULL: it must be seen */
} transitions[] = {
    {TOTEM_STARTING, TOTEM_GATHER, "start", NULL},
    {TOTEM_OPERATIONAL, TOTEM_GATHER, "foreign message", NULL},
    {TOTEM_OPERATIONAL, TOTEM_GATHER, "join", NULL},
    {TOTEM_OPERATIONAL, TOTEM_GATHER, "member leaves", NULL},
    {TOTEM_OPERATIONAL, TOTEM_GATHER, "member failed to receive", NULL},
    {TOTEM_OPERATIONAL, TOTEM_GATHER, "packet that no member has",
     "its sender has it; a token that no member wrote is needed; fuzzer totem"},
    {TOTEM_OPERATIONAL, TOTEM_GATHER, "next member unreachable", NULL},
    {TOTEM_OPERATIONAL, TOTEM_GATHER, "token lost", NULL},
    {TOTEM_OPERATIONAL, TOTEM_LEFT, "leaving", NULL},
    {TOTEM_GATHER, TOTEM_COMMIT, "commit token", NULL},
    {TOTEM_GATHER, TOTEM_COMMIT, "consensus, representative", NULL},
    {TOTEM_GATHER, TOTEM_LEFT, "leaving", NULL},
    {TOTEM_COMMIT, TOTEM_GATHER, "commit token lost", NULL},
    {TOTEM_COMMIT, TOTEM_GATHER, "join while forming a ring", NULL},
    {TOTEM_COMMIT, TOTEM_GATHER, "member leaves while forming a ring", NULL},
    {TOTEM_COMMIT, TOTEM_GATHER, "next member unreachable", NULL},
    {TOTEM_COMMIT, TOTEM_RECOVERY, "all members known", NULL},
    {TOTEM_COMMIT, TOTEM_LEFT, "leaving", NULL},
    {TOTEM_RECOVERY, TOTEM_OPERATIONAL, "ring installed", NULL},
    {TOTEM_RECOVERY, TOTEM_GATHER, "join while forming a ring", NULL},
    {TOTEM_RECOVERY, TOTEM_GATHER, "member failed to receive", NULL},
    {TOTEM_RECOVERY, TOTEM_GATHER, "member leaves while forming a ring", NULL},
    {TOTEM_RECOVERY, TOTEM_GATHER, "packet that no member has", "as above"},
    {TOTEM_RECOVERY, TOTEM_GATHER, "next member unreachable", NULL},
    {TOTEM_RECOVERY, TOTEM_GATHER, "token lost in recovery", NULL},
    {TOTEM_RECOVERY, TOTEM_GATHER, "recovery does not end",
     "a token that no member wrote so is the only way; fuzzer totem"},
    {TOTEM_RECOVERY, TOTEM_LEFT, "leaving", NULL},
    {TOTEM_STARTING, TOTEM_LEFT, "leaving",
     "the first input is TOTEM_IN_START, totem_step() checks it"},
};

enum { TRANSITIONS = sizeof transitions / sizeof *transitions };

static const char *const tally_names[TALLY_COUNT] = {
    [TALLY_OVERFLOW_TOKEN] = "packets lost to a full token queue",
    [TALLY_OVERFLOW_DATA] = "packets lost to a full data queue",
    [TALLY_CORRUPT] = "corrupt packets refused",
    [TALLY_BURST] = "packets lost in bursts",
    [TALLY_KIND_TOKEN] = "tokens lost by their kind",
    [TALLY_KIND_COMMIT] = "commit tokens lost by their kind",
    [TALLY_KIND_JOIN] = "joins lost by their kind",
    [TALLY_KIND_DATA] = "data packets lost by their kind",
    [TALLY_CLOCK_STOOD] = "pauses in which the clock stood too",
    [TALLY_DISK_AHEAD] = "ring sequences written ahead of need",
    [TALLY_DISK_STALE] = "starts from a stale ring sequence",
    [TALLY_DISK_EMPTY] = "starts from a lost ring sequence",
    [TALLY_HALF_LOST] = "packets lost on half broken links",
    [TALLY_HALF_SLOW] = "packets in the long queue of a slow link",
    [TALLY_HALF_APART] = "rings apart for a half broken link",
};

static const char *const service_names[SERVICES] = {"toy", "ckpt"};

static const char *const service_tally_names[REPLICAS_TALLIES] = {
    [REPLICAS_FINISHED] = "states got whole",
    [REPLICAS_RESUMED] = "exchanges gone on with in another configuration",
    [REPLICAS_RESTARTED] = "parts of a state given up for another",
    [REPLICAS_DONORS_LOST] = "donors that ended in the midst of it",
    [REPLICAS_MERGES] = "merges of parts, both written to",
    [REPLICAS_APART] = "merges of histories, both written to",
    [REPLICAS_BEGUN_ANEW] = "parts of a state of which nobody had the whole",
    [REPLICAS_KEPT] = "promises kept through merges",
};

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
    printf("besides:\n");
    for (uint32_t i = 0; i < TALLY_COUNT; i++)
        printf("  %10llu  %s\n", (unsigned long long)r->tallies[i],
               tally_names[i]);
    for (uint32_t i = 0; i < SERVICES; i++)
        for (uint32_t k = 0; k < REPLICAS_TALLIES; k++)
            printf("  %10llu  %s: %s\n", (unsigned long long)r->services[i][k],
                   service_names[i], service_tally_names[k]);
    printf("  %10llu  promises to clients\n", (unsigned long long)r->promises);
    printf("not to be seen:\n");
    for (uint32_t i = 0; i < TRANSITIONS; i++)
        if (transitions[i].why_not != NULL)
            printf("  %-11s -> %-11s  %s: %s\n",
                   totem_state_name(transitions[i].from),
                   totem_state_name(transitions[i].to), transitions[i].reason,
                   transitions[i].why_not);
}

static bool is_transition(const struct coverage *c, uint32_t i)
{
    return c->from == transitions[i].from && c->to == transitions[i].to &&
           strcmp(c->reason, transitions[i].reason) == 0;
}

static bool seen(const struct results *r, uint32_t i)
{
    for (uint32_t k = 0; k < r->coverage_count; k++)
        if (is_transition(&r->coverage[k], i))
            return true;
    return false;
}

static bool known(const struct coverage *c)
{
    for (uint32_t i = 0; i < TRANSITIONS; i++)
        if (transitions[i].why_not == NULL && is_transition(c, i))
            return true;
    return false;
}

static uint32_t complain(const char *what, enum totem_state from,
                         enum totem_state to, const char *reason)
{
    printf("FAILED coverage: %s: %s -> %s, %s\n", what, totem_state_name(from),
           totem_state_name(to), reason);
    return 1;
}

uint32_t coverage_check(const struct results *r)
{
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < TRANSITIONS; i++)
        if (transitions[i].why_not == NULL && !seen(r, i))
            wrong += complain("never seen", transitions[i].from,
                              transitions[i].to, transitions[i].reason);
    for (uint32_t i = 0; i < r->coverage_count; i++)
        if (!known(&r->coverage[i]))
            wrong += complain("not in the list", r->coverage[i].from,
                              r->coverage[i].to, r->coverage[i].reason);
    for (uint32_t i = 0; i < FAULT_KINDS; i++)
        if (r->faults[i] == 0 && ++wrong > 0)
            printf("FAILED coverage: no fault: %s\n",
                   fault_name((enum fault_kind)i));
    for (uint32_t i = 0; i < TALLY_COUNT; i++)
        if (r->tallies[i] == 0 && ++wrong > 0)
            printf("FAILED coverage: no %s\n", tally_names[i]);
    for (uint32_t i = 0; i < SERVICES; i++)
        for (uint32_t k = 0; k < REPLICAS_TALLIES; k++)
            if (r->services[i][k] == 0 && ++wrong > 0)
                printf("FAILED coverage: %s: no %s\n", service_names[i],
                       service_tally_names[k]);
    return wrong;
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
    for (uint32_t i = 0; i < TALLY_COUNT; i++)
        to->tallies[i] += from->tallies[i];
    for (uint32_t i = 0; i < SERVICES; i++)
        for (uint32_t k = 0; k < REPLICAS_TALLIES; k++)
            to->services[i][k] += from->services[i][k];
    to->promises += from->promises;
    for (uint32_t i = 0; i < from->coverage_count; i++)
        coverage_count(to, from->coverage[i].from, from->coverage[i].to,
                       from->coverage[i].reason, from->coverage[i].count);
}
