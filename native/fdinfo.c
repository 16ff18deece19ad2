/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See fdinfo.h. */
#define _GNU_SOURCE
#include "fdinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies what follows `key:` to `rest`. */
static int fdinfo_line(int fd, const char *key, char *rest, size_t rest_bytes)
{
    size_t key_length = strlen(key);
    int result = -ENOENT;
    char path[64];
    char line[256];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    file = fopen(path, "re");
    if (!file)
        return -errno;
    while (result && fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, key_length) == 0 && line[key_length] == ':') {
            snprintf(rest, rest_bytes, "%s", line + key_length + 1);
            result = 0;
        }
    }
    fclose(file);
    return result;
}

int fdinfo_number(int fd, const char *key, unsigned long long *number)
{
    char rest[64];
    int result = fdinfo_line(fd, key, rest, sizeof(rest));

    if (result)
        return result;
    *number = strtoull(rest, NULL, 10);
    return 0;
}

int fdinfo_has(int fd, const char *key)
{
    char rest[64];

    return fdinfo_line(fd, key, rest, sizeof(rest)) == 0;
}
