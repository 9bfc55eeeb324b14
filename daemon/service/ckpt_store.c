/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/ckpt_store.h"

#include "daemon/base/check.h"
#include "daemon/base/hash.h"

static struct ckpt_checkpoint *checkpoint_of(struct ckpt_entry *e)
{
    return (struct ckpt_checkpoint *)(void *)e;
}

static struct ckpt_section *section_of(struct ckpt_entry *e)
{
    return (struct ckpt_section *)(void *)e;
}

_Static_assert(offsetof(struct ckpt_checkpoint, entry) == 0 &&
                   offsetof(struct ckpt_section, entry) == 0,
               "an entry is the beginning of what it is of");

/* --- what is due ---------------------------------------------------------- */

static void expiration_set(struct ckpt_store *s, struct ckpt_checkpoint *c,
                           struct ckpt_section *section, int64_t time_ns)
{
    ckpt_timers_set(&c->expiring, &s->memory, &section->timer, section,
                    time_ns);
    ckpt_timers_set(&s->expiry, &s->memory, &c->expiry_timer, c,
                    ckpt_timers_first(&c->expiring));
}

void ckpt_due_set(struct ckpt_store *s, struct ckpt_checkpoint *c,
                  int64_t time_ns)
{
    c->due_ns = time_ns;
    ckpt_timers_set(&s->retention, &s->memory, &c->retention_timer, c, time_ns);
}

int64_t ckpt_retention_first(const struct ckpt_store *s)
{
    return ckpt_timers_first(&s->retention);
}

int64_t ckpt_expiry_first(const struct ckpt_store *s)
{
    return ckpt_timers_first(&s->expiry);
}

/* What of one checkpoint's sections is due, behind the `count` that are in the
 * list. */
static uint32_t due_sections(const struct ckpt_checkpoint *c, int64_t now_ns,
                             struct ckpt_due *list, uint32_t count,
                             uint32_t max)
{
    const struct ckpt_timer *t = NULL;

    while (count < max &&
           (t = ckpt_timers_due(&c->expiring, t, now_ns)) != NULL)
        list[count++] = (struct ckpt_due){
            c->number, ((const struct ckpt_section *)t->owner)->number};
    return count;
}

uint32_t ckpt_due_list(const struct ckpt_store *s, int64_t retention_ns,
                       int64_t expiry_ns, struct ckpt_due *list, uint32_t max)
{
    const struct ckpt_timer *t = NULL;
    uint32_t count = 0;

    while (count < max &&
           (t = ckpt_timers_due(&s->retention, t, retention_ns)) != NULL)
        list[count++] = (struct ckpt_due){
            ((const struct ckpt_checkpoint *)t->owner)->number, 0};
    t = NULL;
    while (count < max &&
           (t = ckpt_timers_due(&s->expiry, t, expiry_ns)) != NULL)
        count = due_sections(t->owner, expiry_ns, list, count, max);
    return count;
}

/* --- what clients read -----------------------------------------------------
 */

/* Once a slot, always one: a client may look at it at any time. So they come
 * many at a time, and do not stand between what is freed. */
static struct arena_slot *new_slot(struct ckpt_store *s)
{
    enum { BYTES = (1 << 16) - CKPT_MEMORY_HEAD };

    if (s->new_slot_count == 0) {
        void *memory = ckpt_memory_try(&s->memory, BYTES);
        if (memory == NULL || !ckpt_memory_is_shared(&s->memory, memory)) {
            ckpt_memory_free(&s->memory, memory);
            return NULL;
        }
        s->new_slots = memory;
        s->new_slot_count = BYTES / sizeof *s->new_slots;
    }
    s->new_slot_count--;
    return s->new_slots++;
}

static struct arena_slot *slot_get(struct ckpt_store *s)
{
    struct arena_slot *slot = s->free_slots;

    if (slot != NULL) {
        s->free_slots = (struct arena_slot *)(uintptr_t)atomic_load_explicit(
            &slot->content, memory_order_relaxed);
        atomic_store_explicit(&slot->content, 0, memory_order_relaxed);
        return slot;
    }
    slot = new_slot(s);
    if (slot != NULL) {
        atomic_init(&slot->generation, 1);
        atomic_init(&slot->content, 0);
    }
    return slot;
}

static void slot_free(struct ckpt_store *s, struct arena_slot *slot)
{
    if (slot == NULL)
        return;
    /* Release, both: who sees what follows, and looks at the generation again
     * behind an acquire, sees this. */
    atomic_fetch_add_explicit(&slot->generation, 1, memory_order_release);
    atomic_store_explicit(&slot->content, (uintptr_t)s->free_slots,
                          memory_order_release);
    s->free_slots = slot;
}

static void slot_set(const struct ckpt_store *s, struct ckpt_section *section,
                     const struct ckpt_content *content)
{
    if (section->slot == NULL)
        return;
    atomic_store_explicit(
        &section->slot->content,
        ckpt_memory_is_shared(&s->memory, content) ? (uintptr_t)content : 0,
        memory_order_release);
}

uint64_t ckpt_section_slot(const struct ckpt_store *s,
                           const struct ckpt_section *section)
{
    return section->slot == NULL
               ? 0
               : (uint64_t)((const uint8_t *)section->slot - s->memory.arena);
}

void ckpt_store_epoch_next(struct ckpt_store *s)
{
    if (s->arena != NULL)
        atomic_fetch_add_explicit(&s->arena->epoch, 1, memory_order_release);
}

uint64_t ckpt_store_epoch(const struct ckpt_store *s)
{
    return s->arena != NULL
               ? atomic_load_explicit(&s->arena->epoch, memory_order_acquire)
               : 0;
}

/* --- the store ------------------------------------------------------------ */

void ckpt_store_init(struct ckpt_store *s, uint64_t seed, uint8_t *arena,
                     uint64_t arena_size)
{
    *s = (struct ckpt_store){.seed = seed};
    ckpt_memory_init(&s->memory, arena, arena_size);
    s->arena = (struct arena_shared *)(void *)arena;
}

void ckpt_store_deinit(struct ckpt_store *s)
{
    ckpt_store_delete_all(s);
    while (ckpt_store_sweep(s, UINT32_MAX))
        ;
    ckpt_memory_garbage_return(&s->memory,
                               ckpt_memory_garbage_take(&s->memory));
    while (ckpt_memory_free_some(&s->memory, UINT32_MAX))
        ;
}

struct ckpt_checkpoint *ckpt_store_find(const struct ckpt_store *s,
                                        struct bytes name)
{
    struct ckpt_entry *e =
        ckpt_index_find(&s->checkpoints, hash_bytes(s->seed, name));

    for (; e != NULL; e = ckpt_entry_same(e)) {
        struct ckpt_checkpoint *c = checkpoint_of(e);
        if (c->name_size == name.n && memcmp(c->name, name.p, name.n) == 0)
            return c;
    }
    return NULL;
}

struct ckpt_checkpoint *ckpt_store_next(const struct ckpt_store *s,
                                        uint64_t after)
{
    return checkpoint_of(ckpt_index_next(&s->checkpoints, after));
}

struct ckpt_checkpoint *
ckpt_store_create(struct ckpt_store *s, uint64_t number, struct bytes name,
                  const struct ipc_ckpt_attributes *attributes)
{
    struct ckpt_checkpoint *c = ckpt_memory_get(&s->memory, sizeof *c);

    CHECK(name.n <= sizeof c->name);
    memset(c, 0, sizeof *c);
    c->number = number;
    c->entry.hash = hash_bytes(s->seed, name);
    c->attributes = *attributes;
    c->name_size = (uint16_t)name.n;
    memcpy(c->name, name.p, name.n);
    atomic_init(&c->retention_ns, attributes->retention_ns);
    c->next_section = 1;
    c->sections_here = true;
    c->due_ns = INT64_MAX;
    s->checkpoint_count++;
    s->bytes += STORE_CHECKPOINT_BYTES;
    ckpt_index_add(&s->checkpoints, &s->memory, &c->entry);
    return c;
}

uint64_t ckpt_store_last(const struct ckpt_store *s)
{
    return s->checkpoints.last;
}

uint64_t ckpt_section_last(const struct ckpt_checkpoint *c)
{
    return c->sections.last;
}

void ckpt_store_unlink(struct ckpt_store *s, struct ckpt_checkpoint *c)
{
    if (atomic_load_explicit(&c->unlinked, memory_order_relaxed))
        return;
    atomic_store_explicit(&c->unlinked, true, memory_order_relaxed);
    ckpt_index_hide(&s->checkpoints, &s->memory, &c->entry);
}

/* What it counts. */
static uint64_t bytes_of(const struct ckpt_checkpoint *c)
{
    return STORE_CHECKPOINT_BYTES +
           atomic_load_explicit(&c->bytes, memory_order_relaxed) +
           atomic_load_explicit(&c->section_count, memory_order_relaxed) *
               (uint64_t)STORE_SECTION_BYTES;
}

void ckpt_store_delete(struct ckpt_store *s, struct ckpt_checkpoint *c)
{
    uint64_t bytes = bytes_of(c);

    ckpt_index_remove(&s->checkpoints, &s->memory, &c->entry);
    ckpt_due_set(s, c, INT64_MAX);
    ckpt_timers_set(&s->expiry, &s->memory, &c->expiry_timer, c, INT64_MAX);
    CHECK(s->checkpoint_count > 0 && s->bytes >= bytes);
    s->checkpoint_count--;
    s->bytes -= bytes;
    s->deleted_bytes += bytes;
    c->below = s->deleted;
    s->deleted = c;
}

void ckpt_store_delete_all(struct ckpt_store *s)
{
    struct ckpt_checkpoint *c;

    while ((c = ckpt_store_next(s, 0)) != NULL)
        ckpt_store_delete(s, c);
    s->checkpoints.last = 0; /* numbers may begin anew */
    ckpt_store_epoch_next(s);
    CHECK(s->bytes == 0 && s->checkpoint_count == 0);
    CHECK(s->retention.count == 0 && s->expiry.count == 0);
}

/* All but what is known of it elsewhere; what it counted. */
static uint64_t section_retire(struct ckpt_store *s,
                               struct ckpt_section *section)
{
    struct ckpt_content *content =
        atomic_load_explicit(&section->content, memory_order_relaxed);
    uint64_t bytes = content->size + STORE_SECTION_BYTES;

    slot_free(s, section->slot);
    ckpt_content_retire(&s->memory, content);
    ckpt_memory_retire(&s->memory, section);
    return bytes;
}

bool ckpt_store_sweep(struct ckpt_store *s, uint32_t count)
{
    for (; count > 0 && s->deleted != NULL; count--) {
        struct ckpt_checkpoint *c = s->deleted;
        struct ckpt_section *section = ckpt_section_next(c, 0);
        if (section == NULL) {
            s->deleted = c->below;
            s->deleted_bytes -= STORE_CHECKPOINT_BYTES;
            ckpt_memory_retire(&s->memory, c);
            continue;
        }
        ckpt_index_remove(&c->sections, &s->memory, &section->entry);
        ckpt_memory_free(&s->memory, section->timer); /* the heap goes too */
        s->deleted_bytes -= section_retire(s, section);
    }
    return s->deleted != NULL;
}

/* --- sections ------------------------------------------------------------- */

struct ckpt_section *ckpt_section_find(const struct ckpt_store *s,
                                       const struct ckpt_checkpoint *c,
                                       struct bytes id)
{
    struct ckpt_entry *e =
        ckpt_index_find(&c->sections, hash_bytes(s->seed, id));

    for (; e != NULL; e = ckpt_entry_same(e)) {
        struct ckpt_section *section = section_of(e);
        if (section->id_size == id.n &&
            (id.n == 0 || memcmp(section->id, id.p, id.n) == 0))
            return section;
    }
    return NULL;
}

struct ckpt_section *ckpt_section_next(const struct ckpt_checkpoint *c,
                                       uint64_t after)
{
    return section_of(ckpt_index_next(&c->sections, after));
}

static struct ckpt_content *content_of(const struct ckpt_section *section)
{
    return atomic_load_explicit(&section->content, memory_order_acquire);
}

const struct ckpt_content *ckpt_content_get(const struct ckpt_section *s)
{
    return content_of(s);
}

struct ckpt_section *ckpt_section_create(struct ckpt_store *s,
                                         struct ckpt_checkpoint *c,
                                         uint64_t number, struct bytes id)
{
    struct ckpt_section *section =
        ckpt_memory_get(&s->memory, sizeof *section + id.n);

    CHECK(id.n <= UINT16_MAX);
    section->number = number;
    section->entry.hash = hash_bytes(s->seed, id);
    atomic_init(&section->content, ckpt_content_new(&s->memory, ++s->version));
    section->timer = NULL;
    section->slot = slot_get(s);
    section->generation = section->slot == NULL
                              ? 0
                              : atomic_load_explicit(&section->slot->generation,
                                                     memory_order_relaxed);
    section->id_size = (uint16_t)id.n;
    if (id.n > 0)
        memcpy(section->id, id.p, id.n);
    s->bytes += STORE_SECTION_BYTES;
    atomic_fetch_add_explicit(&c->section_count, 1, memory_order_relaxed);
    ckpt_index_add(&c->sections, &s->memory, &section->entry);
    return section;
}

void ckpt_section_delete(struct ckpt_store *s, struct ckpt_checkpoint *c,
                         struct ckpt_section *section)
{
    uint64_t bytes;

    ckpt_index_remove(&c->sections, &s->memory, &section->entry);
    expiration_set(s, c, section, INT64_MAX);
    bytes = section_retire(s, section);
    s->bytes -= bytes;
    atomic_fetch_sub_explicit(&c->bytes, bytes - STORE_SECTION_BYTES,
                              memory_order_relaxed);
    atomic_fetch_sub_explicit(&c->section_count, 1, memory_order_relaxed);
}

void ckpt_section_change(struct ckpt_store *s, struct ckpt_checkpoint *c,
                         struct ckpt_section *section,
                         const struct ckpt_change *change)
{
    struct ckpt_content *old = content_of(section), *content;
    uint64_t old_size = old->size;

    content = ckpt_content_change(&s->memory, old, ++s->version, change);
    s->bytes += content->size - old_size;
    atomic_fetch_add_explicit(&c->bytes, content->size - old_size,
                              memory_order_relaxed);
    expiration_set(s, c, section, content->expiration_ns);
    /* Release: who finds the content finds it complete. */
    atomic_store_explicit(&section->content, content, memory_order_release);
    slot_set(s, section, content);
}
