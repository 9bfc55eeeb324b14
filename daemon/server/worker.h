/* SPDX-License-Identifier: BSD-3-Clause */
/* worker.h - the ipc workers: threads that answer queries.
 *
 * A query only reads (membership, lists, later checkpoints), so it needs no
 * order and not the protocol thread. Each client belongs to one worker, which
 * owns its query ring's head and its answer ring's tail, from `worker_added` to
 * `worker_released`; see internal.h. A worker at normal priority spins a moment
 * before it sleeps (ipc/spin.h).
 *
 * It waits in epoll on the clients' bells, and not in futex_waitv() on words in
 * their segments: that takes 128 words at most, epoll a thousand clients; the
 * wake-up costs the same. */
#ifndef DAEMON_SERVER_WORKER_H
#define DAEMON_SERVER_WORKER_H

#include <stdint.h>

struct admission;
struct ckpt;
struct client;
struct evs;
struct server_config;
struct views;
struct workers;

/* What they may read. */
struct worker_sources {
    uint32_t node_id;
    const struct evs *evs;
    const struct ckpt *ckpt;
    struct views *views;
};

/* Makes config->worker_count of them, not running. NULL with -errno in
 * *error. */
struct workers *workers_new(const struct server_config *config,
                            const struct worker_sources *sources, int *error);

/* Starts the threads; `admission` is where clients are given back. 0 or
 * -errno. */
int workers_start(struct workers *w, struct admission *admission);

/* Ends the threads; no client is touched afterwards. */
void workers_stop(struct workers *w);
void workers_free(struct workers *w);

/* Admission thread: a client has come or gone. */
void worker_client_added(struct workers *w, struct client *c);
void worker_client_gone(struct workers *w, struct client *c);

/* Protocol thread: there is a first configuration to be told. */
void workers_wake(struct workers *w);

struct worker_stats {
    uint64_t queries, corrupt, doorbells, wakes, sleeps;
};
/* Any thread: the sums, each true at some moment of the call. */
struct worker_stats workers_stats(const struct workers *w);

#endif
