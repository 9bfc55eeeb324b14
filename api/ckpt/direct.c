/* SPDX-License-Identifier: BSD-3-Clause */
/* direct.c - libSaCkpt: reading sections where they are.
 *
 * The answer to a read says where the section's slot is in the daemon's arena
 * (ipc/arena.h). That is noted here; from then on the section is read from
 * there, without asking anybody, until the slot is another section's. Whatever
 * does not fit is asked for, as the first time.
 *
 * The notes of a checkpoint are a table with one place for each hash of an id.
 * Any number of threads look; one writes, if no other does so: a note that was
 * not taken costs a query. A reader sees whether the note changed meanwhile. */
#include "api/ckpt/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    NOTES = 512,      /* of a checkpoint */
    ID_WORDS = 6,     /* longer ids are asked for */
    READ_TRIES = 16,  /* of a section that is written to meanwhile */
    CHECK_EVERY = 16, /* reads between two looks for the daemon's end */
    LEVELS_MAX = 8    /* of nodes; the largest section that can be has fewer */
};

/* All but `lock` is read and written relaxed: it is believed only if `lock` was
 * even, and the same, before and behind. */
struct note {
    _Atomic uint64_t lock; /* odd: is being written */
    _Atomic uint64_t slot, generation, epoch, id_size, id[ID_WORDS];
};

struct direct {
    struct note notes[NOTES];
};

struct known {
    uint64_t slot, generation, epoch, id_size, id[ID_WORDS];
};

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void set(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

/* --- notes ---------------------------------------------------------------- */

/* The id in words; false: it is too long. */
static bool known_of(const SaCkptSectionIdT *id, struct known *k)
{
    *k = (struct known){.id_size = id->idLen};
    if (id->idLen > sizeof k->id)
        return false;
    if (id->idLen > 0)
        memcpy(k->id, id->id, id->idLen);
    return true;
}

static struct note *note_of(struct direct *d, const struct known *k)
{
    uint64_t hash = k->id_size;

    for (int i = 0; i < ID_WORDS; i++) {
        hash = (hash ^ k->id[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return &d->notes[hash % NOTES];
}

/* What is noted of the section whose id is in *k. */
static bool look_up(struct direct *d, struct known *k)
{
    const struct note *n = note_of(d, k);
    uint64_t lock = atomic_load_explicit(&n->lock, memory_order_acquire);
    bool same = get(&n->id_size) == k->id_size;

    for (int i = 0; i < ID_WORDS; i++)
        same &= get(&n->id[i]) == k->id[i];
    k->slot = get(&n->slot);
    k->generation = get(&n->generation);
    k->epoch = get(&n->epoch);
    /* Acquire: what was read above was read before this. */
    atomic_thread_fence(memory_order_acquire);
    return same && k->slot != 0 && lock % 2 == 0 && get(&n->lock) == lock;
}

static void note_down(struct direct *d, const struct known *k)
{
    struct note *n = note_of(d, k);
    uint64_t lock = get(&n->lock);

    if (lock % 2 != 0 || !atomic_compare_exchange_strong_explicit(
                             &n->lock, &lock, lock + 1, memory_order_acquire,
                             memory_order_relaxed))
        return; /* somebody else is at it */
    /* Release: who sees any of what follows sees that the lock was taken. */
    atomic_thread_fence(memory_order_release);
    set(&n->slot, k->slot);
    set(&n->generation, k->generation);
    set(&n->epoch, k->epoch);
    set(&n->id_size, k->id_size);
    for (int i = 0; i < ID_WORDS; i++)
        set(&n->id[i], k->id[i]);
    atomic_store_explicit(&n->lock, lock + 2, memory_order_release);
}

void sackpt_direct_learn(const struct use *u, const SaCkptSectionIdT *id,
                         const struct ipc_ckpt_read_answer *answer)
{
    _Atomic(struct direct *) *at = &u->checkpoint->direct;
    struct direct *d = atomic_load_explicit(at, memory_order_acquire);
    struct known k;

    if (answer->slot == 0 || u->instance->conn.arena.at == NULL ||
        !known_of(id, &k))
        return;
    if (d == NULL) {
        struct direct *made = calloc(1, sizeof *made);
        /* Release: who finds the table finds it zeroed. */
        if (made == NULL)
            return;
        if (atomic_compare_exchange_strong_explicit(
                at, &d, made, memory_order_acq_rel, memory_order_acquire))
            d = made;
        else
            free(made);
    }
    k.slot = answer->slot;
    k.generation = answer->generation;
    k.epoch = answer->epoch;
    note_down(d, &k);
}

void sackpt_direct_free(struct ckpt_checkpoint *ck)
{
    free(atomic_load_explicit(&ck->direct, memory_order_acquire));
}

/* --- reading -------------------------------------------------------------- */

/* A place in the arena of so many bytes, or NULL. */
static const void *within(struct conn *c, uint64_t address, uint64_t size)
{
    struct arena *a = &c->arena;
    uint64_t at = address - c->arena_address;

    if (at > a->size || size > a->size - at)
        return NULL;
    /* Acquire: what is told to be within reach is mapped. */
    return at + size <= atomic_load_explicit(&a->reach, memory_order_acquire) ||
                   arena_reach(a, at + size)
               ? a->at + at
               : NULL;
}

static uint64_t word_at(const void *at)
{
    return atomic_load_explicit((const _Atomic uint64_t *)at,
                                memory_order_acquire);
}

/* The address of a chunk, 0: there is none; false: it is not to be found in the
 * arena. */
static bool chunk_address(struct conn *c, const struct arena_content *content,
                          const struct arena_content *head, uint64_t chunk,
                          uint64_t *address)
{
    const uint64_t *slots = content->slots;
    uint64_t span = 1, count = head->count;

    if (head->levels > LEVELS_MAX || count > ARENA_FAN)
        return false;
    for (int i = 0; i < head->levels; i++)
        span *= ARENA_FAN;
    for (;; span /= ARENA_FAN) {
        const struct arena_node *node;
        if (chunk / span >= count)
            return false;
        memcpy(address, &slots[chunk / span], sizeof *address);
        if (*address == 0 || span == 1)
            return true;
        node = within(c, *address, sizeof *node);
        if (*address % 8 != 0 || node == NULL)
            return false;
        slots = node->slots;
        count = ARENA_FAN;
        chunk %= span;
    }
}

/* Copies bytes of a content; false: not all are in the arena. What is read may
 * be nonsense, and is only believed later. */
static bool copy(struct conn *c, const struct arena_content *content,
                 const struct arena_content *head, uint64_t offset, uint8_t *to,
                 uint64_t size)
{
    while (size > 0) {
        uint64_t skip = offset % ARENA_CHUNK_SIZE;
        uint64_t n =
            ARENA_CHUNK_SIZE - skip < size ? ARENA_CHUNK_SIZE - skip : size;
        const uint8_t *from;
        uint64_t address;
        if (!chunk_address(c, content, head, offset / ARENA_CHUNK_SIZE,
                           &address))
            return false;
        from = address == 0 ? NULL : within(c, address + skip, n);
        if (address == 0)
            memset(to, 0, n);
        else if (from == NULL)
            return false;
        else
            memcpy(to, from, n);
        to += n;
        offset += n;
        size -= n;
    }
    return true;
}

enum outcome { READ, ASK, AGAIN };

/* Reads what the slot names now. The version is read, and the slot looked at
 * again, before anything else is: else the content might be one that is only
 * being written there, for this slot, and is complete when we look the last
 * time. */
static enum outcome read_once(struct conn *c, const struct known *k,
                              uint64_t offset, uint8_t *to, uint64_t size,
                              uint64_t *got)
{
    const struct arena_shared *shared = (const void *)c->arena.at;
    const struct arena_slot *slot =
        within(c, c->arena_address + k->slot, sizeof *slot);
    const struct arena_content *content;
    struct arena_content head;
    uint64_t address, version;
    bool fits;

    if (slot == NULL || k->slot % sizeof *slot != 0 ||
        word_at(&slot->generation) != k->generation)
        return ASK;
    address = word_at(&slot->content);
    content = within(c, address, sizeof *content);
    if (address == 0 || address % 8 != 0 || content == NULL)
        return ASK;
    version = word_at(&content->version);
    if (word_at(&slot->content) != address)
        return AGAIN;
    memcpy(&head, content, sizeof head);
    fits = within(c, address,
                  sizeof head +
                      (uint64_t)head.count * sizeof *content->slots) != NULL &&
           offset <= head.size;
    *got = fits && size > head.size - offset ? head.size - offset : size;
    fits = fits && copy(c, content, &head, offset, to, *got);
    /* Acquire: pairs with the daemon's release, see ipc/arena.h. */
    atomic_thread_fence(memory_order_acquire);
    if (word_at(&slot->generation) != k->generation ||
        word_at(&shared->epoch) != k->epoch)
        return ASK;
    if (word_at(&slot->content) != address ||
        word_at(&content->version) != version)
        return AGAIN;
    return fits ? READ : ASK;
}

/* Now and then: what is read here would be there also if the daemon is not. */
static bool daemon_is_there(const struct use *u)
{
    uint32_t reads = atomic_fetch_add_explicit(&u->checkpoint->reads, 1,
                                               memory_order_relaxed);

    return reads % CHECK_EVERY != 0 || !conn_is_dead(&u->instance->conn);
}

bool sackpt_direct_read(const struct use *u, const SaCkptSectionIdT *id,
                        uint64_t offset, void *to, uint64_t size, uint64_t *got)
{
    struct direct *d =
        atomic_load_explicit(&u->checkpoint->direct, memory_order_acquire);
    enum outcome outcome = AGAIN;
    struct known k;

    if (d == NULL || !known_of(id, &k) || !look_up(d, &k) ||
        !daemon_is_there(u))
        return false;
    for (int i = 0; i < READ_TRIES && outcome == AGAIN; i++)
        outcome = read_once(&u->instance->conn, &k, offset, to, size, got);
    return outcome == READ;
}
