/* SPDX-License-Identifier: Apache-2.0 */
/*
 * InterfaceWatch: from the watch's thread to a JavaScript function, by a threadsafe function of one place:
 * while a call waits, further changes are part of it.
 *
 * What belongs to a watch is shared by its JavaScript object and that function, and goes with the last of
 * them. close() stops and joins the thread; so does the end of the environment.
 *
 * The JavaScript thread, save for watch_changed() and watch_ended(): those run on the watch's.
 */
#include "binding.h"

#include <stdlib.h>

#include "watch.h"

struct watch {
    struct held held;
    size_t references; /* the JavaScript thread's alone */
    struct watch_thread *thread;
    napi_threadsafe_function function;
    bool closed;
};

static void watch_unreference(struct watch *watch)
{
    if (!--watch->references)
        free(watch);
}

static void watch_close(void *data)
{
    struct watch *watch = data;

    if (!watch->closed && watch->thread) {
        watch_stop(watch->thread);
        watch_join(watch->thread);
        watch_free(watch->thread);
        watch->thread = NULL;
    }
    watch->closed = true;
}

/* The object was collected, or its environment ends. */
static void watch_release(struct held *held)
{
    struct watch *watch = (struct watch *)held;

    watch_close(watch);
    watch_unreference(watch);
}

static void watch_changed(void *context)
{
    struct watch *watch = context;

    /* Full: a call that has not run yet tells of this as well. */
    napi_call_threadsafe_function(watch->function, NULL, napi_tsfn_nonblocking);
}

static void watch_ended(void *context)
{
    struct watch *watch = context;

    napi_release_threadsafe_function(watch->function, napi_tsfn_release);
}

static void watch_call(napi_env env, napi_value callback, void *context, void *data)
{
    struct watch *watch = context;
    napi_value receiver, exception = NULL;

    (void)data;
    if (!env || watch->closed)
        return;
    receiver = to_undefined(env);
    if (receiver && napi_call_function(env, receiver, callback, 0, NULL, NULL) == napi_ok)
        return;
    throw_status(env);
    /* As from any callback of Node's own: uncaughtException. */
    if (napi_get_and_clear_last_exception(env, &exception) == napi_ok)
        napi_fatal_exception(env, exception);
}

static void watch_finalize(napi_env env, void *data, void *context)
{
    struct watch *watch = data;

    (void)context;
    napi_remove_env_cleanup_hook(env, watch_close, watch);
    watch_close(watch);
    watch_unreference(watch);
}

static napi_value watch_interfaces(napi_env env, napi_callback_info info)
{
    napi_valuetype type = napi_undefined;
    struct watch_settings settings = {.changed = watch_changed, .ended = watch_ended};
    struct error error = {0};
    napi_value object, label;
    struct watch *watch;
    struct call call;

    if (!call_open(&call, env, info))
        return NULL;
    if (napi_typeof(env, call.argument[0], &type) != napi_ok || type != napi_function) {
        throw_type(env, "onChange must be a function");
        return NULL;
    }
    watch = calloc(1, sizeof(*watch));
    if (!watch)
        return throw_status(env);
    watch->held = (struct held){CLASS_WATCH, watch_release};
    watch->references = 1;
    object = to_instance(env, &watch->held);
    if (!object)
        return NULL;
    label = to_string(env, "husk.watch");
    if (!label ||
        napi_create_threadsafe_function(env, call.argument[0], NULL, label, 1, 1, watch, watch_finalize,
                                        watch, watch_call, &watch->function) != napi_ok)
        return throw_status(env);
    watch->references++;
    settings.context = watch;
    watch->thread = watch_open(&settings, &error);
    if (!watch->thread) {
        watch->closed = true;
        napi_release_threadsafe_function(watch->function, napi_tsfn_abort);
        return throw_error(env, &error);
    }
    /* Added after the function, and so run before the function's own end. */
    napi_add_env_cleanup_hook(env, watch_close, watch);
    napi_unref_threadsafe_function(env, watch->function);
    return object;
}

static napi_value close_watch(napi_env env, napi_callback_info info)
{
    struct watch *watch;
    struct call call;

    if (!call_open(&call, env, info))
        return NULL;
    watch = (struct watch *)value_held(env, call.self, CLASS_WATCH, "this");
    if (!watch)
        return NULL;
    watch_close(watch);
    return to_undefined(env);
}

bool binding_watch_define(napi_env env, napi_value addon)
{
    static const napi_property_descriptor methods[] = {
        METHOD("close", close_watch),
    };
    static const napi_property_descriptor functions[] = {
        METHOD("watchInterfaces", watch_interfaces),
    };

    return class_define(env, CLASS_WATCH, "InterfaceWatch", methods, COUNT_OF(methods)) &&
           napi_define_properties(env, addon, COUNT_OF(functions), functions) == napi_ok;
}
