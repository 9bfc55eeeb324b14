// SPDX-License-Identifier: BSD-3-Clause
/* test_counts_ckpt.c - copies, system calls, allocations and locked
 * instructions of checkpoints' writes and reads: the table in doc/map.md. One
 * more is a failure here.
 *
 * The client is at the second of two nodes (counts.h), where nobody spins: its
 * writes wait asleep, which lets the nodes go on. The payload is known by a
 * mark in each 64 bytes of it, so that a copy of it is told from one of
 * anything else. */
#include "test/unit/counts.h"

#include "daemon/service/ckpt_store.h"
#include "ipc/channel.h"

#include <openais/saCkpt.h>
#include <time.h>

enum {
    MINE = 1, /* the client's node */
    UNIT = 64,
    SECTIONS = 256,
    SECTION_SIZE = LARGE,
    PIECE = 1 << 20 /* garbage that is given away at once, see server.c */
};

static SaCkptHandleT instance;
static SaCkptCheckpointHandleT checkpoint;
static uint8_t payload[LARGE]; /* marked */
static uint8_t plain[LARGE];   /* not */
static uint8_t got[LARGE];

/* --- the client ----------------------------------------------------------- */

static SaCkptSectionIdT id_of(const char *text)
{
    return (SaCkptSectionIdT){(SaUint16T)strlen(text),
                              (SaUint8T *)(uintptr_t)text};
}

static enum stage client_enter(enum stage s)
{
    place = s == NOT_COUNTED ? 0 : MINE;
    return stage_enter(s);
}

static void open_instance(void)
{
    SaVersionT v = {'B', 1, 1};
    SaAisErrorT error = SA_AIS_ERR_TRY_AGAIN;
    setenv(CHANNEL_RUN_DIR_ENV, nodes[MINE].dir, 1);
    client_enter(REQUEST);
    for (int i = 0; i < 100 && error == SA_AIS_ERR_TRY_AGAIN; i++)
        error = saCkptInitialize(&instance, NULL, &v);
    client_enter(NOT_COUNTED);
    CHECK(error == SA_AIS_OK);
}

/* One more handle; created if it is not there. */
static SaCkptCheckpointHandleT open_checkpoint(void)
{
    const SaNameT name = {4, "name"};
    const SaCkptCheckpointCreationAttributesT a = {
        .creationFlags = SA_CKPT_WR_ALL_REPLICAS,
        .checkpointSize = (SaSizeT)SECTIONS * SECTION_SIZE,
        .maxSections = SECTIONS,
        .maxSectionSize = SECTION_SIZE,
        .maxSectionIdSize = 16};
    SaCkptCheckpointHandleT handle = 0;
    client_enter(REQUEST);
    CHECK(saCkptCheckpointOpen(instance, &name, &a,
                               SA_CKPT_CHECKPOINT_READ |
                                   SA_CKPT_CHECKPOINT_WRITE |
                                   SA_CKPT_CHECKPOINT_CREATE,
                               SA_TIME_END, &handle) == SA_AIS_OK);
    client_enter(NOT_COUNTED);
    return handle;
}

static void close_checkpoint(SaCkptCheckpointHandleT handle)
{
    client_enter(REQUEST);
    CU_ASSERT_EQUAL(saCkptCheckpointClose(handle), SA_AIS_OK);
    client_enter(NOT_COUNTED);
}

static void create(const char *text, const void *data, size_t size)
{
    SaCkptSectionIdT id = id_of(text);
    SaCkptSectionCreationAttributesT a = {&id, SA_TIME_END};
    client_enter(REQUEST);
    CHECK(saCkptSectionCreate(checkpoint, &a, data, size) == SA_AIS_OK);
    client_enter(NOT_COUNTED);
}

static void overwrite(const char *text, size_t size)
{
    SaCkptSectionIdT id = id_of(text);
    client_enter(REQUEST);
    CU_ASSERT_EQUAL(saCkptSectionOverwrite(checkpoint, &id, payload, size),
                    SA_AIS_OK);
    client_enter(NOT_COUNTED);
}

static void write_from(void *data, const char *text, size_t size,
                       SaOffsetT offset)
{
    SaCkptIOVectorElementT e = {.sectionId = id_of(text),
                                .dataBuffer = data,
                                .dataSize = size,
                                .dataOffset = offset};
    client_enter(REQUEST);
    CU_ASSERT_EQUAL(saCkptCheckpointWrite(checkpoint, &e, 1, NULL), SA_AIS_OK);
    client_enter(NOT_COUNTED);
}

static void write_whole(const char *text, size_t size)
{
    write_from(payload, text, size, 0);
}

static void read_whole(SaCkptCheckpointHandleT handle, const char *text,
                       size_t size)
{
    SaCkptIOVectorElementT e = {
        .sectionId = id_of(text), .dataBuffer = got, .dataSize = size};
    client_enter(QUERY);
    SaAisErrorT error = saCkptCheckpointRead(handle, &e, 1, NULL);
    client_enter(NOT_COUNTED);
    CU_ASSERT_EQUAL(error, SA_AIS_OK);
    CU_ASSERT_EQUAL(e.readSize, size);
}

/* --- what is expected ----------------------------------------------------- */

/* So many copies of the payload and no part of one more; a packet may begin
 * within a mark. At most so many calls per 1,000, and no allocation. */
static void expect(const struct run *r, int node, enum stage s, uint64_t copies,
                   uint64_t calls_max)
{
    const struct counts *c = &counts[node][s];
    uint64_t units = r->size / UNIT, n = r->messages;
    printf("    %-24s %-9s node %d: %5.3f copies, %7.1f calls per 1000, "
           "%g allocations\n",
           r->path, stage_names[s], node + 1,
           (double)c->marks / (double)units / (double)n,
           1000 * (double)c->calls / (double)n, (double)c->allocations);
    CU_ASSERT(c->marks <= copies * n * units);
    CU_ASSERT(c->marks >= copies * n * (units - units / 16));
    CU_ASSERT(c->calls * 1000 <= calls_max * n);
    CU_ASSERT_EQUAL(c->allocations, 0);
}

/* In stages that are not named there is none. */
static void expect_no_other(const bool named[NODES][STAGES])
{
    for (int n = 0; n < NODES; n++)
        for (int s = SUBMIT; s < STAGES; s++)
            if (!named[n][s] && counts[n][s].marks != 0) {
                printf("    %s, node %d: a copy\n", stage_names[s], n + 1);
                CU_FAIL("a copy where there should be none");
            }
}

static uint64_t calls_of(int node)
{
    uint64_t calls = 0;
    for (int s = POLL; s < STAGES; s++)
        calls += counts[node][s].calls;
    return calls;
}

/* --- garbage -------------------------------------------------------------- */

static struct server *server_at(int node)
{
    return nodes[node].p->p.server;
}

static uint64_t arena_used(int node)
{
    return ckpt_store(server_at(node)->ckpt)->memory.arena_used;
}

static bool settled(void)
{
    struct ckpt_stats a = ckpt_stats_get(server_at(0)->ckpt);
    struct ckpt_stats b = ckpt_stats_get(server_at(1)->ckpt);
    return a.applied == b.applied && server_at(0)->garbage_items == NULL &&
           server_at(1)->garbage_items == NULL;
}

/* Both nodes have done the same, and what was given to the admission threads
 * has come back. */
static void settle(void)
{
    uint64_t end = loop_now_ns() + 60 * second_ns;
    while (!settled() && loop_now_ns() < end) {
        nodes_round();
        sched_yield();
    }
    CHECK(settled());
}

/* And they wait for more. */
static void settle_long(void)
{
    const struct timespec t = {.tv_nsec = 20000000};
    settle();
    nanosleep(&t, NULL);
}

static uint64_t block_of(uint64_t bytes)
{
    uint64_t block = CKPT_MEMORY_BLOCK_MIN;
    while (block < bytes + CKPT_MEMORY_HEAD)
        block *= 2;
    return block;
}

/* What becomes garbage when a section of this size is replaced. */
static uint64_t garbage_of(uint64_t size)
{
    uint64_t bytes = block_of(sizeof(struct arena_content) +
                              (size + ARENA_CHUNK_SIZE - 1) / ARENA_CHUNK_SIZE *
                                  sizeof(uint64_t));
    for (; size > ARENA_CHUNK_SIZE; size -= ARENA_CHUNK_SIZE)
        bytes += block_of(ARENA_CHUNK_SIZE);
    return bytes + block_of(size);
}

/* --- writes --------------------------------------------------------------- */

typedef void (*write_fn)(const char *id, size_t size);

static struct figures begun[NODES];

/* Of them so many found the daemon asleep: it was rung once more, and looked
 * for. */
static uint64_t found_asleep;

static void writes(write_fn write, const char *id, uint64_t count, size_t size)
{
    struct ring_shared *words = server_at(MINE)->clients[0]->submit.shared;
    for (uint64_t i = 0; i < count; i++) {
        found_asleep += atomic_load(&words->asleep) == RING_ASLEEP;
        write(id, size);
        settle();
    }
}

/* Every call is one that is known, and no more: of each round, bell and wake,
 * and six for a piece of garbage: it is given away (a bell), taken by the
 * admission thread (a wait, a look at its bell), comes back (a bell), and is
 * seen (a look which bells rang, and one at that bell). */
static void write_calls_known(int node, const struct run *r)
{
    const struct counts *c = counts[node];
    struct figures now = figures_of(node), before = begun[node];
    uint64_t wakes = node == MINE ? r->messages : 0;
    printf("    %-24s node %d: %g rounds, %g bells, %g calls; %g by admission "
           "for a piece\n",
           r->path, node + 1, (double)(now.rounds - before.rounds),
           (double)(now.doorbells - before.doorbells),
           (double)(c[POLL].calls + c[FLUSH].calls), (double)c[ADMIT].calls);
    CU_ASSERT_EQUAL(c[SEND].calls, now.send_calls - before.send_calls);
    CU_ASSERT_EQUAL(c[RECEIVE].calls, now.receive_calls - before.receive_calls);
    CU_ASSERT_EQUAL(c[DELIVER].calls, wakes); /* the byte */
    CU_ASSERT(c[POLL].calls + c[FLUSH].calls <= now.rounds - before.rounds +
                                                    now.doorbells -
                                                    before.doorbells + 3);
    CU_ASSERT_EQUAL(c[TAKE].calls + c[SEAL].calls + c[OPEN].calls +
                        c[STORE].calls + c[GROUP].calls,
                    0);
    CU_ASSERT(c[ADMIT].calls >= 2 && c[ADMIT].calls <= 3);
    CU_ASSERT_EQUAL(c[ADMIT].allocations, 0);
}

/* The way of a write: at the client's node it is sent and applied, at the
 * other it is received and applied. */
static const struct {
    int node;
    enum stage stage;
    uint64_t copies_small, copies_large;
    uint64_t calls; /* for 1,000 writes; the client's are judged apart */
} way[] = {{1, REQUEST, 1, 1, 5000}, {1, TAKE, 1, 1, 0},
           {1, SEAL, 1, 1, 0},       {1, STORE, 0, 0, 0},
           {1, GROUP, 0, 1, 0},      {1, DELIVER, 1, 1, 1000},
           {0, OPEN, 1, 1, 0},       {0, STORE, 1, 1, 0},
           {0, GROUP, 0, 1, 0},      {0, DELIVER, 1, 1, 0}};

/* Writes the large section until the garbage of both nodes is from `least` to
 * `most` bytes. */
static void garbage_until(uint64_t least, uint64_t most)
{
    for (int i = 0; i < 100; i++) {
        uint64_t a = ckpt_garbage_bytes(server_at(0)->ckpt);
        uint64_t b = ckpt_garbage_bytes(server_at(1)->ckpt);
        if (a >= least && a <= most && b >= least && b <= most)
            return;
        writes(overwrite, "large", 1, LARGE);
    }
    CU_FAIL("garbage that does not come and go");
}

/* Garbage has come back at least once, and so much is there that a piece of it
 * is given away soon. */
static void prepare(void)
{
    uint64_t each = garbage_of(LARGE);
    writes(overwrite, "large", 2 * PIECE / each + 2, LARGE);
    garbage_until(PIECE - each, PIECE);
    settle_long();
}

static void counted_writes(const char *path, const char *id, write_fn write,
                           size_t size)
{
    bool named[NODES][STAGES] = {{false}};
    struct run r = {path, size == SMALL ? 1000 : 16, size};
    uint64_t used[NODES];
    prepare();
    counts_clear();
    for (int n = 0; n < NODES; n++) {
        begun[n] = figures_of(n);
        used[n] = arena_used(n);
    }
    found_asleep = 0;
    marked = true;
    writes(write, id, r.messages, size);
    marked = false;
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        bool small = size == SMALL;
        named[way[i].node][way[i].stage] = true;
        expect(&r, way[i].node, way[i].stage,
               small ? way[i].copies_small : way[i].copies_large, way[i].calls);
    }
    /* The bell; to sleep, the byte; now and then: is the daemon alive? */
    CU_ASSERT(counts[MINE][REQUEST].calls <=
              3 * r.messages + r.messages / 16 + 1 + 2 * found_asleep);
    expect_no_other(named);
    allocations_none();
    for (int n = 0; n < NODES; n++) {
        write_calls_known(n, &r);
        /* All blocks come from the free lists, and what went there was used
         * before more of the arena was. */
        CU_ASSERT(used[n] <= 6 * PIECE);
        CU_ASSERT_EQUAL(arena_used(n), used[n]);
    }
}

static void overwrite_small(void)
{
    counted_writes("overwrite 64 B", "small", overwrite, SMALL);
}

static void overwrite_large(void)
{
    counted_writes("overwrite 64 KiB", "large", overwrite, LARGE);
}

static void write_small(void)
{
    counted_writes("write 64 B", "small", write_whole, SMALL);
}

static void write_large(void)
{
    counted_writes("write 64 KiB", "large", write_whole, LARGE);
}

/* The bell once, when it is submitted, and a look whether it is heard. */
static void write_asleep(void)
{
    enum { WRITES = 100 };
    settle();
    counts_clear();
    found_asleep = 0;
    for (uint64_t i = 0; i < WRITES; i++) {
        ring_arm(&server_at(MINE)->clients[0]->submit);
        writes(overwrite, "small", 1, SMALL);
    }
    CU_ASSERT_EQUAL(found_asleep, WRITES);
    CU_ASSERT_EQUAL(counts[MINE][REQUEST].calls, 4 * WRITES);
    allocations_none();
}

/* The rest of the chunks that it touches is copied too, and nothing else. */
static void write_within(void)
{
    enum { OTHER = 256 }; /* heads, replies */
    static const struct {
        SaOffsetT offset;
        uint64_t chunks;
    } at[] = {{0, 1},
              {20000, 1},
              {ARENA_CHUNK_SIZE - SMALL, 1},
              {ARENA_CHUNK_SIZE - SMALL / 2, 2},
              {LARGE - SMALL, 1}};
    bool named[NODES][STAGES] = {
        [0] = {[OPEN] = true, [STORE] = true},
        [1] = {[REQUEST] = true, [TAKE] = true, [SEAL] = true}};
    create("within", plain, LARGE);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        settle();
        counts_clear();
        marked = true;
        write_from(payload, "within", SMALL, at[i].offset);
        settle();
        marked = false;
        for (int n = 0; n < NODES; n++) {
            const struct counts *c = &counts[n][DELIVER];
            printf("    write 64 B of 64 KiB at %-6g node %d: %g bytes\n",
                   (double)at[i].offset, n + 1, (double)c->copied);
            CU_ASSERT_EQUAL(c->marks, 1);
            CU_ASSERT(c->copied <=
                      at[i].chunks * ARENA_CHUNK_SIZE + SMALL + OTHER);
            named[n][DELIVER] = true;
        }
        expect_no_other(named);
        allocations_none();
        write_from(plain, "within", LARGE, 0); /* the mark is gone */
    }
}

/* --- reads ---------------------------------------------------------------- */

/* Nobody but the client does anything. */
static void counted_reads(const struct run *r, const char *id)
{
    bool named[NODES][STAGES] = {[MINE] = {[QUERY] = true}};
    overwrite(id, r->size); /* it stays known where the section is */
    uint64_t queries = stats(MINE).queries;
    counts_clear();
    drives = false;
    marked = true;
    for (uint64_t i = 0; i < r->messages; i++)
        read_whole(checkpoint, id, r->size);
    marked = false;
    drives = true;
    CU_ASSERT_EQUAL(memcmp(got, payload, r->size), 0);
    CU_ASSERT_EQUAL(stats(MINE).queries, queries);
    expect(r, MINE, QUERY, 1, 63); /* at each 16th: is the daemon alive? */
    expect_no_other(named);
    allocations_none();
    CU_ASSERT_EQUAL(calls_of(0) + calls_of(1), 0);
}

static void read_again(void)
{
    struct run small = {"read 64 B again", 16000, SMALL};
    struct run large = {"read 64 KiB again", 1600, LARGE};
    drives = false;
    read_whole(checkpoint, "small", SMALL);
    read_whole(checkpoint, "large", LARGE);
    drives = true;
    counted_reads(&small, "small");
    counted_reads(&large, "large");
}

/* Each through a worker that sleeps. */
static void ask(SaCkptCheckpointHandleT handle, const char *id, size_t size)
{
    struct ring_shared *words = server_at(MINE)->clients[0]->query.shared;
    while (atomic_load(&words->asleep) != RING_ASLEEP)
        sched_yield();
    read_whole(handle, id, size);
}

enum { ASKED = 100 };

static void name_of(char *to, size_t max, size_t size, int i)
{
    snprintf(to, max, "%s%d", size == SMALL ? "s" : "l", i);
}

/* A handle that has read nothing: its first read makes the table of what is
 * known, the others allocate nothing. */
static void counted_asking(const char *path, size_t size)
{
    bool named[NODES][STAGES] = {[MINE] = {[QUERY] = true, [WORKER] = true}};
    struct run r = {path, ASKED, size};
    SaCkptCheckpointHandleT handle = open_checkpoint();
    char id[16];
    for (int i = 0; i < ASKED; i++) {
        name_of(id, sizeof id, size, i);
        create(id, payload, size);
    }
    drives = false;
    counts_clear();
    ask(handle, size == SMALL ? "small" : "large", size);
    CU_ASSERT_EQUAL(counts[MINE][QUERY].allocations, 1);
    CU_ASSERT_EQUAL(counts[MINE][WORKER].allocations, 0);
    counts_clear();
    uint64_t queries = stats(MINE).queries;
    marked = true;
    for (int i = 0; i < ASKED; i++) {
        name_of(id, sizeof id, size, i);
        ask(handle, id, size);
    }
    marked = false;
    CU_ASSERT_EQUAL(stats(MINE).queries - queries, ASKED);
    /* The bell; to sleep, the byte. The worker: to sleep, the byte. */
    expect(&r, MINE, QUERY, 1, 3000);
    expect(&r, MINE, WORKER, 1, 2500);
    expect_no_other(named);
    allocations_none();
    CU_ASSERT_EQUAL(calls_of(0) + calls_of(1), 0);
    drives = true;
    close_checkpoint(handle);
}

static void read_first_small(void)
{
    counted_asking("read 64 B, asked for", SMALL);
}

static void read_first_large(void)
{
    counted_asking("read 64 KiB, asked for", LARGE);
}

/* --- instruction by instruction ------------------------------------------- */

static void locked_write(void)
{
    /* The turn's end; the section's size, the reply's position and its wake. */
    static const uint64_t each[NODES][STAGES] = {
        [0] = {[DELIVER] = 1}, [MINE] = {[TAKE] = 1, [DELIVER] = 3}};
    struct run r = {"overwrite 64 B", 4, SMALL};
    if (skips(STEPPABLE, steps_why))
        return;
    /* No piece of garbage is to be given away meanwhile. */
    garbage_until(0, PIECE / 2);
    step_begin();
    found_asleep = 0;
    writes(overwrite, "small", r.messages, SMALL);
    step_end();
    expect_locked(&r, MINE, REQUEST, 15, found_asleep);
    for (int n = 0; n < NODES; n++)
        for (enum stage s = POLL + 1; s < STAGES; s++)
            expect_locked(&r, n, s, each[n][s], 0);
    entries_known();
}

static void locked_read(void)
{
    struct run r = {"read 64 B again", 32, SMALL};
    if (skips(STEPPABLE, steps_why))
        return;
    read_whole(checkpoint, "small", SMALL);
    step_begin();
    for (uint64_t i = 0; i < r.messages; i++)
        read_whole(checkpoint, "small", SMALL);
    step_end();
    expect_locked(&r, MINE, QUERY, 5, 0);
    entries_known();
}

/* What the client executes for one read, less the C library's. */
static uint64_t locked_once(SaCkptCheckpointHandleT handle, const char *id)
{
    const struct counts *c = &counts[MINE][QUERY];
    uint64_t locked = c->locked, entries = c->entries;
    read_whole(handle, id, SMALL);
    locked = c->locked - locked;
    entries = 2 * (c->entries - entries);
    return locked > entries ? locked - entries : 0;
}

/* Whether the answer is there before the client announces that it sleeps is up
 * to who else wants the processors, so it is read until it once was. */
static void locked_ask(void)
{
    enum { LEAST = 10, MOST = 14 };
    SaCkptCheckpointHandleT handle;
    uint64_t least = UINT64_MAX, most = 0;
    char id[16];
    if (skips(STEPPABLE, steps_why))
        return;
    handle = open_checkpoint();
    drives = false;
    read_whole(handle, "small", SMALL); /* makes the table */
    step_begin();
    for (int i = 0; i < ASKED && (i < 8 || least > LEAST); i++) {
        name_of(id, sizeof id, SMALL, i);
        uint64_t locked = locked_once(handle, id);
        least = locked < least ? locked : least;
        most = locked > most ? locked : most;
    }
    step_end();
    drives = true;
    printf("    read 64 B, asked for: %g to %g locked instructions\n",
           (double)least, (double)most);
    CU_ASSERT(least <= LEAST);
    CU_ASSERT(most <= MOST);
    entries_known();
    close_checkpoint(handle);
}

/* --- is the list of wrapped functions whole? -------------------------------
 */

static void list(void)
{
    list_whole("api/client.o api/handle.o api/ais.o api/ckpt*.o ipc/ring.o "
               "ipc/spin.o daemon/server/server.o daemon/server/take.o "
               "daemon/server/client.o daemon/server/worker.o "
               "daemon/server/protocol.o daemon/server/mailbox.o "
               "daemon/server/view.o daemon/server/query*.o "
               "daemon/server/serve_*.o daemon/service/*.o");
}

/* --- running ---------------------------------------------------------------
 */

static void begin(void)
{
    for (size_t i = 0; i < LARGE; i += UNIT)
        memcpy(payload + i, the_mark, MARK_SIZE);
    nodes_begin();
    open_instance();
    checkpoint = open_checkpoint();
    create("small", payload, SMALL);
    create("large", payload, LARGE);
}

static void end(void)
{
    saCkptFinalize(instance);
}

static const struct unit_test tests[] = {
    {"two nodes, a client", begin},
    {"overwrite, 64 B", overwrite_small},
    {"overwrite, 64 KiB", overwrite_large},
    {"write, 64 B", write_small},
    {"write, 64 KiB", write_large},
    {"write, daemon asleep", write_asleep},
    {"write, 64 B of 64 KiB", write_within},
    {"read again", read_again},
    {"read that is asked for, 64 B", read_first_small},
    {"read that is asked for, 64 KiB", read_first_large},
    {"functions that are wrapped", list},
    {"locked instructions: write", locked_write},
    {"locked instructions: read again", locked_read},
    {"locked instructions: read that is asked for", locked_ask}};

int main(void)
{
    return counts_main("counts_ckpt", tests, sizeof tests / sizeof *tests, end);
}
