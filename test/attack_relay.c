/* SPDX-License-Identifier: BSD-3-Clause */
/* attack_relay.c - stands between a daemon that has just started and another.
 *
 * Plays what the peer once said to the victim from an address of its own, and
 * hands on what either says to it. If the victim takes this address for the
 * peer's, its tokens for the peer come here. */
#include "test/attack.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

enum { MAGIC_ONE = 0xA2 }; /* of a packet to one node: a token */

static void say(int fd, struct in_addr to, const void *data, size_t size)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr = to, .sin_port = htons(PORT_TOKEN)};
    (void)sendto(fd, data, size, 0, (struct sockaddr *)&at, sizeof at);
}

/* Hands on what has come; gives how many tokens of the victim were among it. */
static unsigned hand_on(const struct attack_options *o, int fd)
{
    static uint8_t packet[PACKET_SIZE_MAX];
    struct sockaddr_in source;
    socklen_t length = sizeof source;
    unsigned tokens = 0;
    ssize_t n;
    while ((n = recvfrom(fd, packet, sizeof packet, MSG_DONTWAIT,
                         (struct sockaddr *)&source, &length)) > 0) {
        bool of_victim = source.sin_addr.s_addr == o->to.s_addr;
        if (of_victim && packet[0] == MAGIC_ONE)
            tokens++; /* kept */
        else
            say(fd, of_victim ? o->peer : o->to, packet, (size_t)n);
        length = sizeof source;
    }
    return tokens;
}

int attack_relay(const struct attack_options *o)
{
    struct recording *heard = recording_read(o->file, o->peer);
    const struct recorded *last = &heard->packets[heard->count - 1];
    int fd = socket_from(o->from);
    uint64_t start = clock_ns(), tokens = 0;
    say(fd, o->peer, "", 1); /* so that the way to it is known by then */
    while (clock_ns() - start < o->seconds * 1000000000) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        struct timespec wait = {.tv_nsec = 200000};
        say(fd, o->to, last->data, last->size);
        (void)ppoll(&p, 1, &wait, NULL);
        tokens += hand_on(o, fd);
    }
    printf("%llu tokens came here\n", (unsigned long long)tokens);
    return tokens > 0 ? 1 : 0;
}
