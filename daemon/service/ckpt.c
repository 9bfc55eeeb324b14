/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt.c - the CKPT service of one node: its clients' requests and handles, and
 * what it multicasts itself. What is replicated is in ckpt_apply.c. */
#include "daemon/service/ckpt_internal.h"

#include <stdlib.h>

/* --- lists of handles ----------------------------------------------------- */

static struct handle *handle_at(struct ckpt *k, uint32_t place)
{
    return place == 0 ? NULL : &k->handles[place - 1];
}

static void list_push(struct ckpt *k, uint32_t *first, uint32_t place)
{
    struct handle *h = handle_at(k, place), *next = handle_at(k, *first);

    h->prev = 0;
    h->next = *first;
    if (next != NULL)
        next->prev = place;
    *first = place;
}

static void list_take(struct ckpt *k, uint32_t *first, uint32_t place)
{
    struct handle *h = handle_at(k, place);

    if (h->next != 0)
        handle_at(k, h->next)->prev = h->prev;
    if (h->prev != 0)
        handle_at(k, h->prev)->next = h->next;
    else
        *first = h->next;
    h->next = h->prev = 0;
}

/* --- handles -------------------------------------------------------------- */

static bool is_work(enum handle_state state)
{
    return state == HANDLE_REOPEN || state == HANDLE_CLOSE;
}

/* The one place where a handle's state changes. */
static void handle_state(struct ckpt *k, struct handle *h,
                         enum handle_state state)
{
    k->work -= is_work(h->state);
    k->reopening -= h->state == HANDLE_REOPEN || h->state == HANDLE_REOPENING;
    h->state = state;
    k->work += is_work(state);
    k->reopening += state == HANDLE_REOPEN || state == HANDLE_REOPENING;
    atomic_store_explicit(&h->gone, state == HANDLE_GONE, memory_order_relaxed);
}

static void handle_name(struct handle *h, struct ckpt_checkpoint *c)
{
    /* Release: pairs with ckpt_lookup(). */
    atomic_store_explicit(&h->checkpoint, c, memory_order_release);
}

static struct ckpt_checkpoint *named_by(const struct handle *h)
{
    return atomic_load_explicit(&h->checkpoint, memory_order_acquire);
}

static uint32_t owner_of(const struct handle *h)
{
    return atomic_load_explicit(&h->owner, memory_order_relaxed);
}

static void owner_set(struct handle *h, uint32_t owner)
{
    atomic_store_explicit(&h->owner, owner, memory_order_relaxed);
}

/* What comes out of the order is past refusing: each open that is under way has
 * its handle already, that of a client that is gone too. */
static bool handles_left(const struct ckpt *k)
{
    return k->handles_used + k->opening < CKPT_HANDLES_MAX;
}

static uint32_t handle_new(struct ckpt *k)
{
    uint32_t place = k->free_handles;

    if (place != 0) {
        list_take(k, &k->free_handles, place);
    } else {
        CHECK(k->never_used < CKPT_HANDLES_MAX);
        place = ++k->never_used;
    }
    k->handles_used++;
    return place;
}

static void handle_free(struct ckpt *k, struct handle *h)
{
    uint32_t place = (uint32_t)(h - k->handles) + 1, owner = owner_of(h);

    CHECK(h->state != HANDLE_FREE);
    if (owner != 0)
        list_take(k, &k->client_handles[owner - 1], place);
    owner_set(h, 0);
    handle_name(h, NULL);
    handle_state(k, h, HANDLE_FREE);
    list_push(k, &k->free_handles, place);
    k->handles_used--;
}

/* Of this client, and not being closed. */
static struct handle *handle_of(struct ckpt *k, uint32_t client,
                                uint32_t handle)
{
    if (handle >= CKPT_HANDLES_MAX ||
        owner_of(&k->handles[handle]) != client + 1)
        return NULL;
    return &k->handles[handle];
}

/* --- life ----------------------------------------------------------------- */

static void reset(void *context);
static void whole(void *context, bool is_whole);

static const struct replica_service service = {.apply = ckpt_apply,
                                               .members = ckpt_members,
                                               .reset = reset,
                                               .piece_write = ckpt_piece_write,
                                               .piece_read = ckpt_piece_read,
                                               .whole = whole};

static struct replica *replica_open(struct ckpt *k)
{
    uint8_t hello[12];
    struct writer w = writer_of(hello, sizeof hello);

    write_u64(&w, k->config.bytes_max);
    write_u32(&w, k->config.checkpoint_max);
    return replica_new(
        &(struct replica_config){.node_id = k->config.node_id,
                                 .incarnation = k->config.incarnation,
                                 .service = &service,
                                 .context = k,
                                 .hello = {hello, w.written}});
}

struct ckpt *ckpt_new(const struct ckpt_config *config)
{
    struct ckpt *k = calloc(1, sizeof *k);

    CHECK(config->client_max > 0);
    if (k == NULL)
        return NULL;
    k->config = *config;
    k->bytes_max = config->bytes_max;
    k->checkpoint_max = config->checkpoint_max;
    k->next_checkpoint = 1;
    k->checkpoints_here = true;
    k->pending = calloc(config->client_max, sizeof *k->pending);
    k->client_handles = calloc(config->client_max, sizeof *k->client_handles);
    k->handles = calloc(CKPT_HANDLES_MAX, sizeof *k->handles);
    k->replica = replica_open(k);
    ckpt_store_init(&k->store, config->hash_seed, config->arena,
                    config->arena_size);
    if (k->pending == NULL || k->client_handles == NULL || k->handles == NULL ||
        k->replica == NULL) {
        ckpt_free(k);
        return NULL;
    }
    return k;
}

void ckpt_free(struct ckpt *k)
{
    if (k == NULL)
        return;
    ckpt_store_deinit(&k->store);
    replica_free(k->replica);
    free(k->pending);
    free(k->client_handles);
    free(k->handles);
    free(k);
}

/* --- from the order ------------------------------------------------------- */

/* What this node has sent it has also got by now, in the configuration that it
 * was sent in. So what is still under way was not sent, and has to be. */
static void send_again(struct ckpt *k)
{
    for (uint32_t i = 0; i < k->never_used; i++) {
        struct handle *h = &k->handles[i];
        if (h->state == HANDLE_CLOSING)
            handle_state(k, h, HANDLE_CLOSE);
        else if (h->state == HANDLE_REOPENING)
            handle_state(k, h, HANDLE_REOPEN);
    }
    k->tick_due |= k->tick_sent;
    k->tick_sent = false;
    k->opening = 0;
}

void ckpt_configuration(struct ckpt *k, const struct totem_configuration *conf)
{
    if (!conf->transitional)
        send_again(k);
    replica_configuration(k->replica, conf);
}

bool ckpt_message(struct ckpt *k, uint32_t sender, struct bytes data)
{
    return replica_message(k->replica, sender, data);
}

/* Before the state is forgotten: what this node's clients have open. */
static void remember_names(struct ckpt *k)
{
    for (uint32_t i = 0; i < k->never_used; i++) {
        struct handle *h = &k->handles[i];
        const struct ckpt_checkpoint *c = named_by(h);
        if (h->state == HANDLE_CLOSE || h->state == HANDLE_CLOSING) {
            handle_free(k, h); /* nobody counts it any more */
        } else if (h->state == HANDLE_OPEN) {
            bool unlinked =
                atomic_load_explicit(&c->unlinked, memory_order_relaxed);
            h->name_size = c->name_size;
            memcpy(h->name, c->name, c->name_size);
            handle_name(h, NULL);
            handle_state(k, h, unlinked ? HANDLE_GONE : HANDLE_REOPEN);
        } else if (h->state == HANDLE_REOPENING) {
            handle_state(k, h, HANDLE_REOPEN);
        }
    }
}

static void reset(void *context)
{
    struct ckpt *k = context;

    atomic_store_explicit(&k->whole, false, memory_order_relaxed);
    remember_names(k);
    ckpt_store_delete_all(&k->store);
    k->next_checkpoint = 1;
    k->checkpoints_here = false;
    k->ticks = k->tick_sent = false;
}

static void whole(void *context, bool is_whole)
{
    struct ckpt *k = context;

    if (is_whole) {
        k->checkpoints_here = true;
        /* Whatever the last piece said. */
        if (k->next_checkpoint <= ckpt_store_last(&k->store))
            k->next_checkpoint = ckpt_store_last(&k->store) + 1;
    }
    /* Release: who sees it sees the state; pairs with ckpt_lookup(). */
    atomic_store_explicit(&k->whole, is_whole, memory_order_release);
}

/* --- outcomes ------------------------------------------------------------- */

static void opened(struct ckpt *k, uint32_t handle,
                   const struct ckpt_checkpoint *c, struct ipc_ckpt_reply *r)
{
    (void)k;
    r->opened.handle = handle;
    r->opened.attributes = c->attributes;
    r->opened.attributes.retention_ns =
        atomic_load_explicit(&c->retention_ns, memory_order_relaxed);
}

static bool is_awaited(const struct ckpt *k, const struct op_head *head)
{
    return head->client < k->config.client_max &&
           k->pending[head->client].id == head->id && head->id != 0;
}

void ckpt_own_opened(struct ckpt *k, const struct op_head *head,
                     struct ckpt_checkpoint *c, struct ipc_ckpt_reply *reply)
{
    uint32_t place = handle_new(k);
    struct handle *h = handle_at(k, place);

    h->number = c->number;
    if (is_awaited(k, head)) {
        owner_set(h, head->client + 1);
        list_push(k, &k->client_handles[head->client], place);
        handle_name(h, c);
        handle_state(k, h, HANDLE_OPEN);
        opened(k, place - 1, c, reply);
    } else {
        handle_state(k, h, HANDLE_CLOSE); /* it is gone meanwhile */
    }
}

void ckpt_own_reopened(struct ckpt *k, uint32_t handle,
                       struct ckpt_checkpoint *c)
{
    struct handle *h = &k->handles[handle];

    CHECK(handle < k->never_used);
    CHECK(h->state == HANDLE_REOPENING || h->state == HANDLE_CLOSING);
    if (h->state == HANDLE_CLOSING) { /* its client went meanwhile */
        if (c == NULL) {
            handle_free(k, h);
            return;
        }
        h->number = c->number;
        handle_state(k, h, HANDLE_CLOSE);
        return;
    }
    if (c != NULL) {
        h->number = c->number;
        handle_name(h, c);
    }
    handle_state(k, h, c != NULL ? HANDLE_OPEN : HANDLE_GONE);
}

void ckpt_own_closed(struct ckpt *k, uint32_t handle)
{
    if (handle < k->never_used && k->handles[handle].state == HANDLE_CLOSING)
        handle_free(k, &k->handles[handle]);
}

static void outcome_put(struct ckpt *k, uint32_t client,
                        const struct ipc_ckpt_reply *reply)
{
    struct pending *p = &k->pending[client];

    CHECK(!k->outcome_there && p->id != 0);
    k->outcome = p->outcome;
    k->outcome.reply = *reply;
    k->outcome_there = true;
    p->id = 0;
}

void ckpt_own_done(struct ckpt *k, const struct op_head *head,
                   const struct ipc_ckpt_reply *reply)
{
    if (head->op == IPC_SUBMIT_CKPT_OPEN && k->opening > 0)
        k->opening--;
    if (is_awaited(k, head))
        outcome_put(k, head->client, reply);
}

bool ckpt_outcome_next(struct ckpt *k, struct ckpt_outcome *o)
{
    if (!k->outcome_there)
        return false;
    *o = k->outcome;
    k->outcome_there = false;
    return true;
}

/* --- clients' requests: are they ones that a library writes? -------------- */

static bool is_section_request(uint32_t type)
{
    return type >= IPC_SUBMIT_CKPT_SECTION_CREATE &&
           type <= IPC_SUBMIT_CKPT_OVERWRITE;
}

static bool open_ok(const struct ckpt_request *r)
{
    enum { FLAGS = IPC_CKPT_READ | IPC_CKPT_WRITE | IPC_CKPT_CREATE };
    struct ipc_ckpt_open o;

    if (r->head_size != sizeof o)
        return false;
    memcpy(&o, r->head, sizeof o);
    if (o.flags == 0 || (o.flags & ~(uint32_t)FLAGS) != 0 ||
        o.name_length > sizeof o.name)
        return false;
    return (o.flags & IPC_CKPT_CREATE) == 0 ||
           (o.attributes.section_max > 0 && o.attributes.retention_ns >= 0);
}

static bool unlink_ok(const struct ckpt_request *r)
{
    struct ipc_ckpt_unlink u;

    if (r->head_size != sizeof u)
        return false;
    memcpy(&u, r->head, sizeof u);
    return u.name_length <= sizeof u.name;
}

/* An element, and the place behind it; false: that is not there. */
static bool element_next(const struct ckpt_request *r, size_t *at,
                         struct element *e)
{
    struct ipc_ckpt_element element;

    if (r->head_size - *at < sizeof element)
        return false;
    memcpy(&element, r->head + *at, sizeof element);
    size_t padded = ((size_t)element.id_length + 7) & ~(size_t)7;
    *at += sizeof element;
    if (element.id_length > IPC_CKPT_SECTION_ID_SIZE_MAX ||
        r->head_size - *at < padded)
        return false;
    *e = (struct element){.offset = element.offset,
                          .size = element.size,
                          .id = bytes_of(r->head + *at, element.id_length)};
    *at += padded;
    return true;
}

static bool section_ok(const struct ckpt_request *r)
{
    struct ipc_ckpt_section_request s;
    size_t at = sizeof s;
    uint64_t size = 0;
    struct element e;

    if (r->head_size < sizeof s || r->head_size > IPC_CKPT_HEAD_SIZE_MAX)
        return false;
    memcpy(&s, r->head, sizeof s);
    if (s.head_size != r->head_size || s.count == 0 || s.count > ELEMENTS_MAX ||
        (s.count > 1 && r->type != IPC_SUBMIT_CKPT_WRITE))
        return false;
    for (uint32_t i = 0; i < s.count; i++) {
        if (!element_next(r, &at, &e) ||
            (e.offset != 0 && r->type != IPC_SUBMIT_CKPT_WRITE))
            return false;
        size += e.size;
    }
    return at == r->head_size && size == r->data_size;
}

static bool handle_request_ok(const struct ckpt_request *r)
{
    struct ipc_ckpt_request request;

    if (r->head_size != sizeof request)
        return false;
    memcpy(&request, r->head, sizeof request);
    return r->type != IPC_SUBMIT_CKPT_RETENTION_SET ||
           request.retention_ns >= 0;
}

bool ckpt_request_ok(const struct ckpt_request *r)
{
    if (is_section_request(r->type))
        return section_ok(r);
    if (r->data_size != 0)
        return false;
    switch (r->type) {
    case IPC_SUBMIT_CKPT_OPEN:
        return open_ok(r);
    case IPC_SUBMIT_CKPT_UNLINK:
        return unlink_ok(r);
    case IPC_SUBMIT_CKPT_CLOSE:
    case IPC_SUBMIT_CKPT_RETENTION_SET:
    case IPC_SUBMIT_CKPT_ACTIVE_SET:
    case IPC_SUBMIT_CKPT_SYNCHRONIZE:
        return handle_request_ok(r);
    default:
        return false;
    }
}

/* --- clients' requests: taking them --------------------------------------- */

bool ckpt_may_take(const struct ckpt *k, uint32_t client)
{
    CHECK(client < k->config.client_max);
    return replica_ready(k->replica) && k->reopening == 0 &&
           k->pending[client].id == 0 && !k->outcome_there;
}

/* The beginning of an operation. */
static struct writer op_begin(struct ckpt *k, uint8_t *to, uint32_t op,
                              uint32_t client, uint64_t id, int64_t now_ns)
{
    struct writer w = writer_of(to, CKPT_HEAD_SIZE_MAX);

    CHECK(op <= UINT8_MAX);
    replica_op_head(k->replica, write_claim(&w, REPLICA_OP_HEAD_SIZE));
    ckpt_write_head(&w, &(struct op_head){.op = (uint8_t)op,
                                          .client = client,
                                          .id = id,
                                          .now_ns = now_ns});
    return w;
}

static size_t op_end(const struct writer *w)
{
    CHECK(!w->failed);
    return w->written;
}

static void write_key(struct writer *w, struct bytes key)
{
    write_u16(w, (uint16_t)key.n);
    write_bytes(w, key);
}

static size_t answer(struct ckpt *k, uint32_t client, enum ipc_error result)
{
    outcome_put(k, client,
                &(struct ipc_ckpt_reply){.reply = {.result = result}});
    return 0;
}

static size_t take_open(struct ckpt *k, const struct ckpt_request *r,
                        struct ckpt_outcome *o, struct writer w)
{
    struct ipc_ckpt_open open;

    memcpy(&open, r->head, sizeof open);
    o->async = open.async != 0;
    o->invocation = open.invocation;
    o->flags = open.flags;
    if (!handles_left(k))
        return answer(k, r->client, IPC_ERR_NO_RESOURCES);
    k->opening++;
    write_u32(&w, open.flags);
    ckpt_write_attributes(&w, &open.attributes);
    write_key(&w, bytes_of(open.name, open.name_length));
    return op_end(&w);
}

static size_t take_unlink(const struct ckpt_request *r, struct writer w)
{
    struct ipc_ckpt_unlink u;

    memcpy(&u, r->head, sizeof u);
    write_key(&w, bytes_of(u.name, u.name_length));
    return op_end(&w);
}

/* The handle's checkpoint is gone: it may only be closed, and that is done. */
static size_t take_gone(struct ckpt *k, const struct ckpt_request *r,
                        struct handle *h)
{
    if (r->type != IPC_SUBMIT_CKPT_CLOSE)
        return answer(k, r->client, IPC_ERR_NOT_EXIST);
    handle_free(k, h);
    return answer(k, r->client, IPC_OK);
}

static size_t take_request(struct ckpt *k, const struct ckpt_request *r,
                           struct ckpt_outcome *o, struct writer w)
{
    struct ipc_ckpt_request request;
    struct handle *h;

    memcpy(&request, r->head, sizeof request);
    o->async = r->type == IPC_SUBMIT_CKPT_SYNCHRONIZE && request.async != 0;
    k->pending[r->client].safe = r->type == IPC_SUBMIT_CKPT_SYNCHRONIZE;
    o->invocation = request.invocation;
    o->handle = request.handle;
    h = handle_of(k, r->client, request.handle);
    if (h == NULL)
        return answer(k, r->client, IPC_ERR_BAD_HANDLE);
    if (h->state == HANDLE_GONE)
        return take_gone(k, r, h);
    CHECK(h->state == HANDLE_OPEN);
    write_u64(&w, h->number);
    if (r->type == IPC_SUBMIT_CKPT_RETENTION_SET)
        write_u64(&w, (uint64_t)request.retention_ns);
    if (r->type == IPC_SUBMIT_CKPT_CLOSE) {
        write_u32(&w, request.handle);
        list_take(k, &k->client_handles[r->client], request.handle + 1);
        owner_set(h, 0);
        handle_state(k, h, HANDLE_CLOSING);
    }
    return op_end(&w);
}

static size_t take_section(struct ckpt *k, const struct ckpt_request *r,
                           struct writer w)
{
    struct ipc_ckpt_section_request s;
    struct element e;
    struct handle *h;
    size_t at = sizeof s;

    memcpy(&s, r->head, sizeof s);
    h = handle_of(k, r->client, s.handle);
    if (h == NULL)
        return answer(k, r->client, IPC_ERR_BAD_HANDLE);
    if (h->state == HANDLE_GONE)
        return take_gone(k, r, h);
    CHECK(h->state == HANDLE_OPEN);
    k->pending[r->client].safe =
        k->config.safe && (named_by(h)->attributes.creation_flags &
                           IPC_CKPT_WR_ALL_REPLICAS) != 0;
    write_u64(&w, h->number);
    write_u64(&w, (uint64_t)s.expiration_ns);
    write_u16(&w, (uint16_t)s.count);
    for (uint32_t i = 0; i < s.count; i++) {
        CHECK(element_next(r, &at, &e));
        write_u64(&w, e.offset);
        write_u32(&w, e.size);
        write_key(&w, e.id);
    }
    return op_end(&w);
}

size_t ckpt_take(struct ckpt *k, const struct ckpt_request *r, uint8_t *to)
{
    struct pending *p = &k->pending[r->client];
    struct writer w;

    CHECK(ckpt_may_take(k, r->client) && ckpt_request_ok(r));
    p->id = ++k->last_id;
    p->safe = false;
    p->outcome = (struct ckpt_outcome){.client = r->client, .type = r->type};
    w = op_begin(k, to, r->type, r->client, p->id, r->now_ns);
    if (is_section_request(r->type))
        return take_section(k, r, w);
    if (r->type == IPC_SUBMIT_CKPT_OPEN)
        return take_open(k, r, &p->outcome, w);
    if (r->type == IPC_SUBMIT_CKPT_UNLINK)
        return take_unlink(r, w);
    return take_request(k, r, &p->outcome, w);
}

bool ckpt_is_safe(const struct ckpt *k, uint32_t client)
{
    return k->pending[client].safe;
}

void ckpt_untake(struct ckpt *k, uint32_t client)
{
    struct pending *p = &k->pending[client];
    bool gone = p->id == 0;
    struct handle *h;

    p->id = 0;
    if (p->outcome.type == IPC_SUBMIT_CKPT_OPEN && k->opening > 0)
        k->opening--;
    if (p->outcome.type != IPC_SUBMIT_CKPT_CLOSE)
        return;
    h = &k->handles[p->outcome.handle];
    if (gone) {
        if (h->state == HANDLE_CLOSING)
            handle_state(k, h, HANDLE_CLOSE);
        return;
    }
    CHECK(h->state == HANDLE_CLOSING);
    owner_set(h, client + 1);
    list_push(k, &k->client_handles[client], p->outcome.handle + 1);
    handle_state(k, h, HANDLE_OPEN);
}

void ckpt_client_gone(struct ckpt *k, uint32_t client)
{
    uint32_t place;

    CHECK(client < k->config.client_max);
    k->pending[client].id = 0;
    while ((place = k->client_handles[client]) != 0) {
        struct handle *h = handle_at(k, place);
        if (h->state == HANDLE_GONE || h->state == HANDLE_REOPEN) {
            handle_free(k, h);
            continue;
        }
        list_take(k, &k->client_handles[client], place);
        owner_set(h, 0);
        handle_name(h, NULL);
        if (h->state == HANDLE_REOPENING) {
            h->number = 0; /* until it is known; that it has is of before */
            handle_state(k, h, HANDLE_CLOSING);
        } else {
            handle_state(k, h, HANDLE_CLOSE);
        }
    }
}

/* --- what this node multicasts itself ------------------------------------- */

enum replica_kind ckpt_message_kind(const struct ckpt *k)
{
    enum replica_kind kind = replica_message_kind(k->replica);

    if (kind == REPLICA_INFO)
        return kind;
    if (replica_ready(k->replica) &&
        (k->work > 0 || (k->tick_due && !k->tick_sent)))
        return REPLICA_INFO;
    return kind;
}

/* The next handle that something is to be done for. */
static struct handle *work_next(struct ckpt *k)
{
    for (;; k->look++) {
        if (k->look >= k->never_used)
            k->look = 0;
        if (is_work(k->handles[k->look].state))
            return &k->handles[k->look];
    }
}

static size_t work_write(struct ckpt *k, int64_t now_ns, uint8_t *to)
{
    struct handle *h = work_next(k);
    uint32_t handle = (uint32_t)(h - k->handles);
    struct writer w;

    if (h->state == HANDLE_CLOSE) {
        w = op_begin(k, to, IPC_SUBMIT_CKPT_CLOSE, NO_CLIENT, 0, now_ns);
        write_u64(&w, h->number);
        write_u32(&w, handle);
        handle_state(k, h, HANDLE_CLOSING);
    } else {
        w = op_begin(k, to, OP_REOPEN, NO_CLIENT, 0, now_ns);
        write_u32(&w, handle);
        write_key(&w, bytes_of(h->name, h->name_size));
        handle_state(k, h, HANDLE_REOPENING);
    }
    return op_end(&w);
}

/* If there is more than it has room for, the next one follows. */
static size_t tick_write(struct ckpt *k, int64_t now_ns, uint8_t *to)
{
    struct writer w = op_begin(k, to, OP_TICK, NO_CLIENT, 0, now_ns);
    struct ckpt_due due[OP_TICK_ITEMS_MAX];
    uint32_t count =
        ckpt_due_list(&k->store, now_ns, now_ns, due, OP_TICK_ITEMS_MAX);

    k->tick_due = false;
    k->tick_sent = true;
    for (uint32_t i = 0; i < count; i++) {
        write_u64(&w, due[i].checkpoint);
        write_u64(&w, due[i].section);
    }
    return op_end(&w);
}

size_t ckpt_message_write(struct ckpt *k, int64_t now_ns, uint8_t *to)
{
    CHECK(ckpt_message_kind(k) != REPLICA_NOTHING);
    if (replica_message_kind(k->replica) == REPLICA_INFO ||
        !replica_ready(k->replica))
        return replica_message_write(k->replica, to);
    if (k->work > 0)
        return work_write(k, now_ns, to);
    if (!k->tick_due || k->tick_sent)
        return replica_message_write(k->replica, to);
    return tick_write(k, now_ns, to);
}

int64_t ckpt_wake_ns(const struct ckpt *k)
{
    int64_t retention_ns = ckpt_retention_first(&k->store);
    int64_t expiry_ns = ckpt_expiry_first(&k->store);

    if (!k->ticks || k->tick_sent || k->tick_due || !replica_ready(k->replica))
        return INT64_MAX;
    return retention_ns < expiry_ns ? retention_ns : expiry_ns;
}

void ckpt_time(struct ckpt *k, int64_t now_ns)
{
    if (ckpt_wake_ns(k) <= now_ns)
        k->tick_due = true;
}

/* --- readers -------------------------------------------------------------- */

enum ipc_error ckpt_lookup(const struct ckpt *k, uint32_t client,
                           uint32_t handle, struct ckpt_checkpoint **c)
{
    const struct handle *h;
    uint32_t flags;

    if (!atomic_load_explicit(&k->whole, memory_order_acquire))
        return IPC_ERR_TRY_AGAIN;
    if (handle >= CKPT_HANDLES_MAX ||
        owner_of(&k->handles[handle]) != client + 1)
        return IPC_ERR_BAD_HANDLE;
    h = &k->handles[handle];
    *c = named_by(h);
    if (*c == NULL)
        return atomic_load_explicit(&h->gone, memory_order_relaxed)
                   ? IPC_ERR_NOT_EXIST
                   : IPC_ERR_TRY_AGAIN;
    flags = (*c)->attributes.creation_flags;
    if ((flags & IPC_CKPT_COLLOCATED) != 0 &&
        (flags & IPC_CKPT_WR_ALL_REPLICAS) == 0 &&
        atomic_load_explicit(&(*c)->active, memory_order_relaxed) == 0)
        return IPC_ERR_NOT_EXIST;
    return IPC_OK;
}

const struct ckpt_store *ckpt_store(const struct ckpt *k)
{
    return &k->store;
}

/* --- memory, tests -------------------------------------------------------- */

uint64_t ckpt_garbage_bytes(const struct ckpt *k)
{
    return k->store.memory.garbage_bytes;
}

uint64_t ckpt_unfreed_bytes(const struct ckpt *k)
{
    return k->store.memory.garbage_bytes + k->store.memory.away_bytes +
           k->store.deleted_bytes;
}

bool ckpt_clean(struct ckpt *k, uint32_t count)
{
    bool sweeps = ckpt_store_sweep(&k->store, count);

    return ckpt_memory_free_some(&k->store.memory, count) || sweeps;
}

struct ckpt_item *ckpt_garbage_take(struct ckpt *k)
{
    return ckpt_memory_garbage_take(&k->store.memory);
}

void ckpt_garbage_return(struct ckpt *k, struct ckpt_item *garbage)
{
    ckpt_memory_garbage_return(&k->store.memory, garbage);
}

const struct replica *ckpt_replica(const struct ckpt *k)
{
    return k->replica;
}

struct ckpt_stats ckpt_stats_get(const struct ckpt *k)
{
    return (struct ckpt_stats){.checkpoints = k->store.checkpoint_count,
                               .handles = k->handles_used,
                               .bytes = k->store.bytes,
                               .applied = k->applied,
                               .failed = k->failed,
                               .ticks = k->tick_count};
}
