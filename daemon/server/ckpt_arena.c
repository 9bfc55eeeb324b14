/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_arena.c - the memory of checkpoints: made, made larger ahead of need,
 * and given back when it is not used. The protocol thread says what; what may
 * take its time is the admission thread's. */
#include "daemon/base/limit.h"
#include "daemon/base/memory_limit.h"
#include "daemon/server/admission.h"
#include "daemon/server/internal.h"

#include <errno.h>

enum {
    AHEAD_BYTES = 32 << 20, /* more than comes in a round */
    /* Of what the system says is taken; more is the work of readers. */
    UNEXPLAINED_BYTES = 16 << 20
};

/* How long memory must not have been needed, until it is given back. */
static const uint64_t idle_ns = 1000000000;

/* Blocks are powers of two, and what was replaced is still there for a while:
 * see SERVER_CKPT_FACTOR. Pages come into being when they are written to. */
uint64_t ckpt_arena_size(const struct server_config *c)
{
    uint64_t size = SERVER_CKPT_FACTOR * c->ckpt_bytes_max / 10 +
                    ((uint64_t)SERVER_CKPT_MORE_MIB << 20);

    return size & ~(uint64_t)(ARENA_STEP - 1);
}

static void warn_of_memory(const struct server_config *c)
{
    uint64_t may_take = ckpt_arena_size(c) >> 20, has, fits;
    struct memory_limit limit;

    memory_limit_get("", &limit);
    has = limit.bytes >> 20;
    fits = has > SERVER_CKPT_MORE_MIB
               ? (has - SERVER_CKPT_MORE_MIB) * 10 / SERVER_CKPT_FACTOR
               : 0;
    if (may_take > has)
        log_write(LOG_LEVEL_WARNING, "IPC",
                  "checkpoints may come to take %llu MiB of memory, with ckpt "
                  "{ memory_max } of %llu, and the limit %s is %llu MiB: the "
                  "kernel may then end this daemon; no more than memory_max: "
                  "%llu is safe",
                  (unsigned long long)may_take,
                  (unsigned long long)(c->ckpt_bytes_max >> 20), limit.from,
                  (unsigned long long)has, (unsigned long long)fits);
}

static int share(struct server *s)
{
    int rc = arena_create(&s->arena, ckpt_arena_size(&s->config));
    struct arena_shared *shared;

    if (rc != 0)
        return rc;
    rc = arena_grow(&s->arena, AHEAD_BYTES);
    s->arena_fd = rc == 0 ? arena_reader(&s->arena) : rc;
    if (s->arena_fd < 0) {
        arena_close(&s->arena);
        return s->arena_fd;
    }
    shared = (void *)s->arena.at;
    shared->magic = ARENA_MAGIC;
    shared->version = IPC_VERSION;
    return 0;
}

void ckpt_arena_open(struct server *s)
{
    int rc = s->config.ckpt_direct ? share(s) : 0;
    char why[LIMIT_TEXT_SIZE];

    warn_of_memory(&s->config);
    if (rc != 0)
        log_write(LOG_LEVEL_WARNING, "IPC",
                  "no memory for programs to read checkpoints in by "
                  "themselves: %s; they will ask for each read",
                  limit_explain(-rc, why));
    if (rc == 0 && s->config.ckpt_direct)
        return;
    s->arena_fd = -1;
    /* If not, single blocks will do. */
    (void)arena_create_private(&s->arena, ckpt_arena_size(&s->config));
}

uint64_t ckpt_arena_begin(const struct server *s)
{
    return s->arena.at != NULL ? AHEAD_BYTES : 0;
}

static void grow(struct server *s, struct ckpt_memory *m)
{
    uint64_t length =
        (m->arena_used + AHEAD_BYTES) & ~(uint64_t)(ARENA_STEP - 1);

    if (m->arena_size - m->arena_used >= AHEAD_BYTES / 2)
        return;
    if (length > s->arena.size)
        length = s->arena.size;
    /* If not, there is other memory, which clients do not read. */
    if (length > m->arena_size && arena_grow(&s->arena, length) == 0)
        ckpt_memory_grow(m, length);
}

/* A while is over in which idle memory was not needed: it goes, a lot at a
 * time; then the next one begins. */
void ckpt_arena_tend(struct server *s, uint64_t now_ns)
{
    struct idle_lot *lot = &s->idle;
    struct ckpt_memory *m = ckpt_memory(s->ckpt);

    if (s->arena.at == NULL)
        return;
    grow(s, m);
    if (lot->count > 0 || now_ns < s->idle_at_ns)
        return;
    lot->count = ckpt_memory_idle_take(m, lot->idle, IDLE_LOT_MAX);
    if (lot->count > 0) {
        lot->handover = (struct handover){.kind = HANDOVER_IDLE};
        admission_retire(s->admission, &lot->handover);
        return;
    }
    if (m->bare_bytes > UNEXPLAINED_BYTES &&
        arena_taken(&s->arena) > ckpt_memory_taken(m) + UNEXPLAINED_BYTES)
        ckpt_memory_idle_all(m);
    ckpt_memory_idle_begin(m);
    s->idle_at_ns = now_ns + idle_ns;
}

void ckpt_arena_returned(struct server *s)
{
    ckpt_memory_idle_return(ckpt_memory(s->ckpt), s->idle.idle, s->idle.count);
    s->idle.count = 0;
}

void ckpt_arena_release(const struct arena *a, const struct idle_lot *lot)
{
    for (uint32_t i = 0; i < lot->count; i++)
        arena_release(a, lot->idle[i].offset, lot->idle[i].bytes);
}
