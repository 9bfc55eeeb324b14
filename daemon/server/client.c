/* SPDX-License-Identifier: BSD-3-Clause */
/* client.c - one client: its making, its events and replies, its end. */
#include "daemon/server/internal.h"

#include "daemon/base/check.h"
#include "daemon/server/admission.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Events become visible to the client at the flush, or when so many bytes have
 * come together: then it can begin while more is put. */
enum { PUBLISH_BYTES = 65536 };

/* The overflow is charged in such steps. */
enum { OVERFLOW_STEP = 1 << 20 };

enum {
    REPLY_RING_BYTES = 4096,
    QUERY_RING_BYTES = 4096,
    ANSWER_RING_BYTES = 8192,
    SUBMIT_RING_BYTES_MIN = 65536,
    /* Any event that a service has: CLM tells of 2 * 128 nodes at once. */
    EVENT_RING_BYTES_MIN = 131072
};

_Static_assert(EVENT_RING_BYTES_MIN >=
                   sizeof(struct ring_record) +
                       sizeof(struct ipc_clm_track_event) +
                       2 * IPC_NODES_MAX * sizeof(struct ipc_clm_item),
               "the largest event");
_Static_assert(ANSWER_RING_BYTES >= sizeof(struct ring_record) +
                                        sizeof(struct ipc_clm_nodes_answer) +
                                        IPC_CLM_NODES_PER_ANSWER_MAX *
                                            sizeof(struct ipc_clm_node),
               "an answer of many nodes");
_Static_assert(ANSWER_RING_BYTES >=
                   sizeof(struct ring_record) +
                       sizeof(struct ipc_evs_group_list) +
                       IPC_GROUP_INFOS_MAX * sizeof(struct ipc_evs_group_info),
               "the largest answer");

/* --- lists ---------------------------------------------------------------- */

void list_append(struct list *l, enum client_list which, struct client *c)
{
    struct client_link *link = &c->links[which];

    CHECK(!link->in);
    *link = (struct client_link){.prev = l->last, .in = true};
    if (l->last != NULL)
        l->last->links[which].next = c;
    else
        l->first = c;
    l->last = c;
    l->count++;
}

void list_remove(struct list *l, enum client_list which, struct client *c)
{
    struct client_link *link = &c->links[which];

    if (!link->in)
        return;
    if (link->next != NULL)
        link->next->links[which].prev = link->prev;
    else
        l->last = link->prev;
    if (link->prev != NULL)
        link->prev->links[which].next = link->next;
    else
        l->first = link->next;
    *link = (struct client_link){.next = NULL};
    l->count--;
}

/* --- making, on the admission thread -------------------------------------- */

static void open_rings(struct client *c)
{
    struct segment *g = &c->segment;
    struct ring_shared *words = g->shared->rings;

    g->shared->magic = SEGMENT_MAGIC;
    g->shared->version = IPC_VERSION;
    for (int i = 0; i < SEGMENT_RINGS; i++)
        g->shared->ring_size[i] = g->ring_size[i];
    ring_consumer_init(&c->submit, &words[SEGMENT_SUBMIT],
                       g->data[SEGMENT_SUBMIT], g->ring_size[SEGMENT_SUBMIT]);
    ring_producer_init(&c->reply, &words[SEGMENT_REPLY], g->data[SEGMENT_REPLY],
                       g->ring_size[SEGMENT_REPLY]);
    ring_producer_init(&c->event, &words[SEGMENT_EVENT], g->data[SEGMENT_EVENT],
                       g->ring_size[SEGMENT_EVENT]);
    ring_consumer_init(&c->query, &words[SEGMENT_QUERY], g->data[SEGMENT_QUERY],
                       g->ring_size[SEGMENT_QUERY]);
    ring_producer_init(&c->answer, &words[SEGMENT_ANSWER],
                       g->data[SEGMENT_ANSWER], g->ring_size[SEGMENT_ANSWER]);
    /* A new client sleeps on its events: it has not looked yet. The library
     * counts on this first announcement. */
    atomic_store_explicit(&words[SEGMENT_EVENT].asleep, 1,
                          memory_order_relaxed);
}

static int open_overflow(struct client *c, uint32_t size)
{
    if (size == 0)
        return 0;
    c->overflow_words = aligned_alloc(128, sizeof *c->overflow_words);
    c->overflow_data = segment_map_private(size);
    if (c->overflow_words == NULL || c->overflow_data == NULL)
        return -ENOMEM;
    memset(c->overflow_words, 0, sizeof *c->overflow_words);
    c->overflow_size = size;
    ring_producer_init(&c->overflow_in, c->overflow_words, c->overflow_data,
                       size);
    ring_consumer_init(&c->overflow_out, c->overflow_words, c->overflow_data,
                       size);
    return 0;
}

/* For a read of a checkpoint, of as much as a write may have. */
static uint32_t answer_ring_size(const struct server_config *config,
                                 uint32_t service)
{
    uint32_t size = ANSWER_RING_BYTES;

    while (service == IPC_SERVICE_CKPT &&
           size < config->message_size_max + ANSWER_RING_BYTES)
        size *= 2;
    return size;
}

/* The next power of two from `wish` on, within `min` and `max`, both such. */
static uint32_t ring_size(uint32_t wish, uint32_t min, uint32_t max)
{
    uint32_t size = min;

    if (wish == 0)
        return max;
    while (size < wish && size < max)
        size *= 2;
    return size < max ? size : max;
}

struct client_sizes client_sizes(const struct server_config *config,
                                 const struct ipc_hello *hello)
{
    const uint32_t record = sizeof(struct ring_record) +
                            sizeof(struct ipc_evs_mcast) +
                            IPC_EVS_HEADER_SIZE_MAX + 8;
    uint32_t event_min = EVENT_RING_BYTES_MIN;
    struct client_sizes s = {.message_size_max = config->message_size_max};

    /* Any message that others send must fit in. */
    while (event_min < config->message_size_max + record)
        event_min *= 2;
    s.rings[SEGMENT_SUBMIT] = ring_size(
        hello->submit_size, SUBMIT_RING_BYTES_MIN, config->submit_ring_bytes);
    s.rings[SEGMENT_EVENT] =
        ring_size(hello->event_size, event_min, config->event_ring_bytes);
    s.rings[SEGMENT_REPLY] = REPLY_RING_BYTES;
    s.rings[SEGMENT_QUERY] = QUERY_RING_BYTES;
    s.rings[SEGMENT_ANSWER] = answer_ring_size(config, hello->service);
    if (s.message_size_max > s.rings[SEGMENT_SUBMIT] - record)
        s.message_size_max = s.rings[SEGMENT_SUBMIT] - record;
    return s;
}

uint64_t client_charge(const struct client_sizes *sizes)
{
    uint64_t bytes = SEGMENT_HEADER_SIZE;

    for (int i = 0; i < SEGMENT_RINGS; i++)
        bytes += sizes->rings[i];
    return bytes;
}

uint64_t clients_charge(struct client *const *clients, uint32_t client_max,
                        uid_t uid, uint32_t *count)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < client_max; i++) {
        const struct client *c = clients[i];
        if (c == NULL || c->uid != uid)
            continue;
        ++*count;
        bytes += c->charge + atomic_load_explicit(&c->overflow_charge,
                                                  memory_order_relaxed);
    }
    return bytes;
}

static struct client *client_alloc(uint32_t slot)
{
    struct client *c = aligned_alloc(alignof(struct client), sizeof *c);

    if (c == NULL)
        return NULL;
    memset(c, 0, sizeof *c);
    c->watch = WATCH_CLIENT;
    c->slot = slot;
    c->socket = c->doorbell = c->query_bell = -1;
    c->reply_fd = c->room_fd = c->answer_fd = -1;
    for (int i = 0; i < CLIENT_PAIRS; i++)
        c->peers[i] = -1;
    c->added = c->worker_added =
        (struct handover){.client = c, .kind = HANDOVER_ADDED};
    c->gone = c->worker_gone =
        (struct handover){.client = c, .kind = HANDOVER_GONE};
    c->released = (struct handover){.client = c, .kind = HANDOVER_RELEASED};
    c->worker_released = c->released;
    return c;
}

static int open_descriptors(struct client *c)
{
    int *const ours[CLIENT_PAIRS] = {[PAIR_REPLY] = &c->reply_fd,
                                     [PAIR_ROOM] = &c->room_fd,
                                     [PAIR_ANSWER] = &c->answer_fd};
    int pair[2];

    c->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->query_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->doorbell < 0 || c->query_bell < 0)
        return -errno;
    for (int i = 0; i < CLIENT_PAIRS; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                       pair) != 0)
            return -errno;
        /* Nothing is read here. Descriptors that a client left in the queue (of
         * its own socket) would outlive it, and its end would never come. */
        shutdown(pair[0], SHUT_RD);
        *ours[i] = pair[0];
        c->peers[i] = pair[1];
    }
    return 0;
}

struct client *client_new(const struct server_config *config,
                          const struct client_sizes *sizes, int socket,
                          uint32_t slot, int *segment_fd, int *error)
{
    struct client *c = client_alloc(slot);

    *error = -ENOMEM;
    if (c == NULL)
        return NULL;
    c->message_size_max = sizes->message_size_max;
    *error = open_descriptors(c);
    if (*error != 0)
        goto err1;
    *segment_fd = segment_create(sizes->rings);
    if (*segment_fd < 0) {
        *error = *segment_fd;
        goto err1;
    }
    *error = segment_map(&c->segment, *segment_fd, sizes->rings);
    if (*error == 0)
        *error = open_overflow(c, config->overflow_bytes);
    if (*error != 0)
        goto err0;
    open_rings(c);
    c->socket = socket;
    return c;

err0:
    close(*segment_fd);
err1:
    client_free(c);
    return NULL;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void client_free(struct client *c)
{
    if (c == NULL)
        return;
    segment_unmap(&c->segment);
    segment_unmap_private(c->overflow_data, c->overflow_size);
    free(c->overflow_words);
    close_if_open(c->doorbell);
    close_if_open(c->query_bell);
    close_if_open(c->reply_fd);
    close_if_open(c->room_fd);
    close_if_open(c->answer_fd);
    for (int i = 0; i < CLIENT_PAIRS; i++)
        close_if_open(c->peers[i]);
    close_if_open(c->socket);
    free(c);
}

/* --- active or not -------------------------------------------------------- */

void client_activate(struct server *s, struct client *c)
{
    c->idle_visits = 0;
    if (!c->links[LIST_ACTIVE].in)
        list_append(&s->lists[LIST_ACTIVE], LIST_ACTIVE, c);
}

void client_deactivate(struct server *s, struct client *c)
{
    list_remove(&s->lists[LIST_ACTIVE], LIST_ACTIVE, c);
}

/* --- events --------------------------------------------------------------- */

/* One byte, never waiting. Full: bytes that the client has not taken are there,
 * so it is awake. Ended: the admission thread sees that too, and says so. */
void client_send_byte(int fd)
{
    static const char byte = 1;
    ssize_t n = send(fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)n;
}

static void wake_events(struct server *s, struct client *c)
{
    client_send_byte(c->socket);
    s->stats.wakes++;
}

void client_publish_events(struct server *s, struct client *c)
{
    if (ring_publish(&c->event))
        wake_events(s, c);
}

static void *write_parts(uint8_t *at, struct bytes head, struct bytes body)
{
    memcpy(at, head.p, head.n);
    if (body.n > 0)
        memcpy(at + head.n, body.p, body.n);
    return at;
}

/* True: it is in the ring. */
static bool put_in_ring(struct ring_producer *ring, uint32_t type,
                        struct bytes head, struct bytes body)
{
    uint32_t size = (uint32_t)(head.n + body.n);
    uint8_t *at = ring_claim(ring, size);

    if (at == NULL)
        return false;
    write_parts(at, head, body);
    ring_push(ring, type, size);
    return true;
}

/* The overflow is about to have so many bytes more, and uses memory that it has
 * not used before. False: its user has as much as he may. */
static bool charge_overflow(struct server *s, struct client *c, size_t more)
{
    uint64_t end = c->overflow_in.tail + more, max = s->config.uid_bytes_max;
    uint64_t was = c->overflow_charge, user;
    uint32_t count = 0;

    if (end <= was || was == c->overflow_size)
        return true;
    end += OVERFLOW_STEP - end % OVERFLOW_STEP;
    if (end > c->overflow_size)
        end = c->overflow_size;
    user = clients_charge(s->clients, s->config.client_max, c->uid, &count);
    if (c->uid != 0 && max != 0 && user + end - was > max)
        return false;
    atomic_store_explicit(&c->overflow_charge, (uint32_t)end,
                          memory_order_relaxed);
    return true;
}

static void put_in_overflow(struct server *s, struct client *c, uint32_t type,
                            struct bytes head, struct bytes body)
{
    if (c->overflow_size == 0 ||
        !charge_overflow(s, c, head.n + body.n + sizeof(struct ring_record)) ||
        !put_in_ring(&c->overflow_in, type, head, body)) {
        client_drop_overflow(s, c);
        return;
    }
    ring_publish(&c->overflow_in);
    c->overflowing = true;
    client_drain_overflow(s, c);
}

void client_put_event(struct server *s, struct client *c, uint32_t type,
                      struct bytes head, struct bytes body)
{
    if (c->state != CLIENT_LIVE)
        return;
    if (!c->links[LIST_DIRTY].in)
        list_append(&s->lists[LIST_DIRTY], LIST_DIRTY, c);
    /* In order: nothing passes what is in the overflow already. */
    if (c->overflowing || !put_in_ring(&c->event, type, head, body)) {
        if (c->event.corrupt)
            client_drop_corrupt(s, c, "position of the event ring");
        else
            put_in_overflow(s, c, type, head, body);
    } else if (c->event.tail - c->event.published >= PUBLISH_BYTES) {
        client_publish_events(s, c);
    }
}

void client_drain_overflow(struct server *s, struct client *c)
{
    const uint8_t *body;

    while (c->overflowing && c->state == CLIENT_LIVE) {
        if (ring_peek(&c->overflow_out, &body) != RING_RECORD) {
            c->overflowing = false;
            break;
        }
        struct ring_record r = c->overflow_out.record;
        struct bytes whole = {body, r.size};
        if (!put_in_ring(&c->event, r.type, whole, (struct bytes){NULL, 0})) {
            /* No room is a reason to let the client see all of it: it may
             * sleep on a full ring that was never published. */
            client_publish_events(s, c);
            if (ring_wait_room(&c->event, r.size))
                break; /* the client rings when it has made some */
            if (c->event.corrupt)
                client_drop_corrupt(s, c, "position of the event ring");
            continue;
        }
        ring_advance(&c->overflow_out);
        ring_release(&c->overflow_out);
        if (!c->links[LIST_DIRTY].in)
            list_append(&s->lists[LIST_DIRTY], LIST_DIRTY, c);
    }
}

/* --- replies -------------------------------------------------------------- */

void client_tell_room(struct client *c)
{
    client_send_byte(c->room_fd);
}

void client_reply(struct server *s, struct client *c, uint32_t type,
                  struct bytes answer)
{
    if (!put_in_ring(&c->reply, type, answer, (struct bytes){NULL, 0})) {
        /* The library has one request under way at a time. */
        client_drop_corrupt(s, c, "requests without reading the replies");
        return;
    }
    if (ring_publish(&c->reply))
        client_send_byte(c->reply_fd);
}

/* --- the end -------------------------------------------------------------- */

static void begin_end(struct server *s, struct client *c,
                      enum client_state state)
{
    /* What was committed until now was accepted, and is sent; what a living
     * process writes into its ring after the end of its socket is not. */
    if (c->state == CLIENT_LIVE) {
        c->drain_end = c->submit.head + ring_pending(&c->submit);
        service_of(c)->client_gone(s, c);
        client_publish_events(s, c);
    }
    c->state = state;
    client_activate(s, c);
}

void client_drop_corrupt(struct server *s, struct client *c, const char *what)
{
    uint32_t suppressed;

    if (c->state == CLIENT_LIVE) {
        s->stats.corrupt++;
        if (log_limit_pass(&s->log_corrupt, server_now_ns(), 5, &suppressed))
            log_write(LOG_LEVEL_ERROR, "IPC",
                      "process %d (uid %u) disconnected, its shared memory "
                      "makes no sense: %s (%u more not logged)",
                      (int)c->pid, (unsigned)c->uid, what, suppressed);
        begin_end(s, c, CLIENT_CLOSING);
        shutdown(c->socket, SHUT_RDWR);
    }
    c->submit.corrupt = true;
}

void client_drop_overflow(struct server *s, struct client *c)
{
    uint32_t suppressed;

    s->stats.overflowed++;
    if (log_limit_pass(&s->log_overflow, server_now_ns(), 5, &suppressed))
        log_write(LOG_LEVEL_ERROR, "IPC",
                  "process %d (uid %u) disconnected, it does not read its "
                  "events: %u bytes of ring and %u of overflow are full "
                  "(%u more not logged)",
                  (int)c->pid, (unsigned)c->uid,
                  c->segment.ring_size[SEGMENT_EVENT], c->overflow_size,
                  suppressed);
    begin_end(s, c, CLIENT_CLOSING);
    shutdown(c->socket, SHUT_RDWR);
}

void client_gone(struct server *s, struct client *c)
{
    CHECK(c->state != CLIENT_GONE);
    begin_end(s, c, CLIENT_GONE);
    client_settle(s, c);
}

bool client_settle(struct server *s, struct client *c)
{
    if (c->state != CLIENT_GONE || s->partial == c)
        return false;
    if (!c->submit.corrupt && c->submit.head < c->drain_end)
        return false;
    for (int i = 0; i < SERVER_LISTS; i++)
        list_remove(&s->lists[i], (enum client_list)i, c);
    epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->doorbell, NULL);
    CHECK(s->clients[c->slot] == c && s->stats.clients_now > 0);
    s->clients[c->slot] = NULL;
    s->stats.clients_now--;
    admission_release(s->admission, c);
    return true;
}
