/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch.c - the events of a connection, and the descriptor that tells of
 * them. */
#include "api/client_internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum { OWED_MS = 10 /* for a byte that the daemon is about to send */ };

/* The socket is what programs poll, so it has to be readable when a callback is
 * pending, and not be when none is (a program that polls and then asks for ONE
 * would hang). The daemon sends a byte each time it takes our announcement of
 * sleep (`asleep` of the event ring), and never else. We can only read bytes,
 * not put them back. So they are counted: `owed` is how many announcements we
 * have seen taken, less the bytes we have read; `armed`, that there is one we
 * have not seen taken.
 *
 * Always (under dispatch_lock, between any two calls here): armed or owed > 0.
 * At the beginning the daemon has announced for us: armed. An announcement that
 * was taken is a byte owed. A new one is made only when there is none, so owed
 * > 0 then; and if it is withdrawn again, owed is still > 0. Bytes are read
 * only while armed, after the ring was seen empty since that announcement, and
 * only as many as were owed before it.
 *
 * It follows: if a record is pending when we return, then either it came after
 * the announcement that stands, so the daemon takes that and sends a byte that
 * we do not read; or owed > 0, and such a byte is there unread, or on its way.
 * And if none is pending and nothing is owed, the socket is not readable.
 *
 * A byte on its way (the daemon has taken the announcement and is about to
 * send) is waited for a short while, or it would come when nothing is pending.
 * If it does not come even then, it is read later: a wake-up too many. */

/* Reads what is owed, or looks whether the daemon is gone. */
static void drain_owed(struct conn *c)
{
    uint8_t bytes[64];
    struct pollfd p = {.fd = c->socket, .events = POLLIN};
    bool waited = false;

    do {
        size_t want = c->owed < sizeof bytes ? c->owed : sizeof bytes;
        ssize_t n = recv(c->socket, bytes, want > 0 ? want : 1,
                         MSG_DONTWAIT | (want > 0 ? 0 : MSG_PEEK));
        if (n > 0 && want > 0) {
            c->owed -= (uint32_t)n;
        } else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            set_flag(&c->dead);
            return;
        } else if (n < 0 && errno == EAGAIN && want > 0) {
            if (waited)
                return;
            waited = true;
            poll(&p, 1, OWED_MS);
        }
    } while (c->owed > 0);
}

/* The ring was found empty: brings announcement and socket in order. True:
 * something has come meanwhile. */
static bool settle(struct conn *c)
{
    if (c->armed && !ring_is_armed(&c->event)) {
        c->armed = false;
        c->owed++;
    }
    if (!c->armed) {
        c->armed = true;
        if (!ring_arm(&c->event)) {
            c->armed = false;
            if (!ring_disarm(&c->event))
                c->owed++;
            return true;
        }
    }
    drain_owed(c);
    return false;
}

/* After one callback: if nothing more is pending, the socket must not be
 * readable. Costs a system call only if it might be. */
static void settle_one(struct conn *c)
{
    const uint8_t *body;

    if (c->armed && c->owed == 0 && ring_is_armed(&c->event))
        return;
    if (ring_peek(&c->event, &body) == RING_EMPTY)
        settle(c);
}

/* Gives back the memory of events that were handled, `min` bytes at least. */
static void release_events(struct conn *c, uint64_t min)
{
    if (c->depth == 1 && c->event.head - c->event.released >= min &&
        ring_release(&c->event))
        ring_bell(c->doorbell); /* the daemon waits for room */
}

/* Sleeps until the socket is readable. In a nested dispatch the outer ones keep
 * their hold on the lock. */
static void wait_socket(struct conn *c)
{
    struct pollfd p = {.fd = c->socket, .events = POLLIN};

    c->depth--;
    pthread_mutex_unlock(&c->dispatch_lock);
    poll(&p, 1, -1);
    pthread_mutex_lock(&c->dispatch_lock);
    c->depth++;
}

enum step { STEP_EVENT, STEP_EMPTY, STEP_END };

/* Handles one event if there is one. */
static enum step dispatch_step(struct conn *c, bool may_wait,
                               struct spin_wait *wait, conn_event_fn deliver,
                               void *context, cs_error_t *result)
{
    const uint8_t *body;

    *result = CS_OK;
    if (flag(&c->closing))
        return STEP_END;
    switch (ring_peek(&c->event, &body)) {
    case RING_RECORD: {
        uint32_t type = c->event.record.type, size = c->event.record.size;
        ring_advance(&c->event);
        deliver(context, type, body, size);
        if (flag(&c->foreign))
            return STEP_END; /* the callback has forked, this is the child */
        release_events(c, c->event.size / 4);
        return STEP_EVENT;
    }
    case RING_CORRUPT:
        set_flag(&c->dead);
        *result = CS_ERR_LIBRARY;
        return STEP_END;
    case RING_EMPTY:
        break;
    }
    release_events(c, 1);
    conn_nudge(c);
    if ((may_wait && spin_for(&c->event_spin, wait, &c->event)) || settle(c))
        return STEP_EVENT; /* none handled, but there is one */
    if (flag(&c->dead)) {
        *result = flag(&c->closing) ? CS_OK : CS_ERR_LIBRARY;
        return STEP_END;
    }
    return STEP_EMPTY;
}

static cs_error_t dispatch_locked(struct conn *c, cs_dispatch_flags_t flags,
                                  conn_event_fn deliver, void *context)
{
    /* ALL ends also if events come as fast as they are handled. */
    const uint64_t begin = c->event.head;
    const bool may_wait =
        flags == CS_DISPATCH_ONE || flags == CS_DISPATCH_BLOCKING;
    struct spin_wait wait;
    cs_error_t result;

    for (;;) {
        uint64_t before = c->event.head;
        switch (dispatch_step(c, may_wait, &wait, deliver, context, &result)) {
        case STEP_END:
            return result;
        case STEP_EMPTY:
            if (flags == CS_DISPATCH_ALL)
                return CS_OK;
            if (flags == CS_DISPATCH_ONE_NONBLOCKING)
                return CS_ERR_TRY_AGAIN;
            wait_socket(c);
            spin_slept(&c->event_spin, &wait);
            break;
        case STEP_EVENT:
            if (before == c->event.head)
                break;
            if (flags == CS_DISPATCH_ONE ||
                flags == CS_DISPATCH_ONE_NONBLOCKING) {
                if (!flag(&c->closing))
                    settle_one(c);
                return CS_OK;
            }
            if (flags == CS_DISPATCH_ALL &&
                c->event.head - begin >= c->event.size)
                return CS_OK;
            break;
        }
    }
}

cs_error_t conn_dispatch(struct conn *c, cs_dispatch_flags_t flags,
                         conn_event_fn deliver, void *context)
{
    cs_error_t result;

    pthread_mutex_lock(&c->dispatch_lock);
    c->depth++;
    result = dispatch_locked(c, flags, deliver, context);
    if (flag(&c->foreign))
        return result; /* the lock and the ring stayed with the parent */
    release_events(c, 1);
    c->depth--;
    pthread_mutex_unlock(&c->dispatch_lock);
    return result;
}
