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

struct object {
    struct bpf_object *bpf;
    int loaded;
};

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
        free(object);
        return NULL;
    }
    return object;
}

void object_close(struct object *object)
{
    if (!object)
        return;
    bpf_object__close(object->bpf);
    free(object);
}

int object_map_names(const struct object *object, const char ***names, size_t *count, struct error *error)
{
    struct bpf_map *map;
    size_t total = 0;

    bpf_object__for_each_map(map, object->bpf) total++;
    *names = calloc(total + 1, sizeof(**names));
    if (!*names)
        return error_set(error, ENOMEM, "list maps", "%s", bpf_object__name(object->bpf));
    *count = 0;
    bpf_object__for_each_map(map, object->bpf)(*names)[(*count)++] = bpf_map__name(map);
    return 0;
}

int object_program_names(const struct object *object, const char ***names, size_t *count, struct error *error)
{
    struct bpf_program *program;
    size_t total = 0;

    bpf_object__for_each_program(program, object->bpf) total++;
    *names = calloc(total + 1, sizeof(**names));
    if (!*names)
        return error_set(error, ENOMEM, "list programs", "%s", bpf_object__name(object->bpf));
    *count = 0;
    bpf_object__for_each_program(program, object->bpf)(*names)[(*count)++] = bpf_program__name(program);
    return 0;
}

static struct bpf_map *object_find_map(const struct object *object, const char *name, const char *operation,
                                       struct error *error)
{
    struct bpf_map *map;

    error_log_clear();
    map = bpf_object__find_map_by_name(object->bpf, name);
    if (!map)
        error_set(error, ENOENT, operation, "%s, map %s", bpf_object__name(object->bpf), name);
    return map;
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

int object_reuse_map(struct object *object, const char *name, int map_fd, struct error *error)
{
    struct bpf_map *map = object_find_map(object, name, "reuse", error);
    int result;

    if (!map)
        return -1;
    /* libbpf takes a duplicate of the descriptor. */
    result = object->loaded ? -EBUSY : bpf_map__reuse_fd(map, map_fd);
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
