/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which programs a task comes from. Kept with the task, whatever the policy is, so that a policy that arrives
 * later knows of a shell that a daemon started before.
 *
 * A program is noted once: running the same two in turn fills nothing. Where there is no room for another,
 * the lineage is unknown from then on and never shorter.
 */
#ifndef HUSK_LINEAGE_H
#define HUSK_LINEAGE_H

#include "count.h"
#include "object_path.h"

/* Where in the lineage the program is; HUSK_LINEAGE_MAX: nowhere. */
GLOBAL husk_find_program(const struct husk_task *task, const struct husk_program *program)
{
    if (!task || !program)
        return HUSK_LINEAGE_MAX;
#pragma clang loop unroll(disable)
    for (husk_u32 at = 0; at < HUSK_LINEAGE_MAX; at++) {
        if (at >= task->programs)
            break;
        if (task->lineage[at].path == program->path && task->lineage[at].applet == program->applet)
            return at;
    }
    return HUSK_LINEAGE_MAX;
}

/* Puts the program at the end, unless it is there. Where it was put, or is. */
static __always_inline husk_u32 note_program_behind(struct husk_task *task, struct husk_program *program)
{
    husk_u32 found = husk_find_program(task, program);
    if (found < HUSK_LINEAGE_MAX)
        return found;
    found = task->programs;
    if (found >= HUSK_LINEAGE_MAX) {
        task->flags |= HUSK_TASK_LINEAGE_FULL;
        return HUSK_LINEAGE_MAX - 1;
    }
    task->lineage[found & (HUSK_LINEAGE_MAX - 1)] = *program;
    task->programs = found + 1;
    return found;
}

/* Puts it in front: what the task runs from now on. */
static __always_inline void note_program(struct husk_task *task, struct husk_program *program)
{
    husk_u32 at = note_program_behind(task, program) & (HUSK_LINEAGE_MAX - 1);
    task->lineage[at] = task->lineage[0];
    task->lineage[0] = *program;
    task->generation = 0;
}

/* The last part of what was typed, a kernel's string. 0: none. */
static __always_inline husk_u64 husk_typed_name(struct husk_task *task, const char *typed)
{
    if (bpf_probe_read_kernel_str(task->name, HUSK_NAME_BYTES, typed) <= 0)
        return 0;
    return husk_hash_last_name(task);
}

static __always_inline void copy_lineage(struct husk_task *to, const struct husk_task *from)
{
    if (!from)
        return;
    __builtin_memcpy(to->lineage, from->lineage, sizeof(to->lineage));
    to->programs = from->programs;
    to->flags = from->flags;
    to->generation = 0;
}

/* The executable's place as a number; 0 where it can't be told. */
static __always_inline husk_u64 executable_path(struct file *file, struct husk_task *task,
                                                const struct husk_path_key *key)
{
    struct place place;
    resolve(file->f_path.dentry, task, key, &place);
    return place.is_unresolved ? 0 : path_value(place.whole, place.device, key);
}

#endif
