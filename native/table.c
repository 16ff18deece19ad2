/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See table.h. */
#define _GNU_SOURCE
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "fdinfo.h"

/* Entries of one batch call: large enough that the call's own cost vanishes, small enough to be interrupted.
 */
#define TABLE_BATCH_ENTRIES 16384

static int table_is_per_cpu(uint32_t type)
{
    return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
           type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

/* How a kernel says that this kind of map has no batch call. EINVAL may also be a bad entry: found one by
 * one. */
static int table_lacks_batch(int result)
{
    return result == -EINVAL || result == -EOPNOTSUPP || result == -ERROR_ENOTSUPP;
}

int table_create(const struct table_shape *shape, int inner_fd, struct error *error)
{
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = shape->flags);
    int fd;

    error_log_clear();
    if (inner_fd >= 0)
        options.inner_map_fd = inner_fd;
    fd = bpf_map_create(shape->type, shape->name, shape->key_bytes, shape->value_bytes, shape->max_entries,
                        &options);
    return fd < 0 ? error_set(error, fd, "create map", "%s", shape->name) : fd;
}

int table_open_id(uint32_t id, struct error *error)
{
    int fd;

    error_log_clear();
    fd = bpf_map_get_fd_by_id(id);
    return fd < 0 ? error_set(error, fd, "open map", "id %u", id) : fd;
}

static int table_describe(int fd, struct bpf_map_info *kernel, struct table_shape *shape, struct error *error)
{
    uint32_t size = sizeof(*kernel);
    int result;

    error_log_clear();
    memset(kernel, 0, sizeof(*kernel));
    result = bpf_map_get_info_by_fd(fd, kernel, &size);
    if (result)
        return error_set(error, result, "describe map", "fd %d", fd);
    memset(shape, 0, sizeof(*shape));
    memcpy(shape->name, kernel->name, sizeof(shape->name) - 1);
    shape->type = kernel->type;
    shape->key_bytes = kernel->key_size;
    shape->value_bytes = kernel->value_size;
    shape->max_entries = kernel->max_entries;
    shape->flags = kernel->map_flags;
    shape->row_bytes = kernel->value_size;
    if (table_is_per_cpu(kernel->type)) {
        int cpus = libbpf_num_possible_cpus();

        if (cpus < 0)
            return error_set(error, cpus, "count CPUs", "map %s", shape->name);
        shape->row_bytes = ((kernel->value_size + 7) / 8 * 8) * (size_t)cpus;
    }
    return 0;
}

int table_shape_of(int fd, struct table_shape *shape, struct error *error)
{
    struct bpf_map_info kernel;

    return table_describe(fd, &kernel, shape, error);
}

int table_info_of(int fd, struct table_info *info, struct error *error)
{
    struct bpf_map_info kernel;
    unsigned long long number;

    if (table_describe(fd, &kernel, &info->shape, error))
        return -1;
    info->id = kernel.id;
    /* Neither line is in every kernel's answer; absent means no. */
    info->frozen = fdinfo_number(fd, "frozen", &number) == 0 && number != 0;
    info->memlock_bytes = fdinfo_number(fd, "memlock", &number) == 0 ? number : 0;
    return 0;
}

int table_lookup(int fd, const void *key, void *value, struct error *error)
{
    int result;

    error_log_clear();
    result = bpf_map_lookup_elem(fd, key, value);
    if (result == -ENOENT)
        return 0;
    return result ? error_set(error, result, "look up", "map fd %d", fd) : 1;
}

int table_remove(int fd, const void *key, struct error *error)
{
    int result;

    error_log_clear();
    result = bpf_map_delete_elem(fd, key);
    if (result == -ENOENT)
        return 0;
    return result ? error_set(error, result, "remove", "map fd %d", fd) : 1;
}

int table_update(int fd, const void *key, const void *value, uint64_t flags, struct error *error)
{
    int result;

    error_log_clear();
    result = bpf_map_update_elem(fd, key, value, flags);
    return result ? error_set(error, result, "update", "map fd %d", fd) : 0;
}

int table_freeze(int fd, struct error *error)
{
    int result;

    error_log_clear();
    result = bpf_map_freeze(fd);
    return result ? error_set(error, result, "freeze", "map fd %d", fd) : 0;
}

int table_set_inner(int outer_fd, uint32_t index, int inner_fd, struct error *error)
{
    uint32_t value = (uint32_t)inner_fd;
    int result;

    error_log_clear();
    result = bpf_map_update_elem(outer_fd, &index, &value, BPF_ANY);
    return result ? error_set(error, result, "set inner map", "entry %u", index) : 0;
}

int table_inner_id(int outer_fd, uint32_t index, uint32_t *id, struct error *error)
{
    int result;

    error_log_clear();
    *id = 0;
    result = bpf_map_lookup_elem(outer_fd, &index, id);
    return result && result != -ENOENT ? error_set(error, result, "read inner map", "entry %u", index) : 0;
}

int table_write_all(int fd, const struct table_shape *shape, const void *keys, const void *values,
                    size_t count, struct error *error)
{
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    const uint8_t *key = keys;
    const uint8_t *value = values;
    size_t done = 0;
    int result = 0;

    error_log_clear();
    while (done < count && !result) {
        uint32_t chunk = count - done < TABLE_BATCH_ENTRIES ? (uint32_t)(count - done) : TABLE_BATCH_ENTRIES;
        uint32_t written = chunk;

        result = bpf_map_update_batch(fd, key + done * shape->key_bytes, value + done * shape->row_bytes,
                                      &written, &options);
        /* An old kernel that knows no batch leaves the count as it was. */
        done += result && written >= chunk ? 0 : written;
    }
    if (result && !table_lacks_batch(result))
        return error_set(error, result, "write entry", "%s, %zu of %zu", shape->name, done, count);
    for (result = 0; done < count && !result; done += !result)
        result =
            bpf_map_update_elem(fd, key + done * shape->key_bytes, value + done * shape->row_bytes, BPF_ANY);
    return result ? error_set(error, result, "write entry", "%s, %zu of %zu", shape->name, done, count) : 0;
}

/* Makes room for one more row at least. A map may hold a few more than it says, but never twice as many. */
static int table_rows_grow(struct table_rows *rows, const struct table_shape *shape, size_t *room)
{
    size_t limit = (size_t)shape->max_entries * 2;
    size_t more = *room ? *room * 2 : TABLE_BATCH_ENTRIES;
    uint8_t *keys;
    uint8_t *values;

    if (*room >= limit && *room > 0)
        return -EAGAIN;
    if (more > limit)
        more = limit ? limit : 1;
    keys = realloc(rows->keys, more * shape->key_bytes + 1);
    if (!keys)
        return -ENOMEM;
    rows->keys = keys;
    values = realloc(rows->values, more * shape->row_bytes + 1);
    if (!values)
        return -ENOMEM;
    rows->values = values;
    *room = more;
    return 0;
}

static int table_read_batches(int fd, const struct table_shape *shape, struct table_rows *rows, size_t *room,
                              uint8_t *cursor)
{
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    int started = 0;
    int result;

    for (;;) {
        uint32_t read;

        if (rows->count == *room && (result = table_rows_grow(rows, shape, room)) != 0)
            return result;
        read = (uint32_t)(*room - rows->count);
        result = bpf_map_lookup_batch(fd, started ? cursor : NULL, cursor,
                                      rows->keys + rows->count * shape->key_bytes,
                                      rows->values + rows->count * shape->row_bytes, &read, &options);
        if (result == -ENOSPC) {
            /* One bucket holds more than there is room for. */
            result = table_rows_grow(rows, shape, room);
            if (result)
                return result;
            continue;
        }
        if (result && result != -ENOENT)
            return result;
        rows->count += read;
        if (result == -ENOENT)
            return 0;
        started = 1;
    }
}

static int table_read_one_by_one(int fd, const struct table_shape *shape, struct table_rows *rows,
                                 size_t *room, uint8_t *cursor)
{
    /* A key that is removed under the walk sends it back to the start, so steps are counted as well. */
    uint64_t steps_max = (uint64_t)shape->max_entries * 4 + 16;
    const void *previous = NULL;
    int result = 0;

    for (uint64_t steps = 0; steps < steps_max; steps++) {
        if (rows->count == *room && (result = table_rows_grow(rows, shape, room)) != 0)
            return result;
        result = bpf_map_get_next_key(fd, previous, cursor);
        if (result)
            return result == -ENOENT ? 0 : result;
        previous = cursor;
        memcpy(rows->keys + rows->count * shape->key_bytes, cursor, shape->key_bytes);
        result = bpf_map_lookup_elem(fd, cursor, rows->values + rows->count * shape->row_bytes);
        /* Gone since, or an empty entry of an array of maps. */
        if (result == -ENOENT)
            continue;
        if (result)
            return result;
        rows->count++;
    }
    return -EAGAIN;
}

int table_read_all(int fd, const struct table_shape *shape, struct table_rows *rows, struct error *error)
{
    /* A hash's cursor is a bucket number of 4 bytes, whatever its key's size; others' is a key. */
    uint8_t *cursor = calloc(1, shape->key_bytes < 8 ? 8 : shape->key_bytes);
    size_t room = 0;
    int result = cursor ? 0 : -ENOMEM;

    error_log_clear();
    memset(rows, 0, sizeof(*rows));
    if (!result)
        result = table_read_batches(fd, shape, rows, &room, cursor);
    /* EINTR: before 6.14 a batch gives up where a key has no value: removed meanwhile, or an empty inner map.
     */
    if (result == -EINTR || table_lacks_batch(result)) {
        rows->count = 0;
        result = table_read_one_by_one(fd, shape, rows, &room, cursor);
    }
    free(cursor);
    if (!result)
        return 0;
    free(rows->keys);
    free(rows->values);
    memset(rows, 0, sizeof(*rows));
    return error_set(error, result, "read entries", "%s", shape->name);
}
