// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Floor of the packet benchmarks: an XDP program that only drops. What a run of it takes is the harness.
 */
#include "include/compat.h"

SEC("xdp")
int bench_drop(struct xdp_md *ctx)
{
    (void)ctx;
    return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
