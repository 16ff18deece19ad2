// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Never loaded: layout.h names the structs and enums, and this adds the numbers, so that the BTF of this
 * object carries the whole ABI. gen-layout.ts turns it into layout.gen.ts. A test reads the headers and
 * fails if a number was forgotten here.
 */
#include "layout.h"
#include "limits.h"

/* Macros leave no BTF: each becomes an enumerator of its name and an underscore. */
#define NUMBER(NAME) NAME##_ = (NAME)

enum layout_numbers {
    NUMBER(HUSK_ABI_VERSION),
    NUMBER(HUSK_SLOTS),
    NUMBER(HUSK_ZONES_MAX),
    NUMBER(HUSK_INTERFACES_MAX),
    NUMBER(HUSK_SETS_MAX),
    NUMBER(HUSK_RULES_MAX),
    NUMBER(HUSK_CALL_RULES_MAX),
    NUMBER(HUSK_SUBJECTS_MAX),
    NUMBER(HUSK_CGROUPS_MAX),
    NUMBER(HUSK_CGROUP_DEPTH_MAX),
    NUMBER(HUSK_COUNTERS_MAX),
    NUMBER(HUSK_RULE_ID_BYTES),
    NUMBER(HUSK_PREFIXES_MAX),
    NUMBER(HUSK_PACKET_RING_BYTES),
    NUMBER(HUSK_CALL_RING_BYTES),
    NUMBER(HUSK_VLAN_DEPTH_MAX),
    NUMBER(HUSK_IPV6_HEADERS_MAX),
    NUMBER(HUSK_LIVE_TRIAL),
    NUMBER(HUSK_LIVE_SLOT_SHIFT),
    NUMBER(HUSK_LIVE_SLOT),
    NUMBER(HUSK_LIVE_DEADLINE),
    NUMBER(HUSK_RULE_NONE),
    NUMBER(HUSK_FAMILY_IPV4),
    NUMBER(HUSK_FAMILY_IPV6),
    NUMBER(HUSK_FAMILY_OTHER),
    NUMBER(HUSK_MATCH_PROTOCOL),
    NUMBER(HUSK_MATCH_PORTS),
    NUMBER(HUSK_MATCH_TCP_FLAGS),
    NUMBER(HUSK_NOT_FROM),
    NUMBER(HUSK_NOT_TO),
    NUMBER(HUSK_CALL_CONNECT),
    NUMBER(HUSK_CALL_BIND),
    NUMBER(HUSK_CALL_SOCKET),
};
enum layout_numbers *layout_layout_numbers LAYOUT;
