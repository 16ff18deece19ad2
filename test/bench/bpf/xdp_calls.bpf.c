// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What a call of a function and its return take. Some CPUs mispredict every return on purpose (Safe RET on
 * AMD's Zen 3 and 4, against speculative return stack overflow): there it is ten times what it is elsewhere,
 * and so are programs that consist of many functions.
 */
#include "include/compat.h"

/* As often as a packet that is judged calls functions and helpers, so that the figure is one of the same
 * kind. */
#define CALLS 32

static __attribute__((noinline)) int next(int number)
{
    asm volatile("" : "+r"(number));
    return number + 1;
}

SEC("xdp")
int bench_calls(struct xdp_md *ctx)
{
    int number = (int)ctx->ingress_ifindex;
#pragma unroll
    for (int i = 0; i < CALLS; i++)
        number = next(number);
    /* Never another, which the compiler does not know. */
    return number == -1 ? XDP_ABORTED : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
