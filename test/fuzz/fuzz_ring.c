/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_ring.c - everything a client can say to the daemon, by the first byte:
 *
 *   0  the bytes are a hello, arriving in two pieces
 *   1  the bytes are a submit ring: 8 bytes of tail, 8 of the event ring's
 *      head, the rest the data as it stands in shared memory
 *   2  the bytes are well-framed records: type, u16 size, body ...; the server
 *      takes them through requests and visits, and delivers them
 *   3  the bytes are the body of a message from the network */
#include "daemon/server/internal.h"
#include "ipc/channel.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* take.c over a group layer that loops back, some messages PARTIAL first. */
static enum group_put_result fake_put(struct group *g, struct totem *t,
                                      const struct group_message *m);
static void fake_flush(struct group *g, struct totem *t);
static void fake_abandon(struct group *g);
void fuzz_take(struct server *s, struct group *g, struct totem *t);
enum head fuzz_client_head(struct server *s, struct client *c,
                           const uint8_t **body);
enum head fuzz_client_answer(struct server *s, struct client *c, uint32_t max);
bool fuzz_client_held_back(const struct server *s, const struct client *c);

#define group_put fake_put
#define group_flush fake_flush
#define group_abandon fake_abandon
#define server_take fuzz_take
#define client_head fuzz_client_head
#define client_answer fuzz_client_answer
#define client_held_back fuzz_client_held_back
#include "daemon/server/take.c"

static struct server server;
static bool partial;
static uint32_t puts_left;

static enum group_put_result fake_put(struct group *g, struct totem *t,
                                      const struct group_message *m)
{
    static uint8_t *copy; /* of the exact size: reads beyond it are seen */
    (void)g;
    (void)t;
    if (puts_left == 0 || (m->parts[0].n % 3 == 0 && !partial)) {
        partial = true;
        return GROUP_PUT_PARTIAL;
    }
    partial = false;
    puts_left--;
    free(copy);
    copy = malloc(m->parts[0].n + 1);
    CHECK(copy != NULL);
    memcpy(copy + 1, m->parts[0].p, m->parts[0].n);
    struct group_event e = {.kind = GROUP_EVENT_MESSAGE,
                            .message = {.sender = 1,
                                        .service = GROUP_SERVICE_EVS,
                                        .data = {copy + 1, m->parts[0].n}}};
    server_deliver(&server, &e);
    return GROUP_PUT_DONE;
}

static void fake_flush(struct group *g, struct totem *t)
{
    (void)g;
    (void)t;
}

static void fake_abandon(struct group *g)
{
    (void)g;
    partial = false;
}

enum { RING = 65536 };

static struct client *new_client(void)
{
    int pair[2], segment_fd, error;
    struct client *c = NULL;
    const struct ipc_hello no_wishes = {.submit_size = 0};
    struct client_sizes sizes = client_sizes(&server.config, &no_wishes);

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0) {
        close(pair[1]);
        c = client_new(&server.config, &sizes, pair[0], 0, &segment_fd, &error);
    }
    CHECK(c != NULL);
    close(segment_fd);
    server.clients[0] = c;
    client_activate(&server, c);
    return c;
}

static void end_client(struct client *c)
{
    for (int i = 0; i < SERVER_LISTS; i++)
        list_remove(&server.lists[i], (enum client_list)i, c);
    evs_group_leave_all(server.evs, 0);
    server.clients[0] = NULL;
    server.partial = NULL;
    partial = false;
    client_free(c);
}

static void prepare(void)
{
    static struct totem_configuration conf = {.member_count = 2,
                                              .members = {1, 2}};
    struct evs_config config = {.client_max = 1, .subscription_max = 300};

    if (server.evs != NULL)
        return;
    server.config = (struct server_config){.node_id = 1,
                                           .client_max = 1,
                                           .submit_ring_bytes = RING,
                                           .event_ring_bytes = RING,
                                           .overflow_bytes = RING,
                                           .message_size_max = 40000,
                                           .packet_size = 1000,
                                           .worker_count = 1};
    server.epoll_fd = -1;
    server.evs = evs_new(&config);
    server.clients = calloc(1, sizeof *server.clients);
    CHECK(server.evs != NULL && server.clients != NULL);
    evs_configuration_set(server.evs, &conf);
}

static void serve(struct client *c)
{
    for (int i = 0; i < 4; i++) {
        puts_left = 64;
        client_answer(&server, c, 8);
        (void)server_backlog(&server);
        fuzz_take(&server, NULL, NULL);
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
    struct client *c = new_client();
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

static void fuzz_records(const uint8_t *data, size_t size)
{
    struct client *c = new_client();
    struct ring_producer p;
    struct reader r = reader_of((struct bytes){data, size});

    ring_producer_init(&p, &c->segment.shared->rings[SEGMENT_SUBMIT],
                       c->segment.data[SEGMENT_SUBMIT], RING);
    while (r.left > 0) {
        uint32_t type = read_u8(&r), n = read_u16(&r);
        if (n > r.left)
            n = (uint32_t)r.left;
        struct bytes body = read_bytes(&r, n);
        uint8_t *at = ring_claim(&p, n);
        if (at == NULL)
            break;
        if (body.n > 0)
            memcpy(at, body.p, body.n);
        ring_push(&p, type, n);
    }
    ring_publish(&p);
    serve(c);
    end_client(c);
}

static void fuzz_message(const uint8_t *data, size_t size)
{
    struct client *c = new_client();
    struct evs_key keys[2] = {{"a"}, {""}};
    struct evs_message m;

    evs_group_join(server.evs, 0, keys, 2);
    if (evs_message_read(server.evs, (struct bytes){data, size}, &m))
        CHECK(m.client_count <= 1 && m.payload.n < size);
    end_client(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    if (size == 0)
        return 0;
    switch (data[0] % 4) {
    case 0:
        fuzz_hello(data + 1, size - 1);
        break;
    case 1:
        fuzz_memory(data + 1, size - 1);
        break;
    case 2:
        fuzz_records(data + 1, size - 1);
        break;
    case 3:
        fuzz_message(data + 1, size - 1);
        break;
    }
    return 0;
}
