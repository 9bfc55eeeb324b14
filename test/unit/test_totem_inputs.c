// SPDX-License-Identifier: BSD-3-Clause
/* What a node does with each kind of input before any rule of the ring comes
 * into it: bytes that are no packet, packets of others' sizes and of itself,
 * what the system says of a neighbour, its leave, its timers. */
#include "daemon/totem/internal.h"
#include "daemon/totem/ring_id.h"
#include "test/unit/ring_world.h"
#include "test/unit/unit.h"

enum { MS = 1000000 };

static struct ring_world *w;
static struct totem *t; /* node 2 of three, or the only one */
static struct totem_out out;
static uint8_t packet[TOTEM_CONTROL_SIZE_MAX];

static void begin(uint32_t count)
{
    w = world_new(count);
    CU_ASSERT_FATAL(world_settle(w, 5000 * (uint64_t)MS));
    t = w->nodes[count == 1 ? 0 : 1].totem;
    if (count > 1) { /* the token has just left it */
        while (t->retransmit_at == UINT64_MAX)
            world_next(w);
        CU_ASSERT_FATAL(t->state == TOTEM_OPERATIONAL);
    }
}

static void end(void)
{
    world_free(w);
}

static void step(struct totem_in in)
{
    in.now_ns = w->now_ns;
    totem_step(t, &in, &out);
}

static void give(size_t size)
{
    struct bytes data = {packet, size};
    step((struct totem_in){.kind = TOTEM_IN_PACKET,
                           .node_id = world_sender(data),
                           .packet = data});
}

static uint64_t dropped(enum totem_drop why)
{
    return t->stats.dropped[why];
}

/* --- packets -------------------------------------------------------------- */

static size_t write(enum wire_kind kind)
{
    struct wire_token token = {.ring_id = t->ring.id};
    struct wire_join join = {.proc = {.count = 1, .ids = {3}}};
    struct wire_commit commit = {.ring_id = {.rep = 1}, .count = 1};
    struct wire_merge merge = {.ring_id = t->ring.id};
    struct wire_leave leave = {.incarnation = 1};
    struct wire_echo echo = {.number = 1};
    struct wire_data data = {.seq = 1};
    commit.entries[0].node_id = 1;
    switch (kind) {
    case WIRE_DATA:
        return wire_data_head_write(packet, 3, &data) + 1;
    case WIRE_TOKEN:
        return wire_token_write(packet, 3, &token);
    case WIRE_JOIN:
        return wire_join_write(packet, 3, &join);
    case WIRE_COMMIT:
        return wire_commit_write(packet, 3, &commit);
    case WIRE_MERGE:
        return wire_merge_write(packet, 3, &merge, 0);
    case WIRE_WAKE:
        return wire_wake_write(packet, 3, t->ring.hash + 1);
    case WIRE_LEAVE:
        return wire_leave_write(packet, 3, &leave);
    case WIRE_PROBE:
    case WIRE_ACK:
        break;
    }
    return wire_echo_write(packet, kind, 3, &echo, 0);
}

/* One byte less, and it is none of its kind. */
static void cut_short(void)
{
    begin(3);
    for (enum wire_kind kind = WIRE_DATA; kind <= WIRE_ACK; kind++) {
        size_t size = write(kind);
        wire_stamp(packet, WORLD_PACKET_MAX);
        uint64_t before = dropped(TOTEM_DROP_MALFORMED);
        give(size - 1);
        CU_ASSERT_EQUAL(dropped(TOTEM_DROP_MALFORMED), before + 1);
        give(3);
        CU_ASSERT_EQUAL(dropped(TOTEM_DROP_MALFORMED), before + 2);
        if (kind == WIRE_JOIN) /* would be heeded */
            continue;
        size = write(kind);
        wire_stamp(packet, WORLD_PACKET_MAX);
        give(size);
        CU_ASSERT_EQUAL(dropped(TOTEM_DROP_MALFORMED), before + 2);
    }
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    end();
}

static void other_size(void)
{
    begin(3);
    size_t size = write(WIRE_JOIN);
    wire_stamp(packet, WORLD_PACKET_MAX + 1);
    uint64_t malformed = dropped(TOTEM_DROP_MALFORMED);
    give(size);
    CU_ASSERT_EQUAL(dropped(TOTEM_DROP_PACKET_SIZE), 1);
    CU_ASSERT_EQUAL(dropped(TOTEM_DROP_MALFORMED), malformed);
    CU_ASSERT_EQUAL_FATAL(out.event_count, 1);
    CU_ASSERT_EQUAL(out.events[0].kind, TOTEM_EVENT_MISMATCH);
    CU_ASSERT_EQUAL(out.events[0].mismatch.node_id, 3);
    CU_ASSERT_EQUAL(out.events[0].mismatch.packet_size_max,
                    WORLD_PACKET_MAX + 1);
    end();
}

/* Its own packets come from before it was started again. */
static void own_packets(void)
{
    begin(3);
    uint64_t stale = dropped(TOTEM_DROP_STALE);
    uint64_t malformed = dropped(TOTEM_DROP_MALFORMED);
    struct wire_leave leave = {.incarnation = t->config.incarnation};
    size_t size = wire_leave_write(packet, 2, &leave);
    wire_stamp(packet, WORLD_PACKET_MAX);
    give(size);
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    CU_ASSERT_EQUAL(dropped(TOTEM_DROP_STALE), stale + 1);
    CU_ASSERT_EQUAL(dropped(TOTEM_DROP_MALFORMED), malformed);
    end();
}

/* --- the system ----------------------------------------------------------- */

static void unreachable(void)
{
    begin(3);
    step((struct totem_in){.kind = TOTEM_IN_UNREACHABLE, .node_id = 1});
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    uint64_t at_ns = t->retransmit_at;
    t->retransmit_at = UINT64_MAX; /* the token has arrived */
    step((struct totem_in){.kind = TOTEM_IN_UNREACHABLE, .node_id = 3});
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    t->retransmit_at = at_ns;
    step((struct totem_in){.kind = TOTEM_IN_UNREACHABLE, .node_id = 3});
    CU_ASSERT_EQUAL(t->state, TOTEM_GATHER);
    CU_ASSERT(t->fail.count == 1 && t->fail.ids[0] == 3);
    end();
}

static void left(void)
{
    begin(3);
    t->held = true;
    step((struct totem_in){.kind = TOTEM_IN_LEAVE});
    CU_ASSERT(out.send_count == 1 && out.event_count == 1);
    CU_ASSERT_EQUAL(out.sends[0].to, TOTEM_TO_ALL);
    CU_ASSERT_EQUAL(out.sends[0].packet.p[0], WIRE_LEAVE);
    CU_ASSERT_EQUAL(out.events[0].state.from, TOTEM_OPERATIONAL);
    CU_ASSERT_EQUAL(out.events[0].state.to, TOTEM_LEFT);
    CU_ASSERT_EQUAL(out.wake_ns, UINT64_MAX);
    CU_ASSERT(!t->held);
    step((struct totem_in){.kind = TOTEM_IN_LEAVE}); /* said once more */
    CU_ASSERT(out.send_count == 1 && out.event_count == 0);
    uint64_t stale = dropped(TOTEM_DROP_STALE);
    size_t size = write(WIRE_JOIN);
    wire_stamp(packet, WORLD_PACKET_MAX);
    give(size);
    CU_ASSERT(out.send_count == 0 && out.event_count == 0);
    CU_ASSERT_EQUAL(dropped(TOTEM_DROP_STALE), stale + 1);
    t->loss_at = t->join_at = w->now_ns;
    step((struct totem_in){.kind = TOTEM_IN_TIMEOUT});
    CU_ASSERT_EQUAL(t->state, TOTEM_LEFT);
    end();
}

/* --- a ring of one -------------------------------------------------------- */

static void submit(uint32_t backlog)
{
    size_t size;
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT_FATAL(out.visit);
    CU_ASSERT_PTR_NOT_NULL_FATAL(totem_claim(t, &size));
    totem_commit(t, 1, false);
    step((struct totem_in){.kind = TOTEM_IN_VISIT_END,
                           .backlog_packets = backlog});
    CU_ASSERT_EQUAL(out.event_count, 1);
    CU_ASSERT_EQUAL(out.send_count, 0);
}

static void alone(void)
{
    begin(1);
    submit(0);
    CU_ASSERT(out.wake_ns > w->now_ns);
    step((struct totem_in){.kind = TOTEM_IN_TIMEOUT});
    CU_ASSERT(!out.visit);
    submit(1);
    CU_ASSERT_EQUAL(out.wake_ns, w->now_ns);
    step((struct totem_in){.kind = TOTEM_IN_TIMEOUT});
    CU_ASSERT(out.visit);
    /* No timer breaks in on a visit. */
    t->merge_at = w->now_ns;
    step((struct totem_in){.kind = TOTEM_IN_VISIT_END});
    CU_ASSERT_EQUAL(t->merge_at, w->now_ns);
    CU_ASSERT_EQUAL(out.wake_ns, w->now_ns);
    end();
}

/* Before it has heard anybody. */
static void at_first(void)
{
    struct totem_config c = world_config(4);
    c.ring_seq = 40;
    c.first_seq = 1000;
    t = totem_new(&c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    CU_ASSERT_EQUAL(totem_ring_seq(t), 40);
    CU_ASSERT_EQUAL(totem_state_get(t), TOTEM_STARTING);
    struct totem_ring_id id = {.seq = 40, .nonce = c.incarnation, .rep = 4};
    CU_ASSERT(ring_id_equal(&t->ring.id, &id));
    CU_ASSERT_EQUAL(t->ring.hash, wire_ring_hash(&id));
    CU_ASSERT_EQUAL(t->ring.window_packets, c.window_packets);
    CU_ASSERT_EQUAL(t->ring.incarnations[0], c.incarnation);
    CU_ASSERT(t->ring.delivered == 1000 && t->ring.safe == 1000);
    CU_ASSERT_EQUAL(t->ring.store.base, 1000);
    struct totem_in start = {.now_ns = 1, .kind = TOTEM_IN_START};
    totem_step(t, &start, &out);
    CU_ASSERT_EQUAL_FATAL(out.event_count, 1);
    CU_ASSERT_EQUAL(out.events[0].state.from, TOTEM_STARTING);
    CU_ASSERT_EQUAL(out.events[0].state.to, TOTEM_GATHER);
    CU_ASSERT(out.ring_count == 1 && out.ring[0] == 4);
    totem_free(t);
}

/* --- when a token is sent again ------------------------------------------- */

static uint64_t again_after(uint64_t fastest_ns, uint64_t quiet_ns)
{
    t->ring.fastest_ns = fastest_ns;
    t->ring.packet_ns = t->now_ns - quiet_ns;
    t->send_count = 0;
    pass(t, &t->ring, 1);
    CU_ASSERT_EQUAL(t->loss_at, t->now_ns + t->config.token_ns);
    return t->retransmit_at - t->now_ns;
}

static void sent_again(void)
{
    begin(3);
    uint64_t most_ns = t->config.token_retransmit_ns;
    CU_ASSERT_EQUAL(again_after(5 * MS, 0), 20 * MS);
    CU_ASSERT_EQUAL(again_after(MS, 0), EARLY_RETRANSMIT_NS);
    CU_ASSERT_EQUAL(again_after(0, 0), EARLY_RETRANSMIT_NS);
    CU_ASSERT_EQUAL(again_after(20 * MS, 0), most_ns);
    CU_ASSERT_EQUAL(again_after(5 * MS, 2 * most_ns), 20 * MS);
    CU_ASSERT_EQUAL(again_after(5 * MS, 2 * most_ns + 1), most_ns);
    CU_ASSERT_EQUAL(again_after(MS, 3 * most_ns), most_ns);
    end();
}

static const struct unit_test tests[] = {
    {"packets cut short", cut_short},
    {"packets of another size", other_size},
    {"its own packets", own_packets},
    {"a node that is unreachable", unreachable},
    {"a leave", left},
    {"a ring of one", alone},
    {"at first", at_first},
    {"when a token is sent again", sent_again},
};

UNIT_MAIN("totem_inputs", tests)
