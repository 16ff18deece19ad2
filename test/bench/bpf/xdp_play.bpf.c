// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Gives the packet other addresses, ports and another protocol each run, then goes on to the program in
 * `next`: a benchmark of one packet over and over measures the cache. What it takes by itself is measured
 * with bench_drop as `next`. The frame has to be IPv4 or IPv6 without options, with 20 bytes behind the
 * header.
 */
#include "include/compat.h"

#define PLAYS 65536

struct play {
    husk_u8 addresses[32]; /* as on the wire; IPv4 has the first eight bytes */
    husk_u8 ports[4];
    husk_u8 protocol;
    husk_u8 pad[3];
};
struct plays {
    struct play plays[PLAYS];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct plays);
} plays SEC(".maps");

struct position {
    husk_u32 at;
    husk_u32 count;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct position);
} position SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, husk_u32);
} next SEC(".maps");

static __always_inline const struct play *next_play(void)
{
    husk_u32 zero = 0;
    struct position *position_now = bpf_map_lookup_elem(&position, &zero);
    const struct plays *all = bpf_map_lookup_elem(&plays, &zero);
    if (!position_now || !all)
        return NULL;
    husk_u32 at = position_now->at + 1;
    position_now->at = at < position_now->count ? at : 0;
    return &all->plays[position_now->at % PLAYS];
}

/* PROTOCOL_AT, ADDRESSES_AT, PORTS_AT: where they are in the frame. */
#define PLAYER(NAME, PROTOCOL_AT, ADDRESSES_AT, ADDRESSES_BYTES, PORTS_AT)                                   \
    SEC("xdp")                                                                                               \
    int NAME(struct xdp_md *ctx)                                                                             \
    {                                                                                                        \
        const struct play *play = next_play();                                                               \
        husk_u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;                    \
        if (!play || data + (PORTS_AT) + 20 > data_end)                                                      \
            return XDP_ABORTED;                                                                              \
        data[PROTOCOL_AT] = play->protocol;                                                                  \
        __builtin_memcpy(data + (ADDRESSES_AT), play->addresses, ADDRESSES_BYTES);                           \
        __builtin_memcpy(data + (PORTS_AT), play->ports, sizeof(play->ports));                               \
        bpf_tail_call(ctx, &next, 0);                                                                        \
        return XDP_ABORTED;                                                                                  \
    }

PLAYER(bench_play4, 23, 26, 8, 34)
PLAYER(bench_play6, 20, 22, 32, 54)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
