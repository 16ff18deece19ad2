// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Gives the packet another IPv4 source address each run, then goes on to the program in `next`: a benchmark
 * of one packet over and over measures the cache. What it takes by itself is measured with bench_drop as
 * `next`.
 */
#include "include/compat.h"

#define SOURCES 65536
#define SADDR_AT 26 /* Ethernet header, then its place in the IPv4 header */

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SOURCES);
    __type(key, husk_u32);
    __type(value, husk_u32); /* network order */
} sources SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, husk_u32);
} position SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, husk_u32);
} next SEC(".maps");

SEC("xdp")
int bench_rotate(struct xdp_md *ctx)
{
    husk_u32 zero = 0;
    husk_u32 *at = bpf_map_lookup_elem(&position, &zero);
    if (!at)
        return XDP_ABORTED;
    husk_u32 index = ++*at % SOURCES;
    husk_u32 *source = bpf_map_lookup_elem(&sources, &index);
    husk_u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
    if (!source || data + SADDR_AT + sizeof(*source) > data_end)
        return XDP_ABORTED;
    __builtin_memcpy(data + SADDR_AT, source, sizeof(*source));
    bpf_tail_call(ctx, &next, 0);
    return XDP_ABORTED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
