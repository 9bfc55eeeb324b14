/* SPDX-License-Identifier: BSD-3-Clause */
/* evscompare_order.c - one order of all messages and regular configurations
 * that every trace follows, or a place where there is none. */
#include "test/evscompare.h"

#include <stdlib.h>

/* Calls `edge` for each step of each section, and each cause. */
static void walk(struct graph *g,
                 void (*edge)(struct graph *g, uint32_t from, uint32_t to))
{
    for (size_t s = 0; s < traces.section_count; s++) {
        const struct section *section = &traces.sections[s];
        for (size_t i = 0; i < section->epoch_count; i++) {
            const struct epoch *e = &traces.epochs[section->first_epoch + i];
            uint32_t last =
                (uint32_t)traces.message_count + (uint32_t)e->regular;
            /* Who connected late met the ring when it had begun: its view
             * comes before what it saw all the same. */
            for (size_t m = e->begin; m < e->end; m++) {
                edge(g, last, traces.log[m]);
                last = traces.log[m];
            }
            if (e->next != NONE)
                edge(g, last,
                     (uint32_t)traces.message_count + (uint32_t)e->next);
        }
    }
    for (uint32_t m = 0; m < traces.message_count; m++)
        if (traces.causes[m] != 0)
            edge(g, traces.causes[m] - 1, m);
}

static void count_edge(struct graph *g, uint32_t from, uint32_t to)
{
    g->first[from + 2]++;
    g->indegree[to]++;
}

static void add_edge(struct graph *g, uint32_t from, uint32_t to)
{
    g->to[g->first[from + 1]++] = to;
}

static void report_edge(uint32_t from, uint32_t to)
{
    if (to < traces.message_count && traces.causes[to] == from + 1)
        wrong("no common order: message %s comes before %s, which its sender "
              "had been delivered",
              message_name(to), message_name(from));
    else if (from < traces.message_count && to < traces.message_count)
        wrong("no common order: message %s comes before %s and after it",
              message_name(from), message_name(to));
    else
        wrong("no common order of messages and configurations");
}

/* Goes on from nodes that were never free along such nodes, and back from
 * where that ends, until it comes to one that it is on the way from. */
static void report_cycle(const struct graph *g)
{
    const uint32_t on_way = UINT32_MAX;
    uint32_t *way = zeroed(g->node_count, sizeof *way), start = 0;
    size_t length = 0;
    for (;;) {
        if (length == 0) {
            while (g->indegree[start] == 0)
                start++;
            way[length++] = start;
        }
        uint32_t at = way[length - 1];
        size_t i = g->first[at];
        g->indegree[at] = on_way;
        while (i < g->first[at + 1] && g->indegree[g->to[i]] == 0)
            i++;
        if (i == g->first[at + 1]) {
            g->indegree[at] = 0;
            length--;
        } else if (g->indegree[g->to[i]] == on_way) {
            report_edge(at, g->to[i]);
            break;
        } else {
            way[length++] = g->to[i];
        }
    }
    free(way);
}

static void graph_build(struct graph *g)
{
    g->node_count = traces.message_count + traces.view_count;
    g->first = zeroed(g->node_count + 2, sizeof *g->first);
    g->indegree = zeroed(g->node_count, sizeof *g->indegree);
    walk(g, count_edge);
    for (size_t i = 1; i < g->node_count + 2; i++)
        g->first[i] += g->first[i - 1];
    g->to = zeroed(g->first[g->node_count + 1], sizeof *g->to);
    walk(g, add_edge);
}

void check_order(struct graph *g)
{
    graph_build(g);
    g->place = zeroed(g->node_count, sizeof *g->place);
    uint32_t *queue = zeroed(g->node_count, sizeof *queue);
    size_t head = 0, tail = 0;
    for (size_t i = 0; i < g->node_count; i++)
        if (g->indegree[i] == 0)
            queue[tail++] = (uint32_t)i;
    while (head < tail) {
        uint32_t at = queue[head];
        g->place[at] = (uint32_t)head++;
        for (size_t i = g->first[at]; i < g->first[at + 1]; i++)
            if (--g->indegree[g->to[i]] == 0)
                queue[tail++] = g->to[i];
    }
    if (tail < g->node_count)
        report_cycle(g);
    free(queue);
}

void graph_free(struct graph *g)
{
    free(g->first);
    free(g->to);
    free(g->indegree);
    free(g->place);
}
