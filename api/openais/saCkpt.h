/* SPDX-License-Identifier: BSD-3-Clause */
/* saCkpt.h - checkpoints: named data of which every node keeps a copy, so that
 * a program can go on where another one has ended. Library: libSaCkpt (link
 * with -lSaCkpt).
 *
 * The interface is SAI-AIS-CKPT-B.01.01 with the additions of B.02.02
 * (saCkptSectionIdFree(), saCkptIOVectorElementDataFree(), and `memoryUsed` of
 * 64 bits). The specification has a section for each function under its name,
 * in this order.
 *
 * A checkpoint has a name, which is known in the whole cluster, and sections.
 * Each section has an id and bytes. Every node that runs the service keeps a
 * copy (a replica), and all nodes apply the changes in the same order. A write
 * returns when it has its place in that order: this node has applied the whole
 * write, and every node that stays in the cluster with this one applies it too,
 * most of them at the same time.
 *
 * The three kinds of checkpoint (SA_CKPT_WR_...) differ in which functions they
 * allow. Where the daemon's file says ckpt { safe: on }, a write to a
 * checkpoint of SA_CKPT_WR_ALL_REPLICAS returns only when every node has
 * received it, as saCkptCheckpointSynchronize() always does. A collocated
 * checkpoint has no active replica until a program sets one; until then most
 * functions return SA_AIS_ERR_NOT_EXIST. All other checkpoints always have one.
 *
 * Threads: any number of threads may call the functions with the same handle at
 * the same time. Callbacks run only in saCkptDispatch(), and those of one
 * handle never run at the same time. A callback may call any function, also
 * saCkptFinalize() and saCkptDispatch() with its own handle. After fork() the
 * handles do not work in the child (SA_AIS_ERR_BAD_HANDLE), which may
 * initialize its own. A signal handler may not call any function.
 *
 * Every function that takes a handle may return these errors. It looks for
 * faults of the parameters first, then of access, then of existence.
 * SA_AIS_ERR_BAD_HANDLE: the handle does not exist or is of another kind, or it
 * or the handle from which it was made has been finalized or closed.
 * SA_AIS_ERR_LIBRARY: the daemon is gone, or has disconnected this program
 * because the program did not dispatch. Finalize the handle, and initialize a
 * new one.
 * SA_AIS_ERR_TRY_AGAIN: the service cannot do it now, as when this node is
 * being brought up to date after it has met others. The same call will succeed
 * later. SA_AIS_ERR_NO_MEMORY: there is no memory, or the cluster's checkpoints
 * have reached the limit of their bytes. SA_AIS_ERR_NO_RESOURCES: another limit
 * of the daemon is reached, or this process has 8192 handles. */
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

/* Exactly one of the first three, with or without COLLOCATED. */
typedef SaUint32T SaCkptCheckpointCreationFlagsT;

#define SA_CKPT_WR_ALL_REPLICAS 0x1
#define SA_CKPT_WR_ACTIVE_REPLICA 0x2
#define SA_CKPT_WR_ACTIVE_REPLICA_WEAK 0x4
/* Goes with one of the two above: there is no active replica until a program
 * calls saCkptActiveReplicaSet(). */
#define SA_CKPT_CHECKPOINT_COLLOCATED 0x8

/* What a handle is opened for: the bitwise or of these. */
typedef SaUint32T SaCkptCheckpointOpenFlagsT;

#define SA_CKPT_CHECKPOINT_READ 0x1
#define SA_CKPT_CHECKPOINT_WRITE 0x2
#define SA_CKPT_CHECKPOINT_CREATE 0x4

typedef struct {
    SaCkptCheckpointCreationFlagsT creationFlags;
    /* Bytes of all sections, at most maxSections * maxSectionSize. The service
     * keeps and compares this value, but its two factors are the limits. */
    SaSizeT checkpointSize;
    /* How long the checkpoint stays when nobody has it open, ns. It stays for
     * ever with SA_TIME_END, and is deleted at once with 0. */
    SaTimeT retentionDuration;
    /* At least 1. With 1, the checkpoint has one section from its beginning,
     * the default section, and no others can be created. */
    SaUint32T maxSections;
    SaSizeT maxSectionSize;   /* bytes */
    SaSizeT maxSectionIdSize; /* bytes */
} SaCkptCheckpointCreationAttributesT;

/* This is the layout of B.02, of 64 bytes. Programs that were linked with
 * openais 1.1 get that of B.01, by the version of the function's symbol. */
typedef struct {
    SaCkptCheckpointCreationAttributesT checkpointCreationAttributes;
    SaUint32T numberOfSections;
    SaSizeT memoryUsed; /* bytes in all sections */
} SaCkptCheckpointDescriptorT;

/* These types are from B.02. No function uses them. */
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

/* Initializers: for the one section of a checkpoint with maxSections 1, and for
 * an id that saCkptSectionCreate() is to make. */
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

/* `checkpointHandle` is valid if `error` is SA_AIS_OK, else it is 0. The errors
 * are those of saCkptCheckpointOpen() that are not told at once. */
typedef void (*SaCkptCheckpointOpenCallbackT)(
    SaInvocationT invocation, SaCkptCheckpointHandleT checkpointHandle,
    SaAisErrorT error);

/* The errors are those of saCkptCheckpointSynchronize() that are not told at
 * once. */
typedef void (*SaCkptCheckpointSynchronizeCallbackT)(SaInvocationT invocation,
                                                     SaAisErrorT error);

/* Either may be NULL. The function that needs it then returns
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
 * Set *version to the version that the program is written for: release 'B',
 * major version 1 or 2, any minor version. On SA_AIS_OK and SA_AIS_ERR_VERSION
 * it becomes the version that is supported, B.2.2.
 *
 * SA_AIS_ERR_INVALID_PARAM: `ckptHandle` or `version` is NULL.
 * SA_AIS_ERR_VERSION: another release or major version.
 * SA_AIS_ERR_TRY_AGAIN: no daemon answers, or it is not up to date after 2 s.
 * SA_AIS_ERR_ACCESS: the user is neither root nor in the group that may
 * connect. SA_AIS_ERR_NO_RESOURCES: there are no descriptors; the daemon has
 * reached its limit of clients; this process has 8192 handles. */
SaAisErrorT saCkptInitialize(SaCkptHandleT *ckptHandle,
                             const SaCkptCallbacksT *callbacks,
                             SaVersionT *version);

/* Gives the handle's descriptor, which stays the same until saCkptFinalize().
 * SA_AIS_ERR_INVALID_PARAM: `selectionObject` is NULL. */
SaAisErrorT saCkptSelectionObjectGet(SaCkptHandleT ckptHandle,
                                     SaSelectionObjectT *selectionObject);

/* Runs callbacks in the calling thread, as SA_DISPATCH_... says. The
 * result is SA_AIS_OK too if no callback is pending (ONE, ALL), or if another
 * thread or a callback has finalized the handle. If the daemon is gone, the
 * pending callbacks still run before SA_AIS_ERR_LIBRARY is returned.
 * SA_AIS_ERR_INVALID_PARAM: the flags are unknown. */
SaAisErrorT saCkptDispatch(SaCkptHandleT ckptHandle,
                           SaDispatchFlagsT dispatchFlags);

/* Ends the handle, the handles of all checkpoints opened with it and those of
 * their iterations. The checkpoints are closed, pending callbacks are lost, and
 * the descriptor is closed. A callback that is running in another thread may
 * still finish. A call that waits in another thread returns
 * SA_AIS_ERR_BAD_HANDLE, or SA_AIS_OK if it is saCkptDispatch(). */
SaAisErrorT saCkptFinalize(SaCkptHandleT ckptHandle);

/* --- checkpoints: functions ----------------------------------------------- */

/* Opens the checkpoint of this name, or creates it. To create it, give CREATE
 * in the flags and attributes; without CREATE the attributes are NULL. If the
 * checkpoint exists, CREATE with the same attributes opens it. The retention
 * duration is neither compared nor changed.
 *
 * `timeout` is in ns; 0 means 30 s, and SA_TIME_END no limit. After
 * SA_AIS_ERR_TIMEOUT the checkpoint may have been created. If the daemon opens
 * it after all, one of the next calls with this ckptHandle closes it again.
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

/* Does the same by a callback, which gets `invocation` and the handle. The
 * callback tells NOT_EXIST, EXIST and NO_RESOURCES.
 * SA_AIS_ERR_INIT: the program gave no callback for it. */
SaAisErrorT saCkptCheckpointOpenAsync(
    SaCkptHandleT ckptHandle, SaInvocationT invocation,
    const SaNameT *checkpointName,
    const SaCkptCheckpointCreationAttributesT *checkpointCreationAttributes,
    SaCkptCheckpointOpenFlagsT checkpointOpenFlags);

/* Ends the handle and those of its iterations. Its pending callbacks are lost.
 * When the last handle in the cluster is closed, the retention duration
 * begins. */
SaAisErrorT saCkptCheckpointClose(SaCkptCheckpointHandleT checkpointHandle);

/* Takes the name away, at once and in the whole cluster. The checkpoint is
 * deleted when its last handle is closed, and open handles work until then.
 * Another checkpoint of this name may be created meanwhile.
 *
 * SA_AIS_ERR_INVALID_PARAM: the name is NULL or of 0 bytes.
 * SA_AIS_ERR_TOO_BIG: a name of more than 256 bytes.
 * SA_AIS_ERR_NOT_EXIST: no such checkpoint. */
SaAisErrorT saCkptCheckpointUnlink(SaCkptHandleT ckptHandle,
                                   const SaNameT *checkpointName);

/* Sets the `retentionDuration` of the attributes.
 * SA_AIS_ERR_INVALID_PARAM: it is negative.
 * SA_AIS_ERR_BAD_OPERATION: the checkpoint is unlinked. */
SaAisErrorT
saCkptCheckpointRetentionDurationSet(SaCkptCheckpointHandleT checkpointHandle,
                                     SaTimeT retentionDuration);

/* Makes the replica of this node the active one, until another node does the
 * same or no program on this node has the checkpoint open.
 * SA_AIS_ERR_ACCESS: the handle was not opened for writing.
 * SA_AIS_ERR_BAD_OPERATION: not collocated, or SA_CKPT_WR_ALL_REPLICAS. */
SaAisErrorT saCkptActiveReplicaSet(SaCkptCheckpointHandleT checkpointHandle);

/* SA_AIS_ERR_INVALID_PARAM: `checkpointStatus` is NULL.
 * SA_AIS_ERR_NOT_EXIST: there is no active replica. */
SaAisErrorT
saCkptCheckpointStatusGet(SaCkptCheckpointHandleT checkpointHandle,
                          SaCkptCheckpointDescriptorT *checkpointStatus);

/* --- sections: functions -------------------------------------------------- */

/* Creates a section with this content; `initialData` may be NULL if the size is
 * 0. If the id is SA_CKPT_GENERATED_SECTION_ID, the service makes an id. The
 * library stores it in memory that the library allocates, and the caller frees
 * with saCkptSectionIdFree() or free(3).
 *
 * SA_AIS_ERR_INVALID_PARAM: `sectionCreationAttributes` or the pointer to the
 * id is NULL; an id longer than maxSectionIdSize; of length 0 and not NULL, or
 * the reverse; data NULL with a size; data larger than maxSectionSize.
 * SA_AIS_ERR_ACCESS: the handle was not opened for writing.
 * SA_AIS_ERR_NOT_EXIST: there is no active replica.
 * SA_AIS_ERR_EXIST: there is a section of this id; maxSections is 1.
 * SA_AIS_ERR_NO_SPACE: maxSections is reached.
 * SA_AIS_ERR_NO_RESOURCES: larger than the service can take at once
 * (message_max of openais.conf(5)); an id of more than 256 bytes. */
SaAisErrorT
saCkptSectionCreate(SaCkptCheckpointHandleT checkpointHandle,
                    SaCkptSectionCreationAttributesT *sectionCreationAttributes,
                    const void *initialData, SaSizeT initialDataSize);

/* SA_AIS_ERR_INVALID_PARAM: `sectionId` is NULL, or the default section; its id
 * is NULL with a length. SA_AIS_ERR_ACCESS: the handle was not opened for
 * writing. SA_AIS_ERR_NOT_EXIST: no such section, or it has expired; an id
 * longer than any section's may be; no active replica. */
SaAisErrorT saCkptSectionDelete(SaCkptCheckpointHandleT checkpointHandle,
                                const SaCkptSectionIdT *sectionId);

/* Frees an id that saCkptSectionCreate() allocated, or any memory from
 * malloc(3). On an error the memory is not freed. SA_AIS_ERR_INVALID_PARAM:
 * `id` is NULL. */
SaAisErrorT saCkptSectionIdFree(SaCkptCheckpointHandleT checkpointHandle,
                                SaUint8T *id);

/* Sets when the section expires. `expirationTime` is absolute, in ns; with
 * SA_TIME_END the section never expires, and a time in the past deletes it at
 * once. The errors are those of saCkptSectionDelete(). */
SaAisErrorT
saCkptSectionExpirationTimeSet(SaCkptCheckpointHandleT checkpointHandle,
                               const SaCkptSectionIdT *sectionId,
                               SaTimeT expirationTime);

/* Begins to go through the chosen sections, in the order in which they were
 * created. Only LEQ and GEQ use `expirationTime`. If `sectionsChosen` is 0, it
 * means SA_CKPT_SECTIONS_ANY, since programs of openais 0.80 have that. The
 * iteration may include or leave out sections that are created or deleted
 * meanwhile.
 *
 * SA_AIS_ERR_INVALID_PARAM: `sectionIterationHandle` is NULL; `sectionsChosen`
 * is none of these. SA_AIS_ERR_NOT_EXIST: there is no active replica. */
SaAisErrorT saCkptSectionIterationInitialize(
    SaCkptCheckpointHandleT checkpointHandle,
    SaCkptSectionsChosenT sectionsChosen, SaTimeT expirationTime,
    SaCkptSectionIterationHandleT *sectionIterationHandle);

/* Gives the next section. The memory of its id belongs to the iteration, and is
 * valid until the next call with the same handle, or until the handle ends.
 *
 * SA_AIS_ERR_INVALID_PARAM: `sectionDescriptor` is NULL.
 * SA_AIS_ERR_NO_SECTIONS: there are no more.
 * SA_AIS_ERR_NOT_EXIST: there is no active replica any more. */
SaAisErrorT
saCkptSectionIterationNext(SaCkptSectionIterationHandleT sectionIterationHandle,
                           SaCkptSectionDescriptorT *sectionDescriptor);

SaAisErrorT saCkptSectionIterationFinalize(
    SaCkptSectionIterationHandleT sectionIterationHandle);

/* --- data ----------------------------------------------------------------- */

/* Writes all elements, in order, or on an error none. A section grows up to
 * maxSectionSize, and a gap before `dataOffset` is filled with zeroes. No
 * reader sees a part of what one call changes in a section.
 *
 * If an element is at fault, *erroneousVectorIndex becomes its index. The
 * pointer may be NULL.
 *
 * SA_AIS_ERR_INVALID_PARAM: `ioVector` is NULL; no elements; an element's data
 * are NULL with a size; an id is NULL with a length; dataOffset + dataSize is
 * more than maxSectionSize. SA_AIS_ERR_ACCESS: the handle was not opened for
 * writing. SA_AIS_ERR_NOT_EXIST: no such section, or it has expired; no active
 * replica. SA_AIS_ERR_NO_RESOURCES: more data than the service takes at once
 * (message_max of openais.conf(5)); elements and ids of more than 4 KB (16
 * bytes for each, and its id). */
SaAisErrorT saCkptCheckpointWrite(SaCkptCheckpointHandleT checkpointHandle,
                                  const SaCkptIOVectorElementT *ioVector,
                                  SaUint32T numberOfElements,
                                  SaUint32T *erroneousVectorIndex);

/* Replaces the content of a section; its size becomes `dataSize`.
 * SA_AIS_ERR_INVALID_PARAM: `sectionId` or `dataBuffer` is NULL; the id is NULL
 * with a length; dataSize is more than maxSectionSize. The other errors are
 * those of saCkptCheckpointWrite(). */
SaAisErrorT saCkptSectionOverwrite(SaCkptCheckpointHandleT checkpointHandle,
                                   const SaCkptSectionIdT *sectionId,
                                   const void *dataBuffer, SaSizeT dataSize);

/* Reads the elements, in order. `readSize` becomes the number of bytes that
 * were read, which is less than `dataSize` if the section ends before. If
 * `dataBuffer` is NULL, the library ignores `dataSize` and reads everything
 * from `dataOffset` to the section's end into memory that it allocates. It sets
 * `dataBuffer` to that memory, which the caller frees with
 * saCkptIOVectorElementDataFree() or free(3). What one element reads is the
 * section as it was at one moment. On an error, the elements before the one at
 * fault have been read, but memory that the library allocated is freed again,
 * and its `dataBuffer` is NULL.
 *
 * *erroneousVectorIndex is set as by saCkptCheckpointWrite().
 *
 * SA_AIS_ERR_INVALID_PARAM: `ioVector` is NULL; no elements; an id that is NULL
 * with a length; dataSize is more than maxSectionSize; dataOffset is beyond the
 * section's end.
 * SA_AIS_ERR_ACCESS: the handle was not opened for reading.
 * SA_AIS_ERR_NOT_EXIST: no such section, or it has expired; no active replica.
 * SA_AIS_ERR_TRY_AGAIN: the reason may also be that the section is too large to
 * be read at once and is written to all the time. */
SaAisErrorT saCkptCheckpointRead(SaCkptCheckpointHandleT checkpointHandle,
                                 SaCkptIOVectorElementT *ioVector,
                                 SaUint32T numberOfElements,
                                 SaUint32T *erroneousVectorIndex);

/* Frees what saCkptCheckpointRead() allocated, or any memory from malloc(3). On
 * an error the memory is not freed. SA_AIS_ERR_INVALID_PARAM: `data` is
 * NULL. */
SaAisErrorT
saCkptIOVectorElementDataFree(SaCkptCheckpointHandleT checkpointHandle,
                              void *data);

/* Returns when all replicas have what was written before. `timeout` is in ns;
 * SA_TIME_END means no limit, and 0 gives SA_AIS_ERR_TIMEOUT.
 *
 * SA_AIS_ERR_INVALID_PARAM: a negative timeout.
 * SA_AIS_ERR_ACCESS: the handle was not opened for writing.
 * SA_AIS_ERR_BAD_OPERATION: SA_CKPT_WR_ALL_REPLICAS.
 * SA_AIS_ERR_NOT_EXIST: there is no active replica.
 * SA_AIS_ERR_TIMEOUT. */
SaAisErrorT
saCkptCheckpointSynchronize(SaCkptCheckpointHandleT checkpointHandle,
                            SaTimeT timeout);

/* Does the same by a callback, which gets `invocation`. SA_AIS_ERR_INIT: the
 * program gave no callback for it. */
SaAisErrorT
saCkptCheckpointSynchronizeAsync(SaCkptCheckpointHandleT checkpointHandle,
                                 SaInvocationT invocation);

#ifdef __cplusplus
}
#endif

#endif
