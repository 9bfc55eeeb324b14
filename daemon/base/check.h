/* SPDX-License-Identifier: BSD-3-Clause */
/* check.h - assertions that stay on in release builds.
 *
 * CHECK is for what our own code promised; a value that came from the network,
 * a client or a file is never checked with it, but refused. */
#ifndef DAEMON_BASE_CHECK_H
#define DAEMON_BASE_CHECK_H

/* Prints the failed condition and its place to stderr, then aborts. */
_Noreturn void check_failed(const char *condition, const char *file, int line);

#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

#endif
