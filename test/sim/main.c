// SPDX-License-Identifier: BSD-3-Clause
// The simulator's command line. Runs are spread over processes: one that dies
// (a CHECK of the core, a sanitizer's finding) costs its seed a failure, and
// the next process goes on behind it.
#include "test/sim/sim.h"

#include "daemon/base/check.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    JOBS_MAX = 64,
    FAILURES_SHOWN = 20,
    SEED_BASE = 1000000,
    COUNT_FULL = 2000, /* of that many scenarios coverage is demanded */
    FORM_RUNS = 20,
    FORM_RUNS_BESIDES = 5, /* beside that many scenarios */
    SECONDS_MAX = 300      /* of processor time, for one run */
};

struct options {
    uint64_t seed, seed_base, count;
    const char *class;
    bool one, trace, coverage, first, whole, form;
    uint32_t nodes, jobs;
};

struct worker { /* shared with the parent */
    struct results results;
    uint64_t next; /* of the seeds; the one it is at is the one before */
    bool running;
    pid_t pid;
};

static const char help[] =
    "usage: sim [--count n] [--seed-base n] [--jobs n] [--nodes n] "
    "[--class name]\n           [--coverage] [--first]\n"
    "       sim --form [--count n] [--nodes n]\n"
    "       sim --seed n [--nodes n] [--class name] [--trace] [--whole]\n"
    "Runs clusters in virtual time and checks what they deliver.\n"
    "  --count n      run n scenarios (default 2000)\n"
    "  --seed-base n  the first one's seed (default 1000000)\n"
    "  --jobs n       processes (default: one for each processor)\n"
    "  --nodes n      clusters of n nodes, 1 .. 128 (default: by the seed)\n"
    "  --class name   only scenarios of that class, as their titles name it\n"
    "  --first        stop at the first failure\n"
    "  --coverage     print the state transitions and faults that were seen\n"
    "  --form         how long n nodes (default: 3, 32, 128) take to form a\n"
    "                 ring, in n runs (default: 20)\n"
    "  --seed n       replay one scenario, with its time line; one that fails\n"
    "                 is made as small as it can be first\n"
    "  --whole        do not make it smaller\n"
    "  --trace        the time line tells of packets and deliveries too\n";

static _Noreturn void usage(FILE *to, int status)
{
    fputs(help, to);
    exit(status);
}

static uint64_t number(const char *name, const char *text, uint64_t low,
                       uint64_t high)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || value < low ||
        value > high) {
        fprintf(stderr, "sim: --%s: not a number from %llu to %llu: %s\n", name,
                (unsigned long long)low, (unsigned long long)high, text);
        exit(2);
    }
    return value;
}

static struct options options_read(int argc, char **argv)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'},
        {"seed-base", required_argument, NULL, 'b'},
        {"count", required_argument, NULL, 'c'},
        {"jobs", required_argument, NULL, 'j'},
        {"nodes", required_argument, NULL, 'n'},
        {"class", required_argument, NULL, 'k'},
        {"trace", no_argument, NULL, 't'},
        {"coverage", no_argument, NULL, 'v'},
        {"form", no_argument, NULL, 'o'},
        {"first", no_argument, NULL, 'f'},
        {"whole", no_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct options o = {.seed_base = SEED_BASE,
                        .count = 0,
                        .jobs = processors < 1 ? 1 : (uint32_t)processors};
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 's':
            o.one = true;
            o.seed = number("seed", optarg, 0, UINT64_MAX);
            break;
        case 'b':
            o.seed_base = number("seed-base", optarg, 0, UINT64_MAX / 2);
            break;
        case 'c':
            o.count = number("count", optarg, 1, UINT32_MAX);
            break;
        case 'j':
            o.jobs = (uint32_t)number("jobs", optarg, 1, JOBS_MAX);
            break;
        case 'n':
            o.nodes = (uint32_t)number("nodes", optarg, 1, TOTEM_NODES_MAX);
            break;
        case 'k':
            if (!scenario_only(optarg)) {
                fprintf(stderr, "sim: --class: no such class: %s\n", optarg);
                exit(2);
            }
            o.class = optarg;
            break;
        case 't':
            o.trace = true;
            break;
        case 'v':
            o.coverage = true;
            break;
        case 'w':
            o.whole = true;
            break;
        case 'o':
            o.form = true;
            break;
        case 'f':
            o.first = true;
            break;
        case 'h':
            usage(stdout, 0);
        default:
            usage(stderr, 2);
        }
    }
    if (optind != argc)
        usage(stderr, 2);
    if (o.jobs > JOBS_MAX)
        o.jobs = JOBS_MAX;
    if (o.count == 0)
        o.count = o.form ? FORM_RUNS : COUNT_FULL;
    return o;
}

static void print_sums(const struct results *r)
{
    printf("simulated %.1f s: %llu messages, %llu deliveries, %llu "
           "configurations, %llu packets, %llu steps\n",
           (double)r->virtual_ns / 1e9, (unsigned long long)r->messages,
           (unsigned long long)r->deliveries,
           (unsigned long long)r->configurations,
           (unsigned long long)r->packets, (unsigned long long)r->steps);
}

static int finish(struct results *r, bool coverage)
{
    print_sums(r);
    if (coverage)
        coverage_print(r);
    else
        printf("%u different state transitions (--coverage lists them)\n",
               r->coverage_count);
    printf("%llu passed, %llu failed, %llu skipped\n",
           (unsigned long long)r->passed, (unsigned long long)r->failed,
           (unsigned long long)r->skipped);
    return r->failed == 0 ? 0 : 1;
}

static void print_failure(const struct options *o, uint64_t seed,
                          const char *text)
{
    printf("FAILED seed %llu: %s\n    replay: build/plain/sim --seed %llu",
           (unsigned long long)seed, text, (unsigned long long)seed);
    if (o->nodes != 0)
        printf(" --nodes %u", o->nodes);
    if (o->class != NULL)
        printf(" --class '%s'", o->class);
    putchar('\n');
    fflush(stdout);
}

static int run_one(const struct options *o)
{
    struct scenario s;
    static struct results results;
    char text[1024];
    setvbuf(stdout, NULL, _IOLBF, 0);
    scenario_make(&s, o->seed, o->nodes);
    if (!o->whole &&
        !world_run(&s, false, false, &results, text, sizeof text)) {
        uint32_t faults = s.fault_count, runs = scenario_shrink(&s, text);
        printf("fails; shrunk in %u runs from %u faults to %u "
               "(--whole: as it was)\n",
               runs, faults, s.fault_count);
    }
    memset(&results, 0, sizeof results);
    scenario_print(&s);
    if (!world_run(&s, true, o->trace, &results, text, sizeof text))
        print_failure(o, o->seed, text);
    return finish(&results, o->coverage);
}

// --- many
// ---------------------------------------------------------------------

static void run_some(const struct options *o, struct worker *w)
{
    struct scenario s;
    char text[1024];
    while (w->next < o->count) {
        uint64_t seed = o->seed_base + w->next;
        w->next += o->jobs;
        struct itimerval limit = {.it_value.tv_sec = SECONDS_MAX};
        setitimer(ITIMER_VIRTUAL, &limit, NULL);
        scenario_make(&s, seed, o->nodes);
        if (!world_run(&s, false, false, &w->results, text, sizeof text) &&
            w->results.failed <= FAILURES_SHOWN)
            print_failure(o, seed, text);
    }
}

static void worker_start(const struct options *o, struct worker *w)
{
    fflush(stdout);
    pid_t pid = fork(); /* not straight into memory that the child shares */
    CHECK(pid >= 0);
    if (pid != 0) {
        w->pid = pid;
        w->running = true;
        return;
    }
    run_some(o, w);
    exit(0); /* so that leaks are looked for, and coverage is written */
}

/* A worker ended. If it did not come to its end, the seed it was at failed. */
static void worker_ended(const struct options *o, struct worker *w, int status)
{
    w->running = false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    char text[80];
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "the core died of signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, sizeof text, "the core ended with status %d",
                 WEXITSTATUS(status));
    print_failure(o, o->seed_base + w->next - o->jobs, text);
    w->results.failed++;
    if (w->results.failed < FAILURES_SHOWN * 10)
        worker_start(o, w);
    else
        printf("too many failures, giving up\n");
}

/* With --first: one failure is enough. The others' scenarios do not count. */
static void stop_at_first(const struct options *o, struct worker *workers)
{
    uint64_t failed = 0;
    for (uint32_t i = 0; i < o->jobs; i++)
        failed += workers[i].results.failed;
    if (!o->first || failed == 0)
        return;
    for (uint32_t i = 0; i < o->jobs; i++) {
        if (!workers[i].running)
            continue;
        kill(workers[i].pid, SIGKILL);
        waitpid(workers[i].pid, NULL, 0);
        workers[i].running = false;
    }
}

static void print_progress(const struct options *o, struct worker *workers)
{
    static uint64_t shown;
    uint64_t done = 0;
    for (uint32_t i = 0; i < o->jobs; i++)
        done += workers[i].results.passed + workers[i].results.failed;
    if (done < shown + o->count / 10 + 1)
        return;
    shown = done;
    printf("%llu of %llu\n", (unsigned long long)done,
           (unsigned long long)o->count);
    fflush(stdout);
}

static int run_many(const struct options *o)
{
    struct worker *workers =
        mmap(NULL, o->jobs * sizeof *workers, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(workers != MAP_FAILED);
    printf("%llu scenarios, seeds from %llu, %u at a time\n",
           (unsigned long long)o->count, (unsigned long long)o->seed_base,
           o->jobs);
    for (uint32_t i = 0; i < o->jobs; i++) {
        workers[i].next = i;
        worker_start(o, &workers[i]);
    }
    uint32_t running = o->jobs;
    while (running > 0) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            usleep(20000);
        print_progress(o, workers);
        for (uint32_t i = 0; i < o->jobs && pid > 0; i++)
            if (workers[i].running && workers[i].pid == pid)
                worker_ended(o, &workers[i], status);
        stop_at_first(o, workers);
        running = 0;
        for (uint32_t i = 0; i < o->jobs; i++)
            running += workers[i].running ? 1 : 0;
    }
    static struct results sum;
    for (uint32_t i = 0; i < o->jobs; i++)
        results_add(&sum, &workers[i].results);
    munmap(workers, o->jobs * sizeof *workers);
    if (o->nodes == 0 && o->class == NULL && !o->first &&
        o->count >= COUNT_FULL) {
        form_check(0, FORM_RUNS_BESIDES, &sum);
        uint32_t wrong = coverage_check(&sum);
        *(wrong == 0 ? &sum.passed : &sum.failed) += wrong == 0 ? 1 : wrong;
    }
    return finish(&sum, o->coverage);
}

static int run_form(const struct options *o)
{
    static struct results results;
    form_check(o->nodes, o->count < UINT32_MAX ? (uint32_t)o->count : 0,
               &results);
    printf("%llu passed, %llu failed, 0 skipped\n",
           (unsigned long long)results.passed,
           (unsigned long long)results.failed);
    return results.failed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options o = options_read(argc, argv);
    /* What a service reserves and seldom needs is not to be cleared each time a
     * node starts. (A sanitizer's malloc() knows nothing of it.) */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    if (o.form)
        return run_form(&o);
    return o.one ? run_one(&o) : run_many(&o);
}
