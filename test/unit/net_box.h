/* SPDX-License-Identifier: BSD-3-Clause */
/* net_box.h - nodes on loopback, and a kernel that fails when it is told to. */
#ifndef TEST_UNIT_NET_BOX_H
#define TEST_UNIT_NET_BOX_H

#include "daemon/net/net.h"

#include "test/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* --- a kernel that fails when it is told to ------------------------------- */

/* What the error queue gives before what is in it: "port unreachable" for a
 * datagram to `to`, said by `offender`, quoting `quote`. */
static struct {
    int times;
    int with_failure;      /* each failed send brings so many more */
    int type, code, error; /* of the ICMP packet; what the system makes of it */
    struct sockaddr_in to;
    struct in_addr offender;
    uint8_t quote[1500];
    size_t size;
} said;

/* This definition comes before the C library's. */
static int fail_code;       /* 0: do not */
static int fail_times;      /* that often */
static bool fail_segmented; /* only messages with a UDP_SEGMENT */
static unsigned send_limit; /* messages taken of a call; 0: all */
static unsigned calls;

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    calls++;
    bool hit = !fail_segmented || messages[0].msg_hdr.msg_controllen > 0;
    if (fail_code != 0 && fail_times > 0 && hit) {
        fail_times--;
        said.times += said.with_failure;
        errno = fail_code;
        return -1;
    }
    if (send_limit != 0 && count > send_limit)
        count = send_limit;
    return (int)syscall(SYS_sendmmsg, fd, messages, count, flags);
}

static inline void said_write(struct mmsghdr *m)
{
    struct {
        struct sock_extended_err e;
        struct sockaddr_in offender;
    } error = {.e = {.ee_errno = (uint32_t)said.error,
                     .ee_origin = SO_EE_ORIGIN_ICMP,
                     .ee_type = (uint8_t)said.type,
                     .ee_code = (uint8_t)said.code},
               .offender = {.sin_family = AF_INET, .sin_addr = said.offender}};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m->msg_hdr);
    struct iovec *iov = m->msg_hdr.msg_iov;
    size_t size = said.size < iov->iov_len ? said.size : iov->iov_len;
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_RECVERR;
    c->cmsg_len = CMSG_LEN(sizeof error);
    memcpy(CMSG_DATA(c), &error, sizeof error);
    m->msg_hdr.msg_controllen = CMSG_SPACE(sizeof error);
    memcpy(m->msg_hdr.msg_name, &said.to, sizeof said.to);
    m->msg_hdr.msg_namelen = sizeof said.to;
    memcpy(iov->iov_base, said.quote, size);
    m->msg_len = (unsigned)size;
}

/* This definition, too, comes before the C library's. */
int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
             struct timespec *timeout)
{
    int got = 0;
    while ((flags & MSG_ERRQUEUE) != 0 && said.times > 0 && got < (int)count) {
        said.times--;
        said_write(&messages[got++]);
    }
    return got > 0 ? got
                   : (int)syscall(SYS_recvmmsg, fd, messages, count, flags,
                                  timeout);
}

static inline void kernel_heal(void)
{
    fail_code = fail_times = 0;
    fail_segmented = false;
    send_limit = calls = 0;
    said.times = said.with_failure = 0;
}

static inline void kernel_fail(int code, int times)
{
    kernel_heal();
    fail_code = code;
    fail_times = times;
}

/* --- nodes on loopback ---------------------------------------------------- */

enum { NODE_MAX = 3 };

static inline struct in_addr ip(const char *text)
{
    struct in_addr a;
    CU_ASSERT_FATAL(inet_pton(AF_INET, text, &a) == 1);
    return a;
}

/* Ports of this process, so that two runs at a time do not meet. */
static inline uint16_t port_base(void)
{
    return (uint16_t)(20000 + (unsigned)getpid() % 6000 * 2);
}

static struct in_addr addresses[NODE_MAX];

static inline struct net_config config_of(int node)
{
    for (int i = 0; i < NODE_MAX; i++)
        addresses[i].s_addr = htonl(0x7f000002 + (uint32_t)i);
    return (struct net_config){
        .bind_net = addresses[node],
        .port = port_base(),
        .mtu = 1500,
        .node_count = NODE_MAX,
        .nodes = addresses,
        .receive_buffer_bytes = 2 << 20,
        .send_buffer_bytes = 2 << 20,
        .node_id = (uint32_t)node + 1,
    };
}

static inline struct net *node_open(const struct net_config *c)
{
    struct net *n = NULL;
    char error[256] = "";
    int code = net_open(&n, c, error, sizeof error);
    if (code != 0)
        printf("net_open: %d: %s\n", code, error);
    CU_ASSERT_FATAL(code == 0);
    return n;
}

static inline void cluster_open(struct net *nodes[NODE_MAX], bool offload_off)
{
    kernel_heal();
    for (int i = 0; i < NODE_MAX; i++) {
        struct net_config c = config_of(i);
        c.offload_off = offload_off;
        nodes[i] = node_open(&c);
    }
    for (int i = 0; i < NODE_MAX; i++)
        for (int j = 0; j < NODE_MAX; j++) {
            struct sockaddr_in a = {.sin_family = AF_INET,
                                    .sin_addr = addresses[j],
                                    .sin_port =
                                        htons((uint16_t)(port_base() + 1))};
            if (i != j)
                net_peer_learn(nodes[i], (uint32_t)j + 1, &a);
        }
}

static inline void cluster_close(struct net *nodes[NODE_MAX])
{
    kernel_heal();
    for (int i = 0; i < NODE_MAX; i++)
        net_close(nodes[i]);
}

/* A datagram whose every byte follows from `number`. */
static inline uint8_t byte_at(uint32_t number, size_t i)
{
    return (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

static inline size_t put(struct net *n, uint32_t number, size_t size)
{
    uint8_t *at = net_claim(n, size + 100);
    for (size_t i = 0; i < size; i++)
        at[i] = byte_at(number, i);
    return size;
}

static inline bool is_datagram(struct bytes data, uint32_t number, size_t size)
{
    if (data.n != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (data.p[i] != byte_at(number, i))
            return false;
    return true;
}

static inline bool readable(const struct net *n, enum net_channel channel)
{
    struct pollfd p = {.fd = net_fd(n, channel), .events = POLLIN};
    return poll(&p, 1, 30000) == 1;
}

/* Waits until the refusals of what was sent to a closed port have come. */
static inline bool refused(const struct net *n)
{
    struct pollfd p = {.fd = net_fd(n, NET_TOKEN)}; /* POLLERR alone */
    bool came = poll(&p, 1, 30000) == 1;
    usleep(20000); /* if there are several, the others are on their heels */
    return came;
}

static inline bool quiet(struct net *n, enum net_channel channel)
{
    struct pollfd p = {.fd = net_fd(n, channel), .events = POLLIN};
    return poll(&p, 1, 30) == 0 && net_receive(n, channel) == 0;
}

/* Next datagram, over as many calls as it takes. */
static inline bool take(struct net *n, enum net_channel channel,
                        struct net_datagram *d)
{
    while (!net_next(n, d))
        if (!readable(n, channel) || net_receive(n, channel) == 0)
            return false;
    return true;
}

static inline bool take_is(struct net *n, enum net_channel channel,
                           uint32_t number, size_t size)
{
    struct net_datagram d;
    return take(n, channel, &d) && is_datagram(d.data, number, size);
}

#endif
