/* SPDX-License-Identifier: BSD-3-Clause */
/* handle.h - the numbers by which programs name objects of the libraries.
 *
 * A function of a library gets the object with handle_get(), which keeps it
 * alive until handle_put(), also if another thread finalizes the handle
 * meanwhile. A program that is linked with several static libraries has one
 * table for all of them, so each handle has a kind: the address of something
 * that its library owns. */
#ifndef API_HANDLE_H
#define API_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

enum { HANDLES_MAX = 8192 };

/* What the table does with an object. */
struct handle_ops {
    /* The handle is finalized: whoever waits on the object returns soon. NULL:
     * nobody does. */
    void (*end)(void *object);
    /* In a child made by fork(): gives up what it has inherited. NULL: that is
     * nothing. */
    void (*forked)(void *object);
    /* Frees the object, which nobody uses any more. Takes no lock. */
    void (*destroy)(void *object);
};

/* Makes a handle, writes it to *at before anybody can find it, and returns it.
 * 0: all are in use. */
uint64_t handle_new(uint64_t *at, const void *kind,
                    const struct handle_ops *ops, void *object);

/* The object, kept until handle_put(); NULL: no such handle of this kind. */
void *handle_get(uint64_t handle, const void *kind);
void handle_put(uint64_t handle);

/* Ends the handle. False: there is none of this kind, or it has ended. */
bool handle_finalize(uint64_t handle, const void *kind);

#endif
