/* SPDX-License-Identifier: Apache-2.0 */
/* See ring.h for the threads. */
#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

/* Records taken from one ring before the next is looked at: a flooded ring must not starve the other. */
#define RING_TURN_RECORDS 256

#define RING_HEADER_BYTES 8

/* One kernel ring, as libbpf's callback gets it. */
struct ring_source {
    struct ring_reader *reader;
    uint32_t index;
    int map_fd;           /* our own: the caller may close its handle */
    struct ring *ring;    /* belongs to reader->rings */
    size_t pending_bytes; /* atomic: in batches not yet done, the one being filled included */
};

struct ring_reader {
    struct ring_settings settings;
    struct ring_source sources[RING_COUNT_MAX];
    size_t count;
    size_t share_bytes;
    struct ring_buffer *rings;
    int epoll_fd;
    int stop_fd;
    pthread_t thread;
    struct ring_batch *batch; /* the thread's; NULL while nothing waits */
    struct timespec batch_since;
    uint64_t dropped; /* atomic */
};

static void ring_drop(struct ring_reader *ring, uint64_t records)
{
    __atomic_add_fetch(&ring->dropped, records, __ATOMIC_RELAXED);
}

void ring_batch_done(struct ring_reader *ring, struct ring_batch *batch, int free_data)
{
    for (size_t i = 0; i < ring->count; i++)
        __atomic_sub_fetch(&ring->sources[i].pending_bytes, batch->ring_bytes[i], __ATOMIC_RELAXED);
    if (free_data)
        free(batch->data);
    free(batch);
}

uint64_t ring_dropped(const struct ring_reader *ring)
{
    return __atomic_load_n(&ring->dropped, __ATOMIC_RELAXED);
}

static uint64_t ring_records_in(const struct ring_batch *batch)
{
    uint64_t records = 0;

    for (size_t at = 0; at + RING_HEADER_BYTES <= batch->bytes; records++) {
        uint32_t length;

        memcpy(&length, batch->data + at + 4, sizeof(length));
        at += RING_HEADER_BYTES + (length + 7u) / 8 * 8;
    }
    return records;
}

static void ring_flush(struct ring_reader *ring)
{
    struct ring_batch *batch = ring->batch;

    if (!batch)
        return;
    ring->batch = NULL;
    if (ring->settings.deliver(ring->settings.context, batch)) {
        ring_drop(ring, ring_records_in(batch));
        ring_batch_done(ring, batch, 1);
    }
}

/* Makes sure that `bytes` more fit into the batch. */
static int ring_batch_room(struct ring_reader *ring, size_t bytes)
{
    struct ring_batch *batch = ring->batch;
    size_t room;
    uint8_t *data;

    if (!batch) {
        batch = calloc(1, sizeof(*batch));
        if (!batch)
            return -ENOMEM;
        ring->batch = batch;
        clock_gettime(CLOCK_MONOTONIC, &ring->batch_since);
    }
    if (batch->bytes + bytes <= batch->room)
        return 0;
    /* Grown by doubling: a quiet device's batch is one record, a flood's is a full one. */
    room = batch->room ? batch->room * 2 : 512;
    if (room < batch->bytes + bytes)
        room = batch->bytes + bytes;
    data = realloc(batch->data, room);
    if (!data)
        return -ENOMEM;
    batch->data = data;
    batch->room = room;
    return 0;
}

/* libbpf's callback: one record. Never fails, since libbpf would go back to the same record. */
static int ring_take(void *context, void *record, size_t length)
{
    struct ring_source *source = context;
    struct ring_reader *ring = source->reader;
    size_t padded = (length + 7) / 8 * 8;
    size_t bytes = RING_HEADER_BYTES + padded;
    uint32_t header[2] = {source->index, (uint32_t)length};
    uint8_t *place;

    if (__atomic_load_n(&source->pending_bytes, __ATOMIC_RELAXED) + bytes > ring->share_bytes ||
        ring_batch_room(ring, bytes)) {
        ring_drop(ring, 1);
        return 0;
    }
    place = ring->batch->data + ring->batch->bytes;
    memcpy(place, header, sizeof(header));
    memcpy(place + RING_HEADER_BYTES, record, length);
    memset(place + RING_HEADER_BYTES + length, 0, padded - length);
    ring->batch->bytes += bytes;
    ring->batch->ring_bytes[source->index] += bytes;
    __atomic_add_fetch(&source->pending_bytes, bytes, __ATOMIC_RELAXED);
    if (ring->batch->bytes >= ring->settings.batch_bytes)
        ring_flush(ring);
    return 0;
}

/* Milliseconds until the batch is due: -1 where there is none. */
static int ring_wait_ms(const struct ring_reader *ring)
{
    struct timespec now;
    int64_t age_ms;

    if (!ring->batch)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &now);
    age_ms = (int64_t)(now.tv_sec - ring->batch_since.tv_sec) * 1000 +
             (now.tv_nsec - ring->batch_since.tv_nsec) / 1000000;
    return age_ms >= ring->settings.flush_ms ? 0 : (int)(ring->settings.flush_ms - age_ms);
}

/* One turn of every ring. Returns whether one of them may hold more. */
static int ring_turn(struct ring_reader *ring)
{
    int more = 0;

    for (size_t i = 0; i < ring->count; i++) {
        if (ring__consume_n(ring->sources[i].ring, RING_TURN_RECORDS) >= RING_TURN_RECORDS)
            more = 1;
    }
    return more;
}

static void *ring_main(void *context)
{
    struct ring_reader *ring = context;
    int stop = 0;

    while (!stop) {
        struct epoll_event events[2];
        int ready = epoll_wait(ring->epoll_fd, events, 2, ring_wait_ms(ring));

        for (int i = 0; i < ready; i++)
            stop |= events[i].data.fd == ring->stop_fd;
        if (!stop)
            ring_turn(ring);
        if (ring_wait_ms(ring) == 0)
            ring_flush(ring);
    }
    /* What was in the rings when we were told to stop; a flood that goes on must not hold the end up. */
    for (int turns = 0; turns < 64 && ring_turn(ring); turns++)
        ;
    ring_flush(ring);
    ring->settings.ended(ring->settings.context);
    return NULL;
}

static int ring_watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int ring_add(struct ring_reader *ring, int map_fd)
{
    struct ring_source *source = &ring->sources[ring->count];
    int result = 0;

    source->reader = ring;
    source->index = (uint32_t)ring->count;
    source->map_fd = fcntl(map_fd, F_DUPFD_CLOEXEC, 3);
    if (source->map_fd < 0)
        return -errno;
    if (ring->rings)
        result = ring_buffer__add(ring->rings, source->map_fd, ring_take, source);
    else if (!(ring->rings = ring_buffer__new(source->map_fd, ring_take, source, NULL)))
        result = -errno;
    if (result) {
        close(source->map_fd);
        return result;
    }
    source->ring = ring_buffer__ring(ring->rings, (unsigned)ring->count);
    ring->count++;
    return 0;
}

/* All signals are Node's main thread's business. */
static int ring_start(struct ring_reader *ring)
{
    sigset_t all, before;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    result = pthread_create(&ring->thread, NULL, ring_main, ring);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!result)
        pthread_setname_np(ring->thread, "husk-ring");
    return -result;
}

static void ring_let_go(struct ring_reader *ring)
{
    ring_buffer__free(ring->rings);
    ring->rings = NULL;
    for (size_t i = 0; i < ring->count; i++)
        close(ring->sources[i].map_fd);
    if (ring->epoll_fd >= 0)
        close(ring->epoll_fd);
    if (ring->stop_fd >= 0)
        close(ring->stop_fd);
    ring->epoll_fd = -1;
    ring->stop_fd = -1;
}

struct ring_reader *ring_open(const int *map_fds, size_t count, const struct ring_settings *settings,
                              struct error *error)
{
    struct ring_reader *ring = calloc(1, sizeof(*ring));
    int result = 0;

    error_log_clear();
    if (!ring) {
        error_set(error, ENOMEM, "open rings", "%zu maps", count);
        return NULL;
    }
    ring->settings = *settings;
    ring->share_bytes = settings->pending_bytes_max / (count ? count : 1);
    ring->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    ring->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (ring->epoll_fd < 0 || ring->stop_fd < 0) {
        result = -errno;
        goto fail;
    }
    for (size_t i = 0; i < count && !result; i++)
        result = ring_add(ring, map_fds[i]);
    if (!result)
        result = ring_watch(ring->epoll_fd, ring_buffer__epoll_fd(ring->rings));
    if (!result)
        result = ring_watch(ring->epoll_fd, ring->stop_fd);
    if (!result)
        result = ring_start(ring);
    if (!result)
        return ring;
fail:
    error_set(error, result, "open rings", "%zu maps", count);
    ring_let_go(ring);
    ring_free(ring);
    return NULL;
}

void ring_stop(struct ring_reader *ring)
{
    uint64_t one = 1;

    /* Fails only where the counter is full, and then the thread has been told. */
    while (write(ring->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void ring_join(struct ring_reader *ring)
{
    pthread_join(ring->thread, NULL);
    ring_let_go(ring);
}

void ring_free(struct ring_reader *ring)
{
    free(ring);
}
