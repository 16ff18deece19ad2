/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel itself, and privilege over other processes. */
#define _GNU_SOURCE
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is no module got as far as the loader. */
static int loaded(long result)
{
    return !result || errno == ENOEXEC ? 0 : errno;
}

/* finit-module PATH: a file that is no module */
static int module_of_file(int count, char **words)
{
    int fd = open(words[1], O_RDONLY | O_CLOEXEC), outcome;

    if (fd < 0)
        return errno;
    outcome = loaded(syscall(SYS_finit_module, fd, "", 0));
    close(fd);
    return outcome;
}

/* init-module: zeros, which are no module */
static int module_of_memory(int count, char **words)
{
    static const char zeros[64];

    return loaded(syscall(SYS_init_module, zeros, sizeof(zeros), ""));
}

/* bpf: a map of one entry */
static int bpf_map(int count, char **words)
{
    union bpf_attr attributes;
    long fd;

    memset(&attributes, 0, sizeof(attributes));
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = 4;
    attributes.value_size = 4;
    attributes.max_entries = 1;
    fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
    return fd < 0 ? errno : close((int)fd);
}

/* ptrace: a child of its own that waits for it */
static int trace_child(int count, char **words)
{
    int outcome;
    pid_t child = fork();

    if (child < 0)
        return errno;
    if (!child) {
        for (;;)
            pause();
    }
    outcome = ptrace(PTRACE_SEIZE, child, 0, 0) ? errno : 0;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return outcome;
}

/* setuid USER */
static int become_user(int count, char **words)
{
    long user = number_of(words[1]);

    if (user < 0)
        return EINVAL;
    return setresuid((uid_t)user, (uid_t)user, (uid_t)user) ? errno : 0;
}

/* user-namespace: of its own, which ends with the step */
static int user_namespace(int count, char **words)
{
    return unshare(CLONE_NEWUSER) ? errno : 0;
}

const struct verb kernel_verbs[] = {
    {"finit-module", 1, module_of_file},
    {"init-module", 0, module_of_memory},
    {"bpf", 0, bpf_map},
    {"ptrace", 0, trace_child},
    {"setuid", 1, become_user},
    {"user-namespace", 0, user_namespace},
    {NULL, 0, NULL},
};
