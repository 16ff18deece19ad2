/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Rows of what was seen (abi/sight.h): found, or made, and counted. */
#ifndef HUSK_SIGHT_H
#define HUSK_SIGHT_H

#include "count.h"

/* The row, counted once more; NULL: there was no room. A new one tells the task, and has count 1. */
static __always_inline struct husk_sight *count_sight(void *map, const struct husk_sight_key *key,
                                                      husk_u32 lost)
{
    struct husk_sight *sight = bpf_map_lookup_elem(map, key);
    if (!sight) {
        const struct husk_sight *blank = map_only_entry(&blank_sight);
        if (blank)
            bpf_map_update_elem(map, key, blank, BPF_NOEXIST);
        sight = bpf_map_lookup_elem(map, key);
    }
    if (!sight) {
        count_total(lost);
        return NULL;
    }
    __sync_fetch_and_add(&sight->count, 1);
    sight->last_ns = bpf_ktime_get_boot_ns();
    if (sight->first_ns)
        return sight;
    sight->first_ns = sight->last_ns;
    sight->cgroup = bpf_get_current_cgroup_id();
    sight->tgid = bpf_get_current_pid_tgid() >> 32;
    sight->uid = bpf_get_current_uid_gid();
    bpf_get_current_comm(sight->comm, sizeof(sight->comm));
    return sight;
}

#endif
