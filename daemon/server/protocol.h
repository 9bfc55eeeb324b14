/* SPDX-License-Identifier: BSD-3-Clause */
/* protocol.h - the protocol thread: carries the core's outputs to the network
 * and the clients, and their inputs to the core. Owner of all it is given. */
#ifndef DAEMON_SERVER_PROTOCOL_H
#define DAEMON_SERVER_PROTOCOL_H

#include "config/config.h"
#include "daemon/crypto/seal.h"
#include "daemon/group/group.h"
#include "daemon/loop/loop.h"
#include "daemon/net/net.h"
#include "daemon/server/ringstate.h"
#include "daemon/server/server.h"
#include "daemon/totem/totem.h"

/* Made by main.c; each outlives protocol_run(). */
struct protocol_parts {
    const struct config *config;
    struct loop *loop;
    struct net *net;
    struct seal *seal;
    struct totem *totem;
    struct group *group;
    struct server *server;
    struct ringstate *ringstate;
    uint32_t spin_ns; /* before it sleeps, if clients may go on; 0: never */
    int signal_fd; /* SIGTERM, SIGINT: leave; SIGUSR1: statistics to the log */
    int generation_fd; /* generation_open(), or negative */
};

/* Runs until SIGTERM or SIGINT has come and the leave has been announced. 0, or
 * -errno when the loop cannot be set up. */
int protocol_run(const struct protocol_parts *parts);

#endif
