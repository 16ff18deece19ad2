/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Answers to rejected packets (agent/policy/PACKETS.md §2):
 *
 *   may it be answered -> is there budget -> the packet is read (reject_xdp.h, reject_tc.h) -> the answer is
 *   made (reject_answer.h) -> it is written over the packet and sent back by the way the packet came
 *
 * On the way in, back is out of the same interface. On the way out, back is in by the same interface, as if
 * the far side had answered: from there it finds its way as any packet does, to a socket here or through the
 * device to who sent it.
 *
 * An answer is never judged. What the programs of tc send carries a tag in skb->tc_index, which they know
 * each other's answers by, at ingress and at each egress after it. Not skb->mark: its bits are the
 * operator's, who routes and filters by them. Not what the packet says: on the way in it is for addresses
 * that a translation is still to change. No packet from a wire has the tag. Where another classifier on the
 * same hook takes it off, the answer is judged like any other packet. Answers of XDP are below every hook of
 * tc.
 */
#ifndef HUSK_REJECT_H
#define HUSK_REJECT_H

#include "course.h"
#include "live.h"
#include "never_drop.h"
#include "reject_answer.h"

/* Where answers of the whole device stand: the time at which there are HUSK_REJECTS_PER_SECOND again, as for
 * limits (abi/rate.h). Programs only. */
struct reject_budget {
    struct bpf_spin_lock lock;
    husk_u32 pad;
    husk_u64 full_ns;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct reject_budget);
} reject_budget SEC(".maps");

static __always_inline bool reject_affordable(husk_u64 now_ns)
{
    const husk_u64 cost = NANOSECONDS_PER_SECOND / HUSK_REJECTS_PER_SECOND;
    struct reject_budget *budget = map_only_entry(&reject_budget);
    if (!budget)
        return false;
    bpf_spin_lock(&budget->lock);
    husk_u64 full_ns = budget->full_ns > now_ns ? budget->full_ns : now_ns;
    bool is_over = full_ns + cost - now_ns > NANOSECONDS_PER_SECOND;
    if (!is_over)
        budget->full_ns = full_ns + cost;
    bpf_spin_unlock(&budget->lock);
    return !is_over;
}

/* RFC 1122 §3.2.2: an address that is not of one host is not answered. 0/8, loopback, groups, class E. */
static __always_inline bool is_one_host(const union address *address, husk_u8 family)
{
    if (family == HUSK_FAMILY_IPV4) {
        husk_u8 first = address->bytes[12];
        return first != 0 && first != 127 && first < 224;
    }
    /* ::, ::1, and what stands for an IPv4 address. */
    husk_u64 is_low = any(address->halves[0]) ^ 1;
    if (is_low && !(address->words[2] | (bpf_ntohl(address->words[3]) >> 1)))
        return false;
    return address->bytes[0] != IPV6_GROUPS && !(is_low && address->words[2] == bpf_htonl(0x0000ffff));
}

/* RFC 1122 §3.2.2: nothing that was sent to all at the link. */
#define MAC_GROUP (1ull << 40)
#define ICMPV6_ERRORS_END 128

/* Whether an ICMP error or a RST may be the answer to the packet at all. */
static __always_inline bool may_be_answered(const struct bench *bench)
{
    const struct packet *packet = &bench->packet;
    if (packet->family == HUSK_FAMILY_OTHER || !packet->family ||
        bench->result.reason == HUSK_REASON_UNPARSEABLE || packet->fragment == FRAGMENT_LATER)
        return false;
    if (packet->has_mac && packet->dmac & MAC_GROUP)
        return false;
    if (!is_one_host(&packet->saddr, packet->family) || !is_one_host(&packet->daddr, packet->family))
        return false;
    if (packet->has_tcp)
        return !(packet->tcp_flags & TCP_RST);
    if (!packet->has_icmp)
        return true;
    /* RFC 4443 §2.4 (e): an error, known or not, and a redirect. */
    if (packet->family == HUSK_FAMILY_IPV6)
        return packet->icmp_type >= ICMPV6_ERRORS_END && packet->icmp_type != ICMPV6_REDIRECT;
    return !is_icmp_error(packet->family, packet->icmp_type);
}

/* 0: no answer. Either way it is counted, once: as sent by who sends it. */
GLOBAL husk_reject_allowed(husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (bench && may_be_answered(bench) && reject_affordable(bench_now(bench)))
        return 1;
    count_total(HUSK_TOTAL_REJECTS_SUPPRESSED);
    return 0;
}

/* A twin only says what it would do. */
static __always_inline bool is_answered(const struct bench *bench, husk_u32 role)
{
    return !is_twin(role) && bench->result.verdict == HUSK_VERDICT_REJECT;
}

/* Bytes before the IP header, a link header or not; `taken_off`: a VLAN tag that is not in the frame. */
static __always_inline husk_u32 link_bytes(const struct bench *bench, bool taken_off)
{
    if (bench->zone.link == HUSK_LINK_BARE)
        return bench->before;
    husk_u32 tags = !!bench->packet.outer_vlan + !!bench->packet.inner_vlan - taken_off;
    return sizeof(struct ethernet_header) + sizeof(struct vlan_tag) * (tags & 3);
}

#endif
