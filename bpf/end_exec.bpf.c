// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tier C, where no program may refuse an execve: what is denied is ended before its first instruction. The
 * task gets SIGKILL while it is still on its way out of execve, so the new program is mapped and never run.
 *
 * Attached before the programs of lineage.bpf.c, which note what is run: judged is by what the task was. A
 * script is judged by its interpreter alone, since its own file is given up by then, and the effective user
 * is already that of a set-user-id program.
 */
#include "include/decide.h"
#include "include/file_traits.h"

SEC("tp_btf/sched_process_exec")
int BPF_PROG(husk_end_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
    struct operation operation = {
        .operation = HUSK_OPERATION_EXEC,
        .hook = HUSK_HOOK_EXEC,
        .dentry = bprm->file->f_path.dentry,
        .traits = traits_of(bprm->file),
        .typed = bprm->interp,
        .too_late = true,
    };
    /* Of a canary, what is allowed is ended as well, so that it does nothing: its record says which it was.
     */
    if (judge_operation(&operation))
        bpf_send_signal(SIGKILL);
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
