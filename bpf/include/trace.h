/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Following matching packets live: whatever became of them, one record each, to a ring that only the tracer
 * reads. It costs nothing while nobody traces but the look at one word, and ends by itself when the tracer is
 * gone.
 */
#ifndef HUSK_TRACE_H
#define HUSK_TRACE_H

#include "walk.h"

static __always_inline husk_u64 outside_masked(const union address *address, const struct husk_trace *trace)
{
    return outside_prefix(address, trace->addr, trace->mask);
}

static __always_inline bool is_traced(const struct husk_trace *trace, const struct bench *bench)
{
    const struct packet *packet = &bench->packet;
    husk_u64 flags = trace->flags;
    husk_u64 address = (outside_masked(&packet->saddr, trace) & outside_masked(&packet->daddr, trace)) |
                       any(packet->family ^ trace->family);
    husk_u64 port =
        (any(packet->sport ^ trace->port) & any(packet->dport ^ trace->port)) | (packet->has_ports ^ 1);
    husk_u64 is_passed =
        any(bench->result.verdict ^ HUSK_VERDICT_DROP) & any(bench->result.verdict ^ HUSK_VERDICT_REJECT);
    husk_u64 differs = address * flag_of(flags, HUSK_TRACE_ADDRESS) | port * flag_of(flags, HUSK_TRACE_PORT) |
                       (packet->ip_proto ^ trace->ip_proto) * flag_of(flags, HUSK_TRACE_PROTOCOL) |
                       (bench->ifindex ^ trace->ifindex) * flag_of(flags, HUSK_TRACE_INTERFACE) |
                       is_passed * flag_of(flags, HUSK_TRACE_STOPPED);
    return !differs;
}

GLOBAL husk_trace(CONTEXT *ctx, husk_u32 role)
{
    struct bench *bench = bench_of(role);
    struct husk_control *shared = map_only_entry(&control);
    const struct husk_trace *trace = map_only_entry(&trace_filter);
    if (!bench || !shared || !trace || clock_seconds() >= READ_ONCE(shared->trace_until_s) ||
        !is_traced(trace, bench))
        return 0;
    struct husk_packet_event *event = bpf_ringbuf_reserve(&trace_events, sizeof(*event), 0);
    if (!event) {
        count_total(HUSK_TOTAL_TRACES_LOST);
        return 0;
    }
    struct finding finding = {
        .serial = bench->serial,
        .rule = bench->result.rule,
        .hook = hook_of(role),
        .verdict = bench->result.verdict,
        .mode = HUSK_MODE_ENFORCE,
        .reason = bench->result.reason,
    };
    bench_now(bench);
    bench->data_length = copy_data(ctx, bench);
    describe_packet(event, &finding, bench, HUSK_EVENT_TRACE);
    bpf_ringbuf_submit(event, 0);
    return 0;
}

static __always_inline bool is_tracing(void)
{
    struct husk_control *shared = map_only_entry(&control);
    return shared && READ_ONCE(shared->trace_until_s);
}

#endif
