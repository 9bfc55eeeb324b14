/* SPDX-License-Identifier: BSD-3-Clause */
/* limit.h - what the system refuses to this process, and what would help. */
#ifndef DAEMON_BASE_LIMIT_H
#define DAEMON_BASE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LIMIT_TEXT_SIZE = 256 };

/* What went wrong, from an errno, and which limits of this process may be why,
 * if they are set: "File too large (the limit on the size of a file is 4096:
 * ulimit -f, LimitFSIZE)". Gives `text`. */
const char *limit_explain(int error, char text[LIMIT_TEXT_SIZE]);

enum limit_privilege {
    LIMIT_REAL_TIME,    /* CAP_SYS_NICE */
    LIMIT_LOCK,         /* CAP_IPC_LOCK */
    LIMIT_LARGE_BUFFERS /* CAP_NET_ADMIN */
};

/* Who this process is, as far as privileges hang on it. */
struct limit_process {
    bool root, user_namespace; /* the latter: root is so in a part only */
    uint64_t capabilities;     /* effective */
};
struct limit_process limit_process_get(void);

/* How such a process may get a privilege, as "run it as root"; NULL: it has it,
 * so that it was refused for another reason. */
const char *limit_way_to(const struct limit_process *p,
                         enum limit_privilege privilege);

#endif
