/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Following connections (agent/policy/PACKETS.md §5): looked up before a packet is judged, opened or renewed
 * after it was allowed. A twin has the state that `try_label` gives it, and follows nothing.
 */
#ifndef HUSK_FOLLOW_H
#define HUSK_FOLLOW_H

#include "connection_quote.h"
#include "never_drop.h"
#include "walk.h"

/* Whether the far end is one of the services whose replies are never dropped. */
static __always_inline bool is_to_service(const struct bench *bench, const struct husk_generation *generation,
                                          bool is_egress)
{
    const struct packet *packet = &bench->packet;
    husk_u16 port = is_egress ? packet->dport : packet->sport;
    const union address *address = is_egress ? &packet->daddr : &packet->saddr;
    if (!packet->has_ports)
        return false;
#pragma clang loop unroll(disable)
    for (int at = 0; at < HUSK_SERVICES_MAX; at++) {
        const struct husk_service *service = &generation->services[at];
        const husk_u64 *wanted = (const void *)service->addr;
        if (!service->ip_proto)
            return false;
        husk_u64 is_any = any(wanted[0] | wanted[1]) ^ 1;
        husk_u64 differs = (wanted[0] ^ address->halves[0]) | (wanted[1] ^ address->halves[1]);
        if (service->ip_proto == packet->ip_proto && service->port == port && (is_any || !differs))
            return true;
    }
    return false;
}

/* Which packets are looked up at all: where no rule asks for a state, those to and from services, and errors
 * about them. */
static __always_inline bool is_followed(const struct bench *bench, const struct husk_generation *generation,
                                        bool is_egress)
{
    husk_u32 followed = generation->connections.is_followed;
    if (followed != HUSK_FOLLOWS_SERVICES)
        return followed == HUSK_FOLLOWS_ALL;
    const struct packet *packet = &bench->packet;
    return is_to_service(bench, generation, is_egress) || packet->fragment == FRAGMENT_LATER ||
           (packet->has_icmp && is_icmp_error(packet->family, packet->icmp_type));
}

/* It came in, if by the interface that it goes out by: what the device makes itself has come by none. */
static __always_inline bool is_forwarded(const struct bench *bench)
{
    return bench->packet.came_by;
}

/* Going out, by what the same packet opened when it came in: nothing of the connection was let through yet.
 */
static __always_inline bool is_second_half(const struct bench *bench)
{
    const struct connection *connection = &bench->connection;
    /* An error about it, and a later fragment, are not the packet that opened it. */
    if (connection->state == HUSK_CONNECTION_RELATED || bench->packet.fragment == FRAGMENT_LATER)
        return false;
    return bench->is_egress && is_forwarded(bench) && connection->is_known && !connection->is_reply &&
           !(connection->flags & (HUSK_CONNECTION_FORWARDED | HUSK_CONNECTION_EGRESS));
}

/* Coming in, as an answer to what came in itself and never went out: nobody was asked, and who sends it may
 * have sent the question too, under the other's name. */
static __always_inline bool is_unasked(const struct bench *bench)
{
    const struct connection *connection = &bench->connection;
    return !bench->is_egress && connection->is_known && connection->is_reply &&
           bench->packet.fragment != FRAGMENT_LATER &&
           !(connection->flags & (HUSK_CONNECTION_FORWARDED | HUSK_CONNECTION_EGRESS));
}

/* Comes in under an address of the device's own (PACKETS.md §6). Once it had gone out, its answers would be
 * those of a forwarded connection, which are not to the device, and would come to it all the same. */
static __always_inline bool is_forged(const struct bench *bench)
{
    return !bench->is_egress && !is_neighbour_discovery(&bench->packet) &&
           is_from_own_address(&bench->packet);
}

/* An established connection was asked when it was opened: no look-up for the many. But not one that was
 * opened going out, with which nobody goes on that comes in. */
static __always_inline bool may_be_forged(const struct bench *bench)
{
    const struct connection *connection = &bench->connection;
    return connection->state != HUSK_CONNECTION_NONE &&
           (connection->state != HUSK_CONNECTION_ESTABLISHED ||
            (!connection->is_reply && connection->flags & HUSK_CONNECTION_EGRESS));
}

GLOBAL husk_find_connection(husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    struct connection *connection = &bench->connection;
    if (is_twin(role)) {
        const struct husk_try *label = map_only_entry(&try_label);
        connection->state = label ? label->state : HUSK_CONNECTION_NONE;
        return 0;
    }
    const struct husk_generation *generation = generation_of(bench->slot);
    bool is_egress = !is_ingress(role);
    if (!generation || !is_followed(bench, generation, is_egress))
        return 0;
    connection_find(connection, &bench->packet, &generation->connections, is_egress, bench->generation,
                    clock_seconds());
    if (is_unasked(bench))
        connection_unknown(connection, &bench->packet, &generation->connections);
    else if (is_second_half(bench))
        connection->state = state_alone(&bench->packet, generation->connections.is_loose);
    return 0;
}

/* What an ICMP error says of the connection that it quotes a packet of. */
GLOBAL husk_find_quoted(CONTEXT *ctx, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    const struct husk_generation *generation = generation_of(bench->slot);
    if (!generation)
        return 0;
    find_quoted(ctx, bench, &generation->connections, clock_seconds());
    return 0;
}

/* The interface of the connection's first packet, as the slot has it. */
static __always_inline bool zone_of_first(struct bench *bench, husk_u32 ifindex)
{
    husk_u32 slot = bench->slot;
    void *zones = bpf_map_lookup_elem(&zones_slots, &slot);
    const struct husk_zone *zone = zones ? bpf_map_lookup_elem(zones, &ifindex) : NULL;
    if (!zone || zone->flags & HUSK_ZONE_LEFT_OUT)
        return false;
    bench->zone = *zone;
    return true;
}

/* Packets while others are judged in their place. */
struct aside {
    struct packet packet;
    struct husk_zone zone;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, ROLE_COUNT);
    __type(key, husk_u32);
    __type(value, struct aside);
} asides SEC(".maps");

/* Puts the first packet of the connection on the bench, and what is on it aside. 0: the connection is gone.
 */
GLOBAL husk_put_first(husk_u32 role)
{
    struct bench *bench = bench_of(role);
    struct aside *aside = bpf_map_lookup_elem(&asides, &role);
    husk_u32 ifindex = 0, flags = 0;
    if (!bench || !aside)
        return 0;
    aside->packet = bench->packet;
    aside->zone = bench->zone;
    if (!connection_first_packet(&bench->connection, &bench->packet, &ifindex, &flags))
        return 0;
    bench->is_quiet = 1;
    bench->is_egress = !!(flags & HUSK_CONNECTION_EGRESS);
    bench->packet.has_mac = any(bench->packet.smac | bench->packet.dmac);
    if (!zone_of_first(bench, ifindex))
        return 2; /* in no zone any more, where all is allowed */
    return 1;
}

GLOBAL husk_put_back(husk_u32 role)
{
    struct bench *bench = bench_of(role);
    struct aside *aside = bpf_map_lookup_elem(&asides, &role);
    if (!bench || !aside)
        return 0;
    bench->packet = aside->packet;
    bench->zone = aside->zone;
    bench->is_quiet = is_twin(role);
    bench->is_egress = !is_ingress(role);
    bench_decide_nothing(bench);
    return 0;
}

/* The connection stands by this generation, or is over. */
GLOBAL husk_settle_connection(husk_u32 role, husk_u32 stands)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    const struct husk_generation *generation = generation_of(bench->slot);
    if (!generation)
        return 0;
    struct connection *connection = &bench->connection;
    if (stands)
        connection_stand(connection, bench->generation);
    else
        connection_void(connection, &bench->packet, &generation->connections);
    return 0;
}

/* What the packet that opens a connection does not tell by itself. */
GLOBAL husk_opened_flags(husk_u32 role)
{
    struct bench *bench = bench_of(role);
    const struct classifier_bench *classifier = classifier_bench(role);
    if (!bench || !classifier)
        return 0;
    /* Whoever brings a cookie had an answer, which nobody but XDP saw. */
    if (is_ingress(role))
        return (classifier->key.device ? HUSK_CONNECTION_TO_DEVICE : 0) |
               (bench->is_cookie ? HUSK_CONNECTION_SENT | HUSK_CONNECTION_ANSWERED : 0);
    if (is_forwarded(bench))
        return HUSK_CONNECTION_EGRESS | HUSK_CONNECTION_FORWARDED;
    const struct husk_generation *generation = generation_of(bench->slot);
    bool is_service = generation && is_to_service(bench, generation, true);
    return HUSK_CONNECTION_EGRESS | HUSK_CONNECTION_DEVICE | (is_service ? HUSK_CONNECTION_SERVICE : 0);
}

/* Apart from what leads to it: the verifier walks all of it for each way that leads here. */
GLOBAL husk_open_or_renew(husk_u32 role, husk_u32 flags)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    const struct husk_generation *generation = generation_of(bench->slot);
    if (!generation)
        return 0;
    connection_open_or_renew(&bench->connection, &bench->packet, &generation->connections, bench->ifindex,
                             flags, bench->generation, clock_seconds());
    return 0;
}

GLOBAL husk_mark_forwarded(husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (bench)
        connection_mark_forwarded(&bench->connection);
    return 0;
}

/* After the packet was allowed: it opens or renews its connection. */
GLOBAL husk_keep_connection(husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    const struct husk_generation *generation = generation_of(bench->slot);
    if (!generation)
        return 0;
    bool is_devices_own = !is_ingress(role) && !is_forwarded(bench);
    /* Of services alone: what the device opens itself. */
    if (generation->connections.is_followed == HUSK_FOLLOWS_ALL || bench->connection.is_known ||
        is_devices_own)
        husk_open_or_renew(role, bench->connection.is_known ? 0 : husk_opened_flags(role));
    /* An error about a connection is no packet of it: where it goes says nothing of where that went. */
    if (!is_ingress(role) && is_forwarded(bench) && bench->connection.state != HUSK_CONNECTION_RELATED)
        husk_mark_forwarded(role);
    connection_fragment_remember(&bench->connection, &bench->packet, clock_seconds());
    return 0;
}

#endif
