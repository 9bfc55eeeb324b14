/* SPDX-License-Identifier: BSD-3-Clause */
/* lazy.h - large tables that are hardly used cost nothing: a fuzzer that makes
 * them anew for each input would do little else, since a sanitizer marks all of
 * their bytes. Such memory is not watched. Linked with --wrap=calloc,free. */
#ifndef TEST_FUZZ_LAZY_H
#define TEST_FUZZ_LAZY_H

#include "daemon/base/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { LAZY_BYTES = 1 << 20, LAZY_MAX = 8 };

static struct {
    void *at;
    size_t size;
} lazy[LAZY_MAX];

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __real_free(void *p);
void __wrap_free(void *p);

void *__wrap_calloc(size_t count, size_t size)
{
    if (count < 2 || size == 0 || count < LAZY_BYTES / size)
        return __real_calloc(count, size);
    for (int i = 0; i < LAZY_MAX; i++)
        if (lazy[i].at == NULL) {
            lazy[i].size = count * size;
            lazy[i].at = mmap(NULL, lazy[i].size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            CHECK(lazy[i].at != MAP_FAILED);
            return lazy[i].at;
        }
    return __real_calloc(count, size);
}

void __wrap_free(void *p)
{
    for (int i = 0; i < LAZY_MAX && p != NULL; i++)
        if (lazy[i].at == p) {
            munmap(p, lazy[i].size);
            lazy[i].at = NULL;
            return;
        }
    __real_free(p);
}

#endif
