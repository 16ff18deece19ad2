/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is told of operations and calls of tasks: once in a period at once, by a record in the ring; all that
 * is alike in that period is counted in the map `repeats`, which user space reads when the period is over. So
 * a task that tries the same thing a million times costs the ring one record, and is counted exactly.
 *
 *     all that happened = records + counts in `repeats` + what the totals say was lost or suppressed
 */
#ifndef HUSK_ABI_OPERATION_EVENT_H
#define HUSK_ABI_OPERATION_EVENT_H

#include "event.h"
#include "hardening.h"

/* A period is 2^this nanoseconds of boot time: 8.6 s. */
#define HUSK_PERIOD_SHIFT 33
/* Different things that are counted at a time; of further ones each is told by itself. */
#define HUSK_REPEATS_MAX 2048
/* New things in a period of what was allowed; further ones are suppressed, so that there is room for denials.
 */
#define HUSK_OBSERVED_MAX 512

/* Names of a path in an event; what is cut is the folders near the root. */
#define HUSK_EVENT_NAMES_BYTES 320

/* husk_alike.flags */
#define HUSK_OPERATION_KILLED 1 /* the process was ended */
#define HUSK_OPERATION_TARGET 2 /* `target` is an address, and no path */

/* What makes two operations alike: the key of `repeats`. */
struct husk_alike {
    struct husk_program program; /* what the task runs; 0: not known */
    husk_u64 value;              /* number of the operation, one added; EXEC: the name it is started as, as
                                    a number; 0: it has none */
    /* A path: the dcache's hash and length of the last name, the inode number of the folder, the file
     * system's number. An address: its 16 bytes, then port | socket type << 16 | protocol << 32. */
    husk_u64 target[3];
    husk_u32 rule;   /* dense index, or HUSK_RULE_NONE */
    husk_u32 period; /* boot time >> HUSK_PERIOD_SHIFT */
    husk_u16 operation;
    husk_u16 socket_family;
    husk_u8 verdict;
    husk_u8 mode;
    husk_u8 traits; /* a bit for each enum husk_trait */
    husk_u8 flags;
};
_Static_assert(sizeof(struct husk_alike) == 64, "husk_alike");

struct husk_repeats {
    husk_u64 first_ns; /* boot time of the one that was told */
    husk_u64 last_ns;
    husk_u64 count; /* of those after it */
};

/* The first of a period: denied, would be denied, or allowed and observed. */
struct husk_operation_event {
    struct husk_event head;
    struct husk_alike alike;
    husk_u64 cgroup;
    husk_u64 start_ns;                             /* boot time at which the process began */
    struct husk_program lineage[HUSK_LINEAGE_MAX]; /* as in husk_task */
    husk_u32 programs;                             /* of `lineage`; 0: not known */
    husk_u32 flags;
    husk_u32 tgid;
    husk_u32 tid;
    husk_u32 parent; /* tgid */
    husk_u32 uid;    /* effective */
    husk_u32 gid;
    husk_u32 device; /* of the path: as stat() gives it */
    husk_u32 names_length;
    husk_u32 pad;
    char comm[16];
    char parent_comm[16];
    husk_u8 names[HUSK_EVENT_NAMES_BYTES]; /* of the path, from its end up to the root, each with its NUL */
};
_Static_assert(sizeof(struct husk_operation_event) == 760, "husk_operation_event");

/* husk_operation_event.flags */
#define HUSK_EVENT_PATH_CUT 1     /* there were more names than have room */
#define HUSK_EVENT_LINEAGE_FULL 2 /* the task came from more programs than there is room for */

#endif
