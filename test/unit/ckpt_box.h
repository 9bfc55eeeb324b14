/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_box.h - a user of libSaCkpt on a server of one node (fake_order.h), and
 * what its callbacks were given. */
#ifndef TEST_UNIT_CKPT_BOX_H
#define TEST_UNIT_CKPT_BOX_H

#include "test/unit/fake_order.h"

#include <openais/saCkpt.h>

#define IS(call, result) CU_ASSERT_EQUAL(call, SA_AIS_##result)

enum {
    READ = SA_CKPT_CHECKPOINT_READ,
    WRITE = SA_CKPT_CHECKPOINT_WRITE,
    CREATE = SA_CKPT_CHECKPOINT_CREATE,
    ALL = READ | WRITE | CREATE,
    SECTIONS = 4,        /* of attributes() */
    SECTION_SIZE = 1000, /* bytes, the same */
    ID_SIZE = 16
};

static const SaTimeT WAIT = 10 * SA_TIME_ONE_SECOND;

/* --- what callbacks get --------------------------------------------------- */

static struct seen {
    _Atomic int opens, synchronizes; /* callbacks */
    SaInvocationT invocation;
    SaCkptCheckpointHandleT handle;
    SaAisErrorT error;
    void (*inside)(void); /* is run in the callback */
} seen;

static SaCkptHandleT h;

static void on_open(SaInvocationT invocation, SaCkptCheckpointHandleT handle,
                    SaAisErrorT error)
{
    seen.opens++;
    seen.invocation = invocation;
    seen.handle = handle;
    seen.error = error;
    if (seen.inside != NULL)
        seen.inside();
}

static void on_synchronize(SaInvocationT invocation, SaAisErrorT error)
{
    seen.synchronizes++;
    seen.invocation = invocation;
    seen.error = error;
    if (seen.inside != NULL)
        seen.inside();
}

static const SaCkptCallbacksT callbacks = {on_open, on_synchronize};

/* --- tools ---------------------------------------------------------------- */

/* The service is there after the first visits. */
static inline SaCkptHandleT open_handle(const SaCkptCallbacksT *c)
{
    SaVersionT v = {'B', 1, 1};
    SaCkptHandleT handle = 0;
    SaAisErrorT error = SA_AIS_ERR_TRY_AGAIN;
    for (int i = 0; i < 2000 && error == SA_AIS_ERR_TRY_AGAIN; i++) {
        error = saCkptInitialize(&handle, c, &v);
        if (error == SA_AIS_ERR_TRY_AGAIN)
            pause_ms(5);
    }
    CU_ASSERT_EQUAL(error, SA_AIS_OK);
    return handle;
}

static inline void begin_server(void)
{
    memset(&seen, 0, sizeof seen);
    d.alone = true;
    start();
}

static inline void begin(void)
{
    begin_server();
    h = open_handle(&callbacks);
}

static inline void end(void)
{
    IS(saCkptFinalize(h), OK);
    EVENTUALLY(stats().clients_now == 0);
    CU_ASSERT_EQUAL(stats().corrupt, 0); /* it found no fault in a record */
    stop();
}

static inline int fd_of(SaCkptHandleT handle)
{
    SaSelectionObjectT fd = 0;
    IS(saCkptSelectionObjectGet(handle, &fd), OK);
    return (int)fd;
}

/* Dispatches until so many callbacks have run, or for ten seconds. */
static inline void gather(SaCkptHandleT handle, int count)
{
    while (seen.opens + seen.synchronizes < count &&
           readable(fd_of(handle), 10000))
        IS(saCkptDispatch(handle, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.opens + seen.synchronizes, count);
}

static inline SaNameT name_of(const char *text)
{
    SaNameT n = {.length = (SaUint16T)strlen(text)};
    memcpy(n.value, text, n.length);
    return n;
}

static inline SaCkptSectionIdT id_of(const char *text)
{
    return (SaCkptSectionIdT){(SaUint16T)strlen(text),
                              (SaUint8T *)(uintptr_t)text};
}

static inline void *text_of(const char *text)
{
    return (void *)(uintptr_t)text;
}

static inline SaCkptCheckpointCreationAttributesT attributes(void)
{
    return (SaCkptCheckpointCreationAttributesT){
        .creationFlags = SA_CKPT_WR_ALL_REPLICAS,
        .checkpointSize = SECTIONS * SECTION_SIZE,
        .maxSections = SECTIONS,
        .maxSectionSize = SECTION_SIZE,
        .maxSectionIdSize = ID_SIZE};
}

static inline SaAisErrorT try_open(const char *text,
                                   const SaCkptCheckpointCreationAttributesT *a,
                                   SaCkptCheckpointOpenFlagsT flags,
                                   SaCkptCheckpointHandleT *handle)
{
    SaNameT name = name_of(text);
    return saCkptCheckpointOpen(h, &name, a, flags, WAIT, handle);
}

/* For everything; created if it is not there. */
static inline SaCkptCheckpointHandleT
open_with(const char *text, SaCkptCheckpointCreationAttributesT a)
{
    SaCkptCheckpointHandleT handle = 0;
    IS(try_open(text, &a, ALL, &handle), OK);
    return handle;
}

static inline SaCkptCheckpointHandleT open_one(const char *text)
{
    return open_with(text, attributes());
}

/* One that is there. */
static inline SaCkptCheckpointHandleT open_for(const char *text,
                                               SaCkptCheckpointOpenFlagsT flags)
{
    SaCkptCheckpointHandleT handle = 0;
    IS(try_open(text, NULL, flags, &handle), OK);
    return handle;
}

static inline bool exists(const char *name)
{
    SaCkptCheckpointHandleT ck;
    SaAisErrorT error = try_open(name, NULL, READ, &ck);
    if (error == SA_AIS_OK)
        IS(saCkptCheckpointClose(ck), OK);
    return error == SA_AIS_OK;
}

/* With one section, the default section. */
static inline SaCkptCheckpointHandleT open_default(const char *text)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    a.maxSections = 1;
    a.checkpointSize = SECTION_SIZE;
    return open_with(text, a);
}

/* Collocated, of a kind that has no active replica at first. */
static inline SaCkptCheckpointHandleT open_collocated(const char *text)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    a.creationFlags = SA_CKPT_WR_ACTIVE_REPLICA | SA_CKPT_CHECKPOINT_COLLOCATED;
    return open_with(text, a);
}

static inline SaAisErrorT unlink_one(const char *text)
{
    SaNameT name = name_of(text);
    return saCkptCheckpointUnlink(h, &name);
}

static inline SaAisErrorT create(SaCkptCheckpointHandleT ck, const char *id,
                                 SaTimeT expiration, const void *data,
                                 SaSizeT size)
{
    SaCkptSectionIdT i = id_of(id);
    SaCkptSectionCreationAttributesT a = {&i, expiration};
    return saCkptSectionCreate(ck, &a, data, size);
}

static inline SaAisErrorT create_text(SaCkptCheckpointHandleT ck,
                                      const char *id, const char *text)
{
    return create(ck, id, SA_TIME_END, text, strlen(text));
}

static inline SaAisErrorT write_at(SaCkptCheckpointHandleT ck, const char *id,
                                   SaOffsetT offset, const void *data,
                                   SaSizeT size)
{
    SaCkptIOVectorElementT e = {.sectionId = id_of(id),
                                .dataBuffer = (void *)(uintptr_t)data,
                                .dataSize = size,
                                .dataOffset = offset};
    return saCkptCheckpointWrite(ck, &e, 1, NULL);
}

static inline SaAisErrorT read_at(SaCkptCheckpointHandleT ck, const char *id,
                                  SaOffsetT offset, void *to, SaSizeT *size)
{
    SaCkptIOVectorElementT e = {.sectionId = id_of(id),
                                .dataBuffer = to,
                                .dataSize = *size,
                                .dataOffset = offset};
    SaAisErrorT error = saCkptCheckpointRead(ck, &e, 1, NULL);
    *size = e.readSize;
    return error;
}

static inline SaAisErrorT delete_one(SaCkptCheckpointHandleT ck, const char *id)
{
    SaCkptSectionIdT i = id_of(id);
    return saCkptSectionDelete(ck, &i);
}

static inline SaAisErrorT expire_at(SaCkptCheckpointHandleT ck, const char *id,
                                    SaTimeT time)
{
    SaCkptSectionIdT i = id_of(id);
    return saCkptSectionExpirationTimeSet(ck, &i, time);
}

/* Is that what is in the section, and all? */
static inline bool holds(SaCkptCheckpointHandleT ck, const char *id,
                         const void *data, SaSizeT size)
{
    uint8_t got[SECTION_SIZE];
    SaSizeT n = sizeof got;
    return read_at(ck, id, 0, got, &n) == SA_AIS_OK && n == size &&
           memcmp(got, data, n) == 0;
}

static inline bool holds_text(SaCkptCheckpointHandleT ck, const char *id,
                              const char *text)
{
    return holds(ck, id, text, strlen(text));
}

static inline SaTimeT wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * SA_TIME_ONE_SECOND + t.tv_nsec;
}

static inline uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- handles that are none ------------------------------------------------ */

enum { BAD_HANDLES = 8 };

/* 0, all ones, small; of another kind (2); closed, its instance finalized, a
 * finalized instance. */
static inline const SaUint64T *bad_handles(void)
{
    static SaUint64T bad[BAD_HANDLES] = {0, UINT64_MAX, 1};
    SaCkptHandleT mine = h, other = open_handle(&callbacks);
    IS(saCkptSectionIterationInitialize(open_one("bad"), SA_CKPT_SECTIONS_ANY,
                                        0, &bad[3]),
       OK);
    bad[4] = open_one("bad");
    h = other;
    bad[5] = open_one("bad");
    IS(saCkptFinalize(other), OK);
    h = mine;
    bad[6] = other;
    IS(saCkptCheckpointClose(bad[4]), OK);
    bad[7] = h;
    return bad;
}

/* `b` in the call is each of them. */
#define EACH_BAD_CHECKPOINT(call)                                              \
    do {                                                                       \
        const SaUint64T *bad_ = bad_handles();                                 \
        for (int i_ = 0; i_ < BAD_HANDLES; i_++) {                             \
            SaUint64T b = bad_[i_];                                            \
            CU_ASSERT_EQUAL(call, SA_AIS_ERR_BAD_HANDLE);                      \
        }                                                                      \
    } while (0)

/* The same, for calls on what saCkptInitialize() gives. */
#define EACH_BAD_INSTANCE(call)                                                \
    do {                                                                       \
        const SaUint64T *bad_ = bad_handles();                                 \
        for (int i_ = 0; i_ < BAD_HANDLES - 1; i_++) {                         \
            SaUint64T b = bad_[i_];                                            \
            CU_ASSERT_EQUAL(call, SA_AIS_ERR_BAD_HANDLE);                      \
        }                                                                      \
    } while (0)

#endif
