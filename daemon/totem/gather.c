/* SPDX-License-Identifier: BSD-3-Clause */
/* Gather: who is there, and do all agree on it.
 *
 * The protocol says: a processor that loses the token, or hears a foreign
 * message or a join, multicasts joins with the processors it knows (proc) and
 * those it holds for failed (fail), unites its sets with what it hears, and is
 * done when all in proc - fail have sent its very sets. Who has not after the
 * consensus timeout goes to the fail set. We do the same, and besides:
 * - a join that is older than the ring it reaches (its ring sequence says so)
 *   is dropped, so that a late one breaks nothing;
 * - a node that asks for a ring and then never answers (it is deaf) is not
 *   listened to for a while, longer each time, unless its join shows that it
 *   has heard us;
 * - the fail set lives for one gather only;
 * - at the start a node waits one join interval for others before it forms a
 *   ring alone. */
#include "daemon/totem/internal.h"

#include "daemon/base/check.h"

enum { PENALTY_LEVEL_MAX = 5 };
static const uint64_t penalty_ns = UINT64_C(1000000000);

/* --- nodes that do not answer --------------------------------------------- */

static struct penalty *penalty_find(struct totem *t, uint32_t node_id)
{
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++)
        if (t->penalties[i].node_id == node_id)
            return &t->penalties[i];
    return NULL;
}

/* An empty place, else that of the one which has been listened to longest. */
static struct penalty *penalty_oldest(struct totem *t)
{
    struct penalty *oldest = &t->penalties[0];
    for (uint32_t i = 1; i < TOTEM_NODES_MAX; i++)
        if (t->penalties[i].until_ns < oldest->until_ns)
            oldest = &t->penalties[i];
    return oldest;
}

static bool penalized(struct totem *t, uint32_t node_id)
{
    const struct penalty *p = penalty_find(t, node_id);
    return p != NULL && t->now_ns < p->until_ns;
}

static void penalize(struct totem *t, uint32_t node_id)
{
    struct penalty *p = penalty_find(t, node_id);
    if (p == NULL)
        p = penalty_oldest(t);
    if (p->node_id != node_id)
        p->level = 0;
    p->node_id = node_id;
    p->until_ns = t->now_ns + (penalty_ns << p->level);
    if (p->level < PENALTY_LEVEL_MAX)
        p->level++;
}

/* In a ring with us: all is forgiven. */
void penalties_forget(struct totem *t, const struct set *members)
{
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++)
        if (set_has(members, t->penalties[i].node_id))
            t->penalties[i] = (struct penalty){0};
}

/* --- sending joins -------------------------------------------------------- */

static void join_send(struct totem *t)
{
    struct wire_join join = {.incarnation = t->config.incarnation,
                             .ring_seq = t->ring_seq,
                             .proc = t->proc,
                             .fail = t->fail};
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

/* --- consensus ------------------------------------------------------------ */

static void consensus_check(struct totem *t)
{
    struct set live;
    set_minus(&live, &t->proc, &t->fail);
    CHECK(set_has(&live, t->config.node_id));
    if (!set_subset(&live, &t->consensus))
        return;
    if (live.ids[0] != t->config.node_id)
        return; /* the representative sends the commit token */
    if (live.count == 1 && t->now_ns < t->alone_ns)
        return;
    commit_begin(t, &live);
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
    struct set live, silent;
    set_minus(&live, &t->proc, &t->fail);
    set_minus(&silent, &live, &t->consensus);
    for (uint32_t i = 0; i < silent.count; i++) {
        CHECK(set_add(&t->fail, silent.ids[i]));
        if (!set_has(&t->ring.members, silent.ids[i]))
            penalize(t, silent.ids[i]);
    }
    /* Nobody silent: the commit token did not come. All must answer again,
     * and a representative that is gone is silent next time. */
    consensus_restart(t);
    join_send(t);
    consensus_check(t);
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
    if (set_equal(&proc, &t->proc) && set_equal(&fail, &t->fail))
        return;
    t->proc = proc;
    t->fail = fail;
    consensus_restart(t);
    join_soon(t);
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
    if (set_equal(&join->proc, &t->proc) && set_equal(&join->fail, &t->fail))
        CHECK(set_add(&t->consensus, sender));
    consensus_check(t);
}

/* --- entering ------------------------------------------------------------- */

static void enter(struct totem *t, const char *reason, const struct set *proc)
{
    CHECK(set_has(proc, t->config.node_id));
    t->proc = *proc;
    set_clear(&t->fail);
    t->held = t->visit_open = t->wake_sent = t->wake_requested = false;
    t->linger_end_ns = t->hold_end_ns = 0;
    t->loss_at = t->retransmit_at = t->hold_at = t->merge_at = UINT64_MAX;
    t->stats.gathers++;
    state_set(t, TOTEM_GATHER, reason);
    consensus_restart(t);
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

/* A stranger that holds a member of this ring for failed speaks of the past:
 * the ring works. To follow it would tear the ring apart, and the one torn off
 * would come back for another, for ever. The stranger will form a ring without
 * us, with an empty fail set meet us again, and then all merge. */
static bool accuses_member(const struct totem *t, const struct wire_join *join)
{
    for (uint32_t i = 0; i < join->fail.count; i++)
        if (set_has(&t->ring.members, join->fail.ids[i]))
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
    if (!member && accuses_member(t, join))
        return true;
    return penalized(t, sender) && !set_has(&join->proc, t->config.node_id);
}

/* A ring is being formed. Only a member stops that, one that has given it up,
 * or was started again, or knows more than it knew when it agreed (sets only
 * grow within a gather): then it has not taken the commit token. */
static bool forming_ignores(const struct totem *t, uint32_t sender,
                            const struct wire_join *join)
{
    if (!set_has(&t->forming.members, sender))
        return true;
    if (join->ring_seq >= t->forming.id.seq)
        return false;
    if (t->state == TOTEM_COMMIT)
        return set_subset(&join->proc, &t->proc) &&
               set_subset(&join->fail, &t->fail);
    return incarnation_is(&t->forming, sender, join->incarnation);
}

void join_on(struct totem *t, uint32_t sender, const struct wire_join *join)
{
    bool ignored = false;
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
            consensus_restart(t);
            join_soon(t);
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

/* A packet of another ring. One of a member, or of a ring we come from, is
 * late; in the other states a ring is being formed anyway. */
void foreign_on(struct totem *t, uint32_t sender, uint64_t ring_hash)
{
    if (t->state != TOTEM_OPERATIONAL || known_hash(t, ring_hash) ||
        set_has(&t->ring.members, sender) || penalized(t, sender)) {
        t->stats.dropped[TOTEM_DROP_STALE]++;
        return;
    }
    gather_with(t, "foreign message", sender);
    if (t->state == TOTEM_GATHER)
        join_send(t);
}

void merge_on(struct totem *t, uint32_t sender,
              const struct totem_ring_id *ring_id)
{
    foreign_on(t, sender, wire_ring_hash(ring_id));
}

void merge_send(struct totem *t)
{
    CHECK(t->state == TOTEM_OPERATIONAL);
    size_t n =
        wire_merge_write(t->merge_packet, t->config.node_id, &t->ring.id);
    out_control(t, TOTEM_TO_ALL, 0, t->merge_packet, n);
    t->merge_at = t->now_ns + t->config.merge_ns;
}
