/* SPDX-License-Identifier: BSD-3-Clause */
/* corosync/hdb.h - the type of handles that callbacks are given. */
#ifndef COROSYNC_HDB_H
#define COROSYNC_HDB_H

#include <stdint.h>

typedef uint64_t hdb_handle_t;

#endif
