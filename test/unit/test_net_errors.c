// SPDX-License-Identifier: BSD-3-Clause
/* test_net_errors.c - what the kernel says of datagrams that were sent, and
 * what of it is believed. */
#include "test/unit/net_box.h"

/* --- errors --------------------------------------------------------------- */

/* The next send is told of an ICMP packet. */
static void kernel_refuse(int code)
{
    fail_code = code;
    fail_times = 1;
}

/* What a send that is told of it leaves to be known. */
static uint32_t next_unreachable(struct net *n)
{
    net_commit_node(n, put(n, 99, 50), 3);
    net_flush(n);
    return net_unreachable_next(n);
}

static void test_unreachable(void)
{
    struct net *n[NODE_MAX];
    cluster_open(n, false);
    net_close(n[1]);
    n[1] = NULL;
    CU_ASSERT(net_unreachable_next(n[0]) == 0);
    net_commit_node(n[0], put(n[0], 0, 100), 2);
    net_flush(n[0]);
    CU_ASSERT(refused(n[0])); /* it now waits on the socket */
    net_commit_node(n[0], put(n[0], 1, 100), 3);
    net_flush(n[0]);
    CU_ASSERT(take_is(n[2], NET_TOKEN, 1, 100));
    CU_ASSERT(net_stats_get(n[0])->send_errors == 0);
    CU_ASSERT(net_unreachable_next(n[0]) == 2);
    CU_ASSERT(net_unreachable_next(n[0]) == 0);

    /* Noticed by receiving, too; and afterwards the socket is at rest. */
    for (int i = 0; i < 5; i++)
        net_commit_node(n[0], put(n[0], 2, 100), 2);
    net_flush(n[0]);
    CU_ASSERT(refused(n[0]));
    struct pollfd p = {.fd = net_fd(n[0], NET_TOKEN), .events = POLLIN};
    CU_ASSERT(poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0);
    CU_ASSERT(net_receive(n[0], NET_TOKEN) == 0);
    CU_ASSERT(poll(&p, 1, 0) == 0);
    CU_ASSERT(net_unreachable_next(n[0]) == 2);
    CU_ASSERT(net_unreachable_next(n[0]) == 0);

    /* A datagram that waits behind the error is not lost. */
    net_commit_node(n[0], put(n[0], 3, 100), 2);
    net_flush(n[0]);
    net_commit_node(n[2], put(n[2], 4, 100), 1);
    net_flush(n[2]);
    CU_ASSERT(refused(n[0]));
    CU_ASSERT(take_is(n[0], NET_TOKEN, 4, 100));
    cluster_close(n);
}

static void send_ten(struct net *n)
{
    for (uint32_t i = 0; i < 10; i++)
        net_commit_node(n, put(n, i, 1000), 2);
    net_flush(n);
}

static void take_ten(struct net *n)
{
    for (uint32_t i = 0; i < 10; i++)
        CU_ASSERT_FATAL(take_is(n, NET_TOKEN, i, 1000));
}

static void expect_ten(struct net *n)
{
    take_ten(n);
    CU_ASSERT(quiet(n, NET_TOKEN));
}

static void test_segmentation_refused(void)
{
    static const int codes[] = {EIO, EINVAL, EOPNOTSUPP};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct net *n[NODE_MAX];
        cluster_open(n, false);
        kernel_fail(codes[i], 1000);
        fail_segmented = true;
        send_ten(n[0]);
        CU_ASSERT(calls < 6);
        expect_ten(n[1]);
        unsigned before = calls;
        send_ten(n[0]);
        CU_ASSERT(calls == before + 1); /* it remembers */
        expect_ten(n[1]);
        CU_ASSERT(net_stats_get(n[0])->send_errors == 0);
        cluster_close(n);
    }
}

static void test_transient_errors(void)
{
    static const int codes[] = {EINTR,  EAGAIN,       ENOBUFS,
                                ENOMEM, ECONNREFUSED, EHOSTUNREACH};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        for (int limit = 0; limit < 2; limit++) {
            struct net *n[NODE_MAX];
            cluster_open(n, limit == 1);
            /* Once: a second wait for room is granted only in time. */
            kernel_fail(codes[i], 1);
            send_limit = (unsigned)limit * 3;
            send_ten(n[0]);
            expect_ten(n[1]);
            CU_ASSERT(net_stats_get(n[0])->send_errors == 0);
            CU_ASSERT(net_stats_get(n[0])->sent_datagrams == 10);
            cluster_close(n);
        }
}

/* An error that lasts: what is gathered is dropped and counted, in bounded
 * time, and the next flush starts afresh. */
static void test_lasting_errors(void)
{
    static const int codes[] = {EAGAIN, ENOBUFS, ENETDOWN, ENETUNREACH, EPERM};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct net *n[NODE_MAX];
        cluster_open(n, false);
        kernel_fail(codes[i], 1000000);
        send_ten(n[0]);
        CU_ASSERT(net_stats_get(n[0])->send_errors == 10);
        CU_ASSERT(net_stats_get(n[0])->sent_datagrams == 0);
        if (codes[i] != EAGAIN) /* then poll() would wait, but sees room */
            CU_ASSERT(calls < 40);
        kernel_heal();
        send_ten(n[0]);
        CU_ASSERT(calls == 1); /* segmentation was not blamed */
        expect_ten(n[1]);
        cluster_close(n);
    }
}

/* Node 1 sends a token to node 2; somebody says that it was refused. */
static void token_refused(struct net *n, struct in_addr offender, uint16_t port,
                          uint32_t quoted, size_t size)
{
    net_commit_node(n, put(n, 1, 108), 2);
    net_flush(n);
    said.to = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_addr = addresses[1],
                                   .sin_port = htons(port)};
    said.offender = offender;
    said.type = ICMP_DEST_UNREACH;
    said.code = ICMP_PORT_UNREACH;
    said.size = size;
    for (size_t i = 0; i < size; i++)
        said.quote[i] = byte_at(quoted, i);
    said.times = 1;
    kernel_refuse(ECONNREFUSED);
}

/* Who says it, and what he quotes, must be right; another ICMP packet is no
 * refusal. */
static void test_refusal_is_proven(void)
{
    uint16_t port = (uint16_t)(port_base() + 1);
    struct net *n[NODE_MAX];
    cluster_open(n, false);
    struct in_addr there = addresses[1], elsewhere = addresses[2];
    token_refused(n[0], there, port, 1, 108);
    CU_ASSERT(next_unreachable(n[0]) == 2);
    token_refused(n[0], there, port, 1, 64); /* a host may quote less */
    CU_ASSERT(next_unreachable(n[0]) == 2);
    token_refused(n[0], elsewhere, port, 1, 108);
    CU_ASSERT(next_unreachable(n[0]) == 0);
    token_refused(n[0], there, port, 2, 108);
    CU_ASSERT(next_unreachable(n[0]) == 0);
    token_refused(n[0], there, port, 1, 63);
    CU_ASSERT(next_unreachable(n[0]) == 0);
    token_refused(n[0], there, port, 1, 0);
    CU_ASSERT(next_unreachable(n[0]) == 0);
    token_refused(n[0], there, port_base(), 1, 108);
    CU_ASSERT(next_unreachable(n[0]) == 0);
    token_refused(n[0], there, port, 1, 108);
    said.code = ICMP_HOST_UNREACH;
    CU_ASSERT(next_unreachable(n[0]) == 0);
    token_refused(n[0], there, port, 1, 108);
    said.type = ICMP_TIME_EXCEEDED;
    CU_ASSERT(next_unreachable(n[0]) == 0);
    CU_ASSERT(net_stats_get(n[0])->errors_ignored == 7);
    cluster_close(n);
}

/* The packet that counts is the last to that node. */
static void test_refusal_of_the_last(void)
{
    struct net *n[NODE_MAX];
    cluster_open(n, false);
    uint16_t port = (uint16_t)(port_base() + 1);
    token_refused(n[0], addresses[1], port, 1, 108);
    kernel_heal();
    net_commit_node(n[0], put(n[0], 7, 108), 2);
    net_commit_node(n[0], put(n[0], 8, 108), 3);
    net_flush(n[0]);
    said.times = 1;
    kernel_refuse(ECONNREFUSED);
    CU_ASSERT(next_unreachable(n[0]) == 0);
    for (size_t i = 0; i < 108; i++)
        said.quote[i] = byte_at(7, i);
    said.times = 1;
    kernel_refuse(ECONNREFUSED);
    CU_ASSERT(next_unreachable(n[0]) == 2);

    /* A node that is known anew was sent nothing yet. */
    struct sockaddr_in moved = said.to;
    moved.sin_addr = addresses[2];
    net_peer_learn(n[0], 2, &moved);
    net_peer_learn(n[0], 2, &said.to);
    said.times = 1;
    kernel_refuse(ECONNREFUSED);
    CU_ASSERT(next_unreachable(n[0]) == 0);
    cluster_close(n);
}

/* ICMP packets of any kind, many of them, are reported in the place of sends:
 * what was to be sent leaves all the same, and segmentation is not blamed. */
static void test_blame(void)
{
    static const int codes[] = {ECONNREFUSED, EHOSTUNREACH, EMSGSIZE,
                                ENOPROTOOPT,  EOPNOTSUPP,   EPROTO};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct net *n[NODE_MAX];
        cluster_open(n, false);
        kernel_fail(codes[i], 50);
        said.with_failure = 20;
        send_ten(n[0]);
        expect_ten(n[1]);
        CU_ASSERT(net_stats_get(n[0])->send_errors == 0);
        unsigned before = calls;
        send_ten(n[0]);
        CU_ASSERT(calls == before + 1);
        expect_ten(n[1]);
        cluster_close(n);
    }
}

/* Segmentation that was given up is tried again some time: after a few thousand
 * sends, so that none of them may wait for silence. */
static void test_segmentation_again(void)
{
    struct net *n[NODE_MAX];
    cluster_open(n, false);
    kernel_fail(EIO, 3);
    fail_segmented = true;
    send_ten(n[0]);
    expect_ten(n[1]);
    CU_ASSERT(fail_times == 0);
    kernel_fail(EIO, 3);
    fail_segmented = true;
    for (int i = 0; i < 10000 && fail_times == 3; i++) {
        send_ten(n[0]);
        take_ten(n[1]);
    }
    CU_ASSERT(fail_times == 0);
    CU_ASSERT(quiet(n[1], NET_TOKEN));
    cluster_close(n);
}

static const struct unit_test tests[] = {
    {"unreachable nodes", test_unreachable},
    {"a refusal is proven", test_refusal_is_proven},
    {"a refusal of the last packet", test_refusal_of_the_last},
    {"the blame of ICMP packets", test_blame},
    {"segmentation refused", test_segmentation_refused},
    {"segmentation tried again", test_segmentation_again},
    {"transient errors", test_transient_errors},
    {"lasting errors", test_lasting_errors},
};
UNIT_MAIN("net errors", tests)
