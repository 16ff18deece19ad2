// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What a kernel is tried by for the other half of tier C: whether a task can be given a record when it is
 * made, and be ended by that record before the first instruction of what it runs. Acts on children of the
 * canary, which is known by its random name.
 */
#include "include/probe_name.h"

#define SIGKILL 9

/* Writer: the first of these programs. Missing: no child of the canary. */
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, husk_u32);
} probed_tasks SEC(".maps");

SEC("tp_btf/task_newtask")
int BPF_PROG(husk_probe_newtask, struct task_struct *child)
{
    if (is_probe_canary())
        bpf_task_storage_get(&probed_tasks, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(husk_probe_exec, struct task_struct *task)
{
    if (bpf_task_storage_get(&probed_tasks, task, 0, 0))
        bpf_send_signal(SIGKILL);
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
