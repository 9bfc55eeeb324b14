/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_index.h - checkpoints, or the sections of one, by number and by the hash
 * of their key.
 *
 * Two tries. Adding, removing and finding take a bounded number of steps,
 * however many entries there are or ever were: nothing is ever moved or made
 * anew as a whole, and what is deleted leaves nothing behind. One writer; any
 * thread may read meanwhile, under RCU.
 *
 * Pure. Owner: protocol thread. */
#ifndef DAEMON_SERVICE_CKPT_INDEX_H
#define DAEMON_SERVICE_CKPT_INDEX_H

#include "daemon/service/ckpt_memory.h"

#include <stdatomic.h>
#include <stdint.h>

/* At the beginning of what is indexed. */
struct ckpt_entry {
    uint64_t number; /* ascending as they are added; not 0 */
    uint64_t hash;
    _Atomic(struct ckpt_entry *) same; /* the next of the same hash */
};

struct ckpt_index {
    _Atomic(struct ckpt_index_node *) numbers, hashes; /* NULL: empty */
    uint64_t last; /* writer's: the highest number that ever was */
};

/* --- readers: any thread, under RCU --------------------------------------- */

/* The first with this hash; the others are behind it. NULL: none. */
struct ckpt_entry *ckpt_index_find(const struct ckpt_index *x, uint64_t hash);
struct ckpt_entry *ckpt_entry_same(const struct ckpt_entry *e);

/* The first with a number above this one, or NULL. */
struct ckpt_entry *ckpt_index_next(const struct ckpt_index *x, uint64_t after);

/* --- the writer ----------------------------------------------------------- */

/* `e` has its number, above that of all others, and its hash. */
void ckpt_index_add(struct ckpt_index *x, struct ckpt_memory *m,
                    struct ckpt_entry *e);

/* It is not to be found any more, but by its number. */
void ckpt_index_hide(struct ckpt_index *x, struct ckpt_memory *m,
                     struct ckpt_entry *e);

/* All of it; it may have been hidden. */
void ckpt_index_remove(struct ckpt_index *x, struct ckpt_memory *m,
                       struct ckpt_entry *e);

#endif
