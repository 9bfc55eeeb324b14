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

enum { SPARES = 3 };

struct views {
    _Atomic(struct retired_view *) current;
    /* Reserved, so that the protocol thread need not allocate: what was
     * reclaimed comes back here. More are made only if views follow each other
     * faster than that. */
    _Atomic(struct retired_view *) spares[SPARES];
    /* Release-stored by a reader that holds nothing, acquire-loaded before
     * something is reclaimed. As with `handed` of a mailbox: liburcu's own
     * barriers promise it; ThreadSanitizer knows only this. */
    struct {
        alignas(128) _Atomic uint32_t passed;
    } readers[VIEW_READERS_MAX];
};

/* Puts it where a spare is missing, or frees it. */
static void give_back(struct views *v, struct retired_view *view)
{
    for (int i = 0; i < SPARES; i++) {
        struct retired_view *none = NULL;
        /* Release: who takes it may write to it; pairs with take_spare(). */
        if (atomic_compare_exchange_strong_explicit(&v->spares[i], &none, view,
                                                    memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    free(view);
}

static struct retired_view *take_spare(struct views *v)
{
    for (int i = 0; i < SPARES; i++) {
        struct retired_view *view =
            atomic_exchange_explicit(&v->spares[i], NULL, memory_order_acquire);
        if (view != NULL)
            return view;
    }
    return malloc(sizeof(struct retired_view));
}

struct views *views_new(void)
{
    struct views *v = aligned_alloc(alignof(struct views), sizeof *v);

    if (v == NULL)
        return NULL;
    atomic_init(&v->current, NULL);
    for (int i = 0; i < VIEW_READERS_MAX; i++)
        atomic_init(&v->readers[i].passed, 0);
    for (int i = 0; i < SPARES; i++)
        atomic_init(&v->spares[i], malloc(sizeof(struct retired_view)));
    for (int i = 0; i < SPARES; i++)
        if (atomic_load_explicit(&v->spares[i], memory_order_relaxed) == NULL) {
            views_free(v);
            return NULL;
        }
    return v;
}

void views_free(struct views *v)
{
    if (v == NULL)
        return;
    free(atomic_load_explicit(&v->current, memory_order_acquire));
    for (int i = 0; i < SPARES; i++)
        free(atomic_load_explicit(&v->spares[i], memory_order_acquire));
    free(v);
}

bool view_publish(struct views *v, const struct totem_configuration *c,
                  const struct clm_view *clm, struct handover **old)
{
    struct retired_view *view = take_spare(v), *before;

    *old = NULL;
    if (view == NULL)
        return false;
    view->retired = (struct handover){.kind = HANDOVER_RETIRED};
    view->view.configured = c != NULL;
    view->view.clm_known = clm != NULL;
    if (c != NULL)
        view->view.configuration = *c;
    if (clm != NULL)
        view->view.clm = *clm;
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
    urcu_qsbr_synchronize_rcu();
    for (int i = 0; i < VIEW_READERS_MAX; i++)
        (void)atomic_load_explicit(&v->readers[i].passed, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        give_back(v, old[i]);
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
