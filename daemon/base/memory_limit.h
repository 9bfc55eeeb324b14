/* SPDX-License-Identifier: BSD-3-Clause */
/* memory_limit.h - how much memory this process may come to have. */
#ifndef DAEMON_BASE_MEMORY_LIMIT_H
#define DAEMON_BASE_MEMORY_LIMIT_H

#include <stdint.h>

struct memory_limit {
    uint64_t bytes;  /* UINT64_MAX: not known */
    char from[4352]; /* "of the machine", "of the cgroup /x" */
};

/* The least of what the machine has and the memory cgroups of this process
 * allow, of both versions. `root`: where /proc and /sys are, "" but for tests.
 */
void memory_limit_get(const char *root, struct memory_limit *limit);

#endif
