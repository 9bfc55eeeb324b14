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
 * A client that joined its group late saw only the later part of the
 * configuration that it joined it in, and nothing of those before. A client
 * whose trace ends in a configuration counts as failed there: it owes nothing
 * more. Time and memory grow with the number of records. */
#include "test/evstrace.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 128, ERRORS_SHOWN = 20, NONE = -1 };

/* In sums[]; the rest is the checksum. */
#define SAFE_FLAG UINT32_C(0x80000000)

/* A configuration as one client was told it. */
struct view {
    uint32_t rep;
    uint64_t seq;
    uint32_t member_count;
    uint32_t members[NODES_MAX];
};

/* What one client delivered from one regular configuration to the next: the
 * messages [begin, mid) in it, [mid, end) in the transitional one after it. */
struct epoch {
    uint32_t section;
    bool from_start;                 /* had joined when it began */
    int regular, transitional, next; /* views; NONE: the section ended */
    size_t begin, mid, end;
};

struct section {
    const char *file;
    uint32_t node, sender;
    size_t first_epoch, epoch_count;
    size_t first, count; /* what it delivered, in the log */
    bool ended;          /* not cut off */
    bool incomplete;     /* the log lacks something wrong that was in it */
};

static struct {
    /* Senders of all files; a message's number is its place in keys[]. */
    struct watch *senders;
    uint32_t sender_count, sender_size;
    uint64_t *keys; /* by message: sender << 40 | seq */
    uint32_t *sums; /* by message: checksum, SAFE_FLAG */
    /* By message: first, how many its sender had been delivered before; when
     * all is read, the last of these + 1, 0: none, or not known. */
    uint32_t *causes;
    size_t message_count, message_size;
    size_t safe_count, cause_count;
    uint32_t *slots; /* hash table: message + 1 */
    size_t slot_count;
    /* Everything delivered, section by section: numbers of messages. */
    uint32_t *log;
    size_t log_count, log_size;
    struct view *views; /* distinct ones; regular: one per ring */
    size_t view_count, view_size;
    struct epoch *epochs;
    size_t epoch_count, epoch_size;
    struct section *sections;
    size_t section_count, section_size;
} d;

static uint64_t errors;

__attribute__((format(printf, 1, 2))) static void wrong(const char *format, ...)
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

static void *grow(void *p, size_t count, size_t *size, size_t each)
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

static void *zeroed(size_t count, size_t each)
{
    void *p = calloc(count + 1, each);
    if (p == NULL) {
        perror("evscompare");
        exit(2);
    }
    return p;
}

/* --- names ---------------------------------------------------------------- */

/* Text in one of a few buffers, for a line with several messages. */
static const char *message_name(uint32_t message)
{
    static char texts[4][64];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    const struct watch *s = &d.senders[d.keys[message] >> 40];
    snprintf(text, sizeof texts[0], "%" PRIu32 "/%04" PRIx64 ":%" PRIu64,
             s->node, s->incarnation & 0xffff,
             d.keys[message] & ((UINT64_C(1) << 40) - 1));
    return text;
}

static bool is_safe(uint32_t message)
{
    return (d.sums[message] & SAFE_FLAG) != 0;
}

static const char *file_of(const struct epoch *e)
{
    return d.sections[e->section].file;
}

/* --- messages, senders, views: one number each ---------------------------- */

static uint32_t sender_number(uint32_t node, uint64_t incarnation)
{
    for (uint32_t i = d.sender_count; i-- > 0;)
        if (d.senders[i].node == node &&
            d.senders[i].incarnation == incarnation)
            return i;
    size_t size = d.sender_size;
    d.senders = grow(d.senders, d.sender_count, &size, sizeof *d.senders);
    d.sender_size = (uint32_t)size;
    d.senders[d.sender_count] = watch_new(node, incarnation);
    return d.sender_count++;
}

static size_t slot_of(uint64_t key)
{
    size_t i = (key * 0x9e3779b97f4a7c15 >> 20) & (d.slot_count - 1);
    while (d.slots[i] != 0 && d.keys[d.slots[i] - 1] != key)
        i = (i + 1) & (d.slot_count - 1);
    return i;
}

static void slots_grow(void)
{
    free(d.slots);
    d.slot_count = d.slot_count == 0 ? 4096 : d.slot_count * 2;
    d.slots = zeroed(d.slot_count, sizeof *d.slots);
    for (uint32_t m = 0; m < d.message_count; m++)
        d.slots[slot_of(d.keys[m])] = m + 1;
}

static uint32_t message_add(uint64_t key, uint32_t sum, uint32_t preceded)
{
    size_t size = d.message_size, same = size;
    d.keys = grow(d.keys, d.message_count, &size, sizeof *d.keys);
    d.causes = grow(d.causes, d.message_count, &same, sizeof *d.causes);
    d.sums = grow(d.sums, d.message_count, &d.message_size, sizeof *d.sums);
    d.keys[d.message_count] = key;
    d.sums[d.message_count] = sum;
    d.causes[d.message_count] = preceded;
    d.safe_count += (sum & SAFE_FLAG) != 0;
    return (uint32_t)d.message_count++;
}

static uint32_t message_number(uint32_t sender, uint64_t seq, uint32_t sum,
                               uint32_t preceded, const char *file)
{
    uint64_t key = (uint64_t)sender << 40 | seq;
    if (d.message_count * 2 >= d.slot_count)
        slots_grow();
    size_t slot = slot_of(key);
    if (d.slots[slot] != 0) {
        uint32_t m = d.slots[slot] - 1;
        if (d.sums[m] != sum || d.causes[m] != preceded)
            wrong("%s: message %s has another content than elsewhere", file,
                  message_name(m));
        return m;
    }
    d.slots[slot] = message_add(key, sum, preceded) + 1;
    return d.slots[slot] - 1;
}

static bool same_members(const struct view *a, const struct view *b)
{
    return a->member_count == b->member_count &&
           memcmp(a->members, b->members,
                  a->member_count * sizeof *a->members) == 0;
}

static bool same_ring(const struct view *a, const struct view *b)
{
    return a->rep == b->rep && a->seq == b->seq;
}

/* The number of a view with that identity and members. */
static int view_number(const struct view *v)
{
    for (size_t i = d.view_count; i-- > 0;)
        if (same_ring(&d.views[i], v) && same_members(&d.views[i], v))
            return (int)i;
    d.views = grow(d.views, d.view_count, &d.view_size, sizeof *d.views);
    d.views[d.view_count] = *v;
    return (int)d.view_count++;
}

/* --- reading -------------------------------------------------------------- */

struct file {
    const char *name;
    FILE *stream;
    uint32_t *senders; /* the file's number -> ours */
    size_t sender_count, sender_size;
    struct watch *watches; /* by our number */
    size_t watch_size;
    struct epoch open; /* being read; regular NONE: no section */
    bool in_section;
    bool joined; /* in this section: see TRACE_JOINED */
};

static bool next_record(struct file *f, struct trace_record *r)
{
    return fread(r, sizeof *r, 1, f->stream) == 1;
}

static void epoch_close(struct file *f, int next)
{
    if (!f->in_section || f->open.regular == NONE)
        return;
    f->open.end = d.log_count;
    if (f->open.transitional == NONE)
        f->open.mid = d.log_count;
    f->open.next = next;
    d.epochs = grow(d.epochs, d.epoch_count, &d.epoch_size, sizeof *d.epochs);
    d.epochs[d.epoch_count++] = f->open;
    d.sections[d.section_count - 1].epoch_count++;
}

static void section_close(struct file *f, bool ended)
{
    epoch_close(f, NONE);
    if (f->in_section) {
        struct section *s = &d.sections[d.section_count - 1];
        s->count = d.log_count - s->first;
        s->ended = ended;
    }
    f->in_section = false;
}

static void section_open(struct file *f, const struct trace_record *r)
{
    section_close(f, false);
    d.sections =
        grow(d.sections, d.section_count, &d.section_size, sizeof *d.sections);
    d.sections[d.section_count++] =
        (struct section){.file = f->name,
                         .node = r->low,
                         .sender = sender_number(r->low, r->value),
                         .first_epoch = d.epoch_count,
                         .first = d.log_count};
    f->open = (struct epoch){.section = (uint32_t)d.section_count - 1,
                             .regular = NONE,
                             .transitional = NONE,
                             .next = NONE};
    f->in_section = true;
    f->joined = false;
    for (size_t i = 0; i < f->watch_size; i++)
        f->watches[i].may_gap = true;
}

/* False when the file ends within it. */
static bool read_view(struct file *f, const struct trace_record *first,
                      struct view *v)
{
    struct trace_record r;
    memset(v, 0, sizeof *v);
    v->rep = first->low;
    v->seq = first->value;
    v->member_count = first->kind_index & 0xffffff;
    if (v->member_count > NODES_MAX || !next_record(f, &r))
        return false;
    for (uint32_t i = 0; i < v->member_count; i++) {
        if (!next_record(f, &r))
            return false;
        v->members[i] = r.low;
    }
    return true;
}

static bool within(const struct view *small, const struct view *large)
{
    for (uint32_t i = 0; i < small->member_count; i++)
        if (!node_in(small->members[i], large->members, large->member_count))
            return false;
    return true;
}

static void take_transitional(struct file *f, const struct view *v)
{
    if (f->open.regular == NONE || f->open.transitional != NONE) {
        wrong("%s: a transitional configuration out of turn", f->name);
        return;
    }
    if (!within(v, &d.views[f->open.regular]))
        wrong("%s: a transitional configuration with new members", f->name);
    f->open.mid = d.log_count;
    f->open.transitional = view_number(v);
}

static void take_regular(struct file *f, const struct view *v)
{
    int number = view_number(v);
    bool first = f->open.regular == NONE;
    if (!first) {
        if (f->open.transitional == NONE)
            wrong("%s: no transitional configuration before ring %" PRIu64,
                  f->name, v->seq);
        else if (!within(&d.views[f->open.transitional], v))
            wrong("%s: ring %" PRIu64 " lacks members of the transitional "
                  "configuration before it",
                  f->name, v->seq);
        if (d.views[f->open.regular].seq >= v->seq)
            wrong("%s: ring %" PRIu64 " after ring %" PRIu64, f->name, v->seq,
                  d.views[f->open.regular].seq);
    }
    epoch_close(f, number);
    /* What it was told before its join took effect may have been over by
     * then. */
    f->open.from_start = !first && f->joined;
    f->open.regular = number;
    f->open.transitional = NONE;
    f->open.begin = d.log_count;
}

static void take_configuration(struct file *f, const struct trace_record *r)
{
    struct view v;
    if (!f->in_section || !read_view(f, r, &v))
        return;
    watch_configuration(f->watches, f->watch_size, v.members, v.member_count);
    if (r->kind_index >> 24 == TRACE_TRANSITIONAL)
        take_transitional(f, &v);
    else
        take_regular(f, &v);
}

static void take_sender(struct file *f, const struct trace_record *r)
{
    uint32_t number = sender_number(r->low, r->value);
    f->senders =
        grow(f->senders, f->sender_count, &f->sender_size, sizeof *f->senders);
    f->senders[f->sender_count++] = number;
    size_t old = f->watch_size;
    while (number >= f->watch_size)
        f->watches =
            grow(f->watches, f->watch_size, &f->watch_size, sizeof *f->watches);
    for (size_t i = old; i < f->watch_size; i++)
        f->watches[i] = watch_new(0, 0);
    f->watches[number] = watch_new(r->low, r->value);
    if (f->in_section && f->open.regular != NONE) {
        const struct view *v =
            &d.views[f->open.transitional != NONE ? f->open.transitional
                                                  : f->open.regular];
        watch_configuration(&f->watches[number], 1, v->members,
                            v->member_count);
    }
}

static void take_preceded(struct file *f, const struct trace_record *r)
{
    uint32_t index = r->kind_index & 0xffffff;
    if (index >= f->sender_count || r->value > UINT32_MAX)
        wrong("%s: a cause out of place", f->name);
    else
        f->watches[f->senders[index]].preceded = r->value;
}

static void take_message(struct file *f, const struct trace_record *r)
{
    uint32_t index = r->kind_index & 0xffffff;
    if (!f->in_section || f->open.regular == NONE || index >= f->sender_count) {
        wrong("%s: a message out of place", f->name);
        return;
    }
    uint32_t sender = f->senders[index];
    struct watch *w = &f->watches[sender];
    uint32_t sum = r->low & ~SAFE_FLAG;
    if (r->kind_index >> 24 == TRACE_SAFE)
        sum |= SAFE_FLAG;
    uint32_t m =
        message_number(sender, r->value, sum, (uint32_t)w->preceded, f->name);
    uint64_t last = w->last_seq;
    enum watch_result result = watch_message(w, r->value);
    if (result == WATCH_REPEAT) {
        wrong("%s: message %s after %" PRIu64 " of its sender", f->name,
              message_name(m), last);
        d.sections[d.section_count - 1].incomplete = true;
        return; /* not in the log: it would only cause further errors */
    }
    if (result == WATCH_GAP)
        wrong("%s: gap of %" PRIu64 " before message %s", f->name,
              r->value - last - 1, message_name(m));
    d.log = grow(d.log, d.log_count, &d.log_size, sizeof *d.log);
    d.log[d.log_count++] = m;
}

static void take_records(struct file *f)
{
    struct trace_record r;
    while (next_record(f, &r)) {
        switch ((enum trace_kind)(r.kind_index >> 24)) {
        case TRACE_SECTION:
            section_open(f, &r);
            break;
        case TRACE_JOINED:
            f->joined = true;
            break;
        case TRACE_SENDER:
            take_sender(f, &r);
            break;
        case TRACE_PRECEDED:
            take_preceded(f, &r);
            break;
        case TRACE_MESSAGE:
        case TRACE_SAFE:
            take_message(f, &r);
            break;
        case TRACE_CONFIGURATION:
        case TRACE_TRANSITIONAL:
            take_configuration(f, &r);
            break;
        case TRACE_END:
            section_close(f, true);
            break;
        case TRACE_MEMBER:
        case TRACE_TIME:
            break;
        }
    }
    section_close(f, false);
}

static void read_file(const char *name)
{
    struct file f = {.name = name, .stream = fopen(name, "rb")};
    struct trace_header h;
    if (f.stream == NULL) {
        perror(name);
        exit(2);
    }
    size_t n = fread(&h, 1, sizeof h, f.stream);
    if (n != 0 &&
        (n != sizeof h || memcmp(h.magic, TRACE_MAGIC, sizeof h.magic) != 0 ||
         h.version != TRACE_VERSION ||
         h.record_size != sizeof(struct trace_record))) {
        fprintf(stderr, "evscompare: %s: not a trace of this version\n", name);
        exit(2);
    }
    take_records(&f);
    fclose(f.stream);
    free(f.senders);
    free(f.watches);
}

/* --- causes --------------------------------------------------------------- */

/* A message says how many its sender had been delivered before; the sender's
 * trace says which these were. Of a sender without a trace, or with one that
 * was cut off before, they are not known. */
static void find_causes(void)
{
    const struct section **of = zeroed(d.sender_count, sizeof *of);
    for (size_t i = 0; i < d.section_count; i++)
        of[d.sections[i].sender] = &d.sections[i];
    for (uint32_t m = 0; m < d.message_count; m++) {
        const struct section *s = of[d.keys[m] >> 40];
        uint32_t n = d.causes[m];
        d.causes[m] = 0;
        if (n == 0 || s == NULL || s->incomplete)
            continue;
        if (n <= s->count) {
            d.causes[m] = d.log[s->first + n - 1] + 1;
            d.cause_count++;
        } else if (s->ended) {
            wrong("%s: message %s was sent after %" PRIu32
                  " deliveries, but there are only %zu",
                  s->file, message_name(m), n, s->count);
        }
    }
    free(of);
}

/* --- rings ---------------------------------------------------------------- */

/* A ring's identity stands for one member list. */
static void check_rings(void)
{
    bool *regular = zeroed(d.view_count, sizeof *regular);
    for (size_t i = 0; i < d.epoch_count; i++)
        regular[d.epochs[i].regular] = true;
    for (size_t i = 0; i < d.view_count; i++)
        for (size_t j = 0; j < i && regular[i]; j++)
            if (regular[j] && same_ring(&d.views[i], &d.views[j]))
                wrong("ring %" PRIu32 ":%" PRIu64 " has two member lists",
                      d.views[i].rep, d.views[i].seq);
    for (size_t i = 0; i < d.epoch_count; i++) {
        const struct view *v = &d.views[d.epochs[i].regular];
        const struct section *s = &d.sections[d.epochs[i].section];
        if (!node_in(s->node, v->members, v->member_count))
            wrong("%s: node %" PRIu32 " is not in its own ring %" PRIu64,
                  s->file, s->node, v->seq);
    }
    free(regular);
}

/* --- order ---------------------------------------------------------------- */

/* A graph: messages, then views, each section a path through it, and an edge
 * from each message's cause to it. One order exists if and only if the graph
 * has no cycle. */
struct graph {
    size_t node_count;
    size_t *first; /* by node: its edges in to[], first[n + 1] the end */
    uint32_t *to;
    uint32_t *indegree;
    uint32_t *place; /* by node: in the order that was found */
};

/* Calls `edge` for each step of each section, and each cause. */
static void walk(struct graph *g,
                 void (*edge)(struct graph *g, uint32_t from, uint32_t to))
{
    for (size_t s = 0; s < d.section_count; s++) {
        const struct section *section = &d.sections[s];
        for (size_t i = 0; i < section->epoch_count; i++) {
            const struct epoch *e = &d.epochs[section->first_epoch + i];
            uint32_t last = (uint32_t)d.message_count + (uint32_t)e->regular;
            /* Who connected late met the ring when it had begun: its view
             * comes before what it saw all the same. */
            for (size_t m = e->begin; m < e->end; m++) {
                edge(g, last, d.log[m]);
                last = d.log[m];
            }
            if (e->next != NONE)
                edge(g, last, (uint32_t)d.message_count + (uint32_t)e->next);
        }
    }
    for (uint32_t m = 0; m < d.message_count; m++)
        if (d.causes[m] != 0)
            edge(g, d.causes[m] - 1, m);
}

static void count_edge(struct graph *g, uint32_t from, uint32_t to)
{
    g->first[from + 2]++;
    g->indegree[to]++;
}

static void add_edge(struct graph *g, uint32_t from, uint32_t to)
{
    g->to[g->first[from + 1]++] = to;
}

static void report_edge(uint32_t from, uint32_t to)
{
    if (to < d.message_count && d.causes[to] == from + 1)
        wrong("no common order: message %s comes before %s, which its sender "
              "had been delivered",
              message_name(to), message_name(from));
    else if (from < d.message_count && to < d.message_count)
        wrong("no common order: message %s comes before %s and after it",
              message_name(from), message_name(to));
    else
        wrong("no common order of messages and configurations");
}

/* Goes on from nodes that were never free along such nodes, and back from
 * where that ends, until it comes to one that it is on the way from. */
static void report_cycle(const struct graph *g)
{
    const uint32_t on_way = UINT32_MAX;
    uint32_t *way = zeroed(g->node_count, sizeof *way), start = 0;
    size_t length = 0;
    for (;;) {
        if (length == 0) {
            while (g->indegree[start] == 0)
                start++;
            way[length++] = start;
        }
        uint32_t at = way[length - 1];
        size_t i = g->first[at];
        g->indegree[at] = on_way;
        while (i < g->first[at + 1] && g->indegree[g->to[i]] == 0)
            i++;
        if (i == g->first[at + 1]) {
            g->indegree[at] = 0;
            length--;
        } else if (g->indegree[g->to[i]] == on_way) {
            report_edge(at, g->to[i]);
            break;
        } else {
            way[length++] = g->to[i];
        }
    }
    free(way);
}

static void graph_build(struct graph *g)
{
    g->node_count = d.message_count + d.view_count;
    g->first = zeroed(g->node_count + 2, sizeof *g->first);
    g->indegree = zeroed(g->node_count, sizeof *g->indegree);
    walk(g, count_edge);
    for (size_t i = 1; i < g->node_count + 2; i++)
        g->first[i] += g->first[i - 1];
    g->to = zeroed(g->first[g->node_count + 1], sizeof *g->to);
    walk(g, add_edge);
}

/* Gives each node its place in a common order. */
static void check_order(struct graph *g)
{
    graph_build(g);
    g->place = zeroed(g->node_count, sizeof *g->place);
    uint32_t *queue = zeroed(g->node_count, sizeof *queue);
    size_t head = 0, tail = 0;
    for (size_t i = 0; i < g->node_count; i++)
        if (g->indegree[i] == 0)
            queue[tail++] = (uint32_t)i;
    while (head < tail) {
        uint32_t at = queue[head];
        g->place[at] = (uint32_t)head++;
        for (size_t i = g->first[at]; i < g->first[at + 1]; i++)
            if (--g->indegree[g->to[i]] == 0)
                queue[tail++] = g->to[i];
    }
    if (tail < g->node_count)
        report_cycle(g);
    free(queue);
}

static void graph_free(struct graph *g)
{
    free(g->first);
    free(g->to);
    free(g->indegree);
    free(g->place);
}

/* --- one prefix ----------------------------------------------------------- */

static const struct graph *sorting; /* for the comparison function alone */

static uint32_t start_place(const struct epoch *e)
{
    return e->from_start || e->begin == e->mid
               ? 0
               : sorting->place[d.log[e->begin]] + 1;
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
        at = all->place[d.log[e->begin]] == 0 ? all->count
                                              : all->place[d.log[e->begin]] - 1;
    if (at == all->count && at > 0)
        all->fresh[at] = true;
    for (size_t i = 0; i < n; i++, at++) {
        uint32_t m = d.log[e->begin + i];
        if (at == all->count) {
            all->messages[all->count++] = m;
            all->place[m] = (uint32_t)all->count;
        } else if (all->messages[at] != m) {
            wrong("%s: in ring %" PRIu64 ", message %zu here is %s, elsewhere "
                  "it is %s",
                  file_of(e), d.views[e->regular].seq, i + 1, message_name(m),
                  message_name(all->messages[at]));
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
    *first = e->from_start ? 0 : all->place[d.log[e->begin]] - 1;
    *end = *first + (e->mid - e->begin);
    return true;
}

/* In a regular configuration nothing is left out, so causality is a matter of
 * order there. In the transitional one, what came before a message's cause, and
 * the cause, must not be what was left out. Marks what `e` delivers there. */
static void check_causality(struct merged *all, const struct epoch *e)
{
    uint32_t mark = (uint32_t)(e - d.epochs) + 1;
    size_t first, at;
    bool known = extent(all, e, &first, &at);
    for (size_t i = e->mid; i < e->end; i++) {
        uint32_t m = d.log[i], cause = d.causes[m];
        while (known && at < all->count && !all->fresh[at] &&
               all->taken[all->messages[at]] == mark)
            at++;
        if (known && cause != 0 && all->place[cause - 1] > at &&
            !all->fresh[at])
            wrong("%s: in the transitional configuration after ring %" PRIu64
                  ", message %s without %s, though its sender had been "
                  "delivered all up to %s",
                  file_of(e), d.views[e->regular].seq, message_name(m),
                  message_name(all->messages[at]), message_name(cause - 1));
        all->taken[m] = mark;
    }
}

/* Was `m` among what `e` delivered? Holds until the next epoch is marked. */
static bool delivered(const struct merged *all, const struct epoch *e,
                      uint32_t m)
{
    size_t first, end, place = all->place[m];
    return all->taken[m] == (uint32_t)(e - d.epochs) + 1 ||
           (extent(all, e, &first, &end) && place > first && place <= end);
}

static void not_safe(const struct epoch *e, uint32_t m, const char *where)
{
    wrong("%s: went on from ring %" PRIu64 " without the safe message %s, "
          "which others delivered in %s",
          file_of(e), d.views[e->regular].seq, message_name(m), where);
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
    const struct view *v = &d.views[other->transitional];
    if (!node_in(d.sections[e->section].node, v->members, v->member_count))
        return;
    for (size_t i = other->mid; i < other->end; i++)
        if (is_safe(d.log[i]) && !delivered(all, e, d.log[i])) {
            not_safe(e, d.log[i], "the transitional configuration they shared");
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
    for (size_t i = 0; i < d.epoch_count; i++) {
        const struct epoch *e = &d.epochs[i];
        uint32_t node = d.sections[e->section].node;
        for (size_t v = 0; v < d.view_count && e->next != NONE; v++) {
            const struct view *ring = &d.views[v];
            if (all->safe[v] != 0 && ring->seq > d.views[e->regular].seq &&
                ring->seq < d.views[e->next].seq &&
                node_in(node, ring->members, ring->member_count))
                wrong("%s: never was in ring %" PRIu64
                      ", where others delivered the safe message %s",
                      file_of(e), ring->seq, message_name(all->safe[v] - 1));
        }
    }
}

static void check_prefixes(const struct graph *g)
{
    const struct epoch **order = zeroed(d.epoch_count, sizeof *order);
    struct merged all = {.messages = zeroed(d.log_count, sizeof(uint32_t)),
                         .place = zeroed(d.message_count, sizeof(uint32_t)),
                         .taken = zeroed(d.message_count, sizeof(uint32_t)),
                         .safe = zeroed(d.view_count, sizeof(uint32_t)),
                         .fresh = zeroed(d.log_count, sizeof(bool))};
    for (size_t i = 0; i < d.epoch_count; i++)
        order[i] = &d.epochs[i];
    sorting = g;
    qsort(order, d.epoch_count, sizeof(struct epoch *), by_ring);
    for (size_t i = 0, end; i < d.epoch_count; i = end) {
        for (end = i;
             end < d.epoch_count && order[end]->regular == order[i]->regular;
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
    return memcmp(&d.log[a_end - n], &d.log[b_end - n], n * sizeof *d.log) == 0;
}

static void check_pair(const struct epoch *a, const struct epoch *b)
{
    size_t a_regular = a->mid - a->begin, b_regular = b->mid - b->begin;
    size_t n = a_regular < b_regular ? a_regular : b_regular;
    size_t in_a = a->end - a->mid, in_b = b->end - b->mid;
    const char *what = NULL;
    if (d.log_count == 0)
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
              d.views[a->regular].seq, d.views[a->next].seq, what);
}

static void check_atomicity(void)
{
    const struct epoch **order = zeroed(d.epoch_count, sizeof *order);
    size_t count = 0, lead = 0;
    for (size_t i = 0; i < d.epoch_count; i++)
        if (d.epochs[i].next != NONE && d.epochs[i].transitional != NONE)
            order[count++] = &d.epochs[i];
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
    for (size_t s = 0; s < d.section_count; s++) {
        const struct section *section = &d.sections[s];
        if (s + 1 < d.section_count && section[1].file == section->file)
            continue;
        if (section->epoch_count == 0) {
            wrong("%s: no configuration at the end", section->file);
            continue;
        }
        const struct epoch *e =
            &d.epochs[section->first_epoch + section->epoch_count - 1];
        if (ring != NONE && e->regular != ring)
            wrong("%s: ends in another ring than others", section->file);
        ring = e->regular;
        if (d.views[ring].member_count != want)
            wrong("%s: ends in a ring of %" PRIu32 " members, not %" PRIu32,
                  section->file, d.views[ring].member_count, want);
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
    if (d.message_count < min)
        wrong("%zu messages, at least %zu were expected", d.message_count, min);
    printf("%d traces, %zu connections, %zu configurations, %zu messages "
           "(%zu safe, %zu with causes), %zu deliveries: %" PRIu64 " errors\n",
           argc - optind, d.section_count, d.view_count, d.message_count,
           d.safe_count, d.cause_count, d.log_count, errors);
    graph_free(&g);
    return errors == 0 ? 0 : 1;
}
