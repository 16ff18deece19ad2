// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Husk guards itself: its files and pins, its maps, programs and links, its filters, its process. Who may
 * touch them is said in include/self.h. Others' files and their use of bpf() are nothing to it.
 *
 * Each hook first asks what costs least, and nearly all calls end there: what is opened for reading, what is
 * on another file system, what belongs to another user.
 */
#include "include/guard.h"
#include "include/self.h"

#ifdef HUSK_TIER_B
#define SELF_GUARD(HOOK, FUNCTION, ...)                                                                      \
    SEC("fmod_ret/security_" #FUNCTION)                                                                      \
    int BPF_PROG(husk_self_##HOOK, __VA_ARGS__)
#else
#define SELF_GUARD(HOOK, FUNCTION, ...)                                                                      \
    SEC("lsm/" #HOOK)                                                                                        \
    int BPF_PROG(husk_self_##HOOK, __VA_ARGS__)
#endif

#define FMODE_WRITE 2
#define S_IFREG 0100000
#define PROC_SUPER_MAGIC 0x9fa0
#define PTRACE_MODE_ATTACH 2

#define MS_REMOUNT 32
#define MS_MOVE 8192
#define MS_PROPAGATION ((1 << 17) | (1 << 18) | (1 << 19) | (1 << 20))
#define MNT_DETACH 2
#define MNT_SHARED 0x1000

#define NETLINK_ROUTE 0
#define RTM_NEWQDISC 36
#define RTM_DELQDISC 37
#define RTM_NEWTFILTER 44
#define RTM_DELTFILTER 45
#define NLM_F_REPLACE 0x100
/* Of one send; a routing daemon's batches have some hundreds. */
#define MESSAGES_MAX 2048
#define MESSAGES_AT_ONCE 64
#define MESSAGES_PASS (-1)
#define MESSAGES_TAKE (-2)

/* ── files and pins ───────────────────────────────────────────────────────────────────────────────────────
 */

/* What is guarded with one of these flags is not touched by others. */
static __always_inline int guard_object(struct dentry *dentry, husk_u32 flags)
{
    const struct husk_self *settings = the_self();
    if (!settings || !(guarded_flags(settings, dentry) & flags))
        return 0;
    return unless_ours(settings);
}

/* Files of the agent's process in /proc: which one is killed when memory is short, its limits, its memory. */
static __always_inline bool is_of_agent(const struct husk_self *settings, struct inode *inode)
{
    struct proc_inode *entry = (void *)inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
    struct pid *pid = BPF_CORE_READ(entry, pid);
    /* The first of the tasks that have this number as theirs. */
    void *link = pid ? BPF_CORE_READ(pid, tasks[0].first) : NULL;
    if (!link || !settings->agent)
        return false;
    struct task_struct___self *task = link - bpf_core_field_offset(struct task_struct___self, pid_links[0]);
    return BPF_CORE_READ(task, tgid) == (int)settings->agent;
}

SELF_GUARD(file_open, file_open, struct file *file)
{
    struct inode *inode = file->f_inode;
    bool writes = file->f_mode & FMODE_WRITE;
    /* Secrets are nobody's but the owner's; hardly anything else that is read is. */
    if (!writes && (inode->i_mode & 0777) != 0600)
        return 0;
    const struct husk_self *settings = the_self();
    if (!settings)
        return 0;
    if (inode->i_sb->s_magic == PROC_SUPER_MAGIC)
        return writes && is_of_agent(settings, inode) ? unless_ours(settings) : 0;
    struct inode___self *owned = (struct inode___self *)inode;
    if ((inode->i_mode & S_IFMT) != S_IFREG || owned->i_uid.val)
        return 0;
    husk_u32 flags = guarded_flags(settings, file->f_path.dentry);
    if (writes)
        return flags & (HUSK_SELF_FILE | HUSK_SELF_FOLDER) ? unless_ours(settings) : 0;
    return (flags & HUSK_SELF_SECRET) && is_service() ? unless_ours(settings) : 0;
}

SELF_GUARD(path_truncate, path_truncate, const struct path *path)
{
    return guard_object(path->dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER);
}

SELF_GUARD(path_chmod, path_chmod, const struct path *path)
{
    return guard_object(path->dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER);
}

SELF_GUARD(path_chown, path_chown, const struct path *path)
{
    return guard_object(path->dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER);
}

/* A name that was not there: where the executable or the configuration is missing, nobody puts another. */
SELF_GUARD(inode_create, inode_create, struct inode *dir, struct dentry *dentry)
{
    return guard_object(dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER);
}

SELF_GUARD(inode_mkdir, inode_mkdir, struct inode *dir, struct dentry *dentry)
{
    return guard_object(dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER);
}

SELF_GUARD(inode_mknod, inode_mknod, struct inode *dir, struct dentry *dentry)
{
    return guard_object(dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER);
}

SELF_GUARD(inode_symlink, inode_symlink, struct inode *dir, struct dentry *dentry)
{
    return guard_object(dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER);
}

/* A second name would be a way around the first. */
SELF_GUARD(inode_link, inode_link, struct dentry *old, struct inode *dir, struct dentry *dentry)
{
    int refused = guard_object(old, HUSK_SELF_FILE | HUSK_SELF_FOLDER);
    return refused ? refused : guard_object(dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER);
}

SELF_GUARD(inode_unlink, inode_unlink, struct inode *dir, struct dentry *dentry)
{
    return guard_object(dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER);
}

SELF_GUARD(inode_rmdir, inode_rmdir, struct inode *dir, struct dentry *dentry)
{
    return guard_object(dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER | HUSK_SELF_ABOVE);
}

SELF_GUARD(inode_rename, inode_rename, struct inode *old_dir, struct dentry *old, struct inode *dir,
           struct dentry *dentry)
{
    int refused = guard_object(old, HUSK_SELF_FILE | HUSK_SELF_FOLDER | HUSK_SELF_ABOVE);
    return refused ? refused : guard_object(dentry, HUSK_SELF_FILE | HUSK_SELF_FOLDER | HUSK_SELF_ABOVE);
}

/* ── mounts ───────────────────────────────────────────────────────────────────────────────────────────────
 */

/* Whether what is done to this mount shows in the agent's mount namespace: services get mounts of their own
 * over everything, and may. */
static __always_inline bool shows_to_agent(const struct husk_self *settings, struct vfsmount *mount)
{
    struct task_struct___self *current = (struct task_struct___self *)bpf_get_current_task_btf();
    if (BPF_CORE_READ(current, nsproxy, mnt_ns, ns.inum) == settings->mount_space)
        return true;
    struct vfsmount___self *flags = (struct vfsmount___self *)mount;
    return BPF_CORE_READ(flags, mnt_flags) & MNT_SHARED;
}

static __always_inline int guard_mount(const struct husk_self *settings, struct dentry *dentry,
                                       struct vfsmount *mount)
{
    if (!guarded_flags(settings, dentry) || !shows_to_agent(settings, mount))
        return 0;
    return unless_ours(settings);
}

static __always_inline struct vfsmount *mount_of(const struct path *path)
{
    struct path___self *whole = (struct path___self *)path;
    return BPF_CORE_READ(whole, mnt);
}

SELF_GUARD(sb_mount, sb_mount, const char *device, const struct path *path, const char *type,
           unsigned long flags)
{
    const struct husk_self *settings = the_self();
    if (!settings || (flags & (MS_REMOUNT | MS_PROPAGATION)))
        return 0;
    /* What is moved away this way no hook shows but by a text that names it. */
    if ((flags & MS_MOVE) && shows_to_agent(settings, mount_of(path)))
        return unless_ours(settings);
    return guard_mount(settings, path->dentry, mount_of(path));
}

SELF_GUARD(move_mount, move_mount, const struct path *from, const struct path *to)
{
    const struct husk_self *settings = the_self();
    if (!settings)
        return 0;
    int refused = guard_mount(settings, from->dentry, mount_of(from));
    return refused ? refused : guard_mount(settings, to->dentry, mount_of(to));
}

/* An umount of the bpf file system takes pins with it. Of others only one that does not wait until nobody
 * uses them: all else goes on at shutdown. */
SELF_GUARD(sb_umount, sb_umount, struct vfsmount *mount, int flags)
{
    const struct husk_self *settings = the_self();
    struct dentry *root = mount->mnt_root;
    if (!settings || (!(flags & MNT_DETACH) && root->d_sb->s_dev != settings->bpffs))
        return 0;
    return guard_mount(settings, root, mount);
}

/* ── bpf() ────────────────────────────────────────────────────────────────────────────────────────────────
 */

/* Whether it is one of Husk's. What the agent makes or opens is, from then on. */
static __always_inline bool is_own_object(const struct husk_self *settings, husk_u32 kind, husk_u32 id,
                                          husk_u64 address)
{
    struct husk_self_object object = {.kind = kind, .id = id};
    if (is_the_agent(settings, bpf_get_current_task_btf())) {
        bpf_map_update_elem(&self_objects, &object, &address, BPF_ANY);
        return false;
    }
    const husk_u64 *found = bpf_map_lookup_elem(&self_objects, &object);
    return found && *found == address;
}

SELF_GUARD(bpf_map, bpf_map, struct bpf_map *map)
{
    const struct husk_self *settings = the_self();
    if (!settings || !is_own_object(settings, HUSK_SELF_MAP, map->id, (husk_u64)map))
        return 0;
    return unless_ours(settings);
}

SELF_GUARD(bpf_prog, bpf_prog, struct bpf_prog *program)
{
    const struct husk_self *settings = the_self();
    husk_u32 id = program->aux->id;
    if (!settings || !is_own_object(settings, HUSK_SELF_BPF_PROGRAM, id, (husk_u64)program->aux))
        return 0;
    return unless_ours(settings);
}

/* A link has no hook of its own; by its id it is asked for here. */
SELF_GUARD(bpf, bpf, int command, union bpf_attr *attributes)
{
    const struct husk_self *settings = the_self();
    struct husk_self_object object = {.kind = HUSK_SELF_LINK};
    if (!settings || command != BPF_LINK_GET_FD_BY_ID ||
        bpf_probe_read_kernel(&object.id, sizeof(object.id), &attributes->link_id))
        return 0;
    return bpf_map_lookup_elem(&self_objects, &object) ? unless_ours(settings) : 0;
}

/* By its pin a link is opened without any hook that could refuse: who tries is ended before it has the
 * descriptor. */
SEC("fentry/bpf_link_new_fd")
int BPF_PROG(husk_self_link_fd, struct bpf_link *link)
{
    const struct husk_self *settings = the_self();
    struct husk_self_object object = {.kind = HUSK_SELF_LINK, .id = link->id};
    if (settings && bpf_map_lookup_elem(&self_objects, &object) && unless_ours(settings))
        bpf_send_signal(SIGKILL);
    return 0;
}

/* ── the agent's process ──────────────────────────────────────────────────────────────────────────────────
 */

/* Signals come from the kernel (which asks no hook), process 1, and who started it: its supervisor. */
SELF_GUARD(task_kill, task_kill, struct task_struct *target, void *info, int signal)
{
    const struct husk_self *settings = the_self();
    if (!settings || !signal || !is_the_agent(settings, target))
        return 0;
    struct task_struct *current = bpf_get_current_task_btf();
    return target->real_parent->tgid == current->tgid ? 0 : unless_ours(settings);
}

/* A limit of CPU time or memory ends it as well. */
SELF_GUARD(task_setrlimit, task_setrlimit, struct task_struct *target)
{
    const struct husk_self *settings = the_self();
    return settings && is_the_agent(settings, target) ? unless_ours(settings) : 0;
}

/* Who could write into a process of the agent's executable, or into process 1, would be taken for it. What it
 * runs is asked of its memory: the lineage is noted a moment after a tracer is let in. */
SELF_GUARD(ptrace_access_check, ptrace_access_check, struct task_struct *target, unsigned int mode)
{
    const struct husk_self *settings = the_self();
    if (!settings || !(mode & PTRACE_MODE_ATTACH))
        return 0;
    struct mm_struct *memory = target->mm;
    struct file *program = memory ? memory->exe_file : NULL;
    bool is_agents = program && (guarded_flags(settings, program->f_path.dentry) & HUSK_SELF_PROGRAM);
    return is_agents || target->tgid == 1 ? unless_ours(settings) : 0;
}

/* Nor is it started by who traces it already. */
SELF_GUARD(bprm_check_security, bprm_check, struct linux_binprm *bprm)
{
    struct task_struct___self *current = (struct task_struct___self *)bpf_get_current_task_btf();
    const struct husk_self *settings = the_self();
    if (!current->ptrace || !settings)
        return 0;
    husk_u32 flags = guarded_flags(settings, bprm->file->f_path.dentry);
    if (!(flags & HUSK_SELF_PROGRAM) || open_to(settings))
        return 0;
    count_total(HUSK_TOTAL_SELF_REFUSED);
    return -EPERM;
}

/* Commands are taken from those who could run them; with a permit over another socket. */
SELF_GUARD(unix_stream_connect, unix_stream_connect, struct sock *from, struct sock *to)
{
    const struct husk_self *settings = the_self();
    if (!settings || !settings->control_inode)
        return 0;
    struct unix_sock *named = (struct unix_sock *)to;
    struct dentry *dentry = BPF_CORE_READ(named, path.dentry);
    struct inode___self *inode = dentry ? (void *)BPF_CORE_READ(dentry, d_inode) : NULL;
    if (!inode || BPF_CORE_READ(inode, i_ino) != settings->control_inode ||
        BPF_CORE_READ(dentry, d_sb, s_dev) != settings->control_device)
        return 0;
    struct task_struct *current = bpf_get_current_task_btf();
    if (current->tgid == (int)settings->agent || !is_service())
        return 0;
    return unless_ours(settings);
}

/* ── filters that an interface holds and no link ──────────────────────────────────────────────────────────
 */

struct message {
    husk_u32 length;
    husk_u16 type;
    husk_u16 flags;
    husk_u32 sequence;
    husk_u32 port;
    /* struct tcmsg */
    husk_u32 family;
    husk_u32 ifindex;
};

/* Whether it takes a filter of Husk's off, or puts another in its place. */
static __always_inline bool takes_filter(const struct message *message)
{
    bool removes = message->type == RTM_DELQDISC || message->type == RTM_DELTFILTER;
    bool replaces = (message->type == RTM_NEWQDISC || message->type == RTM_NEWTFILTER) &&
                    (message->flags & NLM_F_REPLACE);
    husk_u32 ifindex = message->ifindex;
    return (removes || replaces) && bpf_map_lookup_elem(&self_interfaces, &ifindex);
}

/* Looks through some messages from `at` on. Where the next begins, or what came of it: MESSAGES_PASS, when
 * there are no more, or MESSAGES_TAKE. A function by itself, so that the rounds around it are few to look at.
 */
GLOBAL husk_look_through(husk_u64 data, husk_u32 at, husk_u32 length)
{
#pragma clang loop unroll(disable)
    for (husk_u32 count = 0; count < MESSAGES_AT_ONCE; count++) {
        struct message message = {};
        /* The kernel looks at no message that is cut, nor at what comes behind it. What is read past the end
         * of a short one is nothing that it would go by. */
        if (at + 16 > length || bpf_probe_read_kernel(&message, sizeof(message), (void *)(data + at)) ||
            message.length < 16 || message.length > length - at)
            return MESSAGES_PASS;
        if (takes_filter(&message))
            return MESSAGES_TAKE;
        at += (message.length + 3) & ~3u;
    }
    return at;
}

/* A batch is looked through message by message. One of more than are looked at is refused. */
SELF_GUARD(netlink_send, netlink_send, struct sock *sock, struct sk_buff *buffer)
{
    const struct husk_self *settings = the_self();
    if (!settings || !settings->interfaces || sock->sk_protocol != NETLINK_ROUTE)
        return 0;
    int at = 0;
#pragma clang loop unroll(disable)
    for (husk_u32 count = 0; count < MESSAGES_MAX / MESSAGES_AT_ONCE; count++) {
        at = husk_look_through((husk_u64)buffer->data, at, buffer->len);
        if (at < 0)
            break;
    }
    return at == MESSAGES_PASS ? 0 : unless_ours(settings);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
