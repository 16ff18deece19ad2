/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent wrote for one program: a file of lines, read as hostile.
 *
 *   husk-launch 1                the format
 *   serial 17                    of the policy it was made from
 *   deny module                  a word of `words` in filter.c: system calls
 *   deny socket 2 3              by family and type; -1: any
 *   deny capability 13           for good; 64: every one
 *   handle write                 file operations (enum launch_access) that only what follows allows
 *   beneath write /var/log       a folder and all below it, or a file
 *   handle connect-tcp           and TCP ports
 *   port bind-tcp 80
 *   end                          the last line: a file that was cut says nothing
 */
#ifndef HUSK_LAUNCH_RULES_H
#define HUSK_LAUNCH_RULES_H

#include <stdbool.h>
#include <stdint.h>

#define LAUNCH_FILE_BYTES_MAX (256 * 1024)
#define LAUNCH_SOCKETS_MAX 64
#define LAUNCH_BENEATH_MAX 1024
#define LAUNCH_PORTS_MAX 1024
#define LAUNCH_ANY (-1)
/* Every capability there is. */
#define LAUNCH_CAPABILITY_ALL 64

enum launch_access {
    LAUNCH_WRITE,
    LAUNCH_CREATE,
    LAUNCH_DELETE,
    LAUNCH_BIND_TCP,
    LAUNCH_CONNECT_TCP,
    LAUNCH_ACCESS_COUNT,
};

struct launch_socket {
    int family;
    int type;
};

struct launch_beneath {
    enum launch_access access;
    const char *path;
};

struct launch_port {
    enum launch_access access;
    uint16_t port;
};

struct launch_rules {
    uint64_t serial;
    uint64_t words;        /* bits by place in launch_words */
    uint64_t capabilities; /* bits; all of them: ~0 */
    bool handles[LAUNCH_ACCESS_COUNT];
    struct launch_socket sockets[LAUNCH_SOCKETS_MAX];
    unsigned socket_count;
    struct launch_beneath beneath[LAUNCH_BENEATH_MAX];
    unsigned beneath_count;
    struct launch_port ports[LAUNCH_PORTS_MAX];
    unsigned port_count;
};

/* Words that deny system calls, in the order of their bits. */
extern const char *const launch_words[];
extern const unsigned launch_words_count;

/* `text` ends with a NUL, is cut into pieces, and has to stay as long as the rules. NULL: they are good;
 * otherwise what is wrong, and `*line` says where. */
const char *launch_parse(char *text, struct launch_rules *rules, unsigned *line);

#endif
