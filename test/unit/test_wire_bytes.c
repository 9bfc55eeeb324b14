/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets as doc/wire.md has them, written here without the code that is
 * tested: what it writes is the same, byte for byte, and what it reads is the
 * same again. Then packets at the edge of what may be: each is good, and with
 * one field beyond is not. */
#include "daemon/totem/wire.h"
#include "test/unit/unit.h"

#include <string.h>

static uint8_t bytes[TOTEM_CONTROL_SIZE_MAX], made[TOTEM_CONTROL_SIZE_MAX];
static struct writer w; /* of bytes */
static const struct totem_ring_id id = {0x1122334455667788, 0x99aabbccddeeff00,
                                        7};

static void begin(uint8_t kind, uint8_t flags, uint32_t sender)
{
    memset(bytes, 0, sizeof bytes);
    memset(made, 0xee, sizeof made);
    w = writer_of(bytes, sizeof bytes);
    write_u8(&w, kind);
    write_u8(&w, flags);
    write_u16(&w, 0x1234);
    write_u32(&w, sender);
}

static void put_id(const struct totem_ring_id *i)
{
    write_u64(&w, i->seq);
    write_u64(&w, i->nonce);
    write_u32(&w, i->rep);
}

static void put_list(const struct set *s)
{
    write_u32(&w, s->count);
    for (uint32_t i = 0; i < s->count; i++)
        write_u32(&w, s->ids[i]);
}

/* What was made, of `n` bytes, is what was put. */
static void expect(size_t n)
{
    CU_ASSERT_EQUAL(n, w.written);
    CU_ASSERT(made[2] == 0 && made[3] == 0); /* not stamped yet */
    wire_stamp(made, 0x1234);
    CU_ASSERT_EQUAL(memcmp(made, bytes, w.written), 0);
}

/* A reader of the body of what was put, `less` bytes of it missing. */
static struct reader body(struct wire_head *head, size_t less)
{
    struct reader r = reader_of((struct bytes){bytes, w.written - less});
    CU_ASSERT(wire_head_read(&r, head));
    CU_ASSERT(head->packet_size_max == 0x1234);
    return r;
}

static struct set some(uint32_t from, uint32_t step, uint32_t count)
{
    struct set s = {0};
    for (uint32_t i = 0; i < count; i++)
        CU_ASSERT(set_add(&s, from + i * step));
    return s;
}

// --- joins
// --------------------------------------------------------------------------

static bool join_good(struct wire_join *join)
{
    struct wire_head head;
    struct reader r = body(&head, 0);
    return wire_join_read(&r, &head, join);
}

/* `count` nodes, in whose rows the last bits are set, too. */
static void join_of(uint32_t count)
{
    static struct wire_join in, out;
    struct wire_head head;
    in = (struct wire_join){.incarnation = 5, .ring_seq = WIRE_SEQ_MAX};
    in.proc = some(10, 3, count);
    in.fail = count > 2 ? some(13, 3, 1) : some(0, 1, 0);
    set_add(&in.heard, 10 + 3 * (count - 1));
    for (uint32_t k = 1; k < count; k += 5)
        accusations_add(&in.accusations, 0, k);
    if (count > 1) {
        accusations_add(&in.accusations, count - 1, 0);
        if (count > 2)
            accusations_add(&in.accusations, count - 1, count - 2);
    }
    begin(3, 0, 10);
    write_u64(&w, 5);
    write_u64(&w, WIRE_SEQ_MAX);
    put_list(&in.proc);
    put_list(&in.fail);
    uint32_t row_size = (count + 7) / 8;
    for (uint32_t row = 0; row < count + 2; row++) {
        uint8_t bits[16] = {0};
        for (uint32_t i = 0; i < count; i++) {
            bool set = row == 0 ? i == count - 1
                       : row == 1
                           ? count > 1 && (i == 0 || i == count - 1)
                           : accusations_have(&in.accusations, row - 2, i);
            bits[i / 8] |= (uint8_t)(set << i % 8);
        }
        if (row < 2 || (count > 1 && (row == 2 || row == count + 1)))
            write_bytes(&w, (struct bytes){bits, row_size});
    }
    expect(wire_join_write(made, 10, &in));
    CU_ASSERT(join_good(&out));
    CU_ASSERT(set_equal(&in.proc, &out.proc) && set_equal(&in.fail, &out.fail));
    CU_ASSERT(set_equal(&in.heard, &out.heard));
    CU_ASSERT(accusations_equal(&in.accusations, &out.accusations));
    for (size_t less = 1; less <= w.written - 8; less++) {
        struct reader r = body(&head, less);
        CU_ASSERT(!wire_join_read(&r, &head, &out));
    }
}

static void joins(void)
{
    for (uint32_t count = 1; count <= 33; count++)
        join_of(count);
    join_of(127);
    join_of(128);
}

/* Three nodes, and bytes that are changed: from the packet's end, and to what.
 */
static void joins_refused(void)
{
    static struct wire_join in, out;
    static const struct {
        uint8_t at, value; /* at: before the end */
    } bad[] = {
        {5, 0x08}, /* a fourth was heard */
        {4, 0x08}, /* a fourth accuses */
        {3, 0x08}, /* a fourth is accused */
        {3, 0x01}, /* the first accuses itself */
        {1, 0x04}, /* the third, too */
    };
    in = (struct wire_join){.incarnation = 5, .proc = some(1, 1, 3)};
    for (uint32_t i = 0; i < 3; i++)
        accusations_add(&in.accusations, i, (i + 1) % 3);
    size_t n = wire_join_write(made, 1, &in);
    wire_stamp(made, 0x1234);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(3, 0, 1);
        wire_join_write(made, 1, &in);
        wire_stamp(made, 0x1234);
        memcpy(bytes, made, n);
        w.written = n;
        CU_ASSERT(join_good(&out));
        bytes[n - bad[i].at] = bad[i].value;
        CU_ASSERT(!join_good(&out));
    }
}

// --- lists
// --------------------------------------------------------------------------

static bool merge_good(struct wire_merge *merge)
{
    struct wire_head head;
    struct reader r = body(&head, 0);
    return wire_merge_read(&r, merge);
}

static void merges(void)
{
    static struct wire_merge in, out;
    static const uint32_t sizes[] = {0, 100, 700};
    for (size_t i = 0; i < 3; i++) {
        in = (struct wire_merge){.ring_id = id,
                                 .members = some(1, 2, 10),
                                 .heard = some(40, 5, 3),
                                 .refused = some(3, 1, 1),
                                 .refused_too = some(8, 100, 20)};
        begin(5, 0, 9);
        put_id(&id);
        put_list(&in.members);
        put_list(&in.heard);
        put_list(&in.refused);
        put_list(&in.refused_too);
        if (w.written < sizes[i])
            w.written = sizes[i]; /* zeros */
        expect(wire_merge_write(made, 9, &in, sizes[i]));
        CU_ASSERT(merge_good(&out));
        CU_ASSERT(set_equal(&in.members, &out.members));
        CU_ASSERT(set_equal(&in.heard, &out.heard));
        CU_ASSERT(set_equal(&in.refused, &out.refused));
        CU_ASSERT(set_equal(&in.refused_too, &out.refused_too));
        CU_ASSERT(memcmp(&out.ring_id, &id, sizeof id) == 0);
    }
    bytes[w.written - 1] = 1;
    CU_ASSERT(!merge_good(&out));
    bytes[w.written - 1] = 0;
    size_t padding = 8 + 20 + 4 * 4 + 34 * 4;
    bytes[padding] = 1; /* the first of the zeros */
    CU_ASSERT(!merge_good(&out));
}

/* A list in the packet's middle: `count` is said, these are there. */
static bool list_good(uint32_t count, const uint32_t *ids, uint32_t there)
{
    static struct wire_merge out;
    begin(5, 0, 9);
    put_id(&id);
    write_u32(&w, 0);
    write_u32(&w, count);
    for (uint32_t i = 0; i < there; i++)
        write_u32(&w, ids[i]);
    write_u32(&w, 0);
    write_u32(&w, 0);
    return merge_good(&out);
}

static void lists(void)
{
    uint32_t ids[129];
    for (uint32_t i = 0; i < 129; i++)
        ids[i] = i + 1;
    CU_ASSERT(list_good(0, ids, 0));
    CU_ASSERT(list_good(128, ids, 128));
    CU_ASSERT(!list_good(129, ids, 129));
    CU_ASSERT(!list_good(UINT32_MAX, ids, 129));
    CU_ASSERT(!list_good(9, ids, 3)); /* more than there is */
    CU_ASSERT(list_good(3, (uint32_t[]){5, 6, UINT32_MAX}, 3));
    CU_ASSERT(!list_good(3, (uint32_t[]){0, 6, 7}, 3));
    CU_ASSERT(!list_good(3, (uint32_t[]){5, 5, 7}, 3));
    CU_ASSERT(!list_good(3, (uint32_t[]){5, 7, 7}, 3));
    CU_ASSERT(!list_good(3, (uint32_t[]){5, 7, 6}, 3));
    CU_ASSERT(!list_good(3, (uint32_t[]){7, 5, 6}, 3));
}

// --- commit tokens
// ------------------------------------------------------------------

static struct wire_commit commit_in, commit_out;

static bool commit_good(void)
{
    struct wire_head head;
    struct reader r = body(&head, 0);
    return wire_commit_read(&r, &commit_out);
}

static void commit_put(void)
{
    const struct wire_commit *c = &commit_in;
    begin(4, 0, 7);
    put_id(&c->ring_id);
    write_u64(&w, c->token_seq);
    write_u64(&w, c->first_seq);
    write_u32(&w, c->count);
    for (uint32_t i = 0; i < c->count; i++) {
        const struct wire_commit_entry *e = &c->entries[i];
        write_u32(&w, e->node_id);
        write_u32(&w, e->filled);
        write_u64(&w, e->incarnation);
        put_id(&e->old_ring_id);
        write_u64(&w, e->aru);
        write_u64(&w, e->high);
        write_u64(&w, e->safe);
        write_u32(&w, e->window_packets);
        write_bytes(&w, (struct bytes){e->deliver, 16});
    }
}

static void commit_make(uint32_t count)
{
    commit_in = (struct wire_commit){.ring_id = id,
                                     .token_seq = WIRE_SEQ_MAX,
                                     .first_seq = WIRE_SEQ_MAX,
                                     .count = count};
    for (uint32_t i = 0; i < count; i++)
        commit_in.entries[i] = (struct wire_commit_entry){
            .node_id = 7 + 2 * i,
            .filled = i % 2 == 0,
            .incarnation = UINT64_MAX - i,
            .old_ring_id = {WIRE_SEQ_MAX, i, 7 + i},
            .aru = WIRE_SEQ_MAX,
            .high = WIRE_SEQ_MAX,
            .safe = WIRE_SEQ_MAX,
            .window_packets = i % 2 == 0 ? WIRE_WINDOW_MIN : 0,
            .deliver = {[0] = 1, [15] = (uint8_t)i}};
}

static void commits(void)
{
    static const uint32_t counts[] = {1, 2, 128};
    for (size_t i = 0; i < 3; i++) {
        commit_make(counts[i]);
        commit_put();
        expect(wire_commit_write(made, 7, &commit_in));
        CU_ASSERT(commit_good());
        CU_ASSERT_EQUAL(memcmp(commit_out.entries, commit_in.entries,
                               counts[i] * sizeof *commit_in.entries),
                        0);
    }
    struct wire_head head;
    commit_make(2);
    commit_put();
    for (size_t less = 1; less <= w.written - 8; less++) {
        struct reader r = body(&head, less);
        CU_ASSERT(!wire_commit_read(&r, &commit_out));
    }
}

static void commits_refused(void)
{
    commit_make(0);
    commit_put();
    CU_ASSERT(!commit_good());
    commit_make(128);
    commit_put();
    commit_in.count = 129;
    write_bytes(&w, (struct bytes){bytes, 84}); /* another one */
    bytes[44] = 129;
    CU_ASSERT(!commit_good());
    commit_make(3);
    commit_in.first_seq++;
    commit_put();
    CU_ASSERT(!commit_good());
    commit_make(3);
    commit_in.token_seq++;
    commit_put();
    CU_ASSERT(!commit_good());
    commit_make(3);
    commit_in.entries[2].high++;
    commit_put();
    CU_ASSERT(!commit_good());
    commit_make(3);
    commit_in.entries[1].old_ring_id.seq++;
    commit_put();
    CU_ASSERT(!commit_good());
}

// --- tokens, data
// -------------------------------------------------------------------

static bool token_good(struct wire_token *token)
{
    struct wire_head head;
    struct reader r = body(&head, 0);
    return wire_token_read(&r, &head, token);
}

static void tokens(void)
{
    static struct wire_token in, out;
    in = (struct wire_token){.ring_id = {WIRE_SEQ_MAX, 1, 2},
                             .token_seq = WIRE_SEQ_MAX,
                             .seq = WIRE_SEQ_MAX,
                             .aru = WIRE_SEQ_MAX,
                             .aru_id = 3,
                             .backlog_packets = 4,
                             .idle_hops = 5,
                             .rtr_count = 2,
                             .rtr = {11, 12}};
    for (int retrans = 0; retrans < 2; retrans++) {
        in.retrans = retrans == 1;
        begin(2, (uint8_t)retrans, 9);
        put_id(&in.ring_id);
        write_u64(&w, WIRE_SEQ_MAX);
        write_u64(&w, WIRE_SEQ_MAX);
        write_u64(&w, WIRE_SEQ_MAX);
        write_u32(&w, 3);
        write_u32(&w, 4);
        write_u32(&w, 5);
        write_u32(&w, 2);
        write_u64(&w, 11);
        write_u64(&w, 12);
        expect(wire_token_write(made, 9, &in));
        CU_ASSERT(token_good(&out) && out.retrans == in.retrans);
        CU_ASSERT(out.rtr_count == 2 && out.rtr[1] == 12);
    }
    struct wire_head head;
    for (size_t less = 1; less <= w.written - 8; less++) {
        struct reader r = body(&head, less);
        CU_ASSERT(!wire_token_read(&r, &head, &out));
    }
}

/* One too many of a number. */
static void tokens_refused(void)
{
    static struct wire_token out;
    for (int i = 0; i < 4; i++) {
        begin(2, 0, 9);
        put_id(&(struct totem_ring_id){WIRE_SEQ_MAX + (i == 0), 1, 2});
        write_u64(&w, WIRE_SEQ_MAX + (i == 1));
        write_u64(&w, WIRE_SEQ_MAX + (i == 2));
        write_u64(&w, 0);
        for (int k = 0; k < 4; k++)
            write_u32(&w, 0);
        CU_ASSERT_EQUAL(token_good(&out), i == 3);
    }
}

static void data(void)
{
    for (int i = 0; i < 8; i++) {
        struct wire_data in = {.ring_hash = 0x0123456789abcdef,
                               .seq = WIRE_SEQ_MAX,
                               .safe = (i & 1) != 0,
                               .recovered = (i & 2) != 0,
                               .old_safe = (i & 4) != 0},
                         out;
        struct wire_head head;
        if (in.recovered) {
            in.old_seq = WIRE_SEQ_MAX;
            in.old_sender = 6;
        }
        begin(1, (uint8_t)i, 9);
        write_u64(&w, in.ring_hash);
        write_u64(&w, in.seq);
        if (in.recovered) {
            write_u64(&w, in.old_seq);
            write_u32(&w, 6);
            write_u32(&w, 0);
        }
        expect(wire_data_head_write(made, 9, &in));
        write_u8(&w, 42);
        struct reader r = body(&head, 0);
        CU_ASSERT(wire_data_read(&r, &head, &out));
        CU_ASSERT(out.seq == in.seq && out.old_seq == in.old_seq);
        CU_ASSERT(out.safe == in.safe && out.recovered == in.recovered);
        CU_ASSERT(out.old_safe == in.old_safe && out.payload.n == 1);
        for (size_t less = 1; less <= w.written - 8; less++) {
            r = body(&head, less);
            CU_ASSERT(!wire_data_read(&r, &head, &out));
        }
    }
}

// --- small ones
// ---------------------------------------------------------------------

static void small(void)
{
    struct wire_leave leave = {.incarnation = 3, .ring_seq = WIRE_SEQ_MAX}, out;
    struct wire_head head;
    begin(7, 0, 9);
    write_u64(&w, 3);
    write_u64(&w, WIRE_SEQ_MAX);
    expect(wire_leave_write(made, 9, &leave));
    struct reader r = body(&head, 0);
    CU_ASSERT(wire_leave_read(&r, &out) && out.ring_seq == WIRE_SEQ_MAX);
    r = body(&head, 1);
    CU_ASSERT(!wire_leave_read(&r, &out));
    begin(7, 0, 9);
    write_u64(&w, 3);
    write_u64(&w, WIRE_SEQ_MAX + 1);
    r = body(&head, 0);
    CU_ASSERT(!wire_leave_read(&r, &out));

    begin(6, 0, 9);
    write_u64(&w, 0x0102030405060708);
    expect(wire_wake_write(made, 9, 0x0102030405060708));
}

static void echos(void)
{
    static const uint32_t sizes[] = {0, 24, 25, 900};
    for (uint8_t kind = 8; kind <= 9; kind++)
        for (size_t i = 0; i < 4; i++) {
            struct wire_echo echo = {.ring_hash = 4, .number = 5}, out;
            struct wire_head head;
            begin(kind, 0, 9);
            write_u64(&w, 4);
            write_u64(&w, 5);
            if (w.written < sizes[i])
                w.written = sizes[i];
            expect(wire_echo_write(made, (enum wire_kind)kind, 9, &echo,
                                   sizes[i]));
            struct reader r = body(&head, 0);
            CU_ASSERT(wire_echo_read(&r, &out));
            CU_ASSERT(out.ring_hash == 4 && out.number == 5);
            for (size_t at = 24; at < w.written; at++) {
                bytes[at] = 1;
                r = body(&head, 0);
                CU_ASSERT(!wire_echo_read(&r, &out));
                bytes[at] = 0;
            }
            r = body(&head, w.written - 23);
            CU_ASSERT(!wire_echo_read(&r, &out));
        }
}

/* doc/wire.md: "64 bits that are mixed from it". */
static void ring_hash(void)
{
    const uint64_t words[3] = {id.seq, id.nonce, id.rep};
    uint64_t h = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t z = (h ^ words[i]) + 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        h = z ^ (z >> 31);
    }
    CU_ASSERT_EQUAL(wire_ring_hash(&id), h);
}

static const struct unit_test tests[] = {
    {"joins", joins},
    {"joins refused", joins_refused},
    {"merges", merges},
    {"lists", lists},
    {"commit tokens", commits},
    {"commit tokens refused", commits_refused},
    {"tokens", tokens},
    {"tokens refused", tokens_refused},
    {"data", data},
    {"leave, wake", small},
    {"probe, acknowledgement", echos},
    {"ring hash", ring_hash},
};

UNIT_MAIN("wire_bytes", tests)
