/* SPDX-License-Identifier: BSD-3-Clause */
/* replica_backlog.h - what has to be remembered while a node gets a state: on
 * that node the operations, on the others whether they succeeded. Both in
 * order, numbered as in replica.c. Aborts when memory is short: a node that
 * cannot hold the state must stop, and the others go on. */
#ifndef DAEMON_SERVICE_REPLICA_BACKLOG_H
#define DAEMON_SERVICE_REPLICA_BACKLOG_H

#include "daemon/service/replica.h"

/* A change of members, with all that belongs to it. */
struct replica_change {
    uint32_t going_on_count, all_count;
    uint32_t going_on[TOTEM_NODES_MAX], all[TOTEM_NODES_MAX];
    uint8_t hello_sizes[TOTEM_NODES_MAX];
    uint8_t hellos[TOTEM_NODES_MAX][REPLICA_HELLO_SIZE_MAX];
};

/* One thing that was kept: an operation, or a change of members. */
struct replica_kept {
    struct replica_kept *next;
    struct replica_change *change; /* NULL: an operation */
    uint32_t sender;
    size_t size_bytes; /* of data */
    uint8_t data[];
};

struct replica_queue {
    struct replica_kept *first, **end;
    uint64_t bytes;
};

void replica_queue_init(struct replica_queue *q);
void replica_queue_add(struct replica_queue *q, uint32_t sender,
                       struct bytes data);
void replica_queue_add_change(struct replica_queue *q,
                              const struct replica_change *change);
/* Drops the first; there is one. */
void replica_queue_drop(struct replica_queue *q);
void replica_queue_clear(struct replica_queue *q);

/* Results by number, from `first` up to, not with, `end`. All 0 is empty. */
struct replica_results {
    uint64_t first, end;
    uint64_t max;  /* room, in bits; 0 or a power of two */
    uint8_t *bits; /* bit `number % max` */
};

void replica_results_begin(struct replica_results *r, uint64_t first);
void replica_results_add(struct replica_results *r, bool succeeded);
bool replica_results_get(const struct replica_results *r, uint64_t number);
void replica_results_drop(struct replica_results *r, uint64_t before);
void replica_results_free(struct replica_results *r);

#endif
