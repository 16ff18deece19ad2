/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Names every struct and enum of the ABI, so that the BTF of an object carries them whole: what is only
 * pointed to, as the tables in a map of maps, clang 19 leaves as a forward declaration. The loader compares
 * all of them with the layout the agent was built with. libbpf skips the section; it becomes no map.
 *
 * What is added to a header is added here; a test reads the headers and fails if it was forgotten.
 */
#ifndef HUSK_ABI_LAYOUT_H
#define HUSK_ABI_LAYOUT_H

#include "abi.h"
#include "event.h"
#include "tables.h"

#define LAYOUT __attribute__((section("husk.layout"), used))
#define LAYOUT_STRUCT(NAME) struct NAME *layout_##NAME LAYOUT
#define LAYOUT_ENUM(NAME) enum NAME *layout_##NAME LAYOUT

LAYOUT_STRUCT(husk_control);
LAYOUT_STRUCT(husk_counter);
LAYOUT_STRUCT(husk_rule_name);
LAYOUT_STRUCT(husk_try);
LAYOUT_STRUCT(husk_tried);
LAYOUT_STRUCT(husk_generation);
LAYOUT_STRUCT(husk_zone);
LAYOUT_STRUCT(husk_rule);
LAYOUT_STRUCT(husk_rule_list);
LAYOUT_STRUCT(husk_prefix4);
LAYOUT_STRUCT(husk_prefix6);
LAYOUT_STRUCT(husk_call_rule);
LAYOUT_STRUCT(husk_call_list);
LAYOUT_STRUCT(husk_event);
LAYOUT_STRUCT(husk_packet_event);
LAYOUT_STRUCT(husk_call_event);

LAYOUT_ENUM(husk_verdict);
LAYOUT_ENUM(husk_reason);
LAYOUT_ENUM(husk_mode);
LAYOUT_ENUM(husk_hook);
LAYOUT_ENUM(husk_table);
LAYOUT_ENUM(husk_total);
LAYOUT_ENUM(husk_event_kind);

#endif
