/* SPDX-License-Identifier: BSD-3-Clause */
#include "ipc/segment.h"

#include "ipc/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

bool segment_ring_size_ok(uint64_t size_bytes)
{
    return size_bytes >= SEGMENT_RING_SIZE_MIN &&
           size_bytes <= SEGMENT_RING_SIZE_MAX &&
           (size_bytes & (size_bytes - 1)) == 0 &&
           size_bytes % (uint64_t)sysconf(_SC_PAGESIZE) == 0;
}

static bool sizes_ok(const uint32_t ring_size[SEGMENT_RINGS])
{
    for (int i = 0; i < SEGMENT_RINGS; i++)
        if (!segment_ring_size_ok(ring_size[i]))
            return false;
    return true;
}

static off_t total_size(const uint32_t ring_size[SEGMENT_RINGS])
{
    off_t size = SEGMENT_HEADER_SIZE;
    for (int i = 0; i < SEGMENT_RINGS; i++)
        size += ring_size[i];
    return size;
}

/* Reserves twice the address space, then lays the same pages over both halves,
 * so that a record that runs over the end goes on at the beginning. */
static uint8_t *map_twice(int fd, off_t offset, uint32_t size)
{
    const int prot = PROT_READ | PROT_WRITE;
    uint8_t *at = mmap(NULL, 2 * (size_t)size, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return NULL;
    if (mmap(at, size, prot, MAP_SHARED | MAP_FIXED, fd, offset) ==
            MAP_FAILED ||
        mmap(at + size, size, prot, MAP_SHARED | MAP_FIXED, fd, offset) ==
            MAP_FAILED) {
        int error = errno;
        munmap(at, 2 * (size_t)size);
        errno = error;
        return NULL;
    }
    (void)madvise(at, 2 * (size_t)size, MADV_DONTDUMP); /* advice only */
    return at;
}

int segment_create(const uint32_t ring_size[SEGMENT_RINGS])
{
    int fd, error;

    if (!sizes_ok(ring_size))
        return -EINVAL;
    fd = memfd_create("openais-client", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, total_size(ring_size)) != 0 ||
        fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
        error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int segment_map(struct segment *s, int fd,
                const uint32_t ring_size[SEGMENT_RINGS])
{
    struct stat st;
    off_t offset = SEGMENT_HEADER_SIZE;
    int seals, error;

    *s = (struct segment){.shared = NULL};
    if (!sizes_ok(ring_size) || fstat(fd, &st) != 0 ||
        st.st_size != total_size(ring_size))
        return -EINVAL;
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return -EINVAL;

    void *header = mmap(NULL, SEGMENT_HEADER_SIZE, PROT_READ | PROT_WRITE,
                        MAP_SHARED, fd, 0);
    if (header == MAP_FAILED)
        return -errno;
    s->shared = header;
    (void)madvise(header, SEGMENT_HEADER_SIZE, MADV_DONTDUMP);
    for (int i = 0; i < SEGMENT_RINGS; i++) {
        s->data[i] = map_twice(fd, offset, ring_size[i]);
        if (s->data[i] == NULL)
            goto err;
        s->ring_size[i] = ring_size[i];
        offset += ring_size[i];
    }
    return 0;

err:
    error = errno;
    segment_unmap(s);
    return -error;
}

void segment_unmap(struct segment *s)
{
    for (int i = 0; i < SEGMENT_RINGS; i++)
        if (s->data[i] != NULL)
            munmap(s->data[i], 2 * (size_t)s->ring_size[i]);
    if (s->shared != NULL)
        munmap(s->shared, SEGMENT_HEADER_SIZE);
    *s = (struct segment){.shared = NULL};
}

void segment_hide_from_fork(struct segment *s)
{
    /* Advice only: a child's handles are refused in any case. */
    for (int i = 0; i < SEGMENT_RINGS; i++)
        (void)madvise(s->data[i], 2 * (size_t)s->ring_size[i], MADV_DONTFORK);
    (void)madvise(s->shared, SEGMENT_HEADER_SIZE, MADV_DONTFORK);
}

uint8_t *segment_map_private(uint32_t size_bytes)
{
    int fd = memfd_create("openais-overflow", MFD_CLOEXEC);
    uint8_t *at = NULL;

    if (fd < 0)
        return NULL;
    if (ftruncate(fd, size_bytes) == 0)
        at = map_twice(fd, 0, size_bytes);
    close(fd);
    return at;
}

void segment_unmap_private(uint8_t *data, uint32_t size_bytes)
{
    if (data != NULL)
        munmap(data, 2 * (size_t)size_bytes);
}
