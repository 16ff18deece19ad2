/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread that may block. See canary.h. */
#define _GNU_SOURCE
#include "canary.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/kexec.h>
#include <linux/perf_event.h>
#include <linux/sched.h>

/* Where the child is, said before its answers. */
enum canary_stage {
    CANARY_READY = 0,
    CANARY_IN_CGROUP = 1,
    CANARY_IN_NAMESPACE = 2,
};

struct canary_hello {
    int32_t stage; /* the one that failed, or CANARY_READY */
    int32_t code;
};

/* The child's side. Only async-signal-safe calls from here to canary_child(): other threads' locks are held
 * for good. */

static void canary_say(int fd, const void *bytes, size_t size)
{
    const char *next = bytes;

    while (size) {
        ssize_t written = write(fd, next, size);

        if (written <= 0)
            _exit(1);
        next += written;
        size -= (size_t)written;
    }
}

static int canary_code(long result)
{
    return result < 0 ? errno : 0;
}

/* Opens, tries with the descriptor, closes. */
static int canary_with_file(const char *path, int flags, int (*try)(int fd))
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int code;

    if (fd < 0)
        return errno;
    code = canary_code(try(fd));
    close(fd);
    return code;
}

/* Opening it was all. */
static int canary_nothing(int fd)
{
    (void)fd;
    return 0;
}

static int canary_load(int fd)
{
    void *at = mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

    return at == MAP_FAILED ? -1 : munmap(at, 1);
}

static int canary_module(int fd)
{
    return (int)syscall(SYS_finit_module, fd, "", 0);
}

static int canary_kexec(int fd)
{
    return (int)syscall(SYS_kexec_file_load, fd, -1, 1UL, "", KEXEC_FILE_NO_INITRAMFS);
}

static int canary_memory(void)
{
    void *at = mmap(NULL, 1, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? errno : canary_code(munmap(at, 1));
}

static int canary_perf(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof(attributes), .config = PERF_COUNT_SW_DUMMY};
    long fd = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0UL);

    return fd < 0 ? errno : canary_code(close((int)fd));
}

/* A name beside the object, which does not come to be. */
static const char *canary_beside(const char *path)
{
    static char beside[CANARY_PATH_BYTES + 16];

    strcpy(beside, path);
    strcat(beside, ".husk-canary");
    return beside;
}

/* An empty file that is nowhere: what runs it, where no hook is in the way, gets ENOEXEC. */
static int canary_with_memory(int (*try)(int fd))
{
    int fd = memfd_create("husk-canary", MFD_CLOEXEC);
    int code;

    if (fd < 0)
        return errno;
    code = canary_code(try(fd));
    close(fd);
    return code;
}

static int canary_exec(int fd)
{
    char *const arguments[] = {"husk-canary", NULL};
    char *const environment[] = {NULL};

    return (int)syscall(SYS_execveat, fd, "", arguments, environment, AT_EMPTY_PATH);
}

static int canary_operation(const struct canary_call *call)
{
    unsigned id[4] = {0};
    struct stat before;

    switch ((enum canary_operation)call->operation) {
    case CANARY_EXEC:
        return canary_with_memory(canary_exec);
    case CANARY_LOAD:
        return canary_with_memory(canary_load);
    case CANARY_READ:
        return canary_with_file(call->path, O_RDONLY | O_NONBLOCK, canary_nothing);
    case CANARY_WRITE:
        return canary_with_file(call->path, O_WRONLY | O_NONBLOCK, canary_nothing);
    case CANARY_CREATE:
        return canary_with_file(call->path, O_WRONLY | O_CREAT | O_EXCL, canary_nothing);
    case CANARY_DELETE:
        return canary_code(unlink(call->path));
    case CANARY_RENAME:
        return canary_code(rename(call->path, canary_beside(call->path)));
    case CANARY_LINK:
        return canary_code(link(call->path, canary_beside(call->path)));
    case CANARY_CHMOD:
        /* To what it is already: nothing is changed even where no hook is in the way. */
        return stat(call->path, &before) ? errno : canary_code(chmod(call->path, before.st_mode & 07777));
    case CANARY_MOUNT:
        return canary_code(mount("husk-canary", call->path, "tmpfs", MS_RDONLY, "size=4k"));
    case CANARY_SETUID:
        return canary_code(setresuid((uid_t)-1, call->number, (uid_t)-1));
    case CANARY_CAPABILITY:
        return canary_code(chroot("/"));
    case CANARY_PTRACE:
        return canary_code(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    case CANARY_USERNS:
        return canary_code(unshare(CLONE_NEWUSER));
    case CANARY_MODULE:
        return canary_with_file("/proc/self/exe", O_RDONLY, canary_module);
    case CANARY_KEXEC:
        return canary_with_file("/proc/self/exe", O_RDONLY, canary_kexec);
    case CANARY_BPF:
        /* Asks for the first program's id. */
        return canary_code(syscall(SYS_bpf, 11, id, sizeof(id)));
    case CANARY_PERF:
        return canary_perf();
    case CANARY_WRITE_EXECUTE:
        return canary_memory();
    }
    return ENOTSUP;
}

static int canary_try(const struct canary_call *call)
{
    /* Eight bytes make an ICMP header where the socket wants one. */
    static const char payload[8];
    const struct sockaddr *address = (const struct sockaddr *)&call->address;
    int code = 0;
    int fd;

    if (call->kind == CANARY_OPERATION)
        return canary_operation(call);
    fd = socket(call->family, call->type | SOCK_NONBLOCK | SOCK_CLOEXEC, call->protocol);

    if (fd < 0)
        return errno;
    switch (call->kind) {
    case CANARY_CONNECT:
        code = connect(fd, address, call->address_bytes) ? errno : 0;
        break;
    case CANARY_BIND:
        code = bind(fd, address, call->address_bytes) ? errno : 0;
        break;
    case CANARY_SENDTO:
        if (sendto(fd, payload, sizeof(payload), MSG_NOSIGNAL | MSG_DONTWAIT, address, call->address_bytes) <
            0)
            code = errno;
        break;
    case CANARY_SOCKET:
    case CANARY_OPERATION:
        break;
    }
    close(fd);
    return code;
}

/* `procs_fd` -1: the child is in its cgroup already. */
static void canary_child(int pipe_fd, int procs_fd, pid_t parent, const struct canary_call *calls,
                         size_t count)
{
    struct canary_hello hello = {CANARY_READY, 0};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    if (procs_fd >= 0 && write(procs_fd, "0", 1) != 1)
        hello = (struct canary_hello){CANARY_IN_CGROUP, errno};
    else if (unshare(CLONE_NEWNET))
        hello = (struct canary_hello){CANARY_IN_NAMESPACE, errno};
    canary_say(pipe_fd, &hello, sizeof(hello));
    for (size_t i = 0; i < count && hello.stage == CANARY_READY; i++) {
        int32_t code = canary_try(&calls[i]);

        canary_say(pipe_fd, &code, sizeof(code));
    }
    _exit(0);
}

/* The parent's side. */

/*
 * Born in the cgroup where the kernel can, else born here with `*procs_fd` to walk in by. Without an exit
 * signal: the process's SIGCHLD handlers never hear of the child, and nobody else can reap it.
 */
static pid_t canary_fork(int cgroup_fd, int *procs_fd)
{
    struct clone_args arguments = {.flags = CLONE_INTO_CGROUP, .cgroup = (uint64_t)cgroup_fd};
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));

    if (pid >= 0)
        return pid;
    /* No clone3 (5.3), no CLONE_INTO_CGROUP (5.7), or a seccomp filter that knows neither. */
    if (errno != ENOSYS && errno != EINVAL && errno != E2BIG && errno != EPERM)
        return -1;
    *procs_fd = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (*procs_fd < 0)
        return -1;
    return (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
}

static int canary_ms_until(const struct timespec *end)
{
    struct timespec now;
    int64_t ms;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ms = (int64_t)(end->tv_sec - now.tv_sec) * 1000 + (end->tv_nsec - now.tv_nsec) / 1000000;
    return ms > 0 ? (int)ms : 0;
}

/* Reads exactly `size` bytes. 0, ETIMEDOUT, EPIPE where the child ended early, or another errno. */
static int canary_hear(int fd, void *bytes, size_t size, const struct timespec *end)
{
    char *next = bytes;

    while (size) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int answered = poll(&ready, 1, canary_ms_until(end));
        ssize_t got;

        if (answered == 0)
            return ETIMEDOUT;
        if (answered < 0 && errno != EINTR)
            return errno;
        if (answered < 0)
            continue;
        got = read(fd, next, size);
        if (got == 0)
            return EPIPE;
        if (got < 0 && errno != EINTR)
            return errno;
        if (got > 0) {
            next += got;
            size -= (size_t)got;
        }
    }
    return 0;
}

static int canary_listen(int fd, const char *cgroup, int32_t *answers, size_t count, struct error *error)
{
    struct canary_hello hello;
    struct timespec end;
    int code;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += CANARY_TIMEOUT_MS / 1000;
    code = canary_hear(fd, &hello, sizeof(hello), &end);
    if (code)
        return error_set(error, code, "start canary", "%s", cgroup);
    if (hello.stage == CANARY_IN_CGROUP)
        return error_set(error, hello.code, "move canary", "%s", cgroup);
    if (hello.stage == CANARY_IN_NAMESPACE)
        return error_set(error, hello.code, "give canary a network namespace", "%s", cgroup);
    for (size_t i = 0; i < count; i++) {
        code = canary_hear(fd, &answers[i], sizeof(answers[i]), &end);
        if (code)
            return error_set(error, code, "hear canary", "%s, call %zu of %zu", cgroup, i, count);
    }
    return 0;
}

int canary_run(const char *cgroup, const struct canary_call *calls, size_t count, int32_t *answers,
               struct error *error)
{
    sigset_t all, before;
    int ends[2] = {-1, -1};
    int cgroup_fd, procs_fd = -1;
    pid_t parent = getpid();
    int result = -1;
    pid_t pid;

    error_log_clear();
    cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup_fd < 0 || pipe2(ends, O_CLOEXEC)) {
        error_set(error, errno, "open cgroup", "%s", cgroup);
        goto out;
    }
    /* The child keeps every signal blocked: the process's handlers must not run in it. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid = canary_fork(cgroup_fd, &procs_fd);
    if (pid == 0)
        canary_child(ends[1], procs_fd, parent, calls, count);
    if (pid < 0)
        error_set(error, errno, "fork canary", "%s", cgroup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        goto out;
    close(ends[1]);
    ends[1] = -1;
    result = canary_listen(ends[0], cgroup, answers, count, error);
    /* It has said all it will, or has had its time; a child that is gone stays a zombie until the wait. */
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
out:
    if (procs_fd >= 0)
        close(procs_fd);
    if (ends[0] >= 0)
        close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
    if (cgroup_fd >= 0)
        close(cgroup_fd);
    return result;
}
