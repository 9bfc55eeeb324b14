/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/wakeup.h"

#include "daemon/base/thread.h"
#include "daemon/server/internal.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { ROUNDS = 9, MAX_NS = 200000, UNKNOWN_NS = 50000 };

struct pair {
    int there, back; /* eventfds */
    int cpu;         /* where the echo runs */
};

static void ring(int fd)
{
    const uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n;
}

static void wait_for(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
}

/* The calling thread runs on this processor alone; advice. */
static void stay_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

/* The first of a set from `from` on. */
static int cpu_in(const cpu_set_t *set, int from)
{
    while (from < CPU_SETSIZE && !CPU_ISSET((size_t)from, set))
        from++;
    return from;
}

static void *echo(void *context)
{
    struct pair *p = context;

    stay_on(p->cpu);
    for (int i = 0; i < ROUNDS; i++) {
        wait_for(p->there);
        ring(p->back);
    }
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static uint64_t median_round(struct pair *p)
{
    /* So long that both sleep, and their processors too. */
    const struct timespec nap = {.tv_nsec = 3000000};
    uint64_t took[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        nanosleep(&nap, NULL);
        uint64_t begin = server_now_ns();
        ring(p->there);
        wait_for(p->back);
        took[i] = server_now_ns() - begin;
    }
    qsort(took, ROUNDS, sizeof *took, ascending);
    return took[ROUNDS / 2];
}

uint32_t wakeup_measure(void)
{
    struct pair p = {.there = eventfd(0, EFD_CLOEXEC),
                     .back = eventfd(0, EFD_CLOEXEC)};
    uint64_t took = UNKNOWN_NS;
    cpu_set_t mine;
    pthread_t thread;
    bool known = sched_getaffinity(0, sizeof mine, &mine) == 0;

    if (known && CPU_COUNT(&mine) == 1) {
        took = 0;
    } else if (known && p.there >= 0 && p.back >= 0) {
        /* On two processors: to wake a thread of one's own is cheap. */
        int own = cpu_in(&mine, 0);
        p.cpu = cpu_in(&mine, own + 1);
        if (thread_start(&thread, echo, &p) == 0) {
            stay_on(own);
            took = median_round(&p);
            pthread_join(thread, NULL);
            (void)sched_setaffinity(0, sizeof mine, &mine);
        }
    }
    if (p.there >= 0)
        close(p.there);
    if (p.back >= 0)
        close(p.back);
    return (uint32_t)(took < MAX_NS ? took : MAX_NS);
}
