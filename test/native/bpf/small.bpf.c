// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The least that is still an object with a map and a program: loaded and closed ten thousand times. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, unsigned int);
    __type(value, unsigned long long);
} number SEC(".maps");

SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
    unsigned int key = 0;

    return bpf_map_lookup_elem(&number, &key) ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
