/* SPDX-License-Identifier: BSD-3-Clause */
/* connect.c - opening and closing the connection to the daemon. */
#include "api/client_internal.h"

#include "ipc/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

_Static_assert(CS_OK == (int)IPC_OK, "values of ipc_error");
_Static_assert(CS_ERR_LIBRARY == (int)IPC_ERR_LIBRARY, "values of ipc_error");
_Static_assert(CS_ERR_ACCESS == (int)IPC_ERR_ACCESS, "values of ipc_error");
_Static_assert(CS_ERR_NOT_EXIST == (int)IPC_ERR_NOT_EXIST, "ipc_error");
_Static_assert(CS_ERR_NO_RESOURCES == (int)IPC_ERR_NO_RESOURCES, "ipc_error");
_Static_assert(CS_ERR_TOO_BIG == (int)IPC_ERR_TOO_BIG, "ipc_error");
_Static_assert(CS_ERR_TOO_MANY_GROUPS == (int)IPC_ERR_TOO_MANY_GROUPS, "");

enum {
    EVENT_SPIN_NS = 10000, /* at most, for events: they come when they come */
    CONNECT_MS = 5000 /* for the daemon to accept, and to answer the hello */
};

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
