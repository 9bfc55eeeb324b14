/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ckpt.c - libSaCkpt against the specification: each test is a row of its
 * table of errors, or of what is common to all services, named as there, on a
 * real server of one node. What checkpoints do: test_ckpt_rules.c; threads,
 * fork, time limits: test_ckpt_threads.c. */
#include "test/unit/ckpt_box.h"

#include <corosync/evs.h>

#include <signal.h>

/* So that all callbacks of the asynchronous calls are pending. */
static void settled(void)
{
    IS(unlink_one("nobody"), ERR_NOT_EXIST);
}

/* --- memory --------------------------------------------------------------- */

/* Memory is refused to the thread that says so, from its n-th wish on. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
static _Thread_local int memory_left = -1;

static bool refused(void)
{
    return memory_left == 0 || (memory_left > 0 && --memory_left < 0);
}

void *__wrap_malloc(size_t size)
{
    return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refused() ? NULL : __real_calloc(n, size);
}

/* --- a daemon that lies --------------------------------------------------- */

/* What other threads than the test's, so the daemon's, put into rings. */
void __real_ring_push(struct ring_producer *p, uint32_t type, uint32_t size);
void __wrap_ring_push(struct ring_producer *p, uint32_t type, uint32_t size);
static _Thread_local bool tests_own;
static _Atomic(uint32_t) spoiled_type; /* of which records; 0: none */
typedef void (*spoil_fn)(uint8_t *body, uint32_t *type, uint32_t *size);
static _Atomic(spoil_fn) spoil;

void __wrap_ring_push(struct ring_producer *p, uint32_t type, uint32_t size)
{
    if (!tests_own && type == spoiled_type)
        atomic_load (&spoil)(p->data + (p->tail & (p->size - 1)) +
                                 sizeof(struct ring_record),
                             &type, &size);
    __real_ring_push(p, type, size);
}

static void spoil_short(uint8_t *body, uint32_t *type, uint32_t *size)
{
    (void)body, (void)type;
    *size -= 4;
}

static void spoil_empty(uint8_t *body, uint32_t *type, uint32_t *size)
{
    (void)body, (void)type;
    *size = 0;
}

static void spoil_type(uint8_t *body, uint32_t *type, uint32_t *size)
{
    (void)body, (void)size;
    *type += 1000;
}

static void spoil_result(uint8_t *body, uint32_t *type, uint32_t *size)
{
    (void)type, (void)size;
    memset(body, 0xee, 4);
}

static void spoil_done(uint8_t *body, uint32_t *type, uint32_t *size)
{
    (void)type, (void)size;
    body[4]++;
}

static void spoil_next_id(uint8_t *body, uint32_t *type, uint32_t *size)
{
    (void)type;
    struct ipc_ckpt_next_answer a;
    memcpy(&a, body, sizeof a);
    a.id_length = 300;
    memcpy(body, &a, sizeof a);
    memset(body + sizeof a, 'x', 300); /* the ring is larger */
    *size = sizeof a + 300;
}

static void spoil_next_number(uint8_t *body, uint32_t *type, uint32_t *size)
{
    (void)type, (void)size;
    struct ipc_ckpt_next_answer a;
    memcpy(&a, body, sizeof a);
    a.number = 0; /* so that it would never end */
    memcpy(body, &a, sizeof a);
}

static void spoil_made_id(uint8_t *body, uint32_t *type, uint32_t *size)
{
    (void)type, (void)size;
    struct ipc_ckpt_reply r;
    memcpy(&r, body, sizeof r);
    r.id_length = sizeof r.id + 1;
    memcpy(body, &r, sizeof r);
}

static void spoil_no_data(uint8_t *body, uint32_t *type, uint32_t *size)
{
    (void)type;
    struct ipc_ckpt_read_answer a;
    memcpy(&a, body, sizeof a);
    a.reply.done = 0;
    memcpy(body, &a, sizeof a);
    *size = sizeof a;
}

static void lie(uint32_t type, spoil_fn how)
{
    spoiled_type = 0;
    atomic_store(&spoil, how);
    spoiled_type = type;
}

/* No crash, no reading beyond what came, and the truth afterwards, unless it is
 * the order of answers that is wrong. */
static void test_lies(void)
{
    SaCkptSectionIdT made = SA_CKPT_GENERATED_SECTION_ID;
    SaCkptSectionCreationAttributesT a = {&made, SA_TIME_END};
    SaCkptCheckpointDescriptorT status;
    SaCkptSectionIterationHandleT i;
    SaCkptSectionDescriptorT section;
    SaCkptCheckpointHandleT other;
    SaNameT name = name_of("n");
    char data[8];
    SaSizeT n = 4;
    tests_own = true;
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(create_text(ck, "s", "1234"), OK);
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &i), OK);
    const spoil_fn shorten[] = {spoil_short, spoil_empty, spoil_result};
    for (int k = 0; k < 3; k++) {
        lie(IPC_SUBMIT_CKPT_WRITE, shorten[k]);
        IS(write_at(ck, "s", 0, "1", 1), ERR_LIBRARY);
        lie(IPC_QUERY_CKPT_READ, shorten[k]);
        n = 4;
        IS(read_at(ck, "s", 0, data, &n), ERR_LIBRARY);
        lie(IPC_QUERY_CKPT_STATUS, shorten[k]);
        IS(saCkptCheckpointStatusGet(ck, &status), ERR_LIBRARY);
        lie(IPC_QUERY_CKPT_NEXT, shorten[k]);
        IS(saCkptSectionIterationNext(i, &section), ERR_LIBRARY);
    }
    n = 4;
    lie(IPC_QUERY_CKPT_READ, spoil_done);
    IS(read_at(ck, "s", 0, data, &n), ERR_LIBRARY);
    n = 4;
    lie(IPC_QUERY_CKPT_READ, spoil_no_data);
    IS(read_at(ck, "s", 0, data, &n), ERR_LIBRARY);
    lie(IPC_QUERY_CKPT_NEXT, spoil_next_id);
    IS(saCkptSectionIterationNext(i, &section), ERR_LIBRARY);
    lie(IPC_QUERY_CKPT_NEXT, spoil_next_number);
    IS(saCkptSectionIterationNext(i, &section), ERR_LIBRARY);
    lie(IPC_SUBMIT_CKPT_SECTION_CREATE, spoil_made_id);
    IS(saCkptSectionCreate(ck, &a, NULL, 0), ERR_LIBRARY);
    CU_ASSERT_PTR_NULL(made.id);
    lie(IPC_EVENT_CKPT_OPEN, spoil_short);
    IS(saCkptCheckpointOpenAsync(h, 1, &name, NULL, READ), OK);
    settled();
    IS(saCkptDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.opens, 0);
    lie(0, NULL);
    CU_ASSERT_TRUE(holds_text(ck, "s", "1234"));
    IS(saCkptSectionIterationNext(i, &section), OK);
    lie(IPC_QUERY_CKPT_STATUS, spoil_type);
    IS(saCkptCheckpointStatusGet(ck, &status), ERR_LIBRARY);
    lie(0, NULL);
    IS(saCkptCheckpointStatusGet(ck, &status), ERR_LIBRARY);
    IS(try_open("n", NULL, READ, &other), ERR_LIBRARY);
    end();
    tests_own = false;
}

/* --- initialize ----------------------------------------------------------- */

static void test_init_null(void)
{
    SaVersionT v = {'B', 1, 1};
    begin();
    IS(saCkptInitialize(NULL, &callbacks, &v), ERR_INVALID_PARAM);
    IS(saCkptInitialize(&h, &callbacks, NULL), ERR_INVALID_PARAM);
    end();
}

static void test_init_version(void)
{
    const SaVersionT bad[] = {{'C', 1, 1},    {'A', 1, 1}, {'b', 1, 1},
                              {'B', 3, 1},    {'B', 0, 1}, {0, 0, 0},
                              {255, 255, 255}};
    SaCkptHandleT handle = 77;
    begin();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        SaVersionT v = bad[i];
        IS(saCkptInitialize(&handle, &callbacks, &v), ERR_VERSION);
        CU_ASSERT(v.releaseCode == 'B' && v.majorVersion == 2 &&
                  v.minorVersion == 2);
    }
    CU_ASSERT_EQUAL(handle, 77);
    for (uint8_t major = 1; major <= 2; major++)
        for (int minor = 0; minor < 256; minor += 255) {
            SaVersionT v = {'B', major, (uint8_t)minor};
            IS(saCkptInitialize(&handle, &callbacks, &v), OK);
            CU_ASSERT(v.majorVersion == 2 && v.minorVersion == 2);
            IS(saCkptFinalize(handle), OK);
        }
    end();
}

static void test_init_callbacks(void)
{
    const SaCkptCallbacksT none = {NULL, NULL};
    begin();
    SaCkptHandleT a = open_handle(NULL), b = open_handle(&none);
    CU_ASSERT(a != b && a != h && b != h);
    CU_ASSERT_NOT_EQUAL(fd_of(a), fd_of(b));
    IS(saCkptFinalize(a), OK);
    IS(saCkptFinalize(b), OK);
    end();
}

static void test_init_daemon(void)
{
    SaVersionT v = {'B', 1, 1};
    int fds = open_fds();
    IS(saCkptInitialize(&h, &callbacks, &v), ERR_TRY_AGAIN); /* is down */
    CU_ASSERT_EQUAL(open_fds(), fds);
    /* Connected, but another member does not say what it has. */
    d.alone = false;
    start();
    IS(saCkptInitialize(&h, &callbacks, &v), ERR_TRY_AGAIN);
    stop();
    CU_ASSERT_EQUAL(open_fds(), fds);
    begin_server();
    h = open_handle(&callbacks);
    end();
}

static void test_no_memory(void)
{
    SaVersionT v = {'B', 1, 1};
    SaCkptSectionIterationHandleT iteration;
    SaCkptSectionIdT id = SA_CKPT_GENERATED_SECTION_ID;
    SaCkptSectionCreationAttributesT a = {&id, SA_TIME_END};
    SaCkptCheckpointHandleT handle = 0;
    SaNameT name = name_of("async");
    begin();
    SaCkptCheckpointHandleT ck = open_one("m"), other;
    SaCkptIOVectorElementT e = {.sectionId = id_of("s")};
    SaCkptHandleT instance;
    IS(create_text(ck, "s", "text"), OK);
    memory_left = 0;
    IS(saCkptInitialize(&instance, &callbacks, &v), ERR_NO_MEMORY);
    IS(try_open("m", NULL, READ, &handle), ERR_NO_MEMORY);
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &iteration), ERR_NO_MEMORY);
    IS(saCkptSectionCreate(ck, &a, NULL, 0), ERR_NO_MEMORY);
    IS(saCkptCheckpointRead(ck, &e, 1, NULL), ERR_NO_MEMORY);
    memory_left = 1; /* for what is remembered, none for the data */
    IS(saCkptCheckpointRead(ck, &e, 1, NULL), ERR_NO_MEMORY);
    CU_ASSERT_PTR_NULL(e.dataBuffer);
    memory_left = -1;
    SaCkptCheckpointCreationAttributesT attr = attributes();
    IS(saCkptCheckpointOpenAsync(h, 3, &name, &attr, ALL), OK);
    CU_ASSERT_TRUE(readable(fd_of(h), 10000));
    memory_left = 0;
    IS(saCkptDispatch(h, SA_DISPATCH_ALL), OK);
    memory_left = -1;
    CU_ASSERT(seen.opens == 1 && seen.error == SA_AIS_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(seen.handle, 0);
    /* What could not be told is closed again: with the last handle gone the
     * checkpoint, whose retention is 0, is too. */
    IS(saCkptCheckpointClose(ck), OK);
    EVENTUALLY(try_open("m", NULL, READ, &other) == SA_AIS_ERR_NOT_EXIST);
    EVENTUALLY(try_open("async", NULL, READ, &other) == SA_AIS_ERR_NOT_EXIST);
    end();
}

/* --- selection object, dispatch, finalize --------------------------------- */

static void test_selection(void)
{
    SaSelectionObjectT fd;
    SaNameT name = name_of("x");
    begin();
    IS(saCkptSelectionObjectGet(h, NULL), ERR_INVALID_PARAM);
    IS(saCkptSelectionObjectGet(0, NULL), ERR_INVALID_PARAM);
    EACH_BAD_INSTANCE(saCkptSelectionObjectGet(b, &fd));
    CU_ASSERT_EQUAL(fd_of(h), fd_of(h));
    CU_ASSERT_FALSE(readable(fd_of(h), 0));
    IS(saCkptCheckpointOpenAsync(h, 1, &name, NULL, READ), OK);
    CU_ASSERT_TRUE(readable(fd_of(h), 10000));
    IS(saCkptDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_FALSE(readable(fd_of(h), 0));
    end();
}

static void test_dispatch_errors(void)
{
    begin();
    for (int flags = -1; flags < 6; flags++)
        if (flags < 1 || flags > 3)
            IS(saCkptDispatch(h, (SaDispatchFlagsT)flags), ERR_INVALID_PARAM);
    EACH_BAD_INSTANCE(saCkptDispatch(b, SA_DISPATCH_ONE));
    EACH_BAD_INSTANCE(saCkptDispatch(b, SA_DISPATCH_BLOCKING));
    end();
}

static void test_dispatch_one_all(void)
{
    SaNameT name = name_of("x");
    begin();
    alarm(20); /* instead of waiting for ever */
    IS(saCkptDispatch(h, SA_DISPATCH_ONE), OK);
    IS(saCkptDispatch(h, SA_DISPATCH_ALL), OK);
    alarm(0);
    for (SaInvocationT i = 1; i <= 3; i++)
        IS(saCkptCheckpointOpenAsync(h, i, &name, NULL, READ), OK);
    settled();
    IS(saCkptDispatch(h, SA_DISPATCH_ONE), OK);
    CU_ASSERT(seen.opens == 1 && seen.invocation == 1);
    IS(saCkptDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT(seen.opens == 3 && seen.invocation == 3);
    end();
}

static void calls_inside(void)
{
    SaCkptCheckpointDescriptorT status;
    SaNameT name = name_of("x");
    seen.inside = NULL;
    SaCkptCheckpointHandleT ck = open_one("inside");
    IS(saCkptCheckpointStatusGet(ck, &status), OK);
    IS(saCkptCheckpointClose(ck), OK);
    IS(saCkptCheckpointOpenAsync(h, 9, &name, NULL, READ), OK);
    settled();
    IS(saCkptDispatch(h, SA_DISPATCH_ONE), OK);
    CU_ASSERT_EQUAL(seen.opens, 2);
}

static void finalize_inside(void)
{
    IS(saCkptFinalize(h), OK);
}

static void test_dispatch_nested(void)
{
    SaNameT name = name_of("x");
    begin();
    seen.inside = calls_inside;
    IS(saCkptCheckpointOpenAsync(h, 1, &name, NULL, READ), OK);
    gather(h, 2);
    seen.inside = finalize_inside;
    IS(saCkptCheckpointOpenAsync(h, 2, &name, NULL, READ), OK);
    IS(saCkptCheckpointOpenAsync(h, 3, &name, NULL, READ), OK);
    IS(saCkptDispatch(h, SA_DISPATCH_BLOCKING), OK);
    CU_ASSERT_EQUAL(seen.opens, 3); /* the last is cancelled */
    h = open_handle(NULL);
    end();
}

static void test_finalize(void)
{
    begin();
    EACH_BAD_INSTANCE(saCkptFinalize(b));
    SaCkptCheckpointHandleT ck = open_one("c");
    SaCkptSectionIterationHandleT i;
    SaCkptCheckpointDescriptorT status;
    SaCkptSectionDescriptorT section;
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &i), OK);
    SaCkptHandleT gone = h;
    int fds = open_fds();
    IS(saCkptFinalize(h), OK);
    IS(saCkptFinalize(gone), ERR_BAD_HANDLE);
    IS(saCkptCheckpointStatusGet(ck, &status), ERR_BAD_HANDLE);
    IS(saCkptCheckpointClose(ck), ERR_BAD_HANDLE);
    IS(saCkptSectionIterationNext(i, &section), ERR_BAD_HANDLE);
    IS(saCkptSectionIterationFinalize(i), ERR_BAD_HANDLE);
    CU_ASSERT(open_fds() < fds);
    /* The daemon has closed it: retention 0. */
    h = open_handle(&callbacks);
    EVENTUALLY(try_open("c", NULL, READ, &ck) == SA_AIS_ERR_NOT_EXIST);
    end();
}

/* --- the daemon's end ----------------------------------------------------- */

static void test_connection_lost(void)
{
    SaCkptCheckpointDescriptorT status;
    SaCkptSectionDescriptorT section;
    SaCkptSectionIterationHandleT i;
    SaCkptCheckpointHandleT other;
    SaSelectionObjectT fd;
    SaNameT name = name_of("x");
    uint8_t byte = 1;
    SaSizeT one = 1;
    begin();
    SaCkptCheckpointHandleT ck = open_one("c"), co = open_collocated("co");
    IS(create_text(ck, "s", "x"), OK);
    IS(saCkptActiveReplicaSet(co), OK);
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &i), OK);
    struct pollfd p = {.fd = fd_of(h), .events = POLLIN};
    stop();
    CU_ASSERT_EQUAL(poll(&p, 1, 1000), 1);
    IS(saCkptSelectionObjectGet(h, &fd), ERR_LIBRARY);
    IS(saCkptDispatch(h, SA_DISPATCH_ONE), ERR_LIBRARY);
    IS(saCkptDispatch(h, SA_DISPATCH_ALL), ERR_LIBRARY);
    IS(saCkptDispatch(h, SA_DISPATCH_BLOCKING), ERR_LIBRARY);
    IS(try_open("c", NULL, READ, &other), ERR_LIBRARY);
    IS(saCkptCheckpointOpenAsync(h, 1, &name, NULL, READ), ERR_LIBRARY);
    for (int k = 0; k < 2; k++)
        IS(saCkptCheckpointClose(ck), ERR_LIBRARY);
    IS(unlink_one("c"), ERR_LIBRARY);
    IS(saCkptCheckpointRetentionDurationSet(ck, 0), ERR_LIBRARY);
    IS(saCkptActiveReplicaSet(co), ERR_LIBRARY);
    IS(saCkptCheckpointStatusGet(ck, &status), ERR_LIBRARY);
    IS(create_text(ck, "t", "x"), ERR_LIBRARY);
    IS(delete_one(ck, "s"), ERR_LIBRARY);
    IS(expire_at(ck, "s", 0), ERR_LIBRARY);
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &other), ERR_LIBRARY);
    IS(saCkptSectionIterationNext(i, &section), ERR_LIBRARY);
    IS(write_at(ck, "s", 0, &byte, 1), ERR_LIBRARY);
    IS(read_at(ck, "s", 0, &byte, &one), ERR_LIBRARY);
    IS(saCkptCheckpointSynchronize(co, WAIT), ERR_LIBRARY);
    IS(saCkptCheckpointSynchronizeAsync(co, 1), ERR_LIBRARY);
    IS(saCkptSectionIterationFinalize(i), OK); /* it asks nobody */
    IS(saCkptFinalize(h), OK);
    IS(saCkptFinalize(h), ERR_BAD_HANDLE);
    IS(saCkptCheckpointClose(ck), ERR_BAD_HANDLE);
}

/* --- open ----------------------------------------------------------------- */

/* With these, by both functions. */
static void refused_with(const SaNameT *name,
                         const SaCkptCheckpointCreationAttributesT *a,
                         SaCkptCheckpointOpenFlagsT flags, SaAisErrorT error)
{
    SaCkptCheckpointHandleT handle = 77;
    CU_ASSERT_EQUAL(saCkptCheckpointOpen(h, name, a, flags, WAIT, &handle),
                    error);
    CU_ASSERT_EQUAL(handle, 77);
    CU_ASSERT_EQUAL(saCkptCheckpointOpenAsync(h, 1, name, a, flags), error);
}

static void test_open_null(void)
{
    SaNameT name = name_of("n"), empty = {.length = 0};
    begin();
    refused_with(NULL, NULL, READ, SA_AIS_ERR_INVALID_PARAM);
    refused_with(&empty, NULL, READ, SA_AIS_ERR_INVALID_PARAM);
    IS(saCkptCheckpointOpen(h, &name, NULL, READ, WAIT, NULL),
       ERR_INVALID_PARAM);
    end();
}

static void test_open_name(void)
{
    SaNameT name;
    SaCkptCheckpointCreationAttributesT a = attributes();
    SaCkptCheckpointHandleT handle;
    begin();
    memset(&name, 0xfe, sizeof name);
    name.length = 257;
    refused_with(&name, &a, ALL, SA_AIS_ERR_TOO_BIG);
    name.length = 256;
    IS(saCkptCheckpointOpen(h, &name, &a, ALL, WAIT, &handle), OK);
    name.length = 255; /* another one */
    IS(saCkptCheckpointOpen(h, &name, NULL, READ, WAIT, &handle),
       ERR_NOT_EXIST);
    end();
}

static void test_open_create(void)
{
    SaNameT name = name_of("n");
    SaCkptCheckpointCreationAttributesT a = attributes();
    begin();
    /* Before it is looked whether there is one. */
    refused_with(&name, NULL, CREATE | READ, SA_AIS_ERR_INVALID_PARAM);
    refused_with(&name, &a, READ, SA_AIS_ERR_INVALID_PARAM);
    open_one("n");
    refused_with(&name, NULL, CREATE | READ, SA_AIS_ERR_INVALID_PARAM);
    refused_with(&name, &a, READ, SA_AIS_ERR_INVALID_PARAM);
    end();
}

static void test_open_attributes(void)
{
    const SaCkptCheckpointCreationAttributesT good = attributes();
    SaNameT name = name_of("n");
    begin();
    SaCkptCheckpointCreationAttributesT a = good;
    a.checkpointSize++;
    refused_with(&name, &a, ALL, SA_AIS_ERR_INVALID_PARAM);
    for (uint32_t flags = 0; flags < 64; flags++) {
        uint32_t writes = flags & 7;
        a = good;
        a.creationFlags = flags;
        if (flags >= 16 || writes == 0 || (writes & (writes - 1)) != 0)
            refused_with(&name, &a, ALL, SA_AIS_ERR_INVALID_PARAM);
    }
    a = good;
    a.retentionDuration = -1;
    refused_with(&name, &a, ALL, SA_AIS_ERR_INVALID_PARAM);
    a = good;
    a.maxSections = 0;
    a.checkpointSize = 0;
    refused_with(&name, &a, ALL, SA_AIS_ERR_INVALID_PARAM);
    /* The product does not fit 64 bits. */
    a = good;
    a.maxSections = 1u << 31;
    a.maxSectionSize = (SaSizeT)1 << 40;
    a.checkpointSize = (SaSizeT)1 << 63;
    open_with("huge", a);
    end();
}

static void test_open_flags(void)
{
    SaNameT name = name_of("n");
    begin();
    open_one("n");
    refused_with(&name, NULL, 0, SA_AIS_ERR_BAD_FLAGS);
    refused_with(&name, NULL, 8, SA_AIS_ERR_BAD_FLAGS);
    refused_with(&name, NULL, READ | 16, SA_AIS_ERR_BAD_FLAGS);
    end();
}

static void test_open_not_exist(void)
{
    SaCkptCheckpointHandleT handle;
    SaNameT name = name_of("n");
    begin();
    IS(try_open("n", NULL, READ, &handle), ERR_NOT_EXIST);
    IS(saCkptCheckpointOpenAsync(h, 5, &name, NULL, READ), OK);
    gather(h, 1);
    CU_ASSERT(seen.invocation == 5 && seen.error == SA_AIS_ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(seen.handle, 0);
    end();
}

static void test_open_exist(void)
{
    const SaCkptCheckpointCreationAttributesT good = attributes();
    SaCkptCheckpointCreationAttributesT a = good;
    SaCkptCheckpointHandleT handle;
    SaNameT name = name_of("n");
    begin();
    open_one("n");
    a.creationFlags = SA_CKPT_WR_ACTIVE_REPLICA;
    IS(try_open("n", &a, ALL, &handle), ERR_EXIST);
    a = good;
    a.checkpointSize--;
    IS(try_open("n", &a, ALL, &handle), ERR_EXIST);
    a = good;
    a.maxSections++;
    IS(try_open("n", &a, ALL, &handle), ERR_EXIST);
    a = good;
    a.maxSectionSize++;
    IS(try_open("n", &a, ALL, &handle), ERR_EXIST);
    a = good;
    a.maxSectionIdSize++;
    IS(try_open("n", &a, ALL, &handle), ERR_EXIST);
    IS(saCkptCheckpointOpenAsync(h, 6, &name, &a, ALL), OK);
    gather(h, 1);
    CU_ASSERT(seen.invocation == 6 && seen.error == SA_AIS_ERR_EXIST);
    a = good;
    a.retentionDuration = 12345; /* is not compared */
    IS(try_open("n", &a, ALL, &handle), OK);
    end();
}

static void test_open_async_init(void)
{
    const SaCkptCallbacksT c = {NULL, on_synchronize};
    SaNameT name = name_of("n");
    begin();
    SaCkptHandleT other = open_handle(&c);
    IS(saCkptCheckpointOpenAsync(other, 1, &name, NULL, READ), ERR_INIT);
    IS(saCkptFinalize(other), OK);
    other = open_handle(NULL);
    IS(saCkptCheckpointOpenAsync(other, 1, &name, NULL, READ), ERR_INIT);
    IS(saCkptFinalize(other), OK);
    end();
}

static void test_open_async(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    SaNameT name = name_of("n");
    begin();
    IS(saCkptCheckpointOpenAsync(h, 0, &name, &a, ALL), OK);
    gather(h, 1);
    CU_ASSERT(seen.invocation == 0 && seen.error == SA_AIS_OK);
    IS(create_text(seen.handle, "s", "text"), OK);
    CU_ASSERT_TRUE(holds_text(seen.handle, "s", "text"));
    IS(saCkptCheckpointClose(seen.handle), OK);
    IS(saCkptCheckpointClose(seen.handle), ERR_BAD_HANDLE);
    end();
}

static void test_open_bad_handle(void)
{
    SaCkptCheckpointHandleT handle;
    SaNameT name = name_of("n");
    begin();
    EACH_BAD_INSTANCE(
        saCkptCheckpointOpen(b, &name, NULL, READ, WAIT, &handle));
    EACH_BAD_INSTANCE(saCkptCheckpointOpenAsync(b, 1, &name, NULL, READ));
    end();
}

static void *let_go_soon(void *unused)
{
    (void)unused;
    pause_ms(200);
    d.hold = false;
    return NULL;
}

static void test_open_timeout(void)
{
    pthread_t thread;
    SaCkptCheckpointHandleT handle;
    SaNameT name = name_of("n");
    begin();
    open_one("n");
    /* 9: control daemons of 2005 pass 0. */
    hold_order();
    CU_ASSERT(pthread_create(&thread, NULL, let_go_soon, NULL) == 0);
    IS(saCkptCheckpointOpen(h, &name, NULL, READ, 0, &handle), OK);
    pthread_join(thread, NULL);
    IS(saCkptCheckpointOpen(h, &name, NULL, READ, SA_TIME_END, &handle), OK);
    IS(saCkptCheckpointOpen(h, &name, NULL, READ, -1, &handle),
       ERR_INVALID_PARAM);
    hold_order();
    uint64_t before = mono_ms();
    IS(saCkptCheckpointOpen(h, &name, NULL, READ, 1, &handle), ERR_TIMEOUT);
    IS(saCkptCheckpointOpen(h, &name, NULL, READ, 100 * SA_TIME_ONE_MILLISECOND,
                            &handle),
       ERR_TIMEOUT);
    CU_ASSERT(mono_ms() - before >= 100 && mono_ms() - before < 5000);
    d.hold = false;
    IS(saCkptCheckpointOpen(h, &name, NULL, READ, WAIT, &handle), OK);
    end();
}

static void test_open_limit(void)
{
    SaCkptCheckpointHandleT handle;
    SaCkptCheckpointCreationAttributesT a = attributes();
    SaAisErrorT error = SA_AIS_OK;
    char text[24];
    int n;
    begin();
    for (n = 0; n < 200 && error == SA_AIS_OK; n++) {
        snprintf(text, sizeof text, "limit-%d", n);
        error = try_open(text, &a, ALL, &handle);
    }
    CU_ASSERT_EQUAL(error, SA_AIS_ERR_NO_RESOURCES);
    CU_ASSERT_EQUAL(n, 101);
    end();
}

/* --- close, unlink, retention, active replica, status --------------------- */

static void test_close(void)
{
    begin();
    SaCkptCheckpointHandleT a = open_one("n"), b2 = open_one("n");
    CU_ASSERT_NOT_EQUAL(a, b2);
    IS(saCkptCheckpointClose(a), OK);
    IS(saCkptCheckpointClose(a), ERR_BAD_HANDLE);
    EACH_BAD_CHECKPOINT(saCkptCheckpointClose(b));
    IS(saCkptCheckpointClose(b2), OK);
    end();
}

static void test_unlink(void)
{
    SaNameT name = name_of("n"), empty = {.length = 0};
    begin();
    IS(saCkptCheckpointUnlink(h, NULL), ERR_INVALID_PARAM);
    IS(saCkptCheckpointUnlink(h, &empty), ERR_INVALID_PARAM);
    IS(saCkptCheckpointUnlink(h, &name), ERR_NOT_EXIST);
    open_one("n");
    IS(saCkptCheckpointUnlink(h, &name), OK);
    IS(saCkptCheckpointUnlink(h, &name), ERR_NOT_EXIST);
    name.length = 257;
    IS(saCkptCheckpointUnlink(h, &name), ERR_TOO_BIG);
    name.length = 1;
    EACH_BAD_INSTANCE(saCkptCheckpointUnlink(b, &name));
    end();
}

static void test_retention_errors(void)
{
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(saCkptCheckpointRetentionDurationSet(ck, 0), OK);
    IS(saCkptCheckpointRetentionDurationSet(ck, SA_TIME_END), OK);
    IS(saCkptCheckpointRetentionDurationSet(ck, -1), ERR_INVALID_PARAM);
    IS(unlink_one("n"), OK);
    IS(saCkptCheckpointRetentionDurationSet(ck, 1), ERR_BAD_OPERATION);
    EACH_BAD_CHECKPOINT(saCkptCheckpointRetentionDurationSet(b, 1));
    end();
}

static void test_active_errors(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    begin();
    IS(saCkptActiveReplicaSet(open_one("all")), ERR_BAD_OPERATION);
    a.creationFlags = SA_CKPT_WR_ACTIVE_REPLICA;
    IS(saCkptActiveReplicaSet(open_with("active", a)), ERR_BAD_OPERATION);
    a.creationFlags = SA_CKPT_WR_ALL_REPLICAS | SA_CKPT_CHECKPOINT_COLLOCATED;
    IS(saCkptActiveReplicaSet(open_with("both", a)), ERR_BAD_OPERATION);
    open_collocated("co");
    IS(saCkptActiveReplicaSet(open_for("co", READ)), ERR_ACCESS);
    IS(saCkptActiveReplicaSet(open_for("co", WRITE)), OK);
    EACH_BAD_CHECKPOINT(saCkptActiveReplicaSet(b));
    end();
}

static void test_status_errors(void)
{
    SaCkptCheckpointDescriptorT status;
    begin();
    IS(saCkptCheckpointStatusGet(open_one("n"), NULL), ERR_INVALID_PARAM);
    IS(saCkptCheckpointStatusGet(open_collocated("co"), &status),
       ERR_NOT_EXIST);
    EACH_BAD_CHECKPOINT(saCkptCheckpointStatusGet(b, &status));
    end();
}

/* --- sections ------------------------------------------------------------- */

static void test_create_param(void)
{
    SaCkptSectionIdT id = id_of("s"), no_bytes = {0, (SaUint8T *)"s"},
                     no_id = {3, NULL};
    SaCkptSectionCreationAttributesT a = {NULL, SA_TIME_END};
    static uint8_t data[SECTION_SIZE + 1];
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(saCkptSectionCreate(ck, NULL, "x", 1), ERR_INVALID_PARAM);
    IS(saCkptSectionCreate(ck, &a, "x", 1), ERR_INVALID_PARAM);
    a.sectionId = &no_bytes;
    IS(saCkptSectionCreate(ck, &a, "x", 1), ERR_INVALID_PARAM);
    a.sectionId = &no_id;
    IS(saCkptSectionCreate(ck, &a, "x", 1), ERR_INVALID_PARAM);
    a.sectionId = &id;
    IS(saCkptSectionCreate(ck, &a, NULL, 1), ERR_INVALID_PARAM);
    IS(saCkptSectionCreate(ck, &a, data, sizeof data), ERR_INVALID_PARAM);
    IS(saCkptSectionCreate(ck, &a, data, UINT64_MAX), ERR_INVALID_PARAM);
    IS(create_text(ck, "0123456789abcdefg", "x"), ERR_INVALID_PARAM);
    IS(create_text(ck, "0123456789abcdef", "x"), OK);
    IS(saCkptSectionCreate(ck, &a, data, SECTION_SIZE), OK);
    EACH_BAD_CHECKPOINT(saCkptSectionCreate(b, &a, "x", 1));
    end();
}

static void test_create_exist(void)
{
    SaCkptSectionIdT none = SA_CKPT_DEFAULT_SECTION_ID;
    SaCkptSectionCreationAttributesT a = {&none, SA_TIME_END};
    begin();
    SaCkptCheckpointHandleT ck = open_one("n"), one = open_default("one");
    IS(create_text(ck, "s", "x"), OK);
    IS(create_text(ck, "s", "y"), ERR_EXIST);
    CU_ASSERT_TRUE(holds_text(ck, "s", "x"));
    IS(create_text(one, "s", "x"), ERR_EXIST);
    IS(saCkptSectionCreate(one, &a, "x", 1), ERR_EXIST);
    end();
}

static void test_create_no_space(void)
{
    char id[] = "0";
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    for (; id[0] < '0' + SECTIONS; id[0]++)
        IS(create_text(ck, id, "x"), OK);
    IS(create_text(ck, id, "x"), ERR_NO_SPACE);
    IS(delete_one(ck, "0"), OK);
    IS(create_text(ck, id, "x"), OK);
    end();
}

static void test_access(void)
{
    SaCkptIOVectorElementT e = {.sectionId = id_of("s"),
                                .dataBuffer = text_of("x")};
    SaCkptSectionIdT id = id_of("s");
    uint8_t byte;
    SaSizeT one = 1;
    SaCkptCheckpointCreationAttributesT a = attributes();
    SaCkptCheckpointHandleT creates;
    begin();
    SaCkptCheckpointHandleT ck = open_one("n"), reads = open_for("n", READ),
                            writes = open_for("n", WRITE);
    IS(try_open("n", &a, CREATE, &creates), OK);
    IS(create_text(ck, "s", "x"), OK);
    const SaCkptCheckpointHandleT cannot_write[] = {reads, creates};
    for (int i = 0; i < 2; i++) {
        SaCkptCheckpointHandleT c = cannot_write[i];
        IS(create_text(c, "t", "x"), ERR_ACCESS);
        IS(delete_one(c, "s"), ERR_ACCESS);
        IS(expire_at(c, "s", 1), ERR_ACCESS);
        IS(write_at(c, "s", 0, "y", 1), ERR_ACCESS);
        IS(saCkptCheckpointWrite(c, &e, 1, NULL), ERR_ACCESS);
        IS(saCkptSectionOverwrite(c, &id, "y", 1), ERR_ACCESS);
        IS(saCkptCheckpointSynchronize(c, WAIT), ERR_ACCESS);
        IS(saCkptCheckpointSynchronizeAsync(c, 1), ERR_ACCESS);
        /* Before existence. */
        IS(delete_one(c, "nobody"), ERR_ACCESS);
        IS(write_at(c, "nobody", 0, "y", 1), ERR_ACCESS);
    }
    IS(read_at(writes, "s", 0, &byte, &one), ERR_ACCESS);
    IS(read_at(creates, "s", 0, &byte, &one), ERR_ACCESS);
    IS(write_at(writes, "s", 0, "y", 1), OK);
    CU_ASSERT_TRUE(holds_text(reads, "s", "y"));
    end();
}

static void test_not_active(void)
{
    SaCkptSectionIterationHandleT i;
    SaCkptSectionIdT id = id_of("s");
    uint8_t byte;
    SaSizeT one = 1;
    begin();
    SaCkptCheckpointHandleT ck = open_collocated("co");
    IS(create_text(ck, "s", "x"), ERR_NOT_EXIST);
    IS(delete_one(ck, "s"), ERR_NOT_EXIST);
    IS(expire_at(ck, "s", 1), ERR_NOT_EXIST);
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &i), ERR_NOT_EXIST);
    IS(write_at(ck, "s", 0, "y", 1), ERR_NOT_EXIST);
    IS(saCkptSectionOverwrite(ck, &id, "y", 1), ERR_NOT_EXIST);
    IS(read_at(ck, "s", 0, &byte, &one), ERR_NOT_EXIST);
    IS(saCkptCheckpointSynchronize(ck, WAIT), ERR_NOT_EXIST);
    IS(saCkptCheckpointSynchronizeAsync(ck, 1), ERR_NOT_EXIST);
    IS(saCkptActiveReplicaSet(ck), OK);
    IS(create_text(ck, "s", "x"), OK);
    CU_ASSERT_TRUE(holds_text(ck, "s", "x"));
    end();
}

static void test_delete_expire(void)
{
    SaCkptSectionIdT none = SA_CKPT_DEFAULT_SECTION_ID, no_id = {3, NULL};
    begin();
    SaCkptCheckpointHandleT ck = open_one("n"), one = open_default("one");
    IS(saCkptSectionDelete(ck, NULL), ERR_INVALID_PARAM);
    IS(saCkptSectionDelete(ck, &none), ERR_INVALID_PARAM);
    IS(saCkptSectionDelete(ck, &no_id), ERR_INVALID_PARAM);
    IS(saCkptSectionDelete(one, &none), ERR_INVALID_PARAM);
    IS(saCkptSectionExpirationTimeSet(ck, NULL, 1), ERR_INVALID_PARAM);
    IS(saCkptSectionExpirationTimeSet(one, &none, 1), ERR_INVALID_PARAM);
    IS(delete_one(ck, "s"), ERR_NOT_EXIST);
    IS(expire_at(ck, "s", SA_TIME_END), ERR_NOT_EXIST);
    IS(create_text(ck, "s", "x"), OK);
    IS(expire_at(ck, "s", SA_TIME_END), OK);
    IS(delete_one(ck, "s"), OK);
    IS(delete_one(ck, "s"), ERR_NOT_EXIST);
    IS(delete_one(ck, "0123456789abcdefg"), ERR_NOT_EXIST);
    EACH_BAD_CHECKPOINT(delete_one(b, "s"));
    EACH_BAD_CHECKPOINT(expire_at(b, "s", 1));
    end();
}

static void test_free(void)
{
    SaUint8T *p = malloc(1), *q = malloc(1);
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(saCkptSectionIdFree(ck, NULL), ERR_INVALID_PARAM);
    IS(saCkptIOVectorElementDataFree(ck, NULL), ERR_INVALID_PARAM);
    EACH_BAD_CHECKPOINT(saCkptSectionIdFree(b, p));
    EACH_BAD_CHECKPOINT(saCkptIOVectorElementDataFree(b, q));
    /* Any memory of malloc(). */
    IS(saCkptSectionIdFree(ck, p), OK);
    IS(saCkptIOVectorElementDataFree(ck, q), OK);
    end();
}

static void test_iteration_errors(void)
{
    SaCkptSectionIterationHandleT i = 0;
    SaCkptSectionDescriptorT section;
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(saCkptSectionIterationInitialize(ck, 5, 0, NULL), ERR_INVALID_PARAM);
    IS(saCkptSectionIterationInitialize(ck, 6, 0, &i), ERR_INVALID_PARAM);
    IS(saCkptSectionIterationInitialize(ck, (SaCkptSectionsChosenT)-1, 0, &i),
       ERR_INVALID_PARAM);
    EACH_BAD_CHECKPOINT(saCkptSectionIterationInitialize(b, 5, 0, &i));
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &i), OK);
    IS(saCkptSectionIterationNext(i, NULL), ERR_INVALID_PARAM);
    IS(saCkptSectionIterationNext(i, &section), ERR_NO_SECTIONS);
    IS(saCkptSectionIterationNext(ck, &section), ERR_BAD_HANDLE);
    IS(saCkptSectionIterationNext(0, &section), ERR_BAD_HANDLE);
    IS(saCkptSectionIterationFinalize(i), OK);
    IS(saCkptSectionIterationFinalize(i), ERR_BAD_HANDLE);
    IS(saCkptSectionIterationFinalize(ck), ERR_BAD_HANDLE);
    IS(saCkptSectionIterationFinalize(UINT64_MAX), ERR_BAD_HANDLE);
    IS(saCkptSectionIterationNext(i, &section), ERR_BAD_HANDLE);
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &i), OK);
    IS(saCkptCheckpointClose(ck), OK);
    IS(saCkptSectionIterationNext(i, &section), ERR_BAD_HANDLE);
    IS(saCkptSectionIterationFinalize(i), ERR_BAD_HANDLE);
    end();
}

/* --- data ----------------------------------------------------------------- */

/* Three elements, the second as given; its error, told with its index. */
static SaAisErrorT write_three(SaCkptCheckpointHandleT ck,
                               SaCkptIOVectorElementT second)
{
    SaCkptIOVectorElementT good = {
        .sectionId = id_of("s"), .dataBuffer = text_of("y"), .dataSize = 1};
    SaCkptIOVectorElementT v[] = {good, second, good};
    SaUint32T index = 77;
    SaAisErrorT error = saCkptCheckpointWrite(ck, v, 3, &index);
    CU_ASSERT_EQUAL(index, error == SA_AIS_OK ? 77 : 1);
    CU_ASSERT_EQUAL(saCkptCheckpointWrite(ck, v, 3, NULL), error);
    CU_ASSERT_TRUE(error == SA_AIS_OK || holds_text(ck, "s", "x"));
    return error;
}

static void test_write(void)
{
    const SaCkptIOVectorElementT good = {
        .sectionId = id_of("s"), .dataBuffer = text_of("y"), .dataSize = 1};
    static uint8_t data[SECTION_SIZE + 1];
    SaCkptIOVectorElementT e = good;
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(create_text(ck, "s", "x"), OK);
    IS(saCkptCheckpointWrite(ck, NULL, 1, NULL), ERR_INVALID_PARAM);
    IS(saCkptCheckpointWrite(ck, &e, 0, NULL), ERR_INVALID_PARAM);
    e.dataBuffer = NULL;
    IS(write_three(ck, e), ERR_INVALID_PARAM);
    e.dataBuffer = data;
    e.dataSize = sizeof data;
    IS(write_three(ck, e), ERR_INVALID_PARAM);
    e.dataSize = 1;
    e.dataOffset = SECTION_SIZE;
    IS(write_three(ck, e), ERR_INVALID_PARAM);
    e.dataOffset = UINT64_MAX; /* the sum wraps */
    IS(write_three(ck, e), ERR_INVALID_PARAM);
    e = good;
    e.sectionId = (SaCkptSectionIdT){3, NULL};
    IS(write_three(ck, e), ERR_INVALID_PARAM);
    e.sectionId = id_of("0123456789abcdefg");
    IS(write_three(ck, e), ERR_NOT_EXIST);
    e.sectionId = id_of("nobody");
    IS(write_three(ck, e), ERR_NOT_EXIST);
    e.sectionId = id_of(""); /* 9: no default section with maxSections > 1 */
    IS(write_three(ck, e), ERR_NOT_EXIST);
    IS(write_three(ck, good), OK);
    EACH_BAD_CHECKPOINT(write_at(b, "s", 0, "x", 1));
    end();
}

static void test_write_too_big(void)
{
    enum { BIG = MESSAGE_MAX + 1, MANY = 300 };
    SaCkptCheckpointCreationAttributesT a = attributes();
    SaCkptIOVectorElementT v[MANY];
    char long_id[301];
    SaCkptSectionIdT id = id_of("s");
    SaUint32T index = 77;
    uint8_t *data = calloc(1, BIG);
    a.maxSectionSize = BIG;
    a.maxSectionIdSize = 1000;
    begin();
    SaCkptCheckpointHandleT ck = open_with("big", a);
    IS(create(ck, "s", SA_TIME_END, data, BIG), ERR_NO_RESOURCES);
    IS(create(ck, "s", SA_TIME_END, data, BIG - 1), OK);
    IS(write_at(ck, "s", 0, data, BIG), ERR_NO_RESOURCES);
    IS(write_at(ck, "s", 1, data, BIG - 1), OK);
    IS(saCkptSectionOverwrite(ck, &id, data, BIG), ERR_NO_RESOURCES);
    IS(saCkptSectionOverwrite(ck, &id, data, BIG - 1), OK);
    for (int i = 0; i < MANY; i++)
        v[i] = (SaCkptIOVectorElementT){
            .sectionId = id_of("s"), .dataBuffer = data, .dataSize = 1};
    IS(saCkptCheckpointWrite(ck, v, MANY, &index), ERR_NO_RESOURCES);
    CU_ASSERT_EQUAL(index, (IPC_CKPT_HEAD_SIZE_MAX - 24) / 24);
    IS(saCkptCheckpointWrite(ck, v, index, NULL), OK);
    v[2].dataSize = BIG - 1;
    IS(saCkptCheckpointWrite(ck, v, 3, &index), ERR_NO_RESOURCES);
    CU_ASSERT_EQUAL(index, 2);
    memset(long_id, 'i', 300);
    long_id[300] = 0;
    IS(create_text(ck, long_id, "x"), ERR_NO_RESOURCES);
    IS(delete_one(ck, long_id), ERR_NOT_EXIST);
    long_id[256] = 0;
    IS(create_text(ck, long_id, "x"), OK);
    CU_ASSERT_TRUE(holds_text(ck, long_id, "x") || a.maxSectionSize > 1000);
    free(data);
    end();
}

static void test_overwrite(void)
{
    SaCkptSectionIdT id = id_of("s"), no_id = {3, NULL}, nobody = id_of("t");
    static uint8_t data[SECTION_SIZE + 1];
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(create_text(ck, "s", "x"), OK);
    IS(saCkptSectionOverwrite(ck, NULL, data, 1), ERR_INVALID_PARAM);
    IS(saCkptSectionOverwrite(ck, &id, NULL, 0), ERR_INVALID_PARAM);
    IS(saCkptSectionOverwrite(ck, &no_id, data, 1), ERR_INVALID_PARAM);
    IS(saCkptSectionOverwrite(ck, &id, data, sizeof data), ERR_INVALID_PARAM);
    IS(saCkptSectionOverwrite(ck, &nobody, data, 1), ERR_NOT_EXIST);
    EACH_BAD_CHECKPOINT(saCkptSectionOverwrite(b, &id, data, 1));
    CU_ASSERT_TRUE(holds_text(ck, "s", "x"));
    end();
}

static void test_read(void)
{
    static uint8_t data[SECTION_SIZE + 1];
    SaCkptIOVectorElementT v[3] = {
        {.sectionId = id_of("s"), .dataBuffer = data, .dataSize = 3},
        {.sectionId = id_of("s")},
        {.sectionId = id_of("nobody"), .dataBuffer = data, .dataSize = 3}};
    SaUint32T index = 77;
    SaSizeT n;
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(create_text(ck, "s", "abc"), OK);
    IS(saCkptCheckpointRead(ck, NULL, 1, &index), ERR_INVALID_PARAM);
    IS(saCkptCheckpointRead(ck, v, 0, &index), ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(index, 77);
    IS(saCkptCheckpointRead(ck, v, 3, &index), ERR_NOT_EXIST);
    CU_ASSERT(index == 2 && v[0].readSize == 3);
    CU_ASSERT_PTR_NULL(v[1].dataBuffer); /* freed again */
    IS(saCkptCheckpointRead(ck, v, 3, NULL), ERR_NOT_EXIST);
    n = sizeof data;
    IS(read_at(ck, "s", 0, data, &n), ERR_INVALID_PARAM);
    n = 1;
    IS(read_at(ck, "s", 4, data, &n), ERR_INVALID_PARAM);
    IS(read_at(ck, "s", 4, NULL, &n), ERR_INVALID_PARAM);
    v[0].sectionId.id = NULL;
    IS(saCkptCheckpointRead(ck, v, 1, &index), ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(index, 0);
    n = 1;
    EACH_BAD_CHECKPOINT(read_at(b, "s", 0, data, &n));
    end();
}

static void test_synchronize(void)
{
    const SaCkptCallbacksT c = {on_open, NULL};
    SaCkptCheckpointCreationAttributesT a = attributes();
    begin();
    IS(saCkptCheckpointSynchronize(open_one("all"), WAIT), ERR_BAD_OPERATION);
    IS(saCkptCheckpointSynchronizeAsync(open_one("all"), 1), ERR_BAD_OPERATION);
    a.creationFlags = SA_CKPT_WR_ACTIVE_REPLICA_WEAK;
    SaCkptCheckpointHandleT ck = open_with("weak", a);
    IS(saCkptCheckpointSynchronize(ck, WAIT), OK);
    IS(saCkptCheckpointSynchronize(ck, SA_TIME_END), OK);
    IS(saCkptCheckpointSynchronize(ck, -1), ERR_INVALID_PARAM);
    IS(saCkptCheckpointSynchronize(ck, 0), ERR_TIMEOUT); /* 9 */
    hold_order();
    IS(saCkptCheckpointSynchronize(ck, SA_TIME_ONE_MILLISECOND), ERR_TIMEOUT);
    d.hold = false;
    IS(saCkptCheckpointSynchronize(ck, WAIT), OK);
    IS(saCkptCheckpointSynchronizeAsync(ck, UINT64_MAX), OK);
    gather(h, 1);
    CU_ASSERT(seen.synchronizes == 1 && seen.invocation == UINT64_MAX);
    CU_ASSERT_EQUAL(seen.error, SA_AIS_OK);
    EACH_BAD_CHECKPOINT(saCkptCheckpointSynchronize(b, WAIT));
    EACH_BAD_CHECKPOINT(saCkptCheckpointSynchronizeAsync(b, 1));
    SaCkptHandleT mine = h;
    h = open_handle(&c);
    IS(saCkptCheckpointSynchronizeAsync(open_for("weak", WRITE), 1), ERR_INIT);
    IS(saCkptFinalize(h), OK);
    h = mine;
    end();
}

/* --- other libraries ------------------------------------------------------ */

static void test_other_library(void)
{
    evs_handle_t e = 0;
    struct evs_group g = {"g"};
    SaSelectionObjectT fd;
    begin();
    CU_ASSERT_EQUAL(evs_initialize(&e, NULL), CS_OK);
    IS(saCkptSelectionObjectGet(e, &fd), ERR_BAD_HANDLE);
    IS(saCkptDispatch(e, SA_DISPATCH_ALL), ERR_BAD_HANDLE);
    IS(saCkptCheckpointClose(e), ERR_BAD_HANDLE);
    IS(saCkptFinalize(e), ERR_BAD_HANDLE);
    SaCkptCheckpointHandleT ck = open_one("n");
    CU_ASSERT_EQUAL(evs_join(ck, &g, 1), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_finalize(ck), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_finalize(e), CS_OK);
    IS(saCkptCheckpointClose(ck), OK);
    end();
}

static const struct unit_test tests[] = {
    {"7 Initialize: handle, version NULL", test_init_null},
    {"7 Initialize: release A, C, major 0, 3; B.1, B.2", test_init_version},
    {"7 Initialize: callbacks or members NULL; again", test_init_callbacks},
    {"common: daemon down, not up to date", test_init_daemon},
    {"7 common: no memory", test_no_memory},
    {"7 SelectionObjectGet", test_selection},
    {"7 Dispatch: flags, bad handle", test_dispatch_errors},
    {"common: Dispatch(ONE), (ALL)", test_dispatch_one_all},
    {"common: callbacks call functions", test_dispatch_nested},
    {"7 common: Finalize ends all handles", test_finalize},
    {"7 common: connection lost", test_connection_lost},
    {"7 Open: name, handle pointer NULL", test_open_null},
    {"7 Open: name longer than 256", test_open_name},
    {"7 Open: CREATE and attributes", test_open_create},
    {"7 Open: sizes, creation flags, retention", test_open_attributes},
    {"7 Open: open flags", test_open_flags},
    {"7 Open: not existing", test_open_not_exist},
    {"7 Open: other attributes", test_open_exist},
    {"7 OpenAsync: no callback", test_open_async_init},
    {"7 OpenAsync: invocation 0", test_open_async},
    {"7 Open: bad handle", test_open_bad_handle},
    {"7 Open: timeout; 9: timeout 0", test_open_timeout},
    {"7 Open: number of checkpoints", test_open_limit},
    {"7 Close: second time, bad handle", test_close},
    {"7 Unlink", test_unlink},
    {"7 RetentionDurationSet", test_retention_errors},
    {"7 ActiveReplicaSet", test_active_errors},
    {"7 StatusGet", test_status_errors},
    {"7 SectionCreate: parameters", test_create_param},
    {"7 SectionCreate: exists, maxSections 1", test_create_exist},
    {"7 SectionCreate: maxSections reached", test_create_no_space},
    {"7 all: without READ or WRITE", test_access},
    {"7 all: no active replica", test_not_active},
    {"7 SectionDelete, ExpirationTimeSet", test_delete_expire},
    {"7 SectionIdFree, IOVectorElementDataFree", test_free},
    {"7 Iteration", test_iteration_errors},
    {"7 Write", test_write},
    {"7 Write: too big for the service", test_write_too_big},
    {"7 Overwrite", test_overwrite},
    {"7 Read", test_read},
    {"7 Synchronize; 9: timeout 0", test_synchronize},
    {"answers that make no sense", test_lies},
    {"handles of another library", test_other_library},
};
FAKE_MAIN("ckpt", tests)
