// SPDX-License-Identifier: BSD-3-Clause
/* test_seal.c - sealed packets, and what a recording of them is worth. */
#include "test/unit/seal_box.h"

/* --- the packet ----------------------------------------------------------- */

static void test_round_trip(void)
{
    static const enum seal_cipher ciphers[] = {SEAL_AES_256_GCM,
                                               SEAL_CHACHA20_POLY1305};
    for (size_t c = 0; c < 2; c++) {
        struct seal_config a_config = config_of(1, 0);
        struct seal_config b_config = config_of(2, 0);
        a_config.cipher = b_config.cipher = ciphers[c];
        struct seal *a = seal_new(&a_config), *b = seal_new(&b_config);
        CU_ASSERT_FATAL(a != NULL && b != NULL);
        talk(a, b, hello(a));
        for (size_t size = 1; size < 9000; size += 1 + size / 3) {
            struct packet p = say(a, size);
            CU_ASSERT(hear(b, &p) == SEAL_OK);
            CU_ASSERT(last.node_id == 1 && last.plain_size == size);
            CU_ASSERT(last.reply_size == 0);
            for (size_t i = 0; i < size; i++)
                CU_ASSERT_FATAL(last_plain[i] == (uint8_t)(i * 5 % 240));
        }
        seal_free(a);
        seal_free(b);
    }
}

static void test_layout(void)
{
    struct seal *a = start(1, 3);
    struct packet p = say(a, 16), q = say(a, 16);
    CU_ASSERT(p.n == 56);
    CU_ASSERT(p.bytes[0] == 0xA1 && p.bytes[1] == 3);
    for (int i = 4; i < 16; i++)
        CU_ASSERT(p.bytes[i] == 0x13);
    CU_ASSERT(p.bytes[16] == 1 && q.bytes[16] == 2); /* the counter */
    CU_ASSERT(memcmp(p.bytes + 24, q.bytes + 24, 32) != 0);
    seal_free(a);
}

static void test_every_bit_counts(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    talk(a, b, hello(a));
    struct packet p = say(a, 40);
    for (size_t i = 0; i < p.n * 8; i++) {
        struct packet bad = p;
        bad.bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
        enum seal_result r = hear(b, &bad);
        CU_ASSERT(r != SEAL_OK && r != SEAL_VERIFIED && r != SEAL_UNVERIFIED);
        CU_ASSERT(last.reply_size == 0);
    }
    for (size_t n = 0; n < p.n; n++) {
        struct packet cut = p;
        cut.n = n;
        enum seal_result r = hear(b, &cut);
        CU_ASSERT(r == (n <= 40 ? SEAL_FOREIGN : SEAL_BAD_DIGEST));
    }
    CU_ASSERT(hear(b, &p) == SEAL_OK); /* none of it used up its counter */
    seal_free(a);
    seal_free(b);
}

/* A token that is sent on to another node than its sender meant, while it is
 * new, would make two of them. */
static void test_for_one_node(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0), *c = start(3, 0);
    talk(a, b, hello(a));
    talk(a, c, hello(a));
    struct packet p = {0}, all;
    p.n = seal_packet_to(a, 2, (struct bytes){(const uint8_t *)"token", 5},
                         p.bytes);
    CU_ASSERT(p.n == 5 + SEAL_OVERHEAD);
    CU_ASSERT(hear(c, &p) == SEAL_BAD_DIGEST);
    all = p;
    all.bytes[0] = 0xA1;
    CU_ASSERT(hear(c, &all) == SEAL_BAD_DIGEST);
    CU_ASSERT(hear(b, &all) == SEAL_BAD_DIGEST);
    CU_ASSERT(hear(b, &p) == SEAL_OK && last.plain_size == 5);
    CU_ASSERT(hear(b, &p) == SEAL_REPLAY);
    all = say(a, 5);
    all.bytes[0] = 0xA2;
    CU_ASSERT(hear(b, &all) == SEAL_BAD_DIGEST);
    seal_free(a);
    seal_free(b);
    seal_free(c);
}

static void test_says_why(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    struct packet p = say(a, 40);
    p.bytes[0] ^= 8;
    CU_ASSERT(hear(b, &p) == SEAL_FOREIGN);
    p = say(a, 40);
    p.bytes[1] = 2; /* of an older release */
    CU_ASSERT(hear(b, &p) == SEAL_VERSION);
    p.bytes[1] = 4;
    CU_ASSERT(hear(b, &p) == SEAL_VERSION);
    CU_ASSERT(accepted(b, b) == false && seal_counts(b)[SEAL_OWN] == 1);

    struct seal_config other = config_of(1, 1);
    uint8_t key[SEAL_KEY_SIZE];
    memcpy(key, the_key, sizeof key);
    key[127] ^= 1;
    other.key = key;
    struct seal *stranger = seal_new(&other);
    CU_ASSERT_FATAL(stranger != NULL);
    struct packet q = say(stranger, 40);
    CU_ASSERT(hear(b, &q) == SEAL_OTHER_KEY);
    memcpy(q.bytes + 2, p.bytes + 2, 2); /* our key id, over his key */
    CU_ASSERT(hear(b, &q) == SEAL_BAD_DIGEST);
    CU_ASSERT(last.reply_size == 0);
    seal_free(stranger);

    other = config_of(1, 1);
    other.cipher = SEAL_CHACHA20_POLY1305;
    stranger = seal_new(&other);
    CU_ASSERT_FATAL(stranger != NULL);
    q = say(stranger, 40);
    CU_ASSERT(hear(b, &q) == SEAL_OTHER_KEY);
    seal_free(stranger);

    const uint64_t *counts = seal_counts(b);
    CU_ASSERT(counts[SEAL_FOREIGN] == 1 && counts[SEAL_VERSION] == 2);
    CU_ASSERT(counts[SEAL_OTHER_KEY] == 2 && counts[SEAL_BAD_DIGEST] == 1);
    for (int i = 0; i < SEAL_RESULT_COUNT; i++)
        CU_ASSERT(strcmp(seal_result_name((enum seal_result)i), "?") != 0);
    seal_free(a);
    seal_free(b);
}

/* --- the handshake -------------------------------------------------------- */

static void test_handshake(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    struct packet p = hello(a);
    CU_ASSERT(hear(b, &p) == SEAL_UNVERIFIED);
    struct packet challenge = reply();
    CU_ASSERT(hear(a, &challenge) == SEAL_UNVERIFIED);
    struct packet response = reply(); /* with a's challenge in it */
    CU_ASSERT(hear(b, &response) == SEAL_VERIFIED);
    CU_ASSERT(last.node_id == 1);
    struct packet answer = reply();
    CU_ASSERT(hear(a, &answer) == SEAL_VERIFIED);
    CU_ASSERT(last.node_id == 2 && last.reply_size == 0);
    CU_ASSERT(accepted(a, b) && accepted(b, a));
    /* Once more: all had, or harmless. */
    CU_ASSERT(hear(b, &p) == SEAL_REPLAY);
    CU_ASSERT(hear(b, &response) == SEAL_REPLAY);
    CU_ASSERT(hear(a, &challenge) == SEAL_REPLAY);
    CU_ASSERT(hear(a, &answer) == SEAL_REPLAY);
    p = hello(a);
    CU_ASSERT(hear(b, &p) == SEAL_HANDSHAKE && last.reply_size == 0);
    seal_free(a);
    seal_free(b);
}

/* Any packet starts it; none is acted upon before it ends, nor after it if
 * older than the response. */
static void test_nothing_before_verified(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    struct packet early = say(a, 100), held = say(a, 100);
    CU_ASSERT(hear(b, &early) == SEAL_UNVERIFIED);
    struct packet challenge = reply();
    CU_ASSERT(hear(b, &early) == SEAL_LIMITED); /* paced */
    CU_ASSERT(last.reply_size == 0);
    now += 11 * ms;
    CU_ASSERT(hear(b, &early) == SEAL_UNVERIFIED);
    CU_ASSERT(last.reply_size > 0);
    hear(a, &challenge); /* the first still does */
    struct packet response = reply();
    CU_ASSERT(hear(b, &response) == SEAL_VERIFIED);
    CU_ASSERT(hear(b, &held) == SEAL_REPLAY);
    CU_ASSERT(hear(b, &early) == SEAL_REPLAY);
    CU_ASSERT(accepted(a, b));
    seal_free(a);
    seal_free(b);
}

static void test_late_response(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    struct packet p = say(a, 10);
    hear(b, &p);
    struct packet challenge = reply();
    hear(a, &challenge);
    struct packet response = reply();
    now += 2000 * ms;
    CU_ASSERT(hear(b, &response) == SEAL_UNVERIFIED);
    /* It carried a's challenge, which was answered; and that answer brought a
     * new challenge, or the next packet does. */
    now += 11 * ms;
    talk(a, b, say(a, 10));
    CU_ASSERT(accepted(a, b));
    seal_free(a);
    seal_free(b);
}

static void test_answers_are_bounded(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    struct packet p = say(a, 10);
    hear(b, &p);
    struct packet challenge = reply();
    int answers = 0;
    for (int i = 0; i < 1000; i++) {
        hear(a, &challenge);
        answers += last.reply_size > 0;
    }
    CU_ASSERT(answers > 0 && answers < 20);
    now += 11 * ms;
    hear(a, &challenge);
    CU_ASSERT(last.reply_size > 0);
    seal_free(a);
    seal_free(b);
}

/* A challenge to the process that was here before is not answered: it gets a
 * challenge itself, the same that any other packet would get. */
static void test_challenge_of_another(void)
{
    struct seal *a1 = start(1, 0), *a2 = start(1, 1), *b = start(2, 0);
    struct packet p = say(a1, 10);
    hear(b, &p);
    struct packet challenge = reply();
    CU_ASSERT(hear(a2, &challenge) == SEAL_UNVERIFIED);
    struct packet first = reply();
    CU_ASSERT(hear(a2, &challenge) == SEAL_UNVERIFIED);
    CU_ASSERT(last.reply_size == 0); /* paced as challenges are */
    CU_ASSERT(hear(b, &first) == SEAL_UNVERIFIED);
    seal_free(a1);
    seal_free(a2);
    seal_free(b);
}

/* Both start at once, over a network that loses, repeats and reorders. */
static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)random_state * n >> 32);
}

static bool bad_network(uint32_t seed)
{
    enum { FLIGHT = 64 };
    static struct {
        struct packet p;
        int to;
    } flight[FLIGHT];
    struct seal *nodes[2] = {start(1, 0), start(2, 0)};
    uint32_t count = 0;
    bool heard[2] = {false, false};
    random_state = seed;
    for (int step = 0; step < 3000 && !(heard[0] && heard[1]); step++) {
        now += ms;
        if (count < FLIGHT - 8) {
            int from = (int)random_below(2);
            flight[count].p = random_below(4) == 0 ? hello(nodes[from])
                                                   : say(nodes[from], 20);
            flight[count++].to = 1 - from;
        }
        if (random_below(3) == 0)
            continue;
        uint32_t i = random_below(count);
        int to = flight[i].to;
        if (random_below(10) < 7) /* else lost */
            heard[to] |= hear(nodes[to], &flight[i].p) == SEAL_OK;
        else
            last.reply_size = 0;
        if (random_below(4) > 0) /* else it comes again */
            flight[i] = flight[--count];
        if (last.reply_size > 0 && count < FLIGHT) {
            flight[count].p = reply();
            flight[count++].to = 1 - to;
        }
    }
    uint32_t node;
    CU_ASSERT(seal_conflicts(nodes[0], &node) == 0);
    CU_ASSERT(seal_conflicts(nodes[1], &node) == 0);
    seal_free(nodes[0]);
    seal_free(nodes[1]);
    return heard[0] && heard[1];
}

static void test_bad_network(void)
{
    for (uint32_t seed = 1; seed <= 200; seed++)
        if (!bad_network(seed)) {
            printf("seed %u: never verified\n", seed);
            CU_FAIL("never verified");
        }
}

/* --- recordings ----------------------------------------------------------- */

struct recording {
    struct packet *packets;
    size_t count;
};

static void record(struct recording *r, struct packet p)
{
    r->packets = realloc(r->packets, (r->count + 1) * sizeof *r->packets);
    CU_ASSERT_FATAL(r->packets != NULL);
    r->packets[r->count++] = p;
}

/* All that two nodes say to each other while they start and work. */
static void record_talk(struct recording *r, struct seal *from, struct seal *to,
                        struct packet p)
{
    for (;;) {
        record(r, p);
        hear(to, &p);
        if (last.reply_size == 0)
            return;
        p = reply();
        struct seal *next = from;
        from = to;
        to = next;
    }
}

static void record_run(struct recording *r, struct seal *a, struct seal *b)
{
    record_talk(r, a, b, hello(a));
    for (int i = 0; i < 20; i++) {
        record_talk(r, a, b, say(a, 30));
        record_talk(r, b, a, say(b, 30));
    }
}

/* Plays it back in order, several times, with the answers the victims give. */
static void play(const struct recording *r, struct seal *a, struct seal *b)
{
    struct seal *nodes[] = {a, b};
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < r->count; i++)
            for (int to = 0; to < 2; to++) {
                now += ms;
                enum seal_result result = hear(nodes[to], &r->packets[i]);
                CU_ASSERT_FATAL(result != SEAL_OK);
                CU_ASSERT_FATAL(result != SEAL_VERIFIED);
                if (last.reply_size == 0)
                    continue;
                struct packet p = reply();
                CU_ASSERT_FATAL(hear(nodes[1 - to], &p) != SEAL_OK);
            }
}

static void test_recording_of_this_run(void)
{
    struct recording r = {0};
    struct seal *a = start(1, 0), *b = start(2, 0);
    record_run(&r, a, b);
    play(&r, a, b);
    CU_ASSERT(accepted(a, b) && accepted(b, a));
    seal_free(a);
    seal_free(b);
    free(r.packets);
}

static void test_recording_of_earlier_run(void)
{
    for (int restarted = 1; restarted < 4; restarted++) {
        struct recording r = {0};
        struct seal *a = start(1, 0), *b = start(2, 0);
        record_run(&r, a, b);
        if (restarted & 1) {
            seal_free(a);
            a = start(1, 1);
        }
        if (restarted & 2) {
            seal_free(b);
            b = start(2, 1);
        }
        now += 11 * ms;
        talk(a, b, hello(a));
        CU_ASSERT(accepted(a, b) && accepted(b, a));
        struct recording old = r;
        play(&old, a, b);
        CU_ASSERT(accepted(a, b) && accepted(b, a));
        seal_free(a);
        seal_free(b);
        free(r.packets);
    }
}

/* Nobody is there yet but the attacker: the first to start hears only him. */
static void test_recording_at_start(void)
{
    struct recording r = {0};
    struct seal *a = start(1, 0), *b = start(2, 0);
    record_run(&r, a, b);
    seal_free(a);
    seal_free(b);
    b = start(2, 1);
    struct seal *c = start(3, 0);
    play(&r, b, c);
    CU_ASSERT(seal_counts(b)[SEAL_OK] == 0);
    seal_free(b);
    seal_free(c);
    free(r.packets);
}

/* A session that lost its place is not brought back by its old response, not
 * even at once. */
static void test_response_serves_once(void)
{
    struct seal_config c = config_of(9, 0);
    c.node_max = 1;
    struct seal *b = seal_new(&c), *a = start(1, 0), *d = start(4, 0);
    CU_ASSERT_FATAL(b != NULL);
    struct packet p = hello(a);
    hear(b, &p);
    struct packet challenge = reply();
    hear(a, &challenge);
    struct packet response = reply(), after = say(a, 10);
    CU_ASSERT(hear(b, &response) == SEAL_VERIFIED);
    CU_ASSERT(hear(b, &after) == SEAL_OK);
    talk(d, b, hello(d));
    CU_ASSERT(accepted(d, b)); /* the only place is d's now */
    CU_ASSERT(hear(b, &response) == SEAL_UNVERIFIED);
    CU_ASSERT(hear(b, &after) == SEAL_UNVERIFIED);
    now += 11 * ms;
    talk(a, b, say(a, 10)); /* a itself can, with a new one */
    CU_ASSERT(hear(b, &after) == SEAL_REPLAY);
    CU_ASSERT(accepted(a, b));
    seal_free(a);
    seal_free(b);
    seal_free(d);
}

/* --- many, and twice the same --------------------------------------------- */

static void test_restart_is_fast(void)
{
    struct seal *b = start(2, 0);
    for (uint8_t run = 0; run < 8; run++) {
        struct seal *a = start(1, run);
        talk(a, b, say(a, 10));
        CU_ASSERT(accepted(a, b) && accepted(b, a));
        seal_free(a);
    }
    uint32_t node;
    CU_ASSERT(seal_conflicts(b, &node) == 0);
    seal_free(b);
}

static void test_node_id_twice(void)
{
    struct seal *b = start(2, 0), *a1 = start(1, 0), *a2 = start(1, 1);
    uint32_t node = 0;
    for (int i = 0; i < 3; i++) {
        talk(a1, b, say(a1, 10));
        now += 11 * ms;
        talk(a2, b, say(a2, 10));
        now += 11 * ms;
    }
    CU_ASSERT(seal_conflicts(b, &node) == 4 && node == 1);
    /* And mine. */
    struct packet p = hello(a2);
    CU_ASSERT(seal_conflicts(a1, &node) == 0);
    talk(a2, a1, p);
    CU_ASSERT(seal_conflicts(a1, &node) == 1 && node == 1);
    CU_ASSERT(!accepted(a2, a1));
    seal_free(a1);
    seal_free(a2);
    seal_free(b);
}

/* With room for 8 verified nodes and 10 about, the quiet ones make room, and
 * come back when they speak. */
static void test_more_nodes_than_room(void)
{
    struct seal *b = start(11, 0), *nodes[10];
    for (uint32_t i = 0; i < 10; i++) {
        nodes[i] = start(i + 1, 0);
        talk(nodes[i], b, hello(nodes[i]));
        CU_ASSERT(i == 0 || accepted(nodes[0], b)); /* 0 is never quiet */
        now += 11 * ms;
    }
    CU_ASSERT(accepted(nodes[0], b));
    CU_ASSERT(accepted(nodes[9], b) && accepted(nodes[3], b));
    CU_ASSERT(!accepted(nodes[1], b));
    now += 11 * ms;
    talk(nodes[1], b, say(nodes[1], 10));
    CU_ASSERT(accepted(nodes[1], b) && accepted(nodes[0], b));
    for (uint32_t i = 0; i < 10; i++)
        seal_free(nodes[i]);
    seal_free(b);
}

/* Thousands of salts, all with a right tag: verified sessions are not touched,
 * nor kept from being made. */
static void test_many_salts(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0), *c = start(3, 0);
    talk(a, b, hello(a));
    struct packet sample = say(a, 10), p;
    for (uint32_t i = 0; i < 3000; i++) {
        uint8_t salt[SEAL_SALT_SIZE] = {(uint8_t)i, (uint8_t)(i >> 8), 0xEE};
        struct forge f;
        forge_init(&f, (struct bytes){sample.bytes, sample.n}, the_key, salt,
                   home);
        p.n = forge_packet(&f, 1, (struct bytes){(const uint8_t *)"x", 1},
                           p.bytes);
        now += ms; /* or they would not be looked at */
        CU_ASSERT(hear(b, &p) == SEAL_UNVERIFIED);
        forge_deinit(&f);
    }
    CU_ASSERT(accepted(a, b));
    talk(c, b, hello(c));
    CU_ASSERT(accepted(c, b) && accepted(b, c));
    seal_free(a);
    seal_free(b);
    seal_free(c);
}

/* --- the window ----------------------------------------------------------- */

static void test_window(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    talk(a, b, hello(a));
    struct packet first = say(a, 1), second = say(a, 1);
    for (int i = 0; i < SESSION_WINDOW - 2; i++)
        say(a, 1);
    struct packet newest = say(a, 1);
    CU_ASSERT(hear(b, &newest) == SEAL_OK);
    CU_ASSERT(hear(b, &first) == SEAL_REPLAY); /* just too old to tell */
    CU_ASSERT(hear(b, &second) == SEAL_OK);    /* just not */
    CU_ASSERT(hear(b, &second) == SEAL_REPLAY);
    CU_ASSERT(hear(b, &newest) == SEAL_REPLAY);
    seal_free(a);
    seal_free(b);
}

/* Against a plain list of what was heard. */
static void test_window_model(void)
{
    enum { RANGE = 200000 };
    static uint8_t heard[RANGE];
    static struct session s;
    s.floor = s.highest = 100;
    random_state = 7;
    memset(heard, 0, sizeof heard);
    uint64_t top = 100;
    for (int i = 0; i < 300000; i++) {
        uint64_t c;
        uint32_t way = random_below(100);
        if (way < 60)
            c = top + 1 + random_below(3);
        else if (way < 99)
            c = top - (top < 20000 ? random_below((uint32_t)top)
                                   : random_below(20000));
        else
            c = top + random_below(i % 50 == 0 ? 40000 : 200);
        if (c >= RANGE)
            break;
        bool fresh = c > 100 && !heard[c] && c + SESSION_WINDOW > top;
        CU_ASSERT_FATAL(session_is_fresh(&s, c) == fresh);
        if (!fresh)
            continue;
        session_mark(&s, c);
        heard[c] = 1;
        top = c > top ? c : top;
    }
    CU_ASSERT(top > RANGE / 2);
    s.highest = UINT64_MAX - 1;
    CU_ASSERT(!session_is_fresh(&s, UINT64_MAX));
    CU_ASSERT(session_is_fresh(&s, UINT64_MAX - 2));
    s.highest = 200; /* a leap is no work */
    session_mark(&s, UINT64_MAX - 1);
    CU_ASSERT(!session_is_fresh(&s, UINT64_MAX - 1));
    CU_ASSERT(session_is_fresh(&s, UINT64_MAX - SESSION_WINDOW));
    CU_ASSERT(!session_is_fresh(&s, UINT64_MAX - SESSION_WINDOW - 1));
}

/* --- handshakes that make no sense ---------------------------------------- */

static void test_malformed_handshakes(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    struct packet sample = say(a, 10), p;
    uint8_t salt[SEAL_SALT_SIZE] = {9, 9, 9}, plain[200];
    struct forge f;
    forge_init(&f, (struct bytes){sample.bytes, sample.n}, the_key, salt, home);
    uint64_t counter = 0;
    for (size_t n = 1; n < sizeof plain; n++)
        for (int kind = 0xF0; kind <= 0xFF; kind++) {
            memset(plain, (int)(n + counter), sizeof plain);
            plain[0] = (uint8_t)kind;
            now += 11 * ms;
            p.n =
                forge_packet(&f, ++counter, (struct bytes){plain, n}, p.bytes);
            CU_ASSERT(hear(b, &p) == SEAL_UNVERIFIED);
            CU_ASSERT(last.reply_size > 0); /* who are you? */
        }
    forge_deinit(&f);
    seal_free(a);
    seal_free(b);
}

static const struct unit_test tests[] = {
    {"round trip", test_round_trip},
    {"layout", test_layout},
    {"every bit counts", test_every_bit_counts},
    {"for one node", test_for_one_node},
    {"says why", test_says_why},
    {"handshake", test_handshake},
    {"nothing before verified", test_nothing_before_verified},
    {"late response", test_late_response},
    {"answers are bounded", test_answers_are_bounded},
    {"challenge of another", test_challenge_of_another},
    {"bad network", test_bad_network},
    {"recording of this run", test_recording_of_this_run},
    {"recording of an earlier run", test_recording_of_earlier_run},
    {"recording at start", test_recording_at_start},
    {"a response serves once", test_response_serves_once},
    {"fast restart", test_restart_is_fast},
    {"node id twice", test_node_id_twice},
    {"more nodes than room", test_more_nodes_than_room},
    {"many salts", test_many_salts},
    {"replay window", test_window},
    {"replay window against a model", test_window_model},
    {"malformed handshakes", test_malformed_handshakes},
};
UNIT_MAIN("seal", tests)
