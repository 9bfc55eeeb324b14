/* SPDX-License-Identifier: BSD-3-Clause */
#include "test/unit/unit.h"

#include "daemon/service/evs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static struct evs *new_evs(uint32_t clients, uint32_t subscriptions)
{
    struct evs_config c = {.client_max = clients,
                           .subscription_max = subscriptions,
                           .hash_seed = 42};
    struct evs *e = evs_new(&c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(e);
    return e;
}

static struct evs_key key(uint32_t n)
{
    struct evs_key k = {{0}};
    memcpy(k.bytes, &n, sizeof n);
    return k;
}

/* A message to the keys, as the library writes it. */
static size_t message(uint8_t *out, const struct evs_key *keys, uint8_t count,
                      const char *payload)
{
    uint8_t *at = out;
    *at++ = count;
    for (uint8_t i = 0; i < count; i++) {
        uint8_t n = sizeof keys[i].bytes;
        while (n > 0 && keys[i].bytes[n - 1] == 0)
            n--;
        *at++ = n;
        memcpy(at, keys[i].bytes, n);
        at += n;
    }
    memcpy(at, payload, strlen(payload));
    return (size_t)(at - out) + strlen(payload);
}

static bool has(const struct evs_message *m, uint32_t client)
{
    for (uint32_t i = 0; i < m->client_count; i++)
        if (m->clients[i] == client)
            return true;
    return false;
}

static void test_join_leave(void)
{
    struct evs *e = new_evs(4, 1000);
    struct evs_key k[60];
    uint32_t left = 99;
    for (uint32_t i = 0; i < 60; i++)
        k[i] = key(i);
    CU_ASSERT_EQUAL(evs_group_join(e, 0, k, 51), IPC_ERR_TOO_MANY_GROUPS);
    CU_ASSERT_EQUAL(evs_subscription_count(e), 0);
    CU_ASSERT_EQUAL(evs_group_join(e, 0, k, 50), IPC_OK);
    CU_ASSERT_EQUAL(evs_group_join(e, 0, k, 50), IPC_OK);
    CU_ASSERT_EQUAL(evs_subscription_count(e), 50);
    struct evs_key some[] = {k[3], k[4], k[55], k[5]};
    CU_ASSERT_EQUAL(evs_group_leave(e, 0, some, 4, &left), IPC_ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(left, 2);
    CU_ASSERT_EQUAL(evs_subscription_count(e), 48);
    CU_ASSERT_EQUAL(evs_group_leave(e, 1, k, 1, &left), IPC_ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(left, 0);
    evs_group_leave_all(e, 0);
    evs_group_leave_all(e, 0);
    CU_ASSERT_EQUAL(evs_subscription_count(e), 0);
    evs_free(e);
}

static void test_limits(void)
{
    struct evs *e = new_evs(2, 270);
    struct evs_key k[300];
    for (uint32_t i = 0; i < 300; i++)
        k[i] = key(i);
    for (uint32_t i = 0; i < 250; i += 50)
        CU_ASSERT_EQUAL(evs_group_join(e, 0, k + i, 50), IPC_OK);
    /* All or none: 5 more would fit, 6 do not; those joined stay. */
    CU_ASSERT_EQUAL(evs_group_join(e, 0, k + 248, 8), IPC_ERR_TOO_MANY_GROUPS);
    CU_ASSERT_EQUAL(evs_subscription_count(e), 250);
    CU_ASSERT_EQUAL(evs_group_join(e, 0, k + 248, 7), IPC_OK);
    CU_ASSERT_EQUAL(evs_subscription_count(e), 255);
    CU_ASSERT_EQUAL(evs_group_join(e, 1, k, 16), IPC_ERR_NO_RESOURCES);
    CU_ASSERT_EQUAL(evs_subscription_count(e), 255);
    CU_ASSERT_EQUAL(evs_group_join(e, 1, k, 15), IPC_OK);
    evs_group_leave_all(e, 0);
    CU_ASSERT_EQUAL(evs_group_join(e, 1, k, 50), IPC_OK);
    CU_ASSERT_EQUAL(evs_subscription_count(e), 50);
    evs_free(e);
}

/* Every place of the table is used, and the memory behind it is not. */
static void test_full(void)
{
    enum { CLIENTS = 4, EACH = 50 };
    struct evs *e = new_evs(CLIENTS, CLIENTS * EACH);
    struct evs_message m;
    uint8_t data[200];
    for (uint32_t c = 0; c < CLIENTS; c++) {
        struct evs_key k[EACH];
        for (uint32_t i = 0; i < EACH; i++)
            k[i] = key(c * EACH + i);
        CU_ASSERT_EQUAL(evs_group_join(e, c, k, EACH), IPC_OK);
    }
    for (uint32_t i = 0; i < CLIENTS * EACH; i++) {
        struct evs_key k = key(i);
        size_t n = message(data, &k, 1, "x");
        CU_ASSERT(evs_message_read(e, (struct bytes){data, n}, &m));
        CU_ASSERT(m.client_count == 1 && has(&m, i / EACH));
    }
    evs_free(e);
}

/* The only one there is. */
static void test_single(void)
{
    struct evs *e = new_evs(2, 10);
    struct evs_key k = key(1);
    struct evs_message m;
    uint8_t data[100];
    size_t n = message(data, &k, 1, "x");
    CU_ASSERT(evs_message_read(e, (struct bytes){data, n}, &m));
    CU_ASSERT_EQUAL(m.client_count, 0);
    CU_ASSERT_EQUAL(evs_group_join(e, 1, &k, 1), IPC_OK);
    CU_ASSERT(evs_message_read(e, (struct bytes){data, n}, &m));
    CU_ASSERT(m.client_count == 1 && has(&m, 1));
    evs_group_leave_all(e, 1);
    CU_ASSERT(evs_message_read(e, (struct bytes){data, n}, &m));
    CU_ASSERT_EQUAL(m.client_count, 0);
    evs_free(e);
}

/* Joining what one has joined, and something impossible, leaves it joined. */
static void test_join_undone(void)
{
    struct evs *e = new_evs(2, 2);
    struct evs_key k[3] = {key(1), key(2), key(3)};
    CU_ASSERT_EQUAL(evs_group_join(e, 0, k, 1), IPC_OK);
    CU_ASSERT_EQUAL(evs_group_join(e, 0, k, 3), IPC_ERR_NO_RESOURCES);
    CU_ASSERT_EQUAL(evs_subscription_count(e), 1);
    CU_ASSERT_EQUAL(evs_group_join(e, 0, k, 2), IPC_OK);
    CU_ASSERT_EQUAL(evs_subscription_count(e), 2);
    evs_free(e);
}

/* A table that is listed in many parts. */
static void test_long_list(void)
{
    enum { CLIENTS = 25, EACH = 205 };
    static struct ipc_evs_group_info list[CLIENTS * EACH];
    struct evs *e = new_evs(CLIENTS, CLIENTS * EACH);
    uint32_t from = 0, found = 0, parts = 0;
    for (uint32_t i = 0; i < CLIENTS * EACH; i++) {
        struct evs_key k = key(i);
        CU_ASSERT_EQUAL(evs_group_join(e, i % CLIENTS, &k, 1), IPC_OK);
    }
    do {
        found += evs_group_list(e, from, list + found, CLIENTS * EACH - found,
                                &from);
        parts++;
    } while (from != 0 && parts < 100);
    CU_ASSERT(from == 0 && found == CLIENTS * EACH);
    CU_ASSERT_EQUAL(parts, 6); /* of 1,024 places */
    evs_free(e);
}

static void test_messages(void)
{
    struct evs *e = new_evs(8, 100);
    struct evs_key k[3] = {key(1), key(2), key(3)};
    struct evs_message m;
    uint8_t data[200];
    size_t n;
    memset(k[2].bytes, 0xab, sizeof k[2].bytes);
    evs_group_join(e, 0, k, 3);
    evs_group_join(e, 5, k + 1, 1);
    evs_group_join(e, 7, k + 2, 1);
    n = message(data, k, 3, "hello");
    CU_ASSERT(evs_message_read(e, (struct bytes){data, n}, &m));
    CU_ASSERT_EQUAL(m.client_count, 3); /* each once */
    CU_ASSERT(has(&m, 0) && has(&m, 5) && has(&m, 7));
    CU_ASSERT_EQUAL(m.payload.n, 5);
    CU_ASSERT_EQUAL(memcmp(m.payload.p, "hello", 5), 0);
    n = message(data, k + 1, 1, "");
    CU_ASSERT(evs_message_read(e, (struct bytes){data, n}, &m));
    CU_ASSERT_EQUAL(m.client_count, 2);
    CU_ASSERT_EQUAL(m.payload.n, 0);
    /* A key with its zeroes means the same. */
    uint8_t zeroes[] = {1, 6, 2, 0, 0, 0, 0, 0, 'x'};
    CU_ASSERT(evs_message_read(e, (struct bytes){zeroes, sizeof zeroes}, &m));
    CU_ASSERT_EQUAL(m.client_count, 2);
    uint8_t none[] = {0, 'x'};
    CU_ASSERT(evs_message_read(e, (struct bytes){none, sizeof none}, &m));
    CU_ASSERT_EQUAL(m.client_count, 0);
    CU_ASSERT_EQUAL(m.payload.n, 1);
    evs_free(e);
}

static void test_malformed(void)
{
    struct evs *e = new_evs(2, 10);
    struct evs_key k[2] = {key(1), key(2)};
    struct evs_message m;
    uint8_t data[100];
    uint8_t long_key[40] = {1, 33};
    memset(k[1].bytes, 'z', sizeof k[1].bytes);
    evs_group_join(e, 0, k, 2);
    size_t n = message(data, k, 2, "");
    for (size_t cut = 0; cut < n; cut++) { /* every prefix, exactly sized */
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact + 1, data, cut);
        CU_ASSERT(!evs_message_read(e, (struct bytes){exact + 1, cut}, &m));
        CU_ASSERT_EQUAL(m.client_count, 0);
        free(exact);
    }
    CU_ASSERT(evs_message_read(e, (struct bytes){data, n}, &m));
    CU_ASSERT(
        !evs_message_read(e, (struct bytes){long_key, sizeof long_key}, &m));
    evs_free(e);
}

/* Against a plain table, at random. */
static void test_random(void)
{
    enum { CLIENTS = 20, KEYS = 40 };
    static bool joined[CLIENTS][KEYS];
    struct evs *e = new_evs(CLIENTS, CLIENTS * KEYS);
    struct evs_message m;
    uint32_t count = 0, left;
    uint8_t data[100];
    srand(1);
    for (int step = 0; step < 50000; step++) {
        uint32_t c = (uint32_t)rand() % CLIENTS, k = (uint32_t)rand() % KEYS;
        struct evs_key name = key(k);
        switch (rand() % 8) {
        case 0:
        case 1:
        case 2:
            CU_ASSERT_EQUAL_FATAL(evs_group_join(e, c, &name, 1), IPC_OK);
            count += !joined[c][k];
            joined[c][k] = true;
            break;
        case 3:
        case 4:
            CU_ASSERT_EQUAL_FATAL(evs_group_leave(e, c, &name, 1, &left),
                                  joined[c][k] ? IPC_OK : IPC_ERR_NOT_EXIST);
            count -= joined[c][k];
            joined[c][k] = false;
            break;
        case 5:
            if (rand() % 20 != 0)
                break;
            evs_group_leave_all(e, c);
            for (k = 0; k < KEYS; k++) {
                count -= joined[c][k];
                joined[c][k] = false;
            }
            break;
        default: {
            size_t n = message(data, &name, 1, "p");
            uint32_t expected = 0;
            CU_ASSERT_FATAL(evs_message_read(e, (struct bytes){data, n}, &m));
            for (c = 0; c < CLIENTS; c++) {
                expected += joined[c][k];
                CU_ASSERT_EQUAL_FATAL(has(&m, c), joined[c][k]);
            }
            CU_ASSERT_EQUAL_FATAL(m.client_count, expected);
        }
        }
        CU_ASSERT_EQUAL_FATAL(evs_subscription_count(e), count);
    }
    evs_free(e);
}

static void test_configuration(void)
{
    struct evs *e = new_evs(1, 1);
    struct totem_configuration c = {.transitional = true, .member_count = 1};
    CU_ASSERT_PTR_NULL(evs_configuration_get(e));
    evs_configuration_set(e, &c);
    CU_ASSERT_PTR_NULL(evs_configuration_get(e));
    c.transitional = false;
    c.ring_id.seq = 12;
    evs_configuration_set(e, &c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(evs_configuration_get(e));
    CU_ASSERT_EQUAL(evs_configuration_get(e)->ring_id.seq, 12);
    evs_free(e);
}

/* --- the list of groups --------------------------------------------------- */

static uint32_t number_of(const struct ipc_evs_group_info *info)
{
    uint32_t n;
    memcpy(&n, info->key, sizeof n);
    return n;
}

/* Reads the whole list in pieces of `max`; how many clients each of the keys 0
 * to `keys` - 1 has, in `handles`. */
static uint32_t read_list(struct evs *e, uint32_t max, uint32_t *handles,
                          uint32_t keys)
{
    struct ipc_evs_group_info list[64];
    uint32_t from = 0, total = 0;
    memset(handles, 0, keys * sizeof *handles);
    do {
        uint32_t before = from;
        uint32_t n = evs_group_list(e, from, list, max, &from);
        CU_ASSERT_FATAL(n <= max && (from == 0 || from > before));
        for (uint32_t i = 0; i < n; i++) {
            uint32_t k = number_of(&list[i]);
            struct evs_key whole = key(k);
            CU_ASSERT_EQUAL(memcmp(&whole, list[i].key, sizeof whole), 0);
            CU_ASSERT_FATAL(k < keys);
            CU_ASSERT_EQUAL(handles[k], 0); /* each once */
            handles[k] = list[i].handles;
        }
        total += n;
    } while (from != 0);
    return total;
}

static void test_list(void)
{
    static const uint32_t pieces[] = {1, 2, 3, 63, 64};
    enum { CLIENTS = 3, KEYS = 130 };
    struct evs *e = new_evs(CLIENTS, CLIENTS * KEYS);
    struct ipc_evs_group_info info;
    uint32_t handles[KEYS], next = 99, left;
    CU_ASSERT_EQUAL(evs_group_list(e, 0, &info, 1, &next), 0);
    CU_ASSERT_EQUAL(next, 0);
    for (uint32_t k = 0; k < KEYS; k++) /* key k: of 1 + k % 3 clients */
        for (uint32_t c = 0; c <= k % CLIENTS; c++) {
            struct evs_key name = key(k);
            CU_ASSERT_EQUAL(evs_group_join(e, c, &name, 1), IPC_OK);
            CU_ASSERT_EQUAL(evs_group_join(e, c, &name, 1), IPC_OK);
        }
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(read_list(e, pieces[i], handles, KEYS), KEYS);
        for (uint32_t k = 0; k < KEYS; k++)
            CU_ASSERT_EQUAL(handles[k], 1 + k % CLIENTS);
    }
    /* From a stranger's place: nothing, or an end. */
    static const uint32_t beyond[] = {KEYS, KEYS + 1, UINT32_MAX};
    for (int i = 0; i < 3; i++) {
        next = 99;
        CU_ASSERT_EQUAL(evs_group_list(e, beyond[i], &info, 1, &next), 0);
        CU_ASSERT_EQUAL(next, 0);
    }
    evs_group_leave_all(e, 0); /* a third of the groups had only this one */
    CU_ASSERT_EQUAL(read_list(e, 7, handles, KEYS), KEYS - (KEYS + 2) / 3);
    for (uint32_t k = 0; k < KEYS; k++)
        CU_ASSERT_EQUAL(handles[k], k % CLIENTS);
    struct evs_key one = key(1);
    CU_ASSERT_EQUAL(evs_group_leave(e, 1, &one, 1, &left), IPC_OK);
    read_list(e, 64, handles, KEYS);
    CU_ASSERT_EQUAL(handles[1], 0);
    evs_group_leave_all(e, 1);
    evs_group_leave_all(e, 2);
    CU_ASSERT_EQUAL(read_list(e, 64, handles, KEYS), 0);
    evs_free(e);
}

/* A key that shows if it is half of one and half of another. */
static struct evs_key uniform(uint32_t n)
{
    struct evs_key k;
    memset(k.bytes, (int)(n % 255 + 1), sizeof k.bytes);
    return k;
}

static _Atomic bool stop_reading;
static _Atomic uint32_t torn, whole;

/* Two readers beside the one that changes; its places are used again for other
 * keys all the time. The group that stays is always in the list. */
static void *read_always(void *context)
{
    struct ipc_evs_group_info list[64];
    uint32_t from;
    while (!stop_reading) {
        uint32_t stays = 0;
        from = 0;
        do {
            uint32_t n = evs_group_list(context, from, list, 5, &from);
            for (uint32_t i = 0; i < n; i++) {
                struct evs_key u = uniform(list[i].key[0] - 1u);
                torn += memcmp(&u, list[i].key, sizeof u) != 0 ||
                        list[i].handles == 0 || list[i].handles > 2;
                stays += list[i].key[0] == 255;
                whole++;
            }
        } while (from != 0);
        torn += stays != 1;
    }
    return NULL;
}

static void test_list_beside_changes(void)
{
    struct evs *e = new_evs(2, 100);
    struct evs_key stays = uniform(254);
    pthread_t t[2];
    uint32_t left, steps = 0;
    stop_reading = false;
    torn = whole = 0;
    CU_ASSERT_EQUAL(evs_group_join(e, 0, &stays, 1), IPC_OK);
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, read_always, e);
    /* Until they have read enough, however the threads are scheduled. */
    srand(2);
    while ((whole < 100000 || steps < 100000) && steps < 50000000) {
        struct evs_key k = uniform((uint32_t)rand() % 200);
        uint32_t client = (uint32_t)rand() % 2;
        if (steps++ % 2 == 0)
            evs_group_join(e, client, &k, 1);
        else
            evs_group_leave(e, client, &k, 1, &left);
        if (steps % 64 == 0) {
            evs_group_leave_all(e, 1);
            for (uint32_t n = 0; n < 200; n++) {
                k = uniform(n);
                evs_group_leave(e, 0, &k, 1, &left);
            }
        }
    }
    stop_reading = true;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    CU_ASSERT_EQUAL(torn, 0);
    CU_ASSERT(whole >= 100000);
    evs_free(e);
}

static const struct unit_test tests[] = {
    {"join and leave", test_join_leave},
    {"limits", test_limits},
    {"full", test_full},
    {"single", test_single},
    {"join undone", test_join_undone},
    {"long list", test_long_list},
    {"messages", test_messages},
    {"malformed", test_malformed},
    {"random", test_random},
    {"configuration", test_configuration},
    {"list", test_list},
    {"list beside changes", test_list_beside_changes}};
UNIT_MAIN("evs service", tests)
