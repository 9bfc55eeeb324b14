/* SPDX-License-Identifier: BSD-3-Clause */
/* ais.h - what the libraries of the SA Forum's services share beyond client.h:
 * results, versions, requests, dispatching. */
#ifndef API_AIS_H
#define API_AIS_H

#include "api/client.h"

#include <openais/saAis.h>

/* The connection's result, as AIS calls it; LIBRARY, if AIS has no such. */
SaAisErrorT ais_error(cs_error_t error);

/* True: the program's version is `supported`, or of an older major version of
 * the same release code, from major_min on. Else *version becomes what is
 * supported. */
bool ais_version_agree(SaVersionT *version, SaUint8T major_min,
                       SaVersionT supported);

/* conn_open() with the daemon's default rings. */
SaAisErrorT ais_open(struct conn *c, enum ipc_service service);

/* Looks at the socket: for functions that never ask the daemon. */
bool ais_daemon_is_gone(const struct conn *c);

/* A request that is answered by its result alone. */
SaAisErrorT ais_request(struct conn *c, uint32_t type, const void *body,
                        uint32_t body_size);

/* The flags of saXxxDispatch(), to be looked at before its handle; or
 * SA_AIS_ERR_INVALID_PARAM. */
SaAisErrorT ais_dispatch_flags(SaDispatchFlagsT from, cs_dispatch_flags_t *to);

/* conn_dispatch(); that nothing is pending is no error. */
SaAisErrorT ais_dispatch(struct conn *c, cs_dispatch_flags_t flags,
                         conn_event_fn deliver, void *context);

#endif
