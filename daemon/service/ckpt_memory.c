/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/ckpt_memory.h"

#include "daemon/base/check.h"

#include <stdlib.h>

/* In front of each block. A free one has the one before it in its list behind
 * its head. The buddy of a block begins where that one's address differs from
 * its own in the bit of its size; it is a block of the same class, or has been
 * split, and then its first part, of a smaller class, has the head there. So
 * what is read at that place is always a head. */
struct ckpt_item {
    union {
        struct ckpt_item *next; /* of its class, or of the garbage */
        uint64_t stamp;         /* of a block that somebody has */
    };
    uint8_t class;
    uint8_t is_free, is_malloc;
    uint8_t levels, first, count; /* of garbage: see struct ckpt_tree */
    uint16_t bare; /* of a free one: the round in which it became so; 0: not */
    struct ckpt_item *prev; /* of a free one; else what the block holds */
};
_Static_assert(offsetof(struct ckpt_item, prev) == CKPT_MEMORY_HEAD, "head");
_Static_assert(sizeof(struct ckpt_item) <= CKPT_MEMORY_BLOCK_MIN, "head");
_Static_assert(sizeof(void *) == 8, "pointers are words of the arena");

/* Of a node: where the names in it begin. */
enum { NODE_FIRST = 1 };

/* Blocks freed for each that is taken: what is freed a little at a time is then
 * freed faster than new garbage can be made. */
enum { FREED_PER_BLOCK = 2 };

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
                              .arena_used = CKPT_MEMORY_BLOCK_MAX,
                              .round = 1};
}

void ckpt_memory_grow(struct ckpt_memory *m, uint64_t size)
{
    CHECK(m->arena != NULL && size >= m->arena_size);
    m->arena_size = size;
}

bool ckpt_memory_is_shared(const struct ckpt_memory *m, const void *memory)
{
    uintptr_t at = (uintptr_t)memory, base = (uintptr_t)m->arena;

    return m->arena != NULL && at >= base && at - base < m->arena_size;
}

/* --- free lists ----------------------------------------------------------- */

/* Bytes that are given back when it becomes bare; 0: it is too small. */
static uint64_t pages_of(const struct ckpt_item *item)
{
    uint64_t size = size_of_class(item->class);

    return size < CKPT_MEMORY_BARE_MIN ? 0 : size - CKPT_MEMORY_PAGE;
}

static bool is_bare(const struct ckpt_memory *m, const struct ckpt_item *item)
{
    return item->bare == m->round && pages_of(item) > 0;
}

static void push(struct ckpt_memory *m, struct ckpt_item *item, uint32_t class,
                 uint16_t bare)
{
    struct ckpt_list *list;

    *item = (struct ckpt_item){
        .class = (uint8_t) class, .is_free = 1, .bare = bare};
    list = is_bare(m, item) ? &m->bare[class] : &m->free[class];
    item->next = list->first;
    if (item->next != NULL)
        item->next->prev = item;
    else
        list->last = item;
    list->first = item;
    *(is_bare(m, item) ? &m->bare_bytes : &m->idle_bytes) += pages_of(item);
}

static void unlink_free(struct ckpt_memory *m, struct ckpt_item *item)
{
    struct ckpt_list *list =
        is_bare(m, item) ? &m->bare[item->class] : &m->free[item->class];

    *(item->next != NULL ? &item->next->prev : &list->last) = item->prev;
    *(item->prev != NULL ? &item->prev->next : &list->first) = item->next;
    item->is_free = 0;
    *(is_bare(m, item) ? &m->bare_bytes : &m->idle_bytes) -= pages_of(item);
    if (m->idle_low > m->idle_bytes)
        m->idle_low = m->idle_bytes;
}

/* --- blocks --------------------------------------------------------------- */

/* A free block of at least this class, or NULL. */
static struct ckpt_item *find(struct ckpt_memory *m, uint32_t class)
{
    for (; class < CKPT_MEMORY_CLASSES; class ++) {
        if (m->free[class].first != NULL)
            return m->free[class].first;
        if (m->bare[class].first != NULL)
            return m->bare[class].first;
    }
    return NULL;
}

/* One more of the largest, from the part of the arena that was never used. */
static bool extend(struct ckpt_memory *m)
{
    if (m->arena == NULL || m->arena_size < m->arena_used ||
        m->arena_size - m->arena_used < CKPT_MEMORY_BLOCK_MAX)
        return false;
    push(m, (struct ckpt_item *)(void *)(m->arena + m->arena_used),
         CKPT_MEMORY_CLASSES - 1, m->round);
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
             item->class, item->bare);
    }
    return item;
}

/* `bare`: this block; what it is joined to is not, for its parts have first
 * pages of their own. */
static void block_free(struct ckpt_memory *m, struct ckpt_item *item,
                       uint16_t bare)
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
        bare = 0;
    }
    push(m, item, class, bare);
}

/* --- giving memory back --------------------------------------------------- */

void ckpt_memory_idle_begin(struct ckpt_memory *m)
{
    m->idle_low = m->idle_bytes;
}

/* A free block that is not bare, of no more than so many bytes, the largest
 * first; NULL: none. */
static struct ckpt_item *idle_find(const struct ckpt_memory *m, uint64_t most)
{
    for (uint32_t class = CKPT_MEMORY_CLASSES; class -- > 0;) {
        struct ckpt_item *item = m->free[class].first;
        if (item != NULL && pages_of(item) > 0 && pages_of(item) <= most)
            return item;
    }
    return NULL;
}

uint32_t ckpt_memory_idle_take(struct ckpt_memory *m, struct ckpt_idle *idle,
                               uint32_t max)
{
    uint64_t left = m->idle_low;
    uint32_t count = 0;
    struct ckpt_item *item;

    while (count < max && (item = idle_find(m, left)) != NULL) {
        left -= pages_of(item);
        unlink_free(m, item);
        idle[count++] = (struct ckpt_idle){
            .offset = (uint64_t)((uint8_t *)item - m->arena) + CKPT_MEMORY_PAGE,
            .bytes = pages_of(item)};
    }
    m->idle_low = left;
    return count;
}

void ckpt_memory_idle_return(struct ckpt_memory *m,
                             const struct ckpt_idle *idle, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        block_free(m,
                   (struct ckpt_item *)(void *)(m->arena + idle[i].offset -
                                                CKPT_MEMORY_PAGE),
                   m->round);
}

static void splice(struct ckpt_list *to, struct ckpt_list *from)
{
    if (from->first == NULL)
        return;
    *(to->first != NULL ? &to->first->prev : &to->last) = from->last;
    from->last->next = to->first;
    to->first = from->first;
    *from = (struct ckpt_list){.first = NULL};
}

/* After so many rounds it is left at that: nobody is to believe a number of
 * long ago. */
void ckpt_memory_idle_all(struct ckpt_memory *m)
{
    if (m->round == UINT16_MAX)
        return;
    m->round++;
    for (uint32_t class = 0; class < CKPT_MEMORY_CLASSES; class ++)
        splice(&m->free[class], &m->bare[class]);
    m->idle_bytes += m->bare_bytes;
    m->bare_bytes = 0;
}

uint64_t ckpt_memory_taken(const struct ckpt_memory *m)
{
    return m->arena_used - m->bare_bytes;
}

/* --- all ------------------------------------------------------------------ */

static uint32_t class_of(size_t bytes)
{
    size_t with_head = bytes + CKPT_MEMORY_HEAD;
    uint32_t class = 0;

    while (class < CKPT_MEMORY_CLASSES && size_of_class(class) < with_head)
        class ++;
    return class;
}

uint64_t ckpt_memory_block_bytes(size_t bytes)
{
    return size_of_class(class_of(bytes));
}

void *ckpt_memory_try(struct ckpt_memory *m, size_t bytes)
{
    uint32_t class = class_of(bytes);
    struct ckpt_item *item = NULL;
    bool is_malloc;

    CHECK(class < CKPT_MEMORY_CLASSES);
    ckpt_memory_free_some(m, FREED_PER_BLOCK);
    item = block_get(m, class);
    is_malloc = item == NULL;
    if (is_malloc)
        item = malloc(size_of_class(class));
    if (item == NULL)
        return NULL;
    item->stamp = 0;
    item->class = (uint8_t) class;
    item->is_free = 0;
    item->is_malloc = is_malloc;
    return (uint8_t *)item + CKPT_MEMORY_HEAD;
}

void *ckpt_memory_get(struct ckpt_memory *m, size_t bytes)
{
    void *memory = ckpt_memory_try(m, bytes);

    CHECK(memory != NULL);
    return memory;
}

uint64_t ckpt_memory_stamp(const void *memory)
{
    return item_of((void *)(uintptr_t)memory)->stamp;
}

void ckpt_memory_stamp_set(void *memory, uint64_t stamp)
{
    item_of(memory)->stamp = stamp;
}

static void item_free(struct ckpt_memory *m, struct ckpt_item *item)
{
    CHECK(!item->is_free);
    if (item->is_malloc)
        free(item);
    else
        block_free(m, item, 0);
}

void ckpt_memory_free(struct ckpt_memory *m, void *memory)
{
    if (memory != NULL)
        item_free(m, item_of(memory));
}

/* --- garbage -------------------------------------------------------------- */

void ckpt_memory_retire_tree(struct ckpt_memory *m, void *memory,
                             struct ckpt_tree tree)
{
    struct ckpt_item *item = item_of(memory);

    item->next = NULL;
    item->levels = tree.levels;
    item->first = tree.first;
    item->count = tree.count;
    if (m->garbage == NULL)
        m->garbage = item;
    else
        m->garbage_end->next = item;
    m->garbage_end = item;
    m->garbage_bytes += size_of_class(item->class) + tree.bytes;
}

void ckpt_memory_retire(struct ckpt_memory *m, void *memory)
{
    ckpt_memory_retire_tree(m, memory, (struct ckpt_tree){.levels = 0});
}

struct ckpt_item *ckpt_memory_garbage_take(struct ckpt_memory *m)
{
    struct ckpt_item *items = m->garbage;

    m->garbage = m->garbage_end = NULL;
    m->away += items != NULL;
    m->away_bytes += m->garbage_bytes;
    m->garbage_bytes = 0;
    return items;
}

/* The first word of the first block, which nobody needs any more, names the lot
 * that was returned before. */
void ckpt_memory_garbage_return(struct ckpt_memory *m, struct ckpt_item *items)
{
    if (items == NULL)
        return;
    items->prev = m->returned;
    m->returned = items;
}

/* The next block that hangs on this one, as garbage of its own; NULL: there is
 * none left. */
static struct ckpt_item *hanging(struct ckpt_item *item)
{
    void *const *words = (void *)((uint8_t *)item + CKPT_MEMORY_HEAD);

    while (item->levels > 0 && item->count > 0) {
        void *memory = words[item->first + --item->count];
        if (memory == NULL)
            continue;
        struct ckpt_item *below = item_of(memory);
        below->levels = (uint8_t)(item->levels - 1);
        below->first = NODE_FIRST;
        below->count = CKPT_MEMORY_NODE_FAN;
        return below;
    }
    return NULL;
}

/* The last block below the first one that is to be freed now comes to stand in
 * front of it. */
static void descend(struct ckpt_memory *m)
{
    struct ckpt_item *below;

    while ((below = hanging(m->freeing)) != NULL) {
        below->next = m->freeing;
        m->freeing = below;
    }
}

bool ckpt_memory_free_some(struct ckpt_memory *m, uint32_t count)
{
    for (; count > 0; count--) {
        if (m->freeing == NULL) {
            m->freeing = m->returned;
            if (m->freeing == NULL)
                return false;
            m->returned = m->freeing->prev;
        }
        descend(m);
        struct ckpt_item *item = m->freeing;
        m->freeing = item->next;
        item_free(m, item);
        if (m->freeing == NULL && --m->away == 0)
            m->away_bytes = 0;
    }
    return m->freeing != NULL || m->returned != NULL;
}
