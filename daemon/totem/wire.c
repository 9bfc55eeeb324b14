/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/totem/wire.h"

#include "daemon/base/check.h"
#include "daemon/totem/ring_id.h"

enum {                     /* flags */
       FLAG_SAFE = 1,      /* data */
       FLAG_RECOVERED = 2, /* data */
       FLAG_OLD_SAFE = 4,  /* data, recovered */
       FLAG_RETRANS = 1,   /* token */
       FLAG_FILLED = 1     /* commit entry */
};

bool wire_head_read(struct reader *r, struct wire_head *head)
{
    uint8_t kind = read_u8(r);
    head->flags = read_u8(r);
    head->packet_size_max = read_u16(r);
    head->sender = read_u32(r);
    if (r->failed || head->sender == 0)
        return false;
    if (kind < WIRE_DATA || kind > WIRE_ACK)
        return false;
    head->kind = (enum wire_kind)kind;
    return true;
}

static void head_write(struct writer *w, enum wire_kind kind, uint8_t flags,
                       uint32_t sender)
{
    write_u8(w, (uint8_t)kind);
    write_u8(w, flags);
    write_u16(w, 0); /* wire_stamp() */
    write_u32(w, sender);
}

void wire_stamp(uint8_t *packet, uint32_t packet_size_max)
{
    CHECK(packet_size_max <= UINT16_MAX);
    packet[2] = (uint8_t)packet_size_max;
    packet[3] = (uint8_t)(packet_size_max >> 8);
}

static size_t finish(const struct writer *w)
{
    CHECK(!w->failed);
    return w->written;
}

bool wire_ring_id_read(struct reader *r, struct totem_ring_id *id)
{
    *id = ring_id_read(r);
    return !r->failed && id->seq <= WIRE_SEQ_MAX;
}

uint64_t wire_ring_hash(const struct totem_ring_id *id)
{
    return ring_id_mix(0, id);
}

bool wire_data_read(struct reader *r, const struct wire_head *head,
                    struct wire_data *data)
{
    *data = (struct wire_data){.safe = (head->flags & FLAG_SAFE) != 0,
                               .recovered = (head->flags & FLAG_RECOVERED) != 0,
                               .old_safe = (head->flags & FLAG_OLD_SAFE) != 0};
    data->ring_hash = read_u64(r);
    data->seq = read_u64(r);
    if (data->recovered) {
        data->old_seq = read_u64(r);
        data->old_sender = read_u32(r);
        read_u32(r);
    }
    data->payload = read_bytes(r, r->left);
    return !r->failed && data->payload.n > 0 && data->seq <= WIRE_SEQ_MAX &&
           data->old_seq <= WIRE_SEQ_MAX;
}

size_t wire_data_head_write(uint8_t *out, uint32_t sender,
                            const struct wire_data *data)
{
    struct writer w = writer_of(out, WIRE_DATA_SIZE + WIRE_RECOVERED_SIZE);
    uint8_t flags = (uint8_t)((data->safe ? FLAG_SAFE : 0) |
                              (data->recovered ? FLAG_RECOVERED : 0) |
                              (data->old_safe ? FLAG_OLD_SAFE : 0));
    head_write(&w, WIRE_DATA, flags, sender);
    write_u64(&w, data->ring_hash);
    write_u64(&w, data->seq);
    if (data->recovered) {
        write_u64(&w, data->old_seq);
        write_u32(&w, data->old_sender);
        write_u32(&w, 0);
    }
    return finish(&w);
}

bool wire_token_read(struct reader *r, const struct wire_head *head,
                     struct wire_token *token)
{
    if (!wire_ring_id_read(r, &token->ring_id))
        return false;
    token->token_seq = read_u64(r);
    token->seq = read_u64(r);
    token->aru = read_u64(r);
    token->aru_id = read_u32(r);
    token->backlog_packets = read_u32(r);
    token->idle_hops = read_u32(r);
    token->retrans = (head->flags & FLAG_RETRANS) != 0;
    token->rtr_count = read_u32(r);
    if (r->failed || token->rtr_count > WIRE_RTR_MAX)
        return false;
    for (uint32_t i = 0; i < token->rtr_count; i++)
        token->rtr[i] = read_u64(r);
    return reader_done(r) && token->aru <= token->seq &&
           token->seq <= WIRE_SEQ_MAX && token->token_seq <= WIRE_SEQ_MAX;
}

size_t wire_token_write(uint8_t *out, uint32_t sender,
                        const struct wire_token *token)
{
    CHECK(token->rtr_count <= WIRE_RTR_MAX);
    struct writer w = writer_of(out, WIRE_TOKEN_SIZE_MAX);
    head_write(&w, WIRE_TOKEN, token->retrans ? FLAG_RETRANS : 0, sender);
    ring_id_write(&w, &token->ring_id);
    write_u64(&w, token->token_seq);
    write_u64(&w, token->seq);
    write_u64(&w, token->aru);
    write_u32(&w, token->aru_id);
    write_u32(&w, token->backlog_packets);
    write_u32(&w, token->idle_hops);
    write_u32(&w, token->rtr_count);
    for (uint32_t i = 0; i < token->rtr_count; i++)
        write_u64(&w, token->rtr[i]);
    return finish(&w);
}

static bool set_read(struct reader *r, struct set *s)
{
    uint32_t count = read_u32(r);
    if (r->failed || count > TOTEM_NODES_MAX)
        return false;
    s->count = count;
    uint32_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        s->ids[i] = read_u32(r);
        if (r->failed || s->ids[i] <= last)
            return false;
        last = s->ids[i];
    }
    return true;
}

static void set_write(struct writer *w, const struct set *s)
{
    write_u32(w, s->count);
    for (uint32_t i = 0; i < s->count; i++)
        write_u32(w, s->ids[i]);
}

/* A row has a bit for each node of a set, by place, in whole bytes; the bits
 * that are too many are 0. */
static bool row_read(struct reader *r, uint8_t *row, uint32_t count)
{
    struct bytes bits = read_bytes(r, (count + 7) / 8);
    if (r->failed)
        return false;
    memcpy(row, bits.p, bits.n);
    return count % 8 == 0 || row[count / 8] >> (count % 8) == 0;
}

static bool row_has(const uint8_t *row, uint32_t place)
{
    return (row[place / 8] >> (place % 8) & 1) != 0;
}

static void row_add(uint8_t *row, uint32_t place)
{
    row[place / 8] = (uint8_t)(row[place / 8] | 1u << (place % 8));
}

static void row_write(struct writer *w, const uint8_t *row, uint32_t count)
{
    write_bytes(w, (struct bytes){row, (count + 7) / 8});
}

static bool heard_read(struct reader *r, const struct set *proc,
                       struct set *heard)
{
    uint8_t row[TOTEM_NODES_MAX / 8];
    set_clear(heard);
    if (!row_read(r, row, proc->count))
        return false;
    for (uint32_t i = 0; i < proc->count; i++)
        if (row_has(row, i))
            CHECK(set_add(heard, proc->ids[i]));
    return true;
}

static void heard_write(struct writer *w, const struct set *proc,
                        const struct set *heard)
{
    uint8_t row[TOTEM_NODES_MAX / 8] = {0};
    for (uint32_t i = 0; i < proc->count; i++)
        if (set_has(heard, proc->ids[i]))
            row_add(row, i);
    row_write(w, row, proc->count);
}

/* Nobody accuses itself. */
static bool accusations_read(struct reader *r, uint32_t count,
                             struct accusations *a)
{
    uint8_t accusers[TOTEM_NODES_MAX / 8], row[TOTEM_NODES_MAX / 8];
    memset(a, 0, sizeof *a);
    if (!row_read(r, accusers, count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!row_has(accusers, i))
            continue;
        if (!row_read(r, row, count) || row_has(row, i))
            return false;
        for (uint32_t k = 0; k < count; k++)
            if (row_has(row, k))
                accusations_add(a, i, k);
    }
    return true;
}

static void accusations_write(struct writer *w, uint32_t count,
                              const struct accusations *a)
{
    static const uint8_t none[TOTEM_NODES_MAX / 8];
    uint8_t accusers[TOTEM_NODES_MAX / 8] = {0};
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(a->rows[i], none, sizeof none) != 0)
            row_add(accusers, i);
    row_write(w, accusers, count);
    for (uint32_t i = 0; i < count; i++)
        if (row_has(accusers, i))
            row_write(w, a->rows[i], count);
}

/* Nobody leaves itself out, or holds itself for failed. */
bool wire_join_read(struct reader *r, const struct wire_head *head,
                    struct wire_join *join)
{
    join->incarnation = read_u64(r);
    join->ring_seq = read_u64(r);
    return set_read(r, &join->proc) && set_read(r, &join->fail) &&
           heard_read(r, &join->proc, &join->heard) &&
           accusations_read(r, join->proc.count, &join->accusations) &&
           reader_done(r) && set_subset(&join->fail, &join->proc) &&
           set_has(&join->proc, head->sender) &&
           !set_has(&join->fail, head->sender) &&
           join->ring_seq <= WIRE_SEQ_MAX;
}

size_t wire_join_write(uint8_t *out, uint32_t sender,
                       const struct wire_join *join)
{
    struct writer w = writer_of(out, TOTEM_CONTROL_SIZE_MAX);
    head_write(&w, WIRE_JOIN, 0, sender);
    write_u64(&w, join->incarnation);
    write_u64(&w, join->ring_seq);
    set_write(&w, &join->proc);
    set_write(&w, &join->fail);
    heard_write(&w, &join->proc, &join->heard);
    accusations_write(&w, join->proc.count, &join->accusations);
    return finish(&w);
}

static bool commit_entry_read(struct reader *r, struct wire_commit_entry *e)
{
    e->node_id = read_u32(r);
    e->filled = read_u32(r) == FLAG_FILLED;
    e->incarnation = read_u64(r);
    bool id = wire_ring_id_read(r, &e->old_ring_id);
    e->aru = read_u64(r);
    e->high = read_u64(r);
    e->safe = read_u64(r);
    e->window_packets = read_u32(r);
    struct bytes deliver = read_bytes(r, sizeof e->deliver);
    if (!r->failed)
        memcpy(e->deliver, deliver.p, deliver.n);
    if (e->filled && e->window_packets < WIRE_WINDOW_MIN)
        return false;
    return !r->failed && id && e->safe <= e->aru && e->aru <= e->high &&
           e->high <= WIRE_SEQ_MAX;
}

bool wire_commit_read(struct reader *r, struct wire_commit *commit)
{
    if (!wire_ring_id_read(r, &commit->ring_id))
        return false;
    commit->token_seq = read_u64(r);
    commit->first_seq = read_u64(r);
    commit->count = read_u32(r);
    if (r->failed || commit->count == 0 || commit->count > TOTEM_NODES_MAX)
        return false;
    uint32_t last = 0;
    for (uint32_t i = 0; i < commit->count; i++) {
        struct wire_commit_entry *e = &commit->entries[i];
        if (!commit_entry_read(r, e) || e->node_id <= last)
            return false;
        last = e->node_id;
    }
    return reader_done(r) &&
           commit->entries[0].node_id == commit->ring_id.rep &&
           commit->first_seq <= WIRE_SEQ_MAX &&
           commit->token_seq <= WIRE_SEQ_MAX;
}

size_t wire_commit_write(uint8_t *out, uint32_t sender,
                         const struct wire_commit *commit)
{
    CHECK(commit->count <= TOTEM_NODES_MAX);
    struct writer w = writer_of(out, TOTEM_CONTROL_SIZE_MAX);
    head_write(&w, WIRE_COMMIT, 0, sender);
    ring_id_write(&w, &commit->ring_id);
    write_u64(&w, commit->token_seq);
    write_u64(&w, commit->first_seq);
    write_u32(&w, commit->count);
    for (uint32_t i = 0; i < commit->count; i++) {
        const struct wire_commit_entry *e = &commit->entries[i];
        write_u32(&w, e->node_id);
        write_u32(&w, e->filled ? FLAG_FILLED : 0);
        write_u64(&w, e->incarnation);
        ring_id_write(&w, &e->old_ring_id);
        write_u64(&w, e->aru);
        write_u64(&w, e->high);
        write_u64(&w, e->safe);
        write_u32(&w, e->window_packets);
        write_bytes(&w, (struct bytes){e->deliver, sizeof e->deliver});
    }
    return finish(&w);
}

static bool zeros_read(struct reader *r)
{
    struct bytes rest = read_bytes(r, r->left);
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] != 0)
            return false;
    return !r->failed;
}

static void zeros_write(struct writer *w, uint32_t size_min)
{
    size_t n = w->written < size_min ? size_min - w->written : 0;
    uint8_t *at = write_claim(w, n);
    if (at != NULL)
        memset(at, 0, n);
}

bool wire_merge_read(struct reader *r, struct wire_merge *merge)
{
    return wire_ring_id_read(r, &merge->ring_id) &&
           set_read(r, &merge->members) && set_read(r, &merge->heard) &&
           set_read(r, &merge->refused) && set_read(r, &merge->refused_too) &&
           zeros_read(r);
}

size_t wire_merge_write(uint8_t *out, uint32_t sender,
                        const struct wire_merge *merge, uint32_t size_min)
{
    struct writer w = writer_of(out, TOTEM_CONTROL_SIZE_MAX);
    head_write(&w, WIRE_MERGE, 0, sender);
    ring_id_write(&w, &merge->ring_id);
    set_write(&w, &merge->members);
    set_write(&w, &merge->heard);
    set_write(&w, &merge->refused);
    set_write(&w, &merge->refused_too);
    zeros_write(&w, size_min);
    return finish(&w);
}

bool wire_echo_read(struct reader *r, struct wire_echo *echo)
{
    echo->ring_hash = read_u64(r);
    echo->number = read_u64(r);
    return zeros_read(r);
}

size_t wire_echo_write(uint8_t *out, enum wire_kind kind, uint32_t sender,
                       const struct wire_echo *echo, uint32_t size_min)
{
    struct writer w = writer_of(out, TOTEM_CONTROL_SIZE_MAX);
    head_write(&w, kind, 0, sender);
    write_u64(&w, echo->ring_hash);
    write_u64(&w, echo->number);
    zeros_write(&w, size_min);
    return finish(&w);
}

size_t wire_wake_write(uint8_t *out, uint32_t sender, uint64_t ring_hash)
{
    struct writer w = writer_of(out, TOTEM_CONTROL_SIZE_MAX);
    head_write(&w, WIRE_WAKE, 0, sender);
    write_u64(&w, ring_hash);
    return finish(&w);
}

bool wire_leave_read(struct reader *r, struct wire_leave *leave)
{
    leave->incarnation = read_u64(r);
    leave->ring_seq = read_u64(r);
    return reader_done(r) && leave->ring_seq <= WIRE_SEQ_MAX;
}

size_t wire_leave_write(uint8_t *out, uint32_t sender,
                        const struct wire_leave *leave)
{
    struct writer w = writer_of(out, TOTEM_CONTROL_SIZE_MAX);
    head_write(&w, WIRE_LEAVE, 0, sender);
    write_u64(&w, leave->incarnation);
    write_u64(&w, leave->ring_seq);
    return finish(&w);
}
