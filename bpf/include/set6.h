/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whether an IPv6 address is in a set: filter, group, line; where the line says so, a search tree over the
 * first 64 bits; then, only for a /64 of which some addresses are in the set, a record.
 *
 * What a lookup waits for is the line: filter and group are small, and do not depend on each other. Neither
 * lines nor nodes nor leaves are searched: all keys of one are compared, without a branch.
 */
#ifndef HUSK_SET6_H
#define HUSK_SET6_H

#include "set_bytes.h"

/* Records of one /64 are at most 2^SET6_SEARCH_STEPS. */
#define SET6_SEARCH_STEPS 24

/* Multiplicative hash of up to 32 bits (Knuth, The Art of Computer Programming 6.4): 2^32 over the golden
 * ratio. Its high bits are the good ones. */
static __always_inline husk_u64 set6_hash(husk_u64 number)
{
    return (number * 2654435769u) & 0xffffffff;
}

/* Whether the record, or one of the list that it stands for, has the low half of the address. */
static __always_inline bool set6_record_holds(const struct set_bytes *set, husk_u64 records_at,
                                              husk_u64 number, husk_u64 low)
{
    const struct husk_set6_record *record =
        set_at(set, records_at + number * sizeof(*record), sizeof(*record));
    if (!record)
        return false;
    if (record->first <= record->last)
        return low >= record->first && low <= record->last;
    husk_u64 from = record->last, to = record->first; /* a list, sorted */
    for (int step = 0; step <= SET6_SEARCH_STEPS; step++) {
        if (from >= to)
            break;
        husk_u64 middle = husk_unknown((from + to) >> 1); /* or each way through the list is walked */
        record = set_at(set, records_at + (middle & 0xffffffff) * sizeof(*record), sizeof(*record));
        if (!record)
            break;
        if (low >= record->first && low <= record->last)
            return true;
        if (low < record->first)
            to = middle;
        else
            from = middle + 1;
    }
    return false;
}

/* 1 where a is below b, both below 2^63: a difference below zero shows at the top. FORGET, or clang jumps. */
static __always_inline husk_u64 below(husk_u64 a, husk_u64 b)
{
    husk_u64 difference = a - b;
    FORGET(difference);
    return difference >> 63;
}

/* How many of the keys are not above a place; the last is. Keys and places are below 2^63, so that a
 * difference below zero shows at the top. First every fourth key, then the three before that one: few
 * instructions matter more than few steps, for the processor goes on to the next packet while it waits for
 * memory. */
static __always_inline husk_u64 set6_child(const struct husk_set6_node *node, husk_u64 place)
{
    const husk_u64 *keys = node->keys;
    husk_u64 four = 3 - (below(place, keys[3]) + below(place, keys[7]) + below(place, keys[11]));
    FORGET(four);
    keys += (four & 3) * 4;
    return four * 4 + 3 - (below(place, keys[0]) + below(place, keys[1]) + below(place, keys[2]));
}

/* The number of the leaf that has a place, if any has. */
static __always_inline husk_u64 set6_leaf(const struct set_bytes *set, const struct husk_set6_tree *tree,
                                          husk_u64 place)
{
    husk_u64 number = 0;
    for (husk_u32 level = 0; level < HUSK_SET6_LEVELS; level++) {
        if (level >= tree->level_count)
            break;
        const struct husk_set6_node *node =
            set_at(set, tree->levels_at[level] + number * sizeof(*node), sizeof(*node));
        if (!node)
            break;
        number = (number * HUSK_SET6_NODE_KEYS + set6_child(node, place)) & 0x3ffffff;
    }
    return tree->first_leaf + number;
}

/* Where in the leaf the last key is whose prefix does not begin behind the place; 0 where none is. */
static __always_inline husk_u64 set6_key(const struct husk_set6_leaf *leaf, husk_u64 place)
{
    husk_u64 at = 0;
    for (husk_u64 step = HUSK_SET6_LEAF_KEYS / 2; step > 0; step /= 2) {
        husk_u64 key = leaf->keys[at + step];
        husk_u64 start = key & (key - 1) & (~0ull >> 1); /* without the mark */
        husk_u64 not_behind = below(place, start) ^ 1;
        at += step * not_behind;
        FORGET(at);
        at &= HUSK_SET6_LEAF_KEYS - 1;
    }
    return at;
}

/* Whether the key's prefix holds the place: they agree above the mark. */
static __always_inline bool set6_key_holds(husk_u64 key, husk_u64 place)
{
    husk_u64 behind = key ^ (key - 1); /* the mark and all below it */
    return ((key ^ place) & ~behind & (~0ull >> 1)) == 0;
}

/* 1 where one of 48 bits' key holds the place: what differs is not above the mark. `behind` of 0, which is no
 * key, is -1. FORGET, or clang jumps. */
static __always_inline husk_u64 set6_short_key_holds(husk_u64 key, husk_u64 place)
{
    husk_u64 behind = key ^ (key - 1);
    husk_u64 rest = behind - (key ^ place);
    FORGET(rest);
    return (rest >> 63) ^ 1;
}

/* Whether the line has a key that holds the place. */
static __always_inline bool set6_line_holds(const struct husk_set6_line *line, husk_u64 place)
{
    husk_u64 first = line->words[0], second = line->words[1], third = line->words[2];
    husk_u64 fifth = (first & 0xffff) << 32 | (second & 0xffff) << 16 | (third & 0xffff);
    place &= (1ull << HUSK_SET6_KEY_BITS) - 1;
    return set6_short_key_holds(first >> 16, place) | set6_short_key_holds(second >> 16, place) |
           set6_short_key_holds(third >> 16, place) | set6_short_key_holds(line->words[3] >> 16, place) |
           set6_short_key_holds(fifth, place);
}

/* The line of an address in the window; NULL outside of it, or in a table that makes no sense. */
static __always_inline const struct husk_set6_line *set6_line(const struct set_bytes *set,
                                                              const struct husk_set6 *head, husk_u64 high)
{
    husk_u64 distance = high ^ head->window_first;
    if (!head->groups_at || distance >> 1 >> (63 - (head->window_bits & 63)))
        return NULL;
    husk_u64 block = distance >> (head->block_shift & 63);
    const struct husk_set6_group *group =
        set_at(set, head->groups_at + (block >> 6) * sizeof(*group), sizeof(*group));
    if (!group)
        return NULL;
    husk_u64 line = group->line + ones_of(group->starts << (63 - (block & 63)));
    return set_at(set, head->lines_at + line * sizeof(struct husk_set6_line), sizeof(struct husk_set6_line));
}

/* `map`: an inner map of the set's chunks. Both halves of the address in host order. */
static __always_inline bool set6_holds(void *map, husk_u32 chunk_bytes, husk_u64 high, husk_u64 low)
{
    husk_u32 zero = 0;
    struct set_bytes set = {.map = map, .chunk_bytes = chunk_bytes};
    set.first = bpf_map_lookup_elem(map, &zero);
    if (!set.first)
        return false;
    const struct husk_set6 *head = (const void *)set.first;

    husk_u64 bit = set6_hash(high >> (head->filter_prefix & 63)) >> (head->filter_shift & 31);
    const husk_u64 *filter =
        set_at(&set, HUSK_SET_HEAD_BYTES + (bit >> 6) * sizeof(*filter), sizeof(*filter));
    if (!filter || !((*filter >> (bit & 63)) & 1))
        return false;

    const struct husk_set6_line *line = set6_line(&set, head, high);
    if (line && !(line->words[3] & HUSK_SET6_LINE_TREE))
        return set6_line_holds(line, high << 1);

    husk_u64 root = high >> 62, place = (high << 2) >> 1;
    if (!((head->trees_present >> root) & 1))
        return false;
    FORGET(root);
    /* husk_unknown, or the verifier goes on from every level by itself */
    husk_u64 number = husk_unknown(set6_leaf(&set, &head->trees[root & (HUSK_SET6_TREES - 1)], place));
    const struct husk_set6_leaf *leaf = set_at(&set, head->leaves_at + number * sizeof(*leaf), sizeof(*leaf));
    if (!leaf)
        return false;
    husk_u64 at = set6_key(leaf, place), key = leaf->keys[at];
    if (!set6_key_holds(key, place))
        return false;
    if (!(key >> 63))
        return true;

    husk_u64 records = 0; /* of keys before it in the leaf, without copies of itself */
    for (husk_u64 before = 0; before < HUSK_SET6_LEAF_KEYS; before++) {
        husk_u64 has_record = leaf->keys[before] >> 63, differs = leaf->keys[before] ^ key;
        FORGET(has_record);
        differs |= 0 - differs;
        records += has_record & (differs >> 63) & below(before, at);
    }
    const husk_u32 *count = set_at(&set, head->counts_at + number * sizeof(*count), sizeof(*count));
    return count && set6_record_holds(&set, head->records_at, *count + records, low);
}

#endif
