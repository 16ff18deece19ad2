/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel can do, by a minimal try of each thing: never by its version, and never by what it
 * says of itself. Nothing is attached and nothing stays. Any thread; reads the kernel's BTF once, some
 * tens of milliseconds.
 */
#ifndef HUSK_NATIVE_PROBE_H
#define HUSK_NATIVE_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#define PROBE_LSM_LIST_BYTES 256
#define PROBE_NAME_BYTES 128

/* 0: present. Otherwise the positive errno that the try was answered with. */
struct probe_features {
    int xdp;
    int sched_cls;
    int tcx;
    int cgroup_sock_addr;
    int cgroup_sock;
    int netfilter;
    int lsm;
    int fmod_ret;
    int tracepoint_btf;
    int raw_tracepoint;
    int ringbuf;
    int mmapable_array;
    int map_of_maps;
    int lpm_trie;
    int task_storage;
    int batch;
    int seccomp;
    int landlock_abi; /* 0: no Landlock, or it is off */
    int kernel_btf;   /* 1: /sys/kernel/btf/vmlinux is there */
    char lsm_list[PROBE_LSM_LIST_BYTES];
};

void probe_run(struct probe_features *features);

/* Which functions the kernel's BTF names. All are missing where it has none. */
void probe_functions(const char (*names)[PROBE_NAME_BYTES], size_t count, bool *found);

#endif
