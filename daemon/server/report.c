/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/report.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

/* Alone for so long, a node says what it hears; then after twice as long each
 * time, up to the maximum. */
static const uint64_t alone_first_ns = 5000000000;
static const uint64_t alone_wait_max_ns = 80000000000;

void report_init(struct report *r, const struct protocol_parts *parts,
                 uint64_t now_ns)
{
    *r = (struct report){.parts = parts,
                         .alone = true,
                         .alone_ns = now_ns,
                         .tell_ns = now_ns + alone_first_ns,
                         .wait_ns = alone_first_ns};
}

/* --- configurations ------------------------------------------------------- */

static void address_text(const struct report *r, uint32_t node_id, char *text,
                         size_t size)
{
    const struct net *net = r->parts->net;
    struct sockaddr_in a;
    char ip[INET_ADDRSTRLEN] = "address unknown";
    struct in_addr local = net_local_address(net);
    if (node_id == r->parts->config->totem.nodeid)
        inet_ntop(AF_INET, &local, ip, sizeof ip);
    else if (net_peer_address(net, node_id, &a))
        inet_ntop(AF_INET, &a.sin_addr, ip, sizeof ip);
    snprintf(text, size, "%s (node %u)", ip, node_id);
}

static void log_nodes(const struct report *r, const char *what,
                      const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[64];
        address_text(r, ids[i], text, sizeof text);
        log_write(LOG_LEVEL_NOTICE, "TOTEM", "  %s: %s", what, text);
    }
}

void report_configuration(struct report *r, const struct totem_configuration *c)
{
    log_write(LOG_LEVEL_NOTICE, "TOTEM",
              "%s configuration, ring %" PRIu64 " of node %u: %u members",
              c->transitional ? "transitional" : "regular", c->ring_id.seq,
              c->ring_id.rep, c->member_count);
    log_nodes(r, "member", c->members, c->member_count);
    log_nodes(r, "left", c->left, c->left_count);
    log_nodes(r, "joined", c->joined, c->joined_count);
    if (c->transitional)
        return;
    r->member_count = c->member_count;
    if (c->member_count > 1)
        r->alone = false;
}

/* The MTU that a node's largest data packet tells of, bytes. */
static uint32_t mtu_of(uint32_t packet_size_max)
{
    const uint32_t ip_udp = 28;
    return packet_size_max + SEAL_OVERHEAD + ip_udp;
}

void report_mismatch(struct report *r, uint32_t node_id,
                     uint32_t packet_size_max, uint64_t now_ns)
{
    uint32_t own = net_payload_size(r->parts->net) - SEAL_OVERHEAD;
    uint32_t suppressed;
    char text[64];
    if (!log_limit_pass(&r->mismatch_limit, now_ns, 1, &suppressed))
        return;
    address_text(r, node_id, text, sizeof text);
    log_write(LOG_LEVEL_ERROR, "TOTEM",
              "no ring with %s: its MTU is %u, here it is %u bytes; set the "
              "same netmtu on every node (%u more not logged)",
              text, mtu_of(packet_size_max), mtu_of(own), suppressed);
}

/* --- links ---------------------------------------------------------------- */

static void log_bad_link(const struct report *r, const char *node,
                         enum totem_link_state state)
{
    const struct config_totem *t = &r->parts->config->totem;
    switch (state) {
    case TOTEM_LINK_UNHEARD:
        log_write(LOG_LEVEL_WARNING, "TOTEM",
                  "%s and this node do not hear each other, though others do: "
                  "no ring with it until they do; does a firewall, a route or "
                  "a switch stop UDP port %u between the two?",
                  node, t->mcastport);
        break;
    case TOTEM_LINK_TOKEN:
        log_write(LOG_LEVEL_WARNING, "TOTEM",
                  "%s is alive, but does not acknowledge the token: no ring "
                  "with it until it does; does a firewall stop UDP port %u, or "
                  "is the route lost, there or back?",
                  node, t->mcastport + 1);
        break;
    case TOTEM_LINK_DATA:
        log_write(LOG_LEVEL_WARNING, "TOTEM",
                  "%s does not receive the ring's data, though it gets the "
                  "token: no ring with it until it does; does a switch filter "
                  "multicast (IGMP snooping without a querier), is the path's "
                  "MTU smaller than the interface's (netmtu), does a network "
                  "card lose segments (offload)?",
                  node);
        break;
    case TOTEM_LINK_LEFT_OUT:
    case TOTEM_LINK_GOOD:
        break;
    }
}

void report_link(const struct report *r, const struct totem_event *event)
{
    char node[64], other[64];
    address_text(r, event->link.node_id, node, sizeof node);
    if (event->link.state == TOTEM_LINK_GOOD) {
        log_write(LOG_LEVEL_NOTICE, "TOTEM",
                  "%s: packets arrive both ways again; it may join", node);
    } else if (event->link.state == TOTEM_LINK_LEFT_OUT) {
        address_text(r, event->link.other, other, sizeof other);
        log_write(LOG_LEVEL_WARNING, "TOTEM",
                  "%s is left out of the ring: it and %s do not get on", node,
                  other);
    } else {
        log_bad_link(r, node, event->link.state);
    }
}

/* --- refused packets ------------------------------------------------------ */

void report_refused(struct report *r, enum seal_result why,
                    const struct sockaddr_in *source, uint64_t now_ns)
{
    bool version = why == SEAL_VERSION;
    struct log_limit *limit = version ? &r->version_limit : &r->digest_limit;
    uint32_t suppressed;
    char ip[INET_ADDRSTRLEN];
    if (!log_limit_pass(limit, now_ns, 1, &suppressed))
        return;
    inet_ntop(AF_INET, &source->sin_addr, ip, sizeof ip);
    if (version)
        log_write(LOG_LEVEL_ERROR, "CRYPTO",
                  "packet of another protocol version from %s: run the same "
                  "release on every node (%u more not logged)",
                  ip, suppressed);
    else
        log_write(LOG_LEVEL_ERROR, "CRYPTO",
                  "invalid digest from %s: its key is not ours; install the "
                  "same authkey, and set the same cipher, on every node; or "
                  "something on the way gives its packets another address (%u "
                  "more not logged)",
                  ip, suppressed);
}

void report_unlisted(struct report *r, const struct sockaddr_in *source,
                     uint64_t now_ns)
{
    uint32_t suppressed;
    char ip[INET_ADDRSTRLEN];
    r->unlisted++;
    if (!log_limit_pass(&r->unlisted_limit, now_ns, 1, &suppressed))
        return;
    inet_ntop(AF_INET, &source->sin_addr, ip, sizeof ip);
    log_write(LOG_LEVEL_WARNING, "NET",
              "packet from %s, which is not in the list of nodes: if it is a "
              "node of this cluster, put it in the list on every node (%u more "
              "not logged)",
              ip, suppressed);
}

/* --- what no packet tells ------------------------------------------------- */

static void tell_conflicts(struct report *r)
{
    uint32_t node_id;
    uint64_t conflicts = seal_conflicts(r->parts->seal, &node_id);
    if (conflicts == r->conflicts)
        return;
    log_write(LOG_LEVEL_ERROR, "CRYPTO",
              "two living daemons have the node id %u%s: they take turns in "
              "the ring (seen %" PRIu64 " times); give each node its own "
              "nodeid and address, or stop one of them",
              node_id,
              node_id == r->parts->config->totem.nodeid ? ", this one's" : "",
              conflicts - r->conflicts);
    r->conflicts = conflicts;
}

/* A network may repeat a packet now and then. */
enum { REPLAYS_TOLD = 1000 };

static void tell_replays(const struct report *r)
{
    uint32_t node_id = 0;
    uint64_t replays = seal_replays(r->parts->seal, &node_id);
    char text[64];
    if (replays < REPLAYS_TOLD)
        return;
    address_text(r, node_id, text, sizeof text);
    log_write(LOG_LEVEL_WARNING, "CRYPTO",
              "%" PRIu64 " packets of %s came a second time and were dropped: "
              "somebody plays back what was overheard, the network repeats "
              "packets (a loop of switches), or that host was set back to a "
              "snapshot, and then begins a new session in seconds; if it "
              "stays out of the ring, restart its daemon",
              replays, text);
}

/* What helps most likely, by what came while this node was alone. */
static const char *remedy(const uint64_t *heard)
{
    if (heard[SEAL_OTHER_KEY] + heard[SEAL_BAD_DIGEST] > 0)
        return "install the same authkey and set the same cipher everywhere";
    if (heard[SEAL_VERSION] > 0)
        return "run the same release on every node";
    if (heard[SEAL_OK] > 0)
        return "nodes answer, but no ring forms: does a firewall stop the "
               "token's port, or the network lose packets of this size "
               "(netmtu)?";
    if (heard[SEAL_UNVERIFIED] > 0)
        return "nodes are heard, but do not answer: does a firewall stop one "
               "of the ports, or one direction?";
    return "does another program, or another cluster, use this port?";
}

static void tell_alone(const struct report *r, const uint64_t *heard,
                       uint64_t sum, uint64_t alone_s)
{
    const struct config_totem *t = &r->parts->config->totem;
    if (sum > 0)
        log_write(LOG_LEVEL_WARNING, "TOTEM",
                  "no other node in the ring for %" PRIu64
                  " s, though packets came: %" PRIu64
                  " with an invalid digest, %" PRIu64
                  " of another version, %" PRIu64 " unverified, %" PRIu64
                  " good, %" PRIu64 " foreign; %s (UDP ports %u and %u)",
                  alone_s, heard[SEAL_OTHER_KEY] + heard[SEAL_BAD_DIGEST],
                  heard[SEAL_VERSION], heard[SEAL_UNVERIFIED], heard[SEAL_OK],
                  heard[SEAL_FOREIGN], remedy(heard), t->mcastport,
                  t->mcastport + 1);
    else if (t->transport == CONFIG_UNICAST && t->node_count > 1)
        log_write(LOG_LEVEL_WARNING, "TOTEM",
                  "nothing came from any of the %u other nodes for %" PRIu64
                  " s: do they run, is this node in their lists, do firewalls "
                  "let the UDP ports %u and %u pass?",
                  t->node_count - 1, alone_s, t->mcastport, t->mcastport + 1);
}

static void check_alone(struct report *r, uint64_t now_ns)
{
    const uint64_t *counts = seal_counts(r->parts->seal);
    uint64_t heard[SEAL_RESULT_COUNT], sum = 0;
    if (r->member_count > 1 &&
        totem_state_get(r->parts->totem) == TOTEM_OPERATIONAL)
        r->alone = false;
    else if (!r->alone) {
        r->alone = true;
        r->alone_ns = now_ns;
        r->wait_ns = alone_first_ns;
        r->tell_ns = now_ns + alone_first_ns;
        memcpy(r->heard, counts, sizeof r->heard);
    }
    if (!r->alone || now_ns < r->tell_ns)
        return;
    for (int i = 0; i < SEAL_RESULT_COUNT; i++) {
        heard[i] = counts[i] - r->heard[i];
        if (i != SEAL_OWN)
            sum += heard[i];
    }
    tell_alone(r, heard, sum, (now_ns - r->alone_ns) / 1000000000);
    if (r->wait_ns < alone_wait_max_ns)
        r->wait_ns *= 2;
    r->tell_ns = now_ns + r->wait_ns;
}

uint64_t report_tick(struct report *r, uint64_t now_ns)
{
    tell_conflicts(r);
    tell_replays(r);
    check_alone(r, now_ns);
    return now_ns + alone_first_ns;
}

/* --- statistics ----------------------------------------------------------- */

static void totem_statistics(const struct totem_stats *t)
{
    log_write(LOG_LEVEL_INFO, "TOTEM",
              "packets: %" PRIu64 " sent, %" PRIu64 " received, %" PRIu64
              " sent again, %" PRIu64 " asked for; tokens: %" PRIu64
              " received, %" PRIu64 " held, %" PRIu64 " sent again, %" PRIu64
              " lost; %" PRIu64 " gathers, %" PRIu64 " rings",
              t->packets_sent, t->packets_received, t->retransmits_sent,
              t->retransmits_asked, t->tokens_received, t->holds,
              t->token_retransmits, t->token_losses, t->gathers,
              t->rings_formed);
    log_write(LOG_LEVEL_INFO, "TOTEM",
              "dropped: %" PRIu64 " malformed, %" PRIu64
              " of another ring or round, %" PRIu64 " duplicates, %" PRIu64
              " beyond the window, %" PRIu64 " of another packet size, %" PRIu64
              " in another's name",
              t->dropped[TOTEM_DROP_MALFORMED], t->dropped[TOTEM_DROP_STALE],
              t->dropped[TOTEM_DROP_DUPLICATE], t->dropped[TOTEM_DROP_WINDOW],
              t->dropped[TOTEM_DROP_PACKET_SIZE],
              t->dropped[TOTEM_DROP_SENDER]);
}

static void net_statistics(const struct net_stats *n)
{
    log_write(LOG_LEVEL_INFO, "NET",
              "datagrams: %" PRIu64 " sent in %" PRIu64 " calls, %" PRIu64
              " received in %" PRIu64 " calls, %" PRIu64
              " lost in receive buffers, %" PRIu64 " send errors, %" PRIu64
              " ICMP packets ignored, %" PRIu64 " for unknown nodes",
              n->sent_datagrams, n->send_calls, n->received_datagrams,
              n->receive_calls, n->kernel_drops, n->send_errors,
              n->errors_ignored, n->unknown_peer);
}

static void seal_statistics(const struct seal *seal, uint64_t unlisted)
{
    const uint64_t *counts = seal_counts(seal);
    uint32_t node_id;
    uint64_t conflicts = seal_conflicts(seal, &node_id);
    for (int i = 0; i < SEAL_RESULT_COUNT; i++)
        if (counts[i] > 0)
            log_write(LOG_LEVEL_INFO, "CRYPTO", "%s: %" PRIu64,
                      seal_result_name((enum seal_result)i), counts[i]);
    if (conflicts > 0)
        log_write(LOG_LEVEL_INFO, "CRYPTO",
                  "node id in two processes: %" PRIu64 ", the last %u",
                  conflicts, node_id);
    if (unlisted > 0)
        log_write(LOG_LEVEL_INFO, "CRYPTO",
                  "of hosts not in the list of nodes: %" PRIu64, unlisted);
}

static void group_statistics(const struct group_stats *g)
{
    log_write(LOG_LEVEL_INFO, "GROUP",
              "messages: %" PRIu64 " sent, %" PRIu64 " delivered; %" PRIu64
              " fragments sent; dropped: %" PRIu64
              " cut by a configuration, %" PRIu64 " malformed",
              g->messages_sent, g->messages_delivered, g->fragments_sent,
              g->dropped_partial, g->dropped_malformed);
}

static void server_statistics(const struct server_stats *s)
{
    log_write(LOG_LEVEL_INFO, "IPC",
              "clients: %" PRIu64 " now, %" PRIu64 " in all, %" PRIu64
              " refused, %" PRIu64 " corrupt, %" PRIu64 " too slow; %" PRIu64
              " messages and requests taken, %" PRIu64
              " messages delivered, %" PRIu64 " malformed; %" PRIu64
              " doorbells, %" PRIu64 " not listened to for a while, %" PRIu64
              " wake-ups",
              s->clients_now, s->clients_total, s->refused, s->corrupt,
              s->overflowed, s->submitted, s->delivered, s->malformed,
              s->doorbells, s->hushed, s->wakes);
    log_write(LOG_LEVEL_INFO, "IPC",
              "queries: %" PRIu64 " answered, %" PRIu64 " corrupt; %" PRIu64
              " doorbells, %" PRIu64 " wake-ups, %" PRIu64 " sleeps",
              s->queries, s->query_corrupt, s->query_doorbells, s->query_wakes,
              s->query_sleeps);
}

void report_statistics(const struct report *r, uint64_t longest_round_ns,
                       uint64_t longest_lately_ns)
{
    const struct protocol_parts *p = r->parts;
    totem_statistics(totem_stats_get(p->totem));
    net_statistics(net_stats_get(p->net));
    log_write(LOG_LEVEL_INFO, "MAIN",
              "longest round of the protocol thread: %" PRIu64 " us, %" PRIu64
              " us since the last report",
              longest_round_ns / 1000, longest_lately_ns / 1000);
    seal_statistics(p->seal, r->unlisted);
    group_statistics(group_stats_get(p->group));
    server_statistics(server_stats_get(p->server));
    log_write(LOG_LEVEL_INFO, "LOG",
              "%" PRIu64 " lines dropped, %" PRIu64 " not written",
              log_dropped(), log_write_failures());
}
