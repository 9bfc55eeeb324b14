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
    uint32_t received, configurations;
    uint32_t sizes[64];
    uint8_t services[64], fills[64];
    bool safe[64];
};

static void hear(struct bench *b, const struct totem_event *e)
{
    struct group_event out;
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
    static uint8_t content[MESSAGE_MAX + 1];
    for (size_t k = 0; k < size; k++)
        content[k] = (uint8_t)(fill + k % 251);
    size_t first = size / 3, second = (size - first) / 2;
    struct bytes parts[4] = {{content, first},
                             {content + first, second},
                             {content, 0},
                             {content + first + second, size - first - second}};
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
    group_free(small);
}

static const struct unit_test tests[] = {
    {"sizes at every packet's edge", sizes_at_every_edge},
    {"three in packets, every edge", packed_at_every_edge},
    {"the largest, and one byte more", largest},
    {"abandoned in mid-message", abandoned},
    {"a configuration in mid-message", configuration_in_mid_message},
    {"items that are refused", items_refused},
    {"over the maximum", over_the_maximum},
};

UNIT_MAIN("group", tests)
