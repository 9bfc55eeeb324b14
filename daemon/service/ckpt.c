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

bool ckpt_handle_is_work(enum handle_state state)
{
    return state == HANDLE_REOPEN || state == HANDLE_CLOSE;
}

void ckpt_handle_state(struct ckpt *k, struct handle *h,
                       enum handle_state state)
{
    k->work -= ckpt_handle_is_work(h->state);
    k->reopening -= h->state == HANDLE_REOPEN || h->state == HANDLE_REOPENING;
    h->state = state;
    k->work += ckpt_handle_is_work(state);
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
    ckpt_user_give_back(&k->users, h->user, CKPT_HANDLE);
    h->user = 0;
    ckpt_handle_state(k, h, HANDLE_FREE);
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
    return replica_new(
        &(struct replica_config){.node_id = k->config.node_id,
                                 .incarnation = k->config.incarnation,
                                 .service = &service,
                                 .context = k});
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
    ckpt_clock_init(&k->clock, config->node_id);
    k->pending = calloc(config->client_max, sizeof *k->pending);
    k->client_handles = calloc(config->client_max, sizeof *k->client_handles);
    k->handles = calloc(CKPT_HANDLES_MAX, sizeof *k->handles);
    k->replica = replica_open(k);
    ckpt_store_init(&k->store, config->hash_seed, config->arena,
                    config->arena_size);
    if (!ckpt_users_init(&k->users, config->client_max) || k->pending == NULL ||
        k->client_handles == NULL || k->handles == NULL || k->replica == NULL) {
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
    ckpt_users_deinit(&k->users);
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
            ckpt_handle_state(k, h, HANDLE_CLOSE);
        else if (h->state == HANDLE_REOPENING)
            ckpt_handle_state(k, h, HANDLE_REOPEN);
    }
    k->tick_due |= k->tick_sent;
    k->tick_sent = k->clock.step_sent = false;
    k->opening = 0;
    ckpt_users_forget(&k->users, CKPT_OPENING);
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
            ckpt_handle_state(k, h, unlinked ? HANDLE_GONE : HANDLE_REOPEN);
        } else if (h->state == HANDLE_REOPENING) {
            ckpt_handle_state(k, h, HANDLE_REOPEN);
        }
    }
}

static void reset(void *context)
{
    struct ckpt *k = context;

    atomic_store_explicit(&k->whole, false, memory_order_relaxed);
    remember_names(k);
    ckpt_store_delete_all(&k->store);
    ckpt_users_forget(&k->users, CKPT_CHECKPOINT);
    k->next_checkpoint = 1;
    k->checkpoints_here = false;
    ckpt_clock_reset(&k->clock);
    k->tick_sent = false;
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
    h->user = ckpt_own_user(k, head);
    ckpt_user_take(&k->users, h->user, CKPT_HANDLE);
    if (is_awaited(k, head)) {
        owner_set(h, head->client + 1);
        list_push(k, &k->client_handles[head->client], place);
        handle_name(h, c);
        ckpt_handle_state(k, h, HANDLE_OPEN);
        opened(k, place - 1, c, reply);
    } else {
        ckpt_handle_state(k, h, HANDLE_CLOSE); /* it is gone meanwhile */
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
        ckpt_handle_state(k, h, HANDLE_CLOSE);
        return;
    }
    if (c != NULL) {
        h->number = c->number;
        handle_name(h, c);
    }
    ckpt_handle_state(k, h, c != NULL ? HANDLE_OPEN : HANDLE_GONE);
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

/* Those that a configuration has made be sent again are not counted before. */
static void opening_end(struct ckpt *k, uint32_t user)
{
    if (k->opening > 0)
        k->opening--;
    if (ckpt_user_has(&k->users, user, CKPT_OPENING) > 0)
        ckpt_user_give_back(&k->users, user, CKPT_OPENING);
}

void ckpt_own_done(struct ckpt *k, const struct op_head *head,
                   const struct ipc_ckpt_reply *reply)
{
    if (head->op == IPC_SUBMIT_CKPT_OPEN)
        opening_end(k, ckpt_own_user(k, head));
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

struct writer ckpt_op_begin(const struct ckpt *k, uint8_t *to,
                            const struct op_head *head)
{
    struct writer w = writer_of(to, CKPT_HEAD_SIZE_MAX);

    replica_op_head(k->replica, write_claim(&w, REPLICA_OP_HEAD_SIZE));
    ckpt_write_head(&w, head);
    return w;
}

static size_t answer(struct ckpt *k, uint32_t client, enum ipc_error result)
{
    outcome_put(k, client,
                &(struct ipc_ckpt_reply){.reply = {.result = result}});
    return 0;
}

/* Has the user as much as it may have? What is on its way counts. */
static bool user_full(const struct ckpt *k, uint32_t user,
                      const struct ipc_ckpt_open *open)
{
    uint32_t opening = ckpt_user_has(&k->users, user, CKPT_OPENING);
    bool creates =
        (open->flags & IPC_CKPT_CREATE) != 0 &&
        ckpt_store_find(&k->store, bytes_of(open->name, open->name_length)) ==
            NULL;

    if (k->config.user_handle_max != 0 &&
        opening + ckpt_user_has(&k->users, user, CKPT_HANDLE) >=
            k->config.user_handle_max)
        return true;
    return creates && k->config.user_checkpoint_max != 0 &&
           opening + ckpt_user_has(&k->users, user, CKPT_CHECKPOINT) >=
               k->config.user_checkpoint_max;
}

static size_t take_open(struct ckpt *k, const struct ckpt_request *r,
                        struct writer w)
{
    struct ckpt_outcome *o = &k->pending[r->client].outcome;
    uint32_t user = k->pending[r->client].user;
    struct ipc_ckpt_open open;

    memcpy(&open, r->head, sizeof open);
    o->async = open.async != 0;
    o->invocation = open.invocation;
    o->flags = open.flags;
    if (!handles_left(k) || (r->uid != 0 && user == 0) ||
        user_full(k, user, &open))
        return answer(k, r->client, IPC_ERR_NO_RESOURCES);
    k->opening++;
    ckpt_user_take(&k->users, user, CKPT_OPENING);
    write_u32(&w, open.flags);
    ckpt_write_attributes(&w, &open.attributes);
    ckpt_write_key(&w, bytes_of(open.name, open.name_length));
    return ckpt_op_end(&w);
}

static size_t take_unlink(const struct ckpt_request *r, struct writer w)
{
    struct ipc_ckpt_unlink u;

    memcpy(&u, r->head, sizeof u);
    ckpt_write_key(&w, bytes_of(u.name, u.name_length));
    return ckpt_op_end(&w);
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
        ckpt_handle_state(k, h, HANDLE_CLOSING);
    }
    return ckpt_op_end(&w);
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
        ckpt_write_key(&w, e.id);
    }
    return ckpt_op_end(&w);
}

size_t ckpt_take(struct ckpt *k, const struct ckpt_request *r, uint8_t *to)
{
    struct pending *p = &k->pending[r->client];
    struct writer w;

    CHECK(ckpt_may_take(k, r->client) && ckpt_request_ok(r));
    p->user = r->type == IPC_SUBMIT_CKPT_OPEN && r->uid != 0
                  ? ckpt_user_find(&k->users, r->uid)
                  : 0;
    p->id = ++k->last_id | (uint64_t)p->user << OP_ID_BITS;
    p->safe = false;
    p->outcome = (struct ckpt_outcome){.client = r->client, .type = r->type};
    w = ckpt_op_begin(k, to,
                      &(struct op_head){.op = (uint8_t)r->type,
                                        .client = r->client,
                                        .id = p->id,
                                        .now_ns = r->now_ns});
    if (is_section_request(r->type))
        return take_section(k, r, w);
    if (r->type == IPC_SUBMIT_CKPT_OPEN)
        return take_open(k, r, w);
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
    if (p->outcome.type == IPC_SUBMIT_CKPT_OPEN)
        opening_end(k, p->user);
    if (p->outcome.type != IPC_SUBMIT_CKPT_CLOSE)
        return;
    h = &k->handles[p->outcome.handle];
    if (gone) {
        if (h->state == HANDLE_CLOSING)
            ckpt_handle_state(k, h, HANDLE_CLOSE);
        return;
    }
    CHECK(h->state == HANDLE_CLOSING);
    owner_set(h, client + 1);
    list_push(k, &k->client_handles[client], p->outcome.handle + 1);
    ckpt_handle_state(k, h, HANDLE_OPEN);
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
            ckpt_handle_state(k, h, HANDLE_CLOSING);
        } else {
            ckpt_handle_state(k, h, HANDLE_CLOSE);
        }
    }
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

struct ckpt_memory *ckpt_memory(struct ckpt *k)
{
    return &k->store.memory;
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
