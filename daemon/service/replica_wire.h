/* SPDX-License-Identifier: BSD-3-Clause */
/* replica_wire.h - the messages of replica.c as structs and bytes. Layout:
 * doc/wire.md, 8. */
#ifndef DAEMON_SERVICE_REPLICA_WIRE_H
#define DAEMON_SERVICE_REPLICA_WIRE_H

#include "daemon/service/replica.h"

enum {
    REPLICA_BITS_MAX = 131072,   /* results in a piece */
    REPLICA_PIECE_HEAD_SIZE = 59 /* without the results */
};

enum replica_type { TYPE_INFO = 1, TYPE_OP = 2, TYPE_PIECE = 3 };

/* What a node has of a state. */
enum replica_holds { HOLDS_NONE, HOLDS_PART, HOLDS_WHOLE };

/* What a member says of itself. All behind `holds` but the hello is 0 with
 * HOLDS_NONE; so is `cursor`, but with HOLDS_PART. */
struct replica_info {
    struct totem_ring_id ring_id; /* of the configuration it is for */
    uint64_t incarnation;
    enum replica_holds holds;
    uint64_t birth, path, index;
    uint64_t operations; /* of `index`, those of clients that succeeded */
    uint64_t settled;    /* of `index`, those that nobody waits for */
    struct replica_cursor cursor;
    uint8_t hello_size;
    uint8_t hello[REPLICA_HELLO_SIZE_MAX];
};

struct replica_piece {
    struct totem_ring_id ring_id;
    uint64_t first;               /* operation that the first result is of */
    uint32_t count;               /* results */
    struct bytes results;         /* a bit for each, the lowest first */
    struct replica_cursor cursor; /* where the piece ends */
    bool last;
    struct bytes data; /* the service's */
};

/* A message that was read; bytes are borrowed from it. */
struct replica_message {
    enum replica_type type;
    union {
        struct replica_info info;
        struct {
            uint64_t ring_seq;
            struct bytes body;
        } op;
        struct replica_piece piece;
    };
};

/* False: it makes no sense. */
bool replica_wire_read(struct bytes data, struct replica_message *m);

void replica_wire_info(struct writer *w, const struct replica_info *info);
void replica_wire_op_head(struct writer *w, uint64_t ring_seq);
/* All of a piece that is in front of the service's bytes; the results are the
 * caller's to fill in, at the place that is given. */
uint8_t *replica_wire_piece_head(struct writer *w,
                                 const struct replica_piece *piece);

#endif
