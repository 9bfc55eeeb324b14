/* SPDX-License-Identifier: BSD-3-Clause */
/* submit.c - the submit ring, waiting for room in it, and for the daemon. */
#include "api/client_internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

enum { CHECK_EVERY = 16 /* records between two looks for the daemon's end */ };

uint64_t conn_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- the daemon's end ----------------------------------------------------- */

bool conn_is_dead(struct conn *c)
{
    struct pollfd p = {.fd = c->socket, .events = POLLRDHUP};

    if (poll(&p, 1, 0) > 0 &&
        (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
        set_flag(&c->dead);
    return flag(&c->dead);
}

/* Milliseconds for poll() until `end_ns` (0: for ever), rounded up. */
static int poll_ms(uint64_t end_ns)
{
    uint64_t now, left;

    if (end_ns == 0)
        return -1;
    now = conn_now_ns();
    left = end_ns > now ? (end_ns - now + 999999) / 1000000 : 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

/* poll(), not a futex: it costs the same here, and it sees the daemon's end
 * too, and our own by conn_shutdown(). */
bool conn_wait_fd(struct conn *c, int fd, bool take, uint64_t end_ns)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN},
                          {.fd = c->socket, .events = POLLRDHUP}};
    uint8_t bytes[64];

    if (poll(p, 2, poll_ms(end_ns)) < 0) {
        if (errno == EINTR)
            return true;
        set_flag(&c->dead); /* an answer that comes later is nobody's */
        return false;
    }
    if ((p[0].revents & POLLIN) != 0 &&
        (!take || recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0))
        return true;
    if (p[1].revents == 0 && (p[0].revents & POLLHUP) == 0)
        return true;
    set_flag(&c->dead);
    return false;
}

cs_error_t conn_ended(struct conn *c)
{
    return flag(&c->closing) ? CS_ERR_BAD_HANDLE : CS_ERR_LIBRARY;
}

/* --- submitting ----------------------------------------------------------- */

/* No room, under submit_lock: CS_OK if there is some after all.
 *
 * The daemon is asked to send a byte on room_fd when it has made room. That
 * byte is left there, for all who poll, until somebody finds no room again: he
 * takes it and asks anew, in this order. So while anyone waits, either the
 * descriptor is readable or the daemon has been asked since it was last
 * emptied. It is emptied also if the daemon is asked already: a byte may have
 * come late, when the ring was full again, and who polls would not sleep.
 * Programs poll it too (evs_room_fd_get()). */
static cs_error_t no_room(struct conn *c, uint32_t size, bool ask)
{
    uint8_t bytes[64];

    if (ring_footprint(size) > c->submit.size)
        return CS_ERR_TOO_BIG;
    if (c->submit.corrupt)
        set_flag(&c->dead);
    if (ring_nudge(&c->submit))
        ring_bell(c->doorbell);
    if (ask) {
        if (recv(c->room_fd, bytes, sizeof bytes, MSG_DONTWAIT) == 0)
            set_flag(&c->dead);
        if (!ring_wait_room(&c->submit, size) && !c->submit.corrupt)
            return CS_OK;
    }
    return conn_is_dead(c) ? conn_ended(c) : CS_ERR_TRY_AGAIN;
}

void *conn_claim_now(struct conn *c, uint32_t size, bool ask, cs_error_t *error)
{
    void *at = NULL;

    if (flag(&c->dead)) {
        *error = conn_ended(c);
        return NULL;
    }
    pthread_mutex_lock(&c->submit_lock);
    /* Looked at under the lock: the daemon sends what was submitted before the
     * end, so nothing may be submitted after it and said to be accepted. */
    *error = flag(&c->closing) ? CS_ERR_BAD_HANDLE : CS_OK;
    while (*error == CS_OK && (at = ring_claim(&c->submit, size)) == NULL)
        *error = no_room(c, size, ask || c->room_polled);
    if (at == NULL)
        pthread_mutex_unlock(&c->submit_lock);
    return at;
}

void *conn_claim_until(struct conn *c, uint32_t size, uint64_t end_ns,
                       cs_error_t *error)
{
    for (;;) {
        void *at = conn_claim_now(c, size, true, error);
        if (at != NULL || *error != CS_ERR_TRY_AGAIN)
            return at;
        if (end_ns != 0 && conn_now_ns() >= end_ns) {
            *error = CS_ERR_TIMEOUT;
            return NULL;
        }
        if (!conn_wait_fd(c, c->room_fd, false, end_ns)) {
            *error = conn_ended(c);
            return NULL;
        }
    }
}

void *conn_claim(struct conn *c, uint32_t size, cs_error_t *error)
{
    int64_t timeout =
        atomic_load_explicit(&c->send_timeout_ns, memory_order_relaxed);

    if (timeout == 0)
        return conn_claim_now(c, size, false, error);
    return conn_claim_until(
        c, size, timeout < 0 ? 0 : conn_now_ns() + (uint64_t)timeout, error);
}

int conn_room_fd(struct conn *c)
{
    pthread_mutex_lock(&c->submit_lock);
    c->room_polled = true;
    pthread_mutex_unlock(&c->submit_lock);
    return c->room_fd;
}

uint32_t conn_room(struct conn *c)
{
    uint64_t used, room;

    pthread_mutex_lock(&c->submit_lock);
    used = ring_unread(&c->submit);
    room = c->submit.corrupt ? 0 : c->submit.size - used;
    pthread_mutex_unlock(&c->submit_lock);
    return room < ring_footprint(0) ? 0 : (uint32_t)(room - ring_footprint(0));
}

void conn_unclaim(struct conn *c)
{
    pthread_mutex_unlock(&c->submit_lock);
}

cs_error_t conn_commit(struct conn *c, uint32_t type, uint32_t size)
{
    bool look = false;

    ring_push(&c->submit, type, size);
    if (ring_publish(&c->submit)) {
        ring_bell(c->doorbell);
        look = true;
    }
    if (++c->unchecked >= CHECK_EVERY)
        look = true;
    if (look)
        c->unchecked = 0;
    pthread_mutex_unlock(&c->submit_lock);
    /* A doorbell does not tell that nobody answers it. So look where a system
     * call was made anyway, and now and then. */
    if (!look || !conn_is_dead(c))
        return CS_OK;
    /* If it was finalized, then after this: the record is still sent. */
    return flag(&c->closing) ? CS_OK : CS_ERR_LIBRARY;
}

void conn_nudge(struct conn *c)
{
    if (!ring_may_nudge(&c->submit))
        return;
    pthread_mutex_lock(&c->submit_lock);
    if (ring_nudge(&c->submit))
        ring_bell(c->doorbell);
    pthread_mutex_unlock(&c->submit_lock);
}
