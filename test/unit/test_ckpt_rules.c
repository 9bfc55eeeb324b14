/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ckpt_rules.c - what checkpoints do, as far as one node can show it: the
 * rules of the specification, through libSaCkpt and a real server. */
#include "test/unit/ckpt_box.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>

static const SaTimeT SOON = 150 * SA_TIME_ONE_MILLISECOND;

static SaCkptCheckpointDescriptorT status_of(SaCkptCheckpointHandleT ck)
{
    SaCkptCheckpointDescriptorT status;
    memset(&status, 0xff, sizeof status);
    IS(saCkptCheckpointStatusGet(ck, &status), OK);
    return status;
}

/* --- life of a checkpoint ------------------------------------------------- */

static void test_names(void)
{
    SaNameT a = {3, {0, 1, 2}}, b = {3, {0, 1, 3}}, c = {2, {0, 1}};
    SaCkptCheckpointCreationAttributesT attr = attributes();
    SaCkptCheckpointHandleT ck;
    begin();
    IS(saCkptCheckpointOpen(h, &a, &attr, ALL, WAIT, &ck), OK);
    IS(saCkptCheckpointOpen(h, &b, NULL, READ, WAIT, &ck), ERR_NOT_EXIST);
    IS(saCkptCheckpointOpen(h, &c, NULL, READ, WAIT, &ck), ERR_NOT_EXIST);
    IS(saCkptCheckpointOpen(h, &a, NULL, READ, WAIT, &ck), OK);
    end();
}

/* Of two connections, and of two processes. */
static void child(void)
{
    h = open_handle(&callbacks);
    SaCkptCheckpointHandleT ck = open_for("shared", READ | WRITE);
    if (!holds_text(ck, "s", "from the parent") ||
        write_at(ck, "s", 5, "a child!!!", 10) != SA_AIS_OK ||
        create_text(ck, "t", "mine") != SA_AIS_OK || !exists("shared"))
        _exit(1);
    _exit(CU_get_number_of_failures() == 0 ? 0 : 2);
}

static void test_shared(void)
{
    begin();
    SaCkptCheckpointHandleT ck = open_one("shared");
    SaCkptHandleT mine = h;
    IS(create_text(ck, "s", "from the parent"), OK);
    CU_ASSERT_EQUAL(in_child(child), 0);
    CU_ASSERT_TRUE(holds_text(ck, "s", "from a child!!!"));
    h = open_handle(NULL);
    SaCkptCheckpointHandleT other = open_for("shared", READ | WRITE);
    IS(delete_one(other, "t"), OK);
    IS(delete_one(ck, "t"), ERR_NOT_EXIST);
    IS(saCkptFinalize(h), OK);
    h = mine;
    CU_ASSERT_TRUE(holds_text(ck, "s", "from a child!!!"));
    end();
}

static void test_kinds(void)
{
    char name[] = "kind-0";
    begin();
    for (uint32_t flags = 1; flags < 16; flags++) {
        SaCkptCheckpointCreationAttributesT a = attributes();
        uint32_t writes = flags & 7;
        if (writes == 0 || (writes & (writes - 1)) != 0)
            continue;
        a.creationFlags = flags;
        name[5] = (char)('a' + flags);
        SaCkptCheckpointHandleT ck = open_with(name, a);
        /* All replicas count as active; of the others, collocated, none. */
        bool active = writes == 1 || (flags & 8) == 0;
        CU_ASSERT_EQUAL(create_text(ck, "s", "x"),
                        active ? SA_AIS_OK : SA_AIS_ERR_NOT_EXIST);
        if (!active)
            IS(saCkptActiveReplicaSet(ck), OK);
        CU_ASSERT_EQUAL(
            status_of(ck).checkpointCreationAttributes.creationFlags, flags);
        CU_ASSERT_EQUAL(saCkptCheckpointSynchronize(ck, WAIT),
                        writes == 1 ? SA_AIS_ERR_BAD_OPERATION : SA_AIS_OK);
    }
    end();
}

static void test_active_by_another(void)
{
    begin();
    SaCkptCheckpointHandleT ck = open_collocated("co");
    IS(create_text(ck, "s", "x"), ERR_NOT_EXIST);
    SaCkptHandleT mine = h;
    h = open_handle(NULL);
    IS(saCkptActiveReplicaSet(open_for("co", WRITE)), OK);
    IS(saCkptFinalize(h), OK);
    h = mine;
    IS(create_text(ck, "s", "x"), OK);
    end();
}

/* It is this node's, as long as somebody here has it open. */
static void test_active_closed(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    begin();
    a.retentionDuration = SA_TIME_END;
    a.creationFlags = SA_CKPT_WR_ACTIVE_REPLICA | SA_CKPT_CHECKPOINT_COLLOCATED;
    SaCkptCheckpointHandleT ck = open_with("co", a), other = open_with("co", a);
    IS(saCkptActiveReplicaSet(ck), OK);
    IS(create_text(ck, "s", "kept"), OK);
    IS(saCkptCheckpointClose(ck), OK);
    CU_ASSERT_TRUE(holds_text(other, "s", "kept"));
    IS(saCkptCheckpointClose(other), OK);
    ck = open_with("co", a);
    IS(create_text(ck, "t", "x"), ERR_NOT_EXIST);
    IS(saCkptActiveReplicaSet(ck), OK);
    CU_ASSERT_TRUE(holds_text(ck, "s", "kept"));
    end();
}

static void test_retention_0(void)
{
    begin();
    SaCkptCheckpointHandleT a = open_one("n"), b = open_one("n");
    IS(create_text(a, "s", "x"), OK);
    IS(saCkptCheckpointClose(a), OK);
    CU_ASSERT_TRUE(exists("n"));
    CU_ASSERT_TRUE(holds_text(b, "s", "x"));
    IS(saCkptCheckpointClose(b), OK);
    CU_ASSERT_FALSE(exists("n"));
    end();
}

static void test_retention(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    begin();
    a.retentionDuration = 2 * SOON;
    SaCkptCheckpointHandleT ck = open_with("n", a);
    IS(create_text(ck, "s", "kept"), OK);
    IS(saCkptCheckpointClose(ck), OK);
    ck = open_for("n", READ); /* the clock stops */
    pause_ms(400);
    CU_ASSERT_TRUE(holds_text(ck, "s", "kept"));
    uint64_t before = mono_ms();
    IS(saCkptCheckpointClose(ck), OK);
    CU_ASSERT_TRUE(exists("n")); /* and begins again with its close */
    pause_ms(100);
    ck = open_for("n", READ);
    CU_ASSERT_TRUE(holds_text(ck, "s", "kept"));
    IS(saCkptCheckpointClose(ck), OK);
    pause_ms(600);
    CU_ASSERT_FALSE(exists("n"));
    CU_ASSERT(mono_ms() - before >= 300);
    end();
}

static void test_retention_set(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    begin();
    a.retentionDuration = SA_TIME_END;
    SaCkptCheckpointHandleT ck = open_with("n", a);
    IS(saCkptCheckpointClose(ck), OK);
    pause_ms(50);
    a.retentionDuration = 5; /* neither compared nor taken over */
    ck = open_with("n", a);
    CU_ASSERT_EQUAL(
        status_of(ck).checkpointCreationAttributes.retentionDuration,
        SA_TIME_END);
    IS(saCkptCheckpointRetentionDurationSet(ck, 10), OK); /* ns */
    CU_ASSERT_EQUAL(
        status_of(ck).checkpointCreationAttributes.retentionDuration, 10);
    IS(saCkptCheckpointClose(ck), OK);
    pause_ms(200);
    CU_ASSERT_FALSE(exists("n"));
    end();
}

static void child_opens(void)
{
    h = open_handle(NULL);
    open_one("n");
    _exit(0); /* without closing anything */
}

static void test_process_dies(void)
{
    begin();
    CU_ASSERT_EQUAL(in_child(child_opens), 0);
    EVENTUALLY(!exists("n"));
    end();
}

static void test_unlink(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    begin();
    a.retentionDuration = SA_TIME_END; /* is not applied */
    SaCkptCheckpointHandleT old = open_with("n", a);
    IS(create_text(old, "s", "old"), OK);
    IS(unlink_one("n"), OK);
    CU_ASSERT_FALSE(exists("n"));
    IS(write_at(old, "s", 3, "er", 2), OK);
    CU_ASSERT_TRUE(holds_text(old, "s", "older"));
    a.maxSections = 9; /* another checkpoint */
    SaCkptCheckpointHandleT new = open_with("n", a);
    IS(create_text(new, "s", "new"), OK);
    CU_ASSERT_TRUE(holds_text(old, "s", "older"));
    IS(saCkptCheckpointClose(old), OK);
    CU_ASSERT_TRUE(holds_text(new, "s", "new"));
    IS(unlink_one("n"), OK);
    IS(saCkptCheckpointClose(new), OK);
    CU_ASSERT_FALSE(exists("n"));
    end();
}

static void test_unlink_closed(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    begin();
    a.retentionDuration = SA_TIME_END;
    IS(saCkptCheckpointClose(open_with("n", a)), OK);
    CU_ASSERT_TRUE(exists("n"));
    IS(unlink_one("n"), OK);
    CU_ASSERT_FALSE(exists("n"));
    end();
}

static void test_close_cancels(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    begin();
    a.creationFlags = SA_CKPT_WR_ACTIVE_REPLICA;
    SaCkptCheckpointHandleT ck = open_with("n", a), other = open_with("n", a);
    for (SaInvocationT i = 1; i <= 3; i++)
        IS(saCkptCheckpointSynchronizeAsync(ck, i), OK);
    IS(saCkptCheckpointSynchronizeAsync(other, 4), OK);
    IS(saCkptCheckpointClose(ck), OK);
    /* Perhaps by the same number of the daemon's. */
    ck = open_with("n", a);
    IS(saCkptCheckpointSynchronizeAsync(ck, 5), OK);
    gather(h, 2);
    CU_ASSERT(seen.synchronizes == 2 && seen.invocation == 5);
    pause_ms(50);
    IS(saCkptDispatch(h, SA_DISPATCH_ALL), OK);
    CU_ASSERT_EQUAL(seen.synchronizes, 2);
    end();
}

/* --- sections ------------------------------------------------------------- */

static void test_default_section(void)
{
    SaCkptSectionIdT none = SA_CKPT_DEFAULT_SECTION_ID;
    SaCkptSectionIterationHandleT i;
    SaCkptSectionDescriptorT s;
    begin();
    SaCkptCheckpointHandleT ck = open_default("one"), many = open_one("many");
    CU_ASSERT_EQUAL(status_of(ck).numberOfSections, 1);
    CU_ASSERT_TRUE(holds(ck, "", "", 0));
    IS(write_at(ck, "", 0, "text", 4), OK);
    CU_ASSERT_TRUE(holds_text(ck, "", "text"));
    IS(saCkptSectionOverwrite(ck, &none, "other", 5), OK);
    CU_ASSERT_TRUE(holds_text(ck, "", "other"));
    IS(write_at(ck, "s", 0, "text", 4), ERR_NOT_EXIST);
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &i), OK);
    IS(saCkptSectionIterationNext(i, &s), OK);
    CU_ASSERT(s.sectionId.idLen == 0 && s.sectionId.id == NULL);
    CU_ASSERT(s.sectionSize == 5 && s.expirationTime == SA_TIME_END);
    IS(saCkptSectionIterationNext(i, &s), ERR_NO_SECTIONS);
    /* 9: none with maxSections > 1. */
    CU_ASSERT_EQUAL(status_of(many).numberOfSections, 0);
    IS(saCkptSectionOverwrite(many, &none, "x", 1), ERR_NOT_EXIST);
    CU_ASSERT_FALSE(holds(many, "", "", 0));
    end();
}

static void test_generated(void)
{
    SaCkptSectionIdT id[SECTIONS];
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    for (int i = 0; i < SECTIONS; i++) {
        id[i] = (SaCkptSectionIdT)SA_CKPT_GENERATED_SECTION_ID;
        SaCkptSectionCreationAttributesT a = {&id[i], SA_TIME_END};
        IS(saCkptSectionCreate(ck, &a, &i, sizeof i), OK);
        CU_ASSERT(id[i].id != NULL && id[i].idLen > 0 &&
                  id[i].idLen <= ID_SIZE);
    }
    for (int i = 0; i < SECTIONS; i++) {
        int got = -1;
        SaCkptIOVectorElementT e = {
            .sectionId = id[i], .dataBuffer = &got, .dataSize = sizeof got};
        IS(saCkptCheckpointRead(ck, &e, 1, NULL), OK);
        CU_ASSERT_EQUAL(got, i);
        IS(saCkptSectionIdFree(ck, id[i].id), OK);
    }
    CU_ASSERT_EQUAL(status_of(ck).numberOfSections, SECTIONS);
    end();
}

static void test_ids(void)
{
    SaUint8T bytes[3] = {0, 255, 0};
    SaCkptSectionIdT a = {3, bytes}, b = {2, bytes};
    SaCkptSectionCreationAttributesT attr = {&a, SA_TIME_END};
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(saCkptSectionCreate(ck, &attr, "three", 5), OK);
    IS(saCkptSectionDelete(ck, &b), ERR_NOT_EXIST);
    attr.sectionId = &b;
    IS(saCkptSectionCreate(ck, &attr, "two", 3), OK);
    IS(saCkptSectionDelete(ck, &a), OK);
    IS(saCkptSectionOverwrite(ck, &b, "TWO", 3), OK);
    end();
}

static void test_expiration(void)
{
    SaCkptSectionIdT id = id_of("soon");
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    SaTimeT now = wall_ns();
    IS(create(ck, "soon", now + SOON, "x", 1), OK);
    IS(create(ck, "later", now + SA_TIME_ONE_HOUR, "x", 1), OK);
    IS(create(ck, "never", SA_TIME_END, "x", 1), OK);
    CU_ASSERT_TRUE(holds_text(ck, "soon", "x") || wall_ns() >= now + SOON);
    pause_ms(500);
    IS(delete_one(ck, "soon"), ERR_NOT_EXIST);
    IS(write_at(ck, "soon", 0, "y", 1), ERR_NOT_EXIST);
    IS(saCkptSectionOverwrite(ck, &id, "y", 1), ERR_NOT_EXIST);
    IS(expire_at(ck, "soon", SA_TIME_END), ERR_NOT_EXIST);
    CU_ASSERT_FALSE(holds_text(ck, "soon", "x"));
    CU_ASSERT_EQUAL(status_of(ck).numberOfSections, 2);
    IS(create(ck, "soon", wall_ns() + SOON, "x", 1), OK); /* it is free */
    IS(expire_at(ck, "soon", SA_TIME_END), OK);           /* kept after all */
    IS(expire_at(ck, "later", wall_ns() + SOON), OK);
    IS(expire_at(ck, "never", 1), OK); /* past: at once */
    EVENTUALLY(status_of(ck).numberOfSections == 1);
    CU_ASSERT_TRUE(holds_text(ck, "soon", "x"));
    IS(create(ck, "past", 0, "x", 1), OK);
    EVENTUALLY(status_of(ck).numberOfSections == 1);
    end();
}

static void test_status(void)
{
    begin();
    SaCkptCheckpointCreationAttributesT a = attributes();
    a.retentionDuration = 77;
    a.creationFlags = SA_CKPT_WR_ACTIVE_REPLICA_WEAK;
    SaCkptCheckpointHandleT ck = open_with("n", a);
    SaCkptCheckpointDescriptorT s = status_of(ck);
    CU_ASSERT(s.numberOfSections == 0 && s.memoryUsed == 0);
    IS(create_text(ck, "a", "12345"), OK);
    IS(create(ck, "b", SA_TIME_END, NULL, 0), OK);
    IS(write_at(ck, "b", 10, "x", 1), OK);
    s = status_of(ck);
    CU_ASSERT_EQUAL(s.numberOfSections, 2);
    CU_ASSERT_EQUAL(s.memoryUsed, 5 + 11);
    const SaCkptCheckpointCreationAttributesT *got =
        &s.checkpointCreationAttributes;
    CU_ASSERT_EQUAL(got->creationFlags, a.creationFlags);
    CU_ASSERT_EQUAL(got->checkpointSize, a.checkpointSize);
    CU_ASSERT_EQUAL(got->retentionDuration, a.retentionDuration);
    CU_ASSERT_EQUAL(got->maxSections, a.maxSections);
    CU_ASSERT_EQUAL(got->maxSectionSize, a.maxSectionSize);
    CU_ASSERT_EQUAL(got->maxSectionIdSize, a.maxSectionIdSize);
    IS(delete_one(ck, "a"), OK);
    CU_ASSERT_EQUAL(status_of(ck).memoryUsed, 11);
    end();
}

/* --- data ----------------------------------------------------------------- */

static void test_write(void)
{
    SaCkptSectionIdT id = id_of("s");
    static const uint8_t gap[10] = {'a', 'X', 'c', 0, 0, 0, 0, 0, 'e', 'f'};
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(create(ck, "s", SA_TIME_END, NULL, 0), OK);
    CU_ASSERT_TRUE(holds(ck, "s", "", 0));
    IS(write_at(ck, "s", 0, "abc", 3), OK);
    CU_ASSERT_TRUE(holds_text(ck, "s", "abc"));
    IS(write_at(ck, "s", 1, "X", 1), OK);
    CU_ASSERT_TRUE(holds_text(ck, "s", "aXc"));
    IS(write_at(ck, "s", 8, "ef", 2), OK);
    CU_ASSERT_TRUE(holds(ck, "s", gap, sizeof gap));
    IS(write_at(ck, "s", 3, NULL, 0), OK);
    CU_ASSERT_TRUE(holds(ck, "s", gap, sizeof gap));
    IS(saCkptSectionOverwrite(ck, &id, "short", 5), OK);
    CU_ASSERT_TRUE(holds_text(ck, "s", "short"));
    IS(saCkptSectionOverwrite(ck, &id, "", 0), OK);
    CU_ASSERT_TRUE(holds(ck, "s", "", 0));
    /* What was there before is not what a gap is filled with. */
    IS(write_at(ck, "s", 4, "x", 1), OK);
    CU_ASSERT_TRUE(holds(ck, "s", "\0\0\0\0x", 5));
    IS(write_at(ck, "s", SECTION_SIZE - 1, "z", 1), OK);
    end();
}

static SaCkptIOVectorElementT element(const char *id, SaOffsetT offset,
                                      const char *text)
{
    return (SaCkptIOVectorElementT){.sectionId = id_of(id),
                                    .dataBuffer = text_of(text),
                                    .dataSize = strlen(text),
                                    .dataOffset = offset};
}

static void test_vector_write(void)
{
    SaCkptIOVectorElementT v[] = {element("a", 0, "first"),
                                  element("b", 0, "second"),
                                  element("a", 0, "FI"), element("a", 5, "!")};
    SaUint32T index = 77;
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(create_text(ck, "a", ""), OK);
    IS(create_text(ck, "b", ""), OK);
    IS(saCkptCheckpointWrite(ck, v, 4, &index), OK); /* in order */
    CU_ASSERT_TRUE(holds_text(ck, "a", "FIrst!"));
    CU_ASSERT_TRUE(holds_text(ck, "b", "second"));
    v[0] = element("a", 0, "again");
    v[3] = element("c", 0, "nowhere"); /* all or nothing */
    IS(saCkptCheckpointWrite(ck, v, 4, &index), ERR_NOT_EXIST);
    CU_ASSERT_EQUAL(index, 3);
    CU_ASSERT_TRUE(holds_text(ck, "a", "FIrst!"));
    end();
}

static void test_read(void)
{
    char data[8] = "-------";
    SaSizeT n = 3;
    SaCkptIOVectorElementT v[] = {element("s", 2, ""), element("s", 6, ""),
                                  element("s", 0, "")};
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(create_text(ck, "s", "abcdef"), OK);
    IS(read_at(ck, "s", 1, data, &n), OK);
    CU_ASSERT(n == 3 && memcmp(data, "bcd----", 7) == 0);
    n = 5;
    IS(read_at(ck, "s", 4, data, &n), OK);
    CU_ASSERT(n == 2 && memcmp(data, "efd----", 7) == 0);
    IS(read_at(ck, "s", 6, data, &n), OK); /* at the end */
    CU_ASSERT(n == 0 && memcmp(data, "efd----", 7) == 0);
    /* Memory of the library's. */
    for (int i = 0; i < 3; i++) {
        v[i].dataBuffer = NULL;
        v[i].dataSize = UINT64_MAX; /* is not looked at */
    }
    IS(saCkptCheckpointRead(ck, v, 3, NULL), OK);
    CU_ASSERT(v[0].readSize == 4 && memcmp(v[0].dataBuffer, "cdef", 4) == 0);
    CU_ASSERT(v[1].readSize == 0 && v[1].dataBuffer != NULL);
    CU_ASSERT(v[2].readSize == 6 && memcmp(v[2].dataBuffer, "abcdef", 6) == 0);
    IS(saCkptIOVectorElementDataFree(ck, v[0].dataBuffer), OK);
    free(v[1].dataBuffer); /* B.01 programs */
    free(v[2].dataBuffer);
    end();
}

/* More than an answer holds, which is a little more than one write may have. */
static void test_large(void)
{
    enum { PIECE = 1000000, LARGE = 3 * PIECE };
    SaCkptCheckpointCreationAttributesT a = attributes();
    uint8_t *data = malloc(LARGE), *got = malloc(LARGE);
    SaSizeT n = LARGE;
    a.maxSectionSize = a.checkpointSize = LARGE;
    begin();
    SaCkptCheckpointHandleT ck = open_with("n", a);
    for (int i = 0; i < LARGE; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    IS(create(ck, "s", SA_TIME_END, data, PIECE), OK);
    for (uint32_t at = PIECE; at < LARGE; at += PIECE)
        IS(write_at(ck, "s", at, data + at, PIECE), OK);
    IS(read_at(ck, "s", 0, got, &n), OK);
    CU_ASSERT(n == LARGE && memcmp(got, data, LARGE) == 0);
    memset(data + 100000, 'x', 50000);
    IS(write_at(ck, "s", 100000, data + 100000, 50000), OK);
    n = LARGE;
    IS(read_at(ck, "s", 12345, got, &n), OK);
    CU_ASSERT_EQUAL(n, LARGE - 12345);
    CU_ASSERT(memcmp(got, data + 12345, n) == 0);
    n = PIECE;
    IS(read_at(ck, "s", LARGE - 10, got, &n), OK);
    CU_ASSERT(n == 10 && memcmp(got, data + LARGE - 10, 10) == 0);
    SaCkptIOVectorElementT e = {.sectionId = id_of("s"), .dataOffset = 1};
    IS(saCkptCheckpointRead(ck, &e, 1, NULL), OK);
    CU_ASSERT_EQUAL(e.readSize, LARGE - 1);
    CU_ASSERT(memcmp(e.dataBuffer, data + 1, LARGE - 1) == 0);
    free(e.dataBuffer);
    free(data);
    free(got);
    end();
}

static void test_read_own_write(void)
{
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(create(ck, "s", SA_TIME_END, NULL, 0), OK);
    int stale = 0;
    for (int i = 0; i < 3000; i++) {
        IS(write_at(ck, "s", 0, &i, sizeof i), OK);
        stale += !holds(ck, "s", &i, sizeof i);
    }
    CU_ASSERT_EQUAL(stale, 0);
    end();
}

/* --- iteration ------------------------------------------------------------ */

/* The ids that are told, in a row, as one text. */
static const char *told(SaCkptCheckpointHandleT ck, SaCkptSectionsChosenT which,
                        SaTimeT time)
{
    static char text[64];
    SaCkptSectionIterationHandleT i;
    SaCkptSectionDescriptorT s;
    SaAisErrorT error;
    text[0] = 0;
    IS(saCkptSectionIterationInitialize(ck, which, time, &i), OK);
    while ((error = saCkptSectionIterationNext(i, &s)) == SA_AIS_OK)
        strncat(text, (char *)s.sectionId.id, s.sectionId.idLen);
    CU_ASSERT_EQUAL(error, SA_AIS_ERR_NO_SECTIONS);
    IS(saCkptSectionIterationNext(i, &s), ERR_NO_SECTIONS);
    IS(saCkptSectionIterationFinalize(i), OK);
    return text;
}

static void test_iteration(void)
{
    const SaTimeT one = wall_ns() + SA_TIME_ONE_HOUR, two = one + 1,
                  three = two + 1;
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    IS(create(ck, "1", one, NULL, 0), OK);
    IS(create(ck, "3", three, NULL, 0), OK);
    IS(create(ck, "F", SA_TIME_END, NULL, 0), OK);
    IS(create(ck, "2", two, NULL, 0), OK);
    CU_ASSERT_STRING_EQUAL(told(ck, SA_CKPT_SECTIONS_ANY, 0), "13F2");
    CU_ASSERT_STRING_EQUAL(told(ck, 0, 0), "13F2"); /* 9 */
    CU_ASSERT_STRING_EQUAL(told(ck, SA_CKPT_SECTIONS_FOREVER, 0), "F");
    CU_ASSERT_STRING_EQUAL(told(ck, SA_CKPT_SECTIONS_LEQ_EXPIRATION_TIME, two),
                           "12");
    CU_ASSERT_STRING_EQUAL(told(ck, SA_CKPT_SECTIONS_GEQ_EXPIRATION_TIME, two),
                           "3F2");
    CU_ASSERT_STRING_EQUAL(told(ck, SA_CKPT_SECTIONS_CORRUPTED, 0), "");
    end();
}

static void test_descriptor(void)
{
    SaCkptSectionIterationHandleT i, k;
    SaCkptSectionDescriptorT s, t;
    begin();
    SaCkptCheckpointHandleT ck = open_one("n");
    SaTimeT before = wall_ns();
    IS(create(ck, "a", before + SA_TIME_ONE_HOUR, "12345", 5), OK);
    IS(create(ck, "b", SA_TIME_END, NULL, 0), OK);
    SaTimeT between = wall_ns();
    IS(write_at(ck, "b", 9, "x", 1), OK);
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &i), OK);
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &k), OK);
    memset(&s, 0xff, sizeof s);
    IS(saCkptSectionIterationNext(i, &s), OK);
    CU_ASSERT(s.sectionId.idLen == 1 && s.sectionId.id[0] == 'a');
    CU_ASSERT_EQUAL(s.expirationTime, before + SA_TIME_ONE_HOUR);
    CU_ASSERT_EQUAL(s.sectionSize, 5);
    CU_ASSERT_EQUAL(s.sectionState, SA_CKPT_SECTION_VALID);
    CU_ASSERT(s.lastUpdate >= before && s.lastUpdate <= between);
    IS(saCkptSectionIterationNext(k, &t), OK);
    IS(saCkptSectionIterationNext(k, &t), OK);
    CU_ASSERT(t.sectionId.id[0] == 'b' && t.sectionSize == 10);
    CU_ASSERT(t.lastUpdate >= between && t.lastUpdate <= wall_ns());
    CU_ASSERT_EQUAL(t.expirationTime, SA_TIME_END);
    CU_ASSERT_EQUAL(s.sectionId.id[0], 'a'); /* each has its own memory */
    /* As it is to be used. */
    CU_ASSERT_EQUAL(saCkptSectionDelete(ck, &t.sectionId), SA_AIS_OK);
    IS(saCkptSectionIterationNext(i, &s), ERR_NO_SECTIONS); /* it is gone */
    IS(create_text(ck, "c", "x"), OK);
    IS(saCkptSectionIterationNext(i, &s), OK);
    CU_ASSERT_EQUAL(s.sectionId.id[0], 'c');
    end();
}

static void test_many_sections(void)
{
    enum { MANY = 2000 };
    SaCkptCheckpointCreationAttributesT a = attributes();
    SaCkptSectionIterationHandleT i;
    SaCkptSectionDescriptorT s;
    uint64_t sum = 0;
    uint32_t n = 0, id;
    SaCkptSectionIdT key = {sizeof id, (SaUint8T *)&id};
    a.maxSections = MANY;
    begin();
    SaCkptCheckpointHandleT ck = open_with("n", a);
    for (id = 0; id < MANY; id++) {
        SaCkptSectionCreationAttributesT c = {&key, SA_TIME_END};
        IS(saCkptSectionCreate(ck, &c, NULL, 0), OK);
    }
    IS(saCkptSectionIterationInitialize(ck, 5, 0, &i), OK);
    while (saCkptSectionIterationNext(i, &s) == SA_AIS_OK) {
        memcpy(&id, s.sectionId.id, sizeof id);
        sum += id;
        n++;
    }
    CU_ASSERT(n == MANY && sum == (uint64_t)MANY * (MANY - 1) / 2);
    end();
}

/* --- the shared library --------------------------------------------------- */

/* A program that was linked with openais 1.1 has room for 56 bytes. */
static void test_b01_status(void)
{
    char path[PATH_MAX + 32] = {0};
    SaVersionT v = {'B', 1, 1};
    SaCkptCheckpointCreationAttributesT a = attributes();
    SaNameT name = name_of("n");
    SaCkptCheckpointHandleT ck = 0;
    SaCkptSectionIdT id = id_of("s");
    SaCkptSectionCreationAttributesT s = {&id, SA_TIME_END};
    union {
        SaCkptCheckpointDescriptorT now;
        uint32_t words[16];
    } d1, d2;
    begin();
    CU_ASSERT(readlink("/proc/self/exe", path, PATH_MAX) > 0);
    strcat(dirname(dirname(path)), "/libSaCkpt.so");
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(so);
    __typeof__(&saCkptInitialize) init;
    __typeof__(&saCkptCheckpointOpen) open;
    __typeof__(&saCkptSectionCreate) section;
    __typeof__(&saCkptFinalize) finalize;
    __typeof__(&saCkptCheckpointStatusGet) first, second, plain;
    const char *const get = "saCkptCheckpointStatusGet";
    *(void **)&init = dlsym(so, "saCkptInitialize");
    *(void **)&open = dlsym(so, "saCkptCheckpointOpen");
    *(void **)&section = dlsym(so, "saCkptSectionCreate");
    *(void **)&finalize = dlsym(so, "saCkptFinalize");
    *(void **)&first = dlvsym(so, get, "OPENAIS_CKPT_B.01.01");
    *(void **)&second = dlvsym(so, get, "OPENAIS_CKPT_B.02.01");
    *(void **)&plain = dlsym(so, get);
    CU_ASSERT_FATAL(first != NULL && second != NULL && first != second);
    CU_ASSERT_PTR_EQUAL(plain, second); /* what is linked today */
    SaCkptHandleT other = 0;
    IS(init(&other, NULL, &v), OK);
    IS(open(other, &name, &a, ALL, WAIT, &ck), OK);
    IS(section(ck, &s, "1234567", 7), OK);
    memset(&d1, 0xee, sizeof d1);
    memset(&d2, 0xee, sizeof d2);
    IS(first(ck, &d1.now), OK);
    IS(second(ck, &d2.now), OK);
    CU_ASSERT(memcmp(&d1, &d2, 48) == 0);
    CU_ASSERT(d1.words[12] == 1 && d1.words[13] == 7);
    CU_ASSERT(d1.words[14] == 0xeeeeeeee && d1.words[15] == 0xeeeeeeee);
    CU_ASSERT(d2.now.numberOfSections == 1 && d2.now.memoryUsed == 7);
    IS(first(ck, NULL), ERR_INVALID_PARAM);
    IS(first(0, &d1.now), ERR_BAD_HANDLE);
    IS(finalize(other), OK);
    dlclose(so);
    end();
}

static const struct unit_test tests[] = {
    {"6 name: any bytes", test_names},
    {"6 two handles, two processes", test_shared},
    {"6 creation flags", test_kinds},
    {"6 active replica set by another handle", test_active_by_another},
    {"6 active replica goes with its node's last handle", test_active_closed},
    {"6 retention 0", test_retention_0},
    {"6 retention begins, stops, ends", test_retention},
    {"6 retention is set; of 10 ns", test_retention_set},
    {"6 a process dies", test_process_dies},
    {"6 unlink while open", test_unlink},
    {"6 unlink of what is retained", test_unlink_closed},
    {"6 close cancels callbacks", test_close_cancels},
    {"6 default section; 9: not with more", test_default_section},
    {"6 generated ids", test_generated},
    {"6 ids: any bytes", test_ids},
    {"6 expiration", test_expiration},
    {"5 StatusGet", test_status},
    {"6 write, gap, overwrite", test_write},
    {"6 vector write: in order, all or nothing", test_vector_write},
    {"6 read, also into the library's memory", test_read},
    {"6 large sections", test_large},
    {"6 who writes reads it", test_read_own_write},
    {"6 iteration: each choice; 9: 0", test_iteration},
    {"6 iteration: descriptor", test_descriptor},
    {"6 iteration: many sections", test_many_sections},
    {"3 StatusGet of openais 1.1", test_b01_status},
};
FAKE_MAIN("ckpt rules", tests)
