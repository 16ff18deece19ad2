// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Never loaded: names every struct, enum and number of the ABI, so that the BTF of this object carries all
 * of them. gen-layout.ts turns it into layout.gen.ts. What is added to a header is added here as well; a
 * test reads the headers and fails if it was forgotten.
 */
#include "abi.h"
#include "event.h"
#include "limits.h"
#include "tables.h"

/* A pointer is enough for clang to emit the whole type. */
#define STRUCT(NAME) struct NAME *layout_##NAME
#define ENUM(NAME) enum NAME layout_##NAME

STRUCT(husk_control);
STRUCT(husk_counter);
STRUCT(husk_rule_name);
STRUCT(husk_try);
STRUCT(husk_tried);
STRUCT(husk_generation);
STRUCT(husk_zone);
STRUCT(husk_rule);
STRUCT(husk_rule_list);
STRUCT(husk_prefix4);
STRUCT(husk_prefix6);
STRUCT(husk_call_rule);
STRUCT(husk_call_list);
STRUCT(husk_event);
STRUCT(husk_packet_event);
STRUCT(husk_call_event);

ENUM(husk_verdict);
ENUM(husk_reason);
ENUM(husk_mode);
ENUM(husk_hook);
ENUM(husk_table);
ENUM(husk_total);
ENUM(husk_event_kind);

/* Macros leave no BTF: each becomes an enumerator of its name and an underscore. */
#define NUMBER(NAME) NAME##_ = (NAME)

enum husk_numbers {
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
ENUM(husk_numbers);
