/* SPDX-License-Identifier: BSD-3-Clause */
/* evstrace.h - what evscheck writes down and evscompare reads.
 *
 * A trace is a header and records of 16 bytes, in the byte order of the machine
 * (traces are compared where they were made). One file holds one client; each
 * of its connections to a daemon is a section. A file may end anywhere: its
 * client may have been killed. */
#ifndef TEST_EVSTRACE_H
#define TEST_EVSTRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC "EVSTRACE"

enum { TRACE_VERSION = 2 };

struct trace_header {
    char magic[8];
    uint32_t version, record_size;
};

enum trace_kind {
    TRACE_SECTION = 1,   /* low: own node, value: own incarnation; the first
                            configuration is that in which it joined */
    TRACE_SENDER,        /* index: its number from here on in this file;
                            low: node, value: incarnation */
    TRACE_MESSAGE,       /* index: sender's number, low: checksum, value: seq */
    TRACE_CONFIGURATION, /* index: member count, low: ring's representative,
                            value: ring's sequence; then a TIME, MEMBERs */
    TRACE_TRANSITIONAL,  /* the same */
    TRACE_MEMBER,        /* low: node */
    TRACE_TIME,          /* value: CLOCK_MONOTONIC, ns */
    TRACE_END,     /* the section ended; index: 1 if the daemon was lost */
    TRACE_SAFE,    /* a MESSAGE that was sent SAFE */
    TRACE_PRECEDED /* index: sender's number, value: so many messages had been
                      delivered to the sender, in its section, when it sent
                      its next message here; holds until the next of these,
                      and is 0 before the first */
};

struct trace_record {
    uint32_t kind_index; /* kind << 24 | index */
    uint32_t low;
    uint64_t value;
};

static inline struct trace_record
trace_record(enum trace_kind kind, uint32_t index, uint32_t low, uint64_t value)
{
    return (struct trace_record){(uint32_t)kind << 24 | (index & 0xffffff), low,
                                 value};
}

/* --- what one receiver may see of one sender ------------------------------ */

/* A sender's messages come in order, none twice, and none is left out while
 * the sender belongs to every configuration in between. */
struct watch {
    uint32_t node;
    uint64_t incarnation;
    uint64_t last_seq;
    bool away;         /* it is not in the configuration of now */
    bool may_gap;      /* it was away since last_seq, or nothing came yet */
    uint64_t preceded; /* of its last message; see TRACE_PRECEDED */
};

static inline struct watch watch_new(uint32_t node, uint64_t incarnation)
{
    return (struct watch){
        .node = node, .incarnation = incarnation, .may_gap = true};
}

enum watch_result { WATCH_OK, WATCH_GAP, WATCH_REPEAT };

static inline enum watch_result watch_message(struct watch *w, uint64_t seq)
{
    enum watch_result result = WATCH_OK;
    if (seq <= w->last_seq)
        return WATCH_REPEAT;
    if (seq != w->last_seq + 1 && !w->may_gap)
        result = WATCH_GAP;
    w->last_seq = seq;
    /* In a transitional configuration some messages of one that is not in it
     * may come still, but not all need to. */
    w->may_gap = w->away;
    return result;
}

static inline bool node_in(uint32_t node, const uint32_t *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (nodes[i] == node)
            return true;
    return false;
}

static inline void watch_configuration(struct watch *w, size_t watch_count,
                                       const uint32_t *members, size_t count)
{
    for (size_t i = 0; i < watch_count; i++) {
        w[i].away = !node_in(w[i].node, members, count);
        w[i].may_gap = w[i].may_gap || w[i].away;
    }
}

#endif
