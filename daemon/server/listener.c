/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/listener.h"

#include "daemon/server/discard.h"
#include "ipc/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 512 }; /* connections not accepted yet */

/* One connection attempt tells a living daemon from a socket left behind. */
static int clear_way(const struct sockaddr_un *address)
{
    struct stat st;
    int fd, rc;

    if (lstat(address->sun_path, &st) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    rc = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0
             ? 0
             : errno;
    close(fd);
    if (rc != ECONNREFUSED && rc != ENOENT)
        return -EADDRINUSE; /* connected, or its queue is full */
    return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Everybody may connect, so that everybody can be told why he may not stay; the
 * credentials decide. Gives the descriptor, or -errno. */
static int listen_at(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc;

    if (fd < 0)
        return -errno;
    channel_refuse_fds(fd);
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) != 0)
        goto err0;
    if (chmod(address->sun_path, 0666) != 0 || listen(fd, BACKLOG) != 0)
        goto err1;
    return fd;

err1:
    rc = -errno;
    unlink(address->sun_path);
    close(fd);
    return rc;
err0:
    rc = -errno;
    close(fd);
    return rc;
}

/* Connections that wait to be accepted have queues too. */
static void close_whole(int fd, struct discard *discard)
{
    int waiting;

    shutdown(fd, SHUT_RDWR); /* nobody can connect from here on */
    while ((waiting = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        discard_put(discard, waiting);
    close(fd);
}

int listener_open(struct listener *l, const char *dir, struct discard *discard,
                  char *error, size_t error_size)
{
    const char *what = "the run directory";
    struct stat st;
    int fd = -1, rc = channel_address(&l->address, dir);

    if (rc == 0 && mkdir(dir, 0755) != 0 && errno != EEXIST)
        rc = -errno;
    if (rc != 0)
        goto err;
    what = "the socket " CHANNEL_SOCKET " in";
    rc = clear_way(&l->address);
    if (rc == 0)
        rc = fd = listen_at(&l->address);
    if (rc >= 0 && lstat(l->address.sun_path, &st) != 0)
        rc = -errno;
    if (rc < 0)
        goto err;
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    if (l->fd >= 0)
        close_whole(l->fd, discard);
    l->fd = fd;
    return 0;

err:
    if (fd >= 0)
        close(fd);
    snprintf(error, error_size, "cannot use %s %s: %s%s", what, dir,
             strerror(-rc),
             rc == -EADDRINUSE ? " (another daemon answers there)"
             : rc == -EEXIST   ? " (it is no socket)"
                               : "");
    return rc;
}

bool listener_has_name(const struct listener *l)
{
    struct stat st;

    if (lstat(l->address.sun_path, &st) != 0)
        return errno != ENOENT && errno != ENOTDIR;
    return st.st_dev == l->dev && st.st_ino == l->ino;
}

void listener_close(struct listener *l, struct discard *discard)
{
    if (l->fd < 0)
        return;
    if (listener_has_name(l))
        unlink(l->address.sun_path);
    close_whole(l->fd, discard);
    l->fd = -1;
}
