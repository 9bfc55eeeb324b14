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

/* A request, of which all is filled in but the answer. That is `size` bytes,
 * which begin with a struct ipc_reply; its result is what is returned. */
SaAisErrorT ais_request(struct conn *c, struct conn_call *call, void *reply,
                        size_t size);

/* A query, of which all is filled in but the first part of the answer: that
 * gets `size` bytes, which begin with a struct ipc_reply. *rest is how many
 * bytes have come behind them. */
SaAisErrorT ais_query(struct conn *c, struct conn_call *call, void *answer,
                      size_t size, size_t *rest);

/* The flags of saXxxDispatch(), to be looked at before its handle; or
 * SA_AIS_ERR_INVALID_PARAM. */
SaAisErrorT ais_dispatch_flags(SaDispatchFlagsT from, cs_dispatch_flags_t *to);

/* conn_dispatch(); that nothing is pending is no error. */
SaAisErrorT ais_dispatch(struct conn *c, cs_dispatch_flags_t flags,
                         conn_event_fn deliver, void *context);

#endif
