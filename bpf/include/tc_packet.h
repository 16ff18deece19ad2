/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A packet as tc programs get it: what differs from XDP in reading one. Included before judge_packet.h. */
#ifndef HUSK_TC_PACKET_H
#define HUSK_TC_PACKET_H

#include <linux/pkt_cls.h>

#include "bench.h"

#define CONTEXT struct __sk_buff

/* The longest chain of headers that parsing follows: Ethernet, VLAN tags, IPv6, extensions, TCP. */
#define HEADERS_BYTES_MAX (14 + 4 * HUSK_VLAN_DEPTH_MAX + 40 + 2048 * HUSK_IPV6_HEADERS_MAX + 20)

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
    if (bench->zone.link == HUSK_LINK_BARE)
        return parse_bare(&cursor, &bench->packet);
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
static __always_inline husk_u32 copy_data(struct __sk_buff *skb, husk_u8 data[HUSK_EVENT_DATA_BYTES])
{
    husk_u64 length = skb->len; /* wide: verifiers up to 6.1 forget the bounds of half a word on the stack */
    if (length == 0)
        return 0;
    if (length > HUSK_EVENT_DATA_BYTES)
        length = HUSK_EVENT_DATA_BYTES;
    husk_u64 last = length - 1;
    FORGET(last);
    length = (last & (HUSK_EVENT_DATA_BYTES - 1)) + 1;
    return bpf_skb_load_bytes(skb, 0, data, length) ? 0 : length;
}

/* What an ICMP error quotes. */
static __always_inline void find_quoted(struct __sk_buff *skb, struct bench *bench,
                                        const struct husk_connection_settings *settings, husk_u32 now)
{
    connection_find_quoted_skb(skb, &bench->connection, &bench->packet, settings, bench->is_egress,
                               bench->generation, now);
}

#endif
