/* SPDX-License-Identifier: BSD-3-Clause */
/* Gather: who is there, and do all agree on it.
 *
 * The protocol says: a processor that loses the token, or hears a foreign
 * message or a join, multicasts joins with the processors it knows (proc) and
 * those it holds for failed (fail), unites its sets with what it hears, and is
 * done when all in proc - fail have sent its very sets. A processor that has
 * not after the consensus timeout goes to the fail set. We do the same, and
 * besides:
 * - a node that does not answer is not failed, it is accused (accuse.h), by the
 *   one that misses the answer. If nobody has heard the accused in this gather
 *   it is taken for dead. If somebody has, only the link between the two is in
 *   doubt, and all compute from the accusations the same rings, in none of
 *   which one accuses another. The fail set is for those known to be gone;
 * - a node accuses with others whom it has missed for long itself, so that a
 *   network that falls into two does not take one timeout for each node;
 * - a join that is older than the ring it reaches (its ring sequence says so)
 *   is dropped, so that a late one breaks nothing;
 * - a ring does not listen to a node that it would have to leave out again
 *   (links.c);
 * - what is known of failures lives for one gather only;
 * - at the start a node waits one join interval for others before it forms a
 *   ring alone. */
#include "daemon/totem/internal.h"

#include "daemon/base/check.h"

/* --- sending joins -------------------------------------------------------- */

static void join_send(struct totem *t)
{
    struct wire_join join = {.incarnation = t->config.incarnation,
                             .ring_seq = t->ring_seq,
                             .proc = t->proc,
                             .fail = t->fail,
                             .heard = t->heard,
                             .accusations = t->accusations};
    size_t n = wire_join_write(t->join_packet, t->config.node_id, &join);
    out_control(t, TOTEM_TO_ALL, 0, t->join_packet, n);
    t->join_sent_ns = t->now_ns;
    t->join_at = t->now_ns + t->config.join_ns;
}

/* The sets changed: tell it, but not more than fifty times in a join interval,
 * so that 128 nodes that meet do not send 128 * 128 joins at once. */
static void join_soon(struct totem *t)
{
    uint64_t earliest = t->join_sent_ns + t->config.join_ns / 50;
    if (t->now_ns >= earliest)
        join_send(t);
    else
        t->join_at = earliest;
}

static void consensus_restart(struct totem *t)
{
    set_clear(&t->consensus);
    set_add(&t->consensus, t->config.node_id);
    t->consensus_at = t->now_ns + t->config.consensus_ns;
}

/* This node knows more than before. */
static void consensus_begin(struct totem *t)
{
    consensus_restart(t);
    t->passed_over_ns = t->now_ns + t->config.consensus_ns * 3 / 2;
}

/* --- consensus ------------------------------------------------------------ */

/* Accused, and heard by nobody. At the beginning of a gather that does not
 * count yet: an accuser that is deaf may be the first to be heard. */
static bool is_dead(const struct totem *t, uint32_t place)
{
    return t->now_ns - t->gather_ns >= t->config.join_ns &&
           accusations_hit(&t->accusations, place) &&
           !set_has(&t->heard, t->proc.ids[place]);
}

bool gather_members(const struct totem *t, struct set *members)
{
    struct set live;
    set_clear(&live);
    for (uint32_t i = 0; i < t->proc.count; i++)
        if (!set_has(&t->fail, t->proc.ids[i]) && !is_dead(t, i))
            CHECK(set_add(&live, t->proc.ids[i]));
    return accusations_choose(&t->accusations, &t->proc, &live,
                              t->config.node_id, members);
}

/* A node that has been passed over waits until the others have their ring: it
 * would only break in on them. They may hear of it at their own consensus
 * timeout only, a little later than this node's. */
static void consensus_check(struct totem *t)
{
    struct set members;
    if (!gather_members(t, &members) && t->now_ns < t->passed_over_ns)
        return;
    if (!set_subset(&members, &t->consensus))
        return;
    if (members.ids[0] != t->config.node_id)
        return; /* the representative sends the commit token */
    if (members.count == 1 && (t->now_ns < t->alone_ns || t->installed))
        return; /* two rings of one in a step: the join timer does the second */
    commit_begin(t, &members);
}

void gather_join_timeout(struct totem *t)
{
    CHECK(t->state == TOTEM_GATHER);
    join_send(t);
    consensus_check(t);
}

void gather_consensus_timeout(struct totem *t)
{
    CHECK(t->state == TOTEM_GATHER);
    struct set members, silent;
    uint32_t self = set_place(&t->proc, t->config.node_id);
    gather_members(t, &members);
    set_minus(&silent, &members, &t->consensus);
    for (uint32_t i = 0; i < silent.count; i++)
        accusations_add(&t->accusations, self,
                        set_place(&t->proc, silent.ids[i]));
    if (silent.count > 0) {
        consensus_begin(t);
    } else {
        consensus_check(t);
        if (t->state != TOTEM_GATHER)
            return;
        /* The commit token did not come. All must answer again, and a
         * representative that is gone is silent next time. */
        consensus_restart(t);
    }
    join_send(t);
    consensus_check(t);
}

/* Which of the accused are alive decides who goes into a ring. */
static bool heard_changes(const struct totem *t, const struct set *heard)
{
    for (uint32_t i = 0; i < heard->count; i++)
        if (!set_has(&t->heard, heard->ids[i]) &&
            accusations_hit(&t->accusations,
                            set_place(&t->proc, heard->ids[i])))
            return true;
    return false;
}

static void sets_changed(struct totem *t)
{
    consensus_begin(t);
    join_soon(t);
}

/* A live node sends a join in each join interval, except while it waits for a
 * commit token, which takes the token timeout at most. */
static bool is_silent(struct totem *t, uint32_t node_id)
{
    uint64_t since_ns = links_join_ns(t, node_id);
    if (since_ns < t->gather_ns)
        since_ns = t->gather_ns;
    return t->now_ns - since_ns >
           t->config.token_ns + t->config.join_ns * 3 / 2;
}

/* Others accuse a node that this node misses too. It says so at once: each
 * accusation makes all wait for the consensus timeout once more, and where a
 * network falls into two, all of one side would miss all of the other, one
 * after the other. */
static void accuse_with(struct totem *t)
{
    uint32_t self = set_place(&t->proc, t->config.node_id);
    for (uint32_t i = 0; i < t->proc.count; i++)
        if (i != self && accusations_hit(&t->accusations, i) &&
            is_silent(t, t->proc.ids[i]))
            accusations_add(&t->accusations, self, i);
}

/* A node of this gather is alive. */
static void hear(struct totem *t, const struct set *heard)
{
    bool changes = heard_changes(t, heard);
    CHECK(set_unite(&t->heard, heard));
    if (changes)
        sets_changed(t);
}

static void merge_sets(struct totem *t, uint32_t sender,
                       const struct wire_join *join)
{
    bool accused = set_has(&join->fail, t->config.node_id);
    struct set proc = t->proc, fail = t->fail;
    bool fits = set_add(&proc, sender) && set_unite(&proc, &join->proc);
    if (accused)
        fits = fits && set_add(&fail, sender);
    else
        fits = fits && set_unite(&fail, &join->fail);
    if (!fits) {
        t->stats.dropped[TOTEM_DROP_MALFORMED]++;
        return;
    }
    struct accusations theirs = join->accusations, before;
    accusations_move(&theirs, &join->proc, &proc);
    accusations_move(&t->accusations, &t->proc, &proc);
    before = t->accusations;
    bool same = set_equal(&proc, &t->proc) && set_equal(&fail, &t->fail);
    t->proc = proc;
    t->fail = fail;
    links_accuse(t);
    accusations_unite(&t->accusations, &theirs);
    accuse_with(t);
    if (!same || !accusations_equal(&before, &t->accusations))
        sets_changed(t);
    struct set heard = join->heard;
    CHECK(set_add(&heard, sender));
    hear(t, &heard);
}

static bool heard_alike(const struct totem *t, const struct wire_join *join)
{
    for (uint32_t i = 0; t->accusations.any && i < t->proc.count; i++)
        if (accusations_hit(&t->accusations, i) &&
            set_has(&t->heard, t->proc.ids[i]) !=
                set_has(&join->heard, t->proc.ids[i]))
            return false;
    return true;
}

static bool agrees(const struct totem *t, const struct wire_join *join)
{
    return set_equal(&join->proc, &t->proc) &&
           set_equal(&join->fail, &t->fail) &&
           accusations_equal(&join->accusations, &t->accusations) &&
           heard_alike(t, join);
}

static void join_gathering(struct totem *t, uint32_t sender,
                           const struct wire_join *join)
{
    if (set_has(&t->fail, sender))
        return;
    if (join->ring_seq > t->ring_seq + RING_SEQ_STEP_MAX)
        t->ring_seq += RING_SEQ_STEP_MAX; /* the next join goes on */
    else if (join->ring_seq > t->ring_seq)
        t->ring_seq = join->ring_seq;
    merge_sets(t, sender, join);
    if (agrees(t, join))
        CHECK(set_add(&t->consensus, sender));
    consensus_check(t);
}

/* --- entering ------------------------------------------------------------- */

static void enter(struct totem *t, const char *reason, const struct set *proc)
{
    CHECK(set_has(proc, t->config.node_id));
    links_token_lost(t);
    t->proc = *proc;
    set_clear(&t->fail);
    set_clear(&t->heard);
    set_add(&t->heard, t->config.node_id);
    t->gather_ns = t->now_ns;
    memset(&t->accusations, 0, sizeof t->accusations);
    links_accuse(t);
    t->held = t->visit_open = t->wake_sent = t->wake_requested = false;
    t->linger_end_ns = t->hold_end_ns = 0;
    t->loss_at = t->retransmit_at = t->hold_at = t->merge_at = UINT64_MAX;
    t->stats.gathers++;
    state_set(t, TOTEM_GATHER, reason);
    consensus_begin(t);
}

static const struct set *members_now(const struct totem *t)
{
    bool forming = t->state == TOTEM_COMMIT || t->state == TOTEM_RECOVERY;
    return forming ? &t->forming.members : &t->ring.members;
}

void gather_enter(struct totem *t, const char *reason, uint32_t fail_id)
{
    enter(t, reason, members_now(t));
    if (fail_id != 0 && set_has(&t->proc, fail_id))
        set_add(&t->fail, fail_id);
    join_send(t);
    consensus_check(t);
}

void gather_start(struct totem *t)
{
    t->alone_ns = t->now_ns + t->config.join_ns;
    enter(t, "start", &t->ring.members);
    join_send(t);
}

/* Another node is there: gather with it. Nothing is sent yet if its join, which
 * the caller then looks at, says more. */
static void gather_with(struct totem *t, const char *reason, uint32_t sender)
{
    struct set proc = *members_now(t);
    if (!set_add(&proc, sender))
        return;
    enter(t, reason, &proc);
}

/* --- joins in every state ------------------------------------------------- */

static bool incarnation_is(const struct ring *r, uint32_t node_id,
                           uint64_t incarnation)
{
    uint32_t i = ring_index(r, node_id);
    return i != UINT32_MAX && r->incarnations[i] == incarnation;
}

static bool accused_outside(const struct totem *t, const struct wire_join *join,
                            uint32_t place)
{
    for (uint32_t i = 0; i < join->proc.count; i++)
        if (accusations_have(&join->accusations, i, place) &&
            !set_has(&t->ring.members, join->proc.ids[i]))
            return true;
    return false;
}

static bool accused_inside(const struct totem *t, const struct wire_join *join,
                           uint32_t sender)
{
    uint32_t place = set_place(&join->proc, sender);
    for (uint32_t i = 0; i < join->proc.count; i++)
        if (accusations_have(&join->accusations, i, place) &&
            set_has(&t->ring.members, join->proc.ids[i]))
            return true;
    return false;
}

/* A stranger that holds a member of this ring for failed speaks of the past:
 * the ring works. To follow it would tear the ring apart, and the one torn off
 * would come back for another, for ever. The stranger will form a ring without
 * us, with an empty fail set meet us again, and then all merge. The same holds
 * for accusations, by it or of it: they end with the gather, or their cause
 * must be mended. */
static bool quarrels(const struct totem *t, uint32_t sender,
                     const struct wire_join *join)
{
    if (accused_inside(t, join, sender))
        return true;
    for (uint32_t i = 0; i < join->proc.count; i++)
        if (set_has(&t->ring.members, join->proc.ids[i]) &&
            (set_has(&join->fail, join->proc.ids[i]) ||
             accused_outside(t, join, i)))
            return true;
    return false;
}

/* It gathers with a node that this ring refuses: one of them would be left out,
 * this ring or that node. */
static bool brings_refused(struct totem *t, const struct wire_join *join)
{
    for (uint32_t i = 0; i < join->proc.count; i++)
        if (links_refuse(t, join->proc.ids[i]) &&
            !set_has(&join->fail, join->proc.ids[i]))
            return true;
    return false;
}

static bool operational_ignores(struct totem *t, uint32_t sender,
                                const struct wire_join *join)
{
    bool member = set_has(&t->ring.members, sender);
    if (member && join->ring_seq < t->ring.id.seq &&
        incarnation_is(&t->ring, sender, join->incarnation))
        return true;
    return !member && (brings_refused(t, join) || quarrels(t, sender, join));
}

/* A ring is being formed. Only a member stops that, one that has given it up,
 * or was started again, or knows more than it knew when it agreed (sets only
 * grow within a gather): then it has not taken the commit token. */
static bool adds_nothing(const struct totem *t, const struct wire_join *join)
{
    if (!set_subset(&join->proc, &t->proc) ||
        !set_subset(&join->fail, &t->fail))
        return false;
    struct accusations theirs = join->accusations;
    accusations_move(&theirs, &join->proc, &t->proc);
    return accusations_subset(&theirs, &t->accusations);
}

static bool forming_ignores(const struct totem *t, uint32_t sender,
                            const struct wire_join *join)
{
    if (!set_has(&t->forming.members, sender))
        return true;
    if (join->ring_seq >= t->forming.id.seq)
        return false;
    if (t->state == TOTEM_COMMIT)
        return adds_nothing(t, join);
    return incarnation_is(&t->forming, sender, join->incarnation);
}

void join_on(struct totem *t, uint32_t sender, const struct wire_join *join)
{
    bool ignored = false;
    links_join(t, sender, join->incarnation);
    switch (t->state) {
    case TOTEM_STARTING:
    case TOTEM_LEFT:
        ignored = true;
        break;
    case TOTEM_OPERATIONAL:
        ignored = operational_ignores(t, sender, join);
        if (!ignored)
            gather_with(t, "join", sender);
        break;
    case TOTEM_COMMIT:
    case TOTEM_RECOVERY:
        ignored = forming_ignores(t, sender, join);
        if (!ignored)
            gather_with(t, "join while forming a ring", sender);
        break;
    case TOTEM_GATHER:
        break;
    }
    if (ignored || t->state != TOTEM_GATHER) {
        t->stats.dropped[TOTEM_DROP_STALE]++;
        return;
    }
    bool entered = t->join_at == UINT64_MAX;
    join_gathering(t, sender, join);
    if (entered && t->state == TOTEM_GATHER && t->join_sent_ns != t->now_ns)
        join_send(t);
}

void leave_on(struct totem *t, uint32_t sender, const struct wire_leave *leave)
{
    const struct set *members = members_now(t);
    bool known = set_has(members, sender);
    switch (t->state) {
    case TOTEM_STARTING:
    case TOTEM_LEFT:
        return;
    case TOTEM_OPERATIONAL:
        if (incarnation_is(&t->ring, sender, leave->incarnation))
            gather_enter(t, "member leaves", sender);
        return;
    case TOTEM_COMMIT:
    case TOTEM_RECOVERY:
        if (known)
            gather_enter(t, "member leaves while forming a ring", sender);
        return;
    case TOTEM_GATHER:
        if (set_has(&t->proc, sender) && !set_has(&t->fail, sender)) {
            set_add(&t->fail, sender);
            sets_changed(t);
            consensus_check(t);
        }
        return;
    }
}

/* --- merge detection ------------------------------------------------------ */

static bool known_hash(const struct totem *t, uint64_t hash)
{
    for (uint32_t i = 0; i < OLD_RINGS; i++)
        if (t->old_hashes[i] == hash)
            return true;
    return hash == t->ring.hash;
}

/* Another ring exists. Of a member, or of a ring we come from, the message is
 * late; in the other states a ring is being formed anyway. The protocol says
 * that any foreign message is a reason to gather. We wait for this one, which
 * says as well whether the other ring would have us. */
void merge_on(struct totem *t, uint32_t sender, const struct wire_merge *merge)
{
    struct set alone = {.count = 1, .ids = {sender}};
    if (t->state == TOTEM_GATHER && set_has(&t->proc, sender)) {
        links_decline(t, merge);
        hear(t, &alone);
    }
    if (t->state != TOTEM_OPERATIONAL || !links_merge(t, sender, merge) ||
        known_hash(t, wire_ring_hash(&merge->ring_id))) {
        t->stats.dropped[TOTEM_DROP_STALE]++;
        return;
    }
    gather_with(t, "foreign message", sender);
    if (t->state != TOTEM_GATHER)
        return;
    hear(t, &alone);
    join_send(t);
}
