/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop of the protocol thread. It sleeps in loop_wait(), and for at most a
 * millisecond in net_flush() when the kernel has no room; everything else it
 * calls neither waits, nor allocates in steady state, nor logs to a sink. */
#include "daemon/server/protocol.h"

#include "daemon/base/log.h"
#include "daemon/base/random.h"
#include "daemon/server/renew.h"
#include "daemon/server/report.h"
#include "ipc/spin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    DATAGRAM_SIZE_MAX = 65536,
    LEAVE_COUNT = 3,
    LOOKS_PER_POLL = 16, /* a system call costs as much as some looks */
};

/* How long the data socket is read before all else is looked at: a stranger
 * that fills it must not hold up the token, clients, timers and signals. */
static const uint64_t data_max_ns = 10000000;

/* How long after the last submission clients are expected to go on: two
 * wake-ups of a sleeping processor. */
static const uint64_t doze_ns = 100000;

/* Who spins without end at real-time priority is taken off the processor by the
 * kernel for 50 ms of each second, and starves the kernel's own threads there
 * before. */
static const uint64_t awake_max_ns = 20000000, rest_ns = 2500000;

/* Peers answer the hello within a round trip; the first join follows it. */
static const uint64_t hello_ns = 20000000;

/* Between two looks for silent peers, and for whether this node is silent. */
static const uint64_t peers_check_ns = 1000000000;

struct protocol {
    struct protocol_parts p;
    uint64_t now_ns, wake_ns, start_ns;
    uint64_t busy_ns, submitted;  /* when and what clients last submitted */
    uint64_t taken;               /* how much in one round then */
    struct spin spin;             /* for more of that */
    uint64_t slept_ns, rested_ns; /* last sleep; not to spin until */
    /* Of a round, loop_wait() not counted: ever, and since the last report. */
    uint64_t longest_round_ns, longest_lately_ns;
    uint64_t report_ns; /* of the next report_tick() */
    bool leaving;
    struct report report;
    struct renew renew;
    uint64_t peers_ns; /* of the next peers_check() */
    uint32_t member_count, members[TOTEM_NODES_MAX]; /* regular configuration */
    uint64_t ring_seq_noted;
    uint8_t plain[DATAGRAM_SIZE_MAX];
};

static void step(struct protocol *p, struct totem_in in);

/* --- outputs -------------------------------------------------------------- */

static void send_one(struct protocol *p, const struct totem_out *out,
                     const struct totem_send *send)
{
    struct net *net = p->p.net;
    uint8_t *room = net_claim(net, send->packet.n + SEAL_OVERHEAD);
    struct seal *seal = p->p.seal;
    switch (send->to) {
    case TOTEM_TO_NODE:
        /* The next member goes to work while the rest is sealed here. */
        net_commit_node(net,
                        seal_packet_to(seal, send->node_id, send->packet, room),
                        send->node_id);
        net_flush(net);
        break;
    case TOTEM_TO_RING:
        net_commit_ring(net, seal_packet(seal, send->packet, room), out->ring,
                        out->ring_count);
        break;
    case TOTEM_TO_ALL:
        net_commit_all(net, seal_packet(seal, send->packet, room));
        break;
    }
}

static void send_all(struct protocol *p, const struct totem_out *out)
{
    for (uint32_t i = 0; i < out->send_count; i++)
        send_one(p, out, &out->sends[i]);
    if (out->send_count > 0)
        net_flush(p->p.net);
}

static void members_note(struct protocol *p,
                         const struct totem_configuration *c)
{
    if (c->transitional)
        return;
    p->member_count = c->member_count;
    memcpy(p->members, c->members, c->member_count * sizeof *p->members);
}

static void event_one(struct protocol *p, const struct totem_event *event)
{
    struct group_event g;
    if (event->kind == TOTEM_EVENT_STATE)
        log_write(LOG_LEVEL_DEBUG, "TOTEM", "%s -> %s: %s",
                  totem_state_name(event->state.from),
                  totem_state_name(event->state.to), event->state.reason);
    if (event->kind == TOTEM_EVENT_MISMATCH)
        report_mismatch(&p->report, event->mismatch.node_id,
                        event->mismatch.packet_size_max, p->now_ns);
    if (event->kind == TOTEM_EVENT_LINK)
        report_link(&p->report, event);
    if (event->kind == TOTEM_EVENT_CONFIGURATION) {
        members_note(p, event->configuration);
        report_configuration(&p->report, event->configuration);
    }
    group_receive(p->p.group, event);
    while (group_next(p->p.group, &g))
        server_deliver(p->p.server, &g);
}

static void ring_seq_note(struct protocol *p)
{
    uint64_t seq = totem_ring_seq(p->p.totem);
    if (seq == p->ring_seq_noted)
        return;
    ringstate_note(p->p.ringstate, seq);
    p->ring_seq_noted = seq;
}

static void step(struct protocol *p, struct totem_in in)
{
    struct totem_out out;
    in.now_ns = p->now_ns;
    for (;;) {
        totem_step(p->p.totem, &in, &out);
        send_all(p, &out);
        for (uint32_t i = 0; i < out.event_count; i++)
            event_one(p, &out.events[i]);
        if (!out.visit)
            break;
        server_take(p->p.server, p->p.group, p->p.totem);
        in = (struct totem_in){.now_ns = p->now_ns,
                               .kind = TOTEM_IN_VISIT_END,
                               .backlog_packets = server_backlog(p->p.server)};
    }
    p->wake_ns = out.wake_ns;
    ring_seq_note(p);
}

/* --- packets -------------------------------------------------------------- */

static void reply(struct protocol *p, const struct net_datagram *d,
                  const struct seal_opened *opened)
{
    if (opened->reply_size == 0)
        return;
    uint8_t *room = net_claim(p->p.net, opened->reply_size);
    memcpy(room, opened->reply, opened->reply_size);
    net_commit_address(p->p.net, opened->reply_size, &d->source);
    net_flush(p->p.net);
}

static void datagram(struct protocol *p, const struct net_datagram *d)
{
    struct seal_opened opened;
    if (d->data.n > sizeof p->plain)
        return;
    if (!net_is_listed(p->p.net, &d->source)) {
        report_unlisted(&p->report, &d->source, p->now_ns);
        return;
    }
    enum seal_result result =
        seal_open(p->p.seal, d->data, net_source(&d->source), p->now_ns,
                  p->plain, &opened);
    if (opened.moved)
        net_peer_learn(p->p.net, opened.node_id, &d->source);
    switch (result) {
    case SEAL_OK:
        if (p->start_ns == 0)
            step(p, (struct totem_in){.kind = TOTEM_IN_PACKET,
                                      .node_id = opened.node_id,
                                      .packet = {p->plain, opened.plain_size}});
        break;
    case SEAL_VERIFIED:
        net_peer_learn(p->p.net, opened.node_id, &d->source);
        reply(p, d, &opened);
        break;
    case SEAL_HANDSHAKE:
    case SEAL_UNVERIFIED:
        reply(p, d, &opened);
        break;
    case SEAL_OTHER_KEY:
    case SEAL_BAD_DIGEST:
    case SEAL_VERSION:
        report_refused(&p->report, result, &d->source, p->now_ns);
        break;
    case SEAL_FOREIGN:
    case SEAL_REPLAY:
    case SEAL_OWN:
    case SEAL_LIMITED:
    case SEAL_RESULT_COUNT:
        break;
    }
}

/* The time is looked at anew for each batch: in a long round, timers that the
 * core sets when the token comes must not begin in the past. */
static void receive(struct protocol *p, enum net_channel channel)
{
    struct net_datagram d;
    net_receive(p->p.net, channel);
    p->now_ns = loop_now_ns();
    while (net_next(p->p.net, &d))
        datagram(p, &d);
}

/* If there is a token, what was sent before it is here before it is taken, as
 * far as the kernel has it: then the aru it gets from here is true. */
static void receive_all(struct protocol *p, bool token)
{
    uint64_t end_ns = p->now_ns + data_max_ns;
    do
        receive(p, NET_DATA);
    while (net_more(p->p.net) && p->now_ns < end_ns);
    if (token)
        receive(p, NET_TOKEN);
}

static void unreachable(struct protocol *p)
{
    uint32_t node_id;
    while ((node_id = net_unreachable_next(p->p.net)) != 0)
        if (p->start_ns == 0)
            step(p, (struct totem_in){.kind = TOTEM_IN_UNREACHABLE,
                                      .node_id = node_id});
}

/* --- signals -------------------------------------------------------------- */

static void statistics(struct protocol *p)
{
    report_statistics(&p->report, p->longest_round_ns, p->longest_lately_ns);
    p->longest_lately_ns = 0;
}

static void signals(struct protocol *p)
{
    struct signalfd_siginfo info;
    while (read(p->p.signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGUSR1)
            statistics(p);
        else
            p->leaving = true;
    }
}

/* The others form their ring without this node at once. Repeated, since a lost
 * announcement would cost them a token timeout. */
static void leave(struct protocol *p)
{
    log_write(LOG_LEVEL_NOTICE, "MAIN", "leaving the cluster");
    for (int i = 0; i < LEAVE_COUNT; i++)
        step(p, (struct totem_in){.kind = TOTEM_IN_LEAVE});
    statistics(p);
}

/* --- being set back ------------------------------------------------------- */

static void hello(struct protocol *p)
{
    uint8_t packet[SEAL_HANDSHAKE_SIZE_MAX];
    size_t n = seal_hello(p->p.seal, packet);
    memcpy(net_claim(p->p.net, n), packet, n);
    net_commit_all(p->p.net, n);
    memcpy(net_claim(p->p.net, n), packet, n);
    net_commit_peers(p->p.net, n);
    net_flush(p->p.net);
}

/* See renew.h. */
static void renew(struct protocol *p, const char *why)
{
    struct seal_secrets secrets;
    if (!random_fill((uint8_t *)&secrets, sizeof secrets) ||
        !seal_renew(p->p.seal, &secrets)) {
        log_write(LOG_LEVEL_ERROR, "CRYPTO", "no new session: no memory");
        return;
    }
    explicit_bzero(&secrets, sizeof secrets);
    log_write(LOG_LEVEL_NOTICE, "CRYPTO",
              "%s: this daemon begins a new session with every node", why);
    hello(p);
}

static void peers_check(struct protocol *p)
{
    uint64_t heard = seal_counts(p->p.seal)[SEAL_OK];
    bool alone =
        p->member_count < 2 || totem_state_get(p->p.totem) != TOTEM_OPERATIONAL;
    seal_forget_silent(p->p.seal, p->members, p->member_count, p->now_ns);
    if (renew_due(&p->renew, alone, heard, p->now_ns))
        renew(p, "others are heard, but no ring forms");
    p->peers_ns = p->now_ns + peers_check_ns;
}

/* --- time ----------------------------------------------------------------- */

/* A process that was stopped, or moved to another host, finds its sockets full
 * of a past that must not be taken for news. */
static void pause_notice(struct protocol *p, uint64_t now_ns)
{
    uint64_t late = now_ns > p->wake_ns ? now_ns - p->wake_ns : 0;
    if (late <= p->p.config->timeout.token_ns || p->start_ns != 0)
        return;
    uint32_t thrown = net_discard(p->p.net);
    log_write(LOG_LEVEL_WARNING, "MAIN",
              "this process was stopped for %llu ms; threw away %u old packets",
              (unsigned long long)(late / 1000000), thrown);
    renew(p, "after the pause");
}

static void start(struct protocol *p)
{
    p->start_ns = 0;
    step(p, (struct totem_in){.kind = TOTEM_IN_START});
}

static void timers(struct protocol *p)
{
    if (p->start_ns != 0 && p->now_ns >= p->start_ns)
        start(p);
    if (p->start_ns == 0 && p->now_ns >= p->wake_ns)
        step(p, (struct totem_in){.kind = TOTEM_IN_TIMEOUT});
    if (p->now_ns >= p->peers_ns)
        peers_check(p);
    if (p->now_ns >= p->report_ns)
        p->report_ns = report_tick(&p->report, p->now_ns);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When this thread may sleep until: not at all if a client has something that
 * the ring waits for. While the token goes round no client need ring; just
 * after clients were busy, only when they are about to wait. */
static uint64_t sleep_until(struct protocol *p)
{
    uint64_t wake = p->start_ns != 0 ? p->start_ns : p->wake_ns;
    bool circulating = totem_state_get(p->p.totem) == TOTEM_OPERATIONAL &&
                       !totem_wants_submit(p->p.totem);
    uint64_t doze_end = p->busy_ns + doze_ns;
    bool doze = p->now_ns < doze_end;
    if (!circulating) {
        enum server_rest rest = server_arm(p->p.server, doze);
        if (rest == SERVER_BUSY)
            return 0;
        /* So soon only if need be: a timer that is due before the kernel's own
         * costs more than the wait. */
        if (rest == SERVER_DOZES)
            wake = earlier(wake, doze_end);
    }
    wake = earlier(wake, server_wake_ns(p->p.server, p->now_ns));
    wake = earlier(wake, p->peers_ns);
    return earlier(wake, p->report_ns);
}

static void busy_note(struct protocol *p)
{
    uint64_t submitted = server_submitted(p->p.server);
    if (submitted != p->submitted) {
        p->busy_ns = p->now_ns;
        p->taken = submitted - p->submitted;
    }
    p->submitted = submitted;
}

/* --- waiting awake -------------------------------------------------------- */

/* May this thread spin now? Only where it would sleep until a client that was
 * busy a moment ago goes on; and only if clients do one thing after another: of
 * a stream it is better to find much at once. */
static bool may_spin(struct protocol *p)
{
    uint32_t places = 0;

    if (p->start_ns != 0 || !totem_wants_submit(p->p.totem) ||
        p->now_ns >= p->busy_ns + doze_ns || p->now_ns < p->rested_ns)
        return false;
    if (p->now_ns - p->slept_ns > awake_max_ns) {
        p->rested_ns = p->now_ns + rest_ns;
        return false;
    }
    return !server_look(p->p.server, &places) && p->taken <= places;
}

/* Looks, for as long as a wake-up would cost, for what clients submit, and now
 * and then for all else. True: something has come. */
static bool spin(struct protocol *p, struct spin_wait *wait)
{
    uint32_t places, looks = 0;

    if (!spin_begin(&p->spin, wait))
        return false;
    do {
        places = 0;
        if (server_look(p->p.server, &places) ||
            (++looks % LOOKS_PER_POLL == 0 && loop_wait(p->p.loop, 0) > 0)) {
            spin_hit(&p->spin);
            return true;
        }
    } while (spin_again(&p->spin, wait, places));
    return false;
}

static void wait_for_input(struct protocol *p)
{
    struct spin_wait wait;
    bool may = may_spin(p), awake = may && spin(p, &wait);
    uint64_t until = awake ? 0 : sleep_until(p);

    loop_wait(p->p.loop, until);
    if (until == 0)
        return;
    p->slept_ns = loop_now_ns();
    if (may)
        spin_slept(&p->spin, &wait);
}

/* --- the loop ------------------------------------------------------------- */

enum source {
    SOURCE_SERVER = 1,
    SOURCE_TOKEN,
    SOURCE_DATA,
    SOURCE_SIGNAL,
    SOURCE_MOVED,
    SOURCE_GENERATION
};

static int source_add(struct protocol *p, int fd, enum source source)
{
    return loop_add(p->p.loop, fd, EPOLLIN, (void *)(uintptr_t)source);
}

static int channels_add(struct protocol *p)
{
    int rc = source_add(p, net_fd(p->p.net, NET_TOKEN), SOURCE_TOKEN);
    return rc != 0 ? rc
                   : source_add(p, net_fd(p->p.net, NET_DATA), SOURCE_DATA);
}

static int sources_add(struct protocol *p)
{
    int moved_fd = net_moved_fd(p->p.net);
    int rc = source_add(p, server_fd(p->p.server), SOURCE_SERVER);
    if (rc == 0)
        rc = channels_add(p);
    if (rc == 0)
        rc = source_add(p, p->p.signal_fd, SOURCE_SIGNAL);
    if (rc == 0 && moved_fd >= 0)
        rc = source_add(p, moved_fd, SOURCE_MOVED);
    if (rc == 0 && p->p.generation_fd >= 0)
        rc = source_add(p, p->p.generation_fd, SOURCE_GENERATION);
    return rc;
}

static void address_tell(struct protocol *p)
{
    struct in_addr address = net_local_address(p->p.net);
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address, text, sizeof text);
    server_address_set(p->p.server, text);
}

/* The hello to each peer has this host ask for the peers' hardware addresses,
 * from which theirs learn its own: otherwise they may go on for half a minute
 * to send to the interface that had the address. */
static void follow(struct protocol *p)
{
    if (!net_moved(p->p.net))
        return;
    loop_remove(p->p.loop, net_fd(p->p.net, NET_TOKEN));
    loop_remove(p->p.loop, net_fd(p->p.net, NET_DATA));
    net_follow(p->p.net);
    struct sockaddr_in own = net_own_address(p->p.net);
    seal_move(p->p.seal, net_source(&own));
    address_tell(p);
    hello(p);
    int rc = channels_add(p);
    if (rc == 0)
        return;
    log_write(LOG_LEVEL_ERROR, "NET", "new sockets cannot be polled: %s",
              strerror(-rc));
    p->leaving = true;
}

static void round_once(struct protocol *p)
{
    struct loop_event e;
    bool token = false, data = false, server = false, moved = false;
    wait_for_input(p);
    uint64_t now = loop_now_ns();
    pause_notice(p, now);
    p->now_ns = now;
    server_time(p->p.server, now);
    while (loop_next(p->p.loop, &e)) {
        switch ((enum source)(uintptr_t)e.context) {
        case SOURCE_SERVER:
            server = true;
            break;
        case SOURCE_TOKEN:
            token = true;
            break;
        case SOURCE_DATA:
            data = true;
            break;
        case SOURCE_SIGNAL:
            signals(p);
            break;
        case SOURCE_MOVED:
            moved = true;
            break;
        case SOURCE_GENERATION:
            if (generation_changed(p->p.generation_fd))
                renew(p, "the hypervisor has set this machine back, or copied "
                         "it");
            break;
        }
    }
    if (moved)
        follow(p);
    timers(p);
    if (token || data) {
        receive_all(p, token);
        unreachable(p);
    }
    if (server)
        server_poll(p->p.server);
    server_time(p->p.server, p->now_ns);
    if (totem_wants_submit(p->p.totem) && server_backlog(p->p.server) > 0)
        step(p, (struct totem_in){.kind = TOTEM_IN_SUBMIT});
    server_flush(p->p.server);
    server_clean(p->p.server, p->now_ns);
    busy_note(p);
    uint64_t spent = loop_now_ns() - now;
    if (spent > p->longest_lately_ns)
        p->longest_lately_ns = spent;
    if (spent > p->longest_round_ns)
        p->longest_round_ns = spent;
}

int protocol_run(const struct protocol_parts *parts)
{
    struct protocol *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->p = *parts;
    p->now_ns = loop_now_ns();
    p->slept_ns = p->now_ns;
    spin_init(&p->spin, p->p.spin_ns);
    p->spin.costly = true;
    p->wake_ns = UINT64_MAX;
    p->start_ns = p->now_ns + hello_ns;
    p->peers_ns = p->now_ns + peers_check_ns;
    report_init(&p->report, &p->p, p->now_ns);
    p->report_ns = report_tick(&p->report, p->now_ns);
    int rc = sources_add(p);
    if (rc == 0) {
        hello(p);
        while (!p->leaving)
            round_once(p);
        if (p->start_ns == 0)
            leave(p);
    }
    free(p);
    return rc;
}
