// SPDX-License-Identifier: BSD-3-Clause
/* test_renew.c - when a daemon takes itself for a copy of an earlier state. */
#include "daemon/server/renew.h"

#include "daemon/base/random.h"
#include "test/unit/unit.h"

#include <linux/netlink.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const uint64_t s = 1000000000;

static enum { TRUE_ONE, SET_BACK, NONE } generator;

/* This definition comes before the C library's. */
ssize_t getrandom(void *out, size_t size, unsigned flags)
{
    if (generator == TRUE_ONE)
        return syscall(SYS_getrandom, out, size, flags);
    memset(out, 7, size);
    return generator == SET_BACK ? (ssize_t)size : -1;
}

/* Not while there is a ring; not while nobody is heard; else after 3 s, and
 * then at growing distances. */
static void test_alone(void)
{
    struct renew r = {0};
    uint64_t now, heard = 100;
    unsigned due = 0;
    for (now = s; now < 100 * s; now += s)
        CU_ASSERT(!renew_due(&r, false, ++heard, now));
    for (; now < 200 * s; now += s)
        CU_ASSERT(!renew_due(&r, true, heard, now));
    CU_ASSERT(renew_due(&r, true, heard + 1, now)); /* it has waited enough */
    CU_ASSERT(!renew_due(&r, false, heard, now += s));
    heard += 2;
    for (uint64_t end = now + 100 * s; now < end; now += s) {
        bool renewed = renew_due(&r, true, ++heard, now);
        CU_ASSERT(!renewed || due > 0 || end - now <= 97 * s);
        due += renewed;
    }
    CU_ASSERT(due >= 3 && due <= 8);
}

static void test_message(void)
{
    static const char told[] = "change@/devices/LNXSYSTM:00/VMGENCTR:00\0"
                               "ACTION=change\0SUBSYSTEM=acpi\0"
                               "NEW_VMGENID=1\0SEQNUM=77";
    static const char other[] = "change@/x\0X_NEW_VMGENID=1\0NEW_VMGENID=10";
    CU_ASSERT(generation_in(told, sizeof told));
    CU_ASSERT(!generation_in(other, sizeof other));
    CU_ASSERT(!generation_in(told, 40));
    for (size_t n = 0; n < sizeof told; n++)
        (void)generation_in(told, n);
}

/* Only the kernel is believed. */
static void test_socket(void)
{
    static const char told[] = "change@/x\0NEW_VMGENID=1";
    int fd = generation_open();
    if (fd < 0) {
        printf("no uevents here: %s ", strerror(-fd));
        return;
    }
    CU_ASSERT(!generation_changed(fd));
    struct sockaddr_nl to = {.nl_family = AF_NETLINK};
    socklen_t length = sizeof to;
    CU_ASSERT_FATAL(getsockname(fd, (struct sockaddr *)&to, &length) == 0);
    int other =
        socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    CU_ASSERT_FATAL(other >= 0);
    to.nl_groups = 0;
    (void)sendto(other, told, sizeof told, 0, (struct sockaddr *)&to,
                 sizeof to);
    CU_ASSERT(!generation_changed(fd));
    close(other);
    close(fd);
}

static void test_random(void)
{
    uint8_t a[44] = {0}, b[44] = {0};
    CU_ASSERT(random_fill(a, sizeof a) && random_fill(b, sizeof b));
    CU_ASSERT(memcmp(a, b, sizeof a) != 0);
    for (size_t i = 0; i + 8 <= sizeof a; i += 8)
        CU_ASSERT(memcmp(a + i, "\0\0\0\0\0\0\0", 8) != 0);
}

/* A generator that was set back with the memory gives the same bytes again. */
static void test_random_set_back(void)
{
    uint8_t a[44], b[44];
    generator = SET_BACK;
    CU_ASSERT(random_fill(a, sizeof a));
    usleep(1000);
    CU_ASSERT(random_fill(b, sizeof b));
    CU_ASSERT(memcmp(a, b, sizeof a) != 0);
    generator = NONE;
    CU_ASSERT(!random_fill(a, sizeof a));
    generator = TRUE_ONE;
}

static const struct unit_test tests[] = {
    {"alone, though others are heard", test_alone},
    {"the kernel's message", test_message},
    {"another's message", test_socket},
    {"random bytes", test_random},
    {"random bytes of a host that was set back", test_random_set_back},
};
UNIT_MAIN("renew", tests)
