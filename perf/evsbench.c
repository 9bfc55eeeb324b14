/* SPDX-License-Identifier: BSD-3-Clause */
/* evsbench - how many messages a second, how long one takes.
 *
 * Sends messages of one size after the other to a group it has joined, with a
 * bounded number of own messages under way, and counts what comes back. With
 * several processes (one a node, say) all begin each size together: each says
 * through the group that it is ready, and starts when all are. */
#include <corosync/evs.h>

#include "test/evsclient.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    SIZES_MAX = 64,
    GROUPS_MAX = 50,
    PROCESSES_MAX = 128,
    MEMBERS_MAX = 128,
    SIZE_MAX_BYTES = 1048576 - 4096,
    TIMED_EVERY = 16, /* messages, of which one carries its time */
    SAY_NS = 100000000,
    HANG_S = 60 /* without any progress: the benchmark gives up */
};

/* At the front of every message that is large enough. */
struct head {
    uint64_t magic; /* DATA, READY or GO */
    uint64_t process;
    uint64_t value; /* DATA: time sent, or 0; else: the step */
};

static const uint64_t DATA = 0x3173656e63680001, READY = 0x3173656e63680002,
                      GO = 0x3173656e63680003;

static struct {
    size_t sizes[SIZES_MAX];
    unsigned size_count, groups, members, processes;
    uint64_t run_ns, window;
    evs_guarantee_t guarantee;
    bool listen, latency, json;
} opt = {.groups = 1,
         .run_ns = 500000000,
         .window = 64,
         .guarantee = EVS_TYPE_AGREED};

static struct {
    evs_handle_t handle;
    int fd;
    unsigned node;
    uint64_t process;
    struct evs_group groups[GROUPS_MAX];
    size_t member_count;
    uint8_t *buffer;
    /* This step: */
    uint64_t step;
    bool go;
    uint64_t ready[PROCESSES_MAX];
    unsigned ready_count;
    size_t size;
    uint64_t sent, own, all, bytes;
    struct histogram latency;
} self;

static void fail(const char *what, cs_error_t error)
{
    fprintf(stderr, "evsbench: %s: %s (%u): %s\n", what, cs_strerror(error),
            error, error_remedy(error));
    exit(1);
}

static void on_alarm(int number)
{
    static const char text[] = "evsbench: no message came for a minute\n";
    (void)number;
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    _exit(n > 0 ? 1 : 2);
}

/* --- what comes ----------------------------------------------------------- */

static void on_ready(uint64_t process)
{
    for (unsigned i = 0; i < self.ready_count; i++)
        if (self.ready[i] == process)
            return;
    if (self.ready_count < PROCESSES_MAX)
        self.ready[self.ready_count++] = process;
    if (self.ready_count >= opt.processes)
        self.go = true;
}

static void on_message(hdb_handle_t handle, unsigned int node, const void *msg,
                       size_t size)
{
    struct head h = {DATA, 0, 0};
    (void)handle;
    if (size >= sizeof h)
        memcpy(&h, msg, sizeof h);
    else
        h.process = node == self.node ? self.process : 0;
    if (h.magic == DATA) {
        self.all++;
        self.bytes += size;
        if (h.process != self.process)
            return;
        self.own++;
        if (h.value != 0)
            histogram_add(&self.latency, now_ns() - h.value);
    } else if (h.value == self.step) {
        if (h.magic == GO)
            self.go = true;
        else
            on_ready(h.process);
    }
}

static void on_configuration(hdb_handle_t handle, const unsigned int *members,
                             size_t member_count, const unsigned int *left,
                             size_t left_count, const unsigned int *joined,
                             size_t joined_count,
                             const struct evs_ring_id *ring)
{
    (void)handle;
    (void)members;
    (void)left;
    (void)left_count;
    (void)joined;
    (void)joined_count;
    (void)ring;
    self.member_count = member_count;
}

static void take(cs_dispatch_flags_t how)
{
    cs_error_t error = evs_dispatch(self.handle, how);
    if (error != CS_OK)
        fail("evs_dispatch", error);
}

static void take_within(uint64_t until_ns)
{
    struct pollfd p = {.fd = self.fd, .events = POLLIN};
    uint64_t t = now_ns(), left = until_ns > t ? until_ns - t : 0;
    struct timespec timeout = {(time_t)(left / 1000000000),
                               (long)(left % 1000000000)};
    ppoll(&p, 1, &timeout, NULL);
    take(CS_DISPATCH_ALL);
}

/* --- what goes ------------------------------------------------------------ */

static bool send_bytes(size_t size)
{
    struct iovec part = {self.buffer, size};
    cs_error_t error;
    if (opt.groups == 1)
        error = evs_mcast_joined(self.handle, opt.guarantee, &part, 1);
    else
        error =
            evs_mcast_groups(self.handle, opt.guarantee,
                             &self.groups[self.sent % opt.groups], 1, &part, 1);
    if (error != CS_OK && error != CS_ERR_TRY_AGAIN)
        fail("evs_mcast", error);
    return error == CS_OK;
}

static bool send_data(void)
{
    bool timed = opt.latency || self.sent % TIMED_EVERY == 0;
    struct head h = {DATA, self.process, timed ? now_ns() : 0};
    if (self.size >= sizeof h)
        memcpy(self.buffer, &h, sizeof h);
    if (!send_bytes(self.size))
        return false;
    self.sent++;
    return true;
}

static void say(uint64_t magic)
{
    struct head h = {magic, self.process, self.step};
    memcpy(self.buffer, &h, sizeof h);
    while (!send_bytes(sizeof h))
        take_within(now_ns() + 1000000);
}

/* --- one size ------------------------------------------------------------- */

static void wait_for_all(void)
{
    uint64_t give_up_ns = now_ns() + HANG_S * UINT64_C(1000000000);
    self.go = false;
    self.ready_count = 0;
    while (self.member_count < opt.members && now_ns() < give_up_ns)
        take_within(now_ns() + SAY_NS);
    if (self.member_count < opt.members) {
        fprintf(stderr, "evsbench: %zu members, not %u\n", self.member_count,
                opt.members);
        exit(1);
    }
    while (!self.go) {
        say(READY);
        take_within(now_ns() + SAY_NS);
        for (int i = 0; i < 20 && !self.go; i++)
            take_within(now_ns() + SAY_NS / 20);
        if (now_ns() > give_up_ns) {
            fprintf(stderr, "evsbench: %u of %u processes are ready\n",
                    self.ready_count, opt.processes);
            exit(1);
        }
    }
    if (opt.processes > 1)
        say(GO);
    memset(self.buffer, 0, sizeof(struct head));
}

/* Sends until the time is over; then what was counted stands still. */
static void run_for(uint64_t end_ns)
{
    while (now_ns() < end_ns) {
        bool full = false;
        for (int i = 0; i < 64 && !opt.listen && !full; i++)
            full = self.sent - self.own >= opt.window || !send_data();
        if (full && self.sent > self.own)
            take(CS_DISPATCH_ONE);
        else if (full || opt.listen)
            take_within(now_ns() + 1000000);
        take(CS_DISPATCH_ALL);
    }
}

static void drain(void)
{
    uint64_t give_up_ns = now_ns() + HANG_S * UINT64_C(1000000000);
    while (self.own < self.sent) {
        take_within(now_ns() + SAY_NS);
        if (now_ns() > give_up_ns) {
            fprintf(stderr, "evsbench: %" PRIu64 " own messages never came\n",
                    self.sent - self.own);
            exit(1);
        }
    }
}

static void print_text(uint64_t own, uint64_t all, double s)
{
    printf("%9" PRIu64 " writes %7zu bytes per write %7.3f seconds "
           "%11.1f TP/s %9.3f MB/s",
           own, self.size, s, (double)own / s,
           (double)own * (double)self.size / s / 1e6);
    if (opt.processes > 1)
        printf("  all: %.1f TP/s %.3f MB/s", (double)all / s,
               (double)self.bytes / s / 1e6);
    if (opt.latency)
        printf("  latency us: p50 %.1f p99 %.1f max %.1f",
               (double)histogram_part(&self.latency, 0.5) / 1e3,
               (double)histogram_part(&self.latency, 0.99) / 1e3,
               (double)self.latency.max / 1e3);
    putchar('\n');
}

static void print_json(uint64_t own, uint64_t all, double s)
{
    printf("{\"node\": %u, \"size\": %zu, \"seconds\": %.4f, "
           "\"own\": %" PRIu64 ", \"all\": %" PRIu64
           ", \"own_per_s\": %.1f, \"all_per_s\": %.1f, "
           "\"own_mb_per_s\": %.3f, \"all_mb_per_s\": %.3f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
           self.node, self.size, s, own, all, (double)own / s, (double)all / s,
           (double)own * (double)self.size / s / 1e6,
           (double)self.bytes / s / 1e6,
           (double)histogram_part(&self.latency, 0.5) / 1e3,
           (double)histogram_part(&self.latency, 0.99) / 1e3,
           (double)self.latency.max / 1e3);
}

static void run_size(size_t size)
{
    self.step++;
    self.size = size;
    alarm(2 * HANG_S + (unsigned)(opt.run_ns / 1000000000));
    wait_for_all();
    self.sent = self.own = self.all = self.bytes = 0;
    memset(&self.latency, 0, sizeof self.latency);
    uint64_t begin_ns = now_ns();
    run_for(begin_ns + opt.run_ns);
    double s = seconds(now_ns() - begin_ns);
    uint64_t own = self.own, all = self.all;
    (opt.json ? print_json : print_text)(own, all, s);
    drain();
}

/* --- options -------------------------------------------------------------- */

static const char usage[] =
    "usage: evsbench [options]\n"
    "  --size N[,N...]   bytes per message (1, 1001, 2001 ... 49001)\n"
    "  --seconds S       for each size (0.5)\n"
    "  --window N        own messages under way at most (64)\n"
    "  --latency         one message at a time; p50, p99, max\n"
    "  --listen          receive only\n"
    "  --groups N        spread over N groups (1)\n"
    "  --guarantee G     unordered, fifo, agreed (default) or safe\n"
    "  --members N       wait until the ring has N members (1)\n"
    "  --processes N     start together with N-1 other evsbench (members)\n"
    "  --json            one JSON object a line\n";

static void sizes_arg(char *text)
{
    for (char *one = strtok(text, ","); one != NULL; one = strtok(NULL, ",")) {
        if (opt.size_count == SIZES_MAX) {
            fputs("--size: too many\n", stderr);
            exit(2);
        }
        opt.sizes[opt.size_count++] =
            number_arg("--size", one, 1, SIZE_MAX_BYTES);
    }
}

static evs_guarantee_t guarantee_arg(const char *text)
{
    static const char *const names[] = {"unordered", "fifo", "agreed", "safe"};
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0)
            return (evs_guarantee_t)i;
    fputs(usage, stderr);
    exit(2);
}

static void option(int c)
{
    switch (c) {
    case 'b':
        sizes_arg(optarg);
        break;
    case 's':
        opt.run_ns = seconds_arg("--seconds", optarg);
        break;
    case 'w':
        opt.window = number_arg("--window", optarg, 1, 1000000);
        break;
    case 'L':
        opt.latency = true;
        break;
    case 'l':
        opt.listen = true;
        break;
    case 'g':
        opt.groups = (unsigned)number_arg("--groups", optarg, 1, GROUPS_MAX);
        break;
    case 'G':
        opt.guarantee = guarantee_arg(optarg);
        break;
    case 'm':
        opt.members = (unsigned)number_arg("--members", optarg, 1, MEMBERS_MAX);
        break;
    case 'p':
        opt.processes =
            (unsigned)number_arg("--processes", optarg, 1, PROCESSES_MAX);
        break;
    case 'j':
        opt.json = true;
        break;
    default:
        fputs(usage, c == 'h' ? stdout : stderr);
        exit(c == 'h' ? 0 : 2);
    }
}

static void options(int argc, char **argv)
{
    static const struct option list[] = {
        {"size", 1, NULL, 'b'},      {"seconds", 1, NULL, 's'},
        {"window", 1, NULL, 'w'},    {"latency", 0, NULL, 'L'},
        {"listen", 0, NULL, 'l'},    {"groups", 1, NULL, 'g'},
        {"guarantee", 1, NULL, 'G'}, {"members", 1, NULL, 'm'},
        {"processes", 1, NULL, 'p'}, {"json", 0, NULL, 'j'},
        {"help", 0, NULL, 'h'},      {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "h", list, NULL)) != -1)
        option(c);
    if (optind < argc)
        option('?');
    if (opt.processes == 0)
        opt.processes = opt.members == 0 ? 1 : opt.members;
    if (opt.latency)
        opt.window = 1;
    if (opt.size_count == 0)
        for (size_t size = 1; size <= 49001; size += 1000)
            opt.sizes[opt.size_count++] = size;
}

static void start(void)
{
    evs_callbacks_t callbacks = {.evs_deliver_fn = on_message,
                                 .evs_confchg_fn = on_configuration};
    size_t count = 0;
    cs_error_t error = evs_initialize(&self.handle, &callbacks);
    if (error != CS_OK)
        fail("evs_initialize", error);
    error = evs_membership_get(self.handle, &self.node, NULL, &count);
    if (error != CS_OK)
        fail("evs_membership_get", error);
    for (unsigned i = 0; i < opt.groups; i++)
        snprintf(self.groups[i].key, sizeof self.groups[i].key, "evsbench %u",
                 i);
    if ((error = evs_join(self.handle, self.groups, opt.groups)) != CS_OK)
        fail("evs_join", error);
    if ((error = evs_fd_get(self.handle, &self.fd)) != CS_OK)
        fail("evs_fd_get", error);
    while (getrandom(&self.process, sizeof self.process, 0) < 0)
        continue;
    self.buffer = calloc(1, SIZE_MAX_BYTES);
    if (self.buffer == NULL)
        fail("calloc", CS_ERR_NO_MEMORY);
}

int main(int argc, char **argv)
{
    options(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGALRM, on_alarm);
    start();
    for (unsigned i = 0; i < opt.size_count; i++)
        run_size(opt.sizes[i]);
    evs_finalize(self.handle);
    free(self.buffer);
    return 0;
}
