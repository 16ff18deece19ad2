/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Every map of the set, once. Each object declares them all under the same names and shapes, and the loader
 * shares them by name; a map that an object does not use costs it nothing, since it is shared as well.
 *
 * Names are cut to 15 characters by the kernel; the loader goes by the full ones.
 */
#ifndef HUSK_MAPS_H
#define HUSK_MAPS_H

#include "compat.h"
#include "set_bytes.h"

/*
 * Writers: user space through mmap (live, the budget), programs (expired). Readers: every program, first.
 * A missing entry cannot be (an array of one); the check that the verifier asks for allows and counts.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct husk_control);
} control SEC(".maps");

/* Writer: user space, before a try. Readers: twins and the call hooks. All zero: no canary, slot 0. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct husk_try);
} try_label SEC(".maps");

/* Writers: twins, and call hooks for the canary. Reader: user space, after a try. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct husk_tried);
} tried SEC(".maps");

/* By enum husk_total. Writers: every program. Reader: user space, which adds the CPUs up. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, HUSK_TOTAL_COUNT);
    __type(key, husk_u32);
    __type(value, husk_u64);
} totals SEC(".maps");

/* By dense index. Writers: every program. Reader: user space. An index past the end is not counted. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, HUSK_COUNTERS_MAX);
    __type(key, husk_u32);
    __type(value, struct husk_counter);
} counters SEC(".maps");

/* Addresses of the device's own interfaces, broadcast addresses included, in the form of union address.
 * Writer: user space, as they change. Missing: no address of ours. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, HUSK_OWN_ADDRESSES_MAX);
    __type(key, husk_u8[16]);
    __type(value, husk_u32);
} own_addresses SEC(".maps");

/* By dense index. Written and read by user space only; here so that it is created, pinned and adopted with
 * the counters it names. Missing: the index is free. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, HUSK_COUNTERS_MAX);
    __type(key, husk_u32);
    __type(value, struct husk_rule_name);
} rule_names SEC(".maps");

/* Writers: packet programs. Reader: user space. Full: the new record is lost and counted. A ring of its own,
 * so that a flood of packets can't evict denials of calls. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, HUSK_PACKET_RING_BYTES);
} packet_events SEC(".maps");

/* Writers: call programs. Reader: user space. Full: as above. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, HUSK_CALL_RING_BYTES);
} call_events SEC(".maps");

/* Writers: packet programs, while somebody traces. Reader: the tracer. Full: counted as
 * HUSK_TOTAL_TRACES_LOST. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, HUSK_TRACE_RING_BYTES);
} trace_events SEC(".maps");

/* Writer: the tracer. Readers: packet programs. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct husk_trace);
} trace_filter SEC(".maps");

/* Writers: programs that judge what tasks do (sight.h). Reader: user space, which removes rows of rules that
 * are gone. Full: the new row is lost and counted. */
#define SIGHTS(ENTRIES)                                                                                      \
    __uint(type, BPF_MAP_TYPE_HASH);                                                                         \
    __uint(map_flags, BPF_F_NO_PREALLOC);                                                                    \
    __uint(max_entries, ENTRIES);                                                                            \
    __uint(key_size, sizeof(struct husk_sight_key));                                                         \
    __uint(value_size, sizeof(struct husk_sight));
struct {
    SIGHTS(HUSK_PROFILE_MAX)
} profile SEC(".maps");
struct {
    SIGHTS(HUSK_DIFFERENCES_MAX)
} differences SEC(".maps");
/* All zero, for ever: a row is made from it, since it has no room on the stack. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(husk_u32));
    __uint(value_size, sizeof(struct husk_sight));
} blank_sight SEC(".maps");

/* Packet events emitted in the current second, per CPU. Programs only. */
struct event_budget {
    husk_u64 second;
    husk_u64 used;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct event_budget);
} event_budget SEC(".maps");

/*
 * Tables, by slot. Writer: user space, which puts a new inner map in place of the old and never refills one.
 * Readers: the programs of that kind of table, by the one slot they read. A missing entry means that the
 * slot holds no generation: allowed, counted as HUSK_TOTAL_NO_GENERATION. The device stays reachable.
 */
#define SLOTS(NAME, ...) PLACES(NAME, HUSK_SLOTS, __VA_ARGS__)

/* Several tables of a kind in each slot: at slot * (places / HUSK_SLOTS) + which. */
#define PLACES(NAME, ENTRIES, ...)                                                                           \
    struct {                                                                                                 \
        __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                                            \
        __uint(max_entries, ENTRIES);                                                                        \
        __type(key, husk_u32);                                                                               \
        __array(values, struct {__VA_ARGS__});                                                               \
    } NAME SEC(".maps")

/*
 * Shapes of inner maps tell sizes, not types. From 5.15 to 6.1 a map with BTF of a struct is not equal to one
 * without, which is what user space makes for each generation (bpf_map_meta_equal compares timer_off, -ENOENT
 * and -EINVAL): entering it into its slot was EINVAL there.
 */

/* One wide value: a table whose digest is one lookup away and whose rows need none. */
#define WIDE(TYPE)                                                                                           \
    __uint(type, BPF_MAP_TYPE_ARRAY);                                                                        \
    __uint(max_entries, 1);                                                                                  \
    __uint(key_size, sizeof(husk_u32));                                                                      \
    __uint(value_size, sizeof(TYPE));

/* The kernel has tries only without preallocation. */
#define TRIE_OF(PREFIX, VALUE)                                                                               \
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);                                                                     \
    __uint(map_flags, BPF_F_NO_PREALLOC);                                                                    \
    __uint(max_entries, HUSK_PREFIXES_MAX);                                                                  \
    __uint(key_size, sizeof(PREFIX));                                                                        \
    __uint(value_size, sizeof(VALUE));
#define TRIE(PREFIX) TRIE_OF(PREFIX, husk_u64)

#define TABLE(ENTRIES_MAX, KEY, VALUE)                                                                       \
    __uint(type, BPF_MAP_TYPE_HASH);                                                                         \
    __uint(max_entries, ENTRIES_MAX);                                                                        \
    __uint(key_size, sizeof(KEY));                                                                           \
    __uint(value_size, sizeof(VALUE));

/* As many rows as the generation has: since 5.10 inner arrays may differ in that. Looking one up costs a
 * call. */
#define ROWS(VALUE)                                                                                          \
    __uint(type, BPF_MAP_TYPE_ARRAY);                                                                        \
    __uint(map_flags, BPF_F_INNER_MAP);                                                                      \
    __uint(max_entries, 1);                                                                                  \
    __uint(key_size, sizeof(husk_u32));                                                                      \
    __uint(value_size, sizeof(VALUE));

SLOTS(generation_slots, WIDE(struct husk_generation));
SLOTS(zones_slots, TABLE(HUSK_INTERFACES_MAX, husk_u32, struct husk_zone));
SLOTS(deferred_slots, TABLE(HUSK_DEFERRED_MAX, struct husk_deferred, husk_u32));

/* By slot and direction: rules_place(). Classes are in one of three sizes, of which a place has one. */
#define RULES_PLACES (HUSK_SLOTS * 2)
PLACES(rules_slots, RULES_PLACES, ROWS(struct husk_rule));
PLACES(extra_slots, RULES_PLACES, ROWS(struct husk_extra));
PLACES(classes_small_slots, RULES_PLACES, WIDE(husk_u8[HUSK_CLASSIFIER_SMALL_BYTES]));
PLACES(classes_medium_slots, RULES_PLACES, WIDE(husk_u8[HUSK_CLASSIFIER_MEDIUM_BYTES]));
PLACES(classes_large_slots, RULES_PLACES, WIDE(husk_u8[HUSK_CLASSIFIER_LARGE_BYTES]));

/* By slot and set: set_place(). A set of a family is in one of two sizes of chunk. */
#define SET_PLACES (HUSK_SLOTS * HUSK_BIG_SETS_MAX)
SET_SLOTS(big4_small_slots, SET_PLACES, HUSK_SET_SMALL_CHUNK_BYTES);
SET_SLOTS(big4_large_slots, SET_PLACES, HUSK_SET_LARGE_CHUNK_BYTES);
SET_SLOTS(big6_small_slots, SET_PLACES, HUSK_SET_SMALL_CHUNK_BYTES);
SET_SLOTS(big6_large_slots, SET_PLACES, HUSK_SET_LARGE_CHUNK_BYTES);

SLOTS(additions4_slots, TRIE_OF(struct husk_addition4, struct husk_addition));
SLOTS(additions6_slots, TRIE_OF(struct husk_addition6, struct husk_addition));
SLOTS(subjects_slots, TABLE(HUSK_CGROUPS_MAX, husk_u64, husk_u64));
SLOTS(calls_slots, WIDE(struct husk_call_list));
SLOTS(call_set4_slots, TRIE(struct husk_prefix4));
SLOTS(call_set6_slots, TRIE(struct husk_prefix6));

/* What hardening judges by: abi/hardening.h. */
SLOTS(operations_slots, WIDE(struct husk_operations));
SLOTS(programs_slots, TABLE(HUSK_PROGRAMS_MAX, struct husk_program, struct husk_program_subjects));
SLOTS(users_slots, TABLE(HUSK_USERS_MAX, husk_u32, husk_u64));
SLOTS(applets_slots, TABLE(HUSK_APPLETS_MAX, struct husk_program, husk_u32));

#define DECISIONS                                                                                            \
    __uint(type, BPF_MAP_TYPE_HASH);                                                                         \
    __uint(map_flags, BPF_F_NO_PREALLOC);                                                                    \
    __uint(max_entries, HUSK_DECISIONS_MAX);                                                                 \
    __uint(key_size, sizeof(struct husk_object));                                                            \
    __uint(value_size, sizeof(struct husk_decision));
SLOTS(decisions_slots, DECISIONS);

static __always_inline husk_u32 rules_place(husk_u32 slot, husk_u32 is_egress)
{
    return slot * 2 + is_egress;
}
static __always_inline husk_u32 set_place(husk_u32 slot, husk_u32 set)
{
    return slot * HUSK_BIG_SETS_MAX + set;
}

/* The only entry of a map of one. */
static __always_inline void *map_only_entry(void *map)
{
    husk_u32 zero = 0;
    return bpf_map_lookup_elem(map, &zero);
}

#endif
