/* SPDX-License-Identifier: Apache-2.0 */
/* The first value of an mmapable array, shared with the kernel as u32 words. Any thread. */
#ifndef HUSK_NATIVE_WORDS_H
#define HUSK_NATIVE_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct words {
    uint32_t *memory; /* NULL once closed */
    size_t mapped_bytes;
    uint32_t value_bytes; /* what of it is the first value */
};

int words_open(int map_fd, struct words *words, struct error *error);
void words_close(struct words *words);

/* `offset` in bytes: a multiple of 4 inside the value, which the caller has checked. */
uint32_t words_load(const struct words *words, uint32_t offset);
void words_store(struct words *words, uint32_t offset, uint32_t value);
/* The value seen before. */
uint32_t words_compare_exchange(struct words *words, uint32_t offset, uint32_t expected, uint32_t value);

#endif
