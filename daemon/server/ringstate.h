/* SPDX-License-Identifier: BSD-3-Clause */
/* ringstate.h - the ring sequence, kept over restarts.
 *
 * What is on disk is a reservation: no ring of this node has, or will soon
 * have, a higher sequence. A thread of its own renews it ahead of need, so that
 * the protocol thread never waits for a disk. A disk that fails is reported and
 * lived with: a ring's identity carries a random nonce too.
 *
 * File DIR/ring-NAME, one line: "openais-ring 1 SEQUENCE CHECKSUM". */
#ifndef DAEMON_SERVER_RINGSTATE_H
#define DAEMON_SERVER_RINGSTATE_H

#include <stddef.h>
#include <stdint.h>

struct ringstate;

enum {
    RINGSTATE_AHEAD = 4096,        /* what one write reserves */
    RINGSTATE_RENEW = 2048,        /* renewed when less than this is left */
    RINGSTATE_RETRY_NS = 200000000 /* after a failed write, doubling to 51 s */
};

/* Makes `dir` if it is missing (one level, mode 0755), reads the stored
 * sequence into *ring_seq (0: there is none) and reserves from there on,
 * waiting for the disk this once. `name`: what tells the daemons of one machine
 * apart, as their address; no slash.
 *
 * 0: *out is to be closed. `error` is then empty, or a warning: the file was
 * damaged or unreadable (*ring_seq is 0), or cannot be written. -ENOMEM,
 * -EAGAIN (no thread), -EINVAL, -ENAMETOOLONG: *out is NULL, `error` says
 * why. */
int ringstate_open(struct ringstate **out, const char *dir, const char *name,
                   uint64_t *ring_seq, char *error, size_t error_size);

/* The highest sequence seen so far. Never blocks; a lower one than before has
 * no effect. One thread (the protocol thread). */
void ringstate_note(struct ringstate *r, uint64_t seq);

/* What is safely on disk (never less than what was stored at the start), and
 * how many writes failed. Any thread. */
uint64_t ringstate_reserved(const struct ringstate *r);
uint64_t ringstate_failures(const struct ringstate *r);

/* Ends the thread, leaves exactly the noted sequence on disk. Waits for the
 * disk. NULL is fine. */
void ringstate_close(struct ringstate *r);

#endif
