// SPDX-License-Identifier: BSD-3-Clause
// One node: drives totem and group exactly as their headers say, and stands for
// the operating system below them (queues, timer, pauses, crashes).
#include "test/sim/sim.h"

#include "daemon/base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

// --- its clock
// ---------------------------------------------------------------

enum { MILLION = 1000000, DISK_AHEAD_MAX = 4096 };

/* A monotonic clock: it goes at its own rate, never back, sometimes forward at
 * a jump, and stands while the virtual machine it is in stands. */
uint64_t node_clock(const struct world *w, const struct node *n)
{
    if (n->clock_stopped)
        return n->clock_ns;
    int64_t passed_ns = (int64_t)(w->now_ns - n->clock_at_ns);
    return n->clock_ns +
           (uint64_t)(passed_ns + passed_ns * n->clock_ppm / MILLION);
}

/* From now on it goes on from what it shows now, and `by_ns` more. */
static void clock_set(struct world *w, struct node *n, uint64_t by_ns)
{
    n->clock_ns = node_clock(w, n) + by_ns;
    n->clock_at_ns = w->now_ns;
}

/* When, in the world's time, its clock will show `clock_ns`; never before. */
static uint64_t world_time(const struct world *w, const struct node *n,
                           uint64_t clock_ns)
{
    uint64_t clock_now_ns = node_clock(w, n);
    uint64_t rate = (uint64_t)(MILLION + n->clock_ppm);
    if (clock_ns <= clock_now_ns)
        return w->now_ns;
    uint64_t left_ns = clock_ns - clock_now_ns;
    return w->now_ns + left_ns / rate * MILLION +
           (left_ns % rate * MILLION + rate - 1) / rate;
}

static void wake_set(struct world *w, struct node *n)
{
    n->wake_ns = n->wake_clock_ns == UINT64_MAX
                     ? SIM_NEVER
                     : world_time(w, n, n->wake_clock_ns);
}

void node_clock_jump(struct world *w, struct node *n, uint64_t by_ns)
{
    clock_set(w, n, by_ns);
    if (!n->up)
        return;
    wake_set(w, n);
    node_schedule(w, n);
}

// --- what comes out
// -----------------------------------------------------------

static void note_configuration(struct world *w, const struct node *n,
                               const struct totem_configuration *c)
{
    if (!w->verbose)
        return;
    char members[256] = "";
    int used = 0;
    for (uint32_t i = 0; i < c->member_count && used < 230; i++)
        used += snprintf(members + used, sizeof members - (size_t)used,
                         " %" PRIu32, c->members[i]);
    world_note(w, "node %u: %s %" PRIu64 ".%u.%04x:%s (%u left, %u joined)",
               n->id, c->transitional ? "transitional" : "regular",
               c->ring_id.seq, c->ring_id.rep,
               (unsigned)(c->ring_id.nonce & 0xffff), members, c->left_count,
               c->joined_count);
}

static void look_whether_formed(struct world *w)
{
    const struct node *first = &w->nodes[0];
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *n = &w->nodes[i];
        if (!n->up || n->member_count != w->node_count ||
            n->ring_id.seq != first->ring_id.seq ||
            n->ring_id.nonce != first->ring_id.nonce)
            return;
    }
    w->formed_ns = w->now_ns;
}

static void configuration_arrives(struct world *w, struct node *n,
                                  const struct totem_configuration *c)
{
    note_configuration(w, n, c);
    trace_configuration(w->trace, n->process, c);
    services_configuration(w, n, c);
    if (c->transitional || trace_violation(w->trace) != NULL)
        return;
    half_configuration(w, n);
    n->ring_id = c->ring_id;
    n->member_count = c->member_count;
    memcpy(n->members, c->members, c->member_count * sizeof *c->members);
    n->sent_in_ring = n->delivered_in_ring = 0;
    if (w->formed_ns == SIM_NEVER && n->member_count == w->node_count)
        look_whether_formed(w);
}

/* Where nothing is lost nothing is asked for again, and no installed ring loses
 * its token. (A commit token may be in vain, when another node comes just as
 * the members have agreed.) */
static void lossless_check(struct world *w, const struct node *n)
{
    const struct totem_stats *s = totem_stats_get(n->totem);
    if (!w->scenario->lossless)
        return;
    if (s->retransmits_asked != 0)
        trace_fail(w->trace,
                   "lossless: node %u asked for %" PRIu64
                   " retransmissions, nothing was lost",
                   n->id, s->retransmits_asked);
    if (s->token_losses != n->token_losses)
        trace_fail(w->trace, "lossless: node %u lost the token of its ring",
                   n->id);
}

static void state_changes(struct world *w, struct node *n,
                          const struct totem_event *e)
{
    coverage_count(w->results, e->state.from, e->state.to, e->state.reason, 1);
    world_note(w, "node %u: %s -> %s: %s", n->id,
               totem_state_name(e->state.from), totem_state_name(e->state.to),
               e->state.reason);
    if (e->state.from == TOTEM_OPERATIONAL)
        lossless_check(w, n);
    if (e->state.to == TOTEM_OPERATIONAL)
        fault_install(w, n);
    if (e->state.to == TOTEM_OPERATIONAL)
        n->token_losses = totem_stats_get(n->totem)->token_losses;
    if (e->state.to == TOTEM_RECOVERY || e->state.to == TOTEM_COMMIT ||
        e->state.from == TOTEM_RECOVERY)
        fault_recovery(w, n);
}

static void handle_event(struct world *w, struct node *n,
                         const struct totem_event *e)
{
    static const char *const links[] = {[TOTEM_LINK_UNHEARD] = "unheard",
                                        [TOTEM_LINK_TOKEN] = "takes no token",
                                        [TOTEM_LINK_DATA] = "failed to receive",
                                        [TOTEM_LINK_LEFT_OUT] = "left out",
                                        [TOTEM_LINK_GOOD] = "good again"};
    if (e->kind == TOTEM_EVENT_STATE)
        state_changes(w, n, e);
    if (e->kind == TOTEM_EVENT_LINK)
        world_note(w, "node %u: node %u %s (%u)", n->id, e->link.node_id,
                   links[e->link.state], e->link.other);
    group_receive(n->group, e);
    struct group_event out;
    while (group_next(n->group, &out)) {
        if (out.kind == GROUP_EVENT_CONFIGURATION)
            configuration_arrives(w, n, out.configuration);
        else if (!services_delivered(w, n, &out))
            load_delivered(w, n, &out);
    }
}

static void handle_send(struct world *w, struct node *n,
                        const struct totem_send *send)
{
    if (n->sends_left == 0)
        return;
    if (n->sends_left != UINT32_MAX)
        n->sends_left--;
    if (w->trace_packets)
        world_note(w, "node %u sends %zu bytes to %s %u", n->id, send->packet.n,
                   send->to == TOTEM_TO_NODE   ? "node"
                   : send->to == TOTEM_TO_RING ? "ring"
                                               : "all",
                   send->node_id);
    network_send(w, n, send);
}

static void handle_output(struct world *w, struct node *n,
                          const struct totem_out *out)
{
    for (uint32_t i = 0; i < out->send_count; i++)
        handle_send(w, n, &out->sends[i]);
    for (uint32_t i = 0; i < out->event_count; i++)
        handle_event(w, n, &out->events[i]);
}

/* One input and everything that follows from it. Each packet sent costs time,
 * too, which is why a busy node is not free at once. */
static void step(struct world *w, struct node *n, struct totem_in *in)
{
    struct totem_out out = {0};
    in->now_ns = node_clock(w, n);
    w->steps++;
    totem_step(n->totem, in, &out);
    uint32_t sends = out.send_count;
    bool visit = out.visit;
    handle_output(w, n, &out);
    if (visit) {
        struct totem_in end = {.now_ns = in->now_ns,
                               .kind = TOTEM_IN_VISIT_END};
        end.backlog_packets = load_visit(w, n);
        out = (struct totem_out){0};
        totem_step(n->totem, &end, &out);
        CHECK(!out.visit);
        sends += out.send_count;
        handle_output(w, n, &out);
    }
    n->wake_clock_ns = out.wake_ns;
    wake_set(w, n);
    if (n->busy_until_ns < w->now_ns)
        n->busy_until_ns = w->now_ns;
    n->busy_until_ns += n->packet_cost_ns * (1 + sends / 4);
    if (n->sends_left == 0)
        node_stop(w, n, TRACE_CRASHED);
}

static void submit_if_wanted(struct world *w, struct node *n)
{
    if (n->up && (n->pending_count > 0 || services_want(w, n)) &&
        totem_wants_submit(n->totem)) {
        struct totem_in in = {.kind = TOTEM_IN_SUBMIT};
        step(w, n, &in);
    }
}

static void step_and_schedule(struct world *w, struct node *n,
                              struct totem_in *in)
{
    step(w, n, in);
    submit_if_wanted(w, n);
    node_schedule(w, n);
}

// --- timer and queues
// -----------------------------------------------------------

void node_schedule(struct world *w, struct node *n)
{
    if (!n->up || n->frozen)
        return;
    if (n->wake_ns != SIM_NEVER) {
        uint64_t at = n->wake_ns > w->now_ns ? n->wake_ns : w->now_ns;
        at += random_range(&w->random, 0, w->scenario->timer_late_ns);
        if (at < n->busy_until_ns)
            at = n->busy_until_ns;
        if (at < n->timer_at_ns) {
            n->timer_at_ns = at;
            world_at(w, at,
                     (struct sim_event){.kind = SIM_TIMER, .node = n->place});
        }
    }
    if (n->token_queue.count + n->data_queue.count > 0 &&
        n->run_at_ns == SIM_NEVER) {
        n->run_at_ns =
            n->busy_until_ns > w->now_ns ? n->busy_until_ns : w->now_ns;
        world_at(w, n->run_at_ns,
                 (struct sim_event){.kind = SIM_RUN, .node = n->place});
    }
}

void node_timer(struct world *w, struct node *n)
{
    if (!n->up || n->frozen || n->timer_at_ns != w->now_ns)
        return; /* of another life, or replaced by an earlier one */
    n->timer_at_ns = SIM_NEVER;
    if (w->now_ns < n->wake_ns || w->now_ns < n->busy_until_ns) {
        node_schedule(w, n);
        return;
    }
    struct totem_in in = {.kind = TOTEM_IN_TIMEOUT};
    step_and_schedule(w, n, &in);
}

static struct packet *next_packet(struct world *w, struct node *n)
{
    enum queue_order order = w->scenario->queue_order;
    if (order == QUEUE_ANY)
        order = (enum queue_order)random_range(&w->random, 0, 1);
    struct queue *first =
        order == QUEUE_TOKEN_FIRST ? &n->token_queue : &n->data_queue;
    struct queue *second =
        order == QUEUE_TOKEN_FIRST ? &n->data_queue : &n->token_queue;
    struct packet *p = queue_pop(first);
    return p != NULL ? p : queue_pop(second);
}

static void take_packet(struct world *w, struct node *n, struct packet *p)
{
    struct totem_in in = {.kind = TOTEM_IN_PACKET,
                          .node_id = p->sender,
                          .packet = {p->data, p->size}};
    if (!p->corrupt) {
        step_and_schedule(w, n, &in);
    } else {
        w->results->tallies[TALLY_CORRUPT]++;
        n->busy_until_ns = w->now_ns + n->packet_cost_ns;
        node_schedule(w, n);
    }
    packet_release(p);
}

void node_run(struct world *w, struct node *n)
{
    if (!n->up || n->frozen || n->run_at_ns != w->now_ns)
        return;
    n->run_at_ns = SIM_NEVER;
    struct packet *p = n->busy_until_ns > w->now_ns ? NULL : next_packet(w, n);
    if (p != NULL)
        take_packet(w, n, p);
    else
        node_schedule(w, n);
}

void node_arrival(struct world *w, struct node *n, struct packet *p,
                  uint32_t channel)
{
    struct queue *q =
        channel == CHANNEL_TOKEN ? &n->token_queue : &n->data_queue;
    if (!n->up) {
        packet_release(p);
    } else if (!n->frozen && n->busy_until_ns <= w->now_ns &&
               n->token_queue.count + n->data_queue.count == 0) {
        take_packet(w, n, p);
    } else if (queue_push(q, p)) {
        node_schedule(w, n);
    } else {
        w->results->tallies[channel == CHANNEL_TOKEN ? TALLY_OVERFLOW_TOKEN
                                                     : TALLY_OVERFLOW_DATA]++;
        packet_release(p);
    }
}

void node_unreachable(struct world *w, struct node *n, uint32_t id)
{
    struct totem_in in = {.kind = TOTEM_IN_UNREACHABLE, .node_id = id};
    step_and_schedule(w, n, &in);
}

void node_submit(struct world *w, struct node *n)
{
    struct totem_in in = {.kind = TOTEM_IN_SUBMIT};
    step_and_schedule(w, n, &in);
}

// --- life and death
// -------------------------------------------------------------

/* What daemon/server/ringstate.c writes, it writes ahead: after a crash the
 * disk holds more than was used, after a graceful end just that. */
static void disk_write(struct world *w, struct node *n, enum trace_end how)
{
    uint64_t seq = totem_ring_seq(n->totem);
    if (how == TRACE_CRASHED) {
        seq += random_range(&w->random, 0, DISK_AHEAD_MAX);
        w->results->tallies[TALLY_DISK_AHEAD]++;
    }
    n->disk_seq = seq;
}

/* A disk that fails, or was changed for another, has nothing (or what does not
 * pass the checksum, which is the same), or what stood there before: at the
 * last start, or at some time. */
static uint64_t disk_read(struct world *w, struct node *n)
{
    if (n->disk_seq == 0 || !random_chance(&w->random, w->scenario->disk_ppm))
        return n->disk_seq;
    uint64_t pick = random_range(&w->random, 0, 3);
    w->results->tallies[pick < 2 ? TALLY_DISK_EMPTY : TALLY_DISK_STALE]++;
    if (pick < 2)
        return 0;
    return pick == 2 ? n->start_seq
                     : random_range(&w->random, 0, n->disk_seq - 1);
}

void node_start(struct world *w, struct node *n)
{
    CHECK(!n->up);
    const struct scenario *s = w->scenario;
    struct totem_config config = s->totem;
    config.node_id = n->id;
    config.window_packets = (uint32_t)random_range(
        &w->random, s->window_least_packets, s->totem.window_packets);
    config.incarnation = n->incarnation = random_next(&w->random);
    config.ring_seq = n->start_seq = disk_read(w, n);
    config.random_seed = random_next(&w->random);
    n->clock_ns = random_scale(&w->random, 1, 1000000 * SIM_MS);
    n->clock_at_ns = w->now_ns;
    n->clock_ppm = (int32_t)random_range(&w->random, 0, 2 * s->clock_ppm) -
                   (int32_t)s->clock_ppm;
    n->clock_stopped = false;
    n->totem = totem_new(&config);
    n->group =
        group_new(&(struct group_config){.node_id = n->id,
                                         .node_max = TOTEM_NODES_MAX,
                                         .message_size_max = SIM_MESSAGE_MAX});
    CHECK(n->totem != NULL && n->group != NULL);
    n->process = trace_start(w->trace, n->id, n->incarnation);
    services_start(w, n);
    n->up = true;
    n->frozen = false;
    n->sends_left = UINT32_MAX;
    n->restart_after_ns = SIM_NEVER;
    n->packet_cost_ns = s->packet_cost_ns;
    n->busy_until_ns = w->now_ns;
    n->run_at_ns = n->timer_at_ns = n->wake_ns = SIM_NEVER;
    n->wake_clock_ns = UINT64_MAX;
    n->message = TRACE_NONE;
    w->last_start_ns = w->now_ns;
    n->member_count = 0;
    n->half_changes = 0;
    n->token_losses = 0;
    n->sent_in_ring = n->delivered_in_ring = n->owed = 0;
    world_note(
        w, "node %u starts, life %04x, ring seq %" PRIu64 ", clock %+d ppm",
        n->id, (unsigned)(n->incarnation & 0xffff), n->start_seq, n->clock_ppm);
    struct totem_in in = {.kind = TOTEM_IN_START};
    step_and_schedule(w, n, &in);
}

/* Packets of ours that make no sense would mean that we cannot read what we
 * write: nothing in this network corrupts them. */
void node_stats_check(struct world *w, const struct node *n)
{
    const struct totem_stats *s = totem_stats_get(n->totem);
    if (s->dropped[TOTEM_DROP_MALFORMED] != 0)
        trace_fail(w->trace,
                   "wire: node %u dropped %" PRIu64 " packets as malformed",
                   n->id, s->dropped[TOTEM_DROP_MALFORMED]);
    if (group_stats_get(n->group)->dropped_malformed != 0)
        trace_fail(w->trace, "wire: node %u dropped malformed items", n->id);
    if (totem_state_get(n->totem) == TOTEM_OPERATIONAL)
        lossless_check(w, n);
}

void node_stop(struct world *w, struct node *n, enum trace_end how)
{
    CHECK(n->up);
    node_stats_check(w, n);
    trace_stop(w->trace, n->process, how);
    if (how == TRACE_CRASHED)
        world_note(w, "node %u crashes", n->id);
    disk_write(w, n, how);
    services_stop(w, n);
    totem_free(n->totem);
    group_free(n->group);
    n->totem = NULL;
    n->group = NULL;
    n->up = n->frozen = false;
    queue_clear(&n->token_queue);
    queue_clear(&n->data_queue);
    n->pending_count = 0;
    n->pending_bytes = 0;
    if (n->restart_after_ns != SIM_NEVER)
        world_at(w, w->now_ns + n->restart_after_ns,
                 (struct sim_event){.kind = SIM_RESTART, .node = n->place});
    n->run_at_ns = n->timer_at_ns = n->wake_ns = SIM_NEVER;
}

void node_leave(struct world *w, struct node *n)
{
    struct totem_in in = {.kind = TOTEM_IN_LEAVE};
    world_note(w, "node %u leaves", n->id);
    step(w, n, &in);
    if (n->up)
        node_stop(w, n, TRACE_LEFT);
}

/* `clock_too`: the whole machine stands, as a suspended virtual one. */
void node_freeze(struct world *w, struct node *n, bool clock_too)
{
    n->frozen = true;
    n->frozen_at_ns = w->now_ns;
    clock_set(w, n, 0);
    n->clock_stopped = clock_too;
    if (clock_too)
        w->results->tallies[TALLY_CLOCK_STOOD]++;
}

/* The first thing after a pause is the time; and the driver does not trust a
 * queue older than the token timeout. It may as well have been emptied. Of a
 * pause in which the clock stood too it knows nothing. */
void node_thaw(struct world *w, struct node *n)
{
    uint64_t pause_ns = w->now_ns - n->frozen_at_ns;
    bool unnoticed = n->clock_stopped;
    n->frozen = n->clock_stopped = false;
    if (unnoticed)
        n->clock_at_ns = w->now_ns;
    wake_set(w, n);
    world_note(w, "node %u runs again", n->id);
    if (!unnoticed && pause_ns > w->scenario->totem.token_ns &&
        random_chance(&w->random, 500000)) {
        queue_clear(&n->token_queue);
        queue_clear(&n->data_queue);
    }
    n->busy_until_ns = w->now_ns;
    n->run_at_ns = n->timer_at_ns = SIM_NEVER;
    if (n->wake_ns <= w->now_ns) {
        struct totem_in in = {.kind = TOTEM_IN_TIMEOUT};
        step_and_schedule(w, n, &in);
    }
    node_schedule(w, n);
}
