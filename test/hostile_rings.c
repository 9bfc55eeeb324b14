/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile_rings.c - attackers that were let in: on the memory they share with
 * the daemon, by records, and on the descriptors they were given. */
#include "test/hostile_attack.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- attacks on the memory ------------------------------------------------ */

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

void attack_scribble(void)
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
void attack_changing(void)
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
void attack_positions(void)
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
void attack_sleepers(void)
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
void attack_pages(void)
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

void attack_records(void)
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
void attack_large(void)
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
void attack_noise(void)
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

void attack_deaf(void)
{
    if (!attach())
        return;
    join_noise();
    for (int i = 0; i < 3000 && !sent_away(); i++)
        pause_us(1000);
    detach();
}

void attack_requests(void)
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

void attack_requests_unread(void)
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

/* --- floods --------------------------------------------------------------- */

/* Reads nothing, and says that it has read all. */
static void drain_replies(void)
{
    struct ring_shared *w = words(SEGMENT_REPLY);
    const uint64_t end = now_ns() + 3000000000;

    while (now_ns() < end)
        for (int i = 0; i < 1000; i++)
            atomic_store(&w->head, atomic_load(&w->tail));
}

/* As many joins and leaves of no group or one as there is room for. It rings
 * only if it must: what comes at a bell is not taken by a visit. */
static void put_many_requests(void)
{
    struct {
        struct ipc_evs_groups head;
        char key[IPC_GROUP_KEY_SIZE];
    } g = {.head = {.count = 0}, .key = "d"};
    void *at;

    for (uint32_t i = 0; (at = ring_claim(&me.submit, sizeof g)) != NULL; i++) {
        g.head.count = i % 8 == 0;
        uint32_t size = g.head.count > 0 ? sizeof g : sizeof g.head;
        memcpy(at, &g, size);
        ring_push(&me.submit,
                  i % 16 < 8 ? IPC_SUBMIT_EVS_JOIN : IPC_SUBMIT_EVS_LEAVE,
                  size);
    }
    if (ring_publish(&me.submit) || ring_nudge(&me.submit))
        ring_bell(IPC_FD_BELL);
}

/* Requests without end, whose replies always find room: a second process says
 * that they were read. Every visit has as many as one may have. */
void attack_drain(void)
{
    for (int round = 0; round < 20 && attach_with(good_hello(1 << 18, 1));
         round++) {
        put_groups(IPC_SUBMIT_EVS_JOIN, 1);
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            drain_replies();
            _exit(0);
        }
        pause_us(200); /* it has begun */
        for (int i = 0; i < 100000 && (i % 64 != 0 || !sent_away()); i++)
            put_many_requests();
        if (child > 0) {
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
        }
        detach();
    }
}

enum {
    HANDLES = 8,
    CALLS = 5,          /* joins of 50 groups, for each handle */
    ASK_AT_ONCE = 3,    /* the largest answers that fit in the ring */
    TABLE_MAX = 1 << 20 /* more groups than any daemon has */
};

/* Joins or leaves 50 groups that nobody else has. */
static void put_own_groups(uint32_t type, uint32_t handle, uint32_t call)
{
    struct {
        struct ipc_evs_groups head;
        char keys[IPC_GROUPS_PER_CALL_MAX][IPC_GROUP_KEY_SIZE];
    } g = {.head = {.count = IPC_GROUPS_PER_CALL_MAX}};

    for (uint32_t i = 0; i < IPC_GROUPS_PER_CALL_MAX; i++)
        snprintf(g.keys[i], sizeof g.keys[i], "s%d.%u.%u.%u", (int)getpid(),
                 handle, call, i);
    put(&me.submit, type, &g, sizeof g, sizeof g);
}

static struct lister {
    struct attacker at;
    uint32_t from, awaited; /* the place asked for, answers to come */
} listers[HANDLES];

/* Fills a stretch of the table of groups, and empties it again but for a few at
 * its end: who lists the groups must look at all of its places. */
static uint32_t make_sparse(void)
{
    uint32_t n = 0;

    while (n < HANDLES && attach_with(good_hello(1, 1))) {
        for (uint32_t call = 0; call < CALLS; call++)
            put_own_groups(IPC_SUBMIT_EVS_JOIN, n, call);
        listers[n++] = (struct lister){.at = me};
        me = (struct attacker){.socket = -1};
    }
    for (uint32_t i = 0; i < n; i++) {
        me = listers[i].at;
        for (uint32_t call = 0; call < CALLS - (i == n - 1); call++)
            put_own_groups(IPC_SUBMIT_EVS_LEAVE, i, call);
        listers[i].at = me;
    }
    return n;
}

/* An answer goes on behind the place that was asked for, or was the last. */
static void check_list(const struct lister *l, const uint8_t *body)
{
    const uint32_t size = me.answer.record.size;
    struct ipc_evs_group_list list;

    memcpy(&list, body, sizeof list);
    if (list.reply.done > IPC_GROUP_INFOS_MAX ||
        size !=
            sizeof list + list.reply.done * sizeof(struct ipc_evs_group_info) ||
        (list.next != 0 && list.next <= l->from) || list.next > TABLE_MAX)
        violation("%u bytes list %u groups from %u, next %u", size,
                  list.reply.done, l->from, list.next);
}

/* Reads what has come, and asks again when all has. */
static void go_on_listing(struct lister *l)
{
    struct ipc_evs_groups_from q;
    uint32_t next = l->from;
    const uint8_t *body;

    while (l->awaited > 0 && ring_peek(&me.answer, &body) == RING_RECORD) {
        check_list(l, body);
        memcpy(&next, body + offsetof(struct ipc_evs_group_list, next),
               sizeof next);
        ring_advance(&me.answer);
        l->awaited--;
    }
    ring_release(&me.answer);
    if (l->awaited > 0)
        return;
    q = (struct ipc_evs_groups_from){.from = l->from = next};
    while (l->awaited < ASK_AT_ONCE &&
           put(&me.query, IPC_QUERY_EVS_GROUPS, &q, sizeof q, sizeof q))
        l->awaited++;
}

/* Lists a long table, of which most places are empty, on many handles. */
void attack_sparse(void)
{
    const uint32_t n = make_sparse();
    const uint64_t end = now_ns() + 500000000;

    while (n > 0 && now_ns() < end)
        for (uint32_t i = 0; i < n; i++) {
            me = listers[i].at;
            go_on_listing(&listers[i]);
            listers[i].at = me;
        }
    for (uint32_t i = 0; i < n; i++) {
        me = listers[i].at;
        detach();
    }
}

/* --- attacks on descriptors ----------------------------------------------- */

void attack_bells(void)
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
void attack_descriptors(void)
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
void attack_send_fds(void)
{
    struct ipc_hello hello = good_hello(1, 1);
    int fds[CHANNEL_FDS_MAX];

    for (int round = 0; round < 20; round++) {
        me.socket = raw_connect();
        if (me.socket < 0)
            return;
        for (int i = 0; i < CHANNEL_FDS_MAX; i++)
            fds[i] = me.socket;
        /* The kernel may refuse them. */
        if (channel_send(me.socket, &hello, 10, fds, CHANNEL_FDS_MAX, true) !=
            0)
            channel_send(me.socket, &hello, sizeof hello, NULL, 0, true);
        else
            channel_send(me.socket, (char *)&hello + 10, sizeof hello - 10, fds,
                         1, true);
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
void attack_bury_fds(void)
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
void attack_urgent(void)
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
void attack_half_closed(void)
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
