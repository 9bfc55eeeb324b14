/* SPDX-License-Identifier: BSD-3-Clause */
/* ring_id.h - identities of rings in messages and in hashes. */
#ifndef DAEMON_TOTEM_RING_ID_H
#define DAEMON_TOTEM_RING_ID_H

#include "daemon/totem/totem.h"

static inline struct totem_ring_id ring_id_read(struct reader *r)
{
    struct totem_ring_id id;

    id.seq = read_u64(r);
    id.nonce = read_u64(r);
    id.rep = read_u32(r);
    return id;
}

static inline void ring_id_write(struct writer *w,
                                 const struct totem_ring_id *id)
{
    write_u64(w, id->seq);
    write_u64(w, id->nonce);
    write_u32(w, id->rep);
}

static inline bool ring_id_equal(const struct totem_ring_id *a,
                                 const struct totem_ring_id *b)
{
    return a->seq == b->seq && a->nonce == b->nonce && a->rep == b->rep;
}

/* Mixes an identity into a hash: with the finalizer of splitmix64, so that
 * identities that differ in any bit give unrelated hashes. Nothing secret rests
 * on it: packets are authenticated. Part of the wire's format. */
static inline uint64_t ring_id_mix(uint64_t h, const struct totem_ring_id *id)
{
    const uint64_t words[3] = {id->seq, id->nonce, id->rep};

    for (int i = 0; i < 3; i++) {
        h = (h ^ words[i]) + UINT64_C(0x9e3779b97f4a7c15);
        h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
        h ^= h >> 31;
    }
    return h;
}

#endif
