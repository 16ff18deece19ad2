/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to files and to where they are mounted. */
#define _GNU_SOURCE
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int errno_of(long result)
{
    return result < 0 ? errno : 0;
}

static int opened(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0644);

    return fd < 0 ? errno : errno_of(close(fd));
}

/* read PATH */
static int read_file(int count, char **words)
{
    char byte;
    int fd = open(words[1], O_RDONLY | O_CLOEXEC);
    int outcome;

    if (fd < 0)
        return errno;
    outcome = errno_of(read(fd, &byte, 1));
    close(fd);
    return outcome;
}

/* write PATH: a line more at its end */
static int write_file(int count, char **words)
{
    int fd = open(words[1], O_WRONLY | O_APPEND | O_CLOEXEC);
    int outcome;

    if (fd < 0)
        return errno;
    outcome = errno_of(write(fd, "stubd\n", 6));
    close(fd);
    return outcome;
}

/* create PATH: a file that was not there, and is not afterwards */
static int create_file(int count, char **words)
{
    int outcome = opened(words[1], O_WRONLY | O_CREAT | O_EXCL);

    if (!outcome)
        unlink(words[1]);
    return outcome;
}

/* mkdir PATH: not there afterwards */
static int make_folder(int count, char **words)
{
    int outcome = errno_of(mkdir(words[1], 0755));

    if (!outcome)
        rmdir(words[1]);
    return outcome;
}

/* symlink TARGET PATH: not there afterwards */
static int make_symlink(int count, char **words)
{
    int outcome = errno_of(symlink(words[1], words[2]));

    if (!outcome)
        unlink(words[2]);
    return outcome;
}

/* link OLD NEW: NEW is not there afterwards */
static int make_link(int count, char **words)
{
    int outcome = errno_of(link(words[1], words[2]));

    if (!outcome)
        unlink(words[2]);
    return outcome;
}

/* rename OLD NEW: and back */
static int rename_file(int count, char **words)
{
    int outcome = errno_of(rename(words[1], words[2]));

    if (!outcome)
        rename(words[2], words[1]);
    return outcome;
}

/* replace PATH: by a file of the same content that was written beside it, as editors and installers do */
static int replace_file(int count, char **words)
{
    char beside[512], byte;
    int from, to, outcome;

    snprintf(beside, sizeof(beside), "%s.new", words[1]);
    from = open(words[1], O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return errno;
    to = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (to < 0) {
        outcome = errno;
        close(from);
        return outcome;
    }
    while (read(from, &byte, 1) == 1) {
        if (write(to, &byte, 1) != 1)
            break;
    }
    close(from);
    close(to);
    outcome = errno_of(rename(beside, words[1]));
    if (outcome)
        unlink(beside);
    return outcome;
}

/* unlink PATH */
static int remove_file(int count, char **words)
{
    return errno_of(unlink(words[1]));
}

/* chmod MODE PATH: the mode as C writes it, as 0755 */
static int change_mode(int count, char **words)
{
    long mode = number_of(words[1]);

    return mode < 0 ? EINVAL : errno_of(chmod(words[2], (mode_t)mode));
}

/* remount PATH: what is mounted there, writable */
static int remount(int count, char **words)
{
    return errno_of(mount("none", words[1], NULL, MS_REMOUNT, NULL));
}

/* bind-mount FROM AT: and off again */
static int bind_mount(int count, char **words)
{
    int outcome = errno_of(mount(words[1], words[2], NULL, MS_BIND, NULL));

    if (!outcome)
        umount2(words[2], MNT_DETACH);
    return outcome;
}

/* splice PATH: a page of the file into a pipe, which is how Dirty Pipe begins; nothing is written to the pipe
 */
static int splice_file(int count, char **words)
{
    int ends[2], outcome, fd = open(words[1], O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno;
    if (pipe2(ends, O_CLOEXEC)) {
        outcome = errno;
    } else {
        outcome = errno_of(splice(fd, NULL, ends[1], NULL, 1, 0));
        close(ends[0]);
        close(ends[1]);
    }
    close(fd);
    return outcome;
}

const struct verb file_verbs[] = {
    {"read", 1, read_file},       {"write", 1, write_file},
    {"create", 1, create_file},   {"mkdir", 1, make_folder},
    {"symlink", 2, make_symlink}, {"link", 2, make_link},
    {"rename", 2, rename_file},   {"replace", 1, replace_file},
    {"unlink", 1, remove_file},   {"chmod", 2, change_mode},
    {"remount", 1, remount},      {"bind-mount", 2, bind_mount},
    {"splice", 1, splice_file},   {NULL, 0, NULL},
};
