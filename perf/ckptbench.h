/* SPDX-License-Identifier: BSD-3-Clause */
/* ckptbench.h - what ckptbench and ckptbenchth share.
 *
 * A worker writes to, or reads, sections of one checkpoint. Nobody else writes
 * to a writer's sections, and each of its writes has a number and a content of
 * its own that follows from it; so whoever reads can tell which write it sees,
 * and whether it is whole. The last writes of all are read back at the end. */
#ifndef PERF_CKPTBENCH_H
#define PERF_CKPTBENCH_H

#include "test/evsclient.h"
#include "test/saclient.h"

#include <openais/saCkpt.h>

#include <getopt.h>

enum {
    SIZES_MAX = 64,
    SIZE_MAX_BYTES = 1000000, /* of one write */
    THREADS_MAX = 256,
    PLACES_MAX = 4096,
    SECTIONS_MAX = 1000000,
    ID_SIZE_MAX = 64,
    HANG_S = 60 /* of TRY_AGAIN, or without an end: give up */
};

enum task { RUN, FILL, HASH, STATUS, REMOVE };

struct options {
    const char *program; /* for messages */
    size_t sizes[SIZES_MAX];
    unsigned size_count;
    unsigned threads;
    uint64_t run_ns, writes; /* until either, of each thread; 0: no end */
    bool read, mixed, shared, json;
    size_t read_size;  /* bytes, at most */
    unsigned sections; /* of each writer, written to in turn */
    unsigned places;   /* in a section; 0: one, always overwritten */
    uint64_t rate;     /* writes a second of each thread, 0: no limit */
    uint64_t every_ns; /* a line for so long a time, 0: none */
    const char *name, *id;
    int64_t retention_ns;
    uint64_t fill_bytes, wait_ns;
    enum task task;
};

extern struct options opt;

/* --- options and errors (ckptbench_common.c) ------------------------------ */

/* Ends the program if there is anything wrong. Only what is in `list` is
 * understood; see option() for the letters. */
void options_read(int argc, char **argv, const struct option *list,
                  const char *usage);

/* For any thread: says it, ends the program. */
_Noreturn void fail(const char *what, SaAisErrorT error);
_Noreturn void fail_text(const char *text, ...)
    __attribute__((format(printf, 1, 2)));

/* A call that is refused with TRY_AGAIN is made again, for a minute:
 *     struct patience p = {0};
 *     do error = ...; while (try_again(&p, error)); */
struct patience {
    uint64_t since_ns, count;
};

bool try_again(struct patience *p, SaAisErrorT error);
void pause_ns(uint64_t ns);

/* --- checkpoints (ckptbench_common.c) ------------------------------------- */

SaCkptHandleT library_open(void);
SaNameT name_of(const char *text);
SaCkptCheckpointCreationAttributesT attributes_of(uint64_t section_count,
                                                  uint64_t section_bytes);
/* Opens it, or makes it. */
SaCkptCheckpointHandleT
checkpoint_open(SaCkptHandleT handle, const SaNameT *name,
                const SaCkptCheckpointCreationAttributesT *attributes);

/* The id of section `number`, in `bytes`. */
SaCkptSectionIdT section_id(uint64_t number, char bytes[ID_SIZE_MAX]);

/* Asks this node alone. */
bool section_exists(SaCkptCheckpointHandleT checkpoint,
                    const SaCkptSectionIdT *id);
/* False: there is one of this id already. */
bool section_create(SaCkptCheckpointHandleT checkpoint, uint64_t number,
                    const void *data, size_t size);
/* Returns how many bytes there were. */
size_t section_read(SaCkptCheckpointHandleT checkpoint,
                    const SaCkptSectionIdT *id, void *data, size_t size,
                    uint64_t offset);

/* --- contents (ckptbench_common.c) ---------------------------------------- */

/* Once, before the others. */
void contents_init(size_t size_max);

/* A copy for a writer, from which it writes: it need not fill a buffer for each
 * write. Never freed. */
uint8_t *contents_copy(void);

/* A writer's write number `number`: where it begins in the writer's copy, until
 * content_end(). */
struct content {
    uint8_t *data;
    uint64_t before;
    size_t size;
};
struct content content_begin(uint8_t *copy, size_t size, unsigned writer,
                             uint64_t number);
void content_end(const struct content *c);

/* Is this the front of that write? */
bool content_is(const uint8_t *data, size_t size, unsigned writer,
                uint64_t number);
/* Is it the front of some write of that writer's? Sizes below 8 are, always. */
bool content_is_any(const uint8_t *data, size_t size, unsigned writer);

/* --- the benchmark (ckptbench_run.c) -------------------------------------- */

/* All sizes, a line for each. */
void bench_run(void);

/* --- the other tasks (ckptbench_tasks.c) ---------------------------------- */

void task_fill(void);
void task_hash(void);
void task_status(void);
void task_remove(void);

#endif
