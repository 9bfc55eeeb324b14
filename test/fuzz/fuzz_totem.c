// SPDX-License-Identifier: BSD-3-Clause
/* fuzz_totem.c - a ring among whose packets some are of a peer gone mad.
 *
 * The input is a list of steps: packets arrive, are lost, come twice or
 * changed; a made-up packet comes, or the last one of a kind with some of its
 * numbers replaced; time passes; messages are sent. Whatever came, no machine
 * may break a promise to itself, and afterwards, among themselves again, all
 * must find back into one ring within two minutes and send what they have. */
#include "test/unit/ring_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 150, TAIL_SECONDS = 120 };

static uint64_t interesting(struct reader *r)
{
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      3,
                                      7,
                                      8,
                                      31,
                                      32,
                                      63,
                                      64,
                                      65,
                                      127,
                                      128,
                                      129,
                                      UINT32_MAX,
                                      (uint64_t)UINT32_MAX + 1,
                                      WIRE_SEQ_MAX - 1,
                                      WIRE_SEQ_MAX,
                                      WIRE_SEQ_MAX + 1,
                                      UINT64_MAX - 1,
                                      UINT64_MAX};
    uint8_t pick = read_u8(r);
    if (pick >= 128)
        return read_u64(r);
    return values[pick % (sizeof values / sizeof *values)];
}

/* Replaces, or adds to, numbers of 1, 2, 4 or 8 bytes anywhere. */
static void change(struct reader *r, uint8_t *packet, size_t size)
{
    for (uint32_t left = read_u8(r) % 4 + 1u; left > 0; left--) {
        size_t width = (size_t)1 << read_u8(r) % 4;
        size_t at = read_u16(r) % size;
        bool adds = read_u8(r) % 2 == 0;
        uint64_t value = interesting(r);
        if (at + width > size)
            continue;
        struct reader old = reader_of((struct bytes){packet + at, width});
        if (adds)
            value += read_uint(&old, width);
        struct writer out = writer_of(packet + at, width);
        write_uint(&out, value, width);
    }
}

/* An exact copy, so that a read beyond it is seen. */
static void give_changed(struct ring_world *w, struct reader *r, uint32_t to,
                         struct bytes packet)
{
    if (packet.n == 0)
        return;
    uint8_t *copy = malloc(packet.n);
    CHECK(copy != NULL);
    memcpy(copy, packet.p, packet.n);
    change(r, copy, packet.n);
    world_give(w, to, (struct bytes){copy, packet.n});
    free(copy);
}

static void arrive_changed(struct ring_world *w, struct reader *r)
{
    struct world_packet p;
    if (!world_take(w, &p))
        return;
    give_changed(w, r, p.to, (struct bytes){p.data, p.size});
    free(p.data);
}

static void arrive_twice(struct ring_world *w)
{
    struct world_packet p;
    if (!world_take(w, &p))
        return;
    world_give(w, p.to, (struct bytes){p.data, p.size});
    world_give(w, p.to, (struct bytes){p.data, p.size});
    free(p.data);
}

static void lose(struct ring_world *w)
{
    struct world_packet p;
    if (world_take(w, &p))
        free(p.data);
}

static void give_raw(struct ring_world *w, struct reader *r, uint32_t to)
{
    size_t n = read_u8(r);
    struct bytes b = read_bytes(r, n < r->left ? n : r->left);
    uint8_t *copy = malloc(b.n + 1);
    CHECK(copy != NULL);
    if (b.n > 0)
        memcpy(copy, b.p, b.n);
    if (b.n >= 4)
        wire_stamp(copy, WORLD_PACKET_MAX); /* or it gets no further */
    world_give(w, to, (struct bytes){copy, b.n});
    free(copy);
}

static void step(struct ring_world *w, struct reader *r)
{
    uint8_t what = read_u8(r);
    uint32_t node = what / 16 % w->count;
    switch (what % 16) {
    case 0:
        arrive_changed(w, r);
        break;
    case 1:
    case 2: { /* the last of a kind */
        uint32_t kind = read_u8(r) % WORLD_KINDS;
        give_changed(w, r, node,
                     (struct bytes){w->last[kind], w->last_size[kind]});
        break;
    }
    case 3:
        give_raw(w, r, node);
        break;
    case 4:
        lose(w);
        break;
    case 5:
        arrive_twice(w);
        break;
    case 6:
        world_timer(w);
        break;
    case 7:
        w->now_ns += (uint64_t)1 << read_u8(r) % 30;
        break;
    case 8:
        world_send(w, node, read_u8(r) % 40u, what >= 128);
        break;
    case 9:
        world_step(w, node,
                   (struct totem_in){.kind = TOTEM_IN_UNREACHABLE,
                                     .node_id = read_u8(r) % 5u});
        break;
    default: /* a few arrive as they are */
        for (uint32_t i = what % 16 - 9u; i > 0; i--)
            if (!world_arrive(w))
                world_timer(w);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of((struct bytes){data, size});
    uint8_t first = read_u8(&r);
    if (r.failed)
        return 0;
    struct ring_world *w = world_new(first % 3 + 1u);
    if (first >= 64)
        world_settle(w, 2000000000);
    for (uint32_t i = 0; i < STEPS_MAX && r.left > 0; i++)
        step(w, &r);
    CHECK(world_settle(w, UINT64_C(1000000000) * TAIL_SECONDS));
    world_free(w);
    return 0;
}
