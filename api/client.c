/* SPDX-License-Identifier: BSD-3-Clause */
/* client.c - the connection of a client library to the daemon. */
#include "api/client.h"

#include "ipc/channel.h"

#include <errno.h>
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
    SPIN_NS = 2000,    /* before sleeping; a busy daemon answers in less */
    CHECK_EVERY = 16,  /* records between two looks for the daemon's end */
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

static cs_error_t open_segment(struct conn *c, const struct ipc_welcome *w,
                               int fd)
{
    const uint32_t sizes[SEGMENT_RINGS] = {[SEGMENT_SUBMIT] = w->submit_size,
                                           [SEGMENT_REPLY] = w->reply_size,
                                           [SEGMENT_EVENT] = w->event_size};
    struct segment *g = &c->segment;
    int rc = segment_map(g, fd, sizes);

    if (rc != 0)
        return rc == -ENOMEM ? CS_ERR_NO_MEMORY : CS_ERR_LIBRARY;
    segment_hide_from_fork(g);
    ring_producer_init(&c->submit, &g->shared->rings[SEGMENT_SUBMIT],
                       g->data[SEGMENT_SUBMIT], w->submit_size);
    ring_consumer_init(&c->reply, &g->shared->rings[SEGMENT_REPLY],
                       g->data[SEGMENT_REPLY], w->reply_size);
    ring_consumer_init(&c->event, &g->shared->rings[SEGMENT_EVENT],
                       g->data[SEGMENT_EVENT], w->event_size);
    c->armed = true; /* the daemon announced it for us when it made the ring */
    return CS_OK;
}

static void init_locks(struct conn *c)
{
    pthread_mutexattr_t recursive;

    pthread_mutex_init(&c->submit_lock, NULL);
    pthread_mutex_init(&c->request_lock, NULL);
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&c->dispatch_lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
}

cs_error_t conn_open(struct conn *c, enum ipc_service service)
{
    struct ipc_hello hello = {.magic = IPC_MAGIC,
                              .version = IPC_VERSION,
                              .size = sizeof hello,
                              .service = service};
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
        error = open_segment(c, &w, fds[0]);
    if (error != CS_OK) {
        while (fd_count > 0)
            close(fds[--fd_count]);
        close(c->socket);
        return error;
    }
    close(fds[0]);
    c->doorbell = fds[1];
    c->reply_fd = fds[2];
    c->node_id = w.node_id;
    c->message_size_max = w.message_size_max;
    init_locks(c);
    return CS_OK;
}

void conn_close(struct conn *c)
{
    segment_unmap(&c->segment);
    close(c->socket);
    close(c->doorbell);
    close(c->reply_fd);
    pthread_mutex_destroy(&c->submit_lock);
    pthread_mutex_destroy(&c->request_lock);
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

/* Spinning pays only if the daemon can run meanwhile. */
static bool may_spin(void)
{
    static _Atomic long cpus;
    long n = atomic_load_explicit(&cpus, memory_order_relaxed);

    if (n == 0) {
        n = sysconf(_SC_NPROCESSORS_ONLN);
        atomic_store_explicit(&cpus, n, memory_order_relaxed);
    }
    return n > 1;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Waits a moment for something in the ring. True: it has come. */
static bool spin(struct ring_consumer *ring)
{
    const uint8_t *body;
    uint64_t end;

    if (!may_spin())
        return false;
    end = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < 16; i++) {
            if (ring_peek(ring, &body) != RING_EMPTY)
                return true;
            relax();
        }
    } while (now_ns() < end);
    return false;
}

/* --- submitting ----------------------------------------------------------- */

static cs_error_t no_room(struct conn *c, uint32_t size)
{
    if (c->submit.corrupt)
        set_flag(&c->dead);
    if (ring_nudge(&c->submit))
        ring_bell(c->doorbell);
    if (conn_is_dead(c))
        return CS_ERR_LIBRARY;
    return ring_footprint(size) > c->submit.size ? CS_ERR_TOO_BIG
                                                 : CS_ERR_TRY_AGAIN;
}

void *conn_claim(struct conn *c, uint32_t size, cs_error_t *error)
{
    void *at = NULL;

    if (flag(&c->dead)) {
        *error = CS_ERR_LIBRARY;
        return NULL;
    }
    pthread_mutex_lock(&c->submit_lock);
    /* Looked at under the lock: the daemon sends what was submitted before the
     * end, so nothing may be submitted after it and said to be accepted. */
    if (flag(&c->closing))
        *error = CS_ERR_BAD_HANDLE;
    else if ((at = ring_claim(&c->submit, size)) == NULL)
        *error = no_room(c, size);
    if (at == NULL)
        pthread_mutex_unlock(&c->submit_lock);
    return at;
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
    return look && conn_is_dead(c) ? CS_ERR_LIBRARY : CS_OK;
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

/* Sleeps until the daemon rings reply_fd. False: it will not any more. */
static bool wait_reply_fd(struct conn *c)
{
    /* poll(), not a futex: it costs the same here, and it sees the daemon's end
     * too (and our own, by conn_shutdown()). */
    struct pollfd p[2] = {{.fd = c->reply_fd, .events = POLLIN},
                          {.fd = c->socket, .events = POLLRDHUP}};
    uint8_t bytes[64];

    nudge(c);
    if (poll(p, 2, -1) < 0)
        return errno == EINTR;
    if ((p[0].revents & POLLIN) != 0 &&
        recv(c->reply_fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
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

/* Like conn_claim(), but waits for room. The caller holds request_lock, so
 * that there is one sleeper on reply_fd. */
static void *claim_waiting(struct conn *c, uint32_t size, cs_error_t *error)
{
    for (;;) {
        void *at = conn_claim(c, size, error);
        if (at != NULL || *error != CS_ERR_TRY_AGAIN)
            return at;
        pthread_mutex_lock(&c->submit_lock);
        bool wait = ring_wait_room(&c->submit, size);
        pthread_mutex_unlock(&c->submit_lock);
        if (wait && !wait_reply_fd(c)) {
            *error = conn_ended(c);
            return NULL;
        }
    }
}

/* Takes the reply from the ring when it is there. */
static enum ring_result take_reply(struct conn *c, uint32_t type, void *reply,
                                   size_t reply_max, size_t *reply_size)
{
    const uint8_t *body;
    enum ring_result r = ring_peek(&c->reply, &body);

    if (r != RING_RECORD)
        return r;
    if (c->reply.record.type != type)
        return RING_CORRUPT;
    *reply_size = c->reply.record.size;
    memcpy(reply, body, *reply_size < reply_max ? *reply_size : reply_max);
    ring_advance(&c->reply);
    ring_release(&c->reply);
    return r;
}

static cs_error_t wait_reply(struct conn *c, uint32_t type, void *reply,
                             size_t reply_max, size_t *reply_size)
{
    bool alive = true;

    spin(&c->reply);
    for (;;) {
        switch (take_reply(c, type, reply, reply_max, reply_size)) {
        case RING_RECORD:
            return CS_OK;
        case RING_CORRUPT:
            set_flag(&c->dead);
            return CS_ERR_LIBRARY;
        case RING_EMPTY:
            break;
        }
        if (!alive)
            return conn_ended(c);
        if (ring_arm(&c->reply)) {
            alive = wait_reply_fd(c);
            ring_disarm(&c->reply);
        }
    }
}

cs_error_t conn_request(struct conn *c, uint32_t type, const void *head,
                        uint32_t head_size, const void *body,
                        uint32_t body_size, void *reply, size_t reply_max,
                        size_t *reply_size)
{
    cs_error_t error;

    pthread_mutex_lock(&c->request_lock);
    uint8_t *at = claim_waiting(c, head_size + body_size, &error);
    if (at != NULL) {
        if (head_size > 0)
            memcpy(at, head, head_size);
        if (body_size > 0)
            memcpy(at + head_size, body, body_size);
        error = conn_commit(c, type, head_size + body_size);
        if (error == CS_OK)
            error = wait_reply(c, type, reply, reply_max, reply_size);
    }
    pthread_mutex_unlock(&c->request_lock);
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
                               conn_event_fn deliver, void *context,
                               cs_error_t *result)
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
    /* A moment of spinning costs less than to be woken. */
    if ((may_wait && spin(&c->event)) || settle(c))
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
    cs_error_t result;

    for (;;) {
        uint64_t before = c->event.head;
        switch (dispatch_step(c, may_wait, deliver, context, &result)) {
        case STEP_END:
            return result;
        case STEP_EMPTY:
            if (flags == CS_DISPATCH_ALL)
                return CS_OK;
            if (flags == CS_DISPATCH_ONE_NONBLOCKING)
                return CS_ERR_TRY_AGAIN;
            wait_socket(c);
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
