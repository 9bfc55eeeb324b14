/* SPDX-License-Identifier: BSD-3-Clause */
/* Sections that are read where they are, without asking the daemon. */
#include "test/unit/ckpt_box.h"

enum { LARGE = 100000, EDGE = 16384 - 16 /* of a chunk */ };

static uint8_t buffer[LARGE];

/* Reads up to the buffer's size from `offset` on; the result, and how much. */
static SaAisErrorT look_at(SaCkptCheckpointHandleT ck, const char *id,
                           uint64_t offset, uint64_t size, uint64_t *got)
{
    SaCkptIOVectorElementT e = {.sectionId = id_of(id),
                                .dataBuffer = buffer,
                                .dataSize = size,
                                .dataOffset = offset};
    SaAisErrorT error = saCkptCheckpointRead(ck, &e, 1, NULL);
    *got = e.readSize;
    return error;
}

/* The section's bytes are all `byte`, `size` of them. */
static bool is_all(SaCkptCheckpointHandleT ck, const char *id, uint8_t byte,
                   uint64_t size)
{
    uint64_t got;
    if (look_at(ck, id, 0, sizeof buffer, &got) != SA_AIS_OK || got != size)
        return false;
    for (uint64_t i = 0; i < got; i++)
        if (buffer[i] != byte)
            return false;
    return true;
}

static SaCkptCheckpointHandleT open_large(const char *name)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    a.maxSectionSize = LARGE;
    a.maxSectionIdSize = 100;
    a.checkpointSize = SECTIONS * LARGE;
    return open_with(name, a);
}

static void make_section(SaCkptCheckpointHandleT ck, const char *id,
                         uint8_t byte, uint64_t size)
{
    static uint8_t data[LARGE];
    SaCkptSectionIdT section = id_of(id);
    SaCkptSectionCreationAttributesT a = {&section, SA_TIME_END};
    memset(data, byte, size);
    IS(saCkptSectionCreate(ck, &a, data, size), OK);
}

static SaAisErrorT change_section(SaCkptCheckpointHandleT ck, const char *id,
                                  uint8_t byte, uint64_t size)
{
    static uint8_t data[LARGE];
    SaCkptSectionIdT section = id_of(id);
    memset(data, byte, size);
    return saCkptSectionOverwrite(ck, &section, data, size);
}

/* Queries that workers have answered. */
static uint64_t queries(void)
{
    pause_ms(50); /* the count is told between two visits */
    return stats().queries;
}

static void test_asks_once(void)
{
    begin();
    SaCkptCheckpointHandleT ck = open_large("one");
    make_section(ck, "a", 1, 100);
    make_section(ck, "b", 2, LARGE);
    uint64_t before = queries();
    for (int i = 0; i < 1000; i++) {
        CU_ASSERT(is_all(ck, "a", 1, 100));
        CU_ASSERT(is_all(ck, "b", 2, LARGE));
    }
    CU_ASSERT_EQUAL(queries(), before + 2);
    end();
}

static void test_sees_each_write(void)
{
    begin();
    SaCkptCheckpointHandleT ck = open_large("one");
    make_section(ck, "a", 0, 10);
    CU_ASSERT(is_all(ck, "a", 0, 10));
    uint64_t before = queries();
    for (unsigned i = 1; i < 500; i++) {
        uint64_t size = (uint64_t)i * 7919 % LARGE;
        IS(change_section(ck, "a", (uint8_t)i, size), OK);
        CU_ASSERT(is_all(ck, "a", (uint8_t)i, size));
    }
    CU_ASSERT_EQUAL(queries(), before);
    end();
}

static void test_places(void)
{
    static const uint64_t places[] = {0,        1,        EDGE - 1,  EDGE,
                                      EDGE + 1, 2 * EDGE, LARGE - 1, LARGE};
    uint64_t got;
    begin();
    SaCkptCheckpointHandleT ck = open_large("one");
    make_section(ck, "a", 7, EDGE + 5);
    /* Behind it nothing but zeros, then two bytes. */
    SaCkptIOVectorElementT tail = {.sectionId = id_of("a"),
                                   .dataBuffer = text_of("xy"),
                                   .dataSize = 2,
                                   .dataOffset = LARGE - 2};
    IS(saCkptCheckpointWrite(ck, &tail, 1, NULL), OK);
    IS(look_at(ck, "a", 0, LARGE, &got), OK);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        uint64_t at = places[i], n = LARGE - at < 10 ? LARGE - at : 10;
        IS(look_at(ck, "a", at, 10, &got), OK);
        CU_ASSERT_EQUAL(got, n);
        for (uint64_t k = 0; k < got; k++)
            CU_ASSERT_EQUAL(buffer[k], at + k < EDGE + 5     ? 7
                                       : at + k == LARGE - 2 ? 'x'
                                       : at + k == LARGE - 1 ? 'y'
                                                             : 0);
    }
    IS(look_at(ck, "a", LARGE, 10, &got), OK);
    CU_ASSERT_EQUAL(got, 0);
    IS(look_at(ck, "a", LARGE + 1, 10, &got), ERR_INVALID_PARAM);
    end();
}

static void test_another_section(void)
{
    uint64_t got;
    begin();
    SaCkptCheckpointHandleT ck = open_large("one");
    make_section(ck, "a", 1, 50);
    CU_ASSERT(is_all(ck, "a", 1, 50));
    SaCkptSectionIdT a = id_of("a");
    IS(saCkptSectionDelete(ck, &a), OK);
    IS(look_at(ck, "a", 0, 10, &got), ERR_NOT_EXIST);
    make_section(ck, "b", 2, 60); /* where "a" was */
    IS(look_at(ck, "a", 0, 10, &got), ERR_NOT_EXIST);
    CU_ASSERT(is_all(ck, "b", 2, 60));
    make_section(ck, "a", 3, 70);
    CU_ASSERT(is_all(ck, "a", 3, 70));
    CU_ASSERT(is_all(ck, "b", 2, 60));
    /* Ids that are too long to be noted, and ids that begin alike. */
    SaCkptCheckpointHandleT other = open_large("other");
    make_section(other, "0123456789012345678901234567890123456789012345678901",
                 4, 9);
    make_section(other, "01234567890123456789012345678901234567890123456789", 5,
                 9);
    make_section(other, "0123456789", 6, 9);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT(is_all(other,
                         "0123456789012345678901234567890123456789012345678901",
                         4, 9));
        CU_ASSERT(is_all(
            other, "01234567890123456789012345678901234567890123456789", 5, 9));
        CU_ASSERT(is_all(other, "0123456789", 6, 9));
    }
    end();
}

static void test_handles(void)
{
    uint64_t got;
    begin();
    SaCkptCheckpointHandleT ck = open_large("one"), to_write = 0;
    make_section(ck, "a", 1, 50);
    CU_ASSERT(is_all(ck, "a", 1, 50));
    to_write = open_for("one", WRITE);
    IS(look_at(to_write, "a", 0, 10, &got), ERR_ACCESS);
    SaCkptCheckpointHandleT second = open_for("one", READ);
    CU_ASSERT(is_all(second, "a", 1, 50));
    IS(unlink_one("one"), OK);
    CU_ASSERT(is_all(ck, "a", 1, 50)); /* the handle works on */
    IS(saCkptCheckpointClose(ck), OK);
    IS(look_at(ck, "a", 0, 10, &got), ERR_BAD_HANDLE);
    CU_ASSERT(is_all(second, "a", 1, 50));
    end();
}

static void test_daemon_ends(void)
{
    SaAisErrorT error = SA_AIS_OK;
    uint64_t got;
    begin();
    SaCkptCheckpointHandleT ck = open_large("one");
    make_section(ck, "a", 1, 50);
    CU_ASSERT(is_all(ck, "a", 1, 50));
    stop();
    int reads = 0;
    for (; reads < 100 && error == SA_AIS_OK; reads++)
        error = look_at(ck, "a", 0, 10, &got);
    CU_ASSERT_EQUAL(error, SA_AIS_ERR_LIBRARY);
    CU_ASSERT(reads <= 17);
    IS(saCkptFinalize(h), OK);
}

/* --- readers beside a writer ---------------------------------------------- */

static struct {
    SaCkptCheckpointHandleT ck;
    _Atomic bool end;
    _Atomic uint64_t reads, torn, failed;
} shared;

static void *reader(void *unused)
{
    static _Thread_local uint8_t data[LARGE];
    (void)unused;
    while (!shared.end) {
        SaCkptIOVectorElementT e = {.sectionId = id_of("a"),
                                    .dataBuffer = data,
                                    .dataSize = sizeof data};
        shared.failed +=
            saCkptCheckpointRead(shared.ck, &e, 1, NULL) != SA_AIS_OK;
        /* All bytes are the first, which tells how many there are. */
        uint64_t n = e.readSize;
        bool torn = n == 0 || n != 300u * data[0];
        for (uint64_t i = 1; i < n && !torn; i++)
            torn = data[i] != data[0];
        shared.torn += torn;
        shared.reads++;
    }
    return NULL;
}

static void test_whole_writes_only(void)
{
    pthread_t threads[3];
    begin();
    shared.ck = open_large("one");
    shared.end = false;
    shared.reads = shared.torn = shared.failed = 0;
    make_section(shared.ck, "a", 1, 300);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, reader, NULL) == 0);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned byte = 1 + i * 37 % 255;
        IS(change_section(shared.ck, "a", (uint8_t)byte, 300u * byte), OK);
    }
    EVENTUALLY(shared.reads > 1000);
    shared.end = true;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(shared.torn, 0);
    CU_ASSERT_EQUAL(shared.failed, 0);
    end();
}

static const struct unit_test tests[] = {
    {"a section is asked for once", test_asks_once},
    {"a read after a write sees it", test_sees_each_write},
    {"any place and size", test_places},
    {"another section in its place", test_another_section},
    {"handles, access, unlinking", test_handles},
    {"the daemon's end is noticed", test_daemon_ends},
    {"readers see whole writes only", test_whole_writes_only},
};

FAKE_MAIN("checkpoints read where they are", tests)
