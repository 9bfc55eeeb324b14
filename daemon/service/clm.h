/* SPDX-License-Identifier: BSD-3-Clause */
/* clm.h - the CLM service: which nodes are in the cluster, and what is known of
 * them (SAI-AIS-CLM-B.01.01, B.04.01).
 *
 * Pure; all memory is reserved by clm_new(). Owner: protocol thread.
 *
 * The ring knows node ids and incarnations; names, addresses and boot times the
 * nodes tell each other: after each regular configuration every member
 * multicasts one message about itself (clm_message_next()). When those of all
 * members have been delivered, all members have them at the same place of the
 * order, and install a view. A configuration that comes before that begins the
 * exchange anew; clients are told of views only.
 *
 * View numbers are those of rings (totem's ring sequence), so they are the same
 * on all members and grow over partitions and restarts.
 *
 * Which nodes have joined, for `initial_view`: the members say which view they
 * come from. Those that come from the same view are a part that went on
 * together. The largest part (among equals that of the lowest node id) is the
 * cluster that goes on, and its nodes keep their initial view; all others join
 * with this one. What a client is told as joined or left is seen from its own
 * node: against the view before. A node that has been started again in between
 * is first told as left, in a view of the number before, then as joined.
 *
 * The message of GROUP_SERVICE_CLM: doc/wire.md. */
#ifndef DAEMON_SERVICE_CLM_H
#define DAEMON_SERVICE_CLM_H

#include "daemon/base/bytes.h"
#include "daemon/totem/totem.h"
#include "ipc/clm.h"

#include <stdbool.h>
#include <stdint.h>

enum { CLM_MESSAGE_SIZE_MAX = 512 };

struct clm_config {
    /* The own node; node_id, incarnation, boot_ns, address and name are
     * used. */
    struct ipc_clm_node self;
    uint32_t client_max; /* clients are numbers below it */
};

struct clm;

/* NULL when memory is short. */
struct clm *clm_new(const struct clm_config *config);
void clm_free(struct clm *c);

/* --- inputs from the order ------------------------------------------------ */

/* A configuration; transitional ones change nothing. */
void clm_configuration(struct clm *c, const struct totem_configuration *conf);

/* A message that `sender` multicast, a stranger's. False: it makes no sense,
 * and is dropped. One of an exchange that is over is true, and dropped too. */
bool clm_message(struct clm *c, uint32_t sender, struct bytes data);

/* What this node has to multicast, once after each regular configuration: true
 * with *message, good until the next input; then clm_message_sent(). */
bool clm_message_next(struct clm *c, struct bytes *message);
void clm_message_sent(struct clm *c);

/* The own node has another address, which the others are told with the next
 * regular configuration. */
void clm_address_set(struct clm *c, struct bytes address);

/* --- views ---------------------------------------------------------------- */

/* The own node first, then ascending by id. */
struct clm_view {
    uint64_t number;
    uint32_t count;
    struct ipc_clm_node nodes[IPC_NODES_MAX];
};

/* The view now; NULL: none yet. */
const struct clm_view *clm_view_get(const struct clm *c);

/* The member of this id (0xffffffff: the first, the own one), or NULL. */
const struct ipc_clm_node *clm_view_find(const struct clm_view *v,
                                         uint32_t node_id);

/* --- clients -------------------------------------------------------------- */

/* What struct ipc_clm_track asks for, flags checked by the caller with
 * clm_flags_ok(): TRY_AGAIN (no view yet) or OK. */
enum ipc_error clm_track(struct clm *c, uint32_t client, uint32_t flags);
bool clm_flags_ok(uint32_t flags);

/* OK or NOT_EXIST. */
enum ipc_error clm_track_stop(struct clm *c, uint32_t client);

/* The client is gone. */
void clm_client_gone(struct clm *c, uint32_t client);

/* After each input: the events that came of it, in order, until it gives false.
 * `data` is an ipc_clm_track_event with its items, borrowed until the next
 * call; `clients` those to whom it goes. New views are among them once: `view`
 * true, then clm_view_get() is new (to be published) before any client is told
 * of it. */
struct clm_event {
    bool view;
    const uint32_t *clients;
    uint32_t client_count;
    struct bytes data;
};
bool clm_event_next(struct clm *c, struct clm_event *event);

#endif
