/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Self-protection: who may touch what is Husk's.
 *
 *   the kernel's own threads, process 1                       may
 *   while somebody has let go of it: whom that is for         may
 *   who runs the agent's executable: the running agent        may
 *                                    others of no shielded
 *                                    service                  may
 *   all others                                                may not
 *
 * The executable is known by its place, which nobody else can write to; that it is really the agent's code
 * that runs in it a shielded service could pretend (its environment and libraries are the service's), so of
 * those nobody is believed, nor of tasks whose lineage is not known.
 */
#ifndef HUSK_SELF_GUARD_H
#define HUSK_SELF_GUARD_H

#include "decide.h"
#include "self_types.h"

/* Writer: user space. Its fields are read where they are needed; none depends on another. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct husk_self);
} self SEC(".maps");

/* By the number of a path: HUSK_SELF_ flags. Writer: user space. Missing: not guarded. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, HUSK_SELF_PLACES_MAX);
    __type(key, husk_u64);
    __type(value, husk_u32);
} self_places SEC(".maps");

/* The kernel's address of a map or program, since an id may be given to another one day; of links 0. Writers:
 * programs, as the agent makes or opens it; user space. Missing: not Husk's. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, HUSK_SELF_OBJECTS_MAX);
    __type(key, struct husk_self_object);
    __type(value, husk_u64);
} self_objects SEC(".maps");

/* Interfaces whose clsact holds filters of Husk's. Writer: user space. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, HUSK_SELF_INTERFACES_MAX);
    __type(key, husk_u32);
    __type(value, husk_u32);
} self_interfaces SEC(".maps");

/* Room for a path, of tasks that have no lineage to keep it in. */
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct husk_task);
} self_scratch SEC(".maps");

static __always_inline const struct husk_self *the_self(void)
{
    return map_only_entry(&self);
}

/* Flags of the object at the end of a path, and of the folders above that hold for all in them. */
GLOBAL husk_find_guarded(const struct place *place, const struct husk_task *task)
{
    const struct husk_path_key *key = the_path_key();
    if (!place || !task || !key)
        return 0;
    husk_u64 base = path_base(key), power = 1;
    husk_u32 depth = place->depth, flags = 0;
#pragma clang loop unroll(disable)
    for (husk_u32 above = 0; above <= HUSK_PATH_DEPTH_MAX; above++) {
        if (above > depth)
            break;
        husk_u64 rest = above < depth ? task->rest[(depth - above - 1) & (HUSK_PATH_DEPTH_MAX - 1)] : 0;
        husk_u64 value = path_value(place->whole - power * rest, place->device, key);
        const husk_u32 *found = bpf_map_lookup_elem(&self_places, &value);
        if (found)
            flags |= above == depth ? *found : *found & (HUSK_SELF_FOLDER | HUSK_SELF_SECRET);
        power *= base;
    }
    return flags;
}

static __always_inline bool has_guarded(const struct husk_self *settings, husk_u32 device)
{
#pragma unroll
    for (husk_u32 at = 0; at < HUSK_SELF_DEVICES_MAX; at++) {
        if (at < settings->devices_length && settings->devices[at] == device)
            return true;
    }
    return false;
}

static __always_inline struct husk_task *room_for_path(void)
{
    struct task_struct *current = bpf_get_current_task_btf();
    struct husk_task *room = bpf_task_storage_get(&tasks, current, 0, 0);
    return room ? room : bpf_task_storage_get(&self_scratch, current, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* HUSK_SELF_ flags of an object. A path deeper than is followed is none of Husk's, whose own are not. */
static __always_inline husk_u32 guarded_flags(const struct husk_self *settings, struct dentry *dentry)
{
    const struct husk_path_key *key = the_path_key();
    if (!key || !has_guarded(settings, dentry->d_sb->s_dev))
        return 0;
    struct husk_task *room = room_for_path();
    if (!room)
        return 0;
    struct place place = {};
    resolve(dentry, room, key, &place);
    return place.is_unresolved ? 0 : husk_find_guarded(&place, room);
}

/* Whether the task's lineage, or its cgroup, makes it one of a service that policy speaks of. A subject that
 * is only a user is none: it may be everybody who logs in. */
static __always_inline bool is_shielded(const struct husk_task *task)
{
    struct husk_control *shared = map_only_entry(&control);
    if (!shared)
        return true;
    husk_u32 slot = live_slot(shared);
    const struct husk_operations *all = table_wide(&operations_slots, slot);
    if (!all)
        return false;
    if (task->flags & HUSK_TASK_LINEAGE_FULL)
        return true;
    husk_u64 programs = husk_program_subjects(task, slot) | all->any_program;
    husk_u64 cgroups = husk_cgroup_subjects(slot) | all->any_cgroup;
    return (programs & cgroups & ~(all->any_program & all->any_cgroup)) != 0;
}

static __always_inline bool runs_agent(const struct husk_task *task)
{
    husk_u64 program = task->lineage[0].path;
    const husk_u32 *flags = program ? bpf_map_lookup_elem(&self_places, &program) : NULL;
    return flags && (*flags & HUSK_SELF_PROGRAM);
}

/* What is known of the current task. */
static __always_inline bool is_service(void)
{
    struct task_struct *current = bpf_get_current_task_btf();
    const struct husk_task *task = bpf_task_storage_get(&tasks, current, 0, 0);
    return !task || is_shielded(task);
}

static __always_inline husk_u32 open_to(const struct husk_self *settings)
{
    husk_u32 until = settings->open_until;
    if (!until || bpf_ktime_get_boot_ns() / NANOSECONDS_PER_SECOND >= until)
        return HUSK_SELF_SHUT;
    return settings->open_to;
}

/* The agent that is running: its process, by its number and by what it runs. */
static __always_inline bool is_the_agent(const struct husk_self *settings, struct task_struct *task)
{
    if (!settings->agent || task->tgid != (int)settings->agent)
        return false;
    const struct husk_task *record = bpf_task_storage_get(&tasks, task, 0, 0);
    return record && runs_agent(record);
}

static __always_inline bool may_touch(const struct husk_self *settings)
{
    struct task_struct *current = bpf_get_current_task_btf();
    if ((current->flags & PF_KTHREAD) || current->tgid == 1)
        return true;
    husk_u32 open = open_to(settings);
    if (open == HUSK_SELF_OPEN_ALL)
        return true;
    const struct husk_task *task = bpf_task_storage_get(&tasks, current, 0, 0);
    if (!task)
        return false;
    if (open == HUSK_SELF_OPEN_LOGINS)
        return !is_shielded(task);
    if (!runs_agent(task))
        return false;
    return current->tgid == (int)settings->agent || !is_shielded(task);
}

/* 0, or the errno to refuse with. */
static __always_inline int unless_ours(const struct husk_self *settings)
{
    if (may_touch(settings))
        return 0;
    count_total(HUSK_TOTAL_SELF_REFUSED);
    return -EPERM;
}

#endif
