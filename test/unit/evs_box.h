/* SPDX-License-Identifier: BSD-3-Clause */
/* evs_box.h - a user of libevs that remembers what its callbacks saw. */
#ifndef TEST_UNIT_EVS_BOX_H
#define TEST_UNIT_EVS_BOX_H

#include "test/unit/fake_order.h"

#include <corosync/evs.h>

#include <sched.h>

struct box { /* what a handle's callbacks saw */
    _Atomic uint64_t messages, bytes, configurations;
    uint64_t bad;
    uint32_t next[64]; /* expected number, by sender */
    size_t last_size, members, left, joined;
    unsigned int last_node;
    unsigned long long ring_seq;
    uint8_t last[64];
    evs_handle_t finalize, dispatch; /* to be done in the callback */
    cs_error_t result;
};

static void on_message(hdb_handle_t handle, unsigned int node, const void *msg,
                       size_t size)
{
    void *context;
    if (evs_context_get(handle, &context) != CS_OK)
        return;
    struct box *b = context;
    b->last_size = size;
    b->last_node = node;
    memcpy(b->last, msg, size < sizeof b->last ? size : sizeof b->last);
    b->bytes += size;
    b->messages++;
    if (b->finalize != 0) {
        b->result = evs_finalize(b->finalize);
        b->finalize = 0;
    }
    if (b->dispatch != 0) {
        evs_handle_t h = b->dispatch;
        b->dispatch = 0;
        b->result = evs_dispatch(h, CS_DISPATCH_ALL);
    }
}

static void on_configuration(hdb_handle_t handle, const unsigned int *members,
                             size_t member_count, const unsigned int *left,
                             size_t left_count, const unsigned int *joined,
                             size_t joined_count,
                             const struct evs_ring_id *ring)
{
    void *context;
    if (evs_context_get(handle, &context) != CS_OK)
        return;
    struct box *b = context;
    (void)left;
    (void)joined;
    b->members = member_count;
    b->left = left_count;
    b->joined = joined_count;
    b->ring_seq = ring->seq;
    b->bad += member_count > 0 && members[0] != NODE;
    b->bad += b->messages > 0 && b->configurations == 0;
    b->configurations++;
}

static evs_callbacks_t callbacks = {on_message, on_configuration};

static evs_handle_t client(struct box *b)
{
    evs_handle_t h = 0;
    cs_error_t e = evs_initialize(&h, &callbacks);
    CU_ASSERT_EQUAL(e, CS_OK);
    if (e == CS_OK)
        evs_context_set(h, b);
    return h;
}

static struct evs_group group(const char *name)
{
    struct evs_group g = {{0}};
    memcpy(g.key, name, strlen(name));
    return g;
}

static void join(evs_handle_t h, const char *name)
{
    struct evs_group g = group(name);
    CU_ASSERT_EQUAL(evs_join(h, &g, 1), CS_OK);
}

static cs_error_t send_to(evs_handle_t h, const char *name, const void *data,
                          size_t size)
{
    struct evs_group g = group(name);
    struct iovec v = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    cs_error_t e;
    while ((e = evs_mcast_groups(h, EVS_TYPE_AGREED, &g, 1, &v, 1)) ==
           CS_ERR_TRY_AGAIN)
        sched_yield();
    return e;
}

/* Dispatches until `messages` have come, or none for half a minute. */
static void gather(evs_handle_t h, struct box *b, uint64_t messages)
{
    int fd = -1;
    CU_ASSERT_EQUAL(evs_fd_get(h, &fd), CS_OK);
    while (b->messages < messages && readable(fd, 30000))
        if (evs_dispatch(h, CS_DISPATCH_ALL) != CS_OK)
            break;
    CU_ASSERT_EQUAL(b->messages, messages);
}

#endif
