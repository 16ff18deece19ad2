// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* One small program a hook, for the addon's tests: each does something a test can see from outside. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

/* Read by xdp_verdict; a test writes it before the load. */
const volatile unsigned int verdict = XDP_PASS;
const volatile unsigned int marker = 0;

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 4);
    __type(key, unsigned int);
    __type(value, unsigned long long);
} runs SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 16);
} first_ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 16);
} second_ring SEC(".maps");

static void count_run(unsigned int hook)
{
    unsigned long long *count = bpf_map_lookup_elem(&runs, &hook);

    if (count)
        *count += 1;
}

SEC("xdp")
int xdp_verdict(struct xdp_md *ctx)
{
    count_run(0);
    return verdict;
}

/* Writes the packet's first bytes to the ring its first byte names: 24 of them, or 13. */
SEC("xdp")
int xdp_event(struct xdp_md *ctx)
{
    unsigned char *data = (void *)(long)ctx->data;
    unsigned char *end = (void *)(long)ctx->data_end;
    unsigned char record[24];

    if (data + sizeof(record) > end)
        return XDP_DROP;
    __builtin_memcpy(record, data, sizeof(record));
    if (record[0] == 0)
        bpf_ringbuf_output(&first_ring, record, 24, 0);
    else
        bpf_ringbuf_output(&second_ring, record, 13, 0);
    return XDP_PASS;
}

SEC("tc")
int tc_drop(struct __sk_buff *skb)
{
    count_run(1);
    return TC_ACT_SHOT;
}

SEC("cgroup/connect4")
int connect4_deny(struct bpf_sock_addr *ctx)
{
    count_run(2);
    return 0;
}

SEC("cgroup/bind4")
int bind4_deny(struct bpf_sock_addr *ctx)
{
    return 0;
}

SEC("cgroup/sendmsg4")
int sendmsg4_deny(struct bpf_sock_addr *ctx)
{
    return 0;
}

SEC("cgroup/sock_create")
int sock_create_deny(struct bpf_sock *ctx)
{
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
