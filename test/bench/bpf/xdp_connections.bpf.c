// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What following connections costs. Each run makes a packet of one of `count` connections, in random order,
 * as parsing would leave it, and does with it what `mode` says; BENCH_NOTHING is what making it takes.
 */
#include "include/parsing.h"

#include "include/clock.h"
#include "include/connection.h"
#include "include/limit.h"

enum mode {
    BENCH_NOTHING = 0,
    BENCH_OPEN_ALL = 1,    /* in order, and answered: before measuring */
    BENCH_ESTABLISHED = 2, /* found and renewed */
    BENCH_MISS = 3,        /* looked for in vain */
    BENCH_OPEN = 4,        /* a new one each time */
    BENCH_LOCK = 5,        /* established, and the bucket's lock taken and given back once more */
    BENCH_CLOCK = 6,       /* the second of boot time */
    BENCH_LIMIT = 7,       /* a token by source */
};
struct bench_task {
    husk_u8 link[16];
    husk_u32 mode;
    husk_u32 count;
    husk_u32 now;
    husk_u32 pad;
};

struct state {
    struct packet packet;
    struct connection found;
    struct husk_connection_settings settings;
    struct husk_limit limit;
    husk_u64 random;
    husk_u64 next;
    husk_u64 known;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct state);
} states SEC(".maps");

static __always_inline struct state *state_of(void)
{
    husk_u32 zero = 0;
    return bpf_map_lookup_elem(&states, &zero);
}

GLOBAL bench_find(husk_u32 now)
{
    struct state *state = state_of();
    if (!state)
        return 0;
    connection_find(&state->found, &state->packet, &state->settings, false, 1, now);
    return state->found.is_known;
}
GLOBAL bench_allow(husk_u32 now)
{
    struct state *state = state_of();
    if (!state)
        return 0;
    connection_open_or_renew(&state->found, &state->packet, &state->settings, 7, 0, 1, now);
    return 0;
}
GLOBAL bench_lock(husk_u32 now)
{
    struct state *state = state_of();
    if (!state)
        return 0;
    struct connection_bucket *bucket = connection_bucket_of(state->found.bucket);
    if (!bucket)
        return 0;
    bpf_spin_lock(&bucket->lock);
    bpf_spin_unlock(&bucket->lock);
    return 0;
}
GLOBAL bench_limit(husk_u32 now)
{
    struct state *state = state_of();
    if (!state)
        return 0;
    return limit_take(&state->limit, &state->packet, (husk_u64)now * 1000000000, false);
}

/* Every number is another connection, client to server or, where `is_back`, turned round. */
static __always_inline void packet_make(struct packet *packet, husk_u32 number, bool is_back)
{
    __builtin_memset(packet, 0, sizeof(*packet));
    husk_u32 client = bpf_htonl(0x0a000000 + number / 16), server = bpf_htonl(0xc6336401);
    husk_u16 port = 32768 + number % 16;
    address_from_ipv4(&packet->saddr, is_back ? server : client);
    address_from_ipv4(&packet->daddr, is_back ? client : server);
    packet->sport = is_back ? 443 : port;
    packet->dport = is_back ? port : 443;
    packet->tcp_flags = TCP_ACK;
    packet->family = HUSK_FAMILY_IPV4;
    packet->ip_proto = PROTO_TCP;
    packet->has_tcp = 1;
    packet->has_ports = 1;
}

SEC("xdp")
int bench_connections(struct xdp_md *ctx)
{
    struct bench_task *task = (void *)(long)ctx->data;
    struct state *state = state_of();
    if (!state || (void *)(task + 1) > (void *)(long)ctx->data_end)
        return XDP_ABORTED;
    husk_u32 mode = task->mode, now = task->now;
    /* Knuth's linear congruence; its upper half is good enough to keep a prefetcher from guessing. */
    state->random = state->random * 6364136223846793005ull + 1442695040888963407ull;
    husk_u32 number = (state->random >> 32) * task->count >> 32;
    bool is_back = state->random >> 31 & 1;
    if (mode == BENCH_OPEN_ALL || mode == BENCH_OPEN) {
        number = state->next;
        state->next += 1;
        is_back = false;
    } else if (mode == BENCH_MISS) {
        number += 0x800000;
    }
    state->settings.is_followed = 1;
    state->settings.timeouts[HUSK_TIMEOUT_TCP_OPENING] = 60;
    state->settings.timeouts[HUSK_TIMEOUT_TCP_ESTABLISHED] = 7440;
    packet_make(&state->packet, number, is_back);
    switch (mode) {
    case BENCH_OPEN_ALL:
        state->packet.tcp_flags = TCP_SYN;
        bench_find(now);
        bench_allow(now);
        packet_make(&state->packet, number, true);
        bench_find(now);
        bench_allow(now);
        packet_make(&state->packet, number, false);
        bench_find(now);
        bench_allow(now);
        break;
    case BENCH_ESTABLISHED:
        state->known += bench_find(now);
        bench_allow(now);
        break;
    case BENCH_MISS:
        state->known += bench_find(now);
        break;
    case BENCH_OPEN:
        state->packet.tcp_flags = TCP_SYN;
        bench_find(now);
        bench_allow(now);
        break;
    case BENCH_LOCK:
        state->known += bench_find(now);
        bench_lock(now);
        bench_allow(now);
        break;
    case BENCH_CLOCK:
        state->known += clock_seconds();
        break;
    case BENCH_LIMIT:
        state->limit.cost_ns = 1;
        state->limit.depth_ns = ~0ull >> 2;
        state->limit.digest = 9;
        state->limit.per = HUSK_LIMIT_PER_SOURCE;
        state->limit.prefix4 = 32;
        bench_limit(now);
        break;
    }
    return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
