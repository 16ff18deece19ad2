/* SPDX-License-Identifier: Apache-2.0 */
/* Features and small facts of the machine. The JavaScript thread. */
#include "binding.h"

#include <limits.h>

#include "probe.h"
#include "system.h"

static napi_value probe(napi_env env, napi_callback_info info)
{
    struct probe_features features;
    struct record record;

    (void)info;
    probe_run(&features);
    record = record_open(env);
    record_set(&record, "xdp", to_u32(env, (uint32_t)features.xdp));
    record_set(&record, "schedCls", to_u32(env, (uint32_t)features.sched_cls));
    record_set(&record, "tcx", to_u32(env, (uint32_t)features.tcx));
    record_set(&record, "cgroupSockAddr", to_u32(env, (uint32_t)features.cgroup_sock_addr));
    record_set(&record, "cgroupSock", to_u32(env, (uint32_t)features.cgroup_sock));
    record_set(&record, "netfilter", to_u32(env, (uint32_t)features.netfilter));
    record_set(&record, "lsm", to_u32(env, (uint32_t)features.lsm));
    record_set(&record, "fmodRet", to_u32(env, (uint32_t)features.fmod_ret));
    record_set(&record, "tracepointBtf", to_u32(env, (uint32_t)features.tracepoint_btf));
    record_set(&record, "rawTracepoint", to_u32(env, (uint32_t)features.raw_tracepoint));
    record_set(&record, "ringbuf", to_u32(env, (uint32_t)features.ringbuf));
    record_set(&record, "mmapableArray", to_u32(env, (uint32_t)features.mmapable_array));
    record_set(&record, "mapOfMaps", to_u32(env, (uint32_t)features.map_of_maps));
    record_set(&record, "lpmTrie", to_u32(env, (uint32_t)features.lpm_trie));
    record_set(&record, "taskStorage", to_u32(env, (uint32_t)features.task_storage));
    record_set(&record, "batch", to_u32(env, (uint32_t)features.batch));
    record_set(&record, "seccomp", to_u32(env, (uint32_t)features.seccomp));
    record_set(&record, "landlockAbi", to_u32(env, (uint32_t)features.landlock_abi));
    record_set(&record, "kernelBtf", to_bool(env, features.kernel_btf));
    record_set(&record, "lsmList", to_string(env, features.lsm_list));
    return record_close(&record);
}

#define FUNCTIONS_MAX 128

static napi_value kernel_functions(napi_env env, napi_callback_info info)
{
    static char names[FUNCTIONS_MAX][PROBE_NAME_BYTES];
    const char *texts[FUNCTIONS_MAX];
    bool found[FUNCTIONS_MAX];
    uint32_t count, there = 0;
    struct call call;

    if (!call_open(&call, env, info) || !value_array(env, call.argument[0], "names", FUNCTIONS_MAX, &count))
        return NULL;
    for (uint32_t i = 0; i < count; i++) {
        napi_value name;

        if (napi_get_element(env, call.argument[0], i, &name) != napi_ok)
            return throw_status(env);
        if (!value_string(env, name, "name", names[i], sizeof(names[i])))
            return NULL;
    }
    probe_functions(names, count, found);
    for (uint32_t i = 0; i < count; i++) {
        if (found[i])
            texts[there++] = names[i];
    }
    return to_strings(env, texts, there);
}

static napi_value cgroup_id(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    char path[PATH_MAX];
    struct call call;
    uint64_t id;

    if (!call_open(&call, env, info) || !value_string(env, call.argument[0], "path", path, sizeof(path)))
        return NULL;
    return system_cgroup_id(path, &id, &error) ? throw_error(env, &error) : to_bigint(env, id);
}

static napi_value mount_bpffs(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    char path[PATH_MAX];
    struct call call;

    if (!call_open(&call, env, info) || !value_string(env, call.argument[0], "path", path, sizeof(path)))
        return NULL;
    return system_mount_bpffs(path, &error) ? throw_error(env, &error) : to_undefined(env);
}

static napi_value boot_ns(napi_env env, napi_callback_info info)
{
    (void)info;
    return to_bigint(env, system_boot_ns());
}

static napi_value possible_cpus(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    uint32_t count;

    (void)info;
    return system_possible_cpus(&count, &error) ? throw_error(env, &error) : to_u32(env, count);
}

bool binding_system_define(napi_env env, napi_value addon)
{
    static const napi_property_descriptor functions[] = {
        METHOD("probe", probe),
        METHOD("cgroupId", cgroup_id),
        METHOD("mountBpffs", mount_bpffs),
        METHOD("bootNs", boot_ns),
        METHOD("possibleCpus", possible_cpus),
        METHOD("kernelFunctions", kernel_functions),
    };

    return napi_define_properties(env, addon, COUNT_OF(functions), functions) == napi_ok;
}
