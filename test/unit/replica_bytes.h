/* SPDX-License-Identifier: BSD-3-Clause */
/* replica_bytes.h - the messages of replicated services as doc/wire.md has
 * them, written without the code that is tested. */
#ifndef TEST_UNIT_REPLICA_BYTES_H
#define TEST_UNIT_REPLICA_BYTES_H

#include "test/unit/replica_world.h"

struct info {
    uint8_t version, type, holds;
    uint64_t seq, nonce;
    uint32_t rep;
    uint64_t incarnation, birth, path, index, operations, settled, cursor[3];
    uint8_t hello_size;
    uint8_t hello[255];
};

static inline struct bytes info_bytes(const struct info *i)
{
    static uint8_t out[512];
    struct writer w = writer_of(out, sizeof out);
    write_u8(&w, i->version);
    write_u8(&w, i->type);
    write_u64(&w, i->seq);
    write_u64(&w, i->nonce);
    write_u32(&w, i->rep);
    write_u64(&w, i->incarnation);
    write_u8(&w, i->holds);
    write_u64(&w, i->birth);
    write_u64(&w, i->path);
    write_u64(&w, i->index);
    write_u64(&w, i->operations);
    write_u64(&w, i->settled);
    for (int k = 0; k < 3; k++)
        write_u64(&w, i->cursor[k]);
    write_u8(&w, i->hello_size);
    write_bytes(&w, (struct bytes){i->hello, i->hello_size});
    CU_ASSERT_FATAL(!w.failed);
    return (struct bytes){out, w.written};
}

static inline struct info info_of(uint32_t id)
{
    const struct totem_configuration *c = &node(id)->ring->conf;
    return (struct info){.version = 2,
                         .type = 1,
                         .seq = c->ring_id.seq,
                         .nonce = c->ring_id.nonce,
                         .rep = c->ring_id.rep,
                         .incarnation = node(id)->incarnation};
}

struct piece {
    uint8_t version, type, flags;
    uint64_t seq, nonce, first;
    uint32_t rep, count;
    uint64_t cursor[3];
    uint8_t results[70000];
    struct bytes data;
};

static inline struct bytes piece_bytes(const struct piece *p)
{
    static uint8_t out[200000];
    struct writer w = writer_of(out, sizeof out);
    write_u8(&w, p->version);
    write_u8(&w, p->type);
    write_u64(&w, p->seq);
    write_u64(&w, p->nonce);
    write_u32(&w, p->rep);
    write_u64(&w, p->first);
    write_u32(&w, p->count);
    write_bytes(&w, (struct bytes){p->results, (p->count + 7) / 8});
    for (int k = 0; k < 3; k++)
        write_u64(&w, p->cursor[k]);
    write_u8(&w, p->flags);
    write_bytes(&w, p->data);
    CU_ASSERT_FATAL(!w.failed);
    return (struct bytes){out, w.written};
}

static inline struct piece piece_of(uint32_t id, uint64_t first)
{
    const struct totem_configuration *c = &node(id)->ring->conf;
    return (struct piece){.version = 2,
                          .type = 3,
                          .seq = c->ring_id.seq,
                          .nonce = c->ring_id.nonce,
                          .rep = c->ring_id.rep,
                          .first = first};
}

static inline bool hears(uint32_t id, uint32_t sender, struct bytes data)
{
    bool good = replica_message(node(id)->r, sender, data);
    place_check(node(id));
    return good;
}

#endif
