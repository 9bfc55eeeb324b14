/* SPDX-License-Identifier: BSD-3-Clause */
/* clm.c - libSaClm: life cycle, callbacks, one node. Tracking is in track.c. */
#include "api/clm/internal.h"

#include <stdlib.h>
#include <string.h>

enum { ITEMS_MAX = 2 * IPC_NODES_MAX /* members, and those that have left */ };

bool saclm_has_track_callback(const struct clm_instance *c)
{
    return c->family == FAMILY_B01
               ? c->callbacks.b01.saClmClusterTrackCallback != NULL
               : c->callbacks.b04.saClmClusterTrackCallback != NULL;
}

static bool has_node_callback(const struct clm_instance *c)
{
    return c->family == FAMILY_B01
               ? c->callbacks.b01.saClmClusterNodeGetCallback != NULL
               : c->callbacks.b04.saClmClusterNodeGetCallback != NULL;
}

SaAisErrorT saclm_get(SaClmHandleT handle, enum family family,
                      struct clm_instance **c)
{
    *c = handle_get(handle, &clm_library);
    if (*c == NULL)
        return SA_AIS_ERR_BAD_HANDLE;
    if (family == FAMILY_ANY || family == (*c)->family)
        return SA_AIS_OK;
    *c = NULL;
    handle_put(handle);
    return SA_AIS_ERR_VERSION;
}

SaAisErrorT saclm_request(struct clm_instance *c, uint32_t type,
                          const void *record, size_t size)
{
    struct conn_call call = {.type = type, .head = CONN_PART(record, size)};
    struct ipc_reply reply;

    return ais_request(&c->conn, &call, &reply, sizeof reply);
}

/* --- one node ------------------------------------------------------------- */

static SaAisErrorT query_node(struct clm_instance *c, uint32_t node_id,
                              struct ipc_clm_node *node)
{
    const struct ipc_clm_node_query query = {.node_id = node_id};
    struct ipc_clm_node_answer answer = {.reply.result = 0};
    struct conn_call call = {.type = IPC_QUERY_CLM_NODE,
                             .head = CONN_PART(&query, sizeof query)};
    size_t rest;
    SaAisErrorT error =
        ais_query(&c->conn, &call, &answer, sizeof answer, &rest);

    if (error != SA_AIS_OK)
        return error;
    if (rest != 0)
        return SA_AIS_ERR_LIBRARY;
    *node = answer.node;
    return SA_AIS_OK;
}

static SaAisErrorT node_get(SaClmHandleT handle, enum family family,
                            SaClmNodeIdT node_id, SaTimeT timeout, void *to)
{
    HELD struct clm_instance *c = NULL;
    struct ipc_clm_node node;
    SaAisErrorT error;

    if (to == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = saclm_get(handle, family, &c);
    if (error != SA_AIS_OK)
        return error;
    if (node_id == 0 || timeout < 0)
        return SA_AIS_ERR_INVALID_PARAM;
    error = query_node(c, node_id, &node);
    if (error == SA_AIS_OK)
        saclm_forms[family].node(to, &node);
    return error;
}

PUBLIC SaAisErrorT saClmClusterNodeGet(SaClmHandleT clmHandle,
                                       SaClmNodeIdT nodeId, SaTimeT timeout,
                                       SaClmClusterNodeT *clusterNode)
{
    return node_get(clmHandle, FAMILY_B01, nodeId, timeout, clusterNode);
}

PUBLIC SaAisErrorT saClmClusterNodeGet_4(SaClmHandleT clmHandle,
                                         SaClmNodeIdT nodeId, SaTimeT timeout,
                                         SaClmClusterNodeT_4 *clusterNode)
{
    return node_get(clmHandle, FAMILY_B04, nodeId, timeout, clusterNode);
}

PUBLIC SaAisErrorT saClmClusterNodeGetAsync(SaClmHandleT clmHandle,
                                            SaInvocationT invocation,
                                            SaClmNodeIdT nodeId)
{
    const struct ipc_clm_node_get get = {.invocation = invocation,
                                         .node_id = nodeId};
    HELD struct clm_instance *c = NULL;
    SaAisErrorT error = saclm_get(clmHandle, FAMILY_ANY, &c);

    if (error != SA_AIS_OK)
        return error;
    if (invocation == 0 || nodeId == 0)
        return SA_AIS_ERR_INVALID_PARAM;
    if (!has_node_callback(c))
        return SA_AIS_ERR_INIT;
    return saclm_request(c, IPC_SUBMIT_CLM_NODE_GET, &get, sizeof get);
}

/* --- events --------------------------------------------------------------- */

/* Fills the list from the items at `at`. They are copied before they are looked
 * at: their memory is the daemon's too. */
static void news_fill(const struct form *form, struct track_news *n,
                      const uint8_t *at, uint32_t cause)
{
    struct ipc_clm_item item;

    for (uint32_t i = 0; i < n->count; i++) {
        memcpy(&item, at + i * sizeof item, sizeof item);
        form->item(n->array, i, &item);
        if (cause != 0 && item.node.node_id == cause)
            saclm_fill_name(&n->cause, &item.node);
    }
}

static void deliver_track(struct clm_instance *c, const uint8_t *body,
                          uint32_t size)
{
    const struct form *form = &saclm_forms[c->family];
    struct ipc_clm_track_event e;
    struct track_news n = {.error = SA_AIS_OK};

    if (size < sizeof e || !saclm_has_track_callback(c))
        return;
    memcpy(&e, body, sizeof e);
    if (e.item_count > ITEMS_MAX ||
        size != sizeof e + e.item_count * sizeof(struct ipc_clm_item))
        return;
    if (!e.current &&
        atomic_load_explicit(&c->tracked, memory_order_relaxed) == 0)
        return; /* it was pending when tracking was stopped */
    n.view = e.view;
    n.member_count = e.member_count;
    n.count = e.item_count;
    if (n.count > 0)
        n.array = malloc(n.count * form->notification_size);
    if (n.count > 0 && n.array == NULL) {
        n.count = 0;
        n.error = SA_AIS_ERR_NO_MEMORY;
    }
    news_fill(form, &n, body + sizeof e, e.cause);
    form->call_track(c, &n);
    free(n.array);
}

static void deliver_node(struct clm_instance *c, const uint8_t *body,
                         uint32_t size)
{
    struct ipc_clm_node_event e;
    SaAisErrorT error;

    if (size != sizeof e || !has_node_callback(c))
        return;
    memcpy(&e, body, sizeof e);
    error = ais_error(conn_error(e.result));
    if (error != SA_AIS_OK)
        memset(&e.node, 0, sizeof e.node);
    saclm_forms[c->family].call_node(c, e.invocation, &e.node, error);
}

static void deliver(void *context, uint32_t type, const uint8_t *body,
                    uint32_t size)
{
    /* Types that this library does not know are a newer daemon's. */
    if (type == IPC_EVENT_CLM_TRACK)
        deliver_track(context, body, size);
    else if (type == IPC_EVENT_CLM_NODE)
        deliver_node(context, body, size);
}

/* --- life cycle ----------------------------------------------------------- */

/* What the program gives to saClmInitialize(), in either family. */
struct given {
    enum family family;
    const SaClmCallbacksT *b01;
    const SaClmCallbacksT_4 *b04;
};

static void init(void *instance, const void *given)
{
    struct clm_instance *c = instance;
    const struct given *g = given;

    c->family = g->family;
    if (g->b01 != NULL)
        c->callbacks.b01 = *g->b01;
    if (g->b04 != NULL)
        c->callbacks.b04 = *g->b04;
    pthread_mutex_init(&c->track_lock, NULL);
}

static void deinit(void *instance)
{
    struct clm_instance *c = instance;

    pthread_mutex_destroy(&c->track_lock);
}

/* The daemon has a view. */
static cs_error_t ready(void *instance)
{
    struct ipc_clm_node self;

    /* The values of both are the same: see ais_error(). */
    return (cs_error_t)query_node(instance, SA_CLM_LOCAL_NODE_ID, &self);
}

const struct library clm_library = {.service = IPC_SERVICE_CLM,
                                    .instance_size =
                                        sizeof(struct clm_instance),
                                    .init = init,
                                    .deinit = deinit,
                                    .ready = ready,
                                    .deliver = deliver};

PUBLIC SaAisErrorT saClmInitialize(SaClmHandleT *clmHandle,
                                   const SaClmCallbacksT *clmCallbacks,
                                   SaVersionT *version)
{
    const struct given given = {FAMILY_B01, .b01 = clmCallbacks};

    return ais_initialize(&clm_library, saclm_forms[FAMILY_B01].versions,
                          &given, clmHandle, version);
}

PUBLIC SaAisErrorT saClmInitialize_4(SaClmHandleT *clmHandle,
                                     const SaClmCallbacksT_4 *clmCallbacks,
                                     SaVersionT *version)
{
    const struct given given = {FAMILY_B04, .b04 = clmCallbacks};

    return ais_initialize(&clm_library, saclm_forms[FAMILY_B04].versions,
                          &given, clmHandle, version);
}

PUBLIC SaAisErrorT saClmFinalize(SaClmHandleT clmHandle)
{
    return ais_finalize(&clm_library, clmHandle);
}

PUBLIC SaAisErrorT saClmSelectionObjectGet(SaClmHandleT clmHandle,
                                           SaSelectionObjectT *selectionObject)
{
    return ais_selection_object_get(&clm_library, clmHandle, selectionObject);
}

PUBLIC SaAisErrorT saClmDispatch(SaClmHandleT clmHandle,
                                 SaDispatchFlagsT dispatchFlags)
{
    return ais_dispatch(&clm_library, clmHandle, dispatchFlags);
}

PUBLIC SaAisErrorT saClmResponse_4(SaClmHandleT clmHandle,
                                   SaInvocationT invocation,
                                   SaClmResponseT response)
{
    HELD struct clm_instance *c = NULL;
    SaAisErrorT error = saclm_get(clmHandle, FAMILY_B04, &c);

    (void)invocation; /* no callback has one, so each is unknown */
    (void)response;
    return error != SA_AIS_OK ? error : SA_AIS_ERR_INVALID_PARAM;
}
