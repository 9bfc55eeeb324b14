/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* `detail` in front of the remedy that fits nearly every fault. */
__attribute__((format(printf, 4, 5))) static int
refuse(char *error, size_t error_size, int result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, error_size, format, args);
    va_end(args);
    return result;
}

static int check_file(const char *path, int fd, char *error, size_t error_size)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return refuse(error, error_size, -errno, "key file %s: %s", path,
                      strerror(errno));
    if (!S_ISREG(st.st_mode))
        return refuse(error, error_size, -EINVAL,
                      "key file %s: not a regular file; make a key with "
                      "keygen",
                      path);
    if (st.st_uid != geteuid())
        return refuse(error, error_size, -EACCES,
                      "key file %s: belongs to user %u, but this process runs "
                      "as user %u; use: chown %u %s",
                      path, (unsigned)st.st_uid, (unsigned)geteuid(),
                      (unsigned)geteuid(), path);
    if ((st.st_mode & 077) != 0)
        return refuse(error, error_size, -EACCES,
                      "key file %s: mode %04o lets others use the key; use: "
                      "chmod 0400 %s",
                      path, (unsigned)st.st_mode & 07777, path);
    if (st.st_size != CONFIG_KEY_SIZE)
        return refuse(error, error_size, -EINVAL,
                      "key file %s: has %lld bytes, must have exactly %d; "
                      "copy it again or make a new key with keygen",
                      path, (long long)st.st_size, CONFIG_KEY_SIZE);
    return 0;
}

static int read_key(const char *path, int fd, uint8_t key[CONFIG_KEY_SIZE],
                    char *error, size_t error_size)
{
    size_t have = 0;
    while (have < CONFIG_KEY_SIZE) {
        ssize_t n = read(fd, key + have, CONFIG_KEY_SIZE - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse(error, error_size, -errno, "key file %s: %s", path,
                          strerror(errno));
        if (n == 0)
            return refuse(error, error_size, -EINVAL,
                          "key file %s: became shorter while it was read",
                          path);
        have += (size_t)n;
    }
    return 0;
}

/* A file of zeros, of one word again and again, or with a few bytes written. Of
 * 127 pairs of neighbours, a random key has nearly as many different ones. */
static bool repeats_itself(const uint8_t key[CONFIG_KEY_SIZE])
{
    enum { DIFFERENT_MIN = 32 };
    uint8_t seen[65536 / 8] = {0};
    unsigned different = 0;
    for (size_t i = 0; i + 1 < CONFIG_KEY_SIZE; i++) {
        unsigned pair = (unsigned)key[i] << 8 | key[i + 1];
        different += (seen[pair / 8] >> pair % 8 & 1) == 0;
        seen[pair / 8] |= (uint8_t)(1 << pair % 8);
    }
    explicit_bzero(seen, sizeof seen);
    return different < DIFFERENT_MIN;
}

int config_key_load(const char *path, uint8_t key[CONFIG_KEY_SIZE], char *error,
                    size_t error_size)
{
    explicit_bzero(key, CONFIG_KEY_SIZE);
    /* Not blocking, so that a pipe in the file's place does not hang us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return refuse(error, error_size, -errno,
                      "key file %s: %s; make a key with keygen and copy the "
                      "same file to every node",
                      path, strerror(errno));
    int result = check_file(path, fd, error, error_size);
    if (result == 0)
        result = read_key(path, fd, key, error, error_size);
    if (result == 0 && repeats_itself(key))
        result = refuse(error, error_size, -EINVAL,
                        "key file %s: its bytes repeat themselves, so that it "
                        "is no random key; make a new one with keygen",
                        path);
    if (result != 0)
        explicit_bzero(key, CONFIG_KEY_SIZE);
    close(fd);
    return result;
}
