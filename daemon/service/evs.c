/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/evs.h"

#include "daemon/base/check.h"
#include "daemon/base/hash.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Entries are named by their index + 1, 0 is none: the tables begin as zeroes,
 * so their pages stay untouched until they are used. */

/* A group that at least one local client has joined. */
struct group_entry {
    struct evs_key key;
    uint32_t next;  /* in the bucket, or in the free list */
    uint32_t first; /* subscription */
    uint32_t bucket;
    uint32_t clients;
};

enum { PLACES_PER_LIST = 1024 }; /* looked at in one call: it may be sparse */

/* What other threads may read of the group at the same place. `version` is odd
 * while it changes, and a reader who saw it odd, or two of them, reads again.
 * Versioned in place and not by RCU: the table is never freed nor moved. */
struct group_shown {
    _Atomic uint32_t version;
    _Atomic uint32_t clients; /* 0: no group */
    _Atomic uint64_t key[IPC_GROUP_KEY_SIZE / 8];
};

/* One client in one group: in the group's list and in the client's. */
struct subscription {
    uint32_t group, client;
    uint32_t group_next, group_prev;
    uint32_t client_next, client_prev; /* client_next: the free list too */
};

struct client_entry {
    uint32_t first; /* subscription */
    uint32_t count;
    uint64_t seen; /* the last message that matched it */
};

struct pool {
    uint32_t free; /* head of the list of entries given back */
    uint32_t used; /* entries that were ever taken */
};

struct evs {
    struct evs_config config;
    uint32_t bucket_mask;
    uint32_t *buckets;
    struct group_entry *groups; /* at most one for each subscription */
    struct group_shown *shown;
    _Atomic uint32_t shown_count; /* places ever used */
    struct subscription *subscriptions;
    struct client_entry *clients;
    uint32_t *matches;
    struct pool group_pool, subscription_pool;
    uint32_t count;
    uint64_t message; /* number of the message being read */
    bool configured;
    struct totem_configuration configuration;
};

static struct group_entry *group_at(struct evs *e, uint32_t id)
{
    CHECK(id > 0 && id <= e->config.subscription_max);
    return &e->groups[id - 1];
}

static struct subscription *sub_at(struct evs *e, uint32_t id)
{
    CHECK(id > 0 && id <= e->config.subscription_max);
    return &e->subscriptions[id - 1];
}

static struct client_entry *client_at(struct evs *e, uint32_t client)
{
    CHECK(client < e->config.client_max);
    return &e->clients[client];
}

static uint32_t bucket_of(const struct evs *e, const struct evs_key *key)
{
    struct bytes b = {key->bytes, sizeof key->bytes};

    return (uint32_t)hash_bytes(e->config.hash_seed, b) & e->bucket_mask;
}

struct evs *evs_new(const struct evs_config *config)
{
    struct evs *e = calloc(1, sizeof *e);
    uint32_t buckets = 1;

    CHECK(config->client_max > 0 && config->subscription_max > 0);
    CHECK(config->subscription_max <= 1u << 30);
    if (e == NULL)
        return NULL;
    while (buckets < config->subscription_max)
        buckets *= 2;
    e->config = *config;
    e->bucket_mask = buckets - 1;
    e->buckets = calloc(buckets, sizeof *e->buckets);
    e->groups = calloc(config->subscription_max, sizeof *e->groups);
    e->shown = calloc(config->subscription_max, sizeof *e->shown);
    e->subscriptions =
        calloc(config->subscription_max, sizeof *e->subscriptions);
    e->clients = calloc(config->client_max, sizeof *e->clients);
    e->matches = calloc(config->client_max, sizeof *e->matches);
    if (e->buckets == NULL || e->groups == NULL || e->shown == NULL ||
        e->subscriptions == NULL || e->clients == NULL || e->matches == NULL) {
        evs_free(e);
        return NULL;
    }
    return e;
}

void evs_free(struct evs *e)
{
    if (e == NULL)
        return;
    free(e->buckets);
    free(e->groups);
    free(e->shown);
    free(e->subscriptions);
    free(e->clients);
    free(e->matches);
    free(e);
}

/* --- what other threads see ----------------------------------------------- */

/* The group's count of clients has changed, and its key if it is new. */
static void show(struct evs *e, uint32_t id, uint32_t clients)
{
    struct group_shown *s = &e->shown[id - 1];
    const struct group_entry *g = group_at(e, id);
    uint64_t words[IPC_GROUP_KEY_SIZE / 8];
    uint32_t version = atomic_load_explicit(&s->version, memory_order_relaxed);

    memcpy(words, g->key.bytes, sizeof words);
    /* Release on all that follows the odd version, so that who sees any of it
     * sees the version odd or changed; pairs with the acquires in
     * shown_read(). */
    atomic_store_explicit(&s->version, version + 1, memory_order_relaxed);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        atomic_store_explicit(&s->key[i], words[i], memory_order_release);
    atomic_store_explicit(&s->clients, clients, memory_order_release);
    atomic_store_explicit(&s->version, version + 2, memory_order_release);
    if (id > atomic_load_explicit(&e->shown_count, memory_order_relaxed))
        atomic_store_explicit(&e->shown_count, id, memory_order_release);
}

/* False: it changed while it was read. */
static bool shown_read(const struct group_shown *s,
                       struct ipc_evs_group_info *info)
{
    uint64_t words[IPC_GROUP_KEY_SIZE / 8];
    uint32_t version = atomic_load_explicit(&s->version, memory_order_acquire);

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        words[i] = atomic_load_explicit(&s->key[i], memory_order_acquire);
    *info = (struct ipc_evs_group_info){
        .handles = atomic_load_explicit(&s->clients, memory_order_acquire)};
    memcpy(info->key, words, sizeof info->key);
    return version % 2 == 0 &&
           version == atomic_load_explicit(&s->version, memory_order_relaxed);
}

uint32_t evs_group_list(const struct evs *e, uint32_t from,
                        struct ipc_evs_group_info *list, uint32_t max,
                        uint32_t *next)
{
    uint32_t end = atomic_load_explicit(&e->shown_count, memory_order_acquire);
    uint32_t count = 0, at;

    for (at = from; at < end && count < max && at - from < PLACES_PER_LIST;
         at++) {
        while (!shown_read(&e->shown[at], &list[count]))
            ;
        count += list[count].handles > 0;
    }
    *next = at < end ? at : 0;
    return count;
}

/* --- the table ------------------------------------------------------------ */

static uint32_t group_find(struct evs *e, const struct evs_key *key)
{
    uint32_t id = e->buckets[bucket_of(e, key)];

    while (id != 0 && memcmp(&group_at(e, id)->key, key, sizeof *key) != 0)
        id = group_at(e, id)->next;
    return id;
}

static uint32_t group_add(struct evs *e, const struct evs_key *key)
{
    uint32_t id = e->group_pool.free, bucket = bucket_of(e, key);

    if (id != 0)
        e->group_pool.free = group_at(e, id)->next;
    else
        id = ++e->group_pool.used;
    *group_at(e, id) = (struct group_entry){
        .key = *key, .next = e->buckets[bucket], .bucket = bucket};
    e->buckets[bucket] = id;
    return id;
}

static void group_remove(struct evs *e, uint32_t id)
{
    struct group_entry *g = group_at(e, id);
    uint32_t *link = &e->buckets[g->bucket];

    while (*link != id)
        link = &group_at(e, *link)->next;
    *link = g->next;
    g->next = e->group_pool.free;
    e->group_pool.free = id;
}

/* The client's subscription to the group, 0: none. Walks the client's list
 * (255 at most), not the group's, which may hold every client. */
static uint32_t sub_find(struct evs *e, uint32_t client, uint32_t group)
{
    uint32_t id = client_at(e, client)->first;

    while (id != 0 && sub_at(e, id)->group != group)
        id = sub_at(e, id)->client_next;
    return id;
}

static void sub_add(struct evs *e, uint32_t client, uint32_t group)
{
    uint32_t id = e->subscription_pool.free;
    struct group_entry *g = group_at(e, group);
    struct client_entry *c = client_at(e, client);

    if (id != 0)
        e->subscription_pool.free = sub_at(e, id)->client_next;
    else
        id = ++e->subscription_pool.used;
    *sub_at(e, id) = (struct subscription){.group = group,
                                           .client = client,
                                           .group_next = g->first,
                                           .client_next = c->first};
    if (g->first != 0)
        sub_at(e, g->first)->group_prev = id;
    if (c->first != 0)
        sub_at(e, c->first)->client_prev = id;
    g->first = c->first = id;
    c->count++;
    e->count++;
    show(e, group, ++g->clients);
}

static void sub_remove(struct evs *e, uint32_t id)
{
    struct subscription *s = sub_at(e, id);
    struct group_entry *g = group_at(e, s->group);
    struct client_entry *c = client_at(e, s->client);

    if (s->group_next != 0)
        sub_at(e, s->group_next)->group_prev = s->group_prev;
    if (s->group_prev != 0)
        sub_at(e, s->group_prev)->group_next = s->group_next;
    else
        g->first = s->group_next;
    if (s->client_next != 0)
        sub_at(e, s->client_next)->client_prev = s->client_prev;
    if (s->client_prev != 0)
        sub_at(e, s->client_prev)->client_next = s->client_next;
    else
        c->first = s->client_next;
    CHECK(g->clients > 0);
    show(e, s->group, --g->clients);
    if (g->first == 0)
        group_remove(e, s->group);
    CHECK(c->count > 0 && e->count > 0);
    c->count--;
    e->count--;
    s->client_next = e->subscription_pool.free;
    e->subscription_pool.free = id;
}

/* Joins one group; *added: it was not joined before. */
static enum ipc_error join_one(struct evs *e, uint32_t client,
                               const struct evs_key *key, bool *added)
{
    uint32_t group = group_find(e, key);

    *added = false;
    if (group != 0 && sub_find(e, client, group) != 0)
        return IPC_OK;
    if (client_at(e, client)->count == IPC_GROUPS_MAX)
        return IPC_ERR_TOO_MANY_GROUPS;
    if (e->count == e->config.subscription_max)
        return IPC_ERR_NO_RESOURCES;
    if (group == 0)
        group = group_add(e, key);
    sub_add(e, client, group);
    *added = true;
    return IPC_OK;
}

enum ipc_error evs_group_join(struct evs *e, uint32_t client,
                              const struct evs_key *keys, uint32_t count)
{
    bool added[IPC_GROUPS_PER_CALL_MAX];
    enum ipc_error result = IPC_OK;
    uint32_t i;

    if (count > IPC_GROUPS_PER_CALL_MAX)
        return IPC_ERR_TOO_MANY_GROUPS;
    for (i = 0; i < count && result == IPC_OK; i++)
        result = join_one(e, client, &keys[i], &added[i]);
    if (result == IPC_OK)
        return IPC_OK;
    /* The last one tried was not added; undo those before it. */
    while (i-- > 0)
        if (added[i])
            sub_remove(e, sub_find(e, client, group_find(e, &keys[i])));
    return result;
}

enum ipc_error evs_group_leave(struct evs *e, uint32_t client,
                               const struct evs_key *keys, uint32_t count,
                               uint32_t *left)
{
    for (*left = 0; *left < count; ++*left) {
        uint32_t group = group_find(e, &keys[*left]);
        uint32_t sub = group == 0 ? 0 : sub_find(e, client, group);
        if (sub == 0)
            return IPC_ERR_NOT_EXIST;
        sub_remove(e, sub);
    }
    return IPC_OK;
}

void evs_group_leave_all(struct evs *e, uint32_t client)
{
    while (client_at(e, client)->first != 0)
        sub_remove(e, client_at(e, client)->first);
}

uint32_t evs_subscription_count(const struct evs *e)
{
    return e->count;
}

/* --- messages ------------------------------------------------------------- */

/* Adds the group's clients to the matches, those not in them yet. */
static void match_group(struct evs *e, const struct evs_key *key,
                        struct evs_message *m)
{
    uint32_t group = e->count == 0 ? 0 : group_find(e, key);
    uint32_t id = group == 0 ? 0 : group_at(e, group)->first;

    while (id != 0) {
        const struct subscription *s = sub_at(e, id);
        struct client_entry *c = client_at(e, s->client);
        if (c->seen != e->message) {
            c->seen = e->message;
            e->matches[m->client_count++] = s->client;
        }
        id = s->group_next;
    }
}

bool evs_message_read(struct evs *e, struct bytes data, struct evs_message *m)
{
    struct reader r = reader_of(data);
    uint32_t count = read_u8(&r);

    *m = (struct evs_message){.clients = e->matches};
    e->message++;
    for (uint32_t i = 0; i < count && !r.failed; i++) {
        struct evs_key key = {{0}};
        uint32_t length = read_u8(&r);
        if (length > sizeof key.bytes)
            r.failed = true;
        struct bytes b = read_bytes(&r, length);
        if (b.n > 0)
            memcpy(key.bytes, b.p, b.n);
        if (!r.failed)
            match_group(e, &key, m);
    }
    if (r.failed) {
        m->client_count = 0;
        return false;
    }
    m->payload = (struct bytes){r.p, r.left};
    return true;
}

/* --- configuration -------------------------------------------------------- */

void evs_configuration_set(struct evs *e, const struct totem_configuration *c)
{
    if (c->transitional)
        return;
    e->configuration = *c;
    e->configured = true;
}

const struct totem_configuration *evs_configuration_get(const struct evs *e)
{
    return e->configured ? &e->configuration : NULL;
}
