/* SPDX-License-Identifier: BSD-3-Clause */
/* saCkpt.h - checkpoints: named data that the nodes of the cluster keep in
 * common, so that a program can go on where another one has ended. Library:
 * libSaCkpt (link with -lSaCkpt).
 *
 * The interface is SAI-AIS-CKPT-B.01.01 with the additions of B.02.02
 * (saCkptSectionIdFree(), saCkptIOVectorElementDataFree(), and `memoryUsed` of
 * 64 bits). The specification has a section for each function under its name,
 * in this order.
 *
 * A checkpoint has a name, known in the whole cluster, and sections, each with
 * an id and bytes. Every node that runs the service keeps a copy (a replica),
 * and all are changed in the same order. A write returns when it has its place
 * in that order: this node has applied it, whole, and every node that stays in
 * the cluster with this one does, most of them at the same time. The three
 * kinds of checkpoint (SA_CKPT_WR_...) differ in which functions they allow;
 * and where the daemon's file says ckpt { safe: on }, a write to one of
 * SA_CKPT_WR_ALL_REPLICAS returns only when every node has received it, as
 * saCkptCheckpointSynchronize() always does. Only a collocated one whose active
 * replica nobody has set yet has none, and then most functions give
 * SA_AIS_ERR_NOT_EXIST.
 *
 * Threads: every function may be called with the same handle from any threads
 * at the same time. Callbacks run in saCkptDispatch() and nowhere else, those
 * of one handle never at the same time, and may call any function,
 * saCkptFinalize() and saCkptDispatch() of their own handle included. After
 * fork() the child has no handles (SA_AIS_ERR_BAD_HANDLE); it may initialize
 * its own. No function is to be called from a signal handler.
 *
 * All functions with a handle: SA_AIS_ERR_BAD_HANDLE if it is not one of its
 * kind, or finalized, or closed, or that of which it came is;
 * SA_AIS_ERR_LIBRARY once the daemon is gone (or has disconnected this program,
 * because it did not dispatch): then only saCkptFinalize() makes sense, and a
 * new saCkptInitialize(). SA_AIS_ERR_TRY_AGAIN: not now, as when this node is
 * being brought up to date after it has met others; the same call will succeed
 * later. SA_AIS_ERR_NO_MEMORY: here, or the cluster's checkpoints have as many
 * bytes as they may. SA_AIS_ERR_NO_RESOURCES: another limit of the daemon, or
 * 4096 handles in this process. What is wrong with the parameters is looked
 * for first, then access, then existence. */
#ifndef OPENAIS_SACKPT_H
#define OPENAIS_SACKPT_H

#include "saAis.h"

#include <stddef.h> /* NULL */

#ifdef __cplusplus
extern "C" {
#endif

typedef SaUint64T SaCkptHandleT;
typedef SaUint64T SaCkptCheckpointHandleT;
typedef SaUint64T SaCkptSectionIterationHandleT;

/* --- checkpoints ---------------------------------------------------------- */

/* Exactly one of the first three, and COLLOCATED or not. */
typedef SaUint32T SaCkptCheckpointCreationFlagsT;

#define SA_CKPT_WR_ALL_REPLICAS 0x1
#define SA_CKPT_WR_ACTIVE_REPLICA 0x2
#define SA_CKPT_WR_ACTIVE_REPLICA_WEAK 0x4
/* With one of the two above: there is no active replica until somebody calls
 * saCkptActiveReplicaSet(). */
#define SA_CKPT_CHECKPOINT_COLLOCATED 0x8

/* What a handle is opened for, an or of these. */
typedef SaUint32T SaCkptCheckpointOpenFlagsT;

#define SA_CKPT_CHECKPOINT_READ 0x1
#define SA_CKPT_CHECKPOINT_WRITE 0x2
#define SA_CKPT_CHECKPOINT_CREATE 0x4

typedef struct {
    SaCkptCheckpointCreationFlagsT creationFlags;
    /* Bytes of all sections, at most maxSections * maxSectionSize. It is kept
     * and compared, but no limit: the two factors are. */
    SaSizeT checkpointSize;
    /* How long the checkpoint stays when nobody has it open, ns; SA_TIME_END:
     * for ever, 0: not at all. */
    SaTimeT retentionDuration;
    /* At least 1. With 1 there is one section, the default section, from the
     * beginning, and no others can be made. */
    SaUint32T maxSections;
    SaSizeT maxSectionSize;   /* bytes */
    SaSizeT maxSectionIdSize; /* bytes */
} SaCkptCheckpointCreationAttributesT;

/* The layout of B.02: 64 bytes. Programs that were linked with openais 1.1 get
 * that of B.01, by the version of the function's symbol. */
typedef struct {
    SaCkptCheckpointCreationAttributesT checkpointCreationAttributes;
    SaUint32T numberOfSections;
    SaSizeT memoryUsed; /* bytes in all sections */
} SaCkptCheckpointDescriptorT;

/* Of B.02; not used by a function. */
typedef enum {
    SA_CKPT_SECTION_RESOURCES_EXHAUSTED = 1,
    SA_CKPT_SECTION_RESOURCES_AVAILABLE = 2
} SaCkptCheckpointStatusT;

typedef enum { SA_CKPT_CHECKPOINT_STATUS = 1 } SaCkptStateT;

/* --- sections ------------------------------------------------------------- */

typedef struct {
    SaUint16T idLen; /* 1 to maxSectionIdSize; at most 256 in any case */
    SaUint8T *id;
} SaCkptSectionIdT;

/* Initializers: the one section of a checkpoint with maxSections 1, and for
 * saCkptSectionCreate(), an id that the service makes. */
#define SA_CKPT_DEFAULT_SECTION_ID                                             \
    {                                                                          \
        0, NULL                                                                \
    }
#define SA_CKPT_GENERATED_SECTION_ID                                           \
    {                                                                          \
        0, NULL                                                                \
    }

typedef struct {
    SaCkptSectionIdT *sectionId;
    SaTimeT expirationTime; /* absolute, ns; SA_TIME_END: never */
} SaCkptSectionCreationAttributesT;

typedef enum {
    SA_CKPT_SECTION_VALID = 1,
    SA_CKPT_SECTION_CORRUPTED = 2 /* does not occur here */
} SaCkptSectionStateT;

typedef struct {
    SaCkptSectionIdT sectionId; /* {0, NULL}: the default section */
    SaTimeT expirationTime;     /* absolute, ns */
    SaSizeT sectionSize;        /* bytes written, not the maximum */
    SaCkptSectionStateT sectionState;
    SaTimeT lastUpdate; /* absolute, ns: of the last write */
} SaCkptSectionDescriptorT;

typedef enum {
    SA_CKPT_SECTIONS_FOREVER = 1, /* that do not expire */
    SA_CKPT_SECTIONS_LEQ_EXPIRATION_TIME = 2,
    SA_CKPT_SECTIONS_GEQ_EXPIRATION_TIME = 3,
    SA_CKPT_SECTIONS_CORRUPTED = 4,
    SA_CKPT_SECTIONS_ANY = 5
} SaCkptSectionsChosenT;

/* A piece of a section, to be written or read. */
typedef struct {
    SaCkptSectionIdT sectionId;
    void *dataBuffer;
    SaSizeT dataSize; /* of the buffer, bytes */
    SaOffsetT dataOffset;
    SaSizeT readSize; /* bytes that were read; not looked at by a write */
} SaCkptIOVectorElementT;

/* --- callbacks ------------------------------------------------------------ */

/* `checkpointHandle` is valid if `error` is SA_AIS_OK, else 0. Errors:
 * those of saCkptCheckpointOpen() that are not told at once. */
typedef void (*SaCkptCheckpointOpenCallbackT)(
    SaInvocationT invocation, SaCkptCheckpointHandleT checkpointHandle,
    SaAisErrorT error);

/* Errors: those of saCkptCheckpointSynchronize() that are not told at once. */
typedef void (*SaCkptCheckpointSynchronizeCallbackT)(SaInvocationT invocation,
                                                     SaAisErrorT error);

/* Either may be NULL: then the function that would need it gives
 * SA_AIS_ERR_INIT. */
typedef struct {
    SaCkptCheckpointOpenCallbackT saCkptCheckpointOpenCallback;
    SaCkptCheckpointSynchronizeCallbackT saCkptCheckpointSynchronizeCallback;
} SaCkptCallbacksT;

/* --- life cycle ----------------------------------------------------------- */

/* Connects to the daemon of this node. *ckptHandle is set on SA_AIS_OK;
 * `callbacks` is copied, and may be NULL. The daemon is found in the directory
 * named by the environment variable OPENAIS_RUNDIR (ignored in setuid
 * programs), else in /run/openais.
 *
 * *version: before, what the program is written to: release 'B', major version
 * 1 or 2, any minor version. After, on SA_AIS_OK and SA_AIS_ERR_VERSION, what
 * is supported: B.2.2.
 *
 * SA_AIS_ERR_INVALID_PARAM: `ckptHandle` or `version` is NULL.
 * SA_AIS_ERR_VERSION: another release or major version.
 * SA_AIS_ERR_TRY_AGAIN: no daemon answers, or it is not up to date after 2 s.
 * SA_AIS_ERR_ACCESS: neither root nor in the group that may connect.
 * SA_AIS_ERR_NO_RESOURCES: no descriptors; the daemon has as many clients as it
 * may; 4096 handles in this process. */
SaAisErrorT saCkptInitialize(SaCkptHandleT *ckptHandle,
                             const SaCkptCallbacksT *callbacks,
                             SaVersionT *version);

/* The descriptor of this handle, always the same, until saCkptFinalize().
 * SA_AIS_ERR_INVALID_PARAM: `selectionObject` is NULL. */
SaAisErrorT saCkptSelectionObjectGet(SaCkptHandleT ckptHandle,
                                     SaSelectionObjectT *selectionObject);

/* Runs callbacks in the calling thread, as SA_DISPATCH_... says. OK if none is
 * pending (ONE, ALL), and when another thread or a callback has finalized the
 * handle. SA_AIS_ERR_LIBRARY comes after the callbacks that were pending.
 * SA_AIS_ERR_INVALID_PARAM: other flags. */
SaAisErrorT saCkptDispatch(SaCkptHandleT ckptHandle,
                           SaDispatchFlagsT dispatchFlags);

/* Ends the handle, the handles of all checkpoints opened with it and those of
 * their iterations: the checkpoints are closed, pending callbacks are lost, the
 * descriptor is closed. A callback that runs in another thread may still
 * finish; a call that waits there gives SA_AIS_ERR_BAD_HANDLE, a dispatch
 * SA_AIS_OK. */
SaAisErrorT saCkptFinalize(SaCkptHandleT ckptHandle);

/* --- checkpoints: functions ----------------------------------------------- */

/* Opens the checkpoint of this name, or creates it (CREATE in the flags, and
 * attributes, else NULL). If it exists, CREATE with the same attributes opens
 * it; the retention duration is not compared, nor changed.
 *
 * `timeout` in ns; 0: 30 s, SA_TIME_END: no limit. After SA_AIS_ERR_TIMEOUT the
 * checkpoint may have been created; if it is opened after all it is closed
 * again by one of the next calls with this ckptHandle.
 *
 * SA_AIS_ERR_INVALID_PARAM: `checkpointName` or `checkpointHandle` is NULL; a
 * name of 0 bytes; CREATE without attributes, attributes without CREATE;
 * attributes that are not as said at their type (checkpointSize, creationFlags,
 * a negative retentionDuration, no sections); a negative timeout.
 * SA_AIS_ERR_TOO_BIG: a name of more than 256 bytes.
 * SA_AIS_ERR_BAD_FLAGS: flags 0, or unknown ones.
 * SA_AIS_ERR_NOT_EXIST: no such checkpoint, and no CREATE.
 * SA_AIS_ERR_EXIST: there is one with other attributes.
 * SA_AIS_ERR_NO_RESOURCES: no more checkpoints.
 * SA_AIS_ERR_TIMEOUT. */
SaAisErrorT saCkptCheckpointOpen(
    SaCkptHandleT ckptHandle, const SaNameT *checkpointName,
    const SaCkptCheckpointCreationAttributesT *checkpointCreationAttributes,
    SaCkptCheckpointOpenFlagsT checkpointOpenFlags, SaTimeT timeout,
    SaCkptCheckpointHandleT *checkpointHandle);

/* The same by a callback, which gets `invocation` and the handle. NOT_EXIST,
 * EXIST and NO_RESOURCES are told there. SA_AIS_ERR_INIT: no callback for
 * it. */
SaAisErrorT saCkptCheckpointOpenAsync(
    SaCkptHandleT ckptHandle, SaInvocationT invocation,
    const SaNameT *checkpointName,
    const SaCkptCheckpointCreationAttributesT *checkpointCreationAttributes,
    SaCkptCheckpointOpenFlagsT checkpointOpenFlags);

/* Ends the handle and those of its iterations; pending callbacks of it are
 * lost. With the last handle in the cluster the retention duration begins. */
SaAisErrorT saCkptCheckpointClose(SaCkptCheckpointHandleT checkpointHandle);

/* Takes the name away, at once and in the whole cluster: the checkpoint is
 * deleted when the last handle is closed, and those that are open work until
 * then. Another of this name may be created meanwhile.
 *
 * SA_AIS_ERR_INVALID_PARAM: the name is NULL or of 0 bytes.
 * SA_AIS_ERR_TOO_BIG: a name of more than 256 bytes.
 * SA_AIS_ERR_NOT_EXIST: no such checkpoint. */
SaAisErrorT saCkptCheckpointUnlink(SaCkptHandleT ckptHandle,
                                   const SaNameT *checkpointName);

/* `retentionDuration` as in the attributes. SA_AIS_ERR_INVALID_PARAM: it is
 * negative. SA_AIS_ERR_BAD_OPERATION: the checkpoint is unlinked. */
SaAisErrorT
saCkptCheckpointRetentionDurationSet(SaCkptCheckpointHandleT checkpointHandle,
                                     SaTimeT retentionDuration);

/* Makes the replica of this node the active one, until another node does so, or
 * nobody has the checkpoint open on this one.
 * SA_AIS_ERR_ACCESS: not opened for writing.
 * SA_AIS_ERR_BAD_OPERATION: not collocated, or SA_CKPT_WR_ALL_REPLICAS. */
SaAisErrorT saCkptActiveReplicaSet(SaCkptCheckpointHandleT checkpointHandle);

/* SA_AIS_ERR_INVALID_PARAM: `checkpointStatus` is NULL.
 * SA_AIS_ERR_NOT_EXIST: no active replica. */
SaAisErrorT
saCkptCheckpointStatusGet(SaCkptCheckpointHandleT checkpointHandle,
                          SaCkptCheckpointDescriptorT *checkpointStatus);

/* --- sections: functions -------------------------------------------------- */

/* Makes a section with this content; `initialData` may be NULL if the size is
 * 0. If the id is SA_CKPT_GENERATED_SECTION_ID, it becomes one that the service
 * has made, in memory that the library allocates, for the caller to free with
 * saCkptSectionIdFree() or free(3).
 *
 * SA_AIS_ERR_INVALID_PARAM: `sectionCreationAttributes` or the pointer to the
 * id is NULL; an id longer than maxSectionIdSize; of length 0 and not NULL, or
 * the reverse; data NULL with a size; data larger than maxSectionSize.
 * SA_AIS_ERR_ACCESS: not opened for writing.
 * SA_AIS_ERR_NOT_EXIST: no active replica.
 * SA_AIS_ERR_EXIST: there is a section of this id; maxSections is 1.
 * SA_AIS_ERR_NO_SPACE: maxSections is reached.
 * SA_AIS_ERR_NO_RESOURCES: larger than the service can take at once
 * (message_max of openais.conf(5)); an id of more than 256 bytes. */
SaAisErrorT
saCkptSectionCreate(SaCkptCheckpointHandleT checkpointHandle,
                    SaCkptSectionCreationAttributesT *sectionCreationAttributes,
                    const void *initialData, SaSizeT initialDataSize);

/* SA_AIS_ERR_INVALID_PARAM: `sectionId` is NULL, or the default section; its id
 * is NULL with a length. SA_AIS_ERR_ACCESS: not opened for writing.
 * SA_AIS_ERR_NOT_EXIST: no such section, or it has expired; an id longer than
 * any section's may be; no active replica. */
SaAisErrorT saCkptSectionDelete(SaCkptCheckpointHandleT checkpointHandle,
                                const SaCkptSectionIdT *sectionId);

/* Frees an id that saCkptSectionCreate() allocated; it accepts any memory of
 * malloc(3). SA_AIS_ERR_INVALID_PARAM: `id` is NULL. On an error it is not
 * freed. */
SaAisErrorT saCkptSectionIdFree(SaCkptCheckpointHandleT checkpointHandle,
                                SaUint8T *id);

/* `expirationTime` is absolute, ns; SA_TIME_END: never; one that is past
 * deletes the section at once. Errors: those of saCkptSectionDelete(). */
SaAisErrorT
saCkptSectionExpirationTimeSet(SaCkptCheckpointHandleT checkpointHandle,
                               const SaCkptSectionIdT *sectionId,
                               SaTimeT expirationTime);

/* Begins to go through the sections that are chosen, in the order in which they
 * were created. `expirationTime` is looked at for LEQ and GEQ only. 0 for
 * `sectionsChosen` is SA_CKPT_SECTIONS_ANY (programs of openais 0.80 have
 * that). Sections that are created or deleted meanwhile may be told or not.
 *
 * SA_AIS_ERR_INVALID_PARAM: `sectionIterationHandle` is NULL; `sectionsChosen`
 * is none of these. SA_AIS_ERR_NOT_EXIST: no active replica. */
SaAisErrorT saCkptSectionIterationInitialize(
    SaCkptCheckpointHandleT checkpointHandle,
    SaCkptSectionsChosenT sectionsChosen, SaTimeT expirationTime,
    SaCkptSectionIterationHandleT *sectionIterationHandle);

/* The next one. The memory of its id is the iteration's: valid until the next
 * call with the same handle, or its end.
 *
 * SA_AIS_ERR_INVALID_PARAM: `sectionDescriptor` is NULL.
 * SA_AIS_ERR_NO_SECTIONS: there are no more.
 * SA_AIS_ERR_NOT_EXIST: no active replica any more. */
SaAisErrorT
saCkptSectionIterationNext(SaCkptSectionIterationHandleT sectionIterationHandle,
                           SaCkptSectionDescriptorT *sectionDescriptor);

SaAisErrorT saCkptSectionIterationFinalize(
    SaCkptSectionIterationHandleT sectionIterationHandle);

/* --- data ----------------------------------------------------------------- */

/* Writes all elements, in order, or (on an error) none. A section grows up to
 * maxSectionSize; a gap before `dataOffset` becomes zeroes. No one reads a part
 * of a call's change to a section.
 *
 * *erroneousVectorIndex (the pointer may be NULL) becomes the index of the
 * element at fault, if one is.
 *
 * SA_AIS_ERR_INVALID_PARAM: `ioVector` is NULL; no elements; an element's data
 * are NULL with a size; an id is NULL with a length; dataOffset + dataSize is
 * more than maxSectionSize. SA_AIS_ERR_ACCESS: not opened for writing.
 * SA_AIS_ERR_NOT_EXIST: no such section, or it has expired; no active replica.
 * SA_AIS_ERR_NO_RESOURCES: more data than the service takes at once
 * (message_max of openais.conf(5)); elements and ids of more than 4 KB (16
 * bytes for each, and its id). */
SaAisErrorT saCkptCheckpointWrite(SaCkptCheckpointHandleT checkpointHandle,
                                  const SaCkptIOVectorElementT *ioVector,
                                  SaUint32T numberOfElements,
                                  SaUint32T *erroneousVectorIndex);

/* Replaces the content of a section; its size becomes `dataSize`.
 * SA_AIS_ERR_INVALID_PARAM: `sectionId` or `dataBuffer` is NULL; an id that is
 * NULL with a length; dataSize is more than maxSectionSize. Else as
 * saCkptCheckpointWrite(). */
SaAisErrorT saCkptSectionOverwrite(SaCkptCheckpointHandleT checkpointHandle,
                                   const SaCkptSectionIdT *sectionId,
                                   const void *dataBuffer, SaSizeT dataSize);

/* Reads the elements, in order. `readSize` becomes what was read: less than
 * `dataSize` if the section ends before. If `dataBuffer` is NULL, `dataSize` is
 * not looked at: the library sets it to memory that it allocates, with
 * everything from `dataOffset` to the section's end, for the caller to free
 * with saCkptIOVectorElementDataFree() or free(3). What one element reads is
 * the section as it was at one moment. On an error, elements before the one at
 * fault are read, but memory that was allocated is freed again, and its
 * `dataBuffer` NULL.
 *
 * *erroneousVectorIndex as above.
 *
 * SA_AIS_ERR_INVALID_PARAM: `ioVector` is NULL; no elements; an id that is NULL
 * with a length; dataSize is more than maxSectionSize; dataOffset is beyond the
 * section's end.
 * SA_AIS_ERR_ACCESS: not opened for reading.
 * SA_AIS_ERR_NOT_EXIST: no such section, or it has expired; no active replica.
 * SA_AIS_ERR_TRY_AGAIN: also if the section is written to all the time, and is
 * too large to be read at once. */
SaAisErrorT saCkptCheckpointRead(SaCkptCheckpointHandleT checkpointHandle,
                                 SaCkptIOVectorElementT *ioVector,
                                 SaUint32T numberOfElements,
                                 SaUint32T *erroneousVectorIndex);

/* Frees what saCkptCheckpointRead() allocated; it accepts any memory of
 * malloc(3). SA_AIS_ERR_INVALID_PARAM: `data` is NULL. On an error it is not
 * freed. */
SaAisErrorT
saCkptIOVectorElementDataFree(SaCkptCheckpointHandleT checkpointHandle,
                              void *data);

/* Returns when all replicas have what was written before. `timeout` in ns,
 * SA_TIME_END: no limit; 0 gives SA_AIS_ERR_TIMEOUT.
 *
 * SA_AIS_ERR_INVALID_PARAM: a negative timeout.
 * SA_AIS_ERR_ACCESS: not opened for writing.
 * SA_AIS_ERR_BAD_OPERATION: SA_CKPT_WR_ALL_REPLICAS.
 * SA_AIS_ERR_NOT_EXIST: no active replica.
 * SA_AIS_ERR_TIMEOUT. */
SaAisErrorT
saCkptCheckpointSynchronize(SaCkptCheckpointHandleT checkpointHandle,
                            SaTimeT timeout);

/* The same by a callback, which gets `invocation`. SA_AIS_ERR_INIT: no callback
 * for it. */
SaAisErrorT
saCkptCheckpointSynchronizeAsync(SaCkptCheckpointHandleT checkpointHandle,
                                 SaInvocationT invocation);

#ifdef __cplusplus
}
#endif

#endif
