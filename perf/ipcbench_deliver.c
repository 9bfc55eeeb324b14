/* SPDX-License-Identifier: BSD-3-Clause */
/* ipcbench_deliver.c - messages from the daemon to its clients: how many to how
 * many handles, what a flood does to a quiet client, what strangers on the
 * processors do to both. */
#include "perf/ipcbench.h"

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>

enum {
    HANDLES_MAX = 32,
    UNDER_WAY_BYTES = 1 << 20, /* sent and not delivered everywhere, at most */
    RECORD_BYTES = 64,         /* what a message takes beside its payload */
    BURST = 64,
    IDLE_NS = 50000,  /* nothing to do for so long: sleep */
    PACE_NS = 1000000 /* a quiet client's, and a paced one's under strangers */
};

/* --- delivery to n handles ------------------------------------------------ */

/* What the sender, in this process or its own, and the receiver share. */
struct flow {
    _Atomic uint64_t sent;
    _Atomic uint64_t delivered; /* messages that every handle has */
    _Atomic uint64_t end_ns;    /* 0: not begun */
    _Atomic bool stopped;       /* the sender, for good */
    uint64_t window;
    size_t size;
};

static struct {
    evs_handle_t handles[HANDLES_MAX];
    struct pollfd fds[HANDLES_MAX];
    uint64_t counts[HANDLES_MAX];
    unsigned count, current;
    size_t size;
} in;

static void on_message(hdb_handle_t handle, unsigned int node, const void *msg,
                       size_t size)
{
    (void)handle;
    (void)node;
    (void)msg;
    if (size != in.size)
        fail("a message of %zu bytes came, not %zu", size, in.size);
    in.counts[in.current]++;
}

/* What every handle has: the slowest one's count. */
static uint64_t receive(void)
{
    uint64_t least = UINT64_MAX;
    for (in.current = 0; in.current < in.count; in.current++) {
        evs_must("evs_dispatch",
                 evs_dispatch(in.handles[in.current], CS_DISPATCH_ALL));
        if (in.counts[in.current] < least)
            least = in.counts[in.current];
    }
    return least;
}

/* A burst within the window; false: there was no room for anything. */
static bool send_some(struct flow *f, evs_handle_t handle,
                      struct evs_group *group, const struct iovec *part)
{
    uint64_t sent = atomic_load(&f->sent), before = sent;
    uint64_t limit = atomic_load(&f->delivered) + f->window;
    for (int i = 0; i < BURST && sent < limit; i++) {
        cs_error_t error =
            evs_mcast_groups(handle, EVS_TYPE_AGREED, group, 1, part, 1);
        if (error == CS_ERR_TRY_AGAIN)
            break;
        evs_must("evs_mcast_groups", error);
        sent++;
    }
    atomic_store(&f->sent, sent);
    return sent > before;
}

static void sender(void *context)
{
    struct flow *f = context;
    struct evs_group group = evs_group_named("ipcbench deliver");
    evs_handle_t handle = evs_open(NULL);
    struct iovec part = {calloc(1, f->size), f->size};
    if (part.iov_base == NULL)
        fail("no memory");
    while (atomic_load(&f->end_ns) == 0)
        pause_ns(1000000);
    while (now_ns() < atomic_load(&f->end_ns))
        if (!send_some(f, handle, &group, &part))
            pause_ns(50000);
    evs_barrier(handle);
    atomic_store(&f->stopped, true);
    pause_ns(HANG_S * UINT64_C(1000000000));
}

static void receivers_open(unsigned count, size_t size)
{
    evs_callbacks_t callbacks = {.evs_deliver_fn = on_message};
    struct evs_group group = evs_group_named("ipcbench deliver");
    memset(&in, 0, sizeof in);
    in.count = count;
    in.size = size;
    for (unsigned i = 0; i < count; i++) {
        in.handles[i] = evs_open(&callbacks);
        evs_must("evs_join", evs_join(in.handles[i], &group, 1));
        in.fds[i].events = POLLIN;
        evs_must("evs_fd_get", evs_fd_get(in.handles[i], &in.fds[i].fd));
    }
}

static void receivers_close(void)
{
    for (unsigned i = 0; i < in.count; i++)
        evs_finalize(in.handles[i]);
}

static uint64_t delivered(void)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < in.count; i++)
        n += in.counts[i];
    return n;
}

/* What went on in the time that counts: after every ring has been filled once,
 * since memory that is new costs more. */
struct taken {
    uint64_t begin_ns, end_ns, messages, cpu_ns;
};

static void taken_begin(struct taken *t)
{
    *t = (struct taken){now_ns(), 0, delivered(), daemon_cpu_ns()};
}

static void taken_end(struct taken *t)
{
    t->end_ns = now_ns();
    t->messages = delivered() - t->messages;
    t->cpu_ns = daemon_cpu_ns() - t->cpu_ns;
}

/* Sends (or has sent) and receives until the time is over, then until all that
 * was sent is everywhere. */
static void flow_run(struct flow *f, bool send_too, struct taken *t)
{
    struct evs_group group = evs_group_named("ipcbench deliver");
    struct iovec part = {calloc(1, f->size), f->size};
    uint64_t begin = now_ns() + opt.run_ns / 2, end = begin + opt.run_ns;
    uint64_t give_up = end + HANG_S * UINT64_C(1000000000);
    uint64_t least = 0, last = 0, idle_ns = 0;
    if (part.iov_base == NULL)
        fail("no memory");
    *t = (struct taken){0, 0, 0, 0};
    atomic_store(&f->end_ns, end);
    for (;;) {
        uint64_t now = now_ns();
        if (now >= begin && t->begin_ns == 0)
            taken_begin(t);
        if (now >= end && t->end_ns == 0)
            taken_end(t);
        if (send_too && now >= end)
            atomic_store(&f->stopped, true);
        if (t->end_ns != 0 && atomic_load(&f->stopped) &&
            least == atomic_load(&f->sent))
            break;
        if (now > give_up)
            fail("%" PRIu64 " of %" PRIu64 " messages never came",
                 atomic_load(&f->sent) - least, atomic_load(&f->sent));
        if (send_too && now < end && send_some(f, in.handles[0], &group, &part))
            idle_ns = now;
        least = receive();
        atomic_store(&f->delivered, least);
        if (least != last)
            idle_ns = now;
        else if (now - idle_ns > IDLE_NS)
            poll(in.fds, in.count, 1);
        last = least;
    }
    for (unsigned i = 0; i < in.count; i++)
        if (in.counts[i] != least)
            fail("handle %u got %" PRIu64 " messages, not %" PRIu64, i,
                 in.counts[i], least);
    free(part.iov_base);
}

/* Records what `count` handles in this process get, together. */
static void deliver(const char *section, unsigned count, size_t size,
                    bool send_too)
{
    struct flow *f = shared_new(sizeof *f);
    struct taken t;
    char name[64];
    pid_t child = 0;
    f->size = size;
    f->window = UNDER_WAY_BYTES / (size + RECORD_BYTES);
    if (f->window < 4)
        f->window = 4;
    place(send_too ? PLACE_APART : PLACE_ANY);
    if (!send_too)
        child = child_start(sender, f);
    receivers_open(count, size);
    pause_ns(20000000); /* until the sender is there */
    flow_run(f, send_too, &t);
    if (child != 0)
        child_end(child);
    receivers_close();
    double n = (double)t.messages, s = seconds(t.end_ns - t.begin_ns);
    double cpu = (double)t.cpu_ns;
    snprintf(name, sizeof name, "%s.%zu_to_%u%s", section, size, count,
             send_too ? "" : "_other_sender");
    record(n / s, "%s_delivered_per_s", name);
    record(n * (double)size / s / 1e6, "%s_mb_per_s", name);
    record(cpu / n, "%s_daemon_ns_per_delivery", name);
    record(cpu / n / (double)size, "%s_daemon_ns_per_byte", name);
}

bool section_events(void)
{
    static const unsigned counts[] = {1, 2, 8, 20};
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++)
        deliver("events", counts[i], 64, true);
    deliver("events", 1, 64, false);
    deliver("events", 8, 64, false);
    return true;
}

bool section_fanout(void)
{
    static const unsigned counts[] = {1, 2, 8, 32};
    static const size_t sizes[] = {64, 1400, 65536};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++)
            deliver("fanout", counts[i], sizes[s], true);
    return true;
}

/* --- a quiet client beside a flood ---------------------------------------- */

static void flood(void *context)
{
    struct flow *f = context;
    struct evs_group nobody = evs_group_named("ipcbench nobody");
    evs_handle_t handle = evs_open(NULL);
    struct iovec part = {calloc(1, f->size), f->size};
    uint64_t n = 0;
    if (part.iov_base == NULL)
        fail("no memory");
    for (;;) {
        cs_error_t error =
            evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, &part, 1);
        /* Its ring is full: that is enough for a while. */
        if (error == CS_ERR_TRY_AGAIN)
            pause_ns(100000);
        else
            evs_must("evs_mcast_groups", error);
        if (error == CS_OK && ++n % BURST == 0)
            atomic_store(&f->sent, n);
    }
}

/* Sends one message to the own group and waits for it. */
static bool call_own(void *context)
{
    struct evs_group group = evs_group_named("ipcbench deliver");
    struct iovec part = {context, in.size};
    uint64_t before = in.counts[0];
    cs_error_t error =
        evs_mcast_groups(in.handles[0], EVS_TYPE_AGREED, &group, 1, &part, 1);
    evs_must("evs_mcast_groups", error);
    while (in.counts[0] == before)
        evs_must("evs_dispatch", evs_dispatch(in.handles[0], CS_DISPATCH_ONE));
    return in.counts[0] == before + 1;
}

static void quiet(size_t flood_size, const char *name)
{
    char payload[64] = "";
    struct calls c = {.call = call_own, .context = payload, .gap_ns = PACE_NS};
    struct flow *f = shared_new(sizeof *f);
    pid_t child = 0;
    place(PLACE_ANY);
    receivers_open(1, sizeof payload);
    f->size = flood_size;
    if (flood_size > 0) {
        child = child_start(flood, f);
        uint64_t give_up = now_ns() + HANG_S * UINT64_C(1000000000);
        while (atomic_load(&f->sent) == 0 && now_ns() < give_up)
            pause_ns(1000000);
    }
    uint64_t sent = atomic_load(&f->sent), begin = now_ns();
    time_calls(&c);
    sent = atomic_load(&f->sent) - sent;
    double s = seconds(now_ns() - begin);
    if (child != 0)
        child_end(child);
    receivers_close();
    record_calls(&c, "quiet.%s", name);
    if (flood_size == 0)
        return;
    record((double)sent / s, "quiet.%s_flood_per_s", name);
    if (sent == 0)
        fail("the flood stopped, or never came");
}

/* The quiet client has a real-time priority below the daemon's, as a program
 * that counts microseconds would: what is measured is the daemon's fairness,
 * and not how the kernel shares processors between two programs that want all.
 */
bool section_quiet(void)
{
    const struct sched_param above = {.sched_priority = 1}, normal = {0};
    bool real_time =
        sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &above) == 0;
    record(real_time, "quiet.real_time");
    quiet(0, "alone");
    quiet(64, "flood_64");
    quiet(65536, "flood_65536");
    if (real_time)
        sched_setscheduler(0, SCHED_OTHER, &normal);
    return true;
}

/* --- all processors busy -------------------------------------------------- */

/* Back to back and paced, with the processor time of who answers. */
static void busy(const char *name, bool (*call)(void *), void *context,
                 uint64_t (*cpu_ns)(void))
{
    for (int paced = 0; paced < 2; paced++) {
        struct calls c = {.call = call,
                          .context = context,
                          .gap_ns = paced ? PACE_NS : 0,
                          .cpu_ns = cpu_ns};
        const char *how = paced ? "_paced" : "";
        time_calls(&c);
        record_calls(&c, "busy.%s%s", name, how);
        record((double)c.total_ns / (double)c.h.total / 1e3,
               "busy.%s%s_mean_us", name, how);
    }
}

static uint64_t qb_cpu_ns(void)
{
    return process_cpu_ns(qb_pid());
}

static void busy_daemon(const char *name, const char *rundir)
{
    daemon_use(rundir);
    place(PLACE_ANY);
    evs_handle_t handle = evs_open(NULL);
    busy(name, evs_call, &handle, daemon_cpu_ns);
    evs_finalize(handle);
}

bool section_busy(void)
{
    size_t payload = 32;
    place(PLACE_ANY);
    strangers_start();
    busy_daemon("default", NULL);
    if (opt.spinless != NULL)
        busy_daemon("spinless", opt.spinless);
    else
        skip("busy: no daemon with `ipc { spin: 0 }` (--spinless)");
    if (qb_available()) {
        qb_start(true, PLACE_ANY);
        busy("libqb", qb_call, &payload, qb_cpu_ns);
        qb_stop();
    }
    strangers_end();
    daemon_use(NULL);
    return true;
}
