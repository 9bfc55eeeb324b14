/* SPDX-License-Identifier: BSD-3-Clause */
/* listener.h - the socket that programs connect to, and its name. Owner:
 * admission thread. */
#ifndef DAEMON_SERVER_LISTENER_H
#define DAEMON_SERVER_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/un.h>

struct listener {
    struct sockaddr_un address;
    int fd;      /* -1: none */
    int lock_fd; /* that no other daemon uses the directory; -1: none */
    /* The file that the name stood for when it was made. */
    dev_t dev;
    ino_t ino;
};

struct discard;

/* Makes the directory `dir` (one level) if it is missing; one that others can
 * write is refused. Takes its lock, which ends with the process, and makes a
 * socket in place of one that nobody answers at; if `l` has one already, that
 * is closed then, and what nobody has accepted is discarded. 0, or -errno with
 * a sentence in `error`, and `l` is as it was: -EADDRINUSE (another daemon runs
 * there), -EEXIST (no socket), -EPERM. */
int listener_open(struct listener *l, const char *dir, struct discard *discard,
                  char *error, size_t error_size);

/* Does the name still stand for this socket? True if it cannot be known. */
bool listener_has_name(const struct listener *l);

/* Closes it, and removes the name if it is its own. */
void listener_close(struct listener *l, struct discard *discard);

#endif
