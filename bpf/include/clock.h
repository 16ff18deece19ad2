/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The second of boot time, to the nearest tick. bpf_ktime_get_boot_ns() costs about 43 ns, its coarse sister
 * (16) came with 5.11, and jiffies (1 ns, 5.5) don't say how long they are. So each CPU reads the clock once
 * a jiffy and keeps the second: 3 ns a packet. Two CPUs may differ by a tick; times are therefore compared as
 * differences.
 */
#ifndef HUSK_CLOCK_H
#define HUSK_CLOCK_H

#include "compat.h"

struct clock {
    husk_u64 jiffies;
    husk_u64 seconds;
};

/* Programs only. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct clock);
} clocks SEC(".maps");

static __always_inline husk_u32 clock_seconds(void)
{
    husk_u32 zero = 0;
    husk_u64 jiffies = bpf_jiffies64();
    struct clock *clock = bpf_map_lookup_elem(&clocks, &zero);
    if (clock && clock->jiffies == jiffies && clock->seconds)
        return clock->seconds;
    husk_u64 seconds = bpf_ktime_get_boot_ns() / 1000000000ull;
    if (clock) {
        clock->jiffies = jiffies;
        clock->seconds = seconds;
    }
    return seconds;
}

#endif
