/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Paths as numbers: where an object is on its file system, whatever is mounted where and whoever is in which
 * chroot.
 *
 * The names from the object up to the root of its file system are hashed under a random key, each name to a
 * number c, and put together as a polynomial of an odd B:
 *
 *     path = c0 + c1 B + c2 B² + …        c0 is the name just below the root
 *
 * Walked from the object upwards, each step gives the number of the rest of the path from there on; with all
 * rests at hand, the number of each folder above is the whole less that rest times a power of B. So one walk
 * reads each name once and yields every prefix.
 */
#ifndef HUSK_OBJECT_PATH_H
#define HUSK_OBJECT_PATH_H

#include "hardening_maps.h"
#include "repeat.h"

#define S_IFMT 0170000
#define S_ISUID 04000
#define S_ISGID 02000

struct place {
    husk_u64 whole;  /* number of all names */
    husk_u32 depth;  /* names; 0: the root itself */
    husk_u32 device; /* of the file system */
    bool is_unresolved;
};

static __always_inline struct husk_path_key *the_path_key(void)
{
    return map_only_entry(&path_key);
}

static __always_inline husk_u64 mix_word(husk_u64 hash, husk_u64 word, const struct husk_path_key *key)
{
    hash = (hash ^ word) + key->mix[1];
    hash *= key->mix[0] | 1;
    return hash ^ hash >> 32;
}

/* The base of the polynomial. */
static __always_inline husk_u64 path_base(const struct husk_path_key *key)
{
    return key->mix[2] | 1;
}

/* What stands for a path in tables: its number and its file system, stirred. */
static __always_inline husk_u64 path_value(husk_u64 path, husk_u32 device, const struct husk_path_key *key)
{
    return mix_word(mix_word(key->mix[3], path, key), device, key);
}

/* Hashes `length` bytes of task->name, eight at a time, and what is left of them last, which may be nothing.
 * Beside the walk, so that its rounds are looked at once and not in each round of that. */
__attribute__((noinline)) husk_u64 husk_hash_name(const struct husk_task *task, husk_u32 length)
{
    const struct husk_path_key *key = the_path_key();
    if (!task || !key)
        return 0;
    husk_u64 hash = mix_word(key->mix[3], length, key);
    /* Before the rounds: what comes after them is looked at once for each. */
    husk_u64 last = *(const husk_u64 *)&task->name[length & (HUSK_NAME_BYTES - 8)];
    last &= (1ull << ((length & 7) * 8)) - 1;
    FORGET(last);
#pragma clang loop unroll(disable)
    for (husk_u32 at = 0; at < HUSK_NAME_BYTES / 8; at++) {
        if (at * 8 + 8 > length)
            break;
        hash = mix_word(hash, *(const husk_u64 *)&task->name[at * 8], key);
    }
    return mix_word(hash, last, key);
}

struct walk_round {
    struct dentry *dentry;
    struct husk_task *task;
    husk_u64 base;
    husk_u64 rest;
    husk_u32 depth;
    bool is_whole; /* it came to the root */
};

static long walk_up(husk_u32 number, void *context)
{
    struct walk_round *round = context;
    struct dentry *dentry = round->dentry, *parent = dentry->d_parent;
    husk_u32 length = dentry->d_name.len, depth = round->depth;
    if (!parent || parent == dentry) {
        round->is_whole = true;
        return REPEAT_END;
    }
    if (depth >= HUSK_PATH_DEPTH_MAX || length >= HUSK_NAME_BYTES ||
        bpf_probe_read_kernel(round->task->name, length & (HUSK_NAME_BYTES - 1), dentry->d_name.name))
        return REPEAT_END;
    husk_u64 rest = husk_hash_name(round->task, length) + round->base * round->rest;
    round->task->rest[depth & (HUSK_PATH_DEPTH_MAX - 1)] = rest;
    round->rest = rest;
    round->depth = depth + 1;
    round->dentry = parent;
    return REPEAT_ON;
}

/* Walks up from `dentry`, leaving the rests in task->rest, that of the last name first. */
static __always_inline void resolve(struct dentry *dentry, struct husk_task *task,
                                    const struct husk_path_key *key, struct place *place)
{
    struct walk_round round = {.dentry = dentry, .task = task, .base = path_base(key)};
    place->device = dentry->d_sb->s_dev;
    /* One more: of a path just as deep as there is room for, the next one up has to be the root. */
    repeat(HUSK_PATH_DEPTH_MAX + 1, walk_up, &round);
    place->is_unresolved = !husk_unknown(round.is_whole);
    place->depth = husk_unknown(round.depth);
    place->whole = husk_unknown(round.rest);
}

struct name_round {
    const struct husk_task *task;
    const struct husk_path_key *key;
    husk_u64 hash;
    husk_u64 is_within; /* a name, and not before its first byte */
};

static long hash_next_byte(husk_u32 at, void *context)
{
    struct name_round *round = context;
    husk_u64 byte = round->task->name[at & (HUSK_NAME_BYTES - 1)];
    if (!byte)
        return REPEAT_END;
    /* Without branches, of which 255 rounds would make many paths. */
    husk_u64 no_slash = any(byte ^ '/'), no_hyphen = any(byte ^ '-');
    round->hash = mix_word(round->hash, byte, round->key) * (no_slash & (no_hyphen | round->is_within));
    round->is_within = no_slash;
    return REPEAT_ON;
}

/* The last part of the path that is in task->name: what a program of many applets goes by. A hyphen before
 * it, which marks a login shell, is none of it. 0 where there is none. */
__attribute__((noinline)) husk_u64 husk_hash_last_name(const struct husk_task *task)
{
    struct name_round round = {.task = task, .key = the_path_key()};
    if (!task || !round.key)
        return 0;
    repeat(HUSK_NAME_BYTES - 1, hash_next_byte, &round);
    return round.hash;
}

#endif
