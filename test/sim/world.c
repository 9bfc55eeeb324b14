// SPDX-License-Identifier: BSD-3-Clause
// The world: virtual time, the queue of events, and the end of a run.
#include "test/sim/sim.h"

#include "daemon/base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { POLL_MS = 20, WELL_MS = 300, STEPS_MAX = 20000000 };

void world_note(struct world *w, const char *format, ...)
{
    if (!w->verbose)
        return;
    va_list arguments;
    printf("%12.3f ms  ", (double)w->now_ns / 1e6);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

// --- the queue of events: a heap by time, then by age
// ---------------------------

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void world_at(struct world *w, uint64_t at_ns, struct sim_event event)
{
    event.at_ns = at_ns > w->now_ns ? at_ns : w->now_ns;
    event.order = w->order++;
    if (w->heap_count == w->heap_max) {
        w->heap_max = w->heap_max == 0 ? 256 : w->heap_max * 2;
        w->heap = realloc(w->heap, w->heap_max * sizeof *w->heap);
        CHECK(w->heap != NULL);
    }
    uint32_t i = w->heap_count++;
    for (; i > 0 && earlier(&event, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = event;
}

static bool next_event(struct world *w, struct sim_event *event)
{
    if (w->heap_count == 0)
        return false;
    *event = w->heap[0];
    struct sim_event last = w->heap[--w->heap_count];
    uint32_t i = 0, child;
    while ((child = 2 * i + 1) < w->heap_count) {
        if (child + 1 < w->heap_count &&
            earlier(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!earlier(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return true;
}

struct node *world_node_of_id(struct world *w, uint32_t id)
{
    const struct scenario *s = w->scenario;
    uint32_t place = (id - s->id_base) / s->id_step;
    if (id < s->id_base || place >= w->node_count || w->nodes[place].id != id)
        return NULL;
    return &w->nodes[place];
}

// --- is all well?
// ----------------------------------------------------------------

/* `n` is in a ring of just the living nodes it can reach, has nothing left to
 * send, and all that was sent in this ring has been delivered. */
static bool node_is_well(struct world *w, const struct node *n,
                         const char **why)
{
    uint32_t live = 0;
    uint64_t sent = 0;
    *why = "it is not operational";
    if (totem_state_get(n->totem) != TOTEM_OPERATIONAL || n->member_count == 0)
        return false;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *m = &w->nodes[i];
        if (!m->up || !network_same_part(w, n->place, i))
            continue;
        *why = "its ring is not that of all it can reach";
        if (live == n->member_count || n->members[live] != m->id ||
            n->ring_id.seq != m->ring_id.seq ||
            n->ring_id.rep != m->ring_id.rep ||
            n->ring_id.nonce != m->ring_id.nonce)
            return false;
        live++;
        sent += m->sent_in_ring;
    }
    *why = "its ring has members it cannot reach";
    if (live != n->member_count)
        return false;
    *why = "messages are not sent";
    if (n->pending_count > 0)
        return false;
    *why = "messages are not delivered";
    if (n->delivered_in_ring != sent || n->owed != 0)
        return false;
    return services_are_well(n, why);
}

static const struct node *find_unwell(struct world *w, const char **why)
{
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->nodes[i].up && !node_is_well(w, &w->nodes[i], why))
            return &w->nodes[i];
    return NULL;
}

static void poll_end(struct world *w)
{
    const struct scenario *s = w->scenario;
    const char *why = "";
    const struct node *unwell = find_unwell(w, &why);
    if (unwell == NULL && w->well_since_ns == SIM_NEVER)
        w->well_since_ns = w->now_ns;
    if (unwell != NULL)
        w->well_since_ns = SIM_NEVER;
    if (unwell == NULL && w->now_ns - w->well_since_ns >= WELL_MS * SIM_MS) {
        w->done = true;
        return;
    }
    if (unwell != NULL && w->now_ns > s->heal_ns + s->bound_ns) {
        trace_fail(w->trace,
                   "liveness: %.0f ms after the faults node %u is not well: "
                   "%s (state %s, ring %" PRIu64 ".%u of %u, %u messages to "
                   "send, %" PRIu64 " of its own to deliver)",
                   (double)(w->now_ns - s->heal_ns) / 1e6, unwell->id, why,
                   totem_state_name(totem_state_get(unwell->totem)),
                   unwell->ring_id.seq, unwell->ring_id.rep,
                   unwell->member_count, unwell->pending_count, unwell->owed);
        return;
    }
    world_at(w, w->now_ns + POLL_MS * SIM_MS,
             (struct sim_event){.kind = SIM_POLL});
}

// --- events
// -------------------------------------------------------------------------

static void load_event(struct world *w, struct node *n)
{
    const struct scenario *s = w->scenario;
    if (w->now_ns >= s->load_end_ns || w->bytes_left == 0)
        return;
    world_at(w,
             w->now_ns + random_scale(&w->random, s->load_interval_ns / 4 + 1,
                                      s->load_interval_ns * 2 + 1),
             (struct sim_event){.kind = SIM_LOAD, .node = n->place});
    if (!n->up)
        return;
    load_add(w, n, (uint32_t)random_range(&w->random, 1, s->load_burst));
    if (!n->frozen && n->pending_count > 0 && totem_wants_submit(n->totem))
        node_submit(w, n);
}

static void restart_event(struct world *w, struct node *n)
{
    if (!n->up)
        node_start(w, n);
}

static void heal_event(struct world *w)
{
    world_note(w, "the faults end");
    w->healed = true;
    fault_heal(w);
    world_at(w, w->now_ns + POLL_MS * SIM_MS,
             (struct sim_event){.kind = SIM_POLL});
}

static void world_event(struct world *w, const struct sim_event *e)
{
    struct node *n = &w->nodes[e->node];
    switch (e->kind) {
    case SIM_START:
    case SIM_RESTART:
        restart_event(w, n);
        break;
    case SIM_TIMER:
        node_timer(w, n);
        break;
    case SIM_ARRIVAL:
        node_arrival(w, n, e->packet, e->value);
        break;
    case SIM_RUN:
        node_run(w, n);
        break;
    case SIM_LOAD:
        load_event(w, n);
        break;
    case SIM_SERVICE:
        services_poll(w, n);
        break;
    case SIM_FAULT:
        fault_begin(w, e->value);
        break;
    case SIM_FAULT_END:
        fault_end(w, e->value);
        break;
    case SIM_BREAK:
        fault_break(w, n);
        break;
    case SIM_BREAK_END:
        fault_break_end(w);
        break;
    case SIM_CUT_OFF:
    case SIM_CUT_OFF_END:
        fault_cut_off(w, n, e->kind == SIM_CUT_OFF);
        break;
    case SIM_CRASH:
        if (n->up && n->incarnation == e->tag)
            node_stop(w, n, TRACE_CRASHED);
        break;
    case SIM_THAW:
        if (n->up && n->frozen)
            node_thaw(w, n);
        break;
    case SIM_UNREACHABLE:
        if (n->up && !n->frozen && n->incarnation == e->tag)
            node_unreachable(w, n, e->value);
        break;
    case SIM_HALF_POLL:
        half_poll(w);
        break;
    case SIM_HEAL:
        heal_event(w);
        break;
    case SIM_POLL:
        poll_end(w);
        break;
    }
}

// --- a run
// -----------------------------------------------------------------------------

static void *array_new(size_t count, size_t size)
{
    void *p = calloc(count, size);
    CHECK(p != NULL);
    return p;
}

static void nodes_new(struct world *w)
{
    const struct scenario *s = w->scenario;
    w->nodes = array_new(s->node_count, sizeof *w->nodes);
    for (uint32_t i = 0; i < s->node_count; i++) {
        struct node *n = &w->nodes[i];
        n->place = i;
        n->id = s->id_base + i * s->id_step;
        n->data_queue.max = s->queue_max;
        n->data_queue.limit = n->data_queue.max;
        n->token_queue.max = s->queue_max < 64 ? s->queue_max : 64;
        n->token_queue.limit = n->token_queue.max;
        n->data_queue.items =
            array_new(n->data_queue.max, sizeof *n->data_queue.items);
        n->token_queue.items =
            array_new(n->token_queue.max, sizeof *n->token_queue.items);
        n->content = array_new(SIM_MESSAGE_MAX, 1);
        world_at(w, random_range(&w->random, 0, s->start_spread_ns),
                 (struct sim_event){.kind = SIM_START, .node = i});
        if (i < s->load_senders)
            world_at(w, random_range(&w->random, 0, s->load_interval_ns * 2),
                     (struct sim_event){.kind = SIM_LOAD, .node = i});
    }
}

static struct world *world_new(const struct scenario *s,
                               struct results *results)
{
    struct world *w = array_new(1, sizeof *w);
    w->scenario = s;
    w->results = results;
    w->node_count = s->node_count;
    random_seed(&w->random, s->seed ^ 0x776f726c64);
    w->trace = trace_new();
    w->links = array_new(w->node_count * w->node_count, sizeof *w->links);
    w->sender_free_ns = array_new(w->node_count, sizeof *w->sender_free_ns);
    w->expected = array_new(SIM_MESSAGE_MAX, 1);
    w->bytes_left = s->load_bytes;
    w->messages_left = 20000;
    w->duplicate_ppm = s->duplicate_ppm;
    w->reorder_ppm = s->reorder_ppm;
    w->bursts = s->bursts;
    w->corrupt.ppm = s->corrupt_ppm;
    w->delay.node = w->loss.node = UINT32_MAX;
    w->kind_loss.node = w->corrupt.node = UINT32_MAX;
    w->hole = TRACE_NONE;
    w->well_since_ns = w->formed_ns = SIM_NEVER;
    nodes_new(w);
    services_open(w);
    for (uint32_t i = 0; i < s->fault_count; i++)
        world_at(w, s->faults[i].at_ns,
                 (struct sim_event){.kind = SIM_FAULT, .value = i});
    world_at(w, s->heal_ns, (struct sim_event){.kind = SIM_HEAL});
    return w;
}

static void world_free(struct world *w)
{
    for (uint32_t i = 0; i < w->heap_count; i++)
        if (w->heap[i].packet != NULL)
            packet_release(w->heap[i].packet);
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];
        services_stop(w, n);
        queue_clear(&n->token_queue);
        queue_clear(&n->data_queue);
        free(n->token_queue.items);
        free(n->data_queue.items);
        totem_free(n->totem);
        group_free(n->group);
        free(n->pending);
        free(n->content);
    }
    services_close(w);
    trace_free(w->trace);
    free(w->heap);
    free(w->nodes);
    free(w->links);
    free(w->sender_free_ns);
    free(w->expected);
    free(w);
}

static void results_count(struct world *w, bool passed)
{
    struct results *r = w->results;
    *(passed ? &r->passed : &r->failed) += 1;
    r->virtual_ns += w->now_ns;
    r->messages += trace_messages(w->trace);
    r->deliveries += trace_deliveries(w->trace);
    r->configurations += trace_configurations(w->trace);
    r->packets += w->packets;
    r->steps += w->steps;
}

uint64_t world_form(const struct scenario *s)
{
    static struct results ignored;
    struct world *w = world_new(s, &ignored);
    struct sim_event event;
    while (w->formed_ns == SIM_NEVER && w->now_ns < s->bound_ns &&
           trace_violation(w->trace) == NULL && next_event(w, &event)) {
        w->now_ns = event.at_ns;
        world_event(w, &event);
    }
    uint64_t took_ns =
        w->formed_ns == SIM_NEVER ? SIM_NEVER : w->formed_ns - w->last_start_ns;
    world_free(w);
    return took_ns;
}

bool world_run(const struct scenario *s, bool verbose, bool packets,
               struct results *results, char *text, size_t text_size)
{
    struct world *w = world_new(s, results);
    w->verbose = verbose;
    w->trace_packets = packets;
    struct sim_event event;
    while (!w->done && trace_violation(w->trace) == NULL &&
           next_event(w, &event)) {
        w->now_ns = event.at_ns;
        world_event(w, &event);
        if (w->steps > STEPS_MAX)
            trace_fail(w->trace, "liveness: no end after %d steps", STEPS_MAX);
    }
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->nodes[i].up)
            node_stats_check(w, &w->nodes[i]);
    if (w->done)
        services_end(w);
    trace_check(w->trace);
    const char *violation = trace_violation(w->trace);
    snprintf(text, text_size, "%s", violation == NULL ? "" : violation);
    results_count(w, violation == NULL);
    world_free(w);
    return violation == NULL;
}
