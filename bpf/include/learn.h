/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Learning: what tasks of a subject do is kept, a row for each thing, with its name and how often. Nothing is
 * decided here.
 *
 * Files are kept by their names until a folder has shown many for one operation; of what comes then the
 * folder is kept, so that a daemon with a file for each session fills no table. Programs are kept by name,
 * however many.
 */
#ifndef HUSK_LEARN_H
#define HUSK_LEARN_H

#include "object_path.h"
#include "sight.h"

/* Subjects for which one operation is kept; of more, the first. */
#define LEARNERS_ROUNDS 4

/* Names of the path into the row, from its end, as operation events have them. `address`: a dentry's. */
static __always_inline void write_sight_names(struct husk_sight *sight, husk_u64 address)
{
    const struct dentry *dentry = (const void *)address;
    husk_u32 length = 0;
#pragma clang loop unroll(disable)
    for (husk_u32 depth = 0; depth < 16; depth++) {
        if (length > 255) {
            sight->flags |= HUSK_EVENT_PATH_CUT;
            break;
        }
        const struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
        if (parent == dentry && depth)
            break;
        long got =
            bpf_probe_read_kernel_str(&sight->names[length & 255], 64, BPF_CORE_READ(dentry, d_name.name));
        if (got <= 0 || got > 64)
            break;
        length += got;
        if (parent == dentry)
            break;
        dentry = parent;
    }
    sight->names_length = husk_unknown(length);
}

/* What the row is about, from what is asked: a path by its number, a number, or the operation alone. */
static __always_inline void describe_object(struct husk_sight_key *row, const struct asked *asked,
                                            const struct husk_task *task)
{
    const struct husk_path_key *key = the_path_key();
    row->operation = asked->operation;
    row->traits = asked->traits & ~(1 << HUSK_TRAIT_UNLISTED_APPLET);
    row->name = task->typed_number;
    row->value = asked->number;
    row->kind = asked->number ? HUSK_SIGHT_NUMBER : HUSK_SIGHT_PLAIN;
    if (!task->dentry)
        return;
    row->kind = asked->has_path ? HUSK_SIGHT_PATH : HUSK_SIGHT_UNRESOLVED;
    if (asked->has_path && key)
        row->value = path_value(asked->place.whole, asked->place.device, key);
}

/* A row that is new gets the name of its object. */
static __always_inline void name_object(struct husk_sight *sight, const struct asked *asked,
                                        const struct husk_task *task, husk_u64 dentry)
{
    if (!dentry || sight->names_length)
        return;
    sight->device = asked->place.device;
    if (task->typed)
        bpf_probe_read_kernel_str(sight->typed, sizeof(sight->typed), (const void *)task->typed);
    write_sight_names(sight, dentry);
}

/* The number of the folder it is in: the whole path less its last name. */
static __always_inline husk_u64 folder_value(const struct asked *asked, const struct husk_task *task,
                                             const struct husk_path_key *key)
{
    husk_u64 base = path_base(key), power = 1;
    husk_u32 depth = asked->place.depth;
#pragma clang loop unroll(disable)
    for (husk_u32 above = 1; above < HUSK_PATH_DEPTH_MAX; above++) {
        if (above >= depth)
            break;
        power *= base;
    }
    return path_value(asked->place.whole - power * task->rest[0], asked->place.device, key);
}

/* The folder of a path that has no row yet. Whether it has shown enough names: then the row is its own, and
 * else as it was. There is no room for two rows on the stack. */
static __always_inline bool fold_row(struct husk_sight_key *row, const struct asked *asked,
                                     const struct husk_task *task, const struct husk_path_key *key)
{
    husk_u64 value = row->value;
    husk_u8 traits = row->traits;
    row->kind = HUSK_SIGHT_FOLDER;
    row->traits = 0;
    row->value = folder_value(asked, task, key);
    struct husk_sight *sight = bpf_map_lookup_elem(&profile, row);
    const struct husk_sight *blank = map_only_entry(&blank_sight);
    if (!sight && blank) {
        bpf_map_update_elem(&profile, row, blank, BPF_NOEXIST);
        sight = bpf_map_lookup_elem(&profile, row);
    }
    if (sight) {
        const struct dentry *dentry = (const void *)task->dentry;
        name_object(sight, asked, task, (husk_u64)BPF_CORE_READ(dentry, d_parent));
        if (sight->below >= HUSK_FOLDER_NAMES_MAX)
            return true;
        __sync_fetch_and_add(&sight->below, 1);
    }
    row->kind = HUSK_SIGHT_PATH;
    row->traits = traits;
    row->value = value;
    return false;
}

GLOBAL husk_learn_for(const struct asked *asked, const struct husk_task *task, husk_u32 learner)
{
    const struct husk_path_key *key = the_path_key();
    if (!asked || !task || !key)
        return 0;
    struct husk_sight_key row = {.rule = learner, .shadow_rule = HUSK_RULE_NONE};
    describe_object(&row, asked, task);
    bool may_fold = row.kind == HUSK_SIGHT_PATH && row.operation != HUSK_OPERATION_EXEC && asked->place.depth;
    bool is_folded = may_fold && !bpf_map_lookup_elem(&profile, &row) && fold_row(&row, asked, task, key);
    struct husk_sight *sight = count_sight(&profile, &row, HUSK_TOTAL_PROFILE_LOST);
    if (sight && !is_folded)
        name_object(sight, asked, task, task->dentry);
    return 0;
}

/* For each of the subjects that learn. */
GLOBAL husk_learn(const struct asked *asked, const struct husk_task *task, husk_u64 subjects)
{
    if (!asked || !task)
        return 0;
    const struct husk_operations *all = table_wide(&operations_slots, asked->slot);
    if (!all)
        return 0;
#pragma clang loop unroll(disable)
    for (husk_u32 round = 0; round < LEARNERS_ROUNDS; round++) {
        if (!subjects)
            break;
        husk_learn_for(asked, task, all->learners[lowest_bit(subjects) & (HUSK_SUBJECTS_MAX - 1)]);
        subjects &= subjects - 1;
    }
    return 0;
}

#endif
