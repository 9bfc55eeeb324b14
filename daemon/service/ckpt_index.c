/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/ckpt_index.h"

#include "daemon/base/check.h"

#include <stdbool.h>
#include <stddef.h>

enum { BITS = 4, FAN = 1 << BITS, DEPTH_MAX = 64 / BITS };

/* Its slots are decided by the key's bits from `shift` on. What a slot names:
 * in the trie of numbers an entry if the shift is 0, else a node; in that of
 * hashes either, the lowest bit says which. */
struct ckpt_index_node {
    uint32_t shift;
    uint32_t count; /* writer's: of slots that are used */
    _Atomic uintptr_t slots[FAN];
};

typedef _Atomic(struct ckpt_index_node *) root_pointer;

enum { IS_ENTRY = 1 };

static uint32_t digit(uint64_t key, uint32_t shift)
{
    return (uint32_t)(key >> shift) & (FAN - 1);
}

/* Acquire: pairs with slot_set(); who finds it finds it complete. */
static uintptr_t slot_get(const struct ckpt_index_node *n, uint32_t i)
{
    return atomic_load_explicit(&n->slots[i], memory_order_acquire);
}

static void slot_set(struct ckpt_index_node *n, uint32_t i, uintptr_t value)
{
    n->count += value != 0;
    n->count -= atomic_load_explicit(&n->slots[i], memory_order_relaxed) != 0;
    atomic_store_explicit(&n->slots[i], value, memory_order_release);
}

static struct ckpt_index_node *root_get(const root_pointer *root)
{
    return atomic_load_explicit(root, memory_order_acquire);
}

static struct ckpt_index_node *node_new(struct ckpt_memory *m, uint32_t shift)
{
    struct ckpt_index_node *n = ckpt_memory_get(m, sizeof *n);

    n->shift = shift;
    n->count = 0;
    for (uint32_t i = 0; i < FAN; i++)
        atomic_init(&n->slots[i], 0);
    return n;
}

/* --- paths ---------------------------------------------------------------- */

/* From the root to a slot. */
struct path {
    struct ckpt_index_node *nodes[DEPTH_MAX];
    uint32_t depth;
};

/* Empties the slot of the key at the end of the path, and drops the nodes that
 * are empty then. */
static void path_clear(struct path *p, root_pointer *root,
                       struct ckpt_memory *m, uint64_t key)
{
    while (p->depth > 0) {
        struct ckpt_index_node *n = p->nodes[--p->depth];
        slot_set(n, digit(key, n->shift), 0);
        if (n->count > 0)
            return;
        ckpt_memory_retire(m, n);
    }
    atomic_store_explicit(root, NULL, memory_order_release);
}

/* --- by number ------------------------------------------------------------ */

/* The largest number that is below a root with this shift. */
static uint64_t reach(uint32_t shift)
{
    return shift + BITS >= 64 ? UINT64_MAX : ((uint64_t)FAN << shift) - 1;
}

/* A root from which the number is to be reached: above the one that there is,
 * as many as it takes. */
static struct ckpt_index_node *root_for(struct ckpt_index *x,
                                        struct ckpt_memory *m, uint64_t number)
{
    struct ckpt_index_node *n = root_get(&x->numbers), *below;
    uint32_t shift = 0;

    while (n == NULL && number > reach(shift))
        shift += BITS;
    while (n == NULL || number > reach(n->shift)) {
        below = n;
        n = node_new(m, below == NULL ? shift : below->shift + BITS);
        if (below != NULL)
            slot_set(n, 0, (uintptr_t)below);
        atomic_store_explicit(&x->numbers, n, memory_order_release);
    }
    return n;
}

static void number_add(struct ckpt_index *x, struct ckpt_memory *m,
                       struct ckpt_entry *e)
{
    struct ckpt_index_node *n = root_for(x, m, e->number), *below;

    for (; n->shift > 0; n = below) {
        below = (void *)slot_get(n, digit(e->number, n->shift));
        if (below == NULL) {
            below = node_new(m, n->shift - BITS);
            slot_set(n, digit(e->number, n->shift), (uintptr_t)below);
        }
    }
    slot_set(n, digit(e->number, 0), (uintptr_t)e);
    x->last = e->number;
}

static void number_remove(struct ckpt_index *x, struct ckpt_memory *m,
                          uint64_t number)
{
    struct ckpt_index_node *n = root_get(&x->numbers);
    struct path p = {.depth = 0};

    for (;; n = (void *)slot_get(n, digit(number, n->shift))) {
        CHECK(n != NULL);
        p.nodes[p.depth++] = n;
        if (n->shift == 0)
            break;
    }
    path_clear(&p, &x->numbers, m, number);
}

/* The first from this number on. Nodes that have just been emptied may be met,
 * by readers, so that it may have to look behind one. */
static struct ckpt_entry *number_from(const struct ckpt_index_node *n,
                                      uint64_t number)
{
    for (uint32_t i = digit(number, n->shift); i < FAN; i++, number = 0) {
        uintptr_t slot = slot_get(n, i);
        struct ckpt_entry *e;
        if (slot == 0)
            continue;
        e = n->shift == 0 ? (void *)slot : number_from((void *)slot, number);
        if (e != NULL)
            return e;
    }
    return NULL;
}

struct ckpt_entry *ckpt_index_next(const struct ckpt_index *x, uint64_t after)
{
    const struct ckpt_index_node *n = root_get(&x->numbers);

    return n == NULL || after >= reach(n->shift) ? NULL
                                                 : number_from(n, after + 1);
}

/* --- by hash -------------------------------------------------------------- */

static struct ckpt_entry *entry_in(uintptr_t slot)
{
    return (slot & IS_ENTRY) != 0 ? (void *)(slot - IS_ENTRY) : NULL;
}

static uintptr_t slot_of(struct ckpt_entry *e)
{
    return (uintptr_t)e + IS_ENTRY;
}

struct ckpt_entry *ckpt_entry_same(const struct ckpt_entry *e)
{
    return atomic_load_explicit(&e->same, memory_order_acquire);
}

static void same_set(struct ckpt_entry *e, struct ckpt_entry *same)
{
    atomic_store_explicit(&e->same, same, memory_order_release);
}

struct ckpt_entry *ckpt_index_find(const struct ckpt_index *x, uint64_t hash)
{
    const struct ckpt_index_node *n = root_get(&x->hashes);

    while (n != NULL) {
        uintptr_t slot = slot_get(n, digit(hash, n->shift));
        struct ckpt_entry *e = entry_in(slot);
        if (e != NULL)
            return e->hash == hash ? e : NULL;
        n = (void *)slot;
    }
    return NULL;
}

/* A node that has the entry which is in a slot of `above`, in its place. */
static struct ckpt_index_node *split(struct ckpt_memory *m,
                                     struct ckpt_index_node *above,
                                     struct ckpt_entry *e)
{
    struct ckpt_index_node *n = node_new(m, above->shift + BITS);

    slot_set(n, digit(e->hash, n->shift), slot_of(e));
    slot_set(above, digit(e->hash, above->shift), (uintptr_t)n);
    return n;
}

static void hash_add(struct ckpt_index *x, struct ckpt_memory *m,
                     struct ckpt_entry *e)
{
    struct ckpt_index_node *n = root_get(&x->hashes);

    if (n == NULL) {
        n = node_new(m, 0);
        atomic_store_explicit(&x->hashes, n, memory_order_release);
    }
    for (;;) {
        uint32_t i = digit(e->hash, n->shift);
        uintptr_t slot = slot_get(n, i);
        struct ckpt_entry *there = entry_in(slot);
        if (slot == 0 || (there != NULL && there->hash == e->hash)) {
            same_set(e, there);
            slot_set(n, i, slot_of(e));
            return;
        }
        n = there != NULL ? split(m, n, there) : (void *)slot;
    }
}

/* Takes it out of the chain behind `first`. */
static void same_remove(struct ckpt_entry *first, const struct ckpt_entry *e)
{
    while (first != NULL && ckpt_entry_same(first) != e)
        first = ckpt_entry_same(first);
    if (first != NULL)
        same_set(first, ckpt_entry_same(e));
}

/* It need not be there. */
static void hash_remove(struct ckpt_index *x, struct ckpt_memory *m,
                        struct ckpt_entry *e)
{
    struct ckpt_index_node *n = root_get(&x->hashes);
    struct ckpt_entry *first = NULL;
    struct path p = {.depth = 0};

    while (n != NULL && first == NULL) {
        uintptr_t slot = slot_get(n, digit(e->hash, n->shift));
        p.nodes[p.depth++] = n;
        first = entry_in(slot);
        if (first == NULL)
            n = (void *)slot;
    }
    if (first != e)
        same_remove(first, e);
    else if (ckpt_entry_same(e) == NULL)
        path_clear(&p, &x->hashes, m, e->hash);
    else
        slot_set(n, digit(e->hash, n->shift), slot_of(ckpt_entry_same(e)));
}

/* --- both ----------------------------------------------------------------- */

void ckpt_index_add(struct ckpt_index *x, struct ckpt_memory *m,
                    struct ckpt_entry *e)
{
    CHECK(e->number > x->last);
    number_add(x, m, e);
    hash_add(x, m, e);
}

void ckpt_index_hide(struct ckpt_index *x, struct ckpt_memory *m,
                     struct ckpt_entry *e)
{
    hash_remove(x, m, e);
}

void ckpt_index_remove(struct ckpt_index *x, struct ckpt_memory *m,
                       struct ckpt_entry *e)
{
    hash_remove(x, m, e);
    number_remove(x, m, e->number);
}
