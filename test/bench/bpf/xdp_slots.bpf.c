// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What slots cost by themselves: the live word and the tables of its slot through maps of maps, as every
 * packet program finds them, against the same tables without slots. ROUNDS of it in a run, one waiting for
 * the other, so that nothing of it hides behind other work; in a program that judges, much of it does.
 */
#include "include/compat.h"

/* live.h counts deadlines that were seen, which needs every map there is; here there is no trial. */
#define HUSK_COUNT_H
static __always_inline void count_total(husk_u32 total)
{
    (void)total;
}
#include "include/live.h"

#define ROUNDS 16

#define TABLE                                                                                                \
    {                                                                                                        \
        __uint(type, BPF_MAP_TYPE_ARRAY);                                                                    \
        __uint(max_entries, 1);                                                                              \
        __type(key, husk_u32);                                                                               \
        __type(value, husk_u64);                                                                             \
    }
struct table TABLE;
struct table table_a SEC(".maps"), table_b SEC(".maps"), table_c SEC(".maps"), table_d SEC(".maps");

#define SLOTS_OF(NAME, INNER)                                                                                \
    struct {                                                                                                 \
        __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                                            \
        __uint(max_entries, HUSK_SLOTS);                                                                     \
        __type(key, husk_u32);                                                                               \
        __array(values, struct table);                                                                       \
    } NAME SEC(".maps") = {.values = {&INNER, &INNER}}
SLOTS_OF(slots_a, table_a);
SLOTS_OF(slots_b, table_b);
SLOTS_OF(slots_c, table_c);
SLOTS_OF(slots_d, table_d);

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct husk_control);
} control SEC(".maps");

/* What was read, always 0, but who knows: the next lookup waits for it. */
static __always_inline husk_u32 read_table(void *table, husk_u32 before)
{
    husk_u32 key = before;
    husk_u64 *value = table ? bpf_map_lookup_elem(table, &key) : NULL;
    return value ? *value : 0;
}

static __always_inline husk_u32 read_by_slot(void *slots, husk_u32 slot, husk_u32 before)
{
    husk_u32 place = slot;
    return read_table(bpf_map_lookup_elem(slots, &place), before);
}

enum asked {
    NO_SLOTS,
    LIVE_WORD, /* beside them */
    BY_SLOT,
};

/* `asked` is known where it is called, so that each program has the code of its own alone. */
static __always_inline int read_rounds(enum asked asked)
{
    husk_u32 read = 0;

#pragma clang loop unroll(full)
    for (int round = 0; round < ROUNDS; round++) {
        husk_u32 key = read, slot = read;

        if (asked != NO_SLOTS) {
            struct husk_control *shared = bpf_map_lookup_elem(&control, &key);
            if (!shared)
                return XDP_ABORTED;
            slot = live_slot(shared);
        }
        if (asked == BY_SLOT) {
            read = read_by_slot(&slots_a, slot, read);
            read = read_by_slot(&slots_b, slot, read);
            read = read_by_slot(&slots_c, slot, read);
            read = read_by_slot(&slots_d, slot, read);
        } else {
            read = read_table(&table_a, slot);
            read = read_table(&table_b, read);
            read = read_table(&table_c, read);
            read = read_table(&table_d, read);
        }
    }
    return read ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int bench_without_slots(struct xdp_md *ctx)
{
    (void)ctx;
    return read_rounds(NO_SLOTS);
}

SEC("xdp")
int bench_live_word(struct xdp_md *ctx)
{
    (void)ctx;
    return read_rounds(LIVE_WORD);
}

SEC("xdp")
int bench_by_slot(struct xdp_md *ctx)
{
    (void)ctx;
    return read_rounds(BY_SLOT);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
