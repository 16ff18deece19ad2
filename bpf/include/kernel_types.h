/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The fields of kernel structs that hardening programs read, and no others. Offsets come from the running
 * kernel's BTF when a program is loaded (CO-RE), so no kernel's header is needed here.
 */
#ifndef HUSK_KERNEL_TYPES_H
#define HUSK_KERNEL_TYPES_H

#include "compat.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define KERNEL_STRUCT __attribute__((preserve_access_index))

struct qstr {
    union {
        struct {
            husk_u32 hash;
            husk_u32 len;
        } KERNEL_STRUCT;
        husk_u64 hash_len;
    } KERNEL_STRUCT;
    const unsigned char *name;
} KERNEL_STRUCT;

struct super_block {
    husk_u32 s_dev; /* major << 20 | minor */
    unsigned long s_magic;
} KERNEL_STRUCT;

struct inode {
    unsigned long i_ino;
    husk_u16 i_mode;
    union {
        const unsigned int i_nlink;
        unsigned int __i_nlink;
    } KERNEL_STRUCT;
    struct super_block *i_sb;
} KERNEL_STRUCT;

struct dentry {
    struct dentry *d_parent;
    struct qstr d_name;
    struct inode *d_inode;
    struct super_block *d_sb;
} KERNEL_STRUCT;

struct path {
    struct dentry *dentry;
} KERNEL_STRUCT;

struct vfsmount {
    struct dentry *mnt_root;
} KERNEL_STRUCT;

struct file {
    husk_u32 f_mode;
    husk_u32 f_flags;
    struct path f_path;
    struct inode *f_inode;
} KERNEL_STRUCT;

struct user_id {
    husk_u32 val;
} KERNEL_STRUCT;

struct cred {
    struct user_id uid;
    struct user_id euid;
} KERNEL_STRUCT;

struct mm_struct {
    struct file *exe_file;
    unsigned long arg_start;
    unsigned long arg_end;
} KERNEL_STRUCT;

struct task_struct {
    unsigned int personality;
    unsigned int flags;
    int tgid;
    struct task_struct *real_parent;
    struct task_struct *group_leader;
    struct mm_struct *mm;
    const struct cred *cred;
    husk_u64 start_boottime;
    char comm[16];
} KERNEL_STRUCT;

struct linux_binprm {
    struct file *file;
    const char *interp; /* as it was typed; of a script, what its first line says */
} KERNEL_STRUCT;

struct vm_area_struct {
    unsigned long vm_flags;
    struct file *vm_file;
    void *anon_vma; /* pages of its own: a private mapping of a file that was written to has them */
} KERNEL_STRUCT;

struct bpf_iter__task {
    struct task_struct *task;
} KERNEL_STRUCT;

struct in6_addr_bytes {
    husk_u8 bytes[16];
} KERNEL_STRUCT;

struct sock_common {
    husk_u32 skc_rcv_saddr; /* network order */
    husk_u16 skc_num;       /* local port, host order */
    husk_u16 skc_family;
    struct in6_addr_bytes skc_v6_rcv_saddr;
} KERNEL_STRUCT;

struct sock {
    struct sock_common __sk_common;
    husk_u16 sk_protocol;
} KERNEL_STRUCT;

struct socket {
    short type;
    struct sock *sk;
} KERNEL_STRUCT;

struct sockaddr;

struct msghdr {
    void *msg_name;
    int msg_namelen;
} KERNEL_STRUCT;

#endif
