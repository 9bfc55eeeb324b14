/* SPDX-License-Identifier: BSD-3-Clause */
/* Links: what this node knows of its way to each other node, and back.
 *
 * The protocol says: a processor that cannot be in a ring shows it by silence.
 * Networks are often only half broken: joins arrive and tokens do not, or the
 * other way round, or small packets and not large ones, or between two nodes
 * only. Then nobody is silent, and the same ring would be tried for ever. We
 * do besides:
 * - the link to a node is bad if that node twice did not take our token, or
 *   twice did not answer our joins while others heard it, or failed to receive
 *   what the ring sent. We accuse the node in every gather (accuse.h), and our
 *   ring refuses it: a ring does not break up for a node that it cannot keep;
 * - a bad link is tried while the ring runs: a probe of the largest packet's
 *   size to the node alone, which it acknowledges, and merge messages of the
 *   same size to all, which say whose merge messages have been heard. It is
 *   good again once all of that has arrived for a while. Not every fault shows
 *   in probes, nor can it always be told at once which node is at fault: if a
 *   link turns bad soon after one was mended, and probes do not show it, the
 *   while is longer. All members count this, since it may be another of them
 *   that notices the next time;
 * - a node whose packet no other member has takes its own way out for broken,
 *   and all its links for bad;
 * - a node that nobody has heard for a while is forgotten: it is down. What was
 *   wrong with a node is forgotten when it is started again. */
#include "daemon/totem/internal.h"

#include "daemon/base/check.h"
#include "daemon/totem/ring_id.h"

enum { STRIKES_MAX = 2, RELAPSES_MAX = 2 };

/* How long a link must have been good, by relapses. */
static const uint64_t good_for_ns[RELAPSES_MAX + 1] = {
    UINT64_C(1000000000), UINT64_C(10000000000), UINT64_C(32000000000)};
static const uint64_t strike_life_ns = UINT64_C(10000000000);
static const uint64_t silence_max_ns = UINT64_C(10000000000);
/* Probes have shown what is wrong if they did not arrive for that long; on a
 * slow link they do not for a moment, until its queue is empty. */
static const uint64_t shown_ns = UINT64_C(3000000000);
/* A member that had a node left out says in its merge messages for how long. If
 * none of them arrives, the others assume a long time. */
static const uint64_t left_out_ns = UINT64_C(16000000000);
static const uint64_t relapse_ns = UINT64_C(10000000000);

/* --- the table ------------------------------------------------------------ */

static struct link *find(struct totem *t, uint32_t node_id)
{
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++)
        if (t->links[i].node_id == node_id)
            return &t->links[i];
    return NULL;
}

static bool goes_first(const struct link *a, const struct link *b)
{
    return a->bad != b->bad ? b->bad : a->alive_ns < b->alive_ns;
}

/* An empty place, else that of a good link, the one that was quiet longest. */
static struct link *find_or_make(struct totem *t, uint32_t node_id)
{
    struct link *l = find(t, node_id), *worst = &t->links[0];
    if (l != NULL)
        return l;
    for (uint32_t i = 1; i < TOTEM_NODES_MAX; i++)
        if (goes_first(&t->links[i], worst))
            worst = &t->links[i];
    *worst = (struct link){.node_id = node_id, .alive_ns = t->now_ns};
    return worst;
}

static uint64_t lately_ns(const struct totem *t)
{
    return 4 * t->config.merge_ns;
}

static bool lately(const struct totem *t, uint64_t at_ns)
{
    return at_ns != 0 && t->now_ns - at_ns < lately_ns(t);
}

static struct totem_event *tell(struct totem *t, uint32_t node_id,
                                enum totem_link_state state)
{
    struct totem_event *e = out_event(t, TOTEM_EVENT_LINK);
    e->link.node_id = node_id;
    e->link.state = state;
    return e;
}

static bool mended_lately(const struct totem *t, uint64_t mended_ns)
{
    return mended_ns != 0 && t->now_ns - mended_ns < relapse_ns;
}

/* A link turns bad, this node's or that of another member: all members count,
 * since it may be another that notices the next time. What one fault does to
 * several links counts once. */
static void relapse(struct totem *t, uint64_t mended_ns)
{
    if (t->relapsed_ns != 0 &&
        t->now_ns - t->relapsed_ns < t->config.consensus_ns)
        return;
    t->relapsed_ns = t->now_ns;
    if (mended_lately(t, mended_ns))
        t->relapses += t->relapses < RELAPSES_MAX;
    else if (!mended_lately(t, t->mended_ns))
        t->relapses = 0;
}

static void refused(struct totem *t, uint32_t node_id, uint32_t by,
                    uint64_t for_ns)
{
    struct link *l = find_or_make(t, node_id);
    if (t->now_ns >= l->refused_until_ns)
        relapse(t, t->mended_ns);
    l->refused_by = by;
    l->refused_until_ns = t->now_ns + for_ns;
}

static bool another_refuses(const struct totem *t, const struct link *l)
{
    return t->now_ns < l->refused_until_ns &&
           set_has(&t->ring.members, l->refused_by);
}

/* --- what makes a link bad ------------------------------------------------ */

static void turn_bad(struct totem *t, struct link *l, enum totem_link_state why)
{
    l->bad = true;
    l->shown = false;
    l->bad_ns = l->alive_ns = t->now_ns;
    l->good_since_ns = 0;
    tell(t, l->node_id, why);
}

static void make_bad(struct totem *t, struct link *l, enum totem_link_state why)
{
    if (l->bad)
        return;
    relapse(t, why == TOTEM_LINK_UNHEARD ? l->mended_ns : t->mended_ns);
    turn_bad(t, l, why);
}

/* Once may be chance: a pause, a crash, packets lost. */
static void strike(struct totem *t, uint32_t node_id, enum totem_link_state why)
{
    struct link *l = find_or_make(t, node_id);
    if (t->now_ns - l->strike_ns > strike_life_ns)
        l->strikes = 0;
    l->strike_ns = t->now_ns;
    l->strikes++;
    if (l->strikes >= STRIKES_MAX || mended_lately(t, l->mended_ns))
        make_bad(t, l, why);
}

/* No member has what this node sent, so it is rather this node's own way out.
 * To accuse one after the other of many would take long. */
void links_doubt_self(struct totem *t, const struct set *members)
{
    relapse(t, t->mended_ns);
    for (uint32_t i = 0; i < members->count; i++) {
        struct link *l = find_or_make(t, members->ids[i]);
        if (l->node_id != t->config.node_id && !l->bad)
            turn_bad(t, l, TOTEM_LINK_DATA);
    }
}

/* Another member may have missed the token first, and have called for a gather;
 * so it is enough that the token was sent again in vain. */
void links_token_lost(struct totem *t)
{
    if (t->retransmit_at != UINT64_MAX && !t->passed_acked &&
        t->now_ns - t->passed_ns >=
            t->config.token_retransmit_ns + t->config.token_ns / 16)
        strike(t, t->passed_to, TOTEM_LINK_TOKEN);
}

void links_failed_to_receive(struct totem *t, uint32_t node_id)
{
    make_bad(t, find_or_make(t, node_id), TOTEM_LINK_DATA);
}

/* A member of a ring that runs does not answer, if its ring does not want whom
 * this node brings. That is no fault of the link. */
static void unheard(struct totem *t, uint32_t node_id)
{
    const struct link *l = find(t, node_id);
    if (l == NULL || l->declined_ns < t->gather_ns)
        strike(t, node_id, TOTEM_LINK_UNHEARD);
}

/* The members are agreed upon. Whoever is alive and not among them is left out
 * for somebody's accusation. */
void links_agreed(struct totem *t, const struct set *members)
{
    uint32_t self = set_place(&t->proc, t->config.node_id);
    for (uint32_t i = 0; i < t->proc.count; i++) {
        uint32_t id = t->proc.ids[i];
        if (set_has(members, id) || set_has(&t->fail, id) ||
            !set_has(&t->heard, id))
            continue;
        for (uint32_t k = 0; k < members->count; k++) {
            uint32_t place = set_place(&t->proc, members->ids[k]);
            if (!accusations_have(&t->accusations, place, i) &&
                !accusations_have(&t->accusations, i, place))
                continue;
            t->left_out = t->left_out || place == self;
            if (place == self)
                unheard(t, id);
            else
                refused(t, id, members->ids[k], left_out_ns);
            tell(t, id, TOTEM_LINK_LEFT_OUT)->link.other = members->ids[k];
            break;
        }
    }
}

/* --- what it is asked ----------------------------------------------------- */

void links_accuse(struct totem *t)
{
    uint32_t self = set_place(&t->proc, t->config.node_id);
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++) {
        const struct link *l = &t->links[i];
        uint32_t place = l->bad ? set_place(&t->proc, l->node_id) : UINT32_MAX;
        if (place != UINT32_MAX)
            accusations_add(&t->accusations, self, place);
    }
}

bool links_refuse(struct totem *t, uint32_t node_id)
{
    const struct link *l = find(t, node_id);
    return l != NULL && (l->bad || another_refuses(t, l));
}

/* --- what is heard -------------------------------------------------------- */

void links_join(struct totem *t, uint32_t sender, uint64_t incarnation)
{
    struct link *l = find_or_make(t, sender);
    if (l->incarnation != 0 && l->incarnation != incarnation)
        *l = (struct link){.node_id = sender};
    l->alive_ns = l->join_ns = t->now_ns;
    l->incarnation = incarnation;
}

uint64_t links_join_ns(struct totem *t, uint32_t node_id)
{
    const struct link *l = find(t, node_id);
    return l == NULL ? 0 : l->join_ns;
}

static void others_are_alive(struct totem *t, const struct set *heard)
{
    for (uint32_t i = 0; i < heard->count; i++) {
        struct link *l = find(t, heard->ids[i]);
        if (l != NULL)
            l->alive_ns = t->now_ns;
    }
}

static bool meet(const struct set *a, const struct set *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (set_has(b, a->ids[i]))
            return true;
    return false;
}

/* The sender's ring ignores a gather that includes a node it refuses. */
void links_decline(struct totem *t, const struct wire_merge *merge)
{
    struct set self = {.count = 1, .ids = {t->config.node_id}}, company;
    set_minus(&company, &t->proc, &self);
    if (!meet(&merge->refused, &company) &&
        !meet(&merge->refused_too, &company))
        return;
    for (uint32_t i = 0; i < merge->members.count; i++)
        find_or_make(t, merge->members.ids[i])->declined_ns = t->now_ns;
}

/* Neither this ring nor the other refuses a member of the other. */
static bool get_on(struct totem *t, const struct wire_merge *merge)
{
    for (uint32_t i = 0; i < merge->members.count; i++)
        if (links_refuse(t, merge->members.ids[i]))
            return false;
    return !meet(&merge->refused, &t->ring.members) &&
           !meet(&merge->refused_too, &t->ring.members);
}

/* It no longer refuses anybody whom it does not name. */
static void member_refuses(struct totem *t, uint32_t member,
                           const struct set *whom)
{
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++)
        if (t->links[i].refused_by == member)
            t->links[i].refused_until_ns = 0;
    for (uint32_t i = 0; i < whom->count; i++)
        if (!set_has(&t->ring.members, whom->ids[i]))
            refused(t, whom->ids[i], member, lately_ns(t));
}

bool links_merge(struct totem *t, uint32_t sender,
                 const struct wire_merge *merge)
{
    others_are_alive(t, &merge->heard);
    if (set_has(&t->ring.members, sender)) {
        member_refuses(t, sender, &merge->refused);
        return false;
    }
    struct link *l = find_or_make(t, sender);
    l->alive_ns = l->heard_ns = t->now_ns;
    if (set_has(&merge->heard, t->config.node_id))
        l->hears_us_ns = t->now_ns;
    bool refused = set_has(&merge->refused, t->config.node_id);
    if (refused || set_has(&merge->refused_too, t->config.node_id)) {
        t->refused_ns = t->now_ns;
        links_tick_soon(t);
    }
    return get_on(t, merge);
}

void probe_on(struct totem *t, uint32_t sender, const struct wire_echo *probe)
{
    size_t n =
        wire_echo_write(t->ack_packet, WIRE_ACK, t->config.node_id, probe, 0);
    out_control(t, TOTEM_TO_NODE, sender, t->ack_packet, n);
}

void token_again(struct totem *t, uint32_t sender, uint64_t ring_hash,
                 uint64_t hop)
{
    probe_on(t, sender,
             &(struct wire_echo){.ring_hash = ring_hash, .number = hop});
}

/* A way on which a probe takes longer than a good part of the token timeout
 * carries no ring either. */
void ack_on(struct totem *t, uint32_t sender, const struct wire_echo *ack)
{
    struct link *l = find(t, sender);
    if (ack->ring_hash != 0) {
        if (sender == t->passed_to && ack->ring_hash == t->passed_hash &&
            ack->number == t->passed_hop)
            t->passed_acked = true;
        return;
    }
    if (l != NULL && ack->number <= t->now_ns &&
        t->now_ns - ack->number < t->config.token_ns / 2)
        l->acked_ns = l->alive_ns = t->now_ns;
}

/* --- trying bad links ----------------------------------------------------- */

static bool works(const struct totem *t, const struct link *l)
{
    return lately(t, l->heard_ns) && lately(t, l->hears_us_ns) &&
           lately(t, l->acked_ns);
}

static void look(struct totem *t, struct link *l)
{
    if (t->now_ns - l->alive_ns > silence_max_ns) {
        *l = (struct link){0};
        return;
    }
    if (!works(t, l)) {
        l->good_since_ns = 0;
        l->shown = l->shown || t->now_ns - l->bad_ns > shown_ns;
        return;
    }
    if (l->good_since_ns == 0)
        l->good_since_ns = t->now_ns;
    uint32_t relapses = l->shown ? 0 : t->relapses;
    if (t->now_ns - l->good_since_ns < good_for_ns[relapses])
        return;
    l->bad = false;
    l->mended_ns = t->mended_ns = t->now_ns;
    tell(t, l->node_id, TOTEM_LINK_GOOD);
}

static uint32_t size_min(const struct totem *t)
{
    uint32_t size = t->config.packet_size_max;
    return size < TOTEM_CONTROL_SIZE_MAX ? size : TOTEM_CONTROL_SIZE_MAX;
}

static void probes_send(struct totem *t)
{
    struct wire_echo probe = {.number = t->now_ns};
    size_t n = wire_echo_write(t->probe_packet, WIRE_PROBE, t->config.node_id,
                               &probe, size_min(t));
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++)
        if (t->links[i].bad)
            out_again(t, t->links[i].node_id, t->probe_packet, n);
}

static void merge_send(struct totem *t)
{
    struct wire_merge merge = {.ring_id = t->ring.id,
                               .members = t->ring.members};
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++) {
        const struct link *l = &t->links[i];
        if (lately(t, l->heard_ns) && !set_has(&t->ring.members, l->node_id))
            CHECK(set_add(&merge.heard, l->node_id));
        if (l->bad)
            CHECK(set_add(&merge.refused, l->node_id));
        else if (another_refuses(t, l))
            CHECK(set_add(&merge.refused_too, l->node_id));
    }
    size_t n = wire_merge_write(t->merge_packet, t->config.node_id, &merge,
                                size_min(t));
    out_control(t, TOTEM_TO_ALL, 0, t->merge_packet, n);
    t->left_out = false;
}

static bool any_bad(const struct totem *t)
{
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++)
        if (t->links[i].bad)
            return true;
    return false;
}

/* The other members are to know soon whom this node refuses, and a little later
 * that it does not refuse a node which it had left out once. */
void links_installed(struct totem *t)
{
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++) {
        struct link *l = &t->links[i];
        if (l->refused_by == 0 || !set_has(&t->ring.members, l->node_id))
            continue;
        l->refused_by = 0;
        l->mended_ns = t->mended_ns = t->now_ns;
    }
    t->merge_at = UINT64_MAX;
    if (any_bad(t))
        t->merge_at = t->now_ns + t->config.merge_ns / 8;
    else if (t->left_out)
        t->merge_at = t->now_ns + lately_ns(t);
    links_tick_soon(t);
}

/* The representative says always that its ring exists; the others only while
 * they have a link to try. */
void links_tick_soon(struct totem *t)
{
    bool needed = t->ring.id.rep == t->config.node_id || any_bad(t) ||
                  lately(t, t->refused_ns);
    if (t->state == TOTEM_OPERATIONAL && needed && t->merge_at == UINT64_MAX)
        t->merge_at = t->now_ns + t->config.merge_ns;
}

void links_tick(struct totem *t)
{
    CHECK(t->state == TOTEM_OPERATIONAL);
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++)
        if (t->links[i].bad)
            look(t, &t->links[i]);
    merge_send(t);
    probes_send(t);
    links_tick_soon(t);
}
