/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the binding share: arguments in, values and errors out, and the classes.
 *
 * Everything here runs on the JavaScript thread of its instance, save for what says otherwise. State is
 * the instance's (`struct instance`), so that workers can each load the addon.
 *
 * Functions named value_ read an argument: they throw a sentence and return false where it is not what is
 * needed. `name` is what the sentence calls it. Functions named to_ make a JavaScript value and return
 * NULL where that fails, with an exception pending.
 */
#ifndef HUSK_NATIVE_BINDING_H
#define HUSK_NATIVE_BINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <node_api.h>

#include "error.h"
#include "table.h"

/* The classes of index.ts that hold something of the kernel's. */
enum class {
    CLASS_HANDLE,
    CLASS_OBJECT,
    CLASS_WORDS,
    CLASS_RING,
    CLASS_WATCH,
    CLASS_COUNT,
};

struct instance {
    napi_ref constructors[CLASS_COUNT];
    bool constructing; /* to_instance() is calling one of them */
};

/* Arguments of one call; those not given are `undefined`. */
#define CALL_ARGUMENTS_MAX 5
struct call {
    napi_env env;
    napi_value self;
    napi_value argument[CALL_ARGUMENTS_MAX];
};
bool call_open(struct call *call, napi_env env, napi_callback_info info);

/* Throws what napi itself complained of, unless an exception is pending; returns NULL. */
napi_value throw_status(napi_env env);
/* Throws a TypeError: "connect: port must be ...". Returns false. */
bool throw_type(napi_env env, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Throws a KernelError and releases `error`; returns NULL. */
napi_value throw_error(napi_env env, struct error *error);
/* The KernelError itself; releases `error`. */
napi_value to_error(napi_env env, struct error *error);

struct bytes {
    uint8_t *data;
    size_t size;
};

bool value_bytes(napi_env env, napi_value value, const char *name, struct bytes *bytes);
bool value_u32(napi_env env, napi_value value, const char *name, uint32_t max, uint32_t *number);
bool value_bool(napi_env env, napi_value value, const char *name, bool *truth);
/* No NUL inside; `size` counts the closing one. */
bool value_string(napi_env env, napi_value value, const char *name, char *text, size_t size);
/* One of `words`, by its index. */
bool value_word(napi_env env, napi_value value, const char *name, const char *const *words, size_t count,
                uint32_t *index);
bool value_is_undefined(napi_env env, napi_value value);
/* The property of an object; `undefined` where there is none. */
bool value_property(napi_env env, napi_value object, const char *name, napi_value *value);
bool value_u32_property(napi_env env, napi_value object, const char *name, uint32_t max, uint32_t *number);
bool value_array(napi_env env, napi_value value, const char *name, uint32_t max, uint32_t *length);

napi_value to_undefined(napi_env env);
napi_value to_null(napi_env env);
napi_value to_bool(napi_env env, bool truth);
napi_value to_u32(napi_env env, uint32_t number);
napi_value to_bigint(napi_env env, uint64_t number);
napi_value to_string(napi_env env, const char *text);
napi_value to_strings(napi_env env, const char *const *texts, size_t count);
/* A Uint8Array that holds a copy. */
napi_value to_bytes(napi_env env, const void *data, size_t size);
/* A Uint8Array over `data` itself, which it owns from now on, also where this fails. */
napi_value to_bytes_owned(napi_env env, uint8_t *data, size_t size);
/* An object under construction: no-ops once something failed, so that a struct reads as a list. */
struct record {
    napi_env env;
    napi_value object;
    bool failed;
};
struct record record_open(napi_env env);
void record_set(struct record *record, const char *name, napi_value value);
napi_value record_close(struct record *record);

/* What a class instance holds: classes embed it first. */
struct held {
    enum class class;
    void (*release)(struct held *held); /* frees it as well */
};

/* A JavaScript object of `class` that owns `held` (released where this fails). */
napi_value to_instance(napi_env env, struct held *held);
/* What `value` holds, if it is of that class. Throws. */
struct held *value_held(napi_env env, napi_value value, enum class class, const char *name);
bool class_define(napi_env env, enum class class, const char *name,
                  const napi_property_descriptor *properties, size_t count);

/* Handles. */
enum handle_kind {
    HANDLE_MAP,
    HANDLE_PROGRAM,
    HANDLE_LINK,
    HANDLE_ANY,
};
/* Takes the descriptor over, also where this fails. */
napi_value to_handle(napi_env env, enum handle_kind kind, int fd);
/* The descriptor of an open handle of that kind; the handle keeps it. */
bool value_handle(napi_env env, napi_value value, enum handle_kind kind, const char *name, int *fd);

/* An open map handle, with the shape that its buffers must have (asked of the kernel once a handle). */
struct map_argument {
    int fd;
    struct table_shape shape;
};
bool value_map(napi_env env, napi_value value, const char *name, struct map_argument *map);

/*
 * Work on a thread of the pool that settles a promise. `execute` runs there and touches nothing of
 * JavaScript; `finish` and `release` run here. `kept` values stay alive (and their bytes in place) until
 * then.
 */
struct work {
    int (*execute)(struct work *work, struct error *error);
    napi_value (*finish)(napi_env env, struct work *work);
    void (*release)(struct work *work); /* frees it as well */
    napi_async_work handle;
    napi_deferred deferred;
    napi_ref kept;
    struct error error;
    int result;
};
/* Takes `work` over, also where this fails. `kept` may be NULL. Returns the promise. */
napi_value work_start(napi_env env, struct work *work, const char *name, napi_value kept);

/* Each part's functions, as properties of the addon. */
#define METHOD(name, function) {name, NULL, function, NULL, NULL, NULL, napi_default_method, NULL}
#define GETTER(name, function) {name, NULL, NULL, function, NULL, NULL, napi_default, NULL}
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
bool binding_handle_define(napi_env env, napi_value addon);
bool binding_object_define(napi_env env, napi_value addon);
bool binding_table_define(napi_env env, napi_value addon);
bool binding_link_define(napi_env env, napi_value addon);
bool binding_ring_define(napi_env env, napi_value addon);
bool binding_canary_define(napi_env env, napi_value addon);
bool binding_system_define(napi_env env, napi_value addon);
bool binding_netif_define(napi_env env, napi_value addon);
bool binding_watch_define(napi_env env, napi_value addon);

#endif
