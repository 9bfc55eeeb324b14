/* SPDX-License-Identifier: BSD-3-Clause */
/* data.c - libSaCkpt: writing and reading. */
#include "api/ckpt/internal.h"

#include <stdlib.h>
#include <string.h>

enum { READ_TRIES = 1000 }; /* of a section that is written to meanwhile */

static void set_index(SaUint32T *to, uint32_t index)
{
    if (to != NULL)
        *to = index;
}

/* --- write ---------------------------------------------------------------- */

static SaAisErrorT check_element(const struct ckpt_checkpoint *ck,
                                 const SaCkptIOVectorElementT *e)
{
    uint64_t max = ck->attributes.section_size_max;

    if ((e->dataBuffer == NULL && e->dataSize > 0) || e->dataSize > max ||
        e->dataOffset > max - e->dataSize || !sackpt_id_ok(&e->sectionId))
        return SA_AIS_ERR_INVALID_PARAM;
    return SA_AIS_OK;
}

static struct element element_at(const void *context, uint32_t index)
{
    const SaCkptIOVectorElementT *e =
        (const SaCkptIOVectorElementT *)context + index;

    return (struct element){.id = &e->sectionId,
                            .offset = e->dataOffset,
                            .data = e->dataBuffer,
                            .size = e->dataSize};
}

static SaAisErrorT write_vector(const struct use *u,
                                const SaCkptIOVectorElementT *v, uint32_t count,
                                SaUint32T *index)
{
    struct ipc_ckpt_reply reply = {.reply.result = 0};
    uint32_t sent = count;
    SaAisErrorT error;

    if (v == NULL || count == 0)
        return SA_AIS_ERR_INVALID_PARAM;
    for (uint32_t i = 0; i < count; i++) {
        error = check_element(u->checkpoint, &v[i]);
        if (error != SA_AIS_OK) {
            set_index(index, i);
            return error;
        }
    }
    if ((u->checkpoint->flags & SA_CKPT_CHECKPOINT_WRITE) == 0)
        return SA_AIS_ERR_ACCESS;
    error = sackpt_section_request(u, IPC_SUBMIT_CKPT_WRITE, 0, &sent,
                                   element_at, v, &reply);
    if (error != SA_AIS_OK && sent < count)
        set_index(index, sent);
    else if (reply.reply.result != 0 && reply.reply.done < count &&
             error != SA_AIS_OK)
        set_index(index, reply.reply.done);
    return error;
}

PUBLIC SaAisErrorT saCkptCheckpointWrite(
    SaCkptCheckpointHandleT checkpointHandle,
    const SaCkptIOVectorElementT *ioVector, SaUint32T numberOfElements,
    SaUint32T *erroneousVectorIndex)
{
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(checkpointHandle, &u);

    if (error != SA_AIS_OK)
        return error;
    return write_vector(&u, ioVector, numberOfElements, erroneousVectorIndex);
}

static SaAisErrorT overwrite(const struct use *u, const SaCkptSectionIdT *id,
                             const void *data, SaSizeT size)
{
    const struct element element = {.id = id, .data = data, .size = size};
    struct ipc_ckpt_reply reply;

    if (id == NULL || data == NULL || !sackpt_id_ok(id) ||
        size > u->checkpoint->attributes.section_size_max)
        return SA_AIS_ERR_INVALID_PARAM;
    if ((u->checkpoint->flags & SA_CKPT_CHECKPOINT_WRITE) == 0)
        return SA_AIS_ERR_ACCESS;
    return sackpt_section_one(u, IPC_SUBMIT_CKPT_OVERWRITE, 0, element, &reply);
}

PUBLIC SaAisErrorT saCkptSectionOverwrite(
    SaCkptCheckpointHandleT checkpointHandle, const SaCkptSectionIdT *sectionId,
    const void *dataBuffer, SaSizeT dataSize)
{
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(checkpointHandle, &u);

    if (error != SA_AIS_OK)
        return error;
    return overwrite(&u, sectionId, dataBuffer, dataSize);
}

/* --- read ----------------------------------------------------------------- */

/* What is known of a section while it is read in pieces. */
struct reading {
    const struct use *use;
    const SaCkptSectionIdT *id;
    uint64_t offset;
    uint64_t version, section_size; /* of the first piece */
};

/* Up to `size` bytes from `skip` behind the offset on, into `to`; *done: so
 * many. *same: it is the first piece, or of the same version. */
static SaAisErrorT read_piece(struct reading *r, uint64_t skip, void *to,
                              uint64_t size, bool first, bool *same,
                              uint64_t *done)
{
    const struct ipc_ckpt_read query = {.handle = r->use->checkpoint->number,
                                        .id_length = r->id->idLen,
                                        .offset = r->offset + skip,
                                        .size = size};
    const struct iovec id = CONN_PART(r->id->id, r->id->idLen);
    struct conn_call call = {.type = IPC_QUERY_CKPT_READ,
                             .head = CONN_PART(&query, sizeof query),
                             .parts = &id,
                             .part_count = 1,
                             .revoked = &r->use->checkpoint->closed,
                             .answer = {[1] = {to, size}}};
    struct ipc_ckpt_read_answer a;
    size_t rest;
    SaAisErrorT error =
        ais_query(&r->use->instance->conn, &call, &a, sizeof a, &rest);

    if (error != SA_AIS_OK) {
        /* Shorter than it was: it has been written to. */
        *same = first || error != SA_AIS_ERR_INVALID_PARAM;
        return *same ? error : SA_AIS_OK;
    }
    if (a.reply.done != rest || rest > size)
        return SA_AIS_ERR_LIBRARY;
    *same = first || a.version == r->version;
    r->version = a.version;
    r->section_size = a.section_size;
    *done = rest;
    sackpt_direct_learn(r->use, r->id, &a);
    return SA_AIS_OK;
}

/* Reads until `size` bytes or the section's end have come; *whole: all of one
 * version. `begun`: there was a piece before. */
static SaAisErrorT read_pieces(struct reading *r, void *to, uint64_t size,
                               bool begun, bool *whole, uint64_t *got)
{
    bool first = !begun;

    *got = 0;
    for (;;) {
        uint64_t done = 0;
        SaAisErrorT error = read_piece(r, *got, (uint8_t *)to + *got,
                                       size - *got, first, whole, &done);
        if (error != SA_AIS_OK || !*whole)
            return error;
        first = false;
        *got += done;
        /* The offset is within the section: the daemon has looked. */
        if (*got == size || r->section_size - r->offset <= *got)
            return SA_AIS_OK;
        if (done == 0)
            return SA_AIS_ERR_LIBRARY;
    }
}

static SaAisErrorT read_into(struct reading *r, SaCkptIOVectorElementT *e)
{
    bool whole = false;

    for (int tries = 0; tries < READ_TRIES; tries++) {
        uint64_t got;
        SaAisErrorT error =
            read_pieces(r, e->dataBuffer, e->dataSize, false, &whole, &got);
        if (error == SA_AIS_OK && whole)
            e->readSize = got;
        if (error != SA_AIS_OK || whole)
            return error;
    }
    return SA_AIS_ERR_TRY_AGAIN;
}

/* Asks how much there is, allocates that, reads it. */
static SaAisErrorT read_allocated_once(struct reading *r,
                                       SaCkptIOVectorElementT *e, bool *whole)
{
    uint64_t got, size;
    bool same;
    SaAisErrorT error = read_piece(r, 0, NULL, 0, true, &same, &got);
    void *data;

    if (error != SA_AIS_OK)
        return error;
    size = r->section_size > r->offset ? r->section_size - r->offset : 0;
    data = malloc(size + (size == 0));
    if (data == NULL)
        return SA_AIS_ERR_NO_MEMORY;
    error = read_pieces(r, data, size, true, whole, &got);
    if (error != SA_AIS_OK || !*whole) {
        free(data);
        return error;
    }
    e->dataBuffer = data;
    e->readSize = got;
    return SA_AIS_OK;
}

static SaAisErrorT read_allocated(struct reading *r, SaCkptIOVectorElementT *e)
{
    bool whole = false;

    for (int tries = 0; tries < READ_TRIES; tries++) {
        SaAisErrorT error = read_allocated_once(r, e, &whole);
        if (error != SA_AIS_OK || whole)
            return error;
    }
    return SA_AIS_ERR_TRY_AGAIN;
}

static SaAisErrorT check_read(const struct ckpt_checkpoint *ck,
                              const SaCkptIOVectorElementT *e)
{
    bool too_much =
        e->dataBuffer != NULL && e->dataSize > ck->attributes.section_size_max;

    return too_much || !sackpt_id_ok(&e->sectionId) ? SA_AIS_ERR_INVALID_PARAM
                                                    : SA_AIS_OK;
}

static SaAisErrorT read_one(const struct use *u, SaCkptIOVectorElementT *e)
{
    struct reading r = {.use = u, .id = &e->sectionId, .offset = e->dataOffset};
    uint64_t got;

    if (r.id->idLen > IPC_CKPT_SECTION_ID_SIZE_MAX)
        return SA_AIS_ERR_NOT_EXIST; /* no section has it */
    if (e->dataBuffer != NULL &&
        sackpt_direct_read(u, r.id, r.offset, e->dataBuffer, e->dataSize,
                           &got)) {
        e->readSize = got;
        return SA_AIS_OK;
    }
    return e->dataBuffer != NULL ? read_into(&r, e) : read_allocated(&r, e);
}

/* Bits, one for each element that the library has allocated memory for. */
static bool *new_marks(const SaCkptIOVectorElementT *v, uint32_t count)
{
    bool *marks = calloc(count, sizeof *marks);

    for (uint32_t i = 0; marks != NULL && i < count; i++)
        marks[i] = v[i].dataBuffer == NULL;
    return marks;
}

static SaAisErrorT read_elements(const struct use *u, SaCkptIOVectorElementT *v,
                                 uint32_t count, SaUint32T *index)
{
    SaAisErrorT error = SA_AIS_OK;
    bool *allocated;
    uint32_t i;

    if (count == 1) {
        error = read_one(u, v);
        if (error != SA_AIS_OK)
            set_index(index, 0);
        return error;
    }
    allocated = new_marks(v, count);
    if (allocated == NULL)
        return SA_AIS_ERR_NO_MEMORY;
    for (i = 0; i < count && error == SA_AIS_OK; i++)
        error = read_one(u, &v[i]);
    if (error != SA_AIS_OK) {
        set_index(index, i - 1);
        while (i-- > 0)
            if (allocated[i]) {
                free(v[i].dataBuffer);
                v[i].dataBuffer = NULL;
            }
    }
    free(allocated);
    return error;
}

static SaAisErrorT read_vector(const struct use *u, SaCkptIOVectorElementT *v,
                               uint32_t count, SaUint32T *index)
{
    if (v == NULL || count == 0)
        return SA_AIS_ERR_INVALID_PARAM;
    for (uint32_t i = 0; i < count; i++) {
        SaAisErrorT error = check_read(u->checkpoint, &v[i]);
        if (error != SA_AIS_OK) {
            set_index(index, i);
            return error;
        }
    }
    if ((u->checkpoint->flags & SA_CKPT_CHECKPOINT_READ) == 0)
        return SA_AIS_ERR_ACCESS;
    return read_elements(u, v, count, index);
}

PUBLIC SaAisErrorT saCkptCheckpointRead(
    SaCkptCheckpointHandleT checkpointHandle, SaCkptIOVectorElementT *ioVector,
    SaUint32T numberOfElements, SaUint32T *erroneousVectorIndex)
{
    HELD_USE struct use u = {.checkpoint = NULL};
    SaAisErrorT error = sackpt_get(checkpointHandle, &u);

    if (error != SA_AIS_OK)
        return error;
    return read_vector(&u, ioVector, numberOfElements, erroneousVectorIndex);
}

PUBLIC SaAisErrorT saCkptIOVectorElementDataFree(
    SaCkptCheckpointHandleT checkpointHandle, void *data)
{
    return sackpt_memory_free(checkpointHandle, data);
}
