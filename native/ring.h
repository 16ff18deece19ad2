/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that empties kernel ring buffers into batches.
 *
 *   kernel ring 0 --+                        deliver()
 *   kernel ring 1 --+--> thread --> batch ------------> consumer --> ring_batch_done()
 *
 * A batch is `[u32 ring][u32 length][record, padded to 8]...`. What the consumer has not yet taken is
 * bounded, and each ring has an equal share of the bound, so that a flood in one cannot push out the
 * other's records. Beyond its share a ring's new records are dropped and counted; the oldest are kept.
 *
 * deliver() and ended() run on the ring's own thread; all else on one thread, the consumer's.
 */
#ifndef HUSK_NATIVE_RING_H
#define HUSK_NATIVE_RING_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* Rings of one thread. Packets and calls need two; a round looks at each. */
#define RING_COUNT_MAX 8

struct ring_batch {
    size_t bytes;
    size_t room;
    size_t ring_bytes[RING_COUNT_MAX]; /* of `bytes`, by ring */
    uint8_t *data;
};

struct ring_settings {
    size_t batch_bytes;
    uint32_t flush_ms;
    size_t pending_bytes_max;
    /* Takes the batch over, and must not block. Non-zero: it could not, and the batch is dropped and counted.
     */
    int (*deliver)(void *context, struct ring_batch *batch);
    /* The thread's last words: after the last deliver(). */
    void (*ended)(void *context);
    void *context;
};

struct ring_reader;

/* Keeps descriptors of its own of the maps. NULL on failure. */
struct ring_reader *ring_open(const int *map_fds, size_t count, const struct ring_settings *settings,
                              struct error *error);

/* Asks the thread to hand over what it holds and to end. */
void ring_stop(struct ring_reader *ring);
/* Waits for the end, and lets go of the kernel's rings. No deliver() follows. Once. */
void ring_join(struct ring_reader *ring);
/* After ring_join(), and after the last ring_batch_done(). */
void ring_free(struct ring_reader *ring);

/* The batch has reached its consumer and no longer counts as pending. Frees it; `data` only where asked to.
 */
void ring_batch_done(struct ring_reader *ring, struct ring_batch *batch, int free_data);

/* Records dropped so far. Any thread. */
uint64_t ring_dropped(const struct ring_reader *ring);

#endif
