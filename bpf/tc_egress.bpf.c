// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Packets that leave on an Ethernet link, sent by the device or forwarded: left to whatever else is attached
 * there (TC_ACT_UNSPEC) or dropped (TC_ACT_SHOT), by the egress rules of the interface's zone. Emits drops,
 * and what monitor mode would have dropped. The order of judgement is in judge_packet.h. Attachable by TCX
 * and by clsact.
 *
 * The twin runs under BPF_PROG_TEST_RUN only: it proves a standby slot before it goes live.
 */
#include <linux/pkt_cls.h>

#include "include/judge_packet.h"

/* The longest chain of headers that parsing follows: Ethernet, VLAN tags, IPv6, extensions, TCP. */
#define HEADERS_BYTES_MAX (14 + 4 * HUSK_VLAN_DEPTH_MAX + 40 + 2048 * HUSK_IPV6_HEADERS_MAX + 20)

/* Global, so that the paths through the headers are walked once, and not once for each way to get there. */
GLOBAL husk_parse(struct __sk_buff *skb, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return PARSE_MALFORMED;
    __builtin_memset(&bench->key.packet, 0, sizeof(bench->key.packet));
    struct cursor cursor = {
        .pos = (void *)(long)skb->data,
        .end = (void *)(long)skb->data_end,
        .left = bench->length,
        .is_gso = skb->gso_size,
    };
    return parse_frame(&cursor, &bench->key.packet);
}

/* Headers are nearly always in the linear part; where one is not, they are copied there and read again. */
static __always_inline int parse(struct __sk_buff *skb, enum role role)
{
    int parsed = husk_parse(skb, role);
    if (parsed != PARSE_UNREADABLE)
        return parsed;
    husk_u32 length = skb->len;
    bpf_skb_pull_data(skb, length < HEADERS_BYTES_MAX ? length : HEADERS_BYTES_MAX);
    return husk_parse(skb, role);
}

static __always_inline int judge_egress(struct __sk_buff *skb, enum role role)
{
    struct bench *bench = bench_clear(role, skb->ifindex, skb->len);
    if (!bench)
        return TC_ACT_UNSPEC;
    const struct husk_zone *zone = find_zone(bench);
    if (zone && !judge_by_tables(bench, role, zone, parse(skb, role)))
        bench->result.reason = HUSK_REASON_NO_GENERATION;
    return conclude(bench, role) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

SEC("tc")
int husk_tc_egress(struct __sk_buff *skb)
{
    return judge_egress(skb, ROLE_EGRESS);
}

SEC("tc")
int husk_tc_egress_twin(struct __sk_buff *skb)
{
    return judge_egress(skb, ROLE_EGRESS_TWIN);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
