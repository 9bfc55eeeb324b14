/* SPDX-License-Identifier: BSD-3-Clause */
/* test_threads.c - any number of threads on any number of handles, handles that
 * are finalized while others use them, and fork() in the midst of it. */
#include "test/unit/evs_box.h"

#include <errno.h>

enum { SMALL_RING = 65536, ROUNDS = 200 };

static void pause_us(uint32_t us)
{
    struct timespec t = {.tv_nsec = (long)us * 1000};
    nanosleep(&t, NULL);
}

/* --- all at once ---------------------------------------------------------- */

enum { HANDLES = 3, SENDERS = 3 /* of each handle */ };

/* What one handle sees of all senders. Its callbacks never overlap. */
static struct watched {
    evs_handle_t handle;
    uint32_t next[HANDLES * SENDERS];
    _Atomic uint64_t got, bad;
    _Atomic uint32_t running; /* callbacks */
} watched[HANDLES];

static _Atomic bool stop_all;
static _Atomic uint64_t sent, wrong, asked;

/* So many messages may be under way: a client that others flood is disconnected
 * when its ring and overflow are full, and this is not a test of that. */
static bool may_send(void)
{
    for (int i = 0; i < HANDLES; i++)
        if (watched[i].handle != 0 && sent - watched[i].got > 40)
            return false;
    return true;
}

static bool bytes_are(const uint8_t *bytes, size_t size, uint8_t value)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

static void watch(hdb_handle_t handle, unsigned int node, const void *msg,
                  size_t size)
{
    void *context = NULL;
    uint32_t head[2] = {0};
    (void)node;
    if (evs_context_get(handle, &context) != CS_OK)
        return;
    struct watched *w = context;
    w->bad += w->running++ != 0;
    if (size >= sizeof head)
        memcpy(head, msg, sizeof head);
    if (size < sizeof head || head[0] >= HANDLES * SENDERS ||
        head[1] != w->next[head[0]] ||
        !bytes_are((const uint8_t *)msg + sizeof head, size - sizeof head,
                   (uint8_t)head[1]))
        w->bad++;
    else
        w->next[head[0]]++;
    w->got++;
    w->running--;
}

static void *send_numbered(void *context)
{
    uint32_t me = (uint32_t)(uintptr_t)context, number = 0, head[2];
    unsigned seed = me + 1;
    static const size_t sizes[] = {8, 9, 100, 1500, 9000, 40000};
    while (!stop_all) {
        uint8_t data[40000];
        size_t size = sizes[(size_t)rand_r(&seed) % 6];
        if (!may_send()) {
            pause_us(50);
            continue;
        }
        head[0] = me;
        head[1] = number;
        memset(data, (uint8_t)number, size);
        memcpy(data, head, sizeof head);
        struct iovec v[2] = {{data, size / 2}, {data + size / 2, 0}};
        sent++;
        v[1].iov_len = size - size / 2;
        if (evs_mcast_joined(watched[me % HANDLES].handle, EVS_TYPE_AGREED, v,
                             2) != CS_OK) {
            wrong++;
            break;
        }
        number++;
    }
    return NULL;
}

static void *dispatch_blocking(void *context)
{
    evs_handle_t h = *(evs_handle_t *)context;
    return (void *)(uintptr_t)evs_dispatch(h, CS_DISPATCH_BLOCKING);
}

static void *join_and_leave(void *context)
{
    struct watched *w = context;
    struct evs_group g[3] = {group("a"), group("b"), group("c")};
    while (!stop_all) {
        wrong += evs_join(w->handle, g, 3) != CS_OK;
        wrong += evs_leave(w->handle, g, 3) != CS_OK;
    }
    return NULL;
}

static bool known_group(const struct evs_group_info *info)
{
    static const char *const names[] = {"all", "a", "b", "c", "child"};
    for (size_t i = 0; i < 5; i++) {
        struct evs_group g = group(names[i]);
        if (memcmp(&g, &info->group, sizeof g) == 0)
            return i == 4 || info->handles <= HANDLES;
    }
    return false;
}

/* Membership, room, groups joined: none may be half of one and half of
 * another. */
static void ask(evs_handle_t h)
{
    struct evs_group_info list[8];
    unsigned int members[8], local = 0;
    size_t n = 8, room = 0;
    int fd;
    wrong += evs_membership_get(h, &local, members, &n) != CS_OK ||
             local != NODE || n != 2 || members[0] != NODE ||
             members[1] != NODE + 1;
    n = 8;
    wrong += evs_group_list_get(h, list, &n) != CS_OK || n > 8;
    for (size_t i = 0; i < n; i++)
        wrong += list[i].handles == 0 || !known_group(&list[i]);
    wrong += evs_room_get(h, &room) != CS_OK || room > SMALL_RING;
    wrong += evs_room_fd_get(h, &fd) != CS_OK || evs_fd_get(h, &fd) != CS_OK;
    asked++;
}

static void *ask_always(void *context)
{
    while (!stop_all)
        ask(((struct watched *)context)->handle);
    return NULL;
}

static void test_all_at_once(void)
{
    enum { THREADS = HANDLES * (SENDERS + 4) };
    evs_callbacks_t calls = {watch, NULL};
    pthread_t t[THREADS], dispatcher[2 * HANDLES];
    size_t n = 0;
    stop_all = false;
    sent = wrong = asked = 0;
    start();
    for (size_t i = 0; i < HANDLES; i++) {
        memset(&watched[i], 0, sizeof watched[i]);
        evs_handle_t h = 0;
        CU_ASSERT_EQUAL_FATAL(evs_initialize_rings(&h, &calls, SMALL_RING, 0),
                              CS_OK);
        watched[i].handle = h;
        evs_context_set(h, &watched[i]);
        evs_send_timeout_set(h, 20000000000);
        join(h, "all");
    }
    for (size_t i = 0; i < HANDLES; i++) {
        for (size_t k = 0; k < 2; k++)
            pthread_create(&dispatcher[2 * i + k], NULL, dispatch_blocking,
                           &watched[i].handle);
        for (size_t k = 0; k < 2; k++)
            pthread_create(&t[n++], NULL, ask_always, &watched[i]);
        pthread_create(&t[n++], NULL, join_and_leave, &watched[i]);
        for (size_t k = 0; k < SENDERS; k++)
            pthread_create(&t[n++], NULL, send_numbered,
                           (void *)(uintptr_t)(i + k * HANDLES));
    }
    pause_ms(3000);
    stop_all = true;
    while (n > 0)
        pthread_join(t[--n], NULL);
    for (int i = 0; i < HANDLES; i++) {
        EVENTUALLY(watched[i].got == sent);
        CU_ASSERT_EQUAL(watched[i].bad, 0);
        evs_finalize(watched[i].handle);
    }
    for (int i = 0; i < 2 * HANDLES; i++)
        pthread_join(dispatcher[i], NULL);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(sent > 100 && asked > 100);
    CU_ASSERT_EQUAL(stats().overflowed + stats().corrupt, 0);
    printf("\n%llu sent, %llu questions, ", (unsigned long long)sent,
           (unsigned long long)asked);
    stop();
}

/* --- finalized while in use ----------------------------------------------- */

/* Runs `use` in three threads, finalizes the handle at some moment; nobody may
 * wait for longer, and everybody is told what has happened. */
static _Atomic uint32_t users_done;

static evs_handle_t victim(struct box *b)
{
    evs_handle_t h = 0;
    CU_ASSERT_EQUAL_FATAL(evs_initialize_rings(&h, &callbacks, SMALL_RING, 0),
                          CS_OK);
    evs_context_set(h, b);
    join(h, "victim");
    evs_send_timeout_set(h, -1);
    return h;
}

static void *use_dispatch(void *context)
{
    evs_handle_t h = *(evs_handle_t *)context;
    cs_error_t e = evs_dispatch(h, CS_DISPATCH_BLOCKING);
    wrong += e != CS_OK && e != CS_ERR_BAD_HANDLE;
    users_done++;
    return NULL;
}

static void *use_send(void *context)
{
    evs_handle_t h = *(evs_handle_t *)context;
    static uint8_t data[3000];
    struct iovec v = {data, sizeof data};
    cs_error_t e;
    while ((e = evs_mcast_joined(h, EVS_TYPE_AGREED, &v, 1)) == CS_OK)
        sent++;
    wrong += e != CS_ERR_BAD_HANDLE;
    users_done++;
    return NULL;
}

static void *use_query(void *context)
{
    evs_handle_t h = *(evs_handle_t *)context;
    struct evs_group_info list[4];
    cs_error_t e;
    size_t n;
    do {
        n = 4;
        e = evs_membership_get(h, NULL, NULL, &n);
        if (e == CS_OK)
            e = evs_group_list_get(h, list, &n);
    } while (e == CS_OK);
    wrong += e != CS_ERR_BAD_HANDLE;
    users_done++;
    return NULL;
}

static void *use_groups(void *context)
{
    evs_handle_t h = *(evs_handle_t *)context;
    struct evs_group g = group("another");
    cs_error_t e;
    do {
        e = evs_join(h, &g, 1);
        if (e == CS_OK || e == CS_ERR_NOT_EXIST)
            e = evs_leave(h, &g, 1);
    } while (e == CS_OK || e == CS_ERR_NOT_EXIST);
    wrong += e != CS_ERR_BAD_HANDLE;
    users_done++;
    return NULL;
}

static void finalize_during(void *(*const use[3])(void *), bool hold)
{
    unsigned seed = 1;
    pthread_t t[3];
    start();
    wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct box b = {.bad = 0};
        evs_handle_t h = victim(&b);
        d.hold = hold;
        users_done = 0;
        for (int i = 0; i < 3; i++)
            pthread_create(&t[i], NULL, use[i], &h);
        pause_us((uint32_t)rand_r(&seed) % 1000);
        CU_ASSERT_EQUAL(evs_finalize(h), CS_OK);
        CU_ASSERT_EQUAL(evs_finalize(h), CS_ERR_BAD_HANDLE);
        EVENTUALLY(users_done == 3);
        if (users_done < 3)
            abort(); /* one waits for ever: nothing can be taken back */
        for (int i = 0; i < 3; i++)
            pthread_join(t[i], NULL);
        CU_ASSERT_EQUAL(wrong, 0);
        wrong = 0;
        d.hold = false;
    }
    EVENTUALLY(stats().clients_now == 0);
    CU_ASSERT_EQUAL(stats().corrupt, 0);
    stop();
}

static void test_finalize_dispatch(void)
{
    void *(*use[3])(void *) = {use_dispatch, use_dispatch, use_dispatch};
    finalize_during(use, false);
}

static void test_finalize_blocked_send(void)
{
    void *(*use[3])(void *) = {use_send, use_send, use_send};
    finalize_during(use, true);
}

static void test_finalize_query(void)
{
    void *(*use[3])(void *) = {use_query, use_query, use_query};
    finalize_during(use, false);
}

static void test_finalize_groups(void)
{
    void *(*use[3])(void *) = {use_groups, use_groups, use_groups};
    finalize_during(use, false);
}

static void test_finalize_mixed(void)
{
    void *(*use[3])(void *) = {use_dispatch, use_send, use_query};
    finalize_during(use, false);
}

/* In a callback, while others send, ask and wait to dispatch. */
static void test_finalize_callback(void)
{
    void *(*const use[3])(void *) = {use_send, use_query, use_dispatch};
    pthread_t t[3];
    unsigned seed = 2;
    start();
    wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct box b = {.result = 0};
        evs_handle_t h = victim(&b);
        b.finalize = h;
        users_done = 0;
        for (int i = 0; i < 3; i++) {
            pthread_create(&t[i], NULL, use[i], &h);
            pause_us((uint32_t)rand_r(&seed) % 100);
        }
        EVENTUALLY(users_done == 3);
        if (users_done < 3)
            abort();
        for (int i = 0; i < 3; i++)
            pthread_join(t[i], NULL);
        CU_ASSERT_EQUAL(b.result, CS_OK);
        CU_ASSERT_EQUAL(b.messages, 1); /* it was the last callback */
        CU_ASSERT_EQUAL(evs_finalize(h), CS_ERR_BAD_HANDLE);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    EVENTUALLY(stats().clients_now == 0);
    stop();
}

/* What a thread was told is sent is sent, whenever the handle ends. */
static void test_finalize_keeps_sent(void)
{
    struct box all = {.bad = 0};
    unsigned seed = 3;
    pthread_t t[2];
    start();
    evs_handle_t o = client(&all);
    join(o, "victim");
    wrong = sent = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct box b = {.bad = 0};
        evs_handle_t h = victim(&b);
        for (int i = 0; i < 2; i++)
            pthread_create(&t[i], NULL, use_send, &h);
        pause_us((uint32_t)rand_r(&seed) % 500);
        evs_finalize(h);
        for (int i = 0; i < 2; i++)
            pthread_join(t[i], NULL);
        CU_ASSERT_EQUAL(evs_dispatch(o, CS_DISPATCH_ALL), CS_OK);
    }
    gather(o, &all, sent);
    CU_ASSERT_EQUAL(wrong, 0);
    evs_finalize(o);
    stop();
}

/* --- many handles --------------------------------------------------------- */

/* Each thread makes, uses and ends handles of its own. */
static void *own_handles(void *context)
{
    uint32_t me = (uint32_t)(uintptr_t)context, rounds = 0;
    struct evs_group g = {{'o', 'w', 'n', (char)('a' + me)}};
    while (!stop_all || rounds < 3) {
        struct box b = {.bad = 0};
        evs_handle_t h = 0;
        uint32_t text[2] = {me, rounds++};
        struct iovec v = {text, sizeof text};
        cs_error_t e = evs_initialize(&h, &callbacks);
        if (e == CS_ERR_NO_RESOURCES) { /* the ended ones are on their way */
            rounds--;
            pause_us(500);
            continue;
        }
        if (e != CS_OK) {
            wrong++;
            break;
        }
        evs_context_set(h, &b);
        wrong += evs_join(h, &g, 1) != CS_OK;
        wrong += evs_mcast_joined(h, EVS_TYPE_SAFE, &v, 1) != CS_OK;
        for (int i = 0; i < 10 && b.messages == 0; i++)
            wrong += evs_dispatch(h, CS_DISPATCH_ONE) != CS_OK;
        wrong += b.messages != 1 || memcmp(b.last, text, sizeof text) != 0;
        wrong += evs_finalize(h) != CS_OK;
        asked++;
    }
    return NULL;
}

static void test_many_handles(void)
{
    enum { THREADS = 12 };
    pthread_t t[THREADS];
    int before = open_fds();
    stop_all = false;
    wrong = asked = 0;
    start();
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, own_handles, (void *)i);
    pause_ms(1500);
    stop_all = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    EVENTUALLY(stats().clients_now == 0);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(stats().clients_total, asked);
    stop();
    CU_ASSERT_EQUAL(open_fds(), before);
}

/* --- fork ----------------------------------------------------------------- */

/* The handle that the parent's threads are at work on. */
static evs_handle_t parents;

static bool bad(cs_error_t e)
{
    return e == CS_ERR_BAD_HANDLE;
}

/* Every function; which of them went wrong, or 0. */
static int all_bad(evs_handle_t h)
{
    struct evs_group g = group("x");
    struct evs_group_info info;
    void *context;
    size_t n = 1;
    int fd;
    const bool is_bad[] = {
        bad(evs_dispatch(h, CS_DISPATCH_ALL)),
        bad(evs_dispatch(h, CS_DISPATCH_BLOCKING)),
        bad(evs_join(h, &g, 1)),
        bad(evs_leave(h, &g, 1)),
        bad(evs_mcast_joined(h, EVS_TYPE_AGREED, NULL, 0)),
        bad(evs_mcast_groups(h, EVS_TYPE_AGREED, &g, 1, NULL, 0)),
        bad(evs_membership_get(h, NULL, NULL, &n)),
        bad(evs_group_list_get(h, &info, &n)),
        bad(evs_send_timeout_set(h, 1)),
        bad(evs_room_get(h, &n)),
        bad(evs_room_fd_get(h, &fd)),
        bad(evs_fd_get(h, &fd)),
        bad(evs_context_get(h, &context)),
        bad(evs_context_set(h, NULL)),
        bad(evs_finalize(h))};
    for (int i = 0; i < (int)(sizeof is_bad / sizeof *is_bad); i++)
        if (!is_bad[i])
            return i + 1;
    return 0;
}

static void child(void)
{
    struct box b = {.bad = 0};
    struct evs_group g = group("child");
    struct iovec v = {(char[]){"child"}, 5};
    evs_handle_t h;
    alarm(30); /* instead of waiting for ever */
    int which = all_bad(parents);
    if (which != 0)
        _exit(which);
    if (evs_initialize(&h, &callbacks) != CS_OK)
        _exit(50);
    evs_context_set(h, &b);
    if (all_bad(parents) != 0)
        _exit(51);
    if (evs_join(h, &g, 1) != CS_OK ||
        evs_mcast_joined(h, EVS_TYPE_AGREED, &v, 1) != CS_OK)
        _exit(52);
    while (b.messages == 0)
        if (evs_dispatch(h, CS_DISPATCH_ONE) != CS_OK)
            _exit(53);
    if (b.last_size != 5 || memcmp(b.last, "child", 5) != 0)
        _exit(54);
    if (rand() % 2 == 0 && evs_finalize(h) != CS_OK)
        _exit(55);
    _exit(0);
}

static void test_fork(void)
{
    enum { CHILDREN = 60 };
    evs_callbacks_t calls = {watch, NULL};
    pthread_t t[4], dispatcher;
    unsigned seed = 4;
#if defined(__SANITIZE_THREAD__)
    printf("\nSKIP fork among threads: ThreadSanitizer's own locks may be held "
           "by a thread that the child does not have\n");
    return;
#endif
    stop_all = false;
    sent = wrong = asked = 0;
    start();
    memset(&watched[0], 0, sizeof watched[0]);
    for (int i = 0; i < HANDLES; i++)
        watched[i].handle = 0;
    CU_ASSERT_EQUAL_FATAL(evs_initialize_rings(&parents, &calls, SMALL_RING, 0),
                          CS_OK);
    watched[0].handle = parents;
    evs_context_set(parents, &watched[0]);
    evs_send_timeout_set(parents, 20000000000);
    join(parents, "all");
    pthread_create(&dispatcher, NULL, dispatch_blocking, &parents);
    pthread_create(&t[0], NULL, send_numbered, (void *)0);
    pthread_create(&t[1], NULL, send_numbered, (void *)HANDLES);
    pthread_create(&t[2], NULL, ask_always, &watched[0]);
    pthread_create(&t[3], NULL, join_and_leave, &watched[0]);
    for (int i = 0; i < CHILDREN; i++) {
        pause_us((uint32_t)rand_r(&seed) % 3000);
        srand((unsigned)i);
        CU_ASSERT_EQUAL(in_child(child), 0);
    }
    stop_all = true;
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    EVENTUALLY(watched[0].got == sent);
    CU_ASSERT_EQUAL(watched[0].bad, 0);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(sent > 0 && asked > 0);
    evs_finalize(parents);
    pthread_join(dispatcher, NULL);
    EVENTUALLY(stats().clients_now == 0);
    CU_ASSERT_EQUAL(stats().clients_total, 1 + CHILDREN);
    stop();
}

/* In a callback: the child returns from a dispatch that is not its own. */
static pid_t forked;

static void fork_here(hdb_handle_t handle, unsigned int node, const void *msg,
                      size_t size)
{
    (void)handle, (void)node, (void)msg, (void)size;
    if (forked == -1)
        forked = fork();
}

static void test_fork_in_callback(void)
{
    evs_callbacks_t calls = {fork_here, NULL};
    int status = -1;
    start();
    for (int i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(evs_initialize(&parents, &calls), CS_OK);
        join(parents, "fork");
        for (int k = 0; k < 3; k++)
            CU_ASSERT_EQUAL(send_to(parents, "fork", "x", 1), CS_OK);
        EVENTUALLY(stats().delivered == 4 * (uint64_t)i + 3);
        fflush(NULL);
        forked = -1;
        evs_dispatch(parents, CS_DISPATCH_ALL);
        if (forked == 0) {
            forked = -2;
            child();
        }
        CU_ASSERT(forked > 0);
        CU_ASSERT_EQUAL(waitpid(forked, &status, 0), forked);
        CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        size_t n = 2;
        CU_ASSERT_EQUAL(evs_membership_get(parents, NULL, NULL, &n), CS_OK);
        CU_ASSERT_EQUAL(evs_finalize(parents), CS_OK);
        /* Until then it is one more that gets what is sent to its group. */
        EVENTUALLY(stats().clients_now == 0);
    }
    stop();
}

static const struct unit_test tests[] = {
    {"all at once", test_all_at_once},
    {"finalize during dispatch", test_finalize_dispatch},
    {"finalize during blocked sends", test_finalize_blocked_send},
    {"finalize during queries", test_finalize_query},
    {"finalize during joins", test_finalize_groups},
    {"finalize during all of them", test_finalize_mixed},
    {"finalize in a callback", test_finalize_callback},
    {"finalize keeps what was sent", test_finalize_keeps_sent},
    {"many handles", test_many_handles},
    {"fork among threads", test_fork},
    {"fork in a callback", test_fork_in_callback}};
FAKE_MAIN("threads", tests)
