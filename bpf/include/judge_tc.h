/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What tc programs make of a packet, in either direction: left to whatever else is attached (TC_ACT_UNSPEC),
 * stopped (TC_ACT_SHOT), or turned into its answer. Attachable by TCX and by clsact.
 */
#ifndef HUSK_JUDGE_TC_H
#define HUSK_JUDGE_TC_H

#include "tc_packet.h"

#include "reject_tc.h"

#include "judge_packet.h"

static __always_inline int judge_tc(struct __sk_buff *skb, husk_u32 role, husk_u32 came_by)
{
    if (!is_twin(role) && is_answer(skb))
        return TC_ACT_UNSPEC;
    struct bench *bench = bench_clear(role, skb->ifindex, came_by, skb->len);
    if (!bench)
        return TC_ACT_UNSPEC;
    if (find_zone(bench) && !judge_by_tables(skb, bench, role, parse(skb, role)))
        bench->result.reason = HUSK_REASON_NO_GENERATION;
    if (!conclude(skb, bench, role))
        return bench->answer_bytes ? husk_send_cookie(skb, role) : TC_ACT_UNSPEC;
    return is_answered(bench, role) ? husk_reject(skb, role) : TC_ACT_SHOT;
}

#endif
