/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/memory_limit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 4096 };

static void lower(struct memory_limit *limit, uint64_t bytes, const char *what,
                  const char *path)
{
    if (bytes >= limit->bytes)
        return;
    limit->bytes = bytes;
    snprintf(limit->from, sizeof limit->from, "%s%s", what, path);
}

static void machine(const char *root, struct memory_limit *limit)
{
    char path[PATH_SIZE], line[256];
    unsigned long long kib;
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "MemTotal: %llu kB", &kib) == 1)
            lower(limit, kib * 1024, "of the machine", "");
    if (f != NULL)
        fclose(f);
}

/* The number in a file; UINT64_MAX: there is none, as in "max". */
static uint64_t number_in(const char *path)
{
    unsigned long long bytes = UINT64_MAX;
    FILE *f = fopen(path, "re");

    if (f != NULL && fscanf(f, "%llu", &bytes) != 1)
        bytes = UINT64_MAX;
    if (f != NULL)
        fclose(f);
    return bytes;
}

/* A cgroup and all that it is in. In a container the path may be that of the
 * host, which is not there; its last part, "", always is. */
static void cgroup(const char *root, const char *hierarchy, const char *file,
                   char *name, struct memory_limit *limit)
{
    char path[2 * PATH_SIZE], *end;

    for (;;) {
        snprintf(path, sizeof path, "%s/sys/fs/cgroup%s%s/%s", root, hierarchy,
                 strcmp(name, "/") == 0 ? "" : name, file);
        lower(limit, number_in(path), "of the cgroup ",
              name[0] == '\0' ? "/" : name);
        end = strrchr(name, '/');
        if (end == NULL)
            return;
        *end = '\0';
    }
}

/* Lines are "0::/path", and of the first version "number:controllers:/path". */
static void cgroups(const char *root, struct memory_limit *limit)
{
    char path[PATH_SIZE], line[PATH_SIZE];
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *controllers = strchr(line, ':');
        char *name = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (name == NULL)
            continue;
        *controllers++ = *name++ = '\0';
        name[strcspn(name, "\n")] = '\0';
        if (controllers[0] == '\0')
            cgroup(root, "", "memory.max", name, limit);
        else if (strcmp(controllers, "memory") == 0)
            cgroup(root, "/memory", "memory.limit_in_bytes", name, limit);
    }
    if (f != NULL)
        fclose(f);
}

void memory_limit_get(const char *root, struct memory_limit *limit)
{
    *limit = (struct memory_limit){.bytes = UINT64_MAX};
    machine(root, limit);
    cgroups(root, limit);
}
