// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Which addresses and ports a shielded service may take by bind(), refused with EPERM or left alone. Emits
 * refusals, and what monitor mode would have refused. A port that the kernel picks (0, or none bound before
 * connect() or listen()) is seen as 0, or not at all.
 */
#include "include/judge_call.h"

SEC("cgroup/bind4")
int husk_bind4(struct bpf_sock_addr *ctx)
{
    return judge_call4(ctx, HUSK_HOOK_BIND, HUSK_CALL_BIND);
}

SEC("cgroup/bind6")
int husk_bind6(struct bpf_sock_addr *ctx)
{
    return judge_call6(ctx, HUSK_HOOK_BIND, HUSK_CALL_BIND);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
