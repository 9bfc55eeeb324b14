// SPDX-License-Identifier: BSD-3-Clause
/* test_interface.c - which of the kernel's interfaces carries the ring, at the
 * start and when addresses have moved. */
#include "daemon/net/internal.h"

#include "test/unit/unit.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netpacket/packet.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_MAX = 4, UP = IFF_UP | IFF_MULTICAST, LO = UP | IFF_LOOPBACK };

/* A host's addresses, in the order in which the kernel lists them. */
struct host {
    struct {
        const char *name, *address;
        unsigned bits, flags;
        int index;
    } at[HOST_MAX];
};

struct list {
    struct ifaddrs entries[2 * HOST_MAX];
    struct sockaddr_ll links[HOST_MAX];
    struct sockaddr_in addresses[HOST_MAX], masks[HOST_MAX];
    char names[HOST_MAX][IF_NAMESIZE];
};

static struct in_addr ip(const char *text)
{
    struct in_addr a;
    CU_ASSERT_FATAL(inet_pton(AF_INET, text, &a) == 1);
    return a;
}

/* Links before addresses, as getifaddrs() does. */
static const struct ifaddrs *list_make(struct list *l, const struct host *h)
{
    size_t n = 0;
    *l = (struct list){0};
    while (n < HOST_MAX && h->at[n].name != NULL)
        n++;
    for (size_t i = 0; i < n; i++) {
        struct ifaddrs *link = &l->entries[i], *a = &l->entries[n + i];
        strcpy(l->names[i], h->at[i].name);
        l->names[i][strcspn(l->names[i], ":")] = '\0';
        l->links[i] = (struct sockaddr_ll){.sll_family = AF_PACKET,
                                           .sll_ifindex = h->at[i].index};
        l->addresses[i] = address_of(ip(h->at[i].address), 0);
        l->masks[i] = address_of(
            (struct in_addr){htonl(
                (uint32_t)(UINT64_C(0xffffffff) << (32 - h->at[i].bits)))},
            0);
        *link = (struct ifaddrs){.ifa_name = l->names[i],
                                 .ifa_next = link + 1,
                                 .ifa_addr = (struct sockaddr *)&l->links[i]};
        *a = (struct ifaddrs){.ifa_name = (char *)h->at[i].name,
                              .ifa_next = i + 1 < n ? a + 1 : NULL,
                              .ifa_flags = h->at[i].flags,
                              .ifa_addr = (struct sockaddr *)&l->addresses[i],
                              .ifa_netmask = (struct sockaddr *)&l->masks[i]};
    }
    return n == 0 ? NULL : l->entries;
}

struct example {
    const char *what;
    struct host host;
    const char *wanted; /* bindnetaddr */
    const char *now;    /* the node's address so far; NULL: none */
    int now_index;      /* and that interface's */
    const char *taken;  /* NULL: none */
    int index;          /* of the interface that is taken */
    uint32_t rivals;    /* it and the others that match as well */
};

static const struct example examples[] = {
    {"the only one",
     {{{"eth0", "10.7.0.3", 24, UP, 2}}},
     "10.7.0.0",
     NULL,
     0,
     "10.7.0.3",
     2,
     1},
    {"no address in the network",
     {{{"eth0", "10.8.0.3", 24, UP, 2}}},
     "10.7.0.0",
     NULL,
     0,
     NULL,
     0,
     0},
    {"no interface at all", {{{0}}}, "10.7.0.0", NULL, 0, NULL, 0, 0},
    {"the first of several",
     {{{"eth0", "10.7.0.3", 24, UP, 2}, {"eth0:1", "10.7.0.9", 24, UP, 2}}},
     "10.7.0.0",
     NULL,
     0,
     "10.7.0.3",
     2,
     2},
    {"one that is up before one that is down",
     {{{"eth0", "10.7.0.3", 24, 0, 2}, {"eth1", "10.7.0.9", 24, UP, 3}}},
     "10.7.0.0",
     NULL,
     0,
     "10.7.0.9",
     3,
     2},
    {"the address that was named",
     {{{"eth0", "10.7.0.3", 24, UP, 2}, {"eth1", "10.7.0.9", 24, 0, 3}}},
     "10.7.0.9",
     NULL,
     0,
     "10.7.0.9",
     3,
     1},
    {"it, on two interfaces",
     {{{"eth0", "10.7.0.3", 24, UP, 2}, {"eth1", "10.7.0.3", 24, UP, 3}}},
     "10.7.0.3",
     NULL,
     0,
     "10.7.0.3",
     2,
     2},
    {"loopback is not meant",
     {{{"lo", "127.0.0.1", 8, LO, 1}}},
     "10.7.0.0",
     "10.7.0.3",
     2,
     NULL,
     0,
     0},
    {"an address of loopback that is listed nowhere",
     {{{"lo", "127.0.0.1", 8, LO, 1}}},
     "127.0.0.3",
     NULL,
     0,
     "127.0.0.3",
     1,
     1},

    {"moved to another interface",
     {{{"eth0", "192.0.2.1", 24, UP, 2}, {"lan", "10.7.0.3", 24, UP, 5}}},
     "10.7.0.0",
     "10.7.0.3",
     2,
     "10.7.0.3",
     5,
     1},
    {"nothing moved, though another one is listed first",
     {{{"eth1", "10.7.0.9", 24, UP, 3}, {"eth0", "10.7.0.3", 24, UP, 2}}},
     "10.7.0.0",
     "10.7.0.3",
     2,
     "10.7.0.3",
     2,
     2},
    {"stays with an interface that is down",
     {{{"eth1", "10.7.0.9", 24, UP, 3}, {"eth0", "10.7.0.3", 24, 0, 2}}},
     "10.7.0.0",
     "10.7.0.3",
     2,
     "10.7.0.3",
     2,
     2},
    {"leaves it for one that is up and has the same address",
     {{{"eth0", "10.7.0.3", 24, 0, 2}, {"lan", "10.7.0.3", 24, UP, 5}}},
     "10.7.0.0",
     "10.7.0.3",
     2,
     "10.7.0.3",
     5,
     2},
    {"another address: rather on the same interface",
     {{{"eth1", "10.7.0.9", 24, UP, 3}, {"eth0", "10.7.0.33", 24, UP, 2}}},
     "10.7.0.0",
     "10.7.0.3",
     2,
     "10.7.0.33",
     2,
     2},
    {"back to the address that was named",
     {{{"eth0", "10.7.0.3", 24, UP, 2}, {"eth0", "10.7.0.9", 24, UP, 2}}},
     "10.7.0.9",
     "10.7.0.3",
     2,
     "10.7.0.9",
     2,
     1},
    {"an interface of the same name",
     {{{"eth0", "10.7.0.3", 24, UP, 9}}},
     "10.7.0.0",
     "10.7.0.3",
     2,
     "10.7.0.3",
     9,
     1},
};

static void try(const struct example *e)
{
    struct list list;
    struct interface found = {0}, now = {.index = e->now_index};
    struct rivals rivals;
    if (e->now != NULL)
        now.address = ip(e->now);
    bool any = interface_choose(&found, &rivals, list_make(&list, &e->host),
                                e->now != NULL ? &now : NULL, ip(e->wanted));
    bool right =
        any == (e->taken != NULL) && rivals.count == e->rivals &&
        (!any || (found.address.s_addr == ip(e->taken).s_addr &&
                  found.index == e->index && strchr(found.name, ':') == NULL));
    if (!right)
        printf("%s: took index %d of %u\n", e->what, found.index, rivals.count);
    CU_ASSERT(right);
}

static void test_choice(void)
{
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        try(&examples[i]);
}

static void test_rivals(void)
{
    const struct host host = {{{"eth0", "10.7.0.3", 24, UP, 2},
                               {"eth0:vip", "10.7.0.9", 24, UP, 2},
                               {"eth1", "10.7.0.11", 24, UP, 3}}};
    struct list list;
    struct interface found;
    struct rivals r;
    CU_ASSERT(interface_choose(&found, &r, list_make(&list, &host), NULL,
                               ip("10.7.0.0")));
    CU_ASSERT_STRING_EQUAL(
        r.text, "10.7.0.3 on eth0, 10.7.0.9 on eth0, 10.7.0.11 on eth1");
}

/* More than there is room to name. */
static void test_many_rivals(void)
{
    enum { COUNT = 40 };
    struct ifaddrs all[COUNT];
    struct sockaddr_in a[COUNT], mask = address_of(ip("255.255.255.0"), 0);
    struct interface found;
    struct rivals r;
    for (uint32_t i = 0; i < COUNT; i++) {
        a[i] = address_of((struct in_addr){htonl(0xc0a80a64 + i)}, 0);
        all[i] =
            (struct ifaddrs){.ifa_name = (char *)"a-long-name-15c",
                             .ifa_next = i + 1 < COUNT ? &all[i + 1] : NULL,
                             .ifa_addr = (struct sockaddr *)&a[i],
                             .ifa_netmask = (struct sockaddr *)&mask};
    }
    CU_ASSERT(interface_choose(&found, &r, all, NULL, ip("192.168.10.0")));
    CU_ASSERT(r.count == COUNT);
    CU_ASSERT(strlen(r.text) == sizeof r.text - 1);
}

static const struct unit_test tests[] = {
    {"which one is taken", test_choice},
    {"the others are named", test_rivals},
    {"too many to name", test_many_rivals},
};

int main(void)
{
    return unit_main("interface", tests, sizeof tests / sizeof *tests);
}
