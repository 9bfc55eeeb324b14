/* SPDX-License-Identifier: BSD-3-Clause */
/* renew.h - when this process may be a copy of an earlier state of itself.
 *
 * A virtual machine that is set back to a snapshot does not notice it. It goes
 * on with packet counters that the others have heard, so that they drop its
 * packets as replays, and with replay windows that would let old packets pass.
 * Then seal_renew() is due. A needless call costs one handshake with each peer.
 *
 * Three signs count: the kernel reports a new generation of the machine, where
 * the hypervisor tells it (Linux 6.10 or later; Debian 12's own kernel, 6.1,
 * tells no program); this process was stopped; or others are heard for seconds
 * and no ring forms. */
#ifndef DAEMON_SERVER_RENEW_H
#define DAEMON_SERVER_RENEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct renew {
    uint64_t due_ns, wait_ns; /* when; how long after the time before */
    uint64_t heard;           /* at the last look */
    bool alone;
};

/* To be called about once a second. `alone`: no ring with others exists;
 * `heard`: packets of verified nodes so far. True: seal_renew() is due. */
bool renew_due(struct renew *r, bool alone, uint64_t heard, uint64_t now_ns);

/* A descriptor that is readable when the kernel tells something of devices;
 * -errno. */
int generation_open(void);

/* Reads it: does it tell of a new generation of the virtual machine? */
bool generation_changed(int fd);

/* Such a message: strings, each with its end. */
bool generation_in(const char *message, size_t size);

#endif
