/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.h - a ring of records in memory that two processes share.
 *
 * One producer, one consumer. Positions are 64-bit byte counts that only grow;
 * the data area is mapped twice in a row, so that every record is contiguous
 * and can be written and read in place. A record is an 8-byte header (size,
 * type) and its body, padded to 8 bytes.
 *
 * Neither side trusts the other: sizes and the own position are private, the
 * peer's position is read once and bounded, and a record's header is copied
 * before it is looked at. What makes no sense is RING_CORRUPT, for ever after;
 * whoever sees it drops the peer. The bytes of a record remain the peer's to
 * change at any time: copy what is to be validated.
 *
 * Sleeping. Either side can ask to be told: the consumer (`asleep`) when there
 * is a record, the producer (`waiting`) when there is room. Announcing and
 * publishing are the two halves of Dekker's algorithm:
 *
 *     consumer: asleep = 1; look at tail       producer: tail = new;
 *               nothing? sleep                           look at asleep
 *
 * All four accesses are seq_cst, so they have one order, and at least one side
 * sees the other: either the consumer finds the record, or the producer finds
 * the announcement, takes it (exchange with 0, so it is taken once) and wakes.
 * Release and acquire alone would not do: both could then miss. There is no
 * separate fence, because ThreadSanitizer does not know fences, and because on
 * x86 the exchange of a seq_cst store is cheaper than one.
 *
 * A consumer that was busy a moment ago may doze instead: it is then not woken
 * for every record, but only when the producer is about to wait itself
 * (ring_nudge()), and looks again by its own clock. The argument is the same,
 * with ring_nudge() in place of publishing.
 *
 * Which calls may overlap: any of the producer's with any of the consumer's;
 * not two of one side (its owner's lock sees to that). */
#ifndef IPC_RING_H
#define IPC_RING_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ABI: on change, bump IPC_VERSION. Words are grouped by writer, 128 bytes
 * apart (two cache lines: the processor fetches them in pairs). `asleep` and
 * `waiting` have lines of their own: the peer reads them at every record, and
 * they change rarely, so the reading costs nothing. */
struct ring_shared {
    alignas(128) _Atomic uint64_t tail;    /* producer writes */
    alignas(128) _Atomic uint64_t head;    /* consumer writes */
    alignas(128) _Atomic uint32_t asleep;  /* consumer sets, producer takes */
    alignas(128) _Atomic uint32_t waiting; /* producer sets, consumer takes */
};
_Static_assert(offsetof(struct ring_shared, head) == 128, "ring ABI");
_Static_assert(offsetof(struct ring_shared, asleep) == 256, "ring ABI");
_Static_assert(offsetof(struct ring_shared, waiting) == 384, "ring ABI");
_Static_assert(sizeof(struct ring_shared) == 512, "ring ABI");

enum { RING_AWAKE, RING_ASLEEP, RING_DOZING }; /* `asleep` */

struct ring_record {
    uint32_t size; /* of the body, bytes */
    uint32_t type;
};
_Static_assert(sizeof(struct ring_record) == 8, "ring ABI");

struct ring_producer {
    struct ring_shared *shared;
    uint8_t *data;      /* mapped twice: 2 * size bytes */
    uint64_t size;      /* power of two, bytes */
    uint64_t tail;      /* where the next record begins */
    uint64_t published; /* the tail the consumer may see */
    uint64_t head_seen; /* the consumer's, when last looked at */
    bool corrupt;
};

struct ring_consumer {
    struct ring_shared *shared;
    const uint8_t *data;
    uint64_t size;
    uint64_t head;             /* where the next record begins */
    uint64_t released;         /* the head the producer may see */
    uint64_t tail_seen;        /* the producer's, when last looked at */
    struct ring_record record; /* the one at `head`, copied */
    bool peeked;               /* `record` is filled */
    bool corrupt;
};

enum ring_result { RING_EMPTY, RING_RECORD, RING_CORRUPT };

/* Bytes that a record with a body of `size` takes in the ring. */
static inline uint64_t ring_footprint(uint32_t size)
{
    return (sizeof(struct ring_record) + (uint64_t)size + 7) & ~(uint64_t)7;
}

/* `shared` is zeroed memory, `data` 2 * size_bytes, size a power of two. */
void ring_producer_init(struct ring_producer *p, struct ring_shared *shared,
                        uint8_t *data, uint64_t size_bytes);
void ring_consumer_init(struct ring_consumer *c, struct ring_shared *shared,
                        const uint8_t *data, uint64_t size_bytes);

/* --- producer ------------------------------------------------------------- */

/* Room for the body of a record of `size` bytes, 8-byte aligned, to be filled
 * and then kept by ring_push(); NULL: no room now (or ever, if it is larger
 * than the ring; or p->corrupt). A claim that is not pushed has no effect. */
void *ring_claim(struct ring_producer *p, uint32_t size);

/* Keeps the claimed record; `size` at most what was claimed. The consumer sees
 * it only after ring_publish(). */
void ring_push(struct ring_producer *p, uint32_t type, uint32_t size);

/* Lets the consumer see everything pushed. True: it had announced that it
 * sleeps, and the announcement is now taken: the caller must wake it. With
 * nothing pushed since the last time: no effect, false. */
bool ring_publish(struct ring_producer *p);

/* Announces that the producer waits for room for a body of `size` bytes. True:
 * there is still none. False: there is room (or the ring is corrupt). The
 * announcement stays in either case, since another thread of the producer's
 * may count on it: one that was not needed costs a wake-up. */
bool ring_wait_room(struct ring_producer *p, uint32_t size);

/* The producer is about to wait, or has no room. True: the consumer dozes and
 * has not seen all, and its announcement is now taken: the caller must wake
 * it. */
bool ring_nudge(struct ring_producer *p);

/* Has the consumer announced that it sleeps, and not been woken yet? */
bool ring_consumer_sleeps(const struct ring_producer *p);

/* May ring_nudge() have an effect? For any thread, without the producer's
 * lock. */
bool ring_may_nudge(const struct ring_producer *p);

/* Bytes pushed that the consumer has not released. */
uint64_t ring_unread(struct ring_producer *p);

/* --- consumer ------------------------------------------------------------- */

/* Looks at the next record: on RING_RECORD c->record is a copy of its header,
 * good until ring_advance(), and *body its body in place. */
enum ring_result ring_peek(struct ring_consumer *c, const uint8_t **body);

/* Steps over the record that was peeked. Its memory stays the consumer's until
 * ring_release(). */
void ring_advance(struct ring_consumer *c);

/* Gives back the memory of all records stepped over. True: the producer waits
 * for room, and its announcement is now taken: the caller must wake it. */
bool ring_release(struct ring_consumer *c);

/* Has the producer announced that it waits for room, and not been told yet? For
 * any thread of the consumer's. */
bool ring_producer_waits(const struct ring_consumer *c);

/* Announces that the consumer sleeps, then looks again. True: announced, and
 * the ring is empty. False: there is something (or corrupt); the announcement
 * stays, ring_disarm() withdraws it. */
bool ring_arm(struct ring_consumer *c);

/* The same, but the producer need wake only before it waits itself. */
bool ring_doze(struct ring_consumer *c);

/* Withdraws the announcement. True: withdrawn (or was not there, see below).
 * False: the producer has taken it, so that a wake-up has come or is on its
 * way. Only sensible after ring_arm(). */
bool ring_disarm(struct ring_consumer *c);

/* After ring_arm(): has the producer not yet taken the announcement? */
bool ring_is_armed(const struct ring_consumer *c);

/* Bytes published and not stepped over, 0 when corrupt. */
uint64_t ring_pending(struct ring_consumer *c);

#endif
