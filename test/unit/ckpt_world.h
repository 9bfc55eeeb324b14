/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_world.h - CKPT services of several nodes in a made-up order, beside the
 * model (ckpt_model.h) of what they hold. A *part* is a set of nodes that have
 * one order: a list of messages that all deliver, one after the other. Before
 * the next configuration what has been sent is delivered.
 *
 * Each node has a model of what its checkpoints are; nodes of one history share
 * it. After each delivered message the outcome is compared with the model's,
 * and what whole nodes hold with the model and with each other. */
#ifndef TEST_UNIT_CKPT_WORLD_H
#define TEST_UNIT_CKPT_WORLD_H

#include "test/unit/ckpt_model.h"
#include "test/unit/unit.h"

enum {
    NODES = 4,
    CLIENTS = 3,
    HANDLES = 4096, /* numbers that a node can come to use here */
    CODES = 32,
    SECOND = 1000000000 /* ns */
};

_Static_assert((int)NODES <= (int)MODEL_NODES, "the model counts them");

/* A request under way. */
struct pend {
    struct m_request r;
    uint32_t client, handle;
    bool alive, async;
    uint64_t invocation;
};

struct w_message {
    struct w_message *next;
    uint32_t sender;
    struct pend *pend; /* NULL: the daemon's own */
    size_t n;
    uint8_t data[];
};

struct part {
    struct totem_configuration conf;
    struct w_message *first, **end;
    int64_t walls[NODES + 1]; /* as the members have said */
};

enum w_state { W_NONE, W_OPEN, W_CLOSING, W_REOPEN, W_GONE };

struct w_handle {
    enum w_state state;
    uint32_t client;
    uint64_t number; /* of the checkpoint */
    uint16_t name_size;
    uint8_t name[IPC_CKPT_NAME_SIZE_MAX];
};

struct node {
    uint32_t id;
    uint64_t incarnation, bytes_max;
    int64_t steady_off_ns, wall_off_ns; /* its clocks, against world.now_ns */
    uint32_t count_max;
    struct ckpt *k; /* NULL: down */
    struct part *part;
    struct model *model; /* what it has, or is to get */
    bool was_whole;
    uint64_t resets, plans;
    struct w_handle handles[HANDLES];
    struct pend *pend[CLIENTS];
    struct w_message *unsent;
    struct ckpt_item *garbage; /* away */
    /* A reader's: it must stay what it is while the garbage is away. */
    const struct ckpt_content *held;
    uint64_t held_sum;
};

static struct world {
    struct node nodes[NODES + 1]; /* by id */
    struct part parts[NODES + 1];
    uint64_t seq, incarnations, invocations;
    int64_t now_ns;
    uint32_t wrong;
    /* What has happened. */
    uint32_t results[CODES][CODES]; /* by type - OPEN, result */
    uint32_t plans, exchanges, given_up, reopened, gone, made_ids, late;
    uint32_t expired, untaken, unsaid, died, compared, ticks;
    uint32_t disbelieved, steps;
} world;

static uint64_t random_state = 1;

static inline uint32_t pick(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state * 0x2545f4914f6cdd1du) >> 33) % below;
}

/* Says what was wrong, the first times. */
#define EXPECT(right)                                                          \
    do {                                                                       \
        if (!(right) && world.wrong++ < 10)                                    \
            printf("\n    %s:%d: %s", __func__, __LINE__, #right);             \
    } while (0)

/* --- nodes ---------------------------------------------------------------- */

static inline struct ckpt_now node_now(const struct node *n)
{
    return (struct ckpt_now){.steady_ns = world.now_ns + n->steady_off_ns,
                             .wall_ns = world.now_ns + n->wall_off_ns};
}

/* It looks at its clocks. */
static inline void node_time(struct node *n)
{
    struct ckpt_now now = node_now(n);

    ckpt_time(n->k, &now);
}

static inline void node_start(uint32_t id, uint64_t bytes_max,
                              uint32_t count_max)
{
    struct node *n = &world.nodes[id];

    CU_ASSERT_PTR_NULL_FATAL(n->k);
    memset(n, 0, sizeof *n);
    n->id = id;
    n->incarnation = ++world.incarnations;
    n->bytes_max = bytes_max;
    n->count_max = count_max;
    n->k = ckpt_new(&(struct ckpt_config){.node_id = id,
                                          .incarnation = n->incarnation,
                                          .client_max = CLIENTS,
                                          .checkpoint_max = count_max,
                                          .bytes_max = bytes_max,
                                          .hash_seed = 77 * n->incarnation});
    CU_ASSERT_PTR_NOT_NULL_FATAL(n->k);
    /* Its monotonic clock begins somewhere. */
    n->steady_off_ns = (int64_t)(n->incarnation % 7) * 1000000000000;
    node_time(n);
}

static inline void pend_free(struct pend *p)
{
    if (p != NULL)
        free(p->r.data);
    free(p);
}

static inline void message_free(struct w_message *m)
{
    if (m == NULL)
        return;
    pend_free(m->pend);
    free(m);
}

static inline void node_stop(uint32_t id)
{
    struct node *n = &world.nodes[id];

    ckpt_garbage_return(n->k, n->garbage);
    ckpt_free(n->k);
    m_leave(n->model);
    message_free(n->unsent);
    memset(n, 0, sizeof *n);
}

static inline bool in_part(const struct part *p, uint32_t id)
{
    return world.nodes[id].k != NULL && world.nodes[id].part == p;
}

static inline bool is_whole(const struct node *n)
{
    return replica_is_whole(ckpt_replica(n->k));
}

/* --- comparing ------------------------------------------------------------ */

static inline void compare_section(const struct ckpt_section *s,
                                   const struct m_section *m)
{
    const struct ckpt_content *content = ckpt_content_get(s);
    uint8_t *data = m_alloc(m->size);

    EXPECT(m_same(s->id, s->id_size, m->id, m->id_size));
    EXPECT(content->size == m->size);
    EXPECT(content->last_update_ns == m->update_ns);
    EXPECT(content->expiration_ns == m->expiration_ns);
    if (content->size == m->size) {
        ckpt_content_read(content, 0, data, m->size);
        EXPECT(m_same(data, m->size, m->data, m->size));
    }
    free(data);
}

static inline void compare_refs(const struct ckpt_checkpoint *c,
                                const struct m_checkpoint *m)
{
    uint32_t there = 0;

    for (uint32_t i = 0; i < c->ref_count; i++) {
        EXPECT(c->refs[i].node_id <= NODES && c->refs[i].count > 0);
        EXPECT(m->refs[c->refs[i].node_id] == c->refs[i].count);
    }
    for (uint32_t i = 0; i <= NODES; i++)
        there += m->refs[i] > 0;
    EXPECT(c->ref_count == there);
}

static inline void compare_checkpoint(const struct ckpt *k,
                                      const struct ckpt_checkpoint *c,
                                      const struct m_checkpoint *m)
{
    struct ckpt_section *s;
    uint64_t number = 0, bytes = 0;

    EXPECT(c->number == m->number && c->next_section == m->next_section);
    EXPECT(m_same(c->name, c->name_size, m->name, m->name_size));
    EXPECT(memcmp(&c->attributes, &m->attributes, sizeof m->attributes) == 0);
    EXPECT(c->retention_ns == m->retention_ns && c->unlinked == m->unlinked);
    EXPECT(c->active == m->active && c->section_count == m->section_count);
    EXPECT(c->due_ns == m->due_ns);
    compare_refs(c, m);
    for (const struct m_section *t = m->sections; t != NULL; t = t->next) {
        s = ckpt_section_next(c, number);
        EXPECT(s != NULL);
        if (s == NULL)
            return;
        EXPECT(ckpt_section_find(ckpt_store(k), c,
                                 (struct bytes){t->id, t->id_size}) == s);
        number = s->number;
        bytes += t->size;
        compare_section(s, t);
    }
    EXPECT(ckpt_section_next(c, number) == NULL);
    EXPECT(c->bytes == bytes);
}

static inline void compare(const struct node *n)
{
    const struct ckpt_store *store = ckpt_store(n->k);
    uint64_t number = 0;

    world.compared++;
    for (const struct m_checkpoint *m = n->model->checkpoints; m != NULL;
         m = m->next) {
        struct ckpt_checkpoint *c = ckpt_store_next(store, number);
        EXPECT(c != NULL);
        if (c == NULL)
            return;
        number = c->number;
        EXPECT((ckpt_store_find(store, (struct bytes){m->name, m->name_size}) ==
                c) == !m->unlinked);
        compare_checkpoint(n->k, c, m);
    }
    EXPECT(ckpt_store_next(store, number) == NULL);
    EXPECT(ckpt_stats_get(n->k).bytes == n->model->bytes);
    EXPECT(ckpt_stats_get(n->k).checkpoints == n->model->count);
}

/* What whole nodes of a part hold: the same, and what the model does. */
static inline void compare_part(const struct part *p)
{
    uint64_t hash = 0;
    bool any = false;

    for (uint32_t id = 1; id <= NODES; id++) {
        struct node *n = &world.nodes[id];
        if (!in_part(p, id) || !is_whole(n))
            continue;
        compare(n);
        if (!replica_ready(ckpt_replica(n->k)))
            continue; /* it may be another history's still */
        EXPECT(!any || hash == ckpt_hash(n->k));
        hash = ckpt_hash(n->k);
        any = true;
    }
}

/* --- plans ---------------------------------------------------------------- */

/* The state was given up: what its clients have open is opened again. */
static inline void given_up(struct node *n)
{
    world.given_up++;
    for (uint32_t i = 0; i < HANDLES; i++) {
        struct w_handle *h = &n->handles[i];
        if (h->state == W_CLOSING)
            h->state = W_NONE;
        if (h->state != W_OPEN)
            continue;
        const struct m_checkpoint *c = m_number(n->model, h->number);
        EXPECT(c != NULL);
        h->state = c == NULL || c->unlinked ? W_GONE : W_REOPEN;
        if (h->state == W_REOPEN) {
            h->name_size = c->name_size;
            memcpy(h->name, c->name, c->name_size);
        }
    }
}

/* All members have told: whose state goes on is the replica's decision (its own
 * tests judge it); what becomes of the rest is judged here. */
static inline void planned(struct part *p)
{
    struct model *winner = NULL, *next;
    bool goes_on[NODES + 1] = {false};

    world.plans++;
    for (uint32_t id = 1; id <= NODES; id++) {
        struct node *n = &world.nodes[id];
        const struct replica_stats *s =
            n->k == NULL ? NULL : replica_stats_get(ckpt_replica(n->k));
        if (!in_part(p, id))
            continue;
        goes_on[id] = n->was_whole && s->resets == n->resets;
        EXPECT(!goes_on[id] || winner == NULL || winner == n->model);
        if (goes_on[id])
            winner = n->model;
        else if (n->was_whole)
            given_up(n);
    }
    next = winner != NULL ? m_copy(winner) : m_new();
    next->bytes_max = UINT64_MAX;
    next->count_max = UINT32_MAX;
    for (uint32_t id = 1; id <= NODES; id++) {
        struct node *n = &world.nodes[id];
        if (!goes_on[id])
            m_node_gone(next, id);
        if (!in_part(p, id))
            continue;
        if (n->bytes_max < next->bytes_max)
            next->bytes_max = n->bytes_max;
        if (n->count_max < next->count_max)
            next->count_max = n->count_max;
        m_leave(n->model);
        n->model = next;
        next->users++;
    }
    m_leave(next);
}

static inline void look_for_plans(struct part *p)
{
    uint32_t planning = 0, members = 0;

    for (uint32_t id = 1; id <= NODES; id++)
        if (in_part(p, id)) {
            struct node *n = &world.nodes[id];
            uint64_t plans = replica_stats_get(ckpt_replica(n->k))->plans;
            members++;
            planning += plans != n->plans;
            n->plans = plans;
        }
    EXPECT(planning == 0 || planning == members);
    if (planning > 0)
        planned(p);
    for (uint32_t id = 1; id <= NODES; id++)
        if (in_part(p, id)) {
            struct node *n = &world.nodes[id];
            world.exchanges += is_whole(n) && !n->was_whole && planning == 0;
            n->was_whole = is_whole(n);
            n->resets = replica_stats_get(ckpt_replica(n->k))->resets;
        }
}

/* --- outcomes ------------------------------------------------------------- */

/* What the outcome must be; the library's copy of it. */
static inline void expect_outcome(struct node *n, const struct pend *p,
                                  const struct m_result *m)
{
    struct ipc_ckpt_reply reply = {
        .reply = {.result = m->result, .done = m->done}};
    struct ckpt_outcome o;

    if (m->opened != NULL) {
        reply.opened.attributes = m->opened->attributes;
        reply.opened.attributes.retention_ns = m->opened->retention_ns;
    }
    reply.id_length = m->id_size;
    memcpy(reply.id, m->id, m->id_size);
    world.results[p->r.type - IPC_SUBMIT_CKPT_OPEN][m->result]++;
    world.made_ids += m->id_size > 0;
    EXPECT(ckpt_outcome_next(n->k, &o));
    EXPECT(o.client == p->client && o.type == p->r.type);
    EXPECT(o.async == p->async);
    if (p->async)
        EXPECT(o.invocation == p->invocation);
    if (p->r.type == IPC_SUBMIT_CKPT_OPEN)
        EXPECT(o.flags == p->r.flags);
    else if (p->async)
        EXPECT(o.handle == p->handle);
    EXPECT(o.reply.opened.handle < HANDLES);
    if (m->opened != NULL && o.reply.opened.handle < HANDLES) {
        struct w_handle *h = &n->handles[o.reply.opened.handle];
        EXPECT(h->state == W_NONE);
        *h = (struct w_handle){
            .state = W_OPEN, .client = p->client, .number = m->opened->number};
        reply.opened.handle = o.reply.opened.handle;
    }
    EXPECT(memcmp(&reply, &o.reply, sizeof reply) == 0);
    EXPECT(!ckpt_outcome_next(n->k, &o));
}

/* --- the order ------------------------------------------------------------ */

enum { OP_BYTE = REPLICA_OP_HEAD_SIZE, OP_HEAD = 1 + 4 + 8 + 8 };

/* Is what the node's clock shows within the bound of the (lower) median? */
static inline bool is_believed(const struct part *p, uint32_t id)
{
    uint32_t middle = (p->conf.member_count - 1) / 2;

    for (uint32_t i = 0; i < p->conf.member_count; i++) {
        int64_t wall = p->walls[p->conf.members[i]];
        uint32_t below = 0, same = 0;
        for (uint32_t j = 0; j < p->conf.member_count; j++) {
            below += p->walls[p->conf.members[j]] < wall;
            same += p->walls[p->conf.members[j]] == wall;
        }
        if (below <= middle && middle < below + same)
            return llabs(p->walls[id] - wall) <= CKPT_CLOCK_FAR_NS;
    }
    return false;
}

enum { INFO_HELLO = 96, HELLO_WALL = 12 };

/* A message of a node itself, done to the model. */
static inline void own_do(struct node *n, const struct w_message *m)
{
    struct reader r = reader_of((struct bytes){m->data, m->n});
    struct w_handle *h;
    struct m_checkpoint *c;
    uint64_t number;

    if (m->data[1] == 1) {
        read_bytes(&r, INFO_HELLO + HELLO_WALL);
        n->part->walls[n->id] = (int64_t)read_u64(&r);
        EXPECT(reader_done(&r));
    }
    if (m->data[1] != 2)
        return; /* not an operation */
    read_bytes(&r, OP_BYTE + 1 + 4 + 8);
    int64_t now_ns = (int64_t)read_u64(&r);
    switch (m->data[OP_BYTE]) {
    case OP_TICK: {
        uint64_t before = n->model->bytes;
        bool believed = is_believed(n->part, n->id);
        int64_t time_ns = (int64_t)read_u64(&r);
        if (time_ns > n->model->time_ns)
            n->model->time_ns = time_ns;
        while (r.left > 0) {
            number = read_u64(&r);
            m_tick(n->model, believed, now_ns, number, read_u64(&r));
        }
        world.expired += before != n->model->bytes;
        world.ticks++;
        world.disbelieved += !believed;
        break;
    }
    case OP_CLOCK:
        n->part->walls[n->id] += (int64_t)read_u64(&r);
        world.steps++;
        break;
    case OP_REOPEN:
        h = &n->handles[read_u32(&r)];
        number = read_u16(&r);
        c = m_find(n->model, r.p, (size_t)number);
        if (c != NULL)
            m_ref(c, n->id);
        if (h->state != W_REOPEN)
            break; /* its client is gone */
        EXPECT(m_same(h->name, h->name_size, r.p, (size_t)number));
        h->state = c != NULL ? W_OPEN : W_GONE;
        h->number = c != NULL ? c->number : 0;
        world.reopened += c != NULL;
        world.gone += c == NULL;
        break;
    case IPC_SUBMIT_CKPT_CLOSE:
        m_close(n->model, read_u64(&r), n->id);
        break;
    default:
        EXPECT(!"an operation of a node");
    }
}

static inline void deliver_to(struct node *n, const struct w_message *m)
{
    uint8_t *exact = m_alloc(m->n);

    memcpy(exact, m->data, m->n);
    EXPECT(ckpt_message(n->k, m->sender, (struct bytes){exact, m->n}));
    free(exact);
}

/* A request that has come out of the order, at its sender. */
static inline void request_done(struct node *n, struct pend *p)
{
    struct m_result result = {0};
    struct ckpt_outcome o;

    result.result = m_request_do(n->model, &p->r, &result);
    if (p->r.type == IPC_SUBMIT_CKPT_CLOSE)
        n->handles[p->handle].state = W_NONE;
    if (p->alive) {
        n->pend[p->client] = NULL;
        expect_outcome(n, p, &result);
    } else {
        EXPECT(!ckpt_outcome_next(n->k, &o));
    }
}

/* True: there was one. */
static inline bool deliver(struct part *p)
{
    struct w_message *m = p->first;

    if (m == NULL)
        return false;
    if ((p->first = m->next) == NULL)
        p->end = &p->first;
    for (uint32_t id = 1; id <= NODES; id++)
        if (in_part(p, id))
            deliver_to(&world.nodes[id], m);
    struct node *n = &world.nodes[m->sender];
    if (m->pend == NULL)
        own_do(n, m);
    else
        request_done(n, m->pend);
    look_for_plans(p);
    compare_part(p);
    message_free(m);
    return true;
}

static inline void enqueue(struct node *n, struct w_message *m)
{
    struct part *p = n->part;
    m->next = NULL;
    *p->end = m;
    p->end = &m->next;
}

static inline void send_unsent(struct node *n)
{
    if (n->unsent != NULL)
        enqueue(n, n->unsent);
    n->unsent = NULL;
}

/* What the node has to say itself, not sent yet. True: it had something. */
static inline bool begin_to_say(struct node *n)
{
    uint8_t data[CKPT_MESSAGE_SIZE_MAX];

    if (ckpt_message_kind(n->k) == REPLICA_NOTHING)
        return false;
    send_unsent(n);
    size_t size = ckpt_message_write(n->k, data);
    EXPECT(size > 0 && size <= sizeof data);
    struct w_message *m = m_alloc(sizeof *m + size);
    *m = (struct w_message){.sender = n->id, .n = size};
    memcpy(m->data, data, size);
    n->unsent = m;
    return true;
}

static inline bool say(struct node *n)
{
    bool any = begin_to_say(n);
    send_unsent(n);
    return any;
}

/* --- configurations ------------------------------------------------------- */

/* What was not sent as a whole never will be. */
static inline void untake(struct node *n)
{
    struct w_message *m = n->unsent;

    if (m == NULL)
        return;
    n->unsent = NULL;
    world.unsaid += m->pend == NULL;
    if (m->pend != NULL)
        ckpt_untake(n->k, m->pend->client);
    if (m->pend != NULL && m->pend->alive) {
        n->pend[m->pend->client] = NULL;
        world.untaken++;
        if (m->pend->r.type == IPC_SUBMIT_CKPT_CLOSE)
            n->handles[m->pend->handle].state = W_OPEN;
    }
    message_free(m);
}

/* All nodes that are up form parts: `part_of` by node. */
static inline void configure(const uint32_t part_of[NODES + 1])
{
    for (uint32_t i = 1; i <= NODES; i++)
        while (deliver(&world.parts[i]))
            continue;
    for (uint32_t i = 1; i <= NODES; i++) {
        struct part *p = &world.parts[i];
        p->end = &p->first;
        p->conf = (struct totem_configuration){
            .ring_id = {.seq = ++world.seq, .nonce = pick(100), .rep = i}};
        for (uint32_t id = 1; id <= NODES; id++) {
            struct node *n = &world.nodes[id];
            if (n->k == NULL || part_of[id] != i)
                continue;
            p->conf.members[p->conf.member_count] = id;
            p->conf.incarnations[p->conf.member_count++] = n->incarnation;
        }
    }
    for (uint32_t id = 1; id <= NODES; id++) {
        struct node *n = &world.nodes[id];
        if (n->k == NULL)
            continue;
        untake(n);
        n->part = &world.parts[part_of[id]];
        ckpt_configuration(n->k, &n->part->conf);
    }
}

static inline void configure_all(void)
{
    configure((const uint32_t[NODES + 1]){0, 1, 1, 1, 1});
}

/* When all is still: a node is counted for what its clients have open, and
 * nothing else. */
static inline void compare_handles(const struct node *n)
{
    uint32_t used = 0;

    if (n->k == NULL || !is_whole(n))
        return;
    for (const struct m_checkpoint *m = n->model->checkpoints; m; m = m->next) {
        uint32_t open = 0;
        for (uint32_t i = 0; i < HANDLES; i++)
            open += n->handles[i].state == W_OPEN &&
                    n->handles[i].number == m->number;
        EXPECT(open == m->refs[n->id]);
    }
    for (uint32_t i = 0; i < HANDLES; i++)
        used += n->handles[i].state != W_NONE;
    EXPECT(ckpt_stats_get(n->k).handles == used);
}

/* When this node is to send a tick, if it is the one. */
static inline int64_t wake_of(const struct node *n)
{
    const struct ckpt_now *now = &n->k->clock.now;
    int64_t checkpoint_ns, section_ns, wake_ns = INT64_MAX;

    m_due(n->model, &checkpoint_ns, &section_ns);
    if (checkpoint_ns == INT64_MIN)
        return INT64_MIN;
    if (checkpoint_ns != INT64_MAX)
        wake_ns = ckpt_clock_steady_at(&n->k->clock, checkpoint_ns);
    if (section_ns == INT64_MAX || !is_believed(n->part, n->id))
        return wake_ns;
    /* It looks once in a second, as clocks may be set. */
    section_ns = section_ns <= now->wall_ns ? now->steady_ns
                 : section_ns / 2 - now->wall_ns / 2 > SECOND / 2
                     ? now->steady_ns + (int64_t)SECOND
                     : now->steady_ns + section_ns - now->wall_ns;
    return section_ns < wake_ns ? section_ns : wake_ns;
}

/* When all is still: one node of a part knows when the first is due; one more,
 * for checkpoints alone, if its clock is not believed and nobody else had the
 * state. */
static inline void compare_wake(const struct part *p)
{
    uint32_t awake = 0, believed = 0;
    bool due = false;

    for (uint32_t id = 1; id <= NODES; id++) {
        const struct node *n = &world.nodes[id];
        if (!in_part(p, id))
            continue;
        int64_t wake_ns = ckpt_wake_ns(n->k);
        due |= wake_of(n) != INT64_MAX;
        awake += wake_ns != INT64_MAX;
        believed += wake_ns != INT64_MAX && is_believed(p, id);
        EXPECT(wake_ns == INT64_MAX || wake_ns == wake_of(n) ||
               (wake_ns < 0 && wake_of(n) == INT64_MIN));
    }
    EXPECT(due == (awake > 0) && believed <= 1);
}

/* Everything that is under way, until nobody has anything to say. */
static inline void settle(void)
{
    bool any = true;

    while (any && world.wrong == 0) {
        any = false;
        for (uint32_t id = 1; id <= NODES; id++) {
            struct node *n = &world.nodes[id];
            if (n->k == NULL)
                continue;
            send_unsent(n);
            any |= say(n);
        }
        for (uint32_t i = 1; i <= NODES; i++)
            while (world.parts[i].end != NULL && deliver(&world.parts[i]))
                any = true;
    }
    for (uint32_t id = 1; id <= NODES; id++)
        compare_handles(&world.nodes[id]);
    for (uint32_t i = 1; i <= NODES && world.wrong == 0; i++)
        compare_wake(&world.parts[i]);
}

/* --- requests ------------------------------------------------------------- */

static inline size_t pad8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static inline uint64_t data_size(const struct m_request *r)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < r->count; i++)
        n += r->elements[i].size;
    return n;
}

/* As a library writes it. */
static inline size_t encode_section(const struct pend *p, uint8_t *head)
{
    const struct m_request *r = &p->r;
    struct ipc_ckpt_section_request s = {.handle = p->handle,
                                         .expiration_ns = r->expiration_ns,
                                         .count = r->count};
    size_t at = sizeof s;

    for (uint32_t i = 0; i < r->count; i++) {
        struct ipc_ckpt_element e = {.offset = r->elements[i].offset,
                                     .size = r->elements[i].size,
                                     .id_length = r->elements[i].id_size};
        memcpy(head + at, &e, sizeof e);
        at += sizeof e;
        memset(head + at, 0, pad8(e.id_length));
        memcpy(head + at, r->elements[i].id, e.id_length);
        at += pad8(e.id_length);
    }
    s.head_size = (uint32_t)at;
    memcpy(head, &s, sizeof s);
    return at;
}

static inline size_t encode(const struct pend *p, uint8_t *head)
{
    const struct m_request *r = &p->r;
    struct ipc_ckpt_open open = {.invocation = p->invocation,
                                 .flags = r->flags,
                                 .async = p->async,
                                 .name_length = r->name_size,
                                 .attributes = r->attributes};
    struct ipc_ckpt_unlink unlink = {.name_length = r->name_size};
    struct ipc_ckpt_request request = {.handle = p->handle,
                                       .async = p->async,
                                       .invocation = p->invocation,
                                       .retention_ns = r->retention_ns};

    if (r->type >= IPC_SUBMIT_CKPT_SECTION_CREATE)
        return encode_section(p, head);
    if (r->type == IPC_SUBMIT_CKPT_OPEN) {
        memcpy(open.name, r->name, r->name_size);
        memcpy(head, &open, sizeof open);
        return sizeof open;
    }
    if (r->type == IPC_SUBMIT_CKPT_UNLINK) {
        memcpy(unlink.name, r->name, r->name_size);
        memcpy(head, &unlink, sizeof unlink);
        return sizeof unlink;
    }
    memcpy(head, &request, sizeof request);
    return sizeof request;
}

static inline bool needs_handle(uint32_t type)
{
    return type != IPC_SUBMIT_CKPT_OPEN && type != IPC_SUBMIT_CKPT_UNLINK;
}

/* Answered at once: the handle is not its client's, or has lost its
 * checkpoint. */
static inline bool answered(struct node *n, struct pend *p)
{
    struct m_result result = {.result = IPC_ERR_BAD_HANDLE};
    struct w_handle *h;

    if (!needs_handle(p->r.type))
        return false;
    h = p->handle < HANDLES ? &n->handles[p->handle] : NULL;
    if (h != NULL && h->state == W_OPEN && h->client == p->client) {
        p->r.number = h->number;
        return false;
    }
    EXPECT(h == NULL || h->client != p->client || h->state != W_REOPEN);
    if (h != NULL && h->client == p->client && h->state == W_GONE) {
        bool close = p->r.type == IPC_SUBMIT_CKPT_CLOSE;
        result.result = close ? IPC_OK : IPC_ERR_NOT_EXIST;
        if (close)
            h->state = W_NONE;
    }
    expect_outcome(n, p, &result);
    return true;
}

/* Takes a request, p's memory too; its message is not sent yet. */
static inline void take(struct node *n, struct pend *p)
{
    uint8_t head[IPC_CKPT_HEAD_SIZE_MAX], op[CKPT_HEAD_SIZE_MAX];
    size_t head_size = encode(p, head), data = (size_t)data_size(&p->r);
    struct ckpt_request r = {.client = p->client,
                             .type = p->r.type,
                             .now_ns = p->r.now_ns,
                             .head = head,
                             .head_size = head_size,
                             .data_size = data};

    EXPECT(ckpt_may_take(n->k, p->client) && n->pend[p->client] == NULL);
    EXPECT(ckpt_request_ok(&r));
    send_unsent(n);
    size_t size = ckpt_take(n->k, &r, op);
    if (answered(n, p)) {
        EXPECT(size == 0);
        pend_free(p);
        return;
    }
    EXPECT(size > 0 && size <= sizeof op);
    EXPECT(!ckpt_may_take(n->k, p->client));
    struct w_message *m = m_alloc(sizeof *m + size + data);
    *m = (struct w_message){.sender = n->id, .pend = p, .n = size + data};
    memcpy(m->data, op, size);
    if (data > 0)
        memcpy(m->data + size, p->r.data, data);
    p->alive = true;
    n->pend[p->client] = p;
    n->unsent = m;
    if (p->r.type == IPC_SUBMIT_CKPT_CLOSE)
        n->handles[p->handle].state = W_CLOSING;
}

/* The client dies; what it has under way goes on, if it was sent. */
static inline void client_dies(struct node *n, uint32_t client)
{
    struct pend *p = n->pend[client];

    world.died += p != NULL;
    if (p != NULL)
        p->alive = false;
    n->pend[client] = NULL;
    for (uint32_t i = 0; i < HANDLES; i++)
        if (n->handles[i].client == client)
            n->handles[i].state = W_NONE;
    ckpt_client_gone(n->k, client);
}

/* --- the beginning and the end -------------------------------------------- */

static inline void world_begin(uint64_t seed)
{
    uint32_t i;

    random_state = seed * 0x9e3779b97f4a7c15u + 1;
    for (i = 1; i <= NODES; i++)
        world.parts[i] = (struct part){.end = &world.parts[i].first};
    world.now_ns = 1000000000;
}

static inline void world_end(void)
{
    for (uint32_t i = 1; i <= NODES; i++) {
        while (world.parts[i].first != NULL) {
            struct w_message *m = world.parts[i].first;
            world.parts[i].first = m->next;
            message_free(m);
        }
        if (world.nodes[i].k != NULL)
            node_stop(i);
    }
    CU_ASSERT_EQUAL(world.wrong, 0);
    world.wrong = 0;
}

#endif
