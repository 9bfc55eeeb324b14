/* SPDX-License-Identifier: BSD-3-Clause */
#include "test/unit/unit.h"

#include "ipc/channel.h"
#include "ipc/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIZE = 4096 };

static struct ring_shared shared;
static uint8_t *area;
static struct ring_producer p;
static struct ring_consumer c;

static void reset(void)
{
    if (area == NULL)
        area = segment_map_private(SIZE);
    memset(&shared, 0, sizeof shared);
    ring_producer_init(&p, &shared, area, SIZE);
    ring_consumer_init(&c, &shared, area, SIZE);
}

static bool put(uint32_t type, uint32_t size)
{
    uint8_t *at = ring_claim(&p, size);
    if (at == NULL)
        return false;
    memset(at, (int)type, size);
    ring_push(&p, type, size);
    return true;
}

static bool all_bytes(const uint8_t *b, uint32_t size, uint8_t value)
{
    for (uint32_t i = 0; i < size; i++)
        if (b[i] != value)
            return false;
    return true;
}

static void test_records(void)
{
    const uint8_t *body;
    reset();
    CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_EMPTY);
    CU_ASSERT(put(1, 5));
    CU_ASSERT(put(2, 0));
    CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_EMPTY); /* not published */
    CU_ASSERT(!ring_publish(&p));
    CU_ASSERT_EQUAL(ring_pending(&c), 24);
    CU_ASSERT_EQUAL(ring_unread(&p), 24);
    CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_RECORD);
    CU_ASSERT_EQUAL(c.record.size, 5);
    CU_ASSERT_EQUAL(c.record.type, 1);
    CU_ASSERT(all_bytes(body, 5, 1));
    CU_ASSERT_EQUAL((uintptr_t)body % 8, 0);
    ring_advance(&c);
    CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_RECORD);
    CU_ASSERT_EQUAL(c.record.size, 0);
    ring_advance(&c);
    ring_advance(&c); /* without a peek: nothing */
    CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_EMPTY);
    CU_ASSERT_EQUAL(ring_unread(&p), 24);
    CU_ASSERT(!ring_release(&c));
    CU_ASSERT_EQUAL(ring_unread(&p), 0);
}

static void test_full_and_wrap(void)
{
    const uint8_t *body;
    reset();
    CU_ASSERT_PTR_NULL(ring_claim(&p, SIZE - 7));
    CU_ASSERT_PTR_NULL(ring_claim(&p, UINT32_MAX));
    CU_ASSERT_PTR_NOT_NULL(ring_claim(&p, SIZE - 8)); /* the whole ring */
    /* Every size, over and over the end, never more than the ring holds. */
    for (uint32_t i = 0, out = 0; i < 20000; i++) {
        uint32_t size = i * 37 % 1500;
        while (!put(i, size)) {
            ring_publish(&p);
            CU_ASSERT_EQUAL_FATAL(ring_peek(&c, &body), RING_RECORD);
            CU_ASSERT_EQUAL_FATAL(c.record.type, out);
            CU_ASSERT_EQUAL_FATAL(c.record.size, out * 37 % 1500);
            CU_ASSERT_FATAL(all_bytes(body, c.record.size, (uint8_t)out));
            ring_advance(&c);
            ring_release(&c);
            out++;
        }
        CU_ASSERT_FATAL(p.tail - shared.head <= SIZE);
    }
    CU_ASSERT(!p.corrupt && !c.corrupt);
}

/* Consumer against each lie of a producer. */
static void test_corrupt_tail(void)
{
    static const uint64_t lies[] = {SIZE + 8,   1, 12, UINT64_MAX,
                                    1ull << 63, 8 /* a record of 5 needs 16 */};
    const uint8_t *body;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        reset();
        put(1, 5);
        atomic_store(&shared.tail, lies[i]);
        CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_CORRUPT);
        atomic_store(&shared.tail, 16);
        CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_CORRUPT); /* for ever */
        CU_ASSERT_EQUAL(ring_pending(&c), 0);
    }
    /* Backwards, behind what was published before. */
    reset();
    put(1, 8);
    put(1, 8);
    ring_publish(&p);
    CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_RECORD);
    atomic_store(&shared.tail, 16);
    CU_ASSERT_EQUAL(ring_pending(&c), 0);
    CU_ASSERT(c.corrupt);
    /* A record's size that reaches beyond the tail, or wraps. */
    static const uint32_t sizes[] = {9, SIZE, UINT32_MAX, UINT32_MAX - 7,
                                     UINT32_MAX - 15};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        reset();
        put(1, 8);
        ring_publish(&p);
        memcpy(area, &sizes[i], sizeof sizes[i]);
        CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_CORRUPT);
    }
    /* What was peeked stays what it was. */
    reset();
    put(1, 8);
    ring_publish(&p);
    CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_RECORD);
    memset(area, 0xff, 8);
    CU_ASSERT_EQUAL(ring_peek(&c, &body), RING_RECORD);
    CU_ASSERT_EQUAL(c.record.size, 8);
    ring_advance(&c);
    CU_ASSERT_EQUAL(c.head, 16);
}

/* Producer against each lie of a consumer: never more room than there is. */
static void test_corrupt_head(void)
{
    static const uint64_t lies[] = {SIZE * 2, UINT64_MAX, 1ull << 62, 4097};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        reset();
        while (put(1, 100))
            ;
        ring_publish(&p);
        atomic_store(&shared.head, lies[i]);
        CU_ASSERT_PTR_NULL(ring_claim(&p, 100));
        CU_ASSERT(p.corrupt);
        CU_ASSERT(!ring_wait_room(&p, 100));
        CU_ASSERT_PTR_NULL(ring_claim(&p, 2000));
    }
    /* Of what was not published, nothing can have been read. */
    reset();
    while (put(1, 100))
        ;
    atomic_store(&shared.head, 112);
    CU_ASSERT_PTR_NULL(ring_claim(&p, 100));
    CU_ASSERT(p.corrupt);
}

static void test_announcements(void)
{
    const uint8_t *body;
    reset();
    CU_ASSERT(ring_arm(&c));
    CU_ASSERT(ring_is_armed(&c));
    put(1, 1);
    CU_ASSERT(ring_publish(&p)); /* taken */
    put(1, 1);
    CU_ASSERT(!ring_publish(&p)); /* once */
    CU_ASSERT(!ring_is_armed(&c));
    CU_ASSERT(!ring_arm(&c)); /* not empty */
    CU_ASSERT(ring_disarm(&c));
    CU_ASSERT(!ring_disarm(&c));
    CU_ASSERT(!ring_arm(&c));
    CU_ASSERT(!ring_publish(&p)); /* nothing new is nothing to wake for */
    put(1, 1);
    CU_ASSERT(ring_publish(&p));
    CU_ASSERT(!ring_disarm(&c)); /* the producer was first */
    while (ring_peek(&c, &body) == RING_RECORD)
        ring_advance(&c);
    ring_release(&c);
    CU_ASSERT(ring_doze(&c));   /* not woken by records, but before a wait */
    CU_ASSERT(!ring_nudge(&p)); /* it has seen all */
    put(1, 1);
    CU_ASSERT(!ring_publish(&p));
    CU_ASSERT(ring_may_nudge(&p));
    CU_ASSERT(ring_nudge(&p));  /* taken */
    CU_ASSERT(!ring_nudge(&p)); /* once */
    CU_ASSERT(!ring_is_armed(&c));
    CU_ASSERT(!ring_doze(&c)); /* not empty */
    CU_ASSERT(ring_disarm(&c));
    while (put(1, 1000))
        ;
    ring_publish(&p);
    CU_ASSERT(ring_wait_room(&p, 1000));
    CU_ASSERT(!ring_release(&c)); /* nothing was stepped over */
    while (ring_peek(&c, &body) == RING_RECORD)
        ring_advance(&c);
    CU_ASSERT(ring_release(&c)); /* taken */
    CU_ASSERT(!ring_release(&c));
    CU_ASSERT_EQUAL(atomic_load(&shared.waiting), 0);
    CU_ASSERT(!ring_wait_room(&p, 1000)); /* there is; but others may wait */
    CU_ASSERT_EQUAL(atomic_load(&shared.waiting), 1);
}

/* --- two threads, each asleep whenever it can be -------------------------- */

enum { STRESS = 200000 };

static int bell_full, bell_room;
static _Atomic int lost;

static void ring_it(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n;
}

static void sleep_on(int fd)
{
    struct pollfd f = {.fd = fd, .events = POLLIN};
    uint64_t count;
    if (poll(&f, 1, 10000) == 0)
        lost++; /* nobody rang, though the other side went on or ended */
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
}

static void *produce(void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < STRESS && lost == 0; i++) {
        uint32_t size = i * 13 % 700;
        void *at;
        while ((at = ring_claim(&p, size)) == NULL && lost == 0) {
            if (ring_publish(&p))
                ring_it(bell_full);
            if (ring_wait_room(&p, size))
                sleep_on(bell_room);
        }
        if (at == NULL)
            break;
        memset(at, (int)(i & 0xff), size);
        ring_push(&p, i, size);
        if (i % 3 != 0 || i == STRESS - 1)
            if (ring_publish(&p))
                ring_it(bell_full);
    }
    return NULL;
}

static void test_stress(void)
{
    const uint8_t *body;
    pthread_t t;
    uint32_t next = 0, wrong = 0;
    reset();
    lost = 0;
    bell_full = eventfd(0, EFD_NONBLOCK);
    bell_room = eventfd(0, EFD_NONBLOCK);
    pthread_create(&t, NULL, produce, NULL);
    while (next < STRESS && lost == 0 && wrong == 0) {
        switch (ring_peek(&c, &body)) {
        case RING_RECORD:
            wrong += c.record.type != next || c.record.size != next * 13 % 700;
            wrong += !all_bytes(body, c.record.size, (uint8_t)next);
            next++;
            ring_advance(&c);
            if (next % 2 == 0 && ring_release(&c))
                ring_it(bell_room);
            break;
        case RING_EMPTY:
            if (ring_release(&c))
                ring_it(bell_room);
            if (ring_arm(&c))
                sleep_on(bell_full);
            ring_disarm(&c);
            break;
        case RING_CORRUPT:
            wrong++;
            break;
        }
    }
    if (ring_release(&c))
        ring_it(bell_room);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(lost, 0);
    CU_ASSERT_EQUAL(next, STRESS);
    pthread_join(t, NULL);
    close(bell_full);
    close(bell_room);
}

/* --- segment and hello ---------------------------------------------------- */

static void test_segment(void)
{
    const uint32_t sizes[SEGMENT_RINGS] = {8192, 4096, 16384, 4096, 4096};
    const uint32_t other[SEGMENT_RINGS] = {8192, 8192, 16384, 4096, 4096};
    const uint32_t odd[SEGMENT_RINGS] = {8192, 5000, 16384, 4096, 4096};
    struct segment a, b;
    int fd = segment_create(sizes);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(segment_create(odd), -EINVAL);
    CU_ASSERT_EQUAL(segment_map(&a, fd, other), -EINVAL);
    CU_ASSERT_EQUAL(segment_map(&a, fd, odd), -EINVAL);
    CU_ASSERT_EQUAL_FATAL(segment_map(&a, fd, sizes), 0);
    CU_ASSERT_EQUAL_FATAL(segment_map(&b, fd, sizes), 0);
    for (int i = 0; i < SEGMENT_RINGS; i++) {
        a.data[i][1] = (uint8_t)(i + 1);
        CU_ASSERT_EQUAL(a.data[i][sizes[i] + 1], i + 1); /* twice in a row */
        CU_ASSERT_EQUAL(b.data[i][1], i + 1);            /* shared */
    }
    /* Nobody can make a reader fail. */
    CU_ASSERT_NOT_EQUAL(ftruncate(fd, 0), 0);
    CU_ASSERT_NOT_EQUAL(ftruncate(fd, 1 << 20), 0);
    CU_ASSERT_NOT_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    segment_unmap(&a);
    segment_unmap(&b);
    close(fd);
    /* The size is right, the seals are not. */
    fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CU_ASSERT_EQUAL(ftruncate(fd, 4096 + 8192 + 4096 + 16384 + 8192), 0);
    CU_ASSERT_EQUAL(segment_map(&a, fd, sizes), -EINVAL);
    close(fd);
}

static enum channel_hello hello_of(uint32_t version, uint32_t magic,
                                   uint32_t size, size_t got)
{
    struct ipc_hello h = {.magic = magic, .version = version, .size = size};
    struct ipc_hello out;
    uint8_t data[IPC_HELLO_SIZE_MAX] = {0};
    memcpy(data, &h, sizeof h);
    return channel_hello_check(data, got, &out);
}

static enum channel_hello hello(uint32_t magic, uint32_t size, size_t got)
{
    return hello_of(IPC_VERSION, magic, size, got);
}

static void test_hello(void)
{
    CU_ASSERT_EQUAL(hello(IPC_MAGIC, 24, 24), CHANNEL_HELLO_WHOLE);
    CU_ASSERT_EQUAL(hello(IPC_MAGIC, 24, 23), CHANNEL_HELLO_PART);
    CU_ASSERT_EQUAL(hello(IPC_MAGIC, 24, 0), CHANNEL_HELLO_PART);
    CU_ASSERT_EQUAL(hello(IPC_MAGIC, 24, 25), CHANNEL_HELLO_BAD);
    CU_ASSERT_EQUAL(hello(IPC_MAGIC, 40, 24), CHANNEL_HELLO_PART);
    CU_ASSERT_EQUAL(hello(IPC_MAGIC, 40, 40), CHANNEL_HELLO_WHOLE);
    CU_ASSERT_EQUAL(hello(IPC_MAGIC, 257, 24), CHANNEL_HELLO_BAD);
    CU_ASSERT_EQUAL(hello(IPC_MAGIC, 23, 23), CHANNEL_HELLO_BAD);
    CU_ASSERT_EQUAL(hello(IPC_MAGIC ^ 1, 24, 12), CHANNEL_HELLO_BAD);
    /* An older library's is shorter; it must be told that it is older. */
    CU_ASSERT_EQUAL(hello_of(1, IPC_MAGIC, 16, 16), CHANNEL_HELLO_WHOLE);
    CU_ASSERT_EQUAL(hello_of(1, IPC_MAGIC, 16, 12), CHANNEL_HELLO_PART);
    CU_ASSERT_EQUAL(hello_of(1, IPC_MAGIC, 257, 16), CHANNEL_HELLO_BAD);
}

static const struct unit_test tests[] = {{"records", test_records},
                                         {"full and wrap", test_full_and_wrap},
                                         {"corrupt tail", test_corrupt_tail},
                                         {"corrupt head", test_corrupt_head},
                                         {"announcements", test_announcements},
                                         {"stress", test_stress},
                                         {"segment", test_segment},
                                         {"hello", test_hello}};
UNIT_MAIN("ring", tests)
