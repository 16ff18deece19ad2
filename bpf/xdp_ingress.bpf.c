// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Packets that arrive on an Ethernet link: allowed (XDP_PASS) or stopped (XDP_DROP, or XDP_TX of the answer
 * to what is rejected), by the ingress rules of the interface's zone. Emits what is stopped, and what monitor
 * mode would have stopped. The order of judgement is in judge_packet.h. VLAN tags that the card took off are
 * not seen here.
 *
 * The twin runs under BPF_PROG_TEST_RUN only: it proves a standby slot before it goes live.
 */
#include "include/bench.h"

#define CONTEXT struct xdp_md

/* Global, so that the paths through the headers are walked once, and not once for each way to get there. */
GLOBAL husk_parse(struct xdp_md *ctx, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return PARSE_MALFORMED;
    struct cursor cursor = {
        .start = (void *)(long)ctx->data,
        .pos = (void *)(long)ctx->data,
        .end = (void *)(long)ctx->data_end,
        .left = bench->length,
    };
    return parse_frame(&cursor, &bench->packet);
}

/* The first bytes of the packet, for its event; returns how many. */
static __always_inline husk_u32 copy_data(struct xdp_md *ctx, struct bench *bench)
{
    const husk_u8 *from = (void *)(long)ctx->data;
    const husk_u8 *end = (void *)(long)ctx->data_end;
    husk_u32 length = 0;
#pragma clang loop unroll(disable)
    for (husk_u32 at = 0; at < HUSK_EVENT_DATA_BYTES; at++) {
        if (from + at + 1 > end)
            break;
        bench->data[at] = from[at];
        length = at + 1;
    }
    return length;
}

/* What an ICMP error quotes. */
static __always_inline void find_quoted(struct xdp_md *ctx, struct bench *bench,
                                        const struct husk_connection_settings *settings, husk_u32 now)
{
    connection_find_quoted_xdp(ctx, &bench->connection, &bench->packet, settings, bench->generation, now);
}

#include "include/reject_xdp.h"
#include "include/judge_packet.h"

static __always_inline int judge_ingress(struct xdp_md *ctx, husk_u32 role)
{
    husk_u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
    FORGET(length); /* else clang subtracts lower halves, and 6.18 refuses to spill half a pointer */
    struct bench *bench = bench_clear(role, ctx->ingress_ifindex, 0, length);
    if (!bench)
        return XDP_PASS;
    if (find_zone(bench) && !judge_by_tables(ctx, bench, role, husk_parse(ctx, role)))
        bench->result.reason = HUSK_REASON_NO_GENERATION;
    if (!conclude(ctx, bench, role))
        return bench->answer_bytes ? husk_send_cookie(ctx, role) : XDP_PASS;
    return is_answered(bench, role) ? husk_reject(ctx, role) : XDP_DROP;
}

SEC("xdp")
int husk_xdp_ingress(struct xdp_md *ctx)
{
    return judge_ingress(ctx, ROLE_XDP_INGRESS);
}

SEC("xdp")
int husk_xdp_ingress_twin(struct xdp_md *ctx)
{
    return judge_ingress(ctx, ROLE_XDP_INGRESS_TWIN);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
