/* SPDX-License-Identifier: BSD-3-Clause */
/* saNtf.h - of the notification service only the types that other services'
 * interfaces use (SAI-AIS-NTF). There is no such service here. */
#ifndef OPENAIS_SANTF_H
#define OPENAIS_SANTF_H

#include "saAis.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef SaUint64T SaNtfIdentifierT;

#define SA_NTF_IDENTIFIER_UNUSED ((SaNtfIdentifierT)0)

typedef struct {
    SaNtfIdentifierT rootCorrelationId;
    SaNtfIdentifierT parentCorrelationId;
    SaNtfIdentifierT notificationId;
} SaNtfCorrelationIdsT;

#ifdef __cplusplus
}
#endif

#endif
