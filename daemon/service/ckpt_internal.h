/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_internal.h - the CKPT service as its files see it. */
#ifndef DAEMON_SERVICE_CKPT_INTERNAL_H
#define DAEMON_SERVICE_CKPT_INTERNAL_H

#include "daemon/base/check.h"
#include "daemon/service/ckpt.h"
#include "daemon/service/ckpt_users.h"

/* Operations, on the wire. Those of clients have the numbers of their
 * requests. */
enum { OP_REOPEN = 1, OP_TICK = 2, OP_CLOCK = 3 };

enum {
    NO_CLIENT = 0xffffffff,
    /* In the shortest head of a request: that many at most. */
    ELEMENTS_MAX = IPC_CKPT_HEAD_SIZE_MAX / sizeof(struct ipc_ckpt_element),
    /* Of a tick: what is due, each a checkpoint and a section. */
    OP_TICK_ITEM_SIZE = 16,
    OP_TICK_ITEMS_MAX = 500,
    /* Sections taken apart with each operation: more than it can make. */
    SWEPT_PER_OP = 4
};

/* What stands in front of every operation. */
struct op_head {
    uint8_t op;
    uint32_t client; /* of the sender; NO_CLIENT: the daemon itself */
    uint64_t id;     /* the sender's, of the request */
    int64_t now_ns;
};

struct element {
    uint64_t offset;
    uint32_t size;
    struct bytes id;
};

/* What a client has asked for and not got yet. */
struct pending {
    uint64_t id;   /* 0: nothing */
    uint32_t user; /* whose open it is; 0: nobody's */
    bool safe;
    struct ckpt_outcome outcome;
};

enum handle_state {
    HANDLE_FREE,
    HANDLE_OPEN,
    HANDLE_REOPEN,    /* the state was given up: is to be opened again */
    HANDLE_REOPENING, /* under way */
    HANDLE_GONE,      /* its checkpoint is not in the state that goes on */
    HANDLE_CLOSE,     /* its client is gone: is to be closed */
    HANDLE_CLOSING    /* under way */
};

struct handle {
    /* Readers' too. */
    _Atomic uint32_t owner; /* client + 1; 0: none */
    _Atomic bool gone;
    _Atomic(struct ckpt_checkpoint *) checkpoint;

    enum handle_state state;
    uint32_t next, prev; /* of its list, numbers + 1; 0: the end */
    uint32_t user;       /* that it counts for; 0: none */
    uint64_t number;     /* of the checkpoint, when closing */
    uint16_t name_size;  /* when it has to be opened again */
    uint8_t name[IPC_CKPT_NAME_SIZE_MAX];
};

struct ckpt {
    struct ckpt_config config;
    struct replica *replica;
    _Atomic bool whole; /* may be read */

    /* The replicated state. */
    struct ckpt_store store;
    uint64_t next_checkpoint; /* number */
    bool checkpoints_here;    /* false: only those so far, see replica.h */
    uint32_t checkpoint_max;
    uint64_t bytes_max;
    struct ckpt_clock clock; /* part of it */

    /* This node's. */
    bool tick_due, tick_sent;
    uint64_t last_id; /* of requests; above it in an id, the user */
    struct pending *pending;
    uint32_t *client_handles; /* first of each client, number + 1 */
    struct handle *handles;
    uint32_t free_handles; /* first */
    uint32_t handles_used, never_used;
    uint32_t opening; /* of clients, sent and not back yet */
    struct ckpt_users users;
    uint32_t work; /* handles to be opened again or closed */
    uint32_t reopening;
    uint32_t look; /* where to look for the next of these */
    bool outcome_there;
    struct ckpt_outcome outcome;
    uint64_t applied, failed, tick_count;
};

/* Where the name of an array is all there is. */
static inline struct bytes bytes_of(const uint8_t *p, size_t n)
{
    return (struct bytes){p, n};
}

/* --- handles (ckpt.c) ----------------------------------------------------- */

/* The one place where a handle's state changes. */
void ckpt_handle_state(struct ckpt *k, struct handle *h,
                       enum handle_state state);

/* Has this node to multicast something for it? */
bool ckpt_handle_is_work(enum handle_state state);

/* The beginning of an operation, in CKPT_HEAD_SIZE_MAX bytes; its size. */
struct writer ckpt_op_begin(const struct ckpt *k, uint8_t *to,
                            const struct op_head *head);
static inline size_t ckpt_op_end(const struct writer *w)
{
    CHECK(!w->failed);
    return w->written;
}

static inline void ckpt_write_key(struct writer *w, struct bytes key)
{
    write_u16(w, (uint16_t)key.n);
    write_bytes(w, key);
}

/* The user whose operation of this node it is; 0: nobody's. */
enum { OP_ID_BITS = 48 };
static inline uint32_t ckpt_own_user(const struct ckpt *k,
                                     const struct op_head *head)
{
    uint64_t user = head->id >> OP_ID_BITS;

    return user <= k->users.used ? (uint32_t)user : 0;
}

/* The outcome of an operation that this node sent. */
void ckpt_own_opened(struct ckpt *k, const struct op_head *head,
                     struct ckpt_checkpoint *c, struct ipc_ckpt_reply *reply);
void ckpt_own_reopened(struct ckpt *k, uint32_t handle,
                       struct ckpt_checkpoint *c);
void ckpt_own_closed(struct ckpt *k, uint32_t handle);
void ckpt_own_done(struct ckpt *k, const struct op_head *head,
                   const struct ipc_ckpt_reply *reply);

/* --- the state (ckpt_apply.c) --------------------------------------------- */

bool ckpt_apply(void *context, const struct replica_op *op);
void ckpt_members(void *context, const struct replica_members *m);

/* False: they make no sense. */
bool ckpt_read_attributes(struct reader *r, struct ipc_ckpt_attributes *a);
void ckpt_write_attributes(struct writer *w,
                           const struct ipc_ckpt_attributes *a);
void ckpt_write_head(struct writer *w, const struct op_head *head);

/* --- pieces (ckpt_piece.c) ------------------------------------------------ */

bool ckpt_piece_write(void *context, struct replica_cursor *cursor,
                      struct writer *w);
bool ckpt_piece_read(void *context, struct bytes data);

#endif
