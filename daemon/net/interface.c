// SPDX-License-Identifier: BSD-3-Clause
/* interface.c - which interface carries the ring. */
#include "daemon/net/internal.h"

#include "daemon/base/limit.h"
#include "daemon/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct in_addr address_in(const struct sockaddr *a)
{
    struct sockaddr_in in = {0};
    if (a != NULL && a->sa_family == AF_INET)
        memcpy(&in, a, sizeof in);
    return in.sin_addr;
}

enum match { MATCH_NONE, MATCH_NETWORK, MATCH_EXACT };

/* Loopback is taken only when it was plainly meant: its address, or its
 * network's. All of 127/8 is this host, so any address there is one of its
 * own. */
static enum match match_loopback(struct in_addr address, struct in_addr mask,
                                 struct in_addr wanted)
{
    bool within = ((address.s_addr ^ wanted.s_addr) & mask.s_addr) == 0;
    bool is_network = (wanted.s_addr & ~mask.s_addr) == 0;
    bool all_ours = (ntohl(wanted.s_addr) >> 24) == IN_LOOPBACKNET;
    return within && (is_network || all_ours) ? MATCH_NETWORK : MATCH_NONE;
}

static enum match match_address(const struct ifaddrs *i, struct in_addr wanted)
{
    if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET)
        return MATCH_NONE;
    struct in_addr address = address_in(i->ifa_addr);
    struct in_addr mask = address_in(i->ifa_netmask);
    if (address.s_addr == wanted.s_addr)
        return MATCH_EXACT;
    if (mask.s_addr == 0)
        return MATCH_NONE; /* would match whatever is asked for */
    if ((i->ifa_flags & IFF_LOOPBACK) != 0)
        return match_loopback(address, mask, wanted);
    return ((address.s_addr ^ wanted.s_addr) & mask.s_addr) == 0 ? MATCH_NETWORK
                                                                 : MATCH_NONE;
}

static void interface_take(struct interface *found, const struct ifaddrs *i,
                           struct in_addr wanted)
{
    struct in_addr mask = address_in(i->ifa_netmask);
    *found = (struct interface){
        .address = address_in(i->ifa_addr),
        .up = (i->ifa_flags & IFF_UP) != 0,
        .loopback = (i->ifa_flags & IFF_LOOPBACK) != 0,
        .multicast = (i->ifa_flags & IFF_MULTICAST) != 0,
    };
    if (found->loopback && (wanted.s_addr & ~mask.s_addr) != 0)
        found->address = wanted;
    snprintf(found->name, sizeof found->name, "%s", i->ifa_name);
    found->name[strcspn(found->name, ":")] = 0; /* a label of the address */
}

/* The kernel lists interfaces beside addresses; there the index is. */
static int index_of(const struct ifaddrs *all, const char *name)
{
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        struct sockaddr_ll link;
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_PACKET ||
            strcmp(i->ifa_name, name) != 0)
            continue;
        memcpy(&link, i->ifa_addr, sizeof link);
        return link.sll_ifindex;
    }
    return 0;
}

/* How well an interface serves: first what the operator named, then what keeps
 * the node's address, then what works, then what is in use already. */
static unsigned rank_of(enum match match, const struct interface *i,
                        const struct interface *now)
{
    unsigned rank = match == MATCH_EXACT ? 16 : 1;
    if (now != NULL && i->address.s_addr == now->address.s_addr)
        rank += 8;
    if (i->up)
        rank += 4;
    if (now != NULL && i->index == now->index)
        rank += 2;
    return rank;
}

static void rival_add(struct rivals *r, const struct interface *i)
{
    char text[INET_ADDRSTRLEN];
    size_t used = strlen(r->text);
    inet_ntop(AF_INET, &i->address, text, sizeof text);
    snprintf(r->text + used, sizeof r->text - used, "%s%s on %s",
             r->count == 0 ? "" : ", ", text, i->name);
    r->count++;
}

bool interface_choose(struct interface *found, struct rivals *rivals,
                      const struct ifaddrs *all, const struct interface *now,
                      struct in_addr wanted)
{
    enum match best_match = MATCH_NONE;
    unsigned best = 0;
    *rivals = (struct rivals){0};
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        enum match match = match_address(i, wanted);
        struct interface candidate;
        if (match == MATCH_NONE || match < best_match)
            continue;
        if (match > best_match)
            *rivals = (struct rivals){0};
        best_match = match;
        interface_take(&candidate, i, wanted);
        candidate.index = index_of(all, candidate.name);
        rival_add(rivals, &candidate);
        unsigned rank = rank_of(match, &candidate, now);
        if (rank <= best)
            continue;
        best = rank;
        *found = candidate;
    }
    return best_match != MATCH_NONE;
}

/* The MTU needs any socket to ask through. */
static int mtu_ask(struct interface *found)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    struct ifreq request = {0};
    memcpy(request.ifr_name, found->name, sizeof request.ifr_name);
    int error = -ENODEV; /* it went while we looked */
    if (found->index != 0 && ioctl(fd, SIOCGIFMTU, &request) == 0 &&
        request.ifr_mtu > 0) {
        found->mtu = (uint32_t)request.ifr_mtu;
        error = 0;
    }
    close(fd);
    return error;
}

int interface_find(struct interface *found, struct rivals *rivals,
                   const struct interface *now, struct in_addr wanted,
                   char *error, size_t error_size)
{
    char text[INET_ADDRSTRLEN], why[LIMIT_TEXT_SIZE];
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        int code = -errno;
        snprintf(error, error_size, "the interfaces cannot be listed: %s",
                 limit_explain(-code, why));
        return code;
    }
    bool any = interface_choose(found, rivals, all, now, wanted);
    freeifaddrs(all);
    if (!any) {
        inet_ntop(AF_INET, &wanted, text, sizeof text);
        snprintf(error, error_size,
                 "no interface has an address in the network of bindnetaddr "
                 "%s: give the network of the interface to use ('ip -4 addr' "
                 "lists them)",
                 text);
        return -EADDRNOTAVAIL;
    }
    int code = mtu_ask(found);
    if (code != 0)
        snprintf(error, error_size, "interface %s: %s", found->name,
                 strerror(-code));
    return code;
}

void rivals_tell(const struct rivals *r, const struct interface *taken)
{
    char text[INET_ADDRSTRLEN];
    if (r->count < 2)
        return;
    inet_ntop(AF_INET, &taken->address, text, sizeof text);
    log_write(LOG_LEVEL_WARNING, "NET",
              "%u addresses match bindnetaddr: %s; took %s on %s; name the "
              "one address in bindnetaddr if it is another, or if one of them "
              "moves between nodes",
              r->count, r->text, text, taken->name);
}
