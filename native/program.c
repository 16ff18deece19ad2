/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See program.h. */
#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

static int program_kernel_info(int fd, struct bpf_prog_info *info)
{
    uint32_t size = sizeof(*info);

    return bpf_prog_get_info_by_fd(fd, info, &size);
}

int program_info(int fd, struct program_info *info, struct error *error)
{
    struct bpf_prog_info kernel = {0};
    uint32_t *map_ids = NULL;
    uint32_t room;
    int result;

    error_log_clear();
    result = program_kernel_info(fd, &kernel);
    if (result)
        return error_set(error, result, "describe program", "fd %d", fd);
    /* The set of maps a program uses is fixed when it is loaded, so the second answer fits the first. */
    room = kernel.nr_map_ids;
    if (room) {
        map_ids = calloc(room, sizeof(*map_ids));
        if (!map_ids)
            return error_set(error, ENOMEM, "describe program", "fd %d", fd);
        memset(&kernel, 0, sizeof(kernel));
        kernel.nr_map_ids = room;
        kernel.map_ids = (uint64_t)(uintptr_t)map_ids;
        result = program_kernel_info(fd, &kernel);
        if (result) {
            free(map_ids);
            return error_set(error, result, "describe program", "fd %d", fd);
        }
    }
    memset(info, 0, sizeof(*info));
    info->id = kernel.id;
    info->type = kernel.type;
    info->verified_instructions = kernel.verified_insns;
    info->recursion_misses = kernel.recursion_misses;
    info->map_ids = map_ids;
    info->map_count = kernel.nr_map_ids < room ? kernel.nr_map_ids : room;
    memcpy(info->tag, kernel.tag, sizeof(info->tag));
    memcpy(info->name, kernel.name, sizeof(info->name) - 1);
    return 0;
}

void program_info_release(struct program_info *info)
{
    free(info->map_ids);
    info->map_ids = NULL;
}

int program_test_run(int fd, const void *packet, size_t packet_bytes, uint32_t repeat, uint32_t ifindex,
                     uint32_t came_by, struct program_run *run, struct error *error)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = packet_bytes,
                .data_size_out = packet_bytes + PROGRAM_PACKET_GROWTH, .repeat = repeat);
    struct xdp_md xdp = {.data_end = packet_bytes, .ingress_ifindex = ifindex};
    struct __sk_buff skb = {.ifindex = ifindex, .ingress_ifindex = came_by};
    struct bpf_prog_info kernel = {0};
    int result;

    error_log_clear();
    if (ifindex || came_by) {
        result = program_kernel_info(fd, &kernel);
        if (result)
            return error_set(error, result, "test run", "fd %d", fd);
        options.ctx_in = kernel.type == BPF_PROG_TYPE_XDP ? (void *)&xdp : (void *)&skb;
        options.ctx_size_in = kernel.type == BPF_PROG_TYPE_XDP ? sizeof(xdp) : sizeof(skb);
    }
    options.data_out = malloc(options.data_size_out);
    if (!options.data_out)
        return error_set(error, ENOMEM, "test run", "fd %d", fd);
    result = bpf_prog_test_run_opts(fd, &options);
    if (result) {
        free(options.data_out);
        return error_set(error, result, "test run", "fd %d, packet of %zu bytes", fd, packet_bytes);
    }
    run->verdict = options.retval;
    run->duration_ns = options.duration;
    run->packet_bytes = options.data_size_out;
    run->packet = options.data_out;
    return 0;
}
