/* SPDX-License-Identifier: BSD-3-Clause */
/* testclm - a first look at CLM: asks for its own node, then for five nodes by
 * callback, some of which there are not; prints the members, then each change
 * as it comes, until Enter, SIGINT or the daemon's end. --json prints one line
 * of JSON for the members and for each change, and nothing else. Status 0:
 * ended by Enter or SIGINT. */
#include <openais/saClm.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NODE_GETS = 5 };

static bool json;
static volatile sig_atomic_t interrupted;

/* --- errors --------------------------------------------------------------- */

static const char *error_name(SaAisErrorT error)
{
    static const char *const names[] = {"?",
                                        "SA_AIS_OK",
                                        "SA_AIS_ERR_LIBRARY",
                                        "SA_AIS_ERR_VERSION",
                                        "SA_AIS_ERR_INIT",
                                        "SA_AIS_ERR_TIMEOUT",
                                        "SA_AIS_ERR_TRY_AGAIN",
                                        "SA_AIS_ERR_INVALID_PARAM",
                                        "SA_AIS_ERR_NO_MEMORY",
                                        "SA_AIS_ERR_BAD_HANDLE",
                                        "SA_AIS_ERR_BUSY",
                                        "SA_AIS_ERR_ACCESS",
                                        "SA_AIS_ERR_NOT_EXIST"};
    if (error == SA_AIS_ERR_NO_RESOURCES)
        return "SA_AIS_ERR_NO_RESOURCES";
    return (size_t)error < sizeof names / sizeof *names ? names[error]
                                                        : names[0];
}

static const char *remedy(SaAisErrorT error)
{
    if (error == SA_AIS_ERR_TRY_AGAIN || error == SA_AIS_ERR_LIBRARY)
        return "is aisexec running? (OPENAIS_RUNDIR names its run directory)";
    if (error == SA_AIS_ERR_ACCESS)
        return "only root and members of the group ais may connect";
    return "see the log of aisexec";
}

static void report(const char *what, SaAisErrorT error)
{
    fprintf(stderr, "testclm: %s: %s (%d): %s\n", what, error_name(error),
            (int)error, remedy(error));
}

static void check(const char *what, SaAisErrorT error)
{
    if (error == SA_AIS_OK)
        return;
    report(what, error);
    exit(1);
}

/* --- printing ------------------------------------------------------------- */

static const char *change_name(SaClmClusterChangesT change)
{
    switch (change) {
    case SA_CLM_NODE_NO_CHANGE:
        return "no change";
    case SA_CLM_NODE_JOINED:
        return "joined";
    case SA_CLM_NODE_LEFT:
        return "left";
    case SA_CLM_NODE_RECONFIGURED:
        return "reconfigured";
    case SA_CLM_NODE_UNLOCK:
    case SA_CLM_NODE_SHUTDOWN:
        break;
    }
    return "?";
}

static void print_node(const SaClmClusterNodeT *n)
{
    char boot[32] = "?";
    time_t s = (time_t)(n->bootTimestamp / SA_TIME_ONE_SECOND);
    struct tm tm;

    if (gmtime_r(&s, &tm) != NULL)
        strftime(boot, sizeof boot, "%Y-%m-%d %H:%M:%S", &tm);
    printf("%u  %.*s  %.*s  member %d  booted %s UTC  since view %llu",
           n->nodeId, (int)n->nodeName.length, (const char *)n->nodeName.value,
           (int)n->nodeAddress.length, (const char *)n->nodeAddress.value,
           (int)n->member, boot, n->initialViewNumber);
}

/* In quotes; bytes that are not plain ASCII are shown by their number. */
static void print_string(const SaUint8T *text, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++)
        if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '"' ||
            text[i] == '\\')
            printf("\\u%04x", text[i]);
        else
            putchar(text[i]);
    putchar('"');
}

static void print_json(const SaClmClusterNotificationBufferT *b,
                       SaUint32T members)
{
    printf("{\"view\":%llu,\"members\":%u,\"nodes\":[", b->viewNumber, members);
    for (SaUint32T i = 0; i < b->numberOfItems; i++) {
        const SaClmClusterNotificationT *n = &b->notification[i];
        printf("%s{\"id\":%u,\"name\":", i > 0 ? "," : "",
               n->clusterNode.nodeId);
        print_string(n->clusterNode.nodeName.value,
                     n->clusterNode.nodeName.length);
        printf(",\"address\":");
        print_string(n->clusterNode.nodeAddress.value,
                     n->clusterNode.nodeAddress.length);
        printf(",\"member\":%s,\"change\":\"%s\",\"boot_ns\":%lld,"
               "\"initial_view\":%llu}",
               n->clusterNode.member ? "true" : "false",
               change_name(n->clusterChange), n->clusterNode.bootTimestamp,
               n->clusterNode.initialViewNumber);
    }
    puts("]}");
}

/* --- callbacks ------------------------------------------------------------ */

static void on_node(SaInvocationT invocation, const SaClmClusterNodeT *node,
                    SaAisErrorT error)
{
    printf("node get %llu: %s (%d)", invocation, error_name(error), (int)error);
    if (error == SA_AIS_OK) {
        printf(": ");
        print_node(node);
    }
    putchar('\n');
}

static void on_track(const SaClmClusterNotificationBufferT *b,
                     SaUint32T members, SaAisErrorT error)
{
    if (error != SA_AIS_OK) {
        report("track callback", error);
    } else if (json) {
        print_json(b, members);
    } else {
        printf("view %llu, %u member%s\n", b->viewNumber, members,
               members == 1 ? "" : "s");
        for (SaUint32T i = 0; i < b->numberOfItems; i++) {
            printf("  %-9s  ", change_name(b->notification[i].clusterChange));
            print_node(&b->notification[i].clusterNode);
            putchar('\n');
        }
    }
    fflush(stdout);
}

/* --- the program ---------------------------------------------------------- */

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void ask_for_nodes(SaClmHandleT handle)
{
    const SaClmNodeIdT ids[NODE_GETS] = {SA_CLM_LOCAL_NODE_ID, 170255, 255,
                                         SA_CLM_LOCAL_NODE_ID, 254};
    SaClmClusterNodeT self;

    check("saClmClusterNodeGet",
          saClmClusterNodeGet(handle, SA_CLM_LOCAL_NODE_ID,
                              10 * SA_TIME_ONE_SECOND, &self));
    printf("this is node ");
    print_node(&self);
    putchar('\n');
    for (SaInvocationT i = 0; i < NODE_GETS; i++)
        check("saClmClusterNodeGetAsync",
              saClmClusterNodeGetAsync(handle, i + 1, ids[i]));
}

/* True: Enter was pressed. The end of the input is not Enter. */
static bool read_enter(struct pollfd *input)
{
    char bytes[64];
    ssize_t n;

    if (input->revents == 0)
        return false;
    n = read(input->fd, bytes, sizeof bytes);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        input->fd = -1;
    return n > 0 && memchr(bytes, '\n', (size_t)n) != NULL;
}

/* Callbacks until the end that the user wants, or another. SIGINT comes while
 * ppoll() waits, and only then. */
static SaAisErrorT follow(SaClmHandleT handle, int fd, const sigset_t *waiting)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN},
                          {.fd = STDIN_FILENO, .events = POLLIN}};

    for (;;) {
        if (ppoll(p, 2, NULL, waiting) < 0)
            p[0].revents = p[1].revents = 0;
        if (interrupted || read_enter(&p[1]))
            return SA_AIS_OK;
        if (p[0].revents == 0)
            continue;
        SaAisErrorT error = saClmDispatch(handle, SA_DISPATCH_ALL);
        fflush(stdout);
        if (error != SA_AIS_OK)
            return error;
    }
}

int main(int argc, char **argv)
{
    const SaClmCallbacksT callbacks = {on_node, on_track};
    const struct sigaction action = {.sa_handler = on_signal};
    SaVersionT version = {'B', 1, 1};
    SaClmHandleT handle;
    SaSelectionObjectT fd;
    SaAisErrorT error;
    sigset_t blocked, before;

    json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc > 1 && !json) {
        fprintf(stderr, "usage: testclm [--json]\n");
        return 2;
    }
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    sigaction(SIGINT, &action, NULL);
    check("saClmInitialize", saClmInitialize(&handle, &callbacks, &version));
    check("saClmSelectionObjectGet", saClmSelectionObjectGet(handle, &fd));
    if (!json)
        ask_for_nodes(handle);
    check("saClmClusterTrack",
          saClmClusterTrack(handle, SA_TRACK_CURRENT | SA_TRACK_CHANGES_ONLY,
                            NULL));
    sigdelset(&before, SIGINT);
    error = follow(handle, (int)fd, &before);
    if (error != SA_AIS_OK)
        report("saClmDispatch", error);
    check("saClmFinalize", saClmFinalize(handle));
    return error == SA_AIS_OK ? 0 : 1;
}
