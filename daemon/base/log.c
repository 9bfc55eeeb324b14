/* SPDX-License-Identifier: BSD-3-Clause */
/* The queue is a ring of slots with a sequence number each (Vyukov's bounded
 * queue). A writer takes a position with one compare-and-swap, formats into the
 * slot, and publishes it; it waits for nobody: a full ring, or a slot that the
 * log thread has not freed, costs the line. The log thread alone reads.
 *
 *   slot.sequence == position              free for the writer of `position`
 *   slot.sequence == position + 1          published, for the log thread
 *   slot.sequence == position + SLOT_COUNT freed, for the next lap
 *
 * | call                     | may overlap with                            |
 * |--------------------------|---------------------------------------------|
 * | log_write, log_dropped   | everything, itself included                 |
 * | log_open, start, stop    | log_write; not with one another             |
 *
 * Sinks belong to the log thread while it runs, else to whoever holds
 * `direct_lock`, which no writer takes before log_stop() has begun. */
#include "daemon/base/log.h"

#include "daemon/base/limit.h"
#include "daemon/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

enum {
    SLOT_COUNT = 1024, /* a power of two */
    TEXT_SIZE = 480,   /* a longer line is cut */
    LINE_SIZE = TEXT_SIZE + 96,
    STUCK_WAIT_MS = 500, /* for a sink that takes nothing, once */
    STOP_WAIT_S = 5      /* for the end of the thread */
};

struct line {
    uint64_t time_ns; /* CLOCK_REALTIME */
    enum log_level level;
    const char *part;
    char text[TEXT_SIZE];
};

struct slot {
    _Alignas(128) _Atomic uint64_t sequence;
    struct line line;
};

struct fd_sink {
    int fd;         /* -1: none */
    bool stuck;     /* took nothing for STUCK_WAIT_MS; not waited for again */
    bool cut;       /* its last line ends in the middle */
    uint64_t lost;  /* lines since the last report */
    int last_error; /* of those */
};

static struct slot slots[SLOT_COUNT];

/* Next position to take. Relaxed is enough: what a position stands for is
 * decided by its slot's sequence. */
static _Alignas(128) _Atomic uint64_t tail;
static _Atomic uint64_t dropped, write_failures; /* counters, relaxed */
static _Atomic bool debug_on = true; /* a hint, relaxed: nothing hangs on it */

/* Is the thread to be written to? With `writers`, the lines under way, it makes
 * log_stop() wait for the last of them: a writer counts itself in, then looks;
 * log_stop() clears, then looks at the count. Both sequentially consistent, so
 * at least one sees the other. */
static _Atomic bool queueing;
static _Atomic uint32_t writers;
static _Atomic bool stopping; /* log_stop() to the thread; see thread_wake() */

/* Futex word: 1 while the log thread sleeps or is about to. */
static _Alignas(128) _Atomic uint32_t asleep;

static pthread_mutex_t direct_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t thread;
static bool thread_started; /* by the thread that calls log_start, log_stop */
static bool thread_lost;    /* under direct_lock: see thread_end() */

/* Under direct_lock, or the log thread's own. */
static struct {
    struct fd_sink file, console;
    bool to_syslog, timestamp;
    uint64_t head;             /* next position to read */
    uint64_t dropped_reported; /* of `dropped` */
} sinks = {
    .file = {.fd = -1}, .console = {.fd = STDERR_FILENO}, .timestamp = true};

static uint64_t realtime_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* --- sinks ---------------------------------------------------------------- */

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warning", "notice", "info",
                                        "debug"};
    return names[level];
}

static int syslog_priority(enum log_level level)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO,
                                     LOG_DEBUG};
    return priorities[level];
}

/* A pipe or terminal that nobody reads must not hold the thread: room is waited
 * for once, then lines are lost until there is some. */
static bool sink_has_room(struct fd_sink *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    int n = poll(&p, 1, s->stuck ? 0 : STUCK_WAIT_MS);
    s->stuck = n == 0;
    return n != 0;
}

/* 0 or an errno. */
static int sink_write(struct fd_sink *s, const char *data, size_t size)
{
    while (size > 0) {
        if (!sink_has_room(s))
            return EAGAIN;
        ssize_t n = write(s->fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        s->cut = true;
        data += n;
        size -= (size_t)n;
    }
    s->cut = false;
    return 0;
}

static void sink_put(struct fd_sink *s, const char *data, size_t size)
{
    char note[64 + LIMIT_TEXT_SIZE], why[LIMIT_TEXT_SIZE];
    int error = 0;
    if (s->fd < 0)
        return;
    if (s->cut)
        error = sink_write(s, "\n", 1);
    if (error == 0 && s->lost > 0) {
        int n = snprintf(note, sizeof note,
                         "LOG: %" PRIu64 " lines could not be written here: "
                         "%s\n",
                         s->lost, limit_explain(s->last_error, why));
        error = sink_write(s, note, (size_t)n);
        if (error == 0)
            s->lost = 0;
    }
    if (error == 0)
        error = sink_write(s, data, size);
    if (error != 0) {
        s->lost++;
        s->last_error = error;
        atomic_fetch_add_explicit(&write_failures, 1, memory_order_relaxed);
    }
}

static size_t format_time(uint64_t time_ns, char *to, size_t size)
{
    struct tm tm;
    time_t seconds = (time_t)(time_ns / NS_PER_S);
    localtime_r(&seconds, &tm);
    size_t n = strftime(to, size, "%Y-%m-%d %H:%M:%S", &tm);
    n += (size_t)snprintf(to + n, size - n, ".%03u ",
                          (unsigned)(time_ns % NS_PER_S / 1000000));
    return n;
}

static void line_put(const struct line *l)
{
    char line[LINE_SIZE];
    size_t n = sinks.timestamp ? format_time(l->time_ns, line, sizeof line) : 0;
    n += (size_t)snprintf(line + n, sizeof line - n, "%-7s %.20s: %s\n",
                          level_name(l->level), l->part, l->text);
    sink_put(&sinks.file, line, n);
    sink_put(&sinks.console, line, n);
    if (sinks.to_syslog)
        syslog(syslog_priority(l->level), "%.20s: %s", l->part, l->text);
}

/* --- the queue ------------------------------------------------------------ */

__attribute__((format(printf, 4, 0))) static void
line_format(struct line *l, enum log_level level, const char *part,
            const char *format, va_list args)
{
    l->time_ns = realtime_ns();
    l->level = level;
    l->part = part;
    int n = vsnprintf(l->text, sizeof l->text, format, args);
    if (n < 0)
        l->text[0] = '\0';
    if (n >= (int)sizeof l->text)
        memcpy(l->text + sizeof l->text - 4, "...", 4);
    /* One call, one line, whatever a name in it may hold. */
    for (char *c = l->text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
}

/* A free slot and its position; NULL when the ring is full. */
static struct slot *slot_take(uint64_t *position)
{
    uint64_t at = atomic_load_explicit(&tail, memory_order_relaxed);
    for (;;) {
        struct slot *s = &slots[at % SLOT_COUNT];
        /* Acquire: pairs with slot_free(), so that the log thread has read the
         * old line before it is overwritten. */
        uint64_t sequence =
            atomic_load_explicit(&s->sequence, memory_order_acquire);
        if (sequence == at) {
            if (atomic_compare_exchange_weak_explicit(&tail, &at, at + 1,
                                                      memory_order_relaxed,
                                                      memory_order_relaxed)) {
                *position = at;
                return s;
            }
        } else if (sequence < at) {
            return NULL; /* still holds the line of a lap ago */
        } else {
            at = atomic_load_explicit(&tail, memory_order_relaxed);
        }
    }
}

/* The sequence of a published slot, `asleep` and `stopping` are written and
 * read here with sequential consistency: either the writer sees that the thread
 * sleeps, or the thread, which announces that before it looks again, sees what
 * was published. Weaker orders would let both miss. */
static void thread_wake(void)
{
    if (atomic_load(&asleep) != 0 && atomic_exchange(&asleep, 0) != 0)
        syscall(SYS_futex, &asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* --- the log thread ------------------------------------------------------- */

static bool line_ready(void)
{
    /* Pairs with write_queued(): the line is complete. */
    return atomic_load(&slots[sinks.head % SLOT_COUNT].sequence) ==
           sinks.head + 1;
}

static void slot_free(void)
{
    struct slot *s = &slots[sinks.head % SLOT_COUNT];
    /* Release: pairs with slot_take(). */
    atomic_store_explicit(&s->sequence, sinks.head + SLOT_COUNT,
                          memory_order_release);
    sinks.head++;
}

static void report_dropped(void)
{
    uint64_t now = atomic_load_explicit(&dropped, memory_order_relaxed);
    struct line l = {
        .time_ns = realtime_ns(), .level = LOG_LEVEL_WARNING, .part = "LOG"};
    if (now == sinks.dropped_reported)
        return;
    snprintf(l.text, sizeof l.text,
             "%" PRIu64 " lines dropped, the queue of %d was full",
             now - sinks.dropped_reported, SLOT_COUNT);
    sinks.dropped_reported = now;
    line_put(&l);
}

static void drain(void)
{
    while (line_ready()) {
        line_put(&slots[sinks.head % SLOT_COUNT].line);
        slot_free();
    }
    report_dropped();
}

/* Announce, look again, wait; wakes may be spurious. */
static void thread_sleep(void)
{
    atomic_store(&asleep, 1);
    if (!line_ready() && !atomic_load(&stopping))
        syscall(SYS_futex, &asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    atomic_store(&asleep, 0);
}

static void *thread_main(void *unused)
{
    (void)unused;
    pthread_setname_np(pthread_self(), "log");
    for (;;) {
        /* Looked at first, so that what was queued before it is drained. */
        bool last = atomic_load(&stopping);
        drain();
        if (last)
            return NULL;
        thread_sleep();
    }
}

/* --- the interface -------------------------------------------------------- */

static void sinks_close(void)
{
    if (sinks.file.fd >= 0)
        close(sinks.file.fd);
    if (sinks.to_syslog)
        closelog();
    sinks.file = (struct fd_sink){.fd = -1};
    sinks.console = (struct fd_sink){.fd = STDERR_FILENO};
    sinks.to_syslog = false;
    sinks.timestamp = true;
}

int log_open(const struct log_config *config)
{
    int fd = -1;
    if (thread_started || thread_lost)
        return -EBUSY;
    if (config->file != NULL) {
        fd = open(config->file,
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY |
                      O_NONBLOCK,
                  0640);
        if (fd < 0)
            return -errno;
    }
    pthread_mutex_lock(&direct_lock);
    sinks_close();
    sinks.file.fd = fd;
    sinks.console.fd = config->to_stderr ? STDERR_FILENO : -1;
    sinks.to_syslog = config->to_syslog;
    sinks.timestamp = config->timestamp;
    if (config->to_syslog)
        openlog("aisexec", LOG_PID, LOG_DAEMON);
    atomic_store_explicit(&debug_on, config->debug, memory_order_relaxed);
    pthread_mutex_unlock(&direct_lock);
    return 0;
}

int log_start(void)
{
    if (thread_started || thread_lost)
        return -EALREADY;
    pthread_mutex_lock(&direct_lock);
    uint64_t at = atomic_load_explicit(&tail, memory_order_relaxed);
    for (uint64_t i = 0; i < SLOT_COUNT; i++)
        atomic_store_explicit(&slots[(at + i) % SLOT_COUNT].sequence, at + i,
                              memory_order_relaxed);
    sinks.head = at;
    atomic_store(&stopping, false);
    int result = thread_start(&thread, thread_main, NULL);
    if (result == 0) {
        thread_started = true;
        atomic_store(&queueing, true);
    }
    pthread_mutex_unlock(&direct_lock);
    return result;
}

/* Waits for the thread, but not for ever: a syslog daemon that hangs holds the
 * thread within syslog(), and must not keep this process from ending. The sinks
 * are then the thread's for good. */
static void thread_end(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S;
    thread_lost = pthread_timedjoin_np(thread, NULL, &until) != 0;
    thread_started = false;
}

void log_stop(void)
{
    /* Held until the queue is empty: who writes meanwhile waits for it, and its
     * line comes after those of the queue. */
    pthread_mutex_lock(&direct_lock);
    if (thread_started) {
        atomic_store(&queueing, false);
        while (atomic_load(&writers) != 0)
            sched_yield();
        atomic_store(&stopping, true);
        thread_wake();
        thread_end();
    }
    if (!thread_lost)
        sinks_close();
    pthread_mutex_unlock(&direct_lock);
}

__attribute__((format(printf, 3, 0))) static void
write_queued(enum log_level level, const char *part, const char *format,
             va_list args)
{
    uint64_t position;
    struct slot *s = slot_take(&position);
    if (s == NULL) {
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
        return;
    }
    line_format(&s->line, level, part, format, args);
    atomic_store(&s->sequence, position + 1); /* pairs with line_ready() */
    thread_wake();
}

__attribute__((format(printf, 3, 0))) static void
write_direct(enum log_level level, const char *part, const char *format,
             va_list args)
{
    struct line l;
    line_format(&l, level, part, format, args);
    pthread_mutex_lock(&direct_lock);
    if (thread_lost)
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    else
        line_put(&l);
    pthread_mutex_unlock(&direct_lock);
}

void log_write(enum log_level level, const char *part, const char *format, ...)
{
    int saved = errno;
    va_list args;
    if (level == LOG_LEVEL_DEBUG && !log_debug_enabled())
        return;
    va_start(args, format);
    atomic_fetch_add(&writers, 1);
    if (atomic_load(&queueing)) {
        write_queued(level, part, format, args);
        atomic_fetch_sub(&writers, 1);
    } else {
        atomic_fetch_sub(&writers, 1);
        write_direct(level, part, format, args);
    }
    va_end(args);
    errno = saved;
}

bool log_debug_enabled(void)
{
    return atomic_load_explicit(&debug_on, memory_order_relaxed);
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, uint32_t burst,
                    uint32_t *suppressed)
{
    *suppressed = 0;
    if (limit->used == 0 || now_ns - limit->window_ns >= NS_PER_S) {
        limit->window_ns = now_ns;
        limit->used = 0;
    }
    if (limit->used >= burst) {
        limit->suppressed++;
        return false;
    }
    limit->used++;
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

uint64_t log_write_failures(void)
{
    return atomic_load_explicit(&write_failures, memory_order_relaxed);
}
