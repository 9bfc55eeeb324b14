/* SPDX-License-Identifier: BSD-3-Clause */
/* What one step of the checkpoints' store costs does not grow with what is in
 * it: blocks taken and given up are counted. And large, sparse contents, beside
 * a model of what is in them. */
#include "daemon/service/ckpt_store.h"
#include "test/unit/unit.h"

#include <stdlib.h>
#include <time.h>

static struct ckpt_store store;
static uint64_t chance;
static uint32_t taken, retired, freed;

void *__real_ckpt_memory_get(struct ckpt_memory *m, size_t bytes);
void *__wrap_ckpt_memory_get(struct ckpt_memory *m, size_t bytes);
void *__wrap_ckpt_memory_get(struct ckpt_memory *m, size_t bytes)
{
    taken++;
    return __real_ckpt_memory_get(m, bytes);
}

void __real_ckpt_memory_retire(struct ckpt_memory *m, void *memory);
void __wrap_ckpt_memory_retire(struct ckpt_memory *m, void *memory);
void __wrap_ckpt_memory_retire(struct ckpt_memory *m, void *memory)
{
    retired++;
    __real_ckpt_memory_retire(m, memory);
}

void __real_ckpt_memory_retire_tree(struct ckpt_memory *m, void *memory,
                                    struct ckpt_tree tree);
void __wrap_ckpt_memory_retire_tree(struct ckpt_memory *m, void *memory,
                                    struct ckpt_tree tree);
void __wrap_ckpt_memory_retire_tree(struct ckpt_memory *m, void *memory,
                                    struct ckpt_tree tree)
{
    retired++;
    __real_ckpt_memory_retire_tree(m, memory, tree);
}

void __real_ckpt_memory_free(struct ckpt_memory *m, void *memory);
void __wrap_ckpt_memory_free(struct ckpt_memory *m, void *memory);
void __wrap_ckpt_memory_free(struct ckpt_memory *m, void *memory)
{
    freed += memory != NULL;
    __real_ckpt_memory_free(m, memory);
}

static void count_begin(void)
{
    taken = retired = freed = 0;
}

static uint32_t pick(uint32_t below)
{
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(chance >> 33) % below;
}

static const struct ipc_ckpt_attributes attributes = {.section_max = 1u << 30};

static struct ckpt_checkpoint *begin(void)
{
    chance = 5;
    ckpt_store_init(&store, 7, NULL, 0);
    return ckpt_store_create(&store, ckpt_store_last(&store) + 1,
                             (struct bytes){(const uint8_t *)"a", 1},
                             &attributes);
}

/* All that is garbage is free then. */
static void clean(void)
{
    ckpt_memory_garbage_return(&store.memory,
                               ckpt_memory_garbage_take(&store.memory));
    CU_ASSERT(!ckpt_memory_free_some(&store.memory, UINT32_MAX));
    CU_ASSERT_EQUAL(store.memory.away_bytes, 0);
}

static struct ckpt_section *section_new(struct ckpt_checkpoint *c)
{
    char id[16];
    int n =
        snprintf(id, sizeof id, "%llu", (unsigned long long)c->next_section);

    return ckpt_section_create(&store, c, c->next_section++,
                               (struct bytes){(const uint8_t *)id, (size_t)n});
}

static void change(struct ckpt_checkpoint *c, struct ckpt_section *s,
                   uint64_t size, const struct ckpt_run *runs, uint32_t count)
{
    ckpt_section_change(&store, c, s,
                        &(struct ckpt_change){.size = size,
                                              .now_ns = 1,
                                              .expiration_ns = INT64_MAX,
                                              .runs = runs,
                                              .run_count = count});
}

/* --- contents ------------------------------------------------------------- */

enum { RUNS = 254 };
static const uint64_t large = (uint64_t)2000 << 20;

/* One byte at each of many places far from each other: a chunk and two nodes
 * for each, whatever the section's size; and the same again. */
static void test_vector(void)
{
    static const uint8_t byte = 9;
    struct ckpt_run runs[RUNS];
    struct ckpt_checkpoint *c = begin();
    struct ckpt_section *s = section_new(c);
    uint8_t got;

    for (uint32_t i = 0; i < RUNS; i++)
        runs[i] = (struct ckpt_run){large / RUNS * i, {&byte, 1}};
    change(c, s, large, NULL, 0);
    for (int round = 0; round < 2; round++) {
        clean();
        count_begin();
        change(c, s, large, runs, RUNS);
        CU_ASSERT(taken <= 3 * RUNS + 1);
        CU_ASSERT(retired <= 3 * RUNS + 1);
        CU_ASSERT_EQUAL(freed, 0);
        CU_ASSERT(store.memory.garbage_bytes <=
                  RUNS * (ckpt_memory_block_bytes(STORE_CHUNK_SIZE) + 2048) +
                      2048);
    }
    CU_ASSERT_EQUAL(ckpt_content_get(s)->blocks, RUNS);
    ckpt_content_read(ckpt_content_get(s), runs[100].offset, &got, 1);
    CU_ASSERT_EQUAL(got, byte);
    /* Many runs in one chunk are one chunk. */
    for (uint32_t i = 0; i < RUNS; i++)
        runs[i].offset = i;
    count_begin();
    change(c, s, large, runs, RUNS);
    CU_ASSERT(taken <= 4);
    /* Writing one byte, whole sections given up or made short: the same. */
    count_begin();
    change(c, s, large, runs, 1);
    CU_ASSERT(taken <= 4 && retired <= 4);
    count_begin();
    change(c, s, 1, NULL, 0);
    CU_ASSERT(taken <= 4 && retired <= 4 * CKPT_MEMORY_NODE_FAN);
    CU_ASSERT_EQUAL(ckpt_content_get(s)->blocks, 1);
    ckpt_store_deinit(&store);
}

/* What is deleted with all that is in it counts as what it takes, and is freed
 * a block at a time. */
static void test_garbage(void)
{
    enum { CHUNKS = 3000 };
    static uint8_t data[STORE_CHUNK_SIZE];
    struct ckpt_checkpoint *c = begin();
    struct ckpt_section *s = section_new(c);
    uint32_t steps = 0;

    for (uint64_t i = 0; i < CHUNKS; i++)
        change(c, s, large,
               &(struct ckpt_run){i * STORE_CHUNK_SIZE, {data, sizeof data}},
               1);
    clean();
    count_begin();
    ckpt_section_delete(&store, c, s);
    CU_ASSERT(retired <= 5);
    CU_ASSERT(store.memory.garbage_bytes >= (uint64_t)CHUNKS * sizeof data);
    ckpt_memory_garbage_return(&store.memory,
                               ckpt_memory_garbage_take(&store.memory));
    CU_ASSERT(store.memory.away_bytes >= (uint64_t)CHUNKS * sizeof data);
    while (ckpt_memory_free_some(&store.memory, 10))
        steps++;
    CU_ASSERT(steps >= CHUNKS / 10 && steps <= CHUNKS / 10 + 10);
    CU_ASSERT_EQUAL(store.memory.away_bytes, 0);
    ckpt_store_deinit(&store);
}

/* A model: what was written where, the last first. */
enum { WRITES = 400, WRITE_MAX = 40000 };

static struct {
    uint64_t offset, size; /* 0: cut */
    uint8_t value;
} writes[WRITES];

static uint8_t expected(uint32_t count, uint64_t at)
{
    while (count-- > 0)
        if (at >= writes[count].offset &&
            at - writes[count].offset < writes[count].size)
            return writes[count].value;
    return 0;
}

static void cut_writes(uint32_t count, uint64_t size)
{
    for (uint32_t i = 0; i < count; i++)
        if (writes[i].offset >= size)
            writes[i].size = 0;
        else if (writes[i].size > size - writes[i].offset)
            writes[i].size = size - writes[i].offset;
}

static void compare(const struct ckpt_content *content, uint32_t count)
{
    static uint8_t got[200];
    uint64_t there = 0;

    for (uint32_t i = 0; i < 40; i++) {
        uint64_t at = count > 0 && i % 2 == 0
                          ? writes[pick(count)].offset + pick(WRITE_MAX)
                          : (uint64_t)pick(UINT32_MAX) * 7;
        uint64_t n = pick(sizeof got);
        at = at > 100 ? at - 100 : at;
        if (at > content->size || n > content->size - at)
            continue;
        ckpt_content_read(content, at, got, n);
        for (uint64_t k = 0; k < n; k++)
            CU_ASSERT_EQUAL_FATAL(got[k], expected(count, at + k));
    }
    /* The chunks that are there, one after the other. */
    for (uint64_t at = 0; (at = ckpt_content_data(content, at)) < content->size;
         there++) {
        CU_ASSERT_EQUAL_FATAL(at % STORE_CHUNK_SIZE, 0);
        at += STORE_CHUNK_SIZE;
    }
    CU_ASSERT_EQUAL(there, content->blocks);
}

/* Sections of all sizes, made larger and smaller, on all levels. */
static void test_sparse(void)
{
    static uint8_t data[WRITE_MAX];
    static const uint64_t sizes[] = {1,
                                     STORE_CHUNK_SIZE,
                                     2 << 20,
                                     (uint64_t)STORE_CHUNK_SIZE * 125,
                                     300 << 20,
                                     (uint64_t)STORE_CHUNK_SIZE * 125 * 125,
                                     (uint64_t)33 << 30};
    struct ckpt_checkpoint *c = begin();
    struct ckpt_section *s = section_new(c);
    uint64_t size = 0;

    for (uint32_t i = 0; i < WRITES; i++) {
        uint64_t around = sizes[pick(sizeof sizes / sizeof *sizes)];
        uint64_t n = pick(WRITE_MAX) + 1u;
        uint64_t offset = around - pick(2) * around / 3 + pick(3) * 1000;
        bool cuts = pick(4) == 0;
        if (cuts) {
            size = offset;
            n = 0;
            cut_writes(i, size);
        }
        writes[i].offset = offset;
        writes[i].size = n;
        writes[i].value = (uint8_t)(pick(255) + 1);
        memset(data, writes[i].value, n);
        if (offset + n > size)
            size = offset + n;
        change(c, s, size, &(struct ckpt_run){offset, {data, n}}, n > 0);
        CU_ASSERT_EQUAL_FATAL(ckpt_content_get(s)->size, size);
        CU_ASSERT_EQUAL(c->bytes, size);
        clean();
        compare(ckpt_content_get(s), i + 1);
    }
    ckpt_store_deinit(&store);
}

/* --- many sections -------------------------------------------------------- */

enum { MANY = 100000 };

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void make_many(struct ckpt_checkpoint *c)
{
    for (uint32_t i = 0; i < MANY; i++) {
        count_begin();
        struct ckpt_section *s = section_new(c);
        change(c, s, 0, NULL, 0);
        /* The section, its content twice, and a few nodes. */
        CU_ASSERT_FATAL(taken <= 3 + 16);
        CU_ASSERT_FATAL(retired <= 1);
    }
}

/* What was deleted leaves nothing to be passed by, and nothing is made anew. */
static void test_deleted(void)
{
    struct ckpt_checkpoint *c = begin();
    struct ckpt_section *s;
    double before, after;
    uint64_t last;

    make_many(c);
    s = section_new(c);
    last = s->number;
    before = cpu_ns();
    for (int i = 0; i < 1000; i++)
        CU_ASSERT_PTR_NOT_NULL(ckpt_section_next(c, 0));
    before = cpu_ns() - before;
    while ((s = ckpt_section_next(c, 0))->number != last) {
        count_begin();
        ckpt_section_delete(&store, c, s);
        CU_ASSERT_FATAL(retired <= 2 + 16 && taken == 0);
    }
    after = cpu_ns();
    for (int i = 0; i < 1000; i++)
        CU_ASSERT_PTR_EQUAL(ckpt_section_next(c, 0), s);
    after = cpu_ns() - after;
    printf("(next: %.0f ns, then %.0f ns) ", before / 1000, after / 1000);
    CU_ASSERT(after < 20 * before + 20000);
    clean();
    ckpt_store_deinit(&store);
}

/* A checkpoint is deleted at once, and taken apart a little at a time; it
 * counts until then, but not among what is limited. */
static void test_sweep(void)
{
    struct ckpt_checkpoint *c = begin();
    uint32_t steps = 0;

    make_many(c);
    CU_ASSERT_EQUAL(store.bytes, STORE_CHECKPOINT_BYTES +
                                     (uint64_t)MANY * STORE_SECTION_BYTES);
    count_begin();
    ckpt_store_delete(&store, c);
    CU_ASSERT(retired <= 2 * 16);
    CU_ASSERT_EQUAL(store.bytes, 0);
    CU_ASSERT_EQUAL(store.checkpoint_count, 0);
    CU_ASSERT_EQUAL(store.deleted_bytes,
                    STORE_CHECKPOINT_BYTES +
                        (uint64_t)MANY * STORE_SECTION_BYTES);
    for (bool more = true; more; steps++) {
        count_begin();
        more = ckpt_store_sweep(&store, 100);
        CU_ASSERT_FATAL(retired <= 100 * (2 + 16));
    }
    CU_ASSERT_EQUAL(steps, MANY / 100 + 1);
    CU_ASSERT_EQUAL(store.deleted_bytes, 0);
    clean();
    ckpt_store_deinit(&store);
}

/* --- keys ----------------------------------------------------------------- */

enum { ENTRIES = 200 };

/* Entries with few hashes, most of their bits the same: found behind each
 * other, whichever goes first. */
static void test_same_hash(void)
{
    static struct ckpt_entry entries[ENTRIES];
    static bool there[ENTRIES];
    struct ckpt_index x = {.last = 0};
    struct ckpt_memory m;
    uint64_t number = 0;

    chance = 9;
    ckpt_memory_init(&m, NULL, 0);
    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = pick(ENTRIES), found = 0;
        if (there[i] && pick(4) == 0)
            ckpt_index_hide(&x, &m, &entries[i]);
        if (there[i]) {
            ckpt_index_remove(&x, &m, &entries[i]);
        } else {
            entries[i].number = number += 1 + pick(3) * pick(1000);
            entries[i].hash = (uint64_t)pick(5) << (4 * pick(16));
            ckpt_index_add(&x, &m, &entries[i]);
        }
        there[i] = !there[i];
        i = pick(ENTRIES);
        for (struct ckpt_entry *e = ckpt_index_find(&x, entries[i].hash);
             e != NULL; e = ckpt_entry_same(e)) {
            CU_ASSERT_EQUAL_FATAL(e->hash, entries[i].hash);
            CU_ASSERT_FATAL(there[e - entries]);
            found++;
        }
        for (uint32_t k = 0; k < ENTRIES; k++)
            found -= there[k] && entries[k].hash == entries[i].hash;
        CU_ASSERT_EQUAL_FATAL(found, 0);
        if (step % 100 == 0) {
            uint32_t count = 0;
            for (struct ckpt_entry *e = ckpt_index_next(&x, 0); e != NULL;
                 e = ckpt_index_next(&x, e->number))
                count++;
            for (uint32_t k = 0; k < ENTRIES; k++)
                count -= there[k];
            CU_ASSERT_EQUAL_FATAL(count, 0);
        }
    }
    for (uint32_t i = 0; i < ENTRIES; i++)
        if (there[i])
            ckpt_index_remove(&x, &m, &entries[i]);
    CU_ASSERT_PTR_NULL(x.numbers);
    CU_ASSERT_PTR_NULL(x.hashes);
    ckpt_memory_garbage_return(&m, ckpt_memory_garbage_take(&m));
    ckpt_memory_free_some(&m, UINT32_MAX);
}

static const struct unit_test tests[] = {
    {"vector", test_vector}, {"garbage", test_garbage},
    {"sparse", test_sparse}, {"deleted sections", test_deleted},
    {"sweep", test_sweep},   {"same hash", test_same_hash}};
UNIT_MAIN("ckpt bounds", tests)
