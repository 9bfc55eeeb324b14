/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/worker.h"

#include "daemon/base/check.h"
#include "daemon/base/thread.h"
#include "daemon/server/admission.h"
#include "daemon/server/internal.h"
#include "daemon/server/query.h"
#include "daemon/server/view.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    QUERIES_PER_TURN = 4,   /* of one client; the library has one under way */
    QUERIES_PER_LOOK = 256, /* at the bells of clients that sleep */
    TURNS_PER_LOOK = 256,
    LOOKS_MAX = 32,    /* at 64 bells each */
    IDLE_TURNS = 1000, /* empty so often, while others are busy: it rings */
    IDLE_SLEEPS = 64,  /* without a query so often: the same */
    KEPT_MAX = 64      /* clients that are looked at after a sleep */
};

_Static_assert((int)SERVER_WORKERS_MAX <= (int)VIEW_READERS_MAX,
               "a reader each");

struct worker {
    alignas(128) struct workers *all;
    uint32_t number;
    pthread_t thread;
    bool started;
    int epoll_fd;
    struct mailbox inbox;       /* from the admission thread */
    struct list active;         /* clients whose query ring is not armed */
    bool busy;                  /* there was something at the last look */
    uint32_t turns, since_look; /* and queries, since a look at the bells */
    struct spin spin;
    struct log_limit log_corrupt;
    /* Counts, read by others; they order nothing. */
    alignas(128) _Atomic uint64_t queries, corrupt, doorbells, wakes, sleeps;
};

struct workers {
    struct server_config config;
    struct worker_sources sources;
    struct admission *admission;
    _Atomic bool stop;
    uint32_t count;
    struct worker workers[SERVER_WORKERS_MAX];
};

static void add(_Atomic uint64_t *count, uint64_t n)
{
    /* One writer. */
    atomic_store_explicit(count,
                          atomic_load_explicit(count, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* --- clients -------------------------------------------------------------- */

static void drop(struct worker *w, struct client *c, const char *what)
{
    uint32_t suppressed;

    c->query_broken = true;
    list_remove(&w->active, LIST_QUERY, c);
    add(&w->corrupt, 1);
    if (log_limit_pass(&w->log_corrupt, server_now_ns(), 5, &suppressed))
        log_write(LOG_LEVEL_ERROR, "IPC",
                  "process %d (uid %u) disconnected, its shared memory makes "
                  "no sense: %s (%u more not logged)",
                  (int)c->pid, (unsigned)c->uid, what, suppressed);
    /* The admission thread sees the end and tells all. */
    shutdown(c->socket, SHUT_RDWR);
}

/* Answers what the client asks, up to a share. True: there was something. */
static bool serve(struct worker *w, struct client *c, const struct view *view)
{
    const uint8_t *body;
    const char *wrong = NULL;
    uint32_t i;
    enum ring_result r = RING_EMPTY;

    for (i = 0; i < QUERIES_PER_TURN && wrong == NULL; i++) {
        r = ring_peek(&c->query, &body);
        if (r != RING_RECORD)
            break;
        wrong = query_answer(&w->all->sources, c, body, view);
        ring_advance(&c->query);
    }
    if (r == RING_CORRUPT)
        wrong = "query ring";
    if (i == 0 && wrong == NULL)
        return false;
    add(&w->queries, i);
    w->since_look += i;
    ring_release(&c->query);
    if (ring_publish(&c->answer)) {
        add(&w->wakes, 1);
        client_send_byte(c->answer_fd);
    }
    if (wrong == NULL && c->answer.corrupt)
        wrong = "position of the answer ring";
    if (wrong != NULL)
        drop(w, c, wrong);
    return true;
}

static void activate(struct worker *w, struct client *c)
{
    c->idle_turns = c->idle_sleeps = 0;
    if (!c->query_broken && !c->links[LIST_QUERY].in)
        list_append(&w->active, LIST_QUERY, c);
}

/* It is to ring from now on. False: something has come meanwhile. */
static bool arm(struct worker *w, struct client *c)
{
    if (ring_arm(&c->query)) {
        list_remove(&w->active, LIST_QUERY, c);
        return true;
    }
    ring_disarm(&c->query);
    return false;
}

/* Serves all active clients once. True: there was something. */
static bool serve_all(struct worker *w)
{
    const struct view *view = view_get(w->all->sources.views);
    struct client *c, *next;
    bool any = false;

    if (view == NULL)
        return false; /* no members to tell yet */
    for (c = w->active.first; c != NULL; c = next) {
        next = c->links[LIST_QUERY].next;
        if (serve(w, c, view)) {
            c->idle_turns = c->idle_sleeps = 0;
            any = true;
        } else if (w->busy && ++c->idle_turns > IDLE_TURNS) {
            /* So that the busy ones do not wait for the look at it. */
            arm(w, c);
        }
    }
    w->busy = any;
    return any;
}

/* The active clients need not ring any more. */
static void disarm_all(struct worker *w)
{
    for (struct client *c = w->active.first; c != NULL;
         c = c->links[LIST_QUERY].next)
        ring_disarm(&c->query);
}

/* Before sleeping: every client is to ring. True: nothing has come meanwhile.
 * Those that were busy of late stay active, and are looked at from the wake-up
 * on: who rings first is often not alone. */
static bool arm_all(struct worker *w)
{
    struct client *c, *next;
    bool quiet = true;

    if (view_get(w->all->sources.views) == NULL)
        return true; /* workers_wake() will tell; they stay active */
    for (c = w->active.first; c != NULL; c = next) {
        next = c->links[LIST_QUERY].next;
        if (++c->idle_sleeps > IDLE_SLEEPS || w->active.count > KEPT_MAX)
            quiet &= arm(w, c);
        else
            quiet &= ring_arm(&c->query);
    }
    return quiet;
}

/* --- hand-over ------------------------------------------------------------ */

static void query_client_added(struct worker *w, struct client *c)
{
    /* Edge-triggered and never read, as the protocol thread's. */
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = c};

    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, c->query_bell, &ev) != 0)
        drop(w, c, "its bell cannot be watched");
    else
        activate(w, c); /* its ring may hold something */
}

static void query_client_gone(struct worker *w, struct client *c)
{
    list_remove(&w->active, LIST_QUERY, c);
    epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, c->query_bell, NULL);
    admission_worker_released(w->all->admission, c);
}

static void take_inbox(struct worker *w)
{
    struct handover *h;

    mailbox_silence(&w->inbox);
    while ((h = mailbox_take(&w->inbox)) != NULL)
        if (h->kind == HANDOVER_ADDED)
            query_client_added(w, h->client);
        else
            query_client_gone(w, h->client);
}

/* --- the thread ----------------------------------------------------------- */

static void poll_bells(struct worker *w, int timeout_ms)
{
    struct epoll_event events[64];
    bool mail = false;
    int n = 64;

    w->turns = w->since_look = 0;
    for (int look = 0; look < LOOKS_MAX && n == 64; look++) {
        n = epoll_wait(w->epoll_fd, events, 64, look == 0 ? timeout_ms : 0);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (c == NULL) {
                mail = true; /* last: it may take clients away */
                continue;
            }
            add(&w->doorbells, 1);
            activate(w, c);
        }
    }
    if (mail)
        take_inbox(w);
}

/* Looks for queries a moment longer. True: there were some. */
static bool spin(struct worker *w, struct spin_wait *wait)
{
    if (!spin_begin(&w->spin, wait))
        return false;
    do {
        if (serve_all(w)) {
            spin_hit(&w->spin);
            return true;
        }
    } while (spin_again(&w->spin, wait, w->active.count));
    return false;
}

static void sleep_until_rung(struct worker *w, const struct spin_wait *wait)
{
    struct views *v = w->all->sources.views;

    if (arm_all(w)) {
        add(&w->sleeps, 1);
        view_sleeps(v, w->number);
        poll_bells(w, -1);
        view_wakes();
        spin_slept(&w->spin, wait);
    }
    disarm_all(w);
}

static void *run(void *context)
{
    struct worker *w = context;
    struct workers *all = w->all;
    struct spin_wait wait;

    pthread_setname_np(pthread_self(), "ipc worker");
    view_reader_begin(all->sources.views);
    /* Acquire: pairs with the release in workers_stop(). */
    while (!atomic_load_explicit(&all->stop, memory_order_acquire)) {
        view_quiet(all->sources.views, w->number);
        if (serve_all(w) || spin(w, &wait)) {
            /* Those that ring meanwhile are not forgotten. */
            if (++w->turns >= TURNS_PER_LOOK ||
                w->since_look >= QUERIES_PER_LOOK)
                poll_bells(w, 0);
        } else {
            sleep_until_rung(w, &wait);
        }
    }
    view_reader_end(all->sources.views, w->number);
    return NULL;
}

/* --- making --------------------------------------------------------------- */

static int worker_open(struct worker *w)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    int rc = mailbox_open(&w->inbox);

    if (rc != 0)
        return rc;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll_fd < 0 ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->inbox.fd, &ev) != 0)
        return -errno;
    return 0;
}

struct workers *workers_new(const struct server_config *config,
                            const struct worker_sources *sources, int *error)
{
    struct workers *all = aligned_alloc(alignof(struct workers), sizeof *all);

    *error = -ENOMEM;
    if (all == NULL)
        return NULL;
    memset(all, 0, sizeof *all);
    CHECK(config->worker_count > 0 &&
          config->worker_count <= SERVER_WORKERS_MAX);
    all->config = *config;
    all->sources = *sources;
    for (uint32_t i = 0; i < config->worker_count; i++) {
        struct worker *w = &all->workers[all->count++];
        w->all = all;
        w->number = i;
        w->epoll_fd = w->inbox.fd = -1;
        spin_init(&w->spin, config->spin_ns);
        *error = worker_open(w);
        if (*error != 0) {
            workers_free(all);
            return NULL;
        }
    }
    return all;
}

int workers_start(struct workers *w, struct admission *admission)
{
    w->admission = admission;
    for (uint32_t i = 0; i < w->count; i++) {
        int rc = thread_start(&w->workers[i].thread, run, &w->workers[i]);
        if (rc != 0)
            return rc;
        w->workers[i].started = true;
    }
    return 0;
}

void workers_stop(struct workers *w)
{
    if (w == NULL)
        return;
    /* Release: pairs with the acquire in run(). */
    atomic_store_explicit(&w->stop, true, memory_order_release);
    workers_wake(w);
    for (uint32_t i = 0; i < w->count; i++)
        if (w->workers[i].started)
            pthread_join(w->workers[i].thread, NULL);
}

void workers_free(struct workers *w)
{
    if (w == NULL)
        return;
    for (uint32_t i = 0; i < w->count; i++) {
        mailbox_close(&w->workers[i].inbox);
        if (w->workers[i].epoll_fd >= 0)
            close(w->workers[i].epoll_fd);
    }
    free(w);
}

static struct worker *worker_of(struct workers *w, const struct client *c)
{
    return &w->workers[c->slot % w->count];
}

void worker_client_added(struct workers *w, struct client *c)
{
    mailbox_put(&worker_of(w, c)->inbox, &c->worker_added);
}

void worker_client_gone(struct workers *w, struct client *c)
{
    mailbox_put(&worker_of(w, c)->inbox, &c->worker_gone);
}

void workers_wake(struct workers *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        mailbox_ring(&w->workers[i].inbox);
}

static uint64_t get(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

struct worker_stats workers_stats(const struct workers *w)
{
    struct worker_stats s = {.queries = 0};

    for (uint32_t i = 0; i < w->count; i++) {
        s.queries += get(&w->workers[i].queries);
        s.corrupt += get(&w->workers[i].corrupt);
        s.doorbells += get(&w->workers[i].doorbells);
        s.wakes += get(&w->workers[i].wakes);
        s.sleeps += get(&w->workers[i].sleeps);
    }
    return s;
}
