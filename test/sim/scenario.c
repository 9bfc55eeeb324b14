// SPDX-License-Identifier: BSD-3-Clause
// A scenario from a seed.
#include "test/sim/sim.h"

#include "daemon/totem/wire.h"

#include <stdio.h>
#include <string.h>

enum scenario_class {
    CLASS_LOSSLESS,
    CLASS_LOSSLESS_LEAVE,
    CLASS_LOSSY,
    CLASS_PARTITIONS,
    CLASS_CRASHES,
    CLASS_RECOVERY,
    CLASS_HOLES,
    CLASS_FREEZES,
    CLASS_ONE_WAY,
    CLASS_ODD_LOSS,
    CLASS_CLOCKS,
    CLASS_QUEUES,
    CLASS_DISKS,
    CLASS_HALF,
    CLASS_ALL,
    CLASS_COUNT
};

static const struct {
    const char *name;
    uint32_t weight;
    uint32_t faults; /* bits: which kinds */
} classes[CLASS_COUNT] = {
    [CLASS_LOSSLESS] = {"lossless", 10, 0},
    [CLASS_LOSSLESS_LEAVE] = {"lossless, leaves", 4, 1u << FAULT_LEAVE},
    [CLASS_LOSSY] = {"lossy", 12,
                     1u << FAULT_LOSS | 1u << FAULT_DELAY |
                         1u << FAULT_DUPLICATE | 1u << FAULT_REORDER |
                         1u << FAULT_SLOW},
    [CLASS_PARTITIONS] = {"partitions", 14, 1u << FAULT_PARTITION},
    [CLASS_CRASHES] = {"crashes", 14, 1u << FAULT_CRASH | 1u << FAULT_LEAVE},
    [CLASS_RECOVERY] = {"recovery", 20,
                        1u << FAULT_CRASH_IN_RECOVERY |
                            1u << FAULT_BREAK_RECOVERY | 1u << FAULT_CRASH |
                            1u << FAULT_PARTITION | 1u << FAULT_LOSS},
    [CLASS_HOLES] = {"holes", 14, 1u << FAULT_HOLE},
    [CLASS_FREEZES] = {"freezes", 8, 1u << FAULT_FREEZE | 1u << FAULT_SLOW},
    [CLASS_ONE_WAY] = {"one way", 8,
                       1u << FAULT_CUT | 1u << FAULT_DEAF | 1u << FAULT_MUTE},
    [CLASS_ODD_LOSS] = {"odd loss", 12,
                        1u << FAULT_LOSS_KIND | 1u << FAULT_BURSTS |
                            1u << FAULT_CORRUPTION | 1u << FAULT_CRASH},
    [CLASS_CLOCKS] = {"clocks", 8,
                      1u << FAULT_CLOCK_JUMP | 1u << FAULT_FREEZE |
                          1u << FAULT_PARTITION},
    [CLASS_QUEUES] = {"full queues", 8,
                      1u << FAULT_QUEUE | 1u << FAULT_SLOW |
                          1u << FAULT_FREEZE},
    [CLASS_DISKS] = {"disks", 8,
                     1u << FAULT_CRASH | 1u << FAULT_LEAVE |
                         1u << FAULT_CRASH_IN_RECOVERY | 1u << FAULT_PARTITION},
    [CLASS_HALF] = {"half broken", 12, 0},
    [CLASS_ALL] = {"all", 20, (1u << FAULT_HALF) - 1},
};

const char *fault_name(enum fault_kind kind)
{
    static const char *const names[FAULT_KINDS] = {
        [FAULT_LOSS] = "loss",
        [FAULT_DELAY] = "delay",
        [FAULT_DUPLICATE] = "duplicates",
        [FAULT_REORDER] = "reordering",
        [FAULT_SLOW] = "slow node",
        [FAULT_PARTITION] = "partition",
        [FAULT_CUT] = "one-way cut",
        [FAULT_DEAF] = "deaf node",
        [FAULT_MUTE] = "mute node",
        [FAULT_CRASH] = "crash",
        [FAULT_CRASH_IN_RECOVERY] = "crash in recovery",
        [FAULT_BREAK_RECOVERY] = "broken recovery",
        [FAULT_HOLE] = "hole",
        [FAULT_FREEZE] = "freeze",
        [FAULT_LEAVE] = "leave",
        [FAULT_LOSS_KIND] = "loss of a kind",
        [FAULT_BURSTS] = "bursts of loss",
        [FAULT_CORRUPTION] = "corruption",
        [FAULT_CLOCK_JUMP] = "clock jump",
        [FAULT_QUEUE] = "small queue",
        [FAULT_HALF] = "half broken link",
    };
    return names[kind];
}

static const char *only; /* this class; NULL: any */

bool scenario_only(const char *name)
{
    only = name;
    for (uint32_t i = 0; i < CLASS_COUNT; i++)
        if (strcmp(classes[i].name, name) == 0)
            return true;
    return false;
}

static enum scenario_class class_pick(struct random *r)
{
    uint32_t total = 0, class = 0;
    for (uint32_t i = 0; i < CLASS_COUNT; i++)
        total += classes[i].weight;
    uint64_t pick = random_range(r, 0, total - 1);
    while (pick >= classes[class].weight)
        pick -= classes[class ++].weight;
    for (uint32_t i = 0; only != NULL && i < CLASS_COUNT; i++)
        if (strcmp(classes[i].name, only) == 0)
            class = i;
    return (enum scenario_class) class;
}

static void make_nodes(struct scenario *s, struct random *r,
                       uint32_t node_count)
{
    uint64_t pick = random_range(r, 0, 999);
    if (pick < 20)
        s->node_count = 1;
    else if (pick < 800)
        s->node_count = (uint32_t)random_range(r, 2, 5);
    else if (pick < 940)
        s->node_count = (uint32_t)random_range(r, 6, 9);
    else if (pick < 997)
        s->node_count = (uint32_t)random_range(r, 16, 32);
    else
        s->node_count = (uint32_t)random_range(r, 33, TOTEM_NODES_MAX);
    if (node_count != 0)
        s->node_count = node_count;
    s->id_base = (uint32_t)random_scale(r, 1, 0xf0000000u);
    s->id_step = (uint32_t)random_scale(r, 1, 0xfffff);
}

static void make_totem(struct scenario *s, struct random *r)
{
    static const uint64_t sequences[] = {0, UINT32_MAX, (uint64_t)1 << 63};
    struct totem_config *t = &s->totem;
    *t = (struct totem_config){.token_ns = 200 * SIM_MS,
                               .token_retransmit_ns = 47 * SIM_MS,
                               .hold_ns = 27 * SIM_MS,
                               .join_ns = 100 * SIM_MS,
                               .consensus_ns = 200 * SIM_MS,
                               .merge_ns = 200 * SIM_MS,
                               .fail_recv_const = 250};
    uint64_t start = sequences[random_range(r, 0, 3) % 3];
    t->first_seq = start == 0 ? 0 : start - random_scale(r, 1, 4000);
    t->window_packets = (uint32_t)random_scale(r, 8, 256);
    s->window_least_packets = t->window_packets;
    if (random_chance(r, 250000) && t->window_packets >= 4 * WIRE_WINDOW_MIN)
        s->window_least_packets /= (uint32_t)random_range(r, 2, 4);
    t->packet_size_max =
        random_chance(r, 300000) ? 1472 : (uint32_t)random_range(r, 256, 1472);
}

static struct bursts pick_bursts(struct random *r)
{
    return (struct bursts){
        .enter_ppm = (uint32_t)random_scale(r, 100, 100000),
        .leave_ppm = (uint32_t)random_scale(r, 10000, 500000),
        .loss_ppm = (uint32_t)random_range(r, 500000, 1000000)};
}

/* Clocks of crystals, and now and then such as no machine should have; disks
 * that forget. */
static void make_machines(struct scenario *s, struct random *r,
                          enum scenario_class class)
{
    s->clock_ppm = (uint32_t)random_scale(r, 1, 200);
    if (!s->lossless &&
        random_chance(r, class == CLASS_CLOCKS ? 600000 : 100000))
        s->clock_ppm = (uint32_t)random_scale(r, 1000, 100000);
    s->disk_ppm = random_chance(r, 500000) ? 0 : 300000;
    if (class == CLASS_DISKS)
        s->disk_ppm = (uint32_t)random_range(r, 300000, 1000000);
}

static void make_network(struct scenario *s, struct random *r,
                         enum scenario_class class)
{
    static const uint64_t speeds[] = {0, 800, 8000, 8000}; /* ps a byte */
    uint64_t slowest = 20 * SIM_MS / (s->node_count + 2);
    s->delay_ns =
        random_scale(r, 10000, slowest < 2 * SIM_MS ? slowest : 2 * SIM_MS);
    s->jitter_ns = random_range(r, 0, s->delay_ns / 2);
    s->byte_ps = speeds[random_range(r, 0, 3)];
    s->packet_cost_ns = random_scale(r, 1000, 10000);
    s->timer_late_ns = random_scale(r, 1000, SIM_MS);
    s->start_spread_ns = random_scale(r, 1, 300 * SIM_MS);
    s->queue_max = 4 * s->totem.window_packets + 256;
    s->queue_order = QUEUE_DATA_FIRST;
    s->lossless = class == CLASS_LOSSLESS || class == CLASS_LOSSLESS_LEAVE;
    if (s->lossless)
        return;
    s->queue_order = (enum queue_order)random_range(r, 0, 2);
    s->report_unreachable = random_chance(r, 500000);
    if (random_chance(r, 300000))
        s->jitter_ns *= 4;
    if (random_chance(r, 300000))
        s->queue_max = (uint32_t)random_scale(r, 16, s->queue_max);
    /* The joins of all at once must fit, or large rings never agree. */
    if (s->queue_max < 4 * s->node_count)
        s->queue_max = 4 * s->node_count;
    if (random_chance(r, class == CLASS_ODD_LOSS ? 300000 : 30000))
        s->bursts = pick_bursts(r);
    if (random_chance(r, class == CLASS_ODD_LOSS ? 300000 : 30000))
        s->corrupt_ppm = (uint32_t)random_scale(r, 100, 50000);
    if (class != CLASS_LOSSY && class != CLASS_RECOVERY &&
        random_chance(r, 600000))
        return;
    s->loss_ppm = (uint32_t)random_scale(r, 10, 50000);
    if (random_chance(r, 400000))
        s->duplicate_ppm = (uint32_t)random_scale(r, 100, 200000);
    if (random_chance(r, 400000))
        s->reorder_ppm = (uint32_t)random_scale(r, 100, 200000);
}

uint64_t scenario_idle_rotation_ns(const struct scenario *s)
{
    return s->node_count * (s->delay_ns + s->jitter_ns + 8 * s->packet_cost_ns);
}

uint64_t scenario_capacity(const struct scenario *s)
{
    uint64_t window = s->window_least_packets, size = s->totem.packet_size_max;
    uint64_t rotation_ns =
        scenario_idle_rotation_ns(s) +
        window * (size * s->byte_ps / 1000 + 2 * s->packet_cost_ns);
    return window * size * 1000 * SIM_MS / rotation_ns;
}

static void make_load(struct scenario *s, struct random *r)
{
    uint64_t most = 6000000 / (s->node_count > 4 ? s->node_count / 4 : 1);
    uint64_t bytes_in_second = scenario_capacity(s);
    if (most > 2 * bytes_in_second)
        most = 2 * bytes_in_second;
    s->load_bytes = random_scale(r, 2000, most > 2000 ? most : 2000);
    if (random_chance(r, 300000) && most > 2000)
        s->load_bytes = most;
    s->sizes = (enum size_profile)random_range(r, 0, SIZES_MIXED);
    s->load_interval_ns = random_scale(r, 100000, 200 * SIM_MS);
    s->load_burst = (uint32_t)random_scale(r, 1, 30);
    s->load_senders = (uint32_t)random_range(r, 1, s->node_count);
    if (random_chance(r, 500000))
        s->load_senders = s->node_count;
    static const uint32_t safe[] = {0, 20, 50, 100};
    s->safe_percent = safe[random_range(r, 0, 3)];
    s->saturate = random_chance(r, 350000);
    s->abandon_ppm = random_chance(r, 200000) ? 100000 : 0;
    s->load_end_ns = s->heal_ns + 100 * SIM_MS;
    /* A link that failed again and again takes 32 s of probes. */
    s->bound_ns = 40000 * SIM_MS +
                  s->load_bytes * 1000 / (bytes_in_second + 1) * 5 * SIM_MS;
}

static uint32_t pick_node(const struct scenario *s, struct random *r)
{
    /* The representative is the one whose fate is special. */
    if (random_chance(r, 300000))
        return 0;
    return (uint32_t)random_range(r, 0, s->node_count - 1);
}

static uint64_t pick_restart(struct random *r)
{
    switch (random_range(r, 0, 4)) {
    case 0:
    case 1:
        return random_scale(r, SIM_MS / 10, 190 * SIM_MS);
    case 2:
    case 3:
        return random_range(r, 200 * SIM_MS, 1200 * SIM_MS);
    default:
        return SIM_NEVER;
    }
}

/* One kind of packet, or some of them: only tokens, only joins, only commit
 * tokens, only data; often all of it, so that one node hears of one thing
 * nothing, and of the others everything. */
static void make_loss_kind(struct random *r, struct fault *f)
{
    static const uint64_t kinds[] = {1u << WIRE_TOKEN, 1u << WIRE_JOIN,
                                     1u << WIRE_COMMIT, 1u << WIRE_DATA,
                                     1u << WIRE_COMMIT | 1u << WIRE_TOKEN};
    f->shape = kinds[random_range(r, 0, sizeof kinds / sizeof *kinds - 1)];
    if (random_chance(r, 100000))
        f->shape = random_range(r, 1, 127) << WIRE_DATA;
    f->value =
        random_chance(r, 500000) ? 1000000 : random_scale(r, 10000, 900000);
    if (random_chance(r, 300000))
        f->node = UINT32_MAX;
    /* Often so long that the others give it up, fail_recv_const. */
    if (random_chance(r, 600000))
        f->duration_ns = random_range(r, 500 * SIM_MS, 3000 * SIM_MS);
}

static void make_fault(struct scenario *s, struct random *r, uint32_t kinds,
                       struct fault *f)
{
    do
        f->kind = (enum fault_kind)random_range(r, 0, FAULT_KINDS - 1);
    while ((kinds & 1u << f->kind) == 0);
    f->duration_ns = random_scale(r, SIM_MS, 1500 * SIM_MS);
    f->node = pick_node(s, r);
    switch (f->kind) {
    case FAULT_LOSS:
        f->value = random_scale(r, 1000, 1000000);
        f->channels = (uint32_t)random_range(r, 1, 3);
        if (random_chance(r, 500000))
            f->node = UINT32_MAX;
        break;
    case FAULT_DELAY:
        f->value = random_scale(r, SIM_MS / 10, 300 * SIM_MS);
        if (random_chance(r, 500000))
            f->node = UINT32_MAX;
        break;
    case FAULT_DUPLICATE:
    case FAULT_REORDER:
        f->value = random_scale(r, 1000, 500000);
        break;
    case FAULT_SLOW:
        f->value = random_scale(r, 10000, 2 * SIM_MS);
        break;
    case FAULT_PARTITION:
        f->value = random_range(r, 2, s->node_count < 4 ? 3 : 4);
        f->shape = random_next(r);
        break;
    case FAULT_CUT:
        f->other = pick_node(s, r);
        break;
    case FAULT_CRASH:
        f->value = random_chance(r, 500000) ? 0 : random_scale(r, 1, 64);
        f->duration_ns = pick_restart(r);
        break;
    case FAULT_CRASH_IN_RECOVERY:
        f->value = random_range(r, 1, s->node_count);
        f->duration_ns = pick_restart(r);
        break;
    case FAULT_BREAK_RECOVERY:
        f->value = random_range(r, 1, 4);
        f->other = (uint32_t)random_range(r, 0, 2);
        f->duration_ns = random_scale(r, SIM_MS / 10, 600 * SIM_MS);
        break;
    case FAULT_HOLE:
        f->duration_ns = random_scale(r, SIM_MS / 10, 60 * SIM_MS);
        f->value = random_range(r, 1, 3);
        f->shape = random_scale(r, SIM_MS, 1200 * SIM_MS);
        break;
    case FAULT_LEAVE:
        f->duration_ns = pick_restart(r);
        break;
    case FAULT_LOSS_KIND:
        make_loss_kind(r, f);
        break;
    case FAULT_BURSTS: {
        struct bursts b = pick_bursts(r);
        f->value = b.enter_ppm;
        f->shape = b.leave_ppm;
        f->other = b.loss_ppm;
        break;
    }
    case FAULT_CORRUPTION:
        f->value = random_scale(r, 1000, 500000);
        if (random_chance(r, 500000))
            f->node = UINT32_MAX;
        break;
    case FAULT_CLOCK_JUMP:
        f->value = random_scale(r, SIM_MS, 10000 * SIM_MS);
        break;
    case FAULT_QUEUE:
        f->shape = random_scale(r, 10000, SIM_MS);
        f->channels = (uint32_t)random_range(r, 1, 3);
        f->value = random_scale(r, 1, f->channels == CHANNEL_DATA ? 64 : 4);
        f->other = (uint32_t)random_range(r, 0, 1);
        break;
    case FAULT_FREEZE:
        f->other = (uint32_t)random_range(r, 0, 1);
        break;
    case FAULT_DEAF:
    case FAULT_MUTE:
    case FAULT_HALF:
    case FAULT_KINDS:
        break;
    }
}

static void make_faults(struct scenario *s, struct random *r, uint32_t kinds)
{
    uint64_t least_ns = kinds & 1u << FAULT_LOSS_KIND ? 1500 : 500;
    s->heal_ns = random_range(r, least_ns * SIM_MS, 3000 * SIM_MS);
    if (random_chance(r, 150000) && kinds & 1u << FAULT_PARTITION) {
        s->final_parts = 2;
        s->final_shape = random_next(r);
    }
    if (kinds == 0)
        return;
    uint64_t first = random_chance(r, 200000) ? 0 : 400 * SIM_MS;
    if (s->heal_ns < first + 100 * SIM_MS)
        s->heal_ns = first + 100 * SIM_MS;
    s->fault_count = (uint32_t)random_scale(r, 1, 16);
    for (uint32_t i = 0; i < s->fault_count; i++) {
        make_fault(s, r, kinds, &s->faults[i]);
        s->faults[i].at_ns = random_range(r, first, s->heal_ns - 1);
        /* Some come right behind another. */
        if (i > 0 && random_chance(r, 300000))
            s->faults[i].at_ns =
                s->faults[i - 1].at_ns + random_scale(r, 1, 250 * SIM_MS);
        if (s->faults[i].at_ns >= s->heal_ns)
            s->faults[i].at_ns = s->heal_ns - 1;
    }
}

/* Messages of all behind a gap, many of them safe, and after the crash that
 * makes the gap for ever at least two who agree on it. */
static void make_holes(struct scenario *s, struct random *r,
                       uint32_t node_count)
{
    if (s->node_count < 3 && node_count == 0)
        s->node_count = 3;
    s->load_senders = s->node_count;
    s->load_interval_ns = random_range(r, SIM_MS, 6 * SIM_MS);
    s->load_burst = (uint32_t)random_range(r, 1, 4);
    s->load_bytes = 6000000;
    s->sizes = SIZES_SMALL;
    s->saturate = false; /* there is still something to send when it happens */
    s->safe_percent = (uint32_t)random_range(r, 50, 100);
    s->bound_ns += 5000 * SIM_MS;
}

/* One node gets tokens and no data, under load, until the others must give it
 * up: in their ring, or in the recovery after a member has crashed. */
static void make_failed_receiver(struct scenario *s, struct random *r)
{
    uint64_t at_ns = random_range(r, 400 * SIM_MS, 900 * SIM_MS);
    s->faults[0] = (struct fault){
        .kind = FAULT_LOSS_KIND,
        .at_ns = at_ns,
        .duration_ns = random_range(r, 1500 * SIM_MS, 3000 * SIM_MS),
        .node = pick_node(s, r),
        .value = 1000000,
        .shape = 1u << WIRE_DATA};
    s->fault_count = 1;
    if (random_chance(r, 500000)) {
        s->faults[1] = (struct fault){
            .kind = FAULT_CRASH,
            .at_ns = at_ns + random_scale(r, SIM_MS, 200 * SIM_MS),
            .duration_ns = SIM_NEVER,
            .node = pick_node(s, r)};
        s->fault_count = 2;
    }
    s->heal_ns = at_ns + random_range(r, 1600 * SIM_MS, 3000 * SIM_MS);
    s->load_end_ns = s->heal_ns + 100 * SIM_MS;
    s->load_senders = s->node_count;
    s->load_interval_ns = random_range(r, SIM_MS, 20 * SIM_MS);
    s->load_burst = (uint32_t)random_range(r, 1, 4);
    s->load_bytes = 3000000;
    s->sizes = SIZES_SMALL;
    s->saturate = false;
    s->bound_ns += 5000 * SIM_MS;
}

/* Exchanges take long enough for something to come in between: some thirty
 * pieces of the small service's state, a handful of the checkpoints'. */
static void make_services(struct scenario *s, struct random *r)
{
    uint32_t nodes = s->node_count > 8 ? s->node_count / 8 : 1;
    s->service_ops = (uint32_t)random_scale(r, 30, 500 / nodes);
    s->service_ppm = (uint32_t)random_scale(r, 20000, 1000000);
    s->service_burst = (uint32_t)random_scale(r, 1, 8);
    s->service_items = (uint32_t)random_scale(r, 10, 400);
    s->service_items_in_piece = (uint32_t)random_scale(r, 1, 20);
    s->service_size = (uint32_t)random_scale(r, 8, 4096);
    s->piece_pause_ns = random_scale(r, SIM_MS, 400 * SIM_MS);
}

void scenario_make(struct scenario *s, uint64_t seed, uint32_t node_count)
{
    struct random random, *r = &random;
    random_seed(r, seed);
    *s = (struct scenario){.seed = seed};
    enum scenario_class class = class_pick(r);
    s->name = classes[class].name;
    make_nodes(s, r, node_count);
    make_totem(s, r);
    make_network(s, r, class);
    make_machines(s, r, class);
    make_faults(s, r, classes[class].faults);
    make_load(s, r);
    if (class == CLASS_HOLES)
        make_holes(s, r, node_count);
    if (class == CLASS_ODD_LOSS && s->node_count < 10 &&
        random_chance(r, 300000))
        make_failed_receiver(s, r);
    if (class == CLASS_HALF)
        half_make(s, r, node_count);
    make_services(s, r);
}

/* All within a second on a local network, as daemons that boot with their
 * machines do. */
void scenario_make_forming(struct scenario *s, uint64_t seed,
                           uint32_t node_count)
{
    struct random random, *r = &random;
    random_seed(r, seed);
    *s = (struct scenario){.seed = seed, .name = "forming"};
    make_nodes(s, r, node_count);
    make_totem(s, r);
    s->delay_ns = random_range(r, 20000, 200000);
    s->jitter_ns = s->delay_ns / 2;
    s->byte_ps = 8000;
    s->packet_cost_ns = 5000;
    s->timer_late_ns = SIM_MS;
    s->start_spread_ns = random_scale(r, 1, 1000 * SIM_MS);
    s->queue_max = 4 * s->totem.window_packets + 256;
    if (s->queue_max < 4 * node_count)
        s->queue_max = 4 * node_count;
    s->clock_ppm = 200;
    s->load_interval_ns = SIM_MS; /* of nothing */
    s->heal_ns = s->bound_ns = 5000 * SIM_MS;
}

void scenario_print(const struct scenario *s)
{
    const struct totem_config *t = &s->totem;
    printf("seed %llu: %s, %u nodes, window %u packets of %u bytes, first "
           "seq %llu\n",
           (unsigned long long)s->seed, s->name, s->node_count,
           t->window_packets, t->packet_size_max,
           (unsigned long long)t->first_seq);
    printf("clocks: up to %u ppm wrong; disks: %u ppm of the starts; bursts: "
           "%u ppm, ending by %u ppm, of %u ppm; corrupt: %u ppm\n",
           s->clock_ppm, s->disk_ppm, s->bursts.enter_ppm, s->bursts.leave_ppm,
           s->bursts.loss_ppm, s->corrupt_ppm);
    printf("network: %.3f ms + %.3f ms, %.1f ns a byte, loss %u ppm, "
           "duplicates %u ppm, reordering %u ppm, queue %u packets\n",
           (double)s->delay_ns / 1e6, (double)s->jitter_ns / 1e6,
           (double)s->byte_ps / 1e3, s->loss_ppm, s->duplicate_ppm,
           s->reorder_ppm, s->queue_max);
    printf("load: %llu bytes by %u nodes, %u %% safe%s; faults: %u, healed at "
           "%.0f ms, then %.0f ms to be well again\n",
           (unsigned long long)s->load_bytes, s->load_senders, s->safe_percent,
           s->saturate ? ", saturating" : "", s->fault_count,
           (double)s->heal_ns / 1e6, (double)s->bound_ns / 1e6);
    printf("services: %u times %u operations at most, by %u ppm; %u items, %u "
           "in a piece, up to %u bytes; %.3f ms between pieces\n",
           s->service_ops, s->service_burst, s->service_ppm, s->service_items,
           s->service_items_in_piece, s->service_size,
           (double)s->piece_pause_ns / 1e6);
}
