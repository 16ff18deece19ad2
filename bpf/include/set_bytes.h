/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The bytes of a set's table (bpf/abi/sets.h), which lie in the chunks of one array.
 *
 * The array is an inner map whose length differs from set to set (BPF_F_INNER_MAP), so that each chunk costs
 * a call where an array of stated length would be read in place: 3 ns. What lies in the first chunk costs
 * none.
 */
#ifndef HUSK_SET_BYTES_H
#define HUSK_SET_BYTES_H

#include "compat.h"

/* A map of maps whose entries are sets with chunks of CHUNK_BYTES. 0x1000 is BPF_F_INNER_MAP. */
#define SET_SLOTS(NAME, ENTRIES, CHUNK_BYTES)                                                                \
    struct {                                                                                                 \
        __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                                            \
        __uint(max_entries, ENTRIES);                                                                        \
        __type(key, husk_u32);                                                                               \
        __array(                                                                                             \
            values, struct {                                                                                 \
                __uint(type, BPF_MAP_TYPE_ARRAY);                                                            \
                __uint(map_flags, 0x1000);                                                                   \
                __uint(max_entries, 1);                                                                      \
                __type(key, husk_u32);                                                                       \
                __uint(value_size, CHUNK_BYTES);                                                             \
            });                                                                                              \
    } NAME SEC(".maps")

struct set_bytes {
    void *map;
    husk_u8 *first; /* chunk 0 */
    husk_u32 chunk_bytes;
};

/* `size` bytes at an offset that is a multiple of it, or NULL past the end. Both sizes are powers of two. */
static __always_inline void *set_at(const struct set_bytes *set, husk_u64 offset, husk_u32 size)
{
    husk_u8 *chunk = set->first;
    husk_u32 index = offset / set->chunk_bytes;
    if (index > 0) {
        chunk = bpf_map_lookup_elem(set->map, &index);
        if (!chunk)
            return NULL;
    }
    FORGET(offset); /* or clang derives the mask from what it knows, and the verifier does not follow */
    return chunk + (offset & (set->chunk_bytes - size));
}

/* Ones in a word: BPF has no instruction for it. */
static __always_inline husk_u64 ones_of(husk_u64 word)
{
    word -= (word >> 1) & 0x5555555555555555ull;
    word = (word & 0x3333333333333333ull) + ((word >> 2) & 0x3333333333333333ull);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return (word * 0x0101010101010101ull) >> 56;
}

#endif
