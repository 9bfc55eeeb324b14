/* SPDX-License-Identifier: BSD-3-Clause */
/* internal.h - an instance of libevs. */
#ifndef API_EVS_INTERNAL_H
#define API_EVS_INTERNAL_H

#include "api/library.h"
#include "ipc/evs.h"

#include <corosync/evs.h>

/* A set of groups as it goes before a message: see daemon/service/evs.h. */
struct evs_header {
    uint32_t size;
    uint8_t bytes[IPC_EVS_HEADER_SIZE_MAX];
};

struct evs_instance {
    struct conn conn; /* first: see library.h */
    evs_callbacks_t callbacks;
    _Atomic(void *) context;

    /* Held over the request and the change of the set, so that ours changes in
     * the daemon's order. Taken before the locks of the connection. */
    pthread_mutex_t groups_lock;
    /* The joined groups, in no order, and their header. `joined_lock` is held
     * for moments only: a send need not wait for a join under way. */
    pthread_mutex_t joined_lock;
    uint32_t joined_count;
    struct evs_group joined[IPC_GROUPS_MAX];
    struct evs_header header;
};

extern const struct library evs_library;

#endif
