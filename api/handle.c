/* SPDX-License-Identifier: BSD-3-Clause */
/* handle.c - handles of the client libraries.
 *
 * A handle is (generation, index + 1). A slot's state is one word: generation,
 * a bit for "being finalized", a count of users (the handle itself is one). All
 * changes are compare-and-swap on it, so a call costs two atomic operations and
 * no lock, and a handle that is old, forged or finalized is found out before
 * the object is touched. Slots are never freed. */
#include "api/handle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { FREE_BIT = 31, CLOSING_BIT = 30 };

#define SLOT_FREE ((uint64_t)1 << FREE_BIT)
#define SLOT_CLOSING ((uint64_t)1 << CLOSING_BIT)
#define SLOT_USERS (SLOT_CLOSING - 1)

struct slot {
    _Atomic uint64_t state; /* generation << 32 | bits | users */
    const void *kind;
    const struct handle_ops *ops;
    void *object;
    bool known; /* ever used; guarded by table_lock */
};

static struct slot slots[HANDLES_MAX];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t next_slot; /* guarded by table_lock */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct slot *slot_of(uint64_t handle)
{
    uint32_t index = (uint32_t)handle - 1;
    return index < HANDLES_MAX ? &slots[index] : NULL;
}

/* --- fork ----------------------------------------------------------------- */

static void before_fork(void)
{
    pthread_mutex_lock(&table_lock);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&table_lock);
}

/* The objects are the parent's, so the child's handles go out of use. The
 * objects are left alone but for `forked`: a thread of the parent may have been
 * at work on them. Their memory is lost, once; the rings were not inherited. */
static void after_fork_child(void)
{
    for (uint32_t i = 0; i < HANDLES_MAX; i++) {
        struct slot *s = &slots[i];
        uint64_t state = atomic_load_explicit(&s->state, memory_order_relaxed);
        if (!s->known || (state & SLOT_FREE) != 0)
            continue;
        if (s->ops->forked != NULL)
            s->ops->forked(s->object);
        atomic_store_explicit(&s->state, ((state >> 32) + 1) << 32 | SLOT_FREE,
                              memory_order_relaxed);
    }
    pthread_mutex_unlock(&table_lock);
}

static void register_fork(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* --- handles -------------------------------------------------------------- */

uint64_t handle_new(uint64_t *at, const void *kind,
                    const struct handle_ops *ops, void *object)
{
    uint64_t handle = 0;

    pthread_once(&once, register_fork);
    pthread_mutex_lock(&table_lock);
    for (uint32_t tried = 0; handle == 0 && tried < HANDLES_MAX; tried++) {
        uint32_t index = next_slot++ % HANDLES_MAX;
        struct slot *s = &slots[index];
        uint64_t state = atomic_load_explicit(&s->state, memory_order_relaxed);
        if (s->known && (state & SLOT_FREE) == 0)
            continue;
        /* Not 0, so that small numbers are never handles. */
        uint64_t generation = (state >> 32) == 0 ? 1 : state >> 32;
        s->known = true;
        s->kind = kind;
        s->ops = ops;
        s->object = object;
        *at = handle = generation << 32 | (index + 1);
        /* Release: pairs with the acquire in slot_get(), so that a thread that
         * finds the handle finds the object complete. */
        atomic_store_explicit(&s->state, generation << 32 | 1,
                              memory_order_release);
    }
    pthread_mutex_unlock(&table_lock);
    return handle;
}

/* One user more, if the handle is one of this kind. */
static struct slot *slot_get(uint64_t handle, const void *kind)
{
    struct slot *s = slot_of(handle);
    uint64_t state;

    if (s == NULL)
        return NULL;
    state = atomic_load_explicit(&s->state, memory_order_relaxed);
    do {
        if (state >> 32 != handle >> 32 ||
            (state & (SLOT_FREE | SLOT_CLOSING)) != 0 ||
            (state & SLOT_USERS) == 0)
            return NULL;
    } while (!atomic_compare_exchange_weak_explicit(
        &s->state, &state, state + 1, memory_order_acquire,
        memory_order_relaxed));
    if (s->kind == kind)
        return s;
    handle_put(handle);
    return NULL;
}

void *handle_get(uint64_t handle, const void *kind)
{
    struct slot *s = slot_get(handle, kind);
    return s != NULL ? s->object : NULL;
}

void handle_put(uint64_t handle)
{
    struct slot *s = slot_of(handle);
    uint64_t state = atomic_load_explicit(&s->state, memory_order_relaxed);

    /* In a child made by fork() meanwhile the slot has moved on: the object is
     * not there to be used or freed. */
    do {
        if (state >> 32 != handle >> 32)
            return;
    } while (!atomic_compare_exchange_weak_explicit(
        &s->state, &state, state - 1, memory_order_acq_rel,
        memory_order_relaxed));
    /* acq_rel: what all other users did comes before the destruction. */
    if (((state - 1) & SLOT_USERS) != 0)
        return;
    /* Under the lock, so that a fork comes before or after all of it. */
    pthread_mutex_lock(&table_lock);
    s->ops->destroy(s->object);
    uint64_t generation = ((state >> 32) + 1) & UINT32_MAX;
    atomic_store_explicit(&s->state, generation << 32 | SLOT_FREE,
                          memory_order_relaxed);
    pthread_mutex_unlock(&table_lock);
}

/* By a caller that has got the slot. */
static bool slot_finalize(struct slot *s, uint64_t handle)
{
    uint64_t state = atomic_load_explicit(&s->state, memory_order_relaxed);

    do {
        /* In a child made by fork() meanwhile the slot has moved on. */
        if (state >> 32 != handle >> 32 || (state & SLOT_CLOSING) != 0)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &s->state, &state, state | SLOT_CLOSING, memory_order_acquire,
        memory_order_relaxed));
    /* Ours is the one call that got here, and the handle's own count keeps the
     * object until the put. */
    if (s->ops->end != NULL)
        s->ops->end(s->object);
    handle_put(handle);
    return true;
}

bool handle_finalize(uint64_t handle, const void *kind)
{
    struct slot *s = slot_get(handle, kind);
    bool mine;

    if (s == NULL)
        return false;
    mine = slot_finalize(s, handle);
    handle_put(handle);
    return mine;
}
