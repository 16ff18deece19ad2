/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The one judgement of a packet, for every hook that sees packets, live or as a twin:
 *
 *   no zone -> allow;  unparseable -> the generation's verdict;  never-drop -> allow;
 *   rules in order -> the first in enforce mode that matches;  else the zone's default
 *
 * Rules in monitor mode that match on the way are counted, reported, and passed over. A slot or table that
 * is missing allows: the device stays reachable, and the count shows that nothing was enforced.
 *
 * A twin judges by `try_label`, writes `tried`, and touches no counter and no ring. `role` is a constant
 * where it is used, so each program keeps only its own half.
 */
#ifndef HUSK_JUDGE_PACKET_H
#define HUSK_JUDGE_PACKET_H

#include "emit.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCPV6_CLIENT_PORT 546
#define DHCPV6_SERVER_PORT 547
#define ICMPV6_ROUTER_SOLICITATION 133
#define ICMPV6_REDIRECT 137
/* RFC 4861 §6.1.1: neighbour discovery that crossed a router is void. */
#define HOP_LIMIT_ON_LINK 255

/* The list is walked in parts of 64 rules, the bits of a word. */
#define WALK_PARTS (HUSK_RULES_MAX / 64)
_Static_assert((HUSK_RULES_MAX & (HUSK_RULES_MAX - 1)) == 0, "an index into the list is masked");

enum role {
    ROLE_INGRESS = 0,
    ROLE_EGRESS = 1,
    ROLE_INGRESS_TWIN = 2,
    ROLE_EGRESS_TWIN = 3,
    ROLE_COUNT = 4,
};

static __always_inline bool is_twin(enum role role)
{
    return role >= ROLE_INGRESS_TWIN;
}
static __always_inline bool is_ingress(enum role role)
{
    return role == ROLE_INGRESS || role == ROLE_INGRESS_TWIN;
}

/* The packet under judgement and what became of it. */
struct bench {
    struct packet_key key;
    struct husk_tried result;
    husk_u64 monitored; /* rules in monitor mode that matched in this part of the list, a bit each */
    husk_u64 serial;
    husk_u32 slot;
    husk_u32 ifindex;
    husk_u32 length; /* on the wire, link header included */
    husk_u32 pad;
};

/*
 * One bench a role and CPU. In a map and not on the stack, because the verifier knows nothing of what it
 * reads back from a map: the paths through parsing meet again after it. On the stack each kept the constants
 * it had stored, and 6.18 gave up at a million instructions. Packet programs run with bottom halves off, so
 * a role does not interrupt itself; twins have benches of their own.
 */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, ROLE_COUNT);
    __type(key, husk_u32);
    __type(value, struct bench);
} benches SEC(".maps");

static __always_inline bool is_between(const struct packet *packet, husk_u16 client, husk_u16 server)
{
    return (packet->sport == client && packet->dport == server) ||
           (packet->sport == server && packet->dport == client);
}

/* Without these a device loses its address, or its neighbours, and with them every way back in. */
static __always_inline bool is_never_drop(const struct packet *packet)
{
    if (packet->ether_type == ETH_P_ARP)
        return true;
    if (packet->has_icmp && packet->family == HUSK_FAMILY_IPV6)
        return packet->icmp_type >= ICMPV6_ROUTER_SOLICITATION && packet->icmp_type <= ICMPV6_REDIRECT &&
               packet->icmp_code == 0 && packet->hop_limit == HOP_LIMIT_ON_LINK &&
               packet->fragment == FRAGMENT_NONE; /* RFC 6980 */
    if (packet->ip_proto != PROTO_UDP || !packet->has_ports)
        return false;
    /* Client and server, either way; a relay speaks from and to the server's port and needs a rule. */
    if (packet->family == HUSK_FAMILY_IPV4)
        return is_between(packet, DHCP_CLIENT_PORT, DHCP_SERVER_PORT);
    return is_between(packet, DHCPV6_CLIENT_PORT, DHCPV6_SERVER_PORT);
}

static __always_inline struct bench *bench_of(enum role role)
{
    husk_u32 index = role;
    return bpf_map_lookup_elem(&benches, &index);
}

/* verdict, mode and reason of a finding, as one argument. */
#define SAID(VERDICT, MODE, REASON) ((VERDICT) | (MODE) << 8 | (REASON) << 16)

/* Emits what was said of the packet on the bench. */
GLOBAL husk_report(husk_u32 role, husk_u32 rule, husk_u32 said)
{
    struct bench *bench = bench_of(role);
    struct husk_control *shared = map_only_entry(&control);
    if (!bench || !shared)
        return 0;
    struct finding finding = {
        .serial = bench->serial,
        .rule = rule,
        .hook = role == ROLE_INGRESS ? HUSK_HOOK_XDP_INGRESS : HUSK_HOOK_TC_EGRESS,
        .verdict = said,
        .mode = said >> 8,
        .reason = said >> 16,
    };
    emit_packet(shared, &finding, &bench->key.packet, bench->ifindex, bench->length);
    return 0;
}

/* A rule or default in monitor mode spoke: remembered, counted, reported, not acted on. */
GLOBAL husk_note(husk_u32 role, husk_u32 rule, husk_u32 verdict, husk_u32 reason)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    if (bench->result.monitored == HUSK_RULE_NONE)
        bench->result.monitored = rule;
    if (is_twin(role))
        return 0;
    count_rule(rule, bench->length);
    if (verdict == HUSK_VERDICT_DROP)
        husk_report(role, rule, SAID(verdict, HUSK_MODE_MONITOR, reason));
    return 0;
}

static __always_inline const struct husk_rule_list *rules_of(enum role role, husk_u32 slot)
{
    return is_ingress(role) ? table_wide(&ingress_slots, slot) : table_wide(&egress_slots, slot);
}

enum walk {
    WALK_NO_RULES = -1, /* the slot has no list */
    WALK_OVER = 0,      /* a rule matched, or the list ended */
    WALK_ON = 1,
};

/*
 * Walks 64 rules from `part * 64` on; the first in enforce mode that matches goes to the result. Rules in
 * monitor mode are gathered as bits and noted after: a loop whose body forks and meets again is what the
 * verifier is worst at (6.18 forgets the states by which it would see that it has been there), so this one
 * only ever leaves.
 */
GLOBAL husk_walk_rules(husk_u32 role, husk_u32 part)
{
    struct bench *bench = bench_of(role);
    if (!bench || part >= WALK_PARTS)
        return WALK_NO_RULES;
    const struct husk_rule_list *list = rules_of(role, bench->slot);
    if (!list)
        return WALK_NO_RULES;
    const struct husk_rule *rules = &list->rules[part * 64];
    husk_u32 count = list->count - part * 64;
    husk_u64 monitored = 0;
    int walk = WALK_ON;
#pragma clang loop unroll(disable)
    for (husk_u32 index = 0; index < 64; index++) {
        if (index >= count) {
            walk = WALK_OVER;
            break;
        }
        const struct husk_rule *rule = &rules[index];
        husk_u64 is_match = any(rule_differs(rule, &bench->key)) ^ 1;
        husk_u64 is_monitor = any(rule->mode ^ HUSK_MODE_ENFORCE);
        monitored |= (is_match & is_monitor) << index;
        if (is_match & (is_monitor ^ 1)) {
            bench->result.verdict = rule->verdict;
            bench->result.reason = HUSK_REASON_RULE;
            bench->result.rule = rule->rule;
            walk = WALK_OVER;
            break;
        }
    }
    bench->monitored = monitored;
    return walk;
}

/* Notes each rule of the part whose bit is set, in list order. */
GLOBAL husk_note_rules(husk_u32 role, husk_u32 part)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    const struct husk_rule_list *list = rules_of(role, bench->slot);
    if (!list)
        return 0;
    husk_u64 monitored = bench->monitored;
#pragma clang loop unroll(disable)
    for (husk_u32 round = 0; round < 64; round++) {
        if (!monitored)
            break;
        husk_u64 index = part * 64 + lowest_bit(monitored);
        const struct husk_rule *rule = &list->rules[index & (HUSK_RULES_MAX - 1)];
        monitored &= monitored - 1;
        husk_note(role, rule->rule, rule->verdict, HUSK_REASON_RULE);
    }
    return 0;
}

/* The whole list. False where there is none. */
static __always_inline bool walk_rules(struct bench *bench, enum role role)
{
#pragma unroll
    for (husk_u32 part = 0; part < WALK_PARTS; part++) {
        int walk = husk_walk_rules(role, part);
        if (walk < 0)
            return false;
        if (bench->monitored)
            husk_note_rules(role, part);
        if (walk == WALK_OVER)
            return true;
    }
    return true;
}

/* Every set that source and destination are in. False where the slot has no such tables. */
static __always_inline bool find_sets(struct bench *bench)
{
    struct packet_key *key = &bench->key;
    key->from_sets = 0;
    key->to_sets = 0;
    if (key->packet.family == HUSK_FAMILY_OTHER)
        return true;
    bool is_ipv4 = key->packet.family == HUSK_FAMILY_IPV4;
    return sets_with(&set4_slots, &set6_slots, bench->slot, is_ipv4, &key->packet.saddr, &key->from_sets) &&
           sets_with(&set4_slots, &set6_slots, bench->slot, is_ipv4, &key->packet.daddr, &key->to_sets);
}

/* The verdict by the tables of the slot. False where a table is missing. */
static __always_inline bool judge_by_tables(struct bench *bench, enum role role, const struct husk_zone *zone,
                                            int parsed)
{
    struct husk_tried *result = &bench->result;
    const struct husk_generation *generation = table_wide(&generation_slots, bench->slot);
    if (!generation)
        return false;
    bench->serial = generation->serial;

    if (parsed < 0) {
        result->verdict = generation->unparseable_verdict;
        result->reason = HUSK_REASON_UNPARSEABLE;
        return true;
    }
    if (is_never_drop(&bench->key.packet)) {
        result->reason = HUSK_REASON_NEVER_DROP;
        return true;
    }

    bench->key.zone_bit = zone->zone_bit;
    if (!find_sets(bench) || !walk_rules(bench, role))
        return false;
    if (result->reason == HUSK_REASON_RULE)
        return true;

    result->verdict = is_ingress(role) ? zone->ingress_default : zone->egress_default;
    result->rule = is_ingress(role) ? zone->ingress_default_rule : zone->egress_default_rule;
    result->reason = HUSK_REASON_DEFAULT;
    if ((is_ingress(role) ? zone->ingress_mode : zone->egress_mode) != HUSK_MODE_ENFORCE) {
        husk_note(role, result->rule, result->verdict, HUSK_REASON_DEFAULT);
        result->verdict = HUSK_VERDICT_ALLOW;
        result->pad = 1; /* counted already */
    }
    return true;
}

/* The one exit: what was decided is counted and reported, or left in `tried`. True: drop. */
static __always_inline bool conclude(struct bench *bench, enum role role)
{
    struct husk_tried *result = &bench->result;
    bool is_drop = result->verdict == HUSK_VERDICT_DROP;
    husk_u32 is_counted = result->pad;
    result->verdict = is_drop ? HUSK_VERDICT_DROP : HUSK_VERDICT_ALLOW;
    result->pad = 0;
    if (is_twin(role)) {
        struct husk_tried *record = map_only_entry(&tried);
        if (record) {
            result->runs = record->runs + 1;
            *record = *result;
        }
        return is_drop;
    }

    count_total(is_ingress(role) ? HUSK_TOTAL_INGRESS : HUSK_TOTAL_EGRESS);
    switch (result->reason) {
    case HUSK_REASON_RULE:
    case HUSK_REASON_DEFAULT:
        if (!is_counted)
            count_rule(result->rule, bench->length);
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
    default:
        count_total(HUSK_TOTAL_NO_GENERATION);
    }
    if (is_drop)
        husk_report(role, result->rule, SAID(HUSK_VERDICT_DROP, HUSK_MODE_ENFORCE, result->reason));
    return is_drop;
}

/* The bench for this packet, with the slot and the interface that it is judged by. NULL cannot be, and
 * allows. */
static __always_inline struct bench *bench_clear(enum role role, husk_u32 ifindex, husk_u32 length)
{
    struct bench *bench = bench_of(role);
    struct husk_control *shared = map_only_entry(&control);
    if (!bench || !shared)
        return NULL;
    __builtin_memset(&bench->key.packet, 0, sizeof(bench->key.packet));
    bench->result.verdict = HUSK_VERDICT_ALLOW;
    bench->result.reason = HUSK_REASON_NO_GENERATION;
    bench->result.rule = HUSK_RULE_NONE;
    bench->result.monitored = HUSK_RULE_NONE;
    bench->result.pad = 0;
    bench->serial = 0;
    bench->length = length;
    if (!is_twin(role)) {
        bench->slot = live_slot(shared);
        bench->ifindex = ifindex;
        return bench;
    }
    const struct husk_try *label = map_only_entry(&try_label);
    if (!label)
        return NULL;
    bench->slot = label->slot;
    bench->ifindex = label->ifindex;
    return bench;
}

/* The zone of the interface; NULL says why in the result. */
static __always_inline const struct husk_zone *find_zone(struct bench *bench)
{
    husk_u32 slot = bench->slot, ifindex = bench->ifindex;
    void *zones = bpf_map_lookup_elem(&zones_slots, &slot);
    if (!zones)
        return NULL;
    const struct husk_zone *zone = bpf_map_lookup_elem(zones, &ifindex);
    if (!zone)
        bench->result.reason = HUSK_REASON_UNZONED;
    return zone;
}

#endif
