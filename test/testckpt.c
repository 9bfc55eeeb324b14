/* SPDX-License-Identifier: BSD-3-Clause */
/* testckpt - a tour of CKPT: opens checkpoints; creates, writes, reads back,
 * iterates and expires their sections; opens by callback; unlinks what is still
 * open. One line for each call: expected and actual result. --json prints one
 * line of JSON for each in place of it. Status 0: all was as expected. The
 * checkpoints are gone when it ends. */
#include <openais/saCkpt.h>

#include "test/evsclient.h"
#include "test/saclient.h"

#include <poll.h>
#include <sys/random.h>

enum {
    SECTION_MAX = 4, /* sections of the first checkpoint */
    SECTION_SIZE_MAX = 4096,
    ID_SIZE_MAX = 20,
    LISTED_MAX = 16,
    WAIT_S = 10 /* for a callback, and while a call says TRY_AGAIN */
};

static const SaTimeT EXPIRES_NS = 4 * SA_TIME_ONE_SECOND;
static const uint64_t EARLY_NS = 20000000, LATE_NS = 300000000;
static const SaInvocationT INVOCATION = 0x0102030405060708;

static const SaCkptCheckpointOpenFlagsT ALL_FLAGS = SA_CKPT_CHECKPOINT_READ |
                                                    SA_CKPT_CHECKPOINT_WRITE |
                                                    SA_CKPT_CHECKPOINT_CREATE;

static const SaCkptCheckpointCreationAttributesT usual = {
    .creationFlags = SA_CKPT_WR_ALL_REPLICAS,
    .checkpointSize = SECTION_MAX * SECTION_SIZE_MAX,
    .retentionDuration = 0,
    .maxSections = SECTION_MAX,
    .maxSectionSize = SECTION_SIZE_MAX,
    .maxSectionIdSize = ID_SIZE_MAX};

static struct {
    bool json;
    unsigned passed, failed;
    uint64_t call_ns; /* when the call that is being tried was first made */
    SaCkptHandleT handle;
    SaNameT first, single, collocated, absent;
    SaCkptCheckpointHandleT checkpoint; /* `first` */
    uint64_t expires_ns;                /* section beta, by the wall clock */
    /* The last callback's: */
    unsigned opened;
    SaInvocationT invocation;
    SaCkptCheckpointHandleT by_callback;
    SaAisErrorT error;
} self;

/* --- results -------------------------------------------------------------- */

static void result(bool passed, const char *call, const char *what,
                   const char *expected, const char *actual)
{
    int name = (int)strcspn(call, "(");

    *(passed ? &self.passed : &self.failed) += 1;
    if (self.json)
        printf("{\"call\": \"%.*s\", \"what\": \"%s\", \"expected\": \"%s\", "
               "\"actual\": \"%s\", \"passed\": %s}\n",
               name, call, what, expected, actual, passed ? "true" : "false");
    else
        printf("%-6s  %.*s, %s: expected %s, got %s\n",
               passed ? "OK" : "FAILED", name, call, what, expected, actual);
}

static void is_true(bool passed, const char *call, const char *what)
{
    result(passed, call, what, "yes", passed ? "yes" : "no");
}

/* While the ring changes a call may have to be made again. */
static bool made_again(SaAisErrorT error)
{
    struct timespec pause = {0, 1000000};

    if (error != SA_AIS_ERR_TRY_AGAIN ||
        now_ns() - self.call_ns > WAIT_S * UINT64_C(1000000000))
        return false;
    nanosleep(&pause, NULL);
    return true;
}

/* `name` goes into the line, up to a parenthesis. */
#define EXPECT_OF(expected, name, what, call)                                  \
    do {                                                                       \
        SaAisErrorT got_;                                                      \
        self.call_ns = now_ns();                                               \
        do                                                                     \
            got_ = (call);                                                     \
        while (made_again(got_));                                              \
        result(got_ == (expected), name, what, sa_error_name(expected),        \
               sa_error_name(got_));                                           \
    } while (0)

/* `call` is one of the library's functions. */
#define EXPECT(expected, what, call) EXPECT_OF(expected, #call, what, call)

#define EXPECT_CREATE(expected, what, ...)                                     \
    EXPECT_OF(expected, "saCkptSectionCreate", what, create(__VA_ARGS__))

/* --- names, ids, contents ------------------------------------------------- */

/* Several of these programs may run at once, in one cluster. */
static SaNameT name_of(const char *text)
{
    static uint64_t mine;
    SaNameT name;

    while (mine == 0)
        if (getrandom(&mine, sizeof mine, 0) < 0)
            continue;
    memset(&name, 0, sizeof name);
    name.length = (SaUint16T)snprintf((char *)name.value, sizeof name.value,
                                      "testckpt %016" PRIx64 " %s", mine, text);
    return name;
}

static SaCkptSectionIdT id_of(const char *text)
{
    SaCkptSectionIdT id = SA_CKPT_DEFAULT_SECTION_ID;

    if (text[0] != '\0') {
        id.idLen = (SaUint16T)strlen(text);
        id.id = (SaUint8T *)text; /* the library only reads it */
    }
    return id;
}

static SaAisErrorT create(SaCkptCheckpointHandleT checkpoint, const char *text,
                          SaTimeT expiration, const void *data, SaSizeT size)
{
    SaCkptSectionIdT id = id_of(text);
    SaCkptSectionCreationAttributesT attributes = {&id, expiration};
    return saCkptSectionCreate(checkpoint, &attributes, data, size);
}

static SaCkptIOVectorElementT element(const char *id, void *data, SaSizeT size,
                                      SaOffsetT offset)
{
    SaCkptIOVectorElementT e = {.sectionId = id_of(id),
                                .dataBuffer = data,
                                .dataSize = size,
                                .dataOffset = offset};
    return e;
}

/* Reads the whole section: is it this? */
static void holds(SaCkptCheckpointHandleT checkpoint, const char *id,
                  const void *data, size_t size, const char *what)
{
    static uint8_t buffer[SECTION_SIZE_MAX];
    SaCkptIOVectorElementT e = element(id, buffer, sizeof buffer, 0);

    memset(buffer, 0xee, sizeof buffer);
    EXPECT(SA_AIS_OK, what, saCkptCheckpointRead(checkpoint, &e, 1, NULL));
    is_true(e.readSize == size && memcmp(buffer, data, size) == 0,
            "saCkptCheckpointRead", "what was read is what was written");
}

/* --- opening -------------------------------------------------------------- */

static void open_first(void)
{
    SaCkptCheckpointCreationAttributesT other = usual;
    SaCkptCheckpointHandleT second = 0;

    EXPECT(SA_AIS_ERR_NOT_EXIST, "there is none of that name",
           saCkptCheckpointOpen(self.handle, &self.first, NULL,
                                SA_CKPT_CHECKPOINT_READ, SA_TIME_END, &second));
    EXPECT(SA_AIS_ERR_INVALID_PARAM, "to be created, without attributes",
           saCkptCheckpointOpen(self.handle, &self.first, NULL, ALL_FLAGS,
                                SA_TIME_END, &second));
    other.checkpointSize = other.maxSections * other.maxSectionSize + 1;
    EXPECT(SA_AIS_ERR_INVALID_PARAM, "larger than all sections together",
           saCkptCheckpointOpen(self.handle, &self.first, &other, ALL_FLAGS,
                                SA_TIME_END, &second));
    EXPECT(SA_AIS_OK, "to be created, 4 sections of 4096 bytes",
           saCkptCheckpointOpen(self.handle, &self.first, &usual, ALL_FLAGS,
                                SA_TIME_END, &self.checkpoint));
    other = usual;
    other.maxSectionSize = SECTION_SIZE_MAX + 1;
    EXPECT(SA_AIS_ERR_EXIST, "there is one, with other attributes",
           saCkptCheckpointOpen(self.handle, &self.first, &other, ALL_FLAGS,
                                SA_TIME_END, &second));
    EXPECT(SA_AIS_OK, "a second handle, with the same attributes",
           saCkptCheckpointOpen(self.handle, &self.first, &usual, ALL_FLAGS,
                                SA_TIME_END, &second));
    EXPECT(SA_AIS_OK, "the second handle", saCkptCheckpointClose(second));
    EXPECT(SA_AIS_ERR_BAD_HANDLE, "the second handle, again",
           saCkptCheckpointClose(second));
}

static void status_is(SaUint32T sections)
{
    SaCkptCheckpointDescriptorT d;

    memset(&d, 0xff, sizeof d);
    EXPECT(SA_AIS_OK, "of the first checkpoint",
           saCkptCheckpointStatusGet(self.checkpoint, &d));
    is_true(d.numberOfSections == sections, "saCkptCheckpointStatusGet",
            sections == 0 ? "no section yet" : "all sections are counted");
    is_true(
        d.checkpointCreationAttributes.creationFlags == usual.creationFlags &&
            d.checkpointCreationAttributes.checkpointSize ==
                usual.checkpointSize &&
            d.checkpointCreationAttributes.maxSections == usual.maxSections &&
            d.checkpointCreationAttributes.maxSectionSize ==
                usual.maxSectionSize &&
            d.checkpointCreationAttributes.maxSectionIdSize ==
                usual.maxSectionIdSize,
        "saCkptCheckpointStatusGet", "the attributes that it was given");
}

/* --- sections ------------------------------------------------------------- */

static void sections_create(void)
{
    SaCkptSectionIdT made = SA_CKPT_GENERATED_SECTION_ID;
    SaCkptSectionCreationAttributesT attributes = {&made, SA_TIME_END};
    const SaCkptCheckpointHandleT c = self.checkpoint;

    EXPECT_CREATE(SA_AIS_OK, "alpha, with 10 bytes", c, "alpha", SA_TIME_END,
                  "0123456789", 10);
    holds(c, "alpha", "0123456789", 10, "alpha");
    self.expires_ns = clock_ns(CLOCK_REALTIME) + (uint64_t)EXPIRES_NS;
    EXPECT_CREATE(SA_AIS_OK, "beta, to expire in 4 s", c, "beta",
                  (SaTimeT)self.expires_ns, "short-lived", 11);
    EXPECT_CREATE(SA_AIS_OK, "gamma, empty", c, "gamma", SA_TIME_END, NULL, 0);
    holds(c, "gamma", "", 0, "gamma");
    EXPECT_CREATE(SA_AIS_ERR_EXIST, "alpha, a second time", c, "alpha",
                  SA_TIME_END, NULL, 0);
    EXPECT_CREATE(SA_AIS_ERR_INVALID_PARAM, "an id of 21 bytes, of 20 at most",
                  c, "abcdefghijklmnopqrstu", SA_TIME_END, NULL, 0);
    EXPECT(SA_AIS_OK, "an id made by the service",
           saCkptSectionCreate(c, &attributes, "x", 1));
    is_true(made.idLen > 0 && made.id != NULL, "saCkptSectionCreate",
            "the id has been told");
    status_is(4);
    EXPECT_CREATE(SA_AIS_ERR_NO_SPACE, "a fifth section, of 4 at most", c,
                  "epsilon", SA_TIME_END, NULL, 0);
    EXPECT(SA_AIS_OK, "the one whose id was made",
           saCkptSectionDelete(c, &made));
    EXPECT(SA_AIS_ERR_NOT_EXIST, "the same, again",
           saCkptSectionDelete(c, &made));
    if (made.id != NULL)
        EXPECT(SA_AIS_OK, "the made id", saCkptSectionIdFree(c, made.id));
}

static void sections_write(void)
{
    static const char hole[] = "012345678\0\0\0\0\0\0hole";
    const SaCkptCheckpointHandleT c = self.checkpoint;
    static uint8_t large[SECTION_SIZE_MAX + 1];
    SaCkptSectionIdT alpha = id_of("alpha"), absent = id_of("absent");
    SaCkptIOVectorElementT e[2] = {element("alpha", (void *)"WRITE", 5, 2),
                                   element("gamma", (void *)"hole", 4, 12)};
    SaUint32T at = 99;

    EXPECT(SA_AIS_OK, "two sections at once",
           saCkptCheckpointWrite(c, e, 2, &at));
    holds(c, "alpha", "01WRITE789", 10, "alpha, five bytes of it replaced");
    holds(c, "gamma", "\0\0\0\0\0\0\0\0\0\0\0\0hole", 16,
          "gamma, zeros before what was written");
    e[0] = element("alpha", (void *)"never", 5, 0);
    e[1] = element("absent", (void *)"never", 5, 0);
    EXPECT(SA_AIS_ERR_NOT_EXIST, "two sections, of which there is one",
           saCkptCheckpointWrite(c, e, 2, &at));
    is_true(at == 1, "saCkptCheckpointWrite", "the second is named");
    holds(c, "alpha", "01WRITE789", 10, "alpha, all or nothing was written");
    e[0] = element("alpha", large, sizeof large, 0);
    EXPECT(SA_AIS_ERR_INVALID_PARAM, "4097 bytes, of 4096 at most",
           saCkptCheckpointWrite(c, e, 1, &at));
    e[0] = element("alpha", large, 2, SECTION_SIZE_MAX - 1);
    EXPECT(SA_AIS_ERR_INVALID_PARAM, "two bytes at 4095",
           saCkptCheckpointWrite(c, e, 1, &at));

    EXPECT(SA_AIS_OK, "alpha, by 9 bytes",
           saCkptSectionOverwrite(c, &alpha, "012345678", 9));
    holds(c, "alpha", "012345678", 9, "alpha, shorter now");
    e[0] = element("alpha", (void *)"hole", 4, 15);
    EXPECT(SA_AIS_OK, "4 bytes behind a hole",
           saCkptCheckpointWrite(c, e, 1, NULL));
    holds(c, "alpha", hole, 19, "alpha, zeros in the hole");
    EXPECT(SA_AIS_ERR_NOT_EXIST, "a section that there is not",
           saCkptSectionOverwrite(c, &absent, "x", 1));
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * 7 + i / 256);
    EXPECT(SA_AIS_OK, "alpha, by 4096 bytes",
           saCkptSectionOverwrite(c, &alpha, large, SECTION_SIZE_MAX));
    holds(c, "alpha", large, SECTION_SIZE_MAX, "alpha, full");
}

static void sections_read(void)
{
    const SaCkptCheckpointHandleT c = self.checkpoint;
    uint8_t buffer[8];
    SaCkptIOVectorElementT e = element("gamma", buffer, 8, 12);

    EXPECT(SA_AIS_OK, "8 bytes of gamma, where 4 are left",
           saCkptCheckpointRead(c, &e, 1, NULL));
    is_true(e.readSize == 4 && memcmp(buffer, "hole", 4) == 0,
            "saCkptCheckpointRead", "those 4 bytes came");
    e = element("gamma", buffer, 8, 16);
    EXPECT(SA_AIS_OK, "at the end of gamma",
           saCkptCheckpointRead(c, &e, 1, NULL));
    is_true(e.readSize == 0, "saCkptCheckpointRead", "nothing came");
    e = element("gamma", NULL, 0, 12);
    EXPECT(SA_AIS_OK, "into memory that the library allocates",
           saCkptCheckpointRead(c, &e, 1, NULL));
    is_true(e.dataBuffer != NULL && e.readSize == 4 &&
                memcmp(e.dataBuffer, "hole", 4) == 0,
            "saCkptCheckpointRead", "all from the offset to the end came");
    if (e.dataBuffer != NULL)
        EXPECT(SA_AIS_OK, "that memory",
               saCkptIOVectorElementDataFree(c, e.dataBuffer));
    e = element("absent", buffer, 8, 0);
    EXPECT(SA_AIS_ERR_NOT_EXIST, "a section that there is not",
           saCkptCheckpointRead(c, &e, 1, NULL));
}

static void handles_differ(void)
{
    SaCkptCheckpointHandleT reader = 0, writer = 0;
    SaCkptIOVectorElementT e = element("gamma", (void *)"HOLE", 4, 12);
    char buffer[4];

    EXPECT(SA_AIS_OK, "to read",
           saCkptCheckpointOpen(self.handle, &self.first, NULL,
                                SA_CKPT_CHECKPOINT_READ, SA_TIME_END, &reader));
    EXPECT(SA_AIS_OK, "to write",
           saCkptCheckpointOpen(self.handle, &self.first, NULL,
                                SA_CKPT_CHECKPOINT_WRITE, SA_TIME_END,
                                &writer));
    EXPECT(SA_AIS_ERR_ACCESS, "by the handle that reads",
           saCkptCheckpointWrite(reader, &e, 1, NULL));
    EXPECT(SA_AIS_OK, "by the handle that writes",
           saCkptCheckpointWrite(writer, &e, 1, NULL));
    e.dataBuffer = buffer;
    EXPECT(SA_AIS_ERR_ACCESS, "by the handle that writes",
           saCkptCheckpointRead(writer, &e, 1, NULL));
    EXPECT(SA_AIS_OK, "by the handle that reads",
           saCkptCheckpointRead(reader, &e, 1, NULL));
    is_true(memcmp(buffer, "HOLE", 4) == 0, "saCkptCheckpointRead",
            "it sees what the other wrote");
    EXPECT(SA_AIS_ERR_BAD_OPERATION, "all replicas are written at once anyway",
           saCkptCheckpointSynchronize(writer, SA_TIME_ONE_SECOND));
    EXPECT(SA_AIS_OK, "the handle that reads", saCkptCheckpointClose(reader));
    EXPECT(SA_AIS_OK, "the handle that writes", saCkptCheckpointClose(writer));
}

/* --- iteration ------------------------------------------------------------ */

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The ids of the sections chosen, in alphabetical order. */
static void iterate(SaCkptSectionsChosenT chosen, SaTimeT time,
                    const char *what, const char *expected)
{
    char ids[LISTED_MAX][ID_SIZE_MAX + 1] = {""}, list[512] = "";
    SaCkptSectionIterationHandleT iterator = 0;
    SaCkptSectionDescriptorT d;
    size_t count = 0;
    SaAisErrorT error;

    EXPECT(SA_AIS_OK, what,
           saCkptSectionIterationInitialize(self.checkpoint, chosen, time,
                                            &iterator));
    self.call_ns = now_ns();
    while (count < LISTED_MAX) {
        error = saCkptSectionIterationNext(iterator, &d);
        if (error == SA_AIS_OK && d.sectionId.idLen <= ID_SIZE_MAX)
            memcpy(ids[count++], d.sectionId.id, d.sectionId.idLen);
        else if (!made_again(error))
            break;
    }
    qsort(ids, count, sizeof ids[0], by_text);
    for (size_t i = 0; i < count; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                 i > 0 ? " " : "", ids[i]);
    result(strcmp(list, expected) == 0, "saCkptSectionIterationNext", what,
           expected, list);
    EXPECT(SA_AIS_ERR_NO_SECTIONS, "the end",
           saCkptSectionIterationNext(iterator, &d));
    EXPECT(SA_AIS_OK, what, saCkptSectionIterationFinalize(iterator));
    EXPECT(SA_AIS_ERR_BAD_HANDLE, "of an iteration that has ended",
           saCkptSectionIterationNext(iterator, &d));
}

static void sections_iterate(void)
{
    SaTimeT expires = (SaTimeT)self.expires_ns;

    iterate(SA_CKPT_SECTIONS_ANY, 0, "all", "alpha beta gamma");
    iterate(SA_CKPT_SECTIONS_FOREVER, 0, "those that never expire",
            "alpha gamma");
    iterate(SA_CKPT_SECTIONS_LEQ_EXPIRATION_TIME, expires,
            "those that expire until then", "beta");
    iterate(SA_CKPT_SECTIONS_GEQ_EXPIRATION_TIME, expires + 1,
            "those that expire later", "alpha gamma");
    iterate(SA_CKPT_SECTIONS_CORRUPTED, 0, "those that are corrupted", "");
}

/* --- expiration ----------------------------------------------------------- */

/* Reads beta until it is gone; by the wall clock, like the expiration. */
static void section_expires(void)
{
    const uint64_t begin_ns = self.expires_ns - (uint64_t)EXPIRES_NS;
    uint64_t give_up_ns = self.expires_ns + WAIT_S * UINT64_C(1000000000);
    struct timespec pause = {0, 1000000};
    uint64_t now;
    uint8_t byte;
    SaCkptIOVectorElementT e;
    SaAisErrorT error;
    char text[64];

    do {
        nanosleep(&pause, NULL);
        e = element("beta", &byte, 1, 0);
        error = saCkptCheckpointRead(self.checkpoint, &e, 1, NULL);
        now = clock_ns(CLOCK_REALTIME);
    } while ((error == SA_AIS_OK || error == SA_AIS_ERR_TRY_AGAIN) &&
             now < give_up_ns);
    snprintf(text, sizeof text, "%s after %.3f s", sa_error_name(error),
             seconds(now - begin_ns));
    result(error == SA_AIS_ERR_NOT_EXIST && now + EARLY_NS > self.expires_ns &&
               now < self.expires_ns + LATE_NS,
           "saCkptCheckpointRead", "beta, until it expires",
           "SA_AIS_ERR_NOT_EXIST after 4.0 s", text);
    iterate(SA_CKPT_SECTIONS_ANY, 0, "all", "alpha delta");
}

static void section_is_to_expire(void)
{
    const SaCkptCheckpointHandleT c = self.checkpoint;
    SaCkptSectionIdT gamma = id_of("gamma"), delta = id_of("delta"),
                     absent = id_of("absent");

    EXPECT_CREATE(SA_AIS_OK, "delta, to expire in 4 s", c, "delta",
                  (SaTimeT)clock_ns(CLOCK_REALTIME) + EXPIRES_NS, "kept", 4);
    EXPECT(SA_AIS_OK, "delta, never to expire",
           saCkptSectionExpirationTimeSet(c, &delta, SA_TIME_END));
    EXPECT(SA_AIS_OK, "gamma, in the past",
           saCkptSectionExpirationTimeSet(c, &gamma, 1));
    EXPECT(SA_AIS_ERR_NOT_EXIST, "a section that there is not",
           saCkptSectionExpirationTimeSet(c, &absent, SA_TIME_END));
}

/* --- opening by callback -------------------------------------------------- */

static void on_open(SaInvocationT invocation,
                    SaCkptCheckpointHandleT checkpoint, SaAisErrorT error)
{
    self.opened++;
    self.invocation = invocation;
    self.by_callback = checkpoint;
    self.error = error;
}

static void open_async(const SaNameT *name, SaAisErrorT expected,
                       const char *what)
{
    struct pollfd p = {.events = POLLIN};
    uint64_t give_up_ns = now_ns() + WAIT_S * UINT64_C(1000000000);
    SaSelectionObjectT fd = 0;

    self.opened = 0;
    self.invocation = 0;
    self.by_callback = 0;
    EXPECT(SA_AIS_OK, what,
           saCkptCheckpointOpenAsync(self.handle, INVOCATION, name, NULL,
                                     SA_CKPT_CHECKPOINT_READ));
    EXPECT(SA_AIS_OK, "for poll()", saCkptSelectionObjectGet(self.handle, &fd));
    p.fd = (int)fd;
    is_true(poll(&p, 1, WAIT_S * 1000) == 1, "poll", "a callback is pending");
    while (self.opened == 0 && now_ns() < give_up_ns &&
           saCkptDispatch(self.handle, SA_DISPATCH_ALL) == SA_AIS_OK)
        poll(&p, 1, 100);
    is_true(self.opened == 1 && self.invocation == INVOCATION, "saCkptDispatch",
            "it called back once, with the invocation");
    result(self.opened == 1 && self.error == expected,
           "saCkptCheckpointOpenCallback", what, sa_error_name(expected),
           sa_error_name(self.error));
}

static void open_by_callback(void)
{
    open_async(&self.first, SA_AIS_OK, "the first checkpoint");
    holds(self.by_callback, "delta", "kept", 4, "by the callback's handle");
    EXPECT(SA_AIS_OK, "the callback's handle",
           saCkptCheckpointClose(self.by_callback));
    open_async(&self.absent, SA_AIS_ERR_NOT_EXIST, "there is none");
}

/* --- unlinking ------------------------------------------------------------ */

static void unlink_first(void)
{
    SaCkptCheckpointHandleT anew = 0;

    EXPECT(SA_AIS_OK, "while it is open",
           saCkptCheckpointUnlink(self.handle, &self.first));
    EXPECT(SA_AIS_ERR_NOT_EXIST, "again",
           saCkptCheckpointUnlink(self.handle, &self.first));
    EXPECT(SA_AIS_ERR_NOT_EXIST, "by the name that is gone",
           saCkptCheckpointOpen(self.handle, &self.first, NULL,
                                SA_CKPT_CHECKPOINT_READ, SA_TIME_END, &anew));
    EXPECT(SA_AIS_ERR_BAD_OPERATION, "of what is unlinked",
           saCkptCheckpointRetentionDurationSet(self.checkpoint,
                                                SA_TIME_ONE_SECOND));
    holds(self.checkpoint, "delta", "kept", 4, "by the handle from before");
    EXPECT(SA_AIS_OK, "another of the same name",
           saCkptCheckpointOpen(self.handle, &self.first, &usual, ALL_FLAGS,
                                SA_TIME_END, &anew));
    EXPECT_CREATE(SA_AIS_OK, "delta, in the other", anew, "delta", SA_TIME_END,
                  "other", 5);
    holds(anew, "delta", "other", 5, "in the other");
    holds(self.checkpoint, "delta", "kept", 4, "in the one that is unlinked");
    EXPECT(SA_AIS_OK, "the one that is unlinked",
           saCkptCheckpointClose(self.checkpoint));
    EXPECT(SA_AIS_OK, "the other's, to 0",
           saCkptCheckpointRetentionDurationSet(anew, 0));
    EXPECT(SA_AIS_OK, "the other", saCkptCheckpointClose(anew));
    EXPECT(SA_AIS_ERR_NOT_EXIST, "it went when nobody had it open",
           saCkptCheckpointOpen(self.handle, &self.first, NULL,
                                SA_CKPT_CHECKPOINT_READ, SA_TIME_END, &anew));
}

/* --- other kinds ---------------------------------------------------------- */

/* Of one section: it is there from the beginning and has no id. */
static void single_section(void)
{
    SaCkptCheckpointCreationAttributesT attributes = usual;
    SaCkptSectionIdT none = SA_CKPT_DEFAULT_SECTION_ID;
    SaCkptCheckpointHandleT c = 0;
    SaCkptCheckpointDescriptorT d = {.numberOfSections = 99};

    attributes.maxSections = 1;
    attributes.checkpointSize = SECTION_SIZE_MAX;
    EXPECT(SA_AIS_OK, "to be created, one section",
           saCkptCheckpointOpen(self.handle, &self.single, &attributes,
                                ALL_FLAGS, SA_TIME_END, &c));
    EXPECT(SA_AIS_OK, "of one section", saCkptCheckpointStatusGet(c, &d));
    is_true(d.numberOfSections == 1, "saCkptCheckpointStatusGet",
            "the default section is there");
    EXPECT(SA_AIS_OK, "the default section",
           saCkptSectionOverwrite(c, &none, "default", 7));
    holds(c, "", "default", 7, "the default section");
    EXPECT_CREATE(SA_AIS_ERR_EXIST, "there is one already", c, "alpha",
                  SA_TIME_END, NULL, 0);
    EXPECT(SA_AIS_ERR_INVALID_PARAM, "the default section",
           saCkptSectionDelete(c, &none));
    EXPECT(SA_AIS_OK, "of one section", saCkptCheckpointClose(c));
}

/* Whose writes go to one replica first: none, until one was chosen. */
static void one_active_replica(void)
{
    SaCkptCheckpointCreationAttributesT attributes = usual;
    SaCkptCheckpointHandleT c = 0;

    attributes.creationFlags =
        SA_CKPT_WR_ACTIVE_REPLICA | SA_CKPT_CHECKPOINT_COLLOCATED;
    EXPECT(SA_AIS_OK, "to be created, collocated, one active replica",
           saCkptCheckpointOpen(self.handle, &self.collocated, &attributes,
                                ALL_FLAGS, SA_TIME_END, &c));
    EXPECT_CREATE(SA_AIS_ERR_NOT_EXIST, "no replica is active", c, "alpha",
                  SA_TIME_END, NULL, 0);
    EXPECT(SA_AIS_OK, "the one of this node", saCkptActiveReplicaSet(c));
    EXPECT_CREATE(SA_AIS_OK, "a replica is active", c, "alpha", SA_TIME_END,
                  "active", 6);
    EXPECT(SA_AIS_OK, "to the other replicas",
           saCkptCheckpointSynchronize(c, 10 * SA_TIME_ONE_SECOND));
    holds(c, "alpha", "active", 6, "at the active replica");
    EXPECT(SA_AIS_OK, "collocated", saCkptCheckpointClose(c));
}

/* --- the program ---------------------------------------------------------- */

static void start(void)
{
    const SaCkptCallbacksT callbacks = {.saCkptCheckpointOpenCallback =
                                            on_open};
    SaVersionT version = {'B', 1, 1}, other = {'A', 1, 1};
    SaAisErrorT error = saCkptInitialize(&self.handle, &callbacks, &version);

    if (error != SA_AIS_OK) {
        fprintf(stderr, "testckpt: saCkptInitialize: %s (%d): %s\n",
                sa_error_name(error), (int)error, sa_error_remedy(error));
        exit(1);
    }
    result(true, "saCkptInitialize", "B.1.1", sa_error_name(SA_AIS_OK),
           sa_error_name(error));
    EXPECT(SA_AIS_ERR_VERSION, "A.1.1",
           saCkptInitialize(&self.handle, &callbacks, &other));
    self.first = name_of("first");
    self.single = name_of("single");
    self.collocated = name_of("collocated");
    self.absent = name_of("absent");
}

int main(int argc, char **argv)
{
    self.json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc > 1 && !self.json) {
        fprintf(stderr, "usage: testckpt [--json]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    start();
    open_first();
    status_is(0);
    sections_create();
    sections_write();
    sections_read();
    handles_differ();
    sections_iterate();
    section_is_to_expire();
    open_by_callback();
    single_section();
    one_active_replica();
    section_expires();
    unlink_first();
    EXPECT(SA_AIS_OK, "everything", saCkptFinalize(self.handle));
    EXPECT(SA_AIS_ERR_BAD_HANDLE, "again", saCkptFinalize(self.handle));
    if (!self.json)
        printf("%u passed, %u failed, 0 skipped\n", self.passed, self.failed);
    return self.failed > 0;
}
