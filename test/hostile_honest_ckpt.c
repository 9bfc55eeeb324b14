/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile_honest_ckpt.c - the honest user of checkpoints in the hostile test:
 * what it writes is what it reads, always, and soon. */
#include "test/hostile.h"

#include <openais/saCkpt.h>

enum { SECTIONS = 5 };

static const SaSizeT sizes[SECTIONS] = {1, 100, 16368, 40000, 200000};
static uint8_t *plain[SECTIONS], *got;
static SaCkptHandleT service;
static SaCkptCheckpointHandleT checkpoint;

static void must(const char *what, SaAisErrorT e)
{
    if (e != SA_AIS_OK)
        fail("%s: error %d", what, (int)e);
}

/* Others stand at the door too. */
static void come_in(void)
{
    const uint64_t end = now_ns() + CONNECT_PATIENCE * 1000000000ull;
    SaVersionT version = {'B', 1, 1};
    SaAisErrorT e;

    while ((e = saCkptInitialize(&service, NULL, &version)) != SA_AIS_OK) {
        if ((e != SA_AIS_ERR_TRY_AGAIN && e != SA_AIS_ERR_NO_RESOURCES) ||
            now_ns() > end)
            fail("saCkptInitialize: error %d", (int)e);
        version = (SaVersionT){'B', 1, 1};
        pause_us(5000);
    }
}

static SaCkptSectionIdT id_of(unsigned i)
{
    static SaUint8T ids[SECTIONS][2];

    ids[i][0] = 's';
    ids[i][1] = (SaUint8T)i;
    return (SaCkptSectionIdT){.idLen = 2, .id = ids[i]};
}

static void begin(void)
{
    SaNameT name = {.length = SECRET_SIZE};
    const SaCkptCheckpointCreationAttributesT a = {.creationFlags =
                                                       SA_CKPT_WR_ALL_REPLICAS,
                                                   .checkpointSize = 1000000,
                                                   .retentionDuration = 0,
                                                   .maxSections = SECTIONS,
                                                   .maxSectionSize = 200000,
                                                   .maxSectionIdSize = 2};
    SaAisErrorT e = SA_AIS_ERR_TRY_AGAIN;

    memcpy(name.value, shared->secret, SECRET_SIZE);
    for (int i = 0; i < 500 && e == SA_AIS_ERR_TRY_AGAIN; i++) {
        e = saCkptCheckpointOpen(service, &name, &a,
                                 SA_CKPT_CHECKPOINT_CREATE |
                                     SA_CKPT_CHECKPOINT_READ |
                                     SA_CKPT_CHECKPOINT_WRITE,
                                 SA_TIME_END, &checkpoint);
        pause_us(10000); /* the ring may just be forming */
    }
    must("saCkptCheckpointOpen", e);
    for (unsigned i = 0; i < SECTIONS; i++) {
        SaCkptSectionIdT id = id_of(i);
        SaCkptSectionCreationAttributesT s = {.sectionId = &id,
                                              .expirationTime = SA_TIME_END};
        plain[i] = calloc(1, sizes[i]);
        if (plain[i] == NULL)
            fail("no memory");
        must("saCkptSectionCreate",
             saCkptSectionCreate(checkpoint, &s, plain[i], sizes[i]));
    }
    got = malloc(200000);
    if (got == NULL)
        fail("no memory");
}

static void change(uint8_t *at, SaSizeT n)
{
    memset(at, (int)below(256), n);
    for (SaSizeT k = 0; k < n; k += 1 + below(500))
        at[k] = (uint8_t)rnd();
}

static void write_one(unsigned i)
{
    SaCkptSectionIdT id = id_of(i);
    SaCkptIOVectorElementT v = {.sectionId = id};
    SaUint32T wrong;

    if (below(3) == 0) {
        change(plain[i], sizes[i]);
        must("saCkptSectionOverwrite",
             saCkptSectionOverwrite(checkpoint, &id, plain[i], sizes[i]));
        return;
    }
    v.dataOffset = below((uint32_t)sizes[i]);
    v.dataSize = 1 + below((uint32_t)(sizes[i] - v.dataOffset));
    change(plain[i] + v.dataOffset, v.dataSize);
    v.dataBuffer = plain[i] + v.dataOffset;
    must("saCkptCheckpointWrite",
         saCkptCheckpointWrite(checkpoint, &v, 1, &wrong));
}

static void read_one(unsigned i)
{
    SaCkptIOVectorElementT v = {
        .sectionId = id_of(i), .dataBuffer = got, .dataSize = sizes[i]};
    SaUint32T wrong;

    memset(got, 0, sizes[i]);
    must("saCkptCheckpointRead",
         saCkptCheckpointRead(checkpoint, &v, 1, &wrong));
    if (v.readSize != sizes[i] || memcmp(got, plain[i], sizes[i]) != 0)
        fail("section %u is not what was written: %llu of %llu bytes", i,
             (unsigned long long)v.readSize, (unsigned long long)sizes[i]);
}

static void check_status(void)
{
    SaCkptCheckpointDescriptorT d;

    must("saCkptCheckpointStatusGet",
         saCkptCheckpointStatusGet(checkpoint, &d));
    if (d.numberOfSections != SECTIONS)
        fail("%u sections", (unsigned)d.numberOfSections);
}

/* A round is a write and its reading back. */
static void one_round(void)
{
    uint64_t from = now_ns();
    unsigned i = below(SECTIONS);

    write_one(i);
    read_one(i);
    if (now_ns() - from > self->max_ns)
        self->max_ns = now_ns() - from;
    read_one(below(SECTIONS)); /* one that nobody has touched since */
    if (self->rounds % 16 == 0)
        check_status();
    self->rounds++;
}

void honest_ckpt(void)
{
    come_in();
    begin();
    self->state = READY;
    while (!shared->go)
        pause_us(5000);
    while (!shared->finish) {
        one_round();
        pause_us(self->rounds % 8 == 0 ? 50000 : 3000);
    }
    for (unsigned i = 0; i < SECTIONS; i++)
        read_one(i);
    must("saCkptFinalize", saCkptFinalize(service));
}
