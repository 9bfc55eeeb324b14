// SPDX-License-Identifier: BSD-3-Clause
/* Joins to one node, one at a time, and what it makes of them: its sets, what
 * it sends, whether it agrees. The node is 5; the others are made up. */
#include "daemon/totem/internal.h"
#include "test/unit/ring_world.h"
#include "test/unit/unit.h"

enum { MS = 1000000, SELF = 5 };

/* world_config(): joins every 100 ms, consensus in 200. */
static const uint64_t JOIN_NS = 100 * (uint64_t)MS;
static const uint64_t CONSENSUS_NS = 200 * (uint64_t)MS;
static const uint64_t BEGUN_NS = 1000 * (uint64_t)MS;

static struct totem *t;
static uint64_t now_ns;
static uint32_t joins_sent; /* in the last step */
static bool committed;      /* it sent a commit token */
static struct wire_join sent;

static void step(struct totem_in in)
{
    struct totem_out out;
    in.now_ns = now_ns;
    totem_step(t, &in, &out);
    joins_sent = 0;
    committed = false;
    for (uint32_t i = 0; i < out.send_count; i++) {
        struct reader r = reader_of(out.sends[i].packet);
        struct wire_head head;
        CU_ASSERT_FATAL(wire_head_read(&r, &head));
        committed = committed || head.kind == WIRE_COMMIT;
        if (head.kind != WIRE_JOIN)
            continue;
        CU_ASSERT_EQUAL(out.sends[i].to, TOTEM_TO_ALL);
        CU_ASSERT_FATAL(wire_join_read(&r, &head, &sent));
        joins_sent++;
    }
    while (out.visit) {
        struct totem_in end = {.now_ns = now_ns, .kind = TOTEM_IN_VISIT_END};
        totem_step(t, &end, &out);
    }
}

static void at(uint64_t ms)
{
    now_ns = BEGUN_NS + ms * MS;
}

/* Timers run, and nothing else. */
static void timers(void)
{
    step((struct totem_in){.kind = TOTEM_IN_TIMEOUT});
}

static void begin(void)
{
    struct totem_config c = world_config(SELF);
    t = totem_new(&c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    at(0);
    step((struct totem_in){.kind = TOTEM_IN_START});
    CU_ASSERT_EQUAL(joins_sent, 1);
}

static void end(void)
{
    totem_free(t);
}

#define SET(...) set_of((const uint32_t[]){__VA_ARGS__, 0})

static struct set set_of(const uint32_t *ids)
{
    struct set s = {0};
    for (; *ids != 0; ids++)
        CU_ASSERT_FATAL(set_add(&s, *ids));
    return s;
}

static uint8_t packet[TOTEM_CONTROL_SIZE_MAX];

static void give(size_t size)
{
    wire_stamp(packet, WORLD_PACKET_MAX);
    struct bytes data = {packet, size};
    step((struct totem_in){.kind = TOTEM_IN_PACKET,
                           .node_id = world_sender(data),
                           .packet = data});
}

static uint64_t ring_seq; /* of the joins that come */

/* The set `heard` is the sender alone; accusations by ids. */
static struct wire_join join_of(uint32_t sender, struct set proc)
{
    (void)sender;
    return (struct wire_join){
        .incarnation = 0x77, .ring_seq = ring_seq, .proc = proc};
}

static void accuse(struct wire_join *j, uint32_t from, uint32_t to)
{
    accusations_add(&j->accusations, set_place(&j->proc, from),
                    set_place(&j->proc, to));
}

static void join_give(uint32_t sender, const struct wire_join *j)
{
    give(wire_join_write(packet, sender, j));
}

static void join(uint32_t sender, struct set proc, struct set fail)
{
    struct wire_join j = join_of(sender, proc);
    j.fail = fail;
    join_give(sender, &j);
}

static const struct set none;

static bool is(const struct set *s, struct set expected)
{
    return set_equal(s, &expected);
}

static bool accuses(uint32_t from, uint32_t to)
{
    return accusations_have(&t->accusations, set_place(&t->proc, from),
                            set_place(&t->proc, to));
}

/* --- alone ---------------------------------------------------------------- */

static void alone_after_a_join_interval(void)
{
    begin();
    at(99);
    timers();
    CU_ASSERT_EQUAL(t->state, TOTEM_GATHER);
    at(100);
    timers();
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    CU_ASSERT_EQUAL(joins_sent, 1);
    end();
}

/* The other goes before that: no ring alone yet. */
static void alone_again(void)
{
    begin();
    at(10);
    join(7, SET(5, 7), none);
    CU_ASSERT(is(&t->proc, SET(5, 7)));
    struct wire_leave leave = {.incarnation = 0x77};
    at(20);
    give(wire_leave_write(packet, 7, &leave));
    CU_ASSERT(is(&t->fail, SET(7)));
    CU_ASSERT_EQUAL(t->state, TOTEM_GATHER);
    CU_ASSERT_EQUAL(t->consensus_at, now_ns + CONSENSUS_NS);
    at(30); /* of one that is gone already, or never was here */
    give(wire_leave_write(packet, 7, &leave));
    give(wire_leave_write(packet, 9, &leave));
    CU_ASSERT(is(&t->fail, SET(7)));
    CU_ASSERT_EQUAL(t->consensus_at, now_ns - 10 * MS + CONSENSUS_NS);
    at(220);
    timers();
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    end();
}

/* The other goes when there has been time enough. */
static void alone_at_once(void)
{
    begin();
    at(10);
    join(7, SET(7), none);
    at(120);
    timers();
    CU_ASSERT_EQUAL(t->state, TOTEM_GATHER);
    struct wire_leave leave = {.incarnation = 0x77};
    give(wire_leave_write(packet, 7, &leave));
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    end();
}

/* --- when joins are sent -------------------------------------------------- */

static void joins_paced(void)
{
    begin();
    at(1);
    join(7, SET(7), none);
    CU_ASSERT_EQUAL(joins_sent, 0);
    CU_ASSERT_EQUAL(t->join_at, BEGUN_NS + JOIN_NS / 50);
    at(2);
    timers();
    CU_ASSERT_EQUAL(joins_sent, 1);
    CU_ASSERT(is(&sent.proc, SET(5, 7)));
    CU_ASSERT_EQUAL(t->join_at, now_ns + JOIN_NS);
    at(4);
    join(9, SET(9), none);
    CU_ASSERT_EQUAL(joins_sent, 1);
    CU_ASSERT_EQUAL(t->consensus_at, now_ns + CONSENSUS_NS);
    end();
}

/* --- sets ----------------------------------------------------------------- */

static void sets_united(void)
{
    begin();
    at(10);
    join(7, SET(3, 7, 9), SET(9)); /* 9 is gone, says 7 */
    CU_ASSERT(is(&t->proc, SET(3, 5, 7, 9)));
    CU_ASSERT(is(&t->fail, SET(9)));
    CU_ASSERT_EQUAL(t->consensus_at, now_ns + CONSENSUS_NS);
    at(20);
    join(7, SET(3, 7, 9), SET(3, 9)); /* one more of one set */
    CU_ASSERT(is(&t->fail, SET(3, 9)));
    CU_ASSERT_EQUAL(t->consensus_at, now_ns + CONSENSUS_NS);
    at(30);
    join(11, SET(11), none); /* of the other */
    CU_ASSERT(is(&t->proc, SET(3, 5, 7, 9, 11)));
    CU_ASSERT_EQUAL(t->consensus_at, now_ns + CONSENSUS_NS);
    at(40);
    join(11, SET(3, 5, 7, 9, 11), SET(3, 9)); /* nothing new */
    CU_ASSERT_EQUAL(t->consensus_at, now_ns - 10 * MS + CONSENSUS_NS);
    CU_ASSERT(is(&t->consensus, SET(5, 11)));
    join(7, SET(5, 7, 13), SET(5, 13)); /* it holds this one for gone */
    CU_ASSERT(is(&t->fail, SET(3, 7, 9)));
    CU_ASSERT(is(&t->consensus, SET(5)));
    join(7, SET(7, 15), none); /* and is not listened to */
    CU_ASSERT(is(&t->proc, SET(3, 5, 7, 9, 11, 13)));
    struct set members;
    CU_ASSERT(gather_members(t, &members));
    CU_ASSERT(is(&members, SET(5, 11, 13)));
    end();
}

static void sets_too_large(void)
{
    begin();
    at(10);
    struct set many = {0};
    for (uint32_t id = 101; id <= 100 + TOTEM_NODES_MAX; id++)
        CU_ASSERT(set_add(&many, id));
    uint64_t before = t->stats.dropped[TOTEM_DROP_MALFORMED];
    join(101, many, none);
    CU_ASSERT(is(&t->proc, SET(5)));
    CU_ASSERT_EQUAL(t->stats.dropped[TOTEM_DROP_MALFORMED], before + 1);
    set_remove(&many, 101);
    join(102, many, none);
    CU_ASSERT_EQUAL(t->proc.count, TOTEM_NODES_MAX);
    CU_ASSERT_EQUAL(t->stats.dropped[TOTEM_DROP_MALFORMED], before + 1);
    end();
}

static void ring_seqs(void)
{
    begin();
    at(10);
    ring_seq = 100;
    join(7, SET(7), none);
    CU_ASSERT_EQUAL(totem_ring_seq(t), 100);
    ring_seq = 50;
    join(7, SET(7), none);
    CU_ASSERT_EQUAL(totem_ring_seq(t), 100);
    ring_seq = 101 + RING_SEQ_STEP_MAX;
    join(7, SET(7), none);
    CU_ASSERT_EQUAL(totem_ring_seq(t), 100 + RING_SEQ_STEP_MAX);
    ring_seq = 0;
    end();
}

/* --- accusations ---------------------------------------------------------- */

/* 9 does not answer: it is accused, and taken for dead if nobody hears it. */
static void begin_with_silent(void)
{
    begin();
    at(10);
    join(7, SET(5, 7, 9), none);
    join(7, SET(5, 7, 9), none);
    CU_ASSERT(is(&t->consensus, SET(5, 7)));
    CU_ASSERT(is(&t->heard, SET(5, 7)));
    at(210);
    timers();
    CU_ASSERT(accuses(5, 9) && !accuses(5, 7) && !accuses(5, 5));
    CU_ASSERT_EQUAL(t->state, TOTEM_GATHER); /* all must agree to that */
    CU_ASSERT(is(&t->consensus, SET(5)));
    CU_ASSERT_EQUAL(joins_sent, 1);
    CU_ASSERT(accusations_have(&sent.accusations, 0, 2));
}

static void silent_accused(void)
{
    begin_with_silent();
    struct wire_join j = join_of(7, SET(5, 7, 9));
    j.accusations = sent.accusations;
    j.heard = SET(5, 7);
    join_give(7, &j);
    CU_ASSERT(committed);
    CU_ASSERT(is(&t->forming.members, SET(5, 7)));
    /* What one of them says now ends it, though it is not of the old ring. */
    struct wire_leave leave = {.incarnation = 0x77};
    give(wire_leave_write(packet, 7, &leave));
    CU_ASSERT(is(&t->proc, SET(5, 7)));
    CU_ASSERT(is(&t->fail, SET(7)));
    end();
}

/* The only other is silent: alone at once. */
static void silent_but_one(void)
{
    begin();
    at(10);
    join(7, SET(7), none);
    at(210);
    timers();
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    end();
}

/* Places move when sets grow, ours and theirs. */
static void accusations_in_place(void)
{
    begin_with_silent();
    struct wire_join j = join_of(7, SET(3, 7, 8));
    accuse(&j, 7, 3);
    at(220);
    join_give(7, &j);
    CU_ASSERT(is(&t->proc, SET(3, 5, 7, 8, 9)));
    CU_ASSERT(accuses(5, 9) && accuses(7, 3));
    uint32_t count = 0;
    for (uint32_t i = 0; i < 5; i++)
        for (uint32_t to = 0; to < 5; to++)
            count += accusations_have(&t->accusations, i, to);
    CU_ASSERT_EQUAL(count, 2);
    /* One more of a node of the same sets. */
    at(230);
    j = join_of(7, SET(3, 5, 7, 8, 9));
    accuse(&j, 8, 3);
    join_give(7, &j);
    CU_ASSERT(accuses(8, 3));
    CU_ASSERT_EQUAL(t->consensus_at, now_ns + CONSENSUS_NS);
    end();
}

/* That an accused one is heard changes the rings: all must agree once more. */
static void accused_heard(void)
{
    begin_with_silent();
    at(220);
    struct wire_merge merge = {.ring_id = {.seq = 1, .rep = 9},
                               .members = SET(9)};
    give(wire_merge_write(packet, 9, &merge, 0));
    CU_ASSERT(is(&t->heard, SET(5, 7, 9)));
    CU_ASSERT_EQUAL(t->consensus_at, now_ns + CONSENSUS_NS);
    at(230);
    give(wire_merge_write(packet, 9, &merge, 0));
    CU_ASSERT_EQUAL(t->consensus_at, now_ns - 10 * MS + CONSENSUS_NS);
    give(wire_merge_write(packet, 7, &merge, 0)); /* not accused */
    CU_ASSERT_EQUAL(t->consensus_at, now_ns - 10 * MS + CONSENSUS_NS);
    end();
}

/* Who hears others of the accused does not agree. */
static bool agrees(struct set heard, bool self_accused)
{
    begin_with_silent();
    struct wire_merge merge = {.ring_id = {.seq = 1, .rep = 9},
                               .members = SET(9)};
    give(wire_merge_write(packet, 9, &merge, 0));
    if (self_accused)
        accusations_add(&t->accusations, 2, 0);
    struct wire_join j = join_of(7, SET(5, 7, 9));
    j.accusations = t->accusations;
    j.heard = heard;
    join_give(7, &j);
    bool agreed = set_has(&t->consensus, 7) || committed;
    end();
    return agreed;
}

static void heard_alike(void)
{
    CU_ASSERT(agrees(SET(9), false));
    CU_ASSERT(agrees(SET(5, 9), false));
    CU_ASSERT(!agrees(SET(5), false));
    CU_ASSERT(!agrees(SET(9), true));
    CU_ASSERT(agrees(SET(5, 9), true));
}

/* --- in a ring ------------------------------------------------------------ */

/* 5 and 7 are in one, which 7 knows by that incarnation. */
static void begin_in_ring(void)
{
    begin();
    at(100);
    timers();
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    t->ring.members = SET(5, 7);
    t->ring.incarnations[0] = t->config.incarnation;
    t->ring.incarnations[1] = 0x77;
    t->held = false;
    at(110);
}

static bool follows(uint32_t from, uint32_t to, struct set fail)
{
    begin_in_ring();
    bool lowest = from == 3 || to == 3;
    struct wire_join j =
        join_of(9, lowest ? SET(3, 5, 7, 9, 11) : SET(5, 7, 9, 11));
    j.fail = fail;
    if (from != 0)
        accuse(&j, from, to);
    join_give(9, &j);
    bool gathers = t->state != TOTEM_OPERATIONAL;
    end();
    return gathers;
}

static void quarrels(void)
{
    static const struct {
        uint32_t from, to;
        bool follows;
    } cases[] = {{0, 0, true},   {5, 9, false}, {7, 9, false}, {11, 9, true},
                 {9, 7, false},  {9, 5, false}, {3, 7, false}, {11, 5, false},
                 {5, 7, true},   {7, 11, true}, {11, 3, true}, {3, 5, false},
                 {11, 7, false}, {9, 11, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CU_ASSERT_EQUAL(follows(cases[i].from, cases[i].to, none),
                        cases[i].follows);
    CU_ASSERT(!follows(0, 0, SET(5)));
    CU_ASSERT(!follows(0, 0, SET(7)));
    CU_ASSERT(follows(0, 0, SET(11)));
}

/* A member is gone: it stays known, as failed, and nobody waits for it. */
static void member_leaves(void)
{
    begin_in_ring();
    struct wire_leave leave = {.incarnation = 0x78};
    give(wire_leave_write(packet, 7, &leave));
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    t->ring.members = SET(5, 7, 9);
    leave.incarnation = 0x77;
    t->wake_sent = t->wake_requested = t->held = true;
    t->linger_end_ns = t->hold_end_ns = now_ns;
    give(wire_leave_write(packet, 7, &leave));
    CU_ASSERT_EQUAL(t->state, TOTEM_GATHER);
    CU_ASSERT(is(&t->proc, SET(5, 7, 9)) && is(&t->fail, SET(7)));
    CU_ASSERT(is(&t->heard, SET(5)) && is(&t->consensus, SET(5)));
    CU_ASSERT_EQUAL(joins_sent, 1);
    CU_ASSERT(is(&sent.fail, SET(7)));
    CU_ASSERT(!t->wake_sent && !t->wake_requested && !t->held);
    CU_ASSERT(t->linger_end_ns == 0 && t->hold_end_ns == 0);
    CU_ASSERT_EQUAL(t->gather_ns, now_ns);
    end();
    begin_in_ring(); /* the lowest id there is */
    t->ring.members = SET(1, 5, 7);
    t->ring.incarnations[0] = 0x77;
    give(wire_leave_write(packet, 1, &leave));
    CU_ASSERT(is(&t->fail, SET(1)));
    end();
    begin_in_ring();
    give(wire_leave_write(packet, 7, &leave));
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL); /* alone */
    CU_ASSERT_EQUAL(t->ring.members.count, 1);
    end();
}

static void merge_give(uint32_t sender, uint64_t seq)
{
    struct wire_merge merge = {.ring_id = {.seq = seq, .rep = sender},
                               .members = {.count = 1, .ids = {sender}}};
    give(wire_merge_write(packet, sender, &merge, 0));
}

/* Of a ring that this node comes from it is late. */
static void rings_before(void)
{
    for (uint32_t i = 0; i <= OLD_RINGS; i++) {
        begin_in_ring();
        struct totem_ring_id id = {.seq = 1, .rep = 9};
        for (uint32_t k = 0; k < OLD_RINGS; k++)
            t->old_hashes[k] = 1;
        if (i < OLD_RINGS)
            t->old_hashes[i] = wire_ring_hash(&id);
        merge_give(9, 1);
        CU_ASSERT_EQUAL(t->state,
                        i < OLD_RINGS ? TOTEM_OPERATIONAL : TOTEM_GATHER);
        CU_ASSERT_EQUAL(joins_sent, i < OLD_RINGS ? 0 : 1);
        end();
    }
}

/* A member's join from before the ring is late; a later one, or one of another
 * incarnation, is not. */
static void joins_of_members(void)
{
    for (uint32_t i = 0; i < 3; i++) {
        begin_in_ring();
        t->ring.id.seq = 8;
        struct wire_join j = join_of(7, SET(5, 7));
        j.ring_seq = i == 0 ? 8 : 7;
        j.incarnation += i == 1;
        uint64_t stale = t->stats.dropped[TOTEM_DROP_STALE];
        uint64_t gathers = t->stats.gathers;
        join_give(7, &j);
        CU_ASSERT_EQUAL(t->stats.gathers, gathers + (i != 2));
        CU_ASSERT_EQUAL(t->stats.dropped[TOTEM_DROP_STALE], stale + (i == 2));
        end();
    }
}

/* --- while a ring is formed ----------------------------------------------- */

enum about {
    NOTHING,
    PROC,
    FAIL,
    ACCUSED,
    ACCUSED_BEFORE,
    NEW_LIFE,
    LATER,
    STRANGER,
    STRANGER_LEAVES
};

static void bring(enum about about)
{
    struct wire_join j = join_of(7, about == PROC ? SET(5, 7, 9) : SET(5, 7));
    if (about == FAIL)
        j.fail = SET(5);
    if (about == ACCUSED)
        accuse(&j, 7, 5);
    if (about == ACCUSED_BEFORE) { /* by other places */
        j.proc = SET(7);
        j.accusations = (struct accusations){0};
    }
    j.incarnation += about == NEW_LIFE;
    j.ring_seq = about == LATER ? t->forming.id.seq : t->forming.id.seq - 1;
    struct wire_leave leave = {.incarnation = 0x77};
    if (about == STRANGER_LEAVES)
        give(wire_leave_write(packet, 9, &leave));
    else
        join_give(about == STRANGER ? 9 : 7, &j);
}

/* 5 and 7 form one; in recovery the commit token has been round. */
static bool breaks(bool recovery, enum about about)
{
    begin();
    at(10);
    join(7, SET(5, 7), none);
    CU_ASSERT_EQUAL(t->state, TOTEM_COMMIT);
    if (recovery) {
        struct wire_commit c = t->commit;
        c.entries[1] = c.entries[0];
        c.entries[1].node_id = 7;
        c.entries[1].incarnation = 0x77;
        c.token_seq++;
        give(wire_commit_write(packet, 7, &c));
        CU_ASSERT_EQUAL(t->state, TOTEM_RECOVERY);
    }
    uint64_t gathers = t->stats.gathers;
    at(20);
    bring(about);
    bool broken = t->stats.gathers > gathers;
    end();
    return broken;
}

static void forming(void)
{
    CU_ASSERT(!breaks(false, NOTHING) && !breaks(true, NOTHING));
    CU_ASSERT(breaks(false, PROC) && !breaks(true, PROC));
    CU_ASSERT(breaks(false, FAIL) && !breaks(true, FAIL));
    CU_ASSERT(breaks(false, ACCUSED) && !breaks(true, ACCUSED));
    CU_ASSERT(!breaks(false, ACCUSED_BEFORE) && !breaks(true, ACCUSED_BEFORE));
    CU_ASSERT(!breaks(false, NEW_LIFE) && breaks(true, NEW_LIFE));
    CU_ASSERT(breaks(false, LATER) && breaks(true, LATER));
    CU_ASSERT(!breaks(false, STRANGER) && !breaks(true, STRANGER));
    CU_ASSERT(!breaks(false, STRANGER_LEAVES));
    CU_ASSERT(!breaks(true, STRANGER_LEAVES));
}

static void full_ring(void)
{
    begin_in_ring();
    for (uint32_t id = 20; t->ring.members.count < TOTEM_NODES_MAX; id++)
        CU_ASSERT(set_add(&t->ring.members, id));
    uint64_t stale = t->stats.dropped[TOTEM_DROP_STALE];
    join(200, SET(200), none);
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    CU_ASSERT_EQUAL(t->stats.dropped[TOTEM_DROP_STALE], stale + 1);
    merge_give(200, 1);
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    CU_ASSERT_EQUAL(joins_sent, 0);
    set_remove(&t->ring.members, 20);
    join(200, SET(200), none);
    CU_ASSERT_EQUAL(t->state, TOTEM_GATHER);
    end();
}

/* --- those who are missed ------------------------------------------------- */

/* 9 has agreed and is then silent. Somebody else accuses it at `ms`. */
static bool misses_with_others(uint64_t ms)
{
    struct set proc = SET(3, SELF, 9);
    begin();
    join(9, proc, none);
    for (uint64_t i = 0; i < ms; i += 50) {
        at(i);
        timers();
        join(3, proc, none);
    }
    struct wire_join j = join_of(3, proc);
    accuse(&j, 3, 9);
    at(ms);
    join_give(3, &j);
    CU_ASSERT(accuses(3, 9));
    CU_ASSERT(!accuses(SELF, 3));
    bool too = accuses(SELF, 9);
    end();
    return too;
}

/* One that waits for a commit token sends no joins for the token timeout. */
static void accuses_with_others(void)
{
    CU_ASSERT(!misses_with_others(340));
    CU_ASSERT(misses_with_others(360));
}

static uint32_t strikes(uint32_t node_id)
{
    for (uint32_t i = 0; i < TOTEM_NODES_MAX; i++)
        if (t->links[i].node_id == node_id)
            return t->links[i].strikes;
    return 0;
}

/* A ring of 3 and 4 refuses `refused`. It does not answer this node, which
 * gathers with 9. Gives how often the link to 3 has failed then. */
static uint32_t silence_of_a_ring(uint32_t refused)
{
    struct wire_merge merge = {.ring_id = {.seq = 40, .nonce = 1, .rep = 3},
                               .members = SET(3, 4),
                               .heard = SET(SELF)};
    CU_ASSERT(set_add(&merge.refused, refused));
    begin();
    join(3, SET(3, SELF, 9), none);
    join(9, SET(3, SELF, 9), none);
    at(50);
    give(wire_merge_write(packet, 3, &merge, 0));
    for (uint64_t ms = 100; t->state == TOTEM_GATHER && ms < 3000; ms += 50) {
        at(ms);
        timers();
    }
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    CU_ASSERT_EQUAL(t->ring.members.count, 1);
    CU_ASSERT_EQUAL(strikes(9), 1);
    uint32_t n = strikes(3);
    end();
    return n;
}

static void rings_that_decline(void)
{
    CU_ASSERT_EQUAL(silence_of_a_ring(9), 0);
    CU_ASSERT_EQUAL(silence_of_a_ring(8), 1);
    CU_ASSERT_EQUAL(silence_of_a_ring(SELF), 1);
}

static const struct unit_test tests[] = {
    {"alone, after a join interval", alone_after_a_join_interval},
    {"alone again", alone_again},
    {"alone at once", alone_at_once},
    {"joins are paced", joins_paced},
    {"sets are united", sets_united},
    {"sets that are too large", sets_too_large},
    {"ring sequences", ring_seqs},
    {"the silent are accused", silent_accused},
    {"silent but for one", silent_but_one},
    {"accusations by places", accusations_in_place},
    {"an accused one is heard", accused_heard},
    {"what the others hear", heard_alike},
    {"quarrels of strangers", quarrels},
    {"a member leaves", member_leaves},
    {"rings before this", rings_before},
    {"joins of members", joins_of_members},
    {"while a ring is formed", forming},
    {"a full ring", full_ring},
    {"a node that others miss, too", accuses_with_others},
    {"rings that decline", rings_that_decline},
};

UNIT_MAIN("totem_gather", tests)
