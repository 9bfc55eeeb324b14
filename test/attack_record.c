/* SPDX-License-Identifier: BSD-3-Clause */
/* attack_record.c - what anyone on the network overhears, kept for later. */
#include "test/attack.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

/* In front of each datagram in the file, in this host's byte order. */
struct record_head {
    uint32_t source, destination; /* network order, as on the wire */
    uint16_t source_port, destination_port;
    uint32_t size;
};

/* Keeps the datagram in an IPv4 packet if it is to the daemons' ports. */
static bool packet_keep(FILE *f, const uint8_t *packet, size_t size)
{
    struct iphdr ip;
    struct udphdr udp;
    if (size < sizeof ip)
        return false;
    memcpy(&ip, packet, sizeof ip);
    size_t head = ip.ihl * 4u;
    if (ip.version != 4 || ip.protocol != IPPROTO_UDP ||
        size < head + sizeof udp)
        return false;
    memcpy(&udp, packet + head, sizeof udp);
    uint16_t port = ntohs(udp.dest);
    size_t length = ntohs(udp.len);
    if ((port != PORT_DATA && port != PORT_TOKEN) || length < sizeof udp ||
        size < head + length)
        return false;
    struct record_head h = {.source = ip.saddr,
                            .destination = ip.daddr,
                            .source_port = udp.source,
                            .destination_port = udp.dest,
                            .size = (uint32_t)(length - sizeof udp)};
    if (fwrite(&h, sizeof h, 1, f) != 1 ||
        fwrite(packet + head + sizeof udp, h.size, 1, f) != 1)
        die("record");
    return true;
}

/* What the host here sends counts, too: ETH_P_IP alone would leave it out. */
int attack_record(const struct attack_options *o)
{
    static uint8_t packet[PACKET_SIZE_MAX];
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
    FILE *f = fopen(o->file, "wb");
    struct timeval wait = {.tv_usec = 100000};
    if (fd < 0 || f == NULL ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0)
        die("record");
    uint64_t end = clock_ns() + o->seconds * 1000000000, kept = 0;
    while (clock_ns() < end && kept < o->count) {
        ssize_t n = recv(fd, packet, sizeof packet, 0);
        if (n > 0 && packet_keep(f, packet, (size_t)n))
            kept++;
    }
    if (fclose(f) != 0)
        die(o->file);
    printf("%llu packets overheard\n", (unsigned long long)kept);
    return kept > 0 ? 0 : 1;
}

static bool recorded_read(FILE *f, struct recorded *r)
{
    struct record_head h;
    if (fread(&h, sizeof h, 1, f) != 1 || h.size > PACKET_SIZE_MAX)
        return false;
    *r = (struct recorded){.source = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = h.source,
                                      .sin_port = h.source_port},
                           .destination = {.sin_family = AF_INET,
                                           .sin_addr.s_addr = h.destination,
                                           .sin_port = h.destination_port},
                           .size = h.size,
                           .data = malloc(h.size + 1)};
    return r->data != NULL && fread(r->data, h.size, 1, f) == 1;
}

struct recording *recording_read(const char *path, struct in_addr source)
{
    struct recording *all = calloc(1, sizeof *all);
    FILE *f = fopen(path != NULL ? path : "", "rb");
    struct recorded r;
    if (all == NULL || f == NULL)
        die("recording");
    while (all->count < RECORDING_MAX && recorded_read(f, &r)) {
        if (source.s_addr == 0 || source.s_addr == r.source.sin_addr.s_addr)
            all->packets[all->count++] = r;
        else
            free(r.data);
    }
    fclose(f);
    if (all->count == 0) {
        fprintf(stderr, "attack: %s has nothing of that source\n", path);
        exit(2);
    }
    return all;
}

void recording_free(struct recording *all)
{
    for (size_t i = 0; all != NULL && i < all->count; i++)
        free(all->packets[i].data);
    free(all);
}
