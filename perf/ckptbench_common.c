/* SPDX-License-Identifier: BSD-3-Clause */
/* ckptbench_common.c - options, errors, checkpoints, contents. */
#include "perf/ckptbench.h"

#include <stdarg.h>
#include <sys/random.h>
#include <unistd.h>

struct options opt = {.threads = 1,
                      .run_ns = 500000000,
                      .read_size = SIZE_MAX_BYTES,
                      .sections = 1,
                      .id = "section",
                      .retention_ns = SA_TIME_END};

/* --- options -------------------------------------------------------------- */

static void sizes_arg(char *text)
{
    opt.size_count = 0;
    for (char *one = strtok(text, ","); one != NULL; one = strtok(NULL, ",")) {
        if (opt.size_count == SIZES_MAX) {
            fputs("--size: too many\n", stderr);
            exit(2);
        }
        opt.sizes[opt.size_count++] =
            number_arg("--size", one, 1, SIZE_MAX_BYTES);
    }
}

static void task_arg(enum task task, const char *name)
{
    opt.name = name;
    opt.task = task;
}

/* Those that have to do with where the writes go. */
static bool option_place(int c)
{
    switch (c) {
    case 'n':
        opt.name = optarg;
        return true;
    case 'i':
        opt.id = optarg;
        return true;
    case 'c':
        opt.sections =
            (unsigned)number_arg("--sections", optarg, 1, SECTIONS_MAX);
        return true;
    case 'v':
        opt.places = (unsigned)number_arg("--verify", optarg, 1, PLACES_MAX);
        return true;
    case 'e':
        opt.retention_ns = (int64_t)seconds_arg("--retention", optarg);
        return true;
    case 'F':
        opt.task = FILL;
        opt.fill_bytes = number_arg("--fill", optarg, 1, UINT64_C(1) << 40);
        return true;
    case 'H':
        task_arg(HASH, optarg);
        return true;
    case 'S':
        task_arg(STATUS, optarg);
        return true;
    case 'R':
        task_arg(REMOVE, optarg);
        return true;
    case 'W':
        opt.wait_ns = seconds_arg("--wait", optarg);
        return true;
    default:
        return false;
    }
}

static bool option_run(int c)
{
    switch (c) {
    case 'b':
        sizes_arg(optarg);
        return true;
    case 's':
        opt.run_ns = seconds_arg("--seconds", optarg);
        return true;
    case 'w':
        opt.writes = number_arg("--writes", optarg, 1, UINT64_C(1) << 40);
        opt.run_ns = 0;
        return true;
    case 't':
        opt.threads = (unsigned)number_arg("--threads", optarg, 1, THREADS_MAX);
        return true;
    case 'a':
        opt.rate = number_arg("--rate", optarg, 1, 1000000);
        return true;
    case 'E':
        opt.every_ns = seconds_arg("--every", optarg);
        return true;
    case 'r':
        opt.read = true;
        return true;
    case 'm':
        opt.mixed = true;
        return true;
    case 'z':
        opt.read_size = number_arg("--read-size", optarg, 1, SIZE_MAX_BYTES);
        return true;
    case 'x':
        opt.shared = true;
        return true;
    case 'j':
        opt.json = true;
        return true;
    default:
        return false;
    }
}

static void sizes_default(void)
{
    static const size_t sizes[] = {1,     64,    100,   1001, 5001,
                                   10001, 20001, 30001, 49001};
    opt.size_count = sizeof sizes / sizeof *sizes;
    memcpy(opt.sizes, sizes, sizeof sizes);
}

void options_read(int argc, char **argv, const struct option *list,
                  const char *usage)
{
    int c;

    sizes_default();
    while ((c = getopt_long(argc, argv, "h", list, NULL)) != -1)
        if (c == 'h') {
            fputs(usage, stdout);
            exit(0);
        } else if (!option_place(c) && !option_run(c)) {
            fputs(usage, stderr);
            exit(2);
        }
    if (optind < argc || (opt.read && opt.mixed) ||
        (opt.task == FILL && opt.name == NULL) ||
        strlen(opt.id) > ID_SIZE_MAX - 24) {
        fputs(usage, stderr);
        exit(2);
    }
}

/* --- errors --------------------------------------------------------------- */

/* Other threads may be in the library: nothing of it is torn down. */
static _Noreturn void die(void)
{
    fflush(stdout);
    _exit(1);
}

void fail(const char *what, SaAisErrorT error)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s: %s (%d): %s\n", opt.program, what,
            sa_error_name(error), (int)error,
            error == SA_AIS_ERR_NOT_EXIST ? "there is none"
                                          : sa_error_remedy(error));
    die();
}

void fail_text(const char *text, ...)
{
    char line[256];
    va_list arguments;

    va_start(arguments, text);
    vsnprintf(line, sizeof line, text, arguments);
    va_end(arguments);
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", opt.program, line);
    die();
}

void pause_ns(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

    nanosleep(&t, NULL);
}

bool try_again(struct patience *p, SaAisErrorT error)
{
    if (error != SA_AIS_ERR_TRY_AGAIN)
        return false;
    if (p->since_ns == 0)
        p->since_ns = now_ns();
    else if (now_ns() - p->since_ns > HANG_S * UINT64_C(1000000000))
        return false;
    p->count++;
    pause_ns(200000);
    return true;
}

/* --- checkpoints ---------------------------------------------------------- */

enum { NAMED_SECTIONS = 16384, NAMED_SECTION_BYTES = 65536 };

SaCkptHandleT library_open(void)
{
    SaVersionT version = {'B', 1, 1};
    SaCkptHandleT handle = 0;
    SaAisErrorT error;
    uint64_t begin_ns = now_ns();

    /* With --wait, the daemon may yet have to be started. */
    do {
        error = saCkptInitialize(&handle, NULL, &version);
        if (error == SA_AIS_OK)
            return handle;
        pause_ns(opt.wait_ns > 0 ? 1000000 : 0);
    } while (now_ns() - begin_ns < opt.wait_ns);
    fail("saCkptInitialize", error);
}

SaNameT name_of(const char *text)
{
    SaNameT name = {.length = 0};
    size_t size = strlen(text);

    if (size == 0 || size > sizeof name.value)
        fail_text("\"%s\": not a name of a checkpoint", text);
    name.length = (SaUint16T)size;
    memcpy(name.value, text, size);
    return name;
}

SaCkptCheckpointCreationAttributesT attributes_of(uint64_t section_count,
                                                  uint64_t section_bytes)
{
    /* One that has a name may be used by several programs. */
    if (opt.name != NULL && section_count < NAMED_SECTIONS)
        section_count = NAMED_SECTIONS;
    if (opt.name != NULL && section_bytes < NAMED_SECTION_BYTES)
        section_bytes = NAMED_SECTION_BYTES;
    /* One section alone would be the default section, without an id. */
    if (section_count == 1)
        section_count = 2;
    SaCkptCheckpointCreationAttributesT a = {
        .creationFlags = SA_CKPT_WR_ALL_REPLICAS,
        .checkpointSize = section_count * section_bytes,
        .retentionDuration = opt.name == NULL ? 0 : opt.retention_ns,
        .maxSections = (SaUint32T)section_count,
        .maxSectionSize = section_bytes,
        .maxSectionIdSize = ID_SIZE_MAX};
    return a;
}

SaCkptCheckpointHandleT
checkpoint_open(SaCkptHandleT handle, const SaNameT *name,
                const SaCkptCheckpointCreationAttributesT *attributes)
{
    const SaCkptCheckpointOpenFlagsT flags =
        SA_CKPT_CHECKPOINT_READ | SA_CKPT_CHECKPOINT_WRITE;
    SaCkptCheckpointHandleT checkpoint = 0;
    struct patience p = {0};
    SaAisErrorT error;

    /* Another program may make it in between, with other attributes. */
    for (int i = 0; i < 10; i++) {
        do
            error = saCkptCheckpointOpen(handle, name, NULL, flags, SA_TIME_END,
                                         &checkpoint);
        while (try_again(&p, error));
        if (error != SA_AIS_ERR_NOT_EXIST)
            break;
        do
            error = saCkptCheckpointOpen(handle, name, attributes,
                                         flags | SA_CKPT_CHECKPOINT_CREATE,
                                         SA_TIME_END, &checkpoint);
        while (try_again(&p, error));
        if (error != SA_AIS_ERR_EXIST)
            break;
    }
    if (error != SA_AIS_OK)
        fail("saCkptCheckpointOpen", error);
    return checkpoint;
}

SaCkptSectionIdT section_id(uint64_t number, char bytes[ID_SIZE_MAX])
{
    SaCkptSectionIdT id;
    int size = snprintf(bytes, ID_SIZE_MAX, "%s %06" PRIu64, opt.id, number);

    id.idLen = (SaUint16T)size;
    id.id = (SaUint8T *)bytes;
    return id;
}

bool section_exists(SaCkptCheckpointHandleT checkpoint,
                    const SaCkptSectionIdT *id)
{
    uint8_t byte;
    SaCkptIOVectorElementT e = {
        .sectionId = *id, .dataBuffer = &byte, .dataSize = 1};
    struct patience p = {0};
    SaAisErrorT error;

    do
        error = saCkptCheckpointRead(checkpoint, &e, 1, NULL);
    while (try_again(&p, error));
    if (error != SA_AIS_OK && error != SA_AIS_ERR_NOT_EXIST)
        fail("saCkptCheckpointRead", error);
    return error == SA_AIS_OK;
}

bool section_create(SaCkptCheckpointHandleT checkpoint, uint64_t number,
                    const void *data, size_t size)
{
    char bytes[ID_SIZE_MAX];
    SaCkptSectionIdT id = section_id(number, bytes);
    SaCkptSectionCreationAttributesT attributes = {&id, SA_TIME_END};
    struct patience p = {0};
    SaAisErrorT error;

    do
        error = saCkptSectionCreate(checkpoint, &attributes, data, size);
    while (try_again(&p, error));
    if (error != SA_AIS_OK && error != SA_AIS_ERR_EXIST)
        fail("saCkptSectionCreate", error);
    return error == SA_AIS_OK;
}

size_t section_read(SaCkptCheckpointHandleT checkpoint,
                    const SaCkptSectionIdT *id, void *data, size_t size,
                    uint64_t offset)
{
    SaCkptIOVectorElementT e = {.sectionId = *id,
                                .dataBuffer = data,
                                .dataSize = size,
                                .dataOffset = offset};
    struct patience p = {0};
    SaAisErrorT error;

    do
        error = saCkptCheckpointRead(checkpoint, &e, 1, NULL);
    while (try_again(&p, error));
    if (error != SA_AIS_OK)
        fail("saCkptCheckpointRead", error);
    return e.readSize;
}

/* --- contents ------------------------------------------------------------- */

/* Content is a piece of random bytes, in front of which stands whose write it
 * is. Where the piece begins follows from that too. */
enum { STEPS = 1021, STEP = 8, STAMP = 8 };

static struct {
    uint8_t *bytes;
    size_t size;
} pool;

static uint64_t stamp_of(unsigned writer, uint64_t number)
{
    return (uint64_t)writer << 48 | number;
}

static size_t place_of(unsigned writer, uint64_t number)
{
    return (size_t)((number * 389 + writer * 7919) % STEPS * STEP);
}

void contents_init(size_t size_max)
{
    size_t got = 0;

    pool.size = size_max + STEPS * STEP + STAMP;
    pool.bytes = malloc(pool.size);
    if (pool.bytes == NULL)
        fail("malloc", SA_AIS_ERR_NO_MEMORY);
    while (got < pool.size) {
        ssize_t n = getrandom(pool.bytes + got, pool.size - got, 0);
        got += n > 0 ? (size_t)n : 0;
    }
}

uint8_t *contents_copy(void)
{
    uint8_t *copy = malloc(pool.size);

    if (copy == NULL)
        fail("malloc", SA_AIS_ERR_NO_MEMORY);
    return memcpy(copy, pool.bytes, pool.size);
}

struct content content_begin(uint8_t *copy, size_t size, unsigned writer,
                             uint64_t number)
{
    struct content c = {copy + place_of(writer, number), 0,
                        size < STAMP ? 0 : STAMP};
    uint64_t stamp = stamp_of(writer, number);

    memcpy(&c.before, c.data, c.size);
    memcpy(c.data, &stamp, c.size);
    return c;
}

void content_end(const struct content *c)
{
    memcpy(c->data, &c->before, c->size);
}

bool content_is(const uint8_t *data, size_t size, unsigned writer,
                uint64_t number)
{
    const uint8_t *want = pool.bytes + place_of(writer, number);
    uint64_t stamp = stamp_of(writer, number);

    if (size < STAMP)
        return memcmp(data, want, size) == 0;
    return memcmp(data, &stamp, STAMP) == 0 &&
           memcmp(data + STAMP, want + STAMP, size - STAMP) == 0;
}

bool content_is_any(const uint8_t *data, size_t size, unsigned writer)
{
    uint64_t stamp;

    if (size < STAMP)
        return true;
    memcpy(&stamp, data, STAMP);
    return stamp >> 48 == writer &&
           content_is(data, size, writer, stamp & 0xffffffffffff);
}
