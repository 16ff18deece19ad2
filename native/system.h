/* SPDX-License-Identifier: Apache-2.0 */
/* Small facts of the machine that Node does not tell, and one mount. Any thread. */
#ifndef HUSK_NATIVE_SYSTEM_H
#define HUSK_NATIVE_SYSTEM_H

#include <stdint.h>

#include "error.h"

/* What bpf_get_current_cgroup_id() gives for tasks in this cgroup v2 directory. */
int system_cgroup_id(const char *path, uint64_t *id, struct error *error);
/* Mounts a bpf file system, for root alone, on a folder that exists. */
int system_mount_bpffs(const char *path, struct error *error);
uint64_t system_boot_ns(void);
/* CPUs that per-CPU values have a place for. */
int system_possible_cpus(uint32_t *count, struct error *error);

#endif
