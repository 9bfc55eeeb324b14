/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/limit.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- resources ------------------------------------------------------------ */

static const struct {
    int error;
    enum __rlimit_resource resource;
    const char *what, *names;
} limits[] = {
    {EFBIG, RLIMIT_FSIZE, "the size of a file", "ulimit -f, LimitFSIZE"},
    {EMFILE, RLIMIT_NOFILE, "open files", "ulimit -n, LimitNOFILE"},
    {ENOMEM, RLIMIT_AS, "address space", "ulimit -v, LimitAS"},
    {ENOMEM, RLIMIT_DATA, "data", "ulimit -d, LimitDATA"},
    /* Threads, whose stacks are address space. */
    {EAGAIN, RLIMIT_NPROC, "processes of a user", "ulimit -u, LimitNPROC"},
    {EAGAIN, RLIMIT_AS, "address space", "ulimit -v, LimitAS"},
    {EAGAIN, RLIMIT_DATA, "data", "ulimit -d, LimitDATA"},
};

const char *limit_explain(int error, char text[LIMIT_TEXT_SIZE])
{
    size_t used =
        (size_t)snprintf(text, LIMIT_TEXT_SIZE, "%s", strerror(error));
    bool any = false;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit l;
        if (limits[i].error != error || used >= LIMIT_TEXT_SIZE ||
            getrlimit(limits[i].resource, &l) != 0 ||
            l.rlim_cur == RLIM_INFINITY)
            continue;
        used += (size_t)snprintf(
            text + used, LIMIT_TEXT_SIZE - used,
            "%sthe limit on %s is %llu: %s", any ? "; " : " (", limits[i].what,
            (unsigned long long)l.rlim_cur, limits[i].names);
        any = true;
    }
    if (any && used < LIMIT_TEXT_SIZE)
        snprintf(text + used, LIMIT_TEXT_SIZE - used, ")");
    return text;
}

/* --- privileges ----------------------------------------------------------- */

static uint64_t capabilities_get(void)
{
    struct __user_cap_header_struct header = {.version =
                                                  _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) != 0)
        return 0;
    return data[0].effective | (uint64_t)data[1].effective << 32;
}

/* The first user namespace maps every id to itself. */
static bool in_user_namespace(void)
{
    FILE *f = fopen("/proc/self/uid_map", "re");
    unsigned inside = 0, outside = 0, count = UINT32_MAX;
    if (f == NULL)
        return false;
    if (fscanf(f, "%u %u %u", &inside, &outside, &count) != 3)
        count = UINT32_MAX;
    fclose(f);
    return inside != outside || count != UINT32_MAX;
}

struct limit_process limit_process_get(void)
{
    return (struct limit_process){.root = geteuid() == 0,
                                  .user_namespace = in_user_namespace(),
                                  .capabilities = capabilities_get()};
}

const char *limit_way_to(const struct limit_process *p,
                         enum limit_privilege privilege)
{
    static const struct {
        unsigned capability;
        bool of_host; /* of no use in a user namespace */
        const char *give;
    } ways[] = {
        [LIMIT_REAL_TIME] = {CAP_SYS_NICE, true, "give it CAP_SYS_NICE"},
        [LIMIT_LOCK] = {CAP_IPC_LOCK, true, "give it CAP_IPC_LOCK"},
        [LIMIT_LARGE_BUFFERS] = {CAP_NET_ADMIN, false, "give it CAP_NET_ADMIN"},
    };
    bool has = (p->capabilities >> ways[privilege].capability & 1) != 0;
    if (has && !(p->user_namespace && ways[privilege].of_host))
        return NULL;
    if (p->user_namespace && ways[privilege].of_host)
        return "run it outside of this user namespace";
    return p->root ? ways[privilege].give : "run it as root";
}
