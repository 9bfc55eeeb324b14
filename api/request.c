/* SPDX-License-Identifier: BSD-3-Clause */
/* request.c - requests and queries, and the answers to them. */
#include "api/client_internal.h"

#include <string.h>
#include <time.h>

/* How long a query may take: a daemon that stands still does not end. */
static const uint64_t QUERY_LIMIT_NS = 10000000000;

enum { LOOK_AGAIN_MS = 20 /* see lock_until() */ };

/* A ring in which answers come, and how to wait for one. Its owner is the
 * holder of the lock. */
struct inbox {
    struct ring_consumer *ring;
    struct spin *spin;
    int fd; /* a byte on it wakes who sleeps on the ring */
    struct conn_owed *owed;
};

static struct inbox reply_inbox(struct conn *c)
{
    return (struct inbox){&c->reply, &c->reply_spin, c->reply_fd,
                          &c->owed_replies};
}

static struct inbox answer_inbox(struct conn *c)
{
    return (struct inbox){&c->answer, &c->answer_spin, c->answer_fd,
                          &c->owed_answers};
}

/* Sleeps until something is in the ring; false: the connection has ended.
 *
 * The daemon may have held back what stands before this request, as events wait
 * for room (see claim_request()), and has to be told that somebody waits. It
 * then waits for room in the event ring, and has announced that before it
 * looked at our announcement of sleep: if it did not see that, we see its. */
static bool sleep_for(struct conn *c, const struct inbox *in, uint64_t end_ns)
{
    bool alive = true;

    if (ring_arm(in->ring)) {
        if (in->ring == &c->reply && ring_producer_waits(&c->event))
            ring_bell(c->doorbell);
        else
            conn_nudge(c);
        alive = conn_wait_fd(c, in->fd, true, end_ns);
    }
    ring_disarm(in->ring);
    return alive;
}

/* Waits for a record, and leaves it in the ring. end_ns 0: as long as it takes;
 * then `limit_ns`, if that is not 0, counts from the moment it sleeps. */
static cs_error_t wait_record(struct conn *c, const struct inbox *in,
                              uint64_t end_ns, uint64_t limit_ns,
                              const uint8_t **body)
{
    struct spin_wait wait;
    bool alive = true, slept = false;

    spin_for(in->spin, &wait, in->ring);
    for (;;) {
        switch (ring_peek(in->ring, body)) {
        case RING_RECORD:
            if (slept)
                spin_slept(in->spin, &wait);
            return CS_OK;
        case RING_CORRUPT:
            set_flag(&c->dead);
            return CS_ERR_LIBRARY;
        case RING_EMPTY:
            break;
        }
        if (!alive)
            return conn_ended(c);
        if (end_ns == 0 && limit_ns != 0)
            end_ns = conn_now_ns() + limit_ns;
        else if (end_ns != 0 && conn_now_ns() >= end_ns)
            return CS_ERR_TIMEOUT;
        alive = sleep_for(c, in, end_ns);
        slept = true;
    }
}

static void step_over(struct ring_consumer *ring)
{
    ring_advance(ring);
    ring_release(ring);
}

static uint32_t owed_count(const struct conn_owed *o)
{
    /* Relaxed: who reads it without the lock wants a hint. */
    return atomic_load_explicit(&o->count, memory_order_relaxed);
}

static void owed_set_count(struct conn_owed *o, uint32_t count)
{
    atomic_store_explicit(&o->count, count, memory_order_relaxed);
}

/* Something was asked: its answer comes after the others. There is room: see
 * take_late_replies(). */
static void owed_push(struct conn_owed *o, uint32_t type)
{
    uint32_t count = owed_count(o);

    o->types[count] = type;
    owed_set_count(o, count + 1);
}

/* The next answer has come. */
static void owed_pop(struct conn_owed *o)
{
    uint32_t count = owed_count(o) - 1;

    memmove(o->types, o->types + 1, count * sizeof *o->types);
    owed_set_count(o, count);
    if (o->awaited > 0)
        o->awaited--;
}

/* Room for a request, for as long as that takes. Messages before it may be held
 * back until this program has read its events (slow_reader in the daemon's
 * config file), and it does not read them while it waits. So the daemon lets
 * them go for who sleeps on the reply ring, which is announced here, and has to
 * look once it was. */
static void *claim_request(struct conn *c, uint32_t size, uint64_t end_ns,
                           cs_error_t *error)
{
    void *at = conn_claim_now(c, size, true, error);

    if (at != NULL || *error != CS_ERR_TRY_AGAIN)
        return at;
    ring_arm(&c->reply);
    ring_bell(c->doorbell);
    return conn_claim_until(c, size, end_ns, error);
}

/* The record in the ring answers what was given up. What that did is undone, if
 * the library wants it; if there is no room for that, the record is left where
 * it is. */
static cs_error_t take_late(struct conn *c, const struct inbox *in,
                            const uint8_t *body, uint64_t end_ns)
{
    struct conn_undo undo;
    cs_error_t error = CS_OK;
    void *at = NULL;

    if (in->ring == &c->reply && c->undo != NULL &&
        c->undo(in->ring->record.type, body, in->ring->record.size, &undo)) {
        at = claim_request(c, undo.size, end_ns, &error);
        if (at == NULL)
            return error;
        memcpy(at, undo.body, undo.size);
    }
    owed_pop(in->owed);
    step_over(in->ring);
    if (at != NULL) {
        error = conn_commit(c, undo.type, undo.size);
        owed_push(in->owed, undo.type);
    }
    return error;
}

/* Waits for the next record, and sees that it is the answer that is due. */
static cs_error_t wait_owed(struct conn *c, const struct inbox *in,
                            uint64_t end_ns, uint64_t limit_ns,
                            const uint8_t **body)
{
    cs_error_t error = wait_record(c, in, end_ns, limit_ns, body);

    if (error == CS_OK && (owed_count(in->owed) == 0 ||
                           in->ring->record.type != in->owed->types[0])) {
        set_flag(&c->dead);
        return CS_ERR_LIBRARY;
    }
    return error;
}

/* Copies an answer to where it is wanted, as far as there is room. */
static void scatter(const struct conn_call *call, const uint8_t *from,
                    size_t size)
{
    for (int i = 0; i < CONN_ANSWER_PARTS && size > 0; i++) {
        const struct iovec *to = &call->answer[i];
        size_t n = size < to->iov_len ? size : to->iov_len;
        if (n > 0)
            memcpy(to->iov_base, from, n);
        from += n;
        size -= n;
    }
}

/* Waits for the answer to what was asked just now, which comes behind those
 * that are late. */
static cs_error_t wait_answer(struct conn *c, const struct inbox *in,
                              struct conn_call *call, uint64_t limit_ns)
{
    const uint8_t *body;
    cs_error_t error;

    owed_push(in->owed, call->type);
    in->owed->awaited = owed_count(in->owed);
    do {
        error = wait_owed(c, in, call->end_ns, limit_ns, &body);
        if (error == CS_OK && in->owed->awaited == 1)
            break;
        if (error == CS_OK)
            error = take_late(c, in, body, call->end_ns);
    } while (error == CS_OK);
    in->owed->awaited = 0;
    if (error != CS_OK)
        return error;
    call->answer_size = in->ring->record.size;
    scatter(call, body, call->answer_size);
    owed_pop(in->owed);
    step_over(in->ring);
    return CS_OK;
}

static uint32_t call_size(const struct conn_call *call)
{
    size_t sum = call->head.iov_len;

    for (uint32_t i = 0; i < call->part_count; i++)
        sum += call->parts[i].iov_len;
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

static uint8_t *put_part(uint8_t *at, const struct iovec *part)
{
    if (part->iov_len > 0)
        memcpy(at, part->iov_base, part->iov_len);
    return at + part->iov_len;
}

static void gather(uint8_t *at, const struct conn_call *call)
{
    at = put_part(at, &call->head);
    for (uint32_t i = 0; i < call->part_count; i++)
        at = put_part(at, &call->parts[i]);
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

/* Takes request_lock. CS_ERR_TIMEOUT: others have held it until end_ns.
 *
 * pthread_mutex_clocklock() would do, but ThreadSanitizer does not know it. So
 * who has a limit tries again when the holder tells him that it is free. Should
 * he miss that (he tries before it is free, and is counted too late), he looks
 * again soon. */
static cs_error_t lock_until(struct conn *c, uint64_t end_ns)
{
    bool mine = false;
    uint64_t now;

    if (end_ns == 0) {
        pthread_mutex_lock(&c->request_lock);
        return CS_OK;
    }
    if (pthread_mutex_trylock(&c->request_lock) == 0)
        return CS_OK;
    pthread_mutex_lock(&c->patient_lock);
    atomic_fetch_add(&c->patient_count, 1);
    while (!(mine = pthread_mutex_trylock(&c->request_lock) == 0) &&
           (now = conn_now_ns()) < end_ns) {
        uint64_t soon = now + LOOK_AGAIN_MS * 1000000u;
        struct timespec until = timespec_of(soon < end_ns ? soon : end_ns);
        pthread_cond_timedwait(&c->request_free, &c->patient_lock, &until);
    }
    atomic_fetch_sub(&c->patient_count, 1);
    pthread_mutex_unlock(&c->patient_lock);
    return mine ? CS_OK : CS_ERR_TIMEOUT;
}

static void unlock_requests(struct conn *c)
{
    pthread_mutex_unlock(&c->request_lock);
    if (atomic_load(&c->patient_count) == 0)
        return;
    pthread_mutex_lock(&c->patient_lock);
    pthread_cond_signal(&c->request_free);
    pthread_mutex_unlock(&c->patient_lock);
}

static bool is_revoked(const struct conn_call *call)
{
    /* Acquire: pairs with the release of who revokes it. */
    return call->revoked != NULL &&
           atomic_load_explicit(call->revoked, memory_order_acquire);
}

uint64_t conn_deadline(int64_t timeout_ns)
{
    uint64_t now = conn_now_ns();

    if (timeout_ns == INT64_MAX)
        return 0;
    return timeout_ns > 0 ? now + (uint64_t)timeout_ns : now;
}

/* Takes the late replies that have come, under request_lock. TRY_AGAIN: so many
 * are still to come that the daemon may not be asked. */
static cs_error_t take_late_replies(struct conn *c, uint64_t end_ns)
{
    const struct inbox in = reply_inbox(c);
    const uint8_t *body;
    cs_error_t error = CS_OK;

    while (error == CS_OK && owed_count(in.owed) > 0 &&
           ring_peek(in.ring, &body) != RING_EMPTY) {
        error = wait_owed(c, &in, end_ns, 0, &body);
        if (error == CS_OK)
            error = take_late(c, &in, body, end_ns);
    }
    if (error == CS_OK && owed_count(in.owed) == CONN_OWED_MAX)
        error = conn_is_dead(c) ? conn_ended(c) : CS_ERR_TRY_AGAIN;
    return error;
}

void conn_take_late(struct conn *c)
{
    if (owed_count(&c->owed_replies) == 0 ||
        pthread_mutex_trylock(&c->request_lock) != 0)
        return;
    take_late_replies(c, conn_now_ns());
    unlock_requests(c);
}

static cs_error_t request_locked(struct conn *c, struct conn_call *call)
{
    const struct inbox in = reply_inbox(c);
    uint32_t size = call_size(call);
    cs_error_t error;
    uint8_t *at;

    /* Under the lock: who revokes it has not yet submitted anything. */
    if (is_revoked(call))
        return CS_ERR_BAD_HANDLE;
    error = take_late_replies(c, call->end_ns);
    if (error != CS_OK)
        return error;
    at = claim_request(c, size, call->end_ns, &error);
    if (at == NULL)
        return error;
    gather(at, call);
    error = conn_commit(c, call->type, size);
    return error != CS_OK ? error : wait_answer(c, &in, call, 0);
}

cs_error_t conn_request(struct conn *c, struct conn_call *call)
{
    cs_error_t error = lock_until(c, call->end_ns);

    if (error != CS_OK)
        return error;
    error = request_locked(c, call);
    unlock_requests(c);
    return error;
}

/* Under query_lock. */
static cs_error_t put_query(struct conn *c, const struct conn_call *call)
{
    uint32_t size = call_size(call);
    uint8_t *at;

    if (flag(&c->closing))
        return CS_ERR_BAD_HANDLE;
    if (flag(&c->dead))
        return conn_ended(c); /* it may be closing only now */
    /* One query is under way at a time, so there is room, or a fault. */
    at = ring_claim(&c->query, size);
    if (at == NULL) {
        set_flag(&c->dead);
        return CS_ERR_LIBRARY;
    }
    gather(at, call);
    ring_push(&c->query, call->type, size);
    if (ring_publish(&c->query))
        ring_bell(c->query_bell);
    return CS_OK;
}

/* The answer ring has room for one answer, so one that is late has to come
 * before the next query. */
static cs_error_t query_locked(struct conn *c, struct conn_call *call)
{
    const struct inbox in = answer_inbox(c);
    cs_error_t error = CS_OK;
    const uint8_t *body;

    if (owed_count(in.owed) > 0) {
        error = wait_owed(c, &in, call->end_ns, QUERY_LIMIT_NS, &body);
        if (error == CS_OK)
            error = take_late(c, &in, body, call->end_ns);
    }
    if (error == CS_OK)
        error = put_query(c, call);
    if (error == CS_OK)
        error = wait_answer(c, &in, call, QUERY_LIMIT_NS);
    return error;
}

cs_error_t conn_query(struct conn *c, struct conn_call *call)
{
    cs_error_t error;

    pthread_mutex_lock(&c->query_lock);
    error = query_locked(c, call);
    pthread_mutex_unlock(&c->query_lock);
    if (error == CS_OK && is_revoked(call))
        return CS_ERR_BAD_HANDLE; /* it may be an answer about something else */
    return error == CS_ERR_TIMEOUT ? CS_ERR_TRY_AGAIN : error;
}
