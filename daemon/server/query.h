/* SPDX-License-Identifier: BSD-3-Clause */
/* query.h - the answers to clients' queries; on the ipc workers' threads. */
#ifndef DAEMON_SERVER_QUERY_H
#define DAEMON_SERVER_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ckpt;
struct client;
struct view;
struct worker_sources;

/* Puts the answer to the query that was peeked in the client's query ring into
 * its answer ring, not published yet. NULL, or what is wrong with the query:
 * then the client is to be dropped. */
const char *query_answer(const struct worker_sources *sources, struct client *c,
                         const uint8_t *body, const struct view *view);

/* Those of the CKPT service (query_ckpt.c). */
const char *query_ckpt(const struct ckpt *k, struct client *c,
                       const uint8_t *body);

/* What may be wrong: it is none of the service's, or does not make sense; or
 * the answers are not read. */
extern const char *const query_nonsense, *const query_no_room;

/* A copy of a query of this size; false: it has another. */
bool query_take(const struct client *c, const uint8_t *body, void *query,
                size_t size);

/* Puts an answer of two parts; NULL or query_no_room. */
const char *query_put(struct client *c, const void *head, size_t head_size,
                      const void *body, size_t body_size);

#endif
