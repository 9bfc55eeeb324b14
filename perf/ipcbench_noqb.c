/* SPDX-License-Identifier: BSD-3-Clause */
/* ipcbench_noqb.c - in the stead of ipcbench_qb.c where libqb is missing. */
#include "perf/ipcbench.h"

bool qb_available(void)
{
    skip("libqb: the package libqb-dev was not installed at build time");
    return false;
}

/* Nobody calls the rest without it. */
static _Noreturn void missing(void)
{
    fail("libqb is not there");
}

void qb_start(bool shared_memory, enum place where)
{
    (void)shared_memory;
    (void)where;
    missing();
}

void qb_stop(void)
{
    missing();
}

pid_t qb_pid(void)
{
    missing();
}

bool qb_call(void *payload)
{
    (void)payload;
    missing();
}

double qb_stream(size_t size)
{
    (void)size;
    missing();
}

double qb_events(size_t size)
{
    (void)size;
    missing();
}

bool section_libqb(void)
{
    return qb_available();
}
