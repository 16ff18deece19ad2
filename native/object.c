/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread, one at a time per object. See object.h. */
#define _GNU_SOURCE
#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "table.h"

/* A map under the name the object declares it by: where one is reused, libbpf takes over the other's name. */
struct object_map_entry {
    char *name;
    struct bpf_map *map;
};

struct object {
    struct bpf_object *bpf;
    struct object_map_entry *maps;
    size_t map_count;
    int loaded;
};

/* libbpf puts the object's name before that of a section's map, as in `hooks.rodata`; ours are the sections'.
 */
static const char *object_name_of(const struct bpf_map *map)
{
    const char *name = bpf_map__name(map);
    const char *section = bpf_map__is_internal(map) ? strchr(name, '.') : NULL;

    return section ? section : name;
}

static int object_remember_maps(struct object *object)
{
    struct bpf_map *map;
    size_t count = 0;

    bpf_object__for_each_map (map, object->bpf)
        count++;
    object->maps = calloc(count + 1, sizeof(*object->maps));
    if (!object->maps)
        return -ENOMEM;
    bpf_object__for_each_map (map, object->bpf) {
        struct object_map_entry *entry = &object->maps[object->map_count];

        entry->map = map;
        entry->name = strdup(object_name_of(map));
        if (!entry->name)
            return -ENOMEM;
        object->map_count++;
    }
    return 0;
}

struct object *object_open(const char *name, const void *bytes, size_t size, struct error *error)
{
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name);
    struct object *object = calloc(1, sizeof(*object));

    error_log_clear();
    if (!object) {
        error_set(error, ENOMEM, "open", "%s", name);
        return NULL;
    }
    object->bpf = bpf_object__open_mem(bytes, size, &options);
    if (!object->bpf) {
        error_set(error, errno, "open", "%s", name);
        goto fail;
    }
    if (object_remember_maps(object)) {
        error_set(error, ENOMEM, "open", "%s", name);
        goto fail;
    }
    return object;
fail:
    object_close(object);
    return NULL;
}

void object_close(struct object *object)
{
    if (!object)
        return;
    for (size_t i = 0; i < object->map_count; i++)
        free(object->maps[i].name);
    free(object->maps);
    bpf_object__close(object->bpf);
    free(object);
}

int object_map_names(const struct object *object, const char ***names, size_t *count, struct error *error)
{
    *names = calloc(object->map_count + 1, sizeof(**names));
    if (!*names)
        return error_set(error, ENOMEM, "list maps", "%s", bpf_object__name(object->bpf));
    *count = object->map_count;
    for (size_t i = 0; i < object->map_count; i++)
        (*names)[i] = object->maps[i].name;
    return 0;
}

int object_program_names(const struct object *object, const char ***names, size_t *count, struct error *error)
{
    struct bpf_program *program;
    size_t total = 0;

    bpf_object__for_each_program (program, object->bpf)
        total++;
    *names = calloc(total + 1, sizeof(**names));
    if (!*names)
        return error_set(error, ENOMEM, "list programs", "%s", bpf_object__name(object->bpf));
    *count = 0;
    bpf_object__for_each_program (program, object->bpf)
        (*names)[(*count)++] = bpf_program__name(program);
    return 0;
}

static struct bpf_map *object_find_map(const struct object *object, const char *name, const char *operation,
                                       struct error *error)
{
    error_log_clear();
    for (size_t i = 0; i < object->map_count; i++) {
        if (strcmp(object->maps[i].name, name) == 0)
            return object->maps[i].map;
    }
    error_set(error, ENOENT, operation, "%s, map %s", bpf_object__name(object->bpf), name);
    return NULL;
}

static struct bpf_program *object_find_program(const struct object *object, const char *name,
                                               const char *operation, struct error *error)
{
    struct bpf_program *program;

    error_log_clear();
    program = bpf_object__find_program_by_name(object->bpf, name);
    if (!program)
        error_set(error, ENOENT, operation, "%s, program %s", bpf_object__name(object->bpf), name);
    return program;
}

/* libbpf would take any map, and its shape for the declared one: programs would then read beyond values. */
static int object_map_fits(const struct bpf_map *map, const struct table_shape *shape)
{
    return shape->type == bpf_map__type(map) && shape->key_bytes == bpf_map__key_size(map) &&
           shape->value_bytes == bpf_map__value_size(map) &&
           shape->max_entries == bpf_map__max_entries(map) && shape->flags == bpf_map__map_flags(map);
}

int object_reuse_map(struct object *object, const char *name, int map_fd, struct error *error)
{
    struct bpf_map *map = object_find_map(object, name, "reuse", error);
    struct table_shape shape;
    int result = 0;

    if (!map || table_shape_of(map_fd, &shape, error))
        return -1;
    if (object->loaded)
        return error_set(error, EBUSY, "reuse", "%s", name);
    if (!object_map_fits(map, &shape))
        return error_set(error, EINVAL, "reuse", "%s, which is not of the shape of map %s", name, shape.name);
    /* libbpf takes a duplicate of the descriptor. */
    result = bpf_map__reuse_fd(map, map_fd);
    return result ? error_set(error, result, "reuse", "%s", name) : 0;
}

int object_set_max_entries(struct object *object, const char *name, uint32_t max_entries, struct error *error)
{
    struct bpf_map *map = object_find_map(object, name, "set size", error);
    int result;

    if (!map)
        return -1;
    result = bpf_map__set_max_entries(map, max_entries);
    return result ? error_set(error, result, "set size", "%s", name) : 0;
}

int object_set_autoload(struct object *object, const char *name, int load, struct error *error)
{
    struct bpf_program *program = object_find_program(object, name, "set autoload", error);
    int result;

    if (!program)
        return -1;
    result = bpf_program__set_autoload(program, load);
    return result ? error_set(error, result, "set autoload", "%s", name) : 0;
}

int object_set_rodata(struct object *object, const void *bytes, size_t size, struct error *error)
{
    struct bpf_map *map = object_find_map(object, ".rodata", "set rodata", error);
    int result;

    if (!map)
        return -1;
    result = bpf_map__set_initial_value(map, bytes, size);
    return result ? error_set(error, result, "set rodata", "%s", bpf_object__name(object->bpf)) : 0;
}

/*
 * What libbpf could not load, by the last `prog 'NAME'` or `map 'NAME'` in its log: the call itself says
 * only that something failed. Returns the length of the name.
 */
static int object_blame(const char **name)
{
    static const char *const marks[] = {"libbpf: prog '", "libbpf: map '"};
    const char *last = NULL;
    const char *end;

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        const char *found = error_log_text();

        while ((found = strstr(found, marks[i])) != NULL) {
            found += strlen(marks[i]);
            if (!last || found > last)
                last = found;
        }
    }
    end = last ? strchr(last, '\'') : NULL;
    if (!end)
        return 0;
    *name = last;
    return (int)(end - last);
}

int object_load(struct object *object, struct error *error)
{
    const char *name = bpf_object__name(object->bpf);
    const char *blamed = name;
    int blamed_length;
    int result;

    error_log_clear();
    result = bpf_object__load(object->bpf);
    if (!result) {
        object->loaded = 1;
        return 0;
    }
    blamed_length = object_blame(&blamed);
    if (!blamed_length)
        return error_set(error, result, "load", "%s", name);
    return error_set(error, result, "load", "%.*s", blamed_length, blamed);
}

static int object_take(int fd, const char *operation, const char *name, struct error *error)
{
    int own = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (own < 0)
        return error_set(error, fd < 0 ? fd : errno, operation, "%s", name);
    return own;
}

int object_map(const struct object *object, const char *name, struct error *error)
{
    struct bpf_map *map = object_find_map(object, name, "take map", error);

    return map ? object_take(bpf_map__fd(map), "take map", name, error) : -1;
}

int object_program(const struct object *object, const char *name, struct error *error)
{
    struct bpf_program *program = object_find_program(object, name, "take program", error);

    return program ? object_take(bpf_program__fd(program), "take program", name, error) : -1;
}

const void *object_btf(const struct object *object, uint32_t *size, struct error *error)
{
    struct btf *btf = bpf_object__btf(object->bpf);
    const void *bytes = btf ? btf__raw_data(btf, size) : NULL;

    error_log_clear();
    if (!bytes)
        error_set(error, btf ? ENOMEM : ENOENT, "read BTF", "%s", bpf_object__name(object->bpf));
    return bytes;
}
