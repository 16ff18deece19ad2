/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Connections across generations: the packet to judge one again by, what becomes of it then, what was decided
 * of its packets, and that it goes through the device. All of it by what connection_find found; where the
 * entry was given away since, nothing happens.
 */
#ifndef HUSK_CONNECTION_SWAP_H
#define HUSK_CONNECTION_SWAP_H

#include "connection.h"

/* The packet that opened the connection, as far as rules can ask; `flags` tells hook and toDevice, and
 * `ifindex` the interface. False: the entry is no longer there. */
static __always_inline bool connection_first_packet(const struct connection *connection, struct packet *first,
                                                    husk_u32 *ifindex, husk_u32 *flags)
{
    struct connection_bucket *bucket = connection_bucket_of(connection->bucket);
    if (!bucket)
        return false;
    __builtin_memset(first, 0, sizeof(*first));
    struct husk_connection *entry = &bucket->entries[connection->place & (CONNECTION_WAYS - 1)];
    bpf_spin_lock(&bucket->lock);
    if (!is_same_tenant(bucket, entry, connection)) {
        bpf_spin_unlock(&bucket->lock);
        return false;
    }
    *flags = entry->state & 0xffff;
    *ifindex = entry->ifindex;
    first->came_by = entry->came_by;
    first->smac = entry->smac[0] | (husk_u64)entry->smac[1] << 16 | (husk_u64)entry->smac[2] << 32;
    first->dmac = entry->dmac[0] | (husk_u64)entry->dmac[1] << 16 | (husk_u64)entry->dmac[2] << 32;
    first->outer_vlan = entry->outer_vlan;
    first->inner_vlan = entry->inner_vlan;
    first->length = entry->length;
    first->dscp = entry->dscp;
    husk_u8 opened_with = entry->first;
    bpf_spin_unlock(&bucket->lock);

    const struct husk_connection_key *key = &connection->key;
    bool is_reversed = *flags & HUSK_CONNECTION_REVERSED;
    __builtin_memcpy(&first->saddr, is_reversed ? key->high : key->low, sizeof(first->saddr));
    __builtin_memcpy(&first->daddr, is_reversed ? key->low : key->high, sizeof(first->daddr));
    first->sport = is_reversed ? key->high_port : key->low_port;
    first->dport = is_reversed ? key->low_port : key->high_port;
    first->family = key->family;
    first->ip_proto = key->ip_proto;
    first->ether_type = key->family == HUSK_FAMILY_IPV4 ? ETH_P_IP : ETH_P_IPV6;
    first->fragment = *flags & HUSK_CONNECTION_FRAGMENT ? FRAGMENT_FIRST : FRAGMENT_NONE;
    first->has_icmp = key->kind != HUSK_CONNECTION_PLAIN;
    first->has_tcp = key->ip_proto == PROTO_TCP;
    first->has_ports = first->has_tcp || key->ip_proto == PROTO_UDP || key->ip_proto == PROTO_SCTP ||
                       key->ip_proto == PROTO_UDPLITE;
    first->icmp_type = first->has_icmp ? opened_with : 0;
    first->tcp_flags = first->has_tcp ? opened_with : 0;
    if (first->has_icmp) {
        first->icmp_id = first->sport;
        first->sport = 0;
        first->dport = 0;
    }
    return true;
}

/* Its first packet is allowed by this generation too: it stands, and what was decided of its packets is
 * forgotten. */
static __always_inline void connection_stand(struct connection *connection, husk_u32 generation)
{
    struct connection_bucket *bucket = connection_bucket_of(connection->bucket);
    if (!bucket)
        return;
    struct husk_connection *entry = &bucket->entries[connection->place & (CONNECTION_WAYS - 1)];
    bpf_spin_lock(&bucket->lock);
    if (is_same_tenant(bucket, entry, connection)) {
#pragma unroll
        for (int at = 0; at < HUSK_CONNECTION_VERDICTS; at++)
            WRITE_ONCE(entry->verdicts[at], 0);
        WRITE_ONCE(entry->judged, bound(connection->tenancy, generation));
    }
    bpf_spin_unlock(&bucket->lock);
    connection->judged = generation;
    connection->is_stale = 0;
    connection->decided = 0;
}

/* It is not: the connection is over, and `packet` (NULL: an ICMP error) has the state of one of no
 * connection. */
static __always_inline void connection_void(struct connection *connection, const struct packet *packet,
                                            const struct husk_connection_settings *settings)
{
    struct connection_bucket *bucket = connection_bucket_of(connection->bucket);
    if (bucket) {
        struct husk_connection *entry = &bucket->entries[connection->place & (CONNECTION_WAYS - 1)];
        bpf_spin_lock(&bucket->lock);
        if (is_same_tenant(bucket, entry, connection))
            WRITE_ONCE(bucket->tags[connection->place & (CONNECTION_WAYS - 1)], 0);
        bpf_spin_unlock(&bucket->lock);
        connection_count(HUSK_COUNT_VOIDED);
    }
    connection->is_known = 0;
    connection->is_stale = 0;
    connection->is_reply = 0;
    connection->flags = 0;
    connection->decided = 0;
    connection->state = packet ? state_alone(packet, settings->is_loose) : HUSK_CONNECTION_INVALID;
}

/* A packet of it goes out that had come in. Rules may ask (toDevice), so what was
 * decided is forgotten. */
static __always_inline void connection_mark_forwarded(struct connection *connection)
{
    if (!connection->is_known || connection->flags & HUSK_CONNECTION_FORWARDED)
        return;
    struct connection_bucket *bucket = connection_bucket_of(connection->bucket);
    if (!bucket)
        return;
    struct husk_connection *entry = &bucket->entries[connection->place & (CONNECTION_WAYS - 1)];
    bpf_spin_lock(&bucket->lock);
    if (is_same_tenant(bucket, entry, connection)) {
#pragma unroll
        for (int at = 0; at < HUSK_CONNECTION_VERDICTS; at++)
            WRITE_ONCE(entry->verdicts[at], 0);
        WRITE_ONCE(entry->state, entry->state | HUSK_CONNECTION_FORWARDED);
    }
    bpf_spin_unlock(&bucket->lock);
    connection->flags |= HUSK_CONNECTION_FORWARDED;
    connection->decided = 0;
}

/* The verdict of connection_find's `decided`; 0: nothing is remembered. */
#define DECIDED_VERDICT(DECIDED) ((DECIDED) & 0xf)
#define DECIDED_ZONE(DECIDED) ((DECIDED) >> 4 & 0xf)
#define DECIDED_RULE(DECIDED) ((DECIDED) >> 16) /* HUSK_CONNECTION_RULE_NONE: none */

/* Remembers what was decided of such a packet. Only where every packet of the connection, in this direction
 * and by this hook and zone, would get the same: the caller knows which rules those are. One store of a word
 * that names its tenant, so no lock. `rule` past 16 bits and zones past 15 are not remembered. */
static __always_inline void connection_remember(const struct connection *connection, bool is_egress,
                                                husk_u32 verdict, husk_u32 rule, husk_u32 zone,
                                                husk_u32 generation)
{
    if (!connection->is_known || connection->is_stale || zone > 0xf)
        return;
    if (rule == HUSK_RULE_NONE)
        rule = HUSK_CONNECTION_RULE_NONE;
    else if (rule >= HUSK_CONNECTION_RULE_NONE)
        return;
    struct connection_bucket *bucket = connection_bucket_of(connection->bucket);
    if (!bucket)
        return;
    struct husk_connection *entry = &bucket->entries[connection->place & (CONNECTION_WAYS - 1)];
    husk_u32 decided = rule << 16 | (generation & 0xff) << 8 | zone << 4 | (verdict & 0xf);
    husk_u32 index = (!!connection->is_reply << 1 | is_egress) & (HUSK_CONNECTION_VERDICTS - 1);
    WRITE_ONCE(entry->verdicts[index], bound(connection->tenancy, decided));
}

#endif
