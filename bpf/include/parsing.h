/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * From a frame to struct packet. A cursor walks the headers; each helper checks its own bounds and returns
 * the next header's type, or a negative number.
 *
 * What counts as unparseable, that is, gets the generation's verdict for packets nobody can read:
 *
 *   bare links   version neither 4 nor 6
 *   any link     a header that does not fit into the frame; a third VLAN tag (802.1Q or 802.1ad)
 *   IPv4         version not 4; header under 20 bytes or past the total length; total length past the frame
 *   IPv6         version not 6; payload length past the frame; an extension header past the payload; more
 *                than 8 of them (hop-by-hop, routing, fragment, AH, destination, mobility, HIP, shim6)
 *   TCP          under 20 bytes, data offset under 5, or options past the payload
 *   TCP later    a later fragment that begins 8 bytes into it: its flags could replace the first's (RFC 3128)
 *   UDP-Lite     under 8 bytes
 *   UDP          under 8 bytes; length under 8, or past the payload where it is not a fragment
 *   SCTP         under 12 bytes
 *   ICMP(v6)     under 8 bytes; only in their own family
 *
 * Frames may be longer than what they carry (padding). Any other protocol has no ports and is not looked
 * into; any other EtherType, 802.3 lengths included, is family OTHER and is not looked into. A fragment that
 * is not the first has addresses and a protocol and nothing else; a first fragment must carry its whole
 * L4 header (RFC 7112, RFC 3128). An IPv6 fragment header with offset 0 and no more to come makes no
 * fragment (RFC 6946). ESP ends the walk.
 */
#ifndef HUSK_PARSING_H
#define HUSK_PARSING_H

#include <linux/if_ether.h>

#include "compat.h"

enum packet_fragment {
    FRAGMENT_NONE = 0,
    FRAGMENT_FIRST = 1,
    FRAGMENT_LATER = 2,
};

/* A VLAN id with this bit is there; 0 is no tag. */
#define VLAN_PRESENT 0x1000
#define VLAN_ID 0x0fff

/* Zeroed before parsing, so that what was not reached reads as absent. A multiple of 8 bytes. */
struct packet {
    union address saddr;
    union address daddr;
    husk_u64 smac; /* the first byte on the wire is the highest of the lower 48 bits */
    husk_u64 dmac;
    husk_u32 fragment_id; /* IPv4 identification, or that of the fragment header */
    husk_u16 sport;       /* host order */
    husk_u16 dport;
    husk_u16 ether_type; /* host order, after VLAN tags */
    husk_u16 length;     /* from the IP header on, as it states it; at most 65535 */
    husk_u16 outer_vlan; /* id | VLAN_PRESENT */
    husk_u16 inner_vlan;
    husk_u16 icmp_id; /* of echo and queries; else what stands in its place */
    husk_u16 layer4;  /* bytes before the L4 header, from the start of what was parsed */
    husk_u8 family;   /* HUSK_FAMILY_ */
    husk_u8 ip_proto;
    husk_u8 hop_limit; /* or TTL */
    husk_u8 tcp_flags;
    husk_u8 icmp_type;
    husk_u8 icmp_code;
    husk_u8 fragment; /* enum packet_fragment */
    husk_u8 has_ports;
    husk_u8 has_tcp;
    husk_u8 has_icmp;
    husk_u8 has_mac;
    husk_u8 dscp;
    husk_u32 came_by; /* egress: the interface by which it came in; 0: made here. Not parsed, but told */
    husk_u8 pad[4];
};
_Static_assert(sizeof(struct packet) % 8 == 0, "packet is cleared and copied by words");

struct cursor {
    void *start; /* of the frame, or of the IP header where the link has none */
    void *pos;
    void *end;     /* of what can be read */
    husk_u32 left; /* bytes from pos that the headers so far allow for; may be past `end` (non-linear skb) */
    husk_u32 vlan; /* the tag that was taken off, as in struct packet */
    husk_u32 is_gso; /* a batch of segments: lengths above 64 KiB do not fit their fields and are 0 */
};

enum {
    PARSE_MALFORMED = -1,
    PARSE_UNREADABLE = -2, /* the header is there, past `end`: pull it in and parse again */
};

/* Protocols and next headers, by IANA's numbers: linux/in.h and in6.h clash with libc's headers. */
enum {
    PROTO_HOP_BY_HOP = 0,
    PROTO_ICMP = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ROUTING = 43,
    PROTO_FRAGMENT = 44,
    PROTO_AH = 51,
    PROTO_ICMPV6 = 58,
    PROTO_DESTINATION = 60,
    PROTO_SCTP = 132,
    PROTO_MOBILITY = 135,
    PROTO_UDPLITE = 136,
    PROTO_HIP = 139,
    PROTO_SHIM6 = 140,
};
#define ETHERTYPE_8021Q 0x8100
#define ETHERTYPE_8021AD 0x88a8
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV6_MORE_FRAGMENTS 0x0001
#define IPV6_FRAGMENT_OFFSET 0xfff8
/* As IPv4 counts, in 8 bytes: behind the ports of TCP, before its flags. */
#define TCP_FLAGS_FRAGMENT 1

struct ethernet_header {
    husk_u16 destination[3];
    husk_u16 source[3];
    husk_u16 ether_type;
};
struct vlan_tag {
    husk_u16 control;
    husk_u16 ether_type;
};
struct ipv4_header {
    husk_u8 version_and_words;
    husk_u8 service;
    husk_u16 total_length;
    husk_u16 id;
    husk_u16 fragment;
    husk_u8 ttl;
    husk_u8 ip_proto;
    husk_u16 checksum;
    husk_u32 saddr;
    husk_u32 daddr;
};
struct ipv6_header {
    husk_u8 version_and_class;
    husk_u8 flow[3];
    husk_u16 payload_length;
    husk_u8 next_header;
    husk_u8 hop_limit;
    husk_u32 saddr[4];
    husk_u32 daddr[4];
};
/* The fragment header shares its first byte and its size with every other extension of 8 bytes. */
struct ipv6_extension {
    husk_u8 next_header;
    husk_u8 size; /* in 8 bytes beyond the first 8; AH counts 4 beyond 8; reserved in a fragment header */
    husk_u16 fragment;
    husk_u32 rest;
};
struct tcp_header {
    husk_u16 sport;
    husk_u16 dport;
    husk_u32 sequence;
    husk_u32 acknowledgement;
    husk_u8 words; /* in the upper half */
    husk_u8 flags;
    husk_u16 window;
    husk_u16 checksum;
    husk_u16 urgent;
};
struct udp_header {
    husk_u16 sport;
    husk_u16 dport;
    husk_u16 length;
    husk_u16 checksum;
};
struct sctp_header {
    husk_u16 sport;
    husk_u16 dport;
    husk_u32 tag;
    husk_u32 checksum;
};
struct icmp_header {
    husk_u8 type;
    husk_u8 code;
    husk_u16 checksum;
    husk_u32 rest;
};

/* 1 where any bit is set, else 0, without a branch: BPF has no set-on-condition. FORGET, twice: clang 19
 * knows the idiom, and what a number below 2 is good for, and makes them comparisons again. */
static __always_inline husk_u64 any(husk_u64 bits)
{
    husk_u64 negated = 0 - bits;
    FORGET(negated);
    husk_u64 top = (bits | negated) >> 63;
    FORGET(top);
    return top;
}

/* 0 where SIZE bytes at the cursor are allowed for and can be read. A macro: the verifier wants to see the
 * comparison of the very pointer that is read through. */
#define CURSOR_NEEDS(CURSOR, SIZE)                                                                           \
    ((CURSOR)->left<(SIZE) ? PARSE_MALFORMED : (CURSOR)->pos + (SIZE)>(CURSOR)->end ? PARSE_UNREADABLE : 0)

static __always_inline void cursor_skip(struct cursor *cursor, husk_u32 size)
{
    cursor->pos += size;
    cursor->left -= size;
}

/* 48 bits in the order of the wire; by halves of a word, since a frame is not aligned for more everywhere. */
static __always_inline husk_u64 mac_number(const husk_u16 halves[3])
{
    return (husk_u64)bpf_ntohs(halves[0]) << 32 | (husk_u64)bpf_ntohs(halves[1]) << 16 | bpf_ntohs(halves[2]);
}

/* Returns the EtherType, host order. */
static __always_inline int parse_ethernet(struct cursor *cursor, struct packet *packet)
{
    struct ethernet_header *ethernet = cursor->pos;
    int missing = CURSOR_NEEDS(cursor, sizeof(*ethernet));
    if (missing)
        return missing;
    packet->dmac = mac_number(ethernet->destination);
    packet->smac = mac_number(ethernet->source);
    packet->has_mac = 1;
    int ether_type = bpf_ntohs(ethernet->ether_type);
    cursor_skip(cursor, sizeof(*ethernet));

    packet->outer_vlan = cursor->vlan;
#pragma unroll
    for (int depth = 0; depth <= HUSK_VLAN_DEPTH_MAX; depth++) {
        if (ether_type != ETHERTYPE_8021Q && ether_type != ETHERTYPE_8021AD)
            return ether_type;
        if (packet->inner_vlan)
            break;
        struct vlan_tag *tag = cursor->pos;
        missing = CURSOR_NEEDS(cursor, sizeof(*tag));
        if (missing)
            return missing;
        husk_u16 vlan = (bpf_ntohs(tag->control) & VLAN_ID) | VLAN_PRESENT;
        if (packet->outer_vlan)
            packet->inner_vlan = vlan;
        else
            packet->outer_vlan = vlan;
        ether_type = bpf_ntohs(tag->ether_type);
        cursor_skip(cursor, sizeof(*tag));
    }
    return PARSE_MALFORMED;
}

/* Returns the protocol; the cursor stands on its header and allows for the datagram's payload alone. */
static __always_inline int parse_ipv4(struct cursor *cursor, struct packet *packet)
{
    struct ipv4_header *ip = cursor->pos;
    int missing = CURSOR_NEEDS(cursor, sizeof(*ip));
    if (missing)
        return missing;
    husk_u32 header_size = (ip->version_and_words & 0x0f) * 4;
    husk_u32 total = bpf_ntohs(ip->total_length);
    /* Left at 0, the number is a constant, and 5.10 follows the branches below that it rules out. */
    if (total == 0) {
        if (!cursor->is_gso)
            return PARSE_MALFORMED;
        total = cursor->left;
    }
    if (ip->version_and_words >> 4 != 4 || header_size < sizeof(*ip) || total < header_size ||
        total > cursor->left)
        return PARSE_MALFORMED;
    cursor->left = total;
    packet->length = total > 0xffff ? 0xffff : total;
    packet->dscp = ip->service >> 2;
    packet->fragment_id = bpf_ntohs(ip->id);
    if (cursor->pos + header_size > cursor->end)
        return PARSE_UNREADABLE;

    husk_u16 fragment = bpf_ntohs(ip->fragment);
    if (fragment & IPV4_FRAGMENT_OFFSET)
        packet->fragment = FRAGMENT_LATER;
    else if (fragment & IPV4_MORE_FRAGMENTS)
        packet->fragment = FRAGMENT_FIRST;
    address_from_ipv4(&packet->saddr, ip->saddr);
    address_from_ipv4(&packet->daddr, ip->daddr);
    packet->family = HUSK_FAMILY_IPV4;
    packet->hop_limit = ip->ttl;
    int ip_proto = ip->ip_proto;
    if ((fragment & IPV4_FRAGMENT_OFFSET) == TCP_FLAGS_FRAGMENT && ip_proto == PROTO_TCP)
        return PARSE_MALFORMED;
    cursor_skip(cursor, header_size);
    return ip_proto;
}

/* 1 for the extension headers that are walked: hop-by-hop, routing, fragment, AH, destination; mobility, HIP,
 * shim6. A bit map by the low six bits for the numbers below 64 and one for those from 128 on. */
static __always_inline husk_u64 is_ipv6_extension(husk_u64 header)
{
    const husk_u64 below_64 = 1ull << PROTO_HOP_BY_HOP | 1ull << PROTO_ROUTING | 1ull << PROTO_FRAGMENT |
                              1ull << PROTO_AH | 1ull << PROTO_DESTINATION;
    const husk_u64 from_128 =
        1ull << (PROTO_MOBILITY - 128) | 1ull << (PROTO_HIP - 128) | 1ull << (PROTO_SHIM6 - 128);
    husk_u64 low = header & 63;
    husk_u64 range = header >> 6;
    return ((below_64 >> low) & (any(range) ^ 1)) | ((from_128 >> low) & (any(range ^ 2) ^ 1));
}

/* Walks the extension headers; returns what follows them. Kind and size are worked out without a branch, so
 * that the verifier finds one state a round and not one for every sequence of eight kinds of header.
 * Unrolled: clang 19 enters the loop in its middle, and 5.10 refuses the step back to its top ("back-edge").
 */
static __always_inline int parse_ipv6_extensions(struct cursor *cursor, struct packet *packet,
                                                 husk_u64 header)
{
#pragma unroll
    for (int depth = 0; depth < HUSK_IPV6_HEADERS_MAX; depth++) {
        if (!is_ipv6_extension(header))
            return header;
        struct ipv6_extension *extension = cursor->pos;
        int missing = CURSOR_NEEDS(cursor, sizeof(*extension));
        if (missing)
            return missing;
        husk_u64 is_fragment = any(header ^ PROTO_FRAGMENT) ^ 1;
        husk_u64 is_ah = any(header ^ PROTO_AH) ^ 1;
        husk_u64 units = extension->size * (is_fragment ^ 1) + 1 + is_ah;
        husk_u64 unit_size = 8 - 4 * is_ah;
        FORGET(unit_size);
        husk_u64 size = units * unit_size;
        FORGET(size);
        size &= 0xfff; /* it is at most 2048; 5.10 forgets what it knew of a number on the stack */
        header = extension->next_header;
        if (is_fragment) {
            husk_u16 fragment = bpf_ntohs(extension->fragment);
            packet->fragment_id = bpf_ntohl(extension->rest);
            if (fragment & IPV6_FRAGMENT_OFFSET) {
                packet->fragment = FRAGMENT_LATER;
                if ((fragment & IPV6_FRAGMENT_OFFSET) >> 3 == TCP_FLAGS_FRAGMENT && header == PROTO_TCP)
                    return PARSE_MALFORMED;
                return header;
            }
            if (fragment & IPV6_MORE_FRAGMENTS)
                packet->fragment = FRAGMENT_FIRST;
        }
        if (cursor->left < size)
            return PARSE_MALFORMED;
        if (cursor->pos + size > cursor->end)
            return PARSE_UNREADABLE;
        cursor_skip(cursor, size);
    }
    return is_ipv6_extension(header) ? PARSE_MALFORMED : (int)header;
}

static __always_inline int parse_ipv6(struct cursor *cursor, struct packet *packet)
{
    struct ipv6_header *ip = cursor->pos;
    int missing = CURSOR_NEEDS(cursor, sizeof(*ip));
    if (missing)
        return missing;
    husk_u32 payload = bpf_ntohs(ip->payload_length);
    if (payload == 0 && cursor->is_gso)
        payload = cursor->left - sizeof(*ip);
    if (ip->version_and_class >> 4 != 6 || payload > cursor->left - sizeof(*ip))
        return PARSE_MALFORMED;
    husk_u32 length = payload + sizeof(*ip);
    packet->length = length > 0xffff ? 0xffff : length;
    packet->dscp = (ip->version_and_class << 2 | ip->flow[0] >> 6) & 0x3f;
    __builtin_memcpy(&packet->saddr, ip->saddr, sizeof(packet->saddr));
    __builtin_memcpy(&packet->daddr, ip->daddr, sizeof(packet->daddr));
    packet->family = HUSK_FAMILY_IPV6;
    packet->hop_limit = ip->hop_limit;
    husk_u64 header = ip->next_header;
    cursor_skip(cursor, sizeof(*ip));
    cursor->left = payload;
    return parse_ipv6_extensions(cursor, packet, header);
}

static __always_inline int parse_tcp(struct cursor *cursor, struct packet *packet)
{
    struct tcp_header *tcp = cursor->pos;
    int missing = CURSOR_NEEDS(cursor, sizeof(*tcp));
    if (missing)
        return missing;
    husk_u32 header_size = (tcp->words >> 4) * 4;
    if (header_size < sizeof(*tcp) || header_size > cursor->left)
        return PARSE_MALFORMED;
    packet->sport = bpf_ntohs(tcp->sport);
    packet->dport = bpf_ntohs(tcp->dport);
    packet->tcp_flags = tcp->flags;
    packet->has_ports = 1;
    packet->has_tcp = 1;
    return 0;
}

static __always_inline int parse_udp(struct cursor *cursor, struct packet *packet)
{
    struct udp_header *udp = cursor->pos;
    int missing = CURSOR_NEEDS(cursor, sizeof(*udp));
    if (missing)
        return missing;
    husk_u32 length = bpf_ntohs(udp->length);
    bool is_whole = packet->fragment == FRAGMENT_NONE && !cursor->is_gso;
    if (length < sizeof(*udp) && !cursor->is_gso)
        return PARSE_MALFORMED;
    if (length > cursor->left && is_whole)
        return PARSE_MALFORMED;
    packet->sport = bpf_ntohs(udp->sport);
    packet->dport = bpf_ntohs(udp->dport);
    packet->has_ports = 1;
    return 0;
}

/* RFC 3828: what stands in the place of the length is how much of it the checksum covers. */
static __always_inline int parse_udplite(struct cursor *cursor, struct packet *packet)
{
    struct udp_header *udp = cursor->pos;
    int missing = CURSOR_NEEDS(cursor, sizeof(*udp));
    if (missing)
        return missing;
    packet->sport = bpf_ntohs(udp->sport);
    packet->dport = bpf_ntohs(udp->dport);
    packet->has_ports = 1;
    return 0;
}

static __always_inline int parse_sctp(struct cursor *cursor, struct packet *packet)
{
    struct sctp_header *sctp = cursor->pos;
    int missing = CURSOR_NEEDS(cursor, sizeof(*sctp));
    if (missing)
        return missing;
    packet->sport = bpf_ntohs(sctp->sport);
    packet->dport = bpf_ntohs(sctp->dport);
    packet->has_ports = 1;
    return 0;
}

static __always_inline int parse_icmp(struct cursor *cursor, struct packet *packet)
{
    struct icmp_header *icmp = cursor->pos;
    int missing = CURSOR_NEEDS(cursor, sizeof(*icmp));
    if (missing)
        return missing;
    packet->icmp_type = icmp->type;
    packet->icmp_code = icmp->code;
    packet->icmp_id = bpf_ntohl(icmp->rest) >> 16;
    packet->has_icmp = 1;
    return 0;
}

/* From the network header on, for links with and without Ethernet. 0, or negative. */
static __always_inline int parse_network(struct cursor *cursor, struct packet *packet, int ether_type)
{
    int ip_proto;
    packet->ether_type = ether_type;
    if (ether_type == ETH_P_IP) {
        ip_proto = parse_ipv4(cursor, packet);
    } else if (ether_type == ETH_P_IPV6) {
        ip_proto = parse_ipv6(cursor, packet);
    } else {
        packet->family = HUSK_FAMILY_OTHER;
        return 0;
    }
    if (ip_proto < 0)
        return ip_proto;

    packet->ip_proto = ip_proto;
    packet->layer4 = cursor->pos - cursor->start;
    if (packet->fragment == FRAGMENT_LATER)
        return 0;
    if (ip_proto == PROTO_TCP)
        return parse_tcp(cursor, packet);
    if (ip_proto == PROTO_UDP)
        return parse_udp(cursor, packet);
    if (ip_proto == PROTO_UDPLITE)
        return parse_udplite(cursor, packet);
    if (ip_proto == PROTO_SCTP)
        return parse_sctp(cursor, packet);
    if (ip_proto == (packet->family == HUSK_FAMILY_IPV4 ? PROTO_ICMP : PROTO_ICMPV6))
        return parse_icmp(cursor, packet);
    return 0;
}

static __always_inline int parse_frame(struct cursor *cursor, struct packet *packet)
{
    int ether_type = parse_ethernet(cursor, packet);
    if (ether_type < 0)
        return ether_type;
    return parse_network(cursor, packet, ether_type);
}

/* On links without an Ethernet header the IP header says which version it is of. */
static __always_inline int parse_bare(struct cursor *cursor, struct packet *packet)
{
    husk_u8 *first = cursor->pos;
    int missing = CURSOR_NEEDS(cursor, 1);
    if (missing)
        return missing;
    husk_u8 version = *first >> 4;
    if (version != 4 && version != 6)
        return PARSE_MALFORMED;
    return parse_network(cursor, packet, version == 4 ? ETH_P_IP : ETH_P_IPV6);
}

#endif
