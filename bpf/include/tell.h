/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is told of an operation of a task: the first that is alike in a period by a record, those after it by
 * a count (abi/operation_event.h). A producer does not wait: what finds the ring full is lost, and counted.
 *
 * Denials come before what is only observed: that has a budget of new things in each period, and half of the
 * ring. What is beyond is suppressed, and counted.
 */
#ifndef HUSK_TELL_H
#define HUSK_TELL_H

#include "emit.h"
#include "hardening_maps.h"

/* What of the path makes it the same object: nothing that has to be walked for. */
static __always_inline void alike_path(struct husk_alike *alike, struct dentry *dentry)
{
    struct inode *folder = BPF_CORE_READ(dentry, d_parent, d_inode);
    alike->target[0] = (husk_u64)dentry->d_name.hash << 32 | dentry->d_name.len;
    alike->target[1] = folder ? BPF_CORE_READ(folder, i_ino) : 0;
    alike->target[2] = BPF_CORE_READ(dentry, d_sb, s_dev);
}

static __always_inline bool count_repeat(const struct husk_alike *alike, husk_u64 now)
{
    struct husk_repeats *known = bpf_map_lookup_elem(&repeats, alike);
    if (!known)
        return false;
    __sync_fetch_and_add(&known->count, 1);
    known->last_ns = now;
    return true;
}

/* Whether one more new thing that was allowed may be told in this period. Two CPUs at once may be one beyond
 * it, which harms nobody. */
static __always_inline bool may_observe(husk_u32 period)
{
    struct observed_budget *budget = map_only_entry(&observed_budget);
    if (!budget || bpf_ringbuf_query(&call_events, BPF_RB_AVAIL_DATA) > HUSK_CALL_RING_BYTES / 2)
        return false;
    if (budget->period != period) {
        budget->period = period;
        budget->used = 0;
    }
    if (budget->used >= HUSK_OBSERVED_MAX)
        return false;
    __sync_fetch_and_add(&budget->used, 1);
    return true;
}

/* Whether this is the first in its period, which is to be told by a record. */
static __always_inline bool is_first_alike(const struct husk_alike *alike, struct husk_repeats *fresh,
                                           husk_u64 now)
{
    fresh->first_ns = now;
    fresh->last_ns = now;
    fresh->count = 0;
    if (count_repeat(alike, now))
        return false;
    if (alike->verdict == HUSK_VERDICT_ALLOW && !may_observe(alike->period)) {
        count_total(HUSK_TOTAL_OBSERVED_SUPPRESSED);
        return false;
    }
    /* Another CPU may have been first meanwhile. Without room for it, it is told each time. */
    return bpf_map_update_elem(&repeats, alike, fresh, BPF_NOEXIST) == 0 || !count_repeat(alike, now);
}

/* Names of the path into the event, from its end. */
static __always_inline void write_names(struct husk_operation_event *event, struct dentry *dentry)
{
    husk_u32 length = 0;
#pragma clang loop unroll(disable)
    for (husk_u32 depth = 0; depth < 12; depth++) {
        if (length > 255) {
            event->flags |= HUSK_EVENT_PATH_CUT;
            break;
        }
        struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
        if (parent == dentry && depth)
            break;
        long got = bpf_probe_read_kernel_str(&event->names[length & 255], 64, BPF_CORE_READ(dentry, d_name.name));
        if (got <= 0 || got > 64)
            break;
        length += got;
        if (parent == dentry)
            break;
        dentry = parent;
    }
    event->names_length = husk_unknown(length);
}

static __always_inline void describe_task(struct husk_operation_event *event, const struct husk_task *task)
{
    struct task_struct *current = bpf_get_current_task_btf();
    struct task_struct *parent = BPF_CORE_READ(current, real_parent);
    husk_u64 ids = bpf_get_current_pid_tgid();
    event->cgroup = bpf_get_current_cgroup_id();
    event->start_ns = BPF_CORE_READ(current, group_leader, start_boottime);
    event->tgid = ids >> 32;
    event->tid = ids;
    event->parent = BPF_CORE_READ(parent, tgid);
    event->uid = BPF_CORE_READ(current, cred, euid.val);
    event->gid = bpf_get_current_uid_gid() >> 32;
    bpf_get_current_comm(event->comm, sizeof(event->comm));
    __builtin_memset(event->parent_comm, 0, sizeof(event->parent_comm));
    bpf_probe_read_kernel_str(event->parent_comm, sizeof(event->parent_comm), parent->comm);
    if (!task) {
        __builtin_memset(event->lineage, 0, sizeof(event->lineage));
        event->programs = 0;
        return;
    }
    __builtin_memcpy(event->lineage, task->lineage, sizeof(event->lineage));
    event->programs = task->programs;
    if (task->flags & HUSK_TASK_LINEAGE_FULL)
        event->flags |= HUSK_EVENT_LINEAGE_FULL;
}

/* Where a task's record has room for what is told: no stack has it on 6.1, and the path that was there is
 * judged by now. */
static __always_inline struct husk_alike *task_alike(struct husk_task *task)
{
    _Static_assert(sizeof(struct husk_alike) + sizeof(struct husk_repeats) <= sizeof(task->rest), "room");
    return (struct husk_alike *)&task->rest[0];
}
static __always_inline struct husk_repeats *task_repeats(struct husk_task *task)
{
    return (struct husk_repeats *)&task->rest[sizeof(struct husk_alike) / 8];
}

/* By the task that does it. `alike`: filled in but for the task, the path and the verdict. `task`: its
 * record; NULL: it has none. */
static __always_inline void tell_operation(const struct finding *finding, struct husk_alike *alike,
                                           struct husk_repeats *fresh, struct dentry *dentry,
                                           const struct husk_task *task)
{
    husk_u64 now = bpf_ktime_get_boot_ns();
    if (task)
        alike->program = task->lineage[0];
    if (dentry)
        alike_path(alike, dentry);
    alike->rule = finding->rule;
    alike->verdict = finding->verdict;
    alike->mode = finding->mode;
    alike->period = now >> HUSK_PERIOD_SHIFT;
    if (!is_first_alike(alike, fresh, now))
        return;
    struct husk_operation_event *event = bpf_ringbuf_reserve(&call_events, sizeof(*event), 0);
    if (!event) {
        count_total(HUSK_TOTAL_CALL_EVENTS_LOST);
        return;
    }
    event_head(&event->head, finding, HUSK_EVENT_OPERATION, sizeof(*event), now);
    event->alike = *alike;
    event->device = 0;
    event->names_length = 0;
    event->flags = 0;
    event->pad = 0;
    describe_task(event, task);
    __builtin_memset(event->names, 0, sizeof(event->names));
    if (dentry) {
        event->device = BPF_CORE_READ(dentry, d_sb, s_dev);
        write_names(event, dentry);
    }
    bpf_ringbuf_submit(event, 0);
}

#endif
