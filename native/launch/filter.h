/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that are denied, by seccomp: EPERM, for this process and all that come from it, for good.
 *
 * What a filter can see is numbers: of calls and of arguments that are no pointers. Calls of another ABI (32
 * bits) are unknown to it, and get ENOSYS.
 */
#ifndef HUSK_LAUNCH_FILTER_H
#define HUSK_LAUNCH_FILTER_H

#include "rules.h"

/* 0, or an errno. Nothing is asked for: 0, and no filter. */
int launch_filter(const struct launch_rules *rules);

#endif
