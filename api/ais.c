/* SPDX-License-Identifier: BSD-3-Clause */
#include "api/ais.h"

#include <poll.h>

_Static_assert(SA_AIS_ERR_NO_SECTIONS == (int)CS_ERR_NO_SECTIONS, "results");

/* The values of both are the same as far as AIS has them. */
SaAisErrorT ais_error(cs_error_t error)
{
    return error <= CS_ERR_NO_SECTIONS ? (SaAisErrorT)error
                                       : SA_AIS_ERR_LIBRARY;
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

bool ais_daemon_is_gone(const struct conn *c)
{
    struct pollfd p = {.fd = c->socket, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 &&
           (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

SaAisErrorT ais_request(struct conn *c, uint32_t type, const void *body,
                        uint32_t body_size)
{
    struct ipc_reply reply = {.result = 0};
    size_t size = 0;
    cs_error_t error = conn_request(c, type, body, body_size, NULL, 0, &reply,
                                    sizeof reply, &size);

    if (error == CS_OK)
        error =
            size == sizeof reply ? conn_error(reply.result) : CS_ERR_LIBRARY;
    return ais_error(error);
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
