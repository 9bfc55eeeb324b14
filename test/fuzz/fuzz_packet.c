// SPDX-License-Identifier: BSD-3-Clause
/* fuzz_packet.c - seal_open() on anything.
 *
 * The first byte chooses how far the rest gets: 0 it is the datagram; 1 behind
 * a right key id; 2 sealed, from a stranger's salt; 3 sealed, from a verified
 * node's; 4 sealed, with the cookie of a challenge just given in the place of
 * the response. So the handshake's decoder sees arbitrary bytes, and what
 * follows a right cookie is reached. */
#include "daemon/base/check.h"
#include "daemon/crypto/seal.h"
#include "test/unit/forge.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    VICTIM = 1, /* node ids, and sources */
    PEER = 7,
    SIZE_MAX_BYTES = 65536,
    SALT_AT = 8,
    RESPONSE_AT = 36,
    COOKIE_SIZE = 16
};

static const uint8_t key[SEAL_KEY_SIZE] = {1, 2, 3};
static struct seal *victim;
static struct forge verified;
static struct aead reader; /* opens what the victim seals */
static uint64_t now_ns, counter;

static struct seal *seal_make(uint32_t node_id)
{
    struct seal_config c = {.node_id = node_id,
                            .node_max = 4,
                            .key = key,
                            .source = node_id,
                            .secrets = {.salt = {0, (uint8_t)node_id}}};
    struct seal *s = seal_new(&c);
    CHECK(s != NULL);
    return s;
}

/* As if it came from node 7, or a stranger there. */
static enum seal_result give(struct bytes datagram, struct seal_opened *opened)
{
    uint8_t *plain = malloc(datagram.n + 1);
    CHECK(plain != NULL);
    now_ns += 20000000;
    enum seal_result r =
        seal_open(victim, datagram, PEER, now_ns, plain, opened);
    CHECK(r < SEAL_RESULT_COUNT);
    CHECK(opened->reply_size <= SEAL_HANDSHAKE_SIZE_MAX);
    CHECK(!opened->moved);
    CHECK(r != SEAL_OK || opened->plain_size == datagram.n - SEAL_OVERHEAD);
    free(plain);
    return r;
}

/* A peer that the victim has verified, and whose packets can be forged. */
static void setup(void)
{
    struct seal *peer = seal_make(PEER);
    struct kdf kdf;
    uint8_t packet[SEAL_HANDSHAKE_SIZE_MAX], plain[SEAL_HANDSHAKE_SIZE_MAX];
    struct seal_opened a, b;
    victim = seal_make(VICTIM);
    size_t n = seal_hello(peer, packet);
    give((struct bytes){packet, n}, &a);
    struct bytes challenge = {a.reply, a.reply_size};
    seal_open(peer, challenge, VICTIM, 1, plain, &b);
    struct bytes response = {b.reply, b.reply_size};
    CHECK(give(response, &a) == SEAL_VERIFIED);
    forge_init(&verified, (struct bytes){packet, n}, key, packet + 4, PEER);
    forge_kdf(&kdf, key);
    CHECK(aead_init(&reader, &verified.suite, false));
    CHECK(aead_key(&reader, &verified.suite, &kdf,
                   (struct bytes){challenge.p + 4, SEAL_SALT_SIZE}));
    kdf_deinit(&kdf);
    counter = 1000;
    seal_free(peer);
}

static void give_forged(struct forge *f, struct bytes plain)
{
    uint8_t *out = malloc(plain.n + SEAL_OVERHEAD);
    struct seal_opened opened;
    CHECK(out != NULL);
    size_t n = forge_packet(f, ++counter, plain, out);
    enum seal_result r = give((struct bytes){out, n}, &opened);
    CHECK(r == SEAL_OK || r == SEAL_HANDSHAKE || r == SEAL_VERIFIED ||
          r == SEAL_UNVERIFIED);
    free(out);
}

static void stranger_init(struct forge *f)
{
    uint8_t salt[SEAL_SALT_SIZE] = {0xEE};
    memcpy(salt + 1, &counter, sizeof counter);
    forge_init(f, (struct bytes){verified.front, sizeof verified.front}, key,
               salt, PEER);
}

/* Has itself challenged, and puts the cookie where the response has it. */
static void cookie_insert(struct forge *f, uint8_t *plain, size_t size)
{
    static const uint8_t hello[] = {0xF0};
    uint8_t packet[SEAL_HANDSHAKE_SIZE_MAX], opened_plain[128];
    struct seal_opened opened;
    size_t n = forge_packet(f, ++counter, (struct bytes){hello, 1}, packet);
    CHECK(give((struct bytes){packet, n}, &opened) == SEAL_UNVERIFIED);
    CHECK(opened.reply_size > 0);
    uint8_t aad[32];
    struct writer w = writer_of(aad, sizeof aad);
    write_bytes(&w, (struct bytes){opened.reply, 24});
    write_u64(&w, VICTIM);
    struct bytes sealed = {opened.reply + 24, opened.reply_size - 24};
    struct reader r = reader_of((struct bytes){opened.reply, 24});
    read_bytes(&r, 16);
    CHECK(aead_open(&reader, read_u64(&r), (struct bytes){aad, sizeof aad},
                    sealed, opened_plain));
    if (size >= RESPONSE_AT + COOKIE_SIZE)
        memcpy(plain + RESPONSE_AT, opened_plain + SALT_AT + SEAL_SALT_SIZE,
               COOKIE_SIZE);
}

static void sealed_input(uint8_t mode, const uint8_t *data, size_t size)
{
    struct forge f;
    if (size == 0)
        return;
    uint8_t *plain = malloc(size);
    CHECK(plain != NULL);
    memcpy(plain, data, size);
    if (mode == 3) {
        give_forged(&verified, (struct bytes){plain, size});
    } else {
        stranger_init(&f);
        if (mode == 4)
            cookie_insert(&f, plain, size);
        give_forged(&f, (struct bytes){plain, size});
        forge_deinit(&f);
    }
    free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (victim == NULL)
        setup();
    if (size == 0 || size > SIZE_MAX_BYTES)
        return 0;
    uint8_t mode = data[0] % 5;
    struct seal_opened opened;
    if (mode > 1) {
        sealed_input(mode, data + 1, size - 1);
        return 0;
    }
    uint8_t *exact = malloc(size);
    CHECK(exact != NULL);
    memcpy(exact, data + 1, size - 1);
    if (mode == 1 && size > 4)
        memcpy(exact, verified.front, 4);
    enum seal_result r = give((struct bytes){exact, size - 1}, &opened);
    CHECK(r != SEAL_OK && r != SEAL_VERIFIED && opened.reply_size == 0);
    free(exact);
    return 0;
}
