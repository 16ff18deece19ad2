/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See probe.h. */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "error.h"

/* Turns a descriptor or negative errno into an answer, and closes it. */
static int probe_answer(int fd)
{
    if (fd < 0)
        return -fd;
    close(fd);
    return 0;
}

/* A program of two instructions, `r0 = verdict; exit`. Returns its descriptor. */
static int probe_load(enum bpf_prog_type type, enum bpf_attach_type attach_type, int verdict, int btf_id)
{
    const struct bpf_insn instructions[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = verdict},
        {.code = BPF_JMP | BPF_EXIT},
    };
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach_type, .attach_btf_id = btf_id);

    return bpf_prog_load(type, "husk_probe", "GPL", instructions, 2, &options);
}

static int probe_program(enum bpf_prog_type type, enum bpf_attach_type attach_type, int verdict)
{
    return probe_answer(probe_load(type, attach_type, verdict, 0));
}

/* A program bound to a kernel type or function by its BTF id. */
static int probe_traced(const struct btf *kernel, enum bpf_prog_type type, enum bpf_attach_type attach_type,
                        const char *name, int kind)
{
    int id = kernel ? btf__find_by_name_kind(kernel, name, (unsigned)kind) : -ENOENT;

    return id < 0 ? -id : probe_answer(probe_load(type, attach_type, 0, id));
}

/* The attach type is known where the interface is what is missed: no interface has this index. */
static int probe_tcx(void)
{
    int program = probe_load(BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS, 0, 0);
    int link;

    if (program < 0)
        program = probe_load(BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0);
    if (program < 0)
        return -program;
    link = bpf_link_create(program, INT_MAX, BPF_TCX_INGRESS, NULL);
    close(program);
    return link == -ENODEV ? 0 : probe_answer(link);
}

static int probe_map(enum bpf_map_type type, unsigned key_bytes, unsigned value_bytes, unsigned entries,
                     unsigned flags)
{
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);

    return probe_answer(bpf_map_create(type, "husk_probe", key_bytes, value_bytes, entries, &options));
}

static int probe_map_of_maps(void)
{
    LIBBPF_OPTS(bpf_map_create_opts, options);
    int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "husk_probe", 4, 8, 1, NULL);
    int answer;

    if (inner < 0)
        return -inner;
    options.inner_map_fd = (unsigned)inner;
    answer = probe_answer(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "husk_probe", 4, 4, 2, &options));
    close(inner);
    return answer;
}

/* Storage maps are made of BTF types only; two ints will do. */
static int probe_task_storage(void)
{
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
    struct btf *btf = btf__new_empty();
    int answer = ENOMEM;
    int type;

    if (!btf)
        return ENOMEM;
    type = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
    if (type < 0)
        goto out;
    answer = -btf__load_into_kernel(btf);
    if (answer)
        goto out;
    options.btf_fd = (unsigned)btf__fd(btf);
    options.btf_key_type_id = (unsigned)type;
    options.btf_value_type_id = (unsigned)type;
    answer = probe_answer(bpf_map_create(BPF_MAP_TYPE_TASK_STORAGE, "husk_probe", 4, 4, 0, &options));
out:
    btf__free(btf);
    return answer;
}

static int probe_batch(void)
{
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    int map = bpf_map_create(BPF_MAP_TYPE_HASH, "husk_probe", 4, 4, 4, NULL);
    unsigned keys[2] = {1, 2}, values[2] = {3, 4}, count = 2;
    int result;

    if (map < 0)
        return -map;
    result = bpf_map_update_batch(map, keys, values, &count, &options);
    close(map);
    return -result;
}

/* Asks whether filters may answer with an errno; installs none. */
static int probe_seccomp(void)
{
    unsigned action = SECCOMP_RET_ERRNO;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) ? errno : 0;
}

/* The highest version of Landlock's interface that the kernel has. */
static int probe_landlock(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0UL, LANDLOCK_CREATE_RULESET_VERSION);

    return version > 0 ? (int)version : 0;
}

static void probe_lsm_list(char *list)
{
    int fd = open("/sys/kernel/security/lsm", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, list, PROBE_LSM_LIST_BYTES - 1);

    if (fd >= 0)
        close(fd);
    list[length > 0 ? length : 0] = '\0';
    list[strcspn(list, "\n")] = '\0';
}

void probe_run(struct probe_features *features)
{
    struct btf *kernel;

    error_log_clear();
    memset(features, 0, sizeof(*features));
    features->kernel_btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
    kernel = features->kernel_btf ? btf__load_vmlinux_btf() : NULL;
    features->xdp = probe_program(BPF_PROG_TYPE_XDP, BPF_XDP, XDP_PASS);
    features->sched_cls = probe_program(BPF_PROG_TYPE_SCHED_CLS, 0, 0);
    features->tcx = probe_tcx();
    features->cgroup_sock_addr = probe_program(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, 1);
    features->cgroup_sock = probe_program(BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE, 1);
    features->netfilter = probe_program(BPF_PROG_TYPE_NETFILTER, BPF_NETFILTER, 1);
    features->lsm = probe_traced(kernel, BPF_PROG_TYPE_LSM, BPF_LSM_MAC, "bpf_lsm_file_open", BTF_KIND_FUNC);
    features->fmod_ret =
        probe_traced(kernel, BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, "security_file_open", BTF_KIND_FUNC);
    features->tracepoint_btf = probe_traced(kernel, BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP,
                                            "btf_trace_sched_process_exec", BTF_KIND_TYPEDEF);
    features->raw_tracepoint = probe_program(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
    features->ringbuf = probe_map(BPF_MAP_TYPE_RINGBUF, 0, 0, (unsigned)sysconf(_SC_PAGESIZE), 0);
    features->mmapable_array = probe_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE);
    features->map_of_maps = probe_map_of_maps();
    features->lpm_trie = probe_map(BPF_MAP_TYPE_LPM_TRIE, 8, 8, 1, BPF_F_NO_PREALLOC);
    features->task_storage = probe_task_storage();
    features->batch = probe_batch();
    features->seccomp = probe_seccomp();
    features->landlock_abi = probe_landlock();
    btf__free(kernel);
    probe_lsm_list(features->lsm_list);
}

void probe_functions(const char (*names)[PROBE_NAME_BYTES], size_t count, bool *found)
{
    struct btf *kernel;

    error_log_clear();
    kernel = btf__load_vmlinux_btf();
    for (size_t i = 0; i < count; i++)
        found[i] = kernel && btf__find_by_name_kind(kernel, names[i], BTF_KIND_FUNC) > 0;
    btf__free(kernel);
}
