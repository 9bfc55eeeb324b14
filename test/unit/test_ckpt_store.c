/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ckpt_store.c - checkpoints in memory: many readers in threads, under RCU
 * as the daemon's, against one writer; indexes, timers and memory beside plain
 * lists. Once with an arena (ipc/arena.h), once without. */
#include "test/unit/unit.h"

#include "daemon/base/check.h"
#include "daemon/server/view.h"
#include "daemon/service/ckpt_store.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { ARENA = 32 << 20, READERS = 3 };

static struct ckpt_store store;
static struct views *views; /* the daemon's RCU */
static uint8_t *arena;

static uint64_t random_of(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (*state * 0x2545f4914f6cdd1du >> 33) % below;
}

static uint64_t chance = 1; /* the writer's */

static uint32_t pick(uint32_t below)
{
    return (uint32_t)random_of(&chance, below);
}

/* --- a store -------------------------------------------------------------- */

static const struct ipc_ckpt_attributes attributes = {
    .creation_flags = IPC_CKPT_WR_ALL_REPLICAS, .section_max = 100000};

static struct bytes text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void begin(bool with_arena)
{
    chance = 77;
    arena = NULL;
    if (with_arena) {
        arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CU_ASSERT_FATAL(arena != MAP_FAILED);
    }
    ckpt_store_init(&store, 7, arena, arena ? ARENA : 0);
}

static void end(void)
{
    ckpt_store_deinit(&store);
    if (arena != NULL)
        munmap(arena, ARENA);
}

static struct ckpt_item *garbage_take(void)
{
    return ckpt_memory_garbage_take(&store.memory);
}

/* And frees it. */
static void garbage_return(struct ckpt_item *garbage)
{
    ckpt_memory_garbage_return(&store.memory, garbage);
    ckpt_memory_free_some(&store.memory, UINT32_MAX);
}

static void change(struct ckpt_checkpoint *c, struct ckpt_section *s,
                   uint64_t offset, struct bytes data, uint64_t size,
                   int64_t expiration_ns)
{
    ckpt_section_change(
        &store, c, s,
        &(struct ckpt_change){.size = size,
                              .now_ns = 1,
                              .expiration_ns = expiration_ns,
                              .runs = &(struct ckpt_run){offset, data},
                              .run_count = 1});
}

/* --- readers against a writer --------------------------------------------- */

/* Sections "0" to "3" are always there; others come and go. Each byte of a
 * section has the value that belongs to its size. */
enum {
    ALWAYS = 4,
    IDS = 64,
    SIZE_MAX_HERE = 4 * STORE_CHUNK_SIZE,
    WRITES = 4000,
    READS = 5000,
    GARBAGE = 4 << 20
};

static uint8_t value_of(uint64_t size)
{
    return (uint8_t)(size % 5 == 0 ? 0 : size * 37 + size / 256);
}

static struct {
    _Atomic bool stop;
    _Atomic uint64_t reads, absent, torn, changed, lost, wrong;
} seen;

static void look(const struct ckpt_section *s, uint8_t *data)
{
    const struct ckpt_content *content = ckpt_content_get(s);
    uint64_t size = content->size, version = content->version;

    if (size > SIZE_MAX_HERE) {
        seen.torn++;
        return;
    }
    for (int i = 0; i < 2; i++) {
        ckpt_content_read(content, 0, data, size);
        for (uint64_t at = 0; at < size; at++)
            if (data[at] != value_of(size)) {
                seen.torn++;
                break;
            }
        sched_yield(); /* it is held meanwhile */
    }
    if (content->size != size || content->version != version)
        seen.changed++;
    seen.reads++;
}

/* One look, as of a query. */
static void query(uint64_t *state, uint8_t *data)
{
    struct ckpt_checkpoint *c = ckpt_store_find(&store, text("a"));
    uint32_t i = (uint32_t)random_of(state, IDS);
    const struct ckpt_section *s;
    uint64_t number = 0;
    char id[8];

    if (c == NULL) {
        seen.lost++;
        return;
    }
    if (random_of(state, 4) == 0) {
        while ((s = ckpt_section_next(c, number)) != NULL) {
            if (s->number <= number)
                seen.wrong++;
            number = s->number;
            if (random_of(state, 16) == 0)
                look(s, data);
        }
        return;
    }
    if (random_of(state, 2) == 0)
        i %= ALWAYS;
    snprintf(id, sizeof id, "%u", i);
    s = ckpt_section_find(&store, c, text(id));
    if (s == NULL)
        i < ALWAYS ? seen.lost++ : seen.absent++;
    else if (s->id_size != strlen(id) || memcmp(s->id, id, s->id_size) != 0)
        seen.wrong++;
    else
        look(s, data);
}

static void *reader(void *argument)
{
    uint32_t number = (uint32_t)(uintptr_t)argument;
    uint64_t state = 1000 + number;
    uint8_t *data = malloc(SIZE_MAX_HERE);

    CHECK(data != NULL);
    view_reader_begin(views);
    while (!seen.stop) {
        for (int i = 0; i < 8; i++)
            query(&state, data);
        view_quiet(views, number);
        if (random_of(&state, 64) == 0) {
            view_sleeps(views, number);
            sched_yield();
            view_wakes();
        }
    }
    view_reader_end(views, number);
    free(data);
    return NULL;
}

/* From one state with the right bytes to another, in one of the ways that a
 * section can be written to. */
static void write_section(struct ckpt_checkpoint *c, struct ckpt_section *s)
{
    static uint8_t data[SIZE_MAX_HERE];
    uint64_t size = ckpt_content_get(s)->size;
    uint32_t at = size > 0 ? pick((uint32_t)size) : 0;

    switch (pick(4)) {
    case 0: /* a part of it, with what was there */
        memset(data, value_of(size), sizeof data);
        change(c, s, at, (struct bytes){data, size - at}, size, INT64_MAX);
        break;
    case 1: /* a gap */
        change(c, s, 0, (struct bytes){NULL, 0}, 0, INT64_MAX);
        size = pick(SIZE_MAX_HERE / 5) * 5;
        change(c, s, size, (struct bytes){NULL, 0}, size, INT64_MAX);
        break;
    default:
        size = pick(3) == 0
                   ? (uint64_t)STORE_CHUNK_SIZE * (1 + pick(3)) + pick(3) - 1
                   : pick(SIZE_MAX_HERE);
        memset(data, value_of(size), size);
        change(c, s, 0, (struct bytes){data, size}, size,
               pick(4) == 0 ? pick(1000) : INT64_MAX);
        break;
    }
}

static void write_one(struct ckpt_checkpoint *c)
{
    uint32_t i = pick(3) == 0 ? pick(IDS) : pick(ALWAYS);
    struct ckpt_section *s;
    char id[8];

    snprintf(id, sizeof id, "%u", i);
    s = ckpt_section_find(&store, c, text(id));
    if (s == NULL)
        s = ckpt_section_create(&store, c, c->next_section++, text(id));
    else if (i >= ALWAYS && pick(2) == 0) {
        ckpt_section_delete(&store, c, s);
        return;
    }
    write_section(c, s);
}

/* The daemon's way: what was replaced, a lot at a time, goes back when all
 * readers have been quiet. */
static void readers_and_writer(bool with_arena)
{
    pthread_t threads[READERS];
    char id[8];

    begin(with_arena);
    memset(&seen, 0, sizeof seen);
    views = views_new();
    CU_ASSERT_PTR_NOT_NULL_FATAL(views);
    struct ckpt_checkpoint *c =
        ckpt_store_create(&store, 1, text("a"), &attributes);
    for (uint32_t i = 0; i < ALWAYS; i++) {
        snprintf(id, sizeof id, "%u", i);
        ckpt_section_create(&store, c, c->next_section++, text(id));
    }
    for (uintptr_t i = 0; i < READERS; i++)
        CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, reader, (void *)i) ==
                        0);
    for (uint32_t i = 0; i < WRITES || seen.reads < READS; i++) {
        write_one(c);
        if (store.memory.garbage_bytes < GARBAGE)
            continue;
        struct ckpt_item *garbage = garbage_take();
        for (int more = 0; more < 3; more++)
            write_one(c);
        views_reclaim(views, NULL, 0);
        garbage_return(garbage);
    }
    seen.stop = true;
    for (uint32_t i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(seen.torn, 0);
    CU_ASSERT_EQUAL(seen.changed, 0);
    CU_ASSERT_EQUAL(seen.lost, 0);
    CU_ASSERT_EQUAL(seen.wrong, 0);
    CU_ASSERT(seen.reads > 1000 && seen.absent > 10);
    printf("(%llu reads) ", (unsigned long long)seen.reads);
    views_free(views);
    end();
}

static void test_readers(void)
{
    readers_and_writer(false);
}

static void test_readers_arena(void)
{
    readers_and_writer(true);
}

/* --- garbage -------------------------------------------------------------- */

/* What somebody held before it was replaced stays as it is, until it has been
 * returned; after that memory is used again. */
static void garbage_stays(bool with_arena)
{
    enum { SIZE = 3 * STORE_CHUNK_SIZE, ROUNDS = 300 };
    static uint8_t data[SIZE], copy[SIZE];
    const struct ckpt_content *held;
    uint64_t used = 0;

    begin(with_arena);
    struct ckpt_checkpoint *c =
        ckpt_store_create(&store, 1, text("a"), &attributes);
    struct ckpt_section *s = ckpt_section_create(&store, c, 1, text("x"));
    for (uint32_t round = 0; round < ROUNDS; round++) {
        memset(data, (int)round, SIZE);
        change(c, s, 0, (struct bytes){data, SIZE}, SIZE, INT64_MAX);
        held = ckpt_content_get(s);
        for (uint32_t i = 0; i < 10; i++)
            change(c, s, pick(SIZE - 1), (struct bytes){copy, 1}, SIZE,
                   INT64_MAX);
        struct ckpt_item *garbage = garbage_take();
        CU_ASSERT_PTR_NOT_NULL(garbage);
        CU_ASSERT_PTR_NULL(garbage_take());
        CU_ASSERT_EQUAL(store.memory.garbage_bytes, 0);
        for (uint32_t i = 0; i < 10; i++)
            change(c, s, 0, (struct bytes){copy, 100}, SIZE, INT64_MAX);
        ckpt_content_read(held, 0, copy, SIZE);
        CU_ASSERT(memcmp(copy, data, SIZE) == 0);
        garbage_return(garbage);
        garbage_return(garbage_take());
        if (round == ROUNDS / 2)
            used = store.memory.arena_used;
    }
    CU_ASSERT_EQUAL(store.memory.arena_used, with_arena ? used : 1 << 20);
    CU_ASSERT(!with_arena || used < ARENA / 4);
    end();
}

static void test_garbage(void)
{
    garbage_stays(false);
    garbage_stays(true);
}

/* --- indexes -------------------------------------------------------------- */

enum { MANY = 3000, STEPS = 30000, COMPARED = 10 };

static struct {
    uint64_t number; /* 0: not there */
    struct ckpt_section *section;
} there[MANY];

static void section_id(uint32_t i, char id[16])
{
    snprintf(id, 16, i % 3 == 0 ? "%u" : "section %u", i);
}

static void compare_index(const struct ckpt_checkpoint *c)
{
    uint64_t number = 0, count = 0;
    struct ckpt_section *s;
    char id[16];

    for (uint32_t i = 0; i < MANY; i++) {
        section_id(i, id);
        s = ckpt_section_find(&store, c, text(id));
        CU_ASSERT(s == (there[i].number == 0 ? NULL : there[i].section));
        count += there[i].number > 0;
    }
    CU_ASSERT_EQUAL(count, c->section_count);
    for (; (s = ckpt_section_next(c, number)) != NULL; count--) {
        CU_ASSERT(s->number > number);
        number = s->number;
    }
    CU_ASSERT_EQUAL(count, 0);
}

/* Sections come and go; first there are more and more, then fewer. */
static void test_index(void)
{
    char id[16];

    begin(true);
    memset(there, 0, sizeof there);
    struct ckpt_checkpoint *c =
        ckpt_store_create(&store, 1, text("a"), &attributes);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = pick(step < STEPS / 2 ? 1 + step / 4 % MANY : MANY);
        if (there[i].number == 0 && (step < STEPS / 2 || pick(4) == 0)) {
            section_id(i, id);
            there[i].number = c->next_section++;
            there[i].section =
                ckpt_section_create(&store, c, there[i].number, text(id));
            CU_ASSERT_EQUAL(ckpt_section_last(c), there[i].number);
        } else if (there[i].number != 0 && (step > STEPS / 2 || pick(4) == 0)) {
            ckpt_section_delete(&store, c, there[i].section);
            there[i].number = 0;
        }
        if (step % (STEPS / COMPARED) == 0)
            compare_index(c);
        garbage_return(garbage_take());
    }
    compare_index(c);
    ckpt_store_delete(&store, c);
    CU_ASSERT_EQUAL(store.bytes, 0);
    end();
}

/* Names come and go too, and one that is unlinked is not found, but is there.
 */
static void test_names(void)
{
    struct ckpt_checkpoint *c[100];
    char name[16];

    begin(false);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 100; i++) {
            snprintf(name, sizeof name, "%u", i);
            CU_ASSERT_PTR_NULL(ckpt_store_find(&store, text(name)));
            c[i] = ckpt_store_create(&store, 1 + round * 100 + i, text(name),
                                     &attributes);
            CU_ASSERT_PTR_EQUAL(ckpt_store_find(&store, text(name)), c[i]);
            if (i % 2 == 0)
                ckpt_store_unlink(&store, c[i]);
            CU_ASSERT_PTR_EQUAL(ckpt_store_find(&store, text(name)),
                                i % 2 == 0 ? NULL : c[i]);
        }
        CU_ASSERT_EQUAL(store.checkpoint_count, 100);
        CU_ASSERT_PTR_EQUAL(ckpt_store_next(&store, 0), c[0]);
        for (uint32_t i = 0; i < 100; i++)
            ckpt_store_delete(&store, c[i]);
        CU_ASSERT_PTR_NULL(ckpt_store_next(&store, 0));
        CU_ASSERT_EQUAL(ckpt_store_last(&store), (round + 1) * 100);
    }
    ckpt_store_delete_all(&store);
    CU_ASSERT_EQUAL(ckpt_store_last(&store), 0);
    end();
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* How long it takes on the average that an id comes and goes. */
static double come_and_go(struct ckpt_checkpoint *c, uint32_t count)
{
    double from = cpu_ns();

    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_PTR_NULL(ckpt_section_find(&store, c, text("x")));
        ckpt_section_delete(
            &store, c,
            ckpt_section_create(&store, c, c->next_section++, text("x")));
        garbage_return(garbage_take());
    }
    return (cpu_ns() - from) / count;
}

/* An id that has come and gone often, among many that stay, is found about as
 * quickly as at the first time. */
static void test_same_id(void)
{
    enum { OTHERS = 16384, FEW = 200, OFTEN = 15000 };
    char id[16];

    begin(false);
    struct ckpt_checkpoint *c =
        ckpt_store_create(&store, 1, text("a"), &attributes);
    for (uint32_t i = 0; i < OTHERS; i++) {
        snprintf(id, sizeof id, "%u", i);
        ckpt_section_create(&store, c, c->next_section++, text(id));
    }
    double first = come_and_go(c, FEW);
    come_and_go(c, OFTEN);
    double last = come_and_go(c, FEW);
    printf("(%.0f ns, then %.0f ns) ", first, last);
    CU_ASSERT(last < 10 * first); /* it was a hundred times */
    end();
}

/* --- timers --------------------------------------------------------------- */

enum { TIMERS = 500 };

static int64_t times[TIMERS];
static struct ckpt_section *timed[TIMERS];

static int64_t earliest(void)
{
    int64_t first = INT64_MAX;

    for (uint32_t i = 0; i < TIMERS; i++)
        if (timed[i] != NULL && times[i] < first)
            first = times[i];
    return first;
}

static void random_timer(struct ckpt_checkpoint *c, uint32_t i)
{
    static const int64_t special[] = {INT64_MAX, INT64_MIN, 0, -1};
    char id[16];

    snprintf(id, sizeof id, "%u", i);
    if (timed[i] == NULL)
        timed[i] = ckpt_section_create(&store, c, c->next_section++, text(id));
    else if (pick(4) == 0) {
        ckpt_section_delete(&store, c, timed[i]);
        timed[i] = NULL;
        return;
    }
    times[i] = pick(5) == 0 ? special[pick(4)] : (int64_t)pick(1000);
    change(c, timed[i], 0, (struct bytes){NULL, 0}, 0, times[i]);
}

static void test_timers(void)
{
    int64_t last = INT64_MIN, first;
    struct ckpt_due due;

    begin(true);
    memset(timed, 0, sizeof timed);
    struct ckpt_checkpoint *c =
        ckpt_store_create(&store, 1, text("a"), &attributes);
    ckpt_due_set(&store, c, 500);
    CU_ASSERT_EQUAL(ckpt_retention_first(&store), 500);
    CU_ASSERT_EQUAL(ckpt_due_list(&store, 499, INT64_MIN, &due, 1), 0);
    CU_ASSERT_EQUAL(ckpt_due_list(&store, 500, INT64_MIN, &due, 1), 1);
    CU_ASSERT(due.checkpoint == c->number && due.section == 0);
    ckpt_due_set(&store, c, INT64_MAX);
    CU_ASSERT_EQUAL(ckpt_due_list(&store, 500, INT64_MIN, &due, 1), 0);
    for (uint32_t step = 0; step < 20000; step++) {
        random_timer(c, pick(TIMERS));
        CU_ASSERT_EQUAL(ckpt_expiry_first(&store), earliest());
        garbage_return(garbage_take());
    }
    while ((first = ckpt_expiry_first(&store)) != INT64_MAX) {
        CU_ASSERT(first >= last);
        last = first;
        CU_ASSERT_EQUAL_FATAL(ckpt_due_list(&store, 0, first, &due, 1), 1);
        CU_ASSERT_EQUAL(due.checkpoint, c->number);
        ckpt_section_delete(&store, c, ckpt_section_next(c, due.section - 1));
    }
    CU_ASSERT_PTR_NULL(c->expiry_timer);
    end();
}

/* --- contents ------------------------------------------------------------- */

/* Every way to write to a section, beside a run of bytes. */
static void contents(bool with_arena)
{
    enum { MAX = 5 * STORE_CHUNK_SIZE };
    static uint8_t plain[MAX], data[MAX], got[MAX];
    uint64_t size = 0, version = 0, offset, n, after;

    begin(with_arena);
    memset(plain, 0, sizeof plain);
    struct ckpt_checkpoint *c =
        ckpt_store_create(&store, 1, text("a"), &attributes);
    struct ckpt_section *s = ckpt_section_create(&store, c, 1, text("x"));
    for (uint32_t step = 0; step < 1500; step++) {
        offset =
            pick(2) == 0 ? pick(MAX) : STORE_CHUNK_SIZE * pick(5) + pick(2);
        n = pick(2) == 0 ? pick(300) : pick(MAX);
        if (offset + n > MAX)
            n = MAX - offset;
        after = pick(3) == 0 ? offset + n : size;
        if (after < offset + n)
            after = offset + n;
        memset(data, (int)(1 + pick(255)), sizeof data);
        change(c, s, offset, (struct bytes){data, n}, after, INT64_MAX);
        if (after < size)
            memset(plain + after, 0, size - after);
        memcpy(plain + offset, data, n);
        size = after;
        const struct ckpt_content *content = ckpt_content_get(s);
        CU_ASSERT_EQUAL_FATAL(content->size, size);
        CU_ASSERT(content->version > version);
        version = content->version;
        CU_ASSERT_EQUAL(c->bytes, size);
        memset(got, 0xee, sizeof got);
        offset = pick((uint32_t)size + 1);
        n = pick((uint32_t)(size - offset) + 1);
        ckpt_content_read(content, offset, got, n);
        CU_ASSERT(memcmp(got, plain + offset, n) == 0);
        CU_ASSERT(n == MAX || got[n] == 0xee);
        ckpt_content_read(content, 0, got, size);
        CU_ASSERT(memcmp(got, plain, size) == 0);
        garbage_return(garbage_take());
    }
    end();
}

static void test_contents(void)
{
    contents(false);
    contents(true);
}

/* --- memory --------------------------------------------------------------- */

enum { BLOCKS = 400 };

static struct {
    uint8_t *at;
    size_t n;
    uint8_t value;
} blocks[BLOCKS];

static size_t random_size(void)
{
    return pick(20) == 0 ? pick(CKPT_MEMORY_BLOCK_MAX - CKPT_MEMORY_HEAD) + 1u
                         : pick(1u << pick(14)) + 1u;
}

static bool is_intact(uint32_t i)
{
    for (size_t k = 0; k < blocks[i].n; k++)
        if (blocks[i].at[k] != blocks[i].value)
            return false;
    return true;
}

/* Nobody gets what another one has, and what comes back can be used as a
 * whole again. */
static void test_memory(void)
{
    enum { LARGEST = CKPT_MEMORY_BLOCK_MAX - CKPT_MEMORY_HEAD };
    struct ckpt_memory m;

    uint8_t *at = mmap(NULL, ARENA, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(at != MAP_FAILED);
    ckpt_memory_init(&m, at, ARENA);
    memset(blocks, 0, sizeof blocks);
    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = pick(BLOCKS);
        if (blocks[i].at != NULL) {
            CU_ASSERT_FATAL(is_intact(i));
            if (pick(2) == 0)
                ckpt_memory_free(&m, blocks[i].at);
            else
                ckpt_memory_retire(&m, blocks[i].at);
            blocks[i].at = NULL;
        } else {
            blocks[i].n = random_size();
            blocks[i].at = ckpt_memory_get(&m, blocks[i].n);
            blocks[i].value = (uint8_t)step;
            CU_ASSERT_EQUAL((uintptr_t)blocks[i].at % 16, 0);
            memset(blocks[i].at, blocks[i].value, blocks[i].n);
        }
        if (pick(30) == 0)
            ckpt_memory_garbage_return(&m, ckpt_memory_garbage_take(&m));
        ckpt_memory_free_some(&m, pick(3));
    }
    for (uint32_t i = 0; i < BLOCKS; i++)
        ckpt_memory_free(&m, blocks[i].at);
    ckpt_memory_garbage_return(&m, ckpt_memory_garbage_take(&m));
    CU_ASSERT(!ckpt_memory_free_some(&m, UINT32_MAX));
    CU_ASSERT_EQUAL(m.away_bytes, 0);
    /* All in one again: the arena has as many of the largest blocks as at the
     * beginning, and then none. */
    for (uint32_t i = 1; i < ARENA / CKPT_MEMORY_BLOCK_MAX; i++)
        CU_ASSERT(ckpt_memory_is_shared(&m, ckpt_memory_get(&m, LARGEST)));
    void *one_more = ckpt_memory_get(&m, LARGEST);
    CU_ASSERT(!ckpt_memory_is_shared(&m, one_more));
    ckpt_memory_free(&m, one_more);
    munmap(at, ARENA);
}

static const struct unit_test tests[] = {
    {"readers", test_readers}, {"readers, arena", test_readers_arena},
    {"garbage", test_garbage}, {"index", test_index},
    {"names", test_names},     {"same id", test_same_id},
    {"timers", test_timers},   {"contents", test_contents},
    {"memory", test_memory}};
UNIT_MAIN("ckpt store", tests)
