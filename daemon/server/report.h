/* SPDX-License-Identifier: BSD-3-Clause */
/* report.h - what the protocol thread tells the log: configurations, packets it
 * refused, why this node may be alone, statistics. Owner: protocol thread. */
#ifndef DAEMON_SERVER_REPORT_H
#define DAEMON_SERVER_REPORT_H

#include "daemon/base/log.h"
#include "daemon/server/protocol.h"

struct report {
    const struct protocol_parts *parts;
    struct log_limit digest_limit, version_limit, mismatch_limit;
    struct log_limit unlisted_limit;
    uint64_t unlisted;
    uint64_t conflicts; /* of node ids, told so far */

    /* While there is no ring with another node: since when, what had been heard
     * by then, when to tell of it next, and how long after that. */
    bool alone;
    uint32_t member_count; /* of the last regular configuration */
    uint64_t alone_ns, tell_ns, wait_ns;
    uint64_t heard[SEAL_RESULT_COUNT];
};

/* `parts` outlives the report. */
void report_init(struct report *r, const struct protocol_parts *parts,
                 uint64_t now_ns);

void report_configuration(struct report *r,
                          const struct totem_configuration *c);

/* A node whose packets are of another size: at most one line a second. */
void report_mismatch(struct report *r, uint32_t node_id,
                     uint32_t packet_size_max, uint64_t now_ns);

/* The way to a node is bad or good again, or a node is left out of the ring
 * because it and a member do not get on. */
void report_link(const struct report *r, const struct totem_event *event);

/* A packet from `source` was refused for a reason that its sender's operator
 * must know: at most one line a second for each reason. */
void report_refused(struct report *r, enum seal_result why,
                    const struct sockaddr_in *source, uint64_t now_ns);

/* A packet from a host that is not in the list of nodes. */
void report_unlisted(struct report *r, const struct sockaddr_in *source,
                     uint64_t now_ns);

/* Looks for what an operator should know and no packet tells by itself: two
 * processes with one node id, packets that come again, a node that stays alone.
 * Gives when to call it again. */
uint64_t report_tick(struct report *r, uint64_t now_ns);

/* The longest round of the protocol thread, waiting not counted: ever, and
 * since the last of these reports. */
void report_statistics(const struct report *r, uint64_t longest_round_ns,
                       uint64_t longest_lately_ns);

#endif
