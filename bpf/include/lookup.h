/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Tables of the slot, and comparing without a branch: what calls are judged by, and packets in part.
 *
 * Conditions are compared without a branch: BPF has no set-on-condition, each bool made from a comparison is
 * a jump, and a dozen jumps in each of many rounds are paths the verifier has to walk. So a condition is a
 * number that is 0 where it holds, and a rule matches where the sum of all is 0.
 */
#ifndef HUSK_LOOKUP_H
#define HUSK_LOOKUP_H

#include "maps.h"
#include "parsing.h"

/* A slot's table of one wide value, or NULL. */
static __always_inline void *table_wide(void *slots, husk_u32 slot)
{
    void *table = bpf_map_lookup_elem(slots, &slot);
    return table ? map_only_entry(table) : NULL;
}

/* The sets that an address is in; the compiler folded covering prefixes in, so the longest match says all.
 * False where the slot has no such table. */
static __always_inline bool sets_with(void *set4, void *set6, husk_u32 slot, bool is_ipv4,
                                      const union address *address, husk_u64 *sets)
{
    husk_u64 *found;
    if (is_ipv4) {
        struct husk_prefix4 key = {.prefixlen = 32};
        __builtin_memcpy(key.addr, &address->words[3], sizeof(key.addr));
        void *table = bpf_map_lookup_elem(set4, &slot);
        if (!table)
            return false;
        found = bpf_map_lookup_elem(table, &key);
    } else {
        struct husk_prefix6 key = {.prefixlen = 128};
        __builtin_memcpy(key.addr, address, sizeof(key.addr));
        void *table = bpf_map_lookup_elem(set6, &slot);
        if (!table)
            return false;
        found = bpf_map_lookup_elem(table, &key);
    }
    *sets = found ? *found : 0;
    return true;
}

/* 1 where `value` is outside first..last. All three below 2^16, so a difference below zero shows at the top.
 */
static __always_inline husk_u64 outside(husk_u64 value, husk_u64 first, husk_u64 last)
{
    FORGET(value); /* where it is a constant, clang would compare */
    return ((value - first) | (last - value)) >> 63;
}

/* 1 where the address is outside the prefix. */
static __always_inline husk_u64 outside_prefix(const union address *address, const husk_u8 *prefix,
                                               const husk_u8 *mask)
{
    const union address *want = (const void *)prefix, *care = (const void *)mask;
    return any(((address->halves[0] & care->halves[0]) ^ want->halves[0]) |
               ((address->halves[1] & care->halves[1]) ^ want->halves[1]));
}

/* 1 where one of the asked sets is needed and the address is in none. */
static __always_inline husk_u64 outside_sets(husk_u64 sets, husk_u64 asked)
{
    return any(asked) - any(asked & sets);
}

/* The place of the lowest bit that is set: how many ones are below it. BPF has no instruction for either, and
 * clang, where it knows what is asked for, takes a table in .rodata. */
static __always_inline husk_u64 lowest_bit(husk_u64 word)
{
    husk_u64 bits = (word - 1) & ~word;
    FORGET(bits);
    bits -= (bits >> 1) & 0x5555555555555555ull;
    bits = (bits & 0x3333333333333333ull) + ((bits >> 2) & 0x3333333333333333ull);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0full;
    bits = (bits * 0x0101010101010101ull) >> 56;
    FORGET(bits); /* or it knows that 64 is the most, and leaves out the mask the verifier asks for */
    return bits;
}

/* 1 where the flag is set. FORGET, or clang makes a jump of what is multiplied by it. */
static __always_inline husk_u64 flag_of(husk_u64 flags, husk_u64 flag)
{
    husk_u64 bit = (flags / flag) & 1;
    FORGET(bit);
    return bit;
}

/* What a call asks for. Address and port are absent (zero) for socket(). */
struct call {
    union address addr;
    husk_u64 subjects;
    husk_u64 to_sets;
    husk_u32 socket_family;
    husk_u32 socket_type;
    husk_u16 port;  /* host order */
    husk_u8 call;   /* HUSK_CALL_ */
    husk_u8 family; /* HUSK_FAMILY_ of the address; 0 without one */
    husk_u8 ip_proto;
    husk_u8 hook; /* enum husk_hook */
};

/* 0 where the rule matches. */
static __always_inline husk_u64 call_rule_differs(const struct husk_call_rule *rule, const struct call *call)
{
    husk_u64 flags = rule->flags;
    husk_u64 to =
        outside_prefix(&call->addr, rule->addr, rule->mask) | outside_sets(call->to_sets, rule->to_sets);
    husk_u64 families = any(rule->families) - any(rule->families & call->family);
    /* Families from 32 on are none that a rule names; SOCK_ numbers end at 10. */
    husk_u64 family_bit = (any(call->socket_family >> 5) ^ 1) << (call->socket_family & 31);
    husk_u64 type_bit = 1ull << (call->socket_type & 15);
    husk_u64 socket_families = any(rule->socket_families) - any(rule->socket_families & family_bit);
    husk_u64 socket_types = any(rule->socket_types) - any(rule->socket_types & type_bit);

    return (any(rule->subjects & call->subjects) ^ 1) | (any(rule->calls & call->call) ^ 1) |
           (to ^ flag_of(flags, HUSK_NOT_TO)) | families | socket_families | socket_types |
           (call->ip_proto ^ rule->ip_proto) * flag_of(flags, HUSK_MATCH_PROTOCOL) |
           outside(call->port, rule->port_first, rule->port_last) * flag_of(flags, HUSK_MATCH_PORTS);
}

#endif
