/* SPDX-License-Identifier: BSD-3-Clause */
/* bytes.h - a borrowed run of bytes, and little-endian cursors over it.
 *
 * Every packet and record is read through `struct reader` and written through
 * `struct writer`. Neither ever leaves its buffer: a read or write that does
 * not fit sets `failed` and has no other effect (reads then give 0), so that a
 * decoder checks once, at its end. */
#ifndef DAEMON_BASE_BYTES_H
#define DAEMON_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *p;
    size_t n;
};

struct reader {
    const uint8_t *p;
    size_t left;
    bool failed;
};

struct writer {
    uint8_t *p;
    size_t left;
    size_t written;
    bool failed;
};

static inline struct reader reader_of(struct bytes b)
{
    return (struct reader){.p = b.p, .left = b.n};
}

static inline struct writer writer_of(uint8_t *p, size_t size)
{
    return (struct writer){.p = p, .left = size};
}

/* Borrows `n` bytes in place; {NULL, 0} when fewer are left. */
static inline struct bytes read_bytes(struct reader *r, size_t n)
{
    if (r->failed || n > r->left) {
        r->failed = true;
        return (struct bytes){NULL, 0};
    }
    struct bytes b = {r->p, n};
    r->p += n;
    r->left -= n;
    return b;
}

static inline uint64_t read_uint(struct reader *r, size_t n)
{
    struct bytes b = read_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = b.n; i > 0; i--)
        v = v << 8 | b.p[i - 1];
    return v;
}

static inline uint8_t read_u8(struct reader *r)
{
    return (uint8_t)read_uint(r, 1);
}

static inline uint16_t read_u16(struct reader *r)
{
    return (uint16_t)read_uint(r, 2);
}

static inline uint32_t read_u32(struct reader *r)
{
    return (uint32_t)read_uint(r, 4);
}

static inline uint64_t read_u64(struct reader *r)
{
    return read_uint(r, 8);
}

/* True when nothing failed and nothing is left over. */
static inline bool reader_done(const struct reader *r)
{
    return !r->failed && r->left == 0;
}

/* Claims `n` bytes to be filled by the caller; NULL when they do not fit. */
static inline uint8_t *write_claim(struct writer *w, size_t n)
{
    if (w->failed || n > w->left) {
        w->failed = true;
        return NULL;
    }
    uint8_t *at = w->p;
    w->p += n;
    w->left -= n;
    w->written += n;
    return at;
}

static inline void write_bytes(struct writer *w, struct bytes b)
{
    uint8_t *at = write_claim(w, b.n);
    if (at != NULL && b.n > 0)
        memcpy(at, b.p, b.n);
}

static inline void write_uint(struct writer *w, uint64_t v, size_t n)
{
    uint8_t *at = write_claim(w, n);
    for (size_t i = 0; at != NULL && i < n; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

static inline void write_u8(struct writer *w, uint8_t v)
{
    write_uint(w, v, 1);
}

static inline void write_u16(struct writer *w, uint16_t v)
{
    write_uint(w, v, 2);
}

static inline void write_u32(struct writer *w, uint32_t v)
{
    write_uint(w, v, 4);
}

static inline void write_u64(struct writer *w, uint64_t v)
{
    write_uint(w, v, 8);
}

#endif
