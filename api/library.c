/* SPDX-License-Identifier: BSD-3-Clause */
#include "api/library.h"

#include <stdlib.h>

static void instance_end(void *instance)
{
    conn_shutdown(instance);
}

/* The child closes its descriptors, or the daemon would not notice the parent's
 * end while a child lives. */
static void instance_forked(void *instance)
{
    struct conn *c = instance;

    atomic_store_explicit(&c->foreign, true, memory_order_relaxed);
    conn_close_fds(c);
}

static void instance_free(void *instance)
{
    struct conn *c = instance;

    c->library->deinit(c);
    conn_close(c);
    free(c);
}

static const struct handle_ops ops = {instance_end, instance_forked,
                                      instance_free};

cs_error_t library_open(const struct library *l, struct conn_rings rings,
                        const void *given, uint64_t *handle)
{
    struct conn *c = calloc(1, l->instance_size);
    uint64_t number = 0;
    cs_error_t error;

    if (c == NULL)
        return CS_ERR_NO_MEMORY;
    error = conn_open(c, l->service, rings);
    if (error != CS_OK) {
        free(c);
        return error;
    }
    c->library = l;
    c->undo = l->undo;
    l->init(c, given);
    if (l->ready != NULL)
        error = l->ready(c);
    if (error == CS_OK) {
        number = handle_new(&c->handle, l, &ops, c);
        error = number != 0 ? CS_OK : CS_ERR_NO_RESOURCES;
    }
    if (error == CS_OK)
        *handle = number; /* the instance may be finalized already */
    else
        instance_free(c);
    return error;
}

cs_error_t library_finalize(const struct library *l, uint64_t handle)
{
    HELD void *instance = handle_get(handle, l);

    if (instance == NULL || !handle_finalize(handle, l))
        return CS_ERR_BAD_HANDLE;
    if (l->finalized != NULL)
        l->finalized(instance);
    return CS_OK;
}

cs_error_t library_dispatch(void *instance, cs_dispatch_flags_t flags)
{
    struct conn *c = instance;

    conn_take_late(c);
    return conn_dispatch(c, flags, c->library->deliver, instance);
}
