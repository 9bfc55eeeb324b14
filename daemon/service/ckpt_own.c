/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_own.c - what the CKPT service of one node multicasts itself, and when:
 * handles to be opened again or closed, ticks, what the others have to know of
 * its clock, and what replica.c has to say. */
#include "daemon/service/ckpt_internal.h"

/* One of the daemon itself. */
static struct writer own_begin(const struct ckpt *k, uint8_t *to, uint8_t op)
{
    return ckpt_op_begin(k, to,
                         &(struct op_head){.op = op,
                                           .client = NO_CLIENT,
                                           .now_ns = k->clock.now.wall_ns});
}

/* This node's clock was set, and the others do not know that yet. */
static bool step_due(const struct ckpt *k)
{
    return !k->clock.step_sent && ckpt_clock_step(&k->clock) != 0;
}

enum replica_kind ckpt_message_kind(const struct ckpt *k)
{
    enum replica_kind kind = replica_message_kind(k->replica);

    if (kind == REPLICA_INFO)
        return kind;
    if (replica_ready(k->replica) &&
        (k->work > 0 || (k->tick_due && !k->tick_sent) || step_due(k)))
        return REPLICA_INFO;
    return kind;
}

/* The next handle that something is to be done for. */
static struct handle *work_next(struct ckpt *k)
{
    for (;; k->look++) {
        if (k->look >= k->never_used)
            k->look = 0;
        if (ckpt_handle_is_work(k->handles[k->look].state))
            return &k->handles[k->look];
    }
}

static size_t work_write(struct ckpt *k, uint8_t *to)
{
    struct handle *h = work_next(k);
    uint32_t handle = (uint32_t)(h - k->handles);
    struct writer w;

    if (h->state == HANDLE_CLOSE) {
        w = own_begin(k, to, IPC_SUBMIT_CKPT_CLOSE);
        write_u64(&w, h->number);
        write_u32(&w, handle);
        ckpt_handle_state(k, h, HANDLE_CLOSING);
    } else {
        w = own_begin(k, to, OP_REOPEN);
        write_u32(&w, handle);
        ckpt_write_key(&w, bytes_of(h->name, h->name_size));
        ckpt_handle_state(k, h, HANDLE_REOPENING);
    }
    return ckpt_op_end(&w);
}

/* If there is more than it has room for, the next one follows. */
static size_t tick_write(struct ckpt *k, uint8_t *to)
{
    struct writer w = own_begin(k, to, OP_TICK);
    struct ckpt_due due[OP_TICK_ITEMS_MAX];
    int64_t time_ns = ckpt_clock_estimate(&k->clock);
    uint32_t count = ckpt_due_list(
        &k->store, time_ns, k->clock.far ? INT64_MIN : k->clock.now.wall_ns,
        due, OP_TICK_ITEMS_MAX);

    k->tick_due = false;
    k->tick_sent = true;
    write_u64(&w, (uint64_t)time_ns);
    for (uint32_t i = 0; i < count; i++) {
        write_u64(&w, due[i].checkpoint);
        write_u64(&w, due[i].section);
    }
    return ckpt_op_end(&w);
}

static size_t step_write(struct ckpt *k, uint8_t *to)
{
    struct writer w = own_begin(k, to, OP_CLOCK);

    write_u64(&w, (uint64_t)ckpt_clock_step(&k->clock));
    ckpt_clock_say(&k->clock);
    k->clock.step_sent = true;
    return ckpt_op_end(&w);
}

static void hello_set(struct ckpt *k)
{
    uint8_t hello[20];
    struct writer w = writer_of(hello, sizeof hello);

    write_u64(&w, k->config.bytes_max);
    write_u32(&w, k->config.checkpoint_max);
    write_u64(&w, (uint64_t)ckpt_clock_say(&k->clock));
    replica_hello_set(k->replica, bytes_of(hello, w.written));
}

/* A clock that was set is told of before what is said with it. */
size_t ckpt_message_write(struct ckpt *k, uint8_t *to)
{
    enum replica_kind kind = replica_message_kind(k->replica);

    CHECK(ckpt_message_kind(k) != REPLICA_NOTHING);
    if (kind == REPLICA_INFO)
        hello_set(k);
    if (kind == REPLICA_INFO || !replica_ready(k->replica))
        return replica_message_write(k->replica, to);
    if (step_due(k))
        return step_write(k, to);
    if (k->work > 0)
        return work_write(k, to);
    return k->tick_due && !k->tick_sent ? tick_write(k, to)
                                        : replica_message_write(k->replica, to);
}

/* --- time ----------------------------------------------------------------- */

/* A clock that is set is noticed within so long. */
static const int64_t clock_look_ns = 1000000000;

/* When the first section expires; a clock that nobody believes is not asked. */
static int64_t expiry_ns(const struct ckpt *k)
{
    int64_t first_ns = ckpt_expiry_first(&k->store), left_ns;
    const struct ckpt_now *now = &k->clock.now;

    if (first_ns == INT64_MAX || k->clock.far)
        return INT64_MAX;
    if (first_ns <= now->wall_ns)
        return now->steady_ns;
    if (__builtin_sub_overflow(first_ns, now->wall_ns, &left_ns) ||
        left_ns > clock_look_ns)
        left_ns = clock_look_ns;
    return now->steady_ns + left_ns;
}

static int64_t retention_ns(const struct ckpt *k)
{
    int64_t first_ns = ckpt_retention_first(&k->store);

    return first_ns == INT64_MAX ? INT64_MAX
                                 : ckpt_clock_steady_at(&k->clock, first_ns);
}

int64_t ckpt_wake_ns(const struct ckpt *k)
{
    int64_t expiry = expiry_ns(k), retention = retention_ns(k);

    if (!k->clock.ticks || k->tick_sent || k->tick_due ||
        !replica_ready(k->replica))
        return INT64_MAX;
    return expiry < retention ? expiry : retention;
}

void ckpt_time(struct ckpt *k, const struct ckpt_now *now)
{
    k->clock.now = *now;
    k->tick_due |= ckpt_wake_ns(k) <= now->steady_ns;
}

bool ckpt_clock_news(struct ckpt *k, struct ckpt_clock_news *news)
{
    return ckpt_clock_news_next(&k->clock, news);
}
