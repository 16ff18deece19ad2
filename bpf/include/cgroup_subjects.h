/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which subjects a task's cgroup makes it. */
#ifndef HUSK_CGROUP_SUBJECTS_H
#define HUSK_CGROUP_SUBJECTS_H

#include "maps.h"

static __always_inline husk_u64 subjects_of(void *subjects, husk_u64 cgroup)
{
    husk_u64 *found = bpf_map_lookup_elem(subjects, &cgroup);
    return found ? *found : 0;
}

/* A task has the subjects of its cgroup and of those above it. Ancestors are asked for by level from the
 * root; a cgroup deeper than the levels followed has its own subjects and those of its first ancestors. */
static __always_inline husk_u64 find_subjects(void *subjects, husk_u64 cgroup)
{
    husk_u64 found = subjects_of(subjects, cgroup);
#pragma unroll
    for (int level = 0; level < HUSK_CGROUP_DEPTH_MAX; level++) {
        husk_u64 ancestor = bpf_get_current_ancestor_cgroup_id(level);
        if (!ancestor)
            break;
        found |= subjects_of(subjects, ancestor);
    }
    return found;
}

#endif
