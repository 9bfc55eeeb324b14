/* SPDX-License-Identifier: BSD-3-Clause */
/* ipcbench_qb.c - the same through libqb, as corosync's clients use it: a
 * server process with libqb's own loop, a blocking client here. Built only
 * where libqb is installed. */
#include "perf/ipcbench.h"

#include <qb/qbipcc.h>
#include <qb/qbipcs.h>
#include <qb/qbloop.h>
#include <sched.h>
#include <unistd.h>

enum {
    MESSAGE_MAX = (1 << 20) + 4096,
    REPLY_PAYLOAD = 32,
    ASK = 1,   /* answered */
    TAKE = 2,  /* not answered */
    EVENTS = 3 /* send events until the time is over, then an EVENTS_END */
};

struct request {
    struct qb_ipc_request_header head;
    uint64_t run_ns, size; /* of EVENTS */
};

struct reply {
    struct qb_ipc_response_header head;
    uint8_t payload[REPLY_PAYLOAD];
};

enum { EVENT = 4, EVENTS_END = 5 };

static struct {
    pid_t pid;
    char name[64];
    enum qb_ipc_type type;
    qb_ipcc_connection_t *connection;
    uint8_t *buffer;
    qb_loop_t *loop; /* the server's */
} qb;

bool qb_available(void)
{
    return true;
}

/* --- the server ----------------------------------------------------------- */

static int32_t job_add(enum qb_loop_priority p, void *data,
                       qb_loop_job_dispatch_fn run)
{
    return qb_loop_job_add(qb.loop, p, data, run);
}

static int32_t poll_add(enum qb_loop_priority p, int32_t fd, int32_t events,
                        void *data, qb_ipcs_dispatch_fn_t run)
{
    return qb_loop_poll_add(qb.loop, p, fd, events, data, run);
}

static int32_t poll_mod(enum qb_loop_priority p, int32_t fd, int32_t events,
                        void *data, qb_ipcs_dispatch_fn_t run)
{
    return qb_loop_poll_mod(qb.loop, p, fd, events, data, run);
}

static int32_t poll_del(int32_t fd)
{
    return qb_loop_poll_del(qb.loop, fd);
}

static void send_events(qb_ipcs_connection_t *c, const struct request *r)
{
    struct qb_ipc_response_header *head = (void *)qb.buffer;
    uint64_t end_ns = now_ns() + r->run_ns;
    size_t size = sizeof *head + r->size;
    *head = (struct qb_ipc_response_header){EVENT, (int32_t)size, 0};
    for (uint64_t n = 0; n % 16 != 0 || now_ns() < end_ns; n++)
        if (qb_ipcs_event_send(c, head, size) < 0)
            sched_yield(); /* full: the client needs the time */
    head->id = EVENTS_END;
    while (qb_ipcs_event_send(c, head, size) == -EAGAIN)
        sched_yield();
}

static int32_t on_request(qb_ipcs_connection_t *c, void *data, size_t size)
{
    const struct qb_ipc_request_header *head = data;
    struct reply reply = {{ASK, sizeof reply, 0}, {0}};
    if (head->id == ASK)
        return qb_ipcs_response_send(c, &reply, sizeof reply) < 0 ? -1 : 0;
    if (head->id == EVENTS && size >= sizeof(struct request))
        send_events(c, data);
    return 0;
}

static int32_t on_accept(qb_ipcs_connection_t *c, uid_t uid, gid_t gid)
{
    (void)c;
    (void)uid;
    (void)gid;
    return 0;
}

/* libqb makes files; they go when the only client does. */
static void on_destroyed(qb_ipcs_connection_t *c)
{
    (void)c;
    qb_loop_stop(qb.loop);
}

static void serve(void *context)
{
    struct qb_ipcs_service_handlers handlers = {.connection_accept = on_accept,
                                                .msg_process = on_request,
                                                .connection_destroyed =
                                                    on_destroyed};
    struct qb_ipcs_poll_handlers polls = {job_add, poll_add, poll_mod,
                                          poll_del};
    qb_ipcs_service_t *service;
    (void)context;
    qb.loop = qb_loop_create();
    service = qb_ipcs_create(qb.name, 0, qb.type, &handlers);
    if (qb.loop == NULL || service == NULL)
        fail("libqb: no service");
    qb_ipcs_request_rate_limit(service, QB_IPCS_RATE_FAST);
    qb_ipcs_poll_handlers_set(service, &polls);
    if (qb_ipcs_run(service) != 0)
        fail("libqb: the service does not run");
    qb_loop_run(qb.loop);
    qb_ipcs_destroy(service);
}

/* --- the client ----------------------------------------------------------- */

void qb_start(bool shared_memory, enum place where)
{
    static unsigned count;
    uint64_t give_up_ns = now_ns() + 10000000000u;
    if (qb.buffer == NULL && (qb.buffer = calloc(1, MESSAGE_MAX)) == NULL)
        fail("no memory");
    qb.type = shared_memory ? QB_IPC_SHM : QB_IPC_SOCKET;
    snprintf(qb.name, sizeof qb.name, "ipcbench-%d-%u", (int)getpid(), count++);
    place(where);
    qb.pid = child_start(serve, NULL);
    place_peer(qb.pid, where);
    do {
        pause_ns(10000000);
        qb.connection =
            qb_ipcc_connect(qb.name, shared_memory ? MESSAGE_MAX : 65536);
    } while (qb.connection == NULL && now_ns() < give_up_ns);
    if (qb.connection == NULL)
        fail("libqb: no connection: %s", strerror(errno));
}

void qb_stop(void)
{
    qb_ipcc_disconnect(qb.connection);
    child_wait(qb.pid); /* it removes its files */
}

pid_t qb_pid(void)
{
    return qb.pid;
}

bool qb_call(void *payload)
{
    struct qb_ipc_request_header *head = (void *)qb.buffer;
    struct reply reply;
    size_t size = sizeof *head + *(const size_t *)payload;
    struct iovec part = {head, size};
    *head = (struct qb_ipc_request_header){ASK, (int32_t)size};
    return qb_ipcc_sendv_recv(qb.connection, &part, 1, &reply, sizeof reply,
                              -1) == sizeof reply;
}

double qb_stream(size_t payload)
{
    struct qb_ipc_request_header *head = (void *)qb.buffer;
    size_t size = sizeof *head + payload, none = 0;
    uint64_t begin = now_ns(), end = begin + opt.run_ns, n = 0;
    while (now_ns() < end) {
        *head = (struct qb_ipc_request_header){TAKE, (int32_t)size};
        for (int i = 0; i < 16; i++) {
            ssize_t result = qb_ipcc_send(qb.connection, head, size);
            if (result == (ssize_t)size)
                n++;
            else if (result != -EAGAIN)
                fail("libqb: send: %s", strerror((int)-result));
        }
    }
    /* Answered after all that came before. */
    if (!qb_call(&none))
        fail("libqb: no answer after a stream");
    return (double)n / seconds(now_ns() - begin);
}

double qb_events(size_t payload)
{
    struct request r = {{EVENTS, sizeof r}, opt.run_ns, payload};
    struct qb_ipc_response_header *head = (void *)qb.buffer;
    uint64_t begin = now_ns(), n = 0;
    if (qb_ipcc_send(qb.connection, &r, sizeof r) != sizeof r)
        fail("libqb: send");
    for (;; n++) {
        ssize_t size =
            qb_ipcc_event_recv(qb.connection, head, MESSAGE_MAX, HANG_S * 1000);
        if (size < (ssize_t)sizeof *head)
            fail("libqb: event: %s", strerror((int)-size));
        if (head->id == EVENTS_END)
            return (double)n / seconds(now_ns() - begin);
    }
}

/* --- the section ---------------------------------------------------------- */

static void calls(enum place where, size_t payload, uint64_t gap_ns,
                  const char *name)
{
    struct calls c = {.call = qb_call, .context = &payload, .gap_ns = gap_ns};
    place(where);
    place_peer(qb.pid, where);
    time_calls(&c);
    record_calls(&c, "libqb.%s", name);
}

bool section_libqb(void)
{
    static const size_t payloads[] = {256, 1400, 8192, 65536};
    char name[32];
    qb_start(false, PLACE_APART);
    calls(PLACE_APART, 32, 0, "socket_apart");
    qb_stop();
    qb_start(true, PLACE_APART);
    calls(PLACE_APART, 32, 0, "apart");
    calls(PLACE_APART, 32, GAP_NS, "asleep");
    calls(PLACE_ANY, 32, 0, "any");
    for (unsigned i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        snprintf(name, sizeof name, "apart_%zu", payloads[i]);
        calls(PLACE_APART, payloads[i], 0, name);
    }
    place(PLACE_APART);
    place_peer(qb.pid, PLACE_APART);
    for (int i = 0; i < STREAM_SIZES; i++)
        record(qb_stream(stream_sizes[i]), "libqb.stream_%zu_per_s",
               stream_sizes[i]);
    record(qb_events(64), "libqb.events_64_per_s");
    record(qb_events(65536), "libqb.events_65536_per_s");
    qb_stop();
    return true;
}
