/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A BPF object file: opened, changed, loaded, and its maps and programs taken out of it.
 *
 * Any thread, one at a time per object.
 */
#ifndef HUSK_NATIVE_OBJECT_H
#define HUSK_NATIVE_OBJECT_H

#include <stdint.h>
#include <stddef.h>

#include "error.h"

struct object;

/* libbpf copies what it needs of `bytes`. The caller owns the object: object_close(). NULL on failure. */
struct object *object_open(const char *name, const void *bytes, size_t size, struct error *error);
void object_close(struct object *object);

/* Arrays of `count` names that belong to the object; the caller frees the array alone. */
int object_map_names(const struct object *object, const char ***names, size_t *count, struct error *error);
int object_program_names(const struct object *object, const char ***names, size_t *count,
                         struct error *error);

/* Before object_load(). */
int object_reuse_map(struct object *object, const char *name, int map_fd, struct error *error);
int object_set_max_entries(struct object *object, const char *name, uint32_t max_entries,
                           struct error *error);
int object_set_autoload(struct object *object, const char *program, int load, struct error *error);
int object_set_rodata(struct object *object, const void *bytes, size_t size, struct error *error);

int object_load(struct object *object, struct error *error);

/* After object_load(). A descriptor of its own, which the caller closes. */
int object_map(const struct object *object, const char *name, struct error *error);
int object_program(const struct object *object, const char *name, struct error *error);

/* The object's BTF, which belongs to the object. */
const void *object_btf(const struct object *object, uint32_t *size, struct error *error);

#endif
