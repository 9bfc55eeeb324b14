// SPDX-License-Identifier: BSD-3-Clause
/* test_seal_attack.c - an attacker without the key that has overheard
 * everything: what it can relay, how much work it can cause, and a host that
 * was set back. */
#include "test/unit/seal_box.h"

static const uint64_t elsewhere = 78;

/* `p` as if it came from `source`. */
static enum seal_result hear_from(struct seal *to, const struct packet *p,
                                  uint64_t source)
{
    seen_from = source;
    enum seal_result result = hear(to, p);
    seen_from = home;
    return result;
}

/* --- addresses ------------------------------------------------------------ */

static void test_handed_on(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    struct packet p = hello(a), q = say(a, 10);
    CU_ASSERT(hear_from(b, &p, elsewhere) == SEAL_BAD_DIGEST);
    CU_ASSERT(last.reply_size == 0);
    CU_ASSERT(hear_from(b, &q, elsewhere) == SEAL_BAD_DIGEST);
    CU_ASSERT(last.reply_size == 0);
    CU_ASSERT(hear(b, &p) == SEAL_UNVERIFIED);
    struct packet challenge = reply();
    CU_ASSERT(hear_from(a, &challenge, elsewhere) == SEAL_BAD_DIGEST);
    CU_ASSERT(hear(a, &challenge) == SEAL_UNVERIFIED);
    struct packet response = reply();
    CU_ASSERT(hear_from(b, &response, elsewhere) == SEAL_BAD_DIGEST);
    CU_ASSERT(hear(b, &response) == SEAL_VERIFIED);
    q = say(a, 10);
    CU_ASSERT(hear_from(b, &q, elsewhere) == SEAL_BAD_DIGEST);
    CU_ASSERT(hear(b, &q) == SEAL_OK && !last.moved);
    seal_free(a);
    seal_free(b);
}

/* The owner of the session may move; what it sent before does not move it
 * back. */
static void test_moves(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    talk(a, b, hello(a));
    struct packet before = say(a, 10);
    seal_move(a, elsewhere);
    struct packet after = say(a, 10), greeting = hello(a);
    CU_ASSERT(hear_from(b, &greeting, elsewhere) == SEAL_HANDSHAKE);
    CU_ASSERT(last.moved && last.node_id == 1);
    CU_ASSERT(hear_from(b, &after, elsewhere) == SEAL_OK && !last.moved);
    CU_ASSERT(hear(b, &before) == SEAL_OK && !last.moved);
    after = say(a, 10);
    CU_ASSERT(hear_from(b, &after, elsewhere) == SEAL_OK && !last.moved);
    seal_move(a, home);
    after = say(a, 10);
    CU_ASSERT(hear(b, &after) == SEAL_OK);
    CU_ASSERT(last.moved && last.node_id == 1);
    seal_free(a);
    seal_free(b);
}

/* --- floods --------------------------------------------------------------- */

/* Salts that nobody has, under our key's id. */
static unsigned flood_salts(struct seal *to, const struct packet *sample,
                            unsigned count)
{
    unsigned looked_at = 0;
    struct packet p = *sample;
    for (unsigned i = 0; i < count; i++) {
        memcpy(p.bytes + 4, &i, sizeof i);
        enum seal_result result = hear(to, &p);
        CU_ASSERT_FATAL(result == SEAL_BAD_DIGEST || result == SEAL_LIMITED);
        looked_at += result == SEAL_BAD_DIGEST;
    }
    return looked_at;
}

static void test_flood_of_salts(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0), *c = start(3, 0);
    talk(a, b, hello(a));
    struct packet sample = say(a, 60);
    unsigned at_once = flood_salts(b, &sample, 100000);
    CU_ASSERT(at_once >= 128 && at_once <= 1000);
    CU_ASSERT(accepted(a, b)); /* a verified sender is not limited */
    struct packet p = hello(c);
    CU_ASSERT(hear(b, &p) == SEAL_LIMITED);
    unsigned in_a_second = 0;
    for (int i = 0; i < 100; i++) {
        now += 10 * ms;
        in_a_second += flood_salts(b, &sample, 1500);
    }
    CU_ASSERT(in_a_second >= 5000 && in_a_second <= 25000);
    now += 10 * ms;
    talk(c, b, hello(c));
    CU_ASSERT(accepted(c, b));
    seal_free(a);
    seal_free(b);
    seal_free(c);
}

/* Packets of `count` dead processes, under right tags. */
static struct packet *dead_packets(struct seal *any, unsigned count)
{
    struct packet sample = say(any, 10);
    struct packet *all = calloc(count, sizeof *all);
    static const uint8_t plain[52] = {0xF0};
    CU_ASSERT_FATAL(all != NULL);
    for (unsigned i = 0; i < count; i++) {
        uint8_t salt[SEAL_SALT_SIZE] = {(uint8_t)i, (uint8_t)(i >> 8), 0xDD};
        struct forge f;
        forge_init(&f, (struct bytes){sample.bytes, sample.n}, the_key, salt,
                   home);
        all[i].n = forge_packet(&f, 1, (struct bytes){plain, sizeof plain},
                                all[i].bytes);
        forge_deinit(&f);
    }
    return all;
}

/* Played back without end they bring about a bounded number of replies, and a
 * bounded number of tags to check. */
static void test_flood_of_the_dead(void)
{
    enum { DEAD = 200, STEPS = 100, EACH = 30 };
    struct seal *a = start(1, 0), *b = start(2, 0);
    struct packet *dead = dead_packets(a, DEAD);
    unsigned replies = 0, looked_at = 0;
    talk(a, b, hello(a));
    now += 1000 * ms;
    for (int step = 0; step < STEPS; step++) { /* a second */
        now += 10 * ms;
        for (int i = 0; i < DEAD * EACH; i++) {
            looked_at += hear(b, &dead[i % DEAD]) == SEAL_UNVERIFIED;
            replies += last.reply_size > 0;
        }
    }
    CU_ASSERT(replies > 500 && replies < 4000);
    CU_ASSERT(looked_at <= DEAD * (STEPS * 8 + 1));
    CU_ASSERT(seal_counts(b)[SEAL_LIMITED] > 0);
    CU_ASSERT(accepted(a, b));
    free(dead);
    seal_free(a);
    seal_free(b);
}

/* What is no handshake costs a tag only when a challenge is due. */
static void test_flood_of_a_stranger(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0);
    unsigned looked_at = 0;
    struct packet p = say(a, 1400), challenge = {0};
    for (int i = 0; i < 1000; i++) {
        now += ms / 10;
        looked_at += hear(b, &p) == SEAL_UNVERIFIED;
        if (last.reply_size > 0)
            challenge = reply();
    }
    CU_ASSERT(looked_at >= 9 && looked_at <= 11);
    /* And the answer to one of the challenges is looked at all the same. */
    hear(a, &challenge);
    struct packet response = reply();
    CU_ASSERT(hear(b, &response) == SEAL_VERIFIED);
    seal_free(a);
    seal_free(b);
}

/* Where 128 nodes start together each hears 127 strangers at once. */
static void test_all_start_at_once(void)
{
    enum { NODES = 127 };
    struct seal_config c = config_of(200, 0);
    c.node_max = 128;
    struct seal *b = seal_new(&c), *nodes[NODES];
    CU_ASSERT_FATAL(b != NULL);
    for (uint32_t i = 0; i < NODES; i++) {
        c = config_of(i + 1, 0);
        c.secrets.salt[0] = (uint8_t)i;
        c.secrets.salt[1] = 0xAA;
        nodes[i] = seal_new(&c);
        CU_ASSERT_FATAL(nodes[i] != NULL);
    }
    for (uint32_t i = 0; i < NODES; i++)
        talk(nodes[i], b, hello(nodes[i]));
    for (uint32_t i = 0; i < NODES; i++) {
        CU_ASSERT(accepted(nodes[i], b) && accepted(b, nodes[i]));
        seal_free(nodes[i]);
    }
    seal_free(b);
}

/* --- a host that was set back --------------------------------------------- */

static struct seal_secrets secrets_of(uint8_t start)
{
    struct seal_secrets s;
    memset(&s, start, sizeof s);
    return s;
}

/* What it says then has been heard; with a new session it is heard again. */
static void test_set_back(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0), *copy = start(1, 0);
    struct seal_secrets secrets = secrets_of(0xC1);
    uint32_t node = 0;
    talk(a, b, hello(a));
    for (int i = 0; i < 100; i++)
        CU_ASSERT(accepted(a, b));
    talk(copy, b, hello(copy));
    for (int i = 0; i < 20; i++) {
        struct packet p = say(copy, 10);
        CU_ASSERT(hear(b, &p) == SEAL_REPLAY);
    }
    CU_ASSERT(seal_replays(b, &node) == 21 && node == 1);
    CU_ASSERT(seal_replays(b, &node) == 0);
    CU_ASSERT(seal_renew(copy, &secrets));
    now += 11 * ms;
    talk(copy, b, hello(copy));
    CU_ASSERT(accepted(copy, b) && accepted(b, copy));
    CU_ASSERT(!accepted(a, b));
    seal_free(a);
    seal_free(b);
    seal_free(copy);
}

/* No peer stays verified, or packets that the host heard in between would pass
 * for news; and no earlier cookie counts. */
static void test_renewed(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0), *c = start(3, 0);
    struct seal_secrets secrets = secrets_of(0xC2);
    talk(a, b, hello(a));
    struct packet p = hello(c);
    hear(b, &p);
    struct packet challenge = reply(), news = say(a, 10), own = say(b, 10);
    hear(c, &challenge);
    struct packet response = reply();
    CU_ASSERT(seal_renew(b, &secrets));
    CU_ASSERT(hear(b, &news) == SEAL_UNVERIFIED);
    CU_ASSERT(hear(b, &response) != SEAL_VERIFIED);
    CU_ASSERT(hear(b, &own) != SEAL_OWN); /* its salt is another's now */
    p = say(b, 10);
    CU_ASSERT(memcmp(p.bytes + 4, secrets.salt, sizeof secrets.salt) == 0);
    now += 11 * ms;
    talk(a, b, hello(a));
    CU_ASSERT(accepted(a, b) && accepted(b, a));
    CU_ASSERT(hear(b, &news) == SEAL_REPLAY);
    seal_free(a);
    seal_free(b);
    seal_free(c);
}

/* --- silent nodes --------------------------------------------------------- */

static void test_silent(void)
{
    struct seal *a = start(1, 0), *b = start(2, 0), *c = start(3, 0);
    const uint32_t ring[] = {2, 3};
    talk(a, b, hello(a));
    talk(c, b, hello(c));
    struct packet kept = say(a, 10), kept_too = say(c, 10);
    now += 9000 * ms;
    seal_forget_silent(b, ring, 2, now);
    CU_ASSERT(accepted(a, b) && accepted(c, b));
    now += 10000 * ms;
    seal_forget_silent(b, ring, 2, now);
    CU_ASSERT(hear(b, &kept_too) == SEAL_OK); /* a member may be silent */
    CU_ASSERT(hear(b, &kept) == SEAL_UNVERIFIED);
    now += 11 * ms;
    talk(a, b, say(a, 10));
    CU_ASSERT(accepted(a, b));
    CU_ASSERT(hear(b, &kept) == SEAL_REPLAY);
    seal_free(a);
    seal_free(b);
    seal_free(c);
}

/* --- the derivation of keys ----------------------------------------------- */

/* RFC 5869, A.1, from one context twice. */
static void test_derivation(void)
{
    static const uint8_t expected[] = {
        0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f,
        0x64, 0xd0, 0x36, 0x2f, 0x2a, 0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a,
        0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf, 0x34,
        0x00, 0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65};
    uint8_t secret[22], salt[13], info[10], out[sizeof expected];
    struct kdf k;
    memset(secret, 0x0b, sizeof secret);
    for (size_t i = 0; i < sizeof salt; i++)
        salt[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof info; i++)
        info[i] = (uint8_t)(0xf0 + i);
    CU_ASSERT_FATAL(kdf_init(&k, (struct bytes){salt, sizeof salt},
                             (struct bytes){secret, sizeof secret}));
    for (int i = 0; i < 2; i++) {
        memset(out, 0, sizeof out);
        CU_ASSERT(
            kdf_expand(&k, (struct bytes){info, sizeof info}, out, sizeof out));
        CU_ASSERT(memcmp(out, expected, sizeof out) == 0);
    }
    kdf_deinit(&k);
}

static const struct unit_test tests[] = {
    {"handed on from another address", test_handed_on},
    {"a node moves", test_moves},
    {"flood of salts", test_flood_of_salts},
    {"flood of the dead", test_flood_of_the_dead},
    {"flood of a stranger", test_flood_of_a_stranger},
    {"all start at once", test_all_start_at_once},
    {"a host that was set back", test_set_back},
    {"renewed", test_renewed},
    {"silent nodes", test_silent},
    {"derivation", test_derivation},
};
UNIT_MAIN("seal attack", tests)
