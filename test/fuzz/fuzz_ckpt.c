/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_ckpt.c - a node's CKPT service between others that lie.
 *
 * Node 2 is the one that is tested. Node 1 is real too, so that it has well
 * formed things to say: what it multicasts comes to node 2 with bytes of the
 * input laid over it, or cut, or as it is; its pieces also with other things in
 * them. Node 3 is made up: it says what the
 * input says, about itself, as operations, or as bytes alone. The input is a
 * list of steps: configurations (node 2 may have been started anew), clients'
 * requests on nodes 1 and 2, what the nodes and the made-up one multicast,
 * time. Whatever comes, what node 2 holds is counted right and can be read. */
#include "daemon/service/ckpt_internal.h"
#include "daemon/service/replica_wire.h"
#include "test/fuzz/lazy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REAL = 1, SELF = 2, GHOST = 3, NODES = 3, CLIENTS = 2, HANDLES = 64 };
enum { BYTES_MAX = 1 << 20, PIECE_BYTES_MAX = 16 << 20 };

static struct ckpt *nodes[NODES + 1];
static uint64_t incarnations[NODES + 1];
static struct totem_configuration conf;
static int64_t now_ns;

/* --- what is checked ------------------------------------------------------ */

static uint64_t check_checkpoint(const struct ckpt_store *store,
                                 const struct ckpt_checkpoint *c)
{
    uint64_t bytes = 0;
    uint32_t count = 0;

    CHECK(c->ref_count <= STORE_NODES_MAX);
    CHECK(c->name_size <= sizeof c->name && c->attributes.section_max > 0);
    for (struct ckpt_section *s = ckpt_section_next(c, 0); s != NULL;
         s = ckpt_section_next(c, s->number)) {
        const struct ckpt_content *content = ckpt_content_get(s);
        CHECK(s->number <= ckpt_section_last(c));
        CHECK(ckpt_section_find(store, c, bytes_of(s->id, s->id_size)) != NULL);
        bytes += content->size;
        count++;
    }
    CHECK(bytes == c->bytes && count == c->section_count);
    return bytes + STORE_CHECKPOINT_BYTES + count * STORE_SECTION_BYTES;
}

/* Is everything counted, and can it all be read? */
static void check_node(struct ckpt *k)
{
    const struct ckpt_store *store = ckpt_store(k);
    struct ckpt_stats stats = ckpt_stats_get(k);
    uint64_t bytes = 0;
    uint32_t count = 0;

    for (struct ckpt_checkpoint *c = ckpt_store_next(store, 0); c != NULL;
         c = ckpt_store_next(store, c->number)) {
        CHECK(c->number <= ckpt_store_last(store));
        bytes += check_checkpoint(store, c);
        count++;
    }
    CHECK(bytes == stats.bytes && count == stats.checkpoints);
    (void)ckpt_hash(k);
    ckpt_garbage_return(k, ckpt_garbage_take(k));
    ckpt_clean(k, 10);
}

/* What a client has open is there, as long as it is told so. */
static void check_handles(struct ckpt *k)
{
    struct ckpt_checkpoint *c;

    for (uint32_t client = 0; client < CLIENTS; client++)
        for (uint32_t handle = 0; handle < HANDLES; handle++) {
            enum ipc_error e = ckpt_lookup(k, client, handle, &c);
            CHECK(e == IPC_OK || e == IPC_ERR_BAD_HANDLE ||
                  e == IPC_ERR_NOT_EXIST || e == IPC_ERR_TRY_AGAIN);
            if (e == IPC_OK)
                CHECK(ckpt_store_next(ckpt_store(k), c->number - 1) == c);
        }
}

static void drain(struct ckpt *k)
{
    struct ckpt_outcome o;

    while (ckpt_outcome_next(k, &o)) {
        CHECK(o.client < CLIENTS && o.reply.reply.result >= IPC_OK);
        CHECK(o.reply.opened.handle < CKPT_HANDLES_MAX);
    }
}

/* --- giving messages ------------------------------------------------------ */

/* A section of a piece may be of any size that fits the memory of who sends it,
 * and then has to fit ours; here, that would be the end. Smaller ones. */
static void tame(uint8_t *p, size_t n)
{
    struct reader r = reader_of((struct bytes){p, n});
    uint32_t count;

    read_bytes(&r, 2 + 20 + 8);
    count = read_u32(&r);
    read_bytes(&r, ((size_t)count + 7) / 8);
    read_bytes(&r, 25);
    while (r.left > 0 && !r.failed) {
        switch (read_u8(&r)) {
        case 1:
            read_bytes(&r, 69);
            read_bytes(&r, read_u16(&r));
            read_bytes(&r, 8 * (size_t)read_u16(&r));
            break;
        case 2:
            read_bytes(&r, 32);
            size_t at = n - r.left;
            if (read_u64(&r) > PIECE_BYTES_MAX)
                memset(p + at + 3, 0, 5);
            read_bytes(&r, 8);
            count = read_u32(&r);
            read_bytes(&r, read_u16(&r));
            read_bytes(&r, count);
            break;
        case 3:
            read_bytes(&r, 16);
            break;
        default:
            return;
        }
    }
}

static bool give(uint32_t to, uint32_t sender, struct bytes m)
{
    uint8_t *exact = malloc(m.n + 1);

    CHECK(exact != NULL);
    if (m.n > 0)
        memcpy(exact + 1, m.p, m.n);
    if (m.n > 1 && exact[2] == TYPE_PIECE)
        tame(exact + 1, m.n);
    bool taken =
        ckpt_message(nodes[to], sender, (struct bytes){exact + 1, m.n});
    free(exact);
    drain(nodes[to]);
    check_node(nodes[to]);
    return taken;
}

static uint64_t any_number(struct reader *r)
{
    uint8_t how = read_u8(r);

    switch (how % 4) {
    case 0:
        return how >> 2;
    case 1:
        return (uint64_t)read_u16(r);
    case 2:
        return UINT64_MAX - (how >> 2);
    default:
        return (uint64_t)1 << (how >> 2);
    }
}

/* Of the checkpoint of this name. */
static struct ipc_ckpt_attributes attributes_of(uint8_t name)
{
    return (struct ipc_ckpt_attributes){.creation_flags = name == 3 ? 10 : 1,
                                        .section_max = name == 2 ? 1 : 5,
                                        .retention_ns = name == 1 ? 0 : 100,
                                        .section_size_max =
                                            name == 0 ? UINT64_MAX : 60000,
                                        .section_id_size_max = 8};
}

/* A piece's record, of any kind, about any checkpoint. */
static void craft_record(struct reader *r, struct writer *w)
{
    struct ipc_ckpt_attributes a;
    uint32_t ids;
    uint8_t kind = read_u8(r), more = kind >> 2;

    write_u8(w, 1 + kind % 4);
    write_u64(w, any_number(r));
    switch (kind % 4) {
    case 0:
        a = attributes_of(more & 3);
        ckpt_write_attributes(w, &a);
        write_u64(w, any_number(r)); /* retention */
        write_u8(w, more & 1);
        write_u32(w, more >> 1 & 3);
        write_u64(w, (more & 8) != 0 ? INT64_MAX : any_number(r));
        write_u16(w, 1);
        write_u8(w, more & 3);
        more = read_u8(r);
        ids = more < 160 ? 100 : SELF;
        write_u16(w, (uint16_t)(more % 160));
        for (uint32_t i = 0; i < more % 160u; i++) {
            write_u32(w, i + ids);
            write_u32(w, (uint32_t)any_number(r));
        }
        break;
    case 1:
        write_u64(w, any_number(r)); /* the section's */
        write_u64(w, 1);
        write_u64(w, (more & 1) != 0 ? INT64_MAX : any_number(r));
        write_u64(w, more >> 1);                           /* size */
        write_u64(w, (more & 2) != 0 ? 0 : any_number(r)); /* offset */
        write_u32(w, more >> 1);
        write_u16(w, 1);
        write_u8(w, more & 3);
        memset(write_claim(w, more >> 1), 7, more >> 1);
        break;
    case 2:
        write_u64(w, any_number(r));
        break;
    default:
        break;
    }
}

/* A piece of node 1's, with something else in it. */
static void give_crafted(struct bytes m, struct reader *input)
{
    static uint8_t data[REPLICA_MESSAGE_SIZE_MAX];
    struct writer w = writer_of(data, sizeof data);
    struct replica_message piece;

    CHECK(replica_wire_read(m, &piece) && piece.type == TYPE_PIECE);
    uint8_t how = read_u8(input);
    piece.piece.last = (how & 1) != 0;
    uint8_t *results = replica_wire_piece_head(&w, &piece.piece);
    if (piece.piece.results.n > 0)
        memcpy(results, piece.piece.results.p, piece.piece.results.n);
    for (uint32_t i = 0; i < how >> 5; i++)
        craft_record(input, &w);
    if ((how & 2) != 0) /* and what belongs there */
        write_bytes(&w, piece.piece.data);
    give(SELF, REAL, (struct bytes){data, w.written});
}

/* To node 2 with bytes of the input over it, or cut. */
static void give_changed(struct bytes m, struct reader *input)
{
    static uint8_t changed[CKPT_MESSAGE_SIZE_MAX + 70000];
    uint8_t how = read_u8(input);
    size_t at = read_u8(input), n = how >> 3;

    CHECK(m.n <= sizeof changed);
    memcpy(changed, m.p, m.n);
    if ((how & 1) != 0)
        at = m.n - (at < m.n ? at : m.n); /* from the end */
    struct bytes over = read_bytes(input, n < input->left ? n : input->left);
    for (size_t i = 0; i < over.n && at + i < m.n; i++)
        changed[at + i] = over.p[i];
    if ((how & 2) != 0 && at < m.n)
        m.n = at;
    give(SELF, REAL, (struct bytes){changed, m.n});
}

static void from_real(struct bytes m, struct reader *input)
{
    uint8_t how = read_u8(input);

    give(REAL, REAL, m);
    if (conf.member_count < 2)
        return;
    if (how % 4 == 0 && m.p[1] == TYPE_PIECE && (how & 4) != 0)
        give_crafted(m, input);
    else if (how % 4 == 0)
        give_changed(m, input);
    else
        give(SELF, REAL, m);
}

static bool is_member(uint32_t id)
{
    for (uint32_t i = 0; i < conf.member_count; i++)
        if (conf.members[i] == id)
            return true;
    return false;
}

static void to_all(uint32_t sender, struct bytes m)
{
    give(SELF, sender, m);
    if (is_member(REAL))
        give(REAL, sender, m);
}

/* --- steps ---------------------------------------------------------------- */

static void start(uint32_t id)
{
    ckpt_free(nodes[id]);
    nodes[id] =
        ckpt_new(&(struct ckpt_config){.node_id = id,
                                       .incarnation = ++incarnations[id],
                                       .client_max = CLIENTS,
                                       .checkpoint_max = 8,
                                       .bytes_max = BYTES_MAX});
    CHECK(nodes[id] != NULL);
}

/* Nodes 1 and 2, or node 2 alone; the made-up one; 2 has been started anew; 1
 * has. */
static void configure(uint8_t shape)
{
    uint64_t seq = conf.ring_id.seq + 4;

    if ((shape & 4) != 0)
        start(SELF);
    if ((shape & 8) != 0)
        start(REAL);
    conf = (struct totem_configuration){.ring_id = {seq, shape, 1}};
    for (uint32_t id = 1; id <= NODES; id++) {
        if ((id == REAL && (shape & 1) != 0) ||
            (id == GHOST && (shape & 2) == 0))
            continue;
        conf.members[conf.member_count] = id;
        conf.incarnations[conf.member_count++] = incarnations[id];
    }
    for (uint32_t id = 1; id <= SELF; id++) {
        for (uint32_t client = 0; client < CLIENTS; client++)
            ckpt_untake(nodes[id], client);
        if (is_member(id)) {
            ckpt_configuration(nodes[id], &conf);
        } else {
            struct totem_configuration alone = {
                .ring_id = {seq, 77, id},
                .member_count = 1,
                .members = {id},
                .incarnations = {incarnations[id]}};
            ckpt_configuration(nodes[id], &alone);
        }
        drain(nodes[id]);
    }
}

/* What the node itself has to say; true: it had something. */
static bool own(uint32_t id, struct reader *input)
{
    static uint8_t m[CKPT_MESSAGE_SIZE_MAX];

    if (ckpt_message_kind(nodes[id]) == REPLICA_NOTHING)
        return false;
    size_t n = ckpt_message_write(nodes[id], m);
    CHECK(n > 0 && n <= sizeof m);
    if (!is_member(id))
        give(id, id, (struct bytes){m, n}); /* alone */
    else if (id == REAL)
        from_real((struct bytes){m, n}, input);
    else
        to_all(id, (struct bytes){m, n});
    return true;
}

static void ghost_info(struct reader *r)
{
    uint8_t data[REPLICA_MESSAGE_SIZE_MAX], hello[20] = {0};
    struct writer w = writer_of(data, sizeof data);
    struct replica_place real = replica_place_get(ckpt_replica(nodes[REAL]));
    struct replica_info info = {.ring_id = conf.ring_id,
                                .incarnation = incarnations[GHOST],
                                .holds = (enum replica_holds)(read_u8(r) % 3),
                                .hello_size = sizeof hello};

    memset(hello, 0x7f, 12);
    hello[19] = read_u8(r); /* of what its clock shows, the highest byte */
    memcpy(info.hello, hello, sizeof hello);
    if (info.holds != HOLDS_NONE) {
        uint8_t like = read_u8(r);
        info.birth = (like & 1) != 0 ? real.birth : any_number(r);
        info.path = (like & 2) != 0 ? real.path : any_number(r);
        info.index = (like & 4) != 0 ? real.index : any_number(r);
        info.operations = info.index - (like >> 5) % 2;
        if (info.holds == HOLDS_PART) {
            info.settled = (like & 8) != 0 ? info.index : any_number(r);
            for (int i = 0; i < 3; i++)
                info.cursor.at[i] = any_number(r);
        }
    }
    replica_wire_info(&w, &info);
    to_all(GHOST, (struct bytes){data, w.written});
}

/* A client's request, as small as it can be told. */
struct wish {
    uint32_t client, type, handle;
    uint8_t name, id;
    uint64_t offset;
    uint16_t size;
};

static struct wish read_wish(struct reader *r)
{
    uint8_t who = read_u8(r), what = read_u8(r);

    return (struct wish){.client = who % CLIENTS,
                         .type = IPC_SUBMIT_CKPT_OPEN + what % 11,
                         .handle = who >> 4,
                         .name = who >> 1 & 3,
                         .id = who >> 3 & 3,
                         .offset = any_number(r),
                         .size = read_u16(r)};
}

static size_t wish_head(const struct wish *w, uint8_t *head)
{
    struct ipc_ckpt_open open = {.flags = IPC_CKPT_READ | IPC_CKPT_WRITE |
                                          IPC_CKPT_CREATE,
                                 .name_length = 1,
                                 .attributes = attributes_of(w->name),
                                 .name = {w->name}};
    struct ipc_ckpt_unlink unlink = {.name_length = 1, .name = {w->name}};
    struct ipc_ckpt_request request = {.handle = w->handle,
                                       .retention_ns = w->size};
    struct {
        struct ipc_ckpt_section_request head;
        struct ipc_ckpt_element element;
        uint8_t id[8];
    } s = {.head = {.handle = w->handle,
                    .head_size = sizeof s - (w->id == 0 ? 8 : 0),
                    .expiration_ns = w->id == 3 ? 200 : INT64_MAX,
                    .count = 1},
           .element = {.size = w->size, .id_length = w->id != 0},
           .id = {w->id}};

    if (w->type == IPC_SUBMIT_CKPT_OPEN)
        return memcpy(head, &open, sizeof open), sizeof open;
    if (w->type == IPC_SUBMIT_CKPT_UNLINK)
        return memcpy(head, &unlink, sizeof unlink), sizeof unlink;
    if (w->type < IPC_SUBMIT_CKPT_SECTION_CREATE)
        return memcpy(head, &request, sizeof request), sizeof request;
    if (w->type == IPC_SUBMIT_CKPT_WRITE)
        s.element.offset = w->offset;
    return memcpy(head, &s, sizeof s), s.head.head_size;
}

static void request(uint32_t id, struct reader *input)
{
    static uint8_t m[CKPT_HEAD_SIZE_MAX + UINT16_MAX];
    uint8_t head[IPC_CKPT_HEAD_SIZE_MAX];
    struct wish w = read_wish(input);
    bool data = w.type >= IPC_SUBMIT_CKPT_SECTION_CREATE;
    struct ckpt_request r = {.client = w.client,
                             .type = w.type,
                             .now_ns = now_ns,
                             .head = head,
                             .head_size = wish_head(&w, head),
                             .data_size = data ? w.size : 0};

    CHECK(ckpt_request_ok(&r));
    if (!ckpt_may_take(nodes[id], w.client))
        return;
    size_t n = ckpt_take(nodes[id], &r, m);
    drain(nodes[id]);
    if (n == 0)
        return;
    memset(m + n, w.size & 0xff, r.data_size);
    struct bytes all = {m, n + r.data_size};
    if (!is_member(id))
        give(id, id, all);
    else if (id == REAL)
        from_real(all, input);
    else
        to_all(id, all);
}

/* An operation that the made-up node says one of its clients asked for. */
static void ghost_op(struct reader *input)
{
    uint8_t m[512];
    struct writer w = writer_of(m, sizeof m);
    uint8_t op = read_u8(input), n = read_u8(input);

    replica_wire_op_head(&w, conf.ring_id.seq);
    ckpt_write_head(&w,
                    &(struct op_head){.op = op % 80,
                                      .client = op >> 6,
                                      .id = 1,
                                      .now_ns = (int64_t)any_number(input)});
    if (op % 80 >= IPC_SUBMIT_CKPT_SECTION_CREATE ||
        op % 80 == IPC_SUBMIT_CKPT_CLOSE)
        write_u64(&w, 1 + n % 4); /* a checkpoint's number, mostly */
    write_bytes(&w, read_bytes(input, n < input->left ? n : input->left));
    to_all(GHOST, (struct bytes){m, w.written});
}

static void raw(uint32_t sender, struct reader *input)
{
    size_t n = read_u16(input);
    struct bytes b = read_bytes(input, n < input->left ? n : input->left);

    give(SELF, sender, b);
}

/* All that nodes 1 and 2 have to say, as it is. */
static void settle(void)
{
    static const uint8_t plain[] = {1};
    bool any = true;

    for (int i = 0; any && i < 200; i++) {
        struct reader none = reader_of((struct bytes){plain, 1});
        any = own(SELF, &none);
        none = reader_of((struct bytes){plain, 1});
        any |= own(REAL, &none);
    }
}

static void time_passes(uint8_t by)
{
    now_ns += by;
    for (uint32_t id = 1; id <= SELF; id++)
        ckpt_time(nodes[id],
                  &(struct ckpt_now){.steady_ns = now_ns, .wall_ns = now_ns});
}

static void step(struct reader *r)
{
    uint8_t what = read_u8(r);

    if (what < 0x20)
        configure(what);
    else if (what < 0x40)
        own(REAL, r);
    else if (what < 0x50)
        own(SELF, r);
    else if (what < 0x60)
        settle();
    else if (what < 0x90)
        request(REAL, r);
    else if (what < 0xb0)
        request(SELF, r);
    else if (what < 0xb8)
        time_passes(read_u8(r));
    else if (what < 0xc0)
        ckpt_client_gone(nodes[1 + what % 2], what >> 1 & 1);
    else if (what < 0xd0)
        ghost_info(r);
    else if (what < 0xf0)
        ghost_op(r);
    else
        raw(1 + what % NODES, r);
    check_handles(nodes[SELF]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of((struct bytes){data, size});

    conf = (struct totem_configuration){0};
    now_ns = 0;
    for (uint32_t id = 1; id <= NODES; id++)
        incarnations[id] = 100 * id;
    for (uint32_t id = 1; id <= SELF; id++)
        start(id);
    configure(0);
    while (r.left > 0 && !r.failed)
        step(&r);
    for (uint32_t id = 1; id <= SELF; id++) {
        ckpt_free(nodes[id]);
        nodes[id] = NULL;
    }
    return 0;
}
