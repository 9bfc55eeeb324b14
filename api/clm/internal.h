/* SPDX-License-Identifier: BSD-3-Clause */
/* internal.h - what the files of libSaClm share.
 *
 * The two families of the interface, B.01 and B.04, differ in the structures
 * that programs see and in what a track callback is given. Everything else is
 * done once; struct form says what differs. */
#ifndef API_CLM_INTERNAL_H
#define API_CLM_INTERNAL_H

#include "api/ais.h"
#include "ipc/clm.h"

#include <openais/saClm.h>

enum {
    CLM_CHANGES = SA_TRACK_CHANGES | SA_TRACK_CHANGES_ONLY,
    CLM_STEPS = SA_TRACK_START_STEP | SA_TRACK_VALIDATE_STEP
};

enum family { FAMILY_B01, FAMILY_B04, FAMILY_ANY };

struct clm_instance {
    struct conn conn; /* first: see library.h */
    enum family family;
    union {
        SaClmCallbacksT b01;
        SaClmCallbacksT_4 b04;
    } callbacks;
    pthread_mutex_t track_lock; /* over a change of tracking; outermost */
    /* CHANGES or CHANGES_ONLY, LOCAL; 0: none. Written under track_lock. Read
     * relaxed by dispatchers: it only says whether a change is still wanted. */
    _Atomic uint32_t tracked;
};

extern const struct library clm_library;

/* --- the two families (form.c) -------------------------------------------- */

/* What a track callback is told, in either family. */
struct track_news {
    void *array; /* of notifications */
    uint32_t count, member_count;
    uint64_t view;
    SaNameT cause;
    SaAisErrorT error;
};

struct form {
    size_t notification_size;
    uint8_t flags; /* that saClmClusterTrack() knows */
    struct ais_versions versions;
    void (*node)(void *to, const struct ipc_clm_node *from);
    void (*item)(void *array, uint32_t at, const struct ipc_clm_item *from);
    void (*call_track)(const struct clm_instance *c,
                       const struct track_news *n);
    void (*call_node)(const struct clm_instance *c, SaInvocationT invocation,
                      const struct ipc_clm_node *node, SaAisErrorT error);
};

extern const struct form saclm_forms[]; /* by family */

void saclm_fill_name(SaNameT *to, const struct ipc_clm_node *from);

/* --- clm.c ---------------------------------------------------------------- */

/* Gets the handle's instance, to be HELD, if it is of this family; else *c is
 * NULL. */
SaAisErrorT saclm_get(SaClmHandleT handle, enum family family,
                      struct clm_instance **c);

bool saclm_has_track_callback(const struct clm_instance *c);

/* A request that is answered by its result alone. */
SaAisErrorT saclm_request(struct clm_instance *c, uint32_t type,
                          const void *record, size_t size);

#endif
