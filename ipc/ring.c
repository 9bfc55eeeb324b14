/* SPDX-License-Identifier: BSD-3-Clause */
#include "ipc/ring.h"

#include <string.h>

void ring_producer_init(struct ring_producer *p, struct ring_shared *shared,
                        uint8_t *data, uint64_t size_bytes)
{
    *p = (struct ring_producer){
        .shared = shared, .data = data, .size = size_bytes};
}

void ring_consumer_init(struct ring_consumer *c, struct ring_shared *shared,
                        const uint8_t *data, uint64_t size_bytes)
{
    *c = (struct ring_consumer){
        .shared = shared, .data = data, .size = size_bytes};
}

/* --- producer ------------------------------------------------------------- */

/* Takes over the consumer's position, if it can be true: never behind what was
 * seen before, never beyond what was published. Order: seq_cst for the sake of
 * ring_wait_room(); as an acquire it pairs with the store in ring_release(), so
 * that the consumer has finished reading what is now overwritten. */
static void producer_look(struct ring_producer *p)
{
    uint64_t head =
        atomic_load_explicit(&p->shared->head, memory_order_seq_cst);

    if (head - p->head_seen > p->published - p->head_seen)
        p->corrupt = true;
    else
        p->head_seen = head;
}

static bool producer_has_room(struct ring_producer *p, uint32_t size)
{
    return !p->corrupt &&
           ring_footprint(size) <= p->size - (p->tail - p->head_seen);
}

void *ring_claim(struct ring_producer *p, uint32_t size)
{
    if (!producer_has_room(p, size)) {
        producer_look(p);
        if (!producer_has_room(p, size))
            return NULL;
    }
    return p->data + (p->tail & (p->size - 1)) + sizeof(struct ring_record);
}

void ring_push(struct ring_producer *p, uint32_t type, uint32_t size)
{
    struct ring_record record = {.size = size, .type = type};

    memcpy(p->data + (p->tail & (p->size - 1)), &record, sizeof record);
    p->tail += ring_footprint(size);
}

static bool take_sleeper(struct ring_producer *p, uint32_t as)
{
    /* seq_cst: the producer's half of the algorithm in ring.h. The exchange
     * decides between this and the consumer's ring_disarm(). */
    return atomic_load_explicit(&p->shared->asleep, memory_order_seq_cst) ==
               as &&
           atomic_exchange_explicit(&p->shared->asleep, RING_AWAKE,
                                    memory_order_seq_cst) != RING_AWAKE;
}

bool ring_publish(struct ring_producer *p)
{
    /* Nothing new, nobody to wake: a consumer that announced itself since the
     * last time has seen what there is. */
    if (p->published == p->tail)
        return false;
    p->published = p->tail;
    /* seq_cst: before the look at `asleep`. As a release it pairs with the load
     * in consumer_look(): the records' bytes come before it. */
    atomic_store_explicit(&p->shared->tail, p->tail, memory_order_seq_cst);
    return take_sleeper(p, RING_ASLEEP);
}

bool ring_consumer_sleeps(const struct ring_producer *p)
{
    /* seq_cst: in the order of the announcements. A hint: the consumer may
     * change its mind at once. */
    return atomic_load_explicit(&p->shared->asleep, memory_order_seq_cst) !=
           RING_AWAKE;
}

bool ring_may_nudge(const struct ring_producer *p)
{
    /* seq_cst: after what this thread published; see ring_nudge(). */
    return atomic_load_explicit(&p->shared->asleep, memory_order_seq_cst) ==
           RING_DOZING;
}

bool ring_nudge(struct ring_producer *p)
{
    return ring_may_nudge(p) && ring_unread(p) > 0 &&
           take_sleeper(p, RING_DOZING);
}

bool ring_wait_room(struct ring_producer *p, uint32_t size)
{
    /* seq_cst: the announcement comes before the look at `head`; the other half
     * is in ring_release(). */
    atomic_store_explicit(&p->shared->waiting, 1, memory_order_seq_cst);
    producer_look(p);
    return !p->corrupt && !producer_has_room(p, size);
}

uint64_t ring_unread(struct ring_producer *p)
{
    producer_look(p);
    return p->tail - p->head_seen;
}

/* --- consumer ------------------------------------------------------------- */

bool ring_producer_waits(const struct ring_consumer *c)
{
    /* seq_cst: in the order of the announcements. */
    return atomic_load_explicit(&c->shared->waiting, memory_order_seq_cst) != 0;
}

/* Takes over the producer's position, if it can be true. Order: seq_cst for the
 * sake of ring_arm(); as an acquire it pairs with the store in ring_publish(),
 * so that the records up to it are visible. */
static void consumer_look(struct ring_consumer *c)
{
    uint64_t tail =
        atomic_load_explicit(&c->shared->tail, memory_order_seq_cst);

    if (tail - c->released > c->size || (tail & 7) != 0 ||
        tail - c->released < c->tail_seen - c->released)
        c->corrupt = true;
    else
        c->tail_seen = tail;
}

enum ring_result ring_peek(struct ring_consumer *c, const uint8_t **body)
{
    const uint8_t *at = c->data + (c->head & (c->size - 1)); /* 8-aligned */

    if (c->corrupt)
        return RING_CORRUPT;
    if (!c->peeked) {
        if (c->head == c->tail_seen)
            consumer_look(c);
        if (c->corrupt)
            return RING_CORRUPT;
        if (c->head == c->tail_seen)
            return RING_EMPTY;
        /* One atomic read, so that the compiler cannot read twice: the copy is
         * what is checked and used, whatever the peer writes now. Relaxed: the
         * look at `tail` has ordered it. */
        uint64_t word = atomic_load_explicit((const _Atomic uint64_t *)at,
                                             memory_order_relaxed);
        memcpy(&c->record, &word, sizeof c->record);
        if (ring_footprint(c->record.size) > c->tail_seen - c->head) {
            c->corrupt = true;
            return RING_CORRUPT;
        }
        c->peeked = true;
    }
    *body = at + sizeof(struct ring_record);
    return RING_RECORD;
}

void ring_advance(struct ring_consumer *c)
{
    if (!c->peeked)
        return;
    c->head += ring_footprint(c->record.size);
    c->peeked = false;
}

bool ring_release(struct ring_consumer *c)
{
    if (c->released == c->head)
        return false;
    c->released = c->head;
    /* seq_cst: before the look at `waiting`; as a release it pairs with the
     * load in producer_look(). */
    atomic_store_explicit(&c->shared->head, c->head, memory_order_seq_cst);
    return atomic_load_explicit(&c->shared->waiting, memory_order_seq_cst) !=
               0 &&
           atomic_exchange_explicit(&c->shared->waiting, 0,
                                    memory_order_seq_cst) != 0;
}

static bool announce(struct ring_consumer *c, uint32_t as)
{
    /* seq_cst: the consumer's half of the algorithm in ring.h. */
    atomic_store_explicit(&c->shared->asleep, as, memory_order_seq_cst);
    if (c->head != c->tail_seen || c->corrupt)
        return false;
    consumer_look(c);
    return !c->corrupt && c->head == c->tail_seen;
}

bool ring_arm(struct ring_consumer *c)
{
    return announce(c, RING_ASLEEP);
}

bool ring_doze(struct ring_consumer *c)
{
    return announce(c, RING_DOZING);
}

bool ring_disarm(struct ring_consumer *c)
{
    return atomic_exchange_explicit(&c->shared->asleep, 0,
                                    memory_order_seq_cst) != 0;
}

bool ring_is_armed(const struct ring_consumer *c)
{
    /* Acquire: pairs with the producer's exchange; what it published before it
     * took the announcement is visible once it is seen taken. */
    return atomic_load_explicit(&c->shared->asleep, memory_order_acquire) != 0;
}

uint64_t ring_pending(struct ring_consumer *c)
{
    consumer_look(c);
    return c->corrupt ? 0 : c->tail_seen - c->head;
}
