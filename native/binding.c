/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addon's entry: one instance per JavaScript environment, its classes, and its functions.
 * The binding_*.c files turn JavaScript values into C ones and back; the work is done elsewhere.
 */
#include "binding.h"

#include <stdlib.h>

#include <bpf/libbpf.h>

static void instance_release(napi_env env, void *data, void *hint)
{
    struct instance *instance = data;

    (void)hint;
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        if (instance->constructors[i])
            napi_delete_reference(env, instance->constructors[i]);
    }
    free(instance);
}

NAPI_MODULE_INIT()
{
    struct instance *instance = calloc(1, sizeof(*instance));
    napi_value version;

    if (!instance || napi_set_instance_data(env, instance, instance_release, NULL) != napi_ok) {
        free(instance);
        return throw_status(env);
    }
    error_log_open();
    version = to_string(env, libbpf_version_string());
    if (!version || napi_set_named_property(env, exports, "libbpfVersion", version) != napi_ok)
        return throw_status(env);
    if (!binding_handle_define(env, exports) || !binding_object_define(env, exports) ||
        !binding_table_define(env, exports) || !binding_link_define(env, exports) ||
        !binding_ring_define(env, exports) || !binding_canary_define(env, exports) ||
        !binding_system_define(env, exports) || !binding_netif_define(env, exports) ||
        !binding_watch_define(env, exports))
        return throw_status(env);
    return exports;
}
