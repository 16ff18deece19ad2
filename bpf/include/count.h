/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Counting: per CPU, so a plain addition is enough. What has no place to be counted is not an error. */
#ifndef HUSK_COUNT_H
#define HUSK_COUNT_H

#include "maps.h"

static __always_inline void count_total(husk_u32 total)
{
    husk_u64 *count = bpf_map_lookup_elem(&totals, &total);
    if (count)
        *count += 1;
}

/* `rule` may be HUSK_RULE_NONE or any other index past the end: nothing is counted. */
static __always_inline void count_rule(husk_u32 rule, husk_u32 bytes)
{
    struct husk_counter *counter = bpf_map_lookup_elem(&counters, &rule);
    if (!counter)
        return;
    counter->hits += 1;
    counter->bytes += bytes;
}

/* A rule matched above its limit. */
static __always_inline void count_limited(husk_u32 rule)
{
    struct husk_counter *counter = bpf_map_lookup_elem(&counters, &rule);
    if (counter)
        counter->limited += 1;
}

#endif
