/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps: made, described, read and written, one entry at a time or all of them.
 *
 * Any thread; the kernel does the locking. Sizes of keys and values are the caller's to get right, by
 * table_shape_of(): nothing here knows how long a buffer is.
 */
#ifndef HUSK_NATIVE_TABLE_H
#define HUSK_NATIVE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct table_shape {
    char name[16];
    uint32_t type;
    uint32_t key_bytes;
    uint32_t value_bytes; /* as declared: of one CPU */
    uint32_t max_entries;
    uint32_t flags;
    /* Bytes of a value as user space reads it: all CPUs' where the map is per CPU, each padded to 8. */
    size_t row_bytes;
};

struct table_info {
    struct table_shape shape;
    uint32_t id;
    int frozen;
    uint64_t memlock_bytes;
};

/* Return a descriptor that the caller closes. `inner_fd` -1: not a map of maps. */
int table_create(const struct table_shape *shape, int inner_fd, struct error *error);
int table_open_id(uint32_t id, struct error *error);

int table_shape_of(int fd, struct table_shape *shape, struct error *error);
int table_info_of(int fd, struct table_info *info, struct error *error);

/* 1: found; 0: no such key; -1. The same for removal. */
int table_lookup(int fd, const void *key, void *value, struct error *error);
int table_remove(int fd, const void *key, struct error *error);
int table_update(int fd, const void *key, const void *value, uint64_t flags, struct error *error);
int table_freeze(int fd, struct error *error);

/* Sets an entry of a map of maps. Waits for a grace period: 13 to 177 ms were measured. */
int table_set_inner(int outer_fd, uint32_t index, int inner_fd, struct error *error);
/* The id of the inner map, 0 where the entry is empty. */
int table_inner_id(int outer_fd, uint32_t index, uint32_t *id, struct error *error);

/* Writes `count` packed entries, in batches where the kernel takes them. What was written before a failure
 * stays. */
int table_write_all(int fd, const struct table_shape *shape, const void *keys, const void *values,
                    size_t count, struct error *error);

struct table_rows {
    uint8_t *keys;   /* owned by the caller: free() */
    uint8_t *values; /* owned by the caller: free() */
    size_t count;
};

/*
 * Reads all entries. A map that changes meanwhile may give an entry twice or not at all, but never more
 * rows than it can hold: EAGAIN.
 */
int table_read_all(int fd, const struct table_shape *shape, struct table_rows *rows, struct error *error);

#endif
