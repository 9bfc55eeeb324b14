/* SPDX-License-Identifier: BSD-3-Clause */
/* store.h - one ring's packets by sequence number: the window between what
 * every member has and what has been sent. */
#ifndef DAEMON_TOTEM_STORE_H
#define DAEMON_TOTEM_STORE_H

#include "daemon/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct store_slot {
    uint64_t seq;
    uint32_t sender;
    uint32_t size_bytes; /* of the packet as sent, header included; 0: none */
    bool safe;
    bool recovered; /* carries an old ring's packet; not for the user */
    uint32_t asked; /* how often others asked for it, as this node saw */
};

struct store {
    uint64_t base; /* all up to here may be forgotten */
    uint64_t aru;  /* the paper's my_aru: all up to here are or were here */
    uint64_t high; /* highest sequence number seen */
    uint32_t slot_count; /* a power of two */
    uint32_t packet_size_max;
    struct store_slot *slots;
    uint8_t *packets;
};

/* False when memory is short. The packets' memory is untouched until used. */
bool store_init(struct store *s, uint32_t slot_count, uint32_t packet_size_max);
void store_deinit(struct store *s);

/* Empties it; the first packet will be first_seq + 1. */
void store_reset(struct store *s, uint64_t first_seq);

/* The packet with that number; NULL when it is not here. */
const struct store_slot *store_find(const struct store *s, uint64_t seq);
struct bytes store_packet(const struct store *s, const struct store_slot *slot);

/* Somebody asks for that packet. How often that has happened; 0: it is not
 * here. */
uint32_t store_asked(struct store *s, uint64_t seq);

/* Where the packet `seq` is to be built; store_add() then makes it known. */
uint8_t *store_room(struct store *s, uint64_t seq);

enum store_add { STORE_ADDED, STORE_DUPLICATE, STORE_BEYOND };

/* Says whether `seq` would be new and within the window. */
enum store_add store_look(const struct store *s, uint64_t seq);

/* The packet of slot->seq stands in its room; CHECKs that it was STORE_ADDED
 * by store_look(). */
void store_add(struct store *s, const struct store_slot *slot);

/* Forgets all up to `seq`. What was given out stays readable until the room is
 * used again. */
void store_discard(struct store *s, uint64_t seq);

#endif
