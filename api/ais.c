/* SPDX-License-Identifier: BSD-3-Clause */
#include "api/ais.h"

#include <string.h>

_Static_assert(SA_AIS_ERR_NO_SECTIONS == (int)CS_ERR_NO_SECTIONS, "results");

/* The values of both are the same as far as AIS has them. */
SaAisErrorT ais_error(cs_error_t error)
{
    return error <= CS_ERR_NO_SECTIONS ? (SaAisErrorT)error
                                       : SA_AIS_ERR_LIBRARY;
}

/* The result that an answer begins with. */
static SaAisErrorT reply_error(const void *answer)
{
    struct ipc_reply reply;

    memcpy(&reply, answer, sizeof reply);
    return ais_error(conn_error(reply.result));
}

bool ais_version_agree(SaVersionT *version, SaUint8T major_min,
                       SaVersionT supported)
{
    if (version->releaseCode == supported.releaseCode &&
        version->majorVersion >= major_min &&
        version->majorVersion <= supported.majorVersion)
        return true;
    *version = supported;
    return false;
}

SaAisErrorT ais_open(struct conn *c, enum ipc_service service)
{
    cs_error_t error =
        conn_open(c, service, (struct conn_rings){.submit_bytes = 0});

    /* Another version of the daemon, not of the interface. */
    return error == CS_ERR_VERSION ? SA_AIS_ERR_LIBRARY : ais_error(error);
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

SaAisErrorT ais_dispatch_flags(SaDispatchFlagsT from, cs_dispatch_flags_t *to)
{
    switch (from) {
    case SA_DISPATCH_ONE:
        *to = CS_DISPATCH_ONE_NONBLOCKING;
        return SA_AIS_OK;
    case SA_DISPATCH_ALL:
        *to = CS_DISPATCH_ALL;
        return SA_AIS_OK;
    case SA_DISPATCH_BLOCKING:
        *to = CS_DISPATCH_BLOCKING;
        return SA_AIS_OK;
    default:
        return SA_AIS_ERR_INVALID_PARAM;
    }
}

SaAisErrorT ais_dispatch(struct conn *c, cs_dispatch_flags_t flags,
                         conn_event_fn deliver, void *context)
{
    cs_error_t error = conn_dispatch(c, flags, deliver, context);

    return error == CS_ERR_TRY_AGAIN ? SA_AIS_OK : ais_error(error);
}
