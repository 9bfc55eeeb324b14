/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovery: on the new ring, members that come from the same old ring make
 * their packets of it equal, then install the new ring.
 *
 * The protocol says: each retransmits, as messages of the new ring, what it has
 * of the old one; when a rotation found nobody with more to send, and all have
 * received what was sent, each delivers what remains and installs the new ring.
 * We do the same, with one sender per packet where the commit token allows it:
 * a packet that somebody has contiguously is sent by the lowest of those alone;
 * behind that point, by whoever gets to it first. */
#include "daemon/totem/internal.h"

#include "daemon/base/check.h"
#include "daemon/totem/ring_id.h"

enum { IDLE_VISITS_MAX = 8 };

static const struct wire_commit_entry *own_entry(const struct totem *t)
{
    return &t->commit.entries[ring_index(&t->forming, t->config.node_id)];
}

static void trans_collect(struct totem *t)
{
    struct recovery *v = &t->recovery;
    for (uint32_t i = 0; i < t->commit.count; i++) {
        const struct wire_commit_entry *e = &t->commit.entries[i];
        uint32_t old = ring_index(&t->ring, e->node_id);
        if (old == UINT32_MAX || !ring_id_equal(&e->old_ring_id, &t->ring.id))
            continue;
        CHECK(set_add(&v->trans, e->node_id));
        bit_set(v->deliver, old);
        for (size_t b = 0; b < sizeof v->deliver; b++)
            v->deliver[b] |= e->deliver[b];
        v->max_aru = e->aru > v->max_aru ? e->aru : v->max_aru;
        v->high = e->high > v->high ? e->high : v->high;
        v->safe = e->safe > v->safe ? e->safe : v->safe;
        v->next = e->aru < v->next ? e->aru : v->next;
    }
}

void recovery_enter(struct totem *t)
{
    struct ring *r = &t->forming;
    t->recovery = (struct recovery){.next = UINT64_MAX};
    trans_collect(t);
    CHECK(set_has(&t->recovery.trans, t->config.node_id));
    t->recovery.next++; /* the lowest aru, plus one */
    if (t->recovery.next <= t->ring.store.base)
        t->recovery.next = t->ring.store.base + 1;
    memset(t->resent, 0, r->store.slot_count * sizeof *t->resent);

    r->window_packets = t->config.window_packets;
    for (uint32_t i = 0; i < t->commit.count; i++) {
        const struct wire_commit_entry *e = &t->commit.entries[i];
        r->incarnations[i] = e->incarnation;
        if (e->window_packets < r->window_packets)
            r->window_packets = e->window_packets;
    }
    memset(t->asked_ns, 0, r->store.slot_count * sizeof *t->asked_ns);

    uint64_t first = t->commit.first_seq;
    store_reset(&r->store, first);
    r->delivered = r->safe = first;
    r->aru_sent = r->seq_sent = r->seq_passed = first;
    state_set(t, TOTEM_RECOVERY, "all members known");
    if (r->members.count == 1)
        token_first(t);
}

/* --- what this node must send again --------------------------------------- */

static bool sends(const struct totem *t, uint64_t seq)
{
    const struct recovery *v = &t->recovery;
    if (seq > v->max_aru)
        return !t->resent[seq & (t->ring.store.slot_count - 1)];
    for (uint32_t i = 0; i < t->commit.count; i++) {
        const struct wire_commit_entry *e = &t->commit.entries[i];
        if (set_has(&v->trans, e->node_id) && e->aru >= seq)
            return e->node_id == t->config.node_id;
    }
    return false;
}

/* The next old packet to be sent from here; NULL: no more. What is above the
 * highest that is here may come yet, from others; it is not sent from here. */
static const struct store_slot *next_to_send(struct totem *t)
{
    struct recovery *v = &t->recovery;
    if (v->trans.count == 1)
        return NULL;
    for (; v->next <= t->ring.store.high; v->next++) {
        const struct store_slot *slot = store_find(&t->ring.store, v->next);
        if (slot != NULL && sends(t, v->next))
            return slot;
    }
    return NULL;
}

static void send_again(struct totem *t, const struct store_slot *slot)
{
    struct bytes packet = store_packet(&t->ring.store, slot);
    struct reader reader = reader_of(packet);
    struct wire_head head;
    struct wire_data old;
    CHECK(wire_head_read(&reader, &head));
    CHECK(wire_data_read(&reader, &head, &old));
    struct wire_data data = {.recovered = true,
                             .old_seq = slot->seq,
                             .old_sender = slot->sender,
                             .old_safe = slot->safe};
    uint8_t *room = store_room(&t->forming.store, t->token.seq + 1);
    memcpy(room + WIRE_DATA_SIZE + WIRE_RECOVERED_SIZE, old.payload.p,
           old.payload.n);
    originate(t, &t->forming, &data, old.payload.n);
}

/* --- what others send again ----------------------------------------------- */

void recovery_packet(struct totem *t, uint32_t sender,
                     const struct wire_data *data)
{
    struct store *old = &t->ring.store;
    if (!data->recovered || !set_has(&t->recovery.trans, sender))
        return;
    CHECK(data->payload.n + WIRE_DATA_SIZE <= old->packet_size_max);
    if (data->old_seq > t->recovery.high ||
        !set_has(&t->ring.members, data->old_sender)) {
        t->stats.dropped[TOTEM_DROP_MALFORMED]++;
        return;
    }
    if (data->old_seq > t->recovery.max_aru)
        t->resent[data->old_seq & (old->slot_count - 1)] = 1;
    if (store_look(old, data->old_seq) != STORE_ADDED)
        return;
    struct wire_data d = {.ring_hash = t->ring.hash,
                          .seq = data->old_seq,
                          .safe = data->old_safe};
    uint8_t *room = store_room(old, d.seq);
    size_t head = wire_data_head_write(room, data->old_sender, &d);
    memcpy(room + head, data->payload.p, data->payload.n);
    struct store_slot slot = {.seq = d.seq,
                              .sender = data->old_sender,
                              .size_bytes = (uint32_t)(head + data->payload.n),
                              .safe = d.safe};
    store_add(old, &slot);
}

/* --- the token's visit ---------------------------------------------------- */

static uint32_t share(const struct totem *t)
{
    uint32_t each = t->forming.window_packets / t->forming.members.count;
    uint32_t room = visit_share(t, &t->forming);
    if (each == 0)
        each = 1;
    return each < room ? each : room;
}

/* The paper's retrans_flg, up while somebody has more to send. Ours is up also
 * for the rotation that follows a sending: so a member that sees it down twice
 * knows that nobody sent in between, and that every member read the same
 * token.seq at its first quiet visit, before any could install the ring and
 * send new messages. What all must have received is thus the same number at
 * all; were it not, a member could confirm messages of a ring that it then
 * fails to install. */
static void flag_update(struct totem *t, bool sending)
{
    struct recovery *v = &t->recovery;
    if (sending && !t->token.retrans) {
        t->token.retrans = true;
        v->retrans_mine = true;
    } else if (!sending && v->retrans_mine) {
        t->token.retrans = false;
        v->retrans_mine = false;
    }
    v->quiet_visits = t->token.retrans ? 0 : v->quiet_visits + 1;
    if (v->quiet_visits == 1)
        v->install_seq = t->token.seq;
}

/* The flag is up, and for rotations nobody has sent anything, though all have
 * all: then nobody holds it up, and it would stay for ever. A token that no
 * member wrote so is the only way to that. */
bool recovery_stalls(struct totem *t)
{
    struct recovery *v = &t->recovery;
    const struct wire_token *k = &t->token;
    bool idle = k->retrans && k->seq == v->idle_seq && k->aru == k->seq;
    v->idle_visits = idle ? v->idle_visits + 1 : 0;
    v->idle_seq = k->seq;
    return v->idle_visits > IDLE_VISITS_MAX;
}

/* This node has all that any of trans had. From now on, another may install the
 * ring and deliver behind a gap; should this node not get so far, it must
 * deliver the same in its next recovery. */
static void oblige(struct totem *t)
{
    for (size_t i = 0; i < sizeof t->ring.deliver; i++)
        t->ring.deliver[i] |= t->recovery.deliver[i];
}

/* Recovered packets have been taken where they belong; what all have of them
 * makes room for more. */
static void pass_over_recovered(struct ring *r)
{
    while (r->delivered < r->store.aru) {
        const struct store_slot *slot = store_find(&r->store, r->delivered + 1);
        CHECK(slot != NULL);
        if (!slot->recovered)
            break;
        r->delivered++;
    }
    ring_discard(r);
}

static void install(struct totem *t)
{
    deliver_install(t);
    links_installed(t);
}

void recovery_visit(struct totem *t)
{
    struct recovery *v = &t->recovery;
    struct ring *r = &t->forming;
    CHECK(own_entry(t)->filled);
    pass_over_recovered(r);
    t->visit_first_seq = t->token.seq + 1;

    const struct store_slot *slot = next_to_send(t);
    for (uint32_t left = share(t); slot != NULL && left > 0; left--) {
        send_again(t, slot);
        v->next++;
        slot = next_to_send(t);
    }
    flag_update(t, slot != NULL || t->token.seq >= t->visit_first_seq);
    if (r->members.count > 1 &&
        (v->quiet_visits < 2 || r->store.aru < v->install_seq))
        return;
    oblige(t);
    /* The third quiet visit: each of the others has had its second by then, and
     * is obliged. Were the second enough, this node could deliver behind a gap
     * what another, whom the token then never reaches, would leave out. */
    if (r->members.count > 1 && v->quiet_visits < 3)
        return;
    if (r->safe >= v->install_seq)
        install(t);
}
