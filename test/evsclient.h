/* SPDX-License-Identifier: BSD-3-Clause */
/* evsclient.h - what the test and benchmark clients share: clocks, hints
 * for errors, latency histograms, numbers on the command line. */
#ifndef TEST_EVSCLIENT_H
#define TEST_EVSCLIENT_H

#include <corosync/corotypes.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* What a newcomer should do about a refused evs_initialize(). */
static inline const char *error_remedy(cs_error_t error)
{
    if (error == CS_ERR_TRY_AGAIN || error == CS_ERR_LIBRARY)
        return "is aisexec running? (OPENAIS_RUNDIR names its run directory)";
    if (error == CS_ERR_ACCESS || error == CS_ERR_SECURITY)
        return "only root and members of the group ais may connect";
    return "see the log of aisexec";
}

/* --- numbers from the command line ---------------------------------------- */

/* A decimal number in [min, max], or the program ends with status 2. */
static inline uint64_t number_arg(const char *option, const char *text,
                                  uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || v < min ||
        v > max) {
        fprintf(stderr,
                "%s: \"%s\": a number from %" PRIu64 " to %" PRIu64
                " is wanted\n",
                option, text, min, max);
        exit(2);
    }
    return v;
}

/* Seconds, with a fraction, as ns. */
static inline uint64_t seconds_arg(const char *option, const char *text)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end != '\0' || !(v >= 0) || v > 1e6) {
        fprintf(stderr, "%s: \"%s\": seconds are wanted\n", option, text);
        exit(2);
    }
    return (uint64_t)(v * 1e9);
}

/* --- latencies ------------------------------------------------------------ */

/* Counts by size, 32 steps to each power of two: within 3 %. */
struct histogram {
    uint64_t counts[64 * 32];
    uint64_t total, max;
};

static inline unsigned histogram_bucket(uint64_t ns)
{
    if (ns < 32)
        return (unsigned)ns;
    unsigned power = 63u - (unsigned)__builtin_clzll(ns);
    return (power - 4) * 32 + (unsigned)(ns >> (power - 5) & 31);
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    h->counts[histogram_bucket(ns)]++;
    h->total++;
    if (ns > h->max)
        h->max = ns;
}

/* The latency that `part` (0..1) of all are within, ns. */
static inline uint64_t histogram_part(const struct histogram *h, double part)
{
    uint64_t want = (uint64_t)(part * (double)h->total), seen = 0;
    for (unsigned i = 0; i < sizeof h->counts / sizeof *h->counts; i++) {
        seen += h->counts[i];
        if (seen <= want || h->counts[i] == 0)
            continue;
        if (i < 32)
            return i;
        uint64_t low = (32 + (uint64_t)(i % 32)) << (i / 32 - 1);
        return low < h->max ? low : h->max;
    }
    return h->max;
}

#endif
