// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Files: opened, made, removed, renamed, linked, their modes changed, and what is mounted where. Objects are
 * named by file system and path in it, so a bind mount, a chroot or another mount namespace changes nothing.
 *
 * A name that is made is judged before it exists, by the folder it goes into. Renaming is judged at both
 * ends: what goes away under the old name, what comes, and what is replaced, under the new.
 */
#include "include/guard.h"

#define RENAME_EXCHANGE 2

#define FMODE_READ 1
#define FMODE_WRITE 2
#define FMODE_EXEC 0x20 /* execve opens what it runs: that is judged as EXEC */

static __always_inline int judge_path(struct dentry *dentry, husk_u16 number, husk_u8 hook)
{
    struct operation operation = {.operation = number, .hook = hook, .dentry = dentry};
    return judge_operation(&operation);
}

GUARD(file_open, file_open, struct file *file)
{
    husk_u32 mode = file->f_mode;
    int refused = 0;
    if (mode & FMODE_WRITE)
        refused = judge_path(file->f_path.dentry, HUSK_OPERATION_WRITE, HUSK_HOOK_FILE);
    if (!refused && (mode & FMODE_READ) && !((mode | file->f_flags) & FMODE_EXEC))
        refused = judge_path(file->f_path.dentry, HUSK_OPERATION_READ, HUSK_HOOK_FILE);
    return refused;
}

GUARD(path_truncate, path_truncate, const struct path *path)
{
    return judge_path(path->dentry, HUSK_OPERATION_WRITE, HUSK_HOOK_FILE);
}

GUARD(inode_create, inode_create, struct inode *dir, struct dentry *dentry)
{
    return judge_path(dentry, HUSK_OPERATION_CREATE, HUSK_HOOK_FILE);
}

GUARD(inode_mkdir, inode_mkdir, struct inode *dir, struct dentry *dentry)
{
    return judge_path(dentry, HUSK_OPERATION_CREATE, HUSK_HOOK_FILE);
}

GUARD(inode_mknod, inode_mknod, struct inode *dir, struct dentry *dentry)
{
    return judge_path(dentry, HUSK_OPERATION_CREATE, HUSK_HOOK_FILE);
}

GUARD(inode_symlink, inode_symlink, struct inode *dir, struct dentry *dentry)
{
    return judge_path(dentry, HUSK_OPERATION_CREATE, HUSK_HOOK_FILE);
}

GUARD(inode_link, inode_link, struct dentry *old, struct inode *dir, struct dentry *dentry)
{
    int refused = judge_path(old, HUSK_OPERATION_LINK, HUSK_HOOK_FILE);
    return refused ? refused : judge_path(dentry, HUSK_OPERATION_CREATE, HUSK_HOOK_FILE);
}

GUARD(inode_unlink, inode_unlink, struct inode *dir, struct dentry *dentry)
{
    return judge_path(dentry, HUSK_OPERATION_DELETE, HUSK_HOOK_FILE);
}

GUARD(inode_rmdir, inode_rmdir, struct inode *dir, struct dentry *dentry)
{
    return judge_path(dentry, HUSK_OPERATION_DELETE, HUSK_HOOK_FILE);
}

/* By the number: where it is followed as a pointer, kernels from 6.4 on take for granted that there is one.
 */
static __always_inline bool is_there(struct dentry *dentry)
{
    husk_u64 inode = 0;
    bpf_probe_read_kernel(&inode, sizeof(inode), __builtin_preserve_access_index(&dentry->d_inode));
    return inode;
}

static __always_inline int judge_rename(struct dentry *old, struct dentry *dentry)
{
    int refused = judge_path(old, HUSK_OPERATION_RENAME, HUSK_HOOK_FILE);
    if (!refused && is_there(dentry))
        refused = judge_path(dentry, HUSK_OPERATION_DELETE, HUSK_HOOK_FILE);
    return refused ? refused : judge_path(dentry, HUSK_OPERATION_CREATE, HUSK_HOOK_FILE);
}

#ifdef HUSK_TIER_B
/* Two names that are exchanged are renamed each: the function asks its hooks twice, and is called once. */
GUARD(inode_rename, inode_rename, struct inode *old_dir, struct dentry *old, struct inode *dir,
      struct dentry *dentry, unsigned int flags)
{
    int refused = judge_rename(old, dentry);
    return refused || !(flags & RENAME_EXCHANGE) ? refused : judge_rename(dentry, old);
}
#else
GUARD(inode_rename, inode_rename, struct inode *old_dir, struct dentry *old, struct inode *dir,
      struct dentry *dentry)
{
    return judge_rename(old, dentry);
}
#endif

GUARD(path_chmod, path_chmod, const struct path *path)
{
    return judge_path(path->dentry, HUSK_OPERATION_CHMOD, HUSK_HOOK_FILE);
}

GUARD(path_chown, path_chown, const struct path *path)
{
    return judge_path(path->dentry, HUSK_OPERATION_CHMOD, HUSK_HOOK_FILE);
}

GUARD(sb_mount, sb_mount, const char *device, const struct path *path)
{
    return judge_path(path->dentry, HUSK_OPERATION_MOUNT, HUSK_HOOK_MOUNT);
}

GUARD(move_mount, move_mount, const struct path *from, const struct path *to)
{
    return judge_path(to->dentry, HUSK_OPERATION_MOUNT, HUSK_HOOK_MOUNT);
}

GUARD(sb_umount, sb_umount, struct vfsmount *mount)
{
    return judge_path(mount->mnt_root, HUSK_OPERATION_MOUNT, HUSK_HOOK_MOUNT);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
