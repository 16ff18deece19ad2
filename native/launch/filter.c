/* SPDX-License-Identifier: Apache-2.0 */
/* One thread, before the program is run. See filter.h. */
#define _GNU_SOURCE
#include "filter.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
/* Set in the numbers of the x32 ABI, which has the same arch. */
#define OTHER_ABI_BIT 0x40000000
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#define OTHER_ABI_BIT 0
#else
#error "no filter is written for this processor yet"
#endif

#define STEPS_MAX 1024
#define WRITE_EXECUTE (PROT_WRITE | PROT_EXEC)
/* Of a socket's type; what is above says how its descriptor is made. */
#define SOCKET_TYPE_MASK 0xf

enum word {
    WORD_MODULE,
    WORD_BPF,
    WORD_KEXEC,
    WORD_PERF,
    WORD_PTRACE,
    WORD_USERNS,
    WORD_SETUID,
    WORD_MOUNT,
    WORD_WRITE_EXECUTE,
    WORD_COUNT,
};

const char *const launch_words[] = {
    [WORD_MODULE] = "module", [WORD_BPF] = "bpf",       [WORD_KEXEC] = "kexec",
    [WORD_PERF] = "perf",     [WORD_PTRACE] = "ptrace", [WORD_USERNS] = "userns",
    [WORD_SETUID] = "setuid", [WORD_MOUNT] = "mount",   [WORD_WRITE_EXECUTE] = "write-execute",
};
const unsigned launch_words_count = WORD_COUNT;

/* Calls that are denied as such. */
static const struct {
    enum word word;
    int call;
} whole_calls[] = {
    {WORD_MODULE, SYS_init_module},
    {WORD_MODULE, SYS_finit_module},
    {WORD_BPF, SYS_bpf},
    {WORD_KEXEC, SYS_kexec_load},
    {WORD_KEXEC, SYS_kexec_file_load},
    {WORD_PERF, SYS_perf_event_open},
    {WORD_PTRACE, SYS_ptrace},
    {WORD_PTRACE, SYS_process_vm_readv},
    {WORD_PTRACE, SYS_process_vm_writev},
    {WORD_PTRACE, SYS_pidfd_getfd},
    {WORD_SETUID, SYS_setuid},
    {WORD_SETUID, SYS_setreuid},
    {WORD_SETUID, SYS_setresuid},
    {WORD_SETUID, SYS_setfsuid},
    {WORD_MOUNT, SYS_mount},
    {WORD_MOUNT, SYS_umount2},
    {WORD_MOUNT, SYS_pivot_root},
    {WORD_MOUNT, SYS_move_mount},
    {WORD_MOUNT, SYS_open_tree},
    {WORD_MOUNT, SYS_fsopen},
    {WORD_MOUNT, SYS_fsconfig},
    {WORD_MOUNT, SYS_fsmount},
    {WORD_MOUNT, SYS_fspick},
    {WORD_MOUNT, SYS_mount_setattr},
};

/* The filter as it grows. Conditions are AND-ed: each jumps past the answer where it does not hold. */
struct filter {
    struct sock_filter steps[STEPS_MAX];
    unsigned short count;
    bool is_full;
};

static void add(struct filter *filter, struct sock_filter step)
{
    if (filter->count == STEPS_MAX)
        filter->is_full = true;
    else
        filter->steps[filter->count++] = step;
}

static void answer(struct filter *filter, unsigned code)
{
    add(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code));
}

static void load(struct filter *filter, size_t offset)
{
    add(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

/* The lower half of an argument; both processors store that first. */
static size_t argument(unsigned at)
{
    return offsetof(struct seccomp_data, args) + at * sizeof(uint64_t);
}

static void deny_call(struct filter *filter, int call, unsigned code)
{
    load(filter, offsetof(struct seccomp_data, nr));
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1));
    answer(filter, code);
}

/* Where the argument, masked, is the value. */
static void deny_argument(struct filter *filter, int call, unsigned at, unsigned mask, unsigned value)
{
    load(filter, offsetof(struct seccomp_data, nr));
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 4));
    load(filter, argument(at));
    add(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    answer(filter, EPERM);
}

static void deny_socket(struct filter *filter, const struct launch_socket *socket)
{
    bool by_family = socket->family != LAUNCH_ANY, by_type = socket->type != LAUNCH_ANY;
    unsigned char rest = (unsigned char)((by_family ? 2 : 0) + (by_type ? 3 : 0) + 1);

    load(filter, offsetof(struct seccomp_data, nr));
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, rest));
    if (by_family) {
        load(filter, argument(0));
        add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)socket->family, 0,
                                                 (unsigned char)(by_type ? 4 : 1)));
    }
    if (by_type) {
        load(filter, argument(1));
        add(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SOCKET_TYPE_MASK));
        add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)socket->type, 0, 1));
    }
    answer(filter, EPERM);
}

static void deny_other_abis(struct filter *filter)
{
    load(filter, offsetof(struct seccomp_data, arch));
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0));
    answer(filter, ENOSYS);
    if (!OTHER_ABI_BIT)
        return;
    load(filter, offsetof(struct seccomp_data, nr));
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_ABI_BIT, 0, 1));
    answer(filter, ENOSYS);
}

static bool has_word(const struct launch_rules *rules, enum word word)
{
    return rules->words & 1ULL << word;
}

static void deny_words(struct filter *filter, const struct launch_rules *rules)
{
    for (unsigned at = 0; at < sizeof(whole_calls) / sizeof(*whole_calls); at++) {
        if (has_word(rules, whole_calls[at].word))
            deny_call(filter, whole_calls[at].call, EPERM);
    }
    if (has_word(rules, WORD_USERNS)) {
        deny_argument(filter, SYS_unshare, 0, CLONE_NEWUSER, CLONE_NEWUSER);
        deny_argument(filter, SYS_clone, 0, CLONE_NEWUSER, CLONE_NEWUSER);
        /* Its flags are in memory. C libraries fall back to clone. */
        deny_call(filter, SYS_clone3, ENOSYS);
    }
    if (has_word(rules, WORD_WRITE_EXECUTE)) {
        deny_argument(filter, SYS_mmap, 2, WRITE_EXECUTE, WRITE_EXECUTE);
        deny_argument(filter, SYS_mprotect, 2, WRITE_EXECUTE, WRITE_EXECUTE);
        deny_argument(filter, SYS_pkey_mprotect, 2, WRITE_EXECUTE, WRITE_EXECUTE);
    }
    for (unsigned at = 0; at < rules->socket_count; at++)
        deny_socket(filter, &rules->sockets[at]);
    /* Makes sockets without that call. */
    if (rules->socket_count)
        deny_call(filter, SYS_io_uring_setup, ENOSYS);
}

int launch_filter(const struct launch_rules *rules)
{
    static struct filter filter;
    struct sock_fprog program = {.filter = filter.steps};

    if (!rules->words && !rules->socket_count)
        return 0;
    deny_other_abis(&filter);
    deny_words(&filter, rules);
    add(&filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    if (filter.is_full)
        return E2BIG;
    program.len = filter.count;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) ? errno : 0;
}
