/* SPDX-License-Identifier: BSD-3-Clause */
/* channel.h - the UNIX socket between client and daemon. */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H

#include "ipc/connect.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CHANNEL_RUN_DIR "/run/openais" /* unless the environment says */
#define CHANNEL_RUN_DIR_ENV "OPENAIS_RUNDIR"
#define CHANNEL_SOCKET "aisexec.sock" /* in the run directory */

enum { CHANNEL_FDS_MAX = 8 };

/* The run directory; the environment counts for ordinary programs only, not
 * for one that runs with more rights than its user (setuid, setgid). */
const char *channel_run_dir(void);

/* Address of the socket in `run_dir`: 0 or -ENAMETOOLONG. */
int channel_address(struct sockaddr_un *address, const char *run_dir);

/* Sends all of `size` bytes (few: they fit in an empty socket) with
 * descriptors. 0 or -errno; never raises SIGPIPE. */
int channel_send(int fd, const void *data, size_t size, const int *fds,
                 size_t fd_count, bool wait);

/* Receives up to `size` bytes: the count, 0 at the end, -errno. Descriptors
 * that came along (close-on-exec) go to fds[0 .. *fd_count - 1], *fd_count at
 * most fd_max; the caller owns them. More than fd_max are closed. */
long channel_receive(int fd, void *data, size_t size, int *fds, size_t fd_max,
                     size_t *fd_count, bool wait);

/* The daemon expects no descriptors. What a stranger sends is not received, as
 * it would have to be closed then (see daemon/server/discard.h): it looks at
 * what waits first. */

/* Nobody can send descriptors to this socket from now on, nor to those that are
 * accepted from it. False: the kernel does not know that (Linux before 6.16).
 */
bool channel_refuse_fds(int fd);

/* Copies up to `size` bytes that wait, and leaves them: the count, 0 at the
 * end, -errno; -EBADMSG: there are descriptors among them. */
long channel_peek(int fd, void *data, size_t size);

/* Takes `size` bytes that channel_peek() has seen. False: more is there. */
bool channel_take(int fd, void *data, size_t size);

/* May there be descriptors in the queue? To be asked after shutdown(). */
bool channel_holds_fds(int fd);

/* Looks at the `got` bytes that a client has sent so far. WHOLE: *hello is what
 * it says; its version and service are still to be judged. */
enum channel_hello {
    CHANNEL_HELLO_PART, /* more is to come */
    CHANNEL_HELLO_WHOLE,
    CHANNEL_HELLO_BAD /* not a hello, or more than one */
};
enum channel_hello channel_hello_check(const uint8_t *data, size_t got,
                                       struct ipc_hello *hello);

#endif
