/* SPDX-License-Identifier: BSD-3-Clause */
/* track.c - libSaClm: the members now, and tracking them. */
#include "api/clm/internal.h"

#include <stdlib.h>
#include <string.h>

enum { COLLECT_TRIES = 100 /* views that came while one was read */ };

/* --- the members now ------------------------------------------------------ */

struct nodes {
    uint64_t view;
    uint32_t count;
    struct ipc_clm_node nodes[IPC_NODES_MAX];
};

struct nodes_piece {
    struct ipc_clm_nodes_answer head;
    struct ipc_clm_node nodes[IPC_CLM_NODES_PER_ANSWER_MAX];
};

static SaAisErrorT query_piece(struct clm_instance *c, uint32_t from,
                               bool local, struct nodes_piece *piece)
{
    const struct ipc_clm_nodes_query query = {.from = from, .local = local};
    struct conn_call call = {
        .type = IPC_QUERY_CLM_NODES,
        .head = CONN_PART(&query, sizeof query),
        .answer = {[1] = {piece->nodes, sizeof piece->nodes}}};
    size_t rest;
    SaAisErrorT error =
        ais_query(&c->conn, &call, &piece->head, sizeof piece->head, &rest);

    if (error != SA_AIS_OK)
        return error;
    if (piece->head.reply.done > IPC_CLM_NODES_PER_ANSWER_MAX ||
        rest != piece->head.reply.done * sizeof *piece->nodes)
        return SA_AIS_ERR_LIBRARY;
    return SA_AIS_OK;
}

/* Reads the list once. *whole: all pieces were of one view. */
static SaAisErrorT collect_once(struct clm_instance *c, bool local,
                                struct nodes *to, bool *whole)
{
    struct nodes_piece piece;
    uint32_t from = 0;

    to->count = 0;
    do {
        SaAisErrorT error = query_piece(c, from, local, &piece);
        if (error != SA_AIS_OK)
            return error;
        uint32_t done = piece.head.reply.done;
        *whole = from == 0 || piece.head.view == to->view;
        if (!*whole)
            return SA_AIS_OK;
        from = piece.head.next;
        if (done > IPC_NODES_MAX - to->count || (done == 0 && from != 0))
            return SA_AIS_ERR_LIBRARY;
        to->view = piece.head.view;
        memcpy(to->nodes + to->count, piece.nodes, done * sizeof *piece.nodes);
        to->count += done;
    } while (from != 0);
    return SA_AIS_OK;
}

static SaAisErrorT collect(struct clm_instance *c, bool local, struct nodes *to)
{
    bool whole = false;

    for (int tries = 0; tries < COLLECT_TRIES; tries++) {
        SaAisErrorT error = collect_once(c, local, to, &whole);
        if (error != SA_AIS_OK || whole)
            return error;
    }
    return SA_AIS_ERR_TRY_AGAIN;
}

/* A notification buffer of either family. */
struct buffer {
    uint64_t view;
    uint32_t count;
    void *array; /* NULL: to be allocated */
};

static SaAisErrorT buffer_fill(const struct form *form, const struct nodes *n,
                               struct buffer *b)
{
    struct ipc_clm_item item = {.change = IPC_CLM_NO_CHANGE};

    if (b->array != NULL && b->count < n->count) {
        b->count = n->count;
        return SA_AIS_ERR_NO_SPACE;
    }
    if (b->array == NULL)
        b->array = malloc((n->count + !n->count) * form->notification_size);
    if (b->array == NULL)
        return SA_AIS_ERR_NO_MEMORY;
    b->view = n->view;
    b->count = n->count;
    for (uint32_t i = 0; i < n->count; i++) {
        item.node = n->nodes[i];
        form->item(b->array, i, &item);
    }
    return SA_AIS_OK;
}

static SaAisErrorT current(struct clm_instance *c, uint32_t flags,
                           struct buffer *b)
{
    struct nodes *n = malloc(sizeof *n);
    SaAisErrorT error = SA_AIS_ERR_NO_MEMORY;

    if (n != NULL)
        error = collect(c, (flags & SA_TRACK_LOCAL) != 0, n);
    if (error == SA_AIS_OK)
        error = buffer_fill(&saclm_forms[c->family], n, b);
    free(n);
    return error;
}

/* --- tracking ------------------------------------------------------------- */

static bool flags_ok(uint8_t known, uint32_t flags)
{
    if ((flags & ~(uint32_t)known) != 0 ||
        (flags & (SA_TRACK_CURRENT | CLM_CHANGES)) == 0 ||
        (flags & CLM_CHANGES) == CLM_CHANGES)
        return false;
    return (flags & CLM_STEPS) == 0 || (flags & CLM_CHANGES) != 0;
}

static void set_tracked(struct clm_instance *c, uint32_t flags)
{
    atomic_store_explicit(&c->tracked, flags, memory_order_relaxed);
}

/* Under track_lock. `tracked` is set before the daemon can send the first
 * change, which another thread may dispatch at once. */
static SaAisErrorT track_start(struct clm_instance *c, uint32_t flags)
{
    /* The steps are those of changes that an administrator asks for, of which
     * there are none. */
    const struct ipc_clm_track track = {.flags = flags & ~(uint32_t)CLM_STEPS};
    uint32_t before = atomic_load_explicit(&c->tracked, memory_order_relaxed);
    SaAisErrorT error;

    if ((flags & CLM_CHANGES) != 0)
        set_tracked(c, track.flags & ~(uint32_t)SA_TRACK_CURRENT);
    error = saclm_request(c, IPC_SUBMIT_CLM_TRACK, &track, sizeof track);
    if (error != SA_AIS_OK)
        set_tracked(c, before);
    return error;
}

static SaAisErrorT track_end(struct clm_instance *c)
{
    SaAisErrorT error = saclm_request(c, IPC_SUBMIT_CLM_TRACK_STOP, NULL, 0);

    if (error == SA_AIS_OK)
        set_tracked(c, 0);
    return error;
}

/* The members into the buffer, and tracking. First the members, so that what
 * may fail has done so; then again, so that no change is lost in between. */
static SaAisErrorT track_into(struct clm_instance *c, uint32_t flags,
                              struct buffer *b)
{
    struct buffer filled = *b;
    uint32_t before = atomic_load_explicit(&c->tracked, memory_order_relaxed);
    SaAisErrorT error = current(c, flags, &filled);

    if (error == SA_AIS_OK && (flags & CLM_CHANGES) != 0) {
        error = track_start(c, flags & ~(uint32_t)SA_TRACK_CURRENT);
        if (filled.array != b->array)
            free(filled.array);
        filled = *b;
        if (error == SA_AIS_OK) {
            error = current(c, flags, &filled);
            if (error != SA_AIS_OK && before != 0)
                track_start(c, before);
            else if (error != SA_AIS_OK)
                track_end(c);
        }
    }
    if (error == SA_AIS_OK || error == SA_AIS_ERR_NO_SPACE)
        *b = filled;
    return error;
}

/* `b` NULL: the members now, if asked for, by a callback. */
static SaAisErrorT track(SaClmHandleT handle, enum family family,
                         uint32_t flags, struct buffer *b)
{
    HELD struct clm_instance *c = NULL;
    SaAisErrorT error;

    if (!flags_ok(saclm_forms[family].flags, flags))
        return SA_AIS_ERR_BAD_FLAGS;
    error = saclm_get(handle, family, &c);
    if (error != SA_AIS_OK)
        return error;
    if ((flags & SA_TRACK_CURRENT) == 0)
        b = NULL;
    if (b != NULL && b->array != NULL && b->count == 0)
        return SA_AIS_ERR_INVALID_PARAM;
    if ((b == NULL || (flags & CLM_CHANGES) != 0) &&
        !saclm_has_track_callback(c))
        return SA_AIS_ERR_INIT;
    pthread_mutex_lock(&c->track_lock);
    error = b != NULL ? track_into(c, flags, b) : track_start(c, flags);
    pthread_mutex_unlock(&c->track_lock);
    return error;
}

PUBLIC SaAisErrorT
saClmClusterTrack(SaClmHandleT clmHandle, SaUint8T trackFlags,
                  SaClmClusterNotificationBufferT *notificationBuffer)
{
    struct buffer b;
    SaAisErrorT error;

    if (notificationBuffer == NULL)
        return track(clmHandle, FAMILY_B01, trackFlags, NULL);
    b = (struct buffer){notificationBuffer->viewNumber,
                        notificationBuffer->numberOfItems,
                        notificationBuffer->notification};
    error = track(clmHandle, FAMILY_B01, trackFlags, &b);
    notificationBuffer->viewNumber = b.view;
    notificationBuffer->numberOfItems = b.count;
    notificationBuffer->notification = b.array;
    return error;
}

PUBLIC SaAisErrorT
saClmClusterTrack_4(SaClmHandleT clmHandle, SaUint8T trackFlags,
                    SaClmClusterNotificationBufferT_4 *notificationBuffer)
{
    struct buffer b;
    SaAisErrorT error;

    if (notificationBuffer == NULL)
        return track(clmHandle, FAMILY_B04, trackFlags, NULL);
    b = (struct buffer){notificationBuffer->viewNumber,
                        notificationBuffer->numberOfItems,
                        notificationBuffer->notification};
    error = track(clmHandle, FAMILY_B04, trackFlags, &b);
    notificationBuffer->viewNumber = b.view;
    notificationBuffer->numberOfItems = b.count;
    notificationBuffer->notification = b.array;
    return error;
}

PUBLIC SaAisErrorT saClmClusterTrackStop(SaClmHandleT clmHandle)
{
    HELD struct clm_instance *c = NULL;
    SaAisErrorT error = saclm_get(clmHandle, FAMILY_ANY, &c);

    if (error != SA_AIS_OK)
        return error;
    pthread_mutex_lock(&c->track_lock);
    error = track_end(c);
    pthread_mutex_unlock(&c->track_lock);
    return error;
}

/* Without asking whether the daemon is there: the memory is to be freed in any
 * case. */
static SaAisErrorT notification_free(SaClmHandleT handle, enum family family,
                                     void *notification)
{
    HELD struct clm_instance *c = NULL;
    SaAisErrorT error;

    if (notification == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = saclm_get(handle, family, &c);
    if (error != SA_AIS_OK)
        return error;
    free(notification);
    return SA_AIS_OK;
}

PUBLIC SaAisErrorT saClmClusterNotificationFree(
    SaClmHandleT clmHandle, SaClmClusterNotificationT *notification)
{
    return notification_free(clmHandle, FAMILY_B01, notification);
}

PUBLIC SaAisErrorT saClmClusterNotificationFree_4(
    SaClmHandleT clmHandle, SaClmClusterNotificationT_4 *notification)
{
    return notification_free(clmHandle, FAMILY_B04, notification);
}
