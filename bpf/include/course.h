/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whether a packet is bound for the device or made by it, or goes through (PACKETS.md §6). */
#ifndef HUSK_COURSE_H
#define HUSK_COURSE_H

#include "bench.h"

#define IPV4_GROUPS 0xe /* the upper half of the first byte, 224 to 239 */
#define IPV4_BROADCAST 0xffffffffu
#define IPV6_GROUPS 0xff

/* The destination as it stands on the wire: a group, a broadcast address, or one of the device's own. */
static __always_inline bool is_to_device(const struct packet *packet)
{
    if (packet->family == HUSK_FAMILY_IPV4 &&
        (packet->daddr.bytes[12] >> 4 == IPV4_GROUPS || packet->daddr.words[3] == IPV4_BROADCAST))
        return true;
    if (packet->family == HUSK_FAMILY_IPV6 && packet->daddr.bytes[0] == IPV6_GROUPS)
        return true;
    if (packet->family == HUSK_FAMILY_OTHER)
        return false;
    return bpf_map_lookup_elem(&own_addresses, &packet->daddr) != NULL;
}

/* Link-local (RFC 4291 §2.5.6): the same address may be another's on each link. */
static __always_inline bool is_link_local(const union address *address)
{
    return (bpf_ntohl(address->words[0]) & 0xffc00000) == 0xfe800000;
}

/* Under an address of the device's own. A neighbour may have a link-local one that the device has on another
 * link; it is no router's to pass on, so that only a bridge could take it any further than here. */
static __always_inline bool is_from_own_address(const struct packet *packet)
{
    if (packet->family == HUSK_FAMILY_OTHER || !bpf_map_lookup_elem(&own_addresses, &packet->saddr))
        return false;
    return packet->family == HUSK_FAMILY_IPV4 || !is_link_local(&packet->saddr) || !is_to_device(packet);
}

#define ORIGIN_DEVICE 1u
#define ORIGIN_UNZONED (1u << 31)

/* The bit of husk_extra.origins that holds for what came in by an interface, or was made here. */
static __always_inline husk_u32 origin_of(husk_u32 slot, husk_u32 came_by)
{
    if (!came_by)
        return ORIGIN_DEVICE;
    void *zones = bpf_map_lookup_elem(&zones_slots, &slot);
    if (!zones)
        return ORIGIN_UNZONED;
    const struct husk_zone *zone = bpf_map_lookup_elem(zones, &came_by);
    return zone ? 2u << (zone->zone & (HUSK_ZONES_MAX - 1)) : ORIGIN_UNZONED;
}

#endif
