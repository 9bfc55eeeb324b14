/* SPDX-License-Identifier: BSD-3-Clause */
/* random.h - random bytes, from the kernel. Any thread. */
#ifndef DAEMON_BASE_RANDOM_H
#define DAEMON_BASE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fills `out`. Never waits once the system has started. Two calls give
 * different bytes even if the kernel's generator was set back between them
 * (with a virtual machine's memory), as long as the clock was not. False: the
 * kernel has none. */
bool random_fill(uint8_t *out, size_t size);

#endif
