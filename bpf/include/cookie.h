/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * SYN cookies (agent/policy/PACKETS.md §9): a flood of SYNs neither fills the device's queues nor the table
 * of connections.
 *
 *   SYN, allowed, to the device, of no connection
 *     -> within the zone's rate, or in monitor mode: as any other
 *     -> answered here, with a cookie of the listening socket's: nothing is remembered
 *     -> no cookie to be had: held to a limit per source
 *   ACK, of no connection, to a listener, while cookies are out; or of one that may have ended
 *     -> brings one back: judged as the SYN that got it, and opens the connection
 *     -> does not: dropped; of one that may have ended: as any other
 *
 * The kernel makes the cookies and knows them again, so that the listener takes the ACK that the program let
 * through. bpf_tcp_gen_syncookie (5.4) asks for the listener; its younger sisters that do without (6.0) leave
 * it unaware that there are cookies, and it then refuses them (tcp_synq_no_recent_overflow). It gives none
 * while net.ipv4.tcp_syncookies is 1 and the listener has room, and never where that is 0.
 */
#ifndef HUSK_COOKIE_H
#define HUSK_COOKIE_H

#include "limit.h"
#include "reject.h"

enum cookie_answer {
    COOKIE_NOT_ASKED = 0, /* no listener, or no cookies are out */
    COOKIE_GOOD = 1,
    COOKIE_BAD = 2,
};

/* Second of boot time in which a cookie was last given out; 0: none was. Programs only. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, husk_u32);
} cookie_clock SEC(".maps");

static __always_inline bool are_cookies_out(void)
{
    const husk_u32 *last = map_only_entry(&cookie_clock);
    return last && *last && clock_seconds() - *last <= HUSK_COOKIE_SECONDS;
}

static __always_inline void cookie_given_out(void)
{
    husk_u32 *last = map_only_entry(&cookie_clock), now = clock_seconds();
    if (last && *last != now) /* the line stays shared between the CPUs */
        WRITE_ONCE(*last, now);
}

/* Of TCP in a zone that gives out cookies. A twin gives out none. */
static __always_inline bool is_cookie_zone(const struct bench *bench, husk_u32 role)
{
    return is_ingress(role) && !is_twin(role) && bench->zone.flags & HUSK_ZONE_SYN_COOKIES &&
           bench->packet.has_tcp && !bench->packet.fragment && bench->connection.state;
}

/* An ACK that may open a connection: of none that is known, or of one that a FIN or RST was of. Its socket
 * may be gone, and while the kernel takes a cookie it takes it again. */
static __always_inline bool brings_cookie(const struct bench *bench, husk_u32 role)
{
    const struct connection *connection = &bench->connection;
    return is_cookie_zone(bench, role) && bench->zone.ingress_mode == HUSK_MODE_ENFORCE &&
           (bench->packet.tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_ACK &&
           (!connection->is_known || connection->flags & HUSK_CONNECTION_ENDED);
}

/* A SYN that would open a connection, and may. */
static __always_inline bool is_syn_watched(const struct bench *bench, husk_u32 role)
{
    return is_cookie_zone(bench, role) && !bench->is_cookie && is_tcp_opening(&bench->packet) &&
           !bench->connection.is_known && bench->result.verdict == HUSK_VERDICT_ALLOW;
}

/* Words from the IP header to the end of the TCP header, at the most. */
#define TCP_WORDS_MAX 15
static __always_inline husk_u32 cookie_words_of(const struct packet *packet)
{
    /* Those of a tag that was taken off are too many by one: no matter. */
    husk_u32 words = packet->layer4 / 4 + TCP_WORDS_MAX, all = quote_words_of(packet);
    return words < all ? words : all;
}

/* Where a TCP header may begin in what was read: behind so many words. */
#define TCP_AT_MAX 255
/* The TCP header that was read; NULL where it was not. Masked last: 6.12 forgets what a copy was compared
 * with. */
static __always_inline struct tcp_header *tcp_asked(struct answer *answer, const struct packet *packet)
{
    husk_u64 at = (packet->layer4 - answer->link_bytes) / 4;
    if (at + sizeof(struct tcp_header) / 4 > answer->quote_words || at > TCP_AT_MAX)
        return NULL;
    FORGET(at);
    return (void *)&answer->words[ANSWER_QUOTE_WORD + (at & TCP_AT_MAX)];
}

/* What the kernel looks at of an IP header: the version and the addresses. */
static __always_inline husk_u32 ip_bytes_of(const struct packet *packet)
{
    return packet->family == HUSK_FAMILY_IPV4 ? sizeof(struct ipv4_header) : sizeof(struct ipv6_header);
}

/* bpf_sock.state: include/net/tcp_states.h, the same since 2.6 */
#define TCP_STATE_LISTEN 10

/* The listener the packet is for. Not NULL: to be released. */
static __always_inline struct bpf_sock *find_listener(CONTEXT *ctx, const struct packet *packet)
{
    struct bpf_sock_tuple tuple = {};
    bool is_ipv4 = packet->family == HUSK_FAMILY_IPV4;
    if (is_ipv4) {
        tuple.ipv4.saddr = packet->saddr.words[3];
        tuple.ipv4.daddr = packet->daddr.words[3];
        tuple.ipv4.sport = bpf_htons(packet->sport);
        tuple.ipv4.dport = bpf_htons(packet->dport);
    } else {
        __builtin_memcpy(tuple.ipv6.saddr, &packet->saddr, sizeof(tuple.ipv6.saddr));
        __builtin_memcpy(tuple.ipv6.daddr, &packet->daddr, sizeof(tuple.ipv6.daddr));
        tuple.ipv6.sport = bpf_htons(packet->sport);
        tuple.ipv6.dport = bpf_htons(packet->dport);
    }
    /* _skc: a connection that the kernel is opening is not its listener. */
    struct bpf_sock *sock = bpf_skc_lookup_tcp(ctx, &tuple, is_ipv4 ? sizeof(tuple.ipv4) : sizeof(tuple.ipv6),
                                               BPF_F_CURRENT_NETNS, 0);
    if (!sock)
        return NULL;
    if (sock->state == TCP_STATE_LISTEN)
        return sock;
    bpf_sk_release(sock);
    return NULL;
}

/* The cookie of the listener the ACK is for: good, none, or nobody asks. */
GLOBAL husk_check_cookie(CONTEXT *ctx, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    struct answer *answer = answer_of(role);
    if (!bench || !answer || !is_to_device(&bench->packet))
        return COOKIE_NOT_ASKED;
    /* The kernel gives out cookies by itself too: what ended may have begun with one of those. */
    if (!bench->connection.is_known && !are_cookies_out())
        return COOKIE_NOT_ASKED;
    const struct packet *packet = &bench->packet;
    read_asked(ctx, bench, answer, role, cookie_words_of(packet));
    struct tcp_header *tcp = tcp_asked(answer, packet);
    struct bpf_sock *sock = tcp ? find_listener(ctx, packet) : NULL;
    if (!sock)
        return COOKIE_NOT_ASKED;
    long said = bpf_tcp_check_syncookie(sock, &answer->words[ANSWER_QUOTE_WORD], ip_bytes_of(packet),
                                        (void *)tcp, sizeof(*tcp));
    bpf_sk_release(sock);
    if (said)
        return bench->connection.is_known ? COOKIE_NOT_ASKED : COOKIE_BAD;
    /* A cookie that was used before is no SYN that took a token. */
    bench->is_paid = !bench->connection.is_known;
    if (bench->connection.is_known) {
        const struct husk_generation *generation = generation_of(bench->slot);
        if (!generation)
            return COOKIE_NOT_ASKED;
        connection_unknown(&bench->connection, packet, &generation->connections);
    }
    bench->connection.state = HUSK_CONNECTION_NEW;
    bench->packet.tcp_flags = TCP_SYN;
    bench->is_cookie = 1;
    count_total(HUSK_TOTAL_COOKIES_GOOD);
    return COOKIE_GOOD;
}

enum {
    TCP_OPTION_END = 0,
    TCP_OPTION_NOP = 1,
    TCP_OPTION_MSS = 2,
    TCP_OPTION_MD5 = 19,
    TCP_OPTION_AO = 29,
};
#define TCP_OPTIONS_MAX 24

/* Whether the sender wants a signed answer (RFC 2385, RFC 5925), which only the kernel can give; also where
 * the options can't be followed. */
GLOBAL husk_wants_signature(husk_u32 role)
{
    const struct bench *bench = bench_of(role);
    struct answer *answer = answer_of(role);
    if (!bench || !answer)
        return 1;
    const struct tcp_header *tcp = tcp_asked(answer, &bench->packet);
    if (!tcp)
        return 1;
    const husk_u8 *bytes = (const void *)tcp;
    husk_u64 end = (tcp->words >> 4) * 4, at = sizeof(*tcp);
#pragma clang loop unroll(disable)
    for (int round = 0; round < TCP_OPTIONS_MAX; round++) {
        if (at >= end)
            return 0;
        husk_u32 kind = bytes[at & 63], length = bytes[(at + 1) & 63];
        if (kind == TCP_OPTION_END)
            return 0;
        if (kind == TCP_OPTION_MD5 || kind == TCP_OPTION_AO || (kind != TCP_OPTION_NOP && length < 2))
            return 1;
        /* 5.10 walks each sum that there can be, were they known to it. */
        at = husk_unknown(at + (kind == TCP_OPTION_NOP ? 1 : length));
    }
    return 1;
}

/* What one packet carries on Ethernet. */
#define MSS_IPV4 1460
#define MSS_IPV6 1440
/* RFC 6928: what a sender begins with, before the kernel's own window is told to it. */
#define COOKIE_WINDOW (10 * MSS_IPV4)
#define TCP_MSS_WORDS 6

/* The SYN that was read, answered (RFC 9293 §3.10.7.2). The largest segment is the only option: window scale,
 * SACK and timestamps of a connection that is opened by a cookie are in the timestamp, whose offset is the
 * kernel's secret. */
static __always_inline husk_u32 answer_syn(struct answer *answer, const struct packet *packet,
                                           husk_u32 sequence, husk_u64 cookie)
{
    husk_u32 mss = cookie >> 32 & 0xffff;
    husk_u32 most = packet->family == HUSK_FAMILY_IPV4 ? MSS_IPV4 : MSS_IPV6;
    if (mss > most)
        mss = most;
    struct tcp_header *tcp = (void *)&answer->words[ANSWER_LAYER4_WORD];
    tcp->sport = bpf_htons(packet->dport);
    tcp->dport = bpf_htons(packet->sport);
    tcp->sequence = bpf_htonl((husk_u32)cookie);
    tcp->acknowledgement = bpf_htonl(bpf_ntohl(sequence) + 1);
    tcp->words = TCP_MSS_WORDS << 4;
    tcp->flags = TCP_SYN | TCP_ACK;
    tcp->window = bpf_htons(COOKIE_WINDOW);
    tcp->checksum = 0;
    tcp->urgent = 0;
    answer->words[ANSWER_LAYER4_WORD + 5] = bpf_htonl(TCP_OPTION_MSS << 24 | 4 << 16 | mss);
    answer->words[ANSWER_LAYER4_WORD + 6] = 0; /* behind it, up to ANSWER_BYTES_MIN */
    husk_u64 sum = answer_ip_header(answer, packet, PROTO_TCP, TCP_MSS_WORDS * 4);
    tcp->checksum = ~sum_fold(sum + sum_words(&answer->words[ANSWER_LAYER4_WORD], TCP_MSS_WORDS));
    return (ANSWER_LAYER4_WORD - answer->first + TCP_MSS_WORDS) * 4;
}

/* Makes the answer to the SYN; returns its bytes from the IP header on, 0 where there is none. */
GLOBAL husk_make_cookie(CONTEXT *ctx, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    struct answer *answer = answer_of(role);
    if (!bench || !answer)
        return 0;
    const struct packet *packet = &bench->packet;
    if ((packet->has_mac && packet->dmac & MAC_GROUP) || !is_one_host(&packet->saddr, packet->family) ||
        !is_one_host(&packet->daddr, packet->family))
        return 0;
    read_asked(ctx, bench, answer, role, cookie_words_of(packet));
    if (husk_wants_signature(role))
        return 0;
    struct tcp_header *tcp = tcp_asked(answer, packet);
    if (!tcp)
        return 0;
    /* Before 6.2 a verifier learns that a size is not 0 by addition alone. */
    husk_u64 beyond = (tcp->words >> 4) * 4 - sizeof(*tcp);
    if (beyond > TCP_WORDS_MAX * 4 - sizeof(*tcp))
        return 0;
    FORGET(beyond);
    beyond &= 63;
    husk_u32 sequence = tcp->sequence;
    struct bpf_sock *sock = find_listener(ctx, packet);
    if (!sock)
        return 0;
    long long cookie = bpf_tcp_gen_syncookie(sock, &answer->words[ANSWER_QUOTE_WORD], ip_bytes_of(packet),
                                             (void *)tcp, beyond + sizeof(*tcp));
    bpf_sk_release(sock);
    if (cookie < 0)
        return 0;
    cookie_given_out();
    return answer_syn(answer, packet, sequence, cookie);
}

enum syn_limit {
    SYN_ABOVE = 0,
    SYN_PER_SOURCE = 1,
};

/* Takes a token of a zone's limit: enum limit_answer. Apart, since the verifier walks all of it each time. */
GLOBAL husk_take_syn(husk_u32 role, husk_u32 which)
{
    struct bench *bench = bench_of(role);
    if (!bench)
        return LIMIT_WITHIN;
    const struct husk_generation *generation = generation_of(bench->slot);
    if (!generation)
        return LIMIT_WITHIN;
    const struct husk_syn_limits *limits = &generation->syn_limits[bench->zone.zone & (HUSK_ZONES_MAX - 1)];
    return limit_take(which == SYN_ABOVE ? &limits->above : &limits->per_source, &bench->packet,
                      bench_now(bench), false);
}

/* A SYN that the rules allow: what becomes of it above the zone's rate. */
GLOBAL husk_hold_syn(CONTEXT *ctx, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    const struct classifier_bench *classifier = classifier_bench(role);
    if (!bench || !classifier || !classifier->key.device)
        return 0;
    if (husk_take_syn(role, SYN_ABOVE) == LIMIT_WITHIN)
        return 0;
    husk_u32 rule = bench->zone.syn_cookies_rule;
    count_rule(rule, bench->length);
    if (bench->zone.ingress_mode != HUSK_MODE_ENFORCE)
        return 0;
    bench->answer_bytes = husk_make_cookie(ctx, role);
    if (bench->answer_bytes || husk_take_syn(role, SYN_PER_SOURCE) == LIMIT_WITHIN)
        return 0;
    count_limited(rule);
    bench->result.verdict = HUSK_VERDICT_DROP;
    bench->result.reason = HUSK_REASON_LIMITED;
    bench->result.rule = rule;
    return 0;
}

#endif
