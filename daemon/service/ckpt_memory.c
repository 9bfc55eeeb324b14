/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/ckpt_memory.h"

#include "daemon/base/check.h"

#include <stdlib.h>

enum { CLASS_MALLOC = CKPT_MEMORY_CLASSES };

/* In front of each block. A free one has the one before it in its list behind
 * its head. The buddy of a block begins where that one's address differs from
 * its own in the bit of its size; it is a block of the same class, or has been
 * split, and then its first part, of a smaller class, has the head there. So
 * what is read at that place is always a head. */
struct ckpt_item {
    struct ckpt_item *next; /* of its class, or of the garbage */
    uint32_t class;
    uint16_t is_free;
    uint16_t reserved;
    struct ckpt_item *prev; /* of a free one; else what the block holds */
};
_Static_assert(offsetof(struct ckpt_item, prev) == CKPT_MEMORY_HEAD, "head");
_Static_assert(sizeof(struct ckpt_item) <= CKPT_MEMORY_BLOCK_MIN, "head");

static struct ckpt_item *item_of(void *memory)
{
    return (struct ckpt_item *)(void *)((uint8_t *)memory - CKPT_MEMORY_HEAD);
}

static uint64_t size_of_class(uint32_t class)
{
    return (uint64_t)CKPT_MEMORY_BLOCK_MIN << class;
}

void ckpt_memory_init(struct ckpt_memory *m, uint8_t *arena, uint64_t size)
{
    *m = (struct ckpt_memory){.arena = arena,
                              .arena_size = size,
                              .arena_used = CKPT_MEMORY_BLOCK_MAX};
}

bool ckpt_memory_is_shared(const struct ckpt_memory *m, const void *memory)
{
    uintptr_t at = (uintptr_t)memory, base = (uintptr_t)m->arena;

    return m->arena != NULL && at >= base && at - base < m->arena_size;
}

/* --- free lists ----------------------------------------------------------- */

static void push(struct ckpt_memory *m, struct ckpt_item *item, uint32_t class)
{
    *item = (struct ckpt_item){
        .next = m->free[class], .class = class, .is_free = 1, .prev = NULL};
    if (item->next != NULL)
        item->next->prev = item;
    m->free[class] = item;
}

static void unlink_free(struct ckpt_memory *m, struct ckpt_item *item)
{
    if (item->next != NULL)
        item->next->prev = item->prev;
    if (item->prev != NULL)
        item->prev->next = item->next;
    else
        m->free[item->class] = item->next;
    item->is_free = 0;
}

/* --- blocks --------------------------------------------------------------- */

/* A free block of at least this class, or NULL. */
static struct ckpt_item *find(struct ckpt_memory *m, uint32_t class)
{
    for (; class < CKPT_MEMORY_CLASSES; class ++)
        if (m->free[class] != NULL)
            return m->free[class];
    return NULL;
}

/* One more of the largest, from the part of the arena that was never used. */
static bool extend(struct ckpt_memory *m)
{
    if (m->arena == NULL || m->arena_size < m->arena_used ||
        m->arena_size - m->arena_used < CKPT_MEMORY_BLOCK_MAX)
        return false;
    push(m, (struct ckpt_item *)(void *)(m->arena + m->arena_used),
         CKPT_MEMORY_CLASSES - 1);
    m->arena_used += CKPT_MEMORY_BLOCK_MAX;
    return true;
}

static struct ckpt_item *block_get(struct ckpt_memory *m, uint32_t class)
{
    struct ckpt_item *item = find(m, class);

    if (item == NULL && extend(m))
        item = find(m, class);
    if (item == NULL)
        return NULL;
    unlink_free(m, item);
    while (item->class > class) {
        item->class --;
        push(m,
             (struct ckpt_item *)(void *)((uint8_t *)item +
                                          size_of_class(item->class)),
             item->class);
    }
    return item;
}

static void block_free(struct ckpt_memory *m, struct ckpt_item *item)
{
    uint32_t class = item->class;

    while (class < CKPT_MEMORY_CLASSES - 1) {
        uint64_t at = (uint64_t)((uint8_t *)item - m->arena);
        struct ckpt_item *buddy =
            (struct ckpt_item *)(void *)(m->arena +
                                         (at ^ size_of_class(class)));
        if (!buddy->is_free || buddy->class != class)
            break;
        unlink_free(m, buddy);
        if (buddy < item)
            item = buddy;
        class ++;
    }
    push(m, item, class);
}

/* --- all ------------------------------------------------------------------ */

void *ckpt_memory_try(struct ckpt_memory *m, size_t bytes)
{
    size_t with_head = bytes + CKPT_MEMORY_HEAD;
    struct ckpt_item *item = NULL;
    uint32_t class = 0;

    if (with_head <= CKPT_MEMORY_BLOCK_MAX) {
        while (size_of_class(class) < with_head)
            class ++;
        item = block_get(m, class);
    }
    if (item == NULL) {
        item = malloc(with_head < sizeof *item ? sizeof *item : with_head);
        class = CLASS_MALLOC;
    }
    if (item == NULL)
        return NULL;
    item->next = NULL;
    item->class = class;
    item->is_free = 0;
    return (uint8_t *)item + CKPT_MEMORY_HEAD;
}

void *ckpt_memory_get(struct ckpt_memory *m, size_t bytes)
{
    void *memory = ckpt_memory_try(m, bytes);

    CHECK(memory != NULL);
    return memory;
}

static void item_free(struct ckpt_memory *m, struct ckpt_item *item)
{
    CHECK(!item->is_free);
    if (item->class == CLASS_MALLOC)
        free(item);
    else
        block_free(m, item);
}

void ckpt_memory_free(struct ckpt_memory *m, void *memory)
{
    if (memory != NULL)
        item_free(m, item_of(memory));
}

void ckpt_memory_retire(struct ckpt_memory *m, void *memory)
{
    struct ckpt_item *item = item_of(memory);

    item->next = NULL;
    if (m->garbage == NULL)
        m->garbage = item;
    else
        m->garbage_end->next = item;
    m->garbage_end = item;
    /* The size of what malloc() gave is not known; it may be much. */
    m->garbage_bytes += item->class == CLASS_MALLOC
                            ? CKPT_MEMORY_BLOCK_MAX / 16
                            : size_of_class(item->class);
}

struct ckpt_item *ckpt_memory_garbage_take(struct ckpt_memory *m)
{
    struct ckpt_item *items = m->garbage;

    m->garbage = m->garbage_end = NULL;
    m->garbage_bytes = 0;
    return items;
}

void ckpt_memory_garbage_return(struct ckpt_memory *m, struct ckpt_item *items)
{
    while (items != NULL) {
        struct ckpt_item *next = items->next;
        item_free(m, items);
        items = next;
    }
}
