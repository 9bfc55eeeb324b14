/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt.c - libSaCkpt: checkpoints over a connection to the daemon: handles,
 * requests, life cycle, callbacks. The rest is in checkpoint.c, section.c,
 * data.c and direct.c. */
#include "api/ckpt/internal.h"

#include <stdlib.h>
#include <string.h>

#ifdef __LP64__ /* the layouts that programs are compiled to */
#define AT(type, field, offset)                                                \
    _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)

SIZE(SaCkptCheckpointCreationAttributesT, 48);
AT(SaCkptCheckpointCreationAttributesT, creationFlags, 0);
AT(SaCkptCheckpointCreationAttributesT, checkpointSize, 8);
AT(SaCkptCheckpointCreationAttributesT, retentionDuration, 16);
AT(SaCkptCheckpointCreationAttributesT, maxSections, 24);
AT(SaCkptCheckpointCreationAttributesT, maxSectionSize, 32);
AT(SaCkptCheckpointCreationAttributesT, maxSectionIdSize, 40);
SIZE(SaCkptSectionIdT, 16);
AT(SaCkptSectionIdT, idLen, 0);
AT(SaCkptSectionIdT, id, 8);
SIZE(SaCkptSectionCreationAttributesT, 16);
AT(SaCkptSectionCreationAttributesT, sectionId, 0);
AT(SaCkptSectionCreationAttributesT, expirationTime, 8);
SIZE(SaCkptSectionDescriptorT, 48);
AT(SaCkptSectionDescriptorT, sectionId, 0);
AT(SaCkptSectionDescriptorT, expirationTime, 16);
AT(SaCkptSectionDescriptorT, sectionSize, 24);
AT(SaCkptSectionDescriptorT, sectionState, 32);
AT(SaCkptSectionDescriptorT, lastUpdate, 40);
SIZE(SaCkptIOVectorElementT, 48);
AT(SaCkptIOVectorElementT, sectionId, 0);
AT(SaCkptIOVectorElementT, dataBuffer, 16);
AT(SaCkptIOVectorElementT, dataSize, 24);
AT(SaCkptIOVectorElementT, dataOffset, 32);
AT(SaCkptIOVectorElementT, readSize, 40);
SIZE(SaCkptCheckpointDescriptorT, 64);
AT(SaCkptCheckpointDescriptorT, checkpointCreationAttributes, 0);
AT(SaCkptCheckpointDescriptorT, numberOfSections, 48);
AT(SaCkptCheckpointDescriptorT, memoryUsed, 56);
SIZE(SaCkptCallbacksT, 16);
AT(SaCkptCallbacksT, saCkptCheckpointSynchronizeCallback, 8);
#endif

static const char mark, checkpoint_kind;

static const SaVersionT supported = {'B', 2, 2};

/* How long saCkptInitialize() waits for a daemon that is being brought up to
 * date. */
static const SaTimeT READY_WAIT = 2 * SA_TIME_ONE_SECOND;

/* --- handles -------------------------------------------------------------- */

SaAisErrorT sackpt_instance_get(SaCkptHandleT handle, struct ckpt_instance **c)
{
    *c = handle_get(handle);
    if (*c == NULL)
        return SA_AIS_ERR_BAD_HANDLE;
    if ((*c)->mark == &mark)
        return SA_AIS_OK;
    handle_put(handle);
    return SA_AIS_ERR_BAD_HANDLE;
}

SaAisErrorT sackpt_get(SaCkptCheckpointHandleT handle, struct use *u)
{
    u->checkpoint = handle_get_part(handle, &checkpoint_kind);
    if (u->checkpoint == NULL)
        return SA_AIS_ERR_BAD_HANDLE;
    /* Relaxed: requests look again under their lock, queries afterwards. */
    if (!atomic_load_explicit(&u->checkpoint->closed, memory_order_relaxed) &&
        sackpt_instance_get(u->checkpoint->instance, &u->instance) == SA_AIS_OK)
        return SA_AIS_OK;
    handle_put(handle);
    return SA_AIS_ERR_BAD_HANDLE;
}

void sackpt_put(const struct use *u)
{
    /* The checkpoint's last put frees it. */
    uint64_t instance = u->checkpoint->instance;

    handle_put(u->checkpoint->part.handle);
    handle_put(instance);
}

SaAisErrorT sackpt_memory_free(SaCkptCheckpointHandleT handle, void *memory)
{
    struct use u;
    SaAisErrorT error;

    if (memory == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = sackpt_get(handle, &u);
    if (error != SA_AIS_OK)
        return error;
    free(memory);
    sackpt_put(&u);
    return SA_AIS_OK;
}

SaAisErrorT sackpt_part_new(struct ckpt_instance *c, struct parts *list,
                            const char *kind, struct part *part,
                            uint64_t *handle, void (*destroy)(void *part))
{
    SaAisErrorT error = SA_AIS_ERR_BAD_HANDLE;

    part->kind = kind;
    pthread_mutex_lock(&c->lock);
    if (!list->ended)
        error = ais_error(handle_new_part(&part->handle, kind, part, destroy));
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
        destroy(part);
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
        handle_finalize_part(part->handle, part->kind);
    return mine;
}

struct name {
    uint64_t handle; /* 0: none */
    const char *kind;
};

/* Under the lock: the first in the list, which it leaves. */
static struct name take_first(struct parts *list)
{
    struct part *part = list->first;

    list->ended = true;
    if (part == NULL)
        return (struct name){.handle = 0};
    unlink_part(part);
    return (struct name){part->handle, part->kind};
}

void sackpt_iterations_end(struct ckpt_instance *c, struct ckpt_checkpoint *ck)
{
    struct name name;

    do {
        pthread_mutex_lock(&c->lock);
        name = take_first(&ck->iterations);
        pthread_mutex_unlock(&c->lock);
        if (name.handle != 0)
            handle_finalize_part(name.handle, name.kind);
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

static void end_parts(struct ckpt_instance *c)
{
    struct name name;

    while ((name = take_part(c)).handle != 0)
        handle_finalize_part(name.handle, name.kind);
}

static void checkpoint_free(void *part)
{
    sackpt_direct_free(part);
    free(part);
}

SaAisErrorT sackpt_checkpoint_new(struct ckpt_instance *c, uint64_t instance,
                                  const struct ipc_ckpt_opened *opened,
                                  SaCkptCheckpointOpenFlagsT flags,
                                  SaCkptCheckpointHandleT *handle)
{
    struct ckpt_checkpoint *ck = calloc(1, sizeof *ck);
    uint64_t number;
    SaAisErrorT error;

    if (ck == NULL)
        return SA_AIS_ERR_NO_MEMORY;
    ck->instance = instance;
    ck->number = opened->handle;
    ck->flags = flags;
    ck->attributes = opened->attributes;
    error = sackpt_part_new(c, &c->checkpoints, &checkpoint_kind, &ck->part,
                            &number, checkpoint_free);
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

static void instance_free(struct conn *conn)
{
    struct ckpt_instance *c = (struct ckpt_instance *)conn;

    while (c->pending != NULL) {
        struct pending *next = c->pending->next;
        free(c->pending);
        c->pending = next;
    }
    conn_close(&c->conn);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* Connected, and the daemon is up to date: else programs would get TRY_AGAIN
 * from the next call, where few of them expect it. It holds back all requests
 * until then, also one to close what nobody has opened. */
static SaAisErrorT instance_open(struct ckpt_instance *c)
{
    const struct ipc_ckpt_request request = {.handle = UINT32_MAX};
    struct conn_call call = {.type = IPC_SUBMIT_CKPT_CLOSE,
                             .head = CONN_PART(&request, sizeof request)};
    struct ipc_ckpt_reply reply;
    SaAisErrorT error = ais_open(&c->conn, IPC_SERVICE_CKPT);

    if (error != SA_AIS_OK)
        return error;
    c->conn.undo = undo_open;
    call.end_ns = conn_deadline(READY_WAIT);
    error = sackpt_request(c, &call, &reply);
    if (error == SA_AIS_ERR_BAD_HANDLE)
        return SA_AIS_OK;
    conn_close(&c->conn);
    return error == SA_AIS_ERR_LIBRARY ? error : SA_AIS_ERR_TRY_AGAIN;
}

PUBLIC SaAisErrorT saCkptInitialize(SaCkptHandleT *ckptHandle,
                                    const SaCkptCallbacksT *callbacks,
                                    SaVersionT *version)
{
    struct ckpt_instance *c;
    uint64_t number;
    SaAisErrorT error;

    if (ckptHandle == NULL || version == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    if (!ais_version_agree(version, 1, supported))
        return SA_AIS_ERR_VERSION;
    c = calloc(1, sizeof *c);
    if (c == NULL)
        return SA_AIS_ERR_NO_MEMORY;
    error = instance_open(c); /* clears the connection alone */
    if (error != SA_AIS_OK) {
        free(c);
        return error;
    }
    c->mark = &mark;
    if (callbacks != NULL)
        c->callbacks = *callbacks;
    pthread_mutex_init(&c->lock, NULL);
    error = ais_error(handle_new(&number, &c->conn, instance_free));
    if (error != SA_AIS_OK) {
        instance_free(&c->conn);
        return error;
    }
    *version = supported;
    *ckptHandle = number;
    return SA_AIS_OK;
}

PUBLIC SaAisErrorT saCkptFinalize(SaCkptHandleT ckptHandle)
{
    struct ckpt_instance *c;
    SaAisErrorT error = sackpt_instance_get(ckptHandle, &c);

    if (error != SA_AIS_OK)
        return error;
    error = ais_error(handle_finalize(ckptHandle));
    if (error == SA_AIS_OK)
        end_parts(c); /* the daemon sees the connection's end */
    handle_put(ckptHandle);
    return error;
}

PUBLIC SaAisErrorT saCkptSelectionObjectGet(SaCkptHandleT ckptHandle,
                                            SaSelectionObjectT *selectionObject)
{
    struct ckpt_instance *c;
    SaAisErrorT error;

    if (selectionObject == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    error = sackpt_instance_get(ckptHandle, &c);
    if (error != SA_AIS_OK)
        return error;
    if (conn_is_dead(&c->conn))
        error = SA_AIS_ERR_LIBRARY;
    else
        *selectionObject = (SaSelectionObjectT)c->conn.socket;
    handle_put(ckptHandle);
    return error;
}

/* --- events --------------------------------------------------------------- */

static void deliver_open(struct ckpt_instance *c, uint64_t handle,
                         const uint8_t *body, uint32_t size)
{
    struct ipc_ckpt_open_event e;
    SaCkptCheckpointHandleT checkpoint = 0;
    SaAisErrorT error;

    if (size != sizeof e || c->callbacks.saCkptCheckpointOpenCallback == NULL)
        return;
    memcpy(&e, body, sizeof e);
    error = ais_error(conn_error(e.result));
    if (error == SA_AIS_OK) {
        error =
            sackpt_checkpoint_new(c, handle, &e.opened, e.flags, &checkpoint);
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

struct dispatch {
    struct ckpt_instance *instance;
    uint64_t handle;
};

static void deliver(void *context, uint32_t type, const uint8_t *body,
                    uint32_t size)
{
    const struct dispatch *d = context;

    /* Types that this library does not know are a newer daemon's. */
    if (type == IPC_EVENT_CKPT_OPEN)
        deliver_open(d->instance, d->handle, body, size);
    else if (type == IPC_EVENT_CKPT_SYNCHRONIZE)
        deliver_synchronize(d->instance, body, size);
}

PUBLIC SaAisErrorT saCkptDispatch(SaCkptHandleT ckptHandle,
                                  SaDispatchFlagsT dispatchFlags)
{
    struct dispatch d = {.handle = ckptHandle};
    cs_dispatch_flags_t flags;
    SaAisErrorT error = ais_dispatch_flags(dispatchFlags, &flags);

    if (error == SA_AIS_OK)
        error = sackpt_instance_get(ckptHandle, &d.instance);
    if (error != SA_AIS_OK)
        return error;
    conn_take_late(&d.instance->conn);
    error = ais_dispatch(&d.instance->conn, flags, deliver, &d);
    handle_put(ckptHandle);
    return error;
}
