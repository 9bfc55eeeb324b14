/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/log.h"
#include "test/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* In front of the C library's: what syslog gets, and a syslog that hangs. */
static char syslog_text[600];
static int syslog_got;
static _Atomic bool syslog_hangs;

void syslog(int priority, const char *format, ...)
{
    va_list args;
    while (atomic_load(&syslog_hangs))
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    va_start(args, format);
    vsnprintf(syslog_text, sizeof syslog_text, format, args);
    va_end(args);
    syslog_got = priority;
}

static char dir[64], path[96];
static char content[1 << 22];

static void setup(void)
{
    strcpy(dir, "/tmp/openais-log-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/log", dir);
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
}

static size_t read_log(void)
{
    int fd = open(path, O_RDONLY);
    CU_ASSERT_FATAL(fd >= 0);
    ssize_t n = read(fd, content, sizeof content - 1);
    CU_ASSERT_FATAL(n >= 0);
    content[n] = '\0';
    close(fd);
    return (size_t)n;
}

static unsigned lines_with(const char *text)
{
    unsigned count = 0;
    for (char *at = content; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static void open_file(bool debug, bool timestamp)
{
    struct log_config c = {
        .file = path, .debug = debug, .timestamp = timestamp};
    CU_ASSERT_EQUAL_FATAL(log_open(&c), 0);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- one line ------------------------------------------------------------- */

static void test_direct(void)
{
    struct stat st;
    setup();
    umask(0);
    open_file(false, false);
    log_write(LOG_LEVEL_WARNING, "TEST", "%d packets", 3);
    log_write(LOG_LEVEL_DEBUG, "TEST", "not seen");
    CU_ASSERT_FALSE(log_debug_enabled());
    read_log();
    CU_ASSERT_STRING_EQUAL(content, "warning TEST: 3 packets\n");
    CU_ASSERT_EQUAL(stat(path, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 07777, 0640);
    log_stop();
    teardown();
}

static void test_format(void)
{
    int year, month, day, hour, minute, second, ms, used = 0;
    setup();
    open_file(true, true);
    CU_ASSERT_TRUE(log_debug_enabled());
    log_write(LOG_LEVEL_DEBUG, "TEST", "a\nb\x1b[2J\x7f");
    read_log();
    CU_ASSERT_EQUAL(sscanf(content, "%4d-%2d-%2d %2d:%2d:%2d.%3d %n", &year,
                           &month, &day, &hour, &minute, &second, &ms, &used),
                    7);
    CU_ASSERT_EQUAL(used, 24);
    CU_ASSERT_STRING_EQUAL(content + used, "debug   TEST: a?b?[2J?\n");
    log_stop();
    teardown();
}

static void test_long_line(void)
{
    static char text[5000];
    setup();
    open_file(false, false);
    memset(text, 'x', sizeof text - 1);
    log_write(LOG_LEVEL_INFO, "TEST", "%s", text);
    size_t n = read_log();
    CU_ASSERT(n > 400 && n < 600);
    CU_ASSERT_STRING_EQUAL(content + n - 5, "x...\n");
    log_stop();
    teardown();
}

static void test_appends(void)
{
    setup();
    for (int i = 0; i < 3; i++) {
        open_file(false, false);
        CU_ASSERT_EQUAL(log_start(), 0);
        CU_ASSERT_EQUAL(log_start(), -EALREADY);
        CU_ASSERT_EQUAL(log_open(&(struct log_config){0}), -EBUSY);
        errno = 77;
        log_write(LOG_LEVEL_ERROR, "TEST", "round %d", i);
        CU_ASSERT_EQUAL(errno, 77);
        log_stop();
    }
    read_log();
    CU_ASSERT_STRING_EQUAL(content, "error   TEST: round 0\n"
                                    "error   TEST: round 1\n"
                                    "error   TEST: round 2\n");
    teardown();
}

static void test_open_fails(void)
{
    struct log_config c = {.file = "/nonexistent/dir/log"};
    CU_ASSERT_EQUAL(log_open(&c), -ENOENT);
    c.file = "/tmp";
    CU_ASSERT_EQUAL(log_open(&c), -EISDIR);
}

/* --- many threads --------------------------------------------------------- */

enum { THREADS = 4, LINES = 5000 };

static _Atomic bool burst;

static void *writer(void *argument)
{
    int id = *(int *)argument;
    for (int i = 0; i < LINES; i++) {
        log_write(LOG_LEVEL_INFO, "TEST", "<%d %d>", id, i);
        if (!atomic_load(&burst) && i % 50 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    }
    return NULL;
}

static void run_writers(void)
{
    pthread_t threads[THREADS];
    int ids[THREADS];
    for (int i = 0; i < THREADS; i++) {
        ids[i] = i;
        CU_ASSERT_EQUAL_FATAL(
            pthread_create(&threads[i], NULL, writer, &ids[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* Every line is there or counted, whole, and each thread's are in order. */
static void check_lines(uint64_t dropped)
{
    int last[THREADS] = {-1, -1, -1, -1};
    uint64_t seen = 0;
    char *save = NULL;
    read_log();
    for (char *l = strtok_r(content, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        int id, i;
        char end;
        if (strstr(l, "LOG:") != NULL)
            continue;
        CU_ASSERT_EQUAL_FATAL(
            sscanf(l, "info    TEST: <%d %d%c", &id, &i, &end), 3);
        CU_ASSERT_FATAL(end == '>' && id >= 0 && id < THREADS);
        CU_ASSERT(i > last[id]);
        last[id] = i;
        seen++;
    }
    CU_ASSERT_EQUAL(seen + dropped, THREADS * LINES);
}

static void test_threads(void)
{
    for (int i = 0; i < 2; i++) {
        uint64_t before = log_dropped();
        setup();
        open_file(false, false);
        CU_ASSERT_EQUAL_FATAL(log_start(), 0);
        atomic_store(&burst, i == 1);
        run_writers();
        log_stop();
        check_lines(log_dropped() - before);
        teardown();
    }
}

static void *stopper(void *argument)
{
    nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    log_stop();
    return argument;
}

/* Lines written while the thread ends reach the file or, after that, stderr. */
static void test_stop_under_load(void)
{
    int saved = dup(STDERR_FILENO);
    for (int i = 0; i < 20; i++) {
        pthread_t t;
        int null = open("/dev/null", O_WRONLY);
        setup();
        dup2(null, STDERR_FILENO);
        open_file(false, false);
        CU_ASSERT_EQUAL_FATAL(log_start(), 0);
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, stopper, NULL), 0);
        run_writers();
        pthread_join(t, NULL);
        dup2(saved, STDERR_FILENO);
        close(null);
        teardown();
    }
    close(saved);
}

/* A line wakes a thread that sleeps. */
static void test_wakes(void)
{
    setup();
    open_file(false, false);
    CU_ASSERT_EQUAL_FATAL(log_start(), 0);
    for (int i = 0; i < 50; i++) {
        char text[32];
        double deadline = now_s() + 60;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        log_write(LOG_LEVEL_INFO, "TEST", "<%d>", i);
        snprintf(text, sizeof text, "<%d>\n", i);
        do {
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
            read_log();
        } while (strstr(content, text) == NULL && now_s() < deadline);
        CU_ASSERT_PTR_NOT_NULL(strstr(content, text));
    }
    log_stop();
    teardown();
}

/* --- sinks that fail ------------------------------------------------------ */

/* stderr becomes a pipe that nobody reads: writers go on at full speed, what
 * does not fit is counted, and the end comes within a bound. */
static void test_stuck_stderr(void)
{
    int pipe_fds[2], saved = dup(STDERR_FILENO);
    uint64_t dropped = log_dropped(), failures = log_write_failures();
    struct log_config c = {.to_stderr = true};
    CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
    dup2(pipe_fds[1], STDERR_FILENO);
    CU_ASSERT_EQUAL(log_open(&c), 0);
    CU_ASSERT_EQUAL(log_start(), 0);
    double start = now_s();
    for (int i = 0; i < 20000; i++)
        log_write(LOG_LEVEL_INFO, "TEST", "a story for nobody: %300d", i);
    double written = now_s();
    log_stop();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    CU_ASSERT(written - start < 60.0); /* if each waited: hours */
    /* If the thread had waited for each, its end would not have been waited
     * for, and the log would be its own for good. */
    CU_ASSERT_EQUAL(log_open(&(struct log_config){.file = NULL}), 0);
    CU_ASSERT(log_dropped() > dropped);
    CU_ASSERT(log_write_failures() > failures);
}

/* The reader of stderr goes away: an error, not a signal. */
static void test_broken_pipe(void)
{
    int pipe_fds[2], saved = dup(STDERR_FILENO);
    uint64_t failures = log_write_failures();
    struct log_config c = {.to_stderr = true};
    CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
    dup2(pipe_fds[1], STDERR_FILENO);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    CU_ASSERT_EQUAL(log_open(&c), 0);
    CU_ASSERT_EQUAL(log_start(), 0);
    log_write(LOG_LEVEL_INFO, "TEST", "to nobody");
    log_stop();
    dup2(saved, STDERR_FILENO);
    close(saved);
    CU_ASSERT_EQUAL(log_write_failures(), failures + 1);
}

static void test_full_disk(void)
{
    uint64_t failures = log_write_failures();
    struct log_config c = {.file = "/dev/full"};
    CU_ASSERT_EQUAL_FATAL(log_open(&c), 0);
    CU_ASSERT_EQUAL(log_start(), 0);
    for (int i = 0; i < 10; i++)
        log_write(LOG_LEVEL_INFO, "TEST", "line %d", i);
    log_stop();
    CU_ASSERT_EQUAL(log_write_failures(), failures + 10);
}

/* Once a sink takes lines again, it says how many are missing. */
static void test_recovers(void)
{
    int pipe_fds[2], saved = dup(STDERR_FILENO);
    struct log_config c = {.to_stderr = true};
    CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
    fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
    dup2(pipe_fds[1], STDERR_FILENO);
    CU_ASSERT_EQUAL(log_open(&c), 0);
    uint64_t failures = log_write_failures();
    for (int i = 0; i < 100000 && log_write_failures() < failures + 5; i++)
        log_write(LOG_LEVEL_INFO, "TEST", "%400d", i);
    while (read(pipe_fds[0], content, sizeof content) > 0)
        continue;
    log_write(LOG_LEVEL_INFO, "TEST", "again");
    ssize_t n = read(pipe_fds[0], content, sizeof content - 1);
    content[n > 0 ? n : 0] = '\0';
    log_stop();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(content, "LOG: 5 lines could not be written here"));
    CU_ASSERT_EQUAL(lines_with("again"), 1);
}

static void test_syslog(void)
{
    struct log_config c = {.to_syslog = true, .timestamp = true};
    CU_ASSERT_EQUAL(log_open(&c), 0);
    CU_ASSERT_EQUAL(log_start(), 0);
    log_write(LOG_LEVEL_WARNING, "TEST", "%s", "100%s");
    log_stop();
    CU_ASSERT_STRING_EQUAL(syslog_text, "TEST: 100%s");
    CU_ASSERT_EQUAL(syslog_got, LOG_WARNING);
}

/* Last of all: the log thread does not come back. */
static void test_hanging_syslog(void)
{
    struct log_config c = {.to_syslog = true};
    CU_ASSERT_EQUAL(log_open(&c), 0);
    CU_ASSERT_EQUAL(log_start(), 0);
    atomic_store(&syslog_hangs, true);
    double start = now_s();
    for (int i = 0; i < 5000; i++)
        log_write(LOG_LEVEL_INFO, "TEST", "line %d", i);
    log_stop(); /* which is where it would wait for ever */
    CU_ASSERT(now_s() - start < 60);
    uint64_t dropped = log_dropped();
    log_write(LOG_LEVEL_INFO, "TEST", "after the end");
    CU_ASSERT_EQUAL(log_dropped(), dropped + 1);
    CU_ASSERT_EQUAL(log_start(), -EALREADY);
    log_stop();
}

/* --- the limiter ---------------------------------------------------------- */

static void test_limit(void)
{
    struct log_limit limit = {0};
    uint32_t suppressed;
    uint64_t s = 1000000000;
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(log_limit_pass(&limit, s, 3, &suppressed));
        CU_ASSERT_EQUAL(suppressed, 0);
    }
    for (int i = 0; i < 7; i++)
        CU_ASSERT_FALSE(log_limit_pass(&limit, s + s / 2, 3, &suppressed));
    CU_ASSERT_FALSE(log_limit_pass(&limit, 2 * s - 1, 3, &suppressed));
    CU_ASSERT_TRUE(log_limit_pass(&limit, 2 * s, 3, &suppressed));
    CU_ASSERT_EQUAL(suppressed, 8);
    CU_ASSERT_TRUE(log_limit_pass(&limit, 2 * s + 1, 3, &suppressed));
    CU_ASSERT_EQUAL(suppressed, 0);
}

static const struct unit_test tests[] = {
    {"direct", test_direct},
    {"format", test_format},
    {"long line", test_long_line},
    {"appends", test_appends},
    {"open fails", test_open_fails},
    {"threads", test_threads},
    {"stop under load", test_stop_under_load},
    {"wakes the thread", test_wakes},
    {"stuck stderr", test_stuck_stderr},
    {"broken pipe", test_broken_pipe},
    {"full disk", test_full_disk},
    {"recovers", test_recovers},
    {"syslog", test_syslog},
    {"limit", test_limit},
    {"hanging syslog", test_hanging_syslog},
};

UNIT_MAIN("log", tests)
