/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile_ckpt.c - attackers that are clients of the CKPT service: wrong and
 * changing records, handles that are not theirs, more than there is of
 * everything, and ends at the worst time. Their checkpoints are few and all
 * theirs; that of the honest client has a name that they do not know. */
#include "test/hostile_attack.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NAMES = 6, RINGS = 1 << 17 };

static bool attach_ckpt(uint32_t submit)
{
    struct ipc_hello hello = good_hello(submit, 1);

    hello.service = IPC_SERVICE_CKPT;
    return attach_with(hello);
}

/* --- what they say -------------------------------------------------------- */

static struct ipc_ckpt_open good_open(void)
{
    struct ipc_ckpt_open o = {
        .invocation = rnd(),
        .flags = IPC_CKPT_READ | IPC_CKPT_WRITE | IPC_CKPT_CREATE,
        .name_length = 7,
        .attributes = {.creation_flags = IPC_CKPT_WR_ALL_REPLICAS,
                       .section_max = 20,
                       .section_size_max = 1 << 20,
                       .section_id_size_max = 16}};

    snprintf((char *)o.name, sizeof o.name, "attack%u", below(NAMES));
    return o;
}

static bool put_open(bool async)
{
    struct ipc_ckpt_open o = good_open();

    o.async = async;
    return put(&me.submit, IPC_SUBMIT_CKPT_OPEN, &o, sizeof o, sizeof o);
}

static bool put_unlink(void)
{
    struct ipc_ckpt_open o = good_open();
    struct ipc_ckpt_unlink u = {.name_length = o.name_length};

    memcpy(u.name, o.name, o.name_length);
    return put(&me.submit, IPC_SUBMIT_CKPT_UNLINK, &u, sizeof u, sizeof u);
}

/* Of one section, its id a letter. */
struct section_record {
    struct ipc_ckpt_section_request head;
    struct ipc_ckpt_element element;
    uint8_t id[8];
};

static struct section_record good_section(uint32_t handle, uint32_t size)
{
    return (struct section_record){
        .head = {.handle = handle,
                 .head_size = sizeof(struct section_record),
                 .expiration_ns = INT64_MAX,
                 .count = 1},
        .element = {.size = size, .id_length = 1},
        .id = {(uint8_t)('a' + below(4))}};
}

static bool put_section(uint32_t type, uint32_t handle, uint32_t size)
{
    struct section_record r = good_section(handle, size);

    if (type == IPC_SUBMIT_CKPT_WRITE)
        r.element.offset = below(2) == 0 ? below(100000) : bad_word();
    return put(&me.submit, type, &r, sizeof r, (uint32_t)sizeof r + size);
}

static bool put_request(uint32_t type, uint32_t handle)
{
    const struct ipc_ckpt_request r = {.handle = handle,
                                       .retention_ns = below(3)};

    return put(&me.submit, type, &r, sizeof r, sizeof r);
}

static bool is_plain(uint32_t type)
{
    return type != IPC_SUBMIT_CKPT_OPEN && type != IPC_SUBMIT_CKPT_UNLINK &&
           type < IPC_SUBMIT_CKPT_SECTION_CREATE;
}

/* Any, in order. */
static bool put_any(uint32_t handle)
{
    uint32_t type = IPC_SUBMIT_CKPT_OPEN + below(11);

    if (type == IPC_SUBMIT_CKPT_OPEN)
        return put_open(below(3) == 0);
    if (type == IPC_SUBMIT_CKPT_UNLINK)
        return put_unlink();
    if (is_plain(type))
        return put_request(type, handle);
    return put_section(type, handle, below(3000));
}

/* --- what they are told --------------------------------------------------- */

/* The next reply; false: it has not come in a while. */
static bool await_reply(struct ipc_ckpt_reply *reply)
{
    const uint8_t *body;

    for (int i = 0; i < 1000; i++) {
        if (ring_peek(&me.reply, &body) == RING_RECORD) {
            if (me.reply.record.size != sizeof *reply)
                violation("a reply of %u bytes", me.reply.record.size);
            else
                memcpy(reply, body, sizeof *reply);
            skip_all(&me.reply);
            return true;
        }
        if (i % 16 == 15 && sent_away())
            return false;
        pause_us(i < 10 ? 50 : 1000);
    }
    return false;
}

/* A handle of its own; UINT32_MAX: there is none for it now. */
static uint32_t open_one(void)
{
    struct ipc_ckpt_reply reply;

    if (!put_open(false) || !await_reply(&reply) ||
        reply.reply.result != IPC_OK)
        return UINT32_MAX;
    return reply.opened.handle;
}

/* What was said last costs the connection, whatever stands behind it. */
static void must_end(uint32_t answered, uint32_t type, uint32_t how)
{
    const uint8_t *body;
    uint32_t n = 0;

    for (int i = 0; i < 300 && !sent_away(); i++)
        pause_us(1000);
    for (; ring_peek(&me.reply, &body) == RING_RECORD; n++)
        ring_advance(&me.reply);
    if (n > answered)
        violation("a wrong record of type %u (%u) was answered", type, how);
}

/* --- wrong records -------------------------------------------------------- */

/* Each way in which an open can be wrong. */
static uint32_t put_wrong_open(void)
{
    struct ipc_ckpt_open o = good_open();
    uint32_t size = sizeof o, how = below(8);

    switch (how) {
    case 0:
        o.flags = 0;
        break;
    case 1:
        o.flags |= 8u << below(29);
        break;
    case 2:
        o.name_length = (uint16_t)(257 + below(65000));
        break;
    case 3:
        o.attributes.section_max = 0;
        break;
    case 4:
        o.attributes.retention_ns = -1 - (int64_t)below(1000);
        break;
    case 5:
        size = below(sizeof o);
        break;
    default:
        size = (uint32_t)sizeof o + 1 + below(2000);
        break;
    }
    put(&me.submit, IPC_SUBMIT_CKPT_OPEN, &o,
        size < sizeof o ? size : (uint32_t)sizeof o, size);
    return how;
}

static uint32_t put_wrong_plain(uint32_t type)
{
    const struct ipc_ckpt_request r = {.handle = below(10)};
    uint32_t size;

    do
        size = below(100);
    while (size == sizeof r);
    put(&me.submit, type, &r, size < sizeof r ? size : (uint32_t)sizeof r,
        size);
    return size;
}

static uint32_t put_wrong_unlink(void)
{
    struct ipc_ckpt_unlink u = {.name_length =
                                    257 + (uint32_t)bad_word() % 100000};
    uint32_t size = below(2) == 0 ? (uint32_t)sizeof u : below(sizeof u);

    put(&me.submit, IPC_SUBMIT_CKPT_UNLINK, &u, size, size);
    return size;
}

/* Lengths that do not fit each other. */
static uint32_t put_wrong_section(uint32_t type)
{
    uint32_t data = below(2000), how = below(8);
    struct section_record r = good_section(below(10), data);
    uint32_t size = (uint32_t)sizeof r + data;

    switch (how) {
    case 0:
        r.head.head_size += 8 * (1 + below(600));
        break;
    case 1:
        r.head.head_size = (uint32_t)bad_word() | 1;
        break;
    case 2:
        r.head.count = 2 + (uint32_t)bad_word() % 100000;
        break;
    case 3:
        r.head.count = 0;
        if (below(2) == 0) /* and that is true */
            r.head.head_size = size = sizeof r.head;
        break;
    case 4:
        r.element.size = data + 1 + below(100);
        break;
    case 5:
        r.element.id_length = (uint16_t)(9 + below(65000));
        break;
    case 6:
        size = below(sizeof r);
        break;
    default:
        size += 1 + below(100);
        break;
    }
    put(&me.submit, type, &r, size < sizeof r ? size : (uint32_t)sizeof r,
        size);
    return how;
}

/* One that no library writes, with others before and behind it. */
void attack_ckpt_records(void)
{
    for (int round = 0; round < 20 && attach_ckpt(RINGS); round++) {
        uint32_t good = below(4), how;
        uint32_t type = IPC_SUBMIT_CKPT_OPEN + below(12);
        for (uint32_t i = 0; i < good; i++)
            put_any(below(10));
        if (type == IPC_SUBMIT_CKPT_OPEN)
            how = put_wrong_open();
        else if (type == IPC_SUBMIT_CKPT_UNLINK)
            how = put_wrong_unlink();
        else if (is_plain(type) || type > IPC_SUBMIT_CKPT_OVERWRITE)
            how = put_wrong_plain(type);
        else
            how = put_wrong_section(type);
        put_unlink();
        must_end(good, type, how);
        detach();
    }
}

/* --- records that change -------------------------------------------------- */

/* Writes over the first words of records, where they are read next. */
static void change_records(void)
{
    uint8_t *data = me.segment.data[SEGMENT_SUBMIT];
    const uint64_t mask = me.segment.ring_size[SEGMENT_SUBMIT] - 1;
    const uint64_t end = now_ns() + 1000000000;

    while (now_ns() < end)
        for (int i = 0; i < 200; i++) {
            uint64_t head = atomic_load(&words(SEGMENT_SUBMIT)->head);
            uint32_t word = 4 * below(20);
            uint32_t value = below(3) == 0 ? (uint32_t)bad_word() : below(100);
            void *at = data + ((head + 8 + word) & mask);
            uint32_t was = atomic_load((_Atomic uint32_t *)at);
            for (int k = 0; k < 20; k++) {
                atomic_store((_Atomic uint32_t *)at, value);
                atomic_store((_Atomic uint32_t *)at, was);
            }
        }
}

static pid_t beside(void (*run)(void))
{
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run();
        _exit(0);
    }
    pause_us(200); /* it has begun */
    return child;
}

static void beside_end(pid_t child)
{
    if (child <= 0)
        return;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* Elements, head_size and all else, changed while they are judged and after. */
void attack_ckpt_changing(void)
{
    for (int round = 0; round < 30 && attach_ckpt(RINGS); round++) {
        uint32_t handle = open_one();
        pid_t child = beside(change_records);
        for (int i = 0; i < 500 && (i % 8 != 0 || !sent_away()); i++) {
            put_section(IPC_SUBMIT_CKPT_SECTION_CREATE + below(5), handle,
                        below(1000));
            put_open(below(2) == 0);
            skip_all(&me.reply);
            skip_all(&me.event);
        }
        beside_end(child);
        detach();
    }
}

static void change_data(void)
{
    uint8_t *data = me.segment.data[SEGMENT_SUBMIT];
    const uint32_t size = me.segment.ring_size[SEGMENT_SUBMIT];
    const uint64_t end = now_ns() + 1000000000;

    while (now_ns() < end)
        for (int i = 0; i < 1000; i++)
            data[below(size)] = (uint8_t)i;
}

/* Writes as much as goes, with data that changes under way: what is written may
 * be anything, and no reply may be missing. */
void attack_ckpt_writes(void)
{
    struct ipc_ckpt_reply reply;

    if (!attach_ckpt(1 << 20))
        return;
    uint32_t handle = open_one(), max = me.welcome.submit_size / 4;
    for (int i = 0; i < 4 && put_section(IPC_SUBMIT_CKPT_SECTION_CREATE, handle,
                                         below(1000));
         i++)
        await_reply(&reply);
    pid_t child = beside(change_data);
    for (int i = 0; i < 2000 && (i % 16 != 0 || !sent_away()); i++) {
        if (!put_section(below(2) == 0 ? IPC_SUBMIT_CKPT_WRITE
                                       : IPC_SUBMIT_CKPT_OVERWRITE,
                         handle, below(max)))
            pause_us(200);
        skip_all(&me.reply);
    }
    beside_end(child);
    detach();
}

/* --- what is not theirs --------------------------------------------------- */

static uint32_t ask(uint32_t type, uint32_t handle)
{
    struct {
        struct ipc_ckpt_read head;
        uint8_t id[1];
    } read = {.head = {.handle = handle, .id_length = 1, .size = 100},
              .id = "a"};
    const struct ipc_ckpt_next next = {.handle = handle};
    const struct ipc_ckpt_status status = {.handle = handle};
    const uint8_t *body;
    struct ipc_reply reply = {.result = 0};

    if (type == IPC_QUERY_CKPT_READ)
        put(&me.query, type, &read, sizeof read.head + 1, sizeof read.head + 1);
    else if (type == IPC_QUERY_CKPT_STATUS)
        put(&me.query, type, &status, sizeof status, sizeof status);
    else
        put(&me.query, type, &next, sizeof next, sizeof next);
    for (int i = 0; i < 1000; i++) {
        if (ring_peek(&me.answer, &body) == RING_RECORD) {
            memcpy(&reply, body, sizeof reply);
            skip_all(&me.answer);
            break;
        }
        pause_us(i < 10 ? 50 : 1000);
    }
    return reply.result;
}

/* All handles that others may have: never open for this one. */
void attack_ckpt_handles(void)
{
    struct ipc_ckpt_reply reply;
    uint32_t handle, type, result;

    if (!attach_ckpt(RINGS))
        return;
    for (int i = 0; i < 300 && !sent_away(); i++) {
        handle = below(4) == 0 ? (uint32_t)bad_word() : below(300);
        do
            type = IPC_SUBMIT_CKPT_CLOSE + below(10);
        while (type == IPC_SUBMIT_CKPT_UNLINK);
        if (is_plain(type))
            put_request(type, handle);
        else
            put_section(type, handle, below(100));
        if (await_reply(&reply) && reply.reply.result != IPC_ERR_BAD_HANDLE)
            violation("request %u on handle %u of another: %u", type, handle,
                      reply.reply.result);
        type = IPC_QUERY_CKPT_READ + below(3);
        result = ask(type, handle);
        if (result != 0 && result != IPC_ERR_BAD_HANDLE)
            violation("query %u on handle %u of another: %u", type, handle,
                      result);
    }
    detach();
}

/* The memory that sections are in is there to be read, by all; nobody can
 * write to it, change its size or its seals. */
void attack_ckpt_arena(void)
{
    if (!attach_ckpt(1))
        return;
    if (me.fd_count == IPC_FDS_MAX) {
        int fd = me.fds[IPC_FD_ARENA];
        size_t size = (size_t)me.welcome.arena_size;
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int again = open(path, O_RDWR | O_CLOEXEC);
        const int fds[] = {fd, again};
        for (int i = 0; i < 2; i++) {
            if (fds[i] < 0)
                continue;
            void *at =
                mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
            if (at != MAP_FAILED || ftruncate(fds[i], 4096) == 0 ||
                pwrite(fds[i], "x", 1, 4096) >= 0 ||
                fallocate(fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                          4096) == 0 ||
                fcntl(fds[i], F_ADD_SEALS, F_SEAL_WRITE) == 0)
                violation("the arena was changed by a client");
        }
        void *at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (at != MAP_FAILED && mprotect(at, size, PROT_READ | PROT_WRITE) == 0)
            violation("the arena was made writable by a client");
        if (at != MAP_FAILED)
            munmap(at, size);
        if (again >= 0)
            close(again);
    }
    pause_us(20000);
    detach();
}

/* --- more than there is --------------------------------------------------- */

/* Opens without end, closes none, reads hardly anything. */
void attack_ckpt_opens(void)
{
    if (!attach_ckpt(RINGS))
        return;
    bool async = rnd() % 2 == 0, reads = rnd() % 2 == 0;
    for (int i = 0; i < 20000 && (i % 64 != 0 || !sent_away()); i++) {
        if (!put_open(async))
            pause_us(200);
        if (!async || reads)
            skip_all(&me.reply);
        if (reads && i % 256 == 0)
            skip_all(&me.event);
    }
    detach();
}

/* Requests of all kinds on what it has open, faster than they are answered;
 * it reads the replies, or none. */
void attack_ckpt_requests(void)
{
    for (int round = 0; round < 4 && attach_ckpt(RINGS); round++) {
        bool reads = rnd() % 4 != 0;
        uint32_t handle = open_one();
        for (int i = 0; i < 5000 && (i % 64 != 0 || !sent_away()); i++) {
            if (!put_any(handle))
                pause_us(200);
            if (reads) {
                skip_all(&me.reply);
                skip_all(&me.event);
            }
        }
        detach();
    }
}

/* Queries without end, of right and wrong lengths; the answers are not read, or
 * all. */
void attack_ckpt_queries(void)
{
    uint8_t body[400];

    for (int round = 0; round < 10 && attach_ckpt(RINGS); round++) {
        uint32_t handle = open_one(), wrong_at = below(3000), type, size;
        bool reads = rnd() % 2 == 0;
        for (uint32_t i = 0; i < 3000 && (i % 64 != 0 || !sent_away()); i++) {
            struct ipc_ckpt_read read = {.handle = below(8) == 0 ? below(300)
                                                                 : handle,
                                         .id_length = below(3),
                                         .offset = bad_word(),
                                         .size = bad_word()};
            memset(body, 'a', sizeof body);
            type = IPC_QUERY_CKPT_READ + below(3);
            size = type == IPC_QUERY_CKPT_STATUS
                       ? (uint32_t)sizeof(struct ipc_ckpt_status)
                       : (uint32_t)sizeof read;
            if (type == IPC_QUERY_CKPT_READ)
                size += read.id_length;
            if (i == wrong_at && reads) {
                read.id_length = (uint32_t)bad_word();
                size = below(sizeof body);
            }
            memcpy(body, &read, sizeof read);
            if (!put(&me.query, type, body, size, size))
                pause_us(200);
            if (reads)
                skip_all(&me.answer);
        }
        detach();
    }
}

/* Comes to its end with much under way: a message that is half sent, and many
 * behind it. */
static void die_writing(void)
{
    const uint32_t large = me.welcome.submit_size / 4;
    struct ipc_ckpt_reply reply;
    uint32_t handle = open_one();

    if (handle == UINT32_MAX)
        return;
    put_section(IPC_SUBMIT_CKPT_SECTION_CREATE, handle, 1);
    await_reply(&reply);
    for (int i = 0; i < 3; i++)
        put_section(IPC_SUBMIT_CKPT_OVERWRITE, handle, large);
    for (int i = 0; i < 1000; i++)
        if (!put_request(IPC_SUBMIT_CKPT_SYNCHRONIZE, handle))
            break;
    pause_us((long)below(1000));
}

/* Or with opens whose handles nobody will have. */
static void die_opening(void)
{
    for (uint32_t i = below(100); i > 0; i--)
        put_open(below(2) == 0);
    if (below(2) == 0)
        pause_us((long)below(3000));
}

void attack_ckpt_death(void)
{
    for (int round = 0; round < 30 && attach_ckpt(1 << 20); round++) {
        if (below(3) == 0)
            die_opening();
        else
            die_writing();
        detach();
    }
}
