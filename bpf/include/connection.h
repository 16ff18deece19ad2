/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Connections of packets, as agent/policy/PACKETS.md §5 has them. For a packet, in this order:
 *
 *   connection_find            its state, and what is known of its connection; changes nothing
 *   connection_find_quoted_*   (connection_quote.h) instead of a state `invalid`, for an ICMP error
 *   where it is stale          connection_first_packet, judge that, then connection_stand or connection_void
 *   where it was allowed       connection_open_or_renew, and connection_fragment_remember for a first
 * fragment
 *
 * `now` is a second of boot time (clock.h), `generation` the id of the one the packet is judged by; ids grow.
 * A `struct connection` is on the bench, so that what the verifier knew of it ends with each function.
 */
#ifndef HUSK_CONNECTION_H
#define HUSK_CONNECTION_H

#include <linux/if_ether.h>

#include "connection_fragments.h"
#include "connection_table.h"

enum {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_ACK = 0x10,
};
enum {
    ICMP_ECHO_REPLY = 0,
    ICMP_ECHO_REQUEST = 8,
    ICMP_QUERY_FIRST = 13,
    ICMP_QUERY_LAST = 18,
    ICMPV6_ECHO_REQUEST = 128,
    ICMPV6_ECHO_REPLY = 129,
};

/* Both ends of a packet or of one that an ICMP error quotes. */
struct tuple {
    union address saddr;
    union address daddr;
    husk_u16 sport; /* host order; the identifier of an ICMP echo */
    husk_u16 dport;
    husk_u8 ip_proto;
    husk_u8 family;
    husk_u8 kind; /* HUSK_CONNECTION_PLAIN, _ECHO or _QUERY */
    husk_u8 is_icmp;
    husk_u8 icmp_type;
    husk_u8 pad[7];
};

/* ICMP errors: destination unreachable, source quench, redirect, time exceeded, parameter problem; v6: 1-4.
 */
static __always_inline bool is_icmp_error(husk_u8 family, husk_u8 type)
{
    if (family == HUSK_FAMILY_IPV6)
        return type >= 1 && type <= 4;
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* Which connections an ICMP message can be of; below 0: none. */
static __always_inline int icmp_kind(husk_u8 family, husk_u8 type)
{
    if (family == HUSK_FAMILY_IPV6)
        return type == ICMPV6_ECHO_REQUEST || type == ICMPV6_ECHO_REPLY ? HUSK_CONNECTION_ECHO : -1;
    if (type == ICMP_ECHO_REQUEST || type == ICMP_ECHO_REPLY)
        return HUSK_CONNECTION_ECHO;
    return type >= ICMP_QUERY_FIRST && type <= ICMP_QUERY_LAST ? HUSK_CONNECTION_QUERY : -1;
}

/* Of those: what answers a request. */
static __always_inline bool is_icmp_answer(husk_u8 family, husk_u8 type)
{
    if (family == HUSK_FAMILY_IPV6)
        return type == ICMPV6_ECHO_REPLY;
    return type == ICMP_ECHO_REPLY || (type >= ICMP_QUERY_FIRST && type <= ICMP_QUERY_LAST && !(type & 1));
}

/* 1 where `one` is less than `other`, unsigned. */
static __always_inline husk_u64 is_less(husk_u64 one, husk_u64 other)
{
    return ((~one & other) | (~(one ^ other) & (one - other))) >> 63;
}

/* 1 where the source is the greater end. Which way a packet goes is what no processor can guess: no branch.
 */
static __always_inline husk_u64 ends_reversed(const union address *from, const union address *to,
                                              husk_u16 sport, husk_u16 dport)
{
    husk_u64 first = any(from->halves[0] ^ to->halves[0]), second = any(from->halves[1] ^ to->halves[1]);
    husk_u64 by_port = is_less(dport, sport) & (second ^ 1);
    return (is_less(to->halves[0], from->halves[0]) & first) |
           (((is_less(to->halves[1], from->halves[1]) & second) | by_port) & (first ^ 1));
}

/* The key of both directions. False: such packets are of no connection. */
static __always_inline bool connection_key_set(struct connection *connection, const struct tuple *tuple)
{
    struct husk_connection_key *key = &connection->key;
    husk_u16 sport = tuple->sport, dport = tuple->dport;
    husk_u64 is_answer = 0;
    key->kind = HUSK_CONNECTION_PLAIN;
    if (tuple->is_icmp) {
        int kind = icmp_kind(tuple->family, tuple->icmp_type);
        if (kind < 0)
            return false;
        key->kind = kind;
        if (kind == HUSK_CONNECTION_QUERY)
            sport = 0;
        dport = sport;
        is_answer = is_icmp_answer(tuple->family, tuple->icmp_type);
    }
    /* Between two equal addresses an answer is what goes from high to low. */
    husk_u64 is_reversed = ends_reversed(&tuple->saddr, &tuple->daddr, tuple->is_icmp ? is_answer : sport,
                                         tuple->is_icmp ? 1 - is_answer : dport);
    husk_u64 exchange = 0 - is_reversed;
    connection->is_reversed = is_reversed;
    word *low = (word *)key->low, *high = (word *)key->high;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        husk_u64 differs = (tuple->saddr.halves[half] ^ tuple->daddr.halves[half]) & exchange;
        low[half] = tuple->saddr.halves[half] ^ differs;
        high[half] = tuple->daddr.halves[half] ^ differs;
    }
    husk_u16 ports = (sport ^ dport) & exchange;
    key->low_port = sport ^ ports;
    key->high_port = dport ^ ports;
    key->ip_proto = tuple->ip_proto;
    key->family = tuple->family;
    key->is_high_asking = tuple->is_icmp ? is_reversed ^ is_answer : 0;
    return true;
}

static __always_inline bool connection_key_from(struct connection *connection, const struct packet *packet)
{
    struct tuple tuple = {
        .saddr = packet->saddr,
        .daddr = packet->daddr,
        .sport = packet->has_icmp ? packet->icmp_id : packet->sport,
        .dport = packet->dport,
        .ip_proto = packet->ip_proto,
        .family = packet->family,
        .is_icmp = packet->has_icmp,
        .icmp_type = packet->icmp_type,
    };
    return connection_key_set(connection, &tuple);
}

static __always_inline bool is_tcp_opening(const struct packet *packet)
{
    return packet->has_tcp && (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Of a packet of no connection. */
static __always_inline husk_u8 state_alone(const struct packet *packet, bool is_loose)
{
    husk_u8 flags = packet->tcp_flags;
    if (packet->has_icmp)
        return is_icmp_answer(packet->family, packet->icmp_type) ||
                       is_icmp_error(packet->family, packet->icmp_type)
                   ? HUSK_CONNECTION_INVALID
                   : HUSK_CONNECTION_NEW;
    if (!packet->has_tcp || (flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN)
        return HUSK_CONNECTION_NEW;
    return flags & TCP_RST || !is_loose ? HUSK_CONNECTION_INVALID : HUSK_CONNECTION_NEW;
}

/* Of a packet of a connection that is known. */
static __always_inline husk_u8 state_within(const struct connection *connection, const struct packet *packet,
                                            bool is_loose)
{
    /* Whoever opens asks as for the first time: what is behind a connection may be gone, and a SYN that
     * nobody counts would open another in its place. Only both sides at once open without being asked. */
    const husk_u32 under_way = HUSK_CONNECTION_SENT | HUSK_CONNECTION_ANSWERED;
    if (is_tcp_opening(packet) && (!connection->is_reply || connection->flags & under_way))
        return HUSK_CONNECTION_NEW;
    /* What counts for both sides, under loose, is ANSWERED without a reply. */
    if (connection->is_reply || connection->flags & (HUSK_CONNECTION_REPLIED | HUSK_CONNECTION_ANSWERED))
        return HUSK_CONNECTION_ESTABLISHED;
    bool is_onward = packet->has_tcp && (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_ACK;
    return is_loose && is_onward ? HUSK_CONNECTION_ESTABLISHED : HUSK_CONNECTION_NEW;
}

/* The packet is not of what was found: it stands alone, neither where that went nor what was decided of it
 * holds, and what it opens takes its place. */
static __always_inline void connection_unknown(struct connection *connection, const struct packet *packet,
                                               const struct husk_connection_settings *settings)
{
    connection->is_known = 0;
    connection->is_reply = 0;
    connection->is_stale = 0;
    connection->flags = 0;
    connection->decided = 0;
    connection->is_replacing = 1;
    connection->state = state_alone(packet, settings->is_loose);
}

/* The state of a packet and what is known of its connection. `is_egress`: whose remembered verdict is wanted.
 */
static __always_inline void connection_find(struct connection *connection, const struct packet *packet,
                                            const struct husk_connection_settings *settings, bool is_egress,
                                            husk_u32 generation, husk_u32 now)
{
    __builtin_memset(connection, 0, sizeof(*connection));
    if (!settings->is_followed || packet->family == HUSK_FAMILY_OTHER)
        return;
    if (packet->fragment == FRAGMENT_LATER) {
        connection_fragment_find(connection, packet, now);
        return;
    }
    if (connection_key_from(connection, packet))
        connection_look_up(connection, settings, is_egress, generation, now);
    /* RFC 9293 §3.6.1 has closed ones wait for what is late; a SYN is not. */
    if (connection->flags & HUSK_CONNECTION_CLOSED && is_tcp_opening(packet))
        connection_unknown(connection, packet, settings);
    connection->state = connection->is_known ? state_within(connection, packet, settings->is_loose)
                                             : state_alone(packet, settings->is_loose);
}

/* Flags of a connection after a packet of it was allowed. */
static __always_inline husk_u32 flags_after(husk_u32 flags, const struct packet *packet, bool is_reply,
                                            bool is_loose)
{
    husk_u8 tcp = packet->tcp_flags;
    if (is_reply)
        flags |= HUSK_CONNECTION_REPLIED;
    if (!packet->has_tcp)
        return flags;
    if (!(tcp & TCP_SYN))
        flags |= is_reply ? HUSK_CONNECTION_ANSWERED : HUSK_CONNECTION_SENT;
    if (is_loose && !(flags & HUSK_CONNECTION_REPLIED) && (tcp & (TCP_SYN | TCP_ACK)) == TCP_ACK)
        flags |= HUSK_CONNECTION_ANSWERED;
    if (tcp & TCP_FIN)
        flags |= is_reply ? HUSK_CONNECTION_FIN_ANSWERED : HUSK_CONNECTION_FIN_SENT;
    if (tcp & (TCP_FIN | TCP_RST))
        flags |= HUSK_CONNECTION_ENDED;
    /* Who goes on has not reset it: the RST was another's, under its name. */
    husk_u32 reset = is_reply ? HUSK_CONNECTION_RESET_ANSWERED : HUSK_CONNECTION_RESET_SENT;
    if (tcp & TCP_RST)
        flags |= reset;
    else if (!(tcp & TCP_SYN))
        flags &= ~reset;
    const husk_u32 both_ended = HUSK_CONNECTION_FIN_SENT | HUSK_CONNECTION_FIN_ANSWERED;
    flags &= ~HUSK_CONNECTION_CLOSED;
    if (flags & (HUSK_CONNECTION_RESET_SENT | HUSK_CONNECTION_RESET_ANSWERED) ||
        (flags & both_ended) == both_ended)
        flags |= HUSK_CONNECTION_CLOSED;
    return flags;
}

/* Flags with the timeout that they come to: the lower half of husk_connection.state. */
static __always_inline husk_u32 with_timeout(husk_u32 flags, const struct husk_connection_key *key)
{
    const husk_u32 open = HUSK_CONNECTION_SENT | HUSK_CONNECTION_ANSWERED;
    husk_u32 timeout = HUSK_TIMEOUT_OTHER;
    if (key->kind != HUSK_CONNECTION_PLAIN)
        timeout = HUSK_TIMEOUT_ICMP;
    else if (key->ip_proto == PROTO_UDP || key->ip_proto == PROTO_UDPLITE)
        timeout = flags & HUSK_CONNECTION_REPLIED ? HUSK_TIMEOUT_UDP : HUSK_TIMEOUT_UDP_ONE_WAY;
    else if (key->ip_proto == PROTO_TCP)
        timeout = flags & HUSK_CONNECTION_CLOSED ? HUSK_TIMEOUT_TCP_CLOSING
                  : (flags & open) == open       ? HUSK_TIMEOUT_TCP_ESTABLISHED
                                                 : HUSK_TIMEOUT_TCP_OPENING;
    return (flags & 0xffff) | timeout << HUSK_CONNECTION_TIMEOUT_SHIFT;
}

/* Which place a new connection gets, the lowest rank: one that is free, over or void; then by whether
 * something came back; then the one that waited longest. Rank in the upper bits, seen, the place in the
 * lowest three. */
#define RANK_SHIFT 35
#define RANK_FREE 0
#define RANK_ONE_WAY 1
#define RANK_REPLIED 2
static __always_inline husk_u64 rank_of(const struct connection_bucket *bucket, husk_u32 place,
                                        husk_u32 favourite, const struct husk_connection_settings *settings,
                                        husk_u32 generation, husk_u32 now)
{
    const struct husk_connection *entry = &bucket->entries[place];
    husk_u32 state = entry->state, seen = entry->seen;
    if (!bucket->tags[place] || (husk_u32)entry->made > generation ||
        is_timed_out(settings, state, seen, now))
        return place ^ favourite;
    husk_u64 rank = state & HUSK_CONNECTION_REPLIED ? RANK_REPLIED : RANK_ONE_WAY;
    return rank << RANK_SHIFT | (husk_u64)seen << 3 | (place ^ favourite);
}

/* What the entry remembers of the packet that opened it. Under the lock. */
static __always_inline void entry_write(struct husk_connection *entry, const struct connection *connection,
                                        const struct packet *packet, husk_u32 ifindex)
{
    entry->key = connection->key;
    entry->ifindex = ifindex;
    entry->came_by = packet->came_by;
#pragma unroll
    for (int at = 0; at < 3; at++) {
        entry->smac[at] = packet->smac >> 16 * at;
        entry->dmac[at] = packet->dmac >> 16 * at;
    }
    entry->outer_vlan = packet->outer_vlan;
    entry->inner_vlan = packet->inner_vlan;
    entry->length = packet->length;
    entry->dscp = packet->dscp;
    entry->first = packet->has_icmp ? packet->icmp_type : packet->tcp_flags;
}

/* Returns the rank of what made room, RANK_FREE where nothing had to. */
static __always_inline husk_u32 connection_insert(struct connection_bucket *bucket,
                                                  struct connection *connection, const struct packet *packet,
                                                  const struct husk_connection_settings *settings,
                                                  husk_u32 ifindex, husk_u32 opened_flags,
                                                  husk_u32 generation, husk_u32 now)
{
    husk_u64 hash = connection->hash;
    bool is_reopening = is_tcp_opening(packet), is_reversed = connection->is_reversed;
    bool is_loose = settings->is_loose, is_replacing = connection->is_replacing;
    husk_u32 tenancy, favourite = favourite_of(hash);
    husk_u64 lowest = ~0ull;

    bpf_spin_lock(&bucket->lock);
    husk_u32 place = place_of(bucket, hash);
    if (place < CONNECTION_WAYS) {
        /* Opened on another CPU since it was looked up; or over; or another key of the same tag. */
        struct husk_connection *entry = &bucket->entries[place & (CONNECTION_WAYS - 1)];
        husk_u32 flags = entry->state;
        if (!key_differs(&entry->key, &connection->key) && (husk_u32)entry->made <= generation &&
            !is_timed_out(settings, flags, entry->seen, now) &&
            !(flags & HUSK_CONNECTION_CLOSED && is_reopening) &&
            !(is_replacing && !(flags & (HUSK_CONNECTION_FORWARDED | HUSK_CONNECTION_EGRESS)))) {
            tenancy = entry->state >> 32;
            bool is_reply = is_reversed ^ !!(flags & HUSK_CONNECTION_REVERSED);
            flags = flags_after(flags, packet, is_reply, is_loose);
            entry->state = bound(tenancy, with_timeout(flags, &entry->key));
            entry->seen = bound(tenancy, now);
            bpf_spin_unlock(&bucket->lock);
            return RANK_FREE;
        }
        lowest = place ^ favourite;
    } else {
#pragma unroll
        for (husk_u32 at = 0; at < CONNECTION_WAYS; at++) {
            husk_u64 rank = rank_of(bucket, at, favourite, settings, generation, now);
            lowest = rank < lowest ? rank : lowest;
        }
    }
    place = (lowest ^ favourite) & (CONNECTION_WAYS - 1);
    struct husk_connection *entry = &bucket->entries[place];
    husk_u32 count = (entry->state >> 32) + 1;
    tenancy = mark_of(hash) << 8 | (count & 0xff);
    husk_u32 flags = flags_after(opened_flags, packet, false, is_loose);
    WRITE_ONCE(bucket->tags[place], 0);
    entry_write(entry, connection, packet, ifindex);
#pragma unroll
    for (int at = 0; at < HUSK_CONNECTION_VERDICTS; at++)
        WRITE_ONCE(entry->verdicts[at], 0);
    WRITE_ONCE(entry->seen, bound(tenancy, now));
    WRITE_ONCE(entry->judged, bound(tenancy, generation));
    WRITE_ONCE(entry->made, bound(tenancy, generation));
    WRITE_ONCE(entry->state, bound(tenancy, with_timeout(flags, &connection->key)));
    WRITE_ONCE(bucket->tags[place], tag_of(hash));
    bpf_spin_unlock(&bucket->lock);

    connection->place = place;
    connection->tenancy = tenancy;
    connection->flags = flags;
    connection->seen = now;
    connection->judged = generation;
    connection->is_reply = 0;
    connection->is_stale = 0;
    connection->decided = 0;
    connection->is_known = 1;
    return lowest >> RANK_SHIFT;
}

/* What opens a connection has the flags that the packet alone does not tell: HUSK_CONNECTION_FORWARDED,
 * _DEVICE, _SERVICE, _TO_DEVICE, _EGRESS. */
static __always_inline void connection_open(struct connection *connection, const struct packet *packet,
                                            const struct husk_connection_settings *settings, husk_u32 ifindex,
                                            husk_u32 flags, husk_u32 generation, husk_u32 now)
{
    struct connection_bucket *bucket = connection_bucket_of(connection->bucket);
    if (!bucket) {
        connection_count(HUSK_COUNT_UNFOLLOWED);
        return;
    }
    if (connection->is_reversed)
        flags |= HUSK_CONNECTION_REVERSED;
    if (packet->fragment == FRAGMENT_FIRST)
        flags |= HUSK_CONNECTION_FRAGMENT;
    husk_u32 rank = connection_insert(bucket, connection, packet, settings, ifindex, flags, generation, now);
    if (!connection->is_known)
        return; /* another CPU was first */
    connection_count(HUSK_COUNT_OPENED);
    if (rank != RANK_FREE)
        connection_count(rank == RANK_REPLIED ? HUSK_COUNT_EVICTED : HUSK_COUNT_EVICTED_ONE_WAY);
}

static __always_inline void connection_renew(struct connection *connection, const struct packet *packet,
                                             const struct husk_connection_settings *settings, husk_u32 now)
{
    bool is_reply = connection->is_reply, is_loose = settings->is_loose;
    husk_u32 flags = connection->flags;
    /* Nearly always: the same second and nothing new. The line stays shared between the CPUs. */
    if (connection->seen == now && flags_after(flags, packet, is_reply, is_loose) == flags)
        return;
    struct connection_bucket *bucket = connection_bucket_of(connection->bucket);
    if (!bucket)
        return;
    struct husk_connection *entry = &bucket->entries[connection->place & (CONNECTION_WAYS - 1)];
    bpf_spin_lock(&bucket->lock);
    if (is_same_tenant(bucket, entry, connection)) {
        husk_u32 tenancy = connection->tenancy;
        flags = flags_after(entry->state, packet, is_reply, is_loose);
        WRITE_ONCE(entry->state, bound(tenancy, with_timeout(flags, &entry->key)));
        /* Clocks of two CPUs may be a tick apart. */
        if ((int)(now - (husk_u32)entry->seen) > 0)
            WRITE_ONCE(entry->seen, bound(tenancy, now));
    }
    bpf_spin_unlock(&bucket->lock);
}

/* After a packet was allowed, by whatever. Only what is new opens; only a connection's own packets renew it.
 */
static __always_inline void connection_open_or_renew(struct connection *connection,
                                                     const struct packet *packet,
                                                     const struct husk_connection_settings *settings,
                                                     husk_u32 ifindex, husk_u32 flags, husk_u32 generation,
                                                     husk_u32 now)
{
    if (!connection->hash || connection->state == HUSK_CONNECTION_RELATED)
        return;
    if (connection->is_known)
        connection_renew(connection, packet, settings, now);
    else if (connection->state == HUSK_CONNECTION_NEW)
        connection_open(connection, packet, settings, ifindex, flags, generation, now);
}

#endif
