/* SPDX-License-Identifier: BSD-3-Clause */
/* attack_flood.c - as many datagrams to one port as can be, of each kind that
 * costs a receiver something else.
 *
 * foreign   no packet of a daemon
 * salt      a right header with a salt that nobody has: a key to derive
 * tag       a living sender's header with a counter to come: a tag to check
 * recorded  what a daemon once sent, played back
 *
 * Leaves in runs of one size that the kernel cuts (UDP_SEGMENT), else this host
 * could not send enough. */
#include "test/attack.h"

#include <netinet/udp.h>
#include <sys/socket.h>

enum {
    HEADER_SIZE = 24,
    SALT_AT = 4,
    COUNTER_AT = 16,
    SALT_SIZE = 12,
    RUN_MAX = 32
};

struct flood {
    const struct attack_options *o;
    struct recording *heard;
    size_t at;        /* in what was heard */
    uint64_t counter; /* the next of a living sender */
    uint8_t salt[SALT_SIZE];
};

static int by_size(const void *a, const void *b)
{
    const struct recorded *x = a, *y = b;
    return (x->size > y->size) - (x->size < y->size);
}

/* The highest counter heard of whoever spoke last. */
static void counter_find(struct flood *f)
{
    const struct recorded *last = &f->heard->packets[f->heard->count - 1];
    memcpy(f->salt, last->data + SALT_AT, SALT_SIZE);
    memcpy(&f->counter, last->data + COUNTER_AT, sizeof f->counter);
    f->counter += 1000000;
}

/* Writes one datagram; gives its size. */
static size_t datagram_make(struct flood *f, uint8_t *at)
{
    const struct attack_options *o = f->o;
    const struct recorded *r;
    if (strcmp(o->kind, "foreign") == 0) {
        memset(at, 0, o->size);
        return o->size;
    }
    r = &f->heard->packets[f->at++ % f->heard->count];
    if (strcmp(o->kind, "recorded") == 0) {
        memcpy(at, r->data, r->size);
        return r->size;
    }
    random_fill(at + HEADER_SIZE, 8);
    memcpy(at, r->data, SALT_AT);
    at[0] = 0xA1; /* whoever it is for, its tag has to be looked at */
    if (strcmp(o->kind, "salt") == 0) {
        random_fill(at + SALT_AT, HEADER_SIZE - SALT_AT);
    } else {
        memcpy(at + SALT_AT, f->salt, SALT_SIZE);
        memcpy(at + COUNTER_AT, &f->counter, sizeof f->counter);
        f->counter++;
    }
    return o->size;
}

/* Datagrams of one size, one behind the other; gives how many. */
static unsigned run_make(struct flood *f, uint8_t *run, size_t *segment,
                         size_t *size)
{
    unsigned n = 0;
    size_t next;
    *size = 0;
    *segment = datagram_make(f, run);
    for (next = *segment;
         next == *segment && n < RUN_MAX && *size + next <= 1400 * RUN_MAX;
         next = datagram_make(f, run + *size)) {
        *size += next;
        n++;
    }
    if (f->at > 0)
        f->at--; /* the last made did not fit */
    return n;
}

static void run_send(int fd, const struct attack_options *o, uint8_t *run,
                     size_t segment, size_t size)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr = o->to, .sin_port = htons(o->port)};
    union {
        struct cmsghdr head;
        uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control = {0};
    struct iovec iov = {run, size};
    uint16_t value = (uint16_t)segment;
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = sizeof to,
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof value),
                                    .cmsg_level = SOL_UDP,
                                    .cmsg_type = UDP_SEGMENT};
    memcpy(CMSG_DATA(&control.head), &value, sizeof value);
    (void)sendmsg(fd, &m, 0);
}

int attack_flood(const struct attack_options *o)
{
    static uint8_t run[1500 * RUN_MAX + PACKET_SIZE_MAX];
    struct flood f = {.o = o};
    int fd = socket_from(o->from);
    if (strcmp(o->kind, "foreign") != 0) {
        f.heard = recording_read(o->file, o->from);
        counter_find(&f);
        qsort(f.heard->packets, f.heard->count, sizeof *f.heard->packets,
              by_size); /* for long runs */
    }
    random_fill(run, sizeof run);
    uint64_t start = clock_ns(), sent = 0;
    while (sent < o->count && clock_ns() - start < o->seconds * 1000000000) {
        size_t segment, size;
        unsigned n = run_make(&f, run, &segment, &size);
        run_send(fd, o, run, segment, size);
        sent += n;
        pace(start, sent, o->rate);
    }
    recording_free(f.heard);
    printf("%s: %llu packets, %.0f a second\n", o->kind,
           (unsigned long long)sent,
           (double)sent * 1e9 / (double)(clock_ns() - start + 1));
    return 0;
}
