/* SPDX-License-Identifier: BSD-3-Clause */
/* client.c - the connection of a client library to the daemon. */
#include "api/client_internal.h"

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

/* How long a query may take: a daemon that stands still does not end. */
static const uint64_t QUERY_LIMIT_NS = 10000000000;

enum {
    EVENT_SPIN_NS = 10000, /* at most, for events: they come when they come */
    LOOK_AGAIN_MS = 20,    /* see lock_until() */
    CHECK_EVERY = 16,      /* records between two looks for the daemon's end */
    CONNECT_MS = 5000 /* for the daemon to accept, and to answer the hello */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
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
static cs_error_t read_welcome(int fd, struct ipc_welcome *w,
                               int fds[IPC_FDS_MAX], size_t *fd_count)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do {
        n = poll(&p, 1, CONNECT_MS);
    } while (n < 0 && errno == EINTR);
    *fd_count = 0;
    if (n <= 0)
        return CS_ERR_TRY_AGAIN; /* a daemon that does not answer */
    long got =
        channel_receive(fd, w, sizeof *w, fds, IPC_FDS_MAX, fd_count, false);
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
    /* The kernel gives no more of them than this process may have. */
    return *fd_count == (w->arena_size == 0 ? IPC_FDS : IPC_FDS_MAX)
               ? CS_OK
               : CS_ERR_NO_RESOURCES;
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
    pthread_condattr_t monotonic;

    pthread_mutex_init(&c->submit_lock, NULL);
    pthread_mutex_init(&c->request_lock, NULL);
    pthread_mutex_init(&c->patient_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->request_free, &monotonic);
    pthread_condattr_destroy(&monotonic);
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
    int fds[IPC_FDS_MAX];
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
    c->arena.fd = -1;
    if (fd_count == IPC_FDS_MAX) {
        /* Without it, everything is asked for. */
        (void)arena_map(&c->arena, fds[IPC_FD_ARENA], w.arena_size);
        c->arena_address = w.arena_address;
    }
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
    if (c->arena.fd >= 0)
        close(c->arena.fd);
}

void conn_close(struct conn *c)
{
    segment_unmap(&c->segment);
    arena_unmap(&c->arena);
    conn_close_fds(c);
    pthread_mutex_destroy(&c->submit_lock);
    pthread_mutex_destroy(&c->request_lock);
    pthread_cond_destroy(&c->request_free);
    pthread_mutex_destroy(&c->patient_lock);
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

/* --- requests and queries ------------------------------------------------- */

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
        alive = wait_fd(c, in->fd, true, end_ns);
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
            end_ns = now_ns() + limit_ns;
        else if (end_ns != 0 && now_ns() >= end_ns)
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
    void *at = claim_now(c, size, true, error);

    if (at != NULL || *error != CS_ERR_TRY_AGAIN)
        return at;
    ring_arm(&c->reply);
    ring_bell(c->doorbell);
    return claim_until(c, size, end_ns, error);
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
    size_t sum = 0;

    for (uint32_t i = 0; i < call->part_count; i++)
        sum += call->parts[i].iov_len;
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

static void gather(uint8_t *at, const struct conn_call *call)
{
    for (uint32_t i = 0; i < call->part_count; i++) {
        if (call->parts[i].iov_len > 0)
            memcpy(at, call->parts[i].iov_base, call->parts[i].iov_len);
        at += call->parts[i].iov_len;
    }
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
           (now = now_ns()) < end_ns) {
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
    uint64_t now = now_ns();

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
    take_late_replies(c, now_ns());
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

cs_error_t conn_call_request(struct conn *c, struct conn_call *call)
{
    cs_error_t error = lock_until(c, call->end_ns);

    if (error != CS_OK)
        return error;
    error = request_locked(c, call);
    unlock_requests(c);
    return error;
}

cs_error_t conn_request(struct conn *c, uint32_t type, const void *head,
                        uint32_t head_size, const void *body,
                        uint32_t body_size, void *reply, size_t reply_max,
                        size_t *reply_size)
{
    const struct iovec parts[] = {CONN_PART(head, head_size),
                                  CONN_PART(body, body_size)};
    struct conn_call call = {.type = type,
                             .parts = parts,
                             .part_count = 2,
                             .answer = {{reply, reply_max}}};
    cs_error_t error = conn_call_request(c, &call);

    *reply_size = call.answer_size;
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

cs_error_t conn_call_query(struct conn *c, struct conn_call *call)
{
    cs_error_t error;

    pthread_mutex_lock(&c->query_lock);
    error = query_locked(c, call);
    pthread_mutex_unlock(&c->query_lock);
    if (error == CS_OK && is_revoked(call))
        return CS_ERR_BAD_HANDLE; /* it may be an answer about something else */
    return error == CS_ERR_TIMEOUT ? CS_ERR_TRY_AGAIN : error;
}

cs_error_t conn_query(struct conn *c, uint32_t type, const void *body,
                      uint32_t body_size, void *answer, size_t answer_max,
                      size_t *answer_size)
{
    const struct iovec part = CONN_PART(body, body_size);
    struct conn_call call = {.type = type,
                             .parts = &part,
                             .part_count = 1,
                             .answer = {{answer, answer_max}}};
    cs_error_t error = conn_call_query(c, &call);

    *answer_size = call.answer_size;
    return error;
}
