/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring: batches from the reader's thread to a JavaScript function.
 *
 * A threadsafe function carries them. What belongs to a ring is shared by its JavaScript object, by that
 * function and by each batch on its way, and goes with the last of these: when an environment ends, the
 * function calls its finalizer first and gives back what was queued afterwards, without an environment.
 *
 *   close(): stop -> the thread hands over the rest and ends -> the function drains -> ring_finalize() ->
 * resolved environment ends: ring_abandon() stops and joins -> ring_finalize() -> queued batches given back
 *
 * The JavaScript thread, save for ring_deliver() and ring_ended(): those run on the reader's.
 */
#include "binding.h"

#include <stdlib.h>

#include "ring.h"

#define BATCH_BYTES_DEFAULT (64u * 1024)
#define BATCH_BYTES_MAX (16u * 1024 * 1024)
#define FLUSH_MS_DEFAULT 100u
#define FLUSH_MS_MAX 60000u
#define PENDING_BYTES_DEFAULT (4u * 1024 * 1024)
#define PENDING_BYTES_MAX (1024u * 1024 * 1024)

struct ring {
    struct held held;
    size_t references; /* atomic */
    struct ring_reader *reader;
    napi_threadsafe_function function;
    napi_ref object;        /* keeps the JavaScript object while the thread runs */
    napi_ref promise;       /* what close() gave, until it is resolved */
    napi_deferred deferred; /* of that promise */
    bool joined;
};

static void ring_unreference(struct ring *ring)
{
    if (__atomic_sub_fetch(&ring->references, 1, __ATOMIC_ACQ_REL))
        return;
    if (ring->reader)
        ring_free(ring->reader);
    free(ring);
}

static void ring_release(struct held *held)
{
    ring_unreference((struct ring *)held);
}

static int ring_deliver(void *context, struct ring_batch *batch)
{
    struct ring *ring = context;

    __atomic_add_fetch(&ring->references, 1, __ATOMIC_RELAXED);
    if (napi_call_threadsafe_function(ring->function, batch, napi_tsfn_nonblocking) == napi_ok)
        return 0;
    /* The environment ends. The thread's own hold is never the last one. */
    ring_unreference(ring);
    return -1;
}

static void ring_ended(void *context)
{
    struct ring *ring = context;

    napi_release_threadsafe_function(ring->function, napi_tsfn_release);
}

/* A batch has arrived. Without an environment it is only given back. */
static void ring_call(napi_env env, napi_value callback, void *context, void *data)
{
    struct ring_batch *batch = data;
    struct ring *ring = context;
    napi_value argument = NULL, receiver = NULL, exception = NULL;

    if (env) {
        argument = to_bytes_owned(env, batch->data, batch->bytes);
        receiver = to_undefined(env);
    }
    ring_batch_done(ring->reader, batch, !env);
    if (env && (!argument || !receiver ||
                napi_call_function(env, receiver, callback, 1, &argument, NULL) != napi_ok)) {
        throw_status(env);
        /* As from any callback of Node's own: uncaughtException. */
        if (napi_get_and_clear_last_exception(env, &exception) == napi_ok)
            napi_fatal_exception(env, exception);
    }
    ring_unreference(ring);
}

static void ring_abandon(void *data)
{
    struct ring *ring = data;

    if (!ring->joined) {
        ring_stop(ring->reader);
        ring_join(ring->reader);
    }
    ring->joined = true;
}

static void ring_finalize(napi_env env, void *data, void *context)
{
    struct ring *ring = data;
    napi_value undefined;

    (void)context;
    if (ring->reader && !ring->joined)
        ring_join(ring->reader);
    ring->joined = true;
    napi_remove_env_cleanup_hook(env, ring_abandon, ring);
    if (ring->object)
        napi_delete_reference(env, ring->object);
    if (ring->promise)
        napi_delete_reference(env, ring->promise);
    ring->promise = NULL;
    if (ring->deferred && napi_get_undefined(env, &undefined) == napi_ok)
        napi_resolve_deferred(env, ring->deferred, undefined);
    ring_unreference(ring);
}

static bool option(napi_env env, napi_value options, const char *name, uint32_t max, uint32_t *number)
{
    napi_value value;

    return value_property(env, options, name, &value) &&
           (value_is_undefined(env, value) || value_u32(env, value, name, max, number));
}

static bool value_settings(napi_env env, napi_value options, struct ring_settings *settings)
{
    uint32_t batch_bytes = BATCH_BYTES_DEFAULT;
    uint32_t pending_bytes = PENDING_BYTES_DEFAULT;

    settings->flush_ms = FLUSH_MS_DEFAULT;
    if (!option(env, options, "batchBytes", BATCH_BYTES_MAX, &batch_bytes) ||
        !option(env, options, "flushMs", FLUSH_MS_MAX, &settings->flush_ms) ||
        !option(env, options, "pendingBytesMax", PENDING_BYTES_MAX, &pending_bytes))
        return false;
    settings->batch_bytes = batch_bytes;
    settings->pending_bytes_max = pending_bytes;
    settings->deliver = ring_deliver;
    settings->ended = ring_ended;
    return true;
}

static bool value_maps(napi_env env, napi_value maps, int *fds, uint32_t *count)
{
    if (!value_array(env, maps, "maps", RING_COUNT_MAX, count))
        return false;
    if (!*count)
        return throw_type(env, "maps must name one ring at least");
    for (uint32_t i = 0; i < *count; i++) {
        napi_value map;

        if (napi_get_element(env, maps, i, &map) != napi_ok) {
            throw_status(env);
            return false;
        }
        if (!value_handle(env, map, HANDLE_MAP, "map", &fds[i]))
            return false;
    }
    return true;
}

/* Makes what the thread needs on this side. Undone by ring_finalize(), which runs in each case once it is
 * made. */
static bool ring_prepare(napi_env env, struct ring *ring, napi_value object, napi_value callback)
{
    napi_value label = to_string(env, "husk.ring");

    if (!label || napi_create_threadsafe_function(env, callback, NULL, label, 0, 1, ring, ring_finalize, ring,
                                                  ring_call, &ring->function) != napi_ok)
        return false;
    __atomic_add_fetch(&ring->references, 1, __ATOMIC_RELAXED);
    return napi_create_reference(env, object, 1, &ring->object) == napi_ok;
}

static napi_value open_ring(napi_env env, napi_callback_info info)
{
    struct ring_settings settings = {0};
    napi_valuetype type = napi_undefined;
    struct error error = {0};
    int fds[RING_COUNT_MAX];
    napi_value object;
    struct ring *ring;
    struct call call;
    uint32_t count;

    if (!call_open(&call, env, info) || !value_maps(env, call.argument[0], fds, &count) ||
        !value_settings(env, call.argument[1], &settings))
        return NULL;
    if (napi_typeof(env, call.argument[2], &type) != napi_ok || type != napi_function) {
        throw_type(env, "onBatch must be a function");
        return NULL;
    }
    ring = calloc(1, sizeof(*ring));
    if (!ring)
        return throw_status(env);
    ring->held = (struct held){CLASS_RING, ring_release};
    ring->references = 1;
    object = to_instance(env, &ring->held);
    if (!object)
        return NULL;
    if (!ring_prepare(env, ring, object, call.argument[2])) {
        throw_status(env);
        goto fail;
    }
    settings.context = ring;
    ring->reader = ring_open(fds, count, &settings, &error);
    if (!ring->reader) {
        throw_error(env, &error);
        goto fail;
    }
    /* Added after the function, and so run before the function's own end. */
    napi_add_env_cleanup_hook(env, ring_abandon, ring);
    return object;
fail:
    ring->joined = true;
    if (ring->function)
        napi_release_threadsafe_function(ring->function, napi_tsfn_abort);
    return NULL;
}

static struct ring *ring_self(napi_env env, napi_callback_info info)
{
    struct call call;

    return call_open(&call, env, info) ? (struct ring *)value_held(env, call.self, CLASS_RING, "this") : NULL;
}

static napi_value dropped(napi_env env, napi_callback_info info)
{
    struct ring *ring = ring_self(env, info);

    return ring ? to_bigint(env, ring_dropped(ring->reader)) : NULL;
}

static napi_value close_ring(napi_env env, napi_callback_info info)
{
    struct ring *ring = ring_self(env, info);
    napi_deferred deferred;
    napi_value promise;

    if (!ring)
        return NULL;
    if (ring->joined) {
        if (napi_create_promise(env, &deferred, &promise) != napi_ok ||
            napi_resolve_deferred(env, deferred, to_undefined(env)) != napi_ok)
            return throw_status(env);
        return promise;
    }
    if (ring->promise)
        return napi_get_reference_value(env, ring->promise, &promise) == napi_ok ? promise
                                                                                 : throw_status(env);
    if (napi_create_promise(env, &ring->deferred, &promise) != napi_ok ||
        napi_create_reference(env, promise, 1, &ring->promise) != napi_ok)
        return throw_status(env);
    ring_stop(ring->reader);
    return promise;
}

bool binding_ring_define(napi_env env, napi_value addon)
{
    static const napi_property_descriptor methods[] = {
        METHOD("dropped", dropped),
        METHOD("close", close_ring),
    };
    static const napi_property_descriptor functions[] = {
        METHOD("openRing", open_ring),
    };

    return class_define(env, CLASS_RING, "Ring", methods, COUNT_OF(methods)) &&
           napi_define_properties(env, addon, COUNT_OF(functions), functions) == napi_ok;
}
