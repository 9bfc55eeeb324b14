/* SPDX-License-Identifier: BSD-3-Clause */
/* fake_clm.h - a daemon of which only the CLM service's records are there: it
 * answers what libSaClm asks, from a cluster that the test makes up. Views
 * change when the test says so, and answers can be spoiled. For the tests of
 * the library alone; the real service has tests of its own. */
#ifndef TEST_UNIT_FAKE_CLM_H
#define TEST_UNIT_FAKE_CLM_H

#include "test/unit/unit.h"

#include "daemon/base/check.h"
#include "ipc/channel.h"
#include "ipc/clm.h"
#include "ipc/ring.h"
#include "ipc/segment.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LOCAL = 7,     /* the id of this node */
    CLIENTS = 8,   /* connections */
    BOOT = 1000000 /* boot time of node n: BOOT + n */
};

struct fake_client {
    int socket, reply_fd, answer_fd, room_fd;
    struct segment segment;
    struct ring_consumer submit, query;
    struct ring_producer reply, event, answer;
    uint32_t tracked;
};

/* How to spoil the next answers, events, or the welcome. */
enum spoil {
    SPOIL_NOTHING,
    SPOIL_SIZE,   /* answers, events: 4 bytes short */
    SPOIL_COUNT,  /* lists: a count that is not that of what follows */
    SPOIL_VIEW,   /* a view comes while a list is read, once */
    SPOIL_VIEWS,  /* whenever a list is read */
    SPOIL_LENGTHS /* nodes: lengths beyond the fields, all of them full */
};

static struct fake {
    char dir[64];
    pthread_t thread;
    _Atomic bool stop;
    pthread_mutex_t lock; /* over everything below */
    int listener;
    struct fake_client clients[CLIENTS];
    uint32_t client_count;
    bool has_view;
    uint32_t refuse;  /* the welcome's result, if not 0 */
    uint32_t version; /* of the welcome, if not 0 */
    uint32_t result;  /* of all requests and queries, if not 0 */
    enum spoil spoil;
    uint32_t piece; /* nodes in an answer */
    uint64_t view;
    uint32_t members[IPC_NODES_MAX], member_count; /* LOCAL first */
    _Atomic uint32_t requests; /* of tracking, and its end */
    _Atomic uint32_t service;  /* of the last hello */
} fake;

/* --- what it tells -------------------------------------------------------- */

static struct ipc_clm_node fake_node(uint32_t id, bool member)
{
    struct ipc_clm_node n = {.node_id = id,
                             .member = member,
                             .boot_ns = BOOT + id,
                             .initial_view = 40 + id,
                             .incarnation = 1,
                             .family = 1};
    n.name_length =
        (uint16_t)snprintf((char *)n.name, sizeof n.name, "node-%u", id);
    n.address_length = (uint16_t)snprintf((char *)n.address, sizeof n.address,
                                          "10.0.0.%u", id);
    if (fake.spoil == SPOIL_LENGTHS) {
        memset(n.name, 'x', sizeof n.name);
        memset(n.address, '1', sizeof n.address);
        n.name_length = n.address_length = 1000;
    }
    return n;
}

static inline bool fake_is_member(uint32_t id)
{
    for (uint32_t i = 0; i < fake.member_count; i++)
        if (fake.members[i] == id)
            return true;
    return false;
}

/* Puts a record of two parts; wakes who sleeps. */
static inline void fake_put(struct ring_producer *ring, int fd, uint32_t type,
                            const void *head, size_t head_size,
                            const void *body, size_t body_size)
{
    uint32_t size = (uint32_t)(head_size + body_size);
    uint8_t *at = ring_claim(ring, size);
    CHECK(at != NULL);
    memcpy(at, head, head_size);
    if (body_size > 0)
        memcpy(at + head_size, body, body_size);
    if (fake.spoil == SPOIL_SIZE)
        size -= 4;
    ring_push(ring, type, size);
    if (ring_publish(ring))
        CHECK(send(fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1);
}

/* One event: members (or the own node alone, or none), then `changed` as it
 * has changed. */
static inline void fake_track_event(struct fake_client *c, uint32_t flags,
                                    bool is_current, uint32_t changed,
                                    uint32_t change)
{
    static struct ipc_clm_item items[IPC_NODES_MAX + 1];
    bool only = !is_current && (flags & IPC_CLM_CHANGES_ONLY) != 0;
    struct ipc_clm_track_event e = {.view = fake.view,
                                    .member_count = fake.member_count,
                                    .current = is_current,
                                    .cause = changed};
    for (uint32_t i = 0; i < fake.member_count && !only; i++)
        if (fake.members[i] != changed)
            items[e.item_count++] = (struct ipc_clm_item){
                fake_node(fake.members[i], true), IPC_CLM_NO_CHANGE, 0};
    if ((flags & IPC_CLM_LOCAL) != 0)
        e.item_count = only ? 0 : 1;
    else if (changed != 0)
        items[e.item_count++] = (struct ipc_clm_item){
            fake_node(changed, change == IPC_CLM_JOINED), change, 0};
    size_t size = e.item_count * sizeof *items;
    if (fake.spoil == SPOIL_COUNT)
        e.item_count++;
    fake_put(&c->event, c->socket, IPC_EVENT_CLM_TRACK, &e, sizeof e, items,
             size);
}

static inline void fake_change(uint32_t id, uint32_t change)
{
    fake.view += 4;
    for (uint32_t i = 0; i < fake.client_count; i++)
        if (fake.clients[i].tracked != 0)
            fake_track_event(&fake.clients[i], fake.clients[i].tracked, false,
                             id, change);
}

/* --- what it is asked ----------------------------------------------------- */

static inline uint32_t fake_result(void)
{
    if (fake.result != 0)
        return fake.result;
    return fake.has_view ? IPC_OK : IPC_ERR_TRY_AGAIN;
}

static inline void fake_track(struct fake_client *c, uint32_t flags)
{
    fake.requests++;
    if ((flags & 6) != 0)
        c->tracked = flags & ~1u;
    if ((flags & IPC_CLM_CURRENT) != 0)
        fake_track_event(c, flags, true, 0, 0);
}

static inline void fake_node_get(struct fake_client *c,
                                 const struct ipc_clm_node_get *get)
{
    uint32_t id = get->node_id == UINT32_MAX ? LOCAL : get->node_id;
    struct ipc_clm_node_event e = {.invocation = get->invocation,
                                   .result = IPC_ERR_NOT_EXIST};
    memset(&e.node, 'x', sizeof e.node);
    if (fake_is_member(id)) {
        e.result = IPC_OK;
        e.node = fake_node(id, true);
    }
    fake_put(&c->event, c->socket, IPC_EVENT_CLM_NODE, &e, sizeof e, NULL, 0);
}

static inline void fake_request(struct fake_client *c, const uint8_t *body)
{
    uint32_t type = c->submit.record.type, size = c->submit.record.size;
    struct ipc_reply reply = {.result = fake_result()};
    struct ipc_clm_track track;
    struct ipc_clm_node_get get;

    if (type == IPC_SUBMIT_CLM_TRACK) {
        CHECK(size == sizeof track);
        memcpy(&track, body, sizeof track);
        /* What the daemon would disconnect its client for. */
        CHECK((track.flags & ~15u) == 0 && (track.flags & 7) != 0 &&
              (track.flags & 6) != 6);
        if (reply.result == IPC_OK)
            fake_track(c, track.flags);
    } else if (type == IPC_SUBMIT_CLM_TRACK_STOP) {
        CHECK(size == 0);
        fake.requests++;
        if (reply.result == IPC_OK && c->tracked == 0)
            reply.result = IPC_ERR_NOT_EXIST;
        else if (reply.result == IPC_OK)
            c->tracked = 0;
    } else {
        CHECK(type == IPC_SUBMIT_CLM_NODE_GET && size == sizeof get);
        memcpy(&get, body, sizeof get);
        if (reply.result == IPC_OK)
            fake_node_get(c, &get);
    }
    fake_put(&c->reply, c->reply_fd, type, &reply, sizeof reply, NULL, 0);
}

static inline void fake_list(struct fake_client *c,
                             const struct ipc_clm_nodes_query *q)
{
    struct ipc_clm_node nodes[IPC_CLM_NODES_PER_ANSWER_MAX + 1];
    struct ipc_clm_nodes_answer a = {.reply.result = fake_result(),
                                     .member_count = fake.member_count,
                                     .view = fake.view};
    uint32_t count = q->local ? 1 : fake.member_count, done = 0;
    while (q->from + done < count && done < fake.piece) {
        nodes[done] = fake_node(fake.members[q->from + done], true);
        done++;
    }
    a.reply.done = done;
    a.next = q->from + done < count ? q->from + done : 0;
    if (fake.spoil == SPOIL_COUNT)
        a.reply.done++;
    fake_put(&c->answer, c->answer_fd, IPC_QUERY_CLM_NODES, &a, sizeof a, nodes,
             done * sizeof *nodes);
    if (q->from == 0 &&
        (fake.spoil == SPOIL_VIEW || fake.spoil == SPOIL_VIEWS)) {
        fake.view += 4;
        if (fake.spoil == SPOIL_VIEW) {
            fake.members[fake.member_count] = 100 + fake.member_count;
            fake.member_count++;
            fake.spoil = SPOIL_NOTHING;
        }
    }
}

static inline void fake_query(struct fake_client *c, const uint8_t *body)
{
    struct ipc_clm_node_query q;
    struct ipc_clm_nodes_query list;
    struct ipc_clm_node_answer a = {.reply.result = fake_result()};

    if (c->query.record.type == IPC_QUERY_CLM_NODES) {
        CHECK(c->query.record.size == sizeof list);
        memcpy(&list, body, sizeof list);
        fake_list(c, &list);
        return;
    }
    CHECK(c->query.record.type == IPC_QUERY_CLM_NODE);
    CHECK(c->query.record.size == sizeof q);
    memcpy(&q, body, sizeof q);
    uint32_t id = q.node_id == UINT32_MAX ? LOCAL : q.node_id;
    if (a.reply.result == IPC_OK && !fake_is_member(id))
        a.reply.result = IPC_ERR_NOT_EXIST;
    a.node = fake_node(id, true);
    fake_put(&c->answer, c->answer_fd, IPC_QUERY_CLM_NODE, &a, sizeof a, NULL,
             0);
}

/* --- connections ---------------------------------------------------------- */

static inline void fake_open_rings(struct fake_client *c)
{
    struct ring_shared *words = c->segment.shared->rings;
    uint8_t **data = c->segment.data;
    uint32_t *size = c->segment.ring_size;

    ring_consumer_init(&c->submit, &words[SEGMENT_SUBMIT], data[SEGMENT_SUBMIT],
                       size[SEGMENT_SUBMIT]);
    ring_producer_init(&c->reply, &words[SEGMENT_REPLY], data[SEGMENT_REPLY],
                       size[SEGMENT_REPLY]);
    ring_producer_init(&c->event, &words[SEGMENT_EVENT], data[SEGMENT_EVENT],
                       size[SEGMENT_EVENT]);
    ring_consumer_init(&c->query, &words[SEGMENT_QUERY], data[SEGMENT_QUERY],
                       size[SEGMENT_QUERY]);
    ring_producer_init(&c->answer, &words[SEGMENT_ANSWER], data[SEGMENT_ANSWER],
                       size[SEGMENT_ANSWER]);
    atomic_store(&words[SEGMENT_EVENT].asleep, RING_ASLEEP);
}

static inline void fake_refuse(int fd)
{
    struct ipc_welcome w = {.magic = IPC_MAGIC,
                            .version = IPC_VERSION,
                            .size = sizeof w,
                            .result = fake.refuse};
    if (fake.version != 0)
        w.version = fake.version;
    channel_send(fd, &w, sizeof w, NULL, 0, true);
    close(fd);
}

static inline int fake_pair(int fds[IPC_FDS], enum ipc_fd which)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    fds[which] = pair[1];
    return pair[0];
}

static inline void fake_accept(void)
{
    struct ipc_welcome w = {.magic = IPC_MAGIC,
                            .version = IPC_VERSION,
                            .size = sizeof w,
                            .result = IPC_OK,
                            .node_id = LOCAL,
                            .submit_size = 4096,
                            .reply_size = 4096,
                            .event_size = 1 << 20,
                            .query_size = 4096,
                            .answer_size = 1 << 16,
                            .message_size_max = 1024,
                            .spin_ns = 20000};
    const uint32_t sizes[SEGMENT_RINGS] = {
        w.submit_size, w.reply_size, w.event_size, w.query_size, w.answer_size};
    int fds[IPC_FDS], fd = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC);
    struct ipc_hello hello;
    size_t none = 0;

    CHECK(fd >= 0);
    CHECK(channel_receive(fd, &hello, sizeof hello, NULL, 0, &none, true) ==
          (long)sizeof hello);
    CHECK(hello.magic == IPC_MAGIC);
    fake.service = hello.service;
    if (fake.refuse != 0 || fake.version != 0) {
        fake_refuse(fd);
        return;
    }
    CHECK(fake.client_count < CLIENTS);
    struct fake_client *c = &fake.clients[fake.client_count++];
    *c = (struct fake_client){.socket = fd};
    fds[IPC_FD_SEGMENT] = segment_create(sizes);
    CHECK(segment_map(&c->segment, fds[IPC_FD_SEGMENT], sizes) == 0);
    fake_open_rings(c);
    fds[IPC_FD_BELL] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fds[IPC_FD_QUERY_BELL] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->reply_fd = fake_pair(fds, IPC_FD_REPLY);
    c->room_fd = fake_pair(fds, IPC_FD_ROOM);
    c->answer_fd = fake_pair(fds, IPC_FD_ANSWER);
    CHECK(channel_send(fd, &w, sizeof w, fds, IPC_FDS, true) == 0);
    for (int i = 0; i < IPC_FDS; i++)
        close(fds[i]);
}

static inline void fake_drop(uint32_t at)
{
    struct fake_client *c = &fake.clients[at];
    close(c->socket);
    close(c->reply_fd);
    close(c->room_fd);
    close(c->answer_fd);
    segment_unmap(&c->segment);
    *c = fake.clients[--fake.client_count];
}

/* Looks at one client; false: it is gone. */
static inline bool fake_serve(struct fake_client *c)
{
    struct pollfd p = {.fd = c->socket, .events = POLLRDHUP};
    const uint8_t *body;

    while (ring_peek(&c->submit, &body) == RING_RECORD) {
        fake_request(c, body);
        ring_advance(&c->submit);
        ring_release(&c->submit);
    }
    while (ring_peek(&c->query, &body) == RING_RECORD) {
        fake_query(c, body);
        ring_advance(&c->query);
        ring_release(&c->query);
    }
    return poll(&p, 1, 0) == 0;
}

static inline void *fake_run(void *unused)
{
    struct timespec rest = {.tv_nsec = 50000};
    (void)unused;
    while (!fake.stop) {
        struct pollfd p = {.fd = fake.listener, .events = POLLIN};
        pthread_mutex_lock(&fake.lock);
        if (poll(&p, 1, 0) > 0)
            fake_accept();
        for (uint32_t i = fake.client_count; i-- > 0;)
            if (!fake_serve(&fake.clients[i]))
                fake_drop(i);
        pthread_mutex_unlock(&fake.lock);
        nanosleep(&rest, NULL);
    }
    return NULL;
}

/* --- for the tests -------------------------------------------------------- */

/* A daemon with a view of `count` members, 7, 1, 2, 3 ...; 0: with no view. */
static inline void fake_start(uint32_t count)
{
    struct sockaddr_un at;
    CHECK(channel_address(&at, fake.dir) == 0);
    fake.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fake.listener, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(listen(fake.listener, 8) == 0);
    fake.stop = false;
    fake.has_view = count > 0;
    fake.refuse = fake.version = fake.result = fake.requests = 0;
    fake.spoil = SPOIL_NOTHING;
    fake.piece = 2;
    fake.view = 400;
    fake.members[0] = LOCAL;
    for (uint32_t i = 1; i < count; i++)
        fake.members[i] = i < LOCAL ? i : i + 1;
    fake.member_count = count;
    CHECK(pthread_create(&fake.thread, NULL, fake_run, NULL) == 0);
}

/* As a daemon that is killed: the sockets end, nothing is said. */
static inline void fake_kill(void)
{
    fake.stop = true;
    pthread_join(fake.thread, NULL);
    while (fake.client_count > 0)
        fake_drop(0);
    struct sockaddr_un at;
    CHECK(channel_address(&at, fake.dir) == 0);
    close(fake.listener);
    unlink(at.sun_path);
}

static inline void fake_join(uint32_t id)
{
    pthread_mutex_lock(&fake.lock);
    fake.members[fake.member_count++] = id;
    fake_change(id, IPC_CLM_JOINED);
    pthread_mutex_unlock(&fake.lock);
}

/* The last one that joined. */
static inline void fake_leave(void)
{
    pthread_mutex_lock(&fake.lock);
    fake_change(fake.members[--fake.member_count], IPC_CLM_LEFT);
    pthread_mutex_unlock(&fake.lock);
}

#define FAKE_SET(field, value)                                                 \
    do {                                                                       \
        pthread_mutex_lock(&fake.lock);                                        \
        fake.field = (value);                                                  \
        pthread_mutex_unlock(&fake.lock);                                      \
    } while (0)

static inline int fake_main(const char *suite, const struct unit_test *tests,
                            size_t count)
{
    int result;
    snprintf(fake.dir, sizeof fake.dir, "/tmp/openais-test-XXXXXX");
    if (mkdtemp(fake.dir) == NULL)
        return 2;
    pthread_mutex_init(&fake.lock, NULL);
    setenv(CHANNEL_RUN_DIR_ENV, fake.dir, 1);
    result = unit_main(suite, tests, count);
    rmdir(fake.dir);
    return result;
}

#endif
