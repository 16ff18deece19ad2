/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Limits of rules, and the token buckets that they draw from (map `rates`). A bucket is the time at which it
 * will be full again: the generic cell rate algorithm (ITU-T I.371, "virtual scheduling"). No packet is
 * counted twice, no token is refilled by a timer, and a bucket outlives the generation that made it.
 */
#ifndef HUSK_ABI_RATE_H
#define HUSK_ABI_RATE_H

#include "abi.h"

enum husk_limit_per {
    HUSK_LIMIT_PER_RULE = 1,
    HUSK_LIMIT_PER_SOURCE = 2,
    HUSK_LIMIT_PER_FLOW = 3,
};
enum husk_limit_over {
    HUSK_LIMIT_OVER_DROP = 1,
    HUSK_LIMIT_OVER_NEXT = 2,
};

/* The limit of one rule. */
struct husk_limit {
    husk_u64 cost_ns;  /* of a token: 1 s / rate, rounded down, at least 1 */
    husk_u64 depth_ns; /* cost_ns x burst */
    husk_u64 digest;   /* of the rule's stable id and of this definition: the same in the next generation, the
                          same buckets */
    husk_u8 per;       /* enum husk_limit_per */
    husk_u8 over;      /* enum husk_limit_over */
    husk_u8 prefix4;   /* per source: bits of the address that count, 0-32 */
    husk_u8 prefix6;   /* 0-128 */
    husk_u8 pad[4];
};
_Static_assert(sizeof(struct husk_limit) == 32, "husk_limit");

#define HUSK_RATE_WAYS 8
/* Where the loader sets nothing else; a power of two. 1,024 of 328 bytes: 336 KB for 8,192 token buckets. */
#define HUSK_RATE_BUCKETS 1024

/* A token bucket. */
struct husk_rate {
    husk_u64 digest;  /* of the limit, and of the family where it is by source; 0: free */
    husk_u64 who[2];  /* the source, cut; or two hashes of the flow; or 0 */
    husk_u64 full_ns; /* boot time at which it will be full */
    husk_u64 used_ns; /* when a packet last asked it */
};
_Static_assert(sizeof(struct husk_rate) == 40, "husk_rate");

/* A value of `rates`. To the programs `lock` is a struct bpf_spin_lock; user space reads 0. */
struct husk_rate_bucket {
    struct husk_rate entries[HUSK_RATE_WAYS];
    husk_u32 lock;
    husk_u32 pad;
};
_Static_assert(sizeof(struct husk_rate_bucket) == 328, "husk_rate_bucket");

#endif
