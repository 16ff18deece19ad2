// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The classifier by itself: each run takes the next key of a list, and leaves what it was classified as
 * beside it. classify_nothing does all but the classifying, for its cost to be taken off; classify_all goes
 * on from match to match as a caller does that notes entries and passes them over.
 */
#include "include/compat.h"

#define KEYS 16384
#define MATCHES 8

#define TABLES(NAME, TYPE)                                                                                   \
    struct {                                                                                                 \
        __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                                            \
        __uint(max_entries, HUSK_SLOTS);                                                                     \
        __type(key, husk_u32);                                                                               \
        __array(                                                                                             \
            values, struct {                                                                                 \
                __uint(type, BPF_MAP_TYPE_ARRAY);                                                            \
                __uint(max_entries, 1);                                                                      \
                __type(key, husk_u32);                                                                       \
                __type(value, TYPE);                                                                         \
            });                                                                                              \
    } NAME SEC(".maps")

TABLES(small_slots, husk_u8[HUSK_CLASSIFIER_SMALL_BYTES]);
TABLES(medium_slots, husk_u8[HUSK_CLASSIFIER_MEDIUM_BYTES]);
TABLES(large_slots, husk_u8[HUSK_CLASSIFIER_LARGE_BYTES]);
#define CLASSIFIER_SMALL small_slots
#define CLASSIFIER_MEDIUM medium_slots
#define CLASSIFIER_LARGE large_slots
#include "include/classify.h"

struct match {
    husk_u32 entry;
    husk_u32 row;
};
struct matches {
    struct match match[MATCHES];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, KEYS);
    __type(key, husk_u32);
    __type(value, struct classifier_key);
} keys SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, KEYS);
    __type(key, husk_u32);
    __type(value, struct matches);
} results SEC(".maps");

/* Where the next run reads: written by user space to begin anew. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, husk_u32);
} next_key SEC(".maps");

/* Takes the next key to the bench. Its number, or KEYS. */
static __always_inline husk_u32 take_key(husk_u32 *at)
{
    husk_u32 zero = 0;
    husk_u32 *next = bpf_map_lookup_elem(&next_key, &zero);
    struct classifier_bench *bench = classifier_bench(0);
    if (!next || !bench)
        return KEYS;
    husk_u32 index = *next & (KEYS - 1);
    *next = index + 1;
    struct classifier_key *key = bpf_map_lookup_elem(&keys, &index);
    if (!key)
        return KEYS;
    __builtin_memcpy(&bench->key, key, sizeof(*key));
    return index;
}

SEC("xdp")
int classify_nothing(struct xdp_md *ctx)
{
    husk_u32 at;
    return take_key(&at) == KEYS ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int classify_one(struct xdp_md *ctx)
{
    husk_u32 at;
    if (take_key(&at) == KEYS)
        return XDP_ABORTED;
    return classify(0, 0) == CLASSIFIER_NONE ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int classify_all(struct xdp_md *ctx)
{
    husk_u32 at;
    at = take_key(&at);
    struct matches *all = bpf_map_lookup_elem(&results, &at);
    struct classifier_bench *bench = classifier_bench(0);
    if (!all || !bench)
        return XDP_ABORTED;
#pragma clang loop unroll(disable)
    for (husk_u32 count = 0; count < MATCHES; count++) {
        int entry = classify_by_size(0, 0, count);
        all->match[count].entry = entry;
        all->match[count].row = bench->row;
        if (entry < 0)
            break;
    }
    return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
