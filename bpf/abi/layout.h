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
#include "classifier.h"
#include "connections.h"
#include "event.h"
#include "floor.h"
#include "hardening.h"
#include "operation_event.h"
#include "rate.h"
#include "self.h"
#include "sets.h"
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
LAYOUT_STRUCT(husk_syn_limits);
LAYOUT_STRUCT(husk_zone);
LAYOUT_STRUCT(husk_rule);
LAYOUT_STRUCT(husk_extra);
LAYOUT_STRUCT(husk_deferred);
LAYOUT_STRUCT(husk_service);
LAYOUT_STRUCT(husk_set_use);
LAYOUT_STRUCT(husk_addition4);
LAYOUT_STRUCT(husk_addition6);
LAYOUT_STRUCT(husk_addition);
LAYOUT_STRUCT(husk_prefix4);
LAYOUT_STRUCT(husk_prefix6);
LAYOUT_STRUCT(husk_call_rule);
LAYOUT_STRUCT(husk_call_list);
LAYOUT_STRUCT(husk_connection_settings);
LAYOUT_STRUCT(husk_connection_setup);
LAYOUT_STRUCT(husk_connection_key);
LAYOUT_STRUCT(husk_connection);
LAYOUT_STRUCT(husk_connection_bucket);
LAYOUT_STRUCT(husk_fragment_key);
LAYOUT_STRUCT(husk_fragment);
LAYOUT_STRUCT(husk_limit);
LAYOUT_STRUCT(husk_rate);
LAYOUT_STRUCT(husk_rate_bucket);
LAYOUT_STRUCT(husk_classifier);
LAYOUT_STRUCT(husk_node4);
LAYOUT_STRUCT(husk_node6);
LAYOUT_STRUCT(husk_class);
LAYOUT_STRUCT(husk_class_line);
LAYOUT_STRUCT(husk_set4);
LAYOUT_STRUCT(husk_set4_group);
LAYOUT_STRUCT(husk_set4_line);
LAYOUT_STRUCT(husk_set6);
LAYOUT_STRUCT(husk_set6_tree);
LAYOUT_STRUCT(husk_set6_group);
LAYOUT_STRUCT(husk_set6_line);
LAYOUT_STRUCT(husk_set6_node);
LAYOUT_STRUCT(husk_set6_leaf);
LAYOUT_STRUCT(husk_set6_record);
LAYOUT_STRUCT(husk_floor_pattern);
LAYOUT_STRUCT(husk_floor);
LAYOUT_STRUCT(husk_event);
LAYOUT_STRUCT(husk_packet_event);
LAYOUT_STRUCT(husk_call_event);
LAYOUT_STRUCT(husk_trace);
LAYOUT_STRUCT(husk_object);
LAYOUT_STRUCT(husk_decision);
LAYOUT_STRUCT(husk_operations);
LAYOUT_STRUCT(husk_program);
LAYOUT_STRUCT(husk_program_subjects);
LAYOUT_STRUCT(husk_task);
LAYOUT_STRUCT(husk_alike);
LAYOUT_STRUCT(husk_repeats);
LAYOUT_STRUCT(husk_operation_event);
LAYOUT_STRUCT(husk_path_key);
LAYOUT_STRUCT(husk_canary_object);
LAYOUT_STRUCT(husk_self);
LAYOUT_STRUCT(husk_self_object);

LAYOUT_ENUM(husk_verdict);
LAYOUT_ENUM(husk_reason);
LAYOUT_ENUM(husk_mode);
LAYOUT_ENUM(husk_hook);
LAYOUT_ENUM(husk_table);
LAYOUT_ENUM(husk_total);
LAYOUT_ENUM(husk_event_kind);
LAYOUT_ENUM(husk_connection_state);
LAYOUT_ENUM(husk_connection_timeout);
LAYOUT_ENUM(husk_connection_count);
LAYOUT_ENUM(husk_limit_per);
LAYOUT_ENUM(husk_limit_over);
LAYOUT_ENUM(husk_course);
LAYOUT_ENUM(husk_reject_with);
LAYOUT_ENUM(husk_operation);
LAYOUT_ENUM(husk_object_kind);
LAYOUT_ENUM(husk_trait);
LAYOUT_ENUM(husk_self_open);
LAYOUT_ENUM(husk_self_kind);

#endif
