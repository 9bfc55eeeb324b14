/* SPDX-License-Identifier: BSD-3-Clause */
/* form.c - libSaClm: the structures of the two families of the interface. */
#include "api/clm/internal.h"

#include <string.h>

/* What is in the address must leave room for the zero byte behind it. */
enum { ADDRESS_LENGTH_MAX = SA_CLM_MAX_ADDRESS_LENGTH - 1 };

ABI_SIZE(SaNtfCorrelationIdsT, 24);
ABI_SIZE(SaClmNodeAddressT, 72);
ABI_AT(SaClmNodeAddressT, family, 0);
ABI_AT(SaClmNodeAddressT, length, 4);
ABI_AT(SaClmNodeAddressT, value, 6);
ABI_SIZE(SaClmClusterNodeT, 360);
ABI_AT(SaClmClusterNodeT, nodeId, 0);
ABI_AT(SaClmClusterNodeT, nodeAddress, 4);
ABI_AT(SaClmClusterNodeT, nodeName, 76);
ABI_AT(SaClmClusterNodeT, member, 336);
ABI_AT(SaClmClusterNodeT, bootTimestamp, 344);
ABI_AT(SaClmClusterNodeT, initialViewNumber, 352);
ABI_SIZE(SaClmClusterNotificationT, 368);
ABI_AT(SaClmClusterNotificationT, clusterNode, 0);
ABI_AT(SaClmClusterNotificationT, clusterChange, 360);
ABI_SIZE(SaClmClusterNotificationBufferT, 24);
ABI_AT(SaClmClusterNotificationBufferT, viewNumber, 0);
ABI_AT(SaClmClusterNotificationBufferT, numberOfItems, 8);
ABI_AT(SaClmClusterNotificationBufferT, notification, 16);
ABI_SIZE(SaClmClusterNodeT_4, 616);
ABI_AT(SaClmClusterNodeT_4, nodeId, 0);
ABI_AT(SaClmClusterNodeT_4, nodeAddress, 4);
ABI_AT(SaClmClusterNodeT_4, nodeName, 76);
ABI_AT(SaClmClusterNodeT_4, executionEnvironment, 334);
ABI_AT(SaClmClusterNodeT_4, member, 592);
ABI_AT(SaClmClusterNodeT_4, bootTimestamp, 600);
ABI_AT(SaClmClusterNodeT_4, initialViewNumber, 608);
ABI_SIZE(SaClmClusterNotificationT_4, 624);
ABI_AT(SaClmClusterNotificationT_4, clusterNode, 0);
ABI_AT(SaClmClusterNotificationT_4, clusterChange, 616);
ABI_SIZE(SaClmClusterNotificationBufferT_4, 24);
ABI_AT(SaClmClusterNotificationBufferT_4, viewNumber, 0);
ABI_AT(SaClmClusterNotificationBufferT_4, numberOfItems, 8);
ABI_AT(SaClmClusterNotificationBufferT_4, notification, 16);
ABI_SIZE(SaClmCallbacksT, 16);
ABI_SIZE(SaClmCallbacksT_3, 24);
ABI_SIZE(SaClmCallbacksT_4, 16);
ABI_AT(SaClmCallbacksT, saClmClusterTrackCallback, 8);
ABI_AT(SaClmCallbacksT_4, saClmClusterTrackCallback, 8);

_Static_assert(IPC_CLM_CURRENT == SA_TRACK_CURRENT, "flags go as they are");
_Static_assert(IPC_CLM_CHANGES == SA_TRACK_CHANGES, "flags go as they are");
_Static_assert(IPC_CLM_CHANGES_ONLY == SA_TRACK_CHANGES_ONLY, "flags");
_Static_assert(IPC_CLM_LOCAL == SA_TRACK_LOCAL, "flags go as they are");
_Static_assert(IPC_CLM_LEFT == (int)SA_CLM_NODE_LEFT, "changes go as they are");

static void fill_address(SaClmNodeAddressT *to, const struct ipc_clm_node *from)
{
    to->family = (SaClmNodeAddressFamilyT)from->family;
    to->length = from->address_length < ADDRESS_LENGTH_MAX
                     ? from->address_length
                     : ADDRESS_LENGTH_MAX;
    memcpy(to->value, from->address, to->length);
}

void saclm_fill_name(SaNameT *to, const struct ipc_clm_node *from)
{
    to->length = from->name_length < SA_MAX_NAME_LENGTH ? from->name_length
                                                        : SA_MAX_NAME_LENGTH;
    memcpy(to->value, from->name, to->length);
}

static void fill_b01(void *at, const struct ipc_clm_node *from)
{
    SaClmClusterNodeT *to = at;

    memset(to, 0, sizeof *to);
    to->nodeId = from->node_id;
    fill_address(&to->nodeAddress, from);
    saclm_fill_name(&to->nodeName, from);
    to->member = from->member ? SA_TRUE : SA_FALSE;
    to->bootTimestamp = (SaTimeT)from->boot_ns;
    to->initialViewNumber = from->initial_view;
}

static void fill_b04(void *at, const struct ipc_clm_node *from)
{
    SaClmClusterNodeT_4 *to = at;

    memset(to, 0, sizeof *to);
    to->nodeId = from->node_id;
    fill_address(&to->nodeAddress, from);
    saclm_fill_name(&to->nodeName, from);
    to->member = from->member ? SA_TRUE : SA_FALSE;
    to->bootTimestamp = (SaTimeT)from->boot_ns;
    to->initialViewNumber = from->initial_view;
}

static void item_b01(void *array, uint32_t at, const struct ipc_clm_item *from)
{
    SaClmClusterNotificationT *to = (SaClmClusterNotificationT *)array + at;

    memset(to, 0, sizeof *to);
    fill_b01(&to->clusterNode, &from->node);
    to->clusterChange = (SaClmClusterChangesT)from->change;
}

static void item_b04(void *array, uint32_t at, const struct ipc_clm_item *from)
{
    SaClmClusterNotificationT_4 *to = (SaClmClusterNotificationT_4 *)array + at;

    memset(to, 0, sizeof *to);
    fill_b04(&to->clusterNode, &from->node);
    to->clusterChange = (SaClmClusterChangesT)from->change;
}

static void call_track_b01(const struct clm_instance *c,
                           const struct track_news *n)
{
    SaClmClusterNotificationBufferT b = {.viewNumber = n->view,
                                         .numberOfItems = n->count,
                                         .notification = n->array};

    c->callbacks.b01.saClmClusterTrackCallback(&b, n->member_count, n->error);
}

static void call_track_b04(const struct clm_instance *c,
                           const struct track_news *n)
{
    static const SaNtfCorrelationIdsT unused;
    SaClmClusterNotificationBufferT_4 b = {.viewNumber = n->view,
                                           .numberOfItems = n->count,
                                           .notification = n->array};

    c->callbacks.b04.saClmClusterTrackCallback(
        &b, n->member_count, 0, &n->cause, &unused, SA_CLM_CHANGE_COMPLETED,
        SA_TIME_UNKNOWN, n->error);
}

static void call_node_b01(const struct clm_instance *c,
                          SaInvocationT invocation,
                          const struct ipc_clm_node *node, SaAisErrorT error)
{
    SaClmClusterNodeT n;

    fill_b01(&n, node);
    c->callbacks.b01.saClmClusterNodeGetCallback(invocation, &n, error);
}

static void call_node_b04(const struct clm_instance *c,
                          SaInvocationT invocation,
                          const struct ipc_clm_node *node, SaAisErrorT error)
{
    SaClmClusterNodeT_4 n;

    fill_b04(&n, node);
    c->callbacks.b04.saClmClusterNodeGetCallback(invocation, &n, error);
}

const struct form saclm_forms[] = {
    [FAMILY_B01] = {sizeof(SaClmClusterNotificationT),
                    SA_TRACK_CURRENT | CLM_CHANGES | SA_TRACK_LOCAL,
                    {1, {'B', 1, 1}},
                    fill_b01,
                    item_b01,
                    call_track_b01,
                    call_node_b01},
    [FAMILY_B04] = {sizeof(SaClmClusterNotificationT_4),
                    SA_TRACK_CURRENT | CLM_CHANGES | SA_TRACK_LOCAL | CLM_STEPS,
                    {2, {'B', 4, 1}},
                    fill_b04,
                    item_b04,
                    call_track_b04,
                    call_node_b04},
};
