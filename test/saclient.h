/* SPDX-License-Identifier: BSD-3-Clause */
/* saclient.h - what programs of the SA Forum's services share: names of results
 * and what to do about them. */
#ifndef TEST_SACLIENT_H
#define TEST_SACLIENT_H

#include <openais/saAis.h>

#include <stddef.h>

static inline const char *sa_error_name(SaAisErrorT error)
{
    static const char *const names[] = {
        [SA_AIS_OK] = "SA_AIS_OK",
        [SA_AIS_ERR_LIBRARY] = "SA_AIS_ERR_LIBRARY",
        [SA_AIS_ERR_VERSION] = "SA_AIS_ERR_VERSION",
        [SA_AIS_ERR_INIT] = "SA_AIS_ERR_INIT",
        [SA_AIS_ERR_TIMEOUT] = "SA_AIS_ERR_TIMEOUT",
        [SA_AIS_ERR_TRY_AGAIN] = "SA_AIS_ERR_TRY_AGAIN",
        [SA_AIS_ERR_INVALID_PARAM] = "SA_AIS_ERR_INVALID_PARAM",
        [SA_AIS_ERR_NO_MEMORY] = "SA_AIS_ERR_NO_MEMORY",
        [SA_AIS_ERR_BAD_HANDLE] = "SA_AIS_ERR_BAD_HANDLE",
        [SA_AIS_ERR_BUSY] = "SA_AIS_ERR_BUSY",
        [SA_AIS_ERR_ACCESS] = "SA_AIS_ERR_ACCESS",
        [SA_AIS_ERR_NOT_EXIST] = "SA_AIS_ERR_NOT_EXIST",
        [SA_AIS_ERR_NAME_TOO_LONG] = "SA_AIS_ERR_NAME_TOO_LONG",
        [SA_AIS_ERR_EXIST] = "SA_AIS_ERR_EXIST",
        [SA_AIS_ERR_NO_SPACE] = "SA_AIS_ERR_NO_SPACE",
        [SA_AIS_ERR_INTERRUPT] = "SA_AIS_ERR_INTERRUPT",
        [SA_AIS_ERR_NO_RESOURCES] = "SA_AIS_ERR_NO_RESOURCES",
        [SA_AIS_ERR_NOT_SUPPORTED] = "SA_AIS_ERR_NOT_SUPPORTED",
        [SA_AIS_ERR_BAD_OPERATION] = "SA_AIS_ERR_BAD_OPERATION",
        [SA_AIS_ERR_FAILED_OPERATION] = "SA_AIS_ERR_FAILED_OPERATION",
        [SA_AIS_ERR_BAD_FLAGS] = "SA_AIS_ERR_BAD_FLAGS",
        [SA_AIS_ERR_TOO_BIG] = "SA_AIS_ERR_TOO_BIG",
        [SA_AIS_ERR_NO_SECTIONS] = "SA_AIS_ERR_NO_SECTIONS"};
    if ((size_t)error < sizeof names / sizeof *names && names[error] != NULL)
        return names[error];
    return "?";
}

/* What a newcomer should do about a refused saXxxInitialize(). */
static inline const char *sa_error_remedy(SaAisErrorT error)
{
    if (error == SA_AIS_ERR_TRY_AGAIN || error == SA_AIS_ERR_LIBRARY)
        return "is aisexec running? (OPENAIS_RUNDIR names its run directory)";
    if (error == SA_AIS_ERR_ACCESS)
        return "only root and members of the group ais may connect";
    return "see the log of aisexec";
}

#endif
