/* SPDX-License-Identifier: BSD-3-Clause */
/* The token's visit, and packets on the ring.
 *
 * The protocol says: on the token, send again what others miss, send new
 * messages, bring the token's aru up to date, ask for what is missing here,
 * pass the token. We do, and besides:
 * - accelerated (Babay and Amir): of many packets the last half leaves behind
 *   the token, and a gap is asked for only up to what had been sent when the
 *   token was last here, since the rest may still be on its way;
 * - each visit's share follows what every member has waiting, with a least
 *   share for each, and is bounded by what the slowest member's window takes;
 * - when two rotations had nothing to do, whoever sent last holds the token,
 * and if it alone sends a little, it keeps it for more (see may_linger()). */
#include "daemon/totem/internal.h"

#include "daemon/base/check.h"
#include "daemon/totem/ring_id.h"

enum { ALONE_BYTES = 262144 }; /* in a visit of a ring of one */

/* --- packets -------------------------------------------------------------- */

/* The ring a data packet is for, if this node takes packets of it now: while
 * the old ring's packets are being exchanged, what this node said it has must
 * not change but through the exchange. */
static struct ring *data_ring(struct totem *t, uint64_t hash)
{
    bool exchanging = t->state == TOTEM_COMMIT || t->state == TOTEM_RECOVERY;
    if (hash == t->ring.hash && !exchanging)
        return &t->ring;
    if (hash == t->forming.hash && t->state == TOTEM_RECOVERY)
        return &t->forming;
    return NULL;
}

static void add(struct totem *t, struct ring *r, const struct store_slot *slot)
{
    if (slot->seq > r->store.high)
        r->last_sender = slot->sender;
    store_add(&r->store, slot);
    r->packet_ns = t->now_ns;
    t->asked_ns[slot->seq & (r->store.slot_count - 1)] = 0;
}

static bool data_store(struct totem *t, struct ring *r,
                       const struct wire_head *head,
                       const struct wire_data *data, struct bytes packet)
{
    switch (store_look(&r->store, data->seq)) {
    case STORE_DUPLICATE:
        if (data->seq == r->left_seq)
            r->left_seq = 0;
        t->stats.dropped[TOTEM_DROP_DUPLICATE]++;
        return false;
    case STORE_BEYOND:
        t->stats.dropped[TOTEM_DROP_WINDOW]++;
        return false;
    case STORE_ADDED:
        break;
    }
    memcpy(store_room(&r->store, data->seq), packet.p, packet.n);
    struct store_slot slot = {.seq = data->seq,
                              .sender = head->sender,
                              .size_bytes = (uint32_t)packet.n,
                              .safe = data->safe,
                              .recovered = data->recovered};
    add(t, r, &slot);
    t->stats.packets_received++;
    return true;
}

/* A packet of this ring that its members cannot have sent: a stranger's; one of
 * this node that it does not know; one that got its number while the token was
 * here; a recovered one once the ring is installed, which all of them precede.
 */
static bool data_impossible(const struct totem *t, const struct ring *r,
                            const struct wire_head *head,
                            const struct wire_data *data)
{
    if (!set_has(&r->members, head->sender))
        return true;
    if (store_look(&r->store, data->seq) == STORE_DUPLICATE)
        return false;
    return head->sender == t->config.node_id ||
           (t->held && data->seq > t->token.seq) ||
           (data->recovered && r == &t->ring);
}

void data_on(struct totem *t, const struct wire_head *head,
             const struct wire_data *data, struct bytes packet)
{
    struct ring *r = data_ring(t, data->ring_hash);
    if (r == NULL) {
        t->stats.dropped[TOTEM_DROP_STALE]++;
        return;
    }
    if (data_impossible(t, r, head, data)) {
        t->stats.dropped[TOTEM_DROP_MALFORMED]++;
        return;
    }
    /* A packet that is newer than the token passed on: it arrived. */
    if (data->seq > r->seq_sent)
        t->retransmit_at = UINT64_MAX;
    if (!data_store(t, r, head, data, packet))
        return;
    if (r == &t->forming)
        recovery_packet(t, head->sender, data);
    else
        deliver_regular(t);
}

void originate(struct totem *t, struct ring *r, const struct wire_data *data,
               size_t payload_size)
{
    struct wire_data d = *data;
    d.seq = ++t->token.seq;
    d.ring_hash = r->hash;
    size_t head = wire_data_head_write(store_room(&r->store, d.seq),
                                       t->config.node_id, &d);
    wire_stamp(store_room(&r->store, d.seq), t->config.packet_size_max);
    struct store_slot slot = {.seq = d.seq,
                              .sender = t->config.node_id,
                              .size_bytes = (uint32_t)(head + payload_size),
                              .safe = d.safe,
                              .recovered = d.recovered};
    add(t, r, &slot);
    t->stats.packets_sent++;
}

/* When the ring is idle the token rests where the next message is likely: at
 * the member that sent last. All know who that was. */
static uint32_t holder(const struct ring *r)
{
    return r->last_sender != 0 ? r->last_sender : r->id.rep;
}

/* --- filling a visit ------------------------------------------------------ */

uint8_t *totem_claim(struct totem *t, size_t *size_max_bytes)
{
    CHECK(t->visit_open);
    if (t->visit_left == 0)
        return NULL;
    *size_max_bytes = t->config.packet_size_max - PAYLOAD_RESERVE;
    return store_room(&t->ring.store, t->token.seq + 1) + WIRE_DATA_SIZE;
}

void totem_commit(struct totem *t, size_t size_bytes, bool safe)
{
    CHECK(t->visit_open && t->visit_left > 0);
    CHECK(size_bytes > 0 &&
          size_bytes <= t->config.packet_size_max - PAYLOAD_RESERVE);
    struct wire_data data = {.safe = safe};
    originate(t, &t->ring, &data, size_bytes);
    t->visit_safe = t->visit_safe || safe;
    t->visit_left--;
}

/* Everybody's least share keeps a newcomer from starving; more goes to who has
 * more waiting. Together no rotation is over two windows. */
uint32_t visit_share(const struct totem *t, const struct ring *r)
{
    uint32_t window = r->window_packets;
    uint32_t least = window / r->members.count;
    uint64_t mine = r->backlog_sent > 0 ? r->backlog_sent : 1;
    uint64_t all = t->token.backlog_packets;
    uint64_t others = all > r->backlog_sent ? all - r->backlog_sent : 0;
    uint64_t share = window * mine / (mine + others);
    if (share < least)
        share = least;
    if (share == 0)
        share = 1;

    /* What no member may have to forget yet: see slots_for(). At a visit the
     * store's base is what is known to be safe. */
    uint64_t end = r->store.base + (window > 16 ? 2 * window : 32);
    uint64_t room = end > t->token.seq ? end - t->token.seq : 0;
    return (uint32_t)(share < room ? share : room);
}

void visit_open(struct totem *t)
{
    CHECK(t->state == TOTEM_OPERATIONAL);
    t->held = false;
    t->hold_at = UINT64_MAX;
    t->visit_first_seq = t->token.seq + 1;
    t->visit_safe = false;
    t->visit_holder = holder(&t->ring);
    t->visit_left = visit_share(t, &t->ring);
    /* Alone, a visit costs nobody anything, and after a short one the next
     * client has its turn soon. */
    uint32_t brief = ALONE_BYTES / t->config.packet_size_max;
    if (t->ring.members.count == 1 && t->visit_left > brief)
        t->visit_left = brief > 0 ? brief : 1;
    t->visit_open = true;
}

/* --- the token ------------------------------------------------------------ */

/* Every other time the next member is to send it: the way from here to the one
 * that misses it may be the one that is broken, and the member that sees the
 * request first would send in vain for ever. */
static bool rtr_is_mine(const struct ring *r, uint32_t asked)
{
    return asked % 2 == 1 || (asked > 0 && r->members.count == 2);
}

/* The packet that the ring waits for is asked for, and is here. If this node
 * left it to the others, and the request came round again, then nobody else has
 * it, or each of them left it, too; but not twice in a row. A copy that another
 * member sends proves that there is one (data_store). */
static void nobody_else(const struct totem *t, struct ring *r, bool mine)
{
    uint64_t seq = t->token.aru + 1, hop = t->token.token_seq;
    if (r->left_seq != seq)
        r->came_round = 0;
    else if (mine && hop - r->left_hop <= r->members.count)
        r->came_round++;
    else if (mine)
        r->came_round = 0;
    r->left_seq = seq;
    if (!mine)
        r->left_hop = hop;
}

/* The paper: "retransmit the requested messages, and remove them from the
 * list". What everybody has is no longer here, nor missed. */
static void rtr_serve(struct totem *t, struct ring *r)
{
    struct wire_token *k = &t->token;
    uint32_t kept = 0, served = 0;
    for (uint32_t i = 0; i < k->rtr_count; i++) {
        if (k->rtr[i] > k->seq)
            continue; /* there is no such packet */
        uint32_t asked = store_asked(&r->store, k->rtr[i]);
        bool mine = rtr_is_mine(r, asked);
        if (asked > 0 && k->rtr[i] == k->aru + 1)
            nobody_else(t, r, mine);
        if (mine && served < RTR_SERVED_MAX) {
            out_packet(t, r, k->rtr[i]);
            served++;
        } else if (k->rtr[i] > r->store.base) {
            k->rtr[kept++] = k->rtr[i];
        }
    }
    k->rtr_count = kept;
    t->stats.retransmits_sent += served;
}

static bool rtr_has(const struct wire_token *k, uint64_t seq)
{
    for (uint32_t i = 0; i < k->rtr_count; i++)
        if (k->rtr[i] == seq)
            return true;
    return false;
}

/* What was asked for comes within a rotation, or was lost again; and it may
 * have to wait behind much else at this node. To ask at every visit would bring
 * every packet many times over, and fill the queue that it waits in. */
static bool rtr_asked_lately(const struct totem *t, const struct ring *r,
                             uint64_t seq)
{
    const struct store *s = &r->store;
    uint64_t patience_ns = 2 * r->rotation_ns;
    if (patience_ns < RTR_PATIENCE_NS)
        patience_ns = RTR_PATIENCE_NS;
    uint64_t asked_ns = t->asked_ns[seq & (s->slot_count - 1)];
    return asked_ns != 0 && t->now_ns - asked_ns < patience_ns;
}

static void rtr_ask(struct totem *t, const struct ring *r)
{
    struct wire_token *k = &t->token;
    uint64_t mask = r->store.slot_count - 1;
    uint64_t end = r->store.base + r->store.slot_count;
    if (end > r->seq_sent)
        end = r->seq_sent;
    for (uint64_t seq = r->store.aru + 1; seq <= end; seq++) {
        if (k->rtr_count == WIRE_RTR_MAX)
            break;
        if (store_find(&r->store, seq) != NULL || rtr_has(k, seq) ||
            rtr_asked_lately(t, r, seq))
            continue;
        k->rtr[k->rtr_count++] = seq;
        t->asked_ns[seq & mask] = t->now_ns;
        t->stats.retransmits_asked++;
    }
}

/* The paper: "if my_aru < token.aru or my_id = token.aru_id or token.aru_id is
 * invalid then ..." */
static void aru_update(struct totem *t, struct ring *r)
{
    struct wire_token *k = &t->token;
    uint64_t aru = r->store.aru;
    if (aru < k->aru || k->aru_id == t->config.node_id || k->aru_id == 0) {
        k->aru = aru;
        k->aru_id = aru == k->seq ? 0 : t->config.node_id;
    }
}

/* For how many rotations, and how long, the same member has kept the aru where
 * it is; a ring spins fast, so both count. */
static void stuck_update(struct totem *t, struct ring *r)
{
    const struct wire_token *k = &t->token;
    bool moves = k->aru != r->stuck_aru || k->aru_id != r->stuck_id ||
                 k->aru_id == 0 || k->aru_id == t->config.node_id;
    r->stuck_rotations = moves ? 0 : r->stuck_rotations + 1;
    if (!moves)
        return;
    r->stuck_aru = k->aru;
    r->stuck_id = k->aru_id;
    r->stuck_since_ns = t->now_ns;
}

/* Where rotations are slow, a tenth of the count is enough if it lasts three
 * times as long. */
static bool stuck(const struct totem *t, const struct ring *r, uint32_t times)
{
    uint64_t for_ns = t->now_ns - r->stuck_since_ns;
    uint64_t least_ns = times * 5 * t->config.token_ns;
    uint32_t rotations = times * t->config.fail_recv_const;
    return (r->stuck_rotations > rotations && for_ns > least_ns) ||
           (r->stuck_rotations > rotations / 10 && for_ns > 3 * least_ns);
}

/* A member that keeps the aru where it is for too many rotations, and for too
 * long, has failed to receive: so says one that has the packet. If nobody says
 * so, nobody has it, and only another ring can pass over it. If nobody else has
 * it, then it is the way out of this node that is broken. */
static bool stuck_breaks(struct totem *t, struct ring *r)
{
    stuck_update(t, r);
    if (r->store.aru > t->token.aru && stuck(t, r, 1)) {
        if (r->left_seq == t->token.aru + 1 && r->came_round >= CAME_ROUND_MAX)
            links_doubt_self(t, &r->members);
        else
            links_failed_to_receive(t, r->stuck_id);
        gather_enter(t, "member failed to receive", 0);
        return true;
    }
    if (stuck(t, r, 2)) {
        gather_enter(t, "packet that no member has", 0);
        return true;
    }
    return false;
}

/* Two visits in a row with the aru not below s: every member has s. */
static void safe_update(struct totem *t, struct ring *r)
{
    uint64_t both = r->aru_sent < t->token.aru ? r->aru_sent : t->token.aru;
    if (both > r->safe)
        r->safe = both;
}

void ring_discard(struct ring *r)
{
    store_discard(&r->store, r->safe < r->delivered ? r->safe : r->delivered);
}

static void token_take(struct totem *t, struct ring *r)
{
    t->retransmit_at = UINT64_MAX;
    t->loss_at = t->now_ns + t->config.token_ns;
    t->wake_sent = false;
    r->rotation_ns = t->now_ns - r->token_ns;
    if (r->token_ns != 0 &&
        (r->fastest_ns == 0 || r->rotation_ns < r->fastest_ns))
        r->fastest_ns = r->rotation_ns;
    r->token_ns = t->now_ns;
    safe_update(t, r);
    rtr_serve(t, r);
}

/* The ring's part of the visit; opens the user's in the operational state. */
static void token_visit(struct totem *t)
{
    struct ring *r = ring_active(t);
    token_take(t, r);
    if (t->state == TOTEM_RECOVERY)
        recovery_visit(t);
    if (t->state == TOTEM_RECOVERY) {
        visit_finish(t, 0);
        return;
    }
    deliver_regular(t);
    ring_discard(&t->ring);
    if (t->ring.members.count == 1)
        visit_finish(t, 0); /* no token goes round: it is held at once */
    else
        visit_open(t);
}

/* A token of this ring that its members cannot have sent: of a stranger, or
 * behind the packets that are here. Numbers are never given twice. */
static bool token_impossible(const struct ring *r, uint32_t sender,
                             const struct wire_token *token)
{
    return !set_has(&r->members, sender) || token->seq < r->store.high ||
           token->seq < r->seq_sent;
}

void token_on(struct totem *t, uint32_t sender, const struct wire_token *token)
{
    bool active = t->state == TOTEM_OPERATIONAL || t->state == TOTEM_RECOVERY;
    struct ring *r = ring_active(t);
    if (!active || !ring_id_equal(&token->ring_id, &r->id)) {
        t->stats.dropped[TOTEM_DROP_STALE]++;
        return;
    }
    if (token->token_seq <= r->token_seq) {
        t->stats.dropped[TOTEM_DROP_DUPLICATE]++;
        token_again(t, sender, r->hash, token->token_seq);
        return;
    }
    if (token_impossible(r, sender, token)) {
        t->stats.dropped[TOTEM_DROP_MALFORMED]++;
        return;
    }
    t->stats.tokens_received++;
    t->token = *token;
    r->token_seq = token->token_seq;
    r->idle_hops = token->idle_hops;
    if (stuck_breaks(t, r))
        return;
    if (t->state == TOTEM_RECOVERY && recovery_stalls(t)) {
        gather_enter(t, "recovery does not end", 0);
        return;
    }
    token_visit(t);
}

void token_first(struct totem *t)
{
    struct ring *r = &t->forming;
    CHECK(t->state == TOTEM_RECOVERY && r->token_seq == 0);
    uint64_t first = t->commit.first_seq;
    t->token = (struct wire_token){
        .ring_id = r->id, .token_seq = 1, .seq = first, .aru = first};
    r->token_seq = 1;
    token_visit(t);
}

/* --- the end of a visit --------------------------------------------------- */

/* Nobody but this node has sent for a rotation: after a few messages the token
 * may stay a little for the next ones, which then leave at once; the others
 * deliver them without it. Only what was lost, and what must be safe, needs the
 * token to move; who else wants to send calls for it. */
static bool may_linger(const struct totem *t, const struct ring *r)
{
    uint64_t unpassed = t->token.seq - r->seq_passed;
    return r->idle_hops >= r->members.count && !t->visit_safe &&
           unpassed <= r->window_packets / 4 &&
           (t->linger_end_ns == 0 || t->now_ns < t->linger_end_ns);
}

static bool may_hold(const struct totem *t, const struct ring *r, bool sent)
{
    if (t->state != TOTEM_OPERATIONAL)
        return false;
    if (r->members.count == 1)
        return true;
    if (holder(r) != t->config.node_id || t->wake_requested)
        return false;
    /* One rotation that only this node sent in, and two more with nothing at
     * all: then every member knows that every member has everything. */
    return sent ? may_linger(t, r) : r->idle_hops >= 3 * r->members.count;
}

static void hold(struct totem *t, const struct ring *r, bool sent)
{
    t->held = true;
    t->stats.holds++;
    t->loss_at = UINT64_MAX;
    if (r->members.count == 1)
        return;
    if (sent && t->linger_end_ns == 0)
        t->linger_end_ns = t->now_ns + LINGER_NS;
    /* Visits that bring nothing do not prolong it: the others wait for the
     * token no longer than their timeout. */
    if (t->hold_end_ns == 0)
        t->hold_end_ns = t->now_ns + t->config.hold_ns;
    t->hold_at = sent ? t->linger_end_ns : t->hold_end_ns;
}

static void token_pass(struct totem *t)
{
    struct ring *r = ring_active(t);
    t->held = t->wake_requested = false;
    t->hold_at = UINT64_MAX;
    t->linger_end_ns = t->hold_end_ns = 0;
    if (r->idle && r->idle_hops < IDLE_HOPS_MAX)
        r->idle_hops++;
    r->seq_passed = t->token.seq;
    t->token.idle_hops = r->idle_hops;
    t->token.token_seq = ++r->token_seq;
    t->passed_size = wire_token_write(t->passed, t->config.node_id, &t->token);
    pass(t, r, r->token_seq);
}

/* The packets of this visit, the token among them: behind half of many. */
static void visit_send(struct totem *t, const struct ring *r, bool passing)
{
    uint64_t last = t->token.seq;
    uint64_t count = last + 1 - t->visit_first_seq;
    uint64_t behind = count >= 8 ? count / 2 : 0;
    for (uint64_t seq = t->visit_first_seq; seq <= last - behind; seq++)
        out_packet(t, r, seq);
    if (passing)
        token_pass(t);
    for (uint64_t seq = last - behind + 1; seq <= last; seq++)
        out_packet(t, r, seq);
}

/* Idle hops count how long the ring has had nothing to do; while a single
 * member sends a little, they stay where that can still be told. */
static void idle_update(struct totem *t, struct ring *r, bool sent)
{
    const struct wire_token *k = &t->token;
    bool sole = !sent || t->visit_holder == t->config.node_id;
    r->idle = sole && k->aru == k->seq && k->rtr_count == 0 &&
              k->backlog_packets == 0 && t->state == TOTEM_OPERATIONAL;
    if (!r->idle)
        r->idle_hops = 0;
    else if (sent && r->idle_hops > r->members.count)
        r->idle_hops = r->members.count;
}

static void token_update(struct totem *t, struct ring *r, uint32_t backlog)
{
    struct wire_token *k = &t->token;
    uint32_t others = k->backlog_packets > r->backlog_sent
                          ? k->backlog_packets - r->backlog_sent
                          : 0;
    rtr_ask(t, r);
    aru_update(t, r);
    k->backlog_packets =
        backlog > UINT32_MAX - others ? UINT32_MAX : others + backlog;
    r->backlog_sent = backlog;
    r->aru_sent = k->aru;
    r->seq_sent = k->seq;
}

void visit_finish(struct totem *t, uint32_t backlog_packets)
{
    struct ring *r = ring_active(t);
    bool sent = t->token.seq >= t->visit_first_seq;
    t->visit_open = false;
    token_update(t, r, backlog_packets);
    idle_update(t, r, sent);
    if (r->members.count == 1)
        r->safe = r->store.aru;
    bool holding = may_hold(t, r, sent || t->linger_end_ns != 0);
    visit_send(t, r, !holding);
    if (holding)
        hold(t, r, sent || t->linger_end_ns != 0);
    if (t->state == TOTEM_OPERATIONAL) {
        deliver_regular(t);
        if (r->members.count == 1)
            ring_discard(r);
    }
}

/* --- an idle ring --------------------------------------------------------- */

void hold_end(struct totem *t)
{
    CHECK(t->held);
    token_pass(t);
}

bool totem_wants_submit(const struct totem *t)
{
    if (t->state != TOTEM_OPERATIONAL)
        return false;
    return t->held ||
           (t->ring.idle_hops >= t->ring.members.count && !t->wake_sent);
}

void submit_on(struct totem *t)
{
    if (!totem_wants_submit(t))
        return;
    if (t->held) {
        visit_open(t);
        return;
    }
    uint32_t to = holder(&t->ring);
    t->wake_sent = true;
    if (to == t->config.node_id)
        return; /* the token is on its way here, to rest */
    size_t n = wire_wake_write(t->wake_packet, t->config.node_id, t->ring.hash);
    out_control(t, TOTEM_TO_NODE, to, t->wake_packet, n);
}

void wake_on(struct totem *t, uint64_t ring_hash)
{
    if (t->state != TOTEM_OPERATIONAL || ring_hash != t->ring.hash) {
        t->stats.dropped[TOTEM_DROP_STALE]++;
        return;
    }
    t->wake_requested = true;
    if (t->held && t->ring.members.count > 1)
        token_pass(t);
}
