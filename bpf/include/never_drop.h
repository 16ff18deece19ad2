/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What no rule, default or limit drops (PACKETS.md §4): without these a device loses its address, or its
 * neighbours, or its controller, and with them every way back in. Which of them hold is said by the
 * interface.
 */
#ifndef HUSK_NEVER_DROP_H
#define HUSK_NEVER_DROP_H

#include "bench.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCPV6_CLIENT_PORT 546
#define DHCPV6_SERVER_PORT 547
#define ICMPV6_ROUTER_SOLICITATION 133
#define ICMPV6_REDIRECT 137
/* RFC 4861 §6.1.1: neighbour discovery that crossed a router is void. */
#define HOP_LIMIT_ON_LINK 255

static __always_inline bool is_from_to(const struct packet *packet, husk_u16 sport, husk_u16 dport)
{
    return packet->sport == sport && packet->dport == dport;
}

static __always_inline bool is_never_drop(const struct packet *packet, husk_u32 never_drop, bool is_incoming)
{
    if (packet->ether_type == ETH_P_ARP)
        return never_drop & HUSK_NEVER_DROP_ARP;
    if (packet->has_icmp && packet->family == HUSK_FAMILY_IPV6)
        return packet->icmp_type >= ICMPV6_ROUTER_SOLICITATION && packet->icmp_type <= ICMPV6_REDIRECT &&
               packet->icmp_code == 0 && packet->hop_limit == HOP_LIMIT_ON_LINK &&
               packet->fragment == FRAGMENT_NONE /* RFC 6980 */ && never_drop & HUSK_NEVER_DROP_NEIGHBOURS;
    if (packet->ip_proto != PROTO_UDP || !packet->has_ports)
        return false;
    bool is_ipv4 = packet->family == HUSK_FAMILY_IPV4;
    husk_u16 client = is_ipv4 ? DHCP_CLIENT_PORT : DHCPV6_CLIENT_PORT;
    husk_u16 server = is_ipv4 ? DHCP_SERVER_PORT : DHCPV6_SERVER_PORT;
    if (is_from_to(packet, client, server))
        return never_drop & (is_incoming ? HUSK_NEVER_DROP_DHCP_SERVER : HUSK_NEVER_DROP_DHCP_CLIENT);
    if (is_from_to(packet, server, client))
        return never_drop & (is_incoming ? HUSK_NEVER_DROP_DHCP_CLIENT : HUSK_NEVER_DROP_DHCP_SERVER);
    return false;
}

#endif
