// SPDX-License-Identifier: BSD-3-Clause
// xoshiro256**, seeded by splitmix64 (Blackman and Vigna, public domain
// algorithms): small, fast, and the same on every machine.
#include "test/sim/sim.h"

#include "daemon/base/check.h"

void random_seed(struct random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = random_mix(seed += 0x9e3779b97f4a7c15u);
}

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

uint64_t random_next(struct random *r)
{
    uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t random_range(struct random *r, uint64_t low, uint64_t high)
{
    CHECK(low <= high);
    return low + random_next(r) % (high - low + 1);
}

uint64_t random_scale(struct random *r, uint64_t low, uint64_t high)
{
    CHECK(low > 0 && low <= high);
    uint64_t steps = 0;
    while (low << (steps + 1) <= high)
        steps++;
    uint64_t from = low << random_range(r, 0, steps);
    uint64_t to = from <= high / 2 ? from * 2 : high;
    return random_range(r, from, to);
}

bool random_chance(struct random *r, uint32_t ppm)
{
    return ppm > 0 && random_next(r) % 1000000 < ppm;
}

uint64_t random_hash(uint64_t a, uint64_t b)
{
    return random_mix(random_mix(a + 0x9e3779b97f4a7c15u) + b);
}
