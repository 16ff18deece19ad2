/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread that may block. See witness.h. */
#define _GNU_SOURCE
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* witness/witness_image.S */
extern const char witness_image[], witness_image_end[];

/* What the child says once the grandchild is gone. */
struct witness_report {
    int32_t stage; /* errno of what came before execve; 0: it came to that */
    int32_t refused;
    int32_t status; /* as of wait() */
};

/* Descriptors that the child needs; all are closed by execve. */
struct witness_files {
    int image;
    int procs; /* -1: no cgroup is asked for */
    int byte;
    int report;
};

/* Bare forks: no handler of the process's runs in them, and no exit signal is heard of by its waiters. */
static pid_t witness_clone(void)
{
    return (pid_t)syscall(SYS_clone, 0UL, NULL, NULL, NULL, 0UL);
}

/* The grandchild: tells by its status what execve was answered with, where that came back. */
static void witness_exec(const struct witness_files *files, volatile int32_t *refused)
{
    char *const arguments[] = {"husk-witness", NULL};
    char *const environment[] = {NULL};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(files->byte, STDOUT_FILENO) == STDOUT_FILENO)
        syscall(SYS_execveat, files->image, "", arguments, environment, AT_EMPTY_PATH);
    *refused = errno;
    _exit(1);
}

static void witness_child(const struct witness_files *files, const char *name, pid_t parent,
                          volatile int32_t *refused)
{
    struct witness_report report = {0};
    int status = 0;
    pid_t pid;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    if (*name)
        prctl(PR_SET_NAME, name);
    if (files->procs >= 0 && write(files->procs, "0", 1) != 1) {
        report.stage = errno;
    } else {
        pid = witness_clone();
        if (pid == 0)
            witness_exec(files, refused);
        if (pid < 0)
            report.stage = errno;
        else
            while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
                ;
    }
    report.refused = *refused;
    report.status = status;
    _exit(write(files->report, &report, sizeof(report)) == sizeof(report) ? 0 : 1);
}

/* The image in memory that no one can write any more: execve takes no file that is open for writing. */
static int witness_open_image(void)
{
    size_t size = (size_t)(witness_image_end - witness_image);
    int written = memfd_create("husk-witness", MFD_CLOEXEC);
    char path[32];
    int image;

    if (written < 0)
        return -1;
    if (write(written, witness_image, size) != (ssize_t)size) {
        close(written);
        errno = EIO;
        return -1;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", written);
    image = open(path, O_RDONLY | O_CLOEXEC);
    close(written);
    return image;
}

static int witness_listen(int fd, struct witness_report *report)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int answered;

    do
        answered = poll(&ready, 1, WITNESS_TIMEOUT_MS);
    while (answered < 0 && errno == EINTR);
    if (answered == 0)
        return ETIMEDOUT;
    if (answered < 0)
        return errno;
    return read(fd, report, sizeof(*report)) == sizeof(*report) ? 0 : EPIPE;
}

static void witness_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Starts the child, hears it, and waits for it. 0, or an errno. */
static int witness_hear(const struct witness_files *files, int report_fd, const char *name,
                        struct witness_report *report)
{
    int32_t *refused =
        mmap(NULL, sizeof(*refused), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t parent = getpid();
    sigset_t all, before;
    int result;
    pid_t pid;

    if (refused == MAP_FAILED)
        return errno;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid = witness_clone();
    if (pid == 0)
        witness_child(files, name, parent, refused);
    result = pid < 0 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!result) {
        result = witness_listen(report_fd, report);
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
            ;
    }
    munmap(refused, sizeof(*refused));
    return result ? result : report->stage;
}

int witness_run(const char *cgroup, const char *name, struct witness_answer *answer, struct error *error)
{
    struct witness_files files = {-1, -1, -1, -1};
    int byte_ends[2] = {-1, -1}, report_ends[2] = {-1, -1};
    struct witness_report report = {0};
    char path[4096], byte;
    int result = -1, code;

    error_log_clear();
    if (cgroup) {
        snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
        files.procs = open(path, O_WRONLY | O_CLOEXEC);
        if (files.procs < 0) {
            error_set(error, errno, "open cgroup", "%s", cgroup);
            goto out;
        }
    }
    files.image = witness_open_image();
    if (files.image < 0 || pipe2(byte_ends, O_CLOEXEC | O_NONBLOCK) || pipe2(report_ends, O_CLOEXEC)) {
        error_set(error, errno, "prepare canary", "the program it runs");
        goto out;
    }
    files.byte = byte_ends[1];
    files.report = report_ends[1];
    code = witness_hear(&files, report_ends[0], name, &report);
    if (code) {
        error_set(error, code, "run canary", "%s", cgroup ? cgroup : name);
        goto out;
    }
    *answer = (struct witness_answer){
        .refused = report.refused,
        .signal = WIFSIGNALED(report.status) ? WTERMSIG(report.status) : 0,
        .ran = read(byte_ends[0], &byte, 1) == 1,
    };
    result = 0;
out:
    witness_close(&files.image);
    witness_close(&files.procs);
    for (int end = 0; end < 2; end++) {
        witness_close(&byte_ends[end]);
        witness_close(&report_ends[end]);
    }
    return result;
}
