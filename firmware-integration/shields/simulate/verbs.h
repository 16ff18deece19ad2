/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon's stand-in can do, a verb each. A verb returns 0 where the kernel let it happen and the
 * errno where it did not; it undoes what it did, as far as something is left of it.
 *
 * Nothing here attacks anything: files are those that are named, packets leave by the loopback interface or
 * not at all, and what would be loaded, traced or watched is the program's own or empty.
 */
#ifndef VERBS_H
#define VERBS_H

#define WORDS_MAX 16
/* An outcome from here on is no errno: the process was ended by the signal above it. */
#define OUTCOME_KILLED 128

/* `words[0]` is the verb; `count` words, and NULL after them. */
typedef int (*verb_function)(int count, char **words);

struct verb {
    const char *name;
    int least; /* words it needs besides its own name */
    verb_function does;
};

/* Each ends with a verb that has no name. */
extern const struct verb file_verbs[];
extern const struct verb program_verbs[];
extern const struct verb socket_verbs[];
extern const struct verb kernel_verbs[];

/* The number that a word is, or -1. */
long number_of(const char *word);

#endif
