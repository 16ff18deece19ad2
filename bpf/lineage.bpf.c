// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Keeps every task's lineage: copied when a task is made, added to when it runs a program, and found for
 * tasks that were there before us. Kept in every tier that has task storage.
 *
 * One decision falls here: a program of many applets goes by its first argument, which no hook shows before
 * the old program is gone. Where that is another name than the one typed, and is denied, the process ends
 * before its first instruction.
 */
#include "include/decide.h"

/* A task is copied from who makes it: threads and io_uring's workers too, which no process event tells of. */
SEC("tp_btf/task_newtask")
int BPF_PROG(husk_task_newtask, struct task_struct *child)
{
    struct task_struct *parent = bpf_get_current_task_btf();
    struct husk_task *from = bpf_task_storage_get(&tasks, parent, 0, 0);
    if (!from)
        return 0;
    struct husk_task *to = bpf_task_storage_get(&tasks, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!to) {
        count_total(HUSK_TOTAL_TASKS_UNKNOWN);
        return 0;
    }
    copy_lineage(to, from);
    return 0;
}

/* The name in the first argument, of the new program; its memory is the task's already. */
static __always_inline husk_u64 argument_name(struct husk_task *record, struct task_struct *task)
{
    struct mm_struct *memory = task->mm;
    if (!memory || bpf_probe_read_user_str(record->name, HUSK_NAME_BYTES, (void *)memory->arg_start) <= 0)
        return 0;
    return husk_hash_last_name(record);
}

/* The program, and the name it goes by: of a script, those of its interpreter. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(husk_process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
    struct husk_control *shared = map_only_entry(&control);
    const struct husk_path_key *key = the_path_key();
    struct husk_task *record = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!record || !key || !shared) {
        count_total(HUSK_TOTAL_TASKS_UNKNOWN);
        return 0;
    }
    husk_u64 typed = husk_typed_name(record, bprm->interp);
    struct husk_program program = {.path = executable_path(bprm->file, record, key), .applet = typed};
    husk_u64 argument = argument_name(record, task), applet = 0;
    if (argument != typed && find_applet(live_slot(shared), program.path, argument, &applet)) {
        struct operation operation = {
            .operation = HUSK_OPERATION_EXEC,
            .hook = HUSK_HOOK_EXEC,
            .applet = applet,
            .traits = applet ? 0 : 1 << HUSK_TRAIT_UNLISTED_APPLET,
            .too_late = true,
        };
        judge_operation(&operation);
        program.applet = argument;
    }
    note_program(record, &program);
    return 0;
}

/*
 * Tasks that were there before these programs. One whose parent is known gets what that one has and what it
 * runs itself; user space reads this until a pass finds none new. The applet is not known of these.
 */
SEC("iter/task")
int husk_find_tasks(struct bpf_iter__task *context)
{
    const struct husk_path_key *key = the_path_key();
    struct task_struct *task = context->task;
    if (!task || !key || (task->flags & PF_KTHREAD) || bpf_task_storage_get(&tasks, task, 0, 0))
        return 0;
    struct task_struct *parent = task->real_parent;
    struct husk_task *from = parent ? bpf_task_storage_get(&tasks, parent, 0, 0) : NULL;
    /* What the kernel itself starts comes from no program; nor does what process 1 has made, where that is
     * not shown to us (as on a 6.18 in a virtual machine whose process 1 is its manager's). */
    if (!from && task->tgid != 1 && !(parent && ((parent->flags & PF_KTHREAD) || parent->tgid == 1)))
        return 0;
    struct mm_struct *memory = task->mm;
    struct file *file = memory ? memory->exe_file : NULL;
    struct husk_task *record = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!record)
        return 0;
    copy_lineage(record, from);
    if (file) {
        struct husk_program program = {.path = executable_path(file, record, key)};
        note_program(record, &program);
    }
    count_total(HUSK_TOTAL_TASKS_FOUND);
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
