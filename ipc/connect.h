/* SPDX-License-Identifier: BSD-3-Clause */
/* connect.h - how a client library and the daemon begin to talk, and what the
 * records of all services share. Each service's own records are in ipc/<its
 * name>.h.
 *
 * Over the UNIX socket: one struct ipc_hello from the client, one struct
 * ipc_welcome back, with descriptors if it says IPC_OK (enum ipc_fd), then
 * nothing but single bytes from the daemon, each meaning "you were asleep, look
 * at the event ring". The socket stays open; its end is the end of the peer.
 *
 * In the rings: records of the one service that the client has asked for. They
 * are in host byte order, since both ends share a machine. Their fields have
 * fixed widths, and no padding is left to the compiler, so that 32-bit clients
 * can talk to a 64-bit daemon. A change of any of these structs, or of those in
 * ipc/<service>.h, takes a new IPC_VERSION. */
#ifndef IPC_CONNECT_H
#define IPC_CONNECT_H

#include <stdint.h>

enum {
    IPC_MAGIC = 0x4f414953, /* "OAIS" */
    IPC_VERSION = 5,
    IPC_HELLO_SIZE_MAX = 256, /* a newer client's hello may be longer, bytes */
    IPC_NODES_MAX = 128       /* of a cluster */
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

/* How most requests and queries are answered, or what their answer begins with.
 * The record's type is that of the request. */
struct ipc_reply {
    uint32_t result; /* enum ipc_error */
    uint32_t done;   /* items that were done, or that follow */
};
_Static_assert(sizeof(struct ipc_reply) == 8, "ipc ABI");

#endif
