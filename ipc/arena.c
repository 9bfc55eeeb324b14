/* SPDX-License-Identifier: BSD-3-Clause */
#include "ipc/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SEALS_READER = F_SEAL_SHRINK | F_SEAL_GROW,
    SEALS = SEALS_READER | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL
};

static int map(struct arena *a, int fd, uint64_t size, int prot)
{
    void *at = mmap(NULL, size, prot, MAP_SHARED | MAP_NORESERVE, fd, 0);

    if (at == MAP_FAILED)
        return -errno;
    *a = (struct arena){.at = at, .size = size};
    return 0;
}

int arena_create(struct arena *a, uint64_t size_bytes)
{
    int fd =
        memfd_create("openais-checkpoints", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int rc;

    *a = (struct arena){.at = NULL};
    if (fd < 0)
        return -errno;
    rc = ftruncate(fd, (off_t)size_bytes) != 0
             ? -errno
             : map(a, fd, size_bytes, PROT_READ | PROT_WRITE);
    /* Our own mapping stays writable. */
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, SEALS) != 0)
        rc = -errno;
    if (rc == 0)
        return fd;
    arena_unmap(a);
    close(fd);
    return rc;
}

int arena_map(struct arena *a, int fd, uint64_t size_bytes)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS), rc;

    *a = (struct arena){.at = NULL};
    if (size_bytes < ARENA_HEADER_SIZE || seals < 0 ||
        (seals & SEALS_READER) != SEALS_READER || fstat(fd, &st) != 0 ||
        (uint64_t)st.st_size != size_bytes)
        return -EINVAL;
    rc = map(a, fd, size_bytes, PROT_READ);
    if (rc == 0) /* advice only: a child's handles are refused in any case */
        (void)madvise(a->at, a->size, MADV_DONTFORK);
    return rc;
}

void arena_unmap(struct arena *a)
{
    if (a->at != NULL)
        munmap(a->at, a->size);
    *a = (struct arena){.at = NULL};
}
