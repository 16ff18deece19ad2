// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Floor of the packet benchmarks: parses as every packet program does, and drops what it could parse. What it
 * takes above bench_drop is parsing; what a packet program takes above it is judgement.
 */
#include "include/parsing.h"

/* As in the programs, what was parsed goes to memory, so that clang leaves nothing of it out. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct packet);
} parsed SEC(".maps");

SEC("xdp")
int bench_parse(struct xdp_md *ctx)
{
    husk_u32 zero = 0;
    struct packet *packet = bpf_map_lookup_elem(&parsed, &zero);
    if (!packet)
        return XDP_ABORTED;
    __builtin_memset(packet, 0, sizeof(*packet));
    void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
    struct cursor cursor = {.pos = data, .end = data_end, .left = data_end - data};
    return parse_frame(&cursor, packet) < 0 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
