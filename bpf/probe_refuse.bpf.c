// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What `husk-agent probe` and the agent's start try a kernel by: whether a program that refuses is heard.
 * Each is attached alone, for the moment in which a canary tries, and refuses the canary and nobody else.
 *
 * The canary is known by its name, which is random. The errno is one that nothing else on the way gives, so
 * that a refusal for another reason is not taken for ours.
 */
#include "include/probe_name.h"

#define EHWPOISON 133

/* Tier A. */
SEC("lsm/bprm_check_security")
int BPF_PROG(husk_probe_lsm, struct linux_binprm *bprm, int before)
{
    return before ? before : is_probe_canary() ? -EHWPOISON : 0;
}

/* Tier B. */
SEC("fmod_ret/security_bprm_check")
int BPF_PROG(husk_probe_fmod_ret, struct linux_binprm *bprm, int before)
{
    return before ? before : is_probe_canary() ? -EHWPOISON : 0;
}

/* Tier C, calls: attached to a cgroup that nobody but the canary is in. */
SEC("cgroup/connect4")
int husk_probe_connect(struct bpf_sock_addr *ctx)
{
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
