/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Fields of kernel structs that only self-protection reads. Of types that others read too these are flavours:
 * what comes behind the three underscores is not looked for in the kernel's BTF.
 */
#ifndef HUSK_SELF_TYPES_H
#define HUSK_SELF_TYPES_H

#include "kernel_types.h"

struct inode___self {
    struct user_id i_uid;
    unsigned long i_ino;
} KERNEL_STRUCT;

struct ns_common {
    unsigned int inum;
} KERNEL_STRUCT;

struct mnt_namespace {
    struct ns_common ns;
} KERNEL_STRUCT;

struct nsproxy {
    struct mnt_namespace *mnt_ns;
} KERNEL_STRUCT;

struct hlist_node {
    struct hlist_node *next;
} KERNEL_STRUCT;

struct hlist_head {
    struct hlist_node *first;
} KERNEL_STRUCT;

struct task_struct___self {
    unsigned int ptrace;
    struct nsproxy *nsproxy;
    struct hlist_node pid_links[4];
    int tgid;
} KERNEL_STRUCT;

struct pid {
    struct hlist_head tasks[4];
} KERNEL_STRUCT;

struct proc_inode {
    struct pid *pid;
    struct inode vfs_inode;
} KERNEL_STRUCT;

struct vfsmount___self {
    int mnt_flags;
} KERNEL_STRUCT;

struct path___self {
    struct vfsmount *mnt;
} KERNEL_STRUCT;

struct bpf_map {
    husk_u32 id;
} KERNEL_STRUCT;

struct bpf_prog_aux {
    husk_u32 id;
} KERNEL_STRUCT;

struct bpf_prog {
    struct bpf_prog_aux *aux;
} KERNEL_STRUCT;

struct bpf_link {
    husk_u32 id;
} KERNEL_STRUCT;

struct sk_buff {
    unsigned int len;
    unsigned char *data;
} KERNEL_STRUCT;

struct unix_sock {
    struct path path;
} KERNEL_STRUCT;

#endif
