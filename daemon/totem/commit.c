/* SPDX-License-Identifier: BSD-3-Clause */
/* Commit: the commit token goes twice round the members agreed upon.
 *
 * The protocol says: the representative (lowest id) makes a ring identity and
 * a commit token; in the first rotation each member enters what it has of its
 * old ring, in the second each learns what all entered and shifts to recovery;
 * back at the representative for the second time, it becomes the first regular
 * token. We do the same. A hop number tells duplicates. */
#include "daemon/totem/internal.h"

#include "daemon/base/check.h"
#include "daemon/totem/ring_id.h"

static void forming_reset(struct totem *t, const struct totem_ring_id *id)
{
    struct ring *r = &t->forming;
    struct store store = r->store;
    *r = (struct ring){.id = *id, .hash = wire_ring_hash(id), .store = store};
    for (uint32_t i = 0; i < t->commit.count; i++)
        CHECK(set_add(&r->members, t->commit.entries[i].node_id));
    t->ring_seq = id->seq;
}

static void entry_fill(struct totem *t)
{
    const struct ring *r = &t->ring;
    uint32_t i = ring_index(&t->forming, t->config.node_id);
    struct wire_commit_entry *e = &t->commit.entries[i];
    e->filled = true;
    e->incarnation = t->config.incarnation;
    e->old_ring_id = r->id;
    e->aru = r->store.aru;
    e->high = r->store.high;
    e->safe = r->safe;
    e->window_packets = t->config.window_packets;
    memcpy(e->deliver, r->deliver, sizeof e->deliver);
}

static void commit_pass(struct totem *t)
{
    t->commit.token_seq++;
    t->passed_size =
        wire_commit_write(t->passed, t->config.node_id, &t->commit);
    pass(t, &t->forming, t->commit.token_seq);
}

static void shift(struct totem *t, const char *reason)
{
    t->join_at = t->consensus_at = UINT64_MAX;
    state_set(t, TOTEM_COMMIT, reason);
    entry_fill(t);
}

void commit_begin(struct totem *t, const struct set *members)
{
    CHECK(t->state == TOTEM_GATHER);
    CHECK(members->ids[0] == t->config.node_id);
    struct totem_ring_id id = {.seq = t->ring_seq + 4,
                               .nonce = t->config.incarnation,
                               .rep = t->config.node_id};
    links_agreed(t, members);
    t->commit = (struct wire_commit){.ring_id = id,
                                     .first_seq = t->config.first_seq,
                                     .count = members->count};
    for (uint32_t i = 0; i < members->count; i++)
        t->commit.entries[i].node_id = members->ids[i];
    forming_reset(t, &id);
    shift(t, "consensus, representative");
    if (members->count > 1)
        commit_pass(t);
    else
        recovery_enter(t);
}

/* True when the members are those this node agreed to. */
static bool agreed(const struct totem *t, const struct wire_commit *commit)
{
    struct set live;
    gather_members(t, &live);
    if (commit->count != live.count)
        return false;
    for (uint32_t i = 0; i < live.count; i++)
        if (commit->entries[i].node_id != live.ids[i])
            return false;
    return true;
}

static bool all_filled(const struct wire_commit *commit)
{
    for (uint32_t i = 0; i < commit->count; i++)
        if (!commit->entries[i].filled)
            return false;
    return true;
}

static bool first_visit(struct totem *t, const struct wire_commit *commit)
{
    if (commit->ring_id.seq <= t->ring_seq ||
        commit->ring_id.seq - t->ring_seq > RING_SEQ_STEP_MAX ||
        !agreed(t, commit) || all_filled(commit) ||
        commit->ring_id.rep == t->config.node_id)
        return false;
    t->commit = *commit;
    forming_reset(t, &commit->ring_id);
    links_agreed(t, &t->forming.members);
    shift(t, "commit token");
    commit_pass(t);
    return true;
}

/* What this node entered still stands there: nothing of it has changed. */
static bool own_entry_kept(const struct totem *t,
                           const struct wire_commit *commit)
{
    uint32_t i = ring_index(&t->forming, t->config.node_id);
    const struct wire_commit_entry *a = &t->commit.entries[i];
    const struct wire_commit_entry *b = &commit->entries[i];
    return a->incarnation == b->incarnation &&
           ring_id_equal(&a->old_ring_id, &b->old_ring_id) &&
           a->aru == b->aru && a->high == b->high && a->safe == b->safe &&
           a->window_packets == b->window_packets &&
           memcmp(a->deliver, b->deliver, sizeof a->deliver) == 0;
}

/* Every member has told of itself: on to recovery. */
static bool second_visit(struct totem *t, const struct wire_commit *commit)
{
    if (commit->token_seq <= t->commit.token_seq || !all_filled(commit) ||
        commit->count != t->forming.members.count)
        return false;
    for (uint32_t i = 0; i < commit->count; i++)
        if (commit->entries[i].node_id != t->forming.members.ids[i])
            return false;
    if (!own_entry_kept(t, commit))
        return false;
    t->commit = *commit;
    recovery_enter(t);
    commit_pass(t);
    return true;
}

static bool third_visit(struct totem *t, const struct wire_commit *commit)
{
    if (t->forming.id.rep != t->config.node_id ||
        commit->token_seq <= t->commit.token_seq || t->forming.token_seq != 0)
        return false;
    t->commit.token_seq = commit->token_seq;
    token_first(t);
    return true;
}

/* The hop at which this node last had the commit token of that ring; 0: it
 * had none. */
static uint64_t hop_of(const struct totem *t, const struct totem_ring_id *id)
{
    return ring_id_equal(id, &t->commit.ring_id) ? t->commit.token_seq : 0;
}

void commit_on(struct totem *t, uint32_t sender,
               const struct wire_commit *commit)
{
    bool taken = false;
    bool same = ring_id_equal(&commit->ring_id, &t->forming.id);
    uint64_t hop = hop_of(t, &commit->ring_id);
    switch (t->state) {
    case TOTEM_STARTING:
    case TOTEM_OPERATIONAL:
    case TOTEM_LEFT:
        break;
    case TOTEM_GATHER:
        taken = first_visit(t, commit);
        break;
    case TOTEM_COMMIT:
        taken = same && second_visit(t, commit);
        break;
    case TOTEM_RECOVERY:
        taken = same && third_visit(t, commit);
        break;
    }
    if (taken)
        return;
    t->stats.dropped[TOTEM_DROP_STALE]++;
    if (hop != 0 && commit->token_seq <= hop)
        token_again(t, sender, wire_ring_hash(&commit->ring_id),
                    commit->token_seq);
}
