/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile_attack.c - the attackers of the hostile test. Each kind is a function
 * that is called again and again for the attacker's short life. All speak to
 * the daemon past the library; reach() is where one may come to its end. */
#include "test/hostile.h"

#include "ipc/channel.h"
#include "ipc/ring.h"
#include "ipc/segment.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- an attacker's connection --------------------------------------------- */

static struct hostile_slot *mine; /* this attacker's */

static struct {
    int socket, fds[IPC_FDS];
    size_t fd_count;
    struct ipc_welcome welcome;
    struct segment segment;
    struct ring_producer submit, query;
    struct ring_consumer reply, event, answer;
    bool open;
} me = {.socket = -1};

static struct ring_shared *words(unsigned ring)
{
    return &me.segment.shared->rings[ring];
}

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

static void detach(void)
{
    segment_unmap(&me.segment);
    while (me.fd_count > 0)
        close(me.fds[--me.fd_count]);
    if (me.socket >= 0)
        close(me.socket);
    me.socket = -1;
    me.open = false;
}

static int raw_connect(void)
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

static struct ipc_hello good_hello(uint32_t submit, uint32_t event)
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

/* Reads the welcome of `me.socket` and maps what came with it. */
static bool take_welcome(void)
{
    const struct ipc_welcome *w = &me.welcome;
    long n = channel_receive(me.socket, &me.welcome, sizeof me.welcome, me.fds,
                             IPC_FDS, &me.fd_count, true);

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
    if (me.fd_count != IPC_FDS ||
        segment_map(&me.segment, me.fds[IPC_FD_SEGMENT], sizes) != 0) {
        violation("a welcome that cannot be used");
        return false;
    }
    open_rings();
    reach(STEP_MAPPED);
    me.open = true;
    return true;
}

static bool attach_with(struct ipc_hello hello)
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

/* Small rings: quickly full, and cheap. */
static bool attach(void)
{
    struct ipc_hello hello = good_hello(1, 1);

    /* At times of the other service, to which all of this is foreign. */
    if (below(6) == 0)
        hello.service = IPC_SERVICE_CLM;
    return attach_with(hello);
}

/* Has the daemon sent it away? */
static bool sent_away(void)
{
    struct pollfd p = {.fd = me.socket, .events = POLLRDHUP};

    if (poll(&p, 1, 0) <= 0 || (p.revents & (POLLRDHUP | POLLHUP)) == 0)
        return false;
    shared->ended++;
    return true;
}

/* --- what attackers say --------------------------------------------------- */

static void ring_bell(enum ipc_fd which)
{
    const uint64_t one = 1;
    struct pollfd p = {.fd = me.fds[which], .events = POLLOUT};

    /* It may have been made to block by an attack of its own. */
    if (poll(&p, 1, 0) > 0) {
        ssize_t n = write(me.fds[which], &one, sizeof one);
        (void)n;
    }
}

/* A record of `size` bytes, the first `n` of them given; false: no room. */
static bool put(struct ring_producer *ring, uint32_t type, const void *data,
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

/* A well-formed multicast to one group of a one-letter name. */
static bool put_message(char name, uint32_t size)
{
    struct {
        struct ipc_evs_mcast head;
        uint8_t groups[3];
    } m = {.head = {.guarantee = rnd() % 4, .groups_size = 3},
           .groups = {1, 1, (uint8_t)name}};
    const uint32_t fixed = sizeof m.head + sizeof m.groups;

    return put(&me.submit, IPC_SUBMIT_EVS_MCAST, &m, fixed, fixed + size);
}

static bool put_groups(uint32_t type, uint32_t count)
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

static bool join_noise(void)
{
    struct {
        struct ipc_evs_groups head;
        char key[IPC_GROUP_KEY_SIZE];
    } g = {.head = {.count = 1}, .key = "n"};

    return put(&me.submit, IPC_SUBMIT_EVS_JOIN, &g, sizeof g, sizeof g);
}

static bool put_query(void)
{
    const struct ipc_evs_groups_from from = {.from = below(100)};

    if (rnd() % 2 == 0)
        return put(&me.query, IPC_QUERY_EVS_MEMBERS, &from, 0, 0);
    return put(&me.query, IPC_QUERY_EVS_GROUPS, &from, sizeof from,
               sizeof from);
}

static void skip_all(struct ring_consumer *ring)
{
    const uint8_t *body;

    for (int i = 0; i < 1000 && ring_peek(ring, &body) == RING_RECORD; i++)
        ring_advance(ring);
    ring_release(ring);
}

/* --- attacks on the memory ------------------------------------------------ */

/* A word that makes trouble: noise, small, aligned, near a ring's size. */
static uint64_t bad_word(void)
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

static void scribble_once(void)
{
    uint64_t value = bad_word();

    if (below(3) == 0) {
        uint8_t *at = (uint8_t *)me.segment.shared;
        memcpy(at + below(SEGMENT_HEADER_SIZE - 8), &value, sizeof value);
    } else {
        uint32_t ring = below(SEGMENT_RINGS);
        uint32_t size = me.segment.ring_size[ring];
        uint32_t span = below(2) == 0 ? 512 : size; /* often where it is read */
        memcpy(me.segment.data[ring] + below(span), &value, sizeof value);
    }
}

static void attack_scribble(void)
{
    if (!attach())
        return;
    for (int i = 0; i < 200000 && (i % 64 != 0 || !sent_away()); i++) {
        scribble_once();
        if (i % 16 == 0)
            ring_bell(i % 32 == 0 ? IPC_FD_BELL : IPC_FD_QUERY_BELL);
    }
    detach();
}

/* A second process writes over what the first one sends in good order. */
static void attack_changing(void)
{
    if (!attach())
        return;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        uint8_t *at = me.segment.data[SEGMENT_SUBMIT];
        for (int i = 0; i < 20000000; i++) {
            uint32_t where = below(4096) & ~7u;
            uint32_t value = below(3) == 0 ? (uint32_t)bad_word() : below(64);
            memcpy(at + where + below(4) * 4, &value, sizeof value);
        }
        _exit(0);
    }
    join_noise();
    for (int i = 0; i < 20000 && (i % 16 != 0 || !sent_away()); i++) {
        put_message('n', 40 + below(2000));
        put_groups(IPC_SUBMIT_EVS_JOIN, below(5));
        put_query();
        skip_all(&me.reply);
        skip_all(&me.answer);
        skip_all(&me.event);
    }
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    detach();
}

/* Positions of every ring, one at a time. */
static void attack_positions(void)
{
    for (unsigned ring = 0; ring < SEGMENT_RINGS && attach(); ring++) {
        const bool head = rnd() % 2 != 0;
        join_noise();
        put_query();
        for (int i = 0; i < 300 && !sent_away(); i++) {
            struct ring_shared *w = words(ring);
            _Atomic uint64_t *at = head ? &w->head : &w->tail;
            uint64_t was = atomic_load(at);
            atomic_store(at, rnd() % 2 == 0 ? bad_word() : was + 8 * below(9));
            ring_bell(IPC_FD_BELL);
            ring_bell(IPC_FD_QUERY_BELL);
            put_message('n', 100);
            put_query();
        }
        detach();
    }
}

/* Announcements that nobody makes, while everything else is in order. */
static void attack_sleepers(void)
{
    static const uint32_t values[] = {0, 1, 2, 3, 0x80000000, UINT32_MAX};

    if (!attach())
        return;
    join_noise();
    for (int i = 0; i < 5000 && (i % 16 != 0 || !sent_away()); i++) {
        struct ring_shared *w = words(below(SEGMENT_RINGS));
        atomic_store(rnd() % 2 == 0 ? &w->asleep : &w->waiting,
                     values[below(6)]);
        put_message('n', below(200));
        put_query();
        put_groups(IPC_SUBMIT_EVS_JOIN, 0);
        skip_all(&me.reply);
        skip_all(&me.answer);
        skip_all(&me.event);
    }
    detach();
}

/* Takes its pages away under the daemon, and tries its size and seals. */
static void attack_pages(void)
{
    const int fd_of = IPC_FD_SEGMENT;

    if (!attach())
        return;
    int fd = me.fds[fd_of];
    if (ftruncate(fd, 4096) == 0 || ftruncate(fd, 1 << 30) == 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0)
        violation("a client resized or sealed its segment");
    join_noise();
    for (int i = 0; i < 3000 && (i % 16 != 0 || !sent_away()); i++) {
        off_t from = (off_t)below(64) * 4096;
        if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from,
                      4096 * (1 + below(8))) != 0)
            break;
        put_message('n', below(5000));
        put_query();
    }
    detach();
}

/* --- attacks by records --------------------------------------------------- */

/* A record whose numbers fit each other, or miss by little: its type. */
static uint32_t nearly_good(uint8_t *body, uint32_t *size)
{
    uint32_t count = below(2) == 0 ? 49 + below(4) : below(120);
    struct ipc_evs_groups g = {.count = count};
    struct ipc_evs_mcast m = {.guarantee = below(6), .groups_size = below(64)};

    if (below(2) == 0) {
        *size = (uint32_t)sizeof g + count * IPC_GROUP_KEY_SIZE;
        if (below(4) == 0)
            g.count += below(3) - 1;
        memcpy(body, &g, sizeof g);
        return below(2) == 0 ? IPC_SUBMIT_EVS_JOIN : IPC_SUBMIT_EVS_LEAVE;
    }
    *size = (uint32_t)sizeof m + m.groups_size + below(3);
    if (below(4) == 0)
        m.groups_size += 1 + below(4);
    memcpy(body, &m, sizeof m);
    return IPC_SUBMIT_EVS_MCAST;
}

static void attack_records(void)
{
    uint8_t noise[4096];

    for (int round = 0; round < 50 && attach(); round++) {
        struct ring_producer *ring = rnd() % 2 == 0 ? &me.submit : &me.query;
        uint32_t type = below(5), size = below(200);
        if (below(8) == 0)
            type = (uint32_t)bad_word();
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = below(2) == 0 ? 0 : (uint8_t)rnd();
        if (below(4) == 0)
            size = below(4000);
        if (below(2) == 0) {
            ring = &me.submit;
            type = nearly_good(noise, &size);
        }
        put(ring, type, noise, size, size);
        /* A header whose size is not what was claimed. */
        struct ring_record r = {.size = (uint32_t)bad_word(),
                                .type = 1 + below(3)};
        void *at = ring_claim(ring, 64);
        if (at != NULL) {
            ring_push(ring, r.type, 64);
            memcpy((uint8_t *)at - sizeof r, &r, sizeof r);
            ring_publish(ring);
        }
        ring_bell(IPC_FD_BELL);
        ring_bell(IPC_FD_QUERY_BELL);
        for (int i = 0; i < 20 && !sent_away(); i++)
            pause_us(1000);
        detach();
    }
}

/* As large as is allowed, larger, and never read. */
static void attack_large(void)
{
    if (!attach_with(good_hello(0, 1)))
        return;
    join_noise();
    for (int i = 0; i < 20 && !sent_away(); i++) {
        put_message('n', me.welcome.message_size_max);
        pause_us(2000);
    }
    put_message('n', me.welcome.message_size_max + 1);
    put(&me.submit, IPC_SUBMIT_EVS_MCAST, "", 1, me.welcome.submit_size - 4096);
    for (int i = 0; i < 100 && !sent_away(); i++)
        pause_us(1000);
    detach();
}

/* Sends to those that never read, as fast as it can. */
static void attack_noise(void)
{
    if (!attach_with(good_hello(1 << 18, 1)))
        return;
    for (int i = 0; i < 20000 && (i % 64 != 0 || !sent_away()); i++) {
        if (!put_message('n', below(3000)))
            pause_us(500);
        if (i == 0)
            put_message('h', 200); /* to the honest, who must not mind */
    }
    detach();
}

static void attack_deaf(void)
{
    if (!attach())
        return;
    join_noise();
    for (int i = 0; i < 3000 && !sent_away(); i++)
        pause_us(1000);
    detach();
}

static void attack_requests(void)
{
    if (!attach())
        return;
    for (int i = 0; i < 20000 && (i % 64 != 0 || !sent_away()); i++) {
        put_groups(rnd() % 2 == 0 ? IPC_SUBMIT_EVS_JOIN : IPC_SUBMIT_EVS_LEAVE,
                   below(IPC_GROUPS_PER_CALL_MAX + 1));
        put_query();
        skip_all(&me.reply);
        skip_all(&me.answer);
    }
    detach();
}

static void attack_requests_unread(void)
{
    for (int round = 0; round < 20 && attach(); round++) {
        bool queries = rnd() % 2 == 0;
        for (int i = 0; i < 5000 && !sent_away(); i++) {
            bool room = queries ? put_query()
                                : put_groups(IPC_SUBMIT_EVS_JOIN, below(3));
            if (!room)
                pause_us(200);
        }
        detach();
    }
}

/* --- attacks on descriptors ----------------------------------------------- */

static void attack_bells(void)
{
    const uint64_t one = 1, most = UINT64_MAX - 1;
    ssize_t n = 0;

    if (!attach())
        return;
    for (int i = 0; i < 50000 && (i % 256 != 0 || !sent_away()); i++) {
        const uint64_t *value = below(100) == 0 ? &most : &one;
        n += write(me.fds[rnd() % 2 == 0 ? IPC_FD_BELL : IPC_FD_QUERY_BELL],
                   value, sizeof *value);
    }
    detach();
}

/* Fills, blocks, shuts down and mixes up everything it was given. */
static void attack_descriptors(void)
{
    char noise[300] = {1};

    if (!attach())
        return;
    join_noise();
    for (int i = 0; i < 300 && !sent_away(); i++) {
        int fd = me.fds[1 + below(IPC_FDS - 1)];
        switch (below(6)) {
        case 0:
            for (int j = 0; j < 2000; j++)
                if (send(fd, noise, below(sizeof noise),
                         MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                    break;
            break;
        case 1: {
            uint64_t most = UINT64_MAX - 1;
            fcntl(fd, F_SETFL, O_NONBLOCK);
            ssize_t n = write(fd, &most, sizeof most);
            (void)n;
            fcntl(fd, F_SETFL, 0);
            break;
        }
        case 2:
            shutdown(fd, (int)below(3));
            break;
        case 3:
            dup2(me.fds[1 + below(IPC_FDS - 1)], fd);
            break;
        case 4:
            recv(fd, noise, sizeof noise, MSG_DONTWAIT);
            break;
        default:
            put_message('n', below(500));
            put_query();
            put_groups(IPC_SUBMIT_EVS_JOIN, 1);
            break;
        }
    }
    detach();
}

/* Descriptors with the hello, and after the welcome. */
static void attack_send_fds(void)
{
    struct ipc_hello hello = good_hello(1, 1);
    int fds[CHANNEL_FDS_MAX];

    for (int round = 0; round < 20; round++) {
        me.socket = raw_connect();
        if (me.socket < 0)
            return;
        for (int i = 0; i < CHANNEL_FDS_MAX; i++)
            fds[i] = me.socket;
        channel_send(me.socket, &hello, 10, fds, CHANNEL_FDS_MAX, true);
        channel_send(me.socket, (char *)&hello + 10, sizeof hello - 10, fds, 1,
                     true);
        if (take_welcome()) {
            for (int i = 0; i < CHANNEL_FDS_MAX; i++)
                fds[i] = me.fds[below(IPC_FDS)];
            for (int i = 0; i < 10; i++)
                channel_send(me.socket, "x", 1, fds, CHANNEL_FDS_MAX, false);
        }
        detach();
    }
}

/* Leaves its own socket in the queues of the pairs, whose other ends the daemon
 * holds: what lies there would keep the connection when all its processes are
 * gone. It joins nothing, so that the daemon has no other reason to end it. */
static void attack_bury_fds(void)
{
    static const enum ipc_fd pairs[] = {IPC_FD_REPLY, IPC_FD_ROOM,
                                        IPC_FD_ANSWER};

    for (int round = 0; round < 4 && attach(); round++) {
        for (int i = 0; i < 3; i++) {
            int fds[] = {me.socket, me.fds[below(IPC_FDS)]};
            channel_send(me.fds[pairs[i]], "x", 1, fds, 2, false);
        }
        detach();
    }
}

/* Out-of-band bytes on everything, which ordinary reads pass over. */
static void attack_urgent(void)
{
    if (!attach())
        return;
    for (int i = 0; i < 5000 && (i % 64 != 0 || !sent_away()); i++) {
        int fd = below(4) == 0 ? me.fds[IPC_FD_REPLY] : me.socket;
        send(fd, "!", 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    detach();
}

/* Half of the connection ends; the process goes on writing into its rings. */
static void attack_half_closed(void)
{
    if (!attach())
        return;
    join_noise();
    put_message('n', 50);
    shutdown(me.socket, below(2) == 0 ? SHUT_WR : SHUT_RDWR);
    for (int i = 0; i < 3000; i++) {
        put_message('n', below(300));
        put_query();
        put_groups(IPC_SUBMIT_EVS_JOIN, 1);
        scribble_once();
    }
    detach();
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
    {"bells", attack_bells, MEMBER, ADMITTED},
    {"descriptors", attack_descriptors, MEMBER, ADMITTED},
    {"send-fds", attack_send_fds, MEMBER, ADMITTED},
    {"bury-fds", attack_bury_fds, MEMBER, ADMITTED},
    {"urgent", attack_urgent, MEMBER, ADMITTED},
    {"half-closed", attack_half_closed, MEMBER, ADMITTED},
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
