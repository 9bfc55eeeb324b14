/* SPDX-License-Identifier: BSD-3-Clause */
/* evs_over_cpg.c - the EVS calls evsbench makes, served by corosync's CPG, so
 * that one benchmark measures both. Compiled against corosync's headers (not
 * api/); the declarations repeat api/corosync/evs.h. One handle, one group. */
#include <corosync/corotypes.h>
#include <corosync/cpg.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { NODES_MAX = 128 };

struct evs_group {
    char key[32];
};

typedef struct {
    void (*deliver)(uint64_t handle, unsigned int node, const void *msg,
                    size_t size);
    void (*change)(uint64_t handle, const unsigned int *members, size_t,
                   const unsigned int *left, size_t, const unsigned int *joined,
                   size_t, const void *ring);
} evs_callbacks_t;

cs_error_t evs_initialize(uint64_t *handle, const evs_callbacks_t *callbacks);
cs_error_t evs_finalize(uint64_t handle);
cs_error_t evs_fd_get(uint64_t handle, int *fd);
cs_error_t evs_dispatch(uint64_t handle, cs_dispatch_flags_t flags);
cs_error_t evs_join(uint64_t handle, const struct evs_group *groups,
                    size_t count);
cs_error_t evs_mcast_joined(uint64_t handle, int guarantee,
                            const struct iovec *parts, unsigned int count);
cs_error_t evs_mcast_groups(uint64_t handle, int guarantee,
                            const struct evs_group *groups, size_t group_count,
                            const struct iovec *parts, unsigned int count);
cs_error_t evs_membership_get(uint64_t handle, unsigned int *node,
                              unsigned int *members, size_t *count);

static evs_callbacks_t calls;

static void on_message(cpg_handle_t handle, const struct cpg_name *group,
                       uint32_t node, uint32_t pid, void *msg, size_t size)
{
    (void)group;
    (void)pid;
    calls.deliver(handle, node, msg, size);
}

/* Members of the group stand for those of the ring: one process a node. */
static void on_change(cpg_handle_t handle, const struct cpg_name *group,
                      const struct cpg_address *members, size_t member_count,
                      const struct cpg_address *left, size_t left_count,
                      const struct cpg_address *joined, size_t joined_count)
{
    unsigned int nodes[NODES_MAX];
    (void)group;
    (void)left;
    (void)joined;
    for (size_t i = 0; i < member_count && i < NODES_MAX; i++)
        nodes[i] = members[i].nodeid;
    calls.change(handle, nodes, member_count, nodes, left_count, nodes,
                 joined_count, NULL);
}

cs_error_t evs_initialize(uint64_t *handle, const evs_callbacks_t *callbacks)
{
    cpg_callbacks_t cpg = {on_message, on_change};
    calls = *callbacks;
    return cpg_initialize(handle, &cpg);
}

cs_error_t evs_finalize(uint64_t handle)
{
    return cpg_finalize(handle);
}

cs_error_t evs_fd_get(uint64_t handle, int *fd)
{
    return cpg_fd_get(handle, fd);
}

cs_error_t evs_dispatch(uint64_t handle, cs_dispatch_flags_t flags)
{
    cs_error_t error = cpg_dispatch(handle, flags);
    return error == CS_ERR_TRY_AGAIN ? CS_OK : error;
}

cs_error_t evs_join(uint64_t handle, const struct evs_group *groups,
                    size_t count)
{
    struct cpg_name name = {.length = 8, .value = "evsbench"};
    (void)groups;
    return count == 1 ? cpg_join(handle, &name) : CS_ERR_NOT_SUPPORTED;
}

cs_error_t evs_mcast_joined(uint64_t handle, int guarantee,
                            const struct iovec *parts, unsigned int count)
{
    return cpg_mcast_joined(handle, (cpg_guarantee_t)guarantee, parts, count);
}

cs_error_t evs_mcast_groups(uint64_t handle, int guarantee,
                            const struct evs_group *groups, size_t group_count,
                            const struct iovec *parts, unsigned int count)
{
    (void)groups;
    (void)group_count;
    return evs_mcast_joined(handle, guarantee, parts, count);
}

cs_error_t evs_membership_get(uint64_t handle, unsigned int *node,
                              unsigned int *members, size_t *count)
{
    (void)members;
    *count = 0;
    return cpg_local_get(handle, node);
}
