// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Where a shielded service may send: connect() of TCP and UDP, and sendto()/sendmsg() of UDP to an address,
 * refused with EPERM or left alone. Emits refusals, and what monitor mode would have refused.
 *
 * All four are needed for one word of policy: connect4 alone lets IPv4-mapped connects of IPv6 sockets and
 * UDP's sendto pass. Raw sockets have no such hook: they are refused at socket().
 */
#include "include/judge_call.h"

SEC("cgroup/connect4")
int husk_connect4(struct bpf_sock_addr *ctx)
{
    return judge_call4(ctx, HUSK_HOOK_CONNECT, HUSK_CALL_CONNECT);
}

SEC("cgroup/connect6")
int husk_connect6(struct bpf_sock_addr *ctx)
{
    return judge_call6(ctx, HUSK_HOOK_CONNECT, HUSK_CALL_CONNECT);
}

SEC("cgroup/sendmsg4")
int husk_sendmsg4(struct bpf_sock_addr *ctx)
{
    return judge_call4(ctx, HUSK_HOOK_SENDMSG, HUSK_CALL_CONNECT);
}

SEC("cgroup/sendmsg6")
int husk_sendmsg6(struct bpf_sock_addr *ctx)
{
    return judge_call6(ctx, HUSK_HOOK_SENDMSG, HUSK_CALL_CONNECT);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
