/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Records for user space: enforced denials and drops, what monitor mode would have denied or dropped, and
 * packets that a rule asks to be told of, one in so many. Never for other allows. A producer does not wait: a
 * full ring loses the new record, a packet over the second's budget is suppressed, and both are counted, per
 * CPU, where it happened.
 */
#ifndef HUSK_EMIT_H
#define HUSK_EMIT_H

#include "bench.h"
#include "count.h"
#include "live.h"
#include "lookup.h"

/* What there is to say about a verdict. */
struct finding {
    husk_u64 serial;
    husk_u32 rule;
    husk_u8 hook;
    husk_u8 verdict; /* what the rule says */
    husk_u8 mode;
    husk_u8 reason;
};

static __always_inline void event_head(struct husk_event *event, const struct finding *finding, husk_u16 kind,
                                       husk_u16 size, husk_u64 boot_ns)
{
    event->boot_ns = boot_ns;
    event->serial = finding->serial;
    event->rule = finding->rule;
    event->kind = kind;
    event->size = size;
    event->hook = finding->hook;
    event->verdict = finding->verdict;
    event->mode = finding->mode;
    event->reason = finding->reason;
    event->pad = 0;
}

/* True while this CPU's second has room. A budget of 0 suppresses all. */
static __always_inline bool packet_event_affordable(const struct husk_control *shared)
{
    struct event_budget *budget = map_only_entry(&event_budget);
    if (!budget)
        return false;
    husk_u64 second = clock_seconds(); /* under a flood nearly all are over the budget: no clock for them */
    if (budget->second != second) {
        budget->second = second;
        budget->used = 0;
    }
    if (budget->used >= READ_ONCE(shared->packet_events_per_second))
        return false;
    budget->used += 1;
    return true;
}

static __always_inline void describe_packet(struct husk_packet_event *event, const struct finding *finding,
                                            const struct bench *bench, husk_u16 kind)
{
    const struct packet *packet = &bench->packet;
    event_head(&event->head, finding, kind, sizeof(*event), bench->now_ns);
    __builtin_memcpy(event->saddr, &packet->saddr, sizeof(event->saddr));
    __builtin_memcpy(event->daddr, &packet->daddr, sizeof(event->daddr));
    event->ifindex = bench->ifindex;
    event->length = bench->length;
    event->sport = packet->sport;
    event->dport = packet->dport;
    event->ether_type = packet->ether_type;
    event->ip_proto = packet->ip_proto;
    event->tcp_flags = packet->tcp_flags;
    event->family = packet->family;
    event->fragment = packet->fragment;
    event->state = bench->connection.state;
    event->icmp_type = packet->icmp_type;
    event->icmp_code = packet->icmp_code;
    event->link = bench->zone.link;
    event->outer_vlan = packet->outer_vlan;
    event->data_length = bench->data_length;
    event->came_by = bench->packet.came_by;
    __builtin_memcpy(event->data, bench->data, sizeof(event->data));
}

static __always_inline void emit_packet(const struct finding *finding, const struct bench *bench)
{
    struct husk_packet_event *event = bpf_ringbuf_reserve(&packet_events, sizeof(*event), 0);
    if (!event) {
        count_total(HUSK_TOTAL_PACKET_EVENTS_LOST);
        return;
    }
    describe_packet(event, finding, bench, HUSK_EVENT_PACKET);
    bpf_ringbuf_submit(event, 0);
}

static __always_inline void emit_call(const struct finding *finding, const struct call *call, husk_u64 cgroup)
{
    struct husk_call_event *event = bpf_ringbuf_reserve(&call_events, sizeof(*event), 0);
    if (!event) {
        count_total(HUSK_TOTAL_CALL_EVENTS_LOST);
        return;
    }
    husk_u64 task = bpf_get_current_pid_tgid();
    husk_u64 user = bpf_get_current_uid_gid();
    event_head(&event->head, finding, HUSK_EVENT_CALL, sizeof(*event), bpf_ktime_get_boot_ns());
    event->cgroup = cgroup;
    __builtin_memcpy(event->addr, &call->addr, sizeof(event->addr));
    event->tgid = task >> 32;
    event->tid = task;
    event->uid = user;
    event->gid = user >> 32;
    event->port = call->port;
    event->socket_family = call->socket_family;
    event->socket_type = call->socket_type;
    event->ip_proto = call->ip_proto;
    event->call = call->call;
    /* It clears what it can't fill. */
    bpf_get_current_comm(event->comm, sizeof(event->comm));
    bpf_ringbuf_submit(event, 0);
}

#endif
