/* SPDX-License-Identifier: Apache-2.0 */
/* See watch.h for the threads. */
#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "netlink.h"

/* Changes come in bursts (a link, its flags, its addresses): what follows so closely is one. */
#define WATCH_SETTLE_MS 5

struct watch_thread {
    struct watch_settings settings;
    int socket_fd;
    int stop_fd;
    pthread_t thread;
};

static void *watch_main(void *context)
{
    struct watch_thread *watch = context;
    struct pollfd waits[2] = {{.fd = watch->stop_fd, .events = POLLIN},
                              {.fd = watch->socket_fd, .events = POLLIN}};

    for (;;) {
        int ready = poll(waits, 2, -1);

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0 || waits[0].revents)
            break;
        /* Stopped while it settles: out at once. */
        if (poll(waits, 1, WATCH_SETTLE_MS) > 0)
            break;
        if (netlink_drain(watch->socket_fd) < 0)
            break;
        watch->settings.changed(watch->settings.context);
    }
    watch->settings.ended(watch->settings.context);
    return NULL;
}

void watch_free(struct watch_thread *watch)
{
    if (watch->socket_fd >= 0)
        close(watch->socket_fd);
    if (watch->stop_fd >= 0)
        close(watch->stop_fd);
    free(watch);
}

/* Signals are for Node's own thread. */
static int watch_start(struct watch_thread *watch)
{
    sigset_t all, before;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&watch->thread, NULL, watch_main, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

struct watch_thread *watch_open(const struct watch_settings *settings, struct error *error)
{
    struct watch_thread *watch = calloc(1, sizeof(*watch));
    int result;

    if (!watch) {
        error_set(error, ENOMEM, "watch", "interfaces");
        return NULL;
    }
    watch->settings = *settings;
    watch->stop_fd = -1;
    watch->socket_fd = netlink_listen(error);
    if (watch->socket_fd < 0) {
        watch_free(watch);
        return NULL;
    }
    watch->stop_fd = eventfd(0, EFD_CLOEXEC);
    result = watch->stop_fd < 0 ? errno : watch_start(watch);
    if (result) {
        error_set(error, result, "watch", "interfaces");
        watch_free(watch);
        return NULL;
    }
    return watch;
}

void watch_stop(struct watch_thread *watch)
{
    uint64_t one = 1;

    /* Fails only where the counter is full, and then the thread has been told. */
    while (write(watch->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void watch_join(struct watch_thread *watch)
{
    pthread_join(watch->thread, NULL);
}
