/* SPDX-License-Identifier: BSD-3-Clause */
/* Inputs, timers and outputs of the machine.
 *
 * The protocol says: timers run beside the messages. We do: every step first
 * carries out the timers that are due, then its input. So a process that was
 * paused finds its token lost before it looks at what queued up meanwhile. */
#include "daemon/totem/internal.h"

#include "daemon/base/check.h"

#include <stdlib.h>

static const char *const state_names[] = {
    [TOTEM_STARTING] = "starting", [TOTEM_OPERATIONAL] = "operational",
    [TOTEM_GATHER] = "gather",     [TOTEM_COMMIT] = "commit",
    [TOTEM_RECOVERY] = "recovery", [TOTEM_LEFT] = "left"};

const char *totem_state_name(enum totem_state state)
{
    return state_names[state];
}

/* Room for what all send in four rotations: two that this node may lag behind
 * in knowing what is safe, and two that may be under way. */
static uint32_t slots_for(uint32_t window_packets)
{
    uint32_t slots = 64;
    while (slots < 4 * window_packets)
        slots *= 2;
    return slots;
}

static bool allocate(struct totem *t)
{
    const struct totem_config *c = &t->config;
    uint32_t slots = slots_for(c->window_packets);
    t->send_max = 2 * c->window_packets + RTR_SERVED_MAX + SENDS_BESIDES;
    t->event_max = 2 * slots + SENDS_BESIDES; /* links: 2 for each node */
    t->sends = calloc(t->send_max, sizeof *t->sends);
    t->events = calloc(t->event_max, sizeof *t->events);
    t->resent = calloc(slots, sizeof *t->resent);
    t->asked_ns = calloc(slots, sizeof *t->asked_ns);
    bool stores = store_init(&t->ring.store, slots, c->packet_size_max);
    stores &= store_init(&t->forming.store, slots, c->packet_size_max);
    return t->sends != NULL && t->events != NULL && t->resent != NULL &&
           t->asked_ns != NULL && stores;
}

/* Before any ring there is one of this node alone, which never had a token. */
static void first_ring(struct totem *t)
{
    struct ring *r = &t->ring;
    r->id = (struct totem_ring_id){.seq = t->config.ring_seq,
                                   .nonce = t->config.incarnation,
                                   .rep = t->config.node_id};
    r->hash = wire_ring_hash(&r->id);
    r->window_packets = t->config.window_packets;
    set_add(&r->members, t->config.node_id);
    r->incarnations[0] = t->config.incarnation;
    store_reset(&r->store, t->config.first_seq);
    r->delivered = r->safe = t->config.first_seq;
}

static void timers_off(struct totem *t)
{
    t->loss_at = t->retransmit_at = t->hold_at = UINT64_MAX;
    t->join_at = t->consensus_at = t->merge_at = UINT64_MAX;
}

struct totem *totem_new(const struct totem_config *config)
{
    CHECK(config->node_id != 0);
    CHECK(config->packet_size_max >= 256 &&
          config->packet_size_max <= UINT16_MAX);
    CHECK(config->window_packets >= WIRE_WINDOW_MIN &&
          config->window_packets <= 8192);
    struct totem *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->config = *config;
    if (!allocate(t)) {
        totem_free(t);
        return NULL;
    }
    t->state = TOTEM_STARTING;
    t->ring_seq = config->ring_seq;
    first_ring(t);
    timers_off(t);
    return t;
}

void totem_free(struct totem *t)
{
    if (t == NULL)
        return;
    store_deinit(&t->ring.store);
    store_deinit(&t->forming.store);
    free(t->sends);
    free(t->events);
    free(t->resent);
    free(t->asked_ns);
    free(t);
}

/* --- outputs -------------------------------------------------------------- */

static void out_send(struct totem *t, enum totem_to to, uint32_t node_id,
                     struct bytes packet)
{
    CHECK(t->send_count < t->send_max);
    t->sends[t->send_count++] =
        (struct totem_send){.to = to, .node_id = node_id, .packet = packet};
}

void out_control(struct totem *t, enum totem_to to, uint32_t node_id,
                 uint8_t *packet, size_t size)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->send_count; i++)
        if (t->sends[i].packet.p != packet)
            t->sends[kept++] = t->sends[i];
    t->send_count = kept;
    wire_stamp(packet, t->config.packet_size_max);
    out_send(t, to, node_id, (struct bytes){packet, size});
}

void out_again(struct totem *t, uint32_t node_id, uint8_t *packet, size_t size)
{
    wire_stamp(packet, t->config.packet_size_max);
    out_send(t, TOTEM_TO_NODE, node_id, (struct bytes){packet, size});
}

void out_packet(struct totem *t, const struct ring *r, uint64_t seq)
{
    const struct store_slot *slot = store_find(&r->store, seq);
    CHECK(slot != NULL);
    if (r->members.count > 1)
        out_send(t, TOTEM_TO_RING, 0, store_packet(&r->store, slot));
}

struct totem_event *out_event(struct totem *t, enum totem_event_kind kind)
{
    CHECK(t->event_count < t->event_max);
    struct totem_event *e = &t->events[t->event_count++];
    *e = (struct totem_event){.kind = kind};
    return e;
}

void state_set(struct totem *t, enum totem_state to, const char *reason)
{
    struct totem_event *e = out_event(t, TOTEM_EVENT_STATE);
    e->state.from = t->state;
    e->state.to = to;
    e->state.reason = reason;
    t->state = to;
}

/* The protocol says: send the token again after a fixed time without a sign of
 * it. We send it once more earlier, when the ring has been so fast before that
 * the sign is long due: if the next daemon has died with the token in its
 * hands, its host then says that nobody is there. Not in a ring that has been
 * idle for a while, where the token rests. */
static uint64_t first_retransmit_ns(const struct totem *t)
{
    const struct ring *r = &t->ring;
    uint64_t due_ns = 4 * r->fastest_ns;
    if (due_ns < EARLY_RETRANSMIT_NS)
        due_ns = EARLY_RETRANSMIT_NS;
    uint64_t most_ns = t->config.token_retransmit_ns;
    bool idle = t->now_ns - r->packet_ns > 2 * most_ns;
    return idle || due_ns > most_ns ? most_ns : due_ns;
}

void pass(struct totem *t, const struct ring *r, uint64_t hop)
{
    const struct set *members = &r->members;
    uint32_t self = set_place(members, t->config.node_id);
    t->passed_to = members->ids[(self + 1) % members->count];
    CHECK(t->passed_to != t->config.node_id);
    t->passed_hash = r->hash;
    t->passed_hop = hop;
    t->passed_acked = false;
    t->passed_ns = t->now_ns;
    out_control(t, TOTEM_TO_NODE, t->passed_to, t->passed, t->passed_size);
    t->retransmit_at = t->now_ns + first_retransmit_ns(t);
    t->loss_at = t->now_ns + t->config.token_ns;
}

struct ring *ring_active(struct totem *t)
{
    return t->state == TOTEM_RECOVERY ? &t->forming : &t->ring;
}

uint32_t ring_index(const struct ring *r, uint32_t node_id)
{
    for (uint32_t i = 0; i < r->members.count; i++)
        if (r->members.ids[i] == node_id)
            return i;
    return UINT32_MAX;
}

/* --- inputs --------------------------------------------------------------- */

static bool due(struct totem *t, uint64_t *timer)
{
    if (*timer > t->now_ns)
        return false;
    *timer = UINT64_MAX;
    return true;
}

static void retransmit(struct totem *t)
{
    out_control(t, TOTEM_TO_NODE, t->passed_to, t->passed, t->passed_size);
    t->retransmit_at = t->now_ns + t->config.token_retransmit_ns;
    t->stats.token_retransmits++;
}

static void token_lost(struct totem *t)
{
    static const char *const reasons[] = {[TOTEM_OPERATIONAL] = "token lost",
                                          [TOTEM_COMMIT] = "commit token lost",
                                          [TOTEM_RECOVERY] =
                                              "token lost in recovery"};
    CHECK(t->state == TOTEM_OPERATIONAL || t->state == TOTEM_COMMIT ||
          t->state == TOTEM_RECOVERY);
    t->stats.token_losses++;
    gather_enter(t, reasons[t->state], 0);
}

/* The loss of the token comes first: it turns off the others. */
static void timers_run(struct totem *t)
{
    if (due(t, &t->loss_at))
        token_lost(t);
    if (due(t, &t->retransmit_at))
        retransmit(t);
    if (due(t, &t->hold_at))
        hold_end(t);
    if (due(t, &t->join_at))
        gather_join_timeout(t);
    if (due(t, &t->consensus_at))
        gather_consensus_timeout(t);
    if (due(t, &t->merge_at))
        links_tick(t);
}

static void drop(struct totem *t, enum totem_drop why)
{
    t->stats.dropped[why]++;
}

/* These kinds matter to any state, and are small; the larger structs are read
 * onto the stack one at a time. */
static bool packet_join(struct totem *t, const struct wire_head *head,
                        struct reader *r)
{
    struct wire_join join;
    if (!wire_join_read(r, head, &join))
        return false;
    join_on(t, head->sender, &join);
    return true;
}

static bool packet_commit(struct totem *t, const struct wire_head *head,
                          struct reader *r)
{
    struct wire_commit commit;
    if (!wire_commit_read(r, &commit))
        return false;
    commit_on(t, head->sender, &commit);
    return true;
}

static bool packet_token(struct totem *t, const struct wire_head *head,
                         struct reader *r)
{
    struct wire_token token;
    if (!wire_token_read(r, head, &token))
        return false;
    token_on(t, head->sender, &token);
    return true;
}

static bool packet_merge(struct totem *t, const struct wire_head *head,
                         struct reader *r)
{
    struct wire_merge merge;
    if (!wire_merge_read(r, &merge))
        return false;
    merge_on(t, head->sender, &merge);
    return true;
}

static bool packet_leave(struct totem *t, const struct wire_head *head,
                         struct reader *r)
{
    struct wire_leave leave;
    if (!wire_leave_read(r, &leave))
        return false;
    leave_on(t, head->sender, &leave);
    return true;
}

static bool packet_small(struct totem *t, const struct wire_head *head,
                         struct reader *r)
{
    struct wire_echo echo;
    if (head->kind == WIRE_WAKE) {
        uint64_t hash = read_u64(r);
        if (!reader_done(r))
            return false;
        wake_on(t, hash);
        return true;
    }
    if (!wire_echo_read(r, &echo))
        return false;
    if (head->kind == WIRE_PROBE)
        probe_on(t, head->sender, &echo);
    else
        ack_on(t, head->sender, &echo);
    return true;
}

static bool packet_data(struct totem *t, const struct wire_head *head,
                        struct reader *r, struct bytes packet)
{
    struct wire_data data;
    if (packet.n > t->config.packet_size_max || !wire_data_read(r, head, &data))
        return false;
    /* Room to carry it as a recovered one, or it could not be sent again. */
    if (!data.recovered &&
        packet.n > t->config.packet_size_max - WIRE_RECOVERED_SIZE)
        return false;
    data_on(t, head, &data, packet);
    return true;
}

static bool packet_dispatch(struct totem *t, struct bytes packet, uint32_t from)
{
    struct reader r = reader_of(packet);
    struct wire_head head;
    if (!wire_head_read(&r, &head))
        return false;
    /* Data may be sent again by another than its sender. */
    if (head.sender != from && head.kind != WIRE_DATA) {
        drop(t, TOTEM_DROP_SENDER);
        return true;
    }
    /* A ring of both would lose every larger packet at the other. */
    if (head.packet_size_max != t->config.packet_size_max) {
        drop(t, TOTEM_DROP_PACKET_SIZE);
        struct totem_event *e = out_event(t, TOTEM_EVENT_MISMATCH);
        e->mismatch.node_id = head.sender;
        e->mismatch.packet_size_max = head.packet_size_max;
        return true;
    }
    /* Of this node before it was started again. */
    if (head.sender == t->config.node_id && head.kind != WIRE_DATA) {
        drop(t, TOTEM_DROP_STALE);
        return true;
    }
    switch (head.kind) {
    case WIRE_DATA:
        return packet_data(t, &head, &r, packet);
    case WIRE_TOKEN:
        return packet_token(t, &head, &r);
    case WIRE_JOIN:
        return packet_join(t, &head, &r);
    case WIRE_COMMIT:
        return packet_commit(t, &head, &r);
    case WIRE_MERGE:
        return packet_merge(t, &head, &r);
    case WIRE_LEAVE:
        return packet_leave(t, &head, &r);
    case WIRE_WAKE:
    case WIRE_PROBE:
    case WIRE_ACK:
        return packet_small(t, &head, &r);
    }
    return false;
}

/* The system says that nobody listens where the token went. Only then is it
 * believed: the node is left out now, and if it was wrong, it is back after a
 * merge. */
static void unreachable_on(struct totem *t, uint32_t node_id)
{
    if (t->retransmit_at == UINT64_MAX || node_id != t->passed_to)
        return;
    gather_enter(t, "next member unreachable", node_id);
}

static void leave_send(struct totem *t)
{
    struct wire_leave leave = {.incarnation = t->config.incarnation,
                               .ring_seq = t->ring_seq};
    size_t n = wire_leave_write(t->leave_packet, t->config.node_id, &leave);
    out_control(t, TOTEM_TO_ALL, 0, t->leave_packet, n);
    timers_off(t);
    t->held = false;
    if (t->state != TOTEM_LEFT)
        state_set(t, TOTEM_LEFT, "leaving");
}

/* In a ring of one the token is always here: the next visit comes at once. */
static bool alone_with_backlog(const struct totem *t)
{
    return t->held && t->ring.members.count == 1 && t->ring.backlog_sent > 0;
}

static uint64_t earliest(const struct totem *t)
{
    if (alone_with_backlog(t))
        return t->now_ns;
    const uint64_t timers[] = {t->loss_at, t->retransmit_at, t->hold_at,
                               t->join_at, t->consensus_at,  t->merge_at};
    uint64_t at = UINT64_MAX;
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++)
        if (timers[i] < at)
            at = timers[i];
    return at;
}

void totem_step(struct totem *t, const struct totem_in *in,
                struct totem_out *out)
{
    CHECK(in->now_ns >= t->now_ns);
    CHECK(t->visit_open == (in->kind == TOTEM_IN_VISIT_END));
    CHECK((t->state == TOTEM_STARTING) == (in->kind == TOTEM_IN_START));
    t->now_ns = in->now_ns;
    t->send_count = t->event_count = 0;
    t->installed = false;
    if (!t->visit_open && t->state != TOTEM_LEFT)
        timers_run(t);

    switch (in->kind) {
    case TOTEM_IN_START:
        gather_start(t);
        break;
    case TOTEM_IN_PACKET:
        if (t->state == TOTEM_LEFT)
            drop(t, TOTEM_DROP_STALE);
        else if (!packet_dispatch(t, in->packet, in->node_id))
            drop(t, TOTEM_DROP_MALFORMED);
        break;
    case TOTEM_IN_SUBMIT:
        submit_on(t);
        break;
    case TOTEM_IN_TIMEOUT:
        if (alone_with_backlog(t))
            submit_on(t);
        break;
    case TOTEM_IN_VISIT_END:
        visit_finish(t, in->backlog_packets);
        break;
    case TOTEM_IN_UNREACHABLE:
        unreachable_on(t, in->node_id);
        break;
    case TOTEM_IN_LEAVE:
        leave_send(t);
        break;
    }
    const struct set *members = &ring_active(t)->members;
    *out = (struct totem_out){.ring = members->ids,
                              .ring_count = members->count,
                              .sends = t->sends,
                              .send_count = t->send_count,
                              .events = t->events,
                              .event_count = t->event_count,
                              .visit = t->visit_open,
                              .wake_ns = earliest(t)};
}

/* --- queries -------------------------------------------------------------- */

enum totem_state totem_state_get(const struct totem *t)
{
    return t->state;
}

uint64_t totem_ring_seq(const struct totem *t)
{
    return t->ring_seq;
}

const struct totem_stats *totem_stats_get(const struct totem *t)
{
    return &t->stats;
}
