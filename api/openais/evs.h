/* SPDX-License-Identifier: BSD-3-Clause */
/* openais/evs.h - EVS in the form of openais 0.80, over corosync/evs.h (see
 * there for what the functions do): nodes are numbers, results evs_error_t,
 * callbacks are not told their handle, counts are int. Link with -levs
 * -lpthread. */
#ifndef OPENAIS_EVS_H
#define OPENAIS_EVS_H

#include <openais/old_evs.h>

struct evs_address {
    unsigned int nodeid;
    unsigned short family;
    unsigned char addr[sizeof(struct in6_addr)];
};

typedef void (*evs_deliver_fn_t)(unsigned int nodeid, void *msg, int msg_len);

typedef void (*evs_confchg_fn_t)(unsigned int *member_list,
                                 int member_list_entries,
                                 unsigned int *left_list, int left_list_entries,
                                 unsigned int *joined_list,
                                 int joined_list_entries);

typedef struct {
    evs_deliver_fn_t evs_deliver_fn;
    evs_confchg_fn_t evs_confchg_fn;
} evs_old_callbacks_t;

static inline void evs_old_delivered(hdb_handle_t handle, unsigned int nodeid,
                                     const void *msg, size_t msg_len)
{
    evs_old_callbacks_t c;

    if (evs_old_context(handle, &c, sizeof c) && c.evs_deliver_fn != NULL)
        c.evs_deliver_fn(nodeid, (void *)(size_t)msg, (int)msg_len);
}

static inline void
evs_old_changed(hdb_handle_t handle, const unsigned int *members,
                size_t member_count, const unsigned int *left,
                size_t left_count, const unsigned int *joined,
                size_t joined_count, const struct evs_ring_id *ring_id)
{
    evs_old_callbacks_t c;

    (void)ring_id;
    if (evs_old_context(handle, &c, sizeof c) && c.evs_confchg_fn != NULL)
        c.evs_confchg_fn((unsigned int *)(size_t)members, (int)member_count,
                         (unsigned int *)(size_t)left, (int)left_count,
                         (unsigned int *)(size_t)joined, (int)joined_count);
}

static inline evs_error_t evs_old_initialize(evs_handle_t *handle,
                                             evs_old_callbacks_t *callbacks)
{
    evs_callbacks_t trampolines = {evs_old_delivered, evs_old_changed};

    return evs_old_open(handle, &trampolines, callbacks, sizeof *callbacks);
}

#define evs_callbacks_t evs_old_callbacks_t

#endif
