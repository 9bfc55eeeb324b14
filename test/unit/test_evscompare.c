/* SPDX-License-Identifier: BSD-3-Clause */
/* The judge is judged: evscompare must take good traces and refuse doctored
 * ones. Each test writes the traces of up to three clients and runs it. */
#include "test/evstrace.h"
#include "test/unit/unit.h"

#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLIENTS = 3 };

static char folder[64];
static FILE *out[CLIENTS];

static void put(int client, enum trace_kind kind, uint32_t index, uint32_t low,
                uint64_t value)
{
    struct trace_record r = trace_record(kind, index, low, value);
    CU_ASSERT_EQUAL_FATAL(fwrite(&r, sizeof r, 1, out[client]), 1);
}

static void path(char *to, size_t size, int client)
{
    snprintf(to, size, "%s/trace%d", folder, client);
}

static void begin(void)
{
    strcpy(folder, "/tmp/test_evscompareXXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    for (int i = 0; i < CLIENTS; i++) {
        char name[96];
        struct trace_header h = {TRACE_MAGIC, TRACE_VERSION,
                                 sizeof(struct trace_record)};
        path(name, sizeof name, i);
        out[i] = fopen(name, "wb");
        CU_ASSERT_PTR_NOT_NULL_FATAL(out[i]);
        fwrite(&h, sizeof h, 1, out[i]);
        put(i, TRACE_SECTION, 0, (uint32_t)i + 1, 100 + (uint64_t)i);
        for (uint32_t s = 0; s < CLIENTS; s++)
            put(i, TRACE_SENDER, s, s + 1, 100 + s);
    }
}

/* `members`: bit i stands for node i + 1. */
static void view(int client, enum trace_kind kind, uint64_t ring,
                 unsigned members)
{
    put(client, kind, (uint32_t)__builtin_popcount(members), 1, ring);
    put(client, TRACE_TIME, 0, 0, 0);
    for (uint32_t n = 0; n < CLIENTS; n++)
        if (members >> n & 1)
            put(client, TRACE_MEMBER, 0, n + 1, 0);
}

static void ring(int client, uint64_t seq, unsigned members)
{
    view(client, TRACE_CONFIGURATION, seq, members);
}

static void transition(int client, uint64_t seq, unsigned members)
{
    view(client, TRACE_TRANSITIONAL, seq, members);
}

static void message(int client, uint32_t sender, uint64_t seq)
{
    put(client, TRACE_MESSAGE, sender, sender * 1000 + (uint32_t)seq, seq);
}

/* A message whose sender had been delivered so many when it sent. */
static void answer(int client, uint32_t sender, uint64_t seq, uint64_t preceded)
{
    put(client, TRACE_PRECEDED, sender, 0, preceded);
    message(client, sender, seq);
}

static void safe(int client, uint32_t sender, uint64_t seq)
{
    put(client, TRACE_SAFE, sender, sender * 1000 + (uint32_t)seq, seq);
}

static void ends(int client, bool lost)
{
    put(client, TRACE_END, lost, (uint32_t)client + 1, 0);
}

/* Alternating messages of senders 0 and 1, numbers [from, to]. */
static void messages(int client, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        message(client, 0, seq);
        message(client, 1, seq);
    }
}

/* Runs evscompare over all traces; its exit status. */
static int judge(const char *option)
{
    char self[PATH_MAX], command[3 * PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    CU_ASSERT_FATAL(n > 0);
    self[n] = '\0';
    for (int i = 0; i < CLIENTS; i++)
        fclose(out[i]);
    snprintf(command, sizeof command,
             "%s/../evscompare %s %s/trace0 %s/trace1 %s/trace2 2>%s/err",
             dirname(self), option, folder, folder, folder, folder);
    int status = system(command);
    snprintf(command, sizeof command, "rm -r %s", folder);
    CU_ASSERT_EQUAL(system(command), 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* All in ring 4; client 2 goes alone, 0 and 1 together, then all again. What
 * differs from it is what each test is about. */
static void good_until_split(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        messages(i, 1, i == 2 ? 3 : 5);
        transition(i, 8, i == 2 ? 4 : 3);
    }
}

static void good_after_split(void)
{
    for (int i = 0; i < 2; i++) {
        ring(i, 8, 3);
        messages(i, 6, 8);
        transition(i, 12, 3);
    }
    ring(2, 9, 4);
    message(2, 2, 1);
    transition(2, 12, 4);
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 12, 7);
        messages(i, 9, 10);
        message(i, 2, 2);
    }
}

static void test_good(void)
{
    good_until_split();
    good_after_split();
    CU_ASSERT_EQUAL(judge("--final 3"), 0);
}

static void test_good_late_and_cut(void)
{
    begin();
    ring(0, 4, 7);
    messages(0, 1, 20);
    ring(1, 4, 7); /* connected late */
    messages(1, 7, 12);
    ring(2, 4, 7);
    messages(2, 9, 25);
    fputc(1, out[2]); /* killed in the middle of a record */
    CU_ASSERT_EQUAL(judge(""), 0);
}

static void test_final(void)
{
    good_until_split();
    good_after_split();
    transition(0, 16, 1);
    ring(0, 16, 1);
    CU_ASSERT_EQUAL(judge("--final 3"), 1);
}

static void test_too_few(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++)
        ring(i, 4, 7);
    CU_ASSERT_EQUAL(judge(""), 1);
}

static void test_order(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        messages(i, 1, 5);
        message(i, (uint32_t)(i == 2), 6);
        message(i, (uint32_t)(i != 2), 6);
        messages(i, 7, 9);
    }
    CU_ASSERT_EQUAL(judge(""), 1);
}

/* No two clients share a ring's view of both messages at its start; only the
 * common order can tell. */
static void test_order_over_partitions(void)
{
    begin();
    ring(0, 4, 3);
    message(0, 0, 1);
    transition(0, 8, 3);
    ring(0, 8, 3);
    message(0, 1, 1);
    ring(1, 8, 3);
    message(1, 1, 1);
    transition(1, 12, 2);
    ring(1, 12, 2);
    message(1, 0, 1);
    ring(2, 4, 7);
    CU_ASSERT_EQUAL(judge(""), 1);
}

static void test_gap(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        messages(i, 1, 5);
        messages(i, 7, 9); /* the same one lacks everywhere */
    }
    CU_ASSERT_EQUAL(judge(""), 1);
}

/* Node 1 is gone, but some of what it sent still comes, in the transitional
 * configuration: what is missing after that is no gap, until it is back. Of one
 * of its clients this is the first that is seen. */
static int back_again(bool gap)
{
    begin();
    ring(2, 4, 7);
    messages(2, 1, 2);
    transition(2, 4, 4);
    put(2, TRACE_SENDER, 3, 1, 300);
    message(2, 3, 5);
    message(2, 0, 3);
    ring(2, 8, 7);
    message(2, 3, 9);
    message(2, 0, 9);
    message(2, 0, gap ? 11 : 10);
    return judge("");
}

static void test_back_again(void)
{
    CU_ASSERT_EQUAL(back_again(false), 0);
    CU_ASSERT_EQUAL(back_again(true), 1);
}

/* All see ring 4 from its start, or client 2 has joined in the middle of it. */
static int lost_first(bool late)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        if (i < 2 || !late) {
            ring(i, 2, 7);
            transition(i, 4, 7);
        }
        ring(i, 4, 7);
        messages(i, i == 2 ? 2 : 1, 5);
    }
    return judge("");
}

static void test_lost_first(void)
{
    CU_ASSERT_EQUAL(lost_first(false), 1);
    CU_ASSERT_EQUAL(lost_first(true), 0);
}

static void test_repeat(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        messages(i, 1, 5);
        if (i == 1)
            message(i, 1, 5);
    }
    CU_ASSERT_EQUAL(judge(""), 1);
}

static void test_repeat_after_reconnect(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        messages(i, 1, 5);
    }
    put(1, TRACE_END, 1, 2, 0);
    put(1, TRACE_SECTION, 0, 2, 201);
    ring(1, 4, 7);
    messages(1, 5, 5);
    CU_ASSERT_EQUAL(judge(""), 1);
}

static void test_content(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        messages(i, 1, 5);
        put(i, TRACE_MESSAGE, 0, i == 1 ? 77 : 78, 6);
    }
    CU_ASSERT_EQUAL(judge(""), 1);
}

static void test_atomicity(void)
{
    good_until_split();
    message(0, 2, 1); /* in the transitional configuration, at one only */
    good_after_split();
    CU_ASSERT_EQUAL(judge(""), 1);
}

static void test_atomicity_last(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        messages(i, 1, i == 2 ? 4 : 5);
        transition(i, 8, 7);
        ring(i, 8, 7);
        message(i, 2, 1);
    }
    CU_ASSERT_EQUAL(judge(""), 1);
}

/* The same messages on the way, but the last one in the regular configuration
 * at two, in the transitional one at the third. */
static void atomicity_of_each(bool each)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        bool early = i < 2 || !each;
        ring(i, 4, 7);
        messages(i, 1, 5);
        if (early)
            message(i, 2, 1);
        transition(i, 8, 7);
        if (!early)
            message(i, 2, 1);
        ring(i, 8, 7);
    }
    CU_ASSERT_EQUAL(judge(""), each ? 1 : 0);
}

static void test_atomicity_of_each(void)
{
    atomicity_of_each(false);
    atomicity_of_each(true);
}

static void test_ring_twice(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, i == 2 ? 4 : 3);
        message(i, 0, 1);
    }
    CU_ASSERT_EQUAL(judge(""), 1);
}

static void test_ring_backwards(void)
{
    good_until_split();
    ring(0, 3, 3);
    CU_ASSERT_EQUAL(judge(""), 1);
}

static void test_no_transition(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        messages(i, 1, 2);
        ring(i, 8, 7);
    }
    CU_ASSERT_EQUAL(judge(""), 1);
}

static void test_not_a_member(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 3);
        messages(i, 1, 2);
    }
    CU_ASSERT_EQUAL(judge(""), 1);
}

static void test_not_a_trace(void)
{
    begin();
    rewind(out[0]);
    fputs("something else", out[0]);
    CU_ASSERT_EQUAL(judge(""), 2);
}

/* --- causality ------------------------------------------------------------ */

/* All were there when ring 4 began. */
static void story_begin(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 2, 7);
        transition(i, 2, 7);
        ring(i, 4, 7);
    }
}

/* To its next ring: clients 0 and 1 the same, client 2 another. */
static void goes(int client, unsigned members)
{
    ring(client, client < 2 ? 8 : 9, members);
}

static void test_causes_good(void)
{
    story_begin();
    for (int i = 0; i < CLIENTS; i++) {
        message(i, 0, 1);
        answer(i, 1, 1, 1);
        answer(i, 2, 1, 1);
        answer(i, 0, 2, 2);
        answer(i, 0, 3, 2);
        if (i < 2)
            answer(i, 1, 2, 5);
        transition(i, 4, i < 2 ? 3 : 4);
        goes(i, i < 2 ? 3 : 4);
        if (i < 2)
            answer(i, 0, 4, 6);
    }
    CU_ASSERT_EQUAL(judge(""), 0);
}

/* Client 0 comes late, is delivered a question, answers, and loses its daemon
 * before the answer came back. The others agree on which came first. */
static int answer_first(bool first)
{
    begin();
    ring(0, 4, 7);
    message(0, 2, 1);
    ends(0, true);
    for (int i = 1; i < CLIENTS; i++) {
        ring(i, 4, 7);
        if (!first)
            message(i, 2, 1);
        answer(i, 0, 1, 1);
        if (first)
            message(i, 2, 1);
    }
    return judge("");
}

static void test_answer_first(void)
{
    CU_ASSERT_EQUAL(answer_first(false), 0);
    CU_ASSERT_EQUAL(answer_first(true), 1);
}

/* An answer to what was only sent later, and was the answer to it. */
static void test_causes_in_a_circle(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        answer(i, 0, 1, 2);
        answer(i, 1, 1, 1);
    }
    CU_ASSERT_EQUAL(judge(""), 1);
}

/* Client 0 was delivered `a` and `b` of node 3, answers (the first answer after
 * `a` alone), and loses its daemon, as does client 2. Client 1 is told of it,
 * and delivers in its transitional configuration what `bits` say: 1: a, 2: the
 * first answer, 4: b, 8: the second. */
static int left_out(unsigned regular, unsigned bits)
{
    story_begin();
    for (unsigned i = 0; i < 2; i++)
        for (unsigned bit = 1; bit <= 8; bit *= 2) {
            if (i == 1 && bit == regular * 2)
                transition(1, 4, 2);
            if (i == 1 && !(bits & bit))
                continue;
            if (bit == 1 || bit == 4)
                message((int)i, 2, bit == 1 ? 1 : 2);
            else
                answer((int)i, 0, bit == 2 ? 1 : 2, bit == 2 ? 1 : 3);
        }
    ends(0, true);
    ends(2, true);
    goes(1, 2);
    return judge("");
}

static void test_left_out(void)
{
    CU_ASSERT_EQUAL(left_out(1, 15), 0);
    CU_ASSERT_EQUAL(left_out(1, 3), 0); /* b did not come, nor its answer */
    CU_ASSERT_EQUAL(left_out(4, 15), 0);
    CU_ASSERT_EQUAL(left_out(1, 11), 1); /* the answer to b, not b */
    CU_ASSERT_EQUAL(left_out(2, 11), 1);
}

/* Client 1 delivers b and its answer, not a, which the answer's sender had been
 * delivered before b. */
static int before_the_cause(bool left)
{
    story_begin();
    message(0, 1, 1);
    message(0, 2, 1);
    answer(0, 0, 1, 2);
    ends(0, true);
    ends(1, true);
    transition(2, 4, 4);
    if (!left)
        message(2, 1, 1);
    message(2, 2, 1);
    answer(2, 0, 1, 2);
    goes(2, 4);
    return judge("");
}

static void test_before_the_cause(void)
{
    CU_ASSERT_EQUAL(before_the_cause(false), 0);
    CU_ASSERT_EQUAL(before_the_cause(true), 1);
}

/* Its sender was delivered less than it says; or the trace was cut. */
static int more_than_delivered(bool ended, uint64_t elsewhere)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        message(i, 1, 1);
        answer(i, 0, 1, i == 1 ? elsewhere : 3);
    }
    if (ended)
        ends(0, false);
    return judge("");
}

static void test_more_than_delivered(void)
{
    CU_ASSERT_EQUAL(more_than_delivered(false, 3), 0);
    CU_ASSERT_EQUAL(more_than_delivered(true, 3), 1);
    CU_ASSERT_EQUAL(more_than_delivered(false, 4), 1);
}

/* --- safe ----------------------------------------------------------------- */

enum {
    IS_SAFE = 1,
    COMES = 2,      /* to client 2, in its transitional configuration */
    FAILS = 4,      /* client 2 ends in the ring */
    CONNECTED = 8,  /* client 2 comes into the ring when it has begun: */
    ANOTHER = 32,   /* SAFE, later, comes to client 2 */
    AFTERWARDS = 16 /* after the message in question */
};

static void maybe_safe(int client, int how, uint64_t seq)
{
    if (how & IS_SAFE)
        safe(client, 0, seq);
    else
        message(client, 0, seq);
}

/* Clients 0 and 1 deliver node 2's message, then the one in question. */
static int missed(int how)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        if (i < 2 || !(how & CONNECTED)) {
            ring(i, 2, 7);
            transition(i, 2, 7);
        }
        ring(i, 4, 7);
        if (i < 2 || !(how & AFTERWARDS)) {
            message(i, 1, 1);
            if (i < 2)
                maybe_safe(i, how, 1);
        }
        if (i < 2 || how & AFTERWARDS)
            message(i, 1, 2);
        if (i < 2 && how & ANOTHER)
            safe(i, 1, 3);
        if (i == 2 && how & FAILS) {
            ends(2, true);
            continue;
        }
        transition(i, 4, i < 2 ? 3 : 4);
        if (i == 2 && how & COMES)
            maybe_safe(i, how, 1);
        if (i == 2 && how & ANOTHER)
            safe(i, 1, 3);
        goes(i, i < 2 ? 3 : 4);
    }
    return judge("");
}

static void test_safe(void)
{
    CU_ASSERT_EQUAL(missed(0), 0);
    CU_ASSERT_EQUAL(missed(ANOTHER), 0);
    CU_ASSERT_EQUAL(missed(IS_SAFE | ANOTHER), 1);
    CU_ASSERT_EQUAL(missed(IS_SAFE), 1);
    CU_ASSERT_EQUAL(missed(IS_SAFE | COMES), 0);
    CU_ASSERT_EQUAL(missed(IS_SAFE | FAILS), 0);
    CU_ASSERT_EQUAL(missed(IS_SAFE | CONNECTED), 1);
    CU_ASSERT_EQUAL(missed(IS_SAFE | CONNECTED | COMES), 0);
    CU_ASSERT_EQUAL(missed(IS_SAFE | CONNECTED | AFTERWARDS), 0);
}

/* Clients 0 and 1 saw pieces of the ring that do not meet: which came first is
 * not known, so nothing is owed. With client 2, who saw both, it is. */
static int pieces_apart(bool witness)
{
    begin();
    ring(0, 4, 7);
    message(0, 1, 1);
    transition(0, 4, 1);
    goes(0, 1);
    ring(1, 4, 7);
    safe(1, 2, 1);
    ends(1, true);
    ring(2, 4, 7);
    if (witness) {
        message(2, 1, 1);
        safe(2, 2, 1);
    }
    return judge("");
}

static void test_safe_pieces_apart(void)
{
    CU_ASSERT_EQUAL(pieces_apart(false), 0);
    CU_ASSERT_EQUAL(pieces_apart(true), 1);
}

/* Client 2 leaves out a ring that counts it as a member. */
static int skipped(int how)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 2, 7);
        transition(i, 2, i < 2 ? 3 : 4);
        if (i < 2) {
            ring(i, 4, 7);
            maybe_safe(i, how, 1);
            transition(i, 4, 3);
        }
        if (i < 2 || !(how & FAILS))
            goes(i, i < 2 ? 3 : 4);
    }
    return judge("");
}

static void test_safe_skipped(void)
{
    CU_ASSERT_EQUAL(skipped(0), 0);
    CU_ASSERT_EQUAL(skipped(IS_SAFE), 1);
    CU_ASSERT_EQUAL(skipped(IS_SAFE | FAILS), 0);
}

/* Client 0 delivers it in a transitional configuration with node 3, which then
 * takes another way. */
static int promised(int how, unsigned together)
{
    story_begin();
    ends(1, true);
    transition(0, 4, together);
    maybe_safe(0, how, 1);
    goes(0, together);
    if (how & FAILS) {
        ends(2, true);
        return judge("");
    }
    transition(2, 4, 4);
    if (how & COMES)
        maybe_safe(2, how, 1);
    goes(2, 4);
    return judge("");
}

static void test_safe_promised(void)
{
    CU_ASSERT_EQUAL(promised(0, 5), 0);
    CU_ASSERT_EQUAL(promised(IS_SAFE, 5), 1);
    CU_ASSERT_EQUAL(promised(IS_SAFE | COMES, 5), 0);
    CU_ASSERT_EQUAL(promised(IS_SAFE | FAILS, 5), 0);
    CU_ASSERT_EQUAL(promised(IS_SAFE, 1), 0);
}

/* One was told that a message is SAFE, the others not. */
static void test_safe_differs(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 4, 7);
        maybe_safe(i, i == 1 ? IS_SAFE : 0, 1);
    }
    CU_ASSERT_EQUAL(judge(""), 1);
}

static const struct unit_test tests[] = {
    {"good traces", test_good},
    {"late and killed clients", test_good_late_and_cut},
    {"no common ring at the end", test_final},
    {"no messages at all", test_too_few},
    {"two messages exchanged", test_order},
    {"order across partitions", test_order_over_partitions},
    {"a gap at all", test_gap},
    {"what is missing of one that was gone", test_back_again},
    {"first message lost at one", test_lost_first},
    {"a message twice", test_repeat},
    {"a message again after reconnecting", test_repeat_after_reconnect},
    {"content differs", test_content},
    {"transitional message at one of two", test_atomicity},
    {"last message lacks at one", test_atomicity_last},
    {"last message in another configuration", test_atomicity_of_each},
    {"one ring, two member lists", test_ring_twice},
    {"ring sequence goes back", test_ring_backwards},
    {"no transitional configuration", test_no_transition},
    {"client not in its ring", test_not_a_member},
    {"not a trace", test_not_a_trace},
    {"causes in order", test_causes_good},
    {"an answer before what it answers", test_answer_first},
    {"two answers to each other", test_causes_in_a_circle},
    {"an answer without what it answers", test_left_out},
    {"an answer without what came before", test_before_the_cause},
    {"more causes than deliveries", test_more_than_delivered},
    {"safe, and missed", test_safe},
    {"safe, and seen apart", test_safe_pieces_apart},
    {"safe in a ring that was left out", test_safe_skipped},
    {"safe in a transitional configuration", test_safe_promised},
    {"safe at one only", test_safe_differs},
};

UNIT_MAIN("evscompare", tests)
