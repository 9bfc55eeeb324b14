/* SPDX-License-Identifier: BSD-3-Clause */
/* log.h - log lines, from any thread, never blocking.
 *
 * log_write() formats into a bounded queue; the log thread (started by
 * log_start()) writes to the sinks. A full queue drops the line and counts it;
 * the thread reports the count once there is room. Before log_start() and after
 * log_stop(), lines go straight to the sinks. */
#ifndef DAEMON_BASE_LOG_H
#define DAEMON_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

struct log_config {
    bool to_stderr, to_syslog;
    const char *file; /* NULL: no file; appended to, mode 0640 */
    bool debug;       /* LOG_LEVEL_DEBUG too */
    bool timestamp;
};

/* Opens the sinks: 0 or -errno (the file's; -EBUSY between log_start() and
 * log_stop()), then nothing is changed. Until it is called, lines go to
 * stderr. */
int log_open(const struct log_config *config);

/* Starts the log thread: 0 or -errno. */
int log_start(void);

/* Writes what is queued, ends the thread, closes the sinks; lines then go to
 * stderr again. At most 5 s: a sink that hangs so long keeps the thread, and
 * lines are dropped from then on. */
void log_stop(void);

/* `part` says who speaks: "TOTEM", "NET", "IPC", "MAIN" ... static text.
 * Who, what, numbers with units; no payload, no key, no newline. */
void log_write(enum log_level level, const char *part, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

bool log_debug_enabled(void);

/* A limiter for lines that a stranger can cause: true at most `burst` times in
 * any second; *suppressed counts the others since the last true. */
struct log_limit {
    uint64_t window_ns;
    uint32_t used, suppressed;
};
bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, uint32_t burst,
                    uint32_t *suppressed);

/* Lines dropped because the queue was full. */
uint64_t log_dropped(void);

/* Lines that a sink did not take: full disk, a terminal or pipe that nobody
 * reads. Once it takes lines again, the first says how many are missing. */
uint64_t log_write_failures(void);

#endif
