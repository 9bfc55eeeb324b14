/* SPDX-License-Identifier: BSD-3-Clause */
/* ckpt_model.h - what checkpoints are, said once more and plainly: a list of
 * checkpoints, each a list of sections, each a run of bytes. Operations are
 * done to it one after the other. For the tests of the CKPT service. */
#ifndef TEST_UNIT_CKPT_MODEL_H
#define TEST_UNIT_CKPT_MODEL_H

#include "daemon/service/ckpt_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { MODEL_NODES = 5, MODEL_ELEMENTS = 6, MODEL_ID_MAX = 16 };

struct m_section {
    struct m_section *next;
    uint64_t number, size;
    int64_t expiration_ns, update_ns;
    uint8_t *data;
    uint16_t id_size;
    uint8_t id[IPC_CKPT_SECTION_ID_SIZE_MAX];
};

struct m_checkpoint {
    struct m_checkpoint *next;
    uint64_t number, next_section;
    struct ipc_ckpt_attributes attributes;
    int64_t retention_ns;
    int64_t due_ns; /* INT64_MAX: never; INT64_MIN: begins with the next tick;
                     * else a service time */
    bool unlinked;
    uint32_t active, section_count;
    uint32_t refs[MODEL_NODES + 1]; /* by node */
    struct m_section *sections;     /* as they were created */
    uint16_t name_size;
    uint8_t name[IPC_CKPT_NAME_SIZE_MAX];
};

struct model {
    uint32_t users;
    uint64_t bytes, bytes_max, next;
    int64_t time_ns;
    uint32_t count, count_max;
    struct m_checkpoint *checkpoints; /* as they were created */
};

/* What is asked for. */
struct m_request {
    uint32_t node, type;
    int64_t now_ns, retention_ns, expiration_ns;
    uint64_t number; /* of the checkpoint */
    uint32_t flags;
    struct ipc_ckpt_attributes attributes;
    uint16_t name_size;
    uint8_t name[IPC_CKPT_NAME_SIZE_MAX];
    uint32_t count;
    struct {
        uint64_t offset;
        uint32_t size;
        uint16_t id_size;
        uint8_t id[IPC_CKPT_SECTION_ID_SIZE_MAX];
    } elements[MODEL_ELEMENTS];
    uint8_t *data; /* of all elements */
};

struct m_result {
    uint32_t result, done;
    struct m_checkpoint *opened;
    uint16_t id_size;
    uint8_t id[MODEL_ID_MAX];
};

static inline void *m_alloc(size_t n)
{
    void *p = calloc(1, n > 0 ? n : 1);
    CHECK(p != NULL);
    return p;
}

static inline bool m_same(const uint8_t *a, size_t n, const uint8_t *b,
                          size_t m)
{
    return n == m && (n == 0 || memcmp(a, b, n) == 0);
}

/* --- memory --------------------------------------------------------------- */

static inline struct model *m_new(void)
{
    struct model *m = m_alloc(sizeof *m);
    m->users = 1;
    m->next = 1;
    return m;
}

static inline void m_section_free(struct m_section *s)
{
    free(s->data);
    free(s);
}

static inline void m_checkpoint_free(struct m_checkpoint *c)
{
    while (c->sections != NULL) {
        struct m_section *s = c->sections;
        c->sections = s->next;
        m_section_free(s);
    }
    free(c);
}

static inline void m_leave(struct model *m)
{
    if (m == NULL || --m->users > 0)
        return;
    while (m->checkpoints != NULL) {
        struct m_checkpoint *c = m->checkpoints;
        m->checkpoints = c->next;
        m_checkpoint_free(c);
    }
    free(m);
}

static inline struct model *m_copy(const struct model *from)
{
    struct model *m = m_alloc(sizeof *m);
    struct m_checkpoint **c_end = &m->checkpoints;

    *m = *from;
    m->users = 1;
    *c_end = NULL;
    for (const struct m_checkpoint *c = from->checkpoints; c; c = c->next) {
        struct m_checkpoint *d = m_alloc(sizeof *d);
        struct m_section **s_end = &d->sections;
        *d = *c;
        d->next = NULL;
        *s_end = NULL;
        for (const struct m_section *s = c->sections; s; s = s->next) {
            struct m_section *t = m_alloc(sizeof *t);
            *t = *s;
            t->next = NULL;
            t->data = m_alloc(s->size);
            if (s->size > 0)
                memcpy(t->data, s->data, s->size);
            *s_end = t;
            s_end = &t->next;
        }
        *c_end = d;
        c_end = &d->next;
    }
    return m;
}

/* --- parts of it ---------------------------------------------------------- */

static inline struct m_checkpoint *m_number(const struct model *m, uint64_t n)
{
    struct m_checkpoint *c = m->checkpoints;
    while (c != NULL && c->number != n)
        c = c->next;
    return c;
}

static inline struct m_checkpoint *m_find(const struct model *m,
                                          const uint8_t *name, size_t n)
{
    struct m_checkpoint *c = m->checkpoints;
    while (c != NULL &&
           (c->unlinked || !m_same(c->name, c->name_size, name, n)))
        c = c->next;
    return c;
}

static inline struct m_section *m_section_find(const struct m_checkpoint *c,
                                               const uint8_t *id, size_t n)
{
    struct m_section *s = c->sections;
    while (s != NULL && !m_same(s->id, s->id_size, id, n))
        s = s->next;
    return s;
}

static inline bool m_active(const struct m_checkpoint *c)
{
    uint32_t flags = c->attributes.creation_flags;
    return (flags & IPC_CKPT_COLLOCATED) == 0 ||
           (flags & IPC_CKPT_WR_ALL_REPLICAS) != 0 || c->active != 0;
}

static inline void m_section_delete(struct model *m, struct m_checkpoint *c,
                                    struct m_section *s)
{
    struct m_section **at = &c->sections;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    m->bytes -= s->size + STORE_SECTION_BYTES;
    c->section_count--;
    m_section_free(s);
}

static inline void m_delete(struct model *m, struct m_checkpoint *c)
{
    struct m_checkpoint **at = &m->checkpoints;
    while (c->sections != NULL)
        m_section_delete(m, c, c->sections);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    m->count--;
    m->bytes -= STORE_CHECKPOINT_BYTES;
    m_checkpoint_free(c);
}

static inline struct m_section *m_section_create(struct model *m,
                                                 struct m_checkpoint *c,
                                                 const uint8_t *id, uint16_t n)
{
    struct m_section *s = m_alloc(sizeof *s), **at = &c->sections;
    while (*at != NULL)
        at = &(*at)->next;
    *at = s;
    s->id_size = n;
    if (n > 0)
        memcpy(s->id, id, n);
    s->expiration_ns = INT64_MAX;
    c->section_count++;
    s->number = c->next_section++;
    m->bytes += STORE_SECTION_BYTES;
    return s;
}

static inline void m_resize(struct model *m, struct m_section *s, uint64_t size)
{
    uint8_t *data = m_alloc(size);
    if (size > 0 && s->size > 0)
        memcpy(data, s->data, s->size < size ? s->size : size);
    free(s->data);
    s->data = data;
    m->bytes += size - s->size;
    s->size = size;
}

static inline bool m_is_used(const struct m_checkpoint *c)
{
    for (uint32_t i = 0; i <= MODEL_NODES; i++)
        if (c->refs[i] > 0)
            return true;
    return false;
}

/* The node has no handle of it any more. */
static inline void m_ref_end(struct m_checkpoint *c, uint32_t node)
{
    c->refs[node] = 0;
    if (c->active == node)
        c->active = 0;
}

static inline void m_look(struct model *m, struct m_checkpoint *c)
{
    if (m_is_used(c))
        return;
    if (c->unlinked || c->retention_ns < CKPT_RETENTION_MIN_NS)
        m_delete(m, c);
    else
        c->due_ns = INT64_MIN;
}

/* --- checkpoints ---------------------------------------------------------- */

static inline bool m_attributes_differ(const struct ipc_ckpt_attributes *a,
                                       const struct ipc_ckpt_attributes *b)
{
    struct ipc_ckpt_attributes c = *a;
    c.retention_ns = b->retention_ns;
    return memcmp(&c, b, sizeof c) != 0;
}

static inline uint32_t m_create(struct model *m, const struct m_request *r)
{
    struct m_checkpoint *c, **at = &m->checkpoints;

    if ((r->flags & IPC_CKPT_CREATE) == 0)
        return IPC_ERR_NOT_EXIST;
    if (m->count >= m->count_max)
        return IPC_ERR_NO_RESOURCES;
    if (m->bytes + STORE_CHECKPOINT_BYTES + STORE_SECTION_BYTES > m->bytes_max)
        return IPC_ERR_NO_MEMORY;
    c = m_alloc(sizeof *c);
    while (*at != NULL)
        at = &(*at)->next;
    *at = c;
    c->number = m->next++;
    c->attributes = r->attributes;
    c->retention_ns = r->attributes.retention_ns;
    c->next_section = 1;
    c->name_size = r->name_size;
    memcpy(c->name, r->name, r->name_size);
    m->count++;
    m->bytes += STORE_CHECKPOINT_BYTES;
    if (r->attributes.section_max == 1)
        m_section_create(m, c, NULL, 0)->update_ns = r->now_ns;
    return IPC_OK;
}

static inline void m_ref(struct m_checkpoint *c, uint32_t node)
{
    c->refs[node]++;
    c->due_ns = INT64_MAX;
}

static inline uint32_t m_open(struct model *m, const struct m_request *r,
                              struct m_result *out)
{
    struct m_checkpoint *c = m_find(m, r->name, r->name_size);

    if (c == NULL) {
        uint32_t result = m_create(m, r);
        if (result != IPC_OK)
            return result;
        c = m_find(m, r->name, r->name_size);
    } else if ((r->flags & IPC_CKPT_CREATE) != 0 &&
               m_attributes_differ(&r->attributes, &c->attributes)) {
        return IPC_ERR_EXIST;
    }
    m_ref(c, r->node);
    out->opened = c;
    return IPC_OK;
}

static inline uint32_t m_close(struct model *m, uint64_t number, uint32_t node)
{
    struct m_checkpoint *c = m_number(m, number);

    if (c == NULL || c->refs[node] == 0)
        return IPC_ERR_NOT_EXIST;
    if (--c->refs[node] == 0)
        m_ref_end(c, node);
    m_look(m, c);
    return IPC_OK;
}

static inline uint32_t m_unlink(struct model *m, const struct m_request *r)
{
    struct m_checkpoint *c = m_find(m, r->name, r->name_size);

    if (c == NULL)
        return IPC_ERR_NOT_EXIST;
    c->unlinked = true;
    m_look(m, c);
    return IPC_OK;
}

/* --- sections ------------------------------------------------------------- */

static inline uint32_t m_element(const struct m_checkpoint *c,
                                 const struct m_request *r, uint32_t i,
                                 struct m_section **s)
{
    uint64_t max = c->attributes.section_size_max;

    *s = m_section_find(c, r->elements[i].id, r->elements[i].id_size);
    if (*s == NULL)
        return IPC_ERR_NOT_EXIST;
    return r->elements[i].offset > max ||
                   r->elements[i].size > max - r->elements[i].offset
               ? IPC_ERR_INVALID_PARAM
               : IPC_OK;
}

/* By how much an element lets its section grow, each counted for itself. */
static inline uint64_t m_growth(const struct m_request *r, uint32_t i,
                                const struct m_section *s)
{
    uint64_t end = r->elements[i].offset + r->elements[i].size;
    return end > s->size ? end - s->size : 0;
}

static inline uint32_t m_write(struct model *m, struct m_checkpoint *c,
                               const struct m_request *r, struct m_result *out)
{
    uint64_t room = m->bytes < m->bytes_max ? m->bytes_max - m->bytes : 0;
    const uint8_t *from = r->data;
    struct m_section *s;

    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t result = m_element(c, r, i, &s);
        out->done = i;
        if (result != IPC_OK)
            return result;
        if (m_growth(r, i, s) > room)
            return IPC_ERR_NO_MEMORY;
        room -= m_growth(r, i, s);
    }
    out->done = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t offset = r->elements[i].offset, n = r->elements[i].size;
        m_element(c, r, i, &s);
        if (r->type == IPC_SUBMIT_CKPT_OVERWRITE)
            m_resize(m, s, n);
        else if (offset + n > s->size)
            m_resize(m, s, offset + n);
        if (n > 0)
            memcpy(s->data + offset, from, n);
        from += n;
        s->update_ns = r->now_ns;
    }
    return IPC_OK;
}

static inline uint16_t m_hex(uint64_t n, uint8_t *to)
{
    char text[MODEL_ID_MAX + 1];
    int size = snprintf(text, sizeof text, "%llx", (unsigned long long)n);
    memcpy(to, text, (size_t)size);
    return (uint16_t)size;
}

/* The number of the section, or one of the next, in digits. */
static inline uint16_t m_make_id(const struct m_checkpoint *c, uint8_t *id)
{
    uint64_t n = c->next_section;
    uint16_t size = m_hex(n, id);

    while (m_section_find(c, id, size) != NULL)
        size = m_hex(++n, id);
    return size <= c->attributes.section_id_size_max ? size : 0;
}

static inline uint32_t m_section_op(struct model *m, struct m_checkpoint *c,
                                    const struct m_request *r,
                                    struct m_result *out)
{
    const struct ipc_ckpt_attributes *a = &c->attributes;
    const uint8_t *id = r->elements[0].id;
    uint16_t id_size = r->elements[0].id_size;
    uint64_t size = r->elements[0].size;
    struct m_section *s;

    if (size > a->section_size_max || id_size > a->section_id_size_max)
        return IPC_ERR_INVALID_PARAM;
    if (a->section_max == 1)
        return IPC_ERR_EXIST;
    if (id_size > 0 && m_section_find(c, id, id_size) != NULL)
        return IPC_ERR_EXIST;
    if (c->section_count >= a->section_max)
        return IPC_ERR_NO_SPACE;
    if (m->bytes + STORE_SECTION_BYTES + size > m->bytes_max)
        return IPC_ERR_NO_MEMORY;
    if (id_size == 0) {
        id_size = out->id_size = m_make_id(c, out->id);
        id = out->id;
        if (id_size == 0)
            return IPC_ERR_NO_SPACE;
    }
    s = m_section_create(m, c, id, id_size);
    m_resize(m, s, size);
    if (size > 0)
        memcpy(s->data, r->data, size);
    s->update_ns = r->now_ns;
    s->expiration_ns = r->expiration_ns;
    return IPC_OK;
}

static inline uint32_t m_sections(struct model *m, const struct m_request *r,
                                  struct m_result *out)
{
    struct m_checkpoint *c = m_number(m, r->number);
    struct m_section *s;
    uint32_t result;

    if (c == NULL || !m_active(c))
        return IPC_ERR_NOT_EXIST;
    if (r->type == IPC_SUBMIT_CKPT_SECTION_CREATE)
        return m_section_op(m, c, r, out);
    if (r->type == IPC_SUBMIT_CKPT_WRITE ||
        r->type == IPC_SUBMIT_CKPT_OVERWRITE)
        return m_write(m, c, r, out);
    if (r->elements[0].id_size == 0)
        return IPC_ERR_INVALID_PARAM;
    result = m_element(c, r, 0, &s);
    if (result != IPC_OK)
        return result;
    if (r->type == IPC_SUBMIT_CKPT_SECTION_DELETE)
        m_section_delete(m, c, s);
    else
        s->expiration_ns = r->expiration_ns;
    return IPC_OK;
}

/* --- all ------------------------------------------------------------------ */

static inline uint32_t m_request_do(struct model *m, const struct m_request *r,
                                    struct m_result *out)
{
    struct m_checkpoint *c;

    switch (r->type) {
    case IPC_SUBMIT_CKPT_OPEN:
        return m_open(m, r, out);
    case IPC_SUBMIT_CKPT_CLOSE:
        return m_close(m, r->number, r->node);
    case IPC_SUBMIT_CKPT_UNLINK:
        return m_unlink(m, r);
    default:
        break;
    }
    if (r->type >= IPC_SUBMIT_CKPT_SECTION_CREATE)
        return m_sections(m, r, out);
    if ((c = m_number(m, r->number)) == NULL)
        return IPC_ERR_NOT_EXIST;
    if (r->type == IPC_SUBMIT_CKPT_SYNCHRONIZE)
        return m_active(c) ? IPC_OK : IPC_ERR_NOT_EXIST;
    if (r->type == IPC_SUBMIT_CKPT_RETENTION_SET) {
        if (c->unlinked)
            return IPC_ERR_BAD_OPERATION;
        c->retention_ns = r->retention_ns;
        return IPC_OK;
    }
    if ((c->attributes.creation_flags & IPC_CKPT_COLLOCATED) == 0 ||
        (c->attributes.creation_flags & IPC_CKPT_WR_ALL_REPLICAS) != 0)
        return IPC_ERR_BAD_OPERATION;
    c->active = r->node;
    return IPC_OK;
}

/* What a tick names, a section or (0) the checkpoint, goes if it is due: that
 * at a service time, a section, if the clock is believed, at what it shows. */
static inline void m_tick(struct model *m, bool believed, int64_t now_ns,
                          uint64_t checkpoint, uint64_t section)
{
    struct m_checkpoint *c = m_number(m, checkpoint);
    struct m_section *s = c == NULL ? NULL : c->sections;

    if (c == NULL)
        return;
    while (s != NULL && s->number != section)
        s = s->next;
    if (s != NULL && believed && s->expiration_ns <= now_ns)
        m_section_delete(m, c, s);
    if (section != 0)
        return;
    if (c->due_ns == INT64_MIN)
        c->due_ns = c->retention_ns > INT64_MAX - m->time_ns
                        ? INT64_MAX
                        : m->time_ns + c->retention_ns;
    else if (c->due_ns <= m->time_ns)
        m_delete(m, c);
}

/* When the first are due, a checkpoint and a section. */
static inline void m_due(const struct model *m, int64_t *checkpoint_ns,
                         int64_t *section_ns)
{
    *checkpoint_ns = *section_ns = INT64_MAX;
    for (const struct m_checkpoint *c = m->checkpoints; c; c = c->next) {
        if (c->due_ns < *checkpoint_ns)
            *checkpoint_ns = c->due_ns;
        for (const struct m_section *s = c->sections; s; s = s->next)
            if (s->expiration_ns < *section_ns)
                *section_ns = s->expiration_ns;
    }
}

/* The node is not among those that go on. */
static inline void m_node_gone(struct model *m, uint32_t node)
{
    struct m_checkpoint *c, *next;

    for (c = m->checkpoints; c != NULL; c = next) {
        next = c->next;
        if (c->refs[node] == 0)
            continue;
        m_ref_end(c, node);
        m_look(m, c);
    }
}

#endif
