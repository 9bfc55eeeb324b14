/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/ckpt_store.h"

#include "daemon/base/check.h"
#include "daemon/base/hash.h"

#include <stdlib.h>

enum { INDEX_ROOM_MIN = 16 };

struct entry {
    uint64_t number, hash;
    _Atomic(void *) object; /* NULL: it was deleted */
};

/* Objects by number, which is the order of entries, and by the hash of their
 * key: `slots` has places of entries, plus 1, probed one after the other. An
 * entry is never used again, and a slot only for another entry, so that who is
 * probing finds no end too early; when the room is used up, a new index with
 * the living ones replaces this one. */
struct ckpt_index {
    uint32_t room, slot_mask;
    _Atomic uint32_t count;
    uint32_t living; /* writer's */
    _Atomic uint32_t *slots;
    struct entry entries[];
};

/* --- index ---------------------------------------------------------------- */

static size_t index_bytes(uint32_t room)
{
    return sizeof(struct ckpt_index) + room * sizeof(struct entry) +
           2 * (size_t)room * sizeof(uint32_t);
}

static struct ckpt_index *index_at(void *memory, uint32_t room)
{
    struct ckpt_index *x = memory;

    memset(x, 0, index_bytes(room));
    x->room = room;
    x->slot_mask = 2 * room - 1;
    x->slots = (_Atomic uint32_t *)(x->entries + room);
    return x;
}

static struct ckpt_index *index_new(struct ckpt_store *s, uint32_t room)
{
    return index_at(ckpt_memory_get(&s->memory, index_bytes(room)), room);
}

/* Of an entry that is there. */
static bool slot_used(const struct ckpt_index *x, uint32_t slot)
{
    uint32_t at = atomic_load_explicit(&x->slots[slot], memory_order_relaxed);

    return at != 0 && atomic_load_explicit(&x->entries[at - 1].object,
                                           memory_order_relaxed) != NULL;
}

static void index_put(struct ckpt_index *x, uint64_t number, uint64_t hash,
                      void *object)
{
    uint32_t at = atomic_load_explicit(&x->count, memory_order_relaxed);
    uint32_t slot = (uint32_t)hash & x->slot_mask;
    struct entry *e = &x->entries[at];

    CHECK(at < x->room);
    CHECK(at == 0 || e[-1].number < number);
    e->number = number;
    e->hash = hash;
    atomic_store_explicit(&e->object, object, memory_order_relaxed);
    /* The slot of one that was deleted is used again: else what comes and goes
     * with the same key would have to be passed by each time. */
    while (slot_used(x, slot))
        slot = (slot + 1) & x->slot_mask;
    /* Release: who finds the slot, or the count, finds the entry complete. */
    atomic_store_explicit(&x->slots[slot], at + 1, memory_order_release);
    atomic_store_explicit(&x->count, at + 1, memory_order_release);
    x->living++;
}

/* An index with the living entries of this one, and room for as many more. */
static struct ckpt_index *index_renew(struct ckpt_store *s,
                                      const struct ckpt_index *old)
{
    uint32_t room = INDEX_ROOM_MIN;
    uint32_t count = atomic_load_explicit(&old->count, memory_order_relaxed);

    while (room < 2 * old->living)
        room *= 2;
    struct ckpt_index *x = index_new(s, room);
    for (uint32_t i = 0; i < count; i++) {
        const struct entry *e = &old->entries[i];
        void *object = atomic_load_explicit(&e->object, memory_order_relaxed);
        if (object != NULL)
            index_put(x, e->number, e->hash, object);
    }
    return x;
}

static void index_add(struct ckpt_store *s, _Atomic(struct ckpt_index *) *index,
                      uint64_t number, uint64_t hash, void *object)
{
    struct ckpt_index *x = atomic_load_explicit(index, memory_order_relaxed);

    if (atomic_load_explicit(&x->count, memory_order_relaxed) == x->room) {
        struct ckpt_index *renewed = index_renew(s, x);
        atomic_store_explicit(index, renewed, memory_order_release);
        ckpt_memory_retire(&s->memory, x);
        x = renewed;
    }
    index_put(x, number, hash, object);
}

/* The place of the first entry with a number of at least this. */
static uint32_t index_place(const struct ckpt_index *x, uint64_t number,
                            uint32_t *count)
{
    uint32_t low = 0, high;

    *count = atomic_load_explicit(&x->count, memory_order_acquire);
    for (high = *count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (x->entries[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first object with a number above this one, or NULL. */
static void *index_next(const struct ckpt_index *x, uint64_t after)
{
    uint32_t count, at;

    if (after == UINT64_MAX)
        return NULL;
    for (at = index_place(x, after + 1, &count); at < count; at++) {
        void *object =
            atomic_load_explicit(&x->entries[at].object, memory_order_acquire);
        if (object != NULL)
            return object;
    }
    return NULL;
}

/* The highest number in it, of the deleted too. */
static uint64_t index_last(const struct ckpt_index *x)
{
    uint32_t count = atomic_load_explicit(&x->count, memory_order_relaxed);

    return count > 0 ? x->entries[count - 1].number : 0;
}

static void index_remove(struct ckpt_index *x, uint64_t number)
{
    uint32_t count, at = index_place(x, number, &count);

    CHECK(at < count && x->entries[at].number == number);
    atomic_store_explicit(&x->entries[at].object, NULL, memory_order_relaxed);
    x->living--;
}

/* Walks over the objects whose keys have this hash: *slot begins as the hash;
 * NULL: no more. */
static void *index_match(const struct ckpt_index *x, uint64_t hash,
                         uint32_t *slot)
{
    for (;; ++*slot) {
        uint32_t at = atomic_load_explicit(&x->slots[*slot & x->slot_mask],
                                           memory_order_acquire);
        if (at == 0)
            return NULL;
        const struct entry *e = &x->entries[at - 1];
        void *object = atomic_load_explicit(&e->object, memory_order_acquire);
        if (object != NULL && e->hash == hash) {
            ++*slot;
            return object;
        }
    }
}

static struct ckpt_index *index_load(const _Atomic(struct ckpt_index *) *x)
{
    return atomic_load_explicit(x, memory_order_acquire);
}

/* --- timers --------------------------------------------------------------- */

static void timer_place(struct ckpt_store *s, struct ckpt_timer *t, uint32_t at)
{
    s->timers[at] = t;
    t->place = at;
}

static void timer_up(struct ckpt_store *s, struct ckpt_timer *t)
{
    uint32_t at = t->place;

    while (at > 0 && s->timers[(at - 1) / 2]->time_ns > t->time_ns) {
        timer_place(s, s->timers[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    timer_place(s, t, at);
}

static void timer_down(struct ckpt_store *s, struct ckpt_timer *t)
{
    uint32_t at = t->place;

    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < s->timer_count &&
            s->timers[child + 1]->time_ns < s->timers[child]->time_ns)
            child++;
        if (child >= s->timer_count || s->timers[child]->time_ns >= t->time_ns)
            break;
        timer_place(s, s->timers[child], at);
        at = child;
    }
    timer_place(s, t, at);
}

static void timer_remove(struct ckpt_store *s, struct ckpt_timer **timer)
{
    struct ckpt_timer *t = *timer, *last;

    if (t == NULL)
        return;
    last = s->timers[--s->timer_count];
    if (last != t) {
        timer_place(s, last, t->place);
        timer_up(s, last);
        timer_down(s, last);
    }
    ckpt_memory_free(&s->memory, t);
    *timer = NULL;
}

static void timers_grow(struct ckpt_store *s)
{
    uint32_t room = s->timer_room == 0 ? 64 : 2 * s->timer_room;
    struct ckpt_timer **timers = malloc(room * sizeof *timers);

    CHECK(timers != NULL);
    if (s->timer_count > 0)
        memcpy(timers, s->timers, s->timer_count * sizeof *timers);
    free(s->timers);
    s->timers = timers;
    s->timer_room = room;
}

static void timer_set(struct ckpt_store *s, struct ckpt_timer **timer,
                      struct ckpt_checkpoint *c, struct ckpt_section *section,
                      int64_t time_ns)
{
    if (*timer != NULL && (*timer)->time_ns == time_ns)
        return;
    timer_remove(s, timer);
    if (time_ns == INT64_MAX)
        return;
    if (s->timer_count == s->timer_room)
        timers_grow(s);
    *timer = ckpt_memory_get(&s->memory, sizeof **timer);
    **timer = (struct ckpt_timer){.time_ns = time_ns,
                                  .checkpoint = c,
                                  .section = section,
                                  .place = s->timer_count++};
    timer_up(s, *timer);
}

void ckpt_timer_set(struct ckpt_store *s, struct ckpt_checkpoint *c,
                    int64_t time_ns)
{
    timer_set(s, &c->timer, c, NULL, time_ns);
}

const struct ckpt_timer *ckpt_timer_first(const struct ckpt_store *s)
{
    return s->timer_count > 0 ? s->timers[0] : NULL;
}

/* --- what clients read -----------------------------------------------------
 */

/* Once a slot, always one: a client may look at it at any time. */
static struct arena_slot *slot_get(struct ckpt_store *s)
{
    struct arena_slot *slot = s->free_slots;

    if (slot != NULL) {
        s->free_slots = (struct arena_slot *)(uintptr_t)atomic_load_explicit(
            &slot->content, memory_order_relaxed);
        atomic_store_explicit(&slot->content, 0, memory_order_relaxed);
        return slot;
    }
    slot = ckpt_memory_try(&s->memory, sizeof *slot);
    if (slot != NULL && !ckpt_memory_is_shared(&s->memory, slot)) {
        ckpt_memory_free(&s->memory, slot);
        return NULL;
    }
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

bool ckpt_store_init(struct ckpt_store *s, uint64_t seed, uint8_t *arena,
                     uint64_t arena_size)
{
    void *first;

    *s = (struct ckpt_store){.seed = seed};
    ckpt_memory_init(&s->memory, arena, arena_size);
    s->arena = (struct arena_shared *)(void *)arena;
    first = ckpt_memory_try(&s->memory, index_bytes(INDEX_ROOM_MIN));
    if (first == NULL)
        return false;
    atomic_init(&s->checkpoints, index_at(first, INDEX_ROOM_MIN));
    return true;
}

void ckpt_store_deinit(struct ckpt_store *s)
{
    ckpt_store_delete_all(s);
    ckpt_memory_retire(&s->memory, index_load(&s->checkpoints));
    ckpt_memory_garbage_return(&s->memory,
                               ckpt_memory_garbage_take(&s->memory));
    free(s->timers);
}

struct ckpt_checkpoint *ckpt_store_find(const struct ckpt_store *s,
                                        struct bytes name)
{
    const struct ckpt_index *x = index_load(&s->checkpoints);
    uint64_t hash = hash_bytes(s->seed, name);
    uint32_t slot = (uint32_t)hash;
    struct ckpt_checkpoint *c;

    while ((c = index_match(x, hash, &slot)) != NULL)
        if (!atomic_load_explicit(&c->unlinked, memory_order_relaxed) &&
            c->name_size == name.n && memcmp(c->name, name.p, name.n) == 0)
            return c;
    return NULL;
}

struct ckpt_checkpoint *ckpt_store_next(const struct ckpt_store *s,
                                        uint64_t after)
{
    return index_next(index_load(&s->checkpoints), after);
}

struct ckpt_checkpoint *
ckpt_store_create(struct ckpt_store *s, uint64_t number, struct bytes name,
                  const struct ipc_ckpt_attributes *attributes)
{
    struct ckpt_checkpoint *c = ckpt_memory_get(&s->memory, sizeof *c);

    CHECK(name.n <= sizeof c->name);
    memset(c, 0, sizeof *c);
    c->number = number;
    c->hash = hash_bytes(s->seed, name);
    c->attributes = *attributes;
    c->name_size = (uint16_t)name.n;
    memcpy(c->name, name.p, name.n);
    atomic_init(&c->retention_ns, attributes->retention_ns);
    atomic_init(&c->sections, index_new(s, INDEX_ROOM_MIN));
    c->next_section = 1;
    c->sections_here = true;
    s->checkpoint_count++;
    s->bytes += STORE_CHECKPOINT_BYTES;
    index_add(s, &s->checkpoints, number, c->hash, c);
    return c;
}

uint64_t ckpt_store_last(const struct ckpt_store *s)
{
    return index_last(index_load(&s->checkpoints));
}

uint64_t ckpt_section_last(const struct ckpt_checkpoint *c)
{
    return index_last(index_load(&c->sections));
}

static void content_retire(struct ckpt_store *s, struct ckpt_content *content)
{
    for (uint32_t i = 0; i < content->chunk_count; i++)
        if (content->chunks[i] != NULL)
            ckpt_memory_retire(&s->memory, content->chunks[i]);
    ckpt_memory_retire(&s->memory, content);
}

/* All but its entry in the index. */
static void section_retire(struct ckpt_store *s, struct ckpt_checkpoint *c,
                           struct ckpt_section *section)
{
    struct ckpt_content *content =
        atomic_load_explicit(&section->content, memory_order_relaxed);

    timer_remove(s, &section->timer);
    slot_free(s, section->slot);
    s->bytes -= content->size + STORE_SECTION_BYTES;
    atomic_fetch_sub_explicit(&c->bytes, content->size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&c->section_count, 1, memory_order_relaxed);
    content_retire(s, content);
    ckpt_memory_retire(&s->memory, section);
}

void ckpt_store_delete(struct ckpt_store *s, struct ckpt_checkpoint *c)
{
    struct ckpt_section *section;
    uint64_t number = 0;

    index_remove(index_load(&s->checkpoints), c->number);
    while ((section = ckpt_section_next(c, number)) != NULL) {
        number = section->number;
        section_retire(s, c, section);
    }
    ckpt_timer_set(s, c, INT64_MAX);
    CHECK(s->checkpoint_count > 0 && s->bytes >= STORE_CHECKPOINT_BYTES);
    s->checkpoint_count--;
    s->bytes -= STORE_CHECKPOINT_BYTES;
    ckpt_memory_retire(&s->memory, index_load(&c->sections));
    ckpt_memory_retire(&s->memory, c);
}

void ckpt_store_delete_all(struct ckpt_store *s)
{
    struct ckpt_checkpoint *c;

    while ((c = ckpt_store_next(s, 0)) != NULL)
        ckpt_store_delete(s, c);
    /* Numbers may begin anew. */
    struct ckpt_index *old = index_load(&s->checkpoints);
    atomic_store_explicit(&s->checkpoints, index_new(s, INDEX_ROOM_MIN),
                          memory_order_release);
    ckpt_memory_retire(&s->memory, old);
    CHECK(s->bytes == 0 && s->checkpoint_count == 0 && s->timer_count == 0);
}

/* --- sections ------------------------------------------------------------- */

struct ckpt_section *ckpt_section_find(const struct ckpt_store *s,
                                       const struct ckpt_checkpoint *c,
                                       struct bytes id)
{
    const struct ckpt_index *x = index_load(&c->sections);
    uint64_t hash = hash_bytes(s->seed, id);
    uint32_t slot = (uint32_t)hash;
    struct ckpt_section *section;

    while ((section = index_match(x, hash, &slot)) != NULL)
        if (section->id_size == id.n &&
            (id.n == 0 || memcmp(section->id, id.p, id.n) == 0))
            return section;
    return NULL;
}

struct ckpt_section *ckpt_section_next(const struct ckpt_checkpoint *c,
                                       uint64_t after)
{
    return index_next(index_load(&c->sections), after);
}

/* --- contents --------------------------------------------------------------
 */

static struct ckpt_content *content_of(const struct ckpt_section *section)
{
    return atomic_load_explicit(&section->content, memory_order_acquire);
}

const struct ckpt_content *ckpt_content_get(const struct ckpt_section *s)
{
    return content_of(s);
}

void ckpt_content_read(const struct ckpt_content *content, uint64_t offset,
                       uint8_t *to, uint64_t size)
{
    CHECK(offset <= content->size && size <= content->size - offset);
    while (size > 0) {
        const uint8_t *chunk = content->chunks[offset / STORE_CHUNK_SIZE];
        uint64_t at = offset % STORE_CHUNK_SIZE;
        uint64_t n =
            STORE_CHUNK_SIZE - at < size ? STORE_CHUNK_SIZE - at : size;
        if (chunk != NULL)
            memcpy(to, chunk + at, n);
        else
            memset(to, 0, n);
        to += n;
        offset += n;
        size -= n;
    }
}

static struct ckpt_content *content_new(struct ckpt_store *s,
                                        uint32_t chunk_count)
{
    struct ckpt_content *content = ckpt_memory_get(
        &s->memory, sizeof *content + chunk_count * sizeof *content->chunks);

    content->version = ++s->version;
    content->chunk_count = chunk_count;
    return content;
}

struct ckpt_section *ckpt_section_create(struct ckpt_store *s,
                                         struct ckpt_checkpoint *c,
                                         uint64_t number, struct bytes id)
{
    struct ckpt_section *section =
        ckpt_memory_get(&s->memory, sizeof *section + id.n);
    struct ckpt_content *content = content_new(s, 0);

    CHECK(id.n <= UINT16_MAX);
    content->size = 0;
    content->last_update_ns = 0;
    content->expiration_ns = INT64_MAX;
    section->number = number;
    section->hash = hash_bytes(s->seed, id);
    atomic_init(&section->content, content);
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
    index_add(s, &c->sections, number, section->hash, section);
    return section;
}

void ckpt_section_delete(struct ckpt_store *s, struct ckpt_checkpoint *c,
                         struct ckpt_section *section)
{
    index_remove(index_load(&c->sections), section->number);
    section_retire(s, c, section);
}

/* A range of a section. */
struct range {
    uint64_t begin, end;
};

static struct range common(struct range a, struct range b)
{
    struct range r = {a.begin > b.begin ? a.begin : b.begin,
                      a.end < b.end ? a.end : b.end};

    if (r.end < r.begin)
        r.end = r.begin;
    return r;
}

/* What of a content of `size` bytes is in its chunk `i`. */
static struct range chunk_range(uint64_t size, uint32_t i)
{
    uint64_t begin = (uint64_t)i * STORE_CHUNK_SIZE;

    return common((struct range){begin, begin + STORE_CHUNK_SIZE},
                  (struct range){begin, size > begin ? size : begin});
}

/* The chunk at `here` as the change makes it, from `old`, which has what was
 * there, or is NULL. */
static uint8_t *chunk_new(struct ckpt_store *s, struct range here,
                          const uint8_t *old, uint64_t old_size,
                          const struct ckpt_change *change)
{
    uint64_t size = here.end - here.begin;
    struct range data = common(
        here, (struct range){change->offset, change->offset + change->data.n});
    uint64_t kept = old == NULL ? 0 : old_size < size ? old_size : size;
    uint8_t *chunk;

    if (data.end == data.begin && kept == 0)
        return NULL;
    chunk = ckpt_memory_get(&s->memory, size);
    if (data.end - data.begin < size) {
        if (kept > 0)
            memcpy(chunk, old, kept);
        memset(chunk + kept, 0, size - kept);
    }
    if (data.end > data.begin)
        memcpy(chunk + (data.begin - here.begin),
               change->data.p + (data.begin - change->offset),
               data.end - data.begin);
    return chunk;
}

static bool touches(struct range here, struct range before,
                    const struct ckpt_change *change)
{
    struct range data = {change->offset, change->offset + change->data.n};

    return before.end != here.end ||
           (data.begin < here.end && here.begin < data.end);
}

/* The new chunks; those of the old that are not among them are garbage. */
static void chunks_change(struct ckpt_store *s, const struct ckpt_content *old,
                          struct ckpt_content *content,
                          const struct ckpt_change *change)
{
    for (uint32_t i = 0; i < content->chunk_count || i < old->chunk_count;
         i++) {
        uint8_t *was = i < old->chunk_count ? old->chunks[i] : NULL;
        struct range before = chunk_range(old->size, i);
        struct range here = chunk_range(content->size, i);
        if (i < content->chunk_count && !touches(here, before, change)) {
            content->chunks[i] = was;
            continue;
        }
        if (i < content->chunk_count)
            content->chunks[i] =
                chunk_new(s, here, was, before.end - before.begin, change);
        if (was != NULL)
            ckpt_memory_retire(&s->memory, was);
    }
}

/* The content that the change makes of another one, whose chunks are garbage if
 * they are not in this one. */
static struct ckpt_content *content_change(struct ckpt_store *s,
                                           const struct ckpt_content *old,
                                           const struct ckpt_change *change)
{
    uint32_t chunk_count =
        (uint32_t)((change->size + STORE_CHUNK_SIZE - 1) / STORE_CHUNK_SIZE);
    struct ckpt_content *content;

    CHECK(change->offset <= change->size);
    CHECK(change->data.n <= change->size - change->offset);
    content = content_new(s, chunk_count);
    content->size = change->size;
    content->last_update_ns = change->now_ns;
    content->expiration_ns = change->expiration_ns;
    chunks_change(s, old, content, change);
    return content;
}

void ckpt_section_change(struct ckpt_store *s, struct ckpt_checkpoint *c,
                         struct ckpt_section *section,
                         const struct ckpt_change *changes, uint32_t count)
{
    struct ckpt_content *old = content_of(section), *content = old;

    CHECK(count > 0);
    for (uint32_t i = 0; i < count; i++) {
        struct ckpt_content *next = content_change(s, content, &changes[i]);
        if (content != old)
            ckpt_memory_retire(&s->memory, content); /* nobody has seen it */
        content = next;
    }
    s->bytes += content->size - old->size;
    atomic_fetch_add_explicit(&c->bytes, content->size - old->size,
                              memory_order_relaxed);
    timer_set(s, &section->timer, c, section, content->expiration_ns);
    /* Release: who finds the content finds it complete. */
    atomic_store_explicit(&section->content, content, memory_order_release);
    slot_set(s, section, content);
    ckpt_memory_retire(&s->memory, old);
}
