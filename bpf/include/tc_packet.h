/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A packet as tc programs get it: what differs from XDP in reading one. Included before judge_packet.h. */
#ifndef HUSK_TC_PACKET_H
#define HUSK_TC_PACKET_H

#include <linux/pkt_cls.h>

#include "bench.h"

#define CONTEXT struct __sk_buff

/* The longest chain of headers that parsing follows: Ethernet, VLAN tags, IPv6, extensions, TCP. */
#define HEADERS_BYTES_MAX (14 + 4 * HUSK_VLAN_DEPTH_MAX + 40 + 2048 * HUSK_IPV6_HEADERS_MAX + 20)

#define LOOPBACK 1
#define BYTES_BEFORE_MAX 255

/*
 * How many bytes before its IP header a packet has on a link without an Ethernet header: what a tunnel took
 * it out of, and left there as if it were a link header. xfrm interfaces do, and ipip, sit and gre
 * before 5.14.
 *
 * Nothing tells a program where the network header is. But bytes can be loaded from there, as far as those
 * reach that `data_end` is the end of: so the last of them is loaded by its distance from either.
 *
 * BPF_PROG_TEST_RUN puts a network header 14 bytes into anything, and takes for its protocol what stands
 * there: to be left alone, as all on the loopback interface, where twins run. What a tunnel took out is IP to
 * the kernel. One more than BYTES_BEFORE_MAX: more than that.
 */
GLOBAL husk_bytes_before(struct __sk_buff *skb)
{
    husk_u64 last = (void *)(long)skb->data_end - (void *)(long)skb->data;
    FORGET(last); /* else clang takes the 1 off before, by ways that no pointer may go */
    last -= 1;
    husk_u8 byte;
    bool is_ip = skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6);
    if (!is_ip || skb->ifindex == LOOPBACK || last > 0xffff ||
        !bpf_skb_load_bytes_relative(skb, last, &byte, 1, BPF_HDR_START_NET))
        return 0;
    husk_u32 too_few = 0;
#pragma unroll
    for (husk_u32 step = (BYTES_BEFORE_MAX + 1) / 2; step; step /= 2)
        if (last >= too_few + step &&
            bpf_skb_load_bytes_relative(skb, last - too_few - step, &byte, 1, BPF_HDR_START_NET))
            too_few += step;
    return too_few + 1;
}

/* Global, so that the paths through the headers are walked once, and not once for each way to get there. */
GLOBAL husk_parse(struct __sk_buff *skb, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return PARSE_MALFORMED;
    husk_u32 came_by = bench->packet.came_by;
    __builtin_memset(&bench->packet, 0, sizeof(bench->packet));
    bench->packet.came_by = came_by;
    struct cursor cursor = {
        .start = (void *)(long)skb->data,
        .pos = (void *)(long)skb->data,
        .end = (void *)(long)skb->data_end,
        .left = bench->length,
        .vlan = skb->vlan_present ? (skb->vlan_tci & VLAN_ID) | VLAN_PRESENT : 0,
        .is_gso = skb->gso_size,
    };
    if (bench->zone.link == HUSK_LINK_BARE) {
        husk_u32 before = is_ingress(role) ? husk_bytes_before(skb) : 0;
        if (before > BYTES_BEFORE_MAX || before >= skb->len)
            return PARSE_MALFORMED;
        bench->before = before;
        bench->length = skb->len - before;
        cursor.left = bench->length;
        cursor.pos += before;
        return parse_bare(&cursor, &bench->packet);
    }
    return parse_frame(&cursor, &bench->packet);
}

/* Headers are nearly always in the linear part; where one is not, they are copied there and read again. */
static __always_inline int parse(struct __sk_buff *skb, husk_u32 role)
{
    int parsed = husk_parse(skb, role);
    if (parsed != PARSE_UNREADABLE)
        return parsed;
    husk_u32 length = skb->len;
    bpf_skb_pull_data(skb, length < HEADERS_BYTES_MAX ? length : HEADERS_BYTES_MAX);
    return husk_parse(skb, role);
}

/* The first bytes of the packet, for its event; returns how many. */
static __always_inline husk_u32 copy_data(struct __sk_buff *skb, struct bench *bench)
{
    husk_u64 length =
        bench->length; /* wide: verifiers up to 6.1 forget the bounds of half a word on the stack */
    if (length == 0)
        return 0;
    if (length > HUSK_EVENT_DATA_BYTES)
        length = HUSK_EVENT_DATA_BYTES;
    husk_u64 last = length - 1;
    FORGET(last);
    length = (last & (HUSK_EVENT_DATA_BYTES - 1)) + 1;
    return bpf_skb_load_bytes(skb, bench->before, bench->data, length) ? 0 : length;
}

/* What an ICMP error quotes. */
static __always_inline void find_quoted(struct __sk_buff *skb, struct bench *bench,
                                        const struct husk_connection_settings *settings, husk_u32 now)
{
    connection_find_quoted_skb(skb, &bench->connection, &bench->packet, settings, bench->is_egress,
                               bench->generation, now);
}

#endif
