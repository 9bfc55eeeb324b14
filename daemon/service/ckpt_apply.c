/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_apply.c - what operations do to the checkpoints. The same on all nodes;
 * where a node has only part of them (op->whole is false), an operation has
 * succeeded elsewhere, and does here what it does to that part: what is not
 * here is left out, and nothing is created where not all before it is here. */
#include "daemon/service/ckpt_internal.h"

/* An operation while it is applied. */
struct work {
    struct ckpt *k;
    const struct replica_op *op;
    struct op_head head;
    struct reader r; /* behind the head */
    bool own;
    struct ipc_ckpt_reply reply;
};

/* --- reading -------------------------------------------------------------- */

void ckpt_write_head(struct writer *w, const struct op_head *head)
{
    write_u8(w, head->op);
    write_u32(w, head->client);
    write_u64(w, head->id);
    write_u64(w, (uint64_t)head->now_ns);
}

static void read_head(struct reader *r, struct op_head *head)
{
    head->op = read_u8(r);
    head->client = read_u32(r);
    head->id = read_u64(r);
    head->now_ns = (int64_t)read_u64(r);
}

void ckpt_write_attributes(struct writer *w,
                           const struct ipc_ckpt_attributes *a)
{
    write_u32(w, a->creation_flags);
    write_u32(w, a->section_max);
    write_u64(w, a->checkpoint_size);
    write_u64(w, (uint64_t)a->retention_ns);
    write_u64(w, a->section_size_max);
    write_u64(w, a->section_id_size_max);
}

bool ckpt_read_attributes(struct reader *r, struct ipc_ckpt_attributes *a)
{
    a->creation_flags = read_u32(r);
    a->section_max = read_u32(r);
    a->checkpoint_size = read_u64(r);
    a->retention_ns = (int64_t)read_u64(r);
    a->section_size_max = read_u64(r);
    a->section_id_size_max = read_u64(r);
    return !r->failed && a->section_max > 0 && a->retention_ns >= 0;
}

/* A name or an id of at most `max` bytes, behind its length. */
static struct bytes read_key(struct reader *r, size_t max)
{
    size_t n = read_u16(r);

    if (n > max)
        r->failed = true;
    return read_bytes(r, n);
}

/* --- checkpoints ---------------------------------------------------------- */

static struct ckpt_checkpoint *checkpoint_of(struct work *w, uint64_t number)
{
    struct ckpt_checkpoint *c =
        number == 0 ? NULL : ckpt_store_next(&w->k->store, number - 1);

    return c != NULL && c->number == number ? c : NULL;
}

static bool has_active(const struct ckpt_checkpoint *c)
{
    uint32_t flags = c->attributes.creation_flags;

    return (flags & IPC_CKPT_COLLOCATED) == 0 ||
           (flags & IPC_CKPT_WR_ALL_REPLICAS) != 0 ||
           atomic_load_explicit(&c->active, memory_order_relaxed) != 0;
}

static bool is_unlinked(const struct ckpt_checkpoint *c)
{
    return atomic_load_explicit(&c->unlinked, memory_order_relaxed);
}

static struct ckpt_ref *ref_of(struct ckpt_checkpoint *c, uint32_t node_id)
{
    for (uint32_t i = 0; i < c->ref_count; i++)
        if (c->refs[i].node_id == node_id)
            return &c->refs[i];
    return NULL;
}

/* False: no room, so whoever gave us this state did not tell the truth about
 * others. */
static bool ref_add(struct ckpt_checkpoint *c, uint32_t node_id)
{
    struct ckpt_ref *ref = ref_of(c, node_id);

    if (ref == NULL) {
        if (c->ref_count == STORE_NODES_MAX)
            return false;
        ref = &c->refs[c->ref_count++];
        *ref = (struct ckpt_ref){.node_id = node_id};
    }
    ref->count++;
    return true;
}

/* The node has no handle of it any more. */
static void ref_remove(struct ckpt *k, struct ckpt_checkpoint *c,
                       struct ckpt_ref *ref)
{
    if (atomic_load_explicit(&c->active, memory_order_relaxed) ==
        ref->node_id) {
        atomic_store_explicit(&c->active, 0, memory_order_relaxed);
        ckpt_store_epoch_next(&k->store); /* nobody may read it now */
    }
    *ref = c->refs[--c->ref_count];
}

static void checkpoint_delete(struct ckpt *k, struct ckpt_checkpoint *c)
{
    ckpt_user_give_back(&k->users, c->creator, CKPT_CHECKPOINT);
    ckpt_store_delete(&k->store, c);
}

/* Nobody may have it open any more: then it goes, or its time begins with the
 * next tick. */
static void look_whether_used(struct ckpt *k, struct ckpt_checkpoint *c)
{
    if (c->ref_count > 0)
        return;
    if (is_unlinked(c) ||
        atomic_load_explicit(&c->retention_ns, memory_order_relaxed) <
            CKPT_RETENTION_MIN_NS)
        checkpoint_delete(k, c);
    else
        ckpt_due_set(&k->store, c, INT64_MIN);
}

static bool same_attributes(const struct ipc_ckpt_attributes *a,
                            const struct ipc_ckpt_attributes *b)
{
    return a->creation_flags == b->creation_flags &&
           a->section_max == b->section_max &&
           a->checkpoint_size == b->checkpoint_size &&
           a->section_size_max == b->section_size_max &&
           a->section_id_size_max == b->section_id_size_max;
}

static struct ckpt_section *section_create(struct ckpt *k,
                                           struct ckpt_checkpoint *c,
                                           struct bytes id,
                                           const struct ckpt_change *change)
{
    struct ckpt_section *s =
        ckpt_section_create(&k->store, c, c->next_section++, id);

    ckpt_section_change(&k->store, c, s, change);
    return s;
}

static struct ckpt_checkpoint *
checkpoint_create(struct work *w, struct bytes name,
                  const struct ipc_ckpt_attributes *a)
{
    struct ckpt *k = w->k;
    struct ckpt_checkpoint *c =
        ckpt_store_create(&k->store, k->next_checkpoint++, name, a);

    c->creator = w->own ? ckpt_own_user(k, &w->head) : 0;
    ckpt_user_take(&k->users, c->creator, CKPT_CHECKPOINT);
    if (a->section_max == 1)
        section_create(k, c, bytes_of(NULL, 0),
                       &(struct ckpt_change){.now_ns = w->head.now_ns,
                                             .expiration_ns = INT64_MAX});
    return c;
}

static uint32_t may_create(const struct ckpt *k)
{
    if (k->store.checkpoint_count >= k->checkpoint_max)
        return IPC_ERR_NO_RESOURCES;
    return k->store.bytes + STORE_CHECKPOINT_BYTES + STORE_SECTION_BYTES >
                   k->bytes_max
               ? IPC_ERR_NO_MEMORY
               : IPC_OK;
}

/* --- operations on checkpoints: each gives its result --------------------- */

static uint32_t op_open(struct work *w)
{
    uint32_t flags = read_u32(&w->r);
    struct ipc_ckpt_attributes a;
    struct ckpt *k = w->k;
    bool create = (flags & IPC_CKPT_CREATE) != 0;
    bool attributes_ok = ckpt_read_attributes(&w->r, &a);
    struct bytes name = read_key(&w->r, IPC_CKPT_NAME_SIZE_MAX);
    struct ckpt_checkpoint *c;
    uint32_t result;

    if (!reader_done(&w->r) || (create && !attributes_ok))
        return IPC_ERR_LIBRARY;
    c = ckpt_store_find(&k->store, name);
    if (c == NULL) {
        if (w->op->whole ? !create : !k->checkpoints_here)
            return IPC_ERR_NOT_EXIST;
        result = w->op->whole ? may_create(k) : IPC_OK;
        if (result != IPC_OK)
            return result;
        c = checkpoint_create(w, name, &a);
    } else if (create && w->op->whole && !same_attributes(&a, &c->attributes)) {
        return IPC_ERR_EXIST;
    }
    if (!ref_add(c, w->op->sender))
        return IPC_ERR_NO_RESOURCES;
    ckpt_due_set(&k->store, c, INT64_MAX);
    if (w->own)
        ckpt_own_opened(k, &w->head, c, &w->reply);
    return IPC_OK;
}

/* The handle is the sender's. */
static uint32_t op_reopen(struct work *w)
{
    uint32_t handle = read_u32(&w->r);
    struct bytes name = read_key(&w->r, IPC_CKPT_NAME_SIZE_MAX);
    struct ckpt_checkpoint *c;

    if (!reader_done(&w->r))
        return IPC_ERR_LIBRARY;
    c = ckpt_store_find(&w->k->store, name);
    if (c != NULL && !ref_add(c, w->op->sender))
        c = NULL;
    if (c != NULL)
        ckpt_due_set(&w->k->store, c, INT64_MAX);
    if (w->own)
        ckpt_own_reopened(w->k, handle, c);
    return c != NULL ? IPC_OK : IPC_ERR_NOT_EXIST;
}

static uint32_t op_close(struct work *w)
{
    struct ckpt_checkpoint *c = checkpoint_of(w, read_u64(&w->r));
    uint32_t handle = read_u32(&w->r);
    struct ckpt_ref *ref;

    if (!reader_done(&w->r))
        return IPC_ERR_LIBRARY;
    if (w->own)
        ckpt_own_closed(w->k, handle);
    ref = c == NULL ? NULL : ref_of(c, w->op->sender);
    if (ref == NULL)
        return IPC_ERR_NOT_EXIST;
    if (--ref->count == 0)
        ref_remove(w->k, c, ref);
    look_whether_used(w->k, c);
    return IPC_OK;
}

static uint32_t op_unlink(struct work *w)
{
    struct bytes name = read_key(&w->r, IPC_CKPT_NAME_SIZE_MAX);
    struct ckpt_checkpoint *c;

    if (!reader_done(&w->r))
        return IPC_ERR_LIBRARY;
    c = ckpt_store_find(&w->k->store, name);
    if (c == NULL)
        return IPC_ERR_NOT_EXIST;
    ckpt_store_unlink(&w->k->store, c);
    look_whether_used(w->k, c);
    return IPC_OK;
}

static uint32_t op_retention_set(struct work *w)
{
    struct ckpt_checkpoint *c = checkpoint_of(w, read_u64(&w->r));
    int64_t retention_ns = (int64_t)read_u64(&w->r);

    if (!reader_done(&w->r) || retention_ns < 0)
        return IPC_ERR_LIBRARY;
    if (c == NULL)
        return IPC_ERR_NOT_EXIST;
    if (is_unlinked(c))
        return IPC_ERR_BAD_OPERATION;
    atomic_store_explicit(&c->retention_ns, retention_ns, memory_order_relaxed);
    return IPC_OK;
}

static uint32_t op_active_set(struct work *w)
{
    struct ckpt_checkpoint *c = checkpoint_of(w, read_u64(&w->r));
    uint32_t flags;

    if (!reader_done(&w->r))
        return IPC_ERR_LIBRARY;
    if (c == NULL)
        return IPC_ERR_NOT_EXIST;
    flags = c->attributes.creation_flags;
    if ((flags & IPC_CKPT_COLLOCATED) == 0 ||
        (flags & IPC_CKPT_WR_ALL_REPLICAS) != 0)
        return IPC_ERR_BAD_OPERATION;
    atomic_store_explicit(&c->active, w->op->sender, memory_order_relaxed);
    return IPC_OK;
}

/* It comes when all nodes have all that was before it; see ckpt_is_safe(). */
static uint32_t op_synchronize(struct work *w)
{
    struct ckpt_checkpoint *c = checkpoint_of(w, read_u64(&w->r));

    if (!reader_done(&w->r))
        return IPC_ERR_LIBRARY;
    return c != NULL && has_active(c) ? IPC_OK : IPC_ERR_NOT_EXIST;
}

/* --- operations on sections ----------------------------------------------- */

/* A section operation: its elements, then their data. */
struct section_op {
    struct ckpt_checkpoint *c; /* NULL: not here */
    int64_t expiration_ns;
    uint32_t count;
    struct element elements[ELEMENTS_MAX];
};

static bool read_section_op(struct work *w, struct section_op *s)
{
    uint64_t number = read_u64(&w->r), size = 0;

    s->expiration_ns = (int64_t)read_u64(&w->r);
    s->count = read_u16(&w->r);
    if (w->r.failed || s->count == 0 || s->count > ELEMENTS_MAX)
        return false;
    for (uint32_t i = 0; i < s->count; i++) {
        struct element *e = &s->elements[i];
        e->offset = read_u64(&w->r);
        e->size = read_u32(&w->r);
        e->id = read_key(&w->r, IPC_CKPT_SECTION_ID_SIZE_MAX);
        size += e->size;
    }
    if (w->r.failed || w->r.left != size)
        return false;
    s->c = checkpoint_of(w, number);
    return true;
}

/* The section that an element names, or why not. */
static uint32_t element_section(const struct work *w,
                                const struct section_op *s, uint32_t i,
                                struct ckpt_section **section)
{
    const struct element *e = &s->elements[i];
    uint64_t size_max = s->c->attributes.section_size_max;

    *section = ckpt_section_find(&w->k->store, s->c, e->id);
    if (*section == NULL)
        return IPC_ERR_NOT_EXIST;
    return e->offset > size_max || e->size > size_max - e->offset
               ? IPC_ERR_INVALID_PARAM
               : IPC_OK;
}

static uint64_t size_after(const struct work *w, const struct element *e,
                           const struct ckpt_section *section)
{
    uint64_t size = ckpt_content_get(section)->size, end = e->offset + e->size;

    return w->head.op == IPC_SUBMIT_CKPT_OVERWRITE || end > size ? end : size;
}

/* By how much a section grows from one size to another. */
static uint64_t growth(uint64_t before, uint64_t after)
{
    return after > before ? after - before : 0;
}

/* Bytes that there may be more; it may be too many by now. */
static uint64_t room_of(const struct ckpt *k)
{
    return k->store.bytes < k->bytes_max ? k->bytes_max - k->store.bytes : 0;
}

/* All elements or none: is it possible? Each is counted as if it was alone.
 * Compared with what is left, so that no sum wraps: a section may be allowed to
 * have any size. */
static uint32_t may_write(struct work *w, const struct section_op *s)
{
    uint64_t room = room_of(w->k);

    for (uint32_t i = 0; i < s->count; i++) {
        struct ckpt_section *section;
        uint32_t result = element_section(w, s, i, &section);
        w->reply.reply.done = i;
        if (result != IPC_OK)
            return result;
        uint64_t more = growth(ckpt_content_get(section)->size,
                               size_after(w, &s->elements[i], section));
        if (more > room)
            return IPC_ERR_NO_MEMORY;
        room -= more;
    }
    w->reply.reply.done = 0;
    return IPC_OK;
}

/* All elements from `first` on that are of its section, as one change; they are
 * then done with. */
static void write_one(const struct work *w, const struct section_op *s,
                      uint32_t first, struct ckpt_section **sections,
                      const struct bytes *data)
{
    struct ckpt_section *section = sections[first];
    const struct ckpt_content *content = ckpt_content_get(section);
    struct ckpt_run runs[ELEMENTS_MAX];
    struct ckpt_change change = {.size = content->size,
                                 .now_ns = w->head.now_ns,
                                 .expiration_ns = content->expiration_ns,
                                 .runs = runs};

    for (uint32_t i = first; i < s->count; i++) {
        const struct element *e = &s->elements[i];
        uint64_t end = e->offset + e->size;
        if (sections[i] != section)
            continue;
        sections[i] = NULL;
        if (w->head.op == IPC_SUBMIT_CKPT_OVERWRITE || end > change.size)
            change.size = end;
        runs[change.run_count++] = (struct ckpt_run){e->offset, data[i]};
    }
    ckpt_section_change(&w->k->store, s->c, section, &change);
}

/* WRITE and OVERWRITE. Readers see all that a call does to a section, or
 * nothing of it. */
static uint32_t op_write(struct work *w, const struct section_op *s)
{
    uint32_t result = w->op->whole ? may_write(w, s) : IPC_OK;
    struct ckpt_section *sections[ELEMENTS_MAX];
    struct bytes data[ELEMENTS_MAX];

    if (result != IPC_OK)
        return result;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct element *e = &s->elements[i];
        data[i] = read_bytes(&w->r, e->size);
        /* Not here yet, or it has not really succeeded. */
        if (element_section(w, s, i, &sections[i]) != IPC_OK ||
            growth(ckpt_content_get(sections[i])->size,
                   size_after(w, e, sections[i])) > room_of(w->k))
            sections[i] = NULL;
    }
    for (uint32_t i = 0; i < s->count; i++)
        if (sections[i] != NULL)
            write_one(w, s, i, sections, data);
    return IPC_OK;
}

enum { MADE_ID_SIZE_MAX = 16, MADE_ID_TRIES = 1000 };

/* An id from the section's number: hexadecimal, and longer where a client has
 * taken that already. 0: there is none of a size that is allowed. */
static uint16_t make_id(const struct work *w, const struct section_op *s,
                        uint8_t id[MADE_ID_SIZE_MAX])
{
    static const uint8_t digits[] = "0123456789abcdef";
    uint64_t size_max = s->c->attributes.section_id_size_max;

    for (uint64_t n = s->c->next_section, i = 0; i < MADE_ID_TRIES; n++, i++) {
        uint16_t size = 0;
        for (uint64_t rest = n; rest > 0; rest >>= 4)
            size++;
        if (size > size_max)
            return 0;
        for (uint16_t j = 0; j < size; j++)
            id[size - 1 - j] = digits[n >> (4 * j) & 15];
        if (ckpt_section_find(&w->k->store, s->c, bytes_of(id, size)) == NULL)
            return size;
    }
    return 0;
}

static uint32_t may_create_section(const struct work *w,
                                   const struct section_op *s)
{
    const struct ipc_ckpt_attributes *a = &s->c->attributes;
    const struct element *e = &s->elements[0];

    if (e->size > a->section_size_max || e->id.n > a->section_id_size_max)
        return IPC_ERR_INVALID_PARAM;
    if (a->section_max == 1)
        return IPC_ERR_EXIST;
    if (e->id.n > 0 && ckpt_section_find(&w->k->store, s->c, e->id) != NULL)
        return IPC_ERR_EXIST;
    if (atomic_load_explicit(&s->c->section_count, memory_order_relaxed) >=
        a->section_max)
        return IPC_ERR_NO_SPACE;
    return w->k->store.bytes + STORE_SECTION_BYTES + e->size > w->k->bytes_max
               ? IPC_ERR_NO_MEMORY
               : IPC_OK;
}

static uint32_t op_section_create(struct work *w, const struct section_op *s)
{
    uint32_t result = w->op->whole ? may_create_section(w, s) : IPC_OK;
    const struct element *e = &s->elements[0];
    struct bytes id = e->id;
    uint8_t made[MADE_ID_SIZE_MAX];

    if (result != IPC_OK)
        return result;
    if (!s->c->sections_here)
        return IPC_OK;
    if (id.n == 0) {
        id = bytes_of(made, make_id(w, s, made));
        if (id.n == 0)
            return IPC_ERR_NO_SPACE;
        w->reply.id_length = (uint16_t)id.n;
        memcpy(w->reply.id, id.p, id.n);
    }
    section_create(
        w->k, s->c, id,
        &(struct ckpt_change){
            .size = e->size,
            .now_ns = w->head.now_ns,
            .expiration_ns = s->expiration_ns,
            .runs = &(struct ckpt_run){.data = read_bytes(&w->r, e->size)},
            .run_count = 1});
    return IPC_OK;
}

/* The section that the operation names, which is not the default section. */
static uint32_t named_section(const struct work *w, const struct section_op *s,
                              struct ckpt_section **section)
{
    return s->elements[0].id.n == 0 ? IPC_ERR_INVALID_PARAM
                                    : element_section(w, s, 0, section);
}

static uint32_t op_section_delete(struct work *w, const struct section_op *s)
{
    struct ckpt_section *section;
    uint32_t result = named_section(w, s, &section);

    if (result == IPC_OK)
        ckpt_section_delete(&w->k->store, s->c, section);
    return result;
}

static uint32_t op_expiration_set(struct work *w, const struct section_op *s)
{
    const struct ckpt_content *content;
    struct ckpt_section *section;
    uint32_t result = named_section(w, s, &section);

    if (result != IPC_OK)
        return result;
    content = ckpt_content_get(section);
    ckpt_section_change(
        &w->k->store, s->c, section,
        &(struct ckpt_change){.size = content->size,
                              .now_ns = content->last_update_ns,
                              .expiration_ns = s->expiration_ns});
    return IPC_OK;
}

static uint32_t op_section(struct work *w)
{
    struct section_op s;

    if (!read_section_op(w, &s) ||
        (s.count > 1 && w->head.op != IPC_SUBMIT_CKPT_WRITE))
        return IPC_ERR_LIBRARY;
    if (s.c == NULL || (w->op->whole && !has_active(s.c)))
        return IPC_ERR_NOT_EXIST;
    switch (w->head.op) {
    case IPC_SUBMIT_CKPT_SECTION_CREATE:
        return op_section_create(w, &s);
    case IPC_SUBMIT_CKPT_SECTION_DELETE:
        return op_section_delete(w, &s);
    case IPC_SUBMIT_CKPT_EXPIRATION_SET:
        return op_expiration_set(w, &s);
    default:
        return op_write(w, &s);
    }
}

/* --- time ----------------------------------------------------------------- */

static int64_t later(int64_t now_ns, int64_t by_ns)
{
    return by_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + by_ns;
}

/* Is it still due? Then it goes, or its time begins. */
static void expire(struct ckpt *k, struct ckpt_checkpoint *c, int64_t now_ns)
{
    if (c->due_ns == INT64_MIN)
        ckpt_due_set(&k->store, c,
                     later(now_ns, atomic_load_explicit(&c->retention_ns,
                                                        memory_order_relaxed)));
    else if (c->due_ns <= now_ns)
        checkpoint_delete(k, c);
}

static void expire_section(struct ckpt *k, struct ckpt_checkpoint *c,
                           uint64_t number, int64_t now_ns)
{
    struct ckpt_section *s = ckpt_section_next(c, number - 1);

    if (s != NULL && s->number == number &&
        ckpt_content_get(s)->expiration_ns <= now_ns)
        ckpt_section_delete(&k->store, c, s);
}

/* It names what its sender knew to be due, so that all do the same, and no more
 * at a time than it has room for. */
static uint32_t op_tick(struct work *w)
{
    int64_t time_ns = (int64_t)read_u64(&w->r);
    struct ckpt_clock *clock = &w->k->clock;

    if (w->r.failed || w->r.left % OP_TICK_ITEM_SIZE != 0 ||
        !ckpt_clock_advance(clock, time_ns))
        return IPC_ERR_LIBRARY;
    if (w->own) {
        w->k->tick_sent = false;
        w->k->tick_count++;
    }
    while (w->r.left > 0) {
        struct ckpt_checkpoint *c = checkpoint_of(w, read_u64(&w->r));
        uint64_t section = read_u64(&w->r);
        if (c == NULL)
            continue;
        if (section == 0)
            expire(w->k, c, clock->time_ns);
        else if (ckpt_clock_is_near(clock, w->op->sender))
            expire_section(w->k, c, section, w->head.now_ns);
    }
    return IPC_OK;
}

/* The sender's clock was set. */
static uint32_t op_clock(struct work *w)
{
    int64_t by_ns = (int64_t)read_u64(&w->r);

    if (!reader_done(&w->r))
        return IPC_ERR_LIBRARY;
    ckpt_clock_stepped(&w->k->clock, w->op->sender, by_ns);
    if (w->own)
        w->k->clock.step_sent = false;
    return IPC_OK;
}

/* --- all ------------------------------------------------------------------ */

static uint32_t apply(struct work *w)
{
    switch (w->head.op) {
    case OP_TICK:
        return op_tick(w);
    case OP_CLOCK:
        return op_clock(w);
    case OP_REOPEN:
        return op_reopen(w);
    case IPC_SUBMIT_CKPT_OPEN:
        return op_open(w);
    case IPC_SUBMIT_CKPT_CLOSE:
        return op_close(w);
    case IPC_SUBMIT_CKPT_UNLINK:
        return op_unlink(w);
    case IPC_SUBMIT_CKPT_RETENTION_SET:
        return op_retention_set(w);
    case IPC_SUBMIT_CKPT_ACTIVE_SET:
        return op_active_set(w);
    case IPC_SUBMIT_CKPT_SYNCHRONIZE:
        return op_synchronize(w);
    case IPC_SUBMIT_CKPT_SECTION_CREATE:
    case IPC_SUBMIT_CKPT_SECTION_DELETE:
    case IPC_SUBMIT_CKPT_EXPIRATION_SET:
    case IPC_SUBMIT_CKPT_WRITE:
    case IPC_SUBMIT_CKPT_OVERWRITE:
        return op_section(w);
    default:
        return IPC_ERR_LIBRARY;
    }
}

bool ckpt_apply(void *context, const struct replica_op *op)
{
    struct ckpt *k = context;
    struct work w = {.k = k, .op = op, .r = reader_of(op->data)};
    uint32_t result;

    read_head(&w.r, &w.head);
    /* Who is not whole has nothing under way. */
    w.own = op->whole && op->sender == k->config.node_id;
    result = w.r.failed ? IPC_ERR_LIBRARY : apply(&w);
    k->applied++;
    k->failed += result != IPC_OK;
    ckpt_store_sweep(&k->store, SWEPT_PER_OP);
    if (w.own && w.head.client != NO_CLIENT) {
        /* The operation may have succeeded, and only this client have no use
         * of it. */
        if (result != IPC_OK || w.reply.reply.result == 0)
            w.reply.reply.result = result;
        ckpt_own_done(k, &w.head, &w.reply);
    }
    return result == IPC_OK;
}

/* --- members -------------------------------------------------------------- */

static bool goes_on(const struct replica_members *m, uint32_t node_id)
{
    for (uint32_t i = 0; i < m->going_on_count; i++)
        if (m->going_on[i] == node_id)
            return true;
    return false;
}

/* What the members say: the lowest of what they allow counts, and what most of
 * their clocks show. */
static void members_say(struct ckpt *k, const struct replica_members *m)
{
    k->bytes_max = UINT64_MAX;
    k->checkpoint_max = UINT32_MAX;
    ckpt_clock_members_begin(&k->clock, m);
    for (uint32_t i = 0; i < m->all_count; i++) {
        struct reader r = reader_of(m->hellos[i]);
        uint64_t bytes_max = read_u64(&r);
        uint32_t checkpoint_max = read_u32(&r);
        int64_t wall_ns = (int64_t)read_u64(&r);
        if (r.failed)
            continue;
        if (bytes_max < k->bytes_max)
            k->bytes_max = bytes_max;
        if (checkpoint_max < k->checkpoint_max)
            k->checkpoint_max = checkpoint_max;
        ckpt_clock_member_says(&k->clock, i, wall_ns);
    }
    ckpt_clock_compare(&k->clock);
}

void ckpt_members(void *context, const struct replica_members *m)
{
    struct ckpt *k = context;
    struct ckpt_checkpoint *c;
    uint64_t number = 0;

    members_say(k, m);
    k->tick_sent = false;
    while ((c = ckpt_store_next(&k->store, number)) != NULL) {
        uint32_t before = c->ref_count;
        number = c->number;
        for (uint32_t i = c->ref_count; i-- > 0;)
            if (!goes_on(m, c->refs[i].node_id))
                ref_remove(k, c, &c->refs[i]);
        if (c->ref_count < before)
            look_whether_used(k, c);
    }
    /* Those who come, and who may tick after this node, are to know the time.
     */
    k->tick_due |=
        k->clock.ticks && ckpt_retention_first(&k->store) != INT64_MAX;
}
