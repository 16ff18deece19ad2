/* SPDX-License-Identifier: Apache-2.0 */
/* One thread, before the program is run. See files.h. Numbers are those of <linux/landlock.h>, which may be
 * older. */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CREATE_RULESET_VERSION 1
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2

#define FS_WRITE_FILE (1ULL << 1)
#define FS_REMOVE (1ULL << 4 | 1ULL << 5)
/* Character devices, folders, files, sockets, pipes, block devices, links. */
#define FS_MAKE (1ULL << 6 | 1ULL << 7 | 1ULL << 8 | 1ULL << 9 | 1ULL << 10 | 1ULL << 11 | 1ULL << 12)
#define FS_REFER (1ULL << 13)
#define FS_TRUNCATE (1ULL << 14)
#define NET_BIND_TCP 1ULL
#define NET_CONNECT_TCP 2ULL

/* Versions of the interface that know of them. Below the first one no file may change its folder at all. */
#define VERSION_REFER 2
#define VERSION_TRUNCATE 3
#define VERSION_NET 4

struct ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
};

struct path_beneath {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

struct net_port {
    uint64_t allowed_access;
    uint64_t port;
};

/* The kernel's bits of an operation. */
static uint64_t bits_of(enum launch_access access)
{
    switch (access) {
    case LAUNCH_WRITE:
        return FS_WRITE_FILE | FS_TRUNCATE;
    case LAUNCH_CREATE:
        return FS_MAKE;
    case LAUNCH_DELETE:
        return FS_REMOVE;
    case LAUNCH_BIND_TCP:
        return NET_BIND_TCP;
    case LAUNCH_CONNECT_TCP:
        return NET_CONNECT_TCP;
    case LAUNCH_ACCESS_COUNT:
        break;
    }
    return 0;
}

static int add_path(int ruleset, uint64_t access, const char *path)
{
    struct path_beneath rule = {.allowed_access = access};
    struct stat found;
    int result;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        /* What is not there can't be named; nothing is allowed there until the next start. */
        dprintf(STDERR_FILENO, "husk-launch: %s is not there: nothing is allowed beneath it\n", path);
        return 0;
    }
    /* Names are made and removed in folders. */
    if (!fstat(rule.parent_fd, &found) && !S_ISDIR(found.st_mode))
        rule.allowed_access &= FS_WRITE_FILE | FS_TRUNCATE;
    result = 0;
    if (rule.allowed_access && syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0))
        result = errno;
    close(rule.parent_fd);
    return result;
}

static int fill(int ruleset, const struct launch_rules *rules, uint64_t handled)
{
    int result = 0;

    /* A file may go to another folder, as far as it gains nothing by that: else none could. */
    if (handled)
        result = add_path(ruleset, FS_REFER, "/");
    for (unsigned at = 0; !result && at < rules->beneath_count; at++)
        result = add_path(ruleset, bits_of(rules->beneath[at].access) & handled, rules->beneath[at].path);
    for (unsigned at = 0; !result && at < rules->port_count; at++) {
        struct net_port rule = {bits_of(rules->ports[at].access), rules->ports[at].port};

        if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0))
            result = errno;
    }
    return result;
}

int launch_files(const struct launch_rules *rules)
{
    struct ruleset handled = {0};
    int version, ruleset, result;

    for (int access = LAUNCH_WRITE; access <= LAUNCH_DELETE; access++)
        handled.handled_access_fs |= rules->handles[access] ? bits_of((enum launch_access)access) : 0;
    for (int access = LAUNCH_BIND_TCP; access <= LAUNCH_CONNECT_TCP; access++)
        handled.handled_access_net |= rules->handles[access] ? bits_of((enum launch_access)access) : 0;
    if (!handled.handled_access_fs && !handled.handled_access_net)
        return 0;
    if (handled.handled_access_fs)
        handled.handled_access_fs |= FS_REFER;
    version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0UL, CREATE_RULESET_VERSION);
    if (version < 0)
        return errno;
    if ((handled.handled_access_fs && version < VERSION_REFER) ||
        ((handled.handled_access_fs & FS_TRUNCATE) && version < VERSION_TRUNCATE) ||
        (handled.handled_access_net && version < VERSION_NET))
        return EOPNOTSUPP;
    ruleset = (int)syscall(
        SYS_landlock_create_ruleset, &handled,
        version < VERSION_NET ? offsetof(struct ruleset, handled_access_net) : sizeof(handled), 0);
    if (ruleset < 0)
        return errno;
    result = fill(ruleset, rules, handled.handled_access_fs);
    if (!result && syscall(SYS_landlock_restrict_self, ruleset, 0))
        result = errno;
    close(ruleset);
    return result;
}
