// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Packets that leave by an interface, sent by the device or forwarded: left to whatever else is attached
 * there (TC_ACT_UNSPEC) or stopped (TC_ACT_SHOT), by the egress rules of the interface's zone. Emits what is
 * stopped, and what monitor mode would have stopped. The order of judgement is in judge_packet.h. Attachable
 * by TCX and by clsact.
 *
 * The twin runs under BPF_PROG_TEST_RUN only: it proves a standby slot before it goes live.
 */
#include "include/judge_tc.h"

SEC("tc")
int husk_tc_egress(struct __sk_buff *skb)
{
    return judge_tc(skb, ROLE_TC_EGRESS, skb->ingress_ifindex);
}

SEC("tc")
int husk_tc_egress_twin(struct __sk_buff *skb)
{
    return judge_tc(skb, ROLE_TC_EGRESS_TWIN, skb->ingress_ifindex);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
