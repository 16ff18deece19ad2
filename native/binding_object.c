/* SPDX-License-Identifier: Apache-2.0 */
/* BpfObject, and what is known of programs. The JavaScript thread. */
#include "binding.h"

#include <stdio.h>
#include <stdlib.h>

#include "object.h"
#include "program.h"

/* Names in objects are C identifiers; the longest the kernel's BTF takes. */
#define NAME_BYTES 512

struct object_held {
    struct held held;
    struct object *object; /* NULL once closed */
};

static void object_release(struct held *held)
{
    struct object_held *own = (struct object_held *)held;

    object_close(own->object);
    free(own);
}

static napi_value open_object(napi_env env, napi_callback_info info)
{
    struct object_held *own;
    struct error error = {0};
    char name[NAME_BYTES];
    struct bytes bytes;
    struct call call;

    if (!call_open(&call, env, info) || !value_string(env, call.argument[0], "name", name, sizeof(name)) ||
        !value_bytes(env, call.argument[1], "bytes", &bytes))
        return NULL;
    own = calloc(1, sizeof(*own));
    if (!own)
        return throw_status(env);
    own->held = (struct held){CLASS_OBJECT, object_release};
    own->object = object_open(name, bytes.data, bytes.size, &error);
    if (!own->object) {
        free(own);
        return throw_error(env, &error);
    }
    return to_instance(env, &own->held);
}

/* The arguments of a method, and the open object it is called on. */
static struct object *object_call(struct call *call, napi_env env, napi_callback_info info)
{
    struct object_held *own;

    if (!call_open(call, env, info))
        return NULL;
    own = (struct object_held *)value_held(env, call->self, CLASS_OBJECT, "this");
    if (own && !own->object)
        throw_type(env, "this BPF object is closed");
    return own ? own->object : NULL;
}

/* The same, where the first argument names something in the object. */
static struct object *object_call_name(struct call *call, napi_env env, napi_callback_info info,
                                       const char *what, char *name)
{
    struct object *object = object_call(call, env, info);

    return object && value_string(env, call->argument[0], what, name, NAME_BYTES) ? object : NULL;
}

static napi_value object_done(napi_env env, int result, struct error *error)
{
    return result ? throw_error(env, error) : to_undefined(env);
}

static napi_value object_names_of(napi_env env, napi_callback_info info,
                                  int (*list)(const struct object *, const char ***, size_t *,
                                              struct error *))
{
    struct error error = {0};
    const char **names;
    struct object *object;
    napi_value array;
    struct call call;
    size_t count;

    object = object_call(&call, env, info);
    if (!object)
        return NULL;
    if (list(object, &names, &count, &error))
        return throw_error(env, &error);
    array = to_strings(env, names, count);
    free(names);
    return array;
}

static napi_value map_names(napi_env env, napi_callback_info info)
{
    return object_names_of(env, info, object_map_names);
}

static napi_value program_names(napi_env env, napi_callback_info info)
{
    return object_names_of(env, info, object_program_names);
}

static napi_value reuse_map(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    char name[NAME_BYTES];
    struct object *object;
    struct call call;
    int fd;

    object = object_call_name(&call, env, info, "name", name);
    if (!object || !value_handle(env, call.argument[1], HANDLE_MAP, "map", &fd))
        return NULL;
    return object_done(env, object_reuse_map(object, name, fd, &error), &error);
}

static napi_value set_max_entries(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    char name[NAME_BYTES];
    struct object *object;
    uint32_t max_entries;
    struct call call;

    object = object_call_name(&call, env, info, "name", name);
    if (!object || !value_u32(env, call.argument[1], "maxEntries", UINT32_MAX, &max_entries))
        return NULL;
    return object_done(env, object_set_max_entries(object, name, max_entries, &error), &error);
}

static napi_value set_autoload(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    char name[NAME_BYTES];
    struct object *object;
    struct call call;
    bool load;

    object = object_call_name(&call, env, info, "program", name);
    if (!object || !value_bool(env, call.argument[1], "load", &load))
        return NULL;
    return object_done(env, object_set_autoload(object, name, load, &error), &error);
}

static napi_value set_rodata(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct object *object;
    struct bytes bytes;
    struct call call;

    object = object_call(&call, env, info);
    if (!object || !value_bytes(env, call.argument[0], "bytes", &bytes))
        return NULL;
    return object_done(env, object_set_rodata(object, bytes.data, bytes.size, &error), &error);
}

static napi_value load(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct call call;
    struct object *object = object_call(&call, env, info);

    return object ? object_done(env, object_load(object, &error), &error) : NULL;
}

static napi_value take_map(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    char name[NAME_BYTES];
    struct object *object;
    struct call call;
    int fd;

    object = object_call_name(&call, env, info, "name", name);
    if (!object)
        return NULL;
    fd = object_map(object, name, &error);
    return fd < 0 ? throw_error(env, &error) : to_handle(env, HANDLE_MAP, fd);
}

static napi_value take_program(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    char name[NAME_BYTES];
    struct object *object;
    struct call call;
    int fd;

    object = object_call_name(&call, env, info, "name", name);
    if (!object)
        return NULL;
    fd = object_program(object, name, &error);
    return fd < 0 ? throw_error(env, &error) : to_handle(env, HANDLE_PROGRAM, fd);
}

static napi_value btf(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct object *object;
    const void *bytes;
    struct call call;
    uint32_t size;

    object = object_call(&call, env, info);
    if (!object)
        return NULL;
    bytes = object_btf(object, &size, &error);
    return bytes ? to_bytes(env, bytes, size) : throw_error(env, &error);
}

static napi_value close_object(napi_env env, napi_callback_info info)
{
    struct object_held *own;
    struct call call;

    if (!call_open(&call, env, info))
        return NULL;
    own = (struct object_held *)value_held(env, call.self, CLASS_OBJECT, "this");
    if (!own)
        return NULL;
    object_close(own->object);
    own->object = NULL;
    return to_undefined(env);
}

static napi_value to_ids(napi_env env, const uint32_t *ids, uint32_t count)
{
    napi_value array;

    if (napi_create_array_with_length(env, count, &array) != napi_ok)
        return throw_status(env);
    for (uint32_t i = 0; i < count; i++) {
        napi_value id = to_u32(env, ids[i]);

        if (!id || napi_set_element(env, array, i, id) != napi_ok)
            return throw_status(env);
    }
    return array;
}

static napi_value describe_program(napi_env env, napi_callback_info info)
{
    struct program_info program;
    struct error error = {0};
    struct record record;
    struct call call;
    char tag[17];
    int fd;

    if (!call_open(&call, env, info) || !value_handle(env, call.argument[0], HANDLE_PROGRAM, "program", &fd))
        return NULL;
    if (program_info(fd, &program, &error))
        return throw_error(env, &error);
    for (size_t i = 0; i < sizeof(program.tag); i++)
        snprintf(tag + 2 * i, 3, "%02x", program.tag[i]);
    record = record_open(env);
    record_set(&record, "id", to_u32(env, program.id));
    record_set(&record, "name", to_string(env, program.name));
    record_set(&record, "type", to_u32(env, program.type));
    record_set(&record, "tag", to_string(env, tag));
    record_set(&record, "verifiedInstructions", to_u32(env, program.verified_instructions));
    record_set(&record, "recursionMisses", to_bigint(env, program.recursion_misses));
    record_set(&record, "mapIds", to_ids(env, program.map_ids, program.map_count));
    program_info_release(&program);
    return record_close(&record);
}

static bool test_run_options(napi_env env, napi_value options, uint32_t *repeat, uint32_t *ifindex,
                             uint32_t *came_by)
{
    napi_value value;

    *repeat = 1;
    *ifindex = 0;
    *came_by = 0;
    if (value_is_undefined(env, options))
        return true;
    if (!value_property(env, options, "repeat", &value) ||
        (!value_is_undefined(env, value) && !value_u32(env, value, "repeat", UINT32_MAX, repeat)))
        return false;
    if (!value_property(env, options, "ifindex", &value) ||
        (!value_is_undefined(env, value) && !value_u32(env, value, "ifindex", INT32_MAX, ifindex)))
        return false;
    *came_by = *ifindex;
    return value_property(env, options, "cameBy", &value) &&
           (value_is_undefined(env, value) || value_u32(env, value, "cameBy", INT32_MAX, came_by));
}

static napi_value test_run(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    uint32_t repeat, ifindex, came_by;
    struct program_run run;
    struct record record;
    struct bytes packet;
    struct call call;
    int fd;

    if (!call_open(&call, env, info) ||
        !value_handle(env, call.argument[0], HANDLE_PROGRAM, "program", &fd) ||
        !value_bytes(env, call.argument[1], "packet", &packet) ||
        !test_run_options(env, call.argument[2], &repeat, &ifindex, &came_by))
        return NULL;
    if (packet.size > PROGRAM_PACKET_BYTES_MAX) {
        throw_type(env, "packet must not be longer than %d bytes", PROGRAM_PACKET_BYTES_MAX);
        return NULL;
    }
    if (program_test_run(fd, packet.data, packet.size, repeat, ifindex, came_by, &run, &error))
        return throw_error(env, &error);
    record = record_open(env);
    record_set(&record, "verdict", to_u32(env, run.verdict));
    record_set(&record, "data", to_bytes(env, run.packet, run.packet_bytes));
    record_set(&record, "durationNs", to_u32(env, run.duration_ns));
    free(run.packet);
    return record_close(&record);
}

bool binding_object_define(napi_env env, napi_value addon)
{
    static const napi_property_descriptor methods[] = {
        METHOD("mapNames", map_names),
        METHOD("programNames", program_names),
        METHOD("reuseMap", reuse_map),
        METHOD("setMaxEntries", set_max_entries),
        METHOD("setAutoload", set_autoload),
        METHOD("setRodata", set_rodata),
        METHOD("load", load),
        METHOD("map", take_map),
        METHOD("program", take_program),
        METHOD("btf", btf),
        METHOD("close", close_object),
    };
    static const napi_property_descriptor functions[] = {
        METHOD("openObject", open_object),
        METHOD("programInfo", describe_program),
        METHOD("testRun", test_run),
    };

    return class_define(env, CLASS_OBJECT, "BpfObject", methods, COUNT_OF(methods)) &&
           napi_define_properties(env, addon, COUNT_OF(functions), functions) == napi_ok;
}
