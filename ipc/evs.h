/* SPDX-License-Identifier: BSD-3-Clause */
/* evs.h - records of the EVS service in the rings; see ipc/connect.h. */
#ifndef IPC_EVS_H
#define IPC_EVS_H

#include "ipc/connect.h"

enum {
    IPC_GROUP_KEY_SIZE = 32,
    IPC_GROUPS_PER_CALL_MAX = 50, /* in one join or leave */
    IPC_GROUPS_MAX = 255,         /* joined by a handle, or in a message */
    /* Groups before the payload of a message: see daemon/service/evs.h. */
    IPC_EVS_HEADER_SIZE_MAX = 1 + IPC_GROUPS_MAX * (1 + IPC_GROUP_KEY_SIZE)
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

/* Followed by `count` keys of IPC_GROUP_KEY_SIZE bytes. Answered by ipc_reply,
 * `done` keys joined or left; a leave that finds a group not joined stops
 * there, and says how far it came. */
struct ipc_evs_groups {
    uint32_t count;
    uint32_t reserved;
};
_Static_assert(sizeof(struct ipc_evs_groups) == 8, "ipc ABI");

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

#endif
