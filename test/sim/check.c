// SPDX-License-Identifier: BSD-3-Clause
// The properties that need the whole trace. Every ring gets one order, of all
// messages that anyone delivered in it; each process's deliveries are then laid
// beside it.
#include "test/sim/trace.h"

#include "daemon/base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

// --- the order of each ring
// ---------------------------------------------------

static const struct trace *sorted_trace; /* qsort() carries no argument */

static int compare_messages(const void *a, const void *b)
{
    const struct trace_message *x =
        &sorted_trace->messages[*(const uint32_t *)a];
    const struct trace_message *y =
        &sorted_trace->messages[*(const uint32_t *)b];
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void ring_sort(struct trace *t, struct trace_ring *r)
{
    if (r->order_count == 0)
        return;
    sorted_trace = t;
    qsort(r->order, r->order_count, sizeof *r->order, compare_messages);
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct trace_message *m = &t->messages[r->order[i]];
        m->place = i;
        const struct trace_message *before =
            i == 0 ? NULL : &t->messages[r->order[i - 1]];
        if (before != NULL && before->seq == m->seq &&
            before->process != m->process)
            trace_fail(t,
                       "agreed: seq %" PRIu64 " of %s is both of %s and of %s",
                       m->seq, trace_ring_name(t, m->ring),
                       trace_process_name(t, before->process),
                       trace_process_name(t, m->process));
    }
}

static void rings_order(struct trace *t)
{
    for (uint32_t i = 0; i < t->message_count; i++)
        if (t->messages[i].delivered)
            t->rings[t->messages[i].ring].order_count++;
    for (uint32_t i = 0; i < t->ring_count; i++) {
        struct trace_ring *r = &t->rings[i];
        r->order = malloc((r->order_count + 1) * sizeof *r->order);
        CHECK(r->order != NULL);
        r->order_count = 0;
    }
    for (uint32_t i = 0; i < t->message_count; i++) {
        if (!t->messages[i].delivered)
            continue;
        struct trace_ring *r = &t->rings[t->messages[i].ring];
        r->order[r->order_count++] = i;
    }
    for (uint32_t i = 0; i < t->ring_count; i++)
        ring_sort(t, &t->rings[i]);
}

// --- one process in one ring
// ----------------------------------------------------

/* A process that ended in this ring owes nothing more. */
static bool failed_in(const struct trace_process *p, uint32_t stay)
{
    return stay + 1 == p->stay_count && p->end != TRACE_ALIVE;
}

static bool goes_together(const struct trace_stay *s, uint32_t node_id)
{
    return trace_find_id(s->together, s->together_count, node_id) != TRACE_NONE;
}

/* The message at `place` was not delivered, though later ones may have been
 * (`before_last`). */
static void check_missing(struct trace *t, uint32_t process, uint32_t stay,
                          uint32_t place, bool before_last)
{
    const struct trace_process *p = &t->processes[process];
    const struct trace_stay *s = &p->stays[stay];
    const struct trace_message *m =
        &t->messages[t->rings[s->ring].order[place]];
    uint32_t sender = t->processes[m->process].node_id;
    if (before_last && goes_together(s, sender))
        trace_fail(t,
                   "agreed: %s leaves out seq %" PRIu64 " of %s, though its "
                   "sender, node %" PRIu32 ", goes on with it",
                   trace_process_name(t, process), m->seq,
                   trace_ring_name(t, s->ring), sender);
    if (m->safe && m->in_regular && !failed_in(p, stay))
        trace_fail(t,
                   "safe: seq %" PRIu64 " of %s was delivered by someone in "
                   "the regular configuration, but never by %s",
                   m->seq, trace_ring_name(t, s->ring),
                   trace_process_name(t, process));
}

/* Lays the deliveries of one stay beside the ring's order: no gap in the
 * regular part; gaps in the transitional part only where allowed, and nothing
 * delivered after a gap whose sender had seen what is missing. */
static void check_stay(struct trace *t, uint32_t process, uint32_t stay)
{
    const struct trace_process *p = &t->processes[process];
    const struct trace_stay *s = &p->stays[stay];
    const struct trace_ring *r = &t->rings[s->ring];
    uint32_t place = 0, gap = UINT32_MAX;
    uint32_t regular_end = s->closing ? s->transitional : s->end;
    for (uint32_t i = s->first; i < s->end; i++, place++) {
        const struct trace_message *m = &t->messages[p->deliveries[i]];
        if (m->place != place && i < regular_end) {
            trace_fail(t,
                       "agreed: %s delivers seq %" PRIu64 " in regular %s, "
                       "but not seq %" PRIu64 " before it",
                       trace_process_name(t, process), m->seq,
                       trace_ring_name(t, s->ring),
                       t->messages[r->order[place]].seq);
            return;
        }
        if (m->place != place && gap == UINT32_MAX)
            gap = place;
        for (; place < m->place; place++)
            check_missing(t, process, stay, place, true);
        if (m->seen > gap)
            trace_fail(t,
                       "causal: %s delivers seq %" PRIu64 " of %s, whose "
                       "sender had seen seq %" PRIu64 ", but not that one",
                       trace_process_name(t, process), m->seq,
                       trace_ring_name(t, s->ring),
                       t->messages[r->order[gap]].seq);
        if (m->seen > m->place)
            trace_fail(t,
                       "causal: seq %" PRIu64 " of %s is placed before what "
                       "its sender had seen",
                       m->seq, trace_ring_name(t, s->ring));
    }
    for (; place < r->order_count; place++)
        check_missing(t, process, stay, place, false);
}

// --- those that go together
// -------------------------------------------------------

static uint64_t stay_hash(const struct trace_process *p,
                          const struct trace_stay *s)
{
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (uint32_t i = s->first; i < s->end; i++) {
        h = (h ^ p->deliveries[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

static const struct trace_move *move_find(struct trace *t, uint32_t process,
                                          uint32_t stay, uint64_t hash)
{
    struct trace_ring *from = &t->rings[t->processes[process].stays[stay].ring];
    uint32_t to = t->processes[process].stays[stay + 1].ring;
    uint32_t i = from->first_move;
    while (i != TRACE_NONE && t->moves[i].to != to)
        i = t->moves[i].next;
    if (i != TRACE_NONE)
        return &t->moves[i];
    t->moves =
        trace_grow(t->moves, t->move_count, &t->move_max, sizeof *t->moves);
    t->moves[t->move_count] = (struct trace_move){.to = to,
                                                  .process = process,
                                                  .stay = stay,
                                                  .hash = hash,
                                                  .next = from->first_move};
    from->first_move = t->move_count;
    return &t->moves[t->move_count++];
}

/* So many in the regular configuration, and after it. */
static uint32_t in_regular(const struct trace_stay *s)
{
    return s->transitional - s->first;
}

static uint32_t in_transitional(const struct trace_stay *s)
{
    return s->end - s->transitional;
}

static uint32_t first_difference(const struct trace_process *p,
                                 const struct trace_stay *a,
                                 const struct trace_process *q,
                                 const struct trace_stay *b)
{
    uint32_t i = 0;
    while (a->first + i < a->end && b->first + i < b->end &&
           p->deliveries[a->first + i] == q->deliveries[b->first + i])
        i++;
    return i;
}

/* Failure atomicity, and one transitional configuration for all of them. Those
 * who go together deliver the same in the regular configuration and the same in
 * the transitional one: one order of the same messages, divided at one place.
 */
static void check_move(struct trace *t, uint32_t process, uint32_t stay)
{
    const struct trace_process *p = &t->processes[process];
    const struct trace_stay *s = &p->stays[stay];
    uint64_t hash = stay_hash(p, s);
    const struct trace_move *move = move_find(t, process, stay, hash);
    const struct trace_process *q = &t->processes[move->process];
    const struct trace_stay *other = &q->stays[move->stay];
    if (move->hash != hash || in_regular(s) != in_regular(other) ||
        in_transitional(s) != in_transitional(other))
        trace_fail(t,
                   "atomicity: %s and %s go together from %s to %s, but "
                   "deliver %" PRIu32 " + %" PRIu32 " and %" PRIu32
                   " + %" PRIu32 " messages in its regular and transitional "
                   "configuration, the same only up to number %" PRIu32,
                   trace_process_name(t, process),
                   trace_process_name(t, move->process),
                   trace_ring_name(t, s->ring), trace_ring_name(t, move->to),
                   in_regular(s), in_transitional(s), in_regular(other),
                   in_transitional(other), first_difference(p, s, q, other));
    if (s->together_count != other->together_count ||
        memcmp(s->together, other->together,
               s->together_count * sizeof *s->together) != 0 ||
        !goes_together(other, p->node_id))
        trace_fail(t,
                   "configurations: %s and %s go together from %s to %s, but "
                   "by different transitional configurations",
                   trace_process_name(t, process),
                   trace_process_name(t, move->process),
                   trace_ring_name(t, s->ring), trace_ring_name(t, move->to));
}

/* `p`'s stay in `ring`, UINT32_MAX: it never installed it. */
static uint32_t stay_find(const struct trace_process *p, uint32_t ring)
{
    for (uint32_t i = 0; i < p->stay_count; i++)
        if (p->stays[i].ring == ring)
            return i;
    return UINT32_MAX;
}

/* Those of the transitional configuration that took another way after all must
 * have delivered the safe messages that were delivered there. */
static void check_promise(struct trace *t, const struct trace_move *move,
                          uint32_t process)
{
    const struct trace_process *p = &t->processes[move->process];
    const struct trace_stay *s = &p->stays[move->stay];
    const struct trace_process *q = &t->processes[process];
    uint32_t stay = stay_find(q, s->ring);
    if (stay == UINT32_MAX) {
        trace_fail(t,
                   "configurations: %s goes from %s together with %s, which "
                   "never was there",
                   trace_process_name(t, move->process),
                   trace_ring_name(t, s->ring), trace_process_name(t, process));
        return;
    }
    const struct trace_stay *other = &q->stays[stay];
    if (failed_in(q, stay) ||
        (stay + 1 < q->stay_count && q->stays[stay + 1].ring == move->to))
        return;
    uint32_t k = other->first;
    for (uint32_t i = s->transitional; i < s->end; i++) {
        const struct trace_message *m = &t->messages[p->deliveries[i]];
        while (k < other->end && t->messages[q->deliveries[k]].place < m->place)
            k++;
        if (m->safe &&
            (k == other->end || q->deliveries[k] != p->deliveries[i]))
            trace_fail(t,
                       "safe: seq %" PRIu64 " of %s was delivered by %s in "
                       "the transitional configuration it shared with %s, "
                       "but never by that one",
                       m->seq, trace_ring_name(t, s->ring),
                       trace_process_name(t, move->process),
                       trace_process_name(t, process));
    }
}

static void check_promises(struct trace *t)
{
    for (uint32_t i = 0; i < t->move_count; i++) {
        const struct trace_move *move = &t->moves[i];
        const struct trace_stay *s =
            &t->processes[move->process].stays[move->stay];
        const struct trace_ring *r = &t->rings[s->ring];
        for (uint32_t k = 0; k < s->together_count; k++) {
            uint32_t at =
                trace_find_id(r->members, r->member_count, s->together[k]);
            if (at != TRACE_NONE && r->processes[at] != move->process)
                check_promise(t, move, r->processes[at]);
        }
    }
}

// --- what was owed
// -----------------------------------------------------------------

/* Members that never installed the ring must not have skipped it, if anything
 * safe was delivered in its regular configuration. */
static void check_absent(struct trace *t, uint32_t ring)
{
    const struct trace_ring *r = &t->rings[ring];
    uint32_t first = 0;
    while (first < r->order_count) {
        const struct trace_message *m = &t->messages[r->order[first]];
        if (m->safe && m->in_regular)
            break;
        first++;
    }
    if (first == r->order_count)
        return;
    for (uint32_t i = 0; i < r->member_count; i++) {
        const struct trace_process *p = &t->processes[r->processes[i]];
        if (stay_find(p, ring) != UINT32_MAX)
            continue;
        bool failed = p->end != TRACE_ALIVE;
        if (failed &&
            (p->stay_count == 0 ||
             t->rings[p->stays[p->stay_count - 1].ring].id.seq < r->id.seq))
            continue;
        trace_fail(t,
                   "safe: seq %" PRIu64 " was delivered in regular %s, which "
                   "%s never installed",
                   t->messages[r->order[first]].seq, trace_ring_name(t, ring),
                   trace_process_name(t, r->processes[i]));
    }
}

static void check_self_delivery(struct trace *t)
{
    for (uint32_t i = 0; i < t->message_count; i++) {
        const struct trace_message *m = &t->messages[i];
        const struct trace_process *p = &t->processes[m->process];
        if (!m->done || m->delivered_by_self)
            continue;
        uint32_t last = p->stay_count - 1;
        if (p->stays[last].ring == m->ring && failed_in(p, last))
            continue;
        trace_fail(t,
                   "self-delivery: %s never delivers its own message "
                   "%" PRIu32 " (%" PRIu32 " bytes%s), sent in %s",
                   trace_process_name(t, m->process), m->number, m->size_bytes,
                   m->safe ? ", safe" : "", trace_ring_name(t, m->ring));
        return;
    }
}

void trace_check(struct trace *t)
{
    if (t->failed)
        return;
    rings_order(t);
    for (uint32_t i = 0; i < t->process_count && !t->failed; i++) {
        const struct trace_process *p = &t->processes[i];
        for (uint32_t s = 0; s < p->stay_count && !t->failed; s++) {
            check_stay(t, i, s);
            if (s + 1 < p->stay_count)
                check_move(t, i, s);
        }
    }
    for (uint32_t i = 0; i < t->ring_count && !t->failed; i++)
        check_absent(t, i);
    if (!t->failed)
        check_promises(t);
    if (!t->failed)
        check_self_delivery(t);
}
