/* SPDX-License-Identifier: Apache-2.0 */
/* Promises settled by work on a thread of the pool. See binding.h; only work_execute() runs off the
 * JavaScript thread. */
#include "binding.h"

#include <errno.h>

static void work_execute(napi_env env, void *data)
{
    struct work *work = data;

    (void)env;
    work->result = work->execute(work, &work->error);
}

/* Takes an exception that making the answer has left behind. */
static napi_value work_exception(napi_env env)
{
    napi_value exception = NULL;

    throw_status(env);
    return napi_get_and_clear_last_exception(env, &exception) == napi_ok ? exception : to_undefined(env);
}

static void work_free(napi_env env, struct work *work)
{
    if (work->kept)
        napi_delete_reference(env, work->kept);
    if (work->handle)
        napi_delete_async_work(env, work->handle);
    error_release(&work->error);
    work->release(work);
}

static void work_complete(napi_env env, napi_status status, void *data)
{
    struct work *work = data;
    napi_value answer;

    /* Cancelled: the environment ends, and nobody hears the promise. */
    if (status == napi_cancelled)
        work->result = error_set(&work->error, ECANCELED, "run", "work of an environment that ends");
    if (work->result) {
        answer = to_error(env, &work->error);
        napi_reject_deferred(env, work->deferred, answer ? answer : work_exception(env));
    } else if ((answer = work->finish(env, work)) != NULL) {
        napi_resolve_deferred(env, work->deferred, answer);
    } else {
        napi_reject_deferred(env, work->deferred, work_exception(env));
    }
    work_free(env, work);
}

napi_value work_start(napi_env env, struct work *work, const char *name, napi_value kept)
{
    napi_value promise, label;

    label = to_string(env, name);
    if (!label || (kept && napi_create_reference(env, kept, 1, &work->kept) != napi_ok) ||
        napi_create_async_work(env, NULL, label, work_execute, work_complete, work, &work->handle) !=
            napi_ok ||
        napi_create_promise(env, &work->deferred, &promise) != napi_ok ||
        napi_queue_async_work(env, work->handle) != napi_ok) {
        work_free(env, work);
        return throw_status(env);
    }
    return promise;
}
