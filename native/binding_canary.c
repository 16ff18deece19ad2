/* SPDX-License-Identifier: Apache-2.0 */
/* The canary and the witness. The JavaScript thread, save for functions named _execute: those run on the
 * pool's. */
#include "binding.h"

#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "canary.h"
#include "witness.h"

static const char *const call_words[] = {
    [CANARY_CONNECT] = "connect", [CANARY_SENDTO] = "sendto",       [CANARY_BIND] = "bind",
    [CANARY_SOCKET] = "socket",   [CANARY_OPERATION] = "operation",
};

struct canary_work {
    struct work work;
    char cgroup[PATH_MAX];
    uint32_t count;
    struct canary_call *calls;
    int32_t *answers;
};

static void canary_release(struct work *work)
{
    struct canary_work *own = (struct canary_work *)work;

    free(own->calls);
    free(own->answers);
    free(own);
}

static int canary_execute(struct work *work, struct error *error)
{
    struct canary_work *own = (struct canary_work *)work;

    return canary_run(own->cgroup, own->calls, own->count, own->answers, error);
}

static napi_value canary_finish(napi_env env, struct work *work)
{
    struct canary_work *own = (struct canary_work *)work;
    napi_value array;

    if (napi_create_array_with_length(env, own->count, &array) != napi_ok)
        return throw_status(env);
    for (uint32_t i = 0; i < own->count; i++) {
        napi_value answer = to_u32(env, (uint32_t)own->answers[i]);

        if (!answer || napi_set_element(env, array, i, answer) != napi_ok)
            return throw_status(env);
    }
    return array;
}

/* `family` is 4 or 6 here, as in the address that follows it. */
static bool value_address(napi_env env, napi_value object, uint32_t family, struct canary_call *call)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&call->address;
    struct sockaddr_in *in4 = (struct sockaddr_in *)&call->address;
    struct bytes address;
    napi_value value;
    uint32_t port;

    if (family != 4 && family != 6)
        return throw_type(env, "family must be 4 or 6");
    if (!value_property(env, object, "address", &value) || !value_bytes(env, value, "address", &address) ||
        !value_u32_property(env, object, "port", UINT16_MAX, &port))
        return false;
    if (address.size != (family == 4 ? 4 : 16))
        return throw_type(env, "address must be %d bytes long for family %u, not %zu", family == 4 ? 4 : 16,
                          family, address.size);
    if (family == 4) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons((uint16_t)port);
        memcpy(&in4->sin_addr, address.data, 4);
        call->address_bytes = sizeof(*in4);
    } else {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        memcpy(&in6->sin6_addr, address.data, 16);
        call->address_bytes = sizeof(*in6);
    }
    call->family = family == 4 ? AF_INET : AF_INET6;
    return true;
}

static bool value_canary_call(napi_env env, napi_value object, struct canary_call *call)
{
    uint32_t kind, family, type, protocol, operation, number;
    napi_value word, path;

    if (!value_property(env, object, "call", &word) ||
        !value_word(env, word, "call", call_words, COUNT_OF(call_words), &kind))
        return false;
    call->kind = (enum canary_kind)kind;
    if (call->kind == CANARY_OPERATION) {
        if (!value_u32_property(env, object, "operation", 63, &operation) ||
            !value_u32_property(env, object, "number", UINT32_MAX, &number) ||
            !value_property(env, object, "path", &path) ||
            !value_string(env, path, "path", call->path, sizeof(call->path)))
            return false;
        call->operation = (int)operation;
        call->number = number;
        return true;
    }
    if (!value_u32_property(env, object, "family", INT32_MAX, &family) ||
        !value_u32_property(env, object, "type", INT32_MAX, &type) ||
        !value_u32_property(env, object, "protocol", INT32_MAX, &protocol))
        return false;
    call->family = (int)family;
    call->type = (int)type;
    call->protocol = (int)protocol;
    return call->kind == CANARY_SOCKET || value_address(env, object, family, call);
}

static bool canary_arguments(const struct call *call, struct canary_work *own)
{
    napi_env env = call->env;

    if (!value_string(env, call->argument[0], "cgroup", own->cgroup, sizeof(own->cgroup)) ||
        !value_array(env, call->argument[1], "calls", CANARY_CALLS_MAX, &own->count))
        return false;
    own->calls = calloc(own->count + 1, sizeof(*own->calls));
    own->answers = calloc(own->count + 1, sizeof(*own->answers));
    if (!own->calls || !own->answers) {
        throw_status(env);
        return false;
    }
    for (uint32_t i = 0; i < own->count; i++) {
        napi_value element;

        if (napi_get_element(env, call->argument[1], i, &element) != napi_ok) {
            throw_status(env);
            return false;
        }
        if (!value_canary_call(env, element, &own->calls[i]))
            return false;
    }
    return true;
}

static napi_value canary(napi_env env, napi_callback_info info)
{
    struct canary_work *own;
    struct call call;

    if (!call_open(&call, env, info))
        return NULL;
    own = calloc(1, sizeof(*own));
    if (!own)
        return throw_status(env);
    own->work.execute = canary_execute;
    own->work.finish = canary_finish;
    own->work.release = canary_release;
    if (!canary_arguments(&call, own)) {
        canary_release(&own->work);
        return NULL;
    }
    return work_start(env, &own->work, "husk.canary", NULL);
}

struct witness_work {
    struct work work;
    char cgroup[PATH_MAX]; /* "": none */
    char name[WITNESS_NAME_BYTES];
    struct witness_answer answer;
};

static void witness_release(struct work *work)
{
    free(work);
}

static int witness_execute(struct work *work, struct error *error)
{
    struct witness_work *own = (struct witness_work *)work;

    return witness_run(*own->cgroup ? own->cgroup : NULL, own->name, &own->answer, error);
}

static napi_value witness_finish(napi_env env, struct work *work)
{
    struct witness_work *own = (struct witness_work *)work;
    struct record record = record_open(env);

    record_set(&record, "refused", to_u32(env, (uint32_t)own->answer.refused));
    record_set(&record, "signal", to_u32(env, (uint32_t)own->answer.signal));
    record_set(&record, "ran", to_bool(env, own->answer.ran));
    return record_close(&record);
}

static napi_value witness(napi_env env, napi_callback_info info)
{
    struct witness_work *own;
    struct call call;

    if (!call_open(&call, env, info))
        return NULL;
    own = calloc(1, sizeof(*own));
    if (!own)
        return throw_status(env);
    own->work.execute = witness_execute;
    own->work.finish = witness_finish;
    own->work.release = witness_release;
    if (!value_string(env, call.argument[0], "cgroup", own->cgroup, sizeof(own->cgroup)) ||
        !value_string(env, call.argument[1], "name", own->name, sizeof(own->name))) {
        free(own);
        return NULL;
    }
    return work_start(env, &own->work, "husk.witness", NULL);
}

bool binding_canary_define(napi_env env, napi_value addon)
{
    static const napi_property_descriptor functions[] = {
        METHOD("canary", canary),
        METHOD("witness", witness),
    };

    return napi_define_properties(env, addon, COUNT_OF(functions), functions) == napi_ok;
}
