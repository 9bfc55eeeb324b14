/* SPDX-License-Identifier: BSD-3-Clause */
/* session.h - what is known of each sender's salt.
 *
 * A session begins unverified, with the first packet whose tag is right, and is
 * verified when its owner has echoed a challenge. Both kinds are bounded; the
 * one longest unheard makes room. */
#ifndef DAEMON_CRYPTO_SESSION_H
#define DAEMON_CRYPTO_SESSION_H

#include "daemon/crypto/aead.h"
#include "daemon/crypto/seal.h"

enum {
    SESSION_WINDOW = 16384, /* packets; token and data overtake each other */
    SESSION_UNVERIFIED_MAX = 256,
    SESSION_BUCKETS = 1024
};

enum session_state {
    SESSION_FREE,
    SESSION_UNVERIFIED,
    SESSION_VERIFIED,
    SESSION_STATE_COUNT
};

struct session {
    enum session_state state;
    struct session *newer, *older; /* in the list of its state */
    struct session *bucket_next;
    uint8_t salt[SEAL_SALT_SIZE];
    struct aead aead;

    /* While unverified. `generation` is never used twice, 0 is none: a cookie
     * made with it is an answer to this challenge and no other. */
    uint64_t generation, generation_ns;
    uint64_t challenge_ns, answer_ns;
    bool challenged;
    uint32_t answers; /* within the period that began at answer_ns */
    uint32_t opened;  /* packets, within the one that began at open_ns */
    uint64_t open_ns;

    /* Once verified. */
    uint32_t node_id;
    uint64_t source; /* of the newest packet */
    uint64_t heard_ns, replays;
    bool has_replaced;
    uint8_t replaced_salt[SEAL_SALT_SIZE]; /* the node's session before */
    uint64_t floor;   /* counters up to here are refused for ever */
    uint64_t highest; /* counter heard */
    uint64_t window[SESSION_WINDOW / 64]; /* heard; at counter % WINDOW */
};

struct session_list {
    struct session *newest, *oldest;
    uint32_t count;
};

struct session_table {
    struct aead_suite *suite;
    struct session *all;
    uint32_t size, verified_max;
    struct session_list lists[SESSION_STATE_COUNT];
    struct session *buckets[SESSION_BUCKETS];
};

/* False: no memory. */
bool session_table_init(struct session_table *t, struct aead_suite *suite,
                        uint32_t verified_max);
void session_table_deinit(struct session_table *t);

struct session *session_find(const struct session_table *t,
                             const uint8_t *salt);
struct session *session_find_node(const struct session_table *t,
                                  uint32_t node_id); /* verified */

/* A free session to try a new salt's key with. There is always one. It stays
 * free until session_adopt() makes it an unverified one. */
struct session *session_candidate(const struct session_table *t);
void session_adopt(struct session_table *t, struct session *s,
                   const uint8_t *salt);

/* It was heard: not the next to make room. */
void session_touch(struct session_table *t, struct session *s);

/* Packets up to `counter` are refused from now on. */
void session_verify(struct session_table *t, struct session *s,
                    uint32_t node_id, uint64_t counter);
void session_drop(struct session_table *t, struct session *s);
void session_drop_all(struct session_table *t);

/* The replay window of a verified session. */
bool session_is_fresh(const struct session *s, uint64_t counter);
void session_mark(struct session *s, uint64_t counter);

#endif
