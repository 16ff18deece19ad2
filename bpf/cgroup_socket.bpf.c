// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Which sockets a shielded service may make: family, type and protocol, refused with EPERM or left alone.
 * Emits refusals, and what monitor mode would have refused.
 *
 * The kernel asks here for AF_INET and AF_INET6 alone. AF_PACKET, AF_NETLINK and the rest are not seen: a
 * rule that names them cannot be enforced by this hook.
 */
#include "include/judge_call.h"

SEC("cgroup/sock_create")
int husk_sock_create(struct bpf_sock *ctx)
{
    struct call call = {
        .socket_family = ctx->family,
        .socket_type = ctx->type,
        .call = HUSK_CALL_SOCKET,
        .ip_proto = ctx->protocol,
        .hook = HUSK_HOOK_SOCKET,
    };
    return judge_call(&call);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
