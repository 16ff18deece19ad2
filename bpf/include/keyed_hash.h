/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A hash of five words under a random key. Who sends packets must not be able to choose many that share a
 * bucket: they would push each other, and whoever else is there, out of the table.
 *
 * NH of UMAC (RFC 4418 §5.2): the sum of products of halves, each plus a random half. Two inputs give one sum
 * for one in 2^32 keys, whatever the inputs are, as long as whoever chose them does not know the key; jhash
 * and Murmur have inputs that collide under every key. A keyed multiplication then spreads the sum over all
 * bits. About 45 instructions; SipHash-1-3 would be 250, since BPF has no rotation.
 */
#ifndef HUSK_KEYED_HASH_H
#define HUSK_KEYED_HASH_H

#include "compat.h"

#define HASH_WORDS 5

/* Structs of bytes and ports are compared and hashed as words. */
typedef husk_u64 __attribute__((may_alias)) word;

/* Never 0. `seed` has HASH_WORDS + 2 words. `turn` other than 0 gives another hash of the same input. */
static __always_inline husk_u64 keyed_hash(const word *words, const husk_u64 *seed, husk_u64 turn)
{
    husk_u64 sum = turn;
#pragma unroll
    for (int at = 0; at < HASH_WORDS; at++) {
        husk_u64 low = (husk_u32)(words[at] + seed[at]);
        husk_u64 high = (husk_u32)((words[at] >> 32) + (seed[at] >> 32));
        sum += low * high;
    }
    sum = (sum ^ sum >> 32) * (seed[HASH_WORDS] | 1) + seed[HASH_WORDS + 1];
    sum = (sum ^ sum >> 29) * 0x9e3779b97f4a7c15ull; /* 2^64 over the golden ratio */
    return (sum ^ sum >> 32) | 1;
}

#endif
