// SPDX-License-Identifier: BSD-3-Clause
/* counts.h - two whole nodes in one thread, and what they do counted: copies,
 * system calls, allocations and locked instructions, by stage of a message's
 * way. For the
 * tests test_counts*.c.
 *
 * The nodes run turn by turn, through protocol.c itself, compiled in place so
 * that what it calls is counted apart. Only the ipc workers and the
 * admission threads are threads of their own.
 * - The linker sends memcpy(), malloc() and whatever enters the kernel in our
 *   objects through here (--wrap in the Makefile).
 * - Locked instructions: the processor's trap flag shows each instruction
 *   before it is executed. x86-64 only. */
#ifndef TEST_UNIT_COUNTS_H
#define TEST_UNIT_COUNTS_H

#include "test/unit/unit.h"

#include "daemon/base/check.h"
#include "daemon/loop/loop.h"
#include "daemon/server/internal.h"
#include "daemon/server/protocol.h"
#include "daemon/server/report.h"
#include "daemon/server/ringstate.h"

#include <openssl/evp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

/* --- the counters --------------------------------------------------------- */

/* Where the thread is, on the way of a message. */
enum stage {
    NOT_COUNTED,
    SUBMIT,
    DISPATCH,
    REQUEST,
    QUERY,
    WORKER,  /* the ipc worker */
    ADMIT,   /* the admission thread */
    POLL,    /* the rest: the protocol thread's from here on */
    TAKE,    /* rings to packets */
    SEAL,    /* packets to the transmit buffer */
    SEND,    /* to the kernel */
    RECEIVE, /* from the kernel */
    OPEN,    /* to the plain packet */
    STORE,   /* the core */
    GROUP,   /* reassembly */
    DELIVER, /* to the event rings */
    FLUSH,   /* waking clients */
    STAGES
};

static const char *const stage_names[STAGES] = {
    "not counted", "submit", "dispatch", "request", "query", "worker",
    "admit",       "poll",   "take",     "seal",    "send",  "receive",
    "open",        "store",  "group",    "deliver", "flush"};

enum { NODES = 2, COPY_MIN = 64 };

/* One writer each: the thread that is there. */
struct counts {
    _Atomic uint64_t calls, copies, copied, marks;
    _Atomic uint64_t allocations, locked, entries;
};

static struct counts counts[NODES][STAGES];
static _Thread_local enum stage stage;
static _Thread_local int place; /* which node's */

static void add(_Atomic uint64_t *to, uint64_t n)
{
    /* Not one locked instruction: those are counted. */
    atomic_store_explicit(to,
                          atomic_load_explicit(to, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static struct counts *here(void)
{
    return &counts[place][stage];
}

static void counts_clear(void)
{
    for (int n = 0; n < NODES; n++)
        for (int s = 0; s < STAGES; s++) {
            struct counts *c = &counts[n][s];
            c->calls = c->copies = c->copied = c->marks = 0;
            c->allocations = c->locked = c->entries = 0;
        }
}

static enum stage stage_enter(enum stage to)
{
    enum stage before = stage;
    stage = to;
    return before;
}

/* --- what is wrapped ------------------------------------------------------ */

#define WRAP(result, name, parameters)                                         \
    result __real_##name parameters;                                           \
    result __wrap_##name parameters;                                           \
    result __wrap_##name parameters

/* A function that enters the kernel once. */
#define CALL(result, name, parameters, arguments)                              \
    WRAP(result, name, parameters)                                             \
    {                                                                          \
        add(&here()->calls, 1);                                                \
        return __real_##name arguments;                                        \
    }

#define ALLOCATION(result, name, parameters, arguments)                        \
    WRAP(result, name, parameters)                                             \
    {                                                                          \
        add(&here()->allocations, 1);                                          \
        return __real_##name arguments;                                        \
    }

/* What a payload is known by, wherever it is. */
static _Atomic bool marked; /* is looked for */
static const char the_mark[] = "paYl0Ad!";
enum { MARK_SIZE = sizeof the_mark - 1 };

static uint64_t marks_in(const uint8_t *at, size_t n)
{
    const uint8_t *end = at + n;
    uint64_t marks = 0;
    while ((at = memmem(at, (size_t)(end - at), the_mark, MARK_SIZE)) != NULL) {
        at += MARK_SIZE;
        marks++;
    }
    return marks;
}

static void count_copy(const void *from, size_t n)
{
    if (marked)
        add(&here()->marks, marks_in(from, n));
    if (n < COPY_MIN)
        return;
    add(&here()->copies, 1);
    add(&here()->copied, n);
}

#define COPY(name)                                                             \
    WRAP(void *, name, (void *to, const void *from, size_t n))                 \
    {                                                                          \
        count_copy(from, n);                                                   \
        return __real_##name(to, from, n);                                     \
    }

#define CODE(name, plain)                                                      \
    WRAP(int, name,                                                            \
         (EVP_CIPHER_CTX * c, uint8_t * to, int *size, const uint8_t *from,    \
          int n))                                                              \
    {                                                                          \
        int result = __real_##name(c, to, size, from, n);                      \
        if (to != NULL)                                                        \
            count_copy(plain, (size_t)n);                                      \
        return result;                                                         \
    }

COPY(memcpy)
COPY(memmove)
CODE(EVP_EncryptUpdate, from) /* never in place */
CODE(EVP_DecryptUpdate, to)

ALLOCATION(void *, malloc, (size_t n), (n))
ALLOCATION(void *, calloc, (size_t count, size_t n), (count, n))
ALLOCATION(void *, realloc, (void *p, size_t n), (p, n))
ALLOCATION(void *, aligned_alloc, (size_t a, size_t n), (a, n))
ALLOCATION(void, free, (void *p), (p))

CALL(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
CALL(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
CALL(ssize_t, send, (int fd, const void *p, size_t n, int f), (fd, p, n, f))
CALL(ssize_t, recv, (int fd, void *p, size_t n, int f), (fd, p, n, f))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
CALL(ssize_t, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f))
CALL(int, sendmmsg, (int fd, struct mmsghdr *m, unsigned n, int f),
     (fd, m, n, f))
CALL(int, recvmmsg,
     (int fd, struct mmsghdr *m, unsigned n, int f, struct timespec *t),
     (fd, m, n, f, t))
CALL(int, ppoll,
     (struct pollfd * p, nfds_t n, const struct timespec *t, const sigset_t *s),
     (p, n, t, s))
CALL(int, epoll_wait, (int fd, struct epoll_event *e, int n, int ms),
     (fd, e, n, ms))
CALL(int, getrusage, (__rusage_who_t who, struct rusage *u), (who, u))
CALL(void *, mmap, (void *at, size_t n, int prot, int f, int fd, off_t from),
     (at, n, prot, f, fd, from))

/* The protocol threads never sleep: it is the other one's turn. */
WRAP(int, epoll_pwait2,
     (int fd, struct epoll_event *e, int n, const struct timespec *t,
      const sigset_t *s))
{
    const struct timespec zero = {.tv_sec = 0};
    (void)t;
    add(&here()->calls, 1);
    return __real_epoll_pwait2(fd, e, n, &zero, s);
}

/* A client that sleeps lets the nodes go on instead, if it is to. */
static bool drives;
static void nodes_round(void);

WRAP(int, poll, (struct pollfd * p, nfds_t n, int ms))
{
    add(&here()->calls, 1);
    if (!drives || stage == NOT_COUNTED || stage >= WORKER || ms == 0)
        return __real_poll(p, n, ms);
    int ready = __real_poll(p, n, 0);
    while (ready == 0) {
        enum stage before = stage_enter(NOT_COUNTED);
        nodes_round();
        ready = __real_poll(p, n, 0); /* it would sleep in one call */
        stage = before;
    }
    return ready;
}

/* These threads tell their names before they do anything else. */
static _Atomic int threads_seen;
static _Atomic int node_opening;

WRAP(int, pthread_setname_np, (pthread_t thread, const char *name))
{
    int result = __real_pthread_setname_np(thread, name);
    bool worker = strcmp(name, "ipc worker") == 0;
    if (!worker && strcmp(name, "admission") != 0)
        return result;
    place = node_opening;
    stage = worker ? WORKER : ADMIT;
    threads_seen++;
    return result;
}

/* OpenSSL's own allocations. */
static void *library_malloc(size_t size, const char *file, int line)
{
    return (void)file, (void)line, malloc(size);
}

static void *library_realloc(void *p, size_t size, const char *file, int line)
{
    return (void)file, (void)line, realloc(p, size);
}

static void library_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

/* --- the protocol thread, its calls counted apart ------------------------- */

#define STAGED(result, name, at, parameters, arguments)                        \
    static result counted_##name parameters                                    \
    {                                                                          \
        enum stage before = stage_enter(at);                                   \
        result r = name arguments;                                             \
        stage = before;                                                        \
        return r;                                                              \
    }
#define STAGED_VOID(name, at, parameters, arguments)                           \
    static void counted_##name parameters                                      \
    {                                                                          \
        enum stage before = stage_enter(at);                                   \
        name arguments;                                                        \
        stage = before;                                                        \
    }

STAGED_VOID(server_take, TAKE,
            (struct server * s, struct group *g, struct totem *t), (s, g, t))
STAGED_VOID(server_deliver, DELIVER,
            (struct server * s, const struct group_event *e), (s, e))
STAGED_VOID(server_flush, FLUSH, (struct server * s), (s))
STAGED(size_t, seal_packet, SEAL,
       (struct seal * s, struct bytes plain, uint8_t *out), (s, plain, out))
STAGED(size_t, seal_packet_to, SEAL,
       (struct seal * s, uint32_t id, struct bytes plain, uint8_t *out),
       (s, id, plain, out))
STAGED(enum seal_result, seal_open, OPEN,
       (struct seal * s, struct bytes d, uint64_t source, uint64_t now_ns,
        uint8_t *plain, struct seal_opened *o),
       (s, d, source, now_ns, plain, o))
STAGED(uint8_t *, net_claim, SEND, (struct net * n, size_t size), (n, size))
STAGED_VOID(net_flush, SEND, (struct net * n), (n))
STAGED(uint32_t, net_receive, RECEIVE,
       (struct net * n, enum net_channel channel), (n, channel))
STAGED(bool, net_next, RECEIVE, (struct net * n, struct net_datagram *d),
       (n, d))
STAGED(uint32_t, net_unreachable_next, RECEIVE, (struct net * n), (n))
STAGED_VOID(totem_step, STORE,
            (struct totem * t, const struct totem_in *in,
             struct totem_out *out),
            (t, in, out))
STAGED_VOID(group_receive, GROUP,
            (struct group * g, const struct totem_event *e), (g, e))
STAGED(bool, group_next, GROUP, (struct group * g, struct group_event *e),
       (g, e))

int counted_protocol_run(const struct protocol_parts *parts);

#define server_take counted_server_take
#define server_deliver counted_server_deliver
#define server_flush counted_server_flush
#define seal_packet counted_seal_packet
#define seal_packet_to counted_seal_packet_to
#define seal_open counted_seal_open
#define net_claim counted_net_claim
#define net_flush counted_net_flush
#define net_receive counted_net_receive
#define net_next counted_net_next
#define net_unreachable_next counted_net_unreachable_next
#define totem_step counted_totem_step
#define group_receive counted_group_receive
#define group_next counted_group_next
#define protocol_run counted_protocol_run
#include "daemon/server/protocol.c"
#undef server_take
#undef server_deliver
#undef server_flush

/* --- the nodes ------------------------------------------------------------ */

enum {
    MESSAGE_MAX = 1 << 17,
    RING_SIZE = 1 << 21,
    SMALL = 64,
    LARGE = 1 << 16,
    MTU = 1500,
    WINDOW = 256, /* packets */
    INCARNATION = 1000
};

struct node {
    struct protocol *p;
    struct config config;
    char dir[64];
};

static const uint64_t second_ns = 1000000000;
static struct node nodes[NODES];
static struct in_addr addresses[NODES];
static uint8_t the_key[SEAL_KEY_SIZE];
static char directory[] = "/tmp/openais-test-XXXXXX";
static uint64_t rounds; /* of both nodes */

static void make_net(struct node *n, int at, struct protocol_parts *parts)
{
    char error[256] = "";
    struct net_config c = {
        .bind_net = addresses[at],
        .port = (uint16_t)(20000 + (unsigned)getpid() % 6000 * 2),
        .mtu = MTU,
        .node_count = NODES,
        .nodes = addresses,
        .receive_buffer_bytes = 4 << 20,
        .send_buffer_bytes = 4 << 20,
        .node_id = n->config.totem.nodeid};
    CHECK(net_open(&parts->net, &c, error, sizeof error) == 0);
}

static void make_core(struct node *n, struct protocol_parts *parts)
{
    const struct config_timeout *o = &n->config.timeout;
    uint32_t id = n->config.totem.nodeid;
    struct seal_config s = {.node_id = id, .node_max = 8, .key = the_key};
    struct totem_config t = {.node_id = id,
                             .incarnation = INCARNATION + id,
                             .random_seed = id,
                             .packet_size_max =
                                 net_payload_size(parts->net) - SEAL_OVERHEAD,
                             .window_packets = WINDOW,
                             .token_ns = o->token_ns,
                             .token_retransmit_ns = o->token_retransmit_ns,
                             .hold_ns = o->hold_ns,
                             .join_ns = o->join_ns,
                             .consensus_ns = o->consensus_ns,
                             .merge_ns = o->merge_ns,
                             .fail_recv_const = 1000};
    struct group_config g = {.node_id = id,
                             .node_max = 8,
                             .message_size_max =
                                 MESSAGE_MAX + GROUP_SERVICE_HEADER_MAX};
    struct sockaddr_in own = net_own_address(parts->net);
    memset(&s.secrets, (int)id, sizeof s.secrets);
    s.source = net_source(&own);
    parts->generation_fd = -1;
    parts->seal = seal_new(&s);
    parts->totem = totem_new(&t);
    parts->group = group_new(&g);
    CHECK(parts->seal != NULL && parts->totem != NULL && parts->group != NULL);
}

/* The first node's workers and clients spin long, the other's not at all. */
static void make_server(struct node *n, int at, struct protocol_parts *parts)
{
    char error[256] = "";
    struct server_config c = {
        .node_id = n->config.totem.nodeid,
        .self = {.node_id = n->config.totem.nodeid,
                 .incarnation = INCARNATION + n->config.totem.nodeid,
                 .family = 1},
        .run_dir = n->dir,
        .client_max = 32,
        .submit_ring_bytes = RING_SIZE,
        .event_ring_bytes = RING_SIZE,
        .overflow_bytes = RING_SIZE,
        .message_size_max = MESSAGE_MAX,
        .packet_size = MTU,
        .ckpt_count_max = 16,
        .ckpt_bytes_max = 64 << 20,
        .ckpt_direct = true,
        .worker_count = 1,
        .spin_ns = at == 0 ? 20000000 : 0};
    node_opening = at;
    CHECK(server_open(&parts->server, &c, error, sizeof error) == 0);
    while (threads_seen < 2 * (at + 1))
        sched_yield();
}

/* As protocol_run() begins. */
static void make_protocol(struct node *n, const struct protocol_parts *parts)
{
    struct protocol *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    *p = (struct protocol){
        .p = *parts, .now_ns = loop_now_ns(), .wake_ns = UINT64_MAX};
    p->start_ns = p->now_ns + hello_ns;
    p->report_ns = UINT64_MAX;
    report_init(&p->report, &p->p, p->now_ns);
    CHECK(sources_add(p) == 0);
    n->p = p;
    hello(p);
}

static void node_open(int at)
{
    struct node *n = &nodes[at];
    struct protocol_parts parts = {.config = &n->config};
    struct config_timeout *o = &n->config.timeout;
    uint64_t ring_seq;
    char error[256];
    snprintf(n->dir, sizeof n->dir, "%s/%d", directory, at);
    n->config.totem.nodeid = (uint32_t)at + 1;
    /* Long: this test is to pass on a machine that has other things to do. */
    o->token_ns = 300 * second_ns;
    o->token_retransmit_ns = 50 * second_ns;
    o->consensus_ns = second_ns;
    o->join_ns = o->hold_ns = o->merge_ns = second_ns / 10;
    make_net(n, at, &parts);
    make_core(n, &parts);
    CHECK(ringstate_open(&parts.ringstate, n->dir, "counts", &ring_seq, error,
                         sizeof error) == 0);
    make_server(n, at, &parts);
    parts.signal_fd = eventfd(0, EFD_NONBLOCK); /* never readable */
    CHECK(loop_open(&parts.loop) == 0 && parts.signal_fd >= 0);
    make_protocol(n, &parts);
}

static void node_close(struct node *n)
{
    struct protocol_parts p = n->p->p;
    char path[96];
    server_close(p.server);
    totem_free(p.totem);
    group_free(p.group);
    seal_free(p.seal);
    net_close(p.net);
    loop_close(p.loop);
    ringstate_close(p.ringstate);
    close(p.signal_fd);
    free(n->p);
    snprintf(path, sizeof path, "%s/ring-counts", n->dir);
    unlink(path);
    rmdir(n->dir);
}

static void nodes_round(void)
{
    int before = place;
    enum stage at = stage_enter(POLL);
    for (place = 0; place < NODES; place++)
        round_once(nodes[place].p);
    place = before;
    stage = at;
    rounds++;
}

/* --- instruction by instruction ------------------------------------------- */

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) &&                   \
    !defined(__SANITIZE_THREAD__)
enum { TRAP_FLAG = 0x100, STEPPABLE = 1 };

static _Atomic bool stepping;

/* The instruction at `at` is about to be executed. */
static void look(const uint8_t *at)
{
    while (*at == 0x66 || *at == 0xf2 || *at == 0xf3 || *at == 0x2e ||
           *at == 0x3e || *at == 0x64 || *at == 0x65)
        at++;
    bool lock = *at == 0xf0;
    if ((*at & 0xf0) == 0x40)
        at++;
    /* An exchange with memory is locked without being told so. */
    if (lock || ((*at == 0x86 || *at == 0x87) && at[1] < 0xc0))
        add(&here()->locked, 1);
    if (at[0] == 0x0f && at[1] == 0x05)
        add(&here()->entries, 1);
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    greg_t *flags = &u->uc_mcontext.gregs[REG_EFL];
    (void)signal, (void)info;
    if (!stepping) {
        *flags &= ~TRAP_FLAG;
        return;
    }
    *flags |= TRAP_FLAG;
    look((const uint8_t *)(uintptr_t)u->uc_mcontext.gregs[REG_RIP]);
}

static void step_begin(void)
{
    struct sigaction a = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &a, NULL);
    stepping = true;
    raise(SIGTRAP); /* from its end on */
    counts_clear();
}

static void step_end(void)
{
    stepping = false;
}
#else
enum { STEPPABLE = 0 };
#define step_begin() (void)0
#define step_end() (void)0
#endif

/* --- what is expected ----------------------------------------------------- */

static unsigned skipped;

/* The messages that were counted. */
struct run {
    const char *path;
    uint64_t messages;
    size_t size;
};

/* Letting clients in and out is no path of a message. */
static inline void allocations_none(void)
{
    for (int n = 0; n < NODES; n++)
        for (int s = SUBMIT; s < STAGES; s++)
            if (s != ADMIT)
                CU_ASSERT_EQUAL(counts[n][s].allocations, 0);
}

/* True, and told, if it cannot be tested here. */
static inline bool skips(bool can, const char *what)
{
    if (can)
        return false;
    printf("SKIP %s\n", what);
    skipped++;
    return true;
}

static inline struct server_stats stats(int at)
{
    return *server_stats_get(nodes[at].p->p.server);
}

/* What the modules say of themselves. */
struct figures {
    uint64_t send_calls, receive_calls, wakes, doorbells, rounds;
};

static inline struct figures figures_of(int node)
{
    const struct protocol_parts *p = &nodes[node].p->p;
    const struct net_stats *n = net_stats_get(p->net);
    return (struct figures){.send_calls = n->send_calls,
                            .receive_calls = n->receive_calls,
                            .wakes = server_stats_get(p->server)->wakes,
                            .doorbells = server_stats_get(p->server)->doorbells,
                            .rounds = rounds};
}

static struct figures begun[NODES];

/* At most `each` for a message and `once` for all of them; the C library takes
 * up to two for each system call. */
static inline void expect_locked(const struct run *r, int node, enum stage s,
                                 uint64_t each, uint64_t once)
{
    const struct counts *c = &counts[node][s];
    printf("    %-22s %-9s node %d: %5.2f locked instructions, and %g calls\n",
           r->path, stage_names[s], node + 1,
           (double)c->locked / (double)r->messages, (double)c->entries);
    CU_ASSERT(c->locked <= each * r->messages + once + 2 * c->entries);
}

/* What entered the kernel was a function that is wrapped. */
static inline void entries_known(void)
{
    for (int n = 0; n < NODES; n++)
        for (int s = SUBMIT; s < STAGES; s++)
            if (s != WORKER && s != ADMIT &&
                counts[n][s].entries != counts[n][s].calls) {
                printf("    %s: %g calls, %g entries\n", stage_names[s],
                       (double)counts[n][s].calls,
                       (double)counts[n][s].entries);
                CU_FAIL("a call that is not wrapped");
            }
}

static const char steps_why[] =
    "locked instructions: x86-64 without sanitizers only";

/* --- is the list of wrapped functions whole? -------------------------------
 */

/* What the objects on these paths may ask for beside each other and what is
 * wrapped: none of these enters the kernel but at the start and at the end. The
 * clock is read without; locks enter it only when two threads want one. */
static const char *const allowed =
    "(EVP|OSSL_PARAM|urcu_qsbr|(__)?cds_wfcq)_.*|CRYPTO_memcmp|abort|"
    "_GLOBAL_OFFSET_TABLE_|__errno_location|explicit_bzero|mem(cmp|set)|"
    "snprintf|str(error|len)|clock_gettime|pthread_(atfork|join|once|self|"
    "(mutex|cond)(attr)?_[a-z]*)|epoll_c(tl|reate1)|eventfd|socket|socketpair|"
    "connect|inet_ntop|"
    "(get|set)rlimit|setsockopt|shutdown|close|getrandom|munmap";

/* What the objects ask for, less what ours define and what is wrapped. */
static inline void list_whole(const char *objects)
{
    char self[256], command[3072];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    CU_ASSERT_FATAL(n > 0);
    self[n] = '\0';
    if (skips(STEPPABLE && system("nm --version >/dev/null 2>&1") == 0,
              "list of wrapped functions: no nm, or a sanitizer's own"))
        return;
    n = snprintf(
        command, sizeof command,
        "export LC_ALL=C A='%s/ours' B='%s/asked' C='%s'; "
        "cd \"$(dirname '%s')/..\" || exit 1; "
        "{ nm --defined-only -g daemon/*/*.o config/*.o ipc/*.o api/*.o; "
        "nm 'unit%s' | sed -n 's/ __wrap_/ /p'; } | "
        "awk 'NF == 3 { print $3 }' | sort -u >$A; "
        "nm -u %s | awk 'NF == 2 { print $2 }' | sort -u | comm -23 - $A >$B; "
        "[ $(grep -cEx \"$C\" $B) -gt 20 ] || echo too few >>$B; "
        "! grep -Evx \"$C\" $B; e=$?; rm $A $B; exit $e",
        directory, directory, allowed, self, strrchr(self, '/'), objects);
    CU_ASSERT_FATAL(n > 0 && (size_t)n < sizeof command);
    fflush(stdout);
    CU_ASSERT_EQUAL(system(command), 0);
}

/* --- running ---------------------------------------------------------------
 */

/* Both nodes, in one ring. */
static void nodes_begin(void)
{
    uint64_t end = loop_now_ns() + 20 * second_ns;

    drives = true;
    for (size_t i = 0; i < NODES; i++)
        addresses[i].s_addr = htonl(0x7f000002 + (uint32_t)i);
    for (int i = 0; i < NODES; i++)
        node_open(i);
    while ((nodes[0].p->report.member_count < NODES ||
            nodes[1].p->report.member_count < NODES) &&
           loop_now_ns() < end)
        nodes_round();
    CHECK(nodes[1].p->report.member_count == NODES);
}

static int counts_main(const char *name, const struct unit_test *tests,
                       size_t count, void (*end)(void))
{
    CRYPTO_set_mem_functions(library_malloc, library_realloc, library_free);
    if (mkdtemp(directory) == NULL || CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite suite = CU_add_suite(name, NULL, NULL);
    for (size_t i = 0; i < count; i++)
        if (CU_add_test(suite, tests[i].name, tests[i].run) == NULL)
            return 2;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    end();
    for (int i = 0; i < NODES; i++)
        node_close(&nodes[i]);
    rmdir(directory);
    unsigned failed = CU_get_number_of_tests_failed();
    unsigned run = CU_get_number_of_tests_run();
    CU_cleanup_registry();
    run -= failed + skipped;
    printf("\n%u passed, %u failed, %u skipped\n", run, failed, skipped);
    return failed > 0;
}

#endif
