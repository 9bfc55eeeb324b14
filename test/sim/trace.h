/* SPDX-License-Identifier: BSD-3-Clause */
/* trace.h - what check.c and trace.c share: the trace itself. */
#ifndef TEST_SIM_TRACE_H
#define TEST_SIM_TRACE_H

#include "test/sim/check.h"

enum { TRACE_BUCKETS = 4096, TRACE_TEXT_MAX = 1024 };

/* A regular configuration, named by its ring id; the same for all. */
struct trace_ring {
    struct totem_ring_id id;
    uint32_t next_in_bucket;
    uint32_t member_count;
    uint32_t *members;
    uint32_t *processes; /* of the members; TRACE_NONE: no such process */
    /* Filled by trace_check(): messages delivered in it by anyone, in order. */
    uint32_t *order;
    uint32_t order_count;
    uint32_t first_move; /* list of the ways out of it; TRACE_NONE: none */
};

struct trace_message {
    uint32_t process; /* the sender */
    uint32_t number;  /* of the sender's messages, from 0 */
    uint32_t size_bytes;
    uint32_t ring;    /* sent in */
    uint32_t ordinal; /* of the sender's messages in `ring`, from 0 */
    uint32_t seen;    /* what the sender had delivered in `ring` before */
    uint32_t place;   /* in the ring's order; trace_check() */
    uint64_t seq;     /* known once delivered */
    bool safe, done, abandoned;
    bool delivered;         /* by anyone */
    bool delivered_by_self; /* by its sender */
    bool in_regular;        /* by anyone in the regular configuration */
};

/* A process in one ring: deliveries [first, transitional) in the regular
 * configuration, [transitional, end) in the transitional one after it. */
struct trace_stay {
    uint32_t ring;
    uint32_t first, transitional, end;
    bool closing;            /* the transitional one has come */
    uint32_t together_count; /* members of the transitional one */
    uint32_t *together;      /* node ids */
    uint32_t left_count;     /* as told with the transitional one */
    uint32_t *left;
};

struct trace_process {
    uint32_t node_id;
    uint64_t incarnation;
    uint32_t next_in_bucket;
    enum trace_end end;
    bool alone_first; /* began with a transitional one of itself only */
    struct trace_stay *stays;
    uint32_t stay_count, stay_max;
    uint32_t *deliveries;
    uint32_t delivery_count, delivery_max;
    uint32_t sent; /* messages begun in this life */
    uint32_t sent_in_ring;
    uint32_t *next_ordinal; /* by member of the current ring */
};

/* Processes that went from one ring to the same next one. */
struct trace_move {
    uint32_t to;
    uint32_t process, stay; /* the first that was seen */
    uint64_t hash;          /* of what it delivered, in order */
    uint32_t next;
};

struct trace {
    struct trace_process *processes;
    uint32_t process_count, process_max;
    struct trace_ring *rings;
    uint32_t ring_count, ring_max;
    struct trace_message *messages;
    uint32_t message_count, message_max;
    struct trace_move *moves;
    uint32_t move_count, move_max;
    uint32_t process_buckets[TRACE_BUCKETS];
    uint32_t ring_buckets[TRACE_BUCKETS];
    uint64_t delivery_count;
    bool failed;
    char text[TRACE_TEXT_MAX];
};

/* Grows the array at *items so that `count` + 1 elements fit. */
void *trace_grow(void *items, uint32_t count, uint32_t *max, size_t size);

uint32_t trace_find_process(const struct trace *t, uint32_t node_id,
                            uint64_t incarnation);

/* Place of `node_id` in an ascending list; TRACE_NONE: not there. */
uint32_t trace_find_id(const uint32_t *ids, uint32_t count, uint32_t node_id);

/* "node 3 (life 0x..)", "ring 12.3.1f": valid until the fourth call after. */
const char *trace_process_name(const struct trace *t, uint32_t process);
const char *trace_ring_name(const struct trace *t, uint32_t ring);

#endif
