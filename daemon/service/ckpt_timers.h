/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_timers.h - what has a time, the earliest first: a heap whose places are
 * linked, not in an array, so that no call takes more than a few dozen steps.
 *
 * Pure. Owner: protocol thread. */
#ifndef DAEMON_SERVICE_CKPT_TIMERS_H
#define DAEMON_SERVICE_CKPT_TIMERS_H

#include "daemon/service/ckpt_memory.h"

#include <stdint.h>

/* A place in the heap, and what is there now. */
struct ckpt_timer {
    int64_t time_ns; /* no later than those of the places below */
    void *owner;
    struct ckpt_timer **named; /* where the owner keeps its place */
    struct ckpt_timer *parent, *child[2];
};

struct ckpt_timers {
    struct ckpt_timer *root;
    uint32_t count;
};

/* *named is the owner's place, or NULL. INT64_MAX: it has no time. */
void ckpt_timers_set(struct ckpt_timers *h, struct ckpt_memory *m,
                     struct ckpt_timer **named, void *owner, int64_t time_ns);

/* The earliest; INT64_MAX: there is none. */
int64_t ckpt_timers_first(const struct ckpt_timers *h);

/* What is due at a time, in no order: the next after `t`, NULL to begin with;
 * NULL: no more. */
const struct ckpt_timer *ckpt_timers_due(const struct ckpt_timers *h,
                                         const struct ckpt_timer *t,
                                         int64_t now_ns);

#endif
