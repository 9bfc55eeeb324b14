// SPDX-License-Identifier: BSD-3-Clause
/* receive.c - datagrams in. */
#include "daemon/net/internal.h"

#include "daemon/base/check.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

static void slot_prepare(struct receiver *rx, uint32_t i)
{
    struct slot *s = &rx->slots[i];
    rx->messages[i].msg_hdr = (struct msghdr){
        .msg_name = &s->source,
        .msg_namelen = sizeof s->source,
        .msg_iov = &s->iov,
        .msg_iovlen = 1,
        .msg_control = s->control,
        .msg_controllen = sizeof s->control,
    };
}

void receiver_init(struct receiver *rx)
{
    for (uint32_t i = 0; i < RX_SLOTS; i++) {
        rx->slots[i].iov = (struct iovec){
            rx->buffer + (size_t)i * RX_SLOT_STRIDE, RX_SLOT_SIZE};
        slot_prepare(rx, i);
    }
}

/* --- datagrams ------------------------------------------------------------ */

/* Reads what the kernel said beside message `i`; gives the size of the
 * datagrams it consists of. */
static uint32_t message_segment(struct net *n, uint32_t i)
{
    struct receiver *rx = &n->rx;
    struct msghdr *m = &rx->messages[i].msg_hdr;
    uint32_t segment = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
         c = CMSG_NXTHDR(m, c)) {
        uint32_t value;
        if (c->cmsg_len < CMSG_LEN(sizeof value))
            continue;
        memcpy(&value, CMSG_DATA(c), sizeof value);
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            segment = value;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            /* The kernel counts in 32 bits, from the socket's start. */
            n->stats.kernel_drops += value - rx->dropped[rx->channel];
            rx->dropped[rx->channel] = value;
        }
    }
    uint32_t size = rx->messages[i].msg_len;
    return segment == 0 || segment > size ? size : segment;
}

static uint32_t datagram_count(uint32_t size, uint32_t segment)
{
    return segment == 0 ? 1 : (size + segment - 1) / segment;
}

uint32_t net_receive(struct net *n, enum net_channel channel)
{
    struct receiver *rx = &n->rx;
    CHECK(channel < NET_CHANNEL_COUNT);
    for (uint32_t i = 0; i < rx->count; i++)
        slot_prepare(rx, i);
    rx->channel = channel;
    rx->count = rx->at = rx->offset = 0;
    int got = -1;
    /* An error that waits on the socket is reported in place of a datagram. */
    for (int tries = 0; got < 0 && tries < 3; tries++) {
        got = recvmmsg(n->at.fds[channel], rx->messages, RX_SLOTS, MSG_DONTWAIT,
                       NULL);
        n->stats.receive_calls++;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got < 0 && errno != EINTR && channel == NET_TOKEN)
            (void)errors_drain(n);
    }
    uint32_t datagrams = 0;
    rx->count = got > 0 ? (uint32_t)got : 0;
    for (uint32_t i = 0; i < rx->count; i++) {
        uint32_t segment = message_segment(n, i);
        rx->segments[i] = segment;
        datagrams += datagram_count(rx->messages[i].msg_len, segment);
        n->stats.received_bytes += rx->messages[i].msg_len;
    }
    n->stats.received_datagrams += datagrams;
    return datagrams;
}

bool net_more(const struct net *n)
{
    return n->rx.count == RX_SLOTS;
}

bool net_next(struct net *n, struct net_datagram *datagram)
{
    struct receiver *rx = &n->rx;
    if (rx->at == rx->count)
        return false;
    uint32_t size = rx->messages[rx->at].msg_len;
    uint32_t part = size - rx->offset;
    if (part > rx->segments[rx->at])
        part = rx->segments[rx->at];
    datagram->data = (struct bytes){
        (uint8_t *)rx->slots[rx->at].iov.iov_base + rx->offset, part};
    datagram->source = rx->slots[rx->at].source;
    rx->offset += part;
    if (rx->offset == size) {
        rx->offset = 0;
        rx->at++;
    }
    return true;
}

uint32_t net_discard(struct net *n)
{
    uint32_t total = 0;
    for (int channel = 0; channel < NET_CHANNEL_COUNT; channel++)
        for (int i = 0; i < RX_DISCARD_CALLS; i++) {
            uint32_t count = net_receive(n, (enum net_channel)channel);
            if (count == 0)
                break;
            total += count;
        }
    n->rx.at = n->rx.count;
    return total;
}
