/* SPDX-License-Identifier: Apache-2.0 */
/* Handle: one descriptor of a map, program or link. The JavaScript thread. */
#include "binding.h"

#include <stdlib.h>
#include <unistd.h>

struct handle {
    struct held held;
    enum handle_kind kind;
    int fd;           /* -1 once closed */
    bool shape_known; /* maps: `shape` is the kernel's answer */
    struct table_shape shape;
};

static const char *const handle_nouns[] = {"map", "program", "link", "kernel object"};

static void handle_close_fd(struct handle *handle)
{
    if (handle->fd >= 0)
        close(handle->fd);
    handle->fd = -1;
}

static void handle_release(struct held *held)
{
    struct handle *handle = (struct handle *)held;

    handle_close_fd(handle);
    free(handle);
}

napi_value to_handle(napi_env env, enum handle_kind kind, int fd)
{
    struct handle *handle = calloc(1, sizeof(*handle));

    if (!handle) {
        close(fd);
        return throw_status(env);
    }
    handle->held = (struct held){CLASS_HANDLE, handle_release};
    handle->kind = kind;
    handle->fd = fd;
    return to_instance(env, &handle->held);
}

static struct handle *value_open_handle(napi_env env, napi_value value, enum handle_kind kind,
                                        const char *name)
{
    struct handle *handle = (struct handle *)value_held(env, value, CLASS_HANDLE, name);

    if (!handle)
        return NULL;
    if (kind != HANDLE_ANY && handle->kind != kind) {
        throw_type(env, "%s must be the handle of a %s, not of a %s", name, handle_nouns[kind],
                   handle_nouns[handle->kind]);
        return NULL;
    }
    if (handle->fd < 0) {
        throw_type(env, "%s: the handle of this %s is closed", name, handle_nouns[handle->kind]);
        return NULL;
    }
    return handle;
}

bool value_handle(napi_env env, napi_value value, enum handle_kind kind, const char *name, int *fd)
{
    struct handle *handle = value_open_handle(env, value, kind, name);

    if (handle)
        *fd = handle->fd;
    return handle != NULL;
}

bool value_map(napi_env env, napi_value value, const char *name, struct map_argument *map)
{
    struct handle *handle = value_open_handle(env, value, HANDLE_MAP, name);
    struct error error = {0};

    if (!handle)
        return false;
    if (!handle->shape_known && table_shape_of(handle->fd, &handle->shape, &error)) {
        throw_error(env, &error);
        return false;
    }
    handle->shape_known = true;
    map->fd = handle->fd;
    map->shape = handle->shape;
    return true;
}

static struct handle *handle_self(napi_env env, napi_callback_info info)
{
    struct call call;

    return call_open(&call, env, info) ? (struct handle *)value_held(env, call.self, CLASS_HANDLE, "this")
                                       : NULL;
}

static napi_value handle_kind(napi_env env, napi_callback_info info)
{
    struct handle *handle = handle_self(env, info);

    return handle ? to_string(env, handle_nouns[handle->kind]) : NULL;
}

static napi_value handle_fd(napi_env env, napi_callback_info info)
{
    struct handle *handle = handle_self(env, info);
    napi_value number;

    if (!handle)
        return NULL;
    return napi_create_int32(env, handle->fd, &number) == napi_ok ? number : throw_status(env);
}

static napi_value handle_close(napi_env env, napi_callback_info info)
{
    struct handle *handle = handle_self(env, info);

    if (!handle)
        return NULL;
    handle_close_fd(handle);
    return to_undefined(env);
}

bool binding_handle_define(napi_env env, napi_value addon)
{
    static const napi_property_descriptor properties[] = {
        GETTER("kind", handle_kind),
        GETTER("fd", handle_fd),
        METHOD("close", handle_close),
    };

    (void)addon;
    return class_define(env, CLASS_HANDLE, "Handle", properties, COUNT_OF(properties));
}
