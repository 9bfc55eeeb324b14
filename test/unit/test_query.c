/* SPDX-License-Identifier: BSD-3-Clause */
/* test_query.c - queries: the membership and the groups, as the ipc workers
 * tell them while configurations come. */
#include "test/unit/fake_order.h"

#include <corosync/evs.h>

/* An order that delivers configurations alone: the n-th has the ring sequence
 * 4 n and these members: NODE, 1000 + n, 1001 + n, ... */
static _Atomic uint32_t wanted;
static _Atomic uint32_t ahead, torn;

static uint32_t members_of(uint32_t n)
{
    return 2 + n % 100;
}

static void *configurations(void *unused)
{
    uint32_t n = 0;
    (void)unused;
    while (!d.stop) {
        server_poll(d.server);
        if (n < wanted) {
            n++;
            struct totem_configuration c = {
                .member_count = members_of(n),
                .members = {NODE},
                .incarnations = {NODE},
                .ring_id = {.seq = 4ull * n, .rep = NODE}};
            for (uint32_t i = 1; i < c.member_count; i++)
                c.incarnations[i] = c.members[i] = 999 + n + i;
            struct group_event e = {.kind = GROUP_EVENT_CONFIGURATION,
                                    .configuration = &c};
            server_deliver(d.server, &e);
        }
        server_flush(d.server);
        if (n == wanted && server_arm(d.server, false)) {
            struct pollfd p = {.fd = server_fd(d.server), .events = POLLIN};
            poll(&p, 1, 5);
        }
    }
    return NULL;
}

static void start_configurations(void)
{
    struct server_config c = config();
    char error[256];
    d.stop = false;
    d.other = NULL;
    wanted = ahead = torn = 0;
    CU_ASSERT_FATAL(server_open(&d.server, &c, error, sizeof error) == 0);
    CU_ASSERT_FATAL(pthread_create(&d.thread, NULL, configurations, NULL) == 0);
}

/* The number of the configuration that is told now, 0: not OK. */
static uint32_t ask(evs_handle_t h)
{
    unsigned int list[IPC_NODES_MAX] = {0};
    size_t n = IPC_NODES_MAX;
    if (evs_membership_get(h, NULL, list, &n) != CS_OK)
        return 0;
    torn += n != members_of(list[1] - 1000) || list[0] != NODE;
    for (uint32_t i = 1; i < n; i++)
        torn += list[i] != list[1] + i - 1;
    return list[1] - 1000;
}

static void ask_in_callback(hdb_handle_t handle, const unsigned int *members,
                            size_t count, const unsigned int *left,
                            size_t left_count, const unsigned int *joined,
                            size_t joined_count, const struct evs_ring_id *ring)
{
    (void)left, (void)left_count, (void)joined, (void)joined_count;
    torn += count != members_of(members[1] - 1000);
    ahead += ask(handle) < ring->seq / 4;
}

static void *ask_always(void *context)
{
    uint32_t last = 0, now;
    while ((now = ask(*(evs_handle_t *)context)) != 0) {
        ahead += now < last;
        last = now;
    }
    return NULL;
}

static void test_membership(void)
{
    enum { N = 2000 };
    evs_callbacks_t calls = {NULL, ask_in_callback};
    evs_handle_t h[3];
    pthread_t t[3];
    struct evs_group_info info;
    size_t n = 1;
    start_configurations();
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(evs_initialize(&h[i], &calls), CS_OK);
        pthread_create(&t[i], NULL, ask_always, &h[i]);
    }
    pause_ms(50);
    CU_ASSERT_EQUAL(stats().queries, 0); /* they wait for the first */
    wanted = 1;
    CU_ASSERT_EQUAL(ask(h[0]), 1);
    CU_ASSERT_EQUAL(evs_group_list_get(h[0], &info, &n), CS_OK);
    CU_ASSERT_EQUAL(n, 0);
    for (; wanted < N; wanted++)
        CU_ASSERT_EQUAL(evs_dispatch(h[wanted % 3], CS_DISPATCH_ALL), CS_OK);
    EVENTUALLY(ask(h[0]) == N);
    for (int i = 0; i < 3; i++) {
        evs_dispatch(h[i], CS_DISPATCH_ALL);
        evs_finalize(h[i]);
        pthread_join(t[i], NULL);
    }
    CU_ASSERT_EQUAL(ahead, 0);
    CU_ASSERT_EQUAL(torn, 0);
    stop();
}

static void test_membership_finalized(void)
{
    evs_handle_t h;
    pthread_t t;
    start_configurations();
    for (int i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(evs_initialize(&h, NULL), CS_OK);
        pthread_create(&t, NULL, ask_always, &h);
        pause_ms(i % 3);
        evs_finalize(h);
        pthread_join(t, NULL);
    }
    EVENTUALLY(d.server != NULL);
    stop();
}

static struct evs_group nth(uint32_t n)
{
    struct evs_group g = {{0}};
    snprintf(g.key, sizeof g.key, "group %u", n);
    return g;
}

static size_t groups_listed(evs_handle_t h, size_t capacity)
{
    CU_ASSERT_EQUAL(evs_group_list_get(h, NULL, &capacity), CS_OK);
    return capacity;
}

/* Every group once, with the count that `expected` says. */
static void check_list(evs_handle_t h, size_t count, unsigned int handles)
{
    struct evs_group_info list[300];
    bool seen[300] = {false};
    size_t n = 300;
    unsigned int number;
    memset(list, 0xee, sizeof list);
    CU_ASSERT_EQUAL(evs_group_list_get(h, list, &n), CS_OK);
    CU_ASSERT_EQUAL_FATAL(n, count);
    for (size_t i = 0; i < n; i++) {
        CU_ASSERT_EQUAL_FATAL(sscanf(list[i].group.key, "group %u", &number),
                              1);
        struct evs_group g = nth(number);
        CU_ASSERT_EQUAL(memcmp(&g, &list[i].group, sizeof g), 0);
        CU_ASSERT(number < count && !seen[number % 300]);
        seen[number % 300] = true;
        CU_ASSERT_EQUAL(list[i].handles, handles);
    }
    CU_ASSERT_EQUAL(((unsigned char *)&list[n])[0], 0xee); /* no further */
}

static void test_group_list(void)
{
    enum { MANY = 200 };
    struct evs_group_info list[MANY];
    evs_handle_t h[3];
    start();
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(evs_initialize(&h[i], NULL), CS_OK);
    CU_ASSERT_EQUAL(evs_group_list_get(h[0], list, NULL), CS_ERR_INVALID_PARAM);
    CU_ASSERT_EQUAL(groups_listed(h[0], 10), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        struct evs_group g = nth(i);
        CU_ASSERT_EQUAL(evs_join(h[i % 3], &g, 1), CS_OK);
        if (i % 64 < 2 || i % 64 == 63) /* at the edges of pieces */
            check_list(h[0], i + 1, 1);
    }
    for (uint32_t i = 0; i < MANY; i++)
        for (uint32_t k = 1; k < 3; k++) {
            struct evs_group g = nth(i);
            CU_ASSERT_EQUAL(evs_join(h[(i + k) % 3], &g, 1), CS_OK);
        }
    check_list(h[1], MANY, 3);
    static const size_t capacities[] = {0, 1, 63, 64, 65, 199};
    for (int i = 0; i < 6; i++) {
        size_t n = capacities[i];
        memset(list, 0xee, sizeof list);
        CU_ASSERT_EQUAL(evs_group_list_get(h[0], list, &n), CS_OK);
        CU_ASSERT_EQUAL(n, capacities[i]);
        CU_ASSERT(n == 0 || list[n - 1].handles == 3);
        CU_ASSERT_EQUAL(((unsigned char *)&list[n])[0], 0xee);
        CU_ASSERT_EQUAL(groups_listed(h[0], n), n);
    }
    CU_ASSERT_EQUAL(groups_listed(h[0], SIZE_MAX), MANY);
    evs_finalize(h[2]);
    EVENTUALLY(stats().clients_now == 2);
    check_list(h[1], MANY, 2);
    for (uint32_t i = MANY; i-- > 0;) {
        struct evs_group g = nth(i);
        CU_ASSERT_EQUAL(evs_leave(h[0], &g, 1), CS_OK);
        CU_ASSERT_EQUAL(evs_leave(h[1], &g, 1), CS_OK);
        if (i % 50 == 0)
            check_list(h[1], i, 2);
    }
    evs_finalize(h[0]);
    CU_ASSERT_EQUAL(evs_group_list_get(h[0], list, &(size_t){1}),
                    CS_ERR_BAD_HANDLE);
    evs_finalize(h[1]);
    stop();
}

static const struct unit_test tests[] = {
    {"membership", test_membership},
    {"membership, finalized", test_membership_finalized},
    {"group list", test_group_list}};
FAKE_MAIN("query", tests)
