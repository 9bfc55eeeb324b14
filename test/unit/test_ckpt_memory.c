/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ckpt_memory.c - the arena's blocks: what they take beside what counts,
 * and giving memory back, with a real arena (ipc/arena.h). */
#include "test/unit/unit.h"

#include "daemon/base/check.h"
#include "daemon/server/server.h"
#include "daemon/service/ckpt_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MIB = 1 << 20, ARENA_MIB = 640 };

static struct arena arena;
static struct ckpt_store store;
static struct ckpt_checkpoint *checkpoint;

static void begin(void)
{
    const struct ipc_ckpt_attributes a = {.section_max = UINT32_MAX};

    CHECK(arena_create(&arena, (uint64_t)ARENA_MIB * MIB) == 0);
    CHECK(arena_grow(&arena, arena.size) == 0);
    ckpt_store_init(&store, 77, arena.at, arena.size);
    checkpoint = ckpt_store_create(&store, 1,
                                   (struct bytes){(const uint8_t *)"c", 1}, &a);
}

static void garbage(void)
{
    while (ckpt_store_sweep(&store, 10000))
        continue;
    ckpt_memory_garbage_return(&store.memory,
                               ckpt_memory_garbage_take(&store.memory));
    while (ckpt_memory_free_some(&store.memory, 10000))
        continue;
}

static void end(void)
{
    ckpt_store_deinit(&store);
    arena_close(&arena);
}

static void put(uint32_t number, uint32_t id_size, uint32_t size)
{
    static uint8_t data[100000], id[256];
    struct ckpt_section *s;

    memcpy(id, &number, sizeof number);
    s = ckpt_section_create(&store, checkpoint, number,
                            (struct bytes){id, id_size});
    ckpt_section_change(
        &store, checkpoint, s,
        &(struct ckpt_change){.size = size,
                              .expiration_ns = 1 + (int64_t)number,
                              .runs = &(struct ckpt_run){0, {data, size}},
                              .run_count = size > 0});
}

/* --- what it takes -------------------------------------------------------- */

/* Sections of one size, until so much counts; tenths. */
static uint32_t taken(uint32_t id_size, uint32_t size)
{
    uint64_t bytes = (uint64_t)12 * MIB;
    uint32_t number = 0, tenths;

    begin();
    while (store.bytes < bytes)
        put(++number, id_size, size);
    garbage();
    tenths = (uint32_t)(10 * store.memory.arena_used / store.bytes) + 1;
    end();
    return tenths;
}

static void test_taken(void)
{
    const uint32_t sizes[] = {0,    1,    17,   113,   241,   497,
                              1009, 4081, 8177, 16368, 16369, 33000};
    uint32_t most = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint32_t id_size = 4; id_size <= 256; id_size *= 4) {
            uint32_t tenths = taken(id_size, sizes[i]);
            if (tenths > most)
                printf("\n    %u with ids of %u: %u.%u", sizes[i], id_size,
                       tenths / 10, tenths % 10);
            if (tenths > most)
                most = tenths;
        }
    printf(" ");
    CU_ASSERT(most <= SERVER_CKPT_FACTOR);
}

/* --- giving it back ------------------------------------------------------- */

static uint64_t taken_mib(void)
{
    return arena_taken(&arena) / MIB;
}

/* As the server does it, once: so many blocks. */
static uint32_t give_back(void)
{
    struct ckpt_idle idle[16];
    uint32_t count = ckpt_memory_idle_take(&store.memory, idle, 16);

    for (uint32_t i = 0; i < count; i++)
        arena_release(&arena, idle[i].offset, idle[i].bytes);
    ckpt_memory_idle_return(&store.memory, idle, count);
    return count;
}

static void give_all_back(void)
{
    ckpt_memory_idle_begin(&store.memory);
    while (give_back() > 0)
        continue;
}

static void fill_mib(uint32_t first, uint32_t mib)
{
    for (uint32_t i = 0; i < mib * 64; i++)
        put(first + i, 4, 16000);
}

static void delete_all(void)
{
    struct ckpt_section *s;

    while ((s = ckpt_section_next(checkpoint, 0)) != NULL)
        ckpt_section_delete(&store, checkpoint, s);
    garbage();
}

static void test_given_back(void)
{
    begin();
    fill_mib(1, 200);
    CU_ASSERT(taken_mib() >= 195);
    CU_ASSERT(ckpt_memory_taken(&store.memory) >= arena_taken(&arena));
    delete_all();
    CU_ASSERT(taken_mib() >= 195);
    give_all_back();
    CU_ASSERT(taken_mib() <= 4);
    CU_ASSERT(ckpt_memory_taken(&store.memory) <= 4 * (uint64_t)MIB);
    CU_ASSERT(ckpt_memory_taken(&store.memory) + MIB >= arena_taken(&arena));
    fill_mib(20000, 100); /* it is as good as new */
    CU_ASSERT(taken_mib() >= 95 && taken_mib() <= 110);
    CU_ASSERT(store.memory.arena_used <= 230 * (uint64_t)MIB);
    end();
}

/* Also what no client reads. */
static void test_private(void)
{
    static unsigned char in[200 * 256];
    uint32_t count = 0;

    CHECK(arena_create_private(&arena, (uint64_t)ARENA_MIB * MIB) == 0);
    CU_ASSERT_EQUAL(arena_grow(&arena, arena.size), 0);
    CU_ASSERT_EQUAL(arena_taken(&arena), 0);
    memset(arena.at, 1, 200 * (size_t)MIB);
    CU_ASSERT_EQUAL(mlock(arena.at, MIB), 0);
    arena_release(&arena, 0, 150 * (uint64_t)MIB);
    CU_ASSERT_EQUAL(mincore(arena.at, 200 * (size_t)MIB, in), 0);
    for (size_t i = 0; i < sizeof in; i++)
        count += in[i] & 1;
    CU_ASSERT(count <= 51 * 256);
    CU_ASSERT(arena.at[0] == 0 && arena.at[150 * (size_t)MIB] == 1);
    arena_close(&arena);
}

/* What was needed in between is not given back, and has not to be got again. */
static void test_in_use(void)
{
    begin();
    fill_mib(1, 100);
    delete_all();
    ckpt_memory_idle_begin(&store.memory);
    fill_mib(20000, 60);
    delete_all();
    while (give_back() > 0)
        continue;
    CU_ASSERT(taken_mib() >= 55 && taken_mib() <= 75);
    give_all_back();
    CU_ASSERT(taken_mib() <= 4);
    end();
}

/* A client that reads all it can gives memory to what is free; that goes too.
 */
static void test_readers(void)
{
    struct arena client;
    int fd;
    unsigned sum = 0;

    begin();
    fd = arena_reader(&arena);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(mmap(NULL, MIB, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    CU_ASSERT(ftruncate(fd, (off_t)arena.size + MIB) != 0);
    CU_ASSERT(fallocate(fd, 0, 0, MIB) != 0);
    CU_ASSERT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) != 0);
    fill_mib(1, 50);
    delete_all();
    give_all_back();
    CU_ASSERT_EQUAL_FATAL(arena_map(&client, fd, arena.size), 0);
    CU_ASSERT(taken_mib() <= 4);
    CU_ASSERT(arena_reach(&client, 50 * (uint64_t)MIB));
    CU_ASSERT(taken_mib() <= 4); /* mapping takes nothing */
    for (uint64_t at = 0; at < 50 * (uint64_t)MIB; at += 4096)
        sum += client.at[at];
    CU_ASSERT(taken_mib() >= 45 || sum == 1);
    give_all_back();
    CU_ASSERT(taken_mib() >= 45); /* not known to be taken */
    ckpt_memory_idle_all(&store.memory);
    give_all_back();
    CU_ASSERT(taken_mib() <= 4);
    arena_unmap(&client);
    close(fd);
    end();
}

/* A client cannot reach beyond what there is, nor beyond what it was told. */
static void test_reach(void)
{
    struct arena client;

    CHECK(arena_create(&arena, (uint64_t)64 * MIB) == 0);
    CHECK(arena_map(&client, arena_reader(&arena), arena.size) == 0);
    CU_ASSERT(arena_reach(&client, 1));
    CU_ASSERT(arena_reach(&client, MIB));
    CU_ASSERT(!arena_reach(&client, MIB + 1));
    CHECK(arena_grow(&arena, (uint64_t)3 * MIB) == 0);
    CU_ASSERT(arena_reach(&client, MIB + 1));
    CU_ASSERT_EQUAL(client.reach, (uint64_t)2 * MIB);
    arena.at[2 * MIB - 1] = 7;
    CU_ASSERT_EQUAL(client.at[2 * MIB - 1], 7);
    CU_ASSERT(!arena_reach(&client, (uint64_t)64 * MIB + 1));
    CU_ASSERT(!arena_reach(&client, UINT64_MAX));
    arena_unmap(&client);
    close(client.fd);
    arena_close(&arena);
}

/* --- blocks, taken and given back in any order ---------------------------- */

enum { BLOCKS = 600 };

static struct block {
    uint8_t *at;
    uint32_t size;
    uint8_t byte;
} blocks[BLOCKS];

static uint64_t chance = 1;

static uint32_t pick(uint32_t below)
{
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(chance >> 33) % below;
}

static void block_step(struct block *b, uint8_t byte)
{
    if (b->at == NULL) {
        b->size = 1 + pick(pick(4) == 0 ? MIB - CKPT_MEMORY_HEAD : 70000);
        b->at = ckpt_memory_get(&store.memory, b->size);
        b->byte = byte;
        memset(b->at, byte, b->size);
        return;
    }
    for (uint32_t i = 0; i < b->size; i += 1 + pick(997))
        if (b->at[i] != b->byte)
            CU_ASSERT_EQUAL(b->at[i], b->byte);
    ckpt_memory_free(&store.memory, b->at);
    b->at = NULL;
}

static uint64_t sum_of(const struct ckpt_list *lists)
{
    uint64_t sum = 0;

    for (uint32_t class = 0; class < CKPT_MEMORY_CLASSES; class ++)
        for (const struct ckpt_item *i = lists[class].first; i != NULL;
             i = *(struct ckpt_item *const *)(const void *)i)
            if ((uint64_t)CKPT_MEMORY_BLOCK_MIN << class >=
                CKPT_MEMORY_BARE_MIN)
                sum += ((uint64_t)CKPT_MEMORY_BLOCK_MIN << class) -
                       CKPT_MEMORY_PAGE;
    return sum;
}

static void test_random(void)
{
    begin();
    for (uint32_t step = 0; step < 30000; step++) {
        block_step(&blocks[pick(step % 9000 < 3000 ? BLOCKS : BLOCKS / 10)],
                   (uint8_t)(1 + step % 255));
        if (pick(50) == 0)
            ckpt_memory_idle_begin(&store.memory);
        if (pick(5) == 0)
            give_back();
        if (pick(3000) == 0)
            ckpt_memory_idle_all(&store.memory);
        if (step % 100 == 0) {
            CU_ASSERT_EQUAL(sum_of(store.memory.free), store.memory.idle_bytes);
            CU_ASSERT_EQUAL(sum_of(store.memory.bare), store.memory.bare_bytes);
            CU_ASSERT(store.memory.idle_low <= store.memory.idle_bytes);
        }
    }
    for (uint32_t i = 0; i < BLOCKS; i++)
        if (blocks[i].at != NULL)
            block_step(&blocks[i], 0);
    give_all_back();
    CU_ASSERT(taken_mib() <= 6);
    end();
}

static const struct unit_test tests[] = {
    {"taken", test_taken},     {"given back", test_given_back},
    {"private", test_private}, {"in use", test_in_use},
    {"readers", test_readers}, {"reach", test_reach},
    {"random", test_random}};
UNIT_MAIN("ckpt memory", tests)
