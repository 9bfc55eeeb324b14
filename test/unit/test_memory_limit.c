/* SPDX-License-Identifier: BSD-3-Clause */
/* test_memory_limit.c - what the machine and its cgroups allow, below a root of
 * the test's own. */
#include "test/unit/unit.h"

#include "daemon/base/check.h"
#include "daemon/base/memory_limit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/openais-test-XXXXXX";

/* Makes the folders, too. */
static void put(const char *path, const char *text)
{
    char name[512];
    FILE *f;

    snprintf(name, sizeof name, "%s%s", root, path);
    for (char *at = name + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(name, 0755);
        *at = '/';
    }
    f = fopen(name, "w");
    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
}

static void expect(uint64_t mib, const char *from)
{
    struct memory_limit l;

    memory_limit_get(root, &l);
    CU_ASSERT_EQUAL(l.bytes, mib << 20);
    if (strcmp(l.from, from) != 0)
        printf("\n    %s, not %s", l.from, from);
    CU_ASSERT_STRING_EQUAL(l.from, from);
}

static void test_limits(void)
{
    struct memory_limit l;

    memory_limit_get(root, &l);
    CU_ASSERT_EQUAL(l.bytes, UINT64_MAX);
    put("/proc/meminfo", "MemFree: 5 kB\nMemTotal:  4194304 kB\nX: 1 kB\n");
    expect(4096, "of the machine");
    put("/proc/self/cgroup", "0::/\n");
    expect(4096, "of the machine");
    put("/sys/fs/cgroup/memory.max", "max\n");
    expect(4096, "of the machine");
    put("/sys/fs/cgroup/memory.max", "2147483648\n"); /* a container's */
    expect(2048, "of the cgroup /");
    put("/proc/self/cgroup", "0::/a.slice/b.service\n");
    expect(2048, "of the cgroup /");
    put("/sys/fs/cgroup/a.slice/memory.max", "1073741824\n");
    expect(1024, "of the cgroup /a.slice");
    put("/sys/fs/cgroup/a.slice/b.service/memory.max", "536870912\n");
    expect(512, "of the cgroup /a.slice/b.service");
    put("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
    expect(1024, "of the cgroup /a.slice");
    put("/proc/self/cgroup", "5:cpu:/x\n4:memory:/x/y\n0::/\nnonsense\n");
    expect(2048, "of the cgroup /");
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "268435456\n");
    expect(256, "of the cgroup /x");
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes",
        "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
    expect(128, "of the cgroup /"); /* the path is the host's */
}

static const struct unit_test tests[] = {{"limits", test_limits}};

int main(void)
{
    char command[64];
    int result;

    CHECK(mkdtemp(root) != NULL);
    result = unit_main("memory limit", tests, 1);
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command) == 0 ? result : 2;
}
