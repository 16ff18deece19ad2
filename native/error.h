/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong: the operation, the object, what the kernel answered, and what libbpf had to say about it.
 *
 * Functions that can fail take a `struct error *`, return 0 (or a descriptor) and leave it untouched when
 * they succeed, and return -1 with it filled when they fail. The caller then owns it: error_release().
 *
 * Any thread. libbpf's words are gathered per thread, so that two loads at once do not mix theirs.
 */
#ifndef HUSK_NATIVE_ERROR_H
#define HUSK_NATIVE_ERROR_H

/* The kernel's own ENOTSUPP, which no C library names. */
#define ERROR_ENOTSUPP 524

/* The end of libbpf's log that is kept: the verifier's last words, which say what it refused. */
#define ERROR_LOG_BYTES (16 * 1024)

struct error {
    const char *operation; /* a literal */
    char *object;          /* owned */
    char *log;             /* owned; NULL where libbpf said nothing */
    int code;              /* positive errno */
};

/* Fills `error`, takes this thread's log along, and returns -1. `code` may have either sign. */
int error_set(struct error *error, int code, const char *operation, const char *object, ...)
    __attribute__((format(printf, 4, 5)));
void error_release(struct error *error);

/* "EPERM"; "E4711" for a number without a name. `text` must hold 16 bytes. */
const char *error_name(int code, char *text);
const char *error_text(int code);

/* Sends libbpf's words to this thread's log from now on; never to stderr. */
void error_log_open(void);
/* Forgets what this thread's log holds. Called where an operation starts. */
void error_log_clear(void);
/* What libbpf said since, oldest cut off. Valid until this thread's next libbpf call. */
const char *error_log_text(void);

#endif
