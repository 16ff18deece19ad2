/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The bench: the packet under judgement, what is known of it, and what became of it.
 *
 * One bench a role and CPU. In a map and not on the stack, because the verifier knows nothing of what it
 * reads back from a map: the paths through parsing meet again after it. On the stack each kept the constants
 * it had stored, and 6.18 gave up at a million instructions. Packet programs run with bottom halves off, so
 * a role does not interrupt itself; twins have benches of their own.
 */
#ifndef HUSK_BENCH_H
#define HUSK_BENCH_H

#include "clock.h"
#include "connection_quote.h"
#include "connection_swap.h"
#include "lookup.h"
#include "parsing.h"

/* Who judges. A twin judges by `try_label`, writes `tried`, and touches no counter, no ring, no connection
 * and no limit. `role` is a constant where it is used, so that each program keeps only its own half. */
enum role {
    ROLE_XDP_INGRESS = 0,
    ROLE_TC_INGRESS = 1,
    ROLE_TC_EGRESS = 2,
    ROLE_XDP_INGRESS_TWIN = 3,
    ROLE_TC_INGRESS_TWIN = 4,
    ROLE_TC_EGRESS_TWIN = 5,
    ROLE_COUNT = 6,
};

#define CLASSIFIER_SMALL classes_small_slots
#define CLASSIFIER_MEDIUM classes_medium_slots
#define CLASSIFIER_LARGE classes_large_slots
#define CLASSIFIER_BENCHES ROLE_COUNT
#include "classify.h"

static __always_inline bool is_twin(husk_u32 role)
{
    return role >= ROLE_XDP_INGRESS_TWIN;
}
static __always_inline bool is_ingress(husk_u32 role)
{
    return role != ROLE_TC_EGRESS && role != ROLE_TC_EGRESS_TWIN;
}

struct bench {
    struct packet packet;
    struct connection connection;
    struct husk_tried result;
    husk_u64 serial;
    husk_u64 now_ns; /* of boot; 0: not read yet */
    husk_u32 generation;
    husk_u32 slot;
    husk_u32 ifindex;
    husk_u32 length; /* on the wire, link header included */
    husk_u32 before; /* bytes before the packet that are not its own: what a tunnel took off (tc_packet.h) */
    husk_u32 has_entry; /* the walk goes on behind the one it came to */
    husk_u32 origins;   /* egress: the bit of husk_extra.origins that holds */
    husk_u32 reject_with;
    husk_u32 data_length;
    husk_u32 answer_bytes; /* allowed, and answered in the device's place: the answer from its IP header on */
    husk_u8 is_egress;     /* whose rules; not the role's own where a connection is judged again */
    husk_u8
        is_quiet; /* nothing is counted, reported or taken: twins, and connections that are judged again */
    husk_u8 is_counted;
    husk_u8 is_untold;     /* stopped by a rule that reports one in so many, and not one of them */
    husk_u8 is_per_packet; /* what was decided hangs on more than the connection */
    husk_u8 is_cookie;     /* brought a good SYN cookie: judged as the SYN that got it */
    husk_u8 is_paid;       /* and that took the tokens */
    struct husk_zone zone; /* of the interface, copied: user space may change its entry meanwhile */
    husk_u8 data[HUSK_EVENT_DATA_BYTES];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, ROLE_COUNT);
    __type(key, husk_u32);
    __type(value, struct bench);
} benches SEC(".maps");

static __always_inline struct bench *bench_of(husk_u32 role)
{
    return bpf_map_lookup_elem(&benches, &role);
}

/* Reading it costs 43 ns, so that it is read once a packet, and only where a limit or an event asks. */
static __always_inline husk_u64 bench_now(struct bench *bench)
{
    if (!bench->now_ns)
        bench->now_ns = bpf_ktime_get_boot_ns();
    return bench->now_ns;
}

static __always_inline const struct husk_generation *generation_of(husk_u32 slot)
{
    return table_wide(&generation_slots, slot);
}

/* As before any rule was looked at. */
static __always_inline void bench_decide_nothing(struct bench *bench)
{
    struct husk_tried *result = &bench->result;
    result->verdict = HUSK_VERDICT_ALLOW;
    result->reason = HUSK_REASON_NO_GENERATION;
    result->rule = HUSK_RULE_NONE;
    result->monitored = HUSK_RULE_NONE;
    result->noted = 0;
    result->last_noted = HUSK_RULE_NONE;
    bench->is_untold = 0;
}

#endif
