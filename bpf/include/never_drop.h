/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What no rule, default or limit drops (PACKETS.md §4): without these a device loses its address, or its
 * neighbours, or its controller, and with them every way back in. Which of them hold is said by the
 * interface. What a router only passes on is none of it: ARP and neighbour discovery end on the link, and of
 * DHCP the device has to be one end.
 */
#ifndef HUSK_NEVER_DROP_H
#define HUSK_NEVER_DROP_H

#include "course.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCPV6_CLIENT_PORT 546
#define DHCPV6_SERVER_PORT 547
#define ICMPV6_ROUTER_SOLICITATION 133
#define ICMPV6_REDIRECT 137
/* RFC 4861 §6.1.1: neighbour discovery that crossed a router is void. */
#define HOP_LIMIT_ON_LINK 255
#define MLD_QUERY 130
#define MLD_DONE 132
#define MLD2_REPORT 143
/* RFC 2710 §3, RFC 3810 §5: what is between listeners and routers of a link. */
#define MLD_HOP_LIMIT 1

static __always_inline bool is_from_to(const struct packet *packet, husk_u16 sport, husk_u16 dport)
{
    return packet->sport == sport && packet->dport == dport;
}

/* Whether the device is an end of the packet: made here, or for it. `is_first`: it stands for the first of a
 * connection, whose course is its own. */
static __always_inline bool is_devices_own(const struct bench *bench, bool is_incoming, bool is_first)
{
    if (!is_incoming)
        return !bench->packet.came_by;
    if (!is_first && bench->connection.flags & HUSK_CONNECTION_FORWARDED)
        return false;
    return is_to_device(&bench->packet);
}

/* Between a client and a server: as the one or the other, where the device is that. */
static __always_inline bool is_never_drop_dhcp(const struct bench *bench, bool is_incoming, bool is_first)
{
    const struct packet *packet = &bench->packet;
    husk_u32 never_drop = bench->zone.never_drop;
    bool is_ipv4 = packet->family == HUSK_FAMILY_IPV4;
    husk_u16 client = is_ipv4 ? DHCP_CLIENT_PORT : DHCPV6_CLIENT_PORT;
    husk_u16 server = is_ipv4 ? DHCP_SERVER_PORT : DHCPV6_SERVER_PORT;
    husk_u32 item;
    if (is_from_to(packet, client, server))
        item = is_incoming ? HUSK_NEVER_DROP_DHCP_SERVER : HUSK_NEVER_DROP_DHCP_CLIENT;
    else if (is_from_to(packet, server, client))
        item = is_incoming ? HUSK_NEVER_DROP_DHCP_CLIENT : HUSK_NEVER_DROP_DHCP_SERVER;
    else
        return false;
    if (!(never_drop & item))
        return false;
    /* RFC 2131 §4.1: what is offered may be sent to the address that is offered, before anybody has it. */
    if (is_incoming && item == HUSK_NEVER_DROP_DHCP_CLIENT && is_ipv4 &&
        bench->zone.flags & HUSK_ZONE_AWAITS_IPV4)
        return true;
    return is_devices_own(bench, is_incoming, is_first);
}

/* Link-local, or unspecified: no router passes it on (RFC 4291 §2.5.2, §2.5.6). */
static __always_inline bool is_from_link(const struct packet *packet)
{
    const union address *from = &packet->saddr;
    return is_link_local(from) || !(from->halves[0] | from->halves[1]);
}

/* Without answers to listener queries a switch that looks into them no longer passes on what neighbours ask
 * for (RFC 4541 §3), and the device is not found any more, minutes later: it is part of the same. */
static __always_inline bool is_neighbour_discovery(const struct packet *packet)
{
    husk_u8 type = packet->icmp_type;
    if (!packet->has_icmp || packet->family != HUSK_FAMILY_IPV6 || packet->icmp_code ||
        packet->fragment != FRAGMENT_NONE /* RFC 6980 */)
        return false;
    if (type >= ICMPV6_ROUTER_SOLICITATION && type <= ICMPV6_REDIRECT)
        return packet->hop_limit == HOP_LIMIT_ON_LINK;
    return ((type >= MLD_QUERY && type <= MLD_DONE) || type == MLD2_REPORT) &&
           packet->hop_limit == MLD_HOP_LIMIT && is_from_link(packet);
}

static __always_inline bool is_never_drop(const struct bench *bench, bool is_incoming, bool is_first)
{
    const struct packet *packet = &bench->packet;
    husk_u32 never_drop = bench->zone.never_drop;
    if (packet->ether_type == ETH_P_ARP)
        return never_drop & HUSK_NEVER_DROP_ARP;
    if (packet->has_icmp && packet->family == HUSK_FAMILY_IPV6)
        return never_drop & HUSK_NEVER_DROP_NEIGHBOURS && is_neighbour_discovery(packet);
    if (packet->ip_proto != PROTO_UDP || !packet->has_ports)
        return false;
    return is_never_drop_dhcp(bench, is_incoming, is_first);
}

#endif
