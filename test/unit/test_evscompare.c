/* SPDX-License-Identifier: BSD-3-Clause */
/* The judge is judged: evscompare must take good traces and refuse doctored
 * ones. Each test writes the traces of up to three clients and runs it. */
#include "test/evstrace.h"
#include "test/unit/unit.h"

#include <libgen.h>
#include <limits.h>
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

static void test_lost_first(void)
{
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        ring(i, 2, 7);
        transition(i, 4, 7);
        ring(i, 4, 7); /* so all see ring 4 from its start */
        messages(i, i == 2 ? 2 : 1, 5);
    }
    CU_ASSERT_EQUAL(judge(""), 1);
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

static const struct unit_test tests[] = {
    {"good traces", test_good},
    {"late and killed clients", test_good_late_and_cut},
    {"no common ring at the end", test_final},
    {"no messages at all", test_too_few},
    {"two messages exchanged", test_order},
    {"order across partitions", test_order_over_partitions},
    {"a gap at all", test_gap},
    {"first message lost at one", test_lost_first},
    {"a message twice", test_repeat},
    {"a message again after reconnecting", test_repeat_after_reconnect},
    {"content differs", test_content},
    {"transitional message at one of two", test_atomicity},
    {"last message lacks at one", test_atomicity_last},
    {"one ring, two member lists", test_ring_twice},
    {"ring sequence goes back", test_ring_backwards},
    {"no transitional configuration", test_no_transition},
    {"client not in its ring", test_not_a_member},
    {"not a trace", test_not_a_trace},
};

UNIT_MAIN("evscompare", tests)
