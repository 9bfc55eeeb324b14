/* SPDX-License-Identifier: BSD-3-Clause */
/* test_clm_track.c - what libSaClm tells of the cluster and its changes: each
 * test is a row of the specification's rules of tracking, named as there. The
 * daemon is made up (fake_clm.h). */
#include "test/unit/clm_box.h"

/* Members as the fake daemon lists them. */
static bool all_members(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (seen.ids[i] != fake.members[i] || seen.member[i] != SA_TRUE ||
            seen.changes[i] != SA_CLM_NODE_NO_CHANGE)
            return false;
    return true;
}

static void test_current_buffer(void)
{
    SaClmClusterNotificationT n[NODES + 1];
    SaClmClusterNotificationBufferT b = {0, NODES + 1, n};
    SaClmClusterNotificationBufferT_4 b4 = {0, 99, NULL};
    begin(NODES);
    memset(n, 0xa5, sizeof n);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), OK);
    CU_ASSERT_EQUAL(b.viewNumber, 400);
    CU_ASSERT_EQUAL(b.numberOfItems, NODES);
    CU_ASSERT_PTR_EQUAL(b.notification, n);
    for (uint32_t i = 0; i < NODES; i++) {
        CU_ASSERT_EQUAL(n[i].clusterNode.nodeId, fake.members[i]);
        CU_ASSERT_EQUAL(n[i].clusterChange, SA_CLM_NODE_NO_CHANGE);
    }
    CU_ASSERT_EQUAL(n[NODES].clusterChange, (SaClmClusterChangesT)0xa5a5a5a5);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CURRENT, &b4), OK);
    CU_ASSERT_EQUAL(b4.viewNumber, 400);
    CU_ASSERT_EQUAL_FATAL(b4.numberOfItems, NODES);
    for (uint32_t i = 0; i < NODES; i++)
        CU_ASSERT_EQUAL(b4.notification[i].clusterNode.nodeId, fake.members[i]);
    IS(saClmClusterNotificationFree_4(h4, b4.notification), OK);
    /* No callback, no tracking. */
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.tracks, 0);
    IS(saClmClusterTrackStop(h), ERR_NOT_EXIST);
    end();
}

/* What malloc() gave: for the callers that know free() alone. */
static void test_current_allocated(void)
{
    SaClmClusterNotificationBufferT b = {0, 1, NULL};
    begin(NODES);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), OK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b.notification);
    CU_ASSERT_EQUAL(b.numberOfItems, NODES);
    free(b.notification);
    end();
}

static void test_current_callbacks(void)
{
    begin(NODES);
    for (int i = 0; i < 5; i++) {
        IS(saClmClusterTrack(h, SA_TRACK_CURRENT, NULL), OK);
        IS(saClmClusterTrack_4(h4, SA_TRACK_CURRENT, NULL), OK);
    }
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.tracks, 5);
    CU_ASSERT(seen.items == NODES && all_members(NODES));
    CU_ASSERT_EQUAL(seen.error, SA_AIS_OK);
    IS(saClmDispatch(h4, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.tracks, 10);
    CU_ASSERT(seen.items == NODES && all_members(NODES));
    end();
}

static void test_changes(void)
{
    begin(2);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES, NULL), OK);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.tracks, 0);
    fake_join(50);
    CU_ASSERT_TRUE(readable(h, 1000));
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.tracks, 1);
    CU_ASSERT(seen.view == 404 && seen.members == 3 && seen.items == 3);
    CU_ASSERT(all_members(2));
    CU_ASSERT(seen.ids[2] == 50 && seen.member[2] == SA_TRUE &&
              seen.changes[2] == SA_CLM_NODE_JOINED);
    fake_leave();
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.tracks, 2);
    CU_ASSERT(seen.view == 408 && seen.members == 2 && seen.items == 3);
    CU_ASSERT(seen.ids[2] == 50 && seen.member[2] == SA_FALSE &&
              seen.changes[2] == SA_CLM_NODE_LEFT);
    end();
}

static void test_changes_only(void)
{
    begin(NODES);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES_ONLY, NULL), OK);
    fake_join(50);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT(seen.tracks == 1 && seen.items == 1 && seen.ids[0] == 50);
    CU_ASSERT_EQUAL(seen.changes[0], SA_CLM_NODE_JOINED);
    CU_ASSERT_EQUAL(seen.members, NODES + 1);
    end();
}

static void test_current_and_changes(void)
{
    SaClmClusterNotificationBufferT b = {0, 0, NULL};
    begin(NODES);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT | SA_TRACK_CHANGES, NULL), OK);
    fake_join(50);
    IS(saClmDispatch(h, SA_DISPATCH_ONE), OK);
    CU_ASSERT(seen.items == NODES && seen.view == 400);
    IS(saClmDispatch(h, SA_DISPATCH_ONE), OK);
    CU_ASSERT(seen.items == NODES + 1 && seen.view == 404);
    IS(saClmClusterTrackStop(h), OK);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT | SA_TRACK_CHANGES_ONLY, &b), OK);
    CU_ASSERT_EQUAL(b.numberOfItems, NODES + 1);
    IS(saClmClusterNotificationFree(h, b.notification), OK);
    fake_leave();
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT(seen.tracks == 3 && seen.items == 1);
    end();
}

static void test_replaced(void)
{
    begin(NODES);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES, NULL), OK);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES_ONLY, NULL), OK);
    fake_join(50);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT(seen.tracks == 1 && seen.items == 1);
    IS(saClmClusterTrackStop(h), OK);
    IS(saClmClusterTrackStop(h), ERR_NOT_EXIST);
    end();
}

/* What is pending is dropped too; what CURRENT asked for is not. */
static void test_stopped(void)
{
    begin(NODES);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT | SA_TRACK_CHANGES, NULL), OK);
    fake_join(50);
    IS(saClmClusterTrackStop(h), OK);
    fake_leave();
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT(seen.tracks == 1 && seen.view == 400);
    end();
}

static void test_local(void)
{
    SaClmClusterNotificationBufferT b = {0, 0, NULL};
    begin(NODES);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT | SA_TRACK_LOCAL, &b), OK);
    CU_ASSERT_EQUAL(b.numberOfItems, 1);
    CU_ASSERT_EQUAL(b.notification->clusterNode.nodeId, LOCAL);
    IS(saClmClusterNotificationFree(h, b.notification), OK);
    IS(saClmClusterTrack_4(
           h4, SA_TRACK_CURRENT | SA_TRACK_CHANGES | SA_TRACK_LOCAL, NULL),
       OK);
    fake_join(50);
    for (int i = 0; i < 2; i++) {
        IS(saClmDispatch(h4, SA_DISPATCH_ONE), OK);
        CU_ASSERT(seen.tracks == i + 1 && seen.items == 1);
        CU_ASSERT(seen.ids[0] == LOCAL &&
                  seen.members == (uint32_t)(NODES + i));
        CU_ASSERT_EQUAL(seen.cause.length, 0);
    }
    end();
}

static void test_steps(void)
{
    begin(1);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CURRENT | SA_TRACK_START_STEP, NULL),
       ERR_BAD_FLAGS);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CURRENT | SA_TRACK_VALIDATE_STEP, NULL),
       ERR_BAD_FLAGS);
    IS(saClmClusterTrack_4(
           h4, SA_TRACK_CHANGES | SA_TRACK_START_STEP | SA_TRACK_VALIDATE_STEP,
           NULL),
       OK);
    fake_join(50);
    IS(saClmDispatch(h4, SA_DISPATCH_ALL), OK);
    CU_ASSERT(seen.tracks == 1 && seen.step == SA_CLM_CHANGE_COMPLETED);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CHANGES_ONLY | SA_TRACK_START_STEP,
                           NULL),
       OK);
    end();
}

static void test_track_4_facts(void)
{
    begin(2);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CURRENT | SA_TRACK_CHANGES, NULL), OK);
    IS(saClmDispatch(h4, SA_DISPATCH_ONE), OK);
    CU_ASSERT_EQUAL(seen.cause.length, 0);
    CU_ASSERT_EQUAL(seen.step, SA_CLM_CHANGE_COMPLETED);
    fake_join(50);
    IS(saClmDispatch(h4, SA_DISPATCH_ONE), OK);
    CU_ASSERT(name_is(&seen.cause, "node-50"));
    CU_ASSERT_EQUAL(seen.step, SA_CLM_CHANGE_COMPLETED);
    CU_ASSERT_EQUAL(seen.track_invocation, 0);
    CU_ASSERT_EQUAL(seen.supervision, SA_TIME_UNKNOWN);
    CU_ASSERT_EQUAL(seen.ids_of_cause.rootCorrelationId,
                    SA_NTF_IDENTIFIER_UNUSED);
    CU_ASSERT(seen.members == 3 && seen.error == SA_AIS_OK);
    end();
}

/* A node that leaves and comes back between two dispatches: two callbacks. */
static void test_order_of_views(void)
{
    begin(2);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES_ONLY, NULL), OK);
    fake_join(50);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    fake_leave();
    fake_join(50);
    IS(saClmDispatch(h, SA_DISPATCH_ONE), OK);
    CU_ASSERT(seen.view == 408 && seen.changes[0] == SA_CLM_NODE_LEFT);
    IS(saClmDispatch(h, SA_DISPATCH_ONE), OK);
    CU_ASSERT(seen.view == 412 && seen.changes[0] == SA_CLM_NODE_JOINED);
    CU_ASSERT_EQUAL(seen.tracks, 3);
    end();
}

static void test_largest_cluster(void)
{
    SaClmClusterNotificationBufferT b = {0, 0, NULL};
    begin(IPC_NODES_MAX);
    FAKE_SET(piece, IPC_CLM_NODES_PER_ANSWER_MAX);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), OK);
    CU_ASSERT_EQUAL_FATAL(b.numberOfItems, IPC_NODES_MAX);
    CU_ASSERT_EQUAL(b.notification[127].clusterNode.nodeId, fake.members[127]);
    IS(saClmClusterNotificationFree(h, b.notification), OK);
    IS(saClmClusterTrack_4(h4, SA_TRACK_CURRENT, NULL), OK);
    IS(saClmDispatch(h4, SA_DISPATCH_ALL), OK);
    CU_ASSERT(seen.items == IPC_NODES_MAX && all_members(IPC_NODES_MAX));
    end();
}

/* A list read in pieces is of one view. */
static void test_view_between_pieces(void)
{
    SaClmClusterNotificationBufferT b = {0, 0, NULL};
    begin(NODES);
    FAKE_SET(spoil, SPOIL_VIEW);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), OK);
    CU_ASSERT_EQUAL(b.viewNumber, 404);
    CU_ASSERT_EQUAL(b.numberOfItems, NODES + 1);
    IS(saClmClusterNotificationFree(h, b.notification), OK);
    b.notification = NULL;
    FAKE_SET(spoil, SPOIL_VIEWS);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT, &b), ERR_TRY_AGAIN);
    CU_ASSERT_PTR_NULL(b.notification);
    end();
}

/* The list is taken again once tracking has begun; if that fails, tracking is
 * as it was before. */
static void test_track_taken_back(void)
{
    SaClmClusterNotificationT n[2];
    SaClmClusterNotificationBufferT b = {0, 2, n};
    begin(2);
    IS(saClmClusterTrack(h, SA_TRACK_CHANGES_ONLY, NULL), OK);
    FAKE_SET(piece, 16);
    FAKE_SET(spoil, SPOIL_VIEW); /* after the first list there is one more */
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT | SA_TRACK_CHANGES, &b),
       ERR_NO_SPACE);
    CU_ASSERT_EQUAL(b.numberOfItems, 3);
    CU_ASSERT_EQUAL(fake.requests, 3);
    fake_join(50);
    IS(saClmDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT(seen.tracks == 1 && seen.items == 1);
    IS(saClmClusterTrackStop(h), OK);
    FAKE_SET(spoil, SPOIL_VIEW);
    b.numberOfItems = 2;
    FAKE_SET(member_count, 2);
    IS(saClmClusterTrack(h, SA_TRACK_CURRENT | SA_TRACK_CHANGES, &b),
       ERR_NO_SPACE);
    IS(saClmClusterTrackStop(h), ERR_NOT_EXIST);
    end();
}

static const struct unit_test tests[] = {
    {"6 CURRENT with a buffer; array large enough", test_current_buffer},
    {"6 array NULL: allocated", test_current_allocated},
    {"6 CURRENT, buffer NULL", test_current_callbacks},
    {"6 CHANGES; 4 members, items", test_changes},
    {"6 CHANGES_ONLY", test_changes_only},
    {"6 CURRENT with one of the two", test_current_and_changes},
    {"6 CHANGES, CHANGES_ONLY in separate calls", test_replaced},
    {"6 stopped with changes pending", test_stopped},
    {"6 LOCAL", test_local},
    {"6 START_STEP, VALIDATE_STEP", test_steps},
    {"4 track: step, invocation, cause, supervision", test_track_4_facts},
    {"6 order; left and back between dispatches", test_order_of_views},
    {"8 largest list", test_largest_cluster},
    {"6 CURRENT: a view while it is read", test_view_between_pieces},
    {"6 CURRENT and CHANGES: taken back", test_track_taken_back},
};

int main(void)
{
    return fake_main("clm tracking", tests, sizeof tests / sizeof *tests);
}
