/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See link.h. */
#define _GNU_SOURCE
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/netfilter.h>

#include "fdinfo.h"

static const char *link_direction_name(enum link_direction direction)
{
    return direction == LINK_INGRESS ? "ingress" : "egress";
}

int link_attach_xdp(int program_fd, uint32_t ifindex, int generic, struct error *error)
{
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
    int fd;

    error_log_clear();
    fd = bpf_link_create(program_fd, (int)ifindex, BPF_XDP, &options);
    if (fd < 0)
        return error_set(error, fd, "attach XDP", "ifindex %u, %s", ifindex, generic ? "generic" : "native");
    return fd;
}

int link_attach_tcx(int program_fd, uint32_t ifindex, enum link_direction direction, struct error *error)
{
    int fd;

    error_log_clear();
    fd = bpf_link_create(program_fd, (int)ifindex,
                         direction == LINK_INGRESS ? BPF_TCX_INGRESS : BPF_TCX_EGRESS, NULL);
    if (fd < 0)
        return error_set(error, fd, "attach TCX", "ifindex %u, %s", ifindex, link_direction_name(direction));
    return fd;
}

int link_attach_netfilter(int program_fd, uint32_t family, uint32_t hook, int32_t priority,
                          struct error *error)
{
    LIBBPF_OPTS(bpf_link_create_opts, options);
    int fd;

    error_log_clear();
    options.netfilter.pf = family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
    options.netfilter.hooknum = hook;
    options.netfilter.priority = priority;
    fd = bpf_link_create(program_fd, 0, BPF_NETFILTER, &options);
    if (fd < 0)
        return error_set(error, fd, "attach netfilter", "IPv%u, hook %u, priority %d", family, hook,
                         priority);
    return fd;
}

int link_attach_cgroup(int program_fd, const char *path, uint32_t attach_type, struct error *error)
{
    int cgroup;
    int fd;

    error_log_clear();
    cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup < 0)
        return error_set(error, errno, "open cgroup", "%s", path);
    fd = bpf_link_create(program_fd, cgroup, attach_type, NULL);
    if (fd < 0)
        error_set(error, fd, "attach cgroup", "%s, attach type %u", path, attach_type);
    close(cgroup);
    return fd < 0 ? -1 : fd;
}

int link_attach_tracing(int program_fd, struct error *error)
{
    int fd;

    error_log_clear();
    /* Older than bpf_link_create() for these, and a link all the same. */
    fd = bpf_raw_tracepoint_open(NULL, program_fd);
    return fd < 0 ? error_set(error, fd, "attach tracing", "fd %d", program_fd) : fd;
}

int link_iterate(int program_fd, struct error *error)
{
    char dropped[4096];
    ssize_t got;
    int link, iterator;

    error_log_clear();
    link = bpf_link_create(program_fd, 0, BPF_TRACE_ITER, NULL);
    if (link < 0)
        return error_set(error, link, "attach iterator", "fd %d", program_fd);
    iterator = bpf_iter_create(link);
    if (iterator < 0) {
        close(link);
        return error_set(error, iterator, "start iterator", "fd %d", program_fd);
    }
    while ((got = read(iterator, dropped, sizeof(dropped))) > 0 || (got < 0 && errno == EAGAIN))
        ;
    got = got < 0 ? errno : 0;
    close(iterator);
    close(link);
    return got ? error_set(error, (int)got, "run iterator", "fd %d", program_fd) : 0;
}

int link_detach(int link_fd, struct error *error)
{
    int result;

    error_log_clear();
    result = bpf_link_detach(link_fd);
    /* Its interface went, and took it off. */
    if (result == -ENOLINK || result == -ENODEV)
        return 0;
    return result ? error_set(error, result, "detach link", "fd %d", link_fd) : 0;
}

int link_update(int link_fd, int program_fd, struct error *error)
{
    int result;

    error_log_clear();
    result = bpf_link_update(link_fd, program_fd, NULL);
    return result ? error_set(error, result, "update link", "fd %d", link_fd) : 0;
}

int link_info_of(int link_fd, struct link_info *info, struct error *error)
{
    struct bpf_link_info kernel = {0};
    uint32_t size = sizeof(kernel);
    int result;

    error_log_clear();
    result = bpf_link_get_info_by_fd(link_fd, &kernel, &size);
    if (result)
        return error_set(error, result, "describe link", "fd %d", link_fd);
    memset(info, 0, sizeof(*info));
    info->id = kernel.id;
    info->type = kernel.type;
    info->program_id = kernel.prog_id;
    switch (kernel.type) {
    case BPF_LINK_TYPE_XDP:
        info->ifindex = kernel.xdp.ifindex;
        break;
    case BPF_LINK_TYPE_TCX:
        info->ifindex = kernel.tcx.ifindex;
        info->attach_type = kernel.tcx.attach_type;
        break;
    case BPF_LINK_TYPE_CGROUP:
        info->cgroup_id = kernel.cgroup.cgroup_id;
        info->attach_type = kernel.cgroup.attach_type;
        break;
    default:
        break;
    }
    return 0;
}

static struct bpf_tc_hook link_clsact_hook(const struct link_clsact *clsact)
{
    return (struct bpf_tc_hook){
        .sz = sizeof(struct bpf_tc_hook),
        .ifindex = (int)clsact->ifindex,
        .attach_point = clsact->direction == LINK_INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS,
    };
}

static int link_clsact_error(const struct link_clsact *clsact, int result, const char *operation,
                             struct error *error)
{
    return error_set(error, result, operation, "ifindex %u, %s, handle %u, priority %u", clsact->ifindex,
                     link_direction_name(clsact->direction), clsact->handle, clsact->priority);
}

int link_attach_clsact(const struct link_clsact *clsact, int program_fd, struct error *error)
{
    struct bpf_tc_hook hook = link_clsact_hook(clsact);
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program_fd, .flags = BPF_TC_F_REPLACE,
                .handle = clsact->handle, .priority = clsact->priority);
    int result;

    error_log_clear();
    /* One clsact serves both directions, and may be there already: ours or another's. */
    result = bpf_tc_hook_create(&hook);
    if (result && result != -EEXIST)
        return link_clsact_error(clsact, result, "create clsact", error);
    result = bpf_tc_attach(&hook, &options);
    return result ? link_clsact_error(clsact, result, "attach clsact", error) : 0;
}

int link_query_clsact(const struct link_clsact *clsact, uint32_t *program_id, struct error *error)
{
    struct bpf_tc_hook hook = link_clsact_hook(clsact);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = clsact->handle, .priority = clsact->priority);
    int result;

    error_log_clear();
    *program_id = 0;
    result = bpf_tc_query(&hook, &options);
    /* EINVAL: there is no clsact to hold a filter. */
    if (result == -ENOENT || result == -EINVAL)
        return 0;
    if (result)
        return link_clsact_error(clsact, result, "query clsact", error);
    *program_id = options.prog_id;
    return 0;
}

int link_detach_clsact(const struct link_clsact *clsact, struct error *error)
{
    struct bpf_tc_hook hook = link_clsact_hook(clsact);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = clsact->handle, .priority = clsact->priority);
    int result;

    error_log_clear();
    result = bpf_tc_detach(&hook, &options);
    return result ? link_clsact_error(clsact, result, "detach clsact", error) : 0;
}

int link_pin(int fd, const char *path, struct error *error)
{
    int result;

    error_log_clear();
    result = bpf_obj_pin(fd, path);
    return result ? error_set(error, result, "pin", "%s", path) : 0;
}

int link_open_pin(const char *path, enum link_pin kind, struct error *error)
{
    static const char *const operations[] = {"open pinned map", "open pinned program", "open pinned link"};
    /* The line of fdinfo that only a descriptor of this kind has. */
    static const char *const lines[] = {"map_type", "prog_type", "link_type"};
    int fd;

    error_log_clear();
    fd = bpf_obj_get(path);
    if (fd < 0)
        return error_set(error, fd, operations[kind], "%s", path);
    if (!fdinfo_has(fd, lines[kind])) {
        close(fd);
        return error_set(error, EINVAL, operations[kind], "%s", path);
    }
    return fd;
}
