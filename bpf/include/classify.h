/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The first entry of an ordered list that a packet matches, at a cost that hardly grows with the list.
 *
 *   bench = classifier_bench(index);      fill bench->key
 *   entry = classify(index, slot)         the first match's number in the list, CLASSIFIER_NONE or _ABSENT
 *   bench->row                            what the list's maker gave with that entry
 *   entry = classify_next(index, slot)    the next match of the same packet, by the same slot
 *
 * abi/classifier.h says how the table is made. The address gives a class by two or three lookups and a few
 * nodes, ports and small fields by cross tables; then words are compared that all four classes have. Nothing
 * depends on the length of the list but the number of those words.
 *
 * Who includes this says first where the tables are: CLASSIFIER_SMALL, CLASSIFIER_MEDIUM and CLASSIFIER_LARGE
 * name maps of maps by slot, one for each size. A slot has its table in one of them.
 *
 * Shaped by the verifier: each size has code of its own, because a mask must be a constant; everything is in
 * arithmetic, and what lives across a loop is in the bench, since what is read back from a map has no
 * history.
 */
#ifndef HUSK_CLASSIFY_H
#define HUSK_CLASSIFY_H

#include <stddef.h>

#include "compat.h"

#define CLASSIFIER_NONE (-1)
#define CLASSIFIER_ABSENT (-2) /* the slot has no table */

/* As many packets as can be under judgement at once on a CPU: one for each role of a program. */
#ifndef CLASSIFIER_BENCHES
#define CLASSIFIER_BENCHES 4
#endif

struct classifier_key {
    union address saddr; /* IPv4 as ::ffff:a.b.c.d */
    union address daddr;
    husk_u16 sport; /* host order; of ICMP 0 */
    husk_u16 dport; /* of ICMP type << 8 | code */
    husk_u8 family; /* HUSK_FAMILY_ */
    husk_u8 ip_proto;
    husk_u8 has_ports; /* 0 or 1 */
    husk_u8 zone;      /* 0 to 15 */
    husk_u8 state;     /* 0 to 7 */
    husk_u8 device;    /* 1: to the device itself */
    husk_u8 fragment;  /* 0 none, 1 first, 2 later */
    husk_u8 sets;      /* a bit for each big set that it is in */
    husk_u32 pad;
};
_Static_assert(sizeof(struct classifier_key) == 48, "classifier_key");

struct classifier_bench {
    struct classifier_key key;
    husk_u16 classes[4]; /* units; kept for the next match */
    husk_u32 row;
    husk_u32 pad;
    husk_u64 any[4];                           /* words that are still to be gone through */
    husk_u64 best;                             /* entry << 16 | position, while the words are gone through */
    husk_u32 cursor[HUSK_CLASSIFIER_SECTIONS]; /* by section: the position behind the last match told */
};

/* Programs only. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, CLASSIFIER_BENCHES);
    __type(key, husk_u32);
    __type(value, struct classifier_bench);
} classifier_benches SEC(".maps");

static __always_inline struct classifier_bench *classifier_bench(husk_u32 index)
{
    return bpf_map_lookup_elem(&classifier_benches, &index);
}

/* A number that the verifier is to know the bound of, here and now. */
#define BOUNDED(NUMBER, MASK)                                                                                \
    ({                                                                                                       \
        husk_u64 number_ = (NUMBER);                                                                         \
        FORGET(number_);                                                                                     \
        number_ &(MASK);                                                                                     \
    })

/* Line REFERENCE of a table of BYTES, where `LINES` lines from there are to be read. FORGET, or clang leaves
 * the mask out where it knows better, and the verifier, which forgets what was spilled (5.10), does not. */
#define LINE(TABLE, BYTES, REFERENCE, LINES)                                                                 \
    ({                                                                                                       \
        husk_u64 line_ = (REFERENCE);                                                                        \
        FORGET(line_);                                                                                       \
        line_ &= (BYTES) / HUSK_CLASSIFIER_LINE - (LINES);                                                   \
        (const void *)((const husk_u8 *)(TABLE) + line_ * HUSK_CLASSIFIER_LINE);                             \
    })

/* Unit REFERENCE of a table of BYTES, where `UNITS` units from there are to be read. */
#define UNIT(TABLE, BYTES, REFERENCE, UNITS)                                                                 \
    ({                                                                                                       \
        husk_u64 unit_ = (REFERENCE);                                                                        \
        FORGET(unit_);                                                                                       \
        unit_ &= (BYTES) / HUSK_CLASSIFIER_UNIT - (UNITS);                                                   \
        (const void *)((const husk_u8 *)(TABLE) + unit_ * HUSK_CLASSIFIER_UNIT);                             \
    })

/* Element INDEX of an array of TYPE that begins at a line and may be long. */
#define ELEMENT(TABLE, BYTES, REFERENCE, INDEX, TYPE)                                                        \
    ({                                                                                                       \
        husk_u64 at_ = (husk_u64)(REFERENCE) * HUSK_CLASSIFIER_LINE + (husk_u64)(INDEX) * sizeof(TYPE);      \
        FORGET(at_);                                                                                         \
        at_ &= (BYTES) - sizeof(TYPE);                                                                       \
        *(const TYPE *)((const husk_u8 *)(TABLE) + at_);                                                     \
    })

#define NODE4_LANES 0x0001000100010001ull
#define NODE4_TOPS 0x8000800080008000ull

/* How many keys are at or below the lower 15 bits of the address: a bit at the top of each lane. */
static __always_inline husk_u64 node4_rank(const struct husk_node4 *node, husk_u64 spread)
{
    const husk_u64 *keys = (const void *)node->key;
    husk_u64 below = (((spread - keys[0]) & NODE4_TOPS) >> 15) + (((spread - keys[1]) & NODE4_TOPS) >> 15);
    below = (below * NODE4_LANES) >> 48;
    FORGET(below);
    return below & 7;
}

/* 1 where the top bit is set. */
static __always_inline husk_u64 top_bit(husk_u64 number)
{
    FORGET(number); /* or clang compares, and jumps */
    number >>= 63;
    FORGET(number); /* or it chooses, and jumps */
    return number;
}

/* 1 where a < b, without a branch: the borrow of a - b. */
static __always_inline husk_u64 is_below(husk_u64 a, husk_u64 b)
{
    return top_bit((~a & b) | ((~a | b) & (a - b)));
}

static __always_inline husk_u64 node6_rank(const struct husk_node6 *node, husk_u64 half)
{
    husk_u64 above = 0;
#pragma unroll
    for (int key = 0; key < HUSK_CLASSIFIER_KEYS6; key++)
        above += is_below(half, node->key[key]);
    husk_u64 rank = HUSK_CLASSIFIER_KEYS6 - above;
    FORGET(rank);
    return rank & 7;
}

/* All ones where reference `a` is below `b`, else 0: both are below 2^32, so the difference shows at the top.
 */
static __always_inline husk_u64 mask_below(husk_u64 a, husk_u64 b)
{
    return -top_bit(a - b);
}

static __always_inline husk_u64 choose(husk_u64 mask, husk_u64 ones, husk_u64 zeros)
{
    return zeros ^ ((ones ^ zeros) & mask);
}

/*
 * Both addresses' classes. They go down their trees side by side: one's loads are under way while the other's
 * are waited for, and to the verifier it is one loop of a few ways out instead of one behind the other.
 */
static __always_inline void classify_ipv4(const struct husk_classifier *table, husk_u32 bytes,
                                          struct classifier_bench *bench)
{
    husk_u32 saddr = bpf_ntohl(bench->key.saddr.words[3]), daddr = bpf_ntohl(bench->key.daddr.words[3]);
    const husk_u16 *spage = LINE(table, bytes, table->source4[saddr >> 23], 8);
    const husk_u16 *dpage = LINE(table, bytes, table->destination4[daddr >> 23], 8);
    husk_u64 source = spage[(saddr >> 15) & 255], destination = dpage[(daddr >> 15) & 255];
    husk_u64 sspread = (saddr & 0x7fff) * NODE4_LANES + NODE4_TOPS,
             dspread = (daddr & 0x7fff) * NODE4_LANES + NODE4_TOPS;
    husk_u64 first_class = table->first_class;
#pragma clang loop unroll(disable)
    for (int depth = 0; depth < HUSK_CLASSIFIER_DEPTH4; depth++) {
        husk_u64 is_source = mask_below(source, first_class),
                 is_destination = mask_below(destination, first_class);
        if (!(is_source | is_destination))
            break;
        const struct husk_node4 *snode = UNIT(table, bytes, source, 1);
        const struct husk_node4 *dnode = UNIT(table, bytes, destination, 1);
        source = choose(is_source, snode->child[node4_rank(snode, sspread)], source);
        destination = choose(is_destination, dnode->child[node4_rank(dnode, dspread)], destination);
    }
    bench->classes[0] = source;
    bench->classes[1] = destination;
}

/* The half that a node is about: those of the upper half lie below those of the lower half. */
static __always_inline husk_u64 half_for(const struct husk_classifier *table, husk_u64 reference,
                                         husk_u64 upper, husk_u64 lower)
{
    return choose(mask_below(reference, table->first_lower_node), upper, lower);
}

static __always_inline void classify_ipv6(const struct husk_classifier *table, husk_u32 bytes,
                                          struct classifier_bench *bench)
{
    const union address *saddr = &bench->key.saddr, *daddr = &bench->key.daddr;
    husk_u64 supper = bpf_be64_to_cpu(saddr->halves[0]), slower = bpf_be64_to_cpu(saddr->halves[1]);
    husk_u64 dupper = bpf_be64_to_cpu(daddr->halves[0]), dlower = bpf_be64_to_cpu(daddr->halves[1]);
    const husk_u16 *spage = LINE(table, bytes, table->source6[supper >> 52], 8);
    const husk_u16 *dpage = LINE(table, bytes, table->destination6[dupper >> 52], 8);
    spage = LINE(table, bytes, spage[(supper >> 44) & 255], 8);
    dpage = LINE(table, bytes, dpage[(dupper >> 44) & 255], 8);
    husk_u64 source = spage[(supper >> 36) & 255], destination = dpage[(dupper >> 36) & 255];
    husk_u64 first_class = table->first_class;
#pragma clang loop unroll(disable)
    for (int depth = 0; depth < HUSK_CLASSIFIER_DEPTH6; depth++) {
        husk_u64 is_source = mask_below(source, first_class),
                 is_destination = mask_below(destination, first_class);
        if (!(is_source | is_destination))
            break;
        const struct husk_node6 *snode = UNIT(table, bytes, source, 2);
        husk_u64 srank = node6_rank(snode, half_for(table, source, supper, slower));
        const struct husk_node6 *dnode = UNIT(table, bytes, destination, 2);
        husk_u64 drank = node6_rank(dnode, half_for(table, destination, dupper, dlower));
        source = choose(is_source, snode->child[srank], source);
        destination = choose(is_destination, dnode->child[drank], destination);
    }
    bench->classes[0] = source;
    bench->classes[1] = destination;
}

/* The classes of ports with protocol, and of the small fields. */
static __always_inline void classify_plain_fields(const struct husk_classifier *table, husk_u32 bytes,
                                                  struct classifier_bench *bench)
{
    const struct classifier_key *key = &bench->key;
    husk_u64 is_other = (key->family >> 2) & 1;
    const husk_u16 *sleaf = LINE(table, bytes, table->sport[key->sport >> 6], 2);
    const husk_u16 *dleaf = LINE(table, bytes, table->dport[key->dport >> 6], 2);
    husk_u64 sport = 1 + (husk_u64)sleaf[key->sport & 63], dport = dleaf[key->dport & 63];
    husk_u64 has_ports = key->has_ports & (is_other ^ 1);
    husk_u64 pair = (1 + (sport - 1) * table->pairs_stride + dport) * has_ports;
    pair = ELEMENT(table, bytes, table->pairs, pair, husk_u16);

    husk_u64 protocol = (key->ip_proto & (is_other - 1)) | is_other << 8;
    FORGET(protocol);
    pair = pair * table->ports_stride + table->protocol[protocol & 511];
    bench->classes[2] = ELEMENT(table, bytes, table->ports, pair, husk_u16);

    husk_u64 small = key->zone | key->state << 4 | key->device << 7 | key->fragment << 8;
    FORGET(small);
    small = (husk_u64)table->small[small & 1023] * table->smalls_stride + table->set[key->sets];
    small = small * table->sports_stride + sport * has_ports * table->sports_step;
    bench->classes[3] = ELEMENT(table, bytes, table->smalls, small, husk_u16);
}

static __always_inline void classify_fields(const struct husk_classifier *table, husk_u32 bytes,
                                            struct classifier_bench *bench)
{
    const struct classifier_key *key = &bench->key;
    classify_plain_fields(table, bytes, bench);
    if (key->family == HUSK_FAMILY_IPV4) {
        classify_ipv4(table, bytes, bench);
    } else if (key->family == HUSK_FAMILY_IPV6) {
        classify_ipv6(table, bytes, bench);
    } else {
        bench->classes[0] = table->source_other;
        bench->classes[1] = table->destination_other;
    }
}

/* The place of the lowest bit of a word that has one. */
static __always_inline husk_u64 lowest_of(const struct husk_classifier *table, husk_u64 word)
{
    return table->lowest_bit[((word & -word) * 0x03f79d71b4cb0a89ull) >> 58] & 63;
}

#define CLASS(FIELD) ((const struct husk_class *)UNIT(table, bytes, bench->classes[FIELD], 1))

/* Word PLACE of group GROUP of a class. The class is a number and not a pointer: a unit beyond the last
 * cannot be, and the mask says so to the verifier. */
#define WORD(CLASS_, GROUPS, GROUP, PLACE)                                                                   \
    ({                                                                                                       \
        husk_u64 group_ =                                                                                    \
            (CLASS_) * HUSK_CLASSIFIER_UNIT + offsetof(struct husk_class, group) + ((GROUP) & (GROUPS)) * 2; \
        FORGET(group_);                                                                                      \
        group_ &= bytes - 2;                                                                                 \
        const struct husk_class_line *words_ =                                                               \
            LINE(table, bytes, *(const husk_u16 *)((const husk_u8 *)table + group_), 1);                     \
        words_->word[PLACE];                                                                                 \
    })

/* Bits 59 to 63 of the last word: which bits of a group's number count. */
#define GROUPS_SHIFT 59
#define LAST_WORDS 0xffffffffull

/* 1 where the number is not 0. */
static __always_inline husk_u64 is_some(husk_u64 number)
{
    return top_bit(number | -number);
}

/* No match: above every entry << 16 | position. */
#define NO_MATCH (1ull << 32)

/* Which words all four classes have, and that nothing is found yet. */
static __always_inline void classify_begin(const struct husk_classifier *table, husk_u32 bytes,
                                           struct classifier_bench *bench)
{
    const struct husk_class *source = CLASS(0), *destination = CLASS(1), *ports = CLASS(2), *small = CLASS(3);
#pragma unroll
    for (int part = 0; part < 3; part++)
        bench->any[part] = source->any[part] & destination->any[part] & ports->any[part] & small->any[part];
    bench->any[2] &= LAST_WORDS;
    bench->best = NO_MATCH;
}

/*
 * Goes through the words of a part (64 words) that all four classes have, and brings the best down to the
 * least entry found. A section is left at its first match. Rounds have no branch: what was found is chosen by
 * arithmetic.
 */
static __always_inline void classify_part(const struct husk_classifier *table, husk_u32 bytes,
                                          struct classifier_bench *bench, husk_u32 part)
{
    husk_u64 source = bench->classes[0], destination = bench->classes[1], ports = bench->classes[2],
             small = bench->classes[3];
    husk_u64 source_groups = CLASS(0)->any[2] >> GROUPS_SHIFT,
             destination_groups = CLASS(1)->any[2] >> GROUPS_SHIFT,
             ports_groups = CLASS(2)->any[2] >> GROUPS_SHIFT, small_groups = CLASS(3)->any[2] >> GROUPS_SHIFT;
    husk_u64 any = bench->any[BOUNDED(part, 3)], best = bench->best;
#pragma clang loop unroll(disable)
    for (husk_u32 round = 0; round < 64; round++) {
        if (!any)
            break;
        husk_u64 word = lowest_of(table, any);
        any &= any - 1;
        husk_u64 group = part * 8 + (word >> 3), place = word & 7;
        husk_u64 bits = WORD(source, source_groups, group, place) &
                        WORD(destination, destination_groups, group, place) &
                        WORD(ports, ports_groups, group, place) & WORD(small, small_groups, group, place);
        word += part * 64;
        husk_u64 section = table->section[BOUNDED(word, 255)];

        /* Positions before the cursor were told: all of an earlier word, some of its own. */
        husk_u64 position = word * 64;
        husk_u64 told = bench->cursor[BOUNDED(section, HUSK_CLASSIFIER_SECTIONS - 1)] - position;
        told *= top_bit(told) ^ 1; /* times, not and: a mask of 0 or all ones 6.18 walks both ways */
        bits &= -1ull << (told & 63);
        bits *= is_some(told >> 6) ^ 1;

        husk_u64 is_match = is_some(bits);
        position += lowest_of(table, bits);
        husk_u64 entry = ELEMENT(table, bytes, table->order, position, husk_u16);
        husk_u64 found = (entry << 16 | position) + (is_match ^ 1) * NO_MATCH;
        best = choose(mask_below(found, best), found, best);
        any &= ~(table->section_words[BOUNDED(section * 4 + part, 15)] * is_match);
    }
    bench->best = best;
}

/* What was best is the match: its section goes on behind it. */
static __always_inline int classify_found(const struct husk_classifier *table, husk_u32 bytes,
                                          struct classifier_bench *bench)
{
    husk_u64 best = bench->best;
    if (best >= NO_MATCH)
        return CLASSIFIER_NONE;
    husk_u64 position = best & 0xffff, entry = best >> 16;
    husk_u64 section = table->section[BOUNDED(position >> 6, 255)];
    bench->cursor[BOUNDED(section, HUSK_CLASSIFIER_SECTIONS - 1)] = position + 1;
    bench->row = ELEMENT(table, bytes, table->rows, entry, husk_u32);
    return entry;
}

static __always_inline const struct husk_classifier *classifier_table(void *slots, husk_u32 slot)
{
    husk_u32 zero = 0;
    void *table = bpf_map_lookup_elem(slots, &slot);
    return table ? bpf_map_lookup_elem(table, &zero) : NULL;
}

/* Looks a new packet's classes up. */
static __always_inline void classify_anew(const struct husk_classifier *table, husk_u32 bytes,
                                          struct classifier_bench *bench)
{
    __builtin_memset(bench->cursor, 0, sizeof(bench->cursor));
    classify_fields(table, bytes, bench);
}

/* In each of the three: the packet on the bench, for the first time or (`is_next`) for its next match. */

GLOBAL husk_classify_small(husk_u32 index, husk_u32 slot, husk_u32 is_next)
{
    const husk_u32 bytes = HUSK_CLASSIFIER_SMALL_BYTES;
    struct classifier_bench *bench = classifier_bench(index);
    const struct husk_classifier *table = classifier_table(&CLASSIFIER_SMALL, slot);
    if (!bench || !table)
        return CLASSIFIER_ABSENT;
    if (!is_next)
        classify_anew(table, bytes, bench);
    husk_u32 from = bench->cursor[0];
    husk_u64 bits = CLASS(0)->any[0] & CLASS(1)->any[0] & CLASS(2)->any[0] & CLASS(3)->any[0];
    if (from > 63)
        return CLASSIFIER_NONE;
    bits &= -1ull << from;
    if (!bits)
        return CLASSIFIER_NONE;
    husk_u32 entry = lowest_of(table, bits);
    bench->cursor[0] = entry + 1;
    bench->row = ELEMENT(table, bytes, table->rows, entry, husk_u32);
    return entry;
}

GLOBAL husk_classify_medium(husk_u32 index, husk_u32 slot, husk_u32 is_next)
{
    const husk_u32 bytes = HUSK_CLASSIFIER_MEDIUM_BYTES;
    struct classifier_bench *bench = classifier_bench(index);
    const struct husk_classifier *table = classifier_table(&CLASSIFIER_MEDIUM, slot);
    if (!bench || !table)
        return CLASSIFIER_ABSENT;
    if (!is_next)
        classify_anew(table, bytes, bench);
    classify_begin(table, bytes, bench);
    classify_part(table, bytes, bench, 0);
    return classify_found(table, bytes, bench);
}

/* A part of a large table: a function of its own, so that the verifier walks through it once. */
GLOBAL husk_classify_large_part(husk_u32 index, husk_u32 slot, husk_u32 part)
{
    struct classifier_bench *bench = classifier_bench(index);
    const struct husk_classifier *table = classifier_table(&CLASSIFIER_LARGE, slot);
    if (!bench || !table || part > 2)
        return CLASSIFIER_ABSENT;
    classify_part(table, HUSK_CLASSIFIER_LARGE_BYTES, bench, part);
    return 0;
}

GLOBAL husk_classify_large(husk_u32 index, husk_u32 slot, husk_u32 is_next)
{
    const husk_u32 bytes = HUSK_CLASSIFIER_LARGE_BYTES;
    struct classifier_bench *bench = classifier_bench(index);
    const struct husk_classifier *table = classifier_table(&CLASSIFIER_LARGE, slot);
    if (!bench || !table)
        return CLASSIFIER_ABSENT;
    if (!is_next)
        classify_anew(table, bytes, bench);
    classify_begin(table, bytes, bench);
#pragma unroll
    for (int part = 0; part < 3; part++)
        if (bench->any[part])
            husk_classify_large_part(index, slot, part);
    return classify_found(table, bytes, bench);
}

static __always_inline int classify_by_size(husk_u32 index, husk_u32 slot, husk_u32 is_next)
{
    if (bpf_map_lookup_elem(&CLASSIFIER_SMALL, &slot))
        return husk_classify_small(index, slot, is_next);
    if (bpf_map_lookup_elem(&CLASSIFIER_MEDIUM, &slot))
        return husk_classify_medium(index, slot, is_next);
    return husk_classify_large(index, slot, is_next);
}

/* The first entry that matches the key on bench `index`, by the table of the slot. */
static __always_inline int classify(husk_u32 index, husk_u32 slot)
{
    return classify_by_size(index, slot, 0);
}

/* The first entry behind the one that the call before gave; key, bench and slot must be those of that call.
 */
static __always_inline int classify_next(husk_u32 index, husk_u32 slot)
{
    return classify_by_size(index, slot, 1);
}

#endif
