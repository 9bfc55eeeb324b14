/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/clm.h"

#include "daemon/base/check.h"
#include "daemon/totem/ring_id.h"

#include <stdlib.h>

_Static_assert((int)IPC_NODES_MAX == (int)TOTEM_NODES_MAX, "a view is a ring");

enum {
    MESSAGE_VERSION = 1,
    TRACKING = IPC_CLM_CHANGES | IPC_CLM_CHANGES_ONLY | IPC_CLM_LOCAL
};

static const uint32_t local_node_id = 0xffffffff; /* SA_CLM_LOCAL_NODE_ID */

/* What a member has said about itself. */
struct told {
    bool heard;
    struct totem_ring_id from; /* the view it comes from; seq 0: none */
    struct ipc_clm_node node;  /* with its initial view in that view */
};

/* What is left to be told of the view now. LEFT is a stage of its own only if
 * a node has been started again. */
enum stage { STAGE_NONE, STAGE_VIEW, STAGE_LEFT, STAGE_CHANGED };

/* A record for clients. The old and the new view may have no node but the own
 * one in common. */
struct record {
    struct ipc_clm_track_event head;
    struct ipc_clm_item items[2 * IPC_NODES_MAX];
};
_Static_assert(offsetof(struct record, items) == 24, "items follow the head");

struct clm {
    struct clm_config config;

    /* The exchange. */
    bool configured;
    struct totem_configuration conf;
    uint32_t told_count;
    struct told told[TOTEM_NODES_MAX]; /* by place in conf.members */
    bool to_send;
    size_t message_size;
    uint8_t message[CLM_MESSAGE_SIZE_MAX];

    /* view_id.seq is view.number; 0: no view yet. */
    struct totem_ring_id view_id;
    struct clm_view view, before;

    uint8_t *tracking; /* of each client, a kind or 0 */
    uint32_t *clients; /* of the event */
    enum stage stage;
    uint32_t kind;
    bool split; /* a node of the view before has been started again */
    bool current;
    bool current_local;
    uint32_t current_client;
    struct record record;
};

/* All ways to be told of changes. */
static const uint8_t kinds[] = {
    IPC_CLM_CHANGES,
    IPC_CLM_CHANGES_ONLY,
    IPC_CLM_CHANGES | IPC_CLM_LOCAL,
    IPC_CLM_CHANGES_ONLY | IPC_CLM_LOCAL,
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool same_node(const struct ipc_clm_node *a,
                      const struct ipc_clm_node *b)
{
    return a->node_id == b->node_id && a->incarnation == b->incarnation;
}

static bool node_ok(const struct ipc_clm_node *n)
{
    return (n->family == 1 || n->family == 2) &&
           n->address_length <= sizeof n->address &&
           n->name_length <= sizeof n->name;
}

struct clm *clm_new(const struct clm_config *config)
{
    struct clm *c = calloc(1, sizeof *c);

    CHECK(config->client_max > 0 && node_ok(&config->self));
    CHECK(config->self.node_id != 0);
    CHECK(config->self.node_id != local_node_id);
    if (c == NULL)
        return NULL;
    c->config = *config;
    c->tracking = calloc(config->client_max, sizeof *c->tracking);
    c->clients = calloc(config->client_max, sizeof *c->clients);
    if (c->tracking == NULL || c->clients == NULL) {
        clm_free(c);
        return NULL;
    }
    return c;
}

void clm_free(struct clm *c)
{
    if (c == NULL)
        return;
    free(c->tracking);
    free(c->clients);
    free(c);
}

/* --- the message ---------------------------------------------------------- */

static void message_write(struct clm *c)
{
    const struct ipc_clm_node *self = &c->config.self;
    struct writer w = writer_of(c->message, sizeof c->message);

    write_u8(&w, MESSAGE_VERSION);
    ring_id_write(&w, &c->conf.ring_id);
    write_u64(&w, self->incarnation);
    write_u64(&w, self->boot_ns);
    ring_id_write(&w, &c->view_id);
    write_u64(&w, c->view_id.seq == 0 ? 0 : c->view.nodes[0].initial_view);
    write_u8(&w, (uint8_t)self->family);
    write_u8(&w, (uint8_t)self->address_length);
    write_bytes(&w, (struct bytes){self->address, self->address_length});
    write_u16(&w, self->name_length);
    write_bytes(&w, (struct bytes){self->name, self->name_length});
    CHECK(!w.failed);
    c->message_size = w.written;
}

/* A view comes before the ring whose members speak of it, and a node's initial
 * view is not after it. Without a view all of it is 0. */
static bool origin_ok(const struct told *t, const struct totem_ring_id *epoch)
{
    if (t->from.seq == 0)
        return t->from.nonce == 0 && t->from.rep == 0 &&
               t->node.initial_view == 0;
    return t->from.rep != 0 && t->from.seq < epoch->seq &&
           t->node.initial_view > 0 && t->node.initial_view <= t->from.seq;
}

static void read_text(struct reader *r, uint8_t *to, size_t size, size_t n)
{
    if (n > size)
        r->failed = true;
    struct bytes b = read_bytes(r, n);
    if (b.n > 0)
        memcpy(to, b.p, b.n);
}

/* False: no message of this version. `sender` is left for the caller. */
static bool message_read(struct bytes data, struct totem_ring_id *epoch,
                         struct told *t)
{
    struct reader r = reader_of(data);
    struct ipc_clm_node *n = &t->node;

    *t = (struct told){.heard = true};
    if (read_u8(&r) != MESSAGE_VERSION)
        return false;
    *epoch = ring_id_read(&r);
    n->incarnation = read_u64(&r);
    n->boot_ns = read_u64(&r);
    t->from = ring_id_read(&r);
    n->initial_view = read_u64(&r);
    n->family = read_u8(&r);
    n->address_length = read_u8(&r);
    read_text(&r, n->address, sizeof n->address, n->address_length);
    n->name_length = read_u16(&r);
    read_text(&r, n->name, sizeof n->name, n->name_length);
    return reader_done(&r) && node_ok(n) && origin_ok(t, epoch);
}

/* --- views ---------------------------------------------------------------- */

/* How many come from the same view as the member at `at`. */
static uint32_t part_size(const struct clm *c, uint32_t at)
{
    uint32_t size = 0;

    for (uint32_t i = 0; i < c->conf.member_count; i++)
        size += ring_id_equal(&c->told[i].from, &c->told[at].from);
    return size;
}

/* The view that the largest part comes from; seq 0: none has one. Members
 * ascend, so the first of the largest has the lowest id. */
static struct totem_ring_id largest_part(const struct clm *c)
{
    struct totem_ring_id largest = {0};
    uint32_t most = 0;

    for (uint32_t i = 0; i < c->conf.member_count; i++) {
        uint32_t size = c->told[i].from.seq == 0 ? 0 : part_size(c, i);
        if (size > most) {
            most = size;
            largest = c->told[i].from;
        }
    }
    return largest;
}

static bool was_restarted(const struct clm *c)
{
    for (uint32_t i = 0; i < c->before.count; i++) {
        const struct ipc_clm_node *old = &c->before.nodes[i];
        const struct ipc_clm_node *now = clm_view_find(&c->view, old->node_id);
        if (now != NULL && !same_node(old, now))
            return true;
    }
    return false;
}

/* All have told of themselves. */
static void install(struct clm *c)
{
    struct totem_ring_id goes_on = largest_part(c);
    struct clm_view *v = &c->view;
    uint32_t others = 1;

    CHECK(c->stage == STAGE_NONE && !c->current);
    c->before = *v;
    *v = (struct clm_view){.number = c->conf.ring_id.seq,
                           .count = c->conf.member_count};
    for (uint32_t i = 0; i < c->conf.member_count; i++) {
        const struct told *t = &c->told[i];
        bool own = c->conf.members[i] == c->config.self.node_id;
        struct ipc_clm_node *n = &v->nodes[own ? 0 : others++];
        *n = t->node;
        n->node_id = c->conf.members[i];
        n->member = 1;
        if (t->from.seq == 0 || !ring_id_equal(&t->from, &goes_on))
            n->initial_view = v->number;
    }
    CHECK(others == v->count);
    c->view_id = c->conf.ring_id;
    c->split = was_restarted(c);
    c->stage = STAGE_VIEW;
}

const struct clm_view *clm_view_get(const struct clm *c)
{
    return c->view_id.seq == 0 ? NULL : &c->view;
}

const struct ipc_clm_node *clm_view_find(const struct clm_view *v,
                                         uint32_t node_id)
{
    if (node_id == local_node_id && v->count > 0)
        return &v->nodes[0];
    for (uint32_t i = 0; i < v->count; i++)
        if (v->nodes[i].node_id == node_id)
            return &v->nodes[i];
    return NULL;
}

/* --- inputs from the order ------------------------------------------------ */

/* The place of a member in the configuration; its count of members: none. */
static uint32_t place_of(const struct clm *c, uint32_t node_id)
{
    uint32_t i = 0;

    while (i < c->conf.member_count && c->conf.members[i] != node_id)
        i++;
    return i;
}

void clm_configuration(struct clm *c, const struct totem_configuration *conf)
{
    uint32_t own;

    if (conf->transitional)
        return;
    CHECK(c->stage == STAGE_NONE && !c->current);
    CHECK(conf->member_count <= TOTEM_NODES_MAX);
    CHECK(conf->ring_id.seq > c->view_id.seq);
    c->conf = *conf;
    own = place_of(c, c->config.self.node_id);
    CHECK(own < conf->member_count);
    CHECK(conf->incarnations[own] == c->config.self.incarnation);
    c->configured = true;
    c->told_count = 0;
    for (uint32_t i = 0; i < conf->member_count; i++)
        c->told[i].heard = false;
    message_write(c);
    c->to_send = true;
}

void clm_address_set(struct clm *c, struct bytes address)
{
    struct ipc_clm_node *self = &c->config.self;

    CHECK(address.n <= sizeof self->address);
    memcpy(self->address, address.p, address.n);
    self->address_length = (uint16_t)address.n;
}

bool clm_message(struct clm *c, uint32_t sender, struct bytes data)
{
    struct totem_ring_id epoch;
    struct told told;
    uint32_t at;

    CHECK(c->stage == STAGE_NONE && !c->current);
    if (!message_read(data, &epoch, &told))
        return false;
    if (!c->configured || !ring_id_equal(&epoch, &c->conf.ring_id))
        return true;
    at = place_of(c, sender);
    if (at == c->conf.member_count ||
        told.node.incarnation != c->conf.incarnations[at])
        return false;
    if (c->told[at].heard) /* the first one counts, on all members */
        return true;
    c->told[at] = told;
    if (++c->told_count == c->conf.member_count)
        install(c);
    return true;
}

bool clm_message_next(struct clm *c, struct bytes *message)
{
    *message = (struct bytes){c->message, c->message_size};
    return c->to_send;
}

void clm_message_sent(struct clm *c)
{
    CHECK(c->to_send);
    c->to_send = false;
}

/* --- clients -------------------------------------------------------------- */

bool clm_flags_ok(uint32_t flags)
{
    uint32_t changes = flags & (IPC_CLM_CHANGES | IPC_CLM_CHANGES_ONLY);

    if ((flags & ~(uint32_t)(IPC_CLM_CURRENT | TRACKING)) != 0)
        return false;
    if (changes == (IPC_CLM_CHANGES | IPC_CLM_CHANGES_ONLY))
        return false;
    return changes != 0 || (flags & IPC_CLM_CURRENT) != 0;
}

enum ipc_error clm_track(struct clm *c, uint32_t client, uint32_t flags)
{
    CHECK(client < c->config.client_max && clm_flags_ok(flags));
    CHECK(c->stage == STAGE_NONE && !c->current);
    if (c->view_id.seq == 0)
        return IPC_ERR_TRY_AGAIN;
    if ((flags & (IPC_CLM_CHANGES | IPC_CLM_CHANGES_ONLY)) != 0)
        c->tracking[client] = (uint8_t)(flags & TRACKING);
    if ((flags & IPC_CLM_CURRENT) != 0) {
        c->current = true;
        c->current_local = (flags & IPC_CLM_LOCAL) != 0;
        c->current_client = client;
    }
    return IPC_OK;
}

enum ipc_error clm_track_stop(struct clm *c, uint32_t client)
{
    CHECK(client < c->config.client_max);
    if (c->tracking[client] == 0)
        return IPC_ERR_NOT_EXIST;
    c->tracking[client] = 0;
    return IPC_OK;
}

void clm_client_gone(struct clm *c, uint32_t client)
{
    CHECK(client < c->config.client_max);
    c->tracking[client] = 0;
    if (c->current && c->current_client == client)
        c->current = false;
}

/* --- events --------------------------------------------------------------- */

static void record_begin(struct clm *c, uint64_t view)
{
    c->record.head = (struct ipc_clm_track_event){.view = view};
}

static void record_add(struct clm *c, const struct ipc_clm_node *node,
                       enum ipc_clm_change change)
{
    struct ipc_clm_track_event *head = &c->record.head;

    CHECK(head->item_count < 2 * IPC_NODES_MAX);
    struct ipc_clm_item *item = &c->record.items[head->item_count++];
    *item = (struct ipc_clm_item){.node = *node, .change = change};
    item->node.member = change != IPC_CLM_LEFT;
}

/* One node: as it was in the view before, as it is in this one; NULL: not in
 * it. */
static void record_node(struct clm *c, uint8_t kind,
                        const struct ipc_clm_node *old,
                        const struct ipc_clm_node *now)
{
    bool left = c->stage == STAGE_LEFT;
    bool stays = old != NULL && now != NULL && same_node(old, now);
    const struct ipc_clm_node *node = left || now == NULL ? old : now;
    enum ipc_clm_change change = IPC_CLM_NO_CHANGE;

    /* Who left was told before who joined, if these are two. */
    if (left ? old == NULL : now == NULL && c->split)
        return;
    if (!stays)
        change = node == old ? IPC_CLM_LEFT : IPC_CLM_JOINED;
    c->record.head.member_count += change != IPC_CLM_LEFT;
    if (!stays && c->record.head.cause == 0)
        c->record.head.cause = node->node_id;
    if (stays && (kind & IPC_CLM_CHANGES_ONLY) != 0)
        return;
    if (node->node_id != c->config.self.node_id && (kind & IPC_CLM_LOCAL) != 0)
        return;
    record_add(c, node, change);
}

/* What has changed, for one kind of tracking. Both views begin with the own
 * node and then ascend, so they are merged. */
static void record_changes(struct clm *c, uint8_t kind)
{
    const struct clm_view *old = &c->before, *now = &c->view;
    uint32_t i = 0, j = 0;

    record_begin(c, c->stage == STAGE_LEFT ? now->number - 1 : now->number);
    while (i < old->count || j < now->count) {
        const struct ipc_clm_node *o = NULL, *n = NULL;
        if (i < old->count)
            o = &old->nodes[i];
        if (j < now->count)
            n = &now->nodes[j];
        if (o != NULL && n != NULL && o->node_id < n->node_id)
            n = NULL;
        else if (o != NULL && n != NULL && o->node_id > n->node_id)
            o = NULL;
        record_node(c, kind, o, n);
        i += o != NULL;
        j += n != NULL;
    }
}

static void record_current(struct clm *c)
{
    uint32_t count = c->current_local ? 1 : c->view.count;

    record_begin(c, c->view.number);
    c->record.head.current = 1;
    c->record.head.member_count = c->view.count;
    for (uint32_t i = 0; i < count; i++)
        record_add(c, &c->view.nodes[i], IPC_CLM_NO_CHANGE);
}

static uint32_t clients_of(struct clm *c, uint8_t kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->config.client_max; i++)
        if (c->tracking[i] == kind)
            c->clients[count++] = i;
    return count;
}

/* The record for `count` clients; false: it says nothing. */
static bool event_give(struct clm *c, uint32_t count, struct clm_event *event)
{
    const struct record *r = &c->record;
    size_t size = sizeof r->head + r->head.item_count * sizeof *r->items;

    *event = (struct clm_event){.clients = c->clients,
                                .client_count = count,
                                .data = {(const uint8_t *)r, size}};
    return r->head.item_count > 0;
}

static void stage_next(struct clm *c)
{
    c->kind = 0;
    if (c->stage == STAGE_CHANGED)
        c->stage = STAGE_NONE;
    else
        c->stage =
            c->stage == STAGE_VIEW && c->split ? STAGE_LEFT : STAGE_CHANGED;
}

bool clm_event_next(struct clm *c, struct clm_event *event)
{
    if (c->stage == STAGE_VIEW) {
        stage_next(c);
        *event = (struct clm_event){.view = true};
        return true;
    }
    for (; c->stage != STAGE_NONE; stage_next(c)) {
        while (c->kind < KINDS) {
            uint8_t kind = kinds[c->kind++];
            uint32_t count = clients_of(c, kind);
            if (count == 0)
                continue;
            record_changes(c, kind);
            if (event_give(c, count, event))
                return true;
        }
    }
    if (c->current) {
        c->current = false;
        c->clients[0] = c->current_client;
        record_current(c);
        return event_give(c, 1, event);
    }
    *event = (struct clm_event){0};
    return false;
}
