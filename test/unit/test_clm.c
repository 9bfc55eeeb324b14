/* SPDX-License-Identifier: BSD-3-Clause */
/* test_clm.c - libSaClm against the specification: each test is a row of its
 * table of errors, or of what is common to all services, named as there, on
 * handles of both families where the row is of both. The daemon is made up
 * (fake_clm.h). What tracking tells: test_clm_track.c. */
#include "test/unit/clm_box.h"

#include <corosync/evs.h>

#include <signal.h>
#include <sys/wait.h>

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

/* --- initialize ----------------------------------------------------------- */

static void test_init_handle_null(void)
{
    SaVersionT v = version('B', 1, 1), v4 = version('B', 4, 1);
    fake_start(1);
    IS(saClmInitialize(NULL, &callbacks, &v), ERR_INVALID_PARAM);
    IS(saClmInitialize_4(NULL, &callbacks4, &v4), ERR_INVALID_PARAM);
    fake_kill();
}

static void test_init_version_null(void)
{
    fake_start(1);
    IS(saClmInitialize(&h, &callbacks, NULL), ERR_INVALID_PARAM);
    IS(saClmInitialize_4(&h, &callbacks4, NULL), ERR_INVALID_PARAM);
    fake_kill();
}

static void test_init_callbacks_null(void)
{
    fake_start(1);
    h = open_b01(NULL);
    h4 = open_b04(NULL);
    end();
}

static void test_init_members_null(void)
{
    const SaClmCallbacksT none = {NULL, NULL};
    const SaClmCallbacksT_4 none4 = {NULL, NULL};
    fake_start(1);
    h = open_b01(&none);
    h4 = open_b04(&none4);
    end();
}

static void test_init_version_refused(void)
{
    const SaVersionT bad[] = {{'C', 1, 1},    {'A', 1, 1}, {'b', 1, 1},
                              {'B', 5, 1},    {'B', 0, 0}, {0, 0, 0},
                              {255, 255, 255}};
    SaVersionT v;
    SaClmHandleT handle = 77;
    fake_start(1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        v = bad[i];
        IS(saClmInitialize(&handle, &callbacks, &v), ERR_VERSION);
        CU_ASSERT(v.releaseCode == 'B' && v.majorVersion == 1 &&
                  v.minorVersion == 1);
        v = bad[i];
        IS(saClmInitialize_4(&handle, &callbacks4, &v), ERR_VERSION);
        CU_ASSERT(v.releaseCode == 'B' && v.majorVersion == 4 &&
                  v.minorVersion == 1);
    }
    v = version('B', 2, 1);
    IS(saClmInitialize(&handle, &callbacks, &v), ERR_VERSION);
    v = version('B', 1, 1);
    IS(saClmInitialize_4(&handle, &callbacks4, &v), ERR_VERSION);
    CU_ASSERT_EQUAL(handle, 77);
    fake_kill();
}

static void test_init_minor(void)
{
    fake_start(1);
    for (int minor = 0; minor < 256; minor += 255) {
        SaVersionT v = version('B', 1, (uint8_t)minor);
        IS(saClmInitialize(&h, &callbacks, &v), OK);
        CU_ASSERT(v.majorVersion == 1 && v.minorVersion == 1);
        IS(saClmFinalize(h), OK);
        for (uint8_t major = 2; major <= 4; major++) {
            v = version('B', major, (uint8_t)minor);
            IS(saClmInitialize_4(&h4, &callbacks4, &v), OK);
            CU_ASSERT(v.majorVersion == 4 && v.minorVersion == 1);
            IS(saClmFinalize(h4), OK);
        }
    }
    fake_kill();
}

static void test_init_again(void)
{
    begin(1);
    SaClmHandleT other = open_b01(&callbacks);
    CU_ASSERT(other != h && other != h4 && other != 0);
    CU_ASSERT_NOT_EQUAL(fd_of(other), fd_of(h));
    /* Each has its own queue. */
    IS(saClmClusterNodeGetAsync(other, 5, LOCAL), OK);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.nodes, 0);
    IS(saClmDispatch(other, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.nodes, 1);
    IS(saClmFinalize(other), OK);
    end();
}

static void test_init_daemon_down(void)
{
    SaVersionT v = version('B', 1, 1), v4 = version('B', 4, 1);
    int fds = open_fds();
    IS(saClmInitialize(&h, &callbacks, &v), ERR_TRY_AGAIN);
    IS(saClmInitialize_4(&h, &callbacks4, &v4), ERR_TRY_AGAIN);
    CU_ASSERT_EQUAL(open_fds(), fds);
}

static void test_init_not_ready(void)
{
    SaVersionT v = version('B', 1, 1);
    int fds = open_fds();
    fake_start(0);
    IS(saClmInitialize(&h, &callbacks, &v), ERR_TRY_AGAIN);
    fake_kill();
    CU_ASSERT_EQUAL(open_fds(), fds);
}

static void test_init_refused(void)
{
    const struct {
        uint32_t result, version;
        SaAisErrorT expected;
    } cases[] = {{IPC_ERR_ACCESS, 0, SA_AIS_ERR_ACCESS},
                 {IPC_ERR_NO_RESOURCES, 0, SA_AIS_ERR_NO_RESOURCES},
                 {IPC_ERR_TRY_AGAIN, 0, SA_AIS_ERR_TRY_AGAIN},
                 /* The daemon's version is not the interface's. */
                 {0, IPC_VERSION + 1, SA_AIS_ERR_LIBRARY},
                 {999, 0, SA_AIS_ERR_LIBRARY}};
    SaVersionT v = version('B', 1, 1);
    int fds = open_fds();
    fake_start(1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FAKE_SET(refuse, cases[i].result);
        FAKE_SET(version, cases[i].version);
        CU_ASSERT_EQUAL(saClmInitialize(&h, &callbacks, &v), cases[i].expected);
    }
    fake_kill();
    CU_ASSERT_EQUAL(open_fds(), fds);
}

static void test_no_memory(void)
{
    SaVersionT v = version('B', 1, 1);
    SaClmClusterNotificationBufferT b = {0, 0, NULL};
    begin(NODES);
    memory_left = 0;
    IS(saClmInitialize(&h, &callbacks, &v), ERR_NO_MEMORY);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), ERR_NO_MEMORY);
    memory_left = 1; /* for what is read, none for what is given */
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), ERR_NO_MEMORY);
    CU_ASSERT_PTR_NULL(b.notification);
    /* Told in the callback: the list could not be built. */
    memory_left = -1;
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, NULL), OK);
    memory_left = 0;
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    memory_left = -1;
    CU_ASSERT_EQUAL(seen.tracks, 1);
    CU_ASSERT_EQUAL(seen.error, SA_AIS_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(seen.items, 0);
    end();
}

/* --- selection object, dispatch, finalize --------------------------------- */

static void test_selection_null(void)
{
    begin(1);
    IS(saClmSelectionObjectGet(h, NULL), ERR_INVALID_PARAM);
    IS(saClmSelectionObjectGet(0, NULL), ERR_INVALID_PARAM);
    end();
}

static void test_selection_bad_handle(void)
{
    SaSelectionObjectT fd;
    begin(1);
    EACH_BAD_HANDLE(saClmSelectionObjectGet(b, &fd));
    end();
}

static void test_selection_readable(void)
{
    begin(1);
    CU_ASSERT_EQUAL(fd_of(h), fd_of(h));
    CU_ASSERT_FALSE(readable(h, 0));
    IS(saClmClusterNodeGetAsync(h, 1, LOCAL), OK);
    CU_ASSERT_TRUE(readable(h, 30000));
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_FALSE(readable(h, 0));
    end();
}

static void test_dispatch_flags(void)
{
    begin(1);
    for (int flags = -1; flags < 6; flags++)
        if (flags < 1 || flags > 3) {
            IS(saClmDispatch(h, (SaDispatchFlagsT)flags), ERR_INVALID_PARAM);
            IS(saClmDispatch(0, (SaDispatchFlagsT)flags), ERR_INVALID_PARAM);
        }
    end();
}

static void test_dispatch_bad_handle(void)
{
    begin(1);
    EACH_BAD_HANDLE(saClmDispatch(b, SA_DISPATCH_ONE));
    EACH_BAD_HANDLE(saClmDispatch(b, SA_DISPATCH_BLOCKING));
    end();
}

static void test_dispatch_one(void)
{
    begin(1);
    alarm(20); /* instead of waiting for ever */
    IS(saClmDispatch(h, SA_DISPATCH_ONE), OK);
    alarm(0);
    IS(saClmClusterNodeGetAsync(h, 1, LOCAL), OK);
    IS(saClmClusterNodeGetAsync(h, 2, LOCAL), OK);
    IS(saClmDispatch(h, SA_DISPATCH_ONE), OK);
    CU_ASSERT_EQUAL(seen.nodes, 1);
    CU_ASSERT_EQUAL(seen.invocation, 1);
    CU_ASSERT_TRUE(readable(h, 0));
    IS(saClmDispatch(h, SA_DISPATCH_ONE), OK);
    CU_ASSERT_EQUAL(seen.invocation, 2);
    CU_ASSERT_FALSE(readable(h, 0));
    end();
}

static void test_dispatch_all(void)
{
    begin(1);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    for (SaInvocationT i = 1; i <= 3; i++)
        IS(saClmClusterNodeGetAsync(h, i, LOCAL), OK);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.nodes, 3);
    CU_ASSERT_EQUAL(seen.invocation, 3);
    end();
}

static void *dispatch_blocking(void *result)
{
    *(SaAisErrorT *)result = saClmDispatch(h, SA_DISPATCH_BLOCKING);
    return NULL;
}

static inline void pause_ms(long ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000};
    nanosleep(&t, NULL);
}

static void test_dispatch_blocking(void)
{
    SaAisErrorT result = 0;
    pthread_t thread;
    begin(1);
    CU_ASSERT(pthread_create(&thread, NULL, dispatch_blocking, &result) == 0);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES, NULL), OK);
    fake_join(50);
    fake_leave();
    for (int i = 0; i < 12000 && seen.tracks < 2; i++)
        pause_ms(5);
    IS(saClmFinalize(h), OK);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(result, SA_AIS_OK);
    CU_ASSERT_EQUAL(seen.tracks, 2);
    h = open_b01(NULL);
    end();
}

static void finalize_inside(void)
{
    IS(saClmFinalize(h), OK);
}

static void calls_inside(void)
{
    SaClmClusterNodeT node;
    seen.inside = NULL;
    IS(saClmClusterNodeGet(h, LOCAL, SA_TIME_ONE_SECOND, &node), OK);
    IS(saClmClusterNodeGetAsync(h, 9, LOCAL), OK);
    IS(saClmDispatch(h, SA_DISPATCH_ONE), OK);
    CU_ASSERT_EQUAL(seen.nodes, 2);
}

static void test_dispatch_nested(void)
{
    begin(1);
    seen.inside = calls_inside;
    IS(saClmClusterNodeGetAsync(h, 1, LOCAL), OK);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.nodes, 2);
    seen.inside = finalize_inside;
    IS(saClmClusterNodeGetAsync(h, 2, LOCAL), OK);
    IS(saClmClusterNodeGetAsync(h, 3, LOCAL), OK);
    IS(saClmDispatch(h, SA_DISPATCH_BLOCKING), OK);
    CU_ASSERT_EQUAL(seen.nodes, 3); /* the last is cancelled */
    h = open_b01(NULL);
    end();
}

static void test_finalize(void)
{
    begin(1);
    int fds = open_fds();
    EACH_BAD_HANDLE(saClmFinalize(b));
    /* The daemon closes its ends a while later. */
    for (int i = 0; i < 12000 && open_fds() != fds; i++)
        pause_ms(5);
    CU_ASSERT_EQUAL(open_fds(), fds);
    end();
}

/* --- the daemon's end ----------------------------------------------------- */

static void test_connection_lost(void)
{
    SaClmClusterNotificationBufferT buffer = {0, 0, NULL};
    SaSelectionObjectT fd;
    SaClmClusterNodeT node;
    begin(1);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &buffer), OK);
    struct pollfd p = {.fd = fd_of(h), .events = POLLIN};
    fake_kill();
    CU_ASSERT_EQUAL(poll(&p, 1, 1000), 1);
    IS(saClmSelectionObjectGet(h, &fd), ERR_LIBRARY);
    IS(saClmDispatch(h, SA_DISPATCH_ONE), ERR_LIBRARY);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), ERR_LIBRARY);
    IS(saClmDispatch(h, SA_DISPATCH_BLOCKING), ERR_LIBRARY);
    IS(saClmClusterNodeGet(h, LOCAL, 0, &node), ERR_LIBRARY);
    IS(saClmClusterNodeGetAsync(h, 1, LOCAL), ERR_LIBRARY);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES, NULL), ERR_LIBRARY);
    IS(saClmClusterTrackStop(h), ERR_LIBRARY);
    IS(saClmClusterNotificationFree(h, buffer.notification), OK);
    IS(saClmFinalize(h), OK);
    IS(saClmFinalize(h), ERR_BAD_HANDLE);
    /* A call that waits finds out too. */
    IS(saClmClusterTrack_4(h4, SA_TRACK_CHANGES, NULL), ERR_LIBRARY);
    IS(saClmFinalize(h4), OK);
}

static void *kill_soon(void *unused)
{
    (void)unused;
    pause_ms(50);
    fake_kill();
    return NULL;
}

static void test_dies_while_dispatching(void)
{
    pthread_t thread;
    begin(1);
    CU_ASSERT(pthread_create(&thread, NULL, kill_soon, NULL) == 0);
    IS(saClmDispatch(h, SA_DISPATCH_BLOCKING), ERR_LIBRARY);
    pthread_join(thread, NULL);
    IS(saClmFinalize(h), OK);
    IS(saClmFinalize(h4), OK);
}

static void test_not_ready(void)
{
    SaClmClusterNotificationBufferT buffer = {0, 0, NULL};
    SaClmClusterNodeT node;
    begin(1);
    FAKE_SET(result, IPC_ERR_TRY_AGAIN);
    IS(saClmClusterNodeGet(h, LOCAL, 0, &node), ERR_TRY_AGAIN);
    IS(saClmClusterNodeGetAsync(h, 1, LOCAL), ERR_TRY_AGAIN);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES, NULL), ERR_TRY_AGAIN);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &buffer), ERR_TRY_AGAIN);
    FAKE_SET(result, 0);
    IS(saClmClusterTrackStop(h), ERR_NOT_EXIST);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.nodes + seen.tracks, 0);
    end();
}

/* A daemon that lies: no crash, no reading beyond what came. */
static void test_nonsense(void)
{
    SaClmClusterNotificationBufferT buffer = {0, 0, NULL};
    SaClmClusterNodeT node;
    begin(20);
    FAKE_SET(piece, IPC_CLM_NODES_PER_ANSWER_MAX + 1); /* one too many */
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &buffer), ERR_LIBRARY);
    FAKE_SET(piece, 2);
    FAKE_SET(spoil, SPOIL_SIZE);
    IS(saClmClusterNodeGet(h, LOCAL, 0, &node), ERR_LIBRARY);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &buffer), ERR_LIBRARY);
    IS(saClmClusterNodeGetAsync(h, 1, LOCAL), ERR_LIBRARY);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, NULL), ERR_LIBRARY);
    FAKE_SET(spoil, SPOIL_COUNT);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &buffer), ERR_LIBRARY);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, NULL), OK);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.nodes + seen.tracks, 0);
    FAKE_SET(spoil, SPOIL_LENGTHS);
    IS(saClmClusterNodeGet(h, LOCAL, 0, &node), OK);
    CU_ASSERT_EQUAL(node.nodeName.length, SA_MAX_NAME_LENGTH);
    CU_ASSERT_EQUAL(node.nodeAddress.length, SA_CLM_MAX_ADDRESS_LENGTH - 1);
    CU_ASSERT_EQUAL(node.nodeAddress.value[SA_CLM_MAX_ADDRESS_LENGTH - 1], 0);
    CU_ASSERT_EQUAL(node.member, SA_TRUE);
    end();
}

/* --- track: errors -------------------------------------------------------- */

static void test_track_flags_0(void)
{
    begin(1);
    IS(saClmClusterTrack(h, 0, NULL), ERR_BAD_FLAGS);
    IS(saClmClusterTrack(0, 0, NULL), ERR_BAD_FLAGS);
    IS(saClmClusterTrack_4(h4, 0, NULL), ERR_BAD_FLAGS);
    IS(saClmClusterTrack_4(0, 0, NULL), ERR_BAD_FLAGS);
    end();
}

static void test_track_flags_none(void)
{
    begin(1);
    IS(saClmClusterTrack(h, SA_TRACK_LOCAL, NULL), ERR_BAD_FLAGS);
    for (uint8_t flags = 8; flags < 64; flags = (uint8_t)(flags + 8))
        IS(saClmClusterTrack_4(h4, flags, NULL), ERR_BAD_FLAGS);
    end();
}

static void test_track_flags_both(void)
{
    begin(1);
    IS(saClmClusterTrack(h, 6, NULL), ERR_BAD_FLAGS);
    IS(saClmClusterTrack(h, 7, NULL), ERR_BAD_FLAGS);
    IS(saClmClusterTrack_4(h4, 6, NULL), ERR_BAD_FLAGS);
    IS(saClmClusterTrack_4(h4, 7, NULL), ERR_BAD_FLAGS);
    end();
}

static void test_track_flags_unknown(void)
{
    begin(1);
    for (int bit = 0x10; bit <= 0x80; bit *= 2)
        IS(saClmClusterTrack(h, (uint8_t)(bit | SA_TRACK_CHANGES), NULL),
           ERR_BAD_FLAGS);
    IS(saClmClusterTrack_4(h4, 0x40 | SA_TRACK_CURRENT, NULL), ERR_BAD_FLAGS);
    IS(saClmClusterTrack_4(h4, 0x80 | SA_TRACK_CURRENT, NULL), ERR_BAD_FLAGS);
    end();
}

static void test_track_0_items(void)
{
    SaClmClusterNotificationT n[1];
    SaClmClusterNotificationT_4 n4[1];
    SaClmClusterNotificationBufferT b = {0, 0, n};
    SaClmClusterNotificationBufferT_4 b4 = {0, 0, n4};
    begin(1);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), ERR_INVALID_PARAM);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CURRENT, &b4), ERR_INVALID_PARAM);
    /* Without CURRENT the buffer is not looked at. */
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES, &b), OK);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CHANGES, &b4), OK);
    end();
}

static void without_callbacks(uint32_t count)
{
    const SaClmCallbacksT c = {on_node, NULL};
    const SaClmCallbacksT_4 c4 = {on_node4, NULL};
    memset(&seen, 0, sizeof seen);
    fake_start(count);
    h = open_b01(&c);
    h4 = open_b04(&c4);
}

static void test_track_current_init(void)
{
    without_callbacks(1);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, NULL), ERR_INIT);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CURRENT, NULL), ERR_INIT);
    end();
}

static void test_track_buffer_no_callback(void)
{
    SaClmClusterNotificationBufferT b = {0, 0, NULL};
    SaClmClusterNotificationBufferT_4 b4 = {0, 0, NULL};
    without_callbacks(NODES);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), OK);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CURRENT, &b4), OK);
    CU_ASSERT(b.numberOfItems == NODES && b4.numberOfItems == NODES);
    IS(saClmClusterNotificationFree(h, b.notification), OK);
    IS(saClmClusterNotificationFree_4(h4, b4.notification), OK);
    end();
}

static void test_track_changes_init(void)
{
    SaClmClusterNotificationBufferT b = {0, 0, NULL};
    without_callbacks(1);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES, NULL), ERR_INIT);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES_ONLY, NULL), ERR_INIT);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT | SA_TRACK_CHANGES, &b), ERR_INIT);
    CU_ASSERT_PTR_NULL(b.notification);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CHANGES, NULL), ERR_INIT);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CHANGES_ONLY, NULL), ERR_INIT);
    end();
}

static void test_track_version(void)
{
    SaClmClusterNotificationBufferT b = {0, 0, NULL};
    SaClmClusterNotificationBufferT_4 b4 = {0, 0, NULL};
    begin(1);
    IS(saClmClusterTrack_4(h, SA_TRACK_CURRENT, &b4), ERR_VERSION);
    IS(saClmClusterTrack(h4, SA_TRACK_CURRENT, &b), ERR_VERSION);
    CU_ASSERT(b.notification == NULL && b4.notification == NULL);
    IS(saClmClusterTrack_4(h, SA_TRACK_CHANGES, NULL), ERR_VERSION);
    IS(saClmClusterTrack(h4, SA_TRACK_CHANGES, NULL), ERR_VERSION);
    end();
}

static void test_track_no_space(void)
{
    SaClmClusterNotificationT n[NODES];
    SaClmClusterNotificationT_4 n4[NODES];
    SaClmClusterNotificationBufferT b = {0, NODES - 1, n};
    SaClmClusterNotificationBufferT_4 b4 = {0, 1, n4};
    begin(NODES);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), ERR_NO_SPACE);
    CU_ASSERT_EQUAL(b.numberOfItems, NODES);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), OK);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CURRENT, &b4), ERR_NO_SPACE);
    CU_ASSERT_EQUAL(b4.numberOfItems, NODES);
    /* Nor has tracking begun. */
    b.numberOfItems = 1;
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT | SA_TRACK_CHANGES, &b),
       ERR_NO_SPACE);
    IS(saClmClusterTrackStop(h), ERR_NOT_EXIST);
    end();
}

static void test_track_bad_handle(void)
{
    begin(1);
    EACH_BAD_HANDLE(saClmClusterTrack(b, SA_TRACK_CURRENT, NULL));
    EACH_BAD_HANDLE(saClmClusterTrack_4(b, SA_TRACK_CURRENT, NULL));
    end();
}

static void test_stop_not_exist(void)
{
    begin(1);
    IS(saClmClusterTrackStop(h), ERR_NOT_EXIST);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, NULL), OK);
    IS(saClmClusterTrackStop(h), ERR_NOT_EXIST);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES, NULL), OK);
    IS(saClmClusterTrackStop(h), OK);
    IS(saClmClusterTrackStop(h), ERR_NOT_EXIST);
    IS(saClmClusterTrackStop(h4), ERR_NOT_EXIST);
    end();
}

static void test_stop_bad_handle(void)
{
    begin(1);
    EACH_BAD_HANDLE(saClmClusterTrackStop(b));
    end();
}

/* --- freeing -------------------------------------------------------------- */

static void test_free_null(void)
{
    begin(1);
    IS(saClmClusterNotificationFree(h, NULL), ERR_INVALID_PARAM);
    IS(saClmClusterNotificationFree_4(h4, NULL), ERR_INVALID_PARAM);
    IS(saClmClusterNotificationFree(0, NULL), ERR_INVALID_PARAM);
    IS(saClmClusterNotificationFree_4(UINT64_MAX, NULL), ERR_INVALID_PARAM);
    end();
}

static void test_free_bad_handle(void)
{
    SaClmClusterNotificationT *n = malloc(sizeof *n);
    SaClmClusterNotificationT_4 *n4 = malloc(sizeof *n4);
    begin(1);
    EACH_BAD_HANDLE(saClmClusterNotificationFree(b, n));
    EACH_BAD_HANDLE(saClmClusterNotificationFree_4(b, n4));
    /* Any memory of malloc(). */
    IS(saClmClusterNotificationFree(h, n), OK);
    IS(saClmClusterNotificationFree_4(h4, n4), OK);
    end();
}

static void test_free_version(void)
{
    SaClmClusterNotificationT *n = malloc(sizeof *n);
    SaClmClusterNotificationT_4 *n4 = malloc(sizeof *n4);
    begin(1);
    IS(saClmClusterNotificationFree_4(h, n4), ERR_VERSION);
    IS(saClmClusterNotificationFree(h4, n), ERR_VERSION);
    free(n);
    free(n4);
    end();
}

/* --- one node ------------------------------------------------------------- */

static void test_get_null(void)
{
    begin(1);
    IS(saClmClusterNodeGet(h, LOCAL, 0, NULL), ERR_INVALID_PARAM);
    IS(saClmClusterNodeGet_4(h4, LOCAL, 0, NULL), ERR_INVALID_PARAM);
    IS(saClmClusterNodeGet(0, LOCAL, 0, NULL), ERR_INVALID_PARAM);
    end();
}

static void test_get_bad_handle(void)
{
    SaClmClusterNodeT n;
    SaClmClusterNodeT_4 n4;
    begin(1);
    EACH_BAD_HANDLE(saClmClusterNodeGet(b, LOCAL, 0, &n));
    EACH_BAD_HANDLE(saClmClusterNodeGet_4(b, LOCAL, 0, &n4));
    end();
}

static void test_get_id_0(void)
{
    SaClmClusterNodeT n;
    SaClmClusterNodeT_4 n4;
    begin(1);
    IS(saClmClusterNodeGet(h, 0, SA_TIME_END, &n), ERR_INVALID_PARAM);
    IS(saClmClusterNodeGet_4(h4, 0, SA_TIME_END, &n4), ERR_INVALID_PARAM);
    end();
}

static void test_get_unknown(void)
{
    SaClmClusterNodeT n;
    SaClmClusterNodeT_4 n4;
    begin(2);
    IS(saClmClusterNodeGet(h, 255, SA_TIME_END, &n), ERR_NOT_EXIST);
    IS(saClmClusterNodeGet_4(h4, 170255, SA_TIME_END, &n4), ERR_NOT_EXIST);
    fake_join(50);
    IS(saClmClusterNodeGet(h, 50, SA_TIME_END, &n), OK);
    fake_leave();
    IS(saClmClusterNodeGet(h, 50, SA_TIME_END, &n), ERR_NOT_EXIST);
    end();
}

static void test_get_timeout_negative(void)
{
    SaClmClusterNodeT n;
    SaClmClusterNodeT_4 n4;
    begin(1);
    IS(saClmClusterNodeGet(h, LOCAL, -1, &n), ERR_INVALID_PARAM);
    IS(saClmClusterNodeGet_4(h4, LOCAL, SA_TIME_UNKNOWN, &n4),
       ERR_INVALID_PARAM);
    end();
}

static void test_get_timeout_0(void)
{
    SaClmClusterNodeT n;
    SaClmClusterNodeT_4 n4;
    begin(1);
    IS(saClmClusterNodeGet(h, LOCAL, 0, &n), OK);
    IS(saClmClusterNodeGet_4(h4, LOCAL, 0, &n4), OK);
    end();
}

static void test_get_local(void)
{
    SaClmClusterNodeT n;
    SaClmClusterNodeT_4 n4;
    begin(2);
    IS(saClmClusterNodeGet(h, SA_CLM_LOCAL_NODE_ID, SA_TIME_END, &n), OK);
    CU_ASSERT_EQUAL(n.nodeId, LOCAL);
    IS(saClmClusterNodeGet_4(h4, SA_CLM_LOCAL_NODE_ID, SA_TIME_END, &n4), OK);
    CU_ASSERT_EQUAL(n4.nodeId, LOCAL);
    end();
}

static void test_get_version(void)
{
    SaClmClusterNodeT n;
    SaClmClusterNodeT_4 n4;
    begin(1);
    IS(saClmClusterNodeGet(h4, 255, 0, &n), ERR_VERSION);
    IS(saClmClusterNodeGet_4(h, 255, 0, &n4), ERR_VERSION);
    end();
}

static void test_get_fields(void)
{
    SaClmClusterNodeT n;
    SaClmClusterNodeT_4 n4;
    begin(2);
    memset(&n, 0xff, sizeof n);
    memset(&n4, 0xff, sizeof n4);
    IS(saClmClusterNodeGet(h, 1, SA_TIME_END, &n), OK);
    CU_ASSERT(n.nodeId == 1 && n.member == SA_TRUE);
    CU_ASSERT_EQUAL(n.nodeAddress.family, SA_CLM_AF_INET);
    CU_ASSERT_EQUAL(n.nodeAddress.length, 8);
    CU_ASSERT_STRING_EQUAL((char *)n.nodeAddress.value, "10.0.0.1");
    CU_ASSERT(name_is(&n.nodeName, "node-1"));
    CU_ASSERT_EQUAL(n.nodeName.value[6], 0);
    CU_ASSERT(n.bootTimestamp == BOOT + 1 && n.initialViewNumber == 41);
    IS(saClmClusterNodeGet_4(h4, 1, SA_TIME_END, &n4), OK);
    CU_ASSERT(n4.nodeId == 1 && n4.member == SA_TRUE);
    CU_ASSERT_STRING_EQUAL((char *)n4.nodeAddress.value, "10.0.0.1");
    CU_ASSERT(name_is(&n4.nodeName, "node-1"));
    CU_ASSERT_EQUAL(n4.executionEnvironment.length, 0);
    CU_ASSERT(n4.bootTimestamp == BOOT + 1 && n4.initialViewNumber == 41);
    end();
}

static void test_async_init(void)
{
    const SaClmCallbacksT c = {NULL, on_track};
    const SaClmCallbacksT_4 c4 = {NULL, on_track4};
    fake_start(1);
    h = open_b01(&c);
    h4 = open_b04(&c4);
    IS(saClmClusterNodeGetAsync(h, 1, LOCAL), ERR_INIT);
    IS(saClmClusterNodeGetAsync(h4, 1, LOCAL), ERR_INIT);
    end();
}

static void test_async_invocation_0(void)
{
    begin(1);
    IS(saClmClusterNodeGetAsync(h, 0, LOCAL), ERR_INVALID_PARAM);
    IS(saClmClusterNodeGetAsync(h4, 0, LOCAL), ERR_INVALID_PARAM);
    end();
}

static void test_async_id_0(void)
{
    begin(1);
    IS(saClmClusterNodeGetAsync(h, 1, 0), ERR_INVALID_PARAM);
    IS(saClmClusterNodeGetAsync(h4, 1, 0), ERR_INVALID_PARAM);
    end();
}

static void test_async_unknown(void)
{
    begin(1);
    IS(saClmClusterNodeGetAsync(h, 8, 255), OK);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT(seen.nodes == 1 && seen.invocation == 8);
    CU_ASSERT_EQUAL(seen.error, SA_AIS_ERR_NOT_EXIST);
    CU_ASSERT(seen.node.nodeId == 0 && seen.node.nodeName.length == 0);
    IS(saClmClusterNodeGetAsync(h4, 9, 255), OK);
    IS(saClmDispatch(h4, SA_DISPATCH_ALL), OK);
    CU_ASSERT(seen.nodes == 2 && seen.invocation == 9);
    CU_ASSERT_EQUAL(seen.error, SA_AIS_ERR_NOT_EXIST);
    end();
}

static void test_async(void)
{
    begin(2);
    IS(saClmClusterNodeGetAsync(h, UINT64_MAX, SA_CLM_LOCAL_NODE_ID), OK);
    IS(saClmDispatch(h, SA_DISPATCH_ONE), OK);
    CU_ASSERT(seen.invocation == UINT64_MAX && seen.error == SA_AIS_OK);
    CU_ASSERT_EQUAL(seen.node.nodeId, LOCAL);
    IS(saClmClusterNodeGetAsync(h4, 2, 1), OK);
    IS(saClmDispatch(h4, SA_DISPATCH_ONE), OK);
    CU_ASSERT(seen.nodes == 2 && name_is(&seen.node.nodeName, "node-1"));
    EACH_BAD_HANDLE(saClmClusterNodeGetAsync(b, 1, LOCAL));
    end();
}

static void test_response_param(void)
{
    begin(1);
    IS(saClmResponse_4(h4, 0, SA_CLM_CALLBACK_RESPONSE_OK), ERR_INVALID_PARAM);
    IS(saClmResponse_4(h4, 5, SA_CLM_CALLBACK_RESPONSE_OK), ERR_INVALID_PARAM);
    IS(saClmResponse_4(h4, 5, (SaClmResponseT)0), ERR_INVALID_PARAM);
    IS(saClmResponse_4(h4, 5, (SaClmResponseT)4), ERR_INVALID_PARAM);
    end();
}

static void test_response_bad_handle(void)
{
    begin(1);
    EACH_BAD_HANDLE(saClmResponse_4(b, 1, SA_CLM_CALLBACK_RESPONSE_OK));
    end();
}

static void test_response_version(void)
{
    begin(1);
    IS(saClmResponse_4(h, 1, SA_CLM_CALLBACK_RESPONSE_OK), ERR_VERSION);
    end();
}

/* --- processes and libraries ---------------------------------------------- */

static void test_fork(void)
{
    SaClmClusterNodeT n;
    int status = -1;
    begin(1);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        bool bad =
            saClmFinalize(h) == SA_AIS_ERR_BAD_HANDLE &&
            saClmClusterNodeGet(h4, 1, 0, &n) == SA_AIS_ERR_BAD_HANDLE &&
            saClmDispatch(h, SA_DISPATCH_BLOCKING) == SA_AIS_ERR_BAD_HANDLE;
        SaVersionT v = version('B', 1, 1);
        bool anew = saClmInitialize(&h, &callbacks, &v) == SA_AIS_OK;
        _exit(bad && anew ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    CU_ASSERT_EQUAL(status, 0);
    IS(saClmClusterNodeGet(h, LOCAL, 0, &n), OK);
    end();
}

/* Handles of another library in the same program are none of this one's. */
static void test_other_library(void)
{
    evs_handle_t e = 0;
    SaSelectionObjectT fd;
    int evs_fd;
    begin(1);
    CU_ASSERT_EQUAL(fake.service, IPC_SERVICE_CLM);
    CU_ASSERT_EQUAL(evs_fd_get(h, &evs_fd), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_dispatch(h, CS_DISPATCH_ALL), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_finalize(h), CS_ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_initialize(&e, NULL), CS_OK);
    CU_ASSERT_EQUAL(fake.service, IPC_SERVICE_EVS);
    IS(saClmSelectionObjectGet(e, &fd), ERR_BAD_HANDLE);
    IS(saClmDispatch(e, SA_DISPATCH_ALL), ERR_BAD_HANDLE);
    IS(saClmClusterTrackStop(e), ERR_BAD_HANDLE);
    IS(saClmFinalize(e), ERR_BAD_HANDLE);
    CU_ASSERT_EQUAL(evs_finalize(e), CS_OK);
    end();
}

static void *dispatch_all(void *handle)
{
    for (int i = 0; i < 1000; i++)
        IS(saClmDispatch(*(SaClmHandleT *)handle, SA_DISPATCH_ALL), OK);
    return NULL;
}

/* Several dispatchers beside calls of all kinds: each callback runs once. */
static void test_threads(void)
{
    pthread_t threads[2];
    SaClmClusterNodeT n;
    begin(NODES);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES, NULL), OK);
    for (int i = 0; i < 2; i++)
        CU_ASSERT(pthread_create(&threads[i], NULL, dispatch_all, &h) == 0);
    for (int i = 0; i < 50; i++) {
        fake_join(50);
        IS(saClmClusterNodeGet(h, 50, 0, &n), OK);
        IS(saClmClusterNodeGetAsync(h, 1, LOCAL), OK);
        fake_leave();
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.tracks, 100);
    CU_ASSERT_EQUAL(seen.nodes, 50);
    end();
}

static const struct unit_test tests[] = {
    {"7 Initialize: handle NULL", test_init_handle_null},
    {"7 Initialize: version NULL", test_init_version_null},
    {"7 Initialize: callbacks NULL", test_init_callbacks_null},
    {"7 Initialize: members of callbacks NULL", test_init_members_null},
    {"7 Initialize: C.1.1, B.5.1, B.0.0, 0.0.0, garbage",
     test_init_version_refused},
    {"7 Initialize: minor lower than ours", test_init_minor},
    {"7 Initialize: same process again", test_init_again},
    {"7 Initialize: daemon down", test_init_daemon_down},
    {"common: Initialize, service not synchronized", test_init_not_ready},
    {"common: Initialize, client not authorised", test_init_refused},
    {"7 common: no memory", test_no_memory},
    {"7 SelectionObjectGet: pointer NULL", test_selection_null},
    {"7 SelectionObjectGet: handle 0, -1, finalized",
     test_selection_bad_handle},
    {"common: SelectionObjectGet", test_selection_readable},
    {"7 Dispatch: flags not 1..3", test_dispatch_flags},
    {"7 Dispatch: handle 0, finalized", test_dispatch_bad_handle},
    {"common: Dispatch(ONE)", test_dispatch_one},
    {"common: Dispatch(ALL), reply order", test_dispatch_all},
    {"common: Dispatch(BLOCKING)", test_dispatch_blocking},
    {"common: callbacks call functions", test_dispatch_nested},
    {"7 Finalize: never initialized, second time", test_finalize},
    {"7 common: connection lost", test_connection_lost},
    {"common: daemon dies while a call waits", test_dies_while_dispatching},
    {"7 common: service not ready", test_not_ready},
    {"answers that make no sense", test_nonsense},
    {"7 ClusterTrack: flags 0", test_track_flags_0},
    {"7 ClusterTrack: none of the three", test_track_flags_none},
    {"7 ClusterTrack: CHANGES and CHANGES_ONLY", test_track_flags_both},
    {"7 ClusterTrack: unknown bit", test_track_flags_unknown},
    {"7 ClusterTrack: array of 0 items", test_track_0_items},
    {"7 ClusterTrack: CURRENT, no buffer, no callback",
     test_track_current_init},
    {"7 ClusterTrack: CURRENT, array NULL, no callback",
     test_track_buffer_no_callback},
    {"7 ClusterTrack: CHANGES, no callback", test_track_changes_init},
    {"7 ClusterTrack: the other family", test_track_version},
    {"7 ClusterTrack: buffer too small", test_track_no_space},
    {"7 ClusterTrack: handle 0, -1, finalized", test_track_bad_handle},
    {"7 ClusterTrackStop: no tracking", test_stop_not_exist},
    {"7 ClusterTrackStop: bad handle", test_stop_bad_handle},
    {"7 NotificationFree: pointer NULL", test_free_null},
    {"7 NotificationFree: handle 0, -1", test_free_bad_handle},
    {"7 NotificationFree: the other family", test_free_version},
    {"7 ClusterNodeGet: pointer NULL", test_get_null},
    {"7 ClusterNodeGet: handle 0, -1, finalized", test_get_bad_handle},
    {"7 ClusterNodeGet: node id 0", test_get_id_0},
    {"7 ClusterNodeGet: unknown id, not a member", test_get_unknown},
    {"7 ClusterNodeGet: timeout < 0", test_get_timeout_negative},
    {"7 ClusterNodeGet: timeout 0", test_get_timeout_0},
    {"7 ClusterNodeGet: LOCAL_NODE_ID", test_get_local},
    {"7 ClusterNodeGet: the other family", test_get_version},
    {"3 fields of a node", test_get_fields},
    {"7 ClusterNodeGetAsync: no callback", test_async_init},
    {"7 ClusterNodeGetAsync: invocation 0", test_async_invocation_0},
    {"7 ClusterNodeGetAsync: node id 0", test_async_id_0},
    {"7 ClusterNodeGetAsync: unknown id", test_async_unknown},
    {"4 node-get callback; bad handle", test_async},
    {"7 Response_4: invocation, response", test_response_param},
    {"7 Response_4: bad handle", test_response_bad_handle},
    {"7 Response_4: B.01 handle", test_response_version},
    {"common: fork", test_fork},
    {"handles of another library", test_other_library},
    {"common: several dispatchers, parallel calls", test_threads},
};

int main(void)
{
    return fake_main("clm", tests, sizeof tests / sizeof *tests);
}
