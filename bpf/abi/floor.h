/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the floor goes by (bpf/floor.bpf.c): names of interfaces that pass nothing until they are covered. */
#ifndef HUSK_ABI_FLOOR_H
#define HUSK_ABI_FLOOR_H

#include "abi.h"

/* Names of interfaces have 15 characters and a NUL. */
#define HUSK_IFNAME_BYTES 16

/* Patterns of one device: globs of its zones with `uncovered: drop`. */
#define HUSK_FLOOR_PATTERNS_MAX 64

/* Value of the map of covered interfaces: directions in which programs of ours judge what passes. */
#define HUSK_FLOOR_COVERED_IN 1
#define HUSK_FLOOR_COVERED_OUT 2

/* A name fits when it has `least` characters or more, and its bytes, NULs behind it included, are those of
 * `value` where `mask` has ones. */
struct husk_floor_pattern {
    husk_u64 value[HUSK_IFNAME_BYTES / 8];
    husk_u64 mask[HUSK_IFNAME_BYTES / 8];
    husk_u32 least;
    husk_u32 pad;
};
_Static_assert(sizeof(struct husk_floor_pattern) == 40, "husk_floor_pattern");

struct husk_floor {
    husk_u32 count;
    husk_u32 pad;
    struct husk_floor_pattern patterns[HUSK_FLOOR_PATTERNS_MAX];
};
_Static_assert(sizeof(struct husk_floor) == 8 + 40 * HUSK_FLOOR_PATTERNS_MAX, "husk_floor");

#endif
