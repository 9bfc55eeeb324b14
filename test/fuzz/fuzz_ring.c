/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_ring.c - everything a client can say to the daemon, by the first byte:
 *
 *   0  the bytes are a hello, arriving in two pieces
 *   1  the bytes are a submit ring: 8 bytes of tail, 8 of the event ring's
 *      head, the rest the data as it stands in shared memory
 *   2  the bytes are well-framed records: type, u16 size, body ...; the server
 *      takes them through requests and visits, and delivers them
 *   3  the bytes are the body of a message from the network
 *   4  the bytes are a query ring: 8 bytes of tail, 8 of the answer ring's
 * head, a byte for each of the two rings' announcements, the rest the data as
 * it stands in shared memory; an ipc worker answers, and the answers are read
 *   5  the bytes are well-framed queries, as for 2: once, and the answers are
 *      read; then more and more of them until the answer ring is full
 *   6  as 2, from a client of CLM, whose replies and events are read
 *   7  as 5, from a client of CLM
 *   8  as 2, from a client of CKPT, which may end in between, by the second
 *      byte; another one is beside it, who must be served
 *   9  as 5, from a client of CKPT that has some sections
 *
 * The rest is of a client of EVS. The cluster is nodes 1 (this one) and 2, that
 * of CKPT node 1 alone. */
#include "daemon/server/internal.h"
#include "ipc/channel.h"
#include "test/fuzz/lazy.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A group layer that loops back, some messages PARTIAL first. The linker sends
 * what the server asks of its group layer here (--wrap in the Makefile). */
enum group_put_result __wrap_group_put(struct group *g, struct totem *t,
                                       const struct group_message *m);
void __wrap_group_flush(struct group *g, struct totem *t);
void __wrap_group_abandon(struct group *g);

/* worker.c is compiled in place; its threads are not started. */
#define workers_new fuzz_workers_new
#define workers_start fuzz_workers_start
#define workers_stop fuzz_workers_stop
#define workers_free fuzz_workers_free
#define workers_wake fuzz_workers_wake
#define workers_stats fuzz_workers_stats
#define worker_client_added fuzz_worker_client_added
#define worker_client_gone fuzz_worker_client_gone
#define serve serve_queries
#include "daemon/server/worker.c"
#undef serve

static struct server server;
static struct workers workers;
static struct totem_configuration conf = {.ring_id = {.seq = 4, .rep = 1},
                                          .member_count = 2,
                                          .members = {1, 2},
                                          .incarnations = {1, 2}};
static struct view view = {.configured = true};
static bool partial;
static uint8_t partial_head[64]; /* of the message that is half sent */
static uint32_t puts_left;

/* All parts, in memory of the exact size: reads beyond it are seen. */
static struct bytes flatten(const struct group_message *m)
{
    static uint8_t *copy;
    size_t n = 0;

    for (uint32_t i = 0; i < m->part_count; i++)
        n += m->parts[i].n;
    free(copy);
    copy = malloc(n + 1);
    CHECK(copy != NULL);
    n = 0;
    for (uint32_t i = 0; i < m->part_count; i++) {
        if (m->parts[i].n > 0)
            memcpy(copy + 1 + n, m->parts[i].p, m->parts[i].n);
        n += m->parts[i].n;
    }
    return (struct bytes){copy + 1, n};
}

enum group_put_result __wrap_group_put(struct group *g, struct totem *t,
                                       const struct group_message *m)
{
    (void)g;
    (void)t;
    uint8_t head[sizeof partial_head] = {0};
    memcpy(head, m->parts[0].p,
           m->parts[0].n < sizeof head ? m->parts[0].n : sizeof head);
    /* Nothing comes in between. */
    CHECK(!partial || m->service != GROUP_SERVICE_CKPT ||
          memcmp(head, partial_head, sizeof head) == 0);
    if (puts_left == 0 || (m->parts[0].n % 3 == 0 && !partial)) {
        partial = true;
        memcpy(partial_head, head, sizeof head);
        return GROUP_PUT_PARTIAL;
    }
    partial = false;
    puts_left--;
    struct group_event e = {
        .kind = GROUP_EVENT_MESSAGE,
        .message = {.sender = 1, .service = m->service, .data = flatten(m)}};
    server_deliver(&server, &e);
    /* There are no readers now. */
    ckpt_garbage_return(server.ckpt, ckpt_garbage_take(server.ckpt));
    ckpt_clean(server.ckpt, 10);
    return GROUP_PUT_DONE;
}

void __wrap_group_flush(struct group *g, struct totem *t)
{
    (void)g;
    (void)t;
}

void __wrap_group_abandon(struct group *g)
{
    (void)g;
    partial = false;
}

enum { RING = 65536, CLIENTS = 2 };

static struct client *new_client_at(enum ipc_service service, uint32_t slot)
{
    int pair[2], segment_fd, error;
    struct client *c = NULL;
    const struct ipc_hello no_wishes = {.submit_size = 0};
    struct client_sizes sizes = client_sizes(&server.config, &no_wishes);

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0) {
        close(pair[1]);
        c = client_new(&server.config, &sizes, pair[0], slot, &segment_fd,
                       &error);
    }
    CHECK(c != NULL);
    close(segment_fd);
    c->service = service;
    server.clients[slot] = c;
    client_activate(&server, c);
    return c;
}

static struct client *new_client(enum ipc_service service)
{
    return new_client_at(service, 0);
}

static void end_client(struct client *c)
{
    for (int i = 0; i < SERVER_LISTS; i++)
        list_remove(&server.lists[i], (enum client_list)i, c);
    evs_group_leave_all(server.evs, c->slot);
    clm_client_gone(server.clm, c->slot);
    ckpt_client_gone(server.ckpt, c->slot);
    server.clients[c->slot] = NULL;
    server.partial = NULL;
    partial = false;
    client_free(c);
}

static struct ipc_clm_node node(uint32_t id)
{
    struct ipc_clm_node n = {.node_id = id,
                             .boot_ns = id,
                             .incarnation = id,
                             .family = 1,
                             .address_length = 9,
                             .name_length = 1,
                             .address = "127.0.0.1"};
    n.name[0] = (uint8_t)('0' + id);
    return n;
}

/* What the service of node `sender` has to say. */
static void learn(struct clm *from, uint32_t sender)
{
    uint8_t copy[CLM_MESSAGE_SIZE_MAX];
    struct bytes m;

    while (clm_message_next(from, &m)) {
        CHECK(m.n <= sizeof copy);
        memcpy(copy, m.p, m.n);
        clm_message_sent(from);
        CHECK(clm_message(server.clm, sender, (struct bytes){copy, m.n}));
    }
}

/* A view of both nodes. */
static void prepare_clm(void)
{
    struct clm_config own = {.self = node(1), .client_max = CLIENTS};
    struct clm_config others = {.self = node(2), .client_max = 1};
    struct clm *other = clm_new(&others);
    struct clm_event event;

    server.clm = clm_new(&own);
    CHECK(server.clm != NULL && other != NULL);
    clm_configuration(server.clm, &conf);
    clm_configuration(other, &conf);
    learn(server.clm, 1);
    learn(other, 2);
    clm_free(other);
    while (clm_event_next(server.clm, &event))
        CHECK(event.client_count == 0);
    CHECK(clm_view_get(server.clm) != NULL);
    view.clm = *clm_view_get(server.clm);
    view.clm_known = true;
    CHECK(view.clm.count == 2);
}

/* A service that is ready, on a node of its own. */
static void prepare_ckpt(void)
{
    static const struct totem_configuration alone = {
        .ring_id = {.seq = 4, .rep = 1},
        .member_count = 1,
        .members = {1},
        .incarnations = {1}};
    uint8_t info[CKPT_MESSAGE_SIZE_MAX];

    ckpt_free(server.ckpt);
    server.ckpt = ckpt_new(&(struct ckpt_config){.node_id = 1,
                                                 .incarnation = 1,
                                                 .client_max = CLIENTS,
                                                 .checkpoint_max = 100,
                                                 .bytes_max = 1 << 20});
    CHECK(server.ckpt != NULL);
    ckpt_configuration(server.ckpt, &alone);
    size_t n = ckpt_message_write(server.ckpt, info);
    CHECK(ckpt_message(server.ckpt, 1, (struct bytes){info, n}));
    CHECK(ckpt_may_take(server.ckpt, 0));
    workers.sources.ckpt = server.ckpt;
}

static void prepare(void)
{
    struct evs_config config = {.client_max = CLIENTS, .subscription_max = 300};

    if (server.evs != NULL)
        return;
    server.config = (struct server_config){.node_id = 1,
                                           .client_max = CLIENTS,
                                           .submit_ring_bytes = RING,
                                           .event_ring_bytes = RING,
                                           .overflow_bytes = RING,
                                           .message_size_max = 40000,
                                           .packet_size = 1000,
                                           .worker_count = 1};
    server.epoll_fd = -1;
    server.evs = evs_new(&config);
    prepare_ckpt();
    server.clients = calloc(CLIENTS, sizeof *server.clients);
    CHECK(server.evs != NULL && server.clients != NULL);
    prepare_clm();
    evs_configuration_set(server.evs, &conf);
    view.configuration = conf;
    workers.config = server.config;
    workers.sources.evs = server.evs;
    workers.workers[0].all = &workers;
}

static void serve(struct client *c)
{
    for (int i = 0; i < 4; i++) {
        puts_left = 64;
        client_answer(&server, c, 8);
        (void)server_backlog(&server);
        server_take(&server, NULL, NULL);
        server_flush(&server);
        (void)server_arm(&server, false);
        (void)server_arm(&server, true);
        client_drain_overflow(&server, c);
    }
}

static void fuzz_hello(const uint8_t *data, size_t size)
{
    struct ipc_hello h;
    size_t n = size < IPC_HELLO_SIZE_MAX ? size : IPC_HELLO_SIZE_MAX;

    if (channel_hello_check(data, n / 2, &h) != CHANNEL_HELLO_BAD &&
        channel_hello_check(data, n, &h) == CHANNEL_HELLO_WHOLE)
        CHECK(h.magic == IPC_MAGIC && h.size == n &&
              (h.version != IPC_VERSION || n >= sizeof h));
}

static void fuzz_memory(const uint8_t *data, size_t size)
{
    uint64_t positions[2] = {0};
    struct client *c = new_client(IPC_SERVICE_EVS);
    struct ring_shared *rings = c->segment.shared->rings;

    memcpy(positions, data, size < sizeof positions ? size : sizeof positions);
    data += size < sizeof positions ? size : sizeof positions;
    size -= size < sizeof positions ? size : sizeof positions;
    memcpy(c->segment.data[SEGMENT_SUBMIT], data, size < RING ? size : RING);
    atomic_store(&rings[SEGMENT_SUBMIT].tail, positions[0]);
    atomic_store(&rings[SEGMENT_EVENT].head, positions[1]);
    serve(c);
    end_client(c);
}

/* Frames the bytes as records, as many as there is room for. */
static void put_records(struct ring_producer *p, struct reader *r)
{
    while (r->left > 0) {
        uint32_t type = read_u8(r), n = read_u16(r);
        if (n > r->left)
            n = (uint32_t)r->left;
        struct bytes body = read_bytes(r, n);
        uint8_t *at = ring_claim(p, n);
        if (at == NULL)
            break;
        if (body.n > 0)
            memcpy(at, body.p, body.n);
        ring_push(p, type, n);
    }
    ring_publish(p);
}

/* --- what the client is told ---------------------------------------------- */

/* All records of a ring whose head the client has not touched. */
static void read_ring(struct client *c, enum segment_ring ring,
                      void (*check)(struct ring_record record,
                                    const uint8_t *body))
{
    struct ring_consumer consumer;
    const uint8_t *body;
    enum ring_result r;

    ring_consumer_init(&consumer, &c->segment.shared->rings[ring],
                       c->segment.data[ring], c->segment.ring_size[ring]);
    while ((r = ring_peek(&consumer, &body)) == RING_RECORD) {
        check(consumer.record, body);
        ring_advance(&consumer);
    }
    CHECK(r == RING_EMPTY);
}

/* A node of the cluster, or none. */
static void check_node(const struct ipc_clm_node *n, uint32_t result)
{
    static const struct ipc_clm_node none;
    struct ipc_clm_node expected = node(n->node_id);

    expected.member = 1;
    expected.initial_view = n->initial_view;
    if (result == IPC_OK)
        CHECK((n->node_id == 1 || n->node_id == 2) &&
              memcmp(n, &expected, sizeof expected) == 0);
    else
        CHECK(result == IPC_ERR_NOT_EXIST &&
              memcmp(n, &none, sizeof none) == 0);
}

static void check_reply(struct ring_record record, const uint8_t *body)
{
    struct ipc_reply reply;

    CHECK(record.size == sizeof reply);
    CHECK(record.type >= IPC_SUBMIT_CLM_TRACK &&
          record.type <= IPC_SUBMIT_CLM_NODE_GET);
    memcpy(&reply, body, sizeof reply);
    if (record.type == IPC_SUBMIT_CLM_TRACK_STOP)
        CHECK(reply.result == IPC_OK || reply.result == IPC_ERR_NOT_EXIST);
    else
        CHECK(reply.result == IPC_OK || reply.result == IPC_ERR_TRY_AGAIN);
}

static void check_track_event(struct ring_record record, const uint8_t *body)
{
    struct ipc_clm_track_event e;
    struct ipc_clm_item item;

    CHECK(record.size >= sizeof e);
    memcpy(&e, body, sizeof e);
    CHECK(e.view == conf.ring_id.seq && e.current == 1 && e.cause == 0);
    CHECK(e.member_count == 2 && e.item_count >= 1 && e.item_count <= 2);
    CHECK(record.size == sizeof e + e.item_count * sizeof item);
    for (uint32_t i = 0; i < e.item_count; i++) {
        memcpy(&item, body + sizeof e + i * sizeof item, sizeof item);
        CHECK(item.change == IPC_CLM_NO_CHANGE && item.node.node_id == i + 1);
        check_node(&item.node, IPC_OK);
    }
}

static void check_event(struct ring_record record, const uint8_t *body)
{
    struct ipc_clm_node_event e;

    if (record.type == IPC_EVENT_CLM_TRACK) {
        check_track_event(record, body);
        return;
    }
    CHECK(record.type == IPC_EVENT_CLM_NODE && record.size == sizeof e);
    memcpy(&e, body, sizeof e);
    check_node(&e.node, e.result);
}

static void check_nodes_answer(struct ring_record record, const uint8_t *body)
{
    struct ipc_clm_nodes_answer a;
    struct ipc_clm_node n;

    CHECK(record.size >= sizeof a);
    memcpy(&a, body, sizeof a);
    CHECK(a.reply.result == IPC_OK && a.reply.done <= 2 && a.next == 0);
    CHECK(a.member_count == 2 && a.view == conf.ring_id.seq);
    CHECK(record.size == sizeof a + a.reply.done * sizeof n);
    for (uint32_t i = 0; i < a.reply.done; i++) {
        memcpy(&n, body + sizeof a + i * sizeof n, sizeof n);
        check_node(&n, IPC_OK);
    }
}

static void check_answer(struct ring_record record, const uint8_t *body)
{
    struct ipc_clm_node_answer a;
    struct ipc_reply reply;

    CHECK(record.size >= sizeof reply);
    memcpy(&reply, body, sizeof reply);
    switch (record.type) {
    case IPC_QUERY_EVS_MEMBERS:
        CHECK(reply.result == IPC_OK);
        CHECK(record.size ==
              sizeof(struct ipc_evs_members) + 2 * sizeof(uint32_t));
        break;
    case IPC_QUERY_EVS_GROUPS:
        CHECK(reply.result == IPC_OK && reply.done <= 1);
        CHECK(record.size ==
              sizeof(struct ipc_evs_group_list) +
                  reply.done * sizeof(struct ipc_evs_group_info));
        break;
    case IPC_QUERY_CLM_NODE:
        CHECK(record.size == sizeof a);
        memcpy(&a, body, sizeof a);
        check_node(&a.node, a.reply.result);
        break;
    case IPC_QUERY_CLM_NODES:
        check_nodes_answer(record, body);
        break;
    default:
        CHECK(!"an answer to nothing");
    }
}

/* --- what is done with the bytes ------------------------------------------ */

static void fuzz_records(const uint8_t *data, size_t size,
                         enum ipc_service service)
{
    struct client *c = new_client(service);
    struct ring_producer p;
    struct reader r = reader_of((struct bytes){data, size});

    ring_producer_init(&p, &c->segment.shared->rings[SEGMENT_SUBMIT],
                       c->segment.data[SEGMENT_SUBMIT], RING);
    put_records(&p, &r);
    serve(c);
    if (service == IPC_SERVICE_CLM) {
        read_ring(c, SEGMENT_REPLY, check_reply);
        read_ring(c, SEGMENT_EVENT, check_event);
    }
    end_client(c);
}

static void fuzz_message(const uint8_t *data, size_t size)
{
    struct client *c = new_client(IPC_SERVICE_EVS);
    struct evs_key keys[2] = {{"a"}, {""}};
    struct evs_message m;

    evs_group_join(server.evs, 0, keys, 2);
    if (evs_message_read(server.evs, (struct bytes){data, size}, &m))
        CHECK(m.client_count <= 1 && m.payload.n < size);
    end_client(c);
}

/* What the worker does with a client in a few turns. */
static void answer_queries(struct client *c)
{
    struct worker *w = &workers.workers[0];

    activate(w, c);
    for (int i = 0; i < 4 && !c->query_broken; i++) {
        serve_queries(w, c, &view);
        if (!c->query_broken && arm(w, c))
            activate(w, c);
    }
    CHECK(c->query_broken || c->links[LIST_QUERY].in);
    list_remove(&w->active, LIST_QUERY, c);
}

static void fuzz_query_memory(const uint8_t *data, size_t size)
{
    const struct evs_key key = {"a"};
    uint64_t positions[2] = {0};
    uint8_t asleep[2] = {0};
    struct client *c = new_client(IPC_SERVICE_EVS);
    struct ring_shared *rings = c->segment.shared->rings;
    struct reader r = reader_of((struct bytes){data, size});

    evs_group_join(server.evs, 0, &key, 1);
    for (int i = 0; i < 2; i++)
        positions[i] = read_u64(&r);
    for (int i = 0; i < 2; i++)
        asleep[i] = read_u8(&r);
    struct bytes rest = read_bytes(&r, r.left);
    uint32_t max = c->segment.ring_size[SEGMENT_QUERY];
    if (rest.n > 0)
        memcpy(c->segment.data[SEGMENT_QUERY], rest.p,
               rest.n < max ? rest.n : max);
    atomic_store(&rings[SEGMENT_QUERY].tail, positions[0]);
    atomic_store(&rings[SEGMENT_ANSWER].head, positions[1]);
    atomic_store(&rings[SEGMENT_QUERY].waiting, asleep[0]);
    atomic_store(&rings[SEGMENT_ANSWER].asleep, asleep[1]);
    answer_queries(c);
    if (positions[1] == 0)
        read_ring(c, SEGMENT_ANSWER, check_answer);
    end_client(c);
}

static void fuzz_queries(const uint8_t *data, size_t size,
                         enum ipc_service service)
{
    struct client *c = new_client(service);
    struct ring_producer p;

    ring_producer_init(&p, &c->segment.shared->rings[SEGMENT_QUERY],
                       c->segment.data[SEGMENT_QUERY],
                       c->segment.ring_size[SEGMENT_QUERY]);
    for (int i = 0; i < 300 && !c->query_broken; i++) {
        struct reader r = reader_of((struct bytes){data, size});
        put_records(&p, &r);
        answer_queries(c);
        if (i == 0)
            read_ring(c, SEGMENT_ANSWER, check_answer);
    }
    end_client(c);
}

/* --- CKPT ----------------------------------------------------------------- */

enum { HONEST = 1, PATTERN = 40000, PATTERN_STEP = 1000 };

/* A name that is nobody else's. */
static void honest_name(uint8_t *name)
{
    for (int i = 0; i < IPC_CKPT_NAME_SIZE_MAX; i++)
        name[i] = (uint8_t)(i * i * 7 + 13);
}

static uint8_t pattern(uint32_t turn, uint32_t i)
{
    return (uint8_t)(turn * 31 + i * 7 + i / 256);
}

static struct ring_producer producer(struct client *c, enum segment_ring ring)
{
    struct ring_producer p;

    ring_producer_init(&p, &c->segment.shared->rings[ring],
                       c->segment.data[ring], c->segment.ring_size[ring]);
    return p;
}

static void put_one(struct ring_producer *p, uint32_t type, const void *body,
                    uint32_t n, uint32_t more)
{
    uint8_t *at = ring_claim(p, n + more);

    CHECK(at != NULL);
    memcpy(at, body, n);
    for (uint32_t i = 0; i < more; i++)
        at[n + i] = pattern(1, i);
    ring_push(p, type, n + more);
    ring_publish(p);
}

static void put_open(struct ring_producer *p)
{
    struct ipc_ckpt_open open = {
        .flags = IPC_CKPT_READ | IPC_CKPT_WRITE | IPC_CKPT_CREATE,
        .name_length = IPC_CKPT_NAME_SIZE_MAX,
        .attributes = {.creation_flags = IPC_CKPT_WR_ALL_REPLICAS,
                       .section_max = 9,
                       .section_size_max = PATTERN,
                       .section_id_size_max = 8}};

    honest_name(open.name);
    put_one(p, IPC_SUBMIT_CKPT_OPEN, &open, sizeof open, 0);
}

static void put_section(struct ring_producer *p, uint32_t type, uint32_t handle,
                        uint8_t id, uint32_t size)
{
    struct {
        struct ipc_ckpt_section_request head;
        struct ipc_ckpt_element element;
        uint8_t id[8];
    } r = {.head = {.handle = handle,
                    .head_size = sizeof r,
                    .expiration_ns = INT64_MAX,
                    .count = 1},
           .element = {.size = size, .id_length = 1},
           .id = {id}};

    put_one(p, type, &r, sizeof r, size);
}

static uint32_t last_handle; /* that a reply gave */
static uint32_t replies;

static void check_ckpt_reply(struct ring_record record, const uint8_t *body)
{
    static const struct ipc_ckpt_opened nothing;
    struct ipc_ckpt_reply r;

    CHECK(record.type >= IPC_SUBMIT_CKPT_OPEN &&
          record.type <= IPC_SUBMIT_CKPT_OVERWRITE);
    CHECK(record.size == sizeof r);
    memcpy(&r, body, sizeof r);
    replies++;
    CHECK(r.reply.result >= IPC_OK && r.reply.result <= IPC_ERR_BAD_OPERATION &&
          r.reply.result != IPC_ERR_LIBRARY);
    if (r.reply.result != IPC_OK || record.type != IPC_SUBMIT_CKPT_OPEN)
        CHECK(memcmp(&r.opened, &nothing, sizeof nothing) == 0);
    else
        CHECK(r.opened.attributes.section_max > 0);
    if (r.reply.result != IPC_OK || record.type != IPC_SUBMIT_CKPT_WRITE)
        CHECK(r.reply.done == 0 || record.type == IPC_SUBMIT_CKPT_WRITE);
    CHECK(r.id_length <= sizeof r.id);
    CHECK(r.id_length == 0 || (r.reply.result == IPC_OK &&
                               record.type == IPC_SUBMIT_CKPT_SECTION_CREATE));
    last_handle = r.opened.handle;
}

static void check_ok_reply(struct ring_record record, const uint8_t *body)
{
    struct ipc_reply r;

    check_ckpt_reply(record, body);
    memcpy(&r, body, sizeof r);
    CHECK(r.result == IPC_OK);
}

static void check_ckpt_event(struct ring_record record, const uint8_t *body)
{
    struct ipc_ckpt_synchronize_event synchronize;
    struct ipc_ckpt_open_event open;

    if (record.type == IPC_EVENT_CKPT_OPEN) {
        CHECK(record.size == sizeof open);
        memcpy(&open, body, sizeof open);
        CHECK(open.result == IPC_OK || open.opened.attributes.section_max == 0);
        CHECK(open.result > 0 && open.flags > 0 && open.flags < 8);
    } else {
        CHECK(record.type == IPC_EVENT_CKPT_SYNCHRONIZE);
        CHECK(record.size == sizeof synchronize);
        memcpy(&synchronize, body, sizeof synchronize);
        CHECK(synchronize.result == IPC_OK ||
              synchronize.result == IPC_ERR_NOT_EXIST ||
              synchronize.result == IPC_ERR_BAD_HANDLE);
    }
}

/* All that is there can be read, and is as much as is counted. */
static void check_store(void)
{
    const struct ckpt_store *store = ckpt_store(server.ckpt);
    struct ckpt_checkpoint *c;
    struct ckpt_section *s;
    uint64_t bytes = 0;

    for (c = ckpt_store_next(store, 0); c;
         c = ckpt_store_next(store, c->number))
        for (bytes += STORE_CHECKPOINT_BYTES, s = ckpt_section_next(c, 0); s;
             s = ckpt_section_next(c, s->number))
            bytes += STORE_SECTION_BYTES + ckpt_content_get(s)->size;
    CHECK(bytes == ckpt_stats_get(server.ckpt).bytes && bytes <= 1 << 20);
    (void)ckpt_hash(server.ckpt);
}

static void serve_turns(int turns, uint32_t puts)
{
    for (int i = 0; i < turns; i++) {
        puts_left = puts;
        for (int slot = 0; slot < CLIENTS; slot++) /* they ring */
            if (server.clients[slot] != NULL)
                client_activate(&server, server.clients[slot]);
        server_time(&server, server_now_ns());
        server_clean(&server, server_now_ns());
        server_take(&server, NULL, NULL);
        server_flush(&server);
        (void)server_backlog(&server);
        (void)server_arm(&server, i % 2 == 0);
    }
}

/* The honest client is answered, whatever the other one does. */
static void honest_turn(struct client *c, uint32_t *read)
{
    replies = 0;
    for (int i = 0; i < 40 && replies <= *read; i++) {
        serve_turns(1, 20);
        replies = 0;
        read_ring(c, SEGMENT_REPLY, check_ok_reply);
    }
    CHECK(replies == ++*read);
}

/* What the honest client wrote last is there, and nothing else. */
static void check_honest(void)
{
    const struct ckpt_store *store = ckpt_store(server.ckpt);
    uint8_t name[IPC_CKPT_NAME_SIZE_MAX], data[PATTERN_STEP];

    honest_name(name);
    struct ckpt_checkpoint *c =
        ckpt_store_find(store, (struct bytes){name, sizeof name});
    CHECK(c != NULL);
    const struct ckpt_section *s = ckpt_section_next(c, 0);
    CHECK(s != NULL && ckpt_section_next(c, s->number) == NULL);
    CHECK(ckpt_content_get(s)->size == PATTERN_STEP);
    ckpt_content_read(ckpt_content_get(s), 0, data, PATTERN_STEP);
    for (uint32_t i = 0; i < PATTERN_STEP; i++)
        CHECK(data[i] == pattern(1, i));
}

static void honest_section(struct client *c, struct ring_producer *p,
                           uint32_t type, uint32_t handle, uint32_t *read)
{
    put_section(p, type, handle, 'h', PATTERN_STEP);
    honest_turn(c, read);
    check_honest();
}

/* Both go, and nothing of theirs is left open. */
static void end_ckpt(struct client *c, struct client *honest)
{
    check_store();
    end_client(c);
    if (honest != NULL)
        end_client(honest);
    serve_turns(200, 1000);
    CHECK(ckpt_stats_get(server.ckpt).handles == 0);
    check_store();
}

static void fuzz_ckpt_records(const uint8_t *data, size_t size)
{
    struct reader r = reader_of((struct bytes){data, size});
    uint8_t how = read_u8(&r);
    uint32_t read = 0, handle;

    prepare_ckpt();
    struct client *honest = new_client_at(IPC_SERVICE_CKPT, HONEST);
    struct ring_producer own = producer(honest, SEGMENT_SUBMIT);
    put_open(&own);
    honest_turn(honest, &read);
    handle = last_handle;
    honest_section(honest, &own, IPC_SUBMIT_CKPT_SECTION_CREATE, handle, &read);

    struct client *c = new_client(IPC_SERVICE_CKPT);
    struct ring_producer p = producer(c, SEGMENT_SUBMIT);
    put_records(&p, &r);
    serve_turns(how >> 2 & 3, how >> 4);
    if ((how & 1) != 0 && c->state == CLIENT_LIVE)
        client_drop_overflow(&server, c);
    honest_section(honest, &own, IPC_SUBMIT_CKPT_OVERWRITE, handle, &read);
    serve_turns(10, 1000);
    honest_section(honest, &own, IPC_SUBMIT_CKPT_WRITE, handle, &read);
    read_ring(c, SEGMENT_REPLY, check_ckpt_reply);
    read_ring(c, SEGMENT_EVENT, check_ckpt_event);
    end_ckpt(c, honest);
}

static struct reader asked; /* the queries whose answers come next */

/* The query of the answer; what there is of it is copied. */
static void query_of(uint32_t type, void *query, size_t size,
                     struct bytes *rest)
{
    uint32_t t = read_u8(&asked), n = read_u16(&asked);
    struct bytes body =
        read_bytes(&asked, n < asked.left ? n : (uint32_t)asked.left);

    CHECK(t == type && body.n >= size);
    memcpy(query, body.p, size);
    *rest = (struct bytes){body.p + size, body.n - size};
}

/* Sections "a", "b" and "c", of which the first is empty. */
static uint32_t section_of(struct bytes id)
{
    return id.n == 1 && id.p[0] >= 'a' && id.p[0] <= 'c' ? id.p[0] - 'a' + 1u
                                                         : 0;
}

static uint64_t size_of(uint32_t section)
{
    return (uint64_t)(section - 1) * (PATTERN / 2);
}

static void check_read_answer(struct ring_record record, const uint8_t *body)
{
    struct ipc_ckpt_read_answer a;
    struct ipc_ckpt_read query;
    struct bytes id;
    uint64_t n = 0;

    query_of(record.type, &query, sizeof query, &id);
    uint32_t section = section_of(id);
    uint64_t size = section == 0 ? 0 : size_of(section);
    uint32_t result = query.handle != 0     ? IPC_ERR_BAD_HANDLE
                      : section == 0        ? IPC_ERR_NOT_EXIST
                      : query.offset > size ? IPC_ERR_INVALID_PARAM
                                            : IPC_OK;
    CHECK(record.size >= sizeof a);
    memcpy(&a, body, sizeof a);
    CHECK(a.reply.result == result);
    if (result == IPC_OK) {
        n = size - query.offset < query.size ? size - query.offset : query.size;
        /* As much as fits the ring. */
        CHECK(a.reply.done == n || (a.reply.done < n && n > 10000));
        CHECK(a.section_size == size && a.version > 0);
    }
    CHECK(record.size == sizeof a + a.reply.done);
    for (uint32_t i = 0; i < a.reply.done; i++)
        CHECK(body[sizeof a + i] == pattern(1, (uint32_t)query.offset + i));
}

static bool is_chosen_here(const struct ipc_ckpt_next *query)
{
    switch (query->chosen) {
    case 2: /* none is never to expire before that */
        return query->expiration_ns == INT64_MAX;
    case 4:
        return false;
    default:
        return true;
    }
}

static void check_next_answer(struct ring_record record, const uint8_t *body)
{
    struct ipc_ckpt_next_answer a;
    struct ipc_ckpt_next query;
    struct bytes rest;

    query_of(record.type, &query, sizeof query, &rest);
    CHECK(record.size >= sizeof a && rest.n == 0);
    memcpy(&a, body, sizeof a);
    CHECK(record.size == sizeof a + a.id_length);
    if (query.handle != 0) {
        CHECK(a.reply.result == IPC_ERR_BAD_HANDLE && a.id_length == 0);
    } else if (query.after >= 3 || !is_chosen_here(&query)) {
        CHECK(a.reply.result == IPC_ERR_NO_SECTIONS && a.id_length == 0);
    } else {
        CHECK(a.reply.result == IPC_OK && a.number == query.after + 1);
        CHECK(a.id_length == 1 && body[sizeof a] == 'a' + query.after);
        CHECK(a.size == size_of((uint32_t)a.number) && a.state == 1);
        CHECK(a.expiration_ns == INT64_MAX);
    }
}

static void check_status_answer(struct ring_record record, const uint8_t *body)
{
    struct ipc_ckpt_status_answer a;
    struct ipc_ckpt_status query;
    struct bytes rest;

    query_of(record.type, &query, sizeof query, &rest);
    CHECK(record.size == sizeof a && rest.n == 0);
    memcpy(&a, body, sizeof a);
    if (query.handle != 0) {
        CHECK(a.reply.result == IPC_ERR_BAD_HANDLE && a.memory_used == 0);
        return;
    }
    CHECK(a.reply.result == IPC_OK && a.section_count == 3);
    CHECK(a.memory_used == 3 * (PATTERN / 2));
    CHECK(a.attributes.section_max == 9);
}

static void check_ckpt_answer(struct ring_record record, const uint8_t *body)
{
    switch (record.type) {
    case IPC_QUERY_CKPT_READ:
        check_read_answer(record, body);
        break;
    case IPC_QUERY_CKPT_NEXT:
        check_next_answer(record, body);
        break;
    case IPC_QUERY_CKPT_STATUS:
        check_status_answer(record, body);
        break;
    default:
        CHECK(!"an answer to nothing");
    }
}

static void fuzz_ckpt_queries(const uint8_t *data, size_t size)
{
    prepare_ckpt();
    struct client *c = new_client(IPC_SERVICE_CKPT);
    struct ring_producer p = producer(c, SEGMENT_SUBMIT);
    struct ring_producer q = producer(c, SEGMENT_QUERY);
    put_open(&p);
    serve_turns(5, 100);
    for (uint32_t i = 0; i < 3; i++) {
        put_section(&p, IPC_SUBMIT_CKPT_SECTION_CREATE, 0, (uint8_t)('a' + i),
                    i * (PATTERN / 2));
        serve_turns(5, 100);
    }
    read_ring(c, SEGMENT_REPLY, check_ok_reply);
    asked = reader_of((struct bytes){data, size});
    for (int i = 0; i < 300 && !c->query_broken; i++) {
        struct reader r = reader_of((struct bytes){data, size});
        put_records(&q, &r);
        answer_queries(c);
        if (i == 0)
            read_ring(c, SEGMENT_ANSWER, check_ckpt_answer);
    }
    end_ckpt(c, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    if (size == 0)
        return 0;
    switch (data[0] % 10) {
    case 0:
        fuzz_hello(data + 1, size - 1);
        break;
    case 1:
        fuzz_memory(data + 1, size - 1);
        break;
    case 2:
        fuzz_records(data + 1, size - 1, IPC_SERVICE_EVS);
        break;
    case 3:
        fuzz_message(data + 1, size - 1);
        break;
    case 4:
        fuzz_query_memory(data + 1, size - 1);
        break;
    case 5:
        fuzz_queries(data + 1, size - 1, IPC_SERVICE_EVS);
        break;
    case 6:
        fuzz_records(data + 1, size - 1, IPC_SERVICE_CLM);
        break;
    case 7:
        fuzz_queries(data + 1, size - 1, IPC_SERVICE_CLM);
        break;
    case 8:
        fuzz_ckpt_records(data + 1, size - 1);
        break;
    case 9:
        fuzz_ckpt_queries(data + 1, size - 1);
        break;
    }
    return 0;
}
