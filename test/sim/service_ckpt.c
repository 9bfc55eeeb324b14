// SPDX-License-Identifier: BSD-3-Clause
// The checkpoint service on a node, and its clients: each has a checkpoint
// open, at most, and one request under way, at most. Checkpoints p.. are for
// an hour, so for ever, and their sections t..; in checkpoints v.. all is
// deleted, expires, or is closed by all and then forgotten.
#include "test/sim/service.h"

#include "daemon/base/check.h"
#include "daemon/service/ckpt.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CLIENTS = 3,
    FOR_EVER = 3, /* checkpoints; as many volatile ones */
    SECTIONS_FOR_EVER = 60,
    SECTIONS_VOLATILE = 8,
    SECTION_SIZE = 8192
};

/* Longer than any scenario takes, shorter than nodes' wall clocks are apart. */
static const int64_t HOUR_NS = INT64_C(3600) * 1000000000;

struct client {
    bool open;
    uint32_t handle, checkpoint; /* FOR_EVER ..: a volatile one */
    uint32_t promise;            /* of the request under way */
};

struct ckpt_state {
    struct ckpt *ckpt;
    struct client clients[CLIENTS];
    uint32_t next, taken; /* client */
    uint32_t last_promise;
};

static void *start(struct world *w, const struct node *n)
{
    const struct scenario *s = w->scenario;
    struct ckpt_state *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    t->ckpt = ckpt_new(
        &(struct ckpt_config){.node_id = n->id,
                              .incarnation = n->incarnation,
                              .client_max = CLIENTS,
                              .checkpoint_max = s->service_items % 7 + 2,
                              .bytes_max = 1 << 18,
                              .hash_seed = n->incarnation});
    CHECK(t->ckpt != NULL);
    return t;
}

static void stop(void *state)
{
    struct ckpt_state *t = state;
    ckpt_free(t->ckpt);
    free(t);
}

/* There are no readers. */
static void garbage(struct ckpt_state *t)
{
    ckpt_garbage_return(t->ckpt, ckpt_garbage_take(t->ckpt));
    ckpt_clean(t->ckpt, 10);
}

static void configuration(void *state, const struct totem_configuration *conf)
{
    struct ckpt_state *t = state;
    ckpt_configuration(t->ckpt, conf);
    garbage(t);
}

/* --- clients -------------------------------------------------------------- */

static void client_told(struct client *c, const struct ckpt_outcome *o,
                        uint32_t *promise)
{
    uint32_t result = o->reply.reply.result;
    if (o->type == IPC_SUBMIT_CKPT_OPEN) {
        c->open = result == IPC_OK;
        c->handle = o->reply.opened.handle;
    } else if (o->type == IPC_SUBMIT_CKPT_CLOSE) {
        c->open = false;
    }
    /* What says so cannot have come from the library. */
    CHECK(result != IPC_ERR_LIBRARY && result != IPC_ERR_BAD_HANDLE);
    if (result == IPC_OK && c->promise != 0)
        *promise = c->promise;
    c->promise = 0;
}

static void outcomes(struct ckpt_state *t, uint32_t *promise)
{
    struct ckpt_outcome o;
    while (ckpt_outcome_next(t->ckpt, &o)) {
        CHECK(o.client < CLIENTS);
        client_told(&t->clients[o.client], &o, promise);
    }
}

static bool message(void *state, uint32_t sender, struct bytes data,
                    uint32_t *promise)
{
    struct ckpt_state *t = state;
    bool good = ckpt_message(t->ckpt, sender, data);
    outcomes(t, promise);
    garbage(t);
    return good;
}

static bool may_take(void *state)
{
    struct ckpt_state *t = state;
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (ckpt_may_take(t->ckpt, (t->next + i) % CLIENTS)) {
            t->next = (t->next + i) % CLIENTS;
            return true;
        }
    return false;
}

/* A record, in parts. */
struct record {
    uint8_t head[IPC_CKPT_HEAD_SIZE_MAX];
    struct ckpt_request request;
    uint8_t data[SECTION_SIZE];
};

static uint16_t checkpoint_name(uint32_t checkpoint, uint8_t *name)
{
    name[0] = checkpoint < FOR_EVER ? 'p' : 'v';
    name[1] = (uint8_t)('0' + checkpoint % FOR_EVER);
    return 2;
}

static uint16_t promised_id(uint32_t promise, uint8_t id[16])
{
    return (uint16_t)snprintf((char *)id, 16, "t%08x", (unsigned)promise);
}

static void ask_open(struct record *r, uint32_t checkpoint)
{
    bool for_ever = checkpoint < FOR_EVER;
    struct ipc_ckpt_open o = {
        .flags = IPC_CKPT_READ | IPC_CKPT_WRITE | IPC_CKPT_CREATE,
        .attributes = {.creation_flags = IPC_CKPT_WR_ALL_REPLICAS,
                       .section_max =
                           for_ever ? SECTIONS_FOR_EVER : SECTIONS_VOLATILE,
                       .retention_ns = for_ever ? HOUR_NS : 50000000,
                       .section_size_max = SECTION_SIZE,
                       .section_id_size_max = 16}};
    if (checkpoint % FOR_EVER == 2)
        o.attributes.creation_flags =
            IPC_CKPT_WR_ACTIVE_REPLICA | IPC_CKPT_COLLOCATED;
    o.attributes.checkpoint_size =
        (uint64_t)o.attributes.section_max * SECTION_SIZE;
    o.name_length = checkpoint_name(checkpoint, o.name);
    r->request.type = IPC_SUBMIT_CKPT_OPEN;
    memcpy(r->head, &o, r->request.head_size = sizeof o);
}

static void ask(struct record *r, uint32_t type, uint32_t handle,
                int64_t retention_ns)
{
    struct ipc_ckpt_request q = {.handle = handle,
                                 .retention_ns = retention_ns};
    r->request.type = type;
    memcpy(r->head, &q, r->request.head_size = sizeof q);
}

static void ask_unlink(struct record *r, uint32_t checkpoint)
{
    struct ipc_ckpt_unlink u = {0};
    u.name_length = checkpoint_name(checkpoint, u.name);
    r->request.type = IPC_SUBMIT_CKPT_UNLINK;
    memcpy(r->head, &u, r->request.head_size = sizeof u);
}

/* The first element is of `id`; more of other ids may follow. */
static void ask_section(struct record *r, uint32_t type, uint32_t handle,
                        int64_t expiration_ns)
{
    struct ipc_ckpt_section_request q = {.handle = handle,
                                         .expiration_ns = expiration_ns};
    r->request.type = type;
    memcpy(r->head, &q, r->request.head_size = sizeof q);
}

static void add_element(struct record *r, const uint8_t *id, uint16_t id_size,
                        uint64_t offset, uint32_t size)
{
    struct ipc_ckpt_section_request q;
    struct ipc_ckpt_element e = {
        .offset = offset, .size = size, .id_length = id_size};
    uint8_t *at = r->head + r->request.head_size;
    CHECK(r->request.head_size + sizeof e + 16 <= sizeof r->head);
    CHECK(id_size <= 16);
    memcpy(at, &e, sizeof e);
    memset(at + sizeof e, 0, 16);
    memcpy(at + sizeof e, id, id_size);
    r->request.head_size += sizeof e + ((id_size + 7u) & ~7u);
    r->request.data_size += size;
    memcpy(&q, r->head, sizeof q);
    q.count++;
    q.head_size = (uint32_t)r->request.head_size;
    memcpy(r->head, &q, sizeof q);
}

static uint32_t some_size(struct world *w)
{
    return (uint32_t)random_range(&w->service_random, 0,
                                  w->scenario->service_size);
}

/* In a checkpoint that is for ever. */
static void ask_for_ever(struct world *w, struct ckpt_state *t,
                         struct client *c, struct record *r)
{
    struct random *random = &w->service_random;
    uint8_t id[16];
    switch (random_range(random, 0, 9)) {
    case 0:
    case 1:
        c->open = false; /* whatever is said */
        ask(r, IPC_SUBMIT_CKPT_CLOSE, c->handle, 0);
        break;
    case 2:
        ask(r, IPC_SUBMIT_CKPT_SYNCHRONIZE, c->handle, 0);
        break;
    case 3:
        ask(r, IPC_SUBMIT_CKPT_ACTIVE_SET, c->handle, 0);
        break;
    case 4:
    case 5:
    case 6:
        if (t->last_promise == 0)
            t->last_promise = 1;
        ask_section(r, IPC_SUBMIT_CKPT_WRITE, c->handle, 0);
        add_element(r, id, promised_id(t->last_promise, id), some_size(w),
                    some_size(w));
        break;
    default:
        /* The checkpoint is known by the number, see has(). */
        do
            c->promise = service_promise(w);
        while (c->promise % FOR_EVER != c->checkpoint);
        t->last_promise = c->promise;
        ask_section(r, IPC_SUBMIT_CKPT_SECTION_CREATE, c->handle, INT64_MAX);
        add_element(r, id, promised_id(c->promise, id), 0, some_size(w));
        break;
    }
}

static void ask_volatile(struct world *w, struct client *c, struct record *r)
{
    struct random *random = &w->service_random;
    int64_t soon_ns =
        r->request.now_ns + (int64_t)random_range(random, 0, 400 * SIM_MS);
    uint8_t id = (uint8_t)('a' + random_range(random, 0, 11));
    switch (random_range(random, 0, 11)) {
    case 0:
        ask_unlink(r, c->checkpoint);
        break;
    case 1:
    case 2:
        c->open = false;
        ask(r, IPC_SUBMIT_CKPT_CLOSE, c->handle, 0);
        break;
    case 3:
        ask(r, IPC_SUBMIT_CKPT_RETENTION_SET, c->handle,
            (int64_t)random_range(random, 0, 300 * SIM_MS));
        break;
    case 4:
        ask_section(r, IPC_SUBMIT_CKPT_SECTION_DELETE, c->handle, 0);
        add_element(r, &id, 1, 0, 0);
        break;
    case 5:
        ask_section(r, IPC_SUBMIT_CKPT_EXPIRATION_SET, c->handle, soon_ns);
        add_element(r, &id, 1, 0, 0);
        break;
    case 6:
        ask_section(r, IPC_SUBMIT_CKPT_OVERWRITE, c->handle, 0);
        add_element(r, &id, 1, 0, some_size(w));
        break;
    case 7:
        ask_section(r, IPC_SUBMIT_CKPT_WRITE, c->handle, 0);
        for (uint32_t i = 0; i < 3; i++) {
            add_element(r, &id, 1, some_size(w) / 3, some_size(w) / 3);
            id = (uint8_t)('a' + random_range(random, 0, 11));
        }
        break;
    case 8: /* the service makes the id */
        ask_section(r, IPC_SUBMIT_CKPT_SECTION_CREATE, c->handle, soon_ns);
        add_element(r, &id, 0, 0, some_size(w) / 4);
        break;
    default:
        ask_section(r, IPC_SUBMIT_CKPT_SECTION_CREATE, c->handle,
                    random_chance(random, 500000) ? soon_ns : INT64_MAX);
        add_element(r, &id, 1, 0, some_size(w) / 4);
        break;
    }
}

static size_t take(struct world *w, void *state, int64_t wall_ns,
                   uint8_t to[SERVICE_OP_MAX])
{
    struct ckpt_state *t = state;
    static struct record r;
    struct client *c = &t->clients[t->next];
    uint32_t none = 0;
    r.request = (struct ckpt_request){
        .client = t->next, .now_ns = wall_ns, .head = r.head};
    if (random_chance(&w->service_random, 20000)) { /* and another comes */
        ckpt_client_gone(t->ckpt, t->next);
        *c = (struct client){0};
    }
    if (!c->open) {
        c->checkpoint =
            (uint32_t)random_range(&w->service_random, 0, 2 * FOR_EVER - 1);
        ask_open(&r, c->checkpoint);
    } else if (c->checkpoint < FOR_EVER) {
        ask_for_ever(w, t, c, &r);
    } else {
        ask_volatile(w, c, &r);
    }
    for (size_t i = 0; i < r.request.data_size; i++)
        r.data[i] = (uint8_t)(w->service_promises + i);
    CHECK(ckpt_request_ok(&r.request));
    size_t size = ckpt_take(t->ckpt, &r.request, to);
    t->taken = t->next;
    t->next = (t->next + 1) % CLIENTS;
    if (size > 0) {
        CHECK(size + r.request.data_size <= SERVICE_OP_MAX);
        memcpy(to + size, r.data, r.request.data_size);
        size += r.request.data_size;
    }
    outcomes(t, &none);
    CHECK(none == 0); /* nothing is there before it is in the order */
    return size;
}

static void untake(void *state)
{
    struct ckpt_state *t = state;
    struct client *c = &t->clients[t->taken];
    ckpt_untake(t->ckpt, t->taken);
    c->promise = 0;
    /* What it was is asked for anew, or something else. */
    ckpt_client_gone(t->ckpt, t->taken);
    *c = (struct client){0};
}

/* --- the rest ------------------------------------------------------------- */

static enum replica_kind message_kind(const void *state)
{
    const struct ckpt_state *t = state;
    return ckpt_message_kind(t->ckpt);
}

static size_t message_write(void *state, uint8_t *to)
{
    struct ckpt_state *t = state;
    return ckpt_message_write(t->ckpt, to);
}

static void time_passes(void *state, int64_t steady_ns, int64_t wall_ns)
{
    struct ckpt_state *t = state;
    ckpt_time(t->ckpt, &(struct ckpt_now){steady_ns, wall_ns});
}

static const struct replica *replica(const void *state)
{
    const struct ckpt_state *t = state;
    return ckpt_replica(t->ckpt);
}

static uint64_t succeeded(const void *state)
{
    const struct ckpt_state *t = state;
    struct ckpt_stats s = ckpt_stats_get(t->ckpt);
    return s.applied - s.failed;
}

static uint64_t hash(const void *state)
{
    const struct ckpt_state *t = state;
    return ckpt_hash(t->ckpt);
}

static bool has(const void *state, uint32_t promise)
{
    const struct ckpt_state *t = state;
    uint8_t name[2], id[16];
    size_t name_size = checkpoint_name(promise % FOR_EVER, name);
    const struct ckpt_checkpoint *c =
        ckpt_store_find(ckpt_store(t->ckpt), (struct bytes){name, name_size});
    return c != NULL &&
           ckpt_section_find(ckpt_store(t->ckpt), c,
                             (struct bytes){id, promised_id(promise, id)}) !=
               NULL;
}

static bool is_idle(const void *state)
{
    const struct ckpt_state *t = state;
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (!ckpt_may_take(t->ckpt, i))
            return false;
    return true;
}

const struct service_kind service_ckpt = {
    .name = "ckpt",
    .group_service = GROUP_SERVICE_CKPT,
    .start = start,
    .stop = stop,
    .configuration = configuration,
    .message = message,
    .message_kind = message_kind,
    .message_write = message_write,
    .time = time_passes,
    .may_take = may_take,
    .take = take,
    .untake = untake,
    .replica = replica,
    .succeeded = succeeded,
    .hash = hash,
    .has = has,
    .is_idle = is_idle,
};
