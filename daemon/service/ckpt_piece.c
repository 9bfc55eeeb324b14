/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_piece.c - the state in pieces, for nodes that do not have it.
 *
 * Checkpoints go one after the other, by number: first what is known of the
 * checkpoint, then its sections by number, each in as many runs of bytes as it
 * takes, then that these were all: from there on sections are created in it
 * there too. Last, that these were all checkpoints.
 *
 * The cursor is (checkpoint, section, offset): what has been sent. A section
 * that is written to while it is sent is no trouble: what was sent of it gets
 * the write on its own, and what follows contains it. */
#include "daemon/service/ckpt_internal.h"

enum record { CHECKPOINT = 1, SECTION, SECTIONS_END, CHECKPOINTS_END };

enum {
    /* At most, before what is of a size of its own. */
    RECORD_SIZE_MAX = 128,
    CHECKPOINT_SIZE_MAX =
        RECORD_SIZE_MAX + IPC_CKPT_NAME_SIZE_MAX + 8 * STORE_NODES_MAX,
    SECTION_HEAD_SIZE_MAX = RECORD_SIZE_MAX + IPC_CKPT_SECTION_ID_SIZE_MAX
};

/* What is in a piece is believed, if no harm comes of it: numbers have others
 * behind them, and no sum of sizes wraps. */
static const uint64_t number_max = (uint64_t)1 << 62;
static const uint64_t bytes_max = (uint64_t)1 << 42;
static const uint32_t refs_max = 1 << 30; /* of a node */

_Static_assert(REPLICA_PIECE_SIZE_MAX > 4 * CHECKPOINT_SIZE_MAX,
               "a piece holds any record");

/* --- writing -------------------------------------------------------------- */

static void write_checkpoint(struct writer *w, const struct ckpt_checkpoint *c)
{
    write_u8(w, CHECKPOINT);
    write_u64(w, c->number);
    ckpt_write_attributes(w, &c->attributes);
    write_u64(w, (uint64_t)atomic_load_explicit(&c->retention_ns,
                                                memory_order_relaxed));
    write_u8(w, atomic_load_explicit(&c->unlinked, memory_order_relaxed));
    write_u32(w, atomic_load_explicit(&c->active, memory_order_relaxed));
    write_u64(w, (uint64_t)c->due_ns);
    write_u16(w, c->name_size);
    write_bytes(w, bytes_of(c->name, c->name_size));
    write_u16(w, (uint16_t)c->ref_count);
    for (uint32_t i = 0; i < c->ref_count; i++) {
        write_u32(w, c->refs[i].node_id);
        write_u32(w, c->refs[i].count);
    }
}

/* Where the data ends that begins at `offset`: `max` bytes further at most. */
static uint64_t data_end(const struct ckpt_content *content, uint64_t offset,
                         uint64_t max)
{
    uint64_t end = offset;

    while (end < content->size && end - offset < max &&
           ckpt_content_data(content, end) == end)
        end += STORE_CHUNK_SIZE - end % STORE_CHUNK_SIZE;
    if (end > content->size)
        end = content->size;
    return end - offset < max ? end : offset + max;
}

/* As much of the section as there is room for, from the first data on that are
 * there; where it ends then. What lies between records is 0. */
static uint64_t write_section(struct writer *w, const struct ckpt_checkpoint *c,
                              const struct ckpt_section *s, uint64_t offset)
{
    const struct ckpt_content *content = ckpt_content_get(s);
    uint64_t n;

    CHECK(w->left > SECTION_HEAD_SIZE_MAX && offset <= content->size);
    offset = ckpt_content_data(content, offset);
    n = data_end(content, offset, w->left - SECTION_HEAD_SIZE_MAX) - offset;
    write_u8(w, SECTION);
    write_u64(w, c->number);
    write_u64(w, s->number);
    write_u64(w, (uint64_t)content->last_update_ns);
    write_u64(w, (uint64_t)content->expiration_ns);
    write_u64(w, content->size);
    write_u64(w, offset);
    write_u32(w, (uint32_t)n);
    write_u16(w, s->id_size);
    write_bytes(w, bytes_of(s->id, s->id_size));
    ckpt_content_read(content, offset, write_claim(w, (size_t)n), n);
    return offset + n;
}

/* The section that comes next in the checkpoint, and from where on. */
static struct ckpt_section *section_next(const struct ckpt_checkpoint *c,
                                         const struct replica_cursor *cursor,
                                         uint64_t *offset)
{
    uint64_t number = cursor->at[1];
    struct ckpt_section *s =
        number == 0 ? NULL : ckpt_section_next(c, number - 1);

    *offset = cursor->at[2];
    if (s != NULL && s->number == number && ckpt_content_get(s)->size > *offset)
        return s;
    *offset = 0;
    return ckpt_section_next(c, number);
}

/* The checkpoint whose sections are being sent; NULL: none. */
static struct ckpt_checkpoint *under_way(const struct ckpt *k,
                                         const struct replica_cursor *cursor)
{
    uint64_t number = cursor->at[0];
    struct ckpt_checkpoint *c =
        number == 0 ? NULL : ckpt_store_next(&k->store, number - 1);

    return c != NULL && c->number == number && cursor->at[1] != UINT64_MAX
               ? c
               : NULL;
}

/* One record, which there is room for. True: it was the last. */
static bool write_record(const struct ckpt *k, struct replica_cursor *cursor,
                         struct writer *w)
{
    struct ckpt_checkpoint *c = under_way(k, cursor);
    struct ckpt_section *s;
    uint64_t offset;

    if (c == NULL) {
        c = ckpt_store_next(&k->store, cursor->at[0]);
        if (c == NULL) {
            write_u8(w, CHECKPOINTS_END);
            write_u64(w, k->next_checkpoint);
            write_u64(w, (uint64_t)k->clock.time_ns);
            return true;
        }
        write_checkpoint(w, c);
        *cursor = (struct replica_cursor){{c->number, 0, 0}};
    } else if ((s = section_next(c, cursor, &offset)) != NULL) {
        offset = write_section(w, c, s, offset);
        *cursor = (struct replica_cursor){{c->number, s->number, offset}};
    } else {
        write_u8(w, SECTIONS_END);
        write_u64(w, c->number);
        write_u64(w, c->next_section);
        *cursor = (struct replica_cursor){{c->number, UINT64_MAX, 0}};
    }
    return false;
}

bool ckpt_piece_write(void *context, struct replica_cursor *cursor,
                      struct writer *w)
{
    const struct ckpt *k = context;

    while (w->left >= CHECKPOINT_SIZE_MAX)
        if (write_record(k, cursor, w))
            return true;
    CHECK(!w->failed);
    return false;
}

/* --- reading -------------------------------------------------------------- */

static struct ckpt_checkpoint *checkpoint_of(const struct ckpt *k,
                                             uint64_t number)
{
    struct ckpt_checkpoint *c =
        number == 0 ? NULL : ckpt_store_next(&k->store, number - 1);

    return c != NULL && c->number == number ? c : NULL;
}

static bool has_ref(const struct ckpt_checkpoint *c, uint32_t node_id)
{
    for (uint32_t i = 0; i < c->ref_count; i++)
        if (c->refs[i].node_id == node_id)
            return true;
    return false;
}

static bool read_refs(struct reader *r, struct ckpt_checkpoint *c)
{
    uint32_t count = read_u16(r);

    c->ref_count = 0;
    if (count > STORE_NODES_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct ckpt_ref ref = {.node_id = read_u32(r)};
        ref.count = read_u32(r);
        if (ref.count == 0 || ref.count > refs_max || has_ref(c, ref.node_id))
            return false;
        c->refs[c->ref_count++] = ref;
    }
    /* Nothing is deleted that is in use. */
    return !r->failed && (count == 0 || c->due_ns == INT64_MAX);
}

static bool read_checkpoint(struct ckpt *k, struct reader *r)
{
    uint64_t number = read_u64(r);
    struct ipc_ckpt_attributes a;
    bool ok = ckpt_read_attributes(r, &a);
    int64_t retention_ns = (int64_t)read_u64(r);
    bool unlinked = read_u8(r) != 0;
    uint32_t active = read_u32(r);
    int64_t delete_ns = (int64_t)read_u64(r);
    size_t name_size = read_u16(r);
    struct bytes name = read_bytes(r, name_size);
    struct ckpt_checkpoint *c;

    if (r->failed || !ok || number == 0 || number > number_max ||
        retention_ns < 0 || name_size > IPC_CKPT_NAME_SIZE_MAX)
        return false;
    c = checkpoint_of(k, number);
    if (c == NULL) {
        if (number <= ckpt_store_last(&k->store))
            return false; /* they come in this order */
        c = ckpt_store_create(&k->store, number, name, &a);
        c->sections_here = false;
    }
    atomic_store_explicit(&c->retention_ns, retention_ns, memory_order_relaxed);
    if (unlinked)
        ckpt_store_unlink(&k->store, c);
    atomic_store_explicit(&c->active, active, memory_order_relaxed);
    ckpt_due_set(&k->store, c, delete_ns);
    return read_refs(r, c);
}

static bool read_section(struct ckpt *k, struct reader *r)
{
    struct ckpt_checkpoint *c = checkpoint_of(k, read_u64(r));
    uint64_t number = read_u64(r);
    struct ckpt_run run;
    struct ckpt_change change = {
        .now_ns = (int64_t)read_u64(r), .runs = &run, .run_count = 1};
    struct ckpt_section *s;

    change.expiration_ns = (int64_t)read_u64(r);
    change.size = read_u64(r);
    run.offset = read_u64(r);
    size_t n = read_u32(r);
    struct bytes id = read_bytes(r, read_u16(r));
    run.data = read_bytes(r, n);
    if (r->failed || c == NULL || number == 0 || number > number_max ||
        id.n > IPC_CKPT_SECTION_ID_SIZE_MAX ||
        change.size > bytes_max - k->store.bytes ||
        change.size > c->attributes.section_size_max ||
        run.offset > change.size || n > change.size - run.offset)
        return false;
    s = ckpt_section_next(c, number - 1);
    if (s == NULL && (number <= ckpt_section_last(c) || c->sections_here))
        return false;
    if (s == NULL)
        s = ckpt_section_create(&k->store, c, number, id);
    else if (s->number != number)
        return false;
    ckpt_section_change(&k->store, c, s, &change);
    return true;
}

static bool read_sections_end(struct ckpt *k, struct reader *r)
{
    struct ckpt_checkpoint *c = checkpoint_of(k, read_u64(r));
    uint64_t next = read_u64(r);

    if (r->failed || c == NULL || next <= ckpt_section_last(c) ||
        next > number_max)
        return false;
    c->next_section = next;
    c->sections_here = true;
    return true;
}

static bool read_checkpoints_end(struct ckpt *k, struct reader *r)
{
    uint64_t next = read_u64(r);
    int64_t time_ns = (int64_t)read_u64(r);

    if (!reader_done(r) || next <= ckpt_store_last(&k->store) ||
        next > number_max)
        return false;
    k->next_checkpoint = next;
    return ckpt_clock_advance(&k->clock, time_ns);
}

static bool read_record(struct ckpt *k, struct reader *r)
{
    switch (read_u8(r)) {
    case CHECKPOINT:
        return read_checkpoint(k, r);
    case SECTION:
        return read_section(k, r);
    case SECTIONS_END:
        return read_sections_end(k, r);
    case CHECKPOINTS_END:
        return read_checkpoints_end(k, r);
    default:
        return false;
    }
}

bool ckpt_piece_read(void *context, struct bytes data)
{
    struct ckpt *k = context;
    struct reader r = reader_of(data);

    while (r.left > 0 && !r.failed)
        if (!read_record(k, &r))
            return false;
    return !r.failed;
}

/* --- comparing ------------------------------------------------------------ */

uint64_t ckpt_hash(const struct ckpt *k)
{
    struct replica_cursor cursor = {{0, 0, 0}};
    uint8_t piece[8192];
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    bool last;

    do {
        struct writer w = writer_of(piece, sizeof piece);
        last = ckpt_piece_write((void *)(uintptr_t)k, &cursor, &w);
        for (size_t i = 0; i < w.written; i++)
            hash = (hash ^ piece[i]) * 0x100000001b3u;
    } while (!last);
    return hash;
}
