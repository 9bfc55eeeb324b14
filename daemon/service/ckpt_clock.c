/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/service/ckpt_clock.h"

#include "daemon/base/check.h"

/* Nobody gets there in a hundred years; no sum of two of them wraps. */
static const int64_t time_max = INT64_C(1) << 62;

/* Clocks are strangers' words: their sums may not wrap. */
static int64_t sum(int64_t a, int64_t b)
{
    int64_t s;

    return !__builtin_add_overflow(a, b, &s) ? s
           : a < 0                           ? INT64_MIN
                                             : INT64_MAX;
}

static int64_t difference(int64_t a, int64_t b)
{
    int64_t d;

    return !__builtin_sub_overflow(a, b, &d) ? d
           : a < b                           ? INT64_MIN
                                             : INT64_MAX;
}

/* --- service time --------------------------------------------------------- */

void ckpt_clock_init(struct ckpt_clock *c, uint32_t node_id)
{
    *c = (struct ckpt_clock){.node_id = node_id};
}

void ckpt_clock_reset(struct ckpt_clock *c)
{
    c->time_ns = c->known_time_ns = 0;
    c->known_steady_ns = c->now.steady_ns;
    c->ticks = false;
}

int64_t ckpt_clock_estimate(const struct ckpt_clock *c)
{
    int64_t time_ns =
        sum(c->known_time_ns, difference(c->now.steady_ns, c->known_steady_ns));

    return time_ns < time_max ? time_ns : time_max;
}

/* The estimate goes on from what was delivered only if that is ahead of it:
 * else each tick would set it back by the time that it took to come here. */
bool ckpt_clock_advance(struct ckpt_clock *c, int64_t time_ns)
{
    if (time_ns < 0 || time_ns > time_max)
        return false;
    if (time_ns > ckpt_clock_estimate(c)) {
        c->known_time_ns = time_ns;
        c->known_steady_ns = c->now.steady_ns;
    }
    if (time_ns > c->time_ns)
        c->time_ns = time_ns;
    return true;
}

int64_t ckpt_clock_steady_at(const struct ckpt_clock *c, int64_t time_ns)
{
    return sum(c->known_steady_ns, difference(time_ns, c->known_time_ns));
}

/* --- comparing ------------------------------------------------------------ */

static struct ckpt_clock_member *member_of(struct ckpt_clock *c,
                                           uint32_t node_id)
{
    for (uint32_t i = 0; i < c->member_count; i++)
        if (c->members[i].node_id == node_id)
            return &c->members[i];
    return NULL;
}

bool ckpt_clock_is_near(const struct ckpt_clock *c, uint32_t node_id)
{
    for (uint32_t i = 0; i < c->member_count; i++)
        if (c->members[i].node_id == node_id)
            return !c->members[i].far;
    return false;
}

static bool has(const uint32_t *ids, uint32_t count, uint32_t node_id)
{
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] == node_id)
            return true;
    return false;
}

/* What was reported of a node goes over to the new members. */
void ckpt_clock_members_begin(struct ckpt_clock *c,
                              const struct replica_members *m)
{
    struct ckpt_clock_member members[TOTEM_NODES_MAX];

    CHECK(m->all_count <= TOTEM_NODES_MAX);
    for (uint32_t i = 0; i < m->all_count; i++) {
        const struct ckpt_clock_member *before = member_of(c, m->all[i]);
        members[i] = (struct ckpt_clock_member){
            .node_id = m->all[i],
            .goes_on = has(m->going_on, m->going_on_count, m->all[i]),
            .told = before != NULL && before->told};
    }
    memcpy(c->members, members, m->all_count * sizeof *members);
    c->member_count = m->all_count;
}

void ckpt_clock_member_says(struct ckpt_clock *c, uint32_t i, int64_t wall_ns)
{
    CHECK(i < c->member_count);
    c->members[i].wall_ns = wall_ns;
}

/* Of an even number the lower one of the middle: late is better than early. */
static int64_t median(const struct ckpt_clock *c)
{
    int64_t walls[TOTEM_NODES_MAX];

    CHECK(c->member_count > 0);
    for (uint32_t i = 0; i < c->member_count; i++) {
        uint32_t at = i;
        for (; at > 0 && walls[at - 1] > c->members[i].wall_ns; at--)
            walls[at] = walls[at - 1];
        walls[at] = c->members[i].wall_ns;
    }
    return walls[(c->member_count - 1) / 2];
}

/* The lowest of those that have the state and whose clock is believed. Where
 * only such have it whose is not, one of them, for retention; and for sections
 * the lowest of the others, when it has got the state. */
static bool must_tick(const struct ckpt_clock *c)
{
    uint32_t good = 0, have = 0, near = 0;

    for (uint32_t i = c->member_count; i-- > 0;) {
        const struct ckpt_clock_member *m = &c->members[i];
        if (!m->far)
            near = m->node_id;
        if (m->goes_on)
            have = m->node_id;
        if (!m->far && m->goes_on)
            good = m->node_id;
    }
    return good != 0 ? good == c->node_id
                     : have == c->node_id || near == c->node_id;
}

void ckpt_clock_compare(struct ckpt_clock *c)
{
    int64_t middle = median(c);

    for (uint32_t i = 0; i < c->member_count; i++) {
        struct ckpt_clock_member *m = &c->members[i];
        m->ahead_ns = difference(m->wall_ns, middle);
        m->far =
            m->ahead_ns > CKPT_CLOCK_FAR_NS || m->ahead_ns < -CKPT_CLOCK_FAR_NS;
    }
    c->far = !ckpt_clock_is_near(c, c->node_id);
    c->ticks = must_tick(c);
}

void ckpt_clock_stepped(struct ckpt_clock *c, uint32_t node_id, int64_t by_ns)
{
    struct ckpt_clock_member *m = member_of(c, node_id);

    if (m == NULL)
        return;
    m->wall_ns = sum(m->wall_ns, by_ns);
    ckpt_clock_compare(c);
}

static int64_t offset(const struct ckpt_clock *c)
{
    return difference(c->now.wall_ns, c->now.steady_ns);
}

int64_t ckpt_clock_say(struct ckpt_clock *c)
{
    c->said_ns = offset(c);
    return c->now.wall_ns;
}

int64_t ckpt_clock_step(const struct ckpt_clock *c)
{
    int64_t by_ns = difference(offset(c), c->said_ns);

    return by_ns > CKPT_CLOCK_STEP_NS || by_ns < -CKPT_CLOCK_STEP_NS ? by_ns
                                                                     : 0;
}

bool ckpt_clock_news_next(struct ckpt_clock *c, struct ckpt_clock_news *news)
{
    for (uint32_t i = 0; i < c->member_count; i++) {
        struct ckpt_clock_member *m = &c->members[i];
        if (m->far == m->told)
            continue;
        m->told = m->far;
        *news = (struct ckpt_clock_news){
            .node_id = m->node_id, .far = m->far, .ahead_ns = m->ahead_ns};
        return true;
    }
    return false;
}
