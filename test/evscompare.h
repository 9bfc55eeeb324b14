/* SPDX-License-Identifier: BSD-3-Clause */
/* evscompare.h - what the parts of evscompare share: the traces as they were
 * read (evscompare_read.c), the graph of one order (evscompare_order.c), and a
 * few tools (evscompare.c, where the checks are explained). */
#ifndef TEST_EVSCOMPARE_H
#define TEST_EVSCOMPARE_H

#include "test/evstrace.h"

#include <inttypes.h>

enum { NODES_MAX = 128, NONE = -1 };

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
    bool from_start;                 /* saw the configuration begin */
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

/* Everything that was read. */
extern struct traces {
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
} traces;

/* --- tools ---------------------------------------------------------------- */

/* The traces disagree: counted, and told while there are few. */
__attribute__((format(printf, 1, 2))) void wrong(const char *format, ...);

/* Room for one more than `count`; whoever gets no memory ends the program. */
void *grow(void *p, size_t count, size_t *size, size_t each);
void *zeroed(size_t count, size_t each);

/* Text in one of a few buffers, for a line with several messages. */
const char *message_name(uint32_t message);

static inline bool is_safe(uint32_t message)
{
    return (traces.sums[message] & SAFE_FLAG) != 0;
}

static inline bool same_ring(const struct view *a, const struct view *b)
{
    return a->rep == b->rep && a->seq == b->seq;
}

/* --- reading -------------------------------------------------------------- */

/* Adds the trace in that file; one that cannot be read ends the program. */
void read_file(const char *name);

/* When all is read: which message is each one's cause. */
void find_causes(void);

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

/* Gives each node its place in a common order. */
void check_order(struct graph *g);
void graph_free(struct graph *g);

#endif
