/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ckpt_piece.c - the records of a state in pieces, made by hand: each is
 * taken as it should be, and refused with one thing in it that cannot be. */
#include "daemon/service/ckpt_internal.h"
#include "test/unit/unit.h"

static const uint64_t LAST = (uint64_t)1 << 62; /* number that is believed */
static const uint32_t REFS = 1 << 30;

static uint8_t piece[65536];
static struct writer w;
static struct ckpt *k;

static struct ckpt *make(void)
{
    struct ckpt *made = ckpt_new(&(struct ckpt_config){.node_id = 1,
                                                       .incarnation = 1,
                                                       .client_max = 2,
                                                       .checkpoint_max = 100,
                                                       .bytes_max = 1 << 24,
                                                       .hash_seed = 7});
    CU_ASSERT_PTR_NOT_NULL_FATAL(made);
    return made;
}

static void begin(void)
{
    k = make();
    w = writer_of(piece, sizeof piece);
}

static void end(void)
{
    ckpt_free(k);
}

/* Reads what has been written since the last time. */
static bool taken(void)
{
    CU_ASSERT_FATAL(!w.failed);
    bool good = ckpt_piece_read(k, (struct bytes){piece, w.written});
    w = writer_of(piece, sizeof piece);
    return good;
}

/* --- checkpoints ---------------------------------------------------------- */

struct made_checkpoint {
    uint64_t number;
    uint32_t section_max;
    int64_t retention_ns, due_ns;
    uint16_t name_size, ref_count;
    struct ckpt_ref refs[3];
    bool unlinked;
};

static const struct made_checkpoint good_checkpoint = {
    .number = 5,
    .section_max = 10,
    .due_ns = INT64_MAX,
    .name_size = 3,
    .ref_count = 2,
    .refs = {{.node_id = 1, .count = 1}, {.node_id = 2, .count = 1 << 30}}};

static void write_checkpoint(const struct made_checkpoint *m)
{
    write_u8(&w, 1);
    write_u64(&w, m->number);
    write_u32(&w, 0);
    write_u32(&w, m->section_max);
    write_u64(&w, UINT64_MAX);
    write_u64(&w, 0);
    write_u64(&w, 1000);
    write_u64(&w, 64);
    write_u64(&w, (uint64_t)m->retention_ns);
    write_u8(&w, m->unlinked);
    write_u32(&w, 1);
    write_u64(&w, (uint64_t)m->due_ns);
    write_u16(&w, m->name_size);
    for (uint16_t i = 0; i < m->name_size; i++)
        write_u8(&w, (uint8_t)('a' + m->number % 8));
    write_u16(&w, m->ref_count);
    for (uint16_t i = 0; i < m->ref_count; i++) {
        struct ckpt_ref ref = m->refs[i < 3 ? i : 2];
        write_u32(&w, i < 3 ? ref.node_id : 100u + i);
        write_u32(&w, ref.count);
    }
}

static bool checkpoint(struct made_checkpoint m)
{
    write_checkpoint(&m);
    return taken();
}

static void checkpoints(void)
{
    struct {
        struct made_checkpoint m;
        bool good;
    } cases[24];
    size_t n = 0;
    for (size_t i = 0; i < 24; i++)
        cases[i].m = good_checkpoint;
    cases[n++].good = true;
    cases[n].m.number = 0, cases[n++].good = false;
    cases[n].m.number = 1, cases[n++].good = true;
    cases[n].m.number = LAST, cases[n++].good = true;
    cases[n].m.number = LAST + 1, cases[n++].good = false;
    cases[n].m.section_max = 0, cases[n++].good = false;
    cases[n].m.retention_ns = -1, cases[n++].good = false;
    cases[n].m.retention_ns = INT64_MAX, cases[n++].good = true;
    cases[n].m.name_size = IPC_CKPT_NAME_SIZE_MAX, cases[n++].good = true;
    cases[n].m.name_size = IPC_CKPT_NAME_SIZE_MAX + 1, cases[n++].good = false;
    cases[n].m.refs[0].count = 0, cases[n++].good = false;
    cases[n].m.refs[1].count = REFS + 1, cases[n++].good = false;
    cases[n].m.refs[1].node_id = 1, cases[n++].good = false;
    cases[n].m.ref_count = 3, cases[n].m.refs[2].count = 1;
    cases[n].m.refs[2].node_id = 2, cases[n++].good = false;
    cases[n].m.ref_count = 3, cases[n].m.refs[2].count = 1;
    cases[n].m.refs[2].node_id = 3, cases[n++].good = true;
    cases[n].m.due_ns = 7, cases[n++].good = false; /* it is in use */
    cases[n].m.due_ns = 7, cases[n].m.ref_count = 0, cases[n++].good = true;
    cases[n].m.ref_count = 0, cases[n++].good = true;
    cases[n].m.ref_count = STORE_NODES_MAX, cases[n].m.refs[2].count = 1;
    cases[n].m.refs[2].node_id = 3, cases[n++].good = true;
    cases[n].m.ref_count = STORE_NODES_MAX + 1, cases[n].m.refs[2].count = 1;
    cases[n].m.refs[2].node_id = 3, cases[n++].good = false;
    for (size_t i = 0; i < n; i++) {
        begin();
        CU_ASSERT_EQUAL(checkpoint(cases[i].m), cases[i].good);
        end();
    }
}

/* They come in order; one that is here is told of again. */
static void checkpoints_in_order(void)
{
    struct made_checkpoint m = good_checkpoint;
    begin();
    CU_ASSERT(checkpoint(m));
    m.number = 7;
    CU_ASSERT(checkpoint(m));
    m.number = 6;
    CU_ASSERT(!checkpoint(m));
    m.number = 7;
    m.unlinked = true;
    CU_ASSERT(checkpoint(m));
    CU_ASSERT(!checkpoint((struct made_checkpoint){.number = 8}));
    m.number = 4;
    CU_ASSERT(!checkpoint(m));
    end();
}

/* --- sections ------------------------------------------------------------- */

struct made_section {
    uint64_t checkpoint, number, size, offset;
    uint32_t n;
    uint16_t id_size;
};

static void write_section(const struct made_section *m)
{
    write_u8(&w, 2);
    write_u64(&w, m->checkpoint);
    write_u64(&w, m->number);
    write_u64(&w, 1);
    write_u64(&w, INT64_MAX);
    write_u64(&w, m->size);
    write_u64(&w, m->offset);
    write_u32(&w, m->n);
    write_u16(&w, m->id_size);
    for (uint16_t i = 0; i < m->id_size; i++)
        write_u8(&w, (uint8_t)('a' + m->number % 8));
    for (uint32_t i = 0; i < m->n; i++)
        write_u8(&w, (uint8_t)i);
}

static bool section(uint64_t c, uint64_t number, uint64_t size, uint64_t offset,
                    uint32_t n, uint16_t id_size)
{
    write_section(&(struct made_section){c, number, size, offset, n, id_size});
    return taken();
}

static void begin_with_section(void)
{
    begin();
    CU_ASSERT(checkpoint(good_checkpoint));
    CU_ASSERT(section(5, 2, 10, 0, 10, 4));
}

static void sections(void)
{
    static const struct {
        struct made_section m;
        bool good;
    } cases[] = {
        {{5, 3, 10, 0, 10, 4}, true},
        {{4, 3, 10, 0, 10, 4}, false}, /* no such checkpoint */
        {{6, 3, 10, 0, 10, 4}, false},
        {{0, 3, 10, 0, 10, 4}, false},
        {{5, 0, 10, 0, 10, 4}, false},
        {{5, 1, 10, 0, 10, 4}, false}, /* behind 2 */
        {{5, 2, 10, 0, 10, 4}, true},  /* more of it */
        {{5, (uint64_t)1 << 62, 10, 0, 10, 4}, true},
        {{5, ((uint64_t)1 << 62) + 1, 10, 0, 10, 4}, false},
        {{5, 3, 10, 0, 10, IPC_CKPT_SECTION_ID_SIZE_MAX}, true},
        {{5, 3, 10, 0, 10, IPC_CKPT_SECTION_ID_SIZE_MAX + 1}, false},
        {{5, 3, 1000, 0, 10, 4}, true},
        {{5, 3, 1001, 0, 10, 4}, false}, /* the checkpoint's limit */
        {{5, 3, UINT64_MAX, 0, 10, 4}, false},
        {{5, 3, 10, 10, 0, 4}, true},
        {{5, 3, 10, 11, 0, 4}, false},
        {{5, 3, 10, 4, 6, 4}, true},
        {{5, 3, 10, 4, 7, 4}, false},
        {{5, 3, 10, 0, 11, 4}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin_with_section();
        write_section(&cases[i].m);
        CU_ASSERT_EQUAL(taken(), cases[i].good);
        end();
    }
}

static bool sections_end(uint64_t c, uint64_t next)
{
    write_u8(&w, 3);
    write_u64(&w, c);
    write_u64(&w, next);
    return taken();
}

static void ends_of_sections(void)
{
    begin_with_section();
    CU_ASSERT(!sections_end(4, 3));
    CU_ASSERT(!sections_end(6, 3));
    CU_ASSERT(!sections_end(5, 2));
    CU_ASSERT(!sections_end(5, LAST + 1));
    CU_ASSERT(section(5, 3, 10, 0, 10, 4)); /* these were not all yet */
    CU_ASSERT(sections_end(5, LAST));
    CU_ASSERT(sections_end(5, 4));
    CU_ASSERT(!section(5, 4, 10, 0, 10, 4));
    CU_ASSERT(section(5, 3, 20, 10, 10, 4));
    end();
}

static bool checkpoints_end(uint64_t next, int64_t time_ns, bool more)
{
    write_u8(&w, 4);
    write_u64(&w, next);
    write_u64(&w, (uint64_t)time_ns);
    if (more)
        write_u8(&w, 1);
    return taken();
}

static void ends_of_checkpoints(void)
{
    begin_with_section();
    CU_ASSERT(!checkpoints_end(5, 1, false));
    CU_ASSERT(!checkpoints_end(6, -1, false));
    CU_ASSERT(!checkpoints_end(6, 1, true));
    CU_ASSERT(!checkpoints_end(LAST + 1, 1, false));
    CU_ASSERT(checkpoints_end(LAST, 1, false));
    CU_ASSERT(checkpoints_end(6, 1, false));
    CU_ASSERT_EQUAL(k->next_checkpoint, 6);
    CU_ASSERT_EQUAL(k->clock.time_ns, 1);
    end();
}

/* One byte less, whatever the record; and one that is none. */
static void cut_short(void)
{
    begin_with_section();
    for (int record = 1; record <= 4; record++) {
        w = writer_of(piece, sizeof piece);
        if (record == 1)
            write_checkpoint(&good_checkpoint);
        else if (record == 2)
            write_section(&(struct made_section){5, 2, 10, 0, 10, 4});
        else
            write_u8(&w, (uint8_t)record);
        if (record > 2) {
            write_u64(&w, record == 3 ? 5 : 6);
            write_u64(&w, 3);
        }
        size_t whole = w.written;
        CU_ASSERT(taken());
        for (size_t n = 1; n < whole; n++)
            CU_ASSERT(!ckpt_piece_read(k, (struct bytes){piece, n}));
    }
    write_u8(&w, 5);
    CU_ASSERT(!taken());
    write_u8(&w, 0);
    CU_ASSERT(!taken());
    CU_ASSERT(taken()); /* nothing at all */
    end();
}

/* --- there and back ------------------------------------------------------- */

/* Two checkpoints with many sections, one byte of which is `byte`. */
static void fill(uint64_t first, uint64_t sections_each, uint8_t byte)
{
    for (uint64_t number = first; number < first + 2; number++) {
        struct made_checkpoint m = good_checkpoint;
        m.number = number;
        CU_ASSERT(checkpoint(m));
        for (uint64_t s = 1; s <= sections_each; s++) {
            write_section(&(struct made_section){number, s, 1000, 0, 900, 4});
            if (number == first + 1 && s == sections_each)
                piece[w.written - 1] = byte;
            CU_ASSERT(taken());
        }
        CU_ASSERT(sections_end(number, sections_each + 1));
    }
    CU_ASSERT(checkpoints_end(first + 2, 1, false));
}

static uint64_t hash_of(uint64_t first, uint64_t sections_each, uint8_t byte)
{
    begin();
    fill(first, sections_each, byte);
    uint64_t hash = ckpt_hash(k);
    end();
    return hash;
}

static void hashes(void)
{
    for (uint64_t each = 1; each <= 30; each += 29) {
        uint64_t hash = hash_of(1, each, 1);
        CU_ASSERT_EQUAL(hash_of(1, each, 1), hash);
        CU_ASSERT_NOT_EQUAL(hash_of(1, each, 2), hash);
        CU_ASSERT_NOT_EQUAL(hash_of(2, each, 1), hash);
    }
    begin(); /* of the first alone */
    CU_ASSERT(checkpoint(good_checkpoint));
    uint64_t before = ckpt_hash(k);
    end();
    begin();
    struct made_checkpoint m = good_checkpoint;
    m.number = 1;
    CU_ASSERT(checkpoint(m));
    uint64_t first = ckpt_hash(k);
    m.refs[0].count++;
    CU_ASSERT(checkpoint(m));
    CU_ASSERT(ckpt_hash(k) != first && first != before);
    end();
}

/* In pieces of any size another node gets the same. */
static void copied(size_t size)
{
    begin();
    fill(1, 12, 3);
    struct ckpt *other = make();
    struct replica_cursor cursor = {{0, 0, 0}};
    bool last = false;
    for (uint32_t i = 0; i < 1000 && !last; i++) {
        struct writer out = writer_of(piece, size);
        last = ckpt_piece_write(k, &cursor, &out);
        CU_ASSERT(out.written > 0);
        CU_ASSERT(ckpt_piece_read(other, (struct bytes){piece, out.written}));
    }
    CU_ASSERT(last);
    CU_ASSERT_EQUAL(ckpt_hash(other), ckpt_hash(k));
    ckpt_free(other);
    end();
}

static void copies(void)
{
    for (size_t size = 4000; size < 9000; size += 97)
        copied(size);
    copied(sizeof piece);
}

static const struct unit_test tests[] = {
    {"checkpoints", checkpoints},
    {"checkpoints in order", checkpoints_in_order},
    {"sections", sections},
    {"ends of sections", ends_of_sections},
    {"ends of checkpoints", ends_of_checkpoints},
    {"cut short", cut_short},
    {"hashes", hashes},
    {"copies", copies},
};

UNIT_MAIN("ckpt piece", tests)
