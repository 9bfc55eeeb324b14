/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt.h - records of the CKPT service in the rings; see ipc/connect.h. */
#ifndef IPC_CKPT_H
#define IPC_CKPT_H

#include "ipc/connect.h"

enum {
    IPC_CKPT_NAME_SIZE_MAX = 256,
    IPC_CKPT_SECTION_ID_SIZE_MAX = 256,
    IPC_CKPT_HEAD_SIZE_MAX = 4096 /* of a section request: all but the data */
};

/* What a client asks of checkpoints goes through the order, and is answered
 * when it comes out of it: by struct ipc_ckpt_reply, or, if `async`, by an
 * event alone. A client's requests are done one after the other. The library
 * has checked everything that needs no knowledge of the checkpoint's content,
 * and its attributes; what could not have passed it costs the connection. */
enum ipc_ckpt_submit_type {
    IPC_SUBMIT_CKPT_OPEN = 64,           /* struct ipc_ckpt_open */
    IPC_SUBMIT_CKPT_CLOSE = 65,          /* struct ipc_ckpt_request */
    IPC_SUBMIT_CKPT_UNLINK = 66,         /* struct ipc_ckpt_unlink */
    IPC_SUBMIT_CKPT_RETENTION_SET = 67,  /* struct ipc_ckpt_request */
    IPC_SUBMIT_CKPT_ACTIVE_SET = 68,     /* struct ipc_ckpt_request */
    IPC_SUBMIT_CKPT_SYNCHRONIZE = 69,    /* struct ipc_ckpt_request */
    IPC_SUBMIT_CKPT_SECTION_CREATE = 70, /* from here on struct */
    IPC_SUBMIT_CKPT_SECTION_DELETE = 71, /* ipc_ckpt_section_request, its */
    IPC_SUBMIT_CKPT_EXPIRATION_SET = 72, /* elements, the data */
    IPC_SUBMIT_CKPT_WRITE = 73,
    IPC_SUBMIT_CKPT_OVERWRITE = 74
};

enum ipc_ckpt_open_flags { /* as SA_CKPT_CHECKPOINT_... */
                           IPC_CKPT_READ = 1,
                           IPC_CKPT_WRITE = 2,
                           IPC_CKPT_CREATE = 4
};

enum ipc_ckpt_creation_flags { /* as SA_CKPT_... */
                               IPC_CKPT_WR_ALL_REPLICAS = 1,
                               IPC_CKPT_WR_ACTIVE_REPLICA = 2,
                               IPC_CKPT_WR_ACTIVE_REPLICA_WEAK = 4,
                               IPC_CKPT_COLLOCATED = 8
};

/* As SaCkptCheckpointCreationAttributesT. */
struct ipc_ckpt_attributes {
    uint32_t creation_flags;
    uint32_t section_max;
    uint64_t checkpoint_size; /* bytes */
    int64_t retention_ns;
    uint64_t section_size_max;    /* bytes */
    uint64_t section_id_size_max; /* bytes */
};
_Static_assert(sizeof(struct ipc_ckpt_attributes) == 40, "ipc ABI");

/* With CREATE the attributes are given, else zero. */
struct ipc_ckpt_open {
    uint64_t invocation;
    uint32_t flags; /* enum ipc_ckpt_open_flags */
    uint16_t async; /* 1 or 0 */
    uint16_t name_length;
    struct ipc_ckpt_attributes attributes;
    uint8_t name[IPC_CKPT_NAME_SIZE_MAX];
};
_Static_assert(sizeof(struct ipc_ckpt_open) == 312, "ipc ABI");

struct ipc_ckpt_unlink {
    uint32_t name_length;
    uint32_t reserved;
    uint8_t name[IPC_CKPT_NAME_SIZE_MAX];
};
_Static_assert(sizeof(struct ipc_ckpt_unlink) == 264, "ipc ABI");

struct ipc_ckpt_request {
    uint32_t handle; /* from struct ipc_ckpt_opened */
    uint32_t async;  /* SYNCHRONIZE: 1 or 0 */
    uint64_t invocation;
    int64_t retention_ns; /* RETENTION_SET */
};
_Static_assert(sizeof(struct ipc_ckpt_request) == 24, "ipc ABI");

/* Followed by `count` elements, at least 1, each a struct ipc_ckpt_element and
 * the id's bytes, padded to 8; head_size bytes with this struct. Then the data
 * of all elements, one behind the other. But for WRITE there is one element. An
 * id of length 0 is the default section, or, in SECTION_CREATE, one that the
 * service is to make (the reply has it). */
struct ipc_ckpt_section_request {
    uint32_t handle;
    uint32_t head_size;
    int64_t expiration_ns; /* SECTION_CREATE, EXPIRATION_SET */
    uint32_t count;
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_ckpt_section_request) == 24, "ipc ABI");

struct ipc_ckpt_element {
    uint64_t offset; /* WRITE, else 0 */
    uint32_t size;   /* of its data, bytes */
    uint16_t id_length;
    uint16_t reserved;
};
_Static_assert(sizeof(struct ipc_ckpt_element) == 16, "ipc ABI");

/* An open checkpoint. The attributes are the checkpoint's. */
struct ipc_ckpt_opened {
    uint32_t handle;
    uint32_t reserved;
    struct ipc_ckpt_attributes attributes;
};
_Static_assert(sizeof(struct ipc_ckpt_opened) == 48, "ipc ABI");

/* The record's type is that of the request. */
struct ipc_ckpt_reply {
    struct ipc_reply reply;        /* done: WRITE, the element at fault */
    struct ipc_ckpt_opened opened; /* OPEN */
    uint16_t id_length;            /* SECTION_CREATE, of a made id */
    uint8_t id[22];
};
_Static_assert(sizeof(struct ipc_ckpt_reply) == 80, "ipc ABI");

enum ipc_ckpt_event_type {
    IPC_EVENT_CKPT_OPEN = 64,       /* struct ipc_ckpt_open_event */
    IPC_EVENT_CKPT_SYNCHRONIZE = 65 /* struct ipc_ckpt_synchronize_event */
};

struct ipc_ckpt_open_event {
    uint64_t invocation;
    uint32_t result;
    uint32_t flags; /* of the open */
    struct ipc_ckpt_opened opened;
};
_Static_assert(sizeof(struct ipc_ckpt_open_event) == 64, "ipc ABI");

struct ipc_ckpt_synchronize_event {
    uint64_t invocation;
    uint32_t result;
    uint32_t handle;
};
_Static_assert(sizeof(struct ipc_ckpt_synchronize_event) == 16, "ipc ABI");

/* All are answered with TRY_AGAIN while the node is being brought up to date,
 * NOT_EXIST if the checkpoint is gone, or has no active replica. */
enum ipc_ckpt_query_type {
    IPC_QUERY_CKPT_READ = 64,   /* struct ipc_ckpt_read, the id */
    IPC_QUERY_CKPT_STATUS = 65, /* struct ipc_ckpt_status */
    IPC_QUERY_CKPT_NEXT = 66    /* struct ipc_ckpt_next */
};

struct ipc_ckpt_read {
    uint32_t handle;
    uint32_t id_length; /* 0: the default section */
    uint64_t offset;
    uint64_t size; /* wanted; as much comes as there is, and fits the ring */
};
_Static_assert(sizeof(struct ipc_ckpt_read) == 24, "ipc ABI");

/* Followed by reply.done bytes. INVALID_PARAM: the offset is beyond the end. If
 * there is more, it is asked for by another query: if `version` is not the same
 * then, the section has been written to in between. */
struct ipc_ckpt_read_answer {
    struct ipc_reply reply;
    uint64_t version;
    uint64_t section_size;
    /* How to read it without asking, from now on: the slot's place in the
     * arena, 0: not; and what its generation, and the arena's epoch, have to be
     * for that. */
    uint64_t slot, generation, epoch;
};
_Static_assert(sizeof(struct ipc_ckpt_read_answer) == 48, "ipc ABI");

struct ipc_ckpt_status {
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_ckpt_status) == 8, "ipc ABI");

struct ipc_ckpt_status_answer {
    struct ipc_reply reply;
    struct ipc_ckpt_attributes attributes;
    uint32_t section_count;
    uint32_t reserved;
    uint64_t memory_used; /* bytes */
};
_Static_assert(sizeof(struct ipc_ckpt_status_answer) == 64, "ipc ABI");

/* The first section behind the one of number `after` (0: the first of all) that
 * was chosen: as SaCkptSectionsChosenT. */
struct ipc_ckpt_next {
    uint32_t handle;
    uint32_t chosen;
    int64_t expiration_ns;
    uint64_t after;
};
_Static_assert(sizeof(struct ipc_ckpt_next) == 24, "ipc ABI");

/* Followed by the id. reply.result NO_SECTIONS: there is none. TRY_AGAIN with a
 * number: none so far, go on behind that one. */
struct ipc_ckpt_next_answer {
    struct ipc_reply reply;
    uint64_t number;
    int64_t expiration_ns, last_update_ns;
    uint64_t size;  /* bytes */
    uint32_t state; /* as SaCkptSectionStateT */
    uint32_t id_length;
};
_Static_assert(sizeof(struct ipc_ckpt_next_answer) == 48, "ipc ABI");

#endif
