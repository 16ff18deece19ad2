/* SPDX-License-Identifier: Apache-2.0 */
/* Maps and Words. The JavaScript thread, save for the _execute functions: those run on the pool's. */
#define _GNU_SOURCE
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "table.h"
#include "words.h"

static bool is_map_of_maps(const struct map_argument *map)
{
    return map->shape.type == BPF_MAP_TYPE_ARRAY_OF_MAPS || map->shape.type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

static bool value_map_of_maps(napi_env env, napi_value value, struct map_argument *map)
{
    if (!value_map(env, value, "outer", map))
        return false;
    return (is_map_of_maps(map) && map->shape.key_bytes == sizeof(uint32_t)) ||
           throw_type(env, "outer must be a map of maps with keys of 4 bytes");
}

static bool value_shape(napi_env env, napi_value value, struct table_shape *shape)
{
    napi_value name;

    memset(shape, 0, sizeof(*shape));
    return value_property(env, value, "name", &name) &&
           value_string(env, name, "name", shape->name, sizeof(shape->name)) &&
           value_u32_property(env, value, "type", UINT32_MAX, &shape->type) &&
           value_u32_property(env, value, "keySize", UINT32_MAX, &shape->key_bytes) &&
           value_u32_property(env, value, "valueSize", UINT32_MAX, &shape->value_bytes) &&
           value_u32_property(env, value, "maxEntries", UINT32_MAX, &shape->max_entries) &&
           value_u32_property(env, value, "flags", UINT32_MAX, &shape->flags);
}

static napi_value to_map(napi_env env, int fd, struct error *error)
{
    return fd < 0 ? throw_error(env, error) : to_handle(env, HANDLE_MAP, fd);
}

static napi_value create_map(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct table_shape shape;
    struct call call;

    if (!call_open(&call, env, info) || !value_shape(env, call.argument[0], &shape))
        return NULL;
    return to_map(env, table_create(&shape, -1, &error), &error);
}

static napi_value create_map_of_maps(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct table_shape shape;
    struct call call;
    int inner;

    if (!call_open(&call, env, info) || !value_shape(env, call.argument[0], &shape) ||
        !value_handle(env, call.argument[1], HANDLE_MAP, "inner", &inner))
        return NULL;
    return to_map(env, table_create(&shape, inner, &error), &error);
}

static napi_value open_map_by_id(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct call call;
    uint32_t id;

    if (!call_open(&call, env, info) || !value_u32(env, call.argument[0], "id", UINT32_MAX, &id))
        return NULL;
    return to_map(env, table_open_id(id, &error), &error);
}

static napi_value describe_map(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct table_info map;
    struct record record;
    struct call call;
    napi_value memlock;
    int fd;

    if (!call_open(&call, env, info) || !value_handle(env, call.argument[0], HANDLE_MAP, "map", &fd))
        return NULL;
    if (table_info_of(fd, &map, &error))
        return throw_error(env, &error);
    if (napi_create_double(env, (double)map.memlock_bytes, &memlock) != napi_ok)
        return throw_status(env);
    record = record_open(env);
    record_set(&record, "id", to_u32(env, map.id));
    record_set(&record, "name", to_string(env, map.shape.name));
    record_set(&record, "type", to_u32(env, map.shape.type));
    record_set(&record, "keySize", to_u32(env, map.shape.key_bytes));
    record_set(&record, "valueSize", to_u32(env, map.shape.value_bytes));
    record_set(&record, "maxEntries", to_u32(env, map.shape.max_entries));
    record_set(&record, "flags", to_u32(env, map.shape.flags));
    record_set(&record, "frozen", to_bool(env, map.frozen));
    record_set(&record, "memlock", memlock);
    return record_close(&record);
}

/* Key in the second argument, of exactly the map's size: the kernel reads that much whatever we give it. */
static bool value_map_and_key(struct call *call, napi_env env, napi_callback_info info,
                              struct map_argument *map, struct bytes *key)
{
    if (!call_open(call, env, info) || !value_map(env, call->argument[0], "map", map) ||
        !value_bytes(env, call->argument[1], "key", key))
        return false;
    return key->size == map->shape.key_bytes ||
           throw_type(env, "key must be %u bytes long, as map %s has it, not %zu", map->shape.key_bytes,
                      map->shape.name, key->size);
}

static napi_value lookup(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct map_argument map;
    struct bytes key;
    struct call call;
    uint8_t *value;
    int found;

    if (!value_map_and_key(&call, env, info, &map, &key))
        return NULL;
    value = malloc(map.shape.row_bytes + 1);
    if (!value)
        return throw_status(env);
    found = table_lookup(map.fd, key.data, value, &error);
    if (found > 0)
        return to_bytes_owned(env, value, map.shape.row_bytes);
    free(value);
    return found < 0 ? throw_error(env, &error) : to_null(env);
}

static napi_value update(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct map_argument map;
    struct bytes key, value;
    uint32_t flags = BPF_ANY;
    struct call call;

    if (!value_map_and_key(&call, env, info, &map, &key) ||
        !value_bytes(env, call.argument[2], "value", &value) ||
        (!value_is_undefined(env, call.argument[3]) &&
         !value_u32(env, call.argument[3], "flags", UINT32_MAX, &flags)))
        return NULL;
    if (is_map_of_maps(&map)) {
        throw_type(env, "map %s is a map of maps: setInner is its way in", map.shape.name);
        return NULL;
    }
    if (value.size != map.shape.row_bytes) {
        throw_type(env, "value must be %zu bytes long, as map %s has it, not %zu", map.shape.row_bytes,
                   map.shape.name, value.size);
        return NULL;
    }
    if (table_update(map.fd, key.data, value.data, flags, &error))
        return throw_error(env, &error);
    return to_undefined(env);
}

static napi_value remove_key(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct map_argument map;
    struct bytes key;
    struct call call;
    int removed;

    if (!value_map_and_key(&call, env, info, &map, &key))
        return NULL;
    removed = table_remove(map.fd, key.data, &error);
    return removed < 0 ? throw_error(env, &error) : to_bool(env, removed);
}

static napi_value freeze(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct call call;
    int fd;

    if (!call_open(&call, env, info) || !value_handle(env, call.argument[0], HANDLE_MAP, "map", &fd))
        return NULL;
    return table_freeze(fd, &error) ? throw_error(env, &error) : to_undefined(env);
}

static napi_value inner_id(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct map_argument outer;
    uint32_t index, id;
    struct call call;

    if (!call_open(&call, env, info) || !value_map_of_maps(env, call.argument[0], &outer) ||
        !value_u32(env, call.argument[1], "index", UINT32_MAX, &index))
        return NULL;
    return table_inner_id(outer.fd, index, &id, &error) ? throw_error(env, &error) : to_u32(env, id);
}

/*
 * Long work. Descriptors are duplicated, so that a handle may be closed meanwhile; bytes are kept where
 * they are by a reference, as Node's own file functions do, and must not be changed before the promise
 * settles.
 */
struct table_work {
    struct work work;
    int fd;
    int inner_fd;
    uint32_t index;
    struct table_shape shape;
    const uint8_t *keys;
    const uint8_t *values;
    size_t count;
    struct table_rows rows;
};

static void table_work_release(struct work *work)
{
    struct table_work *own = (struct table_work *)work;

    if (own->fd >= 0)
        close(own->fd);
    if (own->inner_fd >= 0)
        close(own->inner_fd);
    free(own->rows.keys);
    free(own->rows.values);
    free(own);
}

static napi_value table_work_finish(napi_env env, struct work *work)
{
    (void)work;
    return to_undefined(env);
}

/* Duplicates `fd`, and `inner_fd` unless it is -1. NULL with an exception pending. */
static struct table_work *table_work_open(napi_env env, const struct map_argument *map, int inner_fd,
                                          int (*execute)(struct work *, struct error *))
{
    struct table_work *own = calloc(1, sizeof(*own));
    struct error error = {0};

    if (!own) {
        throw_status(env);
        return NULL;
    }
    own->work.execute = execute;
    own->work.finish = table_work_finish;
    own->work.release = table_work_release;
    own->shape = map->shape;
    own->fd = fcntl(map->fd, F_DUPFD_CLOEXEC, 3);
    own->inner_fd = inner_fd < 0 ? -1 : fcntl(inner_fd, F_DUPFD_CLOEXEC, 3);
    if (own->fd < 0 || (inner_fd >= 0 && own->inner_fd < 0)) {
        error_set(&error, errno, "keep map", "%s", map->shape.name);
        throw_error(env, &error);
        table_work_release(&own->work);
        return NULL;
    }
    return own;
}

static int set_inner_execute(struct work *work, struct error *error)
{
    struct table_work *own = (struct table_work *)work;

    return table_set_inner(own->fd, own->index, own->inner_fd, error);
}

static napi_value set_inner(napi_env env, napi_callback_info info)
{
    struct map_argument outer;
    struct table_work *own;
    struct call call;
    uint32_t index;
    int inner_fd;

    if (!call_open(&call, env, info) || !value_map_of_maps(env, call.argument[0], &outer) ||
        !value_u32(env, call.argument[1], "index", UINT32_MAX, &index) ||
        !value_handle(env, call.argument[2], HANDLE_MAP, "inner", &inner_fd))
        return NULL;
    own = table_work_open(env, &outer, inner_fd, set_inner_execute);
    if (!own)
        return NULL;
    own->index = index;
    return work_start(env, &own->work, "husk.setInner", NULL);
}

static int write_all_execute(struct work *work, struct error *error)
{
    struct table_work *own = (struct table_work *)work;

    return table_write_all(own->fd, &own->shape, own->keys, own->values, own->count, error);
}

/* How many entries `keys` and `values` hold, where that is one number. */
static bool count_entries(napi_env env, const struct table_shape *shape, const struct bytes *keys,
                          const struct bytes *values, size_t *count)
{
    if (shape->key_bytes == 0 || keys->size % shape->key_bytes)
        return throw_type(env, "keys must be a multiple of %u bytes, as map %s has them, not %zu",
                          shape->key_bytes, shape->name, keys->size);
    *count = keys->size / shape->key_bytes;
    return values->size == *count * shape->row_bytes ||
           throw_type(env, "values for %zu keys of map %s must be %zu bytes, not %zu", *count, shape->name,
                      *count * shape->row_bytes, values->size);
}

static napi_value write_all(napi_env env, napi_callback_info info)
{
    struct bytes keys, values;
    struct map_argument map;
    struct table_work *own;
    struct record kept;
    struct call call;
    size_t count = 0;

    if (!call_open(&call, env, info) || !value_map(env, call.argument[0], "map", &map) ||
        !value_bytes(env, call.argument[1], "keys", &keys) ||
        !value_bytes(env, call.argument[2], "values", &values) ||
        !count_entries(env, &map.shape, &keys, &values, &count))
        return NULL;
    if (is_map_of_maps(&map)) {
        throw_type(env, "map %s is a map of maps: setInner is its way in", map.shape.name);
        return NULL;
    }
    kept = record_open(env);
    record_set(&kept, "keys", call.argument[1]);
    record_set(&kept, "values", call.argument[2]);
    if (!record_close(&kept))
        return NULL;
    own = table_work_open(env, &map, -1, write_all_execute);
    if (!own)
        return NULL;
    own->keys = keys.data;
    own->values = values.data;
    own->count = count;
    return work_start(env, &own->work, "husk.writeAll", kept.object);
}

static int read_all_execute(struct work *work, struct error *error)
{
    struct table_work *own = (struct table_work *)work;

    return table_read_all(own->fd, &own->shape, &own->rows, error);
}

static napi_value read_all_finish(napi_env env, struct work *work)
{
    struct table_work *own = (struct table_work *)work;
    struct record record = record_open(env);
    napi_value count;

    if (napi_create_double(env, (double)own->rows.count, &count) != napi_ok)
        return throw_status(env);
    record_set(&record, "keys", to_bytes_owned(env, own->rows.keys, own->rows.count * own->shape.key_bytes));
    own->rows.keys = NULL;
    record_set(&record, "values",
               to_bytes_owned(env, own->rows.values, own->rows.count * own->shape.row_bytes));
    own->rows.values = NULL;
    record_set(&record, "count", count);
    return record_close(&record);
}

static napi_value read_all(napi_env env, napi_callback_info info)
{
    struct map_argument map;
    struct table_work *own;
    struct call call;

    if (!call_open(&call, env, info) || !value_map(env, call.argument[0], "map", &map))
        return NULL;
    own = table_work_open(env, &map, -1, read_all_execute);
    if (!own)
        return NULL;
    own->work.finish = read_all_finish;
    return work_start(env, &own->work, "husk.readAll", NULL);
}

/* Words. */

struct words_held {
    struct held held;
    struct words words;
};

static void words_release(struct held *held)
{
    struct words_held *own = (struct words_held *)held;

    words_close(&own->words);
    free(own);
}

static napi_value map_words(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct words_held *own;
    struct call call;
    int fd;

    if (!call_open(&call, env, info) || !value_handle(env, call.argument[0], HANDLE_MAP, "map", &fd))
        return NULL;
    own = calloc(1, sizeof(*own));
    if (!own)
        return throw_status(env);
    own->held = (struct held){CLASS_WORDS, words_release};
    if (words_open(fd, &own->words, &error)) {
        free(own);
        return throw_error(env, &error);
    }
    return to_instance(env, &own->held);
}

/* The open words a method is called on, and the offset in its first argument. */
static struct words *words_call(struct call *call, napi_env env, napi_callback_info info, uint32_t *offset)
{
    struct words_held *own;

    if (!call_open(call, env, info))
        return NULL;
    own = (struct words_held *)value_held(env, call->self, CLASS_WORDS, "this");
    if (!own)
        return NULL;
    if (!own->words.memory) {
        throw_type(env, "these words are closed");
        return NULL;
    }
    if (own->words.value_bytes < sizeof(uint32_t)) {
        throw_type(env, "this map's value holds no word of 4 bytes");
        return NULL;
    }
    if (!value_u32(env, call->argument[0], "offset", own->words.value_bytes - sizeof(uint32_t), offset))
        return NULL;
    if (*offset % sizeof(uint32_t)) {
        throw_type(env, "offset must be a multiple of 4");
        return NULL;
    }
    return &own->words;
}

static napi_value load_word(napi_env env, napi_callback_info info)
{
    struct words *words;
    struct call call;
    uint32_t offset;

    words = words_call(&call, env, info, &offset);
    return words ? to_u32(env, words_load(words, offset)) : NULL;
}

static napi_value store_word(napi_env env, napi_callback_info info)
{
    uint32_t offset, value;
    struct words *words;
    struct call call;

    words = words_call(&call, env, info, &offset);
    if (!words || !value_u32(env, call.argument[1], "value", UINT32_MAX, &value))
        return NULL;
    words_store(words, offset, value);
    return to_undefined(env);
}

static napi_value compare_exchange_word(napi_env env, napi_callback_info info)
{
    uint32_t offset, expected, value;
    struct words *words;
    struct call call;

    words = words_call(&call, env, info, &offset);
    if (!words || !value_u32(env, call.argument[1], "expected", UINT32_MAX, &expected) ||
        !value_u32(env, call.argument[2], "value", UINT32_MAX, &value))
        return NULL;
    return to_u32(env, words_compare_exchange(words, offset, expected, value));
}

static napi_value close_words(napi_env env, napi_callback_info info)
{
    struct words_held *own;
    struct call call;

    if (!call_open(&call, env, info))
        return NULL;
    own = (struct words_held *)value_held(env, call.self, CLASS_WORDS, "this");
    if (!own)
        return NULL;
    words_close(&own->words);
    return to_undefined(env);
}

bool binding_table_define(napi_env env, napi_value addon)
{
    static const napi_property_descriptor words[] = {
        METHOD("load", load_word),
        METHOD("store", store_word),
        METHOD("compareExchange", compare_exchange_word),
        METHOD("close", close_words),
    };
    static const napi_property_descriptor functions[] = {
        METHOD("createMap", create_map),
        METHOD("createMapOfMaps", create_map_of_maps),
        METHOD("openMapById", open_map_by_id),
        METHOD("mapInfo", describe_map),
        METHOD("lookup", lookup),
        METHOD("update", update),
        METHOD("remove", remove_key),
        METHOD("freeze", freeze),
        METHOD("innerId", inner_id),
        METHOD("setInner", set_inner),
        METHOD("writeAll", write_all),
        METHOD("readAll", read_all),
        METHOD("mapWords", map_words),
    };

    return class_define(env, CLASS_WORDS, "Words", words, COUNT_OF(words)) &&
           napi_define_properties(env, addon, COUNT_OF(functions), functions) == napi_ok;
}
