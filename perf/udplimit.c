/* SPDX-License-Identifier: BSD-3-Clause */
/* udplimit - what multicast over UDP does here without any protocol: packets a
 * second that were sent, or that came. The limit beside our own figures.
 *
 *     udplimit ADDRESS SECONDS receive       ADDRESS: the own interface's
 *     udplimit ADDRESS SECONDS send          one packet a datagram
 *     udplimit ADDRESS SECONDS segment       44 of them, cut by the kernel */
#include "test/evsclient.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PACKET = 1472, BATCH = 64, SEGMENTS = 44, PORT = 5499 };

static const char group[] = "226.94.1.99";

static int fail(const char *what)
{
    perror(what);
    exit(1);
}

static int open_socket(struct in_addr local, struct sockaddr_in *to)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), off = 0;
    if (s < 0)
        fail("socket");
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT)};
    inet_pton(AF_INET, group, &to->sin_addr);
    if (setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &local, sizeof local) < 0 ||
        setsockopt(s, IPPROTO_IP, IP_MULTICAST_LOOP, &off, sizeof off) < 0)
        fail("multicast");
    return s;
}

static void print(uint64_t packets, uint64_t ns)
{
    printf("{\"packets\": %" PRIu64 ", \"packets_per_s\": %.0f, "
           "\"mb_per_s\": %.1f}\n",
           packets, (double)packets / seconds(ns),
           (double)packets * PACKET / seconds(ns) / 1e6);
}

static void receive(int s, struct in_addr local, const struct sockaddr_in *to,
                    uint64_t run_ns)
{
    static uint8_t buffers[BATCH][65536];
    struct ip_mreq member = {to->sin_addr, local};
    struct timeval timeout = {0, 100000};
    struct mmsghdr messages[BATCH] = {{{0}, 0}};
    struct iovec parts[BATCH];
    int on = 1, size = 8 << 20;
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(s, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    if (bind(s, (const struct sockaddr *)to, sizeof *to) < 0 ||
        setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member) <
            0)
        fail("receive");
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){buffers[i], sizeof buffers[i]};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    uint64_t end_ns = now_ns() + run_ns, first_ns = 0, last_ns = 0, bytes = 0;
    while (now_ns() < end_ns) {
        int n = recvmmsg(s, messages, BATCH, MSG_WAITFORONE, NULL);
        if (n <= 0)
            continue;
        last_ns = now_ns();
        if (first_ns == 0)
            first_ns = last_ns;
        for (int i = 0; i < n; i++)
            bytes += messages[i].msg_len;
    }
    print(bytes / PACKET, last_ns - first_ns + 1);
}

static void send_all(int s, const struct sockaddr_in *to, uint64_t run_ns,
                     size_t size)
{
    static uint8_t payload[SEGMENTS * PACKET];
    struct sockaddr_in address = *to;
    struct mmsghdr messages[BATCH] = {{{0}, 0}};
    struct iovec part = {payload, size};
    for (int i = 0; i < BATCH; i++) {
        messages[i].msg_hdr.msg_iov = &part;
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &address;
        messages[i].msg_hdr.msg_namelen = sizeof address;
    }
    uint64_t begin_ns = now_ns(), packets = 0;
    while (now_ns() - begin_ns < run_ns) {
        int n = sendmmsg(s, messages, size > PACKET ? 1 : BATCH, 0);
        if (n > 0)
            packets += (uint64_t)n * (size / PACKET);
    }
    print(packets, now_ns() - begin_ns);
}

int main(int argc, char **argv)
{
    struct in_addr local;
    struct sockaddr_in to;
    int segment = PACKET;
    if (argc != 4 || inet_pton(AF_INET, argv[1], &local) != 1) {
        fputs("usage: udplimit ADDRESS SECONDS receive|send|segment\n", stderr);
        return 2;
    }
    uint64_t run_ns = seconds_arg("SECONDS", argv[2]);
    int s = open_socket(local, &to);
    if (strcmp(argv[3], "receive") == 0) {
        receive(s, local, &to, run_ns);
    } else if (strcmp(argv[3], "segment") == 0) {
        if (setsockopt(s, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) <
            0)
            fail("UDP_SEGMENT");
        send_all(s, &to, run_ns, SEGMENTS * PACKET);
    } else {
        send_all(s, &to, run_ns, PACKET);
    }
    close(s);
    return 0;
}
