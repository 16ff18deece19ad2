/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Later fragments have no ports. The first one, once it was allowed, leaves its state here for those that
 * follow within 30 s; a later one that comes before its first is of nothing, and is not kept waiting.
 *
 * The kernel's LRU hash: bounded, keyed by a random of its own, and fragments are rare enough for its lock.
 */
#ifndef HUSK_CONNECTION_FRAGMENTS_H
#define HUSK_CONNECTION_FRAGMENTS_H

#include "connection_table.h"

/* Writers and readers: packet programs. Missing: the first fragment did not come, or too long ago. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, HUSK_CONNECTION_FRAGMENTS);
    __type(key, struct husk_fragment_key);
    __type(value, struct husk_fragment);
} connection_fragments SEC(".maps");

static __always_inline void fragment_key_from(struct husk_fragment_key *key, const struct packet *packet)
{
    __builtin_memset(key, 0, sizeof(*key));
    __builtin_memcpy(key->saddr, &packet->saddr, sizeof(key->saddr));
    __builtin_memcpy(key->daddr, &packet->daddr, sizeof(key->daddr));
    key->id = packet->fragment_id;
    key->family = packet->family;
    key->ip_proto = packet->family == HUSK_FAMILY_IPV4 ? packet->ip_proto : 0;
}

static __always_inline void connection_fragment_find(struct connection *connection,
                                                     const struct packet *packet, husk_u32 now)
{
    struct husk_fragment_key key;
    fragment_key_from(&key, packet);
    const struct husk_fragment *first = bpf_map_lookup_elem(&connection_fragments, &key);
    connection->state = HUSK_CONNECTION_INVALID;
    if (!first || (int)(now - first->seen) > HUSK_CONNECTION_FRAGMENT_SECONDS)
        return;
    connection->state = first->state;
    connection->flags = first->flags;
    connection->is_reply = first->is_reply;
}

/* Once a first fragment was allowed. Not for twins. */
static __always_inline void connection_fragment_remember(const struct connection *connection,
                                                         const struct packet *packet, husk_u32 now)
{
    if (packet->fragment != FRAGMENT_FIRST || connection->state == HUSK_CONNECTION_NONE)
        return;
    struct husk_fragment_key key;
    fragment_key_from(&key, packet);
    struct husk_fragment first = {
        .seen = now,
        .flags = connection->is_known ? connection->flags : 0,
        .state = connection->state,
        .is_reply = connection->is_reply,
    };
    bpf_map_update_elem(&connection_fragments, &key, &first, BPF_ANY);
}

#endif
