/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Every size both sides of the kernel boundary agree on, each with its reason. */
#ifndef HUSK_ABI_LIMITS_H
#define HUSK_ABI_LIMITS_H

/* Part of the pin path: user space with another version builds beside, never adopts. */
#define HUSK_ABI_VERSION 1

/* Live and standby; the one slot bit of the live word leaves no room for a third. */
#define HUSK_SLOTS 2

/* Zones of one generation, one bit each in a rule's zone mask. */
#define HUSK_ZONES_MAX 16

/* Interfaces that belong to some zone, per generation. */
#define HUSK_INTERFACES_MAX 64

/* Named and anonymous address sets of one generation, one bit each in a trie's value. */
#define HUSK_SETS_MAX 64

/* Ordered rules per direction. The list is walked, so the verifier's work grows with it. */
#define HUSK_RULES_MAX 128

/* Rules for system calls, in the order deny, allow, default. */
#define HUSK_CALL_RULES_MAX 128

/* Subjects of hardening rules, one bit each. */
#define HUSK_SUBJECTS_MAX 64

/* Entries of the table from cgroup to subjects. */
#define HUSK_CGROUPS_MAX 256

/* Levels of the cgroup tree, from the root (0), whose subjects a task below has as well. A subject on a
 * deeper cgroup is that cgroup's alone: user space refuses it. */
#define HUSK_CGROUP_DEPTH_MAX 8

/* Dense indexes of rule counters, shared by both slots and by generations to come. */
#define HUSK_COUNTERS_MAX 4096

/* A stable rule id, "document/rule" in UTF-8, NUL-padded. */
#define HUSK_RULE_ID_BYTES 128

/* Prefixes of one trie. */
#define HUSK_PREFIXES_MAX 1048576

/* Rings are powers of two and multiples of a page. */
#define HUSK_PACKET_RING_BYTES (1 << 20)
#define HUSK_CALL_RING_BYTES (1 << 18)

/* VLAN tags and IPv6 extension headers followed before a packet counts as unparseable. */
#define HUSK_VLAN_DEPTH_MAX 2
#define HUSK_IPV6_HEADERS_MAX 8

#endif
