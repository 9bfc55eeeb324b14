/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/view.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <urcu/urcu-qsbr.h>

struct view {
    struct totem_configuration configuration;
    struct views *views;
    struct rcu_head reclaim;
    /* Release-stored before it is given to liburcu, acquire-loaded before it is
     * freed. As with `handed` of a mailbox: liburcu's own barriers promise it;
     * ThreadSanitizer knows only this. */
    _Atomic uint32_t handed;
};

struct views {
    _Atomic(struct view *) current;
    /* Release-stored by a reader that holds nothing, acquire-loaded before
     * something is freed; for ThreadSanitizer too. */
    struct {
        alignas(128) _Atomic uint32_t passed;
    } readers[VIEW_READERS_MAX];
};

struct views *views_new(void)
{
    struct views *v = aligned_alloc(alignof(struct views), sizeof *v);

    if (v == NULL)
        return NULL;
    atomic_init(&v->current, NULL);
    for (int i = 0; i < VIEW_READERS_MAX; i++)
        atomic_init(&v->readers[i].passed, 0);
    /* Now, and not from the protocol thread when it runs at real-time
     * priority. */
    urcu_qsbr_get_default_call_rcu_data();
    return v;
}

void views_free(struct views *v)
{
    if (v == NULL)
        return;
    urcu_qsbr_barrier();
    free(atomic_load_explicit(&v->current, memory_order_acquire));
    free(v);
}

static void reclaim(struct rcu_head *head)
{
    struct view *view = caa_container_of(head, struct view, reclaim);

    (void)atomic_load_explicit(&view->handed, memory_order_acquire);
    for (int i = 0; i < VIEW_READERS_MAX; i++)
        (void)atomic_load_explicit(&view->views->readers[i].passed,
                                   memory_order_acquire);
    free(view);
}

bool view_publish(struct views *v, const struct totem_configuration *c)
{
    struct view *view = malloc(sizeof *view), *old;

    if (view == NULL)
        return false;
    view->configuration = *c;
    view->views = v;
    /* Release: who finds the pointer finds what it names; pairs with the
     * acquire in view_configuration(). */
    old = atomic_exchange_explicit(&v->current, view, memory_order_acq_rel);
    if (old == NULL)
        return true;
    atomic_store_explicit(&old->handed, 1, memory_order_release);
    /* This thread is no reader, and so not registered: registering takes a lock
     * that is held over grace periods. The reclaiming thread is the default
     * one, which is never freed. */
    urcu_qsbr_call_rcu(&old->reclaim, reclaim);
    return true;
}

const struct totem_configuration *view_configuration(const struct views *v)
{
    const struct view *view =
        atomic_load_explicit(&v->current, memory_order_acquire);
    return view == NULL ? NULL : &view->configuration;
}

static void pass(struct views *v, uint32_t reader)
{
    atomic_store_explicit(&v->readers[reader].passed, 1, memory_order_release);
}

void view_reader_begin(struct views *v)
{
    (void)v;
    urcu_qsbr_register_thread();
}

void view_reader_end(struct views *v, uint32_t reader)
{
    pass(v, reader);
    urcu_qsbr_unregister_thread();
}

void view_quiet(struct views *v, uint32_t reader)
{
    pass(v, reader);
    urcu_qsbr_quiescent_state();
}

void view_sleeps(struct views *v, uint32_t reader)
{
    pass(v, reader);
    urcu_qsbr_thread_offline();
}

void view_wakes(void)
{
    urcu_qsbr_thread_online();
}
