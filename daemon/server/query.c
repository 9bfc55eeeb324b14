/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/query.h"

#include "daemon/base/check.h"
#include "daemon/server/internal.h"
#include "daemon/server/view.h"
#include "daemon/server/worker.h"

const char *const query_nonsense = "query";
/* The library has one query under way at a time. */
const char *const query_no_room = "queries without reading the answers";

const char *query_put(struct client *c, const void *head, size_t head_size,
                      const void *body, size_t body_size)
{
    uint8_t *at = ring_claim(&c->answer, (uint32_t)(head_size + body_size));

    if (at == NULL)
        return query_no_room;
    memcpy(at, head, head_size);
    if (body_size > 0)
        memcpy(at + head_size, body, body_size);
    ring_push(&c->answer, c->query.record.type,
              (uint32_t)(head_size + body_size));
    return NULL;
}

bool query_take(const struct client *c, const uint8_t *body, void *query,
                size_t size)
{
    if (c->query.record.size != size)
        return false;
    memcpy(query, body, size);
    return true;
}

/* --- EVS ------------------------------------------------------------------ */

static const char *evs_members(const struct worker_sources *sources,
                               struct client *c, const struct view *view)
{
    const struct totem_configuration *conf = &view->configuration;
    struct ipc_evs_members head = {
        .reply = {.result = IPC_OK, .done = conf->member_count},
        .node_id = sources->node_id};

    CHECK(view->configured);
    if (c->query.record.size != 0)
        return query_nonsense;
    return query_put(c, &head, sizeof head, conf->members,
                     conf->member_count * sizeof *conf->members);
}

static const char *evs_groups(const struct worker_sources *sources,
                              struct client *c, const uint8_t *body)
{
    struct ipc_evs_group_info list[IPC_GROUP_INFOS_MAX];
    struct ipc_evs_group_list head = {.reply = {.result = IPC_OK}};
    struct ipc_evs_groups_from query;

    if (!query_take(c, body, &query, sizeof query))
        return query_nonsense;
    head.reply.done = evs_group_list(sources->evs, query.from, list,
                                     IPC_GROUP_INFOS_MAX, &head.next);
    return query_put(c, &head, sizeof head, list,
                     head.reply.done * sizeof *list);
}

/* --- CLM ------------------------------------------------------------------ */

static const char *clm_node(struct client *c, const uint8_t *body,
                            const struct view *view)
{
    struct ipc_clm_node_answer answer = {.reply = {.result = IPC_OK}};
    const struct ipc_clm_node *node = NULL;
    struct ipc_clm_node_query query;

    if (!query_take(c, body, &query, sizeof query))
        return query_nonsense;
    if (!view->clm_known)
        answer.reply.result = IPC_ERR_TRY_AGAIN;
    else if ((node = clm_view_find(&view->clm, query.node_id)) == NULL)
        answer.reply.result = IPC_ERR_NOT_EXIST;
    else
        answer.node = *node;
    return query_put(c, &answer, sizeof answer, NULL, 0);
}

static const char *clm_nodes(struct client *c, const uint8_t *body,
                             const struct view *view)
{
    struct ipc_clm_nodes_answer head = {.reply = {.result = IPC_OK}};
    const struct clm_view *clm = &view->clm;
    struct ipc_clm_nodes_query query;
    uint32_t end, count;

    if (!query_take(c, body, &query, sizeof query))
        return query_nonsense;
    if (!view->clm_known) {
        head.reply.result = IPC_ERR_TRY_AGAIN;
        return query_put(c, &head, sizeof head, NULL, 0);
    }
    end = query.local != 0 ? 1 : clm->count;
    count = query.from < end ? end - query.from : 0;
    if (count > IPC_CLM_NODES_PER_ANSWER_MAX)
        count = IPC_CLM_NODES_PER_ANSWER_MAX;
    head.reply.done = count;
    head.member_count = clm->count;
    head.view = clm->number;
    head.next = count > 0 && query.from + count < end ? query.from + count : 0;
    return query_put(c, &head, sizeof head,
                     count > 0 ? &clm->nodes[query.from] : NULL,
                     count * sizeof *clm->nodes);
}

/* --- all ------------------------------------------------------------------ */

const char *query_answer(const struct worker_sources *sources, struct client *c,
                         const uint8_t *body, const struct view *view)
{
    bool evs = c->service == IPC_SERVICE_EVS,
         clm = c->service == IPC_SERVICE_CLM;

    switch (c->query.record.type) {
    case IPC_QUERY_EVS_MEMBERS:
        return evs ? evs_members(sources, c, view) : query_nonsense;
    case IPC_QUERY_EVS_GROUPS:
        return evs ? evs_groups(sources, c, body) : query_nonsense;
    case IPC_QUERY_CLM_NODE:
        return clm ? clm_node(c, body, view) : query_nonsense;
    case IPC_QUERY_CLM_NODES:
        return clm ? clm_nodes(c, body, view) : query_nonsense;
    default:
        return c->service == IPC_SERVICE_CKPT
                   ? query_ckpt(sources->ckpt, c, body)
                   : query_nonsense;
    }
}
