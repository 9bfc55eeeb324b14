// SPDX-License-Identifier: BSD-3-Clause
// One thing at a time with checkpoints, for the cluster tests. Its status: 0,
// it is so; 1, it is not; 2, it cannot be said.
#include "test/saclient.h"

#include <openais/saCkpt.h>

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: ckptprobe keep NAME S        makes it and closes it: kept for S s\n"
    "       ckptprobe expire NAME ID S   makes a section that expires in S s\n"
    "       ckptprobe there NAME [ID]    is the checkpoint, the section "
    "there?\n"
    "       ckptprobe lock               all its memory locked, opens CKPT\n"
    "       ckptprobe look               reads all memory that it has\n"
    "       ckptprobe crash              dumps core\n";

static SaCkptHandleT service;

static void must(const char *what, SaAisErrorT error)
{
    if (error == SA_AIS_OK)
        return;
    fprintf(stderr, "ckptprobe: %s: %s\n", what, sa_error_name(error));
    exit(2);
}

static void initialize(void)
{
    SaVersionT version = {'B', 1, 1};

    must("saCkptInitialize", saCkptInitialize(&service, NULL, &version));
}

/* As soon as the daemon is up to date. */
static SaAisErrorT open_it(const char *name, SaTimeT retention, bool create,
                           SaCkptCheckpointHandleT *handle)
{
    SaCkptCheckpointCreationAttributesT a = {.creationFlags =
                                                 SA_CKPT_WR_ALL_REPLICAS,
                                             .checkpointSize = 10 * 1024,
                                             .retentionDuration = retention,
                                             .maxSections = 10,
                                             .maxSectionSize = 1024,
                                             .maxSectionIdSize = 16};
    SaCkptCheckpointOpenFlagsT flags =
        SA_CKPT_CHECKPOINT_READ |
        (create ? SA_CKPT_CHECKPOINT_WRITE | SA_CKPT_CHECKPOINT_CREATE : 0);
    SaNameT n = {.length = (SaUint16T)strlen(name)};
    SaAisErrorT error = SA_AIS_ERR_TRY_AGAIN;

    memcpy(n.value, name, n.length);
    for (int i = 0; i < 500 && error == SA_AIS_ERR_TRY_AGAIN; i++) {
        error = saCkptCheckpointOpen(service, &n, create ? &a : NULL, flags,
                                     SA_TIME_ONE_SECOND, handle);
        if (error == SA_AIS_ERR_TRY_AGAIN)
            usleep(10000);
    }
    return error;
}

static SaTimeT seconds(const char *text)
{
    return (SaTimeT)(strtod(text, NULL) * 1e9);
}

static int keep(char **arg)
{
    SaCkptCheckpointHandleT handle;

    must("open", open_it(arg[0], seconds(arg[1]), true, &handle));
    must("close", saCkptCheckpointClose(handle));
    return 0;
}

static SaCkptSectionIdT id_of(char *text)
{
    return (SaCkptSectionIdT){.idLen = (SaUint16T)strlen(text),
                              .id = (SaUint8T *)text};
}

static int expire(char **arg)
{
    SaCkptSectionIdT id = id_of(arg[1]);
    SaCkptSectionCreationAttributesT a = {.sectionId = &id};
    SaCkptCheckpointHandleT handle;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    a.expirationTime =
        now.tv_sec * SA_TIME_ONE_SECOND + now.tv_nsec + seconds(arg[2]);
    must("open", open_it(arg[0], SA_TIME_END, true, &handle));
    must("create", saCkptSectionCreate(handle, &a, "x", 1));
    return 0;
}

static int there(char **arg)
{
    SaCkptCheckpointHandleT handle;
    SaAisErrorT error = open_it(arg[0], 0, false, &handle);
    char byte[4];
    SaCkptIOVectorElementT e = {.dataBuffer = byte, .dataSize = sizeof byte};

    if (error == SA_AIS_OK && arg[1] != NULL) {
        e.sectionId = id_of(arg[1]);
        error = saCkptCheckpointRead(handle, &e, 1, NULL);
    }
    if (error == SA_AIS_ERR_NOT_EXIST)
        return 1;
    must("there", error);
    return 0;
}

/* --- memory --------------------------------------------------------------- */

/* A byte of each page that may be read; their sum. */
static unsigned look(void)
{
    unsigned sum = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long begin, end;
    char line[512], access[8];

    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &begin, &end, access) != 3 ||
            access[0] != 'r' || strstr(line, "[v") != NULL)
            continue;
        for (unsigned long at = begin; at < end; at += 4096)
            sum += *(const unsigned char *)at;
    }
    return sum;
}

static int memory(const char *what)
{
    if (strcmp(what, "lock") == 0 && mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        perror("ckptprobe: mlockall");
        return 2;
    }
    initialize();
    if (strcmp(what, "lock") == 0) /* what is there now, too */
        mlockall(MCL_CURRENT);
    else if (strcmp(what, "look") == 0)
        printf("%u\n", look());
    else
        raise(SIGSEGV);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    char **arg = argv + 2;

    if (argc == 2 && (strcmp(what, "lock") == 0 || strcmp(what, "look") == 0 ||
                      strcmp(what, "crash") == 0))
        return memory(what);
    if (argc == 4 && strcmp(what, "keep") == 0) {
        initialize();
        return keep(arg);
    }
    if (argc == 5 && strcmp(what, "expire") == 0) {
        initialize();
        return expire(arg);
    }
    if ((argc == 3 || argc == 4) && strcmp(what, "there") == 0) {
        initialize();
        return there(arg);
    }
    fputs(usage, stderr);
    return 2;
}
