// SPDX-License-Identifier: BSD-3-Clause
// The network: every packet to every reachable node, late, lost, twice or out
// of order as the scenario says, into a bounded queue of the receiver.
#include "test/sim/sim.h"

#include "daemon/base/check.h"
#include "daemon/totem/wire.h"

#include <stdlib.h>

bool queue_push(struct queue *q, struct packet *p)
{
    if (q->count >= q->limit)
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
    w->loss.ppm = w->kind_loss.ppm = w->corrupt.ppm = 0;
    w->half_count = 0;
    w->bursts.enter_ppm = 0;
    w->delay.ns = 0;
    w->duplicate_ppm = 0;
    w->reorder_ppm = 0;
}

static bool concerns(uint32_t fault_node, uint32_t node)
{
    return fault_node == UINT32_MAX || fault_node == node;
}

/* A packet with some bits turned over. A real one comes as far as the seal,
 * which refuses it (nothing that was changed passes it, but one in 2^128): it
 * takes room in the queue and time, and the core never sees it. So does this
 * one, see take_packet(). What the decoders do with such bytes is for the
 * fuzzers to find. */
static struct packet *corrupted(struct world *w, const struct packet *p)
{
    struct packet *changed = malloc(sizeof *changed + p->size);
    CHECK(changed != NULL);
    memcpy(changed, p, sizeof *changed + p->size);
    changed->references = 0;
    changed->corrupt = true;
    for (uint64_t n = random_range(&w->random, 1, 4); n > 0; n--) {
        uint64_t bit = random_range(&w->random, 0, 8ull * p->size - 1);
        changed->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return changed;
}

static void carry_copy(struct world *w, uint32_t from, uint32_t to,
                       struct packet *p, uint32_t channel, uint64_t leaves_ns)
{
    const struct scenario *s = w->scenario;
    struct link *link = &w->links[from * w->node_count + to];
    leaves_ns = half_delays(w, from, to, p, leaves_ns);
    if (leaves_ns == SIM_NEVER)
        return;
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
    if (concerns(w->corrupt.node, to) &&
        random_chance(&w->random, w->corrupt.ppm))
        p = corrupted(w, p);
    p->references++;
    world_at(
        w, at,
        (struct sim_event){
            .kind = SIM_ARRIVAL, .node = to, .value = channel, .packet = p});
}

static bool lost_in_burst(struct world *w, struct link *link)
{
    const struct bursts *b = &w->bursts;
    if (b->enter_ppm == 0)
        return false;
    link->bad = link->bad ? !random_chance(&w->random, b->leave_ppm)
                          : random_chance(&w->random, b->enter_ppm);
    if (!link->bad || !random_chance(&w->random, b->loss_ppm))
        return false;
    w->results->tallies[TALLY_BURST]++;
    return true;
}

static bool lost_by_kind(struct world *w, uint32_t to, const struct packet *p)
{
    static const enum tally tallies[] = {[WIRE_DATA] = TALLY_KIND_DATA,
                                         [WIRE_TOKEN] = TALLY_KIND_TOKEN,
                                         [WIRE_JOIN] = TALLY_KIND_JOIN,
                                         [WIRE_COMMIT] = TALLY_KIND_COMMIT};
    uint8_t kind = p->data[0];
    CHECK(kind >= WIRE_DATA && kind <= WIRE_ACK);
    if (!concerns(w->kind_loss.node, to) ||
        (w->kind_loss.kinds >> kind & 1) == 0 ||
        !random_chance(&w->random, w->kind_loss.ppm))
        return false;
    if (kind <= WIRE_COMMIT)
        w->results->tallies[tallies[kind]]++;
    return true;
}

/* Each draws its lot, also when another has lost it: a burst goes on. */
static bool lost(struct world *w, uint32_t from, uint32_t to,
                 const struct packet *p, uint32_t channel)
{
    bool is = lost_in_burst(w, &w->links[from * w->node_count + to]);
    is |= lost_by_kind(w, to, p);
    is |= half_loses(w, from, to, p, channel);
    /* What the scenario always loses ends with the healing, too. */
    is |= !w->healed && random_chance(&w->random, w->scenario->loss_ppm);
    is |= (w->loss.channels & channel) != 0 && concerns(w->loss.node, to) &&
          random_chance(&w->random, w->loss.ppm);
    return is;
}

static void carry(struct world *w, uint32_t from, uint32_t to, struct packet *p,
                  uint32_t channel, uint64_t leaves_ns)
{
    if (w->links[from * w->node_count + to].cut ||
        !network_same_part(w, from, to) ||
        (from == w->hole && channel == CHANNEL_DATA))
        return;
    uint32_t copies = random_chance(&w->random, w->duplicate_ppm) ? 2 : 1;
    for (uint32_t i = 0; i < copies; i++)
        if (!lost(w, from, to, p, channel))
            carry_copy(w, from, to, p, channel, leaves_ns);
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
    *p = (struct packet){
        .references = 1, .size = (uint32_t)size, .sender = from->id};
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
