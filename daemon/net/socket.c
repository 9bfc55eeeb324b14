// SPDX-License-Identifier: BSD-3-Clause
/* socket.c - two sockets on an interface, and what the kernel is told about
 * them. */
#include "daemon/net/internal.h"

#include "daemon/base/limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int option_set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

/* The FORCE form passes the system's limit; it needs CAP_NET_ADMIN. */
static void buffer_size_set(int fd, int force, int plain, uint32_t size_bytes)
{
    int size = size_bytes > INT32_MAX / 2 ? INT32_MAX / 2 : (int)size_bytes;
    if (size > 0 && option_set(fd, SOL_SOCKET, force, size) != 0)
        (void)option_set(fd, SOL_SOCKET, plain, size);
}

/* Offload and counters are improvements: an old kernel does without. */
static int socket_make(const struct net_config *c)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    buffer_size_set(fd, SO_RCVBUFFORCE, SO_RCVBUF, c->receive_buffer_bytes);
    buffer_size_set(fd, SO_SNDBUFFORCE, SO_SNDBUF, c->send_buffer_bytes);
    (void)option_set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    if (!c->offload_off)
        (void)option_set(fd, SOL_UDP, UDP_GRO, 1);
    return fd;
}

static int multicast_out_set(int fd, const struct interface *i)
{
    struct ip_mreqn out = {.imr_address = i->address, .imr_ifindex = i->index};
    if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out) != 0)
        return -errno;
    int error = option_set(fd, IPPROTO_IP, IP_MULTICAST_TTL, 1);
    return error != 0 ? error
                      : option_set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
}

/* Bound to the group, so that other groups on the port are not heard, and by
 * IP_MULTICAST_ALL nor on other interfaces. */
static int multicast_in_set(int fd, const struct interface *i,
                            struct in_addr group)
{
    struct ip_mreqn join = {.imr_multiaddr = group,
                            .imr_address = i->address,
                            .imr_ifindex = i->index};
    if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) != 0)
        return -errno;
    return option_set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
}

static int socket_bind(int fd, struct in_addr ip, uint16_t port)
{
    struct sockaddr_in at = address_of(ip, port);
    return bind(fd, (struct sockaddr *)&at, sizeof at) == 0 ? 0 : -errno;
}

static int bind_failed(int code, struct in_addr ip, uint16_t port, char *error,
                       size_t error_size)
{
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &ip, text, sizeof text);
    if (code == -EADDRINUSE)
        snprintf(error, error_size,
                 "address %s port %u is in use: another daemon runs here, or "
                 "another program has the port; choose another mcastport "
                 "(that port and the next are used)",
                 text, port);
    else
        snprintf(error, error_size, "address %s port %u cannot be bound: %s",
                 text, port, strerror(-code));
    return code;
}

/* Another socket of this process is bound to the same address as yet. Once this
 * one is bound too, no third can be. */
static int bind_beside(int fd, const struct attachment *beside,
                       enum net_channel channel, struct in_addr ip,
                       uint16_t port)
{
    if (beside == NULL)
        return socket_bind(fd, ip, port);
    int code = option_set(beside->fds[channel], SOL_SOCKET, SO_REUSEADDR, 1);
    if (code == 0)
        code = option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (code == 0)
        code = socket_bind(fd, ip, port);
    if (code == 0)
        code = option_set(fd, SOL_SOCKET, SO_REUSEADDR, 0);
    return code;
}

static int token_socket_open(struct attachment *a, const struct net_config *c,
                             const struct attachment *beside, char *error,
                             size_t error_size)
{
    char why[LIMIT_TEXT_SIZE];
    const struct interface *i = &a->interface;
    int fd = socket_make(c);
    if (fd < 0) {
        snprintf(error, error_size, "no socket: %s", limit_explain(-fd, why));
        return fd;
    }
    a->fds[NET_TOKEN] = fd;
    /* Data fits the interface's MTU, and no ICMP packet, which anybody can
     * send, makes it smaller; a control packet that does not fit is cut by the
     * kernel rather than refused. */
    int code = option_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
    if (code == 0)
        code = option_set(fd, IPPROTO_IP, IP_RECVERR, 1);
    if (code == 0 && c->multicast)
        code = multicast_out_set(fd, i);
    if (code != 0) {
        snprintf(error, error_size, "interface %s refuses the socket: %s",
                 i->name, strerror(-code));
        return code;
    }
    uint16_t port = (uint16_t)(c->port + 1);
    code = bind_beside(fd, beside, NET_TOKEN, i->address, port);
    if (code != 0)
        return bind_failed(code, i->address, port, error, error_size);
    return 0;
}

/* Daemons with other local addresses on this host share the group, so that its
 * socket may have several beside it. */
static int data_socket_bind(int fd, const struct attachment *a,
                            const struct net_config *c,
                            const struct attachment *beside, char *error,
                            size_t error_size)
{
    struct in_addr at = c->multicast ? c->mcast_addr : a->interface.address;
    int code;
    if (c->multicast) {
        code = option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (code == 0)
            code = socket_bind(fd, at, c->port);
    } else {
        code = bind_beside(fd, beside, NET_DATA, at, c->port);
    }
    return code == 0 ? 0 : bind_failed(code, at, c->port, error, error_size);
}

static int data_socket_open(struct attachment *a, const struct net_config *c,
                            const struct attachment *beside, char *error,
                            size_t error_size)
{
    char why[LIMIT_TEXT_SIZE];
    int fd = socket_make(c);
    if (fd < 0) {
        snprintf(error, error_size, "no socket: %s", limit_explain(-fd, why));
        return fd;
    }
    a->fds[NET_DATA] = fd;
    int code = data_socket_bind(fd, a, c, beside, error, error_size);
    if (code != 0 || !c->multicast)
        return code;
    code = multicast_in_set(fd, &a->interface, c->mcast_addr);
    if (code != 0)
        snprintf(error, error_size,
                 "interface %s cannot join the multicast group: %s; a node "
                 "list needs no multicast",
                 a->interface.name, strerror(-code));
    return code;
}

int sockets_open(struct attachment *a, const struct net_config *config,
                 const struct attachment *beside, char *error,
                 size_t error_size)
{
    a->fds[NET_TOKEN] = a->fds[NET_DATA] = -1;
    int code = token_socket_open(a, config, beside, error, error_size);
    if (code == 0)
        code = data_socket_open(a, config, beside, error, error_size);
    int granted = 0;
    socklen_t size = sizeof granted;
    if (code == 0 && getsockopt(a->fds[NET_DATA], SOL_SOCKET, SO_RCVBUF,
                                &granted, &size) != 0)
        code = -errno;
    if (code != 0)
        sockets_close(a);
    a->receive_buffer = (uint32_t)granted / 2; /* the kernel says double */
    return code;
}

void sockets_close(struct attachment *a)
{
    for (int i = 0; i < NET_CHANNEL_COUNT; i++) {
        if (a->fds[i] >= 0)
            close(a->fds[i]);
        a->fds[i] = -1;
    }
}
