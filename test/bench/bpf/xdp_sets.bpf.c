// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * One address a run, the next each time, asked of a set: of Husk's tables, of the kernel's tries and hashes,
 * and of nothing, which is the floor. The answer is the verdict, and is noted, so that a benchmark's run is a
 * test's as well. Sets are those that user space has put at index 0 of the outer maps.
 */
#include "include/set4.h"
#include "include/set6.h"

#define KEYS 65536

struct key6 {
    husk_u64 high; /* host order */
    husk_u64 low;
};

#define WIDE_ARRAY(NAME, TYPE)                                                                               \
    struct {                                                                                                 \
        __uint(type, BPF_MAP_TYPE_ARRAY);                                                                    \
        __uint(max_entries, 1);                                                                              \
        __type(key, husk_u32);                                                                               \
        __type(value, TYPE);                                                                                 \
    } NAME SEC(".maps")

struct keys4 {
    husk_u32 keys[KEYS];
};
struct keys6 {
    struct key6 keys[KEYS];
};
struct answers {
    husk_u8 answers[KEYS];
};
WIDE_ARRAY(keys4, struct keys4);
WIDE_ARRAY(keys6, struct keys6);
WIDE_ARRAY(answers, struct answers);
WIDE_ARRAY(position, husk_u32);

SET_SLOTS(small_sets, 1, HUSK_SET_SMALL_CHUNK_BYTES);
SET_SLOTS(large_sets, 1, HUSK_SET_LARGE_CHUNK_BYTES);

#define OTHERS(NAME, TYPE, FLAGS, KEY)                                                                       \
    struct {                                                                                                 \
        __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                                            \
        __uint(max_entries, 1);                                                                              \
        __type(key, husk_u32);                                                                               \
        __array(                                                                                             \
            values, struct {                                                                                 \
                __uint(type, TYPE);                                                                          \
                __uint(map_flags, FLAGS);                                                                    \
                __uint(max_entries, HUSK_PREFIXES_MAX);                                                      \
                __type(key, KEY);                                                                            \
                __type(value, husk_u64);                                                                     \
            });                                                                                              \
    } NAME SEC(".maps")
OTHERS(tries4, BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, struct husk_prefix4);
OTHERS(tries6, BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, struct husk_prefix6);
OTHERS(hashes4, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, husk_u32);
OTHERS(hashes6, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct key6);

static __always_inline void *only(void *map)
{
    husk_u32 zero = 0;
    return bpf_map_lookup_elem(map, &zero);
}

/* The index of this run's key. */
static __always_inline bool next_index(husk_u32 *index)
{
    husk_u32 *at = only(&position);
    if (!at)
        return false;
    *index = ++*at % KEYS;
    return true;
}

static __always_inline int answer(husk_u32 index, bool found)
{
    struct answers *noted = only(&answers);
    if (!noted)
        return XDP_ABORTED;
    noted->answers[index % KEYS] = found;
    return found ? XDP_DROP : XDP_PASS;
}

/* ASK: an expression over `address`, and over `set`, an inner map of SETS. */
#define PROGRAM4(NAME, SETS, ASK)                                                                            \
    SEC("xdp")                                                                                               \
    int NAME(struct xdp_md *ctx)                                                                             \
    {                                                                                                        \
        husk_u32 index;                                                                                      \
        const struct keys4 *keys = only(&keys4);                                                             \
        if (!keys || !next_index(&index))                                                                    \
            return XDP_ABORTED;                                                                              \
        husk_u32 address = keys->keys[index];                                                                \
        void *set = only(SETS);                                                                              \
        return set ? answer(index, ASK) : XDP_ABORTED;                                                       \
    }

#define PROGRAM6(NAME, SETS, ASK)                                                                            \
    SEC("xdp")                                                                                               \
    int NAME(struct xdp_md *ctx)                                                                             \
    {                                                                                                        \
        husk_u32 index;                                                                                      \
        const struct keys6 *keys = only(&keys6);                                                             \
        if (!keys || !next_index(&index))                                                                    \
            return XDP_ABORTED;                                                                              \
        struct key6 address = keys->keys[index];                                                             \
        void *set = only(SETS);                                                                              \
        return set ? answer(index, ASK) : XDP_ABORTED;                                                       \
    }

static __always_inline bool in_trie4(void *trie, husk_u32 address)
{
    struct husk_prefix4 key = {.prefixlen = 32};
    husk_u32 bytes = bpf_htonl(address);
    __builtin_memcpy(key.addr, &bytes, sizeof(key.addr));
    return bpf_map_lookup_elem(trie, &key) != NULL;
}

static __always_inline bool in_trie6(void *trie, struct key6 address)
{
    struct husk_prefix6 key = {.prefixlen = 128};
    husk_u64 bytes[2] = {bpf_cpu_to_be64(address.high), bpf_cpu_to_be64(address.low)};
    __builtin_memcpy(key.addr, bytes, sizeof(key.addr));
    return bpf_map_lookup_elem(trie, &key) != NULL;
}

/* As a program with several sets has them: verified once, by numbers alone, so that 5.10 takes them as well.
 */
GLOBAL small_set4_holds(husk_u32 index, husk_u32 address)
{
    void *set = bpf_map_lookup_elem(&small_sets, &index);
    return set && set4_holds(set, HUSK_SET_SMALL_CHUNK_BYTES, address);
}

GLOBAL small_set6_holds(husk_u32 index, husk_u64 high, husk_u64 low)
{
    void *set = bpf_map_lookup_elem(&small_sets, &index);
    return set && set6_holds(set, HUSK_SET_SMALL_CHUNK_BYTES, high, low);
}

PROGRAM4(sets_floor4, &position, address & 1)
PROGRAM4(sets_small4, &small_sets, set4_holds(set, HUSK_SET_SMALL_CHUNK_BYTES, address))
PROGRAM4(sets_large4, &large_sets, set4_holds(set, HUSK_SET_LARGE_CHUNK_BYTES, address))
PROGRAM4(sets_global4, &small_sets, small_set4_holds(0, address))
PROGRAM4(sets_trie4, &tries4, in_trie4(set, address))
PROGRAM4(sets_hash4, &hashes4, bpf_map_lookup_elem(set, &address) != NULL)

PROGRAM6(sets_floor6, &position, (address.high ^ address.low) & 1)
PROGRAM6(sets_small6, &small_sets, set6_holds(set, HUSK_SET_SMALL_CHUNK_BYTES, address.high, address.low))
PROGRAM6(sets_large6, &large_sets, set6_holds(set, HUSK_SET_LARGE_CHUNK_BYTES, address.high, address.low))
PROGRAM6(sets_global6, &small_sets, small_set6_holds(0, address.high, address.low))
PROGRAM6(sets_trie6, &tries6, in_trie6(set, address))
PROGRAM6(sets_hash6, &hashes6, bpf_map_lookup_elem(set, &address) != NULL)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
