/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The table image: what a policy is compiled to, table by table. agent/policy/compile.ts writes these,
 * the programs read them.
 *
 * Addresses of both families are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2),
 * so that one comparison serves both. Ports are in host order. A rule matches when every condition does;
 * the first match in list order wins, save that a rule in monitor mode is noted and passed over.
 */
#ifndef HUSK_ABI_TABLES_H
#define HUSK_ABI_TABLES_H

#include "abi.h"
#include "connections.h"
#include "rate.h"

/* husk_connection_settings.is_followed: which connections are looked up and remembered */
#define HUSK_FOLLOWS_NONE 0
#define HUSK_FOLLOWS_ALL 1
#define HUSK_FOLLOWS_SERVICES 2 /* the device's own to its services: no rule asks for a state */

/* Connections of the device itself whose replies are never dropped. ip_proto 0: no such service. */
struct husk_service {
    husk_u8 addr[16]; /* all zero: at any address */
    husk_u16 port;
    husk_u8 ip_proto;
    husk_u8 pad;
};
_Static_assert(sizeof(struct husk_service) == 20, "husk_service");

/* One question about a packet's address, whose answer is a bit of its key. */
struct husk_set_use {
    husk_u8 set;  /* which big set; HUSK_BIG_SETS_MAX: no further use */
    husk_u8 side; /* 0: source, 1: destination */
    husk_u8 has_additions;
    husk_u8 pad;
};
_Static_assert(sizeof(struct husk_set_use) == 4, "husk_set_use");

/* SYNs to the device itself that come in by a zone (PACKETS.md §9): the rate from which they are answered
 * with cookies, and what holds for those that cannot be. */
struct husk_syn_limits {
    struct husk_limit above;
    struct husk_limit per_source;
};
_Static_assert(sizeof(struct husk_syn_limits) == 64, "husk_syn_limits");

/* HUSK_TABLE_GENERATION: array of one. */
struct husk_generation {
    husk_u64 serial;
    husk_u8 digest[32];                         /* SHA-256 over table_digest[] */
    husk_u8 table_digest[HUSK_TABLE_COUNT][32]; /* SHA-256 of each table; entry 0 is zero */
    husk_u8 bundle_digest[32];
    struct husk_connection_settings connections;
    struct husk_service services[HUSK_SERVICES_MAX];
    struct husk_set_use ingress_sets[HUSK_SET_USES_MAX];
    struct husk_set_use egress_sets[HUSK_SET_USES_MAX];
    struct husk_syn_limits syn_limits[HUSK_ZONES_MAX]; /* by zone, where HUSK_ZONE_SYN_COOKIES says so */
    husk_u32 id;                  /* grows with each generation that is loaded; never 0 */
    husk_u32 unparseable_verdict; /* enum husk_verdict, already lowered to allow where the mode is monitor */
};
_Static_assert(sizeof(struct husk_generation) == 8 + 32 + 32 * HUSK_TABLE_COUNT + 32 + 40 +
                                                     20 * HUSK_SERVICES_MAX + 8 * HUSK_SET_USES_MAX +
                                                     64 * HUSK_ZONES_MAX + 8,
               "husk_generation");

/* husk_zone.link: what a frame begins with */
#define HUSK_LINK_ETHERNET 0
#define HUSK_LINK_BARE 1 /* the IP header */

/* husk_zone.never_drop: PACKETS.md §4 */
#define HUSK_NEVER_DROP_ARP 1
#define HUSK_NEVER_DROP_NEIGHBOURS 2
#define HUSK_NEVER_DROP_DHCP_CLIENT 4
#define HUSK_NEVER_DROP_DHCP_SERVER 8
#define HUSK_NEVER_DROP_REPLIES 16

/* husk_zone.flags */
#define HUSK_ZONE_DEFERS_VLANS 1 /* some VLAN interface on it has a zone: see HUSK_TABLE_DEFERRED */
#define HUSK_ZONE_DEFERS_PPPOE 2 /* a PPPoE session on it has a zone */
#define HUSK_ZONE_LEFT_OUT 4     /* here only to tell where a packet came in: judged elsewhere */
#define HUSK_ZONE_SYN_COOKIES 8  /* SYNs above a rate are answered with cookies */
#define HUSK_ZONE_AWAITS_IPV4 16 /* has no IPv4 address yet: PACKETS.md §4 */
#define HUSK_ZONE_ENFORCES 32    /* the mode of its policy is enforce */

/* HUSK_TABLE_ZONES: hash from ifindex. An interface that is missing is in no zone and is not judged. */
struct husk_zone {
    husk_u32 zone; /* number, below HUSK_ZONES_MAX */
    husk_u32 ingress_default_rule;
    husk_u32 egress_default_rule;
    husk_u32 interface_bits; /* conditions on the interface's name that hold, one bit each */
    husk_u32 syn_cookies_rule;
    husk_u8 ingress_default; /* enum husk_verdict */
    husk_u8 ingress_mode;    /* enum husk_mode of the default */
    husk_u8 egress_default;
    husk_u8 egress_mode;
    husk_u8 link;
    husk_u8 never_drop;
    husk_u8 flags;
    husk_u8 pad;
};
_Static_assert(sizeof(struct husk_zone) == 28, "husk_zone");

/* HUSK_TABLE_DEFERRED: hash of the tags that a parent leaves to a VLAN interface. The value is that one's
 * index. */
struct husk_deferred {
    husk_u32 ifindex; /* of the parent */
    husk_u32 vlan;    /* id | 0x1000 */
};
_Static_assert(sizeof(struct husk_deferred) == 8, "husk_deferred");

/* Which packets a rule is about: bits of family. */
#define HUSK_FAMILY_IPV4 1
#define HUSK_FAMILY_IPV6 2
#define HUSK_FAMILY_OTHER 4

/* husk_call_rule.flags */
#define HUSK_MATCH_PROTOCOL 1 /* ip_proto must be equal */
#define HUSK_MATCH_PORTS 2    /* the packet must have ports, inside both ranges */
#define HUSK_NOT_TO 16        /* the destination condition as a whole is negated */

/*
 * HUSK_TABLE_INGRESS and HUSK_TABLE_EGRESS: array of these, in the order of the entries that the classes of
 * the direction (HUSK_TABLE_INGRESS_CLASSES, …) lead to. A rule has several entries where one cannot say it
 * all.
 */
struct husk_rule {
    husk_u32 rule;       /* dense counter index */
    husk_u32 extra;      /* index into HUSK_TABLE_INGRESS_EXTRA, …; 0: nothing more to look at */
    husk_u8 verdict;     /* enum husk_verdict */
    husk_u8 mode;        /* enum husk_mode */
    husk_u8 reject_with; /* enum husk_reject_with */
    husk_u8 flags;       /* HUSK_RULE_ */
    husk_u32 log_sample; /* report one in so many; 0: drops and rejects alone, each of them */
};
_Static_assert(sizeof(struct husk_rule) == 16, "husk_rule");

/* husk_rule.flags */
#define HUSK_RULE_PER_PACKET                                                                                 \
    1 /* hangs on more than the connection: what it decides holds for this packet alone */

enum husk_reject_with {
    HUSK_REJECT_USUAL = 0, /* RST for TCP, port unreachable for the rest */
    HUSK_REJECT_TCP_RESET = 1,
    HUSK_REJECT_PORT = 2,
    HUSK_REJECT_HOST = 3,
    HUSK_REJECT_NET = 4,
    HUSK_REJECT_ADMIN = 5,
};

/* husk_extra.flags */
#define HUSK_EXTRA_SMAC 1
#define HUSK_EXTRA_NOT_SMAC 2
#define HUSK_EXTRA_DMAC 4
#define HUSK_EXTRA_NOT_DMAC 8
#define HUSK_EXTRA_VLAN 16
#define HUSK_EXTRA_TCP 32
#define HUSK_EXTRA_LIMIT 64

#define HUSK_EXTRA_MACS 4

/*
 * HUSK_TABLE_INGRESS_EXTRA, HUSK_TABLE_EGRESS_EXTRA: array; entry 0 stands for nothing. What the classes do
 * not tell apart, compared for the entries they lead to. Ranges that are not asked hold everything.
 */
struct husk_extra {
    husk_u64 smac[HUSK_EXTRA_MACS]; /* one of these; a shorter list repeats its first */
    husk_u64 dmac[HUSK_EXTRA_MACS];
    struct husk_limit limit;
    husk_u32
        origins; /* egress: bit 0 made here, bit 1 + zone came in by it, bit 31 by an interface of no zone */
    husk_u32 interface_care;
    husk_u32 interface_value;
    husk_u16 outer_vlan_first; /* id | 0x1000; 0 to 0: no tag */
    husk_u16 outer_vlan_last;
    husk_u16 inner_vlan_first;
    husk_u16 inner_vlan_last;
    husk_u16 ether_type_first;
    husk_u16 ether_type_last;
    husk_u16 length_first;
    husk_u16 length_last;
    husk_u8 dscp_first;
    husk_u8 dscp_last;
    husk_u8 tcp_flags_mask;
    husk_u8 tcp_flags_value;
    husk_u8 flags;
    husk_u8 pad[7];
};
_Static_assert(sizeof(struct husk_extra) == 136, "husk_extra");

/* HUSK_TABLE_ADDITIONS4/6: LPM tries over entries of big sets that are kept one by one. The set comes first
 * in the key, whole: prefixlen is 32 more than that of the address. */
struct husk_addition4 {
    husk_u32 prefixlen;
    husk_u32 set; /* network order */
    husk_u8 addr[4];
};
_Static_assert(sizeof(struct husk_addition4) == 12, "husk_addition4");
struct husk_addition6 {
    husk_u32 prefixlen;
    husk_u32 set;
    husk_u8 addr[16];
};
_Static_assert(sizeof(struct husk_addition6) == 24, "husk_addition6");
struct husk_addition {
    husk_u64 hits;      /* programs, where it is counted */
    husk_u32 expires_s; /* boot seconds; 0: never */
    husk_u32 pad;
};
_Static_assert(sizeof(struct husk_addition) == 16, "husk_addition");

/* HUSK_TABLE_CALL_SET4/6: LPM tries; the value is a bit mask of sets. The compiler folds covering prefixes
 * in, so that the longest match alone gives every set an address is in. */
struct husk_prefix4 {
    husk_u32 prefixlen;
    husk_u8 addr[4];
};
_Static_assert(sizeof(struct husk_prefix4) == 8, "husk_prefix4");
struct husk_prefix6 {
    husk_u32 prefixlen;
    husk_u8 addr[16];
};
_Static_assert(sizeof(struct husk_prefix6) == 20, "husk_prefix6");

/* HUSK_TABLE_SUBJECTS: hash from cgroup id (u64) to a bit mask of subjects (u64). A task has the subjects
 * of its cgroup and of every ancestor of it. */

/* Calls, bits of husk_call_rule.calls. sendmsg is judged as connect is: the vocabulary knows no difference.
 */
#define HUSK_CALL_CONNECT 1
#define HUSK_CALL_BIND 2
#define HUSK_CALL_SOCKET 4
/* The same for subjects that are more than a cgroup, which cgroup hooks can't tell: they pass these over. */
#define HUSK_CALL_TASK_CONNECT 16
#define HUSK_CALL_TASK_BIND 32
#define HUSK_CALL_TASK_SOCKET 64

/* HUSK_TABLE_CALLS: array of one husk_call_list, denials first, then allowances, then defaults. */
struct husk_call_rule {
    husk_u64 subjects; /* one of these */
    husk_u64 to_sets;  /* the address must be in one of these sets; 0: not asked */
    husk_u8 addr[16];
    husk_u8 mask[16];
    husk_u32 rule;
    husk_u32 socket_families; /* HUSK_TABLE socket(): bit mask by AF_ number, for AF_ < 32; 0: any */
    husk_u16 port_first;
    husk_u16 port_last;
    husk_u16 socket_types; /* bit mask by SOCK_ number; 0: any */
    husk_u8 families;      /* HUSK_FAMILY_ of the address; 0: any */
    husk_u8 ip_proto;
    husk_u8 calls;
    husk_u8 flags;
    husk_u8 verdict; /* HUSK_VERDICT_ALLOW or HUSK_VERDICT_DENY */
    husk_u8 mode;
    husk_u8 is_default; /* reported as a default, not as a rule */
    husk_u8 pad[3];
};
_Static_assert(sizeof(struct husk_call_rule) == 72, "husk_call_rule");

struct husk_call_list {
    husk_u32 count;
    husk_u32 pad;
    struct husk_call_rule rules[HUSK_CALL_RULES_MAX];
};

#endif
