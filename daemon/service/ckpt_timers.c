/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/ckpt_timers.h"

#include "daemon/base/check.h"

#include <stdbool.h>
#include <stddef.h>

/* Places are numbered from 1 on; below n are 2n and 2n + 1. So the digits of a
 * number behind the first are the way to its place. */
static struct ckpt_timer *place(const struct ckpt_timers *h, uint32_t number)
{
    struct ckpt_timer *t = h->root;
    uint32_t bit = UINT32_C(1) << 31;

    while ((number & bit) == 0)
        bit >>= 1;
    while ((bit >>= 1) != 0)
        t = t->child[(number & bit) != 0];
    return t;
}

/* What is in two places changes its place. */
static void swap(struct ckpt_timer *a, struct ckpt_timer *b)
{
    struct ckpt_timer c = *a;

    a->time_ns = b->time_ns;
    a->owner = b->owner;
    a->named = b->named;
    b->time_ns = c.time_ns;
    b->owner = c.owner;
    b->named = c.named;
    *a->named = a;
    *b->named = b;
}

static struct ckpt_timer *up(struct ckpt_timer *t)
{
    for (; t->parent != NULL && t->parent->time_ns > t->time_ns; t = t->parent)
        swap(t, t->parent);
    return t;
}

static void down(struct ckpt_timer *t)
{
    for (;;) {
        struct ckpt_timer *c = t->child[0], *d = t->child[1];
        if (d != NULL && d->time_ns < c->time_ns)
            c = d;
        if (c == NULL || c->time_ns >= t->time_ns)
            return;
        swap(t, c);
        t = c;
    }
}

static void add(struct ckpt_timers *h, struct ckpt_timer *t)
{
    uint32_t number = ++h->count;

    CHECK(number < UINT32_MAX);
    *t->named = t;
    if (number == 1) {
        h->root = t;
        return;
    }
    t->parent = place(h, number / 2);
    t->parent->child[number % 2] = t;
    up(t);
}

/* The last place goes; what was there comes to where `t` was. */
static void take(struct ckpt_timers *h, struct ckpt_memory *m,
                 struct ckpt_timer *t)
{
    struct ckpt_timer *last = place(h, h->count);

    *t->named = NULL;
    if (last->parent != NULL)
        last->parent->child[h->count % 2] = NULL;
    else
        h->root = NULL;
    h->count--;
    if (t != last) {
        t->time_ns = last->time_ns;
        t->owner = last->owner;
        t->named = last->named;
        *t->named = t;
        down(up(t));
    }
    ckpt_memory_free(m, last);
}

void ckpt_timers_set(struct ckpt_timers *h, struct ckpt_memory *m,
                     struct ckpt_timer **named, void *owner, int64_t time_ns)
{
    struct ckpt_timer *t = *named;

    if (t != NULL && time_ns == INT64_MAX) {
        take(h, m, t);
    } else if (t != NULL) {
        t->time_ns = time_ns;
        down(up(t));
    } else if (time_ns != INT64_MAX) {
        t = ckpt_memory_get(m, sizeof *t);
        *t = (struct ckpt_timer){
            .time_ns = time_ns, .owner = owner, .named = named};
        add(h, t);
    }
}

int64_t ckpt_timers_first(const struct ckpt_timers *h)
{
    return h->root != NULL ? h->root->time_ns : INT64_MAX;
}

static bool is_due(const struct ckpt_timer *t, int64_t now_ns)
{
    return t != NULL && t->time_ns <= now_ns;
}

/* A place is due only if those above are. */
const struct ckpt_timer *ckpt_timers_due(const struct ckpt_timers *h,
                                         const struct ckpt_timer *t,
                                         int64_t now_ns)
{
    if (t == NULL)
        return is_due(h->root, now_ns) ? h->root : NULL;
    for (int i = 0; i < 2; i++)
        if (is_due(t->child[i], now_ns))
            return t->child[i];
    for (; t->parent != NULL; t = t->parent)
        if (t == t->parent->child[0] && is_due(t->parent->child[1], now_ns))
            return t->parent->child[1];
    return NULL;
}
