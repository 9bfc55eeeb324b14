/* SPDX-License-Identifier: BSD-3-Clause */
/* test_evs_old.c - openais/evs.h, the form of openais 0.80. */
#include "test/unit/fake_order.h"

#include <openais/evs.h>

static int messages, configurations, last_size, last_members;
static unsigned int last_node;

static void on_message(unsigned int node, void *msg, int size)
{
    last_node = node;
    last_size = memcmp(msg, "hey", 3) == 0 ? size : -1;
    messages++;
}

static void on_configuration(unsigned int *members, int member_count,
                             unsigned int *left, int left_count,
                             unsigned int *joined, int joined_count)
{
    (void)left;
    (void)joined;
    CU_ASSERT_EQUAL(left_count, 0);
    CU_ASSERT_EQUAL(joined_count, 1);
    CU_ASSERT_EQUAL(members[0], NODE);
    last_members = member_count;
    configurations++;
}

static void test_all(void)
{
    evs_callbacks_t callbacks = {on_message, on_configuration};
    struct evs_group g = {"group"};
    struct iovec v = {(char[]){"hey"}, 3};
    unsigned int local = 0, list[4];
    int entries = 4, fd = -1;
    evs_handle_t h;

    CU_ASSERT_EQUAL(evs_initialize(&h, &callbacks), EVS_ERR_TRY_AGAIN);
    start();
    CU_ASSERT_EQUAL_FATAL(evs_initialize(&h, &callbacks), EVS_OK);
    CU_ASSERT_EQUAL(evs_fd_get(h, &fd), EVS_OK);
    CU_ASSERT_EQUAL(evs_membership_get(h, &local, list, &entries), EVS_OK);
    CU_ASSERT_EQUAL(local, NODE);
    CU_ASSERT_EQUAL(entries, 2);
    CU_ASSERT_EQUAL(evs_membership_get(h, NULL, NULL, NULL),
                    EVS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_join(h, &g, 1), EVS_OK);
    CU_ASSERT_EQUAL(evs_join(h, &g, -1), EVS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_mcast_joined(h, EVS_TYPE_SAFE, &v, 1), EVS_OK);
    CU_ASSERT_EQUAL(evs_mcast_groups(h, EVS_TYPE_AGREED, &g, 1, &v, 1), EVS_OK);
    /* 1 means ALL here, not ONE. */
    CU_ASSERT_EQUAL(evs_dispatch(h, EVS_DISPATCH_ONE), EVS_OK);
    CU_ASSERT_EQUAL(configurations, 1);
    CU_ASSERT_EQUAL(last_members, 2);
    CU_ASSERT_EQUAL(messages, 0);
    EVENTUALLY(stats().delivered == 2);
    CU_ASSERT_EQUAL(evs_dispatch(h, EVS_DISPATCH_ALL), EVS_OK);
    CU_ASSERT_EQUAL(messages, 2);
    CU_ASSERT_EQUAL(last_size, 3);
    CU_ASSERT_EQUAL(last_node, NODE);
    CU_ASSERT_EQUAL(evs_leave(h, &g, 1), EVS_OK);
    CU_ASSERT_EQUAL(evs_leave(h, &g, 1), EVS_ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(evs_dispatch(h, (evs_dispatch_t)3), EVS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(evs_finalize(h), EVS_OK);
    CU_ASSERT_EQUAL(evs_finalize(h), EVS_ERR_BAD_HANDLE);
    stop();
}

static const struct unit_test tests[] = {{"openais 0.80 form", test_all}};
FAKE_MAIN("evs, 0.80 form", tests)
