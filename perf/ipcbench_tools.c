/* SPDX-License-Identifier: BSD-3-Clause */
/* ipcbench_tools.c - processes, processors, time. */
#include "perf/ipcbench.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <dirent.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STRANGERS_MAX = 256, WARM_CALLS_MAX = 2000, TIMED_MIN = 10 };
static const uint64_t WARM_NS = 20000000;

static bool in_child;

void fail(const char *text, ...)
{
    va_list arguments;
    if (!in_child)
        report();
    fflush(stdout);
    fputs("ipcbench: ", stderr);
    va_start(arguments, text);
    vfprintf(stderr, text, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    if (in_child)
        _exit(1);
    exit(1);
}

void *shared_new(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    return at;
}

/* --- processes ------------------------------------------------------------ */

pid_t child_start(void (*body)(void *context), void *context)
{
    pid_t parent = getpid(), pid;
    fflush(NULL);
    pid = fork();
    if (pid < 0)
        fail("fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    in_child = true;
    /* The parent may be gone before this asks to go with it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(1);
    watchdog();
    body(context);
    _exit(0);
}

static void ended(int status)
{
    /* One that had something to complain about has said it. */
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        fail("a process of the benchmark failed");
}

void child_end(pid_t pid)
{
    int status = 0;
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    ended(status);
}

void child_wait(pid_t pid)
{
    int status = 0;
    for (int i = 0; i < 500; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            ended(status);
            return;
        }
        pause_ns(10000000);
    }
    child_end(pid);
}

void watchdog(void)
{
    /* No section has more figures than this. */
    alarm(4 * HANG_S + 60 * (unsigned)(1 + opt.run_ns / 1000000000));
}

static struct {
    pid_t pids[STRANGERS_MAX];
    unsigned count;
} strangers;

static void stranger(void *context)
{
    (void)context;
    for (;;)
        spin_hint();
}

void strangers_start(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned want = processors < 2               ? 2
                    : processors > STRANGERS_MAX ? STRANGERS_MAX
                                                 : (unsigned)processors;
    while (strangers.count < want)
        strangers.pids[strangers.count++] = child_start(stranger, NULL);
}

void strangers_end(void)
{
    while (strangers.count > 0)
        child_end(strangers.pids[--strangers.count]);
}

uint64_t process_cpu_ns(pid_t pid)
{
    clockid_t clock;
    int error = clock_getcpuclockid(pid, &clock);
    if (error != 0)
        fail("processor time of process %d: %s", (int)pid, strerror(error));
    return clock_ns(clock);
}

/* --- processors ----------------------------------------------------------- */

static struct {
    unsigned count; /* known, 2 at most */
    cpu_set_t all;
    size_t client, daemon;
} cpus;

static void cpus_find(void)
{
    if (cpus.count == 2)
        return;
    if (sched_getaffinity(0, sizeof cpus.all, &cpus.all) < 0)
        fail("sched_getaffinity: %s", strerror(errno));
    for (size_t i = 0; i < CPU_SETSIZE && cpus.count < 2; i++)
        if (CPU_ISSET(i, &cpus.all))
            *(cpus.count++ == 0 ? &cpus.client : &cpus.daemon) = i;
    if (cpus.count < 2)
        fail("two processors are needed");
}

static void allow(pid_t thread, enum place where, size_t cpu)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    /* A thread may end meanwhile. */
    if (sched_setaffinity(thread, sizeof one,
                          where == PLACE_ANY ? &cpus.all : &one) < 0 &&
        errno != ESRCH)
        fail("sched_setaffinity of %d: %s", (int)thread, strerror(errno));
}

void place_peer(pid_t pid, enum place where)
{
    char path[64];
    struct dirent *entry;
    DIR *tasks;
    cpus_find();
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    if (tasks == NULL)
        fail("%s: %s", path, strerror(errno));
    while ((entry = readdir(tasks)) != NULL)
        if (entry->d_name[0] != '.')
            allow((pid_t)atoi(entry->d_name), where, cpus.daemon);
    closedir(tasks);
}

const char *place_name(enum place where)
{
    return where == PLACE_APART ? "apart" : "any";
}

/* --- the daemon ----------------------------------------------------------- */

static struct {
    char *first; /* its OPENAIS_RUNDIR, NULL: the default */
    bool known;
    pid_t pid; /* of the one in use, 0: none yet */
} daemon_;

void place(enum place where)
{
    cpus_find();
    allow(0, where, cpus.client);
    if (daemon_.pid != 0)
        place_peer(daemon_.pid, where);
}

void daemon_use(const char *rundir)
{
    char path[64], name[32] = "";
    struct ucred peer;
    socklen_t size = sizeof peer;
    evs_handle_t handle;
    int fd = -1;
    if (!daemon_.known && getenv("OPENAIS_RUNDIR") != NULL)
        daemon_.first = strdup(getenv("OPENAIS_RUNDIR"));
    daemon_.known = true;
    if (rundir == NULL)
        rundir = daemon_.first;
    if (rundir != NULL)
        setenv("OPENAIS_RUNDIR", rundir, 1);
    else
        unsetenv("OPENAIS_RUNDIR");

    handle = evs_open(NULL);
    evs_must("evs_fd_get", evs_fd_get(handle, &fd));
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        fail("SO_PEERCRED: %s", strerror(errno));
    evs_finalize(handle);
    snprintf(path, sizeof path, "/proc/%d/comm", (int)peer.pid);
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(name, sizeof name, f) == NULL ||
        strcmp(name, "aisexec\n") != 0)
        fail("process %d is not the daemon's as seen from here", (int)peer.pid);
    fclose(f);
    daemon_.pid = peer.pid;
}

uint64_t daemon_cpu_ns(void)
{
    return process_cpu_ns(daemon_.pid);
}

double daemon_memory_mib(const char *key)
{
    char path[64], line[256];
    double kib = -1;
    size_t n = strlen(key);
    snprintf(path, sizeof path, "/proc/%d/status", (int)daemon_.pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && kib < 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, key, n) == 0 && line[n] == ':')
            kib = atof(line + n + 1);
    if (f == NULL || kib < 0)
        fail("%s has no %s", path, key);
    fclose(f);
    return kib / 1024;
}

/* --- time ----------------------------------------------------------------- */

void pause_ns(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    nanosleep(&t, NULL);
}

static void call_once(struct calls *c)
{
    if (!c->call(c->context))
        fail("a call failed");
}

void time_calls(struct calls *c)
{
    uint64_t begin = now_ns(), t, cpu;
    for (int i = 0; i < WARM_CALLS_MAX && now_ns() - begin < WARM_NS; i++)
        call_once(c);
    cpu = c->cpu_ns == NULL ? 0 : c->cpu_ns();
    begin = now_ns();
    for (uint64_t n = 0; n < TIMED_MIN || now_ns() - begin < opt.run_ns; n++) {
        if (c->gap_ns > 0)
            pause_ns(c->gap_ns);
        t = now_ns();
        call_once(c);
        t = now_ns() - t;
        histogram_add(&c->h, t);
        c->total_ns += t;
    }
    c->wall_ns = now_ns() - begin;
    c->used_ns = c->cpu_ns == NULL ? 0 : c->cpu_ns() - cpu;
}
