/* SPDX-License-Identifier: BSD-3-Clause */
/* openais/old_evs.h - what the two older forms of evs.h have in common. Not to
 * be included by programs.
 *
 * The older forms have the same function names with other types, so the names
 * of corosync/evs.h are kept, and macros lead the older names to thin inline
 * functions. A program includes one form per source file. */
#ifndef OPENAIS_OLD_EVS_H
#define OPENAIS_OLD_EVS_H

#include <corosync/evs.h>

#include <pthread.h>
#include <stdlib.h>

typedef enum {
    EVS_OK = 1,
    EVS_ERR_LIBRARY = 2,
    EVS_ERR_TIMEOUT = 5,
    EVS_ERR_TRY_AGAIN = 6,
    EVS_ERR_INVALID_PARAM = 7,
    EVS_ERR_NO_MEMORY = 8,
    EVS_ERR_BAD_HANDLE = 9,
    EVS_ERR_ACCESS = 11,
    EVS_ERR_NOT_EXIST = 12,
    EVS_ERR_EXIST = 14,
    EVS_ERR_NOT_SUPPORTED = 20,
    EVS_ERR_SECURITY = 29,
    EVS_ERR_TOO_MANY_GROUPS = 30
} evs_error_t;

typedef enum {
    EVS_DISPATCH_ONE,     /* waits for one callback */
    EVS_DISPATCH_ALL,     /* those pending, if any */
    EVS_DISPATCH_BLOCKING /* until the handle is finalized */
} evs_dispatch_t;

/* Codes without an older name keep their value. */
static inline evs_error_t evs_old_error(cs_error_t e)
{
    if (e == CS_ERR_NOT_SUPPORTED)
        return EVS_ERR_NOT_SUPPORTED;
    if (e == CS_ERR_SECURITY)
        return EVS_ERR_SECURITY;
    return (evs_error_t)e;
}

/* Refused at the door was SECURITY. */
static inline evs_error_t evs_old_initialize_error(cs_error_t e)
{
    return e == CS_ERR_ACCESS ? EVS_ERR_SECURITY : evs_old_error(e);
}

/* The older callbacks are not told their handle; ours find them through its
 * context. A callback copies them under this lock, so that a finalize in
 * another thread can free them. One lock for the program, whatever its source
 * files include. */
__attribute__((weak)) pthread_mutex_t evs_old_lock = PTHREAD_MUTEX_INITIALIZER;

/* Copies `size` bytes of what was given at initialize: 1, or 0 if the handle
 * is finalized. */
static inline int evs_old_context(evs_handle_t handle, void *copy, size_t size)
{
    void *context = NULL;
    int found;

    pthread_mutex_lock(&evs_old_lock);
    found = evs_context_get(handle, &context) == CS_OK && context != NULL;
    if (found)
        __builtin_memcpy(copy, context, size);
    pthread_mutex_unlock(&evs_old_lock);
    return found;
}

/* Initializes with trampolines; keeps a copy of the older callbacks. */
static inline evs_error_t evs_old_open(evs_handle_t *handle,
                                       evs_callbacks_t *trampolines,
                                       const void *callbacks, size_t size)
{
    void *copy = NULL;
    cs_error_t e;

    if (callbacks != NULL) {
        copy = malloc(size);
        if (copy == NULL)
            return EVS_ERR_NO_MEMORY;
        __builtin_memcpy(copy, callbacks, size);
    }
    e = evs_initialize(handle, callbacks == NULL ? NULL : trampolines);
    if (e == CS_OK)
        e = evs_context_set(*handle, copy);
    else
        free(copy);
    return evs_old_initialize_error(e);
}

static inline evs_error_t evs_old_close(evs_handle_t handle)
{
    void *context = NULL;
    cs_error_t e;

    pthread_mutex_lock(&evs_old_lock);
    evs_context_get(handle, &context);
    e = evs_finalize(handle);
    if (e == CS_OK)
        free(context);
    pthread_mutex_unlock(&evs_old_lock);
    return evs_old_error(e);
}

static inline evs_error_t evs_old_dispatch(evs_handle_t handle,
                                           evs_dispatch_t dispatch)
{
    switch (dispatch) {
    case EVS_DISPATCH_ONE:
        return evs_old_error(evs_dispatch(handle, CS_DISPATCH_ONE));
    case EVS_DISPATCH_ALL:
        return evs_old_error(evs_dispatch(handle, CS_DISPATCH_ALL));
    case EVS_DISPATCH_BLOCKING:
        return evs_old_error(evs_dispatch(handle, CS_DISPATCH_BLOCKING));
    }
    return EVS_ERR_INVALID_PARAM;
}

static inline evs_error_t evs_old_fd_get(evs_handle_t handle, int *fd)
{
    return evs_old_error(evs_fd_get(handle, fd));
}

/* A negative count is no count. */
static inline evs_error_t
evs_old_join(evs_handle_t handle, const struct evs_group *groups, int count)
{
    if (count < 0)
        return EVS_ERR_INVALID_PARAM;
    return evs_old_error(evs_join(handle, groups, (size_t)count));
}

static inline evs_error_t
evs_old_leave(evs_handle_t handle, const struct evs_group *groups, int count)
{
    if (count < 0)
        return EVS_ERR_INVALID_PARAM;
    return evs_old_error(evs_leave(handle, groups, (size_t)count));
}

static inline evs_error_t evs_old_mcast_joined(evs_handle_t handle,
                                               evs_guarantee_t guarantee,
                                               const struct iovec *iovec,
                                               int iov_len)
{
    if (iov_len < 0)
        return EVS_ERR_INVALID_PARAM;
    return evs_old_error(
        evs_mcast_joined(handle, guarantee, iovec, (unsigned int)iov_len));
}

static inline evs_error_t
evs_old_mcast_groups(evs_handle_t handle, evs_guarantee_t guarantee,
                     const struct evs_group *groups, int group_entries,
                     const struct iovec *iovec, int iov_len)
{
    if (group_entries < 0 || iov_len < 0)
        return EVS_ERR_INVALID_PARAM;
    return evs_old_error(evs_mcast_groups(handle, guarantee, groups,
                                          (size_t)group_entries, iovec,
                                          (unsigned int)iov_len));
}

/* Node ids and IPv4 addresses (struct in_addr) have the same four bytes. */
static inline evs_error_t evs_old_membership_get(evs_handle_t handle,
                                                 void *local, void *list,
                                                 int *entries)
{
    unsigned int own = 0;
    size_t count;
    cs_error_t e;

    if (entries == NULL || *entries < 0)
        return EVS_ERR_INVALID_PARAM;
    count = (size_t)*entries;
    e = evs_membership_get(handle, &own, (unsigned int *)list, &count);
    if (e != CS_OK)
        return evs_old_error(e);
    *entries = (int)count;
    if (local != NULL)
        __builtin_memcpy(local, &own, sizeof own);
    return EVS_OK;
}

/* From here on the names mean the older form's. */
#define evs_deliver_fn_t evs_old_deliver_fn_t
#define evs_confchg_fn_t evs_old_confchg_fn_t
#define evs_initialize evs_old_initialize
#define evs_finalize evs_old_close
#define evs_fd_get evs_old_fd_get
#define evs_dispatch evs_old_dispatch
#define evs_join evs_old_join
#define evs_leave evs_old_leave
#define evs_mcast_joined evs_old_mcast_joined
#define evs_mcast_groups evs_old_mcast_groups
#define evs_membership_get evs_old_membership_get

#endif
