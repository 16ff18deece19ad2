/* SPDX-License-Identifier: Apache-2.0 */
/* Links, clsact filters and pins. The JavaScript thread. */
#include "binding.h"

#include <limits.h>
#include <stdint.h>

#include "link.h"

static const char *const direction_words[] = {"ingress", "egress"};

static bool value_direction(napi_env env, napi_value value, enum link_direction *direction)
{
    uint32_t index;

    if (!value_word(env, value, "direction", direction_words, COUNT_OF(direction_words), &index))
        return false;
    *direction = index ? LINK_EGRESS : LINK_INGRESS;
    return true;
}

static bool value_ifindex(napi_env env, napi_value value, uint32_t *ifindex)
{
    return value_u32(env, value, "ifindex", INT32_MAX, ifindex);
}

static napi_value to_link(napi_env env, int fd, struct error *error)
{
    return fd < 0 ? throw_error(env, error) : to_handle(env, HANDLE_LINK, fd);
}

static napi_value attach_xdp(napi_env env, napi_callback_info info)
{
    static const char *const modes[] = {"native", "generic"};
    struct error error = {0};
    uint32_t ifindex, mode;
    struct call call;
    int program;

    if (!call_open(&call, env, info) ||
        !value_handle(env, call.argument[0], HANDLE_PROGRAM, "program", &program) ||
        !value_ifindex(env, call.argument[1], &ifindex) ||
        !value_word(env, call.argument[2], "mode", modes, COUNT_OF(modes), &mode))
        return NULL;
    return to_link(env, link_attach_xdp(program, ifindex, mode == 1, &error), &error);
}

static napi_value attach_tcx(napi_env env, napi_callback_info info)
{
    enum link_direction direction;
    struct error error = {0};
    uint32_t ifindex;
    struct call call;
    int program;

    if (!call_open(&call, env, info) ||
        !value_handle(env, call.argument[0], HANDLE_PROGRAM, "program", &program) ||
        !value_ifindex(env, call.argument[1], &ifindex) ||
        !value_direction(env, call.argument[2], &direction))
        return NULL;
    return to_link(env, link_attach_tcx(program, ifindex, direction, &error), &error);
}

static napi_value attach_netfilter(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    uint32_t family, hook;
    napi_value priority_value;
    int32_t priority;
    struct call call;
    int program;

    if (!call_open(&call, env, info) ||
        !value_handle(env, call.argument[0], HANDLE_PROGRAM, "program", &program) ||
        !value_u32_property(env, call.argument[1], "family", 6, &family) ||
        !value_u32_property(env, call.argument[1], "hook", 4, &hook) ||
        !value_property(env, call.argument[1], "priority", &priority_value))
        return NULL;
    if ((family != 4 && family != 6) || napi_get_value_int32(env, priority_value, &priority) != napi_ok) {
        throw_type(env, "family must be 4 or 6, and priority a whole number");
        return NULL;
    }
    return to_link(env, link_attach_netfilter(program, family, hook, priority, &error), &error);
}

static napi_value attach_cgroup(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    uint32_t attach_type;
    char path[PATH_MAX];
    struct call call;
    int program;

    if (!call_open(&call, env, info) ||
        !value_handle(env, call.argument[0], HANDLE_PROGRAM, "program", &program) ||
        !value_string(env, call.argument[1], "path", path, sizeof(path)) ||
        !value_u32(env, call.argument[2], "attachType", UINT32_MAX, &attach_type))
        return NULL;
    return to_link(env, link_attach_cgroup(program, path, attach_type, &error), &error);
}

static napi_value attach_tracing(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct call call;
    int program;

    if (!call_open(&call, env, info) ||
        !value_handle(env, call.argument[0], HANDLE_PROGRAM, "program", &program))
        return NULL;
    return to_link(env, link_attach_tracing(program, &error), &error);
}

static napi_value iterate(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct call call;
    int program;

    if (!call_open(&call, env, info) ||
        !value_handle(env, call.argument[0], HANDLE_PROGRAM, "program", &program))
        return NULL;
    return link_iterate(program, &error) ? throw_error(env, &error) : to_undefined(env);
}

static napi_value detach_link(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct call call;
    int link;

    if (!call_open(&call, env, info) || !value_handle(env, call.argument[0], HANDLE_LINK, "link", &link))
        return NULL;
    return link_detach(link, &error) ? throw_error(env, &error) : to_undefined(env);
}

static napi_value update_link(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct call call;
    int link, program;

    if (!call_open(&call, env, info) || !value_handle(env, call.argument[0], HANDLE_LINK, "link", &link) ||
        !value_handle(env, call.argument[1], HANDLE_PROGRAM, "program", &program))
        return NULL;
    return link_update(link, program, &error) ? throw_error(env, &error) : to_undefined(env);
}

static napi_value describe_link(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct link_info link;
    struct record record;
    struct call call;
    int fd;

    if (!call_open(&call, env, info) || !value_handle(env, call.argument[0], HANDLE_LINK, "link", &fd))
        return NULL;
    if (link_info_of(fd, &link, &error))
        return throw_error(env, &error);
    record = record_open(env);
    record_set(&record, "id", to_u32(env, link.id));
    record_set(&record, "type", to_u32(env, link.type));
    record_set(&record, "programId", to_u32(env, link.program_id));
    record_set(&record, "ifindex", to_u32(env, link.ifindex));
    record_set(&record, "cgroupId", to_bigint(env, link.cgroup_id));
    record_set(&record, "attachType", to_u32(env, link.attach_type));
    return record_close(&record);
}

/* Four arguments from `first` on. */
static bool value_clsact(const struct call *call, size_t first, struct link_clsact *clsact)
{
    const napi_value *argument = call->argument + first;

    /* tc reads a handle or priority of 0 as "choose one", and then nobody could name the filter again. */
    if (!value_ifindex(call->env, argument[0], &clsact->ifindex) ||
        !value_direction(call->env, argument[1], &clsact->direction) ||
        !value_u32(call->env, argument[2], "handle", UINT32_MAX, &clsact->handle) ||
        !value_u32(call->env, argument[3], "priority", UINT16_MAX, &clsact->priority))
        return false;
    return (clsact->handle && clsact->priority) || throw_type(call->env, "handle and priority must not be 0");
}

static napi_value attach_clsact(napi_env env, napi_callback_info info)
{
    struct link_clsact clsact;
    struct error error = {0};
    struct call call;
    int program;

    if (!call_open(&call, env, info) ||
        !value_handle(env, call.argument[0], HANDLE_PROGRAM, "program", &program) ||
        !value_clsact(&call, 1, &clsact))
        return NULL;
    return link_attach_clsact(&clsact, program, &error) ? throw_error(env, &error) : to_undefined(env);
}

static napi_value query_clsact(napi_env env, napi_callback_info info)
{
    struct link_clsact clsact;
    struct error error = {0};
    uint32_t program_id;
    struct call call;

    if (!call_open(&call, env, info) || !value_clsact(&call, 0, &clsact))
        return NULL;
    return link_query_clsact(&clsact, &program_id, &error) ? throw_error(env, &error)
                                                           : to_u32(env, program_id);
}

static napi_value detach_clsact(napi_env env, napi_callback_info info)
{
    struct link_clsact clsact;
    struct error error = {0};
    struct call call;

    if (!call_open(&call, env, info) || !value_clsact(&call, 0, &clsact))
        return NULL;
    return link_detach_clsact(&clsact, &error) ? throw_error(env, &error) : to_undefined(env);
}

static napi_value pin(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    char path[PATH_MAX];
    struct call call;
    int fd;

    if (!call_open(&call, env, info) || !value_handle(env, call.argument[0], HANDLE_ANY, "handle", &fd) ||
        !value_string(env, call.argument[1], "path", path, sizeof(path)))
        return NULL;
    return link_pin(fd, path, &error) ? throw_error(env, &error) : to_undefined(env);
}

static napi_value open_pin(napi_env env, napi_callback_info info, enum link_pin pin_kind,
                           enum handle_kind kind)
{
    struct error error = {0};
    char path[PATH_MAX];
    struct call call;
    int fd;

    if (!call_open(&call, env, info) || !value_string(env, call.argument[0], "path", path, sizeof(path)))
        return NULL;
    fd = link_open_pin(path, pin_kind, &error);
    return fd < 0 ? throw_error(env, &error) : to_handle(env, kind, fd);
}

static napi_value open_pinned_map(napi_env env, napi_callback_info info)
{
    return open_pin(env, info, LINK_PIN_MAP, HANDLE_MAP);
}

static napi_value open_pinned_program(napi_env env, napi_callback_info info)
{
    return open_pin(env, info, LINK_PIN_PROGRAM, HANDLE_PROGRAM);
}

static napi_value open_pinned_link(napi_env env, napi_callback_info info)
{
    return open_pin(env, info, LINK_PIN_LINK, HANDLE_LINK);
}

bool binding_link_define(napi_env env, napi_value addon)
{
    static const napi_property_descriptor functions[] = {
        METHOD("attachXdp", attach_xdp),
        METHOD("attachTcx", attach_tcx),
        METHOD("attachNetfilter", attach_netfilter),
        METHOD("attachTracing", attach_tracing),
        METHOD("iterate", iterate),
        METHOD("attachCgroup", attach_cgroup),
        METHOD("updateLink", update_link),
        METHOD("detachLink", detach_link),
        METHOD("linkInfo", describe_link),
        METHOD("attachClsact", attach_clsact),
        METHOD("queryClsact", query_clsact),
        METHOD("detachClsact", detach_clsact),
        METHOD("pin", pin),
        METHOD("openPinnedMap", open_pinned_map),
        METHOD("openPinnedProgram", open_pinned_program),
        METHOD("openPinnedLink", open_pinned_link),
    };

    return napi_define_properties(env, addon, COUNT_OF(functions), functions) == napi_ok;
}
