/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread: all accesses are atomic, and ordered as one sequence with each other. See words.h. */
#define _GNU_SOURCE
#include "words.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "table.h"

int words_open(int map_fd, struct words *words, struct error *error)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct table_shape shape;
    void *memory;

    if (table_shape_of(map_fd, &shape, error))
        return -1;
    /* The first value is all we want, however many entries follow it. */
    words->mapped_bytes = (shape.value_bytes + page - 1) / page * page;
    memory = mmap(NULL, words->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
    if (memory == MAP_FAILED)
        return error_set(error, errno, "mmap", "%s", shape.name);
    words->memory = memory;
    words->value_bytes = shape.value_bytes;
    return 0;
}

void words_close(struct words *words)
{
    if (words->memory)
        munmap(words->memory, words->mapped_bytes);
    words->memory = NULL;
}

uint32_t words_load(const struct words *words, uint32_t offset)
{
    return __atomic_load_n(words->memory + offset / 4, __ATOMIC_SEQ_CST);
}

void words_store(struct words *words, uint32_t offset, uint32_t value)
{
    __atomic_store_n(words->memory + offset / 4, value, __ATOMIC_SEQ_CST);
}

uint32_t words_compare_exchange(struct words *words, uint32_t offset, uint32_t expected, uint32_t value)
{
    __atomic_compare_exchange_n(words->memory + offset / 4, &expected, value, 0, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    return expected;
}
