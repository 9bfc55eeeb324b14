/* SPDX-License-Identifier: BSD-3-Clause */
/* visit_box.h - the token's visit to one node, step by step: a test makes the
 * tokens and data packets that come, and compares what the node sends and hands
 * up, in order. The node is 2 of three; 1 is before it, 3 behind it. */
#ifndef TEST_UNIT_VISIT_BOX_H
#define TEST_UNIT_VISIT_BOX_H

#include "daemon/totem/internal.h"
#include "test/unit/ring_world.h"
#include "test/unit/unit.h"

#include <stdio.h>

enum { MS = 1000000, WINDOW = 64 };

static struct ring_world *world;
static struct totem *t;
static struct ring *r;
static uint64_t now_ns;
static struct wire_token k;    /* the next that comes */
static struct wire_token sent; /* the last that left */

/* The visit's part of the user: messages to send, what is left unsent. */
static uint32_t to_send, backlog;
static bool to_send_safe;

/* What the last step did: d: a data packet, t: a token, w: a wake, a: an
 * acknowledgement, with their numbers; m: a message handed up. */
static char told[4000];

static inline void tell(const char *what, uint64_t number)
{
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%s%s%llu", n > 0 ? " " : "", what,
             (unsigned long long)number);
}

static inline void tell_send(const struct totem_send *s)
{
    struct wire_head head;
    struct wire_data data;
    struct reader reader = reader_of(s->packet);
    CU_ASSERT_FATAL(wire_head_read(&reader, &head));
    if (head.kind == WIRE_DATA) {
        CU_ASSERT_FATAL(wire_data_read(&reader, &head, &data));
        CU_ASSERT_EQUAL(s->to, TOTEM_TO_RING);
        tell("d", data.seq);
    } else if (head.kind == WIRE_TOKEN) {
        CU_ASSERT_FATAL(wire_token_read(&reader, &head, &sent));
        tell("t", s->node_id);
    } else if (head.kind == WIRE_WAKE) {
        tell("w", s->node_id);
    } else if (head.kind == WIRE_ACK) {
        tell("a", s->node_id);
    }
}

static inline bool step_once(struct totem_in in)
{
    struct totem_out out;
    in.now_ns = now_ns;
    totem_step(t, &in, &out);
    for (uint32_t i = 0; i < out.send_count; i++)
        tell_send(&out.sends[i]);
    for (uint32_t i = 0; i < out.event_count; i++)
        if (out.events[i].kind == TOTEM_EVENT_MESSAGE)
            tell("m", out.events[i].message.seq);
    return out.visit;
}

static inline void visit_end(void)
{
    size_t size;
    uint8_t *room;
    for (; to_send > 0 && (room = totem_claim(t, &size)) != NULL; to_send--) {
        memset(room, 7, 10);
        totem_commit(t, 10, to_send_safe);
    }
    step_once((struct totem_in){.kind = TOTEM_IN_VISIT_END,
                                .backlog_packets = backlog});
}

static inline void step(struct totem_in in)
{
    told[0] = 0;
    if (step_once(in))
        visit_end();
}

static inline void give(const uint8_t *packet, size_t size)
{
    struct bytes all = {packet, size};
    step((struct totem_in){
        .kind = TOTEM_IN_PACKET, .node_id = world_sender(all), .packet = all});
}

static inline size_t data_make(uint8_t *packet, uint32_t sender, uint64_t seq,
                               const struct wire_data *like)
{
    struct wire_data d = *like;
    d.ring_hash = r->hash;
    d.seq = seq;
    size_t n = wire_data_head_write(packet, sender, &d);
    memset(packet + n, 7, 10);
    wire_stamp(packet, WORLD_PACKET_MAX);
    return n + 10;
}

static inline void data(uint32_t sender, uint64_t seq)
{
    uint8_t packet[WORLD_PACKET_MAX];
    give(packet, data_make(packet, sender, seq, &(struct wire_data){0}));
}

static inline size_t token_make(uint8_t *packet, uint32_t sender)
{
    size_t n = wire_token_write(packet, sender, &k);
    wire_stamp(packet, WORLD_PACKET_MAX);
    return n;
}

/* The next token comes from node 1, with numbers as they are set. */
static inline void token(uint64_t seq, uint64_t aru, uint32_t aru_id)
{
    uint8_t packet[WIRE_TOKEN_SIZE_MAX];
    k.token_seq = r->token_seq + 1;
    k.seq = seq;
    k.aru = aru;
    k.aru_id = aru_id;
    give(packet, token_make(packet, 1));
}

/* One that has gone round with nothing to do so often. */
static inline void idle_token(uint32_t hops)
{
    k.idle_hops = hops;
    token(r->store.high, r->store.high, 0);
}

static inline uint64_t dropped(enum totem_drop why)
{
    return t->stats.dropped[why];
}

static inline void begin(void)
{
    world = world_new(3);
    for (uint32_t at = 0; at < 3; at++) {
        struct totem_config c = world_config(at + 1);
        c.incarnation += 1 << 16;
        c.window_packets = WINDOW;
        c.fail_recv_const = 3;
        world_start(world, at, &c);
    }
    CU_ASSERT_FATAL(world_settle(world, 5000 * (uint64_t)MS));
    t = world->nodes[1].totem;
    r = &t->ring;
    now_ns = world->now_ns + MS;
    k = (struct wire_token){.ring_id = r->id};
    to_send = backlog = 0;
    to_send_safe = false;
    CU_ASSERT_FATAL(t->state == TOTEM_OPERATIONAL && !t->held);
    CU_ASSERT_FATAL(r->store.high > 0 || r->store.base == 0);
    /* Something that all have, so that no number is 0. */
    uint64_t n = r->store.high;
    for (uint64_t seq = n + 1; seq <= 8; seq++)
        data(1, seq);
    for (uint32_t i = 0; i < 3; i++)
        token(8, 8, 0);
    CU_ASSERT_EQUAL_FATAL(r->store.base, 8);
}

static inline void end(void)
{
    world_free(world);
}

#endif
