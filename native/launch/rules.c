/* SPDX-License-Identifier: Apache-2.0 */
/* One thread, before the program is run. See rules.h. */
#include "rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const access_words[LAUNCH_ACCESS_COUNT] = {
    [LAUNCH_WRITE] = "write",       [LAUNCH_CREATE] = "create",           [LAUNCH_DELETE] = "delete",
    [LAUNCH_BIND_TCP] = "bind-tcp", [LAUNCH_CONNECT_TCP] = "connect-tcp",
};

/* A whole number in these bounds, and nothing behind it. */
static bool read_number(const char *text, long long least, long long most, long long *number)
{
    char *end;

    if (!text || !*text)
        return false;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return !errno && !*end && *number >= least && *number <= most;
}

static bool read_access(const char *text, enum launch_access *access)
{
    for (unsigned at = 0; text && at < LAUNCH_ACCESS_COUNT; at++) {
        if (!strcmp(text, access_words[at])) {
            *access = (enum launch_access)at;
            return true;
        }
    }
    return false;
}

static bool is_of_files(enum launch_access access)
{
    return access == LAUNCH_WRITE || access == LAUNCH_CREATE || access == LAUNCH_DELETE;
}

static const char *read_socket(char *rest, struct launch_rules *rules)
{
    const char *family_text = strsep(&rest, " "), *type_text = strsep(&rest, " ");
    long long family, type;

    if (rest || !read_number(family_text, LAUNCH_ANY, 255, &family) ||
        !read_number(type_text, LAUNCH_ANY, 15, &type))
        return "a socket has a family and a type, or -1 for any";
    if (rules->socket_count == LAUNCH_SOCKETS_MAX)
        return "too many sockets";
    rules->sockets[rules->socket_count++] = (struct launch_socket){(int)family, (int)type};
    return NULL;
}

static const char *read_deny(char *rest, struct launch_rules *rules)
{
    const char *word = strsep(&rest, " ");
    long long number;

    if (word && !strcmp(word, "socket"))
        return read_socket(rest, rules);
    if (word && !strcmp(word, "capability")) {
        if (!read_number(rest, 0, LAUNCH_CAPABILITY_ALL, &number))
            return "a capability is a number up to 64";
        rules->capabilities |= number == LAUNCH_CAPABILITY_ALL ? ~0ULL : 1ULL << number;
        return NULL;
    }
    for (unsigned at = 0; word && !rest && at < launch_words_count; at++) {
        if (!strcmp(word, launch_words[at])) {
            rules->words |= 1ULL << at;
            return NULL;
        }
    }
    return "what is to be denied is not known";
}

static const char *read_beneath(char *rest, struct launch_rules *rules)
{
    const char *word = strsep(&rest, " ");
    enum launch_access access;

    if (!read_access(word, &access) || !is_of_files(access))
        return "is beneath no operation on files";
    if (!rest || *rest != '/')
        return "has no absolute path";
    if (rules->beneath_count == LAUNCH_BENEATH_MAX)
        return "too many paths";
    rules->beneath[rules->beneath_count++] = (struct launch_beneath){access, rest};
    return NULL;
}

static const char *read_port(char *rest, struct launch_rules *rules)
{
    const char *word = strsep(&rest, " ");
    enum launch_access access;
    long long port;

    if (!read_access(word, &access) || is_of_files(access) || !read_number(rest, 0, UINT16_MAX, &port))
        return "a port is of bind-tcp or connect-tcp, and a number";
    if (rules->port_count == LAUNCH_PORTS_MAX)
        return "too many ports";
    rules->ports[rules->port_count++] = (struct launch_port){access, (uint16_t)port};
    return NULL;
}

static const char *read_line(char *text, struct launch_rules *rules)
{
    const char *word = strsep(&text, " ");
    enum launch_access access;
    long long number;

    if (!strcmp(word, "serial")) {
        if (!read_number(text, 0, INT64_MAX, &number))
            return "the serial is no number";
        rules->serial = (uint64_t)number;
        return NULL;
    }
    if (!strcmp(word, "deny"))
        return read_deny(text, rules);
    if (!strcmp(word, "beneath"))
        return read_beneath(text, rules);
    if (!strcmp(word, "port"))
        return read_port(text, rules);
    if (strcmp(word, "handle"))
        return "the line begins with no word that is known";
    if (!read_access(text, &access))
        return "what is to be handled is not known";
    rules->handles[access] = true;
    return NULL;
}

const char *launch_parse(char *text, struct launch_rules *rules, unsigned *line)
{
    const char *wrong;
    char *next;

    memset(rules, 0, sizeof(*rules));
    *line = 1;
    next = strsep(&text, "\n");
    if (!next || strcmp(next, "husk-launch 1"))
        return "the file does not begin with `husk-launch 1`";
    while ((next = strsep(&text, "\n")) != NULL) {
        ++*line;
        if (!strcmp(next, "end"))
            return text && !*text ? NULL : "something follows the end";
        if (!text)
            break;
        wrong = read_line(next, rules);
        if (wrong)
            return wrong;
    }
    return "the end is missing";
}
