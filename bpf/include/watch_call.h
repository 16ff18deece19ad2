/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What looks on while calls are judged: learning, and the differences of a policy in shadow. Rows as in
 * abi/sight.h. */
#ifndef HUSK_WATCH_CALL_H
#define HUSK_WATCH_CALL_H

#include "lookup.h"
#include "sight.h"

/* Subjects for which one call is kept; of more, the first. */
#define CALL_LEARNERS_ROUNDS 4

static __always_inline husk_u16 operation_of(const struct call *call)
{
    if (call->call & (HUSK_CALL_CONNECT | HUSK_CALL_TASK_CONNECT))
        return HUSK_OPERATION_CONNECT;
    return call->call & (HUSK_CALL_BIND | HUSK_CALL_TASK_BIND) ? HUSK_OPERATION_BIND : HUSK_OPERATION_SOCKET;
}

static __always_inline void describe_call(struct husk_sight_key *row, const struct call *call)
{
    row->operation = operation_of(call);
    row->kind = HUSK_SIGHT_CALL;
    row->value = (husk_u64)call->socket_family << 16 | call->socket_type;
    row->port = call->port;
    row->ip_proto = call->ip_proto;
    __builtin_memcpy(row->addr, &call->addr, sizeof(row->addr));
}

/* Each hook keeps what its own subjects do: `cgroup_alone` those of cgroup hooks. */
static __always_inline void learn_call(const struct call *call, husk_u64 subjects, husk_u32 slot,
                                       bool cgroup_alone)
{
    const struct husk_operations *all = table_wide(&operations_slots, slot);
    if (!all)
        return;
    struct husk_sight_key row = {.shadow_rule = HUSK_RULE_NONE};
    describe_call(&row, call);
    husk_u64 alone = all->any_program & all->any_user & ~all->any_cgroup;
    husk_u64 learning = subjects & all->learning[row.operation & (HUSK_OPERATION_COUNT - 1)] &
                        (cgroup_alone ? alone : ~alone);
#pragma clang loop unroll(disable)
    for (husk_u32 round = 0; round < CALL_LEARNERS_ROUNDS; round++) {
        if (!learning)
            break;
        row.rule = all->learners[lowest_bit(learning) & (HUSK_SUBJECTS_MAX - 1)];
        learning &= learning - 1;
        count_sight(&profile, &row, HUSK_TOTAL_PROFILE_LOST);
    }
}

static __always_inline void keep_call_difference(const struct call *call, const struct husk_tried *live,
                                                 const struct husk_tried *shadow)
{
    struct husk_sight_key row = {
        .rule = live->rule,
        .shadow_rule = shadow->rule,
        .verdicts = live->verdict == HUSK_VERDICT_DENY ? HUSK_SIGHT_LIVE_DENIES : HUSK_SIGHT_SHADOW_DENIES,
    };
    describe_call(&row, call);
    count_sight(&differences, &row, HUSK_TOTAL_DIFFERENCES_LOST);
}

#endif
