/* SPDX-License-Identifier: BSD-3-Clause */
/* accuse.h - which nodes cannot be in one ring with which others.
 *
 * In a gather each node says which others it does not get on with: it does not
 * hear their joins, or they do not take its token. All unite what they hear of
 * this, and each computes from it, by one rule, who goes into its ring. The
 * rows and columns of the table are places in the gather's set of known nodes
 * (the paper's proc). */
#ifndef DAEMON_TOTEM_ACCUSE_H
#define DAEMON_TOTEM_ACCUSE_H

#include "daemon/totem/set.h"

#include <stdbool.h>
#include <stdint.h>

struct accusations {
    bool any;
    uint8_t rows[TOTEM_NODES_MAX][TOTEM_NODES_MAX / 8]; /* of the accusers */
};

bool accusations_have(const struct accusations *a, uint32_t from, uint32_t to);
void accusations_add(struct accusations *a, uint32_t from, uint32_t to);

/* Somebody accuses the node at this place. */
bool accusations_hit(const struct accusations *a, uint32_t place);

/* The same accusations by the places of another set, `to`, which has all of
 * `from`. */
void accusations_move(struct accusations *a, const struct set *from,
                      const struct set *to);

void accusations_unite(struct accusations *a, const struct accusations *other);
bool accusations_equal(const struct accusations *a,
                       const struct accusations *b);
bool accusations_subset(const struct accusations *a, /* a in b */
                        const struct accusations *b);

/* Chooses the ring of `self`, which is one of `live`: in a ring no node accuses
 * another. Nodes are tried in this order: first those that are apart from the
 * fewest others, among these the least accused, among these the lowest. A node
 * that does not fit is passed over. From those passed over the next ring is
 * chosen in the same way, until one has `self`. All nodes that know the same
 * choose the same rings. True when `self` was not passed over. */
bool accusations_choose(const struct accusations *a, const struct set *proc,
                        const struct set *live, uint32_t self,
                        struct set *ring);

#endif
