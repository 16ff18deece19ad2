/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The one judgement of a system call, for every cgroup hook:
 *
 *   no subject -> allow;  rules in order (denials, allowances, defaults) -> the first in enforce mode that
 *   matches;  none -> allow
 *
 * Rules in monitor mode that match on the way are counted and passed over; the first that would have denied
 * is reported. A slot or table that is missing allows, and is counted. Calls run in a task that may be
 * preempted, so all of it is on the stack, and there is no bench as for packets.
 *
 * The canary, a task in the cgroup that `try_label` names, is judged by the slot and the subjects named
 * there. It gets the verdict as an errno like any other task, leaves it in `tried`, and touches no counter
 * and no ring.
 */
#ifndef HUSK_JUDGE_CALL_H
#define HUSK_JUDGE_CALL_H

#include "cgroup_subjects.h"
#include "emit.h"
#include "watch_call.h"

/* Guards, which know the task, tell more of it. */
#ifndef REPORT_CALL
#define REPORT_CALL emit_call
#endif

/* What a cgroup program returns. */
#define CALL_ALLOWED 1
#define CALL_REFUSED 0 /* EPERM */

/* Whose call it is, and by which tables it is judged. */
struct caller {
    husk_u64 cgroup;
    husk_u64 serial;
    husk_u32 slot;
    bool is_canary;
    bool is_shadow; /* judged beside the live policy: nothing comes of it */
};

static __always_inline void report_call(const struct caller *caller, const struct call *call,
                                        const struct husk_call_rule *rule)
{
    struct finding finding = {
        .serial = caller->serial,
        .rule = rule->rule,
        .hook = call->hook,
        .verdict = HUSK_VERDICT_DENY,
        .mode = rule->mode,
        .reason = rule->is_default ? HUSK_REASON_DEFAULT : HUSK_REASON_RULE,
    };
    REPORT_CALL(&finding, call, caller->cgroup);
}

#define CALL_PARTS (HUSK_CALL_RULES_MAX / 64)
_Static_assert((HUSK_CALL_RULES_MAX & (HUSK_CALL_RULES_MAX - 1)) == 0, "an index into the list is masked");

/* Rules of the list that matched, a bit each, up to the first in enforce mode. */
struct matches {
    husk_u64 enforced[CALL_PARTS];
    husk_u64 monitored[CALL_PARTS];
    husk_u64 would_deny[CALL_PARTS]; /* of those monitored */
};

struct call_round {
    const struct call *call;
    const struct husk_call_list *list;
    husk_u64 enforced;
    husk_u64 monitored;
    husk_u64 would_deny;
    husk_u32 part;
};

/* Whether the rule of the part matches. Not 0 where no other has to be looked at. */
static __always_inline long look_at_call_rule(husk_u32 index, void *context)
{
    struct call_round *round = context;
    if (round->part * 64 + index >= round->list->count || round->enforced)
        return 1;
    const struct husk_call_rule *rule =
        &round->list->rules[(round->part * 64 + index) & (HUSK_CALL_RULES_MAX - 1)];
    husk_u64 is_match = any(call_rule_differs(rule, round->call)) ^ 1;
    husk_u64 is_monitor = any(rule->mode ^ HUSK_MODE_ENFORCE);
    husk_u64 is_deny = any(rule->verdict ^ HUSK_VERDICT_DENY) ^ 1;
    round->enforced |= (is_match & (is_monitor ^ 1)) << (index & 63);
    round->monitored |= (is_match & is_monitor) << (index & 63);
    round->would_deny |= (is_match & is_monitor & is_deny) << (index & 63);
    return 0;
}

/* Bits, and not the place of the match, are carried out of the loop: a word of bits can be made the same
 * unknown number wherever the loop was left. Programs of kernels from 5.15 on have repeat.h. */
static __always_inline void walk_call_rules(const struct call *call, const struct husk_call_list *list,
                                            husk_u32 part, struct matches *matches)
{
    struct call_round round = {.call = call, .list = list, .part = part};
#ifdef HUSK_REPEAT_H
    repeat(64, look_at_call_rule, &round);
#else
#pragma clang loop unroll(disable)
    for (husk_u32 index = 0; index < 64; index++) {
        if (look_at_call_rule(index, &round))
            break;
    }
#endif
    matches->enforced[part] = husk_unknown(round.enforced);
    matches->monitored[part] = husk_unknown(round.monitored);
    matches->would_deny[part] = husk_unknown(round.would_deny);
}

/* Beside the loop: its own forks would be walked again in every round. */
GLOBAL husk_count_call_rule(husk_u32 rule)
{
    count_rule(rule, 0);
    return 0;
}

struct count_round {
    const struct husk_call_list *list;
    husk_u64 bits;
    husk_u32 part;
};

/* Counts the first rule whose bit is set. Not 0 where there is none. */
static __always_inline long count_next_call_rule(husk_u32 number, void *context)
{
    struct count_round *round = context;
    husk_u64 bits = round->bits;
    if (!bits)
        return 1;
    round->bits = bits & (bits - 1);
    husk_u64 index = round->part * 64 + lowest_bit(bits);
    husk_u32 rule = round->list->rules[index & (HUSK_CALL_RULES_MAX - 1)].rule;
    husk_count_call_rule(rule);
    return 0;
}

/* Counts the rules of the part whose bits are set. */
GLOBAL husk_count_calls(husk_u32 slot, husk_u32 part, husk_u64 bits)
{
    struct count_round round = {.list = table_wide(&calls_slots, slot), .bits = bits, .part = part};
    if (!round.list)
        return 0;
#ifdef HUSK_REPEAT_H
    repeat(64, count_next_call_rule, &round);
#else
#pragma clang loop unroll(disable)
    for (husk_u32 number = 0; number < 64; number++) {
        if (count_next_call_rule(number, &round))
            break;
    }
#endif
    return 0;
}

static __always_inline const struct husk_call_rule *first_rule(const struct husk_call_list *list,
                                                               const husk_u64 *bits)
{
#pragma unroll
    for (husk_u32 part = 0; part < CALL_PARTS; part++) {
        if (bits[part])
            return &list->rules[(part * 64 + lowest_bit(bits[part])) & (HUSK_CALL_RULES_MAX - 1)];
    }
    return NULL;
}

/* The verdict of the slot's rules. False where a table is missing. */
static __always_inline bool judge_by_rules(struct caller *caller, struct call *call,
                                           struct husk_tried *result)
{
    const struct husk_generation *generation = table_wide(&generation_slots, caller->slot);
    const struct husk_call_list *list = table_wide(&calls_slots, caller->slot);
    if (!generation || !list)
        return false;
    caller->serial = generation->serial;
    if (call->family && !sets_with(&call_set4_slots, &call_set6_slots, caller->slot,
                                   call->family == HUSK_FAMILY_IPV4, &call->addr, &call->to_sets))
        return false;

    struct matches matches = {};
    _Static_assert(CALL_PARTS == 2, "two walks");
    walk_call_rules(call, list, 0, &matches);
    if (!matches.enforced[0] && list->count > 64)
        walk_call_rules(call, list, 1, &matches);
    const struct husk_call_rule *monitored = first_rule(list, matches.monitored);
    const struct husk_call_rule *would_deny = first_rule(list, matches.would_deny);
    const struct husk_call_rule *rule = first_rule(list, matches.enforced);

    if (monitored)
        result->monitored = monitored->rule;
    result->reason = HUSK_REASON_DEFAULT;
    if (rule) {
        result->rule = rule->rule;
        result->reason = rule->is_default ? HUSK_REASON_DEFAULT : HUSK_REASON_RULE;
        if (rule->verdict == HUSK_VERDICT_DENY)
            result->verdict = HUSK_VERDICT_DENY;
    }
    if (caller->is_canary || caller->is_shadow)
        return true;
#pragma unroll
    for (husk_u32 part = 0; part < CALL_PARTS; part++) {
        if (matches.monitored[part] | matches.enforced[part])
            husk_count_calls(caller->slot, part, matches.monitored[part] | matches.enforced[part]);
    }
    if (would_deny)
        report_call(caller, call, would_deny);
    if (rule && rule->verdict == HUSK_VERDICT_DENY)
        report_call(caller, call, rule);
    return true;
}

/* After the live verdict, where the standby slot holds a policy in shadow. */
static __always_inline void judge_call_in_shadow(struct call *call, husk_u32 live_slot, husk_u64 subjects,
                                                 const struct husk_tried *live)
{
    struct caller caller = {.slot = live_slot ^ 1, .is_shadow = true};
    struct husk_tried result = {.verdict = HUSK_VERDICT_ALLOW, .rule = HUSK_RULE_NONE};
    call->subjects = husk_unknown(subjects);
    if (call->subjects)
        judge_by_rules(&caller, call, &result);
    if ((result.verdict == HUSK_VERDICT_DENY) != (live->verdict == HUSK_VERDICT_DENY))
        keep_call_difference(call, live, &result);
}

static __always_inline void record_tried(struct husk_tried *result)
{
    struct husk_tried *record = map_only_entry(&tried);
    if (!record)
        return;
    result->runs = record->runs + 1;
    *record = *result;
}

/* What the hook returns. */
static __always_inline int judge_call(struct call *call)
{
    struct husk_control *shared = map_only_entry(&control);
    const struct husk_try *label = map_only_entry(&try_label);
    if (!shared || !label)
        return CALL_ALLOWED;
    struct caller caller = {.cgroup = bpf_get_current_cgroup_id()};
    caller.is_canary = label->canary_cgroup == caller.cgroup;
    caller.slot = caller.is_canary ? label->slot : live_slot(shared);

    struct husk_tried result = {
        .verdict = HUSK_VERDICT_ALLOW,
        .reason = HUSK_REASON_NO_SUBJECT,
        .rule = HUSK_RULE_NONE,
        .monitored = HUSK_RULE_NONE,
        .last_noted = HUSK_RULE_NONE,
    };
    void *subjects = bpf_map_lookup_elem(&subjects_slots, &caller.slot);
    if (subjects)
        call->subjects = caller.is_canary ? label->canary_subjects : find_subjects(subjects, caller.cgroup);
    if (!subjects || (call->subjects && !judge_by_rules(&caller, call, &result)))
        result.reason = HUSK_REASON_NO_GENERATION;
    if (call->subjects && !caller.is_canary)
        learn_call(call, call->subjects, caller.slot, true);
    husk_u32 shadow = caller.slot ^ 1;
    if (READ_ONCE(shared->shadow) && !caller.is_canary) {
        subjects = bpf_map_lookup_elem(&subjects_slots, &shadow);
        judge_call_in_shadow(call, caller.slot, subjects ? find_subjects(subjects, caller.cgroup) : 0,
                             &result);
    }

    if (caller.is_canary)
        record_tried(&result);
    else if (result.reason == HUSK_REASON_NO_GENERATION)
        count_total(HUSK_TOTAL_NO_GENERATION);
    else if (result.reason != HUSK_REASON_NO_SUBJECT)
        count_total(HUSK_TOTAL_CALLS);
    return result.verdict == HUSK_VERDICT_DENY ? CALL_REFUSED : CALL_ALLOWED;
}

/* What a sock_addr hook says of the address, IPv4. MPTCP's number (262) ends in TCP's: cut, it is judged as
 * what it is on the wire. */
static __always_inline int judge_call4(struct bpf_sock_addr *ctx, husk_u8 hook, husk_u8 number)
{
    struct call call = {
        .socket_family = ctx->family,
        .socket_type = ctx->type,
        .port = bpf_ntohs(ctx->user_port),
        .call = number,
        .family = HUSK_FAMILY_IPV4,
        .ip_proto = ctx->protocol,
        .hook = hook,
    };
    husk_u32 ip = ctx->user_ip4;
    /* Linux takes "any" as a destination for this host. */
    if (number == HUSK_CALL_CONNECT && !ip)
        ip = bpf_htonl(0x7f000001);
    address_from_ipv4(&call.addr, ip);
    return judge_call(&call);
}

/* The same for IPv6; an IPv4 address in IPv6 clothes is judged as what goes out on the wire. */
static __always_inline int judge_call6(struct bpf_sock_addr *ctx, husk_u8 hook, husk_u8 number)
{
    struct call call = {
        .socket_family = ctx->family,
        .socket_type = ctx->type,
        .port = bpf_ntohs(ctx->user_port),
        .call = number,
        .ip_proto = ctx->protocol,
        .hook = hook,
    };
    call.addr.words[0] = ctx->user_ip6[0];
    call.addr.words[1] = ctx->user_ip6[1];
    call.addr.words[2] = ctx->user_ip6[2];
    call.addr.words[3] = ctx->user_ip6[3];
    bool is_mapped = call.addr.halves[0] == 0 && call.addr.words[2] == bpf_htonl(0x0000ffff);
    if (number == HUSK_CALL_CONNECT && call.addr.halves[0] == 0 && call.addr.words[3] == 0)
        call.addr.words[3] = is_mapped ? bpf_htonl(0x7f000001) : call.addr.words[2] ? 0 : bpf_htonl(1);
    call.family = is_mapped ? HUSK_FAMILY_IPV4 : HUSK_FAMILY_IPV6;
    return judge_call(&call);
}

#endif
