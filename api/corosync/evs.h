/* SPDX-License-Identifier: BSD-3-Clause */
/* corosync/evs.h - extended virtual synchrony: groups, ordered multicast,
 * membership. Library: libevs (link with -levs). The interface is that of
 * corosync 1.x; what it leaves open is settled here.
 *
 * A program initializes a handle, joins groups, sends, and dispatches
 * callbacks. On every node, every handle that has joined a group gets the
 * messages to it, its own included, all in one order, with the changes of
 * configuration at the same places in it.
 *
 * Threads: every function may be called with the same handle from any threads
 * at the same time. Callbacks of a handle never overlap: one thread runs them,
 * other dispatchers wait. A callback may call any function, evs_finalize() of
 * its own handle and evs_dispatch() included. After fork() the child has no
 * handles (CS_ERR_BAD_HANDLE); it may initialize its own.
 *
 * All functions: CS_ERR_BAD_HANDLE if the handle is not one, or finalized;
 * CS_ERR_LIBRARY once the daemon is gone (or has disconnected this program,
 * because it did not dispatch): then only evs_finalize() makes sense, and a new
 * evs_initialize(). */
#ifndef COROSYNC_EVS_H
#define COROSYNC_EVS_H

#include <corosync/corotypes.h>
#include <corosync/hdb.h>

#include <netinet/in.h>
#include <stddef.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t evs_handle_t;

typedef enum {
    EVS_TYPE_UNORDERED, /* served as AGREED */
    EVS_TYPE_FIFO,      /* served as AGREED */
    EVS_TYPE_AGREED,    /* one order for all receivers */
    EVS_TYPE_SAFE       /* delivered only once every member has it */
} evs_guarantee_t;

#define TOTEMIP_ADDRLEN (sizeof(struct in6_addr))

/* Compared whole: fill what is not used with zero bytes. */
struct evs_group {
    char key[32];
};

struct evs_ring_id {
    unsigned int nodeid; /* of the ring's representative */
    unsigned long long seq;
};

/* A message from `nodeid` to a group that this handle has joined. `msg` is
 * valid until the callback returns; msg_len in bytes. */
typedef void (*evs_deliver_fn_t)(hdb_handle_t handle, unsigned int nodeid,
                                 const void *msg, size_t msg_len);

/* A configuration, transitional (nobody joined; those lost in the left list)
 * or regular. Lists ascend by node id and are valid until the callback returns;
 * so is ring_id, which names the ring (corosync 1.x gives NULL). The first
 * callback of a handle tells the configuration at its beginning. */
typedef void (*evs_confchg_fn_t)(
    hdb_handle_t handle, const unsigned int *member_list,
    size_t member_list_entries, const unsigned int *left_list,
    size_t left_list_entries, const unsigned int *joined_list,
    size_t joined_list_entries, const struct evs_ring_id *ring_id);

/* NULL: that kind of callback is not wanted. */
typedef struct {
    evs_deliver_fn_t evs_deliver_fn;
    evs_confchg_fn_t evs_confchg_fn;
} evs_callbacks_t;

/* Connects to the daemon of this node. *handle is set on CS_OK; `callbacks` is
 * copied, and may be NULL. The daemon is found in the directory named by the
 * environment variable OPENAIS_RUNDIR (ignored in setuid programs), else in
 * /run/openais.
 * CS_ERR_INVALID_PARAM: handle is NULL. CS_ERR_TRY_AGAIN: no daemon is running.
 * CS_ERR_ACCESS: neither uid 0 nor in group ais. CS_ERR_NO_MEMORY.
 * CS_ERR_NO_RESOURCES: no descriptors, as many clients as the daemon's limit,
 * 4096 handles in this program. CS_ERR_VERSION: the daemon is of another
 * version. */
cs_error_t evs_initialize(evs_handle_t *handle, evs_callbacks_t *callbacks);

/* The same, with wishes for the memory shared with the daemon: room for what
 * waits to be sent, and for what waits to be dispatched, bytes; 0: the daemon's
 * default. The daemon gives the next power of two, at most its own settings
 * (submit_ring and event_ring in its config file), and at least 64 KiB and what
 * its largest message needs. A small submit ring lowers the limit of messages
 * sent. Not in corosync. */
cs_error_t evs_initialize_rings(evs_handle_t *handle,
                                evs_callbacks_t *callbacks, size_t submit_bytes,
                                size_t event_bytes);

/* Leaves all groups, disconnects. A dispatch that waits in another thread
 * returns CS_OK; a callback that runs in another thread is not waited for, and
 * is the last. What was sent with CS_OK is still sent. */
cs_error_t evs_finalize(evs_handle_t handle);

/* *fd becomes readable when a callback is pending or the daemon is gone, for
 * poll(2) and its like. It belongs to the library: do not read, write or close
 * it. CS_ERR_INVALID_PARAM: fd is NULL. */
cs_error_t evs_fd_get(evs_handle_t handle, int *fd);

/* A pointer of the program's own, NULL at first.
 * CS_ERR_INVALID_PARAM: context (of get) is NULL. */
cs_error_t evs_context_get(evs_handle_t handle, void **context);
cs_error_t evs_context_set(evs_handle_t handle, void *context);

/* Runs callbacks in the calling thread. CS_DISPATCH_ONE waits for one,
 * CS_DISPATCH_ALL runs those pending and does not wait, CS_DISPATCH_BLOCKING
 * goes on until the handle is finalized; CS_DISPATCH_ONE_NONBLOCKING runs one
 * if it is there, else CS_ERR_TRY_AGAIN. Pending callbacks come before
 * CS_ERR_LIBRARY. CS_ERR_INVALID_PARAM: another flag. */
cs_error_t evs_dispatch(evs_handle_t handle, cs_dispatch_flags_t dispatch);

/* Joins `group_entries` groups, all or none. A group joined already counts
 * once. It concerns this handle alone and is told to nobody; messages delivered
 * after the return are received.
 * CS_ERR_INVALID_PARAM: groups is NULL and group_entries is not 0.
 * CS_ERR_TOO_MANY_GROUPS: over 50 in the call or 255 on the handle.
 * CS_ERR_NO_RESOURCES: the daemon's table is full. */
cs_error_t evs_join(evs_handle_t handle, const struct evs_group *groups,
                    size_t group_entries);

/* Leaves groups, in the order given, up to the first that is not joined:
 * CS_ERR_NOT_EXIST then; those before it are left. Other errors as
 * evs_join(). */
cs_error_t evs_leave(evs_handle_t handle, const struct evs_group *groups,
                     size_t group_entries);

/* Sends the bytes of iovec[0 .. iov_len - 1] as one message to all groups this
 * handle has joined (none: CS_OK, and nobody gets it). The bytes are copied
 * before the return.
 * CS_ERR_TRY_AGAIN: the queue is full, nothing was sent; see
 * evs_send_timeout_set() and evs_room_fd_get(). It stays full for as long as
 * the program leaves so many events undispatched that the daemon has to keep
 * them (slow_reader in its config file).
 * CS_ERR_TOO_BIG: over the daemon's limit of a message (about 1 MiB).
 * CS_ERR_INVALID_PARAM: guarantee unknown; iovec NULL and iov_len not 0;
 * iov_len over 62. */
cs_error_t evs_mcast_joined(evs_handle_t handle, evs_guarantee_t guarantee,
                            const struct iovec *iovec, unsigned int iov_len);

/* The same to the groups named, 255 at most (CS_ERR_TOO_MANY_GROUPS), joined or
 * not. CS_ERR_INVALID_PARAM too: groups is NULL and group_entries is not 0. */
cs_error_t evs_mcast_groups(evs_handle_t handle, evs_guarantee_t guarantee,
                            const struct evs_group *groups,
                            size_t group_entries, const struct iovec *iovec,
                            unsigned int iov_len);

/* How long a send may wait for room in the queue, nanoseconds: 0, the default:
 * not at all, CS_ERR_TRY_AGAIN; negative: for ever; else CS_ERR_TIMEOUT when
 * the time is over, and nothing was sent. A wait ends at once with
 * CS_ERR_LIBRARY if the daemon goes, with CS_ERR_BAD_HANDLE if the handle is
 * finalized. A program that waits in the thread that should dispatch may wait
 * for itself. For all sends of the handle from now on. Not in corosync. */
cs_error_t evs_send_timeout_set(evs_handle_t handle, int64_t timeout_ns);

/* *bytes: the largest message to the joined groups that would be sent now
 * without waiting. Other threads of the program may use it up. Not in corosync.
 * CS_ERR_INVALID_PARAM: bytes is NULL. */
cs_error_t evs_room_get(evs_handle_t handle, size_t *bytes);

/* *fd becomes readable when, after a send was refused with CS_ERR_TRY_AGAIN,
 * there is room again (not always enough for a large message: then the next
 * refusal asks anew). Only refusals after this call count. For poll(2) and its
 * like; it belongs to the library: do not read, write or close it. Not in
 * corosync. CS_ERR_INVALID_PARAM: fd is NULL. */
cs_error_t evs_room_fd_get(evs_handle_t handle, int *fd);

/* The nodes of the current regular configuration, ascending, and the own node.
 * *member_list_entries: in, how many member_list holds; out, how many were
 * written, or, if member_list is NULL, min(given, members). local_nodeid and
 * member_list may be NULL. CS_ERR_INVALID_PARAM: member_list_entries is
 * NULL. */
cs_error_t evs_membership_get(evs_handle_t handle, unsigned int *local_nodeid,
                              unsigned int *member_list,
                              size_t *member_list_entries);

struct evs_group_info {
    struct evs_group group;
    unsigned int handles; /* of programs on this node that have joined it */
};

/* The groups that programs on this node have joined, in no order. *entries: in,
 * how many `list` holds; out, how many were written, or, if list is NULL,
 * min(given, groups). Groups joined or left during the call may be missing or
 * there. Not in corosync. CS_ERR_INVALID_PARAM: entries is NULL. */
cs_error_t evs_group_list_get(evs_handle_t handle, struct evs_group_info *list,
                              size_t *entries);

#ifdef __cplusplus
}
#endif

#endif
