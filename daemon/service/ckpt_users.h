/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_users.h - what each user of this node has of the checkpoint service, so
 * that one does not take what is there for all.
 *
 * A user is a number here, from the first to the last thing that it has; 0 is
 * nobody, who is not limited. Pure. Owner: protocol thread. */
#ifndef DAEMON_SERVICE_CKPT_USERS_H
#define DAEMON_SERVICE_CKPT_USERS_H

#include <stdbool.h>
#include <stdint.h>

enum { CKPT_USERS_MAX = 65535 }; /* 16 bits of an operation's id */

enum ckpt_kind {
    CKPT_OPENING,    /* opens that are on their way through the order */
    CKPT_HANDLE,     /* until it has been closed */
    CKPT_CHECKPOINT, /* that it created here, until it is deleted */
    CKPT_KINDS
};

struct ckpt_user {
    uint32_t uid;
    uint32_t count[CKPT_KINDS];
};

struct ckpt_users {
    struct ckpt_user *users;
    uint32_t max, used; /* places; up to the last that ever was used */
};

bool ckpt_users_init(struct ckpt_users *u, uint32_t max); /* false: no memory */
void ckpt_users_deinit(struct ckpt_users *u);

/* The number of a user; 0: there are as many others as there is room for. It is
 * good until something is taken and all has been given back. */
uint32_t ckpt_user_find(struct ckpt_users *u, uint32_t uid);

void ckpt_user_take(struct ckpt_users *u, uint32_t user, enum ckpt_kind kind);
void ckpt_user_give_back(struct ckpt_users *u, uint32_t user,
                         enum ckpt_kind kind);
uint32_t ckpt_user_has(const struct ckpt_users *u, uint32_t user,
                       enum ckpt_kind kind);

/* Nobody has any of these. */
void ckpt_users_forget(struct ckpt_users *u, enum ckpt_kind kind);

#endif
