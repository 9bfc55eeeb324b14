/* SPDX-License-Identifier: BSD-3-Clause */
/* wakeup.h - what it costs here to wake a sleeping thread. */
#ifndef DAEMON_SERVER_WAKEUP_H
#define DAEMON_SERVER_WAKEUP_H

#include <stdint.h>

/* The time two sleeping threads take to wake each other once, there and back,
 * in ns, at most 200 us; takes about 30 milliseconds. 0: this process may run
 * on one processor only, so that waiting awake keeps off whom one waits for. */
uint32_t wakeup_measure(void);

#endif
