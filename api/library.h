/* SPDX-License-Identifier: BSD-3-Clause */
/* library.h - what every client library does in the same way: making the object
 * behind a handle, finding it, dispatching its events, and ending it.
 *
 * An instance is what evs_initialize() or saXxxInitialize() makes. It begins
 * with its connection. A library describes its instances in one struct library,
 * whose address is the kind of their handles. */
#ifndef API_LIBRARY_H
#define API_LIBRARY_H

#include "api/client.h"
#include "api/handle.h"

#include <string.h>

#define PUBLIC __attribute__((visibility("default")))

struct library {
    enum ipc_service service;
    size_t instance_size; /* bytes; a struct conn comes first */
    /* Fills in what stands behind the connection, all zeroes, from what the
     * program has given to the initialize function. */
    void (*init)(void *instance, const void *given);
    void (*deinit)(void *instance);
    /* Asks whether the daemon can serve already, so that programs do not get
     * TRY_AGAIN from their next call, where few of them expect it. NULL: it
     * always can. */
    cs_error_t (*ready)(void *instance);
    /* The handle is finalized: ends those that came from it. NULL: none do. */
    void (*finalized)(void *instance);
    conn_undo_fn undo;     /* NULL: no late reply is to be undone */
    conn_event_fn deliver; /* its context is the instance */
};

/* Connects to the daemon and makes an instance with a handle. */
cs_error_t library_open(const struct library *l, struct conn_rings rings,
                        const void *given, uint64_t *handle);

/* CS_OK or CS_ERR_BAD_HANDLE. */
cs_error_t library_finalize(const struct library *l, uint64_t handle);

/* As conn_dispatch(), for an instance. */
cs_error_t library_dispatch(void *instance, cs_dispatch_flags_t flags);

/* Stands before a pointer to an instance that comes from handle_get(), or is
 * NULL: where the pointer goes out of scope, the instance is put back. */
#define HELD __attribute__((cleanup(library_put)))

/* `at` is the address of such a pointer. */
static inline void library_put(const void *at)
{
    const struct conn *c;

    memcpy(&c, at, sizeof c);
    if (c != NULL)
        handle_put(c->handle);
}

#endif
