/* SPDX-License-Identifier: BSD-3-Clause */
/* evs.h - the EVS service: who has joined which group, the configuration.
 *
 * Pure; all memory is reserved by evs_new(). Owner: protocol thread. Joins are
 * local (no other node is told), so the service is a table from group to the
 * clients of this node, and a reader for messages.
 *
 * A message of GROUP_SERVICE_EVS, as it goes over the wire and as the client
 * library writes it (integers little-endian):
 *
 *     u8            count of groups, 0 .. 255
 *     count times:
 *       u8          length of the key, 0 .. 32
 *       length      the key's bytes; the rest of its 32 are zero
 *     rest          payload
 *
 * Zero bytes at the end of a key are left out: a group named by a short text
 * costs its length and one byte. A key that does end in a zero byte is accepted
 * and means the same. */
#ifndef DAEMON_SERVICE_EVS_H
#define DAEMON_SERVICE_EVS_H

#include "daemon/base/bytes.h"
#include "daemon/totem/totem.h"
#include "ipc/evs.h"

#include <stdbool.h>
#include <stdint.h>

struct evs_key {
    uint8_t bytes[IPC_GROUP_KEY_SIZE];
};

struct evs_config {
    uint32_t client_max;       /* clients are numbers below it */
    uint32_t subscription_max; /* joined groups of all clients together */
    uint64_t hash_seed; /* random, so that no one can choose collisions */
};

struct evs;

/* NULL when memory is short. */
struct evs *evs_new(const struct evs_config *config);
void evs_free(struct evs *e);

/* Joins all of `keys`, or none. A group joined already counts once.
 * IPC_ERR_TOO_MANY_GROUPS: more than 50 in the call, or more than 255 on the
 * client; IPC_ERR_NO_RESOURCES: the table is full. */
enum ipc_error evs_group_join(struct evs *e, uint32_t client,
                              const struct evs_key *keys, uint32_t count);

/* Leaves in the order of `keys`, up to the first that is not joined
 * (IPC_ERR_NOT_EXIST); *left: how many were left. */
enum ipc_error evs_group_leave(struct evs *e, uint32_t client,
                               const struct evs_key *keys, uint32_t count,
                               uint32_t *left);

/* Leaves everything (the client is gone). */
void evs_group_leave_all(struct evs *e, uint32_t client);

struct evs_message {
    struct bytes payload;    /* borrowed from the data that was read */
    const uint32_t *clients; /* each once; borrowed until the next read */
    uint32_t client_count;
};

/* Reads a message from a stranger and finds the clients it is for. False:
 * malformed, and *m is empty. */
bool evs_message_read(struct evs *e, struct bytes data, struct evs_message *m);

/* Keeps a copy of a configuration, if it is a regular one. */
void evs_configuration_set(struct evs *e, const struct totem_configuration *c);

/* The last regular configuration; NULL before the first. */
const struct totem_configuration *evs_configuration_get(const struct evs *e);

/* From any thread: copies groups that clients have joined, `max` at most, and
 * how many clients each has, from place `from` of the table on (0: its
 * beginning). Returns how many, perhaps none; *next: where to go on, 0: that
 * was all. Each entry is whole; groups joined or left meanwhile may be missing
 * or there. */
uint32_t evs_group_list(const struct evs *e, uint32_t from,
                        struct ipc_evs_group_info *list, uint32_t max,
                        uint32_t *next);

/* Subscriptions now; for tests and statistics. */
uint32_t evs_subscription_count(const struct evs *e);

#endif
