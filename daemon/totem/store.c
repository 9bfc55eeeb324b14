/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/totem/store.h"

#include "daemon/base/check.h"

#include <stdlib.h>

static struct store_slot *slot_of(const struct store *s, uint64_t seq)
{
    return &s->slots[seq & (s->slot_count - 1)];
}

bool store_init(struct store *s, uint32_t slot_count, uint32_t packet_size_max)
{
    CHECK(slot_count > 0 && (slot_count & (slot_count - 1)) == 0);
    *s = (struct store){.slot_count = slot_count,
                        .packet_size_max = packet_size_max};
    s->slots = calloc(slot_count, sizeof *s->slots);
    s->packets = malloc((size_t)slot_count * packet_size_max);
    if (s->slots != NULL && s->packets != NULL)
        return true;
    store_deinit(s);
    return false;
}

void store_deinit(struct store *s)
{
    free(s->slots);
    free(s->packets);
    s->slots = NULL;
    s->packets = NULL;
}

void store_reset(struct store *s, uint64_t first_seq)
{
    for (uint32_t i = 0; i < s->slot_count; i++)
        s->slots[i].size_bytes = 0;
    s->base = s->aru = s->high = first_seq;
}

const struct store_slot *store_find(const struct store *s, uint64_t seq)
{
    if (seq <= s->base || seq > s->high)
        return NULL;
    const struct store_slot *slot = slot_of(s, seq);
    return slot->size_bytes > 0 && slot->seq == seq ? slot : NULL;
}

uint32_t store_asked(struct store *s, uint64_t seq)
{
    return store_find(s, seq) != NULL ? ++slot_of(s, seq)->asked : 0;
}

struct bytes store_packet(const struct store *s, const struct store_slot *slot)
{
    size_t index = (size_t)(slot - s->slots);
    return (struct bytes){s->packets + index * s->packet_size_max,
                          slot->size_bytes};
}

uint8_t *store_room(struct store *s, uint64_t seq)
{
    return s->packets +
           (size_t)(seq & (s->slot_count - 1)) * s->packet_size_max;
}

enum store_add store_look(const struct store *s, uint64_t seq)
{
    if (seq <= s->base || store_find(s, seq) != NULL)
        return STORE_DUPLICATE;
    return seq - s->base > s->slot_count ? STORE_BEYOND : STORE_ADDED;
}

void store_add(struct store *s, const struct store_slot *slot)
{
    CHECK(store_look(s, slot->seq) == STORE_ADDED);
    CHECK(slot->size_bytes > 0 && slot->size_bytes <= s->packet_size_max);
    *slot_of(s, slot->seq) = *slot;
    if (slot->seq > s->high)
        s->high = slot->seq;
    while (s->aru < s->high && store_find(s, s->aru + 1) != NULL)
        s->aru++;
}

void store_discard(struct store *s, uint64_t seq)
{
    CHECK(seq <= s->aru);
    for (; s->base < seq; s->base++)
        slot_of(s, s->base + 1)->size_bytes = 0;
}
