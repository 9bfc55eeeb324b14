/* SPDX-License-Identifier: BSD-3-Clause */
/* attack_relay.c - stands between a daemon that has just started and another.
 *
 * Plays what the peer once said to the victim from an address of its own, and
 * hands on what either says to it. If the victim takes this address for the
 * peer's, its tokens for the peer come here. It never sleeps: its way is longer
 * than the true peer's, which has to wake up first. */
#include "test/attack.h"

#include <arpa/inet.h>
#include <sys/socket.h>

enum {
    MAGIC_ONE = 0xA2, /* of a packet to one node: a token */
    EVERY_NS = 200000 /* between two replays */
};

static void say(int fd, struct in_addr to, const void *data, size_t size)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr = to, .sin_port = htons(PORT_TOKEN)};
    (void)sendto(fd, data, size, 0, (struct sockaddr *)&at, sizeof at);
}

struct caught {
    unsigned tokens;  /* of the victim, which are kept */
    unsigned answers; /* all else, of either; it is handed on */
};

/* Hands on what has come. */
static void hand_on(const struct attack_options *o, int fd, struct caught *c)
{
    static uint8_t packet[PACKET_SIZE_MAX];
    struct sockaddr_in source;
    socklen_t length = sizeof source;
    ssize_t n;
    while ((n = recvfrom(fd, packet, sizeof packet, MSG_DONTWAIT,
                         (struct sockaddr *)&source, &length)) > 0) {
        bool of_victim = source.sin_addr.s_addr == o->to.s_addr;
        bool token = of_victim && packet[0] == MAGIC_ONE;
        if (token)
            c->tokens++;
        else
            c->answers++;
        if (!token)
            say(fd, of_victim ? o->peer : o->to, packet, (size_t)n);
        length = sizeof source;
    }
}

int attack_relay(const struct attack_options *o)
{
    struct recording *heard = recording_read(o->file, o->peer);
    const struct recorded *last = &heard->packets[heard->count - 1];
    int fd = socket_from(o->from);
    uint64_t start = clock_ns(), next = start, now;
    struct caught caught = {0};
    say(fd, o->peer, "", 1); /* so that the way to it is known by then */
    while ((now = clock_ns()) - start < o->seconds * 1000000000) {
        if (now >= next) {
            say(fd, o->to, last->data, last->size);
            next = now + EVERY_NS;
        }
        hand_on(o, fd, &caught);
    }
    recording_free(heard);
    printf("%u tokens, %u answers\n", caught.tokens, caught.answers);
    return caught.tokens + caught.answers > 0 ? 1 : 0;
}
