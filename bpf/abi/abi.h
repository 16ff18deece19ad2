/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The words every hook reads first, and the numbers that travel.
 *
 * Numbers are appended, never reused; a retired one keeps its place and its name.
 *
 * The live word (struct husk_control.live):
 *
 *     31      30     29                              0
 *   +-------+------+--------------------------------+
 *   | trial | slot | deadline, seconds of boot time |
 *   +-------+------+--------------------------------+
 *
 * Outside a trial the deadline is 0. One atomic store changes it. A program that sees the deadline of
 * a trial passed stores the word it saw in `expired`; `expired == live` means that the other slot is in
 * force, for good. No two trials may share a word: user space never gives out a deadline twice.
 */
#ifndef HUSK_ABI_ABI_H
#define HUSK_ABI_ABI_H

#include "limits.h"

typedef unsigned char husk_u8;
typedef unsigned short husk_u16;
typedef unsigned int husk_u32;
typedef unsigned long long husk_u64;

#define HUSK_LIVE_TRIAL (1u << 31)
#define HUSK_LIVE_SLOT_SHIFT 30
#define HUSK_LIVE_SLOT (1u << HUSK_LIVE_SLOT_SHIFT)
#define HUSK_LIVE_DEADLINE (HUSK_LIVE_SLOT - 1)

/* "No rule": a verdict that no rule or default gave. */
#define HUSK_RULE_NONE 0xffffffffu

/* Written by user space through mmap; `expired` by programs too. */
struct husk_control {
    husk_u32 live;
    husk_u32 expired;
    /* Packet events per second and CPU; what is over it is counted as suppressed. */
    husk_u32 packet_events_per_second;
    /* Generations loaded so far: user space's alone, here because it lives as long as the programs. */
    husk_u32 generations;
    /* Second of boot time until which packets are traced (HUSK_EVENT_TRACE); 0: none are. Whoever traces
     * moves it on, so that it ends with him. */
    husk_u32 trace_until_s;
    husk_u32 pad;
};
_Static_assert(sizeof(struct husk_control) == 24, "husk_control");

enum husk_verdict {
    HUSK_VERDICT_ALLOW = 1,
    HUSK_VERDICT_DROP = 2,   /* packets */
    HUSK_VERDICT_DENY = 3,   /* system calls: EPERM */
    HUSK_VERDICT_REJECT = 4, /* packets: dropped, and answered where an answer may be given */
    HUSK_VERDICT_LOG = 5,    /* rules for packets: counted and reported, and the walk goes on */
};

/* Why a verdict was given, where no rule says it. */
enum husk_reason {
    HUSK_REASON_RULE = 1,
    HUSK_REASON_DEFAULT = 2,
    HUSK_REASON_NEVER_DROP = 3,
    HUSK_REASON_UNPARSEABLE = 4,
    HUSK_REASON_UNZONED = 5,
    HUSK_REASON_NO_GENERATION = 6, /* a slot or table was missing: allowed, counted, reported */
    HUSK_REASON_NO_SUBJECT = 7,
    HUSK_REASON_LIMITED = 8,     /* a rule allows it, and its limit does not */
    HUSK_REASON_DEFERRED = 9,    /* left to the interface that lies on this one */
    HUSK_REASON_COOKIE = 10,     /* an ACK to a listener, without a cookie while cookies are given out */
    HUSK_REASON_OWN_SOURCE = 11, /* came in under an address of the device's own */
};

enum husk_mode {
    HUSK_MODE_MONITOR = 1, /* counted and reported, not acted on */
    HUSK_MODE_ENFORCE = 2,
};

enum husk_hook {
    HUSK_HOOK_XDP_INGRESS = 1,
    HUSK_HOOK_TC_EGRESS = 2,
    HUSK_HOOK_CONNECT = 3,
    HUSK_HOOK_SENDMSG = 4,
    HUSK_HOOK_BIND = 5,
    HUSK_HOOK_SOCKET = 6,
    HUSK_HOOK_TC_INGRESS = 7,
    HUSK_HOOK_EXEC = 8,
    HUSK_HOOK_MMAP = 9,
    HUSK_HOOK_FILE = 10,
    HUSK_HOOK_MOUNT = 11,
    HUSK_HOOK_PRIVILEGE = 12,
    HUSK_HOOK_KERNEL = 13,
};

/* Where a packet is bound, or made: a bit of what a rule is found by. */
enum husk_course {
    HUSK_COURSE_THROUGH = 0, /* ingress: not to the device; egress: came in by an interface */
    HUSK_COURSE_DEVICE = 1,  /* ingress: to the device; egress: made here */
};

/* Kinds of table in a slot; each has an outer map of maps with one entry per slot. */
enum husk_table {
    HUSK_TABLE_GENERATION = 0,
    HUSK_TABLE_ZONES = 1,
    HUSK_TABLE_INGRESS = 2,
    HUSK_TABLE_EGRESS = 3,
    HUSK_TABLE_SET4 = 4, /* retired: one trie for all sets of a family */
    HUSK_TABLE_SET6 = 5, /* retired */
    HUSK_TABLE_SUBJECTS = 6,
    HUSK_TABLE_CALLS = 7,
    HUSK_TABLE_CALL_SET4 = 8,
    HUSK_TABLE_CALL_SET6 = 9,
    HUSK_TABLE_DEFERRED = 10,
    HUSK_TABLE_INGRESS_EXTRA = 11,
    HUSK_TABLE_EGRESS_EXTRA = 12,
    HUSK_TABLE_INGRESS_CLASSES = 13,
    HUSK_TABLE_EGRESS_CLASSES = 14,
    HUSK_TABLE_ADDITIONS4 = 15,
    HUSK_TABLE_ADDITIONS6 = 16,
    /* One number for each big set: they share an outer map. */
    HUSK_TABLE_BIG4 = 20,
    HUSK_TABLE_BIG6 = HUSK_TABLE_BIG4 + HUSK_BIG_SETS_MAX,
    HUSK_TABLE_OPERATIONS = HUSK_TABLE_BIG6 + HUSK_BIG_SETS_MAX,
    HUSK_TABLE_PROGRAMS = HUSK_TABLE_OPERATIONS + 1,
    HUSK_TABLE_USERS = HUSK_TABLE_OPERATIONS + 2,
    HUSK_TABLE_APPLETS = HUSK_TABLE_OPERATIONS + 3,
    HUSK_TABLE_DECISIONS = HUSK_TABLE_OPERATIONS + 4,
    HUSK_TABLE_COUNT = HUSK_TABLE_OPERATIONS + 5,
};

/* Indexes into the per-CPU array `totals` (u64 each). */
enum husk_total {
    HUSK_TOTAL_INGRESS = 0, /* packets that came by, in a zone or not */
    HUSK_TOTAL_EGRESS = 1,
    HUSK_TOTAL_CALLS = 2, /* calls of tasks with a subject */
    HUSK_TOTAL_NEVER_DROP = 3,
    HUSK_TOTAL_UNPARSEABLE = 4,
    HUSK_TOTAL_UNZONED = 5,
    HUSK_TOTAL_NO_GENERATION = 6,
    HUSK_TOTAL_PACKET_EVENTS_LOST = 7,       /* ring full */
    HUSK_TOTAL_PACKET_EVENTS_SUPPRESSED = 8, /* over the budget */
    HUSK_TOTAL_CALL_EVENTS_LOST = 9,
    HUSK_TOTAL_DEADLINES_SEEN = 10, /* invocations that judged by the previous slot since a trial ran out */
    HUSK_TOTAL_DEFERRED = 11,
    HUSK_TOTAL_REJECTS_SENT = 12,
    HUSK_TOTAL_REJECTS_SUPPRESSED = 13,  /* over the budget, or of what is never answered */
    HUSK_TOTAL_TRACES_LOST = 17,         /* the tracer's ring was full */
    HUSK_TOTAL_COOKIES_SENT = 18,        /* SYNs answered with a cookie */
    HUSK_TOTAL_COOKIES_GOOD = 19,        /* ACKs that brought one back */
    HUSK_TOTAL_COOKIES_BAD = 20,         /* ACKs dropped that brought none */
    HUSK_TOTAL_OWN_SOURCE = 21,          /* dropped: came in under an address of the device's own */
    HUSK_TOTAL_TASKS_UNKNOWN = 24,       /* there was no room for a lineage */
    HUSK_TOTAL_TASKS_FOUND = 25,         /* that were there before the programs */
    HUSK_TOTAL_OBSERVED_SUPPRESSED = 26, /* allowed, and told of no more in that period */
    HUSK_TOTAL_SELF_REFUSED = 30,        /* what would have been done to Husk itself */
    HUSK_TOTAL_COUNT = 32,
};

/* Per-rule counter, per CPU. */
struct husk_counter {
    husk_u64 hits;
    husk_u64 bytes;
    husk_u64 limited; /* matched, above the limit */
};
_Static_assert(sizeof(struct husk_counter) == 24, "husk_counter");

/* The name of a dense counter index; pinned beside the counters, so that it lives as long as they do. */
struct husk_rule_name {
    char id[HUSK_RULE_ID_BYTES];
};
_Static_assert(sizeof(struct husk_rule_name) == HUSK_RULE_ID_BYTES, "husk_rule_name");

/*
 * What the twin programs and the canary are to be judged by, written before they run. Twins judge by
 * `slot` and as if on an interface of zone `ifindex`; a task in `canary_cgroup` is judged by `slot` with
 * the subjects `canary_subjects`. 0 in `canary_cgroup`: no canary. A twin follows no connection: what looking
 * one up would say is in `state`.
 */
struct husk_try {
    husk_u64 canary_cgroup;
    husk_u64 canary_subjects;
    husk_u32 slot;
    husk_u32 ifindex;
    husk_u32 came_by;          /* egress: the interface by which it came in; 0: made here */
    husk_u32 state;            /* enum husk_connection_state */
    husk_u32 canary_operation; /* enum husk_operation: what hooks of tiers A and B judge of the canary */
    husk_u32 pad;
};
_Static_assert(sizeof(struct husk_try) == 40, "husk_try");

/* What the last twin run or canary call came to. Twins and canaries touch no counter and no ring. */
struct husk_tried {
    husk_u32 verdict;   /* enum husk_verdict */
    husk_u32 reason;    /* enum husk_reason */
    husk_u32 rule;      /* dense index, or HUSK_RULE_NONE */
    husk_u32 monitored; /* dense index of the first rule in monitor mode that matched, or HUSK_RULE_NONE */
    husk_u32 runs;      /* grows by one a run, so that a stale record shows */
    husk_u32 state;     /* enum husk_connection_state, packets */
    husk_u32 noted; /* rules and defaults that matched and did not decide: log, and mode monitor; packets */
    husk_u32 last_noted; /* dense index of the last of them, or HUSK_RULE_NONE */
};
_Static_assert(sizeof(struct husk_tried) == 32, "husk_tried");

#endif
