/* SPDX-License-Identifier: BSD-3-Clause */
/* corosync/corotypes.h - types common to the interfaces in corosync's form.
 * Names and values are those of corosync, for programs written to it. */
#ifndef COROSYNC_COROTYPES_H
#define COROSYNC_COROTYPES_H

#include <inttypes.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int64_t cs_time_t;
#define CS_TIME_END ((cs_time_t)0x7FFFFFFFFFFFFFFFLL)

#define CS_FALSE 0
#define CS_TRUE !CS_FALSE

#define CS_MAX_NAME_LENGTH 256
typedef struct {
    uint16_t length;
    uint8_t value[CS_MAX_NAME_LENGTH];
} cs_name_t;

typedef struct {
    char releaseCode;
    unsigned char majorVersion;
    unsigned char minorVersion;
} cs_version_t;

typedef enum {
    CS_DISPATCH_ONE = 1,            /* one callback; waits for it */
    CS_DISPATCH_ALL = 2,            /* those pending, if any; does not wait */
    CS_DISPATCH_BLOCKING = 3,       /* until the handle is finalized */
    CS_DISPATCH_ONE_NONBLOCKING = 4 /* one callback, if one is pending */
} cs_dispatch_flags_t;

#define CS_TRACK_CURRENT 0x01
#define CS_TRACK_CHANGES 0x02
#define CS_TRACK_CHANGES_ONLY 0x04

/* 1 to 27 equal SaAisErrorT. */
typedef enum {
    CS_OK = 1,
    CS_ERR_LIBRARY = 2,
    CS_ERR_VERSION = 3,
    CS_ERR_INIT = 4,
    CS_ERR_TIMEOUT = 5,
    CS_ERR_TRY_AGAIN = 6,
    CS_ERR_INVALID_PARAM = 7,
    CS_ERR_NO_MEMORY = 8,
    CS_ERR_BAD_HANDLE = 9,
    CS_ERR_BUSY = 10,
    CS_ERR_ACCESS = 11,
    CS_ERR_NOT_EXIST = 12,
    CS_ERR_NAME_TOO_LONG = 13,
    CS_ERR_EXIST = 14,
    CS_ERR_NO_SPACE = 15,
    CS_ERR_INTERRUPT = 16,
    CS_ERR_NAME_NOT_FOUND = 17,
    CS_ERR_NO_RESOURCES = 18,
    CS_ERR_NOT_SUPPORTED = 19,
    CS_ERR_BAD_OPERATION = 20,
    CS_ERR_FAILED_OPERATION = 21,
    CS_ERR_MESSAGE_ERROR = 22,
    CS_ERR_QUEUE_FULL = 23,
    CS_ERR_QUEUE_NOT_AVAILABLE = 24,
    CS_ERR_BAD_FLAGS = 25,
    CS_ERR_TOO_BIG = 26,
    CS_ERR_NO_SECTIONS = 27,
    CS_ERR_CONTEXT_NOT_FOUND = 28,
    CS_ERR_TOO_MANY_GROUPS = 30,
    CS_ERR_SECURITY = 100
} cs_error_t;

#define CS_PRI_NODE_ID PRIu32
#define CS_PRI_NODE_ID_PADDED "10" PRIu32
#define CS_PRI_RING_ID_SEQ PRIx64
#define CS_PRI_RING_ID "%" PRIx32 ".%" PRIx64

#define CS_IPC_TIMEOUT_MS -1

#define CS_TIME_MS_IN_SEC 1000ULL
#define CS_TIME_US_IN_SEC 1000000ULL
#define CS_TIME_NS_IN_SEC 1000000000ULL
#define CS_TIME_US_IN_MSEC 1000ULL
#define CS_TIME_NS_IN_MSEC 1000000ULL
#define CS_TIME_NS_IN_USEC 1000ULL

#ifdef CLOCK_MONOTONIC
/* Monotonic clock, nanoseconds. */
static inline uint64_t cs_timestamp_get(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * CS_TIME_NS_IN_SEC + (uint64_t)t.tv_nsec;
}
#endif

/* "success", the name of the constant, or "unknown error": static text. In the
 * header, so that a program needs no further library for it. */
static inline const char *cs_strerror(cs_error_t error)
{
#define CS_STRERROR_CASE(name)                                                 \
    case name:                                                                 \
        return #name
    switch ((int)error) {
    case CS_OK:
        return "success";
        CS_STRERROR_CASE(CS_ERR_LIBRARY);
        CS_STRERROR_CASE(CS_ERR_VERSION);
        CS_STRERROR_CASE(CS_ERR_INIT);
        CS_STRERROR_CASE(CS_ERR_TIMEOUT);
        CS_STRERROR_CASE(CS_ERR_TRY_AGAIN);
        CS_STRERROR_CASE(CS_ERR_INVALID_PARAM);
        CS_STRERROR_CASE(CS_ERR_NO_MEMORY);
        CS_STRERROR_CASE(CS_ERR_BAD_HANDLE);
        CS_STRERROR_CASE(CS_ERR_BUSY);
        CS_STRERROR_CASE(CS_ERR_ACCESS);
        CS_STRERROR_CASE(CS_ERR_NOT_EXIST);
        CS_STRERROR_CASE(CS_ERR_NAME_TOO_LONG);
        CS_STRERROR_CASE(CS_ERR_EXIST);
        CS_STRERROR_CASE(CS_ERR_NO_SPACE);
        CS_STRERROR_CASE(CS_ERR_INTERRUPT);
        CS_STRERROR_CASE(CS_ERR_NAME_NOT_FOUND);
        CS_STRERROR_CASE(CS_ERR_NO_RESOURCES);
        CS_STRERROR_CASE(CS_ERR_NOT_SUPPORTED);
        CS_STRERROR_CASE(CS_ERR_BAD_OPERATION);
        CS_STRERROR_CASE(CS_ERR_FAILED_OPERATION);
        CS_STRERROR_CASE(CS_ERR_MESSAGE_ERROR);
        CS_STRERROR_CASE(CS_ERR_QUEUE_FULL);
        CS_STRERROR_CASE(CS_ERR_QUEUE_NOT_AVAILABLE);
        CS_STRERROR_CASE(CS_ERR_BAD_FLAGS);
        CS_STRERROR_CASE(CS_ERR_TOO_BIG);
        CS_STRERROR_CASE(CS_ERR_NO_SECTIONS);
        CS_STRERROR_CASE(CS_ERR_CONTEXT_NOT_FOUND);
        CS_STRERROR_CASE(CS_ERR_TOO_MANY_GROUPS);
        CS_STRERROR_CASE(CS_ERR_SECURITY);
    default:
        return "unknown error";
    }
#undef CS_STRERROR_CASE
}

#ifdef __cplusplus
}
#endif

#endif
