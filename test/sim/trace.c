// SPDX-License-Identifier: BSD-3-Clause
// Records a trace, and checks what one event and the past are enough for.
#include "test/sim/trace.h"

#include "daemon/base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void *trace_grow(void *items, uint32_t count, uint32_t *max, size_t size)
{
    if (count < *max)
        return items;
    *max = *max == 0 ? 16 : *max * 2;
    void *grown = realloc(items, *max * size);
    CHECK(grown != NULL);
    return grown;
}

static uint32_t *ids_copy(const uint32_t *ids, uint32_t count)
{
    uint32_t *copy = malloc((count + 1) * sizeof *copy);
    CHECK(copy != NULL);
    if (count > 0)
        memcpy(copy, ids, count * sizeof *copy);
    return copy;
}

uint32_t trace_find_id(const uint32_t *ids, uint32_t count, uint32_t node_id)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ids[middle] < node_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ids[low] == node_id ? low : TRACE_NONE;
}

static char *name_buffer(void)
{
    static char buffers[4][96];
    static unsigned next;
    return buffers[next++ % 4];
}

const char *trace_process_name(const struct trace *t, uint32_t process)
{
    const struct trace_process *p = &t->processes[process];
    char *text = name_buffer();
    snprintf(text, 96, "node %" PRIu32 " (life %04x)", p->node_id,
             (unsigned)(p->incarnation & 0xffff));
    return text;
}

const char *trace_ring_name(const struct trace *t, uint32_t ring)
{
    char *text = name_buffer();
    if (ring == TRACE_NONE)
        return "no ring";
    const struct totem_ring_id *id = &t->rings[ring].id;
    snprintf(text, 96, "ring %" PRIu64 ".%" PRIu32 ".%04x", id->seq, id->rep,
             (unsigned)(id->nonce & 0xffff));
    return text;
}

void trace_fail(struct trace *t, const char *format, ...)
{
    if (t->failed)
        return;
    t->failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->text, sizeof t->text, format, arguments);
    va_end(arguments);
}

const char *trace_violation(const struct trace *t)
{
    return t->failed ? t->text : NULL;
}

uint64_t trace_deliveries(const struct trace *t)
{
    return t->delivery_count;
}

uint32_t trace_messages(const struct trace *t)
{
    return t->message_count;
}

uint32_t trace_configurations(const struct trace *t)
{
    return t->ring_count;
}

struct trace *trace_new(void)
{
    struct trace *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    for (uint32_t i = 0; i < TRACE_BUCKETS; i++)
        t->process_buckets[i] = t->ring_buckets[i] = TRACE_NONE;
    return t;
}

void trace_free(struct trace *t)
{
    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->process_count; i++) {
        struct trace_process *p = &t->processes[i];
        for (uint32_t s = 0; s < p->stay_count; s++) {
            free(p->stays[s].together);
            free(p->stays[s].left);
        }
        free(p->stays);
        free(p->deliveries);
        free(p->next_ordinal);
    }
    for (uint32_t i = 0; i < t->ring_count; i++) {
        free(t->rings[i].members);
        free(t->rings[i].processes);
        free(t->rings[i].order);
    }
    free(t->processes);
    free(t->rings);
    free(t->messages);
    free(t->moves);
    free(t);
}

// --- processes --------------------------------------------------------------

static uint32_t process_bucket(uint32_t node_id, uint64_t incarnation)
{
    uint64_t h = (incarnation ^ node_id) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 40) % TRACE_BUCKETS;
}

uint32_t trace_find_process(const struct trace *t, uint32_t node_id,
                            uint64_t incarnation)
{
    uint32_t i = t->process_buckets[process_bucket(node_id, incarnation)];
    while (i != TRACE_NONE && (t->processes[i].node_id != node_id ||
                               t->processes[i].incarnation != incarnation))
        i = t->processes[i].next_in_bucket;
    return i;
}

uint32_t trace_start(struct trace *t, uint32_t node_id, uint64_t incarnation)
{
    CHECK(trace_find_process(t, node_id, incarnation) == TRACE_NONE);
    t->processes = trace_grow(t->processes, t->process_count, &t->process_max,
                              sizeof *t->processes);
    uint32_t bucket = process_bucket(node_id, incarnation);
    uint32_t i = t->process_count++;
    t->processes[i] =
        (struct trace_process){.node_id = node_id,
                               .incarnation = incarnation,
                               .next_in_bucket = t->process_buckets[bucket]};
    t->process_buckets[bucket] = i;
    return i;
}

void trace_stop(struct trace *t, uint32_t process, enum trace_end how)
{
    CHECK(process < t->process_count);
    t->processes[process].end = how;
}

static struct trace_stay *last_stay(struct trace_process *p)
{
    return p->stay_count == 0 ? NULL : &p->stays[p->stay_count - 1];
}

// --- configurations ---------------------------------------------------------

static uint32_t ring_bucket(const struct totem_ring_id *id)
{
    uint64_t h =
        (id->seq ^ id->nonce ^ (uint64_t)id->rep << 32) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 40) % TRACE_BUCKETS;
}

static bool ring_same(const struct totem_ring_id *a,
                      const struct totem_ring_id *b)
{
    return a->seq == b->seq && a->nonce == b->nonce && a->rep == b->rep;
}

static uint32_t ring_add(struct trace *t, const struct totem_configuration *c)
{
    t->rings =
        trace_grow(t->rings, t->ring_count, &t->ring_max, sizeof *t->rings);
    uint32_t bucket = ring_bucket(&c->ring_id);
    uint32_t i = t->ring_count++;
    uint32_t *processes = ids_copy(c->members, c->member_count);
    for (uint32_t m = 0; m < c->member_count; m++)
        processes[m] = trace_find_process(t, c->members[m], c->incarnations[m]);
    t->rings[i] =
        (struct trace_ring){.id = c->ring_id,
                            .next_in_bucket = t->ring_buckets[bucket],
                            .member_count = c->member_count,
                            .members = ids_copy(c->members, c->member_count),
                            .processes = processes,
                            .first_move = TRACE_NONE};
    t->ring_buckets[bucket] = i;
    return i;
}

/* "A ring id names one member set for ever." */
static uint32_t ring_of(struct trace *t, uint32_t process,
                        const struct totem_configuration *c)
{
    uint32_t i = t->ring_buckets[ring_bucket(&c->ring_id)];
    while (i != TRACE_NONE && !ring_same(&t->rings[i].id, &c->ring_id))
        i = t->rings[i].next_in_bucket;
    if (i == TRACE_NONE)
        i = ring_add(t, c);
    const struct trace_ring *r = &t->rings[i];
    bool same = r->member_count == c->member_count &&
                memcmp(r->members, c->members,
                       c->member_count * sizeof *c->members) == 0;
    for (uint32_t m = 0; same && m < c->member_count; m++)
        same = r->processes[m] != TRACE_NONE &&
               r->processes[m] ==
                   trace_find_process(t, c->members[m], c->incarnations[m]);
    if (!same)
        trace_fail(t,
                   "configurations: %s names two member sets, or a process "
                   "that never was (told to %s)",
                   trace_ring_name(t, i), trace_process_name(t, process));
    return i;
}

static bool ascending(const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (ids[i - 1] >= ids[i])
            return false;
    return true;
}

/* A list of those gone or come must hold every id that is in `from` as another
 * process or not at all in `to`, and nobody outside `from` or within `stayed`.
 * (Between the two: who was in both rings, but took another way between.) */
static bool difference_fits(const uint32_t *list, uint32_t count,
                            const struct trace_ring *from,
                            const struct trace_ring *to, const uint32_t *stayed,
                            uint32_t stayed_count)
{
    for (uint32_t i = 0; i < count; i++)
        if (trace_find_id(from->members, from->member_count, list[i]) ==
                TRACE_NONE ||
            trace_find_id(stayed, stayed_count, list[i]) != TRACE_NONE)
            return false;
    for (uint32_t i = 0; i < from->member_count; i++) {
        uint32_t at =
            trace_find_id(to->members, to->member_count, from->members[i]);
        bool same = at != TRACE_NONE && to->processes[at] == from->processes[i];
        if (!same && trace_find_id(list, count, from->members[i]) == TRACE_NONE)
            return false;
    }
    return true;
}

static bool lists_equal(const uint32_t *a, uint32_t a_count, const uint32_t *b,
                        uint32_t b_count)
{
    return a_count == b_count &&
           (a_count == 0 || memcmp(a, b, a_count * sizeof *a) == 0);
}

static void transitional_arrives(struct trace *t, uint32_t process,
                                 const struct totem_configuration *c)
{
    struct trace_process *p = &t->processes[process];
    struct trace_stay *s = last_stay(p);
    if (s == NULL) {
        if (p->alone_first || c->member_count != 1 ||
            c->members[0] != p->node_id || c->left_count != 0)
            trace_fail(t,
                       "configurations: the first of %s is a transitional one "
                       "of more than itself",
                       trace_process_name(t, process));
        p->alone_first = true;
        return;
    }
    if (s->closing) {
        trace_fail(t, "configurations: two transitional ones in a row at %s",
                   trace_process_name(t, process));
        return;
    }
    const struct trace_ring *old = &t->rings[s->ring];
    for (uint32_t i = 0; i < c->member_count; i++)
        if (trace_find_id(old->members, old->member_count, c->members[i]) ==
            TRACE_NONE)
            trace_fail(t,
                       "configurations: transitional one of %s at %s has "
                       "node %" PRIu32 ", which was not in the regular one",
                       trace_ring_name(t, s->ring),
                       trace_process_name(t, process), c->members[i]);
    s->closing = true;
    s->transitional = s->end;
    s->together = ids_copy(c->members, c->member_count);
    s->together_count = c->member_count;
    s->left = ids_copy(c->left, c->left_count);
    s->left_count = c->left_count;
}

/* From the ring of `s` to `ring`. */
static void lists_check(struct trace *t, uint32_t process,
                        const struct trace_stay *s, uint32_t ring,
                        const struct totem_configuration *c)
{
    const struct trace_ring *old = &t->rings[s->ring], *new = &t->rings[ring];
    for (uint32_t i = 0; i < s->together_count; i++) {
        uint32_t a =
            trace_find_id(old->members, old->member_count, s->together[i]);
        uint32_t b =
            trace_find_id(new->members, new->member_count, s->together[i]);
        if (a == TRACE_NONE || b == TRACE_NONE ||
            old->processes[a] != new->processes[b])
            trace_fail(t,
                       "configurations: %s goes from %s to %s together with "
                       "node %" PRIu32 ", which is not the same in both",
                       trace_process_name(t, process),
                       trace_ring_name(t, s->ring), trace_ring_name(t, ring),
                       s->together[i]);
    }
    if (!difference_fits(s->left, s->left_count, old, new, s->together,
                         s->together_count) ||
        (c->left_count != 0 &&
         !lists_equal(c->left, c->left_count, s->left, s->left_count)))
        trace_fail(t, "configurations: wrong list of those left at %s: %s, %s",
                   trace_process_name(t, process), trace_ring_name(t, s->ring),
                   trace_ring_name(t, ring));
    if (!difference_fits(c->joined, c->joined_count, new, old, s->together,
                         s->together_count))
        trace_fail(t,
                   "configurations: wrong list of those joined at %s: %s, %s",
                   trace_process_name(t, process), trace_ring_name(t, s->ring),
                   trace_ring_name(t, ring));
}

static void regular_arrives(struct trace *t, uint32_t process,
                            const struct totem_configuration *c)
{
    struct trace_process *p = &t->processes[process];
    struct trace_stay *s = last_stay(p);
    uint32_t ring = ring_of(t, process, c);
    if (t->failed)
        return;
    if (s != NULL && !s->closing)
        trace_fail(t, "configurations: two regular ones in a row at %s",
                   trace_process_name(t, process));
    else if (s != NULL && t->rings[s->ring].id.seq >= c->ring_id.seq)
        trace_fail(t, "configurations: %s goes from %s back to %s",
                   trace_process_name(t, process), trace_ring_name(t, s->ring),
                   trace_ring_name(t, ring));
    else if (s != NULL)
        lists_check(t, process, s, ring, c);
    const struct trace_ring *r = &t->rings[ring];
    uint32_t self = trace_find_id(r->members, r->member_count, p->node_id);
    if (self == TRACE_NONE || r->processes[self] != process)
        trace_fail(t, "configurations: %s is not a member of its own %s",
                   trace_process_name(t, process), trace_ring_name(t, ring));

    p->stays =
        trace_grow(p->stays, p->stay_count, &p->stay_max, sizeof *p->stays);
    p->stays[p->stay_count++] = (struct trace_stay){
        .ring = ring, .first = p->delivery_count, .end = p->delivery_count};
    p->sent_in_ring = 0;
    free(p->next_ordinal);
    p->next_ordinal = calloc(r->member_count + 1, sizeof *p->next_ordinal);
    CHECK(p->next_ordinal != NULL);
}

void trace_configuration(struct trace *t, uint32_t process,
                         const struct totem_configuration *c)
{
    CHECK(process < t->process_count);
    uint32_t id = t->processes[process].node_id;
    if (c->member_count == 0 || c->member_count > TOTEM_NODES_MAX ||
        c->left_count > TOTEM_NODES_MAX || c->joined_count > TOTEM_NODES_MAX ||
        !ascending(c->members, c->member_count) ||
        !ascending(c->left, c->left_count) ||
        !ascending(c->joined, c->joined_count)) {
        trace_fail(t, "configurations: lists out of order at %s",
                   trace_process_name(t, process));
        return;
    }
    if (trace_find_id(c->members, c->member_count, id) == TRACE_NONE)
        trace_fail(t, "configurations: %s is told of one without itself",
                   trace_process_name(t, process));
    if (t->failed)
        return;
    if (c->transitional)
        transitional_arrives(t, process, c);
    else
        regular_arrives(t, process, c);
}

// --- messages ---------------------------------------------------------------

/* The message is sent in the sender's configuration of this moment. */
static void message_place(struct trace *t, struct trace_message *m)
{
    struct trace_process *p = &t->processes[m->process];
    struct trace_stay *s = last_stay(p);
    if (s == NULL || s->closing) {
        trace_fail(t, "basic: %s sends outside of a regular configuration",
                   trace_process_name(t, m->process));
        return;
    }
    m->ring = s->ring;
    m->ordinal = p->sent_in_ring++;
    m->seen = s->end - s->first;
}

uint32_t trace_send(struct trace *t, uint32_t process, uint32_t size_bytes,
                    bool safe)
{
    CHECK(process < t->process_count);
    t->messages = trace_grow(t->messages, t->message_count, &t->message_max,
                             sizeof *t->messages);
    uint32_t i = t->message_count++;
    struct trace_process *p = &t->processes[process];
    t->messages[i] = (struct trace_message){.process = process,
                                            .number = p->sent++,
                                            .size_bytes = size_bytes,
                                            .safe = safe,
                                            .ring = TRACE_NONE};
    message_place(t, &t->messages[i]);
    return i;
}

void trace_send_more(struct trace *t, uint32_t message)
{
    CHECK(message < t->message_count);
    struct trace_message *m = &t->messages[message];
    struct trace_stay *s = last_stay(&t->processes[m->process]);
    if (s != NULL && s->ring == m->ring)
        return;
    if (m->delivered)
        trace_fail(t,
                   "basic: message %" PRIu32 " of %s goes on in %s, but was "
                   "delivered in %s",
                   m->number, trace_process_name(t, m->process),
                   trace_ring_name(t, s == NULL ? TRACE_NONE : s->ring),
                   trace_ring_name(t, m->ring));
    else
        message_place(t, m);
}

void trace_sent(struct trace *t, uint32_t message)
{
    CHECK(message < t->message_count);
    t->messages[message].done = true;
}

void trace_abandon(struct trace *t, uint32_t message)
{
    CHECK(message < t->message_count);
    struct trace_message *m = &t->messages[message];
    struct trace_process *p = &t->processes[m->process];
    struct trace_stay *s = last_stay(p);
    m->abandoned = true;
    if (s != NULL && s->ring == m->ring)
        p->sent_in_ring--;
}

uint64_t trace_message_key(const struct trace *t, uint32_t message)
{
    CHECK(message < t->message_count);
    const struct trace_message *m = &t->messages[message];
    const struct trace_process *p = &t->processes[m->process];
    uint64_t key = p->incarnation ^ (uint64_t)p->node_id << 32;
    key = key * 0x9e3779b97f4a7c15u + m->number;
    key = key * 0x9e3779b97f4a7c15u + message;
    return key * 0x9e3779b97f4a7c15u + (m->safe ? 2 : 0) + m->size_bytes * 4;
}

static bool delivery_is_basic(struct trace *t, uint32_t process,
                              const struct trace_stay *s,
                              const struct trace_delivery *d)
{
    const struct trace_message *m = &t->messages[d->message];
    const char *wrong = NULL;
    if (m->abandoned)
        wrong = "was abandoned";
    else if (t->processes[m->process].node_id != d->sender)
        wrong = "has another sender";
    else if (m->size_bytes != d->size_bytes || m->safe != d->safe)
        wrong = "has another size or guarantee";
    else if (m->ring != s->ring)
        wrong = "was sent in another configuration";
    else if (m->delivered && m->seq != d->seq)
        wrong = "has another place in the order elsewhere";
    if (wrong != NULL)
        trace_fail(t,
                   "basic: %s delivers in %s, at seq %" PRIu64 ", message "
                   "%" PRIu32 " of %s, which %s (sent in %s)",
                   trace_process_name(t, process), trace_ring_name(t, s->ring),
                   d->seq, m->number, trace_process_name(t, m->process), wrong,
                   trace_ring_name(t, m->ring));
    return wrong == NULL;
}

/* Ascending by seq, then by the sender's number: with the one configuration a
 * message has, this means also "once". Of each sender without a gap. */
static bool delivery_is_ordered(struct trace *t, uint32_t process,
                                const struct trace_stay *s,
                                const struct trace_delivery *d)
{
    struct trace_process *p = &t->processes[process];
    const struct trace_message *m = &t->messages[d->message];
    const struct trace_ring *r = &t->rings[s->ring];
    if (s->end > s->first) {
        const struct trace_message *last =
            &t->messages[p->deliveries[s->end - 1]];
        if (last == m) {
            trace_fail(t, "basic: %s delivers message %" PRIu32 " of %s twice",
                       trace_process_name(t, process), m->number,
                       trace_process_name(t, m->process));
            return false;
        }
        if (last->seq > d->seq ||
            (last->seq == d->seq &&
             (last->process != m->process || last->number >= m->number))) {
            trace_fail(t,
                       "agreed: %s delivers seq %" PRIu64 " (message %" PRIu32
                       " of %s) after %" PRIu64,
                       trace_process_name(t, process), d->seq, m->number,
                       trace_process_name(t, m->process), last->seq);
            return false;
        }
    }
    uint32_t at = trace_find_id(r->members, r->member_count, d->sender);
    if (at == TRACE_NONE || p->next_ordinal[at] != m->ordinal) {
        trace_fail(t,
                   "causal: %s delivers message %" PRIu32 " of %s in %s, but "
                   "not the one sent before it",
                   trace_process_name(t, process), m->number,
                   trace_process_name(t, m->process),
                   trace_ring_name(t, s->ring));
        return false;
    }
    p->next_ordinal[at]++;
    return true;
}

void trace_deliver(struct trace *t, uint32_t process,
                   const struct trace_delivery *d)
{
    CHECK(process < t->process_count);
    struct trace_process *p = &t->processes[process];
    struct trace_stay *s = last_stay(p);
    if (t->failed)
        return;
    if (s == NULL) {
        trace_fail(t, "basic: %s delivers before it is in any configuration",
                   trace_process_name(t, process));
        return;
    }
    if (d->message >= t->message_count) {
        trace_fail(t, "basic: %s delivers what was never sent",
                   trace_process_name(t, process));
        return;
    }
    if (!delivery_is_basic(t, process, s, d) ||
        !delivery_is_ordered(t, process, s, d))
        return;
    struct trace_message *m = &t->messages[d->message];
    m->delivered = true;
    m->seq = d->seq;
    m->delivered_by_self |= m->process == process;
    m->in_regular |= !s->closing;
    p->deliveries = trace_grow(p->deliveries, p->delivery_count,
                               &p->delivery_max, sizeof *p->deliveries);
    p->deliveries[p->delivery_count++] = d->message;
    s->end = p->delivery_count;
    t->delivery_count++;
}
