/* SPDX-License-Identifier: BSD-3-Clause */
/* loop.h - epoll and the real clock. One loop per thread. */
#ifndef DAEMON_LOOP_LOOP_H
#define DAEMON_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop_event {
    void *context;   /* as given to loop_add() */
    uint32_t events; /* EPOLL... */
};

/* CLOCK_MONOTONIC, ns. */
uint64_t loop_now_ns(void);

int loop_open(struct loop **out); /* 0 or -errno */
void loop_close(struct loop *l);

/* `events` as in epoll_ctl (EPOLLIN, EPOLLET ...). 0 or -errno. */
int loop_add(struct loop *l, int fd, uint32_t events, void *context);
void loop_remove(struct loop *l, int fd);

/* Waits for events until wake_ns (absolute; 0: do not wait; UINT64_MAX: for
 * ever), to the microsecond (epoll_pwait2 where the kernel has it). Gives how
 * many events loop_next() will give; interrupted by a signal: 0. */
uint32_t loop_wait(struct loop *l, uint64_t wake_ns);
bool loop_next(struct loop *l, struct loop_event *event);

#endif
