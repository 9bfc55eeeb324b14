/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_content.h - what is in a section: bytes in chunks, and these in a tree,
 * so that a write costs its own bytes and a few blocks, however large the
 * section is. What was never written to is not there, and all 0.
 *
 * A content never changes once readers can find it; a write makes a new one
 * that shares with the one before what it does not touch, and retires what it
 * replaces (ckpt_memory.h). Clients read contents too: ipc/arena.h.
 *
 * Pure. Owner: protocol thread; any thread may read, under RCU. */
#ifndef DAEMON_SERVICE_CKPT_CONTENT_H
#define DAEMON_SERVICE_CKPT_CONTENT_H

#include "daemon/base/bytes.h"
#include "daemon/service/ckpt_memory.h"
#include "ipc/arena.h"

#include <stddef.h>
#include <stdint.h>

enum { STORE_CHUNK_SIZE = ARENA_CHUNK_SIZE };

/* One state of a section; see struct arena_content. */
struct ckpt_content {
    uint64_t version; /* no two contents of a daemon have the same */
    uint64_t size;    /* bytes */
    int64_t last_update_ns, expiration_ns;
    uint8_t levels, count;
    uint16_t reserved;
    uint32_t blocks; /* chunks that are there */
    void *slots[];
};
_Static_assert(sizeof(struct ckpt_content) == sizeof(struct arena_content) &&
                   offsetof(struct ckpt_content, levels) ==
                       offsetof(struct arena_content, levels) &&
                   (int)ARENA_FAN == (int)CKPT_MEMORY_NODE_FAN,
               "arena ABI");

/* Bytes to be written at one place. */
struct ckpt_run {
    uint64_t offset;
    struct bytes data;
};

/* What is to become of a content: cut or extended with zeros to `size`; then
 * the runs, which are within that, are written one after the other. */
struct ckpt_change {
    uint64_t size;
    int64_t now_ns;        /* its last update */
    int64_t expiration_ns; /* INT64_MAX: never */
    const struct ckpt_run *runs;
    uint32_t run_count;
};

/* Empty. */
struct ckpt_content *ckpt_content_new(struct ckpt_memory *m, uint64_t version);

/* What the change makes of `old`, which is retired but for what is shared. */
struct ckpt_content *ckpt_content_change(struct ckpt_memory *m,
                                         struct ckpt_content *old,
                                         uint64_t version,
                                         const struct ckpt_change *change);

/* All of it. */
void ckpt_content_retire(struct ckpt_memory *m, struct ckpt_content *content);

/* Copies `size` bytes from `offset` on, which are there. */
void ckpt_content_read(const struct ckpt_content *content, uint64_t offset,
                       uint8_t *to, uint64_t size);

/* From `offset` on, the first place that is in a chunk that is there; the
 * content's size, if there is none. */
uint64_t ckpt_content_data(const struct ckpt_content *content, uint64_t offset);

#endif
