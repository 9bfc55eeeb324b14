/* SPDX-License-Identifier: BSD-3-Clause */
/* seal_box.h - nodes that seal and open packets, and say what the test wants.
 */
#ifndef TEST_UNIT_SEAL_BOX_H
#define TEST_UNIT_SEAL_BOX_H

#include "daemon/crypto/seal.h"
#include "daemon/crypto/session.h"

#include "test/unit/forge.h"
#include "test/unit/unit.h"

#include <stdlib.h>

static const uint64_t ms = 1000000;
static uint8_t the_key[SEAL_KEY_SIZE];
static uint64_t now = 1000000000;

/* What all nodes send from, and what packets seem to come from. */
static const uint64_t home = 77;
static uint64_t seen_from = 77;

/* --- nodes and packets ---------------------------------------------------- */

struct packet {
    size_t n;
    uint8_t bytes[10000];
};

static inline struct seal_config config_of(uint32_t node_id, uint8_t run)
{
    for (size_t i = 0; i < sizeof the_key; i++)
        the_key[i] = (uint8_t)(i * 3 + 1);
    struct seal_config c = {.node_id = node_id, .node_max = 8, .key = the_key};
    c.source = home;
    memset(c.secrets.salt, (int)(node_id * 16 + run), sizeof c.secrets.salt);
    memset(c.secrets.cookie_key, (int)(node_id * 16 + run + 8),
           sizeof c.secrets.cookie_key);
    return c;
}

/* The process of node `node_id` after its `run`th start. */
static inline struct seal *start(uint32_t node_id, uint8_t run)
{
    struct seal_config c = config_of(node_id, run);
    struct seal *s = seal_new(&c);
    CU_ASSERT_FATAL(s != NULL);
    return s;
}

static inline struct packet say(struct seal *from, size_t size)
{
    static uint8_t plain[10000];
    struct packet p;
    for (size_t i = 0; i < size; i++)
        plain[i] = (uint8_t)(i * 5 % 240);
    p.n = seal_packet(from, (struct bytes){plain, size}, p.bytes);
    CU_ASSERT(p.n == size + SEAL_OVERHEAD);
    return p;
}

static inline struct packet hello(struct seal *from)
{
    struct packet p;
    p.n = seal_hello(from, p.bytes);
    CU_ASSERT(p.n <= SEAL_HANDSHAKE_SIZE_MAX);
    return p;
}

static struct seal_opened last;
static uint8_t last_plain[10000];

/* Opened from memory of the exact size, so that a read beyond it is seen. */
static inline enum seal_result hear(struct seal *to, const struct packet *p)
{
    uint8_t *exact = malloc(p->n + 1);
    CU_ASSERT_FATAL(exact != NULL);
    memcpy(exact + 1, p->bytes, p->n);
    enum seal_result result = seal_open(to, (struct bytes){exact + 1, p->n},
                                        seen_from, now, last_plain, &last);
    free(exact);
    CU_ASSERT(last.reply_size <= SEAL_HANDSHAKE_SIZE_MAX);
    if (result != SEAL_OK)
        CU_ASSERT(last.plain_size == 0);
    return result;
}

static inline struct packet reply(void)
{
    struct packet p = {.n = last.reply_size};
    CU_ASSERT_FATAL(p.n > 0);
    memcpy(p.bytes, last.reply, p.n);
    return p;
}

/* One packet, and the replies back and forth; gives how many there were. */
static inline int talk(struct seal *from, struct seal *to, struct packet p)
{
    int replies = 0;
    for (;;) {
        hear(to, &p);
        if (last.reply_size == 0)
            return replies;
        p = reply();
        struct seal *next = from;
        from = to;
        to = next;
        CU_ASSERT_FATAL(++replies < 10);
    }
}

static inline bool accepted(struct seal *from, struct seal *to)
{
    struct packet p = say(from, 100);
    return hear(to, &p) == SEAL_OK;
}

#endif
