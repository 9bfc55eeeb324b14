/* SPDX-License-Identifier: BSD-3-Clause */
/* serve_evs.c - the EVS service for its clients. */
#include "daemon/server/internal.h"

#include "daemon/base/check.h"

/* --- records -------------------------------------------------------------- */

static bool mcast_ok(const struct client *c, const struct ipc_evs_mcast *m)
{
    uint64_t rest = c->submit.record.size - sizeof *m;

    return m->guarantee <= 3 && m->groups_size >= 1 &&
           m->groups_size <= IPC_EVS_HEADER_SIZE_MAX &&
           m->groups_size <= rest &&
           rest - m->groups_size <= c->message_size_max;
}

/* The groups of a multicast are not looked at: the client could change them
 * afterwards, and every receiver parses them as a stranger's anyway. */
static enum head evs_judge(const struct client *c, const uint8_t *body)
{
    const struct ring_record *record = &c->submit.record;
    struct ipc_evs_mcast m;
    struct ipc_evs_groups g;

    switch (record->type) {
    case IPC_SUBMIT_EVS_MCAST:
        if (record->size < sizeof m)
            return HEAD_CORRUPT;
        memcpy(&m, body, sizeof m);
        return mcast_ok(c, &m) ? HEAD_MCAST : HEAD_CORRUPT;
    case IPC_SUBMIT_EVS_JOIN:
    case IPC_SUBMIT_EVS_LEAVE:
        if (record->size < sizeof g)
            return HEAD_CORRUPT;
        memcpy(&g, body, sizeof g);
        return g.count <= IPC_GROUPS_PER_CALL_MAX &&
                       record->size ==
                           sizeof g + (uint64_t)g.count * sizeof(struct evs_key)
                   ? HEAD_REQUEST
                   : HEAD_CORRUPT;
    default:
        return HEAD_CORRUPT;
    }
}

/* The body of the record is the message as it goes on the wire. */
static bool evs_begin(struct server *s, struct client *c, const uint8_t *body)
{
    struct ipc_evs_mcast head;

    memcpy(&head, body, sizeof head);
    s->parts[0] =
        (struct bytes){body + sizeof head, c->submit.record.size - sizeof head};
    s->message = (struct group_message){.service = GROUP_SERVICE_EVS,
                                        .safe = head.guarantee == 3,
                                        .parts = s->parts,
                                        .part_count = 1};
    return true;
}

/* --- requests ------------------------------------------------------------- */

static void evs_answer(struct server *s, struct client *c, const uint8_t *body)
{
    uint32_t type = c->submit.record.type;
    struct evs_key keys[IPC_GROUPS_PER_CALL_MAX];
    struct ipc_reply reply = {.done = 0};
    /* Not the count in the record: that may have changed since it was checked.
     * The record's size is a private copy. */
    uint32_t count =
        (c->submit.record.size - (uint32_t)sizeof(struct ipc_evs_groups)) /
        (uint32_t)sizeof *keys;

    memcpy(keys, body + sizeof(struct ipc_evs_groups), count * sizeof *keys);
    if (type == IPC_SUBMIT_EVS_JOIN) {
        reply.result = evs_group_join(s->evs, c->slot, keys, count);
        reply.done = reply.result == IPC_OK ? count : 0;
    } else {
        reply.result =
            evs_group_leave(s->evs, c->slot, keys, count, &reply.done);
    }
    client_reply(s, c, type,
                 (struct bytes){(const uint8_t *)&reply, sizeof reply});
}

/* --- events --------------------------------------------------------------- */

static void put_configuration(struct server *s, struct client *c,
                              const struct totem_configuration *conf)
{
    struct ipc_evs_configuration head = {.ring_seq = conf->ring_id.seq,
                                         .ring_node_id = conf->ring_id.rep,
                                         .transitional = conf->transitional,
                                         .member_count = conf->member_count,
                                         .left_count = conf->left_count,
                                         .joined_count = conf->joined_count};
    uint32_t ids[3 * IPC_NODES_MAX], n = 0;

    CHECK(conf->member_count <= IPC_NODES_MAX &&
          conf->left_count <= IPC_NODES_MAX &&
          conf->joined_count <= IPC_NODES_MAX);
    for (uint32_t i = 0; i < conf->member_count; i++)
        ids[n++] = conf->members[i];
    for (uint32_t i = 0; i < conf->left_count; i++)
        ids[n++] = conf->left[i];
    for (uint32_t i = 0; i < conf->joined_count; i++)
        ids[n++] = conf->joined[i];
    client_put_event(s, c, IPC_EVENT_EVS_CONFIGURATION,
                     (struct bytes){(const uint8_t *)&head, sizeof head},
                     (struct bytes){(const uint8_t *)ids, n * sizeof *ids});
}

void evs_deliver(struct server *s, const struct group_event *event)
{
    struct evs_message m;
    struct ipc_evs_message head = {.node_id = event->message.sender};

    if (!evs_message_read(s->evs, event->message.data, &m) ||
        m.payload.n > s->config.message_size_max) {
        s->stats.malformed++;
        return;
    }
    for (uint32_t i = 0; i < m.client_count; i++) {
        struct client *c = s->clients[m.clients[i]];
        CHECK(c != NULL);
        client_put_event(s, c, IPC_EVENT_EVS_MESSAGE,
                         (struct bytes){(const uint8_t *)&head, sizeof head},
                         m.payload);
        s->stats.delivered++;
    }
}

void evs_configure(struct server *s, const struct totem_configuration *c)
{
    evs_configuration_set(s->evs, c);
    /* Before any client is told of it, so that who was told reads no older
     * one. */
    if (!c->transitional)
        server_publish(s);
    for (uint32_t i = 0; i < s->config.client_max; i++)
        if (s->clients[i] != NULL && s->clients[i]->service == IPC_SERVICE_EVS)
            put_configuration(s, s->clients[i], c);
}

/* --- clients -------------------------------------------------------------- */

static void evs_client_added(struct server *s, struct client *c)
{
    const struct totem_configuration *conf = evs_configuration_get(s->evs);

    if (conf != NULL)
        put_configuration(s, c, conf);
}

static void evs_client_gone(struct server *s, struct client *c)
{
    evs_group_leave_all(s->evs, c->slot);
}

const struct service service_evs = {.judge = evs_judge,
                                    .answer = evs_answer,
                                    .begin = evs_begin,
                                    .client_added = evs_client_added,
                                    .client_gone = evs_client_gone};
