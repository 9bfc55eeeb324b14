/* SPDX-License-Identifier: BSD-3-Clause */
/* The reader of the arena (api/ckpt/direct.c) beside a writer that is as
 * careless with old memory as the daemon may be, and faster. */
#include "test/unit/unit.h"

#include "api/ckpt/internal.h"
#include "daemon/base/check.h"

#include <pthread.h>

enum {
    ARENA_BYTES = 1 << 20,
    SLOT_AT = ARENA_HEADER_SIZE,
    CHUNKS = 2,
    CONTENTS = 2
};

static const uint64_t daemons_address = 0x7000000000000000;

static uint8_t arena[ARENA_BYTES] __attribute__((aligned(4096)));
static struct ckpt_instance instance;
static struct ckpt_checkpoint checkpoint;
static const struct use use = {&instance, &checkpoint};
static const SaCkptSectionIdT id = {3, (SaUint8T *)(uintptr_t) "abc"};

static struct arena_slot *slot(void)
{
    return (void *)(arena + SLOT_AT);
}

static struct arena_content *content_at(int i)
{
    return (void *)(arena + 65536 + i * 4096);
}

static uint8_t *chunk_at(int i, int chunk)
{
    return arena + 131072 + (i * CHUNKS + chunk) * 65536;
}

static uint64_t address_of(const void *at)
{
    return daemons_address + (uint64_t)((const uint8_t *)at - arena);
}

/* Writes a content of one byte value, of a size that tells it. */
static void content_write(int i, uint64_t version)
{
    struct arena_content *c = content_at(i);
    uint8_t byte = (uint8_t)(version % 200 + 1);

    /* As the daemon's, who waits for much longer: first it is another one. */
    atomic_store_explicit((_Atomic uint64_t *)&c->version, version,
                          memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    c->size = byte * 100u + ARENA_CHUNK_SIZE / 2u;
    c->levels = 0;
    c->count = c->size > ARENA_CHUNK_SIZE ? 2 : 1;
    for (int k = 0; k < CHUNKS; k++) {
        memset(chunk_at(i, k), byte, ARENA_CHUNK_SIZE);
        c->slots[k] = address_of(chunk_at(i, k));
    }
}

static void publish(int i)
{
    atomic_store_explicit(&slot()->content, address_of(content_at(i)),
                          memory_order_release);
}

static void begin(void)
{
    memset(arena, 0, sizeof arena);
    memset(&checkpoint, 0, sizeof checkpoint);
    instance.conn.arena = (struct arena){.at = arena, .size = sizeof arena};
    atomic_store(&instance.conn.arena.reach, sizeof arena);
    instance.conn.arena_address = daemons_address;
    instance.conn.socket = -1;
    atomic_store(&slot()->generation, 1);
    content_write(0, 1);
    publish(0);
    sackpt_direct_learn(
        &use, &id,
        &(struct ipc_ckpt_read_answer){.slot = SLOT_AT, .generation = 1});
}

static void end(void)
{
    sackpt_direct_free(&checkpoint);
}

static bool reads(uint8_t *to, uint64_t size, uint64_t *got)
{
    return sackpt_direct_read(&use, &id, 0, to, size, got);
}

static void test_reads(void)
{
    static uint8_t data[65536];
    uint64_t got;
    begin();
    CU_ASSERT(reads(data, sizeof data, &got));
    CU_ASSERT_EQUAL(got, 200u + ARENA_CHUNK_SIZE / 2u);
    CU_ASSERT_EQUAL(data[0], 2);
    CU_ASSERT_EQUAL(data[got - 1], 2);
    end();
}

/* Whatever is wrong is asked for. */
static void test_asks(void)
{
    static uint8_t data[65536];
    static const uint64_t wrong[] = {0,
                                     1,
                                     daemons_address - 8,
                                     daemons_address + 4,
                                     daemons_address + ARENA_BYTES - 8,
                                     daemons_address + ARENA_BYTES,
                                     UINT64_MAX - 7};
    struct arena_content *c = content_at(0);
    uint64_t got;
    begin();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        atomic_store(&slot()->content, wrong[i]);
        CU_ASSERT(!reads(data, sizeof data, &got));
        publish(0);
        c->slots[0] = wrong[i];
        /* 0 means zeros, and a chunk may begin anywhere. */
        if (wrong[i] != 0 && wrong[i] != daemons_address + 4)
            CU_ASSERT(!reads(data, sizeof data, &got));
        c->slots[0] = address_of(chunk_at(0, 0));
        CU_ASSERT(reads(data, sizeof data, &got));
    }
    c->count = 0;
    CU_ASSERT(!reads(data, sizeof data, &got));
    c->count = UINT8_MAX;
    CU_ASSERT(!reads(data, sizeof data, &got));
    c->count = 1;
    CU_ASSERT(!sackpt_direct_read(&use, &id, c->size + 1, data, 1, &got));
    CU_ASSERT(reads(data, sizeof data, &got));
    atomic_store(&((struct arena_shared *)(void *)arena)->epoch, 1);
    CU_ASSERT(!reads(data, sizeof data, &got));
    atomic_store(&((struct arena_shared *)(void *)arena)->epoch, 0);
    CU_ASSERT(reads(data, sizeof data, &got));
    atomic_store(&slot()->generation, 2);
    CU_ASSERT(!reads(data, sizeof data, &got));
    end();
}

/* --- beside a writer ------------------------------------------------------ */

static _Atomic bool over;
static _Atomic uint64_t read_count, torn_count;

static void *reader(void *unused)
{
    static _Thread_local uint8_t data[65536];
    uint64_t got;
    (void)unused;
    while (!over) {
        if (!reads(data, sizeof data, &got))
            continue;
        bool torn = got != data[0] * 100u + ARENA_CHUNK_SIZE / 2u;
        for (uint64_t i = 1; i < got && !torn; i++)
            torn = data[i] != data[0];
        torn_count += torn;
        read_count++;
    }
    return NULL;
}

/* Until the readers have had their share, or a bound is reached. */
static void test_careless_writer(void)
{
#if defined(__SANITIZE_THREAD__)
    printf("\nSKIP a careless writer: races on purpose\n");
    return;
#endif
    pthread_t threads[2];
    begin();
    over = false;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, reader, NULL) == 0);
    for (uint64_t version = 2;
         version < 150000 || (read_count < 1000 && version < 10000000);
         version++) {
        content_write(version % CONTENTS, version);
        publish(version % CONTENTS);
        /* The daemon waits for longer before it uses the other one again. */
        if (version % 7 == 0)
            for (int spin = 0; spin < 2000; spin++)
                atomic_thread_fence(memory_order_seq_cst);
    }
    over = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT(read_count >= 1000);
    CU_ASSERT_EQUAL(torn_count, 0);
    end();
}

static const struct unit_test tests[] = {
    {"reads", test_reads},
    {"asks for what does not fit", test_asks},
    {"a careless writer", test_careless_writer},
};

UNIT_MAIN("the arena's reader", tests)
