// SPDX-License-Identifier: BSD-3-Clause
/* test_loop.c - the event loop, on eventfds and pipes. */
#include "daemon/loop/loop.h"

#include "test/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The kernel is told to lack epoll_pwait2 by the tests that want the other
 * way; this definition comes before the C library's. */
static bool pwait2_missing;
static unsigned pwait2_calls;

int epoll_pwait2(int epfd, struct epoll_event *events, int maxevents,
                 const struct timespec *timeout, const sigset_t *mask)
{
    pwait2_calls++;
    if (pwait2_missing) {
        errno = ENOSYS;
        return -1;
    }
    return (int)syscall(SYS_epoll_pwait2, epfd, events, maxevents, timeout,
                        mask, (size_t)8);
}

static const uint64_t ms_ns = 1000000;

static int fd_ready(void)
{
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    CU_ASSERT_FATAL(fd >= 0);
    return fd;
}

static void test_delivers_context(void)
{
    struct loop *l;
    CU_ASSERT_FATAL(loop_open(&l) == 0);
    int quiet = eventfd(0, EFD_NONBLOCK), loud = fd_ready();
    int a, b;
    CU_ASSERT(loop_add(l, quiet, EPOLLIN, &a) == 0);
    CU_ASSERT(loop_add(l, loud, EPOLLIN, &b) == 0);
    CU_ASSERT(loop_add(l, loud, EPOLLIN, &b) == -EEXIST);
    CU_ASSERT(loop_add(l, -1, EPOLLIN, &b) == -EBADF);
    struct loop_event e;
    CU_ASSERT(!loop_next(l, &e));
    CU_ASSERT(loop_wait(l, UINT64_MAX) == 1);
    CU_ASSERT(loop_next(l, &e));
    CU_ASSERT(e.context == &b && (e.events & EPOLLIN) != 0);
    CU_ASSERT(!loop_next(l, &e));
    loop_remove(l, loud);
    loop_remove(l, loud);
    loop_remove(l, 100000);
    CU_ASSERT(loop_wait(l, 0) == 0);
    loop_close(l);
    loop_close(NULL);
    close(quiet);
    close(loud);
}

static void test_waits_until(void)
{
    for (int old = 0; old < 2; old++) {
        struct loop *l;
        CU_ASSERT_FATAL(loop_open(&l) == 0);
        pwait2_missing = old == 1;
        uint64_t waited = UINT64_MAX, start;
        /* Never too short; that it is not too long either shows once this
         * thread is not kept from a processor. */
        for (int i = 0; i < 20 && waited >= 500 * ms_ns; i++) {
            start = loop_now_ns();
            CU_ASSERT(loop_wait(l, start + 3 * ms_ns / 2) == 0);
            waited = loop_now_ns() - start;
            CU_ASSERT(waited >= 3 * ms_ns / 2);
        }
        CU_ASSERT(waited < 500 * ms_ns);
        waited = UINT64_MAX;
        for (int i = 0; i < 20 && waited >= 200 * ms_ns; i++) {
            start = loop_now_ns();
            CU_ASSERT(loop_wait(l, 0) == 0);
            CU_ASSERT(loop_wait(l, 1) == 0); /* long past */
            waited = loop_now_ns() - start;
        }
        CU_ASSERT(waited < 200 * ms_ns);
        pwait2_missing = false;
        loop_close(l);
    }
}

/* The fallback is remembered: a loop asks for the new call once. */
static void test_old_kernel_is_remembered(void)
{
    struct loop *l;
    CU_ASSERT_FATAL(loop_open(&l) == 0);
    int fd = fd_ready(), context;
    CU_ASSERT(loop_add(l, fd, EPOLLIN, &context) == 0);
    pwait2_missing = true;
    pwait2_calls = 0;
    struct loop_event e;
    for (int i = 0; i < 3; i++) {
        CU_ASSERT(loop_wait(l, UINT64_MAX) == 1);
        CU_ASSERT(loop_next(l, &e) && e.context == &context);
    }
    CU_ASSERT(pwait2_calls == 1);
    pwait2_missing = false;
    loop_close(l);
    close(fd);
}

static void test_removed_while_pending(void)
{
    struct loop *l;
    CU_ASSERT_FATAL(loop_open(&l) == 0);
    int fds[3], contexts[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = fd_ready();
        CU_ASSERT(loop_add(l, fds[i], EPOLLIN, &contexts[i]) == 0);
    }
    CU_ASSERT(loop_wait(l, UINT64_MAX) == 3);
    struct loop_event e;
    CU_ASSERT_FATAL(loop_next(l, &e));
    int first = (int)((int *)e.context - contexts);
    int gone = (first + 1) % 3, stays = (first + 2) % 3;
    loop_remove(l, fds[gone]);
    CU_ASSERT(loop_next(l, &e) && e.context == &contexts[stays]);
    CU_ASSERT(!loop_next(l, &e));
    loop_close(l);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

/* The fd is closed, and its number belongs to another file by the time the old
 * file's event would be delivered. */
static void test_number_used_again(void)
{
    struct loop *l;
    CU_ASSERT_FATAL(loop_open(&l) == 0);
    int fds[2], contexts[2], new_context;
    for (int i = 0; i < 2; i++) {
        fds[i] = fd_ready();
        CU_ASSERT(loop_add(l, fds[i], EPOLLIN, &contexts[i]) == 0);
    }
    CU_ASSERT(loop_wait(l, UINT64_MAX) == 2);
    struct loop_event e;
    CU_ASSERT_FATAL(loop_next(l, &e));
    int other = e.context == &contexts[0] ? 1 : 0;
    loop_remove(l, fds[other]);
    close(fds[other]);
    int again = eventfd(0, EFD_NONBLOCK);
    CU_ASSERT(again == fds[other]);
    CU_ASSERT(loop_add(l, again, EPOLLIN, &new_context) == 0);
    CU_ASSERT(!loop_next(l, &e));
    eventfd_write(again, 1);
    CU_ASSERT(loop_wait(l, UINT64_MAX) >= 1);
    bool heard = false;
    while (loop_next(l, &e))
        heard = heard || e.context == &new_context;
    CU_ASSERT(heard);
    loop_close(l);
    close(again);
    close(fds[1 - other]);
}

static void test_many_and_untaken(void)
{
    enum { COUNT = 150 };
    struct loop *l;
    CU_ASSERT_FATAL(loop_open(&l) == 0);
    int fds[COUNT], seen[COUNT];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = fd_ready();
        CU_ASSERT(loop_add(l, fds[i], EPOLLIN | EPOLLET, &seen[i]) == 0);
    }
    /* One taken per wait: edges are reported once, and none may be lost. */
    struct loop_event e;
    for (int i = 0; i < COUNT; i++) {
        CU_ASSERT_FATAL(loop_wait(l, 0) > 0);
        CU_ASSERT_FATAL(loop_next(l, &e));
        ++*(int *)e.context;
    }
    CU_ASSERT(loop_wait(l, 0) == 0);
    for (int i = 0; i < COUNT; i++) {
        CU_ASSERT(seen[i] == 1);
        close(fds[i]);
    }
    loop_close(l);
}

static void on_signal(int number)
{
    (void)number;
}

static _Atomic bool interrupted;

/* Again and again: the first may come before the thread waits. */
static void *signal_later(void *thread)
{
    while (!interrupted) {
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000}, NULL);
        if (!interrupted)
            pthread_kill(*(pthread_t *)thread, SIGUSR1);
    }
    return NULL;
}

static void test_signal_gives_none(void)
{
    struct loop *l;
    CU_ASSERT_FATAL(loop_open(&l) == 0);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t self = pthread_self(), helper;
    uint64_t end = loop_now_ns() + 60000 * ms_ns;
    CU_ASSERT_FATAL(pthread_create(&helper, NULL, signal_later, &self) == 0);
    CU_ASSERT(loop_wait(l, end) == 0);
    interrupted = true;
    CU_ASSERT(loop_now_ns() < end);
    pthread_join(helper, NULL);
    loop_close(l);
}

static const struct unit_test tests[] = {
    {"delivers the context", test_delivers_context},
    {"waits until the time", test_waits_until},
    {"remembers an old kernel", test_old_kernel_is_remembered},
    {"removed while pending", test_removed_while_pending},
    {"fd number used again", test_number_used_again},
    {"many, edge-triggered, taken singly", test_many_and_untaken},
    {"interrupted by a signal", test_signal_gives_none},
};
UNIT_MAIN("loop", tests)
