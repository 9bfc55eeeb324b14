/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_clm.c - a node's CLM service between strangers.
 *
 * The input is a list of what happens to node 2: configurations of nodes 1 to 4
 * of any incarnation, what any of them multicasts (well-formed, with bytes of
 * the input laid over it, or the input's alone), clients that track. Whatever
 * comes, views and events are whole, and those of an unbroken message agree
 * with the configuration. */
#include "daemon/base/check.h"
#include "daemon/service/clm.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SELF = 2, NODES = 4, CLIENTS = 3, HEADER = 67 /* before the address */ };

static struct totem_configuration conf;
static uint64_t view_number, sum;

static void check_node(const struct ipc_clm_node *n, uint64_t view)
{
    CHECK(n->node_id >= 1 && n->node_id <= NODES && n->member <= 1);
    CHECK(n->family == 1 || n->family == 2);
    CHECK(n->address_length <= sizeof n->address);
    CHECK(n->name_length <= sizeof n->name);
    CHECK(n->initial_view > 0 && n->initial_view <= view);
}

static void check_view(const struct clm_view *v)
{
    CHECK(v != NULL && v->number == conf.ring_id.seq);
    CHECK(v->number > view_number && v->count == conf.member_count);
    view_number = v->number;
    CHECK(v->nodes[0].node_id == SELF);
    for (uint32_t i = 0; i < v->count; i++) {
        check_node(&v->nodes[i], v->number);
        CHECK(v->nodes[i].member == 1);
        CHECK(i < 2 || v->nodes[i - 1].node_id < v->nodes[i].node_id);
    }
    for (uint32_t i = 0; i < conf.member_count; i++)
        CHECK(clm_view_find(v, conf.members[i])->incarnation ==
              conf.incarnations[i]);
}

static void check_event(const struct clm_event *e)
{
    struct ipc_clm_track_event head;
    struct ipc_clm_item item;
    CHECK(e->client_count > 0 && e->client_count <= CLIENTS);
    for (uint32_t i = 0; i < e->client_count; i++)
        CHECK(e->clients[i] < CLIENTS);
    CHECK(e->data.n >= sizeof head);
    memcpy(&head, e->data.p, sizeof head);
    CHECK(head.view <= view_number && head.member_count <= NODES);
    CHECK(head.item_count > 0 && head.item_count <= NODES);
    CHECK(e->data.n == sizeof head + head.item_count * sizeof item);
    for (uint32_t i = 0; i < head.item_count; i++) {
        memcpy(&item, e->data.p + sizeof head + i * sizeof item, sizeof item);
        CHECK(item.change >= IPC_CLM_NO_CHANGE && item.change <= IPC_CLM_LEFT);
        check_node(&item.node, head.view);
        for (size_t k = 0; k < sizeof item; k++)
            sum += ((const uint8_t *)&item)[k]; /* defined, all of it */
    }
}

static void drain(struct clm *c)
{
    struct clm_event e;
    uint32_t count = 0;
    while (clm_event_next(c, &e)) {
        CHECK(++count <= 1 + 2 * CLIENTS);
        if (e.view)
            check_view(clm_view_get(c));
        else
            check_event(&e);
    }
    CHECK(!clm_event_next(c, &e));
}

/* Bits 0 to 3: who is in it; 4 and 5: whose incarnations are new. */
static void configure(struct clm *c, uint8_t shape)
{
    uint64_t seq = conf.ring_id.seq + 4;
    conf = (struct totem_configuration){.ring_id = {seq, shape, SELF}};
    for (uint32_t id = 1; id <= NODES; id++) {
        if (id != SELF && (shape >> (id - 1) & 1) == 0)
            continue;
        conf.incarnations[conf.member_count] =
            100 * id + (id == SELF ? 0 : shape >> 4 & 3);
        conf.members[conf.member_count++] = id;
    }
    clm_configuration(c, &conf);
    drain(c);
}

static bool give(struct clm *c, uint32_t sender, const uint8_t *data, size_t n)
{
    uint8_t *exact = malloc(n + 1);
    CHECK(exact != NULL);
    if (n > 0)
        memcpy(exact + 1, data, n);
    bool taken = clm_message(c, sender, (struct bytes){exact + 1, n});
    drain(c);
    free(exact);
    return taken;
}

static void own(struct clm *c)
{
    struct bytes m;
    if (!clm_message_next(c, &m))
        return;
    clm_message_sent(c);
    CHECK(give(c, SELF, m.p, m.n));
}

/* What a member would say, with bytes of the input over it from `at` on. */
static void overlaid(struct clm *c, uint32_t sender, size_t at, struct bytes b)
{
    uint8_t m[HEADER + 4 + 2 + 5];
    uint64_t incarnation = 0;
    struct writer w = writer_of(m, sizeof m);
    for (uint32_t i = 0; i < conf.member_count; i++)
        if (conf.members[i] == sender)
            incarnation = conf.incarnations[i];
    write_u8(&w, 1);
    write_u64(&w, conf.ring_id.seq);
    write_u64(&w, conf.ring_id.nonce);
    write_u32(&w, conf.ring_id.rep);
    write_u64(&w, incarnation);
    write_u64(&w, 77);
    write_uint(&w, 0, 8);
    write_uint(&w, 0, 8);
    write_uint(&w, 0, 4);
    write_uint(&w, 0, 8);
    write_u8(&w, 1);
    write_u8(&w, 4);
    write_bytes(&w, (struct bytes){(const uint8_t *)"1.23", 4});
    write_u16(&w, 5);
    write_bytes(&w, (struct bytes){(const uint8_t *)"node1", 5});
    CHECK(!w.failed);
    for (size_t i = 0; i < b.n && at + i < w.written; i++)
        m[at + i] = b.p[i];
    bool taken = give(c, sender, m, w.written);
    CHECK(taken || b.n > 0 || incarnation == 0);
}

static void client(struct clm *c, uint8_t what, uint32_t flags)
{
    uint32_t at = what % CLIENTS;
    if (clm_flags_ok(flags)) {
        enum ipc_error e = clm_track(c, at, flags);
        CHECK(e == (clm_view_get(c) == NULL ? IPC_ERR_TRY_AGAIN : IPC_OK));
    } else if (flags % 2 == 0) {
        clm_client_gone(c, at);
        CHECK(clm_track_stop(c, at) == IPC_ERR_NOT_EXIST);
    } else {
        clm_track_stop(c, at);
    }
    drain(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct clm_config config = {.self = {.node_id = SELF,
                                         .incarnation = 100 * SELF,
                                         .family = 1,
                                         .address_length = 3,
                                         .name_length = 2},
                                .client_max = CLIENTS};
    struct clm *c = clm_new(&config);
    struct reader r = reader_of((struct bytes){data, size});
    CHECK(c != NULL);
    conf = (struct totem_configuration){0};
    view_number = sum = 0;
    while (r.left > 0 && !r.failed) {
        uint8_t what = read_u8(&r);
        if (what < 0x40) {
            configure(c, what);
        } else if (what < 0x60) {
            own(c);
        } else if (what < 0xa0) {
            client(c, what, read_u8(&r));
        } else {
            bool over = what < 0xd0;
            size_t at = over ? read_u8(&r) : 0;
            size_t n = over ? read_u8(&r) : read_u16(&r);
            struct bytes b = read_bytes(&r, n < r.left ? n : r.left);
            if (over)
                overlaid(c, what % 8, at, b);
            else
                give(c, what % 8, b.p, b.n);
        }
    }
    clm_free(c);
    return 0;
}
