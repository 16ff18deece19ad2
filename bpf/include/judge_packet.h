/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The one judgement of a packet, for every hook that sees packets, live or as a twin (agent/policy/PACKETS.md
 * §2):
 *
 *   no zone, deferred -> allow;  unparseable -> the generation's verdict;  its connection is looked up;
 *   never-drop -> allow;  under an own address -> drop;
 *   rules in order -> the first in enforce mode that matches;  else the zone's default
 *
 * A slot or table that is missing allows: the device stays reachable, and the count shows that nothing was
 * enforced.
 *
 * A program defines CONTEXT, its type of context, and `husk_parse` and `copy_data` over it, then includes
 * this.
 */
#ifndef HUSK_JUDGE_PACKET_H
#define HUSK_JUDGE_PACKET_H

#include "cookie.h"
#include "course.h"
#include "find_sets.h"
#include "follow.h"
#include "never_drop.h"
#include "trace.h"
#include "walk.h"

/* The course of the packet on the bench, and where it came from. */
static __always_inline void find_course(struct bench *bench, struct classifier_key *key, husk_u32 is_first)
{
    if (bench->is_egress) {
        key->device = bench->packet.came_by ? HUSK_COURSE_THROUGH : HUSK_COURSE_DEVICE;
        bench->origins = origin_of(bench->slot, bench->packet.came_by);
        return;
    }
    /* A reply to what was masqueraded is for the device by its destination, and goes through all the same. */
    bool is_forwarded = !is_first && bench->connection.flags & HUSK_CONNECTION_FORWARDED;
    key->device = !is_forwarded && is_to_device(&bench->packet) ? HUSK_COURSE_DEVICE : HUSK_COURSE_THROUGH;
    bench->origins = ~0u;
}

/* What the classes are found by, from the packet on the bench. `is_first`: it stands for the first of a
 * connection, whose course is known. */
GLOBAL husk_build_key(husk_u32 role, husk_u32 is_first)
{
    struct bench *bench = bench_of(role);
    struct classifier_bench *classifier = classifier_bench(role);
    if (!bench || !classifier)
        return 0;
    const struct packet *packet = &bench->packet;
    struct classifier_key *key = &classifier->key;
    key->saddr = packet->saddr;
    key->daddr = packet->daddr;
    /* Type and code of ICMP stand in the place of ports. */
    key->sport = packet->sport;
    key->dport = packet->has_icmp ? packet->icmp_type << 8 | packet->icmp_code : packet->dport;
    key->family = packet->family;
    key->ip_proto = packet->ip_proto;
    key->has_ports = packet->has_ports | packet->has_icmp;
    key->zone = bench->zone.zone;
    key->fragment = packet->fragment;
    key->state = is_first ? HUSK_CONNECTION_NEW : bench->connection.state;
    find_course(bench, key, is_first);
    return 0;
}

static __always_inline void use_default(CONTEXT *ctx, struct bench *bench, husk_u32 role)
{
    const struct husk_zone *zone = &bench->zone;
    struct husk_tried *result = &bench->result;
    bool is_egress = bench->is_egress;
    result->verdict = is_egress ? zone->egress_default : zone->ingress_default;
    result->rule = is_egress ? zone->egress_default_rule : zone->ingress_default_rule;
    result->reason = HUSK_REASON_DEFAULT;
    bench->reject_with = HUSK_REJECT_USUAL;
    if ((is_egress ? zone->egress_mode : zone->ingress_mode) == HUSK_MODE_ENFORCE)
        return;
    husk_note(ctx, role, result->rule, SAID(result->verdict, HUSK_MODE_MONITOR, HUSK_REASON_DEFAULT), 0);
    result->verdict = HUSK_VERDICT_ALLOW;
    bench->is_counted = 1;
}

/* Whether the interface leaves the packet to one that lies on it. */
static __always_inline bool is_deferred(const struct bench *bench)
{
    const struct packet *packet = &bench->packet;
    husk_u32 flags = bench->zone.flags, slot = bench->slot;
    if (flags & HUSK_ZONE_DEFERS_PPPOE && packet->ether_type == ETH_P_PPP_SES)
        return true;
    if (!(flags & HUSK_ZONE_DEFERS_VLANS) || !packet->outer_vlan)
        return false;
    void *deferred = bpf_map_lookup_elem(&deferred_slots, &slot);
    struct husk_deferred key = {.ifindex = bench->ifindex, .vlan = packet->outer_vlan};
    return deferred && bpf_map_lookup_elem(deferred, &key);
}

static __always_inline bool is_stopped(const struct bench *bench)
{
    return bench->result.verdict == HUSK_VERDICT_DROP || bench->result.verdict == HUSK_VERDICT_REJECT;
}

/* The rules, by the key on the bench. False where a table is missing. */
static __always_inline bool judge_by_rules(CONTEXT *ctx, struct bench *bench, husk_u32 role)
{
    bench->has_entry = 0;
    bench->is_per_packet = 0;
    husk_find_sets(role);
    if (!walk_rules(ctx, role))
        return false;
    if (bench->result.reason == HUSK_REASON_NO_GENERATION)
        use_default(ctx, bench, role);
    return true;
}

/* Whether the packet on the bench is stopped for its source. In monitor mode it is reported alone. */
GLOBAL husk_is_stopped_as_forged(CONTEXT *ctx, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    const struct husk_generation *generation = generation_of(bench->slot);
    if (!generation || generation->connections.is_followed != HUSK_FOLLOWS_ALL || !is_forged(bench))
        return 0;
    if (bench->zone.flags & HUSK_ZONE_ENFORCES)
        return 1;
    if (!bench->is_quiet)
        husk_report(ctx, role, HUSK_RULE_NONE,
                    SAID(HUSK_VERDICT_DROP, HUSK_MODE_MONITOR, HUSK_REASON_OWN_SOURCE));
    return 0;
}

/* Once after a swap: whether the connection would be opened under this generation too. */
GLOBAL husk_judge_again(CONTEXT *ctx, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    int put = husk_put_first(role);
    husk_u32 stands = put;
    if (put == 1) {
        husk_build_key(role, 1);
        stands =
            is_never_drop(bench, !bench->is_egress, true) ||
            (!husk_is_stopped_as_forged(ctx, role) && judge_by_rules(ctx, bench, role) && !is_stopped(bench));
    }
    husk_put_back(role);
    husk_settle_connection(role, stands);
    return 0;
}

/* Whether all that classes are found by is the connection's own: fragments, codes of ICMP and the way through
 * the device may differ from packet to packet, and entries that ask for them were never walked by others. */
static __always_inline bool is_ordinary(const struct bench *bench)
{
    const struct connection *connection = &bench->connection;
    bool is_through = connection->flags & HUSK_CONNECTION_FORWARDED;
    return connection->is_known && connection->state == HUSK_CONNECTION_ESTABLISHED &&
           !bench->packet.fragment && !bench->packet.has_icmp &&
           (!bench->is_egress || is_through == !!bench->packet.came_by);
}

/* What was decided of the connection's packets before, by this generation: false where nothing was. */
static __always_inline bool decided_before(struct bench *bench)
{
    husk_u32 decided = bench->connection.decided;
    if (!decided || DECIDED_ZONE(decided) != bench->zone.zone || !is_ordinary(bench))
        return false;
    struct husk_tried *result = &bench->result;
    husk_u32 rule = DECIDED_RULE(decided);
    result->verdict = DECIDED_VERDICT(decided);
    result->rule = rule == HUSK_CONNECTION_RULE_NONE ? HUSK_RULE_NONE : rule;
    husk_u32 by_default =
        bench->is_egress ? bench->zone.egress_default_rule : bench->zone.ingress_default_rule;
    result->reason = result->rule == by_default ? HUSK_REASON_DEFAULT : HUSK_REASON_RULE;
    bench->is_per_packet = 1; /* no need to remember it again */
    return true;
}

/* A later packet of an established connection gets what this one got, where nothing but the connection was
 * asked. */
static __always_inline void remember(struct bench *bench)
{
    const struct husk_tried *result = &bench->result;
    if (bench->is_per_packet || bench->is_counted || bench->is_quiet || !is_ordinary(bench) ||
        result->verdict != HUSK_VERDICT_ALLOW)
        return;
    connection_remember(&bench->connection, bench->is_egress, result->verdict, result->rule, bench->zone.zone,
                        bench->generation);
}

static __always_inline void find_connection(CONTEXT *ctx, struct bench *bench, husk_u32 role)
{
    husk_find_connection(role);
    if (is_twin(role) || !bench->connection.state)
        return;
    if (bench->packet.has_icmp && bench->connection.state == HUSK_CONNECTION_INVALID)
        husk_find_quoted(ctx, role);
    if (bench->connection.is_known && bench->connection.is_stale &&
        bench->connection.state != HUSK_CONNECTION_RELATED)
        husk_judge_again(ctx, role);
}

/* A reply to the device's own connection to one of its services. */
static __always_inline bool is_service_reply(const struct bench *bench)
{
    return !bench->is_egress && bench->zone.never_drop & HUSK_NEVER_DROP_REPLIES &&
           bench->connection.flags & HUSK_CONNECTION_SERVICE &&
           (bench->connection.state == HUSK_CONNECTION_ESTABLISHED ||
            bench->connection.state == HUSK_CONNECTION_RELATED);
}

/* The verdict by the tables of the slot. False where a table is missing. */
static __always_inline bool judge_by_tables(CONTEXT *ctx, struct bench *bench, husk_u32 role, int parsed)
{
    struct husk_tried *result = &bench->result;
    const struct husk_generation *generation = generation_of(bench->slot);
    if (!generation)
        return false;
    bench->serial = generation->serial;
    bench->generation = generation->id;

    if (bench->zone.flags & (HUSK_ZONE_DEFERS_VLANS | HUSK_ZONE_DEFERS_PPPOE) && is_deferred(bench)) {
        result->reason = HUSK_REASON_DEFERRED;
        return true;
    }
    if (parsed < 0) {
        result->verdict = generation->unparseable_verdict;
        result->reason = HUSK_REASON_UNPARSEABLE;
        return true;
    }
    if (generation->connections.is_followed)
        find_connection(ctx, bench, role);
    if (brings_cookie(bench, role) && husk_check_cookie(ctx, role) == COOKIE_BAD) {
        result->verdict = HUSK_VERDICT_DROP;
        result->rule = bench->zone.syn_cookies_rule;
        result->reason = HUSK_REASON_COOKIE;
        return true;
    }
    if (is_never_drop(bench, is_ingress(role), false) || is_service_reply(bench)) {
        result->reason = HUSK_REASON_NEVER_DROP;
        return true;
    }
    if (decided_before(bench))
        return true;
    if (is_ingress(role) && !is_twin(role) && may_be_forged(bench) && husk_is_stopped_as_forged(ctx, role)) {
        result->verdict = HUSK_VERDICT_DROP;
        result->reason = HUSK_REASON_OWN_SOURCE;
        return true;
    }
    husk_build_key(role, 0);
    if (!judge_by_rules(ctx, bench, role))
        return false;
    remember(bench);
    if (is_syn_watched(bench, role))
        husk_hold_syn(ctx, role);
    return true;
}

static __always_inline void count_reason(const struct bench *bench)
{
    switch (bench->result.reason) {
    case HUSK_REASON_RULE:
    case HUSK_REASON_DEFAULT:
        if (!bench->is_counted)
            count_rule(bench->result.rule, bench->length);
        break;
    case HUSK_REASON_LIMITED: /* by the rule, above */
        break;
    case HUSK_REASON_COOKIE:
        count_total(HUSK_TOTAL_COOKIES_BAD);
        break;
    case HUSK_REASON_OWN_SOURCE:
        count_total(HUSK_TOTAL_OWN_SOURCE);
        break;
    case HUSK_REASON_NEVER_DROP:
        count_total(HUSK_TOTAL_NEVER_DROP);
        break;
    case HUSK_REASON_UNPARSEABLE:
        count_total(HUSK_TOTAL_UNPARSEABLE);
        break;
    case HUSK_REASON_UNZONED:
        count_total(HUSK_TOTAL_UNZONED);
        break;
    case HUSK_REASON_DEFERRED:
        count_total(HUSK_TOTAL_DEFERRED);
        break;
    default:
        count_total(HUSK_TOTAL_NO_GENERATION);
    }
}

/* The one exit: what was decided is counted and reported, or left in `tried`. True: stopped. */
static __always_inline bool conclude(CONTEXT *ctx, struct bench *bench, husk_u32 role)
{
    struct husk_tried *result = &bench->result;
    if (is_twin(role)) {
        struct husk_tried *record = map_only_entry(&tried);
        if (record) {
            result->runs = record->runs + 1;
            result->state = bench->connection.state;
            *record = *result;
        }
        return is_stopped(bench);
    }
    count_total(is_ingress(role) ? HUSK_TOTAL_INGRESS : HUSK_TOTAL_EGRESS);
    count_reason(bench);
    if (is_tracing())
        husk_trace(ctx, role);
    if (!is_stopped(bench)) {
        if (bench->connection.state && !bench->answer_bytes)
            husk_keep_connection(role);
        return false;
    }
    if (is_second_half(bench))
        husk_settle_connection(role, 0); /* what was not let through opened nothing */
    husk_report(ctx, role, result->rule, SAID(result->verdict, HUSK_MODE_ENFORCE, result->reason));
    return true;
}

/* The bench for this packet, with the slot and the interface that it is judged by. NULL cannot be, and
 * allows. */
static __always_inline struct bench *bench_clear(husk_u32 role, husk_u32 ifindex, husk_u32 came_by,
                                                 husk_u32 length)
{
    struct bench *bench = bench_of(role);
    struct husk_control *shared = map_only_entry(&control);
    if (!bench || !shared)
        return NULL;
    __builtin_memset(&bench->packet, 0, sizeof(bench->packet));
    __builtin_memset(&bench->connection, 0, sizeof(bench->connection));
    bench_decide_nothing(bench);
    bench->result.state = HUSK_CONNECTION_NONE;
    bench->is_counted = 0;
    bench->serial = 0;
    bench->now_ns = 0;
    bench->length = length;
    bench->before = 0;
    bench->is_egress = !is_ingress(role);
    bench->is_quiet = is_twin(role);
    bench->is_per_packet = 0;
    bench->is_cookie = 0;
    bench->is_paid = 0;
    bench->answer_bytes = 0;
    if (!is_twin(role)) {
        bench->slot = live_slot(shared);
        bench->ifindex = ifindex;
        bench->packet.came_by = came_by;
        return bench;
    }
    const struct husk_try *label = map_only_entry(&try_label);
    if (!label)
        return NULL;
    bench->slot = label->slot;
    bench->ifindex = label->ifindex;
    bench->packet.came_by = label->came_by;
    return bench;
}

/* Whether the interface is in a zone; if not, the result says why. */
static __always_inline bool find_zone(struct bench *bench)
{
    husk_u32 slot = bench->slot, ifindex = bench->ifindex;
    void *zones = bpf_map_lookup_elem(&zones_slots, &slot);
    if (!zones)
        return false;
    const struct husk_zone *zone = bpf_map_lookup_elem(zones, &ifindex);
    if (!zone || zone->flags & HUSK_ZONE_LEFT_OUT) {
        bench->result.reason = HUSK_REASON_UNZONED;
        return false;
    }
    bench->zone = *zone;
    return true;
}

#endif
