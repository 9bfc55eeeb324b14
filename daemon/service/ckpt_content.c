/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/ckpt_content.h"

#include "daemon/base/check.h"

enum { FAN = ARENA_FAN, LEVELS_MAX = 8 };

struct node {
    uint64_t blocks; /* chunks below */
    void *slots[FAN];
};
_Static_assert(sizeof(struct node) == sizeof(struct arena_node), "arena ABI");

/* A content that is being made. Blocks with its version are its own, and may be
 * written to; all others are shared. */
struct tree {
    struct ckpt_memory *m;
    uint64_t version, size;
    uint32_t levels, blocks;
    void *slots[FAN];
};

/* --- shapes --------------------------------------------------------------- */

static uint64_t chunks_of(uint64_t size)
{
    return size / STORE_CHUNK_SIZE + (size % STORE_CHUNK_SIZE != 0);
}

/* Chunks below each slot of a block with so many levels below it. */
static uint64_t span_of(uint32_t levels)
{
    uint64_t span = 1;

    while (levels-- > 0)
        span *= FAN;
    return span;
}

static uint32_t levels_for(uint64_t size)
{
    uint32_t levels = 0;

    while (chunks_of(size) > span_of(levels) * FAN)
        levels++;
    return levels;
}

/* --- blocks --------------------------------------------------------------- */

static void *block_new(struct tree *t, size_t bytes)
{
    void *block = ckpt_memory_get(t->m, bytes);

    ckpt_memory_stamp_set(block, t->version);
    return block;
}

static bool is_own(const struct tree *t, const void *block)
{
    return ckpt_memory_stamp(block) == t->version;
}

/* The block alone. Nobody has seen what is this tree's own. */
static void block_drop(struct tree *t, void *block)
{
    if (is_own(t, block))
        ckpt_memory_free(t->m, block);
    else
        ckpt_memory_retire(t->m, block);
}

/* How many chunks are in what a slot with so many levels below it names. */
static uint64_t blocks_in(const void *block, uint32_t levels)
{
    return block == NULL ? 0 : levels == 0 ? 1 : ((struct node *)block)->blocks;
}

/* A node of this tree's own in place of a shared one, or of none. */
static struct node *own_node(struct tree *t, void **slot)
{
    struct node *was = *slot, *n;

    if (was != NULL && is_own(t, was))
        return was;
    n = block_new(t, sizeof *n);
    if (was != NULL) {
        *n = *was;
        ckpt_memory_retire(t->m, was);
    } else {
        *n = (struct node){.blocks = 0};
    }
    *slot = n;
    return n;
}

/* With all that is below it, none of which is this tree's own. */
static void branch_retire(struct tree *t, void *block, uint32_t levels)
{
    if (levels == 0)
        ckpt_memory_retire(t->m, block);
    else
        ckpt_memory_retire_tree(
            t->m, block,
            (struct ckpt_tree){
                .levels = (uint8_t)levels,
                .first = offsetof(struct node, slots) / sizeof(void *),
                .count = FAN,
                .bytes = blocks_in(block, levels) *
                         ckpt_memory_block_bytes(STORE_CHUNK_SIZE)});
}

/* --- cutting and extending ------------------------------------------------ */

/* Drops all chunks but the first `keep` from slots with so many levels below
 * them; how many there were. */
static uint64_t cut(struct tree *t, void **slots, uint32_t levels,
                    uint64_t keep)
{
    uint64_t span = span_of(levels), i = keep / span, dropped = 0;

    CHECK(levels <= LEVELS_MAX);
    if (i < FAN && keep % span != 0) {
        if (slots[i] != NULL) {
            struct node *n = own_node(t, &slots[i]);
            dropped = cut(t, n->slots, levels - 1, keep % span);
            n->blocks -= dropped;
        }
        i++;
    }
    for (; i < FAN; i++) {
        if (slots[i] == NULL)
            continue;
        dropped += blocks_in(slots[i], levels);
        branch_retire(t, slots[i], levels);
        slots[i] = NULL;
    }
    return dropped;
}

static void level_add(struct tree *t)
{
    void *top = NULL;

    if (t->blocks > 0) {
        struct node *n = own_node(t, &top);
        n->blocks = t->blocks;
        memcpy(n->slots, t->slots, sizeof n->slots);
    }
    memset(t->slots, 0, sizeof t->slots);
    t->slots[0] = top;
    t->levels++;
}

/* All is below the first slot. */
static void level_remove(struct tree *t)
{
    struct node *n = t->slots[0];

    if (n != NULL) {
        memcpy(t->slots, n->slots, sizeof t->slots);
        block_drop(t, n);
    }
    t->levels--;
}

/* The slot of a chunk, in nodes of this tree's own; `added`: how many chunks
 * more there are to be in it. */
static void **chunk_slot(struct tree *t, uint64_t chunk, uint32_t added)
{
    uint64_t span = span_of(t->levels);
    void **slot = &t->slots[chunk / span];

    for (uint32_t level = t->levels; level > 0; level--) {
        struct node *n = own_node(t, slot);
        n->blocks += added;
        chunk %= span;
        span /= FAN;
        slot = &n->slots[chunk / span];
    }
    t->blocks += added;
    return slot;
}

static const uint8_t *chunk_find(void *const *slots, uint32_t levels,
                                 uint64_t chunk)
{
    uint64_t span = span_of(levels);
    const void *block = slots[chunk / span];

    while (levels-- > 0 && block != NULL) {
        chunk %= span;
        span /= FAN;
        block = ((const struct node *)block)->slots[chunk / span];
    }
    return block;
}

/* What of a content of `size` bytes is in its chunk. */
static uint64_t chunk_size(uint64_t size, uint64_t chunk)
{
    uint64_t begin = chunk * STORE_CHUNK_SIZE;

    if (size <= begin)
        return 0;
    return size - begin < STORE_CHUNK_SIZE ? size - begin : STORE_CHUNK_SIZE;
}

/* A chunk of this tree's own, with the first `kept` bytes of what was there,
 * and 0 but between `from` and `to`, where the caller writes. */
static uint8_t *chunk_own(struct tree *t, uint64_t chunk, uint64_t kept,
                          uint64_t from, uint64_t to)
{
    uint64_t size = chunk_size(t->size, chunk);
    const uint8_t *was = chunk_find(t->slots, t->levels, chunk);
    void **slot = chunk_slot(t, chunk, was == NULL);
    uint8_t *now;

    if (was != NULL && is_own(t, was))
        return *slot;
    now = block_new(t, size);
    if (was == NULL)
        kept = 0;
    if (from > 0 || to < size) {
        if (kept > 0)
            memcpy(now, was, kept);
        memset(now + kept, 0, size - kept);
    }
    if (was != NULL)
        ckpt_memory_retire(t->m, *slot);
    *slot = now;
    return now;
}

/* Brings the tree, which has `old_size` bytes, to its size. */
static void resize(struct tree *t, uint64_t old_size)
{
    if (t->size < old_size)
        t->blocks -= (uint32_t)cut(t, t->slots, t->levels, chunks_of(t->size));
    while (t->levels > levels_for(t->size))
        level_remove(t);
    while (t->levels < levels_for(t->size))
        level_add(t);
}

/* What was the last chunk is as large as it had to be; it grows even if nothing
 * was written to it. */
static void last_extend(struct tree *t, uint64_t old_size)
{
    uint64_t last = old_size / STORE_CHUNK_SIZE;

    if (t->size > old_size && old_size % STORE_CHUNK_SIZE != 0 &&
        chunk_find(t->slots, t->levels, last) != NULL)
        chunk_own(t, last, old_size % STORE_CHUNK_SIZE, 0, 0);
}

/* --- writing -------------------------------------------------------------- */

static void run_write(struct tree *t, uint64_t old_size,
                      const struct ckpt_run *run)
{
    uint64_t offset = run->offset, left = run->data.n;
    const uint8_t *data = run->data.p;

    CHECK(offset <= t->size && left <= t->size - offset);
    while (left > 0) {
        uint64_t chunk = offset / STORE_CHUNK_SIZE;
        uint64_t from = offset % STORE_CHUNK_SIZE;
        uint64_t n =
            STORE_CHUNK_SIZE - from < left ? STORE_CHUNK_SIZE - from : left;
        uint64_t kept = chunk_size(old_size, chunk);
        uint64_t size = chunk_size(t->size, chunk);
        uint8_t *to =
            chunk_own(t, chunk, kept < size ? kept : size, from, from + n);
        memcpy(to + from, data, n);
        data += n;
        offset += n;
        left -= n;
    }
}

struct ckpt_content *ckpt_content_new(struct ckpt_memory *m, uint64_t version)
{
    struct ckpt_content *c = ckpt_memory_get(m, sizeof *c);

    *c = (struct ckpt_content){.version = version, .expiration_ns = INT64_MAX};
    return c;
}

static struct ckpt_content *tree_content(const struct tree *t,
                                         const struct ckpt_change *change)
{
    uint64_t chunks = chunks_of(t->size), span = span_of(t->levels);
    uint32_t count = (uint32_t)((chunks + span - 1) / span);
    struct ckpt_content *c =
        ckpt_memory_get(t->m, sizeof *c + count * sizeof *c->slots);

    CHECK(count <= FAN);
    *c = (struct ckpt_content){.version = t->version,
                               .size = t->size,
                               .last_update_ns = change->now_ns,
                               .expiration_ns = change->expiration_ns,
                               .levels = (uint8_t)t->levels,
                               .count = (uint8_t)count,
                               .blocks = t->blocks};
    for (uint32_t i = 0; i < count; i++)
        c->slots[i] = t->slots[i];
    return c;
}

struct ckpt_content *ckpt_content_change(struct ckpt_memory *m,
                                         struct ckpt_content *old,
                                         uint64_t version,
                                         const struct ckpt_change *change)
{
    struct tree t = {.m = m,
                     .version = version,
                     .size = change->size,
                     .levels = old->levels,
                     .blocks = old->blocks};

    for (uint32_t i = 0; i < old->count; i++)
        t.slots[i] = old->slots[i];
    if (change->size != old->size)
        resize(&t, old->size);
    for (uint32_t i = 0; i < change->run_count; i++)
        run_write(&t, old->size, &change->runs[i]);
    last_extend(&t, old->size);
    ckpt_memory_retire(m, old);
    return tree_content(&t, change);
}

void ckpt_content_retire(struct ckpt_memory *m, struct ckpt_content *content)
{
    ckpt_memory_retire_tree(
        m, content,
        (struct ckpt_tree){
            .levels = (uint8_t)(content->levels + 1),
            .first = offsetof(struct ckpt_content, slots) / sizeof(void *),
            .count = content->count,
            .bytes =
                content->blocks * ckpt_memory_block_bytes(STORE_CHUNK_SIZE)});
}

/* --- reading -------------------------------------------------------------- */

void ckpt_content_read(const struct ckpt_content *content, uint64_t offset,
                       uint8_t *to, uint64_t size)
{
    CHECK(offset <= content->size && size <= content->size - offset);
    while (size > 0) {
        const uint8_t *chunk = chunk_find(content->slots, content->levels,
                                          offset / STORE_CHUNK_SIZE);
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

/* The first chunk from `chunk` on, which is before `end`, that is there. */
static uint64_t chunk_next(const struct ckpt_content *content, uint64_t chunk,
                           uint64_t end)
{
    while (chunk < end) {
        uint64_t span = span_of(content->levels), at = chunk;
        const void *block = content->slots[at / span];
        while (span > 1 && block != NULL) {
            at %= span;
            span /= FAN;
            block = ((const struct node *)block)->slots[at / span];
        }
        if (block != NULL)
            return chunk;
        chunk = (chunk / span + 1) * span; /* behind what is not there */
    }
    return end;
}

uint64_t ckpt_content_data(const struct ckpt_content *content, uint64_t offset)
{
    uint64_t chunk = offset / STORE_CHUNK_SIZE;
    uint64_t end = chunks_of(content->size);
    uint64_t there = chunk_next(content, chunk, end);

    if (there == end)
        return content->size;
    return there == chunk ? offset : there * STORE_CHUNK_SIZE;
}
