/* SPDX-License-Identifier: BSD-3-Clause */
/* net.h - UDP between daemons: multicast or a node list, token and data apart.
 *
 * Three sockets: data in (bound to mcastaddr:mcastport, or to the local
 * address's mcastport when unicast), token in and all out (bound to the local
 * address, port mcastport + 1). Sends are gathered in a transmit buffer and
 * leave in as few calls as the kernel allows: runs of packets of one size to
 * one destination as one UDP_SEGMENT datagram, the datagrams by sendmmsg.
 * Receives come by recvmmsg, with UDP_GRO where the kernel has it.
 * Owner: protocol thread. */
#ifndef DAEMON_NET_NET_H
#define DAEMON_NET_NET_H

#include "daemon/base/bytes.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum net_channel { NET_TOKEN, NET_DATA, NET_CHANNEL_COUNT };

struct net_config {
    bool multicast;          /* else unicast to nodes[] */
    struct in_addr bind_net; /* bindnetaddr: network, or an address in it */
    struct in_addr mcast_addr;
    uint16_t port;       /* data; the token's is port + 1 */
    uint32_t mtu;        /* netmtu, IP packet size; 0: the interface's */
    uint32_t node_count; /* unicast: the nodes, the own one included */
    const struct in_addr *nodes;
    uint32_t receive_buffer_bytes, send_buffer_bytes; /* 0: the system's */
    uint32_t node_id; /* own, net_commit_ring() skips it; 0: the address */
    bool offload_off; /* neither UDP_SEGMENT nor UDP_GRO */
    /* How often a thread of its own looks whether the interface is where it
     * was, and says to the log what it finds; 0: there is none. */
    uint64_t downcheck_ns;
};

struct net;

/* Finds the interface whose address matches bind_net under its netmask (an
 * exact address wins, then one that is up), opens the sockets. A warning in the
 * log if several match. 0 or -errno; `error` then says in a
 * sentence what is wrong and what would help (at most error_size bytes).
 * -EADDRNOTAVAIL: no interface matches; -EDESTADDRREQ: the own address is not
 * among `nodes`; -EADDRINUSE. Never falls back to loopback. */
int net_open(struct net **out, const struct net_config *config, char *error,
             size_t error_size);
void net_close(struct net *n);

struct in_addr net_local_address(const struct net *n);
const char *net_interface(const struct net *n);

/* Largest datagram payload that leaves unfragmented, bytes: MTU - 28, the MTU
 * being the interface's, at most `mtu` and 16384. */
uint32_t net_payload_size(const struct net *n);

/* The receive buffer the kernel granted, bytes: what bounds the window. As
 * asked for; the kernel allows twice that, its own structures included. */
uint32_t net_receive_buffer(const struct net *n);

/* To be polled for reading. Any event (EPOLLERR too) is answered by
 * net_receive(), which clears what raised it. */
int net_fd(const struct net *n, enum net_channel channel);

/* --- peers: where a node's token socket is ------------------------------ */

/* A UDP address as a number that is the same on every node. */
static inline uint64_t net_source(const struct sockaddr_in *address)
{
    return (uint64_t)ntohl(address->sin_addr.s_addr) << 16 |
           ntohs(address->sin_port);
}

/* What this node's datagrams come from. */
struct sockaddr_in net_own_address(const struct net *n);

/* Unicast: is that host in the list of nodes? Else: true. */
bool net_is_listed(const struct net *n, const struct sockaddr_in *source);

/* Called with the source of a verified packet. A node's last address counts. */
void net_peer_learn(struct net *n, uint32_t node_id,
                    const struct sockaddr_in *source);
bool net_peer_address(const struct net *n, uint32_t node_id,
                      struct sockaddr_in *address);
/* The node whose token socket has that address; 0: none. */
uint32_t net_peer_find(const struct net *n, const struct sockaddr_in *address);

/* --- sending ------------------------------------------------------------- */

/* Room for one datagram of at most size_max_bytes (larger than the MTU is
 * allowed for control packets: the kernel fragments). Flushes when full.
 * Never NULL; a datagram to an unknown peer is dropped and counted. */
uint8_t *net_claim(struct net *n, size_t size_max_bytes);

/* Sends what was claimed, `size_bytes` of it ... */
void net_commit_node(struct net *n, size_t size_bytes, uint32_t node_id);
void net_commit_address(struct net *n, size_t size_bytes,
                        const struct sockaddr_in *to); /* to its token socket */
/* ... to every node that listens (multicast, or the whole node list) ... */
void net_commit_all(struct net *n, size_t size_bytes);
/* ... to the token socket of each known peer, one by one ... */
void net_commit_peers(struct net *n, size_t size_bytes);
/* ... to the members of the ring (unicast: only those; the own node is
 * skipped). */
void net_commit_ring(struct net *n, size_t size_bytes, const uint32_t *node_ids,
                     uint32_t count);

/* Hands what is gathered to the kernel. Errors (network down, no buffer space)
 * are counted, never returned: the protocol recovers what is lost. */
void net_flush(struct net *n);

/* --- receiving ----------------------------------------------------------- */

struct net_datagram {
    struct bytes data; /* borrowed until the next net_receive() */
    struct sockaddr_in source;
};

/* One recvmmsg on the channel; gives how many datagrams (GRO already split)
 * net_next() will give; 0 when the socket is empty. */
uint32_t net_receive(struct net *n, enum net_channel channel);

/* Did the last net_receive() fill its batch, so that there may be more? */
bool net_more(const struct net *n);
bool net_next(struct net *n, struct net_datagram *datagram);

/* Throws away what waits in both sockets (after a pause of this process);
 * gives the count. */
uint32_t net_discard(struct net *n);

/* Next node whose host says that nobody listens where the last packet to that
 * node alone went (ICMP port unreachable, which must come from there and quote
 * the packet); 0: none. */
uint32_t net_unreachable_next(struct net *n);

/* --- an interface that moves --------------------------------------------- */

/* Readable when net_moved() is to be asked; -1: never. */
int net_moved_fd(const struct net *n);

/* True: the address has moved to another interface, or the interface has
 * another address, or has lost the multicast group. Then new sockets are ready,
 * and net_follow() is to be called. */
bool net_moved(struct net *n);

/* Takes the new sockets: net_fd() gives them from now on. The old ones, which
 * the caller has stopped to poll, are closed by another thread. */
void net_follow(struct net *n);

struct net_stats {
    uint64_t sent_datagrams, sent_bytes, send_calls, send_errors;
    uint64_t received_datagrams, received_bytes, receive_calls;
    uint64_t kernel_drops; /* SO_RXQ_OVFL, both channels */
    uint64_t unknown_peer;
    uint64_t errors_ignored; /* ICMP packets that showed nothing */
};
const struct net_stats *net_stats_get(const struct net *n);

#endif
