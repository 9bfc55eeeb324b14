/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_clock.h - the times that checkpoints and sections live by.
 *
 * Retention is a duration. It runs on *service time*: nanoseconds since the
 * history began, a part of the replicated state that only ticks move on. Each
 * node estimates it from its own monotonic clock; a tick carries the estimate
 * of its sender, and service time is the highest that was delivered. So it
 * never goes back, a tick that comes twice or late changes nothing, and no wall
 * clock has a part in it. A node that gets the state gets service time with it.
 *
 * Sections expire at a time of day. Members say what their wall clocks show
 * when they introduce themselves, and say so again when theirs is set. The
 * lower median is what counts. A clock that is *far* from it decides nothing:
 * what its node's ticks say of the time of day is ignored by all.
 *
 * Of the members that may, the lowest sends the ticks.
 *
 * Pure. Owner: protocol thread. Part of the CKPT service (ckpt.h). */
#ifndef DAEMON_SERVICE_CKPT_CLOCK_H
#define DAEMON_SERVICE_CKPT_CLOCK_H

#include "daemon/service/replica.h"

/* What a node's clocks show. */
struct ckpt_now {
    int64_t steady_ns; /* monotonic: differences count */
    int64_t wall_ns;   /* since the epoch */
};

/* Clocks are compared when members introduce themselves, which they do within
 * one or two rotations of the token; sections expire to the second at best. */
#define CKPT_CLOCK_FAR_NS INT64_C(2000000000)

/* By so much a clock was set, and not corrected. */
#define CKPT_CLOCK_STEP_NS INT64_C(500000000)

/* A member's wall clock has become far, or is not any more. */
struct ckpt_clock_news {
    uint32_t node_id;
    bool far;
    int64_t ahead_ns; /* of the median */
};

struct ckpt_clock_member {
    uint32_t node_id;
    bool goes_on;
    bool far, told; /* `told`: what was reported last */
    int64_t wall_ns, ahead_ns;
};

struct ckpt_clock {
    uint32_t node_id;

    /* Replicated. */
    int64_t time_ns;
    struct ckpt_clock_member members[TOTEM_NODES_MAX];
    uint32_t member_count;

    /* This node's. */
    struct ckpt_now now;
    int64_t known_time_ns, known_steady_ns; /* service time was known then */
    int64_t said_ns; /* wall - steady, as the others know it */
    bool ticks;      /* it sends them */
    bool far;
    bool step_sent; /* under way */
};

void ckpt_clock_init(struct ckpt_clock *c, uint32_t node_id);

/* The state was given up. */
void ckpt_clock_reset(struct ckpt_clock *c);

/* What this node believes service time to be now. */
int64_t ckpt_clock_estimate(const struct ckpt_clock *c);

/* A tick, or a state, says that it has come so far. False: nonsense. */
bool ckpt_clock_advance(struct ckpt_clock *c, int64_t time_ns);

/* When the estimate gets there, by this node's monotonic clock. */
int64_t ckpt_clock_steady_at(const struct ckpt_clock *c, int64_t time_ns);

/* Is what this node says of the time of day believed? */
bool ckpt_clock_is_near(const struct ckpt_clock *c, uint32_t node_id);

/* --- comparing ------------------------------------------------------------ */

/* What a member has said of its wall clock, of `m` the i-th. */
void ckpt_clock_members_begin(struct ckpt_clock *c,
                              const struct replica_members *m);
void ckpt_clock_member_says(struct ckpt_clock *c, uint32_t i, int64_t wall_ns);
void ckpt_clock_compare(struct ckpt_clock *c);

/* A member's clock was set, forward by so much. */
void ckpt_clock_stepped(struct ckpt_clock *c, uint32_t node_id, int64_t by_ns);

/* This node is about to introduce itself: what its wall clock shows. */
int64_t ckpt_clock_say(struct ckpt_clock *c);

/* Was this node's clock set since? By how much; 0: no. */
int64_t ckpt_clock_step(const struct ckpt_clock *c);

/* False: nothing new. */
bool ckpt_clock_news_next(struct ckpt_clock *c, struct ckpt_clock_news *news);

#endif
