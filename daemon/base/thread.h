/* SPDX-License-Identifier: BSD-3-Clause */
/* thread.h - the daemon's helper threads. */
#ifndef DAEMON_BASE_THREAD_H
#define DAEMON_BASE_THREAD_H

#include <pthread.h>

/* Starts a thread at normal priority, whatever its creator's is, and without
 * signals: those are for the thread that handles them, and a pipe without a
 * reader gives an error instead. 0 or -errno. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *context);

#endif
