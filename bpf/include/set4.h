/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whether an IPv4 address is in a set: filter, group, line, and a child of it where addresses lie close.
 *
 * Most packets are in no list and end at the filter. For the others the loads of filter and group do not
 * depend on each other; what a lookup waits for is the group and then the line. The fourteen keys of a line
 * are compared at once, four or two to a word, and without a branch.
 */
#ifndef HUSK_SET4_H
#define HUSK_SET4_H

#include "set_bytes.h"

/* Every other 16-bit lane of a word, and the bit above each. */
#define LANES 0x0000ffff0000ffffull
#define ABOVE_LANES 0x0001000000010000ull

/* `marked`: a number in both lanes, and the bits above them set. For each lane of the word that is not above
 * the number one is added at bit 16 or at bit 48. */
static __always_inline husk_u64 lanes_upto(husk_u64 marked, husk_u64 word)
{
    return ((marked - (word & LANES)) & ABOVE_LANES) + ((marked - ((word >> 16) & LANES)) & ABOVE_LANES);
}

static __always_inline husk_u64 lane_sum(husk_u64 sums)
{
    return ((sums >> 16) + (sums >> 48)) & 15;
}

/* The line of a block, which the filter has found to have addresses. NULL in a table that makes no sense. */
static __always_inline const husk_u64 *set4_line(const struct set_bytes *set, const struct husk_set4 *head,
                                                 husk_u64 block)
{
    const struct husk_set4_group *group =
        set_at(set, head->groups_at + (block >> 6) * sizeof(*group), sizeof(*group));
    if (!group)
        return NULL;
    husk_u64 line = group->line + ones_of(group->starts << (63 - (block & 63)));
    return set_at(set, head->lines_at + line * sizeof(struct husk_set4_line), sizeof(struct husk_set4_line));
}

/* 1 where the line has the address at `distance`, which is below 2^16. */
static __always_inline husk_u64 set4_line_holds(const husk_u64 *line, husk_u64 distance, husk_u64 marked)
{
    husk_u64 head = line[0]; /* first_block, flags and the first two keys, whose counts are at bit 48 */
    husk_u64 sums = (lanes_upto(marked, head) & (3ull << 48)) + lanes_upto(marked, line[1]) +
                    lanes_upto(marked, line[2]) + lanes_upto(marked, line[3]);
    husk_u64 count = lane_sum(sums);
    FORGET(count);
    count &= 15;
    husk_u64 last = count + 1; /* of those counted; the first two lanes are no keys */
    FORGET(last);
    const husk_u16 *lanes = (const void *)line;
    husk_u64 is_key = ((lanes[last & 15] ^ distance) - 1) >> 63;
    husk_u64 any_counted = (0 - count) >> 63;
    husk_u64 before_end = head >> (16 + count);
    return (is_key & any_counted) | (before_end & 1);
}

/* `map`: an inner map of the set's chunks. `address` in host order. */
static __always_inline bool set4_holds(void *map, husk_u32 chunk_bytes, husk_u32 address)
{
    husk_u32 zero = 0;
    struct set_bytes set = {.map = map, .chunk_bytes = chunk_bytes};
    set.first = bpf_map_lookup_elem(map, &zero);
    if (!set.first)
        return false;
    const struct husk_set4 *head = (const void *)set.first;

    husk_u64 at = address; /* wide, so that no shift below is cut off */
    husk_u64 bit = at >> (head->filter_shift & 31);
    const husk_u64 *filter =
        set_at(&set, HUSK_SET_HEAD_BYTES + (bit >> 6) * sizeof(*filter), sizeof(*filter));
    if (!filter || !((*filter >> (bit & 63)) & 1))
        return false;

    husk_u64 shift = head->block_shift & 31, block = at >> shift;
    husk_u64 children_at = head->children_at;
    const husk_u64 *line = set4_line(&set, head, block);
    if (!line)
        return false;
    husk_u64 word = line[0], kind = (word >> 30) & 3, number = word >> 32;
    if (kind == HUSK_SET4_LINE_ALL)
        return true;
    husk_u64 distance = (((block - word) & 0xffff) << shift) + (at & ((1ull << shift) - 1));
    if (distance > 0xffff) /* past what the line can hold */
        return false;
    husk_u64 marked = distance | distance << 32 | ABOVE_LANES;

    if (kind != HUSK_SET4_LINE_KEYS) {
        if (kind == HUSK_SET4_LINE_BITS)
            number += distance >> 8;
        else
            number += lane_sum(lanes_upto(marked, line[1]) + lanes_upto(marked, line[2]) +
                               lanes_upto(marked, line[3]));
        line = set_at(&set, children_at + (number & 0xffffffff) * sizeof(struct husk_set4_line),
                      sizeof(struct husk_set4_line));
        if (!line)
            return false;
        if (kind == HUSK_SET4_LINE_BITS) {
            husk_u64 index = distance >> 6;
            FORGET(index);
            return (line[index & 3] >> (distance & 63)) & 1;
        }
    }
    return set4_line_holds(line, distance, marked);
}

#undef LANES
#undef ABOVE_LANES
#endif
