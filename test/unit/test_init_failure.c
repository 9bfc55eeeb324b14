/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that fails at the start: everything the daemon makes is made again and
 * again, each time with another of its allocations refused, until none is left
 * to refuse. It must say so, and leave neither memory nor descriptors behind.
 *
 * The linker sends malloc() and its like in our objects through here (--wrap in
 * the Makefile), which a sanitizer's own does not mind; OpenSSL is asked to.
 * What libconfuse and the C library allocate for themselves is not refused. */
#include "config/config.h"
#include "daemon/crypto/seal.h"
#include "daemon/group/group.h"
#include "daemon/loop/loop.h"
#include "daemon/net/net.h"
#include "daemon/server/internal.h"
#include "daemon/server/ringstate.h"
#include "daemon/server/server.h"
#include "daemon/service/evs.h"
#include "daemon/totem/totem.h"
#include "test/unit/unit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NEVER = -1, TRIES_MAX = 20000 };

/* Of this thread alone; those the daemon starts have their own, unused. */
static _Thread_local bool armed, refused;
static _Thread_local long calls, refuse_at = NEVER, live;

static bool refuses(void)
{
    if (!armed || calls++ != refuse_at)
        return false;
    refused = true;
    return true;
}

static void *counted(void *p)
{
    live += p != NULL ? 1 : 0;
    return p;
}

#define WRAP(result, name, ...)                                                \
    result __real_##name(__VA_ARGS__);                                         \
    result __wrap_##name(__VA_ARGS__);                                         \
    result __wrap_##name(__VA_ARGS__)

WRAP(void *, malloc, size_t size)
{
    return refuses() ? NULL : counted(__real_malloc(size));
}

WRAP(void *, calloc, size_t count, size_t size)
{
    return refuses() ? NULL : counted(__real_calloc(count, size));
}

WRAP(void *, aligned_alloc, size_t alignment, size_t size)
{
    return refuses() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

WRAP(void *, realloc, void *old, size_t size)
{
    if (refuses())
        return NULL;
    bool more = old == NULL;
    void *p = __real_realloc(old, size);
    return more ? counted(p) : p;
}

WRAP(char *, strdup, const char *text)
{
    if (refuses())
        return NULL;
    return counted(__real_strdup(text));
}

WRAP(void, free, void *p)
{
    live -= p != NULL ? 1 : 0;
    __real_free(p);
}

/* --- OpenSSL's ------------------------------------------------------------ */

static void *library_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return malloc(size);
}

static void *library_realloc(void *p, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return realloc(p, size);
}

static void library_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

/* --- trying --------------------------------------------------------------- */

static char dir[64];
static char path[128];

static int descriptors(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    if (d == NULL)
        return -1;
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

/* Makes one thing with its `refuse`th allocation refused, or none; unmakes what
 * was made. True: it was made. */
static bool try_to(bool (*make)(void), long refuse)
{
    int before = descriptors();
    long live_before = live;
    calls = 0;
    refused = false;
    refuse_at = refuse;
    bool made = make();
    refuse_at = NEVER;
    if (live != live_before)
        printf("\n  allocation %ld refused: %ld left behind", refuse,
               live - live_before);
    CU_ASSERT_EQUAL(live, live_before);
    CU_ASSERT_EQUAL(descriptors(), before);
    return made;
}

/* At least that many allocations there are. Some of a library's it can do
 * without (`spare`): then all must have been made. */
static void refuse_each(bool (*make)(void), long least, bool spare)
{
    CU_ASSERT_FATAL(try_to(make, NEVER));
    for (long i = 0; i < TRIES_MAX; i++) {
        bool made = try_to(make, i);
        if (!refused) {
            CU_ASSERT(made);
            CU_ASSERT(i >= least);
            printf(" %ld ", i);
            return;
        }
        if (made && !spare)
            printf("\n  made without allocation %ld", i);
        CU_ASSERT(!made || spare);
    }
    CU_FAIL("no end of allocations");
}

/* The allocations of the statement count. */
#define ARMED(statement)                                                       \
    do {                                                                       \
        armed = true;                                                          \
        statement;                                                             \
        armed = false;                                                         \
    } while (0)

static bool told(int rc, const char *error)
{
    CU_ASSERT(rc == 0 || rc == -ENOMEM);
    CU_ASSERT(rc == 0 || error[0] != '\0');
    return rc == 0;
}

/* --- the core ------------------------------------------------------------- */

static bool make_totem(void)
{
    struct totem_config c = {
        .node_id = 1, .packet_size_max = 1400, .window_packets = 8};
    struct totem *t;
    ARMED(t = totem_new(&c));
    totem_free(t);
    return t != NULL;
}

static void test_totem(void)
{
    refuse_each(make_totem, 9, false);
}

static bool make_group(void)
{
    struct group_config c = {
        .node_id = 1, .node_max = 4, .message_size_max = 65536};
    struct group *g;
    ARMED(g = group_new(&c));
    group_free(g);
    return g != NULL;
}

static void test_group(void)
{
    refuse_each(make_group, 2, false);
}

static bool make_evs(void)
{
    struct evs_config c = {.client_max = 8, .subscription_max = 100};
    struct evs *e;
    ARMED(e = evs_new(&c));
    evs_free(e);
    return e != NULL;
}

static void test_evs(void)
{
    refuse_each(make_evs, 6, false);
}

/* --- around it ------------------------------------------------------------ */

static bool make_seal(void)
{
    static const uint8_t key[SEAL_KEY_SIZE] = {1};
    struct seal_config c = {.node_id = 1, .node_max = 1, .key = key};
    struct seal *s;
    ARMED(s = seal_new(&c));
    seal_free(s);
    ERR_clear_error(); /* what the library says of it takes memory, too */
    return s != NULL;
}

static void test_seal(void)
{
    make_seal(); /* the library keeps what it found then */
    ERR_raise(ERR_LIB_USER, 1);
    ERR_clear_error();
    refuse_each(make_seal, 259, true);
}

static bool make_net(void)
{
    struct in_addr local = {htonl(INADDR_LOOPBACK)};
    struct net_config c = {.bind_net = local,
                           .port = 25405,
                           .node_count = 1,
                           .nodes = &local,
                           .node_id = 1};
    struct net *n = NULL;
    char error[256] = "";
    int rc;
    ARMED(rc = net_open(&n, &c, error, sizeof error));
    if (rc == 0)
        net_close(n);
    return told(rc, error);
}

static void test_net(void)
{
    refuse_each(make_net, 4, false);
}

static bool make_loop(void)
{
    struct loop *l = NULL;
    int rc;
    ARMED(rc = loop_open(&l));
    if (rc == 0)
        loop_close(l);
    return told(rc, "has no text");
}

static void test_loop(void)
{
    refuse_each(make_loop, 1, false);
}

static bool make_ringstate(void)
{
    struct ringstate *r = NULL;
    char error[256];
    uint64_t seq;
    int rc;
    ARMED(rc = ringstate_open(&r, dir, "x", &seq, error, sizeof error));
    CU_ASSERT((rc == 0) == (r != NULL));
    ringstate_close(r);
    return told(rc, error);
}

static void test_ringstate(void)
{
    refuse_each(make_ringstate, 2, false);
}

static bool make_config(void)
{
    struct config c;
    char error[CONFIG_ERROR_SIZE] = "";
    int rc;
    ARMED(rc = config_load(path, &c, error, sizeof error));
    CU_ASSERT(rc == 0 || c.totem.keyfile == NULL);
    if (rc == 0)
        config_free(&c);
    return told(rc, error);
}

static void test_config(void)
{
    refuse_each(make_config, 6, false);
}

/* Short of memory, config.c leaves what libconfuse could not finish, on purpose
 * (it cannot be freed, and the daemon ends): not this test's finding. */
__attribute__((visibility("default"))) const char *
__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libconfuse";
}

/* --- the server ----------------------------------------------------------- */

static struct server_config server_config(void)
{
    return (struct server_config){.node_id = 1,
                                  .self = {.node_id = 1, .family = 1},
                                  .run_dir = dir,
                                  .client_max = 8,
                                  .submit_ring_bytes = 65536,
                                  .event_ring_bytes = 65536,
                                  .overflow_bytes = 65536,
                                  .message_size_max = 16384,
                                  .packet_size = 1400,
                                  .worker_count = 1};
}

static bool make_server(void)
{
    struct server_config c = server_config();
    struct server *s = NULL;
    char error[256] = "";
    int rc;
    ARMED(rc = server_open(&s, &c, error, sizeof error));
    if (rc == 0)
        server_close(s);
    return told(rc, error);
}

static void test_server(void)
{
    refuse_each(make_server, 11, false);
}

static bool make_client(void)
{
    struct server_config c = server_config();
    struct client_sizes sizes = client_sizes(&c, &(struct ipc_hello){0});
    int ends[2], segment = -1, error = 0;
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct client *client;
    ARMED(client = client_new(&c, &sizes, ends[0], 0, &segment, &error));
    if (client != NULL)
        close(segment);
    else
        close(ends[0]); /* not taken over */
    CU_ASSERT(client != NULL || error == -ENOMEM);
    client_free(client);
    close(ends[1]);
    return client != NULL;
}

static void test_client(void)
{
    refuse_each(make_client, 2, false);
}

/* --- all ------------------------------------------------------------------ */

static const struct unit_test tests[] = {
    {"totem", test_totem},
    {"group", test_group},
    {"EVS service", test_evs},
    {"seal", test_seal},
    {"net", test_net},
    {"loop", test_loop},
    {"ringstate", test_ringstate},
    {"config", test_config},
    {"server", test_server},
    {"a client of it", test_client},
};

static bool files_make(void)
{
    strcpy(dir, "/tmp/openais-init-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return false;
    snprintf(path, sizeof path, "%s/openais.conf", dir);
    FILE *f = fopen(path, "w");
    if (f == NULL)
        return false;
    fputs("totem { bindnetaddr: 192.168.1.0 mcastaddr: 226.94.1.1 mcastport: "
          "5405 keyfile: /k }\nlogging { logoutput: file logfile: /tmp/l }\n",
          f);
    return fclose(f) == 0;
}

static void files_remove(void)
{
    char state[128];
    snprintf(state, sizeof state, "%s/ring-x", dir);
    unlink(state);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    if (CRYPTO_set_mem_functions(library_malloc, library_realloc,
                                 library_free) != 1 ||
        !files_make())
        return 2;
    int status = unit_main("init_failure", tests, sizeof tests / sizeof *tests);
    files_remove();
    return status;
}
