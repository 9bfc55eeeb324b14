/* SPDX-License-Identifier: BSD-3-Clause */
/* evscheck - a client that multicasts, and checks all that it is delivered.
 *
 * Every message carries who sent it, its number, how much its sender had been
 * delivered by then, whether it was sent SAFE, and a checksum. This program
 * checks what one client can know: content, each sender's order without gap or
 * repetition, configurations that follow from each other, own messages all
 * back. What only several clients together can know is left to evscompare,
 * which reads the traces written here. */
#include <corosync/evs.h>

#include "test/evsclient.h"
#include "test/evstrace.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    MEMBERS_MAX = 128,
    SIZE_MAX_BYTES = 1048576 - 4096,
    MESSAGE_MAGIC = 0x65767332,
    SLICE_NS = 1000000,  /* sends are paced in steps of this */
    RETRY_NS = 20000000, /* between attempts to connect */
    ERRORS_SHOWN = 10
};

/* In front of every message's payload. */
struct head {
    uint32_t magic, node;
    uint64_t incarnation, seq, sent_ns;
    uint64_t preceded; /* messages delivered to its sender before */
    uint64_t safe;     /* 1: sent SAFE, 0: AGREED */
    uint64_t sum;      /* of all before it, and the payload */
};

static struct {
    uint64_t rate, window, size_min, size_max, run_ns, drain_ns, wait_ns;
    unsigned wait_members;
    const char *trace_path, *group;
    bool reconnect, json, events, listen;
    uint64_t safe_percent;
} opt = {.window = 64,
         .size_min = 200,
         .size_max = 200,
         .drain_ns = 10000000000,
         .wait_ns = 10000000000,
         .group = "evscheck",
         .safe_percent = 20};

/* One connection to a daemon. */
static struct {
    evs_handle_t handle;
    int fd;
    uint32_t node;
    uint64_t incarnation;
    uint64_t sent, back; /* own messages: accepted, delivered */
    uint64_t taken;      /* messages in the trace's section */
    uint64_t last_delivery_ns;
    bool lost;
    unsigned configurations;
    bool transitional; /* the last configuration was */
    bool first_put;    /* the first configuration is in the trace */
    bool joining;      /* the join may not have taken effect yet */
    struct evs_ring_id ring;
    uint64_t configuration_ns;
    uint32_t members[MEMBERS_MAX];
    size_t member_count;
} now;

/* All connections together. */
static struct {
    uint64_t sent, delivered, own, bytes, lost_own;
    uint64_t first_ns, last_ns, longest_gap_ns;
    uint64_t errors;
    unsigned sections, configurations;
    struct watch *watches;
    uint32_t watch_count, watch_size, watch_hint;
    struct histogram latency;
} all;

static FILE *trace;
static volatile sig_atomic_t stop;
static uint8_t *buffer;

static void on_signal(int number)
{
    (void)number;
    stop++;
}

__attribute__((format(printf, 1, 2))) static void wrong(const char *format, ...)
{
    if (all.errors++ >= ERRORS_SHOWN)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "evscheck: node %" PRIu32 ": ", now.node);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* --- trace and events ----------------------------------------------------- */

static void put(enum trace_kind kind, uint32_t index, uint32_t low,
                uint64_t value)
{
    if (trace == NULL)
        return;
    struct trace_record r = trace_record(kind, index, low, value);
    if (fwrite(&r, sizeof r, 1, trace) != 1) {
        perror(opt.trace_path);
        exit(2);
    }
}

static void trace_open(void)
{
    struct trace_header h = {TRACE_MAGIC, TRACE_VERSION,
                             sizeof(struct trace_record)};
    if (opt.trace_path == NULL)
        return;
    trace = fopen(opt.trace_path, "wb");
    if (trace == NULL || fwrite(&h, sizeof h, 1, trace) != 1 ||
        fflush(trace) != 0) {
        perror(opt.trace_path);
        exit(2);
    }
}

static void print_nodes(const char *what, const uint32_t *nodes, size_t count)
{
    printf(" %s ", what);
    for (size_t i = 0; i < count; i++)
        printf(i == 0 ? "%" PRIu32 : ",%" PRIu32, nodes[i]);
    if (count == 0)
        putchar('-');
}

/* With the time of day, which shells have at hand too. */
static void event_begin(const char *what)
{
    uint64_t ns = clock_ns(CLOCK_REALTIME);
    printf("%" PRIu64 ".%06" PRIu64 " %s", ns / 1000000000, ns / 1000 % 1000000,
           what);
}

/* --- messages ------------------------------------------------------------- */

static uint64_t sum_of(const uint8_t *p, size_t n)
{
    uint64_t h = 0x2545f4914f6cdd1d ^ n, word;
    for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(&word, p, sizeof word);
        h = (h ^ word) * 0x9e3779b97f4a7c15;
        h ^= h >> 29;
    }
    word = 0;
    memcpy(&word, p, n);
    h = (h ^ word) * 0x9e3779b97f4a7c15;
    return h ^ h >> 32;
}

static uint64_t sum_message(const struct head *h, const uint8_t *payload,
                            size_t n)
{
    uint8_t first[offsetof(struct head, sum)];
    memcpy(first, h, sizeof first);
    return sum_of(first, sizeof first) * 31 + sum_of(payload, n);
}

/* A payload that differs from message to message at every place. */
static void fill(uint8_t *p, size_t n, uint64_t incarnation, uint64_t seq)
{
    uint64_t word = incarnation + seq * 0xd1342543de82ef95;
    for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(p, &word, sizeof word);
        word += 0x9e3779b97f4a7c15;
    }
    memcpy(p, &word, n);
}

static size_t size_of(uint64_t seq)
{
    uint64_t range = opt.size_max - opt.size_min + 1;
    return opt.size_min + (seq * 0x9e3779b97f4a7c15 >> 20) % range;
}

/* A fixed share, spread without a pattern. */
static bool is_safe(uint64_t seq)
{
    return (seq * 0xd1342543de82ef95 >> 32) % 100 < opt.safe_percent;
}

/* True when the daemon took one more message. */
static bool send_one(void)
{
    size_t size = size_of(now.sent + 1), n = size - sizeof(struct head);
    struct head h = {.magic = MESSAGE_MAGIC,
                     .node = now.node,
                     .incarnation = now.incarnation,
                     .seq = now.sent + 1,
                     .sent_ns = now_ns(),
                     .preceded = now.taken,
                     .safe = is_safe(now.sent + 1)};
    fill(buffer, n, h.incarnation, h.seq);
    h.sum = sum_message(&h, buffer, n);
    struct iovec parts[2] = {{&h, sizeof h}, {buffer, n}};
    cs_error_t error =
        evs_mcast_joined(now.handle, h.safe ? EVS_TYPE_SAFE : EVS_TYPE_AGREED,
                         parts, n > 0 ? 2 : 1);
    if (error == CS_OK) {
        now.sent++;
        all.sent++;
        return true;
    }
    if (error == CS_ERR_LIBRARY)
        now.lost = true;
    else if (error != CS_ERR_TRY_AGAIN)
        wrong("evs_mcast_joined: %s", cs_strerror(error));
    return false;
}

static struct watch *watch_find(uint32_t node, uint64_t incarnation)
{
    if (all.watch_hint < all.watch_count) {
        struct watch *w = &all.watches[all.watch_hint];
        if (w->node == node && w->incarnation == incarnation)
            return w;
    }
    for (uint32_t i = 0; i < all.watch_count; i++) {
        struct watch *w = &all.watches[i];
        if (w->node == node && w->incarnation == incarnation) {
            all.watch_hint = i;
            return w;
        }
    }
    if (all.watch_count == all.watch_size) {
        all.watch_size = all.watch_size * 2 + 16;
        all.watches =
            realloc(all.watches, all.watch_size * sizeof *all.watches);
        if (all.watches == NULL) {
            perror("evscheck");
            exit(2);
        }
    }
    put(TRACE_SENDER, all.watch_count, node, incarnation);
    all.watch_hint = all.watch_count;
    struct watch *w = &all.watches[all.watch_count++];
    *w = watch_new(node, incarnation);
    watch_configuration(w, 1, now.members, now.member_count);
    return w;
}

static void count_delivery(const struct head *h, size_t size)
{
    uint64_t t = now_ns();
    if (now.last_delivery_ns != 0 &&
        t - now.last_delivery_ns > all.longest_gap_ns)
        all.longest_gap_ns = t - now.last_delivery_ns;
    now.last_delivery_ns = t;
    if (all.first_ns == 0)
        all.first_ns = t;
    all.last_ns = t;
    all.delivered++;
    all.bytes += size;
    if (h->incarnation == now.incarnation && h->node == now.node) {
        now.back++;
        all.own++;
        histogram_add(&all.latency, t - h->sent_ns);
    }
}

static void put_configuration(void)
{
    put(now.transitional ? TRACE_TRANSITIONAL : TRACE_CONFIGURATION,
        (uint32_t)now.member_count, now.ring.nodeid, now.ring.seq);
    put(TRACE_TIME, 0, 0, now.configuration_ns);
    for (size_t i = 0; i < now.member_count; i++)
        put(TRACE_MEMBER, 0, now.members[i], 0);
    now.first_put = true;
}

static void put_message(struct watch *w, const struct head *h)
{
    uint32_t number = (uint32_t)(w - all.watches);
    if (w->preceded != h->preceded)
        put(TRACE_PRECEDED, number, 0, h->preceded);
    w->preceded = h->preceded;
    put(h->safe ? TRACE_SAFE : TRACE_MESSAGE, number, (uint32_t)h->sum, h->seq);
    now.taken++;
}

static void on_message(hdb_handle_t handle, unsigned int node, const void *msg,
                       size_t size)
{
    struct head h;
    (void)handle;
    if (size < sizeof h) {
        wrong("a message of %zu bytes from node %u: too short", size, node);
        return;
    }
    memcpy(&h, msg, sizeof h);
    if (h.magic != MESSAGE_MAGIC ||
        h.sum !=
            sum_message(&h, (const uint8_t *)msg + sizeof h, size - sizeof h)) {
        wrong("a message of %zu bytes from node %u: checksum differs", size,
              node);
        return;
    }
    if (h.node != node)
        wrong("message %" PRIu64 " of node %" PRIu32 " came as node %u's",
              h.seq, h.node, node);
    if (now.configurations == 0)
        wrong("message %" PRIu64 " of node %u before any configuration", h.seq,
              node);
    if (!now.transitional && !node_in(node, now.members, now.member_count))
        wrong("message %" PRIu64 " of node %u, which is not a member", h.seq,
              node);
    if (!now.first_put)
        put_configuration();
    struct watch *w = watch_find(h.node, h.incarnation);
    uint64_t last = w->last_seq;
    switch (watch_message(w, h.seq)) {
    case WATCH_OK:
        break;
    case WATCH_GAP:
        wrong("messages %" PRIu64 " to %" PRIu64 " of node %u are missing",
              last + 1, h.seq - 1, node);
        break;
    case WATCH_REPEAT:
        wrong("message %" PRIu64 " of node %u after its %" PRIu64, h.seq, node,
              last);
        break;
    }
    put_message(w, &h);
    count_delivery(&h, size);
}

/* --- configurations ------------------------------------------------------- */

/* Do the lists say how the new members come from the old ones? */
static void check_lists(const uint32_t *members, size_t member_count,
                        const uint32_t *left, size_t left_count,
                        const uint32_t *joined, size_t joined_count)
{
    for (size_t i = 1; i < member_count; i++)
        if (members[i] <= members[i - 1])
            wrong("configuration: members do not ascend");
    for (size_t i = 0; i < member_count; i++)
        if (!node_in(members[i], now.members, now.member_count) !=
            node_in(members[i], joined, joined_count))
            wrong("configuration: node %" PRIu32 " is new or joined, not both",
                  members[i]);
    for (size_t i = 0; i < now.member_count; i++)
        if (!node_in(now.members[i], members, member_count) !=
            node_in(now.members[i], left, left_count))
            wrong("configuration: node %" PRIu32 " is gone or left, not both",
                  now.members[i]);
    if (now.transitional ? joined_count != 0 : left_count != 0)
        wrong("configuration: %zu left and %zu joined in a %s one", left_count,
              joined_count, now.transitional ? "transitional" : "regular");
}

/* A transitional configuration has the identity of the ring it ends. The first
 * that a client is told is regular, the present one; unless the daemon has only
 * just begun, when it is transitional. The second one tells which it was, so
 * the trace gets the first with what follows it. */
static void check_turn(const struct evs_ring_id *ring)
{
    bool same = ring->nodeid == now.ring.nodeid && ring->seq == now.ring.seq;
    if (now.configurations == 1)
        return;
    if (now.configurations == 2 && !same && !now.first_put) {
        now.transitional = true;
    } else if (!now.first_put) {
        put_configuration();
    }
    if (same == now.transitional)
        wrong("configuration of ring %llu: two %s ones in a row", ring->seq,
              same ? "transitional" : "regular");
    if (!same && ring->seq <= now.ring.seq)
        wrong("ring %llu after ring %llu", ring->seq, now.ring.seq);
    now.transitional = same;
}

static void on_configuration(hdb_handle_t handle, const unsigned int *members,
                             size_t member_count, const unsigned int *left,
                             size_t left_count, const unsigned int *joined,
                             size_t joined_count,
                             const struct evs_ring_id *ring)
{
    (void)handle;
    if (member_count > MEMBERS_MAX ||
        !node_in(now.node, members, member_count)) {
        wrong("configuration of %zu members without this node", member_count);
        return;
    }
    /* The messages of one that was told before the join may have passed by: the
     * section begins with the last of these. */
    if (now.joining && !now.first_put)
        now.configurations = 0;
    bool first = now.configurations++ == 0;
    if (ring == NULL) {
        wrong("configuration without a ring identity");
        return;
    }
    check_turn(ring);
    if (!first)
        check_lists(members, member_count, left, left_count, joined,
                    joined_count);
    all.configurations++;
    memcpy(now.members, members, member_count * sizeof *members);
    now.member_count = member_count;
    now.ring = *ring;
    watch_configuration(all.watches, all.watch_count, members, member_count);
    now.configuration_ns = now_ns();
    if (!first)
        put_configuration();
    if (!opt.events)
        return;
    event_begin(now.transitional ? "transitional" : "regular");
    print_nodes("members", members, member_count);
    print_nodes("left", left, left_count);
    print_nodes("joined", joined, joined_count);
    putchar('\n');
}

/* --- connections ---------------------------------------------------------- */

static cs_error_t section_connect(void)
{
    evs_callbacks_t callbacks = {.evs_deliver_fn = on_message,
                                 .evs_confchg_fn = on_configuration};
    struct evs_group group = {{0}};
    memcpy(group.key, opt.group, strnlen(opt.group, sizeof group.key));
    memset(&now, 0, sizeof now);
    cs_error_t error = evs_initialize(&now.handle, &callbacks);
    if (error != CS_OK)
        return error;
    size_t count = 0;
    error = evs_membership_get(now.handle, &now.node, NULL, &count);
    if (error == CS_OK)
        error = evs_join(now.handle, &group, 1);
    if (error == CS_OK)
        error = evs_fd_get(now.handle, &now.fd);
    if (error != CS_OK) {
        evs_finalize(now.handle);
        return error;
    }
    while (getrandom(&now.incarnation, sizeof now.incarnation, 0) < 0)
        continue;
    all.sections++;
    for (uint32_t i = 0; i < all.watch_count; i++)
        all.watches[i].may_gap = true;
    put(TRACE_SECTION, 0, now.node, now.incarnation);
    put(TRACE_TIME, 0, 0, now_ns());
    if (opt.events) {
        event_begin("connected");
        printf(" node %" PRIu32 "\n", now.node);
    }
    /* What was told before the join took effect is here by now. */
    now.joining = true;
    (void)evs_dispatch(now.handle, CS_DISPATCH_ALL);
    now.joining = false;
    return CS_OK;
}

static void section_end(void)
{
    if (now.configurations > 0 && !now.first_put)
        put_configuration();
    put(TRACE_TIME, 0, 0, now_ns());
    put(TRACE_END, now.lost ? 1 : 0, now.node, now.sent);
    evs_finalize(now.handle);
    if (now.lost)
        all.lost_own += now.sent - now.back;
    else if (now.sent != now.back)
        wrong("%" PRIu64 " of %" PRIu64 " own messages did not come back",
              now.sent - now.back, now.sent);
    if (!now.lost || !opt.events)
        return;
    event_begin("lost");
    printf(" node %" PRIu32 " silent-ms %.1f\n", now.node,
           now.last_delivery_ns == 0
               ? 0.0
               : (double)(now_ns() - now.last_delivery_ns) / 1e6);
}

/* Delivers what is there. */
static void take(void)
{
    cs_error_t error = evs_dispatch(now.handle, CS_DISPATCH_ALL);
    if (error == CS_ERR_LIBRARY)
        now.lost = true;
    else if (error != CS_OK && error != CS_ERR_TRY_AGAIN)
        wrong("evs_dispatch: %s", cs_strerror(error));
}

static void wait_until(uint64_t until_ns)
{
    struct pollfd p = {.fd = now.fd, .events = POLLIN};
    uint64_t t = now_ns(), left = until_ns > t ? until_ns - t : 0;
    struct timespec timeout = {(time_t)(left / 1000000000),
                               (long)(left % 1000000000)};
    ppoll(&p, 1, &timeout, NULL);
}

/* Sends what is due; the time to look again. */
static uint64_t send_due(uint64_t started_ns)
{
    uint64_t t = now_ns();
    for (uint64_t burst = 0; burst < opt.window; burst++) {
        if (now.sent - now.back >= opt.window)
            return t + 10 * SLICE_NS;
        if (opt.rate > 0) {
            uint64_t due_ns = started_ns + (uint64_t)((double)now.sent * 1e9 /
                                                      (double)opt.rate);
            if (due_ns > t)
                return due_ns - t > SLICE_NS ? due_ns : t + SLICE_NS;
        }
        if (!send_one())
            return t + SLICE_NS;
    }
    return t;
}

static bool over(uint64_t end_ns)
{
    return stop > 0 || now_ns() >= end_ns;
}

/* Runs on one connection until it is lost or time is over. */
static void section_run(uint64_t end_ns)
{
    uint64_t started_ns = now_ns();
    while (!now.lost && !over(end_ns)) {
        take();
        uint64_t again_ns =
            opt.listen ? now_ns() + 100 * SLICE_NS : send_due(started_ns);
        wait_until(again_ns < end_ns ? again_ns : end_ns);
    }
    /* Own messages that are under way must still come. */
    uint64_t give_up_ns = now_ns() + opt.drain_ns, back = now.back;
    while (!now.lost && now.back < now.sent && stop < 2 &&
           now_ns() < give_up_ns) {
        take();
        if (now.back != back)
            give_up_ns = now_ns() + opt.drain_ns;
        back = now.back;
        wait_until(now_ns() + 10 * SLICE_NS);
    }
    if (!now.lost)
        take();
}

/* Connects, waiting for the daemon until `end_ns`. */
static cs_error_t connect_until(uint64_t end_ns)
{
    for (;;) {
        cs_error_t error = section_connect();
        if (error != CS_ERR_TRY_AGAIN && error != CS_ERR_LIBRARY)
            return error;
        if (over(end_ns))
            return error;
        struct timespec pause = {0, RETRY_NS};
        nanosleep(&pause, NULL);
    }
}

static void refused(cs_error_t error)
{
    fprintf(stderr, "evscheck: evs_initialize: %s (%u): %s\n",
            cs_strerror(error), error, error_remedy(error));
}

/* --- waiting for members -------------------------------------------------- */

/* Ends with 0 when a configuration has that many members. */
static int wait_for_members(void)
{
    uint64_t end_ns = now_ns() + opt.wait_ns;
    while (!over(end_ns)) {
        cs_error_t error = connect_until(end_ns);
        if (error != CS_OK) {
            refused(error);
            return 1;
        }
        while (!now.lost && !over(end_ns)) {
            take();
            if (!now.transitional && now.member_count == opt.wait_members &&
                now.configurations > 0) {
                evs_finalize(now.handle);
                return 0;
            }
            wait_until(now_ns() + 50 * SLICE_NS);
        }
        evs_finalize(now.handle);
    }
    fprintf(stderr,
            "evscheck: node %" PRIu32 ": %zu members, not %u, after %.1f s\n",
            now.node, now.member_count, opt.wait_members, seconds(opt.wait_ns));
    return 1;
}

/* --- summary -------------------------------------------------------------- */

static double per_second(uint64_t count)
{
    uint64_t ns = all.last_ns - all.first_ns;
    return ns == 0 ? 0 : (double)count / seconds(ns);
}

static void summary_json(void)
{
    printf("{\"node\": %" PRIu32 ", \"sent\": %" PRIu64
           ", \"delivered\": %" PRIu64 ", \"own\": %" PRIu64
           ", \"lost_with_daemon\": %" PRIu64
           ", \"messages_per_s\": %.0f, \"mb_per_s\": %.3f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
           "\"longest_gap_ms\": %.1f, \"configurations\": %u, "
           "\"connections\": %u, \"errors\": %" PRIu64 "}\n",
           now.node, all.sent, all.delivered, all.own, all.lost_own,
           per_second(all.delivered), per_second(all.bytes) / 1e6,
           (double)histogram_part(&all.latency, 0.5) / 1e3,
           (double)histogram_part(&all.latency, 0.99) / 1e3,
           (double)all.latency.max / 1e3, (double)all.longest_gap_ns / 1e6,
           all.configurations, all.sections, all.errors);
}

static void summary_text(void)
{
    printf("node %" PRIu32 ": sent %" PRIu64 ", delivered %" PRIu64
           " (own %" PRIu64 "): %.0f messages/s, %.2f MB/s\n",
           now.node, all.sent, all.delivered, all.own,
           per_second(all.delivered), per_second(all.bytes) / 1e6);
    printf("latency of own messages: p50 %.3f ms, p99 %.3f ms, max %.3f ms\n",
           (double)histogram_part(&all.latency, 0.5) / 1e6,
           (double)histogram_part(&all.latency, 0.99) / 1e6,
           (double)all.latency.max / 1e6);
    printf("longest pause between deliveries %.1f ms; %u configurations, "
           "%u connections; %" PRIu64 " own messages lost with a daemon\n",
           (double)all.longest_gap_ns / 1e6, all.configurations, all.sections,
           all.lost_own);
    printf("%" PRIu64 " errors\n", all.errors);
}

/* --- options -------------------------------------------------------------- */

static const char usage[] =
    "usage: evscheck [options]\n"
    "  --rate N          messages a second; 0 (default): as many as can be\n"
    "  --window N        own messages under way at most (64)\n"
    "  --size A[-B]      bytes of a message (200)\n"
    "  --seconds S       run so long; default: until SIGTERM or SIGINT\n"
    "  --listen          send nothing\n"
    "  --safe PERCENT    of the messages SAFE, the others AGREED (20)\n"
    "  --group NAME      group to join (evscheck)\n"
    "  --trace FILE      write what was delivered, for evscompare\n"
    "  --reconnect       go on when the daemon is back\n"
    "  --drain S         wait so long for own messages at the end (10)\n"
    "  --events          print configuration changes as they come\n"
    "  --json            summary as JSON\n"
    "  --members N       only wait until the ring has N members\n"
    "  --timeout S       how long to wait for a daemon, or members (10)\n";

static void size_arg(const char *text)
{
    char first[32];
    const char *dash = strchr(text, '-');
    snprintf(first, sizeof first, "%.*s",
             (int)(dash == NULL ? strlen(text) : (size_t)(dash - text)), text);
    opt.size_min =
        number_arg("--size", first, sizeof(struct head), SIZE_MAX_BYTES);
    opt.size_max = dash == NULL ? opt.size_min
                                : number_arg("--size", dash + 1, opt.size_min,
                                             SIZE_MAX_BYTES);
}

static void options(int argc, char **argv)
{
    static const struct option list[] = {
        {"rate", 1, NULL, 'r'},      {"window", 1, NULL, 'w'},
        {"size", 1, NULL, 'b'},      {"seconds", 1, NULL, 's'},
        {"listen", 0, NULL, 'l'},    {"safe", 1, NULL, 'S'},
        {"group", 1, NULL, 'g'},     {"trace", 1, NULL, 't'},
        {"reconnect", 0, NULL, 'c'}, {"drain", 1, NULL, 'd'},
        {"events", 0, NULL, 'e'},    {"json", 0, NULL, 'j'},
        {"members", 1, NULL, 'm'},   {"timeout", 1, NULL, 'T'},
        {"help", 0, NULL, 'h'},      {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "h", list, NULL)) != -1) {
        switch (c) {
        case 'r':
            opt.rate = number_arg("--rate", optarg, 0, 100000000);
            break;
        case 'w':
            opt.window = number_arg("--window", optarg, 1, 1000000);
            break;
        case 'b':
            size_arg(optarg);
            break;
        case 's':
            opt.run_ns = seconds_arg("--seconds", optarg);
            break;
        case 'l':
            opt.listen = true;
            break;
        case 'S':
            opt.safe_percent = number_arg("--safe", optarg, 0, 100);
            break;
        case 'g':
            opt.group = optarg;
            break;
        case 't':
            opt.trace_path = optarg;
            break;
        case 'c':
            opt.reconnect = true;
            break;
        case 'd':
            opt.drain_ns = seconds_arg("--drain", optarg);
            break;
        case 'e':
            opt.events = true;
            break;
        case 'j':
            opt.json = true;
            break;
        case 'm':
            opt.wait_members =
                (unsigned)number_arg("--members", optarg, 1, MEMBERS_MAX);
            break;
        case 'T':
            opt.wait_ns = seconds_arg("--timeout", optarg);
            break;
        default:
            fputs(usage, c == 'h' ? stdout : stderr);
            exit(c == 'h' ? 0 : 2);
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    options(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (opt.wait_members > 0)
        return wait_for_members();

    buffer = malloc(opt.size_max);
    if (buffer == NULL) {
        perror("evscheck");
        return 2;
    }
    trace_open();
    uint64_t end_ns = opt.run_ns == 0 ? UINT64_MAX : now_ns() + opt.run_ns;
    cs_error_t error = connect_until(now_ns() + opt.wait_ns);
    if (error != CS_OK) {
        refused(error);
        return 1;
    }
    for (;;) {
        section_run(end_ns);
        section_end();
        if (!now.lost || !opt.reconnect || over(end_ns) ||
            connect_until(end_ns) != CS_OK)
            break;
    }
    if (now.lost && !opt.reconnect)
        wrong("the daemon is gone");
    if (trace != NULL && fclose(trace) != 0) {
        perror(opt.trace_path);
        return 2;
    }
    opt.json ? summary_json() : summary_text();
    free(buffer);
    free(all.watches);
    return all.errors == 0 ? 0 : 1;
}
