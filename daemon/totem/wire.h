/* SPDX-License-Identifier: BSD-3-Clause */
/* wire.h - the protocol's packets, as structs and as bytes (doc/wire.md 4).
 *
 * A decoder reads the whole packet into a struct and refuses what cannot be:
 * counts over their maximum, lists that are not ascending, a wrong length. */
#ifndef DAEMON_TOTEM_WIRE_H
#define DAEMON_TOTEM_WIRE_H

#include "daemon/base/bytes.h"
#include "daemon/totem/accuse.h"
#include "daemon/totem/set.h"
#include "daemon/totem/totem.h"

#include <stdbool.h>
#include <stdint.h>

enum wire_kind {
    WIRE_DATA = 1,
    WIRE_TOKEN = 2,
    WIRE_JOIN = 3,
    WIRE_COMMIT = 4,
    WIRE_MERGE = 5, /* merge detection: this ring exists */
    WIRE_WAKE = 6,  /* to the holder of an idle token: let it go round */
    WIRE_LEAVE = 7,
    WIRE_PROBE = 8, /* to one node: does this reach you? */
    WIRE_ACK = 9    /* to one node: that probe, or token, was here before */
};

enum {
    WIRE_DATA_SIZE = 24,      /* header of a data packet */
    WIRE_RECOVERED_SIZE = 16, /* what a recovered packet has besides */
    WIRE_RTR_MAX = 128,
    WIRE_WINDOW_MIN = 8, /* packets */
    WIRE_TOKEN_SIZE_MAX = 80 + 8 * WIRE_RTR_MAX
};

/* No sequence number, of packets, hops or rings, ever comes near it; what does
 * is refused, and so no sum of one and a window wraps. */
#define WIRE_SEQ_MAX (UINT64_MAX / 4 * 3)

/* Every packet begins with its kind, flags and sender. */
struct wire_head {
    enum wire_kind kind;
    uint8_t flags;
    uint16_t packet_size_max; /* of who sends it now: see wire_stamp() */
    uint32_t sender;
};

struct wire_data {
    uint64_t ring_hash, seq;
    bool safe, recovered;
    /* recovered: the packet of the sender's old ring that it carries */
    uint64_t old_seq;
    uint32_t old_sender;
    bool old_safe;
    struct bytes payload;
};

struct wire_token {
    struct totem_ring_id ring_id;
    uint64_t token_seq; /* hops; tells a retransmitted token */
    uint64_t seq, aru;
    uint32_t aru_id;          /* who keeps aru low; 0: nobody */
    uint32_t backlog_packets; /* sum of what the members have waiting */
    uint32_t idle_hops;       /* hops in a row with nothing to do */
    bool retrans;             /* recovery: somebody has more to send again */
    uint32_t rtr_count;
    uint64_t rtr[WIRE_RTR_MAX];
};

struct wire_join {
    uint64_t incarnation, ring_seq;
    struct set proc, fail;
    struct set heard;               /* of proc: by anybody, in this gather */
    struct accusations accusations; /* by places in proc */
};

/* Says that a ring exists, and what its sender hears. It is as large as the
 * largest data packet, so that it arrives only where those do. */
struct wire_merge {
    struct totem_ring_id ring_id;
    struct set members;
    struct set heard;   /* whose merge messages the sender has heard lately */
    struct set refused; /* those it forms no ring with now */
    struct set refused_too; /* those that other members of its ring refuse */
};

/* A probe, or the answer to one or to a token that came again. */
struct wire_echo {
    uint64_t ring_hash; /* of a token's ring; 0: a probe */
    uint64_t number;    /* the token's hop; of a probe, its sender's time */
};

/* What a member tells of itself while the commit token collects. */
struct wire_commit_entry {
    uint32_t node_id;
    bool filled;
    uint64_t incarnation;
    struct totem_ring_id old_ring_id;
    uint64_t aru, high;      /* of the old ring's packets at this member */
    uint64_t safe;           /* known to be at all members of the old ring */
    uint32_t window_packets; /* what it has room for */
    uint8_t deliver[TOTEM_NODES_MAX / 8]; /* see struct ring */
};

struct wire_commit {
    struct totem_ring_id ring_id;
    uint64_t token_seq, first_seq;
    uint32_t count; /* entries ascend by node id */
    struct wire_commit_entry entries[TOTEM_NODES_MAX];
};

struct wire_leave {
    uint64_t incarnation, ring_seq;
};

bool wire_head_read(struct reader *r, struct wire_head *head);

bool wire_data_read(struct reader *r, const struct wire_head *head,
                    struct wire_data *data);
bool wire_token_read(struct reader *r, const struct wire_head *head,
                     struct wire_token *token);
bool wire_join_read(struct reader *r, const struct wire_head *head,
                    struct wire_join *join);
bool wire_commit_read(struct reader *r, struct wire_commit *commit);
bool wire_ring_id_read(struct reader *r, struct totem_ring_id *id);
bool wire_leave_read(struct reader *r, struct wire_leave *leave);
bool wire_merge_read(struct reader *r, struct wire_merge *merge);
bool wire_echo_read(struct reader *r, struct wire_echo *echo);

/* Each writes a whole packet, and gives its size; the room is large enough
 * (TOTEM_CONTROL_SIZE_MAX, or for data the store's packet). */
size_t wire_data_head_write(uint8_t *out, uint32_t sender,
                            const struct wire_data *data);
size_t wire_token_write(uint8_t *out, uint32_t sender,
                        const struct wire_token *token);
size_t wire_join_write(uint8_t *out, uint32_t sender,
                       const struct wire_join *join);
size_t wire_commit_write(uint8_t *out, uint32_t sender,
                         const struct wire_commit *commit);
/* Of at least size_min bytes. */
size_t wire_merge_write(uint8_t *out, uint32_t sender,
                        const struct wire_merge *merge, uint32_t size_min);
size_t wire_echo_write(uint8_t *out, enum wire_kind kind, uint32_t sender,
                       const struct wire_echo *echo, uint32_t size_min);
size_t wire_wake_write(uint8_t *out, uint32_t sender, uint64_t ring_hash);
size_t wire_leave_write(uint8_t *out, uint32_t sender,
                        const struct wire_leave *leave);

/* Writes into a packet how large its sender's data packets may be, bytes: a
 * ring's members must agree on it, so every packet says it. */
void wire_stamp(uint8_t *packet, uint32_t packet_size_max);

/* What data packets carry in place of the ring's identity. */
uint64_t wire_ring_hash(const struct totem_ring_id *id);

#endif
