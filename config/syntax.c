/* SPDX-License-Identifier: BSD-3-Clause */
/* The grammar, after comments (`#` and `//` to the end of the line, slash-star
 * to star-slash) and blanks:
 *
 *     file      := item*
 *     item      := name "{" item* "}"  |  name (":" | "=" | "+=") value
 *     value     := simple  |  "{" simple ("," simple)* "}"
 *     simple    := word  |  "..."  |  '...'
 *
 * A simple value stands on the line of its key; a word ends at a blank or at
 * one of { } , # ; so that one-line files work too. */
#include "config/syntax.h"

#include "daemon/base/bytes.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct syntax {
    const char *at, *end;
    unsigned line;
    unsigned depth;
    unsigned open_line[SYNTAX_DEPTH_MAX]; /* where each open section began */
    struct writer out;
    struct syntax_fault *fault;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void fail(struct syntax *s,
                                                       const char *format, ...)
{
    va_list args;
    if (s->failed)
        return;
    s->failed = true;
    s->fault->line = s->line;
    va_start(args, format);
    vsnprintf(s->fault->what, sizeof s->fault->what, format, args);
    va_end(args);
}

static int peek(const struct syntax *s)
{
    return s->at < s->end ? (unsigned char)*s->at : EOF;
}

static bool is_next(const struct syntax *s, const char *two)
{
    return s->end - s->at >= 2 && s->at[0] == two[0] && s->at[1] == two[1];
}

static void put(struct syntax *s, const char *text, size_t n)
{
    write_bytes(&s->out, (struct bytes){(const uint8_t *)text, n});
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_name_char(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Bytes of 128 and more are taken as they are: file names may be UTF-8. */
static bool is_text(int c)
{
    return c == '\t' || (c >= ' ' && c != 127);
}

static bool is_word_char(int c)
{
    return is_text(c) && !is_blank(c) && c != '{' && c != '}' && c != ',' &&
           c != '#' && c != ';' && c != '"' && c != '\'';
}

/* What stands at the cursor, for an error's text. */
static const char *describe(const struct syntax *s, char *room, size_t size)
{
    int c = peek(s);
    if (c == EOF)
        return "the end of the file";
    if (c == '\n' || c == '\r')
        return "the end of the line";
    if (c > ' ' && c < 127)
        snprintf(room, size, "'%c'", c);
    else
        snprintf(room, size, "byte 0x%02x", (unsigned)c);
    return room;
}

static void skip_to_line_end(struct syntax *s)
{
    while (peek(s) != EOF && peek(s) != '\n')
        s->at++;
}

static void take_newline(struct syntax *s)
{
    s->at++;
    s->line++;
    put(s, "\n", 1);
}

static void skip_long_comment(struct syntax *s)
{
    unsigned opened = s->line;
    for (s->at += 2; !is_next(s, "*/");) {
        if (peek(s) == EOF) {
            s->line = opened;
            fail(s, "the comment that begins here has no end");
            return;
        }
        if (peek(s) == '\n')
            take_newline(s);
        else
            s->at++;
    }
    s->at += 2;
}

static void skip_blanks(struct syntax *s)
{
    while (is_blank(peek(s)))
        s->at++;
}

/* Blanks, comments, newlines. */
static void skip_space(struct syntax *s)
{
    while (!s->failed) {
        skip_blanks(s);
        if (peek(s) == '\n')
            take_newline(s);
        else if (peek(s) == '#' || is_next(s, "//"))
            skip_to_line_end(s);
        else if (is_next(s, "/*"))
            skip_long_comment(s);
        else
            return;
    }
}

/* --- values --------------------------------------------------------------- */

static void put_value_char(struct syntax *s, int c)
{
    if (c == '\'' || c == '\\')
        put(s, "\\", 1);
    put(s, &(char){(char)c}, 1);
}

static int take_escape(struct syntax *s, int quote)
{
    s->at++;
    int c = peek(s);
    if (c == '\\' || c == quote)
        return c;
    fail(s, "in quotes, a backslash stands only before the quote or another "
            "backslash");
    return EOF;
}

static size_t take_quoted(struct syntax *s, int quote)
{
    size_t n = 0;
    for (s->at++; !s->failed && peek(s) != quote; s->at++, n++) {
        int c = peek(s);
        if (c == EOF || c == '\n')
            fail(s, "the quote %c has no partner on its line", quote);
        else if (!is_text(c))
            fail(s, "byte 0x%02x is not allowed in a value", (unsigned)c);
        else if (n == SYNTAX_VALUE_MAX)
            fail(s, "the value is too long, at most %d bytes",
                 SYNTAX_VALUE_MAX);
        else
            put_value_char(s, c == '\\' ? take_escape(s, quote) : c);
    }
    if (!s->failed)
        s->at++;
    return n;
}

static size_t take_word(struct syntax *s)
{
    size_t n = 0;
    for (; !s->failed && is_word_char(peek(s)); s->at++, n++) {
        if (n == SYNTAX_VALUE_MAX)
            fail(s, "the value is too long, at most %d bytes",
                 SYNTAX_VALUE_MAX);
        put_value_char(s, peek(s));
    }
    return n;
}

static void take_simple(struct syntax *s, const char *name)
{
    char room[16];
    int c = peek(s);
    put(s, "'", 1);
    size_t n = c == '"' || c == '\'' ? take_quoted(s, c) : take_word(s);
    put(s, "' ", 2);
    if (n == 0)
        fail(s, "'%s' needs a value here, not %s", name,
             describe(s, room, sizeof room));
}

static void take_list(struct syntax *s, const char *name)
{
    char room[16];
    s->at++;
    put(s, "{", 1);
    for (;;) {
        skip_space(s);
        take_simple(s, name);
        skip_space(s);
        if (s->failed || peek(s) != ',')
            break;
        s->at++;
        put(s, ",", 1);
    }
    if (peek(s) != '}') {
        fail(s, "in the list of '%s': expected ',' or '}', not %s", name,
             describe(s, room, sizeof room));
        return;
    }
    s->at++;
    put(s, "} ", 2);
}

/* --- items ---------------------------------------------------------------- */

static void open_section(struct syntax *s)
{
    if (s->depth == SYNTAX_DEPTH_MAX) {
        fail(s, "sections may be nested %d deep at most", SYNTAX_DEPTH_MAX);
        return;
    }
    s->open_line[s->depth++] = s->line;
    s->at++;
    put(s, " { ", 3);
}

static void close_section(struct syntax *s)
{
    if (s->depth == 0) {
        fail(s, "this '}' closes nothing");
        return;
    }
    s->depth--;
    s->at++;
    put(s, " } ", 3);
}

static void take_name(struct syntax *s, char name[SYNTAX_NAME_MAX + 1])
{
    char room[16];
    size_t n = 0;
    for (; is_name_char(peek(s)); s->at++) {
        if (n == SYNTAX_NAME_MAX) {
            fail(s, "the name is too long, at most %d bytes", SYNTAX_NAME_MAX);
            break;
        }
        name[n++] = *s->at;
    }
    name[n] = '\0';
    if (n == 0)
        fail(s,
             "expected the name of a key or section, not %s "
             "(values with blanks need quotes)",
             describe(s, room, sizeof room));
    put(s, name, n);
}

static void take_item(struct syntax *s)
{
    char name[SYNTAX_NAME_MAX + 1], room[16];
    unsigned line = s->line;
    take_name(s, name);
    skip_blanks(s);
    if (peek(s) == ':' || peek(s) == '=' || is_next(s, "+=")) {
        s->at += peek(s) == '+' ? 2 : 1;
        put(s, " = ", 3);
        skip_blanks(s);
        if (peek(s) == '{')
            take_list(s, name);
        else
            take_simple(s, name);
        return;
    }
    skip_space(s);
    if (peek(s) == '{') {
        open_section(s);
        return;
    }
    s->line = line;
    fail(s,
         "after '%s': expected ':' or '=' and a value, or '{', not %s "
         "(values with blanks need quotes)",
         name, describe(s, room, sizeof room));
}

static void translate(struct syntax *s)
{
    for (;;) {
        skip_space(s);
        if (s->failed || peek(s) == EOF)
            break;
        if (peek(s) == '}')
            close_section(s);
        else
            take_item(s);
    }
    if (!s->failed && s->depth > 0) {
        s->line = s->open_line[s->depth - 1];
        fail(s, "the section that begins here has no closing '}'");
    }
    put(s, "\n", 2); /* with the NUL */
}

char *syntax_translate(const char *text, size_t size,
                       struct syntax_fault *fault)
{
    /* One byte read puts out 6 at most: `:` with its blanks 3, a value of one
     * byte 5, an opened section 3. */
    size_t room = size * 6 + 16;
    char *out = malloc(room);
    struct syntax s = {.at = text,
                       .end = text + size,
                       .line = 1,
                       .out = writer_of((uint8_t *)out, room),
                       .fault = fault};
    if (out == NULL) {
        *fault = (struct syntax_fault){.what = "out of memory"};
        return NULL;
    }
    translate(&s);
    if (s.out.failed)
        fail(&s, "cannot translate this file");
    if (s.failed) {
        free(out);
        return NULL;
    }
    return out;
}

unsigned syntax_line_count(const char *text, size_t size)
{
    unsigned lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n' || i == size - 1;
    return lines > 0 ? lines : 1;
}
