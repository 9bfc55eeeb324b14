/* SPDX-License-Identifier: BSD-3-Clause */
/* server.h - the daemon's clients: admission, rings, requests, deliveries.
 *
 * The admission thread (its own, started by server_open) accepts connections,
 * reads credentials, makes the segment and notices hang-ups; it hands clients
 * over and takes them back through a queue. Everything below but server_open
 * and server_close belongs to the protocol thread.
 *
 * A client's submit ring is its send queue. Requests that need no order (join,
 * leave) are answered as soon as they are at the head of the ring;
 * multicasts wait there for the token's visit. Queries, which only read, have a
 * ring of their own to an ipc worker (worker.h). */
#ifndef DAEMON_SERVER_SERVER_H
#define DAEMON_SERVER_SERVER_H

#include "daemon/group/group.h"
#include "ipc/clm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SERVER_WORKERS_MAX = 16 };

enum server_slow_reader {
    SERVER_SLOW_PRESSURE,  /* what it sends waits until it has read */
    SERVER_SLOW_DISCONNECT /* nothing is held back */
};

/* The memory that checkpoints may come to take, beside what counts
 * (ckpt_bytes_max): so many tenths of that, and so many MiB. Measured by unit
 * ckpt_memory, with what costs most. */
enum { SERVER_CKPT_FACTOR = 22, SERVER_CKPT_MORE_MIB = 128 };

struct server_config {
    uint32_t node_id;
    struct ipc_clm_node self; /* see clm_config */
    const char *run_dir;      /* made if missing; the socket is in it */
    bool group_known;         /* is there a group ais? */
    gid_t group;              /* its members may connect; uid 0 always may */
    uint32_t client_max;
    /* Of one user other than root; 0: no limit of its own. */
    uint32_t uid_client_max;
    uint64_t uid_bytes_max; /* rings, and what is used of overflows */
    uint32_t submit_ring_bytes, event_ring_bytes; /* powers of two */
    uint32_t overflow_bytes; /* per client, beyond the event ring; rounded up
                                to a power of two; 0: none */
    enum server_slow_reader slow_reader; /* with events in its overflow; either
                                  is disconnected when that is full */
    uint32_t message_size_max;           /* a client's message, bytes */
    uint32_t packet_size;    /* payload of a packet: for server_backlog() */
    uint32_t ckpt_count_max; /* checkpoints; see ckpt_config */
    uint64_t ckpt_bytes_max;
    uint32_t ckpt_user_handle_max, ckpt_user_count_max; /* as uid_client_max */
    bool ckpt_safe;
    bool ckpt_direct;      /* clients read the arena */
    uint32_t worker_count; /* 1 to SERVER_WORKERS_MAX */
    uint32_t spin_ns; /* workers and clients, before they sleep; 0: never */
};

struct server;

/* 0 or -errno with a sentence in `error`. A socket left by a dead daemon is
 * replaced, that of a living one is -EADDRINUSE. */
int server_open(struct server **out, const struct server_config *config,
                char *error, size_t error_size);

/* Disconnects every client (each sees the end at once), ends the threads. */
void server_close(struct server *s);

/* To be polled for reading; then server_poll(). Doorbells of clients, and the
 * admission thread's messages. */
int server_fd(const struct server *s);

/* Takes new and gone clients, answers requests that stand at the heads of the
 * rings of clients that rang. */
void server_poll(struct server *s);

/* A visit is open in `t`: moves multicasts, the services' own first, then those
 * in the rings, into packets, round
 * robin over the clients (a bounded number of bytes each in turn), until the
 * visit is full or the rings are empty; answers requests on the way; ends with
 * group_flush(). */
void server_take(struct server *s, struct group *g, struct totem *t);

/* Packets' worth of multicasts waiting in the rings, and of the services' own
 * messages, estimated. */
uint32_t server_backlog(const struct server *s);

/* Hands a message or configuration to the clients it concerns. */
void server_deliver(struct server *s, const struct group_event *event);

/* This node's address, as text, is another one from now on. */
void server_address_set(struct server *s, const char *address);

/* Wakes the clients that sleep and got something since the last call: one
 * wake-up per client, however many messages. */
void server_flush(struct server *s);

/* What time it is (CLOCK_MONOTONIC): before deliveries, and when it is due.
 * Bells that rang for nothing are listened to again.
 * What expires is then in server_backlog(). */
void server_time(struct server *s, uint64_t now_ns);

/* Frees some more of what was deleted, and gives back memory that is not used.
 */
void server_clean(struct server *s, uint64_t now_ns);

/* When one of these is due. UINT64_MAX: never. */
uint64_t server_wake_ns(const struct server *s, uint64_t now_ns);

/* Has a client something that was not answered yet? The other way to wait for
 * it, awake. *places: how many rings were looked at, is added to. */
bool server_look(struct server *s, uint32_t *places);

/* Before the protocol thread sleeps in a state in which a client's submission
 * must wake it: asks every active client to ring, and answers requests it comes
 * by. If `doze`, a client that submitted something without a reply need ring
 * only when it is itself about to wait.
 *
 * SERVER_BUSY (0): something has come meanwhile; do not sleep, look at
 * server_backlog(), and arm again (the next call is not BUSY unless yet more
 * has come). A client whose ring begins with a multicast that an earlier call
 * has told of is left as it is: nothing of it can be served before a visit.
 * SERVER_DOZES: there are clients that need not ring at once; look again soon.
 * SERVER_SLEEPS: whoever has something rings. */
enum server_rest { SERVER_BUSY, SERVER_DOZES, SERVER_SLEEPS };
enum server_rest server_arm(struct server *s, bool doze);

struct server_stats {
    uint64_t clients_now, clients_total, refused, corrupt, overflowed;
    uint64_t submitted, delivered, doorbells, hushed, wakes;
    uint64_t malformed; /* messages that made no sense; dropped */
    uint64_t queries, query_corrupt, query_doorbells, query_wakes,
        query_sleeps; /* the ipc workers' */
};
const struct server_stats *server_stats_get(struct server *s);

/* One of them, without the other threads' counts: cheap at every round. */
uint64_t server_submitted(const struct server *s);

#endif
