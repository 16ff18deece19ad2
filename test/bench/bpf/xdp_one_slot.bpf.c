// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * husk_xdp_ingress as it would be if there were one slot and nothing to switch: the live word is not read.
 * What the real one takes above it is what asking which slot is in force costs (test/bench/filter/slots.ts).
 */
#include "include/count.h"

/* In the place of include/live.h. */
#define HUSK_LIVE_H
#define NANOSECONDS_PER_SECOND 1000000000ull

static __always_inline husk_u32 live_slot(struct husk_control *shared)
{
    (void)shared;
    return 0;
}

#include "xdp_ingress.bpf.c"
