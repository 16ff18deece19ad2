/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The table of connections: buckets of eight places, by a keyed hash of both ends. Bounded, and it sweeps
 * itself: a place whose connection is over is free for the next one, so no timer and no agent is needed.
 *
 * Reading takes no lock. A place may be given to another connection under a reader, on processors that
 * reorder what it sees; nothing here relies on an order. The whole key is compared, and a tag of 31 bits of
 * the hash: both equal, the place is or was of this connection, and not put together from two others, whose
 * tags differ. Every word that changes names its tenant by 24 other bits of the hash and a count
 * (bpf/abi/connections.h): words of two tenants don't agree, and then there is no entry. Writing takes the
 * bucket's lock, and looks first whether the tenant is still the same.
 */
#ifndef HUSK_CONNECTION_TABLE_H
#define HUSK_CONNECTION_TABLE_H

#include "keyed_hash.h"
#include "parsing.h"

#define CONNECTION_WAYS HUSK_CONNECTION_WAYS
#define CONNECTION_KEY_WORDS 5
_Static_assert(CONNECTION_KEY_WORDS == HASH_WORDS, "a key is what is hashed");

/* husk_connection_bucket, with the lock that the verifier looks for by its type. */
struct connection_bucket {
    husk_u32 tags[CONNECTION_WAYS];
    struct bpf_spin_lock lock;
    husk_u32 pad;
    struct husk_connection entries[CONNECTION_WAYS];
};
_Static_assert(sizeof(struct connection_bucket) == sizeof(struct husk_connection_bucket), "one layout");
_Static_assert(__builtin_offsetof(struct connection_bucket, lock) ==
                   __builtin_offsetof(struct husk_connection_bucket, lock),
               "one layout");

/* Writers: packet programs; user space, to forget. Readers: both. A missing entry cannot be, while the mask
 * of `connection_setup` is right; where it is, the connection is not followed, and that is counted. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, HUSK_CONNECTION_BUCKETS);
    __type(key, husk_u32);
    __type(value, struct connection_bucket);
} connections SEC(".maps");

/* Writer: user space, once. Readers: packet programs. All zero: one bucket, and a hash that can be foreseen.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, husk_u32);
    __type(value, struct husk_connection_setup);
} connection_setup SEC(".maps");

/* By enum husk_connection_count. Writers: packet programs. Reader: user space. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, HUSK_COUNT_COUNT);
    __type(key, husk_u32);
    __type(value, husk_u64);
} connection_counts SEC(".maps");

/* The connection of a packet, as far as there is one. Lives where the verifier has no history of it: on the
 * bench.
 */
struct connection {
    struct husk_connection_key key; /* of the packet, and of its connection */
    husk_u64 hash;                  /* 0: packets such as this are of no connection */
    husk_u32 tenancy;               /* of the entry */
    husk_u32 judged;
    husk_u32 seen;
    husk_u32 bucket;
    husk_u32 place;
    husk_u32 decided;     /* verdict word of this direction and hook, if it is of this generation; else 0 */
    husk_u16 flags;       /* HUSK_CONNECTION_, of the entry */
    husk_u8 state;        /* enum husk_connection_state */
    husk_u8 is_known;     /* there is an entry, and it is living */
    husk_u8 is_reversed;  /* the packet goes from high to low */
    husk_u8 is_reply;     /* against the original direction */
    husk_u8 is_stale;     /* known, and not judged by this generation yet */
    husk_u8 is_replacing; /* of none, and what it opens takes the place of an entry of the same key */
};

static __always_inline void connection_count(husk_u32 count)
{
    husk_u64 *counted = bpf_map_lookup_elem(&connection_counts, &count);
    if (counted)
        *counted += 1;
}

static __always_inline const struct husk_connection_setup *connection_setup_of(void)
{
    husk_u32 zero = 0;
    return bpf_map_lookup_elem(&connection_setup, &zero);
}

static __always_inline struct connection_bucket *connection_bucket_of(husk_u32 index)
{
    return bpf_map_lookup_elem(&connections, &index);
}

static __always_inline husk_u64 bound(husk_u32 tenancy, husk_u32 value)
{
    return (husk_u64)tenancy << 32 | value;
}

/* 0 where no bit differs. */
static __always_inline husk_u64 key_differs(const struct husk_connection_key *one,
                                            const struct husk_connection_key *other)
{
    const volatile word *left = (const volatile word *)one;
    const word *right = (const word *)other;
    husk_u64 differs = 0;
#pragma unroll
    for (int at = 0; at < CONNECTION_KEY_WORDS; at++)
        differs |= left[at] ^ right[at];
    return differs;
}

/* Lower half: the tag, not 0. Then the bucket. Upper 24 bits: in every word of the entry. */
static __always_inline husk_u32 tag_of(husk_u64 hash)
{
    return hash;
}
static __always_inline husk_u32 bucket_index_of(husk_u64 hash, husk_u32 mask)
{
    return (husk_u32)(hash >> 32) & mask;
}
static __always_inline husk_u64 mark_of(husk_u64 hash)
{
    return hash >> 40;
}

/* The place that a connection gets where it can choose. */
static __always_inline husk_u32 favourite_of(husk_u64 hash)
{
    return hash >> 1 & (CONNECTION_WAYS - 1);
}

/* The place with this hash's tag, of which a bucket has one at the most; CONNECTION_WAYS: none. Its favourite
 * place is looked at first, not for the comparisons that this saves: the processor guesses that it is there
 * and fetches the entry while the tag is still on its way. The others without a branch: only a difference of
 * 0, less one, has the top bit. */
static __always_inline husk_u32 place_of(const struct connection_bucket *bucket, husk_u64 hash)
{
    husk_u32 tag = tag_of(hash), favourite = favourite_of(hash);
    if (READ_ONCE(bucket->tags[favourite]) == tag)
        return favourite;
    husk_u64 place = CONNECTION_WAYS;
#pragma unroll
    for (int at = 0; at < CONNECTION_WAYS; at++) {
        husk_u64 differs = READ_ONCE(bucket->tags[at]) ^ tag;
        FORGET(differs);
        place -= ((differs - 1) >> 63) * (CONNECTION_WAYS - at);
    }
    /* Were a tag there twice, which cannot be, the number would be off. */
    return place > CONNECTION_WAYS ? CONNECTION_WAYS : place;
}

/* Whether a connection last renewed at `seen` has passed its timeout. Seconds are cut, so that one more makes
 * sure that all of the timeout has gone by. */
static __always_inline bool is_timed_out(const struct husk_connection_settings *settings, husk_u32 state,
                                         husk_u32 seen, husk_u32 now)
{
    husk_u32 timeout =
        settings->timeouts[(state >> HUSK_CONNECTION_TIMEOUT_SHIFT) & (HUSK_TIMEOUT_COUNT - 1)];
    return (int)(now - seen) > (int)timeout;
}

/* Looks `connection->key` up; fills in what is known, or leaves is_known at 0. */
static __always_inline void connection_look_up(struct connection *connection,
                                               const struct husk_connection_settings *settings,
                                               bool is_egress, husk_u32 generation, husk_u32 now)
{
    const struct husk_connection_setup *setup = connection_setup_of();
    if (!setup)
        return;
    husk_u64 hash = keyed_hash((const word *)&connection->key, setup->seed, 0);
    connection->hash = hash;
    connection->bucket = bucket_index_of(hash, setup->bucket_mask);
    struct connection_bucket *bucket = connection_bucket_of(connection->bucket);
    if (!bucket)
        return;
    husk_u32 place = place_of(bucket, hash);
    if (place >= CONNECTION_WAYS)
        return;
    const struct husk_connection *entry = &bucket->entries[place];
    husk_u64 state = READ_ONCE(entry->state), seen = READ_ONCE(entry->seen);
    husk_u64 judged = READ_ONCE(entry->judged), tenancy = state >> 32;
    if (key_differs(&entry->key, &connection->key) | (tenancy >> 8 ^ mark_of(hash)) | (seen >> 32 ^ tenancy) |
        (judged >> 32 ^ tenancy))
        return;
    if (is_timed_out(settings, state, seen, now))
        return;
    /* One that this generation judged was not made by a later one: void ones are never judged again. */
    if ((husk_u32)judged != generation) {
        husk_u64 made = READ_ONCE(entry->made);
        if (made >> 32 != tenancy || (husk_u32)made > generation)
            return;
        connection->is_stale = 1;
    }
    connection->place = place;
    connection->tenancy = tenancy;
    connection->seen = seen;
    connection->judged = judged;
    connection->flags = state;
    connection->is_reply = connection->is_reversed ^ !!(state & HUSK_CONNECTION_REVERSED);
    connection->is_known = 1;
    husk_u32 index = (!!connection->is_reply << 1 | is_egress) & (HUSK_CONNECTION_VERDICTS - 1);
    husk_u64 decided = READ_ONCE(entry->verdicts[index]);
    if (decided >> 32 == tenancy && (decided >> 8 & 0xff) == (generation & 0xff) && !connection->is_stale)
        connection->decided = decided;
}

/* Whether the entry is still of the connection that was looked up. Under the lock. */
static __always_inline bool is_same_tenant(const struct connection_bucket *bucket,
                                           const struct husk_connection *entry,
                                           const struct connection *connection)
{
    return entry->state >> 32 == connection->tenancy &&
           bucket->tags[connection->place & (CONNECTION_WAYS - 1)] == tag_of(connection->hash);
}

#endif
