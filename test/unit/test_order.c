/* SPDX-License-Identifier: BSD-3-Clause */
/* test_order.c - what a function says when several things are wrong at once:
 * for every function of every library, each wrong argument with a good handle,
 * and with handles of all bad kinds. In the SA Forum's libraries NULL pointers
 * come first, then the handle, then the rest; sections' functions, and those of
 * EVS, look at the handle before all else. */
#include "test/unit/fake_order.h"

#include <corosync/evs.h>
#include <openais/saCkpt.h>
#include <openais/saClm.h>

#include <sys/resource.h>

enum wrong { NOTHING, POINTER, FLAGS, VALUE, EMPTY, WRONGS };

/* Whose handle a function takes. */
enum owner { CLM, CLM_4, CKPT, CHECKPOINT, ITERATION, EVS, OWNERS };

static SaUint64T good[OWNERS], finalized[OWNERS];

/* --- the functions, with one argument wrong ------------------------------- */

static SaClmClusterNotificationT some_notification[8];
static SaClmClusterNotificationT_4 some_notification_4[8];

static uint32_t c_initialize(uint64_t h, enum wrong w)
{
    SaClmHandleT handle;
    SaVersionT v = {w == VALUE ? 'C' : 'B', 1, 1};
    (void)h;
    return saClmInitialize(w == POINTER ? NULL : &handle, NULL,
                           w == EMPTY ? NULL : &v);
}

static uint32_t c_initialize_4(uint64_t h, enum wrong w)
{
    SaClmHandleT handle;
    SaVersionT v = {w == VALUE ? 'C' : 'B', 4, 1};
    (void)h;
    return saClmInitialize_4(w == POINTER ? NULL : &handle, NULL,
                             w == EMPTY ? NULL : &v);
}

static uint32_t c_selection(uint64_t h, enum wrong w)
{
    SaSelectionObjectT fd;
    return saClmSelectionObjectGet(h, w == POINTER ? NULL : &fd);
}

static uint32_t c_dispatch(uint64_t h, enum wrong w)
{
    return saClmDispatch(h, w == FLAGS ? 0 : SA_DISPATCH_ALL);
}

static uint32_t c_track(uint64_t h, enum wrong w)
{
    SaClmClusterNotificationBufferT b = {.numberOfItems = w == EMPTY ? 0 : 8,
                                         .notification = some_notification};
    return saClmClusterTrack(h, w == FLAGS ? 0 : SA_TRACK_CURRENT,
                             w == POINTER ? NULL : &b);
}

static uint32_t c_track_4(uint64_t h, enum wrong w)
{
    SaClmClusterNotificationBufferT_4 b = {.numberOfItems = w == EMPTY ? 0 : 8,
                                           .notification = some_notification_4};
    return saClmClusterTrack_4(h, w == FLAGS ? 0 : SA_TRACK_CURRENT,
                               w == POINTER ? NULL : &b);
}

static uint32_t c_track_stop(uint64_t h, enum wrong w)
{
    (void)w;
    return saClmClusterTrackStop(h);
}

static uint32_t c_free(uint64_t h, enum wrong w)
{
    void *memory = malloc(8);
    uint32_t error =
        saClmClusterNotificationFree(h, w == POINTER ? NULL : memory);
    if (error != SA_AIS_OK)
        free(memory);
    return error;
}

static uint32_t c_free_4(uint64_t h, enum wrong w)
{
    void *memory = malloc(8);
    uint32_t error =
        saClmClusterNotificationFree_4(h, w == POINTER ? NULL : memory);
    if (error != SA_AIS_OK)
        free(memory);
    return error;
}

static uint32_t c_node(uint64_t h, enum wrong w)
{
    SaClmClusterNodeT n;
    return saClmClusterNodeGet(h, w == VALUE ? 0 : SA_CLM_LOCAL_NODE_ID,
                               w == EMPTY ? -1 : 0, w == POINTER ? NULL : &n);
}

static uint32_t c_node_4(uint64_t h, enum wrong w)
{
    SaClmClusterNodeT_4 n;
    return saClmClusterNodeGet_4(h, w == VALUE ? 0 : SA_CLM_LOCAL_NODE_ID,
                                 w == EMPTY ? -1 : 0, w == POINTER ? NULL : &n);
}

static uint32_t c_node_async(uint64_t h, enum wrong w)
{
    return saClmClusterNodeGetAsync(h, w == EMPTY ? 0 : 1, w == VALUE ? 0 : 1);
}

static uint32_t c_response_4(uint64_t h, enum wrong w)
{
    (void)w;
    return saClmResponse_4(h, 0, 0);
}

static uint32_t c_finalize(uint64_t h, enum wrong w)
{
    (void)w;
    return saClmFinalize(h);
}

static SaNameT name = {.length = 1, .value = "n"};
static SaCkptSectionIdT id = {1, (SaUint8T *)(uintptr_t) "s"};
static SaCkptSectionIdT bad_id = {1, NULL};
static char data[10];
static const SaCkptCheckpointCreationAttributesT attributes = {
    .creationFlags = SA_CKPT_WR_ALL_REPLICAS,
    .checkpointSize = 100,
    .maxSections = 4,
    .maxSectionSize = 100,
    .maxSectionIdSize = 16};

static uint32_t k_initialize(uint64_t h, enum wrong w)
{
    SaCkptHandleT handle;
    SaVersionT v = {w == VALUE ? 'C' : 'B', 1, 1};
    (void)h;
    return saCkptInitialize(w == POINTER ? NULL : &handle, NULL,
                            w == EMPTY ? NULL : &v);
}

static uint32_t k_selection(uint64_t h, enum wrong w)
{
    SaSelectionObjectT fd;
    return saCkptSelectionObjectGet(h, w == POINTER ? NULL : &fd);
}

static uint32_t k_dispatch(uint64_t h, enum wrong w)
{
    return saCkptDispatch(h, w == FLAGS ? 0 : SA_DISPATCH_ALL);
}

/* What it opens it closes. */
static uint32_t k_open(uint64_t h, enum wrong w)
{
    SaCkptCheckpointHandleT handle;
    uint32_t error =
        saCkptCheckpointOpen(h, w == POINTER ? NULL : &name, NULL,
                             w == FLAGS ? 0 : SA_CKPT_CHECKPOINT_READ,
                             w == VALUE ? -1 : 0, w == EMPTY ? NULL : &handle);
    if (error == SA_AIS_OK)
        CU_ASSERT_EQUAL(saCkptCheckpointClose(handle), SA_AIS_OK);
    return error;
}

static uint32_t k_open_async(uint64_t h, enum wrong w)
{
    return saCkptCheckpointOpenAsync(h, 1, w == POINTER ? NULL : &name,
                                     w == VALUE ? &attributes : NULL,
                                     w == FLAGS ? 0 : SA_CKPT_CHECKPOINT_READ);
}

static uint32_t k_unlink(uint64_t h, enum wrong w)
{
    SaNameT none = {.length = w == VALUE ? 257 : 1, .value = "x"};
    return saCkptCheckpointUnlink(h, w == POINTER ? NULL : &none);
}

static uint32_t k_finalize(uint64_t h, enum wrong w)
{
    (void)w;
    return saCkptFinalize(h);
}

static uint32_t k_close(uint64_t h, enum wrong w)
{
    (void)w;
    return saCkptCheckpointClose(h);
}

static uint32_t k_retention(uint64_t h, enum wrong w)
{
    return saCkptCheckpointRetentionDurationSet(h, w == VALUE ? -1 : 1);
}

static uint32_t k_active(uint64_t h, enum wrong w)
{
    (void)w;
    return saCkptActiveReplicaSet(h);
}

static uint32_t k_status(uint64_t h, enum wrong w)
{
    SaCkptCheckpointDescriptorT status;
    return saCkptCheckpointStatusGet(h, w == POINTER ? NULL : &status);
}

/* What it makes it deletes. */
static uint32_t k_create(uint64_t h, enum wrong w)
{
    SaCkptSectionIdT other = {1, (SaUint8T *)(uintptr_t) "o"};
    SaCkptSectionCreationAttributesT a = {.sectionId =
                                              w == EMPTY ? &bad_id : &other,
                                          .expirationTime = SA_TIME_END};
    uint32_t error = saCkptSectionCreate(h, w == POINTER ? NULL : &a, data,
                                         w == VALUE ? 101 : sizeof data);
    if (error == SA_AIS_OK)
        CU_ASSERT_EQUAL(saCkptSectionDelete(h, &other), SA_AIS_OK);
    return error;
}

static uint32_t k_delete(uint64_t h, enum wrong w)
{
    SaCkptSectionIdT none = {1, (SaUint8T *)(uintptr_t) "?"};
    return saCkptSectionDelete(h, w == POINTER ? NULL
                                  : w == EMPTY ? &bad_id
                                               : &none);
}

static uint32_t k_expiration(uint64_t h, enum wrong w)
{
    return saCkptSectionExpirationTimeSet(h,
                                          w == POINTER ? NULL
                                          : w == EMPTY ? &bad_id
                                                       : &id,
                                          SA_TIME_END);
}

static uint32_t k_write(uint64_t h, enum wrong w)
{
    SaCkptIOVectorElementT e = {.sectionId = w == EMPTY ? bad_id : id,
                                .dataBuffer = data,
                                .dataSize = w == VALUE ? 101 : sizeof data};
    return saCkptCheckpointWrite(h, w == POINTER ? NULL : &e, 1, NULL);
}

static uint32_t k_overwrite(uint64_t h, enum wrong w)
{
    return saCkptSectionOverwrite(h,
                                  w == POINTER ? NULL
                                  : w == EMPTY ? &bad_id
                                               : &id,
                                  data, w == VALUE ? 101 : sizeof data);
}

static uint32_t k_read(uint64_t h, enum wrong w)
{
    SaCkptIOVectorElementT e = {.sectionId = w == EMPTY ? bad_id : id,
                                .dataBuffer = data,
                                .dataSize = w == VALUE ? 101 : sizeof data};
    return saCkptCheckpointRead(h, w == POINTER ? NULL : &e, 1, NULL);
}

static uint32_t k_synchronize(uint64_t h, enum wrong w)
{
    return saCkptCheckpointSynchronize(h, w == VALUE ? -1 : 1);
}

static uint32_t k_synchronize_async(uint64_t h, enum wrong w)
{
    (void)w;
    return saCkptCheckpointSynchronizeAsync(h, 1);
}

static uint32_t k_id_free(uint64_t h, enum wrong w)
{
    SaUint8T *memory = malloc(8);
    uint32_t error = saCkptSectionIdFree(h, w == POINTER ? NULL : memory);
    if (error != SA_AIS_OK)
        free(memory);
    return error;
}

static uint32_t k_data_free(uint64_t h, enum wrong w)
{
    void *memory = malloc(8);
    uint32_t error =
        saCkptIOVectorElementDataFree(h, w == POINTER ? NULL : memory);
    if (error != SA_AIS_OK)
        free(memory);
    return error;
}

static uint32_t k_iterate(uint64_t h, enum wrong w)
{
    SaCkptSectionIterationHandleT i;
    uint32_t error = saCkptSectionIterationInitialize(
        h, w == VALUE ? 6 : SA_CKPT_SECTIONS_ANY, 0, w == POINTER ? NULL : &i);
    if (error == SA_AIS_OK)
        CU_ASSERT_EQUAL(saCkptSectionIterationFinalize(i), SA_AIS_OK);
    return error;
}

static uint32_t k_next(uint64_t h, enum wrong w)
{
    SaCkptSectionDescriptorT section;
    return saCkptSectionIterationNext(h, w == POINTER ? NULL : &section);
}

static uint32_t k_iteration_finalize(uint64_t h, enum wrong w)
{
    (void)w;
    return saCkptSectionIterationFinalize(h);
}

static struct evs_group group = {.key = "g"};

static uint32_t e_initialize(uint64_t h, enum wrong w)
{
    evs_handle_t handle;
    (void)h;
    return evs_initialize(w == POINTER ? NULL : &handle, NULL);
}

static uint32_t e_fd(uint64_t h, enum wrong w)
{
    int fd;
    return evs_fd_get(h, w == POINTER ? NULL : &fd);
}

static uint32_t e_context_get(uint64_t h, enum wrong w)
{
    void *context;
    return evs_context_get(h, w == POINTER ? NULL : &context);
}

static uint32_t e_context_set(uint64_t h, enum wrong w)
{
    (void)w;
    return evs_context_set(h, NULL);
}

static uint32_t e_dispatch(uint64_t h, enum wrong w)
{
    return evs_dispatch(h, w == FLAGS ? 99 : CS_DISPATCH_ALL);
}

static uint32_t e_join(uint64_t h, enum wrong w)
{
    return evs_join(h, w == POINTER ? NULL : &group, 1);
}

static uint32_t e_leave(uint64_t h, enum wrong w)
{
    return evs_leave(h, w == POINTER ? NULL : &group, 1);
}

static uint32_t e_mcast_joined(uint64_t h, enum wrong w)
{
    struct iovec v = {data, sizeof data};
    return evs_mcast_joined(h, w == VALUE ? 9 : EVS_TYPE_AGREED,
                            w == POINTER ? NULL : &v, w == EMPTY ? 63 : 1);
}

static uint32_t e_mcast_groups(uint64_t h, enum wrong w)
{
    struct iovec v = {data, sizeof data};
    return evs_mcast_groups(h, w == VALUE ? 9 : EVS_TYPE_AGREED,
                            w == EMPTY ? NULL : &group, 1,
                            w == POINTER ? NULL : &v, 1);
}

static uint32_t e_members(uint64_t h, enum wrong w)
{
    size_t entries = 0;
    return evs_membership_get(h, NULL, NULL, w == POINTER ? NULL : &entries);
}

static uint32_t e_groups(uint64_t h, enum wrong w)
{
    size_t entries = 0;
    return evs_group_list_get(h, NULL, w == POINTER ? NULL : &entries);
}

static uint32_t e_timeout(uint64_t h, enum wrong w)
{
    (void)w;
    return evs_send_timeout_set(h, 0);
}

static uint32_t e_room(uint64_t h, enum wrong w)
{
    size_t bytes;
    return evs_room_get(h, w == POINTER ? NULL : &bytes);
}

static uint32_t e_room_fd(uint64_t h, enum wrong w)
{
    int fd;
    return evs_room_fd_get(h, w == POINTER ? NULL : &fd);
}

static uint32_t e_finalize(uint64_t h, enum wrong w)
{
    (void)w;
    return evs_finalize(h);
}

/* --- the table ------------------------------------------------------------ */

#define OK SA_AIS_OK
#define VERS SA_AIS_ERR_VERSION
#define INI SA_AIS_ERR_INIT
#define PARAM SA_AIS_ERR_INVALID_PARAM
#define BAD SA_AIS_ERR_BAD_HANDLE
#define NONE SA_AIS_ERR_NOT_EXIST
#define OPER SA_AIS_ERR_BAD_OPERATION
#define BIG SA_AIS_ERR_TOO_BIG
#define BFLAGS SA_AIS_ERR_BAD_FLAGS

/* What each wrong argument gives, by enum wrong: with a good handle, and with a
 * bad one. 0: there is no such argument, or (bad[NOTHING]) no handle. */
static const struct function {
    const char *name;
    enum owner owner;
    uint32_t (*call)(uint64_t handle, enum wrong w);
    uint32_t good[WRONGS], bad[WRONGS];
} functions[] = {
    {"saClmInitialize", CLM, c_initialize, {0, PARAM, 0, VERS, PARAM}, {0}},
    {"saClmInitialize_4",
     CLM_4,
     c_initialize_4,
     {0, PARAM, 0, VERS, PARAM},
     {0}},
    {"saClmSelectionObjectGet", CLM, c_selection, {OK, PARAM}, {BAD, PARAM}},
    {"saClmDispatch", CLM, c_dispatch, {OK, 0, PARAM}, {BAD, 0, PARAM}},
    {"saClmClusterTrack",
     CLM,
     c_track,
     {OK, INI, BFLAGS, 0, PARAM},
     {BAD, BAD, BFLAGS, 0, BAD}},
    {"saClmClusterTrack_4",
     CLM_4,
     c_track_4,
     {OK, INI, BFLAGS, 0, PARAM},
     {BAD, BAD, BFLAGS, 0, BAD}},
    {"saClmClusterTrackStop", CLM, c_track_stop, {NONE}, {BAD}},
    {"saClmClusterNotificationFree", CLM, c_free, {OK, PARAM}, {BAD, PARAM}},
    {"saClmClusterNotificationFree_4",
     CLM_4,
     c_free_4,
     {OK, PARAM},
     {BAD, PARAM}},
    {"saClmClusterNodeGet",
     CLM,
     c_node,
     {OK, PARAM, 0, PARAM, PARAM},
     {BAD, PARAM, 0, BAD, BAD}},
    {"saClmClusterNodeGet_4",
     CLM_4,
     c_node_4,
     {OK, PARAM, 0, PARAM, PARAM},
     {BAD, PARAM, 0, BAD, BAD}},
    {"saClmClusterNodeGetAsync",
     CLM,
     c_node_async,
     {INI, 0, 0, PARAM, PARAM},
     {BAD, 0, 0, BAD, BAD}},
    {"saClmResponse_4", CLM_4, c_response_4, {PARAM}, {BAD}},
    {"saClmFinalize", CLM, c_finalize, {0}, {BAD}},
    {"saCkptInitialize", CKPT, k_initialize, {0, PARAM, 0, VERS, PARAM}, {0}},
    {"saCkptSelectionObjectGet", CKPT, k_selection, {OK, PARAM}, {BAD, PARAM}},
    {"saCkptDispatch", CKPT, k_dispatch, {OK, 0, PARAM}, {BAD, 0, PARAM}},
    {"saCkptCheckpointOpen",
     CKPT,
     k_open,
     {OK, PARAM, BFLAGS, PARAM, PARAM},
     {BAD, PARAM, BAD, BAD, PARAM}},
    {"saCkptCheckpointOpenAsync",
     CKPT,
     k_open_async,
     {INI, PARAM, BFLAGS, PARAM},
     {BAD, PARAM, BAD, BAD}},
    {"saCkptCheckpointUnlink",
     CKPT,
     k_unlink,
     {NONE, PARAM, 0, BIG},
     {BAD, PARAM, 0, BAD}},
    {"saCkptFinalize", CKPT, k_finalize, {0}, {BAD}},
    {"saCkptCheckpointClose", CHECKPOINT, k_close, {0}, {BAD}},
    {"saCkptCheckpointRetentionDurationSet",
     CHECKPOINT,
     k_retention,
     {OK, 0, 0, PARAM},
     {BAD, 0, 0, BAD}},
    {"saCkptActiveReplicaSet", CHECKPOINT, k_active, {OPER}, {BAD}},
    {"saCkptCheckpointStatusGet",
     CHECKPOINT,
     k_status,
     {OK, PARAM},
     {BAD, PARAM}},
    {"saCkptSectionCreate",
     CHECKPOINT,
     k_create,
     {OK, PARAM, 0, PARAM, PARAM},
     {BAD, BAD, 0, BAD, BAD}},
    {"saCkptSectionDelete",
     CHECKPOINT,
     k_delete,
     {NONE, PARAM, 0, 0, PARAM},
     {BAD, BAD, 0, 0, BAD}},
    {"saCkptSectionExpirationTimeSet",
     CHECKPOINT,
     k_expiration,
     {OK, PARAM, 0, 0, PARAM},
     {BAD, BAD, 0, 0, BAD}},
    {"saCkptCheckpointWrite",
     CHECKPOINT,
     k_write,
     {OK, PARAM, 0, PARAM, PARAM},
     {BAD, BAD, 0, BAD, BAD}},
    {"saCkptSectionOverwrite",
     CHECKPOINT,
     k_overwrite,
     {OK, PARAM, 0, PARAM, PARAM},
     {BAD, BAD, 0, BAD, BAD}},
    {"saCkptCheckpointRead",
     CHECKPOINT,
     k_read,
     {OK, PARAM, 0, PARAM, PARAM},
     {BAD, BAD, 0, BAD, BAD}},
    {"saCkptCheckpointSynchronize",
     CHECKPOINT,
     k_synchronize,
     {OPER, 0, 0, PARAM},
     {BAD, 0, 0, BAD}},
    {"saCkptCheckpointSynchronizeAsync",
     CHECKPOINT,
     k_synchronize_async,
     {OPER},
     {BAD}},
    {"saCkptSectionIdFree", CHECKPOINT, k_id_free, {OK, PARAM}, {BAD, PARAM}},
    {"saCkptIOVectorElementDataFree",
     CHECKPOINT,
     k_data_free,
     {OK, PARAM},
     {BAD, PARAM}},
    {"saCkptSectionIterationInitialize",
     CHECKPOINT,
     k_iterate,
     {OK, PARAM, 0, PARAM},
     {BAD, BAD, 0, BAD}},
    {"saCkptSectionIterationNext", ITERATION, k_next, {OK, PARAM}, {BAD, BAD}},
    {"saCkptSectionIterationFinalize",
     ITERATION,
     k_iteration_finalize,
     {0},
     {BAD}},
    {"evs_initialize", EVS, e_initialize, {0, PARAM}, {0}},
    {"evs_fd_get", EVS, e_fd, {OK, PARAM}, {BAD, BAD}},
    {"evs_context_get", EVS, e_context_get, {OK, PARAM}, {BAD, BAD}},
    {"evs_context_set", EVS, e_context_set, {OK}, {BAD}},
    {"evs_dispatch", EVS, e_dispatch, {OK, 0, PARAM}, {BAD, 0, BAD}},
    {"evs_join", EVS, e_join, {OK, PARAM}, {BAD, BAD}},
    {"evs_leave", EVS, e_leave, {OK, PARAM}, {BAD, BAD}},
    {"evs_mcast_joined",
     EVS,
     e_mcast_joined,
     {OK, PARAM, 0, PARAM, PARAM},
     {BAD, BAD, 0, BAD, BAD}},
    {"evs_mcast_groups",
     EVS,
     e_mcast_groups,
     {OK, PARAM, 0, PARAM, PARAM},
     {BAD, BAD, 0, BAD, BAD}},
    {"evs_membership_get", EVS, e_members, {OK, PARAM}, {BAD, BAD}},
    {"evs_group_list_get", EVS, e_groups, {OK, PARAM}, {BAD, BAD}},
    {"evs_send_timeout_set", EVS, e_timeout, {OK}, {BAD}},
    {"evs_room_get", EVS, e_room, {OK, PARAM}, {BAD, BAD}},
    {"evs_room_fd_get", EVS, e_room_fd, {OK, PARAM}, {BAD, BAD}},
    {"evs_finalize", EVS, e_finalize, {0}, {BAD}},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* --- handles -------------------------------------------------------------- */

static uint32_t initialize(enum owner owner, SaUint64T *handle)
{
    SaVersionT v = {'B', owner == CLM_4 ? 4 : 1, 1};
    evs_handle_t evs = 0;
    uint32_t error;

    if (owner == CKPT)
        return saCkptInitialize(handle, NULL, &v);
    if (owner == CLM)
        return saClmInitialize(handle, NULL, &v);
    if (owner == CLM_4)
        return saClmInitialize_4(handle, NULL, &v);
    error = evs_initialize(&evs, NULL);
    *handle = evs;
    return error;
}

static void finalize(enum owner owner, SaUint64T handle)
{
    uint32_t error = owner == EVS    ? evs_finalize(handle)
                     : owner == CKPT ? saCkptFinalize(handle)
                                     : saClmFinalize(handle);

    CU_ASSERT_EQUAL(error, SA_AIS_OK);
}

static SaUint64T open_one(enum owner owner)
{
    SaUint64T handle = 0;
    uint32_t error = SA_AIS_ERR_TRY_AGAIN;

    for (int i = 0; i < 1000 && error == SA_AIS_ERR_TRY_AGAIN; i++) {
        error = initialize(owner, &handle);
        pause_ms(error == SA_AIS_OK ? 0 : 5);
    }
    CU_ASSERT_EQUAL_FATAL(error, SA_AIS_OK);
    return handle;
}

static void open_checkpoint(uint64_t handle, SaUint64T of[OWNERS])
{
    SaCkptSectionCreationAttributesT a = {.sectionId = &id,
                                          .expirationTime = SA_TIME_END};

    CU_ASSERT_EQUAL_FATAL(saCkptCheckpointOpen(handle, &name, &attributes,
                                               SA_CKPT_CHECKPOINT_READ |
                                                   SA_CKPT_CHECKPOINT_WRITE |
                                                   SA_CKPT_CHECKPOINT_CREATE,
                                               SA_TIME_END, &of[CHECKPOINT]),
                          SA_AIS_OK);
    (void)saCkptSectionCreate(of[CHECKPOINT], &a, data, sizeof data);
    CU_ASSERT_EQUAL_FATAL(saCkptSectionIterationInitialize(of[CHECKPOINT],
                                                           SA_CKPT_SECTIONS_ANY,
                                                           0, &of[ITERATION]),
                          SA_AIS_OK);
}

static void open_all(SaUint64T of[OWNERS])
{
    for (enum owner o = CLM; o < OWNERS; o++)
        if (o != CHECKPOINT && o != ITERATION)
            of[o] = open_one(o);
    open_checkpoint(of[CKPT], of);
}

static void close_all(const SaUint64T of[OWNERS])
{
    CU_ASSERT_EQUAL(saCkptSectionIterationFinalize(of[ITERATION]), SA_AIS_OK);
    CU_ASSERT_EQUAL(saCkptCheckpointClose(of[CHECKPOINT]), SA_AIS_OK);
    for (enum owner o = CLM; o < OWNERS; o++)
        if (o != CHECKPOINT && o != ITERATION)
            finalize(o, of[o]);
}

/* --- going through it ----------------------------------------------------- */

static void expect(const struct function *f, const char *what, enum wrong w,
                   uint32_t got, uint32_t right)
{
    if (got != right)
        printf("\n    %s, %s, argument %d: %u in place of %u", f->name, what,
               (int)w, got, right);
    CU_ASSERT_EQUAL(got, right);
}

static bool is_clm(enum owner o)
{
    return o == CLM || o == CLM_4;
}

/* A handle of each other library, of the other kinds of this one. */
static void with_others_handles(const struct function *f, enum wrong w)
{
    for (enum owner o = CLM; o < OWNERS; o++) {
        uint32_t right = f->bad[w];
        if (o == f->owner || (is_clm(o) && is_clm(f->owner)))
            continue;
        expect(f, "another's handle", w, f->call(good[o], w), right);
    }
}

static void with_bad_handles(const struct function *f, enum wrong w)
{
    expect(f, "handle 0", w, f->call(0, w), f->bad[w]);
    expect(f, "handle -1", w, f->call(UINT64_MAX, w), f->bad[w]);
    expect(f, "finalized", w, f->call(finalized[f->owner], w), f->bad[w]);
    with_others_handles(f, w);
}

static void test_order(void)
{
    d.alone = true;
    start();
    open_all(finalized);
    close_all(finalized);
    open_all(good);
    for (size_t i = 0; i < FUNCTIONS; i++) {
        const struct function *f = &functions[i];
        for (enum wrong w = NOTHING; w < WRONGS; w++) {
            if (f->bad[w] != 0)
                with_bad_handles(f, w);
            if (f->good[w] != 0)
                expect(f, "good handle", w, f->call(good[f->owner], w),
                       f->good[w]);
        }
    }
    close_all(good);
    stop();
}

/* A handle of the other family is looked at before the buffer too, and after
 * flags and pointers. */
static void test_family(void)
{
    d.alone = true;
    start();
    open_all(good);
    for (size_t i = 0; i < FUNCTIONS; i++) {
        const struct function *f = &functions[i];
        uint64_t other = good[f->owner == CLM ? CLM_4 : CLM];
        if (!is_clm(f->owner) || f->call == c_selection ||
            f->call == c_dispatch || f->call == c_track_stop ||
            f->call == c_finalize || f->call == c_node_async)
            continue; /* of both families */
        for (enum wrong w = NOTHING; w < WRONGS; w++)
            if (f->bad[w] != 0)
                expect(f, "other family", w, f->call(other, w),
                       f->bad[w] == BAD ? VERS : f->bad[w]);
    }
    close_all(good);
    stop();
}

/* --- ids that are too long ------------------------------------------------ */

static void test_long_ids(void)
{
    static SaUint8T bytes[300];
    SaCkptSectionIdT too_long = {.id = bytes};
    SaCkptSectionCreationAttributesT a = {.sectionId = &too_long,
                                          .expirationTime = SA_TIME_END};
    SaCkptIOVectorElementT e[] = {
        {.sectionId = id, .dataBuffer = data, .dataSize = 1},
        {.dataBuffer = data, .dataSize = 1}};
    const SaUint16T lengths[] = {17, 49, 256, 257, 300};
    SaUint32T index;

    d.alone = true;
    start();
    open_all(good);
    uint64_t c = good[CHECKPOINT];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        too_long.idLen = lengths[i];
        e[1].sectionId = too_long;
        CU_ASSERT_EQUAL(saCkptSectionCreate(c, &a, data, 1), PARAM);
        index = 77;
        CU_ASSERT_EQUAL(saCkptCheckpointRead(c, e, 2, &index), NONE);
        CU_ASSERT_EQUAL(index, 1);
        index = 77;
        CU_ASSERT_EQUAL(saCkptCheckpointWrite(c, e, 2, &index), NONE);
        CU_ASSERT_EQUAL(index, 1);
        CU_ASSERT_EQUAL(saCkptSectionOverwrite(c, &too_long, data, 1), NONE);
        CU_ASSERT_EQUAL(saCkptSectionDelete(c, &too_long), NONE);
        CU_ASSERT_EQUAL(
            saCkptSectionExpirationTimeSet(c, &too_long, SA_TIME_END), NONE);
    }
    close_all(good);
    stop();
}

/* --- descriptors ---------------------------------------------------------- */

enum { FD_FILLED = 100 };

/* With so few descriptors left: NO_RESOURCES, or it can do with them. */
static bool refused(enum owner o, int left)
{
    struct rlimit before, limit;
    SaUint64T handle;
    uint32_t error;
    int first;

    do /* what is free below would be taken first */
        first = dup(0);
    while (first < FD_FILLED);
    close(first);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = (rlim_t)(first + left);
    setrlimit(RLIMIT_NOFILE, &limit);
    error = initialize(o, &handle);
    setrlimit(RLIMIT_NOFILE, &before);
    if (error == SA_AIS_OK)
        finalize(o, handle);
    else
        CU_ASSERT_EQUAL(error, SA_AIS_ERR_NO_RESOURCES);
    return error != SA_AIS_OK;
}

/* Each library, from none left to enough; the daemon, in the same process, has
 * what it needs beforehand. */
static void test_no_descriptors(void)
{
    int status;

    d.alone = true;
    start();
    for (enum owner o = CLM; o < OWNERS; o++) {
        if (o == CHECKPOINT || o == ITERATION)
            continue;
        finalize(o, open_one(o)); /* the service is ready */
        EVENTUALLY(stats().clients_now == 0);
        pid_t child = fork();
        if (child == 0) {
            int left = 0;
            while (left < 20 && refused(o, left))
                left++;
            _exit(CU_get_number_of_failures() == 0 && left >= 6 ? left : 99);
        }
        waitpid(child, &status, 0);
        CU_ASSERT(WIFEXITED(status));
        CU_ASSERT(WEXITSTATUS(status) >= 6 && WEXITSTATUS(status) <= 8);
    }
    stop();
}

static const struct unit_test tests[] = {
    {"order", test_order},
    {"family", test_family},
    {"long ids", test_long_ids},
    {"no descriptors", test_no_descriptors}};
FAKE_MAIN("order of checks", tests)
