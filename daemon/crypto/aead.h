/* SPDX-License-Identifier: BSD-3-Clause */
/* aead.h - authenticated encryption and key derivation, by OpenSSL.
 *
 * A `struct aead` is one direction of one sender's packets: its key schedule
 * is set up once, and a packet costs only its nonce. */
#ifndef DAEMON_CRYPTO_AEAD_H
#define DAEMON_CRYPTO_AEAD_H

#include "daemon/base/bytes.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

enum { AEAD_KEY_SIZE = 32, AEAD_NONCE_SIZE = 12, AEAD_TAG_SIZE = 16 };

/* What the library is asked for once. */
struct aead_suite {
    EVP_CIPHER *cipher;
    const char *name;
};

/* `name` as OpenSSL knows it, static text. False: not there, or no memory. */
bool aead_suite_init(struct aead_suite *suite, const char *name);
void aead_suite_deinit(struct aead_suite *suite);

/* A secret that keys are derived from, HKDF-SHA-256 (RFC 5869): extracted once,
 * so that a key costs only the expansion. */
struct kdf {
    EVP_MAC_CTX *mac; /* HMAC, keyed with what was extracted */
};

/* False: no memory. */
bool kdf_init(struct kdf *k, struct bytes salt, struct bytes secret);
void kdf_deinit(struct kdf *k); /* wipes it */

enum { KDF_INFO_MAX = 64, KDF_OUT_MAX = 64 }; /* bytes */

/* False: no memory. */
bool kdf_expand(const struct kdf *k, struct bytes info, uint8_t *out,
                size_t out_size);

struct aead {
    EVP_CIPHER_CTX *ctx;
    uint8_t iv[AEAD_NONCE_SIZE];
};

/* False: no memory. */
bool aead_init(struct aead *a, const struct aead_suite *suite, bool sealing);
void aead_deinit(struct aead *a);

/* Key and IV for the packets of one salt. False: no memory. */
bool aead_key(struct aead *a, const struct aead_suite *suite,
              const struct kdf *k, struct bytes salt);
void aead_wipe(struct aead *a);

/* `out`: plain.n + AEAD_TAG_SIZE bytes. A counter is used once per key. */
void aead_seal(struct aead *a, uint64_t counter, struct bytes header,
               struct bytes plain, uint8_t *out);

/* `sealed` ends with the tag. False: it is not what was sealed; `plain`
 * (sealed.n - AEAD_TAG_SIZE bytes) is then wiped. */
bool aead_open(struct aead *a, uint64_t counter, struct bytes header,
               struct bytes sealed, uint8_t *plain);

#endif
