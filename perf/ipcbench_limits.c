/* SPDX-License-Identifier: BSD-3-Clause */
/* ipcbench_limits.c - what this machine does without us: wake-ups, a word
 * passed between processors, our ring with nothing around it, memcpy. */
#include "perf/ipcbench.h"

#include "ipc/segment.h"

#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    RING_BYTES = 4 << 20, /* the submit ring's default */
    SPIN_ROUNDS = 100,
    RELEASE_EVERY = 32, /* records; the daemon too gives room back in runs */
    LOOK_EVERY = 64     /* records between two looks at the clock */
};

/* --- ping-pong ------------------------------------------------------------ */

struct words {
    alignas(128) _Atomic uint32_t ping;
    alignas(128) _Atomic uint32_t pong;
    int sockets[2];
};

static void futex(_Atomic uint32_t *word, int what, uint32_t value)
{
    syscall(SYS_futex, word, what, value, NULL, NULL, 0);
}

static void tell_futex(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store(word, value);
    futex(word, FUTEX_WAKE, 1);
}

static void await_futex(_Atomic uint32_t *word, uint32_t value)
{
    while (atomic_load(word) != value)
        futex(word, FUTEX_WAIT, value - 1);
}

static bool call_futex(void *context)
{
    struct words *w = context;
    uint32_t n = atomic_load(&w->ping) + 1;
    tell_futex(&w->ping, n);
    await_futex(&w->pong, n);
    return true;
}

static void answer_futex(void *context)
{
    struct words *w = context;
    for (uint32_t n = 1;; n++) {
        await_futex(&w->ping, n);
        tell_futex(&w->pong, n);
    }
}

/* Release and acquire: the word stands for a message behind it. */
static void await_spinning(_Atomic uint32_t *word, uint32_t value)
{
    while (atomic_load_explicit(word, memory_order_acquire) != value)
        spin_hint();
}

/* Many round trips: a clock around each would take as long as they do. */
static bool call_spinning(void *context)
{
    struct words *w = context;
    uint32_t n = atomic_load_explicit(&w->ping, memory_order_relaxed);
    for (uint32_t end = n + SPIN_ROUNDS; n != end;) {
        atomic_store_explicit(&w->ping, ++n, memory_order_release);
        await_spinning(&w->pong, n);
    }
    return true;
}

static void answer_spinning(void *context)
{
    struct words *w = context;
    for (uint32_t n = 1;; n++) {
        await_spinning(&w->ping, n);
        atomic_store_explicit(&w->pong, n, memory_order_release);
    }
}

static bool call_socket(void *context)
{
    struct words *w = context;
    char byte = 0;
    return write(w->sockets[0], &byte, 1) == 1 &&
           read(w->sockets[0], &byte, 1) == 1;
}

static void answer_socket(void *context)
{
    struct words *w = context;
    char byte;
    while (read(w->sockets[1], &byte, 1) == 1 &&
           write(w->sockets[1], &byte, 1) == 1)
        continue;
}

static void duel(const char *name, bool (*call)(void *), void (*answer)(void *),
                 enum place where, uint64_t gap_ns)
{
    struct words *w = shared_new(sizeof *w);
    struct calls c = {.call = call, .context = w, .gap_ns = gap_ns};
    pid_t peer;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, w->sockets) < 0)
        fail("socketpair: %s", strerror(errno));
    place(where);
    peer = child_start(answer, w);
    place_peer(peer, where);
    time_calls(&c);
    child_end(peer);
    close(w->sockets[0]);
    close(w->sockets[1]);
    if (call == call_spinning)
        record((double)c.total_ns / (double)c.h.total / SPIN_ROUNDS / 1e3,
               "limits.%s_%s_mean_us", name, place_name(where));
    else
        record_calls(&c, "limits.%s_%s", name,
                     gap_ns > 0 ? "asleep" : place_name(where));
}

/* --- the ring ------------------------------------------------------------- */

struct raw {
    struct ring_shared ring;
    alignas(128) _Atomic uint64_t consumed; /* records */
    uint8_t *data;
    size_t size;
};

static void consume(void *context)
{
    struct raw *r = context;
    struct ring_consumer c;
    const uint8_t *body;
    uint8_t *copy = calloc(1, r->size);
    uint64_t n = 0;
    if (copy == NULL)
        fail("no memory");
    ring_consumer_init(&c, &r->ring, r->data, RING_BYTES);
    for (;;) {
        enum ring_result result = ring_peek(&c, &body);
        if (result == RING_CORRUPT)
            fail("the raw ring is corrupt");
        if (result == RING_RECORD) {
            memcpy(copy, body, c.record.size);
            __asm__ volatile("" ::"r"(copy) : "memory");
            ring_advance(&c);
            n++;
        }
        if (result == RING_EMPTY || n % RELEASE_EVERY == 0) {
            ring_release(&c);
            atomic_store(&r->consumed, n);
        }
        if (result == RING_EMPTY)
            spin_hint();
    }
}

static uint64_t produce(struct raw *r, const uint8_t *payload, uint64_t end_ns)
{
    struct ring_producer p;
    uint64_t n = 0;
    ring_producer_init(&p, &r->ring, r->data, RING_BYTES);
    while (n % LOOK_EVERY != 0 || now_ns() < end_ns) {
        void *room;
        while ((room = ring_claim(&p, (uint32_t)r->size)) == NULL) {
            if (p.corrupt)
                fail("the raw ring is corrupt");
            spin_hint();
        }
        memcpy(room, payload, r->size);
        ring_push(&p, 1, (uint32_t)r->size);
        ring_publish(&p);
        n++;
    }
    return n;
}

static void raw_ring(size_t size)
{
    struct raw *r = shared_new(sizeof *r);
    uint8_t *payload = calloc(1, size);
    uint64_t begin, sent, t;
    pid_t peer;
    r->size = size;
    r->data = segment_map_private(RING_BYTES);
    if (r->data == NULL || payload == NULL)
        fail("no memory");
    memset(r->data, 0, RING_BYTES); /* new memory costs more */
    place(PLACE_APART);
    peer = child_start(consume, r);
    place_peer(peer, PLACE_APART);
    begin = now_ns();
    sent = produce(r, payload, begin + opt.run_ns);
    while (atomic_load(&r->consumed) < sent)
        spin_hint();
    t = now_ns() - begin;
    child_end(peer);
    segment_unmap_private(r->data, RING_BYTES);
    free(payload);
    record((double)sent / seconds(t), "limits.ring_%zu_per_s", size);
}

/* --- memcpy --------------------------------------------------------------- */

static void copying(size_t size)
{
    uint8_t *from = malloc(size), *to = malloc(size);
    uint64_t begin, t, n = 0;
    if (from == NULL || to == NULL)
        fail("no memory");
    memset(from, 1, size);
    memset(to, 2, size);
    place(PLACE_APART);
    begin = now_ns();
    do {
        for (size_t done = 0; done < 65536; done += size, n++) {
            memcpy(to, from, size);
            __asm__ volatile("" ::"r"(to), "r"(from) : "memory");
        }
        t = now_ns() - begin;
    } while (t < opt.run_ns / 4);
    record((double)n * (double)size / (double)t * 1e3,
           "limits.memcpy_%zu_mb_per_s", size);
    free(from);
    free(to);
}

bool section_limits(void)
{
    duel("futex", call_futex, answer_futex, PLACE_APART, 0);
    duel("futex", call_futex, answer_futex, PLACE_ANY, 0);
    duel("futex", call_futex, answer_futex, PLACE_APART, GAP_NS);
    duel("spin", call_spinning, answer_spinning, PLACE_APART, 0);
    duel("socket", call_socket, answer_socket, PLACE_APART, 0);
    duel("socket", call_socket, answer_socket, PLACE_APART, GAP_NS);
    for (int i = 0; i < STREAM_SIZES; i++)
        raw_ring(stream_sizes[i]);
    copying(64);
    copying(1400);
    copying(65536);
    copying(64 << 20);
    return true;
}
