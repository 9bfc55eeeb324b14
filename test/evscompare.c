/* SPDX-License-Identifier: BSD-3-Clause */
/* evscompare - do the traces of several evscheck clients agree?
 *
 * What each client delivered is one sequence of messages and configurations
 * (per connection: a section). Extended virtual synchrony says of them:
 *
 *   order       there is one order of all messages and regular configurations
 *               that every sequence follows
 *   rings       a ring's identity stands for one member list, and a
 *               transitional configuration lies within the rings it joins
 *   one prefix  in a regular configuration all members deliver one sequence,
 *               some perhaps less of it
 *   atomicity   members that go together to the next one deliver the same
 *   causality   who delivers a message has delivered before it all that its
 *               sender had delivered in this configuration when it sent
 *   safe        what was sent SAFE and delivered by anyone in a configuration,
 *               all its members deliver in it or in the transitional one after
 *               it, unless they fail; the same for a transitional one
 *   no gap      see evstrace.h
 *   content     a message is the same everywhere
 *
 * A section begins in the configuration in which its client joined its group,
 * so it saw only the later part of that. A client whose trace ends in a
 * configuration counts as failed there: it owes nothing more. Time and memory
 * grow with the number of records. */
#include "test/evstrace.h"
#include "test/evscompare.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ERRORS_SHOWN = 20 };

struct traces traces;
static uint64_t errors;

/* --- tools ---------------------------------------------------------------- */

void wrong(const char *format, ...)
{
    if (errors++ >= ERRORS_SHOWN)
        return;
    va_list args;
    va_start(args, format);
    fputs("evscompare: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void *grow(void *p, size_t count, size_t *size, size_t each)
{
    if (count < *size)
        return p;
    *size = *size * 2 + 64;
    p = realloc(p, *size * each);
    if (p == NULL) {
        perror("evscompare");
        exit(2);
    }
    return p;
}

void *zeroed(size_t count, size_t each)
{
    void *p = calloc(count + 1, each);
    if (p == NULL) {
        perror("evscompare");
        exit(2);
    }
    return p;
}

const char *message_name(uint32_t message)
{
    static char texts[4][64];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    const struct watch *s = &traces.senders[traces.keys[message] >> 40];
    snprintf(text, sizeof texts[0], "%" PRIu32 "/%04" PRIx64 ":%" PRIu64,
             s->node, s->incarnation & 0xffff,
             traces.keys[message] & ((UINT64_C(1) << 40) - 1));
    return text;
}

static const char *file_of(const struct epoch *e)
{
    return traces.sections[e->section].file;
}

/* --- rings ---------------------------------------------------------------- */

/* A ring's identity stands for one member list. */
static void check_rings(void)
{
    bool *regular = zeroed(traces.view_count, sizeof *regular);
    for (size_t i = 0; i < traces.epoch_count; i++)
        regular[traces.epochs[i].regular] = true;
    for (size_t i = 0; i < traces.view_count; i++)
        for (size_t j = 0; j < i && regular[i]; j++)
            if (regular[j] && same_ring(&traces.views[i], &traces.views[j]))
                wrong("ring %" PRIu32 ":%" PRIu64 " has two member lists",
                      traces.views[i].rep, traces.views[i].seq);
    for (size_t i = 0; i < traces.epoch_count; i++) {
        const struct view *v = &traces.views[traces.epochs[i].regular];
        const struct section *s = &traces.sections[traces.epochs[i].section];
        if (!node_in(s->node, v->members, v->member_count))
            wrong("%s: node %" PRIu32 " is not in its own ring %" PRIu64,
                  s->file, s->node, v->seq);
    }
    free(regular);
}

/* --- one prefix ----------------------------------------------------------- */

static const struct graph *sorting; /* for the comparison function alone */

static uint32_t start_place(const struct epoch *e)
{
    return e->from_start || e->begin == e->mid
               ? 0
               : sorting->place[traces.log[e->begin]] + 1;
}

/* By ring, then by where in its sequence the client began to listen. */
static int by_ring(const void *a, const void *b)
{
    const struct epoch *x = *(const struct epoch *const *)a;
    const struct epoch *y = *(const struct epoch *const *)b;
    if (x->regular != y->regular)
        return x->regular < y->regular ? -1 : 1;
    uint32_t p = start_place(x), q = start_place(y);
    return p < q ? -1 : p > q;
}

/* The sequence of one ring, put together from its members' pieces. */
struct merged {
    uint32_t *messages;
    size_t count;
    uint32_t *place; /* by message: where in it, + 1 */
    uint32_t *taken; /* by message: the last epoch that delivered it in its
                        transitional configuration, + 1 */
    bool *fresh;     /* by place: it begins a piece that meets none in front of
                        it; which of them came first is not known */
    uint32_t *safe;  /* by view: the last SAFE message in it, + 1 */
};

static void merged_add(struct merged *all, const struct epoch *e)
{
    size_t at = 0, n = e->mid - e->begin;
    if (n == 0)
        return;
    if (!e->from_start && all->count > 0)
        at = all->place[traces.log[e->begin]] == 0
                 ? all->count
                 : all->place[traces.log[e->begin]] - 1;
    if (at == all->count && at > 0)
        all->fresh[at] = true;
    for (size_t i = 0; i < n; i++, at++) {
        uint32_t m = traces.log[e->begin + i];
        if (at == all->count) {
            all->messages[all->count++] = m;
            all->place[m] = (uint32_t)all->count;
        } else if (all->messages[at] != m) {
            wrong("%s: in ring %" PRIu64 ", message %zu here is %s, elsewhere "
                  "it is %s",
                  file_of(e), traces.views[e->regular].seq, i + 1,
                  message_name(m), message_name(all->messages[at]));
            return;
        }
    }
}

/* How far in the ring's sequence the regular part of `e` goes; *first: where
 * it begins. False: not known, it came late and saw nothing of it. */
static bool extent(const struct merged *all, const struct epoch *e,
                   size_t *first, size_t *end)
{
    if (!e->from_start && e->begin == e->mid)
        return false;
    *first = e->from_start ? 0 : all->place[traces.log[e->begin]] - 1;
    *end = *first + (e->mid - e->begin);
    return true;
}

/* In a regular configuration nothing is left out, so causality is a matter of
 * order there. In the transitional one, what came before a message's cause, and
 * the cause, must not be what was left out. Marks what `e` delivers there. */
static void check_causality(struct merged *all, const struct epoch *e)
{
    uint32_t mark = (uint32_t)(e - traces.epochs) + 1;
    size_t first, at;
    bool known = extent(all, e, &first, &at);
    for (size_t i = e->mid; i < e->end; i++) {
        uint32_t m = traces.log[i], cause = traces.causes[m];
        while (known && at < all->count && !all->fresh[at] &&
               all->taken[all->messages[at]] == mark)
            at++;
        if (known && cause != 0 && all->place[cause - 1] > at &&
            !all->fresh[at])
            wrong("%s: in the transitional configuration after ring %" PRIu64
                  ", message %s without %s, though its sender had been "
                  "delivered all up to %s",
                  file_of(e), traces.views[e->regular].seq, message_name(m),
                  message_name(all->messages[at]), message_name(cause - 1));
        all->taken[m] = mark;
    }
}

/* Was `m` among what `e` delivered? Holds until the next epoch is marked. */
static bool delivered(const struct merged *all, const struct epoch *e,
                      uint32_t m)
{
    size_t first, end, place = all->place[m];
    return all->taken[m] == (uint32_t)(e - traces.epochs) + 1 ||
           (extent(all, e, &first, &end) && place > first && place <= end);
}

static void not_safe(const struct epoch *e, uint32_t m, const char *where)
{
    wrong("%s: went on from ring %" PRIu64 " without the safe message %s, "
          "which others delivered in %s",
          file_of(e), traces.views[e->regular].seq, message_name(m), where);
}

/* All SAFE messages of the ring's sequence, whose last one ends at `safe_end`,
 * came to `e` too. */
static void check_safe(const struct merged *all, const struct epoch *e,
                       size_t safe_end)
{
    size_t first, at;
    if (e->next == NONE || !extent(all, e, &first, &at))
        return;
    for (; at < safe_end && (e->from_start || !all->fresh[at]); at++)
        if (is_safe(all->messages[at]) &&
            !delivered(all, e, all->messages[at])) {
            not_safe(e, all->messages[at], "it");
            return;
        }
}

/* So did what `other` delivered SAFE in a transitional configuration with `e`.
 * Of one that came late it is not known whether that had gone by. */
static void check_promise(const struct merged *all, const struct epoch *e,
                          const struct epoch *other)
{
    if (e->next == NONE || !e->from_start || other->transitional == NONE)
        return;
    const struct view *v = &traces.views[other->transitional];
    if (!node_in(traces.sections[e->section].node, v->members, v->member_count))
        return;
    for (size_t i = other->mid; i < other->end; i++)
        if (is_safe(traces.log[i]) && !delivered(all, e, traces.log[i])) {
            not_safe(e, traces.log[i],
                     "the transitional configuration they shared");
            return;
        }
}

static bool same_way(const struct epoch *a, const struct epoch *b)
{
    return a->transitional == b->transitional && a->next == b->next;
}

/* All that were in one ring, whose sequence was put together. */
static void check_ring(struct merged *all, const struct epoch *const *epochs,
                       size_t count)
{
    size_t safe_end = all->count;
    while (safe_end > 0 && !is_safe(all->messages[safe_end - 1]))
        safe_end--;
    if (safe_end > 0)
        all->safe[epochs[0]->regular] = all->messages[safe_end - 1] + 1;
    for (size_t i = 0; i < count; i++) {
        check_causality(all, epochs[i]);
        check_safe(all, epochs[i], safe_end);
        /* Who goes the same way delivers the same: check_atomicity(). */
        for (size_t j = 0; j < count; j++)
            if (!same_way(epochs[i], epochs[j]))
                check_promise(all, epochs[i], epochs[j]);
    }
}

/* A member that leaves out a whole ring has not delivered what was SAFE in it.
 * Within one section it is one daemon that went from ring to ring. */
static void check_skipped(const struct merged *all)
{
    for (size_t i = 0; i < traces.epoch_count; i++) {
        const struct epoch *e = &traces.epochs[i];
        uint32_t node = traces.sections[e->section].node;
        for (size_t v = 0; v < traces.view_count && e->next != NONE; v++) {
            const struct view *ring = &traces.views[v];
            if (all->safe[v] != 0 && ring->seq > traces.views[e->regular].seq &&
                ring->seq < traces.views[e->next].seq &&
                node_in(node, ring->members, ring->member_count))
                wrong("%s: never was in ring %" PRIu64
                      ", where others delivered the safe message %s",
                      file_of(e), ring->seq, message_name(all->safe[v] - 1));
        }
    }
}

static void check_prefixes(const struct graph *g)
{
    const struct epoch **order = zeroed(traces.epoch_count, sizeof *order);
    struct merged all = {
        .messages = zeroed(traces.log_count, sizeof(uint32_t)),
        .place = zeroed(traces.message_count, sizeof(uint32_t)),
        .taken = zeroed(traces.message_count, sizeof(uint32_t)),
        .safe = zeroed(traces.view_count, sizeof(uint32_t)),
        .fresh = zeroed(traces.log_count, sizeof(bool))};
    for (size_t i = 0; i < traces.epoch_count; i++)
        order[i] = &traces.epochs[i];
    sorting = g;
    qsort(order, traces.epoch_count, sizeof(struct epoch *), by_ring);
    for (size_t i = 0, end; i < traces.epoch_count; i = end) {
        for (end = i; end < traces.epoch_count &&
                      order[end]->regular == order[i]->regular;
             end++)
            merged_add(&all, order[end]);
        check_ring(&all, &order[i], end - i);
        for (size_t j = 0; j < all.count; j++) {
            all.place[all.messages[j]] = 0;
            all.fresh[j] = false;
        }
        all.count = 0;
    }
    check_skipped(&all);
    free(all.messages);
    free(all.place);
    free(all.taken);
    free(all.safe);
    free(all.fresh);
    free(order);
}

/* --- atomicity ------------------------------------------------------------ */

/* By the way from ring to ring; who saw all of the first ring in front. */
static int by_way(const void *a, const void *b)
{
    const struct epoch *x = *(const struct epoch *const *)a;
    const struct epoch *y = *(const struct epoch *const *)b;
    if (x->regular != y->regular)
        return x->regular < y->regular ? -1 : 1;
    if (x->transitional != y->transitional)
        return x->transitional < y->transitional ? -1 : 1;
    if (x->next != y->next)
        return x->next < y->next ? -1 : 1;
    return (int)y->from_start - (int)x->from_start;
}

/* The last `n` messages before each end are to be the same. */
static bool same_tail(size_t a_end, size_t b_end, size_t n)
{
    return memcmp(&traces.log[a_end - n], &traces.log[b_end - n],
                  n * sizeof *traces.log) == 0;
}

static void check_pair(const struct epoch *a, const struct epoch *b)
{
    size_t a_regular = a->mid - a->begin, b_regular = b->mid - b->begin;
    size_t n = a_regular < b_regular ? a_regular : b_regular;
    size_t in_a = a->end - a->mid, in_b = b->end - b->mid;
    const char *what = NULL;
    if (traces.log_count == 0)
        return;
    if (in_a != in_b || !same_tail(a->end, b->end, in_a))
        what = "in the transitional configuration after it";
    else if ((b->from_start && a_regular != b_regular) ||
             (a->from_start && a_regular < b_regular) ||
             !same_tail(a->mid, b->mid, n))
        what = "in it";
    if (what != NULL)
        wrong("%s (%zu + %zu messages) and %s (%zu + %zu) went together from "
              "ring %" PRIu64 " to %" PRIu64
              ", but did not deliver the same %s",
              file_of(a), a_regular, in_a, file_of(b), b_regular, in_b,
              traces.views[a->regular].seq, traces.views[a->next].seq, what);
}

static void check_atomicity(void)
{
    const struct epoch **order = zeroed(traces.epoch_count, sizeof *order);
    size_t count = 0, lead = 0;
    for (size_t i = 0; i < traces.epoch_count; i++)
        if (traces.epochs[i].next != NONE &&
            traces.epochs[i].transitional != NONE)
            order[count++] = &traces.epochs[i];
    qsort(order, count, sizeof(struct epoch *), by_way);
    for (size_t i = 1; i < count; i++) {
        const struct epoch *a = order[lead], *b = order[i];
        if (a->regular != b->regular || a->transitional != b->transitional ||
            a->next != b->next)
            lead = i;
        else
            check_pair(a, b);
    }
    free(order);
}

/* --- the end state -------------------------------------------------------- */

/* Each file's last section ends in one ring of `want` members. */
static void check_final(uint32_t want)
{
    int ring = NONE;
    for (size_t s = 0; s < traces.section_count; s++) {
        const struct section *section = &traces.sections[s];
        if (s + 1 < traces.section_count && section[1].file == section->file)
            continue;
        if (section->epoch_count == 0) {
            wrong("%s: no configuration at the end", section->file);
            continue;
        }
        const struct epoch *e =
            &traces.epochs[section->first_epoch + section->epoch_count - 1];
        if (ring != NONE && e->regular != ring)
            wrong("%s: ends in another ring than others", section->file);
        ring = e->regular;
        if (traces.views[ring].member_count != want)
            wrong("%s: ends in a ring of %" PRIu32 " members, not %" PRIu32,
                  section->file, traces.views[ring].member_count, want);
    }
}

int main(int argc, char **argv)
{
    static const struct option list[] = {
        {"final", 1, NULL, 'f'}, {"min", 1, NULL, 'm'}, {NULL, 0, NULL, 0}};
    uint32_t final = 0;
    size_t min = 1;
    int c;
    while ((c = getopt_long(argc, argv, "", list, NULL)) != -1) {
        if (c == 'f')
            final = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'm')
            min = strtoul(optarg, NULL, 10);
        else
            optind = argc + 1;
    }
    if (optind >= argc) {
        fputs("usage: evscompare [--final MEMBERS] [--min MESSAGES] TRACE...\n"
              "  --final  every trace ends in one ring of so many members\n"
              "  --min    there are at least so many messages (1)\n",
              stderr);
        return 2;
    }
    for (int i = optind; i < argc; i++)
        read_file(argv[i]);
    struct graph g = {0};
    find_causes();
    check_rings();
    check_order(&g);
    check_prefixes(&g);
    check_atomicity();
    if (final > 0)
        check_final(final);
    if (traces.message_count < min)
        wrong("%zu messages, at least %zu were expected", traces.message_count,
              min);
    printf("%d traces, %zu connections, %zu configurations, %zu messages "
           "(%zu safe, %zu with causes), %zu deliveries: %" PRIu64 " errors\n",
           argc - optind, traces.section_count, traces.view_count,
           traces.message_count, traces.safe_count, traces.cause_count,
           traces.log_count, errors);
    graph_free(&g);
    return errors == 0 ? 0 : 1;
}
