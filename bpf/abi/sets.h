/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Address sets as bytes: one table a set and family, which answers whether an address is in the set.
 * agent/policy/set-tables/ writes these, bpf/include/set4.h and set6.h read them.
 *
 * A table is cut into chunks, the values of one array map. Offsets count from its first byte, where its head
 * is, and nothing below crosses from one chunk into the next. Keys count up; a count is of keys, lines or
 * records, not of bytes. A table that makes no sense holds whatever it holds: it is read inside its bounds.
 */
#ifndef HUSK_ABI_SETS_H
#define HUSK_ABI_SETS_H

#include "abi.h"

/*
 * Two sizes of chunk. An array of unstated length, as inner maps of different size are, is read by a call for
 * each chunk, so that a large set has large ones: its index and filter are in the first, which most packets
 * never leave. Both are powers of two.
 */
#define HUSK_SET_SMALL_CHUNK_BYTES 32768
#define HUSK_SET_LARGE_CHUNK_BYTES 1048576

/* The head's offset is 0, and what comes first behind it is here. */
#define HUSK_SET_HEAD_BYTES 192

/*
 * IPv4. Behind the head is a filter, one bit for each 2^filter_shift addresses, clear where the set has none
 * of them. Then the address space in blocks of 2^block_shift: each group of 64 says where lines begin.
 */
struct husk_set4 {
    husk_u32 filter_shift; /* 9..16, and not above block_shift: a block without addresses is not looked up */
    husk_u32 block_shift;  /* 10..16 */
    husk_u32 groups_at;    /* struct husk_set4_group, one for each 64 blocks */
    husk_u32 lines_at;     /* struct husk_set4_line */
    husk_u32 children_at;  /* more lines, and bits */
    husk_u32 pad[43];
};
_Static_assert(sizeof(struct husk_set4) == HUSK_SET_HEAD_BYTES, "husk_set4");

/* A block's line is `line` and as many further as bits of `starts` are set up to its own. */
struct husk_set4_group {
    husk_u64 starts;
    husk_u32 line;
    husk_u32 pad;
};
_Static_assert(sizeof(struct husk_set4_group) == 16, "husk_set4_group");

/* Keys are distances from the first address of the line's first block. One whose bit is set in `flags` is the
 * last address of a range, of which the key before is the first; any other is one address. Unused keys repeat
 * the last. The flags of further kinds have only the kind. */
#define HUSK_SET4_KEYS 14
struct husk_set4_line {
    husk_u16 first_block; /* its low 16 bits */
    husk_u16 flags;       /* bits 0..13: ends of ranges; from bit 14 on: HUSK_SET4_LINE_ */
    husk_u16 keys[HUSK_SET4_KEYS];
};
_Static_assert(sizeof(struct husk_set4_line) == 32, "husk_set4_line");

#define HUSK_SET4_LINE_KEYS 0
/* keys[0..1] are a number: of the first child, less the keys that every address is past. keys[2..13] each
 * begin another child: lines of the same first block. */
#define HUSK_SET4_LINE_CHILDREN 1
/* keys[0..1] are the number of the child from where on each address of the block has a bit. */
#define HUSK_SET4_LINE_BITS 2
/* Every address of its blocks. Line 0 is one, for groups that are in the set as a whole. */
#define HUSK_SET4_LINE_ALL 3

/*
 * IPv6. A key is a prefix of up to 64 bits: its address shifted left by one, and one bit set behind its last
 * bit, at 1 << (64 - length); the rest is zero. `place` is an address, likewise shifted.
 *
 * The window is the part of the address space where most keys are: addresses that begin with the first
 * `window_bits` bits of `window_first`. It is cut into blocks of 2^block_shift, and groups say, as in IPv4,
 * which line has a block's keys. The trees hold all keys that are not in lines: outside of the window, longer
 * than 64, shorter than a block, and where many are close. Four search trees, by the first two bits of the
 * address; a key's top bit is not its own there. One whose top bit is set is a /64 of which the set has only
 * some addresses: a record says which. Unused keys of a leaf repeat the last.
 */
#define HUSK_SET6_TREES 4
#define HUSK_SET6_LEVELS 6
#define HUSK_SET6_LEAF_KEYS 8
#define HUSK_SET6_NODE_KEYS 16

struct husk_set6_tree {
    husk_u32 levels_at[HUSK_SET6_LEVELS]; /* struct husk_set6_node of each level, from the root down */
    husk_u32 level_count;                 /* without the leaves */
    husk_u32 first_leaf;
};
_Static_assert(sizeof(struct husk_set6_tree) == 32, "husk_set6_tree");

struct husk_set6 {
    struct husk_set6_tree trees[HUSK_SET6_TREES];
    husk_u32 trees_present; /* a bit for each that has a key */
    husk_u32
        filter_prefix; /* 32..48: so many bits off the first 64 leave what is hashed, set6_hash() in set6.h */
    husk_u32 filter_shift; /* 9..26: so many bits off the hash; behind the head is one bit for each left */
    husk_u32 leaves_at;    /* struct husk_set6_leaf */
    husk_u32 counts_at;    /* u32 for each leaf: how many keys before it have a record */
    husk_u32 records_at;   /* struct husk_set6_record */
    husk_u32 record_count; /* 0: no prefix is longer than 64 */
    husk_u32 groups_at;    /* struct husk_set6_group, one for each 64 blocks; 0: no window, all is in trees */
    husk_u64 window_first;
    husk_u32 window_bits; /* 0..63 */
    husk_u32 block_shift; /* 0..46, of the first 64 bits of an address */
    husk_u32 lines_at;    /* struct husk_set6_line */
    husk_u32 pad[3];
};
_Static_assert(sizeof(struct husk_set6) == HUSK_SET_HEAD_BYTES, "husk_set6");

/* As struct husk_set4_group. */
struct husk_set6_group {
    husk_u64 starts;
    husk_u32 line;
    husk_u32 pad;
};
_Static_assert(sizeof(struct husk_set6_group) == 16, "husk_set6_group");

/* The low 48 bits of five keys: four at bit 16 of each word, and one, from its highest bits down, below those
 * of the first three. 0 where there are fewer. A line's blocks are so few that no two places in them agree in
 * 48 bits. The low 16 bits of the last word are HUSK_SET6_LINE_. */
#define HUSK_SET6_LINE_KEYS 5
#define HUSK_SET6_KEY_BITS 48
struct husk_set6_line {
    husk_u64 words[4];
};
_Static_assert(sizeof(struct husk_set6_line) == 32, "husk_set6_line");

/* The keys of its blocks are in the trees. */
#define HUSK_SET6_LINE_TREE 1

/* Child c of node n is node or leaf 16 n + c; c is the count of keys that are not above the place. The last
 * key is not used: no place reaches it. */
struct husk_set6_node {
    husk_u64 keys[HUSK_SET6_NODE_KEYS];
};
_Static_assert(sizeof(struct husk_set6_node) == 128, "husk_set6_node");

struct husk_set6_leaf {
    husk_u64 keys[HUSK_SET6_LEAF_KEYS];
};
_Static_assert(sizeof(struct husk_set6_leaf) == 64, "husk_set6_leaf");

/* The low halves of addresses, host order. Where first > last it is instead a list: records last..first-1. */
struct husk_set6_record {
    husk_u64 first;
    husk_u64 last;
};
_Static_assert(sizeof(struct husk_set6_record) == 16, "husk_set6_record");

#endif
