/* SPDX-License-Identifier: BSD-3-Clause */
/* ipcbench_evs.c - requests and streams of EVS clients to their daemon. */
#include "perf/ipcbench.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

enum {
    CLIENTS = 1000,
    ACTIVE = 20,
    GROUPS_MAX = 50,
    LOOK_EVERY = 16 /* messages between two looks at the clock */
};

void evs_must(const char *what, cs_error_t error)
{
    if (error != CS_OK)
        fail("%s: %s (%d): %s", what, cs_strerror(error), (int)error,
             error_remedy(error));
}

evs_handle_t evs_open(evs_callbacks_t *callbacks)
{
    evs_handle_t handle;
    evs_must("evs_initialize", evs_initialize(&handle, callbacks));
    return handle;
}

bool evs_call(void *context)
{
    unsigned node = 0, members[128];
    size_t count = 128;
    const evs_handle_t *handle = context;
    return evs_membership_get(*handle, &node, members, &count) == CS_OK &&
           count >= 1 && node != 0;
}

struct evs_group evs_group_named(const char *name)
{
    struct evs_group group = {{0}};
    memcpy(group.key, name, strnlen(name, sizeof group.key));
    return group;
}

/* A join is taken from the same ring, and answered. */
void evs_barrier(evs_handle_t handle)
{
    struct evs_group group = evs_group_named("ipcbench barrier");
    evs_must("evs_join", evs_join(handle, &group, 1));
    evs_must("evs_leave", evs_leave(handle, &group, 1));
}

/* --- query ---------------------------------------------------------------- */

/* A request with a payload: 32 bytes for each group. */
struct joining {
    evs_handle_t handle;
    size_t count;
    struct evs_group groups[GROUPS_MAX];
    bool joined;
};

static bool call_join(void *context)
{
    struct joining *j = context;
    j->joined = !j->joined;
    return (j->joined ? evs_join : evs_leave)(j->handle, j->groups, j->count) ==
           CS_OK;
}

static void payloads(evs_handle_t handle)
{
    static const size_t counts[] = {1, 8, 50};
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct joining j = {.handle = handle, .count = counts[i]};
        struct calls c = {.call = call_join, .context = &j};
        for (unsigned g = 0; g < counts[i]; g++)
            snprintf(j.groups[g].key, sizeof j.groups[g].key, "ipcbench %u", g);
        time_calls(&c);
        if (j.joined)
            call_join(&j);
        record_calls(&c, "query.join_%zu", counts[i] * 32);
    }
}

struct caller {
    evs_handle_t handle;
    pthread_t thread;
    pthread_barrier_t *begin;
    struct calls calls;
};

static void *caller_run(void *context)
{
    struct caller *c = context;
    pthread_barrier_wait(c->begin);
    c->calls.call = evs_call;
    c->calls.context = &c->handle;
    time_calls(&c->calls);
    return NULL;
}

static void merge(struct histogram *all, const struct histogram *h)
{
    for (unsigned b = 0; b < sizeof all->counts / sizeof *all->counts; b++)
        all->counts[b] += h->counts[b];
    all->total += h->total;
    if (h->max > all->max)
        all->max = h->max;
}

/* `count` threads call at once, each with a handle of its own. */
static void crowd(const evs_handle_t *handles, unsigned count, const char *name)
{
    struct caller *callers = calloc(count, sizeof *callers);
    struct calls all = {.call = evs_call};
    pthread_barrier_t begin;
    double per_ns = 0; /* calls, of all threads */
    if (callers == NULL || pthread_barrier_init(&begin, NULL, count) != 0)
        fail("no memory");
    for (unsigned i = 0; i < count; i++) {
        callers[i].handle = handles[i];
        callers[i].begin = &begin;
        if (pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]) !=
            0)
            fail("pthread_create");
    }
    for (unsigned i = 0; i < count; i++) {
        const struct calls *c = &callers[i].calls;
        pthread_join(callers[i].thread, NULL);
        merge(&all.h, &c->h);
        per_ns += (double)c->h.total / (double)c->total_ns;
    }
    all.total_ns = (uint64_t)((double)all.h.total / per_ns);
    record_calls(&all, "%s", name);
    pthread_barrier_destroy(&begin);
    free(callers);
}

bool section_query(void)
{
    static const enum place places[] = {PLACE_APART, PLACE_ANY};
    static const unsigned crowds[] = {1, 2, 4, 8, 20};
    evs_handle_t handles[ACTIVE];
    char name[32];
    handles[0] = evs_open(NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct calls c = {
            .call = evs_call, .context = handles, .cpu_ns = daemon_cpu_ns};
        place(places[i]);
        time_calls(&c);
        record_calls(&c, "query.%s", place_name(places[i]));
    }
    struct calls c = {.call = evs_call, .context = handles, .gap_ns = GAP_NS};
    place(PLACE_APART);
    time_calls(&c);
    record_calls(&c, "query.asleep");
    payloads(handles[0]);
    for (unsigned i = 1; i < ACTIVE; i++)
        handles[i] = evs_open(NULL);
    place(PLACE_ANY);
    for (unsigned i = 0; i < sizeof crowds / sizeof *crowds; i++) {
        snprintf(name, sizeof name, "query.clients_%u", crowds[i]);
        crowd(handles, crowds[i], name);
    }
    for (unsigned i = 0; i < ACTIVE; i++)
        evs_finalize(handles[i]);
    return true;
}

/* --- stream --------------------------------------------------------------- */

struct sent {
    uint64_t messages, full; /* full: tries that found no room */
};

static struct sent stream_for(evs_handle_t handle, const struct iovec *part,
                              uint64_t run_ns)
{
    struct evs_group nobody = evs_group_named("ipcbench nobody");
    struct sent s = {0, 0};
    uint64_t end = now_ns() + run_ns;
    for (uint64_t i = 0; i % LOOK_EVERY != 0 || now_ns() < end; i++) {
        cs_error_t error =
            evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, part, 1);
        if (error == CS_OK) {
            s.messages++;
        } else if (error == CS_ERR_TRY_AGAIN) {
            s.full++;
            spin_hint();
        } else {
            evs_must("evs_mcast_groups", error);
        }
    }
    evs_barrier(handle);
    return s;
}

static void stream(size_t size, enum place where)
{
    evs_handle_t handle = evs_open(NULL);
    struct iovec part = {calloc(1, size), size};
    char name[32];
    if (part.iov_base == NULL)
        fail("no memory");
    place(where);
    /* Until the ring's memory is no longer new. */
    stream_for(handle, &part, opt.run_ns / 4);
    uint64_t cpu = daemon_cpu_ns(), begin = now_ns();
    struct sent sent = stream_for(handle, &part, opt.run_ns);
    double s = seconds(now_ns() - begin), n = (double)sent.messages;
    double cpu_us = (double)(daemon_cpu_ns() - cpu) / 1e3;
    evs_finalize(handle);
    free(part.iov_base);
    snprintf(name, sizeof name, "stream.%zu%s", size,
             where == PLACE_ANY ? "_any" : "");
    record(n / s, "%s_per_s", name);
    record(n * (double)size / s / 1e6, "%s_mb_per_s", name);
    record(cpu_us / n, "%s_daemon_us_per_msg", name);
    record((double)sent.full / n, "%s_full_per_msg", name);
}

bool section_stream(void)
{
    for (int i = 0; i < STREAM_SIZES; i++)
        stream(stream_sizes[i], PLACE_APART);
    stream(64, PLACE_ANY);
    return true;
}

/* --- a thousand clients --------------------------------------------------- */

struct turns {
    evs_handle_t handles[CLIENTS];
    unsigned active, next;
};

static bool call_next(void *context)
{
    struct turns *t = context;
    t->next = (t->next + 1) % t->active;
    /* Spread over all, as the daemon's tables are. */
    return evs_call(&t->handles[t->next * (CLIENTS / ACTIVE)]);
}

static void turns_time(struct turns *t, unsigned active, const char *name)
{
    struct calls c = {.call = call_next, .context = t};
    t->active = active;
    t->next = 0;
    time_calls(&c);
    record_calls(&c, "clients.%s", name);
}

static void descriptors(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("setrlimit: %s", strerror(errno));
}

bool section_clients(void)
{
    static struct turns t;
    evs_handle_t active[ACTIVE];
    descriptors();
    place(PLACE_APART);
    record(daemon_memory_mib("VmRSS"), "clients.before_daemon_rss_mib");
    t.handles[0] = evs_open(NULL);
    turns_time(&t, 1, "1_of_1");
    uint64_t begin = now_ns();
    for (unsigned i = 1; i < CLIENTS; i++)
        t.handles[i] = evs_open(NULL);
    record((double)(now_ns() - begin) / 1e3 / (CLIENTS - 1),
           "clients.connect_mean_us");
    turns_time(&t, 1, "1_of_1000");
    turns_time(&t, ACTIVE, "20_of_1000");
    for (unsigned i = 0; i < ACTIVE; i++)
        active[i] = t.handles[i * (CLIENTS / ACTIVE)];
    place(PLACE_ANY);
    crowd(active, ACTIVE, "clients.20_threads_of_1000");
    record(daemon_memory_mib("VmRSS"), "clients.daemon_rss_mib");
    record(daemon_memory_mib("RssAnon"), "clients.daemon_rss_anon_mib");
    record(daemon_memory_mib("RssShmem"), "clients.daemon_rss_shared_mib");
    for (unsigned i = 0; i < CLIENTS; i++)
        evs_finalize(t.handles[i]);
    return true;
}
