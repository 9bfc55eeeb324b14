/* SPDX-License-Identifier: BSD-3-Clause */
/* flow_box.h - clients of a small ring, filled while the order stands still,
 * and sends that wait in threads of their own. */
#ifndef TEST_UNIT_FLOW_BOX_H
#define TEST_UNIT_FLOW_BOX_H

#include "test/unit/evs_box.h"

enum {
    SMALL_RING = 65536,
    /* What a ring of that size leaves for a message; see client_sizes(). */
    RECORD_MAX = 8 + 8 + IPC_EVS_HEADER_SIZE_MAX + 8,
    SMALL_MAX = SMALL_RING - RECORD_MAX
};

static uint8_t zeroes[MESSAGE_MAX + 1];

static uint64_t now_ns(void)
{
    return server_now_ns();
}

static evs_handle_t small_client(struct box *b)
{
    evs_handle_t h = 0;
    CU_ASSERT_EQUAL_FATAL(evs_initialize_rings(&h, &callbacks, SMALL_RING, 0),
                          CS_OK);
    evs_context_set(h, b);
    join(h, "flow");
    return h;
}

static cs_error_t send_once(evs_handle_t h, size_t size)
{
    struct iovec v = {.iov_base = zeroes, .iov_len = size};
    return evs_mcast_joined(h, EVS_TYPE_AGREED, &v, 1);
}

/* Sends until it is full; how many were taken. */
static uint64_t fill(evs_handle_t h, size_t size)
{
    uint64_t sent = 0;
    cs_error_t e;
    while ((e = send_once(h, size)) == CS_OK)
        sent++;
    CU_ASSERT_EQUAL(e, CS_ERR_TRY_AGAIN);
    return sent;
}

/* A client whose ring is full and stays so; its sends wait for so long. */
static evs_handle_t full_client(struct box *b, int64_t timeout_ns)
{
    evs_handle_t h = small_client(b);
    hold_order();
    fill(h, 1000);
    evs_send_timeout_set(h, timeout_ns);
    return h;
}

/* One send in a thread of its own. */
struct sender {
    evs_handle_t handle;
    size_t size;
    pthread_t thread;
    cs_error_t result;
    uint64_t took_ns;
    _Atomic bool done;
};

static void *sender(void *context)
{
    struct sender *s = context;
    uint64_t begin = now_ns();
    s->result = send_once(s->handle, s->size);
    s->took_ns = now_ns() - begin;
    s->done = true;
    return NULL;
}

static void sender_start(struct sender *s, evs_handle_t h, size_t size)
{
    *s = (struct sender){.handle = h, .size = size};
    CU_ASSERT_FATAL(pthread_create(&s->thread, NULL, sender, s) == 0);
}

/* Its end; the program's, if it waits for ever: nothing can be taken back. */
static void sender_end(struct sender *s)
{
    EVENTUALLY(s->done);
    if (!s->done) {
        fprintf(stderr, "a send waits for ever\n");
        abort();
    }
    pthread_join(s->thread, NULL);
}

#endif
