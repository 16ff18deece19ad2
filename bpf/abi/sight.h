/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What was seen of tasks, counted where it was seen: what a learning subject does, and where a policy in
 * shadow would have decided otherwise. One row for each thing, with its name, so that nothing has to be read
 * in time and an agent that was away misses nothing but what there was no room for, which is counted.
 */
#ifndef HUSK_ABI_SIGHT_H
#define HUSK_ABI_SIGHT_H

#include "abi.h"

/* Rows of the map `profile`, and of `differences`. 600 bytes each, taken as they are made. */
#define HUSK_PROFILE_MAX 4096
#define HUSK_DIFFERENCES_MAX 1024
/* Names of one folder that are kept one by one for an operation of a subject; of more, the folder alone. */
#define HUSK_FOLDER_NAMES_MAX 16

/* Bytes of a path in a row: as husk_operation_event.names. */
#define HUSK_SIGHT_NAMES_BYTES 320
/* Of the name that a program was started by, as it was typed. */
#define HUSK_SIGHT_TYPED_BYTES 128

enum husk_sight_kind {
    HUSK_SIGHT_PLAIN = 1,  /* the operation has no object */
    HUSK_SIGHT_PATH = 2,   /* value: the path */
    HUSK_SIGHT_FOLDER = 3, /* value: the folder; names in it, of which there are many */
    HUSK_SIGHT_NUMBER = 4, /* value: as HUSK_OBJECT_NUMBER */
    HUSK_SIGHT_CALL = 5,   /* addr, port, ip_proto; socket: value family << 16 | type */
    HUSK_SIGHT_UNRESOLVED = 6,
};

struct husk_sight_key {
    husk_u64 value;
    husk_u64 name; /* EXEC: number of the name it is started by; 0: none */
    husk_u8 addr[16];
    husk_u32
        rule; /* profile: the index that stands for who learns; differences: the live rule that decides */
    husk_u32 shadow_rule; /* differences: that of the policy in shadow; HUSK_RULE_NONE: none of it */
    husk_u16 operation;
    husk_u16 port;
    husk_u8 kind; /* enum husk_sight_kind */
    husk_u8 traits;
    husk_u8 ip_proto;
    husk_u8 verdicts; /* differences: HUSK_SIGHT_ bits */
};
_Static_assert(sizeof(struct husk_sight_key) == 48, "husk_sight_key");

/* husk_sight_key.verdicts */
#define HUSK_SIGHT_LIVE_DENIES 1
#define HUSK_SIGHT_SHADOW_DENIES 2

/* Of the task: the first that was seen. */
struct husk_sight {
    husk_u64 count;
    husk_u64 first_ns; /* boot time */
    husk_u64 last_ns;
    husk_u64 cgroup;
    husk_u32 below; /* FOLDER: names in it that have rows of their own */
    husk_u32 device;
    husk_u32 tgid;
    husk_u32 uid;
    char comm[16];
    char typed[HUSK_SIGHT_TYPED_BYTES]; /* EXEC: what it was started as, a path or a name */
    husk_u8 names[HUSK_SIGHT_NAMES_BYTES];
    husk_u32 names_length;
    husk_u32 flags; /* HUSK_EVENT_PATH_CUT */
};
_Static_assert(sizeof(struct husk_sight) == 520, "husk_sight");

#endif
