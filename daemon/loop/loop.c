// SPDX-License-Identifier: BSD-3-Clause
/* loop.c - epoll and the real clock.
 *
 * What epoll hands back with an event is not a pointer but the fd and the
 * number of its registration. So an event that was fetched in the same batch
 * in which its fd was removed (and perhaps closed, and its number given to a
 * new fd) matches no registration any more, and is dropped. */
#include "daemon/loop/loop.h"

#include "daemon/base/check.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { LOOP_BATCH = 64, LOOP_TABLE_MIN = 64 };

struct registration {
    void *context;
    uint32_t number; /* 0: none */
};

struct loop {
    int epoll;
    bool no_pwait2;
    uint32_t number_last;
    struct registration *table; /* by fd */
    size_t table_size;
    uint32_t count, next; /* of the batch */
    struct epoll_event batch[LOOP_BATCH];
};

uint64_t loop_now_ns(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int loop_open(struct loop **out)
{
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0) {
        int error = -errno;
        free(l);
        return error;
    }
    *out = l;
    return 0;
}

void loop_close(struct loop *l)
{
    if (l == NULL)
        return;
    close(l->epoll);
    free(l->table);
    free(l);
}

static int table_grow(struct loop *l, size_t fd)
{
    if (fd < l->table_size)
        return 0;
    size_t size = l->table_size == 0 ? LOOP_TABLE_MIN : l->table_size;
    while (size <= fd)
        size *= 2;
    struct registration *table = realloc(l->table, size * sizeof *table);
    if (table == NULL)
        return -ENOMEM;
    for (size_t i = l->table_size; i < size; i++)
        table[i] = (struct registration){NULL, 0};
    l->table = table;
    l->table_size = size;
    return 0;
}

int loop_add(struct loop *l, int fd, uint32_t events, void *context)
{
    if (fd < 0)
        return -EBADF;
    int error = table_grow(l, (size_t)fd);
    if (error != 0)
        return error;
    if (++l->number_last == 0)
        l->number_last = 1;
    struct epoll_event event = {
        .events = events,
        .data.u64 = (uint64_t)l->number_last << 32 | (uint32_t)fd,
    };
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return -errno;
    l->table[fd] = (struct registration){context, l->number_last};
    return 0;
}

void loop_remove(struct loop *l, int fd)
{
    if (fd < 0 || (size_t)fd >= l->table_size || l->table[fd].number == 0)
        return;
    l->table[fd] = (struct registration){NULL, 0};
    /* It fails only when the fd was closed before, which removed it too. */
    (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* Kernels before 5.11 wait in milliseconds: rounded up, since to wake early is
 * to wake twice. */
static int wait_ms(struct loop *l, uint64_t left_ns, bool forever)
{
    int timeout_ms = -1;
    if (!forever) {
        uint64_t ms = left_ns / 1000000 + (left_ns % 1000000 != 0);
        timeout_ms = ms > INT_MAX ? INT_MAX : (int)ms;
    }
    return epoll_wait(l->epoll, l->batch, LOOP_BATCH, timeout_ms);
}

static int wait_ns(struct loop *l, uint64_t left_ns, bool forever)
{
    if (l->no_pwait2)
        return wait_ms(l, left_ns, forever);
    struct timespec timeout = {
        .tv_sec = (time_t)(left_ns / 1000000000),
        .tv_nsec = (long)(left_ns % 1000000000),
    };
    int count = epoll_pwait2(l->epoll, l->batch, LOOP_BATCH,
                             forever ? NULL : &timeout, NULL);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM))
        return count;
    l->no_pwait2 = true; /* an old kernel, or a filter of system calls */
    return wait_ms(l, left_ns, forever);
}

uint32_t loop_wait(struct loop *l, uint64_t wake_ns)
{
    /* What an earlier batch left untaken comes first: with EPOLLET it would
     * not be reported again. */
    if (l->next < l->count)
        return l->count - l->next;
    bool forever = wake_ns == UINT64_MAX;
    uint64_t left_ns = 0;
    if (wake_ns != 0 && !forever) {
        uint64_t now_ns = loop_now_ns();
        left_ns = wake_ns > now_ns ? wake_ns - now_ns : 0;
    }
    int count = wait_ns(l, left_ns, forever);
    CHECK(count >= 0 || errno == EINTR);
    l->next = 0;
    l->count = count > 0 ? (uint32_t)count : 0;
    return l->count;
}

bool loop_next(struct loop *l, struct loop_event *event)
{
    while (l->next < l->count) {
        const struct epoll_event *e = &l->batch[l->next++];
        uint32_t fd = (uint32_t)e->data.u64;
        uint32_t number = (uint32_t)(e->data.u64 >> 32);
        if (fd >= l->table_size || l->table[fd].number != number)
            continue; /* removed meanwhile */
        *event = (struct loop_event){l->table[fd].context, e->events};
        return true;
    }
    return false;
}
