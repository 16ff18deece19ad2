// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Packets that arrive where XDP does not see them as they are: on links without an Ethernet header (tun, ppp,
 * wwan), on bridges and other interfaces made of interfaces, and where the card takes VLAN tags off. Left to
 * whatever else is attached (TC_ACT_UNSPEC) or stopped (TC_ACT_SHOT), by the ingress rules of the interface's
 * zone. Emits what is stopped, and what monitor mode would have stopped. The order of judgement is in
 * judge_packet.h. Attachable by TCX and by clsact.
 *
 * The twin runs under BPF_PROG_TEST_RUN only: it proves a standby slot before it goes live.
 */
#include "include/judge_tc.h"

SEC("tc")
int husk_tc_ingress(struct __sk_buff *skb)
{
    return judge_tc(skb, ROLE_TC_INGRESS, 0);
}

SEC("tc")
int husk_tc_ingress_twin(struct __sk_buff *skb)
{
    return judge_tc(skb, ROLE_TC_INGRESS_TWIN, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
