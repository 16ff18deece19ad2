/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A guard: one body for two tiers. In tier A it is an LSM program on the hook, in tier B, where the boot line
 * left `bpf` out, a program on the security_ function that calls the hooks (fmod_ret). Which of the two is
 * built is said by HUSK_TIER_B.
 */
#ifndef HUSK_GUARD_H
#define HUSK_GUARD_H

#include "decide.h"

#ifdef HUSK_TIER_B
#define GUARD(HOOK, FUNCTION, ...)                                                                           \
    SEC("fmod_ret/security_" #FUNCTION)                                                                      \
    int BPF_PROG(husk_##HOOK, __VA_ARGS__)
#else
#define GUARD(HOOK, FUNCTION, ...)                                                                           \
    SEC("lsm/" #HOOK)                                                                                        \
    int BPF_PROG(husk_##HOOK, __VA_ARGS__)
#endif

/*
 * Whether a pointer that the hook was given is NULL, by its place among the arguments. Kernels from 6.4 on
 * take all of them for trusted and so for never NULL: `!file` in mmap_file, which has none for memory of no
 * file, is no test there and what follows reads from NULL (6.12: an oops). Read as a number it is one. Later
 * kernels know better and want the plain test as well.
 */
static __always_inline bool is_argument_null(const void *context, husk_u32 index)
{
    husk_u64 value = 0;
    bpf_probe_read_kernel(&value, sizeof(value), (const husk_u64 *)context + index);
    return !value;
}

#endif
