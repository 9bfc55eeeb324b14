// SPDX-License-Identifier: BSD-3-Clause
/* net.c - opening and closing, peers. Sending is in send.c, receiving in
 * receive.c, what becomes of what was sent in errors.c. */
#include "daemon/net/internal.h"

#include "daemon/base/check.h"
#include "daemon/base/limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A packet of a loopback interface could be 64 KiB, which would make every
 * store of packets that large. */
enum { MTU_MAX = 16384, MTU_MIN = 576 };

static int config_check(const struct net_config *c, char *error,
                        size_t error_size)
{
    if (c->port == 0 || c->port == UINT16_MAX)
        snprintf(error, error_size,
                 "mcastport is %u: 1 to 65534 is allowed (the next port is "
                 "used too)",
                 c->port);
    else if (c->multicast && !IN_MULTICAST(ntohl(c->mcast_addr.s_addr)))
        snprintf(error, error_size,
                 "mcastaddr is no multicast address: 224.0.0.0 to "
                 "239.255.255.255 is allowed");
    else if (c->mtu != 0 && c->mtu < MTU_MIN)
        snprintf(error, error_size, "netmtu is %u: at least %d is allowed",
                 c->mtu, MTU_MIN);
    else if (!c->multicast && c->node_count > NET_PEER_MAX)
        snprintf(error, error_size, "%u nodes are listed: %d is the most",
                 c->node_count, NET_PEER_MAX);
    else
        return 0;
    return -EINVAL;
}

static uint32_t payload_size(uint32_t interface_mtu, uint32_t mtu)
{
    if (mtu == 0 || mtu > interface_mtu)
        mtu = interface_mtu;
    if (mtu > MTU_MAX)
        mtu = MTU_MAX;
    return mtu < MTU_MIN ? 0 : mtu - NET_UDP_HEADERS;
}

static uint32_t listed_place(in_addr_t address)
{
    return (ntohl(address) * UINT32_C(2654435761) >> 16) % (4 * NET_PEER_MAX);
}

static void listed_make(struct listed *l, const struct net_config *c)
{
    for (uint32_t i = 0; i < c->node_count; i++) {
        uint32_t at = listed_place(c->nodes[i].s_addr);
        while (l->places[at] != 0)
            at = (at + 1) % (4 * NET_PEER_MAX);
        l->places[at] = c->nodes[i].s_addr;
    }
}

static int net_allocate(struct net *n, const struct net_config *c)
{
    size_t count = c->multicast ? 0 : c->node_count;
    n->nodes = calloc(count + 1, sizeof *n->nodes);
    n->tx.buffer = malloc(TX_BUFFER_SIZE);
    n->rx.buffer = malloc((size_t)RX_SLOTS * RX_SLOT_STRIDE);
    if (n->nodes == NULL || n->tx.buffer == NULL || n->rx.buffer == NULL)
        return -ENOMEM;
    if (count > 0)
        memcpy(n->nodes, c->nodes, count * sizeof *n->nodes);
    n->config.nodes = n->nodes;
    n->config.node_count = (uint32_t)count;
    listed_make(&n->listed, &n->config);
    return 0;
}

/* The others' lists are the same, so they would send nothing here either. */
static int node_list_check(const struct net_config *c,
                           const struct interface *at, char *error,
                           size_t error_size)
{
    char text[INET_ADDRSTRLEN];
    for (uint32_t i = 0; i < c->node_count; i++)
        if (c->nodes[i].s_addr == at->address.s_addr)
            return 0;
    inet_ntop(AF_INET, &at->address, text, sizeof text);
    snprintf(error, error_size,
             "this node's address %s (interface %s) is not in the list of "
             "nodes: every list names all nodes, the own one too",
             text, at->name);
    return -EDESTADDRREQ;
}

int interface_check(const struct net_config *config, const struct interface *i,
                    char *error, size_t error_size)
{
    if (!config->multicast)
        return node_list_check(config, i, error, error_size);
    if (i->multicast || i->loopback)
        return 0;
    snprintf(error, error_size,
             "interface %s has no multicast: list the nodes instead", i->name);
    return -EOPNOTSUPP;
}

static int net_init(struct net *n, char *error, size_t error_size)
{
    const struct net_config *c = &n->config;
    struct interface *i = &n->at.interface;
    char why[LIMIT_TEXT_SIZE];
    struct rivals rivals;
    int code = interface_find(i, &rivals, NULL, c->bind_net, error, error_size);
    if (code == 0)
        code = interface_check(c, i, error, error_size);
    if (code != 0)
        return code;
    n->payload_size = payload_size(i->mtu, c->mtu);
    if (n->payload_size == 0) {
        snprintf(error, error_size,
                 "interface %s has an MTU of %u: at least %d is needed",
                 i->name, i->mtu, MTU_MIN);
        return -EMSGSIZE;
    }
    if (c->node_id == 0)
        n->config.node_id = i->address.s_addr;
    receiver_init(&n->rx);
    code = sockets_open(&n->at, c, NULL, error, error_size);
    if (code != 0)
        return code;
    rivals_tell(&rivals, i);
    if (c->downcheck_ns == 0)
        return 0;
    code = watch_start(&n->watch, c, &n->at, n->payload_size + NET_UDP_HEADERS);
    if (code != 0)
        snprintf(error, error_size,
                 "the thread that watches the interface cannot start: %s",
                 limit_explain(-code, why));
    return code;
}

int net_open(struct net **out, const struct net_config *config, char *error,
             size_t error_size)
{
    char why[LIMIT_TEXT_SIZE];
    int code = config_check(config, error, error_size);
    if (code != 0)
        return code;
    struct net *n = calloc(1, sizeof *n);
    if (n == NULL) {
        code = -ENOMEM;
        goto err0;
    }
    n->config = *config;
    n->at.fds[NET_TOKEN] = n->at.fds[NET_DATA] = -1;
    n->watch.bell_fd = n->watch.stop_fd = -1;
    code = net_allocate(n, config);
    if (code != 0)
        goto err0;
    code = net_init(n, error, error_size);
    if (code != 0)
        goto err1;
    *out = n;
    return 0;

err0:
    snprintf(error, error_size, "%s", limit_explain(-code, why));
err1:
    net_close(n);
    return code;
}

void net_close(struct net *n)
{
    if (n == NULL)
        return;
    watch_stop(&n->watch);
    sockets_close(&n->at);
    free(n->nodes);
    free(n->tx.buffer);
    free(n->rx.buffer);
    free(n);
}

struct in_addr net_local_address(const struct net *n)
{
    return n->at.interface.address;
}

const char *net_interface(const struct net *n)
{
    return n->at.interface.name;
}

uint32_t net_payload_size(const struct net *n)
{
    return n->payload_size;
}

uint32_t net_receive_buffer(const struct net *n)
{
    return n->at.receive_buffer;
}

int net_fd(const struct net *n, enum net_channel channel)
{
    CHECK(channel < NET_CHANNEL_COUNT);
    return n->at.fds[channel];
}

int net_moved_fd(const struct net *n)
{
    return n->watch.bell_fd;
}

bool net_moved(struct net *n)
{
    return watch_moved(&n->watch);
}

void net_follow(struct net *n)
{
    watch_swap(&n->watch, &n->at);
    n->tx.plain_left = 0;
    n->errors_waiting = false;
    /* New sockets count what they drop from 0. */
    memset(n->rx.dropped, 0, sizeof n->rx.dropped);
}

const struct net_stats *net_stats_get(const struct net *n)
{
    return &n->stats;
}

/* --- peers ---------------------------------------------------------------- */

struct sockaddr_in net_own_address(const struct net *n)
{
    return address_of(n->at.interface.address, (uint16_t)(n->config.port + 1));
}

bool net_is_listed(const struct net *n, const struct sockaddr_in *source)
{
    in_addr_t address = source->sin_addr.s_addr;
    uint32_t at = listed_place(address);
    if (n->config.node_count == 0)
        return true;
    while (n->listed.places[at] != 0 && n->listed.places[at] != address)
        at = (at + 1) % (4 * NET_PEER_MAX);
    return n->listed.places[at] != 0;
}

uint32_t peer_index(const struct peers *p, uint32_t node_id)
{
    uint32_t i = 0;
    while (i < p->count && p->node_ids[i] != node_id)
        i++;
    return i;
}

/* An address belongs to one node: the last that spoke from it. */
static void address_release(struct peers *p, const struct sockaddr_in *source)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (address_same(&p->addresses[i], source)) {
            p->count--;
            p->node_ids[i] = p->node_ids[p->count];
            p->addresses[i] = p->addresses[p->count];
            p->sent[i] = p->sent[p->count];
            return;
        }
}

void net_peer_learn(struct net *n, uint32_t node_id,
                    const struct sockaddr_in *source)
{
    struct peers *p = &n->peers;
    CHECK(node_id != 0);
    uint32_t i = peer_index(p, node_id);
    if (i < p->count && address_same(&p->addresses[i], source))
        return;
    address_release(p, source);
    i = peer_index(p, node_id);
    if (i == NET_PEER_MAX)
        i = p->victim++ % NET_PEER_MAX;
    else if (i == p->count)
        p->count++;
    p->node_ids[i] = node_id;
    p->addresses[i] = address_of(source->sin_addr, ntohs(source->sin_port));
    p->sent[i].size = 0;
}

bool net_peer_address(const struct net *n, uint32_t node_id,
                      struct sockaddr_in *address)
{
    uint32_t i = peer_index(&n->peers, node_id);
    if (i == n->peers.count)
        return false;
    *address = n->peers.addresses[i];
    return true;
}

uint32_t net_peer_find(const struct net *n, const struct sockaddr_in *address)
{
    for (uint32_t i = 0; i < n->peers.count; i++)
        if (address_same(&n->peers.addresses[i], address))
            return n->peers.node_ids[i];
    return 0;
}
