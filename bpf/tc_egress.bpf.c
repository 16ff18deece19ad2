// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Packets that leave by an interface, sent by the device or forwarded: left to whatever else is attached
 * there (TC_ACT_UNSPEC) or stopped (TC_ACT_SHOT), by the egress rules of the interface's zone. Emits what is
 * stopped, and what monitor mode would have stopped. The order of judgement is in judge_packet.h. Attachable
 * by TCX and by clsact.
 *
 * The twin runs under BPF_PROG_TEST_RUN only: it proves a standby slot before it goes live.
 */
#include "include/tc_packet.h"

#include "include/judge_packet.h"
#include "include/reject_tc.h"

static __always_inline int judge_egress(struct __sk_buff *skb, husk_u32 role)
{
    if (!is_twin(role) && is_answer(skb))
        return TC_ACT_UNSPEC;
    struct bench *bench = bench_clear(role, skb->ifindex, skb->ingress_ifindex, skb->len);
    if (!bench)
        return TC_ACT_UNSPEC;
    if (find_zone(bench) && !judge_by_tables(skb, bench, role, parse(skb, role)))
        bench->result.reason = HUSK_REASON_NO_GENERATION;
    if (!conclude(skb, bench, role))
        return TC_ACT_UNSPEC;
    return is_answered(bench, role) ? husk_reject(skb, role) : TC_ACT_SHOT;
}

SEC("tc")
int husk_tc_egress(struct __sk_buff *skb)
{
    return judge_egress(skb, ROLE_TC_EGRESS);
}

SEC("tc")
int husk_tc_egress_twin(struct __sk_buff *skb)
{
    return judge_egress(skb, ROLE_TC_EGRESS_TWIN);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
