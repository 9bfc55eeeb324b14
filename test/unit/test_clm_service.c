/* SPDX-License-Identifier: BSD-3-Clause */
#include "test/unit/unit.h"

#include "daemon/service/clm.h"

#include <stdlib.h>

enum { CLIENTS = 8, VERSION_AT = 0, EPOCH_AT = 1, INCARNATION_AT = 21 };

/* --- nodes, configurations, messages -------------------------------------- */

static struct ipc_clm_node node_of(uint32_t id, uint64_t incarnation)
{
    struct ipc_clm_node n = {.node_id = id,
                             .boot_ns = incarnation * 1000,
                             .incarnation = incarnation,
                             .family = 1 + id % 2};
    int address = snprintf((char *)n.address, sizeof n.address, "10.0.0.%u",
                           (unsigned)id);
    int name = snprintf((char *)n.name, sizeof n.name, "node-%u-of-%u",
                        (unsigned)id, (unsigned)incarnation);
    n.address_length = (uint16_t)address;
    n.name_length = (uint16_t)name;
    return n;
}

static struct clm *new_clm(uint32_t id, uint64_t incarnation)
{
    struct clm_config config = {.self = node_of(id, incarnation),
                                .client_max = CLIENTS};
    struct clm *c = clm_new(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    return c;
}

/* A regular configuration; the lowest node represents it. `members` ascend and
 * end with 0; incarnation is 100 + id. */
static struct totem_configuration conf_of(uint64_t seq, const uint32_t *members)
{
    struct totem_configuration conf = {.ring_id = {.seq = seq}};
    for (; *members != 0; members++) {
        uint32_t at = conf.member_count++;
        conf.members[at] = *members;
        conf.incarnations[at] = 100 + *members;
    }
    conf.ring_id.rep = conf.members[0];
    conf.ring_id.nonce = conf.incarnations[0];
    return conf;
}

static const struct totem_ring_id no_view;

/* The message as doc/wire.md has it, written without the service. */
static size_t message_of(uint8_t *out, const struct totem_ring_id *epoch,
                         const struct ipc_clm_node *n,
                         const struct totem_ring_id *from, uint64_t initial)
{
    struct writer w = writer_of(out, CLM_MESSAGE_SIZE_MAX);
    write_u8(&w, 1);
    write_u64(&w, epoch->seq);
    write_u64(&w, epoch->nonce);
    write_u32(&w, epoch->rep);
    write_u64(&w, n->incarnation);
    write_u64(&w, n->boot_ns);
    write_u64(&w, from->seq);
    write_u64(&w, from->nonce);
    write_u32(&w, from->rep);
    write_u64(&w, initial);
    write_u8(&w, (uint8_t)n->family);
    write_u8(&w, (uint8_t)n->address_length);
    write_bytes(&w, (struct bytes){n->address, n->address_length});
    write_u16(&w, n->name_length);
    write_bytes(&w, (struct bytes){n->name, n->name_length});
    CU_ASSERT_FATAL(!w.failed);
    return w.written;
}

/* What `id` says, coming from `from`, to the exchange of `conf`. */
static bool hears(struct clm *c, const struct totem_configuration *conf,
                  uint32_t id, const struct totem_ring_id *from,
                  uint64_t initial)
{
    uint8_t data[CLM_MESSAGE_SIZE_MAX];
    struct ipc_clm_node n = node_of(id, 100 + id);
    for (uint32_t i = 0; i < conf->member_count; i++)
        if (conf->members[i] == id)
            n.incarnation = conf->incarnations[i];
    size_t size = message_of(data, &conf->ring_id, &n, from, initial);
    return clm_message(c, id, (struct bytes){data, size});
}

static bool hears_itself(struct clm *c, uint32_t id)
{
    uint8_t copy[CLM_MESSAGE_SIZE_MAX];
    struct bytes m;
    CU_ASSERT_FATAL(clm_message_next(c, &m));
    CU_ASSERT_FATAL(m.n <= sizeof copy);
    memcpy(copy, m.p, m.n);
    clm_message_sent(c);
    return clm_message(c, id, (struct bytes){copy, m.n});
}

/* The next event must be the new view. */
static void expect_view(struct clm *c)
{
    struct clm_event e;
    CU_ASSERT_FATAL(clm_event_next(c, &e));
    CU_ASSERT(e.view);
    CU_ASSERT_EQUAL(e.client_count, 0);
}

static void expect_nothing(struct clm *c)
{
    struct clm_event e;
    CU_ASSERT(!clm_event_next(c, &e));
    CU_ASSERT_EQUAL(e.client_count, 0);
}

/* The whole exchange of `conf` on node `id`; the others say where they come
 * from: all from `from`. Leaves the events behind the view's. */
static void exchange(struct clm *c, uint32_t id,
                     const struct totem_configuration *conf,
                     const struct totem_ring_id *from, uint64_t initial)
{
    clm_configuration(c, conf);
    CU_ASSERT_FATAL(hears_itself(c, id));
    for (uint32_t i = 0; i < conf->member_count; i++)
        if (conf->members[i] != id)
            CU_ASSERT_FATAL(hears(c, conf, conf->members[i], from, initial));
    expect_view(c);
    CU_ASSERT_EQUAL_FATAL(clm_view_get(c)->number, conf->ring_id.seq);
}

/* The initial view of `id` in the view now. */
static uint64_t initial(struct clm *c, uint32_t id)
{
    const struct ipc_clm_node *n = clm_view_find(clm_view_get(c), id);
    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    return n->initial_view;
}

/* --- records -------------------------------------------------------------- */

struct record {
    struct ipc_clm_track_event head;
    struct ipc_clm_item items[2 * IPC_NODES_MAX];
};

static void read_record(const struct clm_event *e, struct record *r)
{
    CU_ASSERT_FATAL(!e->view);
    CU_ASSERT_FATAL(e->data.n >= sizeof r->head && e->data.n <= sizeof *r);
    memcpy(&r->head, e->data.p, sizeof r->head);
    CU_ASSERT_EQUAL_FATAL(e->data.n, sizeof r->head +
                                         r->head.item_count * sizeof *r->items);
    memcpy(r->items, e->data.p + sizeof r->head, e->data.n - sizeof r->head);
}

/* "1 =2 -3 +4": node 1 and 2 unchanged, 3 left, 4 joined. */
static const char *text_of(const struct record *r)
{
    static char text[4096];
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < r->head.item_count && at < sizeof text; i++) {
        const struct ipc_clm_item *item = &r->items[i];
        uint32_t change = item->change;
        CU_ASSERT_FATAL(change >= 1 && change <= 3);
        CU_ASSERT_EQUAL(item->node.member, change != IPC_CLM_LEFT);
        CU_ASSERT_EQUAL(item->reserved, 0);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%c%u",
                               i > 0 ? " " : "", " =+-"[change],
                               (unsigned)item -> node.node_id);
    }
    return text;
}

/* The next event: a record for exactly these clients (bits). */
static void expect(struct clm *c, uint32_t clients, uint64_t view,
                   uint32_t members, uint32_t cause, const char *items)
{
    struct clm_event e;
    static struct record r;
    uint32_t told = 0;
    CU_ASSERT_FATAL(clm_event_next(c, &e));
    read_record(&e, &r);
    for (uint32_t i = 0; i < e.client_count; i++) {
        CU_ASSERT((told >> e.clients[i] & 1) == 0);
        told |= 1u << e.clients[i];
    }
    CU_ASSERT_EQUAL(told, clients);
    CU_ASSERT_EQUAL(r.head.view, view);
    CU_ASSERT_EQUAL(r.head.member_count, members);
    CU_ASSERT_EQUAL(r.head.current, 0);
    CU_ASSERT_EQUAL(r.head.cause, cause);
    CU_ASSERT_STRING_EQUAL(text_of(&r), items);
}

static void expect_current(struct clm *c, uint32_t client, uint64_t view,
                           uint32_t members, const char *items)
{
    struct clm_event e;
    static struct record r;
    CU_ASSERT_FATAL(clm_event_next(c, &e));
    read_record(&e, &r);
    CU_ASSERT_EQUAL_FATAL(e.client_count, 1);
    CU_ASSERT_EQUAL(e.clients[0], client);
    CU_ASSERT_EQUAL(r.head.view, view);
    CU_ASSERT_EQUAL(r.head.member_count, members);
    CU_ASSERT_EQUAL(r.head.current, 1);
    CU_ASSERT_EQUAL(r.head.cause, 0);
    CU_ASSERT_STRING_EQUAL(text_of(&r), items);
}

/* --- tests by hand -------------------------------------------------------- */

static void test_flags(void)
{
    /* 1 current, 2 changes, 4 changes only, 8 local */
    static const uint8_t good[] = {1, 2, 3, 4, 5, 9, 10, 11, 12, 13};
    for (uint32_t flags = 0; flags < 64; flags++) {
        bool expected = memchr(good, (int)flags, sizeof good) != NULL;
        CU_ASSERT_EQUAL(clm_flags_ok(flags), expected);
    }
    CU_ASSERT(!clm_flags_ok(0x80000001));
}

static void test_alone(void)
{
    struct clm *c = new_clm(5, 105);
    struct ipc_clm_node self = node_of(5, 105);
    struct totem_configuration conf = conf_of(40, (uint32_t[]){5, 0});
    struct bytes m;
    CU_ASSERT_PTR_NULL(clm_view_get(c));
    CU_ASSERT(!clm_message_next(c, &m));
    CU_ASSERT_EQUAL(clm_track(c, 0, 1), IPC_ERR_TRY_AGAIN);
    CU_ASSERT_EQUAL(clm_track(c, 0, 2), IPC_ERR_TRY_AGAIN);
    CU_ASSERT_EQUAL(clm_track_stop(c, 0), IPC_ERR_NOT_EXIST);
    clm_configuration(c, &conf);
    CU_ASSERT_PTR_NULL(clm_view_get(c));
    CU_ASSERT_EQUAL(clm_track(c, 0, 5), IPC_ERR_TRY_AGAIN);
    CU_ASSERT(clm_message_next(c, &m));
    CU_ASSERT(clm_message_next(c, &m)); /* until it was sent */
    CU_ASSERT(hears_itself(c, 5));
    CU_ASSERT(!clm_message_next(c, &m));
    expect_view(c);
    expect_nothing(c);
    const struct clm_view *v = clm_view_get(c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    CU_ASSERT_EQUAL(v->number, 40);
    CU_ASSERT_EQUAL_FATAL(v->count, 1);
    self.member = 1;
    self.initial_view = 40;
    CU_ASSERT_EQUAL(memcmp(&v->nodes[0], &self, sizeof self), 0);
    CU_ASSERT_PTR_EQUAL(clm_view_find(v, 5), &v->nodes[0]);
    CU_ASSERT_PTR_EQUAL(clm_view_find(v, 0xffffffff), &v->nodes[0]);
    CU_ASSERT_PTR_NULL(clm_view_find(v, 6));
    CU_ASSERT_EQUAL(clm_track(c, 0, 2), IPC_OK);
    expect_nothing(c);
    clm_free(c);
    clm_free(NULL);
}

static void test_layout(void)
{
    struct clm *c = new_clm(5, 105);
    struct ipc_clm_node self = node_of(5, 105);
    struct totem_configuration one = conf_of(40, (uint32_t[]){5, 0});
    struct totem_configuration two = conf_of(44, (uint32_t[]){2, 5, 0});
    struct totem_configuration three = conf_of(48, (uint32_t[]){2, 5, 0});
    uint8_t data[CLM_MESSAGE_SIZE_MAX];
    struct bytes m;
    clm_configuration(c, &one);
    CU_ASSERT(clm_message_next(c, &m));
    size_t n = message_of(data, &one.ring_id, &self, &no_view, 0);
    CU_ASSERT(m.n == n && memcmp(m.p, data, n) == 0);
    CU_ASSERT(hears_itself(c, 5));
    expect_view(c);
    expect_nothing(c);
    clm_configuration(c, &two);
    CU_ASSERT(clm_message_next(c, &m));
    n = message_of(data, &two.ring_id, &self, &one.ring_id, 40);
    CU_ASSERT(m.n == n && memcmp(m.p, data, n) == 0);
    clm_configuration(c, &three); /* not told of view 44: it never was */
    CU_ASSERT(clm_message_next(c, &m));
    n = message_of(data, &three.ring_id, &self, &one.ring_id, 40);
    CU_ASSERT(m.n == n && memcmp(m.p, data, n) == 0);
    clm_free(c);

    struct clm_config largest = {.self = self, .client_max = 1};
    largest.self.address_length = sizeof largest.self.address;
    largest.self.name_length = sizeof largest.self.name;
    c = clm_new(&largest);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    clm_configuration(c, &one);
    CU_ASSERT(clm_message_next(c, &m));
    CU_ASSERT_EQUAL(m.n, 389);
    CU_ASSERT(hears_itself(c, 5));
    expect_view(c);
    CU_ASSERT_EQUAL(clm_view_get(c)->nodes[0].name_length, 256);
    clm_free(c);
}

static void test_exchange(void)
{
    struct clm *c = new_clm(5, 105);
    struct totem_configuration a = conf_of(40, (uint32_t[]){2, 5, 0});
    struct totem_configuration b = conf_of(44, (uint32_t[]){2, 5, 7, 0});
    struct totem_configuration t = {.transitional = true, .member_count = 1};
    struct totem_configuration other = b;
    struct bytes m;
    CU_ASSERT(hears(c, &a, 2, &no_view, 0)); /* before any configuration */
    clm_configuration(c, &t);
    CU_ASSERT(!clm_message_next(c, &m));
    clm_configuration(c, &a);
    CU_ASSERT(hears(c, &a, 2, &no_view, 0));
    clm_configuration(c, &t);
    CU_ASSERT(clm_message_next(c, &m));
    expect_nothing(c);
    /* Cut short: what belongs to it is over, and node 2 must tell again. */
    clm_configuration(c, &b);
    CU_ASSERT(hears(c, &a, 5, &no_view, 0));
    CU_ASSERT(hears(c, &b, 7, &no_view, 0));
    other.ring_id.nonce++;
    CU_ASSERT(hears(c, &other, 2, &no_view, 0));
    other = b;
    other.ring_id.rep++;
    CU_ASSERT(hears(c, &other, 2, &no_view, 0));
    CU_ASSERT(hears_itself(c, 5));
    clm_configuration(c, &t);
    CU_ASSERT_PTR_NULL(clm_view_get(c));
    /* Not of the ring; another incarnation. */
    CU_ASSERT(!hears(c, &b, 6, &no_view, 0));
    other = b;
    other.incarnations[0]++;
    CU_ASSERT(!hears(c, &other, 2, &no_view, 0));
    CU_ASSERT_PTR_NULL(clm_view_get(c));
    CU_ASSERT(hears(c, &b, 7, &a.ring_id, 40)); /* the first one counted */
    CU_ASSERT_PTR_NULL(clm_view_get(c));
    CU_ASSERT(hears(c, &b, 2, &no_view, 0));
    expect_view(c);
    expect_nothing(c);
    CU_ASSERT_EQUAL_FATAL(clm_view_get(c)->count, 3);
    CU_ASSERT_EQUAL(clm_view_get(c)->nodes[0].node_id, 5);
    CU_ASSERT_EQUAL(clm_view_get(c)->nodes[1].node_id, 2);
    CU_ASSERT_EQUAL(clm_view_get(c)->nodes[2].node_id, 7);
    CU_ASSERT_EQUAL(initial(c, 7), 44);
    CU_ASSERT(hears(c, &b, 2, &no_view, 0)); /* late */
    expect_nothing(c);
    clm_free(c);
}

/* Which part goes on. The machine is node 1, from view 40, alone. */
/* A node that has another address says so in the next exchange. */
static void test_readdressed(void)
{
    static const char address[] = "10.77.0.33";
    struct totem_configuration first = conf_of(4, (uint32_t[]){1, 2, 0});
    struct totem_configuration next = conf_of(8, (uint32_t[]){1, 2, 0});
    struct clm *c = new_clm(1, 101);
    exchange(c, 1, &first, &no_view, 0);
    expect_nothing(c);
    clm_address_set(c,
                    (struct bytes){(const uint8_t *)address, strlen(address)});
    CU_ASSERT(memcmp(clm_view_get(c)->nodes[0].address, address,
                     strlen(address)) != 0);
    exchange(c, 1, &next, &first.ring_id, 4);
    const struct ipc_clm_node *n = &clm_view_get(c)->nodes[0];
    CU_ASSERT_EQUAL_FATAL(n->address_length, strlen(address));
    CU_ASSERT(memcmp(n->address, address, strlen(address)) == 0);
    clm_free(c);
}

static void test_parts(void)
{
    static const uint32_t all[] = {1, 2, 3, 4, 5, 0};
    struct totem_ring_id same = {40, 101, 1}, rep = {40, 101, 2},
                         nonce = {40, 102, 1};
    struct {
        const struct totem_ring_id *from[4]; /* of nodes 2 .. 5 */
        uint64_t initial[5];
    } cases[] = {
        /* New nodes are no part, however many. */
        {{&no_view, &no_view, &no_view, &no_view}, {40, 60, 60, 60, 60}},
        /* Those from the own view go on with it. */
        {{&same, &no_view, &same, &no_view}, {40, 39, 60, 39, 60}},
        /* A larger part elsewhere, told apart by representative or nonce. */
        {{&no_view, &rep, &rep, &no_view}, {60, 60, 39, 39, 60}},
        {{&nonce, &no_view, &no_view, &nonce}, {60, 39, 60, 60, 39}},
        /* Equal ones: that of the lowest id. */
        {{&rep, &rep, &same, &no_view}, {40, 60, 60, 39, 60}},
        {{&rep, &rep, &nonce, &nonce}, {60, 39, 39, 60, 60}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct clm *c = new_clm(1, 101);
        struct totem_configuration first = conf_of(40, (uint32_t[]){1, 0});
        struct totem_configuration merged = conf_of(60, all);
        exchange(c, 1, &first, &no_view, 0);
        expect_nothing(c);
        clm_configuration(c, &merged);
        for (uint32_t id = 5; id > 1; id--) {
            const struct totem_ring_id *from = cases[i].from[id - 2];
            CU_ASSERT(hears(c, &merged, id, from, from->seq == 0 ? 0 : 39));
        }
        CU_ASSERT(hears_itself(c, 1));
        expect_view(c);
        for (uint32_t id = 1; id <= 5; id++)
            CU_ASSERT_EQUAL(initial(c, id), cases[i].initial[id - 1]);
        clm_free(c);
    }
}

static void test_origin(void)
{
    struct clm *c = new_clm(1, 101);
    struct totem_configuration conf = conf_of(60, (uint32_t[]){1, 2, 0});
    struct totem_ring_id good = {56, 0, 2};
    struct {
        struct totem_ring_id from;
        uint64_t initial;
    } bad[] = {{{0, 0, 0}, 1},   {{0, 1, 0}, 0},  {{0, 0, 1}, 0},
               {{56, 9, 0}, 40}, {{56, 9, 2}, 0}, {{56, 9, 2}, 57},
               {{60, 9, 2}, 40}, {{61, 9, 2}, 40}};
    clm_configuration(c, &conf);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT(!hears(c, &conf, 2, &bad[i].from, bad[i].initial));
    CU_ASSERT(hears(c, &conf, 2, &good, 56));
    CU_ASSERT(hears_itself(c, 1));
    expect_view(c);
    CU_ASSERT_EQUAL(initial(c, 2), 56);
    clm_free(c);
}

/* Node 3 sees {3}, {1 3 5}, {2 3 5}: what each kind of tracking is told. */
static void test_tracking(void)
{
    struct clm *c = new_clm(3, 103);
    struct totem_configuration a = conf_of(40, (uint32_t[]){3, 0});
    struct totem_configuration b = conf_of(44, (uint32_t[]){1, 3, 5, 0});
    struct totem_configuration d = conf_of(48, (uint32_t[]){2, 3, 5, 0});
    struct totem_configuration same = conf_of(52, (uint32_t[]){2, 3, 5, 0});
    exchange(c, 3, &a, &no_view, 0);
    CU_ASSERT_EQUAL(clm_view_get(c)->number, 40);
    expect_nothing(c);
    CU_ASSERT_EQUAL(clm_track(c, 0, IPC_CLM_CHANGES), IPC_OK);
    expect_nothing(c);
    CU_ASSERT_EQUAL(clm_track(c, 1, IPC_CLM_CHANGES_ONLY), IPC_OK);
    CU_ASSERT_EQUAL(clm_track(c, 2, IPC_CLM_CHANGES | IPC_CLM_LOCAL), IPC_OK);
    CU_ASSERT_EQUAL(clm_track(c, 3, IPC_CLM_CHANGES_ONLY | IPC_CLM_LOCAL),
                    IPC_OK);
    CU_ASSERT_EQUAL(clm_track(c, 7, IPC_CLM_CHANGES), IPC_OK);
    exchange(c, 3, &b, &no_view, 0);
    expect(c, 0x81, 44, 3, 1, "=3 +1 +5");
    expect(c, 0x02, 44, 3, 1, "+1 +5");
    expect(c, 0x04, 44, 3, 1, "=3");
    expect_nothing(c);
    exchange(c, 3, &d, &no_view, 0);
    expect(c, 0x81, 48, 3, 1, "=3 -1 +2 =5");
    expect(c, 0x02, 48, 3, 1, "-1 +2");
    expect(c, 0x04, 48, 3, 1, "=3");
    expect_nothing(c);
    /* A new ring of the same nodes: a new number, and nothing has changed. */
    exchange(c, 3, &same, &d.ring_id, 48);
    expect(c, 0x81, 52, 3, 0, "=3 =2 =5");
    expect(c, 0x04, 52, 3, 0, "=3");
    expect_nothing(c);
    clm_free(c);
}

static void test_current(void)
{
    struct clm *c = new_clm(3, 103);
    struct totem_configuration a = conf_of(40, (uint32_t[]){2, 3, 0});
    struct totem_configuration b = conf_of(44, (uint32_t[]){3, 0});
    struct totem_configuration d = conf_of(48, (uint32_t[]){3, 4, 0});
    exchange(c, 3, &a, &no_view, 0);
    expect_nothing(c);
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(clm_track(c, 4, IPC_CLM_CURRENT), IPC_OK);
        expect_current(c, 4, 40, 2, "=3 =2");
        expect_nothing(c);
    }
    CU_ASSERT_EQUAL(clm_track(c, 4, IPC_CLM_CURRENT | IPC_CLM_LOCAL), IPC_OK);
    expect_current(c, 4, 40, 2, "=3");
    expect_nothing(c);
    CU_ASSERT_EQUAL(clm_track_stop(c, 4), IPC_ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(clm_track(c, 5, IPC_CLM_CURRENT | IPC_CLM_CHANGES), IPC_OK);
    expect_current(c, 5, 40, 2, "=3 =2");
    /* CURRENT alone leaves what is tracked; the later of two replaces. */
    CU_ASSERT_EQUAL(clm_track(c, 5, IPC_CLM_CURRENT | IPC_CLM_LOCAL), IPC_OK);
    expect_current(c, 5, 40, 2, "=3");
    CU_ASSERT_EQUAL(clm_track(c, 6, IPC_CLM_CHANGES), IPC_OK);
    CU_ASSERT_EQUAL(clm_track(c, 6, IPC_CLM_CHANGES_ONLY), IPC_OK);
    exchange(c, 3, &b, &no_view, 0);
    expect(c, 1u << 5, 44, 1, 2, "=3 -2");
    expect(c, 1u << 6, 44, 1, 2, "-2");
    expect_nothing(c);
    CU_ASSERT_EQUAL(clm_track_stop(c, 6), IPC_OK);
    CU_ASSERT_EQUAL(clm_track_stop(c, 6), IPC_ERR_NOT_EXIST);
    exchange(c, 3, &d, &no_view, 0);
    expect(c, 1u << 5, 48, 2, 4, "=3 +4");
    expect_nothing(c);
    clm_free(c);
}

/* After clm_client_gone() nothing, not even of what has happened before. */
static void test_gone(void)
{
    struct clm *c = new_clm(3, 103);
    struct totem_configuration a = conf_of(40, (uint32_t[]){3, 0});
    struct totem_configuration b = conf_of(44, (uint32_t[]){2, 3, 0});
    struct totem_configuration d = conf_of(48, (uint32_t[]){3, 0});
    exchange(c, 3, &a, &no_view, 0);
    expect_nothing(c);
    CU_ASSERT_EQUAL(clm_track(c, 0, 3), IPC_OK);
    clm_client_gone(c, 1);
    expect_current(c, 0, 40, 1, "=3");
    CU_ASSERT_EQUAL(clm_track(c, 1, 3), IPC_OK);
    clm_client_gone(c, 1);
    expect_nothing(c);
    CU_ASSERT_EQUAL(clm_track_stop(c, 1), IPC_ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(clm_track(c, 1, 2), IPC_OK);
    CU_ASSERT_EQUAL(clm_track(c, 2, 4), IPC_OK);
    exchange(c, 3, &b, &no_view, 0);
    clm_client_gone(c, 0);
    expect(c, 2, 44, 2, 2, "=3 +2");
    clm_client_gone(c, 2); /* its turn would have been next */
    expect_nothing(c);
    clm_client_gone(c, 1);
    exchange(c, 3, &d, &no_view, 0);
    expect_nothing(c);
    clm_free(c);
}

/* Node 4 restarts while 2 leaves and 6 joins. */
static void test_restart(void)
{
    struct clm *c = new_clm(3, 103);
    struct totem_configuration a = conf_of(40, (uint32_t[]){2, 3, 4, 5, 0});
    struct totem_configuration b = conf_of(44, (uint32_t[]){3, 4, 5, 6, 0});
    struct clm_event e;
    static struct record r;
    exchange(c, 3, &a, &no_view, 0);
    expect_nothing(c);
    CU_ASSERT_EQUAL(clm_track(c, 0, 4), IPC_OK);
    CU_ASSERT_EQUAL(clm_track(c, 1, 2), IPC_OK);
    CU_ASSERT_EQUAL(clm_track(c, 2, 10), IPC_OK);
    CU_ASSERT_EQUAL(clm_track(c, 3, 12), IPC_OK);
    b.incarnations[1] = 999;
    clm_configuration(c, &b);
    CU_ASSERT(hears_itself(c, 3));
    CU_ASSERT(hears(c, &b, 4, &no_view, 0));
    CU_ASSERT(hears(c, &b, 5, &a.ring_id, 40));
    CU_ASSERT(hears(c, &b, 6, &no_view, 0));
    expect_view(c);
    expect(c, 2, 43, 2, 2, "=3 -2 -4 =5");
    expect(c, 1, 43, 2, 2, "-2 -4");
    expect(c, 4, 43, 2, 2, "=3");
    expect(c, 2, 44, 4, 4, "=3 +4 =5 +6");
    CU_ASSERT_FATAL(clm_event_next(c, &e));
    read_record(&e, &r);
    CU_ASSERT_STRING_EQUAL(text_of(&r), "+4 +6");
    CU_ASSERT_EQUAL(r.items[0].node.incarnation, 999);
    expect(c, 4, 44, 4, 4, "=3");
    expect_nothing(c);
    clm_free(c);
}

/* The largest record: of 128 nodes all but the own one are replaced. */
static void test_largest(void)
{
    struct clm *c = new_clm(1000, 1100);
    uint32_t low[IPC_NODES_MAX + 1] = {0}, high[IPC_NODES_MAX + 1] = {0};
    struct clm_event e;
    static struct record r;
    for (uint32_t i = 0; i < IPC_NODES_MAX; i++) {
        low[i] = i == IPC_NODES_MAX - 1 ? 1000 : i + 1;
        high[i] = 1000 + i;
    }
    struct totem_configuration a = conf_of(40, low), b = conf_of(44, high);
    exchange(c, 1000, &a, &no_view, 0);
    expect_nothing(c);
    CU_ASSERT_EQUAL(clm_track(c, 0, 2), IPC_OK);
    exchange(c, 1000, &b, &no_view, 0);
    CU_ASSERT_FATAL(clm_event_next(c, &e));
    read_record(&e, &r);
    CU_ASSERT_EQUAL(r.head.member_count, 128);
    CU_ASSERT_EQUAL_FATAL(r.head.item_count, 255);
    CU_ASSERT_EQUAL(r.items[0].node.node_id, 1000);
    for (uint32_t i = 1; i < 255; i++)
        CU_ASSERT(i == 1 ||
                  r.items[i - 1].node.node_id < r.items[i].node.node_id);
    CU_ASSERT_EQUAL(initial(c, 1000), 40);
    CU_ASSERT_EQUAL(initial(c, 1127), 44);
    expect_nothing(c);
    clm_free(c);
}

/* --- malformed messages --------------------------------------------------- */

/* Node 1's fate after one message of node 2: exactly sized, so that a
 * sanitizer sees a read beyond it. True: a view came of it. */
static bool try_message(const uint8_t *data, size_t size, bool *taken)
{
    struct clm *c = new_clm(1, 101);
    struct totem_configuration conf = conf_of(60, (uint32_t[]){1, 2, 0});
    uint8_t *exact = malloc(size + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
    memcpy(exact + 1, data, size);
    clm_configuration(c, &conf);
    CU_ASSERT_FATAL(hears_itself(c, 1));
    *taken = clm_message(c, 2, (struct bytes){exact + 1, size});
    free(exact);
    const struct clm_view *v = clm_view_get(c);
    bool installed = v != NULL;
    if (installed) {
        const struct ipc_clm_node *n = &v->nodes[1];
        CU_ASSERT(*taken);
        CU_ASSERT(v->count == 2 && n->node_id == 2 && n->member == 1);
        CU_ASSERT_EQUAL(n->incarnation, 102);
        CU_ASSERT(n->family == 1 || n->family == 2);
        CU_ASSERT(n->address_length <= 64 && n->name_length <= 256);
        CU_ASSERT(n->initial_view > 0 && n->initial_view <= 60);
    }
    clm_free(c);
    return installed;
}

static void malformed(const struct totem_ring_id *from, uint64_t from_initial)
{
    struct totem_configuration conf = conf_of(60, (uint32_t[]){1, 2, 0});
    struct ipc_clm_node n = node_of(2, 102);
    uint8_t data[CLM_MESSAGE_SIZE_MAX + 1];
    size_t size = message_of(data, &conf.ring_id, &n, from, from_initial),
           views = 0;
    bool taken;
    CU_ASSERT_FATAL(try_message(data, size, &taken) && taken);
    for (size_t cut = 0; cut < size; cut++)
        CU_ASSERT_FATAL(!try_message(data, cut, &taken) && !taken);
    data[size] = 0;
    CU_ASSERT_FATAL(!try_message(data, size + 1, &taken) && !taken);
    for (size_t at = 0; at < size; at++)
        for (uint32_t mask = 1; mask < 256; mask++) {
            data[at] ^= (uint8_t)mask;
            bool installed = try_message(data, size, &taken);
            views += installed;
            if (at == VERSION_AT ||
                (at >= INCARNATION_AT && at < INCARNATION_AT + 8))
                CU_ASSERT_FATAL(!taken);
            if (at < INCARNATION_AT)
                CU_ASSERT_FATAL(!installed);
            data[at] ^= (uint8_t)mask;
        }
    CU_ASSERT(views >= 255 * (8u + n.address_length + n.name_length));
}

static void test_malformed(void)
{
    struct totem_ring_id from = {56, 102, 2};
    malformed(&no_view, 0);
    malformed(&from, 48);
    /* Lengths beyond what fits, with bytes enough behind them. */
    struct totem_configuration conf = conf_of(60, (uint32_t[]){1, 2, 0});
    struct ipc_clm_node n = node_of(2, 102);
    uint8_t data[2 * CLM_MESSAGE_SIZE_MAX] = {0};
    bool taken;
    n.address_length = 0;
    n.name_length = 0;
    size_t size = message_of(data, &conf.ring_id, &n, &no_view, 0);
    CU_ASSERT(try_message(data, size, &taken));
    data[size - 3] = 65;
    CU_ASSERT(!try_message(data, size + 65, &taken) && !taken);
    data[size - 3] = 64;
    CU_ASSERT(try_message(data, size + 64, &taken) && taken);
    data[size - 3] = 0;
    data[size - 2] = 1;
    data[size - 1] = 1;
    CU_ASSERT(!try_message(data, size + 257, &taken) && !taken);
    data[size - 2] = 0;
    CU_ASSERT(try_message(data, size + 256, &taken) && taken);
}

/* --- a made-up order, at random ------------------------------------------- */

/* Nodes partition, merge, restart; rings break before their exchange is over.
 * Members of a ring deliver the same messages in the same order; those that go
 * on together have delivered as many of them. What must come of it is computed
 * beside the service, from who was in which ring. */
enum { PEERS = 6, STEPS = 60, RINGS = PEERS * STEPS, RUNS = 250, NONE = -1 };

/* What one client was told, replayed. */
struct replay {
    uint32_t flags; /* 0: not tracking */
    uint64_t number;
    uint32_t count;
    struct ipc_clm_node nodes[PEERS];
};

struct ring {
    struct totem_configuration conf;
    int from[PEERS]; /* ring whose view the member comes from; by place */
    uint64_t initial[PEERS];
    uint32_t order[PEERS], count; /* places of the senders */
    uint8_t messages[PEERS][CLM_MESSAGE_SIZE_MAX];
    size_t sizes[PEERS];
    bool seen; /* somebody has installed its view: */
    struct ipc_clm_node view[PEERS];
};

struct peer {
    struct clm *c; /* NULL: down */
    uint64_t incarnation, seq, initial;
    int ring, view;
    uint32_t delivered, part;
    struct replay replays[4];
};

static struct world {
    struct peer peers[PEERS];
    struct ring rings[RINGS];
    int ring_count;
    uint64_t incarnations;
    /* What has happened, so that it is known to have been tested. */
    uint32_t views, cut, split, fresh, ties, same_number, events;
} world;

static uint32_t below(uint32_t n)
{
    return (uint32_t)rand() % n;
}

static uint32_t id_at(uint32_t at)
{
    return 3 + 7 * at;
}

static struct ipc_clm_node *replay_find(struct replay *r, uint32_t id)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->nodes[i].node_id == id)
            return &r->nodes[i];
    return NULL;
}

static void replay_item(struct replay *r, const struct ipc_clm_item *item)
{
    struct ipc_clm_node *n = replay_find(r, item->node.node_id);
    if (item->change == IPC_CLM_JOINED) {
        CU_ASSERT_PTR_NULL_FATAL(n);
        CU_ASSERT_FATAL(r->count < PEERS);
        r->nodes[r->count++] = item->node;
        return;
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    CU_ASSERT_EQUAL_FATAL(n->incarnation, item->node.incarnation);
    if (item->change == IPC_CLM_LEFT)
        *n = r->nodes[--r->count];
    else
        *n = item->node;
}

static void replay_record(struct replay *r, const struct record *record)
{
    uint32_t members = 0;
    CU_ASSERT_FATAL(r->flags != 0); /* not to who does not track */
    CU_ASSERT_FATAL(record->head.view > r->number);
    CU_ASSERT_FATAL(record->head.item_count > 0);
    if (record->head.current)
        r->count = 0;
    r->number = record->head.view;
    for (uint32_t i = 0; i < record->head.item_count; i++) {
        struct ipc_clm_item item = record->items[i];
        members += item.change != IPC_CLM_LEFT;
        if (record->head.current)
            item.change = IPC_CLM_JOINED;
        replay_item(r, &item);
    }
    CU_ASSERT_EQUAL_FATAL(r->count, record->head.member_count);
    if ((r->flags & IPC_CLM_CHANGES) != 0)
        CU_ASSERT_EQUAL_FATAL(r->count, members);
}

/* Hands the events to the replays. True: there was a new view. */
static bool drain(struct peer *p)
{
    static struct record r;
    struct clm_event e;
    bool viewed = false;
    while (clm_event_next(p->c, &e)) {
        if (e.view) {
            CU_ASSERT_FATAL(!viewed);
            viewed = true;
            continue;
        }
        read_record(&e, &r);
        world.events++;
        world.split += viewed && r.head.view < clm_view_get(p->c)->number;
        for (uint32_t i = 0; i < e.client_count; i++) {
            CU_ASSERT_FATAL(e.clients[i] < 4);
            replay_record(&p->replays[e.clients[i]], &r);
        }
    }
    return viewed;
}

/* Every tracking client knows the view; of CHANGES_ONLY who is in it. */
static void check_replays(struct peer *p)
{
    const struct clm_view *v = clm_view_get(p->c);
    for (uint32_t client = 0; client < 4; client++) {
        struct replay *r = &p->replays[client];
        bool all = (r->flags & IPC_CLM_CHANGES) != 0;
        if (r->flags == 0)
            continue;
        CU_ASSERT_EQUAL_FATAL(r->count, v->count);
        CU_ASSERT_FATAL(all ? r->number == v->number : r->number <= v->number);
        for (uint32_t i = 0; i < v->count; i++) {
            struct ipc_clm_node *n = replay_find(r, v->nodes[i].node_id);
            CU_ASSERT_PTR_NOT_NULL_FATAL(n);
            CU_ASSERT_EQUAL_FATAL(n->incarnation, v->nodes[i].incarnation);
            if (all)
                CU_ASSERT_FATAL(memcmp(n, &v->nodes[i], sizeof *n) == 0);
        }
    }
}

/* The rule of the largest part: counted by ring, the lowest node looked at
 * last. */
static uint64_t expected_initial(struct ring *r, uint32_t at)
{
    uint32_t size[RINGS] = {0}, most = 0;
    int best = NONE;
    for (uint32_t i = 0; i < r->conf.member_count; i++)
        if (r->from[i] != NONE)
            size[r->from[i]]++;
    for (uint32_t i = r->conf.member_count; i-- > 0;)
        if (r->from[i] != NONE && size[r->from[i]] >= most) {
            world.ties +=
                best != NONE && best != r->from[i] && size[r->from[i]] == most;
            world.same_number += best != NONE && best != r->from[i] &&
                                 world.rings[best].conf.ring_id.seq ==
                                     world.rings[r->from[i]].conf.ring_id.seq;
            most = size[r->from[i]];
            best = r->from[i];
        }
    world.fresh += best == NONE;
    if (best != NONE && r->from[at] == best)
        return r->initial[at];
    return r->conf.ring_id.seq;
}

/* The view that the last message of a ring has brought. */
static void check_view(struct peer *p, struct ring *r)
{
    const struct clm_view *v = clm_view_get(p->c);
    uint32_t own = (uint32_t)(p - world.peers);
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    CU_ASSERT_EQUAL_FATAL(v->number, r->conf.ring_id.seq);
    CU_ASSERT_EQUAL_FATAL(v->count, r->conf.member_count);
    CU_ASSERT_EQUAL_FATAL(v->nodes[0].node_id, id_at(own));
    for (uint32_t i = 0; i < v->count; i++) {
        const struct ipc_clm_node *n = clm_view_find(v, r->conf.members[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(n);
        CU_ASSERT_EQUAL_FATAL(n->initial_view, expected_initial(r, i));
        struct ipc_clm_node whole =
            node_of(r->conf.members[i], r->conf.incarnations[i]);
        whole.member = 1;
        whole.initial_view = n->initial_view;
        CU_ASSERT_FATAL(memcmp(n, &whole, sizeof whole) == 0);
        if (r->seen)
            CU_ASSERT_FATAL(memcmp(n, &r->view[i], sizeof *n) == 0);
        r->view[i] = *n;
        if (i > 1)
            CU_ASSERT_FATAL(v->nodes[i - 1].node_id < v->nodes[i].node_id);
    }
    r->seen = true;
    p->view = p->ring;
    p->initial = v->nodes[0].initial_view;
    world.views++;
}

static bool give(struct peer *p, const struct ring *r, uint32_t k)
{
    return clm_message(p->c, r->conf.members[r->order[k]],
                       (struct bytes){r->messages[k], r->sizes[k]});
}

/* Delivers up to `until` messages of its ring. */
static void deliver(struct peer *p, uint32_t until)
{
    struct ring *r = &world.rings[p->ring];
    while (p->delivered < until) {
        CU_ASSERT_FATAL(give(p, r, p->delivered++));
        bool whole = p->delivered == r->conf.member_count;
        CU_ASSERT_EQUAL_FATAL(drain(p), whole);
        if (whole) {
            check_view(p, r);
            check_replays(p);
        }
    }
}

/* A message of another ring, or one that makes no sense: nothing comes of it.
 */
static void disturb(struct peer *p)
{
    int at = (int)below((uint32_t)world.ring_count);
    struct ring *r = &world.rings[at];
    uint32_t k = below(PEERS);
    if (k >= r->count)
        return;
    if (at != p->ring)
        CU_ASSERT_FATAL(give(p, r, k));
    struct bytes m = {r->messages[k], r->sizes[k]};
    CU_ASSERT_FATAL(!clm_message(p->c, id_at(k), (struct bytes){m.p, m.n - 1}));
    if (at == p->ring) {
        uint32_t wrong = r->conf.members[(r->order[k] + 1) % PEERS];
        if (wrong != r->conf.members[r->order[k]])
            CU_ASSERT_FATAL(!clm_message(p->c, wrong, m));
    }
    CU_ASSERT_FATAL(!drain(p));
}

/* A client begins to track, ends, or is gone. */
static void track(struct peer *p)
{
    static const uint32_t flags[4] = {IPC_CLM_CHANGES, IPC_CLM_CHANGES_ONLY,
                                      IPC_CLM_CHANGES, IPC_CLM_CHANGES_ONLY};
    uint32_t client = below(4);
    struct replay *r = &p->replays[client];
    if (clm_view_get(p->c) == NULL) {
        CU_ASSERT_EQUAL_FATAL(clm_track(p->c, client, 3), IPC_ERR_TRY_AGAIN);
        return;
    }
    if (r->flags == 0) {
        *r = (struct replay){.flags = flags[client]};
        CU_ASSERT_EQUAL_FATAL(
            clm_track(p->c, client, IPC_CLM_CURRENT | r->flags), IPC_OK);
        drain(p);
        check_replays(p);
    } else if (below(4) == 0) {
        if (below(2) == 0)
            clm_client_gone(p->c, client);
        else
            CU_ASSERT_EQUAL(clm_track_stop(p->c, client), IPC_OK);
        r->flags = 0;
    }
}

static void peer_start(uint32_t at)
{
    struct peer *p = &world.peers[at];
    uint64_t seq = p->seq;
    clm_free(p->c);
    *p = (struct peer){.ring = NONE,
                       .view = NONE,
                       .seq = seq, /* it is on disk */
                       .incarnation = ++world.incarnations};
    p->c = new_clm(id_at(at), p->incarnation);
}

static void peer_stop(uint32_t at)
{
    clm_free(world.peers[at].c);
    world.peers[at].c = NULL;
}

/* Who goes on together delivers as much as the others of the old ring, or some
 * of it. */
static void finish_rings(void)
{
    static const struct totem_configuration trans = {.transitional = true};
    for (uint32_t i = 0; i < PEERS; i++) {
        struct peer *p = &world.peers[i];
        if (p->c == NULL || p->ring == NONE)
            continue;
        struct ring *r = &world.rings[p->ring];
        uint32_t until = p->delivered;
        for (uint32_t j = 0; j < PEERS; j++) {
            struct peer *q = &world.peers[j];
            if (q->c != NULL && q->ring == p->ring && q->part == p->part &&
                q->delivered > until)
                until = q->delivered;
        }
        /* The first of a group decides; the others find it ahead. */
        bool first = true;
        for (uint32_t j = 0; j < i; j++)
            if (world.peers[j].c != NULL && world.peers[j].ring == p->ring &&
                world.peers[j].part == p->part)
                first = false;
        if (first)
            until += below(r->count - until + 1);
        clm_configuration(p->c, &trans);
        deliver(p, until);
        world.cut += p->view != p->ring;
    }
}

/* The messages of a ring: of all members, or of some that came to it. */
static void fill_ring(struct ring *r)
{
    uint32_t places[PEERS], n = r->conf.member_count;
    for (uint32_t i = 0; i < n; i++)
        places[i] = i;
    r->count = below(3) == 0 ? below(n) : n;
    for (uint32_t k = 0; k < r->count; k++) {
        uint32_t pick = k + below(n - k), place = places[pick];
        struct peer *p = &world.peers[(r->conf.members[place] - 3) / 7];
        struct bytes m;
        places[pick] = places[k];
        r->order[k] = place;
        CU_ASSERT_FATAL(clm_message_next(p->c, &m));
        CU_ASSERT_FATAL(m.n <= sizeof r->messages[k]);
        memcpy(r->messages[k], m.p, m.n);
        r->sizes[k] = m.n;
        clm_message_sent(p->c);
    }
}

static void form_ring(uint32_t part)
{
    CU_ASSERT_FATAL(world.ring_count < RINGS);
    struct ring *r = &world.rings[world.ring_count];
    uint64_t seq = 0;
    *r = (struct ring){0};
    for (uint32_t i = 0; i < PEERS; i++) {
        struct peer *p = &world.peers[i];
        if (p->c == NULL || p->part != part)
            continue;
        uint32_t at = r->conf.member_count++;
        r->conf.members[at] = id_at(i);
        r->conf.incarnations[at] = p->incarnation;
        r->from[at] = p->view;
        r->initial[at] = p->initial;
        seq = p->seq > seq ? p->seq : seq;
    }
    if (r->conf.member_count == 0)
        return;
    r->conf.ring_id = (struct totem_ring_id){.seq = seq + 4,
                                             .nonce = r->conf.incarnations[0],
                                             .rep = r->conf.members[0]};
    for (uint32_t i = 0; i < r->conf.member_count; i++) {
        struct peer *p = &world.peers[(r->conf.members[i] - 3) / 7];
        p->seq = seq + 4;
        p->ring = world.ring_count;
        p->delivered = 0;
        clm_configuration(p->c, &r->conf);
    }
    fill_ring(r);
    world.ring_count++;
}

static void step(void)
{
    uint32_t parts = 1 + below(3);
    for (uint32_t i = 0; i < PEERS; i++) {
        uint32_t fate = below(12);
        if (world.peers[i].c == NULL ? fate < 6 : fate == 0)
            peer_start(i);
        else if (fate == 1)
            peer_stop(i);
        world.peers[i].part = below(parts);
    }
    finish_rings();
    for (uint32_t part = 0; part < parts; part++)
        form_ring(part);
    for (uint32_t i = 0; i < 4 * PEERS; i++) {
        struct peer *p = &world.peers[below(PEERS)];
        if (p->c == NULL)
            continue;
        uint32_t left = world.rings[p->ring].count - p->delivered;
        deliver(p, p->delivered + below(left + 1));
        disturb(p);
        track(p);
    }
}

static void test_random(void)
{
    memset(&world, 0, sizeof world);
    for (uint32_t run = 0; run < RUNS; run++) {
        srand(run);
        world.ring_count = 0;
        for (uint32_t i = 0; i < PEERS; i++) {
            world.peers[i] = (struct peer){.seq = 4 * below(3)};
            if (i < 2 + run % (PEERS - 1))
                peer_start(i);
        }
        for (uint32_t i = 0; i < STEPS; i++)
            step();
        for (uint32_t i = 0; i < PEERS; i++)
            peer_stop(i);
    }
    /* All that this is about has happened, and often. */
    CU_ASSERT(world.views > 10000 && world.cut > 10000);
    CU_ASSERT(world.split > 1000 && world.fresh > 100);
    CU_ASSERT(world.ties > 1000 && world.same_number > 100);
    CU_ASSERT(world.events > 10000);
    printf("(%u views, %u exchanges cut, %u restarts told, %u ties) ",
           world.views, world.cut, world.split, world.ties);
}

static const struct unit_test tests[] = {{"flags", test_flags},
                                         {"alone", test_alone},
                                         {"layout", test_layout},
                                         {"exchange", test_exchange},
                                         {"another address", test_readdressed},
                                         {"parts", test_parts},
                                         {"origin", test_origin},
                                         {"tracking", test_tracking},
                                         {"current", test_current},
                                         {"gone", test_gone},
                                         {"restart", test_restart},
                                         {"largest", test_largest},
                                         {"malformed", test_malformed},
                                         {"random", test_random}};
UNIT_MAIN("clm service", tests)
