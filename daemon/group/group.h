/* SPDX-License-Identifier: BSD-3-Clause */
/* group.h - messages in packets: packing, fragments, reassembly.
 *
 * Pure. Several small messages share a packet; a message larger than what is
 * left of a packet is cut in fragments, which follow each other in the sender's
 * stream. A configuration that changes while a message is half sent drops the
 * fragments at every receiver, and the sender begins that message again: all or
 * nothing. Owner: protocol thread. Layout of items: doc/wire.md. */
#ifndef DAEMON_GROUP_GROUP_H
#define DAEMON_GROUP_GROUP_H

#include "daemon/base/bytes.h"
#include "daemon/totem/totem.h"

struct group_config {
    uint32_t node_id;
    uint32_t node_max;         /* senders that may be in fragments at once */
    uint32_t message_size_max; /* bytes, service header included */
};

/* A message: its parts are sent one behind the other. The parts are borrowed
 * until group_put() says DONE, and must not change between PARTIALs. */
struct group_message {
    uint8_t service; /* GROUP_SERVICE_... of the receiver */
    bool safe;
    const struct bytes *parts;
    uint32_t part_count;
};

enum {
    GROUP_SERVICE_TEST = 0, /* the simulator's */
    GROUP_SERVICE_EVS = 1,
    GROUP_SERVICE_CLM = 3,
    GROUP_SERVICE_CKPT = 4,
    /* What a service may put in front of a message of the largest size. */
    GROUP_SERVICE_HEADER_MAX = 8448
};

enum group_put_result {
    GROUP_PUT_DONE,    /* all of it is in packets of this visit (or before) */
    GROUP_PUT_PARTIAL, /* visit is full; call again with it at the next one */
    GROUP_PUT_TOO_BIG  /* over message_size_max; nothing was sent */
};

struct group_event {
    enum { GROUP_EVENT_MESSAGE, GROUP_EVENT_CONFIGURATION } kind;
    union {
        struct {
            uint32_t sender;
            uint64_t seq; /* of the packet that completed it */
            uint8_t service;
            bool safe;
            struct bytes data; /* borrowed until the next group_receive() */
        } message;
        const struct totem_configuration *configuration;
    };
};

struct group;

struct group *group_new(const struct group_config *config);
void group_free(struct group *g);

/* Puts `m` in the packets of the visit that is open in `t`. After PARTIAL the
 * next call must be for the same message (a message under way blocks others),
 * and the visit is full. Call group_flush() before VISIT_END. */
enum group_put_result group_put(struct group *g, struct totem *t,
                                const struct group_message *m);

/* Commits the packet that is being filled, if any. */
void group_flush(struct group *g, struct totem *t);

/* True when a message is half sent: the next group_put() goes on with it. */
bool group_is_partial(const struct group *g);

/* The half-sent message will never be continued (its client died): receivers
 * are told at the next put to drop what they have of it. */
void group_abandon(struct group *g);

/* Takes one event of totem's output (STATE and MISMATCH are ignored); then call
 * group_next() until it gives false. */
void group_receive(struct group *g, const struct totem_event *event);
bool group_next(struct group *g, struct group_event *event);

struct group_stats {
    uint64_t messages_sent, messages_delivered, fragments_sent;
    uint64_t dropped_partial;   /* messages cut by a configuration change */
    uint64_t dropped_malformed; /* items that made no sense */
};
const struct group_stats *group_stats_get(const struct group *g);

#endif
