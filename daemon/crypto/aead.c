// SPDX-License-Identifier: BSD-3-Clause
/* aead.c - the only file that talks to OpenSSL. */
#include "daemon/crypto/aead.h"

#include "daemon/base/check.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

bool aead_suite_init(struct aead_suite *suite, const char *name)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    *suite = (struct aead_suite){
        .cipher = EVP_CIPHER_fetch(NULL, name, NULL),
        .kdf = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf),
        .name = name,
    };
    EVP_KDF_free(kdf); /* its context keeps a reference */
    if (suite->cipher != NULL && suite->kdf != NULL)
        return true;
    aead_suite_deinit(suite);
    return false;
}

void aead_suite_deinit(struct aead_suite *suite)
{
    EVP_CIPHER_free(suite->cipher);
    EVP_KDF_CTX_free(suite->kdf);
    *suite = (struct aead_suite){0};
}

static OSSL_PARAM octets(const char *name, struct bytes b)
{
    /* The library takes a pointer to writable bytes, and only reads them. */
    union {
        const uint8_t *in;
        void *out;
    } p = {.in = b.p};
    return OSSL_PARAM_construct_octet_string(name, p.out, b.n);
}

bool aead_derive(const struct aead_suite *suite, struct bytes secret,
                 struct bytes salt, struct bytes info, uint8_t *out,
                 size_t out_size)
{
    char digest[] = "SHA256";
    int mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        octets(OSSL_KDF_PARAM_KEY, secret),
        octets(OSSL_KDF_PARAM_SALT, salt),
        octets(OSSL_KDF_PARAM_INFO, info),
        OSSL_PARAM_construct_end(),
    };
    bool done = EVP_KDF_derive(suite->kdf, out, out_size, params) == 1;
    EVP_KDF_CTX_reset(suite->kdf); /* wipes its copy of the secret */
    return done;
}

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
              struct bytes secret, struct bytes salt)
{
    uint8_t material[AEAD_KEY_SIZE + AEAD_NONCE_SIZE];
    char info[64];
    int n = snprintf(info, sizeof info, "openais packet 1 %s", suite->name);
    CHECK(n > 0 && (size_t)n < sizeof info);
    bool done = aead_derive(suite, secret, salt,
                            (struct bytes){(const uint8_t *)info, (size_t)n},
                            material, sizeof material) &&
                EVP_CipherInit_ex(a->ctx, NULL, NULL, material, NULL, -1) == 1;
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
