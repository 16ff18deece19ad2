// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Running programs: execve and the interpreters it leads to, files mapped executable, memory that is both
 * written and executed, at once or one after the other. Denied before anything happens, with EPERM.
 */
#include "include/guard.h"

#include "include/file_traits.h"

#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define READ_IMPLIES_EXEC 0x0400000
#define VM_WRITE 2
#define VM_EXEC 4

GUARD(bprm_check_security, bprm_check, struct linux_binprm *bprm)
{
    struct operation operation = {
        .operation = HUSK_OPERATION_EXEC,
        .hook = HUSK_HOOK_EXEC,
        .dentry = bprm->file->f_path.dentry,
        .traits = traits_of(bprm->file),
        .typed = bprm->interp,
    };
    return judge_operation(&operation);
}

/* `context`: the hook's, whose first argument is the file. */
static __always_inline int judge_mapping(const void *context, struct file *file, unsigned long prot)
{
    struct operation operation = {.hook = HUSK_HOOK_MMAP};
    if (!(prot & PROT_EXEC))
        return 0;
    if (prot & PROT_WRITE) {
        operation.operation = HUSK_OPERATION_WRITE_EXECUTE;
        int refused = judge_operation(&operation);
        if (refused)
            return refused;
    }
    if (!file || is_argument_null(context, 0))
        return 0;
    operation.operation = HUSK_OPERATION_LOAD;
    operation.dentry = file->f_path.dentry;
    operation.traits = traits_of(file);
    return judge_operation(&operation);
}

#ifdef HUSK_TIER_B
/* The function has no `reqprot`: it is given what was asked for, and works out for its hooks what a
 * personality adds. */
GUARD(mmap_file, mmap_file, struct file *file, unsigned long prot, unsigned long flags)
{
    struct task_struct *current = bpf_get_current_task_btf();
    bool implies = (current->personality & READ_IMPLIES_EXEC) && (prot & PROT_READ);
    return judge_mapping(ctx, file, implies ? prot | PROT_EXEC : prot);
}
#else
GUARD(mmap_file, mmap_file, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
    return judge_mapping(ctx, file, prot);
}
#endif

/* Memory that comes to be executable: of a file, and not written here, it is a load; all else was written, by
 * the task itself or into a file that is mapped shared. */
GUARD(file_mprotect, file_mprotect, struct vm_area_struct *area, unsigned long reqprot, unsigned long prot)
{
    struct operation operation = {.hook = HUSK_HOOK_MMAP};
    husk_u64 flags = area->vm_flags;
    struct file *file = area->vm_file;
    FORGET(file); /* or it is read twice, and checked once */
    if (!(prot & PROT_EXEC) || ((flags & VM_EXEC) && !(prot & PROT_WRITE)))
        return 0;
    if (!file || area->anon_vma || (flags & VM_WRITE) || (prot & PROT_WRITE)) {
        operation.operation = HUSK_OPERATION_WRITE_EXECUTE;
        return judge_operation(&operation);
    }
    operation.operation = HUSK_OPERATION_LOAD;
    operation.dentry = file->f_path.dentry;
    operation.traits = traits_of(file);
    return judge_operation(&operation);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
