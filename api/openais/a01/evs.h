/* SPDX-License-Identifier: BSD-3-Clause */
/* openais/a01/evs.h - EVS in the form of openais of 2005, over corosync/evs.h
 * (see there for what the functions do): nodes are IPv4 addresses (the node id,
 * byte for byte: the address, unless the configuration names another), results
 * evs_error_t,
 * callbacks are not told their handle, counts are int. Link with -levs
 * -lpthread. */
#ifndef OPENAIS_A01_EVS_H
#define OPENAIS_A01_EVS_H

#include <openais/old_evs.h>

typedef void (*evs_deliver_fn_t)(struct in_addr source_addr, void *msg,
                                 int len);

typedef void (*evs_confchg_fn_t)(struct in_addr *member_list,
                                 int member_list_entries,
                                 struct in_addr *left_list,
                                 int left_list_entries,
                                 struct in_addr *joined_list,
                                 int joined_list_entries);

typedef struct {
    evs_deliver_fn_t evs_deliver_fn;
    evs_confchg_fn_t evs_confchg_fn;
} evs_old_callbacks_t;

static inline void evs_old_delivered(hdb_handle_t handle, unsigned int nodeid,
                                     const void *msg, size_t msg_len)
{
    evs_old_callbacks_t c;
    struct in_addr source;

    source.s_addr = nodeid;
    if (evs_old_context(handle, &c, sizeof c) && c.evs_deliver_fn != NULL)
        c.evs_deliver_fn(source, (void *)(size_t)msg, (int)msg_len);
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
        c.evs_confchg_fn((struct in_addr *)(size_t)members, (int)member_count,
                         (struct in_addr *)(size_t)left, (int)left_count,
                         (struct in_addr *)(size_t)joined, (int)joined_count);
}

static inline evs_error_t evs_old_initialize(evs_handle_t *handle,
                                             evs_old_callbacks_t *callbacks)
{
    evs_callbacks_t trampolines = {evs_old_delivered, evs_old_changed};

    return evs_old_open(handle, &trampolines, callbacks, sizeof *callbacks);
}

#define evs_callbacks_t evs_old_callbacks_t

#endif
