/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the token rests in a ring that has little to do, and what moves it. */
#include "test/unit/visit_box.h"

/* How idle the ring is when the token leaves. */
static void idle_hops(void)
{
    begin();
    idle_token(5);
    CU_ASSERT_EQUAL(sent.idle_hops, 6);
    idle_token(IDLE_HOPS_MAX - 1);
    CU_ASSERT_EQUAL(sent.idle_hops, IDLE_HOPS_MAX);
    idle_token(IDLE_HOPS_MAX);
    CU_ASSERT_EQUAL(sent.idle_hops, IDLE_HOPS_MAX);
    k.backlog_packets = 1;
    idle_token(5);
    CU_ASSERT_EQUAL(sent.idle_hops, 0);
    k.backlog_packets = 0;
    k.rtr_count = 1;
    k.rtr[0] = 9;
    k.idle_hops = 5;
    token(9, 9, 0); /* 9 is missing here */
    CU_ASSERT_EQUAL(sent.idle_hops, 0);
    k.rtr_count = 0;
    data(1, 9);
    to_send = 1; /* while another was to hold it */
    idle_token(5);
    CU_ASSERT_EQUAL(sent.idle_hops, 0);
    end();
}

/* This node has sent last, and the ring is idle. */
static void begin_as_holder(void)
{
    begin();
    to_send = 1;
    token(8, 8, 0);
    token(9, 9, 0);
    token(9, 9, 0);
    CU_ASSERT_EQUAL_FATAL(r->last_sender, 2);
}

static void held_when_idle(void)
{
    begin_as_holder();
    idle_token(8);
    CU_ASSERT_STRING_EQUAL(told, "t3");
    uint64_t holds = t->stats.holds;
    idle_token(9);
    CU_ASSERT_STRING_EQUAL(told, "");
    CU_ASSERT(t->held && totem_wants_submit(t));
    CU_ASSERT_EQUAL(t->stats.holds, holds + 1);
    CU_ASSERT_EQUAL(t->loss_at, UINT64_MAX);
    CU_ASSERT_EQUAL(t->hold_at, now_ns + t->config.hold_ns);
    /* A visit that brings nothing does not prolong it. */
    now_ns += 3 * MS;
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT_EQUAL(t->hold_at, now_ns - 3 * MS + t->config.hold_ns);
    now_ns = t->hold_at;
    step((struct totem_in){.kind = TOTEM_IN_TIMEOUT});
    CU_ASSERT_STRING_EQUAL(told, "t3");
    CU_ASSERT(!t->held && t->hold_at == UINT64_MAX);
    CU_ASSERT(t->hold_end_ns == 0 && t->linger_end_ns == 0);
    data(3, 10); /* now that is the one to hold it */
    idle_token(20);
    CU_ASSERT_STRING_EQUAL(told, "t3");
    end();
}

/* It sends a few, and keeps the token for more. */
static bool lingers(uint32_t hops, uint32_t count, bool safe)
{
    begin_as_holder();
    to_send = count;
    to_send_safe = safe;
    idle_token(hops);
    bool held = t->held;
    CU_ASSERT(held || strstr(told, "t3") != NULL);
    CU_ASSERT(!held || strstr(told, "t3") == NULL);
    if (held) {
        CU_ASSERT_EQUAL(t->hold_at, now_ns + LINGER_NS);
        CU_ASSERT_EQUAL(r->idle_hops, 3);
    } else if (hops == 2) {
        CU_ASSERT_EQUAL(sent.idle_hops, 3);
    } else {
        CU_ASSERT_EQUAL(sent.idle_hops, 4);
    }
    end();
    return held;
}

static void held_for_more(void)
{
    CU_ASSERT(lingers(3, 1, false));
    CU_ASSERT(lingers(7, 1, false));
    CU_ASSERT(!lingers(2, 1, false));
    CU_ASSERT(!lingers(3, 1, true));
    CU_ASSERT(lingers(3, WINDOW / 4, false));
    CU_ASSERT(!lingers(3, WINDOW / 4 + 1, false));
    /* Together, and not for longer. */
    begin_as_holder();
    to_send = 10;
    idle_token(3);
    uint64_t end_ns = t->hold_at;
    now_ns += 2 * MS;
    to_send = 6;
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT(t->held && t->hold_at == end_ns);
    now_ns += MS;
    to_send = 1;
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT_STRING_EQUAL(told, "d26 t3 m26");
    CU_ASSERT(!t->held);
    end();
    begin_as_holder();
    to_send = 1;
    idle_token(3);
    now_ns = t->hold_at - 1;
    step((struct totem_in){.kind = TOTEM_IN_TIMEOUT});
    CU_ASSERT(t->held);
    now_ns++;
    to_send = 1;
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT(!t->held);
    end();
    /* One safe message among others is enough; the next visit knows nothing of
     * it. */
    begin_as_holder();
    to_send = 1;
    to_send_safe = true;
    idle_token(3);
    CU_ASSERT(!t->held);
    to_send_safe = false;
    to_send = 1;
    token(10, 10, 0);
    token(11, 11, 0);
    to_send = 1;
    idle_token(3);
    CU_ASSERT(t->held);
    end();
}

static void wake(uint64_t hash)
{
    uint8_t packet[64];
    size_t n = wire_wake_write(packet, 3, hash);
    wire_stamp(packet, WORLD_PACKET_MAX);
    give(packet, n);
}

static void woken(void)
{
    begin_as_holder();
    idle_token(9);
    CU_ASSERT(t->held);
    uint64_t before = dropped(TOTEM_DROP_STALE);
    wake(r->hash + 1);
    CU_ASSERT_STRING_EQUAL(told, "");
    CU_ASSERT_EQUAL(dropped(TOTEM_DROP_STALE), before + 1);
    wake(r->hash);
    CU_ASSERT_STRING_EQUAL(told, "t3");
    CU_ASSERT_EQUAL(dropped(TOTEM_DROP_STALE), before + 1);
    wake(r->hash); /* before the token is back: it goes on at once */
    CU_ASSERT_STRING_EQUAL(told, "");
    idle_token(9);
    CU_ASSERT_STRING_EQUAL(told, "t3");
    idle_token(9);
    CU_ASSERT(t->held);
    end();
}

static void submitted(void)
{
    begin();
    idle_token(1); /* it leaves with 2 */
    CU_ASSERT(!totem_wants_submit(t));
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT_STRING_EQUAL(told, "");
    idle_token(2);
    CU_ASSERT(totem_wants_submit(t));
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT_STRING_EQUAL(told, "w1");
    CU_ASSERT(!totem_wants_submit(t));
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT_STRING_EQUAL(told, "");
    data(3, 9);
    idle_token(2);
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT_STRING_EQUAL(told, "w3");
    idle_token(2);
    r->last_sender = 0; /* nobody has sent: the representative */
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT_STRING_EQUAL(told, "w1");
    idle_token(2);
    r->last_sender = 2; /* it comes here anyway */
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT_STRING_EQUAL(told, "");
    end();
}

/* Without a ring there is nothing to call for. */
static void submitted_in_gather(void)
{
    begin();
    idle_token(5);
    CU_ASSERT(totem_wants_submit(t));
    now_ns = t->loss_at;
    step((struct totem_in){.kind = TOTEM_IN_TIMEOUT});
    CU_ASSERT_EQUAL(t->state, TOTEM_GATHER);
    CU_ASSERT(!totem_wants_submit(t));
    step((struct totem_in){.kind = TOTEM_IN_SUBMIT});
    CU_ASSERT(strchr(told, 'w') == NULL);
    end();
}

static void woken_in_a_pair(void)
{
    begin_as_holder();
    idle_token(9);
    set_remove(&r->members, 1);
    wake(r->hash);
    CU_ASSERT_STRING_EQUAL(told, "t3");
    end();
}

/* A ring of one holds its token from the first, and opens no visit before
 * somebody has something to send. */
static void alone(void)
{
    struct totem_config c = world_config(1);
    t = totem_new(&c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    now_ns = 1000 * (uint64_t)MS;
    told[0] = 0;
    step_once((struct totem_in){.kind = TOTEM_IN_START});
    for (int i = 0; i < 1000 && t->state != TOTEM_OPERATIONAL; i++) {
        now_ns += MS;
        CU_ASSERT(!step_once((struct totem_in){.kind = TOTEM_IN_TIMEOUT}));
    }
    CU_ASSERT_EQUAL(t->state, TOTEM_OPERATIONAL);
    CU_ASSERT(t->held && t->loss_at == UINT64_MAX);
    CU_ASSERT_EQUAL(t->token.backlog_packets, 0);
    totem_free(t);
}

static const struct unit_test tests[] = {
    {"idle hops", idle_hops},
    {"held in an idle ring", held_when_idle},
    {"held for more messages", held_for_more},
    {"wakes", woken},
    {"wakes in a ring of two", woken_in_a_pair},
    {"submissions", submitted},
    {"submissions without a ring", submitted_in_gather},
    {"a ring of one", alone},
};

UNIT_MAIN("totem_idle", tests)
