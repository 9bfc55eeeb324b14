/* SPDX-License-Identifier: BSD-3-Clause */
/* hash.h - hashes for tables that strangers fill: with a random seed, nobody
 * can choose keys that collide. */
#ifndef DAEMON_BASE_HASH_H
#define DAEMON_BASE_HASH_H

#include "daemon/base/bytes.h"

static inline uint64_t hash_mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static inline uint64_t hash_bytes(uint64_t seed, struct bytes key)
{
    uint64_t h = seed ^ key.n, word;

    while (key.n > 0) {
        size_t n = key.n < sizeof word ? key.n : sizeof word;
        word = 0;
        memcpy(&word, key.p, n);
        h = hash_mix(h ^ word) + 0x9e3779b97f4a7c15u;
        key.p += n;
        key.n -= n;
    }
    return h;
}

#endif
