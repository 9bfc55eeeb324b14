/* SPDX-License-Identifier: BSD-3-Clause */
/* corosync/evs.h - extended virtual synchrony: groups, ordered multicast,
 * membership. Library: libevs (link with -levs). The interface is that of
 * corosync 1.x. These comments settle what that interface leaves open.
 *
 * A program initializes a handle, joins groups, sends, and dispatches
 * callbacks. On every node, every handle that has joined a group gets all
 * messages to that group, its own included. All handles get them in one order,
 * with the changes of configuration at the same places in that order.
 *
 * Threads: any number of threads may call the functions with the same handle at
 * the same time. Callbacks of a handle never overlap: one thread runs them, and
 * other threads that dispatch wait. A callback may call any function, also
 * evs_finalize() and evs_dispatch() with its own handle. After fork() the
 * handles do not work in the child (CS_ERR_BAD_HANDLE), which may initialize
 * its own.
 *
 * Every function may return these errors:
 * CS_ERR_BAD_HANDLE: the handle does not exist, or has been finalized.
 * CS_ERR_LIBRARY: the daemon is gone, or has disconnected this program because
 * the program did not dispatch. Finalize the handle, and initialize a new
 * one. */
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

/* All 32 bytes are compared, so fill the unused ones with zero. */
struct evs_group {
    char key[32];
};

struct evs_ring_id {
    unsigned int nodeid; /* of the ring's representative */
    unsigned long long seq;
};

/* Gets a message of msg_len bytes from `nodeid` to a group that this handle has
 * joined. `msg` is valid until the callback returns. */
typedef void (*evs_deliver_fn_t)(hdb_handle_t handle, unsigned int nodeid,
                                 const void *msg, size_t msg_len);

/* Gets a configuration, which is transitional or regular. In a transitional one
 * nobody has joined, and the left list has the nodes that were lost. The lists
 * ascend by node id. ring_id names the ring; corosync 1.x gives NULL. The lists
 * and ring_id are valid until the callback returns. The first callback of a
 * handle tells the configuration in which the handle began. */
typedef void (*evs_confchg_fn_t)(
    hdb_handle_t handle, const unsigned int *member_list,
    size_t member_list_entries, const unsigned int *left_list,
    size_t left_list_entries, const unsigned int *joined_list,
    size_t joined_list_entries, const struct evs_ring_id *ring_id);

/* Either may be NULL: the program does not want that kind of callback. */
typedef struct {
    evs_deliver_fn_t evs_deliver_fn;
    evs_confchg_fn_t evs_confchg_fn;
} evs_callbacks_t;

/* Connects to the daemon of this node. *handle is set on CS_OK; `callbacks` is
 * copied, and may be NULL. The daemon is found in the directory named by the
 * environment variable OPENAIS_RUNDIR (ignored in setuid programs), else in
 * /run/openais.
 * CS_ERR_INVALID_PARAM: handle is NULL.
 * CS_ERR_TRY_AGAIN: no daemon is running.
 * CS_ERR_ACCESS: the user is neither uid 0 nor in the group ais.
 * CS_ERR_NO_MEMORY: there is no memory.
 * CS_ERR_NO_RESOURCES: there are no descriptors; the daemon has reached its
 * limit of clients; this program has 8192 handles.
 * CS_ERR_VERSION: the daemon is of another version. */
cs_error_t evs_initialize(evs_handle_t *handle, evs_callbacks_t *callbacks);

/* Does the same, and asks for sizes of the memory that is shared with the
 * daemon: submit_bytes for what waits to be sent, event_bytes for what waits to
 * be dispatched; 0 asks for the daemon's default. The daemon gives the next
 * power of two. It gives at most its own settings (submit_ring and event_ring
 * in its config file), and at least 64 KiB and what its largest message needs.
 * A small submit ring lowers the limit of messages sent. corosync does not have
 * this function. */
cs_error_t evs_initialize_rings(evs_handle_t *handle,
                                evs_callbacks_t *callbacks, size_t submit_bytes,
                                size_t event_bytes);

/* Leaves all groups and disconnects. A dispatch that waits in another thread
 * returns CS_OK. The function does not wait for a callback that is running in
 * another thread; that callback is the last one. Messages for which a send has
 * returned CS_OK are still sent. */
cs_error_t evs_finalize(evs_handle_t handle);

/* Gives a descriptor for poll(2) and its like. It is readable when a callback
 * is pending or the daemon is gone. It belongs to the library: do not read,
 * write or close it. CS_ERR_INVALID_PARAM: fd is NULL. */
cs_error_t evs_fd_get(evs_handle_t handle, int *fd);

/* Get and set a pointer of the program's own, which is NULL at first.
 * CS_ERR_INVALID_PARAM: the context of evs_context_get() is NULL. */
cs_error_t evs_context_get(evs_handle_t handle, void **context);
cs_error_t evs_context_set(evs_handle_t handle, void *context);

/* Runs callbacks in the calling thread. CS_DISPATCH_ONE waits for one.
 * CS_DISPATCH_ALL runs the pending ones and does not wait. CS_DISPATCH_BLOCKING
 * goes on until the handle is finalized. CS_DISPATCH_ONE_NONBLOCKING runs one
 * if one is pending, else it returns CS_ERR_TRY_AGAIN. If the daemon is gone,
 * the pending callbacks still run before CS_ERR_LIBRARY is returned.
 * CS_ERR_INVALID_PARAM: the flag is unknown. */
cs_error_t evs_dispatch(evs_handle_t handle, cs_dispatch_flags_t dispatch);

/* Joins all of the `group_entries` groups, or on an error none. A group that
 * the handle has joined already counts once. Nobody else is told. The handle
 * receives the messages that are delivered after the return.
 * CS_ERR_INVALID_PARAM: groups is NULL and group_entries is not 0.
 * CS_ERR_TOO_MANY_GROUPS: there are over 50 groups in the call, or over 255 on
 * the handle.
 * CS_ERR_NO_RESOURCES: the daemon's table is full. */
cs_error_t evs_join(evs_handle_t handle, const struct evs_group *groups,
                    size_t group_entries);

/* Leaves groups in the order given. At the first group that is not joined it
 * stops and returns CS_ERR_NOT_EXIST; it has left the groups before that one.
 * The other errors are those of evs_join(). */
cs_error_t evs_leave(evs_handle_t handle, const struct evs_group *groups,
                     size_t group_entries);

/* Sends the bytes of iovec[0 .. iov_len - 1] as one message to all groups that
 * this handle has joined. If it has joined none, the result is CS_OK, and
 * nobody gets the message. The bytes are copied before the return.
 * CS_ERR_TRY_AGAIN: the queue is full, and nothing was sent; see
 * evs_send_timeout_set() and evs_room_fd_get(). While the program leaves more
 * events undispatched than its event ring holds, the queue may stay full
 * (slow_reader in the daemon's config file).
 * CS_ERR_TOO_BIG: the message is over the daemon's limit (about 1 MiB).
 * CS_ERR_INVALID_PARAM: the guarantee is unknown; iovec is NULL and iov_len is
 * not 0; iov_len is over 62. */
cs_error_t evs_mcast_joined(evs_handle_t handle, evs_guarantee_t guarantee,
                            const struct iovec *iovec, unsigned int iov_len);

/* Sends to the groups that are named, whether the handle has joined them or
 * not. CS_ERR_TOO_MANY_GROUPS: there are over 255 groups. CS_ERR_INVALID_PARAM
 * is returned also if groups is NULL and group_entries is not 0. The other
 * errors are those of evs_mcast_joined(). */
cs_error_t evs_mcast_groups(evs_handle_t handle, evs_guarantee_t guarantee,
                            const struct evs_group *groups,
                            size_t group_entries, const struct iovec *iovec,
                            unsigned int iov_len);

/* Sets how long a send may wait for room in the queue, in nanoseconds, for all
 * sends of the handle from now on. With 0, the default, a send does not wait
 * and returns CS_ERR_TRY_AGAIN. With a negative value it waits for ever.
 * Otherwise it returns CS_ERR_TIMEOUT when the time is over, and has sent
 * nothing. A wait ends at once with CS_ERR_LIBRARY if the daemon ends, and with
 * CS_ERR_BAD_HANDLE if the handle is finalized. A program that waits in the
 * thread that should dispatch may wait for itself. corosync does not have this
 * function. */
cs_error_t evs_send_timeout_set(evs_handle_t handle, int64_t timeout_ns);

/* *bytes becomes the size of the largest message to the joined groups that
 * could be sent now without waiting. Other threads of the program may use this
 * room. corosync does not have this function. CS_ERR_INVALID_PARAM: bytes is
 * NULL. */
cs_error_t evs_room_get(evs_handle_t handle, size_t *bytes);

/* Gives a descriptor for poll(2) and its like. After a send has returned
 * CS_ERR_TRY_AGAIN, the descriptor becomes readable when there is room again.
 * The room may be too small for a large message; then the next CS_ERR_TRY_AGAIN
 * asks for more. Only sends after this call count. The descriptor belongs to
 * the library: do not read, write or close it. corosync does not have this
 * function. CS_ERR_INVALID_PARAM: fd is NULL. */
cs_error_t evs_room_fd_get(evs_handle_t handle, int *fd);

/* Gives the nodes of the current regular configuration, ascending, and the
 * local node. Set *member_list_entries to the number of entries in member_list;
 * it becomes the number that were written, or, if member_list is NULL, the
 * lesser of the number given and the number of members. local_nodeid and
 * member_list may be NULL. CS_ERR_INVALID_PARAM: member_list_entries is NULL.
 */
cs_error_t evs_membership_get(evs_handle_t handle, unsigned int *local_nodeid,
                              unsigned int *member_list,
                              size_t *member_list_entries);

struct evs_group_info {
    struct evs_group group;
    unsigned int handles; /* of programs on this node that have joined it */
};

/* Gives the groups that programs on this node have joined, in no order. Set
 * *entries to the number of entries in `list`; it becomes the number that were
 * written, or, if list is NULL, the lesser of the number given and the number
 * of groups. A group that is joined or left during the call may be in the list
 * or not. corosync does not have this function. CS_ERR_INVALID_PARAM: entries
 * is NULL. */
cs_error_t evs_group_list_get(evs_handle_t handle, struct evs_group_info *list,
                              size_t *entries);

#ifdef __cplusplus
}
#endif

#endif
