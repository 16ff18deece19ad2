// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Privilege: other users, capabilities, other processes' memory, user namespaces; and the kernel itself:
 * modules, BPF, kexec, perf, and what lockdown is about. */
#include "include/guard.h"

#define CAP_OPT_NOAUDIT 2

/* enum kernel_read_file_id and enum kernel_load_data_id agree in these. */
#define READING_MODULE 2
#define READING_KEXEC_IMAGE 3
#define READING_KEXEC_INITRAMFS 4

static __always_inline int judge_number(husk_u16 number, husk_u8 hook, husk_u64 value)
{
    struct operation operation = {.operation = number, .hook = hook, .number = value};
    return judge_operation(&operation);
}

/* `value` + 1: a number of 0 asks for nothing. */
GUARD(task_fix_setuid, task_fix_setuid, struct cred *new, const struct cred *old)
{
    return judge_number(HUSK_OPERATION_SETUID, HUSK_HOOK_PRIVILEGE, (husk_u64) new->euid.val + 1);
}

GUARD(task_fix_setgid, task_fix_setgid, struct cred *new, const struct cred *old)
{
    return judge_number(HUSK_OPERATION_SETUID, HUSK_HOOK_PRIVILEGE, 0);
}

GUARD(task_fix_setgroups, task_fix_setgroups, struct cred *new, const struct cred *old)
{
    return judge_number(HUSK_OPERATION_SETUID, HUSK_HOOK_PRIVILEGE, 0);
}

GUARD(capable, capable, const struct cred *cred, void *ns, int cap, unsigned int options)
{
    /* The kernel only wonders: nothing is done, and a denial would be of something that was not asked. */
    if (options & CAP_OPT_NOAUDIT)
        return 0;
    return judge_number(HUSK_OPERATION_CAPABILITY, HUSK_HOOK_PRIVILEGE, (husk_u64)cap + 1);
}

GUARD(ptrace_access_check, ptrace_access_check, struct task_struct *child)
{
    return judge_number(HUSK_OPERATION_PTRACE, HUSK_HOOK_PRIVILEGE, 0);
}

GUARD(ptrace_traceme, ptrace_traceme, struct task_struct *parent)
{
    return judge_number(HUSK_OPERATION_PTRACE, HUSK_HOOK_PRIVILEGE, 0);
}

GUARD(userns_create, create_user_ns, const struct cred *cred)
{
    return judge_number(HUSK_OPERATION_USERNS, HUSK_HOOK_PRIVILEGE, 0);
}

static __always_inline int judge_loading(int id)
{
    if (id == READING_MODULE)
        return judge_number(HUSK_OPERATION_MODULE, HUSK_HOOK_KERNEL, 0);
    if (id == READING_KEXEC_IMAGE || id == READING_KEXEC_INITRAMFS)
        return judge_number(HUSK_OPERATION_KEXEC, HUSK_HOOK_KERNEL, 0);
    return 0;
}

/* finit_module */
GUARD(kernel_read_file, kernel_read_file, struct file *file, int id)
{
    return judge_loading(id);
}

/* init_module */
GUARD(kernel_load_data, kernel_load_data, int id)
{
    return judge_loading(id);
}

/* What the kernel would load for a task that asks for a protocol or a file system. */
GUARD(kernel_module_request, kernel_module_request, char *name)
{
    return judge_number(HUSK_OPERATION_MODULE, HUSK_HOOK_KERNEL, 0);
}

GUARD(bpf, bpf, int command)
{
    return judge_number(HUSK_OPERATION_BPF, HUSK_HOOK_KERNEL, (husk_u64)command + 1);
}

GUARD(perf_event_open, perf_event_open, void *attributes)
{
    return judge_number(HUSK_OPERATION_PERF, HUSK_HOOK_KERNEL, 0);
}

GUARD(locked_down, locked_down, int what)
{
    return judge_number(HUSK_OPERATION_LOCKDOWN, HUSK_HOOK_KERNEL, (husk_u64)what + 1);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
