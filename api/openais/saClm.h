/* SPDX-License-Identifier: BSD-3-Clause */
/* saClm.h - cluster membership: which nodes are in the cluster, what is known
 * of them, and how that changes. Library: libSaClm (link with -lSaClm).
 *
 * Two forms of one interface: SAI-AIS-CLM-B.01.01 (with the one addition of
 * B.02, saClmClusterNotificationFree()) and SAI-AIS-CLM-B.04.01, whose
 * functions end in _4. A handle belongs to the form that initialized it:
 * functions of the other give SA_AIS_ERR_VERSION. Both specifications have a
 * section for each function under its name, in this order.
 *
 * A view is the set of members between two changes. All members see the same
 * views in the same order, and each has a number that grows with every change
 * (not always by one).
 *
 * Threads: every function may be called with the same handle from any threads
 * at the same time. Callbacks run in saClmDispatch() and nowhere else, those of
 * one handle never at the same time, and may call any function, saClmFinalize()
 * and saClmDispatch() of their own handle included. After fork() the child has
 * no handles (SA_AIS_ERR_BAD_HANDLE); it may initialize its own. No function is
 * to be called from a signal handler.
 *
 * All functions with a handle: SA_AIS_ERR_BAD_HANDLE if it is not one, or
 * finalized; SA_AIS_ERR_LIBRARY once the daemon is gone (or has disconnected
 * this program, because it did not dispatch): then only saClmFinalize() makes
 * sense, and a new saClmInitialize(). SA_AIS_ERR_NO_MEMORY. */
#ifndef OPENAIS_SACLM_H
#define OPENAIS_SACLM_H

#include "saAis.h"
#include "saNtf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef SaUint64T SaClmHandleT;

/* Never 0 nor SA_CLM_LOCAL_NODE_ID; the same as long as the node is member. */
typedef SaUint32T SaClmNodeIdT;

#define SA_CLM_LOCAL_NODE_ID 0xFFFFFFFF
#define SA_CLM_MAX_ADDRESS_LENGTH 64

typedef enum {
    SA_CLM_AF_INET = 1,
    SA_CLM_AF_INET6 = 2
} SaClmNodeAddressFamilyT;

/* The address that the cluster's traffic goes over, as text. A zero byte
 * follows the `length` bytes that count. */
typedef struct {
    SaClmNodeAddressFamilyT family;
    SaUint16T length; /* at most SA_CLM_MAX_ADDRESS_LENGTH - 1 */
    SaUint8T value[SA_CLM_MAX_ADDRESS_LENGTH];
} SaClmNodeAddressT;

/* What happened to a node in a view, against the view before. Those after LEFT
 * are never reported here. */
typedef enum {
    SA_CLM_NODE_NO_CHANGE = 1,
    SA_CLM_NODE_JOINED = 2,
    SA_CLM_NODE_LEFT = 3,
    SA_CLM_NODE_RECONFIGURED = 4,
    SA_CLM_NODE_UNLOCK = 5,
    SA_CLM_NODE_SHUTDOWN = 6
} SaClmClusterChangesT;

/* Of administrative operations, which this service does not have. */
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

/* How far a change has come. Only COMPLETED is reported here: the others are of
 * changes that an administrator asks for. */
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

/* The nodes that were asked for: the own one first if it is among them, then
 * ascending by id. `numberOfMembers` counts the view's members, not the items.
 * The buffer is valid until the callback returns. `error`: SA_AIS_OK, or
 * SA_AIS_ERR_NO_MEMORY: the list is empty for want of memory; track anew. */
typedef void (*SaClmClusterTrackCallbackT)(
    const SaClmClusterNotificationBufferT *notificationBuffer,
    SaUint32T numberOfMembers, SaAisErrorT error);

/* The answer to the saClmClusterNodeGetAsync() of this invocation. `error`:
 * SA_AIS_OK; SA_AIS_ERR_NOT_EXIST: no member has this id, and the node's fields
 * are zero. The node is valid until the callback returns. */
typedef void (*SaClmClusterNodeGetCallbackT)(
    SaInvocationT invocation, const SaClmClusterNodeT *clusterNode,
    SaAisErrorT error);

/* NULL: the calls that need it give SA_AIS_ERR_INIT. */
typedef struct {
    SaClmClusterNodeGetCallbackT saClmClusterNodeGetCallback;
    SaClmClusterTrackCallbackT saClmClusterTrackCallback;
} SaClmCallbacksT;

/* Of B.03, whose saClmInitialize_3() is not here. */
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

/* As in B.01, and: `invocation` is 0 and `timeSupervision` SA_TIME_UNKNOWN (no
 * answer is awaited), `step` SA_CLM_CHANGE_COMPLETED. `rootCauseEntity` is the
 * name of a node that the change is about; empty if that is not among the items
 * or nothing has changed. `correlationIds` are all SA_NTF_IDENTIFIER_UNUSED.
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
 * *version: before, what the program is written to: release 'B', major version
 * 1 (saClmInitialize) or 2 to 4 (saClmInitialize_4), any minor version. After,
 * on SA_AIS_OK and SA_AIS_ERR_VERSION, what is supported: B.1.1 or B.4.1.
 *
 * SA_AIS_ERR_INVALID_PARAM: `clmHandle` or `version` is NULL.
 * SA_AIS_ERR_VERSION: another release or major version.
 * SA_AIS_ERR_TRY_AGAIN: no daemon answers, or it has no view yet.
 * SA_AIS_ERR_ACCESS: neither root nor in the group that may connect.
 * SA_AIS_ERR_NO_RESOURCES: no descriptors; the daemon has as many clients as it
 * may; 4096 handles in this process. */
#ifndef SA_CLM_NO_B01
SaAisErrorT saClmInitialize(SaClmHandleT *clmHandle,
                            const SaClmCallbacksT *clmCallbacks,
                            SaVersionT *version);
#endif
SaAisErrorT saClmInitialize_4(SaClmHandleT *clmHandle,
                              const SaClmCallbacksT_4 *clmCallbacks,
                              SaVersionT *version);

/* The descriptor of this handle, always the same, until saClmFinalize().
 * SA_AIS_ERR_INVALID_PARAM: `selectionObject` is NULL. */
SaAisErrorT saClmSelectionObjectGet(SaClmHandleT clmHandle,
                                    SaSelectionObjectT *selectionObject);

/* Runs callbacks in the calling thread, as SA_DISPATCH_... says. OK if none is
 * pending (ONE, ALL), and when another thread or a callback has finalized the
 * handle. SA_AIS_ERR_LIBRARY comes after the callbacks that were pending.
 * SA_AIS_ERR_INVALID_PARAM: other flags. */
SaAisErrorT saClmDispatch(SaClmHandleT clmHandle,
                          SaDispatchFlagsT dispatchFlags);

/* Ends the handle: tracking stops, pending callbacks are lost, the descriptor
 * is closed. A callback that runs in another thread may still finish; a call
 * that waits there gives SA_AIS_ERR_BAD_HANDLE, a dispatch SA_AIS_OK. */
SaAisErrorT saClmFinalize(SaClmHandleT clmHandle);

/* --- tracking ------------------------------------------------------------- */

/* `trackFlags`, one at least of the first three:
 * CURRENT: the members now: in *notificationBuffer, or if that is NULL, by one
 *     callback.
 * CHANGES: a callback at each view from now on, with all its members and those
 *     that left with this change.
 * CHANGES_ONLY: the same, with those only that joined or left. It and CHANGES
 *     exclude each other; the later call replaces the earlier.
 * LOCAL: with one of those; only the own node is in the list.
 * START_STEP, VALIDATE_STEP (saClmClusterTrack_4, with CHANGES or
 * CHANGES_ONLY): accepted; no such steps occur here.
 *
 * *notificationBuffer (looked at with CURRENT only): if `notification` is NULL,
 * the library sets it to an array of `numberOfItems` that it allocates, for the
 * caller to free with saClmClusterNotificationFree() or free(3). Else it is the
 * caller's array of `numberOfItems`; after, that many are filled.
 *
 * On an error nothing is tracked that was not before, and no callback comes.
 * SA_AIS_ERR_BAD_FLAGS: no such combination.
 * SA_AIS_ERR_INVALID_PARAM: an array of 0 items.
 * SA_AIS_ERR_NO_SPACE: the array is too small; `numberOfItems` is what it would
 * need now.
 * SA_AIS_ERR_INIT: a callback would be needed that was not given.
 * SA_AIS_ERR_TRY_AGAIN: the daemon has no view yet. */
#ifndef SA_CLM_NO_B01
SaAisErrorT
saClmClusterTrack(SaClmHandleT clmHandle, SaUint8T trackFlags,
                  SaClmClusterNotificationBufferT *notificationBuffer);
#endif
SaAisErrorT
saClmClusterTrack_4(SaClmHandleT clmHandle, SaUint8T trackFlags,
                    SaClmClusterNotificationBufferT_4 *notificationBuffer);

/* Ends CHANGES or CHANGES_ONLY; no saClmDispatch() called after it has returned
 * tells of a change, pending ones included. SA_AIS_ERR_NOT_EXIST: there is none
 * on this handle. */
SaAisErrorT saClmClusterTrackStop(SaClmHandleT clmHandle);

/* Frees an array that saClmClusterTrack() allocated; it accepts any memory of
 * malloc(3). SA_AIS_ERR_INVALID_PARAM: `notification` is NULL. On an error it
 * is not freed. */
#ifndef SA_CLM_NO_B01
SaAisErrorT
saClmClusterNotificationFree(SaClmHandleT clmHandle,
                             SaClmClusterNotificationT *notification);
#endif
SaAisErrorT
saClmClusterNotificationFree_4(SaClmHandleT clmHandle,
                               SaClmClusterNotificationT_4 *notification);

/* --- one node ------------------------------------------------------------- */

/* The member of this id, or SA_CLM_LOCAL_NODE_ID. `timeout` in ns must not be
 * negative; else it has no effect, since the answer is known on this node, and
 * 0 will do.
 *
 * SA_AIS_ERR_INVALID_PARAM: `clusterNode` is NULL, node id 0, timeout < 0.
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

/* The same by a callback, which gets `invocation`; that no member has this id
 * is told there. SA_AIS_ERR_INVALID_PARAM: invocation or node id 0.
 * SA_AIS_ERR_INIT: no callback for it. SA_AIS_ERR_TRY_AGAIN. */
SaAisErrorT saClmClusterNodeGetAsync(SaClmHandleT clmHandle,
                                     SaInvocationT invocation,
                                     SaClmNodeIdT nodeId);

/* Answers a track callback that had an invocation. None has, so it gives
 * SA_AIS_ERR_INVALID_PARAM; SA_AIS_ERR_VERSION on a handle of B.01. */
SaAisErrorT saClmResponse_4(SaClmHandleT clmHandle, SaInvocationT invocation,
                            SaClmResponseT response);

#ifdef __cplusplus
}
#endif

#endif
