/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread; the log is each thread's own. See error.h. */
#define _GNU_SOURCE
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

static __thread char log_text[ERROR_LOG_BYTES + 1];
static __thread size_t log_length;

static void log_append(const char *text, size_t length)
{
    if (length >= ERROR_LOG_BYTES) {
        memcpy(log_text, text + length - ERROR_LOG_BYTES, ERROR_LOG_BYTES);
        log_length = ERROR_LOG_BYTES;
    } else {
        size_t over = log_length + length > ERROR_LOG_BYTES ? log_length + length - ERROR_LOG_BYTES : 0;

        memmove(log_text, log_text + over, log_length - over);
        memcpy(log_text + log_length - over, text, length);
        log_length += length - over;
    }
    log_text[log_length] = '\0';
}

static int log_print(enum libbpf_print_level level, const char *format, va_list arguments)
{
    char *text = NULL;
    int length;

    if (level == LIBBPF_DEBUG)
        return 0;
    /* A verifier's log comes as one argument, megabytes long at times; only its end is wanted. */
    length = vasprintf(&text, format, arguments);
    if (length < 0)
        return 0;
    log_append(text, (size_t)length);
    free(text);
    return length;
}

void error_log_open(void)
{
    libbpf_set_print(log_print);
}

void error_log_clear(void)
{
    log_length = 0;
    log_text[0] = '\0';
}

const char *error_log_text(void)
{
    return log_text;
}

int error_set(struct error *error, int code, const char *operation, const char *object, ...)
{
    va_list arguments;

    error->code = code < 0 ? -code : code;
    error->operation = operation;
    va_start(arguments, object);
    if (vasprintf(&error->object, object, arguments) < 0)
        error->object = NULL;
    va_end(arguments);
    error->log = log_length ? strdup(log_text) : NULL;
    return -1;
}

void error_release(struct error *error)
{
    free(error->object);
    free(error->log);
    memset(error, 0, sizeof(*error));
}

const char *error_name(int code, char *text)
{
    const char *name = code == ERROR_ENOTSUPP ? "ENOTSUPP" : strerrorname_np(code);

    if (name)
        return name;
    snprintf(text, 16, "E%d", code);
    return text;
}

const char *error_text(int code)
{
    const char *text = code == ERROR_ENOTSUPP ? "Operation is not supported" : strerrordesc_np(code);

    return text ? text : "unknown error";
}
