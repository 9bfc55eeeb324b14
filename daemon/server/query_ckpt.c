/* SPDX-License-Identifier: BSD-3-Clause */
/* query_ckpt.c - reads of checkpoints, on the ipc workers' threads. */
#include "daemon/server/internal.h"
#include "daemon/server/query.h"
#include "daemon/server/worker.h"

/* As SaCkptSectionsChosenT. */
enum chosen {
    CHOSEN_FOREVER = 1,
    CHOSEN_LEQ_EXPIRATION_TIME = 2,
    CHOSEN_GEQ_EXPIRATION_TIME = 3,
    CHOSEN_CORRUPTED = 4,
    CHOSEN_ANY = 5
};

enum { SECTION_VALID = 1 }; /* as SaCkptSectionStateT */

/* --- read ----------------------------------------------------------------- */

/* As much as is wanted, is there, and fits. */
static const char *put_data(struct client *c,
                            const struct ckpt_content *content,
                            const struct ipc_ckpt_read *query,
                            const struct ipc_ckpt_read_answer *answer)
{
    struct ipc_ckpt_read_answer head = *answer;
    uint64_t n = content->size - query->offset;
    uint64_t room = c->answer.size - sizeof(struct ring_record) - sizeof head;

    if (n > query->size)
        n = query->size;
    if (n > room)
        n = room;
    head.version = content->version;
    head.section_size = content->size;
    head.reply.done = (uint32_t)n;
    uint8_t *at = ring_claim(&c->answer, (uint32_t)(sizeof head + n));
    if (at == NULL)
        return query_no_room;
    memcpy(at, &head, sizeof head);
    ckpt_content_read(content, query->offset, at + sizeof head, n);
    ring_push(&c->answer, c->query.record.type, (uint32_t)(sizeof head + n));
    return NULL;
}

static const char *read_section(const struct ckpt *k, struct client *c,
                                const uint8_t *body)
{
    struct ipc_ckpt_read_answer answer = {.reply = {.result = IPC_OK}};
    uint32_t size = c->query.record.size;
    uint8_t id[IPC_CKPT_SECTION_ID_SIZE_MAX];
    struct ckpt_checkpoint *checkpoint;
    const struct ckpt_section *section = NULL;
    const struct ckpt_content *content;
    struct ipc_ckpt_read query;

    if (size < sizeof query)
        return query_nonsense;
    memcpy(&query, body, sizeof query);
    if (query.id_length > sizeof id || size != sizeof query + query.id_length)
        return query_nonsense;
    memcpy(id, body + sizeof query, query.id_length);
    answer.epoch = ckpt_store_epoch(ckpt_store(k));
    answer.reply.result = ckpt_lookup(k, c->slot, query.handle, &checkpoint);
    if (answer.reply.result == IPC_OK) {
        section = ckpt_section_find(ckpt_store(k), checkpoint,
                                    (struct bytes){id, query.id_length});
        if (section == NULL)
            answer.reply.result = IPC_ERR_NOT_EXIST;
    }
    if (section != NULL) {
        content = ckpt_content_get(section);
        answer.slot = ckpt_section_slot(ckpt_store(k), section);
        answer.generation = section->generation;
        if (query.offset <= content->size)
            return put_data(c, content, &query, &answer);
        answer.reply.result = IPC_ERR_INVALID_PARAM;
    }
    return query_put(c, &answer, sizeof answer, NULL, 0);
}

/* --- status --------------------------------------------------------------- */

static const char *status(const struct ckpt *k, struct client *c,
                          const uint8_t *body)
{
    struct ipc_ckpt_status_answer answer = {.reply = {.result = IPC_OK}};
    struct ckpt_checkpoint *checkpoint;
    struct ipc_ckpt_status query;

    if (!query_take(c, body, &query, sizeof query))
        return query_nonsense;
    answer.reply.result = ckpt_lookup(k, c->slot, query.handle, &checkpoint);
    if (answer.reply.result == IPC_OK) {
        answer.attributes = checkpoint->attributes;
        /* Relaxed, each: they are read for people. */
        answer.attributes.retention_ns = atomic_load_explicit(
            &checkpoint->retention_ns, memory_order_relaxed);
        answer.section_count = atomic_load_explicit(&checkpoint->section_count,
                                                    memory_order_relaxed);
        answer.memory_used =
            atomic_load_explicit(&checkpoint->bytes, memory_order_relaxed);
    }
    return query_put(c, &answer, sizeof answer, NULL, 0);
}

/* --- iteration ------------------------------------------------------------ */

static bool is_chosen(const struct ipc_ckpt_next *query,
                      const struct ckpt_content *content)
{
    switch (query->chosen) {
    case CHOSEN_FOREVER:
        return content->expiration_ns == INT64_MAX;
    case CHOSEN_LEQ_EXPIRATION_TIME:
        return content->expiration_ns <= query->expiration_ns;
    case CHOSEN_GEQ_EXPIRATION_TIME:
        return content->expiration_ns >= query->expiration_ns;
    case CHOSEN_CORRUPTED:
        return false; /* all writes are whole */
    default:
        return true;
    }
}

enum { LOOKS_MAX = 200 }; /* at sections, in one query */

/* The next that is chosen. A client that chooses few of many does not hold up
 * the others of its worker: *number is where it may go on, with TRY_AGAIN. */
static enum ipc_error find_next(const struct ckpt_checkpoint *checkpoint,
                                const struct ipc_ckpt_next *query,
                                const struct ckpt_section **section,
                                uint64_t *number)
{
    *number = query->after;
    for (uint32_t i = 0; i < LOOKS_MAX; i++) {
        *section = ckpt_section_next(checkpoint, *number);
        if (*section == NULL)
            return IPC_ERR_NO_SECTIONS;
        *number = (*section)->number;
        if (is_chosen(query, ckpt_content_get(*section)))
            return IPC_OK;
    }
    *section = NULL;
    return IPC_ERR_TRY_AGAIN;
}

static const char *next(const struct ckpt *k, struct client *c,
                        const uint8_t *body)
{
    struct ipc_ckpt_next_answer answer = {.reply = {.result = IPC_OK}};
    const struct ckpt_section *section = NULL;
    const struct ckpt_content *content;
    struct ckpt_checkpoint *checkpoint;
    struct ipc_ckpt_next query;

    if (!query_take(c, body, &query, sizeof query))
        return query_nonsense;
    answer.reply.result = ckpt_lookup(k, c->slot, query.handle, &checkpoint);
    if (answer.reply.result == IPC_OK)
        answer.reply.result =
            find_next(checkpoint, &query, &section, &answer.number);
    if (section == NULL)
        return query_put(c, &answer, sizeof answer, NULL, 0);
    content = ckpt_content_get(section);
    answer.expiration_ns = content->expiration_ns;
    answer.last_update_ns = content->last_update_ns;
    answer.size = content->size;
    answer.state = SECTION_VALID;
    answer.id_length = section->id_size;
    return query_put(c, &answer, sizeof answer, section->id, section->id_size);
}

const char *query_ckpt(const struct ckpt *k, struct client *c,
                       const uint8_t *body)
{
    switch (c->query.record.type) {
    case IPC_QUERY_CKPT_READ:
        return read_section(k, c, body);
    case IPC_QUERY_CKPT_STATUS:
        return status(k, c, body);
    case IPC_QUERY_CKPT_NEXT:
        return next(k, c, body);
    default:
        return query_nonsense;
    }
}
