// SPDX-License-Identifier: BSD-3-Clause
/* The group layer above a real ring of one: what goes in comes out, whole,
 * once, in order, whatever its size and wherever packets end. */
#include "daemon/base/check.h"
#include "daemon/group/group.h"
#include "daemon/totem/wire.h"
#include "test/unit/unit.h"

#include <stdlib.h>

enum { MESSAGE_MAX = 70000, PACKET = 256, ROOM = PACKET - 40, ITEM = 4 };

/* One node: messages are put, its own ring gives them back. */
struct bench {
    struct totem *totem;
    struct group *group;
    uint64_t now_ns;
    bool visit;
    uint32_t received, configurations, packets, safe_packets;
    uint32_t sizes[64];
    uint8_t services[64], fills[64];
    uint64_t seqs[64]; /* of the packet it ended in */
    bool safe[64];
};

static void hear(struct bench *b, const struct totem_event *e)
{
    struct group_event out;
    if (e->kind == TOTEM_EVENT_MESSAGE) {
        b->packets++;
        b->safe_packets += e->message.safe;
    }
    group_receive(b->group, e);
    while (group_next(b->group, &out)) {
        if (out.kind == GROUP_EVENT_CONFIGURATION) {
            b->configurations++;
            continue;
        }
        CHECK(b->received < 64);
        uint32_t i = b->received++;
        struct bytes d = out.message.data;
        b->sizes[i] = (uint32_t)d.n;
        b->services[i] = out.message.service;
        b->seqs[i] = out.message.seq;
        b->safe[i] = out.message.safe;
        b->fills[i] = d.n == 0 ? 0 : d.p[0];
        for (size_t k = 0; k < d.n; k++)
            if (d.p[k] != (uint8_t)(b->fills[i] + k % 251))
                b->fills[i] = 255;
    }
}

static void step(struct bench *b, enum totem_in_kind kind)
{
    struct totem_in in = {.now_ns = b->now_ns += 1000, .kind = kind};
    struct totem_out out;
    totem_step(b->totem, &in, &out);
    b->visit = out.visit;
    if (out.wake_ns != UINT64_MAX && out.wake_ns > b->now_ns)
        b->now_ns = out.wake_ns;
    for (uint32_t i = 0; i < out.event_count; i++)
        hear(b, &out.events[i]);
}

static void bench_open(struct bench *b)
{
    struct totem_config c = {.node_id = 1,
                             .incarnation = 5,
                             .packet_size_max = PACKET,
                             .window_packets = 64,
                             .token_ns = 1000000000,
                             .token_retransmit_ns = 100000000,
                             .hold_ns = 100000000,
                             .join_ns = 1000,
                             .consensus_ns = 100000000,
                             .merge_ns = 100000000,
                             .fail_recv_const = 100};
    *b = (struct bench){.now_ns = 1};
    b->totem = totem_new(&c);
    b->group = group_new(&(struct group_config){
        .node_id = 1, .node_max = 2, .message_size_max = MESSAGE_MAX});
    CHECK(b->totem != NULL && b->group != NULL);
    step(b, TOTEM_IN_START);
    while (totem_state_get(b->totem) != TOTEM_OPERATIONAL)
        step(b, TOTEM_IN_TIMEOUT);
    b->received = b->configurations = 0;
}

static void bench_close(struct bench *b)
{
    totem_free(b->totem);
    group_free(b->group);
}

/* In parts of odd sizes. */
static enum group_put_result put(struct bench *b, size_t size, uint8_t fill,
                                 bool safe)
{
    static uint8_t contents[4][MESSAGE_MAX + 1];
    size_t first = size / 3, second = (size - first) / 2, at = 0;
    const size_t sizes[4] = {first, second, 0, size - first - second};
    struct bytes parts[4];
    for (uint32_t i = 0; i < 4; i++) {
        parts[i] = (struct bytes){contents[i], sizes[i]};
        for (size_t k = 0; k < sizes[i]; k++, at++)
            contents[i][k] = (uint8_t)(fill + at % 251);
    }
    struct group_message m = {
        .service = fill, .safe = safe, .parts = parts, .part_count = 4};
    return group_put(b->group, b->totem, &m);
}

static void visit_begin(struct bench *b)
{
    step(b, TOTEM_IN_SUBMIT);
    CHECK(b->visit);
}

static void visit_end(struct bench *b)
{
    group_flush(b->group, b->totem);
    step(b, TOTEM_IN_VISIT_END);
}

/* All of it, over as many visits as it takes. */
static void send(struct bench *b, size_t size, uint8_t fill)
{
    enum group_put_result r;
    do {
        visit_begin(b);
        r = put(b, size, fill, false);
        visit_end(b);
    } while (r == GROUP_PUT_PARTIAL);
    CU_ASSERT_EQUAL(r, GROUP_PUT_DONE);
}

static void sizes_at_every_edge(void)
{
    struct bench b;
    bench_open(&b);
    for (size_t packets = 0; packets < 4; packets++) {
        for (size_t size = packets * (ROOM - ITEM) < 80
                               ? 0
                               : packets * (ROOM - ITEM) - 80;
             size <= packets * (ROOM - ITEM) + 5; size++) {
            b.received = 0;
            send(&b, size, 9);
            CU_ASSERT_EQUAL(b.received, 1);
            CU_ASSERT_EQUAL(b.sizes[0], size);
            CU_ASSERT_EQUAL(b.services[0], 9);
            CU_ASSERT(size == 0 || b.fills[0] == 9);
        }
    }
    CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_malformed, 0);
    bench_close(&b);
}

/* Three messages in a visit, the middle one's size and place such that packets
 * end everywhere in it. */
static void packed_at_every_edge(void)
{
    struct bench b;
    bench_open(&b);
    for (size_t before = 0; before <= ROOM; before++) {
        size_t size = before * 7 % 500;
        b.received = 0;
        visit_begin(&b);
        CU_ASSERT_EQUAL(put(&b, before, 1, false), GROUP_PUT_DONE);
        CU_ASSERT_EQUAL(put(&b, size, 2, before % 2 == 0), GROUP_PUT_DONE);
        CU_ASSERT_EQUAL(put(&b, 3, 3, false), GROUP_PUT_DONE);
        visit_end(&b);
        CU_ASSERT_EQUAL(b.received, 3);
        CU_ASSERT_EQUAL(b.sizes[0], before);
        CU_ASSERT_EQUAL(b.sizes[1], size);
        CU_ASSERT_EQUAL(b.sizes[2], 3);
        CU_ASSERT_EQUAL(b.safe[1], before % 2 == 0);
        CU_ASSERT(!b.safe[0] && !b.safe[2]);
        CU_ASSERT(size == 0 || b.fills[1] == 2);
    }
    bench_close(&b);
}

/* What just fits into the rest of a packet goes there, to the last byte; a
 * piece does if it has 64 bytes. */
static void rest_of_a_packet(void)
{
    static const struct {
        size_t left, size; /* of the packet; of the message */
        uint32_t packets, fragments;
    } cases[] = {
        {ITEM + 10, 10, 1, 0},  {ITEM + 10, 11, 2, 0}, {ITEM + 64, 100, 2, 2},
        {ITEM + 63, 100, 2, 0}, {ITEM + 64, 64, 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        bench_open(&b);
        visit_begin(&b);
        put(&b, ROOM - ITEM - cases[i].left, 1, false);
        CU_ASSERT_EQUAL(put(&b, cases[i].size, 2, false), GROUP_PUT_DONE);
        visit_end(&b);
        CU_ASSERT_EQUAL(b.packets, cases[i].packets);
        CU_ASSERT_EQUAL(b.received, 2);
        CU_ASSERT_EQUAL(b.seqs[1] - b.seqs[0], cases[i].packets - 1);
        CU_ASSERT_EQUAL(group_stats_get(b.group)->fragments_sent,
                        cases[i].fragments);
        bench_close(&b);
    }
}

/* A packet is safe if one of its messages is, and the next one begins anew. */
static void safe_packets(void)
{
    struct bench b;
    bench_open(&b);
    visit_begin(&b);
    put(&b, 10, 1, false);
    visit_end(&b);
    CU_ASSERT(b.packets == 1 && b.safe_packets == 0);
    visit_begin(&b);
    put(&b, 10, 1, false);
    put(&b, 10, 1, true);
    put(&b, 10, 1, false);
    put(&b, ROOM - 2 * ITEM, 1, false); /* no room in the first */
    visit_end(&b);
    CU_ASSERT(b.packets == 3 && b.safe_packets == 1);
    bench_close(&b);
}

static void largest(void)
{
    struct bench b;
    bench_open(&b);
    send(&b, MESSAGE_MAX, 4);
    CU_ASSERT_EQUAL(b.received, 1);
    CU_ASSERT_EQUAL(b.sizes[0], MESSAGE_MAX);
    CU_ASSERT_EQUAL(b.fills[0], 4);
    visit_begin(&b);
    CU_ASSERT_EQUAL(put(&b, MESSAGE_MAX + 1, 4, false), GROUP_PUT_TOO_BIG);
    visit_end(&b);
    CU_ASSERT_EQUAL(b.received, 1);
    CU_ASSERT(!group_is_partial(b.group));
    bench_close(&b);
}

static void abandoned(void)
{
    for (int whole = 0; whole < 2; whole++) {
        struct bench b;
        bench_open(&b);
        visit_begin(&b);
        CU_ASSERT_EQUAL(put(&b, MESSAGE_MAX, 5, false), GROUP_PUT_PARTIAL);
        visit_end(&b);
        CU_ASSERT(group_is_partial(b.group));
        group_abandon(b.group);
        CU_ASSERT(!group_is_partial(b.group));
        send(&b, whole ? 10 : 1000, 6);
        CU_ASSERT_EQUAL(b.received, 1);
        CU_ASSERT_EQUAL(b.fills[0], 6);
        CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_partial, 1);
        bench_close(&b);
    }
}

static void configuration_in_mid_message(void)
{
    struct bench b;
    bench_open(&b);
    visit_begin(&b);
    CU_ASSERT_EQUAL(put(&b, MESSAGE_MAX, 7, false), GROUP_PUT_PARTIAL);
    visit_end(&b);
    struct totem_configuration c = {
        .transitional = true, .member_count = 1, .members = {1}};
    struct totem_event e = {.kind = TOTEM_EVENT_CONFIGURATION,
                            .configuration = &c};
    hear(&b, &e);
    CU_ASSERT(group_is_partial(b.group)); /* a transitional one cuts nothing */
    CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_partial, 0);
    c.transitional = false;
    hear(&b, &e);
    CU_ASSERT(!group_is_partial(b.group));
    CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_partial, 1);
    CU_ASSERT_EQUAL(b.configurations, 2);
    send(&b, MESSAGE_MAX, 7); /* again from its start */
    CU_ASSERT_EQUAL(b.received, 1);
    CU_ASSERT_EQUAL(b.sizes[0], MESSAGE_MAX);
    bench_close(&b);
}

/* --- items of a peer gone mad --------------------------------------------- */

static void items(struct bench *b, uint32_t sender, const uint8_t *p, size_t n)
{
    struct totem_event e = {.kind = TOTEM_EVENT_MESSAGE};
    e.message.sender = sender;
    e.message.payload = (struct bytes){p, n};
    hear(b, &e);
}

static void items_refused(void)
{
    static const struct {
        uint32_t sender;
        uint8_t item[6];
        size_t n;
        bool malformed;
    } cases[] = {
        {1, {3, 1, 2, 0, 9}, 5, true},  /* longer than the packet */
        {1, {3, 1, 1}, 3, true},        /* half a header */
        {1, {3}, 1, true},              /* less of it */
        {1, {8, 1, 1, 0, 9}, 5, true},  /* a flag that is not known */
        {7, {1, 1, 1, 0, 9}, 5, true},  /* a piece, of a stranger */
        {1, {2, 1, 1, 0, 9}, 5, false}, /* an end without a beginning */
        {1, {0, 1, 0, 0}, 4, false},    /* nothing, in mid-message */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        bench_open(&b);
        items(&b, cases[i].sender, cases[i].item, cases[i].n);
        CU_ASSERT_EQUAL(b.received, 0);
        CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_malformed,
                        cases[i].malformed);
        bench_close(&b);
    }
}

/* What was wrong with a packet is wrong with what follows in it. */
static void nothing_after_malformed(void)
{
    static const uint8_t packet[] = {8, 1, 1, 0, 9, 3, 1, 1, 0, 9};
    struct bench b;
    struct group_event out;
    bench_open(&b);
    items(&b, 1, packet, sizeof packet);
    CU_ASSERT(!group_next(b.group, &out));
    CU_ASSERT_EQUAL(b.received, 0);
    CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_malformed, 1);
    bench_close(&b);
}

/* The event at hand is the last one, whatever is left of the one before. */
static void one_event_at_a_time(void)
{
    static const uint8_t packet[] = {3, 1, 1, 0, 9, 3, 1, 1, 0, 9};
    static const struct totem_configuration c = {
        .transitional = true, .member_count = 1, .members = {1}};
    struct totem_event message = {.kind = TOTEM_EVENT_MESSAGE},
                       configuration = {.kind = TOTEM_EVENT_CONFIGURATION,
                                        .configuration = &c},
                       state = {.kind = TOTEM_EVENT_STATE};
    struct bench b;
    struct group_event out;
    bench_open(&b);
    message.message.sender = 1;
    message.message.payload = (struct bytes){packet, sizeof packet};
    group_receive(b.group, &message);
    CU_ASSERT(group_next(b.group, &out));
    group_receive(b.group, &state);
    CU_ASSERT(!group_next(b.group, &out));
    group_receive(b.group, &configuration);
    group_receive(b.group, &state);
    CU_ASSERT(!group_next(b.group, &out));
    bench_close(&b);
}

// --- pieces
// ----------------------------------------------------------------------

static const uint8_t first_piece[] = {1, 1, 1, 0, 9},
                     last_piece[] = {2, 1, 1, 0, 10},
                     whole_item[] = {3, 1, 1, 0, 11};

static void members(struct bench *b, uint32_t count)
{
    struct totem_configuration c = {.member_count = count,
                                    .members = {1, 2, 3}};
    struct totem_event e = {.kind = TOTEM_EVENT_CONFIGURATION,
                            .configuration = &c};
    hear(b, &e);
}

static void two_pieces(struct bench *b, uint32_t sender)
{
    items(b, sender, first_piece, sizeof first_piece);
    items(b, sender, last_piece, sizeof last_piece);
}

/* Each member's are put together by themselves. */
static void pieces_of_two(void)
{
    struct bench b;
    bench_open(&b);
    members(&b, 2);
    items(&b, 1, first_piece, sizeof first_piece);
    two_pieces(&b, 2);
    CU_ASSERT_EQUAL(b.received, 1);
    items(&b, 1, last_piece, sizeof last_piece);
    CU_ASSERT_EQUAL(b.received, 2);
    CU_ASSERT(b.sizes[0] == 2 && b.fills[0] == 9);
    CU_ASSERT(b.sizes[1] == 2 && b.fills[1] == 9);
    CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_partial, 0);
    bench_close(&b);
}

/* They end with the configuration, and with a whole message that follows. */
static void pieces_are_dropped(void)
{
    for (uint32_t sender = 1; sender <= 2; sender++)
        for (int by_message = 0; by_message < 2; by_message++) {
            struct bench b;
            bench_open(&b);
            members(&b, 2);
            items(&b, sender, first_piece, sizeof first_piece);
            if (by_message)
                items(&b, sender, whole_item, sizeof whole_item);
            else
                members(&b, 2);
            CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_partial, 1);
            items(&b, sender, last_piece, sizeof last_piece);
            CU_ASSERT_EQUAL(b.received, by_message ? 1 : 0);
            two_pieces(&b, sender);
            CU_ASSERT_EQUAL(b.received, by_message ? 2 : 1);
            CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_partial, 1);
            bench_close(&b);
        }
}

/* There is room for those of the members, and of as many as were asked for. */
static void pieces_of_others(void)
{
    struct bench b;
    bench_open(&b); /* for two */
    members(&b, 3);
    two_pieces(&b, 2);
    CU_ASSERT_EQUAL(b.received, 1);
    two_pieces(&b, 3);
    CU_ASSERT_EQUAL(b.received, 1);
    CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_malformed, 2);
    items(&b, 3, whole_item, sizeof whole_item);
    CU_ASSERT_EQUAL(b.received, 2); /* it takes no room */
    members(&b, 1);
    two_pieces(&b, 2);
    CU_ASSERT_EQUAL(b.received, 2);
    CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_malformed, 4);
    bench_close(&b);
}

/* More pieces than the maximum; and one item larger than it. */
static void over_the_maximum(void)
{
    static uint8_t item[ITEM + 60000];
    struct bench b;
    bench_open(&b);
    struct writer w = writer_of(item, sizeof item);
    write_u8(&w, 1);
    write_u8(&w, 1);
    write_u16(&w, 60000);
    items(&b, 1, item, sizeof item);
    item[0] = 2;
    items(&b, 1, item, sizeof item);
    CU_ASSERT_EQUAL(b.received, 0);
    CU_ASSERT_EQUAL(group_stats_get(b.group)->dropped_malformed, 1);
    items(&b, 1, last_piece, sizeof last_piece); /* it is given up */
    CU_ASSERT_EQUAL(b.received, 0);
    bench_close(&b);

    struct group *small = group_new(&(struct group_config){
        .node_id = 1, .node_max = 1, .message_size_max = 59999});
    struct totem_event e = {.kind = TOTEM_EVENT_MESSAGE};
    struct group_event out;
    item[0] = 3;
    e.message.sender = 1;
    e.message.payload = (struct bytes){item, sizeof item};
    group_receive(small, &e);
    CU_ASSERT(!group_next(small, &out));
    CU_ASSERT_EQUAL(group_stats_get(small)->dropped_malformed, 1);
    w = writer_of(item + 2, 2);
    write_u16(&w, 59999);
    e.message.payload.n--;
    group_receive(small, &e);
    CU_ASSERT(group_next(small, &out) && out.message.data.n == 59999);
    group_free(small);
}

static const struct unit_test tests[] = {
    {"sizes at every packet's edge", sizes_at_every_edge},
    {"three in packets, every edge", packed_at_every_edge},
    {"the rest of a packet", rest_of_a_packet},
    {"safe packets", safe_packets},
    {"the largest, and one byte more", largest},
    {"abandoned in mid-message", abandoned},
    {"a configuration in mid-message", configuration_in_mid_message},
    {"items that are refused", items_refused},
    {"nothing after what is malformed", nothing_after_malformed},
    {"one event at a time", one_event_at_a_time},
    {"pieces of two members", pieces_of_two},
    {"pieces that are dropped", pieces_are_dropped},
    {"pieces of others", pieces_of_others},
    {"over the maximum", over_the_maximum},
};

UNIT_MAIN("group", tests)
