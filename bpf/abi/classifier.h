/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The table of the ordered-rule classifier: one wide value, in one of three sizes. agent/policy/classifier/
 * writes it, bpf/include/classify.h reads it.
 *
 * Four fields of a packet (source, destination, ports with protocol, small fields) are each looked up to a
 * *class*: all values of the field that the same entries hold for. A class is a bit vector over the entries;
 * where the four vectors have a bit in common, that entry matches, and the lowest such bit is the first.
 *
 *   header     struct husk_classifier
 *   units      nodes over IPv6 (upper halves, then lower), nodes over IPv4, classes
 *   lines      pages, leaves of ports, cross tables, lines of vectors, rows, order
 *
 * Nodes and classes lie on units of 32 bytes and are named by the number of their unit, a u16, so that all of
 * them are in the first 2 MiB. Everything behind them lies on lines of 64 bytes and is named by the number of
 * its line: the largest table is 65,536 lines. What lies where tells what a reference is: nodes come before
 * classes, nodes of the upper half of an IPv6 address before those of the lower half.
 *
 * Entries have their bits in another order than they have in the list: in up to four sections, and in each so
 * that entries for similar addresses share words. In a section, entries that overlap keep their order; the
 * first match of the list is the least of the first matches of the sections.
 *
 * A vector is not stored as a whole. The class says in `any` which words have a bit at all, and names a line
 * of eight words for each group of 512 positions; word w is in place w & 7 of its line. Words without a bit
 * are never read, so that a line is shared by all classes that agree with it in the words they do have; and a
 * class none of whose words are in one another's places has one line for all groups, and half the size.
 */
#ifndef HUSK_ABI_CLASSIFIER_H
#define HUSK_ABI_CLASSIFIER_H

#include "abi.h"

#define HUSK_CLASSIFIER_UNIT 32
#define HUSK_CLASSIFIER_LINE 64
/* Sizes of the one value, bytes. The kernel allows no value above 4 MiB (KMALLOC_MAX_SIZE, 5.10). */
#define HUSK_CLASSIFIER_SMALL_BYTES 131072
#define HUSK_CLASSIFIER_MEDIUM_BYTES 1048576
#define HUSK_CLASSIFIER_LARGE_BYTES 4194304
/* Entries in each: one word; one word of words; twenty groups of eight words. A section begins with a word,
 * so that up to three words are not full. */
#define HUSK_CLASSIFIER_SMALL_ENTRIES 64
#define HUSK_CLASSIFIER_MEDIUM_ENTRIES 3904
#define HUSK_CLASSIFIER_LARGE_ENTRIES 10048
#define HUSK_CLASSIFIER_LARGE_WORDS 160
#define HUSK_CLASSIFIER_SECTIONS 4

#define HUSK_CLASSIFIER_ROOT4 512  /* by the upper 9 bits */
#define HUSK_CLASSIFIER_ROOT6 4096 /* by the upper 12 bits */
#define HUSK_CLASSIFIER_PAGE                                                                                 \
    256 /* by the 8 bits that follow; of IPv6, a page's slots are lines of pages by 8 more */
#define HUSK_CLASSIFIER_PORTS 1024      /* by the upper 10 bits; 64 ports a leaf */
#define HUSK_CLASSIFIER_NO_PROTOCOL 256 /* what has no IP header has no protocol */
#define HUSK_CLASSIFIER_KEYS4 7
#define HUSK_CLASSIFIER_KEYS6 5
#define HUSK_CLASSIFIER_DEPTH4 5
#define HUSK_CLASSIFIER_DEPTH6 12

struct husk_classifier {
    husk_u32 entries;
    husk_u32 first_class;      /* unit: an address's reference below it is a node */
    husk_u32 first_lower_node; /* unit: a reference below it is a node over the upper half of IPv6 */
    husk_u32 source_other;     /* classes of frames that are not IP */
    husk_u32 destination_other;
    /*
     * Ports and protocol: pair = pairs[has ports ? 1 + sport class * stride + dport class : 0], then
     * ports[pair * stride + protocol class]. Small fields: smalls[(small class * stride + set class) *
     * sports_stride + (has ports ? 1 + sport class : 0)].
     *
     * Source ports are in the first where that makes few classes, and pairs_stride is their number; else in
     * the second. Where they are not, the stride is 0; sports_stride is 1 and sports_step 0.
     */
    husk_u32 pairs; /* line */
    husk_u32 pairs_stride;
    husk_u32 ports; /* line */
    husk_u32 ports_stride;
    husk_u32 smalls; /* line */
    husk_u32 smalls_stride;
    husk_u32 sports_stride;
    husk_u32 sports_step; /* 1 or 0 */
    husk_u32 rows;        /* line of u32[entries] */
    husk_u32 order;       /* line of u16: by position, the entry's number in the list */
    husk_u32 pad;
    husk_u64 section_words[HUSK_CLASSIFIER_SECTIONS * 4]; /* by section, three words of bits: its words */
    husk_u8 section[256];                                 /* by word */
    husk_u8 lowest_bit[64];                               /* by (x & -x) * 0x03f79d71b4cb0a89 >> 58 */
    husk_u16 protocol[512];                               /* protocol class, by ip_proto */
    husk_u16 small[1024]; /* small class, by zone | state << 4 | device << 7 | fragment << 8 */
    husk_u16 set[256];    /* set class, by the eight bits */
    husk_u16 sport[HUSK_CLASSIFIER_PORTS]; /* line of a leaf: u16[64] of sport classes */
    husk_u16 dport[HUSK_CLASSIFIER_PORTS];
    husk_u16 source4[HUSK_CLASSIFIER_ROOT4]; /* line of a page: u16[256] of references */
    husk_u16 destination4[HUSK_CLASSIFIER_ROOT4];
    husk_u16 source6[HUSK_CLASSIFIER_ROOT6]; /* line of a page: u16[256] of lines of such pages */
    husk_u16 destination6[HUSK_CLASSIFIER_ROOT6];
};
_Static_assert(sizeof(struct husk_classifier) % HUSK_CLASSIFIER_LINE == 0, "husk_classifier");

/* Over the lower 15 bits of an IPv4 address: child[n], where n keys are at or below them. */
struct husk_node4 {
    husk_u16 key[8]; /* ascending; what is not used, and the last, 0x8000 */
    husk_u16 child[8];
};
_Static_assert(sizeof(struct husk_node4) == HUSK_CLASSIFIER_UNIT, "husk_node4");

/* Over one half of an IPv6 address, two units. Unused keys are all ones, unused children the last one. */
struct husk_node6 {
    husk_u64 key[HUSK_CLASSIFIER_KEYS6];
    husk_u16 child[12];
};
_Static_assert(sizeof(struct husk_node6) == 2 * HUSK_CLASSIFIER_UNIT, "husk_node6");

/* Two units, or the first of them. */
struct husk_class {
    husk_u64
        any[3]; /* bit w: word w of the vector has a bit. In a small table any[0] is the vector. The upper
                 * half of any[2]: in bits 59 to 63 a mask of groups, 0 where there is one line for all */
    husk_u16 group[20]; /* line of words 8g to 8g + 7 */
};
_Static_assert(sizeof(struct husk_class) == 2 * HUSK_CLASSIFIER_UNIT, "husk_class");

struct husk_class_line {
    husk_u64 word[8];
};
_Static_assert(sizeof(struct husk_class_line) == HUSK_CLASSIFIER_LINE, "husk_class_line");

#endif
