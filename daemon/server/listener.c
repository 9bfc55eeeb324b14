/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/listener.h"

#include "daemon/server/discard.h"
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BACKLOG = 512, /* connections not accepted yet */
    LOCK_PATH_SIZE = sizeof((struct sockaddr_un){0}).sun_path + 16
};

/* --- the directory -------------------------------------------------------- */

/* Others could put links where this process is about to write, or take the
 * socket's place. */
static int check_dir(const char *dir)
{
    struct stat st;

    if (stat(dir, &st) != 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    return (st.st_uid != geteuid() && st.st_uid != 0) ||
                   (st.st_mode & (S_IWGRP | S_IWOTH)) != 0
               ? -EPERM
               : 0;
}

/* Does the name still stand for this file? */
static bool is_named(int fd, const char *path)
{
    struct stat file, named;

    return fstat(fd, &file) == 0 && lstat(path, &named) == 0 &&
           file.st_dev == named.st_dev && file.st_ino == named.st_ino;
}

static void unlock(int fd)
{
    if (fd < 0)
        return;
    flock(fd, LOCK_UN); /* a child may have the descriptor too */
    close(fd);
}

/* Only who has the lock looks whether the socket is in use, and makes it: two
 * that start at the same time cannot both find nobody there. The descriptor or
 * -errno. */
static int lock(const char *path)
{
    int rc;

    for (;;) {
        /* Nobody else may open it, and so lock it. */
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            rc = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
            close(fd);
            return rc;
        }
        if (is_named(fd, path))
            return fd;
        unlock(fd); /* its owner removed it when it ended, just now */
    }
}

static void lock_path(const struct listener *l, char path[LOCK_PATH_SIZE])
{
    const char *name = strrchr(l->address.sun_path, '/') + 1;

    snprintf(path, LOCK_PATH_SIZE, "%.*s.aisexec.lock",
             (int)(name - l->address.sun_path), l->address.sun_path);
}

/* Unless it has it already. */
static int take_lock(struct listener *l)
{
    char path[LOCK_PATH_SIZE];
    int fd;

    lock_path(l, path);
    if (l->lock_fd >= 0 && is_named(l->lock_fd, path))
        return 0;
    fd = lock(path);
    if (fd < 0)
        return fd;
    unlock(l->lock_fd);
    l->lock_fd = fd;
    return 0;
}

static void give_lock(struct listener *l)
{
    char path[LOCK_PATH_SIZE];

    if (l->lock_fd < 0)
        return;
    lock_path(l, path);
    if (is_named(l->lock_fd, path))
        unlink(path);
    unlock(l->lock_fd);
    l->lock_fd = -1;
}

/* --- the socket ----------------------------------------------------------- */

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
 * credentials decide. The file has its mode from the beginning, as its name may
 * stand for another one a moment later. Gives the descriptor, or -errno. */
static int listen_at(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask;
    int rc;

    if (fd < 0)
        return -errno;
    channel_refuse_fds(fd);
    if (fchmod(fd, 0666) != 0)
        goto err0;
    mask = umask(0); /* files of other threads have modes of their own */
    rc = bind(fd, (const struct sockaddr *)address, sizeof *address);
    umask(mask);
    if (rc != 0)
        goto err0;
    if (listen(fd, BACKLOG) != 0)
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
    if (rc == 0)
        rc = check_dir(dir);
    if (rc == 0)
        rc = take_lock(l);
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
             rc == -EADDRINUSE ? " (another daemon runs there)"
             : rc == -EPERM    ? " (it must be this user's or root's, and "
                                 "nobody else may write it: chmod go-w)"
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
    if (l->fd >= 0) {
        if (listener_has_name(l))
            unlink(l->address.sun_path);
        close_whole(l->fd, discard);
    }
    l->fd = -1;
    give_lock(l); /* taken, too, where the socket could not be made */
}
