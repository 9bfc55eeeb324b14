// SPDX-License-Identifier: BSD-3-Clause
// The replicated services of a node, driven as daemon/server/ does: INFO first,
// pieces of a state with a pause between them, clients' requests one by one;
// and what was not sent as a whole when a configuration comes is begun anew.
#include "test/sim/service.h"

#include "daemon/base/check.h"

#include <stdlib.h>

enum { POLL_MS = 20, OPS_IN_VISIT = 8, WALL_NS_AT_START = 1000000000 };

static const uint64_t HOURS_NS = 2 * 3600 * 1000000000ull;

static const struct service_kind *const kinds[SERVICES] = {&service_toy,
                                                           &service_ckpt};

struct service {
    const struct service_kind *kind;
    void *state;
    uint32_t process; /* in the checker */
    uint32_t due;     /* requests that clients have */
    uint64_t piece_at_ns;
    size_t own_size, op_size; /* to be sent, or half sent; 0: nothing */
    uint8_t own[REPLICA_MESSAGE_SIZE_MAX], op[SERVICE_OP_MAX];
};

struct services {
    struct service list[SERVICES];
    struct service *half_sent;
};

/* Most nodes' wall clocks differ by less than a second; some by hours, and some
 * are set while all is under way. */
static int64_t wall_ns(const struct world *w, const struct node *n)
{
    struct random r;
    random_seed(&r, w->scenario->seed ^ 0x77616c6c ^ n->id);
    int64_t wall_ns = (int64_t)(WALL_NS_AT_START * 1000000000ull + w->now_ns +
                                random_range(&r, 0, 999 * SIM_MS));
    for (int i = 0; i < 2; i++) {
        bool apart = random_chance(&r, 250000);
        uint64_t from_ns = random_range(&r, 0, w->scenario->load_end_ns) *
                           (uint64_t)i; /* 0: it always is */
        int64_t by_ns =
            (int64_t)random_range(&r, 0, 4 * HOURS_NS) - 2 * (int64_t)HOURS_NS;
        if (apart && w->now_ns >= from_ns)
            wall_ns += by_ns;
    }
    return wall_ns;
}

static void time_tell(const struct world *w, const struct node *n,
                      const struct service *s)
{
    s->kind->time(s->state, (int64_t)node_clock(w, n), wall_ns(w, n));
}

uint32_t service_promise(struct world *w)
{
    return ++w->service_promises;
}

static struct replicas_process process_of(const struct service *s)
{
    return (struct replicas_process){.replica = s->kind->replica(s->state),
                                     .succeeded = s->kind->succeeded(s->state),
                                     .hash = s->kind->hash,
                                     .context = s->state};
}

// --- life
// ---------------------------------------------------------------------

void services_open(struct world *w)
{
    random_seed(&w->service_random, w->scenario->seed ^ 0x73657276);
    w->service_ops_left = w->scenario->service_ops;
    for (uint32_t i = 0; i < SERVICES; i++)
        w->replicas[i] = replicas_new(kinds[i]->name, w->trace);
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->scenario->service_ops > 0)
            world_at(w, random_range(&w->service_random, 1, POLL_MS * SIM_MS),
                     (struct sim_event){.kind = SIM_SERVICE, .node = i});
}

void services_close(struct world *w)
{
    for (uint32_t i = 0; i < SERVICES; i++) {
        for (uint32_t k = 0; k < REPLICAS_TALLIES; k++)
            w->results->services[i][k] +=
                replicas_tally(w->replicas[i], (enum replicas_tally)k);
        w->results->promises += replicas_promises(w->replicas[i]);
        replicas_free(w->replicas[i]);
    }
}

void services_start(struct world *w, struct node *n)
{
    if (w->scenario->service_ops == 0)
        return;
    n->services = calloc(1, sizeof *n->services);
    CHECK(n->services != NULL);
    for (uint32_t i = 0; i < SERVICES; i++) {
        struct service *s = &n->services->list[i];
        s->kind = kinds[i];
        s->state = kinds[i]->start(w, n);
        s->process = replicas_start(w->replicas[i], n->id);
    }
}

void services_stop(struct world *w, struct node *n)
{
    for (uint32_t i = 0; i < SERVICES && n->services != NULL; i++) {
        struct service *s = &n->services->list[i];
        struct replicas_process p = process_of(s);
        replicas_stop(w->replicas[i], s->process, &p);
        s->kind->stop(s->state);
    }
    free(n->services);
    n->services = NULL;
}

// --- from the order
// -----------------------------------------------------------

void services_configuration(struct world *w, struct node *n,
                            const struct totem_configuration *c)
{
    for (uint32_t i = 0; i < SERVICES && n->services != NULL; i++) {
        struct service *s = &n->services->list[i];
        struct replicas_process p = process_of(s);
        if (!c->transitional) {
            if (s->op_size > 0)
                s->kind->untake(s->state);
            s->own_size = s->op_size = 0;
            n->services->half_sent = NULL;
        }
        time_tell(w, n, s);
        replicas_configuration(w->replicas[i], s->process, &p, c);
        s->kind->configuration(s->state, c);
    }
}

bool services_delivered(struct world *w, struct node *n,
                        const struct group_event *e)
{
    for (uint32_t i = 0; i < SERVICES && n->services != NULL; i++) {
        struct service *s = &n->services->list[i];
        uint32_t promise = 0;
        if (e->message.service != s->kind->group_service)
            continue;
        n->delivered_in_ring++;
        if (e->message.sender == n->id && n->owed > 0)
            n->owed--;
        time_tell(w, n, s);
        if (!s->kind->message(s->state, e->message.sender, e->message.data,
                              &promise))
            trace_fail(w->trace,
                       "service: node %u cannot make sense of a message of "
                       "%zu bytes of node %u for %s",
                       n->id, e->message.data.n, e->message.sender,
                       s->kind->name);
        struct replicas_process p = process_of(s);
        replicas_delivered(w->replicas[i], s->process, &p, e->message.data);
        if (promise != 0)
            replicas_promise(w->replicas[i], s->process, promise);
        return true;
    }
    return false;
}

// --- visits
// -------------------------------------------------------------------

static bool piece_may(const struct world *w, const struct service *s)
{
    return w->now_ns >= s->piece_at_ns;
}

/* True: there is something to be sent now, and it is ready. */
static bool prepare(struct world *w, struct node *n, struct service *s,
                    uint32_t *ops)
{
    if (s->own_size > 0 || s->op_size > 0)
        return true;
    enum replica_kind kind = s->kind->message_kind(s->state);
    if (kind == REPLICA_PIECE && !piece_may(w, s))
        kind = REPLICA_NOTHING;
    if (kind != REPLICA_NOTHING) {
        if (kind == REPLICA_PIECE)
            s->piece_at_ns =
                w->now_ns + (w->healed ? 0 : w->scenario->piece_pause_ns);
        s->own_size = s->kind->message_write(s->state, s->own);
        CHECK(s->own_size > 0 && s->own_size <= sizeof s->own);
        return true;
    }
    while (s->due > 0 && *ops > 0 && s->op_size == 0 &&
           s->kind->may_take(s->state)) {
        s->due--;
        --*ops;
        s->op_size = s->kind->take(w, s->state, wall_ns(w, n), s->op);
    }
    return s->op_size > 0;
}

/* False: the visit is full. */
static bool send(struct node *n, struct service *s)
{
    struct bytes part = {s->op, s->op_size};
    if (s->own_size > 0)
        part = (struct bytes){s->own, s->own_size};
    enum group_put_result result =
        group_put(n->group, n->totem,
                  &(struct group_message){.service = s->kind->group_service,
                                          .parts = &part,
                                          .part_count = 1});
    CHECK(result != GROUP_PUT_TOO_BIG);
    n->services->half_sent = NULL;
    if (result == GROUP_PUT_PARTIAL) {
        /* Nothing of it may have been sent: then others may come before. */
        if (group_is_partial(n->group))
            n->services->half_sent = s;
        return false;
    }
    n->sent_in_ring++;
    n->owed++;
    if (s->own_size > 0)
        s->own_size = 0;
    else
        s->op_size = 0;
    return true;
}

bool services_are_half_sent(const struct node *n)
{
    return n->services != NULL && n->services->half_sent != NULL;
}

bool services_visit(struct world *w, struct node *n)
{
    uint32_t ops = OPS_IN_VISIT;
    if (n->services == NULL)
        return true;
    if (n->services->half_sent != NULL && !send(n, n->services->half_sent))
        return false;
    for (uint32_t i = 0; i < SERVICES; i++) {
        struct service *s = &n->services->list[i];
        time_tell(w, n, s);
        while (prepare(w, n, s, &ops))
            if (!send(n, s))
                return false;
    }
    return true;
}

size_t services_backlog(const struct node *n)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < SERVICES && n->services != NULL; i++)
        bytes += n->services->list[i].own_size + n->services->list[i].op_size;
    return bytes;
}

bool services_want(struct world *w, struct node *n)
{
    for (uint32_t i = 0; i < SERVICES && n->services != NULL; i++) {
        struct service *s = &n->services->list[i];
        enum replica_kind kind = s->kind->message_kind(s->state);
        if (s->own_size > 0 || s->op_size > 0 || kind == REPLICA_INFO ||
            (kind == REPLICA_PIECE && piece_may(w, s)) ||
            (s->due > 0 && s->kind->may_take(s->state)))
            return true;
    }
    return false;
}

// --- load, and the end
// --------------------------------------------------------

void services_poll(struct world *w, struct node *n)
{
    struct random *r = &w->service_random;
    world_at(
        w, w->now_ns + random_range(r, POLL_MS * SIM_MS / 4, POLL_MS * SIM_MS),
        (struct sim_event){.kind = SIM_SERVICE, .node = n->place});
    if (!n->up || n->frozen)
        return;
    for (uint32_t i = 0; i < SERVICES; i++) {
        struct service *s = &n->services->list[i];
        time_tell(w, n, s);
        if (w->now_ns >= w->scenario->load_end_ns || w->service_ops_left == 0 ||
            !random_chance(r, w->scenario->service_ppm))
            continue;
        w->service_ops_left--;
        s->due += (uint32_t)random_range(r, 1, w->scenario->service_burst);
    }
    if (services_want(w, n) && totem_wants_submit(n->totem))
        node_submit(w, n);
}

bool services_are_well(const struct node *n, const char **why)
{
    for (uint32_t i = 0; i < SERVICES && n->services != NULL; i++) {
        const struct service *s = &n->services->list[i];
        *why = "a service has not got its state";
        if (!replica_ready(s->kind->replica(s->state)))
            return false;
        *why = "a service has something to send";
        if (s->due > 0 || s->own_size > 0 || s->op_size > 0 ||
            s->kind->message_kind(s->state) != REPLICA_NOTHING)
            return false;
        *why = "a client of a service waits";
        if (!s->kind->is_idle(s->state))
            return false;
    }
    return true;
}

/* The node of the same ring with the lowest place. */
static struct node *first_of_ring(struct world *w, const struct node *n)
{
    struct node *first = world_node_of_id(w, n->members[0]);
    CHECK(first != NULL && first->up);
    return first;
}

void services_end(struct world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];
        for (uint32_t k = 0; k < SERVICES && n->services != NULL; k++) {
            struct service *s = &n->services->list[k];
            struct service *t = &first_of_ring(w, n)->services->list[k];
            struct replica_place a =
                replica_place_get(s->kind->replica(s->state));
            struct replica_place b =
                replica_place_get(t->kind->replica(t->state));
            if (memcmp(&a, &b, sizeof a) != 0 ||
                s->kind->hash(s->state) != t->kind->hash(t->state))
                trace_fail(w->trace,
                           "identical: %s: nodes %u and %u differ at the end",
                           s->kind->name, n->id, n->members[0]);
            replicas_end(w->replicas[k], s->process, s->kind->has, s->state);
        }
    }
}
