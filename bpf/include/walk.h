/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The rules in the order they were written, by way of the entries that the classes lead to:
 *
 *   next entry whose classes all hold -> its extra conditions -> its limit -> monitor or log: noted, and on;
 *   allow, drop, reject: decided;  none left: the zone's default
 *
 * Nearly always the first entry decides. Where it does not, the walk goes on behind it.
 */
#ifndef HUSK_WALK_H
#define HUSK_WALK_H

#include "emit.h"
#include "extra.h"
#include "limit.h"

enum step {
    STEP_NO_RULES = -1, /* a table is missing */
    STEP_OVER = 0,      /* an entry decided, or there is none left */
    STEP_ON = 1,
};

/* verdict, mode and reason of a finding, as one argument. */
#define SAID(VERDICT, MODE, REASON) ((VERDICT) | (MODE) << 8 | (REASON) << 16)

static __always_inline husk_u32 hook_of(husk_u32 role)
{
    return role == ROLE_XDP_INGRESS  ? HUSK_HOOK_XDP_INGRESS
           : role == ROLE_TC_INGRESS ? HUSK_HOOK_TC_INGRESS
                                     : HUSK_HOOK_TC_EGRESS;
}

/* Emits what was said of the packet on the bench, unless its rule reports one in so many and this is none of
 * them. */
GLOBAL husk_report(CONTEXT *ctx, husk_u32 role, husk_u32 rule, husk_u32 said)
{
    struct bench *bench = bench_of(role);
    struct husk_control *shared = map_only_entry(&control);
    if (!bench || !shared || bench->is_untold)
        return 0;
    struct finding finding = {
        .serial = bench->serial,
        .rule = rule,
        .hook = hook_of(role),
        .verdict = said,
        .mode = said >> 8,
        .reason = said >> 16,
    };
    if (!packet_event_affordable(shared)) {
        count_total(HUSK_TOTAL_PACKET_EVENTS_SUPPRESSED);
        return 0;
    }
    bench_now(bench);
    bench->data_length = copy_data(ctx, bench);
    emit_packet(&finding, bench);
    return 0;
}

/* One in so many; the first is among them. Counted per CPU by the rule's own hits. */
static __always_inline bool is_sampled(husk_u32 rule, husk_u32 sample)
{
    const struct husk_counter *counter = bpf_map_lookup_elem(&counters, &rule);
    return counter && sample && counter->hits % sample == 0;
}

/* A rule or default that does not decide spoke: counted, remembered where its mode is monitor, reported where
 * it would drop or was asked to. */
GLOBAL husk_note(CONTEXT *ctx, husk_u32 role, husk_u32 rule, husk_u32 said, husk_u32 sample)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return 0;
    husk_u32 verdict = said & 0xff, mode = said >> 8 & 0xff;
    if (mode == HUSK_MODE_MONITOR && bench->result.monitored == HUSK_RULE_NONE)
        bench->result.monitored = rule;
    bench->result.noted++;
    bench->result.last_noted = rule;
    if (bench->is_quiet)
        return 0;
    bool would_stop = mode == HUSK_MODE_MONITOR && verdict != HUSK_VERDICT_ALLOW;
    if (is_sampled(rule, sample ?: would_stop))
        husk_report(ctx, role, rule, said);
    count_rule(rule, bench->length);
    return 0;
}

enum extra_result {
    EXTRA_NO_TABLE = -1,
    EXTRA_FAILS = 0,
    EXTRA_HOLDS = 1,
    EXTRA_OVER_NEXT = 2,  /* holds, above the limit: as if it did not */
    EXTRA_OVER_DROPS = 3, /* holds, above the limit: dropped */
};

/* Where nothing may be taken, every bucket is full. */
GLOBAL husk_extra(husk_u32 role, husk_u32 index)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return EXTRA_NO_TABLE;
    husk_u32 place = rules_place(bench->slot, bench->is_egress);
    void *extras = bpf_map_lookup_elem(&extra_slots, &place);
    const struct husk_extra *extra = extras ? bpf_map_lookup_elem(extras, &index) : NULL;
    if (!extra)
        return EXTRA_NO_TABLE;
    if (extra_differs(extra, bench))
        return EXTRA_FAILS;
    if (!(extra->flags & HUSK_EXTRA_LIMIT) || bench->is_quiet || bench->is_paid)
        return EXTRA_HOLDS;
    if (limit_take(&extra->limit, &bench->packet, bench_now(bench), false) == LIMIT_WITHIN)
        return EXTRA_HOLDS;
    return extra->limit.over == HUSK_LIMIT_OVER_DROP ? EXTRA_OVER_DROPS : EXTRA_OVER_NEXT;
}

static __always_inline int decide(struct bench *bench, const struct husk_rule *rule, husk_u32 verdict,
                                  husk_u32 reason)
{
    bench->result.verdict = verdict;
    bench->result.reason = reason;
    bench->result.rule = rule->rule;
    bench->reject_with = rule->reject_with;
    return STEP_OVER;
}

/* Looks at the next entry. */
GLOBAL husk_step(CONTEXT *ctx, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return STEP_NO_RULES;
    husk_u32 place = rules_place(bench->slot, bench->is_egress);
    int entry = bench->has_entry ? classify_next(role, place) : classify(role, place);
    if (entry < 0)
        return entry == CLASSIFIER_NONE ? STEP_OVER : STEP_NO_RULES;
    bench->has_entry = 1;
    const struct classifier_bench *classifier = classifier_bench(role);
    void *rules = bpf_map_lookup_elem(&rules_slots, &place);
    if (!rules || !classifier)
        return STEP_NO_RULES;
    husk_u32 row = classifier->row;
    const struct husk_rule *rule = bpf_map_lookup_elem(rules, &row);
    if (!rule)
        return STEP_NO_RULES;
    bench->is_per_packet |= rule->flags & HUSK_RULE_PER_PACKET;

    husk_u32 verdict = rule->verdict, mode = rule->mode, reason = HUSK_REASON_RULE;
    if (rule->extra) {
        int extra = husk_extra(role, rule->extra);
        if (extra < 0)
            return STEP_NO_RULES;
        if (extra == EXTRA_FAILS)
            return STEP_ON;
        if (extra != EXTRA_HOLDS && !bench->is_quiet)
            count_limited(rule->rule);
        if (extra == EXTRA_OVER_NEXT)
            return STEP_ON;
        if (extra == EXTRA_OVER_DROPS) {
            verdict = HUSK_VERDICT_DROP;
            reason = HUSK_REASON_LIMITED;
        }
    }
    if (mode != HUSK_MODE_ENFORCE || verdict == HUSK_VERDICT_LOG) {
        husk_u32 sample = rule->log_sample ?: verdict == HUSK_VERDICT_LOG;
        husk_note(ctx, role, rule->rule, SAID(verdict, mode, reason), sample);
        return STEP_ON;
    }
    bool is_allow = verdict == HUSK_VERDICT_ALLOW, is_told = !is_allow;
    if (rule->log_sample && reason == HUSK_REASON_RULE && !bench->is_quiet)
        is_told = is_sampled(rule->rule, rule->log_sample);
    if (is_allow && is_told)
        husk_report(ctx, role, rule->rule, SAID(verdict, mode, reason));
    bench->is_untold = !is_allow && !is_told; /* drops are reported where they are counted */
    return decide(bench, rule, verdict, reason);
}

/* More entries than there can be, in two loops: 5.10 takes none of so many rounds. */
#define STEPS_INNER 128
#define STEPS_OUTER (HUSK_RULES_MAX / STEPS_INNER + 1)

GLOBAL husk_steps(CONTEXT *ctx, husk_u32 role)
{
#pragma clang loop unroll(disable)
    for (int round = 0; round < STEPS_INNER; round++) {
        int step = husk_step(ctx, role);
        if (step != STEP_ON)
            return step;
    }
    return STEP_ON;
}

/* False where a table is missing. */
static __always_inline bool walk_rules(CONTEXT *ctx, husk_u32 role)
{
    /* The first nearly always decides: not through two loops. */
    int step = husk_step(ctx, role);
#pragma clang loop unroll(disable)
    for (int round = 0; step == STEP_ON && round < STEPS_OUTER; round++)
        step = husk_steps(ctx, role);
    return step >= 0;
}

#endif
