/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that are run, from files and from memory, and memory that is made executable. */
#define _GNU_SOURCE
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *const no_environment[] = {NULL};

/* Runs what `fd` is, or where that is -1 the path. 0 once it runs, whatever becomes of it then; `*status`
 * tells that. */
static int run(int fd, const char *path, char **arguments, int *status)
{
    int tell[2], code = 0;
    pid_t child;

    /* Closed by the execve that succeeds; else the errno comes through. */
    if (pipe2(tell, O_CLOEXEC))
        return errno;
    child = fork();
    if (child < 0) {
        code = errno;
        close(tell[0]);
        close(tell[1]);
        return code;
    }
    if (!child) {
        if (fd < 0)
            execve(path, arguments, no_environment);
        else
            execveat(fd, "", arguments, no_environment, AT_EMPTY_PATH);
        code = errno;
        if (write(tell[1], &code, sizeof(code)) != sizeof(code))
            _exit(255);
        _exit(code);
    }
    close(tell[1]);
    if (read(tell[0], &code, sizeof(code)) != sizeof(code))
        code = 0;
    close(tell[0]);
    if (waitpid(child, status, 0) < 0)
        return errno;
    return code;
}

/* Started, and not ended by a signal. */
static int ran(int fd, const char *path, char **arguments)
{
    int status = 0, code = run(fd, path, arguments, &status);

    return code || !WIFSIGNALED(status) ? code : OUTCOME_KILLED + WTERMSIG(status);
}

/* exec PATH [ARGUMENT...] */
static int exec_program(int count, char **words)
{
    return ran(-1, words[1], words + 1);
}

/* exec-as NAME PATH [ARGUMENT...]: under another first argument */
static int exec_as(int count, char **words)
{
    char *path = words[2];

    words[2] = words[1];
    return ran(-1, path, words + 2);
}

/* through PATH STEP...: the step is done by another program, which the daemon started; PATH is a copy of this
 * one */
static int through(int count, char **words)
{
    int status = 0, code = run(-1, words[1], words + 1, &status);

    if (code)
        return code;
    return WIFSIGNALED(status) ? OUTCOME_KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

/* All of `path` into `to`. */
static int copy_into(int to, const char *path)
{
    struct stat stat;
    int from = open(path, O_RDONLY | O_CLOEXEC), outcome = 0;

    if (from < 0)
        return errno;
    if (fstat(from, &stat))
        outcome = errno;
    else if (sendfile(to, from, NULL, (size_t)stat.st_size) != stat.st_size)
        outcome = EIO;
    close(from);
    return outcome;
}

/* exec-memfd PATH: a copy of it that is in memory alone */
static int exec_memfd(int count, char **words)
{
    int fd = memfd_create("stubd", MFD_CLOEXEC), outcome;

    if (fd < 0)
        return errno;
    outcome = copy_into(fd, words[1]);
    if (!outcome)
        outcome = ran(fd, NULL, words + 1);
    close(fd);
    return outcome;
}

/* exec-deleted PATH COPY: a copy that was removed before it runs */
static int exec_deleted(int count, char **words)
{
    int fd = open(words[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755), outcome;

    if (fd < 0)
        return errno;
    outcome = copy_into(fd, words[1]);
    close(fd);
    fd = outcome ? -1 : open(words[2], O_RDONLY | O_CLOEXEC);
    if (fd < 0 && !outcome)
        outcome = errno;
    unlink(words[2]);
    if (fd < 0)
        return outcome;
    outcome = ran(fd, NULL, words + 2);
    close(fd);
    return outcome;
}

/* load PATH: mapped executable, as a library is */
static int load_file(int count, char **words)
{
    int fd = open(words[1], O_RDONLY | O_CLOEXEC), outcome = 0;
    void *at;

    if (fd < 0)
        return errno;
    at = mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        outcome = errno;
    else
        munmap(at, 1);
    close(fd);
    return outcome;
}

/* write-execute: memory that is both from the start */
static int write_execute(int count, char **words)
{
    void *at = mmap(NULL, 1, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? errno : munmap(at, 1);
}

/* make-executable: memory that was written, as an overflow that sprayed it would */
static int make_executable(int count, char **words)
{
    int outcome;
    uint8_t *at = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return errno;
    *at = 0xc3;
    outcome = mprotect(at, 1, PROT_READ | PROT_WRITE | PROT_EXEC) ? errno : 0;
    munmap(at, 1);
    return outcome;
}

/* call-itself NAME STEP...: the step is done under a name that the process gives itself */
static int call_itself(int count, char **words)
{
    char self[] = "/proc/self/exe";

    if (prctl(PR_SET_NAME, words[1], 0, 0, 0))
        return errno;
    words[1] = self;
    return through(count, words);
}

const struct verb program_verbs[] = {
    {"exec", 1, exec_program},
    {"exec-as", 2, exec_as},
    {"through", 2, through},
    {"exec-memfd", 1, exec_memfd},
    {"exec-deleted", 2, exec_deleted},
    {"load", 1, load_file},
    {"write-execute", 0, write_execute},
    {"make-executable", 0, make_executable},
    {"call-itself", 2, call_itself},
    {NULL, 0, NULL},
};
