/* SPDX-License-Identifier: BSD-3-Clause */
/* segment.h - the memory that a client and the daemon share.
 *
 * One memfd per client: a page with the rings' words, then the rings' data,
 * each area mapped twice in a row by both sides. The daemon makes it and seals
 * it against shrinking, growing and further seals, so that neither side can
 * make the other's reads fail. Pages come into being when they are first
 * written: an idle client costs a few kilobytes. */
#ifndef IPC_SEGMENT_H
#define IPC_SEGMENT_H

#include "ipc/ring.h"

enum segment_ring {
    SEGMENT_SUBMIT, /* client to daemon, what goes through the order */
    SEGMENT_REPLY,  /* daemon to client, answers to SUBMIT */
    SEGMENT_EVENT,  /* daemon to client, callbacks */
    SEGMENT_QUERY,  /* client to an ipc worker, what only reads */
    SEGMENT_ANSWER, /* ipc worker to client, answers to QUERY */
    SEGMENT_RINGS
};

enum {
    SEGMENT_MAGIC = 0x6f616973, /* "oais" */
    SEGMENT_HEADER_SIZE = 4096,
    SEGMENT_RING_SIZE_MIN = 4096,
    SEGMENT_RING_SIZE_MAX = 1 << 30
};

/* ABI: on change, bump IPC_VERSION. For people with a debugger: neither side
 * reads the sizes from here, they were agreed over the socket. */
struct segment_shared {
    uint32_t magic, version;
    uint32_t ring_size[SEGMENT_RINGS]; /* bytes */
    struct ring_shared rings[SEGMENT_RINGS];
};
_Static_assert(sizeof(struct segment_shared) <= SEGMENT_HEADER_SIZE, "ABI");

struct segment {
    struct segment_shared *shared;
    uint8_t *data[SEGMENT_RINGS];
    uint32_t ring_size[SEGMENT_RINGS]; /* private copy, bytes */
};

/* A power of two within the limits? */
bool segment_ring_size_ok(uint64_t size_bytes);

/* Makes the memfd of a segment, sealed: a descriptor (close-on-exec) or
 * -errno. */
int segment_create(const uint32_t ring_size[SEGMENT_RINGS]);

/* Maps it: 0, or -errno (-EINVAL: sizes out of range, or the descriptor is not
 * a sealed segment of these sizes) and then nothing is mapped. The descriptor
 * is not needed afterwards. */
int segment_map(struct segment *s, int fd,
                const uint32_t ring_size[SEGMENT_RINGS]);
void segment_unmap(struct segment *s);

/* Keeps the mappings out of children made by fork(). Core dumps never have
 * them. */
void segment_hide_from_fork(struct segment *s);

/* A private memory area of size_bytes (a multiple of the page size) mapped
 * twice in a row; its pages too come when written. NULL: no memory. */
uint8_t *segment_map_private(uint32_t size_bytes);
void segment_unmap_private(uint8_t *data, uint32_t size_bytes);

#endif
