/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_store.h - checkpoints and their sections, in memory.
 *
 * The protocol thread writes; ipc workers read at the same time, under RCU and
 * without a lock. So what they can reach never changes: a section's content is
 * an immutable object, and a write publishes a new one (ckpt_content.h). What
 * was replaced is garbage, and is used again only when no reader can hold it
 * any more: ckpt_memory_garbage_take(), then, after a grace period,
 * ckpt_memory_garbage_return(). Contents are in an arena that clients read too,
 * at their own risk (ipc/arena.h).
 *
 * No call takes longer where there is more: a checkpoint that is deleted is
 * gone at once, but taken apart a few sections at a time
 * (ckpt_store_sweep()).
 *
 * Readers load pointers with acquire, which pairs with the writer's release:
 * who finds an object finds it complete.
 *
 * Pure. How much a cluster may hold is limited by ckpt.h, on all nodes alike.
 */
#ifndef DAEMON_SERVICE_CKPT_STORE_H
#define DAEMON_SERVICE_CKPT_STORE_H

#include "daemon/base/bytes.h"
#include "daemon/service/ckpt_content.h"
#include "daemon/service/ckpt_index.h"
#include "daemon/service/ckpt_timers.h"
#include "ipc/arena.h"
#include "ipc/ckpt.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { STORE_NODES_MAX = IPC_NODES_MAX };

struct ckpt_section {
    union {
        struct ckpt_entry entry;
        uint64_t number; /* in its checkpoint; ascending as they are created */
    };
    _Atomic(struct ckpt_content *) content;
    struct arena_slot *slot;  /* for clients; NULL: they have to ask */
    uint64_t generation;      /* of the slot, while it is this section's */
    struct ckpt_timer *timer; /* writer's; NULL: it never expires */
    uint16_t id_size;
    uint8_t id[];
};

struct ckpt_ref {
    uint32_t node_id, count;
};

struct ckpt_checkpoint {
    union {
        struct ckpt_entry entry;
        uint64_t number; /* ascending as they are created */
    };
    struct ipc_ckpt_attributes attributes; /* as created */
    uint16_t name_size;
    uint8_t name[IPC_CKPT_NAME_SIZE_MAX];
    _Atomic int64_t retention_ns;
    _Atomic bool unlinked;   /* not to be found by its name any more */
    _Atomic uint32_t active; /* node of the active replica; 0: none */
    struct ckpt_index sections;
    _Atomic uint32_t section_count;
    _Atomic uint64_t bytes; /* of all sections */

    /* Writer's. */
    uint64_t next_section; /* number */
    bool sections_here;    /* false: only those so far, see replica.h */
    uint32_t ref_count;    /* of refs[] */
    struct ckpt_ref refs[STORE_NODES_MAX]; /* handles, by node */
    uint32_t creator; /* number of the user here that it counts for; 0: none */
    int64_t due_ns;   /* when it is to be deleted, see ckpt_due_set() */
    struct ckpt_timers expiring; /* its sections */
    struct ckpt_timer *retention_timer, *expiry_timer;
    struct ckpt_checkpoint *below; /* deleted, the one before it */
};

struct ckpt_store {
    uint64_t seed;    /* of hashes: random, so that nobody chooses collisions */
    uint64_t version; /* the last given to a content */
    uint64_t bytes;   /* of all sections, with an overhead for each */
    uint32_t checkpoint_count; /* linked and unlinked */
    struct ckpt_index checkpoints;
    /* Checkpoints: when they are to be deleted, when their first section is. */
    struct ckpt_timers retention, expiry;
    struct ckpt_checkpoint *deleted; /* not taken apart yet */
    uint64_t deleted_bytes;          /* in them */
    struct ckpt_memory memory;
    struct arena_shared *arena; /* NULL: none */
    struct arena_slot *free_slots;
    struct arena_slot *new_slots; /* never used, so many */
    uint32_t new_slot_count;
};

/* What a section, and a checkpoint, counts beside its data. */
enum { STORE_SECTION_BYTES = 512, STORE_CHECKPOINT_BYTES = 2048 };

/* `arena`: see ckpt_memory_init(). */
void ckpt_store_init(struct ckpt_store *s, uint64_t seed, uint8_t *arena,
                     uint64_t arena_size);

/* No reader is left. */
void ckpt_store_deinit(struct ckpt_store *s);

/* --- readers: any thread, under RCU --------------------------------------- */

/* NULL: none (that is linked). */
struct ckpt_checkpoint *ckpt_store_find(const struct ckpt_store *s,
                                        struct bytes name);

/* The first with a number above this one; NULL: none. */
struct ckpt_checkpoint *ckpt_store_next(const struct ckpt_store *s,
                                        uint64_t after);

struct ckpt_section *ckpt_section_find(const struct ckpt_store *s,
                                       const struct ckpt_checkpoint *c,
                                       struct bytes id);
struct ckpt_section *ckpt_section_next(const struct ckpt_checkpoint *c,
                                       uint64_t after);

/* Where its slot is in the arena; 0: it has none. */
uint64_t ckpt_section_slot(const struct ckpt_store *s,
                           const struct ckpt_section *section);

/* What is in it now; never NULL. */
const struct ckpt_content *ckpt_content_get(const struct ckpt_section *s);

/* --- the writer ----------------------------------------------------------- */

/* `number` above that of all others. */
struct ckpt_checkpoint *
ckpt_store_create(struct ckpt_store *s, uint64_t number, struct bytes name,
                  const struct ipc_ckpt_attributes *attributes);

/* It is not to be found by its name any more. */
void ckpt_store_unlink(struct ckpt_store *s, struct ckpt_checkpoint *c);

/* With all its sections. */
void ckpt_store_delete(struct ckpt_store *s, struct ckpt_checkpoint *c);

/* All of them. */
void ckpt_store_delete_all(struct ckpt_store *s);

/* Takes what was deleted apart, so many sections of it. True: there is more. */
bool ckpt_store_sweep(struct ckpt_store *s, uint32_t count);

/* The highest number that ever was, as far as this node knows; 0: none. */
uint64_t ckpt_store_last(const struct ckpt_store *s);
uint64_t ckpt_section_last(const struct ckpt_checkpoint *c);

/* Empty, `number` above that of the others in it; the id is not there yet. */
struct ckpt_section *ckpt_section_create(struct ckpt_store *s,
                                         struct ckpt_checkpoint *c,
                                         uint64_t number, struct bytes id);
void ckpt_section_delete(struct ckpt_store *s, struct ckpt_checkpoint *c,
                         struct ckpt_section *section);

/* Readers see all of the change or nothing. */
void ckpt_section_change(struct ckpt_store *s, struct ckpt_checkpoint *c,
                         struct ckpt_section *section,
                         const struct ckpt_change *change);

/* When a checkpoint is to be deleted; INT64_MAX: never; INT64_MIN: the time is
 * not known yet. */
void ckpt_due_set(struct ckpt_store *s, struct ckpt_checkpoint *c,
                  int64_t time_ns);

/* Clients may not go on reading what they have read before without asking. */
void ckpt_store_epoch_next(struct ckpt_store *s);
/* For readers: is to be read before what an answer is about. */
uint64_t ckpt_store_epoch(const struct ckpt_store *s);

/* When the first checkpoint, and the first section, is due; INT64_MAX: never.
 */
int64_t ckpt_retention_first(const struct ckpt_store *s);
int64_t ckpt_expiry_first(const struct ckpt_store *s);

/* What is due: a section's number, or 0 for the checkpoint itself. */
struct ckpt_due {
    uint64_t checkpoint, section;
};

/* Some of the checkpoints that are due at one time, and of the sections that
 * are at another one, `max` at most; how many. */
uint32_t ckpt_due_list(const struct ckpt_store *s, int64_t retention_ns,
                       int64_t expiry_ns, struct ckpt_due *list, uint32_t max);

#endif
