// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The floor: what comes in or goes out by an interface that no other program of ours covers (yet) is stopped
 * where a zone says so (`uncovered: drop`). Two netfilter programs (kernel 6.4 and later), each attached for
 * both families: one where packets come in (PRE_ROUTING), one where they leave (POST_ROUTING). Counts what it
 * stops.
 *
 * Netfilter sees the IP packets of the device's own stack. Frames that a bridge passes from port to port,
 * ARP, and what packet sockets send and receive, do not come by here.
 *
 * The one object that reads structs of the kernel: fields are found by its BTF when it is loaded. It is
 * optional.
 */
#include "include/compat.h"

#include <bpf/bpf_core_read.h>

#define NF_DROP 0
#define NF_ACCEPT 1
/* Always the loopback interface's (net/loopback.h), which is in no zone. */
#define LOOPBACK_IFINDEX 1

/* What is read of them, under the kernel's names. */
struct net_device {
    int ifindex;
    char name[HUSK_IFNAME_BYTES];
} __attribute__((preserve_access_index));
struct nf_hook_state {
    struct net_device *in;
    struct net_device *out;
} __attribute__((preserve_access_index));
struct bpf_nf_ctx {
    const struct nf_hook_state *state;
} __attribute__((preserve_access_index));

/* By index: HUSK_FLOOR_COVERED_. Writer: user space. Missing: not covered. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1024);
    __type(key, husk_u32);
    __type(value, husk_u32);
} floor_covered SEC(".maps");

/* Writer: user space, all of it at once. No patterns: all passes. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct husk_floor);
} floor_patterns SEC(".maps");

/* Packets stopped, in and out. Writer: the programs. Reader: user space, which adds the CPUs up. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, husk_u32);
    __type(value, husk_u64);
} floor_stopped SEC(".maps");

union name {
    char text[HUSK_IFNAME_BYTES];
    husk_u64 words[HUSK_IFNAME_BYTES / 8];
};

static __always_inline bool is_named(const union name *name, husk_u32 length)
{
    husk_u32 zero = 0;
    const struct husk_floor *floor = bpf_map_lookup_elem(&floor_patterns, &zero);
    if (!floor)
        return false;
    for (husk_u32 at = 0; at < HUSK_FLOOR_PATTERNS_MAX && at < floor->count; at++) {
        const struct husk_floor_pattern *pattern = &floor->patterns[at];
        if (length >= pattern->least && !((name->words[0] ^ pattern->value[0]) & pattern->mask[0]) &&
            !((name->words[1] ^ pattern->value[1]) & pattern->mask[1]))
            return true;
    }
    return false;
}

/* A name that cannot be read is none of ours. */
static __always_inline int pass_or_stop(const struct net_device *device, husk_u32 covered, husk_u32 counter)
{
    if (!device)
        return NF_ACCEPT;
    husk_u32 ifindex = device->ifindex;
    if (ifindex == LOOPBACK_IFINDEX)
        return NF_ACCEPT;
    const husk_u32 *known = bpf_map_lookup_elem(&floor_covered, &ifindex);
    if (known && *known & covered)
        return NF_ACCEPT;
    union name name = {};
    long length = bpf_probe_read_kernel_str(name.text, sizeof(name.text), device->name);
    if (length <= 0 || !is_named(&name, (husk_u32)length - 1))
        return NF_ACCEPT;
    husk_u64 *stopped = bpf_map_lookup_elem(&floor_stopped, &counter);
    if (stopped)
        *stopped += 1;
    return NF_DROP;
}

SEC("netfilter")
int husk_floor_in(struct bpf_nf_ctx *ctx)
{
    return pass_or_stop(ctx->state->in, HUSK_FLOOR_COVERED_IN, 0);
}

SEC("netfilter")
int husk_floor_out(struct bpf_nf_ctx *ctx)
{
    return pass_or_stop(ctx->state->out, HUSK_FLOOR_COVERED_OUT, 1);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
