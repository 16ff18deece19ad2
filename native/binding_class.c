/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machinery of the classes: an instance is made here only, carries a tag that says what it wraps, and
 * releases that when it is collected or its environment ends. The JavaScript thread. See binding.h.
 */
#include "binding.h"

/* Random, so that no other addon's object is taken for one of ours. */
static const napi_type_tag class_tags[CLASS_COUNT] = {
    [CLASS_HANDLE] = {0x5d0f6d0a3e7c4b11, 0x9c4b2f6e8a5d7e01},
    [CLASS_OBJECT] = {0x2b8e91c47f3a4d62, 0xa17c5b3d9e8f4602},
    [CLASS_WORDS] = {0x7e4c1f8b2a6d4593, 0xb3d9e6a0c7f15203},
    [CLASS_RING] = {0x41a7d3e95c0b4f84, 0x8e2f7a9c6b1d4e04},
    [CLASS_WATCH] = {0x6c2e90b1f47d4a38, 0x95a1d07e3c8b4f05},
};

static napi_value class_construct(napi_env env, napi_callback_info info)
{
    struct instance *instance = NULL;
    struct call call;

    if (!call_open(&call, env, info))
        return NULL;
    if (napi_get_instance_data(env, (void **)&instance) != napi_ok || !instance || !instance->constructing) {
        throw_type(env, "only the addon makes objects of this class");
        return NULL;
    }
    return call.self;
}

bool class_define(napi_env env, enum class class, const char *name,
                  const napi_property_descriptor *properties, size_t count)
{
    struct instance *instance = NULL;
    napi_value constructor;

    return napi_get_instance_data(env, (void **)&instance) == napi_ok && instance &&
           napi_define_class(env, name, NAPI_AUTO_LENGTH, class_construct, NULL, count, properties,
                             &constructor) == napi_ok &&
           napi_create_reference(env, constructor, 1, &instance->constructors[class]) == napi_ok;
}

static void class_finalize(napi_env env, void *data, void *hint)
{
    struct held *held = data;

    (void)env;
    (void)hint;
    held->release(held);
}

static bool class_new(napi_env env, enum class class, napi_value *object)
{
    struct instance *instance = NULL;
    napi_value constructor;
    napi_status status;

    if (napi_get_instance_data(env, (void **)&instance) != napi_ok || !instance ||
        napi_get_reference_value(env, instance->constructors[class], &constructor) != napi_ok)
        return false;
    instance->constructing = true;
    status = napi_new_instance(env, constructor, 0, NULL, object);
    instance->constructing = false;
    return status == napi_ok;
}

napi_value to_instance(napi_env env, struct held *held)
{
    napi_value object;

    if (class_new(env, held->class, &object) &&
        napi_type_tag_object(env, object, &class_tags[held->class]) == napi_ok &&
        napi_wrap(env, object, held, class_finalize, NULL, NULL) == napi_ok)
        return object;
    held->release(held);
    return throw_status(env);
}

struct held *value_held(napi_env env, napi_value value, enum class class, const char *name)
{
    static const char *const nouns[CLASS_COUNT] = {"handle", "BPF object", "Words", "Ring", "InterfaceWatch"};
    bool tagged = false;
    void *held = NULL;

    if (napi_check_object_type_tag(env, value, &class_tags[class], &tagged) != napi_ok || !tagged ||
        napi_unwrap(env, value, &held) != napi_ok) {
        throw_type(env, "%s must be a %s of this addon", name, nouns[class]);
        return NULL;
    }
    return held;
}
