// SPDX-License-Identifier: BSD-3-Clause
// Networks that are half broken and stay so: between some nodes, one way or
// both, packets of some kinds, sizes or channels are lost, or wait in a long
// queue. Nobody is silent then, yet not every ring can work. The rules:
// - a node sees at most CHANGES_FIRST configurations in the first FIRST_S
//   seconds, and one more in each further MORE_S seconds; as many again for a
//   second fault. Three times as many for a fault that hits packets by their
//   kind: packets are sealed, so no real network does that, and probes cannot
//   show it;
// - never for longer than SETTLED_MS and fail_recv_const rotations, for each
//   fault, are not all nodes in rings, no two of which are such that all their
//   members get on. After a fault by kind a node may be left out wrongly for as
//   long as a link can take to be trusted again.
#include "test/sim/sim.h"

#include "daemon/base/check.h"
#include "daemon/totem/wire.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    CHANGES_FIRST = 8,
    FIRST_S = 20,
    MORE_S = 10,
    SETTLED_MS = 3000,
    TRUSTED_MS = 40000,
    POLL_MS = 20,
    LOAD_BYTES_MAX = 20000000
};

static bool covers(const struct half *h, uint32_t from, uint32_t to)
{
    return (h->from == UINT32_MAX || h->from == from) &&
           (h->to == UINT32_MAX || h->to == to);
}

void half_begin(struct world *w, const struct half *half)
{
    CHECK(w->half_count < SIM_FAULTS_MAX);
    w->halves[w->half_count++] = *half;
    world_note(w,
               "from %d to %d: channels %u, kinds %x, from %u bytes on; "
               "%" PRIu64 " ns a byte",
               (int)half->from, (int)half->to, half->channels, half->kinds,
               half->size_min, half->byte_ns);
    if (w->half_ns != 0)
        return;
    w->half_ns = w->half_settled_ns = w->now_ns;
    world_at(w, w->now_ns + POLL_MS * SIM_MS,
             (struct sim_event){.kind = SIM_HALF_POLL});
}

bool half_loses(struct world *w, uint32_t from, uint32_t to,
                const struct packet *p, uint32_t channel)
{
    for (uint32_t i = 0; i < w->half_count; i++) {
        const struct half *h = &w->halves[i];
        if (h->byte_ns != 0 || !covers(h, from, to) ||
            (h->channels & channel) == 0 || (h->kinds >> p->data[0] & 1) == 0 ||
            p->size < h->size_min)
            continue;
        w->results->tallies[TALLY_HALF_LOST]++;
        return true;
    }
    return false;
}

uint64_t half_delays(struct world *w, uint32_t from, uint32_t to,
                     const struct packet *p, uint64_t leaves_ns)
{
    for (uint32_t i = 0; i < w->half_count; i++) {
        const struct half *h = &w->halves[i];
        if (h->byte_ns == 0 || !covers(h, from, to))
            continue;
        /* One queue for all that goes to the node. */
        struct link *link = &w->links[to * w->node_count + to];
        uint64_t begins = link->free_ns > leaves_ns ? link->free_ns : leaves_ns;
        if (begins - leaves_ns > h->wait_ns)
            return SIM_NEVER;
        link->free_ns = begins + (p->size + 70) * h->byte_ns;
        w->results->tallies[TALLY_HALF_SLOW]++;
        return link->free_ns;
    }
    return leaves_ns;
}

// --- the rules --------------------------------------------------------------

static uint32_t by_kind(const struct world *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->half_count; i++)
        n += w->halves[i].kinds != UINT32_MAX;
    return n;
}

void half_configuration(struct world *w, struct node *n)
{
    if (w->half_ns == 0 || w->healed)
        return;
    uint64_t ms = (w->now_ns - w->half_ns) / SIM_MS;
    uint64_t most = CHANGES_FIRST, times = w->half_count;
    if (ms > FIRST_S * 1000)
        most += 1 + (ms - FIRST_S * 1000) / (MORE_S * 1000);
    most *= times + 2 * by_kind(w);
    if (++n->half_changes > most)
        trace_fail(w->trace,
                   "half broken: node %u sees its configuration %u within "
                   "%" PRIu64 " ms of a lasting fault, at most %" PRIu64
                   " are due",
                   n->id, n->half_changes, ms, most);
}

static bool get_on(const struct world *w, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < w->half_count; i++)
        if (covers(&w->halves[i], a, b) || covers(&w->halves[i], b, a))
            return false;
    return true;
}

static bool same_ring(const struct node *a, const struct node *b)
{
    return a->ring_id.seq == b->ring_id.seq &&
           a->ring_id.rep == b->ring_id.rep &&
           a->ring_id.nonce == b->ring_id.nonce;
}

/* The members of its ring are in it, too. */
static bool is_in_a_ring(struct world *w, const struct node *n)
{
    if (totem_state_get(n->totem) != TOTEM_OPERATIONAL || n->member_count == 0)
        return false;
    for (uint32_t i = 0; i < n->member_count; i++) {
        const struct node *m = world_node_of_id(w, n->members[i]);
        if (!m->up || totem_state_get(m->totem) != TOTEM_OPERATIONAL ||
            !same_ring(n, m))
            return false;
    }
    return true;
}

/* All who are in the ring of a get on with all who are in that of b. */
static bool could_be_one(const struct world *w, const struct node *a,
                         const struct node *b)
{
    for (uint32_t i = 0; i < w->node_count; i++)
        for (uint32_t k = 0; k < w->node_count; k++) {
            const struct node *m = &w->nodes[i], *n = &w->nodes[k];
            bool of_a = same_ring(m, a), of_b = same_ring(n, b);
            bool inside = i != k && of_a && same_ring(n, a);
            if ((of_a && of_b && !get_on(w, i, k)) ||
                (inside && !get_on(w, i, k)))
                return false;
        }
    return true;
}

static bool settled(struct world *w)
{
    bool apart = false;
    for (uint32_t i = 0; i < w->node_count; i++)
        if (!w->nodes[i].up || !is_in_a_ring(w, &w->nodes[i]))
            return false;
    for (uint32_t i = 0; i < w->node_count; i++)
        for (uint32_t k = i + 1; k < w->node_count; k++) {
            const struct node *a = &w->nodes[i], *b = &w->nodes[k];
            if (same_ring(a, b))
                continue;
            apart = true;
            if (could_be_one(w, a, b))
                return false;
        }
    w->results->tallies[TALLY_HALF_APART] += apart;
    return true;
}

void half_poll(struct world *w)
{
    if (w->healed)
        return;
    if (settled(w))
        w->half_settled_ns = w->now_ns;
    uint64_t since_ns = w->now_ns - w->half_settled_ns;
    const struct totem_config *totem = &w->scenario->totem;
    uint64_t rotation_ns = scenario_idle_rotation_ns(w->scenario);
    for (uint32_t i = 0; i < w->half_count; i++)
        rotation_ns += w->halves[i].byte_ns * totem->packet_size_max;
    uint64_t settled_ns =
        SETTLED_MS * SIM_MS + totem->fail_recv_const * rotation_ns;
    uint64_t most_ns =
        settled_ns * w->half_count + TRUSTED_MS * SIM_MS * by_kind(w);
    if (since_ns > most_ns) {
        trace_fail(w->trace,
                   "half broken: for %" PRIu64 " ms not all are in rings of "
                   "those that get on",
                   (uint64_t)(since_ns / SIM_MS));
        return;
    }
    world_at(w, w->now_ns + POLL_MS * SIM_MS,
             (struct sim_event){.kind = SIM_HALF_POLL});
}

// --- scenarios --------------------------------------------------------------

static uint32_t pick_kinds(struct random *r)
{
    static const uint32_t kinds[] = {1u << WIRE_TOKEN, 1u << WIRE_COMMIT,
                                     1u << WIRE_JOIN, 1u << WIRE_DATA};
    if (random_chance(r, 700000))
        return UINT32_MAX;
    return kinds[random_range(r, 0, sizeof kinds / sizeof *kinds - 1)];
}

static struct half pick_half(const struct scenario *s, struct random *r)
{
    struct half h = {.from = UINT32_MAX, .to = UINT32_MAX};
    uint32_t node = (uint32_t)random_range(r, 0, s->node_count - 1);
    uint32_t other = (uint32_t)random_range(r, 0, s->node_count - 1);
    uint64_t shape = random_range(r, 0, 9);
    h.channels = (uint32_t)random_range(r, 1, 3);
    h.kinds = pick_kinds(r);
    if (random_chance(r, 200000))
        h.size_min = s->totem.packet_size_max / 2;
    if (shape < 3)
        h.from = node; /* all that it sends */
    else if (shape < 6)
        h.to = node; /* all that it gets */
    else if (shape < 9)
        h.from = node,
        h.to = other != node ? other : (node + 1) % s->node_count;
    else {
        h.to = node;
        h.byte_ns = 8000; /* 1 Mbit/s */
        h.wait_ns = random_range(r, 250, 1000) * SIM_MS;
    }
    return h;
}

void half_make(struct scenario *s, struct random *r, uint32_t node_count)
{
    uint64_t at_ns = random_range(r, 1000 * SIM_MS, 2000 * SIM_MS);
    s->half = true;
    if (node_count == 0 && s->node_count < 3)
        s->node_count = 3;
    s->loss_ppm = s->duplicate_ppm = s->reorder_ppm = s->corrupt_ppm = 0;
    s->bursts = (struct bursts){0};
    s->start_spread_ns = 100 * SIM_MS;
    s->queue_max = 4 * s->totem.window_packets + 256 + 4 * s->node_count;
    s->fault_count = random_chance(r, 700000) ? 1 : 2;
    for (uint32_t i = 0; i < s->fault_count; i++) {
        struct fault *f = &s->faults[i];
        *f = (struct fault){.kind = FAULT_HALF,
                            .at_ns = at_ns,
                            .duration_ns = SIM_NEVER,
                            .node = UINT32_MAX,
                            .half = pick_half(s, r)};
        struct half back = f->half;
        back.from = f->half.to;
        back.to = f->half.from;
        if (s->fault_count == 1 && f->half.byte_ns == 0 &&
            random_chance(r, 300000)) {
            s->faults[1] = *f; /* both ways */
            s->faults[1].half = back;
            s->fault_count = 2;
            break;
        }
    }
    s->heal_ns = at_ns + random_range(r, 5, 60) * 1000 * SIM_MS;
    s->load_end_ns = s->heal_ns + 100 * SIM_MS;
    s->load_senders = s->node_count;
    s->load_interval_ns = random_range(r, 20, 200) * SIM_MS;
    s->load_burst = 3;
    s->load_bytes = s->heal_ns / SIM_MS * scenario_capacity(s) / 1000 / 4;
    if (s->load_bytes > LOAD_BYTES_MAX)
        s->load_bytes = LOAD_BYTES_MAX;
    s->saturate = false;
    s->bound_ns = 80000 * SIM_MS;
    s->final_parts = 0;
}
