/* SPDX-License-Identifier: BSD-3-Clause */
/* replica.h - a service's state, the same on every node: who has it, and how a
 * node that does not gets it.
 *
 * Read this to write a replicated service. The service is a deterministic
 * machine. Its clients' requests are multicast as *operations*; every node
 * applies them in the one order, to the same state, with the same result. It
 * reads no clock and acts on nothing that only its own node saw: it multicasts
 * that too. What it has to supply is struct replica_service; the rest is here.
 *
 * After each regular configuration every member multicasts what it holds
 * (INFO). When those of all members have been delivered, all know the same at
 * the same place of the order, and decide the same (the *plan*): whose state
 * goes on. Members that hold it are *whole*. All others forget what they have
 * and get it: the *donor*, the lowest whole node, multicasts the state in
 * pieces. Between configuration and plan no node multicasts operations
 * (replica_ready()); they wait where their clients have put them. After the
 * plan whole nodes go on at once, also while pieces are sent; those that are
 * not whole yet hold their own clients back until they are.
 *
 * Whose state goes on. A history begins, empty, where no member of a
 * configuration has a whole state; its identity is `birth`. Members that have
 * gone through the same configurations since (`path`) have the same state: they
 * are a part. Of histories that began apart, the one with most operations goes
 * on (so nodes that have just been started do not put out what others have
 * held for weeks); of its parts, the one with most members, then most
 * operations, then the lowest node id. Histories with equally many are as one.
 * Only whole members and operations that succeeded count. The others' state is
 * given up.
 *
 * Pieces and operations. A piece is written when it is about to be sent, and
 * says how many operations its writer had applied then; others are ordered in
 * front of it. So a node that is not whole keeps the operations that it gets,
 * and applies them only when a piece comes: up to that piece's count, to what
 * it has so far; then it reads the piece. What it has is thus at any time a
 * true part of the whole state: that before the *cursor*. It cannot tell
 * whether an operation succeeded (that may depend on what it has not got), so
 * each piece says that too, a bit for each. It keeps operations only as long
 * as pieces are under way: what the ring sends in one or two rotations.
 *
 * If a configuration comes in between, nothing is lost: who was not whole says
 * how far it has come, and the new donor goes on there. If nobody is left that
 * is whole, all begin empty.
 *
 * Pure. Owner: protocol thread. Allocates only on nodes that are not whole, and
 * bits for them on the others. Messages: doc/wire.md. */
#ifndef DAEMON_SERVICE_REPLICA_H
#define DAEMON_SERVICE_REPLICA_H

#include "daemon/base/bytes.h"
#include "daemon/totem/totem.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    REPLICA_OP_HEAD_SIZE = 10,       /* in front of each operation */
    REPLICA_HELLO_SIZE_MAX = 64,     /* what a member says for the service */
    REPLICA_PIECE_SIZE_MAX = 32768,  /* of the service's part of a piece */
    REPLICA_MESSAGE_SIZE_MAX = 65000 /* of any message made here */
};

/* A place in the state, in the order in which it is sent; the service's to
 * interpret. All 0 is the beginning. Compared word by word. */
struct replica_cursor {
    uint64_t at[3];
};

struct replica_op {
    uint32_t sender;
    struct bytes data; /* behind the head; as the sender's service wrote it */
    /* False: this node has only what is before its cursor, and the operation
     * succeeded elsewhere: do what it does to that part, and do not judge it.
     */
    bool whole;
};

/* What the members of a configuration have agreed on. */
struct replica_members {
    /* Those that go on with this state, ascending. What others held in it
     * (open handles) is given up: they have left, or begin anew. */
    const uint32_t *going_on;
    uint32_t going_on_count;
    /* All members of the configuration, ascending, and what each has to say
     * (replica_hello_set()). */
    const uint32_t *all;
    const struct bytes *hellos;
    uint32_t all_count;
};

/* What a service supplies. `context` is replica_config.context. */
struct replica_service {
    /* Applies an operation; true: it succeeded. Must be deterministic. Data
     * that makes no sense is a failure. What fails has no effect: nodes that
     * are not whole leave it out. */
    bool (*apply)(void *context, const struct replica_op *op);

    /* Another set of members. It is applied in the order as operations are, on
     * part of the state too. */
    void (*members)(void *context, const struct replica_members *m);

    /* Forgets everything: the empty state. */
    void (*reset)(void *context);

    /* Writes what comes next behind *cursor and moves it there, never back; up
     * to `w`'s room (REPLICA_PIECE_SIZE_MAX), at least one thing if there is
     * one. True: that was all. *cursor may have come from another node, whose
     * state was an earlier one: the thing it names may be gone by now. A
     * stranger's may be anything, and must do no harm. */
    bool (*piece_write)(void *context, struct replica_cursor *cursor,
                        struct writer *w);

    /* Reads a piece, which may have been read before, in part or whole. Not
     * called for one without a byte. False: it makes no sense; the state is
     * given up, and gone for again after the next configuration. */
    bool (*piece_read)(void *context, struct bytes data);

    /* This node's state has become whole (`true`), by the last piece or as a
     * new history; or it has been given up. Whole nodes that go on are not
     * told. */
    void (*whole)(void *context, bool whole);
};

struct replica_config {
    uint32_t node_id;
    uint64_t incarnation;
    const struct replica_service *service;
    void *context;
    struct bytes hello; /* see replica_hello_set() */
};

struct replica;

/* NULL when memory is short. */
struct replica *replica_new(const struct replica_config *config);
void replica_free(struct replica *r);

/* --- inputs from the order ------------------------------------------------ */

/* A configuration; transitional ones change nothing. */
void replica_configuration(struct replica *r,
                           const struct totem_configuration *conf);

/* A message of the service's that `sender` multicast. Operations are applied,
 * or kept. False: it makes no sense, and is dropped; one of an earlier
 * configuration is dropped too, and true. */
bool replica_message(struct replica *r, uint32_t sender, struct bytes data);

/* --- what this node multicasts -------------------------------------------- */

/* May operations of this node be multicast now? */
bool replica_ready(const struct replica *r);

/* Is the state whole? It stays so, and may be read, until a plan gives it
 * up. */
bool replica_is_whole(const struct replica *r);

/* Writes what goes in front of an operation that is multicast in this
 * configuration. */
void replica_op_head(const struct replica *r,
                     uint8_t head[REPLICA_OP_HEAD_SIZE]);

enum replica_kind { REPLICA_NOTHING, REPLICA_INFO, REPLICA_PIECE };

/* What is to be multicast next. A piece is to be written only when it will be
 * sent at once (replica_message_write()): its sending may be put off, so that
 * clients have their share. INFO must not wait. */
enum replica_kind replica_message_kind(const struct replica *r);

/* What this node has to say for its service, from the next INFO on: copied, at
 * most REPLICA_HELLO_SIZE_MAX bytes. */
void replica_hello_set(struct replica *r, struct bytes hello);

/* Writes it: `to` has REPLICA_MESSAGE_SIZE_MAX bytes. It counts as sent, and is
 * to be multicast unless another configuration comes first. */
size_t replica_message_write(struct replica *r, uint8_t *to);

/* Is a message a piece, by its beginning? */
bool replica_is_piece(struct bytes message);

/* --- for logs, tests ------------------------------------------------------ */

struct replica_stats {
    uint64_t plans;     /* configurations agreed on */
    uint64_t resets;    /* states given up, whole or in part */
    uint64_t exchanges; /* got whole by pieces */
    uint64_t resumed;   /* plans in which this node's part was gone on with */
    uint64_t pieces_sent, piece_bytes_sent, pieces_read, piece_bytes_read;
    uint64_t kept_bytes, kept_bytes_most; /* operations kept, now and at most */
    uint64_t operations; /* of the state now: of clients, that succeeded */
};
const struct replica_stats *replica_stats_get(const struct replica *r);

/* Operations since the history began, which it is, and the path through
 * configurations: two whole nodes for which all three are the same have the
 * same state, if they also came to it through the same transitional
 * configuration, since their last plan. (Behind a gap, two parts of a ring that
 * falls apart may apply as many operations, and not the same.) */
struct replica_place {
    uint64_t birth, path, index;
};
struct replica_place replica_place_get(const struct replica *r);

#endif
