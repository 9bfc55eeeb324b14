/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/discard.h"

#include "daemon/base/thread.h"
#include "ipc/channel.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id /* glibc 2.36 does not name it */
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum {
    WAITING_MAX = 256,
    LINGER_MS = 5,    /* until a close that lingers is interrupted */
    FAREWELL_MS = 200 /* for the thread, when the daemon ends */
};

struct discard {
    pthread_t thread;
    pthread_mutex_t lock; /* for what follows; held for some instructions */
    pthread_cond_t changed;
    bool stop, ended;
    uint32_t count;
    int fds[WAITING_MAX];
};

/* --- the thread ----------------------------------------------------------- */

static void interrupt(int signal)
{
    (void)signal;
}

/* A signal to this thread again and again: a socket that lingers for hours is
 * given up at the first one. False: there can be none. */
static bool timer_open(timer_t *timer)
{
    struct sigaction action = {.sa_handler = interrupt};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = SIGRTMIN};
    sigset_t set;

    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    return sigaction(SIGRTMIN, &action, NULL) == 0 &&
           pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0 &&
           timer_create(CLOCK_MONOTONIC, &event, timer) == 0;
}

static void timer_set(timer_t timer, long ms)
{
    const struct timespec time = {.tv_nsec = ms * 1000000};
    const struct itimerspec spec = {.it_interval = time, .it_value = time};

    timer_settime(timer, 0, &spec, NULL);
}

/* The next one to be closed; -1: the end. */
static int next(struct discard *d)
{
    int fd = -1;

    pthread_mutex_lock(&d->lock);
    while (d->count == 0 && !d->stop)
        pthread_cond_wait(&d->changed, &d->lock);
    if (d->count > 0)
        fd = d->fds[--d->count];
    pthread_mutex_unlock(&d->lock);
    return fd;
}

static void *run(void *context)
{
    struct discard *d = context;
    timer_t timer;
    bool timed;
    int fd;

    pthread_setname_np(pthread_self(), "discard");
    timed = timer_open(&timer);
    while ((fd = next(d)) >= 0) {
        if (timed)
            timer_set(timer, LINGER_MS);
        close(fd);
        if (timed)
            timer_set(timer, 0);
    }
    if (timed)
        timer_delete(timer);
    pthread_mutex_lock(&d->lock);
    d->ended = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* --- the interface -------------------------------------------------------- */

int discard_open(struct discard **out)
{
    struct discard *d = calloc(1, sizeof *d);
    pthread_condattr_t steady;
    int rc;

    if (d == NULL)
        return -ENOMEM;
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&d->changed, &steady);
    pthread_condattr_destroy(&steady);
    rc = thread_start(&d->thread, run, d);
    if (rc != 0) {
        free(d);
        return rc;
    }
    *out = d;
    return 0;
}

void discard_close(struct discard *d)
{
    struct timespec end;
    bool ended;
    int rc = 0;

    if (d == NULL)
        return;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += FAREWELL_MS * 1000000L;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_cond_signal(&d->changed);
    while (!d->ended && rc == 0)
        rc = pthread_cond_timedwait(&d->changed, &d->lock, &end);
    ended = d->ended;
    pthread_mutex_unlock(&d->lock);
    if (!ended) {
        pthread_detach(d->thread); /* it still has `d` */
        return;
    }
    pthread_join(d->thread, NULL);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static bool give(struct discard *d, int fd)
{
    bool given;

    pthread_mutex_lock(&d->lock);
    given = d->count < WAITING_MAX;
    if (given)
        d->fds[d->count++] = fd;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
    return given;
}

void discard_put(struct discard *d, int fd)
{
    /* From here on nothing can be added to its queue. */
    shutdown(fd, SHUT_RDWR);
    if (!channel_holds_fds(fd) || !give(d, fd))
        close(fd);
}
