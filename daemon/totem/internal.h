/* SPDX-License-Identifier: BSD-3-Clause */
/* internal.h - the state of the machine, shared by the files of this folder.
 *
 * totem.c        inputs, timers, outputs
 * operational.c  the token's visit: retransmission, flow control, aru, holding
 * gather.c       joins, consensus, what makes a ring break up
 * links.c        nodes that cannot be in a ring with this one, and until when
 * commit.c       the commit token
 * recovery.c     exchange of the old rings' packets, installation
 * deliver.c      what goes up, in order */
#ifndef DAEMON_TOTEM_INTERNAL_H
#define DAEMON_TOTEM_INTERNAL_H

#include "daemon/totem/accuse.h"
#include "daemon/totem/set.h"
#include "daemon/totem/store.h"
#include "daemon/totem/totem.h"
#include "daemon/totem/wire.h"

enum {
    OLD_RINGS = 8,
    SENDS_BESIDES = 16 + 2 * TOTEM_NODES_MAX, /* probes, events of links */
    RTR_SERVED_MAX = 256,
    RTR_PATIENCE_NS = 2000000,
    CAME_ROUND_MAX = 2,
    EARLY_RETRANSMIT_NS = 5000000,
    LINGER_NS = 5000000,
    IDLE_HOPS_MAX = 1 << 20
};

/* One packet raises this node's ring sequence by no more, so that a peer that
 * went mad cannot use up all there are. */
static const uint64_t RING_SEQ_STEP_MAX = (uint64_t)1 << 32;

/* A ring: the one that is installed, or the one that is being formed. */
struct ring {
    struct totem_ring_id id;
    uint64_t hash;
    uint32_t window_packets; /* the smallest of its members' */
    struct set members;
    uint64_t incarnations[TOTEM_NODES_MAX]; /* by index in members */
    struct store store;
    uint64_t delivered; /* handed up, or passed over, up to here */
    uint64_t safe;      /* known to be at every member */

    /* Of the last token: what was passed on. */
    uint64_t token_seq, aru_sent, seq_sent;
    uint64_t token_ns, rotation_ns; /* when it came; since the time before */
    uint64_t packet_ns;             /* when the last packet was sent or came */
    uint64_t fastest_ns;            /* shortest rotation so far; 0: none yet */
    uint64_t seq_passed;            /* token.seq when it last left */
    uint32_t idle_hops, backlog_sent;
    bool idle; /* this visit had nothing to do, or only the sole sender had */
    uint32_t last_sender; /* of the highest packet seen; 0: none */

    /* The packet that the ring waits for, when it was left to others to send
     * again, and how often in a row the request came back unserved. */
    uint64_t left_seq, left_hop;
    uint32_t came_round;

    /* The aru that does not move, whose fault it is, since when. */
    uint64_t stuck_aru, stuck_since_ns;
    uint32_t stuck_id, stuck_rotations;

    /* By index in members: senders whose messages this node must deliver even
     * behind a gap, because in an earlier recovery that did not end here
     * another node may have delivered them so (the paper's my_deliver_memb). */
    uint8_t deliver[TOTEM_NODES_MAX / 8];
};

struct recovery {
    struct set trans;       /* members that come from our old ring */
    uint64_t max_aru, high; /* over trans */
    uint64_t safe;          /* highest known by one of trans */
    uint8_t deliver[TOTEM_NODES_MAX / 8]; /* obligations of trans, united */
    uint64_t next;         /* old packets below it are done with */
    bool retrans_mine;     /* this node set the token's retrans flag */
    uint32_t quiet_visits; /* in a row that saw the flag down */
    uint64_t install_seq;  /* token.seq at the first of them */
    uint64_t idle_seq;     /* token.seq at the last visit */
    uint32_t idle_visits;  /* in a row that nothing was sent between */
};

/* The way to another node and back; links.c. Times are of this node's clock, 0:
 * never. */
struct link {
    uint32_t node_id;     /* 0: this place is empty */
    uint64_t incarnation; /* of its last join; 0: none was heard */
    bool bad;             /* no ring with it before this is mended */
    bool shown;           /* that it is bad has shown in probes */
    uint32_t strikes;     /* in a row, none older than strike_life_ns */
    uint64_t strike_ns, bad_ns, mended_ns;
    uint64_t alive_ns;         /* somebody heard it */
    uint64_t join_ns;          /* a join of it came */
    uint64_t declined_ns;      /* its ring refuses one that gathers with us */
    uint64_t heard_ns;         /* a merge message of it came */
    uint64_t hears_us_ns;      /* it said that one of ours had come */
    uint64_t acked_ns;         /* it acknowledged a probe, soon enough */
    uint64_t good_since_ns;    /* all of these since then; 0: not now */
    uint32_t refused_by;       /* another member of the ring, ... */
    uint64_t refused_until_ns; /* ... as far as is known */
};

struct totem {
    struct totem_config config;
    struct totem_stats stats;
    enum totem_state state;
    uint64_t now_ns;
    uint64_t ring_seq; /* highest seen */

    struct ring ring;    /* installed */
    struct ring forming; /* in COMMIT and RECOVERY */
    struct wire_commit commit;
    struct recovery recovery;
    uint8_t *resent;    /* by old seq & mask: another node has sent it again */
    uint64_t *asked_ns; /* by seq & mask: when it was asked for, or 0 */

    /* The token, while it is here. */
    struct wire_token token;
    bool held, visit_open;
    uint32_t visit_left;
    uint64_t visit_first_seq;
    uint32_t visit_holder;  /* who would have held the token before it */
    bool visit_safe;        /* something in it must be safe */
    uint64_t hold_end_ns;   /* held: not beyond; 0: not held */
    uint64_t linger_end_ns; /* held with messages not passed yet; 0: none */
    bool wake_requested, wake_sent;

    /* The last token or commit token passed on, for retransmission. */
    uint8_t passed[TOTEM_CONTROL_SIZE_MAX];
    size_t passed_size;
    uint32_t passed_to;

    bool passed_acked; /* it said that it had it */
    uint64_t passed_ns, passed_hash, passed_hop;

    struct set proc, fail; /* fail: known to be gone */
    struct set heard;      /* in this gather, by anybody */
    struct accusations accusations;
    struct set consensus;
    uint64_t join_sent_ns;
    uint64_t alone_ns;       /* no ring of one before */
    uint64_t gather_ns;      /* this gather began */
    uint64_t passed_over_ns; /* before this, nodes passed over form no ring */

    struct link links[TOTEM_NODES_MAX];
    uint64_t refused_ns;  /* another ring said that it refuses this node */
    uint64_t mended_ns;   /* the last link that was */
    bool left_out;        /* this node had another left out, in this gather */
    uint64_t relapsed_ns; /* when a link last turned bad */
    uint32_t relapses;    /* links that turned bad soon after one was mended */
    uint64_t old_hashes[OLD_RINGS];
    uint32_t old_hash_next;

    /* Absolute times, UINT64_MAX: off. */
    uint64_t loss_at, retransmit_at, hold_at, join_at, consensus_at, merge_at;

    struct totem_send *sends;
    struct totem_event *events;
    uint32_t send_count, send_max, event_count, event_max;
    struct totem_configuration configurations[2];
    bool installed; /* in this step: configurations are in use */
    uint8_t join_packet[TOTEM_CONTROL_SIZE_MAX];
    uint8_t merge_packet[TOTEM_CONTROL_SIZE_MAX];
    uint8_t probe_packet[TOTEM_CONTROL_SIZE_MAX];
    uint8_t wake_packet[64], leave_packet[64], ack_packet[64];
};

enum { PAYLOAD_RESERVE = WIRE_DATA_SIZE + WIRE_RECOVERED_SIZE };

static inline bool bit_get(const uint8_t *bits, uint32_t i)
{
    return (bits[i / 8] >> (i % 8) & 1) != 0;
}

static inline void bit_set(uint8_t *bits, uint32_t i)
{
    bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
}

/* --- totem.c: outputs ---------------------------------------------------- */

/* A packet in one of the machine's buffers. What the step had to send from that
 * buffer before is replaced: the later word is the true one. */
void out_control(struct totem *t, enum totem_to to, uint32_t node_id,
                 uint8_t *packet, size_t size);
/* One packet in such a buffer, to one node more. */
void out_again(struct totem *t, uint32_t node_id, uint8_t *packet, size_t size);
/* A packet of the ring's store, to the ring. */
void out_packet(struct totem *t, const struct ring *r, uint64_t seq);
struct totem_event *out_event(struct totem *t, enum totem_event_kind kind);
void state_set(struct totem *t, enum totem_state to, const char *reason);

/* Sends a token or commit token that stands in t->passed to the member behind
 * this node, and sends it again until something shows that it arrived. */
void pass(struct totem *t, const struct ring *r, uint64_t hop);

/* The ring whose token this node takes: forming in RECOVERY, else installed. */
struct ring *ring_active(struct totem *t);
uint32_t ring_index(const struct ring *r, uint32_t node_id);

/* --- operational.c ------------------------------------------------------- */

void token_on(struct totem *t, uint32_t sender, const struct wire_token *token);
void token_first(struct totem *t); /* the representative makes it */
void visit_open(struct totem *t);
void visit_finish(struct totem *t, uint32_t backlog_packets);
void hold_end(struct totem *t);
void submit_on(struct totem *t);
void wake_on(struct totem *t, uint64_t ring_hash);
uint32_t visit_share(const struct totem *t, const struct ring *r);
void data_on(struct totem *t, const struct wire_head *head,
             const struct wire_data *data, struct bytes packet);
void ring_discard(struct ring *r); /* what all have and was handed up */
void originate(struct totem *t, struct ring *r, const struct wire_data *data,
               size_t payload_size);

/* --- gather.c ------------------------------------------------------------- */

/* Leaves the ring, or its forming, for a new gather; `fail_id` (0: none) is
 * known to be gone. */
void gather_enter(struct totem *t, const char *reason, uint32_t fail_id);
/* Those of the known nodes with whom this one would form a ring now; false: a
 * ring of those that have been passed over. */
bool gather_members(const struct totem *t, struct set *members);
void gather_start(struct totem *t);
void gather_join_timeout(struct totem *t);
void gather_consensus_timeout(struct totem *t);
void join_on(struct totem *t, uint32_t sender, const struct wire_join *join);
void leave_on(struct totem *t, uint32_t sender, const struct wire_leave *leave);
void merge_on(struct totem *t, uint32_t sender, const struct wire_merge *merge);

/* --- links.c ---------------------------------------------------------------
 */

/* The ring, or its forming, is left: was it for a token sent in vain? */
void links_token_lost(struct totem *t);
void links_doubt_self(struct totem *t, const struct set *members);
void links_failed_to_receive(struct totem *t, uint32_t node_id);
void links_agreed(struct totem *t, const struct set *members);
void links_join(struct totem *t, uint32_t sender, uint64_t incarnation);
void links_decline(struct totem *t, const struct wire_merge *merge);
void links_accuse(struct totem *t); /* puts bad links among the accusations */
uint64_t links_join_ns(struct totem *t, uint32_t node_id); /* 0: none */
bool links_refuse(struct totem *t, uint32_t node_id);
/* True: the sender is of another ring, and a ring with it can be tried. */
bool links_merge(struct totem *t, uint32_t sender,
                 const struct wire_merge *merge);
void links_installed(struct totem *t);
void links_tick_soon(struct totem *t);
void links_tick(struct totem *t);
void probe_on(struct totem *t, uint32_t sender, const struct wire_echo *probe);
void ack_on(struct totem *t, uint32_t sender, const struct wire_echo *ack);
/* A token that was here before has come again: its sender is told. */
void token_again(struct totem *t, uint32_t sender, uint64_t ring_hash,
                 uint64_t hop);

/* --- commit.c, recovery.c, deliver.c ------------------------------------- */

void commit_begin(struct totem *t, const struct set *members);
void commit_on(struct totem *t, uint32_t sender,
               const struct wire_commit *commit);

void recovery_enter(struct totem *t);
/* Before a visit: this recovery will never end. */
bool recovery_stalls(struct totem *t);
void recovery_visit(struct totem *t);
void recovery_packet(struct totem *t, uint32_t sender,
                     const struct wire_data *data);

void deliver_regular(struct totem *t);
void deliver_install(struct totem *t);

#endif
