/* SPDX-License-Identifier: BSD-3-Clause */
/* heap.h - how many allocations have not been freed. For one file of a program
 * whose calls of these functions the linker wraps (see the Makefile). */
#ifndef TEST_UNIT_HEAP_H
#define TEST_UNIT_HEAP_H

#include <stdint.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

static int64_t heap_count;

void *__wrap_malloc(size_t size)
{
    heap_count++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    heap_count++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    heap_count += p == NULL;
    return __real_realloc(p, size);
}

void __wrap_free(void *p)
{
    heap_count -= p != NULL;
    __real_free(p);
}

#endif
