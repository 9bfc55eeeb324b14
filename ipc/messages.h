/* SPDX-License-Identifier: BSD-3-Clause */
/* messages.h - what a client library and the daemon say to each other.
 *
 * Over the UNIX socket: one struct ipc_hello from the client, one struct
 * ipc_welcome back, with descriptors if it says IPC_OK (enum ipc_fd), then
 * nothing but single bytes from the daemon, each meaning "you were asleep, look
 * at the event ring". The socket stays open; its end is the end of the peer.
 *
 * In the rings: the records below. Host byte order, since both ends share a
 * machine; fixed widths, no padding left to the compiler, so that 32-bit
 * clients can talk to a 64-bit daemon. On change, bump IPC_VERSION. */
#ifndef IPC_MESSAGES_H
#define IPC_MESSAGES_H

#include <stdint.h>

enum {
    IPC_MAGIC = 0x4f414953, /* "OAIS" */
    IPC_VERSION = 5,
    IPC_HELLO_SIZE_MAX = 256 /* a newer client's hello may be longer, bytes */
};

/* Descriptors in the welcome, in this order. */
enum ipc_fd {
    IPC_FD_SEGMENT,
    IPC_FD_BELL,       /* eventfd: wakes the daemon for the submit ring */
    IPC_FD_REPLY,      /* socket: a byte wakes who sleeps on the reply ring */
    IPC_FD_ROOM,       /* socket: a byte tells of room in the submit ring */
    IPC_FD_QUERY_BELL, /* eventfd: wakes the ipc worker for the query ring */
    IPC_FD_ANSWER,     /* socket: a byte wakes who sleeps on the answer ring */
    IPC_FDS,
    /* To clients of CKPT, if arena_size is not 0; see ipc/arena.h. */
    IPC_FD_ARENA = IPC_FDS,
    IPC_FDS_MAX
};

/* Values are those of SaAisErrorT and cs_error_t, and stay so. */
enum ipc_error {
    IPC_OK = 1,
    IPC_ERR_LIBRARY = 2,
    IPC_ERR_VERSION = 3,
    IPC_ERR_TRY_AGAIN = 6,
    IPC_ERR_INVALID_PARAM = 7,
    IPC_ERR_NO_MEMORY = 8,
    IPC_ERR_BAD_HANDLE = 9,
    IPC_ERR_ACCESS = 11,
    IPC_ERR_NOT_EXIST = 12,
    IPC_ERR_EXIST = 14,
    IPC_ERR_NO_SPACE = 15,
    IPC_ERR_NO_RESOURCES = 18,
    IPC_ERR_NOT_SUPPORTED = 19,
    IPC_ERR_BAD_OPERATION = 20,
    IPC_ERR_TOO_BIG = 26,
    IPC_ERR_NO_SECTIONS = 27,
    IPC_ERR_TOO_MANY_GROUPS = 30
};

/* A connection belongs to one service. Values but EVS's are of SaServicesT. */
enum ipc_service {
    IPC_SERVICE_EVS = 1,
    IPC_SERVICE_CLM = 3,
    IPC_SERVICE_CKPT = 4
};

/* The first 12 bytes mean the same in all versions. */
struct ipc_hello {
    uint32_t magic;
    uint32_t version;
    uint32_t size;    /* of the whole hello, bytes */
    uint32_t service; /* enum ipc_service */
    /* Wishes, bytes; 0: the daemon's default. It gives the next power of two,
     * no more than its default, no less than it needs; see the welcome. */
    uint32_t submit_size, event_size;
};
_Static_assert(sizeof(struct ipc_hello) == 24, "ipc ABI");

struct ipc_welcome {
    uint32_t magic;
    uint32_t version; /* the daemon's */
    uint32_t size;    /* of the whole welcome, bytes */
    uint32_t result;  /* enum ipc_error; the rest is valid if IPC_OK */
    uint32_t node_id;
    /* Rings, bytes. */
    uint32_t submit_size, reply_size, event_size, query_size, answer_size;
    uint32_t message_size_max; /* payload, bytes */
    uint32_t spin_ns;          /* what to spin before sleeping; 0: never */
    uint64_t arena_size;       /* bytes; 0: none */
    uint64_t arena_address;    /* the daemon's, where it begins */
};
_Static_assert(sizeof(struct ipc_welcome) == 64, "ipc ABI");

/* --- records of the EVS service ------------------------------------------- */

enum {
    IPC_GROUP_KEY_SIZE = 32,
    IPC_GROUPS_PER_CALL_MAX = 50, /* in one join or leave */
    IPC_GROUPS_MAX = 255,         /* joined by a handle, or in a message */
    /* Groups before the payload of a message: see daemon/service/evs.h. */
    IPC_EVS_HEADER_SIZE_MAX = 1 + IPC_GROUPS_MAX * (1 + IPC_GROUP_KEY_SIZE),
    IPC_NODES_MAX = 128
};

enum ipc_submit_type {
    IPC_SUBMIT_EVS_MCAST = 1, /* struct ipc_evs_mcast, groups, payload */
    IPC_SUBMIT_EVS_JOIN = 2,  /* struct ipc_evs_groups, keys */
    IPC_SUBMIT_EVS_LEAVE = 3  /* the same */
};

/* Not answered. Followed by the body that goes on the wire: groups_size bytes
 * of groups, and the payload. */
struct ipc_evs_mcast {
    uint32_t guarantee; /* 0 .. 2: agreed, 3: safe */
    uint32_t groups_size;
};
_Static_assert(sizeof(struct ipc_evs_mcast) == 8, "ipc ABI");

/* Followed by `count` keys of IPC_GROUP_KEY_SIZE bytes. Answered by ipc_reply;
 * a leave that finds a group not joined stops there, and says how far it
 * came. */
struct ipc_evs_groups {
    uint32_t count;
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_evs_groups) == 8, "ipc ABI");

/* The record's type is that of the request. */
struct ipc_reply {
    uint32_t result; /* enum ipc_error */
    uint32_t done;   /* keys joined or left; members that follow */
};
_Static_assert(sizeof(struct ipc_reply) == 8, "ipc ABI");

enum ipc_query_type {
    IPC_QUERY_EVS_MEMBERS = 1, /* nothing */
    IPC_QUERY_EVS_GROUPS = 2   /* struct ipc_evs_groups_from */
};

/* Answer to MEMBERS: followed by reply.done node ids of 4 bytes, ascending. */
struct ipc_evs_members {
    struct ipc_reply reply;
    uint32_t node_id; /* the local one */
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_evs_members) == 16, "ipc ABI");

/* The table of groups joined on this node is told in pieces: begin at 0, go on
 * at the `next` of the answer, until that is 0; a piece may be empty. */
struct ipc_evs_groups_from {
    uint32_t from;
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_evs_groups_from) == 8, "ipc ABI");

struct ipc_evs_group_info {
    uint8_t key[IPC_GROUP_KEY_SIZE];
    uint32_t handles; /* of this node that have joined it */
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_evs_group_info) == 40, "ipc ABI");

enum { IPC_GROUP_INFOS_MAX = 64 }; /* in one answer */

/* Answer to GROUPS: followed by reply.done infos. */
struct ipc_evs_group_list {
    struct ipc_reply reply;
    uint32_t next;
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_evs_group_list) == 16, "ipc ABI");

enum ipc_event_type {
    IPC_EVENT_EVS_MESSAGE = 1,      /* struct ipc_evs_message, payload */
    IPC_EVENT_EVS_CONFIGURATION = 2 /* struct ipc_evs_configuration, ids */
};

struct ipc_evs_message {
    uint32_t node_id; /* sender */
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_evs_message) == 8, "ipc ABI");

/* Followed by the ids of members, left, joined: 4 bytes each, ascending. */
struct ipc_evs_configuration {
    uint64_t ring_seq;
    uint32_t ring_node_id;
    uint32_t transitional; /* 1 or 0 */
    uint32_t member_count, left_count, joined_count;
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_evs_configuration) == 32, "ipc ABI");

/* --- records of the CLM service ------------------------------------------- */

/* What the daemon knows of a node. */
struct ipc_clm_node {
    uint32_t node_id;
    uint32_t member;       /* 1 or 0 */
    uint64_t boot_ns;      /* since the epoch, UTC */
    uint64_t initial_view; /* the view in which it joined */
    uint64_t incarnation;  /* of its daemon */
    uint32_t family;       /* 1: IPv4, 2: IPv6, as SaClmNodeAddressFamilyT */
    uint16_t address_length, name_length;
    uint8_t address[64]; /* as text */
    uint8_t name[256];
};
_Static_assert(sizeof(struct ipc_clm_node) == 360, "ipc ABI");

enum ipc_clm_submit_type {
    IPC_SUBMIT_CLM_TRACK = 32,      /* struct ipc_clm_track */
    IPC_SUBMIT_CLM_TRACK_STOP = 33, /* nothing */
    IPC_SUBMIT_CLM_NODE_GET = 34    /* struct ipc_clm_node_get */
};

enum ipc_clm_track_flags { /* as SA_TRACK_... */
                           IPC_CLM_CURRENT = 1,
                           IPC_CLM_CHANGES = 2,
                           IPC_CLM_CHANGES_ONLY = 4,
                           IPC_CLM_LOCAL = 8
};

/* CURRENT: one event with all nodes. CHANGES, CHANGES_ONLY: an event at each
 * new view from now on; replaces what was asked for before. The library has
 * checked the flags; what makes no sense costs the connection. Answered by
 * ipc_reply, when the event can be read already: TRY_AGAIN, if there is no view
 * yet (or, for CURRENT, its event ring is full), and then nothing has
 * changed. */
struct ipc_clm_track {
    uint32_t flags;
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_clm_track) == 8, "ipc ABI");

/* TRACK_STOP is answered by ipc_reply, NOT_EXIST: nothing was tracked. */

/* Answered by an event, and then by ipc_reply (TRY_AGAIN: no view yet, or the
 * event ring is full, and no event). */
struct ipc_clm_node_get {
    uint64_t invocation;
    uint32_t node_id; /* 0xffffffff: the local one */
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_clm_node_get) == 16, "ipc ABI");

enum ipc_clm_query_type {
    IPC_QUERY_CLM_NODE = 32, /* struct ipc_clm_node_query */
    IPC_QUERY_CLM_NODES = 33 /* struct ipc_clm_nodes_query */
};

struct ipc_clm_node_query {
    uint32_t node_id; /* 0xffffffff: the local one */
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_clm_node_query) == 8, "ipc ABI");

/* reply.result: OK, NOT_EXIST, TRY_AGAIN (no view yet). */
struct ipc_clm_node_answer {
    struct ipc_reply reply;
    struct ipc_clm_node node;
};
_Static_assert(sizeof(struct ipc_clm_node_answer) == 368, "ipc ABI");

/* The members in pieces, the local node first, then ascending by id: begin at
 * 0, go on at `next`, until that is 0. If `view` is another than that of the
 * first piece, begin again. */
struct ipc_clm_nodes_query {
    uint32_t from;
    uint32_t local; /* 1: the local node alone */
};
_Static_assert(sizeof(struct ipc_clm_nodes_query) == 8, "ipc ABI");

enum { IPC_CLM_NODES_PER_ANSWER_MAX = 16 };

/* Followed by reply.done nodes. */
struct ipc_clm_nodes_answer {
    struct ipc_reply reply;
    uint32_t next;
    uint32_t member_count;
    uint64_t view;
};
_Static_assert(sizeof(struct ipc_clm_nodes_answer) == 24, "ipc ABI");

enum ipc_clm_event_type {
    IPC_EVENT_CLM_TRACK = 32, /* struct ipc_clm_track_event, items */
    IPC_EVENT_CLM_NODE = 33   /* struct ipc_clm_node_event */
};

enum ipc_clm_change { /* as SaClmClusterChangesT */
                      IPC_CLM_NO_CHANGE = 1,
                      IPC_CLM_JOINED = 2,
                      IPC_CLM_LEFT = 3
};

struct ipc_clm_item {
    struct ipc_clm_node node;
    uint32_t change; /* enum ipc_clm_change */
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_clm_item) == 368, "ipc ABI");

/* Followed by item_count items, the local node first if it is among them, then
 * ascending by id. */
struct ipc_clm_track_event {
    uint64_t view;
    uint32_t member_count; /* of the view */
    uint32_t item_count;
    uint32_t current; /* 1: asked for by CURRENT, 0: a change */
    uint32_t cause; /* the node that the change is about (one of them), or 0 */
};
_Static_assert(sizeof(struct ipc_clm_track_event) == 24, "ipc ABI");

struct ipc_clm_node_event {
    uint64_t invocation;
    uint32_t result; /* OK, NOT_EXIST */
    uint32_t reserved;
    struct ipc_clm_node node;
};
_Static_assert(sizeof(struct ipc_clm_node_event) == 376, "ipc ABI");

/* --- records of the CKPT service ------------------------------------------ */

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
