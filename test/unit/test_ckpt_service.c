/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ckpt_service.c - the CKPT service alone: nodes in a made-up order beside
 * a plain model of checkpoints (ckpt_world.h, ckpt_model.h). */
#include "test/unit/ckpt_requests.h"

/* --- requests that no library writes -------------------------------------- */

static bool ok(uint32_t type, const void *head, size_t n, size_t data)
{
    uint8_t *exact = m_alloc(n);

    memcpy(exact, head, n);
    bool good = ckpt_request_ok(&(struct ckpt_request){
        .type = type, .head = exact, .head_size = n, .data_size = data});
    free(exact);
    return good;
}

static void test_open_ok(void)
{
    struct ipc_ckpt_open o = {.flags = all_flags, .attributes = plain};
    const uint32_t type = IPC_SUBMIT_CKPT_OPEN;
    struct ipc_ckpt_open bad = o;

    o.name_length = 256;
    CU_ASSERT(ok(type, &o, sizeof o, 0));
    CU_ASSERT(!ok(type, &o, sizeof o, 1));
    CU_ASSERT(!ok(type, &o, sizeof o - 1, 0));
    CU_ASSERT(!ok(type - 1, &o, sizeof o, 0));
    CU_ASSERT(!ok(IPC_SUBMIT_CKPT_OVERWRITE + 1, &o, sizeof o, 0));
    bad.name_length = 257;
    CU_ASSERT(!ok(type, &bad, sizeof bad, 0));
    bad = o;
    bad.flags = 0;
    CU_ASSERT(!ok(type, &bad, sizeof bad, 0));
    bad.flags = 8 | IPC_CKPT_READ;
    CU_ASSERT(!ok(type, &bad, sizeof bad, 0));
    bad = o;
    bad.attributes.section_max = 0;
    CU_ASSERT(!ok(type, &bad, sizeof bad, 0));
    bad.flags = IPC_CKPT_READ;
    CU_ASSERT(ok(type, &bad, sizeof bad, 0));
    bad = o;
    bad.attributes.retention_ns = -1;
    CU_ASSERT(!ok(type, &bad, sizeof bad, 0));
}

static void test_other_ok(void)
{
    struct ipc_ckpt_unlink u = {.name_length = 256};
    struct ipc_ckpt_request r = {.handle = UINT32_MAX};

    CU_ASSERT(ok(IPC_SUBMIT_CKPT_UNLINK, &u, sizeof u, 0));
    CU_ASSERT(!ok(IPC_SUBMIT_CKPT_UNLINK, &u, sizeof u - 8, 0));
    CU_ASSERT(!ok(IPC_SUBMIT_CKPT_UNLINK, &u, sizeof u, 8));
    u.name_length = 257;
    CU_ASSERT(!ok(IPC_SUBMIT_CKPT_UNLINK, &u, sizeof u, 0));
    for (uint32_t t = IPC_SUBMIT_CKPT_CLOSE; t < IPC_SUBMIT_CKPT_SECTION_CREATE;
         t++) {
        if (t == IPC_SUBMIT_CKPT_UNLINK)
            continue;
        CU_ASSERT(ok(t, &r, sizeof r, 0));
        CU_ASSERT(!ok(t, &r, sizeof r - 1, 0));
        CU_ASSERT(!ok(t, &r, sizeof r, 1));
        r.retention_ns = INT64_MIN;
        CU_ASSERT_EQUAL(ok(t, &r, sizeof r, 0),
                        t != IPC_SUBMIT_CKPT_RETENTION_SET);
        r.retention_ns = 0;
    }
}

/* Every size that an element, an id or the whole can have. */
static void test_section_ok(void)
{
    uint8_t head[IPC_CKPT_HEAD_SIZE_MAX + 8] = {0};
    struct pend p = {.r = {.type = IPC_SUBMIT_CKPT_WRITE}};

    element(&p, head, 0, 7, 5);
    element(&p, head, 9, 0, 6);
    size_t n = encode(&p, head);
    CU_ASSERT(ok(p.r.type, head, n, 11));
    CU_ASSERT(!ok(p.r.type, head, n, 10));
    CU_ASSERT(!ok(p.r.type, head, n, 12));
    for (size_t i = 0; i < n; i++)
        CU_ASSERT(!ok(p.r.type, head, i, 11));
    CU_ASSERT(!ok(p.r.type, head, n + 8, 11));
    CU_ASSERT(!ok(IPC_SUBMIT_CKPT_OVERWRITE, head, n, 11)); /* one element */
    for (uint16_t size = 0; size < 600; size++) { /* of the second id */
        const size_t at = sizeof(struct ipc_ckpt_section_request) +
                          2 * sizeof(struct ipc_ckpt_element) - 4;
        memcpy(head + at, &size, sizeof size);
        CU_ASSERT_EQUAL(ok(p.r.type, head, n, 11), size >= 9 && size <= 16);
    }
    struct ipc_ckpt_section_request s = {.count = 0};
    s.head_size = sizeof s;
    CU_ASSERT(!ok(p.r.type, &s, sizeof s, 0));
    s.count = UINT32_MAX;
    CU_ASSERT(!ok(p.r.type, &s, sizeof s, 0));
}

static void test_offset_ok(void)
{
    uint8_t head[IPC_CKPT_HEAD_SIZE_MAX];

    for (uint32_t t = IPC_SUBMIT_CKPT_SECTION_CREATE;
         t <= IPC_SUBMIT_CKPT_OVERWRITE; t++) {
        struct pend p = {.r = {.type = t}};
        element(&p, "ab", 2, 1, 3);
        size_t n = encode(&p, head);
        CU_ASSERT_EQUAL(ok(t, head, n, 3), t == IPC_SUBMIT_CKPT_WRITE);
        p.r.elements[0].offset = 0;
        encode(&p, head);
        CU_ASSERT(ok(t, head, n, 3));
    }
}

/* --- what readers may see --------------------------------------------------
 */

/* Each call is one look that a reader may get at the section, see its end. */
static uint32_t changes, changes_most;
void __real_ckpt_section_change(struct ckpt_store *s, struct ckpt_checkpoint *c,
                                struct ckpt_section *section,
                                const struct ckpt_change *change);
void __wrap_ckpt_section_change(struct ckpt_store *s, struct ckpt_checkpoint *c,
                                struct ckpt_section *section,
                                const struct ckpt_change *change);
void __wrap_ckpt_section_change(struct ckpt_store *s, struct ckpt_checkpoint *c,
                                struct ckpt_section *section,
                                const struct ckpt_change *change)
{
    changes++;
    if (change->run_count > changes_most)
        changes_most = change->run_count;
    __real_ckpt_section_change(s, c, section, change);
}

/* Five elements of one vector, three of them of one section, not in a row: both
 * sections change once. The contents are compared as everywhere here. */
static void test_vector(void)
{
    const struct {
        const char *id;
        uint64_t offset;
        uint32_t size;
    } elements[] = {{"x", 0, 900},
                    {"y", 0, 70},
                    {"x", 500, 100000},
                    {"y", 40, 10},
                    {"x", 20, 30}};
    struct pend *p;

    start(1, 1 << 20, 9);
    done(open_request(1, 0, "a", all_flags, &plain));
    section_done(1, 0, IPC_SUBMIT_CKPT_SECTION_CREATE, "x", 0, 5);
    section_done(1, 0, IPC_SUBMIT_CKPT_SECTION_CREATE, "y", 0, 5);
    p = on(1, 0, IPC_SUBMIT_CKPT_WRITE);
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        element(p, elements[i].id, 1, elements[i].offset, elements[i].size);
    fill(p);
    changes = changes_most = 0;
    CU_ASSERT_EQUAL(done(p), IPC_OK);
    CU_ASSERT_EQUAL(changes, 2);
    CU_ASSERT_EQUAL(changes_most, 3);
    world_end();
}

/* --- limits --------------------------------------------------------------- */

enum { WRITE = IPC_SUBMIT_CKPT_WRITE, OVERWRITE = IPC_SUBMIT_CKPT_OVERWRITE };
enum {
    CREATE = IPC_SUBMIT_CKPT_SECTION_CREATE,
    DELETE = IPC_SUBMIT_CKPT_SECTION_DELETE
};

/* To the byte. */
static void test_no_memory(void)
{
    const uint64_t room = 2 * STORE_CHUNK_SIZE;

    start(2, STORE_CHECKPOINT_BYTES + STORE_SECTION_BYTES + room, 9);
    done(open_request(1, 0, "a", all_flags, &plain));
    CU_ASSERT_EQUAL(last_result, IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "x", 0, (uint32_t)room + 1),
                    IPC_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "x", 0, (uint32_t)room), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "y", 0, 0), IPC_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", room, 1), IPC_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", room - 1, 1), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, OVERWRITE, "x", 0, (uint32_t)room + 1),
                    IPC_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(done(open_request(2, 0, "b", all_flags, &plain)),
                    IPC_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(section_done(1, 0, OVERWRITE, "x", 0, 7), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, DELETE, "x", 0, 0), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "y", 0, 0), IPC_OK);
    world_end();
}

static void test_no_resources(void)
{
    const char *names[] = {"a", "b", "c", "d"};

    start(1, 1 << 20, 3);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(done(open_request(1, 0, names[i], all_flags, &plain)),
                        i < 3 ? IPC_OK : IPC_ERR_NO_RESOURCES);
    /* Neither is one that exists refused. */
    CU_ASSERT_EQUAL(done(open_request(1, 0, "a", all_flags, &plain)), IPC_OK);
    world_end();
}

static void test_no_space(void)
{
    struct ipc_ckpt_attributes a = plain, one = plain, no_id = plain;

    start(1, 1 << 20, 9);
    a.section_max = 2;
    done(open_request(1, 0, "a", all_flags, &a));
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "x", 0, 1), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "", 0, 1), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "y", 0, 1), IPC_ERR_NO_SPACE);
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "", 0, 1), IPC_ERR_NO_SPACE);
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "x", 0, 1), IPC_ERR_EXIST);
    CU_ASSERT_EQUAL(section_done(1, 0, DELETE, "x", 0, 0), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "y", 0, 1), IPC_OK);
    one.section_max = 1;
    done(open_request(1, 0, "one", all_flags, &one));
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "x", 0, 1), IPC_ERR_EXIST);
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "", 0, 1), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, DELETE, "", 0, 0),
                    IPC_ERR_INVALID_PARAM);
    no_id.section_id_size_max = 0;
    done(open_request(1, 0, "no id", all_flags, &no_id));
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "", 0, 1), IPC_ERR_NO_SPACE);
    world_end();
}

/* Sizes that no memory has, up to where sums wrap. */
static void test_huge(void)
{
    struct ipc_ckpt_attributes a = plain;
    const uint64_t max = UINT64_MAX;

    a.section_size_max = max;
    start(2, 1 << 20, 9);
    done(open_request(1, 0, "a", all_flags, &a));
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "x", 0, 100), IPC_OK);
    for (int shift = 20; shift < 64; shift++)
        for (uint64_t by = 0; by < 3; by++)
            CU_ASSERT_EQUAL(
                section_done(1, 0, WRITE, "x", ((uint64_t)1 << shift) - by, 2),
                IPC_ERR_NO_MEMORY);
    for (uint32_t size = 0; size < 300; size += 7) {
        CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", max - size, size),
                        IPC_ERR_NO_MEMORY);
        CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", max - size, size + 1),
                        IPC_ERR_INVALID_PARAM);
    }
    world_end();
}

/* Of members' limits the lowest counts, while they are members. */
/* One that differs in a single attribute is another checkpoint; how long it is
 * kept does not count. */
static void test_attributes(void)
{
    start(1, 1 << 20, 9);
    done(open_request(1, 0, "a", all_flags, &plain));
    CU_ASSERT_EQUAL(last_result, IPC_OK);
    for (int i = 0; i < 6; i++) {
        struct ipc_ckpt_attributes a = plain;
        a.creation_flags += i == 0;
        a.section_max += i == 1;
        a.checkpoint_size += i == 2;
        a.section_size_max -= i == 3;
        a.section_id_size_max -= i == 4;
        a.retention_ns += i == 5;
        done(open_request(1, 0, "a", all_flags, &a));
        CU_ASSERT_EQUAL(last_result, i < 5 ? IPC_ERR_EXIST : IPC_OK);
    }
    world_end();
}

static void test_limits_agreed(void)
{
    start(1, 1 << 20, 2);
    done(open_request(1, 0, "a", all_flags, &plain));
    done(open_request(1, 0, "b", all_flags, &plain));
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "x", 0, 40000), IPC_OK);
    node_start(2, 20000, 1);
    configure_all();
    settle();
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", 40000, 1),
                    IPC_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", 39999, 1), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, OVERWRITE, "x", 0, 39999), IPC_OK);
    CU_ASSERT_EQUAL(done(open_request(2, 0, "c", all_flags, &plain)),
                    IPC_ERR_NO_RESOURCES);
    node_stop(2);
    configure_all();
    settle();
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", 40000, 1), IPC_OK);
    world_end();
}

/* --- handles -------------------------------------------------------------- */

/* Opens of clients that are gone before they come out of the order: each has
 * its place then, however many they were. */
static void test_handles_end(void)
{
    enum { WAITING = 100 };
    static uint8_t ops[WAITING][CKPT_HEAD_SIZE_MAX];
    struct ipc_ckpt_open o = {.flags = IPC_CKPT_READ, .name_length = 1};
    struct ckpt_request r = {.type = IPC_SUBMIT_CKPT_OPEN,
                             .head = (const uint8_t *)&o,
                             .head_size = sizeof o};
    struct ckpt_outcome out;
    size_t n = 0;

    start(1, 1 << 20, 9);
    struct ckpt *k = world.nodes[1].k;
    o.name[0] = 'a';
    done(open_request(1, 1, "a", all_flags, &plain));
    for (uint32_t i = 1; i < CKPT_HANDLES_MAX - WAITING; i++) {
        n = ckpt_take(k, &r, ops[0]);
        CU_ASSERT(ckpt_message(k, 1, (struct bytes){ops[0], n}));
        CU_ASSERT(ckpt_outcome_next(k, &out));
        CU_ASSERT_EQUAL(out.reply.reply.result, IPC_OK);
    }
    r.client = 2;
    for (uint32_t i = 0; i < WAITING; i++) {
        CU_ASSERT_EQUAL(ckpt_take(k, &r, ops[i]), n);
        ckpt_client_gone(k, r.client);
    }
    CU_ASSERT_EQUAL(ckpt_take(k, &r, ops[0] + n), 0);
    CU_ASSERT(ckpt_outcome_next(k, &out));
    CU_ASSERT_EQUAL(out.reply.reply.result, IPC_ERR_NO_RESOURCES);
    for (uint32_t i = 0; i < WAITING; i++)
        CU_ASSERT(ckpt_message(k, 1, (struct bytes){ops[i], n}));
    CU_ASSERT_EQUAL(ckpt_stats_get(k).handles, CKPT_HANDLES_MAX);
    while (ckpt_message_kind(k) == REPLICA_INFO) /* and is closed */
        CU_ASSERT(ckpt_message(
            k, 1, (struct bytes){ops[0], ckpt_message_write(k, ops[0])}));
    CU_ASSERT_EQUAL(ckpt_stats_get(k).handles, CKPT_HANDLES_MAX - WAITING);
    CU_ASSERT(ckpt_take(k, &r, ops[0]) > 0);
    world_end();
}

/* Clients are gone, and what they had begun to send is not sent to its end:
 * nothing of it may be counted for ever. */
static void test_abandoned(void)
{
    uint8_t op[CKPT_HEAD_SIZE_MAX];
    struct ipc_ckpt_open o = {.flags = IPC_CKPT_READ, .name_length = 1};
    struct ckpt_request r = {.type = IPC_SUBMIT_CKPT_OPEN,
                             .client = 2,
                             .head = (const uint8_t *)&o,
                             .head_size = sizeof o};
    struct ipc_ckpt_request close = {.handle = 0};
    size_t n;

    start(1, 1 << 20, 9);
    struct ckpt *k = world.nodes[1].k;
    o.name[0] = 'a';
    done(open_request(1, 1, "a", all_flags, &plain));
    for (uint32_t i = 0; i < CKPT_HANDLES_MAX; i++) {
        CU_ASSERT_FATAL(ckpt_take(k, &r, op) > 0);
        ckpt_client_gone(k, r.client);
        ckpt_untake(k, r.client);
    }
    close.handle = handle_of_client(1, 1);
    CU_ASSERT_FATAL(close.handle != UINT32_MAX);
    r = (struct ckpt_request){.type = IPC_SUBMIT_CKPT_CLOSE,
                              .client = 1,
                              .head = (const uint8_t *)&close,
                              .head_size = sizeof close};
    CU_ASSERT_FATAL(ckpt_take(k, &r, op) > 0);
    ckpt_client_gone(k, r.client);
    CU_ASSERT_EQUAL(ckpt_message_kind(k), REPLICA_NOTHING);
    ckpt_untake(k, r.client);
    CU_ASSERT_EQUAL_FATAL(ckpt_message_kind(k), REPLICA_INFO);
    n = ckpt_message_write(k, op);
    CU_ASSERT(ckpt_message(k, 1, (struct bytes){op, n}));
    CU_ASSERT_EQUAL(ckpt_message_kind(k), REPLICA_NOTHING);
    CU_ASSERT_EQUAL(ckpt_stats_get(k).handles, 0);
    world_end();
}

static void test_other_clients_handle(void)
{
    struct pend *p;

    start(2, 1 << 20, 9);
    done(open_request(1, 0, "a", all_flags, &plain));
    uint32_t handle = handle_of_client(1, 0);
    for (uint32_t t = IPC_SUBMIT_CKPT_CLOSE; t <= OVERWRITE; t++) {
        if (t == IPC_SUBMIT_CKPT_UNLINK)
            continue;
        for (uint32_t bad = 0; bad < 3; bad++) {
            p = request(bad == 1 ? 2 : 1, 1, t);
            p->handle = bad == 2 ? UINT32_MAX - t : handle;
            if (t >= CREATE)
                element(p, "x", 1, 0, 0);
            CU_ASSERT_EQUAL(done(p), IPC_ERR_BAD_HANDLE);
        }
    }
    CU_ASSERT_EQUAL(section_done(1, 0, CREATE, "x", 0, 1), IPC_OK);
    world_end();
}

/* A client is gone while its handle is being opened again, that is not sent as
 * a whole, and the ring breaks: what it sent to the old state with that number
 * must not hit another checkpoint. */
static void test_reopening_cut(void)
{
    const uint32_t apart[NODES + 1] = {0, 1, 2, 0, 0};
    uint8_t data[CKPT_MESSAGE_SIZE_MAX];
    struct node *n;

    start(2, 1 << 20, 9);
    configure(apart);
    settle();
    /* Node 1 has most operations; number 1 is open on both. */
    done(open_request(1, 0, "a", all_flags, &plain));
    for (int i = 0; i < 20; i++)
        section_done(1, 0, i % 2 == 0 ? CREATE : DELETE, "x", 0, 0);
    done(open_request(2, 0, "b", all_flags, &plain));
    done(open_request(2, 1, "a", all_flags, &plain));
    done(open_request(1, 1, "b", all_flags, &plain));
    configure_all();
    for (uint32_t i = 0; i < 2; i++)
        say(&world.nodes[1 + i]);
    while (deliver(&world.parts[1]))
        continue;
    n = &world.nodes[2];
    for (int i = 0; i < 30 && !is_whole(n); i++) {
        say(&world.nodes[1]);
        while (deliver(&world.parts[1]))
            continue;
    }
    CU_ASSERT(is_whole(n));
    /* "b" is opened again, and in use here; "a" is not sent. */
    CU_ASSERT_EQUAL(ckpt_message_kind(n->k), REPLICA_INFO);
    say(n);
    while (deliver(&world.parts[1]))
        continue;
    CU_ASSERT_EQUAL(ckpt_message_kind(n->k), REPLICA_INFO);
    ckpt_message_write(n->k, data);
    for (uint32_t client = 0; client < 2; client++)
        if (handle_of_client(2, client) == UINT32_MAX)
            client_dies(n, client);
    configure_all();
    settle();
    for (uint32_t client = 0; client < 2; client++)
        if (handle_of_client(2, client) != UINT32_MAX)
            CU_ASSERT(section_done(2, client, CREATE, "after", 0, 9) == IPC_OK);
    world_end();
}

/* --- time ----------------------------------------------------------------- */

/* Opens, closes; is it there then, and after a while? */
static void retention(int64_t retention_ns, bool then, int64_t later_ns,
                      bool later)
{
    struct ipc_ckpt_attributes a = plain;

    a.retention_ns = retention_ns;
    start(2, 1 << 20, 9);
    CU_ASSERT_EQUAL(ckpt_wake_ns(world.nodes[1].k), INT64_MAX);
    done(open_request(1, 0, "a", all_flags, &a));
    CU_ASSERT_EQUAL(done(on(1, 0, IPC_SUBMIT_CKPT_CLOSE)), IPC_OK);
    CU_ASSERT_EQUAL(exists("a"), then);
    CU_ASSERT_EQUAL(ckpt_wake_ns(world.nodes[2].k), INT64_MAX);
    CU_ASSERT(then ? ckpt_wake_ns(world.nodes[1].k) < 0
                   : ckpt_wake_ns(world.nodes[1].k) == INT64_MAX);
    tick_all();
    CU_ASSERT_EQUAL(exists("a"), then);
    if (then && retention_ns < INT64_MAX - world.now_ns)
        CU_ASSERT_EQUAL(ckpt_wake_ns(world.nodes[1].k),
                        node_now(&world.nodes[1]).steady_ns + retention_ns);
    world.now_ns += later_ns;
    tick_all();
    CU_ASSERT_EQUAL(exists("a"), later);
    world_end();
}

static void test_retention(void)
{
    const int64_t least = CKPT_RETENTION_MIN_NS;

    retention(0, false, 0, false);
    retention(10, false, 0, false); /* nobody can have opened it again */
    retention(least - 1, false, 0, false);
    retention(least, true, least - 1, true);
    retention(least, true, least, false);
    retention(INT64_MAX, true, INT64_MAX / 4, true);
    retention(INT64_MAX - 1, true, 1000, true);
    retention((int64_t)3600 * SECOND, true, (int64_t)3600 * SECOND - 1, true);
    retention((int64_t)3600 * SECOND, true, (int64_t)3600 * SECOND, false);
}

/* A new open stops the clock, the next close begins it anew. */
static void test_retention_again(void)
{
    start(2, 1 << 20, 9);
    done(open_request(1, 0, "a", all_flags, &plain));
    done(on(1, 0, IPC_SUBMIT_CKPT_CLOSE));
    tick_all();
    done(open_request(2, 0, "a", IPC_CKPT_READ, NULL));
    CU_ASSERT_EQUAL(last_result, IPC_OK);
    world.now_ns += SECOND;
    tick_all();
    CU_ASSERT(exists("a"));
    client_dies(&world.nodes[2], 0);
    settle();
    tick_all();
    world.now_ns += CKPT_RETENTION_MIN_NS - 1;
    tick_all();
    CU_ASSERT(exists("a"));
    world.now_ns += 1;
    tick_all();
    CU_ASSERT(!exists("a"));
    world_end();
}

/* Node 1 is to look when a section expires, but once in a second. */
static void wake_for(int64_t expiration_ns)
{
    struct ckpt_now now = world.nodes[1].k->clock.now;
    int64_t wake_ns = ckpt_wake_ns(world.nodes[1].k);

    int64_t left_ns = SECOND;

    if (expiration_ns < now.wall_ns + SECOND)
        left_ns = expiration_ns < now.wall_ns ? 0 : expiration_ns - now.wall_ns;
    CU_ASSERT_EQUAL(wake_ns, expiration_ns == INT64_MAX
                                 ? INT64_MAX
                                 : now.steady_ns + left_ns);
}

/* Sections with all kinds of times; true: it is gone after a tick now. */
static void expiration(int64_t expiration_ns, bool gone)
{
    struct pend *p;

    start(2, 1 << 20, 9);
    done(open_request(1, 0, "a", all_flags, &plain));
    p = on(1, 0, CREATE);
    p->r.expiration_ns = expiration_ns;
    element(p, "x", 1, 0, 5);
    fill(p);
    CU_ASSERT_EQUAL(done(p), IPC_OK);
    wake_for(expiration_ns);
    CU_ASSERT_EQUAL(section_done(2, 0, WRITE, "x", 0, 1), IPC_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", 1, 1), IPC_OK);
    wake_for(expiration_ns);
    tick_all();
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", 0, 1),
                    gone ? IPC_ERR_NOT_EXIST : IPC_OK);
    world_end();
}

static void test_expiration(void)
{
    expiration(INT64_MIN, true);
    expiration(-1, true);
    expiration(0, true);
    expiration(999999999, true); /* before the beginning */
    expiration(1000000100, false);
    expiration(INT64_MAX - 1, false);
    expiration(INT64_MAX, false);
}

/* --- replicas ------------------------------------------------------------- */

static uint32_t write_result(uint32_t flags, bool activate)
{
    struct ipc_ckpt_attributes a = plain;
    struct ckpt_checkpoint *c = NULL;
    uint32_t result;

    a.creation_flags = flags;
    a.section_max = 1;
    start(2, 1 << 20, 9);
    done(open_request(1, 0, "a", all_flags, &a));
    done(open_request(2, 0, "a", all_flags, &a));
    if (activate)
        done(on(1, 0, IPC_SUBMIT_CKPT_ACTIVE_SET));
    result = section_done(2, 0, WRITE, "", 0, 1);
    CU_ASSERT_EQUAL(
        ckpt_lookup(world.nodes[2].k, 0, handle_of_client(2, 0), &c), result);
    CU_ASSERT_EQUAL(done(on(2, 0, IPC_SUBMIT_CKPT_SYNCHRONIZE)), result);
    if (activate) { /* and it goes with the last handle of its node */
        done(open_request(1, 1, "a", all_flags, &a));
        client_dies(&world.nodes[1], 0);
        settle();
        CU_ASSERT_EQUAL(section_done(2, 0, WRITE, "", 0, 1), result);
        client_dies(&world.nodes[1], 1);
        settle();
        CU_ASSERT_EQUAL(
            section_done(2, 0, WRITE, "", 0, 1),
            flags == (IPC_CKPT_WR_ACTIVE_REPLICA | IPC_CKPT_COLLOCATED)
                ? IPC_ERR_NOT_EXIST
                : IPC_OK);
    }
    world_end();
    return result;
}

/* More than a tick has room for is done by several, one after the other; what
 * has another time meanwhile stays. */
static void test_many_expire(void)
{
    enum { MANY = 2 * OP_TICK_ITEMS_MAX + 7 };
    struct ipc_ckpt_attributes a = plain;
    char id[8];

    a.section_max = MANY;
    start(2, 1 << 20, 9);
    done(open_request(1, 0, "a", all_flags, &a));
    for (uint32_t i = 0; i < MANY; i++) {
        struct pend *p = on(1, 0, CREATE);
        snprintf(id, sizeof id, "%u", i);
        p->r.expiration_ns = 1;
        element(p, id, strlen(id), 0, 0);
        fill(p);
        CU_ASSERT_EQUAL_FATAL(done(p), IPC_OK);
    }
    for (uint32_t left = MANY; left > 0;) {
        node_time(&world.nodes[1]);
        settle();
        left -= left < OP_TICK_ITEMS_MAX ? left : OP_TICK_ITEMS_MAX;
        CU_ASSERT_EQUAL_FATAL(
            ckpt_store_next(ckpt_store(world.nodes[2].k), 0)->section_count,
            left);
    }
    CU_ASSERT_EQUAL(ckpt_wake_ns(world.nodes[1].k), INT64_MAX);
    world_end();
}

static void test_active(void)
{
    const uint32_t all = IPC_CKPT_WR_ALL_REPLICAS;
    const uint32_t active = IPC_CKPT_WR_ACTIVE_REPLICA;
    const uint32_t collocated = IPC_CKPT_COLLOCATED;

    CU_ASSERT_EQUAL(write_result(all, false), IPC_OK);
    CU_ASSERT_EQUAL(write_result(all | collocated, false), IPC_OK);
    CU_ASSERT_EQUAL(write_result(active, false), IPC_OK);
    CU_ASSERT_EQUAL(write_result(active | collocated, false),
                    IPC_ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(
        write_result(IPC_CKPT_WR_ACTIVE_REPLICA_WEAK | collocated, false),
        IPC_ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(write_result(active | collocated, true), IPC_OK);
    uint32_t before =
        result_count(IPC_SUBMIT_CKPT_ACTIVE_SET, IPC_ERR_BAD_OPERATION);
    CU_ASSERT_EQUAL(write_result(all | collocated, true), IPC_OK);
    CU_ASSERT_EQUAL(write_result(active, true), IPC_OK);
    CU_ASSERT_EQUAL(
        result_count(IPC_SUBMIT_CKPT_ACTIVE_SET, IPC_ERR_BAD_OPERATION),
        before + 2);
}

/* --- joins ---------------------------------------------------------------- */

/* One section of each size around the end of a piece, then another one, for a
 * node that comes. */
static void test_piece_edges(void)
{
    for (uint32_t d = 0; d < 1300; d += d < 1000 ? 31 : 1) {
        uint32_t size = REPLICA_PIECE_SIZE_MAX + 100 - d;
        start(1, 1 << 20, 9);
        done(open_request(1, 0, "a", all_flags, &plain));
        section_done(1, 0, CREATE, "first", 0, size);
        section_done(1, 0, CREATE, "then", 0, d % 300);
        node_start(2, 1 << 20, 9);
        configure_all();
        settle();
        CU_ASSERT(is_whole(&world.nodes[2]));
        world_end();
    }
}

/* What was never written to is not sent, nor does it take memory there. */
static void test_holes(void)
{
    const uint64_t large = 16 << 20;
    struct ipc_ckpt_attributes a = plain;
    const struct ckpt_section *s;

    a.section_size_max = 2 * large;
    start(1, 2 * large, 9);
    done(open_request(1, 0, "a", all_flags, &a));
    section_done(1, 0, CREATE, "x", 0, 70);
    section_done(1, 0, CREATE, "y", 0, 0);
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", 100000, 7), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", large / 2, 40000), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "x", large, 1), IPC_OK);
    CU_ASSERT_EQUAL(section_done(1, 0, WRITE, "y", 1000000, 0), IPC_OK);
    node_start(2, 2 * large, 9);
    configure_all();
    settle();
    CU_ASSERT(is_whole(&world.nodes[2]));
    CU_ASSERT(
        replica_stats_get(ckpt_replica(world.nodes[2].k))->piece_bytes_read <
        200000);
    s = ckpt_section_next(ckpt_store_next(ckpt_store(world.nodes[2].k), 0), 0);
    CU_ASSERT(ckpt_content_get(s)->blocks <= 7);
    world_end();
}

/* --- everything at random ------------------------------------------------- */

static const uint16_t id_sizes[] = {0, 0, 1, 1, 2, 7, 8, 9, 16, 255, 256};
static const uint16_t name_sizes[] = {0, 1, 1, 8, 255, 256};

enum {
    IDS = sizeof id_sizes / sizeof *id_sizes,
    NAMES = sizeof name_sizes / sizeof *name_sizes,
    BYTES_MAX = 400000,
    BYTES_LESS = 90000 /* of one node */
};

static uint64_t edge(uint64_t max)
{
    uint64_t n;

    switch (pick(8)) {
    case 0:
        n = 0;
        break;
    case 1:
    case 2:
        n = (uint64_t)STORE_CHUNK_SIZE * (1 + pick(3)) + pick(5) - 2;
        break;
    case 3:
        n = REPLICA_PIECE_SIZE_MAX + pick(600) - 500;
        break;
    case 4:
        n = max - pick(3);
        break;
    case 5:
        n = ((uint64_t)1 << pick(64)) + pick(3) - 1;
        break;
    default:
        n = pick(2000);
        break;
    }
    return n;
}

/* Of a section that is there, mostly. */
static void random_id(struct pend *p, const struct m_checkpoint *c,
                      uint64_t offset, uint64_t size)
{
    const struct m_section *s = c == NULL ? NULL : c->sections;
    uint8_t id[IPC_CKPT_SECTION_ID_SIZE_MAX];
    uint32_t i = pick(IDS), n = (uint32_t)(size < 60000 ? size : 60000);

    for (uint32_t skip = pick(4); s != NULL && skip > 0; skip--)
        s = s->next;
    memset(id, (int)i, sizeof id);
    if (s != NULL && pick(4) != 0)
        element(p, s->id, s->id_size, offset, n);
    else if (pick(8) == 0) /* as a made one */
        element(p, "1", 1, offset, n);
    else
        element(p, id, id_sizes[i], offset, n);
}

static struct ipc_ckpt_attributes random_attributes(uint32_t name)
{
    static const uint32_t flags[] = {1, 9, 2, 10, 4, 12};
    static const uint64_t section_sizes[] = {
        100000, 20000, STORE_CHUNK_SIZE, UINT64_MAX, 70000, 0};
    static const uint64_t id_max[] = {256, 8, 0, 255, 1000, UINT64_MAX};
    static const int64_t retentions[] = {
        0, 100000, SECOND, INT64_MAX, INT64_MAX - 1, (int64_t)3600 * SECOND};
    uint32_t kind = name + (pick(30) == 0);

    return (struct ipc_ckpt_attributes){
        .creation_flags = flags[kind % 6],
        .section_max = kind % 4 == 3 ? 1 : 3 + kind % 4 * 3,
        .checkpoint_size = 100,
        .retention_ns = retentions[pick(6)],
        .section_size_max = section_sizes[kind % 6],
        .section_id_size_max = id_max[kind % 6]};
}

static void random_name(struct m_request *r, uint32_t name)
{
    r->name_size = name_sizes[name];
    memset(r->name, (int)name, sizeof r->name);
}

static uint32_t random_handle(const struct node *n, uint32_t client)
{
    uint32_t found = 0, handle = UINT32_MAX;

    if (pick(20) == 0)
        return pick(2) == 0 ? pick(40) : pick(UINT32_MAX >> 1);
    for (uint32_t i = 0; i < HANDLES; i++)
        if (n->handles[i].client == client &&
            (n->handles[i].state == W_OPEN || n->handles[i].state == W_GONE) &&
            pick(++found) == 0)
            handle = i;
    return handle;
}

static int64_t random_time(void)
{
    static const int64_t times[] = {INT64_MAX, INT64_MAX,     INT64_MIN,
                                    -1,        INT64_MAX - 1, 0};
    uint32_t i = pick(9);

    return i < 6 ? times[i] : world.now_ns + pick(1000) - 300;
}

static uint32_t random_type(void)
{
    static const uint8_t weights[] = {8, 3, 1, 2, 2, 2, 16, 2, 4, 16, 8};
    uint32_t type = 0, left = pick(64);

    while (left >= weights[type])
        left -= weights[type++];
    return IPC_SUBMIT_CKPT_OPEN + type;
}

static void random_sections(struct pend *p, const struct m_checkpoint *c)
{
    bool write = p->r.type == WRITE;
    uint32_t count = write && pick(3) == 0 ? 1 + pick(MODEL_ELEMENTS) : 1;

    for (uint32_t i = 0; i < count; i++)
        random_id(p, p->r.type == CREATE && pick(8) != 0 ? NULL : c,
                  write ? edge(100000) : 0, edge(pick(60000)));
    fill(p);
}

static void random_request(struct node *n, uint32_t client)
{
    struct pend *p = request(n->id, client, random_type());
    uint32_t name = pick(NAMES);

    p->handle = random_handle(n, client);
    if (p->handle == UINT32_MAX && pick(8) != 0)
        p->r.type = IPC_SUBMIT_CKPT_OPEN;
    random_name(&p->r, name);
    p->r.flags = pick(4) == 0 ? 1 + pick(7) : all_flags;
    if ((p->r.flags & IPC_CKPT_CREATE) != 0)
        p->r.attributes = random_attributes(name);
    p->async = pick(4) == 0 && (p->r.type == IPC_SUBMIT_CKPT_OPEN ||
                                p->r.type == IPC_SUBMIT_CKPT_SYNCHRONIZE);
    p->invocation = ++world.invocations;
    p->r.retention_ns = pick(3) == 0 ? 0 : 200000 * pick(2) + pick(1000);
    p->r.expiration_ns = random_time();
    if (p->r.type >= CREATE)
        random_sections(p,
                        p->handle < HANDLES
                            ? m_number(n->model, n->handles[p->handle].number)
                            : NULL);
    take(n, p);
}

/* What a reader finds of a handle. */
static void read_handle(struct node *n)
{
    uint32_t client = pick(CLIENTS), handle = random_handle(n, client);
    const struct w_handle *h = handle < HANDLES ? &n->handles[handle] : NULL;
    struct ckpt_checkpoint *c = NULL;
    const struct m_checkpoint *m;
    enum ipc_error result = ckpt_lookup(n->k, client, handle, &c);

    if (!is_whole(n)) {
        EXPECT(result == IPC_ERR_TRY_AGAIN);
        return;
    }
    if (h == NULL || h->client != client || h->state == W_NONE ||
        h->state == W_CLOSING) {
        EXPECT(result == IPC_ERR_BAD_HANDLE);
        return;
    }
    if (h->state == W_REOPEN) {
        EXPECT(result == IPC_ERR_TRY_AGAIN);
        return;
    }
    if (h->state == W_GONE) {
        EXPECT(result == IPC_ERR_NOT_EXIST);
        return;
    }
    m = m_number(n->model, h->number);
    EXPECT(m != NULL);
    EXPECT(result == (m_active(m) ? IPC_OK : IPC_ERR_NOT_EXIST));
    if (result == IPC_OK)
        EXPECT(c->number == m->number);
}

static uint64_t content_sum(const struct ckpt_content *c)
{
    uint8_t *data = m_alloc(c->size);
    uint64_t sum = c->size ^ (uint64_t)c->last_update_ns;

    ckpt_content_read(c, 0, data, c->size);
    for (uint64_t i = 0; i < c->size; i++)
        sum = (sum ^ data[i]) * 0x100000001b3u;
    free(data);
    return sum;
}

/* Takes the garbage away, or brings it back; until then what a reader held does
 * not change. */
static void garbage(struct node *n)
{
    if (n->garbage != NULL) {
        if (n->held != NULL)
            EXPECT(content_sum(n->held) == n->held_sum);
        ckpt_garbage_return(n->k, n->garbage);
        n->garbage = NULL;
        n->held = NULL;
        ckpt_clean(n->k, pick(50));
        return;
    }
    n->garbage = ckpt_garbage_take(n->k);
    const struct ckpt_checkpoint *c = ckpt_store_next(ckpt_store(n->k), 0);
    const struct ckpt_section *s = c == NULL ? NULL : ckpt_section_next(c, 0);
    if (n->garbage == NULL || s == NULL)
        return;
    /* A reader that begins now may hold what is thrown away from now on, and
     * that goes back only with the next lot. */
    n->held = ckpt_content_get(s);
    n->held_sum = content_sum(n->held);
}

static void random_configuration(void)
{
    uint32_t part_of[NODES + 1] = {0}, parts = 1 + pick(3), up = 0;

    for (uint32_t i = 1; i <= NODES; i++)
        while (deliver(&world.parts[i]))
            continue;
    for (uint32_t id = 1; id <= NODES; id++) {
        if (world.nodes[id].k == NULL && pick(3) != 0)
            node_start(id, id == 3 ? BYTES_LESS : BYTES_MAX, id == 3 ? 4 : 5);
        else if (world.nodes[id].k != NULL && pick(8) == 0)
            node_stop(id);
        part_of[id] = 1 + (pick(4) == 0 ? pick(parts) : 0);
        up += world.nodes[id].k != NULL;
    }
    if (up == 0)
        node_start(1, BYTES_MAX, 5);
    configure(part_of);
}

static void step_of(struct node *n)
{
    uint32_t client = pick(CLIENTS), what = pick(100);

    if (what < 40) {
        world.late += n->part->first != NULL;
        if (ckpt_may_take(n->k, client))
            random_request(n, client);
    } else if (what < 50) {
        send_unsent(n);
    } else if (what < 75) {
        if (ckpt_message_kind(n->k) == REPLICA_INFO || pick(4) == 0)
            begin_to_say(n);
    } else if (what < 88) {
        for (uint32_t i = pick(5); i > 0 && deliver(n->part); i--)
            continue;
    } else if (what < 92) {
        world.now_ns += pick(4) == 0 ? SECOND : pick(200000);
        if (pick(20) == 0) /* its clock is set, and mostly right again */
            n->wall_off_ns = n->wall_off_ns != 0 ? 0
                                                 : (int64_t)pick(9) * SECOND -
                                                       4 * (int64_t)SECOND;
        node_time(n);
    } else if (what < 93) {
        client_dies(n, client);
    } else if (what < 97) {
        read_handle(n);
    } else {
        garbage(n);
    }
}

static void random_run(uint64_t seed, uint32_t steps)
{
    world_begin(seed);
    random_configuration();
    for (uint32_t i = 0; i < steps && world.wrong == 0; i++) {
        struct node *n = &world.nodes[1 + pick(NODES)];
        if (pick(250) == 0)
            random_configuration();
        else if (pick(300) == 0)
            settle();
        else if (n->k != NULL)
            step_of(n);
        if (world.wrong > 0)
            printf("\n    (seed %llu, step %u)", (unsigned long long)seed, i);
    }
}

/* All is still, and all clients go: nothing is open any more anywhere. */
static void all_gone(void)
{
    configure_all();
    settle();
    for (uint32_t id = 1; id <= NODES; id++) {
        struct node *n = &world.nodes[id];
        for (uint32_t client = 0; n->k != NULL && client < CLIENTS; client++)
            client_dies(n, client);
    }
    settle();
    for (uint32_t id = 1; id <= NODES && world.wrong == 0; id++) {
        struct node *n = &world.nodes[id];
        if (n->k == NULL)
            continue;
        EXPECT(is_whole(n));
        EXPECT(ckpt_stats_get(n->k).handles == 0);
        for (struct m_checkpoint *m = n->model->checkpoints; m; m = m->next)
            EXPECT(!m_is_used(m) && !m->unlinked);
    }
    tick_all();
}

static void happened(uint32_t type, uint32_t result)
{
    if (result_count(type, result) < 3)
        printf("\n    type %u never gave %u", type, result);
    CU_ASSERT(result_count(type, result) >= 3);
}

static void test_random(void)
{
    enum { RUNS = 20, STEPS = 4000 };

    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        random_run(seed, STEPS);
        all_gone();
        bool wrong = world.wrong > 0;
        world_end();
        if (wrong)
            return;
    }
    for (uint32_t t = IPC_SUBMIT_CKPT_OPEN; t <= OVERWRITE; t++) {
        happened(t, IPC_OK);
        if (t != IPC_SUBMIT_CKPT_CLOSE && t != IPC_SUBMIT_CKPT_RETENTION_SET &&
            t != IPC_SUBMIT_CKPT_ACTIVE_SET)
            happened(t, IPC_ERR_NOT_EXIST);
        if (needs_handle(t))
            happened(t, IPC_ERR_BAD_HANDLE);
    }
    happened(IPC_SUBMIT_CKPT_OPEN, IPC_ERR_EXIST);
    happened(IPC_SUBMIT_CKPT_OPEN, IPC_ERR_NO_RESOURCES);
    happened(IPC_SUBMIT_CKPT_RETENTION_SET, IPC_ERR_BAD_OPERATION);
    happened(IPC_SUBMIT_CKPT_ACTIVE_SET, IPC_ERR_BAD_OPERATION);
    for (uint32_t t = CREATE; t <= OVERWRITE; t++)
        happened(t, IPC_ERR_INVALID_PARAM);
    happened(CREATE, IPC_ERR_EXIST);
    happened(CREATE, IPC_ERR_NO_SPACE);
    happened(CREATE, IPC_ERR_NO_MEMORY);
    happened(WRITE, IPC_ERR_NO_MEMORY);
    happened(OVERWRITE, IPC_ERR_NO_MEMORY);
    CU_ASSERT(world.exchanges > 50 && world.given_up > 20);
    CU_ASSERT(world.reopened > 20 && world.gone > 5);
    CU_ASSERT(world.untaken > 20 && world.unsaid > 20);
    CU_ASSERT(world.died > 50 && world.expired > 100);
    CU_ASSERT(world.made_ids > 50 && world.late > 1000);
    CU_ASSERT(world.steps > 50 && world.disbelieved > 5);
    printf("(%u compared, %u plans, %u exchanges, %u given up, %u reopened, "
           "%u gone, %u untaken, %u died, %u expired) ",
           world.compared, world.plans, world.exchanges, world.given_up,
           world.reopened, world.gone, world.untaken, world.died,
           world.expired);
}

static const struct unit_test tests[] = {
    {"open ok", test_open_ok},
    {"other ok", test_other_ok},
    {"section ok", test_section_ok},
    {"offset ok", test_offset_ok},
    {"vector", test_vector},
    {"no memory", test_no_memory},
    {"no resources", test_no_resources},
    {"no space", test_no_space},
    {"huge", test_huge},
    {"attributes", test_attributes},
    {"limits agreed", test_limits_agreed},
    {"handles end", test_handles_end},
    {"abandoned", test_abandoned},
    {"other client's handle", test_other_clients_handle},
    {"reopening cut", test_reopening_cut},
    {"retention", test_retention},
    {"retention again", test_retention_again},
    {"expiration", test_expiration},
    {"many expire", test_many_expire},
    {"active", test_active},
    {"piece edges", test_piece_edges},
    {"holes", test_holes},
    {"random", test_random}};
UNIT_MAIN("ckpt service", tests)
