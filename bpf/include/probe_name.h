/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The canary that a kernel is tried with: known by its name, which is random, and by nothing else, so that
 * programs attached for the try do nothing to anybody else.
 */
#ifndef HUSK_PROBE_NAME_H
#define HUSK_PROBE_NAME_H

#include "compat.h"
#include "kernel_types.h"

/* TASK_COMM_LEN */
#define PROBE_NAME_BYTES 16

/* The only thing in .rodata: user space writes the whole of it. */
const volatile char probe_name[PROBE_NAME_BYTES];

static __always_inline bool is_probe_canary(void)
{
    char name[PROBE_NAME_BYTES];
    if (bpf_get_current_comm(name, sizeof(name)))
        return false;
#pragma unroll
    for (int at = 0; at < PROBE_NAME_BYTES; at++) {
        if (name[at] != probe_name[at])
            return false;
    }
    return true;
}

#endif
