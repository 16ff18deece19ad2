/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which slot is in force, from the live word (drawn in abi.h). The word is read once; the invocation judges
 * by the slot that comes out, to its end, whatever is stored meanwhile.
 *
 *   no trial                          slot bit
 *   trial, expired == live            the other slot: this trial ran out before
 *   trial, deadline not reached       slot bit
 *   trial, deadline reached           store `expired`, the other slot
 *
 * `expired` only ever holds words with the trial bit, and is compared only with such: a confirmed word is
 * not undone by a program that was late to store its trial's. Outside a trial no clock is read (43 ns).
 */
#ifndef HUSK_LIVE_H
#define HUSK_LIVE_H

#include "count.h"

#define NANOSECONDS_PER_SECOND 1000000000ull

static __always_inline husk_u32 live_slot(struct husk_control *shared)
{
    husk_u32 live = READ_ONCE(shared->live);
    husk_u32 slot = (live & HUSK_LIVE_SLOT) >> HUSK_LIVE_SLOT_SHIFT;
    if (!(live & HUSK_LIVE_TRIAL))
        return slot;

    if (READ_ONCE(shared->expired) != live) {
        if (bpf_ktime_get_boot_ns() / NANOSECONDS_PER_SECOND < (live & HUSK_LIVE_DEADLINE))
            return slot;
        WRITE_ONCE(shared->expired, live);
    }
    count_total(HUSK_TOTAL_DEADLINES_SEEN);
    return slot ^ 1;
}

#endif
