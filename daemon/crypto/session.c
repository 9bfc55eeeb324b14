// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/crypto/session.h"

#include "daemon/base/check.h"

#include <stdlib.h>
#include <string.h>

/* --- lists, newest first -------------------------------------------------- */

static void list_add(struct session_list *l, struct session *s)
{
    s->newer = NULL;
    s->older = l->newest;
    if (l->newest != NULL)
        l->newest->newer = s;
    else
        l->oldest = s;
    l->newest = s;
    l->count++;
}

static void list_remove(struct session_list *l, struct session *s)
{
    if (s->newer != NULL)
        s->newer->older = s->older;
    else
        l->newest = s->older;
    if (s->older != NULL)
        s->older->newer = s->newer;
    else
        l->oldest = s->newer;
    l->count--;
}

static void state_set(struct session_table *t, struct session *s,
                      enum session_state state)
{
    list_remove(&t->lists[s->state], s);
    s->state = state;
    list_add(&t->lists[state], s);
}

/* --- by salt -------------------------------------------------------------- */

/* Salts are random, and nobody without the key gets one into the table. */
static size_t bucket_of(const uint8_t *salt)
{
    return ((size_t)salt[0] | (size_t)salt[1] << 8) % SESSION_BUCKETS;
}

struct session *session_find(const struct session_table *t, const uint8_t *salt)
{
    struct session *s = t->buckets[bucket_of(salt)];
    while (s != NULL && memcmp(s->salt, salt, SEAL_SALT_SIZE) != 0)
        s = s->bucket_next;
    return s;
}

static void bucket_remove(struct session_table *t, struct session *s)
{
    struct session **at = &t->buckets[bucket_of(s->salt)];
    while (*at != s) {
        CHECK(*at != NULL);
        at = &(*at)->bucket_next;
    }
    *at = s->bucket_next;
}

struct session *session_find_node(const struct session_table *t,
                                  uint32_t node_id)
{
    struct session *s = t->lists[SESSION_VERIFIED].newest;
    while (s != NULL && s->node_id != node_id)
        s = s->older;
    return s;
}

/* --- life ----------------------------------------------------------------- */

bool session_table_init(struct session_table *t, struct aead_suite *suite,
                        uint32_t verified_max)
{
    *t = (struct session_table){
        .suite = suite,
        .size = verified_max + SESSION_UNVERIFIED_MAX + 1,
        .verified_max = verified_max,
    };
    t->all = calloc(t->size, sizeof *t->all);
    if (t->all == NULL)
        return false;
    for (uint32_t i = 0; i < t->size; i++) {
        list_add(&t->lists[SESSION_FREE], &t->all[i]);
        if (!aead_init(&t->all[i].aead, suite, false))
            return false;
    }
    return true;
}

void session_table_deinit(struct session_table *t)
{
    for (uint32_t i = 0; t->all != NULL && i < t->size; i++)
        aead_deinit(&t->all[i].aead);
    free(t->all);
    t->all = NULL;
}

void session_drop(struct session_table *t, struct session *s)
{
    CHECK(s->state != SESSION_FREE);
    bucket_remove(t, s);
    aead_wipe(&s->aead);
    state_set(t, s, SESSION_FREE);
}

void session_drop_all(struct session_table *t)
{
    for (uint32_t i = 0; i < t->size; i++)
        if (t->all[i].state != SESSION_FREE)
            session_drop(t, &t->all[i]);
}

struct session *session_candidate(const struct session_table *t)
{
    struct session *s = t->lists[SESSION_FREE].newest;
    CHECK(s != NULL);
    return s;
}

void session_adopt(struct session_table *t, struct session *s,
                   const uint8_t *salt)
{
    CHECK(s->state == SESSION_FREE);
    memcpy(s->salt, salt, SEAL_SALT_SIZE);
    s->generation = s->generation_ns = 0;
    s->challenge_ns = s->answer_ns = s->open_ns = 0;
    s->challenged = false;
    s->answers = s->opened = 0;
    s->node_id = 0;
    struct session **bucket = &t->buckets[bucket_of(salt)];
    s->bucket_next = *bucket;
    *bucket = s;
    state_set(t, s, SESSION_UNVERIFIED);
    if (t->lists[SESSION_UNVERIFIED].count > SESSION_UNVERIFIED_MAX)
        session_drop(t, t->lists[SESSION_UNVERIFIED].oldest);
}

void session_touch(struct session_table *t, struct session *s)
{
    if (t->lists[s->state].newest != s)
        state_set(t, s, s->state);
}

void session_verify(struct session_table *t, struct session *s,
                    uint32_t node_id, uint64_t counter)
{
    CHECK(s->state == SESSION_UNVERIFIED);
    CHECK(node_id != 0);
    struct session *before = session_find_node(t, node_id);
    s->has_replaced = before != NULL;
    if (before != NULL) {
        memcpy(s->replaced_salt, before->salt, SEAL_SALT_SIZE);
        session_drop(t, before);
    }
    s->node_id = node_id;
    s->floor = s->highest = counter;
    s->generation = s->replays = 0;
    memset(s->window, 0, sizeof s->window);
    state_set(t, s, SESSION_VERIFIED);
    if (t->lists[SESSION_VERIFIED].count > t->verified_max)
        session_drop(t, t->lists[SESSION_VERIFIED].oldest);
}

/* --- the replay window ---------------------------------------------------- */

bool session_is_fresh(const struct session *s, uint64_t counter)
{
    if (counter <= s->floor || counter == UINT64_MAX)
        return false;
    if (counter > s->highest)
        return true;
    if (s->highest - counter >= SESSION_WINDOW)
        return false;
    uint64_t i = counter % SESSION_WINDOW;
    return (s->window[i / 64] >> (i % 64) & 1) == 0;
}

void session_mark(struct session *s, uint64_t counter)
{
    CHECK(session_is_fresh(s, counter));
    if (counter > s->highest) {
        if (counter - s->highest >= SESSION_WINDOW)
            memset(s->window, 0, sizeof s->window);
        else
            for (uint64_t c = s->highest + 1; c < counter; c++) {
                uint64_t i = c % SESSION_WINDOW;
                s->window[i / 64] &= ~((uint64_t)1 << (i % 64));
            }
        s->highest = counter;
    }
    uint64_t i = counter % SESSION_WINDOW;
    s->window[i / 64] |= (uint64_t)1 << (i % 64);
}
