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

    husk_u32 ifindex = ctx->ingress_ifindex;
    struct packet packet = {
        .sport = 40000,
        .dport = 23,
        .ether_type = ETH_P_IP,
        .family = HUSK_FAMILY_IPV4,
        .ip_proto = PROTO_TCP,
    };
    struct finding finding = {
        .serial = 1,
        .hook = HUSK_HOOK_XDP_INGRESS,
        .verdict = HUSK_VERDICT_DROP,
        .mode = HUSK_MODE_ENFORCE,
        .reason = HUSK_REASON_RULE,
    };
    address_from_ipv4(&packet.daddr, bpf_htonl(0xc6336401));
#pragma clang loop unroll(disable)
    for (husk_u32 index = 0; index < EVENTS_PER_RUN; index++) {
        address_from_ipv4(&packet.saddr, bpf_htonl(0x0a000000 + (order->first + index) % order->sources));
        emit_packet(shared, &finding, &packet, ifindex, 60);
    }
    return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
