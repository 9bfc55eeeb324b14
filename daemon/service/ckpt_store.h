/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_store.h - checkpoints and their sections, in memory.
 *
 * The protocol thread writes; ipc workers read at the same time, under RCU and
 * without a lock. So what they can reach never changes: a section's content is
 * an immutable object, and a write publishes a new one, which shares all but
 * the chunks that were written to with the one before. Indexes only grow, or
 * are replaced. What was replaced is garbage, and is used again only when no
 * reader can hold it any more: ckpt_store_garbage_take(), then, after a grace
 * period, ckpt_store_garbage_return().
 *
 * Readers load pointers with acquire, which pairs with the writer's release:
 * who finds an object finds it complete.
 *
 * Pure. Memory comes from free lists, and from malloc() when these are empty; a
 * node that cannot get any ends (CHECK), since it cannot keep its replica. How
 * much a cluster may hold is limited by ckpt.h, on all nodes alike. */
#ifndef DAEMON_SERVICE_CKPT_STORE_H
#define DAEMON_SERVICE_CKPT_STORE_H

#include "daemon/base/bytes.h"
#include "ipc/messages.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { STORE_CHUNK_SIZE = 16384, STORE_NODES_MAX = IPC_NODES_MAX };

struct ckpt_index;

/* One state of a section. */
struct ckpt_content {
    uint64_t version; /* no two contents of a daemon have the same */
    uint64_t size;    /* bytes */
    int64_t last_update_ns, expiration_ns;
    uint32_t chunk_count;
    uint8_t *chunks[]; /* the last may be shorter; NULL: all bytes are 0 */
};

struct ckpt_section {
    uint64_t number; /* in its checkpoint; ascending as they are created */
    uint64_t hash;
    _Atomic(struct ckpt_content *) content;
    struct ckpt_timer *timer; /* writer's; NULL: it never expires */
    uint16_t id_size;
    uint8_t id[];
};

struct ckpt_ref {
    uint32_t node_id, count;
};

struct ckpt_checkpoint {
    uint64_t number; /* ascending as they are created */
    uint64_t hash;
    struct ipc_ckpt_attributes attributes; /* as created */
    uint16_t name_size;
    uint8_t name[IPC_CKPT_NAME_SIZE_MAX];
    _Atomic int64_t retention_ns;
    _Atomic bool unlinked;   /* not to be found by its name any more */
    _Atomic uint32_t active; /* node of the active replica; 0: none */
    _Atomic(struct ckpt_index *) sections;
    _Atomic uint32_t section_count;
    _Atomic uint64_t bytes; /* of all sections */

    /* Writer's. */
    uint64_t next_section; /* number */
    bool sections_here;    /* false: only those so far, see replica.h */
    uint32_t ref_count;    /* of refs[] */
    struct ckpt_ref refs[STORE_NODES_MAX]; /* handles, by node */
    struct ckpt_timer *timer;              /* when it is deleted; NULL: never */
};

/* When something is to be deleted. A heap of them, the earliest first. */
struct ckpt_timer {
    int64_t time_ns;
    struct ckpt_checkpoint *checkpoint;
    struct ckpt_section *section; /* NULL: the checkpoint */
    uint32_t place;
};

/* In front of all memory that comes from here. */
struct ckpt_item {
    struct ckpt_item *next; /* garbage, or free */
    uint32_t class;
    uint32_t bytes;
};

/* Of memory: 16 << class bytes, and one for what is larger. */
enum { STORE_CLASSES = 11 };

struct ckpt_store {
    uint64_t seed;    /* of hashes: random, so that nobody chooses collisions */
    uint64_t version; /* the last given to a content */
    uint64_t bytes;   /* of all sections, with an overhead for each */
    uint32_t checkpoint_count; /* linked and unlinked */
    _Atomic(struct ckpt_index *) checkpoints;
    struct ckpt_timer **timers;
    uint32_t timer_count, timer_room;
    struct ckpt_item *free[STORE_CLASSES + 1];
    uint64_t free_bytes;
    struct ckpt_item *garbage, *garbage_end;
    uint64_t garbage_bytes;
};

/* What a section, and a checkpoint, counts beside its data. */
enum { STORE_SECTION_BYTES = 256, STORE_CHECKPOINT_BYTES = 2048 };

/* False: no memory, and nothing to deinit. */
bool ckpt_store_init(struct ckpt_store *s, uint64_t seed);

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

/* What is in it now; never NULL. */
const struct ckpt_content *ckpt_content_get(const struct ckpt_section *s);

/* Copies `size` bytes from `offset` on, which are there. */
void ckpt_content_read(const struct ckpt_content *content, uint64_t offset,
                       uint8_t *to, uint64_t size);

/* --- the writer ----------------------------------------------------------- */

/* `number` above that of all others. */
struct ckpt_checkpoint *
ckpt_store_create(struct ckpt_store *s, uint64_t number, struct bytes name,
                  const struct ipc_ckpt_attributes *attributes);

/* With all its sections. */
void ckpt_store_delete(struct ckpt_store *s, struct ckpt_checkpoint *c);

/* All of them. */
void ckpt_store_delete_all(struct ckpt_store *s);

/* The highest number that ever was, as far as this node knows; 0: none. */
uint64_t ckpt_store_last(const struct ckpt_store *s);
uint64_t ckpt_section_last(const struct ckpt_checkpoint *c);

/* Empty, `number` above that of the others in it; the id is not there yet. */
struct ckpt_section *ckpt_section_create(struct ckpt_store *s,
                                         struct ckpt_checkpoint *c,
                                         uint64_t number, struct bytes id);
void ckpt_section_delete(struct ckpt_store *s, struct ckpt_checkpoint *c,
                         struct ckpt_section *section);

/* What is to become of a section. */
struct ckpt_change {
    uint64_t offset;
    struct bytes data;     /* to be there from `offset` on */
    uint64_t size;         /* of all of it then; what is new otherwise is 0 */
    int64_t now_ns;        /* its last update */
    int64_t expiration_ns; /* INT64_MAX: never */
};
void ckpt_section_change(struct ckpt_store *s, struct ckpt_checkpoint *c,
                         struct ckpt_section *section,
                         const struct ckpt_change *change);

/* When a checkpoint is to be deleted; INT64_MAX: never; INT64_MIN: the time is
 * not known yet. */
void ckpt_timer_set(struct ckpt_store *s, struct ckpt_checkpoint *c,
                    int64_t time_ns);

/* What is due first; NULL: nothing ever. */
const struct ckpt_timer *ckpt_timer_first(const struct ckpt_store *s);

/* Everything that was replaced or deleted since the last time, for
 * ckpt_store_garbage_return() once no reader can have it; NULL: nothing. */
struct ckpt_item *ckpt_store_garbage_take(struct ckpt_store *s);
void ckpt_store_garbage_return(struct ckpt_store *s, struct ckpt_item *garbage);

#endif
