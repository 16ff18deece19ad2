/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A policy in shadow: what lies in the standby slot judges each operation once more and decides nothing.
 * Kept is only where its verdict is another than the live one, by operation, object and both rules.
 */
#ifndef HUSK_SHADOW_H
#define HUSK_SHADOW_H

#include "learn.h"

/* Subjects of the task by the tables of the shadow. Not kept with the task: there is room for the live
 * policy's alone. */
__attribute__((noinline)) husk_u64 husk_shadow_subjects(const struct husk_task *task, husk_u32 slot)
{
    const struct husk_operations *all = table_wide(&operations_slots, slot);
    if (!task || !all)
        return 0;
    husk_u64 subjects = husk_program_subjects(task, slot) | all->any_program;
    if (task->flags & HUSK_TASK_LINEAGE_FULL)
        subjects |= all->unknown;
    subjects &= user_subjects(all, slot, effective_user());
    if (subjects & ~all->any_cgroup)
        subjects &= all->any_cgroup | husk_cgroup_subjects(slot);
    return subjects;
}

/* What was asked is to be asked again, by the other slot. */
GLOBAL husk_turn_to_shadow(struct asked *asked, const struct husk_task *task)
{
    if (!asked || !task)
        return 0;
    asked->denials.count = 0;
    asked->would_denials.count = 0;
    asked->lifts.count = 0;
    asked->would_allow = HUSK_RULE_NONE;
    asked->allowed = HUSK_RULE_NONE;
    asked->kills = 0;
    asked->slot ^= 1;
    const struct husk_operations *all = table_wide(&operations_slots, asked->slot);
    asked->subjects = 0;
    if (!all)
        return 0;
    asked->subjects = husk_shadow_subjects(task, asked->slot) &
                      all->subjects[asked->operation & (HUSK_OPERATION_COUNT - 1)];
    if (asked->subjects && asked->has_path && task->typed)
        ask_applet(asked, task);
    return 0;
}

/* Where the verdicts differ. `live`: the live rule that decides. */
GLOBAL husk_keep_difference(const struct asked *asked, const struct husk_task *task, husk_u32 live,
                            husk_u32 live_denies)
{
    if (!asked || !task)
        return 0;
    husk_u32 denial = husk_standing_denial(asked);
    if ((live_denies != 0) == (denial != HUSK_RULE_NONE))
        return 0;
    struct husk_sight_key row = {.rule = live};
    row.shadow_rule = denial == HUSK_RULE_NONE ? asked->allowed : denial;
    row.verdicts = live_denies ? HUSK_SIGHT_LIVE_DENIES : HUSK_SIGHT_SHADOW_DENIES;
    describe_object(&row, asked, task);
    struct husk_sight *sight = count_sight(&differences, &row, HUSK_TOTAL_DIFFERENCES_LOST);
    if (sight)
        name_object(sight, asked, task, task->dentry);
    return 0;
}

/* After the live verdict, of which `asked` still tells. All of it is asked from here: frames below one more
 * would have no room. */
static __always_inline void judge_in_shadow(struct asked *asked, const struct husk_task *task)
{
    husk_u32 denial = husk_standing_denial(asked);
    bool live_denies = denial != HUSK_RULE_NONE;
    husk_u32 live = live_denies ? denial : asked->allowed;
    husk_turn_to_shadow(asked, task);
    if (asked->subjects) {
        if (asked->has_path)
            husk_ask_path(asked, task);
        husk_ask_rest(asked);
    }
    husk_keep_difference(asked, task, live, live_denies);
}

#endif
