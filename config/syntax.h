/* SPDX-License-Identifier: BSD-3-Clause */
/* syntax.h - both syntaxes of openais.conf into libconfuse's, line for line.
 *
 * The seed wrote `key: value` with bare values, libconfuse wants `key = value`.
 * Either is read here, strictly, and comes out in one canonical form whose
 * values are all in single quotes. So libconfuse's scanner only ever sees text
 * that this file wrote: no function calls, no ${environment}, no odd bytes,
 * bounded names, values and nesting. */
#ifndef CONFIG_SYNTAX_H
#define CONFIG_SYNTAX_H

#include <stddef.h>

enum {
    SYNTAX_NAME_MAX = 64,    /* of a key or section, bytes */
    SYNTAX_VALUE_MAX = 4095, /* of a value, bytes: a path fits */
    SYNTAX_DEPTH_MAX = 4     /* sections within sections */
};

struct syntax_fault {
    unsigned line;
    char what[256];
};

/* Gives the translated text (to be freed; NUL at its end), each token on the
 * line it had; NULL with the fault, whose line is 0 when memory is short. */
char *syntax_translate(const char *text, size_t size,
                       struct syntax_fault *fault);

/* Lines in `text`; an unfinished last line counts. At least 1. */
unsigned syntax_line_count(const char *text, size_t size);

#endif
