/* SPDX-License-Identifier: BSD-3-Clause */
/* ckptbench_run.c - writes and reads, counted and timed. */
#include "perf/ckptbench.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <unistd.h>

enum { TIMED_EVERY = 16, WHOLE_MAX = 1024, WATCH_NS = 20000000 };

struct worker {
    pthread_t thread;
    unsigned writer; /* whose sections it writes to, or reads */
    bool reads;
    SaCkptHandleT handle;
    SaCkptCheckpointHandleT checkpoint;
    uint8_t *copy;         /* a writer's, of the contents */
    uint8_t *buffer;       /* for what is read */
    SaCkptSectionIdT *ids; /* opt.sections of them */
    char (*id_bytes)[ID_SIZE_MAX];
    bool own;      /* nobody else has ever written there */
    uint64_t next; /* number of the next write, or read */
    uint64_t end_ns, cpu_ns, try_agains;
    struct histogram latency;
    /* For the lines of --every. */
    _Atomic uint64_t count, longest_ns;
};

/* What all workers have in common, for one size. */
static struct {
    size_t size;
    unsigned places; /* of a writer, in all its sections */
    SaNameT name;
    struct worker *workers;
    unsigned worker_count, writer_count;
    pthread_barrier_t ready, go;
    uint64_t begin_ns, end_ns; /* no end: UINT64_MAX */
    _Atomic unsigned running;
} run;

/* A signal has come. */
static atomic_bool stop;

static void on_signal(int number)
{
    static const char text[] = "ckptbench: a call has hung for minutes\n";

    if (number == SIGALRM)
        _exit(write(STDERR_FILENO, text, sizeof text - 1) > 0 ? 1 : 2);
    atomic_store_explicit(&stop, true, memory_order_relaxed);
}

static bool ends(uint64_t now)
{
    return now >= run.end_ns ||
           atomic_load_explicit(&stop, memory_order_relaxed);
}

static void *memory(size_t count, size_t size)
{
    void *at = calloc(count, size);

    if (at == NULL)
        fail("calloc", SA_AIS_ERR_NO_MEMORY);
    return at;
}

/* --- one write, one read -------------------------------------------------- */

/* Where write `number` of a writer goes: through all sections, then to the
 * next place in each. */
static const SaCkptSectionIdT *place_of(const struct worker *w, uint64_t number,
                                        uint64_t *offset)
{
    uint64_t place = number % run.places;

    *offset = place / opt.sections * run.size;
    return &w->ids[place % opt.sections];
}

static SaAisErrorT write_at(const struct worker *w, const SaCkptSectionIdT *id,
                            uint8_t *data, uint64_t offset)
{
    SaCkptIOVectorElementT e = {.sectionId = *id,
                                .dataBuffer = data,
                                .dataSize = run.size,
                                .dataOffset = offset};

    if (opt.places == 0 && opt.name == NULL)
        return saCkptSectionOverwrite(w->checkpoint, id, data, run.size);
    return saCkptCheckpointWrite(w->checkpoint, &e, 1, NULL);
}

/* Returns how long it took, TRY_AGAIN included. */
static uint64_t write_next(struct worker *w)
{
    struct patience p = {0};
    struct content c = content_begin(w->copy, run.size, w->writer, w->next);
    uint64_t offset, begin_ns = now_ns(), ns;
    const SaCkptSectionIdT *id = place_of(w, w->next, &offset);
    SaAisErrorT error;

    do
        error = write_at(w, id, c.data, offset);
    while (try_again(&p, error));
    ns = now_ns() - begin_ns;
    content_end(&c);
    if (error != SA_AIS_OK)
        fail("a write", error);
    w->try_agains += p.count;
    w->next++;
    return ns;
}

/* The last `count` writes, all to different places. */
static void verify(struct worker *w, uint64_t count)
{
    for (uint64_t number = w->next - count; number < w->next; number++) {
        uint64_t offset;
        const SaCkptSectionIdT *id = place_of(w, number, &offset);
        size_t got =
            section_read(w->checkpoint, id, w->buffer, run.size, offset);
        if (got != run.size || !content_is(w->buffer, got, w->writer, number))
            fail_text("thread %u: write %" PRIu64 " of %" PRIu64 " is not what "
                      "is read back (%zu of %zu bytes came)",
                      w->writer, number, w->next, got, run.size);
    }
}

static void read_next(struct worker *w)
{
    uint64_t offset;
    const SaCkptSectionIdT *id = place_of(w, w->next, &offset);
    size_t size = opt.read_size < run.size ? opt.read_size : run.size;
    size_t got = section_read(w->checkpoint, id, w->buffer, size, offset);

    if (got != size)
        fail_text("a read gave %zu of %zu bytes", got, size);
    if (w->own && (size <= WHOLE_MAX || w->next % TIMED_EVERY == 0) &&
        !content_is_any(w->buffer, size, w->writer))
        fail_text("read %" PRIu64 " of %zu bytes is no whole write of thread "
                  "%u's",
                  w->next, size, w->writer);
    w->next++;
}

/* --- workers -------------------------------------------------------------- */

static void count(struct worker *w, uint64_t n, uint64_t ns)
{
    histogram_add(&w->latency, ns);
    atomic_fetch_add_explicit(&w->count, n, memory_order_relaxed);
    if (ns > atomic_load_explicit(&w->longest_ns, memory_order_relaxed))
        atomic_store_explicit(&w->longest_ns, ns, memory_order_relaxed);
}

static void write_loop(struct worker *w)
{
    const uint64_t gap_ns = opt.rate == 0 ? 0 : 1000000000 / opt.rate;
    uint64_t now, due = run.begin_ns;

    for (uint64_t n = 1; !ends(now = now_ns()); n++) {
        if (now < due)
            pause_ns(due - now);
        due = (now < due ? due : now) + gap_ns;
        count(w, 1, write_next(w));
        if (opt.places > 0 && n % opt.places == 0)
            verify(w, opt.places);
        if (opt.writes > 0 && n >= opt.writes)
            break;
    }
}

/* One of some reads is timed: a look at the clock takes part of a read's. */
static void read_loop(struct worker *w)
{
    uint64_t begin_ns = now_ns(), end_ns;

    for (uint64_t n = TIMED_EVERY; !ends(begin_ns); n += TIMED_EVERY) {
        read_next(w);
        end_ns = now_ns();
        for (int i = 1; i < TIMED_EVERY; i++)
            read_next(w);
        count(w, TIMED_EVERY, end_ns - begin_ns);
        if (opt.writes > 0 && n >= opt.writes)
            break;
        begin_ns = now_ns();
    }
}

static void work(struct worker *w)
{
    uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);

    (w->reads ? read_loop : write_loop)(w);
    w->end_ns = now_ns();
    w->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
    atomic_fetch_sub_explicit(&run.running, 1, memory_order_release);
}

static void *worker_thread(void *context)
{
    pthread_barrier_wait(&run.ready);
    pthread_barrier_wait(&run.go);
    work(context);
    return NULL;
}

/* Beside the one that writes to them? */
static bool is_guest(const struct worker *w)
{
    return opt.mixed && w->reads;
}

static void prepare_sections(struct worker *w)
{
    w->ids = memory(opt.sections, sizeof *w->ids);
    w->id_bytes = memory(opt.sections, sizeof *w->id_bytes);
    w->own = true;
    for (unsigned i = 0; i < opt.sections; i++) {
        uint64_t number = (uint64_t)w->writer * opt.sections + i;
        w->ids[i] = section_id(number, w->id_bytes[i]);
        if (is_guest(w))
            continue;
        if (section_exists(w->checkpoint, &w->ids[i]) ||
            !section_create(w->checkpoint, number, NULL, 0))
            w->own = false;
    }
    if (is_guest(w))
        w->own = run.workers[w->writer].own;
}

/* Every place of its sections is written to once, so that it can be read. */
static void prepare(struct worker *w)
{
    struct worker *first = &run.workers[0];
    const SaCkptCheckpointCreationAttributesT attributes =
        attributes_of((uint64_t)run.writer_count * opt.sections,
                      (uint64_t)run.size * (opt.places > 0 ? opt.places : 1));

    if (opt.shared && w != first) {
        w->handle = first->handle;
        w->checkpoint = first->checkpoint;
    } else {
        w->handle = library_open();
        w->checkpoint = checkpoint_open(w->handle, &run.name, &attributes);
    }
    w->buffer = memory(1, run.size);
    prepare_sections(w);
    if (is_guest(w))
        return;
    w->copy = contents_copy();
    while (w->own && w->next < run.places)
        write_next(w);
    w->try_agains = 0;
}

static void workers_new(void)
{
    run.writer_count = opt.threads;
    run.worker_count = opt.mixed ? 2 * opt.threads : opt.threads;
    run.workers = memory(run.worker_count, sizeof *run.workers);
    for (unsigned i = 0; i < run.worker_count; i++) {
        run.workers[i].writer = i % opt.threads;
        run.workers[i].reads = opt.read || i >= opt.threads;
        prepare(&run.workers[i]);
    }
}

static void workers_free(void)
{
    struct patience p = {0};
    SaAisErrorT error = SA_AIS_OK;

    if (opt.name == NULL) {
        do
            error = saCkptCheckpointUnlink(run.workers[0].handle, &run.name);
        while (try_again(&p, error));
        if (error != SA_AIS_OK)
            fail("saCkptCheckpointUnlink", error);
    }
    for (unsigned i = 0; i < run.worker_count; i++) {
        struct worker *w = &run.workers[i];
        if ((i == 0 || !opt.shared) &&
            (error = saCkptFinalize(w->handle)) != SA_AIS_OK)
            fail("saCkptFinalize", error);
        free(w->copy);
        free(w->buffer);
        free(w->ids);
        free(w->id_bytes);
    }
    free(run.workers);
}

/* --- lines ---------------------------------------------------------------- */

struct sum {
    uint64_t count, bytes, cpu_ns, try_agains;
    double s;
    struct histogram latency;
};

static void sum_up(struct sum *sum, bool reads)
{
    size_t size = reads && opt.read_size < run.size ? opt.read_size : run.size;
    uint64_t end_ns = run.begin_ns + 1;

    memset(sum, 0, sizeof *sum);
    for (unsigned i = 0; i < run.worker_count; i++) {
        const struct worker *w = &run.workers[i];
        if (w->reads != reads)
            continue;
        sum->count += atomic_load(&w->count);
        sum->try_agains += w->try_agains;
        sum->cpu_ns += w->cpu_ns;
        if (w->end_ns > end_ns)
            end_ns = w->end_ns;
        for (unsigned b = 0;
             b < sizeof w->latency.counts / sizeof *w->latency.counts; b++)
            sum->latency.counts[b] += w->latency.counts[b];
        sum->latency.total += w->latency.total;
        if (w->latency.max > sum->latency.max)
            sum->latency.max = w->latency.max;
    }
    sum->bytes = sum->count * size;
    sum->s = seconds(end_ns - run.begin_ns);
}

static double us(const struct sum *sum, double part)
{
    return (double)histogram_part(&sum->latency, part) / 1e3;
}

static void print_text(const struct sum *sum, const char *what, size_t size)
{
    printf("%9" PRIu64 " %ss %7zu bytes per %s %7.3f seconds %11.1f %ss/s "
           "%9.3f MB/s  us: p50 %.1f p99 %.1f max %.1f",
           sum->count, what, size, what, sum->s, (double)sum->count / sum->s,
           what, (double)sum->bytes / sum->s / 1e6, us(sum, 0.5), us(sum, 0.99),
           (double)sum->latency.max / 1e3);
    if (sum->try_agains > 0)
        printf("  %" PRIu64 " TRY_AGAIN", sum->try_agains);
    putchar('\n');
}

static void print_json(const struct sum *sum, const char *what)
{
    printf(", \"%ss\": %" PRIu64 ", \"%s_seconds\": %.4f, \"%ss_per_s\": %.1f, "
           "\"%s_mb_per_s\": %.3f, \"%s_p50_us\": %.1f, \"%s_p99_us\": %.1f, "
           "\"%s_max_us\": %.1f, \"%s_cpu_us\": %.3f, "
           "\"%s_try_agains\": %" PRIu64,
           what, sum->count, what, sum->s, what, (double)sum->count / sum->s,
           what, (double)sum->bytes / sum->s / 1e6, what, us(sum, 0.5), what,
           us(sum, 0.99), what, (double)sum->latency.max / 1e3, what,
           (double)sum->cpu_ns / 1e3 / (double)(sum->count + 1), what,
           sum->try_agains);
}

static void print_line(void)
{
    size_t read_size = opt.read_size < run.size ? opt.read_size : run.size;
    struct sum sum;

    if (opt.json)
        printf("{\"size\": %zu, \"threads\": %u", run.size, opt.threads);
    for (int reads = opt.read; reads <= (opt.read || opt.mixed); reads++) {
        sum_up(&sum, reads);
        if (opt.json)
            print_json(&sum, reads ? "read" : "write");
        else
            print_text(&sum, reads ? "read" : "write",
                       reads ? read_size : run.size);
    }
    if (opt.json)
        puts("}");
}

/* What has happened since the line before. */
static void print_interval(uint64_t *since_ns, uint64_t before[2])
{
    uint64_t counts[2] = {0, 0}, longest[2] = {0, 0}, now = now_ns();
    double s = seconds(now - *since_ns);

    for (unsigned i = 0; i < run.worker_count; i++) {
        struct worker *w = &run.workers[i];
        uint64_t ns =
            atomic_exchange_explicit(&w->longest_ns, 0, memory_order_relaxed);
        counts[w->reads] +=
            atomic_load_explicit(&w->count, memory_order_relaxed);
        if (ns > longest[w->reads])
            longest[w->reads] = ns;
    }
    printf("{\"time\": %.3f, \"interval_s\": %.3f, \"writes_per_s\": %.1f, "
           "\"write_max_us\": %.1f, \"reads_per_s\": %.1f, "
           "\"read_max_us\": %.1f}\n",
           seconds(clock_ns(CLOCK_REALTIME)), s,
           (double)(counts[0] - before[0]) / s, (double)longest[0] / 1e3,
           (double)(counts[1] - before[1]) / s, (double)longest[1] / 1e3);
    memcpy(before, counts, sizeof counts);
    *since_ns = now;
}

/* --- one size ------------------------------------------------------------- */

static void begin(void)
{
    atomic_store(&run.running, run.worker_count);
    run.begin_ns = now_ns();
    run.end_ns = opt.run_ns == 0 ? UINT64_MAX : run.begin_ns + opt.run_ns;
}

static void run_threads(void)
{
    uint64_t since_ns, before[2] = {0, 0};

    pthread_barrier_init(&run.ready, NULL, run.worker_count + 1);
    pthread_barrier_init(&run.go, NULL, run.worker_count + 1);
    for (unsigned i = 0; i < run.worker_count; i++) {
        struct worker *w = &run.workers[i];
        int error = pthread_create(&w->thread, NULL, worker_thread, w);
        if (error != 0)
            fail_text("pthread_create: %s", strerror(error));
    }
    pthread_barrier_wait(&run.ready);
    begin();
    pthread_barrier_wait(&run.go);
    since_ns = run.begin_ns;
    while (opt.every_ns > 0 && atomic_load(&run.running) > 0) {
        pause_ns(WATCH_NS);
        if (now_ns() - since_ns >= opt.every_ns)
            print_interval(&since_ns, before);
    }
    for (unsigned i = 0; i < run.worker_count; i++)
        pthread_join(run.workers[i].thread, NULL);
    pthread_barrier_destroy(&run.ready);
    pthread_barrier_destroy(&run.go);
}

static void run_size(size_t size)
{
    uint64_t mine = 0;
    char text[64];

    while (mine == 0)
        if (getrandom(&mine, sizeof mine, 0) < 0)
            continue;
    snprintf(text, sizeof text, "ckptbench %016" PRIx64, mine);
    run.name = name_of(opt.name != NULL ? opt.name : text);
    run.size = size;
    run.places = opt.sections * (opt.places > 0 ? opt.places : 1);
    alarm(opt.run_ns == 0 ? 3600
                          : 3 * HANG_S + (unsigned)(opt.run_ns / 1000000000));
    workers_new();
    if (run.worker_count > 1 || opt.every_ns > 0) {
        run_threads();
    } else {
        begin();
        work(&run.workers[0]);
    }
    for (unsigned i = 0; i < run.worker_count; i++) {
        struct worker *w = &run.workers[i];
        if (!w->reads)
            verify(w, w->next < run.places ? w->next : run.places);
    }
    print_line();
    workers_free();
}

void bench_run(void)
{
    const struct sigaction action = {.sa_handler = on_signal,
                                     .sa_flags = SA_RESTART};
    size_t size_max = 0;

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < opt.size_count; i++)
        if (opt.sizes[i] > size_max)
            size_max = opt.sizes[i];
    contents_init(size_max);
    for (unsigned i = 0; i < opt.size_count && !atomic_load(&stop); i++)
        run_size(opt.sizes[i]);
}
