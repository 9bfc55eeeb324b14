/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_requests.h - requests of clients in the world of ckpt_world.h. */
#ifndef TEST_UNIT_CKPT_REQUESTS_H
#define TEST_UNIT_CKPT_REQUESTS_H

#include "test/unit/ckpt_world.h"

/* --- making requests ------------------------------------------------------ */

static inline struct pend *request(uint32_t node, uint32_t client,
                                   uint32_t type)
{
    struct pend *p = m_alloc(sizeof *p);

    p->client = client;
    p->r = (struct m_request){
        .node = node, .type = type, .now_ns = ++world.now_ns};
    return p;
}

static inline struct pend *open_request(uint32_t node, uint32_t client,
                                        const char *name, uint32_t flags,
                                        const struct ipc_ckpt_attributes *a)
{
    struct pend *p = request(node, client, IPC_SUBMIT_CKPT_OPEN);

    p->r.flags = flags;
    if (a != NULL)
        p->r.attributes = *a;
    p->r.name_size = (uint16_t)strlen(name);
    memcpy(p->r.name, name, p->r.name_size);
    return p;
}

static inline void element(struct pend *p, const void *id, size_t id_size,
                           uint64_t offset, uint32_t size)
{
    uint32_t i = p->r.count++;

    p->r.elements[i].offset = offset;
    p->r.elements[i].size = size;
    p->r.elements[i].id_size = (uint16_t)id_size;
    memcpy(p->r.elements[i].id, id, id_size);
}

static inline void fill(struct pend *p)
{
    uint64_t n = data_size(&p->r);

    p->r.data = m_alloc((size_t)n);
    memset(p->r.data, (int)pick(256), (size_t)n);
    for (uint64_t i = 0; i < n; i += 1 + pick(97))
        p->r.data[i] = (uint8_t)pick(256);
}

static uint32_t last_result; /* of done() */

static inline uint32_t result_count(uint32_t type, uint32_t result)
{
    return world.results[type - IPC_SUBMIT_CKPT_OPEN][result];
}

/* The request, all the way; its result. */
static inline uint32_t done(struct pend *p)
{
    uint32_t before[CODES], type = p->r.type - IPC_SUBMIT_CKPT_OPEN;
    struct node *n = &world.nodes[p->r.node];

    memcpy(before, world.results[type], sizeof before);
    take(n, p);
    settle();
    last_result = 0;
    for (uint32_t i = 0; i < CODES; i++)
        if (world.results[type][i] != before[i])
            last_result = i;
    return last_result;
}

/* The only handle of a client, or the last one. */
static inline uint32_t handle_of_client(uint32_t node, uint32_t client)
{
    uint32_t found = UINT32_MAX;

    for (uint32_t i = 0; i < HANDLES; i++)
        if (world.nodes[node].handles[i].state == W_OPEN &&
            world.nodes[node].handles[i].client == client)
            found = i;
    return found;
}

static inline struct pend *on(uint32_t node, uint32_t client, uint32_t type)
{
    struct pend *p = request(node, client, type);

    p->handle = handle_of_client(node, client);
    return p;
}

/* A section request of one element on the client's last handle. */
static inline uint32_t section_done(uint32_t node, uint32_t client,
                                    uint32_t type, const char *id,
                                    uint64_t offset, uint32_t size)
{
    struct pend *p = on(node, client, type);

    p->r.expiration_ns = INT64_MAX;
    element(p, id, strlen(id), offset, size);
    fill(p);
    return done(p);
}

static inline void start(uint32_t nodes, uint64_t bytes_max, uint32_t count_max)
{
    world_begin(nodes);
    for (uint32_t id = 1; id <= nodes; id++)
        node_start(id, bytes_max, count_max);
    configure_all();
    settle();
}

static const struct ipc_ckpt_attributes plain = {
    .creation_flags = IPC_CKPT_WR_ALL_REPLICAS,
    .section_max = 4,
    .checkpoint_size = 1 << 20,
    .retention_ns = CKPT_RETENTION_MIN_NS,
    .section_size_max = 1 << 20,
    .section_id_size_max = 256};

static const uint32_t all_flags =
    IPC_CKPT_READ | IPC_CKPT_WRITE | IPC_CKPT_CREATE;

/* --- looking -------------------------------------------------------------- */

static inline void tick_all(void)
{
    for (uint32_t id = 1; id <= NODES; id++)
        if (world.nodes[id].k != NULL)
            node_time(&world.nodes[id]);
    settle();
}

static inline bool exists(const char *name)
{
    return ckpt_store_find(
               ckpt_store(world.nodes[1].k),
               (struct bytes){(const uint8_t *)name, strlen(name)}) != NULL;
}

#endif
