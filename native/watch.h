/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that hears of links and addresses that changed, and says so. watch_open, watch_stop, watch_join
 * and watch_free are called from one thread, in this order; `changed` and `ended` run on the watch's own.
 */
#ifndef HUSK_NATIVE_WATCH_H
#define HUSK_NATIVE_WATCH_H

#include "error.h"

struct watch_thread;

struct watch_settings {
    void *context;
    void (*changed)(void *context);
    /* The thread's last act: it has been stopped, or its socket failed. */
    void (*ended)(void *context);
};

/* NULL on failure. The caller stops, joins and frees it. */
struct watch_thread *watch_open(const struct watch_settings *settings, struct error *error);
void watch_stop(struct watch_thread *watch);
void watch_join(struct watch_thread *watch);
void watch_free(struct watch_thread *watch);

#endif
