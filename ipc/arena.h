/* SPDX-License-Identifier: BSD-3-Clause */
/* arena.h - memory with the contents of checkpoints, which the daemon writes
 * and its clients read.
 *
 * One memfd for all clients of the CKPT service, which get a descriptor for
 * reading only, that only the daemon's own user could open anew for more. A
 * client learns from the answer to a query where the *slot* of a section is,
 * and then reads the section without asking anybody.
 *
 * Reading a hole of a memfd gives it memory. So a client must have none to
 * read, whatever it does to all its memory (lock it, look through it, dump it):
 * the file is hardly longer than what was ever in use, a client maps of it only
 * what it has been told to read, never so that mapping alone makes it read, and
 * neither side's core dumps have it. What a client reads on purpose is taken
 * back (arena_release()) as all else that is not in use.
 *
 * The daemon does not know of these readers, and uses memory again that they
 * may be looking at. So whatever is read here is checked to be within the arena
 * before it is followed, and nothing of it is believed until the reader has
 * seen afterwards that the slot is still the section's, and still has the same
 * content:
 *
 *     reader: generation, slot, version, slot    daemon: new content in other
 *             again; bytes; then generation,             memory; slot; and much
 *             slot, version again                        later uses the old
 *                                                         memory again
 *
 * The daemon writes the slot with release before it touches the old memory, and
 * the reader reads the slot again behind an acquire fence: if he has read a
 * byte that was written to that memory later, he sees that the slot has
 * changed. No two contents have the same version, so that he is not deceived by
 * a content in the same place either.
 *
 * Addresses are the daemon's; they count from the address that the welcome
 * gives for the arena's beginning. */
#ifndef IPC_ARENA_H
#define IPC_ARENA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { ARENA_MAGIC = 0x61656e61, ARENA_HEADER_SIZE = 4096 };

/* ABI: on change, bump IPC_VERSION. At the arena's beginning. */
struct arena_shared {
    uint32_t magic, version;
    /* Changes when a checkpoint may not be read any more although its sections
     * are there. */
    _Atomic uint64_t epoch;
};

/* Where a section's content is. */
struct arena_slot {
    _Atomic uint64_t generation; /* changes when it is another section's */
    _Atomic uint64_t content;    /* address; 0: to be asked for */
};
_Static_assert(sizeof(struct arena_slot) == 16, "arena ABI");

enum { ARENA_CHUNK_SIZE = 16384 - 16, ARENA_FAN = 125 };

/* A section's content; never written to while a slot names it. Its bytes are in
 * chunks of ARENA_CHUNK_SIZE, the last one has the rest. Without levels the
 * slots are the chunks' addresses; with some, those of nodes, which have the
 * next ARENA_FAN slots each, and so on. Address 0: all bytes below are 0. */
struct arena_content {
    uint64_t version;
    uint64_t size; /* bytes */
    int64_t last_update_ns, expiration_ns;
    uint8_t levels;
    uint8_t count; /* of slots[], ARENA_FAN at most */
    uint16_t reserved;
    uint32_t blocks; /* the daemon's */
    uint64_t slots[];
};
_Static_assert(sizeof(struct arena_content) == 40, "arena ABI");

struct arena_node {
    uint64_t blocks; /* the daemon's */
    uint64_t slots[ARENA_FAN];
};
_Static_assert(sizeof(struct arena_node) == 1024 - 16, "arena ABI");

struct arena {
    uint8_t *at;   /* NULL: there is none */
    uint64_t size; /* of its address space, bytes */
    int fd;
    /* A client's: so much of it can be read; and who makes it more. */
    _Atomic uint64_t reach;
    pthread_mutex_t lock;
};

/* --- the daemon ----------------------------------------------------------- */

enum { ARENA_STEP = 1 << 20 }; /* it grows in whole ones, bytes */

/* Makes the memfd, one step long, and maps all it may ever be for writing: 0 or
 * -errno. */
int arena_create(struct arena *a, uint64_t size_bytes);

/* The same for nobody else: not of a memfd, and as long as it may ever be. */
int arena_create_private(struct arena *a, uint64_t size_bytes);

/* A descriptor for clients, or -errno. */
int arena_reader(const struct arena *a);

/* Makes it so long: 0 or -errno. What is beyond its length cannot be touched.
 */
int arena_grow(const struct arena *a, uint64_t length_bytes);

/* Gives the memory of whole pages back; they are zeroes then. */
void arena_release(const struct arena *a, uint64_t offset, uint64_t bytes);

/* Bytes of memory that it takes; 0: it is private. */
uint64_t arena_taken(const struct arena *a);

void arena_close(struct arena *a);

/* --- a client ------------------------------------------------------------- */

/* Reserves the address space, and maps the header for reading: 0 or -errno. The
 * descriptor is the arena's then. */
int arena_map(struct arena *a, int fd, uint64_t size_bytes);

/* Makes it readable up to `end`, from any thread. False: it is not so long. */
bool arena_reach(struct arena *a, uint64_t end);

void arena_unmap(struct arena *a); /* but for the descriptor */

#endif
