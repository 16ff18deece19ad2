/* SPDX-License-Identifier: Apache-2.0 */
/* JavaScript values read and made; exceptions. The JavaScript thread. See binding.h. */
#define _GNU_SOURCE
#include "binding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool call_open(struct call *call, napi_env env, napi_callback_info info)
{
    size_t count = CALL_ARGUMENTS_MAX;

    call->env = env;
    if (napi_get_cb_info(env, info, &count, call->argument, &call->self, NULL) != napi_ok) {
        throw_status(env);
        return false;
    }
    return true;
}

napi_value throw_status(napi_env env)
{
    const napi_extended_error_info *info = NULL;
    bool pending = false;

    napi_is_exception_pending(env, &pending);
    if (!pending) {
        napi_get_last_error_info(env, &info);
        napi_throw_error(env, NULL, info && info->error_message ? info->error_message : "out of memory");
    }
    return NULL;
}

bool throw_type(napi_env env, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    napi_throw_type_error(env, NULL, text);
    return false;
}

napi_value to_error(napi_env env, struct error *error)
{
    char number[16];
    const char *code = error_name(error->code, number);
    const char *object = error->object ? error->object : "";
    napi_value result = NULL;
    char *message = NULL;
    struct record record = {.env = env};

    if (asprintf(&message, "%s %s: %s (%s)", error->operation, object, code, error_text(error->code)) < 0)
        message = NULL;
    if (napi_create_error(env, to_string(env, code), to_string(env, message ? message : code), &result) ==
        napi_ok) {
        record.object = result;
        record_set(&record, "name", to_string(env, "KernelError"));
        record_set(&record, "operation", to_string(env, error->operation));
        record_set(&record, "object", to_string(env, object));
        record_set(&record, "errno", to_u32(env, (uint32_t)error->code));
        if (error->log)
            record_set(&record, "log", to_string(env, error->log));
    }
    free(message);
    error_release(error);
    return record.failed ? NULL : result;
}

napi_value throw_error(napi_env env, struct error *error)
{
    napi_value value = to_error(env, error);

    if (!value || napi_throw(env, value) != napi_ok)
        throw_status(env);
    return NULL;
}

bool value_bytes(napi_env env, napi_value value, const char *name, struct bytes *bytes)
{
    napi_typedarray_type type;
    bool is_array = false;
    void *data;

    if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array ||
        napi_get_typedarray_info(env, value, &type, &bytes->size, &data, NULL, NULL) != napi_ok ||
        type != napi_uint8_array)
        return throw_type(env, "%s must be a Uint8Array", name);
    bytes->data = data;
    return true;
}

bool value_u32(napi_env env, napi_value value, const char *name, uint32_t max, uint32_t *number)
{
    double wide;

    /* The order of the tests matters: NaN fails each comparison. */
    if (napi_get_value_double(env, value, &wide) != napi_ok || !(wide >= 0 && wide <= max) ||
        wide != (double)(uint32_t)wide)
        return throw_type(env, "%s must be a whole number from 0 to %u", name, max);
    *number = (uint32_t)wide;
    return true;
}

bool value_bool(napi_env env, napi_value value, const char *name, bool *truth)
{
    return napi_get_value_bool(env, value, truth) == napi_ok || throw_type(env, "%s must be a boolean", name);
}

bool value_string(napi_env env, napi_value value, const char *name, char *text, size_t size)
{
    size_t length;

    if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok)
        return throw_type(env, "%s must be a string", name);
    if (length >= size)
        return throw_type(env, "%s must not be longer than %zu bytes", name, size - 1);
    if (napi_get_value_string_utf8(env, value, text, size, &length) != napi_ok)
        return throw_type(env, "%s must be a string", name);
    return strlen(text) == length || throw_type(env, "%s must not hold a NUL byte", name);
}

bool value_word(napi_env env, napi_value value, const char *name, const char *const *words, size_t count,
                uint32_t *index)
{
    char list[128] = "";
    char text[32];

    for (size_t i = 0; i < count; i++) {
        strncat(list, i ? " or " : "", sizeof(list) - strlen(list) - 1);
        strncat(list, words[i], sizeof(list) - strlen(list) - 1);
    }
    if (napi_get_value_string_utf8(env, value, text, sizeof(text), NULL) == napi_ok) {
        for (size_t i = 0; i < count; i++) {
            if (strcmp(text, words[i]) == 0) {
                *index = (uint32_t)i;
                return true;
            }
        }
    }
    return throw_type(env, "%s must be %s", name, list);
}

bool value_is_undefined(napi_env env, napi_value value)
{
    napi_valuetype type;

    return napi_typeof(env, value, &type) == napi_ok && type == napi_undefined;
}

bool value_property(napi_env env, napi_value object, const char *name, napi_value *value)
{
    napi_valuetype type;

    if (napi_typeof(env, object, &type) != napi_ok || type != napi_object)
        return throw_type(env, "an object with %s is needed", name);
    if (napi_get_named_property(env, object, name, value) != napi_ok) {
        throw_status(env);
        return false;
    }
    return true;
}

bool value_u32_property(napi_env env, napi_value object, const char *name, uint32_t max, uint32_t *number)
{
    napi_value value;

    return value_property(env, object, name, &value) && value_u32(env, value, name, max, number);
}

bool value_array(napi_env env, napi_value value, const char *name, uint32_t max, uint32_t *length)
{
    bool is_array = false;

    if (napi_is_array(env, value, &is_array) != napi_ok || !is_array ||
        napi_get_array_length(env, value, length) != napi_ok)
        return throw_type(env, "%s must be an array", name);
    return *length <= max || throw_type(env, "%s must not have more than %u elements", name, max);
}

/* The value, or NULL with an exception pending. */
static napi_value made(napi_env env, napi_status status, napi_value value)
{
    return status == napi_ok ? value : throw_status(env);
}

napi_value to_undefined(napi_env env)
{
    napi_value value = NULL;
    napi_status status = napi_get_undefined(env, &value);

    return made(env, status, value);
}

napi_value to_null(napi_env env)
{
    napi_value value = NULL;
    napi_status status = napi_get_null(env, &value);

    return made(env, status, value);
}

napi_value to_bool(napi_env env, bool truth)
{
    napi_value value = NULL;
    napi_status status = napi_get_boolean(env, truth, &value);

    return made(env, status, value);
}

napi_value to_u32(napi_env env, uint32_t number)
{
    napi_value value = NULL;
    napi_status status = napi_create_uint32(env, number, &value);

    return made(env, status, value);
}

napi_value to_bigint(napi_env env, uint64_t number)
{
    napi_value value = NULL;
    napi_status status = napi_create_bigint_uint64(env, number, &value);

    return made(env, status, value);
}

napi_value to_string(napi_env env, const char *text)
{
    napi_value value = NULL;
    napi_status status = napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);

    return made(env, status, value);
}

napi_value to_strings(napi_env env, const char *const *texts, size_t count)
{
    napi_value array = NULL;

    if (napi_create_array_with_length(env, count, &array) != napi_ok)
        return throw_status(env);
    for (size_t i = 0; i < count; i++) {
        napi_value text = to_string(env, texts[i]);

        if (!text || napi_set_element(env, array, (uint32_t)i, text) != napi_ok)
            return throw_status(env);
    }
    return array;
}

static napi_value to_uint8_array(napi_env env, napi_value buffer, size_t size)
{
    napi_value array = NULL;
    napi_status status = napi_create_typedarray(env, napi_uint8_array, size, buffer, 0, &array);

    return made(env, status, array);
}

napi_value to_bytes(napi_env env, const void *data, size_t size)
{
    napi_value buffer = NULL;
    void *room = NULL;

    if (napi_create_arraybuffer(env, size, &room, &buffer) != napi_ok)
        return throw_status(env);
    if (size)
        memcpy(room, data, size);
    return to_uint8_array(env, buffer, size);
}

static void bytes_finalize(napi_env env, void *data, void *hint)
{
    (void)env;
    (void)hint;
    free(data);
}

napi_value to_bytes_owned(napi_env env, uint8_t *data, size_t size)
{
    napi_value buffer = NULL;
    napi_value copy;

    if (size && napi_create_external_arraybuffer(env, data, size, bytes_finalize, NULL, &buffer) == napi_ok)
        return to_uint8_array(env, buffer, size);
    /* Nothing to own, or a runtime that takes no memory but its own. */
    copy = to_bytes(env, data, size);
    free(data);
    return copy;
}

struct record record_open(napi_env env)
{
    struct record record = {.env = env};

    if (napi_create_object(env, &record.object) != napi_ok) {
        throw_status(env);
        record.failed = true;
    }
    return record;
}

void record_set(struct record *record, const char *name, napi_value value)
{
    if (record->failed)
        return;
    if (!value || napi_set_named_property(record->env, record->object, name, value) != napi_ok) {
        throw_status(record->env);
        record->failed = true;
    }
}

napi_value record_close(struct record *record)
{
    return record->failed ? NULL : record->object;
}
