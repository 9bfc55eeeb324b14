/* SPDX-License-Identifier: BSD-3-Clause */
/* internal.h - a client and the server, as the files of this folder see them.
 *
 * Who owns what, when. A client is made by the admission thread and handed to
 * the protocol thread (`added`). From then on its rings and the fields below
 * are the protocol thread's; the admission thread only watches the socket, and
 * says once when it has ended (`gone`). The protocol thread never forgets a
 * client by itself: if it wants to be rid of one it shuts the socket down, and
 * `gone` comes. After `gone`, when what the client had submitted is sent, it
 * hands the client back (`released`).
 *
 * The query and answer rings go the same way at the same time to an ipc worker
 * (`worker_added`, `worker_gone`, `worker_released`). When both have handed it
 * back, the admission thread unmaps and frees the client. So each hand-over
 * happens once, in this order, and nobody touches what he does not hold. */
#ifndef DAEMON_SERVER_INTERNAL_H
#define DAEMON_SERVER_INTERNAL_H

#include "daemon/base/log.h"
#include "daemon/server/server.h"
#include "daemon/service/ckpt.h"
#include "daemon/service/clm.h"
#include "daemon/service/evs.h"
#include "ipc/arena.h"
#include "ipc/ckpt.h"
#include "ipc/clm.h"
#include "ipc/evs.h"
#include "ipc/ring.h"
#include "ipc/segment.h"
#include "ipc/spin.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <urcu/wfcqueue.h>

struct client;

/* --- hand-over between the threads ---------------------------------------- */

enum handover_kind {
    HANDOVER_ADDED,
    HANDOVER_GONE,
    HANDOVER_RELEASED,
    HANDOVER_RETIRED, /* no client but a view, see view.h */
    HANDOVER_GARBAGE, /* of the checkpoints, there and back */
    HANDOVER_IDLE     /* memory to be given back to the system, likewise */
};

struct handover {
    struct cds_wfcq_node node;
    struct client *client;
    enum handover_kind kind;
    /* Release-stored before the enqueue, acquire-loaded after the dequeue: what
     * the giver wrote is visible to the taker. liburcu's own barriers promise
     * that already; ThreadSanitizer knows only this one. */
    _Atomic uint32_t handed;
};

/* Free blocks of the arena on their way; count 0: none is. */
enum { IDLE_LOT_MAX = 32 };
struct idle_lot {
    struct handover handover; /* first: it names the lot */
    uint32_t count;
    struct ckpt_idle idle[IDLE_LOT_MAX];
};

/* Any givers, one taker, who polls `fd`. */
struct mailbox {
    struct __cds_wfcq_head head;
    struct cds_wfcq_tail tail;
    int fd; /* eventfd */
};

int mailbox_open(struct mailbox *m); /* 0 or -errno */
void mailbox_close(struct mailbox *m);
void mailbox_put(struct mailbox *m, struct handover *h);
void mailbox_ring(struct mailbox *m); /* makes `fd` readable */
/* Makes `fd` unreadable; to be called before taking. */
void mailbox_silence(struct mailbox *m);
struct handover *mailbox_take(struct mailbox *m); /* NULL: empty */

/* --- client --------------------------------------------------------------- */

/* Membership of one of the lists of clients; one of them is another thread's,
 * so they have cache lines of their own. */
struct client_link {
    alignas(128) struct client *next;
    struct client *prev;
    bool in;
};

enum client_list {
    LIST_ACTIVE, /* its submit ring may hold something and is not armed */
    LIST_DIRTY,  /* events were put since the last flush */
    LIST_HUSHED, /* its bell is not listened to for a while */
    LIST_QUERY,  /* the worker's: its query ring is not armed */
    LIST_COUNT,
    SERVER_LISTS = LIST_QUERY /* those before it are the server's */
};

enum client_state {
    CLIENT_LIVE,
    CLIENT_CLOSING, /* shut down by us, `gone` not here yet */
    CLIENT_GONE     /* its process let go of the socket */
};

enum watch_kind { WATCH_LISTEN, WATCH_MAILBOX, WATCH_PENDING, WATCH_CLIENT };

enum client_pair { PAIR_REPLY, PAIR_ROOM, PAIR_ANSWER, CLIENT_PAIRS };

struct client {
    enum watch_kind watch; /* first: what the admission thread's epoll names */

    /* Constant from `added` to `released`. */
    enum ipc_service service;
    uint32_t slot;  /* its number, below client_max */
    int socket;     /* wakes the client's event side; its end is the client's */
    int doorbell;   /* eventfd: the client wakes us */
    int reply_fd;   /* a socket pair's end: we wake the client's requests. Not
                     * an eventfd, since that is one open file with the client's:
                     * it could fill the counter, clear O_NONBLOCK, and hold the
                     * protocol thread in write(). send() is told each time not
                     * to wait. */
    int room_fd;    /* the same, to tell of room in the submit ring */
    int query_bell; /* eventfd: the client wakes the worker */
    int answer_fd;  /* a socket pair's end: the worker wakes the client */
    int peers[CLIENT_PAIRS]; /* the client's ends, until they are sent */
    pid_t pid;               /* for the log */
    uid_t uid;
    struct segment segment;
    uint8_t *overflow_data;
    uint32_t overflow_size;    /* bytes, 0: none */
    uint32_t message_size_max; /* of what it sends, bytes */

    struct handover added, gone, released;
    struct handover worker_added, worker_gone, worker_released;

    /* Admission thread's. */
    uint64_t charge;  /* of its rings, bytes, against its user's quota */
    uint32_t holders; /* of the two threads */

    /* Worker's. */
    alignas(128) struct ring_consumer query;
    struct ring_producer answer;
    bool query_broken;    /* shut down by the worker: nothing more is read */
    uint32_t idle_turns;  /* in a row that found nothing */
    uint32_t idle_sleeps; /* of the worker since it asked something */

    /* Protocol thread's. */
    alignas(128) enum client_state state;
    struct ring_consumer submit;
    struct ring_producer reply, event;
    struct ring_shared *overflow_words;
    /* How much of it was ever used, likewise charged. The protocol thread
     * writes, the admission thread reads: a number, which orders nothing. */
    _Atomic uint32_t overflow_charge;
    struct ring_producer overflow_in; /* events that found no room */
    struct ring_consumer overflow_out;
    bool overflowing;     /* the overflow queue is not empty */
    bool awaits;          /* what it submitted last has a reply */
    bool counted;         /* the caller knows that its head waits for a visit */
    uint32_t idle_visits; /* visits in a row that found nothing */
    /* Of its bell: how often in a row there was nothing, what there had been
     * before, and, while it is not listened to, until when. */
    uint32_t empty_bells;
    uint64_t bell_tail, bell_room, hush_end_ns;
    uint64_t drain_end; /* not LIVE: take what is before this position */
    struct client_link links[LIST_COUNT]; /* LIST_QUERY: the worker's */
};

struct list {
    struct client *first, *last;
    uint32_t count;
};

void list_append(struct list *l, enum client_list which, struct client *c);
void list_remove(struct list *l, enum client_list which, struct client *c);

/* What a client gets: the sizes of its rings, from its wishes. */
struct client_sizes {
    uint32_t rings[SEGMENT_RINGS]; /* bytes */
    uint32_t message_size_max;
};
struct client_sizes client_sizes(const struct server_config *config,
                                 const struct ipc_hello *hello);

/* Bytes that it is charged with at first: all its rings. */
uint64_t client_charge(const struct client_sizes *sizes);

/* Of a user, among `clients` of client_max places: bytes; *count: how many
 * clients, is added to. */
uint64_t clients_charge(struct client *const *clients, uint32_t client_max,
                        uid_t uid, uint32_t *count);

/* Admission thread. Makes sockets' other half: segment, doorbells, overflow.
 * *segment_fd is for the welcome; the caller closes it. NULL with -errno in
 * *error. Takes `socket` over if it succeeds. */
struct client *client_new(const struct server_config *config,
                          const struct client_sizes *sizes, int socket,
                          uint32_t slot, int *segment_fd, int *error);
void client_free(struct client *c);

/* --- server --------------------------------------------------------------- */

struct admission;
struct views;
struct workers;

struct server {
    struct server_config config;
    struct evs *evs;
    struct clm *clm;
    struct ckpt *ckpt;
    struct arena arena;      /* of the checkpoints */
    int arena_fd;            /* for clients; -1: none */
    struct client **clients; /* by slot */
    struct list lists[SERVER_LISTS];
    struct client *partial; /* whose message is half sent */
    /* The message of the client whose turn it is. What a service writes in
     * front of what the client wrote is kept, since it may take two visits. */
    struct group_message message;
    struct bytes parts[2];
    uint8_t head[CKPT_HEAD_SIZE_MAX];
    /* A service's own message on its way into packets, kept likewise. */
    uint8_t own[CKPT_MESSAGE_SIZE_MAX];
    uint32_t own_size; /* 0: none */
    uint8_t own_service;
    /* Bytes: what was delivered since the last visit, but of states; and how
     * much of a state may be sent. */
    uint64_t traffic, piece_bytes;
    uint64_t now_ns, hush_next_ns;   /* when the first hushed bell is heard */
    struct handover garbage;         /* of the checkpoints */
    struct ckpt_item *garbage_items; /* NULL: none is away */
    struct idle_lot idle;            /* memory on its way to the system */
    uint64_t idle_at_ns;             /* when more is looked for */
    bool unclean;         /* some of what was deleted is not free yet */
    struct mailbox inbox; /* from the admission thread */
    struct admission *admission;
    struct views *views;
    struct workers *workers;
    int epoll_fd;
    struct server_stats stats;
    struct log_limit log_corrupt, log_overflow, log_too_big;
};

/* Clients' side of the protocol thread (client.c). */
void client_activate(struct server *s, struct client *c);
void client_deactivate(struct server *s, struct client *c);

/* Puts an event of two parts in the client's event ring, behind it in the
 * overflow, or disconnects the client. Nothing if it is not LIVE. */
void client_put_event(struct server *s, struct client *c, uint32_t type,
                      struct bytes head, struct bytes body);

/* Moves overflow into the ring as far as there is room now. */
void client_drain_overflow(struct server *s, struct client *c);

/* Lets the client see what was put; wakes it if it sleeps. */
void client_publish_events(struct server *s, struct client *c);

/* Answers a request, and wakes who waits for it. */
void client_reply(struct server *s, struct client *c, uint32_t type,
                  struct bytes answer);

/* Tells a client that waits for it that its submit ring has room again. */
void client_tell_room(struct client *c);

/* Wakes who sleeps on the other end; any thread. */
void client_send_byte(int fd);

/* The client broke the rules of its rings: nothing more is taken from it. */
void client_drop_corrupt(struct server *s, struct client *c, const char *what);
void client_drop_overflow(struct server *s, struct client *c);

/* The admission thread says that the client's socket has ended. */
void client_gone(struct server *s, struct client *c);

/* Hands the client back if nothing more is to be done for it. True: done so,
 * it must not be touched. */
bool client_settle(struct server *s, struct client *c);

/* --- services (serve_evs.c, serve_clm.c, serve_ckpt.c) -------------------- */

enum head { HEAD_EMPTY, HEAD_REQUEST, HEAD_WAITS, HEAD_MCAST, HEAD_CORRUPT };

/* What a service does for its clients, on the protocol thread. */
struct service {
    /* The record at the head of the client's submit ring: HEAD_REQUEST or
     * HEAD_MCAST, if it is one that a library can have written, else
     * HEAD_CORRUPT. Looks at private copies. */
    enum head (*judge)(const struct client *c, const uint8_t *body);
    /* Answers a request so judged. */
    void (*answer)(struct server *s, struct client *c, const uint8_t *body);
    /* Begins with a HEAD_MCAST: s->message is what is to be multicast. False:
     * there is nothing to be, since it has been answered, or the client was
     * dropped. NULL: there are no such heads. */
    bool (*begin)(struct server *s, struct client *c, const uint8_t *body);
    /* What has begun will not be sent to its end, as the client was dropped.
     * NULL: no matter. */
    void (*abandon)(struct server *s, struct client *c);
    /* Has a HEAD_MCAST to wait now? NULL: never, because of this service. */
    bool (*waits)(const struct server *s, const struct client *c);
    void (*client_added)(struct server *s, struct client *c);
    void (*client_gone)(struct server *s, struct client *c);
};

const struct service *service_of(const struct client *c);
extern const struct service service_evs, service_clm, service_ckpt;

void evs_deliver(struct server *s, const struct group_event *event);
void evs_configure(struct server *s, const struct totem_configuration *c);
void clm_deliver(struct server *s, const struct group_event *event);
void clm_configure(struct server *s, const struct totem_configuration *c);
void ckpt_deliver(struct server *s, const struct group_event *event);
void ckpt_configure(struct server *s, const struct totem_configuration *c);

/* Lets the ipc workers read what is true now. */
void server_publish(struct server *s);

/* --- the memory of checkpoints (ckpt_arena.c) ----------------------------- */

/* Without an arena there is other memory, and clients ask for each read. */
void ckpt_arena_open(struct server *s);

/* All that it may come to be, bytes. */
uint64_t ckpt_arena_size(const struct server_config *c);

/* Its length at first. */
uint64_t ckpt_arena_begin(const struct server *s);

/* Makes it larger ahead of need, and gives away what has not been used for a
 * while; to be called now and then. */
void ckpt_arena_tend(struct server *s, uint64_t now_ns);
void ckpt_arena_returned(struct server *s);

/* The admission thread. */
void ckpt_arena_release(const struct arena *a, const struct idle_lot *lot);

/* --- requests and multicasts (take.c) ------------------------------------- */

/* What stands at the head of the client's submit ring; its body in *body.
 * HEAD_WAITS: a request that cannot be answered yet. */
enum head client_head(struct server *s, struct client *c, const uint8_t **body);

/* Do its multicasts wait until it has read its events? */
bool client_held_back(const struct server *s, const struct client *c);

/* Answers the requests at the head of the ring, `max` of them at most, and
 * says what stands there then. */
enum head client_answer(struct server *s, struct client *c, uint32_t max);

/* CLOCK_MONOTONIC, ns; for limits of logging. */
uint64_t server_now_ns(void);

/* CLOCK_REALTIME, ns since the epoch. */
int64_t server_wall_ns(void);

#endif
