// SPDX-License-Identifier: BSD-3-Clause
// A library to be preloaded: for its process the time of day is off by as many
// seconds as the file of $WALLCLOCK says, whatever it says at the moment.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock,
                                                         struct timespec *t);

static long offset(void)
{
    const char *path = getenv("WALLCLOCK");
    char text[24] = "";
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    close(fd);
    return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    static _Atomic(int (*)(clockid_t, struct timespec *)) real;
    int rc;

    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT,
                                                            "clock_gettime");
    rc = real(clock, t);
    if (rc == 0 && clock == CLOCK_REALTIME)
        t->tv_sec += offset();
    return rc;
}
