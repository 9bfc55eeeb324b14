// SPDX-License-Identifier: BSD-3-Clause
// The network: every packet to every reachable node, late, lost, twice or out
// of order as the scenario says, into a bounded queue of the receiver.
#include "test/sim/sim.h"

#include "daemon/base/check.h"

#include <stdlib.h>

bool queue_push(struct queue *q, struct packet *p)
{
    if (q->count == q->max)
        return false;
    q->items[(q->head + q->count++) % q->max] = p;
    return true;
}

struct packet *queue_pop(struct queue *q)
{
    if (q->count == 0)
        return NULL;
    struct packet *p = q->items[q->head];
    q->head = (q->head + 1) % q->max;
    q->count--;
    return p;
}

void queue_clear(struct queue *q)
{
    struct packet *p;
    while ((p = queue_pop(q)) != NULL)
        packet_release(p);
}

void packet_release(struct packet *p)
{
    CHECK(p->references > 0);
    if (--p->references == 0)
        free(p);
}

bool network_same_part(const struct world *w, uint32_t a, uint32_t b)
{
    return w->parts < 2 || random_hash(w->shape, a) % w->parts ==
                               random_hash(w->shape, b) % w->parts;
}

void network_heal(struct world *w)
{
    const struct scenario *s = w->scenario;
    for (uint32_t i = 0; i < w->node_count * w->node_count; i++)
        w->links[i].cut = false;
    w->parts = s->final_parts;
    w->shape = s->final_shape;
    w->loss.ppm = 0;
    w->delay.ns = 0;
    w->duplicate_ppm = 0;
    w->reorder_ppm = 0;
}

static bool concerns(uint32_t fault_node, uint32_t node)
{
    return fault_node == UINT32_MAX || fault_node == node;
}

static void carry_copy(struct world *w, uint32_t from, uint32_t to,
                       struct packet *p, uint32_t channel, uint64_t leaves_ns)
{
    const struct scenario *s = w->scenario;
    struct link *link = &w->links[from * w->node_count + to];
    uint64_t at =
        leaves_ns + s->delay_ns + random_range(&w->random, 0, s->jitter_ns);
    if (concerns(w->delay.node, to))
        at += w->delay.ns;
    if (random_chance(&w->random, w->reorder_ppm)) {
        at += random_range(&w->random, 0, 4 * s->delay_ns + SIM_MS);
    } else {
        if (at <= link->last_ns)
            at = link->last_ns + 1;
        link->last_ns = at;
    }
    p->references++;
    world_at(
        w, at,
        (struct sim_event){
            .kind = SIM_ARRIVAL, .node = to, .value = channel, .packet = p});
}

static void carry(struct world *w, uint32_t from, uint32_t to, struct packet *p,
                  uint32_t channel, uint64_t leaves_ns)
{
    if (w->links[from * w->node_count + to].cut ||
        !network_same_part(w, from, to) ||
        (from == w->hole && channel == CHANNEL_DATA))
        return;
    uint32_t copies = random_chance(&w->random, w->duplicate_ppm) ? 2 : 1;
    for (uint32_t i = 0; i < copies; i++) {
        /* What the scenario always loses ends with the healing, too. */
        if (!w->healed && random_chance(&w->random, w->scenario->loss_ppm))
            continue;
        if ((w->loss.channels & channel) != 0 && concerns(w->loss.node, to) &&
            random_chance(&w->random, w->loss.ppm))
            continue;
        carry_copy(w, from, to, p, channel, leaves_ns);
    }
}

static void report_down(struct world *w, struct node *from, struct node *to,
                        uint64_t leaves_ns)
{
    if (!w->scenario->report_unreachable ||
        !network_same_part(w, from->place, to->place) ||
        !random_chance(&w->random, 500000))
        return;
    world_at(w, leaves_ns + 2 * w->scenario->delay_ns,
             (struct sim_event){.kind = SIM_UNREACHABLE,
                                .node = from->place,
                                .value = to->id,
                                .tag = from->incarnation});
}

void network_send(struct world *w, struct node *from,
                  const struct totem_send *send)
{
    size_t size = send->packet.n;
    struct packet *p = malloc(sizeof *p + size);
    CHECK(p != NULL);
    *p = (struct packet){.references = 1, .size = (uint32_t)size};
    memcpy(p->data, send->packet.p, size);
    w->packets++;

    uint64_t *free_ns = &w->sender_free_ns[from->place];
    if (*free_ns < w->now_ns)
        *free_ns = w->now_ns;
    *free_ns += size * w->scenario->byte_ps / 1000;
    if (send->to == TOTEM_TO_NODE) {
        struct node *to = world_node_of_id(w, send->node_id);
        if (to == NULL || to == from)
            trace_fail(w->trace, "driver: node %u sends to node %u", from->id,
                       send->node_id);
        else if (!to->up)
            report_down(w, from, to, *free_ns);
        else
            carry(w, from->place, to->place, p, CHANNEL_TOKEN, *free_ns);
    } else {
        for (uint32_t i = 0; i < w->node_count; i++)
            if (i != from->place)
                carry(w, from->place, i, p, CHANNEL_DATA, *free_ns);
    }
    packet_release(p);
}
