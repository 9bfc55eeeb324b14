/* SPDX-License-Identifier: BSD-3-Clause */
/* schema.h - every section and key of openais.conf, its type, its range and
 * where its value goes. Private to config/. */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "config/config.h"

enum schema_kind {
    SCHEMA_ADDRESS,   /* struct in_addr, any host or network */
    SCHEMA_MULTICAST, /* struct in_addr */
    SCHEMA_PORT,      /* uint16_t */
    SCHEMA_COUNT,     /* uint32_t */
    SCHEMA_POWER,     /* uint32_t, a power of two */
    SCHEMA_MS,        /* uint64_t, ns; in the file milliseconds */
    SCHEMA_SWITCH,    /* bool */
    SCHEMA_CHOICE,    /* enum: index in `choices` */
    SCHEMA_TEXT,      /* char *, allocated */
    SCHEMA_NODES,     /* list of addresses */
    SCHEMA_OUTPUTS    /* list of log sinks */
};

struct schema_key {
    const char *section, *name;
    enum schema_kind kind;
    size_t offset;       /* in struct config */
    uint64_t min, max;   /* in the file's unit; SCHEMA_TEXT: of its length */
    const char *unit;    /* as an error's text names it; NULL: none */
    const char *choices; /* SCHEMA_CHOICE: words, a blank between */
};

enum {
    SCHEMA_SECTIONS = 8,
    SCHEMA_KEYS_MAX = 64,
    SCHEMA_SECTION_KEYS_MAX = 24
};

extern const struct schema_key schema_keys[];
extern const unsigned schema_key_count;

/* Section names, NULL at the end. "network" is another name of "totem". */
extern const char *const schema_sections[SCHEMA_SECTIONS + 1];
const char *schema_section_name(const char *alias);

/* Index in schema_keys; schema_key_count: there is none. */
unsigned schema_find(const char *section, const char *name);

bool schema_is_list(enum schema_kind kind);

/* Puts `value` where the key's value goes in `c`. 0, or -EINVAL (-ENOMEM) with
 * what is wrong and what is allowed in `what`. */
int schema_set(struct config *c, const struct schema_key *key,
               const char *value, char *what, size_t what_size);

#endif
