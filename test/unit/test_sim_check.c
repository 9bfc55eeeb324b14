// SPDX-License-Identifier: BSD-3-Clause
// The checkers of the simulator, on made-up stories: each property has one that
// keeps it and one that breaks it.
#include "test/sim/check.h"
#include "test/unit/unit.h"

#include <string.h>

enum { A = 1, B = 2, C = 3 }; /* node ids; their first lives are 101 .. 103 */

struct story {
    struct trace *t;
    uint32_t process[4]; /* by node id: the latest life */
    uint64_t life[4];
};

static void start(struct story *s, uint32_t node)
{
    s->life[node] += 100;
    s->process[node] = trace_start(s->t, node, s->life[node]);
}

static struct story story_begin(void)
{
    struct story s = {.t = trace_new(), .life = {0, 1, 2, 3}};
    for (uint32_t node = A; node <= C; node++)
        start(&s, node);
    return s;
}

/* The lists are written as decimal digits: 123 is A, B and C; 0 is none. */
static uint32_t list(uint32_t *ids, unsigned digits)
{
    uint32_t count = 0;
    for (unsigned unit = 100; unit > 0; unit /= 10)
        if (digits / unit % 10 != 0)
            ids[count++] = digits / unit % 10;
    return count;
}

static void change(struct story *s, uint32_t node, bool transitional,
                   uint64_t seq, unsigned members, unsigned left,
                   unsigned joined)
{
    static struct totem_configuration c;
    memset(&c, 0, sizeof c);
    c.transitional = transitional;
    c.member_count = list(c.members, members);
    c.left_count = list(c.left, left);
    c.joined_count = list(c.joined, joined);
    c.ring_id =
        (struct totem_ring_id){seq, s->life[c.members[0]], c.members[0]};
    for (uint32_t i = 0; !transitional && i < c.member_count; i++)
        c.incarnations[i] = s->life[c.members[i]];
    trace_configuration(s->t, s->process[node], &c);
}

static void regular(struct story *s, uint32_t node, uint64_t seq,
                    unsigned members, unsigned joined)
{
    change(s, node, false, seq, members, 0, joined);
}

static void transitional(struct story *s, uint32_t node, uint64_t seq,
                         unsigned members, unsigned left)
{
    change(s, node, true, seq, members, left, 0);
}

/* All three in ring 4. */
static struct story story_of_three(void)
{
    struct story s = story_begin();
    for (uint32_t node = A; node <= C; node++)
        regular(&s, node, 4, 123, 123);
    return s;
}

/* A message of 10 bytes. */
static uint32_t sends(struct story *s, uint32_t node, bool safe)
{
    uint32_t m = trace_send(s->t, s->process[node], 10, safe);
    trace_sent(s->t, m);
    return m;
}

static void delivers(struct story *s, uint32_t node, uint32_t sender,
                     uint64_t seq, uint32_t message, bool safe)
{
    trace_deliver(s->t, s->process[node],
                  &(struct trace_delivery){.sender = sender,
                                           .seq = seq,
                                           .message = message,
                                           .size_bytes = 10,
                                           .safe = safe});
}

static void all_deliver(struct story *s, uint32_t sender, uint64_t seq,
                        uint32_t message, bool safe)
{
    for (uint32_t node = A; node <= C; node++)
        delivers(s, node, sender, seq, message, safe);
}

static void stops(struct story *s, uint32_t node, enum trace_end how)
{
    trace_stop(s->t, s->process[node], how);
}

static void story_ends(struct story *s, const char *violated)
{
    trace_check(s->t);
    const char *found = trace_violation(s->t);
    if (found != NULL &&
        (violated == NULL || strncmp(found, violated, strlen(violated)) != 0))
        printf("\n    found: %s\n", found);
    if (violated == NULL)
        CU_ASSERT_PTR_NULL(found)
    else if (found == NULL)
        CU_FAIL("not found")
    else
        CU_ASSERT(strncmp(found, violated, strlen(violated)) == 0)
    trace_free(s->t);
}

// --- a story that keeps all of them
// -------------------------------------------

/* Three nodes; C goes away with a message that only it has; A and B go on, then
 * C comes back as another process. */
static void test_all_is_kept(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false);
    all_deliver(&s, A, 1, a, false);
    uint32_t b = sends(&s, B, true), c = sends(&s, C, false);
    uint32_t lost = sends(&s, C, false);
    delivers(&s, A, B, 2, b, true);
    delivers(&s, B, B, 2, b, true);
    delivers(&s, C, B, 2, b, true);
    delivers(&s, C, C, 3, c, false);
    delivers(&s, C, C, 4, lost, false);
    stops(&s, C, TRACE_CRASHED);
    for (uint32_t node = A; node <= B; node++) {
        transitional(&s, node, 8, 12, 3);
        delivers(&s, node, C, 3, c, false);
        regular(&s, node, 8, 12, 0);
    }
    start(&s, C);
    transitional(&s, C, 5, 3, 0);
    regular(&s, C, 5, 3, 3);
    for (uint32_t node = A; node <= C; node++) {
        transitional(&s, node, 12, node == C ? 3 : 12, 0);
        regular(&s, node, 12, 123, node == C ? 12 : 3);
    }
    uint32_t last = sends(&s, C, true);
    all_deliver(&s, C, 1, last, true);
    CU_ASSERT_EQUAL(trace_messages(s.t), 5)
    CU_ASSERT_EQUAL(trace_deliveries(s.t), 13)
    CU_ASSERT_EQUAL(trace_configurations(s.t), 4)
    story_ends(&s, NULL);
}

// --- 1: basic delivery
// ----------------------------------------------------------

static void test_never_sent(void)
{
    struct story s = story_of_three();
    delivers(&s, A, B, 1, 7, false);
    story_ends(&s, "basic");
}

static void test_twice(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false);
    all_deliver(&s, A, 1, a, false);
    delivers(&s, B, A, 1, a, false);
    story_ends(&s, "basic");
}

static void test_wrong_sender(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false);
    delivers(&s, B, C, 1, a, false);
    story_ends(&s, "basic");
}

static void test_torn(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false);
    trace_deliver(s.t, s.process[B],
                  &(struct trace_delivery){
                      .sender = A, .seq = 1, .message = a, .size_bytes = 9});
    story_ends(&s, "basic");
}

static void test_wrong_guarantee(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, true);
    delivers(&s, B, A, 1, a, false);
    story_ends(&s, "basic");
}

static void test_other_configuration(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false);
    transitional(&s, B, 8, 2, 13);
    regular(&s, B, 8, 2, 0);
    delivers(&s, B, A, 1, a, false);
    story_ends(&s, "basic");
}

static void test_before_any_configuration(void)
{
    struct story s = story_begin();
    regular(&s, A, 4, 1, 1);
    uint32_t a = sends(&s, A, false);
    delivers(&s, B, A, 1, a, false);
    story_ends(&s, "basic");
}

static void test_abandoned(void)
{
    struct story s = story_of_three();
    uint32_t a = trace_send(s.t, s.process[A], 10, false);
    trace_abandon(s.t, a);
    uint32_t next = sends(&s, A, false);
    all_deliver(&s, A, 2, next, false);
    delivers(&s, B, A, 3, a, false);
    story_ends(&s, "basic");
}

/* Half sent when the configuration changes: sent again in the next one. */
static void half_sent(bool delivered, const char *violated)
{
    struct story s = story_begin();
    regular(&s, A, 4, 1, 1);
    uint32_t a = trace_send(s.t, s.process[A], 10, false);
    if (delivered)
        delivers(&s, A, A, 1, a, false);
    transitional(&s, A, 8, 1, 0);
    regular(&s, A, 8, 1, 0);
    trace_send_more(s.t, a);
    trace_sent(s.t, a);
    if (!delivered)
        delivers(&s, A, A, 1, a, false);
    story_ends(&s, violated);
}

static void test_half_sent(void)
{
    half_sent(false, NULL);
    half_sent(true, "basic");
}

// --- 2: configuration changes
// -----------------------------------------------------

static void test_two_regular(void)
{
    struct story s = story_of_three();
    regular(&s, A, 8, 12, 0);
    story_ends(&s, "configurations");
}

static void test_two_transitional(void)
{
    struct story s = story_of_three();
    transitional(&s, A, 8, 12, 3);
    transitional(&s, A, 8, 1, 2);
    story_ends(&s, "configurations");
}

static void test_first_with_others(void)
{
    struct story s = story_begin();
    transitional(&s, A, 4, 12, 0);
    story_ends(&s, "configurations");
}

static void test_one_id_two_sets(void)
{
    struct story s = story_begin();
    regular(&s, A, 4, 123, 123);
    regular(&s, B, 4, 12, 12);
    story_ends(&s, "configurations: ring 4.1.0065 names two");
}

/* The same ids, but C is another process: the ring id was used twice. */
static void test_one_id_two_lives(void)
{
    struct story s = story_begin();
    regular(&s, A, 4, 123, 123);
    stops(&s, C, TRACE_CRASHED);
    start(&s, C);
    regular(&s, C, 4, 123, 123);
    story_ends(&s, "configurations: ring 4.1.0065 names two");
}

static void test_without_self(void)
{
    struct story s = story_begin();
    regular(&s, A, 4, 23, 23);
    story_ends(&s, "configurations");
}

static void test_back_to_lower(void)
{
    struct story s = story_of_three();
    transitional(&s, A, 3, 1, 23);
    regular(&s, A, 3, 1, 0);
    story_ends(&s, "configurations");
}

static void test_wrong_left(void)
{
    struct story s = story_of_three();
    transitional(&s, A, 8, 1, 2);
    regular(&s, A, 8, 1, 0);
    story_ends(&s, "configurations: wrong list of those left");
}

static void test_wrong_joined(void)
{
    struct story s = story_begin();
    regular(&s, A, 4, 1, 1);
    transitional(&s, A, 8, 1, 0);
    regular(&s, A, 8, 12, 0);
    story_ends(&s, "configurations: wrong list of those joined");
}

/* B came back as another process: it must be in both lists. */
static void restarted(unsigned together, unsigned left, unsigned joined,
                      const char *violated)
{
    struct story s = story_begin();
    regular(&s, A, 4, 12, 12);
    regular(&s, B, 4, 12, 12);
    stops(&s, B, TRACE_CRASHED);
    start(&s, B);
    transitional(&s, A, 8, together, left);
    regular(&s, A, 8, 12, joined);
    regular(&s, B, 8, 12, 12);
    story_ends(&s, violated);
}

static void test_restarted(void)
{
    restarted(1, 2, 2, NULL);
    restarted(1, 0, 0, "configurations: wrong list of those left");
    restarted(1, 2, 0, "configurations: wrong list of those joined");
    restarted(12, 0, 0, "configurations");
}

static void test_different_transitional(void)
{
    struct story s = story_of_three();
    transitional(&s, A, 8, 12, 3);
    transitional(&s, B, 8, 2, 13);
    regular(&s, A, 8, 12, 0);
    regular(&s, B, 8, 12, 1);
    story_ends(&s, "configurations");
}

// --- 3: self-delivery
// -----------------------------------------------------------------

static void self_delivery(enum trace_end end, bool moves, const char *violated)
{
    struct story s = story_of_three();
    sends(&s, A, false);
    if (moves) {
        transitional(&s, A, 8, 1, 23);
        regular(&s, A, 8, 1, 0);
    }
    stops(&s, A, end);
    story_ends(&s, violated);
}

static void test_self_delivery(void)
{
    self_delivery(TRACE_ALIVE, false, "self-delivery");
    self_delivery(TRACE_ALIVE, true, "self-delivery");
    self_delivery(TRACE_CRASHED, true, "self-delivery");
    self_delivery(TRACE_CRASHED, false, NULL);
    self_delivery(TRACE_LEFT, false, NULL);
}

// --- 4: failure atomicity
// ---------------------------------------------------------------

/* A and B go on together without C; B delivers C's message or not. */
static void atomicity(bool both, const char *violated)
{
    struct story s = story_of_three();
    uint32_t c = sends(&s, C, false);
    stops(&s, C, TRACE_CRASHED);
    for (uint32_t node = A; node <= B; node++) {
        transitional(&s, node, 8, 12, 3);
        if (node == A || both)
            delivers(&s, node, C, 1, c, false);
        regular(&s, node, 8, 12, 0);
    }
    story_ends(&s, violated);
}

static void test_atomicity(void)
{
    atomicity(true, NULL);
    atomicity(false, "atomicity");
}

/* A and B deliver the same safe message on their way, but A in the regular
 * configuration, B in the transitional one. */
static void test_atomicity_of_each(void)
{
    struct story s = story_of_three();
    uint32_t b = sends(&s, B, true);
    delivers(&s, A, B, 1, b, true);
    stops(&s, C, TRACE_CRASHED);
    for (uint32_t node = A; node <= B; node++) {
        transitional(&s, node, 8, 12, 3);
        if (node == B)
            delivers(&s, B, B, 1, b, true);
        regular(&s, node, 8, 12, 0);
    }
    story_ends(&s, "atomicity");
}

// --- 5: causal
// --------------------------------------------------------------------------

static void test_own_order(void)
{
    struct story s = story_of_three();
    sends(&s, A, false);
    uint32_t second = sends(&s, A, false);
    delivers(&s, B, A, 2, second, false);
    story_ends(&s, "causal");
}

/* B answers what it saw of A; C delivers the answer without the question, in
 * its transitional configuration, which A is not in. */
static void test_answer_without_question(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false);
    delivers(&s, A, A, 1, a, false);
    delivers(&s, B, A, 1, a, false);
    uint32_t b = sends(&s, B, false);
    delivers(&s, B, B, 2, b, false);
    stops(&s, A, TRACE_CRASHED);
    transitional(&s, C, 8, 23, 1);
    delivers(&s, C, B, 2, b, false);
    story_ends(&s, "causal");
}

/* The answer is ordered before the question. */
static void test_answer_before_question(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false);
    delivers(&s, B, A, 5, a, false);
    uint32_t b = sends(&s, B, false);
    delivers(&s, C, B, 2, b, false);
    trace_check(s.t);
    CU_ASSERT_PTR_NOT_NULL(trace_violation(s.t))
    trace_free(s.t);
}

// --- 6: agreed
// ----------------------------------------------------------------------------

static void test_opposite_order(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false), b = sends(&s, B, false);
    delivers(&s, A, A, 1, a, false);
    delivers(&s, A, B, 2, b, false);
    delivers(&s, B, B, 2, b, false);
    delivers(&s, B, A, 1, a, false);
    story_ends(&s, "agreed");
}

static void test_two_places(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false);
    delivers(&s, A, A, 1, a, false);
    delivers(&s, B, A, 2, a, false);
    story_ends(&s, "basic");
}

static void test_one_place_for_two(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false), b = sends(&s, B, false);
    delivers(&s, A, A, 1, a, false);
    delivers(&s, B, B, 1, b, false);
    story_ends(&s, "agreed");
}

/* A gap in the regular configuration is never right. */
static void test_regular_gap(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, false), b = sends(&s, B, false);
    delivers(&s, A, A, 1, a, false);
    delivers(&s, B, B, 2, b, false);
    story_ends(&s, "agreed");
}

/* In the transitional one, only of a sender that is not in it. C has two
 * messages in the ring, A one after the first; B misses C's first. */
static void transitional_gap(unsigned together, unsigned left,
                             const char *violated)
{
    struct story s = story_of_three();
    uint32_t c = sends(&s, C, false), a = sends(&s, A, false);
    delivers(&s, C, C, 1, c, false);
    delivers(&s, C, A, 2, a, false);
    stops(&s, C, TRACE_CRASHED);
    transitional(&s, A, 8, together, left);
    transitional(&s, B, 8, together, left);
    delivers(&s, A, A, 2, a, false);
    delivers(&s, B, A, 2, a, false);
    if (violated == NULL) {
        regular(&s, A, 8, 12, 0);
        regular(&s, B, 8, 12, 0);
    }
    story_ends(&s, violated);
}

static void test_transitional_gap(void)
{
    transitional_gap(12, 3, NULL);
    transitional_gap(123, 0, "agreed");
}

// --- 7: safe
// ------------------------------------------------------------------------------

/* A delivers a safe message in the regular configuration; the others must. */
static void safe(enum trace_end end, bool moves, bool late,
                 const char *violated)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, true);
    delivers(&s, A, A, 1, a, true);
    delivers(&s, B, A, 1, a, true);
    if (moves) {
        transitional(&s, C, 8, 3, 12);
        if (late)
            delivers(&s, C, A, 1, a, true);
        regular(&s, C, 8, 3, 0);
    }
    stops(&s, C, end);
    story_ends(&s, violated);
}

static void test_safe(void)
{
    safe(TRACE_ALIVE, false, false, "safe");
    safe(TRACE_ALIVE, true, false, "safe");
    safe(TRACE_CRASHED, true, false, "safe");
    safe(TRACE_CRASHED, true, true, NULL);
    safe(TRACE_ALIVE, true, true, NULL);
    safe(TRACE_CRASHED, false, false, NULL);
}

/* A member that never installed the ring where a safe message was delivered. */
static void safe_not_installed(bool fails, const char *violated)
{
    struct story s = story_begin();
    for (uint32_t node = A; node <= C; node++)
        regular(&s, node, 4, node, node);
    for (uint32_t node = A; node <= B; node++) {
        transitional(&s, node, 8, node, 0);
        regular(&s, node, 8, 123, node == A ? 23 : 13);
    }
    uint32_t a = sends(&s, A, true);
    delivers(&s, A, A, 1, a, true);
    delivers(&s, B, A, 1, a, true);
    if (fails)
        stops(&s, C, TRACE_CRASHED);
    story_ends(&s, violated);
}

static void test_safe_not_installed(void)
{
    safe_not_installed(true, NULL);
    safe_not_installed(false, "safe");
}

/* A delivers B's safe message in the transitional configuration of A and B, but
 * B takes another way after all, and owes it just the same. */
static void safe_promise(bool kept, const char *violated)
{
    struct story s = story_of_three();
    uint32_t c = sends(&s, C, true);
    stops(&s, C, TRACE_CRASHED);
    transitional(&s, A, 8, 12, 3);
    delivers(&s, A, C, 1, c, true);
    regular(&s, A, 8, 12, 0);
    transitional(&s, B, 12, 2, 13);
    if (kept)
        delivers(&s, B, C, 1, c, true);
    regular(&s, B, 12, 2, 0);
    story_ends(&s, violated);
}

static void test_safe_promise(void)
{
    safe_promise(true, NULL);
    safe_promise(false, "safe");
}

/* What nobody delivered in a regular configuration is owed by nobody else. */
static void test_safe_transitional(void)
{
    struct story s = story_of_three();
    uint32_t a = sends(&s, A, true);
    transitional(&s, A, 8, 1, 23);
    delivers(&s, A, A, 1, a, true);
    regular(&s, A, 8, 1, 0);
    transitional(&s, B, 12, 23, 1);
    regular(&s, B, 12, 23, 0);
    transitional(&s, C, 12, 23, 1);
    regular(&s, C, 12, 23, 0);
    story_ends(&s, NULL);
}

static const struct unit_test tests[] = {
    {"all kept", test_all_is_kept},
    {"never sent", test_never_sent},
    {"delivered twice", test_twice},
    {"wrong sender", test_wrong_sender},
    {"torn", test_torn},
    {"wrong guarantee", test_wrong_guarantee},
    {"other configuration", test_other_configuration},
    {"before any configuration", test_before_any_configuration},
    {"abandoned", test_abandoned},
    {"half sent", test_half_sent},
    {"two regular", test_two_regular},
    {"two transitional", test_two_transitional},
    {"first transitional with others", test_first_with_others},
    {"one ring id, two sets", test_one_id_two_sets},
    {"one ring id, two lives", test_one_id_two_lives},
    {"without self", test_without_self},
    {"back to a lower ring", test_back_to_lower},
    {"wrong left", test_wrong_left},
    {"wrong joined", test_wrong_joined},
    {"restarted", test_restarted},
    {"different transitional", test_different_transitional},
    {"self-delivery", test_self_delivery},
    {"atomicity", test_atomicity},
    {"atomicity of each configuration", test_atomicity_of_each},
    {"own order", test_own_order},
    {"answer without question", test_answer_without_question},
    {"answer before question", test_answer_before_question},
    {"opposite order", test_opposite_order},
    {"two places", test_two_places},
    {"one place for two", test_one_place_for_two},
    {"gap in regular", test_regular_gap},
    {"gap in transitional", test_transitional_gap},
    {"safe", test_safe},
    {"safe, not installed", test_safe_not_installed},
    {"safe, promise", test_safe_promise},
    {"safe, transitional only", test_safe_transitional},
};

UNIT_MAIN("sim_check", tests)
