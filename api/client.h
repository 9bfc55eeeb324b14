/* SPDX-License-Identifier: BSD-3-Clause */
/* client.h - the connection of a client library to the daemon: requests,
 * queries, events. library.h and ais.h build on it what the libraries share. */
#ifndef API_CLIENT_H
#define API_CLIENT_H

#include "ipc/arena.h"
#include "ipc/connect.h"
#include "ipc/ring.h"
#include "ipc/segment.h"
#include "ipc/spin.h"

#include <corosync/corotypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    /* The reply ring has room for as many. */
    CONN_OWED_MAX = 24,
    CONN_ANSWER_PARTS = 2
};

/* Answers that will come: to what somebody waits for, and, late, to what was
 * given up. They come in the order in which they were asked for. */
struct conn_owed {
    _Atomic uint32_t count;
    uint32_t types[CONN_OWED_MAX]; /* the next one first */
    uint32_t awaited;              /* place of the one that is waited for, from
                                    * 1 on; 0: none */
};

/* A request that takes back what another one has done. */
struct conn_undo {
    uint32_t type, size; /* of the record, bytes */
    uint8_t body[32];
};

/* A reply has come that nobody waits for any more. True: *undo is to be
 * submitted. */
typedef bool (*conn_undo_fn)(uint32_t type, const uint8_t *reply, uint32_t size,
                             struct conn_undo *undo);

struct library;

/* The connection. Each ring has one owner at a time: the holder of its lock.
 * Order of locks: dispatch_lock, then request_lock or query_lock, then
 * submit_lock. Callbacks run under dispatch_lock and may make requests; nobody
 * waits for dispatch_lock with another of them. */
struct conn {
    int socket;   /* readable: events, or the daemon's end */
    int doorbell; /* eventfd: wakes the daemon */
    int reply_fd; /* socket: bytes wake who waits for a reply */
    int room_fd;  /* socket: readable when there is room again; see no_room() */
    int query_bell; /* eventfd: wakes the ipc worker */
    int answer_fd;  /* socket: bytes wake who waits for an answer */
    struct segment segment;
    struct arena arena; /* of the checkpoints */
    uint64_t arena_address;
    uint32_t node_id, message_size_max;
    const struct library *library; /* see library.h */
    uint64_t handle;               /* by which the program names it */

    _Atomic bool closing; /* finalized */
    _Atomic bool dead;    /* the daemon is gone, or its rings make no sense */
    _Atomic bool foreign; /* this is a child; the connection is its parent's */

    pthread_mutex_t submit_lock;
    struct ring_producer submit;
    uint32_t unchecked; /* records since the last look for the daemon's end */
    bool room_polled;   /* the program watches room_fd */
    /* How long a submission may wait for room, ns; negative: for ever. */
    _Atomic int64_t send_timeout_ns;

    pthread_mutex_t request_lock;
    /* For who waits for that no longer than until some time: see lock_until().
     * patient_lock is over the condition alone. */
    pthread_mutex_t patient_lock;
    pthread_cond_t request_free;
    _Atomic uint32_t patient_count;
    struct ring_consumer reply;
    struct spin reply_spin;
    struct conn_owed owed_replies;
    conn_undo_fn undo; /* the library's, set before others see it; or NULL */

    pthread_mutex_t query_lock;
    struct ring_producer query;
    struct ring_consumer answer;
    struct spin answer_spin;
    struct conn_owed owed_answers; /* one at most */

    pthread_mutex_t dispatch_lock; /* recursive: callbacks may dispatch */
    struct ring_consumer event;
    struct spin event_spin;
    uint32_t depth; /* of dispatches in callbacks */
    bool armed;     /* announced as asleep, and not seen to be taken */
    uint32_t owed;  /* wake-up bytes sent to us that we have not read */
};

/* --- connection ----------------------------------------------------------- */

/* Wishes for the rings, bytes; 0: the daemon's default. */
struct conn_rings {
    uint32_t submit_bytes, event_bytes;
};

/* Connects to the daemon for `service`: CS_OK or why not; then nothing is left
 * open. */
cs_error_t conn_open(struct conn *c, enum ipc_service service,
                     struct conn_rings rings);

/* Frees what conn_open() made; nobody uses the connection any more. */
void conn_close(struct conn *c);

/* In a child made by fork(): its copies of the descriptors only. */
void conn_close_fds(struct conn *c);

/* From any thread: whoever waits on the connection returns soon. */
void conn_shutdown(struct conn *c);

/* Looks at the socket: has the daemon gone, or sent this client away? */
bool conn_is_dead(struct conn *c);

/* The library's own result for one of the daemon's. */
cs_error_t conn_error(uint32_t result);

/* --- submitting ----------------------------------------------------------- */

/* Room for a record of `size` bytes in the submit ring, which stays locked
 * until conn_commit(). NULL: *error says why, and it is not locked. Waits for
 * room for as long as the connection's send_timeout_ns says: TRY_AGAIN, if that
 * is 0, else TIMEOUT. */
void *conn_claim(struct conn *c, uint32_t size, cs_error_t *error);

/* In place of conn_commit(): nothing is submitted. */
void conn_unclaim(struct conn *c);

/* Submits it, wakes the daemon if it sleeps. CS_ERR_LIBRARY: it is gone. */
cs_error_t conn_commit(struct conn *c, uint32_t type, uint32_t size);

/* A request or a query, and where its answer goes. */
struct conn_call {
    uint32_t type;
    uint32_t part_count;
    struct iovec head;         /* CONN_PART(): the record's struct */
    const struct iovec *parts; /* what follows it, one behind the other */
    uint64_t end_ns; /* from conn_deadline(); 0: as long as it takes */
    /* If true when it is looked at, then BAD_HANDLE: nothing has been, or will
     * be, submitted after it became true. NULL: never. */
    const _Atomic bool *revoked;
    struct iovec answer[CONN_ANSWER_PARTS]; /* filled one after the other */
    size_t answer_size;                     /* of what came, bytes */
};

/* A part of a record, which is only read. */
#define CONN_PART(at, size)                                                    \
    {                                                                          \
        .iov_base = (void *)(uintptr_t)(at), .iov_len = (size)                 \
    }

/* When a timeout that begins now ends, CLOCK_MONOTONIC, ns; 0 for INT64_MAX:
 * never. */
uint64_t conn_deadline(int64_t timeout_ns);

/* Submits a request and waits for its reply. CS_ERR_TIMEOUT: it is end_ns; the
 * request may have been submitted, and be obeyed later. The reply is then
 * skipped when it comes, with the next request or by conn_take_late(), and
 * shown to c->undo. CS_ERR_TRY_AGAIN: CONN_OWED_MAX replies have not come. */
cs_error_t conn_request(struct conn *c, struct conn_call *call);

/* Takes late replies that have come; cheap if there are none. */
void conn_take_late(struct conn *c);

/* Bytes that a record submitted now could have, at least. */
uint32_t conn_room(struct conn *c);

/* The descriptor that tells of room, from now on after each TRY_AGAIN. */
int conn_room_fd(struct conn *c);

/* Asks the ipc worker, and waits for its answer. CS_ERR_TRY_AGAIN: it has not
 * come until end_ns, or for 10 s; it is skipped when it comes, before the next
 * query. */
cs_error_t conn_query(struct conn *c, struct conn_call *call);

/* --- events --------------------------------------------------------------- */

typedef void (*conn_event_fn)(void *context, uint32_t type, const uint8_t *body,
                              uint32_t size);

/* Runs `deliver` on events in order, as CS_DISPATCH_... says. */
cs_error_t conn_dispatch(struct conn *c, cs_dispatch_flags_t flags,
                         conn_event_fn deliver, void *context);

#endif
