/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Every size both sides of the kernel boundary agree on, each with its reason. */
#ifndef HUSK_ABI_LIMITS_H
#define HUSK_ABI_LIMITS_H

/* Part of the pin path: user space with another version builds beside, never adopts. */
#define HUSK_ABI_VERSION 4

/* Live and standby; the one slot bit of the live word leaves no room for a third. */
#define HUSK_SLOTS 2

/* Zones of one generation, four bits of what a rule is found by. */
#define HUSK_ZONES_MAX 16

/* Interfaces that belong to some zone, per generation. */
#define HUSK_INTERFACES_MAX 64

/* Sets of one generation and family that are too large, or change too often, to be folded into the rules' own
 * tables. */
#define HUSK_BIG_SETS_MAX 8

/* Uses of such sets in one direction: which set, source or destination. One bit each in a packet's key. */
#define HUSK_SET_USES_MAX 8

/* Entries of such sets that are added without building the set anew, or counted one by one. */
#define HUSK_ADDITIONS_MAX 65536

/* Entries per direction, at least one for each rule; each is a bit of the vectors they are found by, and the
 * largest classifier has no more. */
#define HUSK_RULES_MAX 10048

/* Conditions on the name of an interface, one bit each. */
#define HUSK_INTERFACE_CONDITIONS_MAX 32

/* Connections of the device whose replies are never dropped. */
#define HUSK_SERVICES_MAX 16

/* Addresses of the device's own interfaces, broadcast addresses included. */
#define HUSK_OWN_ADDRESSES_MAX 1024

/* VLAN interfaces that have a zone of their own, on parents that have one. */
#define HUSK_DEFERRED_MAX 256

/* Answers to rejected packets that the device sends a second, and at once. */
#define HUSK_REJECTS_PER_SECOND 100

/* How long the ACK that brings a SYN cookie back may take: the kernel knows its cookies for two of its
 * minutes (MAX_SYNCOOKIE_AGE). */
#define HUSK_COOKIE_SECONDS 120

/* The first bytes of a packet that its event carries. */
#define HUSK_EVENT_DATA_BYTES 64

/* Sets of addresses in rules for calls, one bit each in a trie's value. */
#define HUSK_SETS_MAX 64

/* Rules for system calls, in the order deny, allow, default. */
#define HUSK_CALL_RULES_MAX 128

/* Subjects of hardening rules, one bit each. */
#define HUSK_SUBJECTS_MAX 64

/* Entries of the table from cgroup to subjects. */
#define HUSK_CGROUPS_MAX 256

/* Levels of the cgroup tree, from the root (0), whose subjects a task below has as well. A subject on a
 * deeper cgroup is that cgroup's alone: user space refuses it. */
#define HUSK_CGROUP_DEPTH_MAX 8

/* Dense indexes of rule counters at the most; the loader makes fewer on a small device. Shared by both slots
 * and by generations to come. */
#define HUSK_COUNTERS_MAX 32768

/* A stable rule id, "document/rule" in UTF-8, NUL-padded. */
#define HUSK_RULE_ID_BYTES 128

/* Prefixes of one trie. */
#define HUSK_PREFIXES_MAX 1048576

/* Rings are powers of two and multiples of a page. */
#define HUSK_PACKET_RING_BYTES (1 << 20)
#define HUSK_CALL_RING_BYTES (1 << 18)
#define HUSK_TRACE_RING_BYTES (1 << 18)

/* VLAN tags and IPv6 extension headers followed before a packet counts as unparseable. */
#define HUSK_VLAN_DEPTH_MAX 2
#define HUSK_IPV6_HEADERS_MAX 8

#endif
