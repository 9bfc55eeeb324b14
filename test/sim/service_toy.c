// SPDX-License-Identifier: BSD-3-Clause
// The small service (toy.h) on a node: pieces of a few items, so that exchanges
// have many.
#include "test/sim/service.h"

#include "test/sim/toy.h"

struct toy_state {
    struct replica *replica;
    uint32_t node_id;
    struct toy toy;
};

static void *start(struct world *w, const struct node *n)
{
    const struct scenario *s = w->scenario;
    struct toy_state *t = calloc(1, sizeof *t);
    uint8_t hello[8];
    struct writer hello_writer = writer_of(hello, sizeof hello);
    CHECK(t != NULL);
    write_u64(&hello_writer, n->incarnation);
    t->node_id = n->id;
    t->toy.item_max = s->service_items;
    t->toy.items_in_piece = s->service_items_in_piece;
    t->toy.pad = s->service_size;
    t->replica = replica_new(
        &(struct replica_config){.node_id = n->id,
                                 .incarnation = n->incarnation,
                                 .service = &toy_service,
                                 .context = &t->toy,
                                 .hello = {hello, n->incarnation % 9}});
    CHECK(t->replica != NULL);
    return t;
}

static void stop(void *state)
{
    struct toy_state *t = state;
    replica_free(t->replica);
    free(t);
}

static void configuration(void *state, const struct totem_configuration *conf)
{
    struct toy_state *t = state;
    replica_configuration(t->replica, conf);
}

static bool message(void *state, uint32_t sender, struct bytes data,
                    uint32_t *promise)
{
    struct toy_state *t = state;
    uint64_t applied = t->toy.applied;
    bool own = sender == t->node_id && t->toy.whole &&
               data.n == REPLICA_OP_HEAD_SIZE + TOY_OP_SIZE;
    bool good = replica_message(t->replica, sender, data);
    if (!own || t->toy.applied == applied)
        return good;
    struct reader r = reader_of(data);
    read_bytes(&r, REPLICA_OP_HEAD_SIZE);
    uint8_t kind = read_u8(&r);
    read_u64(&r);
    uint32_t value = read_u32(&r);
    if (kind <= TOY_APPEND_IF_EVEN && value >= TOY_FOR_EVER)
        *promise = value - TOY_FOR_EVER;
    return good;
}

static enum replica_kind message_kind(const void *state)
{
    const struct toy_state *t = state;
    return replica_message_kind(t->replica);
}

static size_t message_write(void *state, uint8_t *to)
{
    struct toy_state *t = state;
    return replica_message_write(t->replica, to);
}

static void no_time(void *state, int64_t steady_ns, int64_t wall_ns)
{
    (void)state;
    (void)steady_ns;
    (void)wall_ns;
}

static bool may_take(void *state)
{
    struct toy_state *t = state;
    return replica_ready(t->replica);
}

static size_t take(struct world *w, void *state, int64_t wall_ns,
                   uint8_t to[SERVICE_OP_MAX])
{
    struct toy_state *t = state;
    struct random *r = &w->service_random;
    enum toy_kind kind = (enum toy_kind)random_range(r, 0, TOY_KINDS - 1);
    uint32_t value = (uint32_t)random_range(r, 0, TOY_FOR_EVER - 1);
    uint64_t next = t->toy.next == 0 ? 1 : t->toy.next;
    (void)wall_ns;
    if (random_chance(r, 400000))
        kind = TOY_APPEND;
    if (kind <= TOY_APPEND_IF_EVEN && random_chance(r, 500000))
        value = TOY_FOR_EVER | service_promise(w);
    replica_op_head(t->replica, to);
    toy_op(to + REPLICA_OP_HEAD_SIZE, kind, random_range(r, 0, next), value);
    return REPLICA_OP_HEAD_SIZE + TOY_OP_SIZE;
}

static void untake(void *state)
{
    (void)state; /* nobody waits for it */
}

static const struct replica *replica(const void *state)
{
    const struct toy_state *t = state;
    return t->replica;
}

static uint64_t succeeded(const void *state)
{
    const struct toy_state *t = state;
    return t->toy.applied;
}

static uint64_t hash(const void *state)
{
    const struct toy_state *t = state;
    return toy_hash(&t->toy);
}

static bool has(const void *state, uint32_t promise)
{
    const struct toy_state *t = state;
    for (uint32_t i = 0; i < t->toy.item_count; i++)
        if (t->toy.items[i].value == (TOY_FOR_EVER | promise))
            return true;
    return false;
}

static bool is_idle(const void *state)
{
    (void)state;
    return true;
}

const struct service_kind service_toy = {
    .name = "toy",
    .group_service = 200,
    .start = start,
    .stop = stop,
    .configuration = configuration,
    .message = message,
    .message_kind = message_kind,
    .message_write = message_write,
    .time = no_time,
    .may_take = may_take,
    .take = take,
    .untake = untake,
    .replica = replica,
    .succeeded = succeeded,
    .hash = hash,
    .has = has,
    .is_idle = is_idle,
};
