/* SPDX-License-Identifier: BSD-3-Clause */
/* saClm.h - cluster membership: which nodes are in the cluster, what is known
 * of them, and how that changes. Library: libSaClm (link with -lSaClm).
 *
 * Two forms of one interface: SAI-AIS-CLM-B.01.01 (with the one addition of
 * B.02, saClmClusterNotificationFree()) and SAI-AIS-CLM-B.04.01, whose
 * functions end in _4. A handle belongs to the form that initialized it:
 * the functions of the other form return SA_AIS_ERR_VERSION. Both
 * specifications have a section for each function under its name, in this
 * order.
 *
 * A view is the set of members between two changes. All members see the same
 * views in the same order. Each view has a number, which grows with every
 * change, though not always by one.
 *
 * Threads: any number of threads may call the functions with the same handle at
 * the same time. Callbacks run only in saClmDispatch(), and those of one handle
 * never run at the same time. A callback may call any function, also
 * saClmFinalize() and saClmDispatch() with its own handle. After fork() the
 * handles do not work in the child (SA_AIS_ERR_BAD_HANDLE), which may
 * initialize its own. A signal handler may not call any function.
 *
 * Every function that takes a handle may return these errors:
 * SA_AIS_ERR_BAD_HANDLE: the handle does not exist, or has been finalized.
 * SA_AIS_ERR_LIBRARY: the daemon is gone, or has disconnected this program
 * because the program did not dispatch. Finalize the handle, and initialize a
 * new one.
 * SA_AIS_ERR_NO_MEMORY: there is no memory. */
#ifndef OPENAIS_SACLM_H
#define OPENAIS_SACLM_H

#include "saAis.h"
#include "saNtf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef SaUint64T SaClmHandleT;

/* A node keeps its id for as long as it is a member. The id is never 0 or
 * SA_CLM_LOCAL_NODE_ID. */
typedef SaUint32T SaClmNodeIdT;

#define SA_CLM_LOCAL_NODE_ID 0xFFFFFFFF
#define SA_CLM_MAX_ADDRESS_LENGTH 64

typedef enum {
    SA_CLM_AF_INET = 1,
    SA_CLM_AF_INET6 = 2
} SaClmNodeAddressFamilyT;

/* The address that the node uses for the cluster's traffic, as text of `length`
 * bytes. A zero byte follows them. */
typedef struct {
    SaClmNodeAddressFamilyT family;
    SaUint16T length; /* at most SA_CLM_MAX_ADDRESS_LENGTH - 1 */
    SaUint8T value[SA_CLM_MAX_ADDRESS_LENGTH];
} SaClmNodeAddressT;

/* How a node differs from the view before. The service never reports the values
 * after LEFT. */
typedef enum {
    SA_CLM_NODE_NO_CHANGE = 1,
    SA_CLM_NODE_JOINED = 2,
    SA_CLM_NODE_LEFT = 3,
    SA_CLM_NODE_RECONFIGURED = 4,
    SA_CLM_NODE_UNLOCK = 5,
    SA_CLM_NODE_SHUTDOWN = 6
} SaClmClusterChangesT;

/* These types belong to administrative operations, which this service does not
 * have. */
typedef enum {
    SA_CLM_CLUSTER_CHANGE_STATUS = 1,
    SA_CLM_ADMIN_STATE = 2
} SaClmStateT;

typedef enum {
    SA_CLM_ADMIN_UNLOCK = 1,
    SA_CLM_ADMIN_LOCK = 2,
    SA_CLM_ADMIN_SHUTDOWN = 3,
    SA_CLM_ADMIN_RESET = 4,
    SA_CLM_ADMIN_ACTION = 5
} SaClmAdminOperationIdT;

typedef enum {
    SA_CLM_ADMIN_UNLOCKED = 1,
    SA_CLM_ADMIN_LOCKED = 2,
    SA_CLM_ADMIN_SHUTTING_DOWN = 3
} SaClmAdminStateT;

typedef enum { SA_CLM_NODE_NAME = 1 } SaClmAdditionalInfoIdT;
typedef enum { SA_CLM_ROOT_CAUSE_ENTITY = 1 } SaClmAdditionalInfoIdT_4;

typedef enum {
    SA_CLM_NTFID_NODE_JOIN = 0x65,
    SA_CLM_NTFID_NODE_LEAVE = 0x66,
    SA_CLM_NTFID_NODE_RECONFIG = 0x67,
    SA_CLM_NTFID_NODE_ADMIN_STATE = 0x68
} SaClmNotificationMinorIdT;

/* How far a change has come. The service reports only COMPLETED. The others
 * belong to changes that an administrator asks for. */
typedef enum {
    SA_CLM_CHANGE_VALIDATE = 1,
    SA_CLM_CHANGE_START = 2,
    SA_CLM_CHANGE_ABORTED = 3,
    SA_CLM_CHANGE_COMPLETED = 4
} SaClmChangeStepT;

typedef enum {
    SA_CLM_CALLBACK_RESPONSE_OK = 1,
    SA_CLM_CALLBACK_RESPONSE_REJECTED = 2,
    SA_CLM_CALLBACK_RESPONSE_ERROR = 3
} SaClmResponseT;

/* --- nodes, B.01 ---------------------------------------------------------- */

#ifndef SA_CLM_NO_B01

typedef struct {
    SaClmNodeIdT nodeId;
    SaClmNodeAddressT nodeAddress;
    SaNameT nodeName; /* as configured, else the host's, else the address */
    SaBoolT member;   /* SA_FALSE: reported because it has left */
    SaTimeT bootTimestamp;       /* of the host, since the epoch */
    SaUint64T initialViewNumber; /* the view in which it joined */
} SaClmClusterNodeT;

typedef struct {
    SaClmClusterNodeT clusterNode;
    SaClmClusterChangesT clusterChange;
} SaClmClusterNotificationT;

typedef struct {
    SaUint64T viewNumber;
    SaUint32T numberOfItems;
    SaClmClusterNotificationT *notification;
} SaClmClusterNotificationBufferT;

/* Gets the nodes that the program asked for. The local node comes first if it
 * is among them; the others follow by ascending id. `numberOfMembers` counts
 * the view's members, not the items. The buffer is valid until the callback
 * returns. `error` is SA_AIS_OK, or SA_AIS_ERR_NO_MEMORY: then the list is
 * empty because there was no memory for it, and the program should track again.
 */
typedef void (*SaClmClusterTrackCallbackT)(
    const SaClmClusterNotificationBufferT *notificationBuffer,
    SaUint32T numberOfMembers, SaAisErrorT error);

/* Gets the answer to the saClmClusterNodeGetAsync() with this invocation.
 * `error` is SA_AIS_OK, or SA_AIS_ERR_NOT_EXIST: no member has this id, and the
 * node's fields are zero. The node is valid until the callback returns. */
typedef void (*SaClmClusterNodeGetCallbackT)(
    SaInvocationT invocation, const SaClmClusterNodeT *clusterNode,
    SaAisErrorT error);

/* Either may be NULL. The functions that need it then return
 * SA_AIS_ERR_INIT. */
typedef struct {
    SaClmClusterNodeGetCallbackT saClmClusterNodeGetCallback;
    SaClmClusterTrackCallbackT saClmClusterTrackCallback;
} SaClmCallbacksT;

/* These types are from B.03. Its saClmInitialize_3() is not available. */
typedef void (*SaClmClusterNodeEvictionCallbackT)(
    SaClmHandleT clmHandle, SaInvocationT invocation,
    SaClmAdminOperationIdT operationId);

typedef struct {
    SaClmClusterNodeGetCallbackT saClmClusterNodeGetCallback;
    SaClmClusterTrackCallbackT saClmClusterTrackCallback;
    SaClmClusterNodeEvictionCallbackT saClmClusterNodeEvictionCallback;
} SaClmCallbacksT_3;

#endif

/* --- nodes, B.04 ---------------------------------------------------------- */

typedef struct {
    SaClmNodeIdT nodeId;
    SaClmNodeAddressT nodeAddress;
    SaNameT nodeName;
    SaNameT executionEnvironment; /* always empty here */
    SaBoolT member;
    SaTimeT bootTimestamp;
    SaUint64T initialViewNumber;
} SaClmClusterNodeT_4;

typedef struct {
    SaClmClusterNodeT_4 clusterNode;
    SaClmClusterChangesT clusterChange;
} SaClmClusterNotificationT_4;

typedef struct {
    SaUint64T viewNumber;
    SaUint32T numberOfItems;
    SaClmClusterNotificationT_4 *notification;
} SaClmClusterNotificationBufferT_4;

/* Gets what the callback of B.01 gets, and more. The service does not wait for
 * an answer, so `invocation` is 0 and `timeSupervision` is SA_TIME_UNKNOWN.
 * `step` is SA_CLM_CHANGE_COMPLETED. `rootCauseEntity` is the name of a node
 * that the change is about; it is empty if that node is not among the items, or
 * if nothing has changed. `correlationIds` are all SA_NTF_IDENTIFIER_UNUSED.
 * All pointers are valid until the callback returns, and none is NULL. */
typedef void (*SaClmClusterTrackCallbackT_4)(
    const SaClmClusterNotificationBufferT_4 *notificationBuffer,
    SaUint32T numberOfMembers, SaInvocationT invocation,
    const SaNameT *rootCauseEntity, const SaNtfCorrelationIdsT *correlationIds,
    SaClmChangeStepT step, SaTimeT timeSupervision, SaAisErrorT error);

typedef void (*SaClmClusterNodeGetCallbackT_4)(
    SaInvocationT invocation, const SaClmClusterNodeT_4 *clusterNode,
    SaAisErrorT error);

typedef struct {
    SaClmClusterNodeGetCallbackT_4 saClmClusterNodeGetCallback;
    SaClmClusterTrackCallbackT_4 saClmClusterTrackCallback;
} SaClmCallbacksT_4;

/* --- life cycle ----------------------------------------------------------- */

/* Connects to the daemon of this node. *clmHandle is set on SA_AIS_OK;
 * `clmCallbacks` is copied, and may be NULL. The daemon is found in the
 * directory named by the environment variable OPENAIS_RUNDIR (ignored in setuid
 * programs), else in /run/openais.
 *
 * Set *version to the version that the program is written for: release 'B',
 * major version 1 (saClmInitialize) or 2 to 4 (saClmInitialize_4), any minor
 * version. On SA_AIS_OK and SA_AIS_ERR_VERSION it becomes the version that is
 * supported, B.1.1 or B.4.1.
 *
 * SA_AIS_ERR_INVALID_PARAM: `clmHandle` or `version` is NULL.
 * SA_AIS_ERR_VERSION: another release or major version.
 * SA_AIS_ERR_TRY_AGAIN: no daemon answers, or it has no view yet.
 * SA_AIS_ERR_ACCESS: the user is neither root nor in the group that may
 * connect. SA_AIS_ERR_NO_RESOURCES: there are no descriptors; the daemon has
 * reached its limit of clients; this process has 8192 handles. */
#ifndef SA_CLM_NO_B01
SaAisErrorT saClmInitialize(SaClmHandleT *clmHandle,
                            const SaClmCallbacksT *clmCallbacks,
                            SaVersionT *version);
#endif
SaAisErrorT saClmInitialize_4(SaClmHandleT *clmHandle,
                              const SaClmCallbacksT_4 *clmCallbacks,
                              SaVersionT *version);

/* Gives the handle's descriptor, which stays the same until saClmFinalize().
 * SA_AIS_ERR_INVALID_PARAM: `selectionObject` is NULL. */
SaAisErrorT saClmSelectionObjectGet(SaClmHandleT clmHandle,
                                    SaSelectionObjectT *selectionObject);

/* Runs callbacks in the calling thread, as SA_DISPATCH_... says. The
 * result is SA_AIS_OK too if no callback is pending (ONE, ALL), or if another
 * thread or a callback has finalized the handle. If the daemon is gone, the
 * pending callbacks still run before SA_AIS_ERR_LIBRARY is returned.
 * SA_AIS_ERR_INVALID_PARAM: the flags are unknown. */
SaAisErrorT saClmDispatch(SaClmHandleT clmHandle,
                          SaDispatchFlagsT dispatchFlags);

/* Ends the handle: tracking stops, pending callbacks are lost, and the
 * descriptor is closed. A callback that is running in another thread may still
 * finish. A call that waits in another thread returns SA_AIS_ERR_BAD_HANDLE, or
 * SA_AIS_OK if it is saClmDispatch(). */
SaAisErrorT saClmFinalize(SaClmHandleT clmHandle);

/* --- tracking ------------------------------------------------------------- */

/* `trackFlags` has at least one of the first three:
 * CURRENT tells the present members, in *notificationBuffer, or by one callback
 *     if notificationBuffer is NULL.
 * CHANGES makes a callback at each view from now on, with all its members and
 *     the nodes that left with this change.
 * CHANGES_ONLY does the same with only the nodes that joined or left. CHANGES
 *     and CHANGES_ONLY exclude each other; a later call replaces an earlier
 * one. LOCAL goes with one of those; then only the local node is in the list.
 * START_STEP and VALIDATE_STEP (saClmClusterTrack_4, with CHANGES or
 * CHANGES_ONLY) are accepted, but no such steps occur.
 *
 * Only CURRENT uses *notificationBuffer. If its `notification` is NULL, the
 * library sets it to an array of `numberOfItems` items that the library
 * allocates, and the caller frees with saClmClusterNotificationFree() or
 * free(3). Otherwise `notification` is the caller's array of `numberOfItems`
 * items, and `numberOfItems` becomes the number of items that were filled.
 *
 * On an error the call starts no tracking, and no callback comes.
 * SA_AIS_ERR_BAD_FLAGS: the flags do not go together.
 * SA_AIS_ERR_INVALID_PARAM: the array has 0 items.
 * SA_AIS_ERR_NO_SPACE: the array is too small; `numberOfItems` is the number
 * that it would need now.
 * SA_AIS_ERR_INIT: the program gave no callback at initialization.
 * SA_AIS_ERR_TRY_AGAIN: the daemon has no view yet. */
#ifndef SA_CLM_NO_B01
SaAisErrorT
saClmClusterTrack(SaClmHandleT clmHandle, SaUint8T trackFlags,
                  SaClmClusterNotificationBufferT *notificationBuffer);
#endif
SaAisErrorT
saClmClusterTrack_4(SaClmHandleT clmHandle, SaUint8T trackFlags,
                    SaClmClusterNotificationBufferT_4 *notificationBuffer);

/* Ends CHANGES or CHANGES_ONLY. A saClmDispatch() that is called after it has
 * returned tells of no change, not even of a pending one. SA_AIS_ERR_NOT_EXIST:
 * the handle does not track. */
SaAisErrorT saClmClusterTrackStop(SaClmHandleT clmHandle);

/* Frees an array that saClmClusterTrack() allocated, or any memory from
 * malloc(3). On an error the memory is not freed. SA_AIS_ERR_INVALID_PARAM:
 * `notification` is NULL. */
#ifndef SA_CLM_NO_B01
SaAisErrorT
saClmClusterNotificationFree(SaClmHandleT clmHandle,
                             SaClmClusterNotificationT *notification);
#endif
SaAisErrorT
saClmClusterNotificationFree_4(SaClmHandleT clmHandle,
                               SaClmClusterNotificationT_4 *notification);

/* --- one node ------------------------------------------------------------- */

/* Gives the member with this id; SA_CLM_LOCAL_NODE_ID is the local node.
 * `timeout`, in ns, must not be negative. It has no other effect, since this
 * node knows the answer, so 0 will do.
 *
 * SA_AIS_ERR_INVALID_PARAM: `clusterNode` is NULL, the node id is 0, or the
 * timeout is negative.
 * SA_AIS_ERR_NOT_EXIST: no member has this id.
 * SA_AIS_ERR_TRY_AGAIN: the daemon has no view yet. */
#ifndef SA_CLM_NO_B01
SaAisErrorT saClmClusterNodeGet(SaClmHandleT clmHandle, SaClmNodeIdT nodeId,
                                SaTimeT timeout,
                                SaClmClusterNodeT *clusterNode);
#endif
SaAisErrorT saClmClusterNodeGet_4(SaClmHandleT clmHandle, SaClmNodeIdT nodeId,
                                  SaTimeT timeout,
                                  SaClmClusterNodeT_4 *clusterNode);

/* Does the same by a callback, which gets `invocation`. The callback also tells
 * if no member has this id.
 * SA_AIS_ERR_INVALID_PARAM: `invocation` or the node id is 0.
 * SA_AIS_ERR_INIT: the program gave no callback for it.
 * SA_AIS_ERR_TRY_AGAIN: the daemon has no view yet. */
SaAisErrorT saClmClusterNodeGetAsync(SaClmHandleT clmHandle,
                                     SaInvocationT invocation,
                                     SaClmNodeIdT nodeId);

/* Answers a track callback that had an invocation. No callback has one, so the
 * function returns SA_AIS_ERR_INVALID_PARAM, or SA_AIS_ERR_VERSION for a handle
 * of B.01. */
SaAisErrorT saClmResponse_4(SaClmHandleT clmHandle, SaInvocationT invocation,
                            SaClmResponseT response);

#ifdef __cplusplus
}
#endif

#endif
