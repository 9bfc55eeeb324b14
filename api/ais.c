/* SPDX-License-Identifier: BSD-3-Clause */
/* ais.c - the interface functions that all services of the SA Forum have. */
#include "api/ais.h"

#include <string.h>

ABI_SIZE(SaNameT, 258);
ABI_SIZE(SaVersionT, 3);
ABI_SIZE(SaAnyT, 16);
ABI_SIZE(SaLimitValueT, 8);
ABI_SIZE(SaBoolT, 4);

_Static_assert(SA_AIS_ERR_NO_SECTIONS == (int)CS_ERR_NO_SECTIONS, "results");

/* The values of both are the same as far as AIS has them. */
SaAisErrorT ais_error(cs_error_t error)
{
    return error <= CS_ERR_NO_SECTIONS ? (SaAisErrorT)error
                                       : SA_AIS_ERR_LIBRARY;
}

/* --- life cycle ----------------------------------------------------------- */

static bool version_ok(const SaVersionT *version, struct ais_versions v)
{
    return version->releaseCode == v.supported.releaseCode &&
           version->majorVersion >= v.major_min &&
           version->majorVersion <= v.supported.majorVersion;
}

SaAisErrorT ais_initialize(const struct library *l, struct ais_versions v,
                           const void *given, SaUint64T *handle,
                           SaVersionT *version)
{
    uint64_t number;
    cs_error_t error;

    if (handle == NULL || version == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    if (!version_ok(version, v)) {
        *version = v.supported;
        return SA_AIS_ERR_VERSION;
    }
    error =
        library_open(l, (struct conn_rings){.submit_bytes = 0}, given, &number);
    if (error == CS_OK) {
        *handle = number;
        *version = v.supported;
    }
    /* A daemon of another version does not speak of the interface's. */
    return error == CS_ERR_VERSION ? SA_AIS_ERR_LIBRARY : ais_error(error);
}

SaAisErrorT ais_finalize(const struct library *l, SaUint64T handle)
{
    return ais_error(library_finalize(l, handle));
}

SaAisErrorT ais_selection_object_get(const struct library *l, SaUint64T handle,
                                     SaSelectionObjectT *object)
{
    HELD struct conn *c = NULL;

    if (object == NULL)
        return SA_AIS_ERR_INVALID_PARAM;
    c = handle_get(handle, l);
    if (c == NULL)
        return SA_AIS_ERR_BAD_HANDLE;
    if (conn_is_dead(c))
        return SA_AIS_ERR_LIBRARY;
    *object = (SaSelectionObjectT)c->socket;
    return SA_AIS_OK;
}

/* False: there is no such flag. */
static bool flags_of(SaDispatchFlagsT from, cs_dispatch_flags_t *to)
{
    switch (from) {
    case SA_DISPATCH_ONE:
        *to = CS_DISPATCH_ONE_NONBLOCKING;
        return true;
    case SA_DISPATCH_ALL:
        *to = CS_DISPATCH_ALL;
        return true;
    case SA_DISPATCH_BLOCKING:
        *to = CS_DISPATCH_BLOCKING;
        return true;
    }
    return false;
}

SaAisErrorT ais_dispatch(const struct library *l, SaUint64T handle,
                         SaDispatchFlagsT flags)
{
    HELD struct conn *c = NULL;
    cs_dispatch_flags_t how;
    cs_error_t error;

    if (!flags_of(flags, &how))
        return SA_AIS_ERR_INVALID_PARAM;
    c = handle_get(handle, l);
    if (c == NULL)
        return SA_AIS_ERR_BAD_HANDLE;
    error = library_dispatch(c, how);
    /* That nothing is pending is no error. */
    return error == CS_ERR_TRY_AGAIN ? SA_AIS_OK : ais_error(error);
}

/* --- requests and queries ------------------------------------------------- */

/* The result that an answer begins with. */
static SaAisErrorT reply_error(const void *answer)
{
    struct ipc_reply reply;

    memcpy(&reply, answer, sizeof reply);
    return ais_error(conn_error(reply.result));
}

SaAisErrorT ais_request(struct conn *c, struct conn_call *call, void *reply,
                        size_t size)
{
    cs_error_t error;

    call->answer[0] = (struct iovec){reply, size};
    error = conn_request(c, call);
    if (error == CS_ERR_TOO_BIG)
        return SA_AIS_ERR_NO_RESOURCES; /* larger than the ring */
    if (error != CS_OK)
        return ais_error(error);
    return call->answer_size == size ? reply_error(reply) : SA_AIS_ERR_LIBRARY;
}

SaAisErrorT ais_query(struct conn *c, struct conn_call *call, void *answer,
                      size_t size, size_t *rest)
{
    cs_error_t error;

    conn_take_late(c);
    call->answer[0] = (struct iovec){answer, size};
    error = conn_query(c, call);
    if (error != CS_OK)
        return ais_error(error);
    if (call->answer_size < sizeof(struct ipc_reply))
        return SA_AIS_ERR_LIBRARY;
    if (reply_error(answer) != SA_AIS_OK)
        return reply_error(answer);
    if (call->answer_size < size)
        return SA_AIS_ERR_LIBRARY;
    *rest = call->answer_size - size;
    return SA_AIS_OK;
}
