/* SPDX-License-Identifier: BSD-3-Clause */
/* What a node does at the token's visit: what it takes, asks for, sends again,
 * sends, and writes into the token. */
#include "test/unit/visit_box.h"

/* --- packets -------------------------------------------------------------- */

static void data_taken(void)
{
    begin();
    t->retransmit_at = now_ns + MS;
    data(1, 10); /* newer than what it passed on: the token has arrived */
    CU_ASSERT_STRING_EQUAL(told, "");
    CU_ASSERT_EQUAL(t->retransmit_at, UINT64_MAX);
    CU_ASSERT_EQUAL(r->packet_ns, now_ns);
    CU_ASSERT_EQUAL(r->last_sender, 1);
    token(10, 10, 0);
    uint64_t again_ns = t->retransmit_at;
    CU_ASSERT(again_ns > now_ns && again_ns < UINT64_MAX);
    now_ns += MS;
    data(3, 9); /* older */
    CU_ASSERT_STRING_EQUAL(told, "m9 m10");
    CU_ASSERT_EQUAL(r->packet_ns, now_ns);
    CU_ASSERT_EQUAL(t->retransmit_at, again_ns);
    CU_ASSERT_EQUAL(r->last_sender, 1);
    uint64_t before = dropped(TOTEM_DROP_DUPLICATE);
    data(3, 10); /* as new as the token, which may be lost all the same */
    CU_ASSERT_STRING_EQUAL(told, "");
    CU_ASSERT_EQUAL(t->retransmit_at, again_ns);
    CU_ASSERT_EQUAL(dropped(TOTEM_DROP_DUPLICATE), before + 1);
    before = dropped(TOTEM_DROP_WINDOW);
    data(3, r->store.base + r->store.slot_count + 1);
    CU_ASSERT_EQUAL(dropped(TOTEM_DROP_WINDOW), before + 1);
    CU_ASSERT_EQUAL(r->store.high, 10);
    end();
}

static void malformed(bool is, uint32_t sender, uint64_t seq, bool recovered)
{
    uint8_t packet[WORLD_PACKET_MAX];
    uint64_t before = dropped(TOTEM_DROP_MALFORMED);
    struct wire_data like = {
        .recovered = recovered, .old_seq = 1, .old_sender = 1};
    give(packet, data_make(packet, sender, seq, &like));
    CU_ASSERT_EQUAL(dropped(TOTEM_DROP_MALFORMED), before + is);
}

static void data_refused(void)
{
    begin();
    malformed(true, 4, 9, false);
    malformed(true, 2, 9, false);
    malformed(true, 1, 9, true);
    malformed(false, 1, 9, false);
    malformed(true, 4, 9, false);
    malformed(false, 2, 9, false); /* a copy of what is here */
    malformed(false, 2, 8, false);
    t->held = true;
    t->token.seq = 20;
    malformed(false, 1, 19, false);
    malformed(false, 1, 20, false);
    malformed(true, 1, 21, false);
    t->held = false;
    malformed(false, 1, 21, false);
    end();
}

/* --- what is missing ------------------------------------------------------ */

/* 9, 10 and 12 are here, 11 is not, and the token has been here before. */
static void begin_with_a_gap(void)
{
    begin();
    data(1, 9);
    data(1, 10);
    data(1, 12);
    CU_ASSERT_EQUAL(r->store.aru, 10);
    token(12, 12, 0); /* it may still be on its way */
    CU_ASSERT_STRING_EQUAL(told, "t3");
    CU_ASSERT_EQUAL(sent.rtr_count, 0);
    CU_ASSERT(sent.aru == 10 && sent.aru_id == 2);
    CU_ASSERT_EQUAL(r->seq_sent, 12);
}

/* The token has gone round; how many packets it asks for now. */
static uint32_t asked_after(uint64_t rotation_ns)
{
    now_ns += rotation_ns;
    k.rtr_count = 0;
    token(12, 10, 2);
    return sent.rtr_count;
}

static void asked_again(uint64_t rotation_ns, uint32_t rotations)
{
    begin_with_a_gap();
    asked_after(rotation_ns);
    now_ns += 100 * MS;
    asked_after(rotation_ns); /* longer than any patience */
    uint64_t asked = t->stats.retransmits_asked;
    asked_after(rotation_ns);
    /* The rotation that is measured is the regular one from here on. */
    t->asked_ns[11 & (r->store.slot_count - 1)] = now_ns;
    asked = t->stats.retransmits_asked;
    for (uint32_t i = 1; i < rotations; i++)
        CU_ASSERT_EQUAL(asked_after(rotation_ns), 0);
    CU_ASSERT_EQUAL(asked_after(rotation_ns), 1);
    CU_ASSERT_EQUAL(sent.rtr[0], 11);
    CU_ASSERT_EQUAL(t->stats.retransmits_asked, asked + 1);
    end();
}

static void asks(void)
{
    begin_with_a_gap();
    CU_ASSERT_EQUAL(asked_after(MS), 1);
    CU_ASSERT_EQUAL(sent.rtr[0], 11);
    CU_ASSERT_EQUAL(t->asked_ns[11], now_ns);
    now_ns += 4 * MS;
    t->asked_ns[11] = 0;
    uint64_t asked = t->stats.retransmits_asked;
    k = sent; /* another asks for it already */
    k.rtr_count = 2;
    k.rtr[0] = 12;
    k.rtr[1] = 11;
    token(12, 10, 2);
    CU_ASSERT_STRING_EQUAL(told, "d12 t3");
    CU_ASSERT(sent.rtr_count == 1 && sent.rtr[0] == 11);
    CU_ASSERT_EQUAL(t->stats.retransmits_asked, asked);
    data(3, 11);
    CU_ASSERT_STRING_EQUAL(told, "m11 m12");
    CU_ASSERT_EQUAL(t->asked_ns[11], 0);
    end();
    asked_again(MS, 2);      /* two rotations */
    asked_again(10 * MS, 2); /* however long they are */
    asked_again(MS / 2, 4);  /* but two milliseconds at least */
    asked_again(MS * 2 / 3, 4);
}

static void serves(void)
{
    begin();
    for (uint64_t seq = 9; seq <= 11; seq++)
        data(1, seq);
    uint64_t before = t->stats.retransmits_sent;
    k.rtr_count = 6;
    const uint64_t asked[] = {7, 8, 9, 12, 11, 14};
    memcpy(k.rtr, asked, sizeof asked);
    token(13, 8, 3);
    CU_ASSERT_STRING_EQUAL(told, "d9 d11 t3");
    CU_ASSERT(sent.rtr_count == 1 && sent.rtr[0] == 12);
    CU_ASSERT_EQUAL(t->stats.retransmits_sent, before + 2);
    end();
}

/* --- aru, safe, stuck ----------------------------------------------------- */

static void arus(void)
{
    static const struct {
        uint64_t aru;
        uint32_t id;
        uint64_t aru_after;
        uint32_t id_after;
    } cases[] = {{12, 0, 10, 2}, {11, 3, 10, 2}, {10, 3, 10, 3}, {9, 3, 9, 3},
                 {9, 2, 10, 2},  {10, 2, 10, 2}, {9, 0, 10, 2}};
    begin_with_a_gap();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        token(12, cases[i].aru, cases[i].id);
        CU_ASSERT_EQUAL(sent.aru, cases[i].aru_after);
        CU_ASSERT_EQUAL(sent.aru_id, cases[i].id_after);
    }
    data(1, 11);
    token(12, 10, 2);
    CU_ASSERT(sent.aru == 12 && sent.aru_id == 0);
    end();
}

static void safe_by_two_visits(void)
{
    begin();
    uint8_t packet[WORLD_PACKET_MAX];
    struct wire_data like = {.safe = true};
    give(packet, data_make(packet, 1, 9, &like));
    data(1, 10);
    CU_ASSERT_STRING_EQUAL(told, "");
    token(10, 10, 0);
    CU_ASSERT_STRING_EQUAL(told, "t3");
    token(10, 8, 3);
    CU_ASSERT_STRING_EQUAL(told, "t3");
    CU_ASSERT_EQUAL(r->safe, 8);
    token(10, 9, 3);
    CU_ASSERT_STRING_EQUAL(told, "t3");
    CU_ASSERT_EQUAL(r->safe, 8);
    token(10, 10, 0);
    CU_ASSERT_STRING_EQUAL(told, "m9 m10 t3");
    CU_ASSERT_EQUAL(r->safe, 9);
    token(10, 10, 0);
    CU_ASSERT_EQUAL(r->safe, 10);
    CU_ASSERT_EQUAL(r->store.base, 10);
    r->aru_sent = 9; /* what was safe remains so */
    token(10, 10, 0);
    CU_ASSERT_EQUAL(r->safe, 10);
    end();
}

/* Rotations and time since the aru moved, as it stands before the token. */
static void stuck_after(uint32_t rotations, uint64_t since_ns, bool have,
                        const char *reason)
{
    begin_with_a_gap();
    uint64_t gathers = t->stats.gathers;
    token(12, have ? 9 : 10, 3);
    CU_ASSERT_EQUAL(r->stuck_rotations, 0);
    CU_ASSERT_EQUAL(r->stuck_aru, have ? 9 : 10);
    CU_ASSERT_EQUAL(r->stuck_id, 3);
    CU_ASSERT_EQUAL(r->stuck_since_ns, now_ns);
    r->stuck_rotations = rotations;
    now_ns += since_ns;
    t->loss_at = UINT64_MAX;
    token(12, have ? 9 : 10, 3);
    CU_ASSERT_EQUAL(t->stats.gathers, gathers + (reason != NULL));
    CU_ASSERT_EQUAL(t->state,
                    reason != NULL ? TOTEM_GATHER : TOTEM_OPERATIONAL);
    if (t->state == TOTEM_GATHER)
        CU_ASSERT_EQUAL(t->fail.count, 0);
    if (reason == NULL)
        CU_ASSERT_EQUAL(r->stuck_rotations, rotations + 1);
    end();
}

static void stuck_for_long(void)
{
    uint64_t once_ns = 5 * world_config(1).token_ns;
    stuck_after(3, once_ns + 1, true, "it failed to receive");
    stuck_after(2, once_ns + 1, true, NULL);
    stuck_after(3, once_ns, true, NULL);
    stuck_after(6, 2 * once_ns, false, NULL);
    stuck_after(6, 2 * once_ns + 1, false, "nobody has it");
    stuck_after(5, 2 * once_ns + 1, false, NULL);
    /* Who moves is not stuck. */
    begin_with_a_gap();
    token(12, 9, 3);
    token(12, 9, 3);
    CU_ASSERT_EQUAL(r->stuck_rotations, 1);
    token(12, 10, 3);
    CU_ASSERT_EQUAL(r->stuck_rotations, 0);
    token(12, 10, 3);
    token(12, 10, 1);
    CU_ASSERT_EQUAL(r->stuck_rotations, 0);
    token(12, 10, 1);
    CU_ASSERT_EQUAL(r->stuck_rotations, 1);
    token(12, 10, 2);
    token(12, 10, 2);
    CU_ASSERT_EQUAL(r->stuck_rotations, 0);
    token(12, 10, 0);
    token(12, 10, 0);
    CU_ASSERT_EQUAL(r->stuck_rotations, 0);
    end();
}

/* --- shares --------------------------------------------------------------- */

static void shares(void)
{
    static const struct {
        uint32_t window, members, mine, all;
        uint64_t behind; /* token.seq over the store's base */
        uint32_t share;
    } cases[] = {
        {90, 3, 0, 0, 0, 90},  {90, 3, 0, 2, 0, 30},  {90, 3, 0, 9, 0, 30},
        {90, 3, 6, 9, 0, 60},  {90, 3, 9, 9, 0, 90},  {90, 3, 9, 4, 0, 90},
        {90, 3, 1, 2, 0, 45},  {90, 3, 1, 1, 0, 90},  {90, 3, 9, 4, 170, 10},
        {90, 3, 9, 4, 180, 0}, {90, 3, 9, 4, 181, 0}, {17, 1, 0, 0, 30, 4},
        {16, 1, 0, 0, 30, 2},  {8, 1, 0, 0, 28, 4},   {8, 1, 0, 0, 24, 8},
        {2, 3, 1, 10, 0, 1},   {8, 4, 1, 100, 0, 2},  {8, 8, 1, 100, 0, 1},
    };
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ring like = *r;
        like.window_packets = cases[i].window;
        like.members.count = cases[i].members;
        like.backlog_sent = cases[i].mine;
        t->token.backlog_packets = cases[i].all;
        t->token.seq = like.store.base + cases[i].behind;
        CU_ASSERT_EQUAL(visit_share(t, &like), cases[i].share);
    }
    end();
}

static uint32_t share_of(uint32_t members, uint32_t window)
{
    begin();
    uint32_t count = r->members.count;
    r->members.count = members;
    r->window_packets = window;
    r->backlog_sent = t->token.backlog_packets = 0;
    t->token.seq = r->store.base;
    t->held = t->visit_safe = true;
    t->hold_at = now_ns + MS;
    visit_open(t);
    CU_ASSERT(!t->held && !t->visit_safe && t->visit_open);
    CU_ASSERT_EQUAL(t->hold_at, UINT64_MAX);
    CU_ASSERT_EQUAL(t->visit_holder, r->last_sender);
    CU_ASSERT_EQUAL(t->visit_first_seq, t->token.seq + 1);
    uint32_t share = t->visit_left;
    r->members.count = count;
    t->visit_open = false;
    end();
    return share;
}

static void shares_alone(void)
{
    CU_ASSERT_EQUAL(share_of(3, 5000), 5000);
    CU_ASSERT_EQUAL(share_of(2, 5000), 5000);
    CU_ASSERT_EQUAL(share_of(1, 5000), 262144 / WORLD_PACKET_MAX);
    CU_ASSERT_EQUAL(share_of(1, 100), 100);
}

static void backlogs(void)
{
    static const struct {
        uint32_t all, mine, now, after;
    } cases[] = {{10, 4, 3, 9},
                 {4, 4, 3, 3},
                 {3, 4, 3, 3},
                 {5, 4, 0, 1},
                 {UINT32_MAX, 0, 5, UINT32_MAX},
                 {UINT32_MAX, 5, 5, UINT32_MAX},
                 {UINT32_MAX, 5, 4, UINT32_MAX - 1},
                 {UINT32_MAX, 5, 6, UINT32_MAX}};
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        k.backlog_packets = cases[i].all;
        r->backlog_sent = cases[i].mine;
        backlog = cases[i].now;
        token(8, 8, 0);
        CU_ASSERT_EQUAL(sent.backlog_packets, cases[i].after);
        CU_ASSERT_EQUAL(r->backlog_sent, cases[i].now);
        CU_ASSERT_EQUAL(sent.idle_hops, 0);
    }
    end();
}

/* --- the token ------------------------------------------------------------ */

/* Within the visit, before it ends. */
static void token_taken(void)
{
    static const struct {
        uint64_t last, fastest, after, fastest_after; /* ms; after: later */
    } cases[] = {{0, 0, 5, 0}, {7, 0, 5, 5}, {7, 4, 5, 4},
                 {7, 6, 5, 5}, {7, 5, 5, 5}, {0, 6, 5, 6}};
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t packet[WIRE_TOKEN_SIZE_MAX];
        uint64_t before_ns = cases[i].last == 0 ? 0 : now_ns;
        r->token_ns = before_ns;
        r->fastest_ns = cases[i].fastest * MS;
        t->wake_sent = true;
        t->retransmit_at = now_ns + 100 * MS;
        now_ns += cases[i].after * MS;
        k.token_seq = r->token_seq + 1;
        k.seq = k.aru = 8;
        size_t n = token_make(packet, 1);
        told[0] = 0;
        CU_ASSERT_FATAL(step_once((struct totem_in){
            .kind = TOTEM_IN_PACKET, .node_id = 1, .packet = {packet, n}}));
        CU_ASSERT_EQUAL(t->retransmit_at, UINT64_MAX);
        CU_ASSERT_EQUAL(t->loss_at, now_ns + t->config.token_ns);
        CU_ASSERT(!t->wake_sent);
        CU_ASSERT_EQUAL(r->rotation_ns, now_ns - before_ns);
        CU_ASSERT_EQUAL(r->fastest_ns, cases[i].fastest_after * MS);
        CU_ASSERT_EQUAL(r->token_ns, now_ns);
        visit_end();
        CU_ASSERT_STRING_EQUAL(told, "t3");
        CU_ASSERT_EQUAL(sent.token_seq, k.token_seq + 1);
    }
    end();
}

static void token_dropped(uint32_t sender, uint64_t token_seq, uint64_t seq,
                          enum totem_drop why, const char *answer)
{
    uint8_t packet[WIRE_TOKEN_SIZE_MAX];
    uint64_t before = dropped(why);
    k.token_seq = token_seq;
    k.seq = k.aru = seq;
    give(packet, token_make(packet, sender));
    CU_ASSERT_EQUAL(dropped(why), before + 1);
    CU_ASSERT_STRING_EQUAL(told, answer);
}

static void tokens_refused(void)
{
    begin();
    data(1, 9);
    token(10, 9, 3);
    uint64_t next = r->token_seq + 1;
    token_dropped(1, next - 1, 10, TOTEM_DROP_DUPLICATE, "a1");
    token_dropped(4, next, 10, TOTEM_DROP_MALFORMED, "");
    token_dropped(1, next, 9, TOTEM_DROP_MALFORMED, ""); /* below seq_sent */
    data(1, 12);
    token_dropped(1, next, 11, TOTEM_DROP_MALFORMED, ""); /* below high */
    k.ring_id.nonce++;
    token_dropped(1, next, 12, TOTEM_DROP_STALE, "");
    k.ring_id.nonce--;
    token(12, 9, 3);
    CU_ASSERT_STRING_EQUAL(told, "t3");
    end();
}

/* --- sending -------------------------------------------------------------- */

/* Of many the last half leaves behind the token. */
static void sends(void)
{
    begin();
    to_send = 1;
    token(8, 8, 0);
    CU_ASSERT_STRING_EQUAL(told, "d9 t3 m9");
    to_send = 7;
    token(9, 9, 0);
    CU_ASSERT_STRING_EQUAL(
        told, "d10 d11 d12 d13 d14 d15 d16 t3 m10 m11 m12 m13 m14 m15 m16");
    to_send = 8;
    token(16, 16, 0);
    CU_ASSERT_STRING_EQUAL(told, "d17 d18 d19 d20 t3 d21 d22 d23 d24 "
                                 "m17 m18 m19 m20 m21 m22 m23 m24");
    CU_ASSERT(sent.seq == 24 && sent.aru == 24 && sent.aru_id == 0);
    CU_ASSERT_EQUAL(r->seq_passed, 24);
    CU_ASSERT_EQUAL(r->seq_sent, 24);
    to_send = WINDOW + 1;
    token(24, 24, 0);
    CU_ASSERT_EQUAL(to_send, 1);
    end();
}

static const struct unit_test tests[] = {
    {"packets that are taken", data_taken},
    {"packets that no member sends", data_refused},
    {"what is missing is asked for", asks},
    {"what is asked for is sent", serves},
    {"aru", arus},
    {"safe after two visits", safe_by_two_visits},
    {"an aru that is stuck", stuck_for_long},
    {"shares of the window", shares},
    {"shares in a ring of one", shares_alone},
    {"backlogs", backlogs},
    {"the token is taken", token_taken},
    {"tokens that are refused", tokens_refused},
    {"packets around the token", sends},
};

UNIT_MAIN("totem_visit", tests)
