/* SPDX-License-Identifier: BSD-3-Clause */
/* forge.h - packets that an honest daemon would not send, but a holder of the
 * key could: any plaintext, salt and counter under a right tag. */
#ifndef TEST_UNIT_FORGE_H
#define TEST_UNIT_FORGE_H

#include "daemon/base/check.h"
#include "daemon/crypto/aead.h"
#include "daemon/crypto/seal.h"

struct forge {
    struct aead_suite suite;
    struct aead aead;
    uint64_t source;
    uint8_t front[16]; /* magic, version, key id, salt */
};

/* What the cluster's keys are derived from. */
static inline void forge_kdf(struct kdf *k, const uint8_t *key)
{
    CHECK(kdf_init(k, (struct bytes){(const uint8_t *)"openais packet 3", 16},
                   (struct bytes){key, SEAL_KEY_SIZE}));
}

/* `sample` is any packet sealed with the same key and cipher; `source` where
 * the packets will come from. */
static inline void forge_init(struct forge *f, struct bytes sample,
                              const uint8_t *key, const uint8_t *salt,
                              uint64_t source)
{
    struct kdf kdf;
    forge_kdf(&kdf, key);
    f->source = source;
    CHECK(aead_suite_init(&f->suite, "AES-256-GCM"));
    CHECK(aead_init(&f->aead, &f->suite, true));
    CHECK(sample.n >= sizeof f->front);
    memcpy(f->front, sample.p, 4);
    memcpy(f->front + 4, salt, SEAL_SALT_SIZE);
    CHECK(aead_key(&f->aead, &f->suite, &kdf,
                   (struct bytes){salt, SEAL_SALT_SIZE}));
    kdf_deinit(&kdf);
}

static inline void forge_deinit(struct forge *f)
{
    aead_deinit(&f->aead);
    aead_suite_deinit(&f->suite);
}

static inline size_t forge_packet(struct forge *f, uint64_t counter,
                                  struct bytes plain, uint8_t *out)
{
    uint8_t aad[32];
    struct writer w = writer_of(aad, sizeof aad);
    write_bytes(&w, (struct bytes){f->front, sizeof f->front});
    write_u64(&w, counter);
    write_u64(&w, f->source);
    memcpy(out, aad, 24);
    aead_seal(&f->aead, counter, (struct bytes){aad, sizeof aad}, plain,
              out + 24);
    return plain.n + SEAL_OVERHEAD;
}

#endif
