/* SPDX-License-Identifier: BSD-3-Clause */
/* Every packet of the core, there and back, and refused where it must be. */
#include "daemon/totem/wire.h"
#include "daemon/totem/ring_id.h"
#include "test/unit/unit.h"

#include <string.h>

static uint8_t packet[TOTEM_CONTROL_SIZE_MAX];

static struct reader body(size_t n, struct wire_head *head)
{
    struct reader r = reader_of((struct bytes){packet, n});
    CU_ASSERT(wire_head_read(&r, head));
    return r;
}

static void put_u32(size_t at, uint32_t v)
{
    struct writer w = writer_of(packet + at, 4);
    write_u32(&w, v);
}

static void put_u64(size_t at, uint64_t v)
{
    struct writer w = writer_of(packet + at, 8);
    write_u64(&w, v);
}

static void head_refused(void)
{
    static const uint8_t good[8] = {1, 0, 0, 0, 9, 0, 0, 0};
    static const struct {
        uint8_t at, value;
    } bad[] = {{0, 0}, {0, 10}, {0, 255}, {4, 0}};
    struct wire_head head;
    memcpy(packet, good, sizeof good);
    body(sizeof good, &head);
    CU_ASSERT(head.kind == WIRE_DATA && head.sender == 9);
    for (size_t n = 0; n < sizeof good; n++) {
        struct reader r = reader_of((struct bytes){packet, n});
        CU_ASSERT(!wire_head_read(&r, &head));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(packet, good, sizeof good);
        packet[bad[i].at] = bad[i].value;
        struct reader r = reader_of((struct bytes){packet, sizeof good});
        CU_ASSERT(!wire_head_read(&r, &head));
    }
}

static bool data_read(size_t n, struct wire_data *data)
{
    struct wire_head head;
    struct reader r = body(n, &head);
    return wire_data_read(&r, &head, data);
}

static void data_packet(void)
{
    struct wire_data in = {.ring_hash = 0x1122334455667788,
                           .seq = WIRE_SEQ_MAX,
                           .safe = true,
                           .recovered = true,
                           .old_seq = 77,
                           .old_sender = 3,
                           .old_safe = true};
    struct wire_data out;
    size_t n = wire_data_head_write(packet, 5, &in);
    CU_ASSERT_EQUAL(n, WIRE_DATA_SIZE + WIRE_RECOVERED_SIZE);
    CU_ASSERT(!data_read(n, &out)); /* no payload */
    packet[n] = 42;
    CU_ASSERT(data_read(n + 1, &out));
    CU_ASSERT(out.ring_hash == in.ring_hash && out.seq == in.seq && out.safe);
    CU_ASSERT(out.recovered && out.old_seq == 77 && out.old_sender == 3);
    CU_ASSERT(out.old_safe && out.payload.n == 1 && out.payload.p[0] == 42);
    put_u64(16, WIRE_SEQ_MAX + 1);
    CU_ASSERT(!data_read(n + 1, &out));
    put_u64(16, 1);
    put_u64(24, UINT64_MAX); /* old seq */
    CU_ASSERT(!data_read(n + 1, &out));
    in = (struct wire_data){.seq = 8};
    n = wire_data_head_write(packet, 5, &in);
    CU_ASSERT_EQUAL(n, WIRE_DATA_SIZE);
    CU_ASSERT(data_read(n + 1, &out) && !out.recovered && !out.safe);
}

static bool token_read(size_t n, struct wire_token *token)
{
    struct wire_head head;
    struct reader r = body(n, &head);
    return wire_token_read(&r, &head, token);
}

static void token_packet(void)
{
    static struct wire_token in, out;
    in = (struct wire_token){.ring_id = {4, 5, 6},
                             .token_seq = 7,
                             .seq = 100,
                             .aru = 90,
                             .aru_id = 2,
                             .backlog_packets = 11,
                             .idle_hops = 12,
                             .retrans = true,
                             .rtr_count = WIRE_RTR_MAX};
    for (uint32_t i = 0; i < WIRE_RTR_MAX; i++)
        in.rtr[i] = i + 91;
    size_t n = wire_token_write(packet, 2, &in);
    CU_ASSERT(token_read(n, &out));
    CU_ASSERT(ring_id_equal(&in.ring_id, &out.ring_id));
    CU_ASSERT(out.token_seq == 7 && out.seq == 100 && out.aru == 90);
    CU_ASSERT(out.aru_id == 2 && out.backlog_packets == 11);
    CU_ASSERT(out.idle_hops == 12 && out.retrans);
    CU_ASSERT(memcmp(in.rtr, out.rtr, sizeof in.rtr) == 0);
    CU_ASSERT(!token_read(n - 1, &out));
    CU_ASSERT(!token_read(n + 1, &out));
    put_u32(64, WIRE_RTR_MAX + 1);
    CU_ASSERT(!token_read(n + 8, &out));
    put_u32(64, UINT32_MAX);
    CU_ASSERT(!token_read(n, &out));
    put_u32(64, WIRE_RTR_MAX);
    put_u64(44, 101); /* aru over seq */
    CU_ASSERT(!token_read(n, &out));
    put_u64(36, UINT64_MAX); /* seq */
    CU_ASSERT(!token_read(n, &out));
}

static bool join_read(size_t n, struct wire_join *join)
{
    struct wire_head head;
    struct reader r = body(n, &head);
    return wire_join_read(&r, &head, join);
}

static void join_packet(void)
{
    static struct wire_join in, out;
    in = (struct wire_join){.incarnation = 1, .ring_seq = 2};
    for (uint32_t id = 1; id <= TOTEM_NODES_MAX; id++)
        set_add(&in.proc, 3 * id);
    set_add(&in.fail, 6);
    size_t n = wire_join_write(packet, 9, &in);
    CU_ASSERT(join_read(n, &out));
    CU_ASSERT(out.incarnation == 1 && out.ring_seq == 2);
    CU_ASSERT(set_equal(&in.proc, &out.proc) && set_equal(&in.fail, &out.fail));
    CU_ASSERT(!join_read(n - 1, &out) && !join_read(n + 1, &out));
    n = wire_join_write(packet, 10, &in); /* its sender is not in it */
    CU_ASSERT(!join_read(n, &out));
    n = wire_join_write(packet, 6, &in); /* it accuses its sender */
    CU_ASSERT(!join_read(n, &out));
    n = wire_join_write(packet, 9, &in);
    put_u32(24, TOTEM_NODES_MAX + 1); /* more than can be */
    CU_ASSERT(!join_read(n, &out));
    n = wire_join_write(packet, 9, &in);
    put_u32(32, 3); /* the first id twice */
    CU_ASSERT(!join_read(n, &out));
    set_add(&in.fail, 7); /* not in proc */
    n = wire_join_write(packet, 9, &in);
    CU_ASSERT(!join_read(n, &out));
    set_remove(&in.fail, 7);
    in.ring_seq = WIRE_SEQ_MAX + 1;
    n = wire_join_write(packet, 9, &in);
    CU_ASSERT(!join_read(n, &out));
}

/* A join of `count` nodes, 3, 6, ..: every second one heard, and every third
 * one accuses its two neighbours. */
static void join_make(struct wire_join *join, uint32_t count)
{
    *join = (struct wire_join){.incarnation = 1, .ring_seq = 2};
    for (uint32_t i = 0; i < count; i++)
        set_add(&join->proc, 3 * (i + 1));
    for (uint32_t i = 0; i < count; i += 2)
        set_add(&join->heard, 3 * (i + 1));
    for (uint32_t i = 0; i < count && count > 1; i += 3) {
        accusations_add(&join->accusations, i, (i + 1) % count);
        accusations_add(&join->accusations, i, (i + count - 1) % count);
    }
}

/* Where the bits of a join of so many nodes stand, and none failed. */
static size_t heard_at(uint32_t count)
{
    return 8 + 16 + 4 + 4 * count + 4;
}

static void join_accuses(void)
{
    static const uint32_t counts[] = {1, 2, 8, 9, TOTEM_NODES_MAX};
    static struct wire_join in, out;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        join_make(&in, counts[i]);
        size_t n = wire_join_write(packet, 3, &in);
        CU_ASSERT(join_read(n, &out));
        CU_ASSERT(set_equal(&in.proc, &out.proc) && out.fail.count == 0);
        CU_ASSERT(set_equal(&in.heard, &out.heard));
        CU_ASSERT(accusations_equal(&in.accusations, &out.accusations));
        CU_ASSERT(!join_read(n + 1, &out));
        while (n-- > 8)
            CU_ASSERT(!join_read(n, &out));
    }
    /* All accuse all: the largest there can be. */
    join_make(&in, TOTEM_NODES_MAX);
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++)
        for (uint32_t k = 0; k < TOTEM_NODES_MAX; k++)
            if (i != k)
                accusations_add(&in.accusations, i, k);
    CU_ASSERT(join_read(wire_join_write(packet, 3, &in), &out));
    CU_ASSERT(accusations_equal(&in.accusations, &out.accusations));
}

/* One bit more than a right join has, and it is refused. */
static bool join_refused(const struct wire_join *in, size_t at, uint8_t bit)
{
    static struct wire_join out;
    size_t n = wire_join_write(packet, 3, in);
    CU_ASSERT(join_read(n, &out));
    CU_ASSERT((packet[at] & bit) == 0);
    packet[at] |= bit;
    return !join_read(n, &out);
}

static void join_accusations_refused(void)
{
    static struct wire_join in;
    join_make(&in, 9); /* rows of two bytes; of 0, 3 and 6 */
    size_t heard = heard_at(9), accusers = heard + 2, rows = accusers + 2;
    for (uint32_t bit = 1; bit < 8; bit++) { /* of a tenth node, and so on */
        CU_ASSERT(join_refused(&in, heard + 1, (uint8_t)(1u << bit)));
        CU_ASSERT(join_refused(&in, accusers + 1, (uint8_t)(1u << bit)));
        for (uint32_t row = 0; row < 3; row++)
            CU_ASSERT(
                join_refused(&in, rows + 2 * row + 1, (uint8_t)(1u << bit)));
    }
    for (uint32_t row = 0; row < 3; row++) /* of itself */
        CU_ASSERT(join_refused(&in, rows + 2 * row, (uint8_t)(1u << 3 * row)));
    CU_ASSERT(join_refused(&in, accusers, 2)); /* its row is not there */
}

static struct wire_commit commit_in, commit_out;

static bool commit_read(size_t n)
{
    struct wire_head head;
    struct reader r = body(n, &head);
    return wire_commit_read(&r, &commit_out);
}

static void commit_make(uint32_t count)
{
    commit_in = (struct wire_commit){
        .ring_id = {8, 9, 10}, .token_seq = 3, .first_seq = 4, .count = count};
    for (uint32_t i = 0; i < count; i++)
        commit_in.entries[i] =
            (struct wire_commit_entry){.node_id = 10 + i,
                                       .filled = i % 2 == 0,
                                       .incarnation = 1000 + i,
                                       .old_ring_id = {i, i + 1, i + 2},
                                       .aru = 50 + i,
                                       .high = 60 + i,
                                       .safe = 40 + i,
                                       .window_packets = 70 + i,
                                       .deliver = {1, [15] = (uint8_t)i}};
}

static void commit_packet(void)
{
    commit_make(TOTEM_NODES_MAX);
    size_t n = wire_commit_write(packet, 10, &commit_in);
    CU_ASSERT(commit_read(n));
    CU_ASSERT_EQUAL(commit_out.count, TOTEM_NODES_MAX);
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++) {
        const struct wire_commit_entry *e = &commit_out.entries[i];
        CU_ASSERT(e->node_id == 10 + i && e->filled == (i % 2 == 0));
        CU_ASSERT(e->incarnation == 1000 + i && e->old_ring_id.nonce == i + 1);
        CU_ASSERT(e->aru == 50 + i && e->high == 60 + i && e->safe == 40 + i);
        CU_ASSERT(e->window_packets == 70 + i && e->deliver[15] == i);
    }
    CU_ASSERT(!commit_read(n - 1) && !commit_read(n + 1));
}

static void commit_refused(void)
{
    static const uint32_t counts[] = {0, 2, 4, TOTEM_NODES_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        commit_make(3);
        size_t n = wire_commit_write(packet, 10, &commit_in);
        CU_ASSERT(commit_read(n));
        put_u32(44, counts[i]);
        CU_ASSERT(!commit_read(n));
    }
    for (int i = 0; i < 9; i++) {
        commit_make(3);
        struct wire_commit_entry *e = &commit_in.entries[2];
        switch (i) {
        case 0:
            e->aru = e->high + 1;
            break;
        case 1:
            e->safe = e->aru + 1;
            break;
        case 2:
            e->high = WIRE_SEQ_MAX + 1;
            break;
        case 3:
            e->node_id = 11;
            break; /* twice */
        case 4:
            e->window_packets = WIRE_WINDOW_MIN - 1;
            break;
        case 5:
            e->old_ring_id.seq = UINT64_MAX;
            break;
        case 6:
            commit_in.ring_id.rep = 11;
            break; /* not the lowest */
        case 7:
            commit_in.first_seq = UINT64_MAX;
            break;
        case 8:
            commit_in.ring_id.seq = UINT64_MAX;
            break;
        }
        CU_ASSERT(!commit_read(wire_commit_write(packet, 10, &commit_in)));
    }
}

static void small_packets(void)
{
    struct wire_head head;
    struct wire_leave in = {.incarnation = 3, .ring_seq = 4}, out;
    size_t n = wire_leave_write(packet, 7, &in);
    struct reader r = body(n, &head);
    CU_ASSERT(head.kind == WIRE_LEAVE && wire_leave_read(&r, &out));
    CU_ASSERT(out.incarnation == 3 && out.ring_seq == 4);
    r = body(n - 1, &head);
    CU_ASSERT(!wire_leave_read(&r, &out));

    n = wire_wake_write(packet, 7, 99);
    r = body(n, &head);
    CU_ASSERT(head.kind == WIRE_WAKE && read_u64(&r) == 99 && reader_done(&r));
}

static bool merge_read(size_t n, struct wire_merge *merge)
{
    struct wire_head head;
    struct reader r = body(n, &head);
    return head.kind == WIRE_MERGE && wire_merge_read(&r, merge);
}

static void merge_packet(void)
{
    static struct wire_merge in, out;
    in = (struct wire_merge){.ring_id = {5, 6, 7}};
    set_add(&in.members, 29);
    set_add(&in.heard, 30);
    set_add(&in.refused, 31);
    set_add(&in.refused_too, 32);
    set_add(&in.refused_too, 33);
    size_t used = 8 + 20 + 4 * 4 + 5 * 4;
    size_t n = wire_merge_write(packet, 7, &in, 300);
    CU_ASSERT(n == 300 && merge_read(n, &out));
    CU_ASSERT(ring_id_equal(&in.ring_id, &out.ring_id));
    CU_ASSERT(set_equal(&in.members, &out.members));
    CU_ASSERT(set_equal(&in.heard, &out.heard));
    CU_ASSERT(set_equal(&in.refused, &out.refused));
    CU_ASSERT(set_equal(&in.refused_too, &out.refused_too));
    CU_ASSERT(merge_read(used, &out)); /* the padding says nothing */
    for (size_t cut = 8; cut < used; cut++)
        CU_ASSERT(!merge_read(cut, &out));
    for (size_t at = used; at < n; at++) { /* and is zero */
        packet[at] = 1;
        CU_ASSERT(!merge_read(n, &out));
        packet[at] = 0;
    }
    put_u32(used - 8, 33); /* the same twice */
    CU_ASSERT(!merge_read(n, &out));
    put_u32(used - 8, 32);
    put_u32(28, TOTEM_NODES_MAX + 1); /* more members than can be */
    CU_ASSERT(!merge_read(n, &out));
    put_u32(28, 1);
    CU_ASSERT(merge_read(n, &out));
    put_u64(8, UINT64_MAX);
    CU_ASSERT(!merge_read(n, &out));
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++) {
        set_add(&in.heard, 100 + i);
        set_add(&in.refused, 200 + i);
        set_add(&in.refused_too, 300 + i);
    }
    n = wire_merge_write(packet, 7, &in, 300); /* larger than that */
    CU_ASSERT(n == 8 + 20 + 4 * 4 + 4 + 3 * 4 * TOTEM_NODES_MAX);
    CU_ASSERT(merge_read(n, &out));
    CU_ASSERT(set_equal(&in.refused_too, &out.refused_too));
}

static bool echo_read(size_t n, enum wire_kind kind, struct wire_echo *echo)
{
    struct wire_head head;
    struct reader r = body(n, &head);
    return head.kind == kind && wire_echo_read(&r, echo);
}

static void probe_and_ack(void)
{
    struct wire_echo in = {.ring_hash = 8, .number = UINT64_MAX}, out;
    size_t n = wire_echo_write(packet, WIRE_PROBE, 7, &in, 500);
    CU_ASSERT(n == 500 && echo_read(n, WIRE_PROBE, &out));
    CU_ASSERT(out.ring_hash == 8 && out.number == UINT64_MAX);
    for (size_t cut = 8; cut < 24; cut++)
        CU_ASSERT(!echo_read(cut, WIRE_PROBE, &out));
    for (size_t at = 24; at < n; at += 25) {
        packet[at] = 1;
        CU_ASSERT(!echo_read(n, WIRE_PROBE, &out));
        packet[at] = 0;
    }
    n = wire_echo_write(packet, WIRE_ACK, 7, &in, 0);
    CU_ASSERT(n == 24 && echo_read(n, WIRE_ACK, &out));
    CU_ASSERT(out.ring_hash == 8 && out.number == UINT64_MAX);
}

static void hash_differs(void)
{
    struct totem_ring_id a = {4, 100, 1}, b = {4, 100, 2}, c = {8, 100, 1},
                         d = {4, 101, 1};
    uint64_t h = wire_ring_hash(&a);
    CU_ASSERT(h == wire_ring_hash(&a) && h != wire_ring_hash(&b));
    CU_ASSERT(h != wire_ring_hash(&c) && h != wire_ring_hash(&d));
}

static const struct unit_test tests[] = {
    {"head refused", head_refused},
    {"data packet", data_packet},
    {"token", token_packet},
    {"join", join_packet},
    {"join: heard and accusations", join_accuses},
    {"join: accusations refused", join_accusations_refused},
    {"commit token", commit_packet},
    {"commit token refused", commit_refused},
    {"wake, leave", small_packets},
    {"merge", merge_packet},
    {"probe and ack", probe_and_ack},
    {"ring hash", hash_differs},
};

UNIT_MAIN("wire", tests)
