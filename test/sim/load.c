// SPDX-License-Identifier: BSD-3-Clause
// Messages: made, put into visits, and looked at when they come out.
//
// Their content is a stream that follows from all there is to know about them,
// with the message's number in front; those of one or two bytes are nothing but
// a number, each used once.
#include "test/sim/sim.h"

#include "daemon/base/check.h"

#include <stdlib.h>

enum { NUMBER_SIZE = 3, MESSAGES_MAX = 1 << 24 };

/* Sizes around those at which packets are just full. */
static uint32_t edge_size(struct world *w, const struct node *n)
{
    size_t room = n->payload_max != 0 ? n->payload_max
                                      : w->scenario->totem.packet_size_max - 40;
    uint64_t whole = random_range(&w->random, 1, 4) * room;
    uint64_t size = whole + 2 - random_range(&w->random, 0, 34);
    return size > SIM_MESSAGE_MAX ? SIM_MESSAGE_MAX : (uint32_t)size;
}

static uint32_t message_size(struct world *w, const struct node *n)
{
    enum size_profile profile = w->scenario->sizes;
    if (profile == SIZES_MIXED)
        profile = (enum size_profile)random_range(&w->random, 0, 2);
    switch (profile) {
    case SIZES_EDGES:
        return edge_size(w, n);
    case SIZES_LARGE:
        return (uint32_t)random_scale(&w->random, 512, SIM_MESSAGE_MAX);
    case SIZES_SMALL:
    case SIZES_MIXED:
        break;
    }
    return (uint32_t)random_scale(&w->random, 1, 200);
}

void load_add(struct world *w, struct node *n, uint32_t count)
{
    for (; count > 0 && w->bytes_left > 0 && w->messages_left > 0; count--) {
        uint32_t size = message_size(w, n);
        if (n->pending_count == n->pending_max) {
            uint32_t max = n->pending_max == 0 ? 64 : n->pending_max * 2;
            struct pending *grown = malloc(max * sizeof *grown);
            CHECK(grown != NULL);
            for (uint32_t i = 0; i < n->pending_count; i++)
                grown[i] = n->pending[(n->pending_head + i) % n->pending_max];
            free(n->pending);
            n->pending = grown;
            n->pending_head = 0;
            n->pending_max = max;
        }
        n->pending[(n->pending_head + n->pending_count++) % n->pending_max] =
            (struct pending){.size_bytes = size,
                             .safe = random_range(&w->random, 0, 99) <
                                     w->scenario->safe_percent};
        n->pending_bytes += size;
        w->bytes_left -= w->bytes_left > size + 40 ? size + 40 : w->bytes_left;
        w->messages_left--;
    }
}

// --- content ----------------------------------------------------------------

static void content_make(struct world *w, uint32_t message, uint32_t size,
                         uint8_t *content)
{
    uint64_t key = random_mix(trace_message_key(w->trace, message));
    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t word = random_mix(key += 0x9e3779b97f4a7c15u);
        memcpy(content + i, &word, size - i < 8 ? size - i : 8);
    }
    for (uint32_t i = 0; i < NUMBER_SIZE; i++)
        content[i] = (uint8_t)(message >> (8 * i));
}

/* Gives a message of 1 or 2 bytes a content of its own. */
static void short_make(struct world *w, uint32_t message, uint32_t size,
                       uint8_t *content)
{
    uint32_t value = w->short_count[size - 1]++;
    w->short_messages[size - 1][value] = message;
    for (uint32_t i = 0; i < size; i++)
        content[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t content_number(const struct world *w, struct bytes data)
{
    if (data.n == 0)
        return TRACE_NONE;
    uint32_t value = 0;
    for (size_t i = 0; i < data.n && i < NUMBER_SIZE; i++)
        value |= (uint32_t)data.p[i] << (8 * i);
    if (data.n >= NUMBER_SIZE)
        return value;
    return value < w->short_count[data.n - 1]
               ? w->short_messages[data.n - 1][value]
               : TRACE_NONE;
}

// --- visits -----------------------------------------------------------------

static void message_begin(struct world *w, struct node *n,
                          struct pending *pending)
{
    if (pending->size_bytes == 1 && w->short_count[0] == 256)
        pending->size_bytes = 2;
    if (pending->size_bytes == 2 && w->short_count[1] == 65536)
        pending->size_bytes = NUMBER_SIZE;
    uint32_t size = pending->size_bytes;
    n->message = trace_send(w->trace, n->process, size, pending->safe);
    CHECK(n->message < MESSAGES_MAX);
    if (size < NUMBER_SIZE)
        short_make(w, n->message, size, n->content);
    else
        content_make(w, n->message, size, n->content);
}

static void message_done(struct node *n)
{
    struct pending *first = &n->pending[n->pending_head];
    n->pending_bytes -= n->pending_bytes < first->size_bytes
                            ? n->pending_bytes
                            : first->size_bytes;
    n->pending_head = (n->pending_head + 1) % n->pending_max;
    n->pending_count--;
    if (n->pending_count == 0)
        n->pending_bytes = 0;
    n->message = TRACE_NONE;
}

/* In up to three parts, which depend on the size alone: the same every time. */
static enum group_put_result put(struct node *n, const struct pending *m)
{
    size_t size = m->size_bytes, first = size % 7 == 0 ? 0 : size / 5,
           second = size % 3 == 0 ? size / 2 : 0;
    struct bytes parts[3] = {
        {n->content, first},
        {n->content + first, second},
        {n->content + first + second, size - first - second}};
    return group_put(n->group, n->totem,
                     &(struct group_message){.service = GROUP_SERVICE_TEST,
                                             .safe = m->safe,
                                             .parts = parts,
                                             .part_count = 3});
}

/* The client of a half-sent message dies before the next visit. */
static bool message_abandoned(struct world *w, struct node *n)
{
    if (n->message == TRACE_NONE || !group_is_partial(n->group) ||
        services_are_half_sent(n) ||
        !random_chance(&w->random, w->scenario->abandon_ppm))
        return false;
    world_note(w, "node %u abandons a message", n->id);
    trace_abandon(w->trace, n->message);
    group_abandon(n->group);
    message_done(n);
    return true;
}

static bool put_first(struct world *w, struct node *n)
{
    struct pending *first = &n->pending[n->pending_head];
    if (n->message == TRACE_NONE)
        message_begin(w, n, first);
    else
        trace_send_more(w->trace, n->message);
    switch (put(n, first)) {
    case GROUP_PUT_DONE:
        trace_sent(w->trace, n->message);
        n->sent_in_ring++;
        n->owed++;
        message_done(n);
        return true;
    case GROUP_PUT_PARTIAL:
        return false;
    case GROUP_PUT_TOO_BIG:
        break;
    }
    trace_fail(w->trace, "driver: %u bytes are too big", first->size_bytes);
    return false;
}

uint32_t load_visit(struct world *w, struct node *n)
{
    const struct scenario *s = w->scenario;
    size_t room = 0;
    uint8_t *claimed = totem_claim(n->totem, &room);
    if (room != 0 && claimed != NULL)
        n->payload_max = room;
    message_abandoned(w, n);
    bool more = true;
    if (group_is_partial(n->group) && !services_are_half_sent(n))
        more = put_first(w, n);
    while (more) {
        more = services_visit(w, n);
        if (!more)
            break;
        if (n->pending_count == 0 && s->saturate &&
            n->place < s->load_senders && w->now_ns < s->load_end_ns)
            load_add(w, n, 4);
        more = n->pending_count > 0 && put_first(w, n);
    }
    group_flush(n->group, n->totem);
    size_t payload = n->payload_max != 0 ? n->payload_max : 256;
    size_t left = n->pending_bytes + services_backlog(n);
    return (uint32_t)((left + payload - 1) / payload);
}

// --- delivery ---------------------------------------------------------------

void load_delivered(struct world *w, struct node *n,
                    const struct group_event *e)
{
    struct bytes data = e->message.data;
    uint32_t message = content_number(w, data);
    if (data.n == 0 || data.n > SIM_MESSAGE_MAX) {
        trace_fail(w->trace, "basic: node %u delivers %zu bytes", n->id,
                   data.n);
        return;
    }
    if (message < trace_messages(w->trace) && data.n >= NUMBER_SIZE) {
        content_make(w, message, (uint32_t)data.n, w->expected);
        if (memcmp(w->expected, data.p, data.n) != 0)
            trace_fail(w->trace,
                       "basic: node %u delivers %zu bytes of message %u with "
                       "another content",
                       n->id, data.n, message);
    }
    if (e->message.service != GROUP_SERVICE_TEST)
        trace_fail(w->trace, "basic: node %u delivers for service %u", n->id,
                   e->message.service);
    trace_deliver(w->trace, n->process,
                  &(struct trace_delivery){.sender = e->message.sender,
                                           .seq = e->message.seq,
                                           .message = message,
                                           .size_bytes = (uint32_t)data.n,
                                           .safe = e->message.safe});
    n->delivered_in_ring++;
    if (e->message.sender == n->id && n->owed > 0)
        n->owed--;
    if (w->trace_packets)
        world_note(w,
                   "node %u delivers seq %llu of %u: message %u, %zu bytes%s",
                   n->id, (unsigned long long)e->message.seq, e->message.sender,
                   message, data.n, e->message.safe ? ", safe" : "");
}
