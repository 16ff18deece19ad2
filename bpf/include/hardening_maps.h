/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Maps of the hardening programs, beside those that all programs share (maps.h): kernels that have no task
 * storage can't make these, and need none of them.
 */
#ifndef HUSK_HARDENING_MAPS_H
#define HUSK_HARDENING_MAPS_H

#include "maps.h"
#include "kernel_types.h"
#include "../abi/hardening.h"

/* Writers: programs, as tasks are made, run something, or are found. Goes with its task. Missing: a task
 * whose lineage is unknown. */
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct husk_task);
} tasks SEC(".maps");

/* Writer: user space, once, when the maps are made. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct husk_path_key);
} path_key SEC(".maps");

/* Writer: user space, before a try. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct husk_canary_object);
} canary_object SEC(".maps");

/* Writers: programs, what is alike in a period; user space takes out what is over. Full: see tell.h. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, HUSK_REPEATS_MAX);
    __type(key, struct husk_alike);
    __type(value, struct husk_repeats);
} repeats SEC(".maps");

/* New things observed in a period. Programs only. */
struct observed_budget {
    husk_u64 used;
    husk_u32 period;
    husk_u32 pad;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct observed_budget);
} observed_budget SEC(".maps");

#endif
