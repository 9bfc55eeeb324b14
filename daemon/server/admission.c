/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/admission.h"

#include "daemon/base/check.h"
#include "daemon/base/limit.h"
#include "daemon/base/thread.h"
#include "daemon/server/discard.h"
#include "daemon/server/internal.h"
#include "daemon/server/listener.h"
#include "daemon/server/view.h"
#include "daemon/server/worker.h"
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PENDING_MAX = 64,       /* connections that have not said hello yet */
    HELLO_MS = 1000,        /* how long they may take */
    NAME_CHECK_MS = 1000,   /* between looks whether the socket has its name */
    FDS_PER_CLIENT = 6,     /* socket, two bells, three socket pairs' ends */
    FDS_OTHER = 128,        /* all else of the daemon */
    PEER_GROUPS_MAX = 65536 /* NGROUPS_MAX of Linux */
};

/* A connection that has not said hello. */
struct pending {
    enum watch_kind watch;
    int fd; /* -1: free */
    uint64_t deadline_ns;
    struct ucred peer;
    uint8_t hello[IPC_HELLO_SIZE_MAX];
};

struct admission {
    struct server_config config;
    enum watch_kind watch_listen, watch_mailbox;
    struct listener listener;
    uint64_t name_check_ns; /* when to look for its name again */
    int name_error; /* -errno: it is lost, and could not be made again */
    int epoll_fd;
    int spare_fd; /* closed to have one to refuse with when all are used up */
    struct admission_partners partners;
    struct mailbox inbox; /* clients to be released, views to be freed */
    struct discard *discard;
    pthread_t thread;
    bool started;
    _Atomic bool stop;
    _Atomic uint64_t refused; /* a count; orders nothing */
    struct client **clients;  /* by slot: all that exist */
    uint32_t *free_slots;
    uint32_t free_count;
    struct pending pending[PENDING_MAX];
    struct log_limit log_refused, log_bad, log_fds;
};

/* --- refusing ------------------------------------------------------------- */

static void refuse(struct admission *a, int fd, enum ipc_error why)
{
    struct ipc_welcome w = {.magic = IPC_MAGIC,
                            .version = IPC_VERSION,
                            .size = sizeof w,
                            .result = why};

    channel_send(fd, &w, sizeof w, NULL, 0, false);
    atomic_fetch_add_explicit(&a->refused, 1, memory_order_relaxed);
}

static void log_refusal(struct admission *a, const struct ucred *peer,
                        const char *why)
{
    uint32_t suppressed;

    if (log_limit_pass(&a->log_refused, server_now_ns(), 5, &suppressed))
        log_write(LOG_LEVEL_WARNING, "IPC",
                  "process %d (uid %u, gid %u) refused: %s "
                  "(%u more not logged)",
                  (int)peer->pid, (unsigned)peer->uid, (unsigned)peer->gid, why,
                  suppressed);
}

/* --- credentials ---------------------------------------------------------- */

/* Is `group` among the supplementary groups the peer had when it connected? */
static bool peer_in_group(int fd, gid_t group)
{
    socklen_t size = 64 * sizeof(gid_t);
    gid_t *groups = malloc(size);
    bool found = false;
    int rc = -1;

    if (groups == NULL)
        return false;
    rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size);
    if (rc != 0 && errno == ERANGE && size <= PEER_GROUPS_MAX * sizeof(gid_t)) {
        free(groups);
        groups = malloc(size);
        if (groups == NULL)
            return false;
        rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size);
    }
    for (size_t i = 0; rc == 0 && i < size / sizeof *groups; i++)
        found |= groups[i] == group;
    free(groups);
    return found;
}

static bool peer_allowed(const struct admission *a, int fd,
                         const struct ucred *peer)
{
    if (peer->uid == 0)
        return true;
    return a->config.group_known &&
           (peer->gid == a->config.group || peer_in_group(fd, a->config.group));
}

/* --- connections that have not said hello --------------------------------- */

static void pending_end(struct admission *a, struct pending *p)
{
    epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, p->fd, NULL);
    discard_put(a->discard, p->fd);
    p->fd = -1;
}

/* A free place; the oldest silent connection makes room if there is none, so
 * that silence keeps nobody out. */
static struct pending *pending_place(struct admission *a)
{
    struct pending *oldest = &a->pending[0];

    for (int i = 0; i < PENDING_MAX; i++) {
        if (a->pending[i].fd < 0)
            return &a->pending[i];
        if (a->pending[i].deadline_ns < oldest->deadline_ns)
            oldest = &a->pending[i];
    }
    atomic_fetch_add_explicit(&a->refused, 1, memory_order_relaxed);
    pending_end(a, oldest);
    return oldest;
}

static int send_welcome(struct admission *a, struct client *c, int segment_fd)
{
    const int fds[IPC_FDS_MAX] = {[IPC_FD_SEGMENT] = segment_fd,
                                  [IPC_FD_BELL] = c->doorbell,
                                  [IPC_FD_REPLY] = c->peers[PAIR_REPLY],
                                  [IPC_FD_ROOM] = c->peers[PAIR_ROOM],
                                  [IPC_FD_QUERY_BELL] = c->query_bell,
                                  [IPC_FD_ANSWER] = c->peers[PAIR_ANSWER],
                                  [IPC_FD_ARENA] = a->partners.arena_fd};
    bool arena = c->service == IPC_SERVICE_CKPT && a->partners.arena_fd >= 0;
    const uint32_t *sizes = c->segment.ring_size;
    struct ipc_welcome w = {.magic = IPC_MAGIC,
                            .version = IPC_VERSION,
                            .size = sizeof w,
                            .result = IPC_OK,
                            .node_id = a->config.node_id,
                            .submit_size = sizes[SEGMENT_SUBMIT],
                            .reply_size = sizes[SEGMENT_REPLY],
                            .event_size = sizes[SEGMENT_EVENT],
                            .query_size = sizes[SEGMENT_QUERY],
                            .answer_size = sizes[SEGMENT_ANSWER],
                            .message_size_max = c->message_size_max,
                            .spin_ns = a->config.spin_ns};

    if (arena) {
        w.arena_size = a->partners.arena->size;
        w.arena_address = (uintptr_t)a->partners.arena->at;
    }
    return channel_send(c->socket, &w, sizeof w, fds,
                        arena ? IPC_FDS_MAX : IPC_FDS, false);
}

/* Why a user may have no more; NULL: it may. Root always may. */
static const char *over_quota(const struct admission *a, uid_t uid,
                              uint64_t charge)
{
    const struct server_config *config = &a->config;
    uint32_t count = 1;

    if (uid == 0 || (config->uid_client_max == 0 && config->uid_bytes_max == 0))
        return NULL;
    charge += clients_charge(a->clients, config->client_max, uid, &count);
    if (config->uid_client_max != 0 && count > config->uid_client_max)
        return "as many clients as one user may have (ipc { uid_client_max })";
    if (config->uid_bytes_max != 0 && charge > config->uid_bytes_max)
        return "as much memory as one user may have (ipc { uid_memory_max })";
    return NULL;
}

static void turn_away(struct admission *a, struct pending *p,
                      enum ipc_error error, const char *why)
{
    log_refusal(a, &p->peer, why);
    refuse(a, p->fd, error);
    pending_end(a, p);
}

static void client_end(struct admission *a, struct client *c)
{
    if (c == NULL)
        return;
    discard_put(a->discard, c->socket);
    c->socket = -1;
    client_free(c);
}

/* The welcome goes out before the other threads know the client: what it writes
 * meanwhile waits in its rings. */
static void hand_over(struct admission *a, struct client *c, int segment_fd)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
    int error = send_welcome(a, c, segment_fd);

    close(segment_fd);
    for (int i = 0; i < CLIENT_PAIRS; i++) {
        close(c->peers[i]);
        c->peers[i] = -1;
    }
    if (error != 0 ||
        epoll_ctl(a->epoll_fd, EPOLL_CTL_MOD, c->socket, &ev) != 0) {
        epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, c->socket, NULL);
        client_end(a, c);
        return;
    }
    a->free_count--;
    a->clients[c->slot] = c;
    c->holders = 2;
    mailbox_put(a->partners.protocol, &c->added);
    worker_client_added(a->partners.workers, c);
}

/* From connection to client. */
static void admit(struct admission *a, struct pending *p,
                  const struct ipc_hello *hello)
{
    struct client_sizes sizes = client_sizes(&a->config, hello);
    uint64_t charge = client_charge(&sizes);
    const char *why = over_quota(a, p->peer.uid, charge);
    char text[LIMIT_TEXT_SIZE];
    struct client *c;
    int segment_fd, error;

    if (a->free_count == 0)
        why = "as many clients as the limit allows (ipc { client_max })";
    if (why != NULL) {
        turn_away(a, p, IPC_ERR_NO_RESOURCES, why);
        return;
    }
    c = client_new(&a->config, &sizes, p->fd, a->free_slots[a->free_count - 1],
                   &segment_fd, &error);
    if (c == NULL) {
        turn_away(a, p,
                  error == -ENOMEM ? IPC_ERR_NO_MEMORY : IPC_ERR_NO_RESOURCES,
                  limit_explain(-error, text));
        return;
    }
    c->pid = p->peer.pid;
    c->uid = p->peer.uid;
    c->charge = charge;
    c->service = (enum ipc_service)hello->service;
    p->fd = -1; /* the client's now */
    hand_over(a, c, segment_fd);
}

/* Looks at what a connection has said, and leaves it until it is whole: then
 * nothing else is in the queue, no descriptor either. */
static enum channel_hello hello_read(struct pending *p, struct ipc_hello *hello)
{
    long n = channel_peek(p->fd, p->hello, sizeof p->hello);
    enum channel_hello state;

    if (n == -EAGAIN)
        return CHANNEL_HELLO_PART;
    if (n <= 0)
        return CHANNEL_HELLO_BAD;
    state = channel_hello_check(p->hello, (size_t)n, hello);
    if (state == CHANNEL_HELLO_WHOLE &&
        !channel_take(p->fd, p->hello, (size_t)n))
        return CHANNEL_HELLO_BAD;
    return state;
}

static bool hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0;
}

static void pending_read(struct admission *a, struct pending *p)
{
    struct ipc_hello h;

    switch (hello_read(p, &h)) {
    case CHANNEL_HELLO_PART:
        if (hung_up(p->fd))
            pending_end(a, p);
        return;
    case CHANNEL_HELLO_BAD:
        turn_away(a, p, IPC_ERR_INVALID_PARAM,
                  "not a hello of this kind of client");
        return;
    case CHANNEL_HELLO_WHOLE:
        break;
    }
    if (h.version != IPC_VERSION) {
        turn_away(a, p, IPC_ERR_VERSION, "its library is of another version");
    } else if (h.service != IPC_SERVICE_EVS && h.service != IPC_SERVICE_CLM &&
               h.service != IPC_SERVICE_CKPT) {
        refuse(a, p->fd, IPC_ERR_NOT_SUPPORTED);
        pending_end(a, p);
    } else {
        admit(a, p, &h);
    }
}

static void pending_begin(struct admission *a, int fd)
{
    /* Edge-triggered: what is not whole stays in the queue. */
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        discard_put(a->discard, fd);
        return;
    }
    if (!peer_allowed(a, fd, &peer)) {
        log_refusal(
            a, &peer,
            "neither root nor in the group that may connect (ais, unless "
            "ipc { group } names another)");
        refuse(a, fd, IPC_ERR_ACCESS);
        discard_put(a->discard, fd);
        return;
    }
    /* Only now: who may not connect takes nobody's place. */
    struct pending *p = pending_place(a);
    ev.data.ptr = p;
    if (epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
        refuse(a, fd, IPC_ERR_NO_RESOURCES);
        discard_put(a->discard, fd);
        return;
    }
    p->fd = fd;
    p->peer = peer;
    p->deadline_ns = server_now_ns() + HELLO_MS * 1000000ull;
    pending_read(a, p); /* it has often come already */
}

/* Ends those whose time is up; milliseconds until the next is, -1: none. */
static int pending_expire(struct admission *a)
{
    uint64_t now = server_now_ns(), next = UINT64_MAX;

    for (int i = 0; i < PENDING_MAX; i++) {
        struct pending *p = &a->pending[i];
        if (p->fd < 0)
            continue;
        if (p->deadline_ns <= now) {
            log_refusal(a, &p->peer, "connected and said nothing");
            atomic_fetch_add_explicit(&a->refused, 1, memory_order_relaxed);
            pending_end(a, p);
        } else if (p->deadline_ns < next) {
            next = p->deadline_ns;
        }
    }
    return next == UINT64_MAX ? -1 : (int)((next - now) / 1000000) + 1;
}

/* --- accepting ------------------------------------------------------------ */

static int spare_open(void)
{
    return eventfd(0, EFD_CLOEXEC);
}

/* All descriptors are used up. The listening socket would be readable for ever,
 * so the next connection is taken with the spare one, and refused. */
static void refuse_without_fds(struct admission *a)
{
    uint32_t suppressed;
    int fd;

    if (a->spare_fd >= 0)
        close(a->spare_fd);
    fd = accept4(a->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        refuse(a, fd, IPC_ERR_NO_RESOURCES);
        discard_put(a->discard, fd);
    }
    a->spare_fd = spare_open();
    if (log_limit_pass(&a->log_fds, server_now_ns(), 1, &suppressed))
        log_write(LOG_LEVEL_ERROR, "IPC",
                  "no file descriptor left for a client; raise the limit "
                  "(ulimit -n, LimitNOFILE)");
}

static void accept_all(struct admission *a)
{
    /* Bounded, so that a flood of connections does not keep the thread from its
     * other work. */
    for (int i = 0; i < 64; i++) {
        int fd =
            accept4(a->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            pending_begin(a, fd);
        } else if (errno == EMFILE || errno == ENFILE) {
            refuse_without_fds(a);
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

/* --- clients -------------------------------------------------------------- */

/* The socket of a client has something: its end, or bytes it must not send. */
static void client_event(struct admission *a, struct client *c)
{
    uint8_t byte;
    uint32_t suppressed;
    long n = channel_peek(c->socket, &byte, sizeof byte);

    if (n == -EAGAIN)
        return;
    if (n > 0 || n == -EBADMSG) {
        if (log_limit_pass(&a->log_bad, server_now_ns(), 5, &suppressed))
            log_write(LOG_LEVEL_ERROR, "IPC",
                      "process %d (uid %u) disconnected: it writes to its "
                      "socket (%u more not logged)",
                      (int)c->pid, (unsigned)c->uid, suppressed);
        shutdown(c->socket, SHUT_RDWR);
    }
    /* From here on nothing happens on this side until `released`. */
    epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, c->socket, NULL);
    mailbox_put(a->partners.protocol, &c->gone);
    worker_client_gone(a->partners.workers, c);
}

static void release(struct admission *a, struct client *c)
{
    CHECK(a->clients[c->slot] == c && c->holders > 0);
    if (--c->holders > 0)
        return;
    a->clients[c->slot] = NULL;
    a->free_slots[a->free_count++] = c->slot;
    client_end(a, c);
}

static void take_released(struct admission *a)
{
    struct retired_view *old[16];
    struct handover *h, *garbage = NULL;
    uint32_t count = 0;

    mailbox_silence(&a->inbox);
    while ((h = mailbox_take(&a->inbox)) != NULL) {
        if (h->kind == HANDOVER_GARBAGE) {
            garbage = h; /* there is one */
            continue;
        }
        if (h->kind == HANDOVER_IDLE) {
            ckpt_arena_release(a->partners.arena, (struct idle_lot *)h);
            mailbox_put(a->partners.protocol, h);
            continue;
        }
        if (h->kind != HANDOVER_RETIRED) {
            release(a, h->client);
            continue;
        }
        old[count++] = view_handed(h);
        if (count == sizeof old / sizeof *old) {
            views_reclaim(a->partners.views, old, count);
            count = 0;
        }
    }
    if (count > 0 || garbage != NULL)
        views_reclaim(a->partners.views, old, count);
    if (garbage != NULL)
        mailbox_put(a->partners.protocol, garbage);
}

void admission_retire(struct admission *a, struct handover *old)
{
    mailbox_put(&a->inbox, old);
}

void admission_release(struct admission *a, struct client *c)
{
    mailbox_put(&a->inbox, &c->released);
}

void admission_worker_released(struct admission *a, struct client *c)
{
    mailbox_put(&a->inbox, &c->worker_released);
}

uint64_t admission_refused(const struct admission *a)
{
    return atomic_load_explicit(&a->refused, memory_order_relaxed);
}

/* --- the socket's name ---------------------------------------------------- */

static int watch_listen(struct admission *a)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &a->watch_listen};

    return epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, a->listener.fd, &ev) == 0
               ? 0
               : -errno;
}

/* A cleaner of old files, or a second daemon, has taken the name away: nobody
 * could connect any more. */
static void name_renew(struct admission *a)
{
    char error[256];
    int rc;

    accept_all(a); /* who came while it was there */
    rc = listener_open(&a->listener, a->config.run_dir, a->discard, error,
                       sizeof error);
    if (rc == 0)
        rc = watch_listen(a);
    if (rc == 0)
        log_write(LOG_LEVEL_WARNING, "IPC",
                  "the socket %s was removed or replaced while this daemon "
                  "ran; made it again",
                  a->listener.address.sun_path);
    else if (rc != a->name_error)
        log_write(LOG_LEVEL_ERROR, "IPC",
                  "the socket %s was removed or replaced while this daemon "
                  "ran, and no program can connect: %s; trying again",
                  a->listener.address.sun_path, error);
    a->name_error = rc;
}

/* Looks once in a while; milliseconds until the next time. */
static int name_check(struct admission *a)
{
    uint64_t now = server_now_ns();

    if (now >= a->name_check_ns) {
        a->name_check_ns = now + NAME_CHECK_MS * 1000000ull;
        if (!listener_has_name(&a->listener))
            name_renew(a);
    }
    return (int)((a->name_check_ns - now) / 1000000) + 1;
}

/* --- the thread ----------------------------------------------------------- */

static void handle(struct admission *a, enum watch_kind *watch)
{
    switch (*watch) {
    case WATCH_LISTEN:
        accept_all(a);
        break;
    case WATCH_MAILBOX:
        take_released(a);
        break;
    case WATCH_PENDING: {
        struct pending *p = (struct pending *)watch;
        if (p->fd >= 0) /* else it was ended by an event before this one */
            pending_read(a, p);
        break;
    }
    case WATCH_CLIENT:
        client_event(a, (struct client *)watch);
        break;
    }
}

static void *run(void *context)
{
    struct admission *a = context;
    struct epoll_event events[64];

    pthread_setname_np(pthread_self(), "admission");
    /* Acquire: pairs with the release in admission_close(). */
    while (!atomic_load_explicit(&a->stop, memory_order_acquire)) {
        int expire_ms = pending_expire(a), check_ms = name_check(a);
        int n = epoll_wait(a->epoll_fd, events, 64,
                           expire_ms >= 0 && expire_ms < check_ms ? expire_ms
                                                                  : check_ms);
        bool mail = false;
        for (int i = 0; i < n; i++) {
            enum watch_kind *watch = events[i].data.ptr;
            /* Clients are freed last: an event of this batch may name one. */
            if (*watch == WATCH_MAILBOX)
                mail = true;
            else
                handle(a, watch);
        }
        if (mail)
            take_released(a);
    }
    return NULL;
}

/* --- opening -------------------------------------------------------------- */

static void raise_fd_limit(uint32_t client_max)
{
    rlim_t need = (rlim_t)client_max * FDS_PER_CLIENT + FDS_OTHER;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need)
        return;
    limit.rlim_cur = need < limit.rlim_max ? need : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < need)
        log_write(LOG_LEVEL_WARNING, "IPC",
                  "%u clients need %llu file descriptors, the limit is %llu; "
                  "raise it (ulimit -n, LimitNOFILE)",
                  client_max, (unsigned long long)need,
                  (unsigned long long)limit.rlim_max);
}

static int start(struct admission *a)
{
    struct epoll_event mail_event = {.events = EPOLLIN,
                                     .data.ptr = &a->watch_mailbox};
    int rc;

    a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    a->spare_fd = spare_open();
    if (a->epoll_fd < 0 || a->spare_fd < 0 || watch_listen(a) != 0 ||
        epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, a->inbox.fd, &mail_event) != 0)
        return -errno;
    rc = workers_start(a->partners.workers, a);
    if (rc == 0)
        rc = thread_start(&a->thread, run, a);
    a->started = rc == 0;
    return rc;
}

int admission_open(struct admission **out, const struct server_config *config,
                   const struct admission_partners *partners, char *error,
                   size_t error_size)
{
    struct admission *a = calloc(1, sizeof *a);
    char text[LIMIT_TEXT_SIZE];
    int rc = -ENOMEM;

    snprintf(error, error_size, "no memory for clients");
    if (a == NULL)
        return rc;
    a->config = *config;
    a->partners = *partners;
    a->listener.lock_fd = -1;
    a->listener.fd = a->epoll_fd = a->spare_fd = a->inbox.fd = -1;
    a->watch_listen = WATCH_LISTEN;
    a->watch_mailbox = WATCH_MAILBOX;
    for (int i = 0; i < PENDING_MAX; i++) {
        a->pending[i].watch = WATCH_PENDING;
        a->pending[i].fd = -1;
    }
    a->clients = calloc(config->client_max, sizeof *a->clients);
    a->free_slots = calloc(config->client_max, sizeof *a->free_slots);
    if (a->clients == NULL || a->free_slots == NULL)
        goto err;
    while (a->free_count < config->client_max) {
        a->free_slots[a->free_count] = config->client_max - 1 - a->free_count;
        a->free_count++;
    }
    raise_fd_limit(config->client_max);
    rc = mailbox_open(&a->inbox);
    if (rc == 0)
        rc = discard_open(&a->discard);
    if (rc != 0)
        snprintf(error, error_size, "cannot prepare for clients: %s",
                 limit_explain(-rc, text));
    if (rc == 0)
        rc = listener_open(&a->listener, config->run_dir, a->discard, error,
                           error_size);
    if (rc != 0)
        goto err;
    rc = start(a);
    if (rc != 0) {
        snprintf(error, error_size, "cannot start the threads for clients: %s",
                 limit_explain(-rc, text));
        goto err;
    }
    *out = a;
    return 0;

err:
    admission_close(a);
    return rc;
}

void admission_close(struct admission *a)
{
    if (a == NULL)
        return;
    if (a->started) {
        /* Release: pairs with the acquire in run(). */
        atomic_store_explicit(&a->stop, true, memory_order_release);
        mailbox_ring(&a->inbox);
        pthread_join(a->thread, NULL);
    }
    workers_stop(a->partners.workers);
    if (a->started)
        take_released(a); /* what came after its end */
    listener_close(&a->listener, a->discard);
    for (int i = 0; i < PENDING_MAX; i++)
        if (a->pending[i].fd >= 0)
            pending_end(a, &a->pending[i]);
    for (uint32_t i = 0; a->clients != NULL && i < a->config.client_max; i++)
        client_end(a, a->clients[i]);
    discard_close(a->discard);
    if (a->epoll_fd >= 0)
        close(a->epoll_fd);
    if (a->spare_fd >= 0)
        close(a->spare_fd);
    mailbox_close(&a->inbox);
    free(a->free_slots);
    free(a->clients);
    free(a);
}
