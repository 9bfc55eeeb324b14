/* SPDX-License-Identifier: BSD-3-Clause */
/* clm_box.h - a handle of each family on a made-up daemon, and what their
 * callbacks were given. */
#ifndef TEST_UNIT_CLM_BOX_H
#define TEST_UNIT_CLM_BOX_H

#include "test/unit/fake_clm.h"

#include <openais/saClm.h>

#define IS(call, result) CU_ASSERT_EQUAL(call, SA_AIS_##result)

enum { NODES = 5 };

/* --- what callbacks get --------------------------------------------------- */

enum { SEEN_MAX = 300 };

static struct seen {
    int nodes; /* callbacks */
    _Atomic int tracks;
    SaInvocationT invocation;
    SaAisErrorT error;
    SaClmClusterNodeT node;
    uint32_t items, members;
    uint64_t view;
    uint32_t ids[SEEN_MAX];
    SaClmClusterChangesT changes[SEEN_MAX];
    SaBoolT member[SEEN_MAX];
    /* B.04 */
    SaNameT cause;
    SaInvocationT track_invocation;
    SaClmChangeStepT step;
    SaTimeT supervision;
    SaNtfCorrelationIdsT ids_of_cause;
    void (*inside)(void); /* is run in the callback */
} seen;

static SaClmHandleT h, h4; /* B.01, B.04 */

static void on_node(SaInvocationT invocation, const SaClmClusterNodeT *node,
                    SaAisErrorT error)
{
    seen.nodes++;
    seen.invocation = invocation;
    seen.error = error;
    seen.node = *node;
    if (seen.inside != NULL)
        seen.inside();
}

static void on_node4(SaInvocationT invocation, const SaClmClusterNodeT_4 *node,
                     SaAisErrorT error)
{
    seen.nodes++;
    seen.invocation = invocation;
    seen.error = error;
    seen.node.nodeId = node->nodeId;
    seen.node.nodeName = node->nodeName;
}

static void on_track(const SaClmClusterNotificationBufferT *b,
                     SaUint32T members, SaAisErrorT error)
{
    seen.tracks++;
    seen.error = error;
    seen.view = b->viewNumber;
    seen.members = members;
    seen.items = b->numberOfItems;
    for (uint32_t i = 0; i < b->numberOfItems && i < SEEN_MAX; i++) {
        seen.ids[i] = b->notification[i].clusterNode.nodeId;
        seen.member[i] = b->notification[i].clusterNode.member;
        seen.changes[i] = b->notification[i].clusterChange;
    }
    if (seen.inside != NULL)
        seen.inside();
}

static void on_track4(const SaClmClusterNotificationBufferT_4 *b,
                      SaUint32T members, SaInvocationT invocation,
                      const SaNameT *cause, const SaNtfCorrelationIdsT *ids,
                      SaClmChangeStepT step, SaTimeT supervision,
                      SaAisErrorT error)
{
    seen.tracks++;
    seen.error = error;
    seen.view = b->viewNumber;
    seen.members = members;
    seen.items = b->numberOfItems;
    for (uint32_t i = 0; i < b->numberOfItems && i < SEEN_MAX; i++) {
        seen.ids[i] = b->notification[i].clusterNode.nodeId;
        seen.member[i] = b->notification[i].clusterNode.member;
        seen.changes[i] = b->notification[i].clusterChange;
    }
    seen.track_invocation = invocation;
    seen.cause = *cause;
    seen.ids_of_cause = *ids;
    seen.step = step;
    seen.supervision = supervision;
}

static const SaClmCallbacksT callbacks = {on_node, on_track};
static const SaClmCallbacksT_4 callbacks4 = {on_node4, on_track4};

/* --- tools ---------------------------------------------------------------- */

static inline SaVersionT version(uint8_t release, uint8_t major, uint8_t minor)
{
    return (SaVersionT){release, major, minor};
}

static inline SaClmHandleT open_b01(const SaClmCallbacksT *c)
{
    SaVersionT v = version('B', 1, 1);
    SaClmHandleT handle = 0;
    IS(saClmInitialize(&handle, c, &v), OK);
    return handle;
}

static inline SaClmHandleT open_b04(const SaClmCallbacksT_4 *c)
{
    SaVersionT v = version('B', 4, 1);
    SaClmHandleT handle = 0;
    IS(saClmInitialize_4(&handle, c, &v), OK);
    return handle;
}

/* A daemon of `count` members, a handle of each family. */
static inline void begin(uint32_t count)
{
    memset(&seen, 0, sizeof seen);
    fake_start(count);
    h = open_b01(&callbacks);
    h4 = open_b04(&callbacks4);
}

static inline void end(void)
{
    IS(saClmFinalize(h), OK);
    IS(saClmFinalize(h4), OK);
    fake_kill();
}

static inline int fd_of(SaClmHandleT handle)
{
    SaSelectionObjectT fd = 0;
    IS(saClmSelectionObjectGet(handle, &fd), OK);
    return (int)fd;
}

static inline bool readable(SaClmHandleT handle, int ms)
{
    struct pollfd p = {.fd = fd_of(handle), .events = POLLIN};
    return poll(&p, 1, ms) > 0;
}

static inline bool name_is(const SaNameT *name, const char *text)
{
    return name->length == strlen(text) &&
           memcmp(name->value, text, name->length) == 0;
}

static inline int open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

/* Handles that are none: 0, all ones, small, finalized. */
static inline const SaClmHandleT *bad_handles(void)
{
    static SaClmHandleT bad[5] = {0, UINT64_MAX, 1, 0, 0};
    bad[3] = open_b01(&callbacks);
    bad[4] = open_b04(&callbacks4);
    IS(saClmFinalize(bad[3]), OK);
    IS(saClmFinalize(bad[4]), OK);
    return bad;
}

#define EACH_BAD_HANDLE(call)                                                  \
    do {                                                                       \
        const SaClmHandleT *bad_ = bad_handles();                              \
        for (int i_ = 0; i_ < 5; i_++) {                                       \
            SaClmHandleT b = bad_[i_];                                         \
            CU_ASSERT_EQUAL(call, SA_AIS_ERR_BAD_HANDLE);                      \
        }                                                                      \
    } while (0)

#endif
