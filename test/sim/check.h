/* SPDX-License-Identifier: BSD-3-Clause */
/* check.h - a trace of what every process did, and the properties of extended
 * virtual synchrony checked over it.
 *
 * A process is one life of a node. The recorder (the simulator, or a test with
 * a made-up story) calls the functions below in the order things happened. What
 * can be seen wrong at once is found at once; trace_check() finds the rest. The
 * first violation is kept, as text beginning with the property's name.
 *
 * Source of the properties: Moser, Amir, Melliar-Smith, Agarwal, "Extended
 * virtual synchrony" (1994). */
#ifndef TEST_SIM_CHECK_H
#define TEST_SIM_CHECK_H

#include "daemon/totem/totem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define TRACE_NONE UINT32_MAX

enum trace_end {
    TRACE_ALIVE,   /* to the end of the trace */
    TRACE_CRASHED, /* failed */
    TRACE_LEFT     /* stopped gracefully: owes as little as a failed one */
};

struct trace;

/* Aborts when memory is short, as everything here does. */
struct trace *trace_new(void);
void trace_free(struct trace *t);

/* A process begins: gives its number. */
uint32_t trace_start(struct trace *t, uint32_t node_id, uint64_t incarnation);
void trace_stop(struct trace *t, uint32_t process, enum trace_end how);

void trace_configuration(struct trace *t, uint32_t process,
                         const struct totem_configuration *c);

/* The process begins to send: gives the message's number. */
uint32_t trace_send(struct trace *t, uint32_t process, uint32_t size_bytes,
                    bool safe);
/* A message begun before goes on; if the configuration changed since, it is now
 * sent in the new one. */
void trace_send_more(struct trace *t, uint32_t message);
/* All of it has been handed over: from now on it is owed. */
void trace_sent(struct trace *t, uint32_t message);
/* It will never be completed: nobody may deliver it. */
void trace_abandon(struct trace *t, uint32_t message);

struct trace_delivery {
    uint32_t sender; /* node id */
    uint64_t seq;
    uint32_t message;
    uint32_t size_bytes;
    bool safe;
};
void trace_deliver(struct trace *t, uint32_t process,
                   const struct trace_delivery *d);

/* Checks what needs the whole trace. Once, at its end. */
void trace_check(struct trace *t);

/* NULL, or the first violation. */
const char *trace_violation(const struct trace *t);

/* For a recorder that saw something wrong itself. */
void trace_fail(struct trace *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

uint64_t trace_deliveries(const struct trace *t);
uint32_t trace_messages(const struct trace *t);
uint32_t trace_configurations(const struct trace *t); /* regular ones */

/* A number that differs between any two messages, for their content. */
uint64_t trace_message_key(const struct trace *t, uint32_t message);

#endif
