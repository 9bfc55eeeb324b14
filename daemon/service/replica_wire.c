/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/replica_wire.h"

#include "daemon/totem/ring_id.h"

enum { MESSAGE_VERSION = 2, FLAG_LAST = 1 };

/* No sum wraps that begins with less. Nobody has done so much; but somebody may
 * say so, and others may believe it and go on from there. Who is beyond holds
 * nothing. */
static const uint64_t index_max = (uint64_t)1 << 62;

/* --- writing -------------------------------------------------------------- */

static void write_head(struct writer *w, enum replica_type type)
{
    write_u8(w, MESSAGE_VERSION);
    write_u8(w, (uint8_t)type);
}

static void write_cursor(struct writer *w, const struct replica_cursor *cursor)
{
    for (int i = 0; i < 3; i++)
        write_u64(w, cursor->at[i]);
}

void replica_wire_info(struct writer *w, const struct replica_info *info)
{
    write_head(w, TYPE_INFO);
    ring_id_write(w, &info->ring_id);
    write_u64(w, info->incarnation);
    write_u8(w, (uint8_t)info->holds);
    write_u64(w, info->birth);
    write_u64(w, info->path);
    write_u64(w, info->index);
    write_u64(w, info->operations);
    write_u64(w, info->settled);
    write_cursor(w, &info->cursor);
    write_u8(w, info->hello_size);
    write_bytes(w, (struct bytes){info->hello, info->hello_size});
}

void replica_wire_op_head(struct writer *w, uint64_t ring_seq)
{
    write_head(w, TYPE_OP);
    write_u64(w, ring_seq);
}

static size_t results_size(uint32_t count)
{
    return ((size_t)count + 7) / 8;
}

uint8_t *replica_wire_piece_head(struct writer *w,
                                 const struct replica_piece *piece)
{
    uint8_t *results;

    write_head(w, TYPE_PIECE);
    ring_id_write(w, &piece->ring_id);
    write_u64(w, piece->first);
    write_u32(w, piece->count);
    results = write_claim(w, results_size(piece->count));
    write_cursor(w, &piece->cursor);
    write_u8(w, piece->last ? FLAG_LAST : 0);
    return results;
}

/* --- reading -------------------------------------------------------------- */

static struct replica_cursor read_cursor(struct reader *r)
{
    struct replica_cursor cursor;

    for (int i = 0; i < 3; i++)
        cursor.at[i] = read_u64(r);
    return cursor;
}

static bool at_beginning(const struct replica_cursor *cursor)
{
    return (cursor->at[0] | cursor->at[1] | cursor->at[2]) == 0;
}

static bool holds_ok(const struct replica_info *info)
{
    if (info->operations > info->index || info->settled > info->index)
        return false;
    switch (info->holds) {
    case HOLDS_NONE:
        return (info->birth | info->path | info->index) == 0 &&
               at_beginning(&info->cursor);
    case HOLDS_PART:
        return info->birth != 0;
    case HOLDS_WHOLE:
        return info->birth != 0 && at_beginning(&info->cursor);
    }
    return false;
}

static bool read_info(struct reader *r, struct replica_info *info)
{
    struct bytes hello;

    info->ring_id = ring_id_read(r);
    info->incarnation = read_u64(r);
    info->holds = (enum replica_holds)read_u8(r);
    info->birth = read_u64(r);
    info->path = read_u64(r);
    info->index = read_u64(r);
    info->operations = read_u64(r);
    info->settled = read_u64(r);
    info->cursor = read_cursor(r);
    info->hello_size = read_u8(r);
    if (info->hello_size > sizeof info->hello)
        return false;
    hello = read_bytes(r, info->hello_size);
    if (hello.n > 0)
        memcpy(info->hello, hello.p, hello.n);
    if (!reader_done(r) || !holds_ok(info))
        return false;
    if (info->index > index_max)
        info->holds = HOLDS_NONE;
    return true;
}

/* No bit is set behind the last result. */
static bool results_ok(const struct replica_piece *p)
{
    return p->count % 8 == 0 ||
           p->results.p[p->results.n - 1] >> p->count % 8 == 0;
}

static bool read_piece(struct reader *r, struct replica_piece *p)
{
    uint8_t flags;

    p->ring_id = ring_id_read(r);
    p->first = read_u64(r);
    p->count = read_u32(r);
    if (p->count > REPLICA_BITS_MAX)
        return false;
    p->results = read_bytes(r, results_size(p->count));
    p->cursor = read_cursor(r);
    flags = read_u8(r);
    p->last = flags == FLAG_LAST;
    p->data = read_bytes(r, r->left);
    return reader_done(r) && flags <= FLAG_LAST && results_ok(p) &&
           p->data.n <= REPLICA_PIECE_SIZE_MAX;
}

bool replica_wire_read(struct bytes data, struct replica_message *m)
{
    struct reader r = reader_of(data);
    uint8_t type;

    if (read_u8(&r) != MESSAGE_VERSION)
        return false;
    type = read_u8(&r);
    m->type = (enum replica_type)type;
    switch (type) {
    case TYPE_INFO:
        m->info = (struct replica_info){0};
        return read_info(&r, &m->info);
    case TYPE_OP:
        m->op.ring_seq = read_u64(&r);
        m->op.body = read_bytes(&r, r.left);
        return reader_done(&r);
    case TYPE_PIECE:
        return read_piece(&r, &m->piece);
    }
    return false;
}
