/* SPDX-License-Identifier: BSD-3-Clause */
/* section.c - libSaCkpt: sections, and going through them. */
#include "api/ckpt/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* Each takes at least its struct in the head. */
    ELEMENTS_MAX = IPC_CKPT_HEAD_SIZE_MAX / sizeof(struct ipc_ckpt_element)
};

/* --- section requests ----------------------------------------------------- */

bool sackpt_id_ok(const SaCkptSectionIdT *id)
{
    return id->id != NULL || id->idLen == 0;
}

/* A record being put together: all but the data. */
struct head {
    uint32_t size; /* of bytes[], used */
    uint64_t data_size;
    _Alignas(8) uint8_t bytes[IPC_CKPT_HEAD_SIZE_MAX];
};

/* False: no room. */
static bool head_add(struct head *h, const struct element *e)
{
    struct ipc_ckpt_element wire = {.offset = e->offset,
                                    .size = (uint32_t)e->size,
                                    .id_length = e->id->idLen};
    uint32_t padded = (wire.id_length + 7u) & ~7u;

    if (padded + sizeof wire > sizeof h->bytes - h->size)
        return false;
    memcpy(h->bytes + h->size, &wire, sizeof wire);
    h->size += (uint32_t)sizeof wire;
    memset(h->bytes + h->size, 0, padded);
    if (wire.id_length > 0)
        memcpy(h->bytes + h->size, e->id->id, wire.id_length);
    h->size += padded;
    return true;
}

SaAisErrorT sackpt_section_request(const struct use *u, uint32_t type,
                                   int64_t expiration_ns, uint32_t *count,
                                   element_fn at, const void *context,
                                   struct ipc_ckpt_reply *reply)
{
    struct ipc_ckpt_section_request request = {.handle = u->checkpoint->number,
                                               .expiration_ns = expiration_ns,
                                               .count = *count};
    uint64_t room = u->instance->conn.message_size_max;
    struct iovec parts[ELEMENTS_MAX];
    struct head h = {.size = sizeof request};
    struct conn_call call = {
        .type = type, .parts = parts, .revoked = &u->checkpoint->closed};

    for (uint32_t i = 0; i < *count; i++) {
        struct element e = at(context, i);
        if (e.id->idLen > IPC_CKPT_SECTION_ID_SIZE_MAX) {
            *count = i; /* no section has it */
            return SA_AIS_ERR_NOT_EXIST;
        }
        if (e.size > room || !head_add(&h, &e)) {
            *count = i;
            return SA_AIS_ERR_NO_RESOURCES;
        }
        room -= e.size;
        parts[call.part_count++] =
            (struct iovec)CONN_PART(e.data, (size_t)e.size);
    }
    request.head_size = h.size;
    memcpy(h.bytes, &request, sizeof request);
    call.head = (struct iovec){h.bytes, h.size};
    return sackpt_request(u->instance, &call, reply);
}

static struct element same(const void *context, uint32_t index)
{
    (void)index;
    return *(const struct element *)context;
}

SaAisErrorT sackpt_section_one(const struct use *u, uint32_t type,
                               int64_t expiration_ns, struct element element,
                               struct ipc_ckpt_reply *reply)
{
    uint32_t count = 1;

    return sackpt_section_request(u, type, expiration_ns, &count, same,
                                  &element, reply);
}

/* --- create --------------------------------------------------------------- */

static SaAisErrorT check_create(const struct ckpt_checkpoint *ck,
                                const SaCkptSectionCreationAttributesT *a,
                                const void *data, SaSizeT size)
{
    if (a == NULL || a->sectionId == NULL || (data == NULL && size > 0) ||
        size > ck->attributes.section_size_max ||
        (a->sectionId->idLen == 0) != (a->sectionId->id == NULL) ||
        a->sectionId->idLen > ck->attributes.section_id_size_max)
        return SA_AIS_ERR_INVALID_PARAM;
    if (a->sectionId->idLen > IPC_CKPT_SECTION_ID_SIZE_MAX)
        return SA_AIS_ERR_NO_RESOURCES;
    if ((ck->flags & SA_CKPT_CHECKPOINT_WRITE) == 0)
        return SA_AIS_ERR_ACCESS;
    return ck->attributes.section_max == 1 ? SA_AIS_ERR_EXIST : SA_AIS_OK;
}

/* With an id that the daemon makes. */
static SaAisErrorT create_generated(const struct use *u,
                                    const SaCkptSectionCreationAttributesT *a,
                                    struct element element)
{
    struct ipc_ckpt_reply reply;
    /* First, so that no section is made whose id cannot be told. */
    uint8_t *id = malloc(sizeof reply.id);
    SaAisErrorT error;

    if (id == NULL)
        return SA_AIS_ERR_NO_MEMORY;
    error = sackpt_section_one(u, IPC_SUBMIT_CKPT_SECTION_CREATE,
                               a->expirationTime, element, &reply);
    if (error == SA_AIS_OK &&
        (reply.id_length == 0 || reply.id_length > sizeof reply.id))
        error = SA_AIS_ERR_LIBRARY;
    if (error != SA_AIS_OK) {
        free(id);
        return error;
    }
    memcpy(id, reply.id, reply.id_length);
    *a->sectionId = (SaCkptSectionIdT){reply.id_length, id};
    return SA_AIS_OK;
}

PUBLIC SaAisErrorT
saCkptSectionCreate(SaCkptCheckpointHandleT checkpointHandle,
                    SaCkptSectionCreationAttributesT *sectionCreationAttributes,
                    const void *initialData, SaSizeT initialDataSize)
{
    const SaCkptSectionCreationAttributesT *a = sectionCreationAttributes;
    struct element element = {.data = initialData, .size = initialDataSize};
    struct ipc_ckpt_reply reply;
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(checkpointHandle, &u);

    if (error != SA_AIS_OK)
        return error;
    error = check_create(u.checkpoint, a, initialData, initialDataSize);
    if (error == SA_AIS_OK) {
        element.id = a->sectionId;
        error = a->sectionId->idLen == 0
                    ? create_generated(&u, a, element)
                    : sackpt_section_one(&u, IPC_SUBMIT_CKPT_SECTION_CREATE,
                                         a->expirationTime, element, &reply);
    }
    return error;
}

/* --- delete, expiration --------------------------------------------------- */

/* A change of a section that is not the default section. */
static SaAisErrorT change(SaCkptCheckpointHandleT handle, uint32_t type,
                          const SaCkptSectionIdT *id, SaTimeT expiration)
{
    struct ipc_ckpt_reply reply;
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(handle, &u);

    if (error != SA_AIS_OK)
        return error;
    if (id == NULL || id->idLen == 0 || !sackpt_id_ok(id))
        return SA_AIS_ERR_INVALID_PARAM;
    if ((u.checkpoint->flags & SA_CKPT_CHECKPOINT_WRITE) == 0)
        return SA_AIS_ERR_ACCESS;
    return sackpt_section_one(&u, type, expiration, (struct element){.id = id},
                              &reply);
}

PUBLIC SaAisErrorT saCkptSectionDelete(SaCkptCheckpointHandleT checkpointHandle,
                                       const SaCkptSectionIdT *sectionId)
{
    return change(checkpointHandle, IPC_SUBMIT_CKPT_SECTION_DELETE, sectionId,
                  0);
}

PUBLIC SaAisErrorT saCkptSectionExpirationTimeSet(
    SaCkptCheckpointHandleT checkpointHandle, const SaCkptSectionIdT *sectionId,
    SaTimeT expirationTime)
{
    return change(checkpointHandle, IPC_SUBMIT_CKPT_EXPIRATION_SET, sectionId,
                  expirationTime);
}

PUBLIC SaAisErrorT saCkptSectionIdFree(SaCkptCheckpointHandleT checkpointHandle,
                                       SaUint8T *id)
{
    return sackpt_memory_free(checkpointHandle, id);
}

/* --- iteration ------------------------------------------------------------ */

struct iteration {
    struct part part;
    uint64_t checkpoint; /* handle */
    uint32_t chosen;
    SaTimeT expiration;
    pthread_mutex_t lock; /* over what follows; outermost */
    uint64_t last;        /* number of the section that was told; 0: none */
    uint8_t id[IPC_CKPT_SECTION_ID_SIZE_MAX];
};

static void iteration_free(void *part)
{
    struct iteration *i = part;

    pthread_mutex_destroy(&i->lock);
    free(i);
}

/* Of iterations; the kind of their handles too. */
static const struct handle_ops iteration_ops = {.destroy = iteration_free};

static SaAisErrorT iteration_new(const struct use *u, uint64_t checkpoint,
                                 uint32_t chosen, SaTimeT expiration,
                                 SaCkptSectionIterationHandleT *handle)
{
    struct iteration *i = calloc(1, sizeof *i);
    uint64_t number;
    SaAisErrorT error;

    if (i == NULL)
        return SA_AIS_ERR_NO_MEMORY;
    i->checkpoint = checkpoint;
    i->chosen = chosen == 0 ? SA_CKPT_SECTIONS_ANY : chosen;
    i->expiration = expiration;
    pthread_mutex_init(&i->lock, NULL);
    error = sackpt_part_new(u->instance, &u->checkpoint->iterations,
                            &iteration_ops, &i->part, &number);
    if (error == SA_AIS_OK)
        *handle = number;
    return error;
}

PUBLIC SaAisErrorT saCkptSectionIterationInitialize(
    SaCkptCheckpointHandleT checkpointHandle,
    SaCkptSectionsChosenT sectionsChosen, SaTimeT expirationTime,
    SaCkptSectionIterationHandleT *sectionIterationHandle)
{
    uint32_t chosen = (uint32_t)sectionsChosen;
    struct ipc_ckpt_status_answer status;
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(checkpointHandle, &u);

    if (error != SA_AIS_OK)
        return error;
    error = sectionIterationHandle == NULL || chosen > SA_CKPT_SECTIONS_ANY
                ? SA_AIS_ERR_INVALID_PARAM
                : sackpt_status(&u, &status);
    if (error == SA_AIS_OK)
        error = iteration_new(&u, checkpointHandle, chosen, expirationTime,
                              sectionIterationHandle);
    return error;
}

/* Under the lock. The id comes behind the answer, into the iteration's
 * memory. */
static SaAisErrorT query_next(const struct use *u, struct iteration *i,
                              struct ipc_ckpt_next_answer *a)
{
    const struct ipc_ckpt_next query = {.handle = u->checkpoint->number,
                                        .chosen = i->chosen,
                                        .expiration_ns = i->expiration,
                                        .after = i->last};
    struct conn_call call = {.type = IPC_QUERY_CKPT_NEXT,
                             .head = CONN_PART(&query, sizeof query),
                             .revoked = &u->checkpoint->closed,
                             .answer = {[1] = {i->id, sizeof i->id}}};
    size_t rest;
    SaAisErrorT error;

    a->number = 0;
    error = ais_query(&u->instance->conn, &call, a, sizeof *a, &rest);
    if (error == SA_AIS_OK && (a->id_length > sizeof i->id ||
                               a->id_length != rest || a->number <= i->last))
        return SA_AIS_ERR_LIBRARY;
    return error;
}

static SaAisErrorT next(const struct use *u, struct iteration *i,
                        SaCkptSectionDescriptorT *to)
{
    struct ipc_ckpt_next_answer a;
    SaAisErrorT error;

    /* The daemon looks at so many sections in one query and no more; it says
     * how far it came. */
    while ((error = query_next(u, i, &a)) == SA_AIS_ERR_TRY_AGAIN &&
           a.number > i->last)
        i->last = a.number;
    if (error != SA_AIS_OK)
        return error;
    i->last = a.number;
    memset(to, 0, sizeof *to);
    to->sectionId.idLen = (SaUint16T)a.id_length;
    to->sectionId.id = a.id_length > 0 ? i->id : NULL;
    to->expirationTime = a.expiration_ns;
    to->sectionSize = a.size;
    to->sectionState = (SaCkptSectionStateT)a.state;
    to->lastUpdate = a.last_update_ns;
    return SA_AIS_OK;
}

/* Gets the iteration, until handle_put(), and its checkpoint, in *u. */
static struct iteration *iteration_get(SaCkptSectionIterationHandleT handle,
                                       struct use *u)
{
    struct iteration *i = handle_get(handle, &iteration_ops);

    if (i == NULL || sackpt_get(i->checkpoint, u) == SA_AIS_OK)
        return i;
    handle_put(handle);
    return NULL;
}

PUBLIC SaAisErrorT
saCkptSectionIterationNext(SaCkptSectionIterationHandleT sectionIterationHandle,
                           SaCkptSectionDescriptorT *sectionDescriptor)
{
    HELD_USE struct use u = {.checkpoint = NULL};
    struct iteration *i = iteration_get(sectionIterationHandle, &u);
    SaAisErrorT error;

    if (i == NULL)
        return SA_AIS_ERR_BAD_HANDLE;
    pthread_mutex_lock(&i->lock);
    error = sectionDescriptor == NULL ? SA_AIS_ERR_INVALID_PARAM
                                      : next(&u, i, sectionDescriptor);
    pthread_mutex_unlock(&i->lock);
    handle_put(sectionIterationHandle);
    return error;
}

PUBLIC SaAisErrorT saCkptSectionIterationFinalize(
    SaCkptSectionIterationHandleT sectionIterationHandle)
{
    HELD_USE struct use u = {.checkpoint = NULL};
    struct iteration *i = iteration_get(sectionIterationHandle, &u);
    bool mine;

    if (i == NULL)
        return SA_AIS_ERR_BAD_HANDLE;
    mine = sackpt_part_end(u.instance, &i->part);
    handle_put(sectionIterationHandle);
    return mine ? SA_AIS_OK : SA_AIS_ERR_BAD_HANDLE;
}
