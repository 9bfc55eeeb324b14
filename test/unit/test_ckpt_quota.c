/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ckpt_quota.c - what one user may have of the checkpoint service. */
#include "test/unit/ckpt_requests.h"

/* Sends it and takes what comes out: a client's request, by a user. */
static enum ipc_error open_as(uint32_t client, uint32_t uid, const char *name,
                              bool dies)
{
    static uint8_t op[CKPT_HEAD_SIZE_MAX];
    struct ckpt *k = world.nodes[1].k;
    struct ipc_ckpt_open o = {.flags = all_flags,
                              .attributes = plain,
                              .name_length = (uint16_t)strlen(name)};
    struct ckpt_request r = {.type = IPC_SUBMIT_CKPT_OPEN,
                             .client = client,
                             .uid = uid,
                             .head = (const uint8_t *)&o,
                             .head_size = sizeof o};
    struct ckpt_outcome out = {.client = 0};
    size_t n;

    memcpy(o.name, name, strlen(name));
    n = ckpt_take(k, &r, op);
    if (dies)
        ckpt_client_gone(k, client);
    if (n > 0)
        CU_ASSERT(ckpt_message(k, 1, (struct bytes){op, n}));
    CU_ASSERT(ckpt_outcome_next(k, &out) != dies || n == 0);
    return (enum ipc_error)out.reply.reply.result;
}

/* What the node sends itself: closes. */
static void send_own(void)
{
    static uint8_t op[CKPT_HEAD_SIZE_MAX];
    struct ckpt *k = world.nodes[1].k;

    while (ckpt_message_kind(k) == REPLICA_INFO)
        CU_ASSERT(
            ckpt_message(k, 1, (struct bytes){op, ckpt_message_write(k, op)}));
}

static void unlink_it(const char *name)
{
    static uint8_t op[CKPT_HEAD_SIZE_MAX];
    struct ckpt *k = world.nodes[1].k;
    struct ipc_ckpt_unlink u = {.name_length = (uint16_t)strlen(name)};
    struct ckpt_request r = {.type = IPC_SUBMIT_CKPT_UNLINK,
                             .client = 2,
                             .head = (const uint8_t *)&u,
                             .head_size = sizeof u};
    struct ckpt_outcome out;

    memcpy(u.name, name, strlen(name));
    CU_ASSERT(ckpt_message(k, 1, (struct bytes){op, ckpt_take(k, &r, op)}));
    CU_ASSERT(ckpt_outcome_next(k, &out));
    CU_ASSERT_EQUAL(out.reply.reply.result, IPC_OK);
}

/* Checkpoints that one user created, those that nobody has open too, however
 * its programs end; another user, and root, may go on. */
static void test_user_checkpoints(void)
{
    enum { ANN = 1000, BOB = 1001 };
    const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    struct ckpt *k;

    start(1, 1 << 20, 20);
    k = world.nodes[1].k;
    k->config.user_checkpoint_max = 3;
    CU_ASSERT_EQUAL(open_as(0, ANN, names[0], false), IPC_OK);
    open_as(0, ANN, names[1], true); /* nobody will have it open */
    CU_ASSERT_EQUAL(open_as(1, ANN, names[2], false), IPC_OK);
    send_own();
    CU_ASSERT_EQUAL(ckpt_stats_get(k).checkpoints, 3);
    CU_ASSERT_EQUAL(open_as(0, ANN, names[3], false), IPC_ERR_NO_RESOURCES);
    CU_ASSERT_EQUAL(open_as(0, ANN, names[2], false), IPC_OK); /* is there */
    CU_ASSERT_EQUAL(open_as(2, BOB, names[3], false), IPC_OK);
    for (int i = 4; i < 6; i++)
        CU_ASSERT_EQUAL(open_as(2, 0, names[i], false), IPC_OK);
    /* What somebody else created does not count for who has it open. */
    CU_ASSERT_EQUAL(open_as(2, BOB, names[2], false), IPC_OK);
    CU_ASSERT_EQUAL(ckpt_user_has(&k->users, ckpt_user_find(&k->users, BOB),
                                  CKPT_CHECKPOINT),
                    1);
    /* Deleted: there is room for another one. */
    unlink_it("a");
    ckpt_client_gone(k, 0);
    send_own();
    CU_ASSERT_EQUAL(open_as(0, ANN, "g", false), IPC_OK);
    CU_ASSERT_EQUAL(open_as(0, ANN, "h", false), IPC_ERR_NO_RESOURCES);
    world_end();
}

/* Handles count until they are closed, and opens that are on their way. */
static void test_user_handles(void)
{
    enum { ANN = 1000, BOB = 1001 };
    uint8_t op[CKPT_HEAD_SIZE_MAX];
    struct ckpt *k;
    struct ipc_ckpt_open o = {.flags = IPC_CKPT_READ, .name_length = 1};
    struct ckpt_request r = {.type = IPC_SUBMIT_CKPT_OPEN,
                             .client = 1,
                             .uid = ANN,
                             .head = (const uint8_t *)&o,
                             .head_size = sizeof o};

    start(1, 1 << 20, 9);
    k = world.nodes[1].k;
    k->config.user_handle_max = 3;
    o.name[0] = 'a';
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(open_as(0, ANN, "a", false), IPC_OK);
    CU_ASSERT(ckpt_take(k, &r, op) > 0);
    CU_ASSERT_EQUAL(open_as(0, ANN, "a", false), IPC_ERR_NO_RESOURCES);
    CU_ASSERT_EQUAL(open_as(2, BOB, "a", false), IPC_OK);
    ckpt_untake(k, 1); /* it was not sent */
    CU_ASSERT_EQUAL(open_as(0, ANN, "a", false), IPC_OK);
    CU_ASSERT_EQUAL(open_as(0, ANN, "a", false), IPC_ERR_NO_RESOURCES);
    ckpt_client_gone(k, 0);
    CU_ASSERT_EQUAL(open_as(0, ANN, "a", false), IPC_ERR_NO_RESOURCES);
    send_own();
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(open_as(0, ANN, "a", false), IPC_OK);
        ckpt_client_gone(k, 0);
        send_own();
    }
    for (int i = 0; i < 9; i++)
        CU_ASSERT_EQUAL(open_as(2, 0, "a", false), IPC_OK);
    world_end();
}

static const struct unit_test tests[] = {
    {"checkpoints of one user", test_user_checkpoints},
    {"handles of one user", test_user_handles}};
UNIT_MAIN("ckpt quota", tests)
