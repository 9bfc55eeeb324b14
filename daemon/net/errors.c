// SPDX-License-Identifier: BSD-3-Clause
/* errors.c - what becomes of datagrams that were sent: the token socket's error
 * queue, which holds the ICMP packets that came for them.
 *
 * Anybody can send such a packet. "Port unreachable" is believed only of the
 * host that the datagram went to, and only if it quotes the last packet to that
 * node: its ciphertext and tag are known to nobody who has not seen it pass.
 * All else changes nothing, and is counted. */
#include "daemon/net/internal.h"

#include <linux/errqueue.h>
#include <netinet/ip_icmp.h>
#include <string.h>

struct error_slot {
    struct sockaddr_in to; /* where the datagram went */
    struct iovec iov;
    uint8_t quote[QUOTE_SIZE]; /* what the ICMP packet quotes of it */
    alignas(struct cmsghdr) uint8_t control[256];
};

static void slot_prepare(struct error_slot *s, struct mmsghdr *m)
{
    s->iov = (struct iovec){s->quote, sizeof s->quote};
    m->msg_hdr = (struct msghdr){
        .msg_name = &s->to,
        .msg_namelen = sizeof s->to,
        .msg_iov = &s->iov,
        .msg_iovlen = 1,
        .msg_control = s->control,
        .msg_controllen = sizeof s->control,
    };
}

/* "Port unreachable", and who says so. */
static bool is_refusal(struct msghdr *m, struct in_addr *offender)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
         c = CMSG_NXTHDR(m, c)) {
        struct {
            struct sock_extended_err e;
            struct sockaddr_in offender;
        } error;
        if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVERR ||
            c->cmsg_len < CMSG_LEN(sizeof error))
            continue;
        memcpy(&error, CMSG_DATA(c), sizeof error);
        *offender = error.offender.sin_addr;
        return error.e.ee_origin == SO_EE_ORIGIN_ICMP &&
               error.e.ee_type == ICMP_DEST_UNREACH &&
               error.e.ee_code == ICMP_PORT_UNREACH &&
               error.offender.sin_family == AF_INET;
    }
    return false;
}

static void unreachable_add(struct net *n, uint32_t node_id)
{
    if (n->unreachable_count == UNREACHABLE_MAX)
        return;
    for (uint32_t i = 0; i < n->unreachable_count; i++)
        if (n->unreachable[i] == node_id)
            return;
    n->unreachable[n->unreachable_count++] = node_id;
}

/* The node whose daemon is not there; 0: this does not show it. */
static uint32_t refused_node(const struct net *n, struct error_slot *s,
                             struct mmsghdr *m)
{
    const struct peers *p = &n->peers;
    struct in_addr offender;
    if (m->msg_hdr.msg_namelen < sizeof s->to ||
        !is_refusal(&m->msg_hdr, &offender) ||
        offender.s_addr != s->to.sin_addr.s_addr)
        return 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct quote *sent = &p->sent[i];
        if (address_same(&p->addresses[i], &s->to) && sent->size > 0 &&
            m->msg_len >= sent->size &&
            memcmp(s->quote, sent->bytes, sent->size) == 0)
            return p->node_ids[i];
    }
    return 0;
}

/* Left unread, the queue would keep the socket's EPOLLERR raised, and the loop
 * awake. */
bool errors_drain(struct net *n)
{
    struct error_slot slots[ERROR_BATCH];
    struct mmsghdr messages[ERROR_BATCH];
    bool any = false;
    n->errors_waiting = false;
    for (int batch = 0; batch < ERROR_BATCHES_MAX; batch++) {
        for (int i = 0; i < ERROR_BATCH; i++)
            slot_prepare(&slots[i], &messages[i]);
        int got = recvmmsg(n->at.fds[NET_TOKEN], messages, ERROR_BATCH,
                           MSG_ERRQUEUE | MSG_DONTWAIT, NULL);
        for (int i = 0; i < got; i++) {
            uint32_t node_id = refused_node(n, &slots[i], &messages[i]);
            if (node_id != 0)
                unreachable_add(n, node_id);
            else
                n->stats.errors_ignored++;
        }
        any |= got > 0;
        if (got < ERROR_BATCH)
            return any;
    }
    n->errors_waiting = true; /* more than can be: another time */
    return true;
}

uint32_t net_unreachable_next(struct net *n)
{
    if (n->errors_waiting)
        (void)errors_drain(n);
    if (n->unreachable_count == 0)
        return 0;
    uint32_t node_id = n->unreachable[0];
    n->unreachable_count--;
    memmove(n->unreachable, n->unreachable + 1,
            n->unreachable_count * sizeof *n->unreachable);
    return node_id;
}
