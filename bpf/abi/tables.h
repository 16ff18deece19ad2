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

/* HUSK_TABLE_GENERATION: array of one. */
struct husk_generation {
    husk_u64 serial;
    husk_u8 digest[32];                         /* SHA-256 over table_digest[] */
    husk_u8 table_digest[HUSK_TABLE_COUNT][32]; /* SHA-256 of each table; entry 0 is zero */
    husk_u8 bundle_digest[32];
    husk_u32 unparseable_verdict; /* enum husk_verdict, already lowered to allow where the mode is monitor */
    husk_u32 pad;
};
_Static_assert(sizeof(struct husk_generation) == 8 + 32 + 32 * HUSK_TABLE_COUNT + 32 + 8, "husk_generation");

/* HUSK_TABLE_ZONES: hash from ifindex. An interface that is missing is in no zone and is not judged. */
struct husk_zone {
    husk_u32 zone_bit; /* 1 << zone */
    husk_u32 ingress_default_rule;
    husk_u32 egress_default_rule;
    husk_u8 ingress_default; /* enum husk_verdict */
    husk_u8 ingress_mode;    /* enum husk_mode of the default */
    husk_u8 egress_default;
    husk_u8 egress_mode;
};
_Static_assert(sizeof(struct husk_zone) == 16, "husk_zone");

/* Which packets a rule is about: bits of husk_rule.families. */
#define HUSK_FAMILY_IPV4 1
#define HUSK_FAMILY_IPV6 2
#define HUSK_FAMILY_OTHER 4

/* husk_rule.flags and husk_call_rule.flags */
#define HUSK_MATCH_PROTOCOL 1  /* ip_proto must be equal */
#define HUSK_MATCH_PORTS 2     /* the packet must have ports, inside both ranges */
#define HUSK_MATCH_TCP_FLAGS 4 /* the packet must have a TCP header; (flags & mask) == value */
#define HUSK_NOT_FROM 8        /* the source condition as a whole is negated */
#define HUSK_NOT_TO 16         /* the destination condition as a whole is negated */

/* HUSK_TABLE_INGRESS and HUSK_TABLE_EGRESS: array of one husk_rule_list. */
struct husk_rule {
    husk_u64 from_sets; /* source must be in one of these sets; 0: not asked */
    husk_u64 to_sets;
    husk_u8 saddr[16]; /* (source & smask) == saddr; an all-zero mask matches all */
    husk_u8 smask[16];
    husk_u8 daddr[16];
    husk_u8 dmask[16];
    husk_u32 zones; /* bit mask */
    husk_u32 rule;  /* dense counter index */
    husk_u16 sport_first;
    husk_u16 sport_last;
    husk_u16 dport_first;
    husk_u16 dport_last;
    husk_u8 families;
    husk_u8 ip_proto;
    husk_u8 tcp_flags_mask;
    husk_u8 tcp_flags_value;
    husk_u8 flags;
    husk_u8 verdict; /* enum husk_verdict */
    husk_u8 mode;    /* enum husk_mode */
    husk_u8 pad;
};
_Static_assert(sizeof(struct husk_rule) == 104, "husk_rule");

struct husk_rule_list {
    husk_u32 count;
    husk_u32 pad;
    struct husk_rule rules[HUSK_RULES_MAX];
};

/* HUSK_TABLE_SET4/SET6 and CALL_SET4/CALL_SET6: LPM tries; the value is a bit mask of sets. The compiler
 * folds covering prefixes in, so that the longest match alone gives every set an address is in. */
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
