/* SPDX-License-Identifier: BSD-3-Clause */
/* Packing and fragments. A packet's payload is a run of items, each with a
 * header of four bytes: flags, service, length. An item is a whole message, or
 * a piece of one; a sender's pieces follow each other, since a message under
 * way blocks the sender's others. */
#include "daemon/group/group.h"

#include "daemon/base/check.h"

#include <stdlib.h>

enum {
    ITEM_HEADER_SIZE = 4,
    ITEM_FIRST = 1,
    ITEM_LAST = 2,
    ITEM_SAFE = 4, /* asked for; its neighbours in the packet get it too */
    ITEM_FLAGS = 7,
    /* A smaller piece than this is not worth its header: next packet. */
    PIECE_MIN = 64
};

struct assembly {
    bool open;
    size_t size_bytes;
    uint8_t *data; /* message_size_max bytes, untouched until used */
};

struct group {
    struct group_config config;
    struct group_stats stats;

    /* sending: the packet that is being filled */
    uint8_t *room;
    size_t room_size, room_used;
    bool room_safe;
    size_t put_offset; /* of the message that is half sent */

    /* receiving: the event at hand, and per member what is in pieces */
    const struct totem_configuration *configuration;
    struct reader items;
    uint32_t sender;
    uint64_t seq;
    uint32_t members[TOTEM_NODES_MAX];
    uint32_t member_count;
    struct assembly assemblies[TOTEM_NODES_MAX];
    uint8_t *memory;
};

struct group *group_new(const struct group_config *config)
{
    CHECK(config->node_max > 0 && config->node_max <= TOTEM_NODES_MAX);
    struct group *g = calloc(1, sizeof *g);
    if (g == NULL)
        return NULL;
    g->config = *config;
    g->memory = malloc((size_t)config->node_max * config->message_size_max);
    if (g->memory == NULL) {
        free(g);
        return NULL;
    }
    for (uint32_t i = 0; i < config->node_max; i++)
        g->assemblies[i].data =
            g->memory + (size_t)i * config->message_size_max;
    return g;
}

void group_free(struct group *g)
{
    if (g == NULL)
        return;
    free(g->memory);
    free(g);
}

const struct group_stats *group_stats_get(const struct group *g)
{
    return &g->stats;
}

/* --- sending -------------------------------------------------------------- */

bool group_is_partial(const struct group *g)
{
    return g->put_offset > 0;
}

/* The next message's first piece tells the receivers. */
void group_abandon(struct group *g)
{
    g->put_offset = 0;
}

void group_flush(struct group *g, struct totem *t)
{
    if (g->room != NULL)
        totem_commit(t, g->room_used, g->room_safe);
    g->room = NULL;
}

/* Copies `n` bytes from `offset` of the message, across its parts. */
static void copy_parts(uint8_t *to, const struct group_message *m,
                       size_t offset, size_t n)
{
    for (uint32_t i = 0; i < m->part_count && n > 0; i++) {
        struct bytes part = m->parts[i];
        if (offset >= part.n) {
            offset -= part.n;
            continue;
        }
        size_t piece = part.n - offset < n ? part.n - offset : n;
        memcpy(to, part.p + offset, piece);
        to += piece;
        n -= piece;
        offset = 0;
    }
    CHECK(n == 0);
}

/* Room for an item that carries all of `wanted` bytes, or a piece that is worth
 * it; 0: none in this visit. Gives the number of bytes it may carry. */
static bool make_room(struct group *g, struct totem *t, size_t wanted,
                      size_t *carries)
{
    for (;;) {
        if (g->room == NULL) {
            g->room = totem_claim(t, &g->room_size);
            g->room_used = 0;
            g->room_safe = false;
            if (g->room == NULL)
                return false;
        }
        size_t left = g->room_size - g->room_used;
        if (left >= ITEM_HEADER_SIZE + wanted) {
            *carries = wanted;
            return true;
        }
        if (left >= ITEM_HEADER_SIZE + PIECE_MIN) {
            *carries = left - ITEM_HEADER_SIZE;
            return true;
        }
        group_flush(g, t);
    }
}

static void put_item(struct group *g, const struct group_message *m,
                     size_t total, size_t n)
{
    struct writer w =
        writer_of(g->room + g->room_used, g->room_size - g->room_used);
    bool last = g->put_offset + n == total;
    write_u8(&w, (uint8_t)((g->put_offset == 0 ? ITEM_FIRST : 0) |
                           (last ? ITEM_LAST : 0) | (m->safe ? ITEM_SAFE : 0)));
    write_u8(&w, m->service);
    write_u16(&w, (uint16_t)n);
    uint8_t *to = write_claim(&w, n);
    CHECK(to != NULL);
    copy_parts(to, m, g->put_offset, n);
    g->room_used += w.written;
    g->room_safe = g->room_safe || m->safe;
    g->put_offset += n;
    g->stats.fragments_sent += n < total;
}

enum group_put_result group_put(struct group *g, struct totem *t,
                                const struct group_message *m)
{
    size_t total = 0;
    for (uint32_t i = 0; i < m->part_count; i++)
        total += m->parts[i].n;
    if (total > g->config.message_size_max)
        return GROUP_PUT_TOO_BIG;
    CHECK(g->put_offset < total || g->put_offset == 0);
    do {
        size_t carries;
        if (!make_room(g, t, total - g->put_offset, &carries))
            return GROUP_PUT_PARTIAL;
        CHECK(carries <= UINT16_MAX); /* so is a packet */
        put_item(g, m, total, carries);
    } while (g->put_offset < total);
    g->put_offset = 0;
    g->stats.messages_sent++;
    return GROUP_PUT_DONE;
}

/* --- receiving ------------------------------------------------------------ */

/* Both sides of a new configuration begin afresh: receivers drop the pieces
 * they have, senders send a half-sent message again from its start. */
static void begin_configuration(struct group *g,
                                const struct totem_configuration *c)
{
    for (uint32_t i = 0; i < g->config.node_max; i++) {
        g->stats.dropped_partial += g->assemblies[i].open;
        g->assemblies[i].open = false;
    }
    CHECK(g->room == NULL);
    g->put_offset = 0;
    memcpy(g->members, c->members, c->member_count * sizeof *g->members);
    g->member_count = c->member_count < g->config.node_max ? c->member_count
                                                           : g->config.node_max;
}

void group_receive(struct group *g, const struct totem_event *event)
{
    g->configuration = NULL;
    g->items = reader_of((struct bytes){NULL, 0});
    switch (event->kind) {
    case TOTEM_EVENT_MESSAGE:
        g->items = reader_of(event->message.payload);
        g->sender = event->message.sender;
        g->seq = event->message.seq;
        break;
    case TOTEM_EVENT_CONFIGURATION:
        g->configuration = event->configuration;
        if (!g->configuration->transitional)
            begin_configuration(g, g->configuration);
        break;
    case TOTEM_EVENT_STATE:
    case TOTEM_EVENT_MISMATCH:
    case TOTEM_EVENT_LINK:
        break;
    }
}

static struct assembly *assembly_of(struct group *g, uint32_t sender)
{
    for (uint32_t i = 0; i < g->member_count; i++)
        if (g->members[i] == sender)
            return &g->assemblies[i];
    return NULL;
}

static void message(struct group *g, struct group_event *event, uint8_t flags,
                    uint8_t service, struct bytes data)
{
    event->kind = GROUP_EVENT_MESSAGE;
    event->message.sender = g->sender;
    event->message.seq = g->seq;
    event->message.service = service;
    event->message.safe = (flags & ITEM_SAFE) != 0;
    event->message.data = data;
    g->stats.messages_delivered++;
}

/* A message in one item; it ends whatever its sender had left unfinished. */
static bool take_whole(struct group *g, struct bytes data)
{
    struct assembly *a = assembly_of(g, g->sender);
    if (data.n > g->config.message_size_max) {
        g->stats.dropped_malformed++;
        return false;
    }
    if (a != NULL && a->open) {
        g->stats.dropped_partial++;
        a->open = false;
    }
    return true;
}

/* A piece: true when it completes a message. Pieces without their beginning
 * (it was in an earlier configuration) or over the maximum are dropped. */
static bool assemble(struct group *g, uint8_t flags, struct bytes piece,
                     struct bytes *whole)
{
    struct assembly *a = assembly_of(g, g->sender);
    if (a == NULL) {
        g->stats.dropped_malformed++;
        return false;
    }
    if ((flags & ITEM_FIRST) != 0) {
        g->stats.dropped_partial += a->open;
        a->open = true;
        a->size_bytes = 0;
    }
    if (!a->open)
        return false;
    if (piece.n > g->config.message_size_max - a->size_bytes) {
        g->stats.dropped_malformed++;
        a->open = false;
        return false;
    }
    memcpy(a->data + a->size_bytes, piece.p, piece.n);
    a->size_bytes += piece.n;
    *whole = (struct bytes){a->data, a->size_bytes};
    a->open = (flags & ITEM_LAST) == 0;
    return !a->open;
}

bool group_next(struct group *g, struct group_event *event)
{
    if (g->configuration != NULL) {
        event->kind = GROUP_EVENT_CONFIGURATION;
        event->configuration = g->configuration;
        g->configuration = NULL;
        return true;
    }
    while (g->items.left > 0 && !g->items.failed) {
        uint8_t flags = read_u8(&g->items);
        uint8_t service = read_u8(&g->items);
        struct bytes data = read_bytes(&g->items, read_u16(&g->items));
        if (g->items.failed || (flags & ~ITEM_FLAGS) != 0) {
            g->stats.dropped_malformed++;
            g->items.failed = true;
            return false;
        }
        bool whole = (flags & ITEM_FIRST) != 0 && (flags & ITEM_LAST) != 0;
        if (whole ? take_whole(g, data) : assemble(g, flags, data, &data)) {
            message(g, event, flags, service, data);
            return true;
        }
    }
    return false;
}
