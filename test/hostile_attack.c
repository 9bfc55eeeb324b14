/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile_attack.c - the attackers of the hostile test. Each kind is a function
 * that is called again and again for the attacker's short life. All speak to
 * the daemon past the library; reach() is where one may come to its end. Those
 * that attack the handshake, and what is not theirs, are here too. */
#include "test/hostile_attack.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- an attacker's connection --------------------------------------------- */

static struct hostile_slot *mine; /* this attacker's */

struct attacker me = {.socket = -1};

/* Comes to its end here, if that is its fate. */
static void reach(enum step step)
{
    mine->step = step;
    if (step != mine->halt || mine->fate == FATE_LIVE)
        return;
    shared->reached[mine->fate][step]++;
    if (mine->fate == FATE_KILL)
        raise(SIGKILL);
    if (mine->fate == FATE_STOP)
        raise(SIGSTOP);
    for (;;)
        pause(); /* the parent seizes it, and kills it in the end */
}

void detach(void)
{
    segment_unmap(&me.segment);
    while (me.fd_count > 0)
        close(me.fds[--me.fd_count]);
    if (me.socket >= 0)
        close(me.socket);
    me.socket = -1;
}

int raw_connect(void)
{
    struct timeval patience = {.tv_sec = 2};
    struct sockaddr_un address;
    int fd;

    if (channel_address(&address, channel_run_dir()) != 0)
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    reach(STEP_SOCKET);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    reach(STEP_CONNECTED);
    return fd;
}

struct ipc_hello good_hello(uint32_t submit, uint32_t event)
{
    return (struct ipc_hello){.magic = IPC_MAGIC,
                              .version = IPC_VERSION,
                              .size = sizeof(struct ipc_hello),
                              .service = IPC_SERVICE_EVS,
                              .submit_size = submit,
                              .event_size = event};
}

static void open_rings(void)
{
    struct segment *g = &me.segment;

    ring_producer_init(&me.submit, words(SEGMENT_SUBMIT),
                       g->data[SEGMENT_SUBMIT], g->ring_size[SEGMENT_SUBMIT]);
    ring_producer_init(&me.query, words(SEGMENT_QUERY), g->data[SEGMENT_QUERY],
                       g->ring_size[SEGMENT_QUERY]);
    ring_consumer_init(&me.reply, words(SEGMENT_REPLY), g->data[SEGMENT_REPLY],
                       g->ring_size[SEGMENT_REPLY]);
    ring_consumer_init(&me.event, words(SEGMENT_EVENT), g->data[SEGMENT_EVENT],
                       g->ring_size[SEGMENT_EVENT]);
    ring_consumer_init(&me.answer, words(SEGMENT_ANSWER),
                       g->data[SEGMENT_ANSWER], g->ring_size[SEGMENT_ANSWER]);
}

bool take_welcome(void)
{
    const struct ipc_welcome *w = &me.welcome;
    long n = channel_receive(me.socket, &me.welcome, sizeof me.welcome, me.fds,
                             IPC_FDS_MAX, &me.fd_count, true);

    if (n != sizeof me.welcome || w->result != IPC_OK) {
        shared->refused[mine->kind]++;
        if (n == sizeof me.welcome && me.fd_count != 0)
            violation("descriptors came with a refusal");
        return false;
    }
    shared->admitted[mine->kind]++;
    reach(STEP_WELCOME);
    uint32_t sizes[SEGMENT_RINGS] = {w->submit_size, w->reply_size,
                                     w->event_size, w->query_size,
                                     w->answer_size};
    if (me.fd_count != (w->arena_size > 0 ? IPC_FDS_MAX : IPC_FDS) ||
        segment_map(&me.segment, me.fds[IPC_FD_SEGMENT], sizes) != 0) {
        violation("a welcome that cannot be used");
        return false;
    }
    open_rings();
    reach(STEP_MAPPED);
    return true;
}

bool attach_with(struct ipc_hello hello)
{
    const size_t half = 9;

    me.socket = raw_connect();
    if (me.socket < 0)
        return false;
    if (channel_send(me.socket, &hello, half, NULL, 0, true) == 0) {
        reach(STEP_HALF_HELLO);
        channel_send(me.socket, (char *)&hello + half, sizeof hello - half,
                     NULL, 0, true);
        reach(STEP_HELLO);
        if (take_welcome())
            return true;
    }
    detach();
    pause_us(5000); /* there may be too many of its user */
    return false;
}

bool attach(void)
{
    struct ipc_hello hello = good_hello(1, 1);

    /* At times of another service, to which all of this is foreign. */
    if (below(6) == 0)
        hello.service = below(2) == 0 ? IPC_SERVICE_CLM : IPC_SERVICE_CKPT;
    return attach_with(hello);
}

bool sent_away(void)
{
    struct pollfd p = {.fd = me.socket, .events = POLLRDHUP};

    if (poll(&p, 1, 0) <= 0 || (p.revents & (POLLRDHUP | POLLHUP)) == 0)
        return false;
    shared->ended++;
    return true;
}

/* --- what attackers say --------------------------------------------------- */

void ring_bell(enum ipc_fd which)
{
    const uint64_t one = 1;
    struct pollfd p = {.fd = me.fds[which], .events = POLLOUT};

    /* It may have been made to block by an attack of its own. */
    if (poll(&p, 1, 0) > 0) {
        ssize_t n = write(me.fds[which], &one, sizeof one);
        (void)n;
    }
}

bool put(struct ring_producer *ring, uint32_t type, const void *data,
         uint32_t n, uint32_t size)
{
    uint8_t *at = ring_claim(ring, size);

    if (at == NULL)
        return false;
    memcpy(at, data, n);
    reach(STEP_CLAIMED);
    ring_push(ring, type, size);
    reach(STEP_PUSHED);
    ring_publish(ring);
    reach(STEP_PUBLISHED);
    ring_bell(ring == &me.query ? IPC_FD_QUERY_BELL : IPC_FD_BELL);
    reach(STEP_RUNG);
    return true;
}

bool put_message(char name, uint32_t size)
{
    struct {
        struct ipc_evs_mcast head;
        uint8_t groups[3];
    } m = {.head = {.guarantee = rnd() % 4, .groups_size = 3},
           .groups = {1, 1, (uint8_t)name}};
    const uint32_t fixed = sizeof m.head + sizeof m.groups;

    return put(&me.submit, IPC_SUBMIT_EVS_MCAST, &m, fixed, fixed + size);
}

bool put_groups(uint32_t type, uint32_t count)
{
    struct {
        struct ipc_evs_groups head;
        char keys[IPC_GROUPS_PER_CALL_MAX][IPC_GROUP_KEY_SIZE];
    } g = {.head = {.count = count}};

    for (uint32_t i = 0; i < count; i++)
        snprintf(g.keys[i], sizeof g.keys[i], "%c%u", 'a' + (char)below(4),
                 below(4));
    return put(&me.submit, type, &g,
               (uint32_t)(sizeof g.head + count * sizeof g.keys[0]),
               (uint32_t)(sizeof g.head + count * sizeof g.keys[0]));
}

bool join_noise(void)
{
    struct {
        struct ipc_evs_groups head;
        char key[IPC_GROUP_KEY_SIZE];
    } g = {.head = {.count = 1}, .key = "n"};

    return put(&me.submit, IPC_SUBMIT_EVS_JOIN, &g, sizeof g, sizeof g);
}

bool put_query(void)
{
    const struct ipc_evs_groups_from from = {.from = below(100)};

    if (rnd() % 2 == 0)
        return put(&me.query, IPC_QUERY_EVS_MEMBERS, &from, 0, 0);
    return put(&me.query, IPC_QUERY_EVS_GROUPS, &from, sizeof from,
               sizeof from);
}

void skip_all(struct ring_consumer *ring)
{
    const uint8_t *body;

    for (int i = 0; i < 1000 && ring_peek(ring, &body) == RING_RECORD; i++)
        ring_advance(ring);
    ring_release(ring);
}

uint64_t bad_word(void)
{
    switch (below(6)) {
    case 0:
        return rnd();
    case 1:
        return below(4096);
    case 2:
        return below(4096) * 8;
    case 3:
        return (uint64_t)1 << below(64);
    case 4:
        return ((uint64_t)1 << below(32)) - 8 * below(4);
    default:
        return 0 - (uint64_t)below(64);
    }
}

/* --- attacks on the handshake --------------------------------------------- */

/* Connections that say nothing, half a hello, or go at once. */
static void attack_flood(void)
{
    int fds[100];
    struct ipc_hello hello = good_hello(0, 0);
    int how = (int)below(3);

    for (int i = 0; i < 100; i++) {
        fds[i] = raw_connect();
        if (fds[i] >= 0 && how > 0)
            channel_send(fds[i], &hello, how == 1 ? 11 : sizeof hello, NULL, 0,
                         false);
        if (fds[i] >= 0 && how == 2) {
            close(fds[i]);
            fds[i] = -1;
        }
    }
    pause_us((long)below(300000));
    for (int i = 0; i < 100; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void attack_slow_hello(void)
{
    struct ipc_hello hello = good_hello(1, 1);

    me.socket = raw_connect();
    if (me.socket < 0)
        return;
    for (size_t i = 0; i < sizeof hello; i++) {
        channel_send(me.socket, (char *)&hello + i, 1, NULL, 0, true);
        pause_us((long)below(20000));
    }
    if (take_welcome())
        join_noise();
    detach();
}

static void attack_garbage_hello(void)
{
    uint8_t noise[600];

    for (int round = 0; round < 50; round++) {
        struct ipc_hello h =
            good_hello((uint32_t)bad_word(), (uint32_t)bad_word());
        uint32_t *fields[] = {&h.magic, &h.version, &h.size, &h.service};
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (uint8_t)rnd();
        if (below(4) != 0) {
            *fields[below(4)] = (uint32_t)bad_word();
            memcpy(noise, &h, sizeof h);
        }
        me.socket = raw_connect();
        if (me.socket < 0)
            return;
        channel_send(me.socket, noise,
                     below(3) == 0 ? 1 + below(sizeof noise) : sizeof h, NULL,
                     0, false);
        fcntl(me.socket, F_SETFL, O_NONBLOCK);
        pause_us((long)below(2000));
        take_welcome();
        detach();
    }
}

/* Wishes of all sizes: what is given stays within what the daemon has. */
static void attack_wishes(void)
{
    for (int i = 0; i < 40; i++) {
        uint32_t submit = (uint32_t)bad_word(), event = (uint32_t)bad_word();
        if (i % 4 == 0)
            submit = event = UINT32_MAX - below(2);
        if (!attach_with(good_hello(submit, event)))
            continue;
        if (me.welcome.submit_size > 4 << 20 ||
            me.welcome.event_size > 8 << 20 ||
            me.welcome.message_size_max >= me.welcome.submit_size)
            violation("wishes of %u and %u bytes gave rings of %u and %u",
                      submit, event, me.welcome.submit_size,
                      me.welcome.event_size);
        put_message('n', 100);
        detach();
    }
}

/* As many clients as it gets, held for a while, and never closed. */
static void attack_exhaust(void)
{
    for (int i = 0; i < 60; i++)
        if (attach()) {
            join_noise();
            me.fd_count = 0;
            me.socket = -1;
            me.segment.shared = NULL; /* stays mapped until the end */
            memset(&me.segment, 0, sizeof me.segment);
        }
    pause_us((long)below(500000));
    _exit(0);
}

/* --- attempts at what is not theirs --------------------------------------- */

/* Somebody who is nobody here: never admitted, and told why. */
static void attack_stranger(void)
{
    struct ipc_hello hello = good_hello(0, 0);

    for (int i = 0; i < 50; i++) {
        me.socket = raw_connect();
        if (me.socket < 0)
            return;
        channel_send(me.socket, &hello, sizeof hello, NULL, 0, true);
        if (take_welcome())
            violation("a stranger was admitted");
        else if (me.welcome.magic == IPC_MAGIC &&
                 me.welcome.result != IPC_ERR_ACCESS)
            violation("a stranger was told %u", me.welcome.result);
        detach();
    }
}

static void try_proc(const char *what, int flags)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)opt.daemon, what);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0) {
        violation("%s opened as uid %u", path, (unsigned)getuid());
        close(fd);
    }
}

static void attack_proc(void)
{
    char buffer[64];
    struct iovec here = {buffer, sizeof buffer}, there = {&opt, sizeof buffer};

    if (!opt.can_setuid)
        return;
    try_proc("mem", O_RDWR);
    try_proc("mem", O_RDONLY);
    try_proc("maps", O_RDONLY);
    try_proc("environ", O_RDONLY);
    try_proc("fd", O_RDONLY);
    try_proc("map_files", O_RDONLY);
    if (process_vm_readv(opt.daemon, &here, 1, &there, 1, 0) >= 0)
        violation("the daemon's memory was read");
    if (ptrace(PTRACE_SEIZE, opt.daemon, NULL, NULL) == 0)
        violation("the daemon was traced");
    if (kill(opt.daemon, 0) == 0)
        violation("the daemon could be signalled");
    int pidfd = (int)syscall(SYS_pidfd_open, opt.daemon, 0);
    for (int i = 0; pidfd >= 0 && i < 64; i++)
        if (syscall(SYS_pidfd_getfd, pidfd, i, 0) >= 0)
            violation("a descriptor of the daemon was taken");
    if (pidfd >= 0)
        close(pidfd);
    pause_us(20000);
}

/* Does anything it can map hold what honest clients tell each other? */
static void look_for_secret(void)
{
    if (me.segment.shared == NULL)
        return;
    for (unsigned i = 0; i < SEGMENT_RINGS; i++)
        if (memmem(me.segment.data[i], me.segment.ring_size[i], shared->secret,
                   SECRET_SIZE) != NULL)
            violation("ring %u of a client holds another client's data", i);
}

static void attack_snoop(void)
{
    if (!attach_with(good_hello(0, 0)))
        return;
    join_noise();
    for (int i = 0; i < 20 && !sent_away(); i++) {
        put_query();
        put_groups(IPC_SUBMIT_EVS_JOIN, below(50));
        /* What was there before, shown again by a position moved back. */
        atomic_store(&words(SEGMENT_EVENT)->head, i % 4 == 0 ? bad_word() : 0);
        pause_us(10000);
        look_for_secret();
    }
    detach();
}

/* --- all of them ---------------------------------------------------------- */

const struct kind kinds[] = {
    {"scribble", attack_scribble, MEMBER, ADMITTED},
    {"changing", attack_changing, MEMBER, ADMITTED},
    {"positions", attack_positions, MEMBER, ADMITTED},
    {"sleepers", attack_sleepers, MEMBER, ADMITTED},
    {"pages", attack_pages, MEMBER, ADMITTED},
    {"records", attack_records, MEMBER, ADMITTED},
    {"large", attack_large, MEMBER, ADMITTED},
    {"noise", attack_noise, MEMBER, ADMITTED},
    {"deaf", attack_deaf, MEMBER, ADMITTED},
    {"requests", attack_requests, MEMBER, ADMITTED},
    {"unread", attack_requests_unread, MEMBER, ADMITTED},
    {"drain", attack_drain, MEMBER, ADMITTED},
    {"sparse", attack_sparse, MEMBER, ADMITTED},
    {"bells", attack_bells, MEMBER, ADMITTED},
    {"descriptors", attack_descriptors, MEMBER, ADMITTED},
    {"send-fds", attack_send_fds, MEMBER, ADMITTED},
    {"bury-fds", attack_bury_fds, MEMBER, ADMITTED},
    {"urgent", attack_urgent, MEMBER, ADMITTED},
    {"half-closed", attack_half_closed, MEMBER, ADMITTED},
    {"clm-flags", attack_clm_flags, MEMBER, ADMITTED},
    {"clm-changing", attack_clm_changing, MEMBER, ADMITTED},
    {"clm-unread", attack_clm_unread, MEMBER, ADMITTED},
    {"clm-gets", attack_clm_gets, MEMBER, ADMITTED},
    {"clm-stops", attack_clm_stops, MEMBER, ADMITTED},
    {"clm-queries", attack_clm_queries, MEMBER, ADMITTED},
    {"foreign", attack_foreign, MEMBER, ADMITTED},
    {"ckpt-records", attack_ckpt_records, MEMBER, ADMITTED},
    {"ckpt-changing", attack_ckpt_changing, MEMBER, ADMITTED},
    {"ckpt-writes", attack_ckpt_writes, MEMBER, ADMITTED},
    {"ckpt-handles", attack_ckpt_handles, MEMBER, ADMITTED},
    {"ckpt-arena", attack_ckpt_arena, MEMBER, ADMITTED},
    {"ckpt-opens", attack_ckpt_opens, MEMBER, ADMITTED},
    {"ckpt-requests", attack_ckpt_requests, MEMBER, ADMITTED},
    {"ckpt-queries", attack_ckpt_queries, MEMBER, ADMITTED},
    {"ckpt-death", attack_ckpt_death, MEMBER, ADMITTED},
    {"flood", attack_flood, MEMBER, NEITHER},
    {"slow-hello", attack_slow_hello, MEMBER, ADMITTED},
    {"garbage-hello", attack_garbage_hello, MEMBER, REFUSED},
    {"wishes", attack_wishes, MEMBER, ADMITTED},
    {"exhaust", attack_exhaust, OTHER_MEMBER, ADMITTED},
    {"stranger", attack_stranger, STRANGER, REFUSED},
    {"proc", attack_proc, STRANGER, NEITHER},
    {"snoop", attack_snoop, MEMBER, ADMITTED}};
const unsigned kind_count = sizeof kinds / sizeof *kinds;
_Static_assert(sizeof kinds / sizeof *kinds <= KINDS_MAX, "counts of each");

void attacker_run(struct hostile_slot *s, uint64_t seed)
{
    const struct kind *k = &kinds[s->kind];
    uid_t uid = k->who == STRANGER ? 65534 : opt.uid + (k->who == OTHER_MEMBER);
    gid_t gid = k->who == STRANGER ? 65534 : opt.gid;

    chance = seed;
    mine = s;
    signal(SIGPIPE, SIG_IGN);
    if (opt.can_setuid &&
        (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 ||
         setresuid(uid, uid, uid) != 0))
        _exit(3);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the change of user, which clears
                                         it */
    nice(10); /* the daemon is to be slow, not the machine */
    while (now_ns() < s->end_ns)
        k->attack();
    _exit(0);
}
