/* SPDX-License-Identifier: BSD-3-Clause */
/* serve_clm.c - the CLM service for its clients. */
#include "daemon/server/internal.h"

#include "daemon/base/check.h"

/* Everything that the last input has led to. */
static void tell(struct server *s)
{
    struct clm_event event;

    while (clm_event_next(s->clm, &event)) {
        if (event.view)
            server_publish(s);
        for (uint32_t i = 0; i < event.client_count; i++)
            client_put_event(s, s->clients[event.clients[i]],
                             IPC_EVENT_CLM_TRACK, event.data,
                             (struct bytes){NULL, 0});
    }
}

/* --- from the order ------------------------------------------------------- */

void clm_deliver(struct server *s, const struct group_event *event)
{
    if (!clm_message(s->clm, event->message.sender, event->message.data))
        s->stats.malformed++;
    tell(s);
}

void clm_configure(struct server *s, const struct totem_configuration *c)
{
    clm_configuration(s->clm, c);
    tell(s);
}

/* --- requests ------------------------------------------------------------- */

static enum head clm_judge(const struct client *c, const uint8_t *body)
{
    struct ipc_clm_track track;
    uint32_t size = c->submit.record.size;

    switch (c->submit.record.type) {
    case IPC_SUBMIT_CLM_TRACK:
        if (size != sizeof track)
            return HEAD_CORRUPT;
        memcpy(&track, body, sizeof track);
        return clm_flags_ok(track.flags) ? HEAD_REQUEST : HEAD_CORRUPT;
    case IPC_SUBMIT_CLM_TRACK_STOP:
        return size == 0 ? HEAD_REQUEST : HEAD_CORRUPT;
    case IPC_SUBMIT_CLM_NODE_GET:
        return size == sizeof(struct ipc_clm_node_get) ? HEAD_REQUEST
                                                       : HEAD_CORRUPT;
    default:
        return HEAD_CORRUPT;
    }
}

static void reply(struct server *s, struct client *c, enum ipc_error result)
{
    struct ipc_reply r = {.result = result};

    client_reply(s, c, c->submit.record.type,
                 (struct bytes){(const uint8_t *)&r, sizeof r});
}

static void track(struct server *s, struct client *c, const uint8_t *body)
{
    struct ipc_clm_track t;

    memcpy(&t, body, sizeof t);
    /* The client may have changed the flags since they were judged. */
    if (!clm_flags_ok(t.flags)) {
        client_drop_corrupt(s, c, "record");
        return;
    }
    /* Events that are not read are not added to. */
    enum ipc_error result = (t.flags & IPC_CLM_CURRENT) != 0 && c->overflowing
                                ? IPC_ERR_TRY_AGAIN
                                : clm_track(s->clm, c->slot, t.flags);
    tell(s);
    client_publish_events(s, c);
    reply(s, c, result);
}

static void node_get(struct server *s, struct client *c, const uint8_t *body)
{
    const struct clm_view *view = clm_view_get(s->clm);
    const struct ipc_clm_node *node;
    struct ipc_clm_node_get get;
    struct ipc_clm_node_event event = {.result = IPC_ERR_NOT_EXIST};

    memcpy(&get, body, sizeof get);
    if (view == NULL || c->overflowing) {
        reply(s, c, IPC_ERR_TRY_AGAIN);
        return;
    }
    node = clm_view_find(view, get.node_id);
    if (node != NULL) {
        event.result = IPC_OK;
        event.node = *node;
    }
    event.invocation = get.invocation;
    client_put_event(s, c, IPC_EVENT_CLM_NODE,
                     (struct bytes){(const uint8_t *)&event, sizeof event},
                     (struct bytes){NULL, 0});
    client_publish_events(s, c);
    reply(s, c, IPC_OK);
}

static void clm_answer(struct server *s, struct client *c, const uint8_t *body)
{
    switch (c->submit.record.type) {
    case IPC_SUBMIT_CLM_TRACK:
        track(s, c, body);
        break;
    case IPC_SUBMIT_CLM_TRACK_STOP:
        reply(s, c, clm_track_stop(s->clm, c->slot));
        break;
    case IPC_SUBMIT_CLM_NODE_GET:
        node_get(s, c, body);
        break;
    }
}

/* --- clients -------------------------------------------------------------- */

static void clm_added(struct server *s, struct client *c)
{
    (void)s;
    (void)c;
}

static void clm_gone(struct server *s, struct client *c)
{
    clm_client_gone(s->clm, c->slot);
}

const struct service service_clm = {.judge = clm_judge,
                                    .answer = clm_answer,
                                    .client_added = clm_added,
                                    .client_gone = clm_gone};
