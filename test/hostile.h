/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile.h - the hostile test: what its parent (hostile.c), its attackers
 * (hostile_attack.c, hostile_rings.c, hostile_clm.c, hostile_ckpt.c) and its
 * honest clients (hostile_honest.c) share. */
#ifndef TEST_HOSTILE_H
#define TEST_HOSTILE_H

#include "test/evsclient.h"

#include <stdatomic.h>
#include <sys/types.h>

enum {
    ATTACKERS_MAX = 64,
    KINDS_MAX = 64,
    CHECKERS = 3, /* honest clients that compare what they are delivered */
    SECRET_SIZE = 32,
    TEXT_SIZE = 200,
    CHECKER_WINDOW = 8,   /* own messages under way */
    CONNECT_PATIENCE = 20 /* seconds, for an honest client */
};

/* Steps of an attacker, at each of which it may come to its end. */
enum step {
    STEP_NONE,
    STEP_SOCKET,
    STEP_CONNECTED,
    STEP_HALF_HELLO,
    STEP_HELLO,
    STEP_WELCOME,
    STEP_MAPPED,
    STEP_CLAIMED, /* a record begun, not pushed */
    STEP_PUSHED,
    STEP_PUBLISHED,
    STEP_RUNG,
    STEPS
};

enum fate { FATE_LIVE, FATE_KILL, FATE_STOP, FATE_TRACE, FATES };

enum honest_state { STARTING, READY, RESTING, DRAINING, DONE, FAILED };

struct honest {
    pid_t pid;
    _Atomic int state;
    _Atomic uint64_t sent, got, hash, rounds, max_ns, foreign;
    char why[TEXT_SIZE];
};

/* In the process of an honest client: it has not been served. */
__attribute__((format(printf, 1, 2), noreturn)) void fail(const char *format,
                                                          ...);
extern struct honest *self;

enum {
    HONEST_QUIET = CHECKERS,
    HONEST_MEMBERS,
    HONEST_IDLE,
    HONEST_CONNECTS,
    HONEST_CLM,
    HONEST_CKPT,
    HONESTS
};

struct hostile_slot {
    pid_t pid;
    unsigned kind;
    enum fate fate;
    enum step halt;
    uint64_t end_ns;
    bool seized;
    _Atomic int step;
};

/* What all processes of this program share. */
struct shared {
    uint8_t secret[SECRET_SIZE]; /* in every honest message */
    _Atomic bool go, rest, finish;
    struct honest honest[HONESTS];
    struct hostile_slot slots[ATTACKERS_MAX];
    _Atomic uint64_t admitted[KINDS_MAX], refused[KINDS_MAX];
    _Atomic uint64_t reached[FATES][STEPS];
    _Atomic uint64_t ended; /* attackers that saw that they were sent away */
    _Atomic uint64_t violations;
    char violation[TEXT_SIZE]; /* the first */
};
extern struct shared *shared;

/* From the command line. */
struct options {
    uint64_t seed, run_ns, bound_ns, rss_slack, shared_max;
    unsigned attackers;
    pid_t daemon;
    uid_t uid; /* the attackers' */
    gid_t gid;
    const char *only; /* this kind alone */
    bool can_setuid;
};
extern struct options opt;

/* --- chance and time ------------------------------------------------------ */

extern uint64_t chance; /* of this process */

static inline uint64_t rnd(void)
{
    chance += 0x9e3779b97f4a7c15;
    uint64_t z = chance;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static inline uint32_t below(uint32_t n)
{
    return (uint32_t)(rnd() % n);
}

static inline void pause_us(long us)
{
    struct timespec t = {.tv_sec = us / 1000000,
                         .tv_nsec = us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

/* --- its parts ------------------------------------------------------------ */

/* What must not be possible has happened: the run fails, the first is shown. */
__attribute__((format(printf, 1, 2))) void violation(const char *format, ...);

/* As which user: one of the group that may connect, a second such (who has a
 * quota of his own), or one who may not. */
enum who { MEMBER, OTHER_MEMBER, STRANGER };

/* What must have happened to it at least once for the kind to count as made. */
enum outcome { ADMITTED, REFUSED, NEITHER };

struct kind {
    const char *name;
    void (*attack)(void);
    enum who who;
    enum outcome outcome;
};
extern const struct kind kinds[];
extern const unsigned kind_count;

/* In a process of its own: does not return. */
__attribute__((noreturn)) void attacker_run(struct hostile_slot *slot,
                                            uint64_t seed);
__attribute__((noreturn)) void honest_run(unsigned which);
void honest_ckpt(void); /* hostile_honest_ckpt.c */

#endif
