/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The packet that an ICMP error quotes: an IP header and what follows, at least 8 bytes (RFC 792, RFC 4443
 * §2.4). The error is related to the connection of the quoted addresses and ports, whichever way that packet
 * went, if the error goes to who sent it. What is too short, lies about its header, is a later fragment or
 * quotes an ICMP error itself (RFC 1122 §3.2.2) is of nothing.
 */
#ifndef HUSK_CONNECTION_QUOTE_H
#define HUSK_CONNECTION_QUOTE_H

#include "connection.h"

#define ICMP_HEADER_BYTES 8
/* Further into a frame no quote begins; XDP wants pointers bounded. */
#define QUOTE_OFFSET_MAX 0x3fff

/* Where the bytes are: between two pointers, or, where `skb` is set, wherever the kernel has them. Constant
 * where it is used, so that each program keeps its own way only. */
struct quote {
    void *data;
    void *data_end;
    struct __sk_buff *skb;
    husk_u32 offset;
};

/* Copies SIZE bytes from the quote's offset. A macro: XDP's comparison wants a constant beside the pointer.
 */
static __always_inline bool quote_read(const struct quote *quote, void *to, husk_u32 size)
{
    if (quote->offset > QUOTE_OFFSET_MAX)
        return false;
    if (quote->skb)
        return bpf_skb_load_bytes(quote->skb, quote->offset, to, size) == 0;
    husk_u64 offset = quote->offset & QUOTE_OFFSET_MAX;
    FORGET(offset);
    offset &= QUOTE_OFFSET_MAX;
    void *from = quote->data + offset;
    if (from + size > quote->data_end)
        return false;
    __builtin_memcpy(to, from, size);
    return true;
}

/* The protocol, or negative; the quote then stands on its header. */
static __always_inline int quote_ipv4(struct quote *quote, struct tuple *tuple)
{
    struct ipv4_header ip;
    if (!quote_read(quote, &ip, sizeof(ip)))
        return PARSE_MALFORMED;
    husk_u32 header_size = (ip.version_and_words & 0x0f) * 4;
    if (ip.version_and_words >> 4 != 4 || header_size < sizeof(ip) ||
        bpf_ntohs(ip.fragment) & IPV4_FRAGMENT_OFFSET)
        return PARSE_MALFORMED;
    address_from_ipv4(&tuple->saddr, ip.saddr);
    address_from_ipv4(&tuple->daddr, ip.daddr);
    quote->offset += header_size;
    return ip.ip_proto;
}

static __always_inline int quote_ipv6(struct quote *quote, struct tuple *tuple)
{
    struct ipv6_header ip;
    if (!quote_read(quote, &ip, sizeof(ip)))
        return PARSE_MALFORMED;
    if (ip.version_and_class >> 4 != 6)
        return PARSE_MALFORMED;
    __builtin_memcpy(&tuple->saddr, ip.saddr, sizeof(tuple->saddr));
    __builtin_memcpy(&tuple->daddr, ip.daddr, sizeof(tuple->daddr));
    quote->offset += sizeof(ip);
    husk_u64 header = ip.next_header;
    /* As parse_ipv6_extensions, and unrolled for the same reason. */
#pragma unroll
    for (int depth = 0; depth < HUSK_IPV6_HEADERS_MAX; depth++) {
        if (!is_ipv6_extension(header))
            return header;
        struct ipv6_extension extension;
        if (!quote_read(quote, &extension, sizeof(extension)))
            return PARSE_MALFORMED;
        husk_u64 is_fragment = any(header ^ PROTO_FRAGMENT) ^ 1;
        husk_u64 is_ah = any(header ^ PROTO_AH) ^ 1;
        husk_u64 units = extension.size * (is_fragment ^ 1) + 1 + is_ah;
        husk_u64 unit_size = 8 - 4 * is_ah;
        FORGET(unit_size);
        husk_u64 size = units * unit_size;
        FORGET(size);
        if (is_fragment && bpf_ntohs(extension.fragment) & IPV6_FRAGMENT_OFFSET)
            return PARSE_MALFORMED;
        header = extension.next_header;
        quote->offset += size & 0xfff;
    }
    return is_ipv6_extension(header) ? PARSE_MALFORMED : (int)header;
}

/* Both ends of the quoted packet. False: it is of nothing. */
static __always_inline bool quote_parse(struct quote *quote, const struct packet *error, struct tuple *tuple)
{
    bool is_ipv4 = error->family == HUSK_FAMILY_IPV4;
    __builtin_memset(tuple, 0, sizeof(*tuple));
    tuple->family = error->family;
    quote->offset = error->layer4 + ICMP_HEADER_BYTES;
    int ip_proto = is_ipv4 ? quote_ipv4(quote, tuple) : quote_ipv6(quote, tuple);
    if (ip_proto < 0)
        return false;
    tuple->ip_proto = ip_proto;
    tuple->is_icmp = ip_proto == (is_ipv4 ? PROTO_ICMP : PROTO_ICMPV6);
    bool has_ports =
        ip_proto == PROTO_TCP || ip_proto == PROTO_UDP || ip_proto == PROTO_SCTP || ip_proto == PROTO_UDPLITE;
    if (!tuple->is_icmp && !has_ports)
        return true;
    /* Of TCP and SCTP no more than this has to be there. */
    husk_u8 start[8];
    if (!quote_read(quote, start, sizeof(start)))
        return false;
    if (has_ports) {
        tuple->sport = start[0] << 8 | start[1];
        tuple->dport = start[2] << 8 | start[3];
    } else {
        tuple->icmp_type = start[0];
        tuple->sport = start[4] << 8 | start[5];
    }
    return true;
}

/* After connection_find: where the packet is an ICMP error, `related` or `invalid`. */
static __always_inline void connection_find_quoted(struct quote *quote, struct connection *connection,
                                                   const struct packet *packet,
                                                   const struct husk_connection_settings *settings,
                                                   bool is_egress, husk_u32 generation, husk_u32 now)
{
    struct tuple tuple;
    if (connection->state != HUSK_CONNECTION_INVALID || !packet->has_icmp ||
        !is_icmp_error(packet->family, packet->icmp_type))
        return;
    if (!quote_parse(quote, packet, &tuple))
        return;
    if ((tuple.saddr.halves[0] ^ packet->daddr.halves[0]) | (tuple.saddr.halves[1] ^ packet->daddr.halves[1]))
        return;
    if (!connection_key_set(connection, &tuple))
        return;
    connection_look_up(connection, settings, is_egress, generation, now);
    /* An answer to the quoted packet: it goes the other way. Verdicts are of the connection's own packets. */
    connection->is_reply ^= 1;
    connection->decided = 0;
    if (connection->is_known)
        connection->state = HUSK_CONNECTION_RELATED;
}

static __always_inline void connection_find_quoted_xdp(struct xdp_md *ctx, struct connection *connection,
                                                       const struct packet *packet,
                                                       const struct husk_connection_settings *settings,
                                                       husk_u32 generation, husk_u32 now)
{
    struct quote quote = {.data = (void *)(long)ctx->data, .data_end = (void *)(long)ctx->data_end};
    connection_find_quoted(&quote, connection, packet, settings, false, generation, now);
}

static __always_inline void connection_find_quoted_skb(struct __sk_buff *skb, struct connection *connection,
                                                       const struct packet *packet,
                                                       const struct husk_connection_settings *settings,
                                                       bool is_egress, husk_u32 generation, husk_u32 now)
{
    struct quote quote = {.skb = skb};
    connection_find_quoted(&quote, connection, packet, settings, is_egress, generation, now);
}

#endif
