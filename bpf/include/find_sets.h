/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The big sets that the addresses of a packet are in: a bit for each use that the generation's rules make of
 * one. */
#ifndef HUSK_FIND_SETS_H
#define HUSK_FIND_SETS_H

#include "bench.h"
#include "set4.h"
#include "set6.h"

static __always_inline const union address *side_of(const struct packet *packet, husk_u32 side)
{
    return side ? &packet->daddr : &packet->saddr;
}

/* Whether the source (0) or destination (1) is in the table of a big set. A set without a table is empty. */
GLOBAL husk_in_set4(husk_u32 role, husk_u32 place, husk_u32 side)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    husk_u32 address = bpf_ntohl(side_of(&bench->packet, side)->words[3]);
    void *set = bpf_map_lookup_elem(&big4_large_slots, &place);
    if (set)
        return set4_holds(set, HUSK_SET_LARGE_CHUNK_BYTES, address);
    set = bpf_map_lookup_elem(&big4_small_slots, &place);
    return set && set4_holds(set, HUSK_SET_SMALL_CHUNK_BYTES, address);
}

GLOBAL husk_in_set6(husk_u32 role, husk_u32 place, husk_u32 side)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    const union address *address = side_of(&bench->packet, side);
    husk_u64 high = bpf_be64_to_cpu(address->halves[0]), low = bpf_be64_to_cpu(address->halves[1]);
    void *set = bpf_map_lookup_elem(&big6_large_slots, &place);
    if (set)
        return set6_holds(set, HUSK_SET_LARGE_CHUNK_BYTES, high, low);
    set = bpf_map_lookup_elem(&big6_small_slots, &place);
    return set && set6_holds(set, HUSK_SET_SMALL_CHUNK_BYTES, high, low);
}

/* Whether one of the entries that are kept one by one holds the address, and has not ended. */
GLOBAL husk_in_additions(husk_u32 role, husk_u32 set, husk_u32 side)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    const union address *address = side_of(&bench->packet, side);
    husk_u32 slot = bench->slot;
    struct husk_addition *found = NULL;
    if (bench->packet.family == HUSK_FAMILY_IPV4) {
        struct husk_addition4 key = {.prefixlen = 32 + 32, .set = bpf_htonl(set)};
        __builtin_memcpy(key.addr, &address->words[3], sizeof(key.addr));
        void *table = bpf_map_lookup_elem(&additions4_slots, &slot);
        if (table)
            found = bpf_map_lookup_elem(table, &key);
    } else {
        struct husk_addition6 key = {.prefixlen = 32 + 128, .set = bpf_htonl(set)};
        __builtin_memcpy(key.addr, address, sizeof(key.addr));
        void *table = bpf_map_lookup_elem(&additions6_slots, &slot);
        if (table)
            found = bpf_map_lookup_elem(table, &key);
    }
    if (!found || (found->expires_s && clock_seconds() >= found->expires_s))
        return 0;
    if (!bench->is_quiet)
        __sync_fetch_and_add(&found->hits, 1);
    return 1;
}

/* One use; its answer is 1 or 0. */
static __always_inline husk_u32 set_use_holds(struct bench *bench, husk_u32 role,
                                              const struct husk_set_use *use)
{
    husk_u32 place = set_place(bench->slot, use->set);
    husk_u32 holds = bench->packet.family == HUSK_FAMILY_IPV4 ? husk_in_set4(role, place, use->side)
                                                              : husk_in_set6(role, place, use->side);
    if (!use->has_additions)
        return holds;
    bench->is_per_packet = 1; /* an addition may end before the connection does */
    return holds | husk_in_additions(role, use->set, use->side);
}

/* Fills the key's bits. */
GLOBAL husk_find_sets(husk_u32 role)
{
    struct bench *bench = bench_of(role);
    struct classifier_bench *classifier = classifier_bench(role);
    if (!bench || !classifier)
        return 0;
    classifier->key.sets = 0;
    const struct husk_generation *generation = generation_of(bench->slot);
    if (!generation || bench->packet.family == HUSK_FAMILY_OTHER)
        return 0;
    const struct husk_set_use *uses = bench->is_egress ? generation->egress_sets : generation->ingress_sets;
    husk_u32 sets = 0;
#pragma clang loop unroll(disable)
    for (husk_u32 at = 0; at < HUSK_SET_USES_MAX; at++) {
        if (uses[at].set >= HUSK_BIG_SETS_MAX)
            break;
        sets |= set_use_holds(bench, role, &uses[at]) << at;
    }
    classifier->key.sets = sets;
    return 0;
}

#endif
