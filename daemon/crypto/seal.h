/* SPDX-License-Identifier: BSD-3-Clause */
/* seal.h - sealed packets between daemons, and the sessions behind them.
 *
 * Every packet is encrypted and authenticated with a key that is derived
 * (HKDF-SHA-256) from the cluster's key and a salt that its sender drew at its
 * start; the nonce is the sender's packet counter. The tag covers the address
 * that its sender sends from, so that nobody else can relay it. A receiver acts
 * on nothing from a salt it has not verified: it answers with a challenge, and
 * only the process that owns the salt now can echo it. So a recording, of this
 * run or an earlier one, changes nothing: within a session the replay window
 * refuses it, and a dead session cannot answer. What strangers may cost is
 * bounded, whatever they send. Layout and proof: doc/wire.md.
 *
 * A `source` is the UDP address that a datagram comes from, as a number that
 * all nodes make the same way: net_source().
 *
 * Does no I/O and reads no clock. Owner: protocol thread. */
#ifndef DAEMON_CRYPTO_SEAL_H
#define DAEMON_CRYPTO_SEAL_H

#include "daemon/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SEAL_KEY_SIZE = 128, /* the authkey: 1024 bits */
    SEAL_SALT_SIZE = 12,
    SEAL_OVERHEAD = 40, /* 24 in front, 16 behind */
    SEAL_HANDSHAKE_SIZE_MAX = 128,
    /* A plaintext's first byte is its kind; from here on they are the
     * handshake's, below the protocol's. */
    SEAL_KIND_HANDSHAKE = 0xF0
};

enum seal_cipher { SEAL_AES_256_GCM, SEAL_CHACHA20_POLY1305 };

/* Of one start of one process; drawn by chance, never used before. */
struct seal_secrets {
    uint8_t salt[SEAL_SALT_SIZE];
    uint8_t cookie_key[32];
};

struct seal_config {
    uint32_t node_id;
    uint32_t node_max; /* verified sessions kept */
    enum seal_cipher cipher;
    const uint8_t *key; /* SEAL_KEY_SIZE bytes, borrowed */
    uint64_t source;    /* what this node's packets come from */
    struct seal_secrets secrets;
};

struct seal;

/* NULL: no memory, or the library lacks the cipher. */
struct seal *seal_new(const struct seal_config *config);
void seal_free(struct seal *s); /* wipes every key */

/* This node sends from another address now. */
void seal_move(struct seal *s, uint64_t source);

/* As if this process had started again, for its memory may be a copy of an
 * earlier state (a virtual machine that was set back). It takes another salt,
 * or its packets would have nonces that were used. No peer stays verified, as
 * packets that came in between would pass for news. False: no memory, nothing
 * done. */
bool seal_renew(struct seal *s, const struct seal_secrets *secrets);

/* Seals `plain` (not empty, first byte below SEAL_KIND_HANDSHAKE) into `out`
 * (plain.n + SEAL_OVERHEAD bytes, elsewhere); gives that size. */
size_t seal_packet(struct seal *s, struct bytes plain, uint8_t *out);

/* The same for one node: no other will open it. For what must not be played
 * to the wrong node while it is still news, such as a token. */
size_t seal_packet_to(struct seal *s, uint32_t node_id, struct bytes plain,
                      uint8_t *out);

enum seal_result {
    SEAL_OK,         /* *plain holds a packet of node *node_id */
    SEAL_HANDSHAKE,  /* nothing for the protocol; perhaps a reply to send */
    SEAL_VERIFIED,   /* the same, and *node_id's session is now verified */
    SEAL_UNVERIFIED, /* its sender must first answer; perhaps a reply */
    SEAL_FOREIGN,    /* too short, or not our magic */
    SEAL_VERSION,    /* another version of the format */
    SEAL_OTHER_KEY,  /* id of another key or cipher: "invalid digest" */
    SEAL_BAD_DIGEST, /* the tag is wrong: "invalid digest" */
    SEAL_REPLAY,     /* had it, or too old to tell */
    SEAL_OWN,        /* sent by this process */
    SEAL_LIMITED,    /* of a stranger, and too many come to look at each */
    SEAL_RESULT_COUNT
};

struct seal_opened {
    size_t plain_size; /* SEAL_OK */
    uint32_t node_id;  /* SEAL_OK, SEAL_VERIFIED: the sender */
    bool moved;        /* node_id's, verified, sends from another address now */
    /* A sealed packet to send to the datagram's source address; 0: none. */
    size_t reply_size;
    uint8_t reply[SEAL_HANDSHAKE_SIZE_MAX];
};

/* Opens one datagram. `plain` has room for datagram.n bytes. Nothing inside is
 * read before the tag is checked. What is done for senders that are not
 * verified is paced by now_ns. */
enum seal_result seal_open(struct seal *s, struct bytes datagram,
                           uint64_t source, uint64_t now_ns, uint8_t *plain,
                           struct seal_opened *opened);

/* Sessions of nodes that are not among `members`, and were not heard for ten
 * seconds, must be verified again. */
void seal_forget_silent(struct seal *s, const uint32_t *members,
                        uint32_t member_count, uint64_t now_ns);

/* A packet for all that says only "this salt is new": those who hear it send
 * their challenge before the first join. Gives its size. */
size_t seal_hello(struct seal *s, uint8_t out[SEAL_HANDSHAKE_SIZE_MAX]);

/* Packets by result since the start. */
const uint64_t *seal_counts(const struct seal *s);

/* How often it was seen that two living processes have one node id (perhaps
 * this process's), and the last such id. Their sessions replace each other:
 * every change is counted. */
uint64_t seal_conflicts(const struct seal *s, uint32_t *node_id);

/* The node with the most repeated packets since the last call: how many, and
 * its id. */
uint64_t seal_replays(struct seal *s, uint32_t *node_id);

const char *seal_result_name(enum seal_result result);

#endif
