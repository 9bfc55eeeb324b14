/* SPDX-License-Identifier: BSD-3-Clause */
/* internal.h - what the files of libSaCkpt share.
 *
 * There are three kinds of handles. That of saCkptInitialize() is a
 * connection's; those of checkpoints and of iterations are parts, each in a
 * list of what it came from. A call gets all of them up to the connection, and
 * keeps them until its end. A part ends in this order: it is taken from its
 * list, under the instance's lock, by whoever may end it; then its handle is
 * finalized. So what is in a list is not freed. */
#ifndef API_CKPT_INTERNAL_H
#define API_CKPT_INTERNAL_H

#include "api/ais.h"
#include "ipc/ckpt.h"

#include <openais/saCkpt.h>

/* First in its object. */
struct part {
    uint64_t handle;
    const struct handle_ops *ops; /* the kind of its handle too */
    struct part *next, **at;      /* at: NULL in no list */
};

struct parts {
    struct part *first;
    bool ended; /* nothing is added any more */
};

/* An asynchronous call under way. */
struct pending {
    struct pending *next;
    uint64_t number; /* the daemon's invocation */
    uint64_t checkpoint;
    SaInvocationT invocation; /* the program's */
};

struct ckpt_instance {
    struct conn conn; /* first: see library.h */
    SaCkptCallbacksT callbacks;

    /* Over the rest, and all lists. Taken before no other but that of the table
     * of handles. */
    pthread_mutex_t lock;
    struct parts checkpoints;
    struct pending *pending;
    uint64_t last_number;
};

/* All but what is atomic, or under the instance's lock, is constant. */
struct ckpt_checkpoint {
    struct part part;
    uint64_t instance;   /* handle */
    _Atomic bool closed; /* or about to be: nothing more is asked of it */
    uint32_t number;     /* the daemon's handle */
    SaCkptCheckpointOpenFlagsT flags;
    struct ipc_ckpt_attributes attributes;
    struct parts iterations;         /* under the instance's lock */
    _Atomic(struct direct *) direct; /* see direct.c; NULL: nothing yet */
    _Atomic uint32_t reads;          /* that were direct */
};

/* What a call on a checkpoint keeps. */
struct use {
    struct ckpt_instance *instance;
    struct ckpt_checkpoint *checkpoint;
};

/* --- handles (ckpt.c) ----------------------------------------------------- */

extern const struct library ckpt_library;

/* OK, then *c is to be HELD, or BAD_HANDLE, then it is NULL. */
SaAisErrorT sackpt_instance_get(SaCkptHandleT handle, struct ckpt_instance **c);

/* OK, then *u is kept until sackpt_put(), or BAD_HANDLE, then its checkpoint is
 * NULL, and there is nothing to be put. */
SaAisErrorT sackpt_get(SaCkptCheckpointHandleT handle, struct use *u);
void sackpt_put(const struct use *u);

/* Stands before a struct use: it is put where it goes out of scope. */
#define HELD_USE __attribute__((cleanup(sackpt_put)))

/* For what the library has allocated for a program. */
SaAisErrorT sackpt_memory_free(SaCkptCheckpointHandleT handle, void *memory);

/* A handle for an object, in a list; BAD_HANDLE: that has ended. On an error
 * the object is destroyed. */
SaAisErrorT sackpt_part_new(struct ckpt_instance *c, struct parts *list,
                            const struct handle_ops *ops, struct part *part,
                            uint64_t *handle);

/* Takes it from its list and ends it; false: somebody else does so. */
bool sackpt_part_end(struct ckpt_instance *c, struct part *part);

/* Ends a checkpoint's iterations; no more can be made. */
void sackpt_iterations_end(struct ckpt_instance *c, struct ckpt_checkpoint *ck);

/* A handle for what the daemon has opened. */
SaAisErrorT sackpt_checkpoint_new(struct ckpt_instance *c,
                                  const struct ipc_ckpt_opened *opened,
                                  SaCkptCheckpointOpenFlagsT flags,
                                  SaCkptCheckpointHandleT *handle);

/* Takes what is under way out of the list; NULL: it was cancelled. */
struct pending *sackpt_pending_take(struct ckpt_instance *c, uint64_t number);

/* --- asking the daemon (ckpt.c) ------------------------------------------- */

/* A request, of which all is filled in but the answer. */
SaAisErrorT sackpt_request(struct ckpt_instance *c, struct conn_call *call,
                           struct ipc_ckpt_reply *reply);

/* A request that is a struct ipc_ckpt_request. */
SaAisErrorT sackpt_simple_request(const struct use *u, uint32_t type,
                                  struct ipc_ckpt_request request,
                                  uint64_t end_ns);

/* Closes the daemon's handle, for which there is none of ours. */
void sackpt_close_number(struct ckpt_instance *c, uint32_t number);

/* The state of the checkpoint; NOT_EXIST: no active replica. */
SaAisErrorT sackpt_status(const struct use *u,
                          struct ipc_ckpt_status_answer *answer);

/* By handle, for saCkptCheckpointStatusGet(). */
SaAisErrorT sackpt_status_get(SaCkptCheckpointHandleT handle, const void *to,
                              struct ipc_ckpt_status_answer *answer);

void sackpt_attributes_to(SaCkptCheckpointCreationAttributesT *to,
                          const struct ipc_ckpt_attributes *from);

/* --- reading without asking (direct.c) ------------------------------------ */

/* Reads up to `size` bytes, all of one state of the section; *got: how many.
 * False: it has to be asked for. */
bool sackpt_direct_read(const struct use *u, const SaCkptSectionIdT *id,
                        uint64_t offset, void *to, uint64_t size,
                        uint64_t *got);

/* Notes what an answer says of how to read a section. */
void sackpt_direct_learn(const struct use *u, const SaCkptSectionIdT *id,
                         const struct ipc_ckpt_read_answer *answer);
void sackpt_direct_free(struct ckpt_checkpoint *ck);

/* --- sections (section.c) ------------------------------------------------- */

/* Is it an id at all? One that is longer than any section's may be looked for,
 * and is not found. */
bool sackpt_id_ok(const SaCkptSectionIdT *id);

/* An element of a section request, and its data. */
struct element {
    const SaCkptSectionIdT *id;
    uint64_t offset;
    const void *data;
    uint64_t size; /* bytes */
};

/* Submits `count` elements, that `at` gives one by one from `context`, and
 * waits for the reply. *count becomes how many of them fit, if NO_RESOURCES
 * says that they are too many or too large. */
typedef struct element (*element_fn)(const void *context, uint32_t index);
SaAisErrorT sackpt_section_request(const struct use *u, uint32_t type,
                                   int64_t expiration_ns, uint32_t *count,
                                   element_fn at, const void *context,
                                   struct ipc_ckpt_reply *reply);

/* The same with one. */
SaAisErrorT sackpt_section_one(const struct use *u, uint32_t type,
                               int64_t expiration_ns, struct element element,
                               struct ipc_ckpt_reply *reply);

#endif
