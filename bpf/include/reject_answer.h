/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Making the answer to a rejected packet, from its IP header on:
 *
 *   word  0           5              10            12
 *         | IPv6 header              | ICMP        | as much of the packet as the RFCs ask for
 *                     | IPv4 header  | TCP header          |
 *
 * The packet is copied to word 12 first, which is where an ICMP error wants it; a RST needs no more of it
 * than the TCP header. All lengths are multiples of 4: a quote may end 3 bytes early.
 *
 * It comes from the address that the packet was sent to, of this device or not: a bridge has none of its own,
 * and of a router's addresses a program does not know the right one. Sockets ask the quote who is meant.
 */
#ifndef HUSK_REJECT_ANSWER_H
#define HUSK_REJECT_ANSWER_H

#include "bench.h"
#include "count.h"

/* RFC 1812 §4.3.2.3: an ICMP error has at most 576 bytes; RFC 4443 §2.4 (c): at most IPv6's minimum MTU. */
#define ICMP_ERROR_BYTES_MAX 576
#define ICMPV6_ERROR_BYTES_MAX 1280
#define ANSWER_IPV4_WORD 5
#define ANSWER_LAYER4_WORD 10
#define ANSWER_QUOTE_WORD 12
#define ANSWER_QUOTE_WORDS_MAX ((ICMPV6_ERROR_BYTES_MAX - 48) / 4)
#define ANSWER_HOP_LIMIT 64
#define ANSWER_LINK_HALVES ((14 + 4 * HUSK_VLAN_DEPTH_MAX) / 2)
/* Frames on Ethernet have 60 bytes; a RST over IPv4 has up to 14 fewer. What is there is cut to no less. */
#define ANSWER_BYTES_MIN 48

struct answer {
    husk_u32 words[ICMPV6_ERROR_BYTES_MAX / 4 + ANSWER_IPV4_WORD + 3]; /* room for any first word below 8 */
    husk_u32 quote_words;
    husk_u32 quote_sum; /* of 16-bit numbers, in the order of the wire */
    husk_u32 first;     /* word */
    husk_u32 link_bytes;
    husk_u16 link[ANSWER_LINK_HALVES + 1]; /* XDP: the link's header */
};

/* Programs only, each role its own. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, ROLE_COUNT);
    __type(key, husk_u32);
    __type(value, struct answer);
} answers SEC(".maps");

static __always_inline struct answer *answer_of(husk_u32 role)
{
    return bpf_map_lookup_elem(&answers, &role);
}

/* RFC 1071: words added up with the carry, whatever their order of bytes. */
static __always_inline husk_u32 sum_fold(husk_u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static __always_inline husk_u64 sum_words(const husk_u32 *words, husk_u32 count)
{
    husk_u64 sum = 0;
#pragma unroll
    for (husk_u32 at = 0; at < count; at++)
        sum += words[at];
    return sum;
}

/* How much of the packet is copied. */
static __always_inline husk_u32 quote_words_of(const struct packet *packet)
{
    husk_u32 most =
        packet->family == HUSK_FAMILY_IPV4 ? (ICMP_ERROR_BYTES_MAX - 28) / 4 : ANSWER_QUOTE_WORDS_MAX;
    husk_u32 words = packet->length / 4;
    return words < most ? words : most;
}

/* Both addresses exchanged, from the IP header on. Returns what they and the layer-4 length and protocol add
 * to a checksum (RFC 9293 §3.1, RFC 8200 §8.1). */
static __always_inline husk_u64 answer_ip_header(struct answer *answer, const struct packet *packet,
                                                 husk_u32 ip_proto, husk_u32 layer4_bytes)
{
    husk_u64 sum = bpf_htonl(layer4_bytes) + (husk_u64)bpf_htonl(ip_proto);
    if (packet->family == HUSK_FAMILY_IPV4) {
        struct ipv4_header *ip = (void *)&answer->words[ANSWER_IPV4_WORD];
        ip->version_and_words = 0x45;
        ip->service = ip_proto == PROTO_TCP ? 0 : 0xc0; /* RFC 1812 §4.3.2.5: internetwork control */
        ip->total_length = bpf_htons(sizeof(*ip) + layer4_bytes);
        ip->id = 0;
        ip->fragment = bpf_htons(0x4000); /* don't fragment: RFC 6864 lets the id be 0 */
        ip->ttl = ANSWER_HOP_LIMIT;
        ip->ip_proto = ip_proto;
        ip->checksum = 0;
        ip->saddr = packet->daddr.words[3];
        ip->daddr = packet->saddr.words[3];
        ip->checksum = ~sum_fold(sum_words(&answer->words[ANSWER_IPV4_WORD], 5));
        answer->first = ANSWER_IPV4_WORD;
        return sum + ip->saddr + ip->daddr;
    }
    answer->words[0] = bpf_htonl(6u << 28);
    answer->words[1] = bpf_htonl(layer4_bytes << 16 | ip_proto << 8 | ANSWER_HOP_LIMIT);
    __builtin_memcpy(&answer->words[2], &packet->daddr, sizeof(packet->daddr));
    __builtin_memcpy(&answer->words[6], &packet->saddr, sizeof(packet->saddr));
    answer->first = 0;
    return sum + sum_words(&answer->words[2], 8);
}

/* RFC 9293 §3.10.7.1: what acknowledges something is answered from where it expects the next byte, anything
 * else by acknowledging all of it. Returns the bytes of the TCP header, or 0. */
static __always_inline husk_u32 answer_reset(struct answer *answer, const struct packet *packet)
{
    husk_u32 before = packet->layer4 - answer->link_bytes;
    husk_u32 at = before / 4;
    if (at + 5 > answer->quote_words || at > ANSWER_QUOTE_WORDS_MAX - 5)
        return 0;
    const struct tcp_header *asked = (const void *)&answer->words[ANSWER_QUOTE_WORD + at];
    husk_u32 sequence = asked->sequence, acknowledgement = asked->acknowledgement;
    husk_u32 flags = packet->tcp_flags;
    husk_u32 length =
        packet->length - before - (asked->words >> 4) * 4 + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
    bool has_ack = flags & TCP_ACK;

    struct tcp_header *tcp = (void *)&answer->words[ANSWER_LAYER4_WORD];
    tcp->sport = bpf_htons(packet->dport);
    tcp->dport = bpf_htons(packet->sport);
    tcp->sequence = has_ack ? acknowledgement : 0;
    tcp->acknowledgement = has_ack ? 0 : bpf_htonl(bpf_ntohl(sequence) + length);
    tcp->words = 5 << 4;
    tcp->flags = has_ack ? TCP_RST : TCP_RST | TCP_ACK;
    tcp->window = 0;
    tcp->checksum = 0;
    tcp->urgent = 0;
    /* Behind it, up to ANSWER_BYTES_MIN. */
    answer->words[ANSWER_LAYER4_WORD + 5] = 0;
    answer->words[ANSWER_LAYER4_WORD + 6] = 0;
    husk_u64 sum = answer_ip_header(answer, packet, PROTO_TCP, sizeof(*tcp));
    tcp->checksum = ~sum_fold(sum + sum_words(&answer->words[ANSWER_LAYER4_WORD], 5));
    return sizeof(*tcp);
}

#define ICMP_UNREACHABLE 3
#define ICMPV6_UNREACHABLE 1

/* By enum husk_reject_with: RFC 792, RFC 1812 §5.2.7.1; RFC 4443 §3.1. */
static __always_inline husk_u32 unreachable_code(husk_u32 with, bool is_ipv4)
{
    switch (with) {
    case HUSK_REJECT_HOST:
        return is_ipv4 ? 1 : 3;
    case HUSK_REJECT_NET:
        return 0;
    case HUSK_REJECT_ADMIN:
        return is_ipv4 ? 13 : 1;
    default:
        return is_ipv4 ? 3 : 4;
    }
}

/* Returns the bytes of the ICMP message. */
static __always_inline husk_u32 answer_unreachable(struct answer *answer, const struct packet *packet,
                                                   husk_u32 with)
{
    bool is_ipv4 = packet->family == HUSK_FAMILY_IPV4;
    husk_u32 bytes = sizeof(struct icmp_header) + answer->quote_words * 4;
    husk_u64 sum = answer_ip_header(answer, packet, is_ipv4 ? PROTO_ICMP : PROTO_ICMPV6, bytes);
    struct icmp_header *icmp = (void *)&answer->words[ANSWER_LAYER4_WORD];
    icmp->type = is_ipv4 ? ICMP_UNREACHABLE : ICMPV6_UNREACHABLE;
    icmp->code = unreachable_code(with, is_ipv4);
    icmp->checksum = 0;
    icmp->rest = 0;
    sum = (is_ipv4 ? 0 : sum) + answer->words[ANSWER_LAYER4_WORD] + answer->quote_sum;
    icmp->checksum = ~sum_fold(sum);
    return bytes;
}

/* The answer to the packet that was read. Returns its bytes from the IP header on; 0: none can be made. */
GLOBAL husk_reject_make(husk_u32 role)
{
    const struct bench *bench = bench_of(role);
    struct answer *answer = answer_of(role);
    if (!bench || !answer)
        return 0;
    const struct packet *packet = &bench->packet;
    husk_u32 with = bench->reject_with;
    bool is_reset = packet->has_tcp && (with == HUSK_REJECT_USUAL || with == HUSK_REJECT_TCP_RESET);
    husk_u32 layer4 = is_reset ? answer_reset(answer, packet) : answer_unreachable(answer, packet, with);
    if (!layer4)
        return 0;
    return (ANSWER_LAYER4_WORD - answer->first) * 4 + layer4;
}

#endif
