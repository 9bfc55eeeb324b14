/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt.h - the CKPT service: replicated checkpoints (SAI-AIS-CKPT-B.01.01,
 * B.02.02).
 *
 * Every node has every checkpoint; replica.h keeps them the same, and says
 * whose go on when two parts of a cluster meet. What changes checkpoints is
 * multicast as an operation by the node of the client that asked for it, with
 * everything in it, the time included; the node answers when it comes out of
 * the order. Reads are local (ckpt_lookup(), then ckpt_store.h), by ipc
 * workers.
 *
 * Open checkpoints are *handles* of this node's clients. All nodes count, for
 * each checkpoint, how many handles each node has. A client that dies has its
 * handles closed by its daemon; the handles of a node that leaves are dropped
 * by all when they agree on the members. A node that comes into another history
 * than its own opens again, by name, what its clients have open; a handle whose
 * checkpoint is not there then gives NOT_EXIST.
 *
 * Time. What is to expire is deleted by a *tick*: an operation with the clocks
 * of one node, which sends one when something is due (ckpt_clock.h). It names
 * what that is, a few hundred at most; the next one follows if there is more.
 * The time that a checkpoint without users is kept begins with the first tick
 * after; one that is to be kept for less than CKPT_RETENTION_MIN_NS is not
 * kept.
 *
 * Pure. Owner: protocol thread, but for what is said to be for readers.
 * Operations and pieces: doc/wire.md. */
#ifndef DAEMON_SERVICE_CKPT_H
#define DAEMON_SERVICE_CKPT_H

#include "daemon/service/ckpt_clock.h"
#include "daemon/service/ckpt_store.h"
#include "daemon/service/replica.h"

enum {
    CKPT_HANDLES_MAX = 65536, /* of all clients */
    /* In front of an operation's data. */
    CKPT_HEAD_SIZE_MAX = 8192,
    CKPT_MESSAGE_SIZE_MAX = REPLICA_MESSAGE_SIZE_MAX /* of its own */
};

/* Sooner than that no program can have opened it again. */
#define CKPT_RETENTION_MIN_NS INT64_C(100000)

struct ckpt_config {
    uint32_t node_id;
    uint64_t incarnation;
    uint32_t client_max; /* clients are numbers below it */
    /* Limits; the lowest of all members' count. */
    uint32_t checkpoint_max;
    uint64_t bytes_max; /* of all sections, with an overhead for each */
    uint64_t hash_seed; /* random, so that no one can choose collisions */
    /* Of one user on this node; 0: no limit of its own. */
    uint32_t user_handle_max, user_checkpoint_max;
    bool safe;      /* see ckpt_is_safe() */
    uint8_t *arena; /* see ckpt_memory_init(); NULL: none */
    uint64_t arena_size;
};

struct ckpt;

/* NULL when memory is short. */
struct ckpt *ckpt_new(const struct ckpt_config *config);
void ckpt_free(struct ckpt *k); /* no reader is left */

/* --- time ----------------------------------------------------------------- */

/* What the clocks show: before other inputs, and when it is due. */
void ckpt_time(struct ckpt *k, const struct ckpt_now *now);

/* When ckpt_time() is due, by the monotonic clock, as this node has something
 * to send then; INT64_MAX: never. It may be in the past. */
int64_t ckpt_wake_ns(const struct ckpt *k);

/* After an input: nodes whose clocks are far from the others', or not any more.
 * To be asked for until it gives false. */
bool ckpt_clock_news(struct ckpt *k, struct ckpt_clock_news *news);

/* --- inputs from the order ------------------------------------------------ */

/* Before a regular one, ckpt_untake() what has not been sent as a whole; what
 * ckpt_message_write() gave and was not is to be thrown away. */
void ckpt_configuration(struct ckpt *k, const struct totem_configuration *conf);

/* False: it makes no sense, and is dropped. */
bool ckpt_message(struct ckpt *k, uint32_t sender, struct bytes data);

/* --- clients' requests ---------------------------------------------------- */

struct ckpt_request {
    uint32_t client;
    uint32_t type;       /* enum ipc_ckpt_submit_type */
    uint32_t uid;        /* its user; 0, root, is not limited */
    int64_t now_ns;      /* since the epoch */
    const uint8_t *head; /* a private copy of the record; of a section request
                          * its first head_size bytes */
    size_t head_size;
    size_t data_size; /* bytes behind it */
};

/* Could a library have written it? */
bool ckpt_request_ok(const struct ckpt_request *r);

/* May the client's next request be taken now? Not while one is under way, nor
 * while this node has not got the state. */
bool ckpt_may_take(const struct ckpt *k, uint32_t client);

/* Takes a request that is ok. A size: what to multicast is in `to` (of
 * CKPT_HEAD_SIZE_MAX bytes), and behind it the data as it is. 0: it need not be
 * multicast, the outcome is there already. */
size_t ckpt_take(struct ckpt *k, const struct ckpt_request *r, uint8_t *to);

/* Is what was taken for the client to be delivered only when all nodes have it?
 * Synchronize is; and, if so configured, writes to checkpoints of
 * SA_CKPT_WR_ALL_REPLICAS. */
bool ckpt_is_safe(const struct ckpt *k, uint32_t client);

/* What was taken last has not been sent, and never will be; the client may be
 * gone. */
void ckpt_untake(struct ckpt *k, uint32_t client);

/* The client is gone. */
void ckpt_client_gone(struct ckpt *k, uint32_t client);

/* What became of a client's request; to be asked for after each input and
 * ckpt_take(), until it gives false. */
struct ckpt_outcome {
    uint32_t client;
    uint32_t type;
    bool async; /* an event is wanted, no reply */
    uint64_t invocation;
    uint32_t flags, handle; /* of the request */
    struct ipc_ckpt_reply reply;
};
bool ckpt_outcome_next(struct ckpt *k, struct ckpt_outcome *o);

/* --- what this node multicasts itself ------------------------------------- */

/* As replica_message_kind(): INFO stands for all that must not wait. */
enum replica_kind ckpt_message_kind(const struct ckpt *k);
size_t ckpt_message_write(struct ckpt *k, uint8_t *to);

/* --- readers: any thread, under RCU --------------------------------------- */

/* The checkpoint of a client's handle: OK; TRY_AGAIN, this node is being
 * brought up to date; BAD_HANDLE; NOT_EXIST, it is gone or has no active
 * replica. */
enum ipc_error ckpt_lookup(const struct ckpt *k, uint32_t client,
                           uint32_t handle, struct ckpt_checkpoint **c);

/* For what readers do with it. */
const struct ckpt_store *ckpt_store(const struct ckpt *k);

/* --- memory, tests -------------------------------------------------------- */

/* See ckpt_memory_garbage_take(); how much there is, bytes. */
uint64_t ckpt_garbage_bytes(const struct ckpt *k);
struct ckpt_item *ckpt_garbage_take(struct ckpt *k);
void ckpt_garbage_return(struct ckpt *k, struct ckpt_item *garbage);

/* What was deleted or replaced, and is not free yet, bytes. */
uint64_t ckpt_unfreed_bytes(const struct ckpt *k);

/* Goes on with it, `count` steps. True: there is more to do. */
bool ckpt_clean(struct ckpt *k, uint32_t count);

/* The memory, for whoever owns the arena (ckpt_memory.h: growing it, giving
 * back what is not used). */
struct ckpt_memory *ckpt_memory(struct ckpt *k);

const struct replica *ckpt_replica(const struct ckpt *k);

/* The same on all whole nodes at the same place of the order. Reads all. */
uint64_t ckpt_hash(const struct ckpt *k);

struct ckpt_stats {
    uint32_t checkpoints, handles;
    uint64_t bytes; /* of what is limited */
    uint64_t applied, failed, ticks;
};
struct ckpt_stats ckpt_stats_get(const struct ckpt *k);

#endif
