/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Answers where a packet is still the card's: it becomes the answer and is sent back (XDP_TX). */
#ifndef HUSK_REJECT_XDP_H
#define HUSK_REJECT_XDP_H

#include "reject.h"

/* Copies and adds up what is quoted. Beside what calls it, as all loops here: their ends are many. */
GLOBAL husk_reject_read(struct xdp_md *ctx, husk_u32 role, husk_u32 words)
{
    struct answer *answer = answer_of(role);
    if (!answer)
        return 0;
    husk_u32 read = 0;
    husk_u64 sum = 0;
    const void *end = (void *)(long)ctx->data_end;
    const husk_u32 *pos = (void *)(long)ctx->data + (answer->link_bytes & 31);
#pragma clang loop unroll(disable)
    for (husk_u32 at = 0; at < ANSWER_QUOTE_WORDS_MAX; at++) {
        if (at >= words || (const void *)(pos + 1) > end)
            break;
        answer->words[ANSWER_QUOTE_WORD + at] = *pos;
        sum += *pos;
        read = at + 1;
        pos++;
    }
    answer->quote_words = read;
    answer->quote_sum = sum_fold(sum);
    return 0;
}

/* Puts the answer in the place of the packet's IP header and what follows; returns the words written. */
GLOBAL husk_reject_write(struct xdp_md *ctx, husk_u32 role, husk_u32 bytes)
{
    const struct answer *answer = answer_of(role);
    if (!answer)
        return 0;
    const void *end = (void *)(long)ctx->data_end;
    husk_u32 *pos = (void *)(long)ctx->data + (answer->link_bytes & 31);
    const husk_u32 *from = &answer->words[answer->first & 7];
    husk_u32 words = bytes / 4, written = 0;
#pragma clang loop unroll(disable)
    for (husk_u32 at = 0; at < ICMPV6_ERROR_BYTES_MAX / 4; at++) {
        if (at >= words || (const void *)(pos + 1) > end)
            break;
        *pos = from[at];
        written = at + 1;
        pos++;
    }
    return written;
}

/* The link's header is kept aside, since the frame's beginning may move, and put back turned round. */
GLOBAL husk_reject_read_link(struct xdp_md *ctx, husk_u32 role)
{
    struct answer *answer = answer_of(role);
    if (!answer)
        return 0;
    const void *end = (void *)(long)ctx->data_end;
    const husk_u16 *pos = (void *)(long)ctx->data;
#pragma unroll
    for (husk_u32 at = 0; at < ANSWER_LINK_HALVES; at++) {
        if (at * 2 >= answer->link_bytes || (const void *)(pos + at + 1) > end)
            break;
        answer->link[at] = pos[at];
    }
    return 0;
}
GLOBAL husk_reject_write_link(struct xdp_md *ctx, husk_u32 role)
{
    const struct answer *answer = answer_of(role);
    if (!answer)
        return 0;
    const void *end = (void *)(long)ctx->data_end;
    husk_u16 *pos = (void *)(long)ctx->data;
#pragma unroll
    for (husk_u32 at = 0; at < ANSWER_LINK_HALVES; at++) {
        if (at * 2 >= answer->link_bytes || (const void *)(pos + at + 1) > end)
            break;
        pos[at] = answer->link[at < 6 ? (at + 3) % 6 : at];
    }
    return 0;
}

/* Shorter at the end, longer at the front: there is room in front of every frame, behind it not always. */
static __always_inline bool resize(struct xdp_md *ctx, int delta)
{
    if (delta > 0)
        return !bpf_xdp_adjust_head(ctx, -delta);
    return !bpf_xdp_adjust_tail(ctx, delta);
}

/* The packet as far as an answer needs it; what was read is in the answer. */
static __always_inline void read_asked(struct xdp_md *ctx, const struct bench *bench, struct answer *answer,
                                       husk_u32 role, husk_u32 words)
{
    answer->link_bytes = link_bytes(bench, false);
    husk_reject_read(ctx, role, words);
}

/* The answer that was made goes out in the packet's place. 0: it could not. */
GLOBAL husk_send_answer(struct xdp_md *ctx, husk_u32 role, husk_u32 bytes)
{
    const struct bench *bench = bench_of(role);
    const struct answer *answer = answer_of(role);
    if (!bench || !answer || !bytes)
        return 0;
    husk_u32 length = bench->length;
    husk_reject_read_link(ctx, role);
    if (bytes < ANSWER_BYTES_MIN && answer->link_bytes + ANSWER_BYTES_MIN <= length)
        bytes = ANSWER_BYTES_MIN;
    if (!resize(ctx, answer->link_bytes + bytes - length) ||
        (husk_u32)husk_reject_write(ctx, role, bytes) * 4 != bytes)
        return 0;
    husk_reject_write_link(ctx, role);
    return 1;
}

/* Returns the action for the rejected packet. */
GLOBAL husk_reject(struct xdp_md *ctx, husk_u32 role)
{
    const struct bench *bench = bench_of(role);
    struct answer *answer = answer_of(role);
    if (!bench || !answer || !husk_reject_allowed(role))
        return XDP_DROP;
    read_asked(ctx, bench, answer, role, quote_words_of(&bench->packet));
    if (!husk_send_answer(ctx, role, husk_reject_make(role))) {
        count_total(HUSK_TOTAL_REJECTS_SUPPRESSED);
        return XDP_DROP;
    }
    count_total(HUSK_TOTAL_REJECTS_SENT);
    return XDP_TX;
}

/* Returns the action for a SYN that is answered with a cookie. */
GLOBAL husk_send_cookie(struct xdp_md *ctx, husk_u32 role)
{
    const struct bench *bench = bench_of(role);
    if (!bench || !husk_send_answer(ctx, role, bench->answer_bytes))
        return XDP_DROP;
    count_total(HUSK_TOTAL_COOKIES_SENT);
    return XDP_TX;
}

#endif
