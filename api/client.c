/* SPDX-License-Identifier: BSD-3-Clause */
/* client.c - the connection of a client library to the daemon. */
#include "api/client.h"

#include "ipc/channel.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Static_assert(CS_OK == (int)IPC_OK, "values of ipc_error");
_Static_assert(CS_ERR_LIBRARY == (int)IPC_ERR_LIBRARY, "values of ipc_error");
_Static_assert(CS_ERR_ACCESS == (int)IPC_ERR_ACCESS, "values of ipc_error");
_Static_assert(CS_ERR_NOT_EXIST == (int)IPC_ERR_NOT_EXIST, "ipc_error");
_Static_assert(CS_ERR_NO_RESOURCES == (int)IPC_ERR_NO_RESOURCES, "ipc_error");
_Static_assert(CS_ERR_TOO_BIG == (int)IPC_ERR_TOO_BIG, "ipc_error");
_Static_assert(CS_ERR_TOO_MANY_GROUPS == (int)IPC_ERR_TOO_MANY_GROUPS, "");

enum {
    EVENT_SPIN_NS = 2000, /* at most, for events: they come when they come */
    CHECK_EVERY = 16,     /* records between two looks for the daemon's end */
    CONNECT_MS = 5000, /* for the daemon to accept, and to answer the hello */
    OWED_MS = 10       /* for a byte that the daemon is about to send */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool flag(_Atomic bool *f)
{
    /* Relaxed: the flags say that it is time to give up; nothing is read on
     * the strength of them. */
    return atomic_load_explicit(f, memory_order_relaxed);
}

static void set_flag(_Atomic bool *f)
{
    atomic_store_explicit(f, true, memory_order_relaxed);
}

/* --- opening -------------------------------------------------------------- */

cs_error_t conn_error(uint32_t result)
{
    return result >= 1 && result <= 30 ? (cs_error_t)result : CS_ERR_LIBRARY;
}

static cs_error_t errno_error(int error)
{
    switch (error) {
    case ENOENT:
    case ECONNREFUSED:
    case ECONNRESET:
    case EAGAIN: /* as many connections are waiting as the socket takes */
    case ENOTDIR:
    case EINTR:
        return CS_ERR_TRY_AGAIN;
    case EACCES:
    case EPERM:
        return CS_ERR_ACCESS;
    case ENOMEM:
        return CS_ERR_NO_MEMORY;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
        return CS_ERR_NO_RESOURCES;
    default:
        return CS_ERR_LIBRARY;
    }
}

static cs_error_t connect_daemon(int *out)
{
    /* A daemon that stands still accepts nobody. */
    const struct timeval patience = {.tv_sec = CONNECT_MS / 1000};
    struct sockaddr_un address;
    int fd;

    if (channel_address(&address, channel_run_dir()) != 0)
        return CS_ERR_LIBRARY;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno_error(errno);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        cs_error_t error = errno_error(errno);
        close(fd);
        return error;
    }
    *out = fd;
    return CS_OK;
}

/* Reads the welcome, as long as this library knows it; a newer daemon's may be
 * longer, but then its version says so. */
static cs_error_t read_welcome(int fd, struct ipc_welcome *w, int fds[IPC_FDS],
                               size_t *fd_count)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do {
        n = poll(&p, 1, CONNECT_MS);
    } while (n < 0 && errno == EINTR);
    *fd_count = 0;
    if (n <= 0)
        return CS_ERR_TRY_AGAIN; /* a daemon that does not answer */
    long got = channel_receive(fd, w, sizeof *w, fds, IPC_FDS, fd_count, false);
    if (got <= 0)
        return CS_ERR_TRY_AGAIN; /* it ended just now */
    if ((size_t)got < 12 || w->magic != IPC_MAGIC)
        return CS_ERR_LIBRARY;
    if (w->version != IPC_VERSION)
        return CS_ERR_VERSION;
    if ((size_t)got != sizeof *w)
        return CS_ERR_LIBRARY;
    if (w->result != IPC_OK)
        return conn_error(w->result);
    return *fd_count == IPC_FDS ? CS_OK : CS_ERR_LIBRARY;
}

static void open_rings(struct conn *c, const struct ipc_welcome *w)
{
    struct segment *g = &c->segment;
    struct ring_shared *words = g->shared->rings;

    ring_producer_init(&c->submit, &words[SEGMENT_SUBMIT],
                       g->data[SEGMENT_SUBMIT], w->submit_size);
    ring_consumer_init(&c->reply, &words[SEGMENT_REPLY], g->data[SEGMENT_REPLY],
                       w->reply_size);
    ring_consumer_init(&c->event, &words[SEGMENT_EVENT], g->data[SEGMENT_EVENT],
                       w->event_size);
    ring_producer_init(&c->query, &words[SEGMENT_QUERY], g->data[SEGMENT_QUERY],
                       w->query_size);
    ring_consumer_init(&c->answer, &words[SEGMENT_ANSWER],
                       g->data[SEGMENT_ANSWER], w->answer_size);
    c->armed = true; /* the daemon announced it for us when it made the ring */
}

static void open_spins(struct conn *c, uint32_t spin_ns)
{
    spin_init(&c->reply_spin, spin_ns);
    spin_init(&c->answer_spin, spin_ns);
    spin_init(&c->event_spin,
              spin_ns < EVENT_SPIN_NS ? spin_ns : EVENT_SPIN_NS);
}

static cs_error_t open_segment(struct conn *c, const struct ipc_welcome *w,
                               int fd)
{
    const uint32_t sizes[SEGMENT_RINGS] = {[SEGMENT_SUBMIT] = w->submit_size,
                                           [SEGMENT_REPLY] = w->reply_size,
                                           [SEGMENT_EVENT] = w->event_size,
                                           [SEGMENT_QUERY] = w->query_size,
                                           [SEGMENT_ANSWER] = w->answer_size};
    int rc = segment_map(&c->segment, fd, sizes);

    if (rc != 0)
        return rc == -ENOMEM ? CS_ERR_NO_MEMORY : CS_ERR_LIBRARY;
    segment_hide_from_fork(&c->segment);
    open_rings(c, w);
    open_spins(c, w->spin_ns);
    return CS_OK;
}

static void init_locks(struct conn *c)
{
    pthread_mutexattr_t recursive;

    pthread_mutex_init(&c->submit_lock, NULL);
    pthread_mutex_init(&c->request_lock, NULL);
    pthread_mutex_init(&c->query_lock, NULL);
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&c->dispatch_lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
}

cs_error_t conn_open(struct conn *c, enum ipc_service service,
                     struct conn_rings rings)
{
    struct ipc_hello hello = {.magic = IPC_MAGIC,
                              .version = IPC_VERSION,
                              .size = sizeof hello,
                              .service = service,
                              .submit_size = rings.submit_bytes,
                              .event_size = rings.event_bytes};
    struct ipc_welcome w = {.magic = 0};
    int fds[IPC_FDS];
    size_t fd_count;
    cs_error_t error;

    memset(c, 0, sizeof *c);
    error = connect_daemon(&c->socket);
    if (error != CS_OK)
        return error;
    /* An error here is not the last word: a daemon that refuses does so before
     * it has read, and its reason is still there. */
    channel_send(c->socket, &hello, sizeof hello, NULL, 0, true);
    error = read_welcome(c->socket, &w, fds, &fd_count);
    if (error == CS_OK)
        error = open_segment(c, &w, fds[IPC_FD_SEGMENT]);
    if (error != CS_OK) {
        while (fd_count > 0)
            close(fds[--fd_count]);
        close(c->socket);
        return error;
    }
    close(fds[IPC_FD_SEGMENT]);
    c->doorbell = fds[IPC_FD_BELL];
    c->reply_fd = fds[IPC_FD_REPLY];
    c->room_fd = fds[IPC_FD_ROOM];
    c->query_bell = fds[IPC_FD_QUERY_BELL];
    c->answer_fd = fds[IPC_FD_ANSWER];
    c->node_id = w.node_id;
    c->message_size_max = w.message_size_max;
    init_locks(c);
    return CS_OK;
}

void conn_close_fds(struct conn *c)
{
    close(c->socket);
    close(c->doorbell);
    close(c->reply_fd);
    close(c->room_fd);
    close(c->query_bell);
    close(c->answer_fd);
}

void conn_close(struct conn *c)
{
    segment_unmap(&c->segment);
    conn_close_fds(c);
    pthread_mutex_destroy(&c->submit_lock);
    pthread_mutex_destroy(&c->request_lock);
    pthread_mutex_destroy(&c->query_lock);
    pthread_mutex_destroy(&c->dispatch_lock);
}

void conn_shutdown(struct conn *c)
{
    /* Under the lock: what was said to be accepted is in the ring before the
     * daemon sees the end. */
    pthread_mutex_lock(&c->submit_lock);
    set_flag(&c->closing);
    pthread_mutex_unlock(&c->submit_lock);
    shutdown(c->socket, SHUT_RDWR); /* wakes who polls it */
}

/* --- the daemon's end ----------------------------------------------------- */

/* Looks at the socket: has the daemon gone, or sent this client away? */
static bool conn_is_dead(struct conn *c)
{
    struct pollfd p = {.fd = c->socket, .events = POLLRDHUP};

    if (poll(&p, 1, 0) > 0 &&
        (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
        set_flag(&c->dead);
    return flag(&c->dead);
}

static void ring_bell(int fd)
{
    const uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n; /* full: its reader knows already */
}

/* Waits awake for something in the ring. True: it has come; else it is time to
 * sleep, and then to spin_slept(). */
static bool spin(struct spin *s, struct spin_wait *w,
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

/* Milliseconds for poll() until `end_ns` (0: for ever), rounded up. */
static int poll_ms(uint64_t end_ns)
{
    uint64_t now, left;

    if (end_ns == 0)
        return -1;
    now = now_ns();
    left = end_ns > now ? (end_ns - now + 999999) / 1000000 : 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

/* Sleeps until `fd` is readable, the connection ends, or it is `end_ns`; reads
 * the bytes if it is to (`take`). poll(), not a futex: it costs the same here,
 * and it sees the daemon's end too, and our own by conn_shutdown(). False: the
 * connection has ended. */
static bool wait_fd(struct conn *c, int fd, bool take, uint64_t end_ns)
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

/* Which side has ended the connection. */
static cs_error_t conn_ended(struct conn *c)
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

/* Like conn_claim(), without waiting. `ask`: somebody will wait if there is no
 * room. */
static void *claim_now(struct conn *c, uint32_t size, bool ask,
                       cs_error_t *error)
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

/* Waits for room until `end_ns`; 0: for ever. */
static void *claim_until(struct conn *c, uint32_t size, uint64_t end_ns,
                         cs_error_t *error)
{
    for (;;) {
        void *at = claim_now(c, size, true, error);
        if (at != NULL || *error != CS_ERR_TRY_AGAIN)
            return at;
        if (end_ns != 0 && now_ns() >= end_ns) {
            *error = CS_ERR_TIMEOUT;
            return NULL;
        }
        if (!wait_fd(c, c->room_fd, false, end_ns)) {
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
        return claim_now(c, size, false, error);
    return claim_until(c, size, timeout < 0 ? 0 : now_ns() + (uint64_t)timeout,
                       error);
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

/* Before this thread waits: the daemon may be waiting for us to have no more to
 * submit (see ring_doze()). */
static void nudge(struct conn *c)
{
    if (!ring_may_nudge(&c->submit))
        return;
    pthread_mutex_lock(&c->submit_lock);
    if (ring_nudge(&c->submit))
        ring_bell(c->doorbell);
    pthread_mutex_unlock(&c->submit_lock);
}

/* Takes the answer from the ring when it is there. */
static enum ring_result take_answer(struct ring_consumer *ring, uint32_t type,
                                    void *answer, size_t answer_max,
                                    size_t *answer_size)
{
    const uint8_t *body;
    enum ring_result r = ring_peek(ring, &body);

    if (r != RING_RECORD)
        return r;
    if (ring->record.type != type)
        return RING_CORRUPT;
    *answer_size = ring->record.size;
    memcpy(answer, body, *answer_size < answer_max ? *answer_size : answer_max);
    ring_advance(ring);
    ring_release(ring);
    return r;
}

/* Sleeps until something is in the ring; false: the connection has ended. */
static bool sleep_for(struct conn *c, struct ring_consumer *ring, int fd)
{
    bool alive = true;

    if (ring_arm(ring)) {
        if (ring == &c->reply)
            ring_bell(c->doorbell); /* see claim_request() */
        else
            nudge(c);
        alive = wait_fd(c, fd, true, 0);
    }
    ring_disarm(ring);
    return alive;
}

/* Waits for the answer of `type` in the ring whose sleeper is woken by `fd`. */
static cs_error_t wait_answer(struct conn *c, struct ring_consumer *ring,
                              struct spin *s, int fd, uint32_t type,
                              void *answer, size_t answer_max,
                              size_t *answer_size)
{
    struct spin_wait wait;
    bool alive = true, slept = false;

    spin(s, &wait, ring);
    for (;;) {
        switch (take_answer(ring, type, answer, answer_max, answer_size)) {
        case RING_RECORD:
            if (slept)
                spin_slept(s, &wait);
            return CS_OK;
        case RING_CORRUPT:
            set_flag(&c->dead);
            return CS_ERR_LIBRARY;
        case RING_EMPTY:
            break;
        }
        if (!alive)
            return conn_ended(c);
        alive = sleep_for(c, ring, fd);
        slept = true;
    }
}

static void write_parts(uint8_t *at, const void *head, uint32_t head_size,
                        const void *body, uint32_t body_size)
{
    if (head_size > 0)
        memcpy(at, head, head_size);
    if (body_size > 0)
        memcpy(at + head_size, body, body_size);
}

/* Room for a request, however long that takes. Messages before it may be held
 * back until this program has read its events (slow_reader in the daemon's
 * config file), and it does not read them while it waits. So the daemon lets
 * them go for who sleeps on the reply ring, which is announced here, and has to
 * look once it was. */
static void *claim_request(struct conn *c, uint32_t size, cs_error_t *error)
{
    void *at = claim_now(c, size, true, error);

    if (at != NULL || *error != CS_ERR_TRY_AGAIN)
        return at;
    ring_arm(&c->reply);
    ring_bell(c->doorbell);
    return claim_until(c, size, 0, error);
}

cs_error_t conn_request(struct conn *c, uint32_t type, const void *head,
                        uint32_t head_size, const void *body,
                        uint32_t body_size, void *reply, size_t reply_max,
                        size_t *reply_size)
{
    cs_error_t error;

    pthread_mutex_lock(&c->request_lock);
    uint8_t *at = claim_request(c, head_size + body_size, &error);
    if (at != NULL) {
        write_parts(at, head, head_size, body, body_size);
        error = conn_commit(c, type, head_size + body_size);
        if (error == CS_OK)
            error = wait_answer(c, &c->reply, &c->reply_spin, c->reply_fd, type,
                                reply, reply_max, reply_size);
    }
    pthread_mutex_unlock(&c->request_lock);
    return error;
}

/* Under query_lock. */
static cs_error_t put_query(struct conn *c, uint32_t type, const void *body,
                            uint32_t body_size)
{
    uint8_t *at;

    if (flag(&c->closing))
        return CS_ERR_BAD_HANDLE;
    if (flag(&c->dead))
        return conn_ended(c); /* it may be closing only now */
    /* One query is under way at a time, so there is room, or a fault. */
    at = ring_claim(&c->query, body_size);
    if (at == NULL) {
        set_flag(&c->dead);
        return CS_ERR_LIBRARY;
    }
    write_parts(at, NULL, 0, body, body_size);
    ring_push(&c->query, type, body_size);
    if (ring_publish(&c->query))
        ring_bell(c->query_bell);
    return CS_OK;
}

cs_error_t conn_query(struct conn *c, uint32_t type, const void *body,
                      uint32_t body_size, void *answer, size_t answer_max,
                      size_t *answer_size)
{
    cs_error_t error;

    pthread_mutex_lock(&c->query_lock);
    error = put_query(c, type, body, body_size);
    if (error == CS_OK)
        error = wait_answer(c, &c->answer, &c->answer_spin, c->answer_fd, type,
                            answer, answer_max, answer_size);
    pthread_mutex_unlock(&c->query_lock);
    return error;
}

/* --- events ---------------------------------------------------------------
 *
 * The socket is what programs poll, so it has to be readable when a callback is
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
    nudge(c);
    if ((may_wait && spin(&c->event_spin, wait, &c->event)) || settle(c))
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
