/* SPDX-License-Identifier: Apache-2.0 */
/*
 * husk-launch: starts a program held to what the policy says of it, on kernels where nothing can refuse what
 * tasks do.
 *
 *   rules read ─▶ record opened ─▶ Landlock ─▶ seccomp ─▶ capabilities ─▶ record written ─▶ program
 *
 * The agent writes the rules (rules.h) whenever a policy is in force for good. What is taken here can't be
 * given back before the program is started again; the record tells the agent who was started, and by which
 * policy.
 *
 * Where rules can't be read or applied the program is started all the same, unless --require is given: a
 * device must not lose its services to a damaged file. Then no record is written, and nothing is claimed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "files.h"
#include "filter.h"
#include "rules.h"

#define EXIT_USAGE 2
#define EXIT_NOT_STARTED 1
#define CAPABILITIES_MAX 63

static const char help[] =
    "usage: husk-launch [--state DIR] [--run DIR] [--require] PROGRAM [ARGUMENT]...\n"
    "\n"
    "Starts PROGRAM held to what the policy in force says of it: files and TCP ports by Landlock, system "
    "calls\n"
    "by seccomp, capabilities. For kernels on which `husk-agent probe` says tier C.\n"
    "\n"
    "  --state DIR   of the agent, with launch/ in it (default /var/lib/husk)\n"
    "  --run DIR     of the agent; a record is kept in launched/ (default /run/husk)\n"
    "  --require     do not start PROGRAM where its rules can't be applied\n"
    "\n"
    "Exit status: PROGRAM's own; 1 not started (why is on standard error), 2 wrong usage.\n";

struct options {
    const char *state;
    const char *run;
    bool is_required;
    char **program;
};

/* false: wrong usage. */
static bool read_options(char **argument, struct options *options)
{
    for (; *argument && !strncmp(*argument, "--", 2); argument++) {
        if (!strcmp(*argument, "--require")) {
            options->is_required = true;
        } else if (!strcmp(*argument, "--help")) {
            dprintf(STDOUT_FILENO, "%s", help);
            exit(0);
        } else if (!strcmp(*argument, "--")) {
            argument++;
            break;
        } else {
            const char **value = !strcmp(*argument, "--state") ? &options->state
                                 : !strcmp(*argument, "--run") ? &options->run
                                                               : NULL;
            if (!value || !argument[1])
                return false;
            *value = *++argument;
        }
    }
    options->program = argument;
    return *argument != NULL;
}

/* The file's name: the path of the program, links followed; what is no letter, digit, `_` or `-` as %2F. */
static bool rules_name(const char *program, char *name, size_t size)
{
    char real[PATH_MAX];
    size_t at = 0;

    if (!realpath(program, real))
        return false;
    for (const unsigned char *byte = (const unsigned char *)real; *byte; byte++) {
        bool is_plain = (*byte >= 'a' && *byte <= 'z') || (*byte >= 'A' && *byte <= 'Z') ||
                        (*byte >= '0' && *byte <= '9') || *byte == '_' || *byte == '-';

        if (at + sizeof("%2F.rules") > size) {
            errno = ENAMETOOLONG;
            return false;
        }
        at += (size_t)snprintf(name + at, size - at, is_plain ? "%c" : "%%%02X", *byte);
    }
    strcpy(name + at, ".rules");
    return true;
}

/* Ours or root's, and nobody else's to write. */
static bool is_trusted(int fd, mode_t type)
{
    struct stat found;

    if (fstat(fd, &found))
        return false;
    return (found.st_mode & S_IFMT) == type && !(found.st_mode & (S_IWGRP | S_IWOTH)) &&
           (found.st_uid == 0 || found.st_uid == geteuid());
}

/* The folder below one of the agent's, or -1. */
static int open_folder(const char *above, const char *name)
{
    int outer = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int folder = outer < 0 ? -1 : openat(outer, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (outer >= 0)
        close(outer);
    if (folder >= 0 && !is_trusted(folder, S_IFDIR)) {
        close(folder);
        errno = EPERM;
        return -1;
    }
    return folder;
}

/* The whole file, ended by a NUL; NULL and errno: ENOENT where the policy says nothing of the program. */
static char *read_rules(const char *state, const char *name)
{
    static char text[LAUNCH_FILE_BYTES_MAX + 1];
    int folder = open_folder(state, "launch"), file;
    ssize_t got, size = 0;

    if (folder < 0)
        return NULL;
    file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    close(folder);
    if (file < 0)
        return NULL;
    if (!is_trusted(file, S_IFREG)) {
        close(file);
        errno = EPERM;
        return NULL;
    }
    while ((got = read(file, text + size, sizeof(text) - (size_t)size)) > 0)
        size += got;
    close(file);
    if (got < 0 || (size_t)size == sizeof(text)) {
        errno = got < 0 ? errno : EFBIG;
        return NULL;
    }
    text[size] = '\0';
    return text;
}

/* Empty until all is done: Landlock does not stand in the way of what is open. */
static int open_record(const char *run)
{
    int folder = open_folder(run, "launched"), record;
    char name[32];

    if (folder < 0)
        return -1;
    snprintf(name, sizeof(name), "%d", getpid());
    unlinkat(folder, name, 0);
    record = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    close(folder);
    return record;
}

/* Ticks after boot at which we were started: with the pid, who we are. 0: not known. */
static uint64_t start_time(void)
{
    char text[1024], *field;
    int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, text, sizeof(text) - 1);

    if (file >= 0)
        close(file);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    /* The 22nd; the second is a name in brackets, with whatever in it. */
    field = strrchr(text, ')');
    for (int at = 2; field && at < 22; at++)
        field = strchr(field + 1, ' ');
    return field ? strtoull(field + 1, NULL, 10) : 0;
}

static int drop_capabilities(uint64_t bits)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    if (!bits)
        return 0;
    for (int at = 0; at <= CAPABILITIES_MAX; at++) {
        /* EINVAL: the kernel has none of that number. */
        if ((bits & 1ULL << at) && prctl(PR_CAPBSET_DROP, at, 0, 0, 0) && errno != EINVAL)
            return errno;
    }
    if (syscall(SYS_capget, &header, data))
        return errno;
    for (int half = 0; half < 2; half++) {
        uint32_t mask = ~(uint32_t)(bits >> 32 * half);

        data[half].effective &= mask;
        data[half].permitted &= mask;
        data[half].inheritable &= mask;
    }
    return syscall(SYS_capset, &header, data) ? errno : 0;
}

/* Without it, only who has CAP_SYS_ADMIN may bind itself so. */
static int allow_ourselves(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};

    if (!syscall(SYS_capget, &header, data) && (data[0].effective & 1U << CAP_SYS_ADMIN))
        return 0;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? errno : 0;
}

/* NULL, or what could not be done, with errno. */
static const char *hold(const struct launch_rules *rules)
{
    if ((errno = allow_ourselves()))
        return "no new privileges";
    if ((errno = launch_files(rules)))
        return "Landlock";
    if ((errno = launch_filter(rules)))
        return "seccomp";
    if ((errno = drop_capabilities(rules->capabilities)))
        return "capabilities";
    return NULL;
}

/* Whether the program is held as its rules say, or has none. */
static bool hold_program(const struct options *options)
{
    static struct launch_rules rules;
    char name[NAME_MAX + 1], *text;
    const char *wrong;
    unsigned line;
    int record;

    if (!rules_name(*options->program, name, sizeof(name))) {
        dprintf(STDERR_FILENO, "husk-launch: %s: %s\n", *options->program, strerror(errno));
        return false;
    }
    text = read_rules(options->state, name);
    if (!text && errno == ENOENT)
        return true;
    if (!text) {
        dprintf(STDERR_FILENO, "husk-launch: %s/launch/%s: %s\n", options->state, name, strerror(errno));
        return false;
    }
    wrong = launch_parse(text, &rules, &line);
    if (wrong) {
        dprintf(STDERR_FILENO, "husk-launch: %s/launch/%s, line %u: %s\n", options->state, name, line, wrong);
        return false;
    }
    record = open_record(options->run);
    if (record < 0)
        dprintf(STDERR_FILENO, "husk-launch: %s/launched: %s: the agent will not know\n", options->run,
                strerror(errno));
    wrong = hold(&rules);
    if (wrong) {
        dprintf(STDERR_FILENO, "husk-launch: %s: %s\n", wrong, strerror(errno));
        return false;
    }
    if (record >= 0)
        dprintf(record, "husk-launched 1 %" PRIu64 " %" PRIu64 " %s\n", start_time(), rules.serial, name);
    return true;
}

int main(int count, char **arguments)
{
    struct options options = {.state = "/var/lib/husk", .run = "/run/husk"};

    (void)count;
    if (!read_options(arguments + 1, &options)) {
        dprintf(STDERR_FILENO, "%s", help);
        return EXIT_USAGE;
    }
    if (!hold_program(&options) && options.is_required) {
        dprintf(STDERR_FILENO, "husk-launch: %s is not started (--require)\n", *options.program);
        return EXIT_NOT_STARTED;
    }
    execv(*options.program, options.program);
    dprintf(STDERR_FILENO, "husk-launch: %s: %s\n", *options.program, strerror(errno));
    return EXIT_NOT_STARTED;
}
