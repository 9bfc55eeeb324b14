// SPDX-License-Identifier: BSD-3-Clause
/* test_net.c - UDP on addresses of 127/8, and multicast between two network
 * namespaces (root only). */
#include "daemon/net/net.h"

#include "test/unit/net_box.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- opening -------------------------------------------------------------- */

static int open_fails(const struct net_config *c, const char *says)
{
    struct net *n = NULL;
    char error[256] = "";
    int code = net_open(&n, c, error, sizeof error);
    CU_ASSERT(n == NULL);
    CU_ASSERT(strstr(error, says) != NULL);
    if (strstr(error, says) == NULL)
        printf("said: %s\n", error);
    return code;
}

static void test_refuses(void)
{
    struct net_config c = config_of(0);
    c.bind_net = ip("198.51.100.0");
    CU_ASSERT(open_fails(&c, "198.51.100.0") == -EADDRNOTAVAIL);
    c = config_of(0);
    c.port = 65535;
    CU_ASSERT(open_fails(&c, "65534") == -EINVAL);
    c = config_of(0);
    c.mtu = 100;
    CU_ASSERT(open_fails(&c, "netmtu") == -EINVAL);
    c = config_of(0);
    c.multicast = true;
    c.mcast_addr = ip("10.0.0.1");
    CU_ASSERT(open_fails(&c, "mcastaddr") == -EINVAL);
    c = config_of(0);
    c.node_count = 100000;
    CU_ASSERT(open_fails(&c, "256") == -EINVAL);
    c = config_of(0);
    c.nodes = addresses + 1;
    c.node_count = 2;
    CU_ASSERT(open_fails(&c, "127.0.0.2") == -EDESTADDRREQ);
    net_close(NULL);
}

static void test_port_in_use(void)
{
    struct net_config c = config_of(0);
    struct net *n = node_open(&c);
    CU_ASSERT(open_fails(&c, "in use") == -EADDRINUSE);
    net_close(n);
    /* Somebody has the token's port alone, of all addresses. */
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)(port_base() + 1))};
    CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&any, sizeof any) == 0);
    CU_ASSERT(open_fails(&c, "in use") == -EADDRINUSE);
    close(fd);
    n = node_open(&c);
    net_close(n);
}

static void test_loopback_only_when_meant(void)
{
    struct net_config c = config_of(1);
    struct net *n = node_open(&c);
    CU_ASSERT(net_local_address(n).s_addr == ip("127.0.0.3").s_addr);
    CU_ASSERT_STRING_EQUAL(net_interface(n), "lo");
    CU_ASSERT(net_payload_size(n) == 1472);
    CU_ASSERT(net_moved_fd(n) < 0);
    net_close(n);
    c.bind_net = ip("127.0.0.0");
    c.mtu = 0;
    addresses[0] = ip("127.0.0.1");
    n = node_open(&c);
    CU_ASSERT(net_local_address(n).s_addr == ip("127.0.0.1").s_addr);
    CU_ASSERT(net_payload_size(n) <= 16384 - 28);
    CU_ASSERT(net_payload_size(n) >= 1472);
    CU_ASSERT(net_receive_buffer(n) >= 64 * 1024);
    net_close(n);
}

/* --- sending and receiving ------------------------------------------------ */

static void test_all_ways(void)
{
    struct net *n[NODE_MAX];
    cluster_open(n, false);
    net_commit_all(n[0], put(n[0], 1, 300));
    net_commit_ring(n[0], put(n[0], 2, 200), (uint32_t[]){1, 3}, 2);
    net_commit_node(n[0], put(n[0], 3, 100), 2);
    struct sockaddr_in third;
    CU_ASSERT_FATAL(net_peer_address(n[0], 3, &third));
    net_commit_address(n[0], put(n[0], 4, 50), &third);
    net_commit_node(n[0], put(n[0], 5, 100), 77);
    net_flush(n[0]);
    CU_ASSERT(net_stats_get(n[0])->unknown_peer == 1);

    CU_ASSERT(take_is(n[1], NET_DATA, 1, 300));
    struct net_datagram d;
    CU_ASSERT(take(n[1], NET_TOKEN, &d));
    CU_ASSERT(is_datagram(d.data, 3, 100));
    CU_ASSERT(d.source.sin_addr.s_addr == addresses[0].s_addr);
    CU_ASSERT(d.source.sin_port == htons((uint16_t)(port_base() + 1)));
    CU_ASSERT(net_peer_find(n[1], &d.source) == 1);
    CU_ASSERT(take_is(n[2], NET_DATA, 1, 300));
    CU_ASSERT(take_is(n[2], NET_DATA, 2, 200));
    CU_ASSERT(take_is(n[2], NET_TOKEN, 4, 50));
    CU_ASSERT(quiet(n[0], NET_DATA) && quiet(n[0], NET_TOKEN));
    CU_ASSERT(quiet(n[1], NET_DATA) && quiet(n[1], NET_TOKEN));
    const struct net_stats *s = net_stats_get(n[0]);
    CU_ASSERT(s->sent_datagrams == 5);
    CU_ASSERT(s->sent_bytes == 2 * 300 + 200 + 100 + 50);
    CU_ASSERT(s->send_errors == 0);
    cluster_close(n);
}

/* 300 datagrams of mixed sizes to two nodes: full ones, short ones that end a
 * run, some beyond the MTU; with offload and without. */
static size_t mixed_size(uint32_t i)
{
    if (i % 90 == 89)
        return 16384;
    return i % 17 == 16 ? 1 + i : 1472;
}

static void exchange_mixed(bool offload_off)
{
    enum { COUNT = 300, ROUND = 50 };
    struct net *n[NODE_MAX];
    cluster_open(n, offload_off);
    for (uint32_t i = 0; i < COUNT; i++) {
        net_commit_ring(n[0], put(n[0], i, mixed_size(i)),
                        (uint32_t[]){1, 2, 3}, 3);
        if (i % ROUND != ROUND - 1)
            continue;
        net_flush(n[0]);
        for (uint32_t j = i - ROUND + 1; j <= i; j++) {
            CU_ASSERT_FATAL(take_is(n[1], NET_DATA, j, mixed_size(j)));
            CU_ASSERT_FATAL(take_is(n[2], NET_DATA, j, mixed_size(j)));
        }
    }
    const struct net_stats *s = net_stats_get(n[0]);
    CU_ASSERT(s->sent_datagrams == 2 * COUNT);
    CU_ASSERT(s->send_calls <= (offload_off ? 12 : 6));
    s = net_stats_get(n[1]);
    CU_ASSERT(s->received_datagrams == COUNT);
    CU_ASSERT(s->kernel_drops == 0);
    if (!offload_off) /* large ones come whole, in few calls */
        CU_ASSERT(s->receive_calls < COUNT / 4);
    cluster_close(n);
}

static void test_mixed_with_offload(void)
{
    exchange_mixed(false);
}

static void test_mixed_without_offload(void)
{
    exchange_mixed(true);
}

/* What goes to one address arrives in the order of commits, also when another
 * address comes between. */
static void test_order(void)
{
    struct net *n[NODE_MAX];
    cluster_open(n, false);
    for (uint32_t i = 0; i < 40; i++)
        net_commit_node(n[0], put(n[0], i, 500), i % 3 == 0 ? 3 : 2);
    net_flush(n[0]);
    for (uint32_t i = 0; i < 40; i++)
        CU_ASSERT(take_is(n[i % 3 == 0 ? 2 : 1], NET_TOKEN, i, 500));
    cluster_close(n);
}

/* More than the transmit buffer holds, more runs than its table: it flushes by
 * itself. */
static void test_flushes_when_full(void)
{
    struct net *n[NODE_MAX];
    cluster_open(n, false);
    for (uint32_t i = 0; i < 2000; i++) {
        net_commit_node(n[0], put(n[0], i, 200), 2 + i % 2);
        CU_ASSERT_FATAL(i % 2 == 0 || net_stats_get(n[0])->send_errors == 0);
    }
    CU_ASSERT(net_stats_get(n[0])->send_calls > 0);
    net_flush(n[0]);
    CU_ASSERT(net_stats_get(n[0])->sent_datagrams == 2000);
    for (uint32_t i = 0; i < 2000; i++)
        CU_ASSERT_FATAL(take_is(n[1 + i % 2], NET_TOKEN, i, 200));
    for (uint32_t i = 0; i < 40; i++) {
        net_claim(n[0], 16384);
        net_commit_node(n[0], put(n[0], i, 16000), 2);
    }
    net_flush(n[0]);
    for (uint32_t i = 0; i < 40; i++)
        CU_ASSERT_FATAL(take_is(n[1], NET_TOKEN, i, 16000));
    cluster_close(n);
}

static void test_discard_and_drops(void)
{
    kernel_heal();
    struct net_config c = config_of(0), small = config_of(1);
    small.receive_buffer_bytes = 16 * 1024;
    c.offload_off = true; /* the kernel counts one for a whole run */
    struct net *a = node_open(&c), *b = node_open(&small);
    for (uint32_t i = 0; i < 400; i++)
        net_commit_all(a, put(a, i, 1400 - i));
    net_flush(a);
    uint32_t waiting = 0, more;
    do { /* a busy kernel may deliver some of it later */
        waiting += more = net_discard(b);
        usleep(20000);
    } while (more > 0);
    CU_ASSERT(waiting > 0 && waiting < 400);
    struct net_datagram d;
    CU_ASSERT(!net_next(b, &d));
    /* The count comes with the next datagram that has room. */
    net_commit_all(a, put(a, 1, 100));
    net_flush(a);
    CU_ASSERT(take_is(b, NET_DATA, 1, 100));
    CU_ASSERT(net_stats_get(b)->kernel_drops == 400 - waiting);
    net_commit_all(a, put(a, 2, 100)); /* which tells the count again */
    net_flush(a);
    CU_ASSERT(take_is(b, NET_DATA, 2, 100));
    CU_ASSERT(net_stats_get(b)->kernel_drops == 400 - waiting);
    net_close(a);
    net_close(b);
}

/* --- peers ---------------------------------------------------------------- */

static struct sockaddr_in at(uint32_t host, uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(host),
                                .sin_port = htons(port)};
}

/* Without a node id of its own, a node has its address for one, and skips it.
 */
static void test_own_id(void)
{
    struct net_config c = config_of(0);
    c.node_id = 0;
    struct net *n = node_open(&c);
    net_commit_ring(n, put(n, 1, 100), &addresses[0].s_addr, 1);
    net_flush(n);
    CU_ASSERT(net_stats_get(n)->unknown_peer == 0);
    net_close(n);
}

static void test_peers(void)
{
    struct net_config c = config_of(0);
    struct net *n = node_open(&c);
    struct sockaddr_in a = at(0x0a000001, 5), b = at(0x0a000002, 5), got;
    CU_ASSERT(!net_peer_address(n, 7, &got));
    CU_ASSERT(net_peer_find(n, &a) == 0);
    net_peer_learn(n, 7, &a);
    net_peer_learn(n, 8, &b);
    CU_ASSERT(net_peer_find(n, &a) == 7 && net_peer_find(n, &b) == 8);
    net_peer_learn(n, 7, &b); /* node 7 moved to where 8 was */
    CU_ASSERT(net_peer_find(n, &b) == 7 && net_peer_find(n, &a) == 0);
    CU_ASSERT(!net_peer_address(n, 8, &got));
    CU_ASSERT(net_peer_address(n, 7, &got));
    CU_ASSERT(got.sin_addr.s_addr == b.sin_addr.s_addr);
    for (uint32_t i = 0; i < 1000; i++) {
        a = at(0x0b000000 + i, 9);
        net_peer_learn(n, 100 + i, &a);
        CU_ASSERT(net_peer_find(n, &a) == 100 + i);
    }
    net_close(n);
}

/* With a list of nodes only these are heard; else all. */
static void test_listed(void)
{
    enum { COUNT = 200 };
    struct in_addr many[COUNT];
    struct net_config c = config_of(0);
    struct net *n = node_open(&c);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(1)};
    for (int i = 0; i < NODE_MAX; i++) {
        a.sin_addr = addresses[i];
        CU_ASSERT(net_is_listed(n, &a));
    }
    a.sin_addr.s_addr = htonl(0x7f000001);
    CU_ASSERT(!net_is_listed(n, &a));
    net_close(n);

    for (uint32_t i = 0; i < COUNT; i++)
        many[i].s_addr = htonl(0x7f000002 + i * 256);
    c.nodes = many;
    c.node_count = COUNT;
    n = node_open(&c);
    for (uint32_t i = 0; i < COUNT * 256; i++) {
        a.sin_addr.s_addr = htonl(0x7f000002 + i);
        CU_ASSERT_FATAL(net_is_listed(n, &a) == (i % 256 == 0));
    }
    net_close(n);

    struct sockaddr_in own = at(0x0a000001, 5406);
    CU_ASSERT(net_source(&own) == UINT64_C(0x0a000001151e));
}

/* --- multicast, between two namespaces ------------------------------------ */

static int run(const char *format, int a)
{
    char command[256];
    snprintf(command, sizeof command, format, (int)getpid(), a);
    return system(command);
}

static int namespace_new(void)
{
    if (unshare(CLONE_NEWNET) != 0)
        return -1;
    if (run("true %d %d; ip link set lo up", 0) != 0)
        return -1;
    return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static struct {
    int home, a, b;
} spaces = {-1, -1, -1};

/* An interface loses what is sent until the kernel, a moment after it was set
 * up, has seen its carrier. */
static bool end_is_up(int space)
{
    return setns(space, CLONE_NEWNET) == 0 &&
           run("true %d; for i in $(seq 500); do ip -o link show | "
               "grep -q ' v[ab]@.*state UP' && exit 0; sleep 0.01; done; "
               "exit 1",
               0) == 0;
}

/* From namespace a to b: 10.77.0.1 and 10.77.0.2. */
static bool cable_make(void)
{
    return setns(spaces.a, CLONE_NEWNET) == 0 &&
           run("true %d; ip link add va mtu 9000 type veth peer name vb "
               "mtu 9000",
               0) == 0 &&
           run("ip link set vb netns /proc/%d/fd/%d", spaces.b) == 0 &&
           run("true %d; ip addr add 10.77.0.1/24 dev va && "
               "ip link set va up",
               0) == 0 &&
           setns(spaces.b, CLONE_NEWNET) == 0 &&
           run("true %d; ip addr add 10.77.0.2/24 dev vb && "
               "ip link set vb up",
               0) == 0 &&
           end_is_up(spaces.a) && end_is_up(spaces.b);
}

/* Two namespaces, a cable between them. */
static bool spaces_make(void)
{
    spaces.home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    spaces.b = namespace_new();
    spaces.a = namespace_new();
    return spaces.home >= 0 && spaces.a >= 0 && spaces.b >= 0 && cable_make();
}

static void spaces_free(void)
{
    if (spaces.home >= 0)
        CU_ASSERT_FATAL(setns(spaces.home, CLONE_NEWNET) == 0);
    close(spaces.a);
    close(spaces.b);
    close(spaces.home);
}

static struct net *multicast_open(int space, uint32_t mtu, const char *group)
{
    CU_ASSERT_FATAL(setns(space, CLONE_NEWNET) == 0);
    struct net_config c = {
        .multicast = true,
        .bind_net = ip("10.77.0.0"),
        .mcast_addr = ip(group),
        .port = 5405,
        .mtu = mtu,
        .receive_buffer_bytes = 4 << 20,
        .send_buffer_bytes = 4 << 20,
        .node_id = space == spaces.a ? 1 : 2,
        .downcheck_ns = 10000000,
    };
    return node_open(&c);
}

static void multicast_burst(struct net *a, struct net *b, size_t size)
{
    enum { COUNT = 150 };
    for (uint32_t i = 0; i < COUNT; i++)
        net_commit_ring(a, put(a, i, i / 2 == 50 ? 16384 : size),
                        (uint32_t[]){1, 2}, 2);
    net_flush(a);
    for (uint32_t i = 0; i < COUNT; i++)
        CU_ASSERT_FATAL(take_is(b, NET_DATA, i, i / 2 == 50 ? 16384 : size));
}

static void test_multicast(void)
{
    CU_ASSERT_FATAL(spaces_make());
    struct net *a = multicast_open(spaces.a, 0, "239.192.7.1");
    struct net *b = multicast_open(spaces.b, 0, "239.192.7.1");
    CU_ASSERT(net_payload_size(a) == 8972);
    CU_ASSERT_STRING_EQUAL(net_interface(a), "va");
    CU_ASSERT(net_local_address(a).s_addr == ip("10.77.0.1").s_addr);
    multicast_burst(a, b, 8972);
    multicast_burst(b, a, 60);
    /* What is beyond the MTU did not spoil it for the rest. */
    CU_ASSERT(net_stats_get(b)->send_calls <= 2);

    /* What b hears, it can answer to where it came from. */
    net_commit_all(a, put(a, 1, 100));
    net_flush(a);
    struct net_datagram d;
    CU_ASSERT_FATAL(take(b, NET_DATA, &d));
    net_peer_learn(b, 1, &d.source);
    net_commit_node(b, put(b, 2, 70), 1);
    net_flush(b);
    CU_ASSERT(take_is(a, NET_TOKEN, 2, 70));
    CU_ASSERT(quiet(a, NET_DATA)); /* nothing of its own came back */
    net_close(b);

    /* Another group on the same port is another cluster. */
    b = multicast_open(spaces.b, 1500, "239.192.7.2");
    CU_ASSERT(net_payload_size(b) == 1472);
    net_commit_all(b, put(b, 3, 100));
    net_flush(b);
    CU_ASSERT(quiet(a, NET_DATA));
    net_close(b);
    net_close(a);
    spaces_free();
}

/* Does it tell, within `ms`, that the interface has moved? Then follows it. */
static bool follows(struct net *n, int ms)
{
    struct pollfd p = {.fd = net_moved_fd(n), .events = POLLIN};
    if (poll(&p, 1, ms) != 1)
        return false;
    CU_ASSERT(net_moved(n));
    net_follow(n);
    CU_ASSERT(!net_moved(n));
    CU_ASSERT(poll(&p, 1, 0) == 0);
    return true;
}

enum { SOON_MS = 10000, NEVER_MS = 100 };

static void shell(const char *command)
{
    CU_ASSERT_FATAL(system(command) == 0);
}

static void test_interface_lost(void)
{
    CU_ASSERT_FATAL(spaces_make());
    struct net *a = multicast_open(spaces.a, 0, "239.192.7.1");
    shell("ip link set va down");
    CU_ASSERT(!follows(a, NEVER_MS));
    net_commit_all(a, put(a, 1, 100));
    net_flush(a);
    CU_ASSERT(net_stats_get(a)->send_errors == 1);
    shell("ip link set va up");
    CU_ASSERT(!follows(a, NEVER_MS));
    shell("ip addr add 10.78.0.1/24 dev va; ip addr del 10.77.0.1/24 dev va");
    CU_ASSERT(!follows(a, NEVER_MS));
    shell("ip addr add 10.77.0.1/24 dev va");
    CU_ASSERT(follows(a, SOON_MS));
    shell("ip link del va");
    CU_ASSERT(!follows(a, NEVER_MS));

    /* A new one with the old name and address: the group is joined again. */
    CU_ASSERT_FATAL(cable_make());
    CU_ASSERT_FATAL(setns(spaces.a, CLONE_NEWNET) == 0);
    CU_ASSERT(follows(a, SOON_MS));
    struct net *b = multicast_open(spaces.b, 0, "239.192.7.1");
    multicast_burst(a, b, 60);
    multicast_burst(b, a, 60);
    CU_ASSERT(net_stats_get(a)->kernel_drops == 0);
    net_close(b);
    net_close(a);
    spaces_free();
}

/* The address goes to a bridge over the interface, then becomes another one;
 * what was sent to the old sockets' address is heard as long as it is there. */
static void test_interface_moved(void)
{
    CU_ASSERT_FATAL(spaces_make());
    struct net *b = multicast_open(spaces.b, 0, "239.192.7.1");
    struct net *a = multicast_open(spaces.a, 0, "239.192.7.1");
    shell(
        "ip link add lan type bridge mcast_snooping 0 && "
        "ip link set lan mtu 9000 up && ip link set va master lan && "
        "ip addr del 10.77.0.1/24 dev va && ip addr add 10.77.0.1/24 dev lan");
    CU_ASSERT(follows(a, SOON_MS));
    CU_ASSERT_STRING_EQUAL(net_interface(a), "lan");
    multicast_burst(a, b, 60);
    multicast_burst(b, a, 60);
    /* The token's port is not to be shared, though it was for a moment. */
    struct net_config c = {.multicast = true,
                           .bind_net = ip("10.77.0.0"),
                           .mcast_addr = ip("239.192.7.1"),
                           .port = 5405};
    CU_ASSERT(open_fails(&c, "in use") == -EADDRINUSE);

    shell("ip addr del 10.77.0.1/24 dev lan; ip addr add 10.77.0.7/24 dev lan");
    CU_ASSERT(follows(a, SOON_MS));
    CU_ASSERT(net_local_address(a).s_addr == ip("10.77.0.7").s_addr);
    net_commit_all(a, put(a, 1, 100));
    net_flush(a);
    struct net_datagram d;
    CU_ASSERT_FATAL(take(b, NET_DATA, &d));
    CU_ASSERT(d.source.sin_addr.s_addr == ip("10.77.0.7").s_addr);
    net_peer_learn(b, 1, &d.source);
    net_commit_peers(b, put(b, 2, 70));
    net_flush(b);
    CU_ASSERT(take_is(a, NET_TOKEN, 2, 70));
    net_close(a);
    net_close(b);
    spaces_free();
}

/* With a list of nodes, nobody sends to an address that is not in it. */
static void test_moved_off_the_list(void)
{
    CU_ASSERT_FATAL(spaces_make());
    CU_ASSERT_FATAL(setns(spaces.a, CLONE_NEWNET) == 0);
    const struct in_addr list[] = {ip("10.77.0.1"), ip("10.77.0.2"),
                                   ip("10.77.0.3")};
    struct net_config c = {.bind_net = ip("10.77.0.0"),
                           .port = 5405,
                           .node_count = 3,
                           .nodes = list,
                           .node_id = 1,
                           .downcheck_ns = 10000000};
    struct net *a = node_open(&c);
    shell("ip addr del 10.77.0.1/24 dev va; ip addr add 10.77.0.9/24 dev va");
    CU_ASSERT(!follows(a, NEVER_MS));
    shell("ip addr del 10.77.0.9/24 dev va; ip addr add 10.77.0.3/24 dev va");
    CU_ASSERT(follows(a, SOON_MS));
    CU_ASSERT(net_local_address(a).s_addr == ip("10.77.0.3").s_addr);
    net_close(a);
    spaces_free();
}

/* An MTU that has no room for the packets: cut by the kernel, one by one. When
 * there is room again, they leave as segments again. */
static void test_narrow_interface(void)
{
    CU_ASSERT_FATAL(spaces_make());
    struct net *b = multicast_open(spaces.b, 0, "239.192.7.1");
    struct net *a = multicast_open(spaces.a, 0, "239.192.7.1");
    multicast_burst(a, b, 8972);
    uint64_t calls_wide = net_stats_get(a)->send_calls;
    shell("ip link set va mtu 1500");
    CU_ASSERT(!follows(a, NEVER_MS));
    multicast_burst(a, b, 8972);
    CU_ASSERT(net_stats_get(a)->send_errors == 0);
    shell("ip link set va mtu 9000");
    CU_ASSERT(follows(a, SOON_MS));
    uint64_t before = net_stats_get(a)->send_calls;
    multicast_burst(a, b, 8972);
    CU_ASSERT(net_stats_get(a)->send_calls - before == calls_wide);
    net_close(a);
    net_close(b);
    spaces_free();
}

static const struct unit_test tests[] = {
    {"refuses wrong configuration", test_refuses},
    {"port in use", test_port_in_use},
    {"loopback only when meant", test_loopback_only_when_meant},
    {"all ways to send", test_all_ways},
    {"mixed sizes, offload", test_mixed_with_offload},
    {"mixed sizes, no offload", test_mixed_without_offload},
    {"order", test_order},
    {"flushes when full", test_flushes_when_full},
    {"discards, counts the kernel's drops", test_discard_and_drops},
    {"own node id", test_own_id},
    {"peers", test_peers},
    {"listed nodes", test_listed},
    /* The last ones need namespaces of their own. */
    {"multicast", test_multicast},
    {"interface lost", test_interface_lost},
    {"interface moved", test_interface_moved},
    {"interface moved off the list of nodes", test_moved_off_the_list},
    {"interface with a lower MTU", test_narrow_interface},
};
enum { TEST_COUNT = sizeof tests / sizeof *tests, TEST_NAMESPACED = 5 };

/* Whether this process may make network namespaces: tried in a child. */
static bool may_unshare(void)
{
    return system("unshare -n ip link set lo up 2>/dev/null") == 0;
}

int main(void)
{
    if (may_unshare())
        return unit_main("net", tests, TEST_COUNT);
    int status = unit_main("net", tests, TEST_COUNT - TEST_NAMESPACED);
    printf("SKIP multicast, interfaces that move: network namespaces need root "
           "and iproute2\n");
    if (status == 0)
        printf("%d passed, 0 failed, %d skipped\n",
               TEST_COUNT - TEST_NAMESPACED, TEST_NAMESPACED);
    return status;
}
