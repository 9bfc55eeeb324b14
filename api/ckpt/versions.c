/* SPDX-License-Identifier: BSD-3-Clause */
/* versions.c - what programs linked with openais 1.1 call, where it is not what
 * the header says today. It is part of the shared library alone: a static one
 * has no versions of symbols. */
#include "api/ckpt/internal.h"

#include <string.h>

/* memoryUsed had 32 bits. */
struct descriptor_b01 {
    SaCkptCheckpointCreationAttributesT attributes;
    SaUint32T section_count;
    SaUint32T memory_used; /* bytes */
};

#ifdef __LP64__
_Static_assert(sizeof(struct descriptor_b01) == 56, "as in openais 1.1");
_Static_assert(offsetof(struct descriptor_b01, section_count) == 48, "");
_Static_assert(offsetof(struct descriptor_b01, memory_used) == 52, "");
#endif

SaAisErrorT sackpt_status_get_b01(SaCkptCheckpointHandleT handle,
                                  struct descriptor_b01 *to);

__attribute__((symver("saCkptCheckpointStatusGet@OPENAIS_CKPT_B.01.01")))
PUBLIC SaAisErrorT
sackpt_status_get_b01(SaCkptCheckpointHandleT handle, struct descriptor_b01 *to)
{
    struct ipc_ckpt_status_answer a;
    SaAisErrorT error = sackpt_status_get(handle, to, &a);

    if (error != SA_AIS_OK)
        return error;
    sackpt_attributes_to(&to->attributes, &a.attributes);
    to->section_count = a.section_count;
    to->memory_used =
        a.memory_used < UINT32_MAX ? (SaUint32T)a.memory_used : UINT32_MAX;
    return SA_AIS_OK;
}
