/* SPDX-License-Identifier: BSD-3-Clause */
/* testevs - a first look at EVS: prints the membership, joins a group, sends
 * 500 messages to the groups it joined and 500 to a group by name, and prints
 * what is delivered, configuration changes too. Status 0: all came back, once
 * and in order. */
#include <corosync/evs.h>

#include "test/evsclient.h"

#include <poll.h>
#include <unistd.h>

enum { SENDS = 500, MEMBERS_MAX = 128, QUIET_MS = 10000 };

static struct {
    evs_handle_t handle;
    unsigned node;
    int pid;
    unsigned delivered; /* own ones, in order */
    bool failed;
} self;

static void fail(const char *what, cs_error_t error)
{
    fprintf(stderr, "testevs: %s: %s (%u): %s\n", what, cs_strerror(error),
            error, error_remedy(error));
    exit(1);
}

static void print_nodes(const char *what, const unsigned int *nodes,
                        size_t count)
{
    printf("  %-8s", what);
    for (size_t i = 0; i < count; i++)
        printf(" %u", nodes[i]);
    puts(count == 0 ? " none" : "");
}

/* Own messages are numbered through: first those by evs_mcast_joined. */
static void on_message(hdb_handle_t handle, unsigned int node, const void *msg,
                       size_t size)
{
    int pid;
    unsigned number;
    char text[128];
    (void)handle;
    snprintf(text, sizeof text, "%.*s", (int)size, (const char *)msg);
    printf("delivered from node %u: %s\n", node, text);
    if (sscanf(text, "message %u of process %d", &number, &pid) != 2) {
        self.failed = true;
        return;
    }
    if (node != self.node || pid != self.pid)
        return;
    if (number != ++self.delivered) {
        fprintf(stderr, "testevs: message %u came, %u was expected\n", number,
                self.delivered);
        self.failed = true;
    }
}

static void on_configuration(hdb_handle_t handle, const unsigned int *members,
                             size_t member_count, const unsigned int *left,
                             size_t left_count, const unsigned int *joined,
                             size_t joined_count,
                             const struct evs_ring_id *ring)
{
    (void)handle;
    (void)ring;
    puts("configuration changed:");
    print_nodes("members", members, member_count);
    print_nodes("left", left, left_count);
    print_nodes("joined", joined, joined_count);
}

/* Delivers what is there; waits for something at most `wait_ms`. False: there
 * was nothing. */
static bool take(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, wait_ms) == 0)
        return false;
    cs_error_t error = evs_dispatch(self.handle, CS_DISPATCH_ALL);
    if (error != CS_OK)
        fail("evs_dispatch", error);
    return true;
}

static void send_one(int fd, const struct evs_group *group, unsigned number)
{
    char text[128];
    int n = snprintf(text, sizeof text, "message %u of process %d by %s",
                     number, self.pid,
                     number <= SENDS ? "evs_mcast_joined" : "evs_mcast_groups");
    struct iovec part = {text, (size_t)n};
    cs_error_t error;
    do {
        error = number <= SENDS
                    ? evs_mcast_joined(self.handle, EVS_TYPE_AGREED, &part, 1)
                    : evs_mcast_groups(self.handle, EVS_TYPE_AGREED, group, 1,
                                       &part, 1);
        if (error == CS_ERR_TRY_AGAIN)
            take(fd, 10);
    } while (error == CS_ERR_TRY_AGAIN);
    if (error != CS_OK)
        fail("evs_mcast", error);
}

static void print_membership(void)
{
    unsigned int members[MEMBERS_MAX];
    size_t count = MEMBERS_MAX;
    cs_error_t error =
        evs_membership_get(self.handle, &self.node, members, &count);
    if (error != CS_OK)
        fail("evs_membership_get", error);
    printf("this is node %u\n", self.node);
    print_nodes("members", members, count);
}

int main(void)
{
    evs_callbacks_t callbacks = {.evs_deliver_fn = on_message,
                                 .evs_confchg_fn = on_configuration};
    struct evs_group groups[2] = {{"testevs one"}, {"testevs two"}};
    int fd;
    self.pid = getpid();
    cs_error_t error = evs_initialize(&self.handle, &callbacks);
    if (error != CS_OK)
        fail("evs_initialize", error);
    print_membership();
    if ((error = evs_join(self.handle, groups, 2)) != CS_OK)
        fail("evs_join", error);
    if ((error = evs_fd_get(self.handle, &fd)) != CS_OK)
        fail("evs_fd_get", error);

    for (unsigned number = 1; number <= 2 * SENDS; number++) {
        send_one(fd, &groups[1], number);
        take(fd, 0);
    }
    while (self.delivered < 2 * SENDS && take(fd, QUIET_MS))
        continue;
    if (self.delivered < 2 * SENDS) {
        fprintf(stderr, "testevs: %u of %d own messages came\n", self.delivered,
                2 * SENDS);
        self.failed = true;
    }
    if ((error = evs_leave(self.handle, groups, 2)) != CS_OK)
        fail("evs_leave", error);
    if ((error = evs_finalize(self.handle)) != CS_OK)
        fail("evs_finalize", error);
    if (!self.failed)
        printf("all %d messages were delivered, in order\n", 2 * SENDS);
    return self.failed ? 1 : 0;
}
