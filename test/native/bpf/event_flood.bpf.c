// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Packet events as fast as a CPU makes them, for the events bench: the real emit_packet() on the real maps,
 * EVENTS_PER_RUN times a run. The packet's first eight bytes are where the sources begin, and how many there
 * are.
 */
#include "include/emit.h"

#define EVENTS_PER_RUN 64

struct order {
    husk_u32 first;
    husk_u32 sources;
};

SEC("xdp")
int event_flood(struct xdp_md *ctx)
{
    const struct order *order = (void *)(long)ctx->data;
    if ((void *)(order + 1) > (void *)(long)ctx->data_end || !order->sources)
        return XDP_PASS;
    struct husk_control *shared = map_only_entry(&control);
    if (!shared)
        return XDP_PASS;

    struct bench *bench = bench_of(ROLE_XDP_INGRESS);
    if (!bench)
        return XDP_PASS;
    struct packet *packet = &bench->packet;
    packet->sport = 40000;
    packet->dport = 23;
    packet->ether_type = ETH_P_IP;
    packet->family = HUSK_FAMILY_IPV4;
    packet->ip_proto = PROTO_TCP;
    bench->ifindex = ctx->ingress_ifindex;
    bench->length = 60;
    struct finding finding = {
        .serial = 1,
        .hook = HUSK_HOOK_XDP_INGRESS,
        .verdict = HUSK_VERDICT_DROP,
        .mode = HUSK_MODE_ENFORCE,
        .reason = HUSK_REASON_RULE,
    };
    address_from_ipv4(&packet->daddr, bpf_htonl(0xc6336401));
#pragma clang loop unroll(disable)
    for (husk_u32 index = 0; index < EVENTS_PER_RUN; index++) {
        bench->now_ns = bpf_ktime_get_boot_ns();
        if (!packet_event_affordable(shared)) {
            count_total(HUSK_TOTAL_PACKET_EVENTS_SUPPRESSED);
            continue;
        }
        address_from_ipv4(&packet->saddr, bpf_htonl(0x0a000000 + (order->first + index) % order->sources));
        emit_packet(&finding, bench);
    }
    return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
