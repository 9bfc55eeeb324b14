/* SPDX-License-Identifier: BSD-3-Clause */
/* replica_world.h - several replicas in a made-up order: each ring is a list of
 * messages, of which every member delivers the first ones, at its own pace. Who
 * leaves a ring together has delivered the same of it.
 *
 * After every delivered message: whole replicas at the same place have the same
 * state, ever. */
#ifndef TEST_UNIT_REPLICA_WORLD_H
#define TEST_UNIT_REPLICA_WORLD_H

#include "test/unit/heap.h"
#include "test/unit/unit.h"

#include "daemon/base/check.h"
#include "daemon/service/replica.h"
#include "test/sim/toy.h"

#include <stdlib.h>

enum { NODES = 8, PLACES = 1 << 16, ALL = INT32_MAX };

struct message {
    uint32_t sender;
    size_t n;
    uint8_t *p;
};

struct ring {
    struct totem_configuration conf;
    struct message *messages;
    uint32_t count, max;
    struct ring *before; /* for the end */
};

struct node {
    uint32_t id;
    uint64_t incarnation;
    struct replica *r; /* NULL: down */
    struct toy toy;
    struct ring *ring; /* NULL: none yet */
    uint32_t delivered;
    uint32_t refused; /* messages that made no sense */
    /* Where it has gone since its last plan, from the last messages of the ring
     * on in which that was. */
    uint64_t way, plans;
    bool leaves;
};

struct place {
    struct replica_place at;
    uint64_t way, hash;
};

static struct world {
    struct node nodes[NODES + 1]; /* by id */
    struct ring *rings;
    uint64_t seq, incarnations;
    uint32_t item_max, items_in_piece, pad;
    struct place *places; /* birth 0: free */
    uint32_t differ;      /* states that differ at one place */
    int64_t allocated;    /* when it began */
} world;

static inline struct node *node(uint32_t id)
{
    return &world.nodes[id];
}

static uint64_t random_state = 1;

static inline uint32_t pick(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state * 0x2545f4914f6cdd1du) >> 33) % below;
}

/* --- the checker ---------------------------------------------------------- */

static inline void place_check(struct node *n)
{
    struct replica_place at = replica_place_get(n->r);
    uint64_t hash = toy_hash(&n->toy);
    uint64_t i =
        toy_mix(toy_mix(at.birth, at.path), at.index + n->way) % PLACES;
    if (n->plans != replica_stats_get(n->r)->plans && !n->leaves)
        n->way = 0;
    n->plans = replica_stats_get(n->r)->plans;
    CU_ASSERT_EQUAL(replica_is_whole(n->r), n->toy.whole);
    CU_ASSERT(!replica_ready(n->r) || n->toy.whole);
    if (!n->toy.whole)
        return;
    for (;; i = (i + 1) % PLACES) {
        struct place *p = &world.places[i];
        if (p->at.birth == 0)
            *p = (struct place){at, n->way, hash};
        if (memcmp(&p->at, &at, sizeof at) == 0 && p->way == n->way) {
            world.differ += p->hash != hash;
            return;
        }
    }
}

/* --- nodes ---------------------------------------------------------------- */

static inline void node_start(uint32_t id)
{
    struct node *n = &world.nodes[id];
    uint8_t hello[4] = {(uint8_t)id, (uint8_t)++world.incarnations, 7, 7};
    CU_ASSERT_PTR_NULL_FATAL(n->r);
    *n = (struct node){.id = id, .incarnation = 100 + world.incarnations};
    n->toy.item_max = world.item_max;
    n->toy.items_in_piece = world.items_in_piece;
    n->toy.pad = world.pad;
    struct replica_config config = {.node_id = id,
                                    .incarnation = n->incarnation,
                                    .service = &toy_service,
                                    .context = &n->toy,
                                    .hello = {hello, id % 5}};
    n->r = replica_new(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(n->r);
}

static inline void node_crash(uint32_t id)
{
    replica_free(world.nodes[id].r);
    world.nodes[id].r = NULL;
}

static inline void world_begin_with(uint32_t nodes, uint32_t item_max,
                                    uint32_t items_in_piece)
{
    world = (struct world){.item_max = item_max,
                           .items_in_piece = items_in_piece,
                           .pad = 20,
                           .allocated = heap_count};
    world.places = calloc(PLACES, sizeof *world.places);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world.places);
    for (uint32_t id = 1; id <= nodes; id++)
        node_start(id);
}

static inline void world_begin(uint32_t nodes)
{
    world_begin_with(nodes, 1000, 3);
}

static inline void world_end(void)
{
    CU_ASSERT_EQUAL(world.differ, 0);
    for (uint32_t id = 1; id <= NODES; id++) {
        CU_ASSERT_EQUAL(world.nodes[id].refused, 0);
        node_crash(id);
    }
    while (world.rings != NULL) {
        struct ring *ring = world.rings;
        world.rings = ring->before;
        for (uint32_t i = 0; i < ring->count; i++)
            free(ring->messages[i].p);
        free(ring->messages);
        free(ring);
    }
    free(world.places);
    CU_ASSERT_EQUAL(heap_count, world.allocated);
}

/* --- messages ------------------------------------------------------------- */

static inline void multicast(uint32_t id, const uint8_t *p, size_t size)
{
    struct ring *ring = world.nodes[id].ring;
    if (ring->count == ring->max) {
        ring->max = ring->max == 0 ? 64 : 2 * ring->max;
        ring->messages =
            realloc(ring->messages, ring->max * sizeof *ring->messages);
        CHECK(ring->messages != NULL);
    }
    uint8_t *copy = malloc(size + 1);
    CHECK(copy != NULL);
    memcpy(copy, p, size);
    ring->messages[ring->count++] = (struct message){id, size, copy};
}

/* Multicasts what is due; false: nothing is, or it is not of that kind. */
static inline bool says(uint32_t id, enum replica_kind kind)
{
    static uint8_t data[REPLICA_MESSAGE_SIZE_MAX];
    struct node *n = &world.nodes[id];
    if (replica_message_kind(n->r) != kind)
        return false;
    size_t size = replica_message_write(n->r, data);
    CU_ASSERT_FATAL(size > 0 && size <= sizeof data);
    multicast(id, data, size);
    return true;
}

static inline void op(uint32_t id, enum toy_kind kind, uint64_t number,
                      uint32_t value)
{
    uint8_t data[REPLICA_OP_HEAD_SIZE + TOY_OP_SIZE];
    CU_ASSERT_FATAL(replica_ready(world.nodes[id].r));
    replica_op_head(world.nodes[id].r, data);
    toy_op(data + REPLICA_OP_HEAD_SIZE, kind, number, value);
    multicast(id, data, sizeof data);
}

static inline void appends(uint32_t id, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        op(id, TOY_APPEND, 0, i * 2);
}

static inline void deliver_one(struct node *n, uint32_t at)
{
    const struct message *m = &n->ring->messages[at];
    if (!replica_message(n->r, m->sender, (struct bytes){m->p, m->n}))
        n->refused++;
    place_check(n);
}

/* The next message of its ring; false: there is none. */
static inline bool deliver(uint32_t id)
{
    struct node *n = &world.nodes[id];
    if (n->r == NULL || n->ring == NULL || n->delivered == n->ring->count)
        return false;
    deliver_one(n, n->delivered++);
    return true;
}

static inline void deliver_all(void)
{
    for (uint32_t id = 1; id <= NODES; id++)
        while (deliver(id)) {
        }
}

/* False: all have said it. */
static inline bool infos(void)
{
    bool any = false;
    for (uint32_t id = 1; id <= NODES; id++)
        if (world.nodes[id].r != NULL && world.nodes[id].ring != NULL)
            any |= says(id, REPLICA_INFO);
    return any;
}

/* Until nobody has anything to say. */
static inline void run(void)
{
    bool any = true;
    while (any) {
        any = infos();
        for (uint32_t id = 1; id <= NODES; id++)
            if (world.nodes[id].r != NULL)
                any |= says(id, REPLICA_PIECE);
        deliver_all();
    }
}

/* --- configurations ------------------------------------------------------- */

static inline bool in(const uint32_t *ids, uint32_t id)
{
    while (*ids != 0 && *ids != id)
        ids++;
    return *ids != 0;
}

/* Of those of `ids` that are in `ring`: what all deliver of it before they
 * leave: the first `upto` or as many as one of them has delivered, and
 * everything that one of them has sent. */
static inline void leave_together(struct ring *ring, const uint32_t *ids,
                                  uint32_t upto)
{
    uint32_t most = upto < ring->count ? upto : ring->count;
    for (uint32_t k = 0; ids[k] != 0; k++) {
        struct node *n = &world.nodes[ids[k]];
        if (n->ring == ring && n->delivered > most)
            most = n->delivered;
    }
    for (uint32_t k = 0; ids[k] != 0; k++) {
        struct node *n = &world.nodes[ids[k]];
        if (n->ring != ring)
            continue;
        n->way = toy_mix(n->way, world.seq);
        n->leaves = true;
        for (; n->delivered < ring->count; n->delivered++) {
            uint32_t sender = ring->messages[n->delivered].sender;
            if (n->delivered < most ||
                (in(ids, sender) && world.nodes[sender].ring == ring))
                deliver_one(n, n->delivered);
        }
    }
}

/* `ids` ascend and end with 0. `upto`: of what has been sent in their rings
 * before, how much is delivered (ALL). */
static inline void configure(const uint32_t *ids, uint32_t upto)
{
    struct ring *ring = calloc(1, sizeof *ring);
    CHECK(ring != NULL);
    world.seq += 4;
    ring->conf.ring_id =
        (struct totem_ring_id){.seq = world.seq, .rep = ids[0]};
    for (uint32_t k = 0; ids[k] != 0; k++) {
        struct node *n = &world.nodes[ids[k]];
        CU_ASSERT_PTR_NOT_NULL_FATAL(n->r);
        ring->conf.members[k] = ids[k];
        ring->conf.incarnations[k] = n->incarnation;
        ring->conf.member_count++;
    }
    ring->conf.ring_id.nonce = ring->conf.incarnations[0];
    for (uint32_t k = 0; ids[k] != 0; k++)
        if (world.nodes[ids[k]].ring != NULL)
            leave_together(world.nodes[ids[k]].ring, ids, upto);
    for (uint32_t k = 0; ids[k] != 0; k++) {
        struct node *n = &world.nodes[ids[k]];
        struct totem_configuration transitional = {.transitional = true};
        replica_configuration(n->r, &transitional);
        replica_configuration(n->r, &ring->conf);
        n->ring = ring;
        n->delivered = 0;
        n->leaves = false;
        place_check(n);
    }
    ring->before = world.rings;
    world.rings = ring;
}

#define IDS(...) ((uint32_t[]){__VA_ARGS__, 0})
#define CONFIGURE(...) configure(IDS(__VA_ARGS__), ALL)

/* --- what came of it ------------------------------------------------------ */

static inline const struct replica_stats *stats(uint32_t id)
{
    return replica_stats_get(world.nodes[id].r);
}

/* All of them are ready, with one state. */
static inline void expect_one_state(const uint32_t *ids)
{
    struct replica_place first = replica_place_get(world.nodes[ids[0]].r);
    uint64_t operations = stats(ids[0])->operations;
    for (; *ids != 0; ids++) {
        struct replica_place at = replica_place_get(world.nodes[*ids].r);
        CU_ASSERT(replica_ready(world.nodes[*ids].r));
        CU_ASSERT_EQUAL(memcmp(&at, &first, sizeof at), 0);
        CU_ASSERT_EQUAL(stats(*ids)->kept_bytes, 0);
        CU_ASSERT_EQUAL(stats(*ids)->operations, operations);
    }
}

/* --- stories -------------------------------------------------------------- */

/* Every kind of operation, here and there. */
static inline void some_ops(uint32_t id, uint32_t number)
{
    op(id, TOY_APPEND, 0, number);
    op(id, TOY_APPEND_IF_EVEN, 0, 2 * number + 1);
    op(id, TOY_CHANGE, number, 77);
    op(id, TOY_CHANGE, 1000 + number, 1); /* fails */
    op(id, TOY_REMOVE, number + 1, 0);
    op(id, TOY_REMOVE, number + 1, 0); /* fails */
    op(id, TOY_OPEN, 0, 0);
    op(id, TOY_APPEND_IF_EVEN, 0, 2 * number);
    if (number % 2 == 0)
        op(id, TOY_CHANGE_ALL, 0, number);
    if (number % 3 == 0)
        op(id, TOY_REMOVE_FIRST, 0, 0);
}

/* A world in which 1 and 2 hold 30 items, and 3 is about to get them. */
static inline void exchange_begin(void)
{
    world_begin(4);
    CONFIGURE(1, 2);
    run();
    appends(1, 30);
    op(2, TOY_OPEN, 0, 0);
    deliver_all();
    CONFIGURE(1, 2, 3);
    infos();
    deliver_all();
}

#endif
