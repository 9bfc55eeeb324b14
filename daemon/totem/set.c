/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/totem/set.h"

#include "daemon/base/check.h"

#include <string.h>

/* Index of the first id that is not less than `id`. */
static uint32_t lower_bound(const struct set *s, uint32_t id)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void set_clear(struct set *s)
{
    s->count = 0;
}

uint32_t set_place(const struct set *s, uint32_t id)
{
    uint32_t at = lower_bound(s, id);
    return at < s->count && s->ids[at] == id ? at : UINT32_MAX;
}

bool set_has(const struct set *s, uint32_t id)
{
    return set_place(s, id) != UINT32_MAX;
}

bool set_add(struct set *s, uint32_t id)
{
    CHECK(s->count <= TOTEM_NODES_MAX);
    uint32_t at = lower_bound(s, id);
    if (at < s->count && s->ids[at] == id)
        return true;
    if (s->count == TOTEM_NODES_MAX)
        return false;
    memmove(s->ids + at + 1, s->ids + at, (s->count - at) * sizeof *s->ids);
    s->ids[at] = id;
    s->count++;
    return true;
}

void set_remove(struct set *s, uint32_t id)
{
    uint32_t at = lower_bound(s, id);
    if (at == s->count || s->ids[at] != id)
        return;
    s->count--;
    memmove(s->ids + at, s->ids + at + 1, (s->count - at) * sizeof *s->ids);
}

bool set_unite(struct set *s, const struct set *other)
{
    struct set sum = *s;
    for (uint32_t i = 0; i < other->count; i++)
        if (!set_add(&sum, other->ids[i]))
            return false;
    *s = sum;
    return true;
}

void set_minus(struct set *out, const struct set *a, const struct set *b)
{
    CHECK(out != a && out != b);
    out->count = 0;
    for (uint32_t i = 0; i < a->count; i++)
        if (!set_has(b, a->ids[i]))
            out->ids[out->count++] = a->ids[i];
}

bool set_equal(const struct set *a, const struct set *b)
{
    return a->count == b->count &&
           memcmp(a->ids, b->ids, a->count * sizeof *a->ids) == 0;
}

bool set_subset(const struct set *a, const struct set *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (!set_has(b, a->ids[i]))
            return false;
    return true;
}
