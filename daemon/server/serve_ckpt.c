/* SPDX-License-Identifier: BSD-3-Clause */
/* serve_ckpt.c - the CKPT service for its clients. All they submit goes through
 * the order, so there is nothing here that is answered at once. */
#include "daemon/server/internal.h"

#include "daemon/base/check.h"

static enum head ckpt_judge(const struct client *c, const uint8_t *body)
{
    uint32_t type = c->submit.record.type;

    (void)body; /* is looked at when it is copied, see ckpt_begin() */
    return type < IPC_SUBMIT_CKPT_OPEN || type > IPC_SUBMIT_CKPT_OVERWRITE
               ? HEAD_CORRUPT
               : HEAD_MCAST;
}

static void ckpt_answer(struct server *s, struct client *c, const uint8_t *body)
{
    (void)s;
    (void)c;
    (void)body;
    CHECK(!"all is multicast");
}

/* What was replaced cannot be used again until no reader has it, which takes as
 * long as the admission thread, of normal priority, takes to be sure; what was
 * deleted is freed a little at a time. A flood of writes is to wait for both,
 * and not to use up all memory meanwhile. */
enum { UNFREED_BYTES_MAX = 64 << 20 };

static bool ckpt_waits(const struct server *s, const struct client *c)
{
    return !ckpt_may_take(s->ckpt, c->slot) ||
           ckpt_unfreed_bytes(s->ckpt) > UNFREED_BYTES_MAX;
}

/* --- outcomes ------------------------------------------------------------- */

static void put_event(struct server *s, struct client *c,
                      const struct ckpt_outcome *o)
{
    struct ipc_ckpt_synchronize_event synchronize = {
        .invocation = o->invocation,
        .result = o->reply.reply.result,
        .handle = o->handle};
    struct ipc_ckpt_open_event open = {.invocation = o->invocation,
                                       .result = o->reply.reply.result,
                                       .flags = o->flags,
                                       .opened = o->reply.opened};
    struct bytes head = {(const uint8_t *)&open, sizeof open};
    uint32_t type = IPC_EVENT_CKPT_OPEN;

    if (o->type == IPC_SUBMIT_CKPT_SYNCHRONIZE) {
        head =
            (struct bytes){(const uint8_t *)&synchronize, sizeof synchronize};
        type = IPC_EVENT_CKPT_SYNCHRONIZE;
    }
    client_put_event(s, c, type, head, (struct bytes){NULL, 0});
}

static void tell(struct server *s)
{
    struct ckpt_outcome o;

    while (ckpt_outcome_next(s->ckpt, &o)) {
        struct client *c = s->clients[o.client];
        CHECK(c != NULL && c->service == IPC_SERVICE_CKPT);
        c->counted = false; /* what stands behind it may be taken now */
        if (c->state != CLIENT_LIVE)
            continue;
        if (o.async)
            put_event(s, c, &o);
        else
            client_reply(
                s, c, o.type,
                (struct bytes){(const uint8_t *)&o.reply, sizeof o.reply});
    }
}

/* --- requests ------------------------------------------------------------- */

/* How much of the record is copied before it is looked at. */
static size_t head_size_of(const struct client *c, const uint8_t *body)
{
    struct ipc_ckpt_section_request section;
    size_t size = c->submit.record.size;

    if (c->submit.record.type < IPC_SUBMIT_CKPT_SECTION_CREATE)
        return size;
    if (size < sizeof section)
        return 0;
    memcpy(&section, body, sizeof section);
    return section.head_size;
}

static bool ckpt_begin(struct server *s, struct client *c, const uint8_t *body)
{
    uint8_t record[IPC_CKPT_HEAD_SIZE_MAX];
    size_t size = c->submit.record.size, head_size = head_size_of(c, body);
    struct ckpt_request r = {.client = c->slot,
                             .type = c->submit.record.type,
                             .uid = c->uid,
                             .now_ns = server_wall_ns(),
                             .head = record,
                             .head_size = head_size,
                             .data_size = size - head_size};
    size_t n;

    /* Who is gone waits for no answer: what had not begun to be sent then is
     * stepped over. */
    if (c->state != CLIENT_LIVE)
        return false;
    if (head_size == 0 || head_size > size || head_size > sizeof record ||
        r.data_size > c->message_size_max) {
        client_drop_corrupt(s, c, "record");
        return false;
    }
    memcpy(record, body, head_size);
    if (!ckpt_request_ok(&r)) {
        client_drop_corrupt(s, c, "record");
        return false;
    }
    n = ckpt_take(s->ckpt, &r, s->head);
    tell(s);
    if (n == 0)
        return false;
    s->parts[0] = (struct bytes){s->head, n};
    s->parts[1] = (struct bytes){body + head_size, r.data_size};
    s->message = (struct group_message){.service = GROUP_SERVICE_CKPT,
                                        .safe = ckpt_is_safe(s->ckpt, c->slot),
                                        .parts = s->parts,
                                        .part_count = 2};
    return true;
}

static void ckpt_abandon(struct server *s, struct client *c)
{
    ckpt_untake(s->ckpt, c->slot);
}

/* --- from the order ------------------------------------------------------- */

void ckpt_deliver(struct server *s, const struct group_event *event)
{
    if (!ckpt_message(s->ckpt, event->message.sender, event->message.data))
        s->stats.malformed++;
    tell(s);
}

/* An operation that has begun to be sent is of the configuration before, and is
 * begun anew when this one has been agreed on. */
void ckpt_configure(struct server *s, const struct totem_configuration *c)
{
    if (!c->transitional) {
        if (s->partial != NULL && s->partial->service == IPC_SERVICE_CKPT) {
            ckpt_untake(s->ckpt, s->partial->slot);
            s->partial = NULL;
        }
        if (s->own_service == GROUP_SERVICE_CKPT)
            s->own_size = 0;
    }
    ckpt_configuration(s->ckpt, c);
    tell(s);
}

/* --- clients -------------------------------------------------------------- */

static void ckpt_added(struct server *s, struct client *c)
{
    (void)s;
    (void)c;
}

static void ckpt_gone(struct server *s, struct client *c)
{
    ckpt_client_gone(s->ckpt, c->slot);
}

const struct service service_ckpt = {.judge = ckpt_judge,
                                     .answer = ckpt_answer,
                                     .begin = ckpt_begin,
                                     .abandon = ckpt_abandon,
                                     .waits = ckpt_waits,
                                     .client_added = ckpt_added,
                                     .client_gone = ckpt_gone};
