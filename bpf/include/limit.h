/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Token buckets of limits, as agent/policy/PACKETS.md §7 has them. The table is like that of connections:
 * places in eights, by a keyed hash, bounded; where eight are taken, the one that waited longest goes. All of
 * it is under the lock: two CPUs never spend one token.
 *
 * `now_ns` is boot time to the nanosecond (bpf_ktime_get_boot_ns, 43 ns): a tick is too coarse for a rate
 * above burst packets a tick.
 */
#ifndef HUSK_LIMIT_H
#define HUSK_LIMIT_H

#include "connection_table.h"

struct rate_bucket {
    struct husk_rate entries[HUSK_RATE_WAYS];
    struct bpf_spin_lock lock;
    husk_u32 pad;
};
_Static_assert(sizeof(struct rate_bucket) == sizeof(struct husk_rate_bucket), "one layout");

/* Writers and readers: packet programs. A missing entry cannot be, while the mask of `connection_setup` is
 * right; where it is, the packet is within: a table that is lost must not stop the device. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, HUSK_RATE_BUCKETS);
    __type(key, husk_u32);
    __type(value, struct rate_bucket);
} rates SEC(".maps");

/* Whose bucket: as many words as keyed_hash takes. */
union rate_key {
    struct {
        husk_u64 digest;
        husk_u64 who[2];
        husk_u64 pad[2];
    };
    word words[HASH_WORDS];
};

/* An address in network order, cut to `prefix` of its 128 bits. */
static __always_inline void address_cut(husk_u64 who[2], const union address *address, husk_u32 prefix)
{
    husk_u64 upper = bpf_be64_to_cpu(address->halves[0]), lower = bpf_be64_to_cpu(address->halves[1]);
    /* A shift by 64 is none: in two steps. */
    husk_u32 first = prefix < 64 ? prefix : 64, second = prefix < 64 ? 0 : prefix - 64;
    who[0] = first ? upper >> (64 - first & 63) << (64 - first & 63) : 0;
    who[1] = second ? lower >> (64 - second & 63) << (64 - second & 63) : 0;
}

static __always_inline void rate_key_from(union rate_key *key, const struct husk_limit *limit,
                                          const struct packet *packet, const husk_u64 *seed)
{
    __builtin_memset(key, 0, sizeof(*key));
    key->digest = limit->digest;
    if (packet->family == HUSK_FAMILY_OTHER || limit->per == HUSK_LIMIT_PER_RULE)
        return;
    if (limit->per == HUSK_LIMIT_PER_SOURCE) {
        bool is_ipv4 = packet->family == HUSK_FAMILY_IPV4;
        address_cut(key->who, &packet->saddr, (is_ipv4 ? 96 + limit->prefix4 : limit->prefix6) & 0xff);
        key->digest += packet->family; /* families are apart, whatever they are cut to */
        return;
    }
    struct husk_connection_key flow = {
        .low_port = packet->sport,
        .high_port = packet->dport,
        .ip_proto = packet->ip_proto,
        .family = packet->family,
    };
    __builtin_memcpy(flow.low, &packet->saddr, sizeof(flow.low));
    __builtin_memcpy(flow.high, &packet->daddr, sizeof(flow.high));
    key->who[0] = keyed_hash((const word *)&flow, seed, 1);
    key->who[1] = keyed_hash((const word *)&flow, seed + 1, 2);
}

enum limit_answer {
    LIMIT_WITHIN = 0,
    LIMIT_OVER = 1,
};

/* Takes a token, or says that there is none. A twin only asks: `is_dry` changes nothing. */
static __always_inline int limit_take(const struct husk_limit *limit, const struct packet *packet,
                                      husk_u64 now_ns, bool is_dry)
{
    const struct husk_connection_setup *setup = connection_setup_of();
    if (!setup)
        return LIMIT_WITHIN;
    union rate_key key;
    rate_key_from(&key, limit, packet, setup->seed);
    husk_u64 hash = keyed_hash(key.words, setup->seed, 0);
    husk_u32 index = bucket_index_of(hash, setup->rate_mask);
    struct rate_bucket *bucket = bpf_map_lookup_elem(&rates, &index);
    if (!bucket)
        return LIMIT_WITHIN;

    husk_u64 cost = limit->cost_ns, depth = limit->depth_ns, evicted_full_ns = 0;
    husk_u64 found = HUSK_RATE_WAYS, oldest = 0, oldest_ns = ~0ull;
    bpf_spin_lock(&bucket->lock);
#pragma unroll
    for (husk_u32 at = 0; at < HUSK_RATE_WAYS; at++) {
        struct husk_rate *entry = &bucket->entries[at];
        husk_u64 is_it =
            any((entry->digest ^ key.digest) | (entry->who[0] ^ key.who[0]) | (entry->who[1] ^ key.who[1])) ^
            1;
        found -= is_it * (HUSK_RATE_WAYS - at);
        husk_u64 used_ns = entry->digest ? entry->used_ns : 0;
        oldest = used_ns < oldest_ns ? at : oldest;
        oldest_ns = used_ns < oldest_ns ? used_ns : oldest_ns;
    }
    bool is_found = found < HUSK_RATE_WAYS;
    struct husk_rate *entry = &bucket->entries[(is_found ? found : oldest) & (HUSK_RATE_WAYS - 1)];
    husk_u64 full_ns = is_found ? entry->full_ns : 0;
    if (full_ns < now_ns)
        full_ns = now_ns;
    bool is_over = full_ns + cost - now_ns > depth;
    if (!is_over)
        full_ns += cost;
    if (!is_dry) {
        if (!is_found) {
            evicted_full_ns = entry->digest ? entry->full_ns : 0;
            entry->digest = key.digest;
            entry->who[0] = key.who[0];
            entry->who[1] = key.who[1];
        }
        entry->full_ns = full_ns;
        entry->used_ns = now_ns;
    }
    bpf_spin_unlock(&bucket->lock);
    if (evicted_full_ns > now_ns)
        connection_count(HUSK_COUNT_RATES_EVICTED);
    return is_over ? LIMIT_OVER : LIMIT_WITHIN;
}

#endif
