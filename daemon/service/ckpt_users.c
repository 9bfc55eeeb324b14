/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/ckpt_users.h"

#include "daemon/base/check.h"

#include <stdlib.h>

bool ckpt_users_init(struct ckpt_users *u, uint32_t max)
{
    *u =
        (struct ckpt_users){.max = max < CKPT_USERS_MAX ? max : CKPT_USERS_MAX};
    u->users = calloc(u->max, sizeof *u->users);
    return u->users != NULL;
}

void ckpt_users_deinit(struct ckpt_users *u)
{
    free(u->users);
}

static bool has_any(const struct ckpt_user *user)
{
    for (int kind = 0; kind < CKPT_KINDS; kind++)
        if (user->count[kind] > 0)
            return true;
    return false;
}

/* There are few, so that looking at all is no matter. */
uint32_t ckpt_user_find(struct ckpt_users *u, uint32_t uid)
{
    uint32_t place = 0;

    for (uint32_t i = 0; i < u->used; i++) {
        if (!has_any(&u->users[i]))
            place = i + 1;
        else if (u->users[i].uid == uid)
            return i + 1;
    }
    if (place == 0 && u->used < u->max)
        place = ++u->used;
    if (place != 0)
        u->users[place - 1].uid = uid;
    return place;
}

static uint32_t *count_of(const struct ckpt_users *u, uint32_t user,
                          enum ckpt_kind kind)
{
    CHECK(user > 0 && user <= u->used);
    return &u->users[user - 1].count[kind];
}

void ckpt_user_take(struct ckpt_users *u, uint32_t user, enum ckpt_kind kind)
{
    if (user != 0)
        ++*count_of(u, user, kind);
}

void ckpt_user_give_back(struct ckpt_users *u, uint32_t user,
                         enum ckpt_kind kind)
{
    uint32_t *count;

    if (user == 0)
        return;
    count = count_of(u, user, kind);
    CHECK(*count > 0);
    --*count;
}

uint32_t ckpt_user_has(const struct ckpt_users *u, uint32_t user,
                       enum ckpt_kind kind)
{
    return user != 0 ? *count_of(u, user, kind) : 0;
}

void ckpt_users_forget(struct ckpt_users *u, enum ckpt_kind kind)
{
    for (uint32_t i = 0; i < u->used; i++)
        u->users[i].count[kind] = 0;
}
