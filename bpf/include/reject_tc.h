/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Answers where a packet is the kernel's already: it becomes the answer and is redirected, out of the
 * interface that it came in by, or in by the interface that it was to leave by.
 *
 * Its checksum may be one that the kernel has left to the card (CHECKSUM_PARTIAL): on its way out the card
 * would write it into the middle of the answer, at the place where that of the old packet was. Nothing lets a
 * program say that the answer's checksums are done. But the kernel itself drops the note when bytes are taken
 * off the front up to and past where the sum was to begin (skb_postpull_rcsum). So the packet is made longer
 * at its end, by as much as is then taken out between the link's header and the rest; what is left is written
 * over.
 */
#ifndef HUSK_REJECT_TC_H
#define HUSK_REJECT_TC_H

#include "reject.h"

/* Past the layer-4 header, by enough for that of a packet inside a tunnel's. */
#define PAST_CHECKSUM_START 128
/* What bpf_skb_adjust_room takes at the most. */
#define ROOM_BYTES_MAX 0xfff

/* What answers carry in skb->tc_index: of this start of the programs, and never 0. */
static __always_inline husk_u32 answer_tag(void)
{
    const struct husk_connection_setup *setup = connection_setup_of();
    return setup ? (setup->seed[6] & 0xffff) | 1 : 0;
}

static __always_inline bool is_answer(const struct __sk_buff *skb)
{
    return skb->tc_index && skb->tc_index == answer_tag();
}

GLOBAL husk_reject_sum(husk_u32 role)
{
    struct answer *answer = answer_of(role);
    if (!answer)
        return 0;
    husk_u64 sum = 0;
#pragma clang loop unroll(disable)
    for (husk_u32 at = 0; at < ANSWER_QUOTE_WORDS_MAX; at++) {
        if (at >= answer->quote_words)
            break;
        sum += answer->words[ANSWER_QUOTE_WORD + at];
    }
    answer->quote_sum = sum_fold(sum);
    return 0;
}

GLOBAL husk_reject_read(struct __sk_buff *skb, husk_u32 role, husk_u32 words)
{
    struct answer *answer = answer_of(role);
    if (!answer)
        return 0;
    /* A helper takes no size that may be 0, and before 6.2 a verifier learns that it is not by addition
     * alone. */
    husk_u64 beyond = (husk_u64)words * 4 - 4;
    FORGET(beyond);
    answer->quote_words = 0;
    answer->quote_sum = 0;
    if (beyond > ANSWER_QUOTE_WORDS_MAX * 4 - 4 ||
        bpf_skb_load_bytes(skb, answer->link_bytes, &answer->words[ANSWER_QUOTE_WORD], beyond + 4))
        return 0;
    answer->quote_words = beyond / 4 + 1;
    husk_reject_sum(role);
    return 0;
}

/* The link's header turned round. */
GLOBAL husk_reject_turn(struct __sk_buff *skb)
{
    husk_u16 macs[6], turned[6];
    if (bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)))
        return 0;
#pragma unroll
    for (int at = 0; at < 6; at++)
        turned[at] = macs[(at + 3) % 6];
    return !bpf_skb_store_bytes(skb, 0, turned, sizeof(turned), BPF_F_RECOMPUTE_CSUM);
}

/* The packet with the answer's length, its checksums its own. 0 where that can't be had. */
GLOBAL husk_reject_resize(struct __sk_buff *skb, husk_u32 length, husk_u32 layer4)
{
    husk_u32 room = layer4 + PAST_CHECKSUM_START;
    if (room > ROOM_BYTES_MAX)
        room = ROOM_BYTES_MAX;
    if (bpf_skb_change_tail(skb, length + room, 0))
        return 0;
    /* Not where a second VLAN tag is in the frame. */
    if (!bpf_skb_adjust_room(skb, -(int)room, BPF_ADJ_ROOM_MAC, 0))
        return 1;
    return !bpf_skb_change_tail(skb, length, 0);
}

GLOBAL husk_reject_write(struct __sk_buff *skb, husk_u32 role, husk_u32 size)
{
    const struct bench *bench = bench_of(role);
    const struct answer *answer = answer_of(role);
    husk_u64 beyond = (husk_u64)size - 4;
    FORGET(beyond);
    if (!bench || !answer || beyond > ICMPV6_ERROR_BYTES_MAX - 4)
        return 0;
    if (bench->zone.link != HUSK_LINK_BARE && !husk_reject_turn(skb))
        return 0;
    return !bpf_skb_store_bytes(skb, answer->link_bytes, &answer->words[answer->first & 7], beyond + 4,
                                BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH);
}

/* The packet as far as an answer needs it; what was read is in the answer. */
static __always_inline void read_asked(struct __sk_buff *skb, const struct bench *bench,
                                       struct answer *answer, husk_u32 role, husk_u32 words)
{
    answer->link_bytes = link_bytes(bench, skb->vlan_present);
    husk_reject_read(skb, role, words);
}

/* The answer that was made takes the packet's place. 0: it could not. */
GLOBAL husk_put_answer(struct __sk_buff *skb, husk_u32 role, husk_u32 bytes)
{
    const struct bench *bench = bench_of(role);
    const struct answer *answer = answer_of(role);
    if (!bench || !answer || !bytes)
        return 0;
    if (!husk_reject_resize(skb, answer->link_bytes + bytes, bench->packet.layer4) ||
        !husk_reject_write(skb, role, bytes))
        return 0;
    /* Marks and priorities were those of the packet, by who sent it. */
    skb->mark = 0;
    skb->priority = 0;
    skb->tc_index = answer_tag();
    return 1;
}

/* Returns the action for the rejected packet. */
GLOBAL husk_reject(struct __sk_buff *skb, husk_u32 role)
{
    const struct bench *bench = bench_of(role);
    struct answer *answer = answer_of(role);
    if (!bench || !answer || !husk_reject_allowed(role))
        return TC_ACT_SHOT;
    read_asked(skb, bench, answer, role, quote_words_of(&bench->packet));
    if (!husk_put_answer(skb, role, husk_reject_make(role))) {
        count_total(HUSK_TOTAL_REJECTS_SUPPRESSED);
        return TC_ACT_SHOT;
    }
    count_total(HUSK_TOTAL_REJECTS_SENT);
    return bpf_redirect(skb->ifindex, is_ingress(role) ? 0 : BPF_F_INGRESS);
}

/* Returns the action for a SYN that is answered with a cookie: coming in alone. */
GLOBAL husk_send_cookie(struct __sk_buff *skb, husk_u32 role)
{
    const struct bench *bench = bench_of(role);
    if (!bench || !husk_put_answer(skb, role, bench->answer_bytes))
        return TC_ACT_SHOT;
    count_total(HUSK_TOTAL_COOKIES_SENT);
    return bpf_redirect(skb->ifindex, 0);
}

#endif
