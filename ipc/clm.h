/* SPDX-License-Identifier: BSD-3-Clause */
/* clm.h - records of the CLM service in the rings; see ipc/connect.h. */
#ifndef IPC_CLM_H
#define IPC_CLM_H

#include "ipc/connect.h"

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

#endif
