/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt.c - libSaCkpt: checkpoints over a connection to the daemon: handles,
 * requests, life cycle, callbacks. The rest is in checkpoint.c, section.c,
 * data.c and direct.c. */
#include "api/ckpt/internal.h"

#include <stdlib.h>
#include <string.h>

ABI_SIZE(SaCkptCheckpointCreationAttributesT, 48);
ABI_AT(SaCkptCheckpointCreationAttributesT, creationFlags, 0);
ABI_AT(SaCkptCheckpointCreationAttributesT, checkpointSize, 8);
ABI_AT(SaCkptCheckpointCreationAttributesT, retentionDuration, 16);
ABI_AT(SaCkptCheckpointCreationAttributesT, maxSections, 24);
ABI_AT(SaCkptCheckpointCreationAttributesT, maxSectionSize, 32);
ABI_AT(SaCkptCheckpointCreationAttributesT, maxSectionIdSize, 40);
ABI_SIZE(SaCkptSectionIdT, 16);
ABI_AT(SaCkptSectionIdT, idLen, 0);
ABI_AT(SaCkptSectionIdT, id, 8);
ABI_SIZE(SaCkptSectionCreationAttributesT, 16);
ABI_AT(SaCkptSectionCreationAttributesT, sectionId, 0);
ABI_AT(SaCkptSectionCreationAttributesT, expirationTime, 8);
ABI_SIZE(SaCkptSectionDescriptorT, 48);
ABI_AT(SaCkptSectionDescriptorT, sectionId, 0);
ABI_AT(SaCkptSectionDescriptorT, expirationTime, 16);
ABI_AT(SaCkptSectionDescriptorT, sectionSize, 24);
ABI_AT(SaCkptSectionDescriptorT, sectionState, 32);
ABI_AT(SaCkptSectionDescriptorT, lastUpdate, 40);
ABI_SIZE(SaCkptIOVectorElementT, 48);
ABI_AT(SaCkptIOVectorElementT, sectionId, 0);
ABI_AT(SaCkptIOVectorElementT, dataBuffer, 16);
ABI_AT(SaCkptIOVectorElementT, dataSize, 24);
ABI_AT(SaCkptIOVectorElementT, dataOffset, 32);
ABI_AT(SaCkptIOVectorElementT, readSize, 40);
ABI_SIZE(SaCkptCheckpointDescriptorT, 64);
ABI_AT(SaCkptCheckpointDescriptorT, checkpointCreationAttributes, 0);
ABI_AT(SaCkptCheckpointDescriptorT, numberOfSections, 48);
ABI_AT(SaCkptCheckpointDescriptorT, memoryUsed, 56);
ABI_SIZE(SaCkptCallbacksT, 16);
ABI_AT(SaCkptCallbacksT, saCkptCheckpointSynchronizeCallback, 8);

static const struct ais_versions versions = {1, {'B', 2, 2}};

/* How long saCkptInitialize() waits for a daemon that is being brought up to
 * date. */
static const SaTimeT READY_WAIT = 2 * SA_TIME_ONE_SECOND;

/* --- handles -------------------------------------------------------------- */

static void checkpoint_free(void *part)
{
    sackpt_direct_free(part);
    free(part);
}

/* Of checkpoints; the kind of their handles too. */
static const struct handle_ops checkpoint_ops = {.destroy = checkpoint_free};

SaAisErrorT sackpt_instance_get(SaCkptHandleT handle, struct ckpt_instance **c)
{
    *c = handle_get(handle, &ckpt_library);
    return *c != NULL ? SA_AIS_OK : SA_AIS_ERR_BAD_HANDLE;
}

SaAisErrorT sackpt_get(SaCkptCheckpointHandleT handle, struct use *u)
{
    struct ckpt_checkpoint *ck = handle_get(handle, &checkpoint_ops);

    u->checkpoint = NULL;
    if (ck == NULL)
        return SA_AIS_ERR_BAD_HANDLE;
    /* Relaxed: requests look again under their lock, queries afterwards. */
    if (!atomic_load_explicit(&ck->closed, memory_order_relaxed) &&
        sackpt_instance_get(ck->instance, &u->instance) == SA_AIS_OK) {
        u->checkpoint = ck;
        return SA_AIS_OK;
    }
    handle_put(handle);
    return SA_AIS_ERR_BAD_HANDLE;
}

void sackpt_put(const struct use *u)
{
    uint64_t instance;

    if (u->checkpoint == NULL)
        return;
    /* The checkpoint's last put frees it. */
    instance = u->checkpoint->instance;
    handle_put(u->checkpoint->part.handle);
    handle_put(instance);
}

SaAisErrorT sackpt_memory_free(SaCkptCheckpointHandleT handle, void *memory)
{
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error;

    if (memory == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = sackpt_get(handle, &u);
    if (error != SA_AIS_OK)
        return error;
    free(memory);
    return SA_AIS_OK;
}

SaAisErrorT sackpt_part_new(struct ckpt_instance *c, struct parts *list,
                            const struct handle_ops *ops, struct part *part,
                            uint64_t *handle)
{
    SaAisErrorT error = SA_AIS_ERR_BAD_HANDLE;

    part->ops = ops;
    pthread_mutex_lock(&c->lock);
    if (!list->ended)
        error = handle_new(&part->handle, ops, ops, part) != 0
                    ? SA_AIS_OK
                    : SA_AIS_ERR_NO_RESOURCES;
    if (error == SA_AIS_OK) {
        part->next = list->first;
        part->at = &list->first;
        if (part->next != NULL)
            part->next->at = &part->next;
        list->first = part;
        *handle = part->handle; /* it may be gone when the lock is */
    }
    pthread_mutex_unlock(&c->lock);
    if (error != SA_AIS_OK)
        ops->destroy(part);
    return error;
}

/* Under the lock. */
static void unlink_part(struct part *part)
{
    *part->at = part->next;
    if (part->next != NULL)
        part->next->at = part->at;
    part->at = NULL;
}

bool sackpt_part_end(struct ckpt_instance *c, struct part *part)
{
    pthread_mutex_lock(&c->lock);
    bool mine = part->at != NULL;
    if (mine)
        unlink_part(part);
    pthread_mutex_unlock(&c->lock);
    if (mine)
        handle_finalize(part->handle, part->ops);
    return mine;
}

struct name {
    uint64_t handle; /* 0: none */
    const struct handle_ops *ops;
};

/* Under the lock: the first in the list, which it leaves. */
static struct name take_first(struct parts *list)
{
    struct part *part = list->first;

    list->ended = true;
    if (part == NULL)
        return (struct name){.handle = 0};
    unlink_part(part);
    return (struct name){part->handle, part->ops};
}

void sackpt_iterations_end(struct ckpt_instance *c, struct ckpt_checkpoint *ck)
{
    struct name name;

    do {
        pthread_mutex_lock(&c->lock);
        name = take_first(&ck->iterations);
        pthread_mutex_unlock(&c->lock);
        if (name.handle != 0)
            handle_finalize(name.handle, name.ops);
    } while (name.handle != 0);
}

/* One part of the instance: a checkpoint after its iterations. */
static struct name take_part(struct ckpt_instance *c)
{
    struct ckpt_checkpoint *ck;
    struct name name = {.handle = 0};

    pthread_mutex_lock(&c->lock);
    c->checkpoints.ended = true;
    ck = (struct ckpt_checkpoint *)c->checkpoints.first;
    if (ck != NULL)
        name = take_first(&ck->iterations);
    if (name.handle == 0)
        name = take_first(&c->checkpoints);
    pthread_mutex_unlock(&c->lock);
    return name;
}

SaAisErrorT sackpt_checkpoint_new(struct ckpt_instance *c,
                                  const struct ipc_ckpt_opened *opened,
                                  SaCkptCheckpointOpenFlagsT flags,
                                  SaCkptCheckpointHandleT *handle)
{
    struct ckpt_checkpoint *ck = calloc(1, sizeof *ck);
    uint64_t number;
    SaAisErrorT error;

    if (ck == NULL)
        return SA_AIS_ERR_NO_MEMORY;
    ck->instance = c->conn.handle;
    ck->number = opened->handle;
    ck->flags = flags;
    ck->attributes = opened->attributes;
    error = sackpt_part_new(c, &c->checkpoints, &checkpoint_ops, &ck->part,
                            &number);
    if (error == SA_AIS_OK)
        *handle = number;
    return error;
}

/* --- asking the daemon ---------------------------------------------------- */

SaAisErrorT sackpt_request(struct ckpt_instance *c, struct conn_call *call,
                           struct ipc_ckpt_reply *reply)
{
    return ais_request(&c->conn, call, reply, sizeof *reply);
}

SaAisErrorT sackpt_simple_request(const struct use *u, uint32_t type,
                                  struct ipc_ckpt_request request,
                                  uint64_t end_ns)
{
    struct conn_call call = {.type = type,
                             .head = CONN_PART(&request, sizeof request),
                             .end_ns = end_ns,
                             .revoked = &u->checkpoint->closed};
    struct ipc_ckpt_reply reply;

    request.handle = u->checkpoint->number;
    return sackpt_request(u->instance, &call, &reply);
}

void sackpt_close_number(struct ckpt_instance *c, uint32_t number)
{
    const struct ipc_ckpt_request request = {.handle = number};
    struct conn_call call = {.type = IPC_SUBMIT_CKPT_CLOSE,
                             .head = CONN_PART(&request, sizeof request)};
    struct ipc_ckpt_reply reply;

    sackpt_request(c, &call, &reply);
}

SaAisErrorT sackpt_status(const struct use *u,
                          struct ipc_ckpt_status_answer *answer)
{
    const struct ipc_ckpt_status query = {.handle = u->checkpoint->number};
    struct conn_call call = {.type = IPC_QUERY_CKPT_STATUS,
                             .head = CONN_PART(&query, sizeof query),
                             .revoked = &u->checkpoint->closed};
    size_t rest;

    return ais_query(&u->instance->conn, &call, answer, sizeof *answer, &rest);
}

/* --- events --------------------------------------------------------------- */

static void deliver_open(struct ckpt_instance *c, const uint8_t *body,
                         uint32_t size)
{
    struct ipc_ckpt_open_event e;
    SaCkptCheckpointHandleT checkpoint = 0;
    SaAisErrorT error;

    if (size != sizeof e || c->callbacks.saCkptCheckpointOpenCallback == NULL)
        return;
    memcpy(&e, body, sizeof e);
    error = ais_error(conn_error(e.result));
    if (error == SA_AIS_OK) {
        error = sackpt_checkpoint_new(c, &e.opened, e.flags, &checkpoint);
        if (error == SA_AIS_ERR_BAD_HANDLE)
            return; /* finalized */
        if (error != SA_AIS_OK)
            sackpt_close_number(c, e.opened.handle);
    }
    c->callbacks.saCkptCheckpointOpenCallback(e.invocation, checkpoint, error);
}

struct pending *sackpt_pending_take(struct ckpt_instance *c, uint64_t number)
{
    struct pending **at, *p;

    pthread_mutex_lock(&c->lock);
    for (at = &c->pending; *at != NULL && (*at)->number != number;)
        at = &(*at)->next;
    p = *at;
    if (p != NULL)
        *at = p->next;
    pthread_mutex_unlock(&c->lock);
    return p;
}

static void deliver_synchronize(struct ckpt_instance *c, const uint8_t *body,
                                uint32_t size)
{
    struct ipc_ckpt_synchronize_event e;
    struct pending *p;
    SaInvocationT invocation;

    if (size != sizeof e)
        return;
    memcpy(&e, body, sizeof e);
    p = sackpt_pending_take(c, e.invocation);
    if (p == NULL)
        return; /* its handle has been closed */
    invocation = p->invocation;
    free(p);
    c->callbacks.saCkptCheckpointSynchronizeCallback(
        invocation, ais_error(conn_error(e.result)));
}

static void deliver(void *context, uint32_t type, const uint8_t *body,
                    uint32_t size)
{
    /* Types that this library does not know are a newer daemon's. */
    if (type == IPC_EVENT_CKPT_OPEN)
        deliver_open(context, body, size);
    else if (type == IPC_EVENT_CKPT_SYNCHRONIZE)
        deliver_synchronize(context, body, size);
}

/* --- life cycle ----------------------------------------------------------- */

/* An open that was given up has come to pass. */
static bool undo_open(uint32_t type, const uint8_t *reply, uint32_t size,
                      struct conn_undo *undo)
{
    struct ipc_ckpt_reply r;
    struct ipc_ckpt_request request = {.handle = 0};

    if (type != IPC_SUBMIT_CKPT_OPEN || size != sizeof r)
        return false;
    memcpy(&r, reply, sizeof r);
    if (r.reply.result != IPC_OK)
        return false;
    request.handle = r.opened.handle;
    undo->type = IPC_SUBMIT_CKPT_CLOSE;
    undo->size = sizeof request;
    memcpy(undo->body, &request, sizeof request);
    return true;
}

_Static_assert(sizeof(struct ipc_ckpt_request) <=
                   sizeof((struct conn_undo *)0)->body,
               "fits");

static void init(void *instance, const void *given)
{
    struct ckpt_instance *c = instance;
    const SaCkptCallbacksT *callbacks = given;

    if (callbacks != NULL)
        c->callbacks = *callbacks;
    pthread_mutex_init(&c->lock, NULL);
}

static void deinit(void *instance)
{
    struct ckpt_instance *c = instance;

    while (c->pending != NULL) {
        struct pending *next = c->pending->next;
        free(c->pending);
        c->pending = next;
    }
    pthread_mutex_destroy(&c->lock);
}

/* The daemon is up to date. It holds back all requests until then, also one to
 * close what nobody has opened. */
static cs_error_t ready(void *instance)
{
    const struct ipc_ckpt_request request = {.handle = UINT32_MAX};
    struct conn_call call = {.type = IPC_SUBMIT_CKPT_CLOSE,
                             .head = CONN_PART(&request, sizeof request),
                             .end_ns = conn_deadline(READY_WAIT)};
    struct ipc_ckpt_reply reply;

    switch (sackpt_request(instance, &call, &reply)) {
    case SA_AIS_ERR_BAD_HANDLE:
        return CS_OK;
    case SA_AIS_ERR_LIBRARY:
        return CS_ERR_LIBRARY;
    default:
        return CS_ERR_TRY_AGAIN;
    }
}

/* The daemon sees the connection's end. */
static void finalized(void *instance)
{
    struct name name;

    while ((name = take_part(instance)).handle != 0)
        handle_finalize(name.handle, name.ops);
}

const struct library ckpt_library = {.service = IPC_SERVICE_CKPT,
                                     .instance_size =
                                         sizeof(struct ckpt_instance),
                                     .init = init,
                                     .deinit = deinit,
                                     .ready = ready,
                                     .finalized = finalized,
                                     .undo = undo_open,
                                     .deliver = deliver};

PUBLIC SaAisErrorT saCkptInitialize(SaCkptHandleT *ckptHandle,
                                    const SaCkptCallbacksT *callbacks,
                                    SaVersionT *version)
{
    return ais_initialize(&ckpt_library, versions, callbacks, ckptHandle,
                          version);
}

PUBLIC SaAisErrorT saCkptFinalize(SaCkptHandleT ckptHandle)
{
    return ais_finalize(&ckpt_library, ckptHandle);
}

PUBLIC SaAisErrorT saCkptSelectionObjectGet(SaCkptHandleT ckptHandle,
                                            SaSelectionObjectT *selectionObject)
{
    return ais_selection_object_get(&ckpt_library, ckptHandle, selectionObject);
}

PUBLIC SaAisErrorT saCkptDispatch(SaCkptHandleT ckptHandle,
                                  SaDispatchFlagsT dispatchFlags)
{
    return ais_dispatch(&ckpt_library, ckptHandle, dispatchFlags);
}
