/* SPDX-License-Identifier: BSD-3-Clause */
/* openais/a01/ais_types.h - what programs of 2005 include as ais_types.h before
 * saClm.h, saCkpt.h or saEvt.h: saAis.h, and the results of the A.01
 * interfaces. Compile such a program with -I<prefix>/include/openais/a01 beside
 * -I<prefix>/include/openais.
 *
 * Functions of B.01 give SaAisErrorT. Up to 16 the results of both mean the
 * same; from 17 on they are numbered differently, so never take one for the
 * other. The fields of SaVersionT that openais of 2005 named `major` and
 * `minor` are majorVersion and minorVersion; {'B', 1, 1} works with both. */
#ifndef OPENAIS_A01_AIS_TYPES_H
#define OPENAIS_A01_AIS_TYPES_H

#include "../saAis.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    SA_OK = 1,
    SA_ERR_LIBRARY = 2,
    SA_ERR_VERSION = 3,
    SA_ERR_INIT = 4,
    SA_ERR_TIMEOUT = 5,
    SA_ERR_TRY_AGAIN = 6,
    SA_ERR_INVALID_PARAM = 7,
    SA_ERR_NO_MEMORY = 8,
    SA_ERR_BAD_HANDLE = 9,
    SA_ERR_BUSY = 10,
    SA_ERR_ACCESS = 11,
    SA_ERR_NOT_EXIST = 12,
    SA_ERR_NAME_TOO_LONG = 13,
    SA_ERR_EXIST = 14,
    SA_ERR_NO_SPACE = 15,
    SA_ERR_INTERRUPT = 16,
    SA_ERR_SYSTEM = 17,
    SA_ERR_NAME_NOT_FOUND = 18,
    SA_ERR_NO_RESOURCES = 19,
    SA_ERR_NOT_SUPPORTED = 20,
    SA_ERR_BAD_OPERATION = 21,
    SA_ERR_FAILED_OPERATION = 22,
    SA_ERR_MESSAGE_ERROR = 23,
    SA_ERR_NO_MESSAGE = 24,
    SA_ERR_QUEUE_FULL = 25,
    SA_ERR_QUEUE_NOT_AVAILABLE = 26,
    SA_ERR_BAD_CHECKPOINT = 27,
    SA_ERR_BAD_FLAGS = 28
} SaErrorT;

#ifdef __cplusplus
}
#endif

#endif
