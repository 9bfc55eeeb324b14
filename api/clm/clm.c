/* SPDX-License-Identifier: BSD-3-Clause */
/* clm.c - libSaClm: cluster membership over a connection to the daemon.
 *
 * The two families of the interface, B.01 and B.04, differ in the structures
 * that programs see and in what a track callback is given. Everything else is
 * done once; struct form says what differs. */
#include "api/ais.h"
#include "ipc/clm.h"

#include <openais/saClm.h>

#include <stdlib.h>
#include <string.h>

#define PUBLIC __attribute__((visibility("default")))

enum {
    CHANGES = SA_TRACK_CHANGES | SA_TRACK_CHANGES_ONLY,
    STEPS = SA_TRACK_START_STEP | SA_TRACK_VALIDATE_STEP,
    ITEMS_MAX = 2 * IPC_NODES_MAX, /* members, and those that have left */
    COLLECT_TRIES = 100            /* views that came while one was read */
};

/* What is in the address must leave room for the zero byte behind it. */
enum { ADDRESS_LENGTH_MAX = SA_CLM_MAX_ADDRESS_LENGTH - 1 };

#ifdef __LP64__ /* the layouts that programs are compiled to */
#define AT(type, field, offset)                                                \
    _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)

SIZE(SaNameT, 258);
SIZE(SaVersionT, 3);
SIZE(SaAnyT, 16);
SIZE(SaLimitValueT, 8);
SIZE(SaBoolT, 4);
SIZE(SaNtfCorrelationIdsT, 24);
SIZE(SaClmNodeAddressT, 72);
AT(SaClmNodeAddressT, family, 0);
AT(SaClmNodeAddressT, length, 4);
AT(SaClmNodeAddressT, value, 6);
SIZE(SaClmClusterNodeT, 360);
AT(SaClmClusterNodeT, nodeId, 0);
AT(SaClmClusterNodeT, nodeAddress, 4);
AT(SaClmClusterNodeT, nodeName, 76);
AT(SaClmClusterNodeT, member, 336);
AT(SaClmClusterNodeT, bootTimestamp, 344);
AT(SaClmClusterNodeT, initialViewNumber, 352);
SIZE(SaClmClusterNotificationT, 368);
AT(SaClmClusterNotificationT, clusterNode, 0);
AT(SaClmClusterNotificationT, clusterChange, 360);
SIZE(SaClmClusterNotificationBufferT, 24);
AT(SaClmClusterNotificationBufferT, viewNumber, 0);
AT(SaClmClusterNotificationBufferT, numberOfItems, 8);
AT(SaClmClusterNotificationBufferT, notification, 16);
SIZE(SaClmClusterNodeT_4, 616);
AT(SaClmClusterNodeT_4, nodeId, 0);
AT(SaClmClusterNodeT_4, nodeAddress, 4);
AT(SaClmClusterNodeT_4, nodeName, 76);
AT(SaClmClusterNodeT_4, executionEnvironment, 334);
AT(SaClmClusterNodeT_4, member, 592);
AT(SaClmClusterNodeT_4, bootTimestamp, 600);
AT(SaClmClusterNodeT_4, initialViewNumber, 608);
SIZE(SaClmClusterNotificationT_4, 624);
AT(SaClmClusterNotificationT_4, clusterNode, 0);
AT(SaClmClusterNotificationT_4, clusterChange, 616);
SIZE(SaClmClusterNotificationBufferT_4, 24);
AT(SaClmClusterNotificationBufferT_4, viewNumber, 0);
AT(SaClmClusterNotificationBufferT_4, numberOfItems, 8);
AT(SaClmClusterNotificationBufferT_4, notification, 16);
SIZE(SaClmCallbacksT, 16);
SIZE(SaClmCallbacksT_3, 24);
SIZE(SaClmCallbacksT_4, 16);
AT(SaClmCallbacksT, saClmClusterTrackCallback, 8);
AT(SaClmCallbacksT_4, saClmClusterTrackCallback, 8);
#endif

_Static_assert(IPC_CLM_CURRENT == SA_TRACK_CURRENT, "flags go as they are");
_Static_assert(IPC_CLM_CHANGES == SA_TRACK_CHANGES, "flags go as they are");
_Static_assert(IPC_CLM_CHANGES_ONLY == SA_TRACK_CHANGES_ONLY, "flags");
_Static_assert(IPC_CLM_LOCAL == SA_TRACK_LOCAL, "flags go as they are");
_Static_assert(IPC_CLM_LEFT == (int)SA_CLM_NODE_LEFT, "changes go as they are");

enum family { FAMILY_B01, FAMILY_B04, FAMILY_ANY };

struct clm_instance {
    struct conn conn; /* first: handles name it */
    /* &mark: a program linked with the static libraries has one table of
     * handles for all of them. */
    const char *mark;
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

static const char mark;

/* --- structures of the two families --------------------------------------- */

static void fill_address(SaClmNodeAddressT *to, const struct ipc_clm_node *from)
{
    to->family = (SaClmNodeAddressFamilyT)from->family;
    to->length = from->address_length < ADDRESS_LENGTH_MAX
                     ? from->address_length
                     : ADDRESS_LENGTH_MAX;
    memcpy(to->value, from->address, to->length);
}

static void fill_name(SaNameT *to, const struct ipc_clm_node *from)
{
    to->length = from->name_length < SA_MAX_NAME_LENGTH ? from->name_length
                                                        : SA_MAX_NAME_LENGTH;
    memcpy(to->value, from->name, to->length);
}

static void fill_b01(SaClmClusterNodeT *to, const struct ipc_clm_node *from)
{
    memset(to, 0, sizeof *to);
    to->nodeId = from->node_id;
    fill_address(&to->nodeAddress, from);
    fill_name(&to->nodeName, from);
    to->member = from->member ? SA_TRUE : SA_FALSE;
    to->bootTimestamp = (SaTimeT)from->boot_ns;
    to->initialViewNumber = from->initial_view;
}

static void fill_b04(SaClmClusterNodeT_4 *to, const struct ipc_clm_node *from)
{
    memset(to, 0, sizeof *to);
    to->nodeId = from->node_id;
    fill_address(&to->nodeAddress, from);
    fill_name(&to->nodeName, from);
    to->member = from->member ? SA_TRUE : SA_FALSE;
    to->bootTimestamp = (SaTimeT)from->boot_ns;
    to->initialViewNumber = from->initial_view;
}

static void node_b01(void *to, const struct ipc_clm_node *from)
{
    fill_b01(to, from);
}

static void node_b04(void *to, const struct ipc_clm_node *from)
{
    fill_b04(to, from);
}

static void item_b01(void *array, uint32_t at, const struct ipc_clm_item *from)
{
    SaClmClusterNotificationT *to = (SaClmClusterNotificationT *)array + at;

    memset(to, 0, sizeof *to);
    fill_b01(&to->clusterNode, &from->node);
    to->clusterChange = (SaClmClusterChangesT)from->change;
}

static void item_b04(void *array, uint32_t at, const struct ipc_clm_item *from)
{
    SaClmClusterNotificationT_4 *to = (SaClmClusterNotificationT_4 *)array + at;

    memset(to, 0, sizeof *to);
    fill_b04(&to->clusterNode, &from->node);
    to->clusterChange = (SaClmClusterChangesT)from->change;
}

/* What a track callback is told, in either family. */
struct track_news {
    void *array; /* of notifications */
    uint32_t count, member_count;
    uint64_t view;
    SaNameT cause;
    SaAisErrorT error;
};

static void call_track_b01(const struct clm_instance *c,
                           const struct track_news *n)
{
    SaClmClusterNotificationBufferT b = {.viewNumber = n->view,
                                         .numberOfItems = n->count,
                                         .notification = n->array};

    c->callbacks.b01.saClmClusterTrackCallback(&b, n->member_count, n->error);
}

static void call_track_b04(const struct clm_instance *c,
                           const struct track_news *n)
{
    static const SaNtfCorrelationIdsT unused;
    SaClmClusterNotificationBufferT_4 b = {.viewNumber = n->view,
                                           .numberOfItems = n->count,
                                           .notification = n->array};

    c->callbacks.b04.saClmClusterTrackCallback(
        &b, n->member_count, 0, &n->cause, &unused, SA_CLM_CHANGE_COMPLETED,
        SA_TIME_UNKNOWN, n->error);
}

static void call_node_b01(const struct clm_instance *c,
                          SaInvocationT invocation,
                          const struct ipc_clm_node *node, SaAisErrorT error)
{
    SaClmClusterNodeT n;

    fill_b01(&n, node);
    c->callbacks.b01.saClmClusterNodeGetCallback(invocation, &n, error);
}

static void call_node_b04(const struct clm_instance *c,
                          SaInvocationT invocation,
                          const struct ipc_clm_node *node, SaAisErrorT error)
{
    SaClmClusterNodeT_4 n;

    fill_b04(&n, node);
    c->callbacks.b04.saClmClusterNodeGetCallback(invocation, &n, error);
}

static const struct form {
    size_t notification_size;
    uint8_t flags; /* that saClmClusterTrack() knows */
    uint8_t major_min;
    SaVersionT version; /* what is supported */
    void (*node)(void *to, const struct ipc_clm_node *from);
    void (*item)(void *array, uint32_t at, const struct ipc_clm_item *from);
    void (*call_track)(const struct clm_instance *c,
                       const struct track_news *n);
    void (*call_node)(const struct clm_instance *c, SaInvocationT invocation,
                      const struct ipc_clm_node *node, SaAisErrorT error);
} forms[] = {
    [FAMILY_B01] = {sizeof(SaClmClusterNotificationT),
                    SA_TRACK_CURRENT | CHANGES | SA_TRACK_LOCAL,
                    1,
                    {'B', 1, 1},
                    node_b01,
                    item_b01,
                    call_track_b01,
                    call_node_b01},
    [FAMILY_B04] = {sizeof(SaClmClusterNotificationT_4),
                    SA_TRACK_CURRENT | CHANGES | SA_TRACK_LOCAL | STEPS,
                    2,
                    {'B', 4, 1},
                    node_b04,
                    item_b04,
                    call_track_b04,
                    call_node_b04},
};

static bool has_track_callback(const struct clm_instance *c)
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

/* --- handles -------------------------------------------------------------- */

/* Gets the handle's object, until handle_put(), if it is of this family. */
static SaAisErrorT instance_get(SaClmHandleT handle, enum family family,
                                struct clm_instance **c)
{
    *c = handle_get(handle);
    if (*c == NULL)
        return SA_AIS_ERR_BAD_HANDLE;
    if ((*c)->mark == &mark && (family == FAMILY_ANY || family == (*c)->family))
        return SA_AIS_OK;
    SaAisErrorT error =
        (*c)->mark == &mark ? SA_AIS_ERR_VERSION : SA_AIS_ERR_BAD_HANDLE;
    handle_put(handle);
    return error;
}

static void instance_free(struct conn *conn)
{
    struct clm_instance *c = (struct clm_instance *)conn;

    conn_close(&c->conn);
    pthread_mutex_destroy(&c->track_lock);
    free(c);
}

/* A request that is answered by its result alone. */
static SaAisErrorT request(struct clm_instance *c, uint32_t type,
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
    struct clm_instance *c;
    struct ipc_clm_node node;
    SaAisErrorT error;

    if (to == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = instance_get(handle, family, &c);
    if (error != SA_AIS_OK)
        return error;
    error = node_id == 0 || timeout < 0 ? SA_AIS_ERR_INVALID_PARAM
                                        : query_node(c, node_id, &node);
    if (error == SA_AIS_OK)
        forms[family].node(to, &node);
    handle_put(handle);
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
    struct clm_instance *c;
    SaAisErrorT error = instance_get(clmHandle, FAMILY_ANY, &c);

    if (error != SA_AIS_OK)
        return error;
    if (invocation == 0 || nodeId == 0)
        error = SA_AIS_ERR_INVALID_PARAM;
    else if (!has_node_callback(c))
        error = SA_AIS_ERR_INIT;
    else
        error = request(c, IPC_SUBMIT_CLM_NODE_GET, &get, sizeof get);
    handle_put(clmHandle);
    return error;
}

/* --- life cycle ----------------------------------------------------------- */

/* Connected, and the daemon has a view: else programs would get TRY_AGAIN from
 * the next call, where few of them expect it. */
static SaAisErrorT instance_open(struct clm_instance *c)
{
    SaAisErrorT error = ais_open(&c->conn, IPC_SERVICE_CLM);
    struct ipc_clm_node self;

    if (error != SA_AIS_OK)
        return error;
    error = query_node(c, SA_CLM_LOCAL_NODE_ID, &self);
    if (error != SA_AIS_OK)
        conn_close(&c->conn);
    return error;
}

/* Puts the object, filled in but for the connection, behind a new handle; on an
 * error it is freed. */
static SaAisErrorT instance_start(struct clm_instance *c, SaClmHandleT *handle)
{
    uint64_t number;
    SaAisErrorT error = instance_open(c);

    if (error != SA_AIS_OK) {
        free(c);
        return error;
    }
    c->mark = &mark;
    pthread_mutex_init(&c->track_lock, NULL);
    error = ais_error(handle_new(&number, &c->conn, instance_free));
    if (error != SA_AIS_OK)
        instance_free(&c->conn);
    else
        *handle = number;
    return error;
}

static SaAisErrorT initialize(SaClmHandleT *handle, enum family family,
                              const SaClmCallbacksT *b01,
                              const SaClmCallbacksT_4 *b04, SaVersionT *version)
{
    struct clm_instance *c;
    SaAisErrorT error;

    if (handle == NULL || version == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    if (!ais_version_agree(version, forms[family].major_min,
                           forms[family].version))
        return SA_AIS_ERR_VERSION;
    c = calloc(1, sizeof *c);
    if (c == NULL)
        return SA_AIS_ERR_NO_MEMORY;
    /* conn_open() clears the connection alone. */
    c->family = family;
    if (b01 != NULL)
        c->callbacks.b01 = *b01;
    if (b04 != NULL)
        c->callbacks.b04 = *b04;
    error = instance_start(c, handle);
    if (error == SA_AIS_OK)
        *version = forms[family].version;
    return error;
}

PUBLIC SaAisErrorT saClmInitialize(SaClmHandleT *clmHandle,
                                   const SaClmCallbacksT *clmCallbacks,
                                   SaVersionT *version)
{
    return initialize(clmHandle, FAMILY_B01, clmCallbacks, NULL, version);
}

PUBLIC SaAisErrorT saClmInitialize_4(SaClmHandleT *clmHandle,
                                     const SaClmCallbacksT_4 *clmCallbacks,
                                     SaVersionT *version)
{
    return initialize(clmHandle, FAMILY_B04, NULL, clmCallbacks, version);
}

PUBLIC SaAisErrorT saClmFinalize(SaClmHandleT clmHandle)
{
    struct clm_instance *c;
    SaAisErrorT error = instance_get(clmHandle, FAMILY_ANY, &c);

    if (error != SA_AIS_OK)
        return error;
    error = ais_error(handle_finalize(clmHandle));
    handle_put(clmHandle);
    return error;
}

PUBLIC SaAisErrorT saClmSelectionObjectGet(SaClmHandleT clmHandle,
                                           SaSelectionObjectT *selectionObject)
{
    struct clm_instance *c;
    SaAisErrorT error;

    if (selectionObject == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = instance_get(clmHandle, FAMILY_ANY, &c);
    if (error != SA_AIS_OK)
        return error;
    if (conn_is_dead(&c->conn))
        error = SA_AIS_ERR_LIBRARY;
    else
        *selectionObject = (SaSelectionObjectT)c->conn.socket;
    handle_put(clmHandle);
    return error;
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
            fill_name(&n->cause, &item.node);
    }
}

static void deliver_track(struct clm_instance *c, const uint8_t *body,
                          uint32_t size)
{
    const struct form *form = &forms[c->family];
    struct ipc_clm_track_event e;
    struct track_news n = {.error = SA_AIS_OK};

    if (size < sizeof e || !has_track_callback(c))
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
    forms[c->family].call_node(c, e.invocation, &e.node, error);
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

PUBLIC SaAisErrorT saClmDispatch(SaClmHandleT clmHandle,
                                 SaDispatchFlagsT dispatchFlags)
{
    struct clm_instance *c;
    cs_dispatch_flags_t flags;
    SaAisErrorT error = ais_dispatch_flags(dispatchFlags, &flags);

    if (error == SA_AIS_OK)
        error = instance_get(clmHandle, FAMILY_ANY, &c);
    if (error != SA_AIS_OK)
        return error;
    error = ais_dispatch(&c->conn, flags, deliver, c);
    handle_put(clmHandle);
    return error;
}

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
        error = buffer_fill(&forms[c->family], n, b);
    free(n);
    return error;
}

/* --- tracking ------------------------------------------------------------- */

static bool flags_ok(uint8_t known, uint32_t flags)
{
    if ((flags & ~(uint32_t)known) != 0 ||
        (flags & (SA_TRACK_CURRENT | CHANGES)) == 0 ||
        (flags & CHANGES) == CHANGES)
        return false;
    return (flags & STEPS) == 0 || (flags & CHANGES) != 0;
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
    const struct ipc_clm_track track = {.flags = flags & ~(uint32_t)STEPS};
    uint32_t before = atomic_load_explicit(&c->tracked, memory_order_relaxed);
    SaAisErrorT error;

    if ((flags & CHANGES) != 0)
        set_tracked(c, track.flags & ~(uint32_t)SA_TRACK_CURRENT);
    error = request(c, IPC_SUBMIT_CLM_TRACK, &track, sizeof track);
    if (error != SA_AIS_OK)
        set_tracked(c, before);
    return error;
}

static SaAisErrorT track_end(struct clm_instance *c)
{
    SaAisErrorT error = request(c, IPC_SUBMIT_CLM_TRACK_STOP, NULL, 0);

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

    if (error == SA_AIS_OK && (flags & CHANGES) != 0) {
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
    struct clm_instance *c;
    SaAisErrorT error;

    if (!flags_ok(forms[family].flags, flags))
        return SA_AIS_ERR_BAD_FLAGS;
    error = instance_get(handle, family, &c);
    if (error != SA_AIS_OK)
        return error;
    if ((flags & SA_TRACK_CURRENT) == 0)
        b = NULL;
    if (b != NULL && b->array != NULL && b->count == 0) {
        error = SA_AIS_ERR_INVALID_PARAM;
    } else if ((b == NULL || (flags & CHANGES) != 0) &&
               !has_track_callback(c)) {
        error = SA_AIS_ERR_INIT;
    } else {
        pthread_mutex_lock(&c->track_lock);
        error = b != NULL ? track_into(c, flags, b) : track_start(c, flags);
        pthread_mutex_unlock(&c->track_lock);
    }
    handle_put(handle);
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
    struct clm_instance *c;
    SaAisErrorT error = instance_get(clmHandle, FAMILY_ANY, &c);

    if (error != SA_AIS_OK)
        return error;
    pthread_mutex_lock(&c->track_lock);
    error = track_end(c);
    pthread_mutex_unlock(&c->track_lock);
    handle_put(clmHandle);
    return error;
}

/* Without asking whether the daemon is there: the memory is to be freed in any
 * case. */
static SaAisErrorT notification_free(SaClmHandleT handle, enum family family,
                                     void *notification)
{
    struct clm_instance *c;
    SaAisErrorT error;

    if (notification == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = instance_get(handle, family, &c);
    if (error != SA_AIS_OK)
        return error;
    free(notification);
    handle_put(handle);
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

PUBLIC SaAisErrorT saClmResponse_4(SaClmHandleT clmHandle,
                                   SaInvocationT invocation,
                                   SaClmResponseT response)
{
    struct clm_instance *c;
    SaAisErrorT error = instance_get(clmHandle, FAMILY_B04, &c);

    (void)invocation; /* no callback has one, so each is unknown */
    (void)response;
    if (error != SA_AIS_OK)
        return error;
    handle_put(clmHandle);
    return SA_AIS_ERR_INVALID_PARAM;
}
