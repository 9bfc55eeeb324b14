/* SPDX-License-Identifier: BSD-3-Clause */
#include "ipc/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* So that no reader finds less than there was when it looked. */
enum { SEALS = F_SEAL_SHRINK | F_SEAL_SEAL };

/* --- the daemon ----------------------------------------------------------- */

int arena_create(struct arena *a, uint64_t size_bytes)
{
    int fd =
        memfd_create("openais-checkpoints", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *at;
    int rc;

    *a = (struct arena){.fd = -1};
    if (fd < 0)
        return -errno;
    at = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (at == MAP_FAILED) {
        rc = -errno;
        close(fd);
        return rc;
    }
    *a = (struct arena){.at = at, .size = size_bytes, .fd = fd};
    (void)madvise(at, size_bytes, MADV_DONTDUMP); /* advice only */
    rc = arena_grow(a, ARENA_STEP);
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, SEALS) != 0)
        rc = -errno;
    if (rc != 0)
        arena_close(a);
    return rc;
}

int arena_create_private(struct arena *a, uint64_t size_bytes)
{
    void *at = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    *a = (struct arena){.fd = -1};
    if (at == MAP_FAILED)
        return -errno;
    a->at = at;
    a->size = size_bytes;
    (void)madvise(at, size_bytes, MADV_DONTDUMP);
    return 0;
}

int arena_reader(const struct arena *a)
{
    char path[32];
    int fd;

    snprintf(path, sizeof path, "/proc/self/fd/%d", a->fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* Else whoever gets the descriptor could open that name for writing. */
    if (fchmod(a->fd, 0) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int arena_grow(const struct arena *a, uint64_t length_bytes)
{
    return a->fd >= 0 && ftruncate(a->fd, (off_t)length_bytes) != 0 ? -errno
                                                                    : 0;
}

void arena_release(const struct arena *a, uint64_t offset, uint64_t bytes)
{
    uint8_t *at = a->at + offset;

    if (a->fd >= 0)
        (void)fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        (off_t)offset, (off_t)bytes);
    else if (madvise(at, bytes, MADV_DONTNEED_LOCKED) != 0)
        (void)madvise(at, bytes, MADV_DONTNEED); /* an older kernel */
}

uint64_t arena_taken(const struct arena *a)
{
    struct stat st;

    return a->fd >= 0 && fstat(a->fd, &st) == 0 ? (uint64_t)st.st_blocks * 512
                                                : 0;
}

void arena_close(struct arena *a)
{
    arena_unmap(a);
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
}

/* --- a client ------------------------------------------------------------- */

/* Where it is to be read. Memory that the process locks would be given to all
 * of it by mmap(): so it comes without access, and is not locked any more when
 * it can be accessed. */
static int map(const struct arena *a, uint64_t from, uint64_t to)
{
    uint8_t *at = a->at + from;
    size_t size = to - from;

    if (mmap(at, size, PROT_NONE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, a->fd,
             (off_t)from) == MAP_FAILED)
        return -errno;
    if (munlock(at, size) != 0 || mprotect(at, size, PROT_READ) != 0)
        return -errno;
    /* Advice only: a child's handles are refused in any case. */
    (void)madvise(at, size, MADV_DONTFORK);
    (void)madvise(at, size, MADV_DONTDUMP);
    return 0;
}

static uint64_t length(const struct arena *a)
{
    struct stat st;

    return fstat(a->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int arena_map(struct arena *a, int fd, uint64_t size_bytes)
{
    int seals = fcntl(fd, F_GET_SEALS), rc;
    void *at;

    *a = (struct arena){.fd = fd};
    if (size_bytes < ARENA_HEADER_SIZE || seals < 0 ||
        (seals & SEALS) != SEALS || length(a) < ARENA_HEADER_SIZE)
        return -EINVAL;
    at = mmap(NULL, size_bytes, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return -errno;
    a->at = at;
    a->size = size_bytes;
    pthread_mutex_init(&a->lock, NULL);
    rc = map(a, 0, ARENA_HEADER_SIZE);
    if (rc != 0)
        arena_unmap(a);
    else
        atomic_init(&a->reach, ARENA_HEADER_SIZE);
    return rc;
}

/* In whole steps, as the daemon takes memory in them, and so that it is rarely
 * called. */
bool arena_reach(struct arena *a, uint64_t end)
{
    uint64_t to = (end + ARENA_STEP - 1) / ARENA_STEP * ARENA_STEP, from;
    bool done;

    if (end > a->size)
        return false;
    pthread_mutex_lock(&a->lock);
    from = atomic_load_explicit(&a->reach, memory_order_relaxed);
    done = end <= from;
    if (!done && to <= length(a) && map(a, from, to) == 0) {
        /* Release: pairs with the acquire of who reads there. */
        atomic_store_explicit(&a->reach, to, memory_order_release);
        done = true;
    }
    pthread_mutex_unlock(&a->lock);
    return done;
}

void arena_unmap(struct arena *a)
{
    if (a->at != NULL)
        munmap(a->at, a->size);
    a->at = NULL;
}
