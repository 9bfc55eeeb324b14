/* SPDX-License-Identifier: BSD-3-Clause */
#include "ipc/channel.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16, x86 and ARM */
#endif

const char *channel_run_dir(void)
{
    const char *dir = secure_getenv(CHANNEL_RUN_DIR_ENV);
    return dir != NULL && dir[0] != '\0' ? dir : CHANNEL_RUN_DIR;
}

int channel_address(struct sockaddr_un *address, const char *run_dir)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int n = snprintf(address->sun_path, sizeof address->sun_path, "%s/%s",
                     run_dir, CHANNEL_SOCKET);
    if (n < 0 || (size_t)n >= sizeof address->sun_path)
        return -ENAMETOOLONG;
    return 0;
}

int channel_send(int fd, const void *data, size_t size, const int *fds,
                 size_t fd_count, bool wait)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
    } control = {.space = {0}};
    struct iovec iov = {.iov_base = (void *)(size_t)data, .iov_len = size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (fd_count > CHANNEL_FDS_MAX)
        return -EINVAL;
    if (fd_count > 0) {
        m.msg_control = control.space;
        m.msg_controllen = CMSG_SPACE(fd_count * sizeof *fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof *fds);
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof *fds);
    }
    do {
        n = sendmsg(fd, &m, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    /* A few dozen bytes are never split by an empty socket; if they are, the
     * peer cannot use them. */
    return (size_t)n == size ? 0 : -EAGAIN;
}

static void take_fds(struct msghdr *m, int *fds, size_t fd_max,
                     size_t *fd_count)
{
    struct cmsghdr *c;

    for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (*fd_count < fd_max)
                fds[(*fd_count)++] = fd;
            else
                close(fd);
        }
    }
}

long channel_receive(int fd, void *data, size_t size, int *fds, size_t fd_max,
                     size_t *fd_count, bool wait)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = size};
    /* The kernel installs no more descriptors than the control buffer holds,
     * and frees the others. */
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.space,
                       .msg_controllen = sizeof control.space};
    ssize_t n;

    *fd_count = 0;
    do {
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    take_fds(&m, fds, fd_max, fd_count);
    return n;
}

bool channel_refuse_fds(int fd)
{
    const int off = 0;

    return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off) == 0;
}

long channel_peek(int fd, void *data, size_t size)
{
    struct iovec iov = {.iov_base = data, .iov_len = size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    do {
        n = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    /* There was no room for control messages, and one was left out. */
    return (m.msg_flags & MSG_CTRUNC) != 0 ? -EBADMSG : n;
}

/* All bytes of a queue, urgent ones too, which a look passes over. */
static bool holds(int fd, long size)
{
    int waiting;

    return ioctl(fd, SIOCINQ, &waiting) == 0 && waiting == size;
}

bool channel_take(int fd, void *data, size_t size)
{
    return holds(fd, (long)size) &&
           recv(fd, data, size, MSG_DONTWAIT) == (ssize_t)size;
}

bool channel_holds_fds(int fd)
{
    uint8_t data[IPC_HELLO_SIZE_MAX];
    long n = channel_peek(fd, data, sizeof data);

    return n < 0 || !holds(fd, n);
}

enum channel_hello channel_hello_check(const uint8_t *data, size_t got,
                                       struct ipc_hello *hello)
{
    *hello = (struct ipc_hello){.service = 0};
    if (got < offsetof(struct ipc_hello, service))
        return CHANNEL_HELLO_PART;
    memcpy(hello, data, got < sizeof *hello ? got : sizeof *hello);
    if (hello->magic != IPC_MAGIC || hello->size > IPC_HELLO_SIZE_MAX ||
        got > hello->size)
        return CHANNEL_HELLO_BAD;
    /* Of another version only the beginning is known: it will be told so. */
    if (hello->version == IPC_VERSION && hello->size < sizeof *hello)
        return CHANNEL_HELLO_BAD;
    return got < hello->size ? CHANNEL_HELLO_PART : CHANNEL_HELLO_WHOLE;
}
