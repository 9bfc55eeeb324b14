/* SPDX-License-Identifier: BSD-3-Clause */
/* admission.h - the thread that lets clients in and notices when they go.
 *
 * It does what may take its time: accepts, reads credentials, waits (a bounded
 * while) for hellos, makes and unmakes segments. The protocol thread only gets
 * finished clients, through a mailbox. */
#ifndef DAEMON_SERVER_ADMISSION_H
#define DAEMON_SERVER_ADMISSION_H

#include "daemon/server/server.h"

#include <stdint.h>

struct admission;
struct client;
struct handover;
struct mailbox;
struct views;
struct workers;

struct admission_partners {
    struct mailbox *protocol;  /* where clients come to the protocol thread */
    struct workers *workers;   /* to be started; clients come to them too */
    struct views *views;       /* whose old ones are freed here */
    const struct arena *arena; /* for clients of CKPT */
    int arena_fd;              /* -1: there is none */
};

/* Listens, starts the workers and the thread. 0, or -errno with a sentence in
 * `error`. */
int admission_open(struct admission **out, const struct server_config *config,
                   const struct admission_partners *partners, char *error,
                   size_t error_size);

/* Ends the thread and the workers', frees every client, wherever it is. After
 * it no client may be touched. */
void admission_close(struct admission *a);

/* Protocol thread: gives a client back. It must not be touched afterwards. */
void admission_release(struct admission *a, struct client *c);

/* Its worker does the same. */
void admission_worker_released(struct admission *a, struct client *c);

/* Protocol thread: gives away a view that was replaced, to be freed, or garbage
 * of the checkpoints, which comes back, when no reader has it any more. */
void admission_retire(struct admission *a, struct handover *old);

/* Connections refused so far; any thread. */
uint64_t admission_refused(const struct admission *a);

#endif
