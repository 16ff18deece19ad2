/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the rings carry. User space treats a record as hostile until its kind and size agree. */
#ifndef HUSK_ABI_EVENT_H
#define HUSK_ABI_EVENT_H

#include "abi.h"

enum husk_event_kind {
    HUSK_EVENT_PACKET = 1,
    HUSK_EVENT_CALL = 2,
    HUSK_EVENT_TRACE = 3, /* a husk_packet_event of a ring of its own: any verdict */
    HUSK_EVENT_OPERATION = 4,
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
    husk_u8 state; /* enum husk_connection_state */
    husk_u8 icmp_type;
    husk_u8 icmp_code;
    husk_u8 link;        /* HUSK_LINK_ of what `data` begins with */
    husk_u16 outer_vlan; /* id | 0x1000; 0: no tag */
    husk_u32 data_length;
    husk_u32 came_by;                    /* egress: the interface by which it came in; 0: made here */
    husk_u8 data[HUSK_EVENT_DATA_BYTES]; /* the first bytes of it */
};
_Static_assert(sizeof(struct husk_packet_event) == 160, "husk_packet_event");

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

/* husk_trace.flags: what is asked */
#define HUSK_TRACE_ADDRESS 1
#define HUSK_TRACE_PORT 2
#define HUSK_TRACE_PROTOCOL 4
#define HUSK_TRACE_INTERFACE 8
#define HUSK_TRACE_STOPPED 16 /* what is dropped or rejected alone */

/* Which packets are traced: those for which all holds that is asked. */
struct husk_trace {
    husk_u8 addr[16]; /* source or destination, within the mask */
    husk_u8 mask[16];
    husk_u32 ifindex;
    husk_u16 port; /* source or destination */
    husk_u8 ip_proto;
    husk_u8 family; /* HUSK_FAMILY_ of the address */
    husk_u8 flags;
    husk_u8 pad[7];
};
_Static_assert(sizeof(struct husk_trace) == 48, "husk_trace");

#endif
