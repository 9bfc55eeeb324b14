/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/view.h"

#include "daemon/server/internal.h"

#include <stdalign.h>
#include <stdlib.h>
#include <urcu/urcu-qsbr.h>

struct retired_view {
    struct view view; /* first: it is what readers get */
    struct handover retired;
};

struct views {
    _Atomic(struct retired_view *) current;
    /* Release-stored by a reader that holds nothing, acquire-loaded before
     * something is freed. As with `handed` of a mailbox: liburcu's own barriers
     * promise it; ThreadSanitizer knows only this. */
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
    return v;
}

void views_free(struct views *v)
{
    if (v == NULL)
        return;
    free(atomic_load_explicit(&v->current, memory_order_acquire));
    free(v);
}

bool view_publish(struct views *v, const struct totem_configuration *c,
                  const struct clm_view *clm, struct handover **old)
{
    struct retired_view *view = calloc(1, sizeof *view), *before;

    *old = NULL;
    if (view == NULL)
        return false;
    view->retired.kind = HANDOVER_RETIRED;
    if (c != NULL) {
        view->view.configured = true;
        view->view.configuration = *c;
    }
    if (clm != NULL) {
        view->view.clm_known = true;
        view->view.clm = *clm;
    }
    /* Release: who finds the pointer finds what it names; pairs with the
     * acquire in view_get(). */
    before = atomic_exchange_explicit(&v->current, view, memory_order_acq_rel);
    if (before != NULL)
        *old = &before->retired;
    return true;
}

struct retired_view *view_handed(struct handover *h)
{
    return caa_container_of(h, struct retired_view, retired);
}

void views_reclaim(struct views *v, struct retired_view *const *old,
                   uint32_t count)
{
    if (count == 0)
        return;
    urcu_qsbr_synchronize_rcu();
    for (int i = 0; i < VIEW_READERS_MAX; i++)
        (void)atomic_load_explicit(&v->readers[i].passed, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        free(old[i]);
}

const struct view *view_get(const struct views *v)
{
    const struct retired_view *view =
        atomic_load_explicit(&v->current, memory_order_acquire);
    return view == NULL ? NULL : &view->view;
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
