/* SPDX-License-Identifier: BSD-3-Clause */
/* saAis.h - types, constants and results common to the AIS services of the
 * Service Availability Forum (SAI-AIS, B.01.01 to B.05.01). There is nothing to
 * link with for this header alone.
 *
 * The 32-bit types are `int`: the Forum's own first header had `long`, which is
 * twice as large on 64-bit machines, and nobody kept that. The 64-bit types are
 * `long long` everywhere, so print them with %lld and %llu.
 *
 * Not here: extended names (SA_EXTENDED_NAME_SOURCE, saAisNameLend()). A name
 * has at most SA_MAX_NAME_LENGTH bytes. */
#ifndef OPENAIS_SAAIS_H
#define OPENAIS_SAAIS_H

#ifdef __cplusplus
extern "C" {
#endif

/* --- scalars -------------------------------------------------------------- */

typedef char SaInt8T; /* plain: unsigned on some machines */
typedef short SaInt16T;
typedef int SaInt32T;
typedef long long SaInt64T;
typedef unsigned char SaUint8T;
typedef unsigned short SaUint16T;
typedef unsigned int SaUint32T;
typedef unsigned long long SaUint64T;
typedef float SaFloatT;
typedef double SaDoubleT;
typedef char *SaStringT;
typedef const char *SaConstStringT;

/* Nanoseconds; an absolute time counts from the epoch, UTC. */
typedef SaInt64T SaTimeT;

/* Joins a callback to the call that asked for it. */
typedef SaUint64T SaInvocationT;
typedef SaUint64T SaSizeT;
typedef SaUint64T SaOffsetT;

/* A file descriptor for poll(2), select(2), epoll(7): cast it to int. It is
 * readable when a callback is pending or the daemon is gone. It belongs to the
 * library: never read, write or close it. */
typedef SaUint64T SaSelectionObjectT;

typedef enum { SA_FALSE = 0, SA_TRUE = 1 } SaBoolT;

/* --- constants ------------------------------------------------------------ */

#define SA_TIME_END ((SaTimeT)0x7FFFFFFFFFFFFFFFLL)
#define SA_TIME_BEGIN ((SaTimeT)0)
#define SA_TIME_UNKNOWN ((SaTimeT)0x8000000000000000LL)
#define SA_TIME_ONE_MICROSECOND ((SaTimeT)1000LL)
#define SA_TIME_ONE_MILLISECOND ((SaTimeT)1000000LL)
#define SA_TIME_ONE_SECOND ((SaTimeT)1000000000LL)
#define SA_TIME_ONE_MINUTE ((SaTimeT)60000000000LL)
#define SA_TIME_ONE_HOUR ((SaTimeT)3600000000000LL)
#define SA_TIME_ONE_DAY ((SaTimeT)86400000000000LL)
#define SA_TIME_MAX SA_TIME_END

#define SA_MAX_NAME_LENGTH 256

/* Never a handle of any service. */
#define SA_HANDLE_INVALID 0

/* What to track, an or of these. */
#define SA_TRACK_CURRENT 0x01      /* what is now, once */
#define SA_TRACK_CHANGES 0x02      /* at each change: everything */
#define SA_TRACK_CHANGES_ONLY 0x04 /* at each change: what has changed */
#define SA_TRACK_LOCAL 0x08        /* the own node alone */
#define SA_TRACK_START_STEP 0x10
#define SA_TRACK_VALIDATE_STEP 0x20

typedef enum {
    SA_DISPATCH_ONE = 1,     /* one callback, if one is pending; never waits */
    SA_DISPATCH_ALL = 2,     /* those pending, if any; never waits */
    SA_DISPATCH_BLOCKING = 3 /* until the handle is finalized */
} SaDispatchFlagsT;

/* --- structures ----------------------------------------------------------- */

/* Not terminated; `length` of the bytes count, at most SA_MAX_NAME_LENGTH. */
typedef struct {
    SaUint16T length;
    SaUint8T value[SA_MAX_NAME_LENGTH];
} SaNameT;

/* The release code is an upper-case letter: {'B', 1, 1}. */
typedef struct {
    SaUint8T releaseCode;
    SaUint8T majorVersion;
    SaUint8T minorVersion;
} SaVersionT;

typedef struct {
    SaSizeT bufferSize; /* bytes */
    SaUint8T *bufferAddr;
} SaAnyT;

typedef union {
    SaInt64T int64Value;
    SaUint64T uint64Value;
    SaTimeT timeValue;
    SaFloatT floatValue;
    SaDoubleT doubleValue;
} SaLimitValueT;

/* --- results -------------------------------------------------------------- */

/* 1 to 27 are those of B.01; up to 29 came with B.02, the others later. */
typedef enum {
    SA_AIS_OK = 1,
    SA_AIS_ERR_LIBRARY = 2, /* the daemon is gone: finalize, initialize again */
    SA_AIS_ERR_VERSION = 3,
    SA_AIS_ERR_INIT = 4, /* the callback for this was not given */
    SA_AIS_ERR_TIMEOUT = 5,
    SA_AIS_ERR_TRY_AGAIN = 6, /* not now; later the same call may succeed */
    SA_AIS_ERR_INVALID_PARAM = 7,
    SA_AIS_ERR_NO_MEMORY = 8,
    SA_AIS_ERR_BAD_HANDLE = 9,
    SA_AIS_ERR_BUSY = 10,
    SA_AIS_ERR_ACCESS = 11, /* this user may not */
    SA_AIS_ERR_NOT_EXIST = 12,
    SA_AIS_ERR_NAME_TOO_LONG = 13,
    SA_AIS_ERR_EXIST = 14,
    SA_AIS_ERR_NO_SPACE = 15,
    SA_AIS_ERR_INTERRUPT = 16,
    SA_AIS_ERR_NAME_NOT_FOUND = 17,
    SA_AIS_ERR_NO_RESOURCES = 18,
    SA_AIS_ERR_NOT_SUPPORTED = 19,
    SA_AIS_ERR_BAD_OPERATION = 20,
    SA_AIS_ERR_FAILED_OPERATION = 21,
    SA_AIS_ERR_MESSAGE_ERROR = 22,
    SA_AIS_ERR_QUEUE_FULL = 23,
    SA_AIS_ERR_QUEUE_NOT_AVAILABLE = 24,
    SA_AIS_ERR_BAD_FLAGS = 25,
    SA_AIS_ERR_TOO_BIG = 26,
    SA_AIS_ERR_NO_SECTIONS = 27,
    SA_AIS_ERR_NO_OP = 28,
    SA_AIS_ERR_REPAIR_PENDING = 29,
    SA_AIS_ERR_NO_BINDINGS = 30,
    SA_AIS_ERR_UNAVAILABLE = 31,
    SA_AIS_ERR_CAMPAIGN_ERROR_DETECTED = 32,
    SA_AIS_ERR_CAMPAIGN_PROC_FAILED = 33,
    SA_AIS_ERR_CAMPAIGN_CANCELED = 34,
    SA_AIS_ERR_CAMPAIGN_FAILED = 35,
    SA_AIS_ERR_CAMPAIGN_SUSPENDED = 36,
    SA_AIS_ERR_CAMPAIGN_SUSPENDING = 37,
    SA_AIS_ERR_ACCESS_DENIED = 38,
    SA_AIS_ERR_NOT_READY = 39,
    SA_AIS_ERR_DEPLOYMENT = 40,
    SA_AIS_ERR_SECURITY = 100 /* openais 1.1 gave it for ACCESS; we never do */
} SaAisErrorT;

/* No function takes it. LOG is spelt as in the Forum's header. */
typedef enum {
    SA_SVC_HPI = 1,
    SA_SVC_AMF = 2,
    SA_SVC_CLM = 3,
    SA_SVC_CKPT = 4,
    SA_SVC_EVT = 5,
    SA_SVC_MSG = 6,
    SA_SVC_LCK = 7,
    SA_SVC_IMMS = 8,
    SA_SCV_LOG = 9,
    SA_SVC_NTF = 10,
    SA_SVC_NAM = 11,
    SA_SVC_TMR = 12,
    SA_SVC_SMF = 13,
    SA_SVC_SEC = 14,
    SA_SVC_PLM = 15
} SaServicesT;

#ifdef __cplusplus
}
#endif

#endif
