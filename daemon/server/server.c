/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/server.h"

#include "daemon/base/check.h"
#include "daemon/base/limit.h"
#include "daemon/server/admission.h"
#include "daemon/server/internal.h"
#include "daemon/server/view.h"
#include "daemon/server/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    REQUESTS_PER_RING = 64,  /* answered when a client rings */
    EMPTY_BELLS = 16,        /* in a row, before a bell is not listened to */
    HUSH_DOUBLED = 7,        /* so often at most, if it goes on */
    GARBAGE_BYTES = 1 << 20, /* of checkpoints; less is kept until it is more */
    CLEANED_PER_ROUND = 500  /* blocks and sections that were deleted */
};

uint64_t server_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t server_wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* --- opening and closing -------------------------------------------------- */

/* The overflow is a ring too. */
static uint32_t round_overflow(uint32_t bytes)
{
    uint32_t size = SEGMENT_RING_SIZE_MIN;

    while (size < bytes)
        size *= 2;
    return bytes > 0 ? size : 0;
}

/* 0, or -EINVAL with what is wrong. */
static int check_config(const struct server_config *c, char *error, size_t size)
{
    const uint64_t record = sizeof(struct ring_record) +
                            sizeof(struct ipc_evs_mcast) +
                            IPC_EVS_HEADER_SIZE_MAX;

    if (c->client_max == 0 || c->packet_size == 0)
        snprintf(error, size, "client_max and packet_size must not be 0");
    else if (c->worker_count == 0 || c->worker_count > SERVER_WORKERS_MAX)
        snprintf(error, size, "there must be 1 to %d ipc workers",
                 SERVER_WORKERS_MAX);
    else if (!segment_ring_size_ok(c->submit_ring_bytes) ||
             !segment_ring_size_ok(c->event_ring_bytes))
        snprintf(error, size,
                 "a client's rings must be powers of two of at "
                 "least %d bytes",
                 SEGMENT_RING_SIZE_MIN);
    else if (c->overflow_bytes > SEGMENT_RING_SIZE_MAX)
        snprintf(error, size, "a client's overflow must be at most %d bytes",
                 SEGMENT_RING_SIZE_MAX);
    else if (c->message_size_max + record > c->submit_ring_bytes ||
             c->message_size_max + record > c->event_ring_bytes)
        snprintf(error, size,
                 "a message of %u bytes and its header (%llu) do not fit in "
                 "a client's rings of %u and %u bytes",
                 c->message_size_max, (unsigned long long)record,
                 c->submit_ring_bytes, c->event_ring_bytes);
    else
        return 0;
    return -EINVAL;
}

/* See client_held_back(). */
static void warn_of_small_overflow(const struct server_config *c)
{
    if (c->slow_reader == SERVER_SLOW_PRESSURE && c->overflow_bytes > 0 &&
        c->overflow_bytes < 2 * (uint64_t)c->submit_ring_bytes)
        log_write(LOG_LEVEL_WARNING, "IPC",
                  "ipc { overflow } of %u bytes is less than twice submit_ring "
                  "(%u): a program that joins a group while it does not read "
                  "its events may be disconnected",
                  c->overflow_bytes, c->submit_ring_bytes);
}

/* Memory that is shared with programs is a file to the kernel, its limit on the
 * size of files too. */
static int raise_file_limit(const struct server_config *c, char *error,
                            size_t error_size)
{
    const struct ipc_hello largest = {.service = IPC_SERVICE_CKPT};
    struct client_sizes sizes = client_sizes(c, &largest);
    uint64_t client = client_charge(&sizes) + c->overflow_bytes;
    uint64_t arena = c->ckpt_direct ? ckpt_arena_size(c) : 0;
    rlim_t need = client > arena ? client : arena;
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= need)
        return 0;
    if (limit.rlim_max >= need) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_FSIZE, &limit) == 0)
            return 0;
    }
    snprintf(error, error_size,
             "the limit on the size of a file is %llu bytes (ulimit -f, "
             "LimitFSIZE), but %s %llu: raise it, or %s",
             (unsigned long long)limit.rlim_cur,
             arena > client ? "checkpoints take up to" : "a client takes",
             (unsigned long long)need,
             arena > client ? "lower ckpt { memory_max }, or set ckpt { direct "
                              "= off }"
                            : "lower the sizes in ipc { }");
    return -EFBIG;
}

static int open_services(struct server *s)
{
    struct evs_config config = {.client_max = s->config.client_max,
                                .subscription_max =
                                    s->config.client_max * IPC_GROUPS_MAX};
    struct ckpt_config ckpt = {
        .node_id = s->config.node_id,
        .incarnation = s->config.self.incarnation,
        .client_max = s->config.client_max,
        .checkpoint_max = s->config.ckpt_count_max,
        .bytes_max = s->config.ckpt_bytes_max,
        .user_handle_max = s->config.ckpt_user_handle_max,
        .user_checkpoint_max = s->config.ckpt_user_count_max,
        .safe = s->config.ckpt_safe,
        .arena = s->arena.at,
        .arena_size = ckpt_arena_begin(s)};

    if (getrandom(&config.hash_seed, sizeof config.hash_seed, 0) !=
        (ssize_t)sizeof config.hash_seed)
        return -EIO;
    ckpt.hash_seed = config.hash_seed;
    s->evs = evs_new(&config);
    s->clm = clm_new(&(struct clm_config){.self = s->config.self,
                                          .client_max = s->config.client_max});
    s->ckpt = ckpt_new(&ckpt);
    s->clients = calloc(s->config.client_max, sizeof *s->clients);
    return s->evs == NULL || s->clm == NULL || s->ckpt == NULL ||
                   s->clients == NULL
               ? -ENOMEM
               : 0;
}

static int open_workers(struct server *s)
{
    struct worker_sources sources = {
        .node_id = s->config.node_id, .evs = s->evs, .ckpt = s->ckpt};
    int rc = 0;

    s->views = sources.views = views_new();
    if (s->views == NULL)
        return -ENOMEM;
    s->workers = workers_new(&s->config, &sources, &rc);
    return rc;
}

static int open_polling(struct server *s)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    int rc = mailbox_open(&s->inbox);

    if (rc != 0)
        return rc;
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll_fd < 0 ||
        epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->inbox.fd, &ev) != 0)
        return -errno;
    return 0;
}

int server_open(struct server **out, const struct server_config *config,
                char *error, size_t error_size)
{
    char why[LIMIT_TEXT_SIZE];
    struct server *s;
    int rc = check_config(config, error, error_size);

    if (rc != 0)
        return rc;
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        snprintf(error, error_size, "no memory for the server");
        return -ENOMEM;
    }
    s->config = *config;
    s->config.overflow_bytes = round_overflow(config->overflow_bytes);
    warn_of_small_overflow(&s->config);
    s->epoll_fd = s->inbox.fd = s->arena.fd = s->arena_fd = -1;
    s->hush_next_ns = UINT64_MAX;
    rc = raise_file_limit(&s->config, error, error_size);
    if (rc != 0)
        goto err;
    ckpt_arena_open(s);
    rc = open_services(s);
    if (rc == 0)
        rc = open_polling(s);
    if (rc == 0)
        rc = open_workers(s);
    if (rc != 0) {
        snprintf(error, error_size, "cannot prepare for clients: %s",
                 limit_explain(-rc, why));
        goto err;
    }
    rc = admission_open(&s->admission, &s->config,
                        &(struct admission_partners){&s->inbox, s->workers,
                                                     s->views, &s->arena,
                                                     s->arena_fd},
                        error, error_size);
    if (rc != 0)
        goto err;
    *out = s;
    return 0;

err:
    server_close(s);
    return rc;
}

void server_close(struct server *s)
{
    if (s == NULL)
        return;
    admission_close(s->admission); /* and every client with it */
    workers_free(s->workers);
    views_free(s->views);
    mailbox_close(&s->inbox);
    if (s->epoll_fd >= 0)
        close(s->epoll_fd);
    free(s->clients);
    evs_free(s->evs);
    clm_free(s->clm);
    if (s->ckpt != NULL)
        ckpt_garbage_return(s->ckpt, s->garbage_items);
    ckpt_free(s->ckpt);
    arena_close(&s->arena);
    if (s->arena_fd >= 0)
        close(s->arena_fd);
    free(s);
}

int server_fd(const struct server *s)
{
    return s->epoll_fd;
}

/* --- polling -------------------------------------------------------------- */

static void client_added(struct server *s, struct client *c)
{
    /* Edge-triggered and never read: each ring is told once, and the doorbell
     * costs the protocol thread no system call of its own. */
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = c};

    CHECK(s->clients[c->slot] == NULL);
    s->clients[c->slot] = c;
    s->stats.clients_now++;
    s->stats.clients_total++;
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, c->doorbell, &ev) != 0) {
        client_drop_corrupt(s, c, "its doorbell cannot be watched");
        return;
    }
    /* Active: its ring is not armed, and may hold something already. */
    client_activate(s, c);
    service_of(c)->client_added(s, c);
    client_publish_events(s, c);
}

static void take_inbox(struct server *s)
{
    struct handover *h;

    mailbox_silence(&s->inbox);
    while ((h = mailbox_take(&s->inbox)) != NULL) {
        switch (h->kind) {
        case HANDOVER_ADDED:
            client_added(s, h->client);
            break;
        case HANDOVER_GONE:
            client_gone(s, h->client);
            break;
        case HANDOVER_GARBAGE:
            ckpt_garbage_return(s->ckpt, s->garbage_items);
            s->garbage_items = NULL;
            break;
        case HANDOVER_IDLE:
            ckpt_arena_returned(s);
            break;
        case HANDOVER_RELEASED:
        case HANDOVER_RETIRED:
            CHECK(!"what the admission thread gets");
        }
    }
}

/* How long a bell that rings for nothing is not listened to, at first. */
static const uint64_t hush_ns = 1000000;

static void listen_to(struct server *s, struct client *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->doorbell, &ev);
}

static void hush(struct server *s, struct client *c)
{
    uint32_t doubled = c->empty_bells - EMPTY_BELLS;

    if (doubled > HUSH_DOUBLED)
        doubled = HUSH_DOUBLED;
    c->hush_end_ns = s->now_ns + (hush_ns << doubled);
    if (c->hush_end_ns < s->hush_next_ns)
        s->hush_next_ns = c->hush_end_ns;
    listen_to(s, c, 0);
    list_append(&s->lists[LIST_HUSHED], LIST_HUSHED, c);
    s->stats.hushed++;
}

/* A bell that rang meanwhile is found to have rung: nothing is missed. */
static void hear_hushed(struct server *s)
{
    struct client *c, *next;

    if (s->now_ns < s->hush_next_ns)
        return;
    s->hush_next_ns = UINT64_MAX;
    for (c = s->lists[LIST_HUSHED].first; c != NULL; c = next) {
        next = c->links[LIST_HUSHED].next;
        if (c->hush_end_ns <= s->now_ns) {
            list_remove(&s->lists[LIST_HUSHED], LIST_HUSHED, c);
            listen_to(s, c, EPOLLIN | EPOLLET);
        } else if (c->hush_end_ns < s->hush_next_ns) {
            s->hush_next_ns = c->hush_end_ns;
        }
    }
}

/* Has the client submitted something, or made room for events that overflowed,
 * since its bell was last looked at? */
static bool rang_for_something(struct client *c)
{
    uint64_t tail = ring_pending(&c->submit) + c->submit.head;
    uint64_t room = c->overflow_out.head;
    bool something = tail > c->bell_tail || room > c->bell_room;

    /* What it takes back and submits again does not count. */
    if (tail > c->bell_tail)
        c->bell_tail = tail;
    c->bell_room = room;
    return something;
}

/* A client rings for one of two reasons: it has submitted something while its
 * ring was armed, or it has made room in its event ring. One that rings again
 * and again for neither would keep this thread from its work. */
static void doorbell(struct server *s, struct client *c)
{
    s->stats.doorbells++;
    client_activate(s, c);
    client_answer(s, c, REQUESTS_PER_RING);
    client_drain_overflow(s, c);
    c->empty_bells = rang_for_something(c) ? 0 : c->empty_bells + 1;
    if (c->empty_bells >= EMPTY_BELLS && !c->links[LIST_HUSHED].in)
        hush(s, c);
}

void server_poll(struct server *s)
{
    struct epoll_event events[64];
    bool mail = false;
    int n = epoll_wait(s->epoll_fd, events, 64, 0);

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == NULL)
            mail = true; /* last: it may take clients away */
        else
            doorbell(s, events[i].data.ptr);
    }
    if (mail)
        take_inbox(s);
    server_flush(s);
}

enum server_rest server_arm(struct server *s, bool doze)
{
    struct client *c, *next;
    bool quiet = true, dozes = false;

    for (c = s->lists[LIST_ACTIVE].first; c != NULL; c = next) {
        next = c->links[LIST_ACTIVE].next;
        switch (client_answer(s, c, REQUESTS_PER_RING)) {
        case HEAD_REQUEST:
            quiet = false; /* more than a few; they come first */
            continue;
        case HEAD_MCAST:
        case HEAD_WAITS:
            /* Nothing behind it can be served before a visit, so it need not
             * ring. The first time it is seen is news. */
            quiet &= c->counted;
            c->counted = true;
            continue;
        case HEAD_CORRUPT:
            continue;
        case HEAD_EMPTY:
            break;
        }
        if (c->state != CLIENT_LIVE) {
            client_settle(s, c);
        } else if (doze && !c->awaits) {
            quiet &= ring_doze(&c->submit);
            dozes = true;
        } else if (ring_arm(&c->submit)) {
            client_deactivate(s, c);
        } else {
            ring_disarm(&c->submit);
            quiet = false;
        }
    }
    return !quiet ? SERVER_BUSY : dozes ? SERVER_DOZES : SERVER_SLEEPS;
}

bool server_look(struct server *s, uint32_t *places)
{
    for (struct client *c = s->lists[LIST_ACTIVE].first; c != NULL;
         c = c->links[LIST_ACTIVE].next) {
        ++*places;
        if (ring_pending(&c->submit) > 0)
            return true;
    }
    return false;
}

uint32_t server_backlog(const struct server *s)
{
    struct bytes own;
    uint64_t bytes = s->own_size;

    if (clm_message_next(s->clm, &own))
        bytes += own.n;
    switch (ckpt_message_kind(s->ckpt)) {
    case REPLICA_NOTHING:
        break;
    case REPLICA_INFO:
        bytes += REPLICA_HELLO_SIZE_MAX;
        break;
    case REPLICA_PIECE:
        bytes += REPLICA_PIECE_SIZE_MAX;
        break;
    }
    for (struct client *c = s->lists[LIST_ACTIVE].first; c != NULL;
         c = c->links[LIST_ACTIVE].next)
        if (!client_held_back(s, c))
            bytes += ring_pending(&c->submit);
    bytes = (bytes + s->config.packet_size - 1) / s->config.packet_size;
    return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

/* --- deliveries ----------------------------------------------------------- */

void server_publish(struct server *s)
{
    struct handover *old;

    if (!view_publish(s->views, evs_configuration_get(s->evs),
                      clm_view_get(s->clm), &old))
        log_write(LOG_LEVEL_ERROR, "IPC",
                  "no memory to tell of the new configuration; queries get the "
                  "one before");
    if (old != NULL)
        admission_retire(s->admission, old);
    else
        workers_wake(s->workers); /* the first: queries wait for it */
}

const struct service *service_of(const struct client *c)
{
    switch (c->service) {
    case IPC_SERVICE_EVS:
        return &service_evs;
    case IPC_SERVICE_CLM:
        return &service_clm;
    case IPC_SERVICE_CKPT:
        return &service_ckpt;
    }
    CHECK(!"a service that admission lets in");
    return NULL;
}

void server_deliver(struct server *s, const struct group_event *event)
{
    if (event->kind == GROUP_EVENT_MESSAGE &&
        (event->message.service != GROUP_SERVICE_CKPT ||
         !replica_is_piece(event->message.data)))
        s->traffic += event->message.data.n;
    if (event->kind == GROUP_EVENT_CONFIGURATION) {
        evs_configure(s, event->configuration);
        clm_configure(s, event->configuration);
        ckpt_configure(s, event->configuration);
    } else if (event->message.service == GROUP_SERVICE_EVS) {
        evs_deliver(s, event);
    } else if (event->message.service == GROUP_SERVICE_CLM) {
        clm_deliver(s, event);
    } else if (event->message.service == GROUP_SERVICE_CKPT) {
        ckpt_deliver(s, event);
    }
}

/* What readers may still have goes to the thread that waits for them, a lot at
 * a time. */
static void give_garbage(struct server *s)
{
    if (s->garbage_items != NULL || ckpt_garbage_bytes(s->ckpt) < GARBAGE_BYTES)
        return;
    s->garbage_items = ckpt_garbage_take(s->ckpt);
    s->garbage = (struct handover){.kind = HANDOVER_GARBAGE};
    admission_retire(s->admission, &s->garbage);
}

void server_flush(struct server *s)
{
    struct list *dirty = &s->lists[LIST_DIRTY];

    while (dirty->first != NULL) {
        struct client *c = dirty->first;
        if (c->state == CLIENT_LIVE) {
            client_drain_overflow(s, c);
            client_publish_events(s, c);
        }
        list_remove(dirty, LIST_DIRTY, c);
    }
    give_garbage(s);
}

/* Between two rounds that free what was deleted, if there is nothing else to
 * do: the processor is not this thread's alone. */
static const uint64_t clean_pause_ns = 1000000;

uint64_t server_wake_ns(const struct server *s, uint64_t now_ns)
{
    uint64_t next_ns = s->unclean ? now_ns + clean_pause_ns : UINT64_MAX;
    int64_t due_ns = ckpt_wake_ns(s->ckpt);

    if (s->hush_next_ns < next_ns)
        next_ns = s->hush_next_ns;
    if (due_ns == INT64_MAX)
        return next_ns;
    if (due_ns < 0 || (uint64_t)due_ns <= now_ns)
        return now_ns;
    return (uint64_t)due_ns < next_ns ? (uint64_t)due_ns : next_ns;
}

void server_address_set(struct server *s, const char *address)
{
    clm_address_set(s->clm,
                    (struct bytes){(const uint8_t *)address, strlen(address)});
}

static void tell_of_clock(const struct server *s,
                          const struct ckpt_clock_news *news)
{
    double seconds = (double)news->ahead_ns / 1e9;
    const char *where = news->node_id == s->config.node_id ? " (this one)" : "";

    if (news->far)
        log_write(LOG_LEVEL_WARNING, "CKPT",
                  "the clock of node %u%s is %.1f s %s those of most nodes: it "
                  "does not decide when sections of checkpoints expire; set it "
                  "(NTP)",
                  news->node_id, where, seconds < 0 ? -seconds : seconds,
                  seconds < 0 ? "behind" : "ahead of");
    else
        log_write(LOG_LEVEL_NOTICE, "CKPT",
                  "the clock of node %u%s agrees with those of most nodes",
                  news->node_id, where);
}

void server_time(struct server *s, uint64_t now_ns)
{
    struct ckpt_clock_news news;

    s->now_ns = now_ns;
    hear_hushed(s);
    ckpt_time(s->ckpt, &(struct ckpt_now){.steady_ns = (int64_t)now_ns,
                                          .wall_ns = server_wall_ns()});
    while (ckpt_clock_news(s->ckpt, &news))
        tell_of_clock(s, &news);
}

void server_clean(struct server *s, uint64_t now_ns)
{
    s->unclean = ckpt_clean(s->ckpt, CLEANED_PER_ROUND);
    ckpt_arena_tend(s, now_ns);
}

const struct server_stats *server_stats_get(struct server *s)
{
    struct worker_stats w = workers_stats(s->workers);
    s->stats.refused = admission_refused(s->admission);
    s->stats.queries = w.queries;
    s->stats.query_corrupt = w.corrupt;
    s->stats.query_doorbells = w.doorbells;
    s->stats.query_wakes = w.wakes;
    s->stats.query_sleeps = w.sleeps;
    return &s->stats;
}

uint64_t server_submitted(const struct server *s)
{
    return s->stats.submitted;
}
