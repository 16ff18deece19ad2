/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See system.h. */
#define _GNU_SOURCE
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <time.h>

#include <bpf/libbpf.h>
#include <linux/magic.h>

int system_cgroup_id(const char *path, uint64_t *id, struct error *error)
{
    struct {
        struct file_handle head;
        uint64_t id;
    } handle = {.head.handle_bytes = sizeof(uint64_t)};
    struct statfs fs;
    int mount_id;

    error_log_clear();
    if (statfs(path, &fs))
        return error_set(error, errno, "find cgroup", "%s", path);
    /* On another file system the handle would be a number as well, and mean nothing. */
    if (fs.f_type != CGROUP2_SUPER_MAGIC)
        return error_set(error, EINVAL, "find cgroup", "%s is not on cgroup v2", path);
    if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount_id, 0))
        return error_set(error, errno, "find cgroup", "%s", path);
    memcpy(id, handle.head.f_handle, sizeof(*id));
    return 0;
}

int system_mount_bpffs(const char *path, struct error *error)
{
    error_log_clear();
    if (mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, "mode=0700"))
        return error_set(error, errno, "mount bpffs", "%s", path);
    return 0;
}

uint64_t system_boot_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

int system_possible_cpus(uint32_t *count, struct error *error)
{
    int cpus;

    error_log_clear();
    cpus = libbpf_num_possible_cpus();
    if (cpus < 0)
        return error_set(error, cpus, "count CPUs", "/sys/devices/system/cpu/possible");
    *count = (uint32_t)cpus;
    return 0;
}
