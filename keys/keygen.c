/* SPDX-License-Identifier: BSD-3-Clause */
/* keygen - makes the key that all nodes of a cluster share: 1024 bits from the
 * kernel's generator, in a file that only its owner can read.
 *
 * The key is written to a temporary file beside its place, brought to the disk,
 * then moved there in one step: no failure leaves a part of a key, and a key
 * that is there already is never replaced unless asked. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef OPENAIS_VERSION
#define OPENAIS_VERSION "unknown"
#endif

enum { KEY_SIZE = 128 };

static const char default_path[] = "/etc/ais/authkey";

struct target {
    const char *path;
    bool force;
    bool directory_made;
    char directory[PATH_MAX];
    char temporary[PATH_MAX];
};

static int complain(const char *what, const char *path, int error)
{
    fprintf(stderr, "keygen: cannot %s %s: %s\n", what, path, strerror(error));
    return -1;
}

static int complain_exists(const char *path)
{
    fprintf(stderr,
            "keygen: %s exists and is not overwritten.\n"
            "  With -f it is; all nodes of the cluster then need the new "
            "key.\n",
            path);
    return -1;
}

static int random_fill(void *buffer, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t n = getrandom((uint8_t *)buffer + have, size - have, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return complain("read", "the kernel's generator", errno);
        have += (size_t)n;
    }
    return 0;
}

/* --- the file ------------------------------------------------------------- */

static int target_names(struct target *t)
{
    uint64_t nonce;
    const char *slash = strrchr(t->path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - t->path);
    if (strlen(t->path) + 32 > PATH_MAX || t->path[0] == '\0')
        return complain("use", t->path, ENAMETOOLONG);
    if (slash == NULL)
        strcpy(t->directory, ".");
    else if (n == 0)
        strcpy(t->directory, "/");
    else
        snprintf(t->directory, sizeof t->directory, "%.*s", (int)n, t->path);
    if (random_fill(&nonce, sizeof nonce) != 0)
        return -1;
    snprintf(t->temporary, sizeof t->temporary, "%s.%016llx", t->path,
             (unsigned long long)nonce);
    return 0;
}

/* One level, /etc/ais: a deeper path that is missing is more likely a slip. */
static int directory_make(struct target *t)
{
    if (mkdir(t->directory, 0755) != 0)
        return errno == EEXIST
                   ? 0
                   : complain("make directory", t->directory, errno);
    t->directory_made = true;
    if (chmod(t->directory, 0755) != 0)
        return complain("set the mode of", t->directory, errno);
    return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(fd, data + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : ENOSPC;
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

static int temporary_write(const struct target *t, const uint8_t *key)
{
    int error = 0;
    int fd = open(t->temporary,
                  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
    if (fd < 0)
        return complain("create", t->temporary, errno);
    /* Whatever the umask took away from 0400. */
    if (fchmod(fd, 0400) != 0 || write_all(fd, key, KEY_SIZE) != 0 ||
        fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && error == 0)
        error = errno;
    return error == 0 ? 0 : complain("write", t->path, error);
}

/* The step that makes the key visible. */
static int temporary_move(const struct target *t)
{
    int r;
    if (t->force) {
        r = rename(t->temporary, t->path);
    } else {
        r = renameat2(AT_FDCWD, t->temporary, AT_FDCWD, t->path,
                      RENAME_NOREPLACE);
        /* Some file systems do not know the flag. */
        if (r != 0 && (errno == EINVAL || errno == ENOSYS)) {
            r = link(t->temporary, t->path);
            if (r == 0)
                unlink(t->temporary);
        }
    }
    if (r != 0 && errno == EEXIST && !t->force)
        return complain_exists(t->path);
    return r == 0 ? 0 : complain("write", t->path, errno);
}

static int directory_sync(const struct target *t)
{
    int fd = open(t->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return complain("open directory", t->directory, errno);
    /* EINVAL: a file system that cannot sync a directory needs no sync. */
    int r = fsync(fd) == 0 || errno == EINVAL
                ? 0
                : complain("sync directory", t->directory, errno);
    close(fd);
    return r;
}

static int key_write(struct target *t, const uint8_t *key)
{
    if (directory_make(t) != 0)
        goto err0;
    if (temporary_write(t, key) != 0)
        goto err1;
    if (temporary_move(t) != 0)
        goto err1;
    return directory_sync(t);
err1:
    unlink(t->temporary);
err0:
    if (t->directory_made)
        rmdir(t->directory);
    return -1;
}

static int key_make(struct target *t)
{
    uint8_t key[KEY_SIZE];
    struct stat st;
    sigset_t all;
    if (!t->force && lstat(t->path, &st) == 0)
        return complain_exists(t->path);
    if (target_names(t) != 0)
        return -1;
    /* From here on an interrupt waits, so that it leaves no temporary file. */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    printf("Gathering %d bits for key from the kernel's generator.\n",
           KEY_SIZE * 8);
    int r = random_fill(key, sizeof key);
    if (r == 0) {
        printf("Writing openais key to %s.\n", t->path);
        fflush(stdout);
        r = key_write(t, key);
    }
    explicit_bzero(key, sizeof key);
    return r;
}

/* --- options -------------------------------------------------------------- */

static void usage(FILE *to)
{
    fprintf(to,
            "usage: keygen [-f] [-o FILE]\n"
            "Makes the key that all nodes of a cluster share.\n"
            "  -o, --output FILE  write to FILE (default %s)\n"
            "  -f, --force        overwrite a key that is there\n"
            "  -h, --help         this text\n"
            "      --version      the version\n",
            default_path);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"force", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0}};
    struct target target = {.path = default_path};
    int c;
    while ((c = getopt_long(argc, argv, "o:fhV", options, NULL)) != -1) {
        switch (c) {
        case 'o':
            target.path = optarg;
            break;
        case 'f':
            target.force = true;
            break;
        case 'h':
            usage(stdout);
            return 0;
        case 'V':
            printf("keygen (openais) %s\n", OPENAIS_VERSION);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "keygen: unexpected argument: %s\n", argv[optind]);
        usage(stderr);
        return 2;
    }
    signal(SIGXFSZ, SIG_IGN); /* a limit that is met is told as an error */
    printf("Openais Authentication key generator.\n");
    fflush(stdout);
    return key_make(&target) == 0 ? 0 : 1;
}
