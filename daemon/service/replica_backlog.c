/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/replica_backlog.h"

#include "daemon/base/check.h"

#include <stdlib.h>

enum { RESULTS_FIRST_MAX = 1024 };

/* --- operations ----------------------------------------------------------- */

void replica_queue_init(struct replica_queue *q)
{
    *q = (struct replica_queue){0};
    q->end = &q->first;
}

static uint64_t size_of(const struct replica_kept *k)
{
    return sizeof *k + k->size_bytes +
           (k->change == NULL ? 0 : sizeof *k->change);
}

static struct replica_kept *add(struct replica_queue *q, size_t size_bytes)
{
    struct replica_kept *k = malloc(sizeof *k + size_bytes);

    CHECK(k != NULL);
    *k = (struct replica_kept){.size_bytes = size_bytes};
    *q->end = k;
    q->end = &k->next;
    return k;
}

void replica_queue_add(struct replica_queue *q, uint32_t sender,
                       struct bytes data)
{
    struct replica_kept *k = add(q, data.n);

    k->sender = sender;
    if (data.n > 0)
        memcpy(k->data, data.p, data.n);
    q->bytes += size_of(k);
}

void replica_queue_add_change(struct replica_queue *q,
                              const struct replica_change *change)
{
    struct replica_kept *k = add(q, 0);

    k->change = malloc(sizeof *k->change);
    CHECK(k->change != NULL);
    *k->change = *change;
    q->bytes += size_of(k);
}

void replica_queue_drop(struct replica_queue *q)
{
    struct replica_kept *k = q->first;

    CHECK(k != NULL && q->bytes >= size_of(k));
    q->bytes -= size_of(k);
    q->first = k->next;
    if (q->first == NULL)
        q->end = &q->first;
    free(k->change);
    free(k);
}

void replica_queue_clear(struct replica_queue *q)
{
    while (q->first != NULL)
        replica_queue_drop(q);
}

/* --- results -------------------------------------------------------------- */

static void put(uint8_t *bits, uint64_t max, uint64_t number, bool value)
{
    uint64_t at = number & (max - 1);
    uint8_t bit = (uint8_t)(1u << at % 8);

    bits[at / 8] = (uint8_t)(value ? bits[at / 8] | bit : bits[at / 8] & ~bit);
}

static void grow(struct replica_results *r)
{
    uint64_t max = r->max == 0 ? RESULTS_FIRST_MAX : 2 * r->max;
    uint8_t *bits = calloc(max / 8, 1);

    CHECK(bits != NULL);
    for (uint64_t i = r->first; i < r->end; i++)
        put(bits, max, i, replica_results_get(r, i));
    free(r->bits);
    r->bits = bits;
    r->max = max;
}

void replica_results_begin(struct replica_results *r, uint64_t first)
{
    r->first = r->end = first;
}

void replica_results_add(struct replica_results *r, bool succeeded)
{
    if (r->end - r->first == r->max)
        grow(r);
    put(r->bits, r->max, r->end++, succeeded);
}

bool replica_results_get(const struct replica_results *r, uint64_t number)
{
    uint64_t at = number & (r->max - 1);

    CHECK(number >= r->first && number < r->end);
    return r->bits[at / 8] >> at % 8 & 1;
}

void replica_results_drop(struct replica_results *r, uint64_t before)
{
    CHECK(before >= r->first && before <= r->end);
    r->first = before;
}

void replica_results_free(struct replica_results *r)
{
    free(r->bits);
    *r = (struct replica_results){0};
}
