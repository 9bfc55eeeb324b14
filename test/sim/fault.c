// SPDX-License-Identifier: BSD-3-Clause
// What goes wrong, and how it ends.
#include "test/sim/sim.h"

#include <stdlib.h>

static void crash(struct world *w, struct node *n, const struct fault *f)
{
    if (!n->up)
        return;
    n->restart_after_ns = f->duration_ns;
    if (f->value == 0)
        node_stop(w, n, TRACE_CRASHED);
    else
        n->sends_left = (uint32_t)f->value;
}

static void freeze(struct world *w, struct node *n, const struct fault *f)
{
    if (!n->up || n->frozen)
        return;
    node_freeze(w, n, f->kind == FAULT_FREEZE && f->other == 1);
    if (f->duration_ns != SIM_NEVER)
        world_at(w, w->now_ns + f->duration_ns,
                 (struct sim_event){.kind = SIM_THAW, .node = n->place});
}

static void leave(struct world *w, struct node *n, const struct fault *f)
{
    if (!n->up || n->frozen)
        return;
    n->restart_after_ns = f->duration_ns;
    node_leave(w, n);
}

/* Both ways. */
void fault_cut_off(struct world *w, struct node *n, bool is)
{
    if (w->healed)
        return;
    world_note(w, "node %u %s", n->id, is ? "is cut off" : "is back");
    for (uint32_t i = 0; i < w->node_count; i++) {
        w->links[i * w->node_count + n->place].cut = is;
        w->links[n->place * w->node_count + i].cut = is;
    }
}

/* Its packets are gone for ever; who sent behind them lives. */
static void hole_end(struct world *w, const struct fault *f)
{
    struct node *n = &w->nodes[f->node];
    w->hole = TRACE_NONE;
    w->installs = (uint32_t)f->value;
    w->install_cut_ns = f->shape;
    if (!n->up)
        return;
    n->restart_after_ns = 2 * f->shape;
    node_stop(w, n, TRACE_CRASHED);
}

static void cut(struct world *w, const struct fault *f, bool is)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        if (f->kind == FAULT_DEAF)
            w->links[i * w->node_count + f->node].cut = is;
        else if (f->kind == FAULT_MUTE)
            w->links[f->node * w->node_count + i].cut = is;
    }
    if (f->kind == FAULT_CUT)
        w->links[f->node * w->node_count + f->other].cut = is;
}

static void queue_limit(struct queue *q, bool concerned, uint64_t limit)
{
    q->limit = concerned && limit < q->max ? (uint32_t)limit : q->max;
}

static void queues_limit(struct node *n, uint32_t channels, uint64_t limit)
{
    queue_limit(&n->token_queue, (channels & CHANNEL_TOKEN) != 0, limit);
    queue_limit(&n->data_queue, (channels & CHANNEL_DATA) != 0, limit);
}

void fault_begin(struct world *w, uint32_t number)
{
    const struct fault *f = &w->scenario->faults[number];
    struct node *n = f->node < w->node_count ? &w->nodes[f->node] : NULL;
    w->results->faults[f->kind]++;
    world_note(w, "fault: %s, node %u, value %llu", fault_name(f->kind),
               n == NULL ? 0 : n->id, (unsigned long long)f->value);
    if (f->duration_ns != SIM_NEVER)
        world_at(w, w->now_ns + f->duration_ns,
                 (struct sim_event){.kind = SIM_FAULT_END, .value = number});
    switch (f->kind) {
    case FAULT_LOSS:
        w->loss.ppm = (uint32_t)f->value;
        w->loss.node = f->node;
        w->loss.channels = f->channels;
        break;
    case FAULT_DELAY:
        w->delay.ns = f->value;
        w->delay.node = f->node;
        break;
    case FAULT_DUPLICATE:
        w->duplicate_ppm = (uint32_t)f->value;
        break;
    case FAULT_REORDER:
        w->reorder_ppm = (uint32_t)f->value;
        break;
    case FAULT_SLOW:
        n->packet_cost_ns = f->value;
        break;
    case FAULT_PARTITION:
        w->parts = (uint32_t)f->value;
        w->shape = f->shape;
        break;
    case FAULT_CUT:
    case FAULT_DEAF:
    case FAULT_MUTE:
        cut(w, f, true);
        break;
    case FAULT_CRASH:
        crash(w, n, f);
        break;
    case FAULT_CRASH_IN_RECOVERY:
        w->recovery_crashes = (uint32_t)f->value;
        w->recovery_restart_ns = f->duration_ns;
        break;
    case FAULT_BREAK_RECOVERY:
        w->recovery_breaks = (uint32_t)f->value;
        w->recovery_break = *f;
        break;
    case FAULT_HOLE:
        w->hole = f->node;
        break;
    case FAULT_FREEZE:
        freeze(w, n, f);
        break;
    case FAULT_LEAVE:
        leave(w, n, f);
        break;
    case FAULT_LOSS_KIND:
        w->kind_loss.ppm = (uint32_t)f->value;
        w->kind_loss.node = f->node;
        w->kind_loss.kinds = f->shape;
        w->kind_loss.fault = number;
        break;
    case FAULT_BURSTS:
        w->bursts = (struct bursts){.enter_ppm = (uint32_t)f->value,
                                    .leave_ppm = (uint32_t)f->shape,
                                    .loss_ppm = f->other};
        break;
    case FAULT_CORRUPTION:
        w->corrupt.ppm = (uint32_t)f->value;
        w->corrupt.node = f->node;
        break;
    case FAULT_CLOCK_JUMP:
        node_clock_jump(w, n, f->value);
        break;
    case FAULT_QUEUE:
        n->packet_cost_ns = f->shape;
        queues_limit(n, f->channels, f->value);
        if (f->other == 1)
            freeze(w, n, f);
        break;
    case FAULT_HALF:
        half_begin(w, &f->half);
        break;
    case FAULT_KINDS:
        abort();
    }
}

/* The end of what has one; the others end by events of their own. */
void fault_end(struct world *w, uint32_t number)
{
    const struct scenario *s = w->scenario;
    const struct fault *f = &s->faults[number];
    if (w->healed)
        return;
    switch (f->kind) {
    case FAULT_LOSS:
        w->loss.ppm = 0;
        break;
    case FAULT_DELAY:
        w->delay.ns = 0;
        break;
    case FAULT_DUPLICATE:
        w->duplicate_ppm = s->duplicate_ppm;
        break;
    case FAULT_REORDER:
        w->reorder_ppm = s->reorder_ppm;
        break;
    case FAULT_SLOW:
        w->nodes[f->node].packet_cost_ns = s->packet_cost_ns;
        break;
    case FAULT_PARTITION:
        w->parts = 0;
        break;
    case FAULT_CUT:
    case FAULT_DEAF:
    case FAULT_MUTE:
        cut(w, f, false);
        break;
    case FAULT_HOLE:
        hole_end(w, f);
        break;
    case FAULT_LOSS_KIND:
        if (w->kind_loss.fault == number)
            w->kind_loss.ppm = 0;
        break;
    case FAULT_BURSTS:
        w->bursts = s->bursts;
        break;
    case FAULT_CORRUPTION:
        w->corrupt.ppm = s->corrupt_ppm;
        w->corrupt.node = UINT32_MAX;
        break;
    case FAULT_QUEUE:
        w->nodes[f->node].packet_cost_ns = s->packet_cost_ns;
        queues_limit(&w->nodes[f->node], 0, 0);
        break;
    case FAULT_CLOCK_JUMP:
    case FAULT_CRASH:
    case FAULT_CRASH_IN_RECOVERY:
    case FAULT_BREAK_RECOVERY:
    case FAULT_FREEZE:
    case FAULT_LEAVE:
    case FAULT_HALF:
    case FAULT_KINDS:
        return;
    }
    world_note(w, "end of fault: %s", fault_name(f->kind));
}

/* Some time within the next rotations. */
static uint64_t soon(struct world *w)
{
    uint64_t rotation_ns = w->scenario->delay_ns * w->node_count;
    return w->now_ns + random_scale(&w->random, 1, 4 * rotation_ns);
}

void fault_recovery(struct world *w, struct node *n)
{
    if (w->recovery_crashes > 0 && random_chance(&w->random, 300000)) {
        w->recovery_crashes--;
        n->restart_after_ns = w->recovery_restart_ns;
        world_at(w, soon(w),
                 (struct sim_event){.kind = SIM_CRASH,
                                    .node = n->place,
                                    .tag = n->incarnation});
    }
    if (w->recovery_breaks > 0 && random_chance(&w->random, 300000)) {
        w->recovery_breaks--;
        world_at(w, soon(w),
                 (struct sim_event){.kind = SIM_BREAK, .node = n->place});
    }
}

void fault_install(struct world *w, struct node *n)
{
    bool seen = n->ring_id.seq == w->installed.seq &&
                n->ring_id.nonce == w->installed.nonce;
    w->installed = n->ring_id;
    if (w->installs == 0 || seen || n->member_count < 2)
        return;
    w->installs--;
    if (random_chance(&w->random, 500000))
        fault_cut_off(w, n, true);
    else
        world_at(w, soon(w),
                 (struct sim_event){.kind = SIM_CUT_OFF, .node = n->place});
    world_at(w, w->now_ns + w->install_cut_ns,
             (struct sim_event){.kind = SIM_CUT_OFF_END, .node = n->place});
}

void fault_break(struct world *w, struct node *n)
{
    struct fault *f = &w->recovery_break;
    if (w->healed)
        return;
    world_note(w, "fault: recovery breaks by %u", f->other);
    if (f->other == 0) {
        w->parts = 2;
        w->shape = random_next(&w->random);
        w->loss.ppm = 0;
    } else if (f->other == 1) {
        w->loss.ppm = 500000;
        w->loss.node = UINT32_MAX;
        w->loss.channels = CHANNEL_DATA | CHANNEL_TOKEN;
    } else {
        freeze(w, n, f);
        return;
    }
    world_at(w, w->now_ns + f->duration_ns,
             (struct sim_event){.kind = SIM_BREAK_END});
}

void fault_break_end(struct world *w)
{
    if (w->healed)
        return;
    world_note(w, "end of fault: recovery broken");
    if (w->recovery_break.other == 0)
        w->parts = 0;
    else
        w->loss.ppm = 0;
}

/* Links are whole, nobody is paused; of those down, half come back. */
void fault_heal(struct world *w)
{
    network_heal(w);
    w->recovery_crashes = w->recovery_breaks = w->installs = 0;
    w->hole = TRACE_NONE;
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];
        n->sends_left = UINT32_MAX;
        n->packet_cost_ns = w->scenario->packet_cost_ns;
        queues_limit(n, 0, 0);
        if (n->up && n->frozen)
            node_thaw(w, n);
        if (!n->up && random_chance(&w->random, 500000))
            world_at(w, w->now_ns + random_range(&w->random, 0, 200 * SIM_MS),
                     (struct sim_event){.kind = SIM_RESTART, .node = i});
    }
}
