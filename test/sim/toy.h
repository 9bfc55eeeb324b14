/* SPDX-License-Identifier: BSD-3-Clause */
/* toy.h - a small replicated service, for the tests of daemon/service/replica.c
 * and for the simulator: numbered items, and which nodes have opened them. It
 * has all that makes replication hard: operations that succeed or fail by
 * something of which a node that is not whole has but a part, operations on
 * everything, things that go with a node's membership.
 *
 * Operations: u8 kind, u64 number of an item, u32 value. What is appended with
 * a value of 2^31 or more stays for ever as it is.
 *
 * A piece: u8 with head?, head (u64 next number, u64 hash of the hellos, u8
 * node count, u32 node and u32 opens each), u64 from, u64 to, then the items
 * that there are from `from` up to, not with, `to`: u64 number, u32 value, and
 * `value % toy.pad` bytes that follow from both. Cursor: 0: 1 if the head was
 * written, 1: the next item's number. */
#ifndef TEST_SIM_TOY_H
#define TEST_SIM_TOY_H

#include "daemon/base/check.h"
#include "daemon/service/replica.h"

#include <stdlib.h>

enum toy_kind {
    TOY_APPEND,         /* fails when there are toy.item_max */
    TOY_APPEND_IF_EVEN, /* fails when the sum of all values is odd */
    TOY_CHANGE,         /* fails when there is no such item */
    TOY_CHANGE_ALL,
    TOY_REMOVE,       /* the same */
    TOY_REMOVE_FIRST, /* the lowest number; fails when there is none */
    TOY_OPEN,         /* the sender, once more */
    TOY_KINDS
};

#define TOY_FOR_EVER 0x80000000u

enum { TOY_OP_SIZE = 13, TOY_ITEMS_MAX = 4096, TOY_NODES_MAX = 128 };

struct toy_item {
    uint64_t number;
    uint32_t value;
};

struct toy {
    uint32_t item_max;       /* at most TOY_ITEMS_MAX */
    uint32_t items_in_piece; /* at most; the room may be less */
    uint32_t pad;            /* 1 .. */
    bool whole;
    uint64_t next, hellos;
    uint32_t item_count, node_count;
    struct toy_item items[TOY_ITEMS_MAX]; /* ascending */
    struct {
        uint32_t id, opens;
    } nodes[TOY_NODES_MAX]; /* ascending */
    /* Not whole: what there is of it. */
    bool has_head;
    uint64_t has_to;
    /* For tests. */
    uint64_t applied, failed, resets, pieces, fulls;
    /* What it was told last of the members; of a hello size and first byte. */
    uint32_t going_on_count, hello_count;
    uint32_t going_on[TOY_NODES_MAX];
    uint8_t hello_sizes[TOY_NODES_MAX], hello_firsts[TOY_NODES_MAX];
};

static inline uint64_t toy_mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0xff51afd7ed558ccdu;
    return h ^ h >> 29;
}

/* Of all that is the same on all nodes. */
static inline uint64_t toy_hash(const struct toy *t)
{
    uint64_t h = toy_mix(toy_mix(1, t->next), t->hellos);
    for (uint32_t i = 0; i < t->node_count; i++)
        h = toy_mix(toy_mix(h, t->nodes[i].id), t->nodes[i].opens);
    for (uint32_t i = 0; i < t->item_count; i++)
        h = toy_mix(toy_mix(h, t->items[i].number), t->items[i].value);
    return h;
}

static inline uint64_t toy_sum(const struct toy *t)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < t->item_count; i++)
        sum += t->items[i].value;
    return sum;
}

/* Where the item of that number, or the first behind it, is. */
static inline uint32_t toy_find(const struct toy *t, uint64_t number)
{
    uint32_t low = 0, high = t->item_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (t->items[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline void toy_remove(struct toy *t, uint32_t from, uint32_t to)
{
    memmove(&t->items[from], &t->items[to],
            (t->item_count - to) * sizeof *t->items);
    t->item_count -= to - from;
}

static inline void toy_insert(struct toy *t, uint64_t number, uint32_t value)
{
    uint32_t at = toy_find(t, number);
    CHECK(t->item_count < TOY_ITEMS_MAX);
    memmove(&t->items[at + 1], &t->items[at],
            (t->item_count - at) * sizeof *t->items);
    t->items[at] = (struct toy_item){number, value};
    t->item_count++;
}

static inline void toy_open(struct toy *t, uint32_t id)
{
    uint32_t i = 0;
    while (i < t->node_count && t->nodes[i].id < id)
        i++;
    if (i == t->node_count || t->nodes[i].id != id) {
        CHECK(t->node_count < TOY_NODES_MAX);
        memmove(&t->nodes[i + 1], &t->nodes[i],
                (t->node_count - i) * sizeof *t->nodes);
        t->nodes[i].id = id;
        t->nodes[i].opens = 0;
        t->node_count++;
    }
    t->nodes[i].opens++;
}

/* --- operations ----------------------------------------------------------- */

static inline void toy_op(uint8_t out[TOY_OP_SIZE], enum toy_kind kind,
                          uint64_t number, uint32_t value)
{
    struct writer w = writer_of(out, TOY_OP_SIZE);
    write_u8(&w, (uint8_t)kind);
    write_u64(&w, number);
    write_u32(&w, value);
}

static inline bool toy_changes(const struct toy *t, uint32_t at)
{
    return t->items[at].value < TOY_FOR_EVER;
}

/* A part has the items below has_to, and the head or not. */
static inline bool toy_apply_kind(struct toy *t, const struct replica_op *op,
                                  uint8_t kind, uint64_t number, uint32_t value)
{
    uint32_t at = toy_find(t, number);
    bool is = at < t->item_count && t->items[at].number == number &&
              toy_changes(t, at);
    switch (kind) {
    case TOY_APPEND:
    case TOY_APPEND_IF_EVEN:
        if (op->whole && (t->item_count >= t->item_max ||
                          (kind == TOY_APPEND_IF_EVEN && toy_sum(t) % 2 == 1)))
            return false;
        if (op->whole)
            toy_insert(t, t->next, value);
        t->next++;
        return true;
    case TOY_CHANGE:
        if (is)
            t->items[at].value = value & ~TOY_FOR_EVER;
        return is;
    case TOY_CHANGE_ALL:
        for (uint32_t i = 0; i < t->item_count; i++)
            if (toy_changes(t, i))
                t->items[i].value =
                    (t->items[i].value * 3 + value) & ~TOY_FOR_EVER;
        return true;
    case TOY_REMOVE:
        if (is)
            toy_remove(t, at, at + 1);
        return is;
    case TOY_REMOVE_FIRST:
        at = 0;
        while (at < t->item_count && !toy_changes(t, at))
            at++;
        if (at == t->item_count)
            return false;
        toy_remove(t, at, at + 1);
        return true;
    case TOY_OPEN:
        toy_open(t, op->sender);
        return true;
    }
    return false;
}

static inline bool toy_apply(void *context, const struct replica_op *op)
{
    struct toy *t = context;
    struct reader r = reader_of(op->data);
    uint8_t kind = read_u8(&r);
    uint64_t number = read_u64(&r);
    uint32_t value = read_u32(&r);
    CHECK(op->whole == t->whole);
    bool ok = reader_done(&r) && toy_apply_kind(t, op, kind, number, value);
    *(ok ? &t->applied : &t->failed) += 1;
    return ok;
}

/* --- what replica.h asks for ---------------------------------------------- */

static inline void toy_remember(struct toy *t, const struct replica_members *m)
{
    CHECK(m->going_on_count <= TOY_NODES_MAX && m->all_count <= TOY_NODES_MAX);
    t->going_on_count = m->going_on_count;
    t->hello_count = m->all_count;
    memcpy(t->going_on, m->going_on, m->going_on_count * sizeof *t->going_on);
    for (uint32_t i = 0; i < m->all_count; i++) {
        t->hello_sizes[i] = (uint8_t)m->hellos[i].n;
        t->hello_firsts[i] = m->hellos[i].n > 0 ? m->hellos[i].p[0] : 0;
    }
}

static inline void toy_members(void *context, const struct replica_members *m)
{
    struct toy *t = context;
    uint32_t kept = 0, k = 0;
    toy_remember(t, m);
    for (uint32_t i = 0; i < t->node_count; i++) {
        while (k < m->going_on_count && m->going_on[k] < t->nodes[i].id)
            k++;
        if (k < m->going_on_count && m->going_on[k] == t->nodes[i].id)
            t->nodes[kept++] = t->nodes[i];
    }
    t->node_count = kept;
    t->hellos = toy_mix(t->hellos, m->all_count);
    for (uint32_t i = 0; i < m->all_count; i++)
        for (size_t j = 0; j < m->hellos[i].n; j++)
            t->hellos = toy_mix(t->hellos, m->hellos[i].p[j]);
}

static inline void toy_reset(void *context)
{
    struct toy *t = context;
    t->next = t->hellos = t->has_to = 0;
    t->item_count = t->node_count = 0;
    t->has_head = false;
    t->resets++;
}

static inline void toy_whole(void *context, bool whole)
{
    struct toy *t = context;
    CHECK(t->whole != whole);
    t->whole = whole;
    t->fulls += whole;
}

static inline uint8_t toy_pad(const struct toy_item *item, uint32_t i)
{
    return (uint8_t)(item->number * 7 + item->value + i);
}

static inline void toy_item_write(struct writer *w, const struct toy *t,
                                  const struct toy_item *item)
{
    write_u64(w, item->number);
    write_u32(w, item->value);
    for (uint32_t i = 0; i < item->value % t->pad; i++)
        write_u8(w, toy_pad(item, i));
}

static inline bool toy_piece_write(void *context, struct replica_cursor *cursor,
                                   struct writer *w)
{
    struct toy *t = context;
    uint32_t at = toy_find(t, cursor->at[1]), count = 0;
    uint64_t to = t->next;
    bool head = cursor->at[0] == 0;
    CHECK(t->whole);
    write_u8(w, head);
    if (head) {
        write_u64(w, t->next);
        write_u64(w, t->hellos);
        write_u8(w, (uint8_t)t->node_count);
        for (uint32_t i = 0; i < t->node_count; i++) {
            write_u32(w, t->nodes[i].id);
            write_u32(w, t->nodes[i].opens);
        }
    }
    write_u64(w, cursor->at[1]);
    struct writer end = *w;
    write_u64(w, 0);
    for (; at < t->item_count; at++) {
        const struct toy_item *item = &t->items[at];
        if (count++ == t->items_in_piece ||
            w->left < 12 + item->value % t->pad) {
            to = item->number;
            break;
        }
        toy_item_write(w, t, item);
    }
    if (to < cursor->at[1])
        to = cursor->at[1];
    write_u64(&end, to);
    cursor->at[0] = 1;
    cursor->at[1] = to;
    return at == t->item_count;
}

static inline bool toy_head_read(struct toy *t, struct reader *r)
{
    uint64_t next = read_u64(r), hellos = read_u64(r);
    uint8_t count = read_u8(r);
    if (r->failed || count > TOY_NODES_MAX)
        return false;
    t->next = next;
    t->hellos = hellos;
    t->node_count = count;
    for (uint32_t i = 0; i < count; i++) {
        t->nodes[i].id = read_u32(r);
        t->nodes[i].opens = read_u32(r);
    }
    t->has_head = true;
    return !r->failed;
}

static inline bool toy_piece_read(void *context, struct bytes data)
{
    struct toy *t = context;
    struct reader r = reader_of(data);
    CHECK(!t->whole);
    if (read_u8(&r) == 1 && !toy_head_read(t, &r))
        return false;
    uint64_t from = read_u64(&r), to = read_u64(&r);
    if (r.failed || !t->has_head || from > t->has_to || to < from)
        return false;
    toy_remove(t, toy_find(t, from), toy_find(t, to));
    while (r.left > 0) {
        struct toy_item item = {.number = read_u64(&r)};
        item.value = read_u32(&r);
        struct bytes pad = read_bytes(&r, item.value % t->pad);
        if (r.failed || item.number < from || item.number >= to ||
            t->item_count == TOY_ITEMS_MAX)
            return false;
        for (uint32_t i = 0; i < pad.n; i++)
            if (pad.p[i] != toy_pad(&item, i))
                return false;
        toy_insert(t, item.number, item.value);
    }
    if (to > t->has_to)
        t->has_to = to;
    t->pieces++;
    return true;
}

static const struct replica_service toy_service = {
    .apply = toy_apply,
    .members = toy_members,
    .reset = toy_reset,
    .piece_write = toy_piece_write,
    .piece_read = toy_piece_read,
    .whole = toy_whole,
};

#endif
