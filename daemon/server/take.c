/* SPDX-License-Identifier: BSD-3-Clause */
/* take.c - what clients submit: requests answered at once, multicasts moved
 * into the packets of a visit. */
#include "daemon/server/internal.h"

#include "daemon/base/check.h"

enum {
    TURN_BYTES = 65536, /* a client may send before the next one's turn */
    IDLE_VISITS = 64,   /* empty so often: it rings before it is looked at */
    REQUESTS_PER_VISIT = 256, /* of all clients; the rest at the next one */
    /* Of a state, in a visit; see share_begin(). */
    PIECE_BYTES_MIN = 8192,
    PIECE_BYTES_IDLE = 65536,
    PIECE_BYTES_MAX = 262144
};

/* --- the head of a ring --------------------------------------------------- */

/* Who does not read what he gets does not send either, so that who reads his
 * own messages is slowed down before he is disconnected. What has begun to be
 * sent goes on. So does what stands before a request that is waited for: who
 * waits for its reply, perhaps in a callback, reads nothing meanwhile. His own
 * submit ring bounds how much that is, and the overflow has to have room for
 * it (server_open() warns). */
bool client_held_back(const struct server *s, const struct client *c)
{
    bool (*waits)(const struct server *, const struct client *) =
        service_of(c)->waits;

    if (c->state != CLIENT_LIVE || s->partial == c)
        return false;
    if (waits != NULL && waits(s, c))
        return true;
    return c->overflowing && s->config.slow_reader == SERVER_SLOW_PRESSURE &&
           !ring_consumer_sleeps(&c->reply);
}

enum head client_head(struct server *s, struct client *c, const uint8_t **body)
{
    enum ring_result r;
    enum head head;

    if (c->state != CLIENT_LIVE && c->submit.head >= c->drain_end)
        return HEAD_EMPTY;
    r = ring_peek(&c->submit, body);
    if (r == RING_EMPTY)
        return HEAD_EMPTY;
    head = r == RING_CORRUPT ? HEAD_CORRUPT : service_of(c)->judge(c, *body);
    if (head == HEAD_CORRUPT)
        client_drop_corrupt(s, c, r == RING_CORRUPT ? "ring" : "record");
    if (head == HEAD_MCAST && client_held_back(s, c))
        return HEAD_WAITS;
    return head;
}

static void step_over(struct client *c)
{
    ring_advance(&c->submit);
    c->counted = false;
}

/* Gives the memory of what was taken back to the client. */
static void give_back(struct client *c)
{
    if (ring_release(&c->submit))
        client_tell_room(c);
}

/* --- requests ------------------------------------------------------------- */

static void answer_one(struct server *s, struct client *c, const uint8_t *body)
{
    s->stats.submitted++;
    c->awaits = true;
    if (c->state == CLIENT_LIVE)
        service_of(c)->answer(s, c, body);
    step_over(c);
}

enum head client_answer(struct server *s, struct client *c, uint32_t max)
{
    const uint8_t *body;
    enum head head = client_head(s, c, &body);

    for (uint32_t i = 0; i < max && head == HEAD_REQUEST; i++) {
        answer_one(s, c, body);
        head = client_head(s, c, &body);
    }
    give_back(c);
    return head;
}

/* --- a visit -------------------------------------------------------------- */

enum turn {
    TURN_EMPTY, /* nothing (more) to take from this client now */
    TURN_WAITS, /* requests that the next visit will answer */
    TURN_MORE,  /* its share is used up, more is there */
    TURN_FULL   /* the visit is */
};

/* The client's bytes are handed on in place; the only copy is the one into the
 * packet. What a PARTIAL began with stays, whatever the client writes
 * meanwhile. */
static enum group_put_result put_mcast(struct server *s, struct client *c,
                                       const uint8_t *body, struct group *g,
                                       struct totem *t)
{
    enum group_put_result result;
    uint32_t suppressed;

    if (s->partial != c && !service_of(c)->begin(s, c, body))
        return GROUP_PUT_DONE;
    result = group_put(g, t, &s->message);
    if (result == GROUP_PUT_TOO_BIG &&
        log_limit_pass(&s->log_too_big, server_now_ns(), 1, &suppressed))
        log_write(LOG_LEVEL_ERROR, "IPC",
                  "message of %u bytes does not fit the protocol, dropped "
                  "(%u more not logged)",
                  c->submit.record.size, suppressed);
    return result;
}

static void abandon(struct server *s, struct client *c, struct group *g)
{
    group_abandon(g);
    s->partial = NULL;
    if (service_of(c)->abandon != NULL)
        service_of(c)->abandon(s, c);
}

static enum turn take_turn(struct server *s, struct client *c, struct group *g,
                           struct totem *t, uint32_t *requests)
{
    uint64_t end = c->submit.head + TURN_BYTES;
    const uint8_t *body;

    for (;;) {
        enum head head = client_head(s, c, &body);
        if (head == HEAD_MCAST) {
            if (put_mcast(s, c, body, g, t) == GROUP_PUT_PARTIAL) {
                s->partial = c;
                return TURN_FULL;
            }
            s->partial = NULL;
            if (c->submit.corrupt)
                return TURN_EMPTY;
            s->stats.submitted++;
            c->awaits = c->service != IPC_SERVICE_EVS;
            step_over(c);
        } else if (head == HEAD_REQUEST) {
            if (*requests == 0)
                return TURN_WAITS;
            --*requests;
            answer_one(s, c, body);
        } else {
            if (s->partial == c) /* its ring has turned out to be corrupt */
                abandon(s, c, g);
            return TURN_EMPTY;
        }
        if (c->submit.head >= end)
            return TURN_MORE;
    }
}

/* Ends the client's turn: its memory back, its place in the list. */
static void end_turn(struct server *s, struct client *c, enum turn turn,
                     bool had_something)
{
    give_back(c);
    if (client_settle(s, c))
        return;
    c->idle_visits = had_something ? 0 : c->idle_visits + 1;
    if (turn == TURN_FULL)
        return; /* first at the next visit: its share, or message, goes on */
    client_deactivate(s, c);
    if (c->idle_visits > IDLE_VISITS && c->state == CLIENT_LIVE &&
        !c->submit.corrupt) {
        if (ring_arm(&c->submit))
            return; /* it rings when it has something */
        ring_disarm(&c->submit);
    }
    if (c->state == CLIENT_CLOSING && c->submit.corrupt)
        return; /* only its end is awaited */
    list_append(&s->lists[LIST_ACTIVE], LIST_ACTIVE, c);
}

static void own_clm(struct server *s, struct bytes message)
{
    CHECK(message.n > 0 && message.n <= sizeof s->own);
    memcpy(s->own, message.p, message.n);
    s->own_size = (uint32_t)message.n;
    s->own_service = GROUP_SERVICE_CLM;
    clm_message_sent(s->clm);
}

static void own_ckpt(struct server *s)
{
    s->own_size = (uint32_t)ckpt_message_write(s->ckpt, s->own);
    s->own_service = GROUP_SERVICE_CKPT;
}

/* Has a service a message of its own? Then s->own is it. What must not wait
 * comes first; of a state, a share of each visit. */
static bool own_next(struct server *s)
{
    struct bytes message;

    if (s->own_size > 0)
        return true;
    if (clm_message_next(s->clm, &message)) {
        own_clm(s, message);
        return true;
    }
    switch (ckpt_message_kind(s->ckpt)) {
    case REPLICA_NOTHING:
        return false;
    case REPLICA_INFO:
        break;
    case REPLICA_PIECE:
        if (s->piece_bytes < REPLICA_PIECE_SIZE_MAX)
            return false;
        own_ckpt(s);
        s->piece_bytes -=
            s->own_size < s->piece_bytes ? s->own_size : s->piece_bytes;
        return true;
    }
    own_ckpt(s);
    return true;
}

/* The services' own messages come before their clients'. False: the visit is
 * full. */
static bool take_own(struct server *s, struct group *g, struct totem *t)
{
    while (own_next(s)) {
        struct bytes part = {s->own, s->own_size};
        struct group_message m = {
            .service = s->own_service, .parts = &part, .part_count = 1};
        if (group_put(g, t, &m) == GROUP_PUT_PARTIAL)
            return false;
        s->own_size = 0;
    }
    return true;
}

/* How much of a state may be sent to nodes that have come: a quarter of what
 * the ring has carried since the last visit, of all nodes; so much that it
 * comes to an end, also beside programs that write one thing at a time, whose
 * rounds it makes longer; more when nobody else has anything to send. */
static void share_begin(struct server *s)
{
    uint64_t share = s->traffic / 4;

    if (s->traffic == 0)
        share = PIECE_BYTES_IDLE;
    else if (share < PIECE_BYTES_MIN)
        share = PIECE_BYTES_MIN;
    s->piece_bytes += share;
    if (s->piece_bytes > PIECE_BYTES_MAX)
        s->piece_bytes = PIECE_BYTES_MAX;
    s->traffic = 0;
}

void server_take(struct server *s, struct group *g, struct totem *t)
{
    struct list *active = &s->lists[LIST_ACTIVE];
    uint32_t requests = REQUESTS_PER_VISIT, empty_in_row = 0;
    enum turn turn = TURN_EMPTY;

    /* Nothing takes the client of a half-sent message from the front of the
     * list, so that message goes on before any other begins. */
    CHECK(s->partial == NULL || s->partial == active->first);
    share_begin(s);
    while (turn != TURN_FULL) {
        /* A client's message that is half sent goes on first. */
        if (s->partial == NULL && !take_own(s, g, t))
            break;
        if (active->first == NULL || empty_in_row >= active->count)
            break;
        struct client *c = active->first;
        uint64_t head = c->submit.head;
        turn = take_turn(s, c, g, t, &requests);
        bool had_something = turn != TURN_EMPTY || c->submit.head != head;
        bool nothing = turn == TURN_EMPTY || turn == TURN_WAITS;
        empty_in_row = nothing ? empty_in_row + 1 : 0;
        end_turn(s, c, turn, had_something);
    }
    group_flush(g, t);
}
