/* SPDX-License-Identifier: BSD-3-Clause */
/* internal.h - what the files of daemon/net/ share. */
#ifndef DAEMON_NET_INTERNAL_H
#define DAEMON_NET_INTERNAL_H

#include "daemon/net/net.h"

#include <net/if.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum {
    NET_UDP_HEADERS = 28, /* IPv4 without options, and UDP */
    NET_CLAIM_MAX = 65000,
    NET_PEER_MAX = 256,

    TX_BUFFER_SIZE = 256 * 1024,
    TX_RUN_MAX = 512,
    TX_ADDRESS_MAX = 4 * NET_PEER_MAX,
    TX_BATCH = 64,       /* messages of one sendmmsg */
    TX_SEGMENT_MAX = 64, /* the kernel's UDP_MAX_SEGMENTS */
    TX_RUN_BYTES = 65000,
    TX_WAIT_NS = 1000000, /* of one flush, for room in the kernel */
    /* A refusal that was not one, but an ICMP packet's that found no room in
     * the error queue, must not cost segmentation for good. */
    TX_PLAIN_FLUSHES = 4096,
    BLAMED_MAX = 100,

    RX_SLOTS = 16,
    RX_SLOT_SIZE = 65536,
    /* A bit more than the slot: at a distance of 64 KiB the heads of all slots
     * would compete for the same lines of the cache. */
    RX_SLOT_STRIDE = RX_SLOT_SIZE + 1536,
    RX_DISCARD_CALLS = 4096,

    UNREACHABLE_MAX = 32,
    QUOTE_SIZE = 64, /* of a packet to a node: what a refusal must quote */
    ERROR_BATCH = 16,
    ERROR_BATCHES_MAX = 64
};

struct interface {
    char name[IF_NAMESIZE];
    int index;
    struct in_addr address;
    uint32_t mtu;
    bool up, loopback, multicast;
};

/* Those that would serve as well as the one that was taken, which is one of
 * them: as "10.77.0.3 on eth0, 10.77.0.9 on eth0". */
struct rivals {
    uint32_t count;
    char text[200];
};

/* How this node is attached to the network. */
struct attachment {
    struct interface interface;
    int fds[NET_CHANNEL_COUNT]; /* -1: none */
    uint32_t receive_buffer;    /* bytes */
};

/* Datagrams that lie one behind the other, all of `segment` bytes (the last may
 * be shorter), all for the same addresses. */
struct run {
    uint32_t offset, size_bytes, segment, count;
    uint32_t address_first, address_count;
    bool complete; /* the last is shorter */
};

struct sender {
    uint8_t *buffer;
    uint32_t used, claimed; /* bytes */
    uint32_t plain_left;    /* flushes before UDP_SEGMENT is tried again */
    uint32_t run_count, address_count;
    struct run runs[TX_RUN_MAX];
    struct sockaddr_in addresses[TX_ADDRESS_MAX];
};

struct slot {
    struct sockaddr_in source;
    struct iovec iov;
    alignas(struct cmsghdr) uint8_t control[64];
};

struct receiver {
    uint8_t *buffer;
    struct slot slots[RX_SLOTS];
    struct mmsghdr messages[RX_SLOTS];
    uint32_t segments[RX_SLOTS]; /* size of the datagrams in each message */
    uint32_t count, at; /* messages of the last call; the one being split */
    uint32_t offset;    /* within that one */
    enum net_channel channel;
    uint32_t dropped[NET_CHANNEL_COUNT]; /* the kernel's counters, last seen */
};

/* The beginning of the last packet to one node alone. */
struct quote {
    uint32_t size; /* 0: there was none */
    uint8_t bytes[QUOTE_SIZE];
};

struct peers {
    uint32_t count, victim;
    uint32_t node_ids[NET_PEER_MAX];
    struct sockaddr_in addresses[NET_PEER_MAX];
    struct quote sent[NET_PEER_MAX];
};

/* What a thread of its own finds out about the interface (watch.c). */
enum slot_state { SLOT_EMPTY, SLOT_NEW, SLOT_OLD };

struct watch {
    const struct net_config *config;
    pthread_t thread;
    bool started;
    int bell_fd; /* rung when the slot is NEW */
    int stop_fd; /* rung to end the thread */
    /* Hands `slot` over: NEW to the protocol thread, OLD and EMPTY to this one.
     * Release-stored after the slot is written, acquire-loaded before it is
     * read. */
    _Atomic uint32_t slot_state;
    struct attachment slot; /* NEW: to be used. OLD: sockets to be closed */

    /* This thread's. */
    struct attachment now;            /* what it last handed over */
    uint32_t packet_size;             /* of IP, with which the core was made */
    bool lost, down, narrow, failing; /* as the log was told */
};

/* The node list, for a look at each datagram: by a hash of the address, 0: a
 * free place. */
struct listed {
    in_addr_t places[4 * NET_PEER_MAX];
};

struct net {
    struct net_config config; /* its `nodes` is a copy */
    struct listed listed;
    struct attachment at;
    struct watch watch;
    uint32_t payload_size;
    struct in_addr *nodes;
    struct sender tx;
    struct receiver rx;
    struct peers peers;
    bool errors_waiting; /* the token socket's error queue may hold some */
    uint32_t unreachable_count;
    uint32_t unreachable[UNREACHABLE_MAX];
    struct net_stats stats;
};

/* interface.c: the interface for bindnetaddr `wanted`, now that the ring is on
 * `now` (NULL: not yet). 0, or -errno with a sentence; -EADDRNOTAVAIL: there is
 * none. */
int interface_find(struct interface *found, struct rivals *rivals,
                   const struct interface *now, struct in_addr wanted,
                   char *error, size_t error_size);

/* A warning, if there are several. */
void rivals_tell(const struct rivals *r, const struct interface *taken);

/* interface_find() among those that the kernel has listed, but for the MTU. */
struct ifaddrs;
bool interface_choose(struct interface *found, struct rivals *rivals,
                      const struct ifaddrs *all, const struct interface *now,
                      struct in_addr wanted);

/* socket.c: opens both sockets on a->interface; `beside` (NULL: none) has some
 * that stay open until these are used. 0, or -errno with a sentence. */
int sockets_open(struct attachment *a, const struct net_config *config,
                 const struct attachment *beside, char *error,
                 size_t error_size);
void sockets_close(struct attachment *a);

/* net.c: may the ring run on this interface? 0, or -errno with a sentence. */
int interface_check(const struct net_config *config, const struct interface *i,
                    char *error, size_t error_size);

/* watch.c: looks after the interface of `at` from now on; 0 or -errno. */
int watch_start(struct watch *w, const struct net_config *config,
                const struct attachment *at, uint32_t packet_size);
void watch_stop(struct watch *w);

/* Protocol thread: has the interface moved? Then watch_swap() gives the new
 * attachment for the old one, whose sockets are closed elsewhere. */
bool watch_moved(struct watch *w);
void watch_swap(struct watch *w, struct attachment *at);

/* net.c: its place in the table; n->peers.count: not known. */
uint32_t peer_index(const struct peers *p, uint32_t node_id);

/* receive.c */
void receiver_init(struct receiver *rx);

/* errors.c: reads what the kernel says of datagrams that were sent. True: there
 * was something. */
bool errors_drain(struct net *n);

static inline bool address_is(const struct sockaddr_in *a, struct in_addr ip,
                              uint16_t port)
{
    return a->sin_addr.s_addr == ip.s_addr && a->sin_port == htons(port);
}

static inline bool address_same(const struct sockaddr_in *a,
                                const struct sockaddr_in *b)
{
    return a->sin_addr.s_addr == b->sin_addr.s_addr &&
           a->sin_port == b->sin_port;
}

static inline struct sockaddr_in address_of(struct in_addr ip, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr = ip, .sin_port = htons(port)};
}

#endif
