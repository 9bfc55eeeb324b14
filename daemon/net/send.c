// SPDX-License-Identifier: BSD-3-Clause
/* send.c - gathering datagrams, and handing them to the kernel in few calls.
 *
 * The cost of UDP is per call, not per byte. Datagrams are written one behind
 * the other into the transmit buffer; those of one size to the same addresses
 * form a run, which is one UDP_SEGMENT message per address, and the messages
 * leave by sendmmsg. Runs leave in the order in which they were begun, so that
 * a token committed between two bursts of data leaves between them. */
#include "daemon/net/internal.h"

#include "daemon/base/check.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <time.h>

/* --- gathering ------------------------------------------------------------ */

uint8_t *net_claim(struct net *n, size_t size_max_bytes)
{
    struct sender *tx = &n->tx;
    CHECK(size_max_bytes <= NET_CLAIM_MAX);
    if (tx->used + size_max_bytes > TX_BUFFER_SIZE ||
        tx->run_count == TX_RUN_MAX ||
        tx->address_count > TX_ADDRESS_MAX - NET_PEER_MAX)
        net_flush(n);
    tx->claimed = (uint32_t)size_max_bytes;
    return tx->buffer + tx->used;
}

static bool run_extend(struct net *n, struct run *r, uint32_t size_bytes)
{
    if (r->complete || size_bytes > r->segment ||
        r->segment > n->payload_size || r->count == TX_SEGMENT_MAX ||
        r->size_bytes + size_bytes > TX_RUN_BYTES)
        return false;
    r->complete = size_bytes < r->segment;
    r->size_bytes += size_bytes;
    r->count++;
    return true;
}

/* The addresses written behind the last run's: are they the same again? */
static bool addresses_repeat(const struct sender *tx, const struct run *r,
                             uint32_t count)
{
    if (r->address_count != count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!address_same(&tx->addresses[r->address_first + i],
                          &tx->addresses[tx->address_count + i]))
            return false;
    return true;
}

/* Commits the claim to the `count` addresses that the caller has written from
 * addresses[address_count] on. */
static void commit(struct net *n, size_t size, uint32_t count)
{
    struct sender *tx = &n->tx;
    CHECK(size > 0 && size <= tx->claimed);
    CHECK(count <= NET_PEER_MAX);
    uint32_t size_bytes = (uint32_t)size, offset = tx->used;
    tx->claimed = 0;
    if (count == 0)
        return;
    tx->used += size_bytes;
    struct run *last = tx->run_count > 0 ? &tx->runs[tx->run_count - 1] : NULL;
    uint32_t first = tx->address_count;
    if (last != NULL && addresses_repeat(tx, last, count)) {
        if (run_extend(n, last, size_bytes))
            return;
        first = last->address_first;
    } else {
        tx->address_count += count;
    }
    tx->runs[tx->run_count++] = (struct run){
        .offset = offset,
        .size_bytes = size_bytes,
        .segment = size_bytes,
        .count = 1,
        .address_first = first,
        .address_count = count,
    };
}

void net_commit_address(struct net *n, size_t size_bytes,
                        const struct sockaddr_in *to)
{
    n->tx.addresses[n->tx.address_count] =
        address_of(to->sin_addr, ntohs(to->sin_port));
    commit(n, size_bytes, 1);
}

/* So that a refusal of it is known by what it quotes. */
static void quote_note(struct net *n, size_t size_bytes, uint32_t node_id)
{
    struct quote *q = &n->peers.sent[peer_index(&n->peers, node_id)];
    q->size = size_bytes < QUOTE_SIZE ? (uint32_t)size_bytes : QUOTE_SIZE;
    memcpy(q->bytes, n->tx.buffer + n->tx.used, q->size);
}

void net_commit_node(struct net *n, size_t size_bytes, uint32_t node_id)
{
    struct sockaddr_in to = {0};
    bool known = net_peer_address(n, node_id, &to);
    if (known)
        quote_note(n, size_bytes, node_id);
    else
        n->stats.unknown_peer++;
    n->tx.addresses[n->tx.address_count] = to;
    commit(n, size_bytes, known ? 1 : 0);
}

void net_commit_all(struct net *n, size_t size_bytes)
{
    struct sockaddr_in *to = &n->tx.addresses[n->tx.address_count];
    const struct net_config *c = &n->config;
    uint32_t count = 0;
    if (c->multicast)
        to[count++] = address_of(c->mcast_addr, c->port);
    for (uint32_t i = 0; i < c->node_count; i++)
        if (c->nodes[i].s_addr != n->at.interface.address.s_addr)
            to[count++] = address_of(c->nodes[i], c->port);
    commit(n, size_bytes, count);
}

void net_commit_peers(struct net *n, size_t size_bytes)
{
    struct sockaddr_in *to = &n->tx.addresses[n->tx.address_count];
    for (uint32_t i = 0; i < n->peers.count; i++)
        to[i] = n->peers.addresses[i];
    commit(n, size_bytes, n->peers.count);
}

void net_commit_ring(struct net *n, size_t size_bytes, const uint32_t *node_ids,
                     uint32_t node_count)
{
    if (n->config.multicast) {
        net_commit_all(n, size_bytes);
        return;
    }
    CHECK(node_count <= NET_PEER_MAX);
    struct sockaddr_in *to = &n->tx.addresses[n->tx.address_count];
    uint32_t count = 0;
    for (uint32_t i = 0; i < node_count; i++) {
        struct sockaddr_in peer;
        if (node_ids[i] == n->config.node_id)
            continue;
        if (net_peer_address(n, node_ids[i], &peer))
            to[count++] = address_of(peer.sin_addr, n->config.port);
        else
            n->stats.unknown_peer++;
    }
    commit(n, size_bytes, count);
}

/* --- handing over --------------------------------------------------------- */

/* What is to be sent next: a run, one of its addresses, and, when segments
 * leave one by one, the segment. */
struct cursor {
    uint32_t run, address, segment;
};

struct batch {
    struct mmsghdr messages[TX_BATCH];
    struct iovec iovs[TX_BATCH];
    struct {
        alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
    } controls[TX_BATCH];
    uint32_t segments[TX_BATCH]; /* datagrams in each message */
};

static void cursor_advance(const struct sender *tx, struct cursor *c,
                           uint32_t segments)
{
    const struct run *r = &tx->runs[c->run];
    c->segment += segments;
    if (c->segment < r->count)
        return;
    c->segment = 0;
    if (++c->address < r->address_count)
        return;
    c->address = 0;
    c->run++;
}

static void message_segment_size(struct msghdr *m, void *control,
                                 uint32_t segment)
{
    uint16_t size = (uint16_t)segment;
    m->msg_control = control;
    m->msg_controllen = CMSG_SPACE(sizeof size);
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(c), &size, sizeof size);
}

static void batch_message(struct sender *tx, struct batch *b, uint32_t i,
                          const struct cursor *c, bool plain)
{
    struct run *r = &tx->runs[c->run];
    uint32_t from = c->segment * r->segment;
    bool whole = !plain || r->count == 1;
    uint32_t size = r->size_bytes - from;
    if (!whole && size > r->segment)
        size = r->segment;
    b->segments[i] = whole ? r->count - c->segment : 1;
    b->iovs[i] = (struct iovec){tx->buffer + r->offset + from, size};
    struct msghdr *m = &b->messages[i].msg_hdr;
    *m = (struct msghdr){
        .msg_name = &tx->addresses[r->address_first + c->address],
        .msg_namelen = sizeof tx->addresses[0],
        .msg_iov = &b->iovs[i],
        .msg_iovlen = 1,
    };
    if (b->segments[i] > 1)
        message_segment_size(m, &b->controls[i], r->segment);
}

static uint32_t batch_build(struct sender *tx, struct batch *b,
                            struct cursor at, bool plain)
{
    uint32_t count = 0;
    while (count < TX_BATCH && at.run < tx->run_count) {
        batch_message(tx, b, count, &at, plain);
        cursor_advance(tx, &at, b->segments[count]);
        count++;
    }
    return count;
}

static uint64_t clock_ns(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Waits for room: in the socket's buffer, which poll() sees, or in the
 * interface's queue, which it does not. Takes from *budget_ns; false when that
 * is used up. */
static bool room_wait(int fd, bool socket_full, uint64_t *budget_ns)
{
    if (*budget_ns == 0)
        return false;
    uint64_t start_ns = clock_ns();
    uint64_t wait_ns = *budget_ns;
    if (!socket_full && wait_ns > 100000)
        wait_ns = 100000;
    struct timespec timeout = {.tv_nsec = (long)wait_ns};
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    (void)ppoll(&p, socket_full ? 1 : 0, &timeout, NULL);
    uint64_t waited_ns = clock_ns() - start_ns;
    *budget_ns = waited_ns < *budget_ns ? *budget_ns - waited_ns : 0;
    return true;
}

/* How a kernel, or an interface without checksum offload, says that it cannot
 * cut a message in segments. */
static bool is_segment_refusal(int code)
{
    return code == EIO || code == EINVAL || code == EOPNOTSUPP ||
           code == ENOPROTOOPT || code == EMSGSIZE;
}

enum verdict { AGAIN, DROP };

struct flush {
    uint64_t budget_ns;
    uint32_t tries;  /* of the message at the cursor */
    uint32_t blamed; /* in its place an ICMP packet was reported, so often */
};

/* The first message of a call was refused with `code`. */
static enum verdict refused(struct net *n, struct flush *f, uint32_t segments,
                            int code)
{
    if (code == EINTR)
        return AGAIN;
    if (code == EAGAIN || code == ENOBUFS || code == ENOMEM)
        return room_wait(n->at.fds[NET_TOKEN], code == EAGAIN, &f->budget_ns)
                   ? AGAIN
                   : DROP;
    /* What an ICMP packet, which anybody can send, says of an earlier datagram
     * is reported instead of sending this one. It is gone with the report. */
    if (errors_drain(n) && f->blamed++ < BLAMED_MAX)
        return AGAIN;
    if (f->tries++ < 2)
        return AGAIN;
    if (segments > 1 && is_segment_refusal(code)) {
        n->tx.plain_left = TX_PLAIN_FLUSHES;
        f->tries = 0;
        return AGAIN;
    }
    return DROP;
}

/* Are segments to be sent one by one? */
static bool is_plain(const struct net *n)
{
    return n->config.offload_off || n->tx.plain_left > 0;
}

static void batch_sent(struct net *n, const struct batch *b, uint32_t count,
                       struct cursor *at)
{
    for (uint32_t i = 0; i < count; i++) {
        n->stats.sent_datagrams += b->segments[i];
        n->stats.sent_bytes += b->iovs[i].iov_len;
        cursor_advance(&n->tx, at, b->segments[i]);
    }
}

void net_flush(struct net *n)
{
    struct sender *tx = &n->tx;
    struct batch b;
    struct cursor at = {0, 0, 0};
    struct flush f = {.budget_ns = TX_WAIT_NS};
    if (tx->plain_left > 0)
        tx->plain_left--;
    while (at.run < tx->run_count) {
        uint32_t count = batch_build(tx, &b, at, is_plain(n));
        int sent = sendmmsg(n->at.fds[NET_TOKEN], b.messages, count, 0);
        int code = errno;
        n->stats.send_calls++;
        if (sent > 0) {
            batch_sent(n, &b, (uint32_t)sent, &at);
            f.tries = f.blamed = 0;
            /* Cut short: by an error that the call then keeps to itself. */
            if ((uint32_t)sent < count)
                n->errors_waiting = true;
        } else if (refused(n, &f, b.segments[0], code) == DROP) {
            n->stats.send_errors += b.segments[0];
            cursor_advance(tx, &at, b.segments[0]);
            f.tries = f.blamed = 0;
        }
    }
    tx->used = 0;
    tx->run_count = 0;
    tx->address_count = 0;
}
