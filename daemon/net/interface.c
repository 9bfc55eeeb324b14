// SPDX-License-Identifier: BSD-3-Clause
/* interface.c - which interface carries the ring, and whether it still can. */
#include "daemon/net/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
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
    found->address = address_in(i->ifa_addr);
    found->loopback = (i->ifa_flags & IFF_LOOPBACK) != 0;
    found->multicast = (i->ifa_flags & IFF_MULTICAST) != 0;
    if (found->loopback && (wanted.s_addr & ~mask.s_addr) != 0)
        found->address = wanted;
    snprintf(found->name, sizeof found->name, "%s", i->ifa_name);
    found->name[strcspn(found->name, ":")] = 0;
}

/* The MTU and the index need any socket to ask through. */
static int interface_ask(struct interface *found)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    struct ifreq request = {0};
    memcpy(request.ifr_name, found->name, sizeof request.ifr_name);
    int error = 0;
    if (ioctl(fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0)
        found->mtu = (uint32_t)request.ifr_mtu;
    else
        error = -ENODEV;
    if (error == 0 && ioctl(fd, SIOCGIFINDEX, &request) == 0)
        found->index = request.ifr_ifindex;
    else
        error = -ENODEV;
    close(fd);
    return error;
}

int interface_find(struct interface *found, struct in_addr wanted, char *error,
                   size_t error_size)
{
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &wanted, text, sizeof text);
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        int code = -errno;
        snprintf(error, error_size, "the interfaces cannot be listed: %s",
                 strerror(-code));
        return code;
    }
    enum match best = MATCH_NONE;
    memset(found, 0, sizeof *found);
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        enum match match = match_address(i, wanted);
        if (match <= best)
            continue;
        best = match;
        interface_take(found, i, wanted);
    }
    freeifaddrs(all);
    if (best == MATCH_NONE) {
        snprintf(error, error_size,
                 "no interface has an address in the network of bindnetaddr "
                 "%s: give the network of the interface to use ('ip -4 addr' "
                 "lists them)",
                 text);
        return -EADDRNOTAVAIL;
    }
    int code = interface_ask(found);
    if (code != 0)
        snprintf(error, error_size, "interface %s: %s", found->name,
                 strerror(-code));
    return code;
}

/* The protocol thread asks, and must not wait: the call that tells addresses
 * would, for the lock under which networks are configured. Binding does not. */
static bool address_is_local(struct in_addr address)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = address_of(address, 0);
    bool local = fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) == 0 ||
                 errno != EADDRNOTAVAIL;
    if (fd >= 0)
        close(fd);
    return local;
}

/* The address first: it goes with its interface, and for one that is not there
 * the second question would have the kernel look for a module. */
bool interface_is_up(const struct interface *i, int any_socket)
{
    struct ifreq request = {0};
    memcpy(request.ifr_name, i->name, sizeof request.ifr_name);
    return address_is_local(i->address) &&
           ioctl(any_socket, SIOCGIFFLAGS, &request) == 0 &&
           (request.ifr_flags & IFF_UP) != 0;
}

int interface_index(const struct interface *i, int any_socket)
{
    struct ifreq request = {0};
    memcpy(request.ifr_name, i->name, sizeof request.ifr_name);
    return ioctl(any_socket, SIOCGIFINDEX, &request) == 0 ? request.ifr_ifindex
                                                          : 0;
}
