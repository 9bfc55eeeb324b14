/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/ringstate.h"

#include "daemon/base/limit.h"
#include "daemon/base/log.h"
#include "daemon/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_SIZE = 80, FILE_NAME_SIZE = 128, RETRY_DOUBLINGS = 8 };

struct ringstate {
    int dir_fd;
    char file[FILE_NAME_SIZE], temporary[FILE_NAME_SIZE + 8];
    char *dir;
    pthread_t thread;

    /* Protocol thread writes, the thread here reads. */
    _Atomic uint64_t noted;
    _Atomic bool stopping;
    /* Futex word, counts reasons to look: whoever read it before it looked, and
     * waits for it to change, misses none. */
    _Atomic uint32_t bell;

    /* The thread here writes. */
    _Atomic uint64_t reserved; /* on disk; relaxed, nothing else hangs on it */
    _Atomic uint64_t failures; /* counter, relaxed */
    unsigned failed_in_a_row;
};

/* --- the file ------------------------------------------------------------- */

/* FNV-1a: against a torn or rotten file, not against a forger. */
static uint64_t checksum(const char *text, size_t size)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        h = (h ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return h;
}

static size_t line_of(uint64_t seq, char line[LINE_MAX_SIZE])
{
    int n = snprintf(line, LINE_MAX_SIZE, "openais-ring 1 %" PRIu64, seq);
    uint64_t sum = checksum(line, (size_t)n);
    n +=
        snprintf(line + n, LINE_MAX_SIZE - (size_t)n, " %016" PRIx64 "\n", sum);
    return (size_t)n;
}

/* Only what line_of() writes is right. */
static bool line_read(const char *line, size_t size, uint64_t *seq)
{
    char again[LINE_MAX_SIZE];
    if (sscanf(line, "openais-ring 1 %" SCNu64, seq) != 1)
        return false;
    return line_of(*seq, again) == size && memcmp(again, line, size) == 0;
}

/* 0, -ENOENT, -EBADMSG (damaged) or another -errno. */
static int file_read(const struct ringstate *r, uint64_t *seq)
{
    char line[LINE_MAX_SIZE + 1];
    int fd = openat(r->dir_fd, r->file,
                    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, line, LINE_MAX_SIZE);
    int result = n < 0 ? -errno : 0;
    close(fd);
    if (result != 0)
        return result;
    line[n] = '\0';
    return line_read(line, (size_t)n, seq) ? 0 : -EBADMSG;
}

static int temporary_write(const struct ringstate *r, uint64_t seq)
{
    char line[LINE_MAX_SIZE];
    size_t size = line_of(seq, line);
    int result = 0;
    int fd = openat(r->dir_fd, r->temporary,
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW |
                        O_NONBLOCK,
                    0644);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, line, size);
    if (n != (ssize_t)size)
        result = n < 0 ? -errno : -ENOSPC;
    if (result == 0 && fsync(fd) != 0)
        result = -errno;
    if (close(fd) != 0 && result == 0)
        result = -errno;
    return result;
}

/* The old line or the new one is there at any time, and after it the new. */
static int file_write(struct ringstate *r, uint64_t seq)
{
    int result = temporary_write(r, seq);
    if (result == 0 &&
        renameat(r->dir_fd, r->temporary, r->dir_fd, r->file) != 0)
        result = -errno;
    if (result != 0) {
        unlinkat(r->dir_fd, r->temporary, 0);
        return result;
    }
    return fsync(r->dir_fd) == 0 || errno == EINVAL ? 0 : -errno;
}

/* --- the thread ----------------------------------------------------------- */

static uint64_t ahead_of(uint64_t seq)
{
    return seq > UINT64_MAX - RINGSTATE_AHEAD ? UINT64_MAX
                                              : seq + RINGSTATE_AHEAD;
}

static bool renewal_due(uint64_t noted, uint64_t reserved)
{
    return reserved != UINT64_MAX &&
           (noted > reserved || reserved - noted < RINGSTATE_RENEW);
}

static int reserve(struct ringstate *r, uint64_t seq)
{
    int result = file_write(r, seq);
    if (result == 0) {
        atomic_store_explicit(&r->reserved, seq, memory_order_relaxed);
        if (r->failed_in_a_row > 0)
            log_write(LOG_LEVEL_NOTICE, "RING", "%s/%s: written again", r->dir,
                      r->file);
        r->failed_in_a_row = 0;
        return 0;
    }
    char why[LIMIT_TEXT_SIZE];
    atomic_fetch_add_explicit(&r->failures, 1, memory_order_relaxed);
    if (r->failed_in_a_row++ == 0)
        log_write(LOG_LEVEL_WARNING, "RING",
                  "cannot keep the ring sequence in %s/%s: %s; going on, "
                  "trying again",
                  r->dir, r->file, limit_explain(-result, why));
    return result;
}

static uint64_t retry_ns(unsigned failed_in_a_row)
{
    unsigned doublings = failed_in_a_row - 1;
    if (doublings > RETRY_DOUBLINGS)
        doublings = RETRY_DOUBLINGS;
    return (uint64_t)RINGSTATE_RETRY_NS << doublings;
}

/* Until the bell differs from `seen`, or wait_ns are over (0: no limit). */
static void bell_wait(struct ringstate *r, uint32_t seen, uint64_t wait_ns)
{
    struct timespec t = {.tv_sec = (time_t)(wait_ns / 1000000000),
                         .tv_nsec = (long)(wait_ns % 1000000000)};
    syscall(SYS_futex, &r->bell, FUTEX_WAIT_PRIVATE, seen,
            wait_ns == 0 ? NULL : &t, NULL, 0);
}

static void bell_ring(struct ringstate *r)
{
    /* Release: pairs with the acquire in thread_main(); what was noted before
     * is seen by who sees the bell. */
    atomic_fetch_add_explicit(&r->bell, 1, memory_order_release);
    syscall(SYS_futex, &r->bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *thread_main(void *argument)
{
    struct ringstate *r = argument;
    pthread_setname_np(pthread_self(), "ringstate");
    for (;;) {
        uint32_t seen = atomic_load_explicit(&r->bell, memory_order_acquire);
        if (atomic_load_explicit(&r->stopping, memory_order_relaxed))
            return NULL;
        uint64_t noted = atomic_load_explicit(&r->noted, memory_order_relaxed);
        uint64_t wait_ns = 0;
        if (renewal_due(noted, ringstate_reserved(r)) &&
            reserve(r, ahead_of(noted)) != 0)
            wait_ns = retry_ns(r->failed_in_a_row);
        bell_wait(r, seen, wait_ns);
    }
}

/* --- opening -------------------------------------------------------------- */

/* -1: no directory, the reason in `error`. */
static int directory_open(const char *dir, char *error, size_t error_size)
{
    int fd = -1;
    if (mkdir(dir, 0755) == 0 || errno == EEXIST)
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        snprintf(error, error_size,
                 "state directory %s: %s; the ring sequence is not kept over "
                 "restarts (statedir in openais.conf names another)",
                 dir, strerror(errno));
    return fd;
}

static void first_read(struct ringstate *r, uint64_t *ring_seq, char *error,
                       size_t error_size)
{
    int result = file_read(r, ring_seq);
    if (result == 0 || result == -ENOENT)
        return;
    *ring_seq = 0;
    snprintf(error, error_size,
             "%s/%s: %s; the ring sequence begins anew, and the file is "
             "written again",
             r->dir, r->file,
             result == -EBADMSG ? "damaged" : strerror(-result));
}

static void first_write(struct ringstate *r, char *error, size_t error_size)
{
    uint64_t noted = atomic_load_explicit(&r->noted, memory_order_relaxed);
    int result = file_write(r, ahead_of(noted));
    if (result == 0) {
        atomic_store_explicit(&r->reserved, ahead_of(noted),
                              memory_order_relaxed);
        return;
    }
    char why[LIMIT_TEXT_SIZE];
    r->failed_in_a_row = 1;
    atomic_store_explicit(&r->failures, 1, memory_order_relaxed);
    snprintf(error, error_size,
             "%s/%s: %s; the ring sequence is not kept over restarts until "
             "the file can be written",
             r->dir, r->file, limit_explain(-result, why));
}

static int fill_names(struct ringstate *r, const char *dir, const char *name)
{
    int n = snprintf(r->file, sizeof r->file, "ring-%s", name);
    if (n >= (int)sizeof r->file)
        return -ENAMETOOLONG;
    if (*name == '\0' || strchr(name, '/') != NULL)
        return -EINVAL;
    snprintf(r->temporary, sizeof r->temporary, "%s.new", r->file);
    r->dir = strdup(dir);
    return r->dir == NULL ? -ENOMEM : 0;
}

int ringstate_open(struct ringstate **out, const char *dir, const char *name,
                   uint64_t *ring_seq, char *error, size_t error_size)
{
    int result = -ENOMEM;
    *out = NULL;
    *ring_seq = 0;
    error[0] = '\0';
    struct ringstate *r = calloc(1, sizeof *r);
    if (r == NULL)
        goto err0;
    result = fill_names(r, dir, name);
    if (result != 0)
        goto err1;
    r->dir_fd = directory_open(dir, error, error_size);
    if (r->dir_fd >= 0) {
        first_read(r, ring_seq, error, error_size);
        atomic_store_explicit(&r->noted, *ring_seq, memory_order_relaxed);
        atomic_store_explicit(&r->reserved, *ring_seq, memory_order_relaxed);
        first_write(r, error, error_size);
        result = thread_start(&r->thread, thread_main, r);
        if (result != 0)
            goto err2;
    }
    *out = r;
    return 0;
err2:
    close(r->dir_fd);
err1:
    free(r->dir);
    free(r);
err0:
    char why[LIMIT_TEXT_SIZE];
    snprintf(error, error_size, "state directory %s, name %s: %s", dir, name,
             limit_explain(-result, why));
    return result;
}

void ringstate_note(struct ringstate *r, uint64_t seq)
{
    /* This thread alone writes `noted`. */
    uint64_t before = atomic_load_explicit(&r->noted, memory_order_relaxed);
    if (seq <= before)
        return;
    atomic_store_explicit(&r->noted, seq, memory_order_relaxed);
    if (r->dir_fd >= 0 && renewal_due(seq, ringstate_reserved(r)))
        bell_ring(r);
}

uint64_t ringstate_reserved(const struct ringstate *r)
{
    return atomic_load_explicit(&r->reserved, memory_order_relaxed);
}

uint64_t ringstate_failures(const struct ringstate *r)
{
    return atomic_load_explicit(&r->failures, memory_order_relaxed);
}

void ringstate_close(struct ringstate *r)
{
    if (r == NULL)
        return;
    if (r->dir_fd >= 0) {
        atomic_store_explicit(&r->stopping, true, memory_order_relaxed);
        bell_ring(r);
        pthread_join(r->thread, NULL);
        uint64_t noted = atomic_load_explicit(&r->noted, memory_order_relaxed);
        reserve(r, noted);
        close(r->dir_fd);
    }
    free(r->dir);
    free(r);
}
