// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/server/renew.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longer than a ring takes to form; then twice as long each time. */
static const uint64_t wait_first_ns = 3000000000, wait_max_ns = 60000000000;

bool renew_due(struct renew *r, bool alone, uint64_t heard, uint64_t now_ns)
{
    if (!alone || !r->alone) {
        r->alone = alone;
        r->heard = heard;
        r->wait_ns = wait_first_ns;
        r->due_ns = now_ns + r->wait_ns;
    }
    if (!alone || now_ns < r->due_ns || heard == r->heard)
        return false;
    r->heard = heard;
    if (r->wait_ns < wait_max_ns)
        r->wait_ns *= 2;
    r->due_ns = now_ns + r->wait_ns;
    return true;
}

/* --- the kernel's word ---------------------------------------------------- */

int generation_open(void)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    NETLINK_KOBJECT_UEVENT);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&kernel, sizeof kernel) == 0)
        return fd;
    int code = -errno;
    close(fd);
    return code;
}

bool generation_in(const char *message, size_t size)
{
    static const char wanted[] = "NEW_VMGENID=1";
    for (size_t at = 0; at < size; at += strnlen(message + at, size - at) + 1)
        if (size - at >= sizeof wanted &&
            memcmp(message + at, wanted, sizeof wanted) == 0)
            return true;
    return false;
}

bool generation_changed(int fd)
{
    char message[8192];
    bool changed = false;
    struct sockaddr_nl sender;
    socklen_t length = sizeof sender;
    ssize_t n;
    /* Other processes may send there too; the kernel's number is 0. An overrun
     * is reported once. */
    while ((n = recvfrom(fd, message, sizeof message, 0,
                         (struct sockaddr *)&sender, &length)) > 0 ||
           (n < 0 && errno == ENOBUFS)) {
        changed |=
            n > 0 && sender.nl_pid == 0 && generation_in(message, (size_t)n);
        length = sizeof sender;
    }
    return changed;
}
