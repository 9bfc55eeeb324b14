// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/base/random.h"

#include <sys/random.h>
#include <time.h>

bool random_fill(uint8_t *out, size_t size)
{
    struct timespec now;
    if (getrandom(out, size, 0) != (ssize_t)size)
        return false;
    /* Random bytes stay random whatever is added to them. */
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    for (size_t i = 0; i < size; i++)
        out[i] ^= (uint8_t)(ns >> (8 * (i % sizeof ns)));
    return true;
}
