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
    uint8_t front[16]; /* magic, version, key id, salt */
};

/* `sample` is any packet sealed with the same key and cipher. */
static inline void forge_init(struct forge *f, struct bytes sample,
                              const uint8_t *key, const uint8_t *salt)
{
    CHECK(aead_suite_init(&f->suite, "AES-256-GCM"));
    CHECK(aead_init(&f->aead, &f->suite, true));
    CHECK(sample.n >= sizeof f->front);
    memcpy(f->front, sample.p, 4);
    memcpy(f->front + 4, salt, SEAL_SALT_SIZE);
    CHECK(aead_key(&f->aead, &f->suite, (struct bytes){key, SEAL_KEY_SIZE},
                   (struct bytes){salt, SEAL_SALT_SIZE}));
}

static inline void forge_deinit(struct forge *f)
{
    aead_deinit(&f->aead);
    aead_suite_deinit(&f->suite);
}

static inline size_t forge_packet(struct forge *f, uint64_t counter,
                                  struct bytes plain, uint8_t *out)
{
    struct writer w = writer_of(out, 24);
    write_bytes(&w, (struct bytes){f->front, sizeof f->front});
    write_u64(&w, counter);
    aead_seal(&f->aead, counter, (struct bytes){out, 24}, plain, out + 24);
    return plain.n + SEAL_OVERHEAD;
}

#endif
