/* SPDX-License-Identifier: BSD-3-Clause */
/* Every member decides alone, from what has been delivered up to then, and so
 * all decide the same. Three facts carry that:
 *
 * 1. Who goes from one regular configuration straight to the same next one has
 *    delivered the same messages in the first (extended virtual synchrony,
 *    failure atomicity; the simulator's checkers watch over it).
 *
 * 2. Between a configuration and its plan nothing is applied. So INFO says the
 *    same whenever it is written, and a configuration that ends without a plan
 *    leaves the state as it found it.
 *
 * 3. The path is mixed from the ring identities of all configurations since the
 *    history began, without a plan or with one. See same_part().
 *
 * Operations are numbered in the order of the history. `index` is the number
 * that the next one will have: at a node that is not whole those count that it
 * has kept. A change of members counts as an operation that succeeds, so that
 * it has its place among them. */
#include "daemon/service/replica.h"

#include "daemon/base/check.h"
#include "daemon/service/replica_backlog.h"
#include "daemon/service/replica_wire.h"
#include "daemon/totem/ring_id.h"

#include <stdlib.h>

_Static_assert(REPLICA_PIECE_HEAD_SIZE + REPLICA_BITS_MAX / 8 +
                       REPLICA_PIECE_SIZE_MAX <=
                   REPLICA_MESSAGE_SIZE_MAX,
               "the largest piece is a message");

static const uint32_t nobody = UINT32_MAX;

struct replica {
    struct replica_config config;
    uint8_t hello[REPLICA_HELLO_SIZE_MAX];
    struct replica_stats stats;

    /* What this node has. */
    enum replica_holds holds;
    uint64_t birth, path, index;
    /* HOLDS_PART: what is before `cursor`, as it was before number `applied`;
     * and all operations from there up to `index`. */
    struct replica_cursor cursor;
    uint64_t applied;
    struct replica_queue kept;

    /* The configuration, and what its members say. */
    bool configured, planned, info_due;
    struct totem_configuration conf;
    uint32_t told_count;
    bool told[TOTEM_NODES_MAX];                /* by place in conf.members */
    struct replica_info info[TOTEM_NODES_MAX]; /* so are these, */
    bool whole[TOTEM_NODES_MAX];               /* and these, of the plan */

    /* The exchange, the same at all members, and not at its end with the
     * configuration: pieces have covered what is before `settled`. */
    bool exchanging;
    uint64_t settled;
    struct replica_results results; /* HOLDS_WHOLE: from `settled` on */
    /* And since the plan: no piece with data was written before that. */
    uint32_t donor; /* place; nobody: all are whole */
    uint64_t plan_index;

    /* The donor: of the next piece. */
    struct replica_cursor write_from;
    uint64_t write_first;
    bool last_written;
};

struct replica *replica_new(const struct replica_config *config)
{
    struct replica *r = calloc(1, sizeof *r);

    CHECK(config->node_id != 0);
    if (r == NULL)
        return NULL;
    r->config = *config;
    replica_hello_set(r, config->hello);
    r->donor = nobody;
    replica_queue_init(&r->kept);
    return r;
}

void replica_hello_set(struct replica *r, struct bytes hello)
{
    CHECK(hello.n <= REPLICA_HELLO_SIZE_MAX);
    if (hello.n > 0)
        memcpy(r->hello, hello.p, hello.n);
    r->config.hello = (struct bytes){r->hello, hello.n};
}

void replica_free(struct replica *r)
{
    if (r == NULL)
        return;
    replica_queue_clear(&r->kept);
    replica_results_free(&r->results);
    free(r);
}

/* --- the path ------------------------------------------------------------- */

/* Do two members of the configuration that is being planned, of which neither
 * has HOLDS_NONE, have the same state (or, not whole, parts of the same, and
 * know the same of the operations since)?
 *
 * A path ends with the configuration before this one, whether that had a plan
 * or not: same paths, so both come from the same one, straight. They have
 * delivered the same messages in it (1). Hence both or neither had its plan
 * there. If neither: nothing was applied in it (2), and their paths up to it
 * are the same; so is, by induction, what they had before it. If both: that
 * plan gave both one state, whole or in part, by rules that look only at what
 * was delivered; and the same operations and pieces came after it.
 *
 * Then they have counted the same, too. That is compared so that no lie of a
 * member can make honest ones disagree on whose state they share. */
static bool same_part(const struct replica_info *a,
                      const struct replica_info *b)
{
    return a->birth == b->birth && a->path == b->path && a->index == b->index &&
           a->settled == b->settled;
}

/* --- whose state goes on -------------------------------------------------- */

static uint32_t part_size(const struct replica *r, uint32_t at)
{
    uint32_t size = 0;

    for (uint32_t i = 0; i < r->conf.member_count; i++)
        size += r->info[i].holds == HOLDS_WHOLE &&
                same_part(&r->info[i], &r->info[at]);
    return size;
}

/* Of all parts of one history, the most operations. */
static uint64_t history_size(const struct replica *r, uint64_t birth)
{
    uint64_t most = 0;

    for (uint32_t i = 0; i < r->conf.member_count; i++)
        if (r->info[i].holds == HOLDS_WHOLE && r->info[i].birth == birth &&
            r->info[i].operations > most)
            most = r->info[i].operations;
    return most;
}

static bool goes_before(const struct replica *r, uint32_t a, uint32_t b)
{
    uint64_t history_a = history_size(r, r->info[a].birth);
    uint64_t history_b = history_size(r, r->info[b].birth);
    uint32_t size_a = part_size(r, a), size_b = part_size(r, b);

    if (history_a != history_b)
        return history_a > history_b;
    if (size_a != size_b)
        return size_a > size_b;
    return r->info[a].operations > r->info[b].operations;
}

/* The lowest member of the part that goes on; nobody: none is whole. */
static uint32_t winner_find(const struct replica *r)
{
    uint32_t best = nobody;

    for (uint32_t i = 0; i < r->conf.member_count; i++)
        if (r->info[i].holds == HOLDS_WHOLE &&
            (best == nobody || goes_before(r, i, best)))
            best = i;
    return best;
}

/* --- the plan ------------------------------------------------------------- */

static void change_tell(const struct replica *r,
                        const struct replica_change *change)
{
    struct bytes hellos[TOTEM_NODES_MAX];

    for (uint32_t i = 0; i < change->all_count; i++)
        hellos[i] = (struct bytes){change->hellos[i], change->hello_sizes[i]};
    r->config.service->members(
        r->config.context,
        &(struct replica_members){.going_on = change->going_on,
                                  .going_on_count = change->going_on_count,
                                  .all = change->all,
                                  .hellos = hellos,
                                  .all_count = change->all_count});
}

/* Does this member have (some of) the winner's state? */
static bool goes_on(const struct replica *r, uint32_t at, uint32_t winner)
{
    return winner != nobody && r->info[at].holds != HOLDS_NONE &&
           same_part(&r->info[at], &r->info[winner]);
}

static void change_make(const struct replica *r, uint32_t winner,
                        struct replica_change *change)
{
    change->going_on_count = 0;
    change->all_count = r->conf.member_count;
    for (uint32_t i = 0; i < r->conf.member_count; i++) {
        if (winner == nobody || goes_on(r, i, winner))
            change->going_on[change->going_on_count++] = r->conf.members[i];
        change->all[i] = r->conf.members[i];
        change->hello_sizes[i] = r->info[i].hello_size;
        memcpy(change->hellos[i], r->info[i].hello, sizeof change->hellos[i]);
    }
}

static void queue_count(struct replica *r)
{
    r->stats.kept_bytes = r->kept.bytes;
    if (r->kept.bytes > r->stats.kept_bytes_most)
        r->stats.kept_bytes_most = r->kept.bytes;
}

static void give_up(struct replica *r)
{
    bool was_whole = r->holds == HOLDS_WHOLE;

    r->stats.resets += r->holds != HOLDS_NONE;
    r->holds = HOLDS_NONE;
    r->birth = r->path = r->index = r->stats.operations = r->applied = 0;
    r->exchanging = false;
    r->cursor = (struct replica_cursor){0};
    replica_queue_clear(&r->kept);
    queue_count(r);
    r->config.service->reset(r->config.context);
    if (was_whole)
        r->config.service->whole(r->config.context, false);
}

/* Nobody has a whole state: a history begins. */
static void history_begin(struct replica *r, const struct replica_change *c)
{
    give_up(r);
    r->holds = HOLDS_WHOLE;
    r->birth = r->path = ring_id_mix(0, &r->conf.ring_id);
    if (r->birth == 0)
        r->birth = 1;
    change_tell(r, c);
    r->config.service->whole(r->config.context, true);
}

/* This node takes its place in the state that goes on. */
static void history_go_on(struct replica *r, uint32_t own, uint32_t winner,
                          const struct replica_change *c)
{
    const struct replica_info *w = &r->info[winner];

    if (!goes_on(r, own, winner)) {
        give_up(r);
        r->holds = HOLDS_PART;
        r->birth = w->birth;
        r->stats.operations = w->operations;
        r->index = r->applied = w->index + 1;
        change_tell(r, c);
    } else if (r->holds == HOLDS_PART) {
        r->stats.resumed++;
        r->index++;
        replica_queue_add_change(&r->kept, c);
        queue_count(r);
    } else {
        r->index++;
        change_tell(r, c);
    }
    r->path = ring_id_mix(w->path, &r->conf.ring_id);
}

static bool is_before(const struct replica_cursor *a,
                      const struct replica_cursor *b)
{
    int i = 0;

    while (i < 2 && a->at[i] == b->at[i])
        i++;
    return a->at[i] < b->at[i];
}

/* The exchange is over, or there is none. */
static void all_whole(struct replica *r)
{
    r->donor = nobody;
    r->exchanging = false;
    replica_results_free(&r->results);
    for (uint32_t i = 0; i < r->conf.member_count; i++)
        r->whole[i] = true;
}

/* Of a plan: members that go on without being whole wait for the results that
 * the whole ones have kept; who begins anew needs none of before the plan. */
static void settle(struct replica *r, uint32_t winner, bool some_wait)
{
    struct replica_results *s = &r->results;

    r->settled = some_wait ? r->info[winner].settled : r->plan_index;
    if (r->holds == HOLDS_WHOLE) {
        if (!r->exchanging || !some_wait)
            replica_results_begin(s, r->settled);
        if (some_wait)
            replica_results_add(s, true); /* the change of members */
        CHECK(s->first == r->settled && s->end == r->index);
    }
    r->exchanging = true;
    r->write_first = r->settled;
    r->last_written = false;
}

/* Who sends pieces, and from where on. */
static void exchange_begin(struct replica *r, uint32_t winner)
{
    bool some_wait = false;

    r->donor = nobody;
    r->plan_index = r->info[winner].index + 1;
    for (uint32_t i = 0; i < r->conf.member_count; i++) {
        bool on = goes_on(r, i, winner);
        struct replica_cursor cursor = {0};
        r->whole[i] = on && r->info[i].holds == HOLDS_WHOLE;
        if (r->whole[i])
            continue;
        if (on) {
            cursor = r->info[i].cursor;
            some_wait = true;
        }
        if (r->donor == nobody || is_before(&cursor, &r->write_from))
            r->write_from = cursor;
        r->donor = winner;
    }
    if (r->donor == nobody)
        all_whole(r);
    else
        settle(r, winner, some_wait);
}

static uint32_t place_of(const struct replica *r, uint32_t node_id)
{
    uint32_t i = 0;

    while (i < r->conf.member_count && r->conf.members[i] != node_id)
        i++;
    return i < r->conf.member_count ? i : nobody;
}

/* All have told. */
static void plan(struct replica *r)
{
    uint32_t own = place_of(r, r->config.node_id), winner = winner_find(r);
    struct replica_change change;

    r->planned = true;
    r->stats.plans++;
    change_make(r, winner, &change);
    if (winner == nobody) {
        history_begin(r, &change);
        all_whole(r);
    } else {
        history_go_on(r, own, winner, &change);
        exchange_begin(r, winner);
    }
}

/* --- inputs from the order ------------------------------------------------ */

void replica_configuration(struct replica *r,
                           const struct totem_configuration *conf)
{
    uint32_t own;

    if (conf->transitional)
        return;
    CHECK(conf->member_count <= TOTEM_NODES_MAX);
    if (r->configured) {
        CHECK(conf->ring_id.seq > r->conf.ring_id.seq);
        if (!r->planned && r->holds != HOLDS_NONE)
            r->path = ring_id_mix(r->path, &r->conf.ring_id);
    }
    r->conf = *conf;
    own = place_of(r, r->config.node_id);
    CHECK(own != nobody);
    CHECK(conf->incarnations[own] == r->config.incarnation);
    r->configured = r->info_due = true;
    r->planned = false;
    r->donor = nobody;
    r->told_count = 0;
    for (uint32_t i = 0; i < conf->member_count; i++)
        r->told[i] = false;
}

static bool info_taken(struct replica *r, uint32_t at,
                       const struct replica_info *info)
{
    if (info->incarnation != r->conf.incarnations[at])
        return false;
    if (r->told[at]) /* the first one counts, on all members */
        return true;
    r->told[at] = true;
    r->info[at] = *info;
    if (++r->told_count == r->conf.member_count)
        plan(r);
    return true;
}

static bool apply(struct replica *r, uint32_t sender, struct bytes data)
{
    struct replica_op op = {
        .sender = sender, .data = data, .whole = r->holds == HOLDS_WHOLE};
    bool succeeded = r->config.service->apply(r->config.context, &op);

    /* Elsewhere it did, or it would not have come here. */
    r->stats.operations += succeeded || !op.whole;
    return succeeded;
}

static bool op_taken(struct replica *r, uint32_t sender, uint32_t at,
                     struct bytes data)
{
    if (!r->planned || !r->whole[at])
        return false; /* it has to wait */
    switch (r->holds) {
    case HOLDS_NONE: /* given up, see piece_taken() */
        return true;
    case HOLDS_PART:
        replica_queue_add(&r->kept, sender, data);
        queue_count(r);
        r->index++;
        return true;
    case HOLDS_WHOLE:
        break;
    }
    bool succeeded = apply(r, sender, data);
    r->index++;
    if (r->donor != nobody)
        replica_results_add(&r->results, succeeded);
    return true;
}

/* Does what was kept first. */
static void kept_apply(struct replica *r)
{
    const struct replica_kept *k = r->kept.first;

    CHECK(k != NULL);
    if (k->change != NULL)
        change_tell(r, k->change);
    else
        apply(r, k->sender, (struct bytes){k->data, k->size_bytes});
}

static bool result_of(const struct replica_piece *p, uint64_t number)
{
    uint64_t at = number - p->first;

    CHECK(number >= p->first && at < p->count);
    return p->results.p[at / 8] >> at % 8 & 1;
}

/* What this node has is brought to where the piece's writer was; then the piece
 * belongs to it. */
static bool part_grows(struct replica *r, const struct replica_piece *p)
{
    for (; r->applied < p->first + p->count; r->applied++) {
        if (result_of(p, r->applied))
            kept_apply(r);
        replica_queue_drop(&r->kept);
    }
    queue_count(r);
    if (p->data.n > 0 &&
        !r->config.service->piece_read(r->config.context, p->data))
        return false;
    if (is_before(&r->cursor, &p->cursor))
        r->cursor = p->cursor;
    r->stats.pieces_read++;
    r->stats.piece_bytes_read += p->data.n;
    return true;
}

static void part_is_whole(struct replica *r)
{
    r->holds = HOLDS_WHOLE;
    r->cursor = (struct replica_cursor){0};
    r->stats.exchanges++;
    r->config.service->whole(r->config.context, true);
    for (; r->kept.first != NULL; replica_queue_drop(&r->kept))
        kept_apply(r);
    queue_count(r);
}

/* All members know what its results have to begin with, and that what carries
 * data was written after the plan. */
static bool piece_fits(const struct replica *r, uint32_t at,
                       const struct replica_piece *p)
{
    if (!r->planned || r->donor == nobody || at != r->donor)
        return false;
    if (p->first != r->settled || p->count > r->index - r->settled)
        return false;
    return (p->data.n == 0 && !p->last) || p->first + p->count >= r->plan_index;
}

static bool piece_taken(struct replica *r, uint32_t at,
                        const struct replica_piece *p)
{
    if (r->planned && r->holds == HOLDS_NONE)
        return true;
    if (!piece_fits(r, at, p))
        return false;
    r->settled += p->count;
    if (r->holds == HOLDS_WHOLE)
        replica_results_drop(&r->results, r->settled);
    /* A donor that we do not understand. We do without until the next
     * configuration, and then begin anew. */
    else if (!part_grows(r, p)) {
        give_up(r);
        return false;
    }
    if (p->last) {
        all_whole(r);
        if (r->holds == HOLDS_PART)
            part_is_whole(r);
    }
    return true;
}

bool replica_message(struct replica *r, uint32_t sender, struct bytes data)
{
    struct replica_message m;
    uint32_t at;

    if (!replica_wire_read(data, &m))
        return false;
    if (!r->configured)
        return true;
    at = place_of(r, sender);
    if (at == nobody)
        return false;
    switch (m.type) {
    case TYPE_INFO:
        return !ring_id_equal(&m.info.ring_id, &r->conf.ring_id) ||
               info_taken(r, at, &m.info);
    case TYPE_OP:
        return m.op.ring_seq != r->conf.ring_id.seq ||
               op_taken(r, sender, at, m.op.body);
    case TYPE_PIECE:
        return !ring_id_equal(&m.piece.ring_id, &r->conf.ring_id) ||
               piece_taken(r, at, &m.piece);
    }
    return false;
}

/* --- what this node multicasts -------------------------------------------- */

bool replica_ready(const struct replica *r)
{
    return r->planned && r->holds == HOLDS_WHOLE;
}

bool replica_is_whole(const struct replica *r)
{
    return r->holds == HOLDS_WHOLE;
}

void replica_op_head(const struct replica *r,
                     uint8_t head[REPLICA_OP_HEAD_SIZE])
{
    struct writer w = writer_of(head, REPLICA_OP_HEAD_SIZE);

    CHECK(replica_ready(r));
    replica_wire_op_head(&w, r->conf.ring_id.seq);
    CHECK(w.written == REPLICA_OP_HEAD_SIZE);
}

enum replica_kind replica_message_kind(const struct replica *r)
{
    if (r->info_due)
        return REPLICA_INFO;
    if (r->planned && r->donor != nobody && !r->last_written &&
        r->conf.members[r->donor] == r->config.node_id)
        return REPLICA_PIECE;
    return REPLICA_NOTHING;
}

static void info_write(struct replica *r, struct writer *w)
{
    struct replica_info info = {.ring_id = r->conf.ring_id,
                                .incarnation = r->config.incarnation,
                                .holds = r->holds,
                                .birth = r->birth,
                                .path = r->path,
                                .index = r->index,
                                .operations = r->stats.operations,
                                .settled =
                                    r->exchanging ? r->settled : r->index,
                                .cursor = r->cursor,
                                .hello_size = (uint8_t)r->config.hello.n};

    memcpy(info.hello, r->hello, r->config.hello.n);
    replica_wire_info(w, &info);
    r->info_due = false;
}

/* The service's bytes of a piece, written to where they belong. */
static size_t data_write(struct replica *r, struct replica_piece *p,
                         uint8_t *to)
{
    struct writer w = writer_of(to, REPLICA_PIECE_SIZE_MAX);

    p->last =
        r->config.service->piece_write(r->config.context, &r->write_from, &w);
    CHECK(!w.failed && (p->last || w.written > 0));
    return w.written;
}

/* With more results than a piece carries, it carries nothing else: what it
 * brings must be as it was behind the last of them. */
static void piece_write(struct replica *r, struct writer *w)
{
    uint64_t left = r->index - r->write_first;
    struct replica_piece p = {.ring_id = r->conf.ring_id,
                              .first = r->write_first,
                              .count = REPLICA_BITS_MAX};
    size_t data_size = 0;
    uint8_t *results;

    if (left <= REPLICA_BITS_MAX) {
        size_t head_size = REPLICA_PIECE_HEAD_SIZE + (size_t)(left + 7) / 8;
        p.count = (uint32_t)left;
        data_size = data_write(r, &p, w->p + head_size);
    }
    p.cursor = r->write_from;
    results = replica_wire_piece_head(w, &p);
    CHECK(results != NULL);
    memset(results, 0, ((size_t)p.count + 7) / 8);
    for (uint32_t i = 0; i < p.count; i++)
        if (replica_results_get(&r->results, p.first + i))
            results[i / 8] |= (uint8_t)(1u << i % 8);
    CHECK(write_claim(w, data_size) != NULL);
    r->write_first += p.count;
    r->last_written = p.last;
    r->stats.pieces_sent++;
    r->stats.piece_bytes_sent += data_size;
}

size_t replica_message_write(struct replica *r, uint8_t *to)
{
    struct writer w = writer_of(to, REPLICA_MESSAGE_SIZE_MAX);

    switch (replica_message_kind(r)) {
    case REPLICA_NOTHING:
        break;
    case REPLICA_INFO:
        info_write(r, &w);
        break;
    case REPLICA_PIECE:
        piece_write(r, &w);
        break;
    }
    CHECK(!w.failed);
    return w.written;
}

bool replica_is_piece(struct bytes message)
{
    return message.n >= 2 && message.p[1] == TYPE_PIECE;
}

/* --- for logs, tests ------------------------------------------------------ */

const struct replica_stats *replica_stats_get(const struct replica *r)
{
    return &r->stats;
}

struct replica_place replica_place_get(const struct replica *r)
{
    return (struct replica_place){r->birth, r->path, r->index};
}
