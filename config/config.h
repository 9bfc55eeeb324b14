/* SPDX-License-Identifier: BSD-3-Clause */
/* config.h - openais.conf and the key file, read and checked at start.
 *
 * What comes out has no default left open and no value out of range: the rest
 * of the daemon takes it as it is. Nothing is printed here; every fault is one
 * sentence in the caller's buffer that names the file, the line and what is
 * allowed. All keys, ranges and defaults: doc/man/openais.conf.5.
 *
 * Called at start, by one thread at a time (libconfuse's scanner is global). */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONFIG_KEY_SIZE = 128,         /* the authkey: 1024 bits */
    CONFIG_NODES_MAX = 128,        /* of a unicast node list */
    CONFIG_FILE_SIZE_MAX = 262144, /* a larger file is refused, bytes */
    CONFIG_ERROR_SIZE = 1024       /* room for any error's text */
};

enum config_cipher { CONFIG_AES256GCM, CONFIG_CHACHA20POLY1305 };
enum config_transport { CONFIG_MULTICAST, CONFIG_UNICAST };
enum config_policy {
    CONFIG_POLICY_RR,
    CONFIG_POLICY_FIFO,
    CONFIG_POLICY_OTHER
};

struct config_totem {
    struct in_addr bindnetaddr; /* network, or an address in it */
    struct in_addr mcastaddr;   /* 0 when unicast and not set */
    uint16_t mcastport;         /* data; tokens use the next one */
    uint32_t nodeid;            /* 0: from the interface's address */
    char *nodename;             /* NULL: the host's */
    uint32_t netmtu;            /* IP packet, bytes; 0: the interface's */
    enum config_cipher cipher;
    char *keyfile;
    enum config_transport transport;
    uint32_t node_count; /* of nodes[]; the own one is among them */
    struct in_addr nodes[CONFIG_NODES_MAX];
    uint32_t window_packets; /* sent by all nodes in one rotation */
    uint32_t node_max;
    char *statedir;
    uint32_t receive_buffer_bytes, send_buffer_bytes;
    /* Where these keys were set (0: not set), for what only this host's
     * interfaces can show to be wrong. */
    unsigned bindnetaddr_line, mcastport_line, nodes_line;
};

struct config_logging {
    bool to_file, to_stderr, to_syslog;
    char *logfile; /* NULL: not set; never NULL with to_file */
    bool debug, timestamp;
};

struct config_timeout {
    uint64_t token_ns, token_retransmit_ns, hold_ns;
    uint64_t join_ns, consensus_ns, merge_ns, downcheck_ns;
    uint32_t retransmits_before_loss;
    uint32_t fail_recv_const; /* rotations */
};

struct config_runtime {
    enum config_policy policy;
    uint32_t priority; /* 1 .. 99; 0: the highest of the policy */
    bool lock_memory;
    bool core_dumps; /* with the key in them */
};

enum config_slow_reader { CONFIG_SLOW_PRESSURE, CONFIG_SLOW_DISCONNECT };

#define CONFIG_SPIN_MEASURE UINT32_MAX /* spin_us: what a wake-up takes */

#define CONFIG_UID_MIB_HALF UINT32_MAX /* of the machine's memory */

struct config_ipc {
    uint32_t client_max;
    uint32_t uid_client_max; /* of one user; 0: no such limit */
    uint32_t uid_mib_max;    /* likewise; or CONFIG_UID_MIB_HALF */
    uint32_t workers;
    uint32_t spin_us; /* or CONFIG_SPIN_MEASURE */
    enum config_slow_reader slow_reader;
    uint32_t submit_ring_bytes, event_ring_bytes; /* powers of two */
    uint32_t overflow_bytes;                      /* per client */
    uint32_t message_size_max;                    /* bytes */
    char *group; /* whose members may connect, beside uid 0 */
};

struct config_ckpt {
    uint32_t checkpoint_max;
    uint32_t uid_checkpoint_max, uid_handle_max; /* of one user, on this node;
                                                    0: no such limit */
    uint32_t memory_mib; /* of all sections, on each node */
    bool safe;           /* writes to all replicas */
    bool direct;         /* programs read by themselves */
};

struct config_event {
    uint32_t delivery_queue_size, delivery_queue_resume; /* events */
};

struct config {
    struct config_totem totem;
    struct config_logging logging;
    struct config_timeout timeout;
    struct config_runtime runtime;
    struct config_ipc ipc;
    struct config_ckpt ckpt;
    struct config_event event;
};

/* $OPENAIS_CONFIG, else /etc/ais/openais.conf. Static or the environment's. */
const char *config_default_path(void);

/* Reads and checks the file at `path`. 0, or -errno with the reason in `error`
 * (one line, no newline) and nothing for the caller to free: what open() or
 * read() gave, -EINVAL for a fault in the text, -EFBIG, -ENOMEM. */
int config_load(const char *path, struct config *out, char *error,
                size_t error_size);

/* The same for a text in memory, any bytes; `name` stands for the file. */
int config_parse(const char *name, const char *text, size_t size,
                 struct config *out, char *error, size_t error_size);

/* Frees what config_load() put into `c`; a zeroed struct is fine. */
void config_free(struct config *c);

/* Reads the cluster's key: exactly CONFIG_KEY_SIZE bytes in a regular file of
 * this process's effective user that nobody else can read or write. 0, or
 * -errno with file, fault and remedy in `error`; `key` is then zeroed. */
int config_key_load(const char *path, uint8_t key[CONFIG_KEY_SIZE], char *error,
                    size_t error_size);

#endif
