// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Packets that arrive on an Ethernet link: allowed (XDP_PASS) or dropped (XDP_DROP), by the ingress rules of
 * the interface's zone. Emits drops, and what monitor mode would have dropped. The order of judgement is in
 * judge_packet.h.
 *
 * The twin runs under BPF_PROG_TEST_RUN only: it proves a standby slot before it goes live.
 */
#include "include/judge_packet.h"

/* Global, so that the paths through the headers are walked once, and not once for each way to get there. */
GLOBAL husk_parse(struct xdp_md *ctx, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return PARSE_MALFORMED;
    struct cursor cursor = {
        .pos = (void *)(long)ctx->data,
        .end = (void *)(long)ctx->data_end,
        .left = bench->length,
    };
    return parse_frame(&cursor, &bench->key.packet);
}

static __always_inline int judge_ingress(struct xdp_md *ctx, enum role role)
{
    husk_u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
    FORGET(length); /* else clang subtracts lower halves, and 6.18 refuses to spill half a pointer */
    struct bench *bench = bench_clear(role, ctx->ingress_ifindex, length);
    if (!bench)
        return XDP_PASS;
    const struct husk_zone *zone = find_zone(bench);
    if (zone && !judge_by_tables(bench, role, zone, husk_parse(ctx, role)))
        bench->result.reason = HUSK_REASON_NO_GENERATION;
    return conclude(bench, role) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int husk_xdp_ingress(struct xdp_md *ctx)
{
    return judge_ingress(ctx, ROLE_INGRESS);
}

SEC("xdp")
int husk_xdp_ingress_twin(struct xdp_md *ctx)
{
    return judge_ingress(ctx, ROLE_INGRESS_TWIN);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
