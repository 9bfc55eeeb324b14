/* SPDX-License-Identifier: BSD-3-Clause */
/* sim.h - a cluster in one process, in virtual time.
 *
 * A seed gives a scenario (scenario.c): nodes, network, load, faults. A world
 * (world.c) runs it: the pure core of every node (node.c), the packets between
 * them (network.c), replicated services (service.c), the faults (fault.c).
 * Everything that happens is recorded in a trace and checked (check.h). The
 * same seed gives the same run. */
#ifndef TEST_SIM_SIM_H
#define TEST_SIM_SIM_H

#include "daemon/group/group.h"
#include "daemon/totem/totem.h"
#include "test/sim/check.h"
#include "test/sim/replicas.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_MS 1000000ull
#define SIM_NEVER UINT64_MAX

enum { SIM_MESSAGE_MAX = 65536, SIM_FAULTS_MAX = 64 };

// --- random.c ---------------------------------------------------------------

struct random {
    uint64_t s[4];
};

static inline uint64_t random_mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void random_seed(struct random *r, uint64_t seed);
uint64_t random_next(struct random *r);
/* low .. high, both included. */
uint64_t random_range(struct random *r, uint64_t low, uint64_t high);
/* The same, small values as likely as large ones. */
uint64_t random_scale(struct random *r, uint64_t low, uint64_t high);
bool random_chance(struct random *r, uint32_t ppm);
uint64_t random_hash(uint64_t a, uint64_t b);

// --- scenario.c -------------------------------------------------------------

enum fault_kind {
    FAULT_LOSS,      /* of value ppm; `channels`; to `node`, or all */
    FAULT_DELAY,     /* value ns more on every link to `node`, or all */
    FAULT_DUPLICATE, /* value ppm */
    FAULT_REORDER,   /* value ppm */
    FAULT_SLOW,      /* node takes value ns for a packet */
    FAULT_PARTITION, /* in value parts, by `shape` */
    FAULT_CUT,       /* from node to other, one way */
    FAULT_DEAF,      /* node hears nobody */
    FAULT_MUTE,      /* nobody hears node */
    FAULT_CRASH,     /* after value more packets; restarts after duration */
    FAULT_CRASH_IN_RECOVERY, /* the next value nodes that form a ring */
    FAULT_BREAK_RECOVERY,    /* of the next value rings that are formed, the
                                network: other 0 cut in two, 1 lossy, 2 a node
                                freezes; for duration */
    FAULT_HOLE,              /* nobody hears node's data (its token they do)
                                for duration, then it crashes; and of the next
                                value rings that are formed, the first member
                                to install is cut off, for `shape` ns */
    FAULT_FREEZE,            /* for duration; other 1: its clock as well */
    FAULT_LEAVE,             /* gracefully; restarts after duration */
    FAULT_LOSS_KIND,         /* of value ppm of the packets whose wire kinds are
                                the bits of `shape`; to `node`, or all */
    FAULT_BURSTS,            /* see struct bursts: value, shape, other */
    FAULT_CORRUPTION,        /* of value ppm; to `node`, or all */
    FAULT_CLOCK_JUMP,        /* of node's clock, by value ns */
    FAULT_QUEUE,             /* node's queues take but value packets, those of
                                `channels`, and a packet takes it shape ns;
                                other 1: it takes none at all */
    FAULT_HALF,              /* for the rest of the run, or until the healing,
                                packets that `half` describes are lost */
    FAULT_KINDS
};

/* A link that carries some packets and not others, one way: from and to are
 * places, UINT32_MAX: all. Those of `channels`, of `kinds` (bits: wire kinds)
 * and of at least size_min bytes are lost. byte_ns: none is lost for these, but
 * each byte takes so long, and what would have to wait for longer than wait_ns
 * is. */
struct half {
    uint32_t from, to, channels, kinds, size_min;
    uint64_t byte_ns, wait_ns;
};

enum { CHANNEL_TOKEN = 1, CHANNEL_DATA = 2 };

struct fault {
    enum fault_kind kind;
    uint64_t at_ns, duration_ns; /* SIM_NEVER: until the healing */
    uint32_t node, other;        /* places in the world; UINT32_MAX: all */
    uint32_t channels;
    uint64_t value, shape;
    struct half half;
};

/* Loss in bursts, after Gilbert and Elliott: a link is good, or bad and loses
 * loss_ppm of its packets; with every packet a good one turns bad by enter_ppm,
 * a bad one good by leave_ppm. enter_ppm 0: no bursts. */
struct bursts {
    uint32_t enter_ppm, leave_ppm, loss_ppm;
};

enum size_profile { SIZES_SMALL, SIZES_EDGES, SIZES_LARGE, SIZES_MIXED };
enum queue_order { QUEUE_TOKEN_FIRST, QUEUE_DATA_FIRST, QUEUE_ANY };

struct scenario {
    uint64_t seed;
    const char *name;
    bool lossless; /* no retransmission may be asked for, no token lost */
    bool half;     /* the links of half.c: its rules hold */
    uint32_t node_count, id_base, id_step;
    struct totem_config totem;     /* but the node's own */
    uint32_t window_least_packets; /* up to totem.window_packets: a node's */
    /* network */
    uint64_t delay_ns, jitter_ns, byte_ps;
    uint32_t loss_ppm, duplicate_ppm, reorder_ppm, corrupt_ppm;
    struct bursts bursts;
    uint32_t queue_max; /* packets of a receiver's data socket */
    bool report_unreachable;
    /* nodes */
    uint64_t start_spread_ns, packet_cost_ns, timer_late_ns;
    enum queue_order queue_order;
    uint32_t clock_ppm; /* a clock is at most as much too fast or slow */
    uint32_t disk_ppm;  /* of the starts that read a wrong ring sequence */
    /* load */
    enum size_profile sizes;
    uint64_t load_bytes, load_interval_ns;
    uint32_t load_burst, load_senders, safe_percent, abandon_ppm;
    bool saturate; /* the queue of a sender is never empty */
    /* replicated services */
    uint32_t service_ops; /* times that clients want something; 0: no service */
    uint32_t service_ppm, service_burst;
    uint32_t service_items, service_items_in_piece; /* of the small one */
    uint32_t service_size;                          /* of contents, bytes */
    uint64_t piece_pause_ns;
    /* time */
    uint64_t load_end_ns, heal_ns, bound_ns;
    uint32_t final_parts; /* the network stays in as many parts */
    uint64_t final_shape;
    struct fault faults[SIM_FAULTS_MAX];
    uint32_t fault_count;
};

/* `node_count` 0: from the seed. */
void scenario_make(struct scenario *s, uint64_t seed, uint32_t node_count);
/* From now on only scenarios of that class; false: there is none. */
/* Of a ring of all nodes in which nobody sends. */
uint64_t scenario_idle_rotation_ns(const struct scenario *s);
/* Bytes in a second when every window is full, roughly. */
uint64_t scenario_capacity(const struct scenario *s);
bool scenario_only(const char *name);
/* Nothing but nodes that start and form a ring. */
void scenario_make_forming(struct scenario *s, uint64_t seed,
                           uint32_t node_count);
void scenario_print(const struct scenario *s);
/* Makes a scenario that fails with that text smaller, as long as the same
 * property fails. Gives the number of runs that took. */
uint32_t scenario_shrink(struct scenario *s, const char *failure);

const char *fault_name(enum fault_kind kind);

// --- world.c ----------------------------------------------------------------

struct packet { /* shared by its receivers */
    uint32_t references;
    uint32_t size;
    uint32_t sender; /* node id */
    bool corrupt;    /* it is not what was sent: the seal refuses it */
    uint8_t data[];
};

enum sim_event_kind {
    SIM_START,   /* node */
    SIM_TIMER,   /* node */
    SIM_ARRIVAL, /* packet at node, on a channel */
    SIM_RUN,     /* node takes the next packet of its queues */
    SIM_LOAD,    /* node gets messages to send */
    SIM_SERVICE, /* node's services are looked at */
    SIM_FAULT,   /* begins */
    SIM_FAULT_END,
    SIM_BREAK, /* what recovery_break says befalls a ring being formed */
    SIM_BREAK_END,
    SIM_CUT_OFF, /* node hears nobody, and nobody hears it */
    SIM_CUT_OFF_END,
    SIM_CRASH,       /* node, if it is still in life `tag` */
    SIM_RESTART,     /* node, if down */
    SIM_THAW,        /* node */
    SIM_UNREACHABLE, /* node learns, in life `tag`, that id is down */
    SIM_HALF_POLL,   /* have those that get on found each other? */
    SIM_HEAL,
    SIM_POLL /* is all well again? */
};

struct sim_event {
    uint64_t at_ns, order;
    enum sim_event_kind kind;
    uint32_t node, value;
    uint64_t tag;
    struct packet *packet;
};

struct queue { /* of packets, bounded; a socket's buffer */
    struct packet **items;
    uint32_t head, count, max;
    uint32_t limit; /* of packets it takes now; up to max */
};

struct pending {
    uint32_t size_bytes;
    bool safe;
};

struct node {
    uint32_t place, id;
    bool up, frozen;
    uint64_t incarnation;
    uint64_t disk_seq, start_seq; /* on its disk; what was read at its start */
    /* Its clock: what it showed at a time of the world's, and its rate. */
    uint64_t clock_ns, clock_at_ns;
    int32_t clock_ppm; /* too fast; too slow, if negative */
    bool clock_stopped;
    uint32_t process; /* in the trace */
    struct totem *totem;
    struct group *group;
    struct services *services; /* NULL: the scenario has none */
    uint32_t sends_left;       /* then it crashes; UINT32_MAX: never */
    uint64_t restart_after_ns; /* a crash; SIM_NEVER: not by itself */
    /* reception */
    struct queue token_queue, data_queue;
    uint64_t busy_until_ns, run_at_ns, packet_cost_ns;
    uint64_t frozen_at_ns;
    /* timer */
    uint64_t wake_clock_ns;        /* in its own time */
    uint64_t wake_ns, timer_at_ns; /* in the world's time */
    /* what is to be sent */
    struct pending *pending;
    uint32_t pending_head, pending_count, pending_max;
    uint64_t pending_bytes;
    uint32_t message; /* number of the one under way, or TRACE_NONE */
    uint8_t *content; /* of it */
    size_t payload_max;
    /* for the end */
    struct totem_ring_id ring_id;
    uint32_t member_count;
    uint32_t members[TOTEM_NODES_MAX];
    uint64_t sent_in_ring, delivered_in_ring, owed;
    uint64_t token_losses; /* up to the beginning of its ring */
    uint32_t half_changes; /* configurations since the links are half broken */
};

struct link {
    bool cut; /* by a fault of its own */
    bool bad; /* in a burst of losses */
    uint64_t last_ns;
    uint64_t free_ns; /* FAULT_HALF, byte_ns */
};

enum tally { /* what must happen somewhere, or no test of it is one */
             TALLY_OVERFLOW_TOKEN,
             TALLY_OVERFLOW_DATA,
             TALLY_CORRUPT,
             TALLY_BURST,
             TALLY_KIND_TOKEN,
             TALLY_KIND_COMMIT,
             TALLY_KIND_JOIN,
             TALLY_KIND_DATA,
             TALLY_CLOCK_STOOD,
             TALLY_DISK_AHEAD,
             TALLY_DISK_STALE,
             TALLY_DISK_EMPTY,
             TALLY_HALF_LOST,
             TALLY_HALF_SLOW,
             TALLY_HALF_APART,
             TALLY_COUNT
};

struct coverage {
    enum totem_state from, to;
    char reason[64];
    uint64_t count;
};

enum { COVERAGE_MAX = 256 };

enum { SERVICES = 2 }; /* the small one, checkpoints */

struct results { /* of any number of runs */
    uint64_t passed, failed, skipped;
    uint64_t virtual_ns, messages, deliveries, configurations, packets, steps;
    uint64_t faults[FAULT_KINDS];
    uint64_t tallies[TALLY_COUNT];
    uint64_t services[SERVICES][REPLICAS_TALLIES], promises;
    struct coverage coverage[COVERAGE_MAX];
    uint32_t coverage_count;
};

struct world {
    const struct scenario *scenario;
    struct results *results;
    struct random random;
    struct trace *trace;
    uint64_t now_ns, order;
    struct sim_event *heap;
    uint32_t heap_count, heap_max;
    struct node *nodes;
    uint32_t node_count;
    /* network */
    struct link *links; /* from * node_count + to */
    uint64_t *sender_free_ns;
    uint32_t parts; /* 0, 1: whole */
    uint64_t shape;
    struct {
        uint32_t ppm, node, channels;
    } loss;
    struct {
        uint64_t ns;
        uint32_t node;
    } delay;
    struct {
        uint32_t ppm, node, fault; /* the last such one, by number */
        uint64_t kinds;
    } kind_loss;
    struct {
        uint32_t ppm, node;
    } corrupt;
    struct bursts bursts;
    uint32_t duplicate_ppm, reorder_ppm;
    struct half halves[SIM_FAULTS_MAX];
    uint32_t half_count;
    uint64_t half_ns, half_settled_ns; /* begun; last seen settled */
    /* faults */
    uint32_t recovery_crashes;
    uint64_t recovery_restart_ns;
    uint32_t recovery_breaks;
    struct fault recovery_break;
    uint32_t hole;     /* place of the node whose data is lost, or TRACE_NONE */
    uint32_t installs; /* so many first installers are still to be cut off */
    uint64_t install_cut_ns;
    struct totem_ring_id installed; /* whose first installer has been seen */
    bool healed;
    uint64_t well_since_ns;
    uint64_t last_start_ns, formed_ns; /* all nodes in one ring, first */
    bool done;
    /* load */
    uint64_t bytes_left;
    uint32_t messages_left;
    uint32_t short_messages[2][65536]; /* by content, of 1 and 2 bytes */
    uint32_t short_count[2];
    uint8_t *expected;
    /* services */
    struct replicas *replicas[SERVICES];
    struct random service_random;
    uint32_t service_ops_left, service_promises;
    uint64_t steps, packets;
    bool verbose, trace_packets;
};

/* Runs the scenario: true when nothing was violated; else trace_violation()
 * tells, copied to `text`. Adds to *results. */
bool world_run(const struct scenario *s, bool verbose, bool packets,
               struct results *results, char *text, size_t text_size);

/* The time from the last node's start to a ring of all, for a scenario of
 * scenario_make_forming(); SIM_NEVER when none was formed. */
uint64_t world_form(const struct scenario *s);

void world_at(struct world *w, uint64_t at_ns, struct sim_event event);
struct node *world_node_of_id(struct world *w, uint32_t id);
void world_note(struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void packet_release(struct packet *p);

// --- network.c --------------------------------------------------------------

void network_send(struct world *w, struct node *from,
                  const struct totem_send *send);
bool network_same_part(const struct world *w, uint32_t a, uint32_t b);
void network_heal(struct world *w);
bool queue_push(struct queue *q, struct packet *p);
struct packet *queue_pop(struct queue *q); /* NULL when empty */
void queue_clear(struct queue *q);

// --- node.c -----------------------------------------------------------------

void node_start(struct world *w, struct node *n);
void node_stop(struct world *w, struct node *n, enum trace_end how);
void node_leave(struct world *w, struct node *n);
void node_arrival(struct world *w, struct node *n, struct packet *p,
                  uint32_t channel);
void node_run(struct world *w, struct node *n);
void node_timer(struct world *w, struct node *n);
void node_unreachable(struct world *w, struct node *n, uint32_t id);
void node_freeze(struct world *w, struct node *n, bool clock_too);
void node_thaw(struct world *w, struct node *n);
uint64_t node_clock(const struct world *w, const struct node *n);
void node_clock_jump(struct world *w, struct node *n, uint64_t by_ns);
void node_submit(struct world *w, struct node *n);
void node_stats_check(struct world *w, const struct node *n);
void node_schedule(struct world *w, struct node *n); /* its timer and run */

// --- load.c -----------------------------------------------------------------

void load_add(struct world *w, struct node *n, uint32_t count);
/* Fills the open visit; gives the packets' worth left over. */
uint32_t load_visit(struct world *w, struct node *n);
/* A message came out of the group layer. */
void load_delivered(struct world *w, struct node *n,
                    const struct group_event *e);

// --- service.c --------------------------------------------------------------

void services_open(struct world *w);
void services_end(struct world *w); /* all is well: what is there? */
void services_close(struct world *w);
void services_start(struct world *w, struct node *n);
void services_stop(struct world *w, struct node *n);
void services_poll(struct world *w, struct node *n);
void services_configuration(struct world *w, struct node *n,
                            const struct totem_configuration *c);
/* False: the message is for no service. */
bool services_delivered(struct world *w, struct node *n,
                        const struct group_event *e);
/* Puts what is due into the open visit; false: it is full. */
bool services_visit(struct world *w, struct node *n);
bool services_are_half_sent(const struct node *n);
size_t services_backlog(const struct node *n); /* bytes */
/* Would a visit be of use? */
bool services_want(struct world *w, struct node *n);
bool services_are_well(const struct node *n, const char **why);

// --- fault.c ----------------------------------------------------------------

void fault_begin(struct world *w, uint32_t number);
void fault_end(struct world *w, uint32_t number);
/* A ring is being formed, or was just installed by one of its members. */
void fault_recovery(struct world *w, struct node *n);
/* `n` has installed the ring it is in; before any other packet leaves it. */
void fault_install(struct world *w, struct node *n);
void fault_cut_off(struct world *w, struct node *n, bool is);
void fault_break(struct world *w, struct node *n);
void fault_break_end(struct world *w);
void fault_heal(struct world *w);

// --- half.c -----------------------------------------------------------------

/* Half broken links: what they lose or delay, and how the nodes must live with
 * them. */
void half_begin(struct world *w, const struct half *half);
bool half_loses(struct world *w, uint32_t from, uint32_t to,
                const struct packet *p, uint32_t channel);
/* When a packet that leaves now would arrive; SIM_NEVER: it is lost. */
uint64_t half_delays(struct world *w, uint32_t from, uint32_t to,
                     const struct packet *p, uint64_t leaves_ns);
void half_configuration(struct world *w, struct node *n);
void half_poll(struct world *w);
void half_make(struct scenario *s, struct random *r, uint32_t node_count);

// --- coverage.c -------------------------------------------------------------

void coverage_count(struct results *r, enum totem_state from,
                    enum totem_state to, const char *reason, uint64_t count);
void coverage_print(struct results *r);
/* Names what of all that should be seen was not, and what was seen though it is
 * not known; gives how many. */
uint32_t coverage_check(const struct results *r);
void results_add(struct results *to, const struct results *from);

// --- form.c -----------------------------------------------------------------

/* Prints how long rings of some sizes (`nodes` 0), or of one, take to form;
 * adds one passed or failed for each size to *results. */
void form_check(uint32_t nodes, uint32_t runs, struct results *results);

#endif
