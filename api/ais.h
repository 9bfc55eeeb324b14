/* SPDX-License-Identifier: BSD-3-Clause */
/* ais.h - what the libraries of the SA Forum's services share beyond library.h:
 * the functions that each of them has, requests, results. */
#ifndef API_AIS_H
#define API_AIS_H

#include "api/library.h"

#include <openais/saAis.h>

/* The connection's result, as AIS calls it; LIBRARY, if AIS has no such. */
SaAisErrorT ais_error(cs_error_t error);

/* What programs may ask for: the release code of `supported`, and a major
 * version from major_min to that of `supported`. */
struct ais_versions {
    SaUint8T major_min;
    SaVersionT supported;
};

/* The functions that each service has. `given` is for the library's init(). */
SaAisErrorT ais_initialize(const struct library *l, struct ais_versions v,
                           const void *given, SaUint64T *handle,
                           SaVersionT *version);
SaAisErrorT ais_finalize(const struct library *l, SaUint64T handle);
SaAisErrorT ais_selection_object_get(const struct library *l, SaUint64T handle,
                                     SaSelectionObjectT *object);
SaAisErrorT ais_dispatch(const struct library *l, SaUint64T handle,
                         SaDispatchFlagsT flags);

/* A request, of which all is filled in but the answer. That is `size` bytes,
 * which begin with a struct ipc_reply; its result is what is returned. */
SaAisErrorT ais_request(struct conn *c, struct conn_call *call, void *reply,
                        size_t size);

/* A query, of which all is filled in but the first part of the answer: that
 * gets `size` bytes, which begin with a struct ipc_reply. *rest is how many
 * bytes have come behind them. */
SaAisErrorT ais_query(struct conn *c, struct conn_call *call, void *answer,
                      size_t size, size_t *rest);

/* Programs are compiled to these layouts, bytes on 64-bit machines. */
#define ABI_SIZE(type, size)                                                   \
    _Static_assert(sizeof(long) != 8 || sizeof(type) == (size), #type)
#define ABI_AT(type, field, offset)                                            \
    _Static_assert(sizeof(long) != 8 || offsetof(type, field) == (offset),     \
                   #type "." #field)

#endif
