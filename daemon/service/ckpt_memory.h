/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_memory.h - memory for checkpoints: blocks of powers of two in the arena
 * that clients read (ipc/arena.h), split and joined as buddies; from malloc()
 * where there is no arena, or no room in it.
 *
 * What readers may still have is garbage, until they cannot have it any more.
 * It is retired, taken away, and given back after a grace period; then it is
 * freed, a few blocks at a time, since there may be any number of them: a block
 * may stand for a whole tree of others.
 *
 * Pure. Owner: protocol thread. */
#ifndef DAEMON_SERVICE_CKPT_MEMORY_H
#define DAEMON_SERVICE_CKPT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CKPT_MEMORY_HEAD = 16,          /* of a block, bytes */
    CKPT_MEMORY_BLOCK_MIN = 32,     /* with its head */
    CKPT_MEMORY_BLOCK_MAX = 1 << 20 /* there are no larger ones */
};
enum { CKPT_MEMORY_CLASSES = 16 }; /* BLOCK_MIN << class */
_Static_assert(CKPT_MEMORY_BLOCK_MIN << (CKPT_MEMORY_CLASSES - 1) ==
                   CKPT_MEMORY_BLOCK_MAX,
               "classes");

struct ckpt_item;

struct ckpt_memory {
    uint8_t *arena; /* NULL: none */
    uint64_t arena_size, arena_used;
    struct ckpt_item *free[CKPT_MEMORY_CLASSES];
    struct ckpt_item *garbage, *garbage_end;
    uint64_t garbage_bytes;
    struct ckpt_item *freeing, *returned; /* given back, not freed yet */
    uint32_t away;       /* lots that were taken, and are not free yet */
    uint64_t away_bytes; /* in them */
};

enum { CKPT_MEMORY_NODE_FAN = 125 };

/* What hangs on a block: `count` words from its word `first` on (not its very
 * first one) name blocks, or are 0. With more than one level, these are nodes:
 * each has one word of its own and NODE_FAN such names. */
struct ckpt_tree {
    uint8_t levels, first, count;
    uint64_t bytes; /* of all that hangs on it, as garbage counts them */
};

/* `arena`: zeroed memory of this size, its first BLOCK_MAX bytes are not used;
 * or NULL. */
void ckpt_memory_init(struct ckpt_memory *m, uint8_t *arena, uint64_t size);

/* Aligned to 16 bytes. NULL: there is none. */
void *ckpt_memory_try(struct ckpt_memory *m, size_t bytes);

/* The same; a node without memory cannot keep its replica, and ends. */
void *ckpt_memory_get(struct ckpt_memory *m, size_t bytes);

/* No reader has it. NULL is fine. */
void ckpt_memory_free(struct ckpt_memory *m, void *memory);

/* Readers may have it. */
void ckpt_memory_retire(struct ckpt_memory *m, void *memory);

/* The same, with what hangs on it. */
void ckpt_memory_retire_tree(struct ckpt_memory *m, void *memory,
                             struct ckpt_tree tree);

/* All that was retired; NULL: nothing. To be returned when no reader has it. */
struct ckpt_item *ckpt_memory_garbage_take(struct ckpt_memory *m);
void ckpt_memory_garbage_return(struct ckpt_memory *m, struct ckpt_item *items);

/* Frees so many blocks of what was returned. True: there is more. */
bool ckpt_memory_free_some(struct ckpt_memory *m, uint32_t count);

/* A number that the owner of a block that is not garbage may keep with it; at
 * first 0. */
uint64_t ckpt_memory_stamp(const void *memory);
void ckpt_memory_stamp_set(void *memory, uint64_t stamp);

/* Bytes that a block of so many counts as garbage. */
uint64_t ckpt_memory_block_bytes(size_t bytes);

/* Is it in the arena? */
bool ckpt_memory_is_shared(const struct ckpt_memory *m, const void *memory);

#endif
