/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/ckpt_store.h"

#include "daemon/base/check.h"

#include <stdlib.h>

enum {
    CLASS_LARGE = STORE_CLASSES, /* of its own size, not kept */
    CLASS_BYTES_MIN = 16,
    INDEX_ROOM_MIN = 16,
    FREE_BYTES_MAX = 64 << 20 /* kept for use; more goes back to the system */
};

struct entry {
    uint64_t number, hash;
    _Atomic(void *) object; /* NULL: it was deleted */
};

/* Objects by number, which is the order of entries, and by the hash of their
 * key: `slots` has places of entries, plus 1, probed one after the other. An
 * entry is never used again, so neither has a deletion to undo; when the room
 * is used up, a new index with the living ones replaces this one. */
struct ckpt_index {
    uint32_t room, slot_mask;
    _Atomic uint32_t count;
    uint32_t living; /* writer's */
    _Atomic uint32_t *slots;
    struct entry entries[];
};

/* --- memory --------------------------------------------------------------- */

static uint32_t class_of(size_t bytes)
{
    uint32_t class = 0;

    while (class < CLASS_LARGE && ((size_t)CLASS_BYTES_MIN << class) < bytes)
        class ++;
    return class;
}

/* NULL: no memory. */
static void *item_try(struct ckpt_store *s, size_t bytes)
{
    uint32_t class = class_of(bytes);
    struct ckpt_item *item = s->free[class];

    if (class != CLASS_LARGE)
        bytes = (size_t)CLASS_BYTES_MIN << class;
    if (item != NULL && class != CLASS_LARGE) {
        s->free[class] = item->next;
        s->free_bytes -= item->bytes;
    } else {
        CHECK(bytes <= UINT32_MAX);
        item = malloc(sizeof *item + bytes);
        if (item == NULL)
            return NULL;
        *item = (struct ckpt_item){.class = class, .bytes = (uint32_t)bytes};
    }
    item->next = NULL;
    return item + 1;
}

static void *item_get(struct ckpt_store *s, size_t bytes)
{
    void *memory = item_try(s, bytes);

    CHECK(memory != NULL);
    return memory;
}

/* Readers may still hold it. */
static void item_retire(struct ckpt_store *s, void *memory)
{
    struct ckpt_item *item = (struct ckpt_item *)memory - 1;

    item->next = NULL;
    if (s->garbage == NULL)
        s->garbage = item;
    else
        s->garbage_end->next = item;
    s->garbage_end = item;
    s->garbage_bytes += item->bytes;
}

/* No reader ever saw it, or all are gone. */
static void item_free(struct ckpt_store *s, struct ckpt_item *item)
{
    if (item->class == CLASS_LARGE || s->free_bytes > FREE_BYTES_MAX) {
        free(item);
        return;
    }
    item->next = s->free[item->class];
    s->free[item->class] = item;
    s->free_bytes += item->bytes;
}

static void memory_free(struct ckpt_store *s, void *memory)
{
    if (memory != NULL)
        item_free(s, (struct ckpt_item *)memory - 1);
}

struct ckpt_item *ckpt_store_garbage_take(struct ckpt_store *s)
{
    struct ckpt_item *garbage = s->garbage;

    s->garbage = s->garbage_end = NULL;
    s->garbage_bytes = 0;
    return garbage;
}

void ckpt_store_garbage_return(struct ckpt_store *s, struct ckpt_item *garbage)
{
    while (garbage != NULL) {
        struct ckpt_item *next = garbage->next;
        item_free(s, garbage);
        garbage = next;
    }
}

/* --- index ---------------------------------------------------------------- */

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static uint64_t hash_of(const struct ckpt_store *s, struct bytes key)
{
    uint64_t h = s->seed ^ key.n, word;

    for (; key.n > 0; key.p += sizeof word) {
        size_t n = key.n < sizeof word ? key.n : sizeof word;
        word = 0;
        memcpy(&word, key.p, n);
        h = mix(h ^ word) + 0x9e3779b97f4a7c15u;
        key.n -= n;
        if (n < sizeof word)
            break;
    }
    return h;
}

static size_t index_bytes(uint32_t room)
{
    return sizeof(struct ckpt_index) + room * sizeof(struct entry) +
           2 * (size_t)room * sizeof(uint32_t);
}

static struct ckpt_index *index_new(struct ckpt_store *s, uint32_t room)
{
    struct ckpt_index *x = item_get(s, index_bytes(room));

    memset(x, 0, index_bytes(room));
    x->room = room;
    x->slot_mask = 2 * room - 1;
    x->slots = (_Atomic uint32_t *)(x->entries + room);
    return x;
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
    while (atomic_load_explicit(&x->slots[slot], memory_order_relaxed) != 0)
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
        item_retire(s, x);
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
    memory_free(s, t);
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
    *timer = item_get(s, sizeof **timer);
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

/* --- the store ------------------------------------------------------------ */

bool ckpt_store_init(struct ckpt_store *s, uint64_t seed)
{
    void *first;

    *s = (struct ckpt_store){.seed = seed};
    /* What cannot fail takes it from the free list. */
    first = item_try(s, index_bytes(INDEX_ROOM_MIN));
    if (first == NULL)
        return false;
    memory_free(s, first);
    atomic_init(&s->checkpoints, index_new(s, INDEX_ROOM_MIN));
    return true;
}

void ckpt_store_deinit(struct ckpt_store *s)
{
    ckpt_store_delete_all(s);
    item_retire(s, index_load(&s->checkpoints));
    ckpt_store_garbage_return(s, ckpt_store_garbage_take(s));
    for (int i = 0; i < STORE_CLASSES; i++)
        while (s->free[i] != NULL) {
            struct ckpt_item *next = s->free[i]->next;
            free(s->free[i]);
            s->free[i] = next;
        }
    free(s->timers);
}

struct ckpt_checkpoint *ckpt_store_find(const struct ckpt_store *s,
                                        struct bytes name)
{
    const struct ckpt_index *x = index_load(&s->checkpoints);
    uint64_t hash = hash_of(s, name);
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
    struct ckpt_checkpoint *c = item_get(s, sizeof *c);

    CHECK(name.n <= sizeof c->name);
    memset(c, 0, sizeof *c);
    c->number = number;
    c->hash = hash_of(s, name);
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
            item_retire(s, content->chunks[i]);
    item_retire(s, content);
}

/* All but its entry in the index. */
static void section_retire(struct ckpt_store *s, struct ckpt_checkpoint *c,
                           struct ckpt_section *section)
{
    struct ckpt_content *content =
        atomic_load_explicit(&section->content, memory_order_relaxed);

    timer_remove(s, &section->timer);
    s->bytes -= content->size + STORE_SECTION_BYTES;
    atomic_fetch_sub_explicit(&c->bytes, content->size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&c->section_count, 1, memory_order_relaxed);
    content_retire(s, content);
    item_retire(s, section);
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
    item_retire(s, index_load(&c->sections));
    item_retire(s, c);
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
    item_retire(s, old);
    CHECK(s->bytes == 0 && s->checkpoint_count == 0 && s->timer_count == 0);
}

/* --- sections ------------------------------------------------------------- */

struct ckpt_section *ckpt_section_find(const struct ckpt_store *s,
                                       const struct ckpt_checkpoint *c,
                                       struct bytes id)
{
    const struct ckpt_index *x = index_load(&c->sections);
    uint64_t hash = hash_of(s, id);
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
    struct ckpt_content *content =
        item_get(s, sizeof *content + chunk_count * sizeof *content->chunks);

    content->version = ++s->version;
    content->chunk_count = chunk_count;
    return content;
}

struct ckpt_section *ckpt_section_create(struct ckpt_store *s,
                                         struct ckpt_checkpoint *c,
                                         uint64_t number, struct bytes id)
{
    struct ckpt_section *section = item_get(s, sizeof *section + id.n);
    struct ckpt_content *content = content_new(s, 0);

    CHECK(id.n <= UINT16_MAX);
    content->size = 0;
    content->last_update_ns = 0;
    content->expiration_ns = INT64_MAX;
    section->number = number;
    section->hash = hash_of(s, id);
    atomic_init(&section->content, content);
    section->timer = NULL;
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
    chunk = item_get(s, size);
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
            item_retire(s, was);
    }
}

void ckpt_section_change(struct ckpt_store *s, struct ckpt_checkpoint *c,
                         struct ckpt_section *section,
                         const struct ckpt_change *change)
{
    struct ckpt_content *old = content_of(section), *content;
    uint32_t chunk_count =
        (uint32_t)((change->size + STORE_CHUNK_SIZE - 1) / STORE_CHUNK_SIZE);

    CHECK(change->offset <= change->size);
    CHECK(change->data.n <= change->size - change->offset);
    content = content_new(s, chunk_count);
    content->size = change->size;
    content->last_update_ns = change->now_ns;
    content->expiration_ns = change->expiration_ns;
    chunks_change(s, old, content, change);
    s->bytes += change->size - old->size;
    atomic_fetch_add_explicit(&c->bytes, change->size - old->size,
                              memory_order_relaxed);
    timer_set(s, &section->timer, c, section, change->expiration_ns);
    /* Release: who finds the content finds it complete. */
    atomic_store_explicit(&section->content, content, memory_order_release);
    item_retire(s, old);
}
