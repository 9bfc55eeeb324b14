// SPDX-License-Identifier: BSD-3-Clause
/* watch.c - a thread that looks whether the ring's interface is where it was.
 *
 * Addresses move: to a bridge or a bond over the interface, to another one of
 * the same name, by DHCP. The kernel moves no socket after them. So this thread
 * compares, opens sockets where the address is now, and hands them over; the
 * protocol thread gives the old ones back to be closed. Opening, closing and
 * asking may all wait for the lock under which networks are configured, and the
 * protocol thread must not. */
#include "daemon/net/internal.h"

#include "daemon/base/log.h"
#include "daemon/base/thread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    TAKE_MS = 10, /* between looks whether the slot has been taken */
    PLACE_SIZE = INET_ADDRSTRLEN + IF_NAMESIZE + 32
};

static void bell_ring(int fd)
{
    const uint64_t one = 1;
    /* Cannot fail but by a full counter, and then it is readable anyway. */
    ssize_t n = write(fd, &one, sizeof one);
    (void)n;
}

/* --- what the log is told, once each ---------------------------------------*/

static void place_text(const struct interface *i, char *text, size_t size)
{
    char ip[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &i->address, ip, sizeof ip);
    snprintf(text, size, "%s on %s (index %d)", ip, i->name, i->index);
}

static void tell_lost(struct watch *w, bool lost)
{
    char place[PLACE_SIZE];
    if (lost && !w->lost) {
        place_text(&w->now.interface, place, sizeof place);
        log_write(LOG_LEVEL_ERROR, "NET",
                  "this node's address is gone (it was %s), and no interface "
                  "has another one that matches bindnetaddr; waiting for one",
                  place);
    }
    w->lost = lost;
}

static void tell_down(struct watch *w, const struct interface *i)
{
    if (i->up && w->down)
        log_write(LOG_LEVEL_NOTICE, "NET", "interface %s is up again", i->name);
    if (!i->up && !w->down)
        log_write(LOG_LEVEL_ERROR, "NET",
                  "interface %s is down; waiting for it", i->name);
    w->down = !i->up;
}

/* The packets of all nodes of a ring have one size, that of their start. */
static void tell_narrow(struct watch *w, const struct interface *i)
{
    bool narrow = i->mtu < w->packet_size;
    if (narrow && !w->narrow)
        log_write(LOG_LEVEL_WARNING, "NET",
                  "the MTU of interface %s is now %u, but the ring's packets "
                  "have up to %u bytes: those of this node leave in "
                  "fragments, those of others may not arrive; set the MTU to "
                  "%u again, or netmtu to %u on every node and restart them",
                  i->name, i->mtu, w->packet_size, w->packet_size, i->mtu);
    if (!narrow && w->narrow)
        log_write(LOG_LEVEL_NOTICE, "NET",
                  "the MTU of interface %s is %u again: room for the ring's "
                  "packets",
                  i->name, i->mtu);
    w->narrow = narrow;
}

static void tell_failed(struct watch *w, const char *what, const char *error)
{
    if (!w->failing)
        log_write(LOG_LEVEL_ERROR, "NET", "%s: %s; trying again", what, error);
    w->failing = true;
}

static void tell_moved(const struct watch *w, const struct interface *to)
{
    const struct interface *from = &w->now.interface;
    char before[PLACE_SIZE], after[PLACE_SIZE];
    bool readdressed = from->address.s_addr != to->address.s_addr;
    place_text(from, before, sizeof before);
    place_text(to, after, sizeof after);
    if (from->index == to->index && !readdressed)
        log_write(LOG_LEVEL_NOTICE, "NET",
                  "sockets opened again at this node's address %s", after);
    else
        log_write(LOG_LEVEL_NOTICE, "NET",
                  "this node's address was %s, and is %s now; followed it%s",
                  before, after,
                  readdressed && w->config->node_id == from->address.s_addr
                      ? " (the node id stays that of the old address; nodeid "
                        "sets one)"
                      : "");
}

/* --- looking ---------------------------------------------------------------
 */

static bool is_elsewhere(const struct watch *w, const struct interface *found)
{
    const struct interface *now = &w->now.interface;
    return found->index != now->index ||
           found->address.s_addr != now->address.s_addr;
}

/* While an address was away, the kernel may have forgotten the multicast group.
 * And when the MTU had no room for a packet, the sender gave up those of many
 * segments. */
static bool needs_sockets(const struct watch *w, const struct interface *found)
{
    return is_elsewhere(w, found) || w->lost ||
           (w->narrow && found->mtu >= w->packet_size);
}

static void hand_over(struct watch *w, const struct attachment *to)
{
    w->slot = w->now = *to;
    atomic_store_explicit(&w->slot_state, SLOT_NEW, memory_order_release);
    bell_ring(w->bell_fd);
}

static void follow(struct watch *w, const struct interface *found,
                   const struct rivals *rivals)
{
    struct attachment to = {.interface = *found};
    char error[256], what[PLACE_SIZE + 48], place[PLACE_SIZE];
    int code = interface_check(w->config, found, error, sizeof error);
    if (code == 0)
        code = sockets_open(&to, w->config, &w->now, error, sizeof error);
    if (code != 0) {
        place_text(found, place, sizeof place);
        snprintf(what, sizeof what, "cannot follow this node's address to %s",
                 place);
        tell_failed(w, what, error);
        return;
    }
    w->failing = false;
    tell_moved(w, found);
    if (is_elsewhere(w, found))
        rivals_tell(rivals, found);
    hand_over(w, &to);
    w->lost = false;
}

static void look(struct watch *w)
{
    struct interface found;
    struct rivals rivals;
    char error[256];
    int code = interface_find(&found, &rivals, &w->now.interface,
                              w->config->bind_net, error, sizeof error);
    if (code == -EADDRNOTAVAIL) {
        tell_lost(w, true);
        return;
    }
    if (code == -ENODEV)
        return; /* just renamed or removed: the next look will tell */
    if (code != 0) {
        tell_failed(w, "the interface cannot be looked after", error);
        return;
    }
    if (needs_sockets(w, &found)) {
        follow(w, &found, &rivals);
    } else {
        w->failing = false;
        if (strcmp(found.name, w->now.interface.name) != 0)
            log_write(LOG_LEVEL_NOTICE, "NET",
                      "interface %s has the name %s now", w->now.interface.name,
                      found.name);
        w->now.interface = found;
    }
    tell_down(w, &found);
    tell_narrow(w, &found);
}

/* --- the thread ------------------------------------------------------------
 */

static uint32_t slot_state(struct watch *w)
{
    return atomic_load_explicit(&w->slot_state, memory_order_acquire);
}

static void old_close(struct watch *w)
{
    if (slot_state(w) != SLOT_OLD)
        return;
    sockets_close(&w->slot);
    atomic_store_explicit(&w->slot_state, SLOT_EMPTY, memory_order_relaxed);
}

static void *thread_main(void *argument)
{
    struct watch *w = argument;
    int period_ms = (int)(w->config->downcheck_ns / 1000000);
    pthread_setname_np(pthread_self(), "interface");
    for (;;) {
        struct pollfd stop = {.fd = w->stop_fd, .events = POLLIN};
        bool taken = slot_state(w) != SLOT_NEW;
        if (poll(&stop, 1, taken ? period_ms : TAKE_MS) == 1)
            return NULL;
        old_close(w);
        if (taken && slot_state(w) == SLOT_EMPTY)
            look(w);
    }
}

int watch_start(struct watch *w, const struct net_config *config,
                const struct attachment *at, uint32_t packet_size)
{
    *w = (struct watch){
        .config = config, .now = *at, .packet_size = packet_size};
    w->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->bell_fd < 0 || w->stop_fd < 0)
        return -errno;
    int code = thread_start(&w->thread, thread_main, w);
    w->started = code == 0;
    return code;
}

void watch_stop(struct watch *w)
{
    if (w->started) {
        bell_ring(w->stop_fd);
        pthread_join(w->thread, NULL);
        if (slot_state(w) != SLOT_EMPTY)
            sockets_close(&w->slot);
    }
    w->started = false;
    if (w->bell_fd >= 0)
        close(w->bell_fd);
    if (w->stop_fd >= 0)
        close(w->stop_fd);
    w->bell_fd = w->stop_fd = -1;
}

/* --- the protocol thread's side --------------------------------------------
 */

bool watch_moved(struct watch *w)
{
    uint64_t count;
    ssize_t n = read(w->bell_fd, &count, sizeof count);
    (void)n;
    return slot_state(w) == SLOT_NEW;
}

void watch_swap(struct watch *w, struct attachment *at)
{
    struct attachment old = *at;
    *at = w->slot;
    w->slot = old;
    atomic_store_explicit(&w->slot_state, SLOT_OLD, memory_order_release);
}
