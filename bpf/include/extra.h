/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the classes do not tell apart: the conditions of an entry that few rules have, compared one by one for
 * the entries that the classes lead to. Without a branch, as everything that is compared: a condition is a
 * number that is 0 where it holds.
 */
#ifndef HUSK_EXTRA_H
#define HUSK_EXTRA_H

#include "bench.h"
#include "lookup.h"

/* 0 where one of the four is equal. */
static __always_inline husk_u64 is_none_of(husk_u64 mac, const husk_u64 macs[HUSK_EXTRA_MACS])
{
    return any(mac ^ macs[0]) & any(mac ^ macs[1]) & any(mac ^ macs[2]) & any(mac ^ macs[3]);
}

/* 0 where every condition of the entry holds. */
static __always_inline husk_u64 extra_differs(const struct husk_extra *extra, const struct bench *bench)
{
    const struct packet *packet = &bench->packet;
    husk_u64 flags = extra->flags;
    husk_u64 smac = is_none_of(packet->smac, extra->smac) ^ flag_of(flags, HUSK_EXTRA_NOT_SMAC);
    husk_u64 dmac = is_none_of(packet->dmac, extra->dmac) ^ flag_of(flags, HUSK_EXTRA_NOT_DMAC);
    husk_u64 asks_link = any(flags & (HUSK_EXTRA_SMAC | HUSK_EXTRA_DMAC | HUSK_EXTRA_VLAN));
    husk_u64 tcp_flags =
        ((packet->tcp_flags & extra->tcp_flags_mask) ^ extra->tcp_flags_value) | (packet->has_tcp ^ 1);

    return smac * flag_of(flags, HUSK_EXTRA_SMAC) | dmac * flag_of(flags, HUSK_EXTRA_DMAC) |
           (packet->has_mac ^ 1) * asks_link |
           outside(packet->outer_vlan, extra->outer_vlan_first, extra->outer_vlan_last) |
           outside(packet->inner_vlan, extra->inner_vlan_first, extra->inner_vlan_last) |
           outside(packet->ether_type, extra->ether_type_first, extra->ether_type_last) |
           outside(packet->length, extra->length_first, extra->length_last) |
           outside(packet->dscp, extra->dscp_first, extra->dscp_last) |
           tcp_flags * flag_of(flags, HUSK_EXTRA_TCP) | (any(extra->origins & bench->origins) ^ 1) |
           ((bench->zone.interface_bits & extra->interface_care) ^ extra->interface_value);
}

#endif
