/* SPDX-License-Identifier: BSD-3-Clause */
/* service.h - a replicated service, as service.c drives it on every node. */
#ifndef TEST_SIM_SERVICE_H
#define TEST_SIM_SERVICE_H

#include "test/sim/sim.h"

enum { SERVICE_OP_MAX = 16384 };

struct service_kind {
    const char *name;
    uint8_t group_service;

    void *(*start)(struct world *w, const struct node *n);
    void (*stop)(void *state);

    void (*configuration)(void *state, const struct totem_configuration *conf);
    /* *promise: what a client was told is there for ever; 0: nothing. */
    bool (*message)(void *state, uint32_t sender, struct bytes data,
                    uint32_t *promise);
    enum replica_kind (*message_kind)(const void *state);
    size_t (*message_write)(void *state, uint8_t *to);
    /* What the node's clocks show: before each of the others. */
    void (*time)(void *state, int64_t steady_ns, int64_t wall_ns);

    /* What a client asks for, to be multicast; 0: that is done already. Not
     * called where may_take() says no. */
    bool (*may_take)(void *state);
    size_t (*take)(struct world *w, void *state, int64_t wall_ns,
                   uint8_t to[SERVICE_OP_MAX]);
    /* The last one that was taken was not sent. */
    void (*untake)(void *state);

    const struct replica *(*replica)(const void *state);
    uint64_t (*succeeded)(const void *state); /* operations, ever */
    uint64_t (*hash)(const void *state);
    /* Is that there? It was promised. */
    bool (*has)(const void *state, uint32_t promise);
    bool (*is_idle)(const void *state);
};

extern const struct service_kind service_toy, service_ckpt;

/* A number that nobody else promises. */
uint32_t service_promise(struct world *w);

#endif
