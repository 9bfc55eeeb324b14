// SPDX-License-Identifier: BSD-3-Clause
/* test_limit.c - what the system refuses, and what would help. */
#include "daemon/base/limit.h"

#include "test/unit/unit.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>

static void limit_set(enum __rlimit_resource resource, rlim_t soft)
{
    struct rlimit l;
    CU_ASSERT_FATAL(getrlimit(resource, &l) == 0);
    l.rlim_cur = soft < l.rlim_max ? soft : l.rlim_max;
    CU_ASSERT_FATAL(setrlimit(resource, &l) == 0);
}

static void test_limits(void)
{
    char text[LIMIT_TEXT_SIZE];
    CU_ASSERT_STRING_EQUAL(limit_explain(ENOENT, text), strerror(ENOENT));
    limit_set(RLIMIT_FSIZE, RLIM_INFINITY);
    CU_ASSERT_STRING_EQUAL(limit_explain(EFBIG, text), strerror(EFBIG));
    limit_set(RLIMIT_FSIZE, 4096);
    CU_ASSERT_STRING_EQUAL(limit_explain(EFBIG, text),
                           "File too large (the limit on the size of a file is "
                           "4096: ulimit -f, LimitFSIZE)");
    limit_set(RLIMIT_FSIZE, RLIM_INFINITY);
}

/* Several may be why. */
static void test_several_limits(void)
{
    char text[LIMIT_TEXT_SIZE];
    limit_set(RLIMIT_AS, RLIM_INFINITY - 1);
    limit_set(RLIMIT_DATA, RLIM_INFINITY - 1);
    limit_explain(ENOMEM, text);
    CU_ASSERT(strstr(text, "LimitAS; ") != NULL);
    CU_ASSERT(strstr(text, "LimitDATA)") != NULL);
    CU_ASSERT(strlen(text) < sizeof text);
    limit_set(RLIMIT_AS, RLIM_INFINITY);
    limit_set(RLIMIT_DATA, RLIM_INFINITY);
}

static const char *way(bool root, bool user_namespace, int capability,
                       enum limit_privilege privilege)
{
    struct limit_process p = {
        .root = root,
        .user_namespace = user_namespace,
        .capabilities = capability < 0 ? 0 : UINT64_C(1) << capability};
    const char *w = limit_way_to(&p, privilege);
    return w == NULL ? "has it" : w;
}

/* To be root never helps root, nor a capability who has it. */
static void test_ways(void)
{
    static const char outside[] = "run it outside of this user namespace";
    CU_ASSERT_STRING_EQUAL(way(false, false, -1, LIMIT_REAL_TIME),
                           "run it as root");
    CU_ASSERT_STRING_EQUAL(way(true, false, -1, LIMIT_REAL_TIME),
                           "give it CAP_SYS_NICE");
    CU_ASSERT_STRING_EQUAL(way(true, false, CAP_SYS_NICE, LIMIT_REAL_TIME),
                           "has it");
    CU_ASSERT_STRING_EQUAL(way(false, false, CAP_SYS_NICE, LIMIT_REAL_TIME),
                           "has it");
    CU_ASSERT_STRING_EQUAL(way(true, true, CAP_SYS_NICE, LIMIT_REAL_TIME),
                           outside);
    CU_ASSERT_STRING_EQUAL(way(true, true, CAP_IPC_LOCK, LIMIT_LOCK), outside);
    CU_ASSERT_STRING_EQUAL(way(true, false, CAP_SYS_NICE, LIMIT_LOCK),
                           "give it CAP_IPC_LOCK");
    CU_ASSERT_STRING_EQUAL(way(true, true, CAP_NET_ADMIN, LIMIT_LARGE_BUFFERS),
                           "has it");
    CU_ASSERT_STRING_EQUAL(way(true, true, -1, LIMIT_LARGE_BUFFERS),
                           "give it CAP_NET_ADMIN");
}

static const struct unit_test tests[] = {
    {"a limit that is set", test_limits},
    {"several limits", test_several_limits},
    {"ways to a privilege", test_ways},
};
UNIT_MAIN("limit", tests)
