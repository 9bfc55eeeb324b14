/* SPDX-License-Identifier: BSD-3-Clause */
/* ipcbench.h - what the parts of ipcbench share.
 *
 * A section measures for a while and records figures by name, once in each run;
 * the report shows the median of the runs, beside the figures and limits that
 * ipcbench_report.c holds each of them against. Names are section.what_unit.
 *
 * One thread calls all this, but for time_calls(). */
#ifndef PERF_IPCBENCH_H
#define PERF_IPCBENCH_H

#include "test/evsclient.h"

#include <corosync/evs.h>
#include <sys/types.h>

enum {
    GAP_NS = 10000000, /* between calls, when both sides are to fall asleep */
    STREAM_SIZES = 7,
    RUNS_MAX = 101,
    HANG_S = 60 /* without the end that was due: give up */
};

struct options {
    uint64_t run_ns; /* of each figure, in each run */
    unsigned runs;
    const char *only;     /* sections; NULL: all */
    const char *json;     /* NULL: none; "": instead of the table */
    const char *spinless; /* run directory of the daemon that never spins */
    bool strict;
};

extern struct options opt;
extern const size_t stream_sizes[STREAM_SIZES]; /* bytes */

/* --- sections (ipcbench_*.c) ---------------------------------------------- */

/* False: not measured, and skip() has said why. */
bool section_limits(void);
bool section_libqb(void);
bool section_query(void);
bool section_stream(void);
bool section_events(void);
bool section_fanout(void);
bool section_quiet(void);
bool section_busy(void);
bool section_clients(void);

/* --- figures (ipcbench_report.c) ------------------------------------------ */

void record(double value, const char *name, ...)
    __attribute__((format(printf, 2, 3)));

struct calls;

/* p50 and p99 (us) and, if there was no gap between them, the calls a second,
 * and processor time if that was asked for. */
void record_calls(const struct calls *c, const char *name, ...)
    __attribute__((format(printf, 2, 3)));

/* A section was measured: the report insists on its figures. */
void record_section(const char *name);

/* Says why something is not measured; once for each text. */
void skip(const char *text);

/* The table and its closing line, the JSON. How many limits were missed, or
 * name a figure that a section should have measured and did not. */
unsigned report(void);

/* --- tools (ipcbench_tools.c) --------------------------------------------- */

/* Reports what there is, says what went wrong, ends the program; in a child
 * only the latter. */
_Noreturn void fail(const char *text, ...)
    __attribute__((format(printf, 1, 2)));

/* `size` zeroed bytes that children share. Never freed: there are few. */
void *shared_new(size_t size);

/* A child process that ends with this one, or by itself, or by child_end(). */
pid_t child_start(void (*body)(void *context), void *context);
void child_end(pid_t pid);
/* Ends it if it does not end by itself soon. */
void child_wait(pid_t pid);

/* The process ends, failed, if this is not called again in good time. */
void watchdog(void);

/* As many processes as processors (two at least) that do nothing but spin, at
 * normal priority, until strangers_end(). */
void strangers_start(void);
void strangers_end(void);

/* Where the client side (the calling thread and what it starts) and the daemon
 * may run: each on a processor of its own, or both anywhere. */
enum place { PLACE_APART, PLACE_ANY };
void place(enum place where);
const char *place_name(enum place where);
/* The same for a process that stands in the daemon's stead. */
void place_peer(pid_t pid, enum place where);

/* Finds the daemon that evs_initialize() reaches, or fails. NULL: the first
 * one, else the one of this run directory. */
void daemon_use(const char *rundir);
uint64_t daemon_cpu_ns(void);
double daemon_memory_mib(const char *key); /* of /proc/PID/status */
uint64_t process_cpu_ns(pid_t pid);

/* Calls one after the other, for run_ns (10 at least), after a short while that
 * does not count. */
struct calls {
    bool (*call)(void *context);
    void *context;
    uint64_t gap_ns;          /* a pause before each */
    uint64_t (*cpu_ns)(void); /* of who answers; NULL: not wanted */
    /* Out: */
    struct histogram h;
    uint64_t total_ns; /* of all calls, without the pauses */
    uint64_t wall_ns, used_ns;
};

/* For any thread. */
void time_calls(struct calls *c);

/* Sleeps; a processor's hint in a loop that waits. */
void pause_ns(uint64_t ns);
static inline void spin_hint(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* --- EVS (ipcbench_evs.c) ------------------------------------------------- */

/* A new handle, or it fails. */
evs_handle_t evs_open(evs_callbacks_t *callbacks);
void evs_must(const char *what, cs_error_t error);
bool evs_call(void *handle); /* evs_membership_get() of *handle */
struct evs_group evs_group_named(const char *name);
/* Returns once the daemon has taken all that was sent before. */
void evs_barrier(evs_handle_t handle);

/* --- libqb (ipcbench_qb.c, or ipcbench_noqb.c where it is missing) -------- */

bool qb_available(void); /* false: skip() has said it */
/* A server process and a connection to it; one at a time. */
void qb_start(bool shared_memory, enum place where);
void qb_stop(void);
pid_t qb_pid(void);
/* A round trip; *payload bytes (size_t) there, 32 back. */
bool qb_call(void *payload);
double qb_stream(size_t size); /* messages a second, client to server */
double qb_events(size_t size); /* the same, server to client */

#endif
