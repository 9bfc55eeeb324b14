/* SPDX-License-Identifier: BSD-3-Clause */
/* query.h - the answers to clients' queries; on the ipc workers' threads. */
#ifndef DAEMON_SERVER_QUERY_H
#define DAEMON_SERVER_QUERY_H

#include <stdint.h>

struct client;
struct view;
struct worker_sources;

/* Puts the answer to the query that was peeked in the client's query ring into
 * its answer ring, not published yet. NULL, or what is wrong with the query:
 * then the client is to be dropped. */
const char *query_answer(const struct worker_sources *sources, struct client *c,
                         const uint8_t *body, const struct view *view);

#endif
