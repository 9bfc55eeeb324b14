/* SPDX-License-Identifier: BSD-3-Clause */
/* checkpoint.c - libSaCkpt: functions on whole checkpoints. */
#include "api/ckpt/internal.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(IPC_CKPT_READ == SA_CKPT_CHECKPOINT_READ, "flags go as is");
_Static_assert(IPC_CKPT_WRITE == SA_CKPT_CHECKPOINT_WRITE, "flags go as is");
_Static_assert(IPC_CKPT_CREATE == SA_CKPT_CHECKPOINT_CREATE, "flags");
_Static_assert(IPC_CKPT_WR_ALL_REPLICAS == SA_CKPT_WR_ALL_REPLICAS, "flags");
_Static_assert(IPC_CKPT_WR_ACTIVE_REPLICA == SA_CKPT_WR_ACTIVE_REPLICA, "");
_Static_assert(IPC_CKPT_WR_ACTIVE_REPLICA_WEAK ==
                   SA_CKPT_WR_ACTIVE_REPLICA_WEAK,
               "flags go as they are");
_Static_assert(IPC_CKPT_COLLOCATED == SA_CKPT_CHECKPOINT_COLLOCATED, "flags");
_Static_assert((int)IPC_CKPT_NAME_SIZE_MAX == SA_MAX_NAME_LENGTH, "names");

enum {
    OPEN_FLAGS = SA_CKPT_CHECKPOINT_READ | SA_CKPT_CHECKPOINT_WRITE |
                 SA_CKPT_CHECKPOINT_CREATE,
    WRITES = SA_CKPT_WR_ALL_REPLICAS | SA_CKPT_WR_ACTIVE_REPLICA |
             SA_CKPT_WR_ACTIVE_REPLICA_WEAK
};

/* What a timeout of 0 means in saCkptCheckpointOpen(). */
static const SaTimeT OPEN_TIMEOUT = 30 * SA_TIME_ONE_SECOND;

/* --- open and unlink ------------------------------------------------------ */

static SaAisErrorT check_name(const SaNameT *name)
{
    if (name->length > SA_MAX_NAME_LENGTH)
        return SA_AIS_ERR_TOO_BIG;
    return name->length == 0 ? SA_AIS_ERR_INVALID_PARAM : SA_AIS_OK;
}

static bool attributes_ok(const SaCkptCheckpointCreationAttributesT *a)
{
    uint32_t writes = a->creationFlags & WRITES;
    uint64_t room;

    if ((a->creationFlags &
         ~(uint32_t)(WRITES | SA_CKPT_CHECKPOINT_COLLOCATED)) != 0 ||
        writes == 0 || (writes & (writes - 1)) != 0)
        return false;
    if (a->maxSections == 0 || a->retentionDuration < 0)
        return false;
    return __builtin_mul_overflow((uint64_t)a->maxSections,
                                  (uint64_t)a->maxSectionSize, &room) ||
           a->checkpointSize <= room;
}

static SaAisErrorT check_open(const SaNameT *name,
                              const SaCkptCheckpointCreationAttributesT *a,
                              SaCkptCheckpointOpenFlagsT flags)
{
    SaAisErrorT error = check_name(name);

    if (error != SA_AIS_OK)
        return error;
    if (flags == 0 || (flags & ~(uint32_t)OPEN_FLAGS) != 0)
        return SA_AIS_ERR_BAD_FLAGS;
    if (((flags & SA_CKPT_CHECKPOINT_CREATE) != 0) != (a != NULL))
        return SA_AIS_ERR_INVALID_PARAM;
    return a == NULL || attributes_ok(a) ? SA_AIS_OK : SA_AIS_ERR_INVALID_PARAM;
}

static void fill_open(struct ipc_ckpt_open *open, const SaNameT *name,
                      const SaCkptCheckpointCreationAttributesT *a,
                      SaCkptCheckpointOpenFlagsT flags)
{
    memset(open, 0, sizeof *open);
    open->flags = flags;
    open->name_length = name->length;
    memcpy(open->name, name->value, name->length);
    if (a == NULL)
        return;
    open->attributes = (struct ipc_ckpt_attributes){
        .creation_flags = a->creationFlags,
        .section_max = a->maxSections,
        .checkpoint_size = a->checkpointSize,
        .retention_ns = a->retentionDuration,
        .section_size_max = a->maxSectionSize,
        .section_id_size_max = a->maxSectionIdSize};
}

void sackpt_attributes_to(SaCkptCheckpointCreationAttributesT *to,
                          const struct ipc_ckpt_attributes *from)
{
    memset(to, 0, sizeof *to);
    to->creationFlags = from->creation_flags;
    to->checkpointSize = from->checkpoint_size;
    to->retentionDuration = from->retention_ns;
    to->maxSections = from->section_max;
    to->maxSectionSize = from->section_size_max;
    to->maxSectionIdSize = from->section_id_size_max;
}

static SaAisErrorT open_now(struct ckpt_instance *c,
                            const struct ipc_ckpt_open *open, SaTimeT timeout,
                            SaCkptCheckpointHandleT *checkpoint)
{
    struct conn_call call = {
        .type = IPC_SUBMIT_CKPT_OPEN,
        .head = CONN_PART(open, sizeof *open),
        .end_ns = conn_deadline(timeout == 0 ? OPEN_TIMEOUT : timeout)};
    struct ipc_ckpt_reply reply;
    SaAisErrorT error = sackpt_request(c, &call, &reply);

    if (error != SA_AIS_OK)
        return error;
    error = sackpt_checkpoint_new(c, &reply.opened, open->flags, checkpoint);
    if (error != SA_AIS_OK)
        sackpt_close_number(c, reply.opened.handle);
    return error;
}

PUBLIC SaAisErrorT saCkptCheckpointOpen(
    SaCkptHandleT ckptHandle, const SaNameT *checkpointName,
    const SaCkptCheckpointCreationAttributesT *checkpointCreationAttributes,
    SaCkptCheckpointOpenFlagsT checkpointOpenFlags, SaTimeT timeout,
    SaCkptCheckpointHandleT *checkpointHandle)
{
    HELD struct ckpt_instance *c = NULL;
    struct ipc_ckpt_open open;
    SaAisErrorT error;

    if (checkpointName == NULL || checkpointHandle == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = sackpt_instance_get(ckptHandle, &c);
    if (error != SA_AIS_OK)
        return error;
    error = timeout < 0
                ? SA_AIS_ERR_INVALID_PARAM
                : check_open(checkpointName, checkpointCreationAttributes,
                             checkpointOpenFlags);
    if (error == SA_AIS_OK) {
        fill_open(&open, checkpointName, checkpointCreationAttributes,
                  checkpointOpenFlags);
        error = open_now(c, &open, timeout, checkpointHandle);
    }
    return error;
}

/* A record that is answered by an event. `revoked` as in struct conn_call. */
static SaAisErrorT submit(struct ckpt_instance *c, uint32_t type,
                          const void *record, uint32_t size,
                          const _Atomic bool *revoked)
{
    cs_error_t error = CS_OK;
    void *at = conn_claim(&c->conn, size, &error);

    if (at == NULL)
        return error == CS_ERR_TOO_BIG ? SA_AIS_ERR_NO_RESOURCES
                                       : ais_error(error);
    /* Acquire: as in is_revoked() of request.c, under the ring's lock. */
    if (revoked != NULL &&
        atomic_load_explicit(revoked, memory_order_acquire)) {
        conn_unclaim(&c->conn);
        return SA_AIS_ERR_BAD_HANDLE;
    }
    memcpy(at, record, size);
    return ais_error(conn_commit(&c->conn, type, size));
}

PUBLIC SaAisErrorT saCkptCheckpointOpenAsync(
    SaCkptHandleT ckptHandle, SaInvocationT invocation,
    const SaNameT *checkpointName,
    const SaCkptCheckpointCreationAttributesT *checkpointCreationAttributes,
    SaCkptCheckpointOpenFlagsT checkpointOpenFlags)
{
    HELD struct ckpt_instance *c = NULL;
    struct ipc_ckpt_open open;
    SaAisErrorT error;

    if (checkpointName == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = sackpt_instance_get(ckptHandle, &c);
    if (error != SA_AIS_OK)
        return error;
    error = check_open(checkpointName, checkpointCreationAttributes,
                       checkpointOpenFlags);
    if (error == SA_AIS_OK && c->callbacks.saCkptCheckpointOpenCallback == NULL)
        error = SA_AIS_ERR_INIT;
    if (error == SA_AIS_OK) {
        fill_open(&open, checkpointName, checkpointCreationAttributes,
                  checkpointOpenFlags);
        open.async = 1;
        open.invocation = invocation;
        error = submit(c, IPC_SUBMIT_CKPT_OPEN, &open, sizeof open, NULL);
    }
    return error;
}

static SaAisErrorT unlink_name(struct ckpt_instance *c, const SaNameT *name)
{
    struct ipc_ckpt_unlink unlink = {.name_length = name->length};
    struct conn_call call = {.type = IPC_SUBMIT_CKPT_UNLINK,
                             .head = CONN_PART(&unlink, sizeof unlink)};
    struct ipc_ckpt_reply reply;

    memcpy(unlink.name, name->value, name->length);
    return sackpt_request(c, &call, &reply);
}

PUBLIC SaAisErrorT saCkptCheckpointUnlink(SaCkptHandleT ckptHandle,
                                          const SaNameT *checkpointName)
{
    HELD struct ckpt_instance *c = NULL;
    SaAisErrorT error;

    if (checkpointName == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = sackpt_instance_get(ckptHandle, &c);
    if (error != SA_AIS_OK)
        return error;
    error = check_name(checkpointName);
    if (error == SA_AIS_OK)
        error = unlink_name(c, checkpointName);
    return error;
}

/* --- close ---------------------------------------------------------------- */

/* Its callbacks that have not come. */
static void cancel(struct ckpt_instance *c, uint64_t checkpoint)
{
    pthread_mutex_lock(&c->lock);
    for (struct pending **at = &c->pending; *at != NULL;) {
        struct pending *p = *at;
        if (p->checkpoint != checkpoint) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        free(p);
    }
    pthread_mutex_unlock(&c->lock);
}

/* By the one who has set `closed`. */
static SaAisErrorT close_checkpoint(const struct use *u, uint64_t handle)
{
    const struct ipc_ckpt_request request = {.handle = u->checkpoint->number};
    struct conn_call call = {.type = IPC_SUBMIT_CKPT_CLOSE,
                             .head = CONN_PART(&request, sizeof request)};
    struct ipc_ckpt_reply reply;
    SaAisErrorT error = sackpt_request(u->instance, &call, &reply);

    if (error == SA_AIS_ERR_LIBRARY || error == SA_AIS_ERR_TRY_AGAIN) {
        atomic_store_explicit(&u->checkpoint->closed, false,
                              memory_order_release);
        return error;
    }
    cancel(u->instance, handle);
    sackpt_iterations_end(u->instance, u->checkpoint);
    sackpt_part_end(u->instance, &u->checkpoint->part);
    /* The checkpoint may be gone, as when a part of the cluster that had it
     * not was the one that went on. */
    return error == SA_AIS_ERR_NOT_EXIST ? SA_AIS_OK : error;
}

PUBLIC SaAisErrorT
saCkptCheckpointClose(SaCkptCheckpointHandleT checkpointHandle)
{
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(checkpointHandle, &u);

    if (error != SA_AIS_OK)
        return error;
    /* Release: pairs with the acquire in is_revoked() of request.c. From here
     * on nothing is asked of the checkpoint, so that no request comes behind
     * its end, where its number may be another's. */
    if (atomic_exchange_explicit(&u.checkpoint->closed, true,
                                 memory_order_acq_rel))
        return SA_AIS_ERR_BAD_HANDLE;
    return close_checkpoint(&u, checkpointHandle);
}

/* --- attributes and state ------------------------------------------------- */

PUBLIC SaAisErrorT saCkptCheckpointRetentionDurationSet(
    SaCkptCheckpointHandleT checkpointHandle, SaTimeT retentionDuration)
{
    const struct ipc_ckpt_request request = {.retention_ns = retentionDuration};
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(checkpointHandle, &u);

    if (error != SA_AIS_OK)
        return error;
    return retentionDuration < 0
               ? SA_AIS_ERR_INVALID_PARAM
               : sackpt_simple_request(&u, IPC_SUBMIT_CKPT_RETENTION_SET,
                                       request, 0);
}

PUBLIC SaAisErrorT
saCkptActiveReplicaSet(SaCkptCheckpointHandleT checkpointHandle)
{
    const struct ipc_ckpt_request request = {.handle = 0};
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(checkpointHandle, &u);
    uint32_t flags;

    if (error != SA_AIS_OK)
        return error;
    flags = u.checkpoint->attributes.creation_flags;
    if ((u.checkpoint->flags & SA_CKPT_CHECKPOINT_WRITE) == 0)
        return SA_AIS_ERR_ACCESS;
    if ((flags & SA_CKPT_CHECKPOINT_COLLOCATED) == 0 ||
        (flags & SA_CKPT_WR_ALL_REPLICAS) != 0)
        return SA_AIS_ERR_BAD_OPERATION;
    return sackpt_simple_request(&u, IPC_SUBMIT_CKPT_ACTIVE_SET, request, 0);
}

SaAisErrorT sackpt_status_get(SaCkptCheckpointHandleT handle, const void *to,
                              struct ipc_ckpt_status_answer *answer)
{
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error;

    if (to == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = sackpt_get(handle, &u);
    if (error != SA_AIS_OK)
        return error;
    return sackpt_status(&u, answer);
}

PUBLIC SaAisErrorT
saCkptCheckpointStatusGet(SaCkptCheckpointHandleT checkpointHandle,
                          SaCkptCheckpointDescriptorT *checkpointStatus)
{
    struct ipc_ckpt_status_answer a;
    SaAisErrorT error =
        sackpt_status_get(checkpointHandle, checkpointStatus, &a);

    if (error != SA_AIS_OK)
        return error;
    sackpt_attributes_to(&checkpointStatus->checkpointCreationAttributes,
                         &a.attributes);
    checkpointStatus->numberOfSections = a.section_count;
    checkpointStatus->memoryUsed = a.memory_used;
    return SA_AIS_OK;
}

/* --- synchronize ---------------------------------------------------------- */

static SaAisErrorT check_synchronize(const struct ckpt_checkpoint *ck)
{
    if ((ck->flags & SA_CKPT_CHECKPOINT_WRITE) == 0)
        return SA_AIS_ERR_ACCESS;
    return (ck->attributes.creation_flags & SA_CKPT_WR_ALL_REPLICAS) != 0
               ? SA_AIS_ERR_BAD_OPERATION
               : SA_AIS_OK;
}

PUBLIC SaAisErrorT saCkptCheckpointSynchronize(
    SaCkptCheckpointHandleT checkpointHandle, SaTimeT timeout)
{
    const struct ipc_ckpt_request request = {.async = 0};
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(checkpointHandle, &u);

    if (error != SA_AIS_OK)
        return error;
    error = timeout < 0 ? SA_AIS_ERR_INVALID_PARAM
                        : check_synchronize(u.checkpoint);
    if (error == SA_AIS_OK && timeout == 0)
        error = SA_AIS_ERR_TIMEOUT;
    if (error == SA_AIS_OK)
        error = sackpt_simple_request(&u, IPC_SUBMIT_CKPT_SYNCHRONIZE, request,
                                      conn_deadline(timeout));
    return error;
}

/* The daemon gets a number in place of the invocation, so that a callback of a
 * handle that was closed meanwhile is known as such. */
static SaAisErrorT synchronize_async(const struct use *u, uint64_t handle,
                                     SaInvocationT invocation)
{
    struct ckpt_instance *c = u->instance;
    struct ipc_ckpt_request request = {.handle = u->checkpoint->number,
                                       .async = 1};
    struct pending *p = malloc(sizeof *p);
    SaAisErrorT error;

    if (p == NULL)
        return SA_AIS_ERR_NO_MEMORY;
    *p = (struct pending){.checkpoint = handle, .invocation = invocation};
    pthread_mutex_lock(&c->lock);
    request.invocation = p->number = ++c->last_number;
    p->next = c->pending;
    c->pending = p;
    pthread_mutex_unlock(&c->lock);
    error = submit(c, IPC_SUBMIT_CKPT_SYNCHRONIZE, &request, sizeof request,
                   &u->checkpoint->closed);
    if (error != SA_AIS_OK)
        free(sackpt_pending_take(c, request.invocation));
    return error;
}

PUBLIC SaAisErrorT saCkptCheckpointSynchronizeAsync(
    SaCkptCheckpointHandleT checkpointHandle, SaInvocationT invocation)
{
    struct ipc_ckpt_status_answer status;
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(checkpointHandle, &u);

    if (error != SA_AIS_OK)
        return error;
    error = check_synchronize(u.checkpoint);
    if (error == SA_AIS_OK &&
        u.instance->callbacks.saCkptCheckpointSynchronizeCallback == NULL)
        error = SA_AIS_ERR_INIT;
    /* That there is no active replica is told at once. */
    if (error == SA_AIS_OK)
        error = sackpt_status(&u, &status);
    if (error == SA_AIS_OK)
        error = synchronize_async(&u, checkpointHandle, invocation);
    return error;
}
