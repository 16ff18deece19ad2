// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Connections and limits by themselves: a frame holds a question, with packet, settings, time and generation,
 * and comes back with the answer in its place. What an ICMP error quotes follows it, where packet.layer4
 * says.
 */
#include "include/parsing.h"

#include "include/connection.h"
#include "include/connection_quote.h"
#include "include/connection_swap.h"
#include "include/clock.h"
#include "include/limit.h"

enum ask {
    ASK_FIND = 0,
    ASK_ALLOW = 1,    /* find, quoted too, and open or renew */
    ASK_FIRST = 2,    /* find, and the first packet into `packet` */
    ASK_STAND = 3,    /* find, and let it stand */
    ASK_VOID = 4,     /* find, and void it */
    ASK_FORWARD = 5,  /* find, and mark it as forwarded */
    ASK_REMEMBER = 6, /* find, and remember `verdict` by `rule` */
    ASK_LIMIT = 7,
    ASK_FRAGMENT = 8, /* find, and remember a first fragment */
    ASK_CLOCK = 9,
};
/* Behind the 14 bytes that TEST_RUN takes for an Ethernet header, and 2 more. */
struct question {
    husk_u8 link[16];
    husk_u64 now_ns;
    struct husk_limit limit;
    struct husk_connection_settings settings;
    struct packet packet;
    struct connection found;
    husk_u32 ask;
    husk_u32 now;
    husk_u32 generation;
    husk_u32 ifindex;
    husk_u32 flags;
    husk_u32 is_egress;
    husk_u32 rule;
    husk_u32 verdict;
    husk_u32 zone;
    husk_u32 answer;
};
/* test/bpf/connection-lab.ts writes and reads it. */
_Static_assert(sizeof(struct packet) == 88, "packet");
_Static_assert(sizeof(struct connection) == 80, "connection");
_Static_assert(sizeof(struct question) == 304, "question");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct question);
} questions SEC(".maps");

static __always_inline struct question *question_of(void)
{
    husk_u32 zero = 0;
    return bpf_map_lookup_elem(&questions, &zero);
}

GLOBAL ask_find(husk_u32 now)
{
    struct question *q = question_of();
    if (!q)
        return 0;
    connection_find(&q->found, &q->packet, &q->settings, q->is_egress, q->generation, q->now);
    return 0;
}
GLOBAL ask_quoted_xdp(struct xdp_md *ctx)
{
    struct question *q = question_of();
    if (!q)
        return 0;
    connection_find_quoted_xdp(ctx, &q->found, &q->packet, &q->settings, q->generation, q->now);
    return 0;
}
GLOBAL ask_quoted_skb(struct __sk_buff *skb)
{
    struct question *q = question_of();
    if (!q)
        return 0;
    connection_find_quoted_skb(skb, &q->found, &q->packet, &q->settings, q->is_egress, q->generation, q->now);
    return 0;
}
GLOBAL ask_open_or_renew(husk_u32 now)
{
    struct question *q = question_of();
    if (!q)
        return 0;
    connection_open_or_renew(&q->found, &q->packet, &q->settings, q->ifindex, q->flags, q->generation,
                             q->now);
    return 0;
}
GLOBAL ask_first(husk_u32 now)
{
    struct question *q = question_of();
    if (!q)
        return 0;
    return connection_first_packet(&q->found, &q->packet, &q->ifindex, &q->flags);
}
GLOBAL ask_rest(husk_u32 ask)
{
    struct question *q = question_of();
    if (!q)
        return 0;
    switch (ask) {
    case ASK_STAND:
        connection_stand(&q->found, q->generation);
        break;
    case ASK_VOID:
        connection_void(&q->found, &q->packet, &q->settings);
        break;
    case ASK_FORWARD:
        connection_mark_forwarded(&q->found);
        break;
    case ASK_REMEMBER:
        connection_remember(&q->found, q->is_egress, q->verdict, q->rule, q->zone, q->generation);
        break;
    case ASK_FRAGMENT:
        connection_fragment_remember(&q->found, &q->packet, q->now);
        break;
    }
    return 0;
}
GLOBAL ask_limit(husk_u32 is_dry)
{
    struct question *q = question_of();
    if (!q)
        return 0;
    return limit_take(&q->limit, &q->packet, q->now_ns, is_dry);
}

/* From the question on, as far as it does not need the frame. */
static __always_inline void answer(struct question *q)
{
    if (q->ask == ASK_ALLOW)
        ask_open_or_renew(0);
    else if (q->ask == ASK_FIRST)
        q->answer = ask_first(0);
    else
        ask_rest(q->ask);
}
static __always_inline bool answer_without_frame(struct question *q)
{
    if (q->ask == ASK_LIMIT)
        q->answer = ask_limit(q->flags);
    else if (q->ask == ASK_CLOCK)
        q->answer = clock_seconds();
    else
        return false;
    return true;
}

SEC("xdp")
int ask_xdp(struct xdp_md *ctx)
{
    struct question *frame = (void *)(long)ctx->data, *q = question_of();
    if (!q || (void *)(frame + 1) > (void *)(long)ctx->data_end)
        return XDP_ABORTED;
    __builtin_memcpy(q, frame, sizeof(*q));
    if (!answer_without_frame(q)) {
        ask_find(0);
        ask_quoted_xdp(ctx);
        answer(q);
    }
    frame = (void *)(long)ctx->data;
    if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
        return XDP_ABORTED;
    __builtin_memcpy(frame, q, sizeof(*q));
    return XDP_PASS;
}

SEC("tc")
int ask_tc(struct __sk_buff *skb)
{
    struct question *q = question_of();
    if (!q || bpf_skb_load_bytes(skb, 0, q, sizeof(*q)))
        return 2;
    if (!answer_without_frame(q)) {
        ask_find(0);
        ask_quoted_skb(skb);
        answer(q);
    }
    bpf_skb_store_bytes(skb, 0, q, sizeof(*q), 0);
    return 0;
}

/*
 * For many threads at once, as often as TEST_RUN repeats: random ones of 16 connections on whatever buckets
 * there are, each told by its number in all that is remembered of it; `wrong` counts what was read of
 * another.
 */
struct hammered {
    husk_u64 runs;
    husk_u64 known;
    husk_u64 decided;
    husk_u64 wrong;
    husk_u64 within;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct hammered);
} hammered SEC(".maps");

/* Flags that a connection of this number is opened with: all of them tell two numbers apart. */
static __always_inline husk_u32 hammer_flags(husk_u32 number)
{
    return (number & 1 ? HUSK_CONNECTION_DEVICE : 0) | (number & 2 ? HUSK_CONNECTION_SERVICE : 0) |
           (number & 4 ? HUSK_CONNECTION_TO_DEVICE : 0) | (number & 8 ? HUSK_CONNECTION_EGRESS : 0);
}

SEC("xdp")
int hammer_connections(struct xdp_md *ctx)
{
    husk_u32 zero = 0, number = bpf_get_prandom_u32() & 15;
    const husk_u32 told =
        HUSK_CONNECTION_DEVICE | HUSK_CONNECTION_SERVICE | HUSK_CONNECTION_TO_DEVICE | HUSK_CONNECTION_EGRESS;
    struct question *q = question_of();
    struct hammered *count = bpf_map_lookup_elem(&hammered, &zero);
    if (!q || !count)
        return XDP_ABORTED;
    __builtin_memset(&q->packet, 0, sizeof(q->packet));
    __builtin_memset(&q->settings, 0xff, sizeof(q->settings) - sizeof(q->settings.pad));
    address_from_ipv4(&q->packet.saddr, bpf_htonl(0x0a000000 | number));
    address_from_ipv4(&q->packet.daddr, bpf_htonl(0x0a000100 | number));
    q->packet.sport = number;
    q->packet.family = HUSK_FAMILY_IPV4;
    q->packet.ip_proto = PROTO_UDP;
    q->is_egress = 0;
    q->now = 1000;
    q->generation = 1;
    q->ifindex = number;
    q->flags = hammer_flags(number);
    /* A timeout of -1 would be over at once. */
    q->settings.timeouts[HUSK_TIMEOUT_UDP_ONE_WAY] = 30;
    count->runs += 1;
    ask_find(0);
    if (q->found.is_known) {
        count->known += 1;
        count->wrong += (q->found.flags & told) != hammer_flags(number);
        if (q->found.decided) {
            count->decided += 1;
            count->wrong += DECIDED_RULE(q->found.decided) != number;
        }
    }
    ask_open_or_renew(0);
    q->rule = number;
    q->verdict = HUSK_VERDICT_ALLOW;
    q->zone = 0;
    ask_rest(ASK_REMEMBER);
    if (q->found.is_known && ask_first(0))
        count->wrong += q->ifindex != number;
    return XDP_PASS;
}

/* One limit, at one time: as many are within as it has tokens, whoever asks. */
SEC("xdp")
int hammer_limit(struct xdp_md *ctx)
{
    husk_u32 zero = 0;
    struct question *q = question_of();
    struct hammered *count = bpf_map_lookup_elem(&hammered, &zero);
    if (!q || !count)
        return XDP_ABORTED;
    __builtin_memset(&q->packet, 0, sizeof(q->packet));
    q->now_ns = 1000000000000;
    q->limit = (struct husk_limit){
        .cost_ns = 1000, .depth_ns = 1000 * 100000, .digest = 7, .per = HUSK_LIMIT_PER_RULE};
    count->runs += 1;
    count->within += ask_limit(0) == LIMIT_WITHIN;
    return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
