/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the rings carry. User space treats a record as hostile until its kind and size agree. */
#ifndef HUSK_ABI_EVENT_H
#define HUSK_ABI_EVENT_H

#include "abi.h"

enum husk_event_kind {
    HUSK_EVENT_PACKET = 1,
    HUSK_EVENT_CALL = 2,
};

struct husk_event {
    husk_u64 boot_ns;
    husk_u64 serial; /* of the generation that judged */
    husk_u32 rule;   /* dense index, or HUSK_RULE_NONE */
    husk_u16 kind;
    husk_u16 size; /* of the whole record */
    husk_u8 hook;
    husk_u8 verdict; /* what the rule says */
    husk_u8 mode;    /* HUSK_MODE_MONITOR: it was not acted on */
    husk_u8 reason;
    husk_u32 pad;
};
_Static_assert(sizeof(struct husk_event) == 32, "husk_event");

struct husk_packet_event {
    struct husk_event head;
    husk_u8 saddr[16];
    husk_u8 daddr[16];
    husk_u32 ifindex;
    husk_u32 length; /* bytes on the wire, link header included */
    husk_u16 sport;  /* host order; 0 without ports */
    husk_u16 dport;
    husk_u16 ether_type; /* host order, after VLAN tags */
    husk_u8 ip_proto;
    husk_u8 tcp_flags;
    husk_u8 family; /* HUSK_FAMILY_ */
    husk_u8 fragment;
    husk_u8 pad[6];
};
_Static_assert(sizeof(struct husk_packet_event) == 88, "husk_packet_event");

struct husk_call_event {
    struct husk_event head;
    husk_u64 cgroup;
    husk_u8 addr[16];
    husk_u32 tgid;
    husk_u32 tid;
    husk_u32 uid;
    husk_u32 gid;
    husk_u16 port;
    husk_u16 socket_family;
    husk_u16 socket_type;
    husk_u8 ip_proto;
    husk_u8 call; /* HUSK_CALL_ */
    char comm[16];
};
_Static_assert(sizeof(struct husk_call_event) == 96, "husk_call_event");

#endif
