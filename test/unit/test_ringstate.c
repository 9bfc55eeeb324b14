/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring sequence over restarts, with a disk that fails, fills up or is slow:
 * fsync() and renameat() below stand in front of the C library's. */
#include "daemon/server/ringstate.h"
#include "daemon/base/log.h"
#include "test/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 60000, /* for what a busy disk may take long over */
    STUCK_MS = 10000
};

static _Atomic int fail_sync, fail_rename; /* an errno; 0: works */
static _Atomic bool stuck;                 /* no sync ends ... */
static _Atomic bool stuck_for_good;        /* ... but one did, after STUCK_MS */
static _Atomic unsigned sync_count;

static void sleep_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

int fsync(int fd)
{
    atomic_fetch_add(&sync_count, 1);
    for (int ms = 0; stuck; ms += 2) {
        sleep_ms(2);
        if (ms == STUCK_MS) {
            stuck_for_good = true;
            stuck = false;
        }
    }
    errno = atomic_load(&fail_sync);
    return errno != 0 ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    errno = atomic_load(&fail_rename);
    return errno != 0
               ? -1
               : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

/* --- helpers -------------------------------------------------------------- */

static char dir[64], path[128], error[512];

static void setup(void)
{
    strcpy(dir, "/tmp/openais-ring-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/ring-10.0.0.1", dir);
}

static void teardown(void)
{
    char temporary[160];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    CU_ASSERT_EQUAL(access(temporary, F_OK), -1); /* never left behind */
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(dir), 0);
}

/* Opens, expecting no warning (NULL) or one that has `warning` in it. */
static struct ringstate *open_it(uint64_t *seq, const char *warning)
{
    struct ringstate *r;
    *seq = 99;
    CU_ASSERT_EQUAL_FATAL(
        ringstate_open(&r, dir, "10.0.0.1", seq, error, sizeof error), 0);
    if (warning == NULL ? error[0] != '\0' : strstr(error, warning) == NULL) {
        printf("\n  error is: %s\n", error);
        CU_FAIL("another warning");
    }
    return r;
}

static uint64_t restart(void)
{
    uint64_t seq;
    ringstate_close(open_it(&seq, NULL));
    return seq;
}

static bool comes_to_reserve(struct ringstate *r, uint64_t least)
{
    for (int ms = 0; ringstate_reserved(r) < least && ms < PATIENCE_MS; ms += 2)
        sleep_ms(2);
    return ringstate_reserved(r) >= least;
}

static bool comes_to_fail(struct ringstate *r, uint64_t times)
{
    for (int ms = 0; ringstate_failures(r) < times && ms < PATIENCE_MS; ms += 2)
        sleep_ms(2);
    return ringstate_failures(r) >= times;
}

static size_t file_get(char *to, size_t size)
{
    int fd = open(path, O_RDONLY);
    CU_ASSERT_FATAL(fd >= 0);
    ssize_t n = read(fd, to, size);
    close(fd);
    return n > 0 ? (size_t)n : 0;
}

static void file_put(const char *text, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, text, size), (ssize_t)size);
    close(fd);
}

/* --- it works ------------------------------------------------------------- */

static void test_first_start(void)
{
    uint64_t seq;
    setup();
    struct ringstate *r = open_it(&seq, NULL);
    CU_ASSERT_EQUAL(seq, 0);
    CU_ASSERT_EQUAL(ringstate_reserved(r), RINGSTATE_AHEAD);
    ringstate_close(r);
    CU_ASSERT_EQUAL(restart(), 0);
    teardown();
}

/* A graceful stop leaves the very number; a lower one changes nothing. */
static void test_close(void)
{
    uint64_t seq;
    setup();
    struct ringstate *r = open_it(&seq, NULL);
    ringstate_note(r, 12);
    ringstate_note(r, 8);
    ringstate_close(r);
    CU_ASSERT_EQUAL(restart(), 12);
    CU_ASSERT_EQUAL(restart(), 12);
    teardown();
}

/* What a crash leaves is never below what was used: at each step, the file is
 * read as a restarted daemon would. */
static void test_crash(void)
{
    char line[128], again[128];
    uint64_t seq, used = 0;
    setup();
    struct ringstate *r = open_it(&seq, NULL);
    for (int i = 0; i < 200; i++) {
        used += 500;
        ringstate_note(r, used);
        CU_ASSERT_TRUE(comes_to_reserve(r, used + RINGSTATE_RENEW));
        size_t n = file_get(line, sizeof line);
        unsigned long long stored = 0;
        CU_ASSERT_EQUAL(sscanf(line, "openais-ring 1 %llu", &stored), 1);
        CU_ASSERT(stored >= used);
        memcpy(again, line, n);
    }
    /* The crash: the file as it was, then a new start. */
    size_t n = file_get(again, sizeof again);
    ringstate_close(r);
    file_put(again, n);
    CU_ASSERT(restart() >= used);
    teardown();
}

/* Renewals are rare: one write serves thousands of rings. */
static void test_writes_are_few(void)
{
    uint64_t seq;
    setup();
    struct ringstate *r = open_it(&seq, NULL);
    unsigned before = atomic_load(&sync_count);
    for (uint64_t i = 1; i < RINGSTATE_AHEAD - RINGSTATE_RENEW; i++)
        ringstate_note(r, i);
    sleep_ms(20);
    CU_ASSERT_EQUAL(atomic_load(&sync_count), before);
    ringstate_close(r);
    teardown();
}

static void test_jump(void)
{
    uint64_t seq;
    setup();
    struct ringstate *r = open_it(&seq, NULL);
    ringstate_note(r, UINT64_C(1) << 60);
    CU_ASSERT_TRUE(comes_to_reserve(r, (UINT64_C(1) << 60) + 1));
    ringstate_note(r, UINT64_MAX - 5);
    CU_ASSERT_TRUE(comes_to_reserve(r, UINT64_MAX));
    ringstate_note(r, UINT64_MAX);
    ringstate_close(r);
    CU_ASSERT_EQUAL(restart(), UINT64_MAX);
    teardown();
}

static void test_makes_directory(void)
{
    struct ringstate *r;
    char deeper[96];
    uint64_t seq;
    setup();
    snprintf(deeper, sizeof deeper, "%s/state", dir);
    CU_ASSERT_EQUAL_FATAL(
        ringstate_open(&r, deeper, "x", &seq, error, sizeof error), 0);
    CU_ASSERT_STRING_EQUAL(error, "");
    ringstate_close(r);
    snprintf(path, sizeof path, "%s/ring-x", deeper);
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL(rmdir(deeper), 0);
    teardown();
}

static void test_bad_names(void)
{
    struct ringstate *r;
    uint64_t seq;
    char long_name[300];
    setup();
    memset(long_name, 'x', sizeof long_name);
    long_name[299] = '\0';
    CU_ASSERT_EQUAL(ringstate_open(&r, dir, "../x", &seq, error, sizeof error),
                    -EINVAL);
    CU_ASSERT_EQUAL(ringstate_open(&r, dir, "", &seq, error, sizeof error),
                    -EINVAL);
    CU_ASSERT_EQUAL(
        ringstate_open(&r, dir, long_name, &seq, error, sizeof error),
        -ENAMETOOLONG);
    CU_ASSERT_PTR_NULL(r);
    ringstate_close(NULL);
    teardown();
}

/* --- a damaged file ------------------------------------------------------- */

static void expect_damaged(const char *text, size_t size)
{
    uint64_t seq;
    file_put(text, size);
    struct ringstate *r = open_it(&seq, "damaged");
    CU_ASSERT_EQUAL(seq, 0);
    ringstate_note(r, 4);
    ringstate_close(r);
    CU_ASSERT_EQUAL(restart(), 4); /* and whole again */
}

static void test_damaged(void)
{
    char line[128], changed[160];
    uint64_t seq;
    setup();
    struct ringstate *r = open_it(&seq, NULL);
    ringstate_note(r, 123456);
    ringstate_close(r);
    size_t n = file_get(line, sizeof line);
    CU_ASSERT_FATAL(n > 20);
    for (size_t size = 0; size < n; size++)
        expect_damaged(line, size);
    for (size_t i = 0; i < n; i++) {
        memcpy(changed, line, n);
        changed[i] ^= 1;
        expect_damaged(changed, n);
    }
    memset(changed, 'x', sizeof changed);
    memcpy(changed, line, n);
    expect_damaged(changed, sizeof changed);
    memset(changed, 0, sizeof changed);
    expect_damaged(changed, sizeof changed);
    file_put(line, n);
    CU_ASSERT_EQUAL(restart(), 123456); /* the undamaged one is read */
    teardown();
}

/* --- a disk that fails ---------------------------------------------------- */

static void test_unreadable_name(void)
{
    uint64_t seq;
    setup();
    CU_ASSERT_EQUAL(mkdir(path, 0755), 0); /* a directory in its place */
    struct ringstate *r = open_it(&seq, "not kept");
    CU_ASSERT_EQUAL(seq, 0);
    ringstate_note(r, 4);
    ringstate_close(r);
    rmdir(path);
    teardown();
}

static void test_no_directory(void)
{
    struct ringstate *r;
    uint64_t seq;
    CU_ASSERT_EQUAL_FATAL(
        ringstate_open(&r, "/proc/1/no/where", "x", &seq, error, sizeof error),
        0);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "/proc/1/no/where"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "statedir"));
    CU_ASSERT_EQUAL(seq, 0);
    ringstate_note(r, 100000);
    ringstate_close(r);
}

static void test_unwritable_directory(void)
{
    uint64_t seq;
    if (geteuid() != 0) {
        setup();
        chmod(dir, 0555);
    } else { /* root writes everywhere but here */
        snprintf(dir, sizeof dir, "/proc/self/fd");
    }
    struct ringstate *r = open_it(&seq, "not kept");
    ringstate_note(r, 100000);
    ringstate_close(r);
    if (geteuid() != 0) {
        chmod(dir, 0755);
        teardown();
    }
}

/* A write fails while the daemon runs: it goes on, tries again, and is right
 * again when the disk is. */
static void disk_fails(_Atomic int *fault)
{
    uint64_t seq;
    setup();
    struct ringstate *r = open_it(&seq, NULL);
    atomic_store(fault, EIO);
    ringstate_note(r, 100000);
    CU_ASSERT(comes_to_fail(r, 2));
    CU_ASSERT_EQUAL(ringstate_reserved(r), RINGSTATE_AHEAD);
    atomic_store(fault, 0);
    CU_ASSERT_TRUE(comes_to_reserve(r, 100000 + RINGSTATE_AHEAD));
    ringstate_close(r);
    CU_ASSERT_EQUAL(restart(), 100000);
    teardown();
}

static void test_sync_fails(void)
{
    disk_fails(&fail_sync);
}

static void test_rename_fails(void)
{
    disk_fails(&fail_rename);
}

static void test_fails_at_open(void)
{
    uint64_t seq;
    setup();
    atomic_store(&fail_sync, EIO);
    struct ringstate *r = open_it(&seq, "not kept");
    ringstate_note(r, 40);
    atomic_store(&fail_sync, 0);
    CU_ASSERT_TRUE(comes_to_reserve(r, RINGSTATE_AHEAD));
    ringstate_close(r);
    CU_ASSERT_EQUAL(restart(), 40);
    teardown();
}

/* A failure at the end leaves the reservation, which is as good. */
static void test_fails_at_close(void)
{
    uint64_t seq;
    setup();
    struct ringstate *r = open_it(&seq, NULL);
    ringstate_note(r, 40);
    atomic_store(&fail_rename, ENOSPC);
    ringstate_close(r);
    atomic_store(&fail_rename, 0);
    CU_ASSERT_EQUAL(restart(), RINGSTATE_AHEAD);
    teardown();
}

/* A sync does not end before everything is noted: whoever notes does not wait
 * for the disk. */
static void test_slow(void)
{
    uint64_t seq;
    setup();
    struct ringstate *r = open_it(&seq, NULL);
    unsigned before = sync_count;
    stuck = true;
    ringstate_note(r, RINGSTATE_AHEAD);
    for (int ms = 0; sync_count == before && ms < PATIENCE_MS; ms += 2)
        sleep_ms(2);
    CU_ASSERT(sync_count > before);
    for (uint64_t i = 0; i < 100000; i++)
        ringstate_note(r, i * 10);
    stuck = false;
    CU_ASSERT_FALSE(stuck_for_good);
    CU_ASSERT_TRUE(comes_to_reserve(r, 999990));
    ringstate_close(r);
    CU_ASSERT_EQUAL(restart(), 999990);
    teardown();
}

static void test_full_disk(void)
{
    uint64_t seq;
    char filler[80];
    static char block[65536];
    setup();
    if (mount("none", dir, "tmpfs", 0, "size=8k") != 0) {
        printf("\nSKIP a full disk: cannot mount a tmpfs here\n");
        teardown();
        return;
    }
    struct ringstate *r = open_it(&seq, NULL);
    snprintf(filler, sizeof filler, "%s/filler", dir);
    int fd = open(filler, O_WRONLY | O_CREAT, 0600);
    CU_ASSERT(write(fd, block, sizeof block) < (ssize_t)sizeof block);
    close(fd);
    ringstate_note(r, 50000);
    CU_ASSERT(comes_to_fail(r, 1));
    unlink(filler);
    CU_ASSERT_TRUE(comes_to_reserve(r, 50000));
    ringstate_close(r);
    CU_ASSERT_EQUAL(restart(), 50000);
    CU_ASSERT_EQUAL(umount(dir), 0);
    teardown();
}

static const struct unit_test tests[] = {
    {"first start", test_first_start},
    {"close", test_close},
    {"crash", test_crash},
    {"few writes", test_writes_are_few},
    {"jump", test_jump},
    {"makes its directory", test_makes_directory},
    {"bad names", test_bad_names},
    {"damaged", test_damaged},
    {"a directory in its place", test_unreadable_name},
    {"no directory", test_no_directory},
    {"unwritable directory", test_unwritable_directory},
    {"sync fails", test_sync_fails},
    {"rename fails", test_rename_fails},
    {"fails at open", test_fails_at_open},
    {"fails at close", test_fails_at_close},
    {"slow disk", test_slow},
    {"full disk", test_full_disk},
};

int main(void)
{
    static const struct log_config quiet = {.file = "/dev/null"};
    log_open(&quiet);
    return unit_main("ringstate", tests, sizeof tests / sizeof *tests);
}
