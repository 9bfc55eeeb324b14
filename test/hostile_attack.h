/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile_attack.h - what the attackers of the hostile test share: a connection
 * past the library, and what can be said on it (hostile_attack.c); the attacks
 * on rings and descriptors (hostile_rings.c); those of CLM (hostile_clm.c) and
 * of CKPT (hostile_ckpt.c). */
#ifndef TEST_HOSTILE_ATTACK_H
#define TEST_HOSTILE_ATTACK_H

#include "test/hostile.h"

#include "ipc/channel.h"
#include "ipc/ckpt.h"
#include "ipc/clm.h"
#include "ipc/evs.h"
#include "ipc/ring.h"
#include "ipc/segment.h"

/* This attacker's connection. */
extern struct attacker {
    int socket, fds[IPC_FDS_MAX];
    size_t fd_count;
    struct ipc_welcome welcome;
    struct segment segment;
    struct ring_producer submit, query;
    struct ring_consumer reply, event, answer;
} me;

static inline struct ring_shared *words(unsigned ring)
{
    return &me.segment.shared->rings[ring];
}

struct ipc_hello good_hello(uint32_t submit, uint32_t event);

/* Connects, says nothing; the socket, or -1. */
int raw_connect(void);

/* Reads the welcome of `me.socket` and maps what came with it. */
bool take_welcome(void);

/* All of it. attach(): small rings, quickly full, and cheap. False: it was not
 * let in, and a short while has passed. */
bool attach_with(struct ipc_hello hello);
bool attach(void);
void detach(void);

/* Has the daemon sent it away? */
bool sent_away(void);

/* --- what attackers say --------------------------------------------------- */

void ring_bell(enum ipc_fd which);

/* A record of `size` bytes, the first `n` of them given; false: no room. So for
 * all below. */
bool put(struct ring_producer *ring, uint32_t type, const void *data,
         uint32_t n, uint32_t size);

/* A well-formed multicast to one group of a one-letter name. */
bool put_message(char name, uint32_t size);
bool put_groups(uint32_t type, uint32_t count);
bool put_query(void);

/* Joins the group that attackers send to. */
bool join_noise(void);

void skip_all(struct ring_consumer *ring);

/* A word that makes trouble: noise, small, aligned, near a ring's size. */
uint64_t bad_word(void);

/* --- attacks on rings and descriptors (hostile_rings.c) ------------------- */

void attack_scribble(void);
void attack_changing(void);
void attack_positions(void);
void attack_sleepers(void);
void attack_pages(void);
void attack_records(void);
void attack_large(void);
void attack_noise(void);
void attack_deaf(void);
void attack_requests(void);
void attack_requests_unread(void);
void attack_drain(void);
void attack_sparse(void);
void attack_bells(void);
void attack_descriptors(void);
void attack_send_fds(void);
void attack_bury_fds(void);
void attack_urgent(void);
void attack_half_closed(void);

/* --- attacks on CLM (hostile_clm.c) --------------------------------------- */

void attack_clm_flags(void);
void attack_clm_changing(void);
void attack_clm_unread(void);
void attack_clm_gets(void);
void attack_clm_stops(void);
void attack_clm_queries(void);
void attack_foreign(void);

/* --- attacks on CKPT (hostile_ckpt.c) ------------------------------------- */

void attack_ckpt_records(void);
void attack_ckpt_changing(void);
void attack_ckpt_writes(void);
void attack_ckpt_handles(void);
void attack_ckpt_arena(void);
void attack_ckpt_opens(void);
void attack_ckpt_requests(void);
void attack_ckpt_queries(void);
void attack_ckpt_death(void);

#endif
