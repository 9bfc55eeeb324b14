/* SPDX-License-Identifier: BSD-3-Clause */
/* view.h - what ipc workers read without asking the protocol thread, under RCU.
 *
 * The protocol thread publishes; a worker reads between two of its quiescent
 * states; what was replaced goes to the admission thread, which frees it once
 * every worker has passed one. The
 * flavour is QSBR: reading costs one load, and a worker says where it holds
 * nothing (view_quiet(), view_sleeps()) in its loop anyway. */
#ifndef DAEMON_SERVER_VIEW_H
#define DAEMON_SERVER_VIEW_H

#include "daemon/service/clm.h"
#include "daemon/totem/totem.h"

#include <stdbool.h>
#include <stdint.h>

enum { VIEW_READERS_MAX = 16 };

struct handover;
struct retired_view;
struct views;

/* What is published, whole at each change. */
struct view {
    bool configured; /* there was a regular configuration: the last */
    struct totem_configuration configuration;
    bool clm_known; /* there was a view of CLM: the last */
    struct clm_view clm;
};

/* NULL when memory is short. */
struct views *views_new(void);

/* After the last reader has ended. */
void views_free(struct views *v);

/* Protocol thread; each may be NULL, if there is none yet. *old is what was
 * replaced, on its way to the thread that reclaims, or NULL. False: no memory,
 * and readers go on with what they have; not the first few times. */
bool view_publish(struct views *v, const struct totem_configuration *c,
                  const struct clm_view *clm, struct handover **old);
struct retired_view *view_handed(struct handover *h);

/* Takes them all back once no reader holds any: waits until each has passed a
 * quiescent state. Any thread that need not hurry. */
void views_reclaim(struct views *v, struct retired_view *const *old,
                   uint32_t count);

/* A reader's thread, in this order; `reader` below VIEW_READERS_MAX. */
void view_reader_begin(struct views *v);
void view_reader_end(struct views *v, uint32_t reader);

/* What there is now, good until the reader's next call of one of those below;
 * NULL: nothing yet. */
const struct view *view_get(const struct views *v);

void view_quiet(struct views *v, uint32_t reader);  /* holds nothing now */
void view_sleeps(struct views *v, uint32_t reader); /* nor until it wakes */
void view_wakes(void);

#endif
