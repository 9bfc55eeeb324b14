/* SPDX-License-Identifier: BSD-3-Clause */
/* client_internal.h - what connect.c, submit.c, request.c and dispatch.c share.
 */
#ifndef API_CLIENT_INTERNAL_H
#define API_CLIENT_INTERNAL_H

#include "api/client.h"

#include <unistd.h>

static inline bool flag(_Atomic bool *f)
{
    /* Relaxed: the flags say that it is time to give up; nothing is read on
     * the strength of them. */
    return atomic_load_explicit(f, memory_order_relaxed);
}

static inline void set_flag(_Atomic bool *f)
{
    atomic_store_explicit(f, true, memory_order_relaxed);
}

static inline void ring_bell(int fd)
{
    const uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n; /* full: its reader knows already */
}

/* Waits awake for something in the ring. True: it has come; else it is time to
 * sleep, and then to spin_slept(). */
static inline bool spin_for(struct spin *s, struct spin_wait *w,
                            struct ring_consumer *ring)
{
    const uint8_t *body;

    if (!spin_begin(s, w))
        return false;
    do {
        if (ring_peek(ring, &body) != RING_EMPTY) {
            spin_hit(s);
            return true;
        }
    } while (spin_again(s, w, 1));
    return false;
}

/* CLOCK_MONOTONIC, ns. */
uint64_t conn_now_ns(void);

/* Which side has ended the connection: BAD_HANDLE, if it was this one. */
cs_error_t conn_ended(struct conn *c);

/* Sleeps until `fd` is readable, the connection ends, or it is `end_ns`; reads
 * the bytes if it is to (`take`). False: the connection has ended. */
bool conn_wait_fd(struct conn *c, int fd, bool take, uint64_t end_ns);

/* Like conn_claim(), without waiting. `ask`: somebody will wait if there is no
 * room. */
void *conn_claim_now(struct conn *c, uint32_t size, bool ask,
                     cs_error_t *error);

/* Like conn_claim(), waits for room until `end_ns`; 0: for ever. */
void *conn_claim_until(struct conn *c, uint32_t size, uint64_t end_ns,
                       cs_error_t *error);

/* Before this thread waits: the daemon may be waiting for us to have no more to
 * submit (see ring_doze()). */
void conn_nudge(struct conn *c);

#endif
