/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/internal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_open(struct mailbox *m)
{
    __cds_wfcq_init(&m->head, &m->tail);
    m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return m->fd < 0 ? -errno : 0;
}

void mailbox_close(struct mailbox *m)
{
    if (m->fd >= 0)
        close(m->fd);
    m->fd = -1;
}

void mailbox_ring(struct mailbox *m)
{
    const uint64_t one = 1;
    /* Cannot fail but by a full counter, and then it is readable anyway. */
    ssize_t n = write(m->fd, &one, sizeof one);
    (void)n;
}

void mailbox_put(struct mailbox *m, struct handover *h)
{
    cds_wfcq_node_init(&h->node);
    atomic_store_explicit(&h->handed, 1, memory_order_release);
    cds_wfcq_enqueue(&m->head, &m->tail, &h->node);
    mailbox_ring(m);
}

void mailbox_silence(struct mailbox *m)
{
    uint64_t count;
    ssize_t n = read(m->fd, &count, sizeof count);
    (void)n;
}

struct handover *mailbox_take(struct mailbox *m)
{
    /* Never blocks: if the giver is between its two steps (WOULDBLOCK), its
     * ring comes after them, and this is called again. */
    struct cds_wfcq_node *node =
        __cds_wfcq_dequeue_nonblocking(&m->head, &m->tail);
    struct handover *h;

    if (node == NULL || node == CDS_WFCQ_WOULDBLOCK)
        return NULL;
    h = caa_container_of(node, struct handover, node);
    (void)atomic_load_explicit(&h->handed, memory_order_acquire);
    return h;
}
