/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes up, in order.
 *
 * The protocol says: a message is delivered as agreed once all before it are
 * here, as safe once every member is known to have it; at the end of recovery
 * first what can still be delivered in the old configuration, then the
 * transitional configuration and what remains of the old ring, then the new
 * configuration. We do the same, and take every decision at the end of recovery
 * from facts that all who move together share: the union of their packets, the
 * highest known safe number, and their united obligations. */
#include "daemon/totem/internal.h"

#include "daemon/base/check.h"

static void message(struct totem *t, const struct ring *r,
                    const struct store_slot *slot)
{
    struct bytes packet = store_packet(&r->store, slot);
    CHECK(packet.n > WIRE_DATA_SIZE);
    struct totem_event *e = out_event(t, TOTEM_EVENT_MESSAGE);
    e->message.sender = slot->sender;
    e->message.seq = slot->seq;
    e->message.safe = slot->safe;
    e->message.payload =
        (struct bytes){packet.p + WIRE_DATA_SIZE, packet.n - WIRE_DATA_SIZE};
}

static void regular_up_to_safe(struct totem *t, uint64_t safe)
{
    struct ring *r = &t->ring;
    while (r->delivered < r->store.aru) {
        const struct store_slot *slot = store_find(&r->store, r->delivered + 1);
        CHECK(slot != NULL);
        if (slot->safe && slot->seq > safe)
            break;
        if (!slot->recovered)
            message(t, r, slot);
        r->delivered++;
    }
}

void deliver_regular(struct totem *t)
{
    regular_up_to_safe(t, t->ring.safe);
}

static bool obliged(const struct totem *t, uint32_t sender)
{
    uint32_t i = ring_index(&t->ring, sender);
    return i != UINT32_MAX && bit_get(t->recovery.deliver, i);
}

/* In the transitional configuration: all up to the first gap; behind it only
 * what comes from those who are known not to have had the missing message
 * either, since nothing they sent can depend on it. */
static void transitional_rest(struct totem *t)
{
    struct ring *r = &t->ring;
    bool gap = false;
    while (r->delivered < r->store.high) {
        const struct store_slot *slot = store_find(&r->store, ++r->delivered);
        if (slot == NULL)
            gap = true;
        else if (!slot->recovered && (!gap || obliged(t, slot->sender)))
            message(t, r, slot);
    }
}

static void list(uint32_t *out, uint32_t *count, const struct set *ids)
{
    memcpy(out, ids->ids, ids->count * sizeof *out);
    *count = ids->count;
}

static void configuration_transitional(struct totem *t)
{
    struct totem_configuration *c = &t->configurations[0];
    struct set left;
    *c = (struct totem_configuration){.ring_id = t->ring.id,
                                      .transitional = true};
    set_minus(&left, &t->ring.members, &t->recovery.trans);
    list(c->members, &c->member_count, &t->recovery.trans);
    list(c->left, &c->left_count, &left);
    out_event(t, TOTEM_EVENT_CONFIGURATION)->configuration = c;
}

static void configuration_regular(struct totem *t)
{
    struct totem_configuration *c = &t->configurations[1];
    struct set joined;
    *c = (struct totem_configuration){.ring_id = t->forming.id};
    set_minus(&joined, &t->forming.members, &t->recovery.trans);
    list(c->members, &c->member_count, &t->forming.members);
    list(c->joined, &c->joined_count, &joined);
    memcpy(c->incarnations, t->forming.incarnations, sizeof c->incarnations);
    out_event(t, TOTEM_EVENT_CONFIGURATION)->configuration = c;
}

void deliver_install(struct totem *t)
{
    CHECK(t->state == TOTEM_RECOVERY && !t->installed);
    t->installed = true;
    regular_up_to_safe(t, t->recovery.safe);
    configuration_transitional(t);
    transitional_rest(t);
    configuration_regular(t);

    t->old_hashes[t->old_hash_next++ % OLD_RINGS] = t->ring.hash;
    struct ring old = t->ring;
    t->ring = t->forming;
    t->forming = old;
    t->stats.rings_formed++;
    state_set(t, TOTEM_OPERATIONAL, "ring installed");
}
