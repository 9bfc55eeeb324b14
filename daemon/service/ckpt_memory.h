/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_memory.h - memory for checkpoints: blocks of powers of two in the arena
 * that clients read (ipc/arena.h), split and joined as buddies; from malloc()
 * where there is no arena, or no room in it. What readers may still have is
 * garbage, until they cannot have it any more.
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
    CKPT_MEMORY_BLOCK_MAX = 1 << 20 /* larger ones: malloc() */
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

/* All that was retired; NULL: nothing. To be returned when no reader has it. */
struct ckpt_item *ckpt_memory_garbage_take(struct ckpt_memory *m);
void ckpt_memory_garbage_return(struct ckpt_memory *m, struct ckpt_item *items);

/* Is it in the arena? */
bool ckpt_memory_is_shared(const struct ckpt_memory *m, const void *memory);

#endif
