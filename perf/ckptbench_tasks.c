/* SPDX-License-Identifier: BSD-3-Clause */
/* ckptbench_tasks.c - what ckptbenchth does beside measuring: fills a
 * checkpoint, tells what is in one, removes it. */
#include "perf/ckptbench.h"

#include <unistd.h>

/* --- filling -------------------------------------------------------------- */

/* All sections of one size, but for what does not divide. */
void task_fill(void)
{
    SaCkptHandleT handle = library_open();
    SaNameT name = name_of(opt.name);
    uint64_t most = (opt.fill_bytes + opt.sections - 1) / opt.sections;
    const SaCkptCheckpointCreationAttributesT attributes =
        attributes_of(opt.sections, most);
    SaCkptCheckpointHandleT checkpoint =
        checkpoint_open(handle, &name, &attributes);
    uint64_t begin_ns = now_ns(), left = opt.fill_bytes;
    uint8_t *copy;

    if (most > SIZE_MAX_BYTES)
        fail_text("at most %d bytes a section", SIZE_MAX_BYTES);
    contents_init(most);
    copy = contents_copy();
    for (uint64_t i = 0; i < opt.sections; i++) {
        size_t size = (size_t)(left < most ? left : most);
        struct content c = content_begin(copy, size, 0, i);
        if (!section_create(checkpoint, i, c.data, size))
            fail_text("section %" PRIu64 " exists", i);
        content_end(&c);
        left -= size;
    }
    free(copy);
    saCkptFinalize(handle);
    double s = seconds(now_ns() - begin_ns);
    printf("{\"sections\": %u, \"bytes\": %" PRIu64 ", \"seconds\": %.3f, "
           "\"mb_per_s\": %.1f}\n",
           opt.sections, opt.fill_bytes, s, (double)opt.fill_bytes / s / 1e6);
}

/* --- looking -------------------------------------------------------------- */

static SaCkptHandleT reader;
static uint64_t waited_ns;

/* With --wait, until it can be opened here; that takes a daemon that has got
 * the state. */
static SaCkptCheckpointHandleT open_to_read(SaCkptCheckpointDescriptorT *d)
{
    const uint64_t begin_ns = now_ns();
    SaNameT name = name_of(opt.name);
    SaCkptCheckpointHandleT checkpoint = 0;
    SaAisErrorT error;

    reader = library_open();
    for (;;) {
        error =
            saCkptCheckpointOpen(reader, &name, NULL, SA_CKPT_CHECKPOINT_READ,
                                 SA_TIME_END, &checkpoint);
        if (error == SA_AIS_OK) {
            error = saCkptCheckpointStatusGet(checkpoint, d);
            if (error == SA_AIS_OK)
                break;
            saCkptCheckpointClose(checkpoint);
        }
        if (now_ns() - begin_ns > opt.wait_ns)
            fail("saCkptCheckpointOpen", error);
        pause_ns(1000000);
    }
    waited_ns = now_ns() - begin_ns;
    return checkpoint;
}

void task_status(void)
{
    SaCkptCheckpointDescriptorT d;

    open_to_read(&d);
    saCkptFinalize(reader);
    printf("{\"sections\": %u, \"bytes\": %llu, \"waited_s\": %.3f}\n",
           d.numberOfSections, d.memoryUsed, seconds(waited_ns));
}

void task_remove(void)
{
    SaCkptHandleT handle = library_open();
    SaNameT name = name_of(opt.name);
    struct patience p = {0};
    SaAisErrorT error;

    do
        error = saCkptCheckpointUnlink(handle, &name);
    while (try_again(&p, error));
    if (error != SA_AIS_OK)
        fail("saCkptCheckpointUnlink", error);
    saCkptFinalize(handle);
}

/* --- the hash ------------------------------------------------------------- */

struct listed {
    uint8_t id[ID_SIZE_MAX];
    uint16_t id_size;
    SaTimeT expiration;
    size_t size;
};

static struct listed *list;
static size_t list_count, list_room;

static int by_id(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    uint16_t both = x->id_size < y->id_size ? x->id_size : y->id_size;
    int order = memcmp(x->id, y->id, both);

    return order != 0 ? order
                      : (x->id_size > y->id_size) - (x->id_size < y->id_size);
}

static void list_add(const SaCkptSectionDescriptorT *d)
{
    struct listed *at;

    if (d->sectionId.idLen > ID_SIZE_MAX)
        fail_text("an id of %u bytes", d->sectionId.idLen);
    if (list_count == list_room) {
        list_room = 2 * list_room + 1024;
        list = realloc(list, list_room * sizeof *list);
        if (list == NULL)
            fail("realloc", SA_AIS_ERR_NO_MEMORY);
    }
    at = &list[list_count++];
    memset(at, 0, sizeof *at);
    at->id_size = d->sectionId.idLen;
    if (at->id_size > 0)
        memcpy(at->id, d->sectionId.id, at->id_size);
    at->expiration = d->expirationTime;
    at->size = (size_t)d->sectionSize;
}

static void list_sections(SaCkptCheckpointHandleT checkpoint)
{
    SaCkptSectionIterationHandleT iterator = 0;
    SaCkptSectionDescriptorT d;
    struct patience p = {0};
    SaAisErrorT error;

    do
        error = saCkptSectionIterationInitialize(
            checkpoint, SA_CKPT_SECTIONS_ANY, 0, &iterator);
    while (try_again(&p, error));
    if (error != SA_AIS_OK)
        fail("saCkptSectionIterationInitialize", error);
    for (;;) {
        do
            error = saCkptSectionIterationNext(iterator, &d);
        while (try_again(&p, error));
        if (error != SA_AIS_OK)
            break;
        list_add(&d);
    }
    if (error != SA_AIS_ERR_NO_SECTIONS)
        fail("saCkptSectionIterationNext", error);
    saCkptSectionIterationFinalize(iterator);
    qsort(list, list_count, sizeof *list, by_id);
}

/* Words of 8 bytes, each mixed in; the length at the end. */
static uint64_t hash_add(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *at = data;
    uint64_t word;

    for (size_t left = size; left > 0; left -= left < 8 ? left : 8, at += 8) {
        word = 0;
        memcpy(&word, at, left < 8 ? left : 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 29;
    }
    hash = (hash ^ size) * 0xd6e8feb86659fd93;
    return hash ^ hash >> 32;
}

/* When nobody writes, the same on all nodes. */
void task_hash(void)
{
    SaCkptCheckpointDescriptorT d;
    SaCkptCheckpointHandleT checkpoint = open_to_read(&d);
    size_t size_max = (size_t)d.checkpointCreationAttributes.maxSectionSize + 1;
    uint8_t *buffer = malloc(size_max);
    uint64_t hash = 0, bytes = 0;

    if (buffer == NULL)
        fail("malloc", SA_AIS_ERR_NO_MEMORY);
    list_sections(checkpoint);
    for (size_t i = 0; i < list_count; i++) {
        const struct listed *at = &list[i];
        SaCkptSectionIdT id = {at->id_size, (SaUint8T *)at->id};
        size_t got = section_read(checkpoint, &id, buffer, size_max - 1, 0);
        hash = hash_add(hash, at->id, at->id_size);
        hash = hash_add(hash, &at->expiration, sizeof at->expiration);
        hash = hash_add(hash, buffer, got);
        if (got != at->size)
            fail_text("a section of %zu bytes gave %zu", at->size, got);
        bytes += got;
    }
    if (list_count != d.numberOfSections)
        fail_text("%zu sections were listed, of %u", list_count,
                  d.numberOfSections);
    free(buffer);
    free(list);
    saCkptFinalize(reader);
    printf("{\"hash\": \"%016" PRIx64 "\", \"sections\": %zu, \"bytes\": "
           "%" PRIu64 ", \"waited_s\": %.3f}\n",
           hash, list_count, bytes, seconds(waited_ns));
}
