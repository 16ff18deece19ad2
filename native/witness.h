/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the witness (witness/witness.c) in a grandchild, and says how far it came: refused, ended before its
 * first instruction, or run. How a hook on execve is seen to answer, whichever way it has.
 *
 *   we ──clone──▶ child (in the cgroup, under the name) ──clone──▶ grandchild ──execve──▶ witness ──▶ a byte
 *
 * The child takes its name and its cgroup before it makes the grandchild, so that programs on task_newtask
 * see both. Only async-signal-safe calls after the fork. Blocks for WITNESS_TIMEOUT_MS at the most.
 */
#ifndef HUSK_NATIVE_WITNESS_H
#define HUSK_NATIVE_WITNESS_H

#include <stdbool.h>

#include "error.h"

#define WITNESS_TIMEOUT_MS 5000
/* TASK_COMM_LEN, its NUL included. */
#define WITNESS_NAME_BYTES 16

struct witness_answer {
    int refused; /* positive errno of execve; 0: it was not refused */
    int signal;  /* that ended the grandchild; 0: none */
    bool ran;    /* its byte came */
};

/* `cgroup` NULL: where we are ourselves. `name`: of the child and, until execve, of the grandchild; "": ours.
 */
int witness_run(const char *cgroup, const char *name, struct witness_answer *answer, struct error *error);

#endif
