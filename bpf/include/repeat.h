/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A loop whose step the verifier looks at once, whatever the number of rounds: bpf_loop, which came
 * with 5.17. Kernels before it get a loop of the same rounds, each of which is looked at. Which of the two is
 * said when the program is loaded, by the kernel's BTF; the other is never looked at.
 */
#ifndef HUSK_REPEAT_H
#define HUSK_REPEAT_H

#include "kernel_types.h"

/* The kernel's helpers by name, this one alone: what is asked is whether it is there. */
enum bpf_func_id___husk {
    BPF_FUNC_loop___husk = 181,
};

/* What a step says. */
#define REPEAT_ON 0
#define REPEAT_END 1

/* Up to `rounds` times, until the step ends it. `context` is on the stack. */
static __always_inline void repeat(husk_u32 rounds, long (*step)(husk_u32 round, void *context),
                                   void *context)
{
    if (bpf_core_enum_value_exists(enum bpf_func_id___husk, BPF_FUNC_loop___husk)) {
        bpf_loop(rounds, step, context, 0);
        return;
    }
#pragma clang loop unroll(disable)
    for (husk_u32 round = 0; round < rounds; round++) {
        if (step(round, context) == REPEAT_END)
            break;
    }
}

#endif
