/* SPDX-License-Identifier: BSD-3-Clause */
/* attack.h - what somebody does who is on the network and has no key: what the
 * parts of `attack` share. */
#ifndef TEST_ATTACK_H
#define TEST_ATTACK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PORT_DATA = 5405,
    PORT_TOKEN = 5406,
    PACKET_SIZE_MAX = 65536,
    RECORDING_MAX = 4096 /* packets */
};

/* What the command line says; 0 and NULL: not given. */
struct attack_options {
    struct in_addr to;       /* who is attacked */
    struct in_addr from;     /* the source that packets claim */
    struct in_addr peer;     /* the other daemon that it is about */
    uint16_t port;           /* of `to` */
    uint64_t seconds, count; /* how long; how many packets at most */
    uint64_t rate;           /* packets a second; 0: as many as can be */
    size_t size;             /* of a packet, bytes */
    unsigned code, mtu;      /* of an ICMP packet */
    const char *kind, *file;
};

/* A datagram that was overheard. */
struct recorded {
    struct sockaddr_in source, destination;
    size_t size;
    uint8_t *data;
};

struct recording {
    size_t count;
    struct recorded packets[RECORDING_MAX];
};

/* Each gives the program's exit status. */
int attack_record(const struct attack_options *o);
int attack_icmp(const struct attack_options *o);
int attack_flood(const struct attack_options *o);
int attack_relay(const struct attack_options *o);

/* The datagrams in a file that attack_record() wrote, of one source, or of any
 * (0). At least one, or the program ends. */
struct recording *recording_read(const char *path, struct in_addr source);
void recording_free(struct recording *all); /* NULL is fine */

/* CLOCK_MONOTONIC. */
uint64_t clock_ns(void);

/* Waits until packet number `sent` is due at that rate. */
void pace(uint64_t start_ns, uint64_t sent, uint64_t rate);

uint32_t random_next(void);
void random_fill(uint8_t *at, size_t size);

/* A UDP socket that sends from any address, its own or not, with the port of
 * the daemons' token. */
int socket_from(struct in_addr address);

__attribute__((noreturn)) void die(const char *what);

#endif
