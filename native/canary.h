/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child process that tries system calls, so that hooks without a test run can be seen to answer.
 *
 * The child is born in the given cgroup, moves to a network namespace of its own before it tries anything
 * (so that nothing can leave the machine), and only makes calls that are safe after a fork of a process
 * with threads. Where it cannot have the namespace it tries nothing.
 *
 * Blocks for CANARY_TIMEOUT_MS at the most; not for a thread that others wait for.
 */
#ifndef HUSK_NATIVE_CANARY_H
#define HUSK_NATIVE_CANARY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "error.h"

#define CANARY_TIMEOUT_MS 5000
#define CANARY_CALLS_MAX 1024

enum canary_kind {
    CANARY_CONNECT,
    CANARY_SENDTO,
    CANARY_BIND,
    CANARY_SOCKET,
    CANARY_OPERATION,
};

/* Numbered as enum husk_operation of bpf/abi/hardening.h. Hooks let none of these through for a canary that
 * bears its label: what the policy allows ends with ECANCELED. */
enum canary_operation {
    CANARY_EXEC = 1,
    CANARY_LOAD = 2,
    CANARY_READ = 3,
    CANARY_WRITE = 4,
    CANARY_CREATE = 5,
    CANARY_DELETE = 6,
    CANARY_RENAME = 7,
    CANARY_LINK = 8,
    CANARY_CHMOD = 9,
    CANARY_MOUNT = 10,
    CANARY_SETUID = 11,
    CANARY_CAPABILITY = 12,
    CANARY_PTRACE = 13,
    CANARY_USERNS = 14,
    CANARY_MODULE = 15,
    CANARY_BPF = 16,
    CANARY_KEXEC = 17,
    CANARY_PERF = 18,
    CANARY_WRITE_EXECUTE = 20,
};

#define CANARY_PATH_BYTES 1024

struct canary_call {
    enum canary_kind kind;
    int operation; /* CANARY_OPERATION */
    unsigned number;
    char path[CANARY_PATH_BYTES]; /* of the object; empty where it has none */
    int family;                   /* AF_ */
    int type;
    int protocol;
    socklen_t address_bytes;
    struct sockaddr_storage address;
};

/* Fills `answers` with one errno a call, 0 for a call that succeeded. */
int canary_run(const char *cgroup, const struct canary_call *calls, size_t count, int32_t *answers,
               struct error *error);

#endif
