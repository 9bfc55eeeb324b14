/* SPDX-License-Identifier: BSD-3-Clause */
/* set.h - small sorted sets of node ids. */
#ifndef DAEMON_TOTEM_SET_H
#define DAEMON_TOTEM_SET_H

#include "daemon/totem/totem.h"

#include <stdbool.h>
#include <stdint.h>

struct set {
    uint32_t count;
    uint32_t ids[TOTEM_NODES_MAX]; /* ascending, no two alike */
};

void set_clear(struct set *s);
bool set_has(const struct set *s, uint32_t id);

/* Index of `id`; UINT32_MAX: it is not there. */
uint32_t set_place(const struct set *s, uint32_t id);

/* False when the set is full (and `id` not in it); then nothing changed. */
bool set_add(struct set *s, uint32_t id);
void set_remove(struct set *s, uint32_t id);

/* s := s + other. False when it would not fit; then nothing changed. */
bool set_unite(struct set *s, const struct set *other);

/* out := a - b; `out` may be neither. */
void set_minus(struct set *out, const struct set *a, const struct set *b);
bool set_equal(const struct set *a, const struct set *b);
bool set_subset(const struct set *a, const struct set *b); /* a in b */

#endif
