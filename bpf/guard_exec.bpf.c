// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Running programs: execve and the interpreters it leads to, files mapped executable, memory that is both
 * written and executed. Denied before anything happens, with EPERM.
 */
#include "include/guard.h"

#include "include/file_traits.h"

#define PROT_WRITE 2
#define PROT_EXEC 4
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

GUARD(mmap_file, mmap_file, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
    struct operation operation = {.hook = HUSK_HOOK_MMAP};
    if (!(prot & PROT_EXEC))
        return 0;
    if (!file) {
        if (!(prot & PROT_WRITE))
            return 0;
        operation.operation = HUSK_OPERATION_WRITE_EXECUTE;
        return judge_operation(&operation);
    }
    operation.operation = HUSK_OPERATION_LOAD;
    operation.dentry = file->f_path.dentry;
    operation.traits = traits_of(file);
    return judge_operation(&operation);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
