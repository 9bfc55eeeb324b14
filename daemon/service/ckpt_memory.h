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
 * What is free in the arena still has its memory. Of blocks that have been free
 * for a while that is given back to the system, by whoever owns the arena: a
 * free block then has memory for its first page alone (it is *bare*).
 *
 * Pure. Owner: protocol thread. */
#ifndef DAEMON_SERVICE_CKPT_MEMORY_H
#define DAEMON_SERVICE_CKPT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CKPT_MEMORY_HEAD = 16,           /* of a block, bytes */
    CKPT_MEMORY_BLOCK_MIN = 32,      /* with its head */
    CKPT_MEMORY_BLOCK_MAX = 1 << 20, /* there are no larger ones */
    CKPT_MEMORY_PAGE = 4096,
    CKPT_MEMORY_BARE_MIN = 1 << 16 /* smaller ones keep their memory */
};
enum { CKPT_MEMORY_CLASSES = 16 }; /* BLOCK_MIN << class */
_Static_assert(CKPT_MEMORY_BLOCK_MIN << (CKPT_MEMORY_CLASSES - 1) ==
                   CKPT_MEMORY_BLOCK_MAX,
               "classes");

struct ckpt_item;

struct ckpt_list {
    struct ckpt_item *first, *last;
};

struct ckpt_memory {
    uint8_t *arena; /* NULL: none */
    uint64_t arena_size, arena_used;
    struct ckpt_list free[CKPT_MEMORY_CLASSES], bare[CKPT_MEMORY_CLASSES];
    uint16_t round;      /* what became bare in another one is not any more */
    uint64_t idle_bytes; /* of free blocks that might be bare, and are not */
    uint64_t idle_low;   /* the least of that since ckpt_memory_idle_begin() */
    uint64_t bare_bytes; /* of those that are */
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

/* The arena is so large from now on. */
void ckpt_memory_grow(struct ckpt_memory *m, uint64_t size);

/* --- giving memory back --------------------------------------------------- */

/* The pages of a free block, behind its first one. */
struct ckpt_idle {
    uint64_t offset, bytes; /* in the arena */
};

/* A while begins. */
void ckpt_memory_idle_begin(struct ckpt_memory *m);

/* Takes blocks that were free all of the while, `max` at most, the largest
 * first; how many. Nobody gets them before they come back. */
uint32_t ckpt_memory_idle_take(struct ckpt_memory *m, struct ckpt_idle *idle,
                               uint32_t max);

/* Their memory was given back; they are bare. */
void ckpt_memory_idle_return(struct ckpt_memory *m,
                             const struct ckpt_idle *idle, uint32_t count);

/* Somebody has looked at free blocks, and so given them memory: none is bare
 * any more. */
void ckpt_memory_idle_all(struct ckpt_memory *m);

/* What may have memory in the arena: all but the pages of bare blocks. */
uint64_t ckpt_memory_taken(const struct ckpt_memory *m);

/* --- blocks --------------------------------------------------------------- */

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
