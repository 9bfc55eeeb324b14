/* SPDX-License-Identifier: BSD-3-Clause */
/* spin.h - whether to wait awake, and how long, before going to sleep.
 *
 * To be woken costs tens of microseconds where the processor has gone to sleep;
 * an answer may come in a tenth of one. So who waits looks again and again for
 * about as long as a wake-up would cost (`max_ns`), and then sleeps. That pays
 * only if what is waited for tends to come within that time, and if nobody else
 * needs the processor. Both are learned:
 *
 * - A wait that ended while spinning speaks for it; one that was spun through
 *   in vain against it; both weigh a lot. A wait that slept at once speaks for
 *   it a little if it was short. It was woken late, perhaps by one who had to
 *   be woken himself, so three times `max_ns` is still short.
 * - A spinner that finds a gap in its own time, in which the kernel gave its
 *   processor to another thread, was preempted: there are more who want to run
 *   than processors. It then sleeps at once for a while, which doubles as long
 *   as that goes on. A sleeper is also scheduled sooner than one who has spun
 *   its time slice away. (A gap without a switch is the host's of a virtual
 *   machine; it does not count, nor as time that was spun.)
 *
 * A thread at real-time priority is preempted by nobody, and what it spins away
 * others lose: its spins are *costly*. For it gaps mean nothing, and when
 * nothing speaks for spinning any more it sleeps at once for 4 ms, tries once,
 * and so on: in vain that takes a fiftieth of a processor.
 *
 * One struct for each kind of wait of one thread (or of who holds a lock). */
#ifndef IPC_SPIN_H
#define IPC_SPIN_H

#include <stdbool.h>
#include <stdint.h>

struct spin {
    uint32_t max_ns;      /* 0: never */
    uint32_t score;       /* high enough: spin */
    bool costly;          /* set after spin_init() */
    uint64_t barred_ns;   /* not before; 0: not barred. CLOCK_MONOTONIC */
    uint64_t bar_ns;      /* how long the last bar was */
    uint64_t bar_made_ns; /* and when it was made */
};

/* One wait. */
struct spin_wait {
    uint64_t begin_ns, seen_ns; /* 0: the clock was not read yet */
    uint64_t switches;          /* of this thread when it began, if `counted` */
    uint32_t looks;             /* since the clock was read */
    bool spun, counted;
};

/* `max_ns`: what a wake-up costs; 0 on a single processor. */
void spin_init(struct spin *s, uint32_t max_ns);

/* A wait begins. True: look, and again as long as spin_again() says so
 * (`places` is how many places were looked at); if what is waited for comes,
 * spin_hit(). False, or spin_again() is: sleep, and say so by spin_slept() when
 * it has come. */
bool spin_begin(struct spin *s, struct spin_wait *w);
bool spin_again(struct spin *s, struct spin_wait *w, uint32_t places);
void spin_hit(struct spin *s);
void spin_slept(struct spin *s, const struct spin_wait *w);

#endif
