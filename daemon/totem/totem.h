/* SPDX-License-Identifier: BSD-3-Clause */
/* totem.h - the Totem single-ring protocol: order, membership, recovery.
 *
 * Pure: no clock, no system call, no allocation after totem_new(), no callback.
 * The driver (daemon/server/protocol.c, or the simulator) gives one input at a
 * time to totem_step() and carries out the output: packets to send, events to
 * hand on, the time of the next step. Owner: protocol thread.
 *
 * Messages are taken when the token is here. A step whose output says `visit`
 * has opened a visit; the driver first handles that output's sends and events,
 * then fills packets with totem_claim() and totem_commit() until it has nothing
 * more or totem_claim() gives NULL, and closes the visit with a VISIT_END step
 * (never skipped, and the next step always), whose output sends the packets and
 * passes the token.
 *
 * Sources: Amir, Moser, Melliar-Smith, Agarwal, Ciarfella, "The Totem
 * single-ring ordering and membership protocol" (1995), here "the paper";
 * Babay, Amir, "Fast total ordering for modern data centers" (2014). */
#ifndef DAEMON_TOTEM_TOTEM_H
#define DAEMON_TOTEM_TOTEM_H

#include "daemon/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOTEM_NODES_MAX = 128 };

/* Largest control packet (join, commit token) before sealing, bytes. */
enum { TOTEM_CONTROL_SIZE_MAX = 16384 };

/* A ring's identity. `nonce` is the representative's incarnation, so that an
 * identity is never used twice even if its sequence was lost with a disk. */
struct totem_ring_id {
    uint64_t seq;
    uint64_t nonce;
    uint32_t rep;
};

struct totem_config {
    uint32_t node_id;     /* not 0 */
    uint64_t incarnation; /* random, new at each start */
    uint64_t ring_seq;    /* no ring with a lower or equal seq is formed */
    uint64_t random_seed; /* jitter of the join timer */
    uint64_t
        first_seq; /* first message of a ring is this + 1; 0 but in tests */
    uint32_t packet_size_max; /* data packet before sealing, bytes, 256 ..
                               * 65535; the same at all members */
    uint32_t window_packets;  /* sent by all in one rotation, 8 .. 8192 */
    uint64_t token_ns, token_retransmit_ns, hold_ns, join_ns, consensus_ns;
    uint64_t merge_ns;
    uint32_t fail_recv_const; /* rotations */
};

/* --- input ------------------------------------------------------------- */

enum totem_in_kind {
    TOTEM_IN_START,       /* first step: begins to gather */
    TOTEM_IN_PACKET,      /* an opened packet from another node */
    TOTEM_IN_SUBMIT,      /* something is waiting to be sent */
    TOTEM_IN_TIMEOUT,     /* `wake_ns` of the last output has come */
    TOTEM_IN_VISIT_END,   /* the open visit has been filled */
    TOTEM_IN_UNREACHABLE, /* the system says `node_id` has no daemon now */
    TOTEM_IN_LEAVE        /* announces a graceful stop; nothing follows it */
};

struct totem_in {
    uint64_t now_ns; /* monotonic; never less than at the last step */
    enum totem_in_kind kind;
    struct bytes packet;      /* PACKET: borrowed for the step */
    uint32_t node_id;         /* PACKET: its proven sender; UNREACHABLE */
    uint32_t backlog_packets; /* VISIT_END: packets' worth left unsent */
};

/* --- output: valid until the next step or claim --------------------------- */

enum totem_to {
    TOTEM_TO_NODE, /* one member, on the token channel */
    TOTEM_TO_RING, /* the members of the ring */
    TOTEM_TO_ALL   /* whoever listens: joins, merge detection */
};

struct totem_send {
    enum totem_to to;
    uint32_t node_id; /* TO_NODE */
    struct bytes packet;
};

/* Lists ascend by node id. */
struct totem_configuration {
    struct totem_ring_id ring_id;
    bool transitional;
    uint32_t member_count, left_count, joined_count;
    uint32_t members[TOTEM_NODES_MAX];
    uint64_t incarnations[TOTEM_NODES_MAX]; /* of members; regular only */
    uint32_t left[TOTEM_NODES_MAX];
    uint32_t joined[TOTEM_NODES_MAX];
};

enum totem_state {
    TOTEM_STARTING, /* before TOTEM_IN_START */
    TOTEM_OPERATIONAL,
    TOTEM_GATHER,
    TOTEM_COMMIT,
    TOTEM_RECOVERY,
    TOTEM_LEFT
};

enum totem_event_kind {
    TOTEM_EVENT_MESSAGE,       /* a packet's payload, in its agreed place */
    TOTEM_EVENT_CONFIGURATION, /* transitional, then regular */
    TOTEM_EVENT_STATE,         /* for the log and the simulator's coverage */
    TOTEM_EVENT_MISMATCH,      /* another packet size: no ring with that node */
    TOTEM_EVENT_LINK           /* the way to a node, for the log */
};

enum totem_link_state {
    TOTEM_LINK_UNHEARD,  /* it and this node do not hear each other's joins */
    TOTEM_LINK_TOKEN,    /* it did not take tokens from this node */
    TOTEM_LINK_DATA,     /* it does not receive what the ring sends */
    TOTEM_LINK_LEFT_OUT, /* no ring with it, for `other` and it are apart */
    TOTEM_LINK_GOOD      /* probes have arrived, both ways, for a while */
};

struct totem_event {
    enum totem_event_kind kind;
    union {
        struct {
            uint32_t sender;
            uint64_t seq;
            bool safe;
            struct bytes payload;
        } message;
        const struct totem_configuration *configuration;
        struct {
            enum totem_state from, to;
            const char *reason; /* static text */
        } state;
        struct {
            uint32_t node_id;
            uint32_t packet_size_max; /* its, bytes */
        } mismatch;
        struct {
            uint32_t node_id;
            enum totem_link_state state;
            uint32_t other; /* LEFT_OUT; may be this node */
        } link;
    };
};

struct totem_out {
    const struct totem_send *sends; /* in this order */
    uint32_t send_count;
    const struct totem_event *events; /* in this order */
    uint32_t event_count;
    const uint32_t *ring; /* members that TOTEM_TO_RING means, this one too */
    uint32_t ring_count;
    bool visit;       /* a visit is open: fill it, then VISIT_END */
    uint64_t wake_ns; /* step again (TIMEOUT) by then; UINT64_MAX: never */
};

/* --- the machine -------------------------------------------------------- */

struct totem;

/* NULL when memory is short. About 2 * 4 * window_packets * packet_size_max
 * bytes, untouched until used. */
struct totem *totem_new(const struct totem_config *config);
void totem_free(struct totem *t);

void totem_step(struct totem *t, const struct totem_in *in,
                struct totem_out *out);

/* Within an open visit: room for the payload of the next packet, its size in
 * *size_max_bytes (constant for the life of `t`); NULL when the visit's share
 * is used up. A second claim without a commit gives the same room. */
uint8_t *totem_claim(struct totem *t, size_t *size_max_bytes);

/* The claimed packet is complete: `size_bytes` of payload, 1 .. maximum.
 * `safe`: deliver it only once every member has it. */
void totem_commit(struct totem *t, size_t size_bytes, bool safe);

/* True when a SUBMIT step would bring the token here sooner: the ring is idle,
 * the token held. False while the token circulates (it comes anyway), and while
 * there is no ring. */
bool totem_wants_submit(const struct totem *t);

enum totem_state totem_state_get(const struct totem *t);
const char *totem_state_name(enum totem_state state);

/* Highest ring sequence seen; what must survive a restart. */
uint64_t totem_ring_seq(const struct totem *t);

enum totem_drop { /* why a packet was dropped */
                  TOTEM_DROP_MALFORMED,
                  TOTEM_DROP_STALE,     /* another ring's, an earlier round's */
                  TOTEM_DROP_DUPLICATE, /* had it already */
                  TOTEM_DROP_WINDOW,    /* beyond what this node can store */
                  TOTEM_DROP_PACKET_SIZE, /* of a node with another
                                             packet_size_max */
                  TOTEM_DROP_SENDER,      /* it names another sender */
                  TOTEM_DROP_COUNT
};

struct totem_stats {
    uint64_t packets_sent, packets_received, retransmits_sent;
    uint64_t retransmits_asked, tokens_received, token_retransmits;
    uint64_t token_losses, gathers, rings_formed, holds;
    uint64_t dropped[TOTEM_DROP_COUNT];
};
const struct totem_stats *totem_stats_get(const struct totem *t);

#endif
