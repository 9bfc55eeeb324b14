/* SPDX-License-Identifier: BSD-3-Clause */
/* ring_world.h - a few totem machines and the packets between them, for tests
 * that want a hand on each packet. The simulator is the place for long stories;
 * here nothing happens but what the test does, in the order it does it. */
#ifndef TEST_UNIT_RING_WORLD_H
#define TEST_UNIT_RING_WORLD_H

#include "daemon/base/check.h"
#include "daemon/totem/totem.h"
#include "daemon/totem/wire.h"

#include <stdlib.h>

enum {
    WORLD_NODES_MAX = 12,
    WORLD_QUEUE_MAX = 512,
    WORLD_KINDS = WIRE_ACK + 1,
    WORLD_PACKET_MAX = 256 /* of data; windows of 8 */
};

struct world_packet {
    uint32_t to; /* place */
    uint64_t due_ns;
    size_t size;
    uint8_t *data;
};

struct world_node {
    struct totem *totem; /* NULL: it is down */
    uint64_t wake_ns, ring_seq;
    uint32_t waiting; /* messages to be sent */
    bool waiting_safe;
    uint32_t sent, delivered, configurations, members, mismatches;
    uint32_t delivered_safe;
    uint32_t broken;         /* recoveries that came to nothing */
    uint32_t recovered_most; /* packets of the old ring in one step */
    uint32_t delivered_late; /* in a transitional configuration */
    bool transitional;       /* the last configuration was one */
    enum totem_state state;
    const char *reason;   /* of the state */
    uint32_t rings;       /* regular configurations */
    uint32_t member_bits; /* places of the last one's members */
    uint32_t sent_kinds[WORLD_KINDS];
    /* What it told of its links to others, by their places. */
    uint32_t links[WORLD_NODES_MAX][TOTEM_LINK_GOOD + 1];
};

struct ring_world {
    uint32_t count;
    uint64_t now_ns;
    struct world_node nodes[WORLD_NODES_MAX]; /* ids are places + 1 */
    struct world_packet queue[WORLD_QUEUE_MAX];
    uint32_t queue_count;
    /* Bits of the packet kinds that never come from one to another. */
    uint32_t lost[WORLD_NODES_MAX][WORLD_NODES_MAX];
    /* Nor do new data packets of these numbers: bits, of those below 64. */
    uint64_t lost_seqs[WORLD_NODES_MAX][WORLD_NODES_MAX];
    /* Nor do packets that are larger; 0: all come. */
    size_t lost_above[WORLD_NODES_MAX][WORLD_NODES_MAX];
    /* What comes takes so long. */
    uint64_t late_ns[WORLD_NODES_MAX][WORLD_NODES_MAX];
    /* The last packet of each kind that anybody sent. */
    uint8_t last[WORLD_KINDS][TOTEM_CONTROL_SIZE_MAX];
    size_t last_size[WORLD_KINDS];
};

static inline void world_queue(struct ring_world *w, uint32_t from, uint32_t to,
                               struct bytes packet)
{
    if (w->queue_count == WORLD_QUEUE_MAX)
        return; /* lost */
    uint8_t *copy = malloc(packet.n);
    CHECK(copy != NULL);
    memcpy(copy, packet.p, packet.n);
    w->queue[w->queue_count++] =
        (struct world_packet){.to = to,
                              .due_ns = w->now_ns + w->late_ns[from][to],
                              .size = packet.n,
                              .data = copy};
}

static inline bool world_loses(const struct ring_world *w, uint32_t from,
                               uint32_t to, struct bytes packet)
{
    struct reader r = reader_of(packet);
    struct wire_head head;
    struct wire_data data;
    if (!wire_head_read(&r, &head) || (w->lost[from][to] >> head.kind & 1) != 0)
        return true;
    if (w->lost_above[from][to] != 0 && packet.n > w->lost_above[from][to])
        return true;
    return head.kind == WIRE_DATA && wire_data_read(&r, &head, &data) &&
           !data.recovered && data.seq < 64 &&
           (w->lost_seqs[from][to] >> data.seq & 1) != 0;
}

static inline void world_configuration(struct world_node *n,
                                       const struct totem_configuration *c)
{
    n->configurations++;
    n->members = c->member_count;
    n->transitional = c->transitional;
    if (c->transitional)
        return;
    n->rings++;
    n->member_bits = 0;
    for (uint32_t i = 0; i < c->member_count; i++)
        if (c->members[i] <= WORLD_NODES_MAX)
            n->member_bits |= 1u << (c->members[i] - 1);
}

static inline void world_output(struct ring_world *w, uint32_t from,
                                const struct totem_out *out)
{
    struct world_node *n = &w->nodes[from];
    uint32_t recovered = 0;
    for (uint32_t i = 0; i < out->send_count; i++) {
        const struct totem_send *s = &out->sends[i];
        uint8_t kind = s->packet.p[0];
        recovered += kind == WIRE_DATA && n->state == TOTEM_RECOVERY;
        CHECK(kind < WORLD_KINDS && s->packet.n <= TOTEM_CONTROL_SIZE_MAX);
        memcpy(w->last[kind], s->packet.p, s->packet.n);
        w->last_size[kind] = s->packet.n;
        n->sent_kinds[kind]++;
        for (uint32_t to = 0; to < w->count; to++)
            if (to != from && !world_loses(w, from, to, s->packet) &&
                (s->to != TOTEM_TO_NODE || s->node_id == to + 1))
                world_queue(w, from, to, s->packet);
    }
    if (recovered > n->recovered_most)
        n->recovered_most = recovered;
    for (uint32_t i = 0; i < out->event_count; i++) {
        const struct totem_event *e = &out->events[i];
        if (e->kind == TOTEM_EVENT_STATE) {
            n->broken +=
                e->state.from == TOTEM_RECOVERY && e->state.to == TOTEM_GATHER;
            n->state = e->state.to;
            n->reason = e->state.reason;
        }
        if (e->kind == TOTEM_EVENT_MISMATCH)
            n->mismatches++;
        if (e->kind == TOTEM_EVENT_MESSAGE) {
            n->delivered++;
            n->delivered_safe += e->message.safe;
            n->delivered_late += n->transitional;
        }
        if (e->kind == TOTEM_EVENT_CONFIGURATION)
            world_configuration(n, e->configuration);
        if (e->kind == TOTEM_EVENT_LINK && e->link.node_id <= WORLD_NODES_MAX)
            n->links[e->link.node_id - 1][e->link.state]++;
    }
    n->wake_ns = out->wake_ns;
}

static inline void world_visit(struct ring_world *w, uint32_t at)
{
    struct world_node *n = &w->nodes[at];
    struct totem_out out;
    size_t size;
    uint8_t *room;
    while (n->waiting > 0 && (room = totem_claim(n->totem, &size)) != NULL) {
        memset(room, (int)n->waiting, size);
        totem_commit(n->totem, 1 + n->waiting * 37 % size, n->waiting_safe);
        n->waiting--;
        n->sent++;
    }
    struct totem_in end = {.now_ns = w->now_ns,
                           .kind = TOTEM_IN_VISIT_END,
                           .backlog_packets = n->waiting};
    totem_step(n->totem, &end, &out);
    CHECK(!out.visit);
    world_output(w, at, &out);
}

static inline void world_input(struct ring_world *w, uint32_t at,
                               struct totem_in in)
{
    struct totem_out out;
    in.now_ns = w->now_ns;
    totem_step(w->nodes[at].totem, &in, &out);
    bool visit = out.visit;
    world_output(w, at, &out);
    if (visit)
        world_visit(w, at);
}

/* One input, the visit it may open, and the submission it makes sensible. */
static inline void world_step(struct ring_world *w, uint32_t at,
                              struct totem_in in)
{
    world_input(w, at, in);
    if (w->nodes[at].waiting > 0 && totem_wants_submit(w->nodes[at].totem))
        world_input(w, at, (struct totem_in){.kind = TOTEM_IN_SUBMIT});
}

static inline void world_give_from(struct ring_world *w, uint32_t at,
                                   uint32_t node_id, struct bytes packet)
{
    world_step(w, at,
               (struct totem_in){.kind = TOTEM_IN_PACKET,
                                 .node_id = node_id,
                                 .packet = packet});
}

/* The node that a packet names as its sender. */
static inline uint32_t world_sender(struct bytes packet)
{
    struct reader r = reader_of(packet);
    read_u32(&r);
    return read_u32(&r);
}

static inline void world_give(struct ring_world *w, uint32_t at,
                              struct bytes packet)
{
    world_give_from(w, at, world_sender(packet), packet);
}

/* Takes the oldest packet whose time has come out of the queue; its data is the
 * caller's. */
static inline bool world_take(struct ring_world *w, struct world_packet *p)
{
    uint32_t at = 0;
    while (at < w->queue_count && w->queue[at].due_ns > w->now_ns)
        at++;
    if (at == w->queue_count)
        return false;
    *p = w->queue[at];
    w->queue_count--;
    memmove(w->queue + at, w->queue + at + 1,
            (w->queue_count - at) * sizeof *w->queue);
    return true;
}

/* The oldest packet arrives, if its receiver is up; false: there is none. */
static inline bool world_arrive(struct ring_world *w)
{
    struct world_packet p;
    if (!world_take(w, &p))
        return false;
    if (w->nodes[p.to].totem != NULL)
        world_give(w, p.to, (struct bytes){p.data, p.size});
    free(p.data);
    return true;
}

/* Goes on to the next timer, and runs it; or to where a late packet comes. */
static inline void world_timer(struct ring_world *w)
{
    uint32_t at = 0;
    for (uint32_t i = 1; i < w->count; i++)
        if (w->nodes[i].wake_ns < w->nodes[at].wake_ns)
            at = i;
    uint64_t next_ns = w->nodes[at].wake_ns;
    CHECK(next_ns != UINT64_MAX);
    for (uint32_t i = 0; i < w->queue_count; i++)
        if (w->queue[i].due_ns < next_ns)
            next_ns = w->queue[i].due_ns;
    if (next_ns > w->now_ns)
        w->now_ns = next_ns;
    if (w->nodes[at].wake_ns <= w->now_ns)
        world_step(w, at, (struct totem_in){.kind = TOTEM_IN_TIMEOUT});
}

/* Runs the timers whose time has come, however much is on its way. */
static inline void world_due(struct ring_world *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (w->nodes[i].wake_ns <= w->now_ns)
            world_step(w, i, (struct totem_in){.kind = TOTEM_IN_TIMEOUT});
}

static inline void world_send(struct ring_world *w, uint32_t at, uint32_t count,
                              bool safe)
{
    w->nodes[at].waiting += count;
    w->nodes[at].waiting_safe = safe;
    if (totem_wants_submit(w->nodes[at].totem))
        world_step(w, at, (struct totem_in){.kind = TOTEM_IN_SUBMIT});
}

/* All that are up are in one ring, with nothing left to send. */
static inline bool world_whole(const struct ring_world *w)
{
    uint32_t up = 0;
    for (uint32_t i = 0; i < w->count; i++)
        up += w->nodes[i].totem != NULL;
    for (uint32_t i = 0; i < w->count; i++)
        if (w->nodes[i].totem != NULL &&
            (w->nodes[i].state != TOTEM_OPERATIONAL ||
             w->nodes[i].members != up || w->nodes[i].waiting > 0))
            return false;
    return true;
}

/* The next packet, a fifth of a millisecond later, or the next timer. */
static inline void world_next(struct ring_world *w)
{
    w->now_ns += 200000;
    world_due(w);
    if (!world_arrive(w))
        world_timer(w);
}

/* Until that node is in that state; false: never. */
static inline bool world_until(struct ring_world *w, uint32_t at,
                               enum totem_state state)
{
    for (int i = 0; i < 100000 && w->nodes[at].state != state; i++)
        world_next(w);
    return w->nodes[at].state == state;
}

static inline void world_run(struct ring_world *w, uint64_t for_ns)
{
    uint64_t end_ns = w->now_ns + for_ns;
    while (w->now_ns < end_ns)
        world_next(w);
}

/* Goes on until all are in one ring with nothing left to send. False: not by
 * then. */
static inline bool world_settle(struct ring_world *w, uint64_t for_ns)
{
    uint64_t end_ns = w->now_ns + for_ns;
    while (w->now_ns < end_ns && !world_whole(w))
        world_next(w);
    return world_whole(w);
}

static inline struct totem_config world_config(uint32_t node_id)
{
    return (struct totem_config){.node_id = node_id,
                                 .incarnation = 0x1000 + node_id,
                                 .random_seed = node_id,
                                 .packet_size_max = WORLD_PACKET_MAX,
                                 .window_packets = 8,
                                 .token_ns = 200000000,
                                 .token_retransmit_ns = 47000000,
                                 .hold_ns = 27000000,
                                 .join_ns = 100000000,
                                 .consensus_ns = 200000000,
                                 .merge_ns = 200000000,
                                 .fail_recv_const = 250};
}

static inline void world_start(struct ring_world *w, uint32_t at,
                               const struct totem_config *config)
{
    struct world_node *n = &w->nodes[at];
    totem_free(n->totem);
    *n = (struct world_node){.totem = totem_new(config), .wake_ns = UINT64_MAX};
    CHECK(n->totem != NULL);
    world_step(w, at, (struct totem_in){.kind = TOTEM_IN_START});
}

/* It crashes, or leaves. */
static inline void world_stop(struct ring_world *w, uint32_t at, bool leaves)
{
    struct world_node *n = &w->nodes[at];
    if (leaves)
        world_input(w, at, (struct totem_in){.kind = TOTEM_IN_LEAVE});
    n->ring_seq = totem_ring_seq(n->totem);
    totem_free(n->totem);
    n->totem = NULL;
    n->wake_ns = UINT64_MAX;
    n->waiting = 0;
}

static inline struct ring_world *world_new(uint32_t count)
{
    struct ring_world *w = calloc(1, sizeof *w);
    CHECK(w != NULL && count <= WORLD_NODES_MAX);
    w->count = count;
    w->now_ns = 1000000000;
    for (uint32_t i = 0; i < count; i++) {
        struct totem_config c = world_config(i + 1);
        world_start(w, i, &c);
    }
    return w;
}

static inline void world_free(struct ring_world *w)
{
    for (uint32_t i = 0; i < w->queue_count; i++)
        free(w->queue[i].data);
    for (uint32_t i = 0; i < w->count; i++)
        totem_free(w->nodes[i].totem);
    free(w);
}

#endif
