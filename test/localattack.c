/* SPDX-License-Identifier: BSD-3-Clause */
/* localattack.c - one attack of a local user on his daemon, for some seconds;
 * or an honest program that measures how long it is kept waiting meanwhile
 * (test/cluster/local.sh).
 *
 *   localattack NAME SECONDS [COUNT]
 *
 * The names are in the table at the end. An attacker that is refused more goes
 * on with what it has, and says how much that is. */
#include "test/evsclient.h"

#include "ipc/channel.h"

#include <corosync/evs.h>
#include <openais/saCkpt.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS_MAX = 1024, HANDLES_MAX = 4000 };

static uint64_t end_ns;
static uint32_t count; /* from the command line; 0: the attack's own */

__attribute__((format(printf, 1, 2), noreturn)) static void
die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static void sleep_us(long us)
{
    struct timespec t = {.tv_sec = us / 1000000,
                         .tv_nsec = us % 1000000 * 1000};

    nanosleep(&t, NULL);
}

static bool goes_on(void)
{
    return now_ns() < end_ns;
}

/* --- threads -------------------------------------------------------------- */

/* Each has a number, below how many there are. */
static void in_threads(uint32_t n, void *(*run)(void *))
{
    static pthread_t threads[THREADS_MAX];
    uint32_t started = 0;

    while (started < n && started < THREADS_MAX &&
           pthread_create(&threads[started], NULL, run,
                          (void *)(uintptr_t)started) == 0)
        started++;
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

/* --- EVS: many handles in one group --------------------------------------- */

static evs_handle_t handles[HANDLES_MAX];

static evs_handle_t evs_new(evs_callbacks_t *callbacks)
{
    evs_handle_t h;
    cs_error_t e;

    for (int i = 0; (e = evs_initialize(&h, callbacks)) != CS_OK; i++) {
        if (e != CS_ERR_TRY_AGAIN || i > 500)
            return 0;
        sleep_us(10000);
    }
    return h;
}

static const struct evs_group flood = {.key = "flood"};

/* Handles that join a group and read nothing, but for the last, which sends. */
static void fanout(uint32_t n, size_t size)
{
    static char data[1 << 20];
    struct iovec v = {.iov_base = data, .iov_len = size};
    uint32_t there = 0;
    uint64_t sent = 0;

    for (; there < n && there < HANDLES_MAX; there++) {
        handles[there] = evs_new(NULL);
        if (handles[there] == 0)
            break;
        if (there < n - 1 && evs_join(handles[there], &flood, 1) != CS_OK)
            break;
    }
    printf("%u handles\n", there);
    fflush(stdout);
    while (there > 0 && goes_on())
        if (evs_mcast_groups(handles[there - 1], EVS_TYPE_AGREED, &flood, 1, &v,
                             1) == CS_OK)
            sent++;
        else
            sleep_us(200);
    printf("%" PRIu64 " messages\n", sent);
}

static void attack_fanout(void)
{
    fanout(count ? count : 900, 100);
}

/* The event rings and overflows of all of them fill. */
static void attack_memory(void)
{
    fanout(count ? count : 150, 60000);
}

/* 64 handles, each with as many joins waiting as there is room for. */
static void *requests(void *number)
{
    evs_handle_t h = evs_new(NULL);
    struct evs_group g[50];

    memset(g, 0, sizeof g);
    for (uint32_t i = 0; i < 50; i++)
        snprintf(g[i].key, sizeof g[i].key, "r%u.%u",
                 (unsigned)(uintptr_t)number, i);
    while (h != 0 && goes_on()) {
        evs_join(h, g, 50);
        evs_leave(h, g, 50);
    }
    return NULL;
}

static void attack_requests(void)
{
    in_threads(count ? count : 64, requests);
}

/* --- EVS: a bell, with nothing to take ------------------------------------ */

static int door(void)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (channel_address(&address, channel_run_dir()) != 0 || fd < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("cannot connect");
    return fd;
}

static void attack_bell(void)
{
    const struct ipc_hello hello = {.magic = IPC_MAGIC,
                                    .version = IPC_VERSION,
                                    .size = sizeof hello,
                                    .service = IPC_SERVICE_EVS};
    struct ipc_welcome welcome;
    int fd = door(), fds[CHANNEL_FDS_MAX];
    const uint64_t one = 1;
    uint64_t rung = 0, noise;
    size_t n;

    if (channel_send(fd, &hello, sizeof hello, NULL, 0, true) != 0 ||
        channel_receive(fd, &welcome, sizeof welcome, fds, CHANNEL_FDS_MAX, &n,
                        true) != sizeof welcome ||
        welcome.result != IPC_OK)
        die("not let in");
    while (goes_on()) {
        /* Read here, so that it is not full: who rings is to be told of. */
        if (write(fds[IPC_FD_BELL], &one, sizeof one) == sizeof one)
            rung++;
        if (rung % 1024 == 0 &&
            read(fds[IPC_FD_BELL], &noise, sizeof noise) < 0)
            break;
    }
    printf("%" PRIu64 " times\n", rung);
}

/* --- descriptors whose last close waits ----------------------------------- */

/* A connection whose peer takes nothing, full, which lingers. */
static int sticky(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static char data[1 << 20];
    struct linger linger = {.l_onoff = 1, .l_linger = 20};
    socklen_t size = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(listener, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&a, &size) != 0 ||
        connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        die("no connection to be sent");
    for (int empty = 0; empty < 20;) {
        if (send(fd, data, sizeof data, MSG_DONTWAIT) < 0) {
            sleep_us(1000);
            empty++;
        }
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    return fd; /* the listener stays, or the kernel gives it up */
}

/* Sent before the daemon has said whether it lets us in, or is told that it
 * does not. */
static void attack_descriptors(void)
{
    uint32_t n = count ? count : 4, sent = 0;
    char byte = 0;

    for (uint32_t i = 0; i < n; i++) {
        int fd = door(), gift = sticky();
        if (channel_send(fd, &byte, 1, &gift, 1, true) == 0) {
            sent++;
            close(gift);
        } /* else the last close would be ours */
        close(fd);
    }
    printf("%u sent\n", sent);
    fflush(stdout);
    while (goes_on())
        sleep_us(10000);
}

/* --- CKPT ----------------------------------------------------------------- */

static const SaCkptCheckpointOpenFlagsT all_flags = SA_CKPT_CHECKPOINT_CREATE |
                                                    SA_CKPT_CHECKPOINT_READ |
                                                    SA_CKPT_CHECKPOINT_WRITE;

static SaCkptHandleT ckpt_new(void)
{
    SaCkptHandleT h;
    SaAisErrorT e = SA_AIS_ERR_TRY_AGAIN;

    for (int i = 0; i < 500 && e == SA_AIS_ERR_TRY_AGAIN; i++) {
        SaVersionT version = {'B', 1, 1};
        e = saCkptInitialize(&h, NULL, &version);
        if (e == SA_AIS_ERR_TRY_AGAIN)
            sleep_us(10000);
    }
    return e == SA_AIS_OK ? h : 0;
}

static SaAisErrorT ckpt_open_of(SaCkptHandleT h, const char *text,
                                SaUint32T sections,
                                SaCkptCheckpointHandleT *checkpoint)
{
    const SaCkptCheckpointCreationAttributesT a = {
        .creationFlags = SA_CKPT_WR_ALL_REPLICAS,
        .checkpointSize = (SaSizeT)1 << 40,
        .retentionDuration = 0,
        .maxSections = sections,
        .maxSectionSize = (SaSizeT)1 << 40,
        .maxSectionIdSize = 32};
    SaNameT name = {.length = (SaUint16T)strlen(text)};
    SaAisErrorT e = SA_AIS_ERR_TRY_AGAIN;

    memcpy(name.value, text, name.length);
    for (int i = 0; i < 500 && e == SA_AIS_ERR_TRY_AGAIN; i++) {
        e = saCkptCheckpointOpen(h, &name, &a, all_flags, SA_TIME_END,
                                 checkpoint);
        if (e == SA_AIS_ERR_TRY_AGAIN)
            sleep_us(10000);
    }
    return e;
}

static SaAisErrorT ckpt_open(SaCkptHandleT h, const char *text,
                             SaCkptCheckpointHandleT *checkpoint)
{
    return ckpt_open_of(h, text, 1u << 31, checkpoint);
}

static SaAisErrorT section_new(SaCkptCheckpointHandleT c, const char *text,
                               SaTimeT expires, const void *data, SaSizeT size)
{
    SaCkptSectionIdT id = {.idLen = (SaUint16T)strlen(text),
                           .id = (SaUint8T *)(uintptr_t)text};
    SaCkptSectionCreationAttributesT a = {.sectionId = &id,
                                          .expirationTime = expires};

    return saCkptSectionCreate(c, &a, data, size);
}

/* Bytes far from each other in a sparse section of nearly 2,000 MiB. */
static void *vector(void *number)
{
    enum { N = 254 };
    static char byte = 1;
    const SaSizeT large = (SaSizeT)1900 << 20;
    SaCkptIOVectorElementT v[N];
    SaCkptCheckpointHandleT c;
    SaUint32T at;
    uint64_t written = 0;
    SaAisErrorT e = SA_AIS_OK;
    SaCkptHandleT h = ckpt_new();

    if (h == 0 || ckpt_open_of(h, "vector", 1, &c) != SA_AIS_OK)
        return NULL;
    for (uint32_t i = 0; i < N; i++)
        v[i] = (SaCkptIOVectorElementT){.sectionId = SA_CKPT_DEFAULT_SECTION_ID,
                                        .dataBuffer = &byte,
                                        .dataSize = 1,
                                        .dataOffset =
                                            large / N * i + (uintptr_t)number};
    /* As large as it gets; the growth of each element counts by itself. */
    saCkptCheckpointWrite(c, &v[N - 1], 1, &at);
    while (goes_on()) {
        e = saCkptCheckpointWrite(c, v, N, &at);
        if (e == SA_AIS_OK)
            written++;
        else
            sleep_us(1000);
    }
    if (number == NULL)
        printf("%" PRIu64 " writes by the first, the last: error %d\n", written,
               (int)e);
    return NULL;
}

static void attack_vector(void)
{
    in_threads(count ? count : 20, vector);
}

/* Makes `many` sections by many threads. */
enum { MAKERS = 64 };
static SaTimeT expiration;
static uint32_t many;
static _Atomic uint32_t made;

static void *make_sections(void *number)
{
    SaCkptCheckpointHandleT c;
    char id[32];
    SaCkptHandleT h = ckpt_new();

    if (h == 0 || ckpt_open(h, "many", &c) != SA_AIS_OK)
        return NULL;
    for (uint32_t i = 0; i < many / MAKERS && goes_on(); i++) {
        snprintf(id, sizeof id, "%u.%u", (unsigned)(uintptr_t)number, i);
        if (section_new(c, id, expiration, "", 0) == SA_AIS_OK)
            made++;
    }
    saCkptFinalize(h);
    return NULL;
}

static SaTimeT wall_ns(void)
{
    return (SaTimeT)clock_ns(CLOCK_REALTIME);
}

static void attack_expire(void)
{
    SaCkptCheckpointHandleT c;
    SaCkptHandleT h = ckpt_new();

    many = count ? count : 300000;
    expiration = wall_ns() + (SaTimeT)(end_ns - now_ns()) * 2 / 3;
    if (h == 0 || ckpt_open(h, "many", &c) != SA_AIS_OK)
        die("no checkpoint");
    in_threads(MAKERS, make_sections);
    printf("%u sections\n", made);
    fflush(stdout);
    while (goes_on())
        sleep_us(10000);
}

static void attack_unlink(void)
{
    SaNameT name = {.length = 4, .value = "many"};
    SaCkptCheckpointHandleT c;
    SaCkptHandleT h = ckpt_new();

    many = count ? count : 300000;
    expiration = SA_TIME_END;
    if (h == 0 || ckpt_open(h, "many", &c) != SA_AIS_OK)
        die("no checkpoint");
    in_threads(MAKERS, make_sections);
    printf("%u sections\n", made);
    fflush(stdout);
    saCkptCheckpointUnlink(h, &name);
    saCkptCheckpointClose(c);
    while (goes_on())
        sleep_us(10000);
}

static void *delete_sections(void *number)
{
    SaCkptCheckpointHandleT c;
    char text[32];
    SaCkptHandleT h = ckpt_new();

    if (h == 0 || ckpt_open(h, "many", &c) != SA_AIS_OK)
        return NULL;
    for (uint32_t i = 0; i < many / MAKERS && goes_on(); i++) {
        snprintf(text, sizeof text, "%u.%u", (unsigned)(uintptr_t)number, i);
        SaCkptSectionIdT id = {.idLen = (SaUint16T)strlen(text),
                               .id = (SaUint8T *)text};
        saCkptSectionDelete(c, &id);
    }
    saCkptFinalize(h);
    return NULL;
}

static void *iterate(void *number)
{
    SaCkptCheckpointHandleT c;
    SaCkptSectionIterationHandleT it;
    SaCkptSectionDescriptorT d;
    SaCkptHandleT h = ckpt_new();
    uint64_t looks = 0;

    if (h == 0 || ckpt_open(h, "many", &c) != SA_AIS_OK)
        return NULL;
    for (; goes_on(); looks++) {
        if (saCkptSectionIterationInitialize(c, SA_CKPT_SECTIONS_ANY, 0, &it) !=
            SA_AIS_OK)
            break;
        saCkptSectionIterationNext(it, &d);
        saCkptSectionIterationFinalize(it);
    }
    if (number == NULL)
        printf("%" PRIu64 " looks by the first\n", looks);
    return NULL;
}

/* Many threads iterate over what was deleted. */
static void attack_tombstones(void)
{
    SaCkptCheckpointHandleT c;
    SaCkptHandleT h = ckpt_new();

    many = count ? count : 300000;
    expiration = SA_TIME_END;
    if (h == 0 || ckpt_open(h, "many", &c) != SA_AIS_OK)
        die("no checkpoint");
    in_threads(MAKERS, make_sections);
    section_new(c, "last", SA_TIME_END, "", 0);
    in_threads(MAKERS, delete_sections);
    printf("%u sections\n", made);
    fflush(stdout);
    in_threads(MAKERS, iterate);
}

/* A section of which nearly nothing is there, for nodes that come. */
static void attack_holes(void)
{
    SaCkptCheckpointHandleT c;
    SaCkptHandleT h = ckpt_new();
    SaUint32T at;
    SaCkptIOVectorElementT v = {
        .sectionId = {.idLen = 1, .id = (SaUint8T *)(uintptr_t) "s"},
        .dataBuffer = (void *)(uintptr_t) "x",
        .dataSize = 1,
        .dataOffset = (SaSizeT)1900 << 20};

    if (h == 0 || ckpt_open(h, "holes", &c) != SA_AIS_OK)
        die("no checkpoint");
    section_new(c, "s", SA_TIME_END, "", 0);
    if (saCkptCheckpointWrite(c, &v, 1, &at) != SA_AIS_OK)
        die("not written");
    printf("there\n");
    fflush(stdout);
    while (goes_on())
        sleep_us(10000);
}

/* All checkpoints, or all handles, there are. */
static void take_all(bool same)
{
    SaCkptHandleT h = ckpt_new();
    SaCkptCheckpointHandleT c;
    char name[32];
    uint32_t n = 0;

    for (; h != 0 && goes_on(); n++) {
        snprintf(name, sizeof name, "all %u", same ? 0 : n);
        if (ckpt_open(h, name, &c) != SA_AIS_OK)
            break;
    }
    printf("%u open\n", n);
    fflush(stdout);
    while (goes_on())
        sleep_us(10000);
}

static void attack_checkpoints(void)
{
    take_all(false);
}

static void attack_handles(void)
{
    take_all(true);
}

/* --- who is honest -------------------------------------------------------- */

static const struct evs_group own_group = {.key = "honest"};
static uint64_t heard, own_number;
static unsigned int own_node;

static void deliver(hdb_handle_t handle, unsigned int node, const void *data,
                    size_t size)
{
    uint64_t number;

    (void)handle;
    if (node != own_node || size != sizeof number)
        return;
    memcpy(&number, data, size);
    if (number != heard + 1)
        die("heard %" PRIu64 " behind %" PRIu64, number, heard);
    heard = number;
}

/* The time of one call, and a pause. */
static void took(struct histogram *h, uint64_t begin_ns)
{
    histogram_add(h, now_ns() - begin_ns);
    sleep_us(5000);
}

static void show(const char *what, const struct histogram *h)
{
    printf("%s %" PRIu64 " times, half within %.2f ms, 99%% within %.2f ms, "
           "longest %.2f ms\n",
           what, h->total, (double)histogram_part(h, 0.5) / 1e6,
           (double)histogram_part(h, 0.99) / 1e6, (double)h->max / 1e6);
}

static void honest_message(evs_handle_t h, struct histogram *times)
{
    uint64_t begin_ns = now_ns();
    struct iovec v = {.iov_base = &own_number, .iov_len = sizeof own_number};
    cs_error_t e;

    own_number++;
    while ((e = evs_mcast_joined(h, EVS_TYPE_AGREED, &v, 1)) ==
           CS_ERR_TRY_AGAIN)
        sleep_us(100);
    while (e == CS_OK && heard < own_number)
        e = evs_dispatch(h, CS_DISPATCH_ONE);
    if (e != CS_OK)
        die("a message: error %d", (int)e);
    took(times, begin_ns);
}

static void honest_write(SaCkptCheckpointHandleT c, struct histogram *times)
{
    uint64_t begin_ns = now_ns();
    SaCkptSectionIdT id = {.idLen = 1, .id = (SaUint8T *)(uintptr_t) "s"};
    SaAisErrorT e;

    while ((e = saCkptSectionOverwrite(c, &id, &begin_ns, sizeof begin_ns)) ==
           SA_AIS_ERR_TRY_AGAIN)
        sleep_us(100);
    if (e != SA_AIS_OK)
        die("a write: error %d", (int)e);
    took(times, begin_ns);
}

static void honest_query(SaCkptCheckpointHandleT c, struct histogram *times)
{
    SaCkptCheckpointDescriptorT d;
    uint64_t begin_ns = now_ns();
    SaAisErrorT e;

    while ((e = saCkptCheckpointStatusGet(c, &d)) == SA_AIS_ERR_TRY_AGAIN)
        sleep_us(100);
    if (e != SA_AIS_OK)
        die("a query: error %d", (int)e);
    took(times, begin_ns);
}

/* A program that comes, makes a checkpoint of its own, and goes. */
static void honest_visit(struct histogram *times)
{
    uint64_t begin_ns = now_ns();
    SaCkptHandleT h = ckpt_new();
    SaCkptCheckpointHandleT c;
    char name[32];
    SaAisErrorT e;

    snprintf(name, sizeof name, "visit %d", (int)getpid());
    if (h == 0)
        die("not let in");
    e = ckpt_open(h, name, &c);
    if (e != SA_AIS_OK)
        die("no checkpoint: error %d", (int)e);
    saCkptFinalize(h);
    took(times, begin_ns);
}

static void honest(void)
{
    static struct histogram message, write_, query, visit;
    evs_callbacks_t callbacks = {.evs_deliver_fn = deliver};
    evs_handle_t h = evs_new(&callbacks);
    SaCkptHandleT k = ckpt_new();
    SaCkptCheckpointHandleT c;
    char name[32];
    size_t none = 0;

    if (h == 0 || k == 0 ||
        evs_membership_get(h, &own_node, NULL, &none) != CS_OK ||
        evs_join(h, &own_group, 1) != CS_OK)
        die("not let in");
    snprintf(name, sizeof name, "honest %u", own_node);
    if (ckpt_open(k, name, &c) != SA_AIS_OK ||
        section_new(c, "s", SA_TIME_END, "", 0) != SA_AIS_OK)
        die("no checkpoint");
    while (goes_on()) {
        honest_message(h, &message);
        honest_write(c, &write_);
        honest_query(c, &query);
        honest_visit(&visit);
    }
    show("message:", &message);
    show("write:  ", &write_);
    show("query:  ", &query);
    show("visit:  ", &visit);
}

/* --- all ------------------------------------------------------------------ */

static const struct {
    const char *name, *what;
    void (*run)(void);
} attacks[] = {
    {"honest", "measures", honest},
    {"fanout", "COUNT idle handles in a group, small messages", attack_fanout},
    {"memory", "COUNT handles that read nothing of much", attack_memory},
    {"requests", "COUNT threads that join and leave", attack_requests},
    {"bell", "rings, and has submitted nothing", attack_bell},
    {"descriptors", "sends COUNT whose close waits", attack_descriptors},
    {"vector", "COUNT threads that write all over a section", attack_vector},
    {"expire", "COUNT sections expire at a time", attack_expire},
    {"unlink", "a checkpoint of COUNT sections goes", attack_unlink},
    {"tombstones", "COUNT sections go, and are iterated", attack_tombstones},
    {"holes", "a sparse section of 1,900 MiB", attack_holes},
    {"checkpoints", "takes all checkpoints", attack_checkpoints},
    {"handles", "takes all handles of checkpoints", attack_handles}};

int main(int argc, char **argv)
{
    const size_t n = sizeof attacks / sizeof *attacks;

    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc >= 3 && i < n; i++)
        if (strcmp(argv[1], attacks[i].name) == 0) {
            end_ns = now_ns() + seconds_arg(argv[1], argv[2]);
            if (argc > 3)
                count = (uint32_t)number_arg(argv[1], argv[3], 1, 10000000);
            attacks[i].run();
            return 0;
        }
    fprintf(stderr, "usage: localattack NAME SECONDS [COUNT]\n");
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "  %-12s %s\n", attacks[i].name, attacks[i].what);
    return 2;
}
