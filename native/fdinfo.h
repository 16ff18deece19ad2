/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc/self/fdinfo says of a descriptor, for the few facts bpf(2) does not tell. Any thread. */
#ifndef HUSK_NATIVE_FDINFO_H
#define HUSK_NATIVE_FDINFO_H

/* The number after `key:`. 0, or -ENOENT where there is no such line, or another negative errno. */
int fdinfo_number(int fd, const char *key, unsigned long long *number);

/* Whether there is a line `key:` at all. */
int fdinfo_has(int fd, const char *key);

#endif
