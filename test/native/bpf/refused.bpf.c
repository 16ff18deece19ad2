// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Reads beyond the packet: the verifier refuses it and says why, at some length. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_unchecked(struct xdp_md *ctx)
{
    return *(unsigned char *)(long)ctx->data;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
