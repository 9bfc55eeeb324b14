// SPDX-License-Identifier: BSD-3-Clause
/* fuzz_group.c - payloads of any content into the group layer.
 *
 * The input is a list of events: a payload of given length from one of a few
 * senders (members or not), or a new configuration. What comes out must lie
 * within bounds and cost no more than went in. */
#include "daemon/base/check.h"
#include "daemon/group/group.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 700, NODES = 3 };

static uint64_t drain(struct group *g)
{
    struct group_event e;
    uint64_t sum = 0, count = 0;
    while (group_next(g, &e)) {
        CHECK(++count <= 65536);
        if (e.kind == GROUP_EVENT_CONFIGURATION)
            continue;
        CHECK(e.message.data.n <= MESSAGE_MAX);
        for (size_t i = 0; i < e.message.data.n; i++)
            sum += e.message.data.p[i]; /* readable, all of it */
    }
    CHECK(!group_next(g, &e));
    return sum;
}

static void configure(struct group *g, uint8_t shape)
{
    struct totem_configuration c = {.transitional = shape % 2 == 0};
    for (uint32_t id = 1; id <= NODES + 1; id++)
        if ((shape >> id & 1) != 0)
            c.members[c.member_count++] = id;
    struct totem_event e = {.kind = TOTEM_EVENT_CONFIGURATION,
                            .configuration = &c};
    group_receive(g, &e);
    drain(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t sum = 0;
    struct group *g = group_new(&(struct group_config){
        .node_id = 1, .node_max = NODES, .message_size_max = MESSAGE_MAX});
    CHECK(g != NULL);
    configure(g, 0x0f);
    struct reader r = reader_of((struct bytes){data, size});
    while (r.left > 0 && !r.failed) {
        uint8_t what = read_u8(&r);
        if (what >= 0xe0) {
            configure(g, what);
            continue;
        }
        size_t n = read_u16(&r);
        struct bytes b = read_bytes(&r, n < r.left ? n : r.left);
        uint8_t *copy = malloc(b.n + 1);
        CHECK(copy != NULL);
        if (b.n > 0)
            memcpy(copy, b.p, b.n);
        struct totem_event e = {.kind = TOTEM_EVENT_MESSAGE};
        e.message.sender = what % 8;
        e.message.payload = (struct bytes){copy, b.n};
        group_receive(g, &e);
        sum += drain(g);
        free(copy);
    }
    CHECK(sum <= 255 * (uint64_t)size + 255 * (uint64_t)MESSAGE_MAX * size);
    group_free(g);
    return 0;
}
