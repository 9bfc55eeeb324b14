/* SPDX-License-Identifier: BSD-3-Clause */
/* replicas.h - checks a replicated service over all nodes, all of its life:
 *
 * identical: whole replicas at the same place of the order are the same;
 * merge rule: each plan chose what daemon/service/replica.h says, worked out
 * here from what was true at the nodes when they entered the configuration;
 * lost: what was told to a client as done, in a part that went on, is there at
 * the end.
 *
 * The recorder calls what is below as things happen; what is wrong goes to
 * trace_fail(). */
#ifndef TEST_SIM_REPLICAS_H
#define TEST_SIM_REPLICAS_H

#include "daemon/service/replica.h"
#include "test/sim/check.h"

struct replicas;

enum replicas_tally {
    REPLICAS_FINISHED,    /* exchanges */
    REPLICAS_RESUMED,     /* gone on with after a configuration */
    REPLICAS_RESTARTED,   /* parts of a state given up for another */
    REPLICAS_DONORS_LOST, /* ended in the midst of an exchange */
    REPLICAS_MERGES,      /* of two parts of a history, both written to */
    REPLICAS_APART,       /* of two histories, both written to */
    REPLICAS_BEGUN_ANEW,  /* parts, and nobody whole */
    REPLICAS_KEPT, /* promises at the end, of a history that was merged */
    REPLICAS_TALLIES
};

/* Of a process, what the checker looks at. */
struct replicas_process {
    const struct replica *replica;
    uint64_t succeeded; /* operations that its service has done, ever */
    uint64_t (*hash)(const void *context);
    const void *context;
};

struct replicas *replicas_new(const char *service, struct trace *t);
void replicas_free(struct replicas *r);

/* A process begins: gives its number. */
uint32_t replicas_start(struct replicas *r, uint32_t node_id);
void replicas_stop(struct replicas *r, uint32_t process,
                   const struct replicas_process *p);

/* Before the replica is told. */
void replicas_configuration(struct replicas *r, uint32_t process,
                            const struct replicas_process *p,
                            const struct totem_configuration *conf);

/* After the replica was given a message. */
void replicas_delivered(struct replicas *r, uint32_t process,
                        const struct replicas_process *p, struct bytes message);

/* The process has told a client that something was done, which is there from
 * then on and has this number. */
void replicas_promise(struct replicas *r, uint32_t process, uint32_t number);

/* At the end: are all promises kept by this process? */
void replicas_end(struct replicas *r, uint32_t process,
                  bool (*has)(const void *context, uint32_t number),
                  const void *context);

uint64_t replicas_tally(const struct replicas *r, enum replicas_tally what);
/* The promises that were made. */
uint64_t replicas_promises(const struct replicas *r);

#endif
