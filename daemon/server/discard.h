/* SPDX-License-Identifier: BSD-3-Clause */
/* discard.h - closing sockets that strangers have written to.
 *
 * A descriptor that was sent and not taken is closed with the socket in whose
 * queue it waits. If it is the last one of its file, that may block for as long
 * as its sender likes: a connection that lingers, a file of a hostile file
 * system. So such a socket is closed by a thread for which nobody waits.
 *
 * Owner: admission thread. */
#ifndef DAEMON_SERVER_DISCARD_H
#define DAEMON_SERVER_DISCARD_H

struct discard;

int discard_open(struct discard **out); /* 0 or -errno */

/* Closes what waits, and waits for that, but not for long: if a close blocks,
 * its thread is left behind. */
void discard_close(struct discard *d);

/* Closes a UNIX socket; nothing is received from it any more. What was sent can
 * still be read at the other end. */
void discard_put(struct discard *d, int fd);

#endif
