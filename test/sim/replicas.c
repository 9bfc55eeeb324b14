// SPDX-License-Identifier: BSD-3-Clause
// What is true of a replicated service, kept beside it.
//
// A state is known by its way: the list of the configurations that it went
// through, since it began empty in the first of them. Where the replicas
// compare numbers that they mix, ways are compared here; they are a tree, and
// each is there once.
#include "test/sim/replicas.h"

#include "daemon/base/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NOWHERE = 0, HASH_EVERY = 16 };

/* A configuration at the end of a way; NOWHERE: none, no state. */
struct way {
    uint32_t before;
    uint32_t ring;
    uint32_t history; /* the first of this way */
    uint32_t sibling; /* next that ends with this ring */
    bool goes_on;     /* to the end, see replicas_end() */
};

struct entry { /* a member that enters a ring */
    uint32_t node_id;
    bool is, whole;
    uint32_t way;
    uint64_t operations;
    bool wrote; /* since its last plan */
};

struct ring {
    struct totem_ring_id id;
    uint32_t member_count;
    struct entry *entries;
    uint32_t first_way;
    bool planned;
    uint32_t winner; /* place; TRACE_NONE: a history began */
};

struct process {
    uint32_t node_id;
    uint32_t ring; /* TRACE_NONE: none yet */
    uint32_t place;
    bool planned;
    bool whole;
    uint32_t way; /* of what it has, whole or not */
    uint64_t operations_at_plan, succeeded;
    struct replica_stats stats; /* as they were */
    /* Where the last messages of a ring were delivered, when only those who
     * leave it together do. 0: that is since its last plan not so. */
    uint64_t branch;
    bool leaves;
    uint32_t *promises; /* made in this ring */
    uint32_t promise_count, promise_max;
};

struct promise { /* on leaving the ring that it was made in */
    uint32_t number;
    uint32_t way;
};

struct place {
    struct replica_place at; /* birth 0: free */
    uint64_t branch, hash, operations;
    uint32_t process;
};

struct replicas {
    const char *service;
    struct trace *trace;
    struct way *ways;
    uint32_t way_count, way_max;
    struct ring *rings;
    uint32_t ring_count, ring_max;
    struct process *processes;
    uint32_t process_count, process_max;
    struct promise *promises;
    uint32_t promise_count, promise_max;
    struct place *places;
    uint32_t place_count, place_max;
    uint64_t tallies[REPLICAS_TALLIES];
    uint64_t made;
};

static void *grow(void *items, uint32_t count, uint32_t *max, size_t size)
{
    if (count < *max)
        return items;
    *max = *max == 0 ? 32 : 2 * *max;
    items = realloc(items, *max * size);
    CHECK(items != NULL);
    return items;
}

struct replicas *replicas_new(const char *service, struct trace *t)
{
    struct replicas *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    r->service = service;
    r->trace = t;
    r->ways = grow(r->ways, r->way_count, &r->way_max, sizeof *r->ways);
    r->ways[r->way_count++] = (struct way){0}; /* NOWHERE */
    return r;
}

void replicas_free(struct replicas *r)
{
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->ring_count; i++)
        free(r->rings[i].entries);
    for (uint32_t i = 0; i < r->process_count; i++)
        free(r->processes[i].promises);
    free(r->ways);
    free(r->rings);
    free(r->processes);
    free(r->promises);
    free(r->places);
    free(r);
}

// --- ways
// ---------------------------------------------------------------------

static uint32_t way_on(struct replicas *r, uint32_t before, uint32_t ring)
{
    uint32_t i = r->rings[ring].first_way;
    while (i != NOWHERE && r->ways[i].before != before)
        i = r->ways[i].sibling;
    if (i != NOWHERE)
        return i;
    r->ways = grow(r->ways, r->way_count, &r->way_max, sizeof *r->ways);
    i = r->way_count++;
    r->ways[i] =
        (struct way){.before = before,
                     .ring = ring,
                     .history = before == NOWHERE ? i : r->ways[before].history,
                     .sibling = r->rings[ring].first_way};
    r->rings[ring].first_way = i;
    return i;
}

static uint32_t history(const struct replicas *r, const struct entry *e)
{
    return r->ways[e->way].history;
}

// --- rings
// --------------------------------------------------------------------

static uint32_t ring_of(struct replicas *r,
                        const struct totem_configuration *conf)
{
    for (uint32_t i = r->ring_count; i-- > 0;)
        if (r->rings[i].id.seq == conf->ring_id.seq &&
            r->rings[i].id.nonce == conf->ring_id.nonce &&
            r->rings[i].id.rep == conf->ring_id.rep)
            return i;
    r->rings = grow(r->rings, r->ring_count, &r->ring_max, sizeof *r->rings);
    struct ring *ring = &r->rings[r->ring_count];
    *ring =
        (struct ring){.id = conf->ring_id, .member_count = conf->member_count};
    ring->entries = calloc(conf->member_count, sizeof *ring->entries);
    CHECK(ring->entries != NULL);
    for (uint32_t i = 0; i < conf->member_count; i++)
        ring->entries[i].node_id = conf->members[i];
    return r->ring_count++;
}

static uint32_t place_in(const struct ring *ring, uint32_t node_id)
{
    uint32_t i = 0;
    while (i < ring->member_count && ring->entries[i].node_id != node_id)
        i++;
    CHECK(i < ring->member_count);
    return i;
}

// --- processes
// ----------------------------------------------------------------

uint32_t replicas_start(struct replicas *r, uint32_t node_id)
{
    r->processes = grow(r->processes, r->process_count, &r->process_max,
                        sizeof *r->processes);
    r->processes[r->process_count] =
        (struct process){.node_id = node_id, .ring = TRACE_NONE};
    return r->process_count++;
}

/* Its pieces were not all sent yet. */
void replicas_stop(struct replicas *r, uint32_t process,
                   const struct replicas_process *p)
{
    struct process *q = &r->processes[process];
    if (q->ring != TRACE_NONE && q->planned &&
        replica_message_kind(p->replica) == REPLICA_PIECE &&
        replica_stats_get(p->replica)->pieces_sent > 0)
        r->tallies[REPLICAS_DONORS_LOST]++;
}

static void promises_leave(struct replicas *r, struct process *q, uint32_t way)
{
    for (uint32_t i = 0; i < q->promise_count; i++) {
        r->promises = grow(r->promises, r->promise_count, &r->promise_max,
                           sizeof *r->promises);
        r->promises[r->promise_count++] = (struct promise){q->promises[i], way};
    }
    q->promise_count = 0;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0xff51afd7ed558ccdu;
    return h ^ h >> 31;
}

static void transitional(struct process *q,
                         const struct totem_configuration *conf)
{
    q->leaves = true;
    q->branch = mix(mix(q->branch, conf->ring_id.seq), conf->ring_id.nonce);
    for (uint32_t i = 0; i < conf->member_count; i++)
        q->branch = mix(q->branch, conf->members[i]);
}

void replicas_configuration(struct replicas *r, uint32_t process,
                            const struct replicas_process *p,
                            const struct totem_configuration *conf)
{
    struct process *q = &r->processes[process];
    if (conf->transitional) {
        transitional(q, conf);
        return;
    }
    uint32_t ring = ring_of(r, conf);
    q->leaves = false;
    if (q->way != NOWHERE) {
        if (!q->planned)
            q->way = way_on(r, q->way, q->ring);
        promises_leave(r, q, way_on(r, q->way, ring));
    }
    q->ring = ring;
    q->place = place_in(&r->rings[ring], q->node_id);
    q->planned = false;
    uint64_t operations = replica_stats_get(p->replica)->operations;
    r->rings[ring].entries[q->place] =
        (struct entry){.node_id = q->node_id,
                       .is = true,
                       .whole = q->whole,
                       .way = q->way,
                       .operations = operations,
                       .wrote = operations > q->operations_at_plan};
}

// --- the merge rule
// -----------------------------------------------------------

/* What a part, or its history, has to show, the weightiest first. */
struct weight {
    uint64_t history, members, operations;
};

static struct weight weight_of(const struct replicas *r,
                               const struct ring *ring, uint32_t place)
{
    const struct entry *e = &ring->entries[place];
    struct weight w = {.operations = e->operations};
    for (uint32_t i = 0; i < ring->member_count; i++) {
        const struct entry *other = &ring->entries[i];
        if (!other->whole)
            continue;
        w.members += other->way == e->way;
        if (history(r, other) == history(r, e) && other->operations > w.history)
            w.history = other->operations;
    }
    return w;
}

static bool is_heavier(const struct weight *a, const struct weight *b)
{
    if (a->history != b->history)
        return a->history > b->history;
    if (a->members != b->members)
        return a->members > b->members;
    return a->operations > b->operations;
}

static void merge_tally(struct replicas *r, const struct ring *ring)
{
    const struct entry *w = &ring->entries[ring->winner];
    bool merge = false, apart = false;
    for (uint32_t i = 0; i < ring->member_count; i++) {
        const struct entry *e = &ring->entries[i];
        if (!e->whole || e->way == w->way || !e->wrote || !w->wrote)
            continue;
        if (history(r, e) == history(r, w))
            merge = true;
        else
            apart = true;
    }
    r->tallies[REPLICAS_MERGES] += merge;
    r->tallies[REPLICAS_APART] += apart;
}

/* Whose state goes on, decided once for all members: all have entered, or none
 * could have heard of all. */
static void ring_plan(struct replicas *r, struct ring *ring)
{
    struct weight heaviest = {0};
    ring->planned = true;
    ring->winner = TRACE_NONE;
    for (uint32_t i = 0; i < ring->member_count; i++) {
        if (!ring->entries[i].is)
            trace_fail(r->trace,
                       "merge rule: %s: a plan of ring %" PRIu64
                       ", which node %" PRIu32 " never entered",
                       r->service, ring->id.seq, ring->entries[i].node_id);
        if (!ring->entries[i].whole)
            continue;
        struct weight w = weight_of(r, ring, i);
        if (ring->winner == TRACE_NONE || is_heavier(&w, &heaviest)) {
            ring->winner = i;
            heaviest = w;
        }
    }
    if (ring->winner != TRACE_NONE)
        merge_tally(r, ring);
}

static void rule_check(struct replicas *r, const struct process *q,
                       const struct replica_stats *now, bool whole,
                       bool expected_whole, bool resumes, bool gives_up)
{
    const struct ring *ring = &r->rings[q->ring];
    if (whole == expected_whole && now->resumed - q->stats.resumed == resumes &&
        now->resets - q->stats.resets == gives_up)
        return;
    trace_fail(
        r->trace,
        "merge rule: %s: node %" PRIu32 ", in the plan of ring %" PRIu64
        ": whole %d (expected %d), resumes %d (%d), gives up %d (%d); "
        "node %" PRIu32 "'s part should go on",
        r->service, q->node_id, ring->id.seq, whole, expected_whole,
        now->resumed != q->stats.resumed, resumes,
        now->resets != q->stats.resets, gives_up,
        ring->winner == TRACE_NONE ? 0 : ring->entries[ring->winner].node_id);
}

/* The process has come to the plan of its ring. */
static void process_plan(struct replicas *r, struct process *q,
                         const struct replicas_process *p)
{
    struct ring *ring = &r->rings[q->ring];
    const struct replica_stats *now = replica_stats_get(p->replica);
    const struct entry *e = &ring->entries[q->place];
    bool whole = replica_is_whole(p->replica), had = e->way != NOWHERE;
    if (!ring->planned)
        ring_plan(r, ring);
    if (ring->winner == TRACE_NONE) {
        rule_check(r, q, now, whole, true, false, had);
        r->tallies[REPLICAS_BEGUN_ANEW] += had;
        q->way = way_on(r, NOWHERE, q->ring);
    } else {
        uint32_t way = ring->entries[ring->winner].way;
        bool on = e->way == way;
        rule_check(r, q, now, whole, on && e->whole, on && !e->whole,
                   had && !on);
        r->tallies[REPLICAS_RESUMED] += on && !e->whole;
        r->tallies[REPLICAS_RESTARTED] += had && !on && !e->whole;
        q->way = way_on(r, way, q->ring);
    }
    if (!q->leaves)
        q->branch = 0;
    q->planned = true;
    q->operations_at_plan = now->operations;
}

// --- identical
// ----------------------------------------------------------------

static struct place *place_find(struct replicas *r,
                                const struct replica_place *at, uint64_t branch)
{
    uint64_t i = mix(mix(mix(mix(1, at->birth), at->path), at->index), branch);
    for (;; i++) {
        struct place *p = &r->places[i % r->place_max];
        if (p->at.birth == 0 ||
            (memcmp(&p->at, at, sizeof *at) == 0 && p->branch == branch))
            return p;
    }
}

static void places_grow(struct replicas *r)
{
    if (2 * r->place_count < r->place_max)
        return;
    struct place *old = r->places;
    uint32_t old_max = r->place_max;
    r->place_max = old_max == 0 ? 256 : 4 * old_max;
    r->places = calloc(r->place_max, sizeof *r->places);
    CHECK(r->places != NULL);
    for (uint32_t i = 0; i < old_max; i++)
        if (old[i].at.birth != 0)
            *place_find(r, &old[i].at, old[i].branch) = old[i];
    free(old);
}

static void identical_check(struct replicas *r, uint32_t process,
                            const struct replicas_process *p)
{
    struct process *q = &r->processes[process];
    struct replica_place at = replica_place_get(p->replica);
    uint64_t hash = p->hash(p->context);
    uint64_t operations = replica_stats_get(p->replica)->operations;
    places_grow(r);
    struct place *place = place_find(r, &at, q->branch);
    if (place->at.birth == 0) {
        *place = (struct place){at, q->branch, hash, operations, process};
        r->place_count++;
    }
    if (place->hash != hash || place->operations != operations)
        trace_fail(r->trace,
                   "identical: %s: nodes %" PRIu32 " and %" PRIu32
                   " differ in %s after operation %" PRIu64 " (ring %" PRIu64
                   ")",
                   r->service, r->processes[place->process].node_id, q->node_id,
                   place->hash != hash ? "state" : "the count of operations",
                   at.index, r->rings[q->ring].id.seq);
}

/* While it is whole, all its operations are done in their places. */
static void count_check(struct replicas *r, const struct process *q,
                        const struct replica_stats *now, uint64_t succeeded)
{
    if (now->operations - q->stats.operations != succeeded - q->succeeded)
        trace_fail(r->trace,
                   "identical: %s: node %" PRIu32 " counts %" PRIu64
                   " operations, %" PRIu64 " have succeeded",
                   r->service, q->node_id,
                   now->operations - q->stats.operations,
                   succeeded - q->succeeded);
}

void replicas_delivered(struct replicas *r, uint32_t process,
                        const struct replicas_process *p, struct bytes message)
{
    struct process *q = &r->processes[process];
    struct replica_stats now = *replica_stats_get(p->replica);
    bool whole = replica_is_whole(p->replica);
    bool plan = now.plans != q->stats.plans;
    if (plan)
        process_plan(r, q, p);
    else if (q->whole && whole)
        count_check(r, q, &now, p->succeeded);
    if (!plan && q->whole != whole &&
        (!whole || now.exchanges != q->stats.exchanges + 1))
        trace_fail(r->trace,
                   "merge rule: %s: node %" PRIu32 " is %swhole, of itself",
                   r->service, q->node_id, whole ? "" : "not ");
    r->tallies[REPLICAS_FINISHED] += now.exchanges != q->stats.exchanges;
    q->whole = whole;
    q->stats = now;
    q->succeeded = p->succeeded;
    if (whole && (plan || replica_is_piece(message) ||
                  replica_place_get(p->replica).index % HASH_EVERY == 0))
        identical_check(r, process, p);
}

// --- lost
// ---------------------------------------------------------------------

void replicas_promise(struct replicas *r, uint32_t process, uint32_t number)
{
    struct process *q = &r->processes[process];
    q->promises = grow(q->promises, q->promise_count, &q->promise_max,
                       sizeof *q->promises);
    q->promises[q->promise_count++] = number;
    r->made++;
}

void replicas_end(struct replicas *r, uint32_t process,
                  bool (*has)(const void *context, uint32_t number),
                  const void *context)
{
    struct process *q = &r->processes[process];
    if (!q->planned || !q->whole) {
        trace_fail(r->trace, "lost: %s: node %" PRIu32 " is not whole",
                   r->service, q->node_id);
        return;
    }
    bool merged = false;
    for (uint32_t i = 0; i < r->way_count; i++)
        r->ways[i].goes_on = false;
    for (uint32_t i = q->way; i != NOWHERE; i = r->ways[i].before) {
        r->ways[i].goes_on = true;
        merged = merged || r->rings[r->ways[i].ring].first_way != i ||
                 r->ways[i].sibling != NOWHERE;
    }
    promises_leave(r, q, q->way);
    for (uint32_t i = 0; i < r->promise_count; i++) {
        const struct promise *promise = &r->promises[i];
        if (!r->ways[promise->way].goes_on)
            continue;
        r->tallies[REPLICAS_KEPT] += merged;
        if (!has(context, promise->number))
            trace_fail(r->trace,
                       "lost: %s: node %" PRIu32 " has not got number %" PRIu32
                       ", which a client was told is there",
                       r->service, q->node_id, promise->number);
    }
}

uint64_t replicas_tally(const struct replicas *r, enum replicas_tally what)
{
    return r->tallies[what];
}

uint64_t replicas_promises(const struct replicas *r)
{
    return r->made;
}
