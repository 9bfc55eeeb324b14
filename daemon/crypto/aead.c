// SPDX-License-Identifier: BSD-3-Clause
/* aead.c - the only file that talks to OpenSSL. */
#include "daemon/crypto/aead.h"

#include "daemon/base/check.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

bool aead_suite_init(struct aead_suite *suite, const char *name)
{
    *suite = (struct aead_suite){
        .cipher = EVP_CIPHER_fetch(NULL, name, NULL),
        .name = name,
    };
    return suite->cipher != NULL;
}

void aead_suite_deinit(struct aead_suite *suite)
{
    EVP_CIPHER_free(suite->cipher);
    *suite = (struct aead_suite){0};
}

/* --- key derivation ------------------------------------------------------- */

enum { HASH_SIZE = 32 }; /* SHA-256 */

static EVP_MAC_CTX *hmac_new(void)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_free(hmac); /* its context keeps a reference */
    if (ctx != NULL && EVP_MAC_CTX_set_params(ctx, params) == 1)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

/* `key` of 0 bytes: that which the context has. */
static bool hmac_of(EVP_MAC_CTX *ctx, struct bytes key, struct bytes text,
                    uint8_t out[HASH_SIZE])
{
    size_t n = 0;
    return EVP_MAC_init(ctx, key.n == 0 ? NULL : key.p, key.n, NULL) == 1 &&
           EVP_MAC_update(ctx, text.p, text.n) == 1 &&
           EVP_MAC_final(ctx, out, &n, HASH_SIZE) == 1 && n == HASH_SIZE;
}

bool kdf_init(struct kdf *k, struct bytes salt, struct bytes secret)
{
    uint8_t extracted[HASH_SIZE];
    k->mac = hmac_new();
    bool done = k->mac != NULL && hmac_of(k->mac, salt, secret, extracted) &&
                EVP_MAC_init(k->mac, extracted, sizeof extracted, NULL) == 1;
    explicit_bzero(extracted, sizeof extracted);
    return done;
}

void kdf_deinit(struct kdf *k)
{
    EVP_MAC_CTX_free(k->mac);
    k->mac = NULL;
}

bool kdf_expand(const struct kdf *k, struct bytes info, uint8_t *out,
                size_t out_size)
{
    uint8_t text[HASH_SIZE + KDF_INFO_MAX + 1], block[HASH_SIZE];
    bool done = true;
    CHECK(info.n <= KDF_INFO_MAX && out_size <= KDF_OUT_MAX);
    for (size_t at = 0; at < out_size && done; at += HASH_SIZE) {
        struct writer w = writer_of(text, sizeof text);
        size_t part = out_size - at < HASH_SIZE ? out_size - at : HASH_SIZE;
        write_bytes(&w, (struct bytes){block, at == 0 ? 0 : HASH_SIZE});
        write_bytes(&w, info);
        write_u8(&w, (uint8_t)(at / HASH_SIZE + 1));
        CHECK(!w.failed);
        done = hmac_of(k->mac, (struct bytes){0},
                       (struct bytes){text, w.written}, block);
        memcpy(out + at, block, part);
    }
    explicit_bzero(text, sizeof text);
    explicit_bzero(block, sizeof block);
    return done;
}

/* --- packets -------------------------------------------------------------- */

bool aead_init(struct aead *a, const struct aead_suite *suite, bool sealing)
{
    memset(a->iv, 0, sizeof a->iv);
    a->ctx = EVP_CIPHER_CTX_new();
    return a->ctx != NULL &&
           EVP_CipherInit_ex(a->ctx, suite->cipher, NULL, NULL, NULL,
                             sealing ? 1 : 0) == 1;
}

void aead_deinit(struct aead *a)
{
    EVP_CIPHER_CTX_free(a->ctx); /* wipes the key */
    explicit_bzero(a, sizeof *a);
}

bool aead_key(struct aead *a, const struct aead_suite *suite,
              const struct kdf *k, struct bytes salt)
{
    uint8_t material[AEAD_KEY_SIZE + AEAD_NONCE_SIZE], info[KDF_INFO_MAX];
    struct bytes name = {(const uint8_t *)suite->name, strlen(suite->name)};
    struct writer w = writer_of(info, sizeof info);
    write_bytes(&w, (struct bytes){(const uint8_t *)"packet ", 7});
    write_bytes(&w, salt);
    write_bytes(&w, name);
    CHECK(!w.failed);
    bool done = kdf_expand(k, (struct bytes){info, w.written}, material,
                           sizeof material) &&
                EVP_CipherInit_ex(a->ctx, NULL, NULL, material, NULL, -1) == 1;
    if (done)
        memcpy(a->iv, material + AEAD_KEY_SIZE, AEAD_NONCE_SIZE);
    explicit_bzero(material, sizeof material);
    return done;
}

void aead_wipe(struct aead *a)
{
    static const uint8_t zero[AEAD_KEY_SIZE];
    CHECK(EVP_CipherInit_ex(a->ctx, NULL, NULL, zero, NULL, -1) == 1);
    explicit_bzero(a->iv, sizeof a->iv);
}

static bool nonce_set(struct aead *a, uint64_t counter)
{
    uint8_t nonce[AEAD_NONCE_SIZE];
    memcpy(nonce, a->iv, sizeof nonce);
    for (size_t i = 0; i < sizeof counter; i++)
        nonce[4 + i] ^= (uint8_t)(counter >> (8 * i));
    return EVP_CipherInit_ex(a->ctx, NULL, NULL, NULL, nonce, -1) == 1;
}

void aead_seal(struct aead *a, uint64_t counter, struct bytes header,
               struct bytes plain, uint8_t *out)
{
    int n = 0, last = 0;
    CHECK(plain.n < INT_MAX && header.n < INT_MAX);
    CHECK(nonce_set(a, counter));
    CHECK(EVP_EncryptUpdate(a->ctx, NULL, &n, header.p, (int)header.n) == 1);
    CHECK(EVP_EncryptUpdate(a->ctx, out, &n, plain.p, (int)plain.n) == 1);
    CHECK(EVP_EncryptFinal_ex(a->ctx, out + n, &last) == 1);
    CHECK((size_t)n == plain.n && last == 0);
    CHECK(EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE,
                              out + plain.n) == 1);
}

bool aead_open(struct aead *a, uint64_t counter, struct bytes header,
               struct bytes sealed, uint8_t *plain)
{
    if (sealed.n < AEAD_TAG_SIZE || sealed.n > INT_MAX)
        return false;
    size_t size = sealed.n - AEAD_TAG_SIZE;
    uint8_t tag[AEAD_TAG_SIZE];
    memcpy(tag, sealed.p + size, sizeof tag);
    int n = 0, last = 0;
    /* The library compares the tag, in constant time, at the end. */
    bool same =
        nonce_set(a, counter) &&
        EVP_DecryptUpdate(a->ctx, NULL, &n, header.p, (int)header.n) == 1 &&
        EVP_DecryptUpdate(a->ctx, plain, &n, sealed.p, (int)size) == 1 &&
        EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE,
                            tag) == 1 &&
        EVP_DecryptFinal_ex(a->ctx, plain + n, &last) == 1;
    if (!same)
        explicit_bzero(plain, size);
    return same;
}
