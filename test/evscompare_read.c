/* SPDX-License-Identifier: BSD-3-Clause */
/* evscompare_read.c - traces read into one log of numbered messages, with all
 * configurations and causes. What is wrong within one trace is found here. */
#include "test/evscompare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- messages, senders, views: one number each ---------------------------- */

static uint32_t sender_number(uint32_t node, uint64_t incarnation)
{
    for (uint32_t i = traces.sender_count; i-- > 0;)
        if (traces.senders[i].node == node &&
            traces.senders[i].incarnation == incarnation)
            return i;
    size_t size = traces.sender_size;
    traces.senders = grow(traces.senders, traces.sender_count, &size,
                          sizeof *traces.senders);
    traces.sender_size = (uint32_t)size;
    traces.senders[traces.sender_count] = watch_new(node, incarnation);
    return traces.sender_count++;
}

static size_t slot_of(uint64_t key)
{
    size_t i = (key * 0x9e3779b97f4a7c15 >> 20) & (traces.slot_count - 1);
    while (traces.slots[i] != 0 && traces.keys[traces.slots[i] - 1] != key)
        i = (i + 1) & (traces.slot_count - 1);
    return i;
}

static void slots_grow(void)
{
    free(traces.slots);
    traces.slot_count = traces.slot_count == 0 ? 4096 : traces.slot_count * 2;
    traces.slots = zeroed(traces.slot_count, sizeof *traces.slots);
    for (uint32_t m = 0; m < traces.message_count; m++)
        traces.slots[slot_of(traces.keys[m])] = m + 1;
}

static uint32_t message_add(uint64_t key, uint32_t sum, uint32_t preceded)
{
    size_t size = traces.message_size, same = size;
    traces.keys =
        grow(traces.keys, traces.message_count, &size, sizeof *traces.keys);
    traces.causes =
        grow(traces.causes, traces.message_count, &same, sizeof *traces.causes);
    traces.sums = grow(traces.sums, traces.message_count, &traces.message_size,
                       sizeof *traces.sums);
    traces.keys[traces.message_count] = key;
    traces.sums[traces.message_count] = sum;
    traces.causes[traces.message_count] = preceded;
    traces.safe_count += (sum & SAFE_FLAG) != 0;
    return (uint32_t)traces.message_count++;
}

static uint32_t message_number(uint32_t sender, uint64_t seq, uint32_t sum,
                               uint32_t preceded, const char *file)
{
    uint64_t key = (uint64_t)sender << 40 | seq;
    if (traces.message_count * 2 >= traces.slot_count)
        slots_grow();
    size_t slot = slot_of(key);
    if (traces.slots[slot] != 0) {
        uint32_t m = traces.slots[slot] - 1;
        if (traces.sums[m] != sum || traces.causes[m] != preceded)
            wrong("%s: message %s has another content than elsewhere", file,
                  message_name(m));
        return m;
    }
    traces.slots[slot] = message_add(key, sum, preceded) + 1;
    return traces.slots[slot] - 1;
}

static bool same_members(const struct view *a, const struct view *b)
{
    return a->member_count == b->member_count &&
           memcmp(a->members, b->members,
                  a->member_count * sizeof *a->members) == 0;
}

/* The number of a view with that identity and members. */
static int view_number(const struct view *v)
{
    for (size_t i = traces.view_count; i-- > 0;)
        if (same_ring(&traces.views[i], v) && same_members(&traces.views[i], v))
            return (int)i;
    traces.views = grow(traces.views, traces.view_count, &traces.view_size,
                        sizeof *traces.views);
    traces.views[traces.view_count] = *v;
    return (int)traces.view_count++;
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
};

static bool next_record(struct file *f, struct trace_record *r)
{
    return fread(r, sizeof *r, 1, f->stream) == 1;
}

static void epoch_close(struct file *f, int next)
{
    if (!f->in_section || f->open.regular == NONE)
        return;
    f->open.end = traces.log_count;
    if (f->open.transitional == NONE)
        f->open.mid = traces.log_count;
    f->open.next = next;
    traces.epochs = grow(traces.epochs, traces.epoch_count, &traces.epoch_size,
                         sizeof *traces.epochs);
    traces.epochs[traces.epoch_count++] = f->open;
    traces.sections[traces.section_count - 1].epoch_count++;
}

static void section_close(struct file *f, bool ended)
{
    epoch_close(f, NONE);
    if (f->in_section) {
        struct section *s = &traces.sections[traces.section_count - 1];
        s->count = traces.log_count - s->first;
        s->ended = ended;
    }
    f->in_section = false;
}

static void section_open(struct file *f, const struct trace_record *r)
{
    section_close(f, false);
    traces.sections = grow(traces.sections, traces.section_count,
                           &traces.section_size, sizeof *traces.sections);
    traces.sections[traces.section_count++] =
        (struct section){.file = f->name,
                         .node = r->low,
                         .sender = sender_number(r->low, r->value),
                         .first_epoch = traces.epoch_count,
                         .first = traces.log_count};
    f->open = (struct epoch){.section = (uint32_t)traces.section_count - 1,
                             .regular = NONE,
                             .transitional = NONE,
                             .next = NONE};
    f->in_section = true;
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
    if (!within(v, &traces.views[f->open.regular]))
        wrong("%s: a transitional configuration with new members", f->name);
    f->open.mid = traces.log_count;
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
        else if (!within(&traces.views[f->open.transitional], v))
            wrong("%s: ring %" PRIu64 " lacks members of the transitional "
                  "configuration before it",
                  f->name, v->seq);
        if (traces.views[f->open.regular].seq >= v->seq)
            wrong("%s: ring %" PRIu64 " after ring %" PRIu64, f->name, v->seq,
                  traces.views[f->open.regular].seq);
    }
    epoch_close(f, number);
    f->open.from_start = !first;
    f->open.regular = number;
    f->open.transitional = NONE;
    f->open.begin = traces.log_count;
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
            &traces.views[f->open.transitional != NONE ? f->open.transitional
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
        traces.sections[traces.section_count - 1].incomplete = true;
        return; /* not in the log: it would only cause further errors */
    }
    if (result == WATCH_GAP)
        wrong("%s: gap of %" PRIu64 " before message %s", f->name,
              r->value - last - 1, message_name(m));
    traces.log = grow(traces.log, traces.log_count, &traces.log_size,
                      sizeof *traces.log);
    traces.log[traces.log_count++] = m;
}

static void take_records(struct file *f)
{
    struct trace_record r;
    while (next_record(f, &r)) {
        switch ((enum trace_kind)(r.kind_index >> 24)) {
        case TRACE_SECTION:
            section_open(f, &r);
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

void read_file(const char *name)
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
void find_causes(void)
{
    const struct section **of = zeroed(traces.sender_count, sizeof *of);
    for (size_t i = 0; i < traces.section_count; i++)
        of[traces.sections[i].sender] = &traces.sections[i];
    for (uint32_t m = 0; m < traces.message_count; m++) {
        const struct section *s = of[traces.keys[m] >> 40];
        uint32_t n = traces.causes[m];
        traces.causes[m] = 0;
        if (n == 0 || s == NULL || s->incomplete)
            continue;
        if (n <= s->count) {
            traces.causes[m] = traces.log[s->first + n - 1] + 1;
            traces.cause_count++;
        } else if (s->ended) {
            wrong("%s: message %s was sent after %" PRIu32
                  " deliveries, but there are only %zu",
                  s->file, message_name(m), n, s->count);
        }
    }
    free(of);
}
