/* SPDX-License-Identifier: BSD-3-Clause */
/* ipcbench - clients and their daemon on one machine: round trips, streams,
 * deliveries, crowds, beside the limits of the machine and, where it was
 * installed at build time, libqb. perf/ipc.sh starts the daemons that it needs.
 *
 * Runs go round all sections, so that a machine whose speed drifts is as fair
 * to each as it can be. */
#include "perf/ipcbench.h"

#include <getopt.h>
#include <signal.h>
#include <unistd.h>

struct options opt = {.run_ns = 500000000, .runs = 3};

/* Payloads; the last is the largest message there is. */
const size_t stream_sizes[STREAM_SIZES] = {32,   64,    200,    1400,
                                           8192, 65536, 1048576};

static const struct section {
    const char *name;
    bool (*run)(void);
    bool daemon; /* needs it */
} sections[] = {
    {"limits", section_limits, false}, {"libqb", section_libqb, false},
    {"query", section_query, true},    {"stream", section_stream, true},
    {"events", section_events, true},  {"fanout", section_fanout, true},
    {"quiet", section_quiet, true},    {"busy", section_busy, true},
    {"clients", section_clients, true}};
enum { SECTIONS = sizeof sections / sizeof *sections };

static void on_alarm(int number)
{
    static const char text[] = "ipcbench: a section takes far too long\n";
    (void)number;
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    _exit(n > 0 ? 1 : 2);
}

static const char usage[] =
    "usage: ipcbench [options]\n"
    "  --only SECTION[,SECTION...]\n"
    "                    limits, libqb, query, stream, events, fanout, quiet,\n"
    "                    busy, clients (all)\n"
    "  --seconds S       for each figure, in each run (0.5)\n"
    "  --runs N          the median counts (3)\n"
    "  --spinless DIR    run directory of a daemon with `ipc { spin: 0 }`\n"
    "  --json[=FILE]     JSON in place of the table, or in a file beside it\n"
    "  --strict          status 1 if a limit is missed\n"
    "The daemon is the one that OPENAIS_RUNDIR names.\n";

static _Noreturn void usage_error(void)
{
    fputs(usage, stderr);
    exit(2);
}

static bool is_wanted(const char *name)
{
    size_t n = strlen(name);
    for (const char *at = opt.only; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    }
    return opt.only == NULL;
}

static void check_only(void)
{
    for (const char *at = opt.only; at != NULL; at = strchr(at, ',')) {
        bool known = false;
        at += *at == ',';
        for (unsigned i = 0; i < SECTIONS && !known; i++)
            known = strlen(sections[i].name) == strcspn(at, ",") &&
                    strncmp(at, sections[i].name, strcspn(at, ",")) == 0;
        if (!known)
            usage_error();
    }
}

static void option(int c)
{
    switch (c) {
    case 'o':
        opt.only = optarg;
        break;
    case 's':
        opt.run_ns = seconds_arg("--seconds", optarg);
        break;
    case 'r':
        opt.runs = (unsigned)number_arg("--runs", optarg, 1, RUNS_MAX);
        break;
    case 'p':
        opt.spinless = optarg;
        break;
    case 'j':
        opt.json = optarg == NULL ? "" : optarg;
        break;
    case 'S':
        opt.strict = true;
        break;
    case 'h':
        fputs(usage, stdout);
        exit(0);
    default:
        usage_error();
    }
}

static void options(int argc, char **argv)
{
    static const struct option list[] = {
        {"only", 1, NULL, 'o'}, {"seconds", 1, NULL, 's'},
        {"runs", 1, NULL, 'r'}, {"spinless", 1, NULL, 'p'},
        {"json", 2, NULL, 'j'}, {"strict", 0, NULL, 'S'},
        {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "h", list, NULL)) != -1)
        option(c);
    if (optind < argc || opt.run_ns == 0)
        usage_error();
    check_only();
}

static void run_all(void)
{
    bool found = false;
    for (unsigned i = 0; i < SECTIONS; i++) {
        const struct section *s = &sections[i];
        if (!is_wanted(s->name))
            continue;
        if (s->daemon && !found) {
            daemon_use(NULL);
            found = true;
        }
        watchdog();
        if (s->run())
            record_section(s->name);
    }
    alarm(0);
}

int main(int argc, char **argv)
{
    options(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGALRM, on_alarm);
    for (unsigned run = 0; run < opt.runs; run++)
        run_all();
    unsigned missed = report();
    return opt.strict && missed > 0;
}
