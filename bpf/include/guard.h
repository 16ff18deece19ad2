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

#endif
